"""The ledger of one partition of a queue: which offset is settled, leased, to be handed out again, dying. Pure.

It decides and keeps state; it reads no record, writes no fact and knows no clock: what it decides comes back as a
`Change`, which the caller journals, and which takes effect when the journal gives it back.

Theory of operation
    A queue stores no record. Over a partition it keeps a *floor* below which everything is settled, and *rows* for
    the ranges above it that are not simply waiting (`rows.py`). An offset climbs, and never climbs down:

        untouched < leased(1) < returned(1) or dying(1) < leased(2) < ... < done

    where the number is `acquired`, the count of hand-overs. A change lifts an offset, or passes it over where it is
    as high already; so any old part of the journal replays over a newer state without effect.

    Rows, floor and counts are *applied* state: only `apply` and `restore` touch them, live and in replay, and
    `recover`, which is what an opening means: whoever held a lease is gone. *Reserved* state is apart: `claims` marks
    the ranges for which a change is in flight, with its number; a claimed offset is not handed out, and a lease with
    a claim counts as ended. Changes come back in the order in which they were reserved.

    What may go out next, and all that is drawn from the records themselves, is `admission.py`. Time to live: a
    record's own is kept in a wheel when it is read; that of the queue needs no reading, because `_ages` remembers
    which offsets were there at what time.

    Two clocks: leases end on the monotonic one; delays and time to live run on the wall clock.

Invariants
    L1: floor <= start of every row; the offset at the floor is not done.
    L2: enqueued = ready + leased + delayed + dying + all that is settled, by `counts`; gaps are not counted at all.
    L3: an offset has one lease at most, and an ordered queue hands out a key to one call at a time.
    L4: what is done is never handed out again, nor is what has a claim.
    L5: applying a change again, or an older one, changes nothing.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from isthmus.definition import QueueConfig
from isthmus.errors import InvariantError, StorageError
from isthmus.lenses.queue.admission import WHEEL_SLACK, Admission, Look, Seen
from isthmus.lenses.queue.changes import (
    DUE_NEVER,
    LEDGER_ROW,
    UNTIL_NEVER,
    WHYS,
    Change,
    Counts,
    Held,
    Range,
    Slice,
    Why,
    merged,
)
from isthmus.lenses.queue.rows import DONE, DYING, LEASED, RETURNED, Row, Rows
from isthmus.lenses.queue.wheel import Wheel
from isthmus.limits import QUEUE_AGES_MAX, QUEUE_WINDOW_MAX

_CLAIMED: Final = 1
_TRIMMING: Final = 2
_EXPIRE_AGAIN_MS: Final = 1_000
_SLICE_ROWS: Final = 1_000
_GONE_FOR_GOOD: Final = frozenset({"trimmed", "expired", "purged", "dropped"})
"""Reasons for which a record goes although somebody holds a lease on it, who may still acknowledge."""


class _Flight(NamedTuple):
    change: Change
    number: int
    until_ms: int
    session: int


class Ledger:
    """See the module text. `start` is the first offset that the queue takes."""

    __slots__ = (
        "_age_began_ms",
        "_ages",
        "_claims",
        "_dying",
        "_expiries",
        "_flights",
        "_leased",
        "_leases",
        "_live",
        "_number",
        "_orphans",
        "_rows",
        "_sessions",
        "_settled",
        "_settled_above",
        "admission",
        "base",
        "config",
        "end",
        "floor",
        "start",
    )

    def __init__(self, start: int, config: QueueConfig) -> None:
        self.config = config
        self.start = start
        self.floor = start
        self.end = start
        self.base = start
        self._rows = Rows()
        self._settled = dict.fromkeys(WHYS, 0)
        self._ages: deque[Range] = deque()
        self._age_began_ms = 0
        self._claims = Rows()
        self._flights: deque[_Flight] = deque()
        self._number = 0
        self._live = False
        self._leased = self._dying = self._settled_above = 0
        self._leases = Wheel()
        self._expiries = Wheel()
        self._sessions: dict[int, Rows] = {}
        self._orphans = Rows()
        self.admission = Admission(self._rows, self._claims, ordered=config.ordered)

    # ---- what there is --------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Applied state in numbers (L2). What was never looked at counts as ready."""
        settled = self._settled
        unsettled = self.end - self.floor - self._settled_above
        return Counts(
            enqueued=unsettled + sum(settled.values()) - settled["gap"],
            ready=self.ready,
            leased=self._leased,
            delayed=self.admission.delayed,
            dying=self._dying,
            acked=settled["acked"],
            rejected=settled["rejected"],
            dead=settled["dead"],
            expired=settled["expired"],
            purged=settled["purged"],
            trimmed=settled["trimmed"],
            dropped=settled["dropped"],
        )

    def unsettled(self, start: int, end: int) -> list[tuple[int, int, Row | None]]:
        """The pieces of a range that are not settled, each with its row."""
        start = max(start, self.floor)
        pieces = self._rows.segments(start, end) if start < end else []
        return [piece for piece in pieces if piece[2] is None or piece[2].state != DONE]

    def settled(self) -> Iterator[Range]:
        """The ranges above the floor that are settled, durably."""
        return ((row.start, row.end) for row in self._rows.snapshot() if row.state == DONE)

    @property
    def settled_count(self) -> int:
        """How many offsets were ever settled."""
        return sum(self._settled.values())

    def row(self, offset: int) -> Row | None:
        """What the ledger has of an offset."""
        return self._rows.get(offset)

    def state(self, offset: int, due_ms: int | None) -> str:
        """The state of an unsettled offset for people; `due_ms` is None unless it is known to be asleep."""
        row = self._rows.get(offset)
        if row is not None and row.state != RETURNED:
            return "leased" if row.state == LEASED else "dying"
        if due_ms is not None:
            return "delayed"
        return "waiting" if offset >= self.window_end else "ready"

    def is_dying(self, start: int, end: int) -> bool:
        """Whether all of a range is dying and nothing is in flight for it."""
        pieces = self._rows.segments(start, end)
        return self._claims.free(start, end) and all(row is not None and row.state == DYING for _, _, row in pieces)

    @property
    def has_dying(self) -> bool:
        """Whether something is to be moved to the dead letters."""
        return self._dying > 0

    def first_ready(self) -> int | None:
        """The lowest offset that could go out as far as is known; None when there is none."""
        for start, end, row in self.unsettled(self.base, self.end):
            if start < self.end and (row is None or row.state == RETURNED) and self.due_ms(start, row) is None:
                return start if end > start else None
        return None

    def dying(self, count: int) -> list[Held]:
        """Up to `count` offsets that are to be moved to the dead letters, lowest first."""
        found: list[Held] = []
        if self._dying:
            for row in self._rows:
                for start, end in self._unclaimed(row.start, row.end) if row.state == DYING else ():
                    found.append(Held(start, min(end, start + count), row.acquired, row.failed))
                    count -= found[-1].end - start
                    if count <= 0:
                        return found
        return found

    @property
    def leased(self) -> int:
        """How many offsets are leased, their hand-over written."""
        return self._leased

    @property
    def ready(self) -> int:
        """How many offsets could go out as far as their state tells; never-looked-at ones included."""
        unsettled = self.end - self.floor - self._settled_above
        return unsettled - self._leased - self._dying - self.admission.delayed

    @property
    def leaving(self) -> int:
        """How many ready offsets are ready no more when what is in flight is written."""
        return sum(
            [
                last - first
                for claim in self._claims
                for first, last, row in self.unsettled(claim.start, claim.end)
                if row is None or row.state == RETURNED
            ]
        )

    def ready_ranges(self) -> Iterator[Range]:
        """What could go out and has no change in flight, lowest first."""
        for start, end, row in self.unsettled(self.floor, self.end):
            if row is None:
                for piece in self._unclaimed(start, end):
                    yield from self.admission.awake(*piece)
            elif row.state == RETURNED and row.at_ms <= self.admission.woken_ms:
                yield from self._unclaimed(start, end)

    @property
    def window_end(self) -> int:
        """One past the last offset that there is room to admit."""
        admission = self.admission
        used = admission.fresh - self.floor - self._settled_above - admission.delayed
        return min(self.end, admission.fresh + QUEUE_WINDOW_MAX - used)

    def due_ms(self, offset: int, row: Row | None) -> int | None:
        """When an offset comes up (wall clock), None when it is not asleep as far as is known."""
        return self.admission.due_ms(offset, row)

    @property
    def buries(self) -> bool:
        """Whether what dies leaves a dead letter, so that it cannot simply be settled."""
        return self.config.dead is not None or self.config.dead_exchange is not None

    @property
    def live(self) -> bool:
        """Whether replay is over, so that it decides."""
        return self._live

    @property
    def size_bytes(self) -> int:
        """Bytes that the packed entries take in memory, for figures."""
        return self._rows.size_bytes + self._leases.size_bytes + self.admission.size_bytes

    @property
    def entries(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    # ---- time -----------------------------------------------------------------------------------------------------

    def grow(self, end: int, now_ms: int) -> None:
        """The partition holds offsets up to `end`, exclusive, at this wall clock time."""
        self.end = max(self.end, end)
        self._remember_age(now_ms)

    def _remember_age(self, now_ms: int) -> None:
        """That all below `end` is there now.

        What comes within a part of the time to live counts as having come with the last of it: nothing goes too early.
        """
        if self.config.ttl_ms is None or self.end <= (self._ages[-1][0] if self._ages else self.base):
            return
        spacing_ms = max(1, self.config.ttl_ms // QUEUE_AGES_MAX)
        if self._ages and 0 <= now_ms - self._age_began_ms < spacing_ms:
            self._ages.pop()
        else:
            self._age_began_ms = now_ms
        self._ages.append((self.end, now_ms))

    def next_wall_ms(self) -> int | None:
        """A wall clock time before which nothing wakes or expires."""
        times = [self.admission.next_due_ms, self.next_end_ms()]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def next_end_ms(self) -> int | None:
        """A wall clock time before which nothing expires as far as is known."""
        times = [self._expiries.next_ms()]
        if self._ages and self.config.ttl_ms is not None:
            times.append(self._ages[0][1] + self.config.ttl_ms)
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def next_lease_end_ms(self) -> int | None:
        """A monotonic time before which no lease ends."""
        return self._leases.next_ms()

    # ---- deciding what goes out -----------------------------------------------------------------------------------

    def look(self, limit: int, *, fresh: bool = True) -> Look | None:
        """The lowest offsets that can be taken, or must be read first; without `fresh` none that was never read."""
        return self.admission.look(max(self.base, self.floor), self.window_end if fresh else 0, limit)

    def unread(self, *, fresh: bool) -> Look | None:
        """The lowest offsets that must be read before anything is known of them; `fresh` as for `look`."""
        return self.admission.unread(max(self.base, self.floor), self.window_end if fresh else 0)

    def admit(self, start: int, end: int, seen: Sequence[Seen] | None) -> list[Range]:
        """What `look` asked to read was read, up to `end`; returns the ranges in which no record is.

        Args:
            start: where `look` asked to read.
            end: one past what was read.
            seen: the records; None for "all of them are there, and there is nothing to know of them".
        """
        if seen is None:
            self.admission.admit(start, end)
            return []
        self.admission.admit_seen(end, seen)
        gaps: list[Range] = []
        at = start
        for record in seen:
            if record.expire_ms:
                self._expiries.add(record.expire_ms, record.offset, record.offset + 1)
            if record.offset > at:
                gaps.append((at, record.offset))
            at = record.offset + 1
        if at < end:
            gaps.append((at, end))
        return [piece for gap in gaps for piece in self._loose(*gap)]

    def run(self, offset: int, count: int) -> list[Held]:
        """What of an ordered queue may go out together with an offset that may: the first waiting ones of its key."""
        order = self.admission.order
        found: list[Held] = []
        for other in order.run(offset, count) if order is not None else ():
            if self._claims.get(other) is not None:
                break
            row = self._rows.get(other)
            acquired, failed = (row.acquired, row.failed) if row is not None else (0, 0)
            found.append(Held(other, other + 1, acquired, failed))
        return found

    def lease(self, ranges: Iterable[Range], acquired: int, failed: int, until_ms: int | None, session: int) -> Change:
        """Reserve the hand-over of what was taken; the counts are those before it."""
        change = Change("leased", merged(ranges), acquired + 1, failed)
        return self._reserve(change, until_ms=UNTIL_NEVER if until_ms is None else until_ms, session=session)

    # ---- deciding what becomes of leases --------------------------------------------------------------------------

    def lost(self, start: int, end: int, acquired: int | None = None, session: int | None = None) -> int | None:
        """The first offset of a range whose lease is not held any more; None when all are.

        A lease on a record that was trimmed away counts as held until its time is over.

        Args:
            start: first offset.
            end: one past the last.
            acquired: names the lease; None for any lease of `session`.
            session: whose lease it must be.
        """
        for first, last, row in self._rows.segments(start, end):
            if row is None or row.state != LEASED:
                gone = self._first_other(self._orphans.segments(first, last), acquired, session)
                if gone is not None:
                    return gone
            elif self._is_other(row, acquired, session):
                return first
            elif not self._claims.free(first, last):
                ending = [row.start for row in self._claims.overlap(first, last) if row.state != _TRIMMING]
                if ending:
                    return ending[0]
        return None

    def _first_other(
        self, pieces: list[tuple[int, int, Row | None]], acquired: int | None, session: int | None
    ) -> int | None:
        for start, _, row in pieces:
            if row is None or self._is_other(row, acquired, session):
                return start
        return None

    @staticmethod
    def _is_other(row: Row, acquired: int | None, session: int | None) -> bool:
        return (acquired is not None and row.acquired != acquired) or (session is not None and row.owner != session)

    def held(self, start: int, end: int) -> list[Held]:
        """The leases of a range, those left out that are ending."""
        return [
            Held(first, last, row.acquired, row.failed)
            for row in self._rows.overlap(start, end)
            if row.state == LEASED
            for first, last in self._unclaimed(row.start, row.end)
        ]

    def expired(self, now_ms: int) -> list[Held]:
        """The leases whose time is over at `now_ms` (monotonic); named again until they have ended."""
        found: list[Held] = []
        for _, start, end in self._leases.pop(now_ms):
            for row in self._rows.overlap(start, end):
                if row.state == LEASED and row.at_ms <= now_ms:
                    found += self.held(row.start, row.end)
                    self._leases.add(row.at_ms, row.start, row.end)
        for row in [row for row in self._orphans if row.at_ms <= now_ms]:
            self._orphans.clear(row.start, row.end)
        return found

    def held_by(self, session: int) -> list[Held]:
        """The leases without time limit of a session, also those whose hand-over is in flight."""
        rows = self._sessions.get(session, ())
        found = [piece for row in rows for piece in self.held(row.start, row.end)]
        for flight in self._flights:
            if flight.session == session and flight.until_ms == UNTIL_NEVER:
                found += self._flying(flight)
        for row in [row for row in self._orphans if row.owner == session and row.at_ms == UNTIL_NEVER]:
            self._orphans.clear(row.start, row.end)
        return found

    def still(self, ranges: Iterable[Range], acquired: int) -> list[Held]:
        """What is left of leases that nobody will receive, also while their hand-over is in flight."""
        found = [piece for start, end in ranges for piece in self.held(start, end) if piece.acquired == acquired]
        wanted = merged(ranges)
        for flight in self._flights:
            if flight.change.kind == "leased" and flight.change.ranges == wanted:
                found += self._flying(flight)
        return found

    def _flying(self, flight: _Flight) -> list[Held]:
        """The leases of a hand-over in flight that no later change has claimed."""
        if flight.change.kind != "leased":
            return []
        return [
            Held(claim.start, claim.end, flight.change.acquired, flight.change.failed)
            for start, end in flight.change.ranges
            for claim in self._claims.overlap(start, end)
            if claim.at_ms == flight.number
        ]

    def extend(self, start: int, end: int, until_ms: int) -> None:
        """Let held leases with a time limit end at `until_ms`. Leases do not survive an opening: nothing to journal."""
        for row in self._rows.overlap(start, end):
            if row.state == LEASED and row.at_ms != UNTIL_NEVER:
                self._rows.put(row.start, row.end, LEASED, row.acquired, row.failed, until_ms, row.owner)
                self._time_lease(until_ms, row.start, row.end)

    def dies(self, acquired: int, failed: int) -> bool:
        """Whether these counts reach a limit of the queue."""
        config = self.config
        return (config.failed_max is not None and failed >= config.failed_max) or (
            config.acquired_max is not None and acquired >= config.acquired_max
        )

    def release(self, leases: Iterable[Held], *, failures: int, due_ms: int) -> list[Change]:
        """Reserve the end of leases without settling; what reaches a limit will be dying.

        Args:
            leases: what ends, with the counts before it.
            failures: 1 when it counts as failed, 0 when not.
            due_ms: when it may go out again (wall clock), 0 for at once.
        """
        groups: dict[tuple[int, int], list[Range]] = {}
        for lease in leases:
            groups.setdefault((lease.acquired, lease.failed + failures), []).append((lease.start, lease.end))
        changes = []
        for (acquired, failed), ranges in groups.items():
            due = DUE_NEVER if self.dies(acquired, failed) else due_ms
            changes.append(self._reserve(Change("released", merged(ranges), acquired, failed, due)))
        return changes

    def settle(self, ranges: Iterable[Range], why: Why) -> Change:
        """Reserve the end of these offsets."""
        change = Change("settled", merged(ranges), why=why)
        for start, end in change.ranges:
            self._orphans.clear(start, end)
        return self._reserve(change)

    def trim(self, end: int) -> Change | None:
        """Reserve that all below `end` is gone; None when it was settled already."""
        self.base = max(self.base, end)
        if end <= self.floor:
            return None
        return self._reserve(Change("settled", ((self.floor, end),), why="trimmed"), claim=_TRIMMING)

    def loose(self) -> list[Range]:
        """All that is neither settled nor leased, dying or claimed: what a purge takes."""
        return self._loose(self.floor, self.end)

    def is_loose(self, start: int, end: int) -> bool:
        """Whether all of a range is neither settled nor leased, dying or claimed."""
        return sum([last - first for first, last in self._loose(start, end)]) == end - start

    def loose_in(self, start: int, end: int) -> list[Range]:
        """What of a range is neither settled nor leased, dying or claimed."""
        return self._loose(start, end)

    def overdue(self, start: int, end: int, now_ms: int) -> None:
        """A range has outlived its time and is still there: `lapsed` names it from `now_ms` (wall clock) on."""
        self._expiries.add(now_ms, start, end)

    def open(self, start: int, end: int) -> list[Range]:
        """What of a range is not settled nor on its way to something else, whoever holds it."""
        return [piece for first, last, _ in self.unsettled(start, end) for piece in self._unclaimed(first, last)]

    def lapsed(self, now_ms: int) -> list[Range]:
        """What has outlived its time at `now_ms` (wall clock) and is not leased; named again until it is settled."""
        self._remember_age(now_ms)
        ttl_ms = self.config.ttl_ms
        before = self.base
        while self._ages and ttl_ms is not None and self._ages[0][1] + ttl_ms <= now_ms:
            self.base = max(self.base, self._ages.popleft()[0])
        if self.base > before and self.buries:
            # Their letters may be refused: then they are named again.
            self._expiries.add(now_ms + _EXPIRE_AGAIN_MS, before, self.base)
        found = self._loose(self.floor, self.base)
        for _, start, end in self._expiries.pop(now_ms):
            if self.unsettled(start, end):
                found += self._loose(start, end)
                self._expiries.add(now_ms + _EXPIRE_AGAIN_MS, start, end)
        return list(merged(found))

    def _loose(self, start: int, end: int) -> list[Range]:
        return [
            piece
            for first, last, row in self.unsettled(start, end)
            if row is None or row.state == RETURNED
            for piece in self._unclaimed(first, last)
        ]

    def _unclaimed(self, start: int, end: int) -> list[Range]:
        """The pieces of a range for which no change is in flight."""
        return [(first, last) for first, last, claim in self._claims.segments(start, end) if claim is None]

    def _reserve(self, change: Change, *, until_ms: int = 0, session: int = 0, claim: int = _CLAIMED) -> Change:
        if not self._live:
            raise InvariantError("a ledger was asked to decide before it was recovered")
        self._number += 1
        for start, end in change.ranges:
            self._claims.put(start, end, claim, at_ms=self._number)
        self._flights.append(_Flight(change, self._number, until_ms, session))
        return change

    # ---- applying -------------------------------------------------------------------------------------------------

    def apply(self, change: Change) -> None:
        """A change is in the journal: it takes effect, live and in replay (L5).

        Raises:
            InvariantError: live, it is not the one that was reserved first.
        """
        flight = self._landed(change) if self._live else None
        if change.kind == "settled":
            for start, end in change.ranges:
                self._settle(max(start, self.floor), end, change.why)
        elif change.kind == "leased":
            for start, end in change.ranges:
                self._lease(max(start, self.floor), end, change, flight)
        else:
            for start, end in change.ranges:
                self._release(max(start, self.floor), end, change)

    def _landed(self, change: Change) -> _Flight:
        if not self._flights or self._flights[0].change != change:
            raise InvariantError("a change of a ledger came back that is not the next one in flight")
        flight = self._flights.popleft()
        if not self._flights:
            self._claims.clear_all()
            return flight
        for start, end in change.ranges:
            for claim in self._claims.overlap(start, end):
                if claim.at_ms == flight.number:
                    self._claims.clear(claim.start, claim.end)
        return flight

    def _lease(self, start: int, end: int, change: Change, flight: _Flight | None) -> None:
        until_ms, session = (flight.until_ms, flight.session) if flight is not None else (UNTIL_NEVER, 0)
        for first, last, row in self._rows.segments(start, end):
            if row is not None and (row.state == DONE or row.acquired >= change.acquired):
                continue
            self._leave(first, last, row)
            self._rows.put(first, last, LEASED, change.acquired, change.failed, until_ms, session)
            if flight is not None:
                self._leased += last - first
                if until_ms == UNTIL_NEVER:
                    self._sessions.setdefault(session, Rows()).put(first, last, LEASED)
                else:
                    self._time_lease(until_ms, first, last)

    def _time_lease(self, until_ms: int, start: int, end: int) -> None:
        self._leases.add(until_ms, start, end)
        if len(self._leases) > 2 * self._leased + WHEEL_SLACK:
            self._leases.clear()
            for row in self._rows:
                if row.state == LEASED and row.at_ms != UNTIL_NEVER:
                    self._leases.add(row.at_ms, row.start, row.end)

    def _release(self, start: int, end: int, change: Change) -> None:
        for first, last, row in self._rows.segments(start, end):
            if row is not None and (row.acquired, row.state != LEASED) >= (change.acquired, True):
                continue
            if row is not None and row.state == DONE:
                continue
            self._leave(first, last, row)
            if change.due_ms == DUE_NEVER:
                self._rows.put(first, last, DYING, change.acquired, change.failed)
                self._dying += last - first
                self.admission.hold(first, last)
                continue
            self._rows.put(first, last, RETURNED, change.acquired, change.failed, change.due_ms)
            if self._live:
                self.admission.back(first, last, change.due_ms)
                self.admission.forget_outdated()
                if first < self.base:
                    self._expiries.add(self.admission.woken_ms, first, last)

    def _settle(self, start: int, end: int, why: Why) -> None:
        if start >= end:
            return
        settled = 0
        for first, last, row in self._rows.segments(start, end):
            if row is None or row.state != DONE:
                settled += last - first
                if row is not None and row.state == LEASED and why in _GONE_FOR_GOOD and self._live:
                    self._orphans.put(first, last, LEASED, row.acquired, 0, row.at_ms, row.owner)
                self._leave(first, last, row)
                if self._live:
                    self.admission.gone(first, last, row)
        self._settled[why] += settled
        self._settled_above += settled
        if start > self.floor:
            self._rows.put(start, end, DONE)
            return
        self._settled_above -= self._raise_floor(end)

    def _raise_floor(self, floor: int) -> int:
        """All below `floor` is settled, and perhaps what follows it; returns by how much the floor has risen."""
        while (above := self._rows.get(floor)) is not None and above.state == DONE:
            floor = above.end
        risen = floor - self.floor
        self._rows.clear(self.floor, floor)
        self.floor = floor
        self.end = max(self.end, floor)
        return risen

    def _leave(self, start: int, end: int, row: Row | None) -> None:
        """A range is about to leave the state of its row."""
        if row is None or not self._live:
            return
        if row.state == LEASED:
            self._leased -= end - start
            session = self._sessions.get(row.owner)
            if session is not None and row.at_ms == UNTIL_NEVER:
                session.clear(start, end)
                if not session:
                    del self._sessions[row.owner]
        elif row.state == DYING:
            self._dying -= end - start

    # ---- opening and checkpoints ----------------------------------------------------------------------------------

    def recover(self, end: int, now_ms: int) -> None:
        """Replay is over: what was leased has failed once more, because its holder is gone, and may go out again.

        Args:
            end: the high watermark of the partition.
            now_ms: wall clock.
        """
        for row in [row for row in self._rows if row.state == LEASED]:
            state = DYING if self.dies(row.acquired, row.failed + 1) else RETURNED
            self._rows.put(row.start, row.end, state, row.acquired, row.failed + 1)
        self._raise_floor(self.floor)
        fresh = max(self.floor, self._rows.end or 0)
        self._dying = sum(row.end - row.start for row in self._rows if row.state == DYING)
        self._settled_above = sum(row.end - row.start for row in self._rows if row.state == DONE)
        ordered = self.config.ordered
        self.admission = Admission(self._rows, self._claims, ordered=ordered, fresh=fresh, now_ms=now_ms)
        for first, last, known in self.unsettled(self.floor, fresh):
            if known is not None and known.state == RETURNED and (not ordered or known.at_ms > now_ms):
                self.admission.back(first, last, known.at_ms)
            if known is None or ordered:
                self.admission.reread(first, last)
        self._live = True
        self.grow(max(end, fresh), now_ms)

    def export(self) -> Iterator[Slice]:
        """The applied state as of the first call, in slices; leases as what they are, without their end."""
        rows, floor = self._rows.snapshot(), self.floor
        counts, ages = tuple(self._settled[why] for why in WHYS), tuple(self._ages)
        done: list[Range] = []
        packed: list[bytes] = []
        for row in rows:
            if row.state == DONE:
                done.append((row.start, row.end))
            else:
                at_ms = row.at_ms if row.state == RETURNED else 0
                packed.append(LEDGER_ROW.pack(row.start, row.end, at_ms, row.acquired, row.failed, row.state))
            if len(done) + len(packed) >= _SLICE_ROWS:
                yield Slice(floor, tuple(done), b"".join(packed), counts, ages)
                done, packed, counts, ages = [], [], (), ()
        if done or packed or counts:
            yield Slice(floor, tuple(done), b"".join(packed), counts, ages)

    def restore(self, part: Slice) -> None:
        """Take over a slice of a checkpoint; where the state is newer already, that stays.

        Raises:
            StorageError: the packed rows are not what this version writes.
        """
        if len(part.rows) % LEDGER_ROW.size:
            raise StorageError(f"{len(part.rows)} bytes of ledger rows, which are {LEDGER_ROW.size} each: upgrade")
        for why, count in zip(WHYS, part.counts, strict=False):
            self._settled[why] = max(self._settled[why], count)
        if part.ages and not self._ages:
            self._ages.extend(part.ages)
        if part.floor > self.floor:
            self._raise_floor(part.floor)
        for start, end in part.done:
            if end > self.floor:
                self._rows.put(max(start, self.floor), end, DONE)
        for start, end, at_ms, acquired, failed, state in LEDGER_ROW.iter_unpack(part.rows):
            if state not in {LEASED, RETURNED, DYING}:
                raise StorageError(f"a ledger row in state {state}, which this version does not know: upgrade")
            for first, last, known in self.unsettled(start, end):
                if known is None or (known.acquired, known.state != LEASED) < (acquired, state != LEASED):
                    until_ms = UNTIL_NEVER if state == LEASED else at_ms
                    self._rows.put(first, last, state, acquired, failed, until_ms)
