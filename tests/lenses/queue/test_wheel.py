"""The wheel against a sorted list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.lenses.queue.wheel import Timed, Wheel

NOW_MS = 1_700_000_000_000
times = st.one_of(st.integers(0, 1_000), st.integers(0, 200_000), st.integers(-5_000, 5_000_000))


@given(st.lists(st.one_of(times, st.tuples(times))), st.integers(0, 3))
@settings(max_examples=300)
def test_what_is_due_comes_out_at_its_millisecond(steps: list[int | tuple[int]], seed: int) -> None:
    wheel, naive, now_ms = Wheel(), list[Timed](), NOW_MS
    for number, step in enumerate(steps):
        if isinstance(step, int):
            entry = (now_ms + step, number, number + 1 + seed)
            wheel.add(*entry)
            naive.append(entry)
        else:
            now_ms += abs(step[0])
            due = sorted(entry for entry in naive if entry[0] <= now_ms)

            assert wheel.pop(now_ms) == due

            naive = [entry for entry in naive if entry[0] > now_ms]
        bound = wheel.next_ms()
        assert (bound is None) == (not naive)
        assert len(wheel) == len(naive)
        if bound is not None:
            assert bound <= min(naive)[0]


def test_the_next_time_is_exact_once_it_is_near() -> None:
    wheel = Wheel()
    wheel.add(NOW_MS + 600_123, 1, 2)
    seen = [NOW_MS]

    while (bound := wheel.next_ms()) is not None and not wheel.pop(bound):
        seen.append(bound)

    assert len(seen) <= 4
    assert bound == NOW_MS + 600_123


def test_nothing_comes_early_when_the_clock_goes_back() -> None:
    wheel = Wheel()
    wheel.pop(NOW_MS)
    wheel.add(NOW_MS + 100, 1, 2)
    wheel.add(NOW_MS - 100, 3, 4)

    early = wheel.pop(NOW_MS - 50_000)
    later = wheel.pop(NOW_MS)

    assert early == []
    assert later == [(NOW_MS - 100, 3, 4)]


def test_a_cleared_wheel_is_empty_and_usable() -> None:
    wheel = Wheel()
    for step in (1, 10_000, 10_000_000):
        wheel.add(NOW_MS + step, 0, 1)
    wheel.pop(NOW_MS)

    wheel.clear()
    wheel.add(NOW_MS + 5, 8, 9)

    assert wheel.pop(NOW_MS + 20_000_000) == [(NOW_MS + 5, 8, 9)]


def test_a_range_longer_than_an_entry_can_say_is_cut() -> None:
    wheel = Wheel()
    wheel.add(NOW_MS + 1_000_000, 0, (1 << 32) + 10)

    out = wheel.pop(NOW_MS + 1_000_000)

    assert [entry[1:] for entry in out] == [(0, (1 << 32) - 1), ((1 << 32) - 1, (1 << 32) + 10)]


def test_a_far_entry_takes_at_most_24_bytes() -> None:
    wheel = Wheel()
    for number in range(100_000):
        wheel.add(NOW_MS + 1_000_000 + number * 40, number, number + 1)

    assert wheel.size_bytes / len(wheel) <= 24
