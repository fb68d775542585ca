"""The commit: one write and one sync for all units that wait, on one thread, with two marks.

`Writer` owns the active segment file while a commit is in flight and is the only caller of write and sync on it;
`CommitThread` runs it for real disks; a storage that has no disk to wait for is committed to inline. Neither touches
the state of partitions or lenses: they report, and the journal promotes on the loop.

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
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from isthmus.clock import Clock
from isthmus.limits import DISK_RETRY_MS, GROUP_BYTES_TARGET, RESERVE_BYTES_MAX
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.storage import File, Storage, write_all

JOURNAL: Final = "journal"
SPARE: Final = "journal/spare"
RESERVE: Final = "reserve"
SEGMENT_SUFFIX: Final = ".log"
SEGMENT_OPENED_BYTES_MAX: Final = 128
"""Bytes of the entry that opens a segment, at most."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
"""The errno values that mean "no room": on the disk, in the quota, among the open files. Trying again may help."""


def segment_name(first_lsn: int) -> str:
    """The file of the segment that starts at an LSN."""
    return f"{JOURNAL}/{first_lsn:020d}{SEGMENT_SUFFIX}"


def allocate(storage: Storage, name: str, size: int) -> File:
    """Make a file of at least that many bytes, the new ones zero, whose space is taken and whose size is durable.

    Raises:
        OSError: nothing is left of a file that is new.
    """
    existed = storage.exists(name)
    file = storage.open(name, write=True, create=not existed)
    try:
        file.allocate(size)
        file.sync()
    except OSError:
        file.close()
        if not existed:
            storage.unlink(name)
        raise
    return file


class Encoded(Protocol):
    """A unit as the commit sees it: its entries, their bytes, whether they must be synced, or begin a new segment."""

    entries: list[bytes]
    size: int
    sync: bool
    roll: bool


class Order(Enum):
    """What else the commit can be asked to do."""

    MARK = "write an empty group that records the durable LSN"
    TOP_UP = "make the spare segment and the reserve, if they are missing"
    STOP = "commit what waits, record the durable LSN, and end"


class Space(Struct, frozen=True, gc=False):
    """Room for what comes, in bytes: left in the active segment, in the pre-allocated next one, in the reserve.

    `publish` is what publishers may use of the active segment: nothing when the disk is full and the reserve in use.
    `full`: when last tried, the disk had no room for the next segment.
    """

    active: int = 0
    spare: int = 0
    reserve: int = 0
    publish: int = 0
    full: bool = False


class Rolled(NamedTuple):
    """A segment was sealed at `end_lsn` and a new one opened there."""

    end_lsn: int
    file: File


NO_SPACE: Final = Space()


class SyncTimes:
    """How long writes took that had to be synced, or syncs alone: so many in each class, and their sum.

    `BOUNDS_MS` are the upper ends of the classes; above the last there is one more. One thread counts, and others look.
    """

    __slots__ = ("counts", "sum_ms")

    BOUNDS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS_MS) + 1)
        self.sum_ms = 0

    def add(self, took_ms: int) -> None:
        """Count one."""
        self.counts[bisect_left(self.BOUNDS_MS, took_ms)] += 1
        self.sum_ms += took_ms


class Committed(Struct):
    """What one commit did: units lie one after the other from `units_lsn`; both marks after it, and the room left."""

    units: Sequence[Encoded]
    units_lsn: int = 0
    written_lsn: int = 0
    durable_lsn: int = 0
    time_ms: int = 0
    rolled: Rolled | None = None
    space: Space = NO_SPACE
    error: Exception | None = None


@dataclass(slots=True)
class Writer:
    """The writing end of the journal; see the module text.

    Args of the constructor: where the active segment stands after recovery. `capacity` is the size of its file.
    `marked` says that nothing was written since the durable LSN was recorded, `dirty` that a sync is owed.
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
    spare: File | None = None
    spare_bytes: int = 0
    reserve_bytes: int = 0
    fresh: bool = False
    dirty: bool = False
    marked: bool = False
    full: bool = False
    syncs: SyncTimes = field(default_factory=SyncTimes)
    _next_try_ms: int = 0

    @property
    def end_lsn(self) -> int:
        """The LSN of the next group."""
        return self.first_lsn + self.position

    @property
    def space(self) -> Space:
        """The room that is left."""
        active = self.capacity - self.position
        at_the_end = self.full and not self.reserve_bytes
        return Space(active, self.spare_bytes, self.reserve_bytes, 0 if at_the_end else active, self.full)

    def commit(self, units: Sequence[Encoded]) -> Committed:
        """Write the units as one group; with none, an empty group that records the durable LSN, if there is room.

        Raises:
            OSError: as the storage does; the caller must not call again (C4).
        """
        done = Committed(units)
        entries: list[bytes] = []
        size, sync, roll = form.GROUP_HEADER_BYTES + self.fresh * SEGMENT_OPENED_BYTES_MAX, not units, False
        for unit in units:
            entries += unit.entries
            size += unit.size
            sync, roll = sync or unit.sync, roll or unit.roll
        if roll or (units and self.position + size > self.capacity):
            done.rolled = self._roll(size)
        head = 0
        if self.fresh:
            opened = self._segment_opened()
            entries.insert(0, opened)
            head = len(opened)
            self.fresh = False
        if not units and self.dirty:
            self._sync()
        if units or self.position + form.GROUP_HEADER_BYTES <= self.capacity:
            self.time_ms = max(self.time_ms, self.clock.now_ms())
            lsn = self.first_lsn + self.position
            done.units_lsn = lsn + form.GROUP_HEADER_BYTES + head
            buffers, self.prev_crc = form.encode_group(
                self.checksums, lsn, self.durable_lsn, self.epoch, self.prev_crc, self.time_ms, entries
            )
            self._write(buffers, sync=sync)
        self.marked = not units
        return self.report(done)

    def report(self, done: Committed) -> Committed:
        """Fill in where the journal stands now."""
        done.written_lsn, done.durable_lsn = self.first_lsn + self.position, self.durable_lsn
        done.time_ms, done.space = self.time_ms, self.space
        return done

    def _write(self, buffers: Sequence[bytes], *, sync: bool) -> None:
        in_one_call = sync and not self.dirty
        began_ms = self.clock.monotonic_ms()
        write_all(self.file, buffers, self.position, sync=in_one_call)
        self.position += sum(map(len, buffers))
        if in_one_call:
            self.syncs.add(self.clock.monotonic_ms() - began_ms)
            self.durable_lsn = self.end_lsn
        elif sync:
            self._sync()
        else:
            self.dirty = True

    def _sync(self) -> None:
        began_ms = self.clock.monotonic_ms()
        self.file.sync()
        self.syncs.add(self.clock.monotonic_ms() - began_ms)
        self.dirty = False
        self.durable_lsn = self.end_lsn

    def _segment_opened(self) -> bytes:
        fact = facts.SegmentOpened(self.store, self.first_lsn, self.capacity, self.clock.now_ms())
        return form.encode_fact_entry(self.checksums, 0, facts.encode(fact))

    # ---- segments -----------------------------------------------------------------------------------------------

    def _roll(self, size: int) -> Rolled | None:
        """Go on in a new segment with room for a group of that size.

        One that is still empty is not sealed but made larger: two segments cannot have the same name.

        Raises:
            OSError: among others ENOSPC when even the reserve is too small.
        """
        # The first group of a segment carries one more entry.
        needed = size + SEGMENT_OPENED_BYTES_MAX
        if self.position == 0:
            self.file.allocate(max(needed, self.capacity))
            self.file.sync()
            self.capacity = self.file.size()
            return None
        self.seal()
        self.first_lsn, self.position, self.fresh = self.end_lsn, 0, True
        source = SPARE if self.spare_bytes >= needed or self._make_spare(needed) else self._reserve_for(needed)
        self.storage.rename(source, segment_name(self.first_lsn))
        self.storage.sync_folder(JOURNAL)
        self._use(source)
        return Rolled(self.first_lsn, self.file)

    def _use(self, source: str) -> None:
        """Write to what was the spare, or the reserve."""
        if source == SPARE and self.spare is not None:
            self.file, self.capacity = self.spare, self.spare_bytes
            self.spare, self.spare_bytes = None, 0
        else:
            # It left the folder of the reserve, too.
            self.storage.sync_folder("")
            self.file = self.storage.open(segment_name(self.first_lsn), write=True)
            self.capacity, self.reserve_bytes = self.reserve_bytes, 0

    def seal(self) -> None:
        """Sync and truncate the active segment to what is used (C3)."""
        self._sync()
        self.file.truncate(self.position)
        self.file.sync()

    def top_up(self) -> bool:
        """Make the spare segment and the reserve where they are missing; False when there was nothing to do.

        A full disk is met here, where nothing is in doubt, and not inside a group.

        Raises:
            OSError: anything but a full disk.
        """
        if self.spare_bytes and self.reserve_bytes:
            return False
        now_ms = self.clock.monotonic_ms()
        if now_ms < self._next_try_ms:
            return False
        self.full = not self.spare_bytes and not self._make_spare(self.segment_bytes)
        if not self.reserve_bytes:
            # Also on a full disk: it may be there already, or be smaller than what is left.
            self._make_reserve()
        if not (self.spare_bytes and self.reserve_bytes):
            self._next_try_ms = now_ms + DISK_RETRY_MS
        return True

    def close(self) -> None:
        """Close the spare; the active segment belongs to the journal."""
        if self.spare is not None:
            self.spare.close()

    def _make_spare(self, needed: int) -> bool:
        """Pre-allocate the next segment, or make it larger; whether it has room for a group of that size now."""
        size = max(needed, self.segment_bytes)
        file = self._allocated(SPARE, size)
        if file is None:
            return False
        if self.spare is not None:
            self.spare.close()
        self.spare, self.spare_bytes = file, size
        return True

    def _make_reserve(self) -> None:
        """Keep ballast that acknowledgements can use when the disk is full."""
        size = min(self.segment_bytes, RESERVE_BYTES_MAX)
        file = self._allocated(RESERVE, size)
        if file is not None:
            file.close()
            self.reserve_bytes = size

    def _reserve_for(self, needed: int) -> str:
        """The disk is full: the ballast, whose space is taken already, becomes the next segment.

        When it is too small, its space may still be what was missing.
        """
        self.full = True
        if self.reserve_bytes >= needed:
            return RESERVE
        if self.reserve_bytes:
            self.storage.unlink(RESERVE)
            self.reserve_bytes = 0
            if self._make_spare(needed):
                return SPARE
        raise OSError(errno.ENOSPC, "no room for the next segment of the journal, and the reserve is used up")

    def _allocated(self, name: str, size: int) -> File | None:
        """The file, open; None for a full disk."""
        try:
            return allocate(self.storage, name, size)
        except OSError as error:
            if error.errno not in FULL:
                raise
            return None


class CommitThread:
    """Runs a `Writer` on a thread of its own: takes all units that wait, commits them, reports once (C1).

    `report` is called on this thread with each `Committed`; it must only hand it over to the loop.
    """

    def __init__(self, writer: Writer, report: Callable[[Committed], None]) -> None:
        self._writer = writer
        self._report = report
        self._jobs: SimpleQueue[Encoded | Order] = SimpleQueue()
        self._held: Encoded | Order | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="isthmus-commit", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def submit(self, job: Encoded | Order) -> None:
        """Queue a unit or an order; they are done in the order of these calls."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Commit what is queued, record the durable LSN, end the thread; returns when it has ended."""
        self._jobs.put(Order.STOP)
        self._thread.join()

    def _run(self) -> None:
        while self.step():
            pass

    def step(self) -> bool:
        """Wait for something to do, and do it; False when that was to stop. What comes after a failure fails (C4)."""
        job, self._held = self._held or self._jobs.get(), None
        units = [] if isinstance(job, Order) else self._gather(job)
        if self._error is not None:
            self._report(Committed(units, error=self._error))
            return job is not Order.STOP
        for done in perform(self._writer, job, units):
            self._report(done)
            self._error = done.error
        return job is not Order.STOP

    def _gather(self, first: Encoded) -> list[Encoded]:
        """Whole units up to the target size of a group, or one larger unit, up to the next order."""
        taken, size = [first], first.size
        target = min(GROUP_BYTES_TARGET, self._writer.segment_bytes // 2)
        while size < target and not taken[-1].roll:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if isinstance(job, Order) or job.roll or size + job.size > target:
                self._held = job
                break
            size += job.size
            taken.append(job)
        return taken


def perform(writer: Writer, job: Encoded | Order, units: Sequence[Encoded] = ()) -> Iterator[Committed]:
    """Do one thing, then see to the room for the next; what there is to report about each.

    What is durable is reported before the next segment is made, so that nobody waits for that. After a report with an
    error the writer must not be used any more (C4).
    """
    done: Committed | None = None
    if job is not Order.TOP_UP and not (job is Order.STOP and writer.marked):
        done = commit_once(writer, units)
        yield done
    if job is not Order.STOP and (done is None or done.error is None):
        # Who orders it wants to know how it went, also when it is too early to try again.
        topped = top_up(writer, always=job is Order.TOP_UP)
        if topped is not None:
            yield topped


def commit_once(writer: Writer, units: Sequence[Encoded]) -> Committed:
    """One commit; a failed call is reported, not raised: the waiters must hear of it, whatever failed."""
    try:
        return writer.commit(units)
    except Exception as error:  # noqa: BLE001 - see above
        return Committed(units, error=error)


def top_up(writer: Writer, *, always: bool = False) -> Committed | None:
    """See to the room for what comes; a report if there is something to say, or `always`."""
    try:
        return writer.report(Committed(())) if writer.top_up() or always else None
    except Exception as error:  # noqa: BLE001 - as in commit_once
        return Committed((), error=error)
