"""What a record died of so far: counted as RabbitMQ counts it, bounded, and read back from headers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.broker import deaths
from isthmus.broker.deaths import DEATHS, Death, FirstDeath, History, Reason, add, is_cycle
from isthmus.limits import DEATH_KEYS_BYTES_MAX, DEATHS_MAX
from isthmus.log.headers import encode_headers
from isthmus.record import NO_HEADERS

REASONS: tuple[Reason, ...] = ("rejected", "expired", "maxlen", "delivery_limit")


def died(*of: tuple[str, Reason]) -> History:
    """A history of these deaths, the first one first, a second apart."""
    history: History = ()
    for time_s, (queue, reason) in enumerate(of):
        history = add(history, queue, reason, exchange="x", keys=(f"key{time_s}",), time_s=time_s)
    return history


class TestCounting:
    def test_the_newest_death_comes_first(self) -> None:
        history = died(("a", "expired"), ("b", "rejected"))

        assert [(death.queue, death.reason, death.count) for death in history] == [
            ("b", "rejected", 1),
            ("a", "expired", 1),
        ]

    def test_a_death_that_happened_before_counts_once_more_and_comes_to_the_front_with_its_first_time(self) -> None:
        history = died(("a", "expired"), ("b", "rejected"), ("a", "expired"))

        assert history[0] == Death("a", "expired", 2, 0, "x", ("key0",))
        assert [death.queue for death in history] == ["a", "b"]

    def test_another_reason_in_the_same_queue_is_another_death(self) -> None:
        history = died(("a", "expired"), ("a", "rejected"))

        assert [(death.reason, death.count) for death in history] == [("rejected", 1), ("expired", 1)]

    def test_the_oldest_is_forgotten_when_there_are_too_many(self) -> None:
        history = died(*[(f"q{number}", "expired") for number in range(DEATHS_MAX + 2)])

        assert len(history) == DEATHS_MAX
        assert history[0].queue == f"q{DEATHS_MAX + 1}"
        assert history[-1].queue == "q2"

    def test_of_very_many_keys_the_first_are_remembered(self) -> None:
        keys = tuple("k" * 255 for _ in range(1_000))

        history = add((), "a", "maxlen", exchange="", keys=keys, time_s=1)

        assert len(history[0].keys) == DEATH_KEYS_BYTES_MAX // 255


class TestCycles:
    @pytest.mark.parametrize("reason", [reason for reason in REASONS if reason != "rejected"])
    def test_a_queue_in_which_it_died_by_itself_is_a_cycle(self, reason: Reason) -> None:
        assert is_cycle(died(("a", reason), ("b", "expired")), "a")

    def test_a_queue_in_which_it_never_died_is_none(self) -> None:
        assert not is_cycle(died(("a", "expired")), "b")

    def test_the_queue_in_which_it_has_just_expired_is_a_cycle(self) -> None:
        assert is_cycle(died(("a", "expired")), "a")

    def test_there_is_none_when_somebody_has_rejected_it_since(self) -> None:
        assert not is_cycle(died(("a", "expired"), ("b", "rejected")), "a")
        assert not is_cycle(died(("a", "rejected")), "a")

    def test_a_rejection_before_that_death_does_not_count(self) -> None:
        assert is_cycle(died(("b", "rejected"), ("a", "expired")), "a")


class TestHeaders:
    @given(
        st.lists(st.tuples(st.text(max_size=9), st.sampled_from(REASONS), st.none() | st.integers(0, 2**40))),
    )
    def test_a_history_comes_back_as_it_was(self, of: list[tuple[str, Reason, int | None]]) -> None:
        history: History = ()
        for queue, reason, expiration_ms in of:
            history = add(history, queue, reason, exchange="é", keys=("a", "b"), time_s=7, expiration_ms=expiration_ms)
        first = FirstDeath("q", "expired", "x")

        block = encode_headers([("other", b"1"), *deaths.headers(history, first)])

        assert deaths.history_of(block) == history
        assert deaths.first_of(block) == first

    def test_a_block_without_history_has_none(self) -> None:
        assert (deaths.history_of(NO_HEADERS), deaths.first_of(NO_HEADERS)) == ((), None)

    @pytest.mark.parametrize("junk", [b"", b"junk", b"\x91\x01", msgspec.msgpack.encode([[1, 2, 3]]), b"\xa1\xff"])
    def test_what_is_no_history_is_none(self, junk: bytes) -> None:
        block = encode_headers([(DEATHS, junk), (deaths.FIRST_DEATH, junk)])

        assert (deaths.history_of(block), deaths.first_of(block)) == ((), None)

    def test_headers_that_cannot_be_read_have_none(self) -> None:
        block = b"\x7fisthmus-deaths isthmus-first-death"

        assert (deaths.history_of(block), deaths.first_of(block)) == ((), None)
