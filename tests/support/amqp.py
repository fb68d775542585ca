"""A server that speaks AMQP in the test's own loop, and a client that says what a test wants."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from isthmus import scram
from isthmus.broker.access import Access
from isthmus.broker.broker import Broker
from isthmus.broker.users import Users
from isthmus.clock import Clock, SystemClock
from isthmus.log import facts
from isthmus.log.storage import MemoryStorage, Storage
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import PROTOCOL_HEADERS, content_frames, method_frame
from isthmus.protocols.amqp.connection import Brought, Called, Connection, Violation
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.amqp.properties import NONE, Properties, encode_properties
from isthmus.protocols.amqp.table import Table
from isthmus.server.config import Settings
from isthmus.server.server import Server
from support.kafka import SMALL

M = TypeVar("M", bound=Method)
PATIENCE_S = 10
FRAME_BYTES = 131_072
CAPABILITIES: Table = {
    "capabilities": {"consumer_cancel_notify": True, "authentication_failure_close": True, "connection.blocked": True}
}

GUEST = b"\0guest\0guest"


class Hung(Exception):
    """The server has closed the socket."""


class AmqpPeer:
    """A client over a real socket. `say` and `hear` do one half each; `ask` waits for the answer of a channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.wire = Connection(from_client=False)
        self.wire.frame_bytes_max = FRAME_BYTES

    def send(self, data: bytes) -> None:
        """Send any bytes."""
        self.writer.write(data)

    def say(self, method: Method, channel: int = 1) -> None:
        """Send a method."""
        self.send(method_frame(channel, method))

    def publish(  # what a publish may have
        self,
        key: str,
        body: bytes = b"",
        *,
        exchange: str = "",
        mandatory: bool = False,
        channel: int = 1,
        raw: bytes | None = None,
        **properties: Any,
    ) -> None:
        """Send a message."""
        data = encode_properties(Properties(**properties)) if properties else NONE
        method = m.BasicPublish(0, exchange, key, mandatory)
        self.send(content_frames(channel, method, data if raw is None else raw, body, FRAME_BYTES))

    async def next(self) -> Called | Brought:
        """What the server says next. Raises Hung when it says nothing more."""
        async with asyncio.timeout(PATIENCE_S):
            while (event := self.wire.next_event()) is None:
                data = await self.reader.read(65_536)
                if not data:
                    raise Hung
                self.wire.receive_data(data)
        assert not isinstance(event, Violation), event
        assert isinstance(event, Called | Brought), event
        return event

    async def hear(self, kind: type[M], channel: int = 1) -> M:
        """The next thing, which is that."""
        event = await self.next()
        assert isinstance(event.method, kind), event
        assert event.channel == channel
        return event.method

    async def message(self) -> Brought:
        """The next thing, which has a content."""
        event = await self.next()
        assert isinstance(event, Brought), event
        return event

    async def ask(self, method: Method, channel: int = 1) -> Any:  # noqa: ANN401 - any method
        """Send a method and wait for what comes next, which is on the same channel."""
        self.say(method, channel)
        event = await self.next()
        assert event.channel == channel
        return event.method

    async def silent(self) -> bool:
        """Whether everything that was said is done, and nothing more was answered."""
        answer = await self.ask(m.QueueDeclare(0, "amq.rabbitmq.reply-to.x", passive=True), 99)
        return isinstance(answer, m.ChannelClose)

    async def log_in(
        self, vhost: str = "/", heartbeat: int = 0, frame_max: int = FRAME_BYTES, secret: bytes = GUEST
    ) -> None:
        """Say all that comes before the first channel."""
        self.send(PROTOCOL_HEADERS[0])
        await self.hear(m.ConnectionStart, 0)
        self.say(m.ConnectionStartOk(CAPABILITIES, "PLAIN", secret, "en_US"), 0)
        await self.hear(m.ConnectionTune, 0)
        self.say(m.ConnectionTuneOk(2_047, frame_max, heartbeat), 0)
        self.say(m.ConnectionOpen(vhost), 0)
        await self.hear(m.ConnectionOpenOk, 0)

    async def open(self, channel: int = 1) -> None:
        """Open a channel."""
        self.say(m.ChannelOpen(), channel)
        await self.hear(m.ChannelOpenOk, channel)

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


class AmqpServer:
    """A broker with an AMQP listener."""

    def __init__(self, broker: Broker, server: Server, host: str, port: int) -> None:
        self.broker = broker
        self.server = server
        self.host = host
        self.port = port
        self.peers: list[AmqpPeer] = []

    async def socket(self) -> AmqpPeer:
        """A client that has said nothing."""
        peer = AmqpPeer(*await asyncio.open_connection(self.host, self.port))
        self.peers.append(peer)
        return peer

    async def connect(self, **given: Any) -> AmqpPeer:
        """A client with an open channel."""
        peer = await self.socket()
        await peer.log_in(**given)
        await peer.open()
        return peer


@asynccontextmanager
async def amqp_server(
    storage: Storage | None = None, clock: Clock | None = None, settings: Settings | None = None
) -> AsyncGenerator[AmqpServer]:
    """A server on loopback; everything is closed afterwards."""
    broker = Broker(storage or MemoryStorage(), clock or SystemClock(), SMALL)
    await broker.open()
    server = Server(broker, settings or Settings(amqp="0"))
    (listening,) = await server.start(unix=False)
    here = AmqpServer(broker, server, listening.host or "", listening.port or 0)
    try:
        yield here
    finally:
        for peer in here.peers:
            await peer.close()
        await server.stop()
        await broker.close()


async def declared(peer: AmqpPeer, name: str = "q", **given: Any) -> m.QueueDeclareOk:
    """A durable queue, unless the test says otherwise."""
    answer = await peer.ask(m.QueueDeclare(queue=name, **({"durable": True} | given)))
    assert isinstance(answer, m.QueueDeclareOk), answer
    return answer


def access_with(**passwords: str) -> Access:
    """The users of a broker, by their passwords."""
    users = Users()
    for number, (name, password) in enumerate(passwords.items(), 1):
        scrams = scram.credentials(password, lambda: b"salt" * 4)
        users._user_set(facts.UserSet(number, name, scrams, False, (), 0), 0)
    return Access(users)
