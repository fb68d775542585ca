"""Admission: which offsets of one partition of a queue may be handed out next, and which must be read before. Pure.

Everything here is drawn from the log and the ledger's rows and is made anew at each opening; nothing of it is durable,
and nothing here changes a row.

Theory of operation. Offsets from `fresh` on were never looked at and cost nothing. *Unread* ranges lie below `fresh`
and have to be read (again): after an opening, when a delay is over, when keys must be learned. What was read is
*ready*, or *asleep* until a due time, or, in an ordered queue, waits in the chain of its key. `look` names the lowest
offset that is ready or to be read; whoever asked reads it and says what it found, or takes it.

The heaps are lazy: a range in them may have been settled or claimed since, so what comes out is compared with rows and
claims first. Nothing is lost by that, because whatever frees an offset again puts it back.

Invariants:
    A1: an offset below `fresh` that is not settled, claimed, leased or dying is ready, unread or asleep.
    A2: an offset is asleep as long as its due time is after `woken_ms`; `delayed` counts those that are.
"""

import heapq
from collections.abc import Iterable
from typing import Final, NamedTuple

from isthmus.lenses.queue.changes import Range
from isthmus.lenses.queue.order import KeyOrder
from isthmus.lenses.queue.rows import DONE, DYING, RETURNED, Row, Rows
from isthmus.lenses.queue.wheel import Wheel
from isthmus.ranges import ranges_of

WHEEL_SLACK: Final = 1_024
"""Outdated entries of a wheel that are never worth filling it anew."""

CLOCK_BACK_MS: Final = 1_000
"""How far the wall clock may go back without anything being made of it."""

_ASLEEP: Final = 9
"""State in the map of what its producer delayed."""


class Look(NamedTuple):
    """The lowest offsets that can be taken (all with these counts), or that must be read first."""

    start: int
    end: int
    unread: bool
    acquired: int = 0
    failed: int = 0


class Seen(NamedTuple):
    """What reading a record told: when it is due and when it expires (wall clock, 0 is "not given"), and its key."""

    offset: int
    due_ms: int = 0
    expire_ms: int = 0
    key: bytes | None = None


class Admission:
    """See the module text. `rows` and `claims` are the ledger's and only read here."""

    __slots__ = ("_asleep", "_claims", "_dues", "_ready", "_rows", "_unread", "delayed", "fresh", "order", "woken_ms")

    def __init__(self, rows: Rows, claims: Rows, *, ordered: bool, fresh: int = 0, now_ms: int = 0) -> None:
        self._rows = rows
        self._claims = claims
        self._ready: list[Range] = []
        self._unread: list[Range] = []
        self._asleep = Rows()
        self._dues = Wheel()
        self.order = KeyOrder() if ordered else None
        self.fresh = fresh
        self.delayed = 0
        self.woken_ms = now_ms

    @property
    def next_due_ms(self) -> int | None:
        """A wall clock time before which nothing wakes; None when nothing is asleep."""
        return self._dues.next_ms()

    @property
    def size_bytes(self) -> int:
        """Bytes of what is asleep, for figures."""
        return self._asleep.size_bytes + self._dues.size_bytes

    def due_ms(self, offset: int, row: Row | None) -> int | None:
        """When an offset wakes, None when it is not asleep. `row` is its row in the ledger."""
        if row is None:
            row = self._asleep.get(offset)
        elif row.state != RETURNED:
            return None
        return row.at_ms if row is not None and row.at_ms > self.woken_ms else None

    def awake(self, start: int, end: int) -> list[Range]:
        """What of a range is not asleep because its producer delayed it."""
        return [(first, last) for first, last, row in self._asleep.segments(start, end) if row is None]

    # ---- looking and taking ---------------------------------------------------------------------------------------

    def look(self, base: int, end: int, limit: int) -> Look | None:
        """The lowest offsets to take or to read, at or above `base`; None when there is nothing.

        Args:
            base: nothing below it goes out.
            end: fresh offsets up to here may be read.
            limit: offsets to take at most.
        """
        while True:
            unread = self._first_unread(base)
            if not self._ready or (unread is not None and unread[0] < self._ready[0][0]):
                break
            start, stop = self._ready[0]
            found = self._first_takeable(max(start, base), stop, limit)
            if found is not None:
                return found
            heapq.heappop(self._ready)
        return self.unread(base, end)

    def unread(self, base: int, end: int) -> Look | None:
        """The lowest offsets that must be read before anything is known of them; arguments as for `look`."""
        unread = self._first_unread(base)
        if unread is not None:
            return Look(*unread, unread=True)
        start = max(self.fresh, base)
        while start < end and (row := self._rows.get(start)) is not None and row.state == DONE:
            start = row.end
        return Look(start, end, unread=True) if start < end else None

    def _first_unread(self, base: int) -> Range | None:
        """The first piece of the unread ranges that is not settled or claimed."""
        while self._unread:
            start, end = self._unread[0]
            start = max(start, base)
            for first, last, row in self._rows.segments(start, end) if start < end else ():
                if row is None or row.state != DONE:
                    for claimed in self._claims.segments(first, last):
                        if claimed[2] is None:
                            return claimed[0], claimed[1]
            heapq.heappop(self._unread)
        return None

    def _first_takeable(self, start: int, end: int, limit: int) -> Look | None:
        """The first piece of a range that nothing stands against, of equal counts."""
        if start >= end:
            return None
        if self.order is not None:
            if not self.order.may_go(start):
                return None
            end = start + 1
        for first, last, row in self._rows.segments(start, end):
            if row is not None and (row.state != RETURNED or row.at_ms > self.woken_ms):
                continue
            for piece, stop, claim in self._claims.segments(first, last):
                if claim is None:
                    counts = (row.acquired, row.failed) if row is not None else (0, 0)
                    return Look(piece, min(stop, piece + limit), False, *counts)
        return None

    def take(self, start: int, end: int) -> None:
        """Take what `look` showed, or the first part of it."""
        stop = heapq.heappop(self._ready)[1]
        if end < stop:
            heapq.heappush(self._ready, (end, stop))
        self.take_behind(start)

    def take_behind(self, offset: int) -> None:
        """Take an offset that waits in the chain of a key behind one that was just taken."""
        if self.order is not None:
            self.order.go(offset)

    # ---- what reading tells ---------------------------------------------------------------------------------------

    def admit(self, start: int, end: int) -> None:
        """All of a range that was to be read is ready; for records without attributes in a queue without order."""
        self._was_read(end)
        heapq.heappush(self._ready, (start, end))

    def admit_seen(self, end: int, seen: Iterable[Seen]) -> None:
        """What was to be read was read up to `end`, and this is what is in it, in order of offsets."""
        self._was_read(end)
        awake: list[int] = []
        for record in seen:
            row = self._rows.get(record.offset)
            if row is not None and row.state == DONE:
                continue
            if row is None and record.due_ms > self.woken_ms:
                self._asleep.put(record.offset, record.offset + 1, _ASLEEP, at_ms=record.due_ms)
                self._dues.add(record.due_ms, record.offset, record.offset + 1)
                self.delayed += 1
            elif self.order is not None:
                held = row is not None and (row.state == DYING or row.at_ms > self.woken_ms)
                if self.order.admit(record.offset, record.key, held=held) == record.offset:
                    # Another one of its key that may go is known to be ready.
                    self._may_go(record.offset)
            elif row is None or row.state == RETURNED:
                awake.append(record.offset)
        for piece in ranges_of(awake):
            heapq.heappush(self._ready, piece)

    def _was_read(self, end: int) -> None:
        """What `look` asked to be read was read up to `end`."""
        if self._unread:
            stop = heapq.heappop(self._unread)[1]
            if end < stop:
                heapq.heappush(self._unread, (end, stop))
        else:
            self.fresh = max(self.fresh, end)

    def reread(self, start: int, end: int) -> None:
        """Have a range below `fresh` read before it can be ready."""
        heapq.heappush(self._unread, (start, end))

    # ---- what happens to offsets ----------------------------------------------------------------------------------

    def back(self, start: int, end: int, due_ms: int = 0) -> None:
        """What was taken comes back: ready at once, or asleep until `due_ms`."""
        if due_ms > self.woken_ms:
            self.delayed += end - start
            self._dues.add(due_ms, start, end)
            self.hold(start, end)
        else:
            self._ready_again(start, end)

    def hold(self, start: int, end: int) -> None:
        """What was taken does not come back yet, and holds back what is behind it of the same key."""
        if self.order is not None:
            for offset in self.order.within(start, end):
                self._may_go(self.order.hold(offset))

    def _ready_again(self, start: int, end: int) -> None:
        if self.order is None:
            heapq.heappush(self._ready, (start, end))
        else:
            for offset in self.order.within(start, end):
                self._may_go(self.order.wait(offset))

    def gone(self, start: int, end: int, row: Row | None) -> None:
        """What was not leased is settled. `row` is what the ledger had for all of it."""
        if row is None:
            for asleep in self._asleep.overlap(start, end):
                self.delayed -= asleep.end - asleep.start
            self._asleep.clear(start, end)
        elif row.state == RETURNED and row.at_ms > self.woken_ms:
            self.delayed -= end - start
        self.drop(start, end)

    def drop(self, start: int, end: int) -> None:
        """What is settled frees its key."""
        if self.order is not None:
            for offset in self.order.within(start, end):
                self._may_go(self.order.drop(offset))

    def _may_go(self, offset: int | None) -> None:
        if offset is not None:
            heapq.heappush(self._ready, (offset, offset + 1))

    def wake(self, now_ms: int) -> bool:
        """Time has come to `now_ms` (wall clock); says whether something woke."""
        before = self.woken_ms
        if now_ms < before - CLOCK_BACK_MS:
            self._fall_asleep_again(now_ms)
        if now_ms <= before:
            return False
        self.woken_ms = now_ms
        due = self._dues.pop(now_ms)
        for _, start, end in due:
            for asleep in self._asleep.overlap(start, end):
                if asleep.at_ms <= now_ms:
                    self._asleep.clear(asleep.start, asleep.end)
                    self.delayed -= asleep.end - asleep.start
                    self.reread(asleep.start, asleep.end)
            for row in self._rows.overlap(start, end):
                if row.state == RETURNED and before < row.at_ms <= now_ms:
                    self.delayed -= row.end - row.start
                    self._ready_again(row.start, row.end)
        return bool(due)

    def _fall_asleep_again(self, now_ms: int) -> None:
        """The clock was put back: what failed and was woken by the wrong time waits for the right one.

        Else every delay up to the wrong time would be over at once. What a producer delayed stays awake.
        """
        woken_ms, self.woken_ms = self.woken_ms, now_ms
        for row in self._rows:
            if row.state == RETURNED and now_ms < row.at_ms <= woken_ms:
                self.delayed += row.end - row.start
                self._dues.add(row.at_ms, row.start, row.end)
                self.hold(row.start, row.end)

    def forget_outdated(self) -> None:
        """Fill the wheel anew when most of it is outdated, so that it cannot grow for ever."""
        if len(self._dues) <= 2 * self.delayed + WHEEL_SLACK:
            return
        self._dues.clear()
        for asleep in self._asleep:
            self._dues.add(asleep.at_ms, asleep.start, asleep.end)
        for row in self._rows:
            if row.state == RETURNED and row.at_ms > self.woken_ms:
                self._dues.add(row.at_ms, row.start, row.end)
