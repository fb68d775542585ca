"""The actions on records: put them, find a place to read from, and read.

A record is put when it is durable; a reader's place is in its iterator, and nothing is kept of it here.
"""

from typing import Final

from isthmus.broker.broker import Broker
from isthmus.errors import IsthmusError
from isthmus.log import batch as batches
from isthmus.log.pending import Pending
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis import cursor, errors, hashes, shapes
from isthmus.protocols.kinesis.cursor import Place
from isthmus.protocols.kinesis.errors import invalid, missing, violated
from isthmus.protocols.kinesis.handlers.caller import Caller, Found
from isthmus.protocols.kinesis.handlers.shards import children_of
from isthmus.record import Appended, Record, StoredRecord

KEY_CHARACTERS_MAX: Final = 256
PUT_MAX: Final = 500
PUT_BYTES_MAX: Final = 10 * 1024 * 1024
GET_MAX: Final = 10_000
GET_BYTES_MAX: Final = 10 * 1024 * 1024
TYPES: Final = ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "TRIM_HORIZON", "LATEST", "AT_TIMESTAMP")


# ---- putting ------------------------------------------------------------------------------------------------------


async def put_record(caller: Caller, asked: shapes.PutRecord) -> shapes.Put:
    """Put a record; answered when it is durable."""
    _refuse_dry(asked.dry_run)
    found = await caller.find(asked)
    record, index = _prepared(found, asked.data, asked.partition_key, asked.explicit_hash_key)
    ordering = asked.sequence_number_for_ordering
    if ordering is not None and not (ordering.isascii() and ordering.isdigit()):
        raise invalid(f"SequenceNumberForOrdering {ordering[:65]} is not a sequence number.")
    (appended,) = await caller.broker.publish(caller.session, found.topic, [record], partition=index)
    return shapes.Put(
        shard_id=cursor.shard_id(index),
        sequence_number=found.sequence(index, appended.base_offset),
        encryption_type=found.encryption,
    )


async def put_records(caller: Caller, asked: shapes.PutRecords) -> shapes.PutMany:
    """Put up to 500 records; those of each shard in their order, and each shard by itself."""
    _refuse_dry(asked.dry_run)
    if not 1 <= len(asked.records) <= PUT_MAX:
        raise violated(f"[{len(asked.records)}]", "records", f"Member must have length between 1 and {PUT_MAX}")
    found = await caller.find(asked)
    rows = [_prepared(found, each.data, each.partition_key, each.explicit_hash_key) for each in asked.records]
    if sum(_size(record) for record, _ in rows) > PUT_BYTES_MAX:
        raise invalid("Records size exceeds 10 MB limit")
    shares: dict[int, list[int]] = {}
    for at, (_, index) in enumerate(rows):
        shares.setdefault(index, []).append(at)
    caller.check("publish", found.name)
    results: list[shapes.PutResult] = [shapes.PutResult()] * len(rows)
    sent = [(index, at, _publish(caller, found, [rows[each][0] for each in at], index)) for index, at in shares.items()]
    failed = 0
    for index, places, pending in sent:
        done = await _results(found, index, len(places), pending)
        failed += sum(each.error_code is not None for each in done)
        for place, result in zip(places, done, strict=True):
            results[place] = result
    return shapes.PutMany(failed_record_count=failed, records=results, encryption_type=found.encryption)


def _publish(caller: Caller, found: Found, records: list[Record], index: int) -> "Pending[list[Appended]] | AwsError":
    try:
        return caller.broker.publish(caller.session, found.topic, records, partition=index)
    except IsthmusError as error:
        return errors.of(error)


async def _results(
    found: Found, index: int, count: int, sent: "Pending[list[Appended]] | AwsError"
) -> list[shapes.PutResult]:
    """What became of the records of one shard, in their order."""
    if isinstance(sent, AwsError):
        return [_failure(sent)] * count
    try:
        rows = await sent
    except IsthmusError as error:
        return [_failure(errors.of(error))] * count
    name = cursor.shard_id(index)
    offsets = [row.base_offset + at for row in rows for at in range(row.count)]
    return [shapes.PutResult(sequence_number=found.sequence(index, each), shard_id=name) for each in offsets]


def _failure(error: AwsError) -> shapes.PutResult:
    known = error.code == "ProvisionedThroughputExceededException"
    return shapes.PutResult(error_code=error.code if known else "InternalFailure", error_message=error.message)


def _prepared(found: Found, data: bytes | None, key: str | None, explicit: str | None) -> tuple[Record, int]:
    """A record, and the shard that takes it."""
    if data is None or key is None:
        raise missing("data" if data is None else "partitionKey")
    if not 1 <= len(key) <= KEY_CHARACTERS_MAX:
        raise violated(key[:300], "partitionKey", "Member must have length between 1 and 256, inclusive")
    record = Record(data, key.encode(), timestamp_ms=-1)
    limit = found.own.record_kib * 1_024
    if _size(record) > limit:
        raise violated("<Binary>", "data", f"Member must have length less than or equal to {limit}")
    hashed = hashes.hash_of(key) if explicit is None else hashes.parse(explicit, "ExplicitHashKey")
    return record, found.layout.shard_of(hashed)


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")


def _refuse_dry(asked: bool | None) -> None:  # noqa: FBT001 - a member of an input
    if asked:
        raise AwsError("DryRunOperationException", "The request would have been looked at, and nothing done.")


# ---- reading ------------------------------------------------------------------------------------------------------


async def get_shard_iterator(caller: Caller, asked: shapes.GetShardIterator) -> shapes.ShardIterator:
    """A place in a shard, fixed now: also the latest one stays where it is."""
    _refuse_dry(asked.dry_run)
    found = await caller.find(asked)
    caller.check("read", found.name)
    index = caller.shard_of(found, asked.shard_id)
    offset = await start_of(
        caller, found, index, asked.shard_iterator_type, asked.starting_sequence_number, asked.timestamp
    )
    place = Place(found.topic.id, index, offset, caller.now_ms)
    return shapes.ShardIterator(shard_iterator=cursor.encode(place))


async def start_of(  # the members of a starting position
    caller: Caller, found: Found, index: int, kind: str | None, number: str | None, timestamp: float | None
) -> int:
    """The offset that a starting position stands for.

    Raises:
        AwsError: it stands for none.
    """
    if kind not in TYPES:
        raise violated(kind, "shardIteratorType", f"Member must satisfy enum value set: [{', '.join(TYPES)}]")
    partition = found.partition(index)
    if kind == "TRIM_HORIZON":
        return partition.log_start
    if kind == "LATEST":
        return partition.high_watermark
    if kind == "AT_TIMESTAMP":
        return await _at_time(caller.broker, found, index, timestamp, caller.now_ms)
    if number is None:
        raise invalid(f"Must either specify a StartingSequenceNumber or not use {kind} as ShardIteratorType.")
    offset = cursor.offset_of(number, index, found.shard(index).created_ms)
    if offset > partition.high_watermark:
        raise invalid(f"StartingSequenceNumber {number} lies behind everything in {cursor.shard_id(index)}.")
    return max(offset + (kind == "AFTER_SEQUENCE_NUMBER"), partition.log_start)


async def _at_time(broker: Broker, found: Found, index: int, timestamp: float | None, now_ms: int) -> int:
    if timestamp is None:
        raise invalid("Must specify timestampInMillis when iterator type is AT_TIMESTAMP.")
    time_ms = int(timestamp * 1_000)
    if time_ms > now_ms:
        raise invalid(f"The timestampInMillis parameter cannot be greater than the currentTimestampInMillis {now_ms}.")
    return await broker.resolve(found.partition(index), ("time", max(time_ms, 0)))


async def get_records(caller: Caller, asked: shapes.GetRecords) -> shapes.Records:
    """What is there from an iterator on, how far behind that is, and the next iterator or what follows the shard."""
    _refuse_dry(asked.dry_run)
    if asked.shard_iterator is None:
        raise missing("shardIterator")
    limit = GET_MAX if asked.limit is None else asked.limit
    if not 1 <= limit <= GET_MAX:
        bound = "greater than or equal to 1" if limit < 1 else f"less than or equal to {GET_MAX}"
        raise violated(limit, "limit", f"Member must have value {bound}")
    place = cursor.decode(asked.shard_iterator, caller.now_ms)
    found = caller.identified(place.topic)
    records, after = await read(caller, found, place, limit)
    ended = has_ended(found, place.shard, after)
    following = None if ended else cursor.encode(Place(place.topic, place.shard, after, caller.now_ms))
    return shapes.Records(
        records=[record_shown(found, place.shard, record) for record in records],
        next_shard_iterator=following,
        millis_behind_latest=behind_ms(caller, found, place.shard, after, records),
        child_shards=children_of(found, place.shard) if ended else None,
    )


def has_ended(found: Found, index: int, after: int) -> bool:
    """Whether a shard is closed, and everything in it lies before an offset."""
    return found.shard(index).closed_ms is not None and after >= found.partition(index).high_watermark


async def read(caller: Caller, found: Found, place: Place, limit: int) -> tuple[list[StoredRecord], int]:
    """Records from a place on, as many as one answer may have, and the offset to go on at."""
    partition = found.partition(place.shard)
    start = max(place.offset, partition.log_start)
    caller.check("read", found.name)
    if start >= partition.high_watermark:
        return [], start
    fetched = await caller.broker.fetch(caller.session, [(partition, start)], GET_BYTES_MAX)
    records: list[StoredRecord] = []
    size, after = 0, start
    for batch in fetched[0].batches if fetched else []:
        for record in batches.decode(batch.data, from_offset=start):
            size += len(record.value or b"") + len(record.key or b"")
            if len(records) >= limit or (records and size > GET_BYTES_MAX):
                return records, after
            records.append(record)
            after = record.offset + 1
        after = batch.end_offset
    return records, after


def behind_ms(caller: Caller, found: Found, index: int, after: int, records: list[StoredRecord]) -> int:
    """How old the last record is that was read, when it was not the last one that there is."""
    if after >= found.partition(index).high_watermark or not records:
        return 0
    return max(0, caller.now_ms - records[-1].timestamp_ms)


def record_shown(found: Found, index: int, record: StoredRecord) -> shapes.Record:
    """A record as it is given out; one without a key, of another door, has an empty one."""
    return shapes.Record(
        sequence_number=found.sequence(index, record.offset),
        approximate_arrival_timestamp=record.timestamp_ms / 1_000,
        data=record.value or b"",
        partition_key=(record.key or b"").decode(errors="replace"),
        encryption_type=found.encryption,
    )
