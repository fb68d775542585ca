"""A process of the demo that only runs handlers, some of those of the app, against a server.

The demo runs it as `python -m isthmus.demo.helper` and ends it; while the server is away it waits for it, as every app
does. It publishes nothing and tells nothing.
"""

import argparse
import logging

from isthmus.demo.app import app
from isthmus.demo.parts import HELPERS, keep_part


def main() -> None:
    """Take the arguments that the demo gives."""
    parser = argparse.ArgumentParser(prog="python -m isthmus.demo.helper", description="A process with handlers.")
    parser.add_argument("--store", required=True)
    parser.add_argument("--part", choices=sorted(set(HELPERS.values())), required=True)
    chosen = parser.parse_args()
    logging.getLogger("isthmus").setLevel(logging.CRITICAL)  # the report tells of retries and dead letters
    keep_part(app, chosen.part)
    app.url = chosen.store
    app.run()


if __name__ == "__main__":
    main()
