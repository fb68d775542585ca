"""Groups and entries: what is written is read back, what was changed is refused, and the text tells the same."""

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvariantError
from isthmus.limits import PLACEMENTS_MAX
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.format import FACT, GROUP_HEADER_BYTES, MAGIC, RECORDS, Checksums, GroupHeader
from isthmus.log.storage import TEMPORARY_SUFFIX
from support import format_text

STORE = bytes(range(16))
CHECKSUMS = Checksums(STORE)
STRANGER = Checksums(bytes(16))
MASKS = (0x01, 0x80, 0xFF)

U32 = st.integers(0, 2**32 - 1)
U63 = st.integers(0, 2**63 - 1)
PLACEMENTS = st.lists(st.tuples(U63, U63), min_size=1, max_size=5)


def records(payload: bytes, *placements: tuple[int, int], flags: int = 0) -> bytes:
    return form.encode_entry(CHECKSUMS, RECORDS, flags, 7, placements or ((1, 0),), payload)


def group(entries: list[bytes], lsn: int = 0, **fields: int) -> tuple[GroupHeader, bytes, bytes]:
    """A group's header as it is read back, its header bytes and its body."""
    known = {"durable_lsn": 0, "epoch": 1, "prev_crc": 0, "time_ms": 5} | fields
    buffers, crc = form.encode_group(CHECKSUMS, lsn, entries=entries, **known)
    header = form.decode_group_header(CHECKSUMS, buffers[0], lsn)
    assert header is not None
    assert header.crc == crc
    return header, buffers[0], b"".join(buffers[1:])


def changed(data: bytes, position: int, mask: int) -> bytes:
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def resealed(head: bytes, offset: int, packed: bytes, lsn: int = 0) -> bytes:
    """A header with other bytes at `offset` and a checksum that fits again."""
    body = (head[:offset] + packed + head[offset + len(packed) :])[:60]
    seed = STORE + struct.pack("<Q", lsn)
    return body + struct.pack("<I", format_text.crc32c(seed + body))


class TestEntries:
    @given(payload=st.binary(max_size=200), placements=PLACEMENTS, flags=st.integers(0, 15), principal=U32)
    def test_records_come_back_as_they_were_written(
        self, payload: bytes, placements: list[tuple[int, int]], flags: int, principal: int
    ) -> None:
        entry = form.encode_entry(CHECKSUMS, RECORDS, flags, principal, placements, payload)

        view = form.check_entry(CHECKSUMS, entry)

        assert view is not None
        assert (view.kind, view.flags, view.principal) == (RECORDS, flags, principal)
        assert view.placements == tuple(placements)
        assert entry[view.payload_start : view.payload_start + view.payload_length] == payload
        assert view.length == len(entry) == form.entry_length(len(placements), len(payload))
        assert len(entry) % form.ALIGNMENT == 0

    @given(payload=st.binary(max_size=200), principal=U32)
    def test_a_fact_comes_back_as_it_was_written(self, payload: bytes, principal: int) -> None:
        entry = form.encode_fact_entry(CHECKSUMS, principal, payload)

        view = form.check_entry(CHECKSUMS, entry)

        assert view is not None
        assert (view.kind, view.flags, view.principal, view.placements) == (FACT, 0, principal, ())
        assert entry[view.payload_start : view.payload_start + view.payload_length] == payload

    @pytest.mark.parametrize("placements", [((1, 2),), ((1, 2), (3, 4))])
    def test_the_bytes_are_those_of_the_text(self, placements: tuple[tuple[int, int], ...]) -> None:
        count, rows = len(placements), b"".join(struct.pack("<QQ", *row) for row in placements)
        crc = format_text.crc32c(STORE + struct.pack("<BBHII", 1, 4, count, 5, 9) + rows + b"batch")

        entry = form.encode_entry(CHECKSUMS, RECORDS, 4, 9, placements, b"batch")

        assert entry == struct.pack("<BBHIII", 1, 4, count, 5, crc, 9) + rows + b"batch" + bytes(3)

    @pytest.mark.parametrize("mask", MASKS)
    @pytest.mark.parametrize("entry", [records(b"a batch", (3, 9)), records(b"shared", (3, 9), (4, 2))])
    def test_every_changed_byte_of_an_entry_but_its_padding_is_found(self, entry: bytes, mask: int) -> None:
        whole = form.check_entry(CHECKSUMS, entry)
        assert whole is not None
        payload_end = whole.payload_start + whole.payload_length

        for position in range(len(entry)):
            bad = changed(entry, position, mask)
            if position < payload_end:
                assert form.check_entry(CHECKSUMS, bad) is None
                assert form.read_records(CHECKSUMS, bad, 3, 9) is None
            else:
                assert form.check_entry(CHECKSUMS, bad) == whole

    @pytest.mark.parametrize("entry", [records(b"a batch", (3, 9)), records(b"shared", (3, 9), (4, 2))])
    def test_an_entry_of_another_length_is_not_an_entry(self, entry: bytes) -> None:
        for length in range(len(entry)):
            assert form.check_entry(CHECKSUMS, entry[:length]) is None
            assert form.read_records(CHECKSUMS, entry[:length], 3, 9) is None
        assert form.check_entry(CHECKSUMS, entry + bytes(8)) is None
        assert form.read_records(CHECKSUMS, entry + bytes(8), 3, 9) is None

    def test_what_is_read_in_two_pieces_is_verified_as_the_whole_is(self) -> None:
        entry = records(b"a batch", (3, 9))
        head, payload = entry[: form.LONE_HEAD_BYTES], entry[form.LONE_HEAD_BYTES :][:7]

        assert form.lone_payload_bytes(head, len(entry)) == 7
        assert form.is_records(CHECKSUMS, head, payload, 3, 9)
        assert not form.is_records(CHECKSUMS, head, payload, 3, 8)
        assert not form.is_records(CHECKSUMS, head, payload, 4, 9)
        assert not form.is_records(STRANGER, head, payload, 3, 9)
        for position in range(form.LONE_HEAD_BYTES + 7):
            bad = changed(entry, position, 1)
            assert not form.is_records(CHECKSUMS, bad[: form.LONE_HEAD_BYTES], bad[form.LONE_HEAD_BYTES :][:7], 3, 9)

    def test_only_records_in_one_place_are_read_in_two_pieces(self) -> None:
        lone, shared = records(b"one", (3, 9)), records(b"shared", (3, 9), (4, 2))
        fact = form.encode_fact_entry(CHECKSUMS, 0, bytes(40))

        assert form.lone_payload_bytes(lone[: form.LONE_HEAD_BYTES], len(lone) + 8) is None
        assert form.lone_payload_bytes(lone[:20], len(lone)) is None
        assert form.lone_payload_bytes(shared[: form.LONE_HEAD_BYTES], len(shared)) is None
        assert form.lone_payload_bytes(fact[: form.LONE_HEAD_BYTES], len(fact)) is None

    def test_an_entry_of_another_store_is_not_an_entry(self) -> None:
        entry = records(b"a batch", (3, 9))

        assert form.check_entry(STRANGER, entry) is None
        assert form.read_records(STRANGER, entry, 3, 9) is None

    def test_a_batch_is_read_by_any_place_that_it_stands_in(self) -> None:
        entry = records(b"shared", (3, 9), (4, 2))

        assert form.read_records(CHECKSUMS, records(b"one", (3, 9)), 3, 9) == b"one"
        assert form.read_records(CHECKSUMS, entry, 3, 9) == b"shared"
        assert form.read_records(CHECKSUMS, entry, 4, 2) == b"shared"

    def test_a_read_that_went_to_the_wrong_place_is_found(self) -> None:
        for entry in (records(b"one", (3, 9)), records(b"shared", (3, 9), (4, 2))):
            assert form.read_records(CHECKSUMS, entry, 3, 10) is None
            assert form.read_records(CHECKSUMS, entry, 4, 9) is None
        assert form.read_records(CHECKSUMS, form.encode_fact_entry(CHECKSUMS, 0, bytes(40)), 0, 0) is None

    def test_what_no_writer_makes_is_refused_though_its_checksum_fits(self) -> None:
        placed = [(partition, 0) for partition in range(PLACEMENTS_MAX + 1)]
        fact = form.encode_entry(CHECKSUMS, FACT, 0, 0, ((1, 0),), b"placed")

        assert form.check_entry(CHECKSUMS, records(b"many", *placed[1:])) is not None
        assert form.check_entry(CHECKSUMS, records(b"too many", *placed)) is None
        assert form.check_entry(CHECKSUMS, form.encode_entry(CHECKSUMS, RECORDS, 0, 0, (), b"nowhere")) is None
        assert form.check_entry(CHECKSUMS, fact) is None
        assert form.read_records(CHECKSUMS, fact, 1, 0) is None

    @given(data=st.binary(max_size=80))
    def test_arbitrary_bytes_are_refused_and_never_raise(self, data: bytes) -> None:
        assert form.check_entry(CHECKSUMS, data) is None
        assert form.read_records(CHECKSUMS, data, 0, 0) is None


class TestGroups:
    @given(
        payloads=st.lists(st.binary(max_size=60), max_size=8),
        lsn=st.integers(0, 2**60).map(lambda number: number * 8),
        lag=st.integers(0, 2**60),
        epoch=U32,
        prev_crc=U32,
        time_ms=U63,
    )
    def test_a_group_comes_back_as_it_was_written(
        self, payloads: list[bytes], lsn: int, lag: int, epoch: int, prev_crc: int, time_ms: int
    ) -> None:
        durable_lsn = max(0, lsn - lag)
        entries = [records(payload, (5, number)) for number, payload in enumerate(payloads)]

        header, _, body = group(entries, lsn, durable_lsn=durable_lsn, epoch=epoch, prev_crc=prev_crc, time_ms=time_ms)
        views = form.iter_entries(body)

        assert form.verify_body(CHECKSUMS, header, body)
        assert (header.first_lsn, header.durable_lsn, header.epoch) == (lsn, durable_lsn, epoch)
        assert (header.prev_crc, header.time_ms, header.flags) == (prev_crc, time_ms, 0)
        assert header.end_lsn == lsn + GROUP_HEADER_BYTES + len(body)
        assert views is not None
        assert header.entry_count == len(views) == len(entries)
        assert [body[view.position : view.position + view.length] for view in views] == entries
        assert [body[view.payload_start : view.payload_start + view.payload_length] for view in views] == payloads

    @pytest.mark.parametrize("size", [10, 5_000])
    @pytest.mark.parametrize("count", [1, 2, 50])
    def test_small_entries_are_joined_and_large_ones_are_not_to_the_same_effect(self, size: int, count: int) -> None:
        entries = [records(bytes([number]) * size, (1, number)) for number in range(count)]

        buffers, _ = form.encode_group(CHECKSUMS, 64, 0, 1, 0, 5, entries)
        header = form.decode_group_header(CHECKSUMS, buffers[0], 64)

        assert len(buffers) == (2 if size == 10 else 1 + count)
        assert b"".join(buffers[1:]) == b"".join(entries)
        assert header is not None
        assert form.verify_body(CHECKSUMS, header, b"".join(entries))

    def test_an_idle_marker_is_a_group_without_entries(self) -> None:
        header, head, body = group([], 640, durable_lsn=640)

        assert (len(head), body) == (GROUP_HEADER_BYTES, b"")
        assert (header.entry_count, header.durable_lsn, header.end_lsn) == (0, 640, 704)
        assert form.verify_body(CHECKSUMS, header, b"")
        assert form.iter_entries(b"") == []

    def test_a_group_of_a_compacted_file_names_its_generation(self) -> None:
        header, _, _ = group([records(b"kept")], 64, flags=form.GROUP_COMPACTED, generation=3)

        assert header.compacted
        assert header.generation == 3
        assert not group([records(b"kept")])[0].compacted

    @pytest.mark.parametrize("mask", MASKS)
    def test_every_changed_byte_of_a_header_is_found(self, mask: int) -> None:
        _, head, _ = group([records(b"a batch")], 4096, durable_lsn=512, epoch=3, prev_crc=77, time_ms=99)

        for position in range(len(head)):
            assert form.decode_group_header(CHECKSUMS, changed(head, position, mask), 4096) is None

    @pytest.mark.parametrize("mask", MASKS)
    def test_every_changed_byte_of_a_body_is_found(self, mask: int) -> None:
        header, _, body = group([records(b"a batch"), form.encode_fact_entry(CHECKSUMS, 0, b"fact")])

        for position in range(len(body)):
            assert not form.verify_body(CHECKSUMS, header, changed(body, position, mask))

    def test_a_group_cut_off_anywhere_is_not_valid(self) -> None:
        header, head, body = group([records(b"a batch")])

        for length in range(len(head)):
            assert form.decode_group_header(CHECKSUMS, head[:length], 0) is None
        for length in range(len(body)):
            assert not form.verify_body(CHECKSUMS, header, body[:length])
            assert form.iter_entries(body[:length]) is None or length == 0
        assert not form.verify_body(CHECKSUMS, header, body + bytes(8))

    def test_zeros_and_the_end_of_the_file_are_no_group(self) -> None:
        assert form.decode_group_header(CHECKSUMS, bytes(4096), 0) is None
        assert form.decode_group_header(CHECKSUMS, b"", 0) is None

    def test_a_group_of_another_place_or_store_is_not_valid(self) -> None:
        header, head, body = group([records(b"a batch")], 4096)

        assert form.decode_group_header(CHECKSUMS, head, 4104) is None
        assert form.decode_group_header(STRANGER, head, 4096) is None
        assert not form.verify_body(STRANGER, header, body)

    def test_a_body_of_another_place_is_not_valid(self) -> None:
        here, _, body = group([records(b"a batch")], 4096)
        there, _, same = group([records(b"a batch")], 8192)

        assert body == same
        assert here.body_crc != there.body_crc

    def test_a_header_is_found_anywhere_in_what_was_read(self) -> None:
        header, head, body = group([records(b"a batch")], 128)

        assert form.decode_group_header(CHECKSUMS, bytes(24) + head + body, 128, 24) == header
        assert form.decode_group_header(CHECKSUMS, bytes(24) + head[:-1], 128, 24) is None

    @pytest.mark.parametrize(
        ("offset", "packed"),
        [
            pytest.param(4, b"\x02", id="another version"),
            pytest.param(5, b"\x02", id="an unknown flag"),
            pytest.param(5, b"\x01", id="compacted without a generation"),
            pytest.param(6, struct.pack("<H", 72), id="another header length"),
            pytest.param(8, struct.pack("<I", form.GROUP_BODY_MAX + 8), id="a body longer than any unit"),
            pytest.param(8, struct.pack("<I", 36), id="a body that ends between two entries' places"),
            pytest.param(12, struct.pack("<I", 0), id="a body without entries"),
            pytest.param(8, struct.pack("<I", 0), id="entries without a body"),
            pytest.param(12, struct.pack("<I", 4), id="more entries than the body can hold"),
            pytest.param(16, struct.pack("<Q", 8), id="another address"),
            pytest.param(24, struct.pack("<Q", 1), id="durable before it was written"),
            pytest.param(52, struct.pack("<Q", 1), id="a generation without being compacted"),
        ],
    )
    def test_a_header_that_cannot_be_is_refused_though_its_checksum_fits(self, offset: int, packed: bytes) -> None:
        _, head, _ = group([records(b"a batch")])

        assert form.decode_group_header(CHECKSUMS, resealed(head, 0, b""), 0) is not None
        assert form.decode_group_header(CHECKSUMS, resealed(head, offset, packed), 0) is None

    @given(data=st.binary(min_size=60, max_size=90))
    def test_arbitrary_bytes_are_no_header_and_never_raise(self, data: bytes) -> None:
        assert form.decode_group_header(CHECKSUMS, MAGIC + data, 0) is None

    def test_a_store_uuid_has_sixteen_bytes(self) -> None:
        with pytest.raises(InvariantError):
            Checksums(b"short")


class TestEntriesOfABody:
    @pytest.mark.parametrize(
        ("offset", "packed"),
        [
            pytest.param(0, b"\x03", id="an unknown type"),
            pytest.param(0, b"\x02", id="a fact with placements"),
            pytest.param(1, b"\x10", id="an unknown flag"),
            pytest.param(2, struct.pack("<H", 0), id="records without a placement"),
            pytest.param(2, struct.pack("<H", 4097), id="more placements than allowed"),
            pytest.param(2, struct.pack("<H", 4096), id="more placements than bytes"),
            pytest.param(4, struct.pack("<I", 2**32 - 1), id="a payload of 4 GiB"),
            pytest.param(4, struct.pack("<I", 9), id="a payload one entry too long"),
        ],
    )
    def test_lengths_that_do_not_add_up_are_refused(self, offset: int, packed: bytes) -> None:
        entry = records(b"8 bytes.")

        assert form.iter_entries(entry) is not None
        assert form.iter_entries(entry[:offset] + packed + entry[offset + len(packed) :]) is None

    def test_one_bad_entry_refuses_the_whole_body(self) -> None:
        entry = records(b"8 bytes.")

        assert form.iter_entries(entry + entry[:16]) is None
        assert form.iter_entries(entry + bytes(8)) is None

    @given(data=st.binary(max_size=120))
    def test_arbitrary_bytes_never_raise(self, data: bytes) -> None:
        views = form.iter_entries(data)

        assert views is None or sum(view.length for view in views) == len(data)


class TestSearch:
    def groups_behind_damage(self) -> tuple[bytes, list[GroupHeader]]:
        lsn, data, headers = 1024, b"", []
        for number in range(4):
            header, head, body = group([records(b"batch %d" % number)], lsn, durable_lsn=lsn - 8)
            headers.append(header)
            data += head + body
            lsn = header.end_lsn
        return data, headers

    def test_finds_every_group_behind_a_bad_one(self) -> None:
        data, headers = self.groups_behind_damage()
        damaged = changed(data, 20, 0xFF)

        assert list(form.find_groups(data, 1024, CHECKSUMS)) == headers
        assert list(form.find_groups(damaged, 1024, CHECKSUMS)) == headers[1:]
        assert list(form.find_groups(damaged[72:], 1024 + 72, CHECKSUMS)) == headers[1:]

    def test_takes_no_copy_of_a_group_for_one(self) -> None:
        _, head, _ = group([records(b"a batch")], 0)
        _, outer_head, outer_body = group([records(bytes(32) + head, (1, 0)), records(MAGIC * 20)], 4096)

        found = list(form.find_groups(outer_head + outer_body, 4096, CHECKSUMS))

        assert [header.first_lsn for header in found] == [4096]

    def test_looks_only_where_a_group_can_start(self) -> None:
        _, head, body = group([records(b"a batch")], 4096 + 4)

        assert list(form.find_groups(bytes(4) + head + body, 4096, CHECKSUMS)) == []

    def test_finds_nothing_in_a_header_that_is_cut_off(self) -> None:
        data, headers = self.groups_behind_damage()
        last = headers[-1].first_lsn - 1024

        assert list(form.find_groups(data[: last + 63], 1024, CHECKSUMS)) == headers[:-1]
        assert list(form.find_groups(data[: last + 64], 1024, CHECKSUMS)) == headers

    def test_pieces_that_overlap_find_what_the_whole_finds(self) -> None:
        data, headers = self.groups_behind_damage()
        step, overlap = 64, GROUP_HEADER_BYTES - 8

        found = [
            header
            for start in range(0, len(data), step)
            for header in form.find_groups(data[start : start + step + overlap], 1024 + start, CHECKSUMS)
        ]

        assert found == headers


class TestText:
    @pytest.mark.parametrize(
        ("name", "packed"),
        [
            ("format._GROUP", form._GROUP.format),
            ("format._ENTRY", form._ENTRY.format),
            ("format._PLACEMENT", form._PLACEMENT.format),
            ("checkpoint._FOOTER", checkpoint._FOOTER.format),
        ],
    )
    def test_the_byte_tables_are_those_of_the_code(self, name: str, packed: str) -> None:
        assert format_text.layout(name) == format_text.expanded(packed)

    def test_the_suffix_of_files_in_the_making_is_that_of_the_code(self) -> None:
        told = re.findall(r"ends\sin `(\.[a-z]+)`", format_text.TEXT.read_text(encoding="utf-8"))

        assert set(told) == {TEMPORARY_SUFFIX}

    def test_the_table_of_facts_is_that_of_the_code(self) -> None:
        known = [(kind.__struct_config__.tag, kind.__name__, kind.__struct_fields__) for kind in facts.AnyFact.__args__]

        assert format_text.facts_table() == known

    def test_the_entry_flags_are_those_of_the_code(self) -> None:
        known = {name: value for name, value in vars(form).items() if name.startswith("ENTRY_") and "BYTES" not in name}

        assert {name: 1 << bit for bit, name in format_text.flags_table()} == known

    def test_the_worked_example_is_what_the_code_writes(self) -> None:
        opened = facts.encode(facts.SegmentOpened(STORE, 0, 262_144, 1_357_016_400_000))
        first = [form.encode_fact_entry(CHECKSUMS, 0, opened)]
        second = [
            form.encode_entry(CHECKSUMS, RECORDS, form.ENTRY_ATTRIBUTES, 7, ((65_537, 42),), b"isthmus"),
            form.encode_entry(CHECKSUMS, RECORDS, 0, 7, ((65_537, 43), (131_072, 5)), b"two seas"),
        ]

        opening, crc = form.encode_group(CHECKSUMS, 0, 0, 1, 0, 1_357_016_400_000, first)
        events, crc = form.encode_group(CHECKSUMS, 120, 0, 1, crc, 1_357_016_400_001, second)
        marker, _ = form.encode_group(CHECKSUMS, 280, 280, 1, crc, 1_357_016_400_001, [])

        assert b"".join(opening) == format_text.example("first group")
        assert b"".join(events) == format_text.example("second group")
        assert b"".join(marker) == format_text.example("idle marker")

    @pytest.mark.parametrize(("name", "lsn"), [("first group", 0), ("second group", 120), ("idle marker", 280)])
    def test_the_worked_example_has_the_checksums_that_the_text_tells(self, name: str, lsn: int) -> None:
        data, seed = format_text.example(name), STORE + struct.pack("<Q", lsn)

        assert data[48:52] == struct.pack("<I", format_text.crc32c(seed + data[64:]))
        assert data[60:64] == struct.pack("<I", format_text.crc32c(seed + data[:60]))
