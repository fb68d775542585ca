"""Commit groups as they lie in a segment file: the chain of valid ones, and the search behind a bad one.

It reads and judges single groups; what a bad group means, and what to do about it, is recovery's to say.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from isthmus.limits import MIB
from isthmus.log import format as form
from isthmus.log.storage import File

READ_BYTES: Final = 4 * MIB
"""What is read at once."""


class Group(NamedTuple):
    """A valid commit group: its header, its body, and where the entries lie in the body."""

    header: form.GroupHeader
    body: bytes
    views: list[form.EntryView]

    @property
    def end_lsn(self) -> int:
        """The LSN behind it."""
        return self.header.end_lsn

    def entries(self) -> Iterator[tuple[int, form.EntryView, bytes]]:
        """LSN, view and payload of each entry."""
        start = self.header.first_lsn + form.GROUP_HEADER_BYTES
        for view in self.views:
            payload = self.body[view.payload_start : view.payload_start + view.payload_length]
            yield start + view.position, view, payload


class GroupReader:
    """Reads the groups of one segment file, in large steps.

    What it has read it may go on showing: for a file that is being written to, make a new one to see what is new.
    Of a compacted file only groups of its own generation count.
    """

    def __init__(self, file: File, first_lsn: int, checksums: form.Checksums, generation: int = 0) -> None:
        self._file = file
        self._generation = generation
        self._first_lsn = first_lsn
        self._checksums = checksums
        self._buffer = b""
        self._start = 0
        self.size = file.size()

    def _bytes(self, position: int, size: int) -> bytes:
        if position < self._start or position + size > self._start + len(self._buffer):
            self._buffer = self._file.pread(max(size, READ_BYTES), position)
            self._start = position
        at = position - self._start
        return self._buffer[at : at + size]

    def at(self, lsn: int) -> Group | None:
        """The whole, valid group at an LSN."""
        position = lsn - self._first_lsn
        if position + form.GROUP_HEADER_BYTES > self.size:
            return None
        header = form.decode_group_header(self._checksums, self._bytes(position, form.GROUP_HEADER_BYTES), lsn)
        if header is None or header.end_lsn - self._first_lsn > self.size or header.generation != self._generation:
            return None
        body = self._bytes(position + form.GROUP_HEADER_BYTES, header.body_length)
        if not form.verify_body(self._checksums, header, body):
            return None
        views = form.iter_entries(body)
        return None if views is None or len(views) != header.entry_count else Group(header, body, views)

    def chain(self, lsn: int, end_lsn: int | None = None) -> Iterator[Group]:
        """Valid groups one after the other from an LSN; ends at the first that is not, or does not end by `end_lsn`."""
        previous: form.GroupHeader | None = None
        while (group := self.at(lsn)) is not None:
            header = group.header
            if previous is not None and (header.prev_crc != previous.crc or header.epoch < previous.epoch):
                return
            if end_lsn is not None and group.end_lsn > end_lsn:
                return
            yield group
            previous, lsn = header, group.end_lsn

    def headers_behind(self, lsn: int) -> Iterator[form.GroupHeader]:
        """Every valid group header behind an LSN, wherever it stands; the bodies are not looked at."""
        position = lsn - self._first_lsn + form.ALIGNMENT
        overlap = form.GROUP_HEADER_BYTES - form.ALIGNMENT
        while position < self.size:
            data = self._file.pread(READ_BYTES + overlap, position)
            for header in form.find_groups(data, self._first_lsn + position, self._checksums):
                if header.first_lsn < self._first_lsn + position + READ_BYTES:
                    yield header
            position += READ_BYTES

    def used_behind(self, lsn: int) -> int:
        """Bytes from an LSN to the last one that is not zero."""
        position, used = lsn - self._first_lsn, 0
        for start in range(position, self.size, READ_BYTES):
            stripped = len(self._file.pread(READ_BYTES, start).rstrip(b"\x00"))
            if stripped:
                used = start + stripped - position
        return used
