"""Kafka's classic groups over real sockets: find, join, sync, heartbeat, leave, in all versions."""

import asyncio
from typing import Any

import pytest

from isthmus.clock import ManualClock
from isthmus.errors import InvalidArgument, InvalidName, Overloaded, UnknownGroup
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.groups import code_for
from support.kafka import KafkaServer, kafka_server
from support.kafka_groups import REBALANCE_MS, SESSION_MS, Member, stable, subscription


async def members(server: KafkaServer, count: int, **options: Any) -> list[Member]:
    return [Member(await server.connect(), **options) for _ in range(count)]


async def joined(*group: Member, version: int = 9) -> list[Any]:
    """All join at once."""
    return await asyncio.gather(*(each.join(version) for each in group))


async def until(clock: ManualClock, asking: "asyncio.Future[Any]", step_ms: int = 500) -> int:
    """Let time pass until a request is answered; how much did."""
    began_ms = clock.monotonic_ms()
    while not asking.done():
        await asyncio.sleep(0.002)
        await clock.advance(step_ms)
    return clock.monotonic_ms() - began_ms


# ---- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(7))
async def test_every_group_is_coordinated_by_the_one_node(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(
            10, version, m.FindCoordinatorRequest("readers", coordinator_keys=("readers", "others"))
        )

        rows = answer.coordinators if version >= 4 else (answer,)
        assert [(row.error_code, row.node_id, row.host, row.port) for row in rows] == [
            (0, 1, server.host, server.port)
        ] * (2 if version >= 4 else 1)


@pytest.mark.parametrize("kind", [1, 2])
async def test_what_is_not_a_consumer_group_has_no_coordinator_and_is_told_why(kind: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        answer = await peer.ask(10, 6, m.FindCoordinatorRequest(key_type=kind, coordinator_keys=("one",)))

        (row,) = answer.coordinators
        assert (row.key, row.error_code, row.node_id) == ("one", Code.INVALID_REQUEST, -1)
        assert "no transactions, no share groups" in row.error_message


# ---- joining --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(10))
async def test_a_member_joins_gets_its_assignment_and_stays_in_every_version(version: int) -> None:
    async with kafka_server() as server:
        (member,) = await members(server, 1)

        answer = await member.join(version)
        synced = await member.sync({member.id: b"mine"}, min(version, 5))
        beat = await member.beat(min(version, 4))

        assert (answer.error_code, answer.generation_id, answer.protocol_name) == (Code.NONE, 1, "range")
        assert [row.metadata for row in answer.members] == [subscription("orders")]
        assert (synced.error_code, synced.assignment, beat) == (Code.NONE, b"mine", Code.NONE)


@pytest.mark.parametrize("version", [4, 9])
async def test_a_newcomer_is_first_told_its_id(version: int) -> None:
    async with kafka_server() as server:
        (member,) = await members(server, 1)

        answer = await member.peer.ask(11, version, member.asking())

        assert answer.error_code == Code.MEMBER_ID_REQUIRED
        assert answer.member_id.startswith("test-")
        assert answer.generation_id == -1


async def test_only_the_leader_sees_the_members_and_everybody_gets_its_own_share() -> None:
    async with kafka_server() as server:
        group = await members(server, 3)

        answers = await joined(*group)
        shares = {each.id: each.id.encode() for each in group[1:]}
        synced = await asyncio.gather(*(each.sync(shares if each.leads else None) for each in group))

        assert sorted(len(answer.members) for answer in answers) == [0, 0, 3]
        assert len({answer.leader for answer in answers}) == len({answer.generation_id for answer in answers}) == 1
        assert [answer.assignment for answer in synced] == [b"", *shares.values()]


async def test_the_protocol_is_one_that_all_have_and_most_prefer() -> None:
    async with kafka_server() as server:
        group = await members(server, 3)
        lists = [("sticky", "range"), ("range", "sticky"), ("range", "own", "sticky")]

        def offered(names: tuple[str, ...]) -> tuple[m.JoinGroupRequestProtocol, ...]:
            return tuple(m.JoinGroupRequestProtocol(name, name.encode()) for name in names)

        answers = await asyncio.gather(
            *(each.join(protocols=offered(names)) for each, names in zip(group, lists, strict=True))
        )

        assert {answer.protocol_name for answer in answers} == {"range"}
        assert {row.metadata for answer in answers for row in answer.members} == {b"range"}


REFUSED: list[tuple[dict[str, Any], Code]] = [
    ({"group_id": ""}, Code.INVALID_GROUP_ID),
    ({"session_timeout_ms": 999}, Code.INVALID_SESSION_TIMEOUT),
    ({"session_timeout_ms": 1_800_001}, Code.INVALID_SESSION_TIMEOUT),
    ({"member_id": "nobody"}, Code.UNKNOWN_MEMBER_ID),
    ({"protocols": ()}, Code.INCONSISTENT_GROUP_PROTOCOL),
    ({"protocols": (m.JoinGroupRequestProtocol("own", b""),)}, Code.INCONSISTENT_GROUP_PROTOCOL),
    ({"protocol_type": "connect"}, Code.INCONSISTENT_GROUP_PROTOCOL),
    ({"protocol_type": ""}, Code.INCONSISTENT_GROUP_PROTOCOL),
]


@pytest.mark.parametrize(("changed", "code"), REFUSED)
async def test_a_join_that_cannot_be_is_refused_by_name_and_the_group_goes_on(
    changed: dict[str, Any], code: Code
) -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())
        (other,) = await members(server, 1)

        answer = await other.join(**changed)

        assert answer.error_code == code
        assert await member.beat() == Code.NONE


async def test_the_rebalance_time_of_version_0_is_the_session() -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        first, second = await members(server, 2)
        await until(clock, asyncio.ensure_future(first.join(0)), 50)
        await first.sync({first.id: b""}, 0)

        passed_ms = await until(clock, asyncio.ensure_future(second.join(0)))

        assert passed_ms <= SESSION_MS + 1_000
        assert await first.beat() == Code.UNKNOWN_MEMBER_ID


# ---- rebalances -----------------------------------------------------------------------------------------------------


async def test_a_newcomer_waits_until_all_have_joined_again_and_heartbeats_tell_them_to() -> None:
    async with kafka_server() as server:
        old = await stable(await server.connect())
        (new,) = await members(server, 1)

        joining = asyncio.ensure_future(new.join())
        while (code := await old.beat()) == Code.NONE:  # noqa: ASYNC110 - heartbeats tell only who asks
            await asyncio.sleep(0.005)
        early = await old.sync()
        waited = not joining.done()
        again = await old.join()
        await joining

        assert (code, early.error_code) == (Code.REBALANCE_IN_PROGRESS, Code.REBALANCE_IN_PROGRESS)
        assert waited
        assert (again.generation_id, new.generation) == (2, 2)


async def test_who_does_not_join_again_is_waited_for_as_long_as_it_asked_and_then_is_out() -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        old, new = await members(server, 2)
        await until(clock, asyncio.ensure_future(old.join(session_timeout_ms=1_800_000)), 50)
        await old.sync({old.id: b""})

        passed_ms = await until(clock, asyncio.ensure_future(new.join()))

        assert REBALANCE_MS <= passed_ms <= REBALANCE_MS + 1_500
        assert (new.generation, new.leads) == (2, True)
        assert await old.beat() == Code.UNKNOWN_MEMBER_ID


async def test_a_silent_members_session_ends_and_its_partitions_are_shared_out_anew() -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        group = await members(server, 2)
        await until(clock, asyncio.ensure_future(joined(*group)), 50)
        await asyncio.gather(*(each.sync({row.id: b"" for row in group} if each.leads else None) for each in group))
        silent, loud = group

        code, passed_ms = Code.NONE, 0
        while code == Code.NONE:
            await clock.advance(SESSION_MS // 10)
            passed_ms += SESSION_MS // 10
            code = await loud.beat()
        again = await loud.join()

        assert code == Code.REBALANCE_IN_PROGRESS
        assert passed_ms >= SESSION_MS
        assert (again.generation_id, loud.leads, len(again.members)) == (2, True, 1)
        assert await silent.beat() == Code.UNKNOWN_MEMBER_ID


async def test_a_connection_that_is_lost_takes_nobody_out_of_a_group() -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())

        await member.peer.close()
        member.peer = await server.connect()

        assert await member.beat() == Code.NONE


async def test_a_member_that_joins_again_without_a_change_is_told_what_there_is() -> None:
    async with kafka_server() as server:
        group = await members(server, 2)
        await joined(*group)
        await asyncio.gather(*(each.sync({row.id: b"" for row in group} if each.leads else None) for each in group))
        follower = next(each for each in group if not each.leads)

        answer = await follower.join()

        assert (answer.error_code, answer.generation_id) == (Code.NONE, 1)


async def test_a_change_of_what_a_member_reads_begins_a_new_generation() -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())

        answer = await member.join(protocols=(m.JoinGroupRequestProtocol("range", subscription("others")),))

        assert (answer.error_code, answer.generation_id) == (Code.NONE, 2)


# ---- syncing and staying --------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], Code]] = [
    ({"generation_id": 7}, Code.ILLEGAL_GENERATION),
    ({"member_id": "nobody"}, Code.UNKNOWN_MEMBER_ID),
    ({"group_id": "nothing"}, Code.UNKNOWN_MEMBER_ID),
    ({"group_id": ""}, Code.INVALID_GROUP_ID),
]


@pytest.mark.parametrize(("changed", "code"), WRONG)
async def test_who_is_not_of_the_generation_is_told_so(changed: dict[str, Any], code: Code) -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())

        assert await member.beat(**changed) == code
        assert (await member.sync(**changed)).error_code == code


@pytest.mark.parametrize("changed", [{"protocol_type": "connect"}, {"protocol_name": "sticky"}])
async def test_a_sync_for_another_protocol_is_refused(changed: dict[str, Any]) -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())

        assert (await member.sync(**changed)).error_code == Code.INCONSISTENT_GROUP_PROTOCOL


async def test_an_assignment_can_be_fetched_again() -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())

        answer = await member.sync()

        assert (answer.assignment, answer.protocol_type, answer.protocol_name) == (b"all of it", "consumer", "range")


# ---- static members -------------------------------------------------------------------------------------------------


async def test_a_static_member_that_comes_back_has_its_place_and_its_older_self_is_fenced() -> None:
    async with kafka_server() as server:
        old = await stable(await server.connect(), instance="pod-1")
        (new,) = await members(server, 1, instance="pod-1")

        answer = await new.join()
        synced = await new.sync()

        assert (answer.error_code, answer.generation_id, answer.skip_assignment) == (Code.NONE, 1, True)
        assert new.id != old.id
        assert synced.assignment == b"all of it"
        assert await old.beat() == Code.FENCED_INSTANCE_ID
        assert (await old.sync()).error_code == Code.FENCED_INSTANCE_ID
        assert (await old.join()).error_code == Code.FENCED_INSTANCE_ID


async def test_before_version_9_a_static_leader_that_comes_back_does_not_know_that_it_leads() -> None:
    async with kafka_server() as server:
        await stable(await server.connect(), instance="pod-1")
        (new,) = await members(server, 1, instance="pod-1")

        answer = await new.join(8)

        assert (answer.error_code, answer.generation_id, answer.members) == (Code.NONE, 1, ())
        assert not new.leads


async def test_a_static_member_needs_no_id_in_advance() -> None:
    async with kafka_server() as server:
        (member,) = await members(server, 1, instance="pod-1")

        answer = await member.peer.ask(11, 9, member.asking())

        assert answer.error_code == Code.NONE


# ---- leaving --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(6))
async def test_who_leaves_is_out_at_once(version: int) -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())

        answer = await member.leave(version)

        assert (answer.error_code, [row.error_code for row in answer.members]) == (0, [0] if version >= 3 else [])
        assert await member.beat() == Code.UNKNOWN_MEMBER_ID


async def test_members_that_stay_are_told_to_join_again() -> None:
    async with kafka_server() as server:
        group = await members(server, 2)
        await joined(*group)
        await asyncio.gather(*(each.sync({row.id: b"" for row in group} if each.leads else None) for each in group))

        await group[0].leave()

        assert await group[1].beat() == Code.REBALANCE_IN_PROGRESS


async def test_an_operator_takes_static_members_out_by_their_instance() -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect(), instance="pod-1")

        wrong = await member.leave(member_id="nobody")
        right = await member.leave(member_id="")
        again = await member.leave(member_id="")

        assert [row.error_code for answer in (wrong, right, again) for row in answer.members] == [
            Code.FENCED_INSTANCE_ID,
            Code.NONE,
            Code.UNKNOWN_MEMBER_ID,
        ]


@pytest.mark.parametrize("version", [2, 5])
async def test_a_stranger_cannot_leave(version: int) -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())
        (stranger,) = await members(server, 1)
        stranger.id = "nobody"

        answer = await stranger.leave(version)

        rows = answer.members if version >= 3 else (answer,)
        assert [row.error_code for row in rows] == [Code.UNKNOWN_MEMBER_ID]
        assert await member.beat() == Code.NONE


async def test_a_group_that_all_have_left_goes_on_counting_its_generations() -> None:
    async with kafka_server() as server:
        member = await stable(await server.connect())
        await member.leave()

        again = await stable(member.peer)

        assert again.generation > member.generation


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgument("session_ms", "1"), Code.INVALID_SESSION_TIMEOUT),
        (InvalidName("", "it is empty"), Code.INVALID_GROUP_ID),
        (UnknownGroup("g"), Code.UNKNOWN_MEMBER_ID),
        (Overloaded("members of a group", 1), Code.GROUP_MAX_SIZE_REACHED),
        (InvalidArgument("protocols", "many"), Code.INVALID_REQUEST),
    ],
)
def test_refusals_of_groups_have_kafkas_codes_for_groups(error: Any, code: Code) -> None:  # noqa: ANN401 - any refusal
    assert code_for(error) == code
