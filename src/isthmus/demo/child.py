"""The process that the demo kills: broker, producer and handlers in one, telling its parent what became durable.

Run by the demo as `python -m isthmus.demo.child`. It checks nothing, and does not know when it will be killed: started
again on the same store it goes on where it was. With a server as its store, the broker and some of the handlers are in
other processes.
"""

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from isthmus.demo import events, sources
from isthmus.demo.app import airport_of, app
from isthmus.demo.facts import FlightFile
from isthmus.demo.lines import Begun, Handled, Line, Settled, Stage, to_line
from isthmus.demo.parts import PARTS, keep_part
from isthmus.demo.replay import publish_missing_airports, publish_states, publish_weather, replay, stored
from isthmus.demo.store import open_store
from isthmus.types import Bus
from isthmus.views import GroupView

FLIGHT_GROUPS = ("carriers", "boards", "audit", "rebooking")
WEATHER_GROUPS = ("tower", "ramp", "crews")

TELL_MS = 500
"""How often it is told how far the groups are."""

LOOK_MS = 40
"""How often it is looked whether everything has been handled."""


def tell(line: Line) -> None:
    """Write a line to the parent, now."""
    sys.stdout.buffer.write(to_line(line))
    sys.stdout.buffer.flush()


def tell_stage(name: str, count: int, since_s: float, **figures: int) -> None:
    """Say that a part of the work is done, which began at `since_s` of the monotonic clock."""
    tell(Stage(name, count, time.monotonic() - since_s, figures))


async def run(url: str, flights: Path, speed: float | None) -> None:
    """Do the whole work of the demo, or what a killed predecessor left of it."""
    file = FlightFile(flights, zones=sources.destination_zones(sources.airports()))
    async with open_store(url) as bus:
        await publish_states(bus)
        app.url = url
        async with app, asyncio.TaskGroup() as group:
            tell(Begun(file.rows, await stored(bus, events.flights.name)))
            # What breaks in the app ends the work as well.
            beside = [group.create_task(each) for each in (app.wait(), watch_jobs(bus), watch_groups(bus))]
            await fly(bus, file, speed)
            await change_weather(bus)
            await mend_rebooking(bus)
            for task in beside:
                task.cancel()


async def fly(bus: Bus, file: FlightFile, speed: float | None) -> None:
    """Replay the flights; return when every group has handled them, and every job is done or dead."""
    since_s = time.monotonic()
    count = await replay(bus, file, speed, tell)
    tell_stage("flight events published", count, since_s)
    await until(lambda: handled(bus, events.flights.name, *FLIGHT_GROUPS))
    await until(lambda: idle(bus, events.rebooking.name))
    tell_stage("flight events handled by four groups", count, since_s)


async def change_weather(bus: Bus) -> None:
    """Publish the changes of the weather; return when all three groups have asked."""
    since_s = time.monotonic()
    count = await publish_weather(bus)
    await until(lambda: handled(bus, events.weather.name, *WEATHER_GROUPS))
    asked = app.metrics.enrich["observe"]
    tell_stage("weather changes", count, since_s, wanted=asked.wanted, calls=asked.calls, saved=asked.saved)


async def mend_rebooking(bus: Bus) -> None:
    """Bring the airports that were missing, and the dead letters back to the queue; return when they are done."""
    since_s = time.monotonic()
    died = await bus.admin.queue(dead_letters())
    await publish_missing_airports(bus)
    await until(missing_airports_known)
    redriven = await bus.admin.redrive(dead_letters())
    await until(lambda: idle(bus, events.rebooking.name))
    tell_stage("dead letters redriven", redriven, since_s, died=died.enqueued)


def dead_letters() -> str:
    """The name of the queue of jobs that could not be done."""
    return events.rebooking.dead or ""


async def missing_airports_known() -> bool:
    """Whether the table of airports has taken in the four that were missing."""
    return all(faa in airport_of for faa in sources.CARIBBEAN)


async def handled(bus: Bus, topic: str, *groups: str) -> bool:
    """Whether these groups are at the end of a topic."""
    views = {view.name: view for view in await bus.admin.groups(topic)}
    return views.keys() >= set(groups) and not any(sum(lags_of(views[name], topic)) for name in groups)


def lags_of(view: GroupView, topic: str) -> list[int]:
    """How far a group is behind in each partition of a topic."""
    return [row.lag for row in view.partitions if row.topic == topic]


async def idle(bus: Bus, queue: str) -> bool:
    """Whether nothing of a queue is left to do."""
    view = await bus.admin.queue(queue)
    return view.ready + view.leased + view.delayed + view.dying == 0


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    while not await reached():  # noqa: ASYNC110 - what is waited for is elsewhere, and told to nobody
        await asyncio.sleep(LOOK_MS / 1000)


async def watch_jobs(bus: Bus) -> None:
    """Tell of every job: what can be read of `rebooked` became durable in one unit with the job's acknowledgement."""
    async for chunk in bus.read(events.rebooked).chunks():
        tell(Settled([message.event.row for message in chunk]))


async def watch_groups(bus: Bus) -> None:
    """Tell now and then how many events the slowest group has handled."""
    while True:
        await asyncio.sleep(TELL_MS / 1000)
        lags = [sum(lags_of(view, events.flights.name)) for view in await bus.admin.groups(events.flights.name)]
        count = await stored(bus, events.flights.name)
        tell(Handled(count - max(lags, default=0), count))


def main() -> None:
    """Take the arguments that the demo gives."""
    parser = argparse.ArgumentParser(prog="python -m isthmus.demo.child", description="The process that is killed.")
    parser.add_argument("--store", required=True, help="A directory, or the URL of a server.")
    parser.add_argument("--part", choices=sorted(PARTS), help="Run only these of the handlers.")
    parser.add_argument("--flights", type=Path, required=True)
    parser.add_argument("--speed", type=float)
    chosen = parser.parse_args()
    # Some jobs are made to fail. Retries and dead letters are in the report, and need not be on the terminal as well.
    logging.getLogger("isthmus").setLevel(logging.CRITICAL)
    if chosen.part is not None:
        keep_part(app, chosen.part)
    asyncio.run(run(chosen.store, chosen.flights, chosen.speed))


if __name__ == "__main__":
    main()
