"""The services count their callers, and the pace is kept in any second, not only in those of the clock."""

import asyncio

import pytest

from isthmus.clock import ManualClock
from isthmus.demo import sources
from isthmus.demo.services import Pace, RebookingDesk, Upstream, WeatherService, busiest_second


async def test_the_weather_service_answers_by_airport_and_hour_and_counts() -> None:
    observations = sources.observations()
    service = WeatherService(observations, answer_ms=0)

    found = await service.observation(observations[5].airport, observations[5].at_ms)

    assert (found, service.asked) == (observations[5], 1)
    with pytest.raises(KeyError):
        await service.observation("JFK", 0)


async def test_the_desk_counts_what_it_rebooked() -> None:
    desk = RebookingDesk(work_ms=0)

    await asyncio.gather(desk.rebook(1), desk.rebook(2))

    assert desk.rebooked == 2


async def test_the_upstream_service_says_when_it_was_called() -> None:
    clock = ManualClock()
    await clock.advance(7)

    assert await Upstream(clock).call() == clock.now_ms()


def test_the_busiest_second_may_begin_anywhere() -> None:
    assert busiest_second([5000, 0, 900, 999, 1000]) == 3
    assert busiest_second([]) == 0


async def test_callers_pass_no_faster_than_the_pace_in_any_second() -> None:
    clock = ManualClock()
    pace, times_ms = Pace(clock, per_second=5), list[int]()

    async def caller() -> None:
        await pace.turn()
        times_ms.append(clock.now_ms())

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(caller())
        await clock.advance(900)
        for _ in range(20):
            group.create_task(caller())
        await clock.advance(4_000)

    assert len(times_ms) == 23
    assert busiest_second(times_ms) == 5
