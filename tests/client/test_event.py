"""Typed events, and the way between an event and its record."""

import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.client.codecs import codec
from isthmus.client.event import Event, Notification, Reader, State, Writer, event_type, key_bytes, type_of_block
from isthmus.errors import (
    DeclarationError,
    DecodeError,
    InvalidArgument,
    IsthmusError,
    RequestError,
    UnknownType,
    WrongEventType,
)
from isthmus.log.batch import append_headers, decode_headers
from isthmus.record import NO_HEADERS, Record, StoredRecord

JSON = codec("json")
AN_ID = UUID("12345678-1234-5678-1234-567812345678")


class Placed(Notification):
    order_id: str


class Cancelled(Notification, type="shop.cancelled"):
    order_id: str
    reason: str = ""


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Line(msgspec.Struct, frozen=True):
    item: str
    price: Decimal


class Note(msgspec.Struct, frozen=True, tag=True):
    text: str


class Everything(State):
    number: int
    text: str
    raw: bytes
    amount: Decimal
    when: datetime
    ident: UUID
    size: Size
    lines: tuple[Line, ...]
    more: dict[str, float]
    either: Note | int | None = None


def stored(record: Record, offset: int = 0) -> StoredRecord:
    return StoredRecord(offset, 1, record.key, record.value, record.headers)


def writer(*types: type[Event], key: tuple[str, ...] = ("order_id",), source: str | None = None) -> Writer[Any]:
    return Writer("orders", types, key, JSON, source)


def reader(*types: type[Event]) -> Reader[Any]:
    return Reader("orders", types, JSON)


class TestDeclaring:
    def test_events_are_frozen(self) -> None:
        event = Placed(order_id="o-1")

        with pytest.raises(AttributeError, match="immutable"):
            event.order_id = "o-2"  # type: ignore[misc]

    def test_events_are_hashable_and_equal_by_type_and_fields(self) -> None:
        assert len({Placed(order_id="o-1"), Placed(order_id="o-1"), Placed(order_id="o-2")}) == 2
        assert len({Placed(order_id="o-1"), Cancelled(order_id="o-1")}) == 2

    def test_fields_are_keyword_only(self) -> None:
        with pytest.raises(TypeError):
            Placed("o-1")  # type: ignore[call-arg]

    def test_a_field_without_a_default_may_follow_one_with(self) -> None:
        class Grown(Cancelled):
            by: str

        assert Grown(order_id="o-1", by="me").reason == ""

    def test_the_type_name_is_the_class_name_or_what_the_class_says(self) -> None:
        assert event_type(Placed) == "Placed"
        assert event_type(Cancelled(order_id="o-1")) == "shop.cancelled"

    def test_a_type_name_is_not_inherited(self) -> None:
        class Revoked(Cancelled):
            pass

        assert event_type(Revoked) == "Revoked"

    @pytest.mark.parametrize("name", ["", "with\nnewline", "x" * 256])
    def test_a_type_name_that_cannot_travel_is_refused(self, name: str) -> None:
        with pytest.raises(DeclarationError, match="cannot be an event type"):

            class Bad(Event, type=name):
                pass

    def test_events_cannot_be_made_mutable(self) -> None:
        with pytest.raises(DeclarationError, match="immutable"):

            class Bad(Event, frozen=False):  # type: ignore[misc]
                pass

    def test_other_options_of_msgspec_still_work(self) -> None:
        class Renamed(Notification, rename="camel"):
            order_id: str

        record = writer(Renamed).record(Renamed(order_id="o-1"))

        assert record.value == b'{"orderId":"o-1"}'


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "data"),
        [
            ("ü", b"\xc3\xbc"),
            ("", b""),
            (17, b"17"),
            (-3, b"-3"),
            (AN_ID, b"12345678-1234-5678-1234-567812345678"),
            (b"\x00\x1f", b"\x00\x1f"),
            (("a", 1), b"a\x1f1"),
        ],
    )
    def test_a_key_becomes_these_bytes(self, key: str, data: bytes) -> None:
        assert key_bytes(key) == data

    @pytest.mark.parametrize("key", [None, 1.5, True, ["a"], ("a", None), ("a\x1fb", "c")])
    def test_what_is_no_key_is_refused(self, key: str) -> None:
        with pytest.raises(InvalidArgument, match=r"^key: "):
            key_bytes(key)

    def test_the_key_comes_from_the_key_fields(self) -> None:
        class Moved(Notification):
            order_id: str
            leg: int

        event = Moved(order_id="o-1", leg=2)

        assert writer(Moved).record(event).key == b"o-1"
        assert writer(Moved, key=("leg",)).record(event).key == b"2"
        assert writer(Moved, key=("order_id", "leg")).record(event).key == b"o-1\x1f2"
        assert writer(Moved, key=()).record(event).key is None

    def test_a_key_field_that_is_none_is_refused(self) -> None:
        class Loose(Notification):
            order_id: str | None = None

        with pytest.raises(InvalidArgument, match="NoneType"):
            writer(Loose).record(Loose())


class TestWriting:
    def test_cloudevents_attributes_travel_in_headers(self) -> None:
        record = writer(Placed, source="shop").record(Placed(order_id="o-1"))

        assert record.value == b'{"order_id":"o-1"}'
        assert decode_headers(record.headers) == (
            ("ce_specversion", b"1.0"),
            ("ce_type", b"Placed"),
            ("ce_source", b"shop"),
            ("content-type", b"application/json"),
        )
        assert record.timestamp_ms == -1

    def test_without_a_name_of_the_app_there_is_no_source(self) -> None:
        record = writer(Placed).record(Placed(order_id="o-1"))

        assert [name for name, _ in decode_headers(record.headers)] == ["ce_specversion", "ce_type", "content-type"]

    def test_all_events_of_a_class_share_one_header_block(self) -> None:
        first, second = writer(Placed).records([Placed(order_id="o-1"), Placed(order_id="o-2")])

        assert first.headers is second.headers

    def test_an_event_of_another_type_is_refused(self) -> None:
        with pytest.raises(WrongEventType, match=r"'orders' carries Placed, not Cancelled"):
            writer(Placed).records([Placed(order_id="o-1"), Cancelled(order_id="o-1")])

    def test_a_subclass_is_another_type(self) -> None:
        class Special(Placed):
            pass

        with pytest.raises(WrongEventType):
            writer(Placed).record(Special(order_id="o-1"))

    def test_what_is_no_event_is_refused(self) -> None:
        with pytest.raises(WrongEventType, match="not dict"):
            writer(Placed).record({"order_id": "o-1"})

    def test_a_field_that_cannot_be_encoded_is_refused(self) -> None:
        wrong: Any = object()

        with pytest.raises(InvalidArgument, match="cannot be encoded"):
            writer(Placed, key=()).record(Placed(order_id=wrong))

    def test_a_call_may_bring_its_own_key_and_headers(self) -> None:
        (record,) = writer(Placed).records(
            [Placed(order_id="o-1")], key=("x", 1), headers={"ce_id": "7", "raw": b"\xff"}
        )

        assert record.key == b"x\x1f1"
        assert decode_headers(record.headers)[-2:] == (("ce_id", b"7"), ("raw", b"\xff"))
        assert type_of_block(record.headers) == "Placed"

    def test_own_headers_reach_events_of_every_class(self) -> None:
        records = writer(Placed, Cancelled).records(
            [Placed(order_id="1"), Cancelled(order_id="2"), Placed(order_id="3")], headers={"trace": "t"}
        )

        assert [type_of_block(record.headers) for record in records] == ["Placed", "shop.cancelled", "Placed"]
        assert all(decode_headers(record.headers)[-1] == ("trace", b"t") for record in records)

    @pytest.mark.parametrize("name", ["ce_type", "ce_source", "ce_specversion", "content-type", "isthmus-due"])
    def test_headers_that_isthmus_writes_cannot_be_given(self, name: str) -> None:
        with pytest.raises(InvalidArgument, match=name):
            writer(Placed).records([Placed(order_id="o-1")], headers={name: "x"})

    def test_a_tombstone_has_a_key_and_no_value(self) -> None:
        record = writer(Everything, key=("number",)).tombstone(7)

        assert (record.key, record.value, type_of_block(record.headers)) == (b"7", None, "Everything")

    def test_a_tombstone_of_several_types_names_none(self) -> None:
        record = writer(Placed, Cancelled).tombstone("o-1", headers={"why": "asked"})

        assert decode_headers(record.headers) == (("why", b"asked"),)


class TestReading:
    def test_what_was_written_is_read(self) -> None:
        events = [Placed(order_id="o-1"), Cancelled(order_id="o-2", reason="ü"), Placed(order_id="o-3")]
        records = [stored(record) for record in writer(Placed, Cancelled).records(events)]

        assert reader(Placed, Cancelled).events(records) == events

    def test_fields_are_anything_that_msgspec_knows(self) -> None:
        event = Everything(
            number=1 << 60,
            text="ü\x00",
            raw=b"\xff\x00",
            amount=Decimal("12.50"),
            when=datetime(2026, 1, 1, 12, 30, 15, 999_999, tzinfo=UTC),
            ident=AN_ID,
            size=Size.LARGE,
            lines=(Line(item="a", price=Decimal("0.10")),),
            more={"x": 1.5},
            either=Note(text="n"),
        )
        record = writer(Everything, key=("ident",)).record(event)

        assert reader(Everything).events([stored(record)]) == [event]
        assert hash(Line(item="a", price=Decimal(1)))

    def test_a_field_with_a_default_can_come_later_and_unknown_ones_are_ignored(self) -> None:
        record = Record(
            b'{"order_id":"o-1","colour":"red"}', headers=writer(Cancelled).record(Cancelled(order_id="")).headers
        )

        assert reader(Cancelled).events([stored(record)]) == [Cancelled(order_id="o-1")]

    def test_a_tombstone_is_none(self) -> None:
        assert reader(Placed).events([StoredRecord(0, 1, b"k", None, NO_HEADERS)]) == [None]

    def test_without_a_type_name_a_destination_of_one_type_decodes_as_that(self) -> None:
        found = reader(Placed).events([StoredRecord(0, 1, None, b'{"order_id":"o-1"}', NO_HEADERS)])

        assert found == [Placed(order_id="o-1")]

    def test_without_a_type_name_a_union_answers_an_error_for_that_event_alone(self) -> None:
        good = stored(writer(Placed, Cancelled).record(Placed(order_id="o-1")))
        bad = StoredRecord(1, 1, None, b'{"order_id":"o-2"}', NO_HEADERS)

        first, second, third = reader(Placed, Cancelled).events([good, bad, good])

        assert first == third == Placed(order_id="o-1")
        assert isinstance(second, UnknownType)
        assert second.type_name is None

    def test_an_unknown_type_answers_an_error(self) -> None:
        record = stored(writer(Cancelled).record(Cancelled(order_id="o-1")))

        (found,) = reader(Placed).events([record])

        assert isinstance(found, UnknownType)
        assert (found.destination, found.type_name) == ("orders", "shop.cancelled")

    @pytest.mark.parametrize(
        "value", [b"", b"{", b"[]", b'{"order_id":7}', b"{}", b'{"order_id":"\xff"}', b"[" * 10_000]
    )
    def test_bytes_that_do_not_fit_answer_an_error_that_names_the_type(self, value: bytes) -> None:
        headers = writer(Placed).record(Placed(order_id="")).headers

        (found,) = reader(Placed, Cancelled).events([StoredRecord(0, 1, None, value, headers)])

        assert isinstance(found, DecodeError)
        assert (found.destination, found.type_name) == ("orders", "Placed")
        assert found.__traceback__ is None

    def test_a_block_that_is_none_counts_as_without_a_type_name(self) -> None:
        (found,) = reader(Placed, Cancelled).events([StoredRecord(0, 1, None, b"{}", b"\xff\xff")])

        assert isinstance(found, UnknownType)

    def test_each_event_may_have_headers_of_its_own(self) -> None:
        block = writer(Placed).record(Placed(order_id="")).headers
        many = [
            StoredRecord(i, 1, None, b'{"order_id":"o"}', append_headers(block, [("ce_id", str(i).encode())]))
            for i in range(1000)
        ]

        assert reader(Placed, Cancelled).events(many) == [Placed(order_id="o")] * 1000

    @given(value=st.binary(max_size=40), headers=st.binary(max_size=40))
    def test_no_bytes_raise(self, value: bytes, headers: bytes) -> None:
        (found,) = reader(Placed, Cancelled).events([StoredRecord(0, 1, None, value, headers)])

        assert isinstance(found, RequestError | Placed | Cancelled)
        assert isinstance(found, Event | IsthmusError)
