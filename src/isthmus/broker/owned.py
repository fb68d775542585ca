"""One partition that a member of a group owns: what it has read ahead, and what it hands out next.

`Position` decides what goes out; this file reads for it. It knows no membership and commits nothing.
"""

from collections import deque
from collections.abc import Callable, Sequence

from isthmus.broker.publishing import ONLY
from isthmus.errors import InvalidBatch, OffsetOutOfRange
from isthmus.lenses.stream.position import Claim, Position
from isthmus.limits import FETCH_BYTES_MAX
from isthmus.log import batch as batches
from isthmus.log import format as form
from isthmus.log.headers import header_value
from isthmus.log.partition import BatchAt, Partition
from isthmus.record import StoredRecord


class Owned:
    """From its assignment until its revocation. `revoked_until_ms` is set while it waits for what still runs."""

    __slots__ = ("_buffer", "_group", "_unwatch", "partition", "position", "revoked_until_ms")

    def __init__(self, partition: Partition, position: Position, group: str, grown: Callable[[], None]) -> None:
        """`group` is the name of the group, `grown` is called when there may be more to take."""
        self.partition = partition
        self.position = position
        self.revoked_until_ms: int | None = None
        self._group = group.encode()
        self._buffer: deque[tuple[Sequence[StoredRecord], int]] = deque()
        self._unwatch = partition.watch(grown)

    def drop(self) -> None:
        """It is no longer owned."""
        self._unwatch()
        self._buffer.clear()

    @property
    def has_more(self) -> bool:
        """Whether `take` would find something without time passing, as far as can be told without reading."""
        position = self.position
        if self.revoked_until_ms is not None:
            return False
        unread = bool(self._buffer) or position.scan < self.partition.high_watermark
        return position.has_ready or (unread and not position.paused)

    def next_due_ms(self) -> int | None:
        """When what failed is to be offered again (ms since 1970 UTC)."""
        return self.position.next_due_ms() if self.revoked_until_ms is None else None

    async def take(self, now_ms: int, max_events: int, max_bytes: int) -> list[StoredRecord]:
        """The records to hand out next: what comes again first, then new ones. They are taken when it returns."""
        self.position.trimmed(self.partition.log_start)
        found = await self._take_again(now_ms, max_events) or await self._take_new(max_events, max_bytes)
        # What failed before a restart is known only after it was read past.
        return found or await self._take_again(now_ms, max_events)

    async def _take_again(self, now_ms: int, max_events: int) -> list[StoredRecord]:
        claims = self.position.claim(now_ms, max_events)
        return await self._read_again(claims) if claims else []

    async def _take_new(self, max_events: int, max_bytes: int) -> list[StoredRecord]:
        position = self.position
        while not position.paused and (self._buffer or await self._fill(max_bytes)):
            found: list[StoredRecord] = []
            while self._buffer and len(found) < max_events and not position.paused:
                found += self._take_buffered(max_events - len(found))
            if found:
                return found
        return []

    def _take_buffered(self, count: int) -> list[StoredRecord]:
        records, end_offset = self._buffer.popleft()
        cut = self.position.cut(records, end_offset, count)
        if cut.rest or cut.end_offset < end_offset:
            self._buffer.appendleft((cut.rest, end_offset))
        return self.position.take_new(cut.records, cut.end_offset)

    async def _fill(self, max_bytes: int) -> bool:
        """Read and decode what follows; False at the end."""
        scan = self.position.scan
        if scan >= self.partition.high_watermark:
            return False
        try:
            found = await self.partition.read(scan, min(max_bytes, FETCH_BYTES_MAX))
        except OffsetOutOfRange:
            # Trimmed on the way; the next call begins at the log start.
            return False
        for batch in found:
            self._buffer.append((self._mine(batch, scan), batch.end_offset))
            scan = batch.end_offset
        return bool(found)

    def _mine(self, batch: BatchAt, from_offset: int) -> list[StoredRecord]:
        """The records of a batch that are for this group: redriven ones name the one group they are for."""
        records = batches.decode(batch.data, from_offset=from_offset)
        if not batch.flags & form.ENTRY_ATTRIBUTES:
            return records
        return [record for record in records if _only(record) in (None, self._group)]

    async def _read_again(self, claims: Sequence[Claim]) -> list[StoredRecord]:
        """The records of claims, each batch read once; what is no longer there is settled by that."""
        found: dict[int, StoredRecord] = {}
        left = deque(claims)
        try:
            while left:
                found |= self._among(left, await self._batch_at(left[0].offset))
        except BaseException:
            self.position.unclaim([claim for claim in claims if self.position.holds(claim.offset)])
            raise
        # While the disk was read, an earlier record of the same key may have failed.
        too_early = [claim for claim in claims if claim.offset in found and not self.position.stands(claim)]
        self.position.unclaim(too_early)
        for claim in too_early:
            del found[claim.offset]
        return list(found.values())

    async def _batch_at(self, offset: int) -> BatchAt | None:
        if offset < self.partition.log_start:
            return None
        try:
            found = await self.partition.read(offset, 1)
        except OffsetOutOfRange:
            return None
        return found[0] if found else None

    def _among(self, left: deque[Claim], batch: BatchAt | None) -> dict[int, StoredRecord]:
        """What of `left` a batch owns, which is at least the first of them; without a batch the first one is gone."""
        end_offset = batch.end_offset if batch is not None else left[0].offset + 1
        records: dict[int, StoredRecord] = {}
        if batch is not None:
            records = {record.offset: record for record in batches.decode(batch.data, from_offset=left[0].offset)}
        found = {}
        while left and left[0].offset < end_offset:
            offset = left.popleft().offset
            if offset in records:
                found[offset] = records[offset]
            else:
                self.position.skip(offset)
        return found


def _only(record: StoredRecord) -> bytes | None:
    """The one group that a record is for. Headers come from outside: those that cannot be read name none."""
    try:
        return header_value(record.headers, ONLY)
    except InvalidBatch:
        return None
