"""Metadata over a real socket: the node, the topics by name and by id, and those that are made when they are wanted."""

import asyncio
import re

import pytest

from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.allowed import NOT_ASKED
from isthmus.protocols.kafka.handlers.call import KafkaOptions
from isthmus.server.config import Settings
from support.kafka import SMALL, KafkaPeer, KafkaServer, kafka_server
from support.kafka_door import framed, opened, stepped
from support.kafka_requests import METADATA, make_topic

Topic = m.MetadataRequestTopic


def named(*names: str, create: bool = False) -> m.MetadataRequest:
    return m.MetadataRequest(tuple(Topic(name=name) for name in names), allow_auto_topic_creation=create)


def told(answer: m.MetadataResponse) -> list[tuple[str | None, int, int]]:
    return [(topic.name, topic.error_code, len(topic.partitions)) for topic in answer.topics]


def exists(server: KafkaServer, name: str) -> bool:
    return ("default", name) in server.broker.catalog.topic_names


async def ask(peer: KafkaPeer, request: m.MetadataRequest, version: int = 12) -> m.MetadataResponse:
    answer = await peer.ask(METADATA, version, request)
    assert isinstance(answer, m.MetadataResponse)
    return answer


@pytest.mark.parametrize("version", range(14))
async def test_the_node_and_a_topic_in_every_version(version: int) -> None:
    async with kafka_server() as server:
        uuid = await make_topic(server, "t", 3)
        peer = await server.connect()

        answer = await ask(peer, named("t"), version)

        (node,) = answer.brokers
        assert (node.node_id, node.host, node.port) == (1, server.host, server.port)
        assert answer.controller_id == (1 if version >= 1 else -1)
        assert bool(answer.cluster_id) == (version >= 2)
        assert told(answer) == [("t", Code.NONE, 3)]
        (topic,) = answer.topics
        assert topic.topic_id == (uuid if version >= 10 else bytes(16))
        assert [
            (each.partition_index, each.leader_id, each.replica_nodes, each.isr_nodes) for each in topic.partitions
        ] == [(at, 1, (1,), (1,)) for at in range(3)]
        assert [each.leader_epoch for each in topic.partitions] == [0 if version >= 7 else -1] * 3


async def test_all_topics_are_an_empty_list_at_first_and_null_later() -> None:
    async with kafka_server() as server:
        for name in ("b", "a"):
            await make_topic(server, name)
        peer = await server.connect()

        found = [
            [topic.name for topic in (await ask(peer, m.MetadataRequest(topics), version)).topics]
            for topics, version in (((), 0), (None, 1), ((), 1), (None, 12), ((), 12))
        ]

        assert found == [["a", "b"], ["a", "b"], [], ["a", "b"], []]


async def test_what_is_not_there_is_told_for_itself() -> None:
    async with kafka_server() as server:
        await make_topic(server, "t")
        peer = await server.connect()

        answer = await ask(peer, named("gone", "t"))

        assert told(answer) == [("gone", Code.UNKNOWN_TOPIC_OR_PARTITION, 0), ("t", Code.NONE, 1)]


async def test_topics_by_id() -> None:
    async with kafka_server() as server:
        uuid = await make_topic(server, "t")
        peer = await server.connect()
        asked = m.MetadataRequest((Topic(uuid, None), Topic(b"x" * 16, None)), allow_auto_topic_creation=True)

        answer = await ask(peer, asked)

        assert told(answer) == [("t", Code.NONE, 1), (None, Code.UNKNOWN_TOPIC_ID, 0)]
        assert [topic.topic_id for topic in answer.topics] == [uuid, b"x" * 16]


async def test_what_may_be_done_is_told_when_it_is_asked_for() -> None:
    async with kafka_server() as server:
        await make_topic(server, "t")
        peer = await server.connect()
        asked = m.MetadataRequest(
            (Topic(name="t"),), include_cluster_authorized_operations=True, include_topic_authorized_operations=True
        )

        plain = await ask(peer, named("t"), 10)
        full = await ask(peer, asked, 10)

        assert (plain.cluster_authorized_operations, plain.topics[0].topic_authorized_operations) == (NOT_ASKED,) * 2
        assert full.cluster_authorized_operations > 0
        assert full.topics[0].topic_authorized_operations > 0


async def test_clients_are_sent_to_the_address_that_the_settings_name() -> None:
    async with kafka_server(settings=Settings(kafka="0", advertise="broker.example.org:19092")) as server:
        peer = await server.connect()

        (node,) = (await ask(peer, named())).brokers

        assert (node.host, node.port) == ("broker.example.org", 19_092)


# ---- topics that are made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "create", "made"),
    [(1, False, True), (3, False, True), (4, True, True), (4, False, False), (12, True, True)],
)
async def test_a_topic_that_is_wanted_is_made_where_the_request_lets_it(version: int, create: bool, made: bool) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await ask(peer, named("new", create=create), version)

        assert told(answer) == [("new", Code.NONE, 1) if made else ("new", Code.UNKNOWN_TOPIC_OR_PARTITION, 0)]
        assert exists(server, "new") is made


async def test_two_that_want_the_same_topic_at_the_same_time_both_get_it() -> None:
    async with kafka_server() as server:
        peers = [await server.connect() for _ in range(5)]

        answers = await asyncio.gather(*[ask(each, named("new", "new", create=True)) for each in peers])

        assert [told(answer) for answer in answers] == [[("new", Code.NONE, 1)] * 2] * 5
        assert len({topic.topic_id for answer in answers for topic in answer.topics}) == 1


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "x" * 250, "a/b"])
async def test_names_that_no_topic_may_have_are_refused(name: str) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await ask(peer, named(name, "fine", create=True))

        assert told(answer) == [(name, Code.INVALID_TOPIC_EXCEPTION, 0), ("fine", Code.NONE, 1)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [(KafkaOptions(create_topics=False), None), (KafkaOptions(partitions=6), 6), (KafkaOptions(), 1)],
)
async def test_the_options_say_whether_topics_are_made_and_with_how_many_partitions(
    options: KafkaOptions, expected: int | None
) -> None:
    broker = Broker(MemoryStorage(), ManualClock(), SMALL)
    await broker.open()
    door, _ = opened(broker, options)

    stepped(door, framed(METADATA, 12, named("new", create=True)))
    for _ in range(50):
        await asyncio.sleep(0)

    (topic,) = codec.decode_response(METADATA, 12, b"".join(door.data_to_send())[4:], 5).topics
    assert len(topic.partitions) == (expected or 0)
    assert topic.error_code == (Code.UNKNOWN_TOPIC_OR_PARTITION if expected is None else Code.NONE)
    door.lost()
    await broker.close()


async def test_the_cluster_keeps_its_name() -> None:
    storage = MemoryStorage()
    names = set()
    for _ in range(2):
        async with kafka_server(storage) as server:
            peer = await server.connect()
            names.add((await ask(peer, named())).cluster_id)

    assert len(names) == 1
    assert re.fullmatch(r"[\w-]{22}", names.pop() or "")


async def test_a_topic_without_name_and_one_with_an_empty_one_are_told_apart() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        asked = (m.MetadataRequestTopic(name=None), m.MetadataRequestTopic(name=""))

        answer = await peer.ask(METADATA, 11, m.MetadataRequest(asked, allow_auto_topic_creation=True))

        codes = [(row.name, row.error_code) for row in answer.topics]
        assert codes == [("", Code.UNKNOWN_TOPIC_ID), ("", Code.INVALID_TOPIC_EXCEPTION)]
