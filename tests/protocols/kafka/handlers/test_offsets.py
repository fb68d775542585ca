"""ListOffsets and OffsetForLeaderEpoch over a real socket: ends, times, the newest timestamp, and epochs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from isthmus.log.partition import Partition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.offsets import (
    EARLIEST,
    EARLIEST_LOCAL,
    LATEST,
    MAX_TIMESTAMP,
    TIERED,
    end_of_epoch,
)
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.kafka_requests import EPOCHS, LIST_OFFSETS, a_batch, fill, with_topic

NONE = (-1, -1)


async def offset(peer: KafkaPeer, timestamp: int, *, version: int = 9, **given: Any) -> Any:  # noqa: ANN401 - the row of one partition
    asked = m.ListOffsetsRequestTopicPartition(given.pop("partition", 0), timestamp=timestamp, **given)
    answer = await peer.ask(
        LIST_OFFSETS, version, m.ListOffsetsRequest(-1, 0, (m.ListOffsetsRequestTopic("t", (asked,)),))
    )
    (topic,) = answer.topics
    (row,) = topic.partitions
    return row


async def found(peer: KafkaPeer, timestamp: int, **given: Any) -> tuple[int, int]:
    row = await offset(peer, timestamp, **given)
    assert row.error_code == Code.NONE
    return row.offset, row.timestamp


async def with_records(server: KafkaServer, *times_ms: int) -> KafkaPeer:
    """A topic with a record, in a batch of its own, for each time."""
    peer = await with_topic(server)
    await fill(peer, *[a_batch(b"%d" % at, time_ms=at) for at in times_ms])
    return peer


@pytest.mark.parametrize("version", range(1, 12))
async def test_the_ends_in_every_version(version: int) -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10, 20, 30)
        broker = server.broker
        await broker.trim(broker.session(), broker.topic("default", "t"), 0, 1)

        ends = [await offset(peer, each, version=version) for each in (EARLIEST, LATEST)]

        assert [(row.error_code, row.offset, row.timestamp) for row in ends] == [(Code.NONE, 1, -1), (Code.NONE, 3, -1)]
        assert all(row.leader_epoch == (0 if version >= 4 else -1) for row in ends)


async def test_of_nothing_both_ends_are_0_and_no_time_is_found() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)

        assert [await found(peer, each) for each in (EARLIEST, LATEST, EARLIEST_LOCAL)] == [(0, -1)] * 3
        assert [await found(peer, each) for each in (0, 10**12, MAX_TIMESTAMP)] == [NONE] * 3


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [(0, (0, 10)), (10, (0, 10)), (11, (1, 20)), (20, (1, 20)), (30, (2, 30)), (31, NONE), (2**63 - 1, NONE)],
)
async def test_a_time_is_the_first_record_at_or_after_it(time_ms: int, expected: tuple[int, int]) -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10, 20, 30)

        assert await found(peer, time_ms) == expected


async def test_a_time_is_found_inside_of_a_batch_and_before_older_records_that_came_later() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server)
        await fill(peer, a_batch(b"a", b"b", time_ms=50), a_batch(b"c", time_ms=20), a_batch(b"d", time_ms=60))

        assert await found(peer, 20) == (0, 50)
        assert await found(peer, 51) == (3, 60)


async def test_the_newest_timestamp_is_that_of_the_first_record_that_has_it() -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10, 30, 20, 30, 5)

        assert await found(peer, MAX_TIMESTAMP) == (1, 30)


async def test_the_newest_timestamp_may_be_the_smallest_and_the_largest_that_there_are() -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 0)
        smallest = await found(peer, MAX_TIMESTAMP)

        await fill(peer, a_batch(b"x", time_ms=2**63 - 1))

        assert (smallest, await found(peer, MAX_TIMESTAMP)) == ((0, 0), (1, 2**63 - 1))


@pytest.mark.parametrize("timestamp", [*TIERED, -7, -(2**63)])
async def test_there_is_no_second_storage(timestamp: int) -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10)

        assert await found(peer, timestamp, version=11) == NONE


async def test_partitions_that_are_not_there_and_leaders_that_are_not_known() -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10)

        codes = [(await offset(peer, LATEST, partition=each)).error_code for each in (1, -1)]
        epochs = [(await offset(peer, LATEST, current_leader_epoch=each)).error_code for each in (-1, 0, 1)]

        assert codes == [Code.UNKNOWN_TOPIC_OR_PARTITION] * 2
        assert epochs == [Code.NONE, Code.NONE, Code.UNKNOWN_LEADER_EPOCH]


async def test_topics_and_partitions_are_answered_in_the_order_of_the_request() -> None:
    async with kafka_server() as server:
        peer = await with_topic(server, partitions=2)
        await fill(peer, a_batch(b"a"), partition=1)
        row = m.ListOffsetsRequestTopicPartition
        topics = (
            m.ListOffsetsRequestTopic("gone", (row(0, timestamp=LATEST),)),
            m.ListOffsetsRequestTopic("t", (row(1, timestamp=LATEST), row(0, timestamp=LATEST))),
        )

        answer = await peer.ask(LIST_OFFSETS, 9, m.ListOffsetsRequest(-1, 0, topics))

        told = [
            (topic.name, [(each.partition_index, each.error_code, each.offset) for each in topic.partitions])
            for topic in answer.topics
        ]
        assert told == [("gone", [(0, 3, -1)]), ("t", [(1, 0, 1), (0, 0, 0)])]


# ---- epochs ------------------------------------------------------------------------------------------------------


async def epoch_end(peer: KafkaPeer, epoch: int, version: int = 4, **given: Any) -> Any:  # noqa: ANN401 - the row of one partition
    asked = m.OffsetForLeaderEpochRequestTopicPartition(given.pop("partition", 0), leader_epoch=epoch, **given)
    topic = m.OffsetForLeaderEpochRequestTopic(given.pop("topic", "t"), (asked,))
    answer = await peer.ask(EPOCHS, version, m.OffsetForLeaderEpochRequest(-1, (topic,)))
    return answer.topics[0].partitions[0]


@pytest.mark.parametrize("version", [2, 3, 4])
async def test_the_present_epoch_ends_where_the_log_does(version: int) -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10, 20)

        row = await epoch_end(peer, 0, version)
        later = await epoch_end(peer, 5, version)

        assert (row.error_code, row.leader_epoch, row.end_offset) == (Code.NONE, 0, 2)
        assert (later.error_code, later.leader_epoch, later.end_offset) == (Code.NONE, -1, -1)


async def test_epochs_of_what_is_not_there_are_refused() -> None:
    async with kafka_server() as server:
        peer = await with_records(server, 10)

        assert (await epoch_end(peer, 0, partition=3)).error_code == Code.UNKNOWN_TOPIC_OR_PARTITION
        assert (await epoch_end(peer, 0, current_leader_epoch=9)).error_code == Code.UNKNOWN_LEADER_EPOCH


@pytest.mark.parametrize(
    ("epoch", "expected"), [(1, NONE), (2, (2, 20)), (3, (2, 20)), (4, (4, 50)), (5, (5, 70)), (6, NONE)]
)
def test_an_epoch_ends_where_the_next_one_began(epoch: int, expected: tuple[int, int]) -> None:
    place = cast("Partition", SimpleNamespace(epochs=[(2, 10), (4, 20), (5, 50)], high_watermark=70))

    assert end_of_epoch(place, epoch) == expected
