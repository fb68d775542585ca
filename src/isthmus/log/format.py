"""Commit groups and entries, the two frames of the journal: bytes to typed views and back, with their checksums.

Pure: it reads no file and knows neither what a batch nor what a fact means. The text of the format, with byte tables
that a test compares with this module, is docs/formats/journal.md.

Nothing here raises on bytes from a disk: what is not valid comes back as None, and the caller, who knows the file and
the position, says what that means.
"""

from collections.abc import Iterator, Sequence
from struct import Struct as Layout
from typing import Final

import google_crc32c
from msgspec import Struct

from isthmus.errors import InvariantError
from isthmus.limits import KIB, PLACEMENTS_MAX, UNIT_BYTES_MAX

MAGIC: Final = b"ISG1"
VERSION: Final = 1

STORE_UUID_BYTES: Final = 16
GROUP_HEADER_BYTES: Final = 64
ENTRY_HEADER_BYTES: Final = 16
PLACEMENT_BYTES: Final = 16
LONE_HEAD_BYTES: Final = ENTRY_HEADER_BYTES + PLACEMENT_BYTES
"""What stands in front of the payload of an entry with one placement."""

ALIGNMENT: Final = 8
"""LSNs, group bodies and entries are whole multiples of this many bytes."""

GROUP_BODY_MAX: Final = UNIT_BYTES_MAX + 4 * KIB
"""The longest body that a reader accepts: one unit of the largest size, and a `SegmentOpened` fact in front of it."""

GROUP_COMPACTED: Final = 1
"""Group flag: written by compaction; its address is a place in the file, not the LSN of what it holds."""

RECORDS: Final = 1
"""Entry type: one record batch with at least one placement."""

FACT: Final = 2
"""Entry type: one fact, without placements."""

ENTRY_ATTRIBUTES: Final = 1
"""Entry flag: some record carries queue attributes."""

ENTRY_TRANSACTIONAL: Final = 2
"""Entry flag: the batch belongs to a transaction."""

ENTRY_CONTROL: Final = 4
"""Entry flag: the batch holds control records, which take offsets and are never delivered."""

ENTRY_COMPACTED: Final = 8
"""Entry flag: records that this batch once held are gone."""

_GROUP_FLAGS: Final = GROUP_COMPACTED
_ENTRY_FLAGS: Final = ENTRY_ATTRIBUTES | ENTRY_TRANSACTIONAL | ENTRY_CONTROL | ENTRY_COMPACTED

_GROUP: Final = Layout("<4sBBHIIQQIIQIQI")
_GROUP_UNSEALED: Final = Layout("<4sBBHIIQQIIQIQ")
_ENTRY: Final = Layout("<BBHIII")
_ENTRY_UNSEALED: Final = Layout("<BBHII")
_ENTRY_ONE: Final = Layout("<BBHIIIQQ")
_ENTRY_ONE_UNSEALED: Final = Layout("<BBHIIQQ")
_PLACEMENT: Final = Layout("<QQ")
_LSN: Final = Layout("<Q")
_CRC_AT: Final = 8
_CRC_END: Final = 12
_UNSEALED_BYTES: Final = 60

_PADDING: Final = tuple(bytes(count) for count in range(ALIGNMENT))
_JOIN_BYTES_MAX: Final = 1 * KIB
"""Entries of at most this size on average are joined before the checksum: one call on a copy beats many calls."""

_extend = google_crc32c.extend


class Checksums:
    """The starting values of a store's CRC-32C checksums, so that bytes of another store or place never fit."""

    __slots__ = ("entry", "store_uuid")

    entry: int
    """The start for entries: they may move, so it is made of the store uuid alone."""

    def __init__(self, store_uuid: bytes) -> None:
        """`store_uuid` is the 16 bytes of FORMAT."""
        if len(store_uuid) != STORE_UUID_BYTES:
            raise InvariantError(f"a store uuid has {STORE_UUID_BYTES} bytes, not {len(store_uuid)}")
        self.store_uuid = store_uuid
        self.entry = google_crc32c.value(store_uuid)

    def group(self, lsn: int) -> int:
        """The start for the header and for the body of the group at `lsn`."""
        seed: int = _extend(self.entry, _LSN.pack(lsn))
        return seed


class GroupHeader(Struct, frozen=True, gc=False):
    """The header of one commit group; the fields in the order of the bytes, without what is constant.

    `crc` is the header's own checksum, which the next group repeats as `prev_crc`. `generation` is 0 but in a
    compacted file.
    """

    flags: int
    body_length: int
    entry_count: int
    first_lsn: int
    durable_lsn: int
    epoch: int
    prev_crc: int
    time_ms: int
    body_crc: int
    generation: int
    crc: int

    @property
    def end_lsn(self) -> int:
        """The LSN just behind the group, at which the next one starts."""
        return self.first_lsn + GROUP_HEADER_BYTES + self.body_length

    @property
    def compacted(self) -> bool:
        """Whether compaction wrote it."""
        return bool(self.flags & GROUP_COMPACTED)


class EntryView(Struct, frozen=True, gc=False):
    """Where one entry and its payload lie in the bytes that were looked at, and what its header says.

    `position` and `length` are of the whole entry with its padding; `payload_start` counts from the start of the
    looked-at bytes, too. `placements` are (partition id, base offset) pairs.
    """

    kind: int
    flags: int
    principal: int
    placements: tuple[tuple[int, int], ...]
    payload_start: int
    payload_length: int
    position: int
    length: int


# ---- writing ------------------------------------------------------------------------------------------------------


def entry_length(placement_count: int, payload_length: int) -> int:
    """Bytes that an entry takes, with its padding."""
    return (ENTRY_HEADER_BYTES + PLACEMENT_BYTES * placement_count + payload_length + 7) & ~7


def encode_entry(
    checksums: Checksums,
    kind: int,
    flags: int,
    principal: int,
    placements: Sequence[tuple[int, int]],
    payload: bytes,
) -> bytes:
    """One entry: header, placements, payload, padding.

    Args:
        checksums: those of the store.
        kind: `RECORDS` or `FACT`.
        flags: the sum of `ENTRY_...` flags.
        principal: id of who published it.
        placements: (partition id, base offset) pairs: 1 to `PLACEMENTS_MAX` for records, none for a fact.
        payload: the batch or the encoded fact.
    """
    length = len(payload)
    if len(placements) == 1:
        head = _ENTRY_ONE_UNSEALED.pack(kind, flags, 1, length, principal, *placements[0])
    else:
        rows = b"".join([_PLACEMENT.pack(*row) for row in placements])
        head = _ENTRY_UNSEALED.pack(kind, flags, len(placements), length, principal) + rows
    crc: int = _extend(_extend(checksums.entry, head), payload)
    return b"".join((head[:_CRC_AT], crc.to_bytes(4, "little"), head[_CRC_AT:], payload, _PADDING[-length & 7]))


def encode_fact_entry(checksums: Checksums, principal: int, payload: bytes) -> bytes:
    """One fact entry; `payload` is what `facts.encode` gave."""
    return encode_entry(checksums, FACT, 0, principal, (), payload)


def encode_group(
    checksums: Checksums,
    first_lsn: int,
    durable_lsn: int,
    epoch: int,
    prev_crc: int,
    time_ms: int,
    entries: Sequence[bytes],
    flags: int = 0,
    generation: int = 0,
) -> tuple[list[bytes], int]:
    """One commit group, as buffers to be written one after the other, and the CRC that the next group repeats.

    Args:
        checksums: those of the store.
        first_lsn: the group's address, a multiple of 8.
        durable_lsn: everything below is known to be synced; at most `first_lsn`.
        epoch: of the store's opening.
        prev_crc: what this function returned for the group before; 0 for the first group of a compacted file.
        time_ms: append time, milliseconds since 1970 UTC.
        entries: whole entries of whole units; none makes an idle marker.
        flags: `GROUP_COMPACTED` or 0.
        generation: of the compacted file, else 0.
    """
    seed = checksums.group(first_lsn)
    count = len(entries)
    length = sum(map(len, entries))
    body = [b"".join(entries)] if count > 1 and length <= count * _JOIN_BYTES_MAX else list(entries)
    body_crc = seed
    for part in body:
        body_crc = _extend(body_crc, part)
    head = _GROUP_UNSEALED.pack(
        MAGIC,
        VERSION,
        flags,
        GROUP_HEADER_BYTES,
        length,
        count,
        first_lsn,
        durable_lsn,
        epoch,
        prev_crc,
        time_ms,
        body_crc,
        generation,
    )
    crc: int = _extend(seed, head)
    return [head + crc.to_bytes(4, "little"), *body], crc


# ---- reading groups -----------------------------------------------------------------------------------------------


def decode_group_header(checksums: Checksums, data: bytes, lsn: int, position: int = 0) -> GroupHeader | None:
    """The group header at `position` of `data`, or None when no valid header of the group at `lsn` stands there.

    None covers the end of what was written (zeros, too few bytes), another place or store (the checksum is seeded
    with both), and every length that cannot be.
    """
    if data[position : position + 4] != MAGIC or len(data) - position < GROUP_HEADER_BYTES:
        return None
    fields = _GROUP.unpack_from(data, position)
    if fields[-1] != _extend(checksums.group(lsn), data[position : position + _UNSEALED_BYTES]):
        return None
    _, version, flags, header_length, *rest = fields
    header = GroupHeader(flags, *rest)
    fits = version == VERSION and header_length == GROUP_HEADER_BYTES and header.first_lsn == lsn
    return header if fits and _is_plausible(header) else None


def _is_plausible(header: GroupHeader) -> bool:
    """Whether the fields of a header whose checksum fits can be together."""
    return (
        header.flags & ~_GROUP_FLAGS == 0
        and header.body_length <= GROUP_BODY_MAX
        and header.body_length % ALIGNMENT == 0
        and header.entry_count * ENTRY_HEADER_BYTES <= header.body_length
        and (header.entry_count == 0) == (header.body_length == 0)
        and header.durable_lsn <= header.first_lsn
        and header.compacted == (header.generation != 0)
    )


def verify_body(checksums: Checksums, header: GroupHeader, body: bytes) -> bool:
    """Whether `body` is what was written behind that header."""
    return bool(_extend(checksums.group(header.first_lsn), body) == header.body_crc)


def find_groups(data: bytes, base_lsn: int, checksums: Checksums) -> Iterator[GroupHeader]:
    """Every valid group header in `data`, in order: the search behind a bad group.

    Bodies are not looked at. A caller that reads a file in pieces lets them overlap by `GROUP_HEADER_BYTES - 8`.

    Args:
        data: bytes of a segment file.
        base_lsn: the LSN of the first of them, a multiple of 8.
        checksums: those of the store.
    """
    position = data.find(MAGIC)
    while position >= 0:
        if position % ALIGNMENT == 0:
            header = decode_group_header(checksums, data, base_lsn + position, position)
            if header is not None:
                yield header
        position = data.find(MAGIC, position + 1)


# ---- reading entries ----------------------------------------------------------------------------------------------


def iter_entries(body: bytes) -> list[EntryView] | None:
    """The entries of a group's body, or None when the lengths do not add up to it.

    For bodies that `verify_body` has accepted: the entries' own checksums are not looked at. The caller compares the
    number with the header's `entry_count`.
    """
    views: list[EntryView] = []
    position = 0
    end = len(body)
    while position < end:
        view = _view(body, position)
        if view is None:
            return None
        views.append(view)
        position += view.length
    return views


def check_entry(checksums: Checksums, entry: bytes) -> EntryView | None:
    """The view of one entry that was read alone, after its length and checksum are verified; None when it is bad."""
    view = _view(entry, 0)
    if view is None or view.length != len(entry):
        return None
    end = view.payload_start + view.payload_length
    crc = _extend(_extend(checksums.entry, entry[:_CRC_AT]), entry[_CRC_END:end])
    return view if crc == int.from_bytes(entry[_CRC_AT:_CRC_END], "little") else None


def read_records(checksums: Checksums, entry: bytes, partition: int, base_offset: int) -> bytes | None:
    """The batch of a records entry that stands in `partition` at `base_offset`; None when the bytes are not that.

    The one check of the read path: it finds damage and also a read that went to the wrong place.
    """
    length = len(entry)
    if length < ENTRY_HEADER_BYTES + PLACEMENT_BYTES:
        return None
    kind, _, count, payload_length, crc, _, first, first_base = _ENTRY_ONE.unpack_from(entry)
    if kind != RECORDS:
        return None
    start = ENTRY_HEADER_BYTES + PLACEMENT_BYTES * count
    end = start + payload_length
    if count != 1 or (end + 7) & ~7 != length:
        return _read_shared(checksums, entry, partition, base_offset)
    if crc != _extend(_extend(checksums.entry, entry[:_CRC_AT]), entry[_CRC_END:end]):
        return None
    return entry[start:end] if first == partition and first_base == base_offset else None


def lone_payload_bytes(head: bytes, length: int) -> int | None:
    """What the payload of an entry of that length takes when it is records in one place: it follows `LONE_HEAD_BYTES`.

    None for another entry. Nothing is verified; see `is_records`.
    """
    if len(head) != LONE_HEAD_BYTES:
        return None
    kind, _, count, size, *_ = _ENTRY_ONE.unpack(head)
    fits = kind == RECORDS and count == 1 and entry_length(1, size) == length
    return int(size) if fits else None


def is_records(checksums: Checksums, head: bytes, payload: bytes, partition: int, base_offset: int) -> bool:
    """As `read_records` for an entry that was read in two pieces, so that its payload need not be cut out."""
    *_, crc, _, first, first_base = _ENTRY_ONE.unpack(head)
    found = _extend(_extend(_extend(checksums.entry, head[:_CRC_AT]), head[_CRC_END:]), payload)
    return bool(crc == found and first == partition and first_base == base_offset)


def _read_shared(checksums: Checksums, entry: bytes, partition: int, base_offset: int) -> bytes | None:
    """`read_records` for an entry with several placements."""
    view = check_entry(checksums, entry)
    if view is None or (partition, base_offset) not in view.placements:
        return None
    return entry[view.payload_start : view.payload_start + view.payload_length]


def _view(data: bytes, position: int) -> EntryView | None:
    """The entry at `position`, when its header can be and all of it lies inside `data`."""
    room = len(data) - position
    if room < ENTRY_HEADER_BYTES:
        return None
    kind, flags, count, payload_length, _, principal = _ENTRY.unpack_from(data, position)
    length = entry_length(count, payload_length)
    if length > room or flags & ~_ENTRY_FLAGS:
        return None
    placements: tuple[tuple[int, int], ...] = ()
    start = position + ENTRY_HEADER_BYTES
    if kind == RECORDS and 0 < count <= PLACEMENTS_MAX:
        placed = start + PLACEMENT_BYTES * count
        placements = tuple(_PLACEMENT.iter_unpack(data[start:placed]))
        start = placed
    elif kind != FACT or count:
        return None
    return EntryView(kind, flags, principal, placements, start, payload_length, position, length)
