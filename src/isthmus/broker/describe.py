"""The broker's applied state as views: what `show`, `ls`, `lag` and `peek` answer. It changes nothing."""

import uuid

from isthmus.broker.bindings import Bound
from isthmus.broker.catalog import Catalog, Exchange, Topic
from isthmus.clock import Clock
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.stream import assignor
from isthmus.lenses.stream.membership import MembershipView
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.lenses.stream.position import Progress
from isthmus.log.partition import Partition
from isthmus.views import BindingView, ExchangeView, GroupPartitionView, GroupView, PartitionView, QueueView, TopicView


def topic_view(catalog: Catalog, topic: Topic) -> TopicView:
    """A topic with its partitions and readers."""
    declared = topic.set
    groups, _ = catalog.readers(topic)
    owner = catalog.queue_sets.get(declared.queue) if declared.queue is not None else None
    return TopicView(
        name=declared.name,
        namespace=declared.namespace,
        id=declared.id,
        uuid=str(uuid.UUID(bytes=declared.uuid)),
        placement=declared.placement,
        lifetime=declared.lifetime,
        config=declared.config,
        partitions=tuple(partition_view(partition) for partition in topic.partitions),
        queue=owner.name if owner is not None else None,
        groups=tuple(sorted(group.name for group in groups)),
        views=tuple(sorted(view.name for view in catalog.views_of(topic.id))),
        created_ms=declared.created_ms,
    )


def partition_view(partition: Partition) -> PartitionView:
    """A partition's offsets and size."""
    return PartitionView(
        index=partition.index,
        log_start=partition.log_start,
        high_watermark=partition.high_watermark,
        bytes=partition.bytes,
    )


async def queue_view(catalog: Catalog, queue: Queue) -> QueueView:
    """A queue with its counts."""
    declared = catalog.queue_sets[queue.id]
    viewed = catalog.topics.get(declared.view_of) if declared.view_of is not None else None
    counts = queue.counts()
    policy = catalog.policies.winner(declared.namespace, "queues", declared.name)
    return QueueView(
        name=declared.name,
        namespace=declared.namespace,
        id=declared.id,
        config=declared.config,
        view_of=viewed.name if viewed is not None else None,
        lifetime=declared.lifetime,
        enqueued=counts.enqueued,
        ready=counts.ready,
        leased=counts.leased,
        delayed=counts.delayed,
        dying=counts.dying,
        acked=counts.acked,
        rejected=counts.rejected,
        dead=counts.dead,
        expired=counts.expired,
        purged=counts.purged,
        trimmed=counts.trimmed,
        oldest_ready_ms=await queue.oldest_ready_ms(),
        created_ms=declared.created_ms,
        policy=policy.set.name if policy is not None else None,
        effective=queue.config if policy is not None else None,
        dropped=counts.dropped,
    )


def exchange_view(catalog: Catalog, exchange: Exchange) -> ExchangeView:
    """An exchange with how many bindings there are of it."""
    declared = exchange.set
    return ExchangeView(
        name=declared.name,
        namespace=declared.namespace,
        id=declared.id,
        kind=declared.kind,
        lifetime=declared.lifetime,
        auto_remove=declared.auto_remove,
        internal=declared.internal,
        delayed=declared.delayed,
        alternate=exchange.alternate,
        bindings=len(exchange.bindings),
        bound=len(catalog.ways_to(declared.id)),
        kept=declared.kept,
    )


def binding_views(
    catalog: Catalog, namespace: str, exchange: str | None = None, target: str | None = None
) -> list[BindingView]:
    """Bindings of a namespace, of one exchange or to one topic or exchange: by exchange, in the order of binding."""
    if exchange is not None:
        sources = [catalog.exchange(namespace, exchange)]
    else:
        found = [each for each in catalog.exchanges.values() if each.set.namespace == namespace]
        sources = sorted(found, key=lambda each: each.name)
    rows = [_binding_view(catalog, source, row) for source in sources for row in source.bindings.values()]
    return [row for row in rows if target is None or target in (row.topic, row.to_exchange)]


def _binding_view(catalog: Catalog, source: Exchange, row: Bound) -> BindingView:
    return BindingView(
        exchange=source.name,
        topic=catalog.topics[row.topic].name if row.topic else "",
        to_exchange=catalog.exchanges[row.to_exchange].name if row.to_exchange else "",
        key=row.key,
        match=row.match,
        kept=row.kept,
    )


def group_view(catalog: Catalog, group: ConsumerGroup, clock: Clock, uptime_ms: int) -> GroupView:
    """A group with its positions and members."""
    members = group.members.describe()
    owners = _owners(members)
    topics = {topic.id: topic for key in group.positions if (topic := catalog.topic_of(key)) is not None}
    silent = any(group.is_silent(clock.now_ms(), uptime_ms, topic.set.config.silent_ms) for topic in topics.values())
    rows = [
        _position_view(topic, partition, progress, owners.get((topic.name, partition.index)))
        for topic in sorted(topics.values(), key=lambda each: each.name)
        for partition in topic.partitions
        if (progress := group.progress(partition)) is not None
    ]
    return GroupView(
        name=group.name,
        namespace=group.namespace,
        id=group.id,
        state=str(members.state),
        generation=members.generation,
        members=tuple(member.member for member in members.members),
        silent=silent,
        partitions=tuple(rows),
        lag=sum(row.lag for row in rows),
    )


def _position_view(topic: Topic, partition: Partition, progress: Progress, member: str | None) -> GroupPartitionView:
    done = sum(end - start for start, end in progress.done)
    return GroupPartitionView(
        topic=topic.name,
        partition=partition.index,
        floor=progress.floor,
        done_above=done,
        retrying=len(progress.attempts),
        high_watermark=partition.high_watermark,
        lag=partition.high_watermark - progress.floor - done,
        member=member,
    )


def _owners(members: MembershipView) -> dict[tuple[str, int], str]:
    """Which member has which partition, as far as assignments can be read: those of foreign assignors are opaque."""
    if members.protocol != assignor.PROTOCOL:
        return {}
    return {
        partition: member.member
        for member in members.members
        for partition in assignor.decode_assignment(member.assignment)
    }
