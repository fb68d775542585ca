"""Messages of the native protocol to frames and back, and what travels packed inside of them.

Pure, and it trusts no count: the decoder below makes room for as many elements as an array says that it has, so every
count is held against the bytes that are left before it may look.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec

from isthmus.errors import InvalidBatch
from isthmus.limits import NATIVE_DEPTH_MAX
from isthmus.log import batch as log_batch
from isthmus.protocols.native.errors import NativeError
from isthmus.protocols.native.schema import Answer, Delivery, Request
from isthmus.record import Record

HEADER: Final = struct.Struct(">II")
"""In front of each message: how many bytes follow this number, and the id of the request that it belongs to."""

ID_BYTES: Final = 4
ID_MAX: Final = 2**32 - 1

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final["msgspec.msgpack.Decoder[Request]"] = msgspec.msgpack.Decoder(Request)
_answers: Final["msgspec.msgpack.Decoder[Answer]"] = msgspec.msgpack.Decoder(Answer)
_rows: Final = msgspec.msgpack.Decoder(list[Delivery])

T = TypeVar("T")


# ---- frames ------------------------------------------------------------------------------------------------------


def encode(request_id: int, message: Request | Answer) -> bytes:
    """A message as a frame."""
    body = _encoder.encode(message)
    return HEADER.pack(ID_BYTES + len(body), request_id) + body


def decode_request(body: bytes) -> Request:
    """What a client asks. Raises NativeError."""
    return _decoded(_requests, body)


def decode_answer(body: bytes) -> Answer:
    """What a server answers. Raises NativeError."""
    return _decoded(_answers, body)


def _decoded(decoder: "msgspec.msgpack.Decoder[T]", body: bytes) -> T:
    check_counts(body)
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NativeError(f"a message that cannot be read: {error}") from error


# ---- counts ------------------------------------------------------------------------------------------------------

_FIXED: Final = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
"""Bytes behind the first one of what has a fixed size."""

_SIZED: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4}
"""Width of the size of texts, bytes and extensions."""

_EXTENSIONS: Final = frozenset({0xC7, 0xC8, 0xC9})
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
"""Width of the count of arrays, and of maps, whose elements are two to one."""


def check_counts(body: bytes) -> None:
    """Walk over one MessagePack value: every size and count fits what is left, and nothing is nested too deeply.

    Spec: MessagePack specification, "Formats".

    Raises:
        NativeError: it does not, or bytes are left over.
    """
    at, end = 0, len(body)
    left = [1]
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        if at >= end:
            raise NativeError("a message that ends too early")
        elements, at = _step(body, at, end)
        if elements:
            if elements > end - at:
                raise NativeError(f"an array of {elements} elements in {end - at} bytes")
            if len(left) > NATIVE_DEPTH_MAX:
                raise NativeError(f"a message that is nested more than {NATIVE_DEPTH_MAX} deep")
            left.append(elements)
    if at != end:
        raise NativeError(f"{end - at} bytes behind a message")


def _step(body: bytes, at: int, end: int) -> tuple[int, int]:
    """How many elements the value at `at` has, and where what follows its head or itself begins."""
    kind = body[at]
    at += 1
    if kind < 0x80 or kind >= 0xE0:
        return 0, at
    if kind < 0x90:
        return 2 * (kind & 0x0F), at
    if kind < 0xA0:
        return kind & 0x0F, at
    if kind < 0xC0:
        return 0, _inside(at + (kind & 0x1F), end)
    if kind in _FIXED:
        return 0, _inside(at + _FIXED[kind], end)
    if kind in _SIZED:
        start = _inside(at + _SIZED[kind], end)
        return 0, _inside(start + int.from_bytes(body[at:start]) + (kind in _EXTENSIONS), end)
    width = _ARRAYS.get(kind) or _MAPS.get(kind)
    if width is None:
        raise NativeError(f"a byte {kind:#04x} that begins nothing")
    start = _inside(at + width, end)
    return int.from_bytes(body[at:start]) * (2 if kind in _MAPS else 1), start


def _inside(at: int, end: int) -> int:
    if at > end:
        raise NativeError("a message that ends too early")
    return at


# ---- what travels packed -----------------------------------------------------------------------------------------


def pack_tokens(tokens: Sequence[int]) -> bytes:
    """Tokens of deliveries as a message carries them."""
    return struct.pack(f">{len(tokens)}Q", *tokens)


def unpack_tokens(packed: bytes) -> tuple[int, ...]:
    """The tokens again. Raises NativeError."""
    if len(packed) % 8:
        raise NativeError(f"{len(packed)} bytes of tokens, which have 8 each")
    return struct.unpack(f">{len(packed) // 8}Q", packed)


def pack_indexes(indexes: Sequence[int] | None) -> bytes | None:
    """Indexes of records as a message carries them."""
    return None if indexes is None else struct.pack(f">{len(indexes)}I", *indexes)


def unpack_indexes(packed: bytes | None) -> tuple[int, ...] | None:
    """The indexes again. Raises NativeError."""
    if packed is None:
        return None
    if len(packed) % 4:
        raise NativeError(f"{len(packed)} bytes of indexes, which have 4 each")
    return struct.unpack(f">{len(packed) // 4}I", packed)


def pack_rows(rows: Sequence[Delivery]) -> bytes:
    """Deliveries as their answer carries them."""
    return _encoder.encode(rows)


def unpack_rows(packed: bytes) -> list[Delivery]:
    """The deliveries again; nothing in a row can have a count, so that of the rows is all there is to check.

    Raises:
        NativeError: they are not what they should be.
    """
    elements, at = _step(packed, 0, len(packed)) if packed else (0, 0)
    if elements > len(packed) - at:
        raise NativeError(f"{elements} deliveries in {len(packed)} bytes")
    try:
        return _rows.decode(packed)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NativeError(f"deliveries that cannot be read: {error}") from error


def pack_records(records: Sequence[Record], batch_records: int) -> bytes:
    """Records as batches one behind the other; those without a timestamp keep having none.

    Raises:
        InvalidArgument, RecordTooLarge: see `log/batch.py`.
    """
    starts: Iterable[int] = range(0, len(records), batch_records)
    return b"".join([log_batch.encode(records[at : at + batch_records], now_ms=-1) for at in starts])


def unpack_records(packed: bytes) -> list[Record]:
    """The records again. Raises InvalidBatch."""
    if not packed:
        return []
    found: list[Record] = []
    for each in log_batch.split(packed):
        head = log_batch.header(each)
        if head.control or head.compression != "none":
            raise InvalidBatch("the native protocol carries batches of records that are not compressed")
        found += [Record(one.value, one.key, one.headers, one.timestamp_ms) for one in log_batch.decode(each)]
    return found
