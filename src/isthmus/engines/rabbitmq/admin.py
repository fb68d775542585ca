"""Administration of a RabbitMQ broker: the port's `Admin`, as far as AMQP can answer it.

What AMQP does not tell (totals of a queue, who holds which event, the life of an event) is refused by name, or left
out.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

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
from isthmus.engines.base import Start
from isthmus.engines.rabbitmq import names, streams
from isthmus.engines.rabbitmq.catalog import Catalog, GroupEntry, QueueEntry, TopicEntry, topic_config
from isthmus.engines.rabbitmq.group import state, stated
from isthmus.engines.rabbitmq.letters import opened
from isthmus.engines.rabbitmq.link import Link
from isthmus.engines.rabbitmq.messages import identity_of, returns_of
from isthmus.engines.shared import marks
from isthmus.errors import GroupNotEmpty, InvalidArgument, UnknownGroup, UnknownQueue, UnknownTopic, Unsupported
from isthmus.lenses.stream.position import Progress
from isthmus.record import Record, StoredRecord
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

Produce = Callable[[str, Sequence[Record]], Awaitable[object]]

NO_HISTORY: Final = "RabbitMQ keeps no history of deliveries and acknowledgements"


class RabbitAdmin:
    """See `engines/base.py`."""

    def __init__(self, link: Link, catalog: Catalog, clock: Clock, produce: Produce) -> None:
        self._link = link
        self._catalog = catalog
        self._clock = clock
        self._produce = produce

    # ---- topics and queues ------------------------------------------------------------------------------------------

    async def topics(self) -> list[TopicView]:
        """All topics that were declared with this engine, those of queues included."""
        await self._catalog.refresh()
        return [await self._topic_view(entry) for entry in self._catalog.entries()]

    async def queues(self) -> list[QueueView]:
        """All queues that were declared with this engine."""
        await self._catalog.refresh()
        return [await self._queue_view(entry) for entry in self._catalog.entries() if isinstance(entry, QueueEntry)]

    async def topic(self, name: str) -> TopicView:
        """One topic."""
        await self._catalog.refresh()
        return await self._topic_view(await self._catalog.known(name))

    async def queue(self, name: str) -> QueueView:
        """One queue."""
        await self._catalog.refresh()
        entry = self._catalog.entry(name)
        if not isinstance(entry, QueueEntry):
            raise UnknownQueue(name)
        return await self._queue_view(entry)

    async def _topic_view(self, entry: TopicEntry | QueueEntry) -> TopicView:
        definition = entry.definition
        is_queue = isinstance(definition, QueueDefinition)
        groups = {row.group for row in self._catalog.groups() if row.topic == definition.name}
        return TopicView(
            name=definition.name,
            namespace=DEFAULT_NAMESPACE,
            id=-1,
            uuid="",
            placement="single" if isinstance(definition, QueueDefinition) else definition.placement,
            lifetime="durable",
            config=topic_config(entry),
            partitions=() if is_queue else tuple([await self._partition(definition.name, i) for i in _all(definition)]),
            queue=definition.name if is_queue else None,
            groups=tuple(sorted(groups)),
            views=(),
            created_ms=entry.created_ms,
        )

    async def _partition(self, topic: str, index: int) -> PartitionView:
        low, end = await streams.bounds_of(self._link, names.partition(topic, index))
        return PartitionView(index=index, log_start=low, high_watermark=end, bytes=0)

    async def _queue_view(self, entry: QueueEntry) -> QueueView:
        """What RabbitMQ tells of a queue is how many events are ready."""
        definition = entry.definition
        ready, _ = await self._ready(definition.name)
        return QueueView(
            name=definition.name,
            namespace=DEFAULT_NAMESPACE,
            id=-1,
            config=definition.config,
            view_of=None,
            lifetime="durable",
            enqueued=ready,
            ready=ready,
            leased=0,
            delayed=0,
            dying=0,
            acked=0,
            rejected=0,
            dead=0,
            expired=0,
            purged=0,
            trimmed=0,
            oldest_ready_ms=None,
            created_ms=entry.created_ms,
        )

    async def _ready(self, queue: str) -> tuple[int, int]:
        """Messages that are ready, and consumers. Raises UnknownTopic."""
        found = await self._link.ask(lambda channel: channel.queue_declare(queue, passive=True), queue)
        return found.message_count or 0, found.consumer_count or 0

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it."""
        await self._catalog.create(definition)

    async def alter(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Change it."""
        await self._catalog.alter(definition)

    async def remove(self, name: str) -> None:
        """Remove it, with its groups' positions."""
        await self._catalog.remove(name)

    # ---- groups -----------------------------------------------------------------------------------------------------

    async def groups(self, topic: str | None = None) -> list[GroupView]:
        """All groups, or those of a topic."""
        await self._catalog.refresh()
        if topic is not None:
            await self._catalog.known(topic)
        by_name: dict[str, list[GroupEntry]] = {}
        for row in self._catalog.groups():
            if topic in (None, row.topic):
                by_name.setdefault(row.group, []).append(row)
        return [await self._group_view(name, rows) for name, rows in sorted(by_name.items())]

    async def _group_view(self, name: str, entries: Sequence[GroupEntry]) -> GroupView:
        rows: list[GroupPartitionView] = []
        members = 0
        for entry in entries:
            for index in range(await self._catalog.partitions(entry.topic)):
                rows.append(await self._row(name, entry.topic, index))
                members = max(members, await self._members(name, names.partition(entry.topic, index)))
        return GroupView(
            name=name,
            namespace=DEFAULT_NAMESPACE,
            id=-1,
            state="Stable" if members else "Empty",
            generation=-1,
            members=tuple(f"{name}-{number}" for number in range(1, members + 1)),
            silent=False,
            partitions=tuple(rows),
            lag=sum(row.lag for row in rows),
        )

    async def _members(self, group: str, queue: str) -> int:
        try:
            _, consumers = await self._ready(names.token(group, queue))
        except UnknownTopic:  # a partition that nobody of the group has looked at yet
            return 0
        return consumers

    async def _row(self, group: str, topic: str, index: int) -> GroupPartitionView:
        queue = names.partition(topic, index)
        low, high = await streams.bounds_of(self._link, queue)
        try:
            found = await stated(self._link, group, queue)
        except UnknownTopic:
            found = None
        at = found or Progress(low, (), ())
        done = sum(end - start for start, end in at.done)
        return GroupPartitionView(
            topic=topic,
            partition=index,
            floor=at.floor,
            done_above=done,
            retrying=len(at.attempts),
            high_watermark=high,
            lag=max(0, high - at.floor - done),
            member=None,
        )

    async def seek(self, group: str, topic: str, to: Start) -> list[tuple[int, int]]:
        """Move a group without live members."""
        await self._catalog.refresh()
        await self._catalog.known(topic)
        await self._check_idle(group, topic)
        queues = await self._catalog.stream(topic)
        offsets = [await streams.offset_at(self._link, queue, to) for queue in queues]
        rows = [(queue, Progress(offset, (), ())) for queue, offset in zip(queues, offsets, strict=True)]
        await state(self._link, self._clock, group, rows)
        return list(enumerate(offsets))

    async def _check_idle(self, group: str, topic: str | None = None) -> list[GroupEntry]:
        """The topics of a group that nobody is in. Raises UnknownGroup, GroupNotEmpty."""
        entries = [row for row in self._catalog.groups() if row.group == group and topic in (None, row.topic)]
        if not entries:
            raise UnknownGroup(group)
        for entry in entries:
            for queue in await self._catalog.stream(entry.topic):
                if await self._members(group, queue):
                    raise GroupNotEmpty(group)
        return entries

    async def remove_group(self, group: str) -> None:
        """Forget a group without live members."""
        await self._catalog.refresh()
        for entry in await self._check_idle(group):
            await self._catalog.remove_group(group, entry.topic)

    # ---- looking into queues ----------------------------------------------------------------------------------------

    async def peek(self, queue: str, count: int) -> list[PeekedRecord]:
        """The next events: RabbitMQ can only hand them out, so they are taken and go back at once."""
        await self._catalog.queue(queue)
        return [
            PeekedRecord(
                topic=queue,
                partition=0,
                record=marks.bare(record),
                state="delayed" if marks.due_of(record) > self._clock.now_ms() else "ready",
                acquired=returns_of(message),
                failed=marks.origin_of(record, queue, 0).failed,
                due_ms=marks.due_of(record) or None,
            )
            for message, record in await self._look(queue, count)
        ]

    async def _look(self, queue: str, count: int) -> list[tuple[DeliveredMessage, StoredRecord]]:
        async def look(channel: Channel) -> list[tuple[DeliveredMessage, StoredRecord]]:
            found: list[tuple[DeliveredMessage, StoredRecord]] = []
            while len(found) < count and (message := await _get(channel, queue)) is not None:
                found.append((message, opened(message, queue, identity_of(message))))
            await channel.basic_nack(0, multiple=True, requeue=True)
            return found

        return await self._link.alone(look, queue)

    async def purge(self, queue: str) -> int:
        """Remove all that is ready."""
        await self._catalog.queue(queue)
        purged = await self._link.ask(lambda channel: channel.queue_purge(queue), queue)
        return purged.message_count or 0

    async def dead_letters(self, queue: str, count: int) -> list[DeadLetter]:
        """The next dead letters: taken, and handed back at once."""
        await self._catalog.queue(queue)
        return [redrive.view(queue, 0, record) for _, record in await self._look(queue, count)]

    async def redrive(self, queue: str, count: int | None = None) -> int:
        """Move dead letters home: each is published, then acknowledged."""
        await self._catalog.queue(queue)

        async def move(channel: Channel) -> int:
            moved = 0
            while (count is None or moved < count) and (message := await _get(channel, queue)) is not None:
                record = opened(message, queue, identity_of(message))
                target, group = await self._home(record)
                await self._produce(target, [redrive.revived(record, group)])
                await channel.basic_ack(message.delivery_tag or 0)
                moved += 1
            return moved

        return await self._link.alone(move, queue)

    async def _home(self, record: StoredRecord) -> tuple[str, str | None]:
        origin, topic = redrive.home_of(record)
        if origin.startswith(redrive.GROUP):
            await self._catalog.known(topic)
            return topic, origin.removeprefix(redrive.GROUP)
        if origin.startswith(redrive.QUEUE):
            name = origin.removeprefix(redrive.QUEUE)
            await self._catalog.queue(name)
            return name, None
        raise InvalidArgument("redrive", f"the event {record.offset} is not a dead letter of ours")

    # ---- what RabbitMQ does not keep --------------------------------------------------------------------------------

    async def explain(self, topic: str, partition: int, offset: int) -> list[LifeStep]:
        """Refused: there is no history."""
        raise Unsupported(f"the life of {topic}/{partition}/{offset}", NO_HISTORY)

    async def reclaim(self) -> int:
        """Refused: the broker decides."""
        raise Unsupported("reclaiming disk at once", "RabbitMQ deletes segments when its retention lets them go")

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

    async def namespaces(self) -> list[NamespaceView]:
        """Refused: see `_no_namespaces`."""
        raise _no_namespaces()

    async def create_namespace(self, name: str, kept: Kept = ()) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_namespaces`."""
        raise _no_namespaces()

    async def remove_namespace(self, name: str) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_namespaces`."""
        raise _no_namespaces()

    async def policies(self) -> list[PolicyView]:
        """Refused: see `_no_policies`."""
        raise _no_policies()

    async def set_policy(self, definition: PolicyDefinition) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_policies`."""
        raise _no_policies()

    async def remove_policy(self, name: str) -> None:  # noqa: ARG002 - refused whatever it is
        """Refused: see `_no_policies`."""
        raise _no_policies()


def _all(definition: TopicDefinition | QueueDefinition) -> range:
    return range(definition.partitions)


async def _get(channel: Channel, queue: str) -> DeliveredMessage | None:
    """The next message of a queue, unacknowledged; None when there is none."""
    found = await channel.basic_get(queue)
    return None if isinstance(found.delivery, Basic.GetEmpty) else found


def _no_users() -> Unsupported:
    return Unsupported("users of a RabbitMQ broker", "they and their rights are managed with RabbitMQ's own tools")


def _no_policies() -> Unsupported:
    return Unsupported("policies of a RabbitMQ broker", "they are managed with RabbitMQ's own tools")


def _no_namespaces() -> Unsupported:
    return Unsupported(
        "namespaces of a RabbitMQ broker", "virtual hosts are made with its own tools, and the address names one"
    )


def _no_exchanges() -> Unsupported:
    return Unsupported(
        "exchanges of a RabbitMQ broker",
        "they are made with its own tools; bind one to the exchange that every stream and queue has under its own name",
    )
