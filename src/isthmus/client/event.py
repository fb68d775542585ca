"""Typed events, and the way between an event and the record that carries it.

Declaring an event class makes it frozen, hashable and keyword-only. A `Writer` encodes and a `Reader` decodes for one
destination; both know CloudEvents headers (binary content mode of the Kafka binding) and no engine, no file, no loop.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Protocol,
    Self,
    TypeAlias,
    TypeGuard,
    TypeVar,
    dataclass_transform,
)
from uuid import UUID

import msgspec

from isthmus.errors import (
    DeclarationError,
    DecodeError,
    InvalidArgument,
    InvalidBatch,
    InvariantError,
    RequestError,
    UnknownType,
    WrongEventType,
)
from isthmus.log.batch import append_headers, decode_headers, encode_headers, header_value
from isthmus.record import NO_HEADERS, Record, StoredRecord

if TYPE_CHECKING:
    from isthmus.client.codecs import Codec

KeyPart = str | int | UUID
Key = KeyPart | bytes | tuple[KeyPart, ...]
"""What can be a key; see `key_bytes` for the bytes that it becomes."""

Headers = Mapping[str, str | bytes]
"""Extra headers of one publish call: names to text (sent as UTF-8) or bytes."""

HEADER_TYPE: Final = "ce_type"
HEADER_ID: Final = "ce_id"

KEY_SEPARATOR: Final = b"\x1f"
RESERVED_PREFIX: Final = "isthmus-"
OWN_HEADERS: Final = frozenset({"ce_specversion", HEADER_TYPE, "ce_source", "content-type"})
"""Headers that the library writes itself and a caller therefore cannot give."""

BLOCKS_KEPT: Final = 256
"""Header blocks whose meaning a reader remembers; they are few unless every event has an id of its own."""


class EventMeta(msgspec.StructMeta):
    """Makes event classes: msgspec Structs that are frozen (so hashable) and keyword-only without saying so."""

    __event_type__: str
    __event_protobuf__: type | None

    def __new__(  # noqa: PYI034 - Self has no meaning in a metaclass
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        type: str | None = None,  # noqa: A002 - reads as a class keyword: class Placed(Event, type="shop.placed")
        protobuf: "type[Any] | None" = None,
        **options: Any,
    ) -> "EventMeta":
        """Make the class. Raises DeclarationError: frozen=False, or a type name that cannot be."""
        if options.setdefault("frozen", True) is not True:
            raise DeclarationError(f"{name}: events are immutable, so frozen=False cannot be")
        options.setdefault("kw_only", True)
        made = super().__new__(mcls, name, bases, namespace, **options)
        made.__event_type__ = _type_name(name if type is None else type)
        made.__event_protobuf__ = protobuf
        return made


def _type_name(name: str) -> str:
    if not name or len(name.encode()) > 255 or not name.isprintable():
        raise DeclarationError(f"{name!r} cannot be an event type: use 1 to 255 bytes of printable text")
    return name


# On the class and not on the metaclass: type checkers take the nearest one, and msgspec's Struct has one of its own.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, metaclass=EventMeta, frozen=True):
    """The root of all typed events: something that happened, immutable.

    Subclass it (or better `Notification` or `State`) and annotate the fields. The class name is the type name that
    travels in the header `ce_type`; `class Placed(Event, type="shop.order.placed")` sets another one, and
    `protobuf=pb.Placed` names the generated class that `codec="protobuf"` encodes to. Fields are anything that msgspec
    knows: numbers, text, bytes, Decimal, datetime, UUID, enums, lists, dicts, unions, other Structs. A field with a
    default can be added later without breaking readers. Events are equal when type and fields are.
    """

    __event_type__: ClassVar[str]
    __event_protobuf__: ClassVar[Any]


class Notification(Event):
    """An event that names the thing that changed and little else; whoever wants to know more asks the owner."""


class State(Event):
    """An event that carries the whole state of a thing. Its stream needs a key and keeps the newest event per key."""


class Model(Protocol):
    """A model of pydantic, which can be an event as well: what is asked of one, so that nothing here imports it.

    Its class name is its type name, or what it says in `__event_type__: ClassVar[str]`.
    """

    def model_dump_json(self) -> str:
        """See pydantic."""

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray) -> Self:
        """See pydantic."""


AnyEvent: TypeAlias = Event | Model
"""What can be published: an event of ours, or a model of pydantic."""

E = TypeVar("E", bound=AnyEvent)


def is_model(found: object) -> TypeGuard[type[Model]]:
    """Whether it is a class of pydantic models. Whoever has one has imported pydantic, so that nobody else must."""
    root = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return root is not None and isinstance(found, type) and issubclass(found, root) and found is not root


def is_event(found: object) -> TypeGuard[AnyEvent]:
    """Whether it can be an event."""
    return isinstance(found, Event) or is_model(type(found))


def event_type(event: type[AnyEvent] | AnyEvent) -> str:
    """The type name that travels with an event or with events of a class.

    Raises:
        DeclarationError: a model's name that cannot be one.
    """
    kind = event if isinstance(event, type) else type(event)
    if issubclass(kind, Event):
        return kind.__event_type__
    return _type_name(kind.__dict__.get("__event_type__", kind.__name__))


def field_names(event: type[AnyEvent]) -> tuple[str, ...]:
    """The names of the fields of events of a class."""
    if issubclass(event, Event):
        return event.__struct_fields__
    return tuple(getattr(event, "model_fields", ()))


# ---- keys --------------------------------------------------------------------------------------------------------


def key_bytes(key: Key) -> bytes:
    """The bytes of a key: `str` as UTF-8, `int` as decimal, UUID as text, several joined by 0x1F, bytes as they are.

    Raises:
        InvalidArgument: it is of another type, or a text in a tuple holds the separator 0x1F.
    """
    if isinstance(key, bytes):
        return key
    if isinstance(key, tuple):
        parts = [_part(part) for part in key]
        if any(KEY_SEPARATOR in part for part in parts):
            raise InvalidArgument("key", f"{key!r} holds the character 0x1F, which separates the parts of a key")
        return KEY_SEPARATOR.join(parts)
    return _part(key)


def _part(part: object) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, UUID) or (isinstance(part, int) and not isinstance(part, bool)):
        return str(part).encode()
    raise InvalidArgument("key", f"{part!r} is {type(part).__name__}; a key is made of str, int and UUID")


def key_maker(fields: Sequence[str]) -> Callable[[AnyEvent], bytes | None]:
    """A function from an event to its key bytes by those fields; no field at all is "no key"."""
    if not fields:
        return lambda _: None
    get: Callable[[AnyEvent], Any] = attrgetter(*fields)

    def key_of(event: AnyEvent) -> bytes:
        value: Any = get(event)  # one value or, of several fields, a tuple
        return value.encode() if isinstance(value, str) else key_bytes(value)

    return key_of


# ---- writing -----------------------------------------------------------------------------------------------------


def header_block(type_name: str, content_type: str, source: str | None) -> bytes:
    """The constant header block of all events of a type: the CloudEvents attributes that are stored."""
    headers = [("ce_specversion", b"1.0"), (HEADER_TYPE, type_name.encode())]
    if source is not None:
        headers.append(("ce_source", source.encode()))
    headers.append(("content-type", content_type.encode()))
    return encode_headers(headers)


def extra_headers(headers: Headers) -> list[tuple[str, bytes]]:
    """A caller's headers, checked and as bytes.

    Raises:
        InvalidArgument: a name that the library writes itself.
    """
    pairs = []
    for name, value in headers.items():
        if name in OWN_HEADERS or name.startswith(RESERVED_PREFIX):
            raise InvalidArgument("headers", f"{name!r} is written by Isthmus itself; use another name")
        pairs.append((name, value.encode() if isinstance(value, str) else value))
    return pairs


class Writer(Generic[E]):
    """From events to records for one destination: one header block per event class, encoded once.

    `source` is the app's name (header `ce_source`), None leaves it out.
    """

    def __init__(
        self,
        destination: str,
        types: Sequence[type[AnyEvent]],
        key_fields: Sequence[str],
        codec: "Codec",
        source: str | None = None,
    ) -> None:
        self._destination = destination
        self._names = tuple(map(event_type, types))
        self._make = {
            each: _record_maker(
                codec.encoder(each), key_maker(key_fields), header_block(event_type(each), codec.content_type, source)
            )
            for each in types
        }
        self._tombstone_block = (
            header_block(self._names[0], codec.content_type, source) if len(types) == 1 else NO_HEADERS
        )

    def record(self, event: E) -> Record:
        """The record of an event; key from the destination's key fields, time by the broker.

        Raises:
            WrongEventType: an event of a type that the destination does not carry.
        """
        return self.records((event,))[0]

    def records(self, events: Iterable[E], key: Key | None = None, headers: Headers | None = None) -> list[Record]:
        """The records of many events; `key` and `headers` are those of the call and hold for each of them.

        Raises:
            WrongEventType: one is of a type that the destination does not carry; nothing is made then.
            InvalidArgument: a key or header that cannot be.
        """
        try:
            make = self._make
            made = [make[event.__class__](event) for event in events]
        except KeyError as error:
            raise WrongEventType(self._destination, _type_called(error.args[0]), self._names) from None
        except (TypeError, ValueError, OverflowError) as error:  # a field that holds what its annotation forbids
            raise InvalidArgument("events", f"one cannot be encoded: {error}") from error
        return made if key is None and not headers else _changed(made, key, headers or {})

    def tombstone(self, key: Key, headers: Headers | None = None) -> Record:
        """The record that deletes what is known of a key."""
        record = Record(None, key_bytes(key), self._tombstone_block)
        return record if not headers else _changed([record], None, headers)[0]


def _type_called(found: object) -> str:
    return found.__name__ if isinstance(found, type) else repr(found)


def _changed(records: list[Record], key: Key | None, headers: Headers) -> list[Record]:
    own_key = None if key is None else key_bytes(key)
    extra = extra_headers(headers)
    blocks = {block: append_headers(block, extra) if extra else block for block in {r.headers for r in records}}
    return [Record(r.value, r.key if own_key is None else own_key, blocks[r.headers]) for r in records]


def _record_maker(
    encode: Callable[[Any], bytes], key_of: Callable[[AnyEvent], bytes | None], block: bytes
) -> Callable[[AnyEvent], Record]:
    def make(event: AnyEvent) -> Record:
        return Record(encode(event), key_of(event), block)

    return make


# ---- reading -----------------------------------------------------------------------------------------------------


class Reader(Generic[E]):
    """From stored records to events for one destination. What cannot be decoded is answered as an error, per record."""

    def __init__(self, destination: str, types: Sequence[type[AnyEvent]], codec: "Codec") -> None:
        self._destination = destination
        self._decoders = {event_type(each): codec.decoder(each) for each in types}
        self._only = event_type(types[0]) if len(types) == 1 else None
        self._by_block: dict[bytes, Callable[[bytes], Any]] = {}

    def events(self, records: Iterable[StoredRecord]) -> list[E | RequestError | None]:
        """For each record its event, None for a tombstone, or the `UnknownType` or `DecodeError` that it is."""
        out: list[E | RequestError | None] = []
        add = out.append
        last: bytes | None = None
        decode: Callable[[bytes], Any] = _never
        for record in records:
            value = record.value
            if value is None:
                add(None)
                continue
            block = record.headers
            if block is not last and block != last:
                decode, last = self._decoder(block), block
            try:
                add(decode(value))
            except (ValueError, TypeError, RecursionError) as error:  # msgspec's and protobuf's are ValueErrors
                add(DecodeError(self._destination, type_of_block(block) or self._only or "?", str(error)))
        return out

    def _decoder(self, block: bytes) -> Callable[[bytes], Any]:
        known = self._by_block.get(block)
        if known is None:
            if len(self._by_block) >= BLOCKS_KEPT:
                self._by_block.clear()
            known = self._by_block[block] = self._decoder_of(type_of_block(block) or self._only)
        return known

    def _decoder_of(self, name: str | None) -> Callable[[bytes], Any]:
        decoder = None if name is None else self._decoders.get(name)
        if decoder is not None:
            return decoder
        # Answered, not raised: an exception that was raised keeps its whole batch alive through its traceback.
        return lambda _: UnknownType(self._destination, name)


def _never(_: bytes) -> object:
    raise InvariantError("a record was decoded before its header block was looked at")


def type_of_block(block: bytes) -> str | None:
    """The type name in a header block; None when it has none or the block is not one."""
    try:
        value = header_value(block, HEADER_TYPE)
    except InvalidBatch:
        return None
    return None if value is None else value.decode(errors="replace")


def headers_of_block(block: bytes) -> tuple[tuple[str, bytes | None], ...]:
    """All headers of a block in stored order.

    Raises:
        InvalidBatch: the bytes are not a header block.
    """
    return decode_headers(block)
