"""The blocking bus for scripts: the same calls as `Bus`, on an event loop in a thread.

It holds no logic of its own. A call costs a hop into the thread and back (about 0.3 ms), so publish and take many
events at a time.
"""

import atexit
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from isthmus.client.attributes import PublishOptions
from isthmus.client.bus import core_of
from isthmus.client.core import Core, Entry
from isthmus.client.delivery import Message
from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.duration import Duration, Size, StartAt, duration_ms, start_at
from isthmus.client.event import AnyEvent, Headers, Key, State
from isthmus.client.loop_thread import LoopThread
from isthmus.client.producer import Receipt
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Admin
from isthmus.errors import Closed, InvalidArgument
from isthmus.record import Appended

E = TypeVar("E", bound=AnyEvent)
S = TypeVar("S", bound=State)
T = TypeVar("T")


class SyncBus:
    """A bus whose calls block. `with isthmus.sync.connect(...) as bus` starts, flushes and closes it.

    May be used from several threads. What is left open at the end of the program is flushed and closed.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._thread: LoopThread | None = None

    def start(self) -> None:
        """Open or connect the engine; `with` does it."""
        if self._thread is not None:
            raise InvalidArgument("bus", "it has been started already")
        self._thread = LoopThread()
        atexit.register(self.close)
        try:
            self.run(self._core.start())
        except BaseException:
            self._stop()
            raise

    def close(self) -> None:
        """Flush, give back what is held, close the engine; idempotent. `with` does it."""
        if self._thread is not None:
            try:
                self.run(self._core.close())
            finally:
                self._stop()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        atexit.unregister(self.close)
        if thread is not None:
            thread.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the bus's event loop, such as one of `admin`: `bus.run(bus.admin.topics())`.

        Raises:
            Closed: before the start or after the end.
        """
        if self._thread is None:
            work.close()
            raise Closed("the bus")
        return self._thread.run(work)

    @property
    def admin(self) -> Admin:
        """Administration; its calls are coroutines for `run`."""
        return self._core.engine.admin

    def declare(self, *destinations: Destination[Any] | TopicDefinition | QueueDefinition) -> None:
        """See `Bus.declare`."""
        for each in destinations:
            if isinstance(each, Destination):
                self.run(self._core.ensure(each))
            else:
                self.run(self._core.declare(each))

    def publish(self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]) -> Receipt:
        """See `Bus.publish`."""
        return self.run(self._core.send(self._core.entry(dest, events, options)))

    def delete(self, stream: Stream[S], key: Key, *, headers: Headers | None = None) -> Receipt:
        """See `Bus.delete`."""
        return self.run(self._core.send(self._core.tombstone(stream, key, headers)))

    def flush(self) -> None:
        """See `Bus.flush`."""
        self.run(self._core.producer.flush())

    def batch(self) -> "SyncBatch":
        """See `Bus.batch`."""
        return SyncBatch(self, self._core)

    def read(
        self, dest: Destination[E], start: StartAt = "earliest", stop: Literal["end"] | None = None
    ) -> Iterator[Message[E]]:
        """See `Bus.read`; a plain iterator, which waits for more unless `stop="end"`."""
        if stop not in (None, "end"):
            raise InvalidArgument("stop", f"{stop!r} is neither None nor 'end'")
        begin = start_at(start, self._core.engine.clock.now_ms())
        loop = self.run(self._core.begin_read(dest, begin, stop))
        try:
            while (chunk := self.run(loop.chunk())) is not None:
                yield from chunk
        finally:
            if self._thread is not None:
                self.run(self._core.end_read(loop))

    @contextmanager
    def take(self, queue: Queue[E], n: int = 1, *, wait: Duration = "1s") -> Iterator[list[Message[E]]]:
        """See `Bus.take`; the settling methods of the messages block when they are called."""
        taken, messages = self.run(self._core.take(queue, n, duration_ms(wait, "wait")))
        try:
            yield messages
        except BaseException:
            self.run(self._core.finish(taken, done=False))
            raise
        self.run(self._core.finish(taken, done=True))


class SyncBatch:
    """What `SyncBus.batch` gives; see `Batch`."""

    def __init__(self, bus: SyncBus, core: Core) -> None:
        self._bus = bus
        self._core = core
        self._entries: list[Entry] = []
        self.appended: tuple[Appended, ...] = ()
        """Where everything is, once the block has been left."""

    def add(self, dest: Destination[E], *events: E, **options: Unpack[PublishOptions]) -> None:
        """See `Batch.add`."""
        self._entries.append(self._core.entry(dest, events, options))

    def delete(self, stream: Stream[S], key: Key, *, headers: Headers | None = None) -> None:
        """See `Batch.delete`."""
        self._entries.append(self._core.tombstone(stream, key, headers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entries, self._entries = self._entries, []
        if kind is None:
            self.appended = self._bus.run(self._core.send_together(entries))


def connect(
    url: str | None = None,
    *,
    name: str | None = None,
    linger: Duration | None = None,
    batch: Size | None = None,
    compression: str = "none",
    **options: Any,
) -> SyncBus:
    """A blocking bus on the engine that a URL names; arguments and errors as of `isthmus.connect`."""
    return SyncBus(core_of(url, name=name, linger=linger, batch=batch, compression=compression, **options))
