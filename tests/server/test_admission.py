"""Who may connect."""

import pytest

from isthmus.broker.access import is_near
from isthmus.limits import ACCEPTS_BURST, ACCEPTS_PER_SECOND, STRANGER_COST_BYTES, STRANGERS_BYTES_MAX
from isthmus.server.admission import Admission, Bucket


class Stranger:
    """A connection that writes down why it is closed."""

    def __init__(self) -> None:
        self.aborted = ""

    def abort(self, reason: str) -> None:
        """See `admission.Stranger`."""
        self.aborted = reason


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - what is asked about
        ("::", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_this_machine_is_near(host: str, near: bool) -> None:
    assert is_near(host) == near


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    bucket = Bucket(ACCEPTS_PER_SECOND, ACCEPTS_BURST)

    at_once = sum(bucket.take(1_000) == 0 for _ in range(ACCEPTS_BURST * 2))
    early_ms = bucket.take(1_000)
    later = sum(bucket.take(now_ms) == 0 for now_ms in range(1_001, 2_001))

    assert at_once == ACCEPTS_BURST
    assert early_ms == 1_000 // ACCEPTS_PER_SECOND
    assert later == ACCEPTS_PER_SECOND


def test_a_full_bucket_fills_no_further() -> None:
    bucket = Bucket(10, 2)
    bucket.take(0)

    assert [bucket.take(1_000_000) for _ in range(3)] == [0, 0, 100]


def test_peers_on_this_machine_wait_for_no_turn() -> None:
    admission = Admission()

    assert all(admission.too_early_ms("127.0.0.1", 0) == 0 for _ in range(ACCEPTS_BURST * 2))
    assert any(admission.too_early_ms("10.0.0.1", 0) for _ in range(ACCEPTS_BURST * 2))


def test_one_address_may_not_have_all_connections() -> None:
    admission = Admission(connections_max=10, connections_per_host_max=2)

    refusals = [admission.enter("10.0.0.1") for _ in range(3)]
    other = admission.enter("10.0.0.2")

    assert refusals[:2] == [None, None]
    assert "the limit for one address" in (refusals[2] or "")
    assert other is None
    admission.leave("10.0.0.1")
    assert admission.enter("10.0.0.1") is None


def test_peers_on_this_machine_count_only_for_the_whole() -> None:
    admission = Admission(connections_max=3, connections_per_host_max=1)

    refusals = [admission.enter("127.0.0.1") for _ in range(4)]

    assert refusals[:3] == [None] * 3
    assert "the server has 3 connections" in (refusals[3] or "")
    assert admission.refused == 1


def test_the_oldest_stranger_goes_first_and_who_is_known_stays() -> None:
    admission = Admission()
    most = STRANGERS_BYTES_MAX // STRANGER_COST_BYTES
    strangers = [Stranger() for _ in range(most + 1)]

    admission.greet(strangers[0])
    admission.known(strangers[0])
    for stranger in strangers[1:]:
        admission.greet(stranger)
    assert not any(stranger.aborted for stranger in strangers)
    admission.greet(Stranger())

    assert [bool(stranger.aborted) for stranger in strangers[:3]] == [False, True, False]
    assert admission.strangers == most
