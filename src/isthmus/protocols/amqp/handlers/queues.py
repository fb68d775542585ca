"""queue.declare, delete, purge, bind and unbind: queues as clients of AMQP know them.

A queue is a queue of the broker with a topic of its own; a stream, and every topic that no queue owns, is a topic.

Spec: AMQP 0-9-1 section 1.7, RabbitMQ "Queues", "Exclusive Queues", "Virtual Hosts".
"""

import secrets
from typing import Any, NamedTuple

from isthmus.broker.catalog import Topic
from isthmus.definition import Binding, Lifetime, QueueDefinition, TopicDefinition
from isthmus.errors import BeingChanged, UnknownExchange, UnknownTopic
from isthmus.lenses.queue.queue import Queue
from isthmus.log import facts
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers import replies
from isthmus.protocols.amqp.handlers.arguments import (
    KEPT,
    TYPE,
    Flags,
    Named,
    Table,
    check_queue,
    differences,
    differs,
    queue_config,
    queue_topic,
    stream_topic,
    text,
)
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.matching import match_of
from isthmus.protocols.amqp.table import decode_table, encode_table

RESERVED = "amq."
NAME_BYTES = 16


class Found(NamedTuple):
    """What a name stands for: a queue with how it was declared, or a topic (both None)."""

    name: str
    topic: Topic
    queue: Queue | None
    declared: facts.QueueSet | None


def cleaned(name: str) -> str:
    """A name without the line ends that RabbitMQ strips."""
    return name.replace("\r", "").replace("\n", "")


def look_up(channel: Channel, name: str) -> Found | None:
    """What a name stands for; None when there is nothing of that name."""
    catalog, key = channel.broker.catalog, (channel.namespace, name)
    topic = catalog.topics.get(catalog.topic_names.get(key, 0))
    if topic is None:
        return None
    queue_id = catalog.queue_names.get(key, 0)
    return Found(name, topic, catalog.queues.get(queue_id), catalog.queue_sets.get(queue_id))


def find(channel: Channel, name: str) -> Found:
    """What a name stands for; the empty name is that of the queue that was declared last.

    Raises:
        Refused: there is none (404), or it is the exclusive queue of another connection (405).
    """
    named = cleaned(name) or channel.last_queue
    if not named:
        raise Refused(Code.NOT_FOUND, "no previously declared queue")
    found = look_up(channel, named)
    if found is None:
        raise Refused(Code.NOT_FOUND, f"no queue '{named}' in vhost '{channel.link.vhost}'")
    check_owner(channel, found)
    return found


def check_owner(channel: Channel, found: Found) -> None:
    """Raises Refused when it is the exclusive queue of another connection."""
    declared = found.declared
    if declared is None or declared.lifetime != "session":
        return
    if channel.broker.catalog.owners.get(declared.id) != channel.link.session.id:
        raise Refused(
            Code.RESOURCE_LOCKED,
            f"cannot obtain exclusive access to locked queue '{found.name}' in vhost '{channel.link.vhost}'."
            " It could be originally declared on another connection or the exclusive property value does not match that"
            " of the original declaration.",
        )


def arguments_of(found: Found) -> dict[str, Any]:
    """The arguments with which a queue was declared; of what is no queue of AMQP, those that say what it is."""
    if found.declared is None:
        kept = dict(found.topic.set.config.kept).get(KEPT)
        return {TYPE: "stream"} if kept is None else decode_table(bytes.fromhex(kept))
    raw = dict(found.declared.config.kept).get(KEPT)
    return {} if raw is None else decode_table(raw)


def flags_of(found: Found) -> Flags:
    """How it was declared besides its arguments."""
    declared = found.declared
    if declared is None:
        return Flags(durable=found.topic.set.lifetime == "durable", exclusive=False, auto_delete=False)
    return Flags(
        durable=declared.lifetime == "durable",
        exclusive=declared.lifetime == "session",
        auto_delete=declared.config.auto_remove,
    )


# ---- declare ------------------------------------------------------------------------------------------------------


async def on_declare(channel: Channel, asked: m.QueueDeclare) -> m.QueueDeclareOk:
    """Make a queue, or find one that was made the same way."""
    name = cleaned(asked.queue)
    if asked.passive:
        if replies.is_reply_key(name):
            return replies.declared(channel, name)
        known = find(channel, name)
        channel.link.check("describe", "queue", known.name)
        return _declared(channel, known)
    # An exclusive queue ends with its connection, so that it cannot be durable.
    flags = Flags(asked.durable and not asked.exclusive, asked.exclusive, asked.auto_delete)
    made_up = not name
    if made_up:
        prefix = text(asked.arguments.get("x-name-prefix")) or "amq.gen-"
        name = prefix + secrets.token_urlsafe(NAME_BYTES)
    named = Named("queue", name, channel.link.vhost)
    await channel.broker.quiet("topic", channel.namespace, name)
    found = look_up(channel, name)
    if found is not None:
        _check_same(channel, found, named, flags, asked.arguments)
        if found.queue is not None:
            found.queue.touch()
    else:
        if name.startswith(RESERVED) and not made_up:
            raise Refused(Code.ACCESS_REFUSED, f"queue name '{name}' contains reserved prefix '{RESERVED}*'")
        found = await _make(channel, named, flags, asked.arguments, made_up=made_up)
    return _declared(channel, found)


def _declared(channel: Channel, found: Found) -> m.QueueDeclareOk:
    channel.last_queue = found.name
    queue = found.queue
    if queue is None:
        return m.QueueDeclareOk(found.name, 0, 0)
    return m.QueueDeclareOk(found.name, queue.counts().ready, len(queue.consumers))


def _check_same(channel: Channel, found: Found, named: Named, flags: Flags, arguments: Table) -> None:
    """Raises Refused when what there is was declared otherwise."""
    channel.link.check("create", "queue", found.name)
    check_owner(channel, found)
    current = flags_of(found)
    for name, asked, is_ in (
        ("durable", flags.durable, current.durable),
        ("auto_delete", flags.auto_delete, current.auto_delete),
        ("exclusive", flags.exclusive, current.exclusive),
    ):
        if asked != is_:
            raise differs(named, name, asked=asked, current=is_)
    differences(named, arguments, arguments_of(found))


async def _make(channel: Channel, named: Named, flags: Flags, arguments: Table, *, made_up: bool) -> Found:
    channel.link.check("create", "queue", named.name)
    type_ = check_queue(named, flags, arguments)
    if type_ != "classic" and made_up:
        raise Refused(Code.PRECONDITION_FAILED, f"invalid property 'server-named' for {named}: it needs a name")
    broker, lifetime = channel.broker, lifetime_of(flags)
    kept = encode_table(arguments)
    if type_ == "stream":
        config = stream_topic(named, arguments, kept.hex())
        stream = TopicDefinition(
            name=named.name, namespace=channel.namespace, placement="single", config=config, lifetime=lifetime
        )
        topic = await broker.create_topic(channel.link.session, stream)
        return Found(named.name, topic, None, None)
    definition = QueueDefinition(
        name=named.name,
        namespace=channel.namespace,
        config=queue_config(type_, flags, arguments, kept),
        topic=queue_topic(flags, arguments),
        lifetime=lifetime,
    )
    queue = await broker.create_queue(channel.link.session, definition)
    declared = broker.catalog.queue_sets[queue.id]
    return Found(named.name, broker.catalog.topics[declared.topic], queue, declared)


def lifetime_of(flags: Flags) -> Lifetime:
    """How long a queue lives that is declared so."""
    if flags.exclusive:
        return "session"
    return "durable" if flags.durable else "process"


# ---- the others ---------------------------------------------------------------------------------------------------


async def on_delete(channel: Channel, asked: m.QueueDelete) -> m.QueueDeleteOk:
    """Remove a queue with what is in it; one that is not there is gone already."""
    name = cleaned(asked.queue) or channel.last_queue
    await channel.broker.quiet("topic", channel.namespace, name)
    if look_up(channel, name) is None:
        return m.QueueDeleteOk(0)
    found = find(channel, name)
    link = channel.link
    link.check("remove", "queue", name)
    queue = found.queue
    ready = 0 if queue is None else queue.counts().ready
    if asked.if_unused and queue is not None and queue.consumers:
        raise Refused(Code.PRECONDITION_FAILED, f"queue '{name}' in vhost '{link.vhost}' in use")
    if asked.if_empty and ready:
        raise Refused(Code.PRECONDITION_FAILED, f"queue '{name}' in vhost '{link.vhost}' not empty")
    try:
        await channel.broker.remove_topic(link.session, channel.namespace, name)
    except UnknownTopic:
        return m.QueueDeleteOk(0)
    return m.QueueDeleteOk(ready)


async def on_purge(channel: Channel, asked: m.QueuePurge) -> m.QueuePurgeOk:
    """Remove what is ready; what is delivered and open stays."""
    found = find(channel, asked.queue)
    channel.link.check("consume", "queue", found.name)
    queue = found.queue
    if queue is None:
        raise Refused(Code.NOT_IMPLEMENTED, f"purging the stream '{found.name}'")
    unit = channel.broker.journal.unit()
    count = queue.purge(unit, principal=channel.session.principal_id)
    if unit.changes:
        await unit.submit()
    return m.QueuePurgeOk(count)


async def on_bind(channel: Channel, asked: m.QueueBind) -> m.QueueBindOk:
    """Let an exchange route to a queue."""
    await _change(channel, asked, unbind=False)
    return m.QueueBindOk()


async def on_unbind(channel: Channel, asked: m.QueueUnbind) -> m.QueueUnbindOk:
    """Stop that; a binding that is not there is gone already."""
    await _change(channel, asked, unbind=True)
    return m.QueueUnbindOk()


async def _change(channel: Channel, asked: m.QueueBind | m.QueueUnbind, *, unbind: bool) -> None:
    link = channel.link
    found = find(channel, asked.queue)
    key = asked.routing_key or ("" if asked.queue else found.name)
    exchange = cleaned(asked.exchange)
    check_not_default(exchange)
    await channel.broker.quiet("exchange", channel.namespace, exchange)
    kind = exchange_kind(channel, exchange)
    link.check("publish", "queue", found.name)
    link.check("alter", "exchange", exchange)
    binding = Binding(
        exchange=exchange,
        topic=found.name,
        key=key,
        namespace=channel.namespace,
        match=match_of(asked.arguments) if kind == "headers" else None,
        kept=encode_table(asked.arguments) if asked.arguments else b"",
    )
    await bind(channel, binding, unbind=unbind)


async def bind(channel: Channel, binding: Binding, *, unbind: bool) -> None:
    """Make or remove a binding, when nobody is making, changing or removing the same one or the exchange any more.

    Raises:
        Refused: what it was to lead from or to is gone by then.
    """
    vhost = channel.link.vhost
    try:
        while (busy := await _bound(channel, binding, unbind=unbind)) is not None:
            await channel.broker.quiet(busy.kind, channel.namespace, busy.name)
    except UnknownExchange as error:
        raise Refused(Code.NOT_FOUND, f"no exchange '{error.name}' in vhost '{vhost}'") from error
    except UnknownTopic as error:
        raise Refused(Code.NOT_FOUND, f"no queue '{error.name}' in vhost '{vhost}'") from error


async def _bound(channel: Channel, binding: Binding, *, unbind: bool) -> BeingChanged | None:
    """Make or remove a binding; gives what has to be waited for first, if there is anything."""
    try:
        pending = channel.broker.bind(channel.link.session, binding, unbind=unbind)
    except BeingChanged as busy:
        return busy
    await pending
    return None


def check_not_default(name: str) -> None:
    """Raises Refused for the default exchange, whose bindings are what they are."""
    if not name:
        raise Refused(Code.ACCESS_REFUSED, "operation not permitted on the default exchange")


def exchange_kind(channel: Channel, name: str) -> str:
    """The kind of an exchange. Raises Refused when there is none of that name."""
    catalog = channel.broker.catalog
    found = catalog.exchanges.get(catalog.exchange_names.get((channel.namespace, name), 0))
    if found is None:
        raise Refused(Code.NOT_FOUND, f"no exchange '{name}' in vhost '{channel.link.vhost}'")
    return found.set.kind
