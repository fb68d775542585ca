"""The demo's producer: the month's files as events, in order of time, from where the log ends.

It publishes and reports what was acknowledged; it handles nothing. It keeps no position of its own: as the log holds
whatever was acknowledged, and always a beginning of what was published, the log's length says where to go on.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice

import msgspec

from isthmus.demo import events, sources
from isthmus.demo.facts import Arrived, Cancelled, Departed, Fact, FlightFile
from isthmus.demo.lines import Acknowledged, mark, runs_of
from isthmus.types import Bus

SLICE = 250
"""Events of one publish at full speed."""

STEP_MS = 50
"""At a given speed, what happens within this time is published together."""

EVENTS: dict[type[Fact], type[events.FlightEvent]] = {
    Departed: events.FlightDeparted,
    Arrived: events.FlightArrived,
    Cancelled: events.FlightCancelled,
}


def event_of(fact: Fact) -> events.FlightEvent:
    """The event that tells a fact."""
    return EVENTS[type(fact)](**msgspec.structs.asdict(fact))


async def stored(bus: Bus, topic: str) -> int:
    """How many events were ever appended to a topic."""
    view = await bus.admin.topic(topic)
    return sum(partition.high_watermark for partition in view.partitions)


async def publish_states(bus: Bus) -> int:
    """Publish what is known of aircraft and airports, all in one unit, unless it is there; returns how many."""
    await bus.declare(events.planes, events.airports)
    if await stored(bus, events.planes.name):
        return 0
    planes = [events.PlaneState(**msgspec.structs.asdict(plane)) for plane in sources.planes()]
    airports = [events.AirportState(**msgspec.structs.asdict(airport)) for airport in sources.airports()]
    async with bus.batch() as batch:
        batch.add(events.planes, *planes)
        batch.add(events.airports, *airports)
    return len(planes) + len(airports)


async def publish_weather(bus: Bus) -> int:
    """Publish every change of the weather as a notification; returns how many."""
    changes = sources.weather_changes(sources.observations())
    told = [events.WeatherChanged(airport=each.airport, at_ms=each.at_ms) for each in changes]
    await bus.publish(events.weather, *told)
    return len(told)


async def publish_missing_airports(bus: Bus) -> None:
    """Publish the four airports that the file does not have."""
    missing = [
        events.AirportState(faa=faa, name=faa, lat=0.0, lon=0.0, alt_ft=0, zone=sources.CARIBBEAN_ZONE)
        for faa in sources.CARIBBEAN
    ]
    await bus.publish(events.airports, *missing)


async def replay(bus: Bus, file: FlightFile, speed: float | None, acknowledged: Callable[[Acknowledged], None]) -> int:
    """Publish the file's events from where the log ends; returns how many.

    Args:
        bus: where to.
        file: the flights.
        speed: how many times faster than real time; None is as fast as it goes.
        acknowledged: called after each acknowledgement.
    """
    await bus.declare(events.flights)
    count = 0
    facts = islice(file.facts(), await stored(bus, events.flights.name), None)
    begun: tuple[float, int] | None = None
    for part in slices(facts, speed):
        if speed is not None:
            begun = begun or (time.monotonic(), part[0].at_ms)
            due = begun[0] + (part[-1].at_ms - begun[1]) / 1000 / speed
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        receipt = await bus.publish(events.flights, *map(event_of, part))
        marks = [mark(fact.row, fact.kind) for fact in part]
        acknowledged(Acknowledged(runs_of(receipt.appended, marks)))
        count += len(part)
    return count


def slices(facts: Iterable[Fact], speed: float | None) -> Iterator[list[Fact]]:
    """Cut facts into what is published together: so many, or what happens within a step of replayed time."""
    facts = iter(facts)
    if speed is None:
        while part := list(islice(facts, SLICE)):
            yield part
        return
    step_ms = max(1, round(STEP_MS * speed))
    for _, together in groupby(facts, key=lambda fact: fact.at_ms // step_ms):
        yield list(together)
