"""A wheel of timers for ranges of offsets: cheap to fill with a million far ones, exact to the millisecond. Pure.

It does not forget by itself what was settled: whoever takes out what is due looks whether it still matters, and fills
the wheel anew when most of it does not.

What is far off lies packed in buckets of about a minute (14 bytes an entry), what is nearer in buckets of a quarter of
a second, and only what is due in the current one in a heap.
"""

import heapq
from collections.abc import Iterator
from struct import Struct
from typing import Final

_ENTRY: Final = Struct("<HqI")  # milliseconds inside its far bucket, start, count
_FAR_BITS: Final = 16
_NEAR_BITS: Final = 8
_FAR_MASK: Final = (1 << _FAR_BITS) - 1
_COUNT_MAX: Final = 0xFFFF_FFFF

Timed = tuple[int, int, int]
"""(at_ms, start, end)"""


class _Buckets:
    """Packed entries by the high bits of their time, and these in order."""

    __slots__ = ("bits", "order", "packed")

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.packed: dict[int, bytearray] = {}
        self.order: list[int] = []

    def add(self, bucket: int, entry: bytes) -> None:
        packed = self.packed.get(bucket)
        if packed is None:
            packed = self.packed[bucket] = bytearray()
            heapq.heappush(self.order, bucket)
        packed += entry

    def take(self, bucket_max: int) -> Iterator[tuple[int, bytearray]]:
        """Take out the buckets up to `bucket_max`: the time at which each begins, and its entries."""
        while self.order and self.order[0] <= bucket_max:
            bucket = heapq.heappop(self.order)
            yield bucket << self.bits, self.packed.pop(bucket)

    def next_ms(self) -> int | None:
        return self.order[0] << self.bits if self.order else None


class Wheel:
    """Ranges by the time at which they are due. Times are milliseconds of one clock, which may jump."""

    __slots__ = ("_count", "_far", "_heap", "_near", "_now_ms")

    def __init__(self) -> None:
        self._count = 0
        self._now_ms = 0
        self._heap: list[Timed] = []
        self._near = _Buckets(_NEAR_BITS)
        self._far = _Buckets(_FAR_BITS)

    def __len__(self) -> int:
        """How many entries there are, those included that do not matter any more."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Bytes of the packed entries, with the slack of growing arrays."""
        return sum(packed.__sizeof__() for level in (self._far, self._near) for packed in level.packed.values())

    def add(self, at_ms: int, start: int, end: int) -> None:
        """Have `start` to `end`, exclusive, come out at `at_ms`."""
        while end - start > _COUNT_MAX:
            self._add(at_ms, start, start + _COUNT_MAX)
            start += _COUNT_MAX
        self._add(at_ms, start, end)

    def next_ms(self) -> int | None:
        """A time before which nothing is due, exact when that is near; None when there is nothing."""
        times = (self._heap[0][0] if self._heap else None, self._near.next_ms(), self._far.next_ms())
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def pop(self, now_ms: int) -> list[Timed]:
        """Take out all that is due at `now_ms`, earliest first."""
        due: list[Timed] = []
        if self._count:
            self._come_near(max(self._now_ms, now_ms))
            while self._heap and self._heap[0][0] <= now_ms:
                due.append(heapq.heappop(self._heap))
            self._count -= len(due)
        return due

    def clear(self) -> None:
        """Forget all entries."""
        self._count = 0
        self._heap.clear()
        self._near = _Buckets(_NEAR_BITS)
        self._far = _Buckets(_FAR_BITS)

    def _add(self, at_ms: int, start: int, end: int) -> None:
        self._count += 1
        self._sort(at_ms, start, end - start)

    def _sort(self, at_ms: int, start: int, count: int) -> None:
        """Into the bucket of its time, or into the heap when that bucket was opened already."""
        if at_ms >> _FAR_BITS > self._now_ms >> _FAR_BITS:
            self._far.add(at_ms >> _FAR_BITS, _ENTRY.pack(at_ms & _FAR_MASK, start, count))
        elif at_ms >> _NEAR_BITS > self._now_ms >> _NEAR_BITS:
            self._near.add(at_ms >> _NEAR_BITS, _ENTRY.pack(at_ms & _FAR_MASK, start, count))
        else:
            heapq.heappush(self._heap, (at_ms, start, start + count))

    def _come_near(self, now_ms: int) -> None:
        self._now_ms = now_ms
        for base_ms, packed in self._far.take(now_ms >> _FAR_BITS):
            for inside_ms, start, count in _ENTRY.iter_unpack(packed):
                self._sort(base_ms + inside_ms, start, count)
        for base_ms, packed in self._near.take(now_ms >> _NEAR_BITS):
            far_ms = base_ms & ~_FAR_MASK
            for inside_ms, start, count in _ENTRY.iter_unpack(packed):
                heapq.heappush(self._heap, (far_ms + inside_ms, start, start + count))
