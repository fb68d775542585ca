"""The demo's store: a directory of small segments, or a server on one, and how its space is won back at the end.

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


def open_store(url: str) -> Bus:
    """A bus on the store in a directory or behind a server, to be used as a block."""
    if "://" in url:
        return connect(url, name="demo")
    return connect(url, name="demo", segment_bytes=SEGMENT_BYTES)


async def reclaim(bus: Bus, before_ms: int) -> int:
    """Let go of what is from before a time and consumed, and of figures that newer ones replaced; returns the bytes.

    Only the floor of `flights` moves: that every group has consumed them is what removes the events. What is younger
    stays as it was declared, to be looked at. Of the streams of states compaction leaves the newest of each key.
    """
    age_ms = max(0, bus.engine.clock.now_ms() - before_ms)
    flights, rebooked = events.flights.definition(), events.rebooked.definition()
    await bus.admin.alter(replace(flights, config=replace(flights.config, floor_ms=age_ms)))
    await bus.admin.alter(replace(rebooked, config=replace(rebooked.config, age_ms=age_ms)))
    freed_bytes = await bus.admin.reclaim()
    await bus.admin.alter(flights)
    await bus.admin.alter(rebooked)
    return freed_bytes


async def removed(bus: Bus) -> int:
    """How many flight events have been removed."""
    view = await bus.admin.topic(events.flights.name)
    return sum(partition.log_start for partition in view.partitions)


def size_bytes(directory: Path) -> int:
    """Bytes that the files of a directory take on disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())
