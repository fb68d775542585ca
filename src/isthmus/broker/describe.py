"""The broker's applied state as views: what `show`, `ls`, `lag` and `peek` answer. It changes nothing."""

import uuid

from isthmus.broker.catalog import Catalog, Topic
from isthmus.clock import Clock
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.log.partition import Partition
from isthmus.views import GroupPartitionView, GroupView, PartitionView, QueueView, TopicView


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
    )


def group_view(catalog: Catalog, group: ConsumerGroup, clock: Clock, uptime_ms: int) -> GroupView:
    """A group with its positions and members."""
    members = group.members.describe()
    rows = []
    silent = False
    for topic in sorted(catalog.topics.values(), key=lambda each: each.name):
        for partition in topic.partitions:
            progress = group.progress(partition)
            if progress is None:
                continue
            silent = silent or group.is_silent(clock.now_ms(), uptime_ms, topic.set.config.silent_ms)
            done = sum(end - start for start, end in progress.done)
            rows.append(
                GroupPartitionView(
                    topic=topic.name,
                    partition=partition.index,
                    floor=progress.floor,
                    done_above=done,
                    retrying=len(progress.attempts),
                    high_watermark=partition.high_watermark,
                    lag=partition.high_watermark - progress.floor - done,
                    member=None,
                )
            )
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
