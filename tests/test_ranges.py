"""Sets of offsets, held against Python's own sets."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from isthmus.ranges import RangeSet, ranges_of

SMALL = st.integers(0, 40)
OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "discard"]), SMALL, SMALL), max_size=30)


def members(ranges: RangeSet) -> set[int]:
    return {offset for start, end in ranges for offset in range(start, end)}


def built(operations: list[tuple[str, int, int]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for operation, start, end in operations:
        getattr(ranges, operation)(start, end)
        span = set(range(start, end))
        model = model | span if operation == "add" else model - span
    return ranges, model


def assert_in_shape(ranges: RangeSet) -> None:
    """Rising, disjoint, not even touching, none of them empty."""
    rows = list(ranges)
    assert all(start < end for start, end in rows)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(rows))


class TestAgainstASet:
    @given(OPERATIONS)
    def test_adding_and_discarding_is_that_of_a_set(self, operations: list[tuple[str, int, int]]) -> None:
        ranges, model = built(operations)

        assert members(ranges) == model
        assert_in_shape(ranges)
        assert (len(ranges), bool(ranges)) == (len(model), bool(model))
        assert ranges.runs == len(list(ranges))
        assert all(
            ranges.covers(start, end) == (set(range(start, end)) <= model) for start in range(42) for end in range(42)
        )
        assert ranges.end == max(model, default=-1) + 1
        assert [offset for offset in range(42) if offset in ranges] == sorted(model)

    @given(OPERATIONS, SMALL, SMALL)
    def test_gaps_are_what_is_missing(self, operations: list[tuple[str, int, int]], start: int, end: int) -> None:
        ranges, model = built(operations)

        gaps = list(ranges.gaps(start, end))

        assert {offset for low, high in gaps for offset in range(low, high)} == set(range(start, end)) - model
        assert_in_shape(RangeSet(gaps))
        assert RangeSet(gaps).runs == len(gaps)

    @given(OPERATIONS, SMALL)
    def test_a_floor_absorbs_what_it_reaches(self, operations: list[tuple[str, int, int]], floor: int) -> None:
        ranges, model = built(operations)
        expected = floor
        while expected in model:
            expected += 1

        moved = ranges.absorb(floor)

        assert moved == expected
        assert members(ranges) == {offset for offset in model if offset > expected}

    @given(OPERATIONS)
    def test_ranges_rebuild_the_set(self, operations: list[tuple[str, int, int]]) -> None:
        ranges, _ = built(operations)

        assert RangeSet(ranges) == ranges
        assert RangeSet(reversed(list(ranges))) == ranges

    @given(st.lists(SMALL))
    def test_offsets_in_any_order_and_more_than_once_give_the_shortest_ranges(self, offsets: list[int]) -> None:
        found = ranges_of(offsets)

        assert members(RangeSet(found)) == set(offsets)
        assert list(RangeSet(found)) == found


def test_ranges_that_touch_become_one() -> None:
    ranges = RangeSet([(0, 3), (6, 9)])

    ranges.add(3, 6)

    assert list(ranges) == [(0, 9)]


def test_a_range_that_is_empty_or_backwards_changes_nothing() -> None:
    ranges = RangeSet([(2, 4)])

    ranges.add(7, 7)
    ranges.add(9, 8)
    ranges.discard(3, 3)
    ranges.discard(4, 2)

    assert list(ranges) == [(2, 4)]


def test_a_copy_lives_its_own_life() -> None:
    ranges = RangeSet([(0, 3)])

    twin = ranges.copy()
    twin.add(10, 11)
    ranges.discard(0, 1)

    assert (list(ranges), list(twin)) == ([(1, 3)], [(0, 3), (10, 11)])


def test_a_set_is_equal_to_one_of_the_same_members_only() -> None:
    assert RangeSet([(0, 2), (2, 4)]) == RangeSet([(0, 4)])
    assert RangeSet([(0, 4)]) != RangeSet([(0, 3)])
    assert RangeSet([(0, 4)]) != [(0, 4)]
