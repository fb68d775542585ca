"""A server in the test's own loop, and clients of it that speak the native protocol, for tests of both."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.clock import Clock, ManualClock, SystemClock
from isthmus.engines.connect import open_engine
from isthmus.engines.native import NativeEngine
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage, RealStorage, Storage
from isthmus.server.config import Settings
from isthmus.server.server import Listening, Server

SMALL = BrokerOptions(JournalOptions(segment_bytes=SEGMENT_BYTES_MIN))


class SocketClock(ManualClock):
    """A clock of a test with sockets: what was sent has arrived, and was begun, before time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[NativeEngine] = []

    async def drain(self) -> None:
        """Ask for something behind all that was asked, on every connection."""
        await super().drain()
        for client in self.clients:
            await client.ping()
        await super().drain()


class Served:
    """A broker with its server."""

    def __init__(self, broker: Broker, server: Server, listening: Listening, clock: Clock) -> None:
        self.broker = broker
        self.server = server
        self.listening = listening
        self.clock = clock
        self.clients: list[NativeEngine] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"isthmus://{self.listening.host}:{self.listening.port}"

    async def connect(self, url: str = "") -> NativeEngine:
        """A client, connected."""
        client = await open_engine(url or self.url, clock=self.clock)
        assert isinstance(client, NativeEngine)
        self.clients.append(client)
        await client.start()
        if isinstance(self.clock, SocketClock):
            self.clock.clients.append(client)
        return client


@asynccontextmanager
async def served(
    directory: Path | None = None, clock: Clock | None = None, settings: Settings | None = None
) -> AsyncGenerator[Served]:
    """A server on loopback; everything is closed afterwards."""
    clock = clock or SystemClock()
    storage: Storage = MemoryStorage() if directory is None else RealStorage(directory)
    broker = Broker(storage, clock, SMALL)
    await broker.open()
    server = Server(broker, settings or Settings(native="0"))
    (listening,) = await server.start(unix=False)
    here = Served(broker, server, listening, clock)
    try:
        yield here
    finally:
        if isinstance(clock, SocketClock):
            clock.clients.clear()
        for client in here.clients:
            await client.close()
        await server.stop()
        await broker.close()
