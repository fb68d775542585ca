"""Bytes by offset: sums of batches that are exact at their ends, and forgotten below the floor."""

from hypothesis import given
from hypothesis import strategies as st

from isthmus.lenses.queue.sizes import Sizes


def test_between_ends_of_batches_the_bytes_are_exact_and_inside_in_proportion() -> None:
    sizes = Sizes(10)
    sizes.add(14, 400)
    sizes.add(15, 7)

    assert sizes.end == 15
    assert [sizes.between(10, 15), sizes.between(14, 15), sizes.between(11, 13)] == [407, 7, 200]


def test_nothing_is_known_outside() -> None:
    sizes = Sizes(10)
    sizes.add(14, 400)

    assert [sizes.between(0, 10), sizes.between(14, 99), sizes.between(0, 99), sizes.between(12, 12)] == [0, 0, 400, 0]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 1_000)), max_size=60), st.integers(0, 300))
def test_forgetting_changes_nothing_above(batches: list[tuple[int, int]], floor: int) -> None:
    sizes, twin = Sizes(0), Sizes(0)
    for count, size in batches:
        sizes.add(sizes.end + count, size)
        twin.add(twin.end + count, size)

    twin.forget(min(floor, twin.end))

    assert twin.between(floor, twin.end) == sizes.between(floor, sizes.end)


def test_what_is_settled_is_forgotten() -> None:
    sizes = Sizes(0)
    for number in range(10_000):
        sizes.add(number + 1, 1)

    sizes.forget(9_000)

    assert len(sizes) == 1_000
    assert sizes.between(9_000, 10_000) == 1_000
