"""When groups were appended: late rather than early, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.limits import SEGMENT_TIMES_MAX
from isthmus.log.times import RESOLUTION_MS, Times

GROUPS = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 3 * RESOLUTION_MS)), min_size=1, max_size=60)
"""Steps in LSN and in time."""


def filled(steps: list[tuple[int, int]]) -> tuple[Times, list[tuple[int, int]]]:
    times, rows, lsn, now_ms = Times(), list[tuple[int, int]](), 0, 1_000
    for lsn_step, time_step in steps:
        lsn, now_ms = lsn + lsn_step, now_ms + time_step
        times.add(lsn, now_ms)
        rows.append((lsn, now_ms))
    return times, rows


@given(GROUPS)
def test_a_group_is_never_taken_for_older_than_it_is(steps: list[tuple[int, int]]) -> None:
    times, rows = filled(steps)

    assert all(times.appended_by(lsn) >= time_ms for lsn, time_ms in rows)


@given(GROUPS)
def test_the_answer_is_late_by_less_than_the_resolution(steps: list[tuple[int, int]]) -> None:
    times, rows = filled(steps)

    assert all(times.appended_by(lsn) < time_ms + RESOLUTION_MS for lsn, time_ms in rows)


def test_a_long_silence_makes_nothing_younger() -> None:
    times, _ = filled([(8, 0), (8, 5), (8, 1_000_000)])

    assert times.appended_by(16) == 1_005
    assert times.appended_by(24) == 1_001_005


def test_groups_within_the_resolution_share_a_row() -> None:
    times, _ = filled([(1, 0), (1, RESOLUTION_MS - 1), (1, 1)])

    assert len(times) == 2


def test_what_lies_before_the_first_group_was_appended_with_it() -> None:
    times, _ = filled([(64, 0)])

    assert times.appended_by(0) == 1_000


def test_nothing_was_appended_yet() -> None:
    assert Times().appended_by(5) == 0


@pytest.mark.parametrize("silence_ms", [0, 10**9])
def test_memory_is_bounded_at_the_price_of_resolution(silence_ms: int) -> None:
    steps = [(8, RESOLUTION_MS)] * (3 * SEGMENT_TIMES_MAX)
    steps[SEGMENT_TIMES_MAX] = (8, silence_ms)
    times, rows = filled(steps)

    assert len(times) <= SEGMENT_TIMES_MAX
    for lsn, time_ms in rows:
        assert time_ms <= times.appended_by(lsn) < time_ms + 16 * RESOLUTION_MS


def test_rows_that_are_far_apart_are_joined_in_the_end() -> None:
    times, rows = filled([(8, 1_000 * RESOLUTION_MS)] * (SEGMENT_TIMES_MAX + 1))

    assert len(times) <= SEGMENT_TIMES_MAX // 2
    assert all(times.appended_by(lsn) >= time_ms for lsn, time_ms in rows)
