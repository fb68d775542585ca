"""A broker on a store in memory, or on any storage, with a clock that the test moves and openings at will."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.broker.catalog import Topic
from isthmus.broker.explain import first_of_each, life_of
from isthmus.broker.member import Member, StartAt
from isthmus.broker.owned import Owned
from isthmus.broker.publishing import PLAIN, Options
from isthmus.clock import Clock, ManualClock
from isthmus.definition import DEFAULT_NAMESPACE, TopicConfig, TopicDefinition
from isthmus.lenses.stream.position import Progress
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log import facts
from isthmus.log.batch import decode
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage, Storage
from isthmus.record import NO_HEADERS, Appended, Record, StoredRecord
from isthmus.views import LifeStep

Rows = list[tuple[Owned, StoredRecord]]
MANY_BYTES = 1 << 20
SMALL = BrokerOptions(journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN))


def records(*values: str, key: str | None = None, headers: bytes = NO_HEADERS) -> list[Record]:
    """Records of these values; `a:1` has the key `a`, unless one is given for all."""
    return [Record(value.encode(), key_of(value) if key is None else key.encode(), headers) for value in values]


def key_of(value: str) -> bytes | None:
    key, colon, _ = value.partition(":")
    return key.encode() if colon else None


def values(rows: Rows) -> list[str]:
    """What was received, as text."""
    return [(record.value or b"").decode() for _, record in rows]


def offsets(rows: Rows) -> list[int]:
    return [record.offset for _, record in rows]


class World:
    """See the module text. Every method is a shorthand for what tests of brokers do most."""

    def __init__(
        self, storage: Storage | None = None, clock: Clock | None = None, options: BrokerOptions | None = None
    ) -> None:
        self.storage = storage or MemoryStorage()
        self._clock: Clock = clock or ManualClock()
        self.options = options or SMALL
        self.members: list[Member] = []

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self._clock, ManualClock)
        return self._clock

    # ---- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> Self:
        self.broker = Broker(self.storage, self._clock, self.options)
        await self.broker.open()
        self.session = self.broker.session()
        return self

    async def close(self) -> None:
        for member in self.members:
            member.close()
        self.members.clear()
        await self.broker.close()

    async def reopen(self) -> None:
        """A clean stop and a new start."""
        await self.close()
        await self.open()

    async def crash(self) -> None:
        """The process is gone without a word, and a new one starts."""
        await self.broker.dues.stop()
        await self.broker.housekeeping.stop()
        self.broker.abandon()
        self.members.clear()
        await self.open()

    # ---- streams --------------------------------------------------------------------------------------------------

    async def topic(self, name: str = "orders", partitions: int = 1, **config: Any) -> Topic:
        asked = TopicDefinition(name=name, partitions=partitions, config=TopicConfig(**config))
        return await self.broker.create_topic(self.session, asked)

    def find(self, name: str = "orders") -> Topic:
        return self.broker.topic(DEFAULT_NAMESPACE, name)

    async def publish(
        self,
        *texts: str,
        to: str = "orders",
        options: Options = PLAIN,
        partition: int | None = None,
        headers: bytes = NO_HEADERS,
    ) -> list[Appended]:
        asked = records(*texts, headers=headers)
        return await self.broker.publish(self.session, self.find(to), asked, options, partition)

    async def store(self, batch: bytes, to: str = "orders", partition: int = 0) -> None:
        """Put a batch there as compaction may have left it, which no producer could."""
        unit = self.broker.journal.unit()
        self.find(to).partitions[partition].append(unit, batch)
        await unit.submit()

    async def read(self, to: str = "orders", partition: int = 0, start: int = 0) -> list[tuple[int, str]]:
        """Offset and text of every record of a partition."""
        found: list[tuple[int, str]] = []
        place = self.find(to).partitions[partition]
        while start < place.high_watermark:
            for batch in await place.read(start, MANY_BYTES):
                found += [(one.offset, (one.value or b"").decode()) for one in decode(batch.data, from_offset=start)]
                start = batch.end_offset
        return found

    async def join(self, group: str = "billing", topic: str = "orders", start: StartAt = "earliest") -> Member:
        declared = await self.broker.group(self.session, DEFAULT_NAMESPACE, group)
        member = self.broker.member(declared, DEFAULT_NAMESPACE, topic, start)
        self.members.append(member)
        await member.start()
        return member

    async def receive(self, member: Member, count: int = 1_000, wait_ms: int = 0) -> Rows:
        return await member.receive(count, MANY_BYTES, wait_ms)

    async def settle(self, member: Member, rows: Rows) -> None:
        unit = self.broker.journal.unit()
        member.settle(unit, rows)
        await unit.submit()

    async def drink(self, member: Member) -> list[str]:
        """Receive and settle until nothing more comes."""
        found: list[str] = []
        while rows := await self.receive(member):
            found += values(rows)
            await self.settle(member, rows)
        return found

    def progress(self, group: str = "billing", topic: str = "orders", partition: int = 0) -> Progress | None:
        """The durable position of a group."""
        return self.broker.catalog.group(DEFAULT_NAMESPACE, group).progress(self.find(topic).partitions[partition])

    async def trim(self, log_start: int, topic: str = "orders", partition: int = 0) -> None:
        unit = self.broker.journal.unit()
        unit.fact(facts.Trimmed(self.find(topic).partitions[partition].id, log_start, "test", self._clock.now_ms()))
        await unit.submit()

    def explain(self, offset: int, topic: str = "orders", partition: int = 0) -> list[LifeStep]:
        place = self.find(topic).partitions[partition]
        return first_of_each(life_of(self.broker.journal, self.broker.catalog, place, offset, self.broker.access.users))


@asynccontextmanager
async def world(
    storage: Storage | None = None, clock: Clock | None = None, options: BrokerOptions | None = None
) -> AsyncGenerator[World]:
    """An open world, closed in the end."""
    opened = await World(storage, clock, options).open()
    try:
        yield opened
    finally:
        await opened.close()


def taken(members: Sequence[Member]) -> list[list[int]]:
    """Which partitions each member owns."""
    return [member.partitions for member in members]
