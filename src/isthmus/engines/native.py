"""The port on a server at `isthmus://host:port`, or on the process that holds a data directory, by its Unix socket.

Call by call it says what is asked and reads what is answered. It connects again by itself; what was asked when the
connection broke is asked again only where doing it twice is the same as once. Deliveries of a connection that is gone
are stale: the server has given them to others.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal, TypeVar

from isthmus.clock import Clock
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Admin, Attributes, Capability, Received, Source, Start, Unit
from isthmus.engines.native_admin import NativeAdmin, define
from isthmus.engines.native_link import Link, LinkLost, Login, Target, connect, greet
from isthmus.engines.native_sources import NativeReader, NativeSource, key_of
from isthmus.errors import Closed, EngineError, InvalidArgument, ProtocolError, UnitTooLarge
from isthmus.limits import (
    BATCH_RECORDS_MAX,
    NATIVE_CONNECT_MS,
    NATIVE_RETRY_FIRST_MS,
    NATIVE_RETRY_MAX_MS,
    UNIT_BYTES_MAX,
)
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.errors import StaleDelivery
from isthmus.record import Appended, Record

T = TypeVar("T")


class NativeEngine:
    """One client of a server; see `engines/base.py` for the methods. Belongs to one event loop.

    Args:
        url: as it was given, without secrets.
        target: where the server is.
        clock: what waits go by.
        login: who this is, for a server that asks.
        client: what this client calls itself, for people.
    """

    def __init__(self, url: str, target: Target, clock: Clock, *, login: Login | None = None, client: str = "") -> None:
        self._url = url
        self._target = target
        self._clock = clock
        self._login = login
        self._client = client
        self._link: Link | None = None
        self._connecting = asyncio.Lock()
        self._capabilities: dict[str, Capability] = {}
        self._admin = NativeAdmin(self)
        self._closed = False

    @property
    def url(self) -> str:
        """What `connect` was given."""
        return self._url

    @property
    def clock(self) -> Clock:
        """The clock of this end."""
        return self._clock

    @property
    def capabilities(self) -> dict[str, Capability]:
        """What the server says; nothing before `start`."""
        return self._capabilities

    @property
    def admin(self) -> Admin:
        """Administration of the server."""
        return self._admin

    async def start(self, wait_ms: int = NATIVE_CONNECT_MS) -> None:
        """Connect, if it is not connected: one attempt, for as long as said.

        Raises:
            EngineError: nobody answers, or somebody who is no such server.
        """
        if self._closed:
            raise Closed(self._url)
        async with self._connecting:
            if self._link is None:
                self._link = await self._connect(wait_ms)

    async def close(self) -> None:
        """Say goodbye and disconnect."""
        self._closed = True
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def ping(self) -> None:
        """Return when the server has begun all that was asked before."""
        await self.ask(wire.Ping(), wire.Done)

    # ---- connecting -----------------------------------------------------------------------------------------------

    async def link(self) -> Link:
        """A live connection: this one, or a new one after some attempts.

        Raises:
            Closed: this engine was closed.
            EngineError: the server cannot be reached.
        """
        if self._closed:
            raise Closed(self._url)
        link = self._link
        if link is not None and link.alive:
            return link
        async with self._connecting:
            if self._link is None or not self._link.alive:
                self._link = await self._connect_patiently()
            return self._link

    async def _connect_patiently(self) -> Link:
        until_ms = self._clock.monotonic_ms() + NATIVE_CONNECT_MS
        pause_ms = NATIVE_RETRY_FIRST_MS
        while True:
            try:
                return await self._connect()
            except EngineError as error:
                if not error.retryable or self._clock.monotonic_ms() + pause_ms > until_ms:
                    raise
            await self._clock.sleep_until(self._clock.monotonic_ms() + pause_ms)
            pause_ms = min(NATIVE_RETRY_MAX_MS, pause_ms * 2)
            if self._closed:
                raise Closed(self._url)

    async def _connect(self, wait_ms: int = NATIVE_CONNECT_MS) -> Link:
        try:
            link = await self._in_time(asyncio.ensure_future(connect(self._target, self._clock)), wait_ms)
        except OSError as error:
            why = error.strerror or str(error)
            raise EngineError(f"no server can be reached at {self._target}: {why}", retryable=True) from error
        try:
            welcome = await self._in_time(asyncio.ensure_future(greet(link, self._client, self._login)), wait_ms)
        except BaseException as error:
            link.end("")
            if isinstance(error, LinkLost):
                raise EngineError(f"{self._target} hung up on a greeting: {error}", retryable=True) from error
            raise
        promises = {each.name: Capability(support=each.support, how=each.how) for each in welcome.promises}
        self._capabilities = promises
        return link

    async def _in_time(self, work: "asyncio.Task[T]", wait_ms: int) -> T:
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        work.add_done_callback(lambda _: None if done.done() else done.set_result(None))
        try:
            if await self._clock.wait(done, self._clock.monotonic_ms() + wait_ms):
                return work.result()
        finally:
            work.cancel()
        raise EngineError(f"{self._target} does not answer", retryable=True)

    async def ask(self, message: wire.Request, kind: type[T]) -> T:
        """The answer to what may be asked twice, over a new connection if this one breaks.

        Raises:
            IsthmusError: what the server says; EngineError when it cannot be reached.
        """
        while True:
            link = await self.link()
            try:
                return expect(kind, await link.request(message))
            except LinkLost:
                continue

    async def ask_once(self, message: wire.Request, kind: type[T]) -> T:
        """The answer to what must not be asked twice.

        Raises:
            LinkLost: the connection broke; it is not known whether it was done.
            IsthmusError: what the server says.
        """
        link = await self.link()
        return expect(kind, await link.request(message))

    # ---- declaring and publishing ---------------------------------------------------------------------------------

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it, or take over what can change."""
        await self.ask(define("declare", definition), wire.Done)

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return (await self.ask(wire.Partitions(topic), wire.Count)).value

    async def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> list[Appended]:
        """Publish and wait until durable.

        Raises:
            LinkLost: the connection broke before the answer; what was published with a de-duplication id may be
                published again.
        """
        return places_of(await self.ask_once(publish_of(name, records, attributes, compression), wire.Placed))

    def unit(self) -> Unit:
        """A unit that is built here and submitted there."""
        return NativeUnit(self)

    # ---- reading and consuming ------------------------------------------------------------------------------------

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> NativeReader:
        """Read all partitions from a start."""
        return await NativeReader.open(self, wire.OpenReader(topic, start, stop is not None))

    async def reader_at(self, topic: str, offsets: Sequence[int], ends: Sequence[int] | None) -> NativeReader:
        """Go on where an earlier reader was."""
        last = None if ends is None else tuple(ends)
        return await NativeReader.open(self, wire.OpenReader(topic, 0, ends is not None, tuple(offsets), last))

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Join a group."""
        return await NativeSource.open(self, wire.OpenStream(topic, group, start, dead))

    async def queue_source(self, queue: str, consumer: str) -> Source:
        """Consume a queue."""
        return await NativeSource.open(self, wire.OpenQueue(queue, consumer))


class NativeUnit:
    """Collects here; all of it goes over in one message."""

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self._publishes: list[wire.Publish] = []
        self._settled: list[tuple[NativeSource, Sequence[Received]]] = []

    def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> None:
        """Keep for submit."""
        self._publishes.append(publish_of(name, records, attributes, compression))

    def settle(self, source: Source, received: Sequence[Received]) -> None:
        """Keep for submit."""
        if not isinstance(source, NativeSource) or source.engine is not self._engine:
            raise InvalidArgument("source", "belongs to another engine")
        for one in received:
            key_of(source, one)
        self._settled.append((source, received))

    async def submit(self) -> list[Appended]:
        """Make it durable. Deliveries of a connection that is gone are stale, and then nothing of it takes place."""
        if not self._publishes and not self._settled:
            return []
        link = await self._engine.link()
        settles = tuple([source.settle(link, received) for source, received in self._settled])
        size = sum(len(each.batches) for each in self._publishes)
        if size > UNIT_BYTES_MAX:
            raise UnitTooLarge(size, UNIT_BYTES_MAX, "bytes")
        try:
            answer = await link.request(wire.Submit(tuple(self._publishes), settles))
        except StaleDelivery as error:
            for source, received in self._settled:
                source.blame(error, received)
            raise
        return places_of(expect(wire.Placed, answer))


def expect(kind: type[T], answer: wire.Answer) -> T:
    """The answer, which can only be of this kind. Raises ProtocolError."""
    if not isinstance(answer, kind):
        raise ProtocolError(f"the server answered with {type(answer).__name__} where {kind.__name__} was expected")
    return answer


def publish_of(name: str, records: Sequence[Record], attributes: Attributes | None, compression: str) -> wire.Publish:
    """A publish as a message. Raises UnitTooLarge, and what `log/batch.py` says of records."""
    packed = codec.pack_records(records, BATCH_RECORDS_MAX)
    if len(packed) > UNIT_BYTES_MAX:
        raise UnitTooLarge(len(packed), UNIT_BYTES_MAX, "bytes")
    if attributes is None:
        return wire.Publish(name, packed, compression)
    return wire.Publish(
        name,
        packed,
        compression,
        attributes.due_ms,
        attributes.expire_ms,
        attributes.priority,
        attributes.dedup,
    )


def places_of(placed: wire.Placed) -> list[Appended]:
    """Where records went."""
    return [
        Appended(
            each.topic,
            each.partition,
            each.base_offset,
            each.count,
            each.timestamp_ms,
            each.duplicate,
            codec.unpack_indexes(each.indexes),
        )
        for each in placed.places
    ]
