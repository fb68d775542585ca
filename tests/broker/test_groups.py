"""The waiting side of consumer groups: who is answered when, what time does, and who is told of a rebalance."""

import asyncio

import pytest

from isthmus.broker.groups import Coordinator
from isthmus.clock import ManualClock
from isthmus.errors import Closed, InvalidArgument, RebalanceInProgress, StaleGeneration, UnknownMember
from isthmus.lenses.stream.membership import Join, Joined, State, Sync
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.log import facts

SESSION_MS = 10_000
REBALANCE_MS = 30_000


class Desk:
    """One group at a coordinator."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.coordinator = Coordinator(self.clock)
        self.group = ConsumerGroup(facts.GroupSet(1, "default", "billing", 0), "1")

    async def join(self, member: str = "") -> Joined:
        return await self.coordinator.join(self.group, ask(member))

    def joining(self, member: str = "") -> "asyncio.Task[Joined]":
        return asyncio.ensure_future(self.join(member))

    async def sync(self, joined: Joined, assignments: dict[str, bytes] | None = None) -> bytes:
        asked = Sync(member_id=joined.member, generation=joined.generation, assignments=assignments or {})
        return (await self.coordinator.sync(self.group, asked)).assignment

    async def stable(self) -> Joined:
        """A group of one."""
        joined = await self.join()
        await self.sync(joined, {joined.member: b"all"})
        return joined


def ask(member: str = "") -> Join:
    return Join(
        protocol_type="consumer",
        protocols=(("range", b""),),
        session_ms=SESSION_MS,
        rebalance_ms=REBALANCE_MS,
        member_id=member,
    )


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_the_first_member_leads_and_gets_what_it_shares_out(desk: Desk) -> None:
    joined = await desk.join()

    assignment = await desk.sync(joined, {joined.member: b"all"})

    assert (joined.leader, assignment, desk.group.members.state) == (joined.member, b"all", State.STABLE)


async def test_a_join_waits_until_everybody_has_joined_again(desk: Desk) -> None:
    first = await desk.stable()
    second = desk.joining()
    await desk.clock.drain()
    early = second.done()

    again = await desk.join(first.member)

    assert (early, again.generation, (await second).generation) == (False, 2, 2)


async def test_a_sync_waits_for_the_leaders(desk: Desk) -> None:
    first = await desk.stable()
    joining = desk.joining()
    await desk.clock.drain()
    leader = await desk.join(first.member)
    follower = await joining
    waiting = asyncio.ensure_future(desk.sync(follower))
    await desk.clock.drain()
    early = waiting.done()

    await desk.sync(leader, {follower.member: b"yours"})

    assert (early, await waiting) == (False, b"yours")


async def test_whoever_may_be_waited_for_is_told_of_a_rebalance(desk: Desk) -> None:
    await desk.stable()
    told: list[str] = []
    stop = desk.coordinator.watch(desk.group, lambda: told.append("rebalance"))

    desk.joining()
    await desk.clock.drain()
    heard = list(told)
    stop()
    stop()
    await desk.clock.advance(REBALANCE_MS)

    assert heard == ["rebalance"]
    assert told == heard
    assert not desk.coordinator._watchers


async def test_a_heartbeat_keeps_a_member_and_tells_of_a_rebalance(desk: Desk) -> None:
    first = await desk.stable()
    for _ in range(5):
        await desk.clock.advance(SESSION_MS - 1)
        desk.coordinator.heartbeat(desk.group, first.member, first.generation)

    desk.joining()
    await desk.clock.drain()

    with pytest.raises(RebalanceInProgress):
        desk.coordinator.heartbeat(desk.group, first.member, first.generation)
    with pytest.raises(StaleGeneration):
        desk.coordinator.heartbeat(desk.group, first.member, 17)


async def test_a_member_that_falls_silent_is_dropped_when_its_session_ends(desk: Desk) -> None:
    first = await desk.stable()

    await desk.clock.advance(SESSION_MS - 1)
    before = desk.group.members.knows(first.member)
    await desk.clock.advance(1)

    assert (before, desk.group.members.knows(first.member)) == (True, False)
    with pytest.raises(UnknownMember):
        desk.coordinator.heartbeat(desk.group, first.member, first.generation)


async def test_a_rebalance_ends_without_whoever_does_not_join_again(desk: Desk) -> None:
    first = await desk.stable()
    second = desk.joining()
    for _ in range(3):
        await desk.clock.advance(SESSION_MS - 1)
        with pytest.raises(RebalanceInProgress):
            desk.coordinator.heartbeat(desk.group, first.member, first.generation)

    await desk.clock.advance(SESSION_MS - 1)

    assert (await second).generation == 2
    assert not desk.group.members.knows(first.member)


async def test_a_member_that_leaves_is_not_waited_for(desk: Desk) -> None:
    first = await desk.stable()
    second = desk.joining()
    await desk.clock.drain()

    desk.coordinator.leave(desk.group, first.member)

    assert (await second).leader == (await second).member


async def test_a_refusal_is_raised_where_it_was_asked(desk: Desk) -> None:
    with pytest.raises(InvalidArgument, match="session_ms"):
        await desk.coordinator.join(
            desk.group, Join(protocol_type="c", protocols=(("range", b""),), session_ms=1, rebalance_ms=1)
        )
    with pytest.raises(UnknownMember):
        await desk.join("nobody")
    assert not desk.coordinator._waiting


async def test_giving_up_a_wait_leaves_nothing_behind(desk: Desk) -> None:
    await desk.stable()
    second = desk.joining()
    await desk.clock.drain()

    second.cancel()
    await asyncio.gather(second, return_exceptions=True)

    assert not desk.coordinator._waiting


async def test_an_empty_group_sets_no_timer(desk: Desk) -> None:
    first = await desk.stable()

    desk.coordinator.leave(desk.group, first.member)

    assert not desk.coordinator._timers


async def test_what_happens_in_a_group_counts_as_a_sign_of_life(desk: Desk) -> None:
    await desk.clock.advance(5_000)

    await desk.stable()

    assert desk.group.active_ms == desk.clock.now_ms()


class TestClosing:
    async def test_whoever_waits_is_told(self, desk: Desk) -> None:
        await desk.stable()
        second = desk.joining()
        await desk.clock.drain()

        desk.coordinator.close()

        with pytest.raises(Closed):
            await second

    async def test_whoever_comes_later_is_refused_and_nothing_goes_on(self, desk: Desk) -> None:
        first = await desk.stable()

        desk.coordinator.close()

        with pytest.raises(Closed):
            await desk.join()
        with pytest.raises(Closed):
            await desk.sync(first)
        with pytest.raises(Closed):
            desk.coordinator.heartbeat(desk.group, first.member, first.generation)
        desk.coordinator.leave(desk.group, first.member)
        assert not desk.coordinator._timers
        await desk.clock.advance(SESSION_MS)
        assert desk.group.members.knows(first.member)
