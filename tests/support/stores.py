"""Stores with known content, made through the journal itself, for tests that look at files; and ways to hurt them."""

from collections.abc import Sequence
from typing import Final, Self

from isthmus.clock import SystemClock
from isthmus.definition import TopicConfig
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log import batch, checkpoint, facts
from isthmus.log.compaction import Compaction
from isthmus.log.journal import Journal, JournalOptions
from isthmus.log.recovery import open_journal
from isthmus.log.storage import Storage
from isthmus.record import Record

TOPIC: Final = "orders"
TOPIC_ID: Final = 1
PARTITIONS: Final = 2
RECORDS: Final = 10
"""In each batch."""

BATCH: Final = batch.encode([Record(b'{"n":%d}' % number * 20, b"k") for number in range(RECORDS)], now_ms=1_000)


def partition_id(index: int) -> int:
    """The id of a partition of the topic."""
    return TOPIC_ID << 16 | index


class StoreMaker:
    """A journal with one topic of two partitions, open for writing; use it as an async context manager."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.journal = Journal(storage, SystemClock(), JournalOptions(segment_bytes=SEGMENT_BYTES_MIN))
        self._topic = facts.TopicSet(
            TOPIC_ID, b"x" * 16, "default", TOPIC, PARTITIONS, "murmur2", TopicConfig(), "durable", None, 1_000
        )

    async def __aenter__(self) -> Self:
        self.journal.exporters.append(lambda: [self._topic])
        self.journal.register(facts.TopicSet, self._make_partitions)
        self.journal.names_hook = lambda partition: ("default", TOPIC, partition & 0xFFFF, b"x" * 16)
        await open_journal(self.journal)
        await self.fact(self._topic)
        return self

    def _make_partitions(self, _: facts.TopicSet, lsn: int) -> None:  # noqa: ARG002 - what an applier takes
        for index in range(PARTITIONS):
            self.journal.add_partition(partition_id(index), "fsync")

    async def __aexit__(self, *_: object) -> None:
        await self.journal.stop()
        self.storage.unlock()

    async def fact(self, fact: facts.Fact) -> None:
        """One fact in a unit of its own."""
        unit = self.journal.unit()
        unit.fact(fact)
        await unit.submit()

    async def batches(self, count: int) -> None:
        """So many batches, to the partitions in turn, each in a unit and, as far as that goes, a group of its own."""
        for number in range(count):
            unit = self.journal.unit()
            partition = self.journal.partitions[partition_id(number % PARTITIONS)]
            partition.append(unit, BATCH)
            pending = unit.submit()
            if number % 8 == 7 or number == count - 1:
                await pending

    async def checkpoint(self) -> None:
        """Take one now."""
        await checkpoint.take(self.journal)


async def make_store(storage: Storage, batches: int = 400, checkpoints: Sequence[int] = (200, 400)) -> None:
    """A cleanly closed store; `checkpoints` are taken after so many batches. 400 batches fill two segments and more."""
    async with StoreMaker(storage) as maker:
        written = 0
        for stop in sorted({*checkpoints, batches}):
            await maker.batches(stop - written)
            written = stop
            if stop in checkpoints:
                await maker.checkpoint()


async def compacted_store(storage: Storage) -> None:
    """A cleanly closed store of which two segments were compacted into one, and that goes on behind it."""
    async with StoreMaker(storage) as maker:
        await maker.batches(400)
        partition = maker.journal.partitions[partition_id(0)]
        await maker.fact(facts.Trimmed(partition.id, partition.high_watermark, "test", 1))
        await maker.journal.seal_active()
        await maker.checkpoint()
        await maker.checkpoint()
        await Compaction(maker.journal, SystemClock()).once([], force=True)
        await maker.batches(10)


def flip(storage: Storage, name: str, position: int) -> None:
    """Turn one bit of a file over."""
    file = storage.open(name, write=True)
    (byte,) = file.pread(1, position)
    file.pwrite([bytes([byte ^ 0x10])], position)
    file.close()


def cut(storage: Storage, name: str, size: int) -> None:
    """End a file early."""
    file = storage.open(name, write=True)
    file.truncate(size)
    file.close()
