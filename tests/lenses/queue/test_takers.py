"""Standing consumers of a real queue: credit, turns, giving up, taking without leases, ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.clock import SystemClock
from isthmus.definition import QueueConfig
from isthmus.errors import Closed, InvalidArgument, InvalidBatch, Overloaded
from isthmus.lenses.queue import handout, takers
from isthmus.limits import CONSUMER_RETRY_MS
from isthmus.log import batch as batches
from isthmus.log.storage import RealStorage
from support.queues import QueueWorld, Standing, offsets, record


@pytest.fixture
async def world() -> AsyncIterator[QueueWorld]:
    async with QueueWorld() as made:
        yield made


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[QueueWorld]:
    async with QueueWorld(storage=RealStorage(str(tmp_path / "store")), clock=SystemClock()) as made:
        yield made


async def until_got(standing: Standing, count: int) -> None:
    """Let the loop run until so much was delivered."""
    while len(standing.leased) < count:  # noqa: ASYNC110 - the commit thread is waited for, which sets no event
        await asyncio.sleep(0)


async def test_a_consumer_is_handed_what_there_is_and_what_comes(world: QueueWorld) -> None:
    await world.fill(2)
    one = world.consume()
    await world.clock.drain()

    await world.fill(3)
    await world.clock.drain()

    assert [offsets(batch) for batch in one.batches] == [[0, 1], [2, 3, 4]]
    assert one.consumer.credit == 95
    assert world.queue.counts().leased == 5


async def test_without_credit_nothing_is_handed_over_until_some_is_granted(world: QueueWorld) -> None:
    one = world.consume(2)
    await world.fill(5)
    await world.clock.drain()
    assert one.offsets == [0, 1]

    one.consumer.grant(1)
    one.consumer.grant(1)
    await world.clock.drain()

    assert [offsets(batch) for batch in one.batches] == [[0, 1], [2, 3]]


async def test_credit_can_be_taken_back(world: QueueWorld) -> None:
    one = world.consume(5)
    await world.clock.drain()

    one.consumer.grant(-4)
    await world.fill(3)
    await world.clock.drain()

    assert one.offsets == [0]


async def test_consumers_take_turns(world: QueueWorld) -> None:
    one, two = world.consume(), world.consume(name="two", session=2)
    for _ in range(4):
        await world.publish("x")
        await world.clock.drain()

    assert one.offsets == [0, 2]
    assert two.offsets == [1, 3]


async def test_consumers_share_what_there_is(world: QueueWorld) -> None:
    await world.fill(7)
    one, two = world.consume(), world.consume(name="two", session=2)
    await world.clock.drain()

    assert one.offsets == [0, 1, 2, 3]
    assert two.offsets == [4, 5, 6]


async def test_one_with_much_credit_takes_a_bounded_batch_while_others_wait(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takers, "CONSUMER_TURN_RECORDS", 2)
    await world.fill(8)
    one, two = world.consume(1_000), world.consume(1_000, name="two", session=2)
    await world.clock.drain()

    assert [offsets(batch) for batch in one.batches] == [[0, 1], [4, 5]]
    assert [offsets(batch) for batch in two.batches] == [[2, 3], [6, 7]]


async def test_a_batch_is_bounded_by_bytes(world: QueueWorld) -> None:
    await world.publish(*["x" * 10] * 4)
    one = world.consume(max_bytes=25)
    await world.clock.drain()

    assert [offsets(batch) for batch in one.batches] == [[0, 1], [2, 3]]


async def test_a_higher_priority_is_served_as_long_as_it_has_credit(world: QueueWorld) -> None:
    low, high = world.consume(), world.consume(2, name="high", session=2, priority=1)
    await world.fill(1)
    await world.clock.drain()
    await world.fill(3)
    await world.clock.drain()

    assert high.offsets == [0, 1]
    assert low.offsets == [2, 3]


async def test_callers_that_wait_and_consumers_share_the_line(world: QueueWorld) -> None:
    one = world.consume()
    waiting = asyncio.create_task(world.lease(1, wait_ms=500, session=2))
    await world.clock.drain()

    await world.fill(2)

    assert offsets(await waiting) == [1]
    assert one.offsets == [0]


async def test_taking_settles_at_the_hand_over(world: QueueWorld) -> None:
    await world.fill(3)

    one = world.consume(take=True)
    await world.clock.drain()

    assert one.offsets == [0, 1, 2]
    assert (world.queue.counts().acked, world.queue.counts().leased) == (3, 0)
    await world.crash()
    assert await world.lease() == []


async def test_after_cancel_nothing_is_handed_over_and_leases_stay(world: QueueWorld) -> None:
    one = world.consume()
    await world.fill(2)
    await world.clock.drain()

    one.consumer.cancel()
    await world.fill(1)
    await world.clock.drain()

    assert one.offsets == [0, 1]
    assert world.queue.counts().leased == 2
    await world.ack(one.leased)
    assert world.queue.counts().acked == 2


async def test_what_is_on_its_way_when_a_consumer_is_cancelled_goes_back_unfailed(disk: QueueWorld) -> None:
    await disk.fill(3)
    one = disk.consume()
    await asyncio.sleep(0)
    over: list[bool] = []

    one.consumer.cancel(lambda: over.append(True))

    assert over == [True]
    again = await disk.lease(wait_ms=5_000)
    assert [(each.lease.offset, each.lease.acquired, each.lease.failed) for each in again] == [
        (0, 2, 0),
        (1, 2, 0),
        (2, 2, 0),
    ]
    assert one.batches == []


async def test_what_is_settled_and_on_its_way_still_comes_after_cancel(disk: QueueWorld) -> None:
    await disk.fill(3)
    one = disk.consume(take=True)
    await asyncio.sleep(0)
    over: list[int] = []

    one.consumer.cancel(lambda: over.append(len(one.leased)))
    one.consumer.cancel()
    one.consumer.cancel(lambda: over.append(-1))

    assert over == []
    await until_got(one, 3)
    assert over == [3, -1]


async def test_what_is_given_back_comes_again_in_order(world: QueueWorld) -> None:
    await world.fill(4)
    one = world.consume(2)
    await world.clock.drain()

    await world.release(one.leased)
    one.consumer.grant(4)
    await world.clock.drain()

    assert one.offsets == [0, 1, 0, 1, 2, 3]


async def test_the_end_of_a_session_ends_its_consumers_and_counts_a_failure(world: QueueWorld) -> None:
    await world.fill(2)
    one, two = world.consume(), world.consume(0, name="two", session=2)
    await world.clock.drain()

    await world.end_session()
    two.consumer.grant(10)
    await world.clock.drain()

    assert world.queue.consumers == [two.consumer]
    assert [(each.lease.offset, each.lease.failed) for each in two.leased] == [(0, 1), (1, 1)]
    assert one.consumer.ended


async def test_who_wants_to_know_is_told_how_many_consumers_there_are(world: QueueWorld) -> None:
    counts: list[int] = []
    world.queue.on_consumers = counts.append

    one, two = world.consume(), world.consume(name="two")
    one.consumer.cancel()
    one.consumer.cancel()
    two.consumer.cancel()

    assert counts == [1, 2, 1, 0]


async def test_a_consumer_of_a_queue_that_is_closed_is_told(world: QueueWorld) -> None:
    one = world.consume()

    world.queue.close()
    await world.clock.drain()

    assert [type(error) for error in one.ends] == [Closed]
    with pytest.raises(Closed):
        world.consume()


async def test_a_consumer_whose_next_record_cannot_be_read_is_told(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> list[object]:
        raise InvalidBatch("planted")

    await world.fill(1)
    monkeypatch.setattr(batches, "decode", refuse)
    one = world.consume()
    await world.clock.drain()

    assert [type(error) for error in one.ends] == [InvalidBatch]
    assert world.queue.consumers == []


async def test_records_on_disk_are_fetched_beside(disk: QueueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk.journal, "read_now", lambda *_: None)
    await disk.fill(3)
    one = disk.consume()

    await until_got(one, 3)

    assert one.offsets == [0, 1, 2]


async def test_a_hand_over_for_which_the_journal_has_no_room_is_tried_again(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Overloaded("bytes that wait for the disk", 1)

    await world.fill(1)
    with monkeypatch.context() as patched:
        patched.setattr(world.journal, "admit", refuse)
        one = world.consume()
        await world.clock.drain()
        assert one.batches == []

    await world.clock.advance(CONSUMER_RETRY_MS)

    assert one.offsets == [0]
    assert one.ends == []


async def test_delayed_records_come_to_a_consumer_when_they_are_due(world: QueueWorld) -> None:
    one = world.consume()
    await world.publish(record("later", due_ms=world.clock.now_ms() + 1_000))
    await world.clock.advance(999)
    assert one.batches == []

    await world.clock.advance(1)

    assert one.offsets == [0]


async def test_only_the_active_consumer_of_a_single_queue_is_served() -> None:
    async with QueueWorld(QueueConfig(single=True)) as world:
        one, two = world.consume(), world.consume(name="two", session=2)
        await world.fill(3)
        await world.clock.drain()
        assert (one.offsets, two.offsets) == ([0, 1, 2], [])
        assert (one.consumer.active, two.consumer.active) == (True, False)

        await world.end_session(1)
        await world.clock.drain()

        assert two.offsets == [0, 1, 2]


async def test_callers_of_a_single_queue_wait_while_another_one_holds_leases() -> None:
    async with QueueWorld(QueueConfig(single=True)) as world:
        await world.fill(2)
        mine = await world.lease(1)
        other = asyncio.create_task(world.lease(1, session=2, wait_ms=500))
        await world.clock.drain()
        assert not other.done()

        await world.ack(mine)

        assert offsets(await other) == [1]


async def test_too_many_consumers_and_bad_arguments_are_refused(
    world: QueueWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handout, "QUEUE_CONSUMERS_MAX", 1)
    with pytest.raises(InvalidArgument):
        world.consume(max_bytes=0)
    with pytest.raises(InvalidArgument):
        world.consume(lease_ms=0)
    world.consume()

    with pytest.raises(Overloaded):
        world.consume()


async def test_what_is_granted_while_the_journal_keeps_units_is_handed_over_with_them(disk: QueueWorld) -> None:
    await disk.fill(2)
    one = disk.consume(1)
    await until_got(one, 1)
    groups = disk.journal.groups_committed

    disk.journal.hold()
    unit = disk.journal.unit()
    disk.queue.ack(unit, [one.leased[0].lease])
    unit.submit()
    one.consumer.grant(1)
    disk.journal.release()
    await until_got(one, 2)

    assert disk.journal.groups_committed == groups + 1
    assert disk.queue.counts().acked == 1
