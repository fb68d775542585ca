"""The services count their callers, and the pace is kept in any second, not only in those of the clock."""

import asyncio

import pytest

from isthmus.clock import ManualClock
from isthmus.demo import sources
from isthmus.demo.services import Pace, RebookingDesk, Upstream, WeatherService


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


async def test_the_upstream_service_knows_its_busiest_second_wherever_it_begins() -> None:
    clock = ManualClock()
    upstream = Upstream(clock)

    for wait_ms, number in ((0, 1), (900, 2), (99, 3), (1, 4), (5000, 4)):
        await clock.advance(wait_ms)
        await upstream.call(number)

    assert upstream.busiest_second == 3
    assert upstream.calls == {1: 1, 2: 1, 3: 1, 4: 2}


async def test_callers_pass_no_faster_than_the_pace_in_any_second() -> None:
    clock = ManualClock()
    upstream, pace = Upstream(clock), Pace(clock, per_second=5)

    async def caller(number: int) -> None:
        await pace.turn()
        await upstream.call(number)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(caller(number))
        await clock.advance(900)
        for number in range(3, 23):
            group.create_task(caller(number))
        await clock.advance(4_000)

    assert len(upstream.calls) == 23
    assert upstream.busiest_second == 5
