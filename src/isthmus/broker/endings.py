"""Queues that end by themselves: when their last consumer goes, or when nobody has used them for as long as they say.

It watches queues that are defined so and removes them as a request would; when one was last used, queues know
themselves.
"""

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from isthmus.broker import definitions
from isthmus.errors import RequestError, StorageError
from isthmus.lenses.queue.queue import Queue

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker
    from isthmus.clock import Timer

log = logging.getLogger("isthmus.broker")


class Endings:
    """See the module text.

    What was used when is not kept on the disk: after an opening every time begins anew, and a queue waits for a
    consumer again before it ends with its last one.

    Invariants:
        N1: a queue that has not had a consumer since the opening is not removed for having none.
        N2: of a queue at most one removal is on its way, and none while it has a consumer.
    """

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._timers: dict[int, Timer] = {}
        self._had_consumer: set[int] = set()
        self._going: dict[int, asyncio.Task[None]] = {}
        self._open = False

    def start(self) -> None:
        """Watch every queue, and those that are made from now on."""
        self._open = True
        self._broker.catalog.on_queue = self._watch
        for queue in self._broker.catalog.queues.values():
            queue.touch()
            self._watch(queue)

    async def stop(self) -> None:
        """End nothing any more; what is on its way is waited for."""
        self._open = False
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*self._going.values())

    async def quiet(self, queue_id: int) -> None:
        """Wait until a queue that is ending has ended."""
        going = self._going.get(queue_id)
        if going is not None:
            await going

    # ---- watching -------------------------------------------------------------------------------------------------

    def _watch(self, queue: Queue) -> None:
        """A queue is there, is configured otherwise than before, or is closed."""
        if queue.closed or not self._open:
            self._unset(queue.id)
            self._had_consumer.discard(queue.id)
            return
        ends = queue.config.auto_remove or queue.config.expires_ms is not None
        queue.on_consumers = partial(self._consumers_changed, queue) if ends else None
        if ends and queue.consumers:
            self._had_consumer.add(queue.id)
        self._set(queue)

    def _consumers_changed(self, queue: Queue, count: int) -> None:
        if count:
            self._had_consumer.add(queue.id)
            return
        queue.touch()
        if queue.config.auto_remove and queue.id in self._had_consumer:
            self._end(queue)
        self._set(queue)

    def _set(self, queue: Queue) -> None:
        """Look at a queue again when it has been unused for long enough, if it stays so."""
        self._unset(queue.id)
        expires_ms = queue.config.expires_ms
        if expires_ms is not None and self._open:
            ring = partial(self._ring, queue)
            self._timers[queue.id] = self._broker.clock.timer(queue.used_ms + expires_ms, ring)

    def _unset(self, queue_id: int) -> None:
        timer = self._timers.pop(queue_id, None)
        if timer is not None:
            timer.cancel()

    def _ring(self, queue: Queue) -> None:
        if queue.consumers or queue.waiting:
            queue.touch()
        expires_ms = queue.config.expires_ms
        if expires_ms is not None and queue.used_ms + expires_ms <= self._broker.clock.monotonic_ms():
            self._end(queue)
            queue.touch()  # if it cannot be removed, it is tried again after that time
        self._set(queue)

    # ---- ending ---------------------------------------------------------------------------------------------------

    def _end(self, queue: Queue) -> None:
        """Begin to remove it. Not at once: who is told may be in the midst of ending the session that used it."""
        if self._open and queue.id not in self._going:
            task = asyncio.get_running_loop().create_task(self._remove(queue), name="isthmus-ending")
            self._going[queue.id] = task
            task.add_done_callback(lambda _: self._going.pop(queue.id, None))

    async def _remove(self, queue: Queue) -> None:
        catalog = self._broker.catalog
        with self._broker.clock.busy("a queue that ends"):
            declared = catalog.queue_sets.get(queue.id)
            if declared is None:
                return
            await self._broker.quiet("topic", declared.namespace, declared.name)
            topic = catalog.topics.get(declared.topic)
            if topic is None or queue.closed or queue.consumers:
                return
            try:
                gone = definitions.topic_gone(catalog, topic)
                await self._broker.make([("topic", declared.namespace, declared.name)], gone, lambda: None)
            except (RequestError, StorageError) as error:
                log.warning("queue %r should end and does not: %s", queue.name, error)
