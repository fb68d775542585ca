"""Which handler answers which method of a channel; the table is what the documentation is held against.

Publishing and acknowledging are not in it: they are gathered, see `door.py`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.channel import Confirms
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers import acks, consume, exchanges, queues, transactions
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.methods import Method

Handler = Callable[[Channel, Any], Awaitable[Method | None]]


async def on_access_request(channel: Channel, asked: m.AccessRequest) -> m.AccessRequestOk:  # noqa: ARG001 - a relic
    """A relic of version 0-8: everybody gets the same ticket, which nobody looks at."""
    return m.AccessRequestOk(1)


async def on_confirm_select(channel: Channel, asked: m.ConfirmSelect) -> m.ConfirmSelectOk:  # noqa: ARG001 - no arguments
    """Number the publishes from now on, and say what becomes of them."""
    if channel.transaction is not None:
        raise Refused(Code.PRECONDITION_FAILED, "cannot switch from tx to confirm mode")
    if channel.confirms is None:
        channel.confirms = Confirms()
    return m.ConfirmSelectOk()


async def on_flow(channel: Channel, asked: m.ChannelFlow) -> m.ChannelFlowOk:  # noqa: ARG001 - as all handlers
    """Deliver, or not: RabbitMQ knows only the first, and so does every client."""
    if not asked.active:
        raise Refused(Code.NOT_IMPLEMENTED, "active=false")
    return m.ChannelFlowOk(active=True)


HANDLERS: Final[dict[type[Method], Handler]] = {
    m.ChannelFlow: on_flow,
    m.AccessRequest: on_access_request,
    m.ExchangeDeclare: exchanges.on_declare,
    m.ExchangeDelete: exchanges.on_delete,
    m.ExchangeBind: exchanges.on_bind,
    m.ExchangeUnbind: exchanges.on_unbind,
    m.QueueDeclare: queues.on_declare,
    m.QueueDelete: queues.on_delete,
    m.QueuePurge: queues.on_purge,
    m.QueueBind: queues.on_bind,
    m.QueueUnbind: queues.on_unbind,
    m.BasicQos: consume.on_qos,
    m.BasicConsume: consume.on_consume,
    m.BasicCancel: consume.on_cancel,
    m.BasicGet: consume.on_get,
    m.BasicNack: acks.on_nack,
    m.BasicReject: acks.on_reject,
    m.BasicRecover: acks.on_recover,
    m.BasicRecoverAsync: acks.on_recover,
    m.ConfirmSelect: on_confirm_select,
    m.TxSelect: transactions.on_select,
    m.TxCommit: transactions.on_commit,
    m.TxRollback: transactions.on_rollback,
}
"""By method. Each is run when those before it on its channel are done and what they began is durable."""
