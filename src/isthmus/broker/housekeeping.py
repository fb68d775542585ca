"""The background loop: expiry of leases and lives, dead letters, retention, checkpoints, removal of dead segments.

It decides nothing itself: it asks the lenses and the log what is due and puts it into units. A failure of the disk ends
it (the journal is poisoned then and says so to every caller); any other error is a bug and is raised at `stop`.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from isthmus.broker import definitions
from isthmus.broker.compacting import Compacting
from isthmus.errors import BeingChanged, Closed, Overloaded, RequestError, StorageError, StorageFull
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.stream.position import Progress
from isthmus.limits import GROUPS_RETURN_MS
from isthmus.log import checkpoint, facts, retention
from isthmus.log.journal import Unit
from isthmus.log.partition import Partition
from isthmus.ranges import RangeSet

log = logging.getLogger("isthmus.broker")

STALL_MS: Final = 100
"""A loop that is later than this was stalled."""

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker
    from isthmus.broker.catalog import Topic


class Housekeeping:
    """See the module text."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.compacting = Compacting(broker)
        self._task: asyncio.Task[None] | None = None
        self._watch = retention.ClockWatch(broker.clock.now_ms(), broker.clock.monotonic_ms())
        self._steady = True

    def start(self) -> None:
        """Begin to look at regular times."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="isthmus-housekeeping")
        self.compacting.start()

    async def stop(self) -> None:
        """End the loop, and that of compaction; raises what it ended with, if that was a bug."""
        await self.compacting.stop()
        task, self._task = self._task, None
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

    async def _run(self) -> None:
        clock, every_ms = self._broker.clock, self._broker.options.housekeeping_ms
        while True:
            due_ms = clock.monotonic_ms() + every_ms
            await clock.sleep_until(due_ms)
            late_ms = clock.monotonic_ms() - due_ms
            # After a stall, renewals that came in meanwhile are heard before leases end.
            grace_ms = late_ms if late_ms > STALL_MS else 0
            with clock.busy("housekeeping"):
                await self.once(grace_ms=grace_ms)

    async def once(self, *, grace_ms: int = 0) -> None:
        """One round of everything; leases that ended at most `grace_ms` ago are left to the next round."""
        broker = self._broker
        steady = self._steady = self._watch.is_steady(broker.clock.now_ms(), broker.clock.monotonic_ms())
        # Most of many queues and topics have nothing to do: they are passed over without a coroutine for each.
        now_ms = broker.clock.monotonic_ms()
        for queue in [queue for queue in broker.catalog.queues.values() if queue.is_due(now_ms)]:
            await self.expire(queue, grace_ms=grace_ms, steady=steady)
        if steady:
            for topic in [topic for topic in broker.catalog.topics.values() if topic.has_records()]:
                await self.trim(topic)
            await self.forget_groups()
        await self.forget_exchanges()
        if broker.journal.checkpoint_due:
            await checkpoint.take(broker.journal)
        try:
            # On a full disk the journal does not grow until a checkpoint is due: what is dead has to go without.
            await self.sweep(force=broker.journal.space.full)
        except (StorageFull, Overloaded) as error:
            log.warning("what is dead on a full disk stays for now: %s", error)

    async def expire(self, queue: Queue, *, grace_ms: int = 0, steady: bool | None = None) -> None:
        """Do what time asks of a queue, and bury its dead. What is refused stays as it is and is tried again.

        `steady` is whether the wall clock can be trusted, by default what the last round found.
        """
        if not queue.is_due(self._broker.clock.monotonic_ms()):
            return
        steady = self._steady if steady is None else steady
        unit = self._broker.journal.unit()
        try:
            died = await queue.expire(unit, grace_ms=grace_ms, steady=steady)
            self._broker.bury(unit, queue, died)
            if unit.changes:
                await unit.submit()
        except (RequestError, Closed) as error:
            # A trim came between, the queue was removed meanwhile, or its dead letters have nowhere to go.
            log.warning("queue %r: %s", queue.name, error)

    async def trim(self, topic: "Topic") -> int:
        """Move the log starts of a topic up as its retention says; returns how many offsets went."""
        gone = 0
        for partition in topic.partitions:
            consumed_to = self._consumed_to(topic, partition) if topic.set.config.consumed else None
            now_ms = self._broker.clock.now_ms()
            decision = await retention.new_log_start(
                partition, topic.set.config, now_ms=now_ms, consumed_to=consumed_to
            )
            if decision is not None and decision.log_start > partition.log_start:
                gone += decision.log_start - partition.log_start
                await self._trim_to(topic, partition, decision)
        return gone

    def _consumed_to(self, topic: "Topic", partition: Partition) -> int | None:
        """Below it every declared reader is done; None while nobody has declared to read."""
        _, queues = self._broker.catalog.readers(topic)
        floors = [queue.floor(partition) for queue in queues]
        floors += [progress.floor for progress in self._groups_in(topic, partition)]
        return min(floors) if floors else None

    def _groups_in(self, topic: "Topic", partition: Partition) -> Iterator[Progress]:
        """The positions of the groups that hold a partition's events."""
        broker = self._broker
        groups, _ = broker.catalog.readers(topic)
        uptime_ms = broker.clock.monotonic_ms() - broker.opened_ms
        silent_ms = topic.set.config.silent_ms
        for group in groups:
            progress = group.progress(partition)
            if progress is not None and not group.is_silent(broker.clock.now_ms(), uptime_ms, silent_ms):
                yield progress

    def finished(self, topic: "Topic", partition: Partition) -> RangeSet:
        """What every declared reader is done with, also above the lowest of their floors."""
        _, queues = self._broker.catalog.readers(topic)
        start, end = partition.log_start, partition.high_watermark
        sets = [queue.settled(partition) for queue in queues]
        sets += [RangeSet([(start, each.floor), *each.done]) for each in self._groups_in(topic, partition)]
        finished = RangeSet([(start, end)] if sets else [])
        for one in sets:
            for first, last in one.gaps(start, end):
                finished.discard(first, last)
        return finished

    async def _trim_to(self, topic: "Topic", partition: Partition, decision: retention.Decision) -> None:
        unit = self._broker.journal.unit()
        self.add_trim(unit, topic, partition, decision)
        await unit.submit()

    def add_trim(self, unit: Unit, topic: "Topic", partition: Partition, decision: retention.Decision) -> None:
        """Add a trim to a unit, with what it means for the queues on the topic."""
        broker = self._broker
        _, queues = broker.catalog.readers(topic)
        for queue in queues:
            queue.trimmed(unit, partition, decision.log_start)
        unit.fact(facts.Trimmed(partition.id, decision.log_start, decision.reason, broker.clock.now_ms()))

    async def forget_groups(self) -> int:
        """Remove the groups that are made to expire and that nobody uses any more; returns how many.

        After an opening members get a day to return: who they were is not in the store.
        """
        broker, now_ms = self._broker, self._broker.clock.now_ms()
        kept_ms = broker.options.groups_kept_ms
        if broker.clock.monotonic_ms() - broker.opened_ms < min(kept_ms, GROUPS_RETURN_MS):
            return 0
        gone = [group for group in broker.catalog.groups.values() if group.has_expired(now_ms, kept_ms)]
        for group in gone:
            try:
                await broker.forget_group(group)
            except BeingChanged as error:
                log.info("group %r: %s", group.name, error)
        return len(gone)

    async def forget_exchanges(self) -> None:
        """Remove the exchanges that lost their last binding while several requests were on their way."""
        gone = definitions.left_empty(self._broker.catalog)
        if gone:
            unit = self._broker.journal.unit()
            for fact in gone:
                unit.fact(fact)
            await unit.submit()

    async def sweep(self, *, force: bool = False) -> int:
        """Remove segments that are wholly dead and covered by both checkpoints; returns the bytes.

        Args:
            force: seal the active segment if it is dead, however small, and take the checkpoints that removal waits
                for.
        """
        journal = self._broker.journal
        if force or retention.active_is_dead(journal):
            await retention.seal_dead_active(journal)
        dead = await journal.run(lambda: retention.dead_segments(journal))
        if not dead:
            return 0
        if force:
            await checkpoint.take(journal)
            await checkpoint.take(journal)
        removable = await journal.run(lambda: retention.removable(journal))
        return await retention.remove(journal, removable)
