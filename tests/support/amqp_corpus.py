"""Bytes of AMQP to mutate, and what has to hold of all that reads them: whatever comes, it is refused in words."""

from typing import Any, Final

from isthmus.limits import AMQP_ASSEMBLY_BYTES_MAX, AMQP_FRAME_BYTES_MAX
from isthmus.protocols.amqp import codec, properties
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Called, Connection, Published, Violation
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
    encode_properties(
        Properties(
            content_type="text/plain",
            headers=VALUES,
            priority=1,
            reply_to="r",
            expiration="1",
            timestamp=1,
            user_id="u",
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
    + message(2, PROPERTIES[2], bytes(1_000))
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
