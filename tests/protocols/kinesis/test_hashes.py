"""Ranges of hash keys: even ones, cut ones and joined ones."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis.hashes import END, even, hash_of, merge, parse, split


@given(st.integers(1, 1_024))
def test_even_ranges_cover_all_keys_without_a_gap(count: int) -> None:
    ranges = even(count)

    assert (ranges[0][0], ranges[-1][1]) == (0, END - 1)
    assert all(one[1] + 1 == other[0] for one, other in itertools.pairwise(ranges))


@given(st.integers(0, END - 2), st.data())
def test_what_is_split_can_be_merged(low: int, data: st.DataObject) -> None:
    high = data.draw(st.integers(low + 1, END - 1))
    at = data.draw(st.integers(low + 1, high))

    one, other = split((low, high), at)

    assert merge(other, one) == (low, high)


@pytest.mark.parametrize("at", [0, 5, 21])
def test_a_range_is_split_strictly_inside(at: int) -> None:
    with pytest.raises(AwsError, match="NewStartingHashKey"):
        split((5, 20), at)


def test_ranges_that_do_not_touch_are_not_merged() -> None:
    assert merge((0, 4), (6, 9)) is None
    assert merge((0, 4), (4, 9)) is None


def test_a_hash_key_is_the_md5_of_the_partition_key() -> None:
    assert hash_of("a") == 0x0CC175B9C0F1B6A831C399E269772661
    assert parse(str(END - 1), "ExplicitHashKey") == END - 1


@pytest.mark.parametrize("text", ["", "-1", "x", "٣", str(END), "9" * 5_000])
def test_what_is_no_hash_key_is_told(text: str) -> None:
    with pytest.raises(AwsError, match="must be in the range"):
        parse(text, "ExplicitHashKey")
