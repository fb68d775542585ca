"""A consumer of a stream group in this process: membership, positions, hand-out and commits of the partitions it owns.

It joins with the library's own assignor, reads ahead of nobody, and turns what became of records into one `Committed`
fact per partition and unit. Revocation is cooperative: a partition that moves is no longer taken from, what runs may
finish, and only then does it go.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from isthmus.broker.publishing import ONLY
from isthmus.errors import (
    OffsetOutOfRange,
    RebalanceInProgress,
    RequestError,
    StaleGeneration,
    UnknownMember,
)
from isthmus.lenses.stream import assignor
from isthmus.lenses.stream.membership import Join, Sync
from isthmus.lenses.stream.offsets import ConsumerGroup, committed
from isthmus.lenses.stream.position import Claim, Position, Progress
from isthmus.limits import FETCH_BYTES_MAX, SHUTDOWN_MS
from isthmus.log import batch as batches
from isthmus.log import format as form
from isthmus.log.headers import header_value
from isthmus.log.journal import Unit
from isthmus.log.partition import BatchAt, Partition
from isthmus.record import StoredRecord

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker

SESSION_MS: Final = 30_000
HEARTBEATS: Final = 3
"""Heartbeats within a session's time."""

StartAt = int | Literal["earliest", "latest"] | tuple[Literal["time"], int]


class Owned:
    """One partition that this member owns, from its assignment until its revocation."""

    __slots__ = ("buffer", "partition", "position", "revoking")

    def __init__(self, partition: Partition, position: Position) -> None:
        self.partition = partition
        self.position = position
        self.buffer: list[tuple[Sequence[StoredRecord], int]] = []
        self.revoking = False


class Member:
    """See the module text. One loop; `receive` by one task at a time."""

    def __init__(self, broker: "Broker", group: ConsumerGroup, namespace: str, topic: str, start: StartAt) -> None:
        self._broker = broker
        self._group = group
        self._namespace = namespace
        self._topic = topic
        self._start = start
        self._clock = broker.clock
        self._id = ""
        self._generation = -1
        self._owned: dict[int, Owned] = {}
        self._order: list[int] = []
        self._rejoin = True
        self._closed = False
        self._changed: asyncio.Future[object] | None = None
        self._unwatch: list[Callable[[], None]] = [broker.coordinator.watch(group, self._asked_to_join)]
        self._beat_ms = 0
        self._beating = False

    # ---- membership ---------------------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Of the group when this member last joined."""
        return self._generation

    def _asked_to_join(self) -> None:
        """A rebalance is under way, and it may be this member that it waits for."""
        if self._id in self._group.members.awaited():
            self._rebalance()

    def _rebalance(self) -> None:
        self._rejoin = True
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    async def _join(self) -> None:
        """Join until the assignment stands; give up what others get first, as soon as it is free."""
        while self._rejoin and not self._closed:
            self._rejoin = False
            await self._give_up_revoked()
            try:
                await self._join_once()
            except UnknownMember:
                self._forget_membership()
            except (RebalanceInProgress, StaleGeneration):
                self._rejoin = True

    def _forget_membership(self) -> None:
        """Others may own our partitions by now: what we hold is stale."""
        self._id, self._generation = "", -1
        self._owned.clear()
        self._order.clear()
        self._rejoin = True

    async def _join_once(self) -> None:
        coordinator = self._broker.coordinator
        owned = tuple((self._topic, index) for index in sorted(self._owned))
        subscription = assignor.Subscription(topics=(self._topic,), owned=owned, generation=self._generation)
        joined = await coordinator.join(
            self._group,
            Join(
                protocol_type=assignor.PROTOCOL_TYPE,
                protocols=((assignor.PROTOCOL, assignor.encode_subscription(subscription)),),
                session_ms=SESSION_MS,
                rebalance_ms=SHUTDOWN_MS * 2,
                member_id=self._id,
            ),
        )
        self._id = joined.member
        plan: dict[str, bytes] = {}
        if joined.leader == joined.member and not joined.skip_assignment:
            topics = {topic.name: len(topic.partitions) for topic in self._broker.catalog.topics.values()}
            plan = assignor.plan({row.member: row.metadata for row in joined.members}, topics)
        ask = Sync(member_id=self._id, generation=joined.generation, assignments=plan)
        synced = await coordinator.sync(self._group, ask)
        self._generation = joined.generation
        self._beat()
        await self._assign([index for _, index in assignor.decode_assignment(synced.assignment)])

    async def _assign(self, indexes: Sequence[int]) -> None:
        partitions = self._broker.topic(self._namespace, self._topic).partitions
        for index in indexes:
            owned = self._owned.get(index)
            if owned is None:
                partition = partitions[index]
                progress = self._group.progress(partition) or await self._declare(partition)
                self._owned[index] = Owned(partition, Position(progress))
                self._unwatch.append(partition.watch(self._wake))
            else:
                owned.revoking = False
        for index, owned in self._owned.items():
            if index not in indexes:
                # Somebody else gets it once we have let go; the next join, without it, tells the leader so.
                owned.revoking = True
                self._rejoin = True
        self._order = list(self._owned)

    async def _declare(self, partition: Partition) -> Progress:
        """The group reads this partition from here on: a durable position, so that it counts as a reader."""
        floor = await self._broker.resolve(partition, self._start)
        progress = Progress(floor, (), ())
        fact = committed(self._group.id, partition, progress, generation=self._generation, now_ms=self._clock.now_ms())
        unit = self._broker.journal.unit()
        unit.fact(fact)
        await unit.submit()
        return progress

    async def _give_up_revoked(self) -> None:
        """Let what runs on revoked partitions finish, for the session at most, then drop them."""
        until_ms = self._clock.monotonic_ms() + min(SHUTDOWN_MS, SESSION_MS)
        for index in [index for index, owned in self._owned.items() if owned.revoking]:
            while self._owned[index].position.busy and self._clock.monotonic_ms() < until_ms:
                self._changed = asyncio.get_running_loop().create_future()
                await self._clock.wait(self._changed, until_ms)
            del self._owned[index]
        self._order = list(self._owned)

    def _beat(self) -> None:
        """Heartbeat three times a session, by one timer."""
        if not self._beating and not self._closed:
            self._beating = True
            at_ms = self._clock.monotonic_ms() + SESSION_MS // HEARTBEATS
            self._clock.timer(at_ms, self._beat_due)

    def _beat_due(self) -> None:
        self._beating = False
        if self._closed or not self._id:
            return
        try:
            self._broker.coordinator.heartbeat(self._group, self._id, self._generation)
        except RequestError:
            self._rebalance()
        self._beat()

    # ---- receiving ----------------------------------------------------------------------------------------------

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[tuple[Owned, StoredRecord]]:
        """Up to `max_events` records, all of one partition; waits up to `wait_ms`; [] when none came or it is closed."""
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._closed:
            if self._rejoin:
                await self._join()
            for index in tuple(self._order):
                owned = self._owned.get(index)
                if owned is None or owned.revoking:
                    continue
                found = await self._take(owned, max_events, max_bytes)
                if found:
                    self._order.remove(index)
                    self._order.append(index)
                    return [(owned, record) for record in found]
            if self._clock.monotonic_ms() >= until_ms or not await self._wait(self._next_due(until_ms)):
                if self._clock.monotonic_ms() >= until_ms:
                    break
        return []

    async def _wait(self, until_ms: int) -> bool:
        self._changed = asyncio.get_running_loop().create_future()
        if self._rejoin or self._closed or self._has_more():
            return True
        return await self._clock.wait(self._changed, until_ms)

    def _has_more(self) -> bool:
        return any(
            (owned.buffer or owned.position.scan < owned.partition.high_watermark or owned.position.has_ready)
            and not owned.position.paused
            and not owned.revoking
            for owned in self._owned.values()
        )

    def _next_due(self, until_ms: int) -> int:
        """The earlier of `until_ms` and when the next failed record is due, on the monotonic clock."""
        dues = [due for owned in self._owned.values() if (due := owned.position.next_due_ms()) is not None]
        if not dues:
            return until_ms
        return min(until_ms, self._clock.monotonic_ms() + max(0, min(dues) - self._clock.now_ms()))

    async def _take(self, owned: Owned, max_events: int, max_bytes: int) -> list[StoredRecord]:
        position, partition = owned.position, owned.partition
        position.trimmed(partition.log_start)
        again = position.claim(self._clock.now_ms(), max_events)
        if again:
            return await self._read_again(owned, again)
        while not position.paused:
            if not owned.buffer and not await self._fill(owned, max_bytes):
                return []
            records, end = owned.buffer.pop(0)
            cut = position.cut(records, end, max_events)
            if cut.rest or cut.end_offset < end:
                owned.buffer.insert(0, (cut.rest, end))
            found = position.take_new(cut.records, cut.end_offset)
            if found:
                return found
        return []

    async def _fill(self, owned: Owned, max_bytes: int) -> bool:
        """Read and decode what follows; False at the end."""
        partition, scan = owned.partition, owned.position.scan
        if scan >= partition.high_watermark:
            return False
        try:
            found = await partition.read(scan, min(max_bytes, FETCH_BYTES_MAX))
        except OffsetOutOfRange:
            return False
        for batch in found:
            owned.buffer.append((self._mine(batch, scan), batch.end_offset))
            scan = batch.end_offset
        return bool(found)

    def _mine(self, batch: BatchAt, from_offset: int) -> list[StoredRecord]:
        """The records of a batch that are for this group: redriven ones name the one group they are for."""
        records = batches.decode(batch.data, from_offset=from_offset)
        if not batch.flags & form.ENTRY_ATTRIBUTES:
            return records
        name = self._group.name.encode()
        return [record for record in records if header_value(record.headers, ONLY) in (None, name)]

    async def _read_again(self, owned: Owned, claims: Sequence[Claim]) -> list[StoredRecord]:
        """Read what is to be handed out again; what is no longer there is settled by that."""
        found: list[StoredRecord] = []
        for at, claim in enumerate(claims):
            try:
                record = await self._broker.record_at(owned.partition, claim.offset)
            except BaseException:
                owned.position.unclaim([*claims[at:], *(Claim(each.offset, each.key) for each in found)])
                raise
            if record is None:
                owned.position.skip(claim.offset)
            else:
                found.append(record)
        return found

    # ---- what became of it --------------------------------------------------------------------------------------

    def settle(self, unit: Unit, rows: Sequence[tuple[Owned, StoredRecord]]) -> None:
        """Add the finished offsets to a unit; at submit it is refused whole when the generation is stale."""
        for owned, records in by_partition(rows):
            unit.step(
                lambda owned=owned, records=records: self._check(owned, records),  # type: ignore[misc]
                lambda owned=owned, records=records: self._commit(unit, owned, records),  # type: ignore[misc]
            )

    def _check(self, owned: Owned, records: Sequence[StoredRecord]) -> None:
        if self._owned.get(owned.partition.index) is not owned:
            raise StaleGeneration(self._group.name, self._generation, self._group.members.generation)
        if not self._group.members.knows(self._id):
            raise UnknownMember(self._group.name, self._id)
        if not all(owned.position.holds(record.offset) for record in records):
            raise StaleGeneration(self._group.name, self._generation, self._group.members.generation)

    def _commit(self, unit: Unit, owned: Owned, records: Sequence[StoredRecord]) -> None:
        owned.position.settle(records)
        self.state(unit, owned)

    def state(self, unit: Unit, owned: Owned) -> None:
        """Add the position as it stands to a unit."""
        unit.fact(
            committed(
                self._group.id,
                owned.partition,
                owned.position.progress(),
                generation=self._generation,
                now_ms=self._clock.now_ms(),
            )
        )
        self._group.active_ms = self._clock.now_ms()
        self._wake()

    async def fail(self, rows: Sequence[tuple[Owned, StoredRecord]], delay_ms: int) -> None:
        """Count a failure of each, durably, and offer it again after a while."""
        unit = self._broker.journal.unit()
        due_ms = self._clock.now_ms() + delay_ms
        for owned, records in by_partition(rows):
            self._check(owned, records)
            for record in records:
                owned.position.fail(record, due_ms)
            self.state(unit, owned)
        await unit.submit()

    def release(self, rows: Sequence[tuple[Owned, StoredRecord]], delay_ms: int = 0) -> None:
        """Hand back without counting; what is no longer held is passed over."""
        due_ms = self._clock.now_ms() + delay_ms if delay_ms else 0
        for owned, records in by_partition(rows):
            if self._owned.get(owned.partition.index) is owned:
                for record in records:
                    if owned.position.holds(record.offset):
                        owned.position.release(record, due_ms)
        self._wake()

    def failures(self, owned: Owned, offset: int) -> int:
        """How often that record has failed."""
        return owned.position.failures(offset)

    def close(self) -> None:
        """Leave the group."""
        if self._closed:
            return
        self._closed = True
        for stop in self._unwatch:
            stop()
        self._wake()
        if self._id and self._group.members.knows(self._id):
            self._broker.coordinator.leave(self._group, self._id)


def by_partition(rows: Sequence[tuple[Owned, StoredRecord]]) -> list[tuple[Owned, list[StoredRecord]]]:
    """The same rows, one list a partition."""
    found: dict[int, tuple[Owned, list[StoredRecord]]] = {}
    for owned, record in rows:
        entry = found.get(id(owned))
        if entry is None:
            found[id(owned)] = (owned, [record])
        else:
            entry[1].append(record)
    return list(found.values())
