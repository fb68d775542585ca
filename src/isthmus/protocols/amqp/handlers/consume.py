"""basic.consume, basic.cancel, basic.get and basic.qos: what is delivered, to whom, and how much of it at once.

A consumer of a channel is a standing consumer of the queue: credit is its prefetch, and what is handed over becomes
frames in one go. Nothing is granted while the peer does not read.

Spec: AMQP 0-9-1 section 1.8.3, RabbitMQ "Consumer Prefetch", "Consumer Priorities", "Consumer Cancel Notify".
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from isthmus.errors import Closed, IsthmusError
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.queue.takers import Consumer
from isthmus.limits import (
    AMQP_CONSUMERS_MAX,
    AMQP_UNSETTLED_MAX,
    AMQP_WINDOW_BYTES,
    AMQP_WINDOW_RECORDS,
    RECORD_BYTES_CEILING,
)
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.channel import UNLIMITED, Allowance
from isthmus.protocols.amqp.codec import deliver_frames, deliver_prefix
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers import replies, streams
from isthmus.protocols.amqp.handlers.acks import let_go
from isthmus.protocols.amqp.handlers.arguments import TYPE
from isthmus.protocols.amqp.handlers.channel import Channel, Given
from isthmus.protocols.amqp.handlers.queues import Found, arguments_of, find
from isthmus.protocols.amqp.handlers.records import key_of, shown, with_headers
from isthmus.protocols.amqp.table import Long
from isthmus.record import Leased

TAG_BYTES = 16


class Consuming:
    """One consumer of a channel."""

    def __init__(self, channel: Channel, tag: str, queue: Queue, *, no_ack: bool, counts: bool) -> None:
        self.tag = tag
        self.queue = queue
        self.no_ack = no_ack
        self.allowance = Allowance(UNLIMITED if no_ack else channel.prefetch, AMQP_WINDOW_RECORDS)
        self._channel = channel
        self._counts = counts
        """Whether what comes again says how often it came."""
        self._prefix = deliver_prefix(tag)
        self._handle: Consumer | None = None

    def start(self, priority: int, lease_ms: int | None) -> None:
        """Take what there is, from now on."""
        channel = self._channel
        self._handle = self.queue.consume(
            self.tag,
            channel.session.id,
            channel.session.principal_id,
            self._deliver,
            priority=priority,
            credit=0,
            max_bytes=AMQP_WINDOW_BYTES,
            lease_ms=lease_ms,
            take=self.no_ack,
            on_end=self._ended,
        )
        self.refill()

    def stop(self) -> None:
        """Take nothing any more; what was delivered stays open."""
        if self._handle is not None:
            self._handle.cancel()
        self._channel.link.shared.forget(self)

    async def finish(self) -> None:
        """The same, when nothing is on its way any more: what is settled cannot go back to its queue."""
        over: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self._handle is not None:
            self._handle.cancel(lambda: over.set_result(None))
            await self._channel.broker.clock.wait(over, None)
        self.stop()

    def refill(self) -> None:
        """Ask for as much as it may have now."""
        handle, channel = self._handle, self._channel
        if handle is None or handle.ended:
            return
        if channel.link.is_full or not channel.flows:
            channel.link.when_free(self.refill)
            return
        change = self.allowance.change(self._room())
        if change:
            handle.grant(change)

    def _room(self) -> int:
        """How much its channel has room for."""
        channel = self._channel
        if self.no_ack:
            return AMQP_WINDOW_RECORDS
        room = AMQP_UNSETTLED_MAX - len(channel.unsettled)
        if channel.shared_prefetch:
            room = min(room, channel.shared_prefetch - channel.held)
        return room

    # ---- the queue's side -----------------------------------------------------------------------------------------

    def _deliver(self, found: list[Leased]) -> None:
        """Write down what was handed over, and send it."""
        channel = self._channel
        if channel.closing or channel.link.gone:
            return
        if channel.shared_prefetch and not self.no_ack:
            found = self._within(found)
        self.allowance.given(len(found), settled=self.no_ack)
        if not self.no_ack:
            channel.held += len(found)
        channel.link.send(b"".join([self._frames(leased) for leased in found]))
        if channel.shared_prefetch:
            for other in channel.consumers.values():
                other.refill()
        elif self.allowance.limit == UNLIMITED:
            self.refill()

    def _frames(self, leased: Leased) -> bytes:
        channel, lease, stored = self._channel, leased.lease, leased.record
        exchange, properties = shown(stored.headers)
        again = lease.acquired > 1
        if again and self._counts:
            properties = with_headers(properties, counted(leased))
        unsettled = channel.unsettled
        tag = unsettled.skip() if self.no_ack else unsettled.add(Given(self.queue, lease, self))
        return deliver_frames(
            channel.number, self._prefix, tag, again, exchange, key_of(stored), properties, stored.value or b"",
            channel.link.frame_bytes_max,
        )  # fmt: skip

    def _within(self, found: list[Leased]) -> list[Leased]:
        """What the channel's shared prefetch leaves of a hand-over: several consumers may be given at once."""
        room = max(0, self._channel.shared_prefetch - self._channel.held)
        surplus = found[room:]
        if not surplus:
            return found
        self.allowance.free -= len(surplus)
        unit = self._channel.broker.journal.unit()
        self.queue.release(unit, [each.lease for each in surplus], reason="above the prefetch")
        if unit.changes:
            # Whoever asks next how many are ready finds these among them.
            self._channel.began(unit.submit())
        return found[:room]

    def _ended(self, error: IsthmusError) -> None:
        """The queue is gone, or cannot be read: clients that know of it are told."""
        channel = self._channel
        channel.consumers.pop(self.tag, None)
        channel.link.shared.forget(self)
        if not isinstance(error, Closed):
            channel.fail(Refused(Code.INTERNAL_ERROR, str(error)))
        elif channel.link.can("consumer_cancel_notify"):
            channel.tell(m.BasicCancel(self.tag, nowait=True))


def counted(leased: Leased) -> dict[str, Any]:
    """How often a message was handed out before, and how often it failed."""
    counts: dict[str, Any] = {"x-acquired-count": Long(leased.lease.acquired - 1)}
    if leased.lease.failed:
        counts["x-delivery-count"] = Long(leased.lease.failed)
    return counts


# ---- consumers ----------------------------------------------------------------------------------------------------


async def on_consume(channel: Channel, asked: m.BasicConsume) -> None:
    """Begin to consume; the answer leaves before the first delivery."""
    tag = asked.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(TAG_BYTES)}"
    if tag in channel.consumers or replies.has_tag(channel, tag):
        raise Refused(Code.NOT_ALLOWED, f"attempt to reuse consumer tag '{tag}'")
    if len(channel.consumers) >= AMQP_CONSUMERS_MAX:
        raise Refused(Code.RESOURCE_ERROR, f"{AMQP_CONSUMERS_MAX} consumers are the most that a channel has here")
    if asked.queue == replies.PSEUDO_QUEUE:
        replies.consume(channel, asked, tag)
        return
    found = find(channel, asked.queue)
    if found.queue is None:
        await streams.consume(channel, asked, tag, found)
        return
    channel.link.check("consume", "queue", found.name)
    _start(channel, asked, tag, found, found.queue)


def _start(channel: Channel, asked: m.BasicConsume, tag: str, found: Found, queue: Queue) -> None:
    link = channel.link
    holder = link.shared.exclusive.get(queue.id)
    if holder is not None or (asked.exclusive and queue.consumers):
        raise Refused(Code.ACCESS_REFUSED, f"queue '{found.name}' in vhost '{link.vhost}' in exclusive use")
    priority = asked.arguments.get("x-priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise Refused(Code.PRECONDITION_FAILED, f"invalid arg 'x-priority' for queue '{found.name}': it is no number")
    counts = arguments_of(found).get(TYPE) == "quorum"
    consuming = Consuming(channel, tag, queue, no_ack=asked.no_ack, counts=counts)
    channel.consumers[tag] = consuming
    if asked.exclusive:
        link.shared.exclusive[queue.id] = consuming
    if not asked.nowait:
        channel.tell(m.BasicConsumeOk(tag))
    consuming.start(priority, queue.config.lease_ms if counts else None)


async def on_cancel(channel: Channel, asked: m.BasicCancel) -> m.BasicCancelOk:
    """End a consumer; one that is not there is ended already."""
    consuming = channel.consumers.pop(asked.consumer_tag, None)
    if isinstance(consuming, Consuming):
        await consuming.finish()
        # Its queue may end with it, and then is gone when that is answered.
        await channel.broker.endings.quiet(consuming.queue.id)
    elif consuming is not None:
        consuming.stop()
    else:
        replies.cancel(channel, asked.consumer_tag)
    return m.BasicCancelOk(asked.consumer_tag)


async def on_qos(channel: Channel, asked: m.BasicQos) -> m.BasicQosOk:
    """How much may be open: of each consumer that begins later, or of the channel."""
    if asked.prefetch_size:
        raise Refused(Code.NOT_IMPLEMENTED, f"prefetch_size!=0 ({asked.prefetch_size})")
    if asked.everywhere:
        channel.shared_prefetch = asked.prefetch_count
        for consuming in channel.consumers.values():
            consuming.refill()
    else:
        channel.prefetch = asked.prefetch_count
    return m.BasicQosOk()


# ---- one at a time ------------------------------------------------------------------------------------------------


async def on_get(channel: Channel, asked: m.BasicGet) -> m.BasicGetEmpty | None:
    """One message, or that there is none."""
    found = find(channel, asked.queue)
    channel.link.check("consume", "queue", found.name)
    queue = found.queue
    if queue is None:
        raise Refused(Code.NOT_IMPLEMENTED, f"basic.get from the stream '{found.name}'; consume it")
    if queue.config.single and arguments_of(found).get(TYPE) == "quorum":
        raise Refused(
            Code.RESOURCE_LOCKED,
            f"cannot obtain access to queue '{found.name}' in vhost '{channel.link.vhost}': it has a single active"
            " consumer",
        )
    if len(channel.unsettled) >= AMQP_UNSETTLED_MAX:
        raise Refused(Code.RESOURCE_ERROR, f"{AMQP_UNSETTLED_MAX} open deliveries are the most of a channel here")
    session = channel.session
    leased = await queue.lease("basic.get", session.id, session.principal_id, 1, RECORD_BYTES_CEILING, None, 0)
    if not leased:
        return m.BasicGetEmpty()
    await _got(channel, found, queue, leased, no_ack=asked.no_ack)
    return None


async def _got(channel: Channel, found: Found, queue: Queue, leased: Sequence[Leased], *, no_ack: bool) -> None:
    one = leased[0]
    if channel.closing:
        return
    exchange, properties = shown(one.record.headers)
    again = one.lease.acquired > 1
    if again and arguments_of(found).get(TYPE) == "quorum":
        properties = with_headers(properties, counted(one))
    if no_ack:
        unit = channel.broker.journal.unit()
        queue.ack(unit, [one.lease], principal=channel.session.principal_id)
        channel.began(unit.submit())
        tag = channel.unsettled.skip()
    else:
        tag = channel.unsettled.add(Given(queue, one.lease, None))
    left = queue.counts().ready
    method = m.BasicGetOk(tag, again, exchange, key_of(one.record), left)
    channel.link.give(channel.number, method, properties, one.record.value or b"")


def stop_all(channel: Channel) -> None:
    """The channel ends: its consumers take nothing any more."""
    for consuming in channel.consumers.values():
        consuming.stop()
    channel.consumers.clear()
    let_go(channel, [])
