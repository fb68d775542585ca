"""The protobuf codec, on message classes that are made at run time without a compiler."""

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("google.protobuf", reason="the extra `protobuf` is not installed")

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2

from isthmus.client.codecs import codec
from isthmus.client.destination import Stream
from isthmus.client.event import AnyEvent, Event, Notification
from isthmus.errors import DeclarationError, DecodeError, InvalidArgument
from isthmus.log.batch import decode_headers
from isthmus.record import StoredRecord

F = descriptor_pb2.FieldDescriptorProto


def field(name: str, number: int, kind: "F.Type.ValueType", type_name: str | None = None, *, many: bool = False) -> F:
    made = F(name=name, number=number, type=kind, label=F.LABEL_REPEATED if many else F.LABEL_OPTIONAL)
    if type_name is not None:
        made.type_name = type_name
    return made


def schema() -> descriptor_pb2.FileDescriptorProto:
    """What protoc would make of the .proto that the comments show."""
    file = descriptor_pb2.FileDescriptorProto(
        name="shop_for_tests.proto",
        package="shop_for_tests",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto", "google/protobuf/duration.proto"],
    )
    # enum Colour { UNKNOWN = 0; RED = 1; }
    colour = file.enum_type.add(name="Colour")
    colour.value.add(name="UNKNOWN", number=0)
    colour.value.add(name="RED", number=1)
    # message Line { string item = 1; string price = 2; google.protobuf.Timestamp at = 3; }
    line = file.message_type.add(name="Line")
    line.field.append(field("item", 1, F.TYPE_STRING))
    line.field.append(field("price", 2, F.TYPE_STRING))
    line.field.append(field("at", 3, F.TYPE_MESSAGE, ".google.protobuf.Timestamp"))
    # message Placed { string order_id = 1; int64 count = 2; optional string note = 3; bytes raw = 4; double rate = 5;
    #   bool paid = 6; Colour colour = 7; repeated Line lines = 8; map<string, int32> stock = 9;
    #   map<string, Line> by = 10;
    #   google.protobuf.Timestamp at = 11; google.protobuf.Duration took = 12; string ident = 13; string day = 14;
    #   Line first = 15; repeated int32 numbers = 16; int32 small = 17; }
    placed = file.message_type.add(name="Placed")
    placed.field.extend(
        [
            field("order_id", 1, F.TYPE_STRING),
            field("count", 2, F.TYPE_INT64),
            field("note", 3, F.TYPE_STRING),
            field("raw", 4, F.TYPE_BYTES),
            field("rate", 5, F.TYPE_DOUBLE),
            field("paid", 6, F.TYPE_BOOL),
            field("colour", 7, F.TYPE_ENUM, ".shop_for_tests.Colour"),
            field("lines", 8, F.TYPE_MESSAGE, ".shop_for_tests.Line", many=True),
            field("stock", 9, F.TYPE_MESSAGE, ".shop_for_tests.Placed.StockEntry", many=True),
            field("by", 10, F.TYPE_MESSAGE, ".shop_for_tests.Placed.ByEntry", many=True),
            field("at", 11, F.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
            field("took", 12, F.TYPE_MESSAGE, ".google.protobuf.Duration"),
            field("ident", 13, F.TYPE_STRING),
            field("day", 14, F.TYPE_STRING),
            field("first", 15, F.TYPE_MESSAGE, ".shop_for_tests.Line"),
            field("numbers", 16, F.TYPE_INT32, many=True),
            field("small", 17, F.TYPE_INT32),
        ]
    )
    note = placed.field[2]
    note.proto3_optional, note.oneof_index = True, 0
    placed.oneof_decl.add(name="_note")
    for name, value in (
        ("Stock", field("value", 2, F.TYPE_INT32)),
        ("By", field("value", 2, F.TYPE_MESSAGE, ".shop_for_tests.Line")),
    ):
        entry = placed.nested_type.add(name=f"{name}Entry")
        entry.options.map_entry = True
        entry.field.extend([field("key", 1, F.TYPE_STRING), value])
    # message Node { string name = 1; Node next = 2; }
    node = file.message_type.add(name="Node")
    node.field.append(field("name", 1, F.TYPE_STRING))
    node.field.append(field("next", 2, F.TYPE_MESSAGE, ".shop_for_tests.Node"))
    return file


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
POOL.AddSerializedFile(duration_pb2.DESCRIPTOR.serialized_pb)
POOL.AddSerializedFile(schema().SerializeToString())


def message_class(name: str) -> Any:  # noqa: ANN401 - generated classes share no useful base
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"shop_for_tests.{name}"))


PB_PLACED = message_class("Placed")
PB_NODE = message_class("Node")
A_TIME = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
AN_ID = UUID("12345678-1234-5678-1234-567812345678")


class Colour(enum.Enum):
    UNKNOWN = "UNKNOWN"
    RED = "RED"


class Level(enum.IntEnum):
    LOW = 0
    HIGH = 1


class Line(msgspec.Struct, frozen=True, kw_only=True):
    item: str
    price: Decimal
    at: datetime | None = None


class Placed(Notification, protobuf=PB_PLACED):
    order_id: str
    count: int = 0
    note: str | None = None
    raw: bytes = b""
    rate: float = 0.0
    paid: bool = False
    colour: Colour = Colour.UNKNOWN
    lines: tuple[Line, ...] = ()
    stock: dict[str, int] = msgspec.field(default_factory=dict)
    by: dict[str, Line] = msgspec.field(default_factory=dict)
    at: datetime | None = None
    took: timedelta | None = None
    ident: UUID = AN_ID
    day: date = date(2026, 1, 1)
    first: Line | None = None
    numbers: list[int] = msgspec.field(default_factory=list)
    small: Level = Level.LOW


FULL = Placed(
    order_id="o-1",
    count=1 << 40,
    note="",
    raw=b"\xff\x00",
    rate=1.5,
    paid=True,
    colour=Colour.RED,
    lines=(Line(item="a", price=Decimal("0.10"), at=A_TIME), Line(item="b", price=Decimal(2))),
    stock={"a": 1, "b": -2},
    by={"x": Line(item="x", price=Decimal("1e3"))},
    at=A_TIME,
    took=timedelta(seconds=-1.5),
    ident=AN_ID,
    day=date(2026, 2, 28),
    first=Line(item="f", price=Decimal(1)),
    numbers=[1, -2],
    small=Level.HIGH,
)


def there_and_back(event: Event) -> AnyEvent:
    protobuf = codec("protobuf")
    return protobuf.decoder(type(event))(protobuf.encoder(type(event))(event))


def test_every_kind_of_field_goes_there_and_back() -> None:
    assert there_and_back(FULL) == FULL


def test_defaults_go_there_and_back() -> None:
    assert there_and_back(Placed(order_id="")) == Placed(order_id="")


def test_the_bytes_are_those_of_the_message() -> None:
    parsed = PB_PLACED.FromString(codec("protobuf").encoder(Placed)(FULL))

    assert (parsed.order_id, parsed.count, parsed.colour, parsed.paid) == ("o-1", 1 << 40, 1, True)
    assert parsed.HasField("note")
    assert parsed.lines[0].price == "0.10"
    assert parsed.lines[0].at.ToDatetime(tzinfo=UTC) == A_TIME
    assert parsed.took.ToTimedelta() == timedelta(seconds=-1.5)
    assert dict(parsed.stock) == {"a": 1, "b": -2}
    assert parsed.day == "2026-02-28"


def test_a_message_of_another_program_is_read() -> None:
    message = PB_PLACED(order_id="o-9", ident=str(AN_ID), day="2026-01-01", numbers=[7])

    found = codec("protobuf").decoder(Placed)(message.SerializeToString())

    assert found == Placed(order_id="o-9", numbers=[7])


@given(
    seconds=st.integers(-(10**10), 10**10), microseconds=st.integers(0, 999_999), span=st.integers(-(10**15), 10**15)
)
def test_times_keep_their_microseconds(seconds: int, microseconds: int, span: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=microseconds)
    event = Placed(order_id="o-1", at=at, took=timedelta(microseconds=span))

    assert there_and_back(event) == event


def test_it_travels_on_a_stream() -> None:
    orders = Stream[Placed]("orders", key="order_id", codec="protobuf")
    record = orders.writer().record(FULL)

    (found,) = orders.reader().events([StoredRecord(0, 1, record.key, record.value, record.headers)])

    assert found == FULL
    assert record.key == b"o-1"
    assert dict(decode_headers(record.headers))["content-type"] == b"application/protobuf"
    assert orders.definition().config.codec == "protobuf"


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xff",
        PB_PLACED(order_id="o-1", ident="no uuid", day="2026-01-01").SerializeToString(),
        PB_PLACED(order_id="o-1", ident=str(AN_ID), day="2026-01-01", small=9).SerializeToString(),
        PB_PLACED(order_id="o-1", ident=str(AN_ID), day="2026-01-01", colour=9).SerializeToString(),
    ],
)
def test_bytes_that_do_not_fit_answer_an_error(value: bytes) -> None:
    orders = Stream[Placed]("orders", key="order_id", codec="protobuf")

    (found,) = orders.reader().events([StoredRecord(0, 1, None, value, orders.writer().record(FULL).headers)])

    assert isinstance(found, DecodeError)
    assert found.type_name == "Placed"


@given(value=st.binary(max_size=60))
def test_no_bytes_raise(value: bytes) -> None:
    orders = Stream[Placed]("orders", key="order_id", codec="protobuf")

    (found,) = orders.reader().events([StoredRecord(0, 1, None, value, b"\x00")])

    assert isinstance(found, DecodeError | Placed)


@pytest.mark.parametrize(
    "event",
    [
        Placed(order_id="o-1", small=1 << 40),  # type: ignore[arg-type]
        Placed(order_id="o-1", at=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the point
        Placed(order_id="o-1", paid="yes"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_the_message_cannot_hold_is_refused(event: Placed) -> None:
    orders = Stream[Placed]("orders", key="order_id", codec="protobuf")

    with pytest.raises(InvalidArgument, match="cannot be encoded"):
        orders.writer().record(event)


class NoClass(Notification):
    order_id: str


class WrongClass(Notification, protobuf=dict):
    order_id: str


class Unknown(Notification, protobuf=PB_PLACED):
    customer: str


class Mismatched(Notification, protobuf=PB_PLACED):
    order_id: int


class NotRepeated(Notification, protobuf=PB_PLACED):
    order_id: list[str]


class Repeated(Notification, protobuf=PB_PLACED):
    numbers: int


class NotMap(Notification, protobuf=PB_PLACED):
    numbers: dict[str, int]


class NotList(Notification, protobuf=PB_PLACED):
    stock: list[int]


class Absent(Notification, protobuf=PB_PLACED):
    order_id: str | None = None


class Either(Notification, protobuf=PB_PLACED):
    order_id: str | int


class NoTimestamp(Notification, protobuf=PB_PLACED):
    order_id: datetime


class NotAMessage(Notification, protobuf=PB_PLACED):
    first: str


class Colours(Notification, protobuf=PB_PLACED):
    colour: Literal["RED", "GREEN"]


class BadNested(Notification, protobuf=PB_PLACED):
    first: NoClass


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (NoClass, r"names no protobuf class; write `class NoClass\(..., protobuf=your_pb2.NoClass\)`"),
        (WrongClass, "is no generated protobuf class"),
        (Unknown, r"event field Unknown\.customer .* shop_for_tests\.Placed has no field 'customer'"),
        (Mismatched, r"Mismatched\.order_id .* does not go into shop_for_tests\.Placed\.order_id"),
        (NotRepeated, "is not a repeated field"),
        (Repeated, "is repeated; annotate it as a list"),
        (NotMap, "is not a map"),
        (NotList, "is not a repeated field"),
        (Absent, "cannot be absent; declare it `optional`"),
        (Either, "does not go into"),
        (NoTimestamp, "does not go into"),
        (NotAMessage, r"does not go into a shop_for_tests\.Line"),
        (Colours, r"not those of shop_for_tests\.Colour: \['GREEN'\]"),
        (BadNested, r"NoClass\.order_id .* has no field 'order_id'"),
    ],
)
def test_a_class_that_does_not_fit_its_message_is_refused_with_the_field(declared: type[Event], said: str) -> None:
    with pytest.raises(DeclarationError, match=said):
        Stream[declared]("orders", key=None, codec="protobuf").types  # type: ignore[valid-type] # noqa: B018


class Tree(msgspec.Struct):
    name: str
    next: "Tree | None" = None


class Growing(Notification, protobuf=PB_NODE):
    name: str
    next: Tree | None = None


def test_a_struct_that_contains_itself_is_refused() -> None:
    with pytest.raises(DeclarationError, match="event Growing contains itself"):
        codec("protobuf").encoder(Growing)


class Subset(Notification, protobuf=PB_PLACED):
    order_id: str
    colour: Literal["UNKNOWN", "RED"]
    small: Literal[0, 1] = 0


def test_an_event_may_know_fewer_fields_than_its_message() -> None:
    event = codec("protobuf").decoder(Subset)(PB_PLACED(order_id="o-1", count=5, colour=1).SerializeToString())

    assert event == Subset(order_id="o-1", colour="RED")
    assert there_and_back(event) == event
