"""Rows: a map from ranges of offsets to small states, packed, sorted and split into chunks. Pure.

It holds what deviates from "nothing special" and decides nothing: which change of a state is allowed is the ledger's
business.

Layout of a packed row, little-endian, 41 bytes with its start (which stands in a column of its own for searching):

    start    i64   first offset
    end      i64   one past the last
    at_ms    i64   a time, by state
    owner    i64   who holds it, by state
    acquired u32   hand-overs so far
    failed   u32   failures so far
    state    u8    one of the constants below

Invariants:
    R1: rows are disjoint and rise; equal neighbours inside one chunk are one row.
    R2: `_firsts` holds the first start of each chunk, and no chunk is empty but a single one.
    R3: a chunk that a snapshot shares is copied before it is changed.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from struct import Struct as Layout
from typing import Final

from msgspec import Struct

LEASED: Final = 1
"""Handed out: `at_ms` is when the lease ends (monotonic clock), `owner` its session."""

RETURNED: Final = 2
"""Handed out before and to be handed out again, from `at_ms` on (wall clock)."""

DYING: Final = 3
"""Handed out too often: waits to be moved to the dead letters."""

DONE: Final = 4
"""Settled."""

ROW_BYTES: Final = 41
"""What one row takes in memory, but for the slack of growing arrays."""

_VALUE: Final = Layout("<qqqIIB")  # end, at_ms, owner, acquired, failed, state
_SIZE: Final = _VALUE.size
_END: Final = Layout("<q")
_CHUNK_ROWS_MAX: Final = 512

Value = tuple[int, int, int, int, int]
"""(at_ms, owner, acquired, failed, state)"""

Whole = tuple[int, int, int, int, int, int]
"""(end, at_ms, owner, acquired, failed, state)"""


class Row(Struct, frozen=True, gc=False):
    """A range of offsets, `start` to `end`, exclusive, with what is known of each of them."""

    start: int
    end: int
    at_ms: int
    owner: int
    acquired: int
    failed: int
    state: int


class _Chunk:
    __slots__ = ("data", "shared", "starts")

    def __init__(self, starts: "array[int]", data: bytearray) -> None:
        self.starts = starts
        self.data = data
        self.shared = False

    def copy(self) -> "_Chunk":
        return _Chunk(self.starts[:], self.data[:])


class Rows:
    """The map; see the module text. Finding takes the logarithm of the number of rows, a change a constant more."""

    __slots__ = ("_chunks", "_firsts")

    def __init__(self) -> None:
        self._chunks = [_Chunk(array("q"), bytearray())]
        self._firsts = [0]

    def __bool__(self) -> bool:
        return bool(self._chunks[0].starts)

    def __len__(self) -> int:
        """How many rows there are (not how many offsets)."""
        return sum(len(chunk.starts) for chunk in self._chunks)

    def __iter__(self) -> Iterator[Row]:
        """All rows, rising. The map must not change meanwhile; `snapshot` first where it may."""
        for chunk in self._chunks:
            for start, value in zip(chunk.starts, _VALUE.iter_unpack(chunk.data), strict=True):
                yield Row(start, *value)

    @property
    def end(self) -> int | None:
        """One past the last offset that has a row; None when there is none."""
        data = self._chunks[-1].data
        return _END.unpack_from(data, len(data) - _SIZE)[0] if data else None

    @property
    def size_bytes(self) -> int:
        """Bytes of the rows in memory, with the slack of growing arrays and the chunks themselves."""
        return sum(
            chunk.starts.__sizeof__() + chunk.data.__sizeof__() + chunk.__sizeof__() + 16 for chunk in self._chunks
        )

    # ---- finding --------------------------------------------------------------------------------------------------

    def get(self, offset: int) -> Row | None:
        """The row that covers an offset."""
        chunk = self._chunks[self._find(offset)]
        at = bisect_right(chunk.starts, offset) - 1
        if at < 0:
            return None
        value = _VALUE.unpack_from(chunk.data, at * _SIZE)
        return Row(chunk.starts[at], *value) if value[0] > offset else None

    def overlap(self, start: int, end: int) -> list[Row]:
        """The rows that have to do with `start` to `end`, exclusive, cut to it."""
        chunks, found = self._chunks, list[Row]()
        number = self._find(start)
        starts, data = chunks[number].starts, chunks[number].data
        at = bisect_right(starts, start) - 1
        at = max(at, 0)
        while True:
            if at == len(starts):
                number, at = number + 1, 0
                if number >= len(chunks):
                    return found
                starts, data = chunks[number].starts, chunks[number].data
            first = starts[at]
            if first >= end:
                return found
            last, at_ms, owner, acquired, failed, state = _VALUE.unpack_from(data, at * _SIZE)
            if last > start:
                first, last = max(first, start), min(last, end)
                found.append(Row(first, last, at_ms, owner, acquired, failed, state))
            at += 1

    def free(self, start: int, end: int) -> bool:
        """Whether no row has to do with `start` to `end`, exclusive."""
        chunk = self._chunks[self._find(start)]
        at = bisect_right(chunk.starts, start) - 1
        if at >= 0 and _END.unpack_from(chunk.data, at * _SIZE)[0] > start:
            return False
        at += 1
        if at < len(chunk.starts):
            return chunk.starts[at] >= end
        number = self._find(start) + 1
        return number >= len(self._firsts) or self._firsts[number] >= end

    def segments(self, start: int, end: int) -> list[tuple[int, int, Row | None]]:
        """All of `start` to `end`, exclusive, in pieces: (start, end, its row or None)."""
        if not self._chunks[0].starts:
            return [(start, end, None)] if start < end else []
        pieces: list[tuple[int, int, Row | None]] = []
        at = start
        for row in self.overlap(start, end):
            if row.start > at:
                pieces.append((at, row.start, None))
            pieces.append((row.start, row.end, row))
            at = row.end
        if at < end:
            pieces.append((at, end, None))
        return pieces

    def snapshot(self) -> "Rows":
        """The map as it is now, at the price of a list of chunks; later changes do not show in it."""
        twin = Rows()
        for chunk in self._chunks:
            chunk.shared = True
        twin._chunks, twin._firsts = self._chunks.copy(), self._firsts.copy()
        return twin

    # ---- changing -------------------------------------------------------------------------------------------------

    def put(
        self, start: int, end: int, state: int, acquired: int = 0, failed: int = 0, at_ms: int = 0, owner: int = 0
    ) -> None:
        """Give all of `start` to `end`, exclusive, one state, whatever was there."""
        value = (at_ms, owner, acquired, failed, state)
        if not self._append(start, end, value):
            self._splice(start, end, value)

    def clear(self, start: int, end: int) -> None:
        """Forget all of `start` to `end`, exclusive."""
        if self._chunks[0].starts:
            self._splice(start, end, None)

    def clear_all(self) -> None:
        """Forget everything."""
        if self._chunks[0].starts:
            self._chunks = [_Chunk(array("q"), bytearray())]
            self._firsts = [0]

    def _append(self, start: int, end: int, value: Value) -> bool:
        """The most frequent change in a short way: a row behind all others. False when it is not that."""
        chunk = self._chunks[-1]
        starts, data = chunk.starts, chunk.data
        count = len(starts)
        if chunk.shared or count >= _CHUNK_ROWS_MAX:
            return False
        if count:
            last: Whole = _VALUE.unpack_from(data, (count - 1) * _SIZE)
            if last[0] > start or (last[0] == start and last[1:] == value):
                return False
        else:
            self._firsts[-1] = start
        starts.append(start)
        data += _VALUE.pack(end, *value)
        return True

    def _find(self, offset: int) -> int:
        """The chunk that holds an offset's row, if there is one."""
        return 0 if len(self._firsts) == 1 else max(0, bisect_right(self._firsts, offset) - 1)

    def _splice(self, start: int, end: int, value: Value | None) -> None:
        number = self._find(start)
        if number + 1 < len(self._firsts) and end > self._firsts[number + 1]:
            self._clear_wide(start, end)
            number = self._find(start)
        if value is not None or not self._is_beside(number, start, end):
            self._splice_chunk(number, start, end, value)

    def _is_beside(self, number: int, start: int, end: int) -> bool:
        """Whether a chunk has nothing in a range that is to be cleared."""
        starts, data = self._chunks[number].starts, self._chunks[number].data
        at = bisect_left(starts, end) - 1
        return at < 0 or _END.unpack_from(data, at * _SIZE)[0] <= start

    def _splice_chunk(self, number: int, start: int, end: int, value: Value | None) -> None:
        """Replace a range that touches no other chunk, keep what sticks out of it, melt with equal neighbours."""
        chunk = self._own(number)
        starts, data = chunk.starts, chunk.data
        low = bisect_left(starts, start)
        high = bisect_left(starts, end, low)
        left: tuple[int, Value] | None = None
        right: tuple[int, Value] | None = None
        if high > low:
            last: Whole = _VALUE.unpack_from(data, (high - 1) * _SIZE)
            if last[0] > end:
                right = (last[0], last[1:])
        if low:
            before: Whole = _VALUE.unpack_from(data, (low - 1) * _SIZE)
            if before[0] > start:
                left = (starts[low - 1], before[1:])
                if before[0] > end:
                    right = (before[0], before[1:])
                low -= 1
            elif before[0] == start and value is not None and before[1:] == value:
                start = starts[low - 1]
                low -= 1
        if left is not None and value is not None and left[1] == value:
            start, left = left[0], None
        if value is not None:
            if right is not None and right[1] == value:
                end, right = right[0], None
            elif right is None and high < len(starts) and starts[high] == end:
                after: Whole = _VALUE.unpack_from(data, high * _SIZE)
                if after[1:] == value:
                    end = after[0]
                    high += 1
        new_starts: list[int] = []
        packed = b""
        if left is not None:
            new_starts.append(left[0])
            packed = _VALUE.pack(start, *left[1])
        if value is not None:
            new_starts.append(start)
            packed += _VALUE.pack(end, *value)
        if right is not None:
            new_starts.append(end)
            packed += _VALUE.pack(right[0], *right[1])
        starts[low:high] = array("q", new_starts)
        data[low * _SIZE : high * _SIZE] = packed
        self._settle_chunk(number, chunk)

    def _own(self, number: int) -> _Chunk:
        chunk = self._chunks[number]
        if chunk.shared:
            chunk = self._chunks[number] = chunk.copy()
        return chunk

    def _settle_chunk(self, number: int, chunk: _Chunk) -> None:
        """Keep R2 after a change: drop an empty chunk, halve a large one."""
        count = len(chunk.starts)
        if count > _CHUNK_ROWS_MAX:
            half = count // 2
            upper = _Chunk(chunk.starts[half:], chunk.data[half * _SIZE :])
            del chunk.starts[half:], chunk.data[half * _SIZE :]
            self._chunks.insert(number + 1, upper)
            self._firsts.insert(number + 1, upper.starts[0])
        if count:
            self._firsts[number] = chunk.starts[0]
        elif len(self._chunks) > 1:
            del self._chunks[number], self._firsts[number]

    def _clear_wide(self, start: int, end: int) -> None:
        """Clear a range over several chunks; whole ones go without being looked at."""
        number = self._find(start)
        while number < len(self._chunks):
            if self._firsts[number] >= end:
                return
            last = number + 1 >= len(self._firsts)
            stop = end if last else min(end, self._firsts[number + 1])
            count = len(self._chunks)
            if not last and self._firsts[number] >= start and self._firsts[number + 1] <= end:
                del self._chunks[number], self._firsts[number]
            elif not self._is_beside(number, start, stop):
                self._splice_chunk(number, start, stop, None)
            if len(self._chunks) >= count:
                number += 1 + len(self._chunks) - count
