"""Messages of AMQP as records of the log, and records as messages.

A message keeps its properties as the bytes in which they came, in a header of its record; what the broker acts on is
said again in headers of its own. It asks nobody for anything.

    message               record                      record without `amqp-properties`   message
    routing key           key                         key                                routing key, where it fits
    body                  value                       value                              body
    exchange              header amqp-exchange        -                                  exchange ""
    properties            header amqp-properties      headers                            table of headers
    expiration            header isthmus-expire       -                                  -
    priority              header isthmus-priority     -                                  -
    header x-delay        header isthmus-due          -                                  -
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from isthmus.broker.deaths import DEATHS, FIRST_DEATH, Death, first_of, history_of
from isthmus.broker.publishing import DUE, EXPIRE, PRIORITY
from isthmus.errors import InvalidBatch
from isthmus.limits import (
    AMQP_DELAY_MS_MAX,
    AMQP_EXPIRATION_MS_MAX,
    AMQP_SHAPE_BYTES_MAX,
    AMQP_SHAPES_CACHED,
    AMQP_TEXT_BYTES_MAX,
)
from isthmus.log.headers import append_headers, decode_headers, encode_headers
from isthmus.protocols.amqp import properties as props
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.table import Long, Timestamp, decode_table, encode_table, merged, without
from isthmus.record import Record, StoredRecord

EXCHANGE: Final = "amqp-exchange"
PROPERTIES: Final = "amqp-properties"
"""Headers of a record that came by AMQP: the exchange to which it was published, and its properties."""

_DELAY: Final = "x-delay"
_NO_TABLE: Final = b"\x00\x00\x00\x00"
_EXPIRATION_DIGITS: Final = 12


class Shape(NamedTuple):
    """What the properties of a message ask for; messages that share them share this.

    `block` are the headers of the record, `keys` those of CC and BCC, `expiration_ms` and `delay_ms` run from now.
    """

    block: bytes
    keys: tuple[str, ...] = ()
    expiration_ms: int | None = None
    delay_ms: int | None = None
    user_id: str | None = None
    reply_to: str | None = None
    message_id: str | None = None
    headers: bytes | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it goes where others of its exchange and key go, without a question of its own."""
        return not self.keys and self.user_id is None

    @property
    def timed(self) -> bool:
        """Whether its records carry times of their own."""
        return self.expiration_ms is not None or self.delay_ms is not None

    def table(self) -> Mapping[str, Any]:
        """The headers, for exchanges that route by them."""
        return {} if self.headers is None else decode_table(self.headers)


def shape(exchange: str, raw: bytes, *, delayed: bool = False) -> Shape:
    """What these properties ask for at that exchange; remembered when they are short.

    Raises:
        Refused: an expiration that is no number, CC or BCC that is no list, or an x-delay out of its range.
    """
    return (_known_shape if len(raw) <= AMQP_SHAPE_BYTES_MAX else _shape)(exchange, raw, delayed=delayed)


def _shape(exchange: str, raw: bytes, *, delayed: bool) -> Shape:
    found = props.spans(raw)

    def field(flag: int) -> bytes | None:
        span = found.get(flag)
        return None if span is None else raw[span[0] : span[1]]

    headers = field(props.HEADERS)
    keys: tuple[str, ...] = ()
    stored, delay_ms = raw, None
    if headers is not None:
        keys, stored, delay_ms = _from_headers(raw, headers, delayed=delayed)
    marks: list[tuple[str, bytes | None]] = [(EXCHANGE, exchange.encode()), (PROPERTIES, stored)]
    priority = field(props.PRIORITY)
    if priority is not None and priority[0]:
        marks.append((PRIORITY, str(priority[0]).encode()))
    return Shape(
        encode_headers(marks),
        keys,
        _expiration_ms(raw) if props.EXPIRATION in found else None,
        delay_ms,
        _short_text(field(props.USER_ID)),
        _short_text(field(props.REPLY_TO)),
        _short_text(field(props.MESSAGE_ID)),
        headers,
    )


_known_shape = lru_cache(AMQP_SHAPES_CACHED)(_shape)


def _short_text(field: bytes | None) -> str | None:
    return None if field is None else _text(field[1:])


def _from_headers(raw: bytes, headers: bytes, *, delayed: bool) -> tuple[tuple[str, ...], bytes, int | None]:
    """The further keys, the properties as they are stored, and the delay."""
    delays = delayed and b"\x07x-delay" in headers
    if b"\x02CC" not in headers and b"\x03BCC" not in headers and not delays:
        return (), raw, None
    table = decode_table(headers)
    keys = (*_keys(table, "CC"), *_keys(table, "BCC"))
    stored = without(headers, ["BCC"]) if "BCC" in table else headers
    delay_ms = _delay_ms(table.get(_DELAY)) if delays else None
    if delay_ms is not None:
        stored = merged(stored, {_DELAY: -delay_ms})
    return keys, props.replaced(raw, {props.HEADERS: stored}), delay_ms


def _keys(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Refused(Code.PRECONDITION_FAILED, f"{name} header must be an array of strings")
    return tuple(found)


def _delay_ms(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        return None
    if value > AMQP_DELAY_MS_MAX:
        raise Refused(Code.PRECONDITION_FAILED, f"x-delay of {value} ms is more than {AMQP_DELAY_MS_MAX}")
    return value


def _expiration_ms(raw: bytes) -> int:
    text = props.text(raw, props.EXPIRATION) or ""
    if not text.isascii() or not text.isdigit() or len(text) > _EXPIRATION_DIGITS:
        raise Refused(Code.PRECONDITION_FAILED, f"invalid expiration '{text}': it is not a number of milliseconds")
    if int(text) > AMQP_EXPIRATION_MS_MAX:
        raise Refused(Code.PRECONDITION_FAILED, f"invalid expiration '{text}': {AMQP_EXPIRATION_MS_MAX} is the most")
    return int(text)


def record(of: Shape, key: bytes, body: bytes, now_ms: int) -> Record:
    """A message as a record; `now_ms` is the wall clock, from which its times run."""
    if not of.timed:
        return Record(body, key, of.block)
    times: list[tuple[str, bytes | None]] = []
    if of.expiration_ms is not None:
        times.append((EXPIRE, str(now_ms + of.expiration_ms + (of.delay_ms or 0)).encode()))
    if of.delay_ms is not None:
        times.append((DUE, str(now_ms + of.delay_ms).encode()))
    return Record(body, key, append_headers(of.block, times))


# ---- the other way -----------------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """What a record's headers are as a message: its exchange and its properties."""

    exchange: str
    properties: bytes


def shown(block: bytes) -> Shown:
    """A header block as a message shows it; remembered when it is short."""
    return (_known_shown if len(block) <= AMQP_SHAPE_BYTES_MAX else _shown)(block)


def _shown(block: bytes) -> Shown:
    try:
        headers = decode_headers(block)
    except InvalidBatch:
        # Whatever wrote that, its value can be read all the same.
        return Shown("", props.NONE)
    found = dict(headers)
    raw = found.get(PROPERTIES)
    exchange = _text(found.get(EXCHANGE) or b"")
    if raw is None:
        raw = _foreign(headers)
    if DEATHS in found:
        raw = _with_deaths(raw, block)
    return Shown(exchange, raw)


_known_shown = lru_cache(AMQP_SHAPES_CACHED)(_shown)


def _foreign(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Properties of a record that did not come by AMQP: its headers, those that a table can name."""
    table: dict[str, Any] = {
        name: None if value is None else _text_or_bytes(value)
        for name, value in headers
        if name not in (DEATHS, FIRST_DEATH) and len(name.encode()) <= AMQP_TEXT_BYTES_MAX
    }
    return props.encode_properties(props.Properties(headers=table)) if table else props.NONE


def _text_or_bytes(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _with_deaths(raw: bytes, block: bytes) -> bytes:
    """With the history of its deaths as RabbitMQ writes it, and without the expiration that it had."""
    history = history_of(block)
    if not history:
        return raw
    headers: dict[str, Any] = {"x-death": [_death(each) for each in history]}
    first, last = first_of(block), history[0]
    if first is not None:
        headers |= {
            "x-first-death-exchange": first.exchange,
            "x-first-death-queue": first.queue,
            "x-first-death-reason": first.reason,
        }
    headers |= {
        "x-last-death-exchange": last.exchange,
        "x-last-death-queue": last.queue,
        "x-last-death-reason": last.reason,
    }
    return props.replaced(with_headers(raw, headers), {props.EXPIRATION: None})


def _death(death: Death) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if death.expiration_ms is not None:
        row["original-expiration"] = str(death.expiration_ms)
    row |= {
        "count": Long(death.count),
        "reason": death.reason,
        "queue": death.queue,
        "time": Timestamp(death.time_s),
        "exchange": death.exchange,
        "routing-keys": list(death.keys),
    }
    return row


def with_headers(raw: bytes, headers: Mapping[str, Any]) -> bytes:
    """Properties with these headers in place of theirs of the same names."""
    table = props.headers(raw)
    changed = encode_table(headers) if table is None else merged(table, headers)
    return props.replaced(raw, {props.HEADERS: changed})


def key_of(stored: StoredRecord) -> str:
    """The routing key of a record; empty when it has none, or one that AMQP cannot say."""
    key = stored.key
    if not key or len(key) > AMQP_TEXT_BYTES_MAX:
        return ""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return ""
