"""Opening a store: find the tail, tell a torn one from damage, rebuild the state, and leave nothing in doubt.

A sequence of steps, each of which may be cut short by a crash and done again. It is the only code that cuts the
journal, and it never cuts what is known to have been durable.

The rule: the first bad group is at LSN *d*; *w* is the highest LSN below which everything is known to have been synced
(from any valid group header behind *d*, from a checkpoint's footer, from the name of a later segment, which is given
only after its predecessor was synced). *w* > *d* is damage: acknowledged bytes are gone. Otherwise the tail was torn by
a crash and is cut at *d*.
"""

import contextlib
import errno
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

import google_crc32c
import msgspec

from isthmus.errors import FormatTooNew, NotAStore
from isthmus.limits import IDLE_MARKER_MS, KIB, MIB, REASON_BYTES_MAX
from isthmus.log import batch as batches
from isthmus.log import chain, checkpoint, commit, facts
from isthmus.log import format as form
from isthmus.log.index import IndexInvalid
from isthmus.log.journal import Journal, Orphan, Unit, merge_ranges
from isthmus.log.promotion import Promotion
from isthmus.log.scan import READ_BYTES
from isthmus.log.scan import Group as Group
from isthmus.log.scan import GroupReader as GroupReader
from isthmus.log.segment import INDEX_SUFFIX, LOG_SUFFIX, FileName, Segment, compacted_stem, file_name_of
from isthmus.log.storage import TEMPORARY_SUFFIX, File, Storage, read_all, replace, write_all

FORMAT: Final = "FORMAT"
FORMAT_VERSION: Final = 1
QUARANTINE: Final = "quarantine"
FOLDERS: Final = (commit.JOURNAL, checkpoint.FOLDER, QUARANTINE)
OWN_FILES: Final = frozenset({FORMAT, "LOCK", commit.RESERVE})
REOPEN_TRIES: Final = 10
"""How often reading beside a busy owner is begun anew before what is missing counts as damage."""

_EPOCH_UNIT_BYTES: Final = 1 * MIB
"""New epochs of many partitions go in units of about this size."""


class StoreFormat(msgspec.Struct, frozen=True):
    """The FORMAT file: version of the layout, the store's uuid in hex, and a checksum of both in hex."""

    format: int
    store: str
    check: str

    @classmethod
    def of(cls, version: int, store: str) -> "StoreFormat":
        """With the right checksum: a wrong uuid would make every byte of the store look foreign."""
        return cls(version, store, f"{google_crc32c.value(f'{version} {store}'.encode()):08x}")


@dataclass(slots=True)
class OpenReport:
    """What opening found and did. `cut_bytes` were never acknowledged; `damage` names ranges that were.

    `quarantined` files were set aside; `unreadable` checkpoints were left where they are, and an older one was used.
    """

    created: bool = False
    checkpoint_lsn: int = 0
    scanned_bytes: int = 0
    cut_bytes: int = 0
    copied_tail: bool = False
    epoch: int = 0
    damage: list[str] = field(default_factory=list)
    quarantined: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


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
        self.was_closed = True
        self.lost: list[tuple[int, int]] = []
        self.missing: list[tuple[int, int]] = []
        self.files: list[FileName] = []
        self.left_over: list[FileName] = []
        self.writer: commit.Writer | None = None

    # ---- steps --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Recover the state, and make the writer unless the store can only be read."""
        journal = self.journal
        self._open_format()
        if not self.read_only:
            self._sweep()
        self._load_checkpoint()
        self._list_segments()
        self._scan()
        self._judge()
        journal.applied_lsn = journal.written_lsn = self.end_lsn
        journal.durable_lsn = max(self.known_durable, self.end_lsn)
        self.was_closed = not journal.boot_id
        self.report.epoch = journal.epoch
        self.report.damage = [self._describe(start, end) for start, end in self.lost]
        if not self.accept_loss:
            journal.damage = tuple(self.report.damage)
        if self.read_only:
            journal.read_only = "opened for reading"
        elif not journal.damage:
            self._drop_removed()
            self._make_writable()

    @property
    def clean(self) -> bool:
        """Whether the journal ends with the marker of an idle or stopped process: all that is left of it is durable.

        It does not say that nothing is missing: what was written behind it and never synced may be gone without trace.
        """
        return self.marker is not None and self.marker.durable_lsn == self.marker.first_lsn

    @property
    def has_lost_state(self) -> bool:
        """Whether facts and high watermarks may be among what was lost, and not only records."""
        return bool(self.lost) and self.lost[-1][1] > self.applied_lsn

    def _describe(self, start: int, end: int) -> str:
        before = [segment.name for segment in self.journal.segments if segment.first_lsn <= start]
        is_missing = not before or any(first <= start < last for first, last in self.missing)
        return f"journal bytes {start} to {end} ({'file missing' if is_missing else before[-1]})"

    def _open_format(self) -> None:
        storage, journal = self.storage, self.journal
        if not storage.exists(FORMAT):
            self._create()
        try:
            content = read_all(storage, FORMAT, 4 * KIB)
            version = msgspec.json.decode(content, type=dict[str, object]).get("format")
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise FormatTooNew(storage.directory, version, FORMAT_VERSION)
            stored = msgspec.json.decode(content, type=StoreFormat)
            if stored != StoreFormat.of(stored.format, stored.store):
                raise ValueError("its checksum is wrong")
            journal.store = bytes.fromhex(stored.store)
        except (msgspec.MsgspecError, ValueError) as error:
            raise NotAStore(storage.directory, f"its FORMAT file is damaged ({error}); restore it") from error
        journal.checksums = form.Checksums(journal.store)

    def _create(self) -> None:
        storage = self.storage
        mine = (*OWN_FILES, FORMAT + TEMPORARY_SUFFIX)
        strangers = [name for name in storage.list("") if name not in mine]
        folders = [folder for folder in FOLDERS if storage.list(folder)]
        if strangers or folders:
            raise NotAStore(storage.directory, f"it has no FORMAT file but holds {', '.join(strangers + folders)}")
        if self.read_only:
            raise NotAStore(storage.directory, "it is empty")
        for folder in FOLDERS:
            storage.make_folder(folder)
        storage.sync_folder("")
        stored = StoreFormat.of(FORMAT_VERSION, secrets.token_hex(form.STORE_UUID_BYTES))
        replace(storage, FORMAT, msgspec.json.encode(stored))
        self.report.created = True

    def _sweep(self) -> None:
        """Remove what an interrupted step left behind; set aside what nobody knows; make all names safe.

        The last, because a process that was killed may have renamed without having synced the folder: what is built
        on such a name must not be lost with it.
        """
        storage = self.storage
        for folder in FOLDERS:
            storage.make_folder(folder)
        self._remove(FORMAT + TEMPORARY_SUFFIX)
        known = (LOG_SUFFIX, INDEX_SUFFIX)
        for folder, suffixes in ((commit.JOURNAL, known), (checkpoint.FOLDER, (checkpoint.SUFFIX,))):
            for name in storage.list(folder):
                path = f"{folder}/{name}"
                stem = name.rpartition(".")[0]
                if name.endswith(TEMPORARY_SUFFIX) or path == commit.SPARE:
                    storage.unlink(path)
                elif not name.endswith(suffixes) or not _is_named(folder, stem):
                    self._quarantine(path)
        for folder in ("", *FOLDERS):
            storage.sync_folder(folder)

    def _remove(self, name: str) -> None:
        if self.storage.exists(name):
            self.storage.unlink(name)

    def _quarantine(self, path: str) -> None:
        target = f"{QUARANTINE}/{path.replace('/', '-')}-{secrets.token_hex(4)}"
        self.storage.rename(path, target)
        self.storage.sync_folder(QUARANTINE)
        self.storage.sync_folder(path.rpartition("/")[0])
        self.report.quarantined.append(target)

    def _load_checkpoint(self) -> None:
        """Start from the newest valid one; the older one is read to know whether it could stand in."""
        journal = self.journal
        for name in checkpoint.listed(self.storage):
            found = self._valid_checkpoint(name)
            if found is None:
                continue
            if not journal.checkpoints:
                self.applied_lsn = self.report.checkpoint_lsn = found.applied_lsn
                self.known_durable = found.durable_lsn
                for fact in found.facts():
                    self._apply(fact, found.applied_lsn)
                journal.checkpoint_bytes = len(found.entries)
            journal.checkpoints.insert(0, found.applied_lsn)

    def _valid_checkpoint(self, name: str) -> checkpoint.Checkpoint | None:
        """None for a damaged one, which is set aside, and for one that the disk does not give out (now).

        Raises:
            OSError: it could not be read for a reason that says nothing about its content.
        """
        try:
            found = checkpoint.load(self.storage, self.journal.checksums, name)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.report.unreadable.append(name)
            return None
        if found is None and not self.read_only:
            self._quarantine(name)
        return found

    def _apply(self, fact: facts.AnyFact, lsn: int) -> None:
        applier = self.journal.appliers.get(type(fact))
        if applier is not None:
            applier(fact, lsn)

    def _list_segments(self) -> None:
        stems = (
            name.removesuffix(LOG_SUFFIX) for name in self.storage.list(commit.JOURNAL) if name.endswith(LOG_SUFFIX)
        )
        self.files = [found for stem in stems if (found := file_name_of(stem)) is not None]
        for file in self.files:
            # A segment gets its name only after everything below it was synced.
            self.known_durable = max(self.known_durable, file.first_lsn, file.end_lsn or 0)

    def _segment(self, file: FileName) -> Segment:
        if file.end_lsn is None:
            return Segment(self.journal, commit.segment_name(file.first_lsn), file.first_lsn, file.first_lsn)
        name = f"{commit.JOURNAL}/{compacted_stem(file.first_lsn, file.end_lsn, file.generation)}{LOG_SUFFIX}"
        swap = self.journal.swaps.get(name)
        length = self._size_of(name) if swap is None else swap.length
        return Segment(self.journal, name, file.first_lsn, file.end_lsn, file.generation, length)

    def _size_of(self, name: str) -> int:
        with self.journal.files.use(name) as file:
            return file.size()

    # ---- the scan -----------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        """Go through the files in order; what must be there between and behind them, and is not, is lost.

        What the checkpoint does not cover comes first: only with its facts it is known which of the files below count,
        sources of a compaction or its target.
        """
        tail = [self._segment(file) for file in self._tail()]
        at = tail[0].first_lsn if tail else 0
        for segment, following in zip_longest(tail, tail[1:]):
            self._note_missing(at, segment)
            if segment.generation:
                # Its facts are gone, and no checkpoint has them.
                self._scan_compacted(segment)
                self.lost.append((segment.first_lsn, segment.end_lsn))
            else:
                self._scan_segment(segment, None if following is None else following.first_lsn)
            at = segment.end_lsn
        marker, prev_crc = self.marker, self.prev_crc
        below = self._scan_below(tail)
        self.marker, self.prev_crc = marker, prev_crc
        self.journal.segments = [*below, *tail]
        self.end_lsn = max(at, below[-1].end_lsn if below else 0)
        if self.end_lsn < self.known_durable:
            self.lost.append((self.end_lsn, self.known_durable))

    def _tail(self) -> list[FileName]:
        """The files that the checkpoint does not cover whole."""
        start = max(
            (file.first_lsn for file in self.files if file.first_lsn <= self.applied_lsn and not file.end_lsn),
            default=0,
        )
        files = [
            file
            for file in self.files
            if (file.end_lsn or 0) > self.applied_lsn or (not file.end_lsn and file.first_lsn >= start)
        ]
        return chain.by_coverage(files, lambda file: self._size_of(commit.segment_name(file.first_lsn)))

    def _scan_below(self, tail: list[Segment]) -> list[Segment]:
        """The segments that the checkpoint covers, by their sidecars where these are good."""
        swaps = [file_name_of(name.rpartition("/")[2].removesuffix(LOG_SUFFIX)) for name in self.journal.swaps]
        in_tail = {(segment.first_lsn, segment.generation) for segment in tail}
        files = [file for file in self.files if (file.first_lsn, file.generation) not in in_tail]
        chosen, self.left_over = chain.by_swaps(files, {swap for swap in swaps if swap is not None})
        below, at = [self._segment(file) for file in chosen], 0
        for segment, following in zip_longest(below, [*below[1:], *tail[:1]]):
            if segment is None:
                break
            self._note_missing(at, segment)
            if segment.generation:
                self._open_compacted(segment)
            else:
                until = following.first_lsn if following is not None else self.known_durable
                if not self._open_sealed(segment, until):
                    self._scan_segment(segment, until)
            at = segment.end_lsn
        if tail:
            self._note_missing(at, tail[0])
        return below

    def _note_missing(self, at: int, segment: Segment) -> None:
        if segment.first_lsn > at:
            self.missing.append((at, segment.first_lsn))

    def _open_compacted(self, segment: Segment) -> None:
        """Use the sidecar of a compacted segment; who accepts losses wants to know them all."""
        size = self._size_of(segment.name)
        if size < segment.length:
            self.lost.append((segment.first_lsn + size, segment.file_end))
        if not self.accept_loss:
            with contextlib.suppress(IndexInvalid):
                segment.open_sidecar()
        if not segment.sealed:
            self._scan_compacted(segment)

    def _scan_compacted(self, segment: Segment) -> None:
        """Index a compacted segment from its own bytes; where they are damaged, what they held is lost."""
        lsn = segment.first_lsn
        with self.journal.files.use(segment.name) as file:
            reader = GroupReader(file, segment.first_lsn, self.journal.checksums, segment.generation)
            while lsn < segment.file_end:
                for group in reader.chain(lsn, segment.file_end):
                    segment.note_time(group.header.first_lsn, group.header.time_ms)
                    for at, view, payload in group.entries():
                        if view.kind == form.RECORDS:
                            segment.add_entry(view, payload, at)
                    self.report.scanned_bytes += group.end_lsn - lsn
                    lsn = group.end_lsn
                if lsn < segment.file_end:
                    behind = (header.first_lsn for header in reader.headers_behind(lsn) if reader.at(header.first_lsn))
                    bad, lsn = lsn, next(behind, segment.file_end)
                    self.lost.append((bad, lsn))

    def _open_sealed(self, segment: Segment, following: int) -> bool:
        """Use the sidecar of a segment that the checkpoint covers whole; who accepts losses wants to know them all."""
        if following > self.applied_lsn or self.accept_loss:
            return False
        segment.end_lsn = following
        with self.journal.files.use(segment.name) as file:
            end_lsn = segment.first_lsn + file.size()
        with contextlib.suppress(IndexInvalid):
            segment.open_sidecar()
        if not segment.sealed:
            return False
        if end_lsn < following:
            self.lost.append((end_lsn, following))
        return True

    def _scan_segment(self, segment: Segment, following: int | None) -> None:
        """Replay a file group by group; find where it ends and whether that is its end."""
        with self.journal.files.use(segment.name) as file:
            reader = GroupReader(file, segment.first_lsn, self.journal.checksums)
            shown = self._shown_end(reader, segment) if following is None else None
            lsn: int | None = segment.first_lsn
            while lsn is not None:
                segment.end_lsn = lsn
                for group in reader.chain(lsn, following if following is not None else shown):
                    self._replay(segment, group)
                    segment.end_lsn = group.end_lsn
                self.report.scanned_bytes += segment.end_lsn - lsn
                lsn = None if segment.end_lsn == shown else self._after_bad(reader, segment, following)

    def _shown_end(self, reader: GroupReader, segment: Segment) -> int | None:
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
            if following is not None and header.end_lsn > following:
                break
            # What a header says holds even when the body behind it was torn.
            self.known_durable = max(self.known_durable, header.durable_lsn)
            if next_valid is None and reader.at(header.first_lsn) is not None:
                next_valid = header.first_lsn
        end = following if following is not None else self.known_durable
        if end <= bad:
            self.report.cut_bytes += reader.used_behind(bad)
            return None
        if next_valid is not None:
            self.lost.append((bad, next_valid))
        elif following is not None:
            self.lost.append((bad, following))
            segment.end_lsn = following
        return next_valid

    def _replay(self, segment: Segment, group: Group) -> None:
        journal, header = self.journal, group.header
        self.known_durable = max(self.known_durable, header.durable_lsn)
        self.marker = None if header.entry_count else header
        self.prev_crc = header.crc
        journal.time_ms = max(journal.time_ms, header.time_ms)
        journal.epoch = max(journal.epoch, header.epoch)
        if group.views:
            segment.note_time(header.first_lsn, header.time_ms)
        promotion = Promotion(journal, segment, header.time_ms)
        for lsn, view, payload in group.entries():
            if view.kind == form.RECORDS:
                self._replay_records(segment, promotion, view, payload, lsn)
            elif lsn >= self.applied_lsn:
                self._apply(facts.decode(payload), lsn)

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

    def _judge(self) -> None:
        """What was removed on purpose, or given up before, is not lost; the facts that say so may come late."""
        journal = self.journal
        accounted = [*journal.removed, *(row for loss in journal.accepted for row in loss.ranges)]
        lost = merge_ranges([*self.lost, *self.missing])
        self.lost = [left for whole in lost for left in subtract(whole, accounted)]

    # ---- making it writable ---------------------------------------------------------------------------------------

    def _drop_removed(self) -> None:
        """Finish removals that a crash interrupted."""
        journal, storage = self.journal, self.storage
        keep: list[Segment] = []
        for segment in journal.segments:
            if segment is journal.segments[-1] or subtract((segment.first_lsn, segment.end_lsn), journal.removed):
                keep.append(segment)
            else:
                segment.unlink()
        for file in self.left_over:
            self._segment(file).unlink()
        indexes = {segment.index_name for segment in keep}
        for name in storage.list(commit.JOURNAL):
            if name.endswith(INDEX_SUFFIX) and f"{commit.JOURNAL}/{name}" not in indexes:
                storage.unlink(f"{commit.JOURNAL}/{name}")
        storage.sync_folder(commit.JOURNAL)
        journal.segments = keep

    def _make_writable(self) -> None:
        journal = self.journal
        for segment in journal.segments[:-1]:
            if not segment.sealed:
                self._write_sidecar(segment)
        if not journal.segments or (journal.segments[-1].generation and not self.lost):
            self._open_segment()
        elif self.lost:
            self._leave_damage_behind(journal.segments[-1])
        else:
            self._persist_tail(journal.segments[-1])
        active = journal.segments[-1]
        file = self.storage.open(active.name, write=True)
        journal.files.keep(active.name, file)
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
            prev_crc=self.prev_crc,
            durable_lsn=active.end_lsn,
            time_ms=journal.time_ms,
            fresh=position == 0,
        )

    def _write_sidecar(self, segment: Segment) -> None:
        """On a full disk the index stays in memory until the next opening."""
        segment.sealed = True
        try:
            segment.write_sidecar(self.journal.names_of(segment.partitions()))
        except OSError as error:
            if error.errno not in commit.FULL:
                raise

    def _open_segment(self) -> None:
        """The first segment of a new store, or the one behind accepted damage."""
        storage, journal = self.storage, self.journal
        # Behind what was lost with whole files, no place is given out a second time.
        self.end_lsn = max(self.end_lsn, self.known_durable)
        name = commit.segment_name(self.end_lsn)
        commit.allocate(storage, commit.SPARE, journal.options.segment_bytes).close()
        storage.rename(commit.SPARE, name)
        storage.sync_folder(commit.JOURNAL)
        journal.segments.append(Segment(journal, name, self.end_lsn, self.end_lsn))

    def _leave_damage_behind(self, last: Segment) -> None:
        """An operator accepted the loss: the files stay as they are, and a new one begins behind the last."""
        if last.first_lsn == last.end_lsn == max(self.end_lsn, self.known_durable):
            # Accepting was cut short by a crash once before: this is the new one.
            return
        if last.generation:
            self._open_segment()
            return
        with contextlib.closing(self.storage.open(last.name, write=True)) as file:
            file.sync()
        self._open_segment()
        last.end_lsn = self.end_lsn
        self._write_sidecar(last)

    def _persist_tail(self, active: Segment) -> None:
        """Leave nothing in doubt: cut what is torn, and put what may be in the page cache only into a new file.

        A sync that failed once must not be trusted to succeed later with the same pages, so the doubtful tail is
        copied and the copy is synced before anything of it is shown.
        """
        marker = self.marker
        if self.clean and marker is not None and marker.first_lsn >= active.first_lsn:
            # The next group takes the marker's place: nothing hangs on it any more.
            active.end_lsn = self.end_lsn = marker.first_lsn
            self.prev_crc = marker.prev_crc
        length = active.end_lsn - active.first_lsn
        if active.end_lsn > self.known_durable:
            self._copy_active(active, length)
        elif self.report.cut_bytes:
            with contextlib.closing(self.storage.open(active.name, write=True)) as file:
                self._zero_behind(file, length)

    def _zero_behind(self, file: File, length: int) -> None:
        """Zeros up to the last byte that is none, and behind it for a group's header; space that is taken stays so."""
        end = min(file.size(), length + self.report.cut_bytes + form.GROUP_HEADER_BYTES)
        for at in range(length, end, READ_BYTES):
            write_all(file, [bytes(min(READ_BYTES, end - at))], at)
        file.sync()

    def _copy_active(self, active: Segment, length: int) -> None:
        storage = self.storage
        temporary = active.name + TEMPORARY_SUFFIX
        try:
            self._copy(active, length, temporary)
        except OSError as error:
            if error.errno not in commit.FULL:
                raise
            self._remove(temporary)
            self._write_again(active, length)
            return
        storage.rename(temporary, active.name)
        storage.sync_folder(commit.JOURNAL)
        self.journal.files.forget(active.name)
        self.report.copied_tail = True

    def _write_again(self, active: Segment, length: int) -> None:
        """Second best, on a full disk: the same bytes to the same places, so that no page counts as clean."""
        start = max(0, self.known_durable - active.first_lsn)
        with contextlib.closing(self.storage.open(active.name, write=True)) as file:
            for at in range(start, length, READ_BYTES):
                write_all(file, [file.pread(min(READ_BYTES, length - at), at)], at)
            self._zero_behind(file, length)

    def _copy(self, active: Segment, length: int, temporary: str) -> None:
        with (
            self.journal.files.use(active.name) as source,
            contextlib.closing(self.storage.open(temporary, write=True, create=True)) as target,
        ):
            target.allocate(max(source.size(), length))
            for start in range(0, length, READ_BYTES):
                write_all(target, [source.pread(min(READ_BYTES, length - start), start)], start)
            target.sync()


def _is_named(folder: str, stem: str) -> bool:
    """Whether a file of a folder is named as ours are; only segments are ever compacted."""
    found = file_name_of(stem)
    return found is not None and (found.end_lsn is None or folder == commit.JOURNAL)


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


def orphans(journal: Journal) -> Iterator[Orphan]:
    """Partitions that have records in the journal and that no fact speaks of: what a lost catalogue leaves."""
    found: dict[int, Orphan] = {}
    for segment in journal.segments:
        for partition in segment.partitions():
            bounds = segment.bounds(partition)
            if partition not in journal.partitions and bounds is not None:
                known = found.get(partition)
                name = segment.names().get(partition) or (known.name if known else None)
                found[partition] = Orphan(partition, name, known.first_offset if known else bounds[0], bounds[1])
    yield from found.values()


async def open_journal(journal: Journal, *, read_only: bool = False, accept_loss: bool = False) -> OpenReport:
    """Open a store: take the lock, recover, and begin a new epoch. Registered appliers see every fact.

    Damage does not raise here: the journal is open for reading then, and writing raises `Damaged`; with
    `accept_loss` the store goes on behind it and remembers what was given up.

    Raises:
        DirectoryInUse, NotAStore, FormatTooNew: nothing was changed.
        OSError, StorePoisoned: the disk failed; nothing is exposed.
    """
    if not read_only:
        journal.storage.lock()
    try:
        recovery = await _recovered(journal, read_only=read_only, accept_loss=accept_loss)
        if recovery.writer is not None:
            journal.start(recovery.writer)
            await _begin_epoch(recovery)
    except BaseException:
        await journal.stop()
        raise
    return recovery.report


async def _recovered(journal: Journal, *, read_only: bool, accept_loss: bool) -> Recovery:
    """The state of the store; beside a running owner, as of a moment at which it was whole.

    A checkpoint may go between listing and reading it; a segment may be removed while the fact that says so is not yet
    known to be durable: then it is done again.
    """
    tries = REOPEN_TRIES if read_only else 1
    while True:
        tries -= 1
        recovery = Recovery(journal, read_only=read_only, accept_loss=accept_loss)
        try:
            await journal.run(recovery.run)
        except FileNotFoundError:
            if not tries:
                raise
        else:
            if not (tries and recovery.lost and journal.storage.lock_holder()):
                return recovery
        journal.forget()
        await journal.clock.sleep_until(journal.clock.monotonic_ms() + IDLE_MARKER_MS)


def _begin_leader_epochs(journal: Journal, epoch: int, *, every: bool) -> None:
    """Offsets that readers saw may be bound anew: the epoch list tells them from where.

    Those of level `written` unless the store was closed in order: what was not synced may be gone with the power, and
    also with a sync that failed. Every partition's after an accepted loss.
    """
    unit = journal.unit()
    for partition in journal.partitions.values():
        if every or partition.level == "written":
            unit.fact(partition.state(partition.epochs_with(epoch)))
            if unit.size > _EPOCH_UNIT_BYTES:
                unit.submit()
                unit = journal.unit()
    unit.submit()


def _adopt_orphans(journal: Journal, unit: Unit) -> None:
    """Facts that were lost may have been those that a partition hangs on: who owns the catalogue makes new ones.

    Without a catalogue there is nobody to ask. What was removed on purpose and is still on the disk comes back, too:
    more than there should be, and never less.
    """
    found = list(orphans(journal))
    if journal.orphans_hook is None or not found:
        return
    for fact in journal.orphans_hook(found):
        unit.fact(fact)
    for orphan in found:
        unit.fact(facts.PartitionState(orphan.partition, orphan.first_offset, orphan.end_offset, ()))


async def _begin_epoch(recovery: Recovery) -> None:
    """The first groups of this opening; nothing is exposed before they are durable."""
    journal = recovery.journal
    boot_id = journal.storage.boot_id()
    epoch = journal.epoch + 1
    if recovery.has_lost_state or not recovery.was_closed:
        _begin_leader_epochs(journal, epoch, every=recovery.has_lost_state)
    unit = journal.unit()
    if recovery.lost:
        report = "; ".join(recovery.report.damage)[:REASON_BYTES_MAX]
        unit.fact(facts.LossAccepted(tuple(recovery.lost), journal.clock.now_ms(), report))
        if recovery.has_lost_state:
            _adopt_orphans(journal, unit)
    # Last: an opening that was cut short before it is done again from the start.
    unit.fact(facts.StoreOpened(epoch, boot_id, journal.clock.now_ms()))
    await unit.submit()
    recovery.report.epoch = journal.epoch
    if recovery.lost:
        # From here on opening starts behind the damage, whichever checkpoint it uses.
        await checkpoint.take(journal)
        await checkpoint.take(journal)
    await journal.room()
    journal.check_open()
