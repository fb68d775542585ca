"""Verifying: every byte is as it was written, or it is said exactly what is not."""

import asyncio
from pathlib import Path

import pytest

from isthmus.cli.log_verify import Finding, Offsets, Verified, verify
from isthmus.cli.log_walk import Piece, SegmentFile, Store, Walk
from isthmus.errors import FormatTooNew, NotAStore
from isthmus.log import checkpoint, facts
from isthmus.log.journal import merge_ranges
from isthmus.log.segment import compacted_stem
from isthmus.log.storage import MemoryStorage, RealStorage, Storage
from support.faulty_storage import Fault, FaultyStorage
from support.stores import PARTITIONS, RECORDS, TOPIC, StoreMaker, compacted_store, cut, flip, make_store

BATCHES = 400
FIRST = "journal/00000000000000000000.log"


@pytest.fixture
async def storage() -> MemoryStorage:
    made = MemoryStorage()
    await make_store(made, BATCHES)
    return made


def segments(storage: Storage) -> list[SegmentFile]:
    return Store.open(storage).segments()


def only(found: Verified, severity: str) -> Finding:
    (finding,) = (each for each in found.findings if each.severity == severity)
    return finding


def readable(storage: Storage) -> dict[int, set[int]]:
    """The offsets that batches of valid groups hold, by partition."""
    offsets: dict[int, set[int]] = {index: set() for index in range(PARTITIONS)}
    for piece in Walk(Store.open(storage)):
        if isinstance(piece, Piece):
            for _, view, _ in piece.group.entries():
                for partition, base in view.placements:
                    offsets[partition & 0xFFFF].update(range(base, base + RECORDS))
    return offsets


def gone(found: Verified) -> dict[int, set[int]]:
    offsets: dict[int, set[int]] = {index: set() for index in range(PARTITIONS)}
    for finding in found.findings:
        for each in finding.offsets:
            offsets[each.partition].update(range(each.start, each.end))
    return offsets


def all_offsets() -> dict[int, set[int]]:
    return {index: set(range(BATCHES * RECORDS // PARTITIONS)) for index in range(PARTITIONS)}


class TestSound:
    async def test_a_cleanly_closed_store_is_whole_and_counted(self, storage: MemoryStorage) -> None:
        found = verify(storage)

        assert (found.ok, found.damaged, found.findings) == (True, False, [])
        assert (found.batches, found.records) == (BATCHES, BATCHES * RECORDS)
        assert found.segments == len(segments(storage)) >= 3
        assert [seen.ok for seen in found.checkpoints] == [True, True]
        assert found.end_lsn >= found.durable_lsn > 0

    async def test_progress_comes_to_all_that_was_written(self, storage: MemoryStorage) -> None:
        steps: list[int] = []

        found = verify(storage, advance=steps.append)

        assert sum(steps) == found.bytes == found.end_lsn

    async def test_an_empty_store_is_whole(self) -> None:
        storage = MemoryStorage()
        await make_store(storage, 0, ())

        assert verify(storage).ok

    async def test_segments_that_were_removed_on_purpose_are_not_missed(self, storage: MemoryStorage) -> None:
        (first, *_), (_, end, *_) = segments(storage)[:2]
        async with StoreMaker(storage) as maker:
            await maker.fact(facts.SegmentsRemoved(((0, end),)))
        storage.unlink(first)

        found = verify(storage)

        assert (found.ok, found.findings) == (True, [])

    async def test_what_was_never_acknowledged_is_a_note(self, storage: MemoryStorage) -> None:
        name, first_lsn, *_ = segments(storage)[-1]
        file = storage.open(name, write=True)
        file.pwrite([b"torn"], verify(storage).end_lsn - first_lsn + 100)

        found = verify(storage)

        assert found.ok
        assert "104 bytes of a torn tail" in only(found, "note").what

    async def test_a_sealed_segment_without_index_is_a_note(self, storage: MemoryStorage) -> None:
        storage.unlink("journal/00000000000000000000.index")

        found = verify(storage)

        assert found.ok
        assert only(found, "note").file == FIRST

    async def test_files_that_nobody_knows_are_named(self, storage: MemoryStorage) -> None:
        storage.open("journal/notes.txt", create=True).close()

        found = verify(storage)

        assert found.ok
        assert only(found, "note").file == "journal/notes.txt"


class TestDamage:
    async def test_a_bit_in_a_sealed_segment_is_named_with_file_position_lsn_and_offsets(
        self, storage: MemoryStorage
    ) -> None:
        flip(storage, FIRST, 100_000)

        found = verify(storage)
        finding = only(found, "damage")

        assert (found.ok, found.damaged) == (False, True)
        assert finding.file == FIRST
        assert finding.position is not None
        assert finding.position == finding.lsn_start
        assert finding.lsn_start is not None
        assert finding.lsn_end is not None
        assert finding.lsn_start <= 100_000 < finding.lsn_end
        assert {each.topic for each in finding.offsets} == {TOPIC}

    @pytest.mark.parametrize("where", [90, 1_000, 100_000, 200_000])
    @pytest.mark.parametrize("indexed", [True, False])
    async def test_what_is_gone_and_what_can_be_read_are_all_that_was(
        self, storage: MemoryStorage, where: int, indexed: bool
    ) -> None:
        if not indexed:
            storage.unlink("journal/00000000000000000000.index")
        flip(storage, FIRST, where)

        found = verify(storage)
        read = readable(storage)
        lost = gone(found)

        assert {index: read[index] | lost[index] for index in lost} == all_offsets()
        assert {index: read[index] & lost[index] for index in lost} == {0: set(), 1: set()}

    async def test_a_bit_in_the_active_segment_is_damage_when_more_was_durable(self, storage: MemoryStorage) -> None:
        name, first_lsn, *_ = segments(storage)[-1]
        flip(storage, name, 5_000)

        found = verify(storage)
        read = readable(storage)
        lost = gone(found)

        assert only(found, "damage").lsn_start is not None
        assert found.end_lsn > first_lsn + 5_000
        assert {index: read[index] | lost[index] for index in lost} == all_offsets()

    async def test_a_segment_that_is_not_there_is_damage(self, storage: MemoryStorage) -> None:
        (name, first, *_), (_, end, *_) = segments(storage)[1:3]
        storage.unlink(name)

        found = verify(storage)
        finding = only(found, "damage")
        read = readable(storage)
        lost = gone(found)

        assert "missing" in finding.what
        assert finding.file is None
        assert (finding.lsn_start, finding.lsn_end) == (first, end)
        assert {index: read[index] | lost[index] for index in lost} == all_offsets()

    async def test_a_journal_that_ends_below_what_a_checkpoint_knows_is_damage(self, storage: MemoryStorage) -> None:
        name, first_lsn, *_ = segments(storage)[-1]
        cut(storage, name, 4_096)

        found = verify(storage)
        lost = gone(found)
        read = readable(storage)

        assert found.damaged
        assert {index: read[index] | lost[index] for index in lost} == all_offsets()
        assert found.durable_lsn > first_lsn + 4_096

    async def test_what_an_operator_gave_up_is_a_note_from_then_on(self, storage: MemoryStorage) -> None:
        flip(storage, FIRST, 100_000)
        before = only(verify(storage), "damage")
        async with StoreMaker(storage) as maker:
            await maker.fact(facts.LossAccepted(((before.lsn_start or 0, before.lsn_end or 0),), 1_000, "it is gone"))

        found = verify(storage)
        note = only(found, "note")

        assert found.ok
        assert (note.lsn_start, note.lsn_end, note.offsets) == (before.lsn_start, before.lsn_end, before.offsets)

    async def test_offsets_below_the_log_start_are_not_mourned(self, storage: MemoryStorage) -> None:
        async with StoreMaker(storage) as maker:
            for partition in maker.journal.partitions.values():
                await maker.fact(facts.Trimmed(partition.id, partition.high_watermark, "age", 1_000))
        flip(storage, FIRST, 100_000)

        finding = only(verify(storage), "damage")

        assert finding.offsets == ()

    async def test_whichever_read_the_system_fails_is_told_and_never_passed_over(self, storage: MemoryStorage) -> None:
        faulty = FaultyStorage(storage)
        told = []
        for number in range(1, 100):
            faulty.arm(Fault(number, ops=frozenset({"pread"})))
            try:
                found = verify(faulty)
            except OSError:
                told.append("raised")
                continue
            if not faulty.failed[len(told) :]:
                break
            assert not found.ok
            assert any("cannot be read" in each.what for each in found.findings)
            told.append("found")

        assert told.count("raised") == 1  # of FORMAT, without which nothing can be told
        assert told.count("found") > 8


class TestFilesThatCanBeMadeAnew:
    async def test_a_bit_in_an_index_loses_nothing(self, storage: MemoryStorage) -> None:
        name = "journal/00000000000000000000.index"
        flip(storage, name, 3_000)

        found = verify(storage)

        assert (found.ok, found.damaged) == (False, False)
        assert only(found, "harmless").file == name

    async def test_an_index_that_is_whole_and_says_something_else_is_noticed(self, storage: MemoryStorage) -> None:
        other = MemoryStorage()
        await make_store(other, BATCHES)
        mine, theirs = storage.open("FORMAT"), other.open("FORMAT")
        assert mine.pread(100, 0) != theirs.pread(100, 0)
        name = "journal/00000000000000000000.index"
        file = other.open(name)
        content = file.pread(file.size(), 0)
        target = storage.open(name, write=True)
        target.truncate(0)
        target.pwrite([content], 0)

        found = verify(storage)

        assert only(found, "harmless").file == name

    async def test_one_bad_checkpoint_loses_nothing(self, storage: MemoryStorage) -> None:
        newest = checkpoint.listed(storage)[0]
        flip(storage, newest, 10)

        found = verify(storage)

        assert (found.ok, found.damaged) == (False, False)
        assert only(found, "harmless").file == newest
        assert [seen.ok for seen in found.checkpoints] == [False, True]

    async def test_two_bad_checkpoints_are_damage_once_segments_are_gone(self, storage: MemoryStorage) -> None:
        for name in checkpoint.listed(storage):
            flip(storage, name, 10)
        assert not verify(storage).damaged
        storage.unlink(FIRST)

        found = verify(storage)

        assert sum("no other is left" in each.what for each in found.findings) == 2


class TestWhatIsNoStore:
    async def test_a_damaged_format_file_is_refused_by_name(self, storage: MemoryStorage) -> None:
        flip(storage, "FORMAT", 30)

        with pytest.raises(NotAStore, match="FORMAT file is damaged"):
            verify(storage)

    async def test_a_later_format_is_refused(self, storage: MemoryStorage) -> None:
        file = storage.open("FORMAT", write=True)
        file.pwrite([b'{"format":9'], 0)

        with pytest.raises(FormatTooNew):
            verify(storage)


async def test_every_bit_of_a_small_store_counts() -> None:
    storage = MemoryStorage()
    await make_store(storage, 2, ())
    used = verify(storage).end_lsn
    cut(storage, FIRST, used)
    marker = used - 64  # the last group: an idle marker, whose loss cannot be told from a torn write

    unnoticed = []
    for position in range(marker):
        flip(storage, FIRST, position)
        if verify(storage).ok:
            unnoticed.append(position)
        flip(storage, FIRST, position)

    assert unnoticed == []
    assert verify(storage).findings == []


async def test_beside_a_writing_owner_nothing_is_taken_for_damage(tmp_path: Path) -> None:
    storage = RealStorage(tmp_path / "data")
    async with StoreMaker(storage) as maker:
        await maker.batches(50)
        writing = asyncio.create_task(maker.batches(1_000))
        looked = 0
        while not writing.done():
            beside = RealStorage(tmp_path / "data")
            found = await asyncio.to_thread(verify, beside)
            assert found.findings == [] or {each.severity for each in found.findings} == {"note"}
            assert found.held_by is not None
            looked += 1
        await writing

    assert looked > 1
    assert verify(RealStorage(tmp_path / "data")).records == 1_050 * RECORDS


def test_offsets_are_told_as_people_count() -> None:
    assert str(Offsets("orders", 3, 5, 8)) == "orders/3 offsets 5 to 7"
    assert merge_ranges([(1, 2), (2, 3)]) == [(1, 3)]


class TestCompacted:
    @pytest.fixture
    async def storage(self) -> MemoryStorage:
        made = MemoryStorage()
        await compacted_store(made)
        return made

    async def test_a_compacted_store_is_whole(self, storage: MemoryStorage) -> None:
        found = verify(storage)

        assert any(segment.generation for segment in segments(storage))
        assert (found.ok, found.findings) == (True, [])
        assert found.records == (200 + 10) * RECORDS

    async def test_a_bit_of_a_copy_is_named_by_file_and_offsets(self, storage: MemoryStorage) -> None:
        copy = segments(storage)[0]
        flip(storage, copy.name, 5_000)

        finding = only(verify(storage), "damage")

        assert finding.file == copy.name
        assert finding.offsets

    async def test_a_copy_that_ends_too_early_is_damage_even_at_a_group(self, storage: MemoryStorage) -> None:
        copy = segments(storage)[0]
        last = [found for found in Walk(Store.open(storage)) if isinstance(found, Piece) and found.file == copy.name][
            -1
        ]
        cut(storage, copy.name, last.lsn - copy.first_lsn)

        found = verify(storage)

        assert found.damaged
        assert {each.file for each in found.findings if each.severity == "damage"} == {copy.name}

    async def test_an_index_of_a_copy_can_be_made_anew(self, storage: MemoryStorage) -> None:
        copy = segments(storage)[0]
        flip(storage, copy.name.replace(".log", ".index"), 200)

        assert only(verify(storage), "harmless").file == copy.name.replace(".log", ".index")

    async def test_without_checkpoints_the_state_is_gone(self, storage: MemoryStorage) -> None:
        for name in storage.list("checkpoint"):
            flip(storage, f"checkpoint/{name}", 9)

        assert verify(storage).damaged

    async def test_what_a_crash_left_of_a_compaction_is_a_note(self) -> None:
        made = MemoryStorage()
        await make_store(made, BATCHES)
        first, second, *_ = segments(made)
        stray = f"journal/{compacted_stem(first.first_lsn, second.first_lsn, 1)}.log"
        made.open(stray, create=True).close()

        found = verify(made)

        assert found.ok
        assert only(found, "note").file == stray
