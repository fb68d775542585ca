"""The demo's store: a directory of small segments, and how its space is won back at the end.

It opens and reclaims; it publishes and handles nothing.
"""

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from isthmus import connect
from isthmus.demo import events
from isthmus.limits import MIB
from isthmus.types import Bus

SEGMENT_BYTES: Final = 1 * MIB
"""Small, so that a month has many segments and removing the consumed ones shows."""


def open_store(directory: Path) -> Bus:
    """A bus on the store in a directory, to be used as a block."""
    return connect(str(directory), name="demo", segment_bytes=SEGMENT_BYTES)


async def reclaim(bus: Bus, before_ms: int) -> int:
    """Let go of consumed flights, and of figures that newer ones replaced, from before a time; returns the bytes.

    Only the floor of `flights` moves: being consumed by every group is what removes them. The figures of each
    partition were counted on after that time, so that the newest stay.
    """
    age_ms = max(0, bus.engine.clock.now_ms() - before_ms)
    flights = events.flights.definition()
    await bus.admin.alter(replace(flights, config=replace(flights.config, floor_ms=age_ms)))
    for stream in (events.carriers, events.boards, events.keys, events.rebooked):
        definition = stream.definition()
        await bus.admin.alter(replace(definition, config=replace(definition.config, age_ms=age_ms)))
    return await bus.admin.reclaim()


async def removed(bus: Bus) -> int:
    """How many flight events have been removed."""
    view = await bus.admin.topic(events.flights.name)
    return sum(partition.log_start for partition in view.partitions)


def size_bytes(directory: Path) -> int:
    """Bytes that the files of a directory take on disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
