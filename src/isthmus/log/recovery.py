"""Opening a store: find the tail, tell a torn one from damage, rebuild the state, and leave nothing in doubt.

A sequence of steps, each of which may be cut short by a crash and done again. It is the only code that cuts the
journal, and it never cuts what is known to have been durable.

The rule: the first bad group is at LSN *d*; *w* is the highest LSN below which everything is known to have been synced
(from any valid group behind *d*, from a checkpoint's footer, from the name of a later segment, which is given only
after its predecessor was synced). *w* > *d* is damage: acknowledged bytes are gone. Otherwise the tail was torn by a
crash and is cut at *d*.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from isthmus.errors import FormatTooNew, NotAStore
from isthmus.limits import KIB, MIB
from isthmus.log import batch as batches
from isthmus.log import checkpoint, commit, facts
from isthmus.log import format as form
from isthmus.log.index import IndexInvalid
from isthmus.log.journal import Journal, Promotion, merge_ranges
from isthmus.log.segment import INDEX_SUFFIX, LOG_SUFFIX, Segment
from isthmus.log.storage import File, Storage, read_all, replace, write_all

FORMAT: Final = "FORMAT"
FORMAT_VERSION: Final = 1
QUARANTINE: Final = "quarantine"
TEMPORARY: Final = ".tmp"
FOLDERS: Final = (commit.JOURNAL, checkpoint.FOLDER, QUARANTINE)
OWN_FILES: Final = frozenset({FORMAT, "LOCK", commit.RESERVE})
READ_BYTES: Final = 4 * MIB
REOPEN_TRIES: Final = 5


class StoreFormat(msgspec.Struct, frozen=True):
    """The FORMAT file: version of the layout and the store's uuid in hex."""

    format: int
    store: str


@dataclass(slots=True)
class OpenReport:
    """What opening found and did. `cut_bytes` were never acknowledged; `damage` names ranges that were."""

    created: bool = False
    checkpoint_lsn: int = 0
    scanned_bytes: int = 0
    cut_bytes: int = 0
    copied_tail: bool = False
    epoch: int = 0
    damage: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)


class Group(NamedTuple):
    """A valid commit group as it lies in a file."""

    header: form.GroupHeader
    body: bytes

    @property
    def end_lsn(self) -> int:
        return self.header.end_lsn


class GroupReader:
    """Reads the chain of groups of one segment file, in large steps."""

    def __init__(self, file: File, first_lsn: int, checksums: form.Checksums) -> None:
        self._file = file
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
        if header is None or header.end_lsn - self._first_lsn > self.size:
            return None
        body = self._bytes(position + form.GROUP_HEADER_BYTES, header.body_length)
        return Group(header, body) if form.verify_body(self._checksums, header, body) else None

    def chain(self, lsn: int) -> Iterator[Group]:
        """Valid groups one after the other from an LSN; ends at the first that is not."""
        previous: form.GroupHeader | None = None
        while (group := self.at(lsn)) is not None:
            header = group.header
            if previous is not None and (header.prev_crc != previous.crc or header.epoch < previous.epoch):
                return
            yield group
            previous, lsn = header, group.end_lsn

    def headers_behind(self, lsn: int) -> Iterator[form.GroupHeader]:
        """Every valid group header behind an LSN, wherever it stands."""
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


class Recovery:
    """One opening; see the module text. `run` does all of it but the first commit."""

    def __init__(self, journal: Journal, *, read_only: bool, accept_loss: bool) -> None:
        self.journal = journal
        self.storage: Storage = journal.storage
        self.read_only = read_only
        self.accept_loss = accept_loss
        self.report = OpenReport()
        self.applied_lsn = 0
        self.known_durable = 0
        self.end_lsn = 0
        self.prev_crc = 0
        self.marker: form.GroupHeader | None = None
        self.was_boot_id = ""
        self.lost: list[tuple[int, int]] = []
        self.writer: commit.Writer | None = None

    # ---- steps --------------------------------------------------------------------------------------------------

    @property
    def clean(self) -> bool:
        """Whether the journal ends with the marker of an idle or cleanly stopped process: nothing is in doubt."""
        return self.marker is not None and self.marker.durable_lsn == self.marker.first_lsn

    def run(self) -> None:
        """Recover the state, and make the writer unless the store can only be read."""
        journal = self.journal
        self._open_format()
        if not self.read_only:
            self._sweep()
        self._load_checkpoint()
        self._list_segments()
        self._scan()
        self._find_gaps()
        journal.applied_lsn = journal.written_lsn = self.end_lsn
        journal.durable_lsn = max(self.known_durable, self.applied_lsn)
        self.was_boot_id = journal.boot_id
        self.report.epoch = journal.epoch
        self.report.damage = [self._describe(start, end) for start, end in self.lost]
        if not self.accept_loss:
            journal.damage = tuple(self.report.damage)
        if self.read_only:
            journal.read_only = "opened for reading"
        elif not journal.damage:
            self._drop_removed()
            self._make_writable()

    def _describe(self, start: int, end: int) -> str:
        name = next((s.name for s in self.journal.segments if s.first_lsn <= start < max(s.end_lsn, start + 1)), "")
        return f"journal bytes {start} to {end}" + (f" ({name})" if name else " (file missing)")

    def _open_format(self) -> None:
        storage, journal = self.storage, self.journal
        if not storage.exists(FORMAT):
            self._create()
        try:
            stored = msgspec.json.decode(read_all(storage, FORMAT, 4 * KIB), type=StoreFormat)
            journal.store = bytes.fromhex(stored.store)
        except (msgspec.MsgspecError, ValueError) as error:
            raise NotAStore(storage.directory, f"its FORMAT file cannot be read ({error})") from error
        if stored.format > FORMAT_VERSION:
            raise FormatTooNew(storage.directory, stored.format, FORMAT_VERSION)
        journal.checksums = form.Checksums(journal.store)

    def _create(self) -> None:
        storage = self.storage
        strangers = [name for name in storage.list("") if name not in OWN_FILES and not name.endswith(TEMPORARY)]
        folders = [folder for folder in FOLDERS if storage.list(folder)]
        if strangers or folders:
            raise NotAStore(storage.directory, f"it has no FORMAT file but holds {', '.join(strangers + folders)}")
        if self.read_only:
            raise NotAStore(storage.directory, "it is empty")
        for folder in FOLDERS:
            storage.make_folder(folder)
        storage.sync_folder("")
        replace(storage, FORMAT, msgspec.json.encode(StoreFormat(FORMAT_VERSION, secrets.token_hex(16))))
        self.report.created = True

    def _sweep(self) -> None:
        """Remove what an interrupted step left behind; set aside what nobody knows."""
        storage = self.storage
        for folder in FOLDERS:
            storage.make_folder(folder)
        known = (LOG_SUFFIX, INDEX_SUFFIX)
        for folder, suffixes in ((commit.JOURNAL, known), (checkpoint.FOLDER, (checkpoint.SUFFIX,))):
            touched = False
            for name in storage.list(folder):
                path = f"{folder}/{name}"
                stem = name.rpartition(".")[0]
                if name.endswith(TEMPORARY) or path == commit.SPARE:
                    storage.unlink(path)
                    touched = True
                elif not (name.endswith(suffixes) and len(stem) == 20 and stem.isdecimal()):
                    self._quarantine(path)
            if touched:
                storage.sync_folder(folder)

    def _quarantine(self, path: str) -> None:
        target = f"{QUARANTINE}/{path.replace('/', '-')}-{secrets.token_hex(4)}"
        self.storage.rename(path, target)
        self.storage.sync_folder(path.rpartition("/")[0])
        self.storage.sync_folder(QUARANTINE)
        self.report.quarantined.append(target)

    def _load_checkpoint(self) -> None:
        journal = self.journal
        names = checkpoint.listed(self.storage)
        for name in names:
            found = checkpoint.load(self.storage, journal.checksums, name)
            if found is None:
                if not self.read_only:
                    self._quarantine(name)
                continue
            if not journal.checkpoints:
                self.applied_lsn = self.report.checkpoint_lsn = found.applied_lsn
                self.known_durable = found.durable_lsn
                for fact in found.facts():
                    self._apply(fact, found.applied_lsn)
                journal.checkpoint_bytes = len(found.entries)
            journal.checkpoints.insert(0, found.applied_lsn)

    def _apply(self, fact: facts.AnyFact, lsn: int) -> None:
        applier = self.journal.appliers.get(type(fact))
        if applier is not None:
            applier(fact, lsn)

    def _list_segments(self) -> None:
        journal = self.journal
        firsts = [
            int(name.removesuffix(LOG_SUFFIX))
            for name in self.storage.list(commit.JOURNAL)
            if name.endswith(LOG_SUFFIX) and name.removesuffix(LOG_SUFFIX).isdecimal()
        ]
        for first_lsn in sorted(firsts):
            journal.segments.append(Segment(journal, commit.segment_name(first_lsn), first_lsn, first_lsn, None))
        if journal.segments:
            # A segment gets its name only after everything below it was synced.
            self.known_durable = max(self.known_durable, journal.segments[-1].first_lsn)

    # ---- the scan -----------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        segments = self.journal.segments
        for at, segment in enumerate(segments):
            last = at == len(segments) - 1
            following = None if last else segments[at + 1].first_lsn
            if last or not self._open_sealed(segment, segments[at + 1].first_lsn):
                self._scan_segment(segment, following)

    def _open_sealed(self, segment: Segment, following: int) -> bool:
        """Use the sidecar of a segment that the checkpoint covers whole."""
        if following > self.applied_lsn:
            return False
        segment.end_lsn = following
        try:
            size = segment.file().size()
            segment.open_sidecar()
        except (IndexInvalid, OSError):
            return False
        if size < segment.size_bytes and not self._is_removed(segment.first_lsn + size, following):
            self._lose(segment.first_lsn + size, following)
        return True

    def _is_removed(self, start: int, end: int) -> bool:
        return any(first <= start and end <= last for first, last in self.journal.removed)

    def _scan_segment(self, segment: Segment, following: int | None) -> None:
        """Replay a file group by group; find where it ends and whether that is its end."""
        reader = GroupReader(segment.file(), segment.first_lsn, self.journal.checksums)
        lsn: int | None = segment.first_lsn
        limit = self._read_limit(reader, segment) if following is None else None
        while lsn is not None:
            segment.end_lsn = lsn
            for group in reader.chain(lsn):
                if limit is not None and group.end_lsn > limit:
                    break
                self._replay(segment, group)
                segment.end_lsn = group.end_lsn
            self.report.scanned_bytes += segment.end_lsn - lsn
            lsn = self._after_bad(reader, segment, following)
        self.end_lsn = segment.end_lsn

    def _read_limit(self, reader: GroupReader, segment: Segment) -> int | None:
        """Beside a running owner nothing above its durable LSN is shown."""
        if not self.read_only or self.storage.lock_holder() is None:
            return None
        for group in reader.chain(segment.first_lsn):
            self.known_durable = max(self.known_durable, group.header.durable_lsn)
        return self.known_durable

    def _after_bad(self, reader: GroupReader, segment: Segment, following: int | None) -> int | None:
        """Judge the first bad group; returns where valid groups go on behind damage, None at the end of the file."""
        bad = segment.end_lsn
        if bad == following:
            return None
        next_valid: int | None = None
        for header in reader.headers_behind(bad):
            if header.first_lsn < bad or reader.at(header.first_lsn) is None:
                continue
            self.known_durable = max(self.known_durable, header.durable_lsn)
            if next_valid is None:
                next_valid = header.first_lsn
        end = following if following is not None else self.known_durable
        if following is None and self.known_durable <= bad:
            self.report.cut_bytes += reader.used_behind(bad)
            return None
        if next_valid is not None and (following is None or next_valid < following):
            self._lose(bad, next_valid)
            return next_valid
        if not self._is_removed(bad, end):
            self._lose(bad, end)
        if following is not None:
            segment.end_lsn = following
        return None

    def _lose(self, start: int, end: int) -> None:
        """Note damage, unless an operator accepted it before."""
        accepted = [row for loss in self.journal.accepted for row in loss.ranges]
        if not any(first <= start and end <= last for first, last in accepted):
            self.lost.append((start, end))

    def _replay(self, segment: Segment, group: Group) -> None:
        journal, header = self.journal, group.header
        self.known_durable = max(self.known_durable, header.durable_lsn)
        self.marker = None if header.entry_count else header
        # A marker at the end is overwritten by the next group: nothing that matters hangs on its being on disk.
        self.prev_crc = header.prev_crc if self.marker else header.crc
        journal.time_ms = max(journal.time_ms, header.time_ms)
        journal.epoch = max(journal.epoch, header.epoch)
        lsn = header.first_lsn + form.GROUP_HEADER_BYTES
        promotion = Promotion(journal, segment, header.time_ms)
        for view in form.iter_entries(group.body) or ():
            payload = group.body[view.payload_start : view.payload_start + view.payload_length]
            at = lsn + view.position
            if view.kind == form.RECORDS:
                self._replay_records(segment, promotion, view, payload, at)
            elif at >= self.applied_lsn:
                self._apply(facts.decode(payload), at)

    def _replay_records(
        self, segment: Segment, promotion: Promotion, view: form.EntryView, payload: bytes, lsn: int
    ) -> None:
        journal, header = self.journal, batches.header(payload)
        for partition_id, base in view.placements:
            partition = journal.partitions.get(partition_id)
            if partition is None or lsn < self.applied_lsn:
                # Nobody's (yet, or any more), or known from the checkpoint: findable, and no more.
                end = base + header.last_offset_delta + 1
                segment.add(partition_id, base, end, lsn, view.length, view.flags, header.max_timestamp_ms)
                continue
            promotion.records(partition, base, lsn, view.length, view.flags, header)
            if view.flags & form.ENTRY_ATTRIBUTES:
                promotion.attributes((partition,), (base,), payload)

    def _find_gaps(self) -> None:
        """Files must chain from LSN 0; a gap is legal only where segments were removed on purpose."""
        at = 0
        for segment in self.journal.segments:
            for start, end in subtract((at, segment.first_lsn), self.journal.removed):
                self._lose(start, end)
            at = max(at, segment.end_lsn)
        if at < self.known_durable:
            for start, end in subtract((at, self.known_durable), [*self.journal.removed, *self.lost]):
                self._lose(start, end)
        self.end_lsn = max(self.end_lsn, at)

    # ---- making it writable ---------------------------------------------------------------------------------------

    def _drop_removed(self) -> None:
        """Finish removals that a crash interrupted."""
        journal, storage = self.journal, self.storage
        keep: list[Segment] = []
        for segment in journal.segments:
            whole = segment.end_lsn > segment.first_lsn and self._is_removed(segment.first_lsn, segment.end_lsn)
            if whole and segment is not journal.segments[-1]:
                segment.unlink()
            else:
                keep.append(segment)
        firsts = {segment.index_name for segment in keep}
        for name in storage.list(commit.JOURNAL):
            if name.endswith(INDEX_SUFFIX) and f"{commit.JOURNAL}/{name}" not in firsts:
                storage.unlink(f"{commit.JOURNAL}/{name}")
        if len(keep) != len(journal.segments):
            storage.sync_folder(commit.JOURNAL)
        journal.segments = keep

    def _make_writable(self) -> None:
        journal = self.journal
        if self.lost:
            self._keep_damaged()
        for segment in journal.segments if self.lost else journal.segments[:-1]:
            segment.write_sidecar(journal.names_of(segment.partitions()))
        if not journal.segments or self.lost:
            self._open_segment(self.end_lsn)
        else:
            self._persist_tail(journal.segments[-1])
        active = journal.segments[-1]
        file = self.storage.open(active.name, write=True)
        active.use(file)
        position = active.end_lsn - active.first_lsn
        self.writer = commit.Writer(
            storage=self.storage,
            clock=journal.clock,
            checksums=journal.checksums,
            store=journal.store,
            segment_bytes=journal.options.segment_bytes,
            epoch=journal.epoch + 1,
            file=file,
            first_lsn=active.first_lsn,
            position=position,
            capacity=file.size(),
            prev_crc=self.prev_crc if position else 0,
            durable_lsn=active.end_lsn,
            time_ms=journal.time_ms,
            fresh=position == 0,
        )

    def _open_segment(self, first_lsn: int) -> None:
        """The first segment of a new store, or the one behind accepted damage."""
        storage, journal = self.storage, self.journal
        name = commit.segment_name(first_lsn)
        commit.allocate(storage, commit.SPARE, journal.options.segment_bytes)
        storage.rename(commit.SPARE, name)
        storage.sync_folder(commit.JOURNAL)
        journal.segments.append(Segment(journal, name, first_lsn, first_lsn, None))

    def _keep_damaged(self) -> None:
        """An operator accepted the loss: the damaged files stay as they are, what is missing counts as removed."""
        journal = self.journal
        self.end_lsn = max(self.end_lsn, self.known_durable + -self.known_durable % form.ALIGNMENT)
        at, gaps = 0, list[tuple[int, int]]()
        for segment in journal.segments:
            gaps.append((at, segment.first_lsn))
            at = segment.end_lsn
        if journal.segments:
            journal.segments[-1].end_lsn = self.end_lsn
        else:
            gaps.append((0, self.end_lsn))
        journal.removed = merge_ranges([*journal.removed, *(gap for gap in gaps if gap[0] < gap[1])])

    def _persist_tail(self, active: Segment) -> None:
        """Leave nothing in doubt: cut what is torn, and put what may be in the page cache only into a new file.

        A sync that failed once must not be trusted to succeed later with the same pages, so the doubtful tail is
        copied and the copy is synced before anything of it is shown.
        """
        if self.clean and self.marker is not None:
            active.end_lsn = self.end_lsn = self.marker.first_lsn
        length = active.end_lsn - active.first_lsn
        if active.end_lsn > self.known_durable:
            self._copy_active(active, length)
            self.report.copied_tail = True
        elif self.report.cut_bytes:
            file = self.storage.open(active.name, write=True)
            size = file.size()
            file.truncate(length)
            file.allocate(size)
            file.sync()
            file.close()

    def _copy_active(self, active: Segment, length: int) -> None:
        storage = self.storage
        temporary = active.name + TEMPORARY
        source = active.file()
        target = storage.open(temporary, write=True, create=True)
        target.allocate(max(source.size(), length))
        for start in range(0, length, READ_BYTES):
            write_all(target, [source.pread(min(READ_BYTES, length - start), start)], start)
        target.sync()
        target.close()
        storage.rename(temporary, active.name)
        storage.sync_folder(commit.JOURNAL)
        active.forget_file()


def subtract(whole: tuple[int, int], parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of a range no part covers."""
    left: list[tuple[int, int]] = []
    at, end = whole
    for first, last in merge_ranges(parts):
        if last <= at or first >= end:
            continue
        if first > at:
            left.append((at, first))
        at = max(at, last)
    if at < end:
        left.append((at, end))
    return left


async def open_journal(journal: Journal, *, read_only: bool = False, accept_loss: bool = False) -> OpenReport:
    """Open a store: take the lock, recover, and begin a new epoch. Registered appliers see every fact.

    Damage does not raise here: the journal is open for reading then, and writing raises `Damaged`; with
    `accept_loss` the store goes on behind it and remembers what was given up.

    Raises:
        DirectoryInUse, NotAStore, FormatTooNew: nothing was changed.
        OSError: the disk failed; nothing is exposed.
    """
    storage = journal.storage
    if not read_only:
        storage.lock()
    recovery = Recovery(journal, read_only=read_only, accept_loss=accept_loss)
    try:
        await journal.run(recovery.run)
        if recovery.writer is not None:
            journal.start(recovery.writer)
            await _begin_epoch(recovery)
    except BaseException:
        if not read_only:
            storage.unlock()
        raise
    return recovery.report


async def _begin_epoch(recovery: Recovery) -> None:
    """The first group of this opening; nothing is exposed before it is durable."""
    journal = recovery.journal
    boot_id = journal.storage.boot_id()
    unit = journal.unit()
    epoch = journal.epoch + 1
    unit.fact(facts.StoreOpened(epoch, boot_id, journal.clock.now_ms()))
    if not recovery.clean and recovery.was_boot_id not in ("", boot_id):
        for partition in journal.partitions.values():
            if partition.level == "written":
                # Offsets that readers saw may be bound anew: the epoch list tells them from where.
                unit.fact(partition.state([*partition.epochs, (epoch, partition.next_offset)]))
    if recovery.lost:
        report = "; ".join(recovery.report.damage)
        unit.fact(facts.SegmentsRemoved(tuple(journal.removed)))
        unit.fact(facts.LossAccepted(tuple(merge_ranges(recovery.lost)), journal.clock.now_ms(), report))
    await unit.submit()
    recovery.report.epoch = journal.epoch
    if recovery.lost:
        # From here on opening starts behind the damage, whichever checkpoint it uses.
        await checkpoint.take(journal)
        await checkpoint.take(journal)
