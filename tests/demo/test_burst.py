"""The burst is worked off at the pace of the service, and all of it."""

from isthmus.demo.burst import level


async def test_a_burst_is_levelled_without_loss() -> None:
    burst = await level(calls=320, minutes=1)

    assert (burst.published, burst.done, burst.calls) == (320, 320, 320)
    assert burst.busiest_second == 50
    assert burst.replayed_s >= 6
