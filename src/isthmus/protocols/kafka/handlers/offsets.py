"""Which offsets there are: ListOffsets and OffsetForLeaderEpoch."""

from typing import Final

from isthmus.errors import IsthmusError
from isthmus.log.partition import Partition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.fetch import epoch_code

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
TIERED: Final = (-5, -6)
"""What was moved to a second storage, which there is none of."""

TIME_BITS: Final = 63

Row = m.ListOffsetsResponseTopicPartition


async def list_offsets(call: Call) -> m.ListOffsetsResponse:
    """Offsets by time: of the ends, of the first record at or after a time, of the newest timestamp.

    Spec: ListOffsets (2), KIP-79, KIP-734, KIP-1005.
    """
    asked: m.ListOffsetsRequest = call.request
    topics = []
    for named in asked.topics:
        rows = [await _offset(call, named.name, row) for row in named.partitions]
        topics.append(m.ListOffsetsResponseTopic(named.name, tuple(rows)))
    return m.ListOffsetsResponse(topics=tuple(topics))


def find(call: Call, name: str, index: int) -> Partition | Code:
    """A partition that the caller may see, or why it cannot be had."""
    if not call.allows("describe", name):
        return Code.TOPIC_AUTHORIZATION_FAILED
    topic = call.topic(name)
    if topic is None or not 0 <= index < len(topic.partitions):
        return Code.UNKNOWN_TOPIC_OR_PARTITION
    return topic.partitions[index]


async def _offset(call: Call, name: str, asked: m.ListOffsetsRequestTopicPartition) -> Row:
    found = find(call, name, asked.partition_index)
    if isinstance(found, Code):
        return Row(asked.partition_index, found)
    code = epoch_code(found, asked.current_leader_epoch)
    if code is not Code.NONE:
        return Row(asked.partition_index, code)
    try:
        offset, time_ms = await _resolve(call, found, asked.timestamp)
    except IsthmusError as error:
        return Row(asked.partition_index, code_of(error, "topic"))
    epoch = -1 if offset < 0 else found.epoch_of(offset)
    return Row(asked.partition_index, timestamp=time_ms, offset=offset, leader_epoch=epoch)


async def _resolve(call: Call, partition: Partition, timestamp: int) -> tuple[int, int]:
    """The offset that a time stands for, and its timestamp where Kafka tells one; -1 for none."""
    match timestamp:
        case -1:
            return partition.high_watermark, -1
        case -2 | -4:
            return partition.log_start, -1
        case -3:
            return await _newest(call, partition)
        case _ if timestamp < 0:
            return -1, -1
    offset = await partition.offset_for_time(timestamp)
    return (-1, -1) if offset is None else await _with_time(call, partition, offset)


async def _with_time(call: Call, partition: Partition, offset: int) -> tuple[int, int]:
    record = await call.broker.record_at(partition, offset)
    return (-1, -1) if record is None else (offset, record.timestamp_ms)


async def _newest(call: Call, partition: Partition) -> tuple[int, int]:
    """The first record with the largest timestamp: searched by halving, since only "at or after" can be asked."""
    if await partition.offset_for_time(0) is None:
        return -1, -1
    low = 0
    for bit in reversed(range(TIME_BITS)):
        if await partition.offset_for_time(low + (1 << bit)) is not None:
            low += 1 << bit
    offset = await partition.offset_for_time(low)
    return (-1, -1) if offset is None else await _with_time(call, partition, offset)


def offset_for_leader_epoch(call: Call) -> m.OffsetForLeaderEpochResponse:
    """Where the offsets of a leader epoch end: a consumer learns from it whether its log was cut.

    Spec: OffsetForLeaderEpoch (23), KIP-320.
    """
    asked: m.OffsetForLeaderEpochRequest = call.request
    topics = [
        m.OffsetForLeaderEpochResponseTopic(
            named.topic, tuple([_epoch_end(call, named.topic, row) for row in named.partitions])
        )
        for named in asked.topics
    ]
    return m.OffsetForLeaderEpochResponse(topics=tuple(topics))


def _epoch_end(
    call: Call, name: str, asked: m.OffsetForLeaderEpochRequestTopicPartition
) -> m.OffsetForLeaderEpochResponseTopicPartition:
    found = find(call, name, asked.partition)
    if isinstance(found, Code):
        return m.OffsetForLeaderEpochResponseTopicPartition(found, asked.partition)
    code = epoch_code(found, asked.current_leader_epoch)
    if code is not Code.NONE:
        return m.OffsetForLeaderEpochResponseTopicPartition(code, asked.partition)
    epoch, end = end_of_epoch(found, asked.leader_epoch)
    return m.OffsetForLeaderEpochResponseTopicPartition(Code.NONE, asked.partition, epoch, end)


def end_of_epoch(partition: Partition, epoch: int) -> tuple[int, int]:
    """The last epoch up to the one asked for, and the offset behind its last; (-1, -1) when it is not known."""
    rows = partition.epochs or [(0, 0)]
    if epoch > rows[-1][0]:
        return -1, -1
    known = [at for at, (each, _) in enumerate(rows) if each <= epoch]
    if not known:
        return -1, -1
    at = known[-1]
    end = rows[at + 1][1] if at + 1 < len(rows) else partition.high_watermark
    return rows[at][0], end
