"""The copy of neighbouring segments into one file that owns their range, without what is dead in them.

It works in small steps on whatever thread takes them, and leaves the sources as they are. It never gives a target its
name before every byte of it was synced, read back and verified, and copies nothing that was not as it was written.

Spec: docs/formats/journal.md, section 10.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import google_crc32c

from isthmus.errors import Damaged, InvalidBatch, UnsupportedCompression
from isthmus.limits import COMPACT_HORIZON_MS, GROUP_BYTES_TARGET, MIB
from isthmus.log import batch as batches
from isthmus.log import commit, facts
from isthmus.log import format as form
from isthmus.log.keys import Offsets
from isthmus.log.scan import Group, GroupReader
from isthmus.log.segment import LOG_SUFFIX, Segment, compacted_stem
from isthmus.log.segment import Store as SegmentStore
from isthmus.log.storage import TEMPORARY_SUFFIX, File, write_all
from isthmus.ranges import RangeSet

_READ_BYTES: Final = 1 * MIB


class Keyed(NamedTuple):
    """What a pass by key has found out about one partition.

    `alone` and `above` are newest tombstones: those may be given their last day now, these only when all of what they
    delete goes in the same pass, `whole`. A batch of `last_batches` (base offsets) stays, if need be empty.
    """

    dead: Offsets
    alone: Offsets
    above: Offsets
    whole: bool
    delete_horizon_ms: int
    last_batches: frozenset[int]


class Store(SegmentStore, Protocol):
    """What a copy asks of the journal whose segments it reads."""

    epoch: int

    def log_start(self, partition: int) -> int | None:
        """Below it a partition's records are dead; None when it is gone."""


class Copied(NamedTuple):
    """What a copy did: bytes of the sources and of the target; records and tombstones left out by key.

    `kept_whole` are batches that could not be decoded here, and were copied as they are.
    """

    source_bytes: int
    target_bytes: int
    records: int
    kept_whole: int


class NotShorter(Exception):
    """The target would not be shorter than the range that it owns: there is nothing to be won."""


class Copy:
    """One run of sources and their target; see the module text. `steps` does all of it but the change of hands."""

    def __init__(
        self,
        journal: Store,
        sources: Sequence[Segment],
        keyed: Mapping[int, Keyed],
        finished: Mapping[int, RangeSet] = MappingProxyType({}),
    ) -> None:
        self.sources = tuple(sources)
        first, end = sources[0].first_lsn, sources[-1].end_lsn
        generation = 1 + max(source.generation for source in sources)
        name = f"{commit.JOURNAL}/{compacted_stem(first, end, generation)}{LOG_SUFFIX}"
        self.target = Segment(journal, name, first, end, generation)
        self.swap: facts.Swap | None = None
        """Set when the target is there under its name."""
        self.records = self.kept_whole = 0
        self.finished_bytes: dict[int, int] = {}
        """Bytes that went by partition, though they lay above its log start."""
        self._journal = journal
        self._keyed = keyed
        self._finished = finished
        self._position = 0
        self._crc: int = journal.checksums.entry
        self._prev_crc = 0
        self._entries: list[bytes] = []
        self._size = 0
        self._from_ms: int | None = None
        self._time_ms = 0

    @property
    def temporary(self) -> str:
        """The target's name until it is whole."""
        return self.target.name + TEMPORARY_SUFFIX

    def done(self) -> Copied:
        """What was done, when all steps were taken."""
        size = sum(source.size_bytes for source in self.sources)
        return Copied(size, self._position, self.records, self.kept_whole)

    def steps(self) -> Generator[int]:
        """The work in pieces: each gives the bytes that it read.

        Raises:
            Damaged: a source is not as it was written; it is `rotten` from now on.
            NotShorter: nothing was won.
            OSError: the disk failed or is full.
        """
        storage = self._journal.storage
        try:
            self._remove(self.temporary)
            with contextlib.closing(storage.open(self.temporary, write=True, create=True)) as file:
                yield from self._fill(file)
                self._sync(file)
            yield from self._verify()
            self._name()
        except BaseException:
            with contextlib.suppress(OSError):
                self._remove(self.temporary)
                self._remove(self.target.name)
            raise

    @staticmethod
    def _sync(file: File) -> None:
        file.sync()

    def _name(self) -> None:
        """Give the target its name and its sidecar; it counts when the fact is durable that is made here."""
        storage, target = self._journal.storage, self.target
        storage.rename(self.temporary, target.name)
        storage.sync_folder(commit.JOURNAL)
        self._journal.files.forget(target.name)
        target.write_sidecar(self._journal.names_of(target.partitions()))
        target.sealed = True
        names = tuple(source.name for source in self.sources)
        self.swap = facts.Swap(names, target.name, target.first_lsn, target.end_lsn, self._position, self._crc)

    def _remove(self, name: str) -> None:
        if self._journal.storage.exists(name):
            self._journal.storage.unlink(name)

    # ---- writing --------------------------------------------------------------------------------------------------

    def _fill(self, file: File) -> Iterator[int]:
        first, end = self.target.first_lsn, self.target.end_lsn
        for group in self._groups():
            time_ms = group.header.time_ms
            if self._from_ms is None:
                opened = facts.encode(facts.SegmentOpened(self._journal.store, first, end - first, time_ms))
                self._add(file, form.encode_fact_entry(self._journal.checksums, 0, opened), time_ms)
            for view, entry, payload in _entries(group):
                kept = self._kept(view, entry, payload)
                if kept is not None:
                    self._add(file, kept, time_ms)
                yield view.length
            yield form.GROUP_HEADER_BYTES
        self._flush(file)
        if first + self._position >= end:
            raise NotShorter(self.target.name)

    def _groups(self) -> Iterator[Group]:
        """The groups of all sources; bit rot is not copied, and not passed over either."""
        for source in self.sources:
            lsn = source.first_lsn
            for group in source.groups():
                yield group
                lsn = group.end_lsn
            if lsn != source.file_end:
                source.rotten = True
                lost = f"{source.name} from byte {lsn - source.first_lsn} on"
                raise Damaged(self._journal.storage.directory, [lost])

    def _add(self, file: File, entry: bytes, time_ms: int) -> None:
        if self._from_ms is None:
            self._from_ms = self._time_ms = time_ms
        full = self._size + len(entry) > GROUP_BYTES_TARGET
        if self._entries and (full or time_ms - self._from_ms > COMPACT_HORIZON_MS):
            self._flush(file)
            self._from_ms = time_ms
        self._entries.append(entry)
        self._size += len(entry)
        self._time_ms = max(self._time_ms, time_ms)

    def _flush(self, file: File) -> None:
        """Write what was gathered as one group, at the address where the file has come to."""
        buffers, self._prev_crc = form.encode_group(
            self._journal.checksums,
            self.target.first_lsn + self._position,
            0,
            self._journal.epoch,
            self._prev_crc,
            self._time_ms,
            self._entries,
            form.GROUP_COMPACTED,
            self.target.generation,
        )
        write_all(file, buffers, self._position)
        for buffer in buffers:
            self._crc = google_crc32c.extend(self._crc, buffer)
            self._position += len(buffer)
        self._entries, self._size = [], 0

    # ---- what is kept ---------------------------------------------------------------------------------------------

    def _kept(self, view: form.EntryView, entry: bytes, payload: bytes) -> bytes | None:
        """The entry as it goes into the target; None when it does not. Facts are what the checkpoints hold."""
        if view.kind != form.RECORDS:
            return None
        header = batches.header(payload)
        ends = [(partition, base, base + header.last_offset_delta + 1) for partition, base in view.placements]
        above = [each for each in ends if self._is_above_log_start(each[0], each[2])]
        if all(self._is_finished(*each) for each in above):
            for partition, _, _ in above:
                self.finished_bytes[partition] = self.finished_bytes.get(partition, 0) + view.length
            return None
        if len(view.placements) == 1:
            partition, base = view.placements[0]
            keyed = self._keyed.get(partition)
            if keyed is not None and not header.control:
                return self._by_key(keyed, view, entry, payload, header, base)
        return entry

    def _is_above_log_start(self, partition: int, end: int) -> bool:
        log_start = self._journal.log_start(partition)
        return log_start is not None and end > log_start

    def _is_finished(self, partition: int, base: int, end: int) -> bool:
        finished = self._finished.get(partition)
        return finished is not None and finished.covers(base, end)

    def _by_key(
        self,
        keyed: Keyed,
        view: form.EntryView,
        entry: bytes,
        payload: bytes,
        header: batches.BatchHeader,
        base: int,
    ) -> bytes | None:
        """The entry without records that a later one of their key has made useless."""
        end = base + header.last_offset_delta + 1
        unmarked = header.delete_horizon_ms is None
        may_mark = unmarked and (keyed.alone.count(base, end) or keyed.above.count(base, end) * keyed.whole)
        if not keyed.dead.count(base, end) and not may_mark:
            return entry
        try:
            records = batches.decode(payload)
        except (InvalidBatch, UnsupportedCompression):
            self.kept_whole += 1
            return entry
        kept = [record for record in records if record.offset not in keyed.dead]
        tombstones = [record.offset for record in kept if record.value is None]
        mark = unmarked and bool(tombstones) and all(_may_be_marked(keyed, offset) for offset in tombstones)
        if len(kept) == len(records) and not mark:
            return entry
        self.records += len(records) - len(kept)
        if not kept and base not in keyed.last_batches:
            return None
        batch = batches.rebuild(payload, kept, keyed.delete_horizon_ms if mark else None)
        flags = view.flags | form.ENTRY_COMPACTED
        return form.encode_entry(self._journal.checksums, form.RECORDS, flags, view.principal, view.placements, batch)

    # ---- verifying ------------------------------------------------------------------------------------------------

    def _verify(self) -> Iterator[int]:
        """Read back what was written, index it, and be sure of every byte."""
        checksums, target = self._journal.checksums, self.target
        target.length = self._position
        with contextlib.closing(self._journal.storage.open(self.temporary)) as file:
            crc: int = checksums.entry
            for at in range(0, self._position, _READ_BYTES):
                data = file.pread(min(_READ_BYTES, self._position - at), at)
                crc = google_crc32c.extend(crc, data)
                yield len(data)
            lsn = target.first_lsn
            for group in GroupReader(file, lsn, checksums, target.generation).chain(lsn, target.file_end):
                target.note_time(group.header.first_lsn, group.header.time_ms)
                for at, view, payload in group.entries():
                    if form.check_entry(checksums, group.body[view.position : view.position + view.length]) is None:
                        raise self._not_as_written(at)
                    if view.kind == form.RECORDS:
                        target.add_entry(view, payload, at)
                    yield view.length
                lsn = group.end_lsn
        if crc != self._crc or lsn != target.file_end:
            raise self._not_as_written(lsn)

    def _not_as_written(self, lsn: int) -> Damaged:
        lost = f"{self.temporary} from byte {lsn - self.target.first_lsn} on, while it was written; nothing is lost"
        return Damaged(self._journal.storage.directory, [lost])


def _may_be_marked(keyed: Keyed, offset: int) -> bool:
    return offset in keyed.alone or (keyed.whole and offset in keyed.above)


def _entries(group: Group) -> Iterator[tuple[form.EntryView, bytes, bytes]]:
    for _, view, payload in group.entries():
        yield view, group.body[view.position : view.position + view.length], payload
