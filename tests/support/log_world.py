"""A journal with the least of a catalogue on top, the naive model of what it must hold, and the history that a test
keeps of what was asked for and promised. It judges a store that is opened after a crash; it must not cause one.

A scenario is a small async function on a `JournalWorld`. Everything that it does goes through `put`, which tells the
trace of the storage what is attempted, and what is promised once it is. `verify` holds a disk against that history.

The invariants by number (what a test shows when it fails):
    I1: what was acknowledged is there.        I2: nothing is there that nobody sent.
    I3: a prefix is there; an offset that was seen is never bound to something else.
    I4: what was acknowledged as done stays done.        I6: epochs and offsets never go back.
    I7: a unit is there whole or not at all.   I8: opening again changes nothing, also after a crash within it.
    I9: every legal disk opens by itself, with nothing set aside and nothing left over.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from isthmus.clock import ManualClock
from isthmus.definition import Level, TopicConfig
from isthmus.errors import InvalidBatch, StorageError
from isthmus.log import batch as batches
from isthmus.log import checkpoint, commit, facts
from isthmus.log.compaction import Compacted, Compaction
from isthmus.log.journal import Journal, JournalOptions, Orphan, Pending, Placed
from isthmus.log.partition import BatchAt, Partition
from isthmus.log.recovery import OpenReport, open_journal
from isthmus.log.storage import Storage
from isthmus.record import Record
from support.faulty_storage import FaultyStorage
from support.sim_storage import SimStorage, Variant

KIB: Final = 1024
SMALL: Final = JournalOptions(segment_bytes=8 * KIB, tail_cache_bytes=2 * KIB)
"""Small segments, so that a few records roll; a small cache, so that most reads see the file."""

KEPT_BY_KEY: Final = 9
"""The topic that compaction goes through by key; the key of a record is what stands before "=" in its value."""

GROUP: Final = 1
"""The consumer group whose positions stand for any state that is not a record."""

Values = tuple[bytes, ...]


# ---- what a unit does ---------------------------------------------------------------------------------------------


class Append(NamedTuple):
    """Values as one batch with one timestamp, in every one of the partitions."""

    partitions: tuple[int, ...]
    values: Values
    time_ms: int = 1


class Commit(NamedTuple):
    """A number under a key, absolute."""

    key: int
    number: int


class Trim(NamedTuple):
    """A log start moves up."""

    partition: int
    log_start: int


class Make(NamedTuple):
    """A topic."""

    topic: int
    partitions: int
    level: Level


class Drop(NamedTuple):
    """A topic goes."""

    topic: int


Op = Append | Commit | Trim | Make | Drop


def pid(topic: int, index: int = 0) -> int:
    """The id of a partition."""
    return topic << 16 | index


def batch_of(values: Sequence[bytes], now_ms: int = 1) -> bytes:
    """A batch of records with these values."""
    return batches.encode([Record(value, key_of(value)) for value in values], now_ms=now_ms)


def key_of(value: bytes) -> bytes | None:
    """The key of a record with that value."""
    key, equals, _ = value.partition(b"=")
    return key if equals else None


# ---- the model ----------------------------------------------------------------------------------------------------


class State(NamedTuple):
    """All that readers can tell: per partition log start and high watermark, numbers by key, topics."""

    partitions: dict[int, tuple[int, int]]
    numbers: dict[int, int]
    topics: dict[int, tuple[int, Level]]


class Model:
    """The naive model: dictionaries and lists."""

    def __init__(self) -> None:
        self.values: dict[int, list[bytes | None]] = {}
        self.times: dict[int, list[int]] = {}
        self.starts: dict[int, int] = {}
        self.numbers: dict[int, int] = {}
        self.topics: dict[int, tuple[int, Level]] = {}

    def apply(self, ops: Iterable[Op]) -> list[tuple[int, int, int]]:
        """Do what a unit does; where its batches went, records first, as the journal does it."""
        placed = []
        for op in sorted(ops, key=lambda op: not isinstance(op, Append)):
            match op:
                case Append(partitions, values, time_ms):
                    for partition in partitions:
                        placed.append((partition, len(self.values[partition]), len(values)))
                        self.values[partition] += values
                        self.times[partition] += [time_ms] * len(values)
                case Commit(key, number):
                    self.numbers[key] = number
                case Trim(partition, log_start):
                    missing = log_start - len(self.values[partition])
                    self.values[partition] += [None] * missing
                    self.times[partition] += [0] * missing
                    self.starts[partition] = max(log_start, self.starts[partition])
                case Make(topic, count, level):
                    self.topics[topic] = (count, level)
                    for index in range(count):
                        self.values.setdefault(pid(topic, index), [])
                        self.times.setdefault(pid(topic, index), [])
                        self.starts.setdefault(pid(topic, index), 0)
                case Drop(topic):
                    for index in range(self.topics.pop(topic)[0]):
                        key = pid(topic, index)
                        del self.values[key], self.times[key], self.starts[key]
        return placed

    def state(self) -> State:
        """What readers would be told."""
        bounds = {key: (self.starts[key], len(values)) for key, values in self.values.items()}
        return State(bounds, dict(self.numbers), dict(self.topics))


# ---- the history, as marks in the trace of the storage --------------------------------------------------------------


class Attempted(NamedTuple):
    """A unit is about to be submitted."""

    ops: tuple[Op, ...]


class Promised(NamedTuple):
    """The first `units` units are done, as far as their callers were told: durably, or only written."""

    units: int
    durable: bool


class Visible(NamedTuple):
    """Readers of a partition were told of this high watermark."""

    partition: int
    high_watermark: int


class Opened(NamedTuple):
    """The store was opened, with the first `units` units in it; those behind are gone for good."""

    units: int
    epoch: int


class Refused(NamedTuple):
    """The last unit was refused before anything was reserved: it must not appear."""


class InDoubt(NamedTuple):
    """The power went, or the disk failed: what was only written may be gone though the next process finds a disk."""


class Exactly(NamedTuple):
    """A first opening of this very disk found so many units: so must every other."""

    units: int


@dataclass
class History:
    """What the marks say up to some moment."""

    units: list[tuple[Op, ...]] = field(default_factory=list)
    durable: int = 0
    written: int = 0
    seen: int = 0
    epoch: int = 0
    exact: int | None = None
    visible: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, marks: Iterable[object]) -> "History":
        """Read the marks."""
        history = cls()
        for mark in marks:
            history.note(mark)
        return history

    def note(self, mark: object) -> None:
        """Go on by one mark."""
        match mark:
            case Attempted(ops):
                self.units.append(ops)
            case Refused():
                self.units.pop()
            case Promised(units, durable):
                self.seen = max(self.seen, units)
                self.written = max(self.written, units)
                self.durable = max(self.durable, units if durable else 0)
            case Opened(units, epoch):
                del self.units[units:]
                self.durable = self.written = self.seen = units
                self.epoch, self.exact, self.visible = epoch, None, {}
            case Visible(partition, high_watermark):
                self.visible[partition] = high_watermark
            case InDoubt():
                self.written = self.durable
            case Exactly(units):
                self.exact = units
            case _:
                pass  # another world's

    def prefixes(self) -> Iterator[tuple[int, Model]]:
        """The legal outcomes: the first n units, from what is durable to all. The model that comes with one changes."""
        model = Model()
        for done in range(len(self.units) + 1):
            if done >= self.durable and self.exact in (None, done):
                yield done, model
            if done < len(self.units):
                model.apply(self.units[done])

    def model(self, units: int | None = None) -> Model:
        """The model after so many units, or all."""
        model = Model()
        for ops in self.units[:units]:
            model.apply(ops)
        return model


# ---- the store ----------------------------------------------------------------------------------------------------


class Topics:
    """The least of a catalogue: topics own partitions, a group owns numbers."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.sets: dict[int, facts.TopicSet] = {}
        self.positions: dict[int, facts.Committed] = {}
        journal.register(facts.TopicSet, self._topic_set)
        journal.register(facts.TopicRemoved, self._topic_removed)
        journal.register(facts.Committed, self._committed)
        journal.exporters.append(self._export)
        journal.names_hook = self._name_of
        journal.orphans_hook = self._adopt

    def _topic_set(self, fact: facts.TopicSet, _lsn: int) -> None:
        self.sets[fact.id] = fact
        for index in range(fact.partitions):
            self._journal.add_partition(pid(fact.id, index), fact.config.level)

    def _topic_removed(self, fact: facts.TopicRemoved, _lsn: int) -> None:
        gone = self.sets.pop(fact.id, None)
        for index in range(gone.partitions if gone else 0):
            self._journal.remove_partition(pid(fact.id, index))

    def _committed(self, fact: facts.Committed, _lsn: int) -> None:
        self.positions[fact.partition] = fact

    def _export(self) -> Iterator[facts.Fact]:
        yield from self.sets.values()
        yield from self.positions.values()

    @staticmethod
    def _adopt(orphans: Sequence[Orphan]) -> Iterator[facts.Fact]:
        counts: dict[int, int] = {}
        for orphan in orphans:
            topic = orphan.partition >> 16
            assert orphan.name is None or orphan.name[1] == f"topic-{topic}", orphan
            counts[topic] = max(counts.get(topic, 0), (orphan.partition & 0xFFFF) + 1)
        for topic, count in counts.items():
            yield topic_fact(topic, count, "fsync")

    def _name_of(self, partition: int) -> tuple[str, str, int, bytes] | None:
        found = self.sets.get(partition >> 16)
        return None if found is None else (found.namespace, found.name, partition & 0xFFFF, found.uuid)


def topic_fact(topic: int, partitions: int, level: Level) -> facts.TopicSet:
    """A topic's definition."""
    config = TopicConfig(level=level)
    return facts.TopicSet(
        topic, bytes(16), "default", f"topic-{topic}", partitions, "single", config, "durable", None, 1
    )


def number_fact(key: int, number: int) -> facts.Committed:
    """A number under a key, as a group's position."""
    return facts.Committed(GROUP, key, 1, number, (), (), 0, "", 1)


class Store:
    """A journal with its topics, on some storage."""

    def __init__(self, storage: Storage, clock: ManualClock | None = None, options: JournalOptions = SMALL) -> None:
        self.clock = clock or ManualClock()
        self.journal = Journal(storage, self.clock, options)
        self.topics = Topics(self.journal)

    async def open(self, *, read_only: bool = False, accept_loss: bool = False) -> OpenReport:
        """See `open_journal`."""
        return await open_journal(self.journal, read_only=read_only, accept_loss=accept_loss)

    def state(self) -> State:
        """What readers are told."""
        bounds = {key: (each.log_start, each.high_watermark) for key, each in self.journal.partitions.items()}
        numbers = {key: each.floor for key, each in self.topics.positions.items()}
        return State(
            bounds, numbers, {key: (each.partitions, each.config.level) for key, each in self.topics.sets.items()}
        )

    async def values(self, partition_id: int, *, max_bytes: int = 16 * KIB) -> list[tuple[int, bytes | None]]:
        """All records of a partition from its log start on, as a reader gets them."""
        partition = self.journal.partitions[partition_id]
        found: list[tuple[int, bytes | None]] = []
        offset = partition.log_start
        while offset < partition.high_watermark:
            read = await partition.read(offset, max_bytes)
            assert read, f"I1: nothing to read at offset {offset} below the high watermark"
            for batch in read:
                assert batch.base_offset <= offset < batch.end_offset, f"I3: {batch[:3]} where {offset} was to be"
                found += self.records(batch, offset)
                offset = batch.end_offset
        return found

    @staticmethod
    def records(batch: BatchAt, offset: int) -> list[tuple[int, bytes | None]]:
        """Offset and value of the records of a batch from an offset on."""
        try:
            return [(row.offset, row.value) for row in batches.decode(batch.data, from_offset=offset)]
        except InvalidBatch as error:
            raise AssertionError(f"I2: what was read at {offset} is no batch: {error}") from error

    def submit(self, ops: Iterable[Op]) -> Pending[list[Placed]]:
        """The operations as one unit."""
        unit = self.journal.unit()
        for op in ops:
            match op:
                case Append(partitions, values, time_ms):
                    places = [self.journal.partitions[key] for key in partitions]
                    unit.records(places, batch_of(values, time_ms))
                case Commit(key, number):
                    unit.fact(number_fact(key, number))
                case Trim(partition, log_start):
                    unit.fact(facts.Trimmed(partition, log_start, "test", 1))
                case Make(topic, partitions, level):
                    unit.fact(topic_fact(topic, partitions, level))
                case Drop(topic):
                    unit.fact(facts.TopicRemoved(topic))
        return unit.submit()


class JournalWorld:
    """A store that keeps its history. One life of it after the other: `open`, `close` or `kill`, `open`, ..."""

    def __init__(self, sim: SimStorage, options: JournalOptions = SMALL) -> None:
        self.sim = sim
        self.storage = FaultyStorage(sim)
        self.clock = ManualClock()
        self.options = options
        self.history = History()
        self.store = Store(self.storage, self.clock, options)
        self._numbers = itertools.count(1)

    @property
    def journal(self) -> Journal:
        """The journal of this life."""
        return self.store.journal

    def mark(self, mark: object) -> None:
        """Note something in the trace and in the history."""
        self.sim.mark(mark)
        self.history.note(mark)

    async def open(self, *, accept_loss: bool = False) -> OpenReport:
        """Begin a life, with a clock of its own: what a dead one had planned does not happen any more."""
        self.clock = ManualClock(self.clock.now_ms() + 1)
        self.store = Store(self.storage, self.clock, self.options)
        report = await self.store.open(accept_loss=accept_loss)
        units = await check_outcome(self.store, self.history)
        self.mark(Opened(units, self.journal.epoch))
        for partition in self.journal.partitions.values():
            self._watch(partition)
        return report

    def _watch(self, partition: Partition) -> None:
        partition.watch(lambda: self.mark(Visible(partition.id, partition.high_watermark)))

    async def close(self) -> None:
        """End a life as one should."""
        await self.journal.stop()

    def kill(self) -> None:
        """End a life as kill -9 does: nothing more happens."""
        self.store = Store(self.storage, self.clock, self.options)

    def power_cut(self, variant: Variant, seed: int = 1) -> None:
        """End a life with the machine's. The trace begins anew."""
        self.kill()
        marks = self.sim.marks_before(len(self.sim.trace))
        self.sim = self.sim.images(len(self.sim.trace), variant, seed)
        self.storage = FaultyStorage(self.sim)
        for mark in marks:
            self.sim.mark(mark)
        self.mark(InDoubt())

    async def reopen(self) -> OpenReport:
        """End this life in an orderly way and begin another."""
        await self.close()
        return await self.open()

    def value(self, size: int = 40) -> bytes:
        """A value that no other has."""
        return f"{next(self._numbers)}:".encode().ljust(size, b"v")

    def append(self, *partitions: int, count: int = 1, size: int = 40) -> Append:
        """New values for the partitions."""
        return Append(partitions, tuple(self.value(size) for _ in range(count)))

    def set(self, partition: int, *keys: str, size: int = 40) -> Append:
        """New values under these keys."""
        return Append((partition,), tuple(f"{key}=".encode() + self.value(size) for key in keys))

    def put(self, *ops: Op) -> Pending[list[Placed]]:
        """Submit a unit; note what was attempted, and what is promised when it is."""
        self.mark(Attempted(ops))
        number = len(self.history.units)
        expected = self.history.model(number - 1).apply(ops)
        durable = any(self._is_durable(op) for op in ops)
        try:
            pending = self.store.submit(ops)
        except BaseException:
            self.mark(Refused())
            raise

        def told(done: Pending[list[Placed]]) -> None:
            if done.error is not None:
                self.mark(InDoubt())
            else:
                got = [(partition.id, base, count) for partition, base, count in done.result()]
                assert got == expected, f"I3: placed at {got} where {expected} comes next"
                self.mark(Promised(number, durable))
                for op in ops:
                    if isinstance(op, Make):
                        for index in range(op.partitions):
                            self._watch(self.journal.partitions[pid(op.topic, index)])

        pending.add_done_callback(told)
        return pending

    def _is_durable(self, op: Op) -> bool:
        if isinstance(op, Append):
            return any(self.journal.partitions[key].level == "fsync" for key in op.partitions)
        return True

    def hold_commits(self) -> None:
        """From here on units wait until `commit`, which takes them in groups as the commit thread does."""
        writer = self.journal._writer
        assert writer is not None
        self.journal._thread = commit.CommitThread(writer, self.journal._promote)

    def commit(self) -> None:
        """Do what waits, and end holding."""
        thread, self.journal._thread = self.journal._thread, None
        assert thread is not None
        thread._jobs.put(commit.Order.STOP)
        while thread.step():
            pass

    async def checkpoint(self) -> None:
        """Take a checkpoint."""
        await checkpoint.take(self.journal)

    async def compact(self) -> Compacted:
        """Have everything compacted that the checkpoints cover."""
        kept = [
            (one, TopicConfig(compact=True)) for key, one in self.journal.partitions.items() if key >> 16 == KEPT_BY_KEY
        ]
        return await Compaction(self.journal, self.clock).once(kept, force=True)

    async def idle(self) -> None:
        """Let the idle marker come."""
        await self.clock.advance(200)


# ---- judging a disk -----------------------------------------------------------------------------------------------


async def check_outcome(store: Store, history: History) -> int:
    """Hold an open store against its history; how many units are in it."""
    state = store.state()
    found = [units for units, model in history.prefixes() if model.state() == state]
    if not found:
        wanted = [model.state() for _, model in history.prefixes()]
        raise AssertionError(f"I1, I4, I7: {state} is none of the {len(wanted)} legal outcomes, first {wanted[0]}")
    units = found[-1]
    model = history.model(units)
    for key, seen in history.visible.items():
        now = state.partitions.get(key, (0, seen))[1]
        level = store.journal.partitions[key].level if key in state.partitions else "written"
        assert now >= seen or level == "written", f"I3: readers of partition {key} saw {seen}, now there are {now}"
    for key, values in model.values.items():
        start = model.starts[key]
        expected = [(offset, value) for offset, value in enumerate(values) if offset >= start]
        got = await store.values(key)
        if key >> 16 == KEPT_BY_KEY:
            check_kept_by_key(key, got, expected)
            continue
        assert got == expected, f"I2, I3: partition {key} holds {got[:5]}... where {expected[:5]}... was sent"
    return units


def check_kept_by_key(
    partition: int, got: Sequence[tuple[int, bytes | None]], sent: Sequence[tuple[int, bytes | None]]
) -> None:
    """Of a topic that is kept by key the newest of each key is there, and nothing that was not sent."""
    assert set(got) <= set(sent), f"I2, I3: partition {partition} holds {set(got) - set(sent)} that nobody sent"
    newest = {key_of(value): (offset, value) for offset, value in sent if value is not None}
    missing = set(newest.values()) - set(got)
    assert not missing, f"I1: partition {partition} lost {missing}, the newest of their keys"
    assert [offset for offset, _ in got] == sorted({offset for offset, _ in got}), f"I3: {got} is out of order"


def check_files(store: Store) -> None:
    """Nothing is left over, nothing was set aside (I9)."""
    storage, journal = store.journal.storage, store.journal
    expected = {segment.name for segment in journal.segments} | {commit.SPARE}
    indexes = {segment.index_name for segment in journal.segments[:-1]}
    got = {f"journal/{name}" for name in storage.list("journal")}
    assert expected <= got <= expected | indexes, f"I9: {got} in journal/ where {expected | indexes} belong"
    assert not storage.list("quarantine"), f"I9: {storage.list('quarantine')} set aside"
    kept = storage.list("checkpoint")
    assert all(name.endswith(".facts") for name in kept), f"I9: {kept} in checkpoint/"


def check_leader_epochs(store: Store, history: History, units: int) -> None:
    """Offsets that were seen and are gone will be bound anew: clients can see from where (I3)."""
    seen, there = history.model(history.seen).state(), history.model(units).state()
    for key, (_, was) in seen.partitions.items():
        now = there.partitions.get(key, (0, was))[1]
        if now < was:
            partition = store.journal.partitions[key]
            row = (store.journal.epoch, now)
            assert partition.level == "written", f"I1: offsets {now} to {was} of partition {key} were durable"
            assert partition.epochs[-1:] == [row], f"I3: {partition.epochs} does not end with {row}"


async def open_checked(storage: Storage, history: History, options: JournalOptions = SMALL) -> tuple[Store, int]:
    """Open a disk that a crash left, and judge what is there."""
    store = Store(storage, options=options)
    try:
        report = await store.open()
    except (StorageError, OSError) as error:
        raise AssertionError(f"I9: a legal disk does not open: {error!r}") from error
    assert not report.damage, f"I9: a legal disk is called damaged: {report.damage}"
    assert not report.quarantined, f"I9: set aside: {report.quarantined}"
    assert store.journal.epoch > history.epoch, f"I6: epoch {store.journal.epoch} after {history.epoch}"
    units = await check_outcome(store, history)
    check_files(store)
    return store, units


async def verify(
    storage: SimStorage, marks: Sequence[object], rng: random.Random, options: JournalOptions = SMALL
) -> Sequence[object]:
    """Hold a disk against the history: open it, judge it, use it, open it again (I8).

    Returns:
        The history for those who crash in the middle of this.
    """
    history = History.of(marks)
    units = await _verify(storage, history, rng, options)
    return [*marks, Exactly(units)]


async def verify_killed(storage: SimStorage, marks: Sequence[object], rng: random.Random) -> Sequence[object]:
    """The same when only the process died: what was written is there, too; and what is shown of it has become safe."""
    history = History.of(marks)
    history.durable = history.written
    await _verify(storage, history, rng, SMALL)
    return marks


async def _verify(storage: SimStorage, history: History, rng: random.Random, options: JournalOptions) -> int:
    store, units = await open_checked(storage, history, options)
    check_leader_epochs(store, history, units)
    storage.mark(Opened(units, store.journal.epoch))
    history.note(Opened(units, store.journal.epoch))
    if rng.random() < 0.5:
        await _go_on(storage, store, history)
    if rng.random() < 0.5:
        await store.journal.stop()
    second, _ = await open_checked(storage, history, options)
    await second.journal.stop()
    return units


async def _go_on(sim: SimStorage, store: Store, history: History) -> None:
    """Append to every partition."""
    appends: list[Op] = [Append((key,), (b"after the crash", b"and more")) for key in history.model().values]
    ops = (*appends, Commit(99, 1))
    for mark in (Attempted(ops), Promised(len(history.units) + 1, durable=True)):
        history.note(mark)
        sim.mark(mark)
        if isinstance(mark, Attempted):
            await store.submit(ops)
    await check_outcome(store, history)
