"""What queues keep in memory: bytes of a ledger entry, and of a million messages that wait.

Each figure comes from a process of its own, by what it has resident before and after.
"""

import asyncio
import gc
from collections.abc import Iterator
from typing import Final

from bench.flights import flights, queue
from bench.harness import Row, Settings, pieces, resident_bytes, row, store
from bench.throughput import publish_all
from isthmus import connect
from isthmus.client.bus import Bus
from isthmus.engines.base import Received, Source
from isthmus.lenses.queue.rows import LEASED, Rows
from isthmus.limits import MIB

SUBJECT: Final = "ledger"
WAITING: Final = 1_000_000
LEASED_EVENTS: Final = 100_000
STEP: Final = 50_000
ENTRY_BYTES_MAX: Final = 64


async def waiting_mib(bus: Bus) -> float:
    """Resident MiB that a million messages add; what they fill anyway (the tail cache) is filled before."""
    await fill(bus, STEP * 12)
    before = resident()
    await fill(bus, WAITING)
    return (resident() - before) / MIB


async def fill(bus: Bus, count: int) -> None:
    dest = queue()
    for part in pieces(count, STEP):
        await publish_all(bus, dest, flights(part))


async def leased_bytes(bus: Bus) -> float:
    """Resident bytes a leased message of the broker alone: what the taker holds of it is given away at once.

    Every second one is acknowledged, so that no two neighbours share an entry.
    """
    await fill(bus, LEASED_EVENTS * 2)
    source = await bus.engine.queue_source("work", "bench")
    before, held = resident(), 0
    while held < LEASED_EVENTS:
        received = await source.receive(1_000, 8 * MIB, 1_000)
        await acknowledge(bus, source, received[::2])
        held += len(received) - len(received[::2])
    return (resident() - before) / held


async def acknowledge(bus: Bus, source: Source, received: list[Received]) -> None:
    unit = bus.engine.unit()
    unit.settle(source, received)
    await unit.submit()


def resident() -> int:
    gc.collect()
    return resident_bytes()[0]


def entry_bytes() -> float:
    """Bytes of the map itself for an entry that shares nothing with its neighbours."""
    rows_of = Rows()
    for offset in range(0, 2 * LEASED_EVENTS, 2):
        rows_of.put(offset, offset + 1, LEASED, acquired=1, at_ms=offset, owner=1)
    return rows_of.size_bytes / LEASED_EVENTS


def rows(settings: Settings) -> Iterator[Row]:
    yield row(SUBJECT, "ledger entry", "no disk", [entry_bytes()], "B", bar=ENTRY_BYTES_MAX, note="packed rows")

    async def leased() -> float:
        with store(settings) as path:
            async with connect(path) as bus:
                await bus.declare(queue())
                return await leased_bytes(bus)

    async def waiting() -> float:
        with store(settings) as path:
            async with connect(path) as bus:
                await bus.declare(queue())
                return await waiting_mib(bus)

    yield row(SUBJECT, "leased message, resident", "fsync", [asyncio.run(leased())], "B", note="every second one")
    yield row(
        SUBJECT, f"{WAITING:,} queued messages, resident", "fsync", [asyncio.run(waiting())], "MiB", note="nobody takes"
    )
