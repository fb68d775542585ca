"""The decision table: what becomes of a delivery whose handler did not return."""

import pytest

from isthmus.client.retry import Backoff, Reject, Retry
from isthmus.client.verdict import Again, Back, Dead, cut, reason_of, refused, traceback_of, undecodable, verdict
from isthmus.errors import CircuitOpen, DecodeError, UnknownType

RETRY = Backoff(3, "1s", "10s", jitter=0.5)


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback, as a handler would leave it."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - any
        return caught


@pytest.mark.parametrize("failed", [0, 1, 2, 9])
def test_reject_is_a_dead_letter_at_once(failed: int) -> None:
    assert verdict(Reject("no such order"), failed, RETRY, 0) == Dead("no such order")


@pytest.mark.parametrize("failed", [0, 1, 2, 9])
def test_an_open_circuit_counts_no_failure(failed: int) -> None:
    found = verdict(CircuitOpen("prices", 700), failed, RETRY, 0)

    assert isinstance(found, Back)
    assert found.delay_ms == 700


def test_an_exception_comes_again_by_the_back_off() -> None:
    assert verdict(ValueError("no"), 0, RETRY, 0) == Again(1_000, "ValueError: no")
    assert verdict(ValueError("no"), 1, RETRY, 0.5) == Again(1_500, "ValueError: no")


def test_retry_says_itself_when_it_comes_again() -> None:
    assert verdict(Retry("busy", after="7s"), 0, RETRY, 0) == Again(7_000, "busy")
    assert verdict(Retry("busy"), 1, RETRY, 0) == Again(2_000, "busy")
    assert verdict(Retry(after="0ms"), 0, RETRY, 0) == Again(0, "Retry")


@pytest.mark.parametrize("error", [ValueError("no"), Retry("busy", after="7s")])
def test_the_last_attempt_ends_in_the_dead_letters(error: Exception) -> None:
    found = verdict(raised(error), 2, RETRY, 0)

    assert isinstance(found, Dead)
    assert found.reason == reason_of(error)
    assert "in raised" in found.traceback


@pytest.mark.parametrize("error", [UnknownType("orders", "Placed"), DecodeError("orders", "Placed", "bad")])
def test_what_is_no_event_is_not_tried_again(error: UnknownType | DecodeError) -> None:
    found = undecodable(error)

    assert isinstance(found, Dead)
    assert str(error) in found.reason


def test_nack_is_a_failure_like_retry() -> None:
    assert refused(0, RETRY, 0, None) == Again(1_000, "nack")
    assert refused(0, RETRY, 0, 5) == Again(5, "nack")
    assert refused(2, RETRY, 0, 5) == Dead("nack after 3 failures")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("cannot speak")


def test_an_exception_that_cannot_be_shown_has_a_reason_all_the_same() -> None:
    assert reason_of(Mute()) == f"{__name__}.Mute: <exception str() failed>"


def test_a_traceback_shows_causes_and_is_bounded() -> None:
    def deep(level: int) -> None:
        if not level:
            raise ValueError("x" * 5_000) from KeyError("cause")
        deep(level - 1)

    try:
        deep(300)
    except ValueError as error:
        shown = traceback_of(error)

    assert len(shown.encode()) <= 8 * 1024
    assert shown.endswith("x\n")


def test_long_texts_are_cut_at_the_front() -> None:
    assert cut("a" * 10, 10) == "a" * 10
    assert cut("begin-end", 6) == "...end"
    assert cut("ééé", 5) == "...é"
    assert cut("\ud800", 10) == "?"
