"""A server that speaks Kafka in the test's own loop, and a client that says what a test wants."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.clock import Clock, SystemClock
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage, Storage
from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.server.config import Settings
from isthmus.server.server import Server

SMALL = BrokerOptions(JournalOptions(segment_bytes=SEGMENT_BYTES_MIN))


class KafkaPeer:
    """A client over a real socket. `ask` waits for the answer; `say` and `hear` do one half each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._next = 0

    def say(self, api_key: int, version: int, request: Struct, client: str | None = "test") -> int:
        """Send a request; its correlation id."""
        self._next += 1
        header = codec.encode_header(RequestHeader(api_key, version, self._next, client, 0))
        self.send(header + codec.encode_request(api_key, version, request))
        return self._next

    def send(self, frame: bytes) -> None:
        """Send any frame."""
        self.writer.write(len(frame).to_bytes(4, "big", signed=True) + frame)

    async def hear(self, api_key: int, version: int) -> tuple[int, Any]:
        """The next answer with its correlation id. Raises IncompleteReadError: the connection was closed."""
        frame = await self.frame()
        at = len(codec.response_header(api_key, version, 0))
        return int.from_bytes(frame[:4], "big"), codec.decode_response(api_key, version, frame, at)

    async def frame(self) -> bytes:
        """The next frame."""
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return await self.reader.readexactly(size)

    async def ask(self, api_key: int, version: int, request: Struct) -> Any:  # noqa: ANN401 - the struct of any answer
        """Send a request and wait for its answer."""
        asked = self.say(api_key, version, request)
        answered, answer = await self.hear(api_key, version)
        assert answered == asked
        return answer

    async def is_closed(self) -> bool:
        """Whether the server closes the connection without another word."""
        try:
            return not await self.reader.read(1)
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        """Go away."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


class KafkaServer:
    """A broker with a Kafka listener."""

    def __init__(self, broker: Broker, server: Server, host: str, port: int) -> None:
        self.broker = broker
        self.server = server
        self.host = host
        self.port = port
        self.peers: list[KafkaPeer] = []

    @property
    def bootstrap(self) -> str:
        """Where clients find it."""
        return f"{self.host}:{self.port}"

    async def connect(self) -> KafkaPeer:
        """A client, connected."""
        peer = KafkaPeer(*await asyncio.open_connection(self.host, self.port))
        self.peers.append(peer)
        return peer


@asynccontextmanager
async def kafka_server(
    storage: Storage | None = None, clock: Clock | None = None, settings: Settings | None = None
) -> AsyncGenerator[KafkaServer]:
    """A server on loopback; everything is closed afterwards."""
    broker = Broker(storage or MemoryStorage(), clock or SystemClock(), SMALL)
    await broker.open()
    server = Server(broker, settings or Settings(kafka="0"))
    (listening,) = await server.start(unix=False)
    here = KafkaServer(broker, server, listening.host or "", listening.port or 0)
    try:
        yield here
    finally:
        for peer in here.peers:
            await peer.close()
        await server.stop()
        await broker.close()
