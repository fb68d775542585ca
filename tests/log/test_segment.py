"""Segments: rows and bytes of a file, its sidecar, and what happens when either is damaged."""

import pytest

from isthmus.clock import ManualClock
from isthmus.errors import Damaged
from isthmus.log import batch as batches
from isthmus.log import checkpoint
from isthmus.log import format as form
from isthmus.log.index import IndexInvalid, Row
from isthmus.log.segment import FileName, Segment, compacted_stem, file_name_of, row_flags, row_length
from support.log_world import KIB, SMALL, Store, batch_of
from support.opened import P0, P1, opened
from support.stores import cut, flip

VALUE = bytes(KIB)


async def rolled(count: int = 12) -> Store:
    """A store whose first segment is full, with batches for P0 only."""
    store = await opened()
    for _ in range(count):
        unit = store.journal.unit()
        store.journal.partitions[P0].append(unit, batch_of([VALUE, VALUE], now_ms=5))
        await unit.submit()
    return store


def rows(segment: Segment) -> list[Row]:
    return segment.rows(P0, 0, 100)


def damage(store: Store, name: str, position: int) -> None:
    """Turn a bit over."""
    flip(store.journal.storage, name, position)


async def reopened() -> Store:
    """As a new process finds a store; the checkpoint makes that it trusts the sidecars."""
    store = await rolled()
    await checkpoint.take(store.journal)
    await store.journal.stop()
    return await opened(store.journal.storage)


# ---- rows --------------------------------------------------------------------------------------------------------


def test_a_row_carries_length_and_flags_of_an_entry_in_one_number() -> None:
    row = Row(0, 1, 0, 64 | form.ENTRY_ATTRIBUTES, 0)

    assert (row_length(row), row_flags(row)) == (64, form.ENTRY_ATTRIBUTES)


async def test_a_segment_says_which_offsets_of_a_partition_it_holds() -> None:
    store = await rolled()
    first, second = store.journal.segments[:2]
    bounds = first.bounds(P0)

    assert bounds is not None
    assert second.bounds(P0) == (bounds[1], bounds[1] + 2 * len(second.rows(P0, 0, 100)))
    assert first.partitions() == [P0]
    assert first.bounds(P1) is None


async def test_a_segment_answers_the_same_from_its_sidecar_as_from_memory() -> None:
    store = await rolled()
    segment = store.journal.segments[-1]
    before = (rows(segment), segment.bounds(P0), segment.extent(P0), segment.first_after_time(P0, 5))
    segment.seal()

    assert segment.sealed
    assert (rows(segment), segment.bounds(P0), segment.extent(P0), segment.first_after_time(P0, 5)) == before


async def test_a_sidecar_tells_the_names_of_its_partitions() -> None:
    store = await rolled()
    sealed, *_, active = store.journal.segments

    assert sealed.names() == {P0: ("default", "topic-1", 0, bytes(16))}
    assert active.names() == {}


async def test_names_of_files_follow_the_first_lsn() -> None:
    segment = (await rolled()).journal.segments[1]

    assert segment.name == f"journal/{segment.first_lsn:020d}.log"
    assert segment.index_name == f"journal/{segment.first_lsn:020d}.index"
    assert segment.size_bytes == segment.end_lsn - segment.first_lsn


# ---- damage ------------------------------------------------------------------------------------------------------


async def test_a_damaged_sidecar_is_not_used() -> None:
    store = await rolled()
    segment = store.journal.segments[0]
    damage(store, segment.index_name, 10)

    with pytest.raises(IndexInvalid):
        segment.open_sidecar()


async def test_a_missing_sidecar_is_as_good_as_a_damaged_one() -> None:
    store = await rolled()
    segment = store.journal.segments[0]
    store.journal.files.forget(segment.index_name)
    store.journal.storage.unlink(segment.index_name)

    with pytest.raises(IndexInvalid):
        segment.open_sidecar()


async def test_a_sidecar_that_turns_out_to_be_damaged_is_rebuilt_from_the_segment_and_written_again() -> None:
    expected = rows((await rolled()).journal.segments[0])
    store = await reopened()
    segment = store.journal.segments[0]
    file = store.journal.storage.open(segment.index_name, write=True)
    file.pwrite([bytes(file.size())], 0)

    assert rows(segment) == expected
    segment.open_sidecar()
    assert rows(segment) == expected


async def test_a_sidecar_is_not_rebuilt_from_a_segment_that_is_damaged_too() -> None:
    store = await reopened()
    segment = store.journal.segments[0]
    cut(store.journal.storage, segment.index_name, 8)
    damage(store, segment.name, segment.size_bytes // 2)

    with pytest.raises(Damaged, match=segment.name):
        rows(segment)


async def test_what_is_read_is_verified() -> None:
    store = await rolled()
    segment, partition = store.journal.segments[0], store.journal.partitions[P0]
    row = rows(segment)[0]
    damage(store, segment.name, row.position + row_length(row) // 2)

    with pytest.raises(Damaged, match="offsets 0 to 1"):
        segment.batch_at(partition, row, wait=True)


async def test_a_sidecar_is_not_read_from_a_segment_of_another_place() -> None:
    store = await rolled()
    first, second = store.journal.segments[:2]
    content = store.journal.storage.open(first.index_name).pread(1 << 20, 0)
    file = store.journal.storage.open(second.index_name, write=True)
    file.truncate(0)
    file.pwrite([content], 0)

    with pytest.raises(IndexInvalid):
        second.open_sidecar()


# ---- bytes -------------------------------------------------------------------------------------------------------


async def test_a_batch_is_given_back_placed_for_its_partition() -> None:
    store = await rolled()
    segment, partition = store.journal.segments[0], store.journal.partitions[P0]

    batch = segment.batch_at(partition, rows(segment)[1], wait=True)

    assert batch is not None
    assert [record.offset for record in batches.decode(batch)] == [2, 3]


async def test_groups_follow_one_another_up_to_the_end_of_the_segment() -> None:
    segment = (await rolled()).journal.segments[0]
    groups = list(segment.groups())

    assert [group.header.first_lsn for group in groups[1:]] == [group.end_lsn for group in groups[:-1]]
    assert groups[-1].end_lsn == segment.end_lsn
    assert len(list(segment.groups(groups[2].header.first_lsn))) == len(groups) - 2


async def test_append_times_of_a_segment_of_an_earlier_life_are_read_from_its_groups() -> None:
    store = await rolled()
    expected = store.journal.segments[0].appended_by(0)
    again = await reopened()

    assert again.journal.segments[0].appended_by(0) == expected


async def test_an_idle_marker_makes_nothing_younger() -> None:
    store = await rolled(1)
    written_ms = store.clock.now_ms()
    await store.clock.advance(500)

    assert store.journal.segments[-1].appended_by(0) == written_ms
    assert (await reopened_as_it_is(store)).journal.segments[0].appended_by(0) == written_ms


async def reopened_as_it_is(store: Store) -> Store:
    """Another life, far later."""
    again = Store(store.journal.storage, ManualClock(store.clock.now_ms() + 100_000), SMALL)
    await again.open()
    return again


async def test_a_segment_is_removed_with_its_sidecar_and_removing_it_again_is_harmless() -> None:
    store = await rolled()
    segment = store.journal.segments[0]
    segment.unlink()
    segment.unlink()

    assert not store.journal.storage.exists(segment.name)
    assert not store.journal.storage.exists(segment.index_name)
    with pytest.raises(FileNotFoundError):
        list(segment.groups())


class TestNames:
    @pytest.mark.parametrize(
        ("stem", "found"),
        [
            ("00000000000000000008", FileName(8, None, 0)),
            (compacted_stem(8, 16, 3), FileName(8, 16, 3)),
            ("00000000000000000008-00000000000000000016.1", FileName(8, 16, 1)),
        ],
    )
    def test_a_name_tells_the_range_and_the_generation(self, stem: str, found: FileName) -> None:
        assert file_name_of(stem) == found

    @pytest.mark.parametrize(
        "stem",
        [
            "",
            "8",
            "0000000000000000000x",
            "00000000000000000008-",
            "00000000000000000008-00000000000000000016",
            "00000000000000000008-00000000000000000016.",
            "00000000000000000008-00000000000000000016.0",
            "00000000000000000008-00000000000000000016.01",
            "00000000000000000008-00000000000000000016.-1",
            "00000000000000000008-16.1",
            "0000000000000000000\u0668",
        ],
    )
    def test_any_other_name_is_none(self, stem: str) -> None:
        assert file_name_of(stem) is None
