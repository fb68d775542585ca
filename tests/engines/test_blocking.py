"""The event loop never waits for the disk: whatever an engine on a directory is asked, other tasks go on meanwhile.

Allowed is one call: a read of what is in memory already, which says at once when it is not. Left out are opening and
closing, which take and give back the lock of the directory, and units larger than a segment, which ask for free space.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
from blockbuster import BlockBusterFunction, BlockingError, blockbuster_ctx

import isthmus
from isthmus.broker.broker import BrokerOptions
from isthmus.definition import QueueConfig, QueueDefinition, TopicDefinition
from isthmus.engines.connect import open_engine
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.limits import KIB, SEGMENT_BYTES_MIN
from isthmus.log import checkpoint
from isthmus.log.journal import JournalOptions
from isthmus.record import Record

COLD: Final = BrokerOptions(
    journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN, tail_cache_bytes=0, checkpoint_bytes=64 * KIB)
)
"""Small segments that are often sealed, and nothing at hand that was written."""

CALLS: Final = (
    "open",
    "pread",
    "preadv",
    "pwrite",
    "pwritev",
    "fsync",
    "fdatasync",
    "ftruncate",
    "posix_fallocate",
    "posix_fadvise",
    "fstat",
    "lstat",
)
"""Calls of the storage that blockbuster does not know of by itself."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[EmbeddedEngine]:
    """On a real directory, with a detector of blocking calls from when it is open until it is closed."""
    opened = await open_engine(str(tmp_path / "store"), options=COLD)
    assert isinstance(opened, EmbeddedEngine)
    more = [BlockBusterFunction(os, call, scanned_modules=isthmus) for call in CALLS if hasattr(os, call)]
    for function in more:
        function.can_block_in("isthmus/log/storage.py", "pread_now")
    with blockbuster_ctx(isthmus):
        for function in more:
            function.activate()
        try:
            await opened.declare(TopicDefinition(name="orders", partitions=2))
            await opened.declare(QueueDefinition(name="jobs.dead"))
            await opened.declare(QueueDefinition(name="jobs", config=QueueConfig(dead="jobs.dead")))
            yield opened
        finally:
            for function in more:
                function.deactivate()
    await opened.close()


async def fill(engine: EmbeddedEngine, name: str, count: int) -> None:
    """Records enough to fill segments, in publishes that are smaller than one."""
    for start in range(0, count, 20):
        numbers = range(start, min(start + 20, count))
        await engine.publish(name, [Record(os.urandom(4 * KIB), b"%d" % number) for number in numbers])


async def test_the_detector_detects(engine: EmbeddedEngine) -> None:
    with pytest.raises(BlockingError, match=r"os\.(open|lstat)"):
        engine.broker.storage.exists("FORMAT")


async def test_publishing_rolling_and_reading_it_all_again(engine: EmbeddedEngine) -> None:
    await fill(engine, "orders", 400)
    reader = await engine.reader("orders", "earliest", "end")

    found = 0
    while (chunk := await reader.read(64 * KIB, 0)) is not None:
        found += len(chunk.records)

    assert found == 400
    assert len(engine.broker.journal.segments) > 4


async def test_a_group_that_settles_fails_and_catches_up(engine: EmbeddedEngine) -> None:
    await fill(engine, "orders", 200)
    source = await engine.stream_source("orders", "billing", "earliest", "jobs.dead")

    first = await source.receive(10, 64 * KIB, 0)
    await source.fail(first[:3], 0, "no luck")
    await source.release(first[3:6])
    await source.dead(first[6:], "never", "")
    count = 0
    while received := await source.receive(32, 64 * KIB, 0):
        unit = engine.unit()
        unit.settle(source, received)
        unit.publish("jobs", [Record(b"output")])
        await unit.submit()
        count += len(received)
    await source.close()

    assert count == 200 - len(first[6:])


async def test_a_queue_that_leases_settles_and_buries(engine: EmbeddedEngine) -> None:
    await fill(engine, "jobs", 100)
    source = await engine.queue_source("jobs", "worker")

    count = 0
    while received := await source.receive(16, 64 * KIB, 0):
        await source.extend(received, 60_000)
        unit = engine.unit()
        unit.settle(source, received[1:])
        await unit.submit()
        await source.dead(received[:1], "never", "")
        count += len(received)
    await source.close()

    assert count == 100


async def test_administration(engine: EmbeddedEngine) -> None:
    await fill(engine, "orders", 150)
    await fill(engine, "jobs", 5)
    source = await engine.queue_source("jobs", "worker")
    await source.dead(await source.receive(2, 64 * KIB, 0), "never", "")
    admin = engine.admin

    life = await admin.explain("orders", 0, 0)
    letters = await admin.dead_letters("jobs.dead", 10)
    moved = await admin.redrive("jobs.dead")
    views = [await admin.topics(), await admin.queues(), await admin.groups()]
    purged = await admin.purge("jobs")
    times = await engine.reader("orders", ("time", 0), "end")
    await admin.remove("orders")
    await admin.reclaim()

    assert (len(life), len(letters), moved, purged) == (1, 2, 2, 5)
    assert all(view is not None for view in views)
    assert not times.ended


async def test_what_goes_on_by_itself(engine: EmbeddedEngine) -> None:
    await fill(engine, "orders", 150)

    await checkpoint.take(engine.broker.journal)
    await engine.broker.housekeeping.once()
    await asyncio.sleep(0)

    assert engine.broker.journal.checkpoints
