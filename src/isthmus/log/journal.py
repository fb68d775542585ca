"""The journal: units go in, are committed in order, and promoted on the loop; rows and bytes come out.

It owns the segments, the pending bytes, the tail cache and the applied position, and it tells whoever registered for a
fact that the fact is durable, in the same way live and in replay. It knows no topic, queue or group.

Invariants:
    J1: units are promoted in LSN order, each when its commit group is as durable as its strictest entry asks.
    J2: nothing is reserved by a unit that is refused.
    J3: after a failed write or sync nothing is promoted and everything that waits fails.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from isthmus import limits
from isthmus.clock import Clock
from isthmus.definition import Level
from isthmus.errors import (
    Closed,
    Damaged,
    InvariantError,
    Overloaded,
    ReadOnly,
    StorageFull,
    StorePoisoned,
    UnitTooLarge,
)
from isthmus.log import batch as batches
from isthmus.log import commit, facts
from isthmus.log import format as form
from isthmus.log.index import IndexCache, Row
from isthmus.log.partition import BatchAt, Partition
from isthmus.log.segment import Names, Segment, row_flags
from isthmus.log.storage import Storage

T = TypeVar("T")
Applier = Callable[[Any, int], None]
Placed = tuple[Partition, int, int]
"""A partition with the base offset and the record count of a batch that was placed in it."""

_UNIT_OVERHEAD: Final = form.GROUP_HEADER_BYTES


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """Sizes of one store: bytes per segment file, bytes of newest batches in memory, bytes between checkpoints."""

    segment_bytes: int = limits.SEGMENT_BYTES_EMBEDDED
    tail_cache_bytes: int = limits.TAIL_CACHE_BYTES
    checkpoint_bytes: int = limits.CHECKPOINT_JOURNAL_BYTES
    pending_bytes_max: int = limits.PENDING_BYTES_MAX


class Pending(Generic[T]):
    """What was submitted and is not promoted yet. Await it for the result; cancelling a waiter withdraws nothing."""

    __slots__ = ("_callbacks", "_result", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: Exception | None = None
        self._result: T | None = None
        self._callbacks: list[Callable[[Pending[T]], None]] | None = None

    def result(self) -> T:
        """The result; raises what the commit failed with, or InvariantError before it is done."""
        if self.error is not None:
            raise self.error
        if not self.done:
            raise InvariantError("the result of a unit was asked for before it was durable")
        return self._result  # type: ignore[return-value]  # set whenever done without error

    def add_done_callback(self, callback: "Callable[[Pending[T]], None]") -> None:
        """Call back when it is done; at once when it is."""
        if self.done:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def settle(self, result: T | None, error: Exception | None = None) -> None:
        """Finish it; for the journal, and for whoever builds on a unit with a result of another shape."""
        self.done, self._result, self.error = True, result, error
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            future = asyncio.get_running_loop().create_future()
            self.add_done_callback(lambda _: None if future.done() else future.set_result(None))
            yield from future
        return self.result()


class _Records:
    """A batch of a unit on its way: where it goes, and where it went."""

    __slots__ = ("attributes", "bases", "batch", "header", "partitions", "principal")

    def __init__(self, partitions: Sequence[Partition], batch: bytes, *, attributes: bool, principal: int) -> None:
        self.partitions = partitions
        self.batch = batch
        self.header = batches.header(batch)
        self.attributes = attributes
        self.principal = principal
        self.bases: list[int] = []

    @property
    def size(self) -> int:
        return form.entry_length(len(self.partitions), len(self.batch))

    @property
    def count(self) -> int:
        """Offsets that it takes, which are more than its records when it was compacted."""
        return self.header.last_offset_delta + 1

    @property
    def flags(self) -> int:
        return (
            form.ENTRY_ATTRIBUTES * self.attributes
            + form.ENTRY_TRANSACTIONAL * self.header.transactional
            + form.ENTRY_CONTROL * self.header.control
        )

    def place(self, checksums: form.Checksums) -> bytes:
        """Reserve the offsets and encode the entry."""
        count = self.count
        self.bases = [partition.reserve(count) for partition in self.partitions]
        first = self.partitions[0]
        self.batch = batches.place(self.batch, self.bases[0], first.leader_epoch)
        placements = [(partition.id, base) for partition, base in zip(self.partitions, self.bases, strict=True)]
        return form.encode_entry(checksums, form.RECORDS, self.flags, self.principal, placements, self.batch)


class Unit:
    """What becomes durable together or not at all. Nothing has happened until `submit`."""

    __slots__ = ("_facts", "_journal", "_records", "_steps", "entries", "pending", "size", "sync")

    def __init__(self, journal: "Journal") -> None:
        self._journal = journal
        self._records: list[_Records] = []
        self._facts: list[tuple[facts.Fact, int]] = []
        self._steps: list[tuple[Callable[[], None] | None, Callable[[], None]]] = []
        self.entries: list[bytes] = []
        self.size = 0
        self.sync = False
        self.pending: Pending[list[Placed]] = Pending()

    def records(
        self, partitions: Sequence[Partition], batch: bytes, *, attributes: bool = False, principal: int = 0
    ) -> None:
        """Add one batch that stands in every one of the partitions (fan-out when there are several).

        Raises:
            InvalidBatch: the bytes are not one record batch.
            UnitTooLarge: more than PLACEMENTS_MAX partitions.
        """
        if len(partitions) > limits.PLACEMENTS_MAX:
            raise UnitTooLarge(len(partitions), limits.PLACEMENTS_MAX, "partitions of one batch")
        self._records.append(_Records(partitions, batch, attributes=attributes, principal=principal))
        self.sync = self.sync or any(partition.level == "fsync" for partition in partitions)

    def fact(self, fact: facts.Fact, level: Level = "fsync", principal: int = 0) -> None:
        """Add a fact; at `written` it does not ask for a sync of its own."""
        self._facts.append((fact, principal))
        self.sync = self.sync or level == "fsync"

    def step(self, check: Callable[[], None] | None, reserve: Callable[[], None]) -> None:
        """Add a decision: at submit all checks run first and may refuse; then all reserve, and may add facts."""
        self._steps.append((check, reserve))

    @property
    def changes(self) -> bool:
        """Whether anything was added to it."""
        return bool(self._records or self._facts or self._steps)

    def submit(self) -> Pending[list[Placed]]:
        """Check, reserve, and hand it to the commit; the result says where the batches went, in order.

        Raises:
            UnitTooLarge, StorageFull, Overloaded, ReadOnly, Damaged, StorePoisoned, Closed: nothing was reserved.
            RequestError: whatever a check of a step raised; nothing was reserved.
        """
        journal = self._journal
        size = sum(records.size for records in self._records)
        self._check(size)
        journal.admit(size)
        for check, _ in self._steps:
            if check is not None:
                check()
        for _, reserve in self._steps:
            reserve()
        checksums = journal.checksums
        self.entries = [records.place(checksums) for records in self._records]
        self.entries += [
            form.encode_fact_entry(checksums, principal, facts.encode(fact)) for fact, principal in self._facts
        ]
        self.size = sum(map(len, self.entries))
        journal.enqueue(self)
        return self.pending

    def _check(self, size: int) -> None:
        if size + 64 * len(self._facts) > limits.UNIT_BYTES_MAX:
            raise UnitTooLarge(size, limits.UNIT_BYTES_MAX, "bytes")
        count = len(self._records) + len(self._facts)
        if count > limits.UNIT_ENTRIES_MAX:
            raise UnitTooLarge(count, limits.UNIT_ENTRIES_MAX, "entries")

    def promote(self, lsn: int, promotion: "Promotion") -> int:
        """Move applied state: index rows, high watermarks, facts. Returns the LSN behind the unit."""
        entries = iter(self.entries)
        placed: list[Placed] = []
        for records in self._records:
            length = len(next(entries))
            for partition, base in zip(records.partitions, records.bases, strict=True):
                promotion.records(partition, base, lsn, length, records.flags, records.header)
                placed.append((partition, base, records.count))
            promotion.remember(lsn, records.batch)
            if records.attributes:
                promotion.attributes(records.partitions, records.bases, records.batch)
            lsn += length
        for fact, _ in self._facts:
            promotion.fact(fact, lsn)
            lsn += len(next(entries))
        promotion.settled.append((self.pending, placed))
        return lsn


class Promotion:
    """What one commit group changes, live or in replay: applied first, told to watchers and waiters afterwards."""

    def __init__(self, journal: "Journal", segment: Segment, time_ms: int) -> None:
        self._journal = journal
        self._segment = segment
        self.time_ms = time_ms
        self.moved: dict[int, Partition] = {}
        self.settled: list[tuple[Pending[list[Placed]], list[Placed]]] = []

    def records(  # noqa: PLR0913 - a row of the index
        self, partition: Partition, base: int, lsn: int, length: int, flags: int, header: batches.BatchHeader
    ) -> None:
        """A batch stands in a partition: index it and move the high watermark."""
        end = base + header.last_offset_delta + 1
        self._segment.add(partition.id, base, end, lsn, length, flags, header.max_timestamp_ms)
        if header.producer_id >= 0:
            partition.remember_producer(header, base)
        partition.promote(end, length)
        self.moved[partition.id] = partition

    def remember(self, lsn: int, batch: bytes) -> None:
        """Keep the bytes for readers that are at the end."""
        self._journal.cache.put(lsn, batch)

    def attributes(self, partitions: Sequence[Partition], bases: Sequence[int], batch: bytes) -> None:
        """Tell who keeps de-duplication windows of a batch with queue attributes."""
        hook = self._journal.attributes_hook
        if hook is not None:
            for partition, base in zip(partitions, bases, strict=True):
                hook(partition, base, batch, self.time_ms)

    def fact(self, fact: facts.Fact, lsn: int) -> None:
        """A fact is as durable as it asked to be: its owner applies it."""
        applier = self._journal.appliers.get(type(fact))
        if applier is not None:
            applier(fact, lsn)

    def finish(self) -> None:
        """Resolve the waiters, then wake the watchers."""
        for pending, placed in self.settled:
            pending.settle(placed)
        for partition in self.moved.values():
            partition.wake()


class TailCache:
    """The newest batches by LSN, bounded in bytes; the oldest goes first."""

    __slots__ = ("_batches", "_bytes", "_bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self._batches: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._bytes_max = bytes_max

    def put(self, lsn: int, batch: bytes) -> None:
        """Keep a batch; a larger one than the whole cache is not kept."""
        self._batches[lsn] = batch
        self._bytes += len(batch)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._batches.popitem(last=False)[1])

    def get(self, lsn: int) -> bytes | None:
        """The batch whose entry is at that LSN, if it is still here."""
        return self._batches.get(lsn)

    def drop_below(self, lsn: int) -> None:
        """Forget what a removed segment held."""
        while self._batches and next(iter(self._batches)) < lsn:
            self._bytes -= len(self._batches.popitem(last=False)[1])


class Journal:
    """One store's journal; see the module text. Opened by `recovery.open_journal`."""

    def __init__(self, storage: Storage, clock: Clock, options: JournalOptions | None = None) -> None:
        self.storage = storage
        self.clock = clock
        self.options = options or JournalOptions()
        self.appliers: dict[type[facts.Fact], Applier] = {}
        self.exporters: list[Callable[[], Iterable[facts.Fact]]] = []
        self.exporters_after: list[Callable[[], Iterable[facts.Fact]]] = []
        self.attributes_hook: Callable[[Partition, int, bytes, int], None] | None = None
        self.names_hook: Callable[[int], tuple[str, str, int, bytes] | None] | None = None
        self.partitions: dict[int, Partition] = {}
        self.segments: list[Segment] = []
        self.removed: list[tuple[int, int]] = []
        self.accepted: list[facts.LossAccepted] = []
        self.checkpoints: list[int] = []
        self.checkpoint_bytes = 0
        self.damage: tuple[str, ...] = ()
        self.read_only: str | None = None
        self.checksums: form.Checksums
        self.store = b""
        self.epoch = 0
        self.boot_id = ""
        self.applied_lsn = 0
        self.written_lsn = 0
        self.durable_lsn = 0
        self.time_ms = 0
        self.pending_bytes = 0
        self.room_bytes = 0
        self.spare_bytes = 0
        self.error: StorePoisoned | None = None
        self.closed = False
        self.cache = TailCache(self.options.tail_cache_bytes)
        self.index_cache = IndexCache(limits.INDEX_CACHE_BYTES)
        self.work: ThreadPoolExecutor | None = None
        self._writer: commit.Writer | None = None
        self._thread: commit.CommitThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._marked = True
        self._marker_armed = False
        self._last_commit_ms = 0
        self._roomless: list[asyncio.Future[object]] = []
        self._background: set[asyncio.Future[None]] = set()
        self.register(facts.PartitionState, self._apply_partition_state)
        self.register(facts.Trimmed, self._apply_trim)
        self.register(facts.SegmentsRemoved, self._apply_segments_removed)
        self.register(facts.LossAccepted, self._apply_loss)
        self.register(facts.StoreOpened, self._apply_opened)

    # ---- what others hang on ------------------------------------------------------------------------------------

    def register(self, fact_type: type[facts.Fact], apply: Applier) -> None:
        """Have `apply(fact, lsn)` called for each durable fact of a type, live and in replay."""
        self.appliers[fact_type] = apply

    def add_partition(self, partition_id: int, level: Level) -> Partition:
        """Make a partition known, or give the known one its level."""
        partition = self.partitions.get(partition_id)
        if partition is None:
            partition = self.partitions[partition_id] = Partition(self, partition_id, level)
        partition.level = level
        return partition

    def remove_partition(self, partition_id: int) -> None:
        """Forget a partition: all that it holds in the journal is dead."""
        gone = self.partitions.pop(partition_id, None)
        if gone is not None:
            gone.wake()

    def names_of(self, partition_ids: Iterable[int]) -> Names:
        """What the sidecars say of partitions: namespace, topic, index and uuid."""
        hook = self.names_hook
        named = ((key, hook(key)) for key in partition_ids) if hook is not None else ()
        return {key: name for key, name in named if name is not None}

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that waits for the disk on a work thread, or here when there is no disk to wait for."""
        if self.storage.inline:
            return work()
        with self.clock.busy("work for the journal"):
            return await asyncio.get_running_loop().run_in_executor(self.work, work)

    def checkpointed(self, applied_lsn: int, size: int) -> None:
        """A checkpoint is durable; called by `checkpoint.take`."""
        self.checkpoints = [*self.checkpoints, applied_lsn][-2:]
        self.checkpoint_bytes = size

    @property
    def checkpoint_due(self) -> bool:
        """Whether the journal has grown enough since the last checkpoint for another."""
        grown = self.applied_lsn - (self.checkpoints[-1] if self.checkpoints else 0)
        return grown >= max(self.options.checkpoint_bytes, limits.CHECKPOINT_GROWTH_FACTOR * self.checkpoint_bytes)

    def in_background(self, work: Callable[[], None]) -> None:
        """Run something on a work thread (here where there is none); if it fails, the journal is poisoned."""
        if self.work is None:
            work()
            return
        loop = asyncio.get_running_loop()
        busy = self.clock.busy("background work of the journal")
        busy.__enter__()
        future = loop.run_in_executor(self.work, work)
        self._background.add(future)

        def finished(done: "asyncio.Future[None]") -> None:
            self._background.discard(done)
            busy.__exit__(None, None, None)
            error = None if done.cancelled() else done.exception()
            if isinstance(error, Exception):
                self._poison(commit.Committed((), error=error))

        future.add_done_callback(finished)

    def export(self) -> Iterator[facts.Fact]:
        """The shortest list of facts that rebuilds all applied state: the parts' own, then the log's."""
        for export in self.exporters:
            yield from export()
        for partition in list(self.partitions.values()):
            yield partition.state()
        for export in self.exporters_after:
            yield from export()
        yield facts.StoreOpened(self.epoch, self.boot_id, self.time_ms)
        yield facts.SegmentsRemoved(tuple(self.removed))
        yield from self.accepted

    def _apply_partition_state(self, state: facts.PartitionState, _lsn: int) -> None:
        partition = self.partitions.get(state.partition)
        if partition is None:
            partition = self.add_partition(state.partition, "fsync")
        partition.apply_state(state)

    def _apply_trim(self, fact: facts.Trimmed, _lsn: int) -> None:
        partition = self.partitions.get(fact.partition)
        if partition is not None:
            partition.apply_trim(fact.log_start)
            partition.wake()

    def _apply_segments_removed(self, fact: facts.SegmentsRemoved, _lsn: int) -> None:
        self.removed = merge_ranges([*self.removed, *fact.ranges])

    def _apply_loss(self, fact: facts.LossAccepted, _lsn: int) -> None:
        if fact not in self.accepted:
            self.accepted.append(fact)

    def _apply_opened(self, fact: facts.StoreOpened, _lsn: int) -> None:
        self.epoch, self.boot_id = max(self.epoch, fact.epoch), fact.boot_id

    # ---- writing ------------------------------------------------------------------------------------------------

    def unit(self) -> Unit:
        """A new unit; dropped without a trace unless submitted."""
        return Unit(self)

    def check_open(self) -> None:
        """Raises what stands against writing: StorePoisoned, Closed, Damaged, ReadOnly."""
        if self.error is not None:
            raise self.error
        if self.closed:
            raise Closed(self.storage.directory)
        if self.damage:
            raise Damaged(self.storage.directory, self.damage)
        if self.read_only is not None:
            raise ReadOnly(self.storage.directory, self.read_only)

    def admit(self, record_bytes: int) -> None:
        """Raises what stands against a unit with that many bytes of records; 0 passes the bounds for publishers."""
        self.check_open()
        if record_bytes == 0:
            return
        if self.pending_bytes and self.pending_bytes + record_bytes > self.options.pending_bytes_max:
            raise Overloaded("bytes that wait for the disk", self.options.pending_bytes_max)
        if self.spare_bytes == 0 and self.pending_bytes + record_bytes + _UNIT_OVERHEAD > self.room_bytes:
            raise StorageFull(self.storage.directory, self.options.segment_bytes)

    async def room(self) -> None:
        """Wait until publishers may go on: pending bytes are below the low mark."""
        while self.pending_bytes > limits.PENDING_BYTES_LOW and self.error is None:
            future = asyncio.get_running_loop().create_future()
            self._roomless.append(future)
            await future

    def enqueue(self, unit: Unit) -> None:
        """Hand a unit to the commit; called by `Unit.submit` after everything is reserved."""
        self.pending_bytes += unit.size
        self._marked = False
        if self._thread is not None:
            self._thread.submit(unit)
        else:
            self._commit_inline([unit])
        self._arm_marker()

    def start(self, writer: commit.Writer) -> None:
        """Begin to take units; called once by recovery, which made the writer. Needs a running loop for a disk."""
        self._writer = writer
        self.written_lsn = writer.end_lsn
        self.durable_lsn = writer.durable_lsn
        self.room_bytes, self.spare_bytes = writer.capacity - writer.position, writer.spare_bytes
        if not self.storage.inline:
            self.attach()

    def attach(self) -> None:
        """Bind to the running loop and start the threads."""
        if self._writer is None:
            raise InvariantError("a journal is attached before it is recovered")
        self._loop = asyncio.get_running_loop()
        self.work = ThreadPoolExecutor(limits.THREADS_WORK, thread_name_prefix="isthmus-work")
        self._thread = commit.CommitThread(self._writer, self._report)

    def _report(self, done: commit.Committed) -> None:
        """On the commit thread: hand over to the loop."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._promote, done)

    def _commit_inline(self, units: Sequence[commit.Encoded]) -> None:
        if self._writer is None:
            raise InvariantError("a unit was submitted before the journal was recovered")
        for done in (commit.commit_once(self._writer, units), commit.top_up(self._writer)):
            if done is not None:
                self._promote(done)

    def _promote(self, done: commit.Committed) -> None:
        self.clock.stir()
        if done.error is not None or self.error is not None:
            self._poison(done)
            return
        if done.rolled is not None:
            self._rolled(done.rolled)
        self.room_bytes, self.spare_bytes = done.room_bytes, done.spare_bytes
        promotion = Promotion(self, self.segments[-1], done.time_ms)
        lsn = done.units_lsn
        for unit in done.units:
            if not isinstance(unit, Unit):
                continue
            self.pending_bytes -= unit.size
            lsn = unit.promote(lsn, promotion)
        self.time_ms = done.time_ms
        self.applied_lsn = self.written_lsn = done.written_lsn
        self.durable_lsn = done.durable_lsn
        self.segments[-1].end_lsn = done.written_lsn
        self._last_commit_ms = self.clock.monotonic_ms()
        promotion.finish()
        if self._roomless and self.pending_bytes <= limits.PENDING_BYTES_LOW:
            self._wake_roomless()

    def _rolled(self, rolled: commit.Rolled) -> None:
        sealed = self.segments[-1]
        sealed.end_lsn = rolled.end_lsn
        name = commit.segment_name(rolled.end_lsn)
        self.segments.append(Segment(self, name, rolled.end_lsn, rolled.end_lsn, rolled.file))
        sealed.seal()

    def _wake_roomless(self) -> None:
        waiting, self._roomless = self._roomless, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _poison(self, done: commit.Committed) -> None:
        """Nothing more is promised (J3): everything that waits fails, everything that comes is refused."""
        if self.error is None:
            cause = f"a write or sync failed ({type(done.error).__name__}: {done.error})"
            self.error = StorePoisoned(self.storage.directory, cause)
            self.error.__cause__ = done.error
        for unit in done.units:
            if isinstance(unit, Unit):
                self.pending_bytes -= unit.size
                unit.pending.settle(None, self.error)
        self._wake_roomless()

    # ---- the idle marker ----------------------------------------------------------------------------------------

    def _arm_marker(self) -> None:
        """50 ms after the last commit an empty group records the durable LSN, once per idle period."""
        if self._marker_armed or self.closed:
            return
        self._marker_armed = True
        self.clock.timer(self.clock.monotonic_ms() + limits.IDLE_MARKER_MS, self._marker_due)

    def _marker_due(self) -> None:
        self._marker_armed = False
        if self._marked or self.closed or self.error is not None:
            return
        idle_ms = self.clock.monotonic_ms() - self._last_commit_ms
        if self.pending_bytes or idle_ms < limits.IDLE_MARKER_MS:
            self._arm_marker()
            return
        self.mark()

    def mark(self) -> None:
        """Write an empty group now."""
        self._marked = True
        if self._thread is not None:
            self._thread.submit(Unit(self))
        else:
            self._commit_inline([])

    # ---- reading ------------------------------------------------------------------------------------------------

    def rows(self, partition: Partition, offset: int, limit: int) -> tuple[Segment, list[Row]] | None:
        """The segment that holds or follows an offset, with its rows from there; None at the end.

        The search starts where the partition's last one ended when that is not behind the offset.
        """
        active = self.segments[-1]
        bounds = active.bounds(partition.id)
        if bounds is not None and bounds[0] <= offset:
            found = active.rows(partition.id, offset, limit)
            return (active, found) if found else None
        for segment in self._from_hint(partition, offset):
            if segment.may_hold(partition.id):
                found = segment.rows(partition.id, offset, limit)
                if found:
                    partition.hint = (segment.first_lsn, found[0].base_offset)
                    return segment, found
        return None

    def _from_hint(self, partition: Partition, offset: int) -> Iterator[Segment]:
        hint_lsn, hint_offset = partition.hint
        start = 0
        if offset >= hint_offset:
            start = next((at for at, segment in enumerate(self.segments) if segment.end_lsn > hint_lsn), 0)
        for at in range(start, len(self.segments)):
            yield self.segments[at]

    def read_now(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt] | None:
        """`Partition.read_now` without the checks."""
        active = self.segments[-1]
        bounds = active.bounds(partition.id)
        if bounds is None or bounds[0] > offset:
            if not self.storage.inline:
                return None
            return self._read_from(partition, offset, max_bytes)
        rows = active.rows(partition.id, offset, rows_for(max_bytes))
        return self._collect(partition, active, rows, max_bytes, wait=self.storage.inline)

    async def read(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt]:
        """`Partition.read` for what memory does not have: on a work thread, with read-ahead."""
        return await self.run(lambda: self._read_from(partition, offset, max_bytes))

    def _read_from(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt]:
        limit = rows_for(max_bytes)
        located = self.rows(partition, offset, limit + limits.READ_AHEAD_ENTRIES)
        if located is None:
            return []
        segment, rows = located
        if not self.storage.inline:
            segment.read_ahead(rows)
        return self._collect(partition, segment, rows, max_bytes, wait=True) or []

    def _collect(
        self, partition: Partition, segment: Segment, rows: Sequence[Row], max_bytes: int, *, wait: bool
    ) -> list[BatchAt] | None:
        """The batches of rows up to `max_bytes`, at least one; what is not at hand ends it, or is waited for."""
        found: list[BatchAt] = []
        high_watermark = partition.high_watermark
        for row in rows:
            if row.base_offset >= high_watermark or (found and row.length > max_bytes):
                break
            data = segment.batch_at(partition, row, wait=wait)
            if data is None:
                return found or None
            found.append(BatchAt(row.base_offset, row.end_offset, row_flags(row), data))
            max_bytes -= row.length
        return found

    async def first_after_time(self, partition: Partition, time_ms: int) -> int | None:
        """The base offset of the first batch that can hold a record at or after a time."""
        return await self.run(lambda: self._first_after_time(partition, time_ms))

    def _first_after_time(self, partition: Partition, time_ms: int) -> int | None:
        for segment in tuple(self.segments):
            if segment.may_hold(partition.id):
                row = segment.first_after_time(partition.id, time_ms)
                if row is not None and row.end_offset > partition.log_start:
                    return row.base_offset
        return None

    # ---- closing ------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until all that was submitted so far is durable."""
        unit = self.unit()
        unit.sync = True
        unit.fact(facts.SegmentsRemoved(tuple(self.removed)))
        await unit.submit()

    async def stop(self) -> None:
        """Record the durable LSN, end the threads, close the files. The checkpoint comes before (`checkpoint.py`)."""
        if self.closed:
            return
        if self.error is None and self._writer is not None:
            self.mark()
        self.closed = True
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.stop)
        if self._background:
            await asyncio.wait(self._background)
        if self.work is not None:
            self.work.shutdown(wait=True)
        for segment in self.segments:
            segment.close()


def rows_for(max_bytes: int) -> int:
    """How many index rows to look at for that many bytes: a batch is rarely below 256 bytes."""
    return max(1, min(4_096, max_bytes // 256))


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in rising, disjoint, half-open ranges."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged
