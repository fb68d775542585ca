"""Where one consumer of a group stands in one partition: what is done, in flight, failed and held back. Pure.

It decides which records to hand out and what a commit says; it reads nothing and writes nothing.

Theory of operation
-------------------
All below the *floor* is done; *done* are ranges above it. A record is *taken* from its hand-out until it is settled,
failed or released. A failed record is in *attempts* with its count and the time at which it is offered again; until it
is settled its key is *held*: later records of that key are not handed out, only their offsets are kept. When the key is
free again the held offsets become *ready*, in order, before anything new. A record without key holds nobody back.

Invariants
----------
I1  floor <= every offset in done, taken, attempts, held or ready; no offset is in two of taken, held and ready.
I2  The floor only rises; an offset that is done is never handed out again.
I3  While an offset of a key is in attempts and not done, no later offset of that key is newly handed out.
I4  No more than `window` offsets lie between the floor and the furthest one handed out.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappush
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


START = Progress(0, (), ())


class Position:
    """See the module text. `scan` is the offset from which new records are read."""

    __slots__ = ("_held", "_keys", "_ready", "_taken", "attempts", "done", "floor", "scan", "window")

    def __init__(self, progress: Progress, window: int = DONE_WINDOW_MAX) -> None:
        self.floor = self.scan = progress.floor
        self.done = RangeSet(progress.done)
        self.attempts = {offset: Attempt(failures, due_ms) for offset, failures, due_ms in progress.attempts}
        self.window = window
        self._taken: set[int] = set()
        self._keys: dict[bytes, set[int]] = {}
        self._held: dict[bytes, list[int]] = {}
        self._ready: list[int] = []

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
        return bool(self._ready)

    def take_new(self, records: Sequence[StoredRecord], end_offset: int) -> list[StoredRecord]:
        """What of the records read from `scan` on can be handed out; `end_offset` is where the next read goes on.

        Offsets without a record (compacted, control) are done by being passed over.
        """
        fresh = records
        if self.done or self.attempts or self._held:
            fresh = [record for record in records if self._admits(record)]
        if len(records) != end_offset - self.scan:
            self._pass_gaps(records, end_offset)
        self._taken.update([record.offset for record in fresh])
        self.scan = end_offset
        if not self._taken and not self._ready:
            self.floor = self.done.absorb(self.floor)
        return list(fresh)

    def _admits(self, record: StoredRecord) -> bool:
        offset, key = record.offset, record.key
        if offset in self.done:
            return False
        if offset in self.attempts:
            # It failed before a restart: it comes when it is due, and until then its key waits.
            if key is not None:
                self._keys.setdefault(key, set()).add(offset)
            return False
        if key is not None and key in self._keys:
            self._held.setdefault(key, []).append(offset)
            return False
        return True

    def _pass_gaps(self, records: Sequence[StoredRecord], end_offset: int) -> None:
        at = self.scan
        for record in records:
            self.done.add(at, record.offset)
            at = record.offset + 1
        self.done.add(at, end_offset)

    def due(self, now_ms: int, count: int) -> list[int]:
        """Offsets to read again and hand out with `take_again`: freed ones, and failed ones whose time has come."""
        found = sorted(self._ready)[:count]
        if len(found) < count and self.attempts:
            failed = [
                offset
                for offset, attempt in self.attempts.items()
                if attempt.due_ms <= now_ms and offset < self.scan and offset not in self._taken
            ]
            found += sorted(failed)[: count - len(found)]
        return found

    def next_due_ms(self) -> int | None:
        """When the next failed record is due, of those that wait for a time."""
        return min((a.due_ms for o, a in self.attempts.items() if o not in self._taken), default=None)

    def take_again(self, record: StoredRecord) -> None:
        """Hand out a record that `due` named."""
        self._unready(record.offset)
        self._taken.add(record.offset)

    def skip(self, offset: int) -> None:
        """An offset that `due` named is not in the log any more: done."""
        self._unready(offset)
        self._finish(offset, None)
        self._advance()

    def _unready(self, offset: int) -> None:
        if offset in self._ready:
            self._ready.remove(offset)
            heapify(self._ready)

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
        offsets = []
        for record in records:
            offset = record.offset
            self._taken.discard(offset)
            offsets.append(offset)
            if self.attempts or self._keys:
                self._finish(offset, record.key)
        for start, end in ranges_of(offsets):
            self.done.add(start, end)
        self._advance()

    def fail(self, record: StoredRecord, due_ms: int) -> None:
        """This one failed: it comes again at `due_ms`, and its key waits with it."""
        offset = record.offset
        self._give_up(offset)
        self.attempts[offset] = Attempt(self.failures(offset) + 1, due_ms)
        if record.key is not None:
            self._keys.setdefault(record.key, set()).add(offset)

    def release(self, record: StoredRecord, due_ms: int = 0) -> None:
        """Handed back without a failure: ready again, or at `due_ms`, or when its key is free."""
        offset, key = record.offset, record.key
        self._give_up(offset)
        if due_ms:
            self.attempts[offset] = Attempt(self.failures(offset), due_ms)
            if key is not None:
                self._keys.setdefault(key, set()).add(offset)
        elif offset in self.attempts:
            return
        elif key is not None and key in self._keys:
            self._held.setdefault(key, []).append(offset)
        else:
            heappush(self._ready, offset)

    def _give_up(self, offset: int) -> None:
        if offset not in self._taken:
            raise InvariantError(f"offset {offset} is given back by someone who does not hold it")
        self._taken.discard(offset)

    def _finish(self, offset: int, key: bytes | None) -> None:
        self.attempts.pop(offset, None)
        if key is None:
            key = next((name for name, failed in self._keys.items() if offset in failed), None)
        failed = self._keys.get(key) if key is not None else None
        if key is None or failed is None:
            self.done.add(offset, offset + 1)
            return
        failed.discard(offset)
        self.done.add(offset, offset + 1)
        if not failed:
            del self._keys[key]
            for waiting in sorted(self._held.pop(key, ())):
                heappush(self._ready, waiting)

    def _advance(self) -> None:
        self.floor = self.done.absorb(self.floor)

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
        for offset in [offset for offset in self.attempts if offset < log_start]:
            self._finish(offset, None)
        self._ready = [offset for offset in self._ready if offset >= log_start]
        heapify(self._ready)
        for key, offsets in list(self._held.items()):
            self._held[key] = [offset for offset in offsets if offset >= log_start]
        self._advance()
        self.scan = max(self.scan, self.floor)
