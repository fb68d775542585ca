"""Where the batches of a partition lie in one segment: the index of the active segment in memory, and the sidecar of a
sealed one, searched in place. Pure: it reads through a callable, knows no file names, and never decides what an
invalid sidecar means (it can always be rebuilt by scanning its segment).

The layout of a sidecar, with byte tables that a test compares with this module, is in docs/formats/journal.md. One
thread adds to an `ActiveIndex`; any thread may read from it, and from a `SealedIndex`, meanwhile.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from struct import Struct as Layout
from typing import Final, NamedTuple

import google_crc32c
import msgspec

from isthmus.errors import InvariantError
from isthmus.limits import INDEX_CACHE_BYTES
from isthmus.log.format import Checksums

MAGIC: Final = b"ISX1"
VERSION: Final = 1

HEADER_BYTES: Final = 128
ROW_BYTES: Final = 40
EXTENT_BYTES: Final = 56
CRC_BYTES: Final = 4
BLOCK_RECORDS: Final = 128
"""Rows, or directory entries, that share one checksum and are read at once."""

EXACT_IDS_MAX: Final = 64
"""Up to this many partitions the filter is the list of them."""

BLOOM_BYTES: Final = 2048
BLOOM_HASHES: Final = 4
BLOOM_HASH_BITS: Final = 14

LENGTH_FLAGS: Final = 7
"""Low bits of a row's length, which is a multiple of 8: they carry the entry's flags 0 to 2."""

NO_TIMESTAMP: Final = -1
"""Largest timestamp of an index without rows."""

_HEADER: Final = Layout("<4sBBH16s6Qq5QII")
_HEADER_UNSEALED: Final = Layout("<4sBBH16s6Qq5QI")
_ROW: Final = Layout("<5q")
_ROW_IN_MEMORY: Final = Layout("=5q")
_EXTENT: Final = Layout("<7q")
_NUMBER: Final = Layout("<q")
_POSITION: Final = Layout("<Q")

_COLUMNS: Final = 5
_END_OFFSET: Final = 1
_ROW_POSITION: Final = 2
_LENGTH: Final = 3
_MAX_TIMESTAMP: Final = 4
_PARTITION: Final = 0

_ROW_COST_BYTES: Final = 43
_PARTITION_COST_BYTES: Final = 170
"""What a row and a partition take in memory, over-allocation and dictionary included (measured, CPython 3.11)."""

_BLOCK_COST_BYTES: Final = 160
"""What a cached block takes besides its bytes."""

_extend = google_crc32c.extend

Name = tuple[str, str, int, bytes]
"""Namespace, topic name, index of the partition in the topic, topic uuid."""

Read = Callable[[int, int], bytes]
"""`read(size, position)` gives that many bytes of the sidecar, fewer only at its end."""


class IndexInvalid(Exception):
    """The bytes are not the sidecar that they should be; scan the segment and write a new one."""


class Row(NamedTuple):
    """One batch of a partition: offsets `base_offset` to `end_offset`, exclusive, in the entry at `position`.

    `position` and `length` are those of the whole entry, in bytes of the segment file; the low bits `LENGTH_FLAGS` of
    `length` are the entry's flags. `max_timestamp_ms` is the largest record timestamp of this row and of all rows of
    the partition before it in the segment.
    """

    base_offset: int
    end_offset: int
    position: int
    length: int
    max_timestamp_ms: int


class Extent(NamedTuple):
    """All that one segment holds of one partition: `entry_bytes` is the sum of the lengths of its rows."""

    partition: int
    first_offset: int
    end_offset: int
    row_count: int
    entry_bytes: int
    max_timestamp_ms: int


# ---- the active segment -------------------------------------------------------------------------------------------


class ActiveIndex:
    """The index of the segment that is being written: one packed array per partition.

    Invariant: within a partition offsets and positions rise from row to row.
    """

    __slots__ = ("_partitions", "row_count")

    row_count: int
    """Rows of all partitions."""

    def __init__(self) -> None:
        self._partitions: dict[int, array[int]] = {}
        self.row_count = 0

    def add(
        self, partition: int, base_offset: int, end_offset: int, position: int, length: int, max_timestamp_ms: int
    ) -> None:
        """Add the row of a batch that was just written; `max_timestamp_ms` is the batch's own.

        Raises:
            InvariantError: offsets that do not rise.
        """
        self.row_count += 1
        rows = self._partitions.get(partition)
        if rows is None:
            self._partitions[partition] = array("q", (base_offset, end_offset, position, length, max_timestamp_ms))
            return
        if base_offset < rows[-4]:
            raise InvariantError(f"partition {partition}: offset {base_offset} indexed behind {rows[-4]}")
        latest = rows[-1]
        rows.frombytes(_ROW_IN_MEMORY.pack(base_offset, end_offset, position, length, max(max_timestamp_ms, latest)))

    def rows(self, partition: int, offset: int, limit: int) -> list[Row]:
        """At most `limit` rows, from the one that holds `offset` or, if none does, the first behind it."""
        rows = self._partitions.get(partition)
        if rows is None:
            return []
        start = _first_at_least(rows, _END_OFFSET, offset + 1)
        return _unpack(rows[start * _COLUMNS : (start + max(limit, 0)) * _COLUMNS])

    def first_after_time(self, partition: int, time_ms: int) -> Row | None:
        """The first row with a record of `time_ms` or later."""
        rows = self._partitions.get(partition)
        if rows is None:
            return None
        start = _first_at_least(rows, _MAX_TIMESTAMP, time_ms)
        found = _unpack(rows[start * _COLUMNS : (start + 1) * _COLUMNS])
        return found[0] if found else None

    def bounds(self, partition: int) -> tuple[int, int] | None:
        """First offset and end offset of the partition here; None when it has no row."""
        rows = self._partitions.get(partition)
        return None if rows is None else (rows[0], rows[-4])

    def directory(self, partition: int) -> Extent | None:
        """What the segment holds of the partition; takes time with its rows."""
        rows = self._partitions.get(partition)
        if rows is None:
            return None
        taken = sum(length & ~LENGTH_FLAGS for length in rows[_LENGTH::_COLUMNS])
        return Extent(partition, rows[0], rows[-4], len(rows) // _COLUMNS, taken, rows[-1])

    def partitions(self) -> list[int]:
        """Ids of all partitions with a row, rising."""
        return sorted(self._partitions)

    def drop_from(self, position: int) -> None:
        """Forget the rows of entries at `position` of the file or behind it."""
        for partition, rows in list(self._partitions.items()):
            keep = _first_at_least(rows, _ROW_POSITION, position)
            self.row_count -= len(rows) // _COLUMNS - keep
            del rows[keep * _COLUMNS :]
            if not rows:
                del self._partitions[partition]

    def entry_bytes(self) -> int:
        """Bytes of all indexed entries, one that stands in several partitions counted once."""
        lengths: dict[int, int] = {}
        for rows in self._partitions.values():
            lengths.update(zip(rows[_ROW_POSITION::_COLUMNS], rows[_LENGTH::_COLUMNS], strict=True))
        return sum(length & ~LENGTH_FLAGS for length in lengths.values())

    @property
    def size_bytes(self) -> int:
        """About what this index takes in memory."""
        return self.row_count * _ROW_COST_BYTES + len(self._partitions) * _PARTITION_COST_BYTES

    def packed(self, partition: int) -> bytes:
        """The partition's rows as a sidecar holds them."""
        return _little_endian(self._partitions[partition])


def _first_at_least(rows: "array[int]", column: int, value: int) -> int:
    """Number of the first row whose `column`, which rises, is `value` or more."""
    return bisect_left(range(len(rows) // _COLUMNS), value, key=lambda row: rows[row * _COLUMNS + column])


def _unpack(rows: "array[int]") -> list[Row]:
    """Packed rows as rows."""
    return [Row._make(row) for row in _ROW_IN_MEMORY.iter_unpack(rows)]


def _little_endian(rows: "array[int]") -> bytes:
    """The numbers in the byte order of the format, whatever the machine's is."""
    if sys.byteorder == "big":
        rows = rows[:]
        rows.byteswap()
    return rows.tobytes()


class _Header(NamedTuple):
    """The header of a sidecar in the order of its bytes, between what is constant and its own checksum."""

    store_uuid: bytes
    first_lsn: int
    end_lsn: int
    generation: int
    partition_count: int
    row_count: int
    entry_bytes: int
    max_timestamp_ms: int
    directory_position: int
    names_position: int
    names_length: int
    file_length: int
    filter_length: int
    filter_crc: int


# ---- writing a sidecar --------------------------------------------------------------------------------------------


def encode_sidecar(
    index: ActiveIndex,
    first_lsn: int,
    end_lsn: int,
    store_uuid: bytes,
    names: Mapping[int, Name],
    generation: int = 0,
) -> bytes:
    """The sidecar of a segment that is sealed now.

    Args:
        index: of the segment; must not change meanwhile.
        first_lsn: start of the LSN range that the segment owns.
        end_lsn: end of it.
        store_uuid: of FORMAT.
        names: by partition id, so that the segment describes itself; partitions without a row here are left out.
        generation: of a compacted file, else 0.
    """
    seed = _seed(Checksums(store_uuid), first_lsn, generation)
    partitions = index.partitions()
    ids = _encode_filter(partitions)
    parts: list[bytes] = [b"", ids]
    position = HEADER_BYTES + len(ids)
    extents: list[tuple[int, ...]] = []
    for partition in partitions:
        extent = index.directory(partition)
        if extent is None:
            raise InvariantError(f"partition {partition} left the index while it was written")
        extents.append((*extent, position))
        position += _add_blocks(parts, index.packed(partition), ROW_BYTES, seed, position)
    directory_position = position
    packed = b"".join([_EXTENT.pack(*extent) for extent in extents])
    position += _add_blocks(parts, packed, EXTENT_BYTES, seed, position)
    named = msgspec.msgpack.encode([(partition, *names[partition]) for partition in partitions if partition in names])
    parts.append(_sealed(named, seed, position))
    header = _Header(
        store_uuid=store_uuid,
        first_lsn=first_lsn,
        end_lsn=end_lsn,
        generation=generation,
        partition_count=len(partitions),
        row_count=index.row_count,
        entry_bytes=index.entry_bytes(),
        max_timestamp_ms=max((extent[5] for extent in extents), default=NO_TIMESTAMP),
        directory_position=directory_position,
        names_position=position,
        names_length=len(named),
        file_length=position + len(named) + CRC_BYTES,
        filter_length=len(ids),
        filter_crc=_crc(ids, seed, HEADER_BYTES),
    )
    head = _HEADER_UNSEALED.pack(MAGIC, VERSION, 0, HEADER_BYTES, *header)
    parts[0] = head + _crc(head, seed, 0).to_bytes(CRC_BYTES, "little")
    return b"".join(parts)


def _add_blocks(parts: list[bytes], packed: bytes, record_bytes: int, seed: int, position: int) -> int:
    """Cut packed records into checksummed blocks and return the bytes they take."""
    taken = 0
    step = record_bytes * BLOCK_RECORDS
    for start in range(0, len(packed), step):
        block = _sealed(packed[start : start + step], seed, position + taken)
        parts.append(block)
        taken += len(block)
    return taken


def _seed(checksums: Checksums, first_lsn: int, generation: int) -> int:
    """The start of all checksums of one sidecar."""
    seed: int = _extend(checksums.group(first_lsn), _POSITION.pack(generation))
    return seed


def _crc(data: bytes, seed: int, position: int) -> int:
    """The checksum of bytes that stand at `position` of the sidecar."""
    crc: int = _extend(_extend(seed, _POSITION.pack(position)), data)
    return crc


def _sealed(data: bytes, seed: int, position: int) -> bytes:
    """The bytes with their checksum behind them."""
    return data + _crc(data, seed, position).to_bytes(CRC_BYTES, "little")


# ---- the filter of partition ids ----------------------------------------------------------------------------------


def _encode_filter(partitions: list[int]) -> bytes:
    """The ids themselves while they are few, else a Bloom filter of a fixed size."""
    if len(partitions) <= EXACT_IDS_MAX:
        return b"".join(map(_NUMBER.pack, partitions))
    bloom = bytearray(BLOOM_BYTES)
    for partition in partitions:
        for bit in _bloom_bits(partition):
            bloom[bit >> 3] |= 1 << (bit & 7)
    return bytes(bloom)


def _bloom_bits(partition: int) -> tuple[int, int, int, int]:
    """The bits that stand for a partition: four slices of the 64-bit finaliser of MurmurHash3."""
    mixed = partition ^ (partition >> 33)
    mixed = mixed * 0xFF51AFD7ED558CCD & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 33
    mixed = mixed * 0xC4CEB9FE1A85EC53 & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 33
    return mixed & 0x3FFF, mixed >> 14 & 0x3FFF, mixed >> 28 & 0x3FFF, mixed >> 42 & 0x3FFF


# ---- reading a sidecar --------------------------------------------------------------------------------------------


class IndexCache:
    """Blocks of all sidecars of a store, those used lately, bounded in bytes.

    Two generations: blocks enter the young one, and when it has half of the bytes it becomes the old one, whose blocks
    are forgotten at the next turn unless they were used. Threads may share it without a lock: each step is one
    operation of a dictionary, and a count that two of them garbled is forgotten with its generation.
    """

    __slots__ = ("_half_bytes", "_numbers", "_old", "_young", "_young_bytes")

    def __init__(self, limit_bytes: int = INDEX_CACHE_BYTES) -> None:
        self._half_bytes = limit_bytes // 2
        self._numbers = count()
        self._old: dict[tuple[int, int], bytes] = {}
        self._young: dict[tuple[int, int], bytes] = {}
        self._young_bytes = 0

    def open(self) -> int:
        """A number that no other index of this cache has, so that nobody meets the blocks of a replaced sidecar."""
        return next(self._numbers)

    def get(self, index: int, position: int) -> bytes | None:
        """The block of that index at that position, if it is kept."""
        block = self._young.get((index, position))
        if block is None:
            block = self._old.get((index, position))
            if block is not None:
                self.put(index, position, block)
        return block

    def put(self, index: int, position: int, block: bytes) -> None:
        """Keep a block."""
        cost = len(block) + _BLOCK_COST_BYTES
        if self._young_bytes + cost > self._half_bytes:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        if cost <= self._half_bytes:
            self._young[index, position] = block
            self._young_bytes += cost

    @property
    def size_bytes(self) -> int:
        """What the kept blocks take; takes time with their number."""
        blocks = [*self._old.values(), *self._young.values()]
        return sum(map(len, blocks)) + _BLOCK_COST_BYTES * len(blocks)


class _Section(NamedTuple):
    """Records of one size, in blocks from `position` on."""

    position: int
    records: int
    record_bytes: int


class SealedIndex:
    """The index of a sealed segment, left where it is: memory holds its bounds and a filter of its partitions.

    Every block is verified when it is read and kept, verified, in the shared cache. What `read` raises passes through
    and leaves everything as it was, so that a caller can have the page fetched elsewhere and ask again.
    """

    __slots__ = (
        "_cache",
        "_directory",
        "_filter",
        "_names",
        "_number",
        "_read",
        "_seed",
        "end_lsn",
        "entry_bytes",
        "first_lsn",
        "generation",
        "max_timestamp_ms",
        "row_count",
        "size_bytes",
    )

    first_lsn: int
    end_lsn: int
    generation: int
    row_count: int
    entry_bytes: int
    """Bytes of all indexed entries, one that stands in several partitions counted once."""

    max_timestamp_ms: int
    """The largest record timestamp of the segment, `NO_TIMESTAMP` when it holds no record."""

    size_bytes: int
    """Of the sidecar."""

    def __init__(
        self,
        read: Read,
        size_bytes: int,
        store_uuid: bytes,
        first_lsn: int,
        end_lsn: int,
        cache: IndexCache,
        generation: int = 0,
    ) -> None:
        """Read header and filter of the sidecar of the segment that owns `first_lsn` to `end_lsn`.

        Args:
            read: gives bytes of the sidecar.
            size_bytes: of the sidecar.
            store_uuid: of FORMAT.
            first_lsn: from the name of the segment.
            end_lsn: from its length, or from its name when it is compacted.
            cache: shared by all indexes of the store.
            generation: from the name of a compacted file, else 0.

        Raises:
            IndexInvalid: it is damaged, cut off, of another segment, store, generation or version.
        """
        self._read = read
        self._cache = cache
        self._number = cache.open()
        self._seed = _seed(Checksums(store_uuid), first_lsn, generation)
        head = read(HEADER_BYTES + BLOOM_BYTES, 0)
        header = self._header(head)
        if header[:4] != (store_uuid, first_lsn, end_lsn, generation):
            raise IndexInvalid("header of another segment")
        self._directory = _Section(header.directory_position, header.partition_count, EXTENT_BYTES)
        self._names = (header.names_position, header.names_length)
        if header.directory_position + _blocks_length(self._directory) != header.names_position:
            raise IndexInvalid("a directory that does not end where the names begin")
        if header.file_length != header.names_position + header.names_length + CRC_BYTES:
            raise IndexInvalid("names that do not end where the sidecar ends")
        if header.file_length != size_bytes:
            raise IndexInvalid(f"{size_bytes} bytes where the header says {header.file_length}")
        self._filter = self._load_filter(head, header)
        self.first_lsn, self.end_lsn, self.generation = first_lsn, end_lsn, generation
        self.row_count, self.entry_bytes = header.row_count, header.entry_bytes
        self.max_timestamp_ms, self.size_bytes = header.max_timestamp_ms, size_bytes

    def may_hold(self, partition: int) -> bool:
        """False when the segment certainly has no row of the partition; a wrong True costs one search."""
        if isinstance(self._filter, frozenset):
            return partition in self._filter
        return all(self._filter[bit >> 3] >> (bit & 7) & 1 for bit in _bloom_bits(partition))

    def directory(self, partition: int) -> Extent | None:
        """What the segment holds of the partition.

        Raises:
            IndexInvalid: a block that was needed is damaged; so in all methods below.
        """
        found = self._find(partition)
        return found[0] if found else None

    def bounds(self, partition: int) -> tuple[int, int] | None:
        """First offset and end offset of the partition here; None when it has no row."""
        found = self._find(partition)
        return (found[0].first_offset, found[0].end_offset) if found else None

    def rows(self, partition: int, offset: int, limit: int) -> list[Row]:
        """At most `limit` rows, from the one that holds `offset` or, if none does, the first behind it."""
        found = self._find(partition)
        if found is None or offset >= found[0].end_offset:
            return []
        section = found[1]
        start = self._first_at_least(section, _END_OFFSET, offset + 1)
        return self._rows(section, start, min(section.records, start + limit))

    def first_after_time(self, partition: int, time_ms: int) -> Row | None:
        """The first row with a record of `time_ms` or later."""
        found = self._find(partition)
        if found is None or time_ms > found[0].max_timestamp_ms:
            return None
        section = found[1]
        start = self._first_at_least(section, _MAX_TIMESTAMP, time_ms)
        return self._rows(section, start, start + 1)[0]

    def extents(self) -> Iterator[Extent]:
        """What the segment holds of each partition, by rising partition id."""
        return (extent for extent, _ in self._entries())

    def partitions(self) -> list[int]:
        """Ids of all partitions with a row, rising."""
        return [extent.partition for extent in self.extents()]

    def names(self) -> dict[int, Name]:
        """Who the partitions were when the segment was sealed, as far as it was known."""
        position, length = self._names
        try:
            rows = msgspec.msgpack.decode(self._unsealed(length, position), type=list[tuple[int, str, str, int, bytes]])
        except msgspec.MsgspecError as error:
            raise IndexInvalid(f"names that cannot be decoded: {error}") from error
        return {partition: (namespace, topic, at, uuid) for partition, namespace, topic, at, uuid in rows}

    def verify(self) -> None:
        """Read all of it, and compare what is told twice.

        Raises:
            IndexInvalid: something is damaged or contradicts something else.
        """
        total = 0
        for extent, section in self._entries():
            rows = self._rows(section, 0, section.records)
            told = (extent.first_offset, extent.end_offset, extent.entry_bytes, extent.max_timestamp_ms)
            held = (
                rows[0].base_offset,
                rows[-1].end_offset,
                sum(row.length & ~LENGTH_FLAGS for row in rows),
                rows[-1].max_timestamp_ms,
            )
            if told != held:
                raise IndexInvalid(f"directory and rows of partition {extent.partition} contradict each other")
            total += len(rows)
        if total != self.row_count:
            raise IndexInvalid(f"{total} rows where the header says {self.row_count}")
        self.names()

    # -- opening ----------------------------------------------------------------------------------------------------

    def _header(self, head: bytes) -> _Header:
        """The header's fields, once its checksum fits and it is of this version."""
        if len(head) < HEADER_BYTES or head[:4] != MAGIC:
            raise IndexInvalid("no header")
        _, version, flags, length, *fields, crc = _HEADER.unpack_from(head)
        if crc != _crc(head[: HEADER_BYTES - CRC_BYTES], self._seed, 0):
            raise IndexInvalid("checksum of the header")
        if (version, flags, length) != (VERSION, 0, HEADER_BYTES):
            raise IndexInvalid(f"version {version}, flags {flags} or header length {length} not known")
        return _Header._make(fields)

    def _load_filter(self, head: bytes, header: _Header) -> frozenset[int] | bytes:
        """The ids, or the bits of the Bloom filter."""
        exact = header.partition_count <= EXACT_IDS_MAX
        expected = header.partition_count * _NUMBER.size if exact else BLOOM_BYTES
        ids = head[HEADER_BYTES : HEADER_BYTES + expected]
        if header.filter_length != expected or header.filter_crc != _crc(ids, self._seed, HEADER_BYTES):
            raise IndexInvalid("filter of partitions")
        return frozenset(number for (number,) in _NUMBER.iter_unpack(ids)) if exact else ids

    # -- searching --------------------------------------------------------------------------------------------------

    def _find(self, partition: int) -> tuple[Extent, _Section] | None:
        """The directory's entry of a partition, and where its rows are."""
        if not self.may_hold(partition):
            return None
        at = self._first_at_least(self._directory, _PARTITION, partition)
        if at == self._directory.records:
            return None
        block, start = self._record(self._directory, at)
        found = self._entry(_EXTENT.unpack_from(block, start))
        return found if found[0].partition == partition else None

    def _entries(self) -> Iterator[tuple[Extent, _Section]]:
        """All entries of the directory."""
        for start in range(0, self._directory.records, BLOCK_RECORDS):
            block, _ = self._record(self._directory, start)
            yield from map(self._entry, _EXTENT.iter_unpack(block))

    def _entry(self, fields: tuple[int, ...]) -> tuple[Extent, _Section]:
        """An entry of the directory as what it says and the place that it points to."""
        extent = Extent(*fields[:6])
        section = _Section(fields[6], extent.row_count, ROW_BYTES)
        if extent.row_count < 1 or section.position + _blocks_length(section) > self._directory.position:
            raise IndexInvalid(f"rows of partition {extent.partition} outside their section")
        return extent, section

    def _rows(self, section: _Section, start: int, end: int) -> list[Row]:
        """Rows `start` to `end`, exclusive, of a partition."""
        rows: list[Row] = []
        while start < end:
            block, at = self._record(section, start)
            held = block[at : at + (end - start) * ROW_BYTES]
            rows.extend(map(Row._make, _ROW.iter_unpack(held)))
            start += len(held) // ROW_BYTES
        return rows

    def _first_at_least(self, section: _Section, column: int, value: int) -> int:
        """Number of the first record whose `column`, which rises, is `value` or more."""

        def number(record: int) -> int:
            block, at = self._record(section, record)
            found: int = _NUMBER.unpack_from(block, at + column * _NUMBER.size)[0]
            return found

        return bisect_left(range(section.records), value, key=number)

    def _record(self, section: _Section, record: int) -> tuple[bytes, int]:
        """The verified block that a record is in, and where in it."""
        number, at = divmod(record, BLOCK_RECORDS)
        position = section.position + number * (BLOCK_RECORDS * section.record_bytes + CRC_BYTES)
        block = self._cache.get(self._number, position)
        if block is None:
            held = min(BLOCK_RECORDS, section.records - number * BLOCK_RECORDS)
            block = self._unsealed(held * section.record_bytes, position)
            self._cache.put(self._number, position, block)
        return block, at * section.record_bytes

    # -- reading ----------------------------------------------------------------------------------------------------

    def _exactly(self, size: int, position: int) -> bytes:
        """Bytes of the sidecar, all that were asked for."""
        data = self._read(size, position)
        if len(data) != size:
            raise IndexInvalid(f"ends {size - len(data)} bytes too early at {position + len(data)}")
        return data

    def _unsealed(self, size: int, position: int) -> bytes:
        """Bytes whose checksum, which stands behind them, fits."""
        data = self._exactly(size + CRC_BYTES, position)
        held = data[:size]
        if int.from_bytes(data[size:], "little") != _crc(held, self._seed, position):
            raise IndexInvalid(f"checksum at {position}")
        return held


def _blocks_length(section: _Section) -> int:
    """Bytes that a section takes in the file."""
    return section.records * section.record_bytes + -(-section.records // BLOCK_RECORDS) * CRC_BYTES
