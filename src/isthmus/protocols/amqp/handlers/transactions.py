"""tx.select, tx.commit and tx.rollback: publishes and settlings of a channel that happen together or not at all.

They are kept until the commit, which is one unit of the log; settlings that are rolled back leave their deliveries
open.

Spec: AMQP 0-9-1 section 1.9. Deviation: RabbitMQ promises no more than that a commit has happened; here it is atomic.
"""

from isthmus.broker.publishing import Routed
from isthmus.errors import RecordTooLarge
from isthmus.limits import UNIT_BYTES_MAX
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.errors import Code, Refused, refused
from isthmus.protocols.amqp.handlers.acks import How, add, by_queue, let_go
from isthmus.protocols.amqp.handlers.channel import Channel, Given
from isthmus.protocols.amqp.handlers.publish import Run


class Transaction:
    """What a channel has asked for and not committed."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.settled: list[tuple[int, Given, How]] = []
        self._size = 0

    def grow(self, size: int) -> None:
        """A message of that many bytes comes. Raises Refused when it is more than one unit can be."""
        self._size += size
        if self._size > UNIT_BYTES_MAX // 2:
            text = f"a transaction holds {UNIT_BYTES_MAX // 2} bytes of messages at most; commit earlier"
            raise Refused(Code.PRECONDITION_FAILED, text)

    def settle(self, channel: Channel, tag: int, how: How, *, multiple: bool) -> None:
        """Keep a settling for the commit. Raises Refused for a tag that is not open."""
        rows = channel.unsettled.take_rows(tag, multiple=multiple)
        if rows is None:
            raise Refused(Code.PRECONDITION_FAILED, f"unknown delivery tag {tag}")
        self.settled += [(number, given, how) for number, given in rows]


async def on_select(channel: Channel, asked: m.TxSelect) -> m.TxSelectOk:  # noqa: ARG001 - no arguments
    """Keep what comes until it is committed."""
    if channel.confirms is not None:
        raise Refused(Code.PRECONDITION_FAILED, "cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction()
    return m.TxSelectOk()


async def on_commit(channel: Channel, asked: m.TxCommit) -> m.TxCommitOk:  # noqa: ARG001 - no arguments
    """Let all of it happen, in one unit."""
    transaction = _current(channel)
    channel.transaction = Transaction()
    unit = channel.broker.journal.unit()
    for how in ("ack", "release", "fail", "reject"):
        given = [each for _, each, asked_for in transaction.settled if asked_for == how]
        for queue, leases in by_queue(given).values():
            await add(channel, unit, queue, leases, how)
    # From here to the submit nothing is waited for, so that what was found is what there is.
    routed = [(run, channel.publisher.route(run, unit)) for run in transaction.runs]
    _check_all_taken([each for _, each in routed])
    if unit.changes:
        await unit.submit()
    for run, each in routed:
        if not each.topics:
            channel.publisher.give_back(run)
    let_go(channel, [given for _, given, _ in transaction.settled])
    return m.TxCommitOk()


def _check_all_taken(routed: list[Routed]) -> None:
    """Raises Refused when a queue has refused some of it, so that none of it happens."""
    for each in routed:
        for refusal in each.refused:
            if isinstance(refusal.error, RecordTooLarge):
                raise refused(refusal.error)
            raise Refused(Code.PRECONDITION_FAILED, f"the commit was refused: {refusal.error}")


async def on_rollback(channel: Channel, asked: m.TxRollback) -> m.TxRollbackOk:  # noqa: ARG001 - no arguments
    """Forget all of it: what was settled in it is open again."""
    transaction = _current(channel)
    channel.transaction = Transaction()
    channel.unsettled.restore([(number, given) for number, given, _ in transaction.settled])
    return m.TxRollbackOk()


def _current(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise Refused(Code.PRECONDITION_FAILED, "channel is not transactional")
    return channel.transaction
