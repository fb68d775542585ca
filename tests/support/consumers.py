"""Consumers as tests of tools need them: take what there is from a queue or stream of a directory, and settle it."""

from collections.abc import Sequence
from pathlib import Path

from isthmus.engines.base import Received, Source
from isthmus.engines.connect import open_engine

WAIT_MS = 5_000


async def read_stream(directory: Path, topic: str, group: str, count: int) -> None:
    """Have a group finish the first so many events."""
    engine = await open_engine(str(directory))
    source = await engine.stream_source(topic, group, "earliest", None)
    left = count
    while left:
        received = await source.receive(left, 1 << 20, WAIT_MS)
        assert received, f"{left} events of {topic} did not come"
        unit = engine.unit()
        unit.settle(source, received)
        await unit.submit()
        left -= len(received)
    await source.close()
    await engine.close()


async def kill_all(directory: Path, queue: str, count: int, reason: str, traceback: str = "") -> None:
    """Have a consumer reject so many events of a queue, so that they become dead letters."""
    engine = await open_engine(str(directory))
    source = await engine.queue_source(queue, "tests")
    await source.dead(await _take(source, count), reason, traceback)
    await source.close()
    await engine.close()


async def acknowledge(directory: Path, queue: str, count: int) -> None:
    """Have a consumer acknowledge so many events of a queue."""
    engine = await open_engine(str(directory))
    source = await engine.queue_source(queue, "tests")
    unit = engine.unit()
    unit.settle(source, await _take(source, count))
    await unit.submit()
    await source.close()
    await engine.close()


async def _take(source: Source, count: int) -> Sequence[Received]:
    taken: list[Received] = []
    while len(taken) < count:
        received = await source.receive(count - len(taken), 1 << 20, WAIT_MS)
        assert received, f"{count - len(taken)} events did not come"
        taken += received
    return taken
