"""One open channel: its session, what it remembers, and what waits for the disk on its behalf.

It holds the state that the handlers of methods share; what a method means is in their files.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from isthmus.broker.broker import Broker
from isthmus.errors import IsthmusError
from isthmus.lenses.queue.queue import Queue
from isthmus.limits import AMQP_STUCK_MS
from isthmus.log.pending import Pending
from isthmus.protocols.amqp.channel import Allowance, Confirms, Unsettled
from isthmus.protocols.amqp.errors import Refused
from isthmus.protocols.amqp.handlers.link import Link
from isthmus.protocols.amqp.methods import Method
from isthmus.record import Lease

if TYPE_CHECKING:
    from isthmus.protocols.amqp.handlers.acks import Settler
    from isthmus.protocols.amqp.handlers.publish import Publisher
    from isthmus.protocols.amqp.handlers.transactions import Transaction

logger = logging.getLogger("isthmus.amqp")


class Taker(Protocol):
    """A consumer of a channel, of a queue or of a stream."""

    tag: str
    allowance: Allowance

    def refill(self) -> None:
        """Deliver, or ask for, as much as it may have now."""

    def stop(self) -> None:
        """Take nothing any more; what was delivered stays open."""


class Given(NamedTuple):
    """A delivery that waits to be settled: of which queue, by which lease, to which consumer (None: it was got).

    A delivery of a stream has no queue and no lease: settling it only makes room.
    """

    queue: Queue | None
    lease: Lease | None
    consumer: Taker | None


class Channel:
    """See the module text.

    Args:
        link: of its connection.
        number: of the channel.
        fail: what is done about a refusal that comes later than its method.
    """

    publisher: "Publisher"
    settler: "Settler"

    def __init__(self, link: Link, number: int, fail: Callable[["Channel", Refused, Method | None], None]) -> None:
        self.link = link
        self.number = number
        self.session = link.broker.session(link.session.principal)
        self.session.namespace = link.namespace
        self.unsettled: Unsettled[Given] = Unsettled()
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.consumers: dict[str, Taker] = {}
        self.prefetch = 0
        self.shared_prefetch = 0
        self.held = 0
        """Deliveries to consumers that are not settled, which the shared prefetch counts."""
        self.flows = True
        self.last_queue = ""
        self.backlog: deque[tuple[Any, int]] = deque()
        """Each with its bytes."""
        self.backlog_bytes = 0
        self.task: asyncio.Task[None] | None = None
        self.closing = False
        self._fail = fail
        self._last: Pending[Any] | None = None
        self._owes_sync = False
        self._called = False

    @property
    def broker(self) -> Broker:
        """The broker."""
        return self.link.broker

    @property
    def namespace(self) -> str:
        """Where its names live."""
        return self.link.namespace

    def tell(self, method: Method) -> None:
        """Send a method on this channel."""
        self.link.tell(self.number, method)

    def fail(self, error: Refused, method: Method | None = None) -> None:
        """Something that was begun before has failed: the channel or the connection closes."""
        self._fail(self, error, method)

    def touch(self) -> None:
        """Something was gathered: begin it at the end of the slice at the latest."""
        if not self._called:
            self._called = True
            # Before the journal gives what it keeps to the commit: what the connections of a turn gather is one commit.
            if not self.broker.journal.at_release(self._called_back):
                asyncio.get_running_loop().call_soon(self._called_back)

    def _called_back(self) -> None:
        self._called = False
        self.flush()

    def flush(self) -> None:
        """Begin what was gathered: publishes, then settlings."""
        if not self.link.gone:
            self.publisher.flush()
            self.settler.flush()

    def began(self, pending: Pending[Any], *, synced: bool = True) -> None:
        """A unit of this channel is on its way; those before it are durable before it.

        One that is not `synced` is only written when it is done: `quiet` sees to the rest.
        """
        self._last = pending
        self._owes_sync = self._owes_sync or not synced

    async def unstick(self) -> None:
        """Wait until what was gathered can be published, and publish it.

        A disk that is nearly full may refuse it all the same: then it is asked again after a while.
        """
        await self.broker.journal.room()
        await self.session.credit.wait()
        self.flush()
        if self.publisher.stuck:
            clock = self.broker.clock
            await clock.sleep_until(clock.monotonic_ms() + AMQP_STUCK_MS)

    async def quiet(self) -> None:
        """Wait until what the channel has begun is durable, or has failed, of which others hear."""
        while self.publisher.stuck:
            await self.unstick()
        while (last := self._last) is not None and not last.done:
            try:
                await last
            except IsthmusError as error:
                logger.debug("what a channel had begun has failed: %s", error)
        if self._owes_sync:
            self._owes_sync = False
            try:
                await self.broker.journal.flush()
            except IsthmusError as error:
                logger.debug("what a channel had begun is not durable: %s", error)
