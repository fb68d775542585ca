"""One partition: offsets out, batches in order back, readers told when there is more."""

import asyncio

import pytest

from isthmus.errors import Closed, OffsetOutOfRange
from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log.partition import Partition
from isthmus.record import Record
from support.log_world import KIB, Append, Store, Trim, batch_of
from support.opened import P0, P1, opened


async def filled(*values: bytes) -> tuple[Store, Partition]:
    """A batch for each value, in P0."""
    store = await opened()
    for value in values:
        await store.submit([Append((P0,), (value,))])
    return store, store.journal.partitions[P0]


def batch_at(base_sequence: int, epoch: int = 0) -> batches.BatchHeader:
    """Of producer 5, with two records."""
    data = batches.encode(
        [Record(b"a"), Record(b"b")], now_ms=1, producer_id=5, producer_epoch=epoch, base_sequence=base_sequence
    )
    return batches.header(data)


# ---- offsets -----------------------------------------------------------------------------------------------------


async def test_offsets_are_given_out_at_once_and_readable_when_promoted() -> None:
    _, partition = await filled()

    assert [partition.reserve(2), partition.reserve(1)] == [0, 2]
    assert (partition.next_offset, partition.high_watermark) == (3, 0)
    partition.promote(2, 100)
    assert (partition.next_offset, partition.high_watermark, partition.bytes) == (3, 2, 100)


async def test_promoting_what_is_known_changes_nothing() -> None:
    _, partition = await filled(b"a", b"b")
    before = partition.state()
    partition.promote(1, 50)

    assert partition.state() == before


async def test_a_log_start_moves_up_and_never_back() -> None:
    _, partition = await filled(b"a", b"b", b"c", b"d")
    size = partition.bytes
    partition.apply_trim(2)
    partition.apply_trim(1)

    assert (partition.log_start, partition.bytes) == (2, size // 2)


async def test_a_trim_of_offsets_that_replay_has_not_seen_moves_the_high_watermark_along() -> None:
    _, partition = await filled(b"a")
    partition.apply_trim(7)

    assert (partition.log_start, partition.high_watermark, partition.next_offset, partition.bytes) == (7, 7, 7, 0)


async def test_the_number_in_the_topic_is_the_low_part_of_the_id() -> None:
    store = await opened()

    assert [store.journal.partitions[key].index for key in (P0, P1)] == [0, 1]


# ---- epochs ------------------------------------------------------------------------------------------------------


async def test_an_offset_knows_the_epoch_under_which_it_was_given_out() -> None:
    _, partition = await filled()
    partition.epochs = [(2, 10), (5, 20)]

    assert [partition.epoch_of(offset) for offset in (0, 9, 10, 19, 20, 99)] == [0, 0, 2, 2, 5, 5]
    assert partition.leader_epoch == 5


# ---- state -------------------------------------------------------------------------------------------------------


async def test_the_state_of_a_partition_can_be_taken_over_by_another() -> None:
    store, partition = await filled(b"a", b"b", b"c")
    partition.apply_trim(1)
    partition.epochs = [(3, 2)]
    partition.remember_producer(batch_at(0), 1)
    other = Partition(store.journal, P0)
    other.apply_state(partition.state())

    assert other.state() == partition.state()
    assert other.find_producer(batch_at(0)) == 1


async def test_a_state_that_is_older_than_what_is_known_is_not_taken_over() -> None:
    _, partition = await filled(b"a", b"b", b"c")
    partition.apply_trim(2)
    before = partition.state()
    partition.apply_state(facts.PartitionState(P0, 0, 3, ((9, 0),)))
    partition.apply_state(facts.PartitionState(P0, 2, 2, ((9, 0),)))

    assert partition.state() == before


async def test_a_state_can_bring_new_epochs_only() -> None:
    _, partition = await filled(b"a")
    partition.apply_state(partition.state([(4, 1)]))

    assert (partition.epochs, partition.high_watermark) == ([(4, 1)], 1)


# ---- producers ---------------------------------------------------------------------------------------------------


async def test_a_repeated_batch_of_an_idempotent_producer_is_found_and_a_new_one_is_not() -> None:
    _, partition = await filled()
    assert partition.find_producer(batch_at(0)) is None
    partition.remember_producer(batch_at(0), 40)

    assert partition.find_producer(batch_at(0)) == 40
    assert partition.find_producer(batch_at(2)) is None


# ---- reading -----------------------------------------------------------------------------------------------------


async def test_batches_are_read_from_the_one_that_holds_the_offset() -> None:
    store = await opened()
    partition = store.journal.partitions[P0]
    for values in ((b"a", b"b"), (b"c", b"d")):
        await store.submit([Append((P0,), values)])

    found = await partition.read(1, KIB)

    assert [(batch.base_offset, batch.end_offset) for batch in found] == [(0, 2), (2, 4)]


async def test_at_least_one_batch_is_read_however_large_it_is() -> None:
    _, partition = await filled(bytes(KIB), bytes(KIB))

    assert len(await partition.read(0, 1)) == 1
    assert len(await partition.read(0, 4 * KIB)) == 2


async def test_at_the_high_watermark_there_is_nothing_yet() -> None:
    _, partition = await filled(b"a")

    assert await partition.read(1, KIB) == []


@pytest.mark.parametrize("offset", [-1, 0, 4])
async def test_offsets_that_are_gone_or_not_there_yet_are_refused(offset: int) -> None:
    store, partition = await filled(b"a", b"b", b"c")
    await store.submit([Trim(P0, 1)])

    with pytest.raises(OffsetOutOfRange):
        await partition.read(offset, KIB)


async def test_the_first_offset_at_or_after_a_time_is_found() -> None:
    store = await opened()
    partition = store.journal.partitions[P0]
    for times in ((10, 40), (20, 30), (50,)):
        unit = store.journal.unit()
        partition.append(unit, batches.encode([Record(b"a", timestamp_ms=each) for each in times], now_ms=1))
        await unit.submit()

    found = [await partition.offset_for_time(time_ms) for time_ms in (0, 10, 11, 40, 41, 51)]

    assert found == [0, 0, 1, 1, 4, None]


async def test_a_look_for_a_time_leaves_out_what_was_trimmed() -> None:
    store, partition = await filled(b"a", b"b", b"c")
    await store.submit([Trim(P0, 2)])

    assert await partition.offset_for_time(0) == 2


async def test_retention_is_shown_all_batches_from_the_log_start_on() -> None:
    store, partition = await filled(b"a", b"b", b"c")
    await store.submit([Trim(P0, 1)])

    found = await partition.over_stored(list)

    assert [batch.end_offset for batch in found] == [2, 3]
    assert {batch.append_ms for batch in found} == {store.clock.now_ms()}


# ---- waiting -----------------------------------------------------------------------------------------------------


async def test_watchers_are_told_of_growth_and_of_trims_until_they_stop() -> None:
    store, partition = await filled()
    told: list[tuple[int, int]] = []
    unwatch = partition.watch(lambda: told.append((partition.log_start, partition.high_watermark)))
    await store.submit([Append((P0,), (b"a",))])
    await store.submit([Trim(P0, 1)])
    unwatch()
    unwatch()
    await store.submit([Append((P0,), (b"b",))])

    assert told == [(0, 1), (1, 1)]


async def test_a_watcher_may_stop_watching_while_it_is_told() -> None:
    store, partition = await filled()
    told: list[int] = []

    def once() -> None:
        told.append(1)
        unwatch()

    unwatch = partition.watch(once)
    partition.watch(lambda: told.append(2))
    await store.submit([Append((P0,), (b"a",))])

    assert told == [1, 2]


async def test_waiting_ends_when_there_is_more() -> None:
    store, partition = await filled(b"a")
    waiting = asyncio.create_task(partition.wait_for(1, None))
    await store.clock.drain()
    assert not waiting.done()
    await store.submit([Append((P0,), (b"b",))])

    assert await waiting


async def test_waiting_for_what_is_there_does_not_wait() -> None:
    store, partition = await filled(b"a")

    assert await partition.wait_for(0, store.clock.monotonic_ms())


async def test_waiting_ends_at_its_time() -> None:
    store, partition = await filled()
    waiting = asyncio.create_task(partition.wait_for(0, store.clock.monotonic_ms() + 100))
    await store.clock.advance(100)

    assert not await waiting


async def test_waiting_ends_when_nothing_more_will_come() -> None:
    store, partition = await filled()
    waiting = asyncio.create_task(partition.wait_for(0, None))
    await store.clock.drain()
    await store.journal.stop()

    with pytest.raises(Closed):
        await waiting


async def test_a_batch_is_placed_when_its_unit_is_submitted() -> None:
    store, partition = await filled(b"a")
    unit = store.journal.unit()
    partition.append(unit, batch_of([b"b"]))

    ((where, base, count),) = await unit.submit()

    assert (where, base, count) == (partition, 1, 1)
