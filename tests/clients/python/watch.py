"""What the tours of the Python clients share: what was seen, who owns how much, and waiting for it."""

import json
import sys
import threading
import time
from collections.abc import Callable


class Watch:
    """Messages as they come in, and how many partitions each of two consumers owns."""

    def __init__(self) -> None:
        self.total = 0
        self.ordered = True
        self.owned = [0, 0]
        self._seen: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def take(self, key: bytes | None, value: bytes | None, header: bytes | None) -> None:
        """Note one message: the numbers of a key must rise."""
        number = int(header or b"-1")
        with self._lock:
            known = self._seen.get(key or b"", -1)
            self.ordered = self.ordered and number > known and value == b"v%d" % number
            self._seen[key or b""] = number
            self.total += 1

    def shared(self) -> bool:
        """Whether both own some of the three partitions, and nobody's is missing."""
        return all(self.owned) and sum(self.owned) == 3

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait for a minute at most."""
        until = time.monotonic() + 60
        while not condition():
            if time.monotonic() > until:
                sys.exit(f"waited a minute for {what}: {self.total} messages, owned {self.owned}")
            time.sleep(0.1)


def tell(**found: object) -> None:
    """The result, on one line."""
    sys.stdout.write(json.dumps(found) + "\n")
