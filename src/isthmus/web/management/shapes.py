"""Queues, exchanges and bindings as the management API shows them.

Rows are made of applied state, for who may see it; nothing is changed.

Spec: RabbitMQ 4.3 HTTP API reference. What is not measured here is not there: rates, memory of single queues.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote_plus

from isthmus.broker.bindings import Bound
from isthmus.broker.catalog import Exchange, Topic
from isthmus.lenses.queue.queue import Queue
from isthmus.log import facts
from isthmus.protocols.amqp.handlers import exchanges as amqp_exchanges
from isthmus.protocols.amqp.handlers import queues as amqp_queues
from isthmus.protocols.amqp.handlers.arguments import TYPE
from isthmus.protocols.amqp.handlers.queues import Found
from isthmus.protocols.amqp.table import decode_table
from isthmus.web.management.call import NODE, Call, vhost_of
from isthmus.web.management.values import plain, shown_settings

Row = dict[str, Any]
HASH_BYTES: Final = 5
NO_KEY: Final = "~"

# ---- queues --------------------------------------------------------------------------------------------------------


def found_queues(call: Call, namespace: str | None = None) -> Iterator[tuple[str, Found]]:
    """The queues that who asks may see, with their namespaces: those of the broker, and topics as streams."""
    catalog = call.broker.catalog
    for topic in list(catalog.topics.values()):
        declared = topic.set
        if (namespace is None or declared.namespace == namespace) and call.may_see(declared.name, declared.namespace):
            queue = None if declared.queue is None else catalog.queues.get(declared.queue)
            queue_set = None if queue is None else catalog.queue_sets.get(queue.id)
            yield declared.namespace, Found(topic.name, topic, queue, queue_set)


def queue_row(call: Call, namespace: str, found: Found) -> Row:
    """A queue as lists have it."""
    flags = amqp_queues.flags_of(found)
    arguments = plain(amqp_queues.arguments_of(found))
    kind = arguments.get(TYPE, "classic")
    row = {
        "name": found.name,
        "vhost": vhost_of(namespace),
        "type": kind,
        "durable": flags.durable,
        "auto_delete": flags.auto_delete,
        "exclusive": flags.exclusive,
        "arguments": arguments,
        "node": NODE,
        "state": "running",
        "operator_policy": None,
        "exclusive_consumer_tag": None,
    }
    if kind != "classic":
        row |= {"leader": NODE, "members": [NODE], "online": [NODE]}
    return row | _policy_of(call, namespace, found) | _counted(found)


def _policy_of(call: Call, namespace: str, found: Found) -> Row:
    policy = call.broker.catalog.policies.winner(namespace, "queues", found.name)
    if policy is None or found.queue is None:
        return {"policy": None, "effective_policy_definition": {}}
    return {"policy": policy.set.name, "effective_policy_definition": shown_settings(policy.set.settings)}


def _counted(found: Found) -> Row:
    size = sum(partition.bytes for partition in found.topic.partitions)
    if found.queue is None:
        return _counts(_stored(found.topic), 0, size) | {"consumers": 0, "single_active_consumer_tag": None}
    queue, counts = found.queue, found.queue.counts()
    row = _counts(counts.ready, counts.leased, size)
    return row | {
        "messages_delayed": counts.delayed,
        "consumers": len(queue.consumers),
        "single_active_consumer_tag": _single(queue),
        "message_stats": {"publish": counts.enqueued, "ack": counts.acked},
    }


def _stored(topic: Topic) -> int:
    return sum(partition.high_watermark - partition.log_start for partition in topic.partitions)


def _counts(ready: int, leased: int, size: int) -> Row:
    """Counts of messages. All of them are on disk; bytes are those of the topic, which may hold more than is ready."""
    return {
        "messages": ready + leased,
        "messages_ready": ready,
        "messages_unacknowledged": leased,
        "messages_persistent": ready + leased,
        "message_bytes": size,
        "message_bytes_persistent": size,
        "message_bytes_ready": size if not leased else size * ready // (ready + leased),
        "message_bytes_unacknowledged": 0 if not leased else size * leased // (ready + leased),
    }


def _single(queue: Queue) -> str | None:
    if not queue.config.single:
        return None
    return next((each.name for each in queue.consumers if each.active), None)


# ---- exchanges -----------------------------------------------------------------------------------------------------


def exchange_rows(call: Call, namespace: str | None = None) -> Iterator[Row]:
    """The exchanges that who asks may see: in each virtual host the one without a name, those that are always there
    whether they were used yet or not, and those that were made.
    """
    catalog = call.broker.catalog
    for each in filter(call.may_enter, sorted(catalog.namespaces) if namespace is None else [namespace]):
        yield _exchange(vhost_of(each), facts.ExchangeSet(0, each, "", "direct", "durable"))
        for name, kind in amqp_exchanges.PREDECLARED.items():
            if (each, name) not in catalog.exchange_names and call.may_see(name, each):
                internal = name == "amq.rabbitmq.trace"
                unused = facts.ExchangeSet(0, each, name, kind, "durable", internal=internal)
                yield _exchange(vhost_of(each), unused)
    for exchange in list(catalog.exchanges.values()):
        declared = exchange.set
        if (namespace is None or declared.namespace == namespace) and call.may_see(declared.name, declared.namespace):
            yield exchange_row(call, exchange)


def exchange_row(call: Call, exchange: Exchange) -> Row:
    """One that was made."""
    declared = exchange.set
    policy = call.broker.catalog.policies.winner(declared.namespace, "exchanges", declared.name)
    row = _exchange(vhost_of(declared.namespace), declared)
    row["type"] = amqp_exchanges.kind_of(exchange)
    row["arguments"] = plain(amqp_exchanges.arguments_of(exchange))
    if policy is not None:
        row["policy"] = policy.set.name
    return row


def default_exchange(vhost: str) -> Row:
    """The one without a name."""
    return _exchange(vhost, facts.ExchangeSet(0, "", "", "direct", "durable"))


def _exchange(vhost: str, declared: facts.ExchangeSet) -> Row:
    return {
        "name": declared.name,
        "vhost": vhost,
        "type": declared.kind,
        "durable": declared.lifetime == "durable",
        "auto_delete": declared.auto_remove,
        "internal": declared.internal,
        "arguments": {},
    }


# ---- bindings ------------------------------------------------------------------------------------------------------


def binding_rows(call: Call, namespace: str | None = None) -> Iterator[Row]:
    """The bindings that who asks may see: of every queue to its own name, then those that were made."""
    for each, found in found_queues(call, namespace):
        yield default_binding(vhost_of(each), found.name)
    for exchange in list(call.broker.catalog.exchanges.values()):
        declared = exchange.set
        if (namespace is None or declared.namespace == namespace) and call.may_see(declared.name, declared.namespace):
            yield from rows_from(call, exchange)


def default_binding(vhost: str, queue: str) -> Row:
    """The way by which the exchange without a name leads to a queue."""
    return _binding(vhost, "", queue, "queue", queue, {})


def rows_from(call: Call, exchange: Exchange) -> Iterator[Row]:
    """The bindings from an exchange."""
    for bound in list(exchange.bindings.values()):
        row = binding_row(call, exchange, bound)
        if row is not None:
            yield row


def binding_row(call: Call, exchange: Exchange, bound: Bound) -> Row | None:
    """One binding; None when what it leads to is gone."""
    catalog = call.broker.catalog
    target = catalog.topics.get(bound.topic) if bound.topic else catalog.exchanges.get(bound.to_exchange)
    if target is None:
        return None
    arguments = decode_table(bound.kept) if bound.kept else {}
    kind = "queue" if bound.topic else "exchange"
    return _binding(vhost_of(exchange.set.namespace), exchange.name, target.name, kind, bound.key, plain(arguments))


def _binding(vhost: str, source: str, destination: str, kind: str, key: str, arguments: Row) -> Row:
    return {
        "source": source,
        "vhost": vhost,
        "destination": destination,
        "destination_type": kind,
        "routing_key": key,
        "arguments": arguments,
        "properties_key": properties_key(key, arguments),
    }


def properties_key(key: str, arguments: Row) -> str:
    """What tells a binding from others between the same two: its key, and what its arguments come to."""
    quoted = quote_plus(key).replace("~", "%7E")
    if not arguments:
        return quoted or NO_KEY
    told = repr(sorted(arguments.items())).encode()
    digest = urlsafe_b64encode(hashlib.sha256(told).digest()[:HASH_BYTES]).decode().rstrip("=")
    return f"{quoted}{NO_KEY}{digest}"
