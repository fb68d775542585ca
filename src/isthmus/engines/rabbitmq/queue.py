"""A consumer of a RabbitMQ queue, as a source of the port.

RabbitMQ hands out, redelivers and takes acknowledgements by itself; what it does not know is kept here: leases that
end, delays, failures with their reasons, limits. A failed event goes back as a copy that says how often it failed.

Theory of operation
-------------------
A message is unacknowledged from its arrival to its end here: ready, early (it has to wait a little), or out under a
lease. Whoever receives says how many he wants, and so many are let in. When the channel breaks all of it is stale, and
RabbitMQ hands it out again.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from aiormq.abc import DeliveredMessage
from msgspec import Struct

from isthmus.broker import redrive
from isthmus.clock import Clock, Timer, wait_own
from isthmus.definition import QueueDefinition
from isthmus.engines.base import Received
from isthmus.engines.rabbitmq.catalog import COUNTS_FAILURES
from isthmus.engines.rabbitmq.delays import Delays
from isthmus.engines.rabbitmq.feed import Feed
from isthmus.engines.rabbitmq.letters import opened
from isthmus.engines.rabbitmq.link import FAILURES, Link
from isthmus.engines.rabbitmq.messages import RETURNED, Sent, identity_of, number, returns_of, sent, table_of
from isthmus.engines.shared import marks
from isthmus.engines.shared.pieces import size_of
from isthmus.errors import InvalidArgument, IsthmusError, LeaseLost
from isthmus.record import Record, StoredRecord

logger = logging.getLogger(__name__)

PREFETCH_MAX: Final = 10_000
EARLY_MAX: Final = 2_000
"""Messages that may wait here to become due; above it they are sent to wait elsewhere."""


class Held(Struct, frozen=True, eq=False):
    """A message that is unacknowledged: the token of a `Received` while it is out.

    `acquired` counts hand-overs before the next one, `failed` failures.
    """

    message: DeliveredMessage
    record: StoredRecord
    origin: marks.Origin
    acquired: int
    failed: int

    @property
    def is_stale(self) -> bool:
        """Whether its channel is gone, and with it our right to it."""
        return self.message.channel.is_closed


class QueueSource:
    """See the module. One loop; `receive` by one task at a time."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        definition: QueueDefinition,
        delays: Delays,
        produce: Callable[[str, Sequence[Record]], Awaitable[object]],
    ) -> None:
        self._link = link
        self._clock = clock
        self.queue = definition.name
        self._config = definition.config
        self._delays = delays
        self._produce = produce
        starved = None if definition.config.single else self._is_starved
        self._feed = Feed(
            link, clock, self.queue, deliver=self._arrived, broken=self._lost, ended=self._end, starved=starved
        )
        self._begun = False
        self._ready: deque[Held] = deque()
        self._early: dict[Held, Timer] = {}
        self._out: set[Held] = set()
        self._leases: dict[Held, Timer] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._grown: asyncio.Future[object] | None = None
        self._error: IsthmusError | None = None
        self._closed = False
        self.on_close: Callable[[], None] | None = None

    async def close(self) -> None:
        """Stop, and wake a waiting `receive`: what is still here goes back to the queue at once."""
        if self._closed:
            return
        self._closed = True
        self._wake()
        for task in self._work:
            task.cancel()
        self._lost()
        await self._feed.close()
        if self.on_close is not None:
            self.on_close()

    # ---- arriving ---------------------------------------------------------------------------------------------------

    def _arrived(self, message: DeliveredMessage) -> None:
        record = opened(message, self.queue, identity_of(message))
        origin = marks.origin_of(record, self.queue, 0)
        lost = number(table_of(message).get(RETURNED)) if self._link.version >= COUNTS_FAILURES else 0
        acquired = max(origin.acquired, origin.failed) + returns_of(message)
        self._ready.append(Held(message, record, origin, acquired, origin.failed + lost))
        self._wake()

    def _lost(self) -> None:
        """All that was here is somebody else's now."""
        for timer in (*self._early.values(), *self._leases.values()):
            timer.cancel()
        for kept in (self._ready, self._early, self._leases, self._out):
            kept.clear()

    def _end(self, error: IsthmusError) -> None:
        self._error = error
        self._lost()
        self._wake()

    async def _is_starved(self) -> bool:
        if self._ready or len(self._out) + len(self._early) >= self._feed.prefetch:
            return False
        queue = self.queue
        declared = await self._link.ask(lambda channel: channel.queue_declare(queue, passive=True), queue)
        return bool(declared.message_count)

    # ---- receiving --------------------------------------------------------------------------------------------------

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Deliveries, in the order in which RabbitMQ has them."""
        if max_events < 1:
            raise InvalidArgument("max_events", f"{max_events} is less than one")
        until_ms = self._clock.monotonic_ms() + wait_ms
        while self._is_open():
            await self._let_in(max_events)
            await self._gather(max_events)
            found = await self._take(max_events, max_bytes)
            if found or self._clock.monotonic_ms() >= until_ms or not self._is_open():
                return found
            if not self._ready:
                self._grown = asyncio.get_running_loop().create_future()
                await wait_own(self._clock, self._grown, until_ms)
        return []

    def _is_open(self) -> bool:
        """Whether there may be more. Raises what ended it."""
        if self._error is not None:
            raise self._error
        return not self._closed

    async def _let_in(self, max_events: int) -> None:
        wanted = min(PREFETCH_MAX, len(self._out) + len(self._early) + max_events)
        if self._begun:
            await self._feed.want(wanted)
        else:
            self._begun = True
            await self._feed.begin(wanted)

    async def _gather(self, max_events: int) -> None:
        """What comes with the first one comes in the next turns of the loop, one by one."""
        seen = 0
        while seen < len(self._ready) < max_events:
            seen = len(self._ready)
            await asyncio.sleep(0)

    async def _take(self, max_events: int, max_bytes: int) -> list[Received]:
        now_ms, left_bytes = self._clock.now_ms(), max_bytes
        found: list[Received] = []
        while self._ready and len(found) < max_events:
            size = size_of((self._ready[0].record,))
            if found and size > left_bytes:
                break
            held = self._ready.popleft()
            if await self._admits(held, now_ms):
                left_bytes -= size
                found.append(self._hand_out(held))
        return found

    async def _admits(self, held: Held, now_ms: int) -> bool:
        """Whether a message may go out now; one that is over is done, an early one waits, one too often lost dies."""
        limit = self._config.failed_max
        if held.is_stale:
            return False
        if marks.is_over(held.record, now_ms, self._config.ttl_ms):
            await self._acknowledge(held)
            return False
        if held.failed > held.origin.failed and limit is not None and held.failed >= limit:
            await self._bury(held, "its consumers were lost", "", held.failed)
            return False
        wait_ms = marks.due_of(held.record) - now_ms
        if wait_ms > 0:
            await self._keep(held, wait_ms)
            return False
        return True

    async def _keep(self, held: Held, wait_ms: int) -> None:
        """Let a message wait: here when it is not long, else in a queue for that."""
        if self._delays.is_near(wait_ms) and len(self._early) < EARLY_MAX:
            at_ms = self._clock.monotonic_ms() + wait_ms
            self._early[held] = self._clock.timer(at_ms, partial(self._ripen, held))
            return
        record = held.record
        copy = Record(record.value, record.key, record.headers, record.timestamp_ms)
        await self._send_again(held, copy, max(wait_ms, 1_000))

    def _ripen(self, held: Held) -> None:
        if self._early.pop(held, None) is not None:
            self._ready.append(held)
            self._wake()

    def _hand_out(self, held: Held) -> Received:
        out = Held(held.message, held.record, held.origin, held.acquired + 1, held.failed)
        lease_ms = self._config.lease_ms
        until_ms = None if lease_ms is None else self._clock.monotonic_ms() + lease_ms
        self._out.add(out)
        self._watch(out, until_ms)
        return Received(marks.bare(out.record), out, self.queue, 0, out.acquired, out.failed, until_ms)

    def _wake(self) -> None:
        if self._grown is not None and not self._grown.done():
            self._grown.set_result(None)

    # ---- leases -----------------------------------------------------------------------------------------------------

    def _watch(self, held: Held, until_ms: int | None) -> None:
        if until_ms is not None:
            self._leases[held] = self._clock.timer(until_ms, partial(self._expire, held))

    def _expire(self, held: Held) -> None:
        if held in self._out:
            self._spawn(self._fail_one(held, 0, "the lease ended"))

    def _end_lease(self, held: Held) -> None:
        """It is out no more."""
        self._out.discard(held)
        timer = self._leases.pop(held, None)
        if timer is not None:
            timer.cancel()

    def _held_of(self, one: Received) -> Held:
        """The message that a token stands for. Raises InvalidArgument, LeaseLost."""
        held = one.token
        if not isinstance(held, Held) or one.topic != self.queue:
            raise InvalidArgument("received", "comes from another source")
        if held not in self._out or held.is_stale:
            raise LeaseLost(self.queue, one.partition, one.stored.offset)
        return held

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Renew leases."""
        found, lost = [], None
        for one in received:
            try:
                held = self._held_of(one)
            except LeaseLost as error:
                lost = error
                continue
            until_ms = self._clock.monotonic_ms() + lease_ms
            self._end_lease(held)
            self._out.add(held)
            self._watch(held, until_ms)
            found.append(Received(one.stored, held, one.topic, 0, one.attempt, one.failed, until_ms))
        if lost is not None:
            raise lost
        return found

    # ---- what became of it ------------------------------------------------------------------------------------------

    def check_tokens(self, received: Sequence[Received]) -> None:
        """Whether this source gave them. Raises InvalidArgument."""
        for one in received:
            if not isinstance(one.token, Held) or one.topic != self.queue:
                raise InvalidArgument("received", "comes from another source")

    def check(self, received: Sequence[Received]) -> None:
        """Raise what `finish` would raise."""
        for one in received:
            self._held_of(one)

    async def finish(self, received: Sequence[Received]) -> None:
        """These are done."""
        for held in [self._held_of(one) for one in received]:
            self._end_lease(held)
            if not await self._acknowledge(held):
                raise LeaseLost(self.queue, 0, held.record.offset)

    async def _acknowledge(self, held: Held) -> bool:
        """Tell RabbitMQ that it is done with; False when it is no longer ours."""
        try:
            await held.message.channel.basic_ack(held.message.delivery_tag or 0, wait=False)
        except FAILURES:
            return False
        return True

    async def _give_back(self, held: Held) -> None:
        with contextlib.suppress(*FAILURES):  # then it has gone back already
            await held.message.channel.basic_nack(held.message.delivery_tag or 0, requeue=True, wait=False)

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each; what reaches its limit dies."""
        for held in [self._held_of(one) for one in received]:
            await self._fail_one(held, delay_ms, reason)

    async def _fail_one(self, held: Held, delay_ms: int, reason: str) -> None:
        self._end_lease(held)
        failed = held.failed + 1
        if self._config.failed_max is not None and failed >= self._config.failed_max:
            await self._bury(held, reason, "", failed)
            return
        await self._repeat(held, failed, delay_ms)

    async def _repeat(self, held: Held, failed: int, delay_ms: int) -> None:
        """Send it again as a copy that says what has become of it so far."""
        origin = marks.Origin(held.origin.cause, failed, held.acquired)
        copy = marks.retried(held.record, origin, self._clock.now_ms() + delay_ms)
        await self._send_again(held, copy, delay_ms)

    async def _send_again(self, held: Held, copy: Record, wait_ms: int) -> None:
        """Publish a copy, then let go of the message."""
        message = sent(copy, self.queue, identity=held.record.offset)
        message = Sent(message.exchange, message.routing_key, message.body, message.properties)
        message.properties.priority = held.message.header.properties.priority
        try:
            await self._link.publish([await self._delays.through(message, wait_ms)], self.queue)
        except IsthmusError:
            await self._give_back(held)
            raise
        await self._acknowledge(held)

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy each to the dead letters, then let go of it."""
        for held in [self._held_of(one) for one in received]:
            self._end_lease(held)
            await self._bury(held, reason, traceback, held.failed + 1)

    async def _bury(self, held: Held, reason: str, traceback: str, failed: int) -> None:
        if self._config.dead is not None:
            letter = redrive.letter(
                marks.bare(held.record),
                cause=held.origin.cause,
                origin=f"{redrive.QUEUE}{self.queue}",
                reason=reason,
                traceback=traceback,
                failed=failed,
                now_ms=self._clock.now_ms(),
            )
            try:
                await self._produce(self._config.dead, [letter])
            except IsthmusError:
                await self._give_back(held)
                raise
        await self._acknowledge(held)

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back without counting a failure; what is no longer ours is passed over."""
        for one in received:
            held = one.token
            if not isinstance(held, Held) or held not in self._out:
                continue
            self._end_lease(held)
            if not delay_ms:
                await self._give_back(held)
            elif self._delays.is_near(delay_ms):
                at_ms = self._clock.monotonic_ms() + delay_ms
                again = Held(held.message, held.record, held.origin, held.acquired, held.failed)
                self._early[again] = self._clock.timer(at_ms, partial(self._ripen, again))
            else:
                await self._repeat(held, held.failed, delay_ms)

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        """Do it beside; what goes wrong with it leaves the message where it is."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, IsthmusError):
            logger.warning("queue %r: %s", self.queue, error)
        elif error is not None:
            raise error
