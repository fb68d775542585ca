"""Bytes that change on the disk by themselves, and files that go, come back, or are those of another time.

Nothing of a store that was closed in order may change without being detected or being harmless, and nothing is ever
served that was not written there. (The very last group of a store that was *not* closed is exempt: damage to it cannot
be told from a write that power cut short.)
"""

from collections import Counter
from collections.abc import Callable

import pytest

from isthmus.log import facts
from support.log_rot import TINY, ClosedStore, Files, closed_store, damage_every_byte, judge, storage_of
from support.log_world import Store

Record = Callable[[str, object], None]

BLOCK = 512
LAST_WORDS = 256
"""Bytes at the end of a store that say that it was closed in order, and nothing else."""

KINDS = ("segment 0", "segment 1", "segment 2", "segment 3", "sidecars", "checkpoints", "FORMAT")


@pytest.fixture
async def store() -> ClosedStore:
    return await closed_store()


@pytest.fixture
async def checkpointed() -> ClosedStore:
    """Closed as a broker closes: nothing but the last words stand behind what the newest checkpoint knows."""
    return await closed_store(checkpoint_last=True)


def names_of(store: ClosedStore, kind: str) -> list[str]:
    if kind.startswith("segment "):
        return [store.segments()[int(kind.removeprefix("segment "))]]
    if kind == "sidecars":
        return sorted(name for name in store.files if name.endswith(".index"))
    return store.checkpoints() if kind == "checkpoints" else ["FORMAT"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_every_damaged_byte_is_detected_or_harmless(
    kind: str, store: ClosedStore, record_property: Record
) -> None:
    outcomes = [await damage_every_byte(store, name) for name in names_of(store, kind)]

    tried = sum(outcome.total() for outcome in outcomes)
    record_property("damaged bytes", tried)
    assert tried == sum(store.files[name][1] for name in names_of(store, kind))
    allowed = {
        "sidecars": {"harmless"},  # rebuilt from the segment
        "checkpoints": {"set aside"},  # the other one stands in
        "FORMAT": {"refused"},
    }.get(kind, {"harmless", "read error", "reported"})
    assert {what for outcome in outcomes for what in outcome} <= allowed


def test_all_segments_are_among_them(store: ClosedStore) -> None:
    assert len(store.segments()) == len([kind for kind in KINDS if kind.startswith("segment ")])


async def test_a_whole_store_is_harmless(store: ClosedStore) -> None:
    assert await judge(storage_of(store.files), store.model) == "harmless"


class TestFiles:
    async def test_a_missing_sidecar_is_written_anew(self, store: ClosedStore) -> None:
        for name in names_of(store, "sidecars"):
            assert await judge(store.with_file(name, None), store.model) == "harmless"

    async def test_a_sidecar_of_another_segment_is_not_used(self, store: ClosedStore) -> None:
        first, second, *_ = names_of(store, "sidecars")

        assert await judge(store.with_file(first, store.files[second]), store.model) == "harmless"

    async def test_a_checkpoint_that_is_missing_loses_nothing(self, store: ClosedStore) -> None:
        for name in store.checkpoints():
            assert await judge(store.with_file(name, None), store.model) == "harmless"

    async def test_both_checkpoints_missing_lose_nothing_while_all_segments_are_there(self, store: ClosedStore) -> None:
        files = {name: content for name, content in store.files.items() if name not in store.checkpoints()}

        assert await judge(storage_of(files), store.model) == "harmless"

    async def test_a_missing_segment_is_reported(self, checkpointed: ClosedStore) -> None:
        for name in checkpointed.segments():
            assert await judge(checkpointed.with_file(name, None), checkpointed.model) == "reported"

    async def test_a_truncated_segment_is_reported(self, checkpointed: ClosedStore) -> None:
        for name in checkpointed.segments():
            held, size = checkpointed.files[name]
            for cut in range(0, len(held) - LAST_WORDS, 104):
                outcome = await judge(checkpointed.with_file(name, (held[:cut], cut)), checkpointed.model)
                assert outcome == "reported", f"{name} cut at {cut} of {size}: {outcome}"

    async def test_a_segment_in_the_place_of_another_is_reported_or_found_when_it_is_read(
        self, checkpointed: ClosedStore
    ) -> None:
        for name, other in zip(checkpointed.segments(), checkpointed.segments()[1:], strict=False):
            outcome = await judge(checkpointed.with_file(name, checkpointed.files[other]), checkpointed.model)
            assert outcome in ("reported", "read error"), f"{other} as {name}: {outcome}"

    async def test_an_older_version_of_the_last_segment_is_reported(self, checkpointed: ClosedStore) -> None:
        last = checkpointed.segments()[-1]
        held, size = checkpointed.files[last]

        outcome = await judge(checkpointed.with_file(last, (held[: len(held) // 2], size)), checkpointed.model)

        assert outcome == "reported"

    async def test_a_strange_file_is_set_aside_and_kept(self, store: ClosedStore) -> None:
        files: Files = {**store.files, "journal/notes.txt": (b"mine", 4), "checkpoint/old.bak": (b"too", 3)}
        storage = storage_of(files)

        assert await judge(storage, store.model) == "set aside"

        kept = storage.list("quarantine")
        assert len(kept) == 2
        assert {storage.open(f"quarantine/{name}").pread(9, 0) for name in kept} == {b"mine", b"too"}


class TestCompacted:
    """A file that took the place of others: it is as well guarded as they were."""

    @pytest.fixture
    async def compacted(self) -> ClosedStore:
        return await closed_store(compact=True)

    async def test_a_whole_one_is_harmless(self, compacted: ClosedStore) -> None:
        assert len(compacted.segments()) == 2
        assert await judge(storage_of(compacted.files), compacted.model) == "harmless"

    @pytest.mark.slow
    async def test_every_damaged_byte_is_detected_or_harmless(
        self, compacted: ClosedStore, record_property: Record
    ) -> None:
        copy = compacted.segments()[0]

        outcomes = await damage_every_byte(compacted, copy)
        sidecar = await damage_every_byte(compacted, copy.replace(".log", ".index"))

        record_property("damaged bytes", outcomes.total() + sidecar.total())
        assert outcomes.keys() <= {"harmless", "read error"}
        assert outcomes["read error"] > outcomes.total() / 2
        assert sidecar.keys() == {"harmless"}

    async def test_one_that_is_missing_or_cut_off_is_reported(self, compacted: ClosedStore) -> None:
        copy = compacted.segments()[0]
        held, _ = compacted.files[copy]

        assert await judge(compacted.with_file(copy, None), compacted.model) == "reported"
        for size in range(0, len(held), 104):
            assert await judge(compacted.with_file(copy, (held[:size], size)), compacted.model) == "reported"

    async def test_without_checkpoints_the_facts_are_missed(self, compacted: ClosedStore) -> None:
        files = {name: content for name, content in compacted.files.items() if name not in compacted.checkpoints()}

        assert await judge(storage_of(files), compacted.model) == "reported"

    async def test_one_checkpoint_is_enough(self, compacted: ClosedStore) -> None:
        for name in compacted.checkpoints():
            assert await judge(compacted.with_file(name, None), compacted.model) == "harmless"

    async def test_sources_that_are_still_there_change_nothing_and_go(
        self, compacted: ClosedStore, checkpointed: ClosedStore
    ) -> None:
        source = checkpointed.segments()[1]
        storage = compacted.with_file(source, checkpointed.files[source])

        assert await judge(storage, compacted.model) == "harmless"

        assert not storage.exists(source)


class TestBlocks:
    """A block of a file that is another one than was written: lost, misdirected, of another store."""

    async def test_zeros(self, checkpointed: ClosedStore) -> None:
        await each_block(checkpointed, lambda _, __: bytes(BLOCK))

    async def test_a_block_of_another_segment(self, checkpointed: ClosedStore) -> None:
        def misdirected(name: str, start: int) -> bytes:
            others = [other for other in checkpointed.segments() if other != name]
            return checkpointed.files[others[0]][0][start : start + BLOCK].ljust(BLOCK, b"\0")

        await each_block(checkpointed, misdirected)

    async def test_a_block_of_another_store(self, checkpointed: ClosedStore) -> None:
        foreign = (await closed_store(checkpoint_last=True)).files

        await each_block(checkpointed, lambda name, start: foreign[name][0][start : start + BLOCK].ljust(BLOCK, b"\0"))


async def each_block(store: ClosedStore, content: Callable[[str, int], bytes]) -> None:
    """Put other content in place of each block in turn; harmless is what held nothing but facts, long covered."""
    outcomes: Counter[str] = Counter()
    for name in store.segments():
        held, size = store.files[name]
        for start in range(0, len(held) - LAST_WORDS - BLOCK, BLOCK // 2):
            changed = held[:start] + content(name, start) + held[start + BLOCK :]
            if changed != held:
                outcomes[await judge(store.with_file(name, (changed, size)), store.model)] += 1
    assert outcomes.keys() <= {"harmless", "reported", "read error"}
    assert outcomes["harmless"] <= outcomes.total() / 4, outcomes


async def test_both_checkpoints_damaged_while_segments_are_gone_is_reported(store: ClosedStore) -> None:
    files = {name: content for name, content in store.files.items() if name not in store.checkpoints()}
    for name in (store.segments()[0], names_of(store, "sidecars")[0]):
        del files[name]

    assert await judge(storage_of(files), store.model) == "reported"


async def test_a_newer_format_is_refused_and_nothing_is_changed(store: ClosedStore) -> None:
    newer = b'{"format":2,"shape":"unknown"}'
    storage = store.with_file("FORMAT", (newer, len(newer)))

    assert await judge(storage, store.model) == "refused"
    assert storage.list("quarantine") == []


async def test_what_opening_lists_as_damage_names_the_file_and_the_bytes(store: ClosedStore) -> None:
    name = store.segments()[-1]
    world = Store(store.flipped(name, 300, 0xFF), options=TINY)

    report = await world.open()

    assert len(report.damage) == 1
    assert name in report.damage[0]
    assert world.journal.damage == tuple(report.damage)
    assert isinstance(world.topics.sets[1], facts.TopicSet)
