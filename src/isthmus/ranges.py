"""Sets of offsets as rising, disjoint, half-open ranges. Pure.

Data structure only: it knows neither what an offset stands for nor why it is in the set.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """A set of integers that mostly come in runs: memory and time follow the number of runs, not of members."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __len__(self) -> int:
        """How many integers are in it."""
        return sum(self._ends) - sum(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges, rising."""
        return iter(zip(self._starts, self._ends, strict=True))

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._starts, offset) - 1
        return at >= 0 and offset < self._ends[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # mutable

    @property
    def runs(self) -> int:
        """How many ranges it takes."""
        return len(self._starts)

    @property
    def end(self) -> int:
        """One past the largest member, 0 when empty."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> None:
        """Add all of `start` to `end`, exclusive."""
        if start >= end:
            return
        if self._starts and start == self._ends[-1]:
            self._ends[-1] = end
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self._starts, end)
        if low < high:
            start, end = min(start, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def discard(self, start: int, end: int) -> None:
        """Remove all of `start` to `end`, exclusive."""
        low = bisect_right(self._ends, start)
        high = bisect_left(self._starts, end)
        if start >= end or low >= high:
            return
        left, right = self._starts[low], self._ends[high - 1]
        kept = [(left, start)] if left < start else []
        if right > end:
            kept.append((end, right))
        self._starts[low:high] = [row[0] for row in kept]
        self._ends[low:high] = [row[1] for row in kept]

    def absorb(self, floor: int) -> int:
        """Drop what lies below `floor` or touches it from above; returns how far up the floor moves by that."""
        drop = 0
        while drop < len(self._starts) and self._starts[drop] <= floor:
            floor = max(floor, self._ends[drop])
            drop += 1
        del self._starts[:drop]
        del self._ends[:drop]
        return floor

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What of `start` to `end` is not in the set, as ranges."""
        at = start
        for low in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[low] >= end:
                break
            if self._starts[low] > at:
                yield at, self._starts[low]
            at = max(at, self._ends[low])
        if at < end:
            yield at, end

    def covers(self, start: int, end: int) -> bool:
        """Whether all of `start` to `end`, exclusive, is in it."""
        at = bisect_right(self._starts, start) - 1
        return start >= end or (at >= 0 and end <= self._ends[at])

    def copy(self) -> "RangeSet":
        """An independent copy."""
        twin = RangeSet()
        twin._starts, twin._ends = self._starts.copy(), self._ends.copy()
        return twin


def ranges_of(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """The ranges that hold exactly these offsets, which may come in any order."""
    found: list[tuple[int, int]] = []
    start = end = None
    for offset in sorted(offsets):
        if end is not None and start is not None and offset <= end:
            end = max(end, offset + 1)
            continue
        if start is not None and end is not None:
            found.append((start, end))
        start, end = offset, offset + 1
    if start is not None and end is not None:
        found.append((start, end))
    return found
