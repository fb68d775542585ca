"""When groups were appended: late rather than early, in bounded memory."""

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
def test_the_answer_is_at_most_one_row_late(steps: list[tuple[int, int]]) -> None:
    times, rows = filled(steps)
    later = [time_ms for _, time_ms in rows]

    for number, (lsn, time_ms) in enumerate(rows):
        apart = [each for each in later[number:] if each >= time_ms + RESOLUTION_MS]
        assert times.appended_by(lsn) <= (apart[0] if apart else times.end_ms)


def test_groups_within_the_resolution_share_a_row() -> None:
    times, _ = filled([(1, 0), (1, RESOLUTION_MS - 1), (1, 1)])

    assert len(times) == 2
    assert times.end_ms == 1_000 + RESOLUTION_MS


def test_nothing_was_appended_yet() -> None:
    assert Times().appended_by(5) == 0


def test_memory_is_bounded_at_the_price_of_resolution() -> None:
    times, rows = filled([(8, RESOLUTION_MS)] * (3 * SEGMENT_TIMES_MAX))

    assert len(times) <= SEGMENT_TIMES_MAX
    for lsn, time_ms in rows[:: SEGMENT_TIMES_MAX // 2]:
        assert time_ms <= times.appended_by(lsn) <= time_ms + 16 * RESOLUTION_MS
