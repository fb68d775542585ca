"""Kafka's record batch, format version 2, between records and bytes: the one format in which Isthmus stores records.

Pure: it knows neither files nor partitions nor time, and it must not trust a byte that it has not checked.

A batch, big-endian; the CRC covers everything from byte 21 on, so a broker may set offset and epoch without it:

| from | field                  | size | note                                                                  |
| ---- | ---------------------- | ---- | --------------------------------------------------------------------- |
| 0    | base offset            | i64  | offset of the first record; set by `place`                            |
| 8    | batch length           | i32  | bytes behind this field                                               |
| 12   | partition leader epoch | i32  | set by `place`                                                        |
| 16   | magic                  | i8   | 2                                                                     |
| 17   | CRC                    | u32  | CRC-32C of all bytes from 21 on                                       |
| 21   | attributes             | i16  | bits 0-2 codec, 3 log append time, 4 transactional, 5 control,        |
|      |                        |      | 6 base timestamp is a delete horizon                                  |
| 23   | last offset delta      | i32  | last offset that the batch owns, less the base offset                 |
| 27   | base timestamp         | i64  | ms                                                                    |
| 35   | max timestamp          | i64  | ms; every record's timestamp when log append time is set              |
| 43   | producer id            | i64  | -1 none                                                               |
| 51   | producer epoch         | i16  | -1 none                                                               |
| 53   | base sequence          | i32  | -1 none                                                               |
| 57   | count                  | i32  | records that are there; compaction leaves fewer than offsets          |
| 61   | records                |      | one block in the codec of the attributes                              |

A record, all numbers but the attributes as zigzag varints: length of what follows, attributes (one byte, no meaning),
timestamp less the base timestamp, offset less the base offset, key length (-1 none), key, value length (-1 none),
value, header block. A header block: count, then for each header name length, name in UTF-8, value length (-1 none),
value. The block goes to its record's end, so `decode` hands it out unread: what is wrong in one block is found by
`decode_headers`, and costs one record instead of a batch.

Spec: Apache Kafka documentation, "Message format", Record Batch; KIP-82, KIP-98.
"""

import struct
from collections.abc import Sequence
from typing import Final

import google_crc32c
from msgspec import Struct
from msgspec.structs import replace

from isthmus.errors import InvalidArgument, InvalidBatch, RecordTooLarge, UnitTooLarge
from isthmus.limits import BATCH_RECORDS_MAX, DECOMPRESSED_BYTES_MAX
from isthmus.log.compression import CODEC_NAMES as CODEC_NAMES
from isthmus.log.compression import check_codec as check_codec
from isthmus.log.compression import codec
from isthmus.log.headers import append_headers as append_headers
from isthmus.log.headers import decode_headers as decode_headers
from isthmus.log.headers import encode_headers as encode_headers
from isthmus.log.headers import header_value as header_value
from isthmus.log.varint import NONE, VARINTS, deltas, raw_varint, sized, varint
from isthmus.record import NO_HEADERS, Record, StoredRecord

HEADER_BYTES: Final = 61
"""Size of a batch's header; the records begin behind it."""

BASE_OFFSET_MAX: Final = 2**63 - 2**31 - 1
"""The largest base offset: whatever the last offset delta, the offset after the batch still fits 64 bits."""

GAP_OFFSETS_MAX: Final = 2**31
"""What one batch can own: its last offset delta has 31 bits."""

_CODEC_BITS: Final = 0x07
_ATTRIBUTES_LOW: Final = 22
_LOG_APPEND_TIME: Final = 0x08
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20
_DELETE_HORIZON: Final = 0x40

_MAGIC: Final = 2
_LENGTH_END: Final = 12
_EPOCH_END: Final = 16
_CRC_END: Final = 21
_RECORD_BYTES_MIN: Final = 7
_RECORD_OVERHEAD: Final = 4 + 1 + 10 + 3 + 4 + 4
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_FRONT: Final = struct.Struct(">qiibI")
_COVERED: Final = struct.Struct(">hiqqqhii")

_AT_BASE: Final = b"\x00\x00"
"""Record attributes and a timestamp delta of 0."""


class BatchHeader(Struct, frozen=True, gc=False):
    """The 61 bytes in front of a batch's records, read. Timestamps are milliseconds since 1970 UTC."""

    base_offset: int
    batch_length: int
    leader_epoch: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    count: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole batch."""
        return self.batch_length + _LENGTH_END

    @property
    def next_offset(self) -> int:
        """The first offset behind the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def compression(self) -> str:
        """The codec's name, see `CODEC_NAMES`."""
        return CODEC_NAMES[self.attributes & _CODEC_BITS]

    @property
    def log_append_time(self) -> bool:
        """Whether every record bears the max timestamp, which a broker set, instead of its producer's time."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def delete_horizon_ms(self) -> int | None:
        """From when on compaction may drop the batch's tombstones; None until it has seen them."""
        return self.base_timestamp_ms if self.attributes & _DELETE_HORIZON else None

    @property
    def transactional(self) -> bool:
        """Whether the batch belongs to a producer's transaction."""
        return bool(self.attributes & _TRANSACTIONAL)

    @property
    def control(self) -> bool:
        """Whether the batch is a marker of a transaction's end, which readers never see."""
        return bool(self.attributes & _CONTROL)


# ---- batches: writing --------------------------------------------------------------------------------------------


def encode(
    records: Sequence[Record],
    *,
    now_ms: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: str = "none",
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    control: bool = False,
) -> bytes:
    """One batch of all the records, at consecutive offsets from `base_offset` on.

    Args:
        records: 1 to `BATCH_RECORDS_MAX`; their header blocks are taken as they are.
        now_ms: the timestamp of records that bear none (-1).
        base_offset: as `place` would set it.
        leader_epoch: as `place` would set it.
        compression: a name of `CODEC_NAMES`.
        producer_id: with epoch and base sequence what an idempotent producer is known by; -1 none.
        producer_epoch: see `producer_id`.
        base_sequence: see `producer_id`.
        transactional: sets the attribute.
        control: sets the attribute.

    Raises:
        InvalidArgument: no records, a timestamp below -1, an empty header block, a number that does not fit its field.
        UnitTooLarge: more than `BATCH_RECORDS_MAX` records.
        RecordTooLarge: more bytes than `DECOMPRESSED_BYTES_MAX`, so that nobody could read the batch back.
        UnsupportedCompression: the codec is not there.
    """
    if not records:
        raise InvalidArgument("records", "a batch needs at least one record")
    if len(records) > BATCH_RECORDS_MAX:
        raise UnitTooLarge(len(records), BATCH_RECORDS_MAX, "records")
    block, base_ms, max_ms = _encode_records(records, now_ms)
    head = BatchHeader(
        base_offset=base_offset,
        batch_length=0,
        leader_epoch=leader_epoch,
        crc=0,
        attributes=_codec_number(compression) | transactional * _TRANSACTIONAL | control * _CONTROL,
        last_offset_delta=len(records) - 1,
        base_timestamp_ms=base_ms,
        max_timestamp_ms=max_ms,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        count=len(records),
    )
    return _seal(head, block)


def _encode_records(records: Sequence[Record], now_ms: int) -> tuple[bytes, int, int]:
    """The records' bytes, the base and the max timestamp.

    The hot loop of every publish: local names, one `join` a record and no call of ours unless something is unusual.
    """
    varints, known, join = VARINTS, len(VARINTS), b"".join
    parts: list[bytes] = []
    add = parts.append
    base_ms = max_ms = _stamp(records[0].timestamp_ms, now_ms)
    last_ms, lead, last_block = records[0].timestamp_ms, _AT_BASE, NO_HEADERS
    for record, delta in zip(records, deltas(len(records)), strict=False):
        key, value, block = record.key, record.value, record.headers
        if record.timestamp_ms != last_ms:
            last_ms = record.timestamp_ms
            stamp_ms = _stamp(last_ms, now_ms)
            max_ms = max(max_ms, stamp_ms)
            size = stamp_ms - base_ms
            lead = b"\x00" + (varints[size] if 0 <= size < known else varint(size))
        if block is not last_block:
            if not block:
                raise InvalidArgument("headers", "an empty block; a record without headers has NO_HEADERS")
            last_block = block
        if key is None:
            key_size, key = NONE, b""
        else:
            size = len(key)
            key_size = varints[size] if size < known else varint(size)
        if value is None:
            value_size, value = NONE, b""
        else:
            size = len(value)
            value_size = varints[size] if size < known else varint(size)
        body = join((lead, delta, key_size, key, value_size, value, block))
        size = len(body)
        add(varints[size] if size < known else varint(size))
        add(body)
    return join(parts), base_ms, max_ms


def _stamp(timestamp_ms: int, now_ms: int) -> int:
    if timestamp_ms == -1:
        return now_ms
    if 0 <= timestamp_ms <= _INT64_MAX:
        return timestamp_ms
    raise InvalidArgument("timestamp_ms", f"{timestamp_ms}: give milliseconds since 1970, or -1 for the time of append")


def _seal(head: BatchHeader, block: bytes) -> bytes:
    """The batch of a record block, compressed as the attributes say. Length and CRC of `head` are worked out here."""
    if len(block) > DECOMPRESSED_BYTES_MAX:
        raise RecordTooLarge(len(block), DECOMPRESSED_BYTES_MAX)
    if head.attributes & _CODEC_BITS:
        block = codec(head.compression).compress(block)
    return _joined(head, block)


def _joined(head: BatchHeader, block: bytes) -> bytes:
    """Header and record block as they are to be stored; length and CRC are worked out here."""
    try:
        covered = _COVERED.pack(
            head.attributes,
            head.last_offset_delta,
            head.base_timestamp_ms,
            head.max_timestamp_ms,
            head.producer_id,
            head.producer_epoch,
            head.base_sequence,
            head.count,
        )
        crc = google_crc32c.extend(google_crc32c.value(covered), block)
        length = HEADER_BYTES - _LENGTH_END + len(block)
        front = _FRONT.pack(_checked_offset(head.base_offset), length, head.leader_epoch, _MAGIC, crc)
    except struct.error as error:
        raise InvalidArgument("batch header", f"a number does not fit its field: {error}") from error
    return b"".join((front, covered, block))


def is_compressed(batch: bytes) -> bool:
    """Whether a stored batch has a codec, without parsing its header."""
    return bool(batch[_ATTRIBUTES_LOW] & _CODEC_BITS)


def place(batch: bytes, base_offset: int, leader_epoch: int) -> bytes:
    """The same batch at another base offset and leader epoch; the same object when both are right already.

    The CRC covers neither field, so it stays right. The batch is not checked again, see `check`.

    Raises:
        InvalidArgument: a number that does not fit its field.
    """
    try:
        offset = _checked_offset(base_offset).to_bytes(8, "big")
        front = offset + batch[8:_LENGTH_END] + leader_epoch.to_bytes(4, "big", signed=True)
    except OverflowError as error:
        raise InvalidArgument("leader_epoch", f"{leader_epoch} does not fit 32 bits") from error
    if batch.startswith(front):
        return batch
    return b"".join((front, memoryview(batch)[_EPOCH_END:]))


def _checked_offset(base_offset: int) -> int:
    if 0 <= base_offset <= BASE_OFFSET_MAX:
        return base_offset
    raise InvalidArgument("base_offset", f"{base_offset} is outside 0 to {BASE_OFFSET_MAX}")


def rebuild(batch: bytes, records: Sequence[StoredRecord], delete_horizon_ms: int | None = None) -> bytes:
    """The batch with fewer of its records: what compaction by key leaves.

    Base offset, last offset delta, leader epoch, producer fields, base timestamp and attributes stay (a delete horizon
    takes the place of the base timestamp, and the records keep their own; KIP-534); the max timestamp becomes that of
    the records, unless it is a log append time or no record is left. A batch without records keeps no codec either: it
    ends behind its header, and not every reader would try to expand nothing.

    Args:
        batch: as stored.
        records: of `decode(batch)`, in order; may be empty.
        delete_horizon_ms: from when on tombstones among them may be dropped, if that is to be noted now.

    Raises:
        InvalidArgument: offsets that do not rise within the batch's own, or a control batch, which compaction drops
            whole or not at all.
        InvalidBatch: the batch is damaged.
        UnsupportedCompression: the codec is not there.
    """
    head = check(batch)
    if head.control:
        raise InvalidArgument("batch", "a control batch has no records to choose from; keep it as it is")
    if delete_horizon_ms is not None:
        head = replace(head, attributes=head.attributes | _DELETE_HORIZON, base_timestamp_ms=delete_horizon_ms)
    parts: list[bytes] = []
    last = head.base_offset - 1
    for record in records:
        if not last < record.offset < head.next_offset:
            raise InvalidArgument("records", f"offset {record.offset} after {last} in a batch to {head.next_offset}")
        last = record.offset
        body = _record_body(record, head)
        parts += (varint(len(body)), body)
    keeps_max = head.log_append_time or not records
    kept = replace(
        head,
        attributes=head.attributes if records else head.attributes & ~_CODEC_BITS,
        max_timestamp_ms=head.max_timestamp_ms if keeps_max else max(record.timestamp_ms for record in records),
        count=len(records),
    )
    return _seal(kept, b"".join(parts))


def stamped(batch: bytes, now_ms: int) -> bytes:
    """The batch with the time of append as the timestamp of every record; the records stay as they are.

    Raises:
        InvalidBatch: a header that cannot be.
    """
    head = header(batch)
    stamp = replace(head, attributes=head.attributes | _LOG_APPEND_TIME, max_timestamp_ms=now_ms)
    return _joined(stamp, batch[HEADER_BYTES:])


def recoded(batch: bytes, compression: str) -> bytes:
    """The batch in another codec; the same object when it has that one already, or no records.

    Raises:
        InvalidBatch: a batch that is damaged, or expands beyond `DECOMPRESSED_BYTES_MAX`.
        UnsupportedCompression: a codec is not there.
    """
    head = check(batch)
    if head.compression == compression or not head.count:
        return batch
    number = _codec_number(compression)
    return _seal(replace(head, attributes=head.attributes & ~_CODEC_BITS | number), _block(batch, head))


def _block(batch: bytes, head: BatchHeader) -> bytes:
    """The records of a batch, expanded."""
    packed = memoryview(batch)[HEADER_BYTES:]
    if not head.attributes & _CODEC_BITS:
        return bytes(packed)
    return codec(head.compression).decompress(packed, DECOMPRESSED_BYTES_MAX)


def gap(base_offset: int, end_offset: int) -> bytes:
    """A batch without records that owns these offsets: what a reader gets where no record is any more.

    Raises:
        InvalidArgument: no offsets, more than `GAP_OFFSETS_MAX`, or a base offset that cannot be.
    """
    if not 0 < end_offset - base_offset <= GAP_OFFSETS_MAX:
        raise InvalidArgument("end_offset", f"{end_offset} is not 1 to {GAP_OFFSETS_MAX} above {base_offset}")
    head = BatchHeader(
        base_offset=base_offset,
        batch_length=0,
        leader_epoch=-1,
        crc=0,
        attributes=0,
        last_offset_delta=end_offset - base_offset - 1,
        base_timestamp_ms=-1,
        max_timestamp_ms=-1,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        count=0,
    )
    return _seal(head, b"")


def _record_body(record: StoredRecord, head: BatchHeader) -> bytes:
    stamp_delta = 0 if head.log_append_time else record.timestamp_ms - head.base_timestamp_ms
    return b"".join(
        (
            b"\x00",
            varint(stamp_delta),
            varint(record.offset - head.base_offset),
            sized(record.key),
            sized(record.value),
            record.headers,
        )
    )


def size_of(record: Record) -> int:
    """Bytes that the record takes in a batch, or some (at most 20) more; no compression counted in."""
    key, value = record.key, record.value
    size = _RECORD_OVERHEAD + len(record.headers)
    if key is not None:
        size += len(key)
    if value is not None:
        size += len(value)
    return size


# ---- batches: reading --------------------------------------------------------------------------------------------


def header(batch: bytes | memoryview) -> BatchHeader:
    """The header of the batch that begins here; all its fields are checked against each other.

    Nothing behind byte 61 is looked at: the batch may be cut off or be followed by others.

    Raises:
        InvalidBatch: fewer than 61 bytes, or fields that no batch can have.
    """
    if len(batch) < HEADER_BYTES:
        raise InvalidBatch(f"{len(batch)} bytes, but the header alone has {HEADER_BYTES}")
    base_offset, length, epoch, magic, crc, attributes, *rest = _HEADER.unpack_from(batch)
    if magic != _MAGIC:
        raise InvalidBatch(f"format version {magic}; send version 2 (Kafka 0.11 and later)")
    head = BatchHeader(base_offset, length, epoch, crc, attributes, *rest)
    if length < HEADER_BYTES - _LENGTH_END:
        raise InvalidBatch(f"batch length {length} is less than its header's")
    if not 0 <= base_offset <= BASE_OFFSET_MAX:
        raise InvalidBatch(f"base offset {base_offset} is outside 0 to {BASE_OFFSET_MAX}")
    number = attributes & _CODEC_BITS
    if number >= len(CODEC_NAMES):
        raise InvalidBatch(f"codec number {number}; 0 to {len(CODEC_NAMES) - 1} are known")
    count, last = head.count, head.last_offset_delta
    if not 0 <= count <= BATCH_RECORDS_MAX:
        raise InvalidBatch(f"{count} records are outside 0 to {BATCH_RECORDS_MAX}; send smaller batches")
    if last < 0 or last < count - 1:
        raise InvalidBatch(f"last offset delta {last} leaves no room for {count} records")
    if not number and count * _RECORD_BYTES_MIN > length - (HEADER_BYTES - _LENGTH_END):
        raise InvalidBatch(f"{count} records do not fit {length} bytes")
    return head


def check(batch: bytes) -> BatchHeader:
    """The header of a batch that is whole and undamaged; its records are not walked.

    Raises:
        InvalidBatch: a bad header (see `header`), another length than the header says, or a wrong CRC.
    """
    head = header(batch)
    if head.batch_length != len(batch) - _LENGTH_END:
        raise InvalidBatch(f"its header says {head.size_bytes} bytes, {len(batch)} are there")
    crc = google_crc32c.value(batch[_CRC_END:])
    if crc != head.crc:
        raise InvalidBatch(f"its CRC-32C is {crc:#010x}, its header says {head.crc:#010x}: damaged on the way")
    return head


def split(data: bytes) -> list[bytes]:
    """The batches that stand one behind the other in `data`, as one Produce request may carry them.

    Headers are checked; `check` each batch before it is stored.

    Raises:
        InvalidBatch: no bytes, a bad header, or a batch that goes beyond the end.
    """
    view = memoryview(data)
    batches: list[bytes] = []
    start = 0
    while start < len(data) or not batches:
        end = start + header(view[start : start + HEADER_BYTES]).size_bytes
        if end > len(data):
            raise InvalidBatch(f"it ends {end - len(data)} bytes beyond the data that was sent")
        batches.append(data[start:end])
        start = end
    return batches


def decode(batch: bytes, *, from_offset: int = 0) -> list[StoredRecord]:
    """The records of a batch from `from_offset` on, in order; [] for a control batch.

    Offsets rise and may have gaps. Equal header blocks that follow each other are one object.

    Raises:
        InvalidBatch: damaged, not a batch, or records that expand beyond `DECOMPRESSED_BYTES_MAX`.
        UnsupportedCompression: the codec is not there.
    """
    head = check(batch)
    if head.control or not head.count or head.next_offset <= from_offset:
        return []
    data, start = batch, HEADER_BYTES
    if head.attributes & _CODEC_BITS:
        data, start = _block(batch, head), 0
    if head.count * _RECORD_BYTES_MIN > len(data) - start:
        raise InvalidBatch(f"{head.count} records do not fit {len(data) - start} bytes")
    try:
        return _decode_records(data, start, head, from_offset)
    except IndexError:
        raise InvalidBatch("it ends inside a record") from None


def _decode_records(data: bytes, at: int, head: BatchHeader, from_offset: int) -> list[StoredRecord]:
    """The records that begin at `at`; IndexError when the data ends too early.

    The hot loop of every read, in one piece because a call a number would double its time: numbers of one and two
    bytes are read in place (`raw` is the number before zigzag is undone: odd is negative), others by `raw_varint`.
    The offset delta is compared with the expected one before it is read. Positions only rise, so one check of the
    end of a record covers all lengths in it.
    """
    records: list[StoredRecord] = []
    add, data_end, base_offset = records.append, len(data), head.base_offset
    fixed = head.log_append_time
    base_ms = head.max_timestamp_ms if fixed else head.base_timestamp_ms
    last_offset, last_block = base_offset - 1, NO_HEADERS
    dense = range(base_offset, base_offset + head.count)
    for expected, delta in zip(dense, deltas(head.count), strict=False):
        raw = data[at]
        if raw < 128:
            at += 1
        elif (high := data[at + 1]) < 128:
            raw += (high << 7) - 128
            at += 2
        else:
            raw, at = raw_varint(data, at)
        end = at + (raw >> 1)
        if raw & 1 or end > data_end:
            raise InvalidBatch(f"the record after offset {last_offset} is longer than the batch")
        at += 1
        raw = data[at]
        if raw < 128:
            at += 1
        elif (high := data[at + 1]) < 128:
            raw += (high << 7) - 128
            at += 2
        else:
            raw, at = raw_varint(data, at)
        stamp_ms = base_ms
        if raw and not fixed:
            stamp_ms += (raw >> 1) ^ -(raw & 1)
            if not _INT64_MIN <= stamp_ms <= _INT64_MAX:
                raise InvalidBatch(f"timestamp {stamp_ms} does not fit 64 bits")
        offset, start = expected, at
        at += len(delta)
        if data[start:at] != delta:
            raw, at = raw_varint(data, start)
            offset = base_offset + ((raw >> 1) ^ -(raw & 1))
        if offset <= last_offset:
            raise InvalidBatch(f"offset {offset} after {last_offset}: offsets must rise")
        last_offset = offset
        if offset < from_offset:
            at = end
            continue
        raw = data[at]
        at += 1
        key = value = None
        if raw != 1:
            if raw > 127:
                raw, at = raw_varint(data, at - 1)
            start = at
            at += raw >> 1
            key = data[start:at]
            if raw & 1:
                raise InvalidBatch(f"offset {offset}: a negative key length")
        raw = data[at]
        if raw == 1:
            at += 1
        else:
            if raw < 128:
                at += 1
            elif (high := data[at + 1]) < 128:
                raw += (high << 7) - 128
                at += 2
            else:
                raw, at = raw_varint(data, at)
            start = at
            at += raw >> 1
            value = data[start:at]
            if raw & 1:
                raise InvalidBatch(f"offset {offset}: a negative value length")
        if at >= end:
            raise InvalidBatch(f"offset {offset}: key and value are longer than the record")
        block = data[at:end]
        if block != last_block:
            last_block = block
        add(StoredRecord(offset, stamp_ms, key, value, last_block))
        at = end
    if at != data_end:
        raise InvalidBatch(f"{data_end - at} bytes after the last record")
    if last_offset >= head.next_offset:
        raise InvalidBatch(f"offset {last_offset} is beyond the batch's last, {head.next_offset - 1}")
    return records


def _codec_number(name: str) -> int:
    """The number for the attributes.

    Raises:
        UnsupportedCompression: no such codec, or not here.
    """
    return CODEC_NAMES.index(check_codec(name))
