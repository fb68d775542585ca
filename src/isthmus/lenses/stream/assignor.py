"""Who reads which partition: the library's own assignment, which a group's leader works out. Pure.

It shares partitions out evenly, leaves them where they are as far as that goes, and takes none from a member that has
not released it; it knows members only by their ids and what they tell of themselves.

Theory of operation
-------------------
Members tell the topics they want and the partitions they own (`encode_subscription`). The leader's `plan` takes the
newest claim to each partition for true, `assign`s, and then withholds from everybody what somebody else still owns.
A member stops taking from what its new assignment lacks, finishes what runs, and joins again without it; the rebalance
that follows gives it to the one it was meant for. So a partition never has two owners, and all others read on.

`assign` leaves what it can where it is, gives each free partition to the member with the fewest, and then evens out:
as long as some member can hand a partition on, directly or through others who hand on one of theirs, to a member that
has at least two fewer, that happens, along the shortest such chain. When no chain is left, no assignment is more even
(Harvey, Ladner, Lovász and Tamir, "Semi-matchings for bipartite graphs and load balancing", 2006). The first round
hands on free partitions only, the second takes from owners what cannot be helped. Therefore:

A1  Every partition of a topic that somebody wants has exactly one owner, who wants the topic.
A2  No other assignment has a smaller sum of squared counts; members that want the same topics differ by one at most.
A3  With everybody wanting the same topics, no even assignment moves fewer partitions.
A4  After the withheld partitions have been released, the same members and topics move nothing more.
A5  The same input gives the same result in every process.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from isthmus.errors import InvalidArgument
from isthmus.limits import MEMBER_METADATA_BYTES_MAX, PARTITIONS_MAX

PROTOCOL_TYPE: Final = "isthmus"
"""What the library's consumers name as their group's protocol type; foreign consumers have another."""

PROTOCOL: Final = "sticky-1"
"""The protocol of this file. One that shares out differently needs a new name: the vote then does the upgrade."""

TopicPartition = tuple[str, int]
"""A topic's name and the index of a partition in it."""

_Index = Annotated[int, Meta(ge=0, lt=PARTITIONS_MAX)]
_Grouped = tuple[tuple[str, tuple[_Index, ...]], ...]


# ---- metadata and assignment as bytes -----------------------------------------------------------------------------


class Subscription(Struct, frozen=True):
    """What a member tells of itself: topics it wants, partitions it owns, and the generation that gave it those."""

    topics: tuple[str, ...]
    owned: tuple[TopicPartition, ...] = ()
    generation: int = -1


class _SubscriptionWire(Struct, frozen=True, array_like=True):
    topics: tuple[str, ...]
    owned: _Grouped = ()
    generation: int = -1


class _AssignmentWire(Struct, frozen=True, array_like=True):
    partitions: _Grouped = ()


_Wire = TypeVar("_Wire", _SubscriptionWire, _AssignmentWire)
_encoder = msgspec.msgpack.Encoder()
_subscriptions = msgspec.msgpack.Decoder(_SubscriptionWire)
_assignments = msgspec.msgpack.Decoder(_AssignmentWire)


def encode_subscription(subscription: Subscription) -> bytes:
    """A member's metadata: a MessagePack array of topics, (topic, partitions) rows, both sorted, and generation."""
    topics = tuple(sorted(set(subscription.topics)))
    return _encoder.encode(_SubscriptionWire(topics, _group(subscription.owned), subscription.generation))


def decode_subscription(metadata: bytes) -> Subscription:
    """The reverse of `encode_subscription`.

    Raises:
        InvalidArgument: the bytes are too many, or not a subscription.
    """
    wire = _decode("metadata", _subscriptions, metadata)
    return Subscription(wire.topics, _flatten(wire.owned), wire.generation)


def encode_assignment(partitions: Collection[TopicPartition]) -> bytes:
    """A member's assignment: a MessagePack array of sorted (topic, partitions) rows."""
    return _encoder.encode(_AssignmentWire(_group(partitions)))


def decode_assignment(assignment: bytes) -> tuple[TopicPartition, ...]:
    """The reverse of `encode_assignment`; no bytes are no partitions, as a leader may name nobody.

    Raises:
        InvalidArgument: the bytes are too many, or not an assignment.
    """
    if not assignment:
        return ()
    return _flatten(_decode("assignment", _assignments, assignment).partitions)


def subscription_of(protocol: str, metadata: bytes) -> bytes:
    """The part of a member's metadata that a restart does not change: its topics; for `Group`'s argument of that name.

    Metadata of another protocol, or that cannot be read, counts as it is.
    """
    if protocol != PROTOCOL:
        return metadata
    try:
        return encode_subscription(Subscription(decode_subscription(metadata).topics))
    except InvalidArgument:
        return metadata


def owes_join(protocol: str, metadata: bytes, assignment: bytes) -> bool:
    """Whether a member with this metadata is to join once more after this assignment, to pass on what it gives up.

    For `Group`'s argument of that name: nobody else has what it gives up before it does, so if it restarts instead, the
    group rebalances for it. Of another protocol, or of bytes that cannot be read, it is not known.
    """
    if protocol != PROTOCOL:
        return False
    try:
        return not set(decode_subscription(metadata).owned) <= set(decode_assignment(assignment))
    except InvalidArgument:
        return False


def _decode(argument: str, decoder: "msgspec.msgpack.Decoder[_Wire]", data: bytes) -> _Wire:
    if len(data) > MEMBER_METADATA_BYTES_MAX:
        raise InvalidArgument(argument, f"{len(data)} bytes, at most {MEMBER_METADATA_BYTES_MAX} are read")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(argument, f"not of protocol {PROTOCOL}: {error}") from None


def _group(partitions: Iterable[TopicPartition]) -> _Grouped:
    rows: dict[str, list[int]] = {}
    for topic, index in sorted(set(partitions)):
        rows.setdefault(topic, []).append(index)
    return tuple((topic, tuple(indexes)) for topic, indexes in rows.items())


def _flatten(rows: _Grouped) -> tuple[TopicPartition, ...]:
    return tuple((topic, index) for topic, indexes in rows for index in indexes)


# ---- the leader's work --------------------------------------------------------------------------------------------


def plan(metadata: Mapping[str, bytes], partitions: Mapping[str, int]) -> dict[str, bytes]:
    """The assignments that a leader syncs.

    Args:
        metadata: each member's, by member id, as the leader's `Joined.members` has them.
        partitions: how many partitions each topic has; topics that are not there have none yet.

    Raises:
        InvalidArgument: a member's metadata cannot be read.
    """
    subscriptions = {member: decode_subscription(data) for member, data in metadata.items()}
    owners = owners_of(subscriptions)
    previous: dict[str, list[TopicPartition]] = {}
    for partition, owner in owners.items():
        previous.setdefault(owner, []).append(partition)
    wanted = {member: subscription.topics for member, subscription in subscriptions.items()}
    shares = assign(wanted, partitions, previous)
    return {
        member: encode_assignment([partition for partition in share if owners.get(partition, member) == member])
        for member, share in shares.items()
    }


def owners_of(subscriptions: Mapping[str, Subscription]) -> dict[TopicPartition, str]:
    """Who owns what: of several claims to a partition the newest generation's is true, the others are left-overs."""
    owners: dict[TopicPartition, str] = {}
    for member in sorted(subscriptions, key=lambda member: (-subscriptions[member].generation, member)):
        for partition in subscriptions[member].owned:
            owners.setdefault(partition, member)
    return owners


def assign(
    members: Mapping[str, Sequence[str]],
    partitions: Mapping[str, int],
    previous: Mapping[str, Collection[TopicPartition]],
) -> dict[str, list[TopicPartition]]:
    """Share partitions out, evenly and with few moves (A1-A3, A5).

    Args:
        members: the topics that each member wants, by member id.
        partitions: how many partitions each topic has; topics that are not there have none yet.
        previous: what each member had; of several that had the same, the first by id keeps it.

    Returns:
        The partitions of each member, sorted; a member that gets none has an empty list.
    """
    shares = _Shares(members, partitions, previous)
    shares.level([shares.moved])
    shares.level([shares.moved, shares.kept])
    return shares.result()


_Pool = dict[str, dict[str, list[int]]]
"""Partitions by member and topic; no list is empty."""

_Step = tuple[str, str, str]
"""Who hands on a partition, of which topic, to whom."""


class _Shares:
    """An assignment in the making: `kept` partitions are where they were, `moved` ones have a new owner."""

    def __init__(
        self,
        members: Mapping[str, Sequence[str]],
        partitions: Mapping[str, int],
        previous: Mapping[str, Collection[TopicPartition]],
    ) -> None:
        self.kept: _Pool = {member: {} for member in sorted(members)}
        self.moved: _Pool = {member: {} for member in self.kept}
        self._counts = dict.fromkeys(self.kept, 0)
        # Members that want the same can take the same: a search looks at each such set once.
        self._sets: dict[frozenset[str], list[str]] = {}
        free = {topic: set(range(count)) for topic, count in partitions.items()}
        for member in self.kept:
            wanted = frozenset(members[member])
            self._sets.setdefault(wanted, []).append(member)
            for topic, index in sorted(previous.get(member, ())):
                if topic in wanted and index in free.get(topic, ()):
                    free[topic].remove(index)
                    self._give(self.kept, member, topic, index)
        self._fill(free)

    def _fill(self, free: Mapping[str, set[int]]) -> None:
        """Give what nobody has to the member with the fewest, topics with few takers first."""
        takers = {topic: self._takers(topic) for topic in free}
        for topic in sorted(free, key=lambda topic: (len(takers[topic]), topic)):
            if not takers[topic]:
                continue
            heap = [(self._counts[member], member) for member in takers[topic]]
            heapq.heapify(heap)
            for index in sorted(free[topic]):
                member = heap[0][1]
                self._give(self.moved, member, topic, index)
                heapq.heapreplace(heap, (self._counts[member], member))

    def _takers(self, topic: str) -> list[str]:
        return [member for topics, members in self._sets.items() if topic in topics for member in members]

    def level(self, pools: Sequence[_Pool]) -> None:
        """Hand partitions of these pools on, of the first one first, until no chain makes counts more even."""
        changed = True
        while changed:
            changed = False
            heap = [(-count, member) for member, count in self._counts.items()]
            heapq.heapify(heap)
            while heap:
                start = heapq.heappop(heap)[1]
                chain = self._chain(start, pools)
                if chain:
                    self._hand_on(chain, pools)
                    changed = True
                    heapq.heappush(heap, (-self._counts[start], start))

    def _chain(self, start: str, pools: Sequence[_Pool]) -> list[_Step]:
        """The shortest way from a member to one that has at least two fewer; empty when there is none."""
        came: dict[str, _Step] = {}
        unseen = dict(self._sets)
        layer = [start]
        while layer and unseen:
            layer = _next_layer(layer, start, unseen, came, pools)
            end = min(layer, key=self._counts.__getitem__, default=start)
            if self._counts[end] + 2 <= self._counts[start]:
                return _trace(came, start, end)
        return []

    def _hand_on(self, chain: Sequence[_Step], pools: Sequence[_Pool]) -> None:
        for giver, topic, taker in chain:
            pool = next(pool for pool in pools if topic in pool[giver])
            # The last in are the first out: what a member had is what it keeps.
            index = pool[giver][topic].pop()
            if not pool[giver][topic]:
                del pool[giver][topic]
            self._counts[giver] -= 1
            self._give(self.moved, taker, topic, index)

    def _give(self, pool: _Pool, member: str, topic: str, index: int) -> None:
        pool[member].setdefault(topic, []).append(index)
        self._counts[member] += 1

    def result(self) -> dict[str, list[TopicPartition]]:
        """Each member's partitions, sorted."""
        return {
            member: sorted(
                (topic, index)
                for pool in (self.kept, self.moved)
                for topic, indexes in pool[member].items()
                for index in indexes
            )
            for member in self.kept
        }


def _topic_of(member: str, topics: frozenset[str], pools: Sequence[_Pool]) -> str | None:
    """A topic among these of which the member has a partition to hand on."""
    return next((topic for pool in pools for topic in pool[member] if topic in topics), None)


def _next_layer(
    layer: Sequence[str],
    start: str,
    unseen: dict[frozenset[str], list[str]],
    came: dict[str, _Step],
    pools: Sequence[_Pool],
) -> list[str]:
    """Members whom these can hand something, and who were not reached before; notes in `came` how, and by what."""
    reached = []
    for giver in layer:
        for topics in list(unseen):
            topic = _topic_of(giver, topics, pools)
            if topic is None:
                continue
            takers = [taker for taker in unseen.pop(topics) if taker != start]
            came.update((taker, (giver, topic, taker)) for taker in takers)
            reached += takers
    return reached


def _trace(came: Mapping[str, _Step], start: str, end: str) -> list[_Step]:
    steps: list[_Step] = []
    while end != start:
        steps.append(came[end])
        end = came[end][0]
    return steps[::-1]
