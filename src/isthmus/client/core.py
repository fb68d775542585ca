"""A bus on its own event loop: one engine, one producer, and what has been declared, read and taken through it.

`Bus` and `SyncBus` are the faces of it that users see; everything here runs on the one loop that started it.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct

from isthmus.client.attributes import PublishOptions, attributes_of
from isthmus.client.consumer import ReadLoop, Taken
from isthmus.client.delivery import Message
from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.event import AnyEvent, Headers, Key
from isthmus.client.producer import Producer, Receipt
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Attributes, Engine, Source, Start
from isthmus.errors import Closed, InvalidArgument, Unsupported
from isthmus.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, LEASE_RECORDS_MAX
from isthmus.record import Appended, Record

E = TypeVar("E", bound=AnyEvent)

_NUMBERS: Final = itertools.count(1)


class Entry(Struct, frozen=True):
    """Records for one destination, on their way."""

    destination: Destination[Any]
    records: list[Record]
    attributes: Attributes | None


class Settings(Struct, frozen=True, kw_only=True):
    """How a bus sends. `linger_ms` None: batches form while the one before is being made durable."""

    name: str | None = None
    linger_ms: int | None = None
    batch_events: int = BATCH_EVENTS_MAX
    batch_bytes: int = BATCH_BYTES_MAX
    compression: str = "none"


class Core:
    """See the module. `start` first; `close` flushes. `open_engine` is called once, on the loop of `start`."""

    def __init__(self, open_engine: Callable[[], Awaitable[Engine]], settings: Settings) -> None:
        self.settings = settings
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._producer: Producer | None = None
        self._consumer = f"{settings.name or 'bus'}-{os.getpid()}-{next(_NUMBERS)}"
        self._declaring: dict[Destination[Any], asyncio.Task[None]] = {}
        self._known: set[Destination[Any]] = set()
        self._sources: dict[str, list[Source]] = {}
        self._taken: dict[Taken[Any], Source] = {}
        self._reading: set[ReadLoop[Any]] = set()

    @property
    def engine(self) -> Engine:
        """The engine. Raises Closed: not started, or closed."""
        if self._engine is None:
            raise Closed("the bus")
        return self._engine

    @property
    def producer(self) -> Producer:
        """The producer. Raises Closed: not started, or closed."""
        if self._producer is None:
            raise Closed("the bus")
        return self._producer

    async def start(self) -> None:
        """Open or connect the engine."""
        if self._engine is not None:
            raise InvalidArgument("bus", "it has been started already")
        engine = await self._open_engine()
        try:
            await engine.start()
        except BaseException:
            await engine.close()
            raise
        settings = self.settings
        self._engine = engine
        self._producer = Producer(
            engine,
            linger_ms=settings.linger_ms,
            batch_events=settings.batch_events,
            batch_bytes=settings.batch_bytes,
            compression=settings.compression,
        )

    async def close(self) -> None:
        """Flush, hand back what is held, stop what reads, close the engine; idempotent."""
        engine, producer = self._engine, self._producer
        if engine is None or producer is None:
            return
        self._producer = None
        try:
            await producer.close()
            for taken in list(self._taken):
                await self.finish(taken, done=False)
            for loop in list(self._reading):
                await self.end_read(loop)
            for source in itertools.chain.from_iterable(self._sources.values()):
                await source.close()
        finally:
            self._engine = None
            self._sources.clear()
            self._known.clear()
            await engine.close()

    # ---- declaring ------------------------------------------------------------------------------------------------

    async def ensure(self, destination: Destination[Any]) -> None:
        """Declare a destination, once; concurrent calls share one declaration.

        Raises:
            DeclarationError: it is declared in a way that cannot work.
            AlreadyExists: it is there with another definition.
            Unsupported: the engine cannot keep one of its promises.
        """
        if destination in self._known:
            return
        task = self._declaring.get(destination)
        if task is None:
            task = self._declaring[destination] = asyncio.get_running_loop().create_task(self._declare(destination))
            task.add_done_callback(lambda _: self._declaring.pop(destination, None))
        # Shielded: one waiter that is cancelled must not undo it for the others.
        await asyncio.shield(task)

    @property
    def destinations(self) -> tuple[Destination[Any], ...]:
        """What has been declared so far."""
        return tuple(self._known)

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Declare a definition, such as that of a dead-letter queue."""
        await self.engine.declare(definition)

    async def _declare(self, destination: Destination[Any]) -> None:
        check_promises(self.engine, destination)
        if isinstance(destination, Queue):
            if destination.of is not None:
                await self.ensure(destination.of)
            dead = destination.dead_definition()
            if dead is not None:
                await self.engine.declare(dead)
            await self.engine.declare(destination.definition())
        elif isinstance(destination, Stream):
            await self.engine.declare(destination.definition())
        self._known.add(destination)

    # ---- sending --------------------------------------------------------------------------------------------------

    def entry(self, destination: Destination[Any], events: Sequence[AnyEvent], options: PublishOptions) -> Entry:
        """Events as records with attributes; may be called on any thread.

        Raises:
            WrongEventType, InvalidArgument, Unsupported: see `Writer.records` and `attributes_of`.
        """
        writer = destination.writer(self.settings.name)
        if not options:
            return Entry(destination, writer.records(events), None)
        timed: Any = dict(options)
        key, headers = timed.pop("key", None), timed.pop("headers", None)
        attributes = attributes_of(destination, len(events), self.engine.clock.now_ms(), **timed)
        return Entry(destination, writer.records(events, key, headers), attributes)

    def tombstone(self, stream: Stream[Any], key: Key, headers: Headers | None) -> Entry:
        """The deletion of a key.

        Raises:
            InvalidArgument: a stream that does not keep the newest per key, or a key that cannot be.
        """
        if not stream.compact:
            raise InvalidArgument("stream", f"{stream!r} keeps all events of a key, so there is nothing to delete")
        return Entry(stream, [stream.writer(self.settings.name).tombstone(key, headers)], None)

    async def send(self, entry: Entry) -> Receipt:
        """Publish and wait for the acknowledgement."""
        if entry.destination not in self._known:
            await self.ensure(entry.destination)
        return await self.producer.send(entry.destination.name, entry.records, entry.attributes)

    def send_nowait(self, entry: Entry) -> "asyncio.Future[Receipt]":
        """Hand in without waiting; the future is the acknowledgement.

        Raises:
            InvalidArgument: the destination has not been declared yet, which takes a wait.
            Overloaded, RecordTooLarge, Closed: see `Producer.send_nowait`.
        """
        if entry.destination not in self._known:
            raise InvalidArgument(
                "destination", f"{entry.destination!r} is new here: `await bus.declare(...)` it first"
            )
        return self.producer.send_nowait(entry.destination.name, entry.records, entry.attributes)

    async def send_together(self, entries: Sequence[Entry]) -> tuple[Appended, ...]:
        """Publish to many destinations with one flush, all or nothing where the engine has units.

        Raises:
            UnitTooLarge: they are more than one unit may hold.
        """
        for entry in entries:
            await self.ensure(entry.destination)
        if not entries:
            return ()
        # What was handed in before stays before.
        await self.producer.flush()
        try:
            unit = self.engine.unit()
        except Unsupported:
            receipts = await asyncio.gather(*map(self.send, entries))
            return tuple(run for receipt in receipts for run in receipt.appended)
        for entry in entries:
            unit.publish(entry.destination.name, entry.records, entry.attributes, self.settings.compression)
        return tuple(await unit.submit())

    # ---- receiving ------------------------------------------------------------------------------------------------

    async def begin_read(self, destination: Destination[E], start: Start, stop: Literal["end"] | None) -> ReadLoop[E]:
        """A read loop, tracked until it ends."""
        await self.ensure(destination)
        loop = ReadLoop(self.engine, destination, start, stop)
        self._reading.add(loop)
        return loop

    async def end_read(self, loop: ReadLoop[Any]) -> None:
        """Free what a read loop holds; idempotent."""
        self._reading.discard(loop)
        await loop.close()

    async def take(self, queue: Queue[E], count: int, wait_ms: int) -> tuple[Taken[E], list[Message[E]]]:
        """Up to `count` leased events and who settles them; `finish` ends it."""
        if not 1 <= count <= LEASE_RECORDS_MAX:
            raise InvalidArgument("n", f"{count} is outside 1 to {LEASE_RECORDS_MAX}")
        await self.ensure(queue)
        free = self._sources.setdefault(queue.name, [])
        source = free.pop() if free else await self.engine.queue_source(queue.name, self._consumer)
        taken = Taken(self.engine, queue, source)
        try:
            messages = await taken.receive(count, wait_ms)
        except BaseException:
            # It may hold what never arrived here: leaving gives that back.
            await source.close()
            raise
        self._taken[taken] = source
        return taken, messages

    async def finish(self, taken: Taken[Any], *, done: bool) -> None:
        """The end of a `take` block: acknowledge what is left (`done`) or hand it back."""
        source = self._taken.pop(taken, None)
        if source is None:
            return
        try:
            await (taken.finish() if done else taken.give_back())
        finally:
            self._sources.setdefault(taken.queue_name, []).append(source)


def check_promises(engine: Engine, destination: Destination[Any]) -> None:
    """Refuse a destination that asks for what the engine refuses, when it is declared and not at the first message.

    Raises:
        Unsupported: says what and, where the engine does, what to do instead.
    """
    for promise in destination.promises():
        capability = engine.capabilities.get(promise)
        if capability is not None and capability.support == "refused":
            raise Unsupported(f"{destination!r} needs {promise!r}, which {engine.url} does not offer", capability.how)
