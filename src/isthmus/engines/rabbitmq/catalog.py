"""What is declared on a broker: its queues, streams and exchanges, and what of a definition RabbitMQ has no place for.

A stream, `isthmus.definitions`, holds one JSON document per change; the last one for a name counts. AMQP can ask
neither what there is nor how it was made, so only what stands in that stream is known here.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct

from isthmus.broker.routing import Router
from isthmus.clock import Clock
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.rabbitmq import names, streams
from isthmus.engines.rabbitmq.api import Api
from isthmus.engines.rabbitmq.link import Link
from isthmus.engines.rabbitmq.messages import offset_of, sent
from isthmus.errors import AlreadyExists, EngineError, InvalidArgument, UnknownQueue, UnknownTopic, Unsupported
from isthmus.record import Record

RETURNS_MAX: Final = 20
"""So often RabbitMQ hands out what its consumers never answer for, before it counts it as dead itself."""

COUNTS_FAILURES: Final = (4, 3)
"""From this version on what is handed back in peace does not count as a failed delivery."""

STREAM: Final[Mapping[str, object]] = {"x-queue-type": "stream"}
SMALL_STREAM: Final[Mapping[str, object]] = {
    "x-queue-type": "stream",
    "x-stream-max-segment-size-bytes": 1_000_000,
    "x-max-length-bytes": 4_000_000,
}


class TopicEntry(Struct, frozen=True, tag="topic"):
    """A declared topic."""

    definition: TopicDefinition
    created_ms: int


class QueueEntry(Struct, frozen=True, tag="queue"):
    """A declared queue."""

    definition: QueueDefinition
    created_ms: int


class GroupEntry(Struct, frozen=True, tag="group"):
    """A group of consumers of a topic."""

    group: str
    topic: str
    created_ms: int


Entry = TopicEntry | QueueEntry | GroupEntry


class Row(Struct, frozen=True):
    """A change: what a name means from now on, None for nothing."""

    name: str
    entry: Entry | None


_decoder: Final = msgspec.json.Decoder(Row)


def key_of(group: str, topic: str) -> str:
    """The name of a group's row; no topic can have it."""
    return f"\0{group}\0{topic}"


class Catalog:
    """See the module. One loop."""

    def __init__(self, link: Link, clock: Clock, api: Api | None, queues: str) -> None:
        self._link = link
        self._clock = clock
        self._api = api
        self._kind = queues
        self._entries: dict[str, Entry] = {}
        self._routers: dict[str, Router] = {}
        self._next = 0
        self._lock = asyncio.Lock()
        self._declaring = asyncio.Lock()

    # ---- what there is ----------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Look again at what was declared."""
        async with self._lock:
            try:
                end = await streams.end_of(self._link, names.DEFINITIONS)
            except UnknownTopic:  # nobody has declared anything yet
                return
            for message in await streams.range_of(self._link, names.DEFINITIONS, self._next, end):
                self._learn(offset_of(message), message.body)
            self._next = max(self._next, end)

    def _learn(self, offset: int, body: bytes) -> None:
        try:
            row = _decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise EngineError(
                f"{names.DEFINITIONS}: what stands at offset {offset} cannot be read ({error}); a newer version may"
                " have written it: upgrade this one",
                retryable=False,
            ) from error
        self._routers.pop(row.name, None)
        if row.entry is None:
            self._entries.pop(row.name, None)
        else:
            self._entries[row.name] = row.entry

    def entry(self, name: str) -> TopicEntry | QueueEntry | None:
        """What was declared under a name."""
        found = self._entries.get(name)
        return None if isinstance(found, GroupEntry) else found

    def entries(self) -> list[TopicEntry | QueueEntry]:
        """All topics and queues, by name."""
        found = [each for each in self._entries.values() if not isinstance(each, GroupEntry)]
        return sorted(found, key=lambda each: each.definition.name)

    def groups(self) -> list[GroupEntry]:
        """All groups, by name."""
        found = [each for each in self._entries.values() if isinstance(each, GroupEntry)]
        return sorted(found, key=lambda each: (each.group, each.topic))

    async def known(self, name: str) -> TopicEntry | QueueEntry:
        """A topic or queue. Raises UnknownTopic."""
        if self.entry(name) is None:
            await self.refresh()
        found = self.entry(name)
        if found is None:
            raise UnknownTopic(name)
        return found

    async def queue(self, name: str) -> QueueDefinition:
        """A declared queue. Raises UnknownQueue."""
        if not isinstance(self.entry(name), QueueEntry):
            await self.refresh()
        found = self.entry(name)
        if not isinstance(found, QueueEntry):
            raise UnknownQueue(name)
        return found.definition

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises UnknownTopic."""
        found = await self.known(topic)
        return found.definition.partitions

    async def stream(self, topic: str) -> list[str]:
        """The stream queues of a topic. Raises UnknownTopic, Unsupported for a queue."""
        found = await self.known(topic)
        if isinstance(found, QueueEntry):
            raise Unsupported(f"reading queue {topic!r} by offset on RabbitMQ", "what is in a queue can only be taken")
        return [names.partition(topic, index) for index in range(found.definition.partitions)]

    def router(self, definition: TopicDefinition) -> Router:
        """Where the keys of a topic go."""
        found = self._routers.get(definition.name)
        if found is None:
            found = self._routers[definition.name] = Router(definition.placement, definition.partitions)
        return found

    # ---- declaring --------------------------------------------------------------------------------------------------

    async def declare(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Make it, or take over what can change.

        Raises:
            AlreadyExists: what is there differs in what cannot change.
            Unsupported, InvalidName, InvalidArgument: RabbitMQ cannot have it.
        """
        async with self._declaring:
            await self.refresh()
            entry = self.entry(asked.name)
            if entry is None:
                await self._create(asked)
                return
            difference = self._difference(asked, entry)
            if difference:
                raise AlreadyExists(_kind(asked), asked.name, difference)
            check(asked)
            await self._check_dead(asked)
            if entry.definition != asked:
                await self._build(asked, entry)
                await self._state(asked.name, _entry_of(asked, entry.created_ms))

    async def create(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Make it. Raises AlreadyExists whatever the definition."""
        async with self._declaring:
            await self.refresh()
            if self.entry(asked.name) is not None:
                raise AlreadyExists(_kind(asked), asked.name)
            await self._create(asked)

    async def alter(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Change what is there. Raises UnknownTopic, UnknownQueue, InvalidArgument."""
        if isinstance(asked, QueueDefinition):
            await self.queue(asked.name)
        else:
            await self.known(asked.name)
        try:
            await self.declare(asked)
        except AlreadyExists as error:
            raise InvalidArgument(asked.name, error.difference or str(error)) from error

    async def declare_group(self, group: str, topic: str) -> None:
        """Let it be known that there is a group of that name."""
        async with self._declaring:
            if key_of(group, topic) not in self._entries:
                await self.refresh()
            if key_of(group, topic) not in self._entries:
                await self._state(key_of(group, topic), GroupEntry(group, topic, self._clock.now_ms()))

    async def remove(self, name: str) -> None:
        """Remove a topic or queue with all that is known of it. Raises UnknownTopic."""
        async with self._declaring:
            await self.refresh()
            found = await self.known(name)
            for row in [row for row in self.groups() if row.topic == name]:
                await self._drop_group(row, found.definition.partitions)
            for queue in self._queues(found.definition):
                await self._drop(queue)
            if isinstance(found, QueueEntry):
                dead = names.dead_exchange(name)
                await self._link.ask(lambda channel: channel.exchange_delete(dead), name)
            if self._api is not None:
                await self._api.put_policy(names.policy(name), "", "queues", {})
            await self._state(name, None)

    async def remove_group(self, group: str, topic: str) -> None:
        """Forget a group's positions in a topic."""
        async with self._declaring:
            partitions = await self.partitions(topic)
            await self._drop_group(GroupEntry(group, topic, 0), partitions)

    async def _drop_group(self, row: GroupEntry, partitions: int) -> None:
        for index in range(partitions):
            queue = names.partition(row.topic, index)
            for name in (names.token(row.group, queue), names.position(row.group, queue)):
                await self._link.ask(lambda channel, name=name: channel.queue_delete(name), name)  # type: ignore[misc]
        await self._state(key_of(row.group, row.topic), None)

    async def _drop(self, queue: str) -> None:
        await self._link.ask(lambda channel: channel.queue_delete(queue), queue)
        await self._link.ask(lambda channel: channel.exchange_delete(queue), queue)

    def _queues(self, definition: TopicDefinition | QueueDefinition) -> list[str]:
        if isinstance(definition, QueueDefinition):
            return [definition.name]
        return [names.partition(definition.name, index) for index in range(definition.partitions)]

    def _difference(self, asked: TopicDefinition | QueueDefinition, entry: TopicEntry | QueueEntry) -> str:
        """What of a declaration is not as it is and cannot be made so."""
        now = entry.definition
        rows: list[tuple[str, object, object]] = [("lifetime", now.lifetime, asked.lifetime)]
        if isinstance(asked, QueueDefinition) and isinstance(now, QueueDefinition):
            rows += [(name, getattr(now.config, name), getattr(asked.config, name)) for name in FIXED]
            rows += [("partitions", now.partitions, asked.partitions), ("of", now.view_of, asked.view_of)]
        elif isinstance(asked, TopicDefinition) and isinstance(now, TopicDefinition):
            rows += [("placement", now.placement, asked.placement)]
            rows += [("compact", now.config.compact, asked.config.compact)]
        else:
            return "it belongs to a queue" if isinstance(now, QueueDefinition) else "it is a stream"
        found = [f"{name} is {old!r}, not {new!r}" for name, old, new in rows if old != new]
        if self._api is None and limits_of(now) != limits_of(asked):
            found.append(
                f"its limits are {_words(limits_of(now))}, not {_words(limits_of(asked))}, and RabbitMQ changes them"
                " through its management API alone (?api=http://host:15672)"
            )
        if isinstance(asked, TopicDefinition) and asked.partitions < now.partitions:
            found.append(f"partitions are {now.partitions}, not {asked.partitions}, and cannot become fewer")
        return "; ".join(found)

    async def _create(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Write down what it is, then make it: so nobody ever finds a queue of ours without knowing what it is."""
        check(asked)
        await self._check_dead(asked)
        taken = {queue: each.definition.name for each in self.entries() for queue in self._queues(each.definition)}
        for queue in self._queues(asked):
            if queue in taken:
                raise AlreadyExists("stream", queue, f"it is a partition of {taken[queue]!r}")
        entry = _entry_of(asked, self._clock.now_ms())
        await self._state(asked.name, entry)
        await self._build(asked, None)

    async def _check_dead(self, asked: TopicDefinition | QueueDefinition) -> None:
        """Raise UnknownTopic when there is no place for the dead."""
        if isinstance(asked, QueueDefinition) and asked.config.dead not in (None, asked.name):
            await self.known(asked.config.dead or "")

    # ---- on the broker ----------------------------------------------------------------------------------------------

    async def _build(self, asked: TopicDefinition | QueueDefinition, old: TopicEntry | QueueEntry | None) -> None:
        """Make what is not there yet, and change what is."""
        limits = limits_of(asked)
        if self._api is not None and (limits or (old is not None and limits_of(old.definition))):
            await self._api.put_policy(names.policy(asked.name), _pattern(self._queues(asked)), "queues", limits)
        arguments = {} if self._api is not None else {f"x-{name}": value for name, value in limits.items()}
        if isinstance(asked, QueueDefinition):
            await self._build_queue(asked, old, arguments)
            return
        have = 0 if old is None else old.definition.partitions
        for queue in self._queues(asked)[have:]:
            await self._make(queue, {**STREAM, **arguments})

    async def _build_queue(
        self, asked: QueueDefinition, old: TopicEntry | QueueEntry | None, arguments: dict[str, object]
    ) -> None:
        name, dead = asked.name, names.dead_exchange(asked.name)
        if old is None:
            await self._make(name, {**arguments, **self._arguments_of(asked.config), "x-dead-letter-exchange": dead})
        before = old.definition.config.dead if old is not None and isinstance(old, QueueEntry) else None
        after = asked.config.dead
        ask = self._link.ask
        if after is not None:
            await ask(lambda channel: channel.exchange_declare(dead, exchange_type="fanout", durable=True), dead)
        if before is not None and before != after:
            await ask(lambda channel: channel.exchange_unbind(before, dead), dead)
        if after is not None:
            await ask(lambda channel: channel.exchange_bind(after, dead), dead)

    def _arguments_of(self, config: QueueConfig) -> dict[str, object]:
        """What a queue is made with that no policy can change."""
        kind = "classic" if config.priorities > 1 or config.auto_remove else self._kind
        found: dict[str, object] = {"x-queue-type": kind}
        if kind == "quorum" and self._link.version >= COUNTS_FAILURES:
            found["x-delivery-limit"] = max(RETURNS_MAX, config.failed_max or 0)
        elif kind == "quorum" and self._link.version >= (4, 0):
            found["x-delivery-limit"] = -1
        if config.priorities > 1:
            found["x-max-priority"] = config.priorities - 1
        if config.single:
            found["x-single-active-consumer"] = True
        return found

    async def _make(self, queue: str, arguments: Mapping[str, object]) -> None:
        """A queue with its exchange in front."""
        ask, given = self._link.ask, dict(arguments)
        await ask(lambda channel: channel.queue_declare(queue, durable=True, arguments=given), queue)  # type: ignore[arg-type]
        await ask(lambda channel: channel.exchange_declare(queue, exchange_type="fanout", durable=True), queue)
        await ask(lambda channel: channel.queue_bind(queue, queue), queue)

    async def make_stream(self, queue: str) -> None:
        """A small stream without an exchange, of which the last message counts."""
        given = dict(SMALL_STREAM)
        await self._link.ask(lambda channel: channel.queue_declare(queue, durable=True, arguments=given), queue)  # type: ignore[arg-type]

    async def _state(self, name: str, entry: Entry | None) -> None:
        """Write down what a name means, and know it from now on."""
        given = dict(STREAM)
        await self._link.ask(
            lambda channel: channel.queue_declare(names.DEFINITIONS, durable=True, arguments=given),  # type: ignore[arg-type]
            names.DEFINITIONS,
        )
        record = Record(msgspec.json.encode(Row(name, entry)), timestamp_ms=self._clock.now_ms())
        await self._link.publish([sent(record, "", names.DEFINITIONS)], names.DEFINITIONS)
        self._learn(-1, record.value or b"")


FIXED: Final = ("ordered", "priorities", "single", "auto_remove")
"""Of a queue's settings, those that RabbitMQ knows and never changes."""


def limits_of(definition: TopicDefinition | QueueDefinition) -> dict[str, object]:
    """The limits of a queue or a stream by RabbitMQ's names, as policies have them; arguments have `x-` in front."""
    return dict(_limits(definition))


def _limits(definition: TopicDefinition | QueueDefinition) -> Iterator[tuple[str, object]]:
    if isinstance(definition, TopicDefinition):
        if definition.config.age_ms is not None:
            yield "max-age", f"{max(1, -(-definition.config.age_ms // 1_000))}s"
        if definition.config.size_bytes is not None:
            yield "max-length-bytes", definition.config.size_bytes
        return
    config = definition.config
    rows = (
        ("message-ttl", config.ttl_ms),
        ("expires", config.expires_ms),
        ("max-length", config.max_events),
        ("max-length-bytes", config.max_bytes),
    )
    yield from ((name, value) for name, value in rows if value is not None)
    if config.max_events is not None or config.max_bytes is not None:
        yield "overflow", "drop-head" if config.overflow == "drop" else "reject-publish"


def _words(limits: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in limits.items()) or "none"


def _pattern(queues: list[str]) -> str:
    """A regular expression for exactly these names."""
    special = ".^$*+?()[]{}|\\"
    quoted = ["".join(f"\\{each}" if each in special else each for each in queue) for queue in queues]
    return f"^({'|'.join(quoted)})$"


def _kind(asked: TopicDefinition | QueueDefinition) -> str:
    return "queue" if isinstance(asked, QueueDefinition) else "topic"


def _entry_of(asked: TopicDefinition | QueueDefinition, created_ms: int) -> TopicEntry | QueueEntry:
    return QueueEntry(asked, created_ms) if isinstance(asked, QueueDefinition) else TopicEntry(asked, created_ms)


def check(asked: TopicDefinition | QueueDefinition) -> None:
    """Refuse by name what RabbitMQ cannot have.

    Raises:
        InvalidName, Unsupported: says what and why.
    """
    names.check(asked.name)
    if asked.lifetime != "durable":
        raise Unsupported(f"lifetime {asked.lifetime!r} on RabbitMQ", "what this engine makes there is durable")
    if isinstance(asked, QueueDefinition):
        _check_queue(asked)
    else:
        _check_topic(asked)


def _check_topic(asked: TopicDefinition) -> None:
    names.check(names.partition(asked.name, asked.partitions))
    if asked.placement not in ("murmur2", "single"):
        raise Unsupported(f"placement {asked.placement!r} on RabbitMQ", "murmur2 is what this engine can do")
    if asked.config.compact:
        raise Unsupported(
            "keeping the newest event of each key, on RabbitMQ", "its streams keep events by age and size"
        )
    if asked.config.consumed:
        raise Unsupported("retention until all have read, on RabbitMQ", "keep events for a time or up to a size")


def _check_queue(asked: QueueDefinition) -> None:
    if asked.view_of is not None:
        raise Unsupported(f"queue {asked.name!r} over a stream, on RabbitMQ", "take the stream with a group")
    if asked.partitions != 1:
        raise Unsupported(f"queue {asked.name!r} with {asked.partitions} partitions, on RabbitMQ", "it has one")
    plain = QueueConfig()
    for name in ("ordered", "fair", "acquired_max", "dead_exchange", "dead_key"):
        if getattr(asked.config, name) != getattr(plain, name):
            raise Unsupported(f"queue {asked.name!r} with {name} on RabbitMQ", "leave it out")
    if asked.config.overflow == "refuse_dead":
        raise Unsupported(f"queue {asked.name!r} with overflow 'refuse_dead' on RabbitMQ", "use 'refuse' or 'drop'")
    levels = 256
    if asked.config.priorities > levels:
        raise Unsupported(f"{asked.config.priorities} priorities on RabbitMQ", f"{levels} is the most")


def topic_config(entry: TopicEntry | QueueEntry) -> TopicConfig:
    """How the events of a topic, or of a queue, are kept."""
    return entry.definition.topic if isinstance(entry, QueueEntry) else entry.definition.config
