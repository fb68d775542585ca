"""What publishers wait for: a disk that is behind or full, and their own share of what may be in flight.

It waits and tells the client that it does; what is published is gathered elsewhere.

Spec: RabbitMQ "Blocked Connection Notifications".
"""

import asyncio
import logging

from isthmus.clock import Timer
from isthmus.errors import IsthmusError
from isthmus.limits import AMQP_BLOCKED_MS, DISK_RETRY_MS
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.link import Link

logger = logging.getLogger("isthmus.amqp")


class Room:
    """The waiting of one connection for one of its channels; its line is woken when that is over."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = link.broker.clock
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._told = False

    @property
    def waits(self) -> bool:
        """Whether publishing has to wait."""
        return self._task is not None

    def is_full(self, channel: Channel) -> bool:
        """Whether the disk has to catch up first: half of what may be in flight is, or it has no room."""
        journal, credit = self._link.broker.journal, channel.session.credit
        return (
            channel.publisher.stuck
            or journal.space.full
            or journal.pending_bytes * 2 > journal.options.pending_bytes_max
            or credit.used_bytes * 2 > credit.limit_bytes
        )

    def wait(self, channel: Channel) -> None:
        """Wait until a channel can publish."""
        if self._task is None:
            self._timer = self._clock.timer(self._clock.monotonic_ms() + AMQP_BLOCKED_MS, self._tell)
            self._task = asyncio.get_running_loop().create_task(self._wait(channel))

    def close(self) -> None:
        """The connection is gone."""
        self._stop_timer()
        if self._task is not None:
            self._task.cancel()

    async def _wait(self, channel: Channel) -> None:
        journal = self._link.broker.journal
        try:
            while journal.space.full and journal.ended is None:
                await self._clock.sleep_until(self._clock.monotonic_ms() + DISK_RETRY_MS)
                self._probe()
            await channel.unstick()
        finally:
            self._task = None
            self._stop_timer()
        if self._told:
            self._told = False
            self._link.tell(0, m.ConnectionUnblocked())
        self._link.line.wake()

    def _probe(self) -> None:
        """Have a disk that was full looked at again."""
        try:
            self._link.broker.journal.admit(1, 0)
        except IsthmusError as error:
            logger.debug("publishing waits: %s", error)

    def _tell(self) -> None:
        """It takes long: say so, where the client knows of it."""
        self._timer = None
        if self._link.can("connection.blocked"):
            self._told = True
            why = "low on disk" if self._link.broker.journal.space.full else "the disk is behind"
            self._link.tell(0, m.ConnectionBlocked(why))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
