"""The engine for tests, `app.test()`: what publishing and handling an event costs, in bulk and one at a time."""

import asyncio
from collections.abc import Iterator
from typing import Final

from bench.flights import Departed, flights, queue, stream
from bench.harness import US, Row, Settings, row, run_rounds, seconds
from isthmus import App

SUBJECT: Final = "tests"
EVENTS: Final = 20_000
CALL: Final = 1_000
LONE: Final = 1_000
ASYNC_US_MAX: Final = 30
PLAIN_US_MAX: Final = 40


async def bulk(*, plain: bool, queued: bool = False) -> float:
    """Microseconds an event when lists are published and drained."""
    app, seen = App("memory://"), [0]
    dest = queue() if queued else stream()
    group = None if queued else "g"
    if plain:

        @app.on(dest, group=group)
        def in_thread(event: Departed) -> None:
            seen[0] += 1

    else:

        @app.on(dest, group=group)
        async def on_loop(event: Departed) -> None:
            seen[0] += 1

    events = flights(range(EVENTS))
    async with app.test() as t:

        async def work() -> None:
            for start in range(0, EVENTS, CALL):
                await t.publish(dest, *events[start : start + CALL])
                await t.drain()

        took = await seconds(work)
    assert seen[0] == EVENTS
    return took / EVENTS * 1e6


async def lone(*, drained: bool) -> float:
    """Microseconds an event when each is waited for: drained as tests do, or just until the handler has run."""
    app, seen = App("memory://"), asyncio.Event()
    dest = stream()

    @app.on(dest, group="g")
    async def on_loop(event: Departed) -> None:
        seen.set()

    async with app.test() as t:

        async def work() -> None:
            for event in flights(range(LONE)):
                seen.clear()
                await t.publish(dest, event)
                await (t.drain() if drained else seen.wait())

        return await seconds(work) / LONE * 1e6


def rows(settings: Settings) -> Iterator[Row]:
    figures = run_rounds(settings, lambda: bulk(plain=False))
    yield row(SUBJECT, "stream, async def, lists of 1,000", "memory", figures, US, bar=ASYNC_US_MAX)
    figures = run_rounds(settings, lambda: bulk(plain=True))
    yield row(SUBJECT, "stream, def, lists of 1,000", "memory", figures, US, bar=PLAIN_US_MAX)
    figures = run_rounds(settings, lambda: bulk(plain=False, queued=True))
    yield row(SUBJECT, "queue, async def, lists of 1,000", "memory", figures, US)
    figures = run_rounds(settings, lambda: lone(drained=False))
    yield row(SUBJECT, "stream, async def, one at a time", "memory", figures, US)
    figures = run_rounds(settings, lambda: lone(drained=True))
    yield row(SUBJECT, "stream, async def, one at a time and drained", "memory", figures, US)
