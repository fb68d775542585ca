"""Opening a store: what is found, what is cut, what is called damage, and that nothing is left in doubt."""

from pathlib import Path

import pytest

from isthmus.errors import Damaged, DirectoryInUse, FormatTooNew, NotAStore, ReadOnly
from isthmus.log import checkpoint, commit
from isthmus.log import format as form
from isthmus.log.recovery import FOLDERS, FORMAT, orphans, subtract
from isthmus.log.storage import MemoryStorage, RealStorage, Storage, replace
from support.log_world import KIB, SMALL, Append, Commit, Store, Trim
from support.opened import P0, P1, opened
from support.stores import cut, flip

A = Append((P0,), (b"a",))
BIG = Append((P0,), (bytes(KIB),))


async def stopped(*ops: Append | Commit | Trim, checkpoints: int = 0) -> MemoryStorage:
    """The storage of a store in which each operation was a unit, after it was stopped."""
    storage = MemoryStorage()
    store = await opened(storage)
    for op in ops:
        await store.submit([op])
    for _ in range(checkpoints):
        await checkpoint.take(store.journal)
    await store.journal.stop()
    return storage


async def killed(*ops: Append | Commit | Trim) -> tuple[MemoryStorage, Store]:
    """The same after a kill."""
    storage = MemoryStorage()
    store = await opened(storage)
    for op in ops:
        await store.submit([op])
    return storage, store


def append_bytes(store: Store, data: bytes) -> None:
    """Behind the last group of a killed store."""
    active = store.journal.segments[-1]
    file = store.journal.storage.open(active.name, write=True)
    file.pwrite([data], active.end_lsn - active.first_lsn)


# ---- what is found -----------------------------------------------------------------------------------------------


async def test_an_empty_directory_becomes_a_store() -> None:
    storage = MemoryStorage()
    report = await Store(storage).open()

    assert report.created
    assert (report.epoch, report.damage, report.quarantined) == (1, [], [])
    assert all(storage.exists(folder) for folder in FOLDERS)


async def test_opening_finds_records_facts_and_log_starts_again() -> None:
    ops = (A, A, Commit(5, 3), Append((P0, P1), (b"b", b"c")), Trim(P0, 1))
    storage, before = await killed(*ops)

    after = await opened(storage)

    assert after.state() == before.state()
    assert await after.values(P0) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert await after.values(P1) == [(0, b"b"), (1, b"c")]


async def test_every_opening_begins_a_new_epoch() -> None:
    storage = await stopped(A)

    assert [(await opened(storage)).journal.epoch for _ in range(3)] == [2, 3, 4]


async def test_a_checkpoint_is_where_opening_starts() -> None:
    storage = await stopped(*[BIG] * 20, checkpoints=1)
    report = await Store(storage).open()

    assert report.checkpoint_lsn > 0
    assert report.scanned_bytes < SMALL.segment_bytes


async def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used() -> None:
    storage = await stopped(A, Commit(1, 2), checkpoints=2)
    (newest, older) = checkpoint.listed(storage)
    flip(storage, newest, 8)
    store = Store(storage)
    report = await store.open()

    assert len(report.quarantined) == 1
    assert storage.exists(report.quarantined[0])
    assert checkpoint.file_name(report.checkpoint_lsn) == older
    assert store.state().numbers == {1: 2}


async def test_strange_files_are_set_aside_and_never_deleted() -> None:
    storage = await stopped(A)
    storage.open("journal/notes.txt", create=True).close()
    report = await Store(storage).open()

    assert [name.rpartition("-")[0] for name in report.quarantined] == ["quarantine/journal-notes.txt"]
    assert storage.exists(report.quarantined[0])


async def test_what_an_interrupted_step_left_is_removed() -> None:
    storage = await stopped(A)
    for name in ("FORMAT.tmp", f"{commit.segment_name(0)}.tmp", f"{checkpoint.file_name(8)}.tmp"):
        storage.open(name, create=True).close()
    await opened(storage)

    assert not [name for folder in ("", *FOLDERS) for name in storage.list(folder) if name.endswith(".tmp")]


# ---- what is no store --------------------------------------------------------------------------------------------


async def test_a_directory_with_something_else_in_it_is_not_made_a_store() -> None:
    storage = MemoryStorage()
    storage.open("thesis.txt", create=True).close()

    with pytest.raises(NotAStore, match=r"thesis\.txt"):
        await opened(storage)


async def test_an_empty_directory_cannot_be_opened_for_reading() -> None:
    with pytest.raises(NotAStore, match="empty"):
        await opened(read_only=True)


async def test_a_store_of_a_later_version_is_refused() -> None:
    storage = await stopped(A)
    replace(storage, FORMAT, b'{"format": 2, "store": "x", "check": "y", "more": 1}')

    with pytest.raises(FormatTooNew):
        await opened(storage)


async def test_a_damaged_format_file_is_refused_for_with_a_wrong_uuid_all_would_look_damaged() -> None:
    storage = await stopped(A)
    file = storage.open(FORMAT, write=True)
    file.pwrite([file.pread(100, 0).replace(b'"store":"', b'"store":"0')], 0)

    with pytest.raises(NotAStore, match="FORMAT"):
        await opened(storage)


async def test_a_store_that_is_open_cannot_be_opened_again(tmp_path: Path) -> None:
    storage = RealStorage(str(tmp_path))
    store = await opened(storage)

    with pytest.raises(DirectoryInUse):
        await opened(RealStorage(str(tmp_path)))
    await store.journal.stop()


# ---- a torn tail -------------------------------------------------------------------------------------------------


async def test_a_torn_tail_is_cut_and_what_was_acknowledged_stays() -> None:
    storage, before = await killed(A, Commit(1, 2))
    append_bytes(before, b"ISG1" + bytes(range(1, 200)))
    after = Store(storage)
    report = await after.open()

    assert report.cut_bytes == 203
    assert report.damage == []
    assert after.state() == before.state()


async def test_a_group_that_was_written_but_never_known_to_be_synced_may_be_torn() -> None:
    storage, before = await killed(A, A)
    active = before.journal.segments[-1]
    (*_, last) = active.groups()
    flip(storage, active.name, last.header.first_lsn + form.GROUP_HEADER_BYTES + 20)
    after = Store(storage)
    report = await after.open()

    assert report.cut_bytes > 0
    assert await after.values(P0) == [(0, b"a")]


async def test_offsets_of_a_torn_tail_are_given_out_again() -> None:
    storage, before = await killed(A)
    append_bytes(before, b"torn")
    after = await opened(storage)

    assert (await after.submit([A]))[0][1] == 1


async def test_a_tail_that_may_be_in_the_page_cache_only_is_copied() -> None:
    storage, _ = await killed(A)
    report = await Store(storage).open()

    assert report.copied_tail


async def test_after_a_stop_in_order_nothing_is_copied_or_cut() -> None:
    storage = await stopped(A)
    report = await Store(storage).open()

    assert (report.copied_tail, report.cut_bytes) == (False, 0)


# ---- damage ------------------------------------------------------------------------------------------------------


async def damaged() -> MemoryStorage:
    """Three acknowledged batches, the second one hurt."""
    storage = await stopped(A, Append((P0,), (b"hurt" * 50,)), A)
    content = storage.open(commit.segment_name(0)).pread(SMALL.segment_bytes, 0)
    flip(storage, commit.segment_name(0), content.index(b"hurt"))
    return storage


async def test_a_bad_group_below_what_is_known_to_be_durable_is_damage_and_named() -> None:
    store = Store(await damaged())
    report = await store.open()

    assert [sentence.startswith("journal bytes ") for sentence in report.damage] == [True]
    assert commit.segment_name(0) in report.damage[0]
    assert report.cut_bytes == 0


async def test_a_damaged_store_can_be_read_around_the_damage_and_not_be_written() -> None:
    store = Store(await damaged())
    await store.open()
    (first,) = await store.journal.partitions[P0].read(0, 1)

    assert Store.records(first, 0) == [(0, b"a")]
    with pytest.raises(Damaged):
        await store.submit([A])
    with pytest.raises(Damaged, match="offsets 1 to 1"):
        await store.journal.partitions[P0].read(1, 1)


async def test_an_accepted_loss_is_remembered_and_the_store_goes_on_behind_it() -> None:
    storage = await damaged()
    store = Store(storage)
    report = await store.open(accept_loss=True)
    await store.submit([A])
    await store.journal.stop()

    assert len(report.damage) == 1
    again = Store(storage)
    assert (await again.open()).damage == []
    assert [loss.ranges for loss in again.journal.accepted] == [loss.ranges for loss in store.journal.accepted]
    assert await again.values(P0) == [(0, b"a"), (2, b"a"), (3, b"a")]


@pytest.mark.parametrize("number", [0, 1])
async def test_a_missing_segment_is_damage_of_exactly_its_range(number: int) -> None:
    storage = await stopped(*[BIG] * 20)
    names = sorted(name for name in storage.list("journal") if name.endswith(".log"))
    starts = [int(name.removesuffix(".log")) for name in names]
    storage.unlink(f"journal/{names[number]}")
    (sentence,) = (await Store(storage).open()).damage

    assert sentence.startswith(f"journal bytes {starts[number]} to {starts[number + 1]} ")


async def test_a_sealed_segment_that_was_cut_off_is_damage_also_below_a_checkpoint() -> None:
    storage = await stopped(*[BIG] * 20, checkpoints=2)
    cut(storage, commit.segment_name(0), 4 * KIB)
    report = await Store(storage).open()

    assert [sentence.startswith(f"journal bytes {4 * KIB} to") for sentence in report.damage] == [True]


# ---- reading beside an owner -------------------------------------------------------------------------------------


async def test_opening_for_reading_changes_nothing_and_allows_no_writing() -> None:
    storage, _ = await killed(A, Commit(1, 2))
    before = contents(storage)
    store = await opened(storage, read_only=True)

    assert await store.values(P0) == [(0, b"a")]
    with pytest.raises(ReadOnly):
        await store.submit([A])
    assert contents(storage) == before


def contents(storage: Storage) -> dict[str, bytes]:
    names = [f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in storage.list(folder)]
    return {name: storage.open(name).pread(1 << 20, 0) for name in names}


# ---- orphans and ranges ------------------------------------------------------------------------------------------


async def test_partitions_that_no_fact_speaks_of_are_orphans_with_their_offsets() -> None:
    _, store = await killed(A, A)
    store.journal.remove_partition(P0)

    (orphan,) = orphans(store.journal)

    assert (orphan.partition, orphan.first_offset, orphan.end_offset) == (P0, 0, 2)


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([], [(10, 20)]),
        ([(0, 10), (20, 30)], [(10, 20)]),
        ([(0, 12), (18, 30)], [(12, 18)]),
        ([(14, 16), (12, 15)], [(10, 12), (16, 20)]),
        ([(5, 25)], []),
    ],
)
def test_a_range_without_parts_of_it(parts: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert subtract((10, 20), parts) == left
