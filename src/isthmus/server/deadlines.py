"""When to look at a connection again: one coarse wheel for all of them instead of timers of their own.

It calls `look` when a time has come, up to LOOK_MS later, and knows nothing of what is looked for.
"""

from typing import Final, Protocol

from isthmus.clock import Clock, Timer

LOOK_MS: Final = 250
"""Width of a bucket of the wheel."""


class Looked(Protocol):
    """What is looked at."""

    bucket: int | None
    """In which bucket it stands; the wheel's to change."""

    def look(self, now_ms: int) -> int | None:
        """Do what is due; when to look again, None for never."""


class Deadlines:
    """See the module text.

    Invariant W1: what is watched stands in one bucket, the earliest that was asked for; what was forgotten in none.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[int, dict[Looked, None]] = {}
        self._timer: Timer | None = None

    def watch(self, looked: Looked, at_ms: int) -> None:
        """Look at it then, or earlier when that was asked for."""
        bucket = -(-at_ms // LOOK_MS)
        if looked.bucket is not None:
            if looked.bucket <= bucket:
                return
            self.forget(looked)
        looked.bucket = bucket
        self._buckets.setdefault(bucket, {})[looked] = None
        if self._timer is None:
            self._arm()

    def forget(self, looked: Looked) -> None:
        """Look at it no more."""
        bucket, looked.bucket = looked.bucket, None
        if bucket is None:
            return
        members = self._buckets[bucket]
        del members[looked]
        if not members:
            del self._buckets[bucket]
        if not self._buckets and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        next_ms = (self._clock.monotonic_ms() // LOOK_MS + 1) * LOOK_MS
        self._timer = self._clock.timer(next_ms, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now_ms = self._clock.monotonic_ms()
        for bucket in sorted(each for each in self._buckets if each * LOOK_MS <= now_ms):
            for looked in list(self._buckets.get(bucket, ())):
                if looked.bucket == bucket:
                    self._look(looked, now_ms)
        if self._buckets and self._timer is None:
            self._arm()

    def _look(self, looked: Looked, now_ms: int) -> None:
        self.forget(looked)
        next_ms = looked.look(now_ms)
        if next_ms is not None:
            self.watch(looked, max(next_ms, now_ms + 1))
