"""Header blocks: built, extended, read, and refused when they are not whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvalidArgument, InvalidBatch
from isthmus.limits import HEADER_BLOCK_CACHED_BYTES, HEADERS_MAX, HEADERS_RESERVED
from isthmus.log.headers import append_headers, decode_headers, encode_headers, header_value
from isthmus.record import NO_HEADERS

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.none() | st.binary(max_size=80)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6)


def test_a_block_has_the_bytes_that_the_format_says() -> None:
    block = encode_headers([("id", b"7"), ("é", None), ("", b"")])

    #                            count id       7     é       -1  ""  ""
    assert block == bytes.fromhex("06 04 6964 02 37 04 c3a9 01 00 00")


def test_no_headers_are_the_constant() -> None:
    assert encode_headers([]) == NO_HEADERS
    assert decode_headers(NO_HEADERS) == ()


@given(HEADERS)
def test_headers_come_back(headers: list[tuple[str, bytes | None]]) -> None:
    assert decode_headers(encode_headers(headers)) == tuple(headers)


@given(HEADERS, HEADERS)
def test_appending_is_the_same_as_encoding_all(
    old: list[tuple[str, bytes | None]], extra: list[tuple[str, bytes | None]]
) -> None:
    assert append_headers(encode_headers(old), iter(extra)) == encode_headers(old + extra)


def test_small_blocks_are_remembered_and_large_ones_are_not() -> None:
    small, large = [("a", b"1")], [("a", b"1" * HEADER_BLOCK_CACHED_BYTES)]

    assert encode_headers(small) is encode_headers(small)
    assert encode_headers(large) is not encode_headers(large)
    assert decode_headers(encode_headers(small)) is decode_headers(encode_headers(small))
    assert decode_headers(encode_headers(large)) is not decode_headers(encode_headers(large))


def test_a_value_is_found_by_name_and_the_last_one_wins() -> None:
    block = append_headers(encode_headers([("due", b"1"), ("duel", b"2"), ("none", None)]), [("due", b"3")])

    assert header_value(block, "due") == b"3"
    assert header_value(block, "none") is None
    assert header_value(block, "du") is None
    assert header_value(block, "other") is None


def test_more_headers_than_allowed_are_refused() -> None:
    most = [("h", b"")] * HEADERS_MAX

    with pytest.raises(InvalidArgument):
        encode_headers([*most, ("h", b"")])


def test_a_full_block_has_room_for_headers_of_our_own_but_not_for_more() -> None:
    full = encode_headers([("h", b"")] * HEADERS_MAX)
    stored = append_headers(full, [("isthmus-cause", b"")] * HEADERS_RESERVED)

    assert len(decode_headers(stored)) == HEADERS_MAX + HEADERS_RESERVED
    with pytest.raises(InvalidArgument):
        append_headers(stored, [("h", b"")])


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        encode_headers([("\ud800", b"")])


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("", "no count"),
        ("80", "count cut off"),
        ("01", "negative count"),
        ("feffffff0f", "count beyond the limit"),
        ("02", "header missing"),
        ("02 02 61", "value missing"),
        ("02 01 00", "name of length -1"),
        ("02 03 61 00", "name of length -2"),
        ("02 02 61 03", "value of length -2"),
        ("02 02 61 7e 00", "value longer than the block"),
        ("02 02 ff 00", "name not UTF-8"),
        ("02 02 61 00 00", "bytes behind"),
        ("00 00", "bytes behind nothing"),
        ("02" + "ff" * 11, "length beyond 64 bits"),
    ],
)
def test_a_malformed_block_is_refused(block: str, why: str) -> None:
    with pytest.raises(InvalidBatch):
        decode_headers(bytes.fromhex(block))


@given(st.binary(max_size=40))
def test_any_bytes_are_headers_or_an_invalid_batch(block: bytes) -> None:
    try:
        headers = decode_headers(block)
    except InvalidBatch:
        return
    assert decode_headers(encode_headers(headers)) == headers


@given(st.binary(max_size=40), HEADERS)
def test_appending_to_any_bytes_works_or_is_refused(block: bytes, extra: list[tuple[str, bytes | None]]) -> None:
    try:
        longer = append_headers(block, extra)
    except InvalidBatch:
        return
    assert longer.endswith(encode_headers(extra)[1:])
