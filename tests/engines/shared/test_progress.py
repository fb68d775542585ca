"""A position in the metadata of a committed offset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.engines.shared.progress import METADATA_BYTES_MAX, PREFIX, decode, encode
from isthmus.lenses.stream.position import Progress

SIZES = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), max_size=40)


@given(st.integers(0, 2**40), SIZES, st.lists(st.integers(0, 9_000), unique=True, max_size=40))
def test_what_was_written_is_read_again(floor: int, gaps: list[tuple[int, int]], failed: list[int]) -> None:
    at, done = floor, []
    for gap, size in gaps:
        done.append((at + gap, at + gap + size))
        at += gap + size
    progress = Progress(floor, tuple(done), tuple((floor + each, 1, 5) for each in sorted(failed)))

    assert decode(floor, encode(progress)) == progress


def test_a_floor_that_says_all_needs_no_metadata() -> None:
    assert encode(Progress(7, (), ())) == ""
    assert decode(7, "") == decode(7, None) == Progress(7, (), ())


def test_what_is_too_long_loses_its_end() -> None:
    progress = Progress(0, tuple((2 * at + 1, 2 * at + 2) for at in range(5_000)), ())

    text = encode(progress)

    assert len(text) <= METADATA_BYTES_MAX
    kept = decode(0, text).done
    assert kept == progress.done[: len(kept)]
    assert len(kept) > 100


@pytest.mark.parametrize("text", ["somebody else's", PREFIX, f"{PREFIX}!!!", f"{PREFIX}wAA=", f"{PREFIX}kpGS//+QkA=="])
def test_metadata_that_cannot_be_read_means_nothing(text: str) -> None:
    assert decode(3, text) == Progress(3, (), ())
