"""When the groups of a segment were appended, to a second or better than nothing. Pure.

Retention asks it for ages; it answers late rather than early, so that nothing is taken for older than it is.
"""

from array import array
from bisect import bisect_right
from typing import Final

from isthmus.limits import SEGMENT_TIMES_MAX

RESOLUTION_MS: Final = 1_000
"""Groups within less than this time of each other share a row, until there are too many rows."""


class Times:
    """Rows of (first LSN, append time of the last group in it), both rising, for one segment.

    Bounded, at the price of resolution: groups that share a row were appended within less than that of each other,
    however long nothing came between two rows.
    """

    __slots__ = ("_ends_ms", "_lsns", "_resolution_ms", "_start_ms")

    def __init__(self) -> None:
        self._lsns = array("q")
        self._ends_ms = array("q")
        self._resolution_ms = RESOLUTION_MS
        self._start_ms = 0
        """When the first group of the last row was appended, or a little earlier."""

    def __len__(self) -> int:
        return len(self._lsns)

    def add(self, lsn: int, time_ms: int) -> None:
        """A group was appended at or behind all that were; `time_ms` is not below theirs."""
        if self._lsns and time_ms < self._start_ms + self._resolution_ms:
            self._ends_ms[-1] = time_ms
            return
        self._lsns.append(lsn)
        self._ends_ms.append(time_ms)
        self._start_ms = time_ms
        if len(self._lsns) > SEGMENT_TIMES_MAX:
            while len(self._lsns) > SEGMENT_TIMES_MAX // 2:
                self._coarsen()

    def _coarsen(self) -> None:
        """Join rows that fit the double resolution. A row's end is known; it began up to a resolution before."""
        lsns, ends_ms, first_end_ms = array("q"), array("q"), 0
        for lsn, end_ms in zip(self._lsns, self._ends_ms, strict=True):
            if lsns and end_ms < first_end_ms + self._resolution_ms:
                ends_ms[-1] = end_ms
            else:
                lsns.append(lsn)
                ends_ms.append(end_ms)
                first_end_ms = end_ms
        self._lsns, self._ends_ms = lsns, ends_ms
        self._start_ms = first_end_ms - self._resolution_ms
        self._resolution_ms *= 2

    def appended_by(self, lsn: int) -> int:
        """A time at which the group that holds an LSN had been appended: its own, or less than a resolution later."""
        if not self._lsns:
            return 0
        return self._ends_ms[max(0, bisect_right(self._lsns, lsn) - 1)]
