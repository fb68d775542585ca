"""Properties of a message, class 60: a word of flags and the values that it announces.

Pure. A message keeps them as the bytes in which they came, so that a consumer gets what the publisher said; who needs
one field looks it up in the bytes, and nobody decodes all of them on the way through.

    bit  field              bit  field              bit  field
    15   content-type  ss   10   correlation-id ss  5    type          ss
    14   content-enc.  ss   9    reply-to       ss  4    user-id       ss
    13   headers      tbl   8    expiration     ss  3    app-id        ss
    12   delivery-mode u8   7    message-id     ss  2    cluster-id    ss
    11   priority      u8   6    timestamp     u64  1 0  must be 0

The word is a u16; values follow in the order of their bits, from the highest. Spec: AMQP 0-9-1 section 4.2.6.1.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct, structs

from isthmus.protocols.amqp.table import Malformed, Table, check_table, decode_table, encode_table, encode_text

CONTENT_TYPE: Final = 1 << 15
CONTENT_ENCODING: Final = 1 << 14
HEADERS: Final = 1 << 13
DELIVERY_MODE: Final = 1 << 12
PRIORITY: Final = 1 << 11
CORRELATION_ID: Final = 1 << 10
REPLY_TO: Final = 1 << 9
EXPIRATION: Final = 1 << 8
MESSAGE_ID: Final = 1 << 7
TIMESTAMP: Final = 1 << 6
TYPE: Final = 1 << 5
USER_ID: Final = 1 << 4
APP_ID: Final = 1 << 3
CLUSTER_ID: Final = 1 << 2

_RESERVED: Final = 0b11
_OCTETS: Final = DELIVERY_MODE | PRIORITY
_SIZES: Final = {DELIVERY_MODE: 1, PRIORITY: 1, TIMESTAMP: 8}
_TEXTS: Final = 0xFFFF & ~(_OCTETS | HEADERS | TIMESTAMP | _RESERVED)

NONE: Final = b"\x00\x00"
"""The properties of a message that has none."""

PERSISTENT: Final = 2
"""The delivery mode of a message that shall survive a restart."""


class Properties(Struct, frozen=True, kw_only=True):
    """All of them, None for what was not said; `timestamp` is in seconds."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


NAMES: Final = Properties.__struct_fields__
"""In the order of the wire."""

_FLAGS: Final = tuple(1 << (15 - index) for index in range(len(NAMES)))
_NAME_OF: Final = dict(zip(_FLAGS, NAMES, strict=True))


# ---- looking up --------------------------------------------------------------------------------------------------


def flags(raw: bytes) -> int:
    """Which there are, as the bits above; the cheapest question."""
    return raw[0] << 8 | raw[1]


def text(raw: bytes, flag: int) -> str | None:
    """A field that is text; None when it is not there. What is not UTF-8 in it is shown as U+FFFD."""
    if not flags(raw) & flag:
        return None
    start, end = _span(raw, flag)
    return raw[start + 1 : end].decode(errors="replace")


def octet(raw: bytes, flag: int) -> int | None:
    """The delivery mode or the priority; None when it is not there."""
    if not flags(raw) & flag:
        return None
    return raw[_span(raw, flag)[0]]


def headers(raw: bytes) -> bytes | None:
    """The bytes of the table of headers, with its length; None when it is not there."""
    if not flags(raw) & HEADERS:
        return None
    start, end = _span(raw, HEADERS)
    return raw[start:end]


def timestamp(raw: bytes) -> int | None:
    """In seconds; None when it is not there."""
    if not flags(raw) & TIMESTAMP:
        return None
    start, end = _span(raw, TIMESTAMP)
    return int.from_bytes(raw[start:end], "big")


def check(raw: bytes) -> None:
    """Walk over properties from outside, so that no look-up and no decoding of them fails later. Raises Malformed."""
    if len(raw) < 2:
        raise Malformed("properties without their flags")
    if flags(raw) & _RESERVED:
        raise Malformed("properties with flags that mean nothing")
    found = spans(raw)
    at = max([2, *(stop for _, stop in found.values())])
    if at != len(raw):
        raise Malformed(f"{len(raw) - at} bytes behind the properties")
    if HEADERS in found:
        check_table(raw, *found[HEADERS])


def spans(raw: bytes) -> dict[int, tuple[int, int]]:
    """Where each field begins and ends, for whoever looks for several. Raises Malformed when one goes beyond the end.

    All fields are walked over in one loop without calls: this is done for every message whose properties are its own.
    """
    found: dict[int, tuple[int, int]] = {}
    at, end = 2, len(raw)
    try:
        for flag, size in _present(flags(raw)):
            if size:
                stop = at + size
            elif flag == HEADERS:
                stop = at + 4 + int.from_bytes(raw[at : at + 4], "big")
            else:
                stop = at + 1 + raw[at]
            found[flag] = at, stop
            at = stop
    except IndexError:
        at = end + 1
    if at > end:
        raise Malformed("properties that end too early")
    return found


@lru_cache(maxsize=256)
def _present(word: int) -> tuple[tuple[int, int], ...]:
    """The fields of a word of flags in their order, each with its size, 0 where that is not fixed."""
    return tuple((flag, _SIZES.get(flag, 0)) for flag in _FLAGS if word & flag)


def _span(raw: bytes, wanted: int) -> tuple[int, int]:
    """Where a field that is there begins and ends."""
    return spans(raw)[wanted]


# ---- whole -------------------------------------------------------------------------------------------------------


def decode_properties(raw: bytes) -> Properties:
    """All fields. Raises Malformed."""
    check(raw)
    values: dict[str, Any] = {}
    for flag, (start, stop) in spans(raw).items():
        values[_NAME_OF[flag]] = _decoded(flag, raw[start:stop])
    return Properties(**values)


def _decoded(flag: int, field: bytes) -> Any:  # noqa: ANN401 - the flag says what it is
    if flag & _TEXTS:
        return field[1:].decode(errors="replace")
    if flag == HEADERS:
        return decode_table(field)
    return int.from_bytes(field, "big")


def encode_properties(properties: Properties) -> bytes:
    """The bytes of properties. Raises InvalidArgument: a text is too long, or a table cannot be said."""
    word, parts = 0, []
    for flag, value in zip(_FLAGS, structs.astuple(properties), strict=True):
        if value is not None:
            word |= flag
            parts.append(_encoded(flag, value))
    return word.to_bytes(2, "big") + b"".join(parts)


def replaced(raw: bytes, changes: Mapping[int, bytes | None]) -> bytes:
    """Properties with these fields, as bytes of the wire, in place of theirs; None takes one away."""
    word = flags(raw)
    fields = {flag: raw[start:stop] for flag, (start, stop) in spans(raw).items()}
    for flag, field in changes.items():
        word = word & ~flag if field is None else word | flag
        if field is not None:
            fields[flag] = field
    return word.to_bytes(2, "big") + b"".join(fields[flag] for flag, _ in _present(word))


def _encoded(flag: int, value: Any) -> bytes:  # noqa: ANN401 - the flag says what it is
    if flag & _TEXTS:
        return encode_text(value)
    if flag == HEADERS:
        return encode_table(value)
    return int(value).to_bytes(1 if flag & _OCTETS else 8, "big")
