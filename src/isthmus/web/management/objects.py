"""Queues, exchanges and bindings, as the management API lists, makes and removes them.

What is made is made by the handlers of AMQP's door, on a channel without a socket, so that both have the same rules.

Spec: RabbitMQ 4.3 HTTP API reference, `/api/queues`, `/api/exchanges`, `/api/bindings`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from isthmus.broker.bindings import Bound
from isthmus.broker.catalog import Exchange
from isthmus.definition import Binding
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers import exchanges as amqp_exchanges
from isthmus.protocols.amqp.handlers import queues as amqp_queues
from isthmus.protocols.amqp.handlers.queues import Found
from isthmus.protocols.http.messages import Response
from isthmus.web.management import shapes
from isthmus.web.management.answers import Failure, bad_request, document, done, not_found
from isthmus.web.management.call import Call
from isthmus.web.management.connected import consumer_rows
from isthmus.web.management.desk import channel
from isthmus.web.management.paging import chosen, listed
from isthmus.web.management.shapes import Row

QUEUE: Final = "q"
EXCHANGE: Final = "e"

# ---- queues --------------------------------------------------------------------------------------------------------


async def queues(call: Call) -> Response:
    """All queues."""
    return document(listed(_queue_rows(call, None), call.query))


async def vhost_queues(call: Call) -> Response:
    """The queues of a virtual host."""
    return document(listed(_queue_rows(call, call.namespace), call.query))


def _queue_rows(call: Call, namespace: str | None) -> list[Row]:
    found = [shapes.queue_row(call, each, queue) for each, queue in shapes.found_queues(call, namespace)]
    return sorted(found, key=_place)


def _place(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["vhost"], row["name"]


async def queue(call: Call) -> Response:
    """One queue, with who consumes it."""
    found = _queue(call)
    row = shapes.queue_row(call, call.namespace, found)
    consumers = [] if found.queue is None else list(consumer_rows(call, [found.queue]))
    return document(chosen(row | {"consumer_details": consumers, "deliveries": [], "incoming": []}, call.query))


def _queue(call: Call) -> Found:
    catalog, name = call.broker.catalog, call.given["name"]
    topic = catalog.topics.get(catalog.topic_names.get((call.namespace, name), 0))
    if topic is None or not call.may_see(name):
        raise not_found()
    queue_id = topic.set.queue or 0
    return Found(name, topic, catalog.queues.get(queue_id), catalog.queue_sets.get(queue_id))


async def put_queue(call: Call) -> Response:
    """Make a queue, or find that it was made the same way."""
    return done(made=await declare_queue(call, call.given["name"], call))


async def declare_queue(call: Call, name: str, said: Call) -> bool:
    """The same, of the body of any call; whether the queue is new. Raises Failure."""
    async with channel(call) as at:
        known = amqp_queues.look_up(at, name) is not None
        asked = m.QueueDeclare(
            queue=name,
            durable=said.optional(bool, "durable", True),
            exclusive=said.optional(bool, "exclusive", False),
            auto_delete=said.optional(bool, "auto_delete", False),
            arguments=said.optional(dict, "arguments", {}),
        )
        if asked.exclusive:
            raise bad_request("an exclusive queue would end with this request")
        await amqp_queues.on_declare(at, asked)
    return not known


async def remove_queue(call: Call) -> Response:
    """Remove a queue with what is in it."""
    name = _queue(call).name
    asked = m.QueueDelete(queue=name, if_unused=_is_set(call, "if-unused"), if_empty=_is_set(call, "if-empty"))
    async with channel(call) as at:
        await amqp_queues.on_delete(at, asked)
    return done()


def _is_set(call: Call, name: str) -> bool:
    return call.query.get(name) == "true"


async def purge(call: Call) -> Response:
    """Remove what is ready in a queue."""
    name = _queue(call).name
    async with channel(call) as at:
        await amqp_queues.on_purge(at, m.QueuePurge(queue=name))
    return done()


async def queue_bindings(call: Call) -> Response:
    """The ways that lead to a queue."""
    found = _queue(call)
    rows = [shapes.default_binding(call.vhost, found.name)]
    rows += _rows_to(call, found.topic.id)
    return document(listed(rows, call.query))


def _rows_to(call: Call, target: int) -> list[Row]:
    ways = [
        shapes.binding_row(call, exchange, bound)
        for exchange, bound in call.broker.catalog.ways_to(target)
        if call.may_see(exchange.name)
    ]
    return [row for row in ways if row is not None]


# ---- exchanges -----------------------------------------------------------------------------------------------------


async def exchanges(call: Call) -> Response:
    """All exchanges."""
    return document(listed(sorted(shapes.exchange_rows(call), key=_place), call.query))


async def vhost_exchanges(call: Call) -> Response:
    """The exchanges of a virtual host."""
    return document(listed(sorted(shapes.exchange_rows(call, call.namespace), key=_place), call.query))


async def exchange(call: Call) -> Response:
    """One exchange."""
    name = call.given["name"]
    if name in amqp_exchanges.PREDECLARED:
        row = next((each for each in shapes.exchange_rows(call, call.namespace) if each["name"] == name), None)
        if row is None:
            raise not_found()
    else:
        found = call.exchange(name)
        row = shapes.default_exchange(call.vhost) if found is None else shapes.exchange_row(call, found)
    return document(chosen(row | {"incoming": [], "outgoing": []}, call.query))


async def put_exchange(call: Call) -> Response:
    """Make an exchange, or find that it was made the same way."""
    return done(made=await declare_exchange(call, call.given["name"], call))


async def declare_exchange(call: Call, name: str, said: Call) -> bool:
    """The same, of the body of any call; whether the exchange is new. Raises Failure."""
    async with channel(call) as at:
        known = amqp_exchanges.look_up(at, name) is not None
        asked = m.ExchangeDeclare(
            exchange=name,
            kind=said.optional(str, "type", "direct"),
            durable=said.optional(bool, "durable", True),
            auto_delete=said.optional(bool, "auto_delete", False),
            internal=said.optional(bool, "internal", False),
            arguments=said.optional(dict, "arguments", {}),
        )
        await amqp_exchanges.on_declare(at, asked)
    return not known


async def remove_exchange(call: Call) -> Response:
    """Remove an exchange with its bindings."""
    name = call.given["name"]
    async with channel(call) as at:
        if call.exchange(name) is None:
            raise Refused(Code.ACCESS_REFUSED, "operation not permitted on the default exchange")
        await amqp_exchanges.on_delete(at, m.ExchangeDelete(exchange=name, if_unused=_is_set(call, "if-unused")))
    return done()


async def bindings_from(call: Call) -> Response:
    """The bindings from an exchange."""
    found = call.exchange(call.given["name"])
    if found is None:
        namespace = call.namespace
        rows = [shapes.default_binding(call.vhost, each.name) for _, each in shapes.found_queues(call, namespace)]
        return document(listed(rows, call.query))
    return document(listed(list(shapes.rows_from(call, found)), call.query))


async def bindings_to(call: Call) -> Response:
    """The bindings to an exchange."""
    found = call.exchange(call.given["name"])
    return document(listed([] if found is None else _rows_to(call, found.id), call.query))


# ---- bindings ------------------------------------------------------------------------------------------------------


async def bindings(call: Call) -> Response:
    """All bindings."""
    return document(listed(list(shapes.binding_rows(call)), call.query))


async def vhost_bindings(call: Call) -> Response:
    """The bindings of a virtual host."""
    return document(listed(list(shapes.binding_rows(call, call.namespace)), call.query))


async def bindings_between(call: Call) -> Response:
    """The bindings from an exchange to a queue or to another exchange."""
    return document(_between(call))


def _between(call: Call) -> list[Row]:
    kind = _kind(call)
    source = call.exchange(call.given["source"])
    name = call.given["destination"]
    if source is None:
        rows: Iterable[Row] = [shapes.default_binding(call.vhost, name)] if kind == "queue" else []
    else:
        rows = shapes.rows_from(call, source)
    return [row for row in rows if row["destination"] == name and row["destination_type"] == kind]


def _kind(call: Call) -> str:
    """What the path says that the destination is. Raises Failure."""
    found = {QUEUE: "queue", EXCHANGE: "exchange"}.get(call.given["kind"])
    if found is None:
        raise not_found()
    return found


async def binding(call: Call) -> Response:
    """One binding."""
    return document(_one(call))


def _one(call: Call) -> Row:
    key = call.given["key"]
    for row in _between(call):
        told = row["properties_key"]
        if key in (told, unquote_plus(told)):
            return row
    raise not_found()


async def put_binding(call: Call) -> Response:
    """Make a binding."""
    given = call.given
    key, arguments = await bind(call, given["source"], given["destination"], _kind(call), call)
    place = f"{quote(given['destination'], safe='')}/{quote(shapes.properties_key(key, arguments), safe='')}"
    return done(made=True, location=place)


async def bind(call: Call, source: str, destination: str, kind: str, said: Call) -> tuple[str, Row]:
    """The same, of the body of any call; its key and arguments. Raises Failure."""
    key, arguments = said.optional(str, "routing_key", ""), said.optional(dict, "arguments", {})
    async with channel(call) as at:
        if kind == "queue":
            asked = m.QueueBind(queue=destination, exchange=source, routing_key=key, arguments=arguments)
            await amqp_queues.on_bind(at, asked)
        else:
            way = m.ExchangeBind(destination=destination, source=source, routing_key=key, arguments=arguments)
            await amqp_exchanges.on_bind(at, way)
    return key, arguments


async def remove_binding(call: Call) -> Response:
    """Remove a binding."""
    row = _one(call)
    source = call.exchange(row["source"])
    if source is None:
        raise Failure(401, "not_authorised", "operation not permitted on the default exchange")
    for bound in list(source.bindings.values()):
        if shapes.binding_row(call, source, bound) == row:
            await _unbind(call, source, bound, row)
            return done()
    raise not_found()


async def _unbind(call: Call, source: Exchange, bound: Bound, row: Row) -> None:
    """By what is stored of it: arguments may have lost something on their way into JSON."""
    to_queue = row["destination_type"] == "queue"
    binding = Binding(
        exchange=source.name,
        topic=row["destination"] if to_queue else "",
        to_exchange="" if to_queue else row["destination"],
        key=bound.key,
        namespace=call.namespace,
        match=bound.match,
        kept=bound.kept,
    )
    async with channel(call) as at:
        await amqp_queues.bind(at, binding, unbind=True)
