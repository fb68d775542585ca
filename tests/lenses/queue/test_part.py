"""The choice of what goes out next of one partition."""

from collections.abc import AsyncIterator

import pytest

from isthmus.definition import QueueConfig
from isthmus.errors import InvalidBatch
from isthmus.lenses.queue.part import Part, Source
from isthmus.log import batch as batches
from isthmus.record import Record
from support.queues import MANY_BYTES, QueueWorld, record


@pytest.fixture
async def world() -> AsyncIterator[QueueWorld]:
    async with QueueWorld() as made:
        yield made


def part_of(world: QueueWorld, config: QueueConfig | None = None, *, own: bool = True) -> Part:
    part = Part(Source(world.partition(), 0, own), config or QueueConfig(), world.clock)
    part.go_live()
    part.grow()
    return part


def sparse(count: int, kept: list[int]) -> bytes:
    """A batch over `count` offsets in which only some records are left, as compaction leaves it."""
    whole = batches.encode([Record(b"%d" % at) for at in range(count)], now_ms=1)
    return batches.rebuild(whole, [one for one in batches.decode(whole) if one.offset in kept])


async def append(world: QueueWorld, data: bytes) -> None:
    unit = world.journal.unit()
    world.partition().append(unit, data)
    await unit.submit()


async def test_a_pick_has_records_and_the_ranges_to_lease(world: QueueWorld) -> None:
    await world.fill(5)
    await world.fill(5)
    part = part_of(world)

    picked = part.pick(7, MANY_BYTES, fresh=True)

    assert (picked.count, picked.groups) == (7, {(0, 0): [(0, 5), (5, 7)]})
    assert [one.offset for records, _, _ in picked.rows for one in records] == list(range(7))
    assert part.pick(9, MANY_BYTES, fresh=True).groups == {(0, 0): [(7, 10)]}


async def test_what_is_put_back_can_be_picked_again(world: QueueWorld) -> None:
    await world.publish("a", record("b", expire_ms=1), "c")
    part = part_of(world)
    picked = part.pick(9, MANY_BYTES, fresh=True)
    assert picked.expired == [(1, 2)]

    part.put_back(picked)

    again = part.pick(9, MANY_BYTES, fresh=True)
    assert again.groups == {(0, 0): [(0, 1), (2, 3)]}
    assert again.expired == [(1, 2)]


async def test_offsets_that_compaction_left_empty_are_named(world: QueueWorld) -> None:
    await append(world, sparse(6, [1, 4]))
    part = part_of(world)

    picked = part.pick(9, MANY_BYTES, fresh=True)

    assert picked.groups == {(0, 0): [(1, 2), (4, 5)]}
    assert picked.gaps == [(0, 1), (2, 4), (5, 6)]


async def test_a_batch_that_is_left_empty_is_a_gap(world: QueueWorld) -> None:
    await append(world, sparse(3, []))
    await world.fill(1)
    part = part_of(world)

    picked = part.pick(9, MANY_BYTES, fresh=True)

    assert picked.gaps == [(0, 3)]
    assert picked.groups == {(0, 0): [(3, 4)]}


async def test_an_ordered_queue_meets_gaps_when_it_reads(world: QueueWorld) -> None:
    await append(world, sparse(4, [0, 3]))
    part = part_of(world, QueueConfig(ordered=True))

    picked = part.pick(9, MANY_BYTES, fresh=True)

    assert picked.gaps == [(1, 3)]
    assert picked.groups == {(0, 0): [(0, 1), (3, 4)]}


async def test_when_something_is_there_already_a_large_record_waits(world: QueueWorld) -> None:
    await world.publish("x" * 100)
    part = part_of(world)

    assert part.pick(9, 50, fresh=True, begun=True).count == 0
    assert part.pick(9, 50, fresh=True).count == 1


async def test_a_gap_before_a_record_that_does_not_fit_is_taken_with_nothing(world: QueueWorld) -> None:
    await append(world, sparse(5, [3, 4]))
    part = part_of(world)

    picked = part.pick(9, 0, fresh=True, begun=True)

    assert (picked.count, picked.gaps) == (0, [(0, 3)])
    assert part.pick(9, MANY_BYTES, fresh=True).groups == {(0, 0): [(3, 5)]}


async def test_a_survey_admits_what_is_delayed_and_takes_nothing(world: QueueWorld) -> None:
    later = world.clock.now_ms() + 1_000
    await world.publish(record("a", due_ms=later), "b")
    await append(world, sparse(2, [0]))
    part = part_of(world)

    gaps = part.survey(fresh=True)

    assert part.ledger.counts().delayed == 1
    assert gaps == []
    assert part.pick(9, MANY_BYTES, fresh=True).groups == {(0, 0): [(1, 2), (2, 3)]}


async def test_a_batch_that_cannot_be_read_takes_nothing(world: QueueWorld) -> None:
    await world.fill(2)
    good = bytearray(batches.encode([Record(b"a")], now_ms=1))
    good[-1] ^= 0xFF
    await append(world, bytes(good))
    part = part_of(world)

    with pytest.raises(InvalidBatch):
        part.pick(9, MANY_BYTES, fresh=True)

    assert part.pick(2, MANY_BYTES, fresh=True).groups == {(0, 0): [(0, 2)]}


async def test_one_record_can_be_asked_for(world: QueueWorld) -> None:
    await append(world, sparse(3, [0, 2]))
    part = part_of(world)

    found = [await part.record(offset) for offset in range(3)]

    assert [one.value if one is not None else None for one in found] == [b"0", None, b"2"]


async def test_unsettled_records_are_those_that_are_left(world: QueueWorld) -> None:
    await world.fill(3)
    await append(world, sparse(3, [1]))
    await world.fill(2)
    part = part_of(world)
    change = part.ledger.settle([(1, 2), (6, 7)], "acked")
    part.ledger.apply(change)

    assert [one.offset async for one in part.unsettled(9)] == [0, 2, 4, 7]
    assert [one.offset async for one in part.unsettled(2)] == [0, 2]
