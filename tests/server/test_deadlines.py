"""The wheel: what is watched is looked at in time, once, and not when it was forgotten."""

from isthmus.clock import ManualClock
from isthmus.server.deadlines import LOOK_MS, Deadlines


class Looked:
    """Writes down when it was looked at."""

    def __init__(self, *again_ms: int) -> None:
        self.bucket: int | None = None
        self.again_ms = list(again_ms)
        self.looks: list[int] = []

    def look(self, now_ms: int) -> int | None:
        """See `deadlines.Looked`."""
        self.looks.append(now_ms)
        return self.again_ms.pop(0) if self.again_ms else None


async def test_it_is_looked_at_when_it_is_time() -> None:
    clock = ManualClock()
    deadlines, looked = Deadlines(clock), Looked()
    deadlines.watch(looked, 1_100)

    await clock.advance(10_000)

    assert looked.looks == [1_250]
    assert looked.bucket is None


async def test_it_is_looked_at_again_when_it_says_so() -> None:
    clock = ManualClock()
    deadlines, looked = Deadlines(clock), Looked(5_000, 1)
    deadlines.watch(looked, 1_000)

    await clock.advance(10_000)

    assert looked.looks == [1_000, 5_000, 5_000 + LOOK_MS]


async def test_the_earlier_time_counts() -> None:
    clock = ManualClock()
    deadlines, looked = Deadlines(clock), Looked()
    deadlines.watch(looked, 3_000)
    deadlines.watch(looked, 1_000)
    deadlines.watch(looked, 2_000)

    await clock.advance(10_000)

    assert looked.looks == [1_000]


async def test_what_is_forgotten_is_let_be() -> None:
    clock = ManualClock()
    deadlines, gone, stays = Deadlines(clock), Looked(), Looked()
    deadlines.watch(gone, 1_000)
    deadlines.watch(stays, 1_000)

    deadlines.forget(gone)
    deadlines.forget(gone)
    await clock.advance(2_000)

    assert gone.looks == []
    assert stays.looks == [1_000]
