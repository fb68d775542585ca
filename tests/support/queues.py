"""A queue on a real journal: in memory or on any storage, with a clock that the test moves, and openings at will."""

from collections.abc import Sequence
from typing import Final, Literal, Self

from isthmus.clock import Clock, ManualClock
from isthmus.definition import Level, QueueConfig
from isthmus.errors import IsthmusError
from isthmus.lenses.queue.part import Source
from isthmus.lenses.queue.queue import Dead, Queue
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log import batch as batches
from isthmus.log import checkpoint, facts
from isthmus.log.headers import encode_headers
from isthmus.log.journal import Journal, JournalOptions, Unit
from isthmus.log.partition import Partition
from isthmus.log.recovery import open_journal
from isthmus.log.storage import MemoryStorage, Storage
from isthmus.record import NO_HEADERS, Lease, Leased, Record

QUEUE: Final = 7
OWN: Final = 1 << 16
SHARED: Final = 2 << 16
MANY_BYTES: Final = 1 << 30


def record(
    value: str | bytes = b"x", *, key: bytes | None = None, due_ms: int | None = None, expire_ms: int | None = None
) -> Record:
    """A record with queue attributes where they are given."""
    rows = [("isthmus-due", due_ms), ("isthmus-expire", expire_ms)]
    headers = [(name, b"%d" % at_ms) for name, at_ms in rows if at_ms is not None]
    block = encode_headers(headers) if headers else NO_HEADERS
    return Record(value.encode() if isinstance(value, str) else value, key, block)


def offsets(found: Sequence[Leased]) -> list[int]:
    """Which offsets were leased."""
    return [leased.lease.offset for leased in found]


def leases(found: Sequence[Leased]) -> list[Lease]:
    """The leases alone."""
    return [leased.lease for leased in found]


class QueueWorld:
    """See the module text. `shared` adds a topic that the queue views, from `view_start` on."""

    def __init__(
        self,
        config: QueueConfig | None = None,
        *,
        partitions: int = 1,
        shared: int = 0,
        view_start: int = 0,
        storage: Storage | None = None,
        level: Level = "fsync",
        clock: Clock | None = None,
    ) -> None:
        self.config = config or QueueConfig(dead="dead")
        self.storage = storage or MemoryStorage()
        self.manual = ManualClock()
        self.real_clock = clock
        self.level: Level = level
        self._ids = [(OWN | at, 0, True, "jobs") for at in range(partitions)]
        self._ids += [(SHARED | at, view_start, False, "orders") for at in range(shared)]
        self.letters: list[Dead] = []
        self.also: int | None = None
        self.journal: Journal
        self.queue: Queue

    @property
    def clock(self) -> ManualClock:
        """The clock that the test moves, when it gave no other."""
        return self.manual

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.queue.close()
        await self.journal.stop()
        self.storage.unlock()

    async def open(self) -> None:
        """Open the store, as after a crash when it was open."""
        clock = self.real_clock or self.manual
        journal = self.journal = Journal(self.storage, clock, JournalOptions(segment_bytes=SEGMENT_BYTES_MIN))
        sources = [
            Source(journal.add_partition(number, self.level), start, own, topic)
            for number, start, own, topic in self._ids
        ]
        if self.also is not None:
            journal.add_partition(self.also, self.level)
        self.queue = Queue(QUEUE, "jobs", self.config, sources, journal, clock)
        for fact in (facts.Leased, facts.Released, facts.Settled, facts.LedgerState):
            journal.register(fact, self.queue.apply)
        journal.exporters.append(self.queue.facts)
        await open_journal(journal)
        self.queue.recovered()

    async def crash(self) -> None:
        """The process dies and another one opens the store."""
        self.queue.close()
        self.journal.closed = True
        self.storage.unlock()
        await self.open()

    async def checkpoint(self) -> None:
        """Take one."""
        await checkpoint.take(self.journal)

    def partition(self, index: int = 0, kind: Literal["own", "shared"] = "own") -> Partition:
        """A partition of the queue's own topic, or of the one that it views."""
        return self.journal.partitions[(OWN if kind == "own" else SHARED) | index]

    async def publish(
        self,
        *records: Record | str,
        index: int = 0,
        kind: Literal["own", "shared"] = "own",
        compression: str = "none",
    ) -> None:
        """Append records as one batch."""
        unit = self.journal.unit()
        self.append(unit, *records, index=index, kind=kind, compression=compression)
        await unit.submit()

    def append(
        self,
        unit: Unit,
        *records: Record | str,
        index: int = 0,
        kind: Literal["own", "shared"] = "own",
        compression: str = "none",
    ) -> None:
        """Add a batch to a unit."""
        made = [record(each) if isinstance(each, str) else each for each in records]
        data = batches.encode(made, now_ms=self.journal.clock.now_ms(), compression=compression)
        attributes = any(b"isthmus-" in each.headers for each in made)
        self.partition(index, kind).append(unit, data, attributes=attributes)

    async def fill(self, count: int, *, index: int = 0) -> None:
        """Append plain records, `0`, `1`, ..., as one batch."""
        await self.publish(*[str(number) for number in range(count)], index=index)

    async def lease(
        self,
        count: int = 100,
        *,
        lease_ms: int | Literal["default"] | None = "default",
        wait_ms: int = 0,
        session: int = 1,
        consumer: str = "one",
        max_bytes: int = MANY_BYTES,
        run_of_key: bool = False,
    ) -> list[Leased]:
        """Lease with what most tests do not care about filled in."""
        return await self.queue.lease(consumer, session, 0, count, max_bytes, lease_ms, wait_ms, run_of_key=run_of_key)

    def consume(
        self,
        credit: int = 100,
        *,
        name: str = "one",
        session: int = 1,
        priority: int = 0,
        lease_ms: int | None = None,
        max_bytes: int = MANY_BYTES,
        take: bool = False,
    ) -> "Standing":
        """A standing consumer with what it got."""
        return Standing(
            self, name, credit, session=session, priority=priority, lease_ms=lease_ms, max_bytes=max_bytes, take=take
        )

    async def ack(self, found: Sequence[Leased]) -> None:
        """Acknowledge in a unit of its own."""
        unit = self.journal.unit()
        self.queue.ack(unit, leases(found))
        await unit.submit()

    async def fail(self, found: Sequence[Leased], delay_ms: int = 0, reason: str = "boom") -> list[Dead]:
        """Fail in a unit of its own; what died is buried."""
        unit = self.journal.unit()
        dead = await self.queue.fail(unit, leases(found), delay_ms, reason)
        await unit.submit()
        self.letters += dead
        return dead

    async def release(self, found: Sequence[Leased], delay_ms: int = 0) -> None:
        """Release in a unit of its own."""
        unit = self.journal.unit()
        self.queue.release(unit, leases(found), delay_ms)
        await unit.submit()

    async def expire(self, grace_ms: int = 0) -> list[Dead]:
        """One round of housekeeping; what died is buried."""
        unit = self.journal.unit()
        dead = await self.queue.expire(unit, grace_ms=grace_ms)
        if unit.changes:
            await unit.submit()
        self.letters += dead
        return dead

    async def end_session(self, session: int = 1) -> None:
        """A consumer is lost."""
        unit = self.journal.unit()
        self.queue.end_session(unit, session)
        await unit.submit()

    async def trim(self, log_start: int) -> None:
        """Move the log start of the first partition up, as retention does."""
        partition = self.partition()
        unit = self.journal.unit()
        self.queue.trimmed(unit, partition, log_start)
        unit.fact(facts.Trimmed(partition.id, log_start, "test", self.clock.now_ms()))
        await unit.submit()


class Standing:
    """A standing consumer and what was delivered to it, batch by batch; `ends` is why the queue ended it."""

    def __init__(
        self,
        world: QueueWorld,
        name: str,
        credit: int,
        *,
        session: int,
        priority: int,
        lease_ms: int | None,
        max_bytes: int,
        take: bool,
    ) -> None:
        self.batches: list[list[Leased]] = []
        self.ends: list[IsthmusError] = []
        self.consumer = world.queue.consume(
            name,
            session,
            0,
            self.batches.append,
            priority=priority,
            credit=credit,
            max_bytes=max_bytes,
            lease_ms=lease_ms,
            take=take,
            on_end=self.ends.append,
        )

    @property
    def leased(self) -> list[Leased]:
        """All that was delivered."""
        return [leased for batch in self.batches for leased in batch]

    @property
    def offsets(self) -> list[int]:
        """Of all that was delivered."""
        return offsets(self.leased)
