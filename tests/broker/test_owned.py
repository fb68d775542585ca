"""Reading for a position from a slow disk: what happens meanwhile, and what a cancelled reader leaves."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.broker.broker import BrokerOptions
from isthmus.broker.owned import Owned
from isthmus.clock import SystemClock
from isthmus.errors import InvalidBatch
from isthmus.lenses.stream.position import START, Position
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log import batch as batches
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import PLATFORM, RealStorage
from isthmus.record import Record, StoredRecord
from support.brokers import MANY_BYTES, World, world

COLD = BrokerOptions(journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN, tail_cache_bytes=0))
LATER_MS = 1_000


@asynccontextmanager
async def cold_world(folder: Path) -> AsyncGenerator[World]:
    """Every read goes to a work thread, so that others run meanwhile."""
    storage = RealStorage(folder / "store", platform=replace(PLATFORM, without_waiting=None))
    async with world(storage, SystemClock(), COLD) as w:
        await w.topic()
        yield w


def owned_in(w: World, group: str = "billing") -> Owned:
    return Owned(w.find().partitions[0], Position(START), group, lambda: None)


async def take(owned: Owned, count: int = 100, now_ms: int = 0) -> list[StoredRecord]:
    return await owned.take(now_ms, count, MANY_BYTES)


def offsets(records: list[StoredRecord]) -> list[int]:
    return [record.offset for record in records]


async def test_a_cancelled_read_of_new_records_has_taken_nothing(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        await w.publish("a", "b")
        owned = owned_in(w)
        reading = asyncio.ensure_future(take(owned))
        await asyncio.sleep(0)

        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

        assert not owned.position.busy
        assert offsets(await take(owned)) == [0, 1]


async def test_a_cancelled_read_of_what_comes_again_offers_it_again(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        await w.publish("a:1", "b:1", "c:1")
        owned = owned_in(w)
        first, second, third = await take(owned)
        owned.position.fail(first, 0)
        owned.position.release(second)
        owned.position.release(third)
        reading = asyncio.ensure_future(take(owned))
        await asyncio.sleep(0)

        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

        assert not owned.position.busy
        assert offsets(await take(owned)) == [0, 1, 2]


async def test_what_is_read_again_waits_when_an_earlier_one_of_its_key_fails_meanwhile(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        await w.publish("a:1", "b:1", "a:2")
        owned = owned_in(w)
        first, other, later = await take(owned)
        owned.position.release(later)
        owned.position.release(other)
        reading = asyncio.ensure_future(take(owned))
        await asyncio.sleep(0)

        owned.position.fail(first, LATER_MS)

        assert offsets(await reading) == [1]
        assert offsets(await take(owned, now_ms=LATER_MS)) == [0]


async def test_what_was_trimmed_before_it_is_read_again_is_passed_over(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        for text in "abc":
            await w.publish(text)
        owned = owned_in(w)
        first, second, _ = await take(owned)
        owned.position.release(first)
        owned.position.release(second)

        await w.trim(1)

        assert offsets(await take(owned)) == [1]
        assert owned.position.floor == 1


async def test_each_batch_is_read_once_for_all_that_comes_again_from_it(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        for number in range(3):
            await w.publish(*[f"{number} {at}" for at in range(50)])
        owned = owned_in(w)
        for record in await take(owned, 1_000):
            owned.position.release(record)

        found = await take(owned, 1_000)

        assert offsets(found) == [*range(150)]
        assert [(record.value or b"").decode() for record in found[49:51]] == ["0 49", "1 0"]


async def test_a_batch_that_cannot_be_decoded_is_an_error_each_time_and_what_came_before_it_is_not_lost(
    tmp_path: Path,
) -> None:
    async with cold_world(tmp_path) as w:
        await w.publish("good")
        await w.broker.append_batch(w.session, w.find(), 0, undecodable())
        owned = owned_in(w)

        with pytest.raises(InvalidBatch):
            await take(owned)
        found = await take(owned)
        with pytest.raises(InvalidBatch):
            await take(owned)

        assert offsets(found) == [0]


def undecodable() -> bytes:
    """A batch whose checksum is right and whose only record is not one."""
    whole = batches.encode([Record(b"x" * 20)], now_ms=0)
    head = batches.header(whole)
    return batches._seal(head, b"\xff" * 40)


async def test_without_a_revocation_there_is_more_while_something_is_unread(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        owned = owned_in(w)
        empty = owned.has_more
        await w.publish("a", "b")
        unread = owned.has_more
        records = await take(owned)
        taken = owned.has_more
        owned.position.release(records[0])

        assert (empty, unread, taken, owned.has_more) == (False, True, False, True)
        owned.revoked_until_ms = 5
        assert not owned.has_more


async def test_what_is_dropped_hears_nothing_more(tmp_path: Path) -> None:
    async with cold_world(tmp_path) as w:
        told: list[str] = []
        owned = Owned(w.find().partitions[0], Position(START), "billing", lambda: told.append("grown"))
        await w.publish("a")

        owned.drop()
        await w.publish("b")

        assert told == ["grown"]
