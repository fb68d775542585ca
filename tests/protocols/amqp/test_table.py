"""Field tables: what comes back, what every library reads alike, and what is refused before it costs anything."""

import datetime as dt
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from pamqp import decode as pamqp_decode
from pamqp import encode as pamqp_encode

from isthmus.errors import InvalidArgument
from isthmus.limits import AMQP_TABLE_DEPTH_MAX
from isthmus.protocols.amqp.table import (
    Malformed,
    Timestamp,
    check_table,
    decode_entries,
    decode_table,
    encode_entries,
    encode_table,
    encode_text,
    merged,
    read_text,
    without,
)
from support.amqp_values import TABLES


def table_of(value: bytes) -> bytes:
    """A table with one value, given with its code, by the name k."""
    entries = b"\x01k" + value
    return len(entries).to_bytes(4, "big") + entries


def theirs(value: Any) -> Any:  # noqa: ANN401 - any type of a table
    """A value of ours as pamqp gives it."""
    match value:
        case Timestamp(seconds=seconds):
            return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
        case dict():
            return {name: theirs(each) for name, each in value.items()}
        case list():
            return [theirs(each) for each in value]
        case _:
            return value


def wrapped(value: Any) -> Any:  # noqa: ANN401 - any type of a table
    """A value of ours as pamqp takes it, and keeps it: it writes floats with 32 bits."""
    match theirs(value):
        case bytes(raw):
            return bytearray(raw)
        case dict(inner):
            return {name: wrapped(each) for name, each in inner.items()}
        case list(values):
            return [wrapped(each) for each in values]
        case float(number):
            return struct.unpack(">f", struct.pack(">f", number))[0] if abs(number) < 1e38 else 0.0
        case other:
            return other


def plain(value: Any) -> Any:  # noqa: ANN401 - any type of a table
    """The contrary of `wrapped`."""
    match value:
        case bytearray():
            return bytes(value)
        case dt.datetime():
            return Timestamp(int(value.timestamp()))
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case _:
            return value


class TestReading:
    @pytest.mark.parametrize(
        ("raw", "value"),
        [
            (b"t\x00", False),
            (b"t\x01", True),
            (b"t\x02", True),
            (b"b\xff", -1),
            (b"B\xff", 255),
            (b"s\xff\xfe", -2),
            (b"u\xff\xfe", 65_534),
            (b"I\xff\xff\xff\xfe", -2),
            (b"i\xff\xff\xff\xfe", 2**32 - 2),
            (b"l" + b"\xff" * 8, -1),
            (b"L" + b"\xff" * 8, -1),
            (b"f" + struct.pack(">f", 0.5), 0.5),
            (b"d" + struct.pack(">d", 0.1), 0.1),
            (b"D\x02\x00\x00\x00\x7b", Decimal("1.23")),
            (b"D\x00\xff\xff\xff\xff", Decimal(2**32 - 1)),
            (b"S\x00\x00\x00\x02\xc3\xa4", "ä"),
            (b"S\x00\x00\x00\x01\xff", b"\xff"),
            (b"x\x00\x00\x00\x02ab", b"ab"),
            (b"T" + (7).to_bytes(8, "big"), Timestamp(7)),
            (b"T" + b"\xff" * 8, Timestamp(2**64 - 1)),
            (b"V", None),
            (b"F\x00\x00\x00\x03\x01aV", {"a": None}),
            (b"A\x00\x00\x00\x03Vt\x01", [None, True]),
        ],
    )
    def test_every_type_has_its_value(self, raw: bytes, value: object) -> None:
        assert decode_table(table_of(raw)) == {"k": value}
        assert decode_entries(table_of(raw)[4:]) == {"k": value}
        assert check_table(table_of(raw), 0, len(table_of(raw))) == len(table_of(raw))

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"\x00\x00\x00",
            b"\x00\x00\x00\x01",
            b"\xff\xff\xff\xff",
            b"\x00\x00\x00\x00more",
            table_of(b""),
            table_of(b"U\x00\x00"),
            table_of(b"?"),
            table_of(b"I\x00"),
            table_of(b"S\xff\xff\xff\xff"),
            table_of(b"S\x00"),
            table_of(b"F\x00\x00\x00\x02\x05a"),
            table_of(b"A\x00\x00\x00\x02t"),
            b"\x00\x00\x00\x02\x05V",
        ],
    )
    def test_what_is_not_a_table_is_refused(self, raw: bytes) -> None:
        with pytest.raises(Malformed) as caught:
            decode_table(raw)

        assert caught.value.code == 502

    def test_a_name_that_is_not_utf_8_is_read_with_a_mark_and_kept_as_it_is(self) -> None:
        raw = b"\x00\x00\x00\x03\x01\xffV"

        assert check_table(raw, 0, len(raw)) == len(raw)
        assert decode_table(raw) == {"\ufffd": None}
        assert merged(raw, {"a": None}) == b"\x00\x00\x00\x06\x01aV\x01\xffV"

    @pytest.mark.parametrize("code", [b"F", b"A"])
    def test_depth_has_a_bound(self, code: bytes) -> None:
        def nested(depth: int) -> bytes:
            inner = b""
            for _ in range(depth):
                content = (b"\x01k" if code == b"F" else b"") + inner if inner else b""
                inner = code + len(content).to_bytes(4, "big") + content
            return table_of(inner)

        fits, deep = nested(AMQP_TABLE_DEPTH_MAX - 1), nested(AMQP_TABLE_DEPTH_MAX)

        assert decode_table(fits)
        for read in (decode_table, lambda raw: check_table(raw, 0, len(raw))):
            with pytest.raises(Malformed, match="nested"):
                read(deep)

    @given(TABLES)
    def test_pamqp_writes_what_we_read(self, table: dict[str, Any]) -> None:
        given_to_them = wrapped(table)
        assert decode_table(pamqp_encode.field_table(given_to_them)) == plain(given_to_them)


class TestWriting:
    @given(TABLES)
    def test_what_is_written_is_read_again(self, table: dict[str, Any]) -> None:
        raw = encode_table(table)

        assert decode_table(raw) == table
        assert check_table(raw, 0, len(raw)) == len(raw)

    @given(TABLES)
    def test_pamqp_reads_what_we_write(self, table: dict[str, Any]) -> None:
        _, read = pamqp_decode.field_table(encode_table(table))

        assert read == theirs(table)

    @pytest.mark.parametrize(
        "value", [1 << 63, -(1 << 63) - 1, Decimal(-1), Decimal(2**32), Decimal("1e5"), Decimal("NaN")]
    )
    def test_a_number_that_no_type_has_is_refused(self, value: int | Decimal) -> None:
        with pytest.raises(InvalidArgument):
            encode_table({"k": value})

    def test_a_table_that_is_too_deep_is_refused(self) -> None:
        value: Any = []
        for _ in range(AMQP_TABLE_DEPTH_MAX):
            value = [value]

        with pytest.raises(InvalidArgument, match="nested"):
            encode_table({"k": value})

    def test_a_short_text_has_at_most_255_bytes(self) -> None:
        raw = encode_text("ä" * 127)

        assert read_text(raw, 0, len(raw)) == ("ä" * 127, 255)
        with pytest.raises(InvalidArgument, match="256 bytes"):
            encode_text("ä" * 128)


class TestChanging:
    def test_what_is_changed_comes_first_and_the_rest_keeps_its_bytes(self) -> None:
        raw = encode_table({"a": 1, "gone": "x"})[4:] + b"\x01kb\x05"
        raw = len(raw).to_bytes(4, "big") + raw

        changed = merged(raw, {"gone": [True], "new": None})

        assert changed[4:] == encode_entries({"gone": [True], "new": None, "a": 1}) + b"\x01kb\x05"
        assert decode_table(changed) == {"gone": [True], "new": None, "a": 1, "k": 5}

    def test_names_are_taken_away(self) -> None:
        raw = encode_table({"BCC": ["q"], "a": 1, "b": {"BCC": 2}})

        assert without(raw, ["BCC", "none"]) == encode_table({"a": 1, "b": {"BCC": 2}})
