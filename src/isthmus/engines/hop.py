"""The port on an engine that lives on another event loop: every call hops there and its answer hops back.

It adds nothing and keeps nothing; what cannot hop (a clock's timers) stays on the loop of the caller.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar, cast

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

    async def last(self, work: Coroutine[Any, Any, None]) -> None:
        """The same for closing: what lived on a loop that has ended is closed."""
        with contextlib.suppress(Closed):
            await self.to(work)


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
        return HoppingReader(await self._hop.to(self._inner.reader(topic, start, stop)), self._hop)

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Hops."""
        return HoppingSource(await self._hop.to(self._inner.stream_source(topic, group, start, dead)), self._hop)

    async def queue_source(self, queue: str, consumer: str) -> Source:
        """Hops."""
        return HoppingSource(await self._hop.to(self._inner.queue_source(queue, consumer)), self._hop)


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
        """Hops."""
        return await self._hop.to(self.inner.receive(max_events, max_bytes, wait_ms))

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
