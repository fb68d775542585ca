"""A walk over the files of a data directory, group by group, that says where valid bytes end and go on.

It changes nothing, takes no lock and trusts no index, so it works beside the process that holds the directory and on a
directory that nothing else can open any more. What a gap means is judged by others.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from isthmus.errors import FormatTooNew, NotAStore
from isthmus.limits import KIB
from isthmus.log import chain, checkpoint, commit, facts
from isthmus.log import format as form
from isthmus.log.recovery import FORMAT, FORMAT_VERSION, StoreFormat
from isthmus.log.scan import Group, GroupReader
from isthmus.log.segment import INDEX_SUFFIX, LOG_SUFFIX, FileName, compacted_stem, file_name_of
from isthmus.log.storage import File, Storage, read_all

PARTITION_BITS: Final = 16
LSN_DIGITS: Final = 20


class SegmentFile(NamedTuple):
    """A segment's file; `end_lsn` is known, and `generation` not 0, when compaction wrote it."""

    name: str
    first_lsn: int
    end_lsn: int | None
    generation: int


class Piece(NamedTuple):
    """A valid group in the file that starts at `first_lsn`."""

    file: str
    first_lsn: int
    group: Group

    @property
    def lsn(self) -> int:
        """The LSN of the group."""
        return self.group.header.first_lsn


class Gap(NamedTuple):
    """Bytes between two LSNs that hold no valid group; `file` is empty when they are in no file at all.

    `tail` says that nothing valid follows in the last file: what is there may never have been promised.
    """

    file: str
    first_lsn: int
    start: int
    end: int
    tail: bool = False


class Entry(NamedTuple):
    """An entry with its LSN, its whole bytes and its payload."""

    lsn: int
    view: form.EntryView
    data: bytes
    payload: bytes


@dataclass
class Names:
    """What topics and groups are called, from every fact and sidecar that was seen."""

    topics: dict[int, str] = field(default_factory=dict)
    queues: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    default: str = "default"

    def learn(self, fact: facts.AnyFact) -> None:
        """Take the name that a fact gives to something."""
        match fact:
            case facts.TopicSet():
                self.topics[fact.id] = self._name(fact.namespace, fact.name)
            case facts.QueueSet():
                self.queues[fact.id] = self._name(fact.namespace, fact.name)
            case facts.GroupSet():
                self.groups[fact.id] = self._name(fact.namespace, fact.name)
            case _:
                pass

    def learn_partition(self, partition: int, namespace: str, topic: str) -> None:
        """Take the name that a sidecar gives to a partition's topic."""
        self.topics.setdefault(partition >> PARTITION_BITS, self._name(namespace, topic))

    def _name(self, namespace: str, name: str) -> str:
        return name if namespace == self.default else f"{namespace}:{name}"

    def topic(self, partition: int) -> str:
        """The topic of a partition, by its number when nothing named it."""
        topic = partition >> PARTITION_BITS
        return self.topics.get(topic, f"#{topic}")

    def partition(self, partition: int) -> str:
        """`topic/index`."""
        return f"{self.topic(partition)}/{index_of(partition)}"


def index_of(partition: int) -> int:
    """The index of a partition in its topic."""
    return partition & (1 << PARTITION_BITS) - 1


@dataclass
class Store:
    """A data directory as files: what its FORMAT file says and what can be listed."""

    storage: Storage
    format: int
    uuid: bytes
    checksums: form.Checksums
    names: Names = field(default_factory=Names)

    @classmethod
    def open(cls, storage: Storage) -> "Store":
        """Read the FORMAT file.

        Raises:
            NotAStore: there is none, or it cannot be read.
            FormatTooNew: it is of a later version.
        """
        if not storage.exists(FORMAT):
            raise NotAStore(storage.directory, "it has no FORMAT file")
        try:
            content = read_all(storage, FORMAT, 4 * KIB)
            version = msgspec.json.decode(content, type=dict[str, object]).get("format")
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise FormatTooNew(storage.directory, version, FORMAT_VERSION)
            stored = msgspec.json.decode(content, type=StoreFormat)
            if stored != StoreFormat.of(stored.format, stored.store):
                raise ValueError("its checksum is wrong")
            store_uuid = bytes.fromhex(stored.store)
        except (msgspec.MsgspecError, ValueError) as error:
            raise NotAStore(storage.directory, f"its FORMAT file is damaged ({error}); restore it") from error
        return cls(storage, stored.format, store_uuid, form.Checksums(store_uuid))

    def segments(self) -> list[SegmentFile]:
        """The files of the segments that count, in order: sources of a compaction while all of them are there."""
        return [_segment_file(file) for file in chain.by_coverage(self._segment_names(), self._size_of)]

    def _segment_names(self) -> list[FileName]:
        stems = (
            name.removesuffix(LOG_SUFFIX) for name in self.storage.list(commit.JOURNAL) if name.endswith(LOG_SUFFIX)
        )
        return [found for stem in stems if (found := file_name_of(stem)) is not None]

    def _size_of(self, file: FileName) -> int:
        try:
            opened = self.storage.open(_segment_file(file).name)
        except FileNotFoundError:  # a running owner has removed it
            return 0
        with contextlib.closing(opened):
            return opened.size()

    def strangers(self) -> list[str]:
        """Files in the store's folders that nobody will read: left over, or unknown."""
        used = {segment.name.removesuffix(LOG_SUFFIX) for segment in self.segments()}
        journal = [f"{commit.JOURNAL}/{name}" for name in self.storage.list(commit.JOURNAL)]
        unknown = [name for name in self.storage.list(checkpoint.FOLDER) if not is_named(name, checkpoint.SUFFIX)]
        return [
            *(path for path in journal if path != commit.SPARE and not _counts(path, used)),
            *(f"{checkpoint.FOLDER}/{name}" for name in unknown),
        ]


def _counts(path: str, used: set[str]) -> bool:
    """Whether a file of the journal is a segment in use, or a sidecar that its segment may have."""
    stem, _, suffix = path.rpartition(".")
    found = file_name_of(stem.rpartition("/")[2])
    if found is None or f".{suffix}" not in (LOG_SUFFIX, INDEX_SUFFIX):
        return False
    return stem in used or (f".{suffix}" == INDEX_SUFFIX and not found.generation)


def entries(group: Group) -> Iterator[Entry]:
    """The entries of a group."""
    for lsn, view, payload in group.entries():
        yield Entry(lsn, view, group.body[view.position : view.position + view.length], payload)


def _segment_file(file: FileName) -> SegmentFile:
    if file.end_lsn is None:
        return SegmentFile(commit.segment_name(file.first_lsn), file.first_lsn, None, 0)
    stem = compacted_stem(file.first_lsn, file.end_lsn, file.generation)
    return SegmentFile(f"{commit.JOURNAL}/{stem}{LOG_SUFFIX}", file.first_lsn, file.end_lsn, file.generation)


def is_named(name: str, suffix: str) -> bool:
    """Whether a file is named by an LSN with that suffix."""
    stem = name.removesuffix(suffix)
    return name.endswith(suffix) and len(stem) == LSN_DIGITS and stem.isascii() and stem.isdecimal()


class Walk:
    """One pass over the journal from an LSN on. `durable_lsn` grows with what is read; start it with what is known.

    `ends` tells where sealed files that were read through may be said to end: what is missing between two of them
    may be counted to the first. `vanished` are files that were listed and gone when they were to be read: a running
    owner removed them. `unreadable` are those that the system failed to read, with what it said; the rest of such a
    file is a gap.
    """

    def __init__(self, store: Store, *, from_lsn: int = 0, durable_lsn: int = 0) -> None:
        self._store = store
        self._from_lsn = from_lsn
        self.durable_lsn = durable_lsn
        self.end_lsn = 0
        self.ends: dict[str, tuple[int, ...]] = {}
        self.vanished: list[str] = []
        self.unreadable: list[tuple[str, str]] = []
        self.files: list[SegmentFile] = store.segments()
        if self.files:
            # A segment gets its name only after everything below it was synced.
            self.durable_lsn = max(self.durable_lsn, self.files[-1].first_lsn)

    @property
    def total_bytes(self) -> int:
        """Bytes of the files that the walk reads, including what is allocated and not yet used."""
        total = 0
        for segment in self._wanted():
            try:
                file = self._store.storage.open(segment.name)
            except FileNotFoundError:
                continue
            total += file.size()
            file.close()
        return total

    def _wanted(self) -> list[SegmentFile]:
        ends = [segment.first_lsn for segment in self.files[1:]]
        kept = [row for row, end in zip(self.files, ends, strict=False) if end > self._from_lsn]
        return [*kept, *self.files[-1:]]

    def __iter__(self) -> Iterator[Piece | Gap]:
        """Groups and gaps in LSN order; a missing file between two others is a gap, too."""
        wanted = self._wanted()
        at = self._from_lsn
        for position, segment in enumerate(wanted):
            if segment.first_lsn > at:
                yield Gap("", at, at, segment.first_lsn)
            following = wanted[position + 1].first_lsn if position + 1 < len(wanted) else None
            end = segment.end_lsn if segment.end_lsn is not None else following
            try:
                file = self._store.storage.open(segment.name)
            except FileNotFoundError:
                self.vanished.append(segment.name)
                at = segment.first_lsn
                continue
            try:
                if segment.end_lsn is not None:
                    yield from self._compacted(segment, segment.end_lsn, file)
                else:
                    yield from self._segment(segment.name, segment.first_lsn, following, file)
            except OSError as error:
                self.unreadable.append((segment.name, error.strerror or str(error)))
                lost_to = end or max(self.end_lsn, self.durable_lsn)
                yield Gap(segment.name, segment.first_lsn, self.end_lsn, lost_to)
            finally:
                file.close()
            at = max(self.end_lsn, end or 0)

    def _compacted(self, segment: SegmentFile, end_lsn: int, file: File) -> Iterator[Piece | Gap]:
        """The groups of a compacted file; what they are found by are addresses in the range that it owns."""
        reader = GroupReader(file, segment.first_lsn, self._store.checksums, segment.generation)
        lsn, stop = segment.first_lsn, segment.first_lsn + reader.size
        while lsn < stop:
            for group in reader.chain(lsn, stop):
                lsn = self.end_lsn = group.end_lsn
                if lsn > self._from_lsn:
                    yield Piece(segment.name, segment.first_lsn, group)
            if lsn < stop:
                behind = (header.first_lsn for header in reader.headers_behind(lsn) if reader.at(header.first_lsn))
                bad, lsn = lsn, next(behind, stop)
                yield Gap(segment.name, segment.first_lsn, bad, lsn)
        self.end_lsn = end_lsn
        self.ends[segment.name] = (end_lsn,)

    def _segment(self, name: str, first_lsn: int, following: int | None, file: File) -> Iterator[Piece | Gap]:
        lsn: int | None = first_lsn
        self.end_lsn = max(self.end_lsn, first_lsn)
        last: form.GroupHeader | None = None
        while lsn is not None:
            reader = GroupReader(file, first_lsn, self._store.checksums)
            for group in reader.chain(lsn, following):
                if not _follows(last, group.header):
                    break
                last = group.header
                self.durable_lsn = max(self.durable_lsn, last.durable_lsn)
                lsn = self.end_lsn = group.end_lsn
                if lsn > self._from_lsn:
                    yield Piece(name, first_lsn, group)
            if lsn == following:
                self.ends[name] = (lsn,)
                return
            gap = self._behind(file, first_lsn, lsn, following, last)
            if gap is None:
                continue
            inside = gap.start < first_lsn + reader.size
            if following is not None and gap.end == following:
                self.ends[name] = (following,) if inside else (gap.start, following)
            if gap.end > gap.start:
                yield gap._replace(file=name if inside else "")
            lsn, last = None if gap.tail or gap.end == following else gap.end, None

    def _behind(
        self, file: File, first_lsn: int, bad: int, following: int | None, last: form.GroupHeader | None
    ) -> Gap | None:
        """The gap behind the last valid group; None when the owner has written there since, so that it is none."""
        reader = GroupReader(file, first_lsn, self._store.checksums)
        next_valid: int | None = None
        for header in reader.headers_behind(bad):
            if following is not None and header.end_lsn > following:
                break
            # What a header says holds even when the body behind it was torn.
            self.durable_lsn = max(self.durable_lsn, header.durable_lsn)
            if next_valid is None and reader.at(header.first_lsn) is not None:
                next_valid = header.first_lsn
        # Whoever promised that more is durable had written it before: only what is bad in a new look is bad.
        found = GroupReader(file, first_lsn, self._store.checksums).at(bad)
        if found is not None and _follows(last, found.header):
            return None
        if following is not None:
            return Gap("", first_lsn, bad, following if next_valid is None else next_valid)
        if next_valid is not None and self.durable_lsn > bad:
            return Gap("", first_lsn, bad, next_valid)
        return Gap("", first_lsn, bad, max(bad + reader.used_behind(bad), self.durable_lsn), tail=True)


def _follows(last: form.GroupHeader | None, header: form.GroupHeader) -> bool:
    return last is None or (header.prev_crc == last.crc and header.epoch >= last.epoch)
