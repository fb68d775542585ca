"""Consumer groups against two models: the rules once more in the naive way, and consumers that share partitions.

The first compares every answer and every visible value after each step; the second lets simulated consumers use the
library's assignor and watches who owns what.
"""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isthmus.errors import (
    FencedInstance,
    InconsistentProtocol,
    MemberIdRequired,
    RebalanceInProgress,
    RequestError,
    StaleGeneration,
    UnknownMember,
)
from isthmus.lenses.stream.assignor import (
    PROTOCOL,
    PROTOCOL_TYPE,
    Subscription,
    TopicPartition,
    decode_assignment,
    encode_subscription,
    owes_join,
    plan,
    subscription_of,
)
from isthmus.lenses.stream.group import Group
from isthmus.lenses.stream.membership import Failed, Join, Joined, Reply, State, Sync, Synced
from isthmus.limits import MEMBER_JOIN_MS_MAX
from support.groups import Ids, Protocols

AGES_MS: Final = 10 * MEMBER_JOIN_MS_MAX
NEVER: Final = 1 << 60

Answer = tuple[object, ...]
"""What a reply says, in a form that the naive model can say too."""


def said(reply: Reply) -> Answer:
    match reply:
        case Joined():
            rows = tuple((row.member, row.instance_id, row.metadata) for row in reply.members)
            return ("joined", reply.member, reply.generation, reply.protocol, reply.leader, rows, reply.skip_assignment)
        case Synced():
            return ("synced", reply.member, reply.generation, reply.protocol, reply.assignment)
        case Failed():
            return ("failed", reply.member, type(reply.error))


# ---- the rules once more ------------------------------------------------------------------------------------------


@dataclass
class Row:
    """A member in the naive model; NEVER is a deadline that does not run."""

    id: str
    ask: Join
    instance: str | None
    new: bool = True
    join: int | None = None
    sync: int | None = None
    silent_at: int = NEVER
    sync_by: int = NEVER
    share: bytes = b""


@dataclass
class NaiveGroup:
    """Lists and loops; every question is answered by looking at everything."""

    initial_delay_ms: int
    make_id: Ids = field(default_factory=Ids)
    state: State = State.EMPTY
    generation: int = 0
    leader: str = ""
    protocol: str = ""
    rows: list[Row] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)
    ends_at: int = NEVER
    collects_until: int = NEVER
    answers: dict[int, Answer] = field(default_factory=dict)

    def join(self, request: int, ask: Join, now: int) -> None:
        row: Row | None = None
        if ask.member_id and not (ask.member_id in self.given and ask.instance_id is None):
            found = self.who(ask.member_id, ask.instance_id)
            if not isinstance(found, Row):
                return self.fail(request, ask.member_id, found)
            row = found
        elif not ask.member_id and ask.instance_id is not None:
            row = next((row for row in self.rows if row.instance == ask.instance_id), None)
        others = [other for other in self.rows if other is not row]
        if others and not any(all(offers(other, name) for other in others) for name, _ in ask.protocols):
            return self.fail(request, ask.member_id, InconsistentProtocol)
        if row is not None and ask.member_id:
            return self.join_again(row, request, ask, now)
        member_id = ask.member_id or self.make_id(ask.instance_id or ask.client_id)
        if row is not None:
            return self.take_over(row, member_id, request, ask, now)
        if not ask.member_id and ask.require_id and ask.instance_id is None:
            self.given[member_id] = now + ask.session_ms
            return self.fail(request, member_id, MemberIdRequired)
        self.given.pop(member_id, None)
        row = Row(member_id, ask, ask.instance_id)
        self.rows.append(row)
        return self.park_join(row, request, ask, now)

    def join_again(self, row: Row, request: int, ask: Join, now: int) -> None:
        repeats = ask.protocols == row.ask.protocols
        if repeats and (self.state is State.COMPLETING or (self.state is State.STABLE and row.id != self.leader)):
            row.ask = ask
            self.heard(row, now)
            self.answer_join(row, request, skip=False)
        else:
            self.park_join(row, request, ask, now)

    def take_over(self, row: Row, member_id: str, request: int, ask: Join, now: int) -> None:
        for parked in (row.join, row.sync):
            if parked is not None:
                self.fail(parked, row.id, FencedInstance)
        same = [(n, m[:1]) for n, m in row.ask.protocols] == [(n, m[:1]) for n, m in ask.protocols]
        successor = Row(member_id, ask, row.instance, new=row.new, share=row.share)
        self.rows.remove(row)
        self.rows.append(successor)
        if self.leader == row.id:
            self.leader = member_id
        if self.state is State.STABLE and same:
            self.heard(successor, now)
            successor.sync_by = now + self.longest()
            self.answer_join(successor, request, skip=member_id == self.leader)
        else:
            self.park_join(successor, request, ask, now)

    def park_join(self, row: Row, request: int, ask: Join, now: int) -> None:
        if row.join is not None:
            self.fail(row.join, row.id, RebalanceInProgress)
        row.ask = ask
        if self.state is State.PREPARING and self.collects_until != NEVER:
            self.ends_at = min(now + self.initial_delay_ms, self.collects_until)
        self.unsettle(now)
        row.join = request
        row.silent_at = now + MEMBER_JOIN_MS_MAX if row.new else NEVER
        self.settle(now)

    def unsettle(self, now: int) -> None:
        """Whatever changed, all must join again."""
        if self.state is State.PREPARING:
            return
        for row in self.rows:
            row.sync_by = NEVER
            if row.sync is not None:
                self.fail(row.sync, row.id, RebalanceInProgress)
                row.sync = None
                self.heard(row, now)
        self.ends_at = now + self.longest()
        if self.state is State.EMPTY and self.initial_delay_ms:
            self.collects_until = self.ends_at
            self.ends_at = min(self.ends_at, now + self.initial_delay_ms)
        self.state = State.PREPARING

    def settle(self, now: int) -> None:
        """Begin the next generation if nothing speaks against it."""
        if self.state is not State.PREPARING:
            return
        everybody = all(row.join is not None for row in self.rows) and not self.given and self.collects_until == NEVER
        if everybody or not self.rows or self.ends_at <= now:
            self.begin(now)

    def begin(self, now: int) -> None:
        self.rows = [row for row in self.rows if row.join is not None or row.instance is not None]
        here = [row for row in self.rows if row.join is not None]
        if self.rows and not here:
            self.ends_at = now + self.longest()
            return
        self.ends_at = self.collects_until = NEVER
        self.generation += 1
        self.state = State.COMPLETING if here else State.EMPTY
        if self.leader not in [row.id for row in here]:
            self.leader = here[0].id if here else ""
        self.protocol = self.vote() if here else ""
        for row in self.rows:
            row.share = b""
        for row in here:
            assert row.join is not None
            request, row.join, row.new = row.join, None, False
            self.heard(row, now)
            row.sync_by = now + self.longest()
            self.answer_join(row, request, skip=False)

    def vote(self) -> str:
        ballots: Counter[str] = Counter()
        for row in self.rows:
            ballots[next(name for name, _ in row.ask.protocols if all(offers(other, name) for other in self.rows))] += 1
        most = max(ballots.values())
        leader = next(row for row in self.rows if row.id == self.leader)
        return next(name for name, _ in leader.ask.protocols if ballots[name] == most)

    def sync(self, request: int, ask: Sync, now: int) -> None:
        row = self.who(ask.member_id, ask.instance_id)
        if not isinstance(row, Row):
            return self.fail(request, ask.member_id, row)
        if ask.generation != self.generation:
            return self.fail(request, row.id, StaleGeneration)
        if self.state is State.PREPARING:
            return self.fail(request, row.id, RebalanceInProgress)
        if row.sync is not None:
            self.fail(row.sync, row.id, RebalanceInProgress)
        row.sync, row.sync_by, row.silent_at = request, NEVER, NEVER
        if self.state is State.COMPLETING and row.id == self.leader:
            self.state = State.STABLE
            for other in self.rows:
                other.share = ask.assignments.get(other.id, b"")
        if self.state is State.STABLE:
            for other in self.rows:
                if other.sync is not None:
                    self.answers[other.sync] = ("synced", other.id, self.generation, self.protocol, other.share)
                    other.sync = None
                    self.heard(other, now)
        return None

    def heartbeat(self, member_id: str, generation: int, instance: str | None, now: int) -> type[RequestError] | None:
        row = self.who(member_id, instance)
        if not isinstance(row, Row):
            return row
        if generation != self.generation:
            return StaleGeneration
        self.heard(row, now)
        return RebalanceInProgress if self.state is State.PREPARING else None

    def check(self, member_id: str, generation: int, instance: str | None) -> type[RequestError] | None:
        row = self.who(member_id, instance)
        if not isinstance(row, Row):
            return row
        if generation != self.generation:
            return StaleGeneration
        return RebalanceInProgress if self.state is State.COMPLETING else None

    def leave(self, member_id: str, instance: str | None, now: int) -> type[RequestError] | None:
        if instance is None and self.given.pop(member_id, None) is not None:
            self.settle(now)
            return None
        if not member_id and instance is not None:
            member_id = next((row.id for row in self.rows if row.instance == instance), "")
        row = self.who(member_id, instance)
        if not isinstance(row, Row):
            return row
        self.drop([row], now)
        return None

    def expire(self, now: int) -> None:
        self.given = {member_id: until for member_id, until in self.given.items() if until > now}
        self.drop([row for row in self.rows if min(row.silent_at, row.sync_by) <= now], now)
        self.settle(now)

    def drop(self, gone: list[Row], now: int) -> None:
        for row in gone:
            for parked in (row.join, row.sync):
                if parked is not None:
                    self.fail(parked, row.id, UnknownMember)
            self.rows.remove(row)
            self.leader = "" if self.leader == row.id else self.leader
        if gone:
            self.unsettle(now)
            self.settle(now)

    def deadline(self) -> int:
        times = [self.ends_at, *self.given.values()]
        return min([*times, *(min(row.silent_at, row.sync_by) for row in self.rows)])

    def who(self, member_id: str, instance: str | None) -> Row | type[RequestError]:
        if instance is not None and any(row.instance == instance and row.id != member_id for row in self.rows):
            return FencedInstance
        for row in self.rows:
            if row.id == member_id and instance in {None, row.instance}:
                return row
        return UnknownMember

    def heard(self, row: Row, now: int) -> None:
        if row.join is None and row.sync is None:
            row.silent_at = now + row.ask.session_ms

    def longest(self) -> int:
        return max((row.ask.rebalance_ms for row in self.rows), default=0)

    def fail(self, request: int, member_id: str, error: type[RequestError]) -> None:
        self.answers[request] = ("failed", member_id, error)

    def answer_join(self, row: Row, request: int, *, skip: bool) -> None:
        told = self.rows if row.id == self.leader else []
        rows = tuple((other.id, other.instance, dict(other.ask.protocols).get(self.protocol, b"")) for other in told)
        self.answers[request] = ("joined", row.id, self.generation, self.protocol, self.leader, rows, skip)


def offers(row: Row, protocol: str) -> bool:
    return any(name == protocol for name, _ in row.ask.protocols)


metadata = st.sampled_from([b"1a", b"1b", b"2a"])
protocols: st.SearchStrategy[Protocols] = st.lists(
    st.tuples(st.sampled_from(["range", "sticky"]), metadata), min_size=1, max_size=2, unique_by=lambda row: row[0]
).map(tuple)
sessions = st.sampled_from([1_000, 3_000])
rebalances = st.sampled_from([500, 2_000, 5_000])
instances = st.sampled_from([None, None, "left", "right"])


class GroupAgainstRules(RuleBasedStateMachine):
    """Every answer and every visible value is what the naive model says."""

    @initialize(initial_delay_ms=st.sampled_from([0, 0, 700]))
    def start(self, initial_delay_ms: int) -> None:
        self.group = Group(
            "billing", Ids(), initial_delay_ms=initial_delay_ms, subscription_of=lambda _, metadata: metadata[:1]
        )
        self.model = NaiveGroup(initial_delay_ms)
        self.now_ms = 0
        self.requests = itertools.count(1)
        self.waiting: set[int] = set()
        self.answers: dict[int, Answer] = {}
        self.known: list[str] = ["nobody"]
        self.generations = [0]

    @rule(
        instance=instances, protocols=protocols, session_ms=sessions, rebalance_ms=rebalances, require_id=st.booleans()
    )
    def newcomer(
        self, instance: str | None, protocols: Protocols, session_ms: int, rebalance_ms: int, require_id: bool
    ) -> None:
        self.ask_to_join("", instance, protocols, session_ms, rebalance_ms, require_id)

    @rule(data=st.data(), instance=instances, offered=st.none() | protocols, session_ms=sessions)
    def join_again(self, data: st.DataObject, instance: str | None, offered: Protocols | None, session_ms: int) -> None:
        """Mostly with the metadata of last time and the right instance id."""
        member_id = data.draw(st.sampled_from(self.known[-6:]))
        before = next((row.ask for row in self.model.rows if row.id == member_id), None)
        self.ask_to_join(
            member_id,
            before.instance_id if before else instance,
            offered or (before.protocols if before else (("range", b"1a"),)),
            session_ms,
            before.rebalance_ms if before else 500,
            require_id=False,
        )

    @precondition(lambda self: self.group.awaited())
    @rule(data=st.data())
    def one_that_is_awaited_joins_again(self, data: st.DataObject) -> None:
        self.join_as_before(data.draw(st.sampled_from(self.group.awaited())))

    def join_as_before(self, member_id: str) -> None:
        ask = next(row.ask for row in self.model.rows if row.id == member_id)
        self.ask_to_join(member_id, ask.instance_id, ask.protocols, ask.session_ms, ask.rebalance_ms, require_id=False)

    @precondition(lambda self: self.group.leader)
    @rule(share=st.binary(max_size=2))
    def all_do_what_is_asked_of_them(self, share: bytes) -> None:
        """Otherwise few groups would ever be stable."""
        for member_id in self.group.awaited():
            self.join_as_before(member_id)
        for row in self.group.describe().members:
            self.ask_to_sync(row.member, None, self.group.generation, share)

    @precondition(lambda self: any(row.instance for row in self.model.rows))
    @rule(data=st.data(), owns=st.sampled_from([b"a", b"b"]))
    def a_static_member_restarts(self, data: st.DataObject, owns: bytes) -> None:
        row = data.draw(st.sampled_from([row for row in self.model.rows if row.instance]))
        offered = tuple((name, metadata[:1] + owns) for name, metadata in row.ask.protocols)
        self.ask_to_join("", row.instance, offered, row.ask.session_ms, row.ask.rebalance_ms, require_id=False)

    def ask_to_join(
        self,
        member_id: str,
        instance: str | None,
        protocols: Protocols,
        session_ms: int,
        rebalance_ms: int,
        require_id: bool,
    ) -> None:
        ask = Join(
            member_id=member_id,
            instance_id=instance,
            client_id="app",
            protocol_type="consumer",
            protocols=protocols,
            session_ms=session_ms,
            rebalance_ms=rebalance_ms,
            require_id=require_id,
        )
        request = next(self.requests)
        self.waiting.add(request)
        self.note(self.group.join(request, ask, self.now_ms))
        self.model.join(request, ask, self.now_ms)

    @rule(data=st.data(), instance=instances, stale=st.sampled_from([0, 0, 0, 1]), share=st.binary(max_size=2))
    def sync(self, data: st.DataObject, instance: str | None, stale: int, share: bytes) -> None:
        member_id = data.draw(st.sampled_from(self.known[-6:]))
        self.ask_to_sync(member_id, instance, self.group.generation - stale, share)

    @precondition(lambda self: self.group.leader)
    @rule(share=st.binary(max_size=2))
    def the_leader_shares_out(self, share: bytes) -> None:
        self.ask_to_sync(self.group.leader, None, self.group.generation, share)

    def ask_to_sync(self, member_id: str, instance: str | None, generation: int, share: bytes) -> None:
        assignments = {name: share + name.encode() for name in self.known}
        ask = Sync(member_id=member_id, generation=generation, assignments=assignments, instance_id=instance)
        request = next(self.requests)
        self.waiting.add(request)
        self.note(self.group.sync(request, ask, self.now_ms))
        self.model.sync(request, ask, self.now_ms)

    @rule(data=st.data(), instance=instances, stale=st.sampled_from([0, 0, 1]))
    def heartbeat(self, data: st.DataObject, instance: str | None, stale: int) -> None:
        member_id, generation = data.draw(st.sampled_from(self.known[-6:])), self.group.generation - stale
        got: type[RequestError] | None = None
        try:
            self.group.heartbeat(member_id, generation, self.now_ms, instance)
        except RequestError as error:
            got = type(error)

        assert got == self.model.heartbeat(member_id, generation, instance, self.now_ms)

    @rule(data=st.data(), instance=instances, stale=st.sampled_from([0, 0, 1]))
    def check(self, data: st.DataObject, instance: str | None, stale: int) -> None:
        member_id, generation = data.draw(st.sampled_from(self.known[-6:])), self.group.generation - stale
        got: type[RequestError] | None = None
        try:
            self.group.check(member_id, generation, instance)
        except RequestError as error:
            got = type(error)

        assert got == self.model.check(member_id, generation, instance)

    @rule(data=st.data(), instance=instances)
    def leave(self, data: st.DataObject, instance: str | None) -> None:
        member_id = data.draw(st.sampled_from([*self.known[-4:], ""]))
        got: type[RequestError] | None = None
        try:
            self.note(self.group.leave(member_id, self.now_ms, instance))
        except RequestError as error:
            got = type(error)

        assert got == self.model.leave(member_id, instance, self.now_ms)

    @rule(ms=st.integers(1, 1_500))
    def pass_time(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while (deadline_ms := self.group.next_deadline_ms()) is not None and deadline_ms <= end_ms:
            assert deadline_ms > self.now_ms, "time passed a deadline that stayed"
            self.now_ms = deadline_ms
            self.note(self.group.expire(self.now_ms))
            self.model.expire(self.now_ms)
        self.now_ms = end_ms

    def note(self, replies: list[Reply]) -> None:
        for reply in replies:
            assert reply.request in self.waiting, "I4: a request is answered once"
            self.waiting.remove(reply.request)
            self.answers[reply.request] = said(reply)
            if reply.member and reply.member not in self.known:
                self.known.append(reply.member)

    @invariant()
    def nothing_tells_it_from_the_model(self) -> None:
        view = self.group.describe()
        self.known += [row.member for row in view.members if row.member not in self.known]

        assert self.answers == self.model.answers
        assert self.group.next_deadline_ms() == (None if self.model.deadline() == NEVER else self.model.deadline())
        assert (view.state, view.generation) == (self.model.state, self.model.generation)
        assert (view.leader, view.protocol) == (self.model.leader, self.model.protocol)
        assert [(row.member, row.instance_id, row.assignment) for row in view.members] == [
            (row.id, row.instance, row.share) for row in self.model.rows
        ]
        assert set(self.group.awaited()) == {
            row.id for row in self.model.rows if view.state is State.PREPARING and row.join is None
        }

    @invariant()
    def the_numbered_invariants_hold(self) -> None:
        view = self.group.describe()
        ids = [row.member for row in view.members]
        static = [row.instance_id for row in view.members if row.instance_id is not None]

        assert view.generation >= self.generations[-1], "I1"
        self.generations.append(view.generation)
        if view.state in {State.COMPLETING, State.STABLE}:
            assert view.leader in ids, "I2"
            assert all(row.metadata for row in view.members), "I3"
        assert len(set(ids)) == len(ids), "I6"
        assert len(set(static)) == len(static), "I6"
        assert (view.state is State.EMPTY) == (not ids), "I7"

    def teardown(self) -> None:
        self.pass_time(AGES_MS)
        assert not self.waiting, "I5: whoever waits is answered when time passes"
        assert self.group.state is State.EMPTY
        assert self.group.next_deadline_ms() is None


TestGroupAgainstRules = GroupAgainstRules.TestCase
TestGroupAgainstRules.settings = settings(max_examples=400, stateful_step_count=50)


# ---- consumers that share partitions ------------------------------------------------------------------------------

PARTITIONS: Final = {"flights": 12, "weather": 4}
SESSION_MS: Final = 3_000
REBALANCE_MS: Final = 2_000


@dataclass
class Consumer:
    """What a consumer of the library does at the group, one small step at a time."""

    topics: tuple[str, ...]
    instance: str | None = None
    member_id: str = ""
    generation: int = -1
    owned: set[TopicPartition] = field(default_factory=set)
    needs: str = "join"
    waits_for: int | None = None
    plan: dict[str, bytes] = field(default_factory=dict)

    def take(self, reply: Reply) -> None:
        self.waits_for = None
        match reply:
            case Joined():
                self.member_id, self.generation, self.needs = reply.member, reply.generation, "sync"
                self.plan = {}
                if reply.members and not reply.skip_assignment:
                    self.plan = plan({row.member: row.metadata for row in reply.members}, PARTITIONS)
            case Synced():
                given = set(decode_assignment(reply.assignment))
                self.needs = "join" if self.owned - given else "heartbeat"
                self.owned = given
            case Failed():
                self.refused(reply.error)

    def refused(self, error: RequestError) -> None:
        self.needs = "join"
        if not isinstance(error, RebalanceInProgress):
            self.owned, self.generation = set(), -1
        if isinstance(error, UnknownMember):
            self.member_id = ""


class ConsumersSharePartitions(RuleBasedStateMachine):
    """However consumers come, go, stop and stumble: no partition ever has two owners that could both commit."""

    @initialize(count=st.integers(0, 4))
    def start(self, count: int) -> None:
        """With some consumers already at rest, because what goes wrong mostly goes wrong on the way from there."""
        self.group = Group("billing", Ids(), subscription_of=subscription_of, owes_join=owes_join)
        self.now_ms = 0
        self.requests = itertools.count(1)
        self.consumers: list[Consumer] = []
        self.given: dict[int, dict[TopicPartition, str]] = {}
        for _ in range(count):
            self.begin(("flights",), None)
        self.pass_rounds(6)

    @precondition(lambda self: len(self.consumers) < 6)
    @rule(
        topics=st.sampled_from([("flights",), ("flights",), ("flights", "weather"), ("weather",)]),
        instance=st.sampled_from([None, "left", "right"]),
    )
    def begin(self, topics: tuple[str, ...], instance: str | None) -> None:
        if instance not in {consumer.instance for consumer in self.consumers} - {None}:
            self.consumers.append(Consumer(topics, instance))

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        consumer = self.consumers.pop(data.draw(st.integers(0, len(self.consumers) - 1)))
        if consumer.member_id in [row.member for row in self.group.describe().members]:
            self.note(self.group.leave(consumer.member_id, self.now_ms, consumer.instance))

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        self.consumers.pop(data.draw(st.integers(0, len(self.consumers) - 1)))

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.consumers) - 1))
        self.consumers[index] = Consumer(self.consumers[index].topics, self.consumers[index].instance)

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), few=st.booleans())
    def some_go_on(self, data: st.DataObject, few: bool) -> None:
        """In any order, and not always all: who is told first and who last is what matters."""
        order = data.draw(st.permutations(self.consumers))
        for consumer in order[: 1 if few else len(order) - 1]:
            self.step(consumer)

    @rule()
    def all_go_on(self) -> None:
        for consumer in self.consumers:
            self.step(consumer)

    @rule()
    def all_join_again(self) -> None:
        """The narrow moment: a new generation has begun, and nobody has been told its share."""
        for _ in range(3):
            for consumer in self.consumers:
                if consumer.needs != "sync":
                    self.step(consumer)

    @rule(ms=st.integers(1, 1_200))
    def pass_time(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while (deadline_ms := self.group.next_deadline_ms()) is not None and deadline_ms <= end_ms:
            self.now_ms = deadline_ms
            self.note(self.group.expire(self.now_ms))
        self.now_ms = end_ms

    def pass_rounds(self, count: int) -> None:
        for _ in range(count):
            self.all_go_on()
            self.pass_time(SESSION_MS // 4)

    def step(self, consumer: Consumer) -> None:
        if consumer.waits_for is not None:
            return
        if consumer.needs == "heartbeat":
            try:
                self.group.heartbeat(consumer.member_id, consumer.generation, self.now_ms, consumer.instance)
            except RequestError as error:
                consumer.refused(error)
            return
        request = consumer.waits_for = next(self.requests)
        if consumer.needs == "join":
            self.note(self.group.join(request, self.join_of(consumer), self.now_ms))
        else:
            ask = Sync(
                member_id=consumer.member_id,
                generation=consumer.generation,
                assignments=consumer.plan,
                instance_id=consumer.instance,
            )
            self.note(self.group.sync(request, ask, self.now_ms))

    def join_of(self, consumer: Consumer) -> Join:
        told = Subscription(consumer.topics, tuple(consumer.owned), consumer.generation)
        return Join(
            member_id=consumer.member_id,
            instance_id=consumer.instance,
            protocol_type=PROTOCOL_TYPE,
            protocols=((PROTOCOL, encode_subscription(told)),),
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS,
        )

    def note(self, replies: list[Reply]) -> None:
        waiting = {consumer.waits_for: consumer for consumer in self.consumers if consumer.waits_for is not None}
        for reply in replies:
            if isinstance(reply, Synced):
                owners = self.given.setdefault(reply.generation, {})
                present = [row.member for row in self.group.describe().members]
                for partition in decode_assignment(reply.assignment):
                    # Within a generation only the successor of a static member may get what another one had.
                    assert owners.get(partition) in {None, reply.member} or owners[partition] not in present
                    owners[partition] = reply.member
            if reply.request in waiting:
                waiting[reply.request].take(reply)

    @invariant()
    def no_partition_has_two_owners_that_may_commit(self) -> None:
        owned = [partition for consumer in self.consumers if self.may_commit(consumer) for partition in consumer.owned]

        assert len(set(owned)) == len(owned)

    def may_commit(self, consumer: Consumer) -> bool:
        try:
            self.group.check(consumer.member_id, consumer.generation, consumer.instance)
        except RequestError:
            return False
        return True

    def teardown(self) -> None:
        """Left in peace, the consumers end up with every partition that somebody wants, evenly."""
        self.pass_rounds(40)
        generation = self.group.generation
        self.pass_rounds(8)

        assert self.group.generation == generation, "the group never comes to rest"
        wanted = {topic for consumer in self.consumers for topic in consumer.topics}
        owned = sorted(partition for consumer in self.consumers for partition in consumer.owned)
        assert owned == sorted((topic, index) for topic in wanted for index in range(PARTITIONS[topic]))
        for topics in {consumer.topics for consumer in self.consumers}:
            counts = [len(consumer.owned) for consumer in self.consumers if consumer.topics == topics]
            assert max(counts) - min(counts) <= 1


def test_a_static_member_that_restarts_before_it_passes_on_what_it_gave_up() -> None:
    """Once found by the machine: half of the partitions had no owner for good."""
    world = ConsumersSharePartitions()
    world.start(0)
    world.begin(("flights",), "left")
    world.begin(("flights",), None)
    world.step(world.consumers[0])
    for _ in range(4):
        world.all_go_on()

    world.consumers[0] = Consumer(("flights",), "left")

    world.teardown()


TestConsumersSharePartitions = ConsumersSharePartitions.TestCase
TestConsumersSharePartitions.settings = settings(max_examples=1000, stateful_step_count=50)
