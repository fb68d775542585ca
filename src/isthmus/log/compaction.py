"""Compaction: what is worth copying, the scan for the newest of each key, and the change of hands behind each copy.

It runs beside readers and publishers, in small steps on a work thread with rests between them. It never appends, moves
no offset, and unlinks a source only when the fact that its target counts is durable.

Invariants:
    C1: a segment is touched only when both checkpoints cover it.
    C2: the newest record of a key stays; a tombstone goes only when nothing older of its key was left before the pass.
    C3: who reads meanwhile finds every record either in the sources or in the target.
"""

import asyncio
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from isthmus.clock import Clock
from isthmus.definition import TopicConfig
from isthmus.errors import Closed, Damaged, InvalidBatch, InvariantError, StorageFull, UnsupportedCompression
from isthmus.limits import (
    COMPACT_DEAD_SHARE,
    COMPACT_DIRTY_BYTES_MIN,
    COMPACT_LOOK_SEGMENTS,
    COMPACT_REST_SHARE,
    COMPACT_SMALL_FILES,
    COMPACT_SMALL_SHARE,
    COMPACT_STEP_BYTES,
    KIB,
)
from isthmus.log import batch as batches
from isthmus.log import commit
from isthmus.log.index import Row
from isthmus.log.journal import Journal
from isthmus.log.keys import KeyScan, Memory
from isthmus.log.partition import Partition
from isthmus.log.rewrite import Copied, Copy, Keyed, NotShorter
from isthmus.log.segment import Segment, row_length
from isthmus.ranges import RangeSet

log = logging.getLogger("isthmus.log")

ROWS: Final = 1_024
"""Index rows that are looked at in one step."""

FORCED_SHARE: Final = 0.0
"""The share when all that can be had was asked for: a single record that is dead by its key is enough then."""

GAIN_BYTES_MIN: Final = 1 * KIB
"""What must be won else: what stands around the entries of a file is not dead, only not an entry."""

KeyedPartition = tuple[Partition, TopicConfig]


class Weight(NamedTuple):
    """A segment as compaction sees it: bytes of the file, about how many of them are live, and dead by their key."""

    segment: Segment
    size: int
    live: int
    dead_by_key: int = 0


@dataclass(slots=True)
class Compacted:
    """What a pass did. `problems` say what was to be compacted and could not be; it stays as it is."""

    files: int = 0
    made: int = 0
    source_bytes: int = 0
    target_bytes: int = 0
    records: int = 0
    kept_whole: int = 0
    keys_left: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, sources: int, copied: Copied) -> None:
        """Count a copy that took the place of so many files."""
        self.files += sources
        self.made += 1
        self.source_bytes += copied.source_bytes
        self.target_bytes += copied.target_bytes
        self.records += copied.records
        self.kept_whole += copied.kept_whole


# ---- what is worth it ---------------------------------------------------------------------------------------------


def runs(weights: Sequence[Weight | None], segment_bytes: int, share: float) -> list[list[Weight]]:
    """The runs of neighbouring segments that are worth a copy. Pure.

    A run has one segment of which at least `share` is dead, or many small files that compaction made; what is small
    beside it is taken along. All that is live in a run fits one segment.

    Args:
        weights: in the order of the journal; None is a segment that cannot be had, which ends a run.
        segment_bytes: of the store.
        share: see COMPACT_DEAD_SHARE.
    """
    found: list[list[Weight]] = []
    run: list[Weight] = []
    for weight in [*weights, None]:
        wanted = weight is not None and (_is_sparse(weight, share) or _is_small(weight, segment_bytes))
        fits = weight is not None and _fits(run, weight, segment_bytes)
        if run and not (wanted and fits):
            if _is_worth_it(run, segment_bytes, share):
                found.append(run)
            run = []
        if wanted and weight is not None:
            run = [*run, weight]
    return found


def _fits(run: Sequence[Weight], weight: Weight, segment_bytes: int) -> bool:
    """Whether a segment can be joined to a run: it follows without a gap, and not too much is live in all of them."""
    follows = not run or run[-1].segment.end_lsn == weight.segment.first_lsn
    return follows and sum(each.live for each in run) + weight.live <= segment_bytes


def _is_sparse(weight: Weight, share: float) -> bool:
    if share == FORCED_SHARE and weight.dead_by_key:
        return True
    return weight.size - weight.live >= max(GAIN_BYTES_MIN, weight.size * share)


def _is_small(weight: Weight, segment_bytes: int) -> bool:
    return bool(weight.segment.generation) and weight.size <= segment_bytes // COMPACT_SMALL_SHARE


def _is_worth_it(run: Sequence[Weight], segment_bytes: int, share: float) -> bool:
    small = sum(_is_small(weight, segment_bytes) for weight in run)
    return small >= COMPACT_SMALL_FILES or any(_is_sparse(weight, share) for weight in run)


def covered_segments(journal: Journal) -> list[Segment]:
    """What compaction may touch: sealed, and below both checkpoints."""
    return [segment for segment in journal.segments[:-1] if segment.end_lsn <= journal.covered_lsn]


def is_due(journal: Journal, partition: Partition, config: TopicConfig, now_ms: int) -> bool:
    """Whether a pass by key over a partition is worth it, or must not wait any longer.

    It may read sidecars: run it by `Journal.run`.
    """
    dirty = partition.bytes - partition.clean_bytes
    if dirty <= 0 or (dirty < COMPACT_DIRTY_BYTES_MIN and config.compact_lag_max_ms is None):
        return False
    for segment in covered_segments(journal):
        bounds = segment.bounds(partition.id) if segment.may_hold(partition.id) else None
        if bounds is None or bounds[1] <= max(partition.cleaned, partition.log_start):
            continue
        if dirty >= max(COMPACT_DIRTY_BYTES_MIN, partition.bytes * config.compact_ratio):
            return True
        if config.compact_lag_max_ms is None:
            return False
        (row,) = segment.rows(partition.id, max(partition.cleaned, partition.log_start), 1)
        return now_ms - segment.appended_by(segment.first_lsn + row.position) >= config.compact_lag_max_ms
    return False


# ---- the scan of a partition --------------------------------------------------------------------------------------


class _Scan:
    """The newest of each key of one partition, below what is covered and older than its lag.

    `dead_bytes` is about how many bytes of a segment are records that are not the newest of their key.
    """

    def __init__(
        self, partition: Partition, config: TopicConfig, segments: Sequence[Segment], now_ms: int, memory: Memory
    ) -> None:
        self.partition = partition
        self.config = config
        self.keys = KeyScan(now_ms, memory)
        self.until = partition.log_start
        self.bytes = 0
        self.undecodable = 0
        self.dead_bytes: dict[Segment, int] = {}
        self._now_ms = now_ms
        self._records: dict[Segment, int] = {}
        self._segments = [segment for segment in segments if segment.may_hold(partition.id)]

    def steps(self) -> Generator[int]:
        """Read all of it, as often as the keys need it; each step gives the bytes that it read.

        Raises:
            Damaged: a batch is not as it was written.
            FileNotFoundError: a segment was removed meanwhile.
        """
        first = True
        while True:
            for segment, row in self._rows():
                data = segment.batch_at(self.partition, row, wait=True)
                if data is not None:
                    self._look(segment, data, row, first=first)
                yield row_length(row)
            first = False
            if not self.keys.finish():
                break
        for segment, records in self._records.items():
            extent = segment.extent(self.partition.id)
            if extent is not None and records:
                dead = self.keys.dead.count(extent.first_offset, extent.end_offset)
                self.dead_bytes[segment] = extent.entry_bytes * dead // records

    def _look(self, segment: Segment, data: bytes, row: Row, *, first: bool) -> None:
        header = batches.header(data)
        try:
            records = batches.decode(data, from_offset=self.partition.log_start)
        except (InvalidBatch, UnsupportedCompression):
            self.undecodable += first
            self.keys.blind()
            records = []
        self.keys.batch(records, header.delete_horizon_ms)
        if first:
            self._records[segment] = self._records.get(segment, 0) + len(records)
            self.bytes += row_length(row)
            self.until = row.end_offset

    def _rows(self) -> Iterator[tuple[Segment, Row]]:
        """The batches in order, up to the first that is too young."""
        offset = self.partition.log_start
        for segment in self._segments:
            while rows := segment.rows(self.partition.id, offset, ROWS):
                for row in rows:
                    if self._is_too_young(segment, row):
                        return
                    yield segment, row
                offset = rows[-1].end_offset

    def _is_too_young(self, segment: Segment, row: Row) -> bool:
        if row.end_offset > self.partition.stable_offset:
            return True
        if not self.config.compact_lag_ms:
            return False
        appended_ms = segment.appended_by(segment.first_lsn + row.position)
        return self._now_ms - appended_ms < self.config.compact_lag_ms


# ---- a pass -------------------------------------------------------------------------------------------------------


class Compaction:
    """Passes over a journal, one at a time.

    Args:
        journal: whose segments are copied.
        clock: for rests, lags and delete horizons.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._running = asyncio.Lock()
        self._looked_to = 0
        self._ended: asyncio.Future[object] | None = None

    async def stop(self) -> None:
        """End a running pass at its next step, and wait for that; no other begins."""
        ended = self._until_the_end()
        if not ended.done():
            ended.set_result(None)
        async with self._running:
            pass

    def _until_the_end(self) -> "asyncio.Future[object]":
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    async def once(
        self,
        keyed: Iterable[KeyedPartition],
        finished: Mapping[int, RangeSet] = MappingProxyType({}),
        *,
        force: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Compacted:
        """One pass: scan the partitions that are kept by key, then copy what is worth it.

        Without such partitions it looks at some segments, the next time at those behind them.

        Args:
            keyed: the partitions to go through, with how their topics keep them.
            finished: offsets that nobody wants any more, by partition, also above the log start.
            force: look at all segments, copy also what wins little, and do not rest.
            progress: called with bytes read.

        Raises:
            Closed: it was stopped; what was not finished will be begun anew.
            StorageError, Overloaded: the journal cannot be written; nothing is lost.
            OSError: the disk failed or is full; what was not finished will be begun anew.
        """
        async with self._running:
            covered, asked = covered_segments(self._journal), list(keyed)
            wanted = covered
            if not asked and not force:
                behind = [segment for segment in covered if segment.first_lsn >= self._looked_to]
                wanted = behind[:COMPACT_LOOK_SEGMENTS]
                self._looked_to = wanted[-1].end_lsn if len(wanted) < len(behind) else 0
            ended = self._until_the_end()
            one = _Pass(self._journal, self._clock, covered, finished, ended, force=force, progress=progress)
            return await one.run(asked, wanted)


class _Pass:
    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        covered: Sequence[Segment],
        finished: Mapping[int, RangeSet],
        ended: "asyncio.Future[object]",
        *,
        force: bool,
        progress: Callable[[int], None],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._covered = covered
        self._finished = finished
        self._ended = ended
        self._force = force
        self._progress = progress
        self._scans: list[_Scan] = []
        self._result = Compacted()

    async def run(self, keyed: Sequence[KeyedPartition], wanted: Sequence[Segment]) -> Compacted:
        memory = Memory()
        for partition, config in keyed:
            await self._scan(_Scan(partition, config, self._covered, self._clock.now_ms(), memory))
        weights: list[Weight | None] = []
        await self._drive(self._weigh(wanted, weights))
        share = FORCED_SHARE if self._force else COMPACT_DEAD_SHARE
        plan = runs(weights, self._journal.options.segment_bytes, share)
        copied = {weight.segment for run in plan for weight in run}
        left = {segment for segment in self._covered if segment not in copied}
        for run in plan:
            sources = [weight.segment for weight in run]
            if not self._has_room(run) or not await self._copy(sources, left):
                left |= set(sources)
        self._finish(left)
        return self._result

    async def _scan(self, scan: _Scan) -> None:
        try:
            await self._drive(scan.steps())
        except (Damaged, FileNotFoundError) as error:
            # What is damaged stays as it is, with all of its partition, until enough of it is new again.
            self._note(error)
            scan.partition.compacted(scan.partition.cleaned, scan.partition.bytes, 0)
            return
        self._scans.append(scan)

    def _weigh(self, segments: Sequence[Segment], weights: list[Weight | None]) -> Generator[int]:
        """None for what cannot be had: retention takes it, or it could not be read."""
        for segment in segments:
            weight: Weight | None = None
            if segment.sealed and not segment.rotten and not segment.dead:
                try:
                    live = segment.live_bytes(self._journal.log_start, self._finished)
                    dead = sum(scan.dead_bytes.get(segment, 0) for scan in self._scans)
                    weight = Weight(segment, segment.size_bytes, max(0, live - dead), dead)
                except (Damaged, FileNotFoundError) as error:
                    self._note(error)
            weights.append(weight)
            yield COMPACT_STEP_BYTES

    def _has_room(self, run: Sequence[Weight]) -> bool:
        """Whether the disk has room for a copy, and for the next segment, which publishers must not lack for it."""
        needed = sum(weight.live for weight in run) + self._journal.options.segment_bytes
        if self._journal.storage.free_bytes() >= needed:
            return True
        self._note(StorageFull(self._journal.storage.directory, needed))
        return False

    def _rules(self, left: set[Segment]) -> dict[int, Keyed]:
        """What the scans found, as a copy needs it; `left` are segments that stay as they are."""
        rules: dict[int, Keyed] = {}
        for scan in self._scans:
            keys, table = scan.keys, scan.partition.producers
            whole = not keys.full and not any(scan.dead_bytes.get(segment) for segment in left)
            last = frozenset(rows[-1][2] for _, _, rows in table.rows() if rows) if table is not None else frozenset()
            horizon_ms = self._clock.now_ms() + scan.config.tombstone_ms
            rules[scan.partition.id] = Keyed(keys.dead, keys.alone, keys.above, whole, horizon_ms, last)
        return rules

    async def _copy(self, sources: Sequence[Segment], left: set[Segment]) -> bool:
        """Copy a run and let the copy count; whether it does."""
        journal = self._journal
        if not self._take(sources):
            return False
        try:
            copy = Copy(journal, sources, self._rules(left), self._finished)
            await self._drive(copy.steps())
            await self._change_hands(copy)
        except NotShorter:
            return False
        except Damaged as error:
            self._note(error)
            return False
        finally:
            for source in sources:
                source.busy = False
        for partition_id, size in copy.finished_bytes.items():
            if (partition := journal.partitions.get(partition_id)) is not None:
                partition.bytes = max(0, partition.bytes - size)
        self._result.add(len(sources), copy.done())
        return True

    def _take(self, sources: Sequence[Segment]) -> bool:
        """Have retention leave the sources alone; False when it was faster.

        It says that a segment is dead before it looks whether one is busy; so busy comes before a second look here.
        """
        if any(source.dead or source not in self._journal.segments for source in sources):
            return False
        for source in sources:
            source.busy = True
        if not any(source.dead for source in sources):
            return True
        for source in sources:
            source.busy = False
        return False

    async def _change_hands(self, copy: Copy) -> None:
        """The target counts from here on, and the sources go when nobody reads them any more."""
        journal = self._journal
        if copy.swap is None:
            raise InvariantError(f"{copy.target.name} was to take the place of its sources before it was whole")
        unit = journal.unit()
        unit.fact(copy.swap)
        await unit.submit()
        journal.take_place(copy.target, copy.sources)
        await journal.quiesce()
        await journal.run(lambda: self._unlink(copy.sources))

    def _unlink(self, sources: Sequence[Segment]) -> None:
        for source in sources:
            source.unlink()
        self._journal.storage.sync_folder(commit.JOURNAL)

    def _finish(self, left: set[Segment]) -> None:
        """Note how far each partition is clean now."""
        for scan in self._scans:
            gone = sum(dead for segment, dead in scan.dead_bytes.items() if segment not in left)
            scan.partition.compacted(scan.until, scan.bytes - gone, gone)
            self._result.keys_left += scan.keys.full
            self._result.kept_whole += scan.undecodable

    async def _drive(self, steps: Generator[int]) -> None:
        """Take the steps some at a time on a work thread, with rests."""
        try:
            while True:
                if self._ended.done():
                    raise Closed("compaction")
                begun_ms = self._clock.monotonic_ms()
                read = await self._one(steps)
                if not read:
                    return
                self._progress(read)
                now_ms = self._clock.monotonic_ms()
                rest_ms = 0 if self._force else COMPACT_REST_SHARE * (now_ms - begun_ms)
                if rest_ms:
                    await self._clock.wait(self._ended, now_ms + rest_ms)
                else:
                    await asyncio.sleep(0)
        finally:
            steps.close()

    async def _one(self, steps: Generator[int]) -> int:
        """One step; who is cancelled waits for it, since nothing interrupts a thread."""
        step = asyncio.ensure_future(self._journal.run(lambda: _advance(steps)))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait((step,))
            raise

    def _note(self, error: Exception) -> None:
        log.warning("compaction leaves something as it is: %s", error)
        self._result.problems.append(str(error))


def _advance(steps: Iterator[int]) -> int:
    """Go on until about a step's worth of bytes was read; 0 when it is done."""
    read = 0
    for taken in steps:
        read += taken
        if read >= COMPACT_STEP_BYTES:
            break
    return read
