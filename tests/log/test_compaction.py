"""Compaction: what is worth it, what goes by key, what readers see meanwhile, and what rot does to it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.clock import ManualClock, SystemClock
from isthmus.definition import DAY_MS, TopicConfig
from isthmus.errors import Closed, Damaged
from isthmus.log import batch as batches
from isthmus.log import checkpoint, compaction, retention
from isthmus.log.compaction import FORCED_SHARE, Compacted, Compaction, Weight, is_due, runs
from isthmus.log.compression import CODECS
from isthmus.log.journal import Journal, JournalOptions
from isthmus.log.partition import Partition
from isthmus.log.segment import Segment
from isthmus.log.storage import MemoryStorage, RealStorage, Storage
from isthmus.record import Record, StoredRecord
from support.log_world import KIB, SMALL, Append, Make, Store, Trim, check_files, pid
from support.stores import flip

K = pid(1)
OTHER = pid(2)
COMPACT = TopicConfig(compact=True)


class World:
    """A store with a partition that is kept by key, and one that fills the rest of the segments."""

    def __init__(self, storage: Storage | None = None, options: JournalOptions = SMALL) -> None:
        self.storage = storage or MemoryStorage()
        self.options = options
        self.clock = ManualClock()

    async def open(self) -> "World":
        self.store = Store(self.storage, self.clock, self.options)
        self.report = await self.store.open()
        if self.report.created:
            await self.store.submit([Make(1, 1, "fsync"), Make(2, 1, "fsync")])
        self.compaction = Compaction(self.journal, self.clock)
        return self

    async def reopen(self) -> None:
        await self.journal.stop()
        await self.open()

    @property
    def journal(self) -> Journal:
        return self.store.journal

    @property
    def partition(self) -> Partition:
        return self.journal.partitions[K]

    async def set(
        self, *rows: tuple[str, str | None], producer: int = -1, sequence: int = 0, codec: str = "none"
    ) -> None:
        """One batch of keys with values, padded; None is a tombstone."""
        unit = self.journal.unit()
        records = [Record(None if value is None else value.ljust(100).encode(), key.encode()) for key, value in rows]
        batch = batches.encode(
            records, now_ms=7, producer_id=producer, producer_epoch=0, base_sequence=sequence, compression=codec
        )
        if producer >= 0:
            unit.step(
                None, lambda: self.partition.remember_producer(batches.header(batch), self.partition.next_offset), 0
            )
        self.partition.append(unit, batch)
        await unit.submit()

    async def fill(self, count: int = 9) -> None:
        """Enough for another segment."""
        for _ in range(count):
            await self.store.submit([Append((OTHER,), (bytes(KIB),))])

    async def cover(self) -> None:
        """Seal what there is, and have both checkpoints cover it."""
        await self.journal.seal_active()
        await checkpoint.take(self.journal)
        await checkpoint.take(self.journal)

    async def compact(self, *, force: bool = True, **config: Any) -> Compacted:
        return await self.compaction.once([(self.partition, TopicConfig(compact=True, **config))], force=force)

    async def read(self, start: int | None = None) -> list[StoredRecord]:
        found: list[StoredRecord] = []
        offset = self.partition.log_start if start is None else start
        while offset < self.partition.high_watermark:
            for batch in await self.partition.read(offset, 4 * KIB):
                assert batch.base_offset <= offset < batch.end_offset
                found += batches.decode(batch.data, from_offset=offset)
                offset = batch.end_offset
        return found

    async def pairs(self) -> list[tuple[str, str | None]]:
        return [
            ((one.key or b"").decode(), None if one.value is None else one.value.decode().strip())
            for one in await self.read()
        ]

    def files(self) -> list[str]:
        return [segment.name.removeprefix("journal/").removesuffix(".log") for segment in self.journal.segments[:-1]]


# ---- what is worth it --------------------------------------------------------------------------------------------


def weight(first: int, live: int, size: int = 100 * KIB, generation: int = 0) -> Weight:
    segment = Segment(Store(MemoryStorage()).journal, str(first), first, first + 100 * KIB, generation, size)
    return Weight(segment, size, live)


def found(weights: list[Weight | None], share: float = 0.5) -> list[list[int]]:
    return [[one.segment.first_lsn // KIB // 100 for one in run] for run in runs(weights, 100 * KIB, share)]


def at(number: int, live: int, size: int = 100 * KIB, generation: int = 0) -> Weight:
    return weight(number * 100 * KIB, live, size, generation)


class TestRuns:
    def test_sparse_neighbours_are_joined_until_what_lives_fills_a_segment(self) -> None:
        sparse = [at(number, 30 * KIB) for number in range(5)]

        assert found([*sparse]) == [[0, 1, 2], [3, 4]]

    def test_what_is_mostly_live_is_left(self) -> None:
        assert found([at(0, 51 * KIB), at(1, 50 * KIB), at(2, 100 * KIB)]) == [[1]]

    def test_what_cannot_be_had_and_what_is_missing_ends_a_run(self) -> None:
        assert found([at(0, 1), None, at(2, 1), at(4, 1)]) == [[0], [2], [4]]

    def test_small_copies_are_joined_when_they_are_many_or_beside_something_sparse(self) -> None:
        small = [at(number, 3 * KIB, 3 * KIB, 1) for number in range(8)]

        assert found([*small[:7]]) == []
        assert found([*small]) == [list(range(8))]
        assert found([*small[:2], at(2, 1)]) == [[0, 1, 2]]

    def test_all_that_can_be_had_is_still_not_what_stands_around_the_entries(self) -> None:
        assert found([at(0, 100 * KIB - 200), at(1, 98 * KIB)], FORCED_SHARE) == [[1]]


# ---- by copy -----------------------------------------------------------------------------------------------------


class TestByCopy:
    async def test_one_old_record_does_not_keep_a_segment(self) -> None:
        w = await World().open()
        for number in range(3):
            await w.set(("k", f"old {number}"))
            await w.fill()
        await w.store.submit([Trim(OTHER, w.journal.partitions[OTHER].high_watermark)])
        await w.cover()
        before = await w.read()

        done = await w.compaction.once([])

        assert await w.read() == before
        assert (done.made, done.files, done.records) == (1, 5, 0)
        assert done.target_bytes < done.source_bytes / 20

    async def test_offsets_times_and_producers_are_as_they_were_also_after_opening(self) -> None:
        w = await World().open()
        await w.set(("k", "one"), ("l", "two"), producer=5)
        await w.fill()
        await w.store.submit([Trim(OTHER, w.journal.partitions[OTHER].high_watermark)])
        await w.cover()
        before = await w.read()
        appended = [row.append_ms for row in await w.partition.over_stored(list)]
        await w.compaction.once([])

        for _ in range(2):
            assert await w.read() == before
            assert await w.partition.offset_for_time(7) == 0
            assert [row.append_ms for row in await w.partition.over_stored(list)] == appended
            assert w.partition.producers is not None
            assert w.partition.producers.find(5, 0, 0, 2) == 0
            await w.reopen()
        check_files(w.store)

    async def test_what_no_checkpoint_covers_is_left(self) -> None:
        w = await World().open()
        await w.set(("k", "old"))
        await w.fill(20)
        await w.store.submit([Trim(OTHER, w.journal.partitions[OTHER].high_watermark)])
        await checkpoint.take(w.journal)

        assert await w.compaction.once([], force=True) == Compacted()

    async def test_a_copy_goes_when_its_records_are_dead(self) -> None:
        w = await World().open()
        await w.set(("k", "old"))
        await w.fill()
        await w.store.submit([Trim(OTHER, w.journal.partitions[OTHER].high_watermark)])
        await w.cover()
        await w.compaction.once([])
        await w.store.submit([Trim(K, w.partition.high_watermark)])

        await retention.remove(w.journal, await w.journal.run(lambda: retention.removable(w.journal)))

        assert not w.files()
        assert not w.journal.swaps
        await w.reopen()
        assert not w.report.damage
        check_files(w.store)

    async def test_readers_go_on_while_files_change_hands(self, tmp_path: Path) -> None:
        w = World(RealStorage(tmp_path))
        w.clock = SystemClock()  # type: ignore[assignment]
        await w.open()
        for number in range(40):
            await w.set(("k", str(number)), ("l", str(number)))
            await w.fill(2)
        await w.store.submit([Trim(OTHER, w.journal.partitions[OTHER].high_watermark)])
        await w.cover()
        newest = {one.key: one for one in await w.read()}
        stop = asyncio.Event()

        async def reader() -> int:
            rounds = 0
            while not stop.is_set():
                rows = await w.read()
                assert {one.key: one for one in rows} == newest
                assert [one.offset for one in rows] == sorted(one.offset for one in rows)
                rounds += 1
            return rounds

        readers = [asyncio.create_task(reader()) for _ in range(3)]
        for _ in range(3):
            await w.compact()
        stop.set()

        assert all(await asyncio.gather(*readers))
        assert len(await w.read()) == 2
        await w.journal.stop()


# ---- by key ------------------------------------------------------------------------------------------------------


class TestByKey:
    async def test_the_newest_of_each_key_is_left_at_its_offset(self) -> None:
        w = await World().open()
        for number in range(30):
            await w.set(("a", str(number)), (f"b{number % 4}", str(number)))
            await w.fill(1)
        await w.cover()

        done = await w.compact()

        assert [(one.offset, one.key) for one in await w.read()] == [
            (53, b"b2"), (55, b"b3"), (57, b"b0"), (58, b"a"), (59, b"b1"),
        ]  # fmt: skip
        assert done.records == 55
        assert len(await w.store.values(OTHER)) == 30

    async def test_a_reader_at_any_offset_sees_what_is_left_behind_it(self) -> None:
        w = await World().open()
        for number in range(12):
            await w.set((f"{number % 3}", str(number)))
        await w.cover()
        await w.compact()
        whole = await w.read()

        for start in range(w.partition.high_watermark + 1):
            assert await w.read(start) == [one for one in whole if one.offset >= start]

    async def test_a_tombstone_stays_its_time_after_what_it_deleted_is_gone(self) -> None:
        w = await World().open()
        await w.set(("a", "1"), ("b", "1"))
        await w.set(("a", None))
        await w.cover()

        await w.compact()
        assert await w.pairs() == [("b", "1"), ("a", None)]
        await w.clock.advance(DAY_MS - 1)
        await w.compact()
        assert await w.pairs() == [("b", "1"), ("a", None)]
        await w.clock.advance(1)
        await w.compact()

        assert await w.pairs() == [("b", "1")]

    async def test_a_key_that_comes_back_is_there(self) -> None:
        w = await World().open()
        await w.set(("a", "1"))
        await w.set(("a", None))
        await w.cover()
        await w.compact(tombstone_ms=0)
        await w.set(("a", "2"))
        await w.cover()
        await w.compact(tombstone_ms=0)

        assert await w.pairs() == [("a", "2")]

    async def test_records_within_the_lag_stay(self) -> None:
        w = await World().open()
        await w.set(("a", "1"))
        await w.set(("a", "2"))
        await w.clock.advance(10_000)
        await w.set(("a", "3"))
        await w.set(("a", "4"))
        await w.cover()

        await w.compact(compact_lag_ms=5_000)
        assert [value for _, value in await w.pairs()] == ["2", "3", "4"]
        await w.clock.advance(10_000)
        await w.compact(compact_lag_ms=5_000)

        assert await w.pairs() == [("a", "4")]

    async def test_the_last_batch_of_a_producer_stays_if_need_be_empty(self) -> None:
        w = await World().open()
        await w.set(("a", "1"), producer=5)
        await w.set(("a", "2"), producer=5, sequence=1)
        await w.set(("a", "3"))
        await w.cover()

        await w.compact()

        assert [one.offset for one in await w.read()] == [2]
        (row,) = [row for row in w.journal.segments[0].rows(K, 1, 1) if row.base_offset == 1]
        assert row.end_offset == 2

    @pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd", "snappy"])
    async def test_a_batch_keeps_its_codec(self, codec: str) -> None:
        w = await World().open()
        await w.set(("a", "1"), ("b", "1"), codec=codec)
        await w.set(("a", "2"))
        await w.cover()

        await w.compact()

        data = (await w.partition.read(0, 1))[0].data
        assert (batches.header(data).compression, [one.key for one in batches.decode(data)]) == (codec, [b"b"])

    async def test_a_batch_that_cannot_be_decoded_is_kept_and_counted(self) -> None:
        w = await World().open()
        unit = w.journal.unit()
        head = batches.header(batches.encode([Record(b"x", b"a")], now_ms=1, compression="gzip"))
        w.partition.append(unit, batches._joined(head, b"not gzip"))
        await unit.submit()
        for number in range(2):
            await w.set(("a", str(number)))
        await w.cover()

        done = await w.compact()

        assert (done.kept_whole, done.records) == (1, 1)
        assert (await w.partition.read(0, 1))[0].data.endswith(b"not gzip")

    async def test_what_was_deleted_does_not_come_back_from_a_batch_that_could_not_be_decoded(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        w = await World().open()
        await w.set(("a", "1"), codec="lz4")
        await w.set(("a", None))
        await w.cover()
        lz4 = CODECS["lz4"]
        monkeypatch.delitem(CODECS, "lz4")
        for _ in range(3):
            await w.compact(tombstone_ms=0)
            await w.clock.advance(1)
        monkeypatch.setitem(CODECS, "lz4", lz4)

        assert await w.pairs() == [("a", "1"), ("a", None)]
        for _ in range(3):
            await w.compact(tombstone_ms=0)
            await w.clock.advance(1)
        assert await w.pairs() == []

    async def test_a_batch_that_stands_in_several_partitions_is_kept_as_it_is(self) -> None:
        w = await World().open()
        unit = w.journal.unit()
        unit.records([w.partition, w.journal.partitions[OTHER]], batches.encode([Record(b"x", b"a")], now_ms=1))
        await unit.submit()
        for number in range(9):
            await w.set(("a", str(number)))
        await w.cover()

        await w.compact()

        assert [one.offset for one in await w.read()] == [0, 9]
        assert len(await w.store.values(OTHER)) == 1

    async def test_what_is_clean_is_remembered(self) -> None:
        w = await World().open()
        for number in range(30):
            await w.set(("a", str(number)))
        await w.cover()
        was = w.partition.bytes

        await w.compact()

        assert w.partition.cleaned == 30
        assert w.partition.bytes == w.partition.clean_bytes < was / 10
        await checkpoint.take(w.journal)
        await w.reopen()
        assert (w.partition.cleaned, w.partition.clean_bytes) == (30, w.partition.bytes)


class TestDue:
    async def test_a_partition_is_looked_at_when_enough_of_it_is_new(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compaction, "COMPACT_DIRTY_BYTES_MIN", 100)
        w = await World().open()
        for number in range(10):
            await w.set((str(number), "x"))
        assert not is_due(w.journal, w.partition, COMPACT, w.clock.now_ms())

        await w.cover()
        assert is_due(w.journal, w.partition, COMPACT, w.clock.now_ms())
        await w.compact()
        assert not is_due(w.journal, w.partition, COMPACT, w.clock.now_ms())
        for number in range(9):
            await w.set((str(number), "y"))
        await w.cover()

        assert not is_due(w.journal, w.partition, COMPACT, w.clock.now_ms())
        assert is_due(w.journal, w.partition, TopicConfig(compact=True, compact_ratio=0.3), w.clock.now_ms())

    async def test_the_oldest_new_record_waits_no_longer_than_its_topic_says(self) -> None:
        w = await World().open()
        await w.set(("a", "1"))
        await w.cover()
        config = TopicConfig(compact=True, compact_lag_max_ms=1_000)

        assert not is_due(w.journal, w.partition, config, w.clock.now_ms())
        assert is_due(w.journal, w.partition, config, w.clock.now_ms() + 1_000)


# ---- rot and ends ------------------------------------------------------------------------------------------------


async def test_on_a_full_disk_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    w = await World().open()
    for number in range(20):
        await w.set(("a", str(number)))
    await w.cover()
    monkeypatch.setattr(w.storage, "free_bytes", lambda: SMALL.segment_bytes)

    done = await w.compact()

    assert (done.made, len(done.problems)) == (0, 1)
    assert len(await w.read()) == 20


class TestRot:
    @pytest.mark.parametrize("place", [0, 70, 3_000, -9])
    async def test_a_source_that_rots_is_neither_copied_nor_removed(self, place: int) -> None:
        w = await World().open()
        for number in range(20):
            await w.set(("a", str(number)))
            await w.fill(1)
        await w.cover()
        rotten = w.journal.segments[1]
        flip(w.storage, rotten.name, place % rotten.size_bytes)

        done = await w.compact()

        assert done.problems
        assert rotten in w.journal.segments
        assert w.storage.exists(rotten.name)

    async def test_a_copy_that_rots_is_met_by_its_readers_and_named_at_opening_by_its_length(self) -> None:
        w = await World().open()
        for number in range(20):
            await w.set((f"{number % 10}", str(number)))
        await w.cover()
        await w.compact()
        copy = w.journal.segments[0]
        view = copy.rows(K, 0, 1)[0]
        flip(w.storage, copy.name, view.position + 40)

        with pytest.raises(Damaged, match=r"journal/.* from byte"):
            await w.read()

    async def test_a_copy_that_is_cut_off_is_damage(self) -> None:
        w = await World().open()
        for number in range(20):
            await w.set((f"{number % 10}", str(number)))
        await w.cover()
        await w.compact()
        file = w.storage.open(w.journal.segments[0].name, write=True)
        file.truncate(file.size() - 8)

        await w.reopen()

        assert len(w.report.damage) == 1

    async def test_a_copy_without_its_checkpoints_is_damage_that_can_be_accepted(self) -> None:
        w = await World().open()
        for number in range(20):
            await w.set((f"{number % 10}", str(number)))
        await w.cover()
        await w.compact()
        before = await w.read()
        await w.journal.stop()
        for name in w.storage.list("checkpoint"):
            flip(w.storage, f"checkpoint/{name}", 5)

        await w.open()
        assert w.report.damage
        await w.journal.stop()
        w.store = Store(w.storage, w.clock)
        await w.store.open(accept_loss=True)

        assert [(one.offset, one.value) for one in await w.read()] == [(one.offset, one.value) for one in before]

    async def test_a_sidecar_of_a_copy_is_made_anew(self) -> None:
        w = await World().open()
        for number in range(20):
            await w.set((f"{number % 10}", str(number)))
        await w.cover()
        await w.compact()
        before = await w.read()
        flip(w.storage, w.journal.segments[0].index_name, 9)

        await w.reopen()

        assert await w.read() == before
        check_files(w.store)


async def test_it_ends_with_its_journal() -> None:
    w = await World().open()
    await w.set(("a", "1"))
    await w.cover()
    await w.journal.stop()

    with pytest.raises(Closed):
        await w.compact()


# ---- random histories --------------------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.sampled_from(["x", "yy"]))), min_size=1, max_size=5
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), ROWS),
        st.tuples(st.just("fill"), st.integers(1, 10)),
        st.tuples(st.sampled_from(["cover", "reopen", "day"]), st.none()),
        st.tuples(st.just("compact"), st.booleans()),
        st.tuples(st.just("trim"), st.integers(0, 5)),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=60, deadline=None)
async def test_whatever_happens_the_newest_of_each_key_is_read_in_order_at_its_offset(
    steps: list[tuple[str, Any]],
) -> None:
    w = await World().open()
    sent: dict[int, tuple[bytes, bytes | None]] = {}
    for what, given_ in steps:
        match what:
            case "set":
                base = w.partition.high_watermark
                await w.set(*given_)
                for offset, (key, value) in enumerate(given_, base):
                    sent[offset] = (key.encode(), None if value is None else value.ljust(100).encode())
            case "fill":
                await w.fill(given_)
                await w.store.submit([Trim(OTHER, w.journal.partitions[OTHER].high_watermark)])
            case "cover":
                await w.cover()
            case "reopen":
                await w.reopen()
            case "day":
                await w.clock.advance(DAY_MS)
            case "compact":
                await w.compact(force=given_)
            case "trim":
                to = min(w.partition.log_start + given_, w.partition.high_watermark)
                await w.store.submit([Trim(K, to)])
        await check(w, sent)


async def check(w: World, sent: dict[int, tuple[bytes, bytes | None]]) -> None:
    rows = await w.read()
    there = {offset: row for offset, row in sent.items() if offset >= w.partition.log_start}
    newest = {key: offset for offset, (key, _) in there.items()}
    got = {one.offset: (one.key, one.value) for one in rows}
    assert list(got) == sorted(got)
    assert got.items() <= there.items()
    needed = {offset: there[offset] for offset in newest.values() if there[offset][1] is not None}
    assert needed.items() <= got.items()
    left = {key: value for key, value in got.values() if value is not None and newest[key or b""] not in got}
    assert not left, "something that was deleted came back"
