"""Bytes of AMQP to mutate, and what has to hold of all that reads them: whatever comes, it is refused in words."""

import asyncio
import logging
import random
from typing import Any, Final

from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.limits import AMQP_ASSEMBLY_BYTES_MAX, AMQP_FRAME_BYTES_MAX
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.amqp import codec, properties
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Called, Connection, Published, Violation
from isthmus.protocols.amqp.handlers.door import AmqpDoor
from isthmus.protocols.amqp.handlers.service import AmqpService
from isthmus.protocols.amqp.methods import ALL
from isthmus.protocols.amqp.properties import Properties, encode_properties
from isthmus.protocols.amqp.table import (
    Malformed,
    Timestamp,
    check_table,
    decode_table,
    encode_table,
    merged,
    without,
)
from isthmus.protocols.door import Step
from support.kafka_corpus import Unforeseen
from support.native_corpus import SilentLine

VALUES: Final[dict[str, Any]] = {
    "text": "ä",
    "bytes": b"\xff\x00",
    "yes": True,
    "small": -1,
    "large": 1 << 40,
    "float": 0.5,
    "time": Timestamp(1),
    "none": None,
    "table": {"x-death": [{"count": 1, "queue": "q"}, [], {}]},
}
DEEP: Final = b"".join(b"A" + (5 * depth).to_bytes(4, "big") for depth in range(40, -1, -1))
OTHER_TYPES: Final = b"\x01bb\x01\x01BB\x01\x01ss\x00\x01\x01uu\x00\x01\x01ii\x00\x00\x00\x01\x01LL" + b"\x01" * 8
TABLES: Final = [
    encode_table(VALUES),
    len(OTHER_TYPES).to_bytes(4, "big") + OTHER_TYPES,
    (len(DEEP) + 2).to_bytes(4, "big") + b"\x01k" + DEEP,
]
PROPERTIES: Final = [
    properties.NONE,
    encode_properties(Properties(delivery_mode=2, message_id="m")),
    encode_properties(Properties(headers={"CC": ["q", "p"], "BCC": ["none"], "x-delay": 5}, message_id="m")),
    encode_properties(Properties(headers={"x-deduplication-header": "d", "x-death": [{"count": 1}]}, expiration="0")),
    encode_properties(Properties(reply_to="amq.rabbitmq.reply-to", correlation_id="c", priority=9)),
    encode_properties(
        Properties(
            content_type="text/plain",
            headers=VALUES,
            priority=1,
            reply_to="r",
            expiration="1",
            timestamp=1,
            user_id="guest",
        )
    ),
]
METHODS: Final = [codec.encode_method(each()) for each in ALL] + [
    codec.encode_method(m.QueueDeclare(0, "q", durable=True, arguments=VALUES)),
    codec.encode_method(m.ConnectionStartOk(VALUES, "PLAIN", b"\x00guest\x00guest", "en_US")),
]


def message(channel: int, raw: bytes, body: bytes) -> bytes:
    """A message that is published."""
    return codec.content_frames(channel, m.BasicPublish(0, "ex", "key"), raw, body, 100)


SESSIONS: Final = [
    codec.method_frame(1, m.ChannelOpen())
    + codec.method_frame(2, m.ChannelOpen())
    + b"".join(message(1, raw, b"body" * 5) for raw in PROPERTIES)
    + codec.HEARTBEAT_FRAME
    + message(2, PROPERTIES[-1], bytes(1_000))
    + codec.method_frame(1, m.BasicAck(3, multiple=True))
    + codec.method_frame(1, m.QueueDeclare(0, "q", arguments=VALUES))
    + codec.method_frame(1, m.ChannelClose(200, "bye"))
    + codec.method_frame(0, m.ConnectionClose(200, "bye")),
    *(codec.method_frame(1, m.ChannelOpen()) + codec.frame(codec.METHOD, 1, each) for each in METHODS),
]


def read_method(data: bytes) -> None:
    """What can be read can be written, and is then read as the same."""
    method = codec.decode_method(data)
    again = codec.decode_method(codec.encode_method(method))
    assert repr(again) == repr(method)  # not by ==, which NaN is not


def read_table(data: bytes) -> None:
    """Walking over a table finds fault with the same as reading it does, and what is whole can be changed."""
    try:
        stop = check_table(data, 0, len(data))
    except Malformed:
        stop = -1
    if stop != len(data):
        decode_table(data)
        raise AssertionError("what was refused can be read")
    table = decode_table(data)
    assert "text" not in decode_table(without(data, ["text"]))
    assert repr(decode_table(merged(data, {"text": 1}))) == repr({"text": 1} | {**table, "text": 1})


def read_properties(data: bytes) -> None:
    """Properties that are well-formed can be looked into, read and changed."""
    properties.check(data)
    found = properties.decode_properties(data)
    assert properties.text(data, properties.EXPIRATION) == found.expiration
    assert properties.octet(data, properties.PRIORITY) == found.priority
    assert properties.timestamp(data) == found.timestamp
    assert (properties.headers(data) is None) == (found.headers is None)
    assert properties.decode_properties(properties.replaced(data, {properties.EXPIRATION: None})).expiration is None


def meet(data: bytes) -> None:
    """A connection on which this comes, cut in three: it never raises, and its state stays one."""
    connection = Connection(body_bytes_max=100_000)
    connection.frame_bytes_max = AMQP_FRAME_BYTES_MAX
    connection.receive_data(codec.PROTOCOL_HEADERS[0])
    connection.open()
    ended = False
    cut = len(data) // 3
    for piece in (data[:cut], data[cut : 2 * cut], data[2 * cut :]):
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            if isinstance(event, Violation):
                assert len(event.text.encode()) <= 255
                ended = ended or not event.channel
            elif isinstance(event, Published):
                assert not ended
                assert len(event.body) <= connection.body_bytes_max
                properties.decode_properties(event.properties)
            elif isinstance(event, Called) and ended:
                assert event.channel == 0
    assert 0 <= connection._collected_bytes <= min(len(data), AMQP_ASSEMBLY_BYTES_MAX)
    assert connection.buffered_bytes <= len(data) + len(codec.PROTOCOL_HEADERS[0])


# ---- a door that is met -------------------------------------------------------------------------------------------

MET_MAX: Final = 300
"""Connections that one broker meets: what they make stays in it."""

_CONNECTION: Final = 10
"""The class of what is said on channel 0."""

TURNS: Final = 60
"""Turns of the loop after which nothing that was begun in memory is still under way."""

LOGIN: Final = (
    codec.PROTOCOL_HEADERS[0]
    + codec.method_frame(0, m.ConnectionStartOk(VALUES, "PLAIN", b"\x00guest\x00guest", "en_US"))
    + codec.method_frame(0, m.ConnectionTuneOk(100, AMQP_FRAME_BYTES_MAX, 0))
    + codec.method_frame(0, m.ConnectionOpen("/"))
)
NAMES: Final = ("q", "q", "p", "a.b", "a.b.#", "", "x" * 255)
QUEUES: Final = ("q", "q", "q", "q", "p", "p", "", "none", "a.b", "amq.rabbitmq.reply-to", "x" * 255)
EXCHANGES: Final = ("", "", "amq.topic", "amq.fanout", "amq.headers", "ex", "ex", "late", "none")
ARGUMENTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"x-message-ttl": 1_000, "x-dead-letter-exchange": "ex"},
    {"x-queue-type": "quorum", "x-delivery-limit": 1},
    {"x-queue-type": "stream"},
    {"x-max-length": 1, "x-overflow": "reject-publish"},
    {"x-max-priority": 5, "x-single-active-consumer": True, "x-expires": 1_000},
    {"x-match": "any", "text": "ä"},
    {"x-stream-offset": "first", "x-priority": 3},
    {"x-delayed-type": "topic", "alternate-exchange": "ex"},
    {"x-message-deduplication": True},
    VALUES,
)


RARE: Final = {
    m.ChannelFlow: 0.1,
    m.ChannelFlowOk: 0.01,
    m.ChannelCloseOk: 0.01,
    m.BasicCancelOk: 0.01,
    m.TxSelect: 0.3,
    m.QueueDelete: 0.3,
    m.ExchangeDelete: 0.3,
}
"""How often of once something may come that mostly ends a channel, the connection, or what there is to play with."""

OFTEN: Final = (m.QueueDeclare, m.QueueBind, m.BasicConsume, m.BasicAck, m.BasicAck, m.BasicGet, m.BasicNack)


def likely(rng: random.Random) -> bytes:
    """Methods and messages of a client about a few names: all can be read, whatever they ask.

    What is wrong closes a channel, so there is a new one now and then; what ends the connection is rare.
    """
    channel, parts = 1, [codec.method_frame(1, m.ChannelOpen())]
    parts.append(codec.method_frame(1, m.QueueDeclare(0, "q", durable=True, arguments=rng.choice(ARGUMENTS[:3]))))
    kinds = sorted(m.FROM_CLIENT - {m.BasicPublish, m.ChannelOpen}, key=lambda each: each.METHOD)
    kinds = [each for each in kinds if rng.random() < RARE.get(each, 0.02 if each.METHOD >> 16 == _CONNECTION else 1)]
    for _ in range(rng.randint(1, 80)):
        if rng.random() < 0.3:
            publish = m.BasicPublish(0, rng.choice(EXCHANGES), rng.choice(QUEUES), mandatory=rng.random() < 0.5)
            raw, body = rng.choice(PROPERTIES), bytes(rng.choice((0, 5, 300)))
            parts.append(codec.content_frames(channel, publish, raw, body, AMQP_FRAME_BYTES_MAX))
        else:
            kind = rng.choice(kinds if rng.random() < 0.5 else OFTEN)
            method = kind(
                *(_value(rng, *each) for each in zip(kind.__struct_fields__, codec.LAYOUTS[kind], strict=True))
            )
            parts.append(codec.method_frame(0 if kind.METHOD >> 16 == _CONNECTION else channel, method))
        if rng.random() < 0.15 or kind_closes(parts[-1]):
            channel += 1
            parts.append(codec.method_frame(channel, m.ChannelOpen()))
    return b"".join(parts)


def kind_closes(frame: bytes) -> bool:
    """Whether a frame ends its channel."""
    return frame[7:11] == m.ChannelClose.METHOD.to_bytes(4, "big")


def _value(rng: random.Random, name: str, kind: str) -> Any:  # noqa: ANN401 - the kind says what it is
    match name, kind:
        case "queue", _:
            return rng.choice(QUEUES)
        case "exchange" | "source" | "destination", _:
            return rng.choice(EXCHANGES)
        case "kind", _:
            return rng.choice(("topic", "headers", "fanout", "direct", "x-delayed-message", "none"))
        case "consumer_tag", _:
            return rng.choice(("", "", "c", "d"))
        case "requeue" | "active" | "durable", _:
            return rng.random() < 0.9
        case "prefetch_size", _:
            return 0
        case "exclusive" | "passive" | "internal", _:
            return rng.random() < 0.1
        case _, "bit":
            return rng.random() < 0.3
        case _, "shortstr":
            return rng.choice(NAMES)
        case _, "longstr":
            return rng.choice((b"", b"PLAIN", b"\x00guest\x00guest"))
        case _, "table":
            return rng.choice(ARGUMENTS if rng.random() < 0.5 else ARGUMENTS[:1])
        case _:
            return rng.choice((0, 1, 1, 2, 3))


class FuzzedDoor:
    """A broker in memory at the end of every connection; made when it is needed, and now and then a new one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._fail)
        self._service: AmqpService | None = None
        self._met = 0
        self._unforeseen = Unforeseen()

    def meet(self, data: bytes) -> None:
        """One connection that is logged in, on which this comes, from its beginning to its end."""
        log = logging.getLogger("isthmus.amqp")
        log.addHandler(self._unforeseen)
        try:
            self._loop.run_until_complete(self._meet(LOGIN, data))
        finally:
            log.removeHandler(self._unforeseen)

    def meet_likely(self, seed: bytes) -> None:
        """One connection with methods that can be read; the bytes choose which."""
        self.meet(likely(random.Random(seed)))

    async def _meet(self, *pieces: bytes) -> None:
        self._met += 1
        if self._service is not None and self._met % MET_MAX == 0:
            await self._service.shared.broker.close()
            self._service = None
        if self._service is None:
            broker = Broker(MemoryStorage(), ManualClock())
            await broker.open()
            self._service = AmqpService(broker)
        line = SilentLine()
        door = self._service.open(line)
        for piece in pieces:
            door.receive(piece)
            await self._turn(door, line)
        said = b"".join(door.data_to_send())
        door.drain()
        await self._turn(door, line)
        check_answers(said + b"".join(door.data_to_send()))
        door.lost()
        for _ in range(5):
            await asyncio.sleep(0)
        failed, self._unforeseen.found = self._unforeseen.found, None
        if failed is not None:
            raise failed

    async def _turn(self, door: AmqpDoor, line: SilentLine) -> None:
        """Step until nothing more comes of it, also of what had to wait."""
        quiet = 0
        while quiet < TURNS and not line.closed:
            quiet = 0 if door.step() is Step.MORE else quiet + 1
            await asyncio.sleep(0)

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raised, nobody else hears of."""
        self._unforeseen.found = context.get("exception") or RuntimeError(context["message"])

    def close(self) -> None:
        """End the broker and its loop."""
        if self._service is not None:
            self._loop.run_until_complete(self._service.shared.broker.close())
        self._loop.close()


def check_answers(said: bytes) -> None:
    """What a server says are whole frames in which a client finds no fault."""
    client = Connection(from_client=False)
    client.frame_bytes_max = AMQP_FRAME_BYTES_MAX
    client.receive_data(said)
    while (event := client.next_event()) is not None:
        assert not isinstance(event, Violation), event
        if isinstance(event, Called) and isinstance(event.method, m.ChannelClose | m.ConnectionClose):
            assert event.method.reply_code != 541, event.method
    assert not client.buffered_bytes, "half a frame"
