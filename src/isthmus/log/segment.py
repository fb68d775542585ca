"""One journal file with its index: where the batches of a partition lie in it, and their verified bytes.

It reads and never writes journal bytes (the commit does); what it writes is the index sidecar of a sealed file, which
can always be rebuilt, and is when it turns out to be damaged.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from isthmus.errors import Damaged
from isthmus.limits import KIB, READ_AHEAD_ENTRIES
from isthmus.log import batch as batches
from isthmus.log import format as form
from isthmus.log.files import Files
from isthmus.log.index import ActiveIndex, Extent, IndexCache, IndexInvalid, Row, SealedIndex, encode_sidecar
from isthmus.log.partition import Partition
from isthmus.log.scan import Group, GroupReader
from isthmus.log.storage import Storage, replace
from isthmus.log.times import Times
from isthmus.ranges import RangeSet

INDEX_SUFFIX: Final = ".index"
LOG_SUFFIX: Final = ".log"
FLAG_BITS: Final = form.ALIGNMENT - 1
"""Entries are whole multiples of 8 bytes, so the low bits of a row's length carry the entry's flags."""

_LARGE_BYTES: Final = 64 * KIB
"""From this size on a copy of an entry costs more than a second read."""

Pread = Callable[[int, int], bytes | None]
"""Reads so many bytes from a position; None when they are not at hand and it does not wait."""

Found = tuple[bytes | None]
"""A batch that was read, None when the bytes are not what was written."""

Names = Mapping[int, tuple[str, str, int, bytes]]
T = TypeVar("T")


LSN_DIGITS: Final = 20


class FileName(NamedTuple):
    """What the name of a segment tells: the end only when it was compacted, then with its generation."""

    first_lsn: int
    end_lsn: int | None
    generation: int


def file_name_of(stem: str) -> FileName | None:
    """What the name of a segment or sidecar tells, without folder and suffix; None for any other name."""
    first, dash, rest = stem.partition("-")
    end, dot, generation = rest.partition(".")
    numbers = (first, end, generation) if dash and dot else (first,)
    if not all(one.isascii() and one.isdecimal() for one in numbers):
        return None
    if any(len(lsn) != LSN_DIGITS for lsn in numbers[:2]):
        return None
    if len(numbers) == 1:
        return None if dash else FileName(int(first), None, 0)
    found = FileName(int(first), int(end), int(generation))
    return found if str(found.generation) == generation and found.generation > 0 else None


def compacted_stem(first_lsn: int, end_lsn: int, generation: int) -> str:
    """The name of a compacted segment, without folder and suffix."""
    return f"{first_lsn:0{LSN_DIGITS}}-{end_lsn:0{LSN_DIGITS}}.{generation}"


def row_flags(row: Row) -> int:
    """The entry flags (attributes, transactional, control) that a row carries."""
    return row.length & FLAG_BITS


def row_length(row: Row) -> int:
    """Bytes of the entry of a row."""
    return row.length & ~FLAG_BITS


class Cache(Protocol):
    """Batches in memory, by LSN."""

    def get(self, lsn: int) -> bytes | None:
        """The batch whose entry is at that LSN, if it is there."""


class Store(Protocol):
    """What a segment asks of the journal that it is a file of."""

    storage: Storage
    checksums: form.Checksums
    store: bytes
    index_cache: IndexCache
    files: Files

    @property
    def cache(self) -> Cache:
        """The newest batches."""

    @property
    def writable(self) -> bool:
        """Whether files may be written at all."""

    def names_of(self, partition_ids: Iterable[int]) -> Names:
        """What the sidecars say of partitions."""

    def sealed(self, segment: "Segment", names: Names) -> None:
        """Write the sidecar of a segment that is full, off the loop where there is a disk to wait for."""

    def given_up_until(self, lsn: int) -> int:
        """Where the range ends that an operator gave up and that holds an LSN; the LSN itself when there is none."""


class Segment:
    """A file of the journal that covers the LSNs `first_lsn` to `end_lsn`, exclusive.

    One that compaction wrote has a `generation`, and is shorter than the range that it owns: `length` bytes. What is
    an LSN elsewhere is an address in it (docs/formats/journal.md, section 10).

    `blocker` is a partition that was seen to hold the segment, `dead` says that none does any more: what retention
    remembers of it. `busy` says that compaction reads it, so that it must not go; `rotten` that compaction could not
    read it.
    """

    __slots__ = (
        "_index",
        "_journal",
        "_rebuilding",
        "_times",
        "blocker",
        "busy",
        "dead",
        "end_lsn",
        "first_lsn",
        "generation",
        "length",
        "name",
        "rotten",
        "sealed",
    )

    def __init__(
        self, journal: Store, name: str, first_lsn: int, end_lsn: int, generation: int = 0, length: int = 0
    ) -> None:
        self._journal = journal
        self.name = name
        self.first_lsn = first_lsn
        self.end_lsn = end_lsn
        self.generation = generation
        self.length = length
        self.sealed = False
        self.busy = False
        self.rotten = False
        self.blocker: int | None = None
        self.dead = False
        self._index: ActiveIndex | SealedIndex = ActiveIndex()
        self._times = Times()
        self._rebuilding = threading.Lock()

    def __repr__(self) -> str:
        return f"<Segment {self.name} to {self.end_lsn}>"

    @property
    def index_name(self) -> str:
        """The sidecar's file."""
        return self.name.removesuffix(LOG_SUFFIX) + INDEX_SUFFIX

    @property
    def size_bytes(self) -> int:
        """Bytes of journal in it."""
        return self.length if self.generation else self.end_lsn - self.first_lsn

    @property
    def file_end(self) -> int:
        """The address behind its last byte; the end LSN unless it was compacted."""
        return self.first_lsn + self.size_bytes

    # ---- the index ----------------------------------------------------------------------------------------------

    def add(
        self, partition: int, base: int, end: int, lsn: int, length: int, flags: int, max_timestamp_ms: int
    ) -> None:
        """Index a batch of the active segment, live or while it is scanned."""
        if isinstance(self._index, ActiveIndex):
            packed = length | (flags & FLAG_BITS)
            self._index.add(partition, base, end, lsn - self.first_lsn, packed, max_timestamp_ms)

    def add_entry(self, view: form.EntryView, batch: bytes, lsn: int) -> None:
        """Index a records entry of a compacted segment, while it is written or scanned."""
        if isinstance(self._index, ActiveIndex):
            add_rows(self._index, view, batch, lsn - self.first_lsn)

    def note_time(self, lsn: int, time_ms: int) -> None:
        """A group with something in it was appended at a place of the active segment, live or while it is scanned."""
        self._times.add(lsn, time_ms)

    def may_hold(self, partition: int) -> bool:
        """False when it certainly holds nothing of a partition."""
        index = self._index
        return index.bounds(partition) is not None if isinstance(index, ActiveIndex) else index.may_hold(partition)

    def bounds(self, partition: int) -> tuple[int, int] | None:
        """First offset and end offset of a partition in it.

        Raises:
            Damaged: the sidecar is damaged, and so is the segment that it could be rebuilt from; so in all below.
        """
        return self._ask(lambda index: index.bounds(partition))

    def rows(self, partition: int, offset: int, limit: int) -> list[Row]:
        """Up to `limit` rows from the batch that holds or follows an offset."""
        return self._ask(lambda index: index.rows(partition, offset, limit))

    def first_after_time(self, partition: int, time_ms: int) -> Row | None:
        """The first batch with a record timestamp at or after a time."""
        return self._ask(lambda index: index.first_after_time(partition, time_ms))

    def partitions(self) -> list[int]:
        """Ids of the partitions that have a batch in it."""
        return self._ask(lambda index: index.partitions())

    def live_bytes(self, log_starts: Callable[[int], int | None], finished: Mapping[int, RangeSet]) -> int:
        """Bytes of entries that somebody may still want; an estimate from above.

        Args:
            log_starts: of a partition; None when it is gone.
            finished: offsets that nobody wants, by partition, also above the log start.
        """
        return self._ask(lambda index: _live_bytes(index, log_starts, finished))

    def extent(self, partition: int) -> Extent | None:
        """What it holds of a partition."""
        return self._ask(lambda index: index.directory(partition))

    def names(self) -> Names:
        """Partition id to namespace, topic, index and topic uuid, as far as the sidecar tells."""
        return self._ask(lambda index: index.names() if isinstance(index, SealedIndex) else {})

    def _ask(self, ask: Callable[[ActiveIndex | SealedIndex], T]) -> T:
        try:
            return ask(self._index)
        except IndexInvalid:
            return ask(self._rebuilt())

    def _rebuilt(self) -> ActiveIndex:
        """The index from the segment itself, in place of a damaged sidecar. One thread does it, others wait."""
        with self._rebuilding:
            index = self._index
            if isinstance(index, SealedIndex):
                index = self._index = self._scanned()
                if self._journal.writable:
                    self._journal.sealed(self, self._journal.names_of(index.partitions()))
            return index

    def _scanned(self) -> ActiveIndex:
        index = ActiveIndex()
        lsn, file_end = self.first_lsn, self.file_end
        while lsn < file_end:
            for group in self.groups(lsn):
                for at, view, payload in group.entries():
                    if view.kind == form.RECORDS:
                        add_rows(index, view, payload, at - self.first_lsn)
                lsn = group.end_lsn
            bad, lsn = lsn, self._journal.given_up_until(lsn)
            if bad == lsn < file_end:
                lost = f"{self.index_name}, and {self.name} from byte {bad - self.first_lsn} on"
                raise Damaged(self._journal.storage.directory, [lost])
        return index

    def seal(self) -> None:
        """Nothing is added any more: have the sidecar written."""
        self.sealed = True
        index = self._index
        names = self._journal.names_of(index.partitions()) if isinstance(index, ActiveIndex) else {}
        self._journal.files.release(self.name)
        self._journal.sealed(self, names)

    def write_sidecar(self, names: Names) -> None:
        """Write the index beside the file and use it from there, which frees the memory.

        Raises:
            OSError: the index stays in memory.
        """
        index = self._index
        if isinstance(index, ActiveIndex):
            content = encode_sidecar(index, self.first_lsn, self.end_lsn, self._journal.store, names, self.generation)
            self._journal.files.forget(self.index_name)
            replace(self._journal.storage, self.index_name, content)
            # If it cannot be read back, the index in memory is as good.
            with contextlib.suppress(IndexInvalid):
                self.open_sidecar()

    def open_sidecar(self) -> None:
        """Use the index on disk.

        Raises:
            IndexInvalid: it is not there, or not what was written; scan the segment instead.
        """
        journal = self._journal
        try:
            with journal.files.use(self.index_name) as file:
                size = file.size()
            index = SealedIndex(
                self._read_sidecar,
                size,
                journal.store,
                self.first_lsn,
                self.end_lsn,
                journal.index_cache,
                self.generation,
            )
        except OSError as error:
            raise IndexInvalid(f"{self.index_name}: {error}") from error
        self._index = index
        self.sealed = True

    def _read_sidecar(self, size: int, position: int) -> bytes:
        try:
            with self._journal.files.use(self.index_name) as file:
                return file.pread(size, position)
        except OSError as error:
            # As good as damaged: the segment knows all that it holds.
            raise IndexInvalid(f"{self.index_name}: {error}") from error

    def appended_by(self, lsn: int) -> int:
        """When what is at an LSN had been appended (ms since 1970 UTC, never too early).

        For a segment that was sealed before this opening its group headers are read once.
        """
        if not len(self._times):
            times = Times()
            for group in self.groups():
                if group.views:
                    times.add(group.header.first_lsn, group.header.time_ms)
            self._times = times
        return self._times.appended_by(lsn)

    # ---- the bytes ----------------------------------------------------------------------------------------------

    def groups(self, from_lsn: int | None = None) -> Iterator[Group]:
        """Its commit groups, in order, up to the first that is damaged or not part of it (yet).

        Args:
            from_lsn: where a group starts; the first one when it is left out.

        Raises:
            FileNotFoundError: the segment was removed meanwhile.
        """
        with self._journal.files.use(self.name) as file:
            reader = GroupReader(file, self.first_lsn, self._journal.checksums, self.generation)
            yield from reader.chain(self.first_lsn if from_lsn is None else from_lsn, self.file_end)

    def batch_at(self, partition: Partition, row: Row, *, wait: bool) -> bytes | None:
        """The batch of a row, placed for the partition; None when it is not at hand and `wait` is False.

        Raises:
            Damaged: the bytes are not what was written there.
            FileNotFoundError: the segment was removed meanwhile.
        """
        # What is kept in memory is known by where it was first written.
        data = None if self.generation else self._journal.cache.get(self.first_lsn + row.position)
        if data is None:
            with self._journal.files.use(self.name) as file:
                read = file.pread if wait else file.pread_now
                found = self._large(read, partition, row) or self._whole(read, partition, row)
            if found is None:
                return None
            (data,) = found
            if data is None:
                lost = f"{self.name} from byte {row.position}: offsets {row.base_offset} to {row.end_offset - 1}"
                raise Damaged(self._journal.storage.directory, [f"{lost} of partition {partition.id}"])
        return batches.place(data, row.base_offset, partition.epoch_of(row.base_offset))

    def _whole(self, read: Pread, partition: Partition, row: Row) -> Found | None:
        entry = read(row_length(row), row.position)
        if entry is None:
            return None
        return (form.read_records(self._journal.checksums, entry, partition.id, row.base_offset),)

    def _large(self, read: Pread, partition: Partition, row: Row) -> Found | None:
        """The same for much in one place, which is read to where it stays; None for anything else."""
        length = row_length(row)
        head = read(form.LONE_HEAD_BYTES, row.position) if length >= _LARGE_BYTES else None
        size = None if head is None else form.lone_payload_bytes(head, length)
        if head is None or size is None:
            return None
        payload = read(size, row.position + len(head))
        if payload is None:
            return None
        right = len(payload) == size
        right = right and form.is_records(self._journal.checksums, head, payload, partition.id, row.base_offset)
        return (payload if right else None,)

    def read_ahead(self, rows: Sequence[Row]) -> None:
        """Ask for the pages of the next entries, so that a catch-up read waits for the disk once and not per entry.

        Not for those of large ones, which take the disk longer than what lies between them.
        """
        with self._journal.files.use(self.name) as file:
            for row in rows[:READ_AHEAD_ENTRIES]:
                if row_length(row) < _LARGE_BYTES:
                    file.advise(row.position, row_length(row))

    def unlink(self) -> None:
        """Remove both files; the caller syncs the folder."""
        storage = self._journal.storage
        for name in (self.index_name, self.name):
            if storage.exists(name):
                storage.unlink(name)
            # Behind it, so that a reader who was faster does not keep what has no name any more.
            self._journal.files.forget(name)


def _live_bytes(
    index: ActiveIndex | SealedIndex, log_starts: Callable[[int], int | None], finished: Mapping[int, RangeSet]
) -> int:
    total = 0
    for partition in index.partitions():
        log_start, extent, done = log_starts(partition), index.directory(partition), finished.get(partition)
        if log_start is None or extent is None or extent.end_offset <= log_start:
            continue
        if extent.first_offset >= log_start and done is None:
            total += extent.entry_bytes
            continue
        for row in index.rows(partition, log_start, extent.row_count):
            total += 0 if done is not None and done.covers(row.base_offset, row.end_offset) else row_length(row)
    return min(total, index.entry_bytes if isinstance(index, SealedIndex) else index.entry_bytes())


def add_rows(index: ActiveIndex, view: form.EntryView, batch: bytes, position: int) -> None:
    """Index a records entry that lies at `position` of its file, in every partition that it stands in."""
    header = batches.header(batch)
    for partition, base in view.placements:
        end = base + header.last_offset_delta + 1
        length = view.length | (view.flags & FLAG_BITS)
        index.add(partition, base, end, position, length, header.max_timestamp_ms)
