"""Administration of a broker in the same process: the port's `Admin`. Each method looks up, asks, answers."""

from typing import Final, Protocol

from isthmus.broker import accounts, describe, explain, governing, namespaces, redrive
from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.broker.publishing import COPIES
from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    Kept,
    PolicyDefinition,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.engines.base import Start
from isthmus.errors import InvalidArgument, UnknownPartition, UnknownQueue
from isthmus.lenses.queue.queue import Queue
from isthmus.record import Leased
from isthmus.views import (
    BindingView,
    DeadLetter,
    ExchangeView,
    GroupView,
    LifeStep,
    NamespaceView,
    PeekedRecord,
    PolicyView,
    QueueView,
    TopicView,
    UserView,
)

REDRIVE_BATCH: Final = 256
"""Dead letters that are moved in one unit."""

REDRIVE_BYTES: Final = 4 * 1024 * 1024
REDRIVE_LEASE_MS: Final = 60_000


class Owner(Protocol):
    """What administration asks of the engine that it belongs to."""

    namespace: str

    @property
    def broker(self) -> Broker:
        """The broker."""

    @property
    def session(self) -> Session:
        """The engine's session."""

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists."""


class EmbeddedAdmin:
    """See `engines/base.py`."""

    def __init__(self, engine: Owner) -> None:
        self._engine = engine

    async def topics(self) -> list[TopicView]:
        """All topics by name."""
        catalog = self._engine.broker.catalog
        found = [topic for topic in catalog.topics.values() if topic.set.namespace == self._engine.namespace]
        return [describe.topic_view(catalog, topic) for topic in sorted(found, key=lambda each: each.name)]

    async def queues(self) -> list[QueueView]:
        """All queues by name."""
        catalog = self._engine.broker.catalog
        found = [key for key, declared in catalog.queue_sets.items() if declared.namespace == self._engine.namespace]
        views = [await describe.queue_view(catalog, catalog.queues[key]) for key in found if key in catalog.queues]
        return sorted(views, key=lambda view: view.name)

    async def topic(self, name: str) -> TopicView:
        """One topic."""
        return describe.topic_view(self._engine.broker.catalog, self._engine.broker.topic(self._engine.namespace, name))

    async def queue(self, name: str) -> QueueView:
        """One queue."""
        return await describe.queue_view(self._engine.broker.catalog, self._queue(name))

    def _queue(self, name: str) -> Queue:
        return self._engine.broker.queue(self._engine.namespace, name)

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it."""
        await self._engine.create(definition)

    async def alter(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Change it."""
        await self._engine.broker.quiet("topic", definition.namespace, definition.name)
        if isinstance(definition, QueueDefinition):
            await self._engine.broker.alter_queue(self._engine.session, definition)
        else:
            await self._engine.broker.alter_topic(self._engine.session, definition)

    async def remove(self, name: str) -> None:
        """Remove it."""
        await self._engine.broker.quiet("topic", self._engine.namespace, name)
        await self._engine.broker.remove_topic(self._engine.session, self._engine.namespace, name)

    async def groups(self, topic: str | None = None) -> list[GroupView]:
        """All groups, or those of a topic."""
        broker = self._engine.broker
        if topic is not None:
            broker.topic(self._engine.namespace, topic)
        uptime_ms = broker.clock.monotonic_ms() - broker.opened_ms
        views = [
            describe.group_view(broker.catalog, group, broker.clock, uptime_ms)
            for group in broker.catalog.groups.values()
            if group.namespace == self._engine.namespace
        ]
        kept = [view for view in views if topic is None or any(row.topic == topic for row in view.partitions)]
        return sorted(kept, key=lambda view: view.name)

    async def seek(self, group: str, topic: str, to: Start) -> list[tuple[int, int]]:
        """Move a group."""
        return await self._engine.broker.seek(self._engine.session, self._engine.namespace, group, topic, to)

    async def remove_group(self, group: str) -> None:
        """Forget a group."""
        await self._engine.broker.quiet("group", self._engine.namespace, group)
        await self._engine.broker.remove_group(self._engine.session, self._engine.namespace, group)

    async def peek(self, queue: str, count: int) -> list[PeekedRecord]:
        """Look without taking."""
        return await self._queue(queue).peek(count)

    async def purge(self, queue: str) -> int:
        """Settle all that is not leased."""
        unit = self._engine.broker.journal.unit()
        count = self._queue(queue).purge(unit)
        if unit.changes:
            await unit.submit()
        return count

    async def dead_letters(self, queue: str, count: int) -> list[DeadLetter]:
        """Unsettled dead letters."""
        return [redrive.view(one.topic, one.partition, one.record) for one in await self.peek(queue, count)]

    async def redrive(self, queue: str, count: int | None = None) -> int:
        """Move dead letters home, up to REDRIVE_BATCH in one unit."""
        lens, session = self._queue(queue), self._engine.session
        moved = 0
        while count is None or moved < count:
            wanted = REDRIVE_BATCH if count is None else min(REDRIVE_BATCH, count - moved)
            leased = await lens.lease(
                "redrive", session.id, session.principal_id, wanted, REDRIVE_BYTES, lease_ms=REDRIVE_LEASE_MS, wait_ms=0
            )
            if not leased:
                break
            await self._move_home(lens, leased)
            moved += len(leased)
        return moved

    async def _move_home(self, lens: Queue, leased: list[Leased]) -> None:
        """One unit: settled here, appended there; if it cannot be, all of it stays here."""
        broker, session = self._engine.broker, self._engine.session
        unit = broker.journal.unit()
        try:
            for one in leased:
                target, group = self._home(one)
                record = redrive.revived(one.record, group)
                broker.add(session, unit, broker.topic(self._engine.namespace, target), [record], COPIES)
            lens.ack(unit, [one.lease for one in leased])
            await unit.submit()
        except BaseException:
            back = broker.journal.unit()
            lens.release(back, [one.lease for one in leased])
            await back.submit()
            raise

    def _home(self, one: Leased) -> tuple[str, str | None]:
        """The topic to append to, and the stream group that it is for: a queue's own topic, or the group's stream."""
        origin, topic = redrive.home_of(one.record)
        if origin.startswith(redrive.GROUP):
            return topic, origin.removeprefix(redrive.GROUP)
        if origin.startswith(redrive.QUEUE):
            name = origin.removeprefix(redrive.QUEUE)
            if (self._engine.namespace, name) not in self._engine.broker.catalog.queue_names:
                raise UnknownQueue(name)
            return name, None
        raise InvalidArgument("redrive", f"the record at offset {one.record.offset} is not a dead letter of ours")

    async def explain(self, topic: str, partition: int, offset: int) -> list[LifeStep]:
        """The life of one event."""
        broker = self._engine.broker
        found = broker.topic(self._engine.namespace, topic)
        if not 0 <= partition < len(found.partitions):
            raise UnknownPartition(topic, partition, len(found.partitions))
        place = found.partitions[partition]
        steps = await broker.journal.run(
            lambda: explain.life_of(broker.journal, broker.catalog, place, offset, broker.access.users)
        )
        return explain.first_of_each(steps)

    async def reclaim(self) -> int:
        """Trim, remove dead segments, with the checkpoints that this waits for, and compact what is left."""
        housekeeping = self._engine.broker.housekeeping
        for topic in list(self._engine.broker.catalog.topics.values()):
            await housekeeping.trim(topic)
        removed = await housekeeping.sweep(force=True)
        done = await housekeeping.compacting.everything()
        return removed + done.source_bytes - done.target_bytes

    async def users(self) -> list[UserView]:
        """All users by name."""
        return accounts.listed(self._engine.broker, self._engine.session)

    async def create_user(self, definition: UserDefinition) -> None:
        """Make it."""
        await self._engine.broker.quiet("user", "", definition.name)
        await accounts.create(self._engine.broker, self._engine.session, definition)

    async def alter_user(self, definition: UserDefinition) -> None:
        """Change it."""
        await self._engine.broker.quiet("user", "", definition.name)
        await accounts.alter(self._engine.broker, self._engine.session, definition)

    async def remove_user(self, name: str) -> None:
        """Remove it."""
        await self._engine.broker.quiet("user", "", name)
        await accounts.remove(self._engine.broker, self._engine.session, name)

    async def policies(self) -> list[PolicyView]:
        """All policies of the namespace."""
        return governing.listed(self._engine.broker, self._engine.session, self._engine.namespace)

    async def set_policy(self, definition: PolicyDefinition) -> None:
        """Make or replace it."""
        await self._engine.broker.quiet("policy", definition.namespace, definition.name)
        await governing.put(self._engine.broker, self._engine.session, definition)

    async def remove_policy(self, name: str) -> None:
        """Remove it."""
        await self._engine.broker.quiet("policy", self._engine.namespace, name)
        await governing.remove(self._engine.broker, self._engine.session, self._engine.namespace, name)

    async def namespaces(self) -> list[NamespaceView]:
        """All namespaces by name."""
        return namespaces.listed(self._engine.broker, self._engine.session)

    async def create_namespace(self, name: str, kept: Kept = ()) -> None:
        """Make it."""
        await self._engine.broker.quiet("namespace", "", name)
        await namespaces.create(self._engine.broker, self._engine.session, name, kept)

    async def remove_namespace(self, name: str) -> None:
        """Remove it with everything in it."""
        await namespaces.remove(self._engine.broker, self._engine.session, name)

    async def exchanges(self) -> list[ExchangeView]:
        """All exchanges by name."""
        catalog = self._engine.broker.catalog
        found = [each for each in catalog.exchanges.values() if each.set.namespace == self._engine.namespace]
        return [describe.exchange_view(catalog, each) for each in sorted(found, key=lambda each: each.name)]

    async def create_exchange(self, definition: ExchangeDefinition) -> None:
        """Make it."""
        await self._engine.broker.quiet("exchange", definition.namespace, definition.name)
        await self._engine.broker.create_exchange(self._engine.session, definition)

    async def remove_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Remove it."""
        namespace = self._engine.namespace
        await self._engine.broker.quiet("exchange", namespace, name)
        await self._engine.broker.remove_exchange(self._engine.session, namespace, name, if_unused=if_unused)

    async def bindings(self, exchange: str | None = None, target: str | None = None) -> list[BindingView]:
        """Bindings by exchange, in the order of binding."""
        return describe.binding_views(self._engine.broker.catalog, self._engine.namespace, exchange, target)

    async def bind(self, binding: Binding) -> None:
        """Make it."""
        await self._engine.broker.quiet("exchange", binding.namespace, binding.exchange)
        await self._engine.broker.bind(self._engine.session, binding)

    async def unbind(self, binding: Binding) -> None:
        """Take it back."""
        await self._engine.broker.quiet("exchange", binding.namespace, binding.exchange)
        await self._engine.broker.bind(self._engine.session, binding, unbind=True)
