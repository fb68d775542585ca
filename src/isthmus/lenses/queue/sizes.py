"""How many bytes the records of a partition have, by offset: sums at the ends of batches, no object a record. Pure.

It is told of batch after batch and forgets what is settled; it knows no record and reads none.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import Final

_FORGET_MIN: Final = 1_024
"""Batches that are never worth being forgotten."""


class Sizes:
    """Bytes of values from offset `start` on: exact between ends of batches, and in proportion inside of one.

    16 bytes a batch.

    Invariant:
        S1: both arrays rise, and begin with a row for the offset below which nothing is known any more.
    """

    __slots__ = ("_ends", "_sums")

    def __init__(self, start: int) -> None:
        self._ends = array("q", [start])
        self._sums = array("q", [0])

    def __len__(self) -> int:
        """How many batches are remembered."""
        return len(self._ends) - 1

    @property
    def end(self) -> int:
        """One past the last offset whose bytes are known."""
        return self._ends[-1]

    def add(self, end: int, size_bytes: int) -> None:
        """What follows, up to `end`, has so many bytes."""
        self._ends.append(end)
        self._sums.append(self._sums[-1] + size_bytes)

    def between(self, start: int, end: int) -> int:
        """The bytes at offsets `start` to `end`, exclusive; none where nothing is known."""
        return self._up_to(end) - self._up_to(start) if start < end else 0

    def forget(self, offset: int) -> None:
        """Nothing below an offset is asked for any more."""
        at = bisect_right(self._ends, offset) - 1
        if at > max(_FORGET_MIN, len(self._ends) // 2):
            del self._ends[:at], self._sums[:at]

    def _up_to(self, offset: int) -> int:
        ends, sums = self._ends, self._sums
        at = bisect_left(ends, offset)
        if at == 0:
            return sums[0]
        if at == len(ends):
            return sums[-1]
        start, before = ends[at - 1], sums[at - 1]
        return before + (sums[at] - before) * (offset - start) // (ends[at] - start)
