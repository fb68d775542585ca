"""One partition: an index over the journal with a log start, a high watermark and a next offset.

It hands out offsets, tells readers what is durable and finds their batches. It writes nothing itself: everything goes
through a `Unit` of the journal, and its applied state moves only when the journal promotes what was written.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from isthmus.clock import Clock
from isthmus.definition import Level
from isthmus.errors import OffsetOutOfRange, StorageError
from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log.dedup import ProducerTable

T = TypeVar("T")


class BatchAt(NamedTuple):
    """A stored batch as one partition sees it: offsets `base_offset` to `end_offset`, exclusive; entry flags; bytes."""

    base_offset: int
    end_offset: int
    flags: int
    data: bytes


class StoredBatch(NamedTuple):
    """A batch as retention sees it: appended at or before `append_ms`, wall clock; bytes of its entry."""

    end_offset: int
    append_ms: int
    size_bytes: int


class Store(Protocol):
    """What a partition asks of the journal that it is an index over."""

    clock: Clock

    @property
    def ended(self) -> StorageError | None:
        """Why nothing new will ever be readable; None while something may."""

    def read_now(self, partition: "Partition", offset: int, max_bytes: int) -> list[BatchAt] | None:
        """Batches from memory, None when the disk is needed."""

    async def read(self, partition: "Partition", offset: int, max_bytes: int) -> list[BatchAt]:
        """Batches, waiting for the disk."""

    def stored_batches(self, partition: "Partition") -> Iterator[StoredBatch]:
        """All batches from the log start on; reads sidecars."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that waits for the disk."""

    async def first_after_time(self, partition: "Partition", time_ms: int) -> int | None:
        """The base offset of the first batch that can hold a record at or after a time."""


class Appending(Protocol):
    """What a partition asks of a unit."""

    def records(
        self,
        partitions: "Sequence[Partition]",
        batch: bytes,
        *,
        attributes: bool = False,
        principal: int = 0,
        header: batches.BatchHeader | None = None,
    ) -> None:
        """Add one batch that stands in every one of the partitions."""


class Partition:
    """One partition of a topic; see the module text.

    `next_offset` is reserved state (what the next batch gets); `log_start` and `high_watermark` are applied state
    (what readers see). The stable offset equals the high watermark until transactions exist. `bytes` is an estimate of
    what it takes; compaction by key has been through all below `cleaned`, and left `clean_bytes` of them.

    Invariants:
        P1: log_start <= high_watermark <= next_offset.
        P2: none of the three ever goes back.
    """

    __slots__ = (
        "_journal",
        "_watchers",
        "bytes",
        "clean_bytes",
        "cleaned",
        "epochs",
        "high_watermark",
        "hint_lsn",
        "id",
        "level",
        "log_start",
        "next_offset",
        "producers",
    )

    def __init__(self, journal: Store, partition_id: int, level: Level = "fsync") -> None:
        self._journal = journal
        self.id = partition_id
        self.level: Level = level
        self.log_start = 0
        self.high_watermark = 0
        self.next_offset = 0
        self.epochs: list[tuple[int, int]] = []
        self.producers: ProducerTable | None = None
        self.bytes = 0
        self.cleaned = 0
        self.clean_bytes = 0
        self.hint_lsn = 0
        self._watchers: list[Callable[[], None]] | None = None

    @property
    def index(self) -> int:
        """Its number in the topic."""
        return self.id & 0xFFFF

    @property
    def stable_offset(self) -> int:
        """Below it no transaction is open."""
        return self.high_watermark

    @property
    def leader_epoch(self) -> int:
        """The epoch that new batches carry: it rises only when a restart bound offsets anew."""
        return self.epochs[-1][0] if self.epochs else 0

    def epochs_with(self, epoch: int) -> list[tuple[int, int]]:
        """The epochs with a new one from the next offset on; without those that are trimmed or own no offset."""
        rows = [row for row in self.epochs if row[1] < self.next_offset]
        behind = [start for _, start in rows[1:]]
        first = sum(start <= self.log_start for start in behind)
        return [*rows[first:], (epoch, self.next_offset)]

    def epoch_of(self, offset: int) -> int:
        """The leader epoch under which an offset was given out."""
        for epoch, start in reversed(self.epochs):
            if start <= offset:
                return epoch
        return 0

    # ---- writing ------------------------------------------------------------------------------------------------

    def append(
        self,
        unit: Appending,
        batch: bytes,
        *,
        attributes: bool = False,
        principal: int = 0,
        header: batches.BatchHeader | None = None,
    ) -> None:
        """Add a batch to a unit; its offsets are fixed when the unit is submitted.

        Args:
            unit: a unit of this partition's journal.
            batch: a valid record batch v2; base offset and epoch are patched.
            attributes: some record carries queue attributes (headers `isthmus-...`).
            principal: who publishes.
            header: the batch's, where it is known.
        """
        unit.records((self,), batch, attributes=attributes, principal=principal, header=header)

    def reserve(self, count: int) -> int:
        """Give out the next `count` offsets; called by the unit at submit."""
        base = self.next_offset
        self.next_offset = base + count
        return base

    def promote(self, end_offset: int, size: int) -> None:
        """What ends at `end_offset` is as durable as its level asks; in replay it may be known already."""
        if end_offset > self.high_watermark:
            self.bytes += size
            self.high_watermark = end_offset
            self.next_offset = max(self.next_offset, end_offset)

    def remember_producer(self, header: batches.BatchHeader, base_offset: int) -> None:
        """Keep the sequences of an idempotent producer's batch, so that a repeated one is found."""
        if self.producers is None:
            self.producers = ProducerTable()
        self.producers.add(header.producer_id, header.producer_epoch, header.base_sequence, header.count, base_offset)

    def find_producer(self, header: batches.BatchHeader) -> int | None:
        """Where an idempotent producer's batch is, if it was appended already.

        Raises:
            StaleProducer, OutOfOrderSequence: see `ProducerTable.find`.
        """
        if self.producers is None:
            self.producers = ProducerTable()
        return self.producers.find(header.producer_id, header.producer_epoch, header.base_sequence, header.count)

    def apply_trim(self, log_start: int) -> None:
        """Move the log start up; offsets may be trimmed that replay has not seen yet."""
        if log_start <= self.log_start:
            return
        before = self.high_watermark - self.log_start
        self.log_start = log_start
        self.promote(log_start, 0)
        left = self.high_watermark - log_start
        self.bytes = self.bytes * left // before if before > 0 else 0
        self.clean_bytes = min(self.clean_bytes, self.bytes)

    def apply_state(self, state: facts.PartitionState) -> None:
        """Take over a checkpoint's row, or a change of epochs; in replay it may be older than what is known."""
        if state.next_offset < self.high_watermark or state.log_start < self.log_start:
            return
        self.log_start = state.log_start
        self.promote(state.next_offset, 0)
        self.epochs, self.bytes = list(state.epochs), state.bytes
        if state.cleaned >= self.cleaned:
            self.cleaned, self.clean_bytes = state.cleaned, min(state.clean_bytes, state.bytes)
        self.producers = ProducerTable.restore(state.producers) if state.producers else None

    def state(self, epochs: Iterable[tuple[int, int]] | None = None) -> facts.PartitionState:
        """The applied state as a fact, with other epochs where given."""
        return facts.PartitionState(
            partition=self.id,
            log_start=self.log_start,
            next_offset=self.high_watermark,
            epochs=tuple(self.epochs if epochs is None else epochs),
            producers=self.producers.rows() if self.producers is not None else (),
            bytes=self.bytes,
            cleaned=self.cleaned,
            clean_bytes=self.clean_bytes,
        )

    def compacted(self, cleaned: int, left_bytes: int, removed_bytes: int) -> None:
        """Compaction by key has been through all below `cleaned`, left so many bytes there and removed some."""
        self.bytes = max(0, self.bytes - removed_bytes)
        self.cleaned, self.clean_bytes = max(self.cleaned, cleaned), min(left_bytes, self.bytes)

    # ---- reading ------------------------------------------------------------------------------------------------

    def check_offset(self, offset: int) -> None:
        """Raises OffsetOutOfRange unless `offset` can be read or is the next to come."""
        if not self.log_start <= offset <= self.high_watermark:
            raise OffsetOutOfRange(offset, self.log_start, self.high_watermark)

    def read_now(self, offset: int, max_bytes: int) -> list[BatchAt] | None:
        """Batches from the one that holds or follows `offset`, if memory has them; None when the disk is needed.

        At most `max_bytes`, but at least one batch; [] at the high watermark.

        Raises:
            OffsetOutOfRange: the offset does not exist.
        """
        self.check_offset(offset)
        if offset == self.high_watermark:
            return []
        return self._journal.read_now(self, offset, max_bytes)

    async def read(self, offset: int, max_bytes: int) -> list[BatchAt]:
        """As `read_now`, waiting for the disk where it must.

        Raises:
            OffsetOutOfRange: the offset does not exist.
            Damaged: the bytes on disk are not those that were written.
        """
        found = self.read_now(offset, max_bytes)
        return found if found is not None else await self._journal.read(self, offset, max_bytes)

    async def over_stored(self, decide: Callable[[Iterable[StoredBatch]], T]) -> T:
        """What `decide` makes of all batches from the log start on; it runs off the loop and takes what it needs."""
        return await self._journal.run(lambda: decide(self._journal.stored_batches(self)))

    async def offset_for_time(self, time_ms: int) -> int | None:
        """The first offset whose record timestamp is at or after `time_ms`; None when there is none.

        Spec: Kafka's ListOffsets by timestamp.
        """
        offset = await self._journal.first_after_time(self, time_ms)
        while offset is not None and offset < self.high_watermark:
            for found in await self.read(max(offset, self.log_start), 1):
                for record in batches.decode(found.data, from_offset=self.log_start):
                    if record.timestamp_ms >= time_ms:
                        return record.offset
                offset = found.end_offset
        return None

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back on the loop when the high watermark or log start has moved; returns how to stop that."""
        if self._watchers is None:
            self._watchers = []
        self._watchers.append(callback)
        return partial(self.unwatch, callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Do not call back any more."""
        if self._watchers is not None and callback in self._watchers:
            self._watchers.remove(callback)

    def wake(self) -> None:
        """Tell the watchers; called by the journal once per commit group."""
        if self._watchers:
            for callback in tuple(self._watchers):
                callback()

    @property
    def ended(self) -> StorageError | None:
        """Why nothing more will come: the store is poisoned or closed. Watchers are told, and have to look here."""
        return self._journal.ended

    async def wait_for(self, offset: int, until_ms: int | None) -> bool:
        """Wait until the high watermark is above `offset`, at most until `until_ms` (monotonic).

        Raises:
            StorePoisoned, Closed: it will never be.
        """
        grown: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not grown.done() and (self.high_watermark > offset or self.ended is not None):
                grown.set_result(None)

        unwatch = self.watch(look)
        look()
        try:
            await self._journal.clock.wait(grown, until_ms)
        finally:
            unwatch()
        if self.high_watermark <= offset and self.ended is not None:
            raise self.ended
        return self.high_watermark > offset
