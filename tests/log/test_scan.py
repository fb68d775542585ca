"""Commit groups in a file: the chain of valid ones, and what lies behind a bad one."""

from typing import Final

import pytest

from isthmus.log import format as form
from isthmus.log.scan import READ_BYTES, GroupReader
from isthmus.log.storage import MemoryStorage, write_all
from support.stores import flip

CHECKSUMS: Final = form.Checksums(b"s" * 16)
FIRST_LSN: Final = 4_096


class File:
    """A segment file that starts at FIRST_LSN; a group of one fact entry a call."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.storage.open("segment", create=True).close()
        self.starts: list[int] = []
        self.end_lsn = FIRST_LSN
        self.crc = 0

    def group(self, payload: bytes = b"fact", epoch: int = 1) -> None:
        entry = form.encode_fact_entry(CHECKSUMS, 0, payload)
        buffers, self.crc = form.encode_group(CHECKSUMS, self.end_lsn, FIRST_LSN, epoch, self.crc, 1, [entry])
        file = self.storage.open("segment", write=True)
        write_all(file, buffers, self.end_lsn - FIRST_LSN)
        self.starts.append(self.end_lsn)
        self.end_lsn += sum(map(len, buffers))

    def zeros(self, count: int) -> None:
        """Space that is taken and unused."""
        self.storage.open("segment", write=True).allocate(self.end_lsn - FIRST_LSN + count)

    def flip(self, lsn: int) -> None:
        flip(self.storage, "segment", lsn - FIRST_LSN)

    def reader(self) -> GroupReader:
        return GroupReader(self.storage.open("segment"), FIRST_LSN, CHECKSUMS)


@pytest.fixture
def file() -> File:
    """With four groups."""
    made = File()
    for _ in range(4):
        made.group()
    return made


def chain(file: File, lsn: int = FIRST_LSN, end_lsn: int | None = None) -> list[int]:
    return [group.header.first_lsn for group in file.reader().chain(lsn, end_lsn)]


def behind(file: File, lsn: int) -> list[int]:
    return [header.first_lsn for header in file.reader().headers_behind(lsn)]


# ---- the chain ---------------------------------------------------------------------------------------------------


def test_groups_are_read_one_after_the_other(file: File) -> None:
    assert chain(file) == file.starts
    assert chain(file, file.starts[2]) == file.starts[2:]


def test_a_group_gives_its_entries_with_their_lsns(file: File) -> None:
    group = file.reader().at(file.starts[1])

    assert group is not None
    assert [(lsn, payload) for lsn, _, payload in group.entries()] == [
        (file.starts[1] + form.GROUP_HEADER_BYTES, b"fact")
    ]


def test_the_chain_ends_at_unused_space(file: File) -> None:
    file.zeros(1_000)

    assert chain(file) == file.starts


def test_the_chain_ends_where_it_is_told_to(file: File) -> None:
    assert chain(file, end_lsn=file.starts[2]) == file.starts[:2]
    assert chain(file, end_lsn=file.starts[2] - 1) == file.starts[:1]


@pytest.mark.parametrize("place", [0, 40, form.GROUP_HEADER_BYTES, form.GROUP_HEADER_BYTES + 17])
def test_the_chain_ends_at_a_group_with_a_wrong_bit_in_header_or_body(file: File, place: int) -> None:
    file.flip(file.starts[2] + place)

    assert chain(file) == file.starts[:2]


def test_the_chain_ends_at_a_group_that_follows_another_one(file: File) -> None:
    file.crc ^= 1
    file.group()

    assert chain(file) == file.starts[:4]


def test_the_chain_ends_at_a_group_of_an_earlier_opening(file: File) -> None:
    file.group(epoch=0)

    assert chain(file) == file.starts[:4]


def test_the_chain_ends_at_a_group_that_the_file_cuts_off(file: File) -> None:
    file.storage.open("segment", write=True).truncate(file.end_lsn - FIRST_LSN - 8)

    assert chain(file) == file.starts[:3]


def test_no_group_is_found_where_none_starts(file: File) -> None:
    assert file.reader().at(FIRST_LSN + 8) is None


def test_groups_larger_than_one_read_are_read_whole() -> None:
    file = File()
    file.group()
    file.group(bytes(READ_BYTES + 1))
    file.group()

    assert chain(file) == file.starts


# ---- behind a bad group --------------------------------------------------------------------------------------------


def test_headers_behind_a_place_are_found_wherever_they_are(file: File) -> None:
    file.flip(file.starts[1])

    assert behind(file, file.starts[1]) == file.starts[2:]


def test_headers_are_found_even_when_their_body_is_damaged(file: File) -> None:
    file.flip(file.starts[2] + form.GROUP_HEADER_BYTES)

    assert behind(file, file.starts[1]) == file.starts[2:]


@pytest.mark.parametrize("shift", range(-form.GROUP_HEADER_BYTES, form.GROUP_HEADER_BYTES + 1, 8))
def test_a_header_at_the_border_of_two_reads_is_found_once(shift: int) -> None:
    file = File()
    file.group()
    file.group(bytes(READ_BYTES - 3 * form.GROUP_HEADER_BYTES + shift))
    file.group()

    assert behind(file, file.starts[0]) == file.starts[1:]


def test_used_bytes_end_with_the_last_that_is_not_zero(file: File) -> None:
    file.zeros(3 * READ_BYTES)
    used = file.reader().used_behind(file.starts[2])

    assert file.end_lsn - file.starts[2] - form.ALIGNMENT < used <= file.end_lsn - file.starts[2]


def test_nothing_is_used_behind_the_end(file: File) -> None:
    file.zeros(100)

    assert file.reader().used_behind(file.end_lsn) == 0
