"""The demo's reference with one wrong figure, to see that the demo notices."""

import json
import sys
from pathlib import Path

from isthmus.demo import reference

if __name__ == "__main__":
    figures = reference.compute([Path(sys.argv[1])])
    figures["flights"]["flights"] += 1
    print(json.dumps(figures))  # noqa: T201 - that is what the demo reads
