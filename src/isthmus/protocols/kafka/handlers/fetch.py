"""Batches out of the log: Fetch.

What memory has is answered at once; what the disk has, and what is not there yet, is waited for beside the connection.
Batches leave as they are stored.
"""

from collections.abc import Coroutine, Sequence
from typing import Final, NamedTuple

from isthmus.errors import IsthmusError, OffsetOutOfRange, Overloaded
from isthmus.limits import FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX
from isthmus.log import batch as batches
from isthmus.log.partition import BatchAt, Partition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers.call import Call

BY_ID: Final = 13
"""From this version on topics are named by id."""

ZSTD_FROM: Final = 10
ZSTD: Final = 4

Row = m.FetchResponseResponsePartition


class Wanted(NamedTuple):
    """One partition of a request: where from, how much at most; `code` when nothing can be had of it."""

    number: int
    offset: int
    max_bytes: int
    partition: Partition | None
    code: Code


Topics = Sequence[tuple[m.FetchRequestTopic, Sequence[Wanted]]]


class Filled:
    """The answer under way, within the bytes that were asked for."""

    def __init__(self, max_bytes: int) -> None:
        self.left_bytes = max_bytes
        self.size_bytes = 0
        self.is_final = False
        self.rows: list[list[Row]] = []

    def budget(self, wanted: Wanted) -> int:
        """Bytes that a partition may give now; the first batch of an answer may be larger than any limit."""
        return max(1, min(self.left_bytes, wanted.max_bytes))

    def add(self, wanted: Wanted, partition: Partition, found: Sequence[BatchAt]) -> None:
        """What a partition gave; a batch that does not fit stays away, unless it is the first of all."""
        pieces: list[bytes] = []
        left = min(self.left_bytes, wanted.max_bytes)
        for batch in found:
            size = len(batch.data)
            if size > left and (self.size_bytes or pieces):
                break
            pieces.append(batch.data)
            left -= size
        size = sum(map(len, pieces))
        self.left_bytes -= size
        self.size_bytes += size
        self.rows[-1].append(_row(wanted, partition, tuple(pieces)))

    def refuse(self, wanted: Wanted, code: Code) -> None:
        """Nothing can be had of a partition; the client has to be told at once."""
        self.is_final = True
        partition = wanted.partition
        ends = (-1, -1) if partition is None else (partition.high_watermark, partition.log_start)
        self.rows[-1].append(
            Row(
                partition_index=wanted.number,
                error_code=code,
                high_watermark=ends[0],
                last_stable_offset=ends[0],
                log_start_offset=ends[1],
            )
        )


def _row(wanted: Wanted, partition: Partition, pieces: tuple[bytes, ...]) -> Row:
    return Row(
        partition_index=wanted.number,
        high_watermark=partition.high_watermark,
        last_stable_offset=partition.stable_offset,
        log_start_offset=partition.log_start,
        records=pieces,
    )


def fetch(call: Call) -> m.FetchResponse | Coroutine[None, None, m.FetchResponse]:
    """Batches from offsets, waiting until there are enough, for as long as the client will.

    Spec: Fetch (1), KIP-74 (limits that always let something through), KIP-320 (leader epochs), KIP-516 (topic ids).
    Deviation: no fetch sessions (KIP-227): every answer says so, and clients then ask for all that they want each time.
    """
    asked: m.FetchRequest = call.request
    if asked.session_id:
        return m.FetchResponse(error_code=Code.FETCH_SESSION_ID_NOT_FOUND)
    topics = [(named, [_wanted(call, named, row) for row in named.partitions]) for named in asked.topics]
    filled = _fill_now(call, topics)
    if filled is None or not _is_enough(asked, filled):
        return _fill_later(call, topics)
    return _answer(asked, filled)


def _wanted(call: Call, named: m.FetchRequestTopic, row: m.FetchRequestTopicPartition) -> Wanted:
    by_name = call.version < BY_ID
    topic = call.topic(named.topic) if by_name else call.topic_by_id(named.topic_id)
    name = named.topic if by_name or topic is None else topic.name
    partition, code = None, Code.NONE
    if topic is None and not by_name:
        code = Code.UNKNOWN_TOPIC_ID
    elif not call.allows("read", name):
        code = Code.TOPIC_AUTHORIZATION_FAILED
    elif topic is None or not 0 <= row.partition < len(topic.partitions):
        code = Code.UNKNOWN_TOPIC_OR_PARTITION
    else:
        partition = topic.partitions[row.partition]
        code = epoch_code(partition, row.current_leader_epoch)
        if code is Code.NONE and not partition.log_start <= row.fetch_offset <= partition.high_watermark:
            code = Code.OFFSET_OUT_OF_RANGE
    return Wanted(row.partition, row.fetch_offset, row.partition_max_bytes, partition, code)


def epoch_code(partition: Partition, claimed: int) -> Code:
    """Whether a client knows the partition's leader as it is. Spec: KIP-320."""
    if claimed < 0 or claimed == partition.leader_epoch:
        return Code.NONE
    return Code.FENCED_LEADER_EPOCH if claimed < partition.leader_epoch else Code.UNKNOWN_LEADER_EPOCH


def _limit(asked: m.FetchRequest) -> int:
    return max(1, min(asked.max_bytes, FETCH_BYTES_MAX))


def _to_read(filled: Filled, wanted: Wanted) -> Partition | None:
    """The partition to read from; None when the answer for it is there without reading."""
    partition = wanted.partition
    if wanted.code is not Code.NONE or partition is None:
        filled.refuse(wanted, wanted.code)
        return None
    if filled.left_bytes <= 0:
        filled.add(wanted, partition, ())
        return None
    return partition


def _fill_now(call: Call, topics: Topics) -> Filled | None:
    """An answer out of memory; None when the disk is needed."""
    filled = Filled(_limit(call.request))
    for _, rows in topics:
        filled.rows.append([])
        for wanted in rows:
            partition = _to_read(filled, wanted)
            if partition is None:
                continue
            found = partition.read_now(wanted.offset, filled.budget(wanted))
            if found is None:
                return None
            _add(call, filled, wanted, partition, found)
    return filled


def _add(call: Call, filled: Filled, wanted: Wanted, partition: Partition, found: Sequence[BatchAt]) -> None:
    if call.version < ZSTD_FROM and any(each.data[22] & 7 == ZSTD for each in found):
        filled.refuse(wanted, Code.UNSUPPORTED_COMPRESSION_TYPE)
    else:
        filled.add(wanted, partition, found)


async def _fill(call: Call, topics: Topics) -> Filled:
    """An answer that waits for the disk where it must."""
    filled = Filled(_limit(call.request))
    for _, rows in topics:
        filled.rows.append([])
        for wanted in rows:
            partition = _to_read(filled, wanted)
            if partition is None:
                continue
            try:
                found = await partition.read(wanted.offset, filled.budget(wanted))
            except OffsetOutOfRange:
                filled.refuse(wanted, Code.OFFSET_OUT_OF_RANGE)
            except IsthmusError as error:
                filled.refuse(wanted, code_of(error, "topic"))
            else:
                _add(call, filled, wanted, partition, found)
    return filled


def _is_enough(asked: m.FetchRequest, filled: Filled) -> bool:
    return filled.is_final or filled.size_bytes >= asked.min_bytes or asked.max_wait_ms <= 0


async def _fill_later(call: Call, topics: Topics) -> m.FetchResponse:
    asked: m.FetchRequest = call.request
    clock = call.broker.clock
    until_ms = clock.monotonic_ms() + min(max(asked.max_wait_ms, 0), FETCH_WAIT_MS_MAX)
    while True:
        filled = await _fill(call, topics)
        ends = _ends(topics, filled)
        # What is there and was not taken did not fit, so waiting would bring no more.
        full = any(partition.high_watermark > at for partition, at in ends)
        if full or _is_enough(asked, filled) or not await _grown(call, ends, until_ms):
            return _answer(asked, filled)


def _ends(topics: Topics, filled: Filled) -> list[tuple[Partition, int]]:
    """The partitions that can be read, and where what was found of each ends."""
    return [
        (wanted.partition, _end_of(row, wanted.offset))
        for (_, rows), found in zip(topics, filled.rows, strict=True)
        for wanted, row in zip(rows, found, strict=True)
        if wanted.partition is not None
    ]


async def _grown(call: Call, ends: Sequence[tuple[Partition, int]], until_ms: int) -> bool:
    """Wait until there is more than was found; False when time is up or too many wait already."""
    if call.broker.clock.monotonic_ms() >= until_ms:
        return False
    try:
        return await call.broker.polls.wait_any(ends, until_ms)
    except Overloaded:
        # This one gets what there is, and asks again.
        return False


def _end_of(row: Row, offset: int) -> int:
    """Behind what was found of a partition."""
    pieces = row.records
    if isinstance(pieces, tuple) and pieces:
        return batches.header(pieces[-1]).next_offset
    return offset


def _answer(asked: m.FetchRequest, filled: Filled) -> m.FetchResponse:
    topics = [
        m.FetchResponseResponse(named.topic, named.topic_id, tuple(rows))
        for named, rows in zip(asked.topics, filled.rows, strict=True)
    ]
    return m.FetchResponse(responses=tuple(topics))
