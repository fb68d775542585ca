"""The port on an engine that lives on another event loop: every call hops there and its answer hops back.

It adds nothing and keeps nothing; what cannot hop (a clock's timers) stays on the loop of the caller.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Literal, TypeVar, cast

from isthmus.clock import Clock, SystemClock
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import (
    Admin,
    Attributes,
    Capability,
    Chunk,
    Engine,
    Reader,
    Received,
    Source,
    Start,
    Unit,
)
from isthmus.errors import Closed
from isthmus.record import Appended, Record

T = TypeVar("T")


class Hop:
    """Runs coroutines on the engine's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, url: str) -> None:
        self._loop = loop
        self._url = url

    async def to(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that runs on the other loop; cancelling the wait cancels it there.

        Raises:
            Closed: the other loop has ended, and the engine with it.
        """
        if self._loop.is_closed():
            work.close()
            raise Closed(self._url)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def handed_over(self, work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> T:
        """The same for a result that somebody must look after: when nobody waits for it any more, it is undone there.

        Raises:
            Closed: the other loop has ended, and the engine with it.
        """
        if self._loop.is_closed():
            work.close()
            raise Closed(self._url)
        hand_over = _HandOver(work, undo)
        self._loop.call_soon_threadsafe(hand_over.begin)
        try:
            return await asyncio.wrap_future(hand_over.outcome)
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError):  # the other loop has ended, and all that was held on it
                self._loop.call_soon_threadsafe(hand_over.give_up)
            raise

    async def last(self, work: Coroutine[Any, Any, None]) -> None:
        """The same for closing: what lived on a loop that has ended is closed."""
        with contextlib.suppress(Closed):
            await self.to(work)


class _HandOver(Generic[T]):
    """Work whose result is taken by one waiter on another loop, or undone. All but the waiting runs on the work's loop.

    A waiter can be cancelled when the work is under way, when it has just ended, and when its result is on the way.
    """

    def __init__(self, work: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> None:
        self.outcome: Future[T] = Future()
        self._work = work
        self._undo = undo
        self._task: asyncio.Task[T] | None = None
        self._undoing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the work."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._ended)

    def give_up(self) -> None:
        """Nobody waits any more."""
        if self._task is not None and not self._task.cancel():
            self._undo_result(self._task)

    def _ended(self, task: "asyncio.Task[T]") -> None:
        wanted = self.outcome.set_running_or_notify_cancel()
        if task.cancelled():
            if wanted:
                self.outcome.set_exception(asyncio.CancelledError())
            return
        error = task.exception()
        if not wanted:
            self._undo_result(task)
        elif error is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())

    def _undo_result(self, task: "asyncio.Task[T]") -> None:
        if self._undoing is None and not task.cancelled() and task.exception() is None:
            self._undoing = asyncio.get_running_loop().create_task(self._undo(task.result()))


class HoppingEngine:
    """See the module text."""

    def __init__(self, inner: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._hop = Hop(loop, inner.url)
        self._clock = SystemClock()

    @property
    def url(self) -> str:
        """As the inner engine's."""
        return self._inner.url

    @property
    def clock(self) -> Clock:
        """A clock for the caller's loop."""
        return self._clock

    @property
    def capabilities(self) -> dict[str, Capability]:
        """As the inner engine's."""
        return self._inner.capabilities

    @property
    def admin(self) -> Admin:
        """Administration, hopping."""
        return cast("Admin", HoppingAdmin(self._inner.admin, self._hop))

    async def start(self) -> None:
        """Start the inner engine."""
        await self._hop.to(self._inner.start())

    async def close(self) -> None:
        """Close the inner engine."""
        await self._hop.last(self._inner.close())

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Hops."""
        await self._hop.to(self._inner.declare(definition))

    async def partitions(self, topic: str) -> int:
        """Hops."""
        return await self._hop.to(self._inner.partitions(topic))

    async def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> list[Appended]:
        """Hops."""
        return await self._hop.to(self._inner.publish(name, records, attributes, compression))

    def unit(self) -> Unit:
        """A unit that is built here and submitted there."""
        return HoppingUnit(self._inner, self._hop)

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> Reader:
        """Hops."""
        work = self._inner.reader(topic, start, stop)
        return HoppingReader(await self._hop.handed_over(work, lambda reader: reader.close()), self._hop)

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Hops."""
        work = self._inner.stream_source(topic, group, start, dead)
        return HoppingSource(await self._hop.handed_over(work, lambda source: source.close()), self._hop)

    async def queue_source(self, queue: str, consumer: str) -> Source:
        """Hops."""
        work = self._inner.queue_source(queue, consumer)
        return HoppingSource(await self._hop.handed_over(work, lambda source: source.close()), self._hop)


class HoppingAdmin:
    """Every method of the inner administration, hopping."""

    def __init__(self, inner: Admin, hop: Hop) -> None:
        self._inner = inner
        self._hop = hop

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, object]]:
        method = getattr(self._inner, name)

        async def hopping(*args: object, **kwargs: object) -> object:
            return await self._hop.to(method(*args, **kwargs))

        return hopping


class HoppingReader:
    """A reader on the other loop."""

    def __init__(self, inner: Reader, hop: Hop) -> None:
        self._inner = inner
        self._hop = hop

    @property
    def ended(self) -> bool:
        """As the inner reader's."""
        return self._inner.ended

    async def read(self, max_bytes: int, wait_ms: int) -> Chunk | None:
        """Hops."""
        return await self._hop.to(self._inner.read(max_bytes, wait_ms))

    async def close(self) -> None:
        """Hops."""
        await self._hop.last(self._inner.close())


class HoppingSource:
    """A source on the other loop."""

    def __init__(self, inner: Source, hop: Hop) -> None:
        self.inner = inner
        self._hop = hop

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Hops. What comes for a receiver that has stopped waiting is handed back."""
        work = self.inner.receive(max_events, max_bytes, wait_ms)
        return await self._hop.handed_over(work, self.inner.release)

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Hops."""
        await self._hop.to(self.inner.fail(received, delay_ms, reason))

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Hops."""
        await self._hop.to(self.inner.dead(received, reason, traceback))

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hops."""
        await self._hop.to(self.inner.release(received, delay_ms))

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Hops."""
        return await self._hop.to(self.inner.extend(received, lease_ms))

    async def close(self) -> None:
        """Hops."""
        await self._hop.last(self.inner.close())


class HoppingUnit:
    """Collects here; all of it is added and submitted in one go on the other loop."""

    def __init__(self, inner: Engine, hop: Hop) -> None:
        self._inner = inner
        self._hop = hop
        self._published: list[tuple[str, Sequence[Record], Attributes | None, str]] = []
        self._settled: list[tuple[Source, Sequence[Received]]] = []

    def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> None:
        """Keep for submit."""
        self._published.append((name, records, attributes, compression))

    def settle(self, source: Source, received: Sequence[Received]) -> None:
        """Keep for submit."""
        self._settled.append((source.inner if isinstance(source, HoppingSource) else source, received))

    async def submit(self) -> list[Appended]:
        """Hops."""
        return await self._hop.to(self._submit())

    async def _submit(self) -> list[Appended]:
        unit = self._inner.unit()
        for published in self._published:
            unit.publish(*published)
        for settled in self._settled:
            unit.settle(*settled)
        return await unit.submit()
