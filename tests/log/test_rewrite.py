"""The copy of a run: what its file holds, and what keeps it from being made."""

from collections.abc import Iterator

import google_crc32c
import pytest

from isthmus.errors import Damaged
from isthmus.limits import COMPACT_HORIZON_MS
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.rewrite import Copy, NotShorter
from isthmus.log.scan import Group, GroupReader
from isthmus.log.storage import read_all
from support.log_world import KIB, SMALL, Append, Commit, Make, Store, Trim, pid
from support.sim_storage import SimStorage
from support.stores import flip

A = pid(1)
B = pid(1, 1)


async def filled(*, pause_ms: int = 0) -> Store:
    """Two sealed segments and a little more; every second record is dead."""
    store = Store(SimStorage(), options=SMALL)
    await store.open()
    await store.submit([Make(1, 2, "fsync")])
    for number in range(24):
        await store.submit([Append((A, B)[number % 2 :][:1], (bytes(KIB - 300),), time_ms=number), Commit(1, number)])
        await store.clock.advance(pause_ms)
    await store.submit([Trim(B, 12)])
    await store.journal.seal_active()
    await checkpoint.take(store.journal)
    await checkpoint.take(store.journal)
    return store


def run(copy: Copy) -> Copy:
    for _ in copy.steps():
        pass
    return copy


def groups(store: Store, copy: Copy) -> list[Group]:
    target = copy.target
    file = store.journal.storage.open(target.name)
    reader = GroupReader(file, target.first_lsn, store.journal.checksums, target.generation)
    found = list(reader.chain(target.first_lsn, target.file_end))
    file.close()
    return found


def entries(found: list[Group]) -> Iterator[tuple[form.EntryView, bytes]]:
    for group in found:
        for _, view, payload in group.entries():
            yield view, payload


async def test_a_copy_owns_the_range_and_holds_what_is_live_as_it_was() -> None:
    store = await filled()
    sources = store.journal.segments[:2]
    live = [
        group.body[view.position : view.position + view.length]
        for source in sources
        for group in source.groups()
        for view in group.views
        if view.kind == form.RECORDS and view.placements[0][0] == A
    ]

    copy = run(Copy(store.journal, sources, {}))

    found = groups(store, copy)
    got = [group.body[view.position : view.position + view.length] for group in found for view in group.views]
    (opened, *_) = [facts.decode(payload) for view, payload in entries(found) if view.kind == form.FACT]
    first, end = sources[0].first_lsn, sources[1].end_lsn
    assert got[1:] == live
    assert opened == facts.SegmentOpened(store.journal.store, first, end - first, opened.time_ms)  # type: ignore[union-attr]
    assert (copy.target.first_lsn, copy.target.end_lsn, copy.target.generation) == (first, end, 1)
    assert {(group.header.flags, group.header.durable_lsn, group.header.generation) for group in found} == {(1, 0, 1)}


async def test_the_fact_tells_length_and_checksum_of_the_file() -> None:
    store = await filled()

    copy = run(Copy(store.journal, store.journal.segments[:2], {}))

    content = read_all(store.journal.storage, copy.target.name, 64 * KIB)
    assert copy.swap is not None
    assert copy.swap.length == len(content) == copy.target.size_bytes
    assert copy.swap.crc == google_crc32c.extend(store.journal.checksums.entry, content)
    assert copy.swap.sources == tuple(segment.name for segment in store.journal.segments[:2])


async def test_entries_that_were_appended_far_apart_share_no_group() -> None:
    store = await filled(pause_ms=COMPACT_HORIZON_MS // 4)

    found = groups(store, run(Copy(store.journal, store.journal.segments[:2], {})))

    times = [group.header.time_ms for group in found]
    assert len(found) > 2
    assert times == sorted(times)


async def test_what_would_not_be_shorter_is_not_made() -> None:
    store = await filled()
    once = run(Copy(store.journal, store.journal.segments[:2], {}))
    store.journal.take_place(once.target, once.sources)
    store.journal.segments[0].end_lsn = once.target.file_end

    with pytest.raises(NotShorter):
        run(Copy(store.journal, store.journal.segments[:1], {}))

    assert not [name for name in store.journal.storage.list("journal") if ".2." in name]


async def test_rot_in_a_source_ends_the_copy_and_leaves_nothing() -> None:
    store = await filled()
    flip(store.journal.storage, store.journal.segments[1].name, 500)

    with pytest.raises(Damaged, match=r"from byte"):
        run(Copy(store.journal, store.journal.segments[:2], {}))

    assert [segment.rotten for segment in store.journal.segments[:2]] == [False, True]
    assert not [name for name in store.journal.storage.list("journal") if "-" in name]


@pytest.mark.parametrize("place", [10, 70, 200, 2_000])
async def test_what_was_not_written_as_it_was_read_gets_no_name(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await filled()
    copy = Copy(store.journal, store.journal.segments[:2], {})
    monkeypatch.setattr(Copy, "_sync", staticmethod(lambda _: flip(store.journal.storage, copy.temporary, place)))

    with pytest.raises(Damaged, match="while it was written"):
        run(copy)

    assert not [name for name in store.journal.storage.list("journal") if "-" in name]


async def test_a_copy_that_is_given_up_leaves_nothing() -> None:
    store = await filled()
    steps = Copy(store.journal, store.journal.segments[:2], {}).steps()

    next(steps)
    assert [name for name in store.journal.storage.list("journal") if name.endswith(".tmp")]
    steps.close()

    assert not [name for name in store.journal.storage.list("journal") if name.endswith(".tmp")]
