"""The brokers of this process: one a directory, shared by all engines that name it, closed with the last.

Who opens a directory while its broker closes waits for that, and then gets a new one. Whoever holds a directory answers
other processes on its socket, from the broker's own loop. An engine that is opened on
another event loop than the broker's gets a proxy that hops to the broker's loop. It looks at no record.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.clock import Clock, SystemClock
from isthmus.engines.base import Engine
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.engines.hop import Hop, HoppingEngine
from isthmus.errors import EngineError, InvalidArgument, NoAccess, NotAStore, ProtocolError
from isthmus.limits import BESIDE_MS, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN
from isthmus.log.storage import MemoryStorage, RealStorage, is_socket, socket_path

if TYPE_CHECKING:
    from isthmus.server.server import Server

__all__ = ["BrokerOptions", "beside", "is_ours", "open_directory", "open_memory"]


@dataclass
class Shared:
    """A broker with those who use it. Its coroutines run on its own loop."""

    key: object
    loop: asyncio.AbstractEventLoop
    make: Callable[[], Broker]
    read_only: bool = False
    users: int = 0
    closed: bool = False
    broker: Broker | None = None
    server: "Server | None" = None
    opening: "asyncio.Task[Broker] | None" = None
    closing: "asyncio.Task[None] | None" = None
    gone: "Future[None]" = field(default_factory=Future)

    async def engine(self, url: str) -> EmbeddedEngine | None:
        """One user more; the first opens the broker, in a task that outlives a user who stops waiting.

        Returns:
            None when the broker is being closed: `gone` says when its directory is free.
        """
        if self.closed:
            return None
        self.users += 1
        try:
            if self.opening is None:
                self.opening = asyncio.get_running_loop().create_task(self._open(), name="isthmus-open")
            return EmbeddedEngine(url, await asyncio.shield(self.opening), self)
        except BaseException:
            await self.give_back()
            raise

    async def _open(self) -> Broker:
        self.broker = self.make()
        await self.broker.open(read_only=self.read_only)
        if not self.read_only and not self.broker.storage.inline:
            self.server = await served(self.broker)
        return self.broker

    async def give_back(self) -> None:
        """One user less; the last closes the broker, in a task that goes on if the user stops waiting."""
        self.users -= 1
        if self.users or self.closed:
            return
        self.closed = True
        self.closing = asyncio.get_running_loop().create_task(self._close(), name="isthmus-close")
        await asyncio.shield(self.closing)

    async def _close(self) -> None:
        try:
            if self.opening is not None:
                await asyncio.wait([self.opening])
                if self.server is not None:
                    await self.server.stop()
                if not self.opening.cancelled() and self.opening.exception() is None:
                    await self.opening.result().close()
        finally:
            self.let_go()

    def abandon(self, *, forked: bool = False) -> None:
        """Its loop ended without closing it, or it is the parent's."""
        if self.server is not None:
            self.server.abandon(forked=forked)
        if self.broker is not None and not forked:
            self.broker.abandon()

    def let_go(self) -> None:
        """Whoever asks next gets a broker of their own."""
        if _shared.get(self.key) is self:
            del _shared[self.key]
        if not self.gone.done():
            self.gone.set_result(None)


_shared: dict[object, Shared] = {}
"""By (device, inode) of the directory, or by the name of a memory store."""


def _leave_to_parent() -> None:
    """The brokers of a forked process stay with the parent: whoever opens one in the child opens its own."""
    for shared in _shared.values():
        shared.abandon(forked=True)
    _shared.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


async def served(broker: Broker) -> "Server":
    """The socket in the directory of an open broker, by which other processes of its user reach it."""
    from isthmus.server.config import Settings
    from isthmus.server.server import Server

    server = Server(broker, Settings(directory=broker.storage.directory))
    await server.start(tcp=False)
    return server


def with_segments_of(segment_bytes: int, options: BrokerOptions | None) -> BrokerOptions:
    """The options (None: the usual ones) with another size of segment files.

    Raises:
        InvalidArgument: it is too small or too large.
    """
    if not SEGMENT_BYTES_MIN <= segment_bytes <= SEGMENT_BYTES_MAX:
        raise InvalidArgument("segment_bytes", f"{segment_bytes} is outside {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}")
    known = options or BrokerOptions()
    return replace(known, journal=replace(known.journal, segment_bytes=segment_bytes))


async def open_memory(url: str, name: str, clock: Clock | None, options: BrokerOptions | None) -> Engine:
    """A store in memory; an empty name is nobody else's."""
    key: object = ("memory", name) if name else object()
    return await _open(url, key, lambda: Broker(MemoryStorage(), clock or SystemClock(), options))


async def open_directory(
    url: str, path: str, clock: Clock | None, options: BrokerOptions | None, *, read_only: bool
) -> Engine:
    """A store in a directory."""
    storage = RealStorage(path, create=not read_only)
    key: object = object() if read_only else storage.identity()
    return await _open(url, key, lambda: Broker(storage, clock or SystemClock(), options), read_only=read_only)


def is_ours(path: str) -> bool:
    """Whether it is this process that holds a directory."""
    try:
        return RealStorage(path, create=False).identity() in _shared
    except (NotAStore, NoAccess):
        return False


async def beside(url: str, path: str, clock: Clock | None) -> Engine | None:
    """A client of the live process that holds a directory, connected; None when there is none that answers."""
    try:
        place = socket_path(RealStorage(path, create=False))
    except (NotAStore, NoAccess):
        return None
    if place is None or not is_socket(place):
        return None
    from isthmus.engines.native import NativeEngine
    from isthmus.engines.native_link import Target

    engine = NativeEngine(url, Target(path=place), clock or SystemClock())
    try:
        await engine.start(BESIDE_MS)
    except (EngineError, ProtocolError):
        await engine.close()
        return None
    return engine


async def _open(url: str, key: object, make: Callable[[], Broker], *, read_only: bool = False) -> Engine:
    loop = asyncio.get_running_loop()
    while True:
        shared = _shared.setdefault(key, Shared(key, loop, make, read_only))
        if shared.loop.is_closed():
            # Its loop ended without closing it; nobody can use it any more.
            shared.abandon()
            shared.let_go()
            continue
        if shared.loop is loop:
            engine = await shared.engine(url)
        else:
            engine = await Hop(shared.loop, url).to(shared.engine(url))
        if engine is not None:
            return engine if shared.loop is loop else HoppingEngine(engine, shared.loop)
        await asyncio.shield(asyncio.wrap_future(shared.gone))
