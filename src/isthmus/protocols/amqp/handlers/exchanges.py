"""exchange.declare, delete, bind and unbind, and the exchanges that every virtual host has from its beginning.

It routes nothing. Spec: AMQP 0-9-1 section 1.6, RabbitMQ "Exchange to Exchange Bindings", "Alternate Exchanges", and
the plugin for delayed messages.
"""

from typing import Final, cast

from isthmus.broker.catalog import Exchange
from isthmus.definition import Binding, ExchangeDefinition, ExchangeKind
from isthmus.errors import InUse, UnknownExchange
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.arguments import KEPT, Named, Table, differences, differs, invalid, text
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.link import Link
from isthmus.protocols.amqp.handlers.matching import match_of
from isthmus.protocols.amqp.handlers.queues import RESERVED, bind, check_not_default, cleaned, exchange_kind
from isthmus.protocols.amqp.table import decode_table, encode_table

KINDS: Final = frozenset({"direct", "fanout", "topic", "headers"})
DELAYED: Final = "x-delayed-message"
DELAYED_KIND: Final = "x-delayed-type"
ALTERNATE: Final = "alternate-exchange"

PREDECLARED: Final[dict[str, ExchangeKind]] = {
    "amq.direct": "direct",
    "amq.fanout": "fanout",
    "amq.topic": "topic",
    "amq.headers": "headers",
    "amq.match": "headers",
    "amq.rabbitmq.trace": "topic",
}
"""What every virtual host has besides the default exchange, which is not stored: it is every queue by its name."""


async def predeclare(link: Link) -> None:
    """Make what a virtual host is to have from its beginning, on the first connection to it."""
    broker, names = link.broker, link.broker.catalog.exchange_names
    owner = broker.session()
    for name, kind in PREDECLARED.items():
        await broker.quiet("exchange", link.namespace, name)
        if (link.namespace, name) not in names:
            internal = name == "amq.rabbitmq.trace"
            asked = ExchangeDefinition(name=name, namespace=link.namespace, kind=kind, internal=internal)
            await broker.create_exchange(owner, asked)
    owner.end()


def look_up(channel: Channel, name: str) -> Exchange | None:
    """An exchange by its name; None when there is none."""
    catalog = channel.broker.catalog
    return catalog.exchanges.get(catalog.exchange_names.get((channel.namespace, name), 0))


async def on_declare(channel: Channel, asked: m.ExchangeDeclare) -> m.ExchangeDeclareOk:
    """Make an exchange, or find one that was made the same way."""
    name = cleaned(asked.exchange)
    if not name and not asked.passive:
        check_not_default(name)
    await channel.broker.quiet("exchange", channel.namespace, name)
    found = look_up(channel, name)
    if asked.passive:
        if found is None and name:
            raise Refused(Code.NOT_FOUND, f"no exchange '{name}' in vhost '{channel.link.vhost}'")
        if name:
            channel.link.check("describe", "exchange", name)
        return m.ExchangeDeclareOk()
    named = Named("exchange", name, channel.link.vhost)
    definition = _definition(channel, named, asked)
    if found is not None:
        channel.link.check("create", "exchange", name)
        _check_same(named, found, asked, definition)
        return m.ExchangeDeclareOk()
    if name.startswith(RESERVED):
        raise Refused(Code.ACCESS_REFUSED, f"exchange name '{name}' contains reserved prefix '{RESERVED}*'")
    channel.link.check("create", "exchange", name)
    await channel.broker.create_exchange(channel.link.session, definition)
    return m.ExchangeDeclareOk()


def _definition(channel: Channel, named: Named, asked: m.ExchangeDeclare) -> ExchangeDefinition:
    """What the declaration asks for. Raises Refused for what cannot be."""
    delayed = asked.kind == DELAYED
    kind = text(asked.arguments.get(DELAYED_KIND)) if delayed else asked.kind
    if delayed and kind not in KINDS:
        raise invalid(DELAYED_KIND, named, "it names the type by which delayed messages are routed")
    if kind not in KINDS:
        raise Refused(Code.PRECONDITION_FAILED, f"unknown exchange type '{asked.kind}'")
    if ALTERNATE in asked.arguments and text(asked.arguments[ALTERNATE]) is None:
        raise invalid(ALTERNATE, named, "it is no name")
    return ExchangeDefinition(
        name=named.name,
        namespace=channel.namespace,
        kind=cast("ExchangeKind", kind),
        lifetime="durable" if asked.durable else "process",
        auto_remove=asked.auto_delete,
        internal=asked.internal,
        alternate=text(asked.arguments.get(ALTERNATE)),
        delayed=delayed,
        kept=((KEPT, encode_table(asked.arguments)),) if asked.arguments else (),
    )


def arguments_of(found: Exchange) -> Table:
    """The arguments with which an exchange was declared."""
    raw = dict(found.set.kept).get(KEPT)
    return {} if raw is None else decode_table(raw)


def kind_of(found: Exchange) -> str:
    """Its type by AMQP's names."""
    return DELAYED if found.set.delayed else found.set.kind


def _check_same(named: Named, found: Exchange, asked: m.ExchangeDeclare, wanted: ExchangeDefinition) -> None:
    """Raises Refused when what there is was declared otherwise."""
    current = found.set
    for name, new, old in (
        ("type", asked.kind, kind_of(found)),
        ("durable", wanted.lifetime == "durable", current.lifetime == "durable"),
        ("auto_delete", wanted.auto_remove, current.auto_remove),
        ("internal", wanted.internal, current.internal),
    ):
        if new != old:
            raise differs(named, name, asked=new, current=old)
    compared = [ALTERNATE, DELAYED_KIND] if current.delayed else [ALTERNATE]
    differences(named, asked.arguments, arguments_of(found), iter(compared))


async def on_delete(channel: Channel, asked: m.ExchangeDelete) -> m.ExchangeDeleteOk:
    """Remove an exchange; one that is not there is gone already."""
    name, link = cleaned(asked.exchange), channel.link
    check_not_default(name)
    if name.startswith(RESERVED):
        raise Refused(Code.ACCESS_REFUSED, f"exchange name '{name}' contains reserved prefix '{RESERVED}*'")
    await channel.broker.quiet("exchange", channel.namespace, name)
    if look_up(channel, name) is None:
        return m.ExchangeDeleteOk()
    link.check("remove", "exchange", name)
    try:
        await channel.broker.remove_exchange(link.session, channel.namespace, name, if_unused=asked.if_unused)
    except InUse:
        text_ = f"exchange '{name}' in vhost '{link.vhost}' in use"
        raise Refused(Code.PRECONDITION_FAILED, text_) from None
    except UnknownExchange:
        return m.ExchangeDeleteOk()
    return m.ExchangeDeleteOk()


async def on_bind(channel: Channel, asked: m.ExchangeBind) -> m.ExchangeBindOk:
    """Let an exchange route to another one."""
    await _change(channel, asked, unbind=False)
    return m.ExchangeBindOk()


async def on_unbind(channel: Channel, asked: m.ExchangeUnbind) -> m.ExchangeUnbindOk:
    """Stop that; a binding that is not there is gone already."""
    await _change(channel, asked, unbind=True)
    return m.ExchangeUnbindOk()


async def _change(channel: Channel, asked: m.ExchangeBind | m.ExchangeUnbind, *, unbind: bool) -> None:
    source, destination = cleaned(asked.source), cleaned(asked.destination)
    for name in (source, destination):
        check_not_default(name)
        await channel.broker.quiet("exchange", channel.namespace, name)
    exchange_kind(channel, destination)
    kind = exchange_kind(channel, source)
    channel.link.check("publish", "exchange", destination)
    channel.link.check("alter", "exchange", source)
    binding = Binding(
        exchange=source,
        to_exchange=destination,
        key=asked.routing_key,
        namespace=channel.namespace,
        match=match_of(asked.arguments) if kind == "headers" else None,
        kept=encode_table(asked.arguments) if asked.arguments else b"",
    )
    await bind(channel, binding, unbind=unbind)
