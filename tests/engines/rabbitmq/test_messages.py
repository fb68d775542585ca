"""Records as messages and back: nothing is lost on the way, and other clients find what they look for."""

from datetime import UTC, datetime

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.common import FieldTable

from isthmus.broker.publishing import Options
from isthmus.engines.rabbitmq.messages import (
    Sent,
    identities,
    identity_of,
    offset_of,
    raised,
    returns_of,
    sent,
    stored,
)
from isthmus.errors import EngineError, InvalidArgument, IsthmusError, Overloaded, UnknownTopic
from isthmus.log.headers import decode_headers, encode_headers
from isthmus.record import NO_HEADERS, Record, StoredRecord
from support.rabbitmq_messages import delivered

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
blocks = st.lists(st.tuples(names, st.none() | st.binary(max_size=40)), max_size=6).map(encode_headers)
found = st.builds(
    Record,
    value=st.none() | st.binary(max_size=100),
    key=st.none() | st.binary(max_size=300),
    headers=blocks,
    timestamp_ms=st.integers(0, 2**42),
)


@given(found)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    back = stored(delivered(sent(record, "orders")), 7)

    assert (back.offset, back.key, back.value, back.timestamp_ms) == (7, record.key, record.value, record.timestamp_ms)
    assert sorted(decode_headers(back.headers), key=repr) == sorted(decode_headers(record.headers), key=repr)


def test_other_clients_find_the_key_the_type_and_the_headers_where_they_look() -> None:
    headers = encode_headers([("ce_type", b"Placed"), ("ce_id", b"1"), ("content-type", b"application/json")])
    options = Options(expire_ms=5_000, priority=3)

    message = sent(Record(b"{}", b"o-1", headers, 2_500), "orders", options=options, now_ms=1_000)

    properties = message.properties
    assert (message.exchange, message.routing_key, message.body) == ("orders", "o-1", b"{}")
    assert (properties.message_type, properties.message_id, properties.content_type) == (
        "Placed",
        "1",
        "application/json",
    )
    assert (properties.delivery_mode, properties.priority, properties.expiration) == (2, 3, "4000")
    assert properties.timestamp == datetime.fromtimestamp(2, UTC)
    assert properties.headers == {
        "ce_type": "Placed",
        "ce_id": "1",
        "content-type": "application/json",
        "isthmus-time": "2500",
    }


def test_what_others_publish_is_a_record_with_their_properties_as_headers() -> None:
    at = datetime.fromtimestamp(9, UTC)
    headers: FieldTable = {
        "number": 5,
        "yes": True,
        "nested": {"a": [1]},
        "at": at,
        "none": None,
        "x-delivery-count": 2,
    }
    properties = Basic.Properties(headers=headers, content_type="text/plain", timestamp=at, message_type="T")

    record = stored(delivered(Sent("orders", "k", b"v", properties)), 1)

    assert (record.key, record.value, record.timestamp_ms) == (b"k", b"v", 9_000)
    assert dict(decode_headers(record.headers)) == {
        "number": b"5",
        "yes": b"true",
        "nested": b'{"a":[1]}',
        "at": b"9000",
        "none": None,
        "content-type": b"text/plain",
        "ce_type": b"T",
    }


def test_by_the_default_exchange_the_routing_key_is_the_queue_and_no_key() -> None:
    assert stored(delivered(Sent("", "jobs", b"", Basic.Properties())), 1).key is None
    assert stored(delivered(sent(Record(b"", b"k", timestamp_ms=0), "", "jobs")), 1).key == b"k"


def test_hand_overs_are_counted_as_far_as_the_broker_tells() -> None:
    message = Sent("", "jobs", b"", Basic.Properties())

    assert returns_of(delivered(message)) == 0
    assert returns_of(delivered(message, redelivered=True)) == 1
    assert returns_of(delivered(message, {"x-delivery-count": 3}, redelivered=True)) == 3
    assert returns_of(delivered(message, {"x-delivery-count": 1, "x-acquired-count": 4})) == 4


def test_an_event_of_a_queue_has_the_number_of_its_publisher_or_one_of_its_id() -> None:
    own = delivered(sent(Record(b"", timestamp_ms=0), "jobs", identity=77))
    foreign = Sent("", "jobs", b"", Basic.Properties(message_id="m-1"))

    assert identity_of(own) == 77
    assert identity_of(delivered(foreign)) == identity_of(delivered(foreign))
    assert 0 <= identity_of(delivered(Sent("", "jobs", b"", Basic.Properties()))) < 2**63
    assert identities(1_000, 5) >> 20 == 1_000


def test_an_offset_is_what_the_stream_says() -> None:
    assert offset_of(delivered(Sent("", "s", b"", Basic.Properties()), {"x-stream-offset": 12})) == 12


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ChannelNotFoundEntity("no exchange"), UnknownTopic),
        (ChannelPreconditionFailed("other arguments"), InvalidArgument),
        (DeliveryError(None, Basic.Nack(1)), Overloaded),
        (ConnectionResetError(), EngineError),
        (UnknownTopic("x"), UnknownTopic),
    ],
)
def test_errors_of_the_client_become_errors_of_the_library(error: Exception, kind: type[IsthmusError]) -> None:
    assert isinstance(raised(error, "jobs"), kind)


def test_a_record_without_headers_has_none_when_it_comes_back() -> None:
    back = stored(delivered(sent(Record(b"a", b"k", timestamp_ms=5), "orders")), 0)

    assert back == StoredRecord(0, 5, b"k", b"a", NO_HEADERS)
