"""The usual life of a consumer group as transcripts, and each refusal."""

import pytest

from isthmus.errors import (
    FencedInstance,
    GroupNotEmpty,
    InconsistentProtocol,
    InvalidArgument,
    InvariantError,
    MemberIdRequired,
    Overloaded,
    RebalanceInProgress,
    RequestError,
    StaleGeneration,
    UnknownGroup,
    UnknownMember,
)
from isthmus.lenses.stream.group import Group
from isthmus.lenses.stream.membership import NO_GENERATION, JoinedMember, State
from isthmus.limits import GROUP_MEMBERS_MAX, MEMBER_JOIN_MS_MAX, MEMBER_METADATA_BYTES_MAX
from support.groups import RANGE, REBALANCE_MS, SESSION_MS, Caller, Ids

STICKY = (("sticky", b"s"),)
BOTH = (("range", b"r"), ("sticky", b"s"))


def stable_group(members: int = 2) -> tuple[Caller, list[str]]:
    """A stable group of dynamic members; the first leads, and each has its own id as assignment."""
    caller = Caller()
    names = [caller.joined(caller.join(client_id="a")).member]
    for number in range(1, members):
        newcomer = caller.join(client_id="abcdef"[number])
        for name in names:
            caller.join(name)
        names.append(caller.joined(newcomer).member)
    share_out(caller, names)
    return caller, names


def share_out(caller: Caller, names: list[str]) -> None:
    for name in names:
        caller.sync(name, {other: other.encode() for other in names} if name == caller.group.leader else None)
    assert caller.group.state is State.STABLE


def static_group() -> tuple[Caller, str, str]:
    """A stable group of two static members, `left` leading and `right` following."""
    caller = Caller()
    left = caller.joined(caller.join(instance_id="left")).member
    newcomer = caller.join(instance_id="right")
    caller.join(left, instance_id="left")
    right = caller.joined(newcomer).member
    share_out(caller, [left, right])
    return caller, left, right


class TestFirstJoin:
    def test_the_first_member_is_let_in_at_once_and_leads(self) -> None:
        caller = Caller()

        request = caller.join(client_id="app", protocols=BOTH)

        joined = caller.joined(request)
        assert (joined.member, joined.leader, joined.generation) == ("app-1", "app-1", 1)
        assert (joined.protocol_type, joined.protocol) == ("consumer", "range")
        assert joined.members == (JoinedMember("app-1", None, b"r"),)
        assert caller.group.state is State.COMPLETING

    def test_its_sync_makes_the_group_stable(self) -> None:
        caller = Caller()
        name = caller.joined(caller.join()).member

        request = caller.sync(name, {name: b"all"})

        synced = caller.synced(request)
        assert (synced.member, synced.generation, synced.protocol, synced.assignment) == (name, 1, "range", b"all")
        assert caller.group.state is State.STABLE

    def test_generations_go_on_from_the_one_that_is_known(self) -> None:
        caller = Caller(Group("billing", Ids(), generation=41))

        assert caller.joined(caller.join()).generation == 42

    def test_an_empty_group_takes_any_protocol_type(self) -> None:
        caller, (name,) = stable_group(1)
        caller.leave(name)

        assert caller.joined(caller.join(protocol_type="connect")).protocol_type == "connect"


class TestInitialDelay:
    def test_an_empty_group_waits_for_more_members(self) -> None:
        caller = Caller(initial_delay_ms=3_000)
        first = caller.join()
        caller.pass_time(2_000)
        second = caller.join()
        caller.pass_time(2_999)
        assert caller.waiting == {first, second}

        caller.pass_time(1)

        assert caller.joined(first).generation == caller.joined(second).generation == 1
        assert len(caller.joined(first).members) == 2

    def test_a_stream_of_newcomers_cannot_put_it_off_beyond_the_rebalance_time(self) -> None:
        caller = Caller(initial_delay_ms=3_000)
        first = caller.join(rebalance_ms=5_000)

        for _ in range(4):
            caller.pass_time(1_250)
            caller.join(rebalance_ms=5_000)

        assert caller.joined(first).generation == 1

    def test_a_join_may_ask_for_it(self) -> None:
        caller = Caller()
        first = caller.join(initial_ms=50)
        caller.pass_time(49)
        assert caller.waiting == {first}

        caller.pass_time(1)

        assert caller.joined(first).generation == 1

    def test_it_ends_when_all_newcomers_have_left(self) -> None:
        caller = Caller(initial_delay_ms=3_000)
        request = caller.join(client_id="a")

        caller.leave("a-1")

        assert isinstance(caller.error(request), UnknownMember)
        assert (caller.group.state, caller.group.generation) == (State.EMPTY, 1)

    def test_later_rebalances_do_not_wait(self) -> None:
        caller = Caller(initial_delay_ms=3_000)
        first = caller.join()
        caller.pass_time(3_000)
        name = caller.joined(first).member
        newcomer = caller.join()

        caller.join(name)

        assert caller.joined(newcomer).generation == 2


class TestSecondMember:
    def test_a_newcomer_waits_until_the_others_have_joined_again(self) -> None:
        caller, (first,) = stable_group(1)
        newcomer = caller.join(client_id="b", protocols=(("range", b"more"),))
        assert caller.group.state is State.PREPARING
        assert caller.waiting == {newcomer}
        assert caller.group.awaited() == (first,)

        again = caller.join(first)

        assert caller.joined(newcomer).leader == first
        assert caller.joined(newcomer).members == ()
        assert caller.joined(again).members == (
            JoinedMember(first, None, b"wants flights"),
            JoinedMember("b-2", None, b"more"),
        )
        assert caller.joined(newcomer).generation == caller.joined(again).generation == 2
        assert caller.group.awaited() == ()

    def test_a_follower_waits_for_the_leader_to_share_out(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)

        follower = caller.sync("b-2", {"b-2": b"a follower shares nothing out"})
        assert caller.waiting == {follower}
        leader = caller.sync(first, {first: b"0", "b-2": b"1", "stranger": b"2"})

        assert caller.synced(leader).assignment == b"0"
        assert caller.synced(follower).assignment == b"1"

    def test_a_follower_that_comes_late_gets_its_assignment_at_once(self) -> None:
        caller, (_, second) = stable_group()

        request = caller.sync(second)

        assert caller.synced(request).assignment == second.encode()

    def test_whom_the_leader_does_not_name_gets_nothing(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)
        caller.sync(first, {first: b"all"})

        assert caller.synced(caller.sync("b-2")).assignment == b""

    def test_a_new_generation_begins_without_assignments(self) -> None:
        caller, (first, second) = stable_group()
        caller.join(first)
        assert [row.assignment for row in caller.group.describe().members] == [first.encode(), second.encode()]

        caller.join(second)

        assert [row.assignment for row in caller.group.describe().members] == [b"", b""]

    def test_a_newcomer_ends_the_syncs_of_an_unfinished_rebalance(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)
        follower = caller.sync("b-2")

        caller.join(client_id="c")

        assert isinstance(caller.error(follower), RebalanceInProgress)
        assert caller.group.state is State.PREPARING


class TestJoiningAgain:
    def test_a_follower_with_the_same_metadata_is_told_the_current_generation(self) -> None:
        caller, (_, second) = stable_group()

        joined = caller.joined(caller.join(second))

        assert (joined.generation, joined.member, joined.members) == (2, second, ())
        assert caller.group.state is State.STABLE

    def test_a_follower_with_other_metadata_causes_a_rebalance(self) -> None:
        caller, (_, second) = stable_group()

        request = caller.join(second, protocols=(("range", b"wants more"),))

        assert caller.waiting == {request}
        assert caller.group.state is State.PREPARING

    def test_the_leader_causes_a_rebalance_even_with_the_same_metadata(self) -> None:
        caller, (first, _) = stable_group()

        caller.join(first)

        assert caller.group.state is State.PREPARING

    def test_before_the_sync_the_same_metadata_repeats_the_answer(self) -> None:
        caller = Caller()
        first = caller.joined(caller.join())

        again = caller.joined(caller.join(first.member))

        assert (again.generation, again.leader, again.members) == (first.generation, first.leader, first.members)
        assert caller.group.state is State.COMPLETING

    def test_before_the_sync_other_metadata_causes_a_rebalance(self) -> None:
        caller = Caller()
        name = caller.joined(caller.join()).member

        joined = caller.joined(caller.join(name, protocols=STICKY))

        assert (joined.generation, joined.protocol) == (2, "sticky")

    def test_a_later_join_of_a_member_takes_the_place_of_its_waiting_one(self) -> None:
        caller, (first, second) = stable_group()
        earlier = caller.join(first)

        later = caller.join(first)

        assert isinstance(caller.error(earlier), RebalanceInProgress)
        assert caller.waiting == {later}
        caller.join(second)
        assert caller.joined(later).generation == 3

    def test_a_later_sync_of_a_member_takes_the_place_of_its_waiting_one(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)
        earlier = caller.sync("b-2")

        later = caller.sync("b-2")

        assert isinstance(caller.error(earlier), RebalanceInProgress)
        assert caller.waiting == {later}

    def test_a_shorter_session_counts_though_nothing_else_changed(self) -> None:
        caller, (first, second) = stable_group()
        caller.join(second, session_ms=2_000)
        caller.heartbeat(first)

        caller.pass_time(2_000)

        assert [member.member for member in caller.group.describe().members] == [first]


class TestLeaving:
    def test_the_others_rebalance(self) -> None:
        caller, (first, second) = stable_group()

        caller.leave(first)

        assert caller.group.state is State.PREPARING
        joined = caller.joined(caller.join(second))
        assert (joined.leader, joined.generation) == (second, 3)

    def test_the_last_one_leaves_the_group_empty_in_a_new_generation(self) -> None:
        caller, (first,) = stable_group(1)

        caller.leave(first)

        view = caller.group.describe()
        assert (view.state, view.generation, view.leader, view.protocol) == (State.EMPTY, 2, "", "")
        assert caller.group.next_deadline_ms() is None

    def test_whoever_was_awaited_last_lets_the_others_go_on(self) -> None:
        caller, (first, second) = stable_group()
        request = caller.join(first)

        caller.leave(second)

        assert caller.joined(request).generation == 3

    def test_a_waiting_sync_is_refused_when_its_member_leaves(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)
        follower = caller.sync("b-2")

        caller.leave("b-2")

        assert isinstance(caller.error(follower), UnknownMember)

    def test_a_stranger_cannot_leave(self) -> None:
        caller, _ = stable_group()

        with pytest.raises(UnknownMember):
            caller.leave("nobody")

        assert caller.group.state is State.STABLE


class TestSilence:
    def test_a_member_that_is_not_heard_in_its_session_is_dropped(self) -> None:
        caller, (first, second) = stable_group()
        caller.pass_time(SESSION_MS - 1)
        caller.heartbeat(first)

        caller.pass_time(1)

        assert caller.group.awaited() == (first,)
        with pytest.raises(UnknownMember):
            caller.heartbeat(second)

    def test_a_heartbeat_renews_the_session(self) -> None:
        caller, (first, second) = stable_group()

        for _ in range(5):
            caller.pass_time(SESSION_MS - 1)
            caller.heartbeat(first)
            caller.heartbeat(second)

        assert caller.group.state is State.STABLE

    def test_all_silent_members_go_in_one_rebalance(self) -> None:
        caller, _ = stable_group(3)

        caller.pass_time(SESSION_MS)

        assert (caller.group.state, caller.group.generation) == (State.EMPTY, 4)

    def test_the_rebalance_time_out_drops_who_only_beats(self) -> None:
        caller, (first, second) = stable_group()
        request = caller.join(first)

        for _ in range(REBALANCE_MS // 5_000 - 1):
            caller.pass_time(5_000)
            with pytest.raises(RebalanceInProgress):
                caller.heartbeat(second)
        assert caller.waiting == {request}
        caller.pass_time(5_000)

        assert [row.member for row in caller.joined(request).members] == [first]
        with pytest.raises(UnknownMember):
            caller.heartbeat(second)

    def test_a_member_that_waits_for_the_others_need_not_be_heard(self) -> None:
        caller, (first, second) = stable_group()
        request = caller.join(first)

        for _ in range(3):
            caller.pass_time(SESSION_MS - 1)
            with pytest.raises(RebalanceInProgress):
                caller.heartbeat(second)

        assert caller.waiting == {request}

    def test_a_newcomer_does_not_wait_for_ever(self) -> None:
        caller, (first,) = stable_group(1)
        caller.pass_time(1)
        request = caller.join(client_id="b", rebalance_ms=2 * MEMBER_JOIN_MS_MAX)

        for _ in range(MEMBER_JOIN_MS_MAX // 5_000):
            caller.pass_time(5_000)
            with pytest.raises(RebalanceInProgress):
                caller.heartbeat(first)

        assert isinstance(caller.error(request), UnknownMember)

    def test_a_member_that_joins_again_waits_as_long_as_the_others_may_take(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b", rebalance_ms=3 * MEMBER_JOIN_MS_MAX)
        caller.join(first, rebalance_ms=3 * MEMBER_JOIN_MS_MAX)
        share_out(caller, [first, "b-2"])
        request = caller.join(first, rebalance_ms=3 * MEMBER_JOIN_MS_MAX)

        for _ in range(2 * MEMBER_JOIN_MS_MAX // 5_000):
            caller.pass_time(5_000)
            with pytest.raises(RebalanceInProgress):
                caller.heartbeat("b-2")

        assert caller.waiting == {request}

    def test_a_leader_that_does_not_share_out_is_dropped(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)
        follower = caller.sync("b-2")

        for _ in range(REBALANCE_MS // 5_000):
            caller.heartbeat(first)
            caller.pass_time(5_000)

        assert isinstance(caller.error(follower), RebalanceInProgress)
        assert caller.joined(caller.join("b-2")).leader == "b-2"

    def test_a_leader_cannot_put_that_off_by_joining_again(self) -> None:
        caller = Caller()
        name = caller.joined(caller.join()).member

        for _ in range(REBALANCE_MS // 5_000):
            caller.joined(caller.join(name))
            caller.pass_time(5_000)

        assert caller.group.state is State.EMPTY

    def test_a_follower_that_does_not_sync_is_dropped(self) -> None:
        caller, (first,) = stable_group(1)
        caller.join(client_id="b")
        caller.join(first)
        caller.sync(first)

        for _ in range(REBALANCE_MS // 5_000):
            caller.heartbeat(first)
            caller.heartbeat("b-2")
            caller.pass_time(5_000)

        assert caller.group.awaited() == (first,)


class TestStaleness:
    def test_another_generation_is_refused_everywhere(self) -> None:
        caller, (first, _) = stable_group()

        with pytest.raises(StaleGeneration):
            caller.heartbeat(first, generation=1)
        with pytest.raises(StaleGeneration):
            caller.group.check(first, 3)
        error = caller.error(caller.sync(first, generation=1))
        assert isinstance(error, StaleGeneration)
        assert (error.generation, error.current) == (1, 2)

    def test_an_unknown_member_is_refused_everywhere(self) -> None:
        caller, _ = stable_group()

        with pytest.raises(UnknownMember):
            caller.heartbeat("nobody")
        with pytest.raises(UnknownMember):
            caller.group.check("nobody", 2)
        assert isinstance(caller.error(caller.sync("nobody")), UnknownMember)
        assert isinstance(caller.error(caller.join("nobody")), UnknownMember)

    def test_work_can_be_committed_while_others_join_again(self) -> None:
        caller, (first, second) = stable_group()
        caller.join(first)

        caller.group.check(first, 2)
        caller.group.check(second, 2)

    def test_nothing_can_be_committed_between_joining_and_sharing_out(self) -> None:
        caller = Caller()
        name = caller.joined(caller.join()).member

        with pytest.raises(RebalanceInProgress):
            caller.group.check(name, 1)

    def test_nobody_may_commit_in_an_empty_group_only(self) -> None:
        caller, (first,) = stable_group(1)
        with pytest.raises(UnknownMember):
            caller.group.check("", NO_GENERATION)

        caller.leave(first)

        caller.group.check("", NO_GENERATION)

    def test_a_sync_is_refused_while_members_join(self) -> None:
        caller, (first, second) = stable_group()
        caller.join(first)

        assert isinstance(caller.error(caller.sync(second)), RebalanceInProgress)

    def test_a_group_knows_its_members_whatever_their_generation(self) -> None:
        caller, (first, second) = stable_group()

        caller.leave(second)

        assert caller.group.knows(first)
        assert not caller.group.knows(second)


class TestProtocols:
    def test_most_votes_win_among_those_that_all_offer(self) -> None:
        caller = Caller(initial_delay_ms=100)
        a, r, s = ("alone", b""), ("range", b""), ("sticky", b"")
        requests = [caller.join(protocols=protocols) for protocols in [(r, s), (a, s, r), (s, r), (r, s), (s, r)]]

        caller.pass_time(100)

        assert {caller.joined(request).protocol for request in requests} == {"sticky"}

    def test_a_tie_goes_to_the_leaders_preference(self) -> None:
        caller = Caller(initial_delay_ms=100)
        first = caller.join(protocols=(("sticky", b""), ("range", b"")))
        caller.join(protocols=(("range", b""), ("sticky", b"")))

        caller.pass_time(100)

        assert caller.joined(first).protocol == "sticky"

    def test_who_shares_no_protocol_is_refused(self) -> None:
        caller, _ = stable_group()

        assert isinstance(caller.error(caller.join(protocols=STICKY)), InconsistentProtocol)
        assert isinstance(caller.error(caller.join(protocol_type="connect")), InconsistentProtocol)
        assert caller.group.state is State.STABLE

    def test_a_member_cannot_turn_away_from_the_others(self) -> None:
        caller, (_, second) = stable_group()

        assert isinstance(caller.error(caller.join(second, protocols=STICKY)), InconsistentProtocol)

    @pytest.mark.parametrize("protocols", [(), RANGE])
    def test_a_join_names_a_type_and_a_protocol(self, protocols: tuple[tuple[str, bytes], ...]) -> None:
        caller = Caller()

        error = caller.error(caller.join(protocol_type="" if protocols else "consumer", protocols=protocols))

        assert isinstance(error, InconsistentProtocol)

    def test_a_sync_with_another_protocol_is_refused(self) -> None:
        caller, (first, _) = stable_group()

        assert isinstance(caller.error(caller.sync(first, protocol="sticky")), InconsistentProtocol)
        assert isinstance(caller.error(caller.sync(first, protocol_type="connect")), InconsistentProtocol)
        caller.synced(caller.sync(first, protocol_type="consumer", protocol="range"))


class TestRequiredIds:
    def test_a_newcomer_returns_with_the_id_that_it_was_given(self) -> None:
        caller = Caller()
        error = caller.error(caller.join(client_id="a", require_id=True))
        assert isinstance(error, MemberIdRequired)
        assert caller.group.state is State.EMPTY

        assert caller.joined(caller.join(error.member, require_id=True)).member == error.member == "a-1"

    def test_a_rebalance_waits_for_who_was_given_an_id(self) -> None:
        caller = Caller()
        caller.join(client_id="a", require_id=True)
        first = caller.join(client_id="b")
        assert caller.waiting == {first}

        second = caller.join("a-1")

        assert caller.joined(first).generation == caller.joined(second).generation == 1

    def test_who_does_not_return_within_its_session_is_forgotten(self) -> None:
        caller = Caller()
        caller.join(client_id="a", require_id=True)
        first = caller.join(client_id="b")

        caller.pass_time(SESSION_MS)

        assert caller.joined(first).generation == 1
        assert isinstance(caller.error(caller.join("a-1")), UnknownMember)

    def test_who_was_given_an_id_can_leave(self) -> None:
        caller = Caller()
        caller.join(client_id="a", require_id=True)
        first = caller.join(client_id="b")

        caller.leave("a-1")

        assert caller.joined(first).generation == 1

    def test_who_was_given_an_id_is_no_member_yet(self) -> None:
        caller = Caller()
        caller.join(client_id="a", require_id=True)

        with pytest.raises(UnknownMember):
            caller.heartbeat("a-1")
        assert isinstance(caller.error(caller.join("a-1", instance_id="x")), UnknownMember)

    def test_static_members_need_none(self) -> None:
        caller = Caller()

        assert caller.joined(caller.join(instance_id="left", require_id=True)).member == "left-1"


class TestStaticMembers:
    def test_a_restarted_follower_gets_its_assignment_back_without_a_rebalance(self) -> None:
        caller, left, right = static_group()

        joined = caller.joined(caller.join(instance_id="right"))

        assert joined.member != right
        assert (joined.generation, joined.leader, joined.skip_assignment) == (2, left, False)
        assert caller.synced(caller.sync(joined.member, instance_id="right")).assignment == right.encode()
        assert caller.group.state is State.STABLE

    def test_a_restarted_leader_is_told_that_the_assignments_stand(self) -> None:
        caller, left, right = static_group()

        joined = caller.joined(caller.join(instance_id="left"))

        assert (joined.leader, joined.skip_assignment) == (joined.member, True)
        assert {row.instance_id for row in joined.members} == {"left", "right"}
        synced = caller.synced(caller.sync(joined.member, {right: b"must be ignored"}, instance_id="left"))
        assert synced.assignment == left.encode()
        assert caller.synced(caller.sync(right)).assignment == right.encode()

    def test_a_restarted_member_that_does_not_sync_is_dropped(self) -> None:
        caller, left, _ = static_group()
        restarted = caller.joined(caller.join(instance_id="right")).member

        for _ in range(REBALANCE_MS // 5_000):
            caller.heartbeat(left)
            caller.heartbeat(restarted)
            caller.pass_time(5_000)

        assert caller.group.awaited() == (left,)

    def test_a_restarted_member_waits_as_long_as_the_one_before_it_would(self) -> None:
        caller = Caller()
        left = caller.joined(caller.join(instance_id="left", rebalance_ms=3 * MEMBER_JOIN_MS_MAX)).member
        newcomer = caller.join(client_id="b")
        caller.join(left, rebalance_ms=3 * MEMBER_JOIN_MS_MAX)
        share_out(caller, [left, caller.joined(newcomer).member])
        caller.join(left, rebalance_ms=3 * MEMBER_JOIN_MS_MAX)
        request = caller.join(instance_id="left", rebalance_ms=3 * MEMBER_JOIN_MS_MAX)

        for _ in range(2 * MEMBER_JOIN_MS_MAX // 5_000):
            caller.pass_time(5_000)
            with pytest.raises(RebalanceInProgress):
                caller.heartbeat("b-2")

        assert caller.waiting == {request}

    def test_another_protocol_type_is_another_subscription(self) -> None:
        caller = Caller()
        name = caller.joined(caller.join(instance_id="left")).member
        caller.sync(name)

        joined = caller.joined(caller.join(instance_id="left", protocol_type="connect"))

        assert (joined.generation, joined.protocol_type) == (2, "connect")

    def test_the_older_member_is_fenced(self) -> None:
        caller, _, right = static_group()
        caller.join(instance_id="right")

        with pytest.raises(FencedInstance):
            caller.heartbeat(right, instance_id="right")
        with pytest.raises(FencedInstance):
            caller.group.check(right, 2, "right")
        with pytest.raises(FencedInstance):
            caller.leave(right, instance_id="right")
        assert isinstance(caller.error(caller.join(right, instance_id="right")), FencedInstance)
        assert isinstance(caller.error(caller.sync(right, instance_id="right")), FencedInstance)
        with pytest.raises(UnknownMember):
            caller.heartbeat(right)

    def test_waiting_requests_of_the_older_member_are_fenced(self) -> None:
        caller, left, right = static_group()
        waiting_join = caller.join(left, instance_id="left")
        successor = caller.join(instance_id="left")
        assert isinstance(caller.error(waiting_join), FencedInstance)

        caller.join(right, instance_id="right")
        waiting_sync = caller.sync(right, instance_id="right")
        caller.join(instance_id="right")

        assert caller.joined(successor).generation == 3
        assert isinstance(caller.error(waiting_sync), FencedInstance)
        assert caller.group.state is State.PREPARING

    def test_another_subscription_causes_a_rebalance(self) -> None:
        caller, left, _ = static_group()

        request = caller.join(instance_id="right", protocols=(("range", b"wants more"),))

        assert caller.waiting == {request}
        assert caller.group.awaited() == (left,)

    def test_what_does_not_count_as_subscription_causes_none(self) -> None:
        caller = Caller(Group("billing", Ids(), subscription_of=lambda _, metadata: metadata[:5]))
        name = caller.joined(caller.join(instance_id="left", protocols=(("range", b"wants; owns 7"),))).member
        caller.sync(name, {name: b"7"})

        joined = caller.joined(caller.join(instance_id="left", protocols=(("range", b"wants; owns nothing"),)))

        assert joined.generation == 1
        assert joined.members[0].metadata == b"wants; owns nothing"

    def test_who_owes_the_group_a_join_is_rebalanced_for(self) -> None:
        caller = Caller(Group("billing", Ids(), owes_join=lambda *known: known == ("range", b"wants", b"gives up")))
        name = caller.joined(caller.join(instance_id="left", protocols=(("range", b"wants"),))).member
        caller.sync(name, {name: b"gives up"})

        joined = caller.joined(caller.join(instance_id="left", protocols=(("range", b"wants"),)))

        assert joined.generation == 2

    def test_a_missed_rebalance_does_not_cost_the_place(self) -> None:
        caller, left, right = static_group()
        caller.join(left, instance_id="left", session_ms=100_000)
        caller.join(right, instance_id="right", session_ms=100_000)
        caller.sync(left, {left: b"l", right: b"r"})
        caller.sync(right)
        request = caller.join(left, instance_id="left")
        caller.pass_time(REBALANCE_MS)

        assert {row.member for row in caller.joined(request).members} == {left, right}
        caller.sync(left, {left: b"l", right: b"still mine"})
        with pytest.raises(StaleGeneration):
            caller.heartbeat(right, generation=3, instance_id="right")
        joined = caller.joined(caller.join(instance_id="right"))
        assert caller.synced(caller.sync(joined.member)).assignment == b"still mine"

    def test_without_anybody_to_lead_the_rebalance_waits_for_the_sessions(self) -> None:
        caller = Caller()
        left = caller.joined(caller.join(instance_id="left", session_ms=150_000)).member
        dynamic = caller.join()
        caller.join(left, instance_id="left", session_ms=150_000)
        caller.leave(caller.joined(dynamic).member)
        assert caller.group.awaited() == (left,)

        caller.pass_time(2 * REBALANCE_MS)
        assert caller.group.awaited() == (left,)
        caller.pass_time(REBALANCE_MS)

        assert caller.group.state is State.EMPTY

    def test_a_new_leader_is_found_when_the_old_one_misses_the_rebalance(self) -> None:
        caller, left, right = static_group()
        caller.join(left, instance_id="left", session_ms=100_000)
        caller.join(right, instance_id="right", session_ms=100_000)
        share_out(caller, [left, right])
        request = caller.join(right, instance_id="right", protocols=(("range", b"wants more"),))

        caller.pass_time(REBALANCE_MS)

        assert caller.joined(request).leader == right

    def test_a_place_can_be_given_up_by_its_instance_id_alone(self) -> None:
        caller, left, _ = static_group()

        caller.leave("", instance_id="right")

        assert caller.group.awaited() == (left,)
        with pytest.raises(UnknownMember):
            caller.leave("", instance_id="right")

    def test_a_member_may_leave_its_instance_id_out(self) -> None:
        caller, left, right = static_group()
        caller.join(left)
        caller.join(right)
        share_out(caller, [left, right])

        caller.leave(right)

        with pytest.raises(UnknownMember):
            caller.leave("", instance_id="right")

    def test_an_instance_id_that_nobody_has_is_unknown(self) -> None:
        caller, (first, _) = stable_group()

        with pytest.raises(UnknownMember):
            caller.heartbeat(first, instance_id="nobody")


class TestBounds:
    def test_a_group_has_a_largest_size(self) -> None:
        caller = Caller(initial_delay_ms=100)
        for _ in range(GROUP_MEMBERS_MAX - 1):
            caller.join()
        returning = caller.error(caller.join(require_id=True))
        assert isinstance(returning, MemberIdRequired)

        assert isinstance(caller.error(caller.join()), Overloaded)
        assert isinstance(caller.error(caller.join(require_id=True)), Overloaded)
        assert caller.join(returning.member) in caller.waiting

    def test_a_refused_join_changes_nothing(self) -> None:
        caller, _ = stable_group()
        before = caller.group.describe()

        assert isinstance(caller.error(caller.join(session_ms=1)), InvalidArgument)

        assert caller.group.describe() == before

    def test_an_assignment_that_is_too_large_is_refused_and_the_leader_may_try_again(self) -> None:
        caller = Caller()
        name = caller.joined(caller.join()).member

        error = caller.error(caller.sync(name, {name: b"x" * (MEMBER_METADATA_BYTES_MAX + 1)}))

        assert isinstance(error, InvalidArgument)
        caller.synced(caller.sync(name, {name: b"x" * MEMBER_METADATA_BYTES_MAX}))

    def test_an_id_maker_that_repeats_itself_is_a_bug_of_ours(self) -> None:
        caller = Caller(Group("billing", lambda _: "same"))
        caller.join()

        with pytest.raises(InvariantError):
            caller.join()


class TestRemoving:
    def test_a_group_with_members_stays(self) -> None:
        caller, _ = stable_group()

        with pytest.raises(GroupNotEmpty):
            caller.group.remove()

    def test_a_removed_group_refuses_everything(self) -> None:
        caller = Caller()
        caller.join(require_id=True)
        caller.group.remove()

        assert caller.group.state is State.DEAD
        assert caller.group.next_deadline_ms() is None
        errors: list[RequestError] = [caller.error(caller.join()), caller.error(caller.sync("a"))]
        assert all(isinstance(error, UnknownGroup) for error in errors)
        with pytest.raises(UnknownGroup):
            caller.heartbeat("a")
        with pytest.raises(UnknownGroup):
            caller.leave("a")
        with pytest.raises(UnknownGroup):
            caller.group.check("", NO_GENERATION)
        assert caller.group.expire(10**9) == []


def test_a_group_describes_itself() -> None:
    caller = Caller()
    name = caller.joined(caller.join(client_id="app", host="/10.0.0.1", instance_id="left")).member
    caller.sync(name, {name: b"all"})

    view = caller.group.describe()

    assert (view.name, view.state, view.generation) == ("billing", State.STABLE, 1)
    assert (view.protocol_type, view.protocol, view.leader) == ("consumer", "range", name)
    (member,) = view.members
    assert (member.member, member.instance_id, member.client_id, member.host) == (name, "left", "app", "/10.0.0.1")
    assert (member.metadata, member.assignment) == (b"wants flights", b"all")
