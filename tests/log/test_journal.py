"""The journal: units in order, refusals that reserve nothing, what a failure ends, and what readers are given."""

import asyncio
import errno
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import Closed, InvariantError, Overloaded, StorageFull, StorePoisoned
from isthmus.limits import IDLE_MARKER_MS
from isthmus.log import commit, facts
from isthmus.log.journal import JournalOptions, merge_ranges
from isthmus.log.storage import MemoryStorage, RealStorage
from support.faulty_storage import SYNCS, WRITES, Fault, FaultyStorage
from support.log_world import KIB, Append, Commit, JournalWorld, Make, Store, batch_of
from support.opened import P0, TOPIC, opened
from support.sim_storage import SimStorage

A = Append((P0,), (b"a",))
BIG = Append((P0,), (bytes(KIB),))


async def world() -> JournalWorld:
    """A journal whose commits a test can hold back."""
    made = JournalWorld(SimStorage())
    await made.open()
    await made.put(Make(TOPIC, 2, "fsync"))
    return made


def markers(store: Store) -> int:
    """Empty groups in the active segment."""
    return sum(not group.header.entry_count for group in store.journal.segments[-1].groups())


async def publish_for_ever(store: Store) -> None:
    while True:
        await store.submit([BIG])


# ---- J1: in order --------------------------------------------------------------------------------------------------


async def test_units_are_promoted_in_the_order_of_their_submits() -> None:
    made = await world()
    made.hold_commits()
    done: list[int] = []
    for number in range(5):
        made.put(made.append(P0)).add_done_callback(lambda _, number=number: done.append(number))  # type: ignore[misc]
    held = list(done)
    made.commit()

    assert held == []
    assert done == [0, 1, 2, 3, 4]


async def test_readers_see_nothing_that_is_not_durable() -> None:
    made = await world()
    partition = made.journal.partitions[P0]
    made.hold_commits()
    pending = made.put(made.append(P0))

    assert (pending.done, partition.next_offset, partition.high_watermark) == (False, 1, 0)
    assert await partition.read(0, KIB) == []
    made.commit()
    assert len(await partition.read(0, KIB)) == 1


async def test_what_is_submitted_while_results_are_told_comes_behind_them() -> None:
    store = await opened()
    told: list[str] = []

    def first(_: object) -> None:
        told.append("first")
        store.submit([Commit(1, 2)]).add_done_callback(lambda _: told.append("from the first"))
        told.append("end of first")

    pending = store.journal.unit()
    pending.fact(facts.GroupRemoved(1))
    pending.pending.add_done_callback(first)
    pending.submit()

    assert told == ["first", "end of first", "from the first"]


async def test_facts_are_applied_with_rising_lsns() -> None:
    store = await opened()
    lsns: list[int] = []
    store.journal.register(facts.GroupRemoved, lambda _, lsn: lsns.append(lsn))
    for _ in range(3):
        unit = store.journal.unit()
        unit.fact(facts.GroupRemoved(1))
        unit.fact(facts.GroupRemoved(2))
        await unit.submit()

    assert lsns == sorted(set(lsns))
    assert lsns[-1] < store.journal.applied_lsn


# ---- J2: refusals --------------------------------------------------------------------------------------------------


async def test_too_many_pending_bytes_are_refused_and_nothing_is_reserved() -> None:
    made = await world()
    made.journal.options = JournalOptions(segment_bytes=8 * KIB, pending_bytes_max=2 * KIB)
    made.hold_commits()
    made.put(made.append(P0, size=KIB))

    with pytest.raises(Overloaded):
        made.put(made.append(P0, size=KIB))
    assert made.journal.partitions[P0].next_offset == 1
    # Acknowledgements may use more: what waits for them is what makes room.
    made.put(Commit(1, 1))
    made.commit()


async def test_those_who_wait_for_room_go_on_when_there_is_some() -> None:
    made = await world()
    made.journal.space = commit.Space()
    waiting = asyncio.create_task(made.journal.room())
    await asyncio.sleep(0)
    held = waiting.done()
    await made.put(Commit(1, 1))
    await waiting

    assert not held


async def test_a_full_disk_refuses_publishers_before_they_get_an_offset_and_lets_acknowledgements_through() -> None:
    storage = FaultyStorage(MemoryStorage())
    store = await opened(storage)
    storage.arm(Fault(1, errno.ENOSPC, frozenset({"allocate"}), forever=True))

    with pytest.raises(StorageFull):
        await publish_for_ever(store)
    given = store.journal.partitions[P0].next_offset
    await store.submit([Commit(1, 1)])

    assert given == store.journal.partitions[P0].high_watermark
    assert store.state().numbers == {1: 1}


async def test_a_unit_that_is_dropped_leaves_no_trace() -> None:
    store = await opened()
    before = (store.journal.applied_lsn, store.journal.pending_bytes)
    store.journal.partitions[P0].append(store.journal.unit(), batch_of([b"a"]))

    assert (store.journal.applied_lsn, store.journal.pending_bytes) == before


# ---- J3: failures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ops", [WRITES, SYNCS])
async def test_after_a_failed_write_or_sync_all_fails_and_nothing_is_promoted(ops: frozenset[str]) -> None:
    storage = FaultyStorage(SimStorage())
    store = await opened(storage)
    storage.arm(Fault(1, errno.EIO, ops))
    pending = store.submit([A])

    assert isinstance(pending.error, StorePoisoned)
    assert store.journal.partitions[P0].high_watermark == 0
    assert store.journal.pending_bytes == 0
    with pytest.raises(StorePoisoned):
        await store.submit([Commit(1, 1)])
    await store.journal.stop()


async def test_a_failure_ends_waiting() -> None:
    storage = FaultyStorage(SimStorage())
    store = await opened(storage)
    waiting = asyncio.create_task(store.journal.partitions[P0].wait_for(0, None))
    await store.clock.drain()
    storage.arm(Fault(1, errno.EIO, WRITES))
    store.submit([A])

    with pytest.raises(StorePoisoned):
        await waiting


async def test_an_error_in_an_applier_ends_the_store_for_state_and_journal_differ() -> None:
    store = await opened()

    def fail(_: object, lsn: int) -> None:
        raise InvariantError(f"planted at {lsn}")

    store.journal.register(facts.GroupRemoved, fail)
    unit = store.journal.unit()
    unit.fact(facts.GroupRemoved(1))

    with pytest.raises(InvariantError):
        unit.submit()
    with pytest.raises(StorePoisoned):
        store.journal.check_open()


# ---- the idle marker -----------------------------------------------------------------------------------------------


async def test_an_idle_journal_records_once_that_all_is_durable() -> None:
    store = await opened()
    await store.clock.advance(IDLE_MARKER_MS)
    before = markers(store)
    await store.submit([A])
    await store.clock.advance(IDLE_MARKER_MS - 1)
    early = markers(store)
    await store.clock.advance(10 * IDLE_MARKER_MS)

    assert (early - before, markers(store) - before) == (0, 1)


async def test_a_journal_that_is_used_all_the_time_writes_no_marker() -> None:
    store = await opened()
    await store.clock.advance(IDLE_MARKER_MS)
    before = markers(store)
    for _ in range(10):
        await store.submit([Commit(1, 1)])
        await store.clock.advance(IDLE_MARKER_MS // 2)

    assert markers(store) == before


# ---- the whole -----------------------------------------------------------------------------------------------------


async def test_sealing_the_active_segment_begins_another() -> None:
    store = await opened()
    await store.submit([A])
    end = store.journal.applied_lsn
    await store.journal.seal_active()

    assert [segment.first_lsn for segment in store.journal.segments] == [0, end]
    assert store.journal.segments[0].sealed
    assert await store.values(P0) == [(0, b"a")]


async def test_flushing_makes_durable_what_was_only_written() -> None:
    store = await opened(level="written")
    await store.submit([A])
    before = store.journal.durable_lsn < store.journal.written_lsn
    await store.journal.flush()

    assert before
    assert store.journal.durable_lsn == store.journal.written_lsn


async def test_a_stopped_journal_refuses_everything() -> None:
    store = await opened()
    await asyncio.gather(store.journal.stop(), store.journal.stop())

    with pytest.raises(Closed):
        store.journal.check_open()
    with pytest.raises(Closed):
        await store.journal.run(lambda: 1)


async def test_what_waits_is_committed_when_the_journal_stops(tmp_path: Path) -> None:
    store = await opened(RealStorage(str(tmp_path)))
    pending = [store.submit([A]) for _ in range(5)]
    await store.journal.stop()
    again = await opened(RealStorage(str(tmp_path)))

    assert len(await again.values(P0)) == 5
    assert [(await each)[0][1] for each in pending] == [0, 1, 2, 3, 4]
    await again.journal.stop()


async def test_a_removed_partition_wakes_its_watchers() -> None:
    store = await opened()
    woken: list[int] = []
    store.journal.partitions[P0].watch(lambda: woken.append(P0))
    store.journal.remove_partition(P0)
    store.journal.remove_partition(P0)

    assert woken == [P0]


async def test_a_partition_that_is_known_only_gets_its_level() -> None:
    store = await opened()

    assert store.journal.add_partition(P0, "written") is store.journal.partitions[P0]
    assert store.journal.partitions[P0].level == "written"


# ---- arithmetic ----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).filter(lambda row: row[0] <= row[1])))
def test_merged_ranges_hold_the_same_numbers_and_are_rising_and_apart(ranges: list[tuple[int, int]]) -> None:
    merged = merge_ranges(ranges)

    assert {each for row in merged for each in range(*row)} == {each for row in ranges for each in range(*row)}
    assert all(before[1] < after[0] for before, after in pairwise(merged))


def test_an_empty_range_changes_nothing_behind_others() -> None:
    assert merge_ranges([(0, 4), (2, 2), (9, 9)]) == [(0, 4)]
