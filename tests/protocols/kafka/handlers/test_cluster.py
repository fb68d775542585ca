"""The cluster of one node as Kafka's tools see it, over real sockets."""

from typing import Any

import pytest

from isthmus.definition import TopicDefinition
from isthmus.log import batch as batches
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.allowed import (
    ALTER,
    ALTER_CONFIGS,
    CLUSTER_ACTION,
    CREATE,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    IDEMPOTENT_WRITE,
    NOT_ASKED,
)
from isthmus.protocols.kafka.handlers.cluster import CLUSTER_OPERATIONS, PAGE_PARTITIONS
from isthmus.record import Record
from support.kafka import KafkaPeer, KafkaServer, kafka_server

PLACES = [("t", 0, Code.NONE), ("t", 9, Code.UNKNOWN_TOPIC_OR_PARTITION), ("gone", 0, Code.UNKNOWN_TOPIC_OR_PARTITION)]
"""Partitions that are asked about, and whether they are there."""


async def topics(server: KafkaServer, **counts: int) -> KafkaPeer:
    for name, partitions in counts.items():
        await server.broker.create_topic(server.broker.session(), TopicDefinition(name=name, partitions=partitions))
    return await server.connect()


# ---- the cluster ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
async def test_the_node_is_found_where_it_was_reached(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(60, version, m.DescribeClusterRequest(include_cluster_authorized_operations=True))
        bare = await peer.ask(60, version, m.DescribeClusterRequest())
        known = await peer.ask(3, 9, m.MetadataRequest(()))

        (node,) = answer.brokers
        assert (answer.error_code, node.broker_id, node.host, node.port) == (0, 1, server.host, server.port)
        assert (answer.controller_id, answer.cluster_id) == (1, known.cluster_id)
        assert answer.cluster_authorized_operations == sum(1 << each for each in CLUSTER_OPERATIONS)
        assert bare.cluster_authorized_operations == NOT_ASKED


def test_all_operations_on_a_cluster_are_known() -> None:
    assert set(CLUSTER_OPERATIONS) == {
        CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE,
    }  # fmt: skip


async def test_there_are_no_controllers_of_their_own() -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(60, 2, m.DescribeClusterRequest(endpoint_type=2))

        assert (answer.error_code, answer.endpoint_type, answer.brokers) == (Code.UNSUPPORTED_ENDPOINT_TYPE, 2, ())


@pytest.mark.parametrize("version", range(3))
async def test_the_quorum_is_the_node(version: int) -> None:
    async with kafka_server() as server:
        peer = await topics(server, t=1)

        def row(name: str, index: int) -> m.DescribeQuorumRequestTopic:
            return m.DescribeQuorumRequestTopic(name, (m.DescribeQuorumRequestTopicPartition(index),))

        asked = (row("__cluster_metadata", 0), row("__cluster_metadata", 1), row("t", 0))
        answer = await peer.ask(55, version, m.DescribeQuorumRequest(asked))

        rows = [each.partitions[0] for each in answer.topics]
        assert [each.error_code for each in rows] == [0, *[Code.UNKNOWN_TOPIC_OR_PARTITION] * 2]
        assert rows[0].leader_id == rows[0].current_voters[0].replica_id == 1
        assert rows[0].high_watermark == rows[0].current_voters[0].log_end_offset > 0


# ---- partitions -----------------------------------------------------------------------------------------------------


async def page(
    peer: KafkaPeer, *names: str, limit: int = 2_000, cursor: tuple[str, int] | None = None
) -> tuple[list[tuple[str, list[int]]], tuple[str, int] | None]:
    at = None if cursor is None else m.DescribeTopicPartitionsRequestCursor(*cursor)
    asked = tuple(m.DescribeTopicPartitionsRequestTopic(name) for name in names)
    answer = await peer.ask(75, 0, m.DescribeTopicPartitionsRequest(asked, limit, at))
    found = [(row.name, [each.partition_index for each in row.partitions]) for row in answer.topics]
    after = answer.next_cursor
    return found, None if after is None else (after.topic_name, after.partition_index)


async def test_partitions_of_topics_are_described_in_the_order_of_names() -> None:
    async with kafka_server() as server:
        peer = await topics(server, b=2, a=1)

        assert await page(peer) == ([("a", [0]), ("b", [0, 1])], None)
        assert await page(peer, "b", "a", "b") == ([("a", [0]), ("b", [0, 1])], None)


async def test_what_is_told_of_a_partition() -> None:
    async with kafka_server() as server:
        peer = await topics(server, t=1)

        asked = tuple(m.DescribeTopicPartitionsRequestTopic(name) for name in ("t", "gone"))
        answer = await peer.ask(75, 0, m.DescribeTopicPartitionsRequest(asked))

        gone, there = answer.topics
        (row,) = there.partitions
        assert (gone.name, gone.error_code) == ("gone", Code.UNKNOWN_TOPIC_OR_PARTITION)
        assert there.topic_id == server.broker.topic("default", "t").set.uuid
        assert (row.leader_id, row.replica_nodes, row.isr_nodes, row.offline_replicas) == (1, (1,), (1,), ())


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
async def test_pages_of_every_size_give_each_partition_once(limit: int) -> None:
    async with kafka_server() as server:
        peer = await topics(server, a=3, b=1, c=4)
        cursor: tuple[str, int] | None = None
        found: list[tuple[str, int]] = []

        for _ in range(20):
            rows, cursor = await page(peer, limit=limit, cursor=cursor)
            size = sum(len(indexes) for _, indexes in rows)
            assert 1 <= size <= limit
            found += [(name, index) for name, indexes in rows for index in indexes]
            if cursor is None:
                break

        assert found == [*(("a", at) for at in range(3)), ("b", 0), *(("c", at) for at in range(4))]


async def test_a_page_goes_on_behind_a_topic_that_was_removed() -> None:
    async with kafka_server() as server:
        peer = await topics(server, a=3, c=1)

        assert await page(peer, cursor=("b", 2)) == ([("c", [0])], None)


@pytest.mark.parametrize("limit", [0, -5])
async def test_a_page_has_one_partition_at_least(limit: int) -> None:
    async with kafka_server() as server:
        peer = await topics(server, a=3)

        assert await page(peer, limit=limit) == ([("a", [0])], ("a", 1))
        assert PAGE_PARTITIONS == 2_000


async def test_a_cursor_that_lies_before_the_first_partition_is_no_way_round() -> None:
    async with kafka_server() as server:
        peer = await topics(server, a=3)

        assert await page(peer, cursor=("a", -2)) == ([("a", [0, 1, 2])], None)
        assert await page(peer, cursor=("a", 99)) == ([("a", [])], None)


@pytest.mark.parametrize("version", range(1, 6))
async def test_the_data_directory_is_told_with_what_partitions_take(version: int) -> None:
    async with kafka_server() as server:
        peer = await topics(server, t=2, other=1)
        found = server.broker.topic("default", "t")
        await server.broker.publish(server.broker.session(), found, [Record(b"v" * 1_000, b"k")], partition=1)

        everything = await peer.ask(35, version, m.DescribeLogDirsRequest(None))
        some = await peer.ask(
            35,
            version,
            m.DescribeLogDirsRequest(
                (m.DescribeLogDirsRequestTopic("t", (1, 9)), m.DescribeLogDirsRequestTopic("gone", (0,)))
            ),
        )

        def sizes(answer: Any) -> dict[tuple[str, int], int]:  # noqa: ANN401 - an answer
            (place,) = answer.results
            return {
                (row.name, each.partition_index): each.partition_size for row in place.topics for each in row.partitions
            }

        assert set(sizes(everything)) == {("t", 0), ("t", 1), ("other", 0)}
        assert sizes(everything)["t", 0] == 0
        assert sizes(everything)["t", 1] > 1_000
        assert list(sizes(some)) == [("t", 1)]


async def test_the_producers_that_a_partition_remembers_are_told() -> None:
    async with kafka_server() as server:
        peer = await topics(server, t=1)
        batch = batches.encode([Record(b"v")] * 3, now_ms=0, producer_id=4, producer_epoch=2, base_sequence=5)
        first = batches.encode([Record(b"v")] * 5, now_ms=0, producer_id=4, producer_epoch=2, base_sequence=0)
        for each in (first, batch):
            data = m.ProduceRequestTopicData("t", partition_data=(m.ProduceRequestTopicDataPartitionData(0, each),))
            await peer.ask(0, 9, m.ProduceRequest(None, -1, 5_000, (data,)))

        asked = tuple(m.DescribeProducersRequestTopic(name, (index,)) for name, index, _ in PLACES)
        answer = await peer.ask(61, 0, m.DescribeProducersRequest(asked))

        rows = [each.partitions[0] for each in answer.topics]
        assert [row.error_code for row in rows] == [code for _, _, code in PLACES]
        assert [(row.producer_id, row.producer_epoch, row.last_sequence) for row in rows[0].active_producers] == [
            (4, 2, 7)
        ]


# ---- what several nodes would need ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
async def test_the_node_leads_already(version: int) -> None:
    async with kafka_server() as server:
        peer = await topics(server, t=1)

        asked = tuple(m.ElectLeadersRequestTopicPartition(name, (index,)) for name, index, _ in PLACES)
        answer = await peer.ask(43, version, m.ElectLeadersRequest(0, asked))
        everything = await peer.ask(43, version, m.ElectLeadersRequest(0, None))

        rows = [row.partition_result[0] for row in answer.replica_election_results]
        assert [row.error_code for row in rows] == [Code.ELECTION_NOT_NEEDED, *(code for _, _, code in PLACES[1:])]
        assert (everything.error_code, everything.replica_election_results) == (Code.NONE, ())


@pytest.mark.parametrize(
    ("replicas", "code"),
    [
        ((1,), Code.NONE),
        ((2,), Code.INVALID_REPLICA_ASSIGNMENT),
        ((1, 2), Code.INVALID_REPLICA_ASSIGNMENT),
        ((), Code.INVALID_REPLICA_ASSIGNMENT),
        (None, Code.NO_REASSIGNMENT_IN_PROGRESS),
    ],
)
async def test_partitions_stay_on_the_node(replicas: tuple[int, ...] | None, code: Code) -> None:
    async with kafka_server() as server:
        peer = await topics(server, t=1)

        rows = [
            m.AlterPartitionReassignmentsRequestTopic(
                name, (m.AlterPartitionReassignmentsRequestTopicPartition(index, replicas),)
            )
            for name, index, _ in PLACES
        ]
        answer = await peer.ask(45, 1, m.AlterPartitionReassignmentsRequest(topics=tuple(rows)))
        moving = await peer.ask(46, 0, m.ListPartitionReassignmentsRequest())

        found = [each.partitions[0].error_code for each in answer.responses]
        assert found == [code, *(missing for _, _, missing in PLACES[1:])]
        assert (moving.error_code, moving.topics) == (Code.NONE, ())
