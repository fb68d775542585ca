"""The journal: units go in, are committed in order, and promoted on the loop; rows and bytes come out.

It owns the segments, the pending bytes, the tail cache and the applied position, and it tells whoever registered for a
fact that the fact is durable, in the same way live and in replay. It knows no topic, queue or group.

Invariants:
    J1: units are promoted in LSN order, each when its commit group is as durable as its strictest entry asks.
    J2: nothing is reserved by a unit that is refused.
    J3: after a failed write or sync nothing is promoted and everything that waits fails.
"""

import asyncio
import contextlib
import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, cast

from isthmus import limits
from isthmus.clock import Clock
from isthmus.definition import Level
from isthmus.errors import (
    Closed,
    Damaged,
    ForkedBroker,
    Overloaded,
    ReadOnly,
    RequestError,
    StorageError,
    StorageFull,
    StorePoisoned,
)
from isthmus.log import commit, facts
from isthmus.log import format as form
from isthmus.log.files import Files
from isthmus.log.index import IndexCache
from isthmus.log.partition import BatchAt, Partition, StoredBatch
from isthmus.log.pending import Pending as Pending
from isthmus.log.promotion import Applier, Promotion
from isthmus.log.promotion import Placed as Placed
from isthmus.log.reading import Reader
from isthmus.log.segment import Names, Segment
from isthmus.log.storage import Storage
from isthmus.log.tail import TailCache
from isthmus.log.unit import Unit as Unit

T = TypeVar("T")
Exporter = Callable[[], Iterable[facts.Fact]]
"""Gives the facts that rebuild a part's applied state."""

_FACTS_SHARE: Final = 4
"""Units without records may go on until pending bytes are this part over the bound for publishers."""

_FRAME_BYTES: Final = form.GROUP_HEADER_BYTES
"""What a unit takes besides its entries, if no other shares its group."""

_SPARES_FREE: Final = 2
"""So many segments must fit on the disk besides what is pending, if that goes beyond what is pre-allocated."""

_OPENING_BYTES: Final = form.GROUP_HEADER_BYTES + 2 * commit.SEGMENT_OPENED_BYTES_MAX
"""What a new segment takes before its first unit."""


class Orphan(NamedTuple):
    """A partition of which only records are left: `name` as its segments tell it, the offsets that they hold."""

    partition: int
    name: tuple[str, str, int, bytes] | None
    first_offset: int
    end_offset: int


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """Sizes of one store: bytes per segment file, bytes of newest batches in memory, bytes between checkpoints."""

    segment_bytes: int = limits.SEGMENT_BYTES_EMBEDDED
    tail_cache_bytes: int = limits.TAIL_CACHE_BYTES
    checkpoint_bytes: int = limits.CHECKPOINT_JOURNAL_BYTES
    pending_bytes_max: int = limits.PENDING_BYTES_MAX


class Journal:
    """One store's journal; see the module text. Opened by `recovery.open_journal`."""

    def __init__(self, storage: Storage, clock: Clock, options: JournalOptions | None = None) -> None:
        self.storage = storage
        self.clock = clock
        self.options = options or JournalOptions()
        self.appliers: dict[type[facts.Fact], Applier] = {}
        self.exporters: list[Exporter] = []
        self.exporters_after: list[Exporter] = []
        self.attributes_hook: Callable[[Partition, int, bytes, int], None] | None = None
        self.names_hook: Callable[[int], tuple[str, str, int, bytes] | None] | None = None
        self.orphans_hook: Callable[[Sequence[Orphan]], Iterable[facts.Fact]] | None = None
        self.partitions: dict[int, Partition] = {}
        self.segments: list[Segment] = []
        self.removed: list[tuple[int, int]] = []
        self.swaps: dict[str, facts.Swap] = {}
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
        self.groups_committed = 0
        self.batches_appended = 0
        self.records_appended = 0
        self.space = commit.Space()
        self.error: StorePoisoned | ForkedBroker | None = None
        _journals.add(self)
        self.closed = False
        self.cache = TailCache(self.options.tail_cache_bytes)
        self.index_cache = IndexCache(limits.INDEX_CACHE_BYTES)
        self.files = Files(storage)
        self._reader = Reader(self)
        self.work: ThreadPoolExecutor | None = None
        self._writer: commit.Writer | None = None
        self._thread: commit.CommitThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inline: deque[Unit | commit.Order] = deque()
        self._held: list[Unit | commit.Order] | None = None
        self._at_release: deque[Callable[[], None]] = deque()
        self._committing = False
        self._marked = True
        self._marker_armed = False
        self._last_commit_ms = 0
        self._roomless: list[asyncio.Future[object]] = []
        self._background: set[asyncio.Task[Exception | None]] = set()
        self._at_work: set[asyncio.Future[Any]] = set()
        self._stopping: asyncio.Future[None] | None = None
        self._asked_for_room = False
        self.register(facts.PartitionState, self._apply_partition_state)
        self.register(facts.Trimmed, self._apply_trim)
        self.register(facts.SegmentsRemoved, self._apply_segments_removed)
        self.register(facts.Swap, self._apply_swap)
        self.register(facts.LossAccepted, self._apply_loss)
        self.register(facts.StoreOpened, self._apply_opened)
        self.register(facts.StoreClosed, self._apply_closed)

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

    def log_start(self, partition_id: int) -> int | None:
        """Below it a partition's records are dead; None when it is gone."""
        partition = self.partitions.get(partition_id)
        return None if partition is None else partition.log_start

    @property
    def covered_lsn(self) -> int:
        """What is below it no opening replays, whichever checkpoint it uses."""
        return min(self.checkpoints[-2:]) if len(self.checkpoints) > 1 else 0

    def names_of(self, partition_ids: Iterable[int]) -> Names:
        """What the sidecars say of partitions: namespace, topic, index and uuid."""
        hook = self.names_hook
        named = ((key, hook(key)) for key in partition_ids) if hook is not None else ()
        return {key: name for key, name in named if name is not None}

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that waits for the disk on a work thread, or here when there is no disk to wait for.

        Raises:
            Closed: the journal was stopped.
        """
        if self.closed:
            raise Closed(self.storage.directory)
        if self.storage.inline:
            return work()
        with self.clock.busy("work for the journal"):
            at_work = asyncio.get_running_loop().run_in_executor(self.work, work)
            self._at_work.add(at_work)
            at_work.add_done_callback(self._at_work.discard)
            return await at_work

    async def quiesce(self) -> None:
        """Wait for all that is at work now: then nobody uses what was taken out of the journal before."""
        if self._at_work:
            await asyncio.wait(tuple(self._at_work))

    def take_place(self, target: Segment, sources: Sequence[Segment]) -> None:
        """A compacted segment takes the place of its sources, which readers at work may go on reading."""
        at = self.segments.index(sources[0])
        self.segments = [*self.segments[:at], target, *self.segments[at + len(sources) :]]
        self._reader.forget()

    def checkpointed(self, applied_lsn: int, size: int) -> None:
        """A checkpoint is durable; called by `checkpoint.take`."""
        self.checkpoints = [*self.checkpoints, applied_lsn][-2:]
        self.checkpoint_bytes = size

    @property
    def checkpoint_due(self) -> bool:
        """Whether the journal has grown enough since the last checkpoint for another."""
        grown = self.applied_lsn - (self.checkpoints[-1] if self.checkpoints else 0)
        return grown >= max(self.options.checkpoint_bytes, limits.CHECKPOINT_GROWTH_FACTOR * self.checkpoint_bytes)

    @property
    def ended(self) -> StorageError | None:
        """Why nothing new will ever be readable here; None while something may."""
        return self.error or (Closed(self.storage.directory) if self.closed else None)

    @property
    def writable(self) -> bool:
        """Whether files may be written: a writer was made, and nothing has failed."""
        return self._writer is not None and self.error is None

    @property
    def syncs(self) -> commit.SyncTimes:
        """How long syncs took since the opening."""
        return commit.SyncTimes() if self._writer is None else self._writer.syncs

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
        yield from list(self.swaps.values())
        yield from self.accepted

    def forget(self) -> None:
        """Begin a recovery anew; what was applied stays, since facts set absolute values."""
        self.files.close()
        self.segments, self.checkpoints, self.damage = [], [], ()

    # ---- the log's own facts ------------------------------------------------------------------------------------

    def _apply_partition_state(self, state: facts.PartitionState, _lsn: int) -> None:
        partition = self.partitions.get(state.partition)
        if partition is not None:
            partition.apply_state(state)

    def _apply_trim(self, fact: facts.Trimmed, _lsn: int) -> None:
        partition = self.partitions.get(fact.partition)
        if partition is not None:
            partition.apply_trim(fact.log_start)
            partition.wake()

    def _apply_segments_removed(self, fact: facts.SegmentsRemoved, _lsn: int) -> None:
        self.removed = merge_ranges([*self.removed, *fact.ranges])
        gone = [swap.target for swap in self.swaps.values() if is_within((swap.first_lsn, swap.end_lsn), self.removed)]
        for target in gone:
            del self.swaps[target]

    def _apply_swap(self, fact: facts.Swap, _lsn: int) -> None:
        for source in fact.sources:
            self.swaps.pop(source, None)
        if not is_within((fact.first_lsn, fact.end_lsn), self.removed):
            self.swaps[fact.target] = fact

    def _apply_loss(self, fact: facts.LossAccepted, _lsn: int) -> None:
        if fact not in self.accepted:
            self.accepted.append(fact)

    def _apply_opened(self, fact: facts.StoreOpened, _lsn: int) -> None:
        if fact.epoch >= self.epoch:
            self.epoch, self.boot_id = fact.epoch, fact.boot_id

    def _apply_closed(self, fact: facts.StoreClosed, _lsn: int) -> None:
        if fact.epoch == self.epoch:
            # No boot of the machine holds anything that could be lost with it.
            self.boot_id = ""

    def given_up_until(self, lsn: int) -> int:
        """Where the range ends that an operator gave up and that holds an LSN; the LSN itself when there is none."""
        for start, end in merge_ranges(row for loss in self.accepted for row in loss.ranges):
            if start <= lsn < end:
                return end
        return lsn

    # ---- writing ------------------------------------------------------------------------------------------------

    def unit(self) -> Unit:
        """A new unit; dropped without a trace unless submitted."""
        return Unit(self)

    def check_open(self) -> None:
        """Raises what stands against writing: StorePoisoned, ForkedBroker, Closed, Damaged, ReadOnly."""
        if self.error is not None:
            raise self.error
        if self.closed:
            raise Closed(self.storage.directory)
        if self.damage:
            raise Damaged(self.storage.directory, self.damage)
        if self.read_only is not None:
            raise ReadOnly(self.storage.directory, self.read_only)

    def admit(self, record_bytes: int, fact_bytes: int) -> None:
        """Raises what stands against a unit of that size. Units without records may use what publishers may not.

        Raises:
            StorePoisoned, Closed, Damaged, ReadOnly: nothing can be written.
            Overloaded: too many bytes wait for the disk; `room` waits until they do not.
            StorageFull: the disk has no room for the next segment.
        """
        self.check_open()
        limit = self.options.pending_bytes_max
        if not record_bytes:
            limit += limit // _FACTS_SHARE
        size = record_bytes + fact_bytes + _FRAME_BYTES
        if self.pending_bytes and self.pending_bytes + size > limit:
            raise Overloaded("bytes that wait for the disk", limit)
        needed = self.pending_bytes + size
        if needed <= (self.space.publish if record_bytes else self.space.active):
            return
        if needed + _OPENING_BYTES > self.space.spare:
            self._admit_without_spare(needed + _OPENING_BYTES, size, for_records=record_bytes > 0)

    def _admit_without_spare(self, needed: int, size: int, *, for_records: bool) -> None:
        """Neither the active segment nor the next has room for all that is pending and this."""
        space, segment_bytes = self.space, self.options.segment_bytes
        if space.full:
            self._ask_for_room()
            if for_records or needed > space.reserve:
                raise StorageFull(self.storage.directory, segment_bytes)
        elif self.storage.free_bytes() < needed + _SPARES_FREE * segment_bytes:
            if size + _OPENING_BYTES > segment_bytes:
                # It gets a segment of its own size, which nobody makes before it is asked for.
                raise StorageFull(self.storage.directory, needed)
            if for_records:
                raise Overloaded("bytes that wait for the next segment", segment_bytes)

    def _ask_for_room(self) -> None:
        """Have a full disk looked at again: nothing else may come that would do it."""
        if not self._asked_for_room:
            self._asked_for_room = True
            self._submit(commit.Order.TOP_UP)

    async def room(self) -> None:
        """Wait until publishers that were refused with `Overloaded` may go on; at once when nothing is in the way."""
        while not self._has_room:
            future = asyncio.get_running_loop().create_future()
            self._roomless.append(future)
            await future

    @property
    def _has_room(self) -> bool:
        if self.error is not None or self.closed:
            return True
        return self.pending_bytes <= limits.PENDING_BYTES_LOW and (self.space.spare > 0 or self.space.full)

    def enqueue(self, unit: Unit) -> None:
        """Hand a unit to the commit; called by `Unit.submit` after everything is reserved."""
        self.pending_bytes += unit.size + _FRAME_BYTES
        self._marked = False
        self._submit(unit)
        if not self._marker_armed:
            self._arm_marker(self.clock.monotonic_ms() + limits.IDLE_MARKER_MS)

    def seal_active(self) -> Pending[list[Placed]]:
        """Begin a new segment, so that the active one can be removed when nothing in it is needed any more.

        Raises:
            StorageFull, ReadOnly, Damaged, StorePoisoned, Closed: nothing was done.
        """
        unit = self.unit()
        unit.roll = unit.sync = True
        return unit.submit()

    def start(self, writer: commit.Writer) -> None:
        """Begin to take units; called once by recovery, which made the writer. Needs a running loop for a disk."""
        self._writer = writer
        self.written_lsn = writer.end_lsn
        self.durable_lsn = writer.durable_lsn
        self.space = writer.space
        if not self.storage.inline:
            self._loop = asyncio.get_running_loop()
            self.work = ThreadPoolExecutor(limits.THREADS_WORK, thread_name_prefix="isthmus-work")
            self._thread = commit.CommitThread(writer, self._report)
            self._thread.start()

    def hold(self) -> None:
        """Keep what is submitted until `release`, so that units that come in one turn of the loop are one commit.

        Whoever calls it calls `release` before anything else can run on the loop.
        """
        if self._thread is not None and self._held is None:
            self._held = []

    def at_release(self, callback: Callable[[], None]) -> bool:
        """Call back before what is kept is given to the commit, so that what follows from it goes along with it.

        False: nothing is kept at the moment, and nobody will be called.
        """
        if self._held is None:
            return False
        self._at_release.append(callback)
        return True

    def release(self) -> None:
        """Give all that was kept to the commit."""
        try:
            while self._at_release:
                self._at_release.popleft()()
        finally:
            held, self._held = self._held, None
            for job in held or ():
                self._submit(job)

    def _submit(self, job: Unit | commit.Order) -> None:
        if self._held is not None:
            self._held.append(job)
        elif self._thread is not None:
            self._thread.submit(job)
        else:
            self._commit_inline(job)

    def _report(self, done: commit.Committed) -> None:
        """On the commit thread: hand over to the loop."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._promote, done)

    def _commit_inline(self, job: Unit | commit.Order) -> None:
        """Commit at once; what is submitted while results are told waits its turn, so that all is told in order."""
        if self._committing or self._writer is None:
            self._inline.append(job)
            return
        self._committing = True
        try:
            self._commit_one(self._writer, job)
            while self._inline:
                self._commit_one(self._writer, self._inline.popleft())
        finally:
            self._committing = False

    def _commit_one(self, writer: commit.Writer, job: Unit | commit.Order) -> None:
        if isinstance(job, commit.Order):
            for done in commit.perform(writer, job):
                self._promote(done)
            return
        if self.error is not None:
            self._poison((job,), self.error)
            return
        self._promote(commit.commit_once(writer, (job,)))
        topped = commit.top_up(writer) if self.writable else None
        if topped is not None:
            self._promote(topped)

    def _promote(self, done: commit.Committed) -> None:
        self.clock.stir()
        units = cast("Sequence[Unit]", done.units)
        if done.error is not None or self.error is not None:
            self._poison(units, done.error)
            return
        try:
            promotion = self._apply(done, units)
        except Exception as error:
            self._poison(units, error)
            raise
        promotion.finish()
        if self._roomless and self._has_room:
            self._wake_roomless()

    def _apply(self, done: commit.Committed, units: Sequence[Unit]) -> Promotion:
        """Move all applied state to where the commit left the journal."""
        if done.rolled is not None:
            self._rolled(done.rolled)
        active = self.segments[-1]
        if units:
            active.note_time(done.units_lsn, done.time_ms)
        promotion = Promotion(self, active, done.time_ms)
        lsn = done.units_lsn
        for unit in units:
            lsn = unit.promote(lsn, promotion)
        for unit in units:
            self.pending_bytes -= unit.size + _FRAME_BYTES
        self.space, self._asked_for_room = done.space, False
        self.time_ms = done.time_ms
        self.applied_lsn = self.written_lsn = active.end_lsn = done.written_lsn
        self.durable_lsn = done.durable_lsn
        self._last_commit_ms = self.clock.monotonic_ms()
        self.groups_committed += 1
        self.batches_appended += promotion.batches
        self.records_appended += promotion.records_added
        return promotion

    def _rolled(self, rolled: commit.Rolled) -> None:
        sealed = self.segments[-1]
        sealed.end_lsn = rolled.end_lsn
        name = commit.segment_name(rolled.end_lsn)
        self.files.keep(name, rolled.file)
        self.segments.append(Segment(self, name, rolled.end_lsn, rolled.end_lsn))
        sealed.seal()

    def sealed(self, segment: Segment, names: Names) -> None:
        """Write the sidecar of a segment that is full, off the loop where there is a disk to wait for.

        On a full disk the index stays in memory and the next opening writes it; any other failure poisons the store.
        """
        if self._loop is not None:
            # A damaged sidecar is found on a work thread.
            self._loop.call_soon_threadsafe(self._write_sidecar_later, segment, names)
            return
        error = write_sidecar(segment, names)
        if error is not None:
            self.fail(error)

    def _write_sidecar_later(self, segment: Segment, names: Names) -> None:
        if self.closed:
            return
        task = asyncio.ensure_future(self.run(lambda: write_sidecar(segment, names)))
        self._background.add(task)

        def finished(done: "asyncio.Task[Exception | None]") -> None:
            self._background.discard(done)
            error = done.exception() or done.result()
            if isinstance(error, Exception):
                self.fail(error)

        task.add_done_callback(finished)

    def _wake_roomless(self) -> None:
        waiting, self._roomless = self._roomless, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Promise nothing more: what failed leaves in doubt what comes after it."""
        self._poison((), error)

    def _poison(self, units: Sequence[Unit], error: Exception | None) -> None:
        """Everything that waits fails, everything that comes is refused (J3)."""
        if self.error is None:
            cause = f"a write or sync failed ({type(error).__name__}: {error})"
            self.error = StorePoisoned(self.storage.directory, cause)
            self.error.__cause__ = error
        for unit in units:
            self.pending_bytes -= unit.size + _FRAME_BYTES
            unit.pending.settle(None, self.error)
        self._wake_all()

    def _wake_all(self) -> None:
        """Nothing more comes: whoever waits for it has to look."""
        self._wake_roomless()
        for partition in tuple(self.partitions.values()):
            partition.wake()

    # ---- the idle marker ----------------------------------------------------------------------------------------

    def _arm_marker(self, at_ms: int) -> None:
        """50 ms after the last commit an empty group records the durable LSN, once per idle period."""
        self._marker_armed = True
        self.clock.timer(at_ms, self._marker_due)

    def _marker_due(self) -> None:
        self._marker_armed = False
        if self._marked or self.closed or self.error is not None:
            return
        due_ms = self._last_commit_ms + limits.IDLE_MARKER_MS
        now_ms = self.clock.monotonic_ms()
        if self.pending_bytes:
            self._arm_marker(now_ms + limits.IDLE_MARKER_MS)
        elif now_ms < due_ms:
            self._arm_marker(due_ms)
        else:
            self._marked = True
            self._submit(commit.Order.MARK)

    # ---- reading ------------------------------------------------------------------------------------------------

    def read_now(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt] | None:
        """See `Reader.read_now`."""
        return self._reader.read_now(partition, offset, max_bytes)

    async def read(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt]:
        """See `Reader.read`."""
        return await self._reader.read(partition, offset, max_bytes)

    async def first_after_time(self, partition: Partition, time_ms: int) -> int | None:
        """See `Reader.first_after_time`."""
        return await self._reader.first_after_time(partition, time_ms)

    def stored_batches(self, partition: Partition) -> Iterator[StoredBatch]:
        """See `Reader.stored_batches`."""
        return self._reader.stored_batches(partition)

    # ---- closing ------------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Wait until all that was submitted so far is durable."""
        unit = self.unit()
        unit.fact(facts.SegmentsRemoved(tuple(self.removed)))
        await unit.submit()

    async def stop(self) -> None:
        """Commit what waits, record the durable LSN, end the threads, close the files, give the directory back.

        A checkpoint comes before (`checkpoint.py`). It goes on to its end when the caller is cancelled, and a second
        caller waits for the same end.
        """
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if self.writable:
            self._say_goodbye()
        self.closed = True
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            await loop.run_in_executor(None, self._thread.stop)
        elif self._writer is not None and self.error is None:
            self._commit_inline(commit.Order.STOP)
        if self._background:
            await asyncio.wait(self._background)
        await self._reader.finish()
        if self.work is not None:
            await loop.run_in_executor(None, self.work.shutdown)
        self._give_back()
        self._wake_all()

    def _say_goodbye(self) -> None:
        """Only a stop in order proves that nothing was written behind the last marker; a full disk may forbid it."""
        unit = self.unit()
        unit.fact(facts.StoreClosed(self.epoch, self.clock.now_ms()))
        with contextlib.suppress(RequestError):
            unit.submit()

    def abandon(self) -> None:
        """The loop that owned this journal has ended without stopping it: commit what waits, give the directory back.

        Blocks until the threads have ended. Nobody hears of what was committed.
        """
        if self.writable:
            self._say_goodbye()
        self.closed = True
        if self._thread is not None:
            self._thread.stop()
        if self.work is not None:
            self.work.shutdown()
        self._give_back()

    def _give_back(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self.files.close()
        self.storage.unlock()


def write_sidecar(segment: Segment, names: Names) -> Exception | None:
    """What went wrong, but for a full disk."""
    try:
        segment.write_sidecar(names)
    except OSError as error:
        return None if error.errno in commit.FULL else error
    return None


def merge_ranges(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers in rising, disjoint, half-open ranges."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def is_within(whole: tuple[int, int], ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether one of some disjoint ranges covers a range."""
    return any(start <= whole[0] and whole[1] <= end for start, end in ranges)


_journals: "weakref.WeakSet[Journal]" = weakref.WeakSet()


def _disown_all() -> None:
    """In a forked child, where no commit thread lives: whoever would wait for one is told instead."""
    for journal in list(_journals):
        journal.error = ForkedBroker(journal.storage.directory)


os.register_at_fork(after_in_child=_disown_all)
