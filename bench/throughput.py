"""How many typed events a second go through the library to disk and back: published, read, leased and acknowledged.

The events are made beforehand. Every round has a new store; nothing is measured that was not checked to be all there.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from bench.flights import Departed, flights, queue, stream
from bench.harness import Row, Settings, Took, pieces, rates, run_rounds, store, timed
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

    def rate(partitions: int, callers: int | None) -> list[Took]:
        async def once() -> Took:
            dest = stream(partitions)
            with store(settings) as path:
                async with connect(path) as bus:
                    await bus.declare(dest)
                    work = publish_all(bus, dest, events, callers) if callers else publish_nowait(bus, dest, events)
                    return await timed(lambda: work)

        return run_rounds(settings, once)

    lists = f"publish, lists of {CALL:,}"
    yield rates(SUBJECT, f"{lists}, {CALLERS} callers", "fsync", EVENTS, rate(1, CALLERS), bar=PUBLISH_MIN)
    yield rates(
        SUBJECT, f"{lists}, {CALLERS} callers, 6 partitions", "fsync", EVENTS, rate(6, CALLERS), bar=PUBLISH_MIN
    )
    yield rates(SUBJECT, f"{lists}, 1 caller", "fsync", EVENTS, rate(1, 1), note="waits for each sync")
    yield rates(SUBJECT, "publish_nowait, event by event", "fsync", EVENTS, rate(1, None))


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

    def rate(read: Any, *, reopened: bool = False) -> list[Took]:
        async def once() -> Took:
            dest = stream()
            with store(settings) as path:
                async with connect(path) as bus:
                    await publish_all(bus, dest, events)
                    if not reopened:
                        return await timed(lambda: read(bus, dest))
                async with connect(path) as bus:
                    await bus.declare(dest)
                    return await timed(lambda: read(bus, dest))

        return run_rounds(settings, once)

    yield rates(SUBJECT, "read, chunks, newest (in memory)", "fsync", EVENTS, rate(read_chunks), bar=READ_MIN)
    yield rates(
        SUBJECT, "read, chunks, store reopened", "fsync", EVENTS, rate(read_chunks, reopened=True), bar=READ_MIN
    )
    yield rates(SUBJECT, "read, message by message", "fsync", EVENTS, rate(read_each))


# ---- queue -------------------------------------------------------------------------------------------------------


async def take_all(bus: Bus, dest: Any, count: int, size: int) -> None:
    found = 0
    while found < count:
        async with bus.take(dest, size) as messages:
            found += len(messages)
    assert found == count


def queue_rows(settings: Settings) -> Iterator[Row]:
    def rate(count: int, size: int, callers: int = 1) -> list[Took]:
        events = flights(range(count))

        async def once() -> Took:
            dest = queue()
            with store(settings) as path:
                async with connect(path) as bus:
                    await publish_all(bus, dest, events)
                    share = count // callers
                    return await timed(
                        lambda: asyncio.gather(*(take_all(bus, dest, share, size) for _ in range(callers)))
                    )

        return run_rounds(settings, once)

    yield rates(SUBJECT, "queue, take 1,000 and acknowledge", "fsync", QUEUED, rate(QUEUED, 1_000), bar=QUEUE_MIN)
    yield rates(SUBJECT, "queue, take 100 and acknowledge", "fsync", QUEUED, rate(QUEUED, 100))
    yield rates(
        SUBJECT, "queue, take 100, 8 takers", "fsync", QUEUED // 1_000 * 800, rate(QUEUED // 1_000 * 800, 100, 8)
    )
    yield rates(SUBJECT, "queue, take 1 and acknowledge", "fsync", 1_000, rate(1_000, 1))


# ---- handlers ----------------------------------------------------------------------------------------------------


def app_rows(settings: Settings) -> Iterator[Row]:
    def rate(count: int, kind: str) -> list[Took]:
        events = flights(range(count))

        async def once() -> Took:
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

                    took = await timed(handle)
                    await app.stop()
                    return took

        return run_rounds(settings, once)

    yield rates(
        SUBJECT, "stream handler, one event a call", "fsync", QUEUED, rate(QUEUED, "one"), note="with its start"
    )
    yield rates(SUBJECT, "stream handler, lists of 1,000", "fsync", QUEUED, rate(QUEUED, "list"), note="with its start")
    yield rates(SUBJECT, "queue handler, 8 workers", "fsync", QUEUED, rate(QUEUED, "queue"), note="with its start")
