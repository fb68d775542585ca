"""One consumer on a channel of its own: begun again when its channel breaks, and when it has fallen silent.

A consumer can be silent without anybody noticing (RabbitMQ lost it in a failover, or the client dropped its end); so a
watchdog asks now and then whether there is something that ought to have come. It knows nothing of what messages mean.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from isthmus.clock import Clock, Timer
from isthmus.engines.rabbitmq.link import AGAIN_MS, FAILURES, Link
from isthmus.engines.rabbitmq.messages import raised
from isthmus.errors import Closed, IsthmusError, UnknownTopic

logger = logging.getLogger(__name__)

WATCH_MS: Final = 15_000
"""How often the watchdog looks."""

STRIKES: Final = 2
"""So many looks in a row must find a consumer silent that ought not to be."""


class Feed:
    """See the module. One loop.

    Args:
        link: where the broker is.
        clock: of the watchdog.
        queue: what to consume.
        deliver: takes each message, in order.
        broken: is told that what was delivered is no longer ours.
        ended: is told that nothing more will come, and why.
        arguments: of the consumer, asked for each time it begins.
        starved: whether there is something that ought to have come; None is not watched.
        gives_back: whether what is unacknowledged in the end goes back, as with everything but streams.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        queue: str,
        *,
        deliver: Callable[[DeliveredMessage], None],
        broken: Callable[[], None],
        ended: Callable[[IsthmusError], None],
        arguments: Callable[[], Mapping[str, object]] = dict,
        starved: Callable[[], Awaitable[bool]] | None = None,
        gives_back: bool = True,
    ) -> None:
        self._link = link
        self._clock = clock
        self.queue = queue
        self._deliver = deliver
        self._broken = broken
        self._ended = ended
        self._arguments = arguments
        self._starved = starved
        self._gives_back = gives_back
        self._prefetch = 0
        self._channel: Channel | None = None
        self._tag: str | None = None
        self._turn = asyncio.Lock()
        self._work: set[asyncio.Task[None]] = set()
        self._timer: Timer | None = None
        self._delivered = self._seen = self._strikes = 0
        self.restarts = 0
        self.closed = False

    @property
    def prefetch(self) -> int:
        """How many may be unacknowledged."""
        return self._prefetch

    async def begin(self, prefetch: int) -> None:
        """Consume, with so many unacknowledged at once. Raises what keeps it from beginning."""
        self._prefetch = prefetch
        async with self._turn:
            await self._open()
        self._watch()

    async def want(self, prefetch: int) -> None:
        """Let about so many be unacknowledged from now on: more at once, far fewer when that is worth it."""
        if prefetch <= self._prefetch < prefetch * 4 and self._prefetch:
            return
        async with self._turn:
            self._prefetch = prefetch
            channel = self._channel
            if channel is None or channel.is_closed:
                return  # it is being opened again, and then with this
            with contextlib.suppress(*FAILURES):  # the channel breaks, and is opened again with this
                if self._tag is not None:
                    await channel.basic_cancel(self._tag)
                await channel.basic_qos(prefetch_count=prefetch)
                await self._consume(channel)

    async def close(self) -> None:
        """Stop: what is unacknowledged goes back to the queue, uncounted where RabbitMQ knows the difference."""
        if self.closed:
            return
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._work:
            task.cancel()
        channel = self._channel
        if channel is not None and not channel.is_closed:
            with contextlib.suppress(*FAILURES):
                if self._gives_back:
                    if self._tag is not None:  # else it would get what it gives back
                        await channel.basic_cancel(self._tag)
                    await channel.basic_nack(0, multiple=True, requeue=True, wait=False)
                await channel.close()

    # ---- beginning, and beginning again -----------------------------------------------------------------------------

    async def _open(self) -> None:
        channel = self._channel = await self._link.channel(prefetch=self._prefetch)
        channel.closing.add_done_callback(partial(self._gone, channel))
        channel.on_consumer_cancel_callbacks.add(partial(self._cancelled, channel))
        try:
            await self._consume(channel)
        except FAILURES as error:
            raise raised(error, self.queue) from error

    async def _consume(self, channel: Channel) -> None:
        arguments = dict(self._arguments())
        begun = await channel.basic_consume(self.queue, self._got, arguments=arguments)  # type: ignore[arg-type]
        self._tag = begun.consumer_tag

    async def _got(self, message: DeliveredMessage) -> None:
        self._delivered += 1
        if not self.closed and message.channel is self._channel:
            self._deliver(message)

    def _cancelled(self, channel: Channel, _: Basic.Cancel) -> None:
        """RabbitMQ ends the consumer: its queue is gone or moves."""
        if channel is self._channel and not self.closed:
            self.spawn(self._begin_again())

    def _gone(self, channel: Channel, closing: "asyncio.Future[object]") -> None:
        if not closing.cancelled():
            closing.exception()
        if channel is self._channel and not self.closed:
            self.spawn(self._begin_again())

    async def _begin_again(self) -> None:
        async with self._turn:
            channel, self._channel = self._channel, None
            self._broken()
            self.restarts += 1
            if channel is not None and not channel.is_closed:
                with contextlib.suppress(*FAILURES):
                    await channel.close()
            error = await self._try()
        if error is not None and not self.closed:
            self._ended(error)

    async def _try(self) -> IsthmusError | None:
        """Open it again; what kept it from that, in the end."""
        last: IsthmusError = Closed(self.queue)
        for pause_ms in AGAIN_MS:
            try:
                await self._open()
                return None
            except (UnknownTopic, Closed) as error:
                return error
            except IsthmusError as error:
                last = error
                logger.warning("consumer of %r: %s; trying again", self.queue, error)
            await self._link.pause(pause_ms)
        return last

    def spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        """Do it beside, as long as this lasts."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # ---- the watchdog -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._starved is not None and not self.closed:
            self._timer = self._clock.timer(self._clock.monotonic_ms() + WATCH_MS, self._look)

    def _look(self) -> None:
        self._watch()
        if self._delivered != self._seen:
            self._seen, self._strikes = self._delivered, 0
        elif self._channel is not None:
            self.spawn(self._look_closely())

    async def _look_closely(self) -> None:
        if self._starved is None:
            return
        try:
            starved = await self._starved()
        except IsthmusError as error:
            logger.debug("watching the consumer of %r: %s", self.queue, error)
            return
        self._strikes = self._strikes + 1 if starved and self._delivered == self._seen else 0
        if self._strikes >= STRIKES and not self.closed:
            self._strikes = 0
            logger.warning("consumer of %r is silent though there is something for it; it begins again", self.queue)
            await self._begin_again()
