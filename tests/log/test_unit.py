"""Units: nothing before submit, all of it afterwards, or a refusal that leaves no trace."""

import pytest

from isthmus.definition import Level
from isthmus.errors import InvalidBatch, InvariantError, StorePoisoned, UnitTooLarge, Unsupported
from isthmus.limits import KIB, PLACEMENTS_MAX, UNIT_BYTES_MAX, UNIT_ENTRIES_MAX
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.partition import Partition
from support.log_world import Store, batch_of, number_fact
from support.opened import P0, P1, opened


def refuse() -> None:
    raise Unsupported("this test")


def next_offsets(store: Store) -> list[int]:
    return [store.journal.partitions[key].next_offset for key in (P0, P1)]


async def test_nothing_has_happened_before_submit() -> None:
    store = await opened()

    store.journal.partitions[P0].append(store.journal.unit(), batch_of([b"a"]))

    assert next_offsets(store) == [0, 0]


async def test_the_result_says_where_each_batch_went_in_the_order_they_were_added() -> None:
    store = await opened()
    first, second = (store.journal.partitions[key] for key in (P0, P1))
    unit = store.journal.unit()
    first.append(unit, batch_of([b"a", b"b"]))
    second.append(unit, batch_of([b"c"]))
    first.append(unit, batch_of([b"d"]))

    assert await unit.submit() == [(first, 0, 2), (second, 0, 1), (first, 2, 1)]


async def test_one_batch_in_several_partitions_is_stored_once() -> None:
    store = await opened()
    unit = store.journal.unit()
    unit.records([store.journal.partitions[key] for key in (P0, P1)], batch_of([b"both"]))
    await unit.submit()

    assert len(unit.entries) == 1
    assert await store.values(P0) == await store.values(P1) == [(0, b"both")]


async def test_records_come_first_and_facts_after_them_in_the_order_they_were_added() -> None:
    store = await opened()
    unit = store.journal.unit()
    unit.fact(number_fact(1, 1))
    store.journal.partitions[P0].append(unit, batch_of([b"a"]))
    unit.fact(number_fact(2, 2))
    await unit.submit()

    (*_, group) = store.journal.segments[-1].groups()
    kinds = [view.kind for _, view, _ in group.entries()]

    assert kinds == [form.RECORDS, form.FACT, form.FACT]


async def test_an_empty_unit_is_done_at_once_and_writes_nothing() -> None:
    store = await opened()
    before = store.journal.written_lsn
    unit = store.journal.unit()

    assert not unit.changes
    assert unit.submit().result() == []
    assert store.journal.written_lsn == before


async def test_a_unit_is_submitted_once() -> None:
    store = await opened()
    unit = store.journal.unit()
    unit.submit()

    with pytest.raises(InvariantError, match="twice"):
        unit.submit()


@pytest.mark.parametrize(("level", "sync"), [("fsync", True), ("written", False)])
async def test_a_unit_asks_for_a_sync_when_the_strictest_of_its_entries_does(level: Level, sync: bool) -> None:
    store = await opened(level="written")
    unit = store.journal.unit()
    store.journal.partitions[P0].append(unit, batch_of([b"a"]))
    unit.fact(number_fact(1, 1), level)

    assert unit.sync is sync


async def test_a_partition_of_level_fsync_asks_for_a_sync() -> None:
    store = await opened(level="fsync")
    unit = store.journal.unit()
    unit.fact(number_fact(1, 1), "written")
    store.journal.partitions[P0].append(unit, batch_of([b"a"]))

    assert unit.sync


# ---- refusals ----------------------------------------------------------------------------------------------------


async def test_a_check_that_refuses_leaves_nothing_reserved_by_any_step() -> None:
    store = await opened()
    reserved: list[str] = []
    unit = store.journal.unit()
    store.journal.partitions[P0].append(unit, batch_of([b"a"]))
    unit.step(None, lambda: reserved.append("first"))
    unit.step(refuse, lambda: reserved.append("second"))

    with pytest.raises(Unsupported):
        unit.submit()

    assert reserved == []
    assert next_offsets(store) == [0, 0]
    assert store.journal.pending_bytes == 0


async def test_bytes_that_are_no_batch_are_refused_when_they_are_added() -> None:
    store = await opened()

    with pytest.raises(InvalidBatch):
        store.journal.partitions[P0].append(store.journal.unit(), b"no batch")


async def test_a_unit_with_too_many_bytes_is_refused_before_anything_is_reserved() -> None:
    store = await opened()
    unit = store.journal.unit()
    batch = batch_of([bytes(1024 * KIB)])
    for _ in range(UNIT_BYTES_MAX // len(batch) + 1):
        store.journal.partitions[P0].append(unit, batch)

    with pytest.raises(UnitTooLarge, match="bytes"):
        unit.submit()

    assert next_offsets(store) == [0, 0]


async def test_a_unit_with_too_many_entries_is_refused_before_anything_is_reserved() -> None:
    store = await opened()
    unit = store.journal.unit()
    for _ in range(UNIT_ENTRIES_MAX + 1):
        unit.step(None, lambda: None, fact_bytes=0)

    with pytest.raises(UnitTooLarge, match="entries"):
        unit.submit()


async def test_a_batch_in_too_many_partitions_is_refused() -> None:
    store = await opened()
    partitions = [Partition(store.journal, number) for number in range(PLACEMENTS_MAX + 1)]

    with pytest.raises(UnitTooLarge, match="partitions"):
        store.journal.unit().records(partitions, batch_of([b"a"]))


# ---- steps -------------------------------------------------------------------------------------------------------


async def test_a_step_reserves_at_submit_and_may_add_facts() -> None:
    store = await opened()
    unit = store.journal.unit()
    unit.step(None, lambda: unit.fact(number_fact(7, 3)))

    await unit.submit()

    assert store.state().numbers == {7: 3}


async def test_steps_that_add_more_than_a_unit_can_hold_end_the_store_for_what_was_reserved_cannot_be_given_back() -> (
    None
):
    store = await opened()
    unit = store.journal.unit()
    unit.step(None, lambda: unit.fact(facts.LossAccepted((), 1, "x" * UNIT_BYTES_MAX)))

    with pytest.raises(InvariantError, match="announced"):
        unit.submit()
    with pytest.raises(StorePoisoned):
        store.journal.check_open()


async def test_the_hook_for_attributes_hears_of_each_placement_of_a_batch_that_has_some() -> None:
    store = await opened()
    heard: list[tuple[int, int]] = []
    store.journal.attributes_hook = lambda partition, base, _batch, _time: heard.append((partition.id, base))
    unit = store.journal.unit()
    partitions = [store.journal.partitions[key] for key in (P0, P1)]
    unit.records(partitions, batch_of([b"a"]))
    unit.records(partitions, batch_of([b"b"]), attributes=True)
    await unit.submit()

    assert heard == [(P0, 1), (P1, 1)]
