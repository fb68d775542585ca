"""Which records are not the newest of their key: held against a dictionary, with little memory and with much."""

from itertools import count, islice

from hypothesis import given
from hypothesis import strategies as st

from isthmus.log.keys import _SHARD_COST_BYTES, KEY_BYTES, KeyScan, Memory, Offsets
from isthmus.record import NO_HEADERS, StoredRecord

NOW_MS = 1_000
KEYS = st.none() | st.sampled_from([b"", b"a", b"b", b"c" * KEY_BYTES, b"c" * (KEY_BYTES + 1), b"d" * 900])
ROWS = st.lists(st.tuples(KEYS, st.booleans(), st.integers(1, 3)), max_size=60)


def record(offset: int, key: bytes | None, value: bytes | None = b"v") -> StoredRecord:
    return StoredRecord(offset, 0, key, value, NO_HEADERS)


def history(rows: list[tuple[bytes | None, bool, int]]) -> list[StoredRecord]:
    """Records with gaps between their offsets; some are tombstones."""
    found, offset = [], 0
    for key, tombstone, gap in rows:
        offset += gap
        found.append(record(offset, key, None if tombstone else b"v"))
    return found


def scanned(keys: KeyScan, records: list[StoredRecord], horizon_ms: int | None = None, size: int = 7) -> KeyScan:
    """All of it in batches, as often as the keys need it."""
    for _ in islice(count(), 1_000):
        for at in range(0, len(records), size):
            keys.batch(records[at : at + size], horizon_ms)
        if not keys.finish():
            return keys
    raise AssertionError("it never comes to its end")


def inside(marks: Offsets, records: list[StoredRecord]) -> list[int]:
    return [one.offset for one in records if one.offset in marks]


class TestOffsets:
    @given(st.sets(st.integers(0, 20_000), max_size=50), st.integers(0, 21_000), st.integers(0, 9_000))
    def test_they_are_a_set_that_can_be_counted(self, chosen: set[int], start: int, width: int) -> None:
        offsets = Offsets(Memory())

        assert all(offsets.add(offset) for offset in chosen)

        assert all((offset in offsets) == (offset in chosen) for offset in range(0, 21_000, 7))
        assert offsets.count(start, start + width) == sum(start <= offset < start + width for offset in chosen)

    def test_they_share_a_bounded_memory(self) -> None:
        memory = Memory(2 * _SHARD_COST_BYTES)
        one, two = Offsets(memory), Offsets(memory)

        assert one.add(1)
        assert one.add(2)
        assert two.add(1)
        assert not two.add(10_000)
        assert 10_000 not in two


class TestKeyScan:
    @given(ROWS, st.sampled_from([1, 2, 3, 100]))
    def test_all_but_the_newest_of_each_key_is_dead(
        self, rows: list[tuple[bytes | None, bool, int]], keys_max: int
    ) -> None:
        records = history(rows)
        newest = {one.key: one.offset for one in records}

        keys = scanned(KeyScan(NOW_MS, keys_max=keys_max), records)

        assert inside(keys.dead, records) == [
            one.offset for one in records if one.key is not None and newest[one.key] != one.offset
        ]

    @given(ROWS, st.sampled_from([1, 2, 100]))
    def test_the_newest_tombstones_are_alone_or_above_something(
        self, rows: list[tuple[bytes | None, bool, int]], keys_max: int
    ) -> None:
        records = history(rows)
        newest = {one.key: one.offset for one in records}
        tombstones = [one for one in records if one.value is None and one.key is not None]
        first = {key: min(one.offset for one in records if one.key == key) for key in newest}

        keys = scanned(KeyScan(NOW_MS, keys_max=keys_max), records)

        left = [one for one in tombstones if newest[one.key] == one.offset]
        alone = [one.offset for one in left if first[one.key] == one.offset]
        assert [each for each in inside(keys.alone, records) if each not in keys.dead] == alone
        above = [each for each in inside(keys.above, records) if each not in keys.dead]
        assert sorted([*alone, *above]) == [one.offset for one in left]

    def test_a_tombstone_goes_when_its_time_has_come_and_nothing_older_is_left(self) -> None:
        lonely, above = [record(5, b"a", None)], [record(4, b"b"), record(6, b"b", None)]

        late = scanned(KeyScan(NOW_MS), [*above, *lonely], horizon_ms=NOW_MS)
        early = scanned(KeyScan(NOW_MS), [*above, *lonely], horizon_ms=NOW_MS + 1)

        assert inside(late.dead, [*above, *lonely]) == [4, 5]
        assert inside(early.dead, [*above, *lonely]) == [4]

    def test_what_does_not_fit_into_memory_is_left_and_told(self) -> None:
        records = [record(offset * 100_000, b"k") for offset in range(5)]

        keys = scanned(KeyScan(NOW_MS, Memory(2 * _SHARD_COST_BYTES)), records)

        assert inside(keys.dead, records) == [0, 100_000]
        assert keys.full

    def test_behind_what_cannot_be_read_no_tombstone_goes(self) -> None:
        keys = KeyScan(NOW_MS)
        keys.batch([record(1, b"a", None)], NOW_MS)
        keys.blind()
        keys.batch([record(2, b"b", None), record(3, b"c"), record(4, b"c", None)], NOW_MS)

        assert [offset for offset in range(5) if offset in keys.dead] == [1, 3]
        assert not keys.alone
        assert not keys.above
