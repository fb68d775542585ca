"""Record batches: every record comes back, foreign bytes are read, damaged and hostile ones are refused."""

import struct
import zlib
from collections.abc import Iterator

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.errors import InvalidArgument, InvalidBatch, RecordTooLarge, UnitTooLarge, UnsupportedCompression
from isthmus.limits import BATCH_RECORDS_MAX, DECOMPRESSED_BYTES_MAX
from isthmus.log.batch import (
    BASE_OFFSET_MAX,
    HEADER_BYTES,
    check,
    decode,
    encode,
    encode_headers,
    header,
    place,
    rebuild,
    recoded,
    size_of,
    split,
    stamped,
)
from isthmus.log.compression import CODECS
from isthmus.log.varint import VARINTS, varint
from isthmus.record import NO_HEADERS, Record, StoredRecord

NOW_MS = 1_357_000_000_000
COMPRESSIONS = ("none", *CODECS)
BLOCK = encode_headers([("ce_type", b"Departed"), ("note", None)])

# The same four records as two independent clients write them: kafka-python 3.0.12 (leader epoch 0) and aiokafka 0.14.0
# (leader epoch -1) agree in every other byte.
FOUR = (
    Record(b'{"delay":2}', b"N14228", BLOCK, NOW_MS),
    Record(b"x" * 70, None, NO_HEADERS, NOW_MS + 250),
    Record(None, b"", encode_headers([("", b"")]), NOW_MS - 1000),
    Record(b"", b"k" * 64, NO_HEADERS, NOW_MS),
)
KAFKA_NONE = (
    "0000000000000000000001030000000002d4f2aed20000000000030000013bf380c2000000013bf380c2fa0000000000000007000100"
    "000028000000045c0000000c4e3134323238167b2264656c6179223a327d040e63655f74797065104465706172746564086e6f746501"
    "9c0100f40302018c01787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
    "78787878787878787878787878787878787878787878787878001200cf0f0400010200008e0100000680016b6b6b6b6b6b6b6b6b6b6b"
    "6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b00"
    "00"
)
KAFKA_GZIP = (
    "0000000000000000000000970000000002f2b4b05f0001000000030000013bf380c2000000013bf380c2fa0000000000000007000100"
    "000028000000041f8b080017d4036b02ff8b616060e0f133343132b210ab564a49cd49ac54b232aa65e14b4e8d2fa92c481570492d48"
    "2c2a494de1c8cb2f49659cc3c8f0859989b187b1822a804188e13c3f0b03231303431f2303035b0363368580810100d291f60fd20000"
    "00"
)

CONTENT = st.none() | st.binary(max_size=200)
RECORDS = st.lists(
    st.builds(
        Record,
        value=CONTENT,
        key=CONTENT,
        headers=st.sampled_from([NO_HEADERS, BLOCK, encode_headers([("a", b"1")])]),
        timestamp_ms=st.sampled_from([-1, NOW_MS, NOW_MS + 7]) | st.integers(0, 2**63 - 1),
    ),
    min_size=1,
    max_size=80,
)


def stored(records: list[Record] | tuple[Record, ...], base_offset: int = 0) -> list[StoredRecord]:
    """What `decode` must give for records that were encoded at `base_offset` and NOW_MS."""
    return [
        StoredRecord(
            base_offset + at, NOW_MS if one.timestamp_ms == -1 else one.timestamp_ms, one.key, one.value, one.headers
        )
        for at, one in enumerate(records)
    ]


def numbered(count: int) -> list[Record]:
    return [Record(b"value %d" % number, b"key %d" % number, BLOCK) for number in range(count)]


def raw_record(*parts: int | bytes) -> bytes:
    """A record of varints and bytes, with its length and attributes in front."""
    body = b"\x00" + b"".join(varint(part) if isinstance(part, int) else part for part in parts)
    return varint(len(body)) + body


def raw_batch(
    block: bytes, *, count: int, last: int | None = None, attributes: int = 0, base_ms: int = NOW_MS, max_ms: int = 0
) -> bytes:
    """A batch of the given record block and a right CRC, whatever else is wrong."""
    last = count - 1 if last is None else last
    covered = struct.pack(">hiqqqhii", attributes, last, base_ms, max_ms, -1, -1, -1, count) + block
    return struct.pack(">qiibI", 0, 9 + len(covered), -1, 2, google_crc32c.value(covered)) + covered


def resealed(batch: bytes) -> bytes:
    """The batch with a CRC that is right for its bytes."""
    crc: int = google_crc32c.value(batch[21:])
    return batch[:17] + crc.to_bytes(4, "big") + batch[21:]


def flips(batch: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The batch with each byte from `start` on changed to several other values, and the changed position."""
    for at in range(start, len(batch)):
        for flip in (0x01, 0x02, 0x7F, 0x80, 0xFF):
            yield at, batch[:at] + bytes((batch[at] ^ flip,)) + batch[at + 1 :]


# ---- what is written is read -------------------------------------------------------------------------------------


@given(RECORDS, st.sampled_from(COMPRESSIONS), st.integers(0, BASE_OFFSET_MAX))
def test_records_come_back_as_they_were(records: list[Record], compression: str, base_offset: int) -> None:
    batch = encode(records, now_ms=NOW_MS, compression=compression, base_offset=base_offset)

    assert decode(batch) == stored(records, base_offset)


@given(RECORDS, st.integers(0, 90))
def test_decoding_can_begin_at_any_offset(records: list[Record], from_offset: int) -> None:
    batch = encode(records, now_ms=NOW_MS)

    assert decode(batch, from_offset=from_offset) == stored(records)[from_offset:]


@given(RECORDS)
def test_the_size_of_a_record_is_never_underestimated(records: list[Record]) -> None:
    sizes = [len(encode([one], now_ms=NOW_MS)) - HEADER_BYTES for one in records]
    together = len(encode(records, now_ms=NOW_MS)) - HEADER_BYTES

    assert all(size <= size_of(one) <= size + 20 for one, size in zip(records, sizes, strict=True))
    assert together <= sum(map(size_of, records))


def test_batches_larger_than_the_tables_come_back() -> None:
    records = [Record(b"%d" % number) for number in range(len(VARINTS) + 10)]
    large = [Record(b"v" * size, b"k" * size) for size in (len(VARINTS) - 1, len(VARINTS), 20_000)]

    assert decode(encode(records, now_ms=NOW_MS)) == stored(records)
    assert decode(encode(large, now_ms=NOW_MS)) == stored(large)


def test_equal_header_blocks_are_one_object() -> None:
    blocks = {id(record.headers) for record in decode(encode(numbered(100), now_ms=NOW_MS))}

    assert len(blocks) == 1


def test_the_header_says_what_was_asked_for() -> None:
    records = [Record(b"a", timestamp_ms=NOW_MS + 5), Record(b"b"), Record(b"c", timestamp_ms=NOW_MS + 9)]

    batch = encode(
        records,
        now_ms=NOW_MS,
        base_offset=100,
        leader_epoch=4,
        compression="gzip",
        producer_id=7,
        producer_epoch=2,
        base_sequence=40,
        transactional=True,
    )

    head = check(batch)
    assert (head.base_offset, head.next_offset, head.last_offset_delta, head.count) == (100, 103, 2, 3)
    assert (head.base_timestamp_ms, head.max_timestamp_ms) == (NOW_MS + 5, NOW_MS + 9)
    assert (head.producer_id, head.producer_epoch, head.base_sequence, head.leader_epoch) == (7, 2, 40, 4)
    assert (head.compression, head.transactional, head.control, head.log_append_time) == ("gzip", True, False, False)
    assert head.size_bytes == len(batch)
    assert header(memoryview(batch)[:HEADER_BYTES]) == head


# ---- the same bytes as everybody ---------------------------------------------------------------------------------


def test_one_record_has_the_bytes_that_the_format_says() -> None:
    batch = encode([Record(b"v", b"k")], now_ms=1, base_offset=2)

    record = "10 00 00 00 02 6b 02 76 00"  # length 8, attributes, timestamp, offset, "k", "v", no headers
    covered = bytes.fromhex(
        "0000 00000000 0000000000000001 0000000000000001 ffffffffffffffff ffff ffffffff 00000001" + record
    )
    crc = google_crc32c.value(covered).to_bytes(4, "big")
    front = bytes.fromhex("0000000000000002 0000003a ffffffff 02")
    assert batch == front + crc + covered


def test_the_checksum_is_crc_32c() -> None:
    assert google_crc32c.value(b"123456789") == 0xE3069283


def test_other_clients_write_the_same_bytes() -> None:
    batch = encode(FOUR, now_ms=0, leader_epoch=0, producer_id=7, producer_epoch=1, base_sequence=40)

    assert batch.hex() == KAFKA_NONE


@pytest.mark.parametrize("data", [KAFKA_NONE, KAFKA_GZIP], ids=["none", "gzip"])
def test_batches_of_other_clients_are_read(data: str) -> None:
    batch = bytes.fromhex(data)

    assert decode(batch) == stored(FOUR)
    assert check(batch).producer_id == 7


def test_what_is_not_asked_of_a_record_is_not_an_error() -> None:
    with_attributes = varint(8) + bytes.fromhex("ff 00 00 01 02 76 00 00")

    found = decode(raw_batch(with_attributes, count=1))

    assert found == [StoredRecord(0, NOW_MS, None, b"v", b"\x00\x00")]


# ---- offsets, timestamps, control --------------------------------------------------------------------------------


def test_offsets_may_have_gaps_but_must_rise_within_the_batch() -> None:
    def block(*offset_deltas: int) -> bytes:
        return b"".join(raw_record(0, delta, -1, 1, b"v", 0) for delta in offset_deltas)

    assert [found.offset for found in decode(raw_batch(block(0, 2, 700), count=3, last=900))] == [0, 2, 700]
    assert [found.offset for found in decode(raw_batch(block(5, 6), count=2, last=6), from_offset=6)] == [6]
    for wrong in ((0, 0), (5, 1), (-1, 1), (0, 10)):
        with pytest.raises(InvalidBatch):
            decode(raw_batch(block(*wrong), count=2, last=9))


def test_log_append_time_holds_for_every_record() -> None:
    block = raw_record(0, 0, -1, -1, 0) + raw_record(90, 1, -1, -1, 0) + raw_record(9000, 2, -1, -1, 0)

    found = decode(raw_batch(block, count=3, attributes=0x08, max_ms=NOW_MS + 4))

    assert {record.timestamp_ms for record in found} == {NOW_MS + 4}


def test_timestamps_may_lie_before_the_base_but_must_fit_64_bits() -> None:
    before = raw_batch(raw_record(-5, 0, -1, -1, 0), count=1)
    beyond = raw_batch(raw_record(1, 0, -1, -1, 0), count=1, base_ms=2**63 - 1)

    assert decode(before)[0].timestamp_ms == NOW_MS - 5
    with pytest.raises(InvalidBatch):
        decode(beyond)


def test_readers_see_nothing_of_a_control_batch() -> None:
    batch = encode([Record(b"\x00" * 6, b"\x00" * 4)], now_ms=NOW_MS, transactional=True, control=True)

    assert decode(batch) == []
    assert check(batch).control


# ---- placing and splitting ---------------------------------------------------------------------------------------


@given(RECORDS, st.integers(0, BASE_OFFSET_MAX), st.integers(-1, 2**31 - 1))
def test_placing_moves_the_offsets_and_leaves_the_checksum_right(
    records: list[Record], base_offset: int, leader_epoch: int
) -> None:
    placed = place(encode(records, now_ms=NOW_MS), base_offset, leader_epoch)

    assert check(placed).leader_epoch == leader_epoch
    assert decode(placed) == stored(records, base_offset)
    assert placed == encode(records, now_ms=NOW_MS, base_offset=base_offset, leader_epoch=leader_epoch)


def test_placing_where_it_stands_gives_the_same_object() -> None:
    batch = encode(numbered(3), now_ms=NOW_MS, base_offset=9, leader_epoch=2)

    assert place(batch, 9, 2) is batch
    assert place(batch, 9, 3) is not batch


@pytest.mark.parametrize(
    ("base_offset", "leader_epoch"), [(-1, 0), (BASE_OFFSET_MAX + 1, 0), (0, 2**31), (0, -(2**40))]
)
def test_placing_outside_the_fields_is_refused(base_offset: int, leader_epoch: int) -> None:
    with pytest.raises(InvalidArgument):
        place(encode(numbered(1), now_ms=NOW_MS), base_offset, leader_epoch)


@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_batches_behind_each_other_are_cut_apart(groups: list[list[Record]]) -> None:
    batches = [encode(records, now_ms=NOW_MS) for records in groups]

    assert split(b"".join(batches)) == batches


def test_bytes_that_are_no_row_of_batches_are_not_cut() -> None:
    batch = encode(numbered(2), now_ms=NOW_MS)

    for wrong in (b"", batch[:-1], batch + batch[:-1], batch + b"\x00", batch + batch[:70], bytes(200)):
        with pytest.raises(InvalidBatch):
            split(wrong)


# ---- fewer records -----------------------------------------------------------------------------------------------


@given(RECORDS, st.sampled_from(COMPRESSIONS), st.data())
def test_a_rebuilt_batch_keeps_all_but_the_records_that_went(
    records: list[Record], compression: str, data: st.DataObject
) -> None:
    batch = encode(
        records,
        now_ms=NOW_MS,
        base_offset=50,
        leader_epoch=3,
        compression=compression,
        producer_id=7,
        producer_epoch=1,
        base_sequence=40,
        transactional=True,
    )
    kept = [record for record in decode(batch) if data.draw(st.booleans())]

    rebuilt = rebuild(batch, kept)

    before, after = check(batch), check(rebuilt)
    assert decode(rebuilt) == kept
    assert after.compression == (compression if kept else "none")
    assert after.max_timestamp_ms == max((one.timestamp_ms for one in kept), default=before.max_timestamp_ms)
    assert after == replace(
        before,
        attributes=after.attributes,
        batch_length=after.batch_length,
        count=len(kept),
        crc=after.crc,
        max_timestamp_ms=after.max_timestamp_ms,
    )
    assert after.transactional


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_delete_horizon_takes_the_place_of_the_base_timestamp_and_no_record_sees_it(compression: str) -> None:
    batch = encode(FOUR, now_ms=NOW_MS, base_offset=3, compression=compression)

    marked = rebuild(batch, decode(batch), NOW_MS + 500)
    fewer = rebuild(marked, decode(marked)[1:])

    assert header(batch).delete_horizon_ms is None
    assert decode(marked) == decode(batch)
    assert decode(fewer) == decode(batch)[1:]
    assert header(marked).delete_horizon_ms == header(fewer).delete_horizon_ms == NOW_MS + 500


def test_a_batch_rebuilt_of_all_its_records_is_the_same() -> None:
    batch = bytes.fromhex(KAFKA_NONE)

    assert rebuild(batch, decode(batch)) == batch


def test_rebuilding_keeps_the_log_append_time() -> None:
    batch = raw_batch(
        raw_record(0, 0, -1, -1, 0) + raw_record(90, 1, -1, -1, 0), count=2, attributes=0x08, max_ms=NOW_MS + 4
    )

    rebuilt = rebuild(batch, decode(batch)[1:])

    assert check(rebuilt).log_append_time
    assert decode(rebuilt) == decode(batch)[1:]


def test_a_header_block_that_nobody_can_read_survives_rebuilding() -> None:
    batch = raw_batch(raw_record(0, 0, -1, -1, b"\xff\xff"), count=1)

    assert decode(rebuild(batch, decode(batch)))[0].headers == b"\xff\xff"


def test_records_that_are_not_of_the_batch_are_refused() -> None:
    batch = encode(numbered(3), now_ms=NOW_MS, base_offset=10)
    first, second, third = decode(batch)

    for wrong in ([second, first], [first, first], [replace(third, offset=13)], [replace(first, offset=9)]):
        with pytest.raises(InvalidArgument):
            rebuild(batch, wrong)


def test_a_control_batch_is_not_rebuilt() -> None:
    batch = encode([Record(b"\x00" * 6, b"\x00" * 4)], now_ms=NOW_MS, control=True)

    with pytest.raises(InvalidArgument):
        rebuild(batch, [])


# ---- what cannot be written --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "records",
    [
        [],
        [Record(b"v", timestamp_ms=-2)],
        [Record(b"v"), Record(b"v", timestamp_ms=2**63)],
        [Record(b"v", headers=b"")],
    ],
    ids=["none", "time below -1", "time above 64 bits", "empty header block"],
)
def test_what_no_batch_can_hold_is_refused(records: list[Record]) -> None:
    with pytest.raises(InvalidArgument):
        encode(records, now_ms=NOW_MS)


def test_numbers_that_do_not_fit_the_header_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        encode(numbered(1), now_ms=NOW_MS, producer_id=2**63)
    with pytest.raises(InvalidArgument):
        encode(numbered(1), now_ms=NOW_MS, base_offset=-1)
    with pytest.raises(InvalidArgument):
        encode(numbered(1), now_ms=NOW_MS, leader_epoch=2**31)


def test_more_than_could_be_read_back_is_refused() -> None:
    with pytest.raises(UnitTooLarge):
        encode([Record(b"")] * (BATCH_RECORDS_MAX + 1), now_ms=NOW_MS)
    with pytest.raises(RecordTooLarge):
        encode([Record(bytes(DECOMPRESSED_BYTES_MAX // 4))] * 4, now_ms=NOW_MS, compression="gzip")


@pytest.mark.parametrize("codec", ["brotli", "", "None"])
def test_a_codec_that_is_not_there_is_named(codec: str) -> None:
    with pytest.raises(UnsupportedCompression) as refused:
        encode(numbered(1), now_ms=NOW_MS, compression=codec)

    assert refused.value.codec == codec


def test_a_foreign_codec_that_is_not_there_can_be_stored_but_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = encode(numbered(3), now_ms=NOW_MS, compression="gzip")
    monkeypatch.delitem(CODECS, "gzip")

    assert check(batch).compression == "gzip"
    with pytest.raises(UnsupportedCompression):
        decode(batch)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_time_of_append_is_that_of_every_record_and_moves_nothing_else(compression: str) -> None:
    batch = encode(FOUR, now_ms=NOW_MS, base_offset=3, compression=compression, producer_id=5, base_sequence=9)

    found = stamped(batch, NOW_MS + 99)

    assert [record.timestamp_ms for record in decode(found)] == [NOW_MS + 99] * 4
    assert found[HEADER_BYTES:] == batch[HEADER_BYTES:]
    before, after = header(batch), check(found)
    assert after == replace(before, crc=after.crc, attributes=before.attributes | 8, max_timestamp_ms=NOW_MS + 99)


@pytest.mark.parametrize("theirs", COMPRESSIONS)
@pytest.mark.parametrize("ours", COMPRESSIONS)
def test_a_batch_in_another_codec_has_the_same_records_and_header(theirs: str, ours: str) -> None:
    batch = encode(FOUR, now_ms=NOW_MS, base_offset=3, leader_epoch=2, compression=theirs, producer_id=5)

    found = recoded(batch, ours)

    assert decode(found) == decode(batch)
    before, after = header(batch), check(found)
    assert after.compression == ours
    assert replace(after, crc=0, attributes=0, batch_length=0) == replace(before, crc=0, attributes=0, batch_length=0)
    assert (found is batch) == (theirs == ours)


# ---- damage and malice -------------------------------------------------------------------------------------------


@pytest.fixture(params=COMPRESSIONS)
def sample(request: pytest.FixtureRequest) -> bytes:
    return encode(FOUR, now_ms=NOW_MS, base_offset=3, compression=request.param)


def test_every_truncation_is_refused(sample: bytes) -> None:
    for end in range(len(sample)):
        for read in (check, decode, split):
            with pytest.raises(InvalidBatch):
                read(sample[:end])


def test_every_flipped_byte_is_refused_or_changes_no_record(sample: bytes) -> None:
    records = decode(sample)

    for at, damaged in flips(sample):
        try:
            found = decode(damaged)
        except InvalidBatch:
            continue
        # Only offset and epoch, which a broker sets, stand outside the checksum.
        assert at in {*range(8), *range(12, 16)}
        moved = found[0].offset - records[0].offset
        assert [replace(record, offset=record.offset - moved) for record in found] == records


def test_flipped_bytes_with_a_right_checksum_raise_nothing_unexpected(sample: bytes) -> None:
    for _, damaged in flips(sample, start=8):
        try:
            head, found = check(resealed(damaged)), decode(resealed(damaged))
        except (InvalidBatch, UnsupportedCompression):
            continue
        assert len(found) in {0, head.count}
        assert all(head.base_offset <= record.offset < head.next_offset for record in found)


@given(st.binary(max_size=120), st.integers(0, 12), st.integers(0, 20), st.sampled_from([0, 1, 4, 8, 0x20]))
def test_any_record_block_is_records_or_an_invalid_batch(block: bytes, count: int, last: int, attributes: int) -> None:
    batch = raw_batch(block, count=count, last=last, attributes=attributes)

    try:
        found = decode(batch)
    except (InvalidBatch, UnsupportedCompression):
        return
    assert decode(rebuild(batch, found)) == found if not check(batch).control else found == []


@given(st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_an_invalid_one(data: bytes) -> None:
    for read in (header, check, decode, split):
        with pytest.raises(InvalidBatch):
            read(data)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (varint(-1), "longer than the batch"),
        (varint(2**40), "longer than the batch"),
        (raw_record(0, 0, -2, -1, 0), "negative key length"),
        (raw_record(0, 0, 70, -1, 0), "inside a record"),
        (raw_record(0, 0, 2, b"k", -1) + bytes(9), "longer than the record"),
        (raw_record(0, 0, 2**62, -1, 0), "inside a record"),
        (raw_record(0, 0, -1, -2, 0), "negative value length"),
        (raw_record(0, 0, -1, 2, b"v"), "longer than the record"),
        (raw_record(0, 0, -1, 2**62, 0), "longer than the record"),
        (raw_record(0, 0, -1, 0), "longer than the record"),
        (raw_record(0, 2**62, -1, -1, 0), "beyond the batch's last"),
        (raw_record(b"\xff" * 10 + b"\x01", 0, -1, -1, 0), "more than 64 bits"),
        (raw_record(0, b"\xff" * 11, -1, -1, 0), "more than 64 bits"),
    ],
)
def test_a_hostile_record_is_refused(record: bytes, why: str) -> None:
    with pytest.raises(InvalidBatch, match=why):
        decode(raw_batch(record.ljust(7, b"\x00"), count=1))


def test_records_and_count_must_agree() -> None:
    block = raw_record(0, 0, -1, -1, 0)

    with pytest.raises(InvalidBatch, match="do not fit"):
        check(raw_batch(block, count=2))
    with pytest.raises(InvalidBatch, match="after the last record"):
        decode(raw_batch(block + b"\x00", count=1))
    with pytest.raises(InvalidBatch):
        check(raw_batch(bytes(7 * (BATCH_RECORDS_MAX + 1)), count=BATCH_RECORDS_MAX + 1))
    with pytest.raises(InvalidBatch):
        check(raw_batch(block, count=-1, last=0))
    with pytest.raises(InvalidBatch):
        check(raw_batch(block * 2, count=2, last=0))


@pytest.mark.parametrize(("at", "value"), [(0, 0x80), (16, 1), (22, 5), (23, 0x80), (57, 0x80)])
def test_a_header_that_no_batch_can_have_is_refused(at: int, value: int) -> None:
    batch = bytearray(encode(numbered(2), now_ms=NOW_MS))
    batch[at] = value

    with pytest.raises(InvalidBatch):
        header(bytes(batch))


@pytest.mark.parametrize("length", [-(2**31), -1, 48])
def test_a_batch_cannot_be_shorter_than_its_header(length: int) -> None:
    empty = raw_batch(b"", count=0, last=0)

    with pytest.raises(InvalidBatch, match="less than its header"):
        header(empty[:8] + length.to_bytes(4, "big", signed=True) + empty[12:])


def test_a_batch_that_expands_without_bound_is_refused_early() -> None:
    bomb = zlib.compress(bytes(DECOMPRESSED_BYTES_MAX + 1), 9, wbits=31)
    assert len(bomb) < 100_000

    with pytest.raises(InvalidBatch, match="expands to more than"):
        decode(raw_batch(bomb, count=1, attributes=1))


def test_a_compressed_block_is_exactly_one_gzip_member() -> None:
    member = zlib.compress(raw_record(0, 0, -1, -1, 0), wbits=31)

    assert len(decode(raw_batch(member, count=1, attributes=1))) == 1
    for wrong in (b"", member[:-1], member + b"\x00", member + member, member[2:], zlib.compress(b"zlib, not gzip")):
        with pytest.raises(InvalidBatch):
            decode(raw_batch(wrong, count=1, attributes=1))


def test_the_count_is_checked_against_the_expanded_bytes() -> None:
    member = zlib.compress(bytes(70), wbits=31)

    with pytest.raises(InvalidBatch, match="do not fit"):
        decode(raw_batch(member, count=11, attributes=1))


def test_positions_never_go_back() -> None:
    """Records of length 0 that are skipped by offset end in an error, not in a loop."""
    with pytest.raises(InvalidBatch):
        decode(raw_batch(bytes(7 * 1000), count=1000), from_offset=999)
