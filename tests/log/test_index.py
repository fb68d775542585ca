"""Indexes: both kinds answer like a plain list of rows, and no damaged sidecar ever answers wrongly."""

import random
import struct
import sys
from array import array
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvariantError
from isthmus.log import index as module
from isthmus.log.index import (
    BLOCK_RECORDS,
    BLOOM_BYTES,
    EXACT_IDS_MAX,
    HEADER_BYTES,
    LENGTH_FLAGS,
    NO_TIMESTAMP,
    ActiveIndex,
    Extent,
    IndexCache,
    IndexInvalid,
    Name,
    Row,
    SealedIndex,
    encode_sidecar,
)
from support import format_text

STORE = bytes(range(16))
END_LSN = 2**24
MASKS = (0x01, 0x80, 0xFF)

Added = tuple[int, Row]
"""A partition and what was added to it; the timestamp is the batch's own."""


class Model:
    """The rows as plain lists, searched from the front."""

    def __init__(self, added: Iterable[Added]) -> None:
        self.held: dict[int, list[Row]] = {}
        self.lengths: dict[int, int] = {}
        for partition, row in added:
            rows = self.held.setdefault(partition, [])
            latest = max([row.max_timestamp_ms, *(known.max_timestamp_ms for known in rows)])
            rows.append(row._replace(max_timestamp_ms=latest))
            self.lengths[row.position] = row.length & ~LENGTH_FLAGS

    def rows(self, partition: int, offset: int, limit: int) -> list[Row]:
        return [row for row in self.held.get(partition, []) if row.end_offset > offset][:limit]

    def first_after_time(self, partition: int, time_ms: int) -> Row | None:
        return next((row for row in self.held.get(partition, []) if row.max_timestamp_ms >= time_ms), None)

    def directory(self, partition: int) -> Extent | None:
        rows = self.held.get(partition)
        if rows is None:
            return None
        taken = sum(row.length & ~LENGTH_FLAGS for row in rows)
        first, last = rows[0], rows[-1]
        return Extent(partition, first.base_offset, last.end_offset, len(rows), taken, last.max_timestamp_ms)


def filled(added: Iterable[Added]) -> ActiveIndex:
    index = ActiveIndex()
    for partition, row in added:
        index.add(partition, *row)
    return index


def scattered(partitions: int, entries: int, seed: int = 1) -> list[Added]:
    """Entries of one to three placements over many partitions, with gaps in offsets and times that go back."""
    chance, position, added = random.Random(seed), 64, list[Added]()
    next_offset = dict.fromkeys(range(partitions), 0)
    for _ in range(entries):
        length = 8 * chance.randint(4, 100)
        for partition in chance.sample(range(partitions), min(partitions, chance.choice((1, 1, 1, 3)))):
            base = next_offset[partition] + chance.choice((0, 0, 5))
            end = next_offset[partition] = base + chance.randint(1, 4)
            flagged = length | chance.choice((0, 1))
            added.append((partition << 16 | 1, Row(base, end, position, flagged, 10_000 + chance.randint(0, 3_000))))
        position += length
    return added


def name(partition: int) -> Name:
    return "default", f"flights-{partition >> 16}", partition & 0xFFFF, partition.to_bytes(16, "big")


def sidecar_of(index: ActiveIndex, generation: int = 0) -> bytes:
    names = {partition: name(partition) for partition in index.partitions()}
    return encode_sidecar(index, 0, END_LSN, STORE, names, generation)


def opened(sidecar: bytes, cache: IndexCache | None = None, generation: int = 0) -> SealedIndex:
    return SealedIndex(reader(sidecar), len(sidecar), STORE, 0, END_LSN, cache or IndexCache(), generation)


def reader(sidecar: bytes) -> Callable[[int, int], bytes]:
    return lambda size, position: sidecar[position : position + size]


def resealed(sidecar: bytes, start: int, end: int, offset: int, packed: bytes, generation: int = 0) -> bytes:
    """Other bytes at `offset`, and a checksum that fits again behind `start` to `end`."""
    damaged = sidecar[:offset] + packed + sidecar[offset + len(packed) :]
    seed = STORE + struct.pack("<QQQ", 0, generation, start)
    return damaged[:end] + struct.pack("<I", format_text.crc32c(seed + damaged[start:end])) + damaged[end + 4 :]


def answers_like(index: ActiveIndex | SealedIndex, model: Model, partitions: Iterable[int]) -> None:
    """Every question at every edge of every row."""
    for partition in partitions:
        held = model.held.get(partition, [])
        offsets = {-1, 0, *(offset + step for row in held for offset in row[:2] for step in (-1, 0))}
        times = {0, *(row.max_timestamp_ms + step for row in held for step in (0, 1))}
        assert index.directory(partition) == model.directory(partition)
        assert index.bounds(partition) == ((held[0].base_offset, held[-1].end_offset) if held else None)
        for offset in offsets:
            assert index.rows(partition, offset, 3) == model.rows(partition, offset, 3)
        for time_ms in times:
            assert index.first_after_time(partition, time_ms) == model.first_after_time(partition, time_ms)
        assert index.rows(partition, 0, 10**9) == held
        assert index.rows(partition, 0, 0) == index.rows(partition, 0, -1) == []


@st.composite
def added_rows(draw: st.DrawFn) -> list[Added]:
    steps = draw(
        st.lists(
            st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 5), st.integers(2, 50), st.integers(-1, 99))
        )
    )
    positions = accumulate((length * 8 for *_, length, _ in steps), initial=64)
    next_offset = dict.fromkeys(range(4), 0)
    added = list[Added]()
    for (partition, gap, count, length, time_ms), position in zip(steps, positions, strict=False):
        base = next_offset[partition] + gap
        next_offset[partition] = base + count
        added.append((partition << 16, Row(base, base + count, position, length * 8, time_ms)))
    return added


class TestBothKinds:
    @given(added=added_rows())
    def test_answer_like_a_plain_list(self, added: list[Added]) -> None:
        model, active = Model(added), filled(added)
        sealed = opened(sidecar_of(active))

        asked = [*(partition << 16 for partition in range(5)), 1]
        answers_like(active, model, asked)
        answers_like(sealed, model, asked)
        assert active.partitions() == sealed.partitions() == sorted(model.held)
        assert active.entry_bytes() == sealed.entry_bytes == sum(model.lengths.values())
        assert active.row_count == sealed.row_count == len(added)
        assert list(sealed.extents()) == [active.directory(partition) for partition in active.partitions()]
        sealed.verify()

    @pytest.mark.parametrize("rows", [BLOCK_RECORDS - 1, BLOCK_RECORDS, BLOCK_RECORDS + 1, 3 * BLOCK_RECORDS + 7])
    def test_answer_alike_where_rows_fill_blocks(self, rows: int) -> None:
        added = scattered(1, rows)
        sealed = opened(sidecar_of(filled(added)))

        answers_like(sealed, Model(added), [1])
        sealed.verify()

    @pytest.mark.parametrize("partitions", [EXACT_IDS_MAX, EXACT_IDS_MAX + 1, 3 * BLOCK_RECORDS + 7])
    def test_answer_alike_with_many_partitions(self, partitions: int) -> None:
        added = scattered(partitions, 4 * partitions)
        sealed = opened(sidecar_of(filled(added)))

        answers_like(sealed, Model(added), [number << 16 | 1 for number in range(partitions + 3)])
        assert sealed.max_timestamp_ms == max(row.max_timestamp_ms for _, row in added)
        sealed.verify()

    def test_without_rows_nothing_is_held(self) -> None:
        sealed = opened(sidecar_of(ActiveIndex()))

        sealed.verify()
        answers_like(sealed, Model([]), [0, 1])
        assert (sealed.partitions(), sealed.names(), sealed.row_count) == ([], {}, 0)
        assert sealed.max_timestamp_ms == NO_TIMESTAMP
        assert not sealed.may_hold(1)


class TestActiveIndex:
    def test_refuses_offsets_that_do_not_rise(self) -> None:
        index = filled([(1, Row(5, 8, 64, 80, 0))])

        with pytest.raises(InvariantError):
            index.add(1, 7, 9, 144, 80, 0)

    @given(added=added_rows(), cut=st.floats(0, 1))
    def test_what_was_dropped_was_never_there(self, added: list[Added], cut: float) -> None:
        position = 64 + int(cut * 8 * sum(row.length for _, row in added))
        kept = [(partition, row) for partition, row in added if row.position < position]
        index = filled(added)

        index.drop_from(position)

        answers_like(index, Model(kept), [partition << 16 for partition in range(4)])
        assert index.partitions() == filled(kept).partitions()
        assert (index.row_count, index.size_bytes) == (len(kept), filled(kept).size_bytes)

    def test_dropping_everything_leaves_an_empty_index(self) -> None:
        index = filled(scattered(5, 40))

        index.drop_from(0)

        assert (index.partitions(), index.row_count, index.size_bytes) == ([], 0, 0)

    def test_an_entry_in_several_partitions_counts_once(self) -> None:
        index = filled([(1, Row(0, 1, 64, 80 | 1, 0)), (2, Row(9, 10, 64, 80 | 1, 0)), (1, Row(1, 2, 144, 40, 0))])

        assert index.entry_bytes() == 120
        assert [index.directory(partition) for partition in (1, 2)] == [
            Extent(1, 0, 2, 2, 120, 0),
            Extent(2, 9, 10, 1, 80, 0),
        ]

    def test_rows_are_packed_little_endian_on_every_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        native = filled([(1, Row(1, 2, 3, 8, 5))]).packed(1)
        monkeypatch.setattr(sys, "byteorder", "big")

        swapped = module._little_endian(array("q", (1, 2)))

        assert native == struct.pack("<5q", 1, 2, 3, 8, 5)
        assert swapped == struct.pack(">2q", 1, 2)


class TestDamage:
    @pytest.mark.parametrize("mask", MASKS)
    def test_every_changed_byte_of_a_sidecar_is_found(self, mask: int) -> None:
        sidecar = sidecar_of(filled(scattered(3, 12)))

        for position in range(len(sidecar)):
            damaged = sidecar[:position] + bytes([sidecar[position] ^ mask]) + sidecar[position + 1 :]
            with pytest.raises(IndexInvalid):
                opened(damaged).verify()

    def test_a_changed_byte_of_a_large_sidecar_is_found(self) -> None:
        sidecar = sidecar_of(filled(scattered(200, 600)))

        for position in range(0, len(sidecar), 211):
            damaged = sidecar[:position] + bytes([sidecar[position] ^ 0x10]) + sidecar[position + 1 :]
            with pytest.raises(IndexInvalid):
                opened(damaged).verify()

    def test_a_damaged_sidecar_answers_rightly_or_not_at_all(self) -> None:
        added = scattered(3, 12)
        model, sidecar = Model(added), sidecar_of(filled(added))

        refused = 0
        for position in range(len(sidecar)):
            damaged = sidecar[:position] + bytes([sidecar[position] ^ 0x02]) + sidecar[position + 1 :]
            for partition in (1, 1 << 16 | 1, 7):
                try:
                    answers_like(opened(damaged), model, [partition])
                except IndexInvalid:
                    refused += 1
        assert 0 < refused < 3 * len(sidecar)

    def test_a_sidecar_of_another_length_is_refused(self) -> None:
        sidecar = sidecar_of(filled(scattered(3, 12)))

        for length in range(len(sidecar)):
            cut = sidecar[:length]
            with pytest.raises(IndexInvalid):
                opened(cut)
            with pytest.raises(IndexInvalid):
                SealedIndex(reader(cut), len(sidecar), STORE, 0, END_LSN, IndexCache()).verify()
        with pytest.raises(IndexInvalid):
            opened(sidecar + b"\x00")

    def test_a_sidecar_of_something_else_is_refused(self) -> None:
        sidecar = sidecar_of(filled(scattered(3, 12)), generation=2)
        read, size = reader(sidecar), len(sidecar)

        assert opened(sidecar, generation=2).generation == 2
        for store, first_lsn, end_lsn, generation in (
            (bytes(16), 0, END_LSN, 2),
            (STORE, 8, END_LSN, 2),
            (STORE, 0, END_LSN - 8, 2),
            (STORE, 0, END_LSN, 1),
        ):
            with pytest.raises(IndexInvalid):
                SealedIndex(read, size, store, first_lsn, end_lsn, IndexCache(), generation)

    def test_blocks_in_each_others_place_are_found(self) -> None:
        sidecar = sidecar_of(filled(scattered(1, 3 * BLOCK_RECORDS)))
        start, size = HEADER_BYTES + 8, BLOCK_RECORDS * 40 + 4
        first, second = sidecar[start : start + size], sidecar[start + size : start + 2 * size]

        swapped = opened(sidecar[:start] + second + first + sidecar[start + 2 * size :])

        with pytest.raises(IndexInvalid):
            swapped.rows(1, 0, 1)

    @pytest.mark.parametrize(
        ("offset", "packed"),
        [
            pytest.param(4, b"\x02", id="another version"),
            pytest.param(5, b"\x01", id="an unknown flag"),
            pytest.param(6, struct.pack("<H", 136), id="another header length"),
            pytest.param(48, struct.pack("<Q", 4), id="a partition too many"),
            pytest.param(48, struct.pack("<Q", 2**60), id="more partitions than memory"),
            pytest.param(80, struct.pack("<Q", HEADER_BYTES), id="a directory elsewhere"),
            pytest.param(88, struct.pack("<Q", 0), id="names elsewhere"),
            pytest.param(96, struct.pack("<Q", 2**60), id="names without end"),
            pytest.param(104, struct.pack("<Q", 2**60), id="another length"),
            pytest.param(112, struct.pack("<Q", BLOOM_BYTES), id="a filter of another length"),
        ],
    )
    def test_a_header_that_cannot_be_is_refused_though_its_checksum_fits(self, offset: int, packed: bytes) -> None:
        sidecar = sidecar_of(filled(scattered(3, 12)))

        opened(resealed(sidecar, 0, HEADER_BYTES - 4, 0, b"")).verify()
        with pytest.raises(IndexInvalid):
            opened(resealed(sidecar, 0, HEADER_BYTES - 4, offset, packed))

    def test_rows_that_are_not_there_are_missed(self) -> None:
        sidecar = sidecar_of(filled(scattered(3, 12)))

        claimed = opened(resealed(sidecar, 0, HEADER_BYTES - 4, 56, struct.pack("<Q", 2**60)))

        with pytest.raises(IndexInvalid):
            claimed.verify()

    def test_a_directory_that_contradicts_itself_is_refused_though_its_checksum_fits(self) -> None:
        sidecar = sidecar_of(filled(scattered(1, 5)))
        start = HEADER_BYTES + 8 + 5 * 40 + 4
        end = start + 56

        opened(resealed(sidecar, start, end, start, b"")).verify()
        for field, value in ((1, 77), (2, 77), (3, 0), (3, 2**50), (4, 77), (5, 77), (6, 2**50)):
            damaged = opened(resealed(sidecar, start, end, start + 8 * field, struct.pack("<q", value)))
            with pytest.raises(IndexInvalid):
                damaged.verify()
        for field, value in ((3, 0), (3, 2**50), (6, 2**50)):
            damaged = opened(resealed(sidecar, start, end, start + 8 * field, struct.pack("<q", value)))
            with pytest.raises(IndexInvalid):
                damaged.rows(1, 0, 1)

    def test_names_that_are_none_are_refused_though_their_checksum_fits(self) -> None:
        sidecar = sidecar_of(filled([(1, Row(0, 1, 64, 80, 0))]))
        start = HEADER_BYTES + 8 + 40 + 4 + 56 + 4

        damaged = opened(resealed(sidecar, start, len(sidecar) - 4, start, b"\x01"))

        with pytest.raises(IndexInvalid):
            damaged.names()
        assert damaged.rows(1, 0, 1) == [Row(0, 1, 64, 80, 0)]

    @given(data=st.binary(max_size=200))
    def test_arbitrary_bytes_are_no_sidecar(self, data: bytes) -> None:
        with pytest.raises(IndexInvalid):
            opened(b"ISX1" + data)


class TestFilter:
    def test_few_partitions_are_known_exactly(self) -> None:
        sealed = opened(sidecar_of(filled(scattered(EXACT_IDS_MAX, 300))))

        assert [number for number in range(EXACT_IDS_MAX << 17) if sealed.may_hold(number)] == sealed.partitions()

    @pytest.mark.parametrize(("partitions", "wrong"), [(1_000, 0.005), (2_000, 0.03), (4_000, 0.18)])
    def test_many_partitions_are_never_denied_and_seldom_imagined(self, partitions: int, wrong: float) -> None:
        held = [number << 16 | number % 3 for number in range(partitions)]
        sealed = opened(sidecar_of(filled((partition, Row(0, 1, 64, 80, 0)) for partition in held)))

        strangers = [number << 16 | 7 for number in range(20_000)]

        assert all(map(sealed.may_hold, held))
        assert sum(map(sealed.may_hold, strangers)) < wrong * len(strangers)

    def test_a_wrong_guess_finds_nothing(self) -> None:
        held = [number << 16 for number in range(4_000)]
        sealed = opened(sidecar_of(filled((partition, Row(0, 1, 64, 80, 0)) for partition in held)))
        strangers = [*range(1, 1_000), *range(4_000 << 16, (4_000 << 16) + 1_000)]
        imagined = [number for number in strangers if sealed.may_hold(number)]

        assert imagined[0] < held[-1] < imagined[-1]
        assert all(sealed.rows(number, 0, 1) == [] for number in imagined)


class TestNames:
    def test_the_sidecar_tells_whose_the_partitions_were(self) -> None:
        index = filled([(1 << 16, Row(0, 1, 64, 80, 0)), (2 << 16, Row(0, 1, 144, 80, 0))])
        names = {1 << 16: ("default", "Flüge", 0, STORE), 9 << 16: ("default", "elsewhere", 0, STORE)}

        sealed = opened(encode_sidecar(index, 0, END_LSN, STORE, names))

        assert sealed.names() == {1 << 16: ("default", "Flüge", 0, STORE)}


class TestCache:
    def test_stays_within_its_bound(self) -> None:
        cache = IndexCache(50_000)
        sealed = opened(sidecar_of(filled(scattered(2, 10_000))), cache)

        sealed.verify()

        assert 20_000 < cache.size_bytes <= 50_000

    def test_what_is_used_stays(self) -> None:
        cache = IndexCache(20_000)
        for position in range(100):
            cache.put(0, position, bytes(1_000))
            cache.put(1, 0, b"in use") if position == 0 else cache.get(1, 0)

        assert cache.get(1, 0) == b"in use"
        assert cache.get(0, 0) is None
        assert cache.get(0, 99) == bytes(1_000)

    def test_a_block_larger_than_the_cache_is_not_kept(self) -> None:
        cache = IndexCache(1_000)

        cache.put(0, 0, bytes(2_000))

        assert cache.get(0, 0) is None
        assert cache.size_bytes == 0

    def test_a_block_is_read_once(self) -> None:
        sidecar, reads = sidecar_of(filled(scattered(2, 100))), list[int]()

        def read(size: int, position: int) -> bytes:
            reads.append(position)
            return sidecar[position : position + size]

        sealed = SealedIndex(read, len(sidecar), STORE, 0, END_LSN, IndexCache())
        sealed.rows(1, 0, 50)
        sealed.rows(1, 50, 50)
        sealed.first_after_time(1, 10_000)

        assert len(reads) == len(set(reads)) == 3

    def test_an_index_never_meets_the_blocks_of_another(self) -> None:
        cache = IndexCache()
        first = opened(sidecar_of(filled([(1, Row(0, 1, 64, 80, 0))])), cache)
        second = opened(sidecar_of(filled([(1, Row(5, 6, 64, 80, 0))])), cache)

        assert first.rows(1, 0, 1) == [Row(0, 1, 64, 80, 0)]
        assert second.rows(1, 0, 1) == [Row(5, 6, 64, 80, 0)]

    def test_a_failed_read_leaves_everything_as_it_was(self) -> None:
        sidecar, cold = sidecar_of(filled(scattered(2, 100))), [False]

        def read(size: int, position: int) -> bytes:
            if cold[0]:
                raise BlockingIOError
            return sidecar[position : position + size]

        sealed = SealedIndex(read, len(sidecar), STORE, 0, END_LSN, IndexCache())
        cold[0] = True
        with pytest.raises(BlockingIOError):
            sealed.rows(1, 0, 5)
        cold[0] = False

        assert len(sealed.rows(1, 0, 5)) == 5

    def test_threads_share_it(self) -> None:
        added = scattered(150, 3_000)
        model, sealed = Model(added), opened(sidecar_of(filled(added)), IndexCache(30_000))

        def ask(seed: int) -> bool:
            chance = random.Random(seed)
            asked = [(chance.randrange(150) << 16 | 1, chance.randrange(80)) for _ in range(1_500)]
            return all(sealed.rows(*question, 3) == model.rows(*question, 3) for question in asked)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(ask, range(4)))


class TestText:
    @pytest.mark.parametrize(
        ("layout", "packed"),
        [
            ("index._HEADER", module._HEADER.format),
            ("index._ROW", module._ROW.format),
            ("index._EXTENT", module._EXTENT.format),
        ],
    )
    def test_the_byte_tables_are_those_of_the_code(self, layout: str, packed: str) -> None:
        assert format_text.layout(layout) == format_text.expanded(packed)

    def test_the_worked_example_is_what_the_code_writes(self) -> None:
        index = filled(
            [
                (65_537, Row(42, 43, 184, 40 | 1, 1_357_016_400_001)),
                (65_537, Row(43, 44, 224, 56, 1_357_016_400_000)),
                (131_072, Row(5, 6, 224, 56, 1_357_016_400_000)),
            ]
        )
        names = {65_537: ("default", "flights", 1, bytes(16))}

        assert encode_sidecar(index, 0, 344, STORE, names) == format_text.example("sidecar")

    def test_the_worked_example_has_the_checksums_that_the_text_tells(self) -> None:
        data = format_text.example("sidecar")
        directory, names, length = (struct.unpack_from("<Q", data, at)[0] for at in (80, 88, 96))
        covered = ((0, 124), (128, 144), (144, 224), (228, 268), (directory, directory + 112), (names, names + length))

        for start, end in covered:
            crc = format_text.crc32c(STORE + struct.pack("<QQQ", 0, 0, start) + data[start:end])
            stands_at = 120 if start == HEADER_BYTES else end
            assert data[stands_at : stands_at + 4] == struct.pack("<I", crc)
