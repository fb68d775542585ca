"""Between AMQP and the port: messages and records, errors and errors.

It translates and does nothing else. A record's key is the routing key and its headers are the headers of the message,
so that any other AMQP client can read what the library writes and the other way round; only what AMQP has no place for
(a key that is no short text, a time in milliseconds, a header that comes twice, a missing value) goes into headers of
our own.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

import msgspec
from aio_pika import DeliveryMode
from aio_pika.exceptions import (
    AMQPConnectionError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ConnectionNotAllowed
from msgspec import Struct
from pamqp.commands import Basic

from isthmus.broker.publishing import Options
from isthmus.errors import (
    AccessDenied,
    EngineError,
    InUse,
    InvalidArgument,
    IsthmusError,
    Overloaded,
    UnknownTopic,
)
from isthmus.limits import HEADERS_MAX
from isthmus.log.headers import append_headers, decode_headers
from isthmus.record import NO_HEADERS, Record, StoredRecord

KEY: Final = "isthmus-key"
TIME: Final = "isthmus-time"
BLOCK: Final = "isthmus-headers"
NULL: Final = "isthmus-null"
IDENTITY: Final = "isthmus-id"
OURS: Final = frozenset({KEY, TIME, BLOCK, NULL, IDENTITY})
"""Headers for what AMQP has no place for; they do not become headers of a record."""

OFFSET: Final = "x-stream-offset"
ACQUIRED: Final = "x-acquired-count"
RETURNED: Final = "x-delivery-count"
DEATHS: Final = "x-death"
OF_THE_BROKER: Final = ("x-death", "x-first-death-", "x-last-death-", OFFSET, ACQUIRED, RETURNED)
"""How names of headers begin that RabbitMQ writes into what it delivers."""

PROPERTIES: Final = (("content-type", "content_type"), ("ce_type", "message_type"), ("ce_id", "message_id"))
"""Headers of events for which AMQP has properties of its own: what other clients look at first."""

SHORT_BYTES: Final = 255
NAME_BYTES: Final = 128
"""Longest name in a table that AMQP lets through."""

RANDOM_BITS: Final = 20

Table = dict[str, object]


class Sent(Struct, frozen=True):
    """A record as a message on its way."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Basic.Properties

    @property
    def size_bytes(self) -> int:
        """About."""
        return len(self.body) + len(self.routing_key) + 256


def identities(now_ms: int, count: int) -> int:
    """The first of `count` numbers in a row for events of a queue, for which RabbitMQ has none: time, then chance."""
    return (now_ms << RANDOM_BITS) + secrets.randbelow(1 << RANDOM_BITS) * (count < 1 << RANDOM_BITS)


def sent(
    record: Record,
    exchange: str,
    routing_key: str | None = None,
    *,
    identity: int | None = None,
    options: Options | None = None,
    now_ms: int = 0,
) -> Sent:
    """A record as a persistent message.

    Args:
        record: with its time.
        exchange: where it goes.
        routing_key: None takes the record's key, as every exchange of ours lets it.
        identity: the number of an event in a queue.
        options: priority and expiry, which RabbitMQ acts on itself.
        now_ms: the time of the publisher.
    """
    table = _table(record.headers)
    key = _short(record.key) if routing_key is None else None
    if key is None and record.key is not None:
        table[KEY] = bytearray(record.key)
    table[TIME] = str(record.timestamp_ms)
    if record.value is None:
        table[NULL] = True
    if identity is not None:
        table[IDENTITY] = str(identity)
    properties = Basic.Properties(delivery_mode=DeliveryMode.PERSISTENT, headers=table)  # type: ignore[arg-type]
    properties.timestamp = datetime.fromtimestamp(max(0, record.timestamp_ms) // 1_000, UTC)
    for name, attribute in PROPERTIES:
        text = table.get(name)
        if isinstance(text, str) and len(text.encode()) <= SHORT_BYTES:
            setattr(properties, attribute, text)
    if options is not None and options.priority:
        properties.priority = options.priority
    if options is not None and options.expire_ms is not None:
        properties.expiration = str(max(0, options.expire_ms - now_ms))
    return Sent(exchange, key or "" if routing_key is None else routing_key, record.value or b"", properties)


def _short(key: bytes | None) -> str | None:
    """A key as a routing key, when it can be one that is read back as the same."""
    if not key or len(key) > SHORT_BYTES:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


def _table(block: bytes) -> Table:
    if block == NO_HEADERS:
        return {}
    rows = decode_headers(block)
    table: Table = {name: _field(value) for name, value in rows if name not in OURS}
    if len(table) < len(rows) or any(len(name.encode()) > NAME_BYTES for name in table):
        table = {name: value for name, value in table.items() if len(name.encode()) <= NAME_BYTES}
        table[BLOCK] = bytearray(block)
    return table


def _field(value: bytes | None) -> object:
    """Text where it is text: other clients want to read it."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return bytearray(value)


# ---- the way back --------------------------------------------------------------------------------------------------


def table_of(message: DeliveredMessage) -> Mapping[str, object]:
    """The headers of a message."""
    return message.header.properties.headers or {}


def stored(message: DeliveredMessage, offset: int) -> StoredRecord:
    """A message that has arrived; `offset` is what names it."""
    table, properties = table_of(message), message.header.properties
    key = table.get(KEY)
    value: bytes | None = None if NULL in table else message.body
    return StoredRecord(
        offset,
        _time_of(table, properties),
        _bytes(key) if key is not None else _key_of(message),
        value,
        _block(message),
    )


def _key_of(message: DeliveredMessage) -> bytes | None:
    """The routing key, unless it only says the name of a queue, as with the default exchange."""
    if not message.exchange or not message.routing_key:
        return None
    return message.routing_key.encode()


def _time_of(table: Mapping[str, object], properties: Basic.Properties) -> int:
    text = table.get(TIME)
    if isinstance(text, str) and text.isascii() and text.isdecimal():
        return int(text)
    at = properties.timestamp
    return int(at.timestamp() * 1_000) if isinstance(at, datetime) else 0


def _block(message: DeliveredMessage) -> bytes:
    table, properties = table_of(message), message.header.properties
    whole = table.get(BLOCK)
    if isinstance(whole, bytes | bytearray):
        return bytes(whole)
    rows = [
        (name, None if value is None else _bytes(value))
        for name, value in table.items()
        if name not in OURS and not name.startswith(OF_THE_BROKER)
    ]
    if TIME not in table:  # somebody else's: what it says of itself in properties, the library says in headers
        known = {name for name, _ in rows}
        found = [(name, getattr(properties, attribute)) for name, attribute in PROPERTIES if name not in known]
        rows += [(name, text.encode()) for name, text in found if isinstance(text, str) and text]
    return append_headers(NO_HEADERS, rows[:HEADERS_MAX]) if rows else NO_HEADERS


def _bytes(value: object) -> bytes:
    """A field of a table as the value of a header: text as UTF-8, numbers in decimal, times in ms, the rest as JSON."""
    match value:
        case str():
            return value.encode()
        case bytes() | bytearray():
            return bytes(value)
        case bool():
            return b"true" if value else b"false"
        case datetime():
            return str(int(value.timestamp() * 1_000)).encode()
        case dict() | list():
            return msgspec.json.encode(value)
        case _:
            return str(value).encode()


def identity_of(message: DeliveredMessage) -> int:
    """What names an event of a queue: the number that its publisher gave it, else one from its id, else chance."""
    text = table_of(message).get(IDENTITY)
    if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    name = message.header.properties.message_id
    if name:
        return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 1
    return secrets.randbits(63)


def offset_of(message: DeliveredMessage) -> int:
    """Where a message of a stream stands."""
    return number(table_of(message).get(OFFSET))


def returns_of(message: DeliveredMessage) -> int:
    """How often a message was handed out before, as far as the broker tells."""
    table = table_of(message)
    counted = max(number(table.get(ACQUIRED)), number(table.get(RETURNED)))
    return max(counted, int(bool(message.redelivered)))


def number(value: object) -> int:
    """A field as a number, 0 when it is none."""
    return value if isinstance(value, int) else 0


def death_of(message: DeliveredMessage) -> Mapping[str, object]:
    """The last death that RabbitMQ has noted: reason, queue, count; empty when there is none."""
    rows = table_of(message).get(DEATHS)
    first = rows[0] if isinstance(rows, list) and rows else None
    return first if isinstance(first, dict) else {}


# ---- errors ---------------------------------------------------------------------------------------------------------


def raised(error: BaseException, about: str) -> IsthmusError:
    """What a failure of the client is called here; `about` is what was worked on."""
    match error:
        case IsthmusError():
            return error
        case PublishError() | ChannelNotFoundEntity():
            return UnknownTopic(about)
        case DeliveryError():
            return Overloaded(f"{about}: the broker refuses more", 0)
        case ChannelAccessRefused():
            return AccessDenied("this client", f"({error})", about)
        case ProbableAuthenticationError() | ConnectionNotAllowed():
            return AccessDenied("this client", "log in to", about)
        case InvalidFrameError() if "Connection.Close" in str(error):  # instead of an answer to `open`
            return AccessDenied("this client", "enter the virtual host of", about)
        case ChannelLockedResource():
            return InUse("queue", about, "another connection")
        case ChannelPreconditionFailed():
            return InvalidArgument(about, str(error))
        case _:
            again = isinstance(error, AMQPConnectionError | OSError | RuntimeError | TimeoutError)
            return EngineError(f"{about}: {type(error).__name__}: {error}", retryable=again)
