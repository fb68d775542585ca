"""Checkpoints: whole or nothing, two of them, and newer than they say without harm."""

import asyncio
from collections.abc import Iterator

import pytest

from isthmus.limits import CHECKPOINT_SLICE_MS
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.journal import JournalOptions
from isthmus.log.recovery import FOLDERS, FORMAT
from isthmus.log.storage import MemoryStorage, replace
from support.log_world import Append, Commit, Drop, Make, Op, Trim, number_fact, pid
from support.opened import P0, P1, opened
from support.stores import flip

CHECKSUMS = form.Checksums(b"s" * 16)
FACTS = [number_fact(1, 2), facts.GroupRemoved(9)]
HISTORY: list[Op] = [
    Append((P0, P1), (b"a", b"b")),
    Make(2, 1, "fsync"),
    Append((pid(2),), (b"gone",)),
    Commit(1, 1),
    Trim(P0, 1),
    Drop(2),
    Append((P0,), (b"c",)),
    Commit(1, 2),
    Make(3, 2, "fsync"),
    Trim(P1, 2),
]


def encoded(applied_lsn: int = 64) -> bytes:
    entries = [form.encode_fact_entry(CHECKSUMS, 0, facts.encode(fact)) for fact in FACTS]
    return checkpoint.encode(CHECKSUMS, applied_lsn, 128, entries)


def decoded(data: bytes, name: str | None = None) -> checkpoint.Checkpoint | None:
    return checkpoint.decode(CHECKSUMS, name or checkpoint.file_name(64), data)


# ---- the file ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_gives_back_its_facts_in_order() -> None:
    found = decoded(encoded())

    assert found is not None
    assert (found.applied_lsn, found.durable_lsn) == (64, 128)
    assert list(found.facts()) == FACTS


def test_a_checkpoint_without_facts_is_one() -> None:
    found = decoded(checkpoint.encode(CHECKSUMS, 64, 64, []))

    assert found is not None
    assert list(found.facts()) == []


def test_a_wrong_bit_anywhere_makes_it_none() -> None:
    data = encoded()

    for at in range(len(data)):
        assert decoded(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is None


def test_a_checkpoint_that_is_cut_off_is_none() -> None:
    data = encoded()

    assert all(decoded(data[:end]) is None for end in range(len(data)))


def test_a_checkpoint_of_another_place_or_store_is_none() -> None:
    assert decoded(encoded(), checkpoint.file_name(72)) is None
    assert checkpoint.decode(form.Checksums(b"t" * 16), checkpoint.file_name(64), encoded()) is None


def test_files_are_listed_newest_first() -> None:
    storage = MemoryStorage()
    storage.make_folder(checkpoint.FOLDER)
    for lsn in (64, 1_000, 8):
        replace(storage, checkpoint.file_name(lsn), encoded(lsn))
    storage.open("checkpoint/notes.txt", create=True).close()

    assert checkpoint.listed(storage) == [checkpoint.file_name(lsn) for lsn in (1_000, 64, 8)]


def test_a_damaged_file_is_loaded_as_none() -> None:
    storage = MemoryStorage()
    storage.make_folder(checkpoint.FOLDER)
    name = checkpoint.file_name(64)
    replace(storage, name, encoded())
    before = checkpoint.load(storage, CHECKSUMS, name)
    flip(storage, name, 3)

    assert before is not None
    assert checkpoint.load(storage, CHECKSUMS, name) is None


# ---- taking one --------------------------------------------------------------------------------------------------


async def test_what_is_taken_can_be_loaded() -> None:
    store = await opened()
    taken = await checkpoint.take(store.journal)

    assert checkpoint.load(store.journal.storage, store.journal.checksums, taken.name) == taken
    assert store.journal.checkpoints == [taken.applied_lsn]


async def test_all_that_is_in_it_is_durable() -> None:
    store = await opened(level="written")
    await store.submit([Append((P0,), (b"a",))])
    lagging = store.journal.durable_lsn < store.journal.applied_lsn
    taken = await checkpoint.take(store.journal)

    assert lagging
    assert taken.durable_lsn >= taken.applied_lsn


async def test_two_are_kept() -> None:
    store = await opened()
    taken = [(await checkpoint.take(store.journal)).name for _ in range(4)]

    assert checkpoint.listed(store.journal.storage) == taken[:1:-1]


async def test_a_checkpoint_is_due_when_the_journal_has_grown_enough() -> None:
    store = await opened()
    due = [store.journal.checkpoint_due]
    store.journal.options = JournalOptions(checkpoint_bytes=store.journal.applied_lsn)
    due.append(store.journal.checkpoint_due)
    await checkpoint.take(store.journal)

    assert [*due, store.journal.checkpoint_due] == [False, True, False]


async def test_the_loop_goes_on_while_state_is_exported() -> None:
    store = await opened()
    turned: list[str] = []

    def export() -> Iterator[facts.Fact]:
        asyncio.get_running_loop().call_soon(turned.append, "a turn of the loop")
        yield from (number_fact(key, 1) for key in range(64))
        # The next slice is due.
        store.clock._now_ms += CHECKPOINT_SLICE_MS
        yield from (number_fact(key, 1) for key in range(64))
        turned.append("end of the export")

    store.journal.exporters.append(export)
    await checkpoint.take(store.journal)

    assert turned == ["a turn of the loop", "end of the export"]


async def test_what_happens_during_the_export_is_in_the_journal_behind_it() -> None:
    storage = MemoryStorage()
    store = await opened(storage)

    def export() -> list[facts.Fact]:
        store.submit([Append((P1,), (b"meanwhile",)), Commit(4, 4)])
        return []

    store.journal.exporters.append(export)
    taken = await checkpoint.take(store.journal)
    before = store.state()

    assert taken.applied_lsn < store.journal.applied_lsn
    assert (await opened(storage)).state() == before


# ---- replay ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", range(1, len(HISTORY) + 1))
async def test_replay_from_any_earlier_place_over_the_later_state_ends_in_the_same_state(length: int) -> None:
    storage = MemoryStorage()
    store, places = await opened(storage), list[int]()
    for op in HISTORY[:length]:
        places.append(store.journal.applied_lsn)
        await store.submit([op])
    state, exported, end = store.state(), list(store.journal.export()), store.journal.durable_lsn
    entries = [form.encode_fact_entry(store.journal.checksums, 0, facts.encode(fact)) for fact in exported]

    for lsn in places:
        copy = copied(storage)
        replace(copy, checkpoint.file_name(lsn), checkpoint.encode(store.journal.checksums, lsn, end, entries))
        again = await opened(copy)
        assert again.state() == state
        assert [each.state() for each in again.journal.partitions.values()] == [
            each.state() for each in store.journal.partitions.values()
        ]


def copied(storage: MemoryStorage) -> MemoryStorage:
    copy = MemoryStorage()
    for folder in FOLDERS:
        copy.make_folder(folder)
    for path in (FORMAT, *(f"journal/{name}" for name in storage.list("journal"))):
        source = storage.open(path)
        copy.open(path, create=True).pwrite([source.pread(source.size(), 0)], 0)
    return copy
