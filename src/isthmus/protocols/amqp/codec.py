"""Methods and frames of AMQP to bytes and back, with a short way for what travels per message.

Pure. Lengths are held against the bytes that are left. Which frame may follow which is for the connection.

    frame    type u8 (1 method, 2 header, 3 body, 8 heartbeat), channel u16, size u32, payload, 0xCE
    method   class u16, method u16, arguments in the order of `methods.py`
    header   class u16, weight u16 (0), body size u64, properties
"""

import struct
from functools import lru_cache
from typing import Any, Final, cast

from msgspec import structs

from isthmus.limits import AMQP_CACHED_MAX
from isthmus.protocols.amqp import methods
from isthmus.protocols.amqp.methods import ALL, BY_ID, Method
from isthmus.protocols.amqp.table import Malformed, encode_table, encode_text, read_table, read_text, sized

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8

FRAME_END: Final = 0xCE
FRAME_HEAD: Final = struct.Struct(">BHI")
"""Type, channel and size of the payload."""

AROUND_BYTES: Final = FRAME_HEAD.size + 1
"""What a frame has around its payload."""

CONTENT_HEAD: Final = struct.Struct(">HHQ")
"""Class, weight and size of the body; properties follow."""

BASIC: Final = 60
"""The class of all content."""

PROTOCOL_HEADERS: Final = (b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09")
"""What a client may open with; the first is ours to say."""

HEARTBEAT_FRAME: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"

_END: Final = b"\xce"
_INTEGER_BYTES: Final = {"octet": 1, "short": 2, "long": 4, "longlong": 8}
LAYOUTS: Final[dict[type[Method], tuple[str, ...]]] = {
    each: tuple(each.__annotations__[name].__metadata__[0] for name in each.__struct_fields__) for each in ALL
}
"""The wire types of the arguments of each method."""


# ---- methods -----------------------------------------------------------------------------------------------------


def decode_method(data: bytes, at: int = 0, end: int | None = None) -> Method:
    """The method whose class is at `at` and whose last argument ends at `end`.

    Raises:
        Malformed: there is no such method (code 503), or its arguments are not as they should be (502).
    """
    end = len(data) if end is None else end
    if end - at < 4:
        raise Malformed("a method without its number")
    number = int.from_bytes(data[at : at + 4], "big")
    found = BY_ID.get(number)
    if found is None:
        raise Malformed(f"there is no method {number >> 16}.{number & 0xFFFF}", 503)
    values, at = _arguments(LAYOUTS[found], data, at + 4, end)
    if at != end:
        raise Malformed(f"{end - at} bytes behind the arguments of {found.NAME}")
    return found(*values)


def _arguments(layout: tuple[str, ...], data: bytes, at: int, end: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    bits = bits_left = 0
    for kind in layout:
        if kind == "bit":
            if not bits_left:
                bits, bits_left = _integer(data, at, at + 1, end), 8
                at += 1
            values.append(bool(bits & 1))
            bits, bits_left = bits >> 1, bits_left - 1
            continue
        bits_left = 0
        value, at = _argument(kind, data, at, end)
        values.append(value)
    return values, at


def _argument(kind: str, data: bytes, at: int, end: int) -> tuple[Any, int]:
    if kind == "shortstr":
        return read_text(data, at, end)
    if kind == "table":
        return read_table(data, at, end)
    if kind == "longstr":
        start, stop = sized(data, at, end)
        return data[start:stop], stop
    stop = at + _INTEGER_BYTES[kind]
    return _integer(data, at, stop, end), stop


def _integer(data: bytes, at: int, stop: int, end: int) -> int:
    if stop > end:
        raise Malformed("arguments that end too early")
    return int.from_bytes(data[at:stop], "big")


def encode_method(method: Method) -> bytes:
    """A method with its number, as the payload of a frame.

    Raises:
        InvalidArgument: a text is longer than 255 bytes, or a table cannot be said.
    """
    parts = [method.METHOD.to_bytes(4, "big")]
    bits: list[bool] = []
    for kind, value in zip(LAYOUTS[type(method)], structs.astuple(method), strict=True):
        if kind == "bit":
            bits.append(value)
            continue
        parts += (_packed(bits), _encoded(kind, value))
        bits = []
    parts.append(_packed(bits))
    return b"".join(parts)


def _packed(bits: list[bool]) -> bytes:
    """Bits side by side, the first lowest; no method has more than eight."""
    return sum(bit << index for index, bit in enumerate(bits)).to_bytes(1, "big") if bits else b""


def _encoded(kind: str, value: Any) -> bytes:  # noqa: ANN401 - the kind says what it is
    if kind == "shortstr":
        return encode_text(value)
    if kind == "table":
        return encode_table(value)
    if kind == "longstr":
        return len(value).to_bytes(4, "big") + cast("bytes", value)
    return int(value).to_bytes(_INTEGER_BYTES[kind], "big")


# ---- frames ------------------------------------------------------------------------------------------------------


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A payload as a frame."""
    return FRAME_HEAD.pack(kind, channel, len(payload)) + payload + _END


def method_frame(channel: int, method: Method) -> bytes:
    """A method as a frame. Raises InvalidArgument."""
    return frame(METHOD, channel, encode_method(method))


def content_frames(channel: int, method: Method, properties: bytes, body: bytes, frame_bytes_max: int) -> bytes:
    """A method that has content, and its content: properties as they travel, and the body. Raises InvalidArgument."""
    head = frame(HEADER, channel, CONTENT_HEAD.pack(BASIC, 0, len(body)) + properties)
    return b"".join((method_frame(channel, method), head, *_body_frames(channel, body, frame_bytes_max)))


def _body_frames(channel: int, body: bytes, frame_bytes_max: int) -> list[bytes | memoryview]:
    """The parts of the frames of a body; none when it is empty."""
    size_max = frame_bytes_max - AROUND_BYTES
    parts: list[bytes | memoryview] = []
    whole = memoryview(body)
    for at in range(0, len(body), size_max):
        piece = whole[at : at + size_max]
        parts += (FRAME_HEAD.pack(BODY, channel, len(piece)), piece, _END)
    return parts


# ---- what travels per message ------------------------------------------------------------------------------------

_DELIVERED: Final = struct.Struct(">QB")
_DELIVER_TO_HEADER: Final = struct.Struct(">BBHIHHQ")
"""The end of a method's frame, and the header's up to the properties."""

_HEADER_TO_BODY: Final = struct.Struct(">BBHI")
"""The end of a header's frame, and the head of a body's."""

_SETTLED: Final = struct.Struct(">BHIIQBB")


def deliver_prefix(consumer_tag: str) -> bytes:
    """What all deliveries of a consumer begin with, for `deliver_frames`. Raises InvalidArgument."""
    return methods.BasicDeliver.METHOD.to_bytes(4, "big") + encode_text(consumer_tag)


@lru_cache(maxsize=AMQP_CACHED_MAX)
def _address(exchange: str, routing_key: str) -> bytes:
    return encode_text(exchange) + encode_text(routing_key)


def deliver_frames(
    channel: int,
    prefix: bytes,
    delivery_tag: int,
    redelivered: bool,  # noqa: FBT001 - per message; positions are cheaper than names
    exchange: str,
    routing_key: str,
    properties: bytes,
    body: bytes,
    frame_bytes_max: int,
) -> bytes:
    """basic.deliver with its content, as one piece.

    Args:
        prefix: of the consumer, see `deliver_prefix`.
        properties: as they travel.

    Raises:
        InvalidArgument: the exchange or the key is longer than 255 bytes.
    """
    address = _address(exchange, routing_key)
    size = len(body)
    fits = size <= frame_bytes_max - AROUND_BYTES
    parts = (
        FRAME_HEAD.pack(METHOD, channel, len(prefix) + 9 + len(address)),
        prefix,
        _DELIVERED.pack(delivery_tag, redelivered),
        address,
        _DELIVER_TO_HEADER.pack(FRAME_END, HEADER, channel, CONTENT_HEAD.size + len(properties), BASIC, 0, size),
        properties,
    )
    if size and fits:
        return b"".join((*parts, _HEADER_TO_BODY.pack(FRAME_END, BODY, channel, size), body, _END))
    return b"".join((*parts, _END, *_body_frames(channel, body, frame_bytes_max)))


def settled_frame(channel: int, delivery_tag: int, *, multiple: bool, taken: bool = True) -> bytes:
    """basic.ack, or basic.nack when it was not `taken`: of a publish or of a delivery."""
    number = methods.BasicAck.METHOD if taken else methods.BasicNack.METHOD
    return _SETTLED.pack(METHOD, channel, 13, number, delivery_tag, multiple, FRAME_END)
