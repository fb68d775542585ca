"""What an operator gets who accepts a loss: a store that opens, all that is whole in it, the truth about the rest."""

import random
from collections.abc import Callable, Sequence
from typing import Final

import pytest

from isthmus.errors import Damaged
from isthmus.log import retention
from isthmus.log.format import Checksums
from isthmus.log.scan import GroupReader
from isthmus.log.storage import MemoryStorage
from support.crash import crash_everywhere
from support.log_rot import TINY, ClosedStore, Files, closed_store, storage_of
from support.log_world import Append, Commit, Make, Store, Trim, pid
from support.sim_storage import SimStorage

Record = Callable[[str, object], None]
Values = dict[int, dict[int, bytes | None]]
STATES: Final = 200


@pytest.fixture
async def store() -> ClosedStore:
    return await closed_store()


async def repaired(storage: MemoryStorage | SimStorage) -> Store:
    """The store after its loss was accepted."""
    opened = Store(storage, options=TINY)
    report = await opened.open(accept_loss=True)
    assert report.damage, "I9: nothing was lost, it seems"
    assert opened.journal.damage == ()
    return opened


async def readable(store: Store) -> Values:
    """Every record, by partition and offset."""
    return {key: dict(await store.values(key)) for key in store.journal.partitions}


async def groups_of(store: ClosedStore) -> list[tuple[str, int, int]]:
    """File, start and length of every commit group but the first, which opens the store."""
    opened = Store(storage_of(store.files), options=TINY)
    await opened.open(read_only=True)
    found = []
    for segment in opened.journal.segments:
        checksums = Checksums(opened.journal.store)
        reader = GroupReader(opened.journal.storage.open(segment.name), segment.first_lsn, checksums)
        groups = [group.header for group in reader.chain(segment.first_lsn)]
        found += [(segment.name, header.first_lsn - segment.first_lsn, header.body_length + 64) for header in groups]
    return found[1:]


async def test_what_is_whole_is_readable_and_later_openings_are_clean(store: ClosedStore) -> None:
    for name, start, length in await groups_of(store):
        storage = store.flipped(name, start + length // 2, 0xFF)
        plain = Store(storage, options=TINY)
        if not (await plain.open()).damage:
            continue  # covered by a checkpoint, or the last words
        await plain.journal.stop()

        found = await _accept_and_use(storage)

        values = store.model.values
        assert all(values[key][at : at + 1] == [value] for key in found for at, value in found[key].items())
        missing = sum(len(values[key]) - len(found[key]) for key in values)
        assert missing <= 4, f"I1: {missing} records gone with one group ({name} at {start})"


async def _accept_and_use(storage: MemoryStorage) -> Values:
    """Accept, read, append, checkpoint, open again: what was readable stays readable."""
    first = await repaired(storage)
    found = await readable(first)
    epoch = first.journal.epoch
    assert all(each.leader_epoch in (0, epoch) for each in first.journal.partitions.values())
    await first.submit([Append((key,), (b"new",)) for key in first.journal.partitions])
    await first.journal.stop()

    second = Store(storage, options=TINY)
    report = await second.open()
    assert report.damage == []
    again = await readable(second)
    for key, values in found.items():
        assert again[key] == {**values, max(again[key]): b"new"}
    await second.journal.stop()
    return found


async def test_offsets_that_may_be_bound_anew_have_a_new_leader_epoch(store: ClosedStore) -> None:
    opened = await repaired(store.flipped(store.segments()[-1], 200, 0xFF))

    assert {each.leader_epoch for each in opened.journal.partitions.values()} == {opened.journal.epoch}


async def test_damage_that_only_a_reader_would_meet_is_found_and_accepted(store: ClosedStore) -> None:
    name, start, length = (await groups_of(store))[4]
    storage = store.flipped(name, start + length // 2, 0xFF)
    plain = Store(storage, options=TINY)
    assert (await plain.open()).damage == [], "the checkpoints cover it"
    with pytest.raises(Damaged):
        await readable(plain)
    await plain.journal.stop()

    found = await _accept_and_use(storage)

    assert sum(map(len, found.values())) < sum(map(len, store.model.values.values()))


async def test_several_losses_are_accepted_one_after_the_other(store: ClosedStore) -> None:
    segments = store.segments()
    storage = store.flipped(segments[-1], 200, 0xFF)
    first = await repaired(storage)
    await first.submit([Append((pid(1),), (b"x" * 200,))])
    await first.journal.stop()
    middle = storage.open(segments[-2], write=True)
    middle.pwrite([b"\xff" * 40], 600)

    second = await repaired(storage)
    assert len(second.journal.accepted) == 2
    found = await readable(second)
    await second.journal.stop()

    third = Store(storage, options=TINY)
    assert (await third.open()).damage == []
    assert await readable(third) == found


async def test_a_missing_segment_is_accepted(store: ClosedStore) -> None:
    for name in store.segments()[:-1]:
        found = await _accept_and_use(store.with_file(name, None))

        assert sum(map(len, found.values())) > 0


async def test_a_store_without_any_segment_goes_on_behind_what_was_there(store: ClosedStore) -> None:
    files = {name: content for name, content in store.files.items() if not name.startswith("journal/")}

    opened = await repaired(storage_of(files))

    assert await readable(opened) == {pid(1): {}, pid(1, 1): {}}
    assert all(each.high_watermark > 0 for each in opened.journal.partitions.values())
    assert opened.journal.segments[0].first_lsn > 0


async def test_accepted_damage_does_not_hold_up_the_removal_of_its_segment(store: ClosedStore) -> None:
    storage = store.flipped(store.segments()[-2], 700, 0xFF)
    opened = await repaired(storage)
    ends = {key: each.high_watermark for key, each in opened.journal.partitions.items()}
    await opened.submit([Trim(key, end) for key, end in ends.items()])

    gone = await retention.remove(opened.journal, retention.removable(opened.journal))

    assert gone > 0
    assert len(opened.journal.segments) == 1
    await opened.journal.stop()
    assert (await Store(storage, options=TINY).open()).damage == []


class TestLostCatalogue:
    """Both checkpoints gone with the segments that they covered: the names come from the sidecars."""

    @pytest.fixture
    def files(self, store: ClosedStore) -> Files:
        gone = {*store.checkpoints(), store.segments()[0], store.segments()[0].replace(".log", ".index")}
        return {name: content for name, content in store.files.items() if name not in gone}

    async def test_the_records_are_there_again(self, store: ClosedStore, files: Files) -> None:
        opened = await repaired(storage_of(files))

        found = await readable(opened)
        assert set(found) == set(store.model.values)
        for key, values in found.items():
            assert values, "I1: nothing of a partition was found"
            assert list(values.values()) == store.model.values[key][min(values) :]

    async def test_the_log_starts_are_at_the_lowest_offset_that_is_left(self, files: Files) -> None:
        opened = await repaired(storage_of(files))

        for key, values in (await readable(opened)).items():
            assert opened.journal.partitions[key].log_start == min(values)

    async def test_it_lasts(self, files: Files) -> None:
        storage = storage_of(files)
        opened = await repaired(storage)
        found = await readable(opened)
        await opened.submit([Append((pid(1),), (b"new",))])
        await opened.journal.stop()

        again = Store(storage, options=TINY)
        assert (await again.open()).damage == []
        assert (await readable(again))[pid(1, 1)] == found[pid(1, 1)]


async def test_a_topic_whose_definition_was_lost_is_adopted() -> None:
    storage = MemoryStorage()
    first = Store(storage, options=TINY)
    await first.open()
    await first.submit([Make(1, 1, "fsync")])
    await first.submit([Append((pid(1),), (b"kept",))])
    at = first.journal.segments[0].first_lsn
    position = next(g.header.first_lsn - at for g in list(first.journal.segments[0].groups())[1:])
    await first.journal.stop()
    storage.open(first.journal.segments[0].name, write=True).pwrite([b"\xff"], position + 100)

    opened = await repaired(storage)

    assert await readable(opened) == {pid(1): {0: b"kept"}}


async def test_reading_over_a_loss_that_nobody_accepted_is_an_error(store: ClosedStore) -> None:
    name, start, length = next(group for group in await groups_of(store) if group[0] == store.segments()[-1])
    opened = Store(store.flipped(name, start + length // 2, 0xFF), options=TINY)
    await opened.open()

    with pytest.raises(Damaged, match="offsets"):
        await readable(opened)


async def test_writing_to_a_damaged_store_says_what_to_do(store: ClosedStore) -> None:
    opened = Store(store.flipped(store.segments()[-1], 200, 0xFF), options=TINY)
    await opened.open()

    with pytest.raises(Damaged, match="accept-loss"):
        opened.submit([Commit(1, 1)])


@pytest.mark.slow
@pytest.mark.parametrize("damaged", ["last", "sealed", "missing", "catalogue"])
async def test_a_power_cut_during_the_repair_is_harmless(
    damaged: str, store: ClosedStore, record_property: Record
) -> None:
    files = dict(store.files)
    last, sealed, first = store.segments()[-1], store.segments()[-2], store.segments()[0]
    if damaged in ("last", "sealed"):
        name = last if damaged == "last" else sealed
        held, size = files[name]
        files[name] = (held[:300] + b"\xff\xff" + held[302:], size)
    else:
        for name in [sealed] if damaged == "missing" else [*store.checkpoints(), first]:
            del files[name]
    sim = sim_of(files)
    expected = await readable(await repaired(sim))
    assert any(expected.values())

    async def verify(disk: SimStorage, marks: Sequence[object], _rng: random.Random) -> Sequence[object]:
        opened = Store(disk, options=TINY)
        if (await opened.open()).damage:
            await opened.journal.stop()
            opened = await repaired(disk)
        assert await readable(opened) == expected, "I8: not what an undisturbed repair gives"
        await opened.journal.stop()
        again = Store(disk, options=TINY)
        assert (await again.open()).damage == [], "I9: damage that was accepted is back"
        assert await readable(again) == expected, "I8: opening again changed something"
        return marks

    tally = await crash_everywhere(sim, verify, STATES)
    record_property("disks", tally.states)
    record_property("disks within a recovery", tally.nested)
    assert tally.states >= STATES


def sim_of(files: Files) -> SimStorage:
    """A disk with these files that can crash, with nothing in doubt."""
    sim = SimStorage()
    for folder in ("journal", "checkpoint", "quarantine"):
        sim.make_folder(folder)
    for name, (held, size) in files.items():
        file = sim.open(name, create=True)
        file.pwrite([held], 0)
        file.truncate(size)
        file.sync()
    for folder in ("", "journal", "checkpoint", "quarantine"):
        sim.sync_folder(folder)
    return sim.killed(len(sim.trace))
