"""How a message of AMQP came to its queue, as the core asks when it dies, and how it looks where it goes then.

It reads records and makes headers of them; what dies and where it goes is not decided here.

Spec: RabbitMQ, "Dead Letter Exchanges": with a routing key of the queue's own CC is gone, BCC never was there.
"""

from functools import partial
from typing import Any

from isthmus.broker.burial import RoutingView
from isthmus.broker.deaths import history_of
from isthmus.errors import InvalidBatch
from isthmus.limits import AMQP_TEXT_BYTES_MAX
from isthmus.log.headers import decode_headers, encode_headers
from isthmus.protocols.amqp import properties as props
from isthmus.protocols.amqp.handlers.matching import comparable
from isthmus.protocols.amqp.handlers.records import EXCHANGE, PROPERTIES, key_of, shown
from isthmus.protocols.amqp.table import decode_table, without
from isthmus.record import StoredRecord

_CC = "CC"


def way_of(record: StoredRecord) -> RoutingView | None:
    """How a message came; None for a record that did not come by AMQP."""
    if PROPERTIES.encode() not in record.headers:
        return None
    came = shown(record.headers)
    table = _headers(came.properties)
    further = [key for key in table.get(_CC) or () if isinstance(key, str)]
    died = bool(history_of(record.headers))
    return RoutingView(
        exchange=came.exchange,
        keys=(key_of(record), *further),
        headers=partial(comparable, table),
        expiration_ms=None if died else _expiration_ms(came.properties),
        moved=partial(_moved, record),
    )


def _headers(raw: bytes) -> dict[str, Any]:
    found = props.headers(raw)
    return {} if found is None else decode_table(found)


def _expiration_ms(raw: bytes) -> int | None:
    text = props.text(raw, props.EXPIRATION) if props.flags(raw) & props.EXPIRATION else None
    return int(text) if text else None


def _moved(record: StoredRecord, exchange: str, key: str | None) -> tuple[bytes | None, bytes]:
    """The key and header block of a message that is published anew to an exchange."""
    try:
        headers = dict(decode_headers(record.headers))
    except InvalidBatch:
        return record.key, record.headers
    headers[EXCHANGE] = exchange.encode()
    if key is None:
        return record.key, encode_headers(headers.items())
    raw = headers.get(PROPERTIES) or props.NONE
    table = props.headers(raw)
    if table is not None and _CC in decode_table(table):
        headers[PROPERTIES] = props.replaced(raw, {props.HEADERS: without(table, [_CC])})
    return key.encode()[:AMQP_TEXT_BYTES_MAX], encode_headers(headers.items())
