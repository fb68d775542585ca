"""Properties of messages: looked up in their bytes, decoded whole, changed, and refused when malformed."""

import pytest
from hypothesis import given
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from isthmus.errors import InvalidArgument
from isthmus.protocols.amqp import properties as p
from isthmus.protocols.amqp.properties import Properties, decode_properties, encode_properties
from isthmus.protocols.amqp.table import Malformed, Timestamp, encode_table, encode_text
from support.amqp_values import PROPERTIES

FULL = Properties(
    content_type="text/plain",
    content_encoding="utf-8",
    headers={"k": 1, "t": Timestamp(5)},
    delivery_mode=2,
    priority=7,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id="m",
    timestamp=1_700_000_000,
    type="t",
    user_id="u",
    app_id="a",
    cluster_id="x",
)
RAW = encode_properties(FULL)


@given(PROPERTIES)
def test_what_is_written_is_read_again(properties: Properties) -> None:
    raw = encode_properties(properties)

    assert decode_properties(raw) == properties


@given(PROPERTIES)
def test_pamqp_reads_what_we_write_and_the_contrary(properties: Properties) -> None:
    raw = encode_properties(properties)
    header = ContentHeader()
    header.unmarshal(b"\x00\x3c\x00\x00" + bytes(8) + raw)
    read = header.properties
    assert isinstance(read, Basic.Properties)

    assert (read.expiration or None) == (properties.expiration or None)
    assert (read.message_id or None) == (properties.message_id or None)
    assert read.priority == properties.priority
    assert read.timestamp is None or int(read.timestamp.timestamp()) == properties.timestamp
    assert set(read.headers or ()) == set(properties.headers or ())


@given(PROPERTIES)
def test_one_field_is_found_without_decoding_the_others(properties: Properties) -> None:
    raw = encode_properties(properties)

    assert p.text(raw, p.EXPIRATION) == properties.expiration
    assert p.text(raw, p.USER_ID) == properties.user_id
    assert p.octet(raw, p.PRIORITY) == properties.priority
    assert p.timestamp(raw) == properties.timestamp
    assert p.headers(raw) == (None if properties.headers is None else encode_table(properties.headers))


def test_flags_tell_which_fields_there_are() -> None:
    raw = encode_properties(Properties(delivery_mode=2, reply_to="r"))

    assert p.flags(raw) == p.DELIVERY_MODE | p.REPLY_TO
    assert p.flags(p.NONE) == 0
    assert decode_properties(p.NONE) == Properties()


def test_fields_are_replaced_added_and_taken_away_in_their_bytes() -> None:
    raw = p.replaced(
        RAW, {p.EXPIRATION: None, p.REPLY_TO: encode_text("other"), p.HEADERS: encode_table({"new": True})}
    )
    added = p.replaced(p.NONE, {p.PRIORITY: b"\x03", p.CONTENT_TYPE: encode_text("x")})

    changed = decode_properties(raw)
    assert (changed.expiration, changed.reply_to, changed.headers) == (None, "other", {"new": True})
    assert (changed.message_id, changed.cluster_id, changed.timestamp) == ("m", "x", 1_700_000_000)
    assert decode_properties(added) == Properties(priority=3, content_type="x")


def test_text_that_is_not_utf_8_is_passed_on_and_shown_with_a_mark() -> None:
    raw = p.MESSAGE_ID.to_bytes(2, "big") + b"\x02a\xff"

    p.check(raw)

    assert p.text(raw, p.MESSAGE_ID) == "a\ufffd"


@pytest.mark.parametrize("end", range(len(RAW)))
def test_properties_that_are_cut_are_refused(end: int) -> None:
    with pytest.raises(Malformed):
        p.check(RAW[:end])


@pytest.mark.parametrize(
    "raw",
    [
        RAW + b"x",
        b"\x00\x01\x00\x00",
        b"\x00\x02",
        p.HEADERS.to_bytes(2, "big") + b"\x00\x00\x00\x03\x01k?",
        p.HEADERS.to_bytes(2, "big") + b"\xff\xff\xff\xff",
        p.EXPIRATION.to_bytes(2, "big") + b"\xff12",
    ],
)
def test_properties_that_are_not_well_formed_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        p.check(raw)


def test_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        encode_properties(Properties(app_id="x" * 256))
