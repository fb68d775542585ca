"""Frames of the native protocol to mutate, and a door that is sent them: whatever comes, it answers or hangs up."""

import asyncio
from typing import Final

from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.door import Peer, Step
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.connection import Frames
from isthmus.protocols.native.errors import NativeError
from isthmus.protocols.native.handlers import NativeService
from isthmus.record import Record
from isthmus.server.services import Kept

RECORDS: Final = codec.pack_records([Record(b"x" * 20, b"k")] * 3, 2)
ROW: Final = wire.Delivery(1, 0, 5, 7, b"k", b"value", b"\x00", 1, 0, 30_000)

REQUESTS: Final[tuple[wire.Request, ...]] = (
    wire.Define("declare", topic=TopicDefinition(name="t", partitions=2)),
    wire.Define("declare", queue=QueueDefinition(name="q")),
    wire.Publish("t", RECORDS),
    wire.Publish("q", RECORDS, "none", 1, 2, 0, None),
    wire.OpenReader("t", "earliest", offsets=(0, 0)),
    wire.OpenReader("t", ("time", 5), stop=True),
    wire.Read(1, 1_000, 0),
    wire.OpenQueue("q", "c"),
    wire.OpenStream("t", "g", 0, "q"),
    wire.Receive(3, 10, 1_000, 0),
    wire.Submit((wire.Publish("t", RECORDS),), (wire.Settle(3, codec.pack_tokens([1, 2])),)),
    wire.Fail(3, codec.pack_tokens([1]), 0, "why"),
    wire.Extend(3, codec.pack_tokens([2]), 1_000),
    wire.Topics(),
    wire.Groups("t"),
    wire.Explain("t", 0, 0),
    wire.Peek("q", 5),
    wire.Cancel(),
    wire.Bye(),
)
ANSWERS: Final[tuple[wire.Answer, ...]] = (
    wire.Welcome(1, "local", (wire.Promise("unit", "native"),)),
    wire.Refused("UnknownTopic", "no topic", {"name": "t"}),
    wire.Placed((wire.Place("t", 0, 1, 2, 3, indexes=codec.pack_indexes([0, 1])),)),
    wire.Batches("t", 0, 0, 5, RECORDS),
    wire.Delivered((("t", 0),), codec.pack_rows([ROW] * 3)),
    wire.Renewed((1, None)),
)
HELLO: Final = codec.encode(1, wire.Hello(client="fuzz"))
SESSION: Final = HELLO + b"".join(codec.encode(number, each) for number, each in enumerate(REQUESTS, 2))
FRAMES: Final = [SESSION, *(codec.encode(number, each) for number, each in enumerate((*REQUESTS, *ANSWERS)))]


MET_MAX: Final = 500
"""Connections that one broker meets: what they make stays in it."""


class SilentLine:
    """A connection that keeps what is said and closes when it is told to."""

    def __init__(self) -> None:
        self.peer = Peer(host="127.0.0.1", trusted=True)
        self.congested = False
        self.ended = False
        self.closed = False
        self.reason = ""

    def flush(self) -> None:
        """Nobody reads it."""

    def wake(self) -> None:
        """It is stepped until nothing is left, without being asked."""

    def known(self, principal: str) -> None:
        """It is."""

    def close(self, reason: str = "") -> None:
        """It is over."""
        self.closed = True
        self.reason = reason


def read(data: bytes) -> None:
    """Read the bytes as frames of a client and of a server."""
    frames = Frames(1 << 20)
    frames.receive(data)
    while (frame := frames.next()) is not None:
        for decode in (codec.decode_request, codec.decode_answer):
            try:
                found = decode(frame.body)
            except NativeError:
                continue
            if isinstance(found, wire.Delivered):
                codec.unpack_rows(found.rows)


class FuzzedBroker:
    """A broker in memory at the end of every connection; made when it is needed, and now and then a new one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._service: NativeService | None = None
        self._met = 0

    def meet(self, data: bytes) -> None:
        """One connection on which this comes, from its beginning to its end."""
        self._loop.run_until_complete(self._meet(data))

    async def _meet(self, data: bytes) -> None:
        self._met += 1
        if self._service is not None and self._met % MET_MAX == 0:
            await self._service.broker.close()
            self._service = None
        if self._service is None:
            self._service = await self._opened()
        line = SilentLine()
        door = self._service.open(line)
        door.receive(HELLO)
        door.receive(data)
        while not line.closed and door.step() is not Step.IDLE:  # noqa: ASYNC110 - turns for what has begun
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        for each in door.data_to_send():
            codec.decode_answer(each[codec.HEADER.size :])
        door.lost()
        for _ in range(5):
            await asyncio.sleep(0)

    async def _opened(self) -> NativeService:
        broker = Broker(MemoryStorage(), ManualClock())
        await broker.open()
        return NativeService(broker, lambda session: EmbeddedEngine("memory://", broker, Kept(), session))
