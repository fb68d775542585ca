"""Records as JSON and as cells: payloads of anybody, told without loss and without harm."""

import json

import pytest

from isthmus.cli.output import encode
from isthmus.cli.records import COLUMNS, as_json, record_cells, record_row, shortened, value_fields
from isthmus.log.headers import encode_headers
from isthmus.record import NO_HEADERS, StoredRecord


def record(value: bytes | None = b"{}", key: bytes | None = None, headers: bytes = NO_HEADERS) -> StoredRecord:
    return StoredRecord(5, 1_357_016_400_000, key, value, headers)


def test_a_row_has_place_time_key_type_headers_and_value() -> None:
    block = encode_headers([("ce_type", b"Placed"), ("by", b"me"), ("by", b"you")])

    row = json.loads(encode(record_row("orders", 3, record(b'{"a": 1.10}', b"k", block))))

    assert row == {
        "topic": "orders",
        "partition": 3,
        "offset": 5,
        "time": "2013-01-01T05:00:00.000Z",
        "timestamp_ms": 1_357_016_400_000,
        "key": "k",
        "type": "Placed",
        "headers": {"ce_type": "Placed", "by": "you"},
        "value": {"a": 1.1},
    }


def test_numbers_stay_as_they_were_written() -> None:
    written = encode(record_row("t", 0, record(b'{"a": 1.10,\n "b": 123456789012345678901234567890}')))

    assert b'"value":{"a":1.10,"b":123456789012345678901234567890}' in written
    assert b"\n" not in written


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (None, {"value": None, "tombstone": True}),
        (b"plain", {"value_text": "plain"}),
        (b"", {"value_text": ""}),
        (b"\xff\x00", {"value_base64": "/wA="}),
    ],
)
def test_what_is_no_json_is_marked_as_such(value: bytes | None, fields: dict[str, object]) -> None:
    assert value_fields(value) == fields


def test_a_key_that_is_no_text_is_base64() -> None:
    row = record_row("t", 0, record(key=b"\xff"))

    assert (row["key"], row["key_base64"]) == (None, "/w==")


def test_json_that_is_none_is_refused_without_an_error() -> None:
    assert as_json(b"{") is None
    assert as_json(b'"\xff"') is None
    assert as_json(b"[" * 100_000) is None


def test_headers_that_cannot_be_read_are_left_out() -> None:
    assert record_row("t", 0, record(headers=b"\x08\x08"))["headers"] == {}


def test_cells_stand_under_their_columns_and_command_no_terminal() -> None:
    cells = record_cells(3, record(b"a\x1b[2Jb\nc", b"k\x07"))

    assert len(cells) == len(COLUMNS)
    assert cells == ("2013-01-01T05:00:00.000Z", "3", "5", "k\\x07", "-", "a\\x1b[2Jb\\nc")
    assert record_cells(3, record(None))[-1] == "(deleted)"


def test_long_texts_are_shortened_with_a_mark() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
