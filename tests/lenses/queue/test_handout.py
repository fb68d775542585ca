"""Handing out: who waits, who gets how much, cold reads, consumers that give up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.clock import SystemClock
from isthmus.errors import Closed, InvalidBatch, Overloaded, StorageFull, StorePoisoned
from isthmus.lenses.queue import handout, ledger
from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log.storage import RealStorage
from support.faulty_storage import WRITES, Fault, FaultyStorage
from support.queues import QueueWorld, offsets, record


@pytest.fixture
async def world() -> AsyncIterator[QueueWorld]:
    async with QueueWorld() as made:
        yield made


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[QueueWorld]:
    async with QueueWorld(storage=RealStorage(str(tmp_path / "store")), clock=SystemClock()) as made:
        yield made


async def test_an_empty_queue_answers_at_once_unless_told_to_wait(world: QueueWorld) -> None:
    assert await world.lease(wait_ms=0) == []


async def test_waiting_ends_when_its_time_is_over(world: QueueWorld) -> None:
    waiting = asyncio.create_task(world.lease(wait_ms=500))

    await world.clock.advance(499)
    assert not waiting.done()
    await world.clock.advance(1)

    assert await waiting == []
    assert world.queue.waiting == 0


async def test_growth_wakes_who_waits(world: QueueWorld) -> None:
    waiting = asyncio.create_task(world.lease(wait_ms=500))
    await world.clock.drain()

    await world.publish("a")

    assert offsets(await waiting) == [0]


async def test_a_release_wakes_who_waits(world: QueueWorld) -> None:
    await world.fill(1)
    found = await world.lease()
    waiting = asyncio.create_task(world.lease(wait_ms=500))
    await world.clock.drain()

    await world.release(found)

    assert offsets(await waiting) == [0]


async def test_several_that_wait_share_what_comes(world: QueueWorld) -> None:
    waiting = [asyncio.create_task(world.lease(10, wait_ms=500)) for _ in range(3)]
    await world.clock.drain()

    await world.fill(7)

    assert [offsets(await each) for each in waiting] == [[0, 1, 2], [3, 4], [5, 6]]


async def test_who_came_first_is_served_first(world: QueueWorld) -> None:
    waiting = [asyncio.create_task(world.lease(1, wait_ms=500)) for _ in range(3)]
    await world.clock.drain()

    await world.fill(2)
    await world.clock.drain()

    assert [each.done() for each in waiting] == [True, True, False]
    await world.fill(1)
    assert offsets(await waiting[2]) == [2]


async def test_consumers_can_be_woken_by_name(world: QueueWorld) -> None:
    mine = asyncio.create_task(world.lease(wait_ms=500, consumer="mine"))
    other = asyncio.create_task(world.lease(wait_ms=500, consumer="other"))
    await world.clock.drain()

    world.queue.wake("mine")

    assert await mine == []
    await world.fill(1)
    assert offsets(await other) == [0]


async def test_too_many_that_wait_are_refused(world: QueueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handout, "QUEUE_CONSUMERS_MAX", 1)
    waiting = asyncio.create_task(world.lease(wait_ms=500))
    await world.clock.drain()

    with pytest.raises(Overloaded):
        await world.lease(wait_ms=500)

    world.queue.wake()
    await waiting


async def test_while_too_much_is_delayed_nothing_more_is_read(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handout, "QUEUE_DELAYED_MAX", 2)
    later = world.clock.now_ms() + 1_000
    await world.publish(*[record("d", due_ms=later)] * 2)
    await world.publish("now")

    assert offsets(await world.lease(1)) == [2]
    await world.publish("next")
    assert await world.lease() == []
    await world.clock.advance(1_000)
    assert offsets(await world.lease()) == [0, 1, 3]


async def test_a_cancelled_wait_takes_nothing(world: QueueWorld) -> None:
    waiting = asyncio.create_task(world.lease(wait_ms=500))
    await world.clock.drain()

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await world.fill(1)
    assert world.queue.waiting == 0
    assert offsets(await world.lease()) == [0]


async def test_a_consumer_that_is_cancelled_while_the_hand_over_is_written_loses_nothing(disk: QueueWorld) -> None:
    await disk.fill(3)
    leasing = asyncio.create_task(disk.lease())
    await asyncio.sleep(0)

    leasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leasing

    again = await disk.lease(wait_ms=5_000)
    assert [(one.lease.offset, one.lease.acquired, one.lease.failed) for one in again] == [
        (0, 2, 0),
        (1, 2, 0),
        (2, 2, 0),
    ]


async def test_what_was_written_for_a_consumer_is_given_to_it_though_its_time_is_over(disk: QueueWorld) -> None:
    await disk.fill(3)

    assert offsets(await disk.lease(wait_ms=0)) == [0, 1, 2]


async def test_records_of_older_segments_come_from_the_disk(disk: QueueWorld) -> None:
    for _ in range(40):
        await disk.publish(*["x" * 1_000] * 30)
    assert len(disk.journal.segments) > 3

    seen = []
    while found := await disk.lease(100, wait_ms=0):
        seen += offsets(found)

    assert seen == list(range(1_200))


async def test_records_that_were_trimmed_unasked_are_passed_over_before_that_is_written(disk: QueueWorld) -> None:
    await disk.fill(10)
    unit = disk.journal.unit()
    unit.fact(facts.Trimmed(disk.partition().id, 4, "repair", 0))
    await unit.submit()

    assert offsets(await disk.lease(1)) == [4]

    assert disk.queue.counts().trimmed == 4


async def test_several_consumers_share_a_cold_read(disk: QueueWorld) -> None:
    for _ in range(40):
        await disk.publish(*["x" * 1_000] * 30)

    found = await asyncio.gather(*[disk.lease(40, wait_ms=5_000) for _ in range(5)])

    seen = sorted(offset for each in found for offset in offsets(each))
    assert seen == list(range(len(seen)))
    assert all(found)


async def test_a_cancelled_cold_read_leaves_the_others_their_turn(disk: QueueWorld) -> None:
    for _ in range(40):
        await disk.publish(*["x" * 1_000] * 30)
    first = asyncio.create_task(disk.lease(10, wait_ms=5_000))
    second = asyncio.create_task(disk.lease(10, wait_ms=5_000))
    await asyncio.sleep(0)

    first.cancel()

    assert offsets(await second) == list(range(10))
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_batch_that_cannot_be_decoded_is_an_error_for_who_asks_and_blocks_nobody_for_ever(
    world: QueueWorld,
) -> None:
    good = batches.encode([record("a")], now_ms=1)
    bad = bytearray(good)
    bad[batches.HEADER_BYTES] ^= 0x7E
    broken = bytes(bad)
    unit = world.journal.unit()
    world.partition().append(unit, broken)
    await unit.submit()
    await world.fill(1)
    unit = world.journal.unit()

    with pytest.raises(InvalidBatch):
        await world.lease()
    assert world.queue.counts().ready == 2
    world.queue.purge(unit)
    await unit.submit()
    await world.publish("c")
    assert offsets(await world.lease()) == [2]


async def test_a_hand_over_that_is_refused_takes_nothing(world: QueueWorld) -> None:
    await world.fill(3)
    world.journal.closed = True

    with pytest.raises(Closed):
        await world.lease()
    world.journal.closed = False

    assert offsets(await world.lease()) == [0, 1, 2]


async def test_what_was_picked_for_a_unit_that_is_refused_is_as_before(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise StorageFull("simulated", 1)

    await world.fill(3)
    with monkeypatch.context() as planted:
        planted.setattr(world.journal, "admit", full)
        with pytest.raises(StorageFull):
            await world.lease()

    assert offsets(await world.lease()) == [0, 1, 2]


async def test_a_poisoned_store_says_so_to_who_waits(tmp_path: Path) -> None:
    storage = FaultyStorage(RealStorage(str(tmp_path / "store")))
    world = QueueWorld(storage=storage, clock=SystemClock())
    await world.open()
    await world.fill(3)
    storage.arm(Fault(1, ops=WRITES))

    with pytest.raises(StorePoisoned):
        await world.lease(wait_ms=5_000)

    with pytest.raises(StorePoisoned):
        await world.lease()
    world.queue.close()
    await world.journal.stop()
    storage.unlock()


async def test_a_window_that_is_full_waits_for_an_acknowledgement(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "QUEUE_WINDOW_MAX", 4)
    await world.fill(10)
    held = await world.lease()
    assert offsets(held) == [0, 1, 2, 3]
    waiting = asyncio.create_task(world.lease(wait_ms=500))
    await world.clock.drain()
    assert not waiting.done()
    assert [one.state for one in await world.queue.peek(10)] == ["leased"] * 4 + ["waiting"] * 6

    await world.ack(held[:2])

    assert offsets(await waiting) == [4, 5]
