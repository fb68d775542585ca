"""Messages that one request publishes to an exchange or gets from a queue.

They go the way of AMQP's: the same records, the same routing, the same leases. For looking and for trying things out;
programs that move messages use a protocol that is made for it.

Spec: RabbitMQ 4.3 HTTP API reference, `/api/exchanges/vhost/name/publish`, `/api/queues/vhost/name/get`.
"""

from base64 import b64encode
from typing import Any, Final

from isthmus.broker.publishing import PLAIN
from isthmus.lenses.queue.queue import Queue
from isthmus.limits import AMQP_TEXT_BYTES_MAX, MANAGEMENT_MESSAGES_BYTES_MAX, MANAGEMENT_MESSAGES_MAX
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers import acks
from isthmus.protocols.amqp.handlers.channel import Channel, Given
from isthmus.protocols.amqp.handlers.queues import find
from isthmus.protocols.amqp.handlers.records import key_of, record, shape, shown
from isthmus.protocols.http.messages import Response
from isthmus.record import Leased
from isthmus.web.management.answers import bad_request, document
from isthmus.web.management.call import DEFAULT_EXCHANGE, Call
from isthmus.web.management.desk import channel
from isthmus.web.management.values import payload_of, properties_of, shown_properties, text_or_base64

MODES: Final[dict[str, acks.How]] = {
    "ack_requeue_true": "release",
    "ack_requeue_false": "ack",
    "reject_requeue_true": "fail",
    "reject_requeue_false": "reject",
}
ENCODINGS: Final = ("auto", "base64")
AUTO: Final = "auto"


# ---- publish -------------------------------------------------------------------------------------------------------


async def publish(call: Call) -> Response:
    """Publish a message; whether a queue has it, which is then durable there."""
    properties, key, payload, encoding = (
        call.wanted(dict, "properties")[0],
        *call.wanted(str, "routing_key", "payload", "payload_encoding"),
    )
    if len(key.encode()) > AMQP_TEXT_BYTES_MAX:
        raise bad_request(f"routing_key has more than {AMQP_TEXT_BYTES_MAX} bytes")
    raw, body = properties_of(properties), payload_of(payload, encoding)
    name = call.given["name"]
    async with channel(call) as at:
        routed = await _published(at, "" if name == DEFAULT_EXCHANGE else name, key, raw, body)
    return document({"routed": routed})


async def _published(at: Channel, name: str, key: str, raw: bytes, body: bytes) -> bool:
    broker, link = at.broker, at.link
    catalog = broker.catalog
    exchange = catalog.exchanges.get(catalog.exchange_names.get((at.namespace, name), 0)) if name else None
    if name:
        if exchange is None:
            raise Refused(Code.NOT_FOUND, f"no exchange '{name}' in vhost '{link.vhost}'")
        link.check("publish", "exchange", name)
    of = shape(name, raw, delayed=exchange is not None and exchange.set.delayed)
    one = record(of, key.encode(), body, broker.clock.now_ms())
    keys = (key, *of.keys)
    routed = broker.route(at.session, exchange, keys, [one], PLAIN, of.table, namespace=at.namespace)
    await routed.pending
    return len(routed.topics) > len(routed.refused)


# ---- get -----------------------------------------------------------------------------------------------------------


async def get(call: Call) -> Response:
    """Take messages from a queue, and give them back or settle them as `ackmode` says."""
    mode, encoding = _modes(call)
    (count,) = call.wanted(int, "count")
    if not 1 <= count <= MANAGEMENT_MESSAGES_MAX:
        raise bad_request(f"count should be from 1 to {MANAGEMENT_MESSAGES_MAX}")
    truncate = call.optional(int, "truncate", MANAGEMENT_MESSAGES_BYTES_MAX)
    async with channel(call) as at:
        found = find(at, call.given["name"])
        at.link.check("consume", "queue", found.name)
        if found.queue is None:
            raise Refused(Code.NOT_IMPLEMENTED, f"getting from the stream '{found.name}'; consume it")
        leased = await _taken(at, found.queue, count)
        left = found.queue.counts().ready
        rows = [
            _row(one, left + len(leased) - 1 - index, encoding, max(0, truncate)) for index, one in enumerate(leased)
        ]
        await acks.finish(at, [Given(found.queue, one.lease, None) for one in leased], MODES[mode])
    return document(rows)


def _modes(call: Call) -> tuple[str, str]:
    mode, encoding = call.wanted(str, "ackmode", "encoding")
    if mode not in MODES:
        raise bad_request(f"ackmode {mode!r} is not {', '.join(MODES)}")
    if encoding not in ENCODINGS:
        raise bad_request(f"encoding {encoding!r} is not {', '.join(ENCODINGS)}")
    return mode, encoding


async def _taken(at: Channel, queue: Queue, count: int) -> list[Leased]:
    """Up to so many messages, and no more bytes than fit into an answer; none is waited for."""
    session = at.session
    found: list[Leased] = []
    left = MANAGEMENT_MESSAGES_BYTES_MAX
    while len(found) < count and left > 0:
        more = await queue.lease("management", session.id, session.principal_id, count - len(found), left, None, 0)
        if not more:
            break
        found += more
        left -= sum(len(one.record.value or b"") for one in more)
    return found


def _row(one: Leased, left: int, encoding: str, truncate: int) -> dict[str, Any]:
    stored = one.record
    exchange, raw = shown(stored.headers)
    body = stored.value or b""
    cut = body[:truncate]
    payload, said = text_or_base64(cut) if encoding == AUTO else (b64encode(cut).decode(), "base64")
    return {
        "payload_bytes": len(body),
        "redelivered": one.lease.acquired > 1,
        "exchange": exchange,
        "routing_key": key_of(stored),
        "message_count": left,
        "properties": shown_properties(raw),
        "payload": payload,
        "payload_encoding": said,
    }
