"""What a queue has at hand of one partition: some pieces of the log, decoded when a record in them is needed.

It reads and forgets; which offsets are wanted, and what becomes of them, is not its business.
"""

import asyncio
from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import Final

from isthmus.limits import QUEUE_PAGE_BYTES, QUEUE_PAGES_MAX
from isthmus.log import batch as batches
from isthmus.log.partition import BatchAt, Partition
from isthmus.record import StoredRecord

_offset_of = attrgetter("offset")


def size_of(record: StoredRecord) -> int:
    """Bytes of key, value and headers."""
    return len(record.value or b"") + len(record.key or b"") + len(record.headers)


ATTRIBUTES: Final = 1
"""Bit of an entry's flags: some record may carry queue attributes (docs/formats/journal.md)."""


class Piece:
    """One stored batch, or a stretch without any: offsets `base` to `end`, exclusive; entry flags; its records.

    A compressed batch counts as one with queue attributes: a foreign producer's is not opened when it comes, so that
    nobody knows. `size` is what the records have in bytes, once they were asked for.
    """

    __slots__ = ("_data", "_records", "base", "end", "flags", "size")

    def __init__(self, base: int, end: int, flags: int = 0, data: bytes = b"") -> None:
        self.base = base
        self.end = end
        self.flags = flags | ATTRIBUTES if data and batches.is_compressed(data) else flags
        self.size = len(data)
        self._data = data
        self._records: list[StoredRecord] | None = None if data else []

    def records(self, start: int, end: int) -> list[StoredRecord]:
        """The records at offsets `start` to `end`, exclusive.

        Raises:
            InvalidBatch, UnsupportedCompression: the batch cannot be decoded here.
        """
        records = self._records
        if records is None:
            records = self._records = batches.decode(self._data)
            self.size = sum(map(size_of, records))
            self._data = b""
        if len(records) == self.end - self.base:
            return records[max(0, start - self.base) : max(0, end - self.base)]
        low = bisect_left(records, start, key=_offset_of)
        return records[low : bisect_left(records, end, low, key=_offset_of)]


class _Page:
    """What one read has brought: pieces without holes between them."""

    __slots__ = ("bases", "end", "pieces", "start")

    def __init__(self, start: int, end: int, found: list[BatchAt]) -> None:
        self.pieces: list[Piece] = []
        at = start
        for stored in found:
            if stored.base_offset > at:
                self.pieces.append(Piece(at, stored.base_offset))
            self.pieces.append(Piece(*stored))
            at = stored.end_offset
        if not found and start < end:
            self.pieces.append(Piece(start, end))
            at = end
        self.bases = [piece.base for piece in self.pieces]
        self.start = start
        self.end = at


class Pages:
    """The newest pages of one partition; bounded by QUEUE_PAGES_MAX of QUEUE_PAGE_BYTES, or a single larger batch."""

    __slots__ = ("_lock", "_pages", "_partition")

    def __init__(self, partition: Partition) -> None:
        self._partition = partition
        self._pages: list[_Page] = []
        self._lock: asyncio.Lock | None = None

    def find(self, offset: int) -> Piece | None:
        """The piece that holds an offset below the high watermark; None when the disk must be asked first (`load`).

        Raises:
            OffsetOutOfRange: it has been trimmed.
        """
        piece = self._kept(offset)
        if piece is None:
            found = self._partition.read_now(offset, QUEUE_PAGE_BYTES)
            if found is None:
                return None
            piece = self._keep(offset, found)
        return piece

    async def load(self, offset: int) -> Piece:
        """As `find`, waiting for the disk; whoever wants the same page waits for the same read.

        Raises:
            OffsetOutOfRange: it has been trimmed.
            Damaged: the bytes on disk are not those that were written.
        """
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            piece = self.find(offset)
            if piece is None:
                piece = self._keep(offset, await self._partition.read(offset, QUEUE_PAGE_BYTES))
        return piece

    def forget(self, end: int) -> None:
        """Drop the pages that end at or below an offset: nothing in them is expected to be wanted again."""
        self._pages = [page for page in self._pages if page.end > end]

    def _kept(self, offset: int) -> Piece | None:
        for at, page in enumerate(self._pages):
            if page.start <= offset < page.end:
                if at:
                    self._pages.insert(0, self._pages.pop(at))
                return page.pieces[bisect_right(page.bases, offset) - 1]
        return None

    def _keep(self, offset: int, found: list[BatchAt]) -> Piece:
        start = min(offset, found[0].base_offset) if found else offset
        page = _Page(start, self._partition.high_watermark, found)
        self._pages.insert(0, page)
        del self._pages[QUEUE_PAGES_MAX:]
        return page.pieces[bisect_right(page.bases, offset) - 1]
