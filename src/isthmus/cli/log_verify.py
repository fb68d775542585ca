"""Whether every byte of a data directory is as it was written, and what exactly is gone where it is not.

It reads segments, sidecars and checkpoints and changes nothing. The rule that tells a torn tail from damage is that of
opening a store (docs/formats/journal.md, section 8); what recovery would refuse, this names by file, LSN and offsets.
"""

from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec import Struct, structs

from isthmus.cli.log_walk import Entry, Gap, Piece, Store, Walk, entries, index_of
from isthmus.errors import InvalidBatch, StorageError
from isthmus.log import batch as batches
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.index import ActiveIndex, IndexCache, IndexInvalid, Row, SealedIndex
from isthmus.log.journal import merge_ranges
from isthmus.log.recovery import subtract
from isthmus.log.segment import FLAG_BITS, INDEX_SUFFIX, LOG_SUFFIX
from isthmus.log.storage import File, Storage

TRIES: Final = 5
"""How often damage is looked at again while another process writes: only what stays is damage."""

ROWS_AT_ONCE: Final = 4_096

Severity = Literal["damage", "harmless", "note"]
"""damage: acknowledged content is gone. harmless: a file is bad, but what it holds can be told from others. note: no
fault, but worth knowing."""


class Offsets(Struct, frozen=True):
    """Offsets `start` to `end`, exclusive, of one partition."""

    topic: str
    partition: int
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition} offsets {self.start} to {self.end - 1}"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be, or worth knowing. Positions and LSNs are half-open ranges of bytes."""

    severity: Severity
    what: str
    file: str | None = None
    position: int | None = None
    lsn_start: int | None = None
    lsn_end: int | None = None
    offsets: tuple[Offsets, ...] = ()


class CheckpointSeen(Struct, frozen=True):
    """A checkpoint file."""

    file: str
    ok: bool
    applied_lsn: int | None = None
    durable_lsn: int | None = None
    facts: int | None = None


class Verified(Struct, kw_only=True):
    """What was read, and what was found. `damaged` is about acknowledged content, `ok` about all files."""

    directory: str
    format: int
    store: str
    ok: bool = True
    damaged: bool = False
    held_by: int | None = None
    epoch: int = 0
    durable_lsn: int = 0
    end_lsn: int = 0
    segments: int = 0
    bytes: int = 0
    groups: int = 0
    entries: int = 0
    facts: int = 0
    batches: int = 0
    records: int = 0
    last_append_ms: int = 0
    checkpoints: list[CheckpointSeen] = []
    findings: list[Finding] = []


@dataclass
class _Jump:
    """Offsets of a partition that no batch between two LSNs holds."""

    partition: int
    start: int
    end: int
    after_lsn: int
    before_lsn: int


@dataclass
class _Partition:
    """How far a partition was seen, and what checkpoints and trims say of it."""

    end: int = 0
    lsn: int = 0
    log_start: int = 0
    next_offset: int = 0


@dataclass
class _File:
    """A segment on the way: its rows as they are read, for the comparison with its sidecar."""

    name: str
    first_lsn: int
    generation: int
    rows: ActiveIndex = field(default_factory=ActiveIndex)


def verify(storage: Storage, *, advance: Callable[[int], None] = lambda _: None) -> Verified:
    """Read everything once; again when another process writes and something seems gone.

    Args:
        storage: of the data directory.
        advance: told the number of bytes after each step.

    Raises:
        NotAStore, FormatTooNew: it cannot be told what the files are.
    """
    for _ in range(TRIES):
        found = Verifier(storage, advance).run()
        if not found.damaged or found.held_by is None:
            break
    return found


class Verifier:
    """One pass; see `verify`."""

    def __init__(self, storage: Storage, advance: Callable[[int], None] = lambda _: None) -> None:
        self._storage = storage
        self._advance = advance
        self._store = Store.open(storage)
        self._partitions: dict[int, _Partition] = {}
        self._jumps: list[_Jump] = []
        self._gaps: list[Gap] = []
        self._lost_rows: list[tuple[int, int, Row]] = []
        self._indexed: set[str] = set()
        self._removed: list[tuple[int, int]] = []
        self._accepted: list[tuple[int, int]] = []
        self._gone_topics: set[int] = set()
        self._swaps: dict[str, facts.Swap] = {}
        self.result = Verified(directory=storage.directory, format=self._store.format, store=self._store.uuid.hex())

    def run(self) -> Verified:
        """Do it."""
        result = self.result
        holder = self._storage.lock_holder()
        result.held_by = None if holder is None else holder[0]
        known = self._read_checkpoints()
        walk = Walk(self._store, durable_lsn=known)
        result.segments = len(walk.files)
        self._read_journal(walk)
        result.durable_lsn = walk.durable_lsn
        result.end_lsn = walk.end_lsn
        self._check_end(walk)
        self._check_lengths(walk)
        self._judge(walk)
        for name, why in walk.unreadable:
            self._find("damage", f"cannot be read: {why}", name)
        for name in self._store.strangers():
            self._find("note", "left over or unknown; the next opening removes it or sets it aside", name)
        result.damaged = any(each.severity == "damage" for each in result.findings)
        result.ok = all(each.severity == "note" for each in result.findings)
        return result

    def _find(self, severity: Severity, what: str, file: str | None = None, position: int | None = None) -> None:
        self.result.findings.append(Finding(severity=severity, what=what, file=file, position=position))

    # ---- checkpoints ------------------------------------------------------------------------------------------------

    def _read_checkpoints(self) -> int:
        """Learn what they say; returns the highest durable LSN that a valid one knows."""
        durable_lsn, bad, good = 0, list[str](), 0
        for name in checkpoint.listed(self._storage):
            try:
                found = checkpoint.load(self._storage, self._store.checksums, name)
            except FileNotFoundError:  # a running owner has replaced it
                continue
            except OSError as error:
                self._find("harmless", f"checkpoint cannot be read: {error.strerror}", name)
                found = None
            if found is None:
                bad.append(name)
                self.result.checkpoints.append(CheckpointSeen(name, ok=False))
                continue
            good += 1
            count = 0
            for count, fact in enumerate(found.facts(), 1):  # noqa: B007 - the last count is wanted
                self._learn(fact)
            durable_lsn = max(durable_lsn, found.durable_lsn)
            self.result.checkpoints.append(
                CheckpointSeen(name, ok=True, applied_lsn=found.applied_lsn, durable_lsn=found.durable_lsn, facts=count)
            )
        segments = self._store.segments()
        # Where segments were removed or compacted, the journal does not hold all facts any more.
        needed = not good and any(segment.generation for segment in segments)
        needed = needed or (not good and bool(segments) and segments[0].first_lsn > 0)
        for name in bad:
            if needed:
                self._find("damage", "checkpoint damaged, and no other is left to rebuild the state from", name)
            else:
                rest = "another one is valid" if good else "the journal holds everything from its beginning"
                self._find("harmless", f"checkpoint damaged; nothing is lost, {rest}", name)
        return durable_lsn

    def _learn(self, fact: facts.AnyFact) -> None:
        self._store.names.learn(fact)
        match fact:
            case facts.SegmentsRemoved():
                self._removed = merge_ranges([*self._removed, *fact.ranges])
            case facts.Swap():
                self._swaps[fact.target] = fact
            case facts.LossAccepted():
                self._accepted = merge_ranges([*self._accepted, *fact.ranges])
            case facts.PartitionState():
                seen = self._partition(fact.partition)
                seen.log_start = max(seen.log_start, fact.log_start)
                seen.next_offset = max(seen.next_offset, fact.next_offset)
            case facts.Trimmed():
                seen = self._partition(fact.partition)
                seen.log_start = max(seen.log_start, fact.log_start)
            case facts.TopicRemoved():
                self._gone_topics.add(fact.id)
            case facts.StoreOpened():
                self.result.epoch = max(self.result.epoch, fact.epoch)
            case _:
                pass

    def _partition(self, partition: int) -> _Partition:
        found = self._partitions.get(partition)
        if found is None:
            found = self._partitions[partition] = _Partition()
        return found

    # ---- the journal ------------------------------------------------------------------------------------------------

    def _read_journal(self, walk: Walk) -> None:
        current: _File | None = None
        generations = {segment.name: segment.generation for segment in walk.files}
        for found in walk:
            if found.file and (current is None or found.file != current.name):
                self._finish(current, walk)
                current = _File(found.file, found.first_lsn, generations.get(found.file, 0))
            if isinstance(found, Gap):
                self._gaps.append(found)
                self._advance(found.end - found.start)
            elif current is not None:
                self._read_group(found, current)
        self._finish(current, walk)

    def _read_group(self, piece: Piece, file: _File) -> None:
        result, header = self.result, piece.group.header
        result.groups += 1
        result.bytes += form.GROUP_HEADER_BYTES + header.body_length
        result.epoch = max(result.epoch, header.epoch)
        result.last_append_ms = max(result.last_append_ms, header.time_ms)
        self._advance(form.GROUP_HEADER_BYTES + header.body_length)
        for entry in entries(piece.group):
            result.entries += 1
            if form.check_entry(self._store.checksums, entry.data) is None:
                self._bad_entry("an entry whose checksum does not fit", piece, entry.lsn, entry.lsn + entry.view.length)
            elif entry.view.kind == form.RECORDS:
                self._read_batch(piece, entry, file)
            else:
                self._read_fact(piece, entry)

    def _bad_entry(self, what: str, piece: Piece, start: int, end: int) -> None:
        """Inside a group whose checksum fits: the writer's fault, not the disk's."""
        self.result.findings.append(
            Finding(
                severity="damage",
                what=what,
                file=piece.file,
                position=start - piece.first_lsn,
                lsn_start=start,
                lsn_end=end,
            )
        )

    def _read_fact(self, piece: Piece, entry: Entry) -> None:
        self.result.facts += 1
        try:
            self._learn(facts.decode(entry.payload))
        except StorageError as error:
            self._bad_entry(str(error), piece, entry.lsn, entry.lsn + entry.view.length)

    def _read_batch(self, piece: Piece, entry: Entry, file: _File) -> None:
        self.result.batches += 1
        try:
            header = batches.check(entry.payload)
        except InvalidBatch as error:
            self._bad_entry(str(error), piece, entry.lsn, entry.lsn + entry.view.length)
            return
        self.result.records += header.count * len(entry.view.placements)
        length = entry.view.length | (entry.view.flags & FLAG_BITS)
        for partition, base in entry.view.placements:
            end = base + header.last_offset_delta + 1
            seen = self._partition(partition)
            if base < seen.end:
                name = self._store.names.partition(partition)
                what = f"offsets {base} to {min(end, seen.end) - 1} of {name} were given out twice"
                self._bad_entry(what, piece, entry.lsn, entry.lsn + entry.view.length)
                continue
            if base > seen.end:
                self._jumps.append(_Jump(partition, seen.end, base, seen.lsn, entry.lsn))
            seen.end, seen.lsn = end, entry.lsn
            file.rows.add(partition, base, end, entry.lsn - piece.first_lsn, length, header.max_timestamp_ms)

    # ---- sidecars ---------------------------------------------------------------------------------------------------

    def _finish(self, file: _File | None, walk: Walk) -> None:
        """The end of a segment: compare a sealed one with its sidecar."""
        if file is None or file.name not in walk.ends:
            return
        name = file.name.removesuffix(LOG_SUFFIX) + INDEX_SUFFIX
        try:
            sidecar = self._storage.open(name)
        except FileNotFoundError:
            self._find("note", "no index beside this sealed segment; opening the store for writing makes it", file.name)
            return
        try:
            index = self._open_index(sidecar, file, walk.ends[file.name])
            index.verify()
            self._compare(index, file, name)
        except IndexInvalid as error:
            self._find("harmless", f"index damaged ({error}); nothing is lost, it can be made anew", name)
        except OSError as error:
            self._find("harmless", f"index cannot be read ({error.strerror}); it can be made anew", name)
        finally:
            sidecar.close()

    def _open_index(self, sidecar: File, file: _File, ends: tuple[int, ...]) -> SealedIndex:
        """The sidecar of a segment that ends at one of these LSNs. Raises IndexInvalid."""
        *others, end = ends
        for other in others:
            with suppress(IndexInvalid):
                return self._index_to(sidecar, file, other)
        return self._index_to(sidecar, file, end)

    def _index_to(self, sidecar: File, file: _File, end_lsn: int) -> SealedIndex:
        cache, size = IndexCache(), sidecar.size()
        return SealedIndex(sidecar.pread, size, self._store.uuid, file.first_lsn, end_lsn, cache, file.generation)

    def _compare(self, index: SealedIndex, file: _File, name: str) -> None:
        for partition, (namespace, topic, _, _) in index.names().items():
            self._store.names.learn_partition(partition, namespace, topic)
        self._indexed.add(file.name)
        wrong = 0
        for partition in sorted({*index.partitions(), *file.rows.partitions()}):
            if _same(index, file.rows, partition):
                continue
            told, held = _rows(index, partition), _rows(file.rows, partition)
            for row in told - held:
                at = file.first_lsn + row[2]
                if any(gap.start <= at < gap.end for gap in self._gaps):
                    self._lost_rows.append((partition, at, Row(*row, 0)))
                else:
                    wrong += 1
            wrong += len(held - told)
        if wrong:
            what = f"index contradicts its segment in {wrong} places; nothing is lost, it can be made anew"
            self._find("harmless", what, name)

    # ---- what is gone -----------------------------------------------------------------------------------------------

    def _check_end(self, walk: Walk) -> None:
        """A journal that ends below what was durable; partitions that end below what a checkpoint knows."""
        end = max([walk.end_lsn, *(gap.end for gap in self._gaps)])
        if walk.durable_lsn > end:
            self._gaps.append(Gap("", end, end, walk.durable_lsn))
        beyond = max(end, walk.durable_lsn)
        for partition, seen in self._partitions.items():
            if seen.next_offset > seen.end:
                self._jumps.append(_Jump(partition, seen.end, seen.next_offset, seen.lsn, beyond))

    def _check_lengths(self, walk: Walk) -> None:
        """A compacted file that ends at a group may still end too early: the fact that it counts tells its length."""
        for segment in walk.files:
            swap = self._swaps.get(segment.name)
            size = self._size_of(segment.name) if swap is not None else None
            if swap is not None and size is not None and size < swap.length:
                start, end = segment.first_lsn + size, segment.first_lsn + swap.length
                self._gaps.append(Gap(segment.name, segment.first_lsn, start, end))

    def _size_of(self, name: str) -> int | None:
        """None when a running owner has removed it."""
        try:
            file = self._storage.open(name)
        except FileNotFoundError:
            return None
        with closing(file):
            return file.size()

    def _judge(self, walk: Walk) -> None:
        self.result.findings = [self._excused(each) for each in self.result.findings]
        for gap in self._gaps:
            end = min(gap.end, walk.durable_lsn) if gap.tail else gap.end
            if gap.tail and gap.end > max(gap.start, walk.durable_lsn) and self.result.held_by is None:
                size = gap.end - max(gap.start, walk.durable_lsn)
                what = f"{size} bytes of a torn tail, which were never acknowledged; the next opening cuts them"
                self._find("note", what, gap.file, max(gap.start, walk.durable_lsn) - gap.first_lsn)
            for start, stop in subtract((gap.start, max(gap.start, end)), self._removed):
                self._judge_part(gap, start, stop)

    def _excused(self, finding: Finding) -> Finding:
        """A bad entry whose loss was accepted is worth knowing, and no more."""
        if finding.lsn_start is None or finding.lsn_end is None:
            return finding
        if subtract((finding.lsn_start, finding.lsn_end), self._accepted):
            return finding
        return structs.replace(finding, severity="note", what=f"{finding.what}; the loss was accepted")

    def _judge_part(self, gap: Gap, start: int, end: int) -> None:
        rest = subtract((start, end), self._accepted)
        for first, last in subtract((start, end), rest):
            self._gone("note", "lost, and the loss was accepted", gap, first, last)
        for first, last in rest:
            what = (
                "acknowledged bytes are damaged"
                if gap.file
                else "acknowledged bytes are missing, a file or the end of one"
            )
            self._gone("damage", what, gap, first, last)

    def _gone(self, severity: Severity, what: str, gap: Gap, start: int, end: int) -> None:
        self.result.findings.append(
            Finding(
                severity=severity,
                what=what,
                file=gap.file or None,
                position=start - gap.first_lsn if gap.file else None,
                lsn_start=start,
                lsn_end=end,
                offsets=self._lost_between(gap.file, start, end),
            )
        )

    def _lost_between(self, file: str, start: int, end: int) -> tuple[Offsets, ...]:
        """The offsets that stood there: what a sidecar tells exactly, else what is missing around it."""
        lost: dict[int, list[tuple[int, int]]] = {}
        for partition, at, row in self._lost_rows:
            if start <= at < end:
                lost.setdefault(partition, []).append((row.base_offset, row.end_offset))
        for jump in self._jumps if file not in self._indexed else ():
            if jump.after_lsn < end <= jump.before_lsn:
                lost.setdefault(jump.partition, []).append((jump.start, jump.end))
        return tuple(
            Offsets(self._store.names.topic(partition), index_of(partition), first, last)
            for partition, ranges in sorted(lost.items())
            if partition >> 16 not in self._gone_topics
            for first, last in self._above_log_start(partition, ranges)
        )

    def _above_log_start(self, partition: int, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        log_start = self._partition(partition).log_start
        return [(max(first, log_start), last) for first, last in merge_ranges(ranges) if last > log_start]


def _same(index: SealedIndex, rows: ActiveIndex, partition: int) -> bool:
    """Whether both have the same rows of a partition, some at a time: a segment may have very many."""
    offset = 0
    while True:
        told, held = (each.rows(partition, offset, ROWS_AT_ONCE) for each in (index, rows))
        if told != held:
            return False
        if not told or told[-1].end_offset <= offset:
            return True
        offset = told[-1].end_offset


def _rows(index: SealedIndex | ActiveIndex, partition: int) -> set[tuple[int, int, int, int]]:
    """Base offset, end offset, position and length of every row of a partition."""
    found: set[tuple[int, int, int, int]] = set()
    offset = 0
    while rows := index.rows(partition, offset, ROWS_AT_ONCE):
        found.update((row.base_offset, row.end_offset, row.position, row.length) for row in rows)
        if rows[-1].end_offset <= offset:
            break
        offset = rows[-1].end_offset
    return found
