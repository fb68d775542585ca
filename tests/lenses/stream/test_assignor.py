"""The library's assignor against searches through all assignments, and its bytes."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvalidArgument
from isthmus.lenses.stream.assignor import (
    PROTOCOL,
    Subscription,
    TopicPartition,
    assign,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
    owes_join,
    owners_of,
    plan,
    subscription_of,
)
from isthmus.limits import MEMBER_METADATA_BYTES_MAX, PARTITIONS_MAX

TOPICS: Final = ("delays", "flights", "weather")
MEMBERS: Final = ("anna", "bert", "cleo", "dora")

Wanted = dict[str, tuple[str, ...]]
Shares = Mapping[str, Collection[TopicPartition]]

some_topics = st.lists(st.sampled_from(TOPICS), unique=True).map(tuple)
counts = st.dictionaries(st.sampled_from(TOPICS), st.integers(0, 3), max_size=3)
wanted = st.dictionaries(st.sampled_from(MEMBERS), some_topics, min_size=1, max_size=3)
same_wanted = st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=3, unique=True).map(
    lambda members: dict.fromkeys(members, TOPICS)
)
partition = st.tuples(st.sampled_from(TOPICS), st.integers(0, 3))
held = st.dictionaries(partition, st.sampled_from(MEMBERS))


def by_member(owners: Mapping[TopicPartition, str]) -> dict[str, list[TopicPartition]]:
    shares: dict[str, list[TopicPartition]] = {}
    for owned, member in owners.items():
        shares.setdefault(member, []).append(owned)
    return shares


def owned_once(shares: Shares) -> dict[TopicPartition, str]:
    owners = {owned: member for member, share in shares.items() for owned in share}
    assert len(owners) == sum(len(share) for share in shares.values()), "a partition has two owners"
    return owners


def unevenness(shares: Shares) -> int:
    return sum(len(share) ** 2 for share in shares.values())


def moves(previous: Shares, shares: Shares) -> int:
    """Partitions that somebody who is still there had and has no more."""
    return sum(len(set(previous.get(member, ())) - set(share)) for member, share in shares.items())


def all_assignments(members: Wanted, partitions: Mapping[str, int]) -> list[dict[str, list[TopicPartition]]]:
    takers = {
        (topic, index): [member for member, topics in members.items() if topic in topics]
        for topic, count in partitions.items()
        for index in range(count)
    }
    takers = {owned: names for owned, names in takers.items() if names}
    choices = itertools.product(*takers.values())
    nothing: dict[str, list[TopicPartition]] = {member: [] for member in members}
    return [nothing | by_member(dict(zip(takers, choice, strict=True))) for choice in choices]


class TestExamples:
    def test_partitions_are_shared_out_evenly(self) -> None:
        shares = assign({"a": ["t"], "b": ["t"]}, {"t": 3}, {})

        assert shares == {"a": [("t", 0), ("t", 2)], "b": [("t", 1)]}

    def test_a_newcomer_takes_no_more_than_its_share(self) -> None:
        previous = {"a": [("t", 0), ("t", 1)], "b": [("t", 2), ("t", 3)]}

        shares = assign(dict.fromkeys("abc", ("t",)), {"t": 4}, previous)

        assert moves(previous, shares) == 1
        assert [len(shares[member]) for member in "abc"] == [1, 2, 1]

    def test_what_a_lost_member_had_goes_to_the_others(self) -> None:
        previous = {"a": [("t", 0)], "b": [("t", 1)], "c": [("t", 2)]}

        shares = assign(dict.fromkeys("ab", ("t",)), {"t": 3}, previous)

        assert moves(previous, shares) == 0
        assert sorted(len(share) for share in shares.values()) == [1, 2]

    def test_a_partition_goes_through_a_third_member_where_there_is_no_other_way(self) -> None:
        previous = {"a": [("x", 0), ("x", 1)], "b": [("y", 0)]}
        members = {"a": ["x"], "b": ["x", "y"], "c": ["y"]}

        shares = assign(members, {"x": 2, "y": 1}, previous)

        assert shares == {"a": [("x", 0)], "b": [("x", 1)], "c": [("y", 0)]}

    def test_who_has_most_gives_first(self) -> None:
        previous = {"a": [("t", 0), ("t", 1), ("t", 2), ("t", 3)], "b": [("t", 4), ("t", 5)]}

        shares = assign(dict.fromkeys("abc", ("t",)), {"t": 6}, previous)

        assert moves(previous, shares) == 2

    def test_what_was_free_is_handed_on_before_what_somebody_had(self) -> None:
        previous = {"c": [("w", 0)], "b": [("x", 0)]}

        shares = assign({"b": ["x"], "c": ["w", "x"], "d": ["w"]}, {"w": 1, "x": 2}, previous)

        assert moves(previous, shares) == 1

    def test_who_wants_nothing_and_what_nobody_wants_stay_apart(self) -> None:
        assert assign({"a": []}, {"t": 2}, {"a": [("t", 0)]}) == {"a": []}

    def test_partitions_that_are_gone_are_forgotten(self) -> None:
        assert assign({"a": ["t", "u"]}, {"t": 1}, {"a": [("t", 0), ("t", 1), ("u", 0)]}) == {"a": [("t", 0)]}

    def test_of_two_that_had_the_same_the_first_keeps_it(self) -> None:
        shares = assign(dict.fromkeys("ab", ("t",)), {"t": 2}, {"a": [("t", 1)], "b": [("t", 1)]})

        assert shares == {"a": [("t", 1)], "b": [("t", 0)]}


class TestInvariants:
    @given(wanted, counts, held)
    def test_a1_every_wanted_partition_has_one_owner_that_wants_it(
        self, members: Wanted, partitions: dict[str, int], owners: dict[TopicPartition, str]
    ) -> None:
        shares = assign(members, partitions, by_member(owners))

        everybody = {topic for topics in members.values() for topic in topics}
        assert set(shares) == set(members)
        assert all(topic in members[member] for (topic, _), member in owned_once(shares).items())
        assert set(owned_once(shares)) == {
            (topic, index) for topic, count in partitions.items() if topic in everybody for index in range(count)
        }

    @given(wanted, counts, held)
    def test_a2_no_other_assignment_is_more_even(
        self, members: Wanted, partitions: dict[str, int], owners: dict[TopicPartition, str]
    ) -> None:
        partitions = dict(list(partitions.items())[:2])

        shares = assign(members, partitions, by_member(owners))

        assert unevenness(shares) == min(map(unevenness, all_assignments(members, partitions)))

    @given(same_wanted, counts, held)
    def test_a3_no_even_assignment_moves_fewer_when_all_want_the_same(
        self, members: Wanted, partitions: dict[str, int], owners: dict[TopicPartition, str]
    ) -> None:
        partitions = dict(list(partitions.items())[:2])
        there = {owned: member for owned, member in owners.items() if owned[1] < partitions.get(owned[0], 0)}
        previous = by_member(there)

        shares = assign(members, partitions, previous)

        even = [other for other in all_assignments(members, partitions) if unevenness(other) == unevenness(shares)]
        assert moves(previous, shares) == min(moves(previous, other) for other in even)

    @given(
        st.dictionaries(st.sampled_from("abcdefgh"), some_topics, min_size=1),
        st.dictionaries(st.sampled_from(TOPICS), st.integers(0, 12)),
        st.dictionaries(st.tuples(st.sampled_from(TOPICS), st.integers(0, 12)), st.sampled_from("abcdefgh")),
    )
    def test_a4_a_second_round_gives_what_was_withheld_and_moves_nothing(
        self, members: Wanted, partitions: dict[str, int], owners: dict[TopicPartition, str]
    ) -> None:
        first = round_of(members, partitions, by_member(owners))
        second = round_of(members, partitions, first)

        assert moves(first, second) == 0
        assert round_of(members, partitions, second) == second
        assert unevenness(second) == unevenness(assign(members, partitions, by_member(owners)))

    @given(wanted, counts, held)
    def test_a5_the_order_of_the_input_does_not_matter(
        self, members: Wanted, partitions: dict[str, int], owners: dict[TopicPartition, str]
    ) -> None:
        turned = assign(
            {member: members[member][::-1] for member in reversed(members)},
            dict(reversed(partitions.items())),
            {member: share[::-1] for member, share in reversed(by_member(owners).items())},
        )

        assert turned == assign(members, partitions, by_member(owners))


def round_of(members: Wanted, partitions: Mapping[str, int], owned: Shares) -> dict[str, set[TopicPartition]]:
    """One rebalance: what each member is given, by way of the bytes."""
    metadata = {
        member: encode_subscription(Subscription(topics, tuple(owned.get(member, ())), 1))
        for member, topics in members.items()
    }
    return {member: set(decode_assignment(data)) for member, data in plan(metadata, partitions).items()}


class TestPlan:
    def test_what_somebody_owns_is_withheld_until_it_is_released(self) -> None:
        members: Wanted = {"a": ("t",), "b": ("t",)}

        first = round_of(members, {"t": 2}, {"a": [("t", 0), ("t", 1)]})
        second = round_of(members, {"t": 2}, first)

        assert first == {"a": {("t", 0)}, "b": set()}
        assert second == {"a": {("t", 0)}, "b": {("t", 1)}}

    def test_what_was_withheld_is_given_without_moving_anything_else(self) -> None:
        members: Wanted = {"a": ("x", "y"), "b": (), "c": ("w", "x"), "d": ("w", "y")}
        partitions = {"w": 1, "x": 2, "y": 3}

        first = round_of(members, partitions, {"b": [("w", 0)], "c": [("y", 0), ("y", 1), ("y", 2)]})
        second = round_of(members, partitions, first)

        assert moves(first, second) == 0
        assert len(owned_once(second)) == 6

    def test_a_claim_of_an_older_generation_does_not_count(self) -> None:
        metadata = {
            "a": encode_subscription(Subscription(("t",), (("t", 0), ("t", 1)), generation=3)),
            "b": encode_subscription(Subscription(("t",), (("t", 1),), generation=4)),
        }

        shares = {member: decode_assignment(data) for member, data in plan(metadata, {"t": 2}).items()}

        assert shares == {"a": (("t", 0),), "b": (("t", 1),)}

    def test_of_claims_of_one_generation_the_first_member_s_counts(self) -> None:
        claim = Subscription(("t",), (("t", 0),), generation=3)

        assert owners_of({"b": claim, "a": claim}) == {("t", 0): "a"}

    def test_what_is_owned_but_no_longer_wanted_is_withheld_too(self) -> None:
        assert round_of({"a": (), "b": ("t",)}, {"t": 1}, {"a": [("t", 0)]}) == {"a": set(), "b": set()}

    def test_metadata_that_cannot_be_read_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="metadata"):
            plan({"a": b"\xff"}, {})


class TestBytes:
    @given(some_topics, st.sets(partition), st.integers(-1, 2**31 - 1))
    def test_a_subscription_comes_back(
        self, topics: tuple[str, ...], owned: set[TopicPartition], generation: int
    ) -> None:
        data = encode_subscription(Subscription(topics, tuple(owned), generation))

        assert decode_subscription(data) == Subscription(tuple(sorted(topics)), tuple(sorted(owned)), generation)

    @given(st.sets(partition))
    def test_an_assignment_comes_back(self, owned: set[TopicPartition]) -> None:
        assert decode_assignment(encode_assignment(owned)) == tuple(sorted(owned))

    def test_an_empty_assignment_is_no_partitions(self) -> None:
        assert decode_assignment(b"") == ()

    def test_the_bytes_are_plain_messagepack(self) -> None:
        data = encode_subscription(Subscription(("t", "a"), (("t", 1), ("t", 0)), 7))

        assert msgspec.msgpack.decode(data) == [["a", "t"], [["t", [0, 1]]], 7]

    def test_fields_of_a_later_version_are_passed_over(self) -> None:
        data = msgspec.msgpack.encode([["t"], [], 7, "later"])

        assert decode_subscription(data) == Subscription(("t",), (), 7)

    def test_fields_that_an_earlier_version_lacked_have_defaults(self) -> None:
        assert decode_subscription(msgspec.msgpack.encode([["t"]])) == Subscription(("t",))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff",
            b"\x90",
            msgspec.msgpack.encode([["t"], [["t", [-1]]]]),
            msgspec.msgpack.encode([["t"], [["t", [PARTITIONS_MAX]]]]),
            b"\x91\x91\xa1\xff",
            b"\x91" * 10_000,
            b"\x91" + b"\xc0" * MEMBER_METADATA_BYTES_MAX,
        ],
    )
    def test_bytes_that_are_no_subscription_are_refused(self, data: bytes) -> None:
        with pytest.raises(InvalidArgument, match="metadata"):
            decode_subscription(data)

    def test_bytes_that_are_no_assignment_are_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="assignment"):
            decode_assignment(b"\xff")

    @given(st.binary(max_size=64))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for decode in (decode_subscription, decode_assignment):
            try:
                decode(data)
            except InvalidArgument as refused:
                assert refused.argument in {"metadata", "assignment"}  # noqa: PT017 - not being refused is fine too

    @given(st.binary(max_size=16), st.integers(0, 30))
    def test_damaged_bytes_are_read_or_refused(self, noise: bytes, at: int) -> None:
        data = encode_subscription(Subscription(("flights", "weather"), (("flights", 3),), 12))

        key = subscription_of(PROTOCOL, data[:at] + noise + data[at + len(noise) :])

        assert isinstance(key, bytes)


class TestSubscriptionOf:
    def test_only_the_topics_count(self) -> None:
        before = encode_subscription(Subscription(("t", "u"), (("t", 1),), 7))
        after = encode_subscription(Subscription(("u", "t")))

        assert subscription_of(PROTOCOL, before) == subscription_of(PROTOCOL, after)
        assert subscription_of(PROTOCOL, encode_subscription(Subscription(("t",)))) != subscription_of(PROTOCOL, after)

    def test_what_cannot_be_read_counts_whole(self) -> None:
        data = encode_subscription(Subscription(("t",)))

        assert subscription_of("range", data + b"more") == data + b"more"
        assert subscription_of(PROTOCOL, b"\xff") == b"\xff"


class TestOwesJoin:
    def test_who_gives_something_up_joins_again(self) -> None:
        had = encode_subscription(Subscription(("t",), (("t", 0), ("t", 1)), 7))

        assert owes_join(PROTOCOL, had, encode_assignment([("t", 0)]))
        assert not owes_join(PROTOCOL, had, encode_assignment([("t", 0), ("t", 1), ("t", 2)]))

    def test_what_cannot_be_read_owes_nothing(self) -> None:
        had = encode_subscription(Subscription(("t",), (("t", 0),), 7))

        assert not owes_join("range", had, b"")
        assert not owes_join(PROTOCOL, b"\xff", b"")
        assert not owes_join(PROTOCOL, had, b"\xff")


def test_a_large_group_is_shared_out_evenly() -> None:
    members: dict[str, Sequence[str]] = {f"m{number:03}": TOPICS for number in range(200)}

    shares = assign(members, dict.fromkeys(TOPICS, 300), {"m000": [(topic, i) for topic in TOPICS for i in range(300)]})

    assert {len(share) for share in shares.values()} == {4, 5}
    assert len(owned_once(shares)) == 900
