"""Failed logins are counted by address, forgiven with time, and forgotten within a bound."""

import pytest

from isthmus.broker.access import Access
from isthmus.broker.attempts import SHARE_MS, Attempts
from isthmus.limits import LOGIN_ADDRESSES_MAX, LOGINS_FAILED_BURST

HERE, THERE = "192.0.2.7", "198.51.100.9"


def failing(attempts: Attempts, host: str, now_ms: int, count: int = LOGINS_FAILED_BURST) -> Attempts:
    for _ in range(count):
        attempts.failed(host, now_ms)
    return attempts


def test_an_address_may_fail_so_often_and_then_waits_while_others_do_not() -> None:
    attempts = failing(Attempts(), HERE, 1_000, LOGINS_FAILED_BURST - 1)
    before = attempts.may_try(HERE, 1_000)

    attempts.failed(HERE, 1_000)

    assert (before, attempts.may_try(HERE, 1_000), attempts.may_try(THERE, 1_000)) == (True, False, True)


def test_time_forgives_one_after_the_other() -> None:
    attempts = failing(Attempts(), HERE, 1_000)

    assert not attempts.may_try(HERE, 1_000)
    assert attempts.may_try(HERE, 1_001)
    attempts.failed(HERE, 1_001)
    assert not attempts.may_try(HERE, 1_001 + SHARE_MS - 1)
    assert attempts.may_try(HERE, 1_001 + SHARE_MS)


def test_after_a_quiet_time_all_is_forgiven_and_no_more_than_that() -> None:
    attempts = failing(Attempts(), HERE, 0)

    failing(attempts, HERE, 10_000_000)

    assert not attempts.may_try(HERE, 10_000_000)


def test_addresses_are_remembered_within_a_bound_and_those_who_are_forgiven_go_first() -> None:
    attempts = failing(Attempts(), HERE, 1_000_000)
    for number in range(LOGIN_ADDRESSES_MAX - 1):
        attempts.failed(f"old {number}", 0)

    attempts.failed(THERE, 1_000_000)

    assert not attempts.may_try(HERE, 1_000_000)
    assert len(attempts._forgiven_ms) == 2


def test_when_nobody_is_forgiven_the_one_that_failed_first_is_forgotten() -> None:
    attempts = Attempts()
    for number in range(LOGIN_ADDRESSES_MAX + 10):
        attempts.failed(f"{number}", 0)

    assert len(attempts._forgiven_ms) == LOGIN_ADDRESSES_MAX
    assert "9" not in attempts._forgiven_ms
    assert "10" in attempts._forgiven_ms


@pytest.mark.parametrize("host", [HERE, ""])
def test_the_authoriser_counts_by_its_clock(host: str) -> None:
    now = [0]
    access = Access(now_ms=lambda: now[0])
    for _ in range(LOGINS_FAILED_BURST):
        access.failed(host)
    early = access.may_try(host)

    now[0] = SHARE_MS

    assert (early, access.may_try(host)) == (False, True)
