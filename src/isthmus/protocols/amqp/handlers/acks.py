"""basic.ack, basic.nack, basic.reject and basic.recover: deliveries settled, given back or rejected.

Acknowledgements of a slice are gathered into one unit a queue. A nack that requeues does not count as a failure, a
reject that does counts, as in RabbitMQ 4.3; what is not requeued is rejected, and buried where its queue says so.

basic.ack has no answer, so it is only written at once: it is on disk with the next sync, whoever asks for that, and
before the next answer on its channel, from which a client may conclude that it is final. So a consumer costs no sync
for each round trip.

Spec: AMQP 0-9-1 section 1.8.3, RabbitMQ "Consumer Acknowledgements", "Quorum Queues" (delivery limit).
"""

import logging
from collections.abc import Sequence
from typing import Literal

from isthmus.errors import LeaseLost, RequestError
from isthmus.lenses.queue.queue import Queue
from isthmus.log.unit import Unit
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.channel import Channel, Given, Taker
from isthmus.record import Lease

logger = logging.getLogger("isthmus.amqp")

How = Literal["ack", "release", "fail", "reject"]
"""What becomes of a delivery: done, handed out again, the same but counted as a failure, or dead."""

Rows = dict[int, tuple[Queue, list[Lease]]]
"""Leases by the queue that they are of."""


class Settler:
    """The acknowledgements of one channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._acked: list[Given] = []

    def ack(self, tag: int, *, multiple: bool) -> None:
        """These are done. Raises Refused for a tag that is not open."""
        channel = self._channel
        if channel.transaction is not None:
            channel.transaction.settle(channel, tag, "ack", multiple=multiple)
            return
        self._acked += take(channel, tag, multiple=multiple)
        channel.touch()

    def flush(self) -> None:
        """Settle what was gathered."""
        acked, self._acked = self._acked, []
        if acked:
            for queue, leases in by_queue(acked).values():
                self._settle(queue, leases)
            let_go(self._channel, acked)

    def ack_each(self, tags: Sequence[int]) -> None:
        """The same for many deliveries, each for itself. Raises Refused at the first tag that is not open."""
        channel = self._channel
        if channel.transaction is not None:
            for tag in tags:
                self.ack(tag, multiple=False)
            return
        unknown = channel.unsettled.take_each(tags, self._acked)
        channel.touch()
        if unknown is not None:
            raise Refused(Code.PRECONDITION_FAILED, f"unknown delivery tag {unknown}")

    def _settle(self, queue: Queue, leases: Sequence[Lease]) -> None:
        try:
            self._submit(queue, leases)
        except LeaseLost:
            # One was lost, such as to a purge of its queue: the others are settled without it.
            for lease in leases:
                try:
                    self._submit(queue, [lease])
                except LeaseLost as lost:
                    logger.debug("an acknowledgement came too late: %s", lost)
        except RequestError as error:
            logger.debug("an acknowledgement of a queue that is gone: %s", error)

    def _submit(self, queue: Queue, leases: Sequence[Lease]) -> None:
        channel = self._channel
        unit = channel.broker.journal.unit()
        queue.ack(unit, leases, principal=channel.session.principal_id, level="written")
        channel.began(unit.submit(), synced=False)


def take(channel: Channel, tag: int, *, multiple: bool) -> list[Given]:
    """The deliveries that a tag stands for. Raises Refused when there is none."""
    found = channel.unsettled.take(tag, multiple=multiple)
    if found is None:
        raise Refused(Code.PRECONDITION_FAILED, f"unknown delivery tag {tag}")
    return found


def by_queue(given: Sequence[Given]) -> Rows:
    """Deliveries as leases by queue; those of streams have none."""
    rows: Rows = {}
    for each in given:
        queue = each.queue
        if queue is None or each.lease is None:
            continue
        row = rows.get(queue.id)
        if row is None:
            rows[queue.id] = queue, [each.lease]
        else:
            row[1].append(each.lease)
    return rows


def let_go(channel: Channel, given: Sequence[Given]) -> None:
    """Deliveries are held no longer: their consumers may have more."""
    counts: dict[Taker, int] = {}
    for each in given:
        consumer = each.consumer
        if consumer is not None:
            counts[consumer] = counts.get(consumer, 0) + 1
    for consumer, count in counts.items():
        consumer.allowance.settled(count)
        channel.held -= count
    for consumer in channel.consumers.values() if channel.shared_prefetch else counts:
        consumer.refill()


# ---- what is not done ---------------------------------------------------------------------------------------------


async def on_nack(channel: Channel, asked: m.BasicNack) -> None:
    """Give back, or reject."""
    how: How = "release" if asked.requeue else "reject"
    await _back(channel, asked.delivery_tag, how, multiple=asked.multiple)


async def on_reject(channel: Channel, asked: m.BasicReject) -> None:
    """Give back, which counts as a failure, or reject."""
    how: How = "fail" if asked.requeue else "reject"
    await _back(channel, asked.delivery_tag, how, multiple=False)


async def on_recover(channel: Channel, asked: m.BasicRecover | m.BasicRecoverAsync) -> m.BasicRecoverOk | None:
    """Give back all that is not settled."""
    if not asked.requeue:
        raise Refused(Code.NOT_IMPLEMENTED, "requeue=false")
    await finish(channel, channel.unsettled.clear(), "release")
    return m.BasicRecoverOk() if isinstance(asked, m.BasicRecover) else None


async def _back(channel: Channel, tag: int, how: How, *, multiple: bool) -> None:
    if channel.transaction is not None:
        channel.transaction.settle(channel, tag, how, multiple=multiple)
        return
    await finish(channel, take(channel, tag, multiple=multiple), how)


async def finish(channel: Channel, given: Sequence[Given], how: How) -> None:
    """Settle deliveries that way, in a unit for each queue. What is not held any more is let be."""
    for queue, leases in by_queue(given).values():
        unit = channel.broker.journal.unit()
        try:
            await add(channel, unit, queue, leases, how)
            if unit.changes:
                await unit.submit()
        except RequestError as error:
            logger.debug("deliveries that could not be settled: %s", error)
    let_go(channel, given)


async def add(channel: Channel, unit: Unit, queue: Queue, leases: Sequence[Lease], how: How) -> None:
    """Add what is to become of deliveries of one queue to a unit: what dies of it is buried there."""
    principal = channel.session.principal_id
    match how:
        case "ack":
            queue.ack(unit, leases, principal=principal)
        case "release":
            queue.release(unit, leases, principal=principal)
        case "fail":
            dead = await queue.fail(unit, leases, 0, "delivery_limit", principal=principal)
            channel.broker.bury(unit, queue, dead)
        case "reject":
            dead = await queue.reject(unit, leases, "rejected", principal=principal)
            channel.broker.bury(unit, queue, dead)
