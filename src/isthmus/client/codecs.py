"""The payload codecs by name: how the fields of an event become bytes and come back.

A codec knows event classes and bytes; type names, keys and headers are not its business. Codecs that need an extra
import it when they are first used.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from isthmus.client.event import AnyEvent, Event
from isthmus.errors import DeclarationError, InvalidArgument, Unsupported


class Codec(Protocol):
    """What a destination needs of a codec. Decoders raise ValueError (or a subclass) for bytes that do not fit."""

    @property
    def name(self) -> str:
        """What `codec=` calls it."""

    @property
    def content_type(self) -> str:
        """The media type that travels in the header `content-type`."""

    def encoder(self, event_type: type[AnyEvent]) -> Callable[[AnyEvent], bytes]:
        """From an event of that class to bytes. Raises DeclarationError for a class that it cannot carry."""

    def decoder(self, event_type: type[AnyEvent]) -> Callable[[bytes], AnyEvent]:
        """From bytes to an event of that class. Raises DeclarationError for a class that it cannot carry."""


class JsonCodec:
    """JSON by msgspec: Decimal and UUID as text, datetime as RFC 3339, bytes as base64; unknown members are ignored."""

    name = "json"
    content_type = "application/json"

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode

    def encoder(self, event_type: type[AnyEvent]) -> Callable[[AnyEvent], bytes]:
        """One encoder serves all classes of ours; the class is checked by making its decoder."""
        if not issubclass(event_type, Event):
            encode: Callable[[AnyEvent], bytes] = _models().encoder(event_type)
            return encode
        self.decoder(event_type)
        return self._encode

    def decoder(self, event_type: type[AnyEvent]) -> Callable[[bytes], AnyEvent]:
        """A decoder made for the class."""
        if not issubclass(event_type, Event):
            decode: Callable[[bytes], AnyEvent] = _models().decoder(event_type)
            return decode
        try:
            decoder = msgspec.json.Decoder(event_type)
        except (TypeError, NameError) as error:
            raise DeclarationError(
                f"event {event_type.__name__} has a field that JSON cannot carry: {error}"
            ) from error
        foreign = _foreign_type(msgspec.inspect.type_info(event_type), set())
        if foreign is not None:
            raise DeclarationError(
                f"event {event_type.__name__} has a field that JSON cannot carry: {foreign.__qualname__} is no type"
                " that msgspec knows; use a Struct, a dataclass or plain types"
            )
        return decoder.decode


def _models() -> Any:  # noqa: ANN401 - a module
    from isthmus.client import models  # noqa: PLC0415 - an extra, imported when it is used

    return models


def _foreign_type(found: object, seen: set[int]) -> type | None:
    """The first class in a description of types (of `msgspec.inspect`) that msgspec could only carry with hooks."""
    if isinstance(found, msgspec.inspect.CustomType):
        return found.cls
    parts: tuple[object, ...] = ()
    if isinstance(found, tuple):
        parts = found
    elif isinstance(found, msgspec.inspect.Type | msgspec.inspect.Field) and id(found) not in seen:
        seen.add(id(found))
        parts = tuple(getattr(found, name) for name in found.__struct_fields__)
    return next((cls for part in parts if (cls := _foreign_type(part, seen)) is not None), None)


def _json() -> Codec:
    return JsonCodec()


def _protobuf() -> Codec:
    try:
        from isthmus.client.protobuf import ProtobufCodec  # noqa: PLC0415 - an extra, imported when it is used
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "google":
            raise
        raise Unsupported('codec "protobuf" needs the protobuf package', "pip install 'isthmus[protobuf]'") from error
    return ProtobufCodec()


def _avro() -> Codec:
    raise Unsupported('codec "avro" comes in a later version', 'use "json" or "protobuf"')


_CODECS: dict[str, Callable[[], Codec]] = {"json": _json, "protobuf": _protobuf, "avro": _avro}
_made: dict[str, Codec] = {}


def codec(name: str) -> Codec:
    """The codec of that name.

    Raises:
        InvalidArgument: there is none of that name.
        Unsupported: it needs an extra that is not installed, or a later version.
    """
    known = _made.get(name)
    if known is None:
        make = _CODECS.get(name)
        if make is None:
            raise InvalidArgument("codec", f"{name!r} is none of {', '.join(_CODECS)}")
        known = _made[name] = make()
    return known
