"""Groups as Kafka's tools see them, over real sockets: describe, list, delete."""

import pytest

from isthmus.definition import TopicDefinition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.allowed import DELETE, DESCRIBE, NOT_ASKED, READ
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.kafka_groups import Member, codes, commit, stable, subscription


async def listed(peer: KafkaPeer, version: int, *states: str, types: tuple[str, ...] = ()) -> dict[str, str]:
    answer = await peer.ask(16, version, m.ListGroupsRequest(states, types))
    assert answer.error_code == Code.NONE
    return {row.group_id: row.group_state for row in answer.groups}


async def two_groups(server: KafkaServer) -> KafkaPeer:
    """`readers` has a member, `batch` has positions alone."""
    await server.broker.create_topic(server.broker.session(), TopicDefinition(name="orders"))
    member = await stable(await server.connect())
    assert codes(await member.peer.ask(8, 9, commit("batch", (0, 0)))) == [Code.NONE]
    return member.peer


@pytest.mark.parametrize("version", range(7))
async def test_a_group_is_described_with_its_members_and_their_shares(version: int) -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect(), instance="pod-1")

        answer = await member.peer.ask(15, version, m.DescribeGroupsRequest(("readers",), version >= 3))

        (group,) = answer.groups
        (row,) = group.members
        assert (group.error_code, group.group_id, group.group_state) == (Code.NONE, "readers", "Stable")
        assert (group.protocol_type, group.protocol_data) == ("consumer", "range")
        assert (row.member_id, row.client_id, row.client_host) == (member.id, "test", "/127.0.0.1")
        assert (row.member_metadata, row.member_assignment) == (subscription("orders"), b"all of it")
        assert row.group_instance_id == ("pod-1" if version >= 4 else None)
        bits = 1 << READ | 1 << DELETE | 1 << DESCRIBE
        assert group.authorized_operations == (bits if version >= 3 else NOT_ASKED)


@pytest.mark.parametrize(("version", "code"), [(0, Code.NONE), (5, Code.NONE), (6, Code.GROUP_ID_NOT_FOUND)])
async def test_a_group_that_is_not_there_is_dead(version: int, code: Code) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(15, version, m.DescribeGroupsRequest(("nothing",)))

        assert [(row.error_code, row.group_state, row.members) for row in answer.groups] == [(code, "Dead", ())]


async def test_a_group_between_generations_says_so() -> None:
    async with kafka_server() as server:
        member = Member(await server.connect())
        await member.join()

        answer = await member.peer.ask(15, 5, m.DescribeGroupsRequest(("readers",)))

        assert answer.groups[0].group_state == "CompletingRebalance"


@pytest.mark.parametrize("version", range(6))
async def test_groups_are_listed(version: int) -> None:
    async with kafka_server() as server:
        peer = await two_groups(server)

        found = await listed(peer, version)

        states = ("Stable", "Empty") if version >= 4 else ("", "")
        assert found == {"readers": states[0], "batch": states[1]}


async def test_groups_are_listed_by_state_and_type_whatever_their_case() -> None:
    async with kafka_server() as server:
        peer = await two_groups(server)

        assert set(await listed(peer, 5, "stable")) == {"readers"}
        assert set(await listed(peer, 5, "Empty", "STABLE")) == {"batch", "readers"}
        assert set(await listed(peer, 5, "Dead")) == set()
        assert set(await listed(peer, 5, types=("Classic",))) == {"batch", "readers"}
        assert set(await listed(peer, 5, types=("consumer", "share"))) == set()


async def test_only_groups_that_nobody_uses_are_deleted_and_their_positions_go_with_them() -> None:
    async with kafka_server() as server:
        peer = await two_groups(server)

        answer = await peer.ask(42, 2, m.DeleteGroupsRequest(("readers", "batch", "nothing")))

        assert [(row.group_id, row.error_code) for row in answer.results] == [
            ("readers", Code.NON_EMPTY_GROUP),
            ("batch", Code.NONE),
            ("nothing", Code.GROUP_ID_NOT_FOUND),
        ]
        assert set(await listed(peer, 5)) == {"readers"}
        left = await peer.ask(9, 5, m.OffsetFetchRequest("batch", None))
        assert left.topics == ()


async def test_a_group_that_was_deleted_can_be_made_again_from_the_start() -> None:
    async with kafka_server() as server:
        peer = await two_groups(server)
        await peer.ask(42, 2, m.DeleteGroupsRequest(("batch",)))

        member = await stable(peer, "batch")

        assert member.generation == 1
