"""How long a store takes to open, by the events in it: after a clean stop, and after SIGKILL.

Files are in the page cache. A killed store is copied before each opening, because the first one repairs it.
"""

import asyncio
import shutil
import time
from collections.abc import Iterator
from typing import Final

from bench.flights import stream
from bench.harness import MS, Row, Settings, child, row, store
from isthmus import connect

SUBJECT: Final = "opening"
SIZES: Final = (10_000, 1_000_000)
SIZE_FULL: Final = 10_000_000


async def open_ms(path: str, events: int) -> float:
    """From `connect` to an engine that takes publishes, in ms; closing is not counted."""
    bus = connect(path)
    start = time.perf_counter()
    await bus.start()
    took = (time.perf_counter() - start) * 1e3
    found = await bus.admin.topic(stream().name)
    assert sum(partition.high_watermark for partition in found.partitions) == events
    await bus.close()
    return took


def fill(path: str, events: int, then: str) -> None:
    """Let a process fill the store and stop in order, or be killed when all is acknowledged.

    Raises:
        ChildProcessError: it could not.
    """
    with child("filling", path, str(events), then) as process:
        said = process.stdout.readline() if process.stdout else ""
        if then == "stay":
            process.kill()
    if not said or (then == "stop" and process.returncode):
        raise ChildProcessError(f"filling ended with exit code {process.returncode}")


def rows(settings: Settings) -> Iterator[Row]:
    for events in (*SIZES, SIZE_FULL) if settings.full else SIZES:
        with store(settings) as path:
            fill(path, events, "stop")
            asyncio.run(open_ms(path, events))
            took = [asyncio.run(open_ms(path, events)) for _ in range(settings.rounds)]
        yield row(SUBJECT, f"open {events:,} events, clean stop", "fsync", took, MS)
        with store(settings) as path:
            fill(path, events, "stay")
            took = [open_killed(settings, path, events) for _ in range(settings.rounds)]
        yield row(SUBJECT, f"open {events:,} events, after SIGKILL", "fsync", took, MS)


def open_killed(settings: Settings, path: str, events: int) -> float:
    with store(settings) as other:
        shutil.copytree(path, other, ignore=shutil.ignore_patterns("*.sock"), dirs_exist_ok=True)
        return asyncio.run(open_ms(other, events))
