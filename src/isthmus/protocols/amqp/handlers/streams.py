"""Streams over AMQP: a topic read by offset, delivered to a consumer whose acknowledgements only make room.

Every topic that no queue owns is such a stream, whoever writes into it. Nothing is removed by reading, and nobody else
notices.

Spec: RabbitMQ "Streams" (consuming, offsets, filtering) over AMQP 0-9-1. Deviations: filters are exact; a topic of
several partitions is read whole, or the one that `x-stream-partition` names, and each delivery says its partition.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from isthmus.broker.catalog import Topic
from isthmus.errors import IsthmusError, OffsetOutOfRange, RequestError
from isthmus.limits import AMQP_WINDOW_BYTES, AMQP_WINDOW_RECORDS
from isthmus.log import batch as batches
from isthmus.log.partition import BatchAt, Partition
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp import properties as props
from isthmus.protocols.amqp.channel import Allowance
from isthmus.protocols.amqp.codec import deliver_frames, deliver_prefix
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.arguments import Named, age_ms, invalid, text
from isthmus.protocols.amqp.handlers.channel import Channel, Given
from isthmus.protocols.amqp.handlers.records import key_of, shown, with_headers
from isthmus.protocols.amqp.table import Timestamp, decode_table
from isthmus.record import StoredRecord

if TYPE_CHECKING:
    from isthmus.protocols.amqp.handlers.queues import Found

OFFSET: Final = "x-stream-offset"
PARTITION: Final = "x-stream-partition"
FILTER: Final = "x-stream-filter"
UNFILTERED: Final = "x-stream-match-unfiltered"
FILTER_VALUE: Final = "x-stream-filter-value"
_VALUE_NAME: Final = FILTER_VALUE.encode()


class Wanted(Struct, frozen=True):
    """Which records a consumer wants: those with one of these values, and those without any; None wants all."""

    values: frozenset[str] | None
    unfiltered: bool = False

    def takes(self, properties: bytes) -> bool:
        """Whether a message with these properties is wanted."""
        if self.values is None:
            return True
        headers = props.headers(properties) if _VALUE_NAME in properties else None
        value = None if headers is None else text(decode_table(headers).get(FILTER_VALUE))
        return self.unfiltered if value is None else value in self.values


class Place:
    """Where a consumer stands in a partition: what it has read and not delivered yet, and what it reads next."""

    __slots__ = ("next_offset", "partition", "waiting")

    def __init__(self, partition: Partition, offset: int) -> None:
        self.partition = partition
        self.next_offset = offset
        self.waiting: deque[StoredRecord] = deque()

    def keep(self, found: Sequence[BatchAt]) -> None:
        """Take what was read."""
        for batch in found:
            with contextlib.suppress(RequestError):  # what its producer made so that nobody can read it is passed over
                self.waiting += batches.decode(batch.data, from_offset=self.next_offset)
            self.next_offset = max(self.next_offset, batch.end_offset)


class Streaming:
    """One consumer of a stream: one of those of its channel, which ask of it what they ask of consumers of queues.

    Args:
        channel: its own.
        tag: the consumer's.
        topic: what is read.
        places: where it begins.
        wanted: its filter.
    """

    def __init__(self, channel: Channel, tag: str, topic: Topic, places: Sequence[Place], wanted: Wanted) -> None:
        self.tag = tag
        self.topic = topic
        self.allowance = Allowance(channel.prefetch, AMQP_WINDOW_RECORDS)
        self._channel = channel
        self._places = places
        self._wanted = wanted
        self._prefix = deliver_prefix(tag)
        self._turn = 0
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._unwatch = [place.partition.watch(self.refill) for place in places]

    def stop(self) -> None:
        """Deliver nothing any more."""
        self._ended = True
        for stop in self._unwatch:
            stop()
        if self._task is not None:
            self._task.cancel()

    def refill(self) -> None:
        """There may be room, or more to read: deliver what memory has, and ask the disk for the rest."""
        if self._ended or self._task is not None or not self._is_there():
            return
        try:
            needs = self._deliver_all()
        except IsthmusError as error:
            self._fail(error)
            return
        if needs is not None:
            self._task = asyncio.get_running_loop().create_task(self._read_on(needs))

    async def begin(self) -> None:
        """Deliver what there is before the channel's next method is answered, as RabbitMQ does."""
        self.refill()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _read_on(self, place: Place) -> None:
        try:
            needs: Place | None = place
            while needs is not None and not self._ended:
                needs.keep(await needs.partition.read(needs.next_offset, AMQP_WINDOW_BYTES))
                needs = self._deliver_all()
        except IsthmusError as error:
            self._fail(error)
        finally:
            self._task = None

    def _deliver_all(self) -> Place | None:
        """Deliver what fits; the place for which the disk must be read first, if there is one."""
        channel = self._channel
        while not self._ended and (room := self.allowance.limit - self.allowance.held) > 0:
            if channel.link.is_full or not channel.flows:
                channel.link.when_free(self.refill)
                return None
            place = self._next_place()
            if place is None:
                return None
            if not place.waiting:
                found = place.partition.read_now(place.next_offset, AMQP_WINDOW_BYTES)
                if found is None:
                    return place
                place.keep(found)
            self._deliver(place, room)
        return None

    def _next_place(self) -> Place | None:
        """The next partition that has something; each gets its turn."""
        for _ in self._places:
            place = self._places[self._turn]
            self._turn = (self._turn + 1) % len(self._places)
            partition = place.partition
            place.next_offset = max(place.next_offset, partition.log_start)
            if place.waiting or place.next_offset < partition.high_watermark:
                return place
        return None

    def _deliver(self, place: Place, room: int) -> None:
        frames: list[bytes] = []
        while place.waiting and len(frames) < room:
            record = place.waiting.popleft()
            exchange, properties = shown(record.headers)
            if self._wanted.takes(properties):
                frames.append(self._frames(place, record, exchange, properties))
        if frames:
            self.allowance.held += len(frames)
            self._channel.held += len(frames)
            self._channel.link.send(b"".join(frames))

    def _frames(self, place: Place, record: StoredRecord, exchange: str, properties: bytes) -> bytes:
        headers: dict[str, Any] = {OFFSET: record.offset}
        if len(self.topic.partitions) > 1:
            headers[PARTITION] = place.partition.index
        channel = self._channel
        return deliver_frames(
            channel.number, self._prefix, channel.unsettled.add(Given(None, None, self)), False, exchange,
            key_of(record), with_headers(properties, headers), record.value or b"", channel.link.frame_bytes_max,
        )  # fmt: skip

    def _is_there(self) -> bool:
        """Whether the topic is; otherwise the client is told that its consumer has ended."""
        channel = self._channel
        if channel.broker.catalog.topics.get(self.topic.id) is self.topic:
            return True
        self._end()
        if channel.link.can("consumer_cancel_notify"):
            channel.tell(m.BasicCancel(self.tag, nowait=True))
        return False

    def _fail(self, error: IsthmusError) -> None:
        if isinstance(error, OffsetOutOfRange):  # trimmed while it was read
            asyncio.get_running_loop().call_soon(self.refill)
            return
        self._end()
        self._channel.fail(Refused(Code.INTERNAL_ERROR, str(error)))

    def _end(self) -> None:
        self._ended = True
        for stop in self._unwatch:
            stop()
        self._channel.consumers.pop(self.tag, None)


async def consume(channel: Channel, asked: m.BasicConsume, tag: str, found: "Found") -> None:
    """Begin to read a topic.

    Raises:
        Refused: what a stream's consumer must have is missing, or an argument is out of its range.
    """
    named = Named("queue", found.name, channel.link.vhost)
    channel.link.check("read", "stream", found.name)
    if asked.no_ack:
        raise Refused(Code.NOT_IMPLEMENTED, f"no_ack=true on the stream '{found.name}': acknowledgements make room")
    if channel.shared_prefetch:
        raise Refused(Code.NOT_IMPLEMENTED, f"a prefetch of the whole channel on the stream '{found.name}'")
    if not channel.prefetch:
        raise Refused(Code.PRECONDITION_FAILED, f"consumer prefetch count is not set for stream {named}")
    wanted = _wanted(named, asked.arguments)
    partitions = _partitions(named, asked.arguments, found.topic)
    places = [Place(each, await _start(channel, named, asked.arguments, each)) for each in partitions]
    consumer = Streaming(channel, tag, found.topic, places, wanted)
    channel.consumers[tag] = consumer
    if not asked.nowait:
        channel.tell(m.BasicConsumeOk(tag))
    await consumer.begin()


def _wanted(named: Named, arguments: dict[str, Any]) -> Wanted:
    given, unfiltered = arguments.get(FILTER), arguments.get(UNFILTERED, False)
    if not isinstance(unfiltered, bool):
        raise invalid(UNFILTERED, named, "it is neither true nor false")
    if given is None:
        return Wanted(None)
    values = [text(each) for each in (given if isinstance(given, list) else [given])]
    if None in values:
        raise invalid(FILTER, named, "it is neither a string nor a list of strings")
    return Wanted(frozenset(each for each in values if each is not None), unfiltered)


def _partitions(named: Named, arguments: dict[str, Any], topic: Topic) -> Sequence[Partition]:
    index = arguments.get(PARTITION)
    if index is None:
        return topic.partitions
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(topic.partitions):
        raise invalid(PARTITION, named, f"there are partitions 0 to {len(topic.partitions) - 1}")
    return [topic.partitions[index]]


async def _start(channel: Channel, named: Named, arguments: dict[str, Any], partition: Partition) -> int:
    """The offset at which `x-stream-offset` lies; a consumer that says nothing gets what comes."""
    given = arguments.get(OFFSET, "next")
    broker, word = channel.broker, text(given)
    if isinstance(given, Timestamp):
        return await broker.resolve(partition, ("time", given.seconds * 1_000))
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 0:
            raise invalid(OFFSET, named, "offsets are 0 and more")
        return await broker.resolve(partition, given)
    match word:
        case "first":
            return partition.log_start
        case "next":
            return partition.high_watermark
        case "last":
            return await _last(partition)
        case None | "":
            raise invalid(OFFSET, named, "it is first, last, next, an offset, a timestamp, or an age such as 1h")
        case _:
            back_ms = age_ms(named, word)
            return await broker.resolve(partition, ("time", broker.clock.now_ms() - back_ms))


async def _last(partition: Partition) -> int:
    """Where the last batch begins, which is what RabbitMQ calls a chunk."""
    at = partition.high_watermark - 1
    if at < partition.log_start:
        return partition.high_watermark
    found = await partition.read(at, 1)
    return max(partition.log_start, batches.header(found[-1].data).base_offset) if found else at
