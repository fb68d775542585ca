"""Where one consumer of a group stands in one partition: what is done, in flight, failed and held back. Pure.

It decides which records to hand out and what a commit says; it reads nothing and writes nothing.

Theory of operation
-------------------
All below the *floor* is done; *done* are ranges above it. A record is *taken* from its hand-out until it is settled,
failed or released. A failed record is in *attempts* with its count and the time at which it is offered again; until it
is settled later records of its key are *held*, which keeps their offsets and not the records. What is held becomes
*ready* when no earlier one of its key is in attempts, and goes out, in order, before anything new. What is released
waits in the same place. A record without key holds nobody back. New records are read from *scan* on.

What a restart finds in attempts is scanned like everything else: its key is learnt on the way, before any later record
of that key is looked at.

Invariants
----------
I1  floor <= every offset in done, attempts or held, and those taken unless the log was trimmed meanwhile; no offset is
    both taken and held.
I2  The floor only rises; an offset that is done is never handed out again.
I3  While an offset of a key is in attempts, no later offset of that key is handed out, whether new or failed itself.
I4  No offset is handed out, or passed over, that is `window` or more above the floor.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import NamedTuple

from isthmus.errors import InvariantError
from isthmus.limits import DONE_WINDOW_MAX
from isthmus.log.facts import Ranges
from isthmus.ranges import RangeSet, ranges_of
from isthmus.record import StoredRecord


class Attempt(NamedTuple):
    """How often a record failed, and when it is offered again (ms since 1970 UTC)."""

    failures: int
    due_ms: int


class Progress(NamedTuple):
    """A position as a commit states it, whole."""

    floor: int
    done: Ranges
    attempts: tuple[tuple[int, int, int], ...]


class Cut(NamedTuple):
    """What of a piece of the log can be looked at now: its records up to `end_offset`; `rest` is for later."""

    records: Sequence[StoredRecord]
    end_offset: int
    rest: Sequence[StoredRecord]


class Claim(NamedTuple):
    """An offset that is to be read and handed out again, with its key as far as it matters."""

    offset: int
    key: bytes | None


START = Progress(0, (), ())
_offset_of = attrgetter("offset")


class _Lane:
    """A key that is not free: its failed offsets, rising, and a heap of those that wait."""

    __slots__ = ("failed", "held")

    def __init__(self) -> None:
        self.failed: list[int] = []
        self.held: list[int] = []

    def frees(self, offset: int) -> bool:
        """Whether the first that waits is that offset, and no earlier one has failed (I3)."""
        return bool(self.held) and self.held[0] == offset and not (self.failed and self.failed[0] < offset)


class Position:
    """See the module text. `scan` is the offset from which new records are read."""

    __slots__ = ("_due", "_keys", "_lanes", "_ready", "_taken", "attempts", "done", "floor", "scan", "window")

    def __init__(self, progress: Progress, window: int = DONE_WINDOW_MAX) -> None:
        self.floor = self.scan = progress.floor
        self.done = RangeSet(progress.done)
        self.attempts = {
            offset: Attempt(failures, due_ms)
            for offset, failures, due_ms in progress.attempts
            if offset >= progress.floor and offset not in self.done
        }
        self.window = window
        self._taken: set[int] = set()
        self._lanes: dict[bytes, _Lane] = {}
        self._keys: dict[int, bytes] = {}
        # Heaps of what may go out again, one row a key; rows that are no longer true are passed over.
        self._ready: list[tuple[int, bytes | None]] = []
        self._due: list[tuple[int, int]] = []
        self._advance()

    # ---- handing out --------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the window is full, so that nothing new is handed out until the floor moves."""
        return self.scan - self.floor >= self.window

    @property
    def busy(self) -> bool:
        """Whether something is taken."""
        return bool(self._taken)

    @property
    def has_ready(self) -> bool:
        """Whether something that was handed back can be handed out at once."""
        while self._ready:
            offset, key = self._ready[0]
            lane = self._lanes.get(key) if key is not None else None
            if key is None or (lane is not None and lane.frees(offset)):
                return True
            heappop(self._ready)
        return False

    def cut(self, records: Sequence[StoredRecord], end_offset: int, count: int) -> Cut:
        """The part of what was read up to `end_offset` that `scan`, the window and `count` let through (I2, I4)."""
        limit = self.floor + self.window
        start = bisect_left(records, self.scan, key=_offset_of) if records and records[0].offset < self.scan else 0
        end = min(start + count, len(records))
        if end_offset > limit:
            end = min(end, bisect_left(records, limit, key=_offset_of))
        until = records[end].offset if end < len(records) else end_offset
        return Cut(records[start:end], max(self.scan, min(until, limit)), records[end:])

    def take_new(self, records: Sequence[StoredRecord], end_offset: int) -> list[StoredRecord]:
        """What of the records from `scan` to `end_offset` can be handed out; the next are read from there.

        Offsets without a record (compacted, control) are done by being passed over.
        """
        fresh = records
        if self.done or self.attempts or self._lanes:
            fresh = [record for record in records if self._admits(record)]
        self._taken.update([record.offset for record in fresh])
        start, self.scan = self.scan, end_offset
        if len(records) != end_offset - start:
            self._pass_gaps(start, records, end_offset)
        return list(fresh)

    def _admits(self, record: StoredRecord) -> bool:
        offset, key = record.offset, record.key
        if offset in self.done:
            return False
        if offset in self.attempts:
            # It failed before a restart: it comes when it is due, and until then its key waits.
            self._block(offset, key)
            return False
        if key is None or key not in self._lanes:
            return True
        self._hold(offset, key)
        return False

    def _pass_gaps(self, start: int, records: Sequence[StoredRecord], end_offset: int) -> None:
        gaps = RangeSet([(start, end_offset)])
        for first, end in ranges_of(record.offset for record in records):
            gaps.discard(first, end)
        for first, end in gaps:
            self.done.add(first, end)
        for offset in [offset for offset in self.attempts if offset in gaps]:
            self._unblock(offset)
        self._advance()

    def claim(self, now_ms: int, count: int) -> list[Claim]:
        """Take up to `count` offsets to read and hand out again: freed ones, and failed ones whose time has come.

        Each must then be handed out if it still `stands`, or given to `skip` or `unclaim`.
        """
        found: list[Claim] = []
        while len(found) < count and self.has_ready:
            offset, key = heappop(self._ready)
            if key is not None:
                heappop(self._lanes[key].held)
                self._ripen(key)
            found.append(Claim(offset, key))
        self._taken.update([claim.offset for claim in found])
        while len(found) < count and (due_ms := self.next_due_ms()) is not None and due_ms <= now_ms:
            offset = heappop(self._due)[1]
            self._taken.add(offset)
            found.append(Claim(offset, self._keys.get(offset)))
        return sorted(found, key=_offset_of)

    def stands(self, claim: Claim) -> bool:
        """Whether no earlier record of its key has failed since the claim (I3)."""
        lane = self._lanes.get(claim.key) if claim.key is not None else None
        return lane is None or not lane.failed or lane.failed[0] >= claim.offset

    def unclaim(self, claims: Iterable[Claim]) -> None:
        """These were claimed and not handed out: they are offered again."""
        for offset, key in claims:
            self._taken.discard(offset)
            self._return(offset, key)

    def skip(self, offset: int) -> None:
        """A claimed offset is not in the log any more: done."""
        self._taken.discard(offset)
        self.done.add(offset, offset + 1)
        self._unblock(offset)
        self._advance()

    def next_due_ms(self) -> int | None:
        """When the next failed record is to be offered again."""
        while self._due:
            due_ms, offset = self._due[0]
            attempt = self.attempts.get(offset)
            if attempt is not None and attempt.due_ms == due_ms and offset not in self._taken and self._leads(offset):
                return due_ms
            heappop(self._due)
        return None

    def failures(self, offset: int) -> int:
        """How often that record has failed."""
        attempt = self.attempts.get(offset)
        return attempt.failures if attempt is not None else 0

    # ---- what became of it --------------------------------------------------------------------------------------

    def holds(self, offset: int) -> bool:
        """Whether that offset is taken."""
        return offset in self._taken

    def settle(self, records: Iterable[StoredRecord]) -> None:
        """These are done."""
        offsets = [record.offset for record in records]
        self._taken.difference_update(offsets)
        for start, end in ranges_of(offsets):
            self.done.add(start, end)
        if self.attempts:
            for offset in offsets:
                self._unblock(offset)
        self._advance()

    def fail(self, record: StoredRecord, due_ms: int) -> None:
        """This one failed: it comes again at `due_ms`, and its key waits with it."""
        self._postpone(record, self.failures(record.offset) + 1, due_ms)

    def release(self, record: StoredRecord, due_ms: int = 0) -> None:
        """Handed back without a failure: ready again, or at `due_ms`, or when its key is free."""
        if due_ms:
            self._postpone(record, self.failures(record.offset), due_ms)
        else:
            self._give_up(record.offset)
            self._return(record.offset, record.key)

    def _postpone(self, record: StoredRecord, failures: int, due_ms: int) -> None:
        offset = record.offset
        self._give_up(offset)
        if offset < self.floor:
            return  # trimmed meanwhile
        known = offset in self.attempts
        self.attempts[offset] = Attempt(failures, due_ms)
        if known:
            self._offer(offset)
        else:
            self._block(offset, record.key)

    def _give_up(self, offset: int) -> None:
        if offset not in self._taken:
            raise InvariantError(f"offset {offset} is given back by someone who does not hold it")
        self._taken.discard(offset)

    def _return(self, offset: int, key: bytes | None) -> None:
        if offset < self.floor:
            return  # trimmed meanwhile
        if offset in self.attempts:
            self._offer(offset)
        else:
            self._hold(offset, key)

    # ---- failed records and their keys ----------------------------------------------------------------------------

    def _hold(self, offset: int, key: bytes | None) -> None:
        if key is None:
            heappush(self._ready, (offset, None))
        else:
            heappush(self._lanes.setdefault(key, _Lane()).held, offset)
            self._ripen(key)

    def _ripen(self, key: bytes) -> None:
        """After a change of its lane: the first that waits may go out, or nothing of the key is left."""
        lane = self._lanes[key]
        if lane.held and lane.frees(lane.held[0]):
            heappush(self._ready, (lane.held[0], key))
        elif not lane.held and not lane.failed:
            del self._lanes[key]

    def _block(self, offset: int, key: bytes | None) -> None:
        """A record in attempts whose key is known: later ones of the key wait for it."""
        if key is not None:
            self._keys[offset] = key
            insort(self._lanes.setdefault(key, _Lane()).failed, offset)
        self._offer(offset)

    def _unblock(self, offset: int) -> None:
        """A record is done: forget its failures, and let go what waited for it."""
        if self.attempts.pop(offset, None) is None:
            return
        key = self._keys.pop(offset, None)
        if key is not None:
            failed = self._lanes[key].failed
            del failed[bisect_left(failed, offset)]
            if failed:
                self._offer(failed[0])
            self._ripen(key)

    def _leads(self, offset: int) -> bool:
        """Whether it is the first failed one of its key, which is the only one that goes out (I3)."""
        key = self._keys.get(offset)
        return key is None or self._lanes[key].failed[0] == offset

    def _offer(self, offset: int) -> None:
        if self._leads(offset):
            heappush(self._due, (self.attempts[offset].due_ms, offset))

    def _advance(self) -> None:
        self.floor = self.done.absorb(self.floor)
        self.scan = max(self.scan, self.floor)

    # ---- stating it ---------------------------------------------------------------------------------------------

    def progress(self) -> Progress:
        """What a commit says now."""
        attempts = tuple((offset, *attempt) for offset, attempt in sorted(self.attempts.items()))
        return Progress(self.floor, tuple(self.done), attempts)

    def trimmed(self, log_start: int) -> None:
        """The log starts later now: what lies below is done."""
        if log_start <= self.floor:
            return
        self.done.add(self.floor, log_start)
        self._ready = [(offset, key) for offset, key in self._ready if offset >= log_start]
        heapify(self._ready)
        for key, lane in list(self._lanes.items()):
            lane.held = [offset for offset in lane.held if offset >= log_start]
            heapify(lane.held)
            self._ripen(key)
        for offset in [offset for offset in self.attempts if offset < log_start]:
            self._unblock(offset)
        self._advance()
