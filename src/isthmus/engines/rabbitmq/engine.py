"""The port on a RabbitMQ broker: `amqp://`, by aio-pika.

Queues are RabbitMQ's queues, streams its stream queues. What it cannot keep natively stands in `CAPABILITIES`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

from isthmus.broker import redrive
from isthmus.broker.publishing import Options
from isthmus.clock import Clock, SystemClock
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Admin, Attributes, Capability, Reader, Source, Start, Unit
from isthmus.engines.rabbitmq import names
from isthmus.engines.rabbitmq.address import Address, parse
from isthmus.engines.rabbitmq.admin import RabbitAdmin
from isthmus.engines.rabbitmq.api import Api
from isthmus.engines.rabbitmq.catalog import Catalog, QueueEntry, topic_config
from isthmus.engines.rabbitmq.delays import Delays
from isthmus.engines.rabbitmq.group import StreamSource
from isthmus.engines.rabbitmq.link import Link
from isthmus.engines.rabbitmq.messages import Sent, identities, sent
from isthmus.engines.rabbitmq.queue import QueueSource
from isthmus.engines.rabbitmq.reader import RabbitReader
from isthmus.engines.shared import marks
from isthmus.engines.shared.desk import Terms
from isthmus.engines.shared.unit import OutputsFirstUnit
from isthmus.errors import (
    Closed,
    InvalidArgument,
    RecordTooLarge,
    UnknownTopic,
    Unsupported,
    UnsupportedCompression,
)
from isthmus.record import Appended, Record

NATIVE: Final = Capability(support="native")
COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
OFFSET_UNKNOWN: Final = -1


def _emulated(how: str) -> Capability:
    return Capability(support="emulated", how=how)


def _refused(how: str) -> Capability:
    return Capability(support="refused", how=how)


CAPABILITIES: Final[dict[str, Capability]] = {
    "unit": _emulated(
        "outputs are confirmed before what they came from is acknowledged, so after a crash some come twice"
    ),
    "queue": NATIVE,
    "delay": _emulated("queues in which events wait; the last half minute whoever consumes holds them back"),
    "ttl": _emulated("RabbitMQ lets events expire, to the dead letters if there are any; so does whoever consumes"),
    "dedup": _refused("RabbitMQ remembers no ids of events"),
    "ordered": _refused("use a stream, or single= for one consumer at a time"),
    "compact": _refused("RabbitMQ's streams keep events by age and size"),
    "consumed": _refused("a stream keeps events by age and size; what a queue holds goes when it is acknowledged"),
    "extend": _emulated("leases are kept by whoever consumes; RabbitMQ itself ends each after half an hour"),
    "retry": _emulated("what fails is published again with its count, to the end of the queue"),
    "dead": _emulated("the dead are copied to a queue, then acknowledged"),
    "redrive": _emulated("each dead letter is published again, then acknowledged"),
    "group": _emulated(
        "one member at a time reads a partition, others stand by; where it is stands in a stream of its own"
    ),
    "receipt": _refused("RabbitMQ confirms events and does not say at which offset"),
    "replay": _refused("what is in a queue can only be taken, not read by offset"),
    "counts": _refused("AMQP tells of a queue how many events are ready, and nothing else"),
    "alter": _refused(
        "limits of a queue or stream change through RabbitMQ's management API alone: ?api=http://host:15672"
    ),
    "view": _refused("take the stream with a group"),
    "seek": NATIVE,
    "peek": _emulated("events are taken and handed back at once, which RabbitMQ may count as a delivery"),
    "purge": NATIVE,
    "explain": _refused("RabbitMQ keeps no history of deliveries and acknowledgements"),
    "gzip": _emulated("events are not compressed"),
    "priority": NATIVE,
    "fair": _refused("comes later"),
    "single": NATIVE,
    "bounded": NATIVE,
    "length": NATIVE,
}
"""By promise."""

WITH_API: Final[dict[str, Capability]] = {
    "alter": _emulated("limits of a queue or stream are policies of RabbitMQ"),
}
"""What is otherwise where the address names the management API."""


class RabbitEngine:
    """See `engines/base.py` for the methods."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self._address: Address = parse(url)
        self._clock = clock or SystemClock()
        self._link = Link(self._address)
        api = None if self._address.api is None else Api(self._address, self._address.api)
        self._catalog = Catalog(self._link, self._clock, api, self._address.queues)
        self._delays = Delays(self._link, self._clock)
        self._sources: set[StreamSource | QueueSource | RabbitReader] = set()
        self._admin = RabbitAdmin(self._link, self._catalog, self._clock, self._produce)
        self._closed = False

    @property
    def url(self) -> str:
        """The address without its password."""
        return self._address.url

    @property
    def clock(self) -> Clock:
        """The clock of this process; the broker has its own."""
        return self._clock

    @property
    def capabilities(self) -> dict[str, Capability]:
        """What this broker keeps, and how."""
        return CAPABILITIES if self._address.api is None else CAPABILITIES | WITH_API

    @property
    def admin(self) -> Admin:
        """Administration of the broker."""
        return self._admin

    async def start(self) -> None:
        """Reach the broker.

        Raises:
            EngineError: nobody answers. AccessDenied: not with these credentials, or not in this virtual host.
        """
        await self._link.start()
        await self._catalog.refresh()

    async def close(self) -> None:
        """Stop consuming and disconnect; idempotent."""
        if self._closed:
            return
        self._closed = True
        for source in list(self._sources):
            await source.close()
        await self._link.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(self.url)

    # ---- declaring --------------------------------------------------------------------------------------------------

    async def declare(self, definition: TopicDefinition | QueueDefinition) -> None:
        """Make it if it is not there."""
        self._check_open()
        await self._catalog.declare(definition)

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return await self._catalog.partitions(topic)

    # ---- publishing -------------------------------------------------------------------------------------------------

    async def publish(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None, compression: str = "none"
    ) -> list[Appended]:
        """Publish, and return when RabbitMQ has confirmed all; streams do not tell offsets."""
        self._check_open()
        if compression not in COMPRESSIONS:
            raise UnsupportedCompression(compression)
        entry = self._catalog.entry(name) or await self._catalog.known(name)
        records, options = self._checked(records, attributes, topic_config(entry).record_bytes_max)
        try:
            if isinstance(entry, QueueEntry):
                return await self._enqueue(name, records, options)
            return await self._append(entry.definition, records)
        except UnknownTopic:  # somebody has removed it with other tools
            raise UnknownTopic(name) from None

    def _checked(
        self, records: Sequence[Record], attributes: Attributes | None, limit_bytes: int
    ) -> tuple[Sequence[Record], Options]:
        """Records with their attributes as headers. Raises what makes none of them publishable."""
        if not records:
            raise InvalidArgument("records", "there are none")
        largest = max(len(each.value or b"") + len(each.key or b"") + len(each.headers) for each in records)
        if largest > limit_bytes:
            raise RecordTooLarge(largest, limit_bytes)
        now_ms = self._clock.now_ms()
        if any(record.timestamp_ms < 0 for record in records):
            records = [marks.stamped(record, now_ms) for record in records]
        if attributes is None:
            return records, Options()
        if attributes.dedup is not None:
            raise Unsupported("dedup on RabbitMQ", CAPABILITIES["dedup"].how)
        options = Options(due_ms=attributes.due_ms, expire_ms=attributes.expire_ms, priority=attributes.priority)
        return marks.marked(records, options.headers()), options

    async def _enqueue(self, name: str, records: Sequence[Record], options: Options) -> list[Appended]:
        now_ms = self._clock.now_ms()
        first = identities(now_ms, len(records))
        wait_ms = 0 if options.due_ms is None else options.due_ms - now_ms
        messages: list[Sent] = []
        for at, record in enumerate(records):
            message = sent(record, name, identity=first + at, options=options, now_ms=now_ms)
            messages.append(message if wait_ms <= 0 else await self._delays.through(message, wait_ms))
        await self._link.publish(messages, name)
        return [Appended(name, 0, first, len(records), now_ms)]

    async def _append(self, definition: TopicDefinition, records: Sequence[Record]) -> list[Appended]:
        name, shares = definition.name, self._catalog.router(definition).spread(records)
        messages = [sent(records[at], names.partition(name, index)) for index, rows in shares.items() for at in rows]
        await self._link.publish(messages, name)
        whole, time_ms = len(shares) == 1, records[0].timestamp_ms
        return [
            Appended(name, index, OFFSET_UNKNOWN, len(rows), time_ms, indexes=None if whole else rows)
            for index, rows in shares.items()
        ]

    async def _produce(self, name: str, records: Sequence[Record]) -> None:
        """Publish copies and dead letters."""
        await self.publish(name, records)

    def unit(self) -> Unit:
        """Outputs first, settlements after."""
        return OutputsFirstUnit(self.publish, (StreamSource, QueueSource))

    # ---- reading and consuming --------------------------------------------------------------------------------------

    async def reader(self, topic: str, start: Start, stop: Literal["end"] | None = None) -> Reader:
        """Read all partitions from a start."""
        self._check_open()
        reader = RabbitReader(self._link, self._clock, topic, await self._catalog.stream(topic))
        self._keep(reader)
        try:
            await reader.begin(start, to_end=stop == "end")
        except BaseException:
            await reader.close()
            raise
        return reader

    async def stream_source(self, topic: str, group: str, start: Start, dead: str | None) -> Source:
        """Join a group."""
        self._check_open()
        queues = await self._catalog.stream(topic)
        for queue in queues:
            await self._catalog.make_stream(names.position(group, queue))
        await self._catalog.declare_group(group, topic)
        terms = Terms(
            group=group,
            name=topic,
            starts={topic: start},
            origin=f"{redrive.GROUP}{group}",
            only=group,
            dead=dead,
        )
        source = StreamSource(self._link, self._clock, terms, self._produce)
        self._keep(source)
        try:
            await source.begin(len(queues))
        except BaseException:
            await source.close()
            raise
        return source

    async def queue_source(self, queue: str, consumer: str) -> Source:  # noqa: ARG002 - RabbitMQ names consumers itself
        """Consume a queue."""
        self._check_open()
        definition = await self._catalog.queue(queue)
        source = QueueSource(self._link, self._clock, definition, self._delays, self._produce)
        self._keep(source)
        return source

    def _keep(self, source: StreamSource | QueueSource | RabbitReader) -> None:
        """It ends with the engine, if not before."""
        self._sources.add(source)
        source.on_close = partial(self._sources.discard, source)
