"""Topics as admin clients make, remove and grow them, over real sockets, and the deletion of their oldest records."""

import uuid
from typing import Any

import pytest

from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.limits import PARTITIONS_MAX
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.door import Peer
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.call import Call, KafkaOptions
from isthmus.protocols.kafka.handlers.service import KafkaService
from isthmus.protocols.kafka.handlers.topic_configs import BY_NAME, fresh
from isthmus.protocols.kafka.handlers.topics import create_topics, is_legal
from isthmus.record import Record
from support.kafka import KafkaPeer, KafkaServer, kafka_server

NO_ID = bytes(16)


def assigned(*replicas: tuple[int, ...], start: int = 0) -> tuple[m.CreateTopicsRequestTopicAssignment, ...]:
    return tuple(m.CreateTopicsRequestTopicAssignment(at, each) for at, each in enumerate(replicas, start))


async def made(peer: KafkaPeer, *rows: m.CreateTopicsRequestTopic, version: int = 7, only_check: bool = False) -> Any:  # noqa: ANN401 - rows of an answer
    answer = await peer.ask(19, version, m.CreateTopicsRequest(rows, 1_000, only_check))
    return answer.topics


async def names(peer: KafkaPeer) -> set[str]:
    return {row.name for row in (await peer.ask(3, 9, m.MetadataRequest(None))).topics}


async def topic(server: KafkaServer, name: str = "t", partitions: int = 1, records: int = 0, **settings: str) -> Any:  # noqa: ANN401 - a topic
    owner = server.broker.session()
    config = fresh({key.replace("_", "."): value for key, value in settings.items()})
    asked = TopicDefinition(name=name, partitions=partitions, config=config)
    found = await server.broker.create_topic(owner, asked)
    if records:
        await server.broker.publish(owner, found, [Record(b"v", b"k")] * records, partition=0)
    return found


# ---- making ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(2, 8))
async def test_a_topic_is_made_and_what_it_became_is_told(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        setting = m.CreateTopicsRequestTopicConfig("retention.ms", "1000")

        (row,) = await made(peer, m.CreateTopicsRequestTopic("t", 3, 1, configs=(setting,)), version=version)

        found = server.broker.topic("default", "t")
        assert (row.name, row.error_code, row.error_message) == ("t", Code.NONE, None)
        assert (len(found.partitions), found.set.config) == (3, fresh({"retention.ms": "1000"}))
        if version >= 5:
            told = {each.name: (each.value, each.config_source) for each in row.configs}
            assert (row.num_partitions, row.replication_factor) == (3, 1)
            assert (set(told), told["retention.ms"], told["segment.ms"][1]) == (set(BY_NAME), ("1000", 1), 5)
        if version >= 7:
            assert row.topic_id == found.set.uuid


async def test_a_topic_is_there_after_a_restart_under_the_same_id() -> None:
    storage = MemoryStorage()
    async with kafka_server(storage) as server:
        (row,) = await made(await server.connect(), m.CreateTopicsRequestTopic("t", 3, 1))

    async with kafka_server(storage) as server:
        answer = await (await server.connect()).ask(3, 12, m.MetadataRequest(None))
        assert [(each.name, each.topic_id, len(each.partitions)) for each in answer.topics] == [("t", row.topic_id, 3)]


async def test_what_is_only_checked_is_not_made_and_refused_for_the_same_reasons() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await topic(server)

        rows = await made(
            peer,
            m.CreateTopicsRequestTopic("new", 2, 1),
            m.CreateTopicsRequestTopic("t", 2, 1),
            m.CreateTopicsRequestTopic("new2", 0, 1),
            only_check=True,
        )

        assert [row.error_code for row in rows] == [Code.NONE, Code.TOPIC_ALREADY_EXISTS, Code.INVALID_PARTITIONS]
        assert (rows[0].num_partitions, rows[0].topic_id) == (2, NO_ID)
        assert await names(peer) == {"t"}


async def test_who_does_not_say_gets_the_defaults() -> None:
    async with kafka_server() as server:
        (row,) = await made(await server.connect(), m.CreateTopicsRequestTopic("t", -1, -1))

        assert (row.error_code, row.num_partitions, row.replication_factor) == (Code.NONE, 1, 1)


@pytest.mark.parametrize("factor", [2, 3, 32_767])
async def test_a_factor_of_replication_for_many_nodes_is_taken_for_one(factor: int) -> None:
    async with kafka_server() as server:
        (row,) = await made(await server.connect(), m.CreateTopicsRequestTopic("t", 1, factor))

        assert (row.error_code, row.replication_factor) == (Code.NONE, 1)


async def test_where_factors_are_not_clamped_more_than_one_replica_is_refused() -> None:
    async with kafka_server() as server:
        service = KafkaService(server.broker, KafkaOptions(clamp_replication=False))
        here = Peer(host="127.0.0.1", port=1, local_host="127.0.0.1", local_port=2)
        rows = (
            m.CreateTopicsRequestTopic("three", 1, 3),
            m.CreateTopicsRequestTopic("by-hand", -1, -1, assigned((1, 2))),
            m.CreateTopicsRequestTopic("one", 1, 1),
        )
        call = Call(service.shared, server.broker.session(), here, None, 7, m.CreateTopicsRequest(rows))

        answer = await create_topics(call)

        assert [row.error_code for row in answer.topics] == [
            Code.INVALID_REPLICATION_FACTOR, Code.INVALID_REPLICATION_FACTOR, Code.NONE,
        ]  # fmt: skip


async def test_partitions_can_be_assigned_to_the_one_node_by_hand() -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        rows = await made(
            peer,
            m.CreateTopicsRequestTopic("one", -1, -1, assigned((1,), (1,))),
            m.CreateTopicsRequestTopic("clamped", -1, -1, assigned((1, 2, 3))),
        )

        assert [(row.error_code, row.num_partitions, row.replication_factor) for row in rows] == [(0, 2, 1), (0, 1, 1)]


REFUSED: list[tuple[m.CreateTopicsRequestTopic, Code]] = [
    (m.CreateTopicsRequestTopic("t", 1, 1), Code.TOPIC_ALREADY_EXISTS),
    (m.CreateTopicsRequestTopic("", 1, 1), Code.INVALID_TOPIC_EXCEPTION),
    (m.CreateTopicsRequestTopic("..", 1, 1), Code.INVALID_TOPIC_EXCEPTION),
    (m.CreateTopicsRequestTopic("a/b", 1, 1), Code.INVALID_TOPIC_EXCEPTION),
    (m.CreateTopicsRequestTopic("x" * 250, 1, 1), Code.INVALID_TOPIC_EXCEPTION),
    (m.CreateTopicsRequestTopic("new", 0, 1), Code.INVALID_PARTITIONS),
    (m.CreateTopicsRequestTopic("new", -2, 1), Code.INVALID_PARTITIONS),
    (m.CreateTopicsRequestTopic("new", PARTITIONS_MAX + 1, 1), Code.INVALID_PARTITIONS),
    (m.CreateTopicsRequestTopic("new", 1, 0), Code.INVALID_REPLICATION_FACTOR),
    (m.CreateTopicsRequestTopic("new", 1, -2), Code.INVALID_REPLICATION_FACTOR),
    (m.CreateTopicsRequestTopic("new", 2, -1, assigned((1,), (1,))), Code.INVALID_REQUEST),
    (m.CreateTopicsRequestTopic("new", -1, -1, assigned((1,), start=1)), Code.INVALID_REPLICA_ASSIGNMENT),
    (m.CreateTopicsRequestTopic("new", -1, -1, assigned((2,))), Code.INVALID_REPLICA_ASSIGNMENT),
    (m.CreateTopicsRequestTopic("new", -1, -1, assigned((1, 1))), Code.INVALID_REPLICA_ASSIGNMENT),
    (m.CreateTopicsRequestTopic("new", -1, -1, assigned(())), Code.INVALID_REPLICA_ASSIGNMENT),
    (
        m.CreateTopicsRequestTopic("new", 1, 1, configs=(m.CreateTopicsRequestTopicConfig("retention", "1"),)),
        Code.INVALID_CONFIG,
    ),
    (
        m.CreateTopicsRequestTopic("new", 1, 1, configs=(m.CreateTopicsRequestTopicConfig("retention.ms", "x"),)),
        Code.INVALID_CONFIG,
    ),
]


@pytest.mark.parametrize(("row", "code"), REFUSED)
async def test_a_topic_that_cannot_be_is_refused_with_the_reason_and_others_are_made(
    row: m.CreateTopicsRequestTopic, code: Code
) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await topic(server)

        refused, good = await made(peer, row, m.CreateTopicsRequestTopic("good", 1, 1))

        assert (refused.error_code, bool(refused.error_message), refused.topic_id) == (code, True, NO_ID)
        assert good.error_code == Code.NONE
        assert await names(peer) == {"t", "good"}


async def test_a_topic_that_is_named_twice_is_not_made() -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        rows = await made(peer, *[m.CreateTopicsRequestTopic("new", 1, 1)] * 2)

        assert [row.error_code for row in rows] == [Code.INVALID_REQUEST] * 2
        assert await names(peer) == set()


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "x" * 249])
def test_what_kafkas_rule_lets_a_topic_be_called(name: str) -> None:
    assert is_legal(name)


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 250, "a b", "straße", "a\n", "a:b"])
def test_what_it_does_not(name: str) -> None:
    assert not is_legal(name)


# ---- removing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 7))
async def test_topics_are_removed_by_name(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        for name in ("a", "b", "c"):
            await topic(server, name)

        rows = tuple(m.DeleteTopicsRequestTopic(name) for name in ("a", "gone", "b"))
        answer = await peer.ask(20, version, m.DeleteTopicsRequest(rows, ("a", "gone", "b"), 1_000))

        assert [(row.name, row.error_code) for row in answer.responses] == [
            ("a", Code.NONE), ("gone", Code.UNKNOWN_TOPIC_OR_PARTITION), ("b", Code.NONE),
        ]  # fmt: skip
        assert await names(peer) == {"c"}


async def test_topics_are_removed_by_id_and_an_id_is_never_used_again() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        topic_id = (await topic(server)).set.uuid
        asked = tuple(m.DeleteTopicsRequestTopic(None, each) for each in (topic_id, uuid.uuid4().bytes))

        first = await peer.ask(20, 6, m.DeleteTopicsRequest(asked))
        again = await topic(server)
        second = await peer.ask(20, 6, m.DeleteTopicsRequest(asked[:1]))

        assert [(row.name, row.topic_id, row.error_code) for row in first.responses] == [
            ("t", topic_id, Code.NONE), (None, asked[1].topic_id, Code.UNKNOWN_TOPIC_ID),
        ]  # fmt: skip
        assert again.set.uuid != topic_id
        assert [row.error_code for row in second.responses] == [Code.UNKNOWN_TOPIC_ID]


async def test_a_row_has_a_name_or_an_id_and_not_both() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        topic_id = (await topic(server)).set.uuid
        other = uuid.uuid4().bytes

        rows = tuple(m.DeleteTopicsRequestTopic("t", each) for each in (topic_id, other))
        answer = await peer.ask(20, 6, m.DeleteTopicsRequest(rows))

        assert [row.error_code for row in answer.responses] == [Code.INVALID_REQUEST] * 2
        assert await names(peer) == {"t"}


async def test_the_topic_of_a_queue_goes_with_its_queue() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await server.broker.create_queue(server.broker.session(), QueueDefinition(name="jobs"))

        answer = await peer.ask(20, 5, m.DeleteTopicsRequest(topic_names=("jobs",)))

        assert [row.error_code for row in answer.responses] == [Code.NONE]
        assert not server.broker.catalog.queue_names


# ---- growing --------------------------------------------------------------------------------------------------------


async def grown(
    peer: KafkaPeer, name: str, count: int, *replicas: tuple[int, ...], version: int = 3, only_check: bool = False
) -> Any:  # noqa: ANN401 - a row of an answer
    rows = tuple(m.CreatePartitionsRequestTopicAssignment(each) for each in replicas) or None
    asked = m.CreatePartitionsRequestTopic(name, count, rows)
    return (await peer.ask(37, version, m.CreatePartitionsRequest((asked,), 1_000, only_check))).results[0]


@pytest.mark.parametrize("version", range(4))
async def test_a_topic_gets_more_partitions(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await topic(server)

        row = await grown(peer, "t", 4, version=version)
        by_hand = await grown(peer, "t", 6, (1,), (1,), version=version)

        assert (row.error_code, by_hand.error_code) == (Code.NONE, Code.NONE)
        assert len(server.broker.topic("default", "t").partitions) == 6


@pytest.mark.parametrize(
    ("name", "count", "replicas", "code"),
    [
        ("gone", 4, (), Code.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 2, (), Code.INVALID_PARTITIONS),
        ("t", 1, (), Code.INVALID_PARTITIONS),
        ("t", PARTITIONS_MAX + 1, (), Code.INVALID_PARTITIONS),
        ("t", 4, ((1,),), Code.INVALID_REPLICA_ASSIGNMENT),
        ("t", 4, ((1,), (2,)), Code.INVALID_REPLICA_ASSIGNMENT),
    ],
)
async def test_a_topic_only_grows_and_only_on_this_node(
    name: str, count: int, replicas: tuple[tuple[int, ...], ...], code: Code
) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await topic(server, partitions=2)

        row = await grown(peer, name, count, *replicas)

        assert (row.error_code, bool(row.error_message)) == (code, True)
        assert len(server.broker.topic("default", "t").partitions) == 2


async def test_growth_can_be_tried_without_doing_it() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await topic(server)

        row = await grown(peer, "t", 4, only_check=True)

        assert row.error_code == Code.NONE
        assert len(server.broker.topic("default", "t").partitions) == 1


# ---- deleting records -----------------------------------------------------------------------------------------------


async def trimmed(peer: KafkaPeer, name: str, to: int, index: int = 0, version: int = 2) -> tuple[Code, int]:
    row = m.DeleteRecordsRequestTopic(name, (m.DeleteRecordsRequestTopicPartition(index, to),))
    answer = await peer.ask(21, version, m.DeleteRecordsRequest((row,), 1_000))
    (found,) = answer.topics[0].partitions
    return Code(found.error_code), found.low_watermark


@pytest.mark.parametrize("version", range(3))
async def test_the_oldest_records_are_deleted_up_to_an_offset_or_all(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await topic(server, records=10)

        assert await trimmed(peer, "t", 4, version=version) == (Code.NONE, 4)
        assert await trimmed(peer, "t", 2, version=version) == (Code.NONE, 4)
        assert await trimmed(peer, "t", -1, version=version) == (Code.NONE, 10)


@pytest.mark.parametrize(
    ("name", "to", "index", "code"),
    [
        ("t", 11, 0, Code.OFFSET_OUT_OF_RANGE),
        ("t", -2, 0, Code.OFFSET_OUT_OF_RANGE),
        ("t", 1, 1, Code.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", -1, -1, Code.UNKNOWN_TOPIC_OR_PARTITION),
        ("gone", 1, 0, Code.UNKNOWN_TOPIC_OR_PARTITION),
        ("states", 1, 0, Code.POLICY_VIOLATION),
    ],
)
async def test_what_cannot_be_deleted_stays_and_is_told(name: str, to: int, index: int, code: Code) -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        found = await topic(server, records=10)
        await topic(server, "states", records=10, cleanup_policy="compact")

        assert await trimmed(peer, name, to, index) == (code, -1)
        assert found.partitions[0].log_start == 0
