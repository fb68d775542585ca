"""What is declared on a cluster: Kafka's own topics, and what of a definition Kafka has no place for.

A compacted topic of one partition, `isthmus.definitions`, holds one JSON document per name: Kafka knows partitions and
retention, but neither queues nor event types. A topic that somebody else has made is shown as Kafka describes it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from msgspec import Struct

from isthmus.clock import Clock
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition, check_name
from isthmus.engines.kafka.link import ANSWER_S, Link
from isthmus.engines.kafka.records import raised
from isthmus.errors import (
    AlreadyExists,
    EngineError,
    InvalidArgument,
    InvalidName,
    UnknownQueue,
    UnknownTopic,
    Unsupported,
)
from isthmus.limits import MIB
from isthmus.record import Record

DEFINITIONS: Final = "isthmus.definitions"
RETRY_SUFFIX: Final = ".retry"
LATER: Final = 9_223_372_036_854_775_807
BATCH_BYTES_MIN: Final = 2 * MIB
"""Kafka limits batches where we limit records: a batch of this size is always let in."""

ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
TOPIC_NAME_MAX: Final = 249


class TopicEntry(Struct, frozen=True, tag="topic"):
    """A declared topic."""

    definition: TopicDefinition
    created_ms: int


class QueueEntry(Struct, frozen=True, tag="queue"):
    """A declared queue; the topic that it owns has its name."""

    definition: QueueDefinition
    created_ms: int


Entry = TopicEntry | QueueEntry
Marks = Mapping[int, tuple[int, int]]
"""By index of the partition: log start and high watermark."""

_decoder: Final = msgspec.json.Decoder(Entry)


def retry_topic(queue: str) -> str:
    """Where what failed in a queue waits for its next time."""
    return f"{queue}{RETRY_SUFFIX}"


def has_retry_topic(definition: QueueDefinition) -> bool:
    """Whether what fails leaves its place: not where order is promised, which holds the key back instead."""
    return not definition.config.ordered


def group_of(queue: str) -> str:
    """The group that consumes a queue."""
    return f"isthmus.queue.{queue}"


class Catalog:
    """See the module. One loop."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._partitions: dict[str, int] = {}
        self._reader: Consumer | None = None
        self._next = 0
        self._lock = asyncio.Lock()
        self._declaring = asyncio.Lock()

    async def close(self) -> None:
        """Stop reading definitions."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await self._link.run(reader.close)

    # ---- what there is ----------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Look again at what exists, here and at the cluster."""
        async with self._lock:
            metadata = await self._link.ask(self._link.admin.list_topics, timeout=ANSWER_S)
            self._partitions = {
                name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None
            }
            if DEFINITIONS in self._partitions:
                low, end = (await self.marks(DEFINITIONS))[0]
                await self._link.ask(self._read_definitions, low, end, about=DEFINITIONS)

    def _read_definitions(self, low: int, end: int) -> None:
        """Follow the definitions to their end. Runs in a thread."""
        place = TopicPartition(DEFINITIONS, 0, self._next)
        if self._reader is None:
            self._reader = self._link.consumer(
                {"group.id": "isthmus.definitions", "client.id": "isthmus-definitions", "enable.auto.commit": False}
            )
            place.offset = self._next = 0
            self._reader.assign([place])
        self._next = max(self._next, low)
        while self._next < end:
            message = self._reader.poll(ANSWER_S)
            error = message.error() if message is not None else None
            if message is None or error is not None:
                raise KafkaException(error or KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - librdkafka's name
            self._next = (message.offset() or 0) + 1
            self._learn((message.key() or b"").decode(errors="replace"), message.value())
            end = max(end, self._next)

    def _learn(self, name: str, value: bytes | None) -> None:
        if value is None:
            self._entries.pop(name, None)
            return
        try:
            self._entries[name] = _decoder.decode(value)
        except msgspec.MsgspecError as error:
            raise EngineError(
                f"{DEFINITIONS}: what it says of {name!r} cannot be read ({error}); a newer version may have written"
                " it: upgrade this one",
                retryable=False,
            ) from error

    def entry(self, name: str) -> Entry | None:
        """What was declared under a name, if its topic is still there."""
        return self._entries.get(name) if name in self._partitions else None

    def names(self) -> list[str]:
        """All topics but those of Kafka's and of our own book-keeping."""
        hidden = {DEFINITIONS} | {
            retry_topic(name) for name, each in self._entries.items() if isinstance(each, QueueEntry)
        }
        return sorted(name for name in self._partitions if name not in hidden and not name.startswith("__"))

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises UnknownTopic."""
        if topic not in self._partitions:
            await self.refresh()
        found = self._partitions.get(topic)
        if found is None:
            raise UnknownTopic(topic)
        return found

    async def topic_config(self, topic: str) -> TopicConfig:
        """How a topic was declared; the defaults for one that somebody else has made. Raises UnknownTopic."""
        await self.partitions(topic)
        entry = self.entry(topic)
        match entry:
            case TopicEntry():
                return entry.definition.config
            case QueueEntry():
                return entry.definition.topic
            case _:
                return TopicConfig()

    async def queue(self, name: str) -> QueueDefinition:
        """A declared queue. Raises UnknownQueue."""
        if not isinstance(self.entry(name), QueueEntry):
            await self.refresh()
        entry = self.entry(name)
        if not isinstance(entry, QueueEntry):
            raise UnknownQueue(name)
        return entry.definition

    async def marks(self, topic: str) -> Marks:
        """Log start and high watermark of each partition of a topic that is known. Raises UnknownTopic.

        Asked of the administrator, since the answer to a consumer has to wait behind what it is just fetching.
        """
        places = [TopicPartition(topic, index) for index in range(self._partitions.get(topic, 0))]
        ends = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
            futures = self._link.admin.list_offsets(
                dict.fromkeys(places, spec), isolation_level=IsolationLevel.READ_UNCOMMITTED
            )
            found = await self._link.each(futures, topic)
            ends.append({place.partition: answer.offset for place, answer in found.items()})
        return {index: (ends[0][index], ends[1][index]) for index in sorted(ends[0])}

    # ---- declaring --------------------------------------------------------------------------------------------------

    async def declare(self, asked: TopicDefinition | QueueDefinition) -> bool:
        """Make it, or take over what can change; says whether it is new.

        Raises:
            AlreadyExists: what is there differs in what cannot change.
            Unsupported, InvalidName, InvalidArgument: Kafka cannot have it.
        """
        async with self._declaring:
            return await self._declare(asked)

    async def _declare(self, asked: TopicDefinition | QueueDefinition) -> bool:
        await self.refresh()
        entry, kind = self.entry(asked.name), _kind(asked)
        if entry is None and asked.name in self._partitions and isinstance(asked, QueueDefinition):
            raise AlreadyExists("topic", asked.name, "it was not made as a queue; remove it or take another name")
        if entry is None and asked.name not in self._partitions:
            return await self._create(asked)
        difference = self._difference(asked, entry)
        if difference:
            raise AlreadyExists(kind, asked.name, difference)
        check(asked)
        if entry is None or entry.definition != asked:
            await self._take_over(asked, entry)
        return False

    async def create(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists whatever the definition."""
        await self.refresh()
        if asked.name in self._partitions or not await self._create(asked):
            raise AlreadyExists(_kind(asked), asked.name)

    async def alter(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Change what is there. Raises UnknownTopic, UnknownQueue, InvalidArgument."""
        if isinstance(asked, QueueDefinition):
            await self.queue(asked.name)
        else:
            await self.partitions(asked.name)
        try:
            await self.declare(asked)
        except AlreadyExists as error:
            raise InvalidArgument(asked.name, error.difference or str(error)) from error

    async def remove(self, name: str) -> None:
        """Remove a topic with all that is known of it. Raises UnknownTopic."""
        await self.refresh()
        await self.partitions(name)
        entry = self.entry(name)
        await self._link.each(self._link.admin.delete_topics([name]), name)
        retry = retry_topic(name)
        if isinstance(entry, QueueEntry) and retry in self._partitions:
            await self._link.each(self._link.admin.delete_topics([retry]), retry)
        if entry is not None:
            await self._state(name, None)
        await self._until(name, there=False)

    def views_of(self, topic: str) -> tuple[str, ...]:
        """The queues that view a topic."""
        return tuple(
            sorted(
                name
                for name in self._partitions
                if isinstance(each := self.entry(name), QueueEntry) and each.definition.view_of == topic
            )
        )

    def _difference(self, asked: TopicDefinition | QueueDefinition, entry: Entry | None) -> str:
        """What of a declaration is not as it is and cannot be made so."""
        rows: list[tuple[str, object, object]]
        now = entry.definition if entry is not None else TopicDefinition(name=asked.name)
        if isinstance(asked, QueueDefinition) is not isinstance(now, QueueDefinition):
            return "it belongs to a queue" if isinstance(now, QueueDefinition) else "it is a stream"
        rows = [("lifetime", now.lifetime, asked.lifetime)]
        if isinstance(asked, TopicDefinition) and isinstance(now, TopicDefinition) and entry is not None:
            rows += [
                ("placement", now.placement, asked.placement),
                ("compact", now.config.compact, asked.config.compact),
            ]
        if isinstance(asked, QueueDefinition) and isinstance(now, QueueDefinition):
            rows += [("ordered", now.config.ordered, asked.config.ordered), ("of", now.view_of, asked.view_of)]
        found = [f"{name} is {old!r}, not {new!r}" for name, old, new in rows if old != new]
        have = self._partitions[asked.name]
        if asked.partitions < have:
            found.append(f"partitions are {have}, not {asked.partitions}, and cannot become fewer")
        return "; ".join(found)

    async def _create(self, asked: TopicDefinition | QueueDefinition) -> bool:
        """Write down what it is, then make it: so nobody ever finds a topic of ours without knowing what it is."""
        check(asked)
        await self._state(asked.name, _entry_of(asked, self._clock.now_ms()))
        made = await self._make(asked.name, asked.partitions, configs_of(asked))
        if isinstance(asked, QueueDefinition) and has_retry_topic(asked):
            await self._make(retry_topic(asked.name), asked.partitions, configs_of(asked))
        return made

    async def _make(self, name: str, partitions: int, configs: Mapping[str, str]) -> bool:
        """Create a topic and wait until it can be used; says whether it is new."""
        (future,) = self._link.admin.create_topics([NewTopic(name, partitions, -1, config=dict(configs))]).values()
        try:
            await self._link.run(future.result, ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise raised(error, name) from error
            return False
        await self._until(name, there=True)
        return True

    async def _until(self, name: str, *, there: bool) -> None:
        """Wait until the cluster says so: what it has answered may take a moment to be known everywhere."""
        until_ms = self._clock.monotonic_ms() + int(ANSWER_S * 1_000)
        while True:
            metadata = await self._link.ask(self._link.admin.list_topics, timeout=ANSWER_S)
            topic = metadata.topics.get(name)
            ready = topic is not None and all(each.leader >= 0 for each in topic.partitions.values())
            if ready is there and (there or topic is None):
                self._partitions = {each: len(found.partitions) for each, found in metadata.topics.items()}
                return
            if self._clock.monotonic_ms() > until_ms:
                raise EngineError(f"topic {name!r} is not {'there' if there else 'gone'} in time", retryable=True)
            await self._link.pause()

    async def _take_over(self, asked: TopicDefinition | QueueDefinition, entry: Entry | None) -> None:
        if asked.partitions > self._partitions[asked.name]:
            more = NewPartitions(asked.name, asked.partitions)
            await self._link.each(self._link.admin.create_partitions([more]), asked.name)
            await self._until_partitions(asked.name, asked.partitions)
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in configs_of(asked).items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, asked.name, incremental_configs=changes)
        await self._link.each(self._link.admin.incremental_alter_configs([resource]), asked.name)
        created_ms = entry.created_ms if entry is not None else self._clock.now_ms()
        await self._state(asked.name, _entry_of(asked, created_ms))

    async def _until_partitions(self, name: str, wanted: int) -> None:
        while self._partitions.get(name, 0) < wanted:
            await self._until(name, there=True)

    async def _state(self, name: str, entry: Entry | None) -> None:
        """Write down what a name means, and know it from now on."""
        if DEFINITIONS not in self._partitions:
            await self._make(DEFINITIONS, 1, {"cleanup.policy": "compact"})
            await self._until(DEFINITIONS, there=True)
        value = None if entry is None else msgspec.json.encode(entry)
        await self._link.produce(DEFINITIONS, [Record(value, name.encode())], "none")
        self._learn(name, value)


def _kind(asked: TopicDefinition | QueueDefinition) -> str:
    return "queue" if isinstance(asked, QueueDefinition) else "topic"


def _entry_of(asked: TopicDefinition | QueueDefinition, created_ms: int) -> Entry:
    return QueueEntry(asked, created_ms) if isinstance(asked, QueueDefinition) else TopicEntry(asked, created_ms)


def check(asked: TopicDefinition | QueueDefinition) -> None:
    """Refuse by name what Kafka cannot have.

    Raises:
        InvalidName, Unsupported: says what and why.
    """
    check_name(asked.name)
    if len(asked.name) > TOPIC_NAME_MAX or not ALLOWED.issuperset(asked.name) or asked.name in (".", ".."):
        raise InvalidName(asked.name, f"Kafka takes letters, digits, '.', '_' and '-', at most {TOPIC_NAME_MAX}")
    if asked.lifetime != "durable":
        raise Unsupported(f"lifetime {asked.lifetime!r} on Kafka", "every topic there is durable")
    if isinstance(asked, QueueDefinition):
        _check_queue(asked)
    else:
        _check_topic(asked)


def _check_topic(asked: TopicDefinition) -> None:
    if asked.placement not in ("murmur2", "single"):
        raise Unsupported(f"placement {asked.placement!r} on Kafka", "murmur2 is what Kafka's own clients use")
    if asked.config.consumed:
        raise Unsupported("retention until all have read, on Kafka", "keep events for a time or up to a size")


def _check_queue(asked: QueueDefinition) -> None:
    plain = QueueConfig()
    for name in ("priorities", "fair", "single", "max_events", "max_bytes", "overflow"):
        if getattr(asked.config, name) != getattr(plain, name):
            raise Unsupported(f"queue {asked.name!r} with {name} on Kafka", "leave it out")


def configs_of(asked: TopicDefinition | QueueDefinition) -> dict[str, str]:
    """A topic's settings by Kafka's names.

    Level `fsync` flushes each batch to disk before it is acknowledged, on every replica that is asked for; a cluster
    that replicates may do without, with level `written`.
    """
    config = asked.topic if isinstance(asked, QueueDefinition) else asked.config
    age_ms = config.ceiling_ms if config.consumed else config.age_ms
    found: dict[str, Any] = {
        "cleanup.policy": "compact" if config.compact else "delete",
        "retention.ms": -1 if age_ms is None else age_ms,
        "retention.bytes": -1 if config.size_bytes is None else config.size_bytes,
        "flush.messages": 1 if config.level == "fsync" else LATER,
        "max.message.bytes": max(BATCH_BYTES_MIN, config.record_bytes_max + MIB),
    }
    return {name: str(value) for name, value in found.items()}
