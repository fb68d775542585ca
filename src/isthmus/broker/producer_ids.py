"""Ids for idempotent producers: each is given once in the life of a store.

They are taken from the store in blocks, so that a producer mostly does not wait for the disk; what is left of a block
when the process ends is never given.
"""

import asyncio
from typing import Final

from isthmus.broker.catalog import Catalog
from isthmus.log import facts
from isthmus.log.journal import Journal

BLOCK: Final = 1_000


class ProducerIds:
    """See the module text."""

    def __init__(self, journal: Journal, catalog: Catalog) -> None:
        self._journal = journal
        self._catalog = catalog
        self._next = 0
        self._end = 0
        self._lock = asyncio.Lock()

    async def take(self) -> int:
        """An id that was never given, durably so.

        Raises:
            ReadOnly, StorageFull, StorePoisoned, Closed: there is none.
        """
        async with self._lock:
            if self._next >= self._end:
                first = self._catalog.next_producer
                unit = self._journal.unit()
                unit.fact(facts.IdsUsed(self._catalog.next_id, first + BLOCK))
                await unit.submit()
                self._next, self._end = first, first + BLOCK
            self._next += 1
            return self._next - 1
