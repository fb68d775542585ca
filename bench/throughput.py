"""How many typed events a second go through the library to disk and back: published, read, leased and acknowledged.

The events are made beforehand. Every round has a new store; nothing is measured that was not checked to be all there.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from bench.flights import Departed, flights, queue, stream
from bench.harness import RATE, Row, Settings, pieces, row, run_rounds, seconds, store
from isthmus import App, connect
from isthmus.client.bus import Bus
from isthmus.client.destination import Destination

SUBJECT: Final = "throughput"
EVENTS: Final = 200_000
QUEUED: Final = 50_000
CALL: Final = 1_000
CALLERS: Final = 8
PUBLISH_MIN: Final = 200_000
READ_MIN: Final = 300_000
QUEUE_MIN: Final = 50_000


def rows(settings: Settings) -> Iterator[Row]:
    yield from publish_rows(settings)
    yield from read_rows(settings)
    yield from queue_rows(settings)
    yield from app_rows(settings)


# ---- publish -----------------------------------------------------------------------------------------------------


async def publish_all(bus: Bus, dest: Destination[Departed], events: list[Departed], callers: int = CALLERS) -> None:
    """Some callers, each of which publishes lists and waits for each to be acknowledged."""
    calls = [events[part.start : part.stop] for part in pieces(len(events), CALL)]

    async def caller() -> None:
        while calls:
            await bus.publish(dest, *calls.pop())

    await asyncio.gather(*(caller() for _ in range(callers)))


async def publish_nowait(bus: Bus, dest: Destination[Departed], events: list[Departed]) -> None:
    """One caller, event by event, who leaves the batches to the bus and waits for a thousand at a time."""
    for part in pieces(len(events), 20 * CALL):
        for event in events[part.start : part.stop]:
            bus.publish_nowait(dest, event)
        await bus.flush()


def publish_rows(settings: Settings) -> Iterator[Row]:
    events = flights(range(EVENTS))

    def rate(partitions: int, callers: int | None) -> list[float]:
        async def once() -> float:
            dest = stream(partitions)
            with store(settings) as path:
                async with connect(path) as bus:
                    await bus.declare(dest)
                    work = publish_all(bus, dest, events, callers) if callers else publish_nowait(bus, dest, events)
                    return EVENTS / await seconds(lambda: work)

        return run_rounds(settings, once)

    lists = f"publish, lists of {CALL:,}"
    yield row(SUBJECT, f"{lists}, {CALLERS} callers", "fsync", rate(1, CALLERS), RATE, bar=PUBLISH_MIN)
    yield row(SUBJECT, f"{lists}, {CALLERS} callers, 6 partitions", "fsync", rate(6, CALLERS), RATE, bar=PUBLISH_MIN)
    yield row(SUBJECT, f"{lists}, 1 caller", "fsync", rate(1, 1), RATE, note="waits for each sync")
    yield row(SUBJECT, "publish_nowait, event by event", "fsync", rate(1, None), RATE)


# ---- read --------------------------------------------------------------------------------------------------------


async def read_chunks(bus: Bus, dest: Destination[Departed]) -> None:
    found = 0
    async for chunk in bus.read(dest, stop="end").chunks():
        found += len(chunk)
    assert found == EVENTS


async def read_each(bus: Bus, dest: Destination[Departed]) -> None:
    found = 0
    async for message in bus.read(dest, stop="end"):
        found += message.error is None
    assert found == EVENTS


def read_rows(settings: Settings) -> Iterator[Row]:
    events = flights(range(EVENTS))

    def rate(read: Any, *, reopened: bool = False) -> list[float]:
        async def once() -> float:
            dest = stream()
            with store(settings) as path:
                async with connect(path) as bus:
                    await publish_all(bus, dest, events)
                    if not reopened:
                        return EVENTS / await seconds(lambda: read(bus, dest))
                async with connect(path) as bus:
                    await bus.declare(dest)
                    return EVENTS / await seconds(lambda: read(bus, dest))

        return run_rounds(settings, once)

    yield row(SUBJECT, "read, chunks, newest (in memory)", "fsync", rate(read_chunks), RATE, bar=READ_MIN)
    yield row(SUBJECT, "read, chunks, store reopened", "fsync", rate(read_chunks, reopened=True), RATE, bar=READ_MIN)
    yield row(SUBJECT, "read, message by message", "fsync", rate(read_each), RATE)


# ---- queue -------------------------------------------------------------------------------------------------------


async def take_all(bus: Bus, dest: Any, count: int, size: int) -> None:
    found = 0
    while found < count:
        async with bus.take(dest, size) as messages:
            found += len(messages)
    assert found == count


def queue_rows(settings: Settings) -> Iterator[Row]:
    def rate(count: int, size: int, callers: int = 1) -> list[float]:
        events = flights(range(count))

        async def once() -> float:
            dest = queue()
            with store(settings) as path:
                async with connect(path) as bus:
                    await publish_all(bus, dest, events)
                    work = [lambda: take_all(bus, dest, count // callers, size)] * callers
                    return count / await seconds(lambda: asyncio.gather(*(one() for one in work)))

        return run_rounds(settings, once)

    yield row(SUBJECT, "queue, take 1,000 and acknowledge", "fsync", rate(QUEUED, 1_000), RATE, bar=QUEUE_MIN)
    yield row(SUBJECT, "queue, take 100 and acknowledge", "fsync", rate(QUEUED, 100), RATE)
    yield row(SUBJECT, "queue, take 100, 8 takers", "fsync", rate(QUEUED // 1_000 * 800, 100, 8), RATE)
    yield row(SUBJECT, "queue, take 1 and acknowledge", "fsync", rate(1_000, 1), RATE)


# ---- handlers ----------------------------------------------------------------------------------------------------


def app_rows(settings: Settings) -> Iterator[Row]:
    def rate(count: int, kind: str) -> list[float]:
        events = flights(range(count))

        async def once() -> float:
            with store(settings) as path:
                dest, done = stream(), asyncio.Event()
                app, counted = App(path), [0]

                def seen(number: int) -> None:
                    counted[0] += number
                    if counted[0] == count:
                        done.set()

                jobs = queue()
                if kind == "queue":

                    @app.on(jobs, workers=8)
                    async def work(event: Departed) -> None:
                        seen(1)

                elif kind == "list":

                    @app.on(dest, group="g", batch=CALL, wait="10ms")
                    async def many(events: list[Departed]) -> None:
                        seen(len(events))

                else:

                    @app.on(dest, group="g")
                    async def one(event: Departed) -> None:
                        seen(1)

                async with connect(path) as bus:
                    await publish_all(bus, jobs if kind == "queue" else dest, events)

                    async def handle() -> None:
                        await app.start()
                        await done.wait()

                    took = await seconds(handle)
                    await app.stop()
                    return count / took

        return run_rounds(settings, once)

    yield row(SUBJECT, "stream handler, one event a call", "fsync", rate(QUEUED, "one"), RATE, note="with its start")
    yield row(SUBJECT, "stream handler, lists of 1,000", "fsync", rate(QUEUED, "list"), RATE, note="with its start")
    yield row(SUBJECT, "queue handler, 8 workers", "fsync", rate(QUEUED, "queue"), RATE, note="with its start")
