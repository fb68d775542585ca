"""The producer goes on where the log ends, whoever wrote what is there."""

from pathlib import Path

import pytest

from isthmus import connect
from isthmus.demo import events
from isthmus.demo.lines import Acknowledged, mark
from isthmus.demo.replay import (
    event_of,
    publish_missing_airports,
    publish_states,
    publish_weather,
    replay,
    slices,
    stored,
)
from support.flights import facts_of, file_of, first_rows


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return first_rows(tmp_path_factory.mktemp("flights"), 400)


async def test_every_event_is_published_once_by_two_producers_one_after_the_other(path: Path) -> None:
    facts = facts_of(path)
    told: list[Acknowledged] = []
    async with connect("memory://") as bus:
        await bus.publish(events.flights, *map(event_of, facts[:123]))

        count = await replay(bus, file_of(path), None, told.append)

        stored_marks = sorted([mark(m.event.row, m.event.kind) async for m in bus.read(events.flights, stop="end")])
    assert count == len(facts) - 123
    assert stored_marks == sorted(mark(fact.row, fact.kind) for fact in facts)


async def test_what_is_told_is_where_it_is_said_to_be(path: Path) -> None:
    told: list[Acknowledged] = []
    async with connect("memory://") as bus:
        await replay(bus, file_of(path), None, told.append)

        found = {
            (message.partition, message.offset): mark(message.event.row, message.event.kind)
            async for message in bus.read(events.flights, stop="end")
        }
    said = {
        (run.partition, offset): marked
        for line in told
        for run in line.runs
        for offset, marked in enumerate(run.marks, run.base_offset)
    }
    assert said == found


async def test_states_are_published_once_and_the_missing_airports_on_top() -> None:
    async with connect("memory://") as bus:
        assert await publish_states(bus) == 3_322 + 1_458
        assert await publish_states(bus) == 0

        await publish_missing_airports(bus)

        assert await stored(bus, "airports") == 1_458 + 4


async def test_weather_is_told_when_it_changes() -> None:
    async with connect("memory://") as bus:
        assert await publish_weather(bus) == await stored(bus, "weather") == 196


def test_at_a_speed_what_happens_in_the_same_step_goes_together(path: Path) -> None:
    facts = facts_of(path)

    parts = list(slices(facts, speed=60_000))  # a step is 50 minutes

    assert [fact for part in parts for fact in part] == facts
    assert all(part[-1].at_ms // 3_000_000 == part[0].at_ms // 3_000_000 for part in parts)
    assert 10 < len(parts) < 50


async def test_a_speed_is_kept(path: Path) -> None:
    speed = 36_000_000.0  # ten hours in a millisecond
    async with connect("memory://") as bus:
        assert await replay(bus, file_of(path), speed, lambda _: None) == len(facts_of(path))
