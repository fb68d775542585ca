"""Fetch by offset: batches of several partitions within a byte budget, waiting for growth when there are none.

It keeps no position and disturbs nobody.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from isthmus.clock import Clock, wait_own
from isthmus.errors import InvalidArgument, Overloaded
from isthmus.limits import FETCH_BYTES_MAX, LONG_POLLS_MAX
from isthmus.log.partition import BatchAt, Partition


class Fetched(NamedTuple):
    """What one partition gave: batches in offset order, the first of which may begin before the asked offset."""

    partition: Partition
    batches: list[BatchAt]


class LongPolls:
    """Counts readers that wait, so that their number has a bound."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.waiting = 0

    async def wait_any(self, places: Sequence[tuple[Partition, int]], until_ms: int) -> bool:
        """Wait until some partition has grown past its offset, or was trimmed past it; False when time ran out.

        Raises:
            Overloaded: too many wait already.
            StorageError: nothing will ever come: the store is closed or poisoned.
        """
        if self.waiting >= LONG_POLLS_MAX:
            raise Overloaded("readers that wait for new records", LONG_POLLS_MAX)
        grown: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not grown.done() and any(p.high_watermark > at or p.log_start > at or p.ended for p, at in places):
                grown.set_result(None)

        unwatch = [partition.watch(look) for partition, _ in places]
        self.waiting += 1
        look()
        try:
            found = await wait_own(self._clock, grown, until_ms)
        finally:
            self.waiting -= 1
            for stop in unwatch:
                stop()
        for partition, _ in places:
            if partition.ended is not None:
                raise partition.ended
        return found

    async def fetch(
        self, places: Sequence[tuple[Partition, int]], *, max_bytes: int, wait_ms: int = 0, min_bytes: int = 1
    ) -> list[Fetched]:
        """Batches from each (partition, offset), in the order asked, up to `max_bytes` in all (at least one batch).

        Waits up to `wait_ms` until there are `min_bytes`, or as many as fit.

        Raises:
            InvalidArgument: `max_bytes` is less than one.
            OffsetOutOfRange: an offset does not exist.
            Damaged: bytes on disk are not those that were written.
            Overloaded: too many readers wait already.
            StorageError: the store is closed or poisoned.
        """
        if max_bytes < 1:
            raise InvalidArgument("max_bytes", f"{max_bytes} is less than one")
        until_ms = self._clock.monotonic_ms() + wait_ms
        while True:
            found = await self._read(places, min(max_bytes, FETCH_BYTES_MAX))
            size = sum(len(batch.data) for fetched in found for batch in fetched.batches)
            ends = [
                (one.partition, one.batches[-1].end_offset if one.batches else offset)
                for one, (_, offset) in zip(found, places, strict=True)
            ]
            # What is there and was not read did not fit, so more than this will not come.
            full = any(partition.high_watermark > end for partition, end in ends)
            if size >= min_bytes or full or not places or self._clock.monotonic_ms() >= until_ms:
                return found
            if not await self.wait_any(ends, until_ms):
                return found

    async def _read(self, places: Sequence[tuple[Partition, int]], max_bytes: int) -> list[Fetched]:
        found = []
        for partition, offset in places:
            batches = await partition.read(offset, max_bytes) if max_bytes > 0 else []
            max_bytes -= sum(len(batch.data) for batch in batches)
            found.append(Fetched(partition, batches))
        return found
