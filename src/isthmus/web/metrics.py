"""What `/metrics` tells: the state of a broker and of the server around it, as numbers.

It reads applied state and changes nothing. How many samples it gives is bounded, whatever the broker holds, and how
many it leaves out is one of them.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from msgspec import Struct

from isthmus.broker.broker import Broker
from isthmus.broker.catalog import Topic
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.limits import (
    METRICS_GROUPS_MAX,
    METRICS_PARTITIONS_MAX,
    METRICS_QUEUES_MAX,
    METRICS_SLICE,
    METRICS_TOPICS_MAX,
)
from isthmus.web.exposition import Family, Page
from isthmus.web.health import troubles

T = TypeVar("T")
Visible = Callable[[str], bool]
"""Whether who asks may see something of that name."""

QUANTILES: Final = (0.5, 0.99, 1.0)


class ServerFigures(Struct, frozen=True, kw_only=True):
    """What the server around a broker has to tell; times are microseconds, `lag_us` those of QUANTILES."""

    connections: int
    connections_max: int
    connections_refused: int
    strangers: int
    ingress_bytes: int
    ingress_bytes_max: int
    turns: int
    lag_us: tuple[int, ...]
    lag_max_us: int
    lag_samples: int


BUILD: Final = Family("isthmus_build", "info", "The version that runs.", ("version",))
READY: Final = Family("isthmus_ready", "gauge", "1 while the store takes what is published, as /readyz says.")
UPTIME: Final = Family("isthmus_uptime_seconds", "gauge", "Time since the store was opened.", unit="seconds")
EPOCH: Final = Family("isthmus_journal_epoch", "gauge", "How often this store was opened for writing.")
WRITTEN: Final = Family("isthmus_journal_written_lsn", "gauge", "The journal is written up to here.")
DURABLE: Final = Family("isthmus_journal_durable_lsn", "gauge", "The journal is synced up to here.")
CHECKPOINT: Final = Family("isthmus_journal_checkpoint_lsn", "gauge", "The newest checkpoint holds all below this.")
CHECKPOINT_BYTES: Final = Family(
    "isthmus_journal_checkpoint_size_bytes", "gauge", "Size of the newest checkpoint.", unit="bytes"
)
SEGMENTS: Final = Family("isthmus_journal_segments", "gauge", "Segment files.")
PENDING: Final = Family(
    "isthmus_journal_pending_bytes", "gauge", "Bytes that wait to be written to the journal.", unit="bytes"
)
PENDING_LIMIT: Final = Family(
    "isthmus_journal_pending_limit_bytes", "gauge", "Above this, publishing is refused for the moment.", unit="bytes"
)
DISK_FULL: Final = Family(
    "isthmus_journal_disk_full", "gauge", "1 when the disk had no room for the next segment when last tried."
)
COMMITS: Final = Family("isthmus_journal_commits", "counter", "Commits, of which each may hold many publishes.")
SYNCS: Final = Family(
    "isthmus_journal_sync_seconds", "histogram", "How long writes took that were synced.", unit="seconds"
)
BATCHES: Final = Family("isthmus_published_batches", "counter", "Batches of records that were published.")
RECORDS: Final = Family("isthmus_published_records", "counter", "Records that were published.")
TOPICS: Final = Family("isthmus_topics", "gauge", "Topics, those of queues included.")
PARTITIONS: Final = Family("isthmus_partitions", "gauge", "Partitions of all topics.")
QUEUES: Final = Family("isthmus_queues", "gauge", "Queues, those of dead letters included.")
GROUPS: Final = Family("isthmus_groups", "gauge", "Consumer groups.")
OMITTED: Final = Family(
    "isthmus_metrics_omitted",
    "gauge",
    "Things that have no metrics of their own here, because of their number.",
    ("kind",),
)
PLACE: Final = ("namespace", "topic", "partition")
LOG_START: Final = Family("isthmus_partition_log_start_offset", "gauge", "The oldest offset that may be read.", PLACE)
HIGH: Final = Family("isthmus_partition_high_watermark_offset", "gauge", "All below this can be read.", PLACE)
SIZE: Final = Family("isthmus_partition_size_bytes", "gauge", "Bytes of its records, estimated.", PLACE, "bytes")
LAG: Final = Family(
    "isthmus_group_lag_offsets",
    "gauge",
    "Offsets of a topic that a group has not finished.",
    ("namespace", "group", "topic"),
)
MEMBERS: Final = Family("isthmus_group_members", "gauge", "Members of a group.", ("namespace", "group"))
QUEUE: Final = ("namespace", "queue")
DEPTH: Final = Family(
    "isthmus_queue_records",
    "gauge",
    "Records that are not settled: ready, leased, delayed or dying.",
    (*QUEUE, "state"),
)
ENQUEUED: Final = Family("isthmus_queue_enqueued", "counter", "Records that came into a queue.", QUEUE)
SETTLED: Final = Family(
    "isthmus_queue_settled",
    "counter",
    "Records that left a queue: acked, rejected, dead (went to the dead letters), expired, purged, trimmed or dropped"
    " (the queue was full).",
    (*QUEUE, "how"),
)
OLDEST: Final = Family(
    "isthmus_queue_oldest_ready_age_seconds",
    "gauge",
    "Age of the oldest record that is ready; 0 when none is.",
    QUEUE,
    "seconds",
)
WAITING: Final = Family("isthmus_queue_waiting_consumers", "gauge", "Consumers that wait for a record.", QUEUE)
CONNECTIONS: Final = Family("isthmus_connections", "gauge", "Connections to this server.")
CONNECTIONS_LIMIT: Final = Family("isthmus_connections_limit", "gauge", "Above this, connections are refused.")
REFUSED: Final = Family("isthmus_connections_refused", "counter", "Connections that were refused because of a limit.")
STRANGERS: Final = Family("isthmus_connections_unknown", "gauge", "Connections that have not said who they are.")
INGRESS: Final = Family(
    "isthmus_ingress_bytes",
    "gauge",
    "Bytes that were received and are not handled yet, of all connections.",
    unit="bytes",
)
INGRESS_LIMIT: Final = Family(
    "isthmus_ingress_limit_bytes", "gauge", "Above this, connections are read one at a time.", unit="bytes"
)
TURNS: Final = Family("isthmus_turns", "counter", "Turns of the event loop in which requests were begun.")
LOOP_LAG: Final = Family(
    "isthmus_loop_lag_seconds", "summary", "How late the event loop was in the last minute.", ("quantile",), "seconds"
)
LOOP_LAG_MAX: Final = Family(
    "isthmus_loop_lag_max_seconds", "gauge", "How late the event loop was at worst since the start.", unit="seconds"
)

FAMILIES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
"""All metrics, in the order of the page; docs/operations.md has them in a table."""


async def collect(broker: Broker, version: str, server: ServerFigures | None, visible: Visible) -> bytes:
    """The page as it is now; others have their turns while it is made.

    Args:
        broker: whose state it is.
        version: of the library.
        server: what is around the broker; None when nothing is.
        visible: leaves out what who asks may not see.
    """
    page = Page(FAMILIES)
    page.add(BUILD, 1, version)
    _journal(page, broker)
    if server is not None:
        _server(page, server)
    pace = Pace()
    await _topics(page, broker, visible, pace)
    await _groups(page, broker, visible, pace)
    await _queues(page, broker, visible, pace)
    blocks: list[bytes] = []
    for block in page.blocks():
        blocks.append(block)
        await asyncio.sleep(0)
    return b"".join(blocks)


class Pace:
    """Lets others have their turn after every METRICS_SLICE things that were looked at."""

    def __init__(self) -> None:
        self._looked = 0

    async def after(self, things: int) -> None:
        """So many more were looked at."""
        self._looked += things
        if self._looked >= METRICS_SLICE:
            self._looked = 0
            await asyncio.sleep(0)


def _journal(page: Page, broker: Broker) -> None:
    journal = broker.journal
    page.add(READY, int(not troubles(broker)))
    page.add(UPTIME, (broker.clock.monotonic_ms() - broker.opened_ms) / 1_000)
    page.add(EPOCH, journal.epoch)
    page.add(WRITTEN, journal.written_lsn)
    page.add(DURABLE, journal.durable_lsn)
    page.add(CHECKPOINT, journal.checkpoints[-1] if journal.checkpoints else 0)
    page.add(CHECKPOINT_BYTES, journal.checkpoint_bytes)
    page.add(SEGMENTS, len(journal.segments))
    page.add(PENDING, journal.pending_bytes)
    page.add(PENDING_LIMIT, journal.options.pending_bytes_max)
    page.add(DISK_FULL, int(journal.space.full))
    page.add(COMMITS, journal.groups_committed)
    syncs = journal.syncs
    page.add_histogram(SYNCS, [bound / 1_000 for bound in syncs.BOUNDS_MS], list(syncs.counts), syncs.sum_ms / 1_000)
    page.add(BATCHES, journal.batches_appended)
    page.add(RECORDS, journal.records_appended)


def _server(page: Page, server: ServerFigures) -> None:
    page.add(CONNECTIONS, server.connections)
    page.add(CONNECTIONS_LIMIT, server.connections_max)
    page.add(REFUSED, server.connections_refused)
    page.add(STRANGERS, server.strangers)
    page.add(INGRESS, server.ingress_bytes)
    page.add(INGRESS_LIMIT, server.ingress_bytes_max)
    page.add(TURNS, server.turns)
    lags = {quantile: us / 1_000_000 for quantile, us in zip(QUANTILES, server.lag_us, strict=True)}
    page.add_summary(LOOP_LAG, lags, server.lag_samples)
    page.add(LOOP_LAG_MAX, server.lag_max_us / 1_000_000)


async def _topics(page: Page, broker: Broker, visible: Visible, pace: Pace) -> None:
    topics = [topic for topic in broker.catalog.topics.values() if visible(topic.name)]
    pairs = [(topic, index) for topic in topics for index in range(len(topic.partitions))]
    page.add(TOPICS, len(topics))
    page.add(PARTITIONS, len(pairs))
    for topic, index in _first(page, "partitions", pairs, METRICS_PARTITIONS_MAX):
        _partition(page, topic, index)
        await pace.after(1)


def _partition(page: Page, topic: Topic, index: int) -> None:
    if index >= len(topic.partitions):  # it was removed while others had their turn
        return
    partition, place = topic.partitions[index], (topic.set.namespace, topic.name, str(index))
    page.add(LOG_START, partition.log_start, *place)
    page.add(HIGH, partition.high_watermark, *place)
    page.add(SIZE, partition.bytes, *place)


async def _groups(page: Page, broker: Broker, visible: Visible, pace: Pace) -> None:
    groups = [group for group in broker.catalog.groups.values() if visible(group.name)]
    page.add(GROUPS, len(groups))
    for group in _first(page, "groups", groups, METRICS_GROUPS_MAX):
        page.add(MEMBERS, len(group.members.describe().members), group.namespace, group.name)
        await _lags(page, broker, group, visible, pace)


async def _lags(page: Page, broker: Broker, group: ConsumerGroup, visible: Visible, pace: Pace) -> None:
    """How far a group is behind in each of its topics; members' positions in many partitions take their time."""
    topics = {topic.id: topic for key in group.positions if (topic := broker.catalog.topic_of(key)) is not None}
    seen = [topic for topic in topics.values() if visible(topic.name)]
    for topic in seen[:METRICS_TOPICS_MAX]:
        lag = sum(_behind(group, topic, index) for index in range(len(topic.partitions)))
        page.add(LAG, lag, group.namespace, group.name, topic.name)
        await pace.after(len(topic.partitions))


def _behind(group: ConsumerGroup, topic: Topic, index: int) -> int:
    partition = topic.partitions[index]
    progress = group.progress(partition)
    if progress is None:
        return 0
    return partition.high_watermark - progress.floor - sum(end - start for start, end in progress.done)


async def _queues(page: Page, broker: Broker, visible: Visible, pace: Pace) -> None:
    sets = broker.catalog.queue_sets
    queues = [queue for key, queue in broker.catalog.queues.items() if visible(sets[key].name)]
    page.add(QUEUES, len(queues))
    for queue in _first(page, "queues", queues, METRICS_QUEUES_MAX):
        await _queue(page, broker, queue)
        await pace.after(16)


async def _queue(page: Page, broker: Broker, queue: Queue) -> None:
    declared = broker.catalog.queue_sets.get(queue.id)
    oldest_ms = None if declared is None else await queue.oldest_ready_ms()
    if declared is None or queue.id not in broker.catalog.queues:  # it was removed while others had their turn
        return
    name, counts = (declared.namespace, declared.name), queue.counts()
    for state in ("ready", "leased", "delayed", "dying"):
        page.add(DEPTH, getattr(counts, state), *name, state)
    for how in ("acked", "rejected", "dead", "expired", "purged", "trimmed", "dropped"):
        page.add(SETTLED, getattr(counts, how), *name, how)
    page.add(ENQUEUED, counts.enqueued, *name)
    page.add(OLDEST, 0 if oldest_ms is None else max(0, broker.clock.now_ms() - oldest_ms) / 1_000, *name)
    page.add(WAITING, queue.waiting, *name)


def _first(page: Page, kind: str, things: list[T], count: int) -> Iterable[T]:
    page.add(OMITTED, max(0, len(things) - count), kind)
    return things[:count]
