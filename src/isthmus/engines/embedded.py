"""The port on a broker in the same process: `memory://` and a data directory.

One directory has one broker in a process: engines share it and count references. It translates between the port and
the broker and keeps no state of records itself.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Generator, Sequence
from typing import Final, Literal, Protocol, cast

from isthmus.broker import redrive
from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.member import Member
from isthmus.broker.owned import Owned
from isthmus.broker.publishing import COPIES, PLAIN, Options, Share
from isthmus.clock import Clock
from isthmus.definition import DEFAULT_NAMESPACE, QueueDefinition, TopicDefinition
from isthmus.engines.base import (
    Admin,
    Attributes,
    Capability,
    Chunk,
    Extent,
    Received,
    Source,
    Start,
    Unit,
)
from isthmus.engines.embedded_admin import EmbeddedAdmin
from isthmus.errors import AlreadyExists, Closed, InvalidArgument, RequestError
from isthmus.lenses.queue.queue import Queue
from isthmus.log import facts
from isthmus.log.journal import Unit as JournalUnit
from isthmus.log.partition import Partition
from isthmus.record import Appended, Lease, Leased, Record, StoredRecord

NATIVE: Final = Capability(support="native")
PROMISES: Final = (
    "queue unit delay ttl dedup ordered priority single compact consumed extend retry dead redrive view seek"
    " explain gzip"
).split()


class Release(Protocol):
    """How an engine gives its share of a broker back."""

    async def give_back(self) -> None:
        """Called once an engine is closed."""


class EmbeddedEngine:
    """One user of a broker in this process; see `engines/base.py` for the methods.

    Args:
        url: what `connect` was given.
        broker: open.
        release: is told when this engine is closed.
        session: of a caller that is known already; None begins one of the process itself when it is needed.
    """

    def __init__(self, url: str, broker: Broker, release: "Release", session: Session | None = None) -> None:
        self._url = url
        self._broker = broker
        self._release = release
        self._session = session
        self._closed = False
        self._gate = asyncio.Lock()
        self._queued = 0
        self._consumers = itertools.count(1)
        self._admin = EmbeddedAdmin(self)
        self.namespace = DEFAULT_NAMESPACE

    @property
    def url(self) -> str:
        """What `connect` was given."""
        return self._url

    @property
    def clock(self) -> Clock:
        """The broker's clock."""
        return self._broker.clock

    @property
    def broker(self) -> Broker:
        """The broker, for tools that look at more than the port shows."""
        return self._broker

    @property
    def session(self) -> Session:
        """This engine's session, begun when first needed. Raises Closed."""
        if self._closed:
            raise Closed(self._url)
        if self._session is None:
            self._session = self._broker.session()
        return self._session

    @property
    def capabilities(self) -> dict[str, Capability]:
        """All native, but for what comes in later versions."""
        later = dict.fromkeys(("fair", "length"), Capability(support="refused", how="comes later"))
        return dict.fromkeys(PROMISES, NATIVE) | later

    @property
    def admin(self) -> Admin:
        """Administration of the broker."""
        return self._admin

    async def start(self) -> None:
        """Nothing to do: the broker was opened when the engine was made."""

    async def close(self) -> None:
        """End the session; the last engine closes the broker."""
        if self._closed:
            return
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            self._broker.end_session(session)
        await self._release.give_back()

    # ---- declaring and publishing ---------------------------------------------------------------------------------

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it, or take over what can change; what cannot is named. Who declares the same meanwhile waits."""
        if isinstance(definition, QueueDefinition):
            await self._declare_queue(definition)
        else:
            await self._declare_topic(definition)

    async def _declare_topic(self, asked: TopicDefinition) -> None:
        await self._broker.quiet("topic", asked.namespace, asked.name)
        catalog = self._broker.catalog
        topic_id = catalog.topic_names.get((asked.namespace, asked.name))
        if topic_id is None:
            await self._broker.create_topic(self.session, asked)
            return
        old = catalog.topics[topic_id].set
        if old.queue is not None:
            raise AlreadyExists("topic", asked.name, "it belongs to a queue")
        if definition_of(old) != asked:
            with _named("topic", asked.name):
                await self._broker.alter_topic(self.session, asked)

    async def _declare_queue(self, asked: QueueDefinition) -> None:
        starts = await self._broker.resolve_view(asked)
        await self._broker.quiet("topic", asked.namespace, *_names_of(asked))
        catalog = self._broker.catalog
        queue_id = catalog.queue_names.get((asked.namespace, asked.name))
        if queue_id is None:
            await self._broker.create_queue(self.session, asked, starts)
            return
        old = catalog.queue_sets[queue_id]
        viewed = catalog.topics[old.view_of].name if old.view_of is not None else None
        now = (old.config, catalog.topics[old.topic].set.config, viewed, old.lifetime)
        if now != (asked.config, asked.topic, asked.view_of, asked.lifetime):
            with _named("queue", asked.name):
                await self._broker.alter_queue(self.session, asked)

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists."""
        if isinstance(definition, QueueDefinition):
            starts = await self._broker.resolve_view(definition)
            await self._broker.quiet("topic", definition.namespace, *_names_of(definition))
            await self._broker.create_queue(self.session, definition, starts)
        else:
            await self._broker.quiet("topic", definition.namespace, definition.name)
            await self._broker.create_topic(self.session, definition)

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return len(self._broker.topic(self.namespace, topic).partitions)

    async def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> list[Appended]:
        """Append and wait until durable; waits for room first, in the order of the calls."""
        topic = self._broker.topic(self.namespace, name)
        options = options_of(attributes, compression)
        if self._queued or self._is_full():
            await self._in_turn()
        return await self._broker.publish(self.session, topic, records, options)

    async def _in_turn(self) -> None:
        """Wait for room, and for those who came before; nobody else comes in between until the caller waits again."""
        self._queued += 1
        try:
            async with self._gate:
                await self._broker.journal.room()
                await self.session.credit.wait()
        finally:
            self._queued -= 1

    def _is_full(self) -> bool:
        """Whether publishers are to wait: half of what may be in flight is."""
        journal, credit = self._broker.journal, self.session.credit
        return (
            journal.pending_bytes * 2 > journal.options.pending_bytes_max or credit.used_bytes * 2 > credit.limit_bytes
        )

    def unit(self) -> Unit:
        """A unit of this broker."""
        return EmbeddedUnit(self)

    # ---- reading and consuming --------------------------------------------------------------------------------------

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> "EmbeddedReader":
        """Read all partitions from a start."""
        partitions = self._broker.topic(self.namespace, topic).partitions
        offsets = [await self._broker.resolve(partition, start) for partition in partitions]
        ends = [partition.high_watermark for partition in partitions] if stop == "end" else None
        return EmbeddedReader(self._broker, self.session, topic, partitions, offsets, ends)

    async def reader_at(self, topic: str, offsets: Sequence[int], ends: Sequence[int] | None) -> "EmbeddedReader":
        """Go on where an earlier reader was; partitions that came since are not read, as it would not have."""
        partitions = self._broker.topic(self.namespace, topic).partitions
        if not offsets or len(offsets) > len(partitions) or (ends is not None and len(ends) != len(offsets)):
            raise InvalidArgument("offsets", f"topic {topic!r} has {len(partitions)} partitions, not {len(offsets)}")
        places = partitions[: len(offsets)]
        starts = [await self._broker.resolve(place, max(0, at)) for place, at in zip(places, offsets, strict=True)]
        return EmbeddedReader(self._broker, self.session, topic, places, starts, ends)

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Join a group."""
        self._broker.topic(self.namespace, topic)
        declared = await self._broker.group(self.session, self.namespace, group)
        member = self._broker.member(declared, self.namespace, topic, start)
        await member.start()
        return StreamSource(self, topic, group, member, dead)

    async def queue_source(self, queue: str, consumer: str) -> Source:
        """Consume a queue."""
        lens = self._broker.queue(self.namespace, queue)
        return QueueSource(self, queue, lens, f"{consumer}-{next(self._consumers)}")


def definition_of(topic: facts.TopicSet) -> TopicDefinition:
    """What a topic would be declared as."""
    return TopicDefinition(
        name=topic.name,
        namespace=topic.namespace,
        partitions=topic.partitions,
        placement=topic.placement,
        config=topic.config,
        lifetime=topic.lifetime,
    )


def _names_of(asked: QueueDefinition) -> list[str]:
    """The topics that making a queue is about."""
    return [asked.name] if asked.view_of is None else [asked.name, asked.view_of]


@contextlib.contextmanager
def _named(kind: str, name: str) -> Generator[None]:
    """What cannot be changed is a difference from what exists."""
    try:
        yield
    except InvalidArgument as error:
        raise AlreadyExists(kind, name, str(error)) from error


def options_of(attributes: Attributes | None, compression: str) -> Options:
    """The port's attributes as the broker's."""
    if attributes is None:
        return PLAIN if compression == "none" else Options(compression=compression)
    return Options(
        attributes.due_ms, attributes.expire_ms, attributes.priority, attributes.dedup, compression=compression
    )


class EmbeddedUnit:
    """Outputs and settlements of one handler run, or of many."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine
        self.inner: JournalUnit = engine.broker.journal.unit()
        self._shares: list[Share] = []
        self._ids: set[tuple[str, str]] = set()

    def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> None:
        """Add records. What has a de-duplication id that is known already, or comes twice in the unit, is left out."""
        engine = self._engine
        topic = engine.broker.topic(engine.namespace, name)
        options = options_of(attributes, compression)
        if options.dedup is not None:
            if (name, options.dedup) in self._ids:
                return
            self._ids.add((name, options.dedup))
        _, shares = engine.broker.add(engine.session, self.inner, topic, records, options)
        self._shares += shares

    def settle(self, source: Source, received: Sequence[Received]) -> None:
        """Add acknowledgements."""
        if not isinstance(source, StreamSource | QueueSource):
            raise InvalidArgument("source", "belongs to another engine")
        source.settle(self.inner, received)

    async def submit(self) -> list[Appended]:
        """Make it durable."""
        if not self.inner.changes:
            return []
        placed = await self.inner.submit()
        now_ms = self._engine.broker.journal.time_ms
        return [share.appended(base, now_ms) for share, (_, base, _) in zip(self._shares, placed, strict=True)]


class EmbeddedReader:
    """Reads partitions in turn by offset."""

    def __init__(  # what is read, from where, to where
        self,
        broker: Broker,
        session: Session,
        topic: str,
        partitions: Sequence[Partition],
        offsets: list[int],
        ends: Sequence[int] | None,
    ) -> None:
        self._broker = broker
        self._session = session
        self._topic = topic
        self._partitions = partitions
        self._offsets = offsets
        self._ends = ends
        self._turn = 0
        self._buffer: list[Chunk] = []
        self._closed = False
        self._waiting: asyncio.Future[bool] | None = None

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where it goes on."""
        return tuple(self._offsets)

    @property
    def ends(self) -> tuple[int, ...] | None:
        """Where it stops."""
        return None if self._ends is None else tuple(self._ends)

    @property
    def ended(self) -> bool:
        """Whether all partitions have reached their ends."""
        if self._closed:
            return True
        if self._ends is None or self._buffer:
            return False
        return all(offset >= end for offset, end in zip(self._offsets, self._ends, strict=True))

    async def read(self, max_bytes: int, wait_ms: int) -> Chunk | None:
        """The next records of some partition."""
        until_ms = self._broker.clock.monotonic_ms() + wait_ms
        while (extent := await self._next(max_bytes, until_ms)) is not None:
            try:
                chunk = extent.chunk()
            except RequestError:
                self._offsets[extent.partition] = extent.start  # what cannot be read is not passed over
                raise
            if chunk.records:
                return chunk
        return None

    async def read_batches(self, max_bytes: int, wait_ms: int) -> Extent | None:
        """The same as they are stored."""
        return await self._next(max_bytes, self._broker.clock.monotonic_ms() + wait_ms)

    async def _next(self, max_bytes: int, until_ms: int) -> Extent | None:
        while not self._closed:
            for _ in self._partitions:
                extent = await self._read_next(max_bytes)
                if extent is not None:
                    return extent
            if self.ended:
                return None
            if not await self._grown(until_ms):
                return None
        return None

    async def _grown(self, until_ms: int) -> bool:
        """Wait for more; False when time ran out or the reader was closed meanwhile."""
        places = list(zip(self._partitions, self._offsets, strict=True))
        self._waiting = asyncio.ensure_future(self._broker.polls.wait_any(places, until_ms))
        try:
            return await self._waiting
        except asyncio.CancelledError:
            if not self._closed:
                raise
            return False

    async def _read_next(self, max_bytes: int) -> Extent | None:
        at = self._turn
        self._turn = (at + 1) % len(self._partitions)
        partition, start = self._partitions[at], max(self._offsets[at], self._partitions[at].log_start)
        stop = None if self._ends is None else self._ends[at]
        self._offsets[at] = start
        if stop is not None and start >= stop:
            return None
        found = await partition.read(start, max_bytes)
        if not found:
            return None
        self._offsets[at] = found[-1].end_offset
        return Extent(self._topic, partition.index, start, stop, [batch.data for batch in found])

    async def close(self) -> None:
        """Stop, and wake a waiting `read`."""
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()


class StreamSource:
    """A member of a stream group, as a source."""

    def __init__(self, engine: EmbeddedEngine, topic: str, group: str, member: Member, dead: str | None) -> None:
        self._engine = engine
        self._topic = topic
        self._group = group
        self._member = member
        self._dead = dead

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """The next records of one owned partition."""
        found = await self._member.receive(max_events, max_bytes, wait_ms)
        topic, failures = self._topic, self._member.failures
        if not found:
            return []
        index = found[0][0].partition.index
        if not found[0][0].position.attempts:
            return [Received(record, owned, topic, index, 1, 0) for owned, record in found]
        return [
            Received(record, owned, topic, index, (failed := failures(owned, record.offset)) + 1, failed)
            for owned, record in found
        ]

    @staticmethod
    def rows(received: Sequence[Received]) -> list[tuple[Owned, StoredRecord]]:
        """What the member wants back."""
        return [(owned_of(one.token), one.stored) for one in received]

    def settle(self, unit: JournalUnit, received: Sequence[Received]) -> None:
        """Add the finished offsets to a unit."""
        self._member.settle(unit, self.rows(received))

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:  # noqa: ARG002 - the stream lens keeps counts, not reasons
        """Count a failure and hold the key."""
        await self._member.fail(self.rows(received), delay_ms)

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy to the dead letters and finish, in one unit."""
        broker, engine = self._engine.broker, self._engine
        unit = broker.journal.unit()
        if self._dead is not None:
            target = broker.topic(engine.namespace, self._dead)
            records = [
                redrive.letter(
                    one.stored,
                    cause=f"{self._topic}/{one.partition}/{one.stored.offset}",
                    origin=f"group:{self._group}",
                    reason=reason,
                    traceback=traceback,
                    failed=one.failed + 1,
                    now_ms=engine.clock.now_ms(),
                )
                for one in received
            ]
            broker.add(engine.session, unit, target, records, COPIES)
        self.settle(unit, received)
        await unit.submit()

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back."""
        self._member.release(self.rows(received), delay_ms)

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:  # noqa: ARG002 - streams have no leases
        """As they are: a stream has no leases."""
        return list(received)

    async def close(self) -> None:
        """Leave the group."""
        self._member.close()


def owned_of(token: object) -> Owned:
    """The token of a stream delivery."""
    if not isinstance(token, Owned):
        raise InvalidArgument("received", "comes from another source")
    return token


class QueueSource:
    """A consumer of a queue, as a source. Its token is the lease."""

    def __init__(self, engine: EmbeddedEngine, name: str, lens: Queue, consumer: str) -> None:
        self._engine = engine
        self._name = name
        self._lens = lens
        self._consumer = consumer
        self._closed = asyncio.Event()
        self._origins: dict[int, tuple[str, int]] = {}

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Lease up to `max_events`."""
        if self._closed.is_set():
            return []
        session = self._engine.session
        found = await self._lens.lease(
            self._consumer, session.id, session.principal_id, max_events, max_bytes, wait_ms=wait_ms
        )
        if self._closed.is_set() and found:
            await self.release([self._received(one) for one in found])
            return []
        return [self._received(one) for one in found]

    def _received(self, one: Leased) -> Received:
        lease = one.lease
        topic, index = self._origin(lease.partition)
        return Received(one.record, lease, topic, index, lease.acquired, lease.failed, lease.until_ms)

    def _origin(self, partition: int) -> tuple[str, int]:
        found = self._origins.get(partition)
        if found is None:
            topic = self._engine.broker.catalog.topic_of(partition)
            found = self._origins[partition] = (topic.name if topic is not None else "", partition & 0xFFFF)
        return found

    def settle(self, unit: JournalUnit, received: Sequence[Received]) -> None:
        """Add acknowledgements to a unit."""
        self._lens.ack(unit, leases_of(received), consumer=self._consumer, principal=self._engine.session.principal_id)

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure; what reaches its limit dies in the same unit."""
        unit = self._engine.broker.journal.unit()
        died = await self._lens.fail(unit, leases_of(received), delay_ms, reason)
        self._engine.broker.bury(unit, self._lens, died)
        await unit.submit()

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy to the dead letters and settle, in one unit."""
        unit = self._engine.broker.journal.unit()
        died = await self._lens.reject(unit, leases_of(received), reason, traceback)
        self._engine.broker.bury(unit, self._lens, died)
        await unit.submit()

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back; what is no longer ours is passed over."""
        unit = self._engine.broker.journal.unit()
        self._lens.release(unit, leases_of(received), delay_ms)
        if unit.changes:
            await unit.submit()

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Renew."""
        renewed = self._lens.extend(leases_of(received), lease_ms)
        return [
            Received(one.stored, lease, one.topic, one.partition, one.attempt, one.failed, lease.until_ms)
            for one, lease in zip(received, renewed, strict=True)
        ]

    async def close(self) -> None:
        """Stop taking; what is held is the caller's to settle or release."""
        self._closed.set()
        self._lens.wake(self._consumer)


def leases_of(received: Sequence[Received]) -> list[Lease]:
    """The tokens of queue deliveries."""
    leases = [one.token for one in received]
    if not all(isinstance(lease, Lease) for lease in leases):
        raise InvalidArgument("received", "comes from another source")
    return cast("list[Lease]", leases)
