"""A journal with one topic, opened and ready, for tests of the parts of the log."""

from typing import Final

from isthmus.definition import Level
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage, Storage
from support.log_world import SMALL, Make, Store, pid

TOPIC: Final = 1
P0: Final = pid(TOPIC, 0)
P1: Final = pid(TOPIC, 1)


async def opened(
    storage: Storage | None = None, *, level: Level = "fsync", options: JournalOptions = SMALL, read_only: bool = False
) -> Store:
    """A store that is open; a new one has topic 1 with the partitions P0 and P1."""
    store = Store(MemoryStorage() if storage is None else storage, options=options)
    report = await store.open(read_only=read_only)
    if report.created:
        await store.submit([Make(TOPIC, 2, level)])
    return store
