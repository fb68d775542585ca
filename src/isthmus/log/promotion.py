"""What one commit group changes when it is as durable as it must be: applied first, told to waiters afterwards.

Live and in replay go through the same steps here. It decides nothing: what is in a group happened.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log.partition import Partition
from isthmus.log.pending import Pending
from isthmus.log.segment import Segment
from isthmus.log.tail import TailCache

Applier = Callable[[Any, int], None]
"""Applies a durable fact, given with its LSN."""

Placed = tuple[Partition, int, int]
"""A partition with the base offset and the offset count of a batch that was placed in it."""


class Store(Protocol):
    """What a promotion changes in the journal."""

    cache: TailCache
    appliers: dict[type[facts.Fact], Applier]
    attributes_hook: Callable[[Partition, int, bytes, int], None] | None


class Promotion:
    """The changes of one commit group of a segment, made at `time_ms`."""

    __slots__ = ("_journal", "_segment", "batches", "moved", "records_added", "settled", "time_ms")

    def __init__(self, journal: Store, segment: Segment, time_ms: int) -> None:
        self._journal = journal
        self._segment = segment
        self.time_ms = time_ms
        self.batches = 0
        self.records_added = 0
        self.moved: dict[int, Partition] = {}
        self.settled: list[tuple[Pending[list[Placed]], list[Placed]]] = []

    def records(
        self, partition: Partition, base: int, lsn: int, length: int, flags: int, header: batches.BatchHeader
    ) -> None:
        """A batch stands in a partition: index it and move the high watermark."""
        end = base + header.last_offset_delta + 1
        self._segment.add(partition.id, base, end, lsn, length, flags, header.max_timestamp_ms)
        if header.producer_id >= 0:
            partition.remember_producer(header, base)
        partition.promote(end, length)
        self.moved[partition.id] = partition
        self.batches += 1
        self.records_added += header.count

    def remember(self, lsn: int, batch: bytes) -> None:
        """Keep the bytes for readers that are at the end."""
        self._journal.cache.put(lsn, batch)

    def attributes(self, partitions: Sequence[Partition], bases: Sequence[int], batch: bytes) -> None:
        """Tell who keeps de-duplication windows of a batch with queue attributes."""
        hook = self._journal.attributes_hook
        if hook is not None:
            for partition, base in zip(partitions, bases, strict=True):
                hook(partition, base, batch, self.time_ms)

    def fact(self, fact: facts.Fact, lsn: int) -> None:
        """A fact is as durable as it asked to be: its owner applies it."""
        applier = self._journal.appliers.get(type(fact))
        if applier is not None:
            applier(fact, lsn)

    def finish(self) -> None:
        """Resolve the waiters, then wake the watchers."""
        for pending, placed in self.settled:
            pending.settle(placed)
        for partition in self.moved.values():
            partition.wake()
