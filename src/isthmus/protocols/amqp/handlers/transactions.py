"""tx.select, tx.commit and tx.rollback: publishes and settlings of a channel that happen together or not at all.

They are kept until the commit, which is one unit of the log; settlings that are rolled back leave their deliveries
open.

Spec: AMQP 0-9-1 section 1.9, RabbitMQ "AMQP 0-9-1 transactions".
"""

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Published
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.channel import Channel, Given


class Transaction:
    """What a channel has asked for and not committed."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.acked: list[Given] = []

    def publish(self, message: Published) -> None:
        """Keep a message for the commit."""
        self.published.append(message)


async def on_select(channel: Channel, asked: m.TxSelect) -> m.TxSelectOk:  # noqa: ARG001 - no arguments
    """Keep what comes until it is committed."""
    raise Refused(Code.NOT_IMPLEMENTED, "tx.select")


async def on_commit(channel: Channel, asked: m.TxCommit) -> m.TxCommitOk:  # noqa: ARG001 - no arguments
    """Let all of it happen."""
    raise Refused(Code.PRECONDITION_FAILED, "channel is not transactional")


async def on_rollback(channel: Channel, asked: m.TxRollback) -> m.TxRollbackOk:  # noqa: ARG001 - no arguments
    """Forget all of it."""
    raise Refused(Code.PRECONDITION_FAILED, "channel is not transactional")
