"""The lag of the loop is what a measurement is late."""

from isthmus.clock import ManualClock
from isthmus.limits import LAG_SAMPLE_MS, LAG_SAMPLES
from isthmus.server.lag import LoopLag


async def test_what_is_late_is_remembered_for_a_minute() -> None:
    clock, extra_ns = ManualClock(), 0

    def now_ns() -> int:
        return clock.monotonic_ms() * 1_000_000 + extra_ns

    lag = LoopLag(clock, now_ns)
    assert lag.percentile_us(50) == 0
    lag.start()
    await clock.advance(99 * LAG_SAMPLE_MS)
    extra_ns = 7_000_000
    await clock.advance(LAG_SAMPLE_MS)

    assert lag.samples == 100
    assert (lag.percentile_us(50), lag.percentile_us(99), lag.max_us) == (0, 7_000, 7_000)

    await clock.advance(LAG_SAMPLE_MS * LAG_SAMPLES)
    assert (lag.percentile_us(100), lag.max_us) == (0, 7_000)
    lag.stop()
    await clock.advance(LAG_SAMPLE_MS)
    assert lag.samples == 100 + LAG_SAMPLES
