"""Ids of producers: never one twice, over restarts and whoever asks at the same time."""

import asyncio

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.broker.producer_ids import BLOCK
from isthmus.clock import SystemClock
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage

SMALL = BrokerOptions(JournalOptions(segment_bytes=SEGMENT_BYTES_MIN))


async def taken(storage: MemoryStorage, count: int) -> list[int]:
    broker = Broker(storage, SystemClock(), SMALL)
    await broker.open()
    try:
        return await asyncio.gather(*[broker.producer_ids.take() for _ in range(count)])
    finally:
        await broker.close()


async def test_ids_are_given_once_whoever_asks_at_the_same_time() -> None:
    found = await taken(MemoryStorage(), BLOCK + 10)

    assert len(set(found)) == BLOCK + 10
    assert min(found) >= 0


async def test_a_restart_gives_none_again_and_loses_no_more_than_a_block() -> None:
    storage = MemoryStorage()

    first, second, third = [await taken(storage, 3) for _ in range(3)]

    assert len({*first, *second, *third}) == 9
    assert max(first) < min(second) < min(third) <= min(first) + 2 * BLOCK


async def test_a_block_is_written_once() -> None:
    broker = Broker(MemoryStorage(), SystemClock(), SMALL)
    await broker.open()
    await broker.producer_ids.take()
    before = broker.catalog.next_producer

    for _ in range(BLOCK - 1):
        await broker.producer_ids.take()
    within = broker.catalog.next_producer
    await broker.producer_ids.take()

    assert within == before
    assert broker.catalog.next_producer == before + BLOCK
    await broker.close()
