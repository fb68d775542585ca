"""When the groups of a segment were appended, to a second or better than nothing. Pure.

Retention asks it for ages; it answers late rather than early, so that nothing is taken for older than it is.
"""

from array import array
from bisect import bisect_right
from typing import Final

from isthmus.limits import SEGMENT_TIMES_MAX

RESOLUTION_MS: Final = 1_000
"""Groups within this time of each other share a row, until there are too many rows."""


class Times:
    """Rows of (LSN, append time), both rising, for one segment; bounded, at the price of resolution."""

    __slots__ = ("_lsns", "_resolution_ms", "_times", "end_ms")

    def __init__(self) -> None:
        self._lsns = array("q")
        self._times = array("q")
        self._resolution_ms = RESOLUTION_MS
        self.end_ms = 0
        """Append time of the last group."""

    def __len__(self) -> int:
        return len(self._lsns)

    def add(self, lsn: int, time_ms: int) -> None:
        """A group was appended at or behind all that were; `time_ms` is not below theirs."""
        self.end_ms = time_ms
        if self._times and time_ms < self._times[-1] + self._resolution_ms:
            return
        self._lsns.append(lsn)
        self._times.append(time_ms)
        if len(self._lsns) > SEGMENT_TIMES_MAX:
            self._lsns, self._times = self._lsns[::2], self._times[::2]
            self._resolution_ms *= 2

    def appended_by(self, lsn: int) -> int:
        """A time at which the group that holds an LSN had been appended: its own, or a little later."""
        behind = bisect_right(self._lsns, lsn)
        return self._times[behind] if behind < len(self._times) else self.end_ms
