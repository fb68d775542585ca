"""The back-off policy and the steering exceptions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.client.retry import Backoff, Reject, Retry
from isthmus.errors import InvalidArgument


def test_delays_double_from_first_to_max() -> None:
    backoff = Backoff(10, "1s", "10s", jitter=0)

    assert [backoff.delay_ms(failed) for failed in range(1, 7)] == [1000, 2000, 4000, 8000, 10_000, 10_000]


def test_jitter_takes_off_a_share() -> None:
    backoff = Backoff(5, "1s", "5m", jitter=0.5)

    assert backoff.delay_ms(1, 0.0) == 1000
    assert backoff.delay_ms(1, 0.5) == 750


def test_it_is_exhausted_after_its_attempts() -> None:
    backoff = Backoff(3)

    assert [backoff.exhausted(failed) for failed in (1, 2, 3, 4)] == [False, False, True, True]
    assert backoff.attempts == 3


@given(
    failed=st.integers(0, 10**12),
    first=st.integers(0, 10**6),
    more=st.integers(0, 10**9),
    jitter=st.floats(0, 1),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_never_negative_nor_above_max(
    failed: int, first: int, more: int, jitter: float, chance: float
) -> None:
    backoff = Backoff(5, f"{first}ms", f"{first + more}ms", jitter=jitter)

    assert 0 <= backoff.delay_ms(failed, chance) <= first + more


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"attempts": 0}, "attempts: 0 is less than one"),
        ({"first": "10s", "max": "1s"}, "max: '1s' is less than first='10s'"),
        ({"jitter": 1.5}, r"jitter: 1.5 is outside 0 to 1"),
        ({"first": "soon"}, "first: 'soon' is not a duration"),
    ],
)
def test_figures_that_cannot_be_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{said}"):
        Backoff(**arguments)


def test_it_is_a_value() -> None:
    backoff = Backoff(5, "1s", "5m")

    assert backoff == Backoff(5, "1000ms", "300s")
    assert hash(backoff) == hash(Backoff(5, "1000ms", "300s"))
    assert backoff != Backoff(4)
    assert backoff != "5"
    assert repr(backoff) == "Backoff(5, '1000ms', '300000ms', jitter=0.2)"
    with pytest.raises(AttributeError, match="immutable"):
        backoff.policy = Backoff(1).policy


def test_the_definition_has_the_same_figures() -> None:
    policy = Backoff(7, "2s", "1m", jitter=0.1).policy

    assert (policy.attempts, policy.first_ms, policy.max_ms, policy.jitter) == (7, 2000, 60_000, 0.1)


def test_retry_carries_a_reason_and_a_delay() -> None:
    retry = Retry("not seen yet", after="10s")

    assert (str(retry), retry.reason, retry.after_ms) == ("not seen yet", "not seen yet", 10_000)
    assert (str(Retry()), Retry().reason, Retry().after_ms) == ("retry", None, None)


def test_a_delay_of_retry_must_be_a_duration() -> None:
    with pytest.raises(InvalidArgument, match=r"^after: "):
        Retry(after="soon")


def test_reject_carries_a_reason() -> None:
    assert Reject("nothing to pay").reason == "nothing to pay"
    assert str(Reject()) == "rejected"
