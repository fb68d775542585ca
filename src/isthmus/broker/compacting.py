"""When compaction looks, and at what: the loop beside housekeeping, and what an operator asks for at once.

The log knows how to compact and what it is worth; this file knows which topics are kept by key.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from isthmus.errors import RequestError, StorageError
from isthmus.limits import COMPACT_LOOK_MS
from isthmus.log import checkpoint, retention
from isthmus.log.compaction import Compacted, Compaction, KeyedPartition, is_due
from isthmus.ranges import RangeSet

log = logging.getLogger("isthmus.broker")

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker
    from isthmus.broker.catalog import Topic


class Compacting:
    """See the module text."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._compaction = Compaction(broker.journal, broker.clock)
        self._task: asyncio.Task[None] | None = None
        self._watch = retention.ClockWatch(broker.clock.now_ms(), broker.clock.monotonic_ms())

    def start(self) -> None:
        """Begin to look at regular times."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="isthmus-compaction")

    async def stop(self) -> None:
        """End the loop, and whatever pass is running at its next step; raises what the loop ended with."""
        await self._compaction.stop()
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise

    async def _run(self) -> None:
        clock = self._broker.clock
        every_ms = max(COMPACT_LOOK_MS, self._broker.options.housekeeping_ms)
        while self._broker.journal.ended is None:
            await clock.sleep_until(clock.monotonic_ms() + every_ms)
            try:
                with clock.busy("compaction"):
                    await self.look()
            except (StorageError, RequestError, OSError) as error:
                # A full disk, or one that fails: what was begun is gone, and what counts is as it was.
                log.warning("compaction: %s", error)

    async def look(self) -> Compacted:
        """One pass, over what is worth it now."""
        broker = self._broker
        now_ms = broker.clock.now_ms()
        # A clock that was set wrongly must not make tombstones look old.
        steady = self._watch.is_steady(now_ms, broker.clock.monotonic_ms())
        keyed = self.keyed() if steady else []
        due = await broker.journal.run(lambda: [each for each in keyed if is_due(broker.journal, *each, now_ms)])
        return await self._compaction.once(due, self.finished())

    def keyed(self, topic: "Topic | None" = None) -> list[KeyedPartition]:
        """The partitions that are kept by key, of all topics or of one."""
        topics = list(self._broker.catalog.topics.values()) if topic is None else [topic]
        rows = [(each, each.set.config) for each in topics if each.set.config.compact]
        return [(partition, config) for each, config in rows for partition in each.partitions]

    def finished(self) -> dict[int, RangeSet]:
        """What every reader of a consumed topic is done with, by partition: an old event holds only itself.

        Where young events are kept whatever was read, the log start alone decides.
        """
        found: dict[int, RangeSet] = {}
        for topic in list(self._broker.catalog.topics.values()):
            config = topic.set.config
            if config.consumed and config.floor_ms is None:
                for partition in topic.partitions:
                    finished = self._broker.housekeeping.finished(topic, partition)
                    if finished.end > partition.log_start:
                        found[partition.id] = finished
        return found

    async def everything(
        self, topic: "Topic | None" = None, progress: Callable[[int], None] = lambda _: None
    ) -> Compacted:
        """All that can be had at once: seal what is being written, have it covered by checkpoints, and compact it.

        Args:
            topic: the only one to go through by key; all when it is left out.
            progress: called with bytes read.

        Raises:
            StorageError, RequestError, OSError: what was not finished is as it was.
        """
        broker = self._broker
        if broker.journal.ended is not None:
            raise broker.journal.ended
        if broker.journal.segments[-1].partitions():
            await broker.journal.seal_active()
        await checkpoint.take(broker.journal)
        await checkpoint.take(broker.journal)
        await broker.housekeeping.sweep()
        done = await self._compaction.once(self.keyed(topic), self.finished(), force=True, progress=progress)
        await checkpoint.take(broker.journal)
        return done
