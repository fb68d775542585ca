"""Values of AMQP as JSON says them, and back: tables, properties of messages, payloads, and settings of policies.

It converts, and refuses what one of the two sides cannot say.
"""

import binascii
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from isthmus.errors import InvalidArgument
from isthmus.limits import AMQP_TEXT_BYTES_MAX
from isthmus.protocols.amqp.handlers.arguments import OVERFLOWS
from isthmus.protocols.amqp.properties import Properties, decode_properties, encode_properties
from isthmus.protocols.amqp.table import Timestamp
from isthmus.web.management.answers import bad_request

# ---- tables --------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever a table holds
    """A value of a table for JSON: bytes that are no text as base64, times as seconds."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return text_or_base64(value)[0]
    if isinstance(value, Timestamp):
        return value.seconds
    return float(value) if isinstance(value, Decimal) else value


def text_or_base64(value: bytes) -> tuple[str, str]:
    """Bytes as text where they are some, else as base64; and which of the two, by RabbitMQ's words."""
    try:
        return value.decode(), "string"
    except UnicodeDecodeError:
        return b64encode(value).decode(), "base64"


# ---- messages ------------------------------------------------------------------------------------------------------

NUMBERS: Final = frozenset({"delivery_mode", "priority", "timestamp"})


def properties_of(said: Mapping[str, Any]) -> bytes:
    """Properties of a message as it is published.

    Raises:
        Failure: a property that there is not, or that cannot have that value.
    """
    known = Properties.__struct_fields__
    for name, value in said.items():
        if name not in known:
            raise bad_request(f"there is no property {name!r}; there are {', '.join(known)}")
        _check_property(name, value)
    return encode_properties(Properties(**said))


def _check_property(name: str, value: object) -> None:
    if name == "headers":
        wanted, fits = "an object", isinstance(value, dict)
    elif name in NUMBERS:
        most = (1 << 64) - 1 if name == "timestamp" else 255
        wanted = f"a number from 0 to {most}"
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
    else:
        wanted = f"a text of up to {AMQP_TEXT_BYTES_MAX} bytes"
        fits = isinstance(value, str) and len(value.encode()) <= AMQP_TEXT_BYTES_MAX
    if not fits:
        raise bad_request(f"{name} should be {wanted}")


def shown_properties(raw: bytes) -> dict[str, Any]:
    """Properties of a message for JSON: those that it has."""
    found = msgspec.structs.asdict(decode_properties(raw))
    return {name: plain(value) for name, value in found.items() if value is not None}


def payload_of(text: str, encoding: str) -> bytes:
    """The body of a message. Raises Failure."""
    if encoding == "string":
        return text.encode()
    if encoding != "base64":
        raise bad_request(f"payload_encoding {encoding!r} is not string or base64")
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except ValueError as error:
        raise bad_request(f"payload is no base64: {error}") from error


# ---- policies ------------------------------------------------------------------------------------------------------

SETTINGS: Final = {
    "max-length": "max_events",
    "max-length-bytes": "max_bytes",
    "message-ttl": "ttl_ms",
    "expires": "expires_ms",
    "delivery-limit": "failed_max",
    "overflow": "overflow",
    "dead-letter-exchange": "dead_exchange",
    "dead-letter-routing-key": "dead_key",
    "alternate-exchange": "alternate",
}
"""RabbitMQ's names for what a policy can set, and ours."""

NAMES: Final = {ours: theirs for theirs, ours in SETTINGS.items()}
UNLIMITED: Final = -1


def settings_of(said: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    """What RabbitMQ's definition of a policy sets.

    Raises:
        InvalidArgument: a setting that means nothing here, or an overflow that there is not.
    """
    unknown = [name for name in said if name not in SETTINGS]
    if unknown:
        raise InvalidArgument("definition", f"{unknown[0]!r} is no setting here; there are {', '.join(SETTINGS)}")
    return tuple((SETTINGS[name], msgspec.json.encode(_ours(name, value))) for name, value in said.items())


def _ours(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if name == "overflow":
        if value not in OVERFLOWS:
            raise InvalidArgument(name, f"{value!r} is not {', '.join(OVERFLOWS)}")
        return OVERFLOWS[value]
    if name == "delivery-limit" and type(value) is int:
        # Failures with which a message is dead: one more than the limit, which may be reached.
        return None if value <= UNLIMITED else value + 1
    return value


def shown_settings(settings: tuple[tuple[str, bytes], ...]) -> dict[str, Any]:
    """What a policy sets, in RabbitMQ's names and values."""
    return {NAMES[name]: _theirs(name, msgspec.json.decode(value)) for name, value in settings}


def _theirs(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if name == "overflow":
        return next(theirs for theirs, ours in OVERFLOWS.items() if ours == value)
    if name == "failed_max":
        return UNLIMITED if value is None else value - 1
    return value
