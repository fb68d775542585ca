"""Field tables of AMQP: typed values by name, and their way into bytes and back.

Pure, and it trusts no length: each is held against the bytes that are left before anything is made. The types are those
of RabbitMQ, which are not those of the specification; what is sent uses only types that every client reads.

    code  value                    here        sent   code  value                    here        sent
    t     u8, 0 is false           bool        yes    S     u32 length, UTF-8        str         yes
    b B   i8, u8                   int               S     the same, not UTF-8      bytes       as x
    s u   i16, u16                 int               x     u32 length, bytes        bytes       yes
    I i   i32, u32                 int         I      T     u64 seconds              Timestamp   yes
    l L   i64, i64                 int         l      F     table                    dict        yes
    f d   f32, f64                 float       d      A     u32 length, values       list        yes
    D     u8 scale, u32 digits     Decimal     yes    V     nothing                  None        yes

A table is a u32 length and entries: u8 length and UTF-8 of the name, code, value. What is not UTF-8 in a name is read
as U+FFFD. Spec: AMQP 0-9-1 section 4.2.5.5, and RabbitMQ's errata of it.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from msgspec import Struct

from isthmus.errors import InvalidArgument, ProtocolError
from isthmus.limits import AMQP_TABLE_DEPTH_MAX


class Timestamp(Struct, frozen=True, gc=False):
    """Seconds since 1970; an instant in a table, where numbers are numbers."""

    seconds: int


class Long(Struct, frozen=True, gc=False):
    """A number that is to be sent with 64 bits however small it is, since clients tell the two apart."""

    number: int


Value = bool | int | float | str | bytes | Decimal | Timestamp | Long | list["Value"] | dict[str, "Value"] | None
Table = dict[str, Value]


class Malformed(ProtocolError):
    """Bytes that are not what they should be; `code` is what the connection is closed with."""

    def __init__(self, text: str, code: int = 502) -> None:
        super().__init__(text)
        self.code = code


_U32: Final = struct.Struct(">I")
_I32: Final = struct.Struct(">i")
_I64: Final = struct.Struct(">q")
_F64: Final = struct.Struct(">d")
_U64: Final = struct.Struct(">Q")
_SCALED: Final = struct.Struct(">BI")

_BOOL, _DECIMAL, _TIME, _TEXT, _BYTES, _TABLE, _ARRAY, _VOID = b"tDTSxFAV"

_NUMBERS: Final = {
    code: struct.Struct(">" + form)
    for code, form in zip(b"bBsuIilLfd", ("b", "B", "h", "H", "i", "I", "q", "q", "f", "d"), strict=True)
}
_FIXED_BYTES: Final = {
    _BOOL: 1,
    _DECIMAL: 5,
    _TIME: 8,
    _VOID: 0,
    **{code: each.size for code, each in _NUMBERS.items()},
}
_SIZED: Final = frozenset({_TEXT, _BYTES, _TABLE, _ARRAY})

_UNKNOWN, _LONG, _NESTED = -1, -2, -3
_SIZE_OF: Final = tuple(
    _FIXED_BYTES.get(code, _UNKNOWN if code not in _SIZED else _LONG if code in {_TEXT, _BYTES} else _NESTED)
    for code in range(256)
)
"""By code the size of a value, or which of the other three it is."""

SHORT_TEXT_BYTES_MAX: Final = 255


# ---- reading -----------------------------------------------------------------------------------------------------


def read_table(data: bytes, at: int, end: int) -> tuple[Table, int]:
    """The table whose length is at `at`, and where it ends. Raises Malformed."""
    start, stop = sized(data, at, end)
    return _entries(data, start, stop, 1), stop


def decode_table(data: bytes) -> Table:
    """A table that is all of the bytes, with its length. Raises Malformed."""
    table, stop = read_table(data, 0, len(data))
    if stop != len(data):
        raise Malformed(f"{len(data) - stop} bytes behind a table")
    return table


def decode_entries(data: bytes) -> Table:
    """A table without its length, as the login AMQPLAIN has it. Raises Malformed."""
    return _entries(data, 0, len(data), 1)


def sized(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where what has a u32 length at `at` begins and ends. Raises Malformed when it is longer than what is left."""
    start = at + 4
    if start > end:
        raise Malformed("a length that ends too early")
    stop = start + int.from_bytes(data[at:start], "big")
    if stop > end:
        raise Malformed(f"a length of {stop - start} bytes where {end - start} are left")
    return start, stop


def read_text(data: bytes, at: int, end: int) -> tuple[str, int]:
    """The short text whose length is at `at`, and where it ends. Raises Malformed."""
    if at >= end:
        raise Malformed("a short text that ends too early")
    stop = at + 1 + data[at]
    if stop > end:
        raise Malformed(f"a short text of {data[at]} bytes where {end - at - 1} are left")
    try:
        return data[at + 1 : stop].decode(), stop
    except UnicodeDecodeError as error:
        raise Malformed("a short text that is not UTF-8") from error


def _entries(data: bytes, at: int, end: int, depth: int) -> Table:
    table: Table = {}
    while at < end:
        name_end = _name_end(data, at, end)
        name = data[at + 1 : name_end].decode(errors="replace")
        table[name], at = _value(data, name_end, end, depth)
    return table


def _value(data: bytes, at: int, end: int, depth: int) -> tuple[Value, int]:
    """The value whose code is at `at`, and where it ends."""
    start, stop = _extent(data, at, end)
    code = data[at]
    if code == _TEXT:
        raw = data[start:stop]
        try:
            return raw.decode(), stop
        except UnicodeDecodeError:
            return raw, stop
    number = _NUMBERS.get(code)
    if number is not None:
        return number.unpack_from(data, start)[0], stop
    return _other(data, code, start, stop, depth), stop


def _other(data: bytes, code: int, start: int, stop: int, depth: int) -> Value:
    if code == _BOOL:
        return data[start] != 0
    if code == _VOID:
        return None
    if code == _BYTES:
        return data[start:stop]
    if code == _TIME:
        return Timestamp(int.from_bytes(data[start:stop], "big"))
    if code == _DECIMAL:
        scale, digits = _SCALED.unpack_from(data, start)
        return Decimal((0, tuple(map(int, str(digits))), -scale))
    _check_depth(depth)
    return _entries(data, start, stop, depth + 1) if code == _TABLE else _array(data, start, stop, depth + 1)


def _array(data: bytes, at: int, end: int, depth: int) -> list[Value]:
    values: list[Value] = []
    while at < end:
        value, at = _value(data, at, end, depth)
        values.append(value)
    return values


def _extent(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the bytes of the value whose code is at `at` begin and end, without lengths."""
    if at >= end:
        raise Malformed("a table that ends before a value")
    code = data[at]
    if code in _SIZED:
        return sized(data, at + 1, end)
    size = _FIXED_BYTES.get(code)
    if size is None:
        raise Malformed(f"a value of the unknown type {bytes([code])!r} in a table")
    if at + 1 + size > end:
        raise Malformed(f"a value of {size} bytes where {end - at - 1} are left")
    return at + 1, at + 1 + size


def _check_depth(depth: int) -> None:
    if depth >= AMQP_TABLE_DEPTH_MAX:
        raise Malformed(f"a table that is nested more than {AMQP_TABLE_DEPTH_MAX} deep")


# ---- looking without making --------------------------------------------------------------------------------------


def check_table(data: bytes, at: int, end: int) -> int:
    """Walk over the table at `at`, so that reading it later cannot fail; returns where it ends. Raises Malformed."""
    start, stop = sized(data, at, end)
    _walk(data, start, stop, 1, named=True)
    return stop


def merged(data: bytes, changes: Mapping[str, Value]) -> bytes:
    """A table, with its length, that has these values for these names; the bytes of all others stay as they are.

    What is changed comes first, in the order of `changes`: clients show tables in their order.
    """
    names = {name.encode() for name in changes}
    kept = [data[start:stop] for name, start, stop in _rows(data) if name not in names]
    parts = [encode_entries(changes), *kept]
    return _U32.pack(sum(map(len, parts))) + b"".join(parts)


def without(data: bytes, names: Sequence[str]) -> bytes:
    """A table, with its length, without these names; the bytes of all others stay as they are."""
    gone = {name.encode() for name in names}
    kept = b"".join(data[start:stop] for name, start, stop in _rows(data) if name not in gone)
    return _U32.pack(len(kept)) + kept


def _rows(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each entry of the outermost table."""
    at, end = sized(data, 0, len(data))
    while at < end:
        name_end = _name_end(data, at, end)
        _, stop = _extent(data, name_end, end)
        yield data[at + 1 : name_end], at, stop
        at = stop


def _name_end(data: bytes, at: int, end: int) -> int:
    stop = at + 1 + data[at]
    if stop > end:
        raise Malformed(f"a name of {data[at]} bytes where {end - at - 1} are left")
    return stop


def _walk(data: bytes, at: int, end: int, depth: int, *, named: bool) -> None:
    """All in one loop without calls: it is done for every message whose headers are its own."""
    while at < end:
        if named:
            at += 1 + data[at]
            if at >= end:
                raise Malformed("a table that ends before a value")
        size = _SIZE_OF[data[at]]
        if size >= 0:
            at += 1 + size
            continue
        if size == _UNKNOWN:
            raise Malformed(f"a value of the unknown type {data[at : at + 1]!r} in a table")
        start = at + 5
        stop = start + int.from_bytes(data[at + 1 : start], "big")
        if start > end or stop > end:
            raise Malformed(f"a length of {stop - start} bytes where {max(0, end - start)} are left")
        if size == _NESTED:
            _check_depth(depth)
            _walk(data, start, stop, depth + 1, named=data[at] == _TABLE)
        at = stop
    if at > end:
        raise Malformed("a table that ends within a value")


# ---- writing -----------------------------------------------------------------------------------------------------


def encode_table(table: Mapping[str, Value]) -> bytes:
    """A table with its length.

    Raises:
        InvalidArgument: a name or a number is too long, or it is nested too deeply.
    """
    entries = encode_entries(table)
    return _U32.pack(len(entries)) + entries


def encode_entries(table: Mapping[str, Value], depth: int = 1) -> bytes:
    """A table without its length. Raises InvalidArgument."""
    parts: list[bytes] = []
    for name, value in table.items():
        parts += (encode_text(name), _encoded(value, depth))
    return b"".join(parts)


def encode_text(text: str) -> bytes:
    """A short text with its length. Raises InvalidArgument when it is longer than 255 bytes."""
    raw = text.encode()
    if len(raw) > SHORT_TEXT_BYTES_MAX:
        raise InvalidArgument("text", f"has {len(raw)} bytes; {SHORT_TEXT_BYTES_MAX} is the most that AMQP can say")
    return len(raw).to_bytes(1, "big") + raw


def _encoded(value: Value, depth: int) -> bytes:
    """A value with its code."""
    match value:
        case str():
            raw = value.encode()
            return b"S" + _U32.pack(len(raw)) + raw
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return _integer(value)
        case None:
            return b"V"
        case float():
            return b"d" + _F64.pack(value)
        case bytes():
            return b"x" + _U32.pack(len(value)) + value
        case Timestamp():
            return b"T" + _U64.pack(value.seconds)
        case Long():
            return b"l" + _I64.pack(value.number)
        case Decimal():
            return _decimal(value)
        case _:
            return _nested(value, depth)


def _nested(value: list[Value] | dict[str, Value], depth: int) -> bytes:
    if depth >= AMQP_TABLE_DEPTH_MAX:
        raise InvalidArgument("table", f"is nested more than {AMQP_TABLE_DEPTH_MAX} deep")
    if isinstance(value, dict):
        code, raw = b"F", encode_entries(value, depth + 1)
    else:
        code, raw = b"A", b"".join(_encoded(each, depth + 1) for each in value)
    return code + _U32.pack(len(raw)) + raw


def _integer(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"I" + _I32.pack(value)
    if -(1 << 63) <= value < 1 << 63:
        return b"l" + _I64.pack(value)
    raise InvalidArgument("table", f"the number {value} has more than 64 bits")


def _decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if sign or not isinstance(exponent, int) or not -255 <= exponent <= 0:
        raise InvalidArgument(
            "table", f"{value} is not a decimal of AMQP: at least 0, at most 255 digits behind the point"
        )
    number = int("".join(map(str, digits)) or "0")
    if number >= 1 << 32:
        raise InvalidArgument("table", f"{value} has more digits than a decimal of AMQP")
    return b"D" + _SCALED.pack(-exponent, number)
