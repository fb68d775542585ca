"""Positions of Kafka's groups over real sockets: set, read and drop them, in all versions."""

from typing import Any

import pytest

from isthmus.definition import TopicDefinition
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.subscription import PROTOCOL_TYPE
from isthmus.record import Record
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.kafka_groups import Member, codes, commit, stable

RECORDS = 10
UNKNOWN_ID = b"unknown topic id"


async def orders(server: KafkaServer, name: str = "orders", partitions: int = 2) -> bytes:
    """A topic with records; its id."""
    owner = server.broker.session()
    topic = await server.broker.create_topic(owner, TopicDefinition(name=name, partitions=partitions))
    for index in range(partitions):
        await server.broker.publish(owner, topic, [Record(b"v", b"k")] * RECORDS, partition=index)
    return topic.set.uuid


async def fetched(
    peer: KafkaPeer, version: int, topic_id: bytes, *indexes: int, group: str = "readers", name: str = "orders"
) -> tuple[int, list[tuple[int, int, str | None, int]]]:
    """The error of a group, and (partition, offset, metadata, error) rows."""
    asked = m.OffsetFetchRequest(
        group,
        (m.OffsetFetchRequestTopic(name, indexes),),
        (m.OffsetFetchRequestGroup(group, topics=(m.OffsetFetchRequestGroupTopic(name, topic_id, indexes),)),),
    )
    answer = await peer.ask(9, version, asked)
    found = answer.groups[0] if version >= 8 else answer
    rows = [
        (row.partition_index, row.committed_offset, row.metadata, row.error_code)
        for topic in found.topics
        for row in topic.partitions
    ]
    return found.error_code, rows


# ---- setting and reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(2, 11))
async def test_a_position_that_is_set_is_read_in_every_version(version: int) -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()

        answer = await peer.ask(8, version, commit("readers", (0, 3), (1, 7), topic_id=topic_id, metadata="here"))
        found = [await fetched(peer, each, topic_id, 0, 1) for each in range(1, 11)]

        assert codes(answer) == [Code.NONE, Code.NONE]
        assert found == [(0, [(0, 3, "here", 0), (1, 7, "here", 0)])] * 10


async def test_positions_are_there_after_a_restart() -> None:
    storage = MemoryStorage()
    async with kafka_server(storage) as server:
        topic_id, peer = await orders(server), await server.connect()
        await peer.ask(8, 9, commit("readers", (0, 3), metadata="here"))

    async with kafka_server(storage) as server:
        assert await fetched(await server.connect(), 9, topic_id, 0) == (0, [(0, 3, "here", 0)])


async def test_several_groups_are_read_at_once_and_without_topics_all_that_they_have() -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()
        other_id = await orders(server, "others", 1)
        await peer.ask(8, 9, commit("readers", (1, 3)))
        await peer.ask(8, 9, commit("readers", (0, 4), topic="others"))

        asked = tuple(m.OffsetFetchRequestGroup(name, topics=None) for name in ("readers", "nobody"))
        answer = await peer.ask(9, 10, m.OffsetFetchRequest(groups=asked))
        old = await peer.ask(9, 5, m.OffsetFetchRequest("readers", None))

        told = {topic.topic_id: [(row.partition_index, row.committed_offset) for row in topic.partitions]
                for topic in answer.groups[0].topics}  # fmt: skip
        assert told == {topic_id: [(1, 3)], other_id: [(0, 4)]}
        assert {topic.name for topic in old.topics} == {"orders", "others"}
        assert (answer.groups[1].error_code, answer.groups[1].topics) == (0, ())


@pytest.mark.parametrize("version", [1, 5, 9])
async def test_what_was_never_set_is_minus_one_and_no_error(version: int) -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()

        assert await fetched(peer, version, topic_id, 0, 9) == (0, [(0, -1, "", 0), (9, -1, "", 0)])
        assert await fetched(peer, version, topic_id, 0, name="gone") == (0, [(0, -1, "", 0)])


async def test_an_id_that_no_topic_has_is_told_so_in_both_directions() -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()

        answer = await peer.ask(8, 10, commit("readers", (0, 1), topic_id=UNKNOWN_ID))

        assert codes(answer) == [Code.UNKNOWN_TOPIC_ID]
        assert answer.topics[0].topic_id == UNKNOWN_ID
        assert await fetched(peer, 10, UNKNOWN_ID, 0) == (0, [(0, -1, "", Code.UNKNOWN_TOPIC_ID)])
        assert await fetched(peer, 10, topic_id, 0) == (0, [(0, -1, "", 0)])


async def test_each_partition_is_judged_by_itself() -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()

        answer = await peer.ask(8, 9, commit("readers", (0, 3), (5, 1), (1, RECORDS + 1)))
        long = await peer.ask(8, 9, commit("readers", (1, 1), metadata="x" * 4_097))
        gone = await peer.ask(8, 9, commit("readers", (0, 1), topic="gone"))

        assert codes(answer) == [Code.NONE, Code.UNKNOWN_TOPIC_OR_PARTITION, Code.OFFSET_OUT_OF_RANGE]
        assert codes(long) == [Code.OFFSET_METADATA_TOO_LARGE]
        assert codes(gone) == [Code.UNKNOWN_TOPIC_OR_PARTITION]
        assert await fetched(peer, 9, topic_id, 0, 1) == (0, [(0, 3, "", 0), (1, -1, "", 0)])


async def test_a_position_can_be_set_back() -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()
        await peer.ask(8, 9, commit("readers", (0, 9)))

        await peer.ask(8, 9, commit("readers", (0, 2)))

        assert await fetched(peer, 9, topic_id, 0) == (0, [(0, 2, "", 0)])


# ---- who may set them -----------------------------------------------------------------------------------------------


async def test_members_commit_with_their_generation_and_nobody_else_does() -> None:
    async with kafka_server() as server:
        await orders(server)
        member = await stable(await server.connect())

        async def by(member_id: str, generation: int) -> list[Code]:
            asked = commit("readers", (0, 1), member_id=member_id, generation_id_or_member_epoch=generation)
            return codes(await member.peer.ask(8, 9, asked))

        assert await by(member.id, member.generation) == [Code.NONE]
        assert await by(member.id, member.generation + 1) == [Code.ILLEGAL_GENERATION]
        assert await by("nobody", member.generation) == [Code.UNKNOWN_MEMBER_ID]
        assert await by("", -1) == [Code.UNKNOWN_MEMBER_ID]


async def test_when_all_have_left_positions_are_anybodys_again() -> None:
    async with kafka_server() as server:
        await orders(server)
        member = await stable(await server.connect())
        await member.leave()

        assert codes(await member.peer.ask(8, 9, commit("readers", (0, 1)))) == [Code.NONE]


async def test_the_older_self_of_a_static_member_commits_nothing() -> None:
    async with kafka_server() as server:
        await orders(server)
        old = await stable(await server.connect(), instance="pod-1")
        await Member(old.peer, instance="pod-1").join()

        asked = commit("readers", (0, 1), member_id=old.id, generation_id_or_member_epoch=1, group_instance_id="pod-1")

        assert codes(await old.peer.ask(8, 9, asked)) == [Code.FENCED_INSTANCE_ID]


@pytest.mark.parametrize(
    ("name", "changed", "code"),
    [
        ("", {}, Code.INVALID_GROUP_ID),
        ("nothing", {"member_id": "m", "generation_id_or_member_epoch": 1}, Code.ILLEGAL_GENERATION),
    ],
)
async def test_a_commit_of_no_group_is_refused(name: str, changed: dict[str, Any], code: Code) -> None:
    async with kafka_server() as server:
        await orders(server)
        peer = await server.connect()

        assert codes(await peer.ask(8, 9, commit(name, (0, 1), **changed))) == [code]


# ---- dropping -------------------------------------------------------------------------------------------------------


def dropping(group: str, *indexes: int, topic: str = "orders") -> m.OffsetDeleteRequest:
    rows = tuple(m.OffsetDeleteRequestTopicPartition(index) for index in indexes)
    return m.OffsetDeleteRequest(group, (m.OffsetDeleteRequestTopic(topic, rows),))


async def test_positions_that_are_dropped_are_gone_and_the_others_stay() -> None:
    async with kafka_server() as server:
        topic_id, peer = await orders(server), await server.connect()
        await peer.ask(8, 9, commit("readers", (0, 3), (1, 7)))

        answer = await peer.ask(47, 0, dropping("readers", 0, 5))

        assert (answer.error_code, codes(answer)) == (0, [Code.NONE, Code.UNKNOWN_TOPIC_OR_PARTITION])
        assert await fetched(peer, 9, topic_id, 0, 1) == (0, [(0, -1, "", 0), (1, 7, "", 0)])


async def test_what_members_subscribe_to_is_not_dropped() -> None:
    async with kafka_server() as server:
        await orders(server)
        await orders(server, "others")
        member = await stable(await server.connect())

        held = await member.peer.ask(47, 0, dropping("readers", 0))
        free = await member.peer.ask(47, 0, dropping("readers", 0, topic="others"))

        assert (codes(held), codes(free)) == ([Code.GROUP_SUBSCRIBED_TO_TOPIC], [Code.NONE])


async def test_nothing_is_dropped_of_a_group_of_another_kind_that_is_in_use() -> None:
    async with kafka_server() as server:
        await orders(server)
        member = Member(await server.connect())
        await member.join(protocol_type="connect")

        answer = await member.peer.ask(47, 0, dropping("readers", 0))

        assert member.asking().protocol_type == PROTOCOL_TYPE
        assert answer.error_code == Code.NON_EMPTY_GROUP


async def test_nothing_is_dropped_of_a_group_that_is_not_there() -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        assert (await peer.ask(47, 0, dropping("nothing", 0))).error_code == Code.GROUP_ID_NOT_FOUND
