"""What cannot wait for housekeeping's next round: queues in which something is too old or too many, on time.

It keeps one timer for all queues and asks housekeeping to do what is due; it decides nothing about records.
"""

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from isthmus.errors import StorageError
from isthmus.lenses.queue.queue import Queue

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker
    from isthmus.clock import Timer

AGAIN_MS: Final = 1_000
"""When a queue is looked at again that had something to do which could not be done."""

STALL_MS: Final = 100
"""A timer that is later than this was kept waiting by the event loop, and so were others' renewals of leases."""


class Dues:
    """See the module text. Times are milliseconds of the monotonic clock.

    Invariant:
        D1: the timer is set for the earliest time of any queue, unless the work is going on, which sets it anew.
    """

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._at: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []
        self._timer: Timer | None = None
        self._timer_ms = 0
        self._work: asyncio.Task[None] | None = None
        self._open = False

    def start(self) -> None:
        """Look at every queue once, and whenever one is due from now on."""
        self._open = True
        for queue in self._broker.catalog.queues.values():
            self._ask_again(queue)

    async def stop(self) -> None:
        """Do nothing any more; raises what it ended with, if that was a bug."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        task, self._work = self._work, None
        if task is None:
            return
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
        except StorageError:
            # The journal is poisoned and has told everybody who waited.
            return

    def at(self, queue_id: int, at_ms: int) -> None:
        """A queue has something to do at that time; an earlier one that is known stays."""
        known = self._at.get(queue_id)
        if not self._open or (known is not None and known <= at_ms):
            return
        self._at[queue_id] = at_ms
        heapq.heappush(self._heap, (at_ms, queue_id))
        self._arm()

    def _arm(self) -> None:
        if self._work is not None or not self._heap:
            return
        at_ms = self._heap[0][0]
        if self._timer is not None:
            if self._timer_ms <= at_ms:
                return
            self._timer.cancel()
        self._timer_ms = at_ms
        self._timer = self._broker.clock.timer(at_ms, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if not self._open:
            return
        self._work = asyncio.get_running_loop().create_task(self._run(), name="isthmus-dues")

    async def _run(self) -> None:
        """Do what is due until nothing is; a failure of the disk ends it, and says so elsewhere."""
        clock = self._broker.clock
        with clock.busy("queues that are due"):
            while self._heap and self._heap[0][0] <= clock.monotonic_ms():
                at_ms, queue_id = heapq.heappop(self._heap)
                queue = self._broker.catalog.queues.get(queue_id)
                if self._at.get(queue_id) == at_ms:
                    del self._at[queue_id]
                    if queue is not None:
                        late_ms = clock.monotonic_ms() - at_ms
                        await self._look(queue, late_ms if late_ms > STALL_MS else 0)
        self._work = None
        self._arm()

    async def _look(self, queue: Queue, grace_ms: int) -> None:
        before = queue.settled_count
        await self._broker.housekeeping.expire(queue, grace_ms=grace_ms)
        self._ask_again(queue, progress=queue.settled_count > before)

    def _ask_again(self, queue: Queue, *, progress: bool = True) -> None:
        at_ms, now_ms = queue.next_end_ms(), self._broker.clock.monotonic_ms()
        if at_ms is not None and at_ms <= now_ms and not progress:
            at_ms = now_ms + AGAIN_MS
        if at_ms is not None and not queue.surveyed:
            # It was looked at in part, and ends sooner may come to light.
            at_ms = now_ms
        if at_ms is not None:
            self.at(queue.id, at_ms)
