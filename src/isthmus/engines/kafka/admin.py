"""Administration of a Kafka cluster: the port's `Admin`, as far as Kafka can answer it.

What Kafka does not keep (who holds which record of a queue, what died, the life of an event) is refused by name, or
told as far as committed positions tell it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    TopicPartition,
)
from confluent_kafka.admin import ConsumerGroupDescription

from isthmus.broker import redrive
from isthmus.clock import Clock
from isthmus.definition import (
    DEFAULT_NAMESPACE,
    Binding,
    ExchangeDefinition,
    Kept,
    PolicyDefinition,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.engines.base import Received, Start
from isthmus.engines.kafka.catalog import Catalog, QueueEntry, TopicEntry, group_of
from isthmus.engines.kafka.group import GroupSource
from isthmus.engines.kafka.link import ANSWER_S, Link
from isthmus.engines.kafka.reader import KafkaReader, offsets_of
from isthmus.engines.kafka.share import ShareSource
from isthmus.engines.shared import progress
from isthmus.errors import (
    GroupNotEmpty,
    InUse,
    InvalidArgument,
    UnknownGroup,
    UnknownQueue,
    Unsupported,
)
from isthmus.lenses.stream.position import Progress
from isthmus.ranges import RangeSet
from isthmus.record import StoredRecord
from isthmus.views import (
    BindingView,
    DeadLetter,
    ExchangeView,
    GroupPartitionView,
    GroupView,
    LifeStep,
    NamespaceView,
    PartitionView,
    PeekedRecord,
    PolicyView,
    QueueView,
    TopicView,
    UserView,
)

QUEUE_GROUPS: Final = "isthmus.queue."
READ_BYTES: Final = 4 * 1024 * 1024
REDRIVE_BATCH: Final = 256
REDRIVE_LOOKS: Final = 40
"""After so many looks, with a moment between them, without another dead letter there are none left."""


class Owner(Protocol):
    """What administration asks of the engine that it belongs to."""

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists."""

    def is_shared(self, definition: QueueDefinition) -> bool:
        """Whether a share group keeps a queue."""

    def source_of(self, definition: QueueDefinition) -> GroupSource | ShareSource:
        """A consumer of a queue, not begun yet."""


class KafkaAdmin:
    """See `engines/base.py`."""

    def __init__(self, link: Link, catalog: Catalog, clock: Clock, owner: Owner) -> None:
        self._link = link
        self._catalog = catalog
        self._clock = clock
        self._owner = owner

    # ---- topics and queues ------------------------------------------------------------------------------------------

    async def topics(self) -> list[TopicView]:
        """All topics by name, but for those that Kafka and this engine keep for themselves."""
        await self._catalog.refresh()
        return [await self._topic_view(name) for name in self._catalog.names()]

    async def queues(self) -> list[QueueView]:
        """All queues by name."""
        await self._catalog.refresh()
        found = [self._catalog.entry(name) for name in self._catalog.names()]
        return [await self._queue_view(each) for each in found if isinstance(each, QueueEntry)]

    async def topic(self, name: str) -> TopicView:
        """One topic."""
        await self._catalog.refresh()
        await self._catalog.partitions(name)
        return await self._topic_view(name)

    async def queue(self, name: str) -> QueueView:
        """One queue."""
        await self._catalog.refresh()
        await self._catalog.queue(name)
        entry = self._catalog.entry(name)
        if not isinstance(entry, QueueEntry):
            raise UnknownQueue(name)
        return await self._queue_view(entry)

    async def _topic_view(self, name: str) -> TopicView:
        entry = self._catalog.entry(name)
        marks = await self._catalog.marks(name)
        groups = [view.name for view in await self._group_views(name)]
        return TopicView(
            name=name,
            namespace=DEFAULT_NAMESPACE,
            id=-1,
            uuid="",
            placement=entry.definition.placement if isinstance(entry, TopicEntry) else "murmur2",
            lifetime="durable",
            config=await self._catalog.topic_config(name),
            partitions=tuple(
                PartitionView(index=i, log_start=low, high_watermark=high, bytes=0) for i, (low, high) in marks.items()
            ),
            queue=name if isinstance(entry, QueueEntry) else None,
            groups=tuple(groups),
            views=self._catalog.views_of(name),
            created_ms=0 if entry is None else entry.created_ms,
        )

    async def _queue_view(self, entry: QueueEntry) -> QueueView:
        """What committed positions tell: what is below or done is acked, everything else is ready."""
        definition = entry.definition
        done = await self._queue_progress(definition)
        enqueued = acked = 0
        for topic, rows in done.items():
            for index, (low, high) in (await self._catalog.marks(topic)).items():
                state = rows.get(index, Progress(low, (), ()))
                enqueued += high
                acked += max(state.floor, low) + sum(end - start for start, end in state.done)
        return QueueView(
            name=definition.name,
            namespace=DEFAULT_NAMESPACE,
            id=-1,
            config=definition.config,
            view_of=definition.view_of,
            lifetime="durable",
            enqueued=enqueued,
            ready=enqueued - acked,
            leased=0,
            delayed=0,
            dying=0,
            acked=acked,
            rejected=0,
            dead=0,
            expired=0,
            purged=0,
            trimmed=0,
            oldest_ready_ms=None,
            created_ms=entry.created_ms,
        )

    async def _queue_progress(self, definition: QueueDefinition) -> dict[str, dict[int, Progress]]:
        """How far a queue's group is, by topic and partition."""
        topics = [definition.name] + ([definition.view_of] if definition.view_of is not None else [])
        found: dict[str, dict[int, Progress]] = {topic: {} for topic in topics}
        for place in await self._committed(group_of(definition.name)):
            if place.topic in found:
                found[place.topic][place.partition] = progress.decode(place.offset, place.metadata)
        return found

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it."""
        await self._owner.create(definition)

    async def alter(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Change it."""
        await self._catalog.alter(definition)

    async def remove(self, name: str) -> None:
        """Remove it."""
        await self._catalog.refresh()
        views = self._catalog.views_of(name)
        if views:
            raise InUse("topic", name, f"queue {views[0]!r}")
        await self._catalog.remove(name)

    # ---- groups -----------------------------------------------------------------------------------------------------

    async def groups(self, topic: str | None = None) -> list[GroupView]:
        """All groups but those of queues, or those of a topic."""
        if topic is not None:
            await self._catalog.partitions(topic)
        return await self._group_views(topic)

    async def _group_views(self, topic: str | None) -> list[GroupView]:
        names = [name for name in await self._group_names() if not name.startswith(QUEUE_GROUPS)]
        views = [view for name in names if (view := await self._group_view(name)) is not None]
        return [view for view in views if topic is None or any(row.topic == topic for row in view.partitions)]

    async def _group_names(self) -> list[str]:
        listed = await self._link.ask(self._link.admin.list_consumer_groups().result, ANSWER_S, about="groups")
        return sorted(each.group_id for each in listed.valid)

    async def _group_view(self, name: str) -> GroupView | None:
        """One group; None when it is gone, or none that commits positions."""
        try:
            described = await self._described(name)
        except (UnknownGroup, Unsupported):
            return None
        owners = {
            (place.topic, place.partition): member.member_id
            for member in described.members
            for place in member.assignment.topic_partitions
        }
        rows = [await self._row(place, owners) for place in await self._committed(name)]
        state = described.state.name.title()
        return GroupView(
            name=name,
            namespace=DEFAULT_NAMESPACE,
            id=-1,
            state=state,
            generation=-1,
            members=tuple(member.member_id for member in described.members),
            silent=False,
            partitions=tuple(rows),
            lag=sum(row.lag for row in rows),
        )

    async def _row(self, place: TopicPartition, owners: Mapping[tuple[str, int], str]) -> GroupPartitionView:
        state = progress.decode(place.offset, place.metadata)
        marks = await self._catalog.marks(place.topic)
        high = marks.get(place.partition, (0, 0))[1]
        done = sum(end - start for start, end in state.done)
        return GroupPartitionView(
            topic=place.topic,
            partition=place.partition,
            floor=state.floor,
            done_above=done,
            retrying=len(state.attempts),
            high_watermark=high,
            lag=max(0, high - state.floor - done),
            member=owners.get((place.topic, place.partition)),
        )

    async def _described(self, name: str) -> ConsumerGroupDescription:
        futures = self._link.admin.describe_consumer_groups([name])
        found: ConsumerGroupDescription
        (found,) = (await self._link.each(futures, name)).values()
        if found.state in (ConsumerGroupState.DEAD, None):
            raise UnknownGroup(name)
        return found

    async def _committed(self, group: str) -> Sequence[TopicPartition]:
        """All committed positions of a group, by topic and partition."""
        futures = self._link.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        (found,) = (await self._link.each(futures, group)).values()
        rows = [place for place in found.topic_partitions or [] if place.offset >= 0]
        return sorted(rows, key=lambda place: (place.topic, place.partition))

    async def seek(self, group: str, topic: str, to: Start) -> list[tuple[int, int]]:
        """Move a group without live members."""
        await self._catalog.partitions(topic)
        await self._check_idle(group)
        return await self.set_positions(group, topic, to)

    async def _check_idle(self, group: str) -> None:
        if group not in await self._group_names():
            raise UnknownGroup(group)
        if (await self._described(group)).members:
            raise GroupNotEmpty(group)

    async def set_positions(self, group: str, topic: str, to: Start) -> list[tuple[int, int]]:
        """Commit positions for a group that nobody is in; returns (partition, offset) rows."""
        places = [TopicPartition(topic, index) for index in range(await self._catalog.partitions(topic))]
        found = await self._link.ask(partial(self._offsets, places, to), about=topic)
        rows = [TopicPartition(topic, index, offset) for index, offset in sorted(found.items())]
        await self._write_positions(group, rows)
        return [(row.partition, row.offset) for row in rows]

    async def _write_positions(self, group: str, rows: Sequence[TopicPartition]) -> None:
        asked = ConsumerGroupTopicPartitions(group, list(rows))
        await self._link.each(self._link.admin.alter_consumer_group_offsets([asked]), group)

    def _offsets(self, places: Sequence[TopicPartition], to: Start) -> dict[int, int]:
        """Runs in a thread."""
        consumer: Consumer = self._link.consumer({"group.id": "isthmus.admin"})
        try:
            return offsets_of(consumer, places, to)
        finally:
            consumer.close()

    async def remove_group(self, group: str) -> None:
        """Forget a group without live members."""
        await self._check_idle(group)
        await self._link.each(self._link.admin.delete_consumer_groups([group]), group)

    # ---- looking into queues ----------------------------------------------------------------------------------------

    async def peek(self, queue: str, count: int) -> list[PeekedRecord]:
        """The next records that no position calls done; whether somebody holds them Kafka does not tell."""
        rows = await self._undone(queue, count)
        return [
            PeekedRecord(topic=topic, partition=index, record=record, state="ready", acquired=0, failed=0, due_ms=None)
            for topic, index, record in rows
        ]

    async def _undone(self, queue: str, count: int) -> list[tuple[str, int, StoredRecord]]:
        definition = await self._queue_of_positions(queue)
        found: list[tuple[str, int, StoredRecord]] = []
        for topic, states in (await self._queue_progress(definition)).items():
            reader = KafkaReader(self._link, self._clock, topic, await self._catalog.partitions(topic))
            await reader.begin({index: state.floor for index, state in states.items()}, to_end=True)
            try:
                while len(found) < count and (chunk := await reader.read(READ_BYTES, 0)) is not None:
                    done = RangeSet(states[chunk.partition].done if chunk.partition in states else ())
                    found += [(topic, chunk.partition, each) for each in chunk.records if each.offset not in done]
            finally:
                await reader.close()
        return found[:count]

    async def _queue_of_positions(self, queue: str) -> QueueDefinition:
        definition = await self._catalog.queue(queue)
        if self._owner.is_shared(definition):
            raise Unsupported(f"a look into queue {queue!r}", "a share group keeps it, which tells nobody where it is")
        return definition

    async def purge(self, queue: str) -> int:
        """Move the queue to its end. Raises GroupNotEmpty: consumers are at work."""
        definition = await self._queue_of_positions(queue)
        view = await self.queue(queue)
        group = group_of(queue)
        if group in await self._group_names():
            await self._check_idle(group)
        for topic in [definition.name] + ([definition.view_of] if definition.view_of is not None else []):
            await self.set_positions(group, topic, "latest")
        return view.ready

    async def dead_letters(self, queue: str, count: int) -> list[DeadLetter]:
        """Dead letters that nobody has settled."""
        return [redrive.view(*row) for row in await self._undone(queue, count)]

    async def redrive(self, queue: str, count: int | None = None) -> int:
        """Move dead letters home: each is published, then settled."""
        definition = await self._catalog.queue(queue)
        source = self._owner.source_of(definition)
        await source.begin()
        moved = 0
        try:
            while count is None or moved < count:
                wanted = REDRIVE_BATCH if count is None else min(REDRIVE_BATCH, count - moved)
                received = await self._next_letters(source, wanted)
                if not received:
                    break
                await self._move_home(source, received)
                moved += len(received)
        finally:
            await source.close()
        return moved

    async def _next_letters(self, source: GroupSource | ShareSource, wanted: int) -> list[Received]:
        """Some more dead letters, however long the cluster takes to bring them; [] when there are no more."""
        for _ in range(REDRIVE_LOOKS):
            received = await source.receive(wanted, READ_BYTES, 0)
            if received:
                return received
            await self._link.pause()
        return []

    async def _move_home(self, source: GroupSource | ShareSource, received: Sequence[Received]) -> None:
        try:
            for one in received:
                target, group = await self._home(one)
                await self._link.produce(target, [redrive.revived(one.stored, group)], "none")
        except BaseException:
            await source.release(received)
            raise
        await source.finish(received)

    async def _home(self, one: Received) -> tuple[str, str | None]:
        origin, topic = redrive.home_of(one.stored)
        if origin.startswith(redrive.GROUP):
            await self._catalog.partitions(topic)
            return topic, origin.removeprefix(redrive.GROUP)
        if origin.startswith(redrive.QUEUE):
            name = origin.removeprefix(redrive.QUEUE)
            await self._catalog.queue(name)
            return name, None
        raise InvalidArgument("redrive", f"the record at offset {one.stored.offset} is not a dead letter of ours")

    async def explain(self, topic: str, partition: int, offset: int) -> list[LifeStep]:
        """Refused: Kafka keeps no history."""
        raise Unsupported(
            f"the life of {topic}/{partition}/{offset}", "Kafka keeps no history of leases and acknowledgements"
        )

    async def users(self) -> list[UserView]:
        """Refused: see `_no_users`."""
        raise _no_users()

    async def create_user(self, definition: UserDefinition) -> None:  # noqa: ARG002 - refused whoever it is
        """Refused: see `_no_users`."""
        raise _no_users()

    async def alter_user(self, definition: UserDefinition) -> None:  # noqa: ARG002 - refused whoever it is
        """Refused: see `_no_users`."""
        raise _no_users()

    async def remove_user(self, name: str) -> None:  # noqa: ARG002 - refused whoever it is
        """Refused: see `_no_users`."""
        raise _no_users()

    async def policies(self) -> list[PolicyView]:
        """Refused: see `_no_policies`."""
        raise _no_policies()

    async def set_policy(self, definition: PolicyDefinition) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_policies`."""
        raise _no_policies()

    async def remove_policy(self, name: str) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_policies`."""
        raise _no_policies()

    async def namespaces(self) -> list[NamespaceView]:
        """Refused: see `_no_namespaces`."""
        raise _no_namespaces()

    async def create_namespace(self, name: str, kept: Kept = ()) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_namespaces`."""
        raise _no_namespaces()

    async def remove_namespace(self, name: str) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_namespaces`."""
        raise _no_namespaces()

    async def exchanges(self) -> list[ExchangeView]:
        """Refused: see `_no_exchanges`."""
        raise _no_exchanges()

    async def create_exchange(self, definition: ExchangeDefinition) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_exchanges`."""
        raise _no_exchanges()

    async def remove_exchange(self, name: str, *, if_unused: bool = False) -> None:  # noqa: ARG002 - as above
        """Refused: see `_no_exchanges`."""
        raise _no_exchanges()

    async def bindings(
        self,
        exchange: str | None = None,  # noqa: ARG002 - refused whatever it is
        target: str | None = None,  # noqa: ARG002 - refused whatever it is
    ) -> list[BindingView]:
        """Refused: see `_no_exchanges`."""
        raise _no_exchanges()

    async def bind(self, binding: Binding) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_exchanges`."""
        raise _no_exchanges()

    async def unbind(self, binding: Binding) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_exchanges`."""
        raise _no_exchanges()

    async def reclaim(self) -> int:
        """Refused: the cluster decides."""
        raise Unsupported("reclaiming disk at once", "Kafka deletes whole segments when retention lets them go")


def _no_users() -> Unsupported:
    return Unsupported("users of a Kafka cluster", "they and their rights are managed with Kafka's own tools")


def _no_policies() -> Unsupported:
    return Unsupported("policies of a Kafka cluster", "it has settings of single topics and of the cluster only")


def _no_namespaces() -> Unsupported:
    return Unsupported("namespaces of a Kafka cluster", "all topics of a cluster are in one")


def _no_exchanges() -> Unsupported:
    return Unsupported("exchanges of a Kafka cluster", "producers name the topic that they publish to")
