"""The budget of unsent bytes."""

from isthmus.server.egress import Egress


class Slow:
    """A connection whose peer reads little."""

    def __init__(self, unsent_bytes: int, since_ms: int) -> None:
        self.unsent_bytes = unsent_bytes
        self.since_ms = since_ms
        self.aborted = ""

    def unsent(self) -> int:
        """See `Congested`."""
        return self.unsent_bytes

    def stalled_since_ms(self, now_ms: int) -> int:
        """See `Congested`."""
        return min(self.since_ms, now_ms)

    def abort(self, reason: str) -> None:
        """See `Congested`."""
        self.aborted = reason


def test_who_has_read_nothing_for_longest_goes_first() -> None:
    egress = Egress(100)
    slows = [Slow(40, 20), Slow(40, 10), Slow(40, 30), Slow(40, 40)]

    for slow in slows:
        egress.enter(slow, 50)

    assert [bool(slow.aborted) for slow in slows] == [True, True, False, False]
    assert (egress.unsent_bytes(), egress.congested) == (80, 2)


def test_one_alone_may_have_as_much_as_it_likes() -> None:
    egress, slow = Egress(100), Slow(400, 0)

    egress.enter(slow, 0)

    assert not slow.aborted
    egress.leave(slow)
    assert egress.unsent_bytes() == 0
