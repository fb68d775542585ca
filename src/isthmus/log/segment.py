"""One journal file with its index: where the batches of a partition lie in it, and their verified bytes.

It reads and never writes journal bytes (the commit does); what it writes is the index sidecar of a sealed file, which
can always be rebuilt.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from isthmus.errors import Damaged
from isthmus.limits import READ_AHEAD_ENTRIES
from isthmus.log import batch as batches
from isthmus.log import format as form
from isthmus.log.index import ActiveIndex, IndexCache, IndexInvalid, Row, SealedIndex, encode_sidecar
from isthmus.log.partition import Partition
from isthmus.log.storage import File, Storage, replace

INDEX_SUFFIX: Final = ".index"
LOG_SUFFIX: Final = ".log"
FLAG_BITS: Final = form.ALIGNMENT - 1
"""Entries are whole multiples of 8 bytes, so the low bits of a row's length carry the entry's flags."""

Names = Mapping[int, tuple[str, str, int, bytes]]


def row_flags(row: Row) -> int:
    """The entry flags (attributes, transactional, control) that a row carries."""
    return row.length & FLAG_BITS


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

    @property
    def cache(self) -> Cache:
        """The newest batches."""

    def names_of(self, partition_ids: Iterable[int]) -> Names:
        """What the sidecars say of partitions."""

    def in_background(self, work: Callable[[], None]) -> None:
        """Run something off the loop, or here where there is no disk to wait for."""


class Segment:
    """A file of the journal that covers the LSNs `first_lsn` to `end_lsn`, exclusive."""

    __slots__ = ("_file", "_index", "_index_file", "_journal", "end_lsn", "first_lsn", "name", "sealed")

    def __init__(self, journal: Store, name: str, first_lsn: int, end_lsn: int, file: File | None) -> None:
        self._journal = journal
        self.name = name
        self.first_lsn = first_lsn
        self.end_lsn = end_lsn
        self.sealed = False
        self._file = file
        self._index: ActiveIndex | SealedIndex = ActiveIndex()
        self._index_file: File | None = None

    @property
    def index_name(self) -> str:
        """The sidecar's file."""
        return self.name.removesuffix(LOG_SUFFIX) + INDEX_SUFFIX

    @property
    def size_bytes(self) -> int:
        """Bytes of journal in it."""
        return self.end_lsn - self.first_lsn

    # ---- the index ----------------------------------------------------------------------------------------------

    def add(  # noqa: PLR0913 - a row of the index
        self, partition: int, base: int, end: int, lsn: int, length: int, flags: int, max_timestamp_ms: int
    ) -> None:
        """Index a batch of the active segment, live or while it is scanned."""
        if isinstance(self._index, ActiveIndex):
            packed = length | (flags & FLAG_BITS)
            self._index.add(partition, base, end, lsn - self.first_lsn, packed, max_timestamp_ms)

    def may_hold(self, partition: int) -> bool:
        """False when it certainly holds nothing of a partition."""
        index = self._index
        return index.bounds(partition) is not None if isinstance(index, ActiveIndex) else index.may_hold(partition)

    def bounds(self, partition: int) -> tuple[int, int] | None:
        """First offset and end offset of a partition in it."""
        return self._index.bounds(partition)

    def rows(self, partition: int, offset: int, limit: int) -> list[Row]:
        """Up to `limit` rows from the batch that holds or follows an offset."""
        return self._index.rows(partition, offset, limit)

    def first_after_time(self, partition: int, time_ms: int) -> Row | None:
        """The first batch with a record timestamp at or after a time."""
        return self._index.first_after_time(partition, time_ms)

    def partitions(self) -> list[int]:
        """Ids of the partitions that have a batch in it."""
        return list(self._index.partitions())

    def names(self) -> Names:
        """Partition id to namespace, topic, index and topic uuid, as far as the sidecar tells."""
        return self._index.names() if isinstance(self._index, SealedIndex) else {}

    def seal(self) -> None:
        """Nothing is added any more: write the sidecar, in the background where there is a disk."""
        self.sealed = True
        index = self._index
        names = self._journal.names_of(index.partitions()) if isinstance(index, ActiveIndex) else {}
        self._journal.in_background(lambda: self.write_sidecar(names))

    def write_sidecar(self, names: Names) -> None:
        """Write the index beside the file and use it from there, which frees the memory."""
        index = self._index
        if isinstance(index, ActiveIndex):
            content = encode_sidecar(index, self.first_lsn, self.end_lsn, self._journal.store, names)
            replace(self._journal.storage, self.index_name, content)
            self.open_sidecar()

    def open_sidecar(self) -> None:
        """Use the index on disk.

        Raises:
            IndexInvalid: it is not there, or not what was written; scan the segment instead.
        """
        try:
            file = self._journal.storage.open(self.index_name)
        except OSError as error:
            raise IndexInvalid(f"{self.index_name}: {error}") from error
        try:
            self._index = SealedIndex(
                file.pread, file.size(), self._journal.store, self.first_lsn, self.end_lsn, self._journal.index_cache
            )
        except BaseException:
            file.close()
            raise
        self._index_file = file
        self.sealed = True

    # ---- the bytes ----------------------------------------------------------------------------------------------

    def file(self) -> File:
        """The journal file, opened when first needed."""
        if self._file is None:
            self._file = self._journal.storage.open(self.name)
        return self._file

    def batch_at(self, partition: Partition, row: Row, *, wait: bool) -> bytes | None:
        """The batch of a row, placed for the partition; None when it is not at hand and `wait` is False.

        Raises:
            Damaged: the bytes are not what was written there.
        """
        data = self._journal.cache.get(self.first_lsn + row.position)
        if data is None:
            length = row.length & ~FLAG_BITS
            entry = self.file().pread(length, row.position) if wait else self.file().pread_now(length, row.position)
            if entry is None:
                return None
            data = form.read_records(self._journal.checksums, entry, partition.id, row.base_offset)
            if data is None:
                lost = f"{self.name} from byte {row.position}: offsets {row.base_offset} to {row.end_offset - 1}"
                raise Damaged(self._journal.storage.directory, [f"{lost} of partition {partition.id}"])
        return batches.place(data, row.base_offset, partition.epoch_of(row.base_offset))

    def read_ahead(self, rows: Sequence[Row]) -> None:
        """Ask for the pages of the next entries, so that a catch-up read waits for the disk once and not per entry."""
        file = self.file()
        for row in rows[:READ_AHEAD_ENTRIES]:
            file.advise(row.position, row.length & ~FLAG_BITS)

    def use(self, file: File) -> None:
        """Read through the file that the commit writes."""
        self.forget_file()
        self._file = file

    def forget_file(self) -> None:
        """The name stands for another file now."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def unlink(self) -> None:
        """Remove both files; the caller syncs the folder."""
        self.close()
        storage = self._journal.storage
        for name in (self.index_name, self.name):
            if storage.exists(name):
                storage.unlink(name)

    def close(self) -> None:
        """Close the files."""
        for file in (self._file, self._index_file):
            if file is not None:
                file.close()
