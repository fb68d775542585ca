"""What an event costs as the store grows: published, read at its end, leased and acknowledged behind a backlog.

All in one store that grows; a figure is the median of slices of the same size before and after it has grown, in
processor time of all threads of the process, because on a shared machine the clock says more about the neighbours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from bench.flights import flights, queue, stream
from bench.harness import US, Row, Settings, pieces, row, store, timed
from bench.throughput import publish_all, take_all
from isthmus import connect
from isthmus.client.bus import Bus

SUBJECT: Final = "growth"
SIZES: Final = (10_000, 100_000, 1_000_000)
SIZE_FULL: Final = 10_000_000
SLICE: Final = 10_000
FLAT: Final = 1.5
"""What the last size may cost of the first, with the noise of a shared machine."""


async def cpu_us(work: Callable[[], Awaitable[object]]) -> float:
    """Processor time of a slice, in µs an event."""
    return (await timed(work)).cpu / SLICE * 1e6


async def publish_us(bus: Bus, rounds: int) -> list[float]:
    events = flights(range(SLICE))
    return [await cpu_us(lambda: publish_all(bus, stream(), events)) for _ in range(rounds)]


async def read_us(bus: Bus, start: int, rounds: int) -> list[float]:
    async def read() -> None:
        found = 0
        async for chunk in bus.read(stream(), start=start).chunks():
            found += len(chunk)
            if found >= SLICE:
                break

    return [await cpu_us(read) for _ in range(rounds)]


async def take_us(bus: Bus, rounds: int) -> list[float]:
    """Take from the front of a queue behind which all the others wait."""
    return [await cpu_us(lambda: take_all(bus, queue(), SLICE, 1_000)) for _ in range(rounds)]


async def grow(settings: Settings) -> dict[str, dict[int, list[float]]]:
    figures: dict[str, dict[int, list[float]]] = {"publish": {}, "read the oldest": {}, "queue, lease + ack": {}}
    sizes = (*SIZES, SIZE_FULL) if settings.full else SIZES
    with store(settings) as path:
        async with connect(path) as bus:
            await bus.declare(stream(), queue())
            there = waiting = 0
            for size in sizes:
                for part in pieces(size - there, 10 * SLICE):
                    await publish_all(bus, stream(), flights(part))
                for part in pieces(size + settings.rounds * SLICE - waiting, 10 * SLICE):
                    await publish_all(bus, queue(), flights(part))
                waiting = size
                figures["publish"][size] = await publish_us(bus, settings.rounds)
                there = size + settings.rounds * SLICE
                figures["read the oldest"][size] = await read_us(bus, 0, settings.rounds)
                figures["queue, lease + ack"][size] = await take_us(bus, settings.rounds)
    return figures


def rows(settings: Settings) -> Iterator[Row]:
    for what, by_size in asyncio.run(grow(settings)).items():
        found = [
            row(SUBJECT, f"{what}, {size:,} events", "fsync", values, US, note="CPU")
            for size, values in by_size.items()
        ]
        yield from found
        ratio = found[-1].value / found[0].value
        yield row(SUBJECT, f"{what}, last of first", "fsync", [ratio], "x", bar=FLAT)
