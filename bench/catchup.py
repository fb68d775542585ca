"""A catch-up read of cold partitions among a thousand that were written by turns, beside a sequential read of the disk.

After an fsync every file is dropped from the page cache with posix_fadvise; a cache below the operating system, such
as a virtual disk's, stays warm for both sides of the comparison. The engine's own caches are empty: it was reopened.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.harness import Row, Settings, drop_pages, row, store
from isthmus import Notification, Stream, connect
from isthmus.client.bus import Bus
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.limits import KIB, MIB, READ_BYTES_TARGET, SEGMENT_BYTES_EMBEDDED, SEGMENT_BYTES_SERVER
from isthmus.log.partition import Partition
from isthmus.record import Record

SUBJECT: Final = "catchup"
PARTITIONS: Final = 1_000
READ: Final = 20
BATCHES: Final = {4: 40, 16: 20, 128: 6}
"""KiB of a batch: how many batches each partition gets."""
MIDDLE_KIB: Final = 16
BLOCK_BYTES: Final = 1 * MIB
UNITS: Final = 64


class Blob(Notification):
    text: str


def broker_of(bus: Bus) -> EmbeddedEngine:
    assert isinstance(bus.engine, EmbeddedEngine)
    return bus.engine


async def fill(path: str, batch_kib: int, segment_bytes: int) -> None:
    """One batch to each partition in turn, and again."""
    async with connect(path, segment_bytes=segment_bytes) as bus:
        await bus.declare(Stream[Blob]("wide", key=None, partitions=PARTITIONS))
        engine = broker_of(bus)
        broker = engine.broker
        topic = broker.topic(engine.namespace, "wide")
        records = [Record(os.urandom(batch_kib * KIB - 100))]
        waiting = []
        for _ in range(BATCHES[batch_kib]):
            for partition in range(PARTITIONS):
                waiting.append(broker.publish(engine.session, topic, records, partition=partition))
                if len(waiting) == UNITS:
                    for pending in waiting:
                        await pending
                    waiting.clear()
        for pending in waiting:
            await pending


async def catch_up(path: str) -> float:
    """MB a second, batches as they are stored; some partitions from their start to their end, one after the other."""
    drop_pages(path)
    async with connect(path) as bus:
        engine = broker_of(bus)
        topic = engine.broker.topic(engine.namespace, "wide")
        drop_pages(path)
        start, size = time.perf_counter(), 0
        for partition in topic.partitions[:: PARTITIONS // READ]:
            size += await read_through(partition)
        return size / (time.perf_counter() - start) / 1e6


async def read_through(partition: Partition) -> int:
    offset = size = 0
    while offset < partition.high_watermark:
        for batch in await partition.read(offset, READ_BYTES_TARGET):
            size += len(batch.data)
            offset = batch.end_offset
    return size


def sequential(path: str, size: int) -> float:
    """MB a second of the same files from front to back, as many bytes as the catch-up read."""
    drop_pages(path)
    start, left = time.perf_counter(), size
    for segment in sorted((Path(path) / "journal").glob("*.log")):
        file = os.open(segment, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while left > 0 and (data := os.read(file, BLOCK_BYTES)):
                left -= len(data)
        finally:
            os.close(file)
    return (size - left) / (time.perf_counter() - start) / 1e6


def rows(settings: Settings) -> Iterator[Row]:
    for batch_kib in BATCHES:
        yield from catchup_rows(settings, batch_kib, SEGMENT_BYTES_EMBEDDED)
    yield from catchup_rows(settings, MIDDLE_KIB, SEGMENT_BYTES_SERVER)


def catchup_rows(settings: Settings, batch_kib: int, segment_bytes: int) -> Iterator[Row]:
    with store(settings) as path:
        asyncio.run(fill(path, batch_kib, segment_bytes))
        size = READ * BATCHES[batch_kib] * batch_kib * KIB
        found, plain = [], []
        for _ in range(settings.rounds):
            found.append(asyncio.run(catch_up(path)))
            plain.append(sequential(path, size))
    what = f"{batch_kib} KiB batches, {segment_bytes // MIB} MiB segments"
    yield row(SUBJECT, f"{what}, {READ} of {PARTITIONS:,} partitions", "fsync", found, "MB/s", note="cold")
    yield row(SUBJECT, f"{what}, sequential read", "fsync", plain, "MB/s", note="cold, as many bytes")
