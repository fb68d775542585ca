"""The brokers of this process: one a directory, shared by all engines that name it, closed with the last.

An engine that is opened on another event loop than the broker's gets a proxy that hops to the broker's loop.
"""

import asyncio
import os
from dataclasses import dataclass, field, replace

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.clock import Clock, SystemClock
from isthmus.engines.base import Engine
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.engines.hop import HoppingEngine
from isthmus.errors import Closed, InvalidArgument
from isthmus.limits import SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN
from isthmus.log.storage import MemoryStorage, RealStorage, Storage

__all__ = ["BrokerOptions", "open_directory", "open_memory"]


@dataclass
class Shared:
    """A broker with those who use it."""

    key: object
    loop: asyncio.AbstractEventLoop
    users: int = 0
    broker: Broker | None = None
    opening: "asyncio.Future[Broker] | None" = None
    closed: bool = field(default=False)

    async def give_back(self) -> None:
        """One user less; the last closes the broker."""
        self.users -= 1
        if self.users == 0 and not self.closed:
            self.closed = True
            _shared.pop(self.key, None)
            if self.broker is not None:
                await self.broker.close()


_shared: dict[object, Shared] = {}
"""By (device, inode) of the directory, or by the name of a memory store."""

# The brokers of a forked process stay with the parent: whoever opens one in the child opens its own.
os.register_at_fork(after_in_child=_shared.clear)


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
    return await _open(url, key, MemoryStorage, clock, options)


async def open_directory(
    url: str, path: str, clock: Clock | None, options: BrokerOptions | None, *, read_only: bool
) -> Engine:
    """A store in a directory."""
    storage = RealStorage(path, create=not read_only)
    if read_only:
        return await _open(url, object(), lambda: storage, clock, options, read_only=True)
    return await _open(url, storage.identity(), lambda: storage, clock, options)


async def _open(  # what is opened, and how
    url: str,
    key: object,
    make: "type[MemoryStorage] | object",
    clock: Clock | None,
    options: BrokerOptions | None,
    *,
    read_only: bool = False,
) -> Engine:
    loop = asyncio.get_running_loop()
    shared = _shared.get(key)
    if shared is not None and shared.loop.is_closed():
        # Its loop ended without closing it; nobody can use it any more.
        _shared.pop(key, None)
        if shared.broker is not None:
            shared.broker.abandon()
        shared = None
    if shared is None:
        shared = _shared[key] = Shared(key, loop)
        shared.opening = loop.create_future()
        try:
            storage: Storage = make()  # type: ignore[operator]
            broker = Broker(storage, clock or SystemClock(), options)
            await broker.open(read_only=read_only)
        except BaseException as error:
            _shared.pop(key, None)
            shared.opening.set_exception(error)
            shared.opening.exception()
            raise
        shared.broker = broker
        shared.opening.set_result(broker)
    shared.users += 1
    if shared.loop is loop:
        if shared.opening is None:
            raise Closed(url)
        return EmbeddedEngine(url, await asyncio.shield(shared.opening), shared)
    return await _on_other_loop(url, shared)


async def _on_other_loop(url: str, shared: Shared) -> Engine:
    async def make() -> EmbeddedEngine:
        if shared.opening is None:
            raise Closed(url)
        return EmbeddedEngine(url, await asyncio.shield(shared.opening), shared)

    inner = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make(), shared.loop))
    return HoppingEngine(inner, shared.loop)
