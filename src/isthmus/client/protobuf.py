"""The protobuf codec: event classes that name a generated class travel as its messages.

`class Placed(Event, protobuf=pb.Placed)` declares fields by the message's names; how each is carried is worked out once
per class and whatever does not fit is refused then. It needs the extra `protobuf` and compiles no .proto file.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn, cast
from uuid import UUID

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError as BrokenMessage
from msgspec import inspect

from isthmus.client.event import AnyEvent, Event
from isthmus.errors import DeclarationError

Step = Callable[[Any], Any]

_F: Final = FieldDescriptor
_INTEGERS: Final = frozenset({_F.CPPTYPE_INT32, _F.CPPTYPE_INT64, _F.CPPTYPE_UINT32, _F.CPPTYPE_UINT64})
_FLOATS: Final = frozenset({_F.CPPTYPE_FLOAT, _F.CPPTYPE_DOUBLE})
_TIMESTAMP: Final = "google.protobuf.Timestamp"
_DURATION: Final = "google.protobuf.Duration"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TEXTS: Final[dict[type, tuple[type, Step]]] = {
    inspect.StrType: (str, lambda value: value),
    inspect.DecimalType: (Decimal, str),
    inspect.UUIDType: (UUID, str),
    inspect.DateType: (date, date.isoformat),
    inspect.TimeType: (time, time.isoformat),
}


class ProtobufCodec:
    """Events as messages of the generated classes that they name.

    A datetime is a `google.protobuf.Timestamp`, a timedelta a `Duration`, Decimal, UUID, date and time are strings; an
    enum of numbers goes by number, one of texts by the names of the protobuf enum; lists and tuples are repeated
    fields, dicts are maps, nested Structs are messages. `| None` needs a field with presence (`optional`).
    """

    name = "protobuf"
    content_type = "application/protobuf"

    def encoder(self, event_type: type[AnyEvent]) -> Callable[[AnyEvent], bytes]:
        """From an event to the bytes of its message."""
        message_class = _message_class(event_type)
        fields = _shape(event_type, message_class).to_message

        def encode(event: AnyEvent) -> bytes:
            return message_class(**fields(event)).SerializeToString()  # type: ignore[no-any-return]

        return encode

    def decoder(self, event_type: type[AnyEvent]) -> Callable[[bytes], AnyEvent]:
        """From the bytes of a message to its event."""
        message_class = _message_class(event_type)
        fields = _shape(event_type, message_class).from_message
        parse, convert = message_class.FromString, msgspec.convert

        def decode(data: bytes) -> AnyEvent:
            try:
                return convert(fields(parse(data)), event_type)
            except BrokenMessage as error:
                raise ValueError(f"not a message of {message_class.DESCRIPTOR.full_name}: {error}") from error

        return decode


def _message_class(event_type: type[AnyEvent]) -> Any:  # noqa: ANN401 - generated classes share no useful base
    if not issubclass(event_type, Event):
        raise DeclarationError(f"{event_type.__name__} is a model of pydantic, which travels as JSON only")
    found = event_type.__event_protobuf__
    if found is None:
        raise DeclarationError(
            f"event {event_type.__name__} names no protobuf class; write"
            f" `class {event_type.__name__}(..., protobuf=your_pb2.{event_type.__name__})`"
        )
    if not isinstance(getattr(found, "DESCRIPTOR", None), Descriptor):
        raise DeclarationError(f"event {event_type.__name__}: {found!r} is no generated protobuf class")
    return found


def _shape(event_type: type[AnyEvent], message_class: Any) -> "_Shape":  # noqa: ANN401 - see above
    try:
        return _Shape(event_type, message_class.DESCRIPTOR)
    except RecursionError as error:
        raise DeclarationError(f"event {event_type.__name__} contains itself, which protobuf= cannot follow") from error


class _Shape:
    """How the fields of a Struct and of a message correspond, in both directions."""

    def __init__(self, struct: type, descriptor: Descriptor) -> None:
        self._where = f"event field {struct.__name__}"
        self._out: list[tuple[str, str, Step]] = []
        self._back: list[tuple[str, Step, bool, bool]] = []
        for field in cast("inspect.StructType", inspect.type_info(struct)).fields:
            target = descriptor.fields_by_name.get(field.encode_name)
            if target is None:
                _refuse(f"{self._where}.{field.name}", f"{descriptor.full_name} has no field {field.encode_name!r}")
            self._add(field, target)

    def _add(self, field: inspect.Field, target: FieldDescriptor) -> None:
        where = f"{self._where}.{field.name}"
        kind, optional = _without_none(field.type)
        if optional and not target.has_presence:
            _refuse(where, f"{target.full_name} cannot be absent; declare it `optional` in the .proto, or drop None")
        out, back = _steps(where, kind, target)
        self._out.append((field.name, field.encode_name, out))
        self._back.append((field.encode_name, back, target.has_presence, optional))

    def to_message(self, struct: Any) -> dict[str, Any]:  # noqa: ANN401 - any Struct
        """The arguments of the message's constructor; None is left out."""
        found = {}
        for attribute, name, out in self._out:
            value = getattr(struct, attribute)
            if value is not None:
                found[name] = out(value)
        return found

    def from_message(self, message: Any) -> dict[str, Any]:  # noqa: ANN401 - any message
        """What msgspec converts to the Struct; what is absent is left out, so that defaults apply."""
        found = {}
        for name, back, presence, optional in self._back:
            if not presence or message.HasField(name):
                found[name] = back(getattr(message, name))
            elif optional:
                found[name] = None
        return found


def _without_none(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    rest = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    return (rest[0] if len(rest) == 1 else inspect.UnionType(tuple(rest))), len(rest) < len(kind.types)


def _steps(where: str, kind: inspect.Type, target: FieldDescriptor) -> tuple[Step, Step]:
    """How a value goes into a field and comes back."""
    if isinstance(kind, inspect.DictType):
        return _map_steps(where, kind, target)
    if isinstance(kind, inspect.CollectionType):
        if not target.is_repeated or _is_map(target):
            _refuse(where, f"{target.full_name} is not a repeated field")
        out, back = _one_steps(where, kind.item_type, target)
        return lambda value: [out(each) for each in value], lambda value: [back(each) for each in value]
    if target.is_repeated:
        _refuse(where, f"{target.full_name} is repeated; annotate it as a list, a tuple or a dict")
    return _one_steps(where, kind, target)


def _map_steps(where: str, kind: inspect.DictType, target: FieldDescriptor) -> tuple[Step, Step]:
    if not _is_map(target):
        _refuse(where, f"{target.full_name} is not a map")
    entry = cast("Descriptor", target.message_type).fields_by_name
    out_key, back_key = _one_steps(where, kind.key_type, entry["key"])
    out, back = _one_steps(where, kind.value_type, entry["value"])
    return (
        lambda value: {out_key(key): out(each) for key, each in value.items()},
        lambda value: {back_key(key): back(value[key]) for key in value},
    )


def _one_steps(where: str, kind: inspect.Type, target: FieldDescriptor) -> tuple[Step, Step]:
    cpp = target.cpp_type
    if cpp == _F.CPPTYPE_MESSAGE:
        return _message_steps(where, kind, cast("Descriptor", target.message_type))
    if cpp == _F.CPPTYPE_ENUM:
        return _enum_steps(where, kind, target)
    if cpp == _F.CPPTYPE_STRING and target.type != _F.TYPE_BYTES:
        return _text_steps(where, kind, target)
    fits = (
        (cpp == _F.CPPTYPE_STRING and isinstance(kind, inspect.BytesType))
        or (cpp == _F.CPPTYPE_BOOL and isinstance(kind, inspect.BoolType))
        or (cpp in _FLOATS and isinstance(kind, inspect.FloatType))
        or (cpp in _INTEGERS and (isinstance(kind, inspect.IntType) or _values(kind, int)))
    )
    if not fits:
        _refuse(where, f"its type does not go into {target.full_name}")
    return _plain, _same


def _text_steps(where: str, kind: inspect.Type, target: FieldDescriptor) -> tuple[Step, Step]:
    known = _TEXTS.get(type(kind))
    if known is not None:
        return known[1], _same
    if not _values(kind, str):
        _refuse(where, f"its type does not go into {target.full_name}")
    return _plain, _same


def _enum_steps(where: str, kind: inspect.Type, target: FieldDescriptor) -> tuple[Step, Step]:
    if isinstance(kind, inspect.IntType) or _values(kind, int):
        return _plain, _same
    enum = cast("EnumDescriptor", target.enum_type)
    numbers = enum.values_by_number
    unknown = [each for each in _values(kind, str) if each not in enum.values_by_name]
    if unknown or not _values(kind, str):
        _refuse(where, f"it is no number, and its texts are not those of {enum.full_name}: {unknown}")

    # A number that a newer schema brought has no name here: msgspec refuses it with the path of the field.
    return _plain, lambda number: numbers[number].name if number in numbers else number


def _message_steps(where: str, kind: inspect.Type, descriptor: Descriptor) -> tuple[Step, Step]:
    if descriptor.full_name == _TIMESTAMP and isinstance(kind, inspect.DateTimeType):
        return _to_timestamp, lambda stamp: _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    if descriptor.full_name == _DURATION and isinstance(kind, inspect.TimeDeltaType):
        return _to_duration, lambda span: timedelta(seconds=span.seconds, microseconds=span.nanos // 1000)
    if not isinstance(kind, inspect.StructType):
        _refuse(where, f"its type does not go into a {descriptor.full_name}")
    shape = _Shape(kind.cls, descriptor)
    return shape.to_message, shape.from_message


def _to_timestamp(value: datetime) -> dict[str, int]:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone, which a Timestamp needs")
    seconds, microseconds = divmod((value - _EPOCH) // _MICROSECOND, 1_000_000)
    return {"seconds": seconds, "nanos": microseconds * 1000}


def _to_duration(value: timedelta) -> dict[str, int]:
    total = value // _MICROSECOND
    seconds, microseconds = divmod(abs(total), 1_000_000)
    sign = -1 if total < 0 else 1  # seconds and nanos of a Duration have one sign
    return {"seconds": sign * seconds, "nanos": sign * microseconds * 1000}


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _same(value: object) -> object:
    return value


def _values(kind: inspect.Type, value_type: type) -> Sequence[Any]:
    """The values of an enum or Literal when all are of a type, else nothing."""
    if isinstance(kind, inspect.EnumType):
        values = [each.value for each in kind.cls]
    elif isinstance(kind, inspect.LiteralType):
        values = list(kind.values)
    else:
        return ()
    return values if all(isinstance(each, value_type) for each in values) else ()


def _is_map(target: FieldDescriptor) -> bool:
    return target.message_type is not None and target.message_type.GetOptions().map_entry


def _refuse(where: str, why: str) -> NoReturn:
    raise DeclarationError(f"{where} cannot travel as protobuf: {why}")
