"""Records on their way into a unit: checked, given their attributes, spread over partitions, encoded in batches.

The one place above the log where records become batches; it decides nothing about who may publish.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from isthmus.broker.catalog import Topic
from isthmus.broker.foreign import check_timestamp
from isthmus.definition import TopicConfig
from isthmus.errors import (
    InvalidArgument,
    InvalidBatch,
    KeyRequired,
    RecordTooLarge,
    RequestError,
    UnknownPartition,
    UnsupportedCompression,
)
from isthmus.limits import DEDUP_ID_BYTES_MAX, PLACEMENTS_MAX
from isthmus.log import batch as batches
from isthmus.log.dedup import digest
from isthmus.log.headers import append_headers, decode_headers, header_value
from isthmus.log.journal import Pending, Unit
from isthmus.log.partition import Partition
from isthmus.record import NO_HEADERS, Appended, Record, StoredRecord

PREFIX: Final = b"isthmus-"
"""What the name of a header begins with that means something to Isthmus."""

DUE: Final = "isthmus-due"
EXPIRE: Final = "isthmus-expire"
PRIORITY: Final = "isthmus-priority"
DEDUP: Final = "isthmus-dedup"
CAUSE: Final = "isthmus-cause"
ONLY: Final = "isthmus-only"
"""Queue attributes of a record, as headers: due and expire in ms since 1970 UTC, and the priority, as decimal text; the
id of de-duplication, topic/partition/offset of the cause, the one group that a redriven record is for."""

_PRIORITY: Final = PRIORITY.encode()
_PRIORITY_DIGITS: Final = 9
"""Digits of a priority; what has more is none."""

BATCH_BYTES_TARGET: Final = 1024 * 1024
"""A publish is cut into batches of about this size, so that a reader never has to take more at once."""

_RECORD_OVERHEAD: Final = 32
"""Bytes of a record that are neither key, value nor header block, generously."""


class Options(NamedTuple):
    """What goes for all records of one publish; times in milliseconds since 1970 UTC.

    `copies` says that Isthmus itself writes them, of records that were let in once: dead letters and what comes home
    from there. What was added to them does not count against the limit of a record.
    """

    due_ms: int | None = None
    expire_ms: int | None = None
    priority: int = 0
    dedup: str | None = None
    compression: str = "none"
    cause: str | None = None
    copies: bool = False

    def headers(self) -> list[tuple[str, bytes | None]]:
        """As record headers."""
        rows = ((DUE, self.due_ms), (EXPIRE, self.expire_ms), (DEDUP, self.dedup), (CAUSE, self.cause))
        found: list[tuple[str, bytes | None]] = [
            (name, str(value).encode()) for name, value in rows if value is not None
        ]
        if self.priority:
            found.append((PRIORITY, str(self.priority).encode()))
        return found


PLAIN: Final = Options()
COPIES: Final = Options(copies=True)


class Share(NamedTuple):
    """What of one publish goes to one partition in one batch; `indexes` None means all records in order."""

    topic: Topic
    partition: Partition
    indexes: Sequence[int] | None
    records: int
    batch: bytes
    attributes: bool

    def appended(self, base_offset: int, time_ms: int) -> Appended:
        """Where it went; `time_ms` is the time of append where the topic does not stamp it into the records."""
        index = self.partition.index
        if self.topic.set.config.timestamps == "append":
            time_ms = batches.header(self.batch).max_timestamp_ms
        return Appended(self.topic.name, index, base_offset, self.records, time_ms, indexes=self.indexes)


class _Batch(NamedTuple):
    indexes: Sequence[int] | None
    records: int
    data: bytes


class Publish:
    """The records of one publish, looked at once and encoded once for each way in which topics spread them.

    Args:
        records: at least one.
        now_ms: the time of append for records without a time of their own.
        options: queue attributes and compression.

    Raises:
        InvalidArgument: no records, or a de-duplication id for several.
        InvalidBatch: a record's headers cannot be added to.
    """

    __slots__ = ("_batches", "_keyless", "_largest", "_now_ms", "_options", "_size", "attributes", "records")

    def __init__(self, records: Sequence[Record], now_ms: int, options: Options = PLAIN) -> None:
        if not records:
            raise InvalidArgument("records", "there are none")
        _check_dedup(options.dedup, len(records))
        extra = options.headers() if options is not PLAIN else []
        self.records = [_with_headers(record, extra) for record in records] if extra else records
        sizes = [len(record.value or b"") + len(record.key or b"") + len(record.headers) for record in self.records]
        self._largest = max(sizes)
        self._size = sum(sizes) + _RECORD_OVERHEAD * len(sizes)
        self._keyless = any([record.key is None for record in self.records])  # noqa: C419 - twice as fast as one by one
        self.attributes = bool(extra) or _marked(self.records)
        self._now_ms = now_ms
        self._options = options
        self._batches: dict[tuple[tuple[int, ...] | None, str, bool], list[_Batch]] = {}

    def shares(self, topic: Topic, partition: int | None = None) -> list[Share]:
        """What goes where in a topic; shares of several topics that are equal share the bytes.

        Args:
            topic: where they go.
            partition: index, to bypass placement by key.

        Raises:
            RecordTooLarge, KeyRequired, InvalidTimestamp, UnknownPartition, UnsupportedCompression, QueueFull: nothing
                was done.
        """
        config = topic.set.config
        self._check(topic, config)
        compression = self._options.compression if config.compression == "producer" else config.compression
        places, marked, found = topic.partitions, self.attributes, []
        for index, chosen in self._spread(topic, partition):
            for indexes, records, data in self._encoded(chosen, compression, stamp=config.timestamps == "append"):
                found.append(Share(topic, places[index], indexes, records, data, marked))
        return found

    @property
    def value_bytes(self) -> int:
        """Bytes of the values, which is what a queue's length is measured in."""
        return sum([len(record.value or b"") for record in self.records])

    def _check(self, topic: Topic, config: TopicConfig) -> None:
        if topic.lens is not None and topic.lens.bounded and not self._options.copies:
            topic.lens.check_room(len(self.records), self.value_bytes)
        if self._largest > config.record_bytes_max and not self._options.copies:
            raise RecordTooLarge(self._largest, config.record_bytes_max)
        if config.compact and self._keyless:
            raise KeyRequired(topic.name)
        if config.timestamp_before_ms is not None or config.timestamp_after_ms is not None:
            for record in self.records:
                check_timestamp(topic, record.timestamp_ms, self._now_ms)

    def _spread(self, topic: Topic, partition: int | None) -> list[tuple[int, list[int] | None]]:
        if partition is not None:
            if not 0 <= partition < len(topic.partitions):
                raise UnknownPartition(topic.name, partition, len(topic.partitions))
            return [(partition, None)]
        if len(topic.partitions) == 1:
            return [(0, None)]
        if topic.set.placement == "priority":
            return self._levels(len(topic.partitions))
        spread = topic.router.spread(self.records)
        return [(index, None if len(spread) == 1 else at) for index, at in spread.items()]

    def _levels(self, levels: int) -> list[tuple[int, list[int] | None]]:
        """By priority: a record without one goes to the lowest level, one above the highest to that."""
        if self._options.priority or not self.attributes:
            return [(_level(self._options.priority, levels), None)]
        found: dict[int, list[int]] = {}
        for at, record in enumerate(self.records):
            found.setdefault(_level(_priority_of(record.headers), levels), []).append(at)
        return [(level, None if len(found) == 1 else chosen) for level, chosen in found.items()]

    def _encoded(self, chosen: list[int] | None, compression: str, *, stamp: bool) -> list[_Batch]:
        name = (None if chosen is None else tuple(chosen), compression, stamp)
        known = self._batches.get(name)
        if known is None:
            known = self._batches[name] = self._encode(chosen, compression, stamp=stamp)
        return known

    def _encode(self, chosen: list[int] | None, compression: str, *, stamp: bool) -> list[_Batch]:
        part = self.records if chosen is None else [self.records[at] for at in chosen]
        cuts = [] if self._size <= BATCH_BYTES_TARGET else list(_cuts(part))
        if len(cuts) <= 1:
            return [_Batch(chosen, len(part), self._one(part, compression, stamp=stamp))]
        numbers = chosen if chosen is not None else range(len(part))
        return [
            _Batch(numbers[start:end], end - start, self._one(part[start:end], compression, stamp=stamp))
            for start, end in cuts
        ]

    def _one(self, part: Sequence[Record], compression: str, *, stamp: bool) -> bytes:
        batch = batches.encode(part, now_ms=self._now_ms, compression=compression)
        return batches.stamped(batch, self._now_ms) if stamp else batch


def _check_dedup(dedup: str | None, count: int) -> None:
    if dedup is None:
        return
    if count != 1:
        raise InvalidArgument("dedup", f"goes with exactly one record, not with {count}")
    try:
        size = len(dedup.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument("dedup", "is not valid Unicode text") from error
    if not 0 < size <= DEDUP_ID_BYTES_MAX:
        raise InvalidArgument("dedup", f"has {size} bytes of UTF-8, not 1 to {DEDUP_ID_BYTES_MAX}")


def _with_headers(record: Record, extra: list[tuple[str, bytes | None]]) -> Record:
    return Record(record.value, record.key, append_headers(record.headers, extra), record.timestamp_ms)


def _level(priority: int, levels: int) -> int:
    return min(max(priority, 0), levels - 1)


def _priority_of(block: bytes) -> int:
    """The priority that a record's headers give it. They come from outside: what is no number is none."""
    if _PRIORITY not in block:
        return 0
    try:
        value = header_value(block, PRIORITY)
    except InvalidBatch:
        return 0
    return int(value) if value is not None and len(value) <= _PRIORITY_DIGITS and value.isdigit() else 0


def _marked(records: Sequence[Record]) -> bool:
    """Whether some record brings headers of ours, such as a redriven one. Runs of equal blocks cost little."""
    looked_at = NO_HEADERS
    for record in records:
        block = record.headers
        if block is not looked_at:
            if PREFIX in block:
                return True
            looked_at = block
    return False


def _cuts(records: Sequence[Record]) -> Iterator[tuple[int, int]]:
    """Where to cut into batches of about BATCH_BYTES_TARGET."""
    start = size = 0
    for at, record in enumerate(records):
        own = len(record.value or b"") + len(record.key or b"") + len(record.headers) + _RECORD_OVERHEAD
        size += own
        if size > BATCH_BYTES_TARGET and at > start:
            yield start, at
            start, size = at, own
    yield start, len(records)


class Refusal(NamedTuple):
    """A topic that did not take what an exchange led there, and why; the others have it."""

    topic: Topic
    error: RequestError


class Routed(NamedTuple):
    """What became of a publish through an exchange.

    `pending` gives where the records went, one item a partition and batch, when all of it is durable. `topics` are all
    that were found, also those that `refused`; none means that nothing is bound.
    """

    pending: Pending[list[Appended]]
    topics: Sequence[Topic]
    refused: Sequence[Refusal]


def headers_of(records: Sequence[Record]) -> dict[str, object]:
    """The headers that all of the records have, by name; of several with one name the last counts.

    Raises:
        InvalidArgument: they differ, so that the records might go different ways.
        InvalidBatch: they cannot be read.
    """
    block = records[0].headers if records else NO_HEADERS
    if any(record.headers != block for record in records):
        raise InvalidArgument("records", "have different headers, by which the exchange routes; publish them apart")
    return dict(decode_headers(block))


def together(results: Sequence[Pending[list[Appended]]]) -> Pending[list[Appended]]:
    """One result of several, in their order, done with the last; it fails with the first error in that order."""
    if len(results) == 1:
        return results[0]
    pending: Pending[list[Appended]] = Pending()

    def landed(_: object) -> None:
        if not pending.done and all(each.done for each in results):
            error = next((each.error for each in results if each.error is not None), None)
            rows = [] if error is not None else [row for each in results for row in each.result()]
            pending.settle(rows, error)

    for each in results:
        each.add_done_callback(landed)
    landed(None)
    return pending


def nowhere(written: Pending[Any]) -> Pending[list[Appended]]:
    """A result that tells of no place, done when that is written: of what is written beside a publish."""
    pending: Pending[list[Appended]] = Pending()
    written.add_done_callback(lambda done: pending.settle([], done.error))
    return pending


def land(unit: Unit, publish: Publish, topic: Topic) -> None:
    """Have what a unit publishes to a topic count as its queue's from submit on."""
    lens = topic.lens
    if lens is not None and lens.config.max_bytes is not None:
        unit.step(None, lambda: lens.lands(publish.value_bytes, unit.pending), 0)


def fan_out(unit: Unit, publish: Publish, topics: Iterable[Topic], principal: int) -> tuple[list[Share], list[Refusal]]:
    """Add a publish to a unit for many topics: what is equal is stored once, with one placement a partition.

    Each topic is asked first and stays out when it refuses. A compacted topic gets entries of its own, because
    compaction rewrites them. The order in each partition is that of the records.

    Returns:
        The shares in the order of the unit's results, and who refused.
    """
    together: dict[tuple[int, ...], list[list[Share]]] = {}
    refused: list[Refusal] = []
    for topic in topics:
        try:
            shares = publish.shares(topic)
        except RequestError as error:
            refused.append(Refusal(topic, error))
            continue
        land(unit, publish, topic)
        for partition, ours in groupby(shares, key=lambda share: share.partition.id):
            found = list(ours)
            own = (partition,) if topic.set.config.compact else ()
            together.setdefault((*[id(share.batch) for share in found], *own), []).append(found)
    rows: list[Share] = []
    for places in together.values():
        for start in range(0, len(places), PLACEMENTS_MAX):
            for row in zip(*places[start : start + PLACEMENTS_MAX], strict=True):
                partitions = [share.partition for share in row]
                unit.records(partitions, row[0].batch, attributes=publish.attributes, principal=principal)
                rows += row
    return rows, refused


def dedup_digests(batch: bytes, base_offset: int) -> Iterator[tuple[bytes, int]]:
    """Digest and offset of each record of a batch that carries a de-duplication id.

    The batch is durable, and a client may have built it with anything inside: what cannot be read carries no id.
    """
    if batches.header(batch).compression == "none" and DEDUP.encode() not in batch:
        return
    try:
        records = batches.decode(batches.place(batch, base_offset, 0))
    except (InvalidBatch, UnsupportedCompression):
        return
    for record in records:
        value = _dedup_of(record)
        if value is not None:
            yield digest(value.decode(errors="replace")), record.offset


def _dedup_of(record: StoredRecord) -> bytes | None:
    try:
        return header_value(record.headers, DEDUP)
    except InvalidBatch:
        return None
