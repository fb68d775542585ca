"""Reading: from an offset or a time to the batches, over many segments, over gaps, and while segments go."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.errors import Damaged, OffsetOutOfRange
from isthmus.log import checkpoint, retention
from isthmus.log import format as form
from isthmus.log.reading import rows_for
from isthmus.log.storage import MemoryStorage, RealStorage, Storage
from support.faulty_storage import FaultyStorage
from support.log_world import KIB, Append, Store, Trim
from support.opened import P0, P1, opened

A = Append((P0,), (b"a",))


async def filled(storage: Storage, count: int) -> Store:
    store = await opened(storage)
    for number in range(count):
        await store.submit([Append((P0,), (b"%d" % number * 300,))])
    return store


# ---- the right segment -------------------------------------------------------------------------------------------


async def test_readers_get_over_segments(tmp_path: Path) -> None:
    for storage in (MemoryStorage(), RealStorage(str(tmp_path))):
        store = await filled(storage, 30)
        assert len(store.journal.segments) > 2
        assert [offset for offset, _ in await store.values(P0)] == list(range(30))
        await store.journal.stop()


async def test_each_partition_is_read_from_its_own_batches() -> None:
    store = await opened()
    for number in range(20):
        await store.submit([Append((P1 if number % 3 else P0,), (b"%d" % number * 300,))])

    assert [len(await store.values(key)) for key in (P0, P1)] == [7, 13]


@settings(max_examples=30)
@given(holders=st.lists(st.booleans(), min_size=1, max_size=14), share=st.floats(0, 0.99))
async def test_the_segment_of_an_offset_is_found_whichever_segments_hold_the_partition(
    holders: list[bool], share: float
) -> None:
    store = await opened()
    for holds in [*holders, True]:
        await store.submit([Append((P0 if holds else P1,), (bytes(500),))])
        await store.journal.seal_active()
    partition = store.journal.partitions[P0]
    offset = int(share * partition.high_watermark)

    for hint in (0, 1 << 40):  # far before, far behind
        partition.hint_lsn = hint
        (found, *_) = await partition.read(offset, 1)
        assert found.base_offset == offset


async def test_a_search_reads_few_of_many_sidecars() -> None:
    storage = FaultyStorage(MemoryStorage())
    store = await opened(storage)
    for _ in range(64):
        await store.submit([Append((P0,), (bytes(100),))])
        await store.journal.seal_active()
    storage.calls.clear()

    await store.journal.partitions[P0].read(50, 1)

    assert storage.calls.total() < 30


# ---- as much as was asked for ------------------------------------------------------------------------------------


def test_few_rows_are_looked_at_for_few_bytes_and_never_none() -> None:
    assert [rows_for(size) for size in (0, 1, 64 * KIB, 1 << 40)] == [1, 1, 256, 4_096]


async def test_a_read_gives_one_batch_at_least_and_no_more_bytes_than_asked_for() -> None:
    store = await filled(MemoryStorage(), 3)
    partition = store.journal.partitions[P0]

    assert len(await partition.read(0, 1)) == 1
    assert len(await partition.read(0, 900)) == 2
    assert len(await partition.read(0, 100 * KIB)) == 3


async def test_the_newest_batches_come_from_memory() -> None:
    storage = FaultyStorage(MemoryStorage())
    store = await opened(storage)
    await store.submit([A])
    storage.calls.clear()

    assert store.journal.partitions[P0].read_now(0, KIB)
    assert not storage.calls


# ---- where nothing is --------------------------------------------------------------------------------------------


async def test_offsets_without_records_are_an_empty_batch_that_owns_them() -> None:
    store = await opened()
    await store.submit([A, Trim(P0, 5)])
    await store.submit([A])
    store.journal.partitions[P0].log_start = 1

    (found, *_) = await store.journal.partitions[P0].read(1, KIB)

    assert (found.base_offset, found.end_offset, found.flags) == (1, 5, form.ENTRY_COMPACTED)
    assert Store.records(found, 0) == []


async def test_offsets_at_the_end_without_records_are_got_over_too() -> None:
    store = await opened()
    await store.submit([A])
    await store.submit([Trim(P0, 4)])
    store.journal.partitions[P0].log_start = 1

    (found,) = await store.journal.partitions[P0].read(2, KIB)

    assert (found.base_offset, found.end_offset) == (2, 4)


async def test_a_gap_in_a_damaged_store_is_an_error_that_names_the_offsets() -> None:
    store = await opened()
    await store.submit([A, Trim(P0, 5)])
    store.journal.partitions[P0].log_start = 1
    store.journal.damage = ("journal bytes 1 to 2",)

    with pytest.raises(Damaged, match="offsets 1 to 4"):
        await store.journal.partitions[P0].read(1, KIB)


async def test_a_reader_whose_segment_was_removed_is_told_that_its_offset_is_gone() -> None:
    store = await filled(MemoryStorage(), 30)
    partition = store.journal.partitions[P0]
    store.journal.segments[0].unlink()
    partition.log_start = 20

    with pytest.raises(OffsetOutOfRange):
        await store.journal.read(partition, 0, KIB)


async def test_what_is_left_is_read_after_segments_were_removed() -> None:
    store = await filled(MemoryStorage(), 30)
    await store.submit([Trim(P0, 21)])
    for _ in range(2):
        await checkpoint.take(store.journal)
    assert await retention.remove(store.journal, retention.removable(store.journal))

    assert [offset for offset, _ in await store.values(P0)] == list(range(21, 30))


# ---- by time -----------------------------------------------------------------------------------------------------


async def test_a_time_is_looked_up_over_segments_and_above_the_log_start() -> None:
    store = await opened()
    for time_ms in (50, 10, 20, 30):
        await store.submit([Append((P0,), (b"v",), time_ms)])
        await store.journal.seal_active()
    partition = store.journal.partitions[P0]
    assert await partition.offset_for_time(15) == 0

    await store.submit([Trim(P0, 1)])

    assert await partition.offset_for_time(15) == 2
    assert await partition.offset_for_time(31) is None


async def test_a_time_that_only_a_trimmed_record_has_is_not_found_in_its_segment() -> None:
    store = await opened()
    for time_ms in (50, 10, 20):
        await store.submit([Append((P0,), (b"v",), time_ms)])
    await store.submit([Trim(P0, 1)])

    assert await store.journal.partitions[P0].offset_for_time(15) == 2
    assert await store.journal.partitions[P0].offset_for_time(21) is None
