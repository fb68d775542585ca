"""Membership of a consumer group: who reads together, in which generation, with which assignment. Pure.

It decides and hands back replies; it never waits, calls back, reads a clock, or looks into metadata and assignments.

Theory of operation
-------------------
A group moves between five states::

    Empty --first join--> PreparingRebalance --all joined, or time is up--> CompletingRebalance
      ^                        |        ^                                        |
      |                        |        +--a join that changes something, a------+--leader's sync--> Stable
      +---nobody is left-------+           leave, an expiry: from these two ----------------------+

    Dead: the group was removed; every request is refused.

A *rebalance* makes a new generation in two rounds. In PreparingRebalance joins are *parked*: kept without an answer
until all members have joined again, or until the longest `rebalance_ms` of any member has passed and those that stayed
silent are dropped. Then all joins are answered at once; the leader's answer carries everybody's metadata for the
protocol that the vote chose. In CompletingRebalance syncs are parked until the leader's sync brings the assignments.
A member that does not sync in time is dropped too, so a leader that falls silent stops nobody for long.

A member lives as long as it is heard from at least every `session_ms`; while one of its requests is parked it need
not be heard. A newcomer can be asked to return with the id it was given before it counts (`Join.require_id`), so that
joins whose reply got lost leave no members behind. A member with an *instance id* is static: it is not dropped when it
misses a rebalance, only when its session ends, and a newcomer of the same instance id takes over its place and its
assignment without a rebalance; the older member is fenced.

The caller names each join and sync by a number of its own (`request`), keeps whoever waits for it, and resolves them
with the replies that any operation returns. It calls `expire` no later than `next_deadline_ms`. Times are milliseconds
of one monotonic clock.

Invariants
----------
I1  Generations only rise, by one with each finished rebalance, also with the one that leaves the group empty.
I2  In CompletingRebalance and Stable there is exactly one leader, and it is a member.
I3  There is always a protocol that all members offer; in CompletingRebalance and Stable the chosen one is such.
I4  A join is parked only in PreparingRebalance, a sync only in CompletingRebalance, at most one of each a member;
    each request is answered exactly once.
I5  Whoever is parked is answered when time passes: PreparingRebalance has a deadline, and in CompletingRebalance the
    leader has one that only its sync lifts.
I6  Member ids are unique; an instance id belongs to at most one member.
I7  A group is Empty or Dead exactly when it has no members.
I8  Assignments of a generation come from its leader only, and only its members get one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.errors import (
    FencedInstance,
    GroupNotEmpty,
    InconsistentProtocol,
    InvariantError,
    MemberIdRequired,
    Overloaded,
    RebalanceInProgress,
    RequestError,
    StaleGeneration,
    UnknownGroup,
    UnknownMember,
)
from isthmus.lenses.stream.membership import (
    NO_GENERATION,
    Failed,
    Join,
    Joined,
    JoinedMember,
    MembershipView,
    MemberView,
    Reply,
    State,
    Sync,
    Synced,
    check_join,
    check_size,
)
from isthmus.limits import GROUP_MEMBERS_MAX, MEMBER_JOIN_MS_MAX


@dataclass(slots=True, eq=False)
class _Member:
    """`session_until_ms` is None while a request is parked, `sync_until_ms` unless a sync is owed."""

    id: str
    instance_id: str | None
    ask: Join
    session_until_ms: int | None = None
    sync_until_ms: int | None = None
    newcomer: bool = True
    joining: int | None = None
    syncing: int | None = None
    assignment: bytes = b""

    def metadata(self, protocol: str) -> bytes:
        return next((data for name, data in self.ask.protocols if name == protocol), b"")

    def deadlines_ms(self) -> list[int]:
        return [at_ms for at_ms in (self.session_until_ms, self.sync_until_ms) if at_ms is not None]

    def heard(self, now_ms: int) -> None:
        if self.joining is None and self.syncing is None:
            self.session_until_ms = now_ms + self.ask.session_ms


def _whole(protocol: str, metadata: bytes) -> bytes:  # noqa: ARG001 - the default of `subscription_of`
    return metadata


def _never(protocol: str, metadata: bytes, assignment: bytes) -> bool:  # noqa: ARG001 - the default of `owes_join`
    return False


class Group:
    """One consumer group.

    Args:
        name: for errors and views.
        make_id: makes a new unique member id from a prefix (the newcomer's instance id or client id, or empty).
        generation: the newest generation that is known, for instance from the group's durable commits.
        initial_delay_ms: how long an empty group waits for more members after each first join, unless the join says.
        subscription_of: what of a (protocol, metadata) decides who gets what in the long run, without passing things
            such as what the member owns just now: a static member that returns with the same is not rebalanced for.
            Must not raise. Without it all of the metadata counts.
        owes_join: whether a member of (protocol, metadata) that was given this assignment has to join again before
            others get what it gives up: then the group rebalances for its return. Must not raise.
    """

    def __init__(
        self,
        name: str,
        make_id: Callable[[str], str],
        *,
        generation: int = 0,
        initial_delay_ms: int = 0,
        subscription_of: Callable[[str, bytes], bytes] = _whole,
        owes_join: Callable[[str, bytes, bytes], bool] = _never,
    ) -> None:
        self.name = name
        self.state = State.EMPTY
        self.generation = generation
        self.protocol_type = ""
        self.protocol = ""
        self.leader = ""
        self._make_id = make_id
        self._initial_delay_ms = initial_delay_ms
        self._subscription_of = subscription_of
        self._owes_join = owes_join
        self._members: dict[str, _Member] = {}
        self._instances: dict[str, str] = {}
        self._pending: dict[str, int] = {}
        self._rebalance_until_ms: int | None = None
        self._initial_until_ms: int | None = None

    # ---- operations

    def join(self, request: int, ask: Join, now_ms: int) -> list[Reply]:
        """Let a member into the next generation; parks the request unless it can be answered at once.

        Refused with: InvalidArgument (a value out of its range), InconsistentProtocol, UnknownMember, FencedInstance,
        Overloaded (too many members), MemberIdRequired, UnknownGroup (removed).
        """
        try:
            member = self._admit(ask)
        except RequestError as error:
            return [Failed(request=request, member=ask.member_id, error=error.with_traceback(None))]
        if member is None:
            return self._welcome(request, ask, now_ms)
        if not ask.member_id:
            return self._replace(member, request, ask, now_ms)
        if self._changes(member, ask):
            return self._await_join(member, request, ask, now_ms)
        member.ask = ask
        member.heard(now_ms)
        return [self._joined(member, request)]

    def sync(self, request: int, ask: Sync, now_ms: int) -> list[Reply]:
        """Give a member its assignment; parks the request until the leader's has come.

        Refused with: UnknownMember, FencedInstance, StaleGeneration, InconsistentProtocol, RebalanceInProgress,
        InvalidArgument (an assignment is too large), UnknownGroup (removed).
        """
        try:
            member = self._admit_sync(ask)
        except RequestError as error:
            return [Failed(request=request, member=ask.member_id, error=error.with_traceback(None))]
        member.sync_until_ms = None
        if self.state is State.STABLE:
            member.heard(now_ms)
            return [self._synced(member, request)]
        replies = _refuse(member, member.syncing, RebalanceInProgress(self.name))
        member.syncing, member.session_until_ms = request, None
        if member.id == self.leader:
            replies += self._share_out(ask.assignments, now_ms)
        return replies

    def heartbeat(self, member_id: str, generation: int, now_ms: int, instance_id: str | None = None) -> None:
        """Keep a member alive.

        Raises:
            RebalanceInProgress: the member is alive, and must join again.
            UnknownMember, FencedInstance, StaleGeneration, UnknownGroup: as their texts say.
        """
        member = self._find(member_id, instance_id)
        self._check_generation(generation)
        member.heard(now_ms)
        if self.state is State.PREPARING:
            raise RebalanceInProgress(self.name)

    def leave(self, member_id: str, now_ms: int, instance_id: str | None = None) -> list[Reply]:
        """Take a member out at once; with an empty member id, whoever has the instance id.

        Raises:
            UnknownMember, FencedInstance, UnknownGroup: nothing was changed.
        """
        if instance_id is None and self._pending.pop(member_id, None) is not None:
            return self._complete_if_ready(now_ms)
        if not member_id and instance_id is not None:
            member_id = self._instances.get(instance_id, "")
        replies = self._remove(self._find(member_id, instance_id))
        return replies + self._after_removal(now_ms)

    def expire(self, now_ms: int) -> list[Reply]:
        """Do what time demands: drop silent members, end a rebalance whose time is up."""
        for member_id in [member_id for member_id, until_ms in self._pending.items() if until_ms <= now_ms]:
            del self._pending[member_id]
        silent = [
            member for member in self._members.values() if any(at_ms <= now_ms for at_ms in member.deadlines_ms())
        ]
        replies = [reply for member in silent for reply in self._remove(member)]
        replies += self._after_removal(now_ms) if silent else self._complete_if_ready(now_ms)
        if self._rebalance_until_ms is not None and self._rebalance_until_ms <= now_ms:
            replies += self._complete(now_ms)
        return replies

    def remove(self) -> None:
        """Make the group Dead; newcomers that have not returned with their id are forgotten.

        Raises:
            GroupNotEmpty: it has members.
        """
        if self._members:
            raise GroupNotEmpty(self.name)
        self._pending.clear()
        self.state = State.DEAD

    # ---- questions

    def check(self, member_id: str, generation: int, instance_id: str | None = None) -> None:
        """Say whether a member may commit in that generation.

        Allowed while the others are still joining again, so that running work can be finished first. Nobody
        (`""` and `NO_GENERATION`) may commit in an empty group only.

        Raises:
            UnknownMember, FencedInstance, StaleGeneration, UnknownGroup: what the member holds is no longer its own.
            RebalanceInProgress: the generation has begun but not yet been shared out; sync, then try again.
        """
        if self.state is State.EMPTY and not member_id and generation == NO_GENERATION:
            return
        self._find(member_id, instance_id)
        self._check_generation(generation)
        if self.state is State.COMPLETING:
            raise RebalanceInProgress(self.name)

    def knows(self, member_id: str) -> bool:
        """Whether it is a member now, in whatever generation."""
        return member_id in self._members

    def next_deadline_ms(self) -> int | None:
        """When `expire` has something to do; None when only a request can change anything."""
        deadlines_ms = [at_ms for member in self._members.values() for at_ms in member.deadlines_ms()]
        deadlines_ms += self._pending.values()
        if self._rebalance_until_ms is not None:
            deadlines_ms.append(self._rebalance_until_ms)
        return min(deadlines_ms, default=None)

    def awaited(self) -> tuple[str, ...]:
        """The members that a rebalance waits for: whoever can reach them may tell them to join again."""
        if self.state is not State.PREPARING:
            return ()
        return tuple(member.id for member in self._members.values() if member.joining is None)

    def describe(self) -> MembershipView:
        """The group as it stands."""
        return MembershipView(
            name=self.name,
            state=self.state,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=self.leader,
            members=tuple(
                MemberView(
                    member=member.id,
                    instance_id=member.instance_id,
                    client_id=member.ask.client_id,
                    host=member.ask.host,
                    metadata=member.metadata(self.protocol),
                    assignment=member.assignment,
                )
                for member in self._members.values()
            ),
        )

    # ---- whether a request is granted: raises or looks, changes nothing

    def _admit(self, ask: Join) -> _Member | None:
        """The member that joins again, or whose static place a newcomer takes; None for any other newcomer."""
        self._check_alive()
        check_join(ask)
        member = self._joining_again(ask)
        others = [other for other in self._members.values() if other is not member]
        if not self._fits(ask, others):
            raise InconsistentProtocol(self.name)
        newcomer = member is None and ask.member_id not in self._pending
        if newcomer and len(others) + len(self._pending) >= GROUP_MEMBERS_MAX:
            raise Overloaded(f"members of group {self.name!r}", GROUP_MEMBERS_MAX)
        return member

    def _fits(self, ask: Join, others: Sequence[_Member]) -> bool:
        if not ask.protocol_type or not ask.protocols:
            return False
        offered = {name for name, _ in ask.protocols}
        return not others or (ask.protocol_type == self.protocol_type and not offered.isdisjoint(_shared(others)))

    def _joining_again(self, ask: Join) -> _Member | None:
        if ask.member_id:
            newcomer = ask.member_id in self._pending and ask.instance_id is None
            return None if newcomer else self._find(ask.member_id, ask.instance_id)
        return None if ask.instance_id is None else self._members.get(self._instances.get(ask.instance_id, ""))

    def _changes(self, member: _Member, ask: Join) -> bool:
        """Whether a member's new join needs a new generation; if not, its reply got lost or it asks again in vain."""
        if (ask.protocol_type, ask.protocols) != (self.protocol_type, member.ask.protocols):
            return True
        return self.state is State.PREPARING or (self.state is State.STABLE and member.id == self.leader)

    def _admit_sync(self, ask: Sync) -> _Member:
        member = self._find(ask.member_id, ask.instance_id)
        self._check_generation(ask.generation)
        if ask.protocol_type not in {None, self.protocol_type} or ask.protocol not in {None, self.protocol}:
            raise InconsistentProtocol(self.name)
        if self.state is State.PREPARING:
            raise RebalanceInProgress(self.name)
        if self.state is State.COMPLETING and member.id == self.leader:
            for other in self._members:
                check_size("assignments", ask.assignments.get(other, b""))
        return member

    def _find(self, member_id: str, instance_id: str | None) -> _Member:
        self._check_alive()
        if instance_id is not None and self._instances.get(instance_id, member_id) != member_id:
            raise FencedInstance(self.name, instance_id, member_id)
        member = self._members.get(member_id)
        if member is None or (instance_id is not None and instance_id not in self._instances):
            raise UnknownMember(self.name, member_id)
        return member

    def _check_alive(self) -> None:
        if self.state is State.DEAD:
            raise UnknownGroup(self.name)

    def _check_generation(self, generation: int) -> None:
        if generation != self.generation:
            raise StaleGeneration(self.name, generation, self.generation)

    # ---- joining

    def _welcome(self, request: int, ask: Join, now_ms: int) -> list[Reply]:
        """A newcomer becomes a member, or is asked to return with its id."""
        member_id = ask.member_id or self._new_id(ask)
        if not ask.member_id and ask.require_id and ask.instance_id is None:
            self._pending[member_id] = now_ms + ask.session_ms
            return [Failed(request=request, member=member_id, error=MemberIdRequired(self.name, member_id))]
        self._pending.pop(member_id, None)
        member = _Member(member_id, ask.instance_id, ask)
        self._enter(member)
        return self._await_join(member, request, ask, now_ms)

    def _replace(self, old: _Member, request: int, ask: Join, now_ms: int) -> list[Reply]:
        """A newcomer takes over the place of the static member of its instance id, under a new member id."""
        fenced = FencedInstance(self.name, ask.instance_id or "", old.id)
        replies = _refuse(old, old.joining, fenced) + _refuse(old, old.syncing, fenced)
        member = _Member(self._new_id(ask), old.instance_id, ask, newcomer=old.newcomer, assignment=old.assignment)
        unchanged = self._subscriptions(ask) == self._subscriptions(old.ask)
        owed = self._owes_join(self.protocol, old.metadata(self.protocol), old.assignment)
        del self._members[old.id]
        self._enter(member)
        if self.leader == old.id:
            self.leader = member.id
        if self.state is State.STABLE and unchanged and not owed:
            member.heard(now_ms)
            member.sync_until_ms = now_ms + self._rebalance_ms()
            return [*replies, self._joined(member, request, skip_assignment=member.id == self.leader)]
        # The leader may be at work with the old member id: assignments under it would reach nobody.
        return replies + self._await_join(member, request, ask, now_ms)

    def _subscriptions(self, ask: Join) -> list[tuple[str, bytes]]:
        keys = [(name, self._subscription_of(name, data)) for name, data in ask.protocols]
        return [(ask.protocol_type, b""), *keys]

    def _enter(self, member: _Member) -> None:
        self._members[member.id] = member
        if member.instance_id is not None:
            self._instances[member.instance_id] = member.id

    def _new_id(self, ask: Join) -> str:
        member_id = self._make_id(ask.instance_id or ask.client_id)
        if not member_id or member_id in self._members or member_id in self._pending:
            raise InvariantError(f"group {self.name!r}: {member_id!r} is not a new member id")
        return member_id

    def _await_join(self, member: _Member, request: int, ask: Join, now_ms: int) -> list[Reply]:
        """Park a join; starts a rebalance unless there is one, ends it if this was the last one awaited."""
        replies = _refuse(member, member.joining, RebalanceInProgress(self.name))
        member.ask = ask
        if self.state is not State.PREPARING:
            replies += self._prepare(now_ms)
        elif self._initial_until_ms is not None:
            self._rebalance_until_ms = min(now_ms + self._initial_ms(), self._initial_until_ms)
        member.joining = request
        # A newcomer may have lost its connection while it waits, and it would come back under another id.
        member.session_until_ms = now_ms + MEMBER_JOIN_MS_MAX if member.newcomer else None
        self.protocol_type = ask.protocol_type
        return replies + self._complete_if_ready(now_ms)

    # ---- rebalancing

    def _prepare(self, now_ms: int) -> list[Reply]:
        """All members must join again; parked syncs are refused."""
        replies: list[Reply] = []
        for member in self._members.values():
            member.sync_until_ms = None
            if member.syncing is not None:
                replies += _refuse(member, member.syncing, RebalanceInProgress(self.name))
                member.syncing = None
                member.heard(now_ms)
        wait_ms = self._rebalance_ms()
        self._initial_until_ms = None
        if self.state is State.EMPTY and (initial_ms := self._initial_ms()):
            self._initial_until_ms = now_ms + wait_ms
            wait_ms = min(initial_ms, wait_ms)
        self._rebalance_until_ms = now_ms + wait_ms
        self.state = State.PREPARING
        return replies

    def _complete_if_ready(self, now_ms: int) -> list[Reply]:
        """End the rebalance when nobody is awaited any more."""
        if self.state is not State.PREPARING:
            return []
        awaited = self._pending or any(member.joining is None for member in self._members.values())
        if self._members and (awaited or self._initial_until_ms is not None):
            return []
        return self._complete(now_ms)

    def _complete(self, now_ms: int) -> list[Reply]:
        """Begin the next generation with those who joined, and static members that did not."""
        for member in [member for member in self._members.values() if member.joining is None]:
            if member.instance_id is None:
                self._remove(member)
        joined = [(member, member.joining) for member in self._members.values() if member.joining is not None]
        if self._members and not joined:  # nobody to lead: wait for the absent until their sessions end
            self._rebalance_until_ms = now_ms + self._rebalance_ms()
            return []
        self._rebalance_until_ms = self._initial_until_ms = None
        self.generation += 1
        for member in self._members.values():
            member.assignment = b""
        if not joined:
            self.state, self.protocol, self.leader = State.EMPTY, "", ""
            return []
        if self.leader not in {member.id for member, _ in joined}:
            self.leader = joined[0][0].id
        self.state, self.protocol = State.COMPLETING, self._elect_protocol()
        sync_until_ms = now_ms + self._rebalance_ms()
        for member, _ in joined:
            member.joining, member.newcomer = None, False
            member.heard(now_ms)
            member.sync_until_ms = sync_until_ms
        return [self._joined(member, request) for member, request in joined]

    def _elect_protocol(self) -> str:
        """Each member votes for the first of its protocols that all offer; a tie goes to the leader's preference."""
        shared = _shared(self._members.values())
        votes = Counter(
            next(name for name, _ in member.ask.protocols if name in shared) for member in self._members.values()
        )
        return max((name for name, _ in self._members[self.leader].ask.protocols), key=lambda name: votes[name])

    def _share_out(self, assignments: Mapping[str, bytes], now_ms: int) -> list[Reply]:
        self.state = State.STABLE
        replies: list[Reply] = []
        for member in self._members.values():
            member.assignment = assignments.get(member.id, b"")
            if member.syncing is not None:
                replies.append(self._synced(member, member.syncing))
                member.syncing = None
                member.heard(now_ms)
        return replies

    def _remove(self, member: _Member) -> list[Reply]:
        error = UnknownMember(self.name, member.id)
        replies = _refuse(member, member.joining, error) + _refuse(member, member.syncing, error)
        del self._members[member.id]
        if member.instance_id is not None:
            del self._instances[member.instance_id]
        if self.leader == member.id:
            self.leader = ""
        return replies

    def _after_removal(self, now_ms: int) -> list[Reply]:
        replies = [] if self.state is State.PREPARING else self._prepare(now_ms)
        return replies + self._complete_if_ready(now_ms)

    def _initial_ms(self) -> int:
        """How long an empty group waits for more members after each first join."""
        return max((member.ask.initial_ms for member in self._members.values()), default=0) or self._initial_delay_ms

    def _rebalance_ms(self) -> int:
        return max((member.ask.rebalance_ms for member in self._members.values()), default=0)

    # ---- replies

    def _joined(self, member: _Member, request: int, *, skip_assignment: bool = False) -> Reply:
        rows = self._members.values() if member.id == self.leader else ()
        return Joined(
            request=request,
            member=member.id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=self.leader,
            members=tuple(JoinedMember(row.id, row.instance_id, row.metadata(self.protocol)) for row in rows),
            skip_assignment=skip_assignment,
        )

    def _synced(self, member: _Member, request: int) -> Reply:
        return Synced(
            request=request,
            member=member.id,
            generation=self.generation,
            protocol=self.protocol,
            assignment=member.assignment,
        )


def _shared(members: Iterable[_Member]) -> set[str]:
    """The protocols that all of at least one member offer."""
    return set.intersection(*({name for name, _ in member.ask.protocols} for member in members))


def _refuse(member: _Member, request: int | None, error: RequestError) -> list[Reply]:
    """The reply to a parked request, if there is one."""
    return [] if request is None else [Failed(request=request, member=member.id, error=error)]
