"""Records on their way into a unit: checked, given their attributes, spread over partitions, encoded in batches.

The one place above the log where records become batches; it decides nothing about who may publish.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from isthmus.broker.catalog import Topic
from isthmus.definition import TopicConfig
from isthmus.errors import InvalidArgument, KeyRequired, RecordTooLarge, UnknownPartition
from isthmus.limits import DEDUP_ID_BYTES_MAX
from isthmus.log import batch as batches
from isthmus.log.dedup import digest
from isthmus.log.headers import append_headers, header_value
from isthmus.log.partition import Partition
from isthmus.record import Appended, Record

DUE: Final = "isthmus-due"
EXPIRE: Final = "isthmus-expire"
PRIORITY: Final = "isthmus-priority"
DEDUP: Final = "isthmus-dedup"
CAUSE: Final = "isthmus-cause"
ONLY: Final = "isthmus-only"
"""Queue attributes of a record, as headers: due and expire in ms since 1970 UTC as decimal text, the id of
de-duplication, topic/partition/offset of the cause, the one group that a redriven record is for."""

BATCH_BYTES_TARGET: Final = 1024 * 1024
"""A publish is cut into batches of about this size, so that a reader never has to take more at once."""


class Options(NamedTuple):
    """What goes for all records of one publish; times in milliseconds since 1970 UTC."""

    due_ms: int | None = None
    expire_ms: int | None = None
    priority: int = 0
    dedup: str | None = None
    compression: str = "none"
    cause: str | None = None

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


class Share(NamedTuple):
    """What of one publish goes to one partition in one batch; `indexes` None means all records in order."""

    partition: Partition
    indexes: Sequence[int] | None
    records: int
    batch: bytes
    attributes: bool


def shares(
    topic: Topic, records: Sequence[Record], now_ms: int, options: Options = PLAIN, partition: int | None = None
) -> list[Share]:
    """Cut a publish into batches.

    Args:
        topic: where they go.
        records: at least one.
        now_ms: the time of append for records without a time of their own.
        options: queue attributes and compression.
        partition: index, to bypass placement by key.

    Raises:
        RecordTooLarge, KeyRequired, InvalidArgument, UnknownPartition, UnsupportedCompression: nothing was done.
    """
    config = topic.set.config
    if not records:
        raise InvalidArgument("records", "there are none")
    extra = options.headers() if options is not PLAIN else []
    if options.dedup is not None and (len(records) != 1 or not 0 < len(options.dedup.encode()) <= DEDUP_ID_BYTES_MAX):
        raise InvalidArgument("dedup", f"goes with exactly one record and has 1 to {DEDUP_ID_BYTES_MAX} bytes")
    if extra:
        records = [_with_headers(record, extra) for record in records]
    _check(config, topic.name, records)
    found = []
    for index, chosen in _spread(topic, records, partition):
        part = records if chosen is None else [records[at] for at in chosen]
        for start, end in _cuts(part):
            batch = batches.encode(part[start:end], now_ms=now_ms, compression=options.compression)
            whole = start == 0 and end == len(part)
            indexes = chosen if whole else (chosen or range(len(part)))[start:end]
            found.append(Share(topic.partitions[index], indexes, end - start, batch, bool(extra)))
    return found


def _with_headers(record: Record, extra: list[tuple[str, bytes | None]]) -> Record:
    return Record(record.value, record.key, append_headers(record.headers, extra), record.timestamp_ms)


def _check(config: TopicConfig, name: str, records: Sequence[Record]) -> None:
    limit = config.record_bytes_max
    for record in records:
        size = len(record.value or b"") + len(record.key or b"") + len(record.headers)
        if size > limit:
            raise RecordTooLarge(size, limit)
    if config.compact and any(record.key is None for record in records):
        raise KeyRequired(name)


def _spread(topic: Topic, records: Sequence[Record], partition: int | None) -> list[tuple[int, list[int] | None]]:
    if partition is not None:
        if not 0 <= partition < len(topic.partitions):
            raise UnknownPartition(topic.name, partition, len(topic.partitions))
        return [(partition, None)]
    if len(topic.partitions) == 1:
        return [(0, None)]
    spread = topic.router.spread(records)
    return [(index, None if len(spread) == 1 else at) for index, at in spread.items()]


def _cuts(records: Sequence[Record]) -> Iterator[tuple[int, int]]:
    """Where to cut into batches; one pass that costs little when the whole is small."""
    start = size = 0
    for at, record in enumerate(records):
        size += len(record.value or b"") + len(record.headers) + 32
        if size > BATCH_BYTES_TARGET and at > start:
            yield start, at
            start, size = at, len(record.value or b"")
    yield start, len(records)


def appended(topic: Topic, share: Share, base_offset: int, time_ms: int) -> Appended:
    """Where a share went."""
    return Appended(topic.name, share.partition.index, base_offset, share.records, time_ms, indexes=share.indexes)


def dedup_digests(batch: bytes, base_offset: int) -> Iterator[tuple[bytes, int]]:
    """Digest and offset of each record of a batch that carries a de-duplication id."""
    for record in batches.decode(batches.place(batch, base_offset, 0)):
        value = header_value(record.headers, DEDUP)
        if value is not None:
            yield digest(value.decode(errors="replace")), record.offset
