"""The commit: one write and one sync for all units that wait, on one thread, with two marks.

`Writer` owns the active segment file while a commit is in flight and is the only caller of write and sync on it;
`CommitThread` runs it for real disks; a storage that has no disk to wait for is committed to inline. Neither touches the
state of partitions or lenses: they report, and the journal promotes on the loop.

Invariants:
    C1: at most one commit is in flight.
    C2: `durable_lsn` never passes bytes that a sync has not covered; a synced write above unsynced groups syncs the
        whole file, because recovery cuts at the first bad group.
    C3: a segment's successor gets its name only after all of the segment is synced and truncated, and its directory
        entry is synced before its first group is acknowledged.
    C4: after a failed call nothing is written any more.
"""

import errno
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from isthmus.clock import Clock
from isthmus.limits import GROUP_BYTES_TARGET, RESERVE_BYTES_MAX
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.storage import File, Storage, write_all

JOURNAL: Final = "journal"
SPARE: Final = "journal/spare"
RESERVE: Final = "reserve"
SEGMENT_SUFFIX: Final = ".log"
SEGMENT_OPENED_BYTES_MAX: Final = 128
"""Bytes of the entry that opens a segment, at most."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errno values that mean "no room"."""


def segment_name(first_lsn: int) -> str:
    """The file of the segment that starts at an LSN."""
    return f"{JOURNAL}/{first_lsn:020d}{SEGMENT_SUFFIX}"


def allocate(storage: Storage, name: str, size: int) -> None:
    """Make a file of that many zero bytes whose space is taken and whose size is durable."""
    file = storage.open(name, write=True, create=not storage.exists(name))
    try:
        file.allocate(size)
        file.sync()
    finally:
        file.close()


class Encoded(Protocol):
    """A unit as the commit sees it: its entries, their bytes, and whether they must be synced."""

    entries: list[bytes]
    size: int
    sync: bool


@dataclass(slots=True)
class Rolled:
    """A segment was sealed at `end_lsn` and a new one opened there."""

    end_lsn: int
    file: File


@dataclass(slots=True)
class Committed:
    """What one commit did: units lie one after the other from `units_lsn`; both marks after it."""

    units: Sequence[Encoded]
    units_lsn: int = 0
    written_lsn: int = 0
    durable_lsn: int = 0
    time_ms: int = 0
    rolled: Rolled | None = None
    room_bytes: int = 0
    spare_bytes: int = 0
    error: Exception | None = None


@dataclass(slots=True)
class Writer:
    """The writing end of the journal; see the module text.

    Args of the constructor: where the active segment stands after recovery. `room` is how many bytes the active
    segment can still take, `spare_bytes` how large the pre-allocated next one is (0: there is none).
    """

    storage: Storage
    clock: Clock
    checksums: form.Checksums
    store: bytes
    segment_bytes: int
    epoch: int
    file: File
    first_lsn: int
    position: int
    capacity: int
    prev_crc: int
    durable_lsn: int
    time_ms: int = 0
    spare_bytes: int = 0
    fresh: bool = False
    dirty: bool = field(default=False)

    @property
    def end_lsn(self) -> int:
        """The LSN of the next group."""
        return self.first_lsn + self.position

    def commit(self, units: Sequence[Encoded]) -> Committed:
        """Write the units as one group; with none, write an empty group that records the durable LSN.

        Raises:
            OSError: as the storage does; the caller must not call again (C4).
        """
        done = Committed(units)
        entries = [entry for unit in units for entry in unit.entries]
        size = form.GROUP_HEADER_BYTES + sum(map(len, entries))
        if self.position + size > self.capacity:
            done.rolled = self._roll(size)
        head = 0
        if self.fresh:
            opened = self._segment_opened()
            entries.insert(0, opened)
            head, size = len(opened), size + len(opened)
            self.fresh = False
        if not units and self.dirty:
            self._sync()
        self.time_ms = max(self.time_ms, self.clock.now_ms())
        lsn = self.end_lsn
        buffers, self.prev_crc = form.encode_group(
            self.checksums, lsn, self.durable_lsn, self.epoch, self.prev_crc, self.time_ms, entries
        )
        self._write(buffers, size, sync=not units or any(unit.sync for unit in units))
        done.units_lsn = lsn + form.GROUP_HEADER_BYTES + head
        done.written_lsn, done.durable_lsn, done.time_ms = self.end_lsn, self.durable_lsn, self.time_ms
        return done

    def _write(self, buffers: Sequence[bytes], size: int, *, sync: bool) -> None:
        in_one_call = sync and not self.dirty
        write_all(self.file, buffers, self.position, sync=in_one_call)
        self.position += size
        if in_one_call:
            self.durable_lsn = self.end_lsn
        elif sync:
            self._sync()
        else:
            self.dirty = True

    def _sync(self) -> None:
        self.file.sync()
        self.dirty = False
        self.durable_lsn = self.end_lsn

    def _segment_opened(self) -> bytes:
        fact = facts.SegmentOpened(self.store, self.first_lsn, self.capacity, self.clock.now_ms())
        return form.encode_fact_entry(self.checksums, 0, facts.encode(fact))

    def _roll(self, size: int) -> Rolled:
        self.seal()
        self.first_lsn, self.position = self.end_lsn, 0
        # The first group of a segment carries one more entry.
        needed = max(self.segment_bytes, size + SEGMENT_OPENED_BYTES_MAX)
        if self.spare_bytes < needed:
            self._make_spare_or_use_reserve(needed)
        self.file = self.storage.open(SPARE, write=True)
        self.capacity, self.spare_bytes, self.fresh = self.spare_bytes, 0, True
        self.storage.rename(SPARE, segment_name(self.first_lsn))
        self.storage.sync_folder(JOURNAL)
        return Rolled(self.first_lsn, self.file)

    def seal(self) -> None:
        """Sync and truncate the active segment to what is used (C3)."""
        self._sync()
        self.file.truncate(self.position)
        self.file.sync()

    def make_spare(self, size: int | None = None) -> bool:
        """Pre-allocate the next segment; False when the disk has no room for it.

        A full disk is met here, where nothing is in doubt, and not inside a group.

        Raises:
            OSError: anything but a full disk.
        """
        wanted = size or self.segment_bytes
        try:
            allocate(self.storage, SPARE, wanted)
        except OSError as error:
            if error.errno not in FULL:
                raise
            if self.storage.exists(SPARE):
                self.storage.unlink(SPARE)
            return False
        self.spare_bytes = wanted
        return True

    def make_reserve(self) -> bool:
        """Keep ballast that acknowledgements can use when the disk is full; False when there is no room for it."""
        if self.storage.exists(RESERVE):
            return True
        try:
            allocate(self.storage, RESERVE, min(self.segment_bytes, RESERVE_BYTES_MAX))
        except OSError as error:
            if error.errno not in FULL:
                raise
            if self.storage.exists(RESERVE):
                self.storage.unlink(RESERVE)
            return False
        return True

    def _make_spare_or_use_reserve(self, needed: int) -> None:
        if self.make_spare(needed):
            return
        if self.storage.exists(RESERVE):
            self.storage.unlink(RESERVE)
            if self.make_spare(needed):
                return
        raise OSError(errno.ENOSPC, "no room for the next segment of the journal, the reserve is used up")


class CommitThread:
    """Runs a `Writer` on a thread of its own: takes all units that wait, commits them, reports once (C1).

    `report` is called on this thread with each `Committed`; it must only hand it over to the loop.
    """

    def __init__(self, writer: Writer, report: Callable[[Committed], None]) -> None:
        self._writer = writer
        self._report = report
        self._jobs: SimpleQueue[Encoded | None] = SimpleQueue()
        self._held: Encoded | None = None
        self._target = min(GROUP_BYTES_TARGET, writer.segment_bytes // 2)
        self._thread = threading.Thread(target=self._run, name="isthmus-commit", daemon=True)
        self._thread.start()

    def submit(self, unit: Encoded) -> None:
        """Queue a unit; one without entries asks for an empty group (the idle marker) and a spare segment."""
        self._jobs.put(unit)

    def stop(self) -> None:
        """Commit what is queued, then end the thread; returns when it has ended."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            first = self._held or self._jobs.get()
            if first is None:
                return
            taken, stopping = self._gather(first)
            for done in (commit_once(self._writer, taken), top_up(self._writer)):
                if done is not None:
                    self._report(done)
                    if done.error is not None:
                        self._fail_the_rest(done.error)
                        return

    def _gather(self, first: Encoded) -> tuple[list[Encoded], bool]:
        """Whole units up to the target size of a group, or one larger unit; and whether the queue's end was met."""
        taken, size, self._held = [first], first.size, None
        while size < self._target:
            try:
                unit = self._jobs.get_nowait()
            except Empty:
                break
            if unit is None:
                return taken, True
            size += unit.size
            if size > self._target:
                self._held = unit
                break
            taken.append(unit)
        return taken, False

    def _fail_the_rest(self, error: Exception) -> None:
        """Report every unit that still comes as failed, until told to stop (C4)."""
        if self._held is not None:
            self._report(Committed([self._held], error=error))
        while (unit := self._jobs.get()) is not None:
            self._report(Committed([unit], error=error))


def commit_once(writer: Writer, units: Sequence[Encoded]) -> Committed:
    """One commit; a failed call is reported, not raised."""
    try:
        done = writer.commit([unit for unit in units if unit.entries])
        done.units = units
        done.room_bytes, done.spare_bytes = writer.capacity - writer.position, writer.spare_bytes
    except Exception as error:  # noqa: BLE001 - whatever failed, the waiters must hear of it and the store is poisoned
        return Committed(units, error=error)
    return done


def top_up(writer: Writer) -> Committed | None:
    """Make the spare segment and the reserve where they are missing; reports the new room, None when nothing changed."""
    if writer.spare_bytes > 0:
        return None
    try:
        if writer.make_spare():
            writer.make_reserve()
    except Exception as error:  # noqa: BLE001 - as in commit_once
        return Committed((), error=error)
    report = Committed((), written_lsn=writer.end_lsn, durable_lsn=writer.durable_lsn, time_ms=writer.time_ms)
    report.room_bytes, report.spare_bytes = writer.capacity - writer.position, writer.spare_bytes
    return report
