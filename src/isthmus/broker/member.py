"""A consumer of a stream group in this process: membership, hand-out and commits of the partitions it owns.

It joins with the library's own assignor, reads ahead of nobody, and turns what became of records into one `Committed`
fact per partition and unit. A task of its own keeps it in the group, so that a member lives however long its consumer
takes to ask for more. Revocation is cooperative: a partition that moves is no longer taken from, what runs may finish,
and only then does it go.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal

from isthmus.broker.owned import Owned
from isthmus.clock import wait_own
from isthmus.errors import (
    InvalidArgument,
    MemberIdRequired,
    RebalanceInProgress,
    RequestError,
    StaleGeneration,
    UnknownMember,
    UnknownTopic,
)
from isthmus.lenses.stream import assignor
from isthmus.lenses.stream.membership import NO_GENERATION, Join, Joined, Sync
from isthmus.lenses.stream.offsets import ConsumerGroup, committed, fact_bytes
from isthmus.lenses.stream.position import Position, Progress
from isthmus.limits import SHUTDOWN_MS
from isthmus.log.journal import Unit
from isthmus.log.partition import Partition
from isthmus.record import StoredRecord

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker

SESSION_MS: Final = 30_000
HEARTBEATS: Final = 3
"""Heartbeats within a session's time."""

REVOKE_MS: Final = min(SHUTDOWN_MS, SESSION_MS)
"""Time that what runs on a revoked partition gets to finish."""

StartAt = int | Literal["earliest", "latest"] | tuple[Literal["time"], int]
Row = tuple[Owned, StoredRecord]
"""A record that was handed out, with where it came from."""


class Member:
    """See the module text. One loop; `receive` by one task at a time."""

    def __init__(self, broker: "Broker", group: ConsumerGroup, namespace: str, topic: str, start: StartAt) -> None:
        """A start of "latest" is the end of this moment; partitions that the topic gets later are read whole.

        Raises:
            UnknownTopic: there is no such topic.
        """
        self._broker = broker
        self._group = group
        self._namespace = namespace
        self._topic = topic
        self._start = start
        partitions = broker.topic(namespace, topic).partitions
        self._ends = [partition.high_watermark for partition in partitions]
        self._clock = broker.clock
        self._id = ""
        self._generation = -1
        self._planned: dict[str, int] = {}
        self._owned: dict[int, Owned] = {}
        self._order: list[int] = []
        self._rejoin = True
        self._closed = False
        self._error: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self._joined: asyncio.Future[object] | None = None
        self._asked: asyncio.Future[object] | None = None
        self._grown: asyncio.Future[object] | None = None
        self._unwatch: Callable[[], None] | None = None
        self._joining = False
        self._beating = False

    @property
    def generation(self) -> int:
        """Of the group when this member last joined."""
        return self._generation

    @property
    def partitions(self) -> list[int]:
        """The indexes of the partitions that it owns, those that it is about to give up included."""
        return sorted(self._owned)

    # ---- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the group, and stay in it until closed; returns when there is an assignment.

        Raises:
            RequestError: the group does not let it in.
        """
        self._unwatch = self._broker.coordinator.watch(self._group, self._asked_to_join)
        self._joined = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._attend(), name=f"member of {self._group.name}")
        try:
            await self._clock.wait(self._joined, None)
        except BaseException:
            self.close()
            raise
        self._check_alive()

    def close(self) -> None:
        """Leave the group; what is still taken will be handed out to others."""
        if self._closed:
            return
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._leave()

    def _leave(self) -> None:
        """Nothing is handed out any more, and nobody waits."""
        if self._unwatch is not None:
            self._unwatch()
        member = self._id
        self._forget_membership()
        _wake(self._joined)
        _wake(self._grown)
        if member:
            with contextlib.suppress(UnknownMember):  # the group was faster
                self._broker.coordinator.leave(self._group, member)

    def _check_alive(self) -> None:
        """Raises why nothing will ever come again."""
        if self._error is not None:
            raise self._error
        ended = self._broker.journal.ended
        if ended is not None:
            raise ended

    # ---- membership -----------------------------------------------------------------------------------------------

    async def _attend(self) -> None:
        """Join whenever the group asks for it, and let go of what others get as soon as it is free."""
        try:
            while True:
                if self._rejoin:
                    await self._join()
                    _wake(self._joined)
                    _wake(self._grown)
                self._drop_revoked()
                if not self._rejoin:
                    await self._until_asked()
        except Exception as error:  # noqa: BLE001 - whoever receives next is told
            self._error = error
            self._leave()

    def _asked_to_join(self) -> None:
        """A rebalance is under way, and it may be this member that it waits for."""
        if self._id in self._group.members.awaited():
            self._rebalance()

    def _rebalance(self) -> None:
        self._rejoin = True
        _wake(self._asked)

    async def _until_asked(self) -> None:
        self._asked = asyncio.get_running_loop().create_future()
        until_ms = min(
            (o.revoked_until_ms for o in self._owned.values() if o.revoked_until_ms is not None), default=None
        )
        await self._clock.wait(self._asked, until_ms)

    async def _join(self) -> None:
        self._joining = True
        while self._rejoin:
            self._rejoin = False
            try:
                await self._join_once()
            except MemberIdRequired as required:
                self._id, self._rejoin = required.member, True
            except UnknownMember:
                self._forget_membership()
            except (RebalanceInProgress, StaleGeneration):
                self._rejoin = True
        self._joining = False

    def _forget_membership(self) -> None:
        """Others may own our partitions by now: what we hold is stale."""
        self._id, self._generation, self._rejoin = "", -1, True
        for owned in self._owned.values():
            owned.drop()
        self._owned.clear()
        self._order.clear()

    async def _join_once(self) -> None:
        coordinator = self._broker.coordinator
        claims = tuple((self._topic, index) for index in sorted(self._owned))
        subscription = assignor.Subscription(topics=(self._topic,), owned=claims, generation=self._generation)
        joined = await coordinator.join(
            self._group,
            Join(
                protocol_type=assignor.PROTOCOL_TYPE,
                protocols=((assignor.PROTOCOL, assignor.encode_subscription(subscription)),),
                session_ms=SESSION_MS,
                rebalance_ms=SHUTDOWN_MS * 2,
                member_id=self._id,
                # So that one who gives up while it waits can say who it was.
                require_id=True,
            ),
        )
        ask = Sync(member_id=self._id, generation=joined.generation, assignments=self._plan(joined))
        synced = await coordinator.sync(self._group, ask)
        self._generation = joined.generation
        self._beat()
        await self._assign([index for _, index in assignor.decode_assignment(synced.assignment)])

    def _plan(self, joined: Joined) -> dict[str, bytes]:
        """Who gets what, if this member is the one to say so."""
        self._planned = {}
        if joined.leader != joined.member or joined.skip_assignment:
            return {}
        metadata = {row.member: row.metadata for row in joined.members}
        wanted = {name for data in metadata.values() for name in assignor.decode_subscription(data).topics}
        self._planned = self._counts(wanted)
        return assignor.plan(metadata, self._planned)

    def _counts(self, names: Iterable[str]) -> dict[str, int]:
        """How many partitions these topics have now, those that exist."""
        catalog = self._broker.catalog
        known = ((name, catalog.topic_names.get((self._namespace, name))) for name in names)
        return {name: len(catalog.topics[topic].partitions) for name, topic in known if topic is not None}

    async def _assign(self, indexes: Sequence[int]) -> None:
        partitions = self._broker.topic(self._namespace, self._topic).partitions
        for index in indexes:
            owned = self._owned.get(index)
            if owned is not None:
                owned.revoked_until_ms = None
                continue
            partition = partitions[index]
            progress = self._group.latest(partition) or await self._declare(partition)
            self._owned[index] = Owned(partition, Position(progress), self._group.name, self._wake)
        for index, owned in self._owned.items():
            if index not in indexes and owned.revoked_until_ms is None:
                owned.revoked_until_ms = self._clock.monotonic_ms() + REVOKE_MS
        self._order = [index for index, owned in self._owned.items() if owned.revoked_until_ms is None]

    async def _declare(self, partition: Partition) -> Progress:
        """The group reads this partition from here on: a durable position, so that it counts as a reader."""
        progress = Progress(await self._first_offset(partition), (), ())
        await self._broker.journal.room()
        unit = self._broker.journal.unit()
        self._state(unit, partition, progress, NO_GENERATION)
        await unit.submit()
        return progress

    async def _first_offset(self, partition: Partition) -> int:
        if self._start == "latest":
            found = self._ends[partition.index] if partition.index < len(self._ends) else 0
            return max(found, partition.log_start)
        return await self._broker.resolve(partition, self._start)

    def _drop_revoked(self) -> None:
        """Let go of revoked partitions on which nothing runs any more, or has run for too long.

        Somebody else gets them once they are let go: the next join, without them, tells the leader so.
        """
        now_ms = self._clock.monotonic_ms()
        for index, owned in list(self._owned.items()):
            until_ms = owned.revoked_until_ms
            if until_ms is not None and (until_ms <= now_ms or not owned.position.busy):
                owned.drop()
                del self._owned[index]
                self._rejoin = True

    def _beat(self) -> None:
        """Heartbeat three times a session, by one timer."""
        if not self._beating and not self._closed:
            self._beating = True
            self._clock.timer(self._clock.monotonic_ms() + SESSION_MS // HEARTBEATS, self._beat_due)

    def _beat_due(self) -> None:
        self._beating = False
        if self._closed or self._error is not None or self._broker.journal.ended is not None:
            return
        try:
            if not self._joining:
                self._broker.coordinator.heartbeat(self._group, self._id, self._generation)
        except RequestError:
            self._rebalance()
        if self._planned != self._counts(self._planned):
            # A topic of the group has more partitions: whoever shared them out does so again.
            self._rebalance()
        self._beat()

    # ---- receiving ------------------------------------------------------------------------------------------------

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Row]:
        """Up to `max_events` records, all of one partition; waits up to `wait_ms`; [] when none came or it is closed.

        Raises:
            InvalidArgument: less than one record is wanted.
            UnknownTopic: the topic was removed.
            RequestError: the group no longer lets it in.
            StorageError: the store is closed, poisoned or damaged.
        """
        if max_events < 1:
            raise InvalidArgument("max_events", f"{max_events} is less than one")
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._closed:
            self._check_alive()
            found = await self._take(max_events, max_bytes)
            if found or self._clock.monotonic_ms() >= until_ms:
                return found
            await self._until_grown(until_ms)
        return []

    async def _take(self, max_events: int, max_bytes: int) -> list[Row]:
        for index in tuple(self._order):
            owned = self._owned.get(index)
            if owned is None or owned.revoked_until_ms is not None:
                continue
            if owned.partition.id not in self._broker.journal.partitions:
                raise UnknownTopic(self._topic)
            found = await owned.take(self._clock.now_ms(), max_events, max_bytes)
            if found and self._owned.get(index) is owned:
                self._order.remove(index)
                self._order.append(index)
                return [(owned, record) for record in found]
        return []

    def _wake(self) -> None:
        _wake(self._grown)

    async def _until_grown(self, until_ms: int) -> None:
        self._grown = asyncio.get_running_loop().create_future()
        if not self._closed and not any(owned.has_more for owned in self._owned.values()):
            await wait_own(self._clock, self._grown, self._next_due(until_ms))

    def _next_due(self, until_ms: int) -> int:
        """The earlier of `until_ms` and when the next failed record is due, on the monotonic clock."""
        dues = [due_ms for owned in self._owned.values() if (due_ms := owned.next_due_ms()) is not None]
        if not dues:
            return until_ms
        return min(until_ms, self._clock.monotonic_ms() + max(0, min(dues) - self._clock.now_ms()))

    # ---- what became of it ----------------------------------------------------------------------------------------

    def settle(self, unit: Unit, rows: Sequence[Row]) -> None:
        """Add the finished offsets to a unit; at submit it is refused whole when the generation is stale."""
        for owned, records in by_partition(rows):
            self._step(unit, owned, records, lambda owned=owned, records=records: owned.position.settle(records))  # type: ignore[misc]

    async def fail(self, rows: Sequence[Row], delay_ms: int) -> None:
        """Count a failure of each, durably, and offer it again after a while.

        Raises:
            StaleGeneration, UnknownMember: nothing was counted.
        """
        unit = self._broker.journal.unit()
        due_ms = self._clock.now_ms() + delay_ms

        def fail(owned: Owned, records: Sequence[StoredRecord]) -> None:
            for record in records:
                owned.position.fail(record, due_ms)

        for owned, records in by_partition(rows):
            self._step(unit, owned, records, lambda owned=owned, records=records: fail(owned, records))  # type: ignore[misc]
        await unit.submit()

    def _step(self, unit: Unit, owned: Owned, records: Sequence[StoredRecord], change: Callable[[], None]) -> None:
        """At submit: refuse what is no longer ours; else change the position and state it."""

        def reserve() -> None:
            change()
            self._state(unit, owned.partition, owned.position.progress(), self._generation)
            _wake(self._grown)
            _wake(self._asked)

        unit.step(lambda: self._check(owned, records), reserve, fact_bytes(owned.position, len(records)))

    def _check(self, owned: Owned, records: Sequence[StoredRecord]) -> None:
        members = self._group.members
        if not members.knows(self._id):
            raise UnknownMember(self._group.name, self._id)
        mine = self._owned.get(owned.partition.index) is owned
        if not mine or not all(owned.position.holds(record.offset) for record in records):
            raise StaleGeneration(self._group.name, self._generation, members.generation)

    def _state(self, unit: Unit, partition: Partition, progress: Progress, generation: int) -> None:
        now_ms = self._clock.now_ms()
        fact = committed(self._group, partition, progress, generation=generation, now_ms=now_ms)
        unit.fact(fact)
        self._group.reserve(fact)
        self._group.active_ms = now_ms

    def release(self, rows: Sequence[Row], delay_ms: int = 0) -> None:
        """Hand back without counting; what is no longer held is passed over."""
        due_ms = self._clock.now_ms() + delay_ms if delay_ms else 0
        for owned, records in by_partition(rows):
            if self._owned.get(owned.partition.index) is owned:
                for record in records:
                    if owned.position.holds(record.offset):
                        owned.position.release(record, due_ms)
        _wake(self._grown)
        _wake(self._asked)

    def failures(self, owned: Owned, offset: int) -> int:
        """How often that record has failed."""
        return owned.position.failures(offset)


def by_partition(rows: Sequence[Row]) -> list[tuple[Owned, list[StoredRecord]]]:
    """The same rows, one list a partition."""
    found: dict[int, tuple[Owned, list[StoredRecord]]] = {}
    for owned, record in rows:
        entry = found.get(id(owned))
        if entry is None:
            found[id(owned)] = (owned, [record])
        else:
            entry[1].append(record)
    return list(found.values())


def _wake(future: "asyncio.Future[object] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)
