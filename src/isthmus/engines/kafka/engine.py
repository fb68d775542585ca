"""The port on a Kafka cluster: `kafka://`, by librdkafka.

Streams are topics and consumer groups; queues are kept by share groups where the cluster has them, else by consumer
groups with retry and dead-letter topics. What Kafka cannot keep natively stands in `CAPABILITIES`.
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from isthmus.broker import redrive
from isthmus.broker.publishing import Options
from isthmus.clock import Clock, SystemClock
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Admin, Attributes, Capability, Reader, Source, Start, Unit
from isthmus.engines.kafka.address import Address, parse
from isthmus.engines.kafka.admin import KafkaAdmin
from isthmus.engines.kafka.catalog import Catalog, group_of, has_retry_topic, retry_topic
from isthmus.engines.kafka.group import GroupSource
from isthmus.engines.kafka.link import Link, Placed
from isthmus.engines.kafka.reader import KafkaReader
from isthmus.engines.kafka.share import ShareSource, ShareTerms
from isthmus.engines.shared import marks
from isthmus.engines.shared.desk import Terms
from isthmus.engines.shared.unit import OutputsFirstUnit
from isthmus.errors import Closed, InvalidArgument, KeyRequired, RecordTooLarge, Unsupported
from isthmus.record import Appended, Record

NATIVE: Final = Capability(support="native")
LOCKS: Final = "group.share.record.lock.duration.ms"
HAND_OVERS: Final = "group.share.delivery.count.limit"
DEAD_SUFFIX: Final = ".dead"


def _emulated(how: str) -> Capability:
    return Capability(support="emulated", how=how)


def _refused(how: str) -> Capability:
    return Capability(support="refused", how=how)


CAPABILITIES: Final[dict[str, Capability]] = {
    "unit": _emulated(
        "outputs are acknowledged before what they came from is settled, so after a crash some come twice"
    ),
    "queue": _emulated("a consumer group with a retry topic; no more consumers work at once than there are partitions"),
    "delay": _emulated("whoever consumes holds early events back"),
    "ttl": _emulated("whoever consumes passes over events that are too old"),
    "dedup": _refused("Kafka remembers no ids of events; its producers are idempotent by themselves"),
    "ordered": _emulated("whoever consumes holds a key back while an earlier event of it is unsettled or failed"),
    "compact": NATIVE,
    "consumed": _refused("Kafka keeps events by age and size; use retain= or retain_size="),
    "extend": _emulated("leases are kept by the member that has the partition"),
    "retry": _emulated("what fails waits in a retry topic, or in its place where order is promised"),
    "dead": _emulated("the dead are copied to a topic, then settled"),
    "redrive": _emulated("each dead letter is published again, then settled"),
    "view": _emulated("one consumer group over both topics"),
    "seek": NATIVE,
    "peek": _emulated("what no committed position calls done; who holds it Kafka does not tell"),
    "purge": _emulated("the group is moved to the end, while no consumer is at work"),
    "explain": _refused("Kafka keeps no history of leases and acknowledgements"),
    "gzip": NATIVE,
    "priority": _refused("use one queue a priority"),
    "fair": _refused("comes later"),
    "single": _refused("a queue of one partition has one consumer at a time"),
    "bounded": _refused("bound it in time: ttl="),
    "length": _refused("use retain_size="),
}
"""By promise, on a cluster without share groups."""

SHARED: Final[dict[str, Capability]] = {
    "queue": NATIVE,
    "extend": _emulated("the cluster's locks last as long as it says; only what failed before can be renewed"),
    "ordered": _emulated("such a queue is kept by a consumer group, which holds a key back while it has to"),
    "retry": _emulated("what fails leaves the share group and waits in a retry topic"),
}
"""What is otherwise where the cluster has share groups."""


class KafkaEngine:
    """See `engines/base.py` for the methods."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._address: Address = parse(url)
        self._clock = clock or SystemClock()
        self._link = Link(self._address.url, self._address.settings)
        self._catalog = Catalog(self._link, self._clock)
        self._sources: set[GroupSource | ShareSource | KafkaReader] = set()
        self._share_rules: tuple[int, int] | None = None
        self._members = itertools.count(1)
        self._admin = KafkaAdmin(self._link, self._catalog, self._clock, self)
        self._closed = False

    @property
    def url(self) -> str:
        """The address without its password."""
        return self._address.url

    @property
    def clock(self) -> Clock:
        """The clock of this process; the cluster has its own."""
        return self._clock

    @property
    def capabilities(self) -> dict[str, Capability]:
        """What this cluster keeps, and how."""
        return CAPABILITIES if self._share_rules is None else CAPABILITIES | SHARED

    @property
    def admin(self) -> Admin:
        """Administration of the cluster."""
        return self._admin

    async def start(self) -> None:
        """Reach the cluster, and find out how it keeps queues.

        Raises:
            EngineError: nobody answers. InvalidArgument: `queues=share` on a cluster without share groups.
        """
        await self._link.start()
        await self._catalog.refresh()
        if self._address.queues != "group":
            self._share_rules = await self._find_share_rules()
        if self._address.queues == "share" and self._share_rules is None:
            raise InvalidArgument("queues", "this cluster has no share groups; leave queues= out")

    async def _find_share_rules(self) -> tuple[int, int] | None:
        """How long a lock lasts (ms) and how often a record is handed over; None without share groups."""
        cluster = await self._link.ask(self._link.admin.list_topics, timeout=30.0)
        resource = ConfigResource(ResourceType.BROKER, str(min(cluster.brokers)))
        (rows,) = (await self._link.each(self._link.admin.describe_configs([resource]), "broker settings")).values()
        if LOCKS not in rows or HAND_OVERS not in rows:
            return None
        return int(rows[LOCKS].value), int(rows[HAND_OVERS].value)

    async def close(self) -> None:
        """Leave all groups and send what is left; idempotent."""
        if self._closed:
            return
        self._closed = True
        for source in list(self._sources):
            await source.close()
        await self._catalog.close()
        await self._link.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(self.url)

    # ---- declaring --------------------------------------------------------------------------------------------------

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it if it is not there."""
        self._check_open()
        if isinstance(definition, QueueDefinition) and definition.view_of is not None:
            await self._catalog.partitions(definition.view_of)
        if await self._catalog.declare(definition) and isinstance(definition, QueueDefinition):
            await self._prepare(definition)

    async def create(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists."""
        await self._catalog.create(definition)
        if isinstance(definition, QueueDefinition):
            await self._prepare(definition)

    async def _prepare(self, definition: QueueDefinition) -> None:
        """A share group begins at the end unless told otherwise, and a view at the end of now."""
        if self.is_shared(definition):
            start = ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource(ResourceType.GROUP, group_of(definition.name), incremental_configs=[start])
            await self._link.each(self._link.admin.incremental_alter_configs([resource]), definition.name)
        elif definition.view_of is not None and definition.view_start == "latest":
            await self._admin.set_positions(group_of(definition.name), definition.view_of, "latest")

    def is_shared(self, definition: QueueDefinition) -> bool:
        """Whether a share group keeps a queue: not where order, a second topic, or a look into it is asked for."""
        return (
            self._share_rules is not None
            and not definition.config.ordered
            and definition.view_of is None
            and not definition.name.endswith(DEAD_SUFFIX)
        )

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return await self._catalog.partitions(topic)

    # ---- publishing -------------------------------------------------------------------------------------------------

    async def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> list[Appended]:
        """Publish, and return when all in-sync replicas have it."""
        self._check_open()
        records = await self._checked(name, records, attributes)
        placed = await self._link.produce(name, records, compression)
        return runs_of(name, placed)

    async def _checked(self, name: str, records: Sequence[Record], attributes: Attributes | None) -> Sequence[Record]:
        """Records with their attributes as headers. Raises what makes none of them publishable."""
        if not records:
            raise InvalidArgument("records", "there are none")
        config = await self._catalog.topic_config(name)
        if config.compact and any(record.key is None for record in records):
            raise KeyRequired(name)
        largest = max(len(each.value or b"") + len(each.key or b"") + len(each.headers) for each in records)
        if largest > config.record_bytes_max:
            raise RecordTooLarge(largest, config.record_bytes_max)
        now_ms = self._clock.now_ms()
        if any(record.timestamp_ms < 0 for record in records):
            records = [marks.stamped(record, now_ms) for record in records]
        if attributes is None:
            return records
        if attributes.dedup is not None or attributes.priority:
            what = "dedup" if attributes.dedup is not None else "priority"
            raise Unsupported(f"{what} on Kafka", CAPABILITIES[what].how)
        options = Options(due_ms=attributes.due_ms, expire_ms=attributes.expire_ms)
        return marks.marked(records, options.headers())

    def unit(self) -> Unit:
        """Outputs first, settlements after."""
        return OutputsFirstUnit(self.publish, (GroupSource, ShareSource))

    # ---- reading and consuming --------------------------------------------------------------------------------------

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> Reader:
        """Read all partitions from a start."""
        self._check_open()
        reader = KafkaReader(self._link, self._clock, topic, await self._catalog.partitions(topic))
        await reader.begin(start, to_end=stop == "end")
        self._sources.add(reader)
        reader.on_close = partial(self._sources.discard, reader)
        return reader

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Join a group."""
        self._check_open()
        await self._catalog.partitions(topic)
        terms = Terms(
            group=group,
            name=topic,
            starts={topic: start},
            origin=f"{redrive.GROUP}{group}",
            only=group,
            dead=dead,
        )
        return await self._begun(GroupSource(self._link, self._clock, terms))

    async def queue_source(self, queue: str, consumer: str) -> Source:  # noqa: ARG002 - Kafka names members itself
        """Consume a queue."""
        self._check_open()
        definition = await self._catalog.queue(queue)
        return await self._begun(self.source_of(definition))

    def source_of(self, definition: QueueDefinition) -> GroupSource | ShareSource:
        """A consumer of a queue, not begun yet."""
        retry = retry_topic(definition.name) if has_retry_topic(definition) else None
        if self._share_rules is None or retry is None or not self.is_shared(definition):
            return GroupSource(self._link, self._clock, _terms(definition, retry))
        config, (lock_ms, hand_overs) = definition.config, self._share_rules
        terms = ShareTerms(
            group=group_of(definition.name),
            queue=definition.name,
            lock_ms=lock_ms,
            hand_overs=hand_overs,
            ttl_ms=config.ttl_ms,
            failed_max=config.failed_max,
            retry=retry,
            dead=config.dead,
        )
        retries = GroupSource(self._link, self._clock, _terms(definition, retry, only_retries=True))
        return ShareSource(self._link, self._clock, terms, retries)

    async def _begun(self, source: GroupSource | ShareSource) -> GroupSource | ShareSource:
        try:
            await source.begin()
        except BaseException:
            await source.close()
            raise
        self._sources.add(source)
        source.on_close = partial(self._sources.discard, source)
        return source


def _terms(definition: QueueDefinition, retry: str | None, *, only_retries: bool = False) -> Terms:
    config = definition.config
    starts: dict[str, Start] = {} if only_retries else {definition.name: "earliest"}
    if retry is not None:
        starts[retry] = "earliest"
    if definition.view_of is not None:
        at = definition.view_start
        starts[definition.view_of] = ("time", at) if isinstance(at, int) else at
    name = group_of(definition.name)
    return Terms(
        group=f"{name}.retry" if only_retries else name,
        name=definition.name,
        starts=starts,
        origin=f"{redrive.QUEUE}{definition.name}",
        lease_ms=config.lease_ms,
        ttl_ms=config.ttl_ms,
        failed_max=config.failed_max,
        retry=retry,
        dead=config.dead,
    )


def runs_of(topic: str, placed: Sequence[Placed]) -> list[Appended]:
    """Where records went, as runs of offsets per partition in the order of appending."""
    rows = sorted((partition, offset, at, time_ms) for at, (partition, offset, time_ms) in enumerate(placed))
    runs: list[list[tuple[int, int, int, int]]] = []
    for row in rows:
        last = runs[-1][-1] if runs else None
        if last is not None and last[0] == row[0] and last[1] + 1 == row[1]:
            runs[-1].append(row)
        else:
            runs.append([row])
    whole = len(runs) == 1
    return [
        Appended(topic, run[0][0], run[0][1], len(run), run[0][3], indexes=None if whole else [row[2] for row in run])
        for run in runs
    ]
