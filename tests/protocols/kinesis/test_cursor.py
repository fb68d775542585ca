"""Sequence numbers and iterators, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis.cursor import Place, decode, encode, offset_of, sequence, shard_id, shard_index

SHARDS = st.integers(0, 1_023)
TIMES = st.integers(0, 2**40)
OFFSETS = st.integers(-1, 2**62)


@given(SHARDS, TIMES, OFFSETS)
def test_a_sequence_number_tells_the_offset(shard: int, created_ms: int, offset: int) -> None:
    number = sequence(shard, created_ms, offset)

    assert offset_of(number, shard, created_ms) == offset
    assert len(number) == 56


@given(SHARDS, TIMES, OFFSETS, OFFSETS)
def test_sequence_numbers_rise_with_offsets(shard: int, created_ms: int, one: int, other: int) -> None:
    numbers = [int(sequence(shard, created_ms, offset)) for offset in (one, other)]

    assert (numbers[0] < numbers[1]) == (one < other)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0", "1" * 60, "1" * 5_000, sequence(1, 5_000, 3), sequence(0, 9_000, 3)]
)
def test_what_is_no_sequence_number_of_the_shard_is_told(text: str) -> None:
    with pytest.raises(AwsError, match="StartingSequenceNumber"):
        offset_of(text, 0, 5_000)


@given(st.builds(Place, st.integers(0, 2**63), SHARDS, st.integers(0, 2**62), TIMES))
def test_an_iterator_tells_what_it_was_made_of(place: Place) -> None:
    assert decode(encode(place), place.made_ms) == place


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é" * 40, "A" * 5_000, encode(Place(1, 2, 3, 4))[:-4] + "AAAA"])
def test_what_is_no_iterator_is_told(text: str) -> None:
    with pytest.raises(AwsError, match="Invalid ShardIterator"):
        decode(text, 0)


def test_an_iterator_expires_after_five_minutes() -> None:
    iterator = encode(Place(1, 2, 3, 1_000))

    assert decode(iterator, 301_000).offset == 3
    with pytest.raises(AwsError, match="created at time 1000 while right now it is 301001"):
        decode(iterator, 301_001)


def test_shards_have_names_with_twelve_digits() -> None:
    assert shard_id(7) == "shardId-000000000007"
    assert shard_index("shardId-000000000007") == 7
    assert shard_index("shardId-7") is None
