"""The bus: publish, read and take without an app, on whatever engine a URL names.

`connect` makes one. It turns arguments into records and the port's terms and leaves everything else to its `Core`,
which may run on a loop of its own in a thread.
"""

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar, Unpack, cast

from isthmus.client.attributes import PublishOptions
from isthmus.client.consumer import Reading, Taken
from isthmus.client.core import Core, Entry, Settings
from isthmus.client.delivery import Message
from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.duration import Duration, Size, StartAt, duration_ms, size_bytes, start_at
from isthmus.client.event import AnyEvent, Headers, Key, State
from isthmus.client.loop_thread import LoopThread
from isthmus.client.producer import Receipt
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Admin, Engine, Start
from isthmus.engines.connect import open_engine
from isthmus.errors import Closed, InvalidArgument
from isthmus.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, BATCH_RECORDS_MAX, UNIT_BYTES_MAX
from isthmus.log.batch import check_codec
from isthmus.record import Appended

E = TypeVar("E", bound=AnyEvent)
S = TypeVar("S", bound=State)
T = TypeVar("T")

URL_VARIABLE: Final = "ISTHMUS_URL"


class Bus:
    """A connection to an engine. `async with connect(...) as bus` starts, flushes and closes it.

    With `thread=True` the engine runs on a loop of its own in a thread, so that a busy caller does not hold it up and
    callers on several loops can share it; otherwise it belongs to the loop that started it.
    """

    def __init__(self, core: Core, *, thread: bool = False) -> None:
        self._core = core
        self._own_thread = thread
        self._thread: LoopThread | None = None

    # ---- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open or connect the engine; `async with` does it."""
        if self._own_thread and self._thread is None:
            self._thread = LoopThread()
            atexit.register(self._close_at_exit)
        try:
            await self.run(self._core.start())
        except BaseException:
            self._stop_thread()
            raise

    async def close(self) -> None:
        """Flush what was handed in, give back what is held, close the engine; idempotent. `async with` does it."""
        if self._own_thread and self._thread is None:
            return
        try:
            await self.run(self._core.close())
        finally:
            self._stop_thread()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop that the engine lives on.

        Raises:
            Closed: with `thread=True`, before the start or after the end.
        """
        if not self._own_thread:
            return await work
        if self._thread is None:
            work.close()
            raise Closed("the bus")
        return await asyncio.wrap_future(self._thread.submit(work))

    def _stop_thread(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            atexit.unregister(self._close_at_exit)
            thread.stop()

    def _close_at_exit(self) -> None:
        """Nobody closed it: what was handed in must still not be lost."""
        if self._thread is not None:
            self._thread.run(self._core.close())
            self._stop_thread()

    # ---- what it stands on ----------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """The engine. Raises Closed: before the start or after the end."""
        return self._core.engine

    @property
    def core(self) -> Core:
        """What the bus does on the engine's own loop."""
        return self._core

    @property
    def admin(self) -> Admin:
        """Administration: list, show, create, alter, remove, seek, peek, purge, redrive, explain."""
        return self._core.engine.admin if not self._own_thread else cast("Admin", _HoppingAdmin(self))

    async def declare(self, *destinations: Destination[Any] | TopicDefinition | QueueDefinition) -> None:
        """Make streams and queues that are not there yet; publishing, reading and taking do it by themselves.

        Raises:
            DeclarationError, AlreadyExists, Unsupported: see `Core.ensure`.
        """
        for each in destinations:
            if isinstance(each, Destination):
                await self.run(self._core.ensure(each))
            else:
                await self.run(self._core.declare(each))

    # ---- sending --------------------------------------------------------------------------------------------------

    async def publish(self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]) -> Receipt:
        """Publish events and return when they are acknowledged (by default: on disk).

        One event shares a batch with others that are published at the same time; several go out at once. They are
        not atomic together; see `batch`. Cancelling stops the waiting, not the publishing.

        Args:
            dest: the stream or queue; it is declared on first use.
            events: of its types.
            options: `key` instead of the key field's value; `headers` beside the CloudEvents ones (`ce_id` and
                `ce_time` among them); for queues `delay` or `at` (not before), `ttl` (not after), `priority`; `dedup`,
                an id of one event: the second of the same id within the window is acknowledged and not stored.

        Returns:
            Where they are: partition and offset of the first, and of all in `appended`.

        Raises:
            WrongEventType, InvalidArgument, Unsupported, RecordTooLarge: nothing was published.
            EngineError, StorageError: the outcome of what was handed in is not known.
        """
        return await self.run(self._core.send(self._core.entry(dest, events, options)))

    def publish_nowait(
        self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]
    ) -> "asyncio.Future[Receipt]":
        """Hand events in without waiting; the future is the acknowledgement. `dest` must be declared by then.

        Raises:
            Overloaded: more is unacknowledged than is kept (with `thread=True` the future raises it).
            WrongEventType, InvalidArgument, Unsupported, RecordTooLarge: see `publish`.
        """
        entry = self._core.entry(dest, events, options)
        if self._thread is None:
            return self._core.send_nowait(entry)

        async def hand_in() -> Receipt:
            return await self._core.send_nowait(entry)

        return asyncio.wrap_future(self._thread.submit(hand_in()))

    async def delete(self, stream: Stream[S], key: Key, *, headers: Headers | None = None) -> Receipt:
        """Write the tombstone of a `State`: tables forget the key.

        Raises:
            InvalidArgument: a stream that does not keep the newest per key, or a key that cannot be.
        """
        return await self.run(self._core.send(self._core.tombstone(stream, key, headers)))

    def batch(self) -> "Batch":
        """Collect events for many destinations; leaving the block publishes them with one flush.

        All or nothing where the engine has units (see its capability "unit"). An exception in the block drops them.
        """
        return Batch(self)

    async def flush(self) -> None:
        """Return when nothing that was handed in is unacknowledged."""
        await self.run(self._core.producer.flush())

    # ---- receiving ------------------------------------------------------------------------------------------------

    def read(self, dest: Destination[E], start: StartAt = "earliest", stop: Literal["end"] | None = None) -> Reading[E]:
        """Read by offset, without a group and without disturbing anybody: `async for message in bus.read(...)`.

        Order is kept within a partition. An event that cannot be decoded comes as a message whose `error` says why.

        Args:
            dest: a stream, or a queue (whose own topic is read; what was acknowledged may be gone).
            start: "earliest", "latest", an offset, a datetime, a time in ISO 8601, or an age such as "-1h".
            stop: "end" stops where the log ends at the first read; None follows it for ever.
        """
        if stop not in (None, "end"):
            raise InvalidArgument("stop", f"{stop!r} is neither None nor 'end'")
        return Reading(self._chunks(dest, start_at(start, self.engine.clock.now_ms()), stop))

    async def _chunks(
        self, dest: Destination[E], start: Start, stop: Literal["end"] | None
    ) -> AsyncGenerator[list[Message[E]], None]:
        loop = await self.run(self._core.begin_read(dest, start, stop))
        try:
            while (chunk := await self.run(loop.chunk())) is not None:
                yield chunk
        finally:
            if self._thread is not None or not self._own_thread:
                await self.run(self._core.end_read(loop))

    def take(self, queue: Queue[E], n: int = 1, *, wait: Duration = "1s") -> "Taking[E]":
        """Take up to `n` events from a queue for the length of a block: `async with bus.take(...) as messages`.

        Leaving the block acknowledges them in one unit; an exception or a cancellation hands them back. Leases are
        renewed until then. Single messages can be settled earlier (`ack`, `nack`, `reject`). What cannot be decoded
        goes to the dead letters.

        Args:
            queue: the queue; it is declared on first use.
            n: the most to take, 1 to 10,000; fewer come when fewer are there.
            wait: how long to wait for the first; the list is empty when none came.

        Raises:
            LeaseLost: at the end, when an event was handed to somebody else meanwhile; the others are acknowledged.
        """
        return Taking(self, queue, n, duration_ms(wait, "wait"))


class Taking(Generic[E]):
    """What `bus.take` gives: a block that holds the taken events."""

    def __init__(self, bus: Bus, queue: Queue[E], n: int, wait_ms: int) -> None:
        self._bus = bus
        self._order = queue, n, wait_ms
        self._taken: Taken[E] | None = None

    async def __aenter__(self) -> list[Message[E]]:
        self._taken, messages = await self._bus.run(self._bus.core.take(*self._order))
        return messages

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._taken is not None:
            await self._bus.run(self._bus.core.finish(self._taken, done=kind is None))


class Batch:
    """What `bus.batch` gives: events for many destinations, published when the block is left."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._entries: list[Entry] = []
        self.appended: tuple[Appended, ...] = ()
        """Where everything is, once the block has been left."""

    def add(self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]) -> None:
        """Add events for a destination; the same options as `Bus.publish`.

        Raises:
            WrongEventType, InvalidArgument, Unsupported: nothing was added.
        """
        self._entries.append(self._bus.core.entry(dest, events, options))

    def delete(self, stream: Stream[S], key: Key, *, headers: Headers | None = None) -> None:
        """Add the tombstone of a `State`; see `Bus.delete`."""
        self._entries.append(self._bus.core.tombstone(stream, key, headers))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entries, self._entries = self._entries, []
        if kind is None:
            self.appended = await self._bus.run(self._bus.core.send_together(entries))


class _HoppingAdmin:
    """The admin of an engine that lives in a thread: each call hops there."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._bus.engine.admin, name)
        return lambda *args, **options: self._bus.run(method(*args, **options))


# ---- connecting --------------------------------------------------------------------------------------------------


def connect(
    url: str | None = None,
    *,
    thread: bool = False,
    name: str | None = None,
    linger: Duration | None = None,
    batch: Size | None = None,
    compression: str = "none",
    **options: Any,
) -> Bus:
    """Make a bus on the engine that a URL names.

    Use it as a block, which starts, flushes and closes it: `async with connect("isthmus:///var/lib/shop") as bus`.

    Args:
        url: memory://, isthmus:///absolute/path, a path, or what `engines/connect.py` knows; from the environment
            variable ISTHMUS_URL when not given.
        thread: run the engine on a loop of its own in a thread.
        name: the app's name, which travels with each event as `ce_source`.
        linger: how long an event waits for company; when not given, batches form while the one before is being made
            durable, so a lone event does not wait.
        batch: when a batch is full and leaves at once: a size ("64KB", the default) or a number of events (1,000).
        compression: of whole batches: "none", "gzip", or with the extra `fast` "snappy", "lz4" or "zstd".
        options: handed to the engine.

    Raises:
        InvalidArgument: no URL, or a figure that cannot be.
        UnsupportedCompression: a codec that is not known or not installed.
        Unsupported: an engine that needs an extra, or a later version.
    """
    return Bus(core_of(url, name=name, linger=linger, batch=batch, compression=compression, **options), thread=thread)


def core_of(
    url: str | None,
    *,
    name: str | None = None,
    linger: Duration | None = None,
    batch: Size | None = None,
    compression: str = "none",
    **options: Any,
) -> Core:
    """The core of a bus, see `connect`."""
    batch_events, batch_bytes = _batch_limits(batch)
    check_codec(compression)
    linger_ms = None if linger is None else duration_ms(linger, "linger")
    address = url_of(url)
    settings = Settings(
        name=name,
        linger_ms=linger_ms,
        batch_events=batch_events,
        batch_bytes=batch_bytes,
        compression=compression,
    )
    return Core(lambda: open_engine(address, **options), settings)


def _batch_limits(batch: Size | None) -> tuple[int, int]:
    """Events and bytes: a number counts events, a text is a size."""
    if batch is None:
        return BATCH_EVENTS_MAX, BATCH_BYTES_MAX
    if isinstance(batch, int):
        if not 1 <= batch <= BATCH_RECORDS_MAX:
            raise InvalidArgument("batch", f"{batch} is outside 1 to {BATCH_RECORDS_MAX} events")
        return batch, BATCH_BYTES_MAX
    size = size_bytes(batch, "batch")
    if not 1 <= size <= UNIT_BYTES_MAX // 2:
        raise InvalidArgument("batch", f"{batch!r} is outside 1 byte to {UNIT_BYTES_MAX // 2} bytes")
    return BATCH_EVENTS_MAX, size


def url_of(url: str | None) -> str:
    """The URL, or that of the environment.

    Raises:
        InvalidArgument: neither is there.
    """
    found = url or os.environ.get(URL_VARIABLE)
    if not found:
        raise InvalidArgument(
            "url", f"give one, such as 'isthmus:///var/lib/shop', './data' or 'memory://', or set {URL_VARIABLE}"
        )
    return found
