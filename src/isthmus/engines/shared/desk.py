"""The desk of a member: what it hands out of the partitions that it has, and what became of it.

For engines on brokers that know partitions and positions and little else. It hands out records, keeps what fails in its
place until it is due (or sends a copy to the retry topic), and has what is done committed; `lot.py` decides per
partition. Which partitions the member has, and how records come here, its engine knows.

Theory of operation
-------------------
A stream's group and a queue differ in their `Terms` alone. What a queue adds: leases, which are timers here; limits,
which are counted here; and attributes of records (due, expire), on which this file acts. A change is done when it is
committed: who waits for a commit waits until his change is in one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from isthmus.broker import redrive
from isthmus.clock import Clock, Timer, wait_own
from isthmus.engines.base import Received, Start
from isthmus.engines.shared import marks
from isthmus.engines.shared.lot import Lot
from isthmus.engines.shared.pieces import Piece, Place
from isthmus.errors import InvalidArgument, IsthmusError, LeaseLost, StaleGeneration, UnknownMember
from isthmus.record import Record, StoredRecord

logger = logging.getLogger(__name__)

AHEAD_RECORDS: Final = 10_000
"""Records that may wait here to be looked at; above it the engine is asked to stop fetching."""


class Terms(Struct, frozen=True, kw_only=True):
    """What a member is to do.

    `starts` has the topics to read with where a new group begins in each. `origin` names whose dead letters these are;
    `only` is the group's name where a record may be for one group alone. `lease_ms`, `ttl_ms`, `failed_max` and `retry`
    (the topic for copies of what failed) are a queue's. `dead` is where the dead go, None when they are dropped.
    """

    group: str
    name: str
    starts: Mapping[str, Start]
    origin: str
    only: str | None = None
    lease_ms: int | None = None
    ttl_ms: int | None = None
    failed_max: int | None = None
    retry: str | None = None
    dead: str | None = None


class Held(Struct, frozen=True, eq=False):
    """A delivery that is out: the token of a `Received`."""

    lot: Lot
    record: StoredRecord
    origin: marks.Origin


class Commits(Protocol):
    """How a member states what is done."""

    @property
    def busy(self) -> bool:
        """Whether a commit is on its way."""

    async def commit(self) -> None:
        """State all that has changed in the lots, for all who wait: `stated` follows `changes`."""


class Desk:
    """See the module. One loop; `receive` by one task at a time.

    Args:
        clock: of leases, and of what is due.
        terms: what the member is to do.
        commits: states changes of the lots.
        produce: publishes copies and dead letters, and returns when they are safe.
        hold: is told whether enough waits here.
    """

    def __init__(
        self,
        clock: Clock,
        terms: Terms,
        commits: "Callable[[Mapping[Place, Lot]], Commits]",
        produce: Callable[[str, Sequence[Record]], Awaitable[object]],
        hold: Callable[[bool], None],
    ) -> None:
        self._clock = clock
        self.terms = terms
        self.lots: dict[Place, Lot] = {}
        self.commits = commits(self.lots)
        self._produce = produce
        self._hold_back = hold
        self._order: list[Place] = []
        self._grown: asyncio.Future[object] | None = None
        self._timers: dict[Held, Timer] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._error: IsthmusError | None = None
        self._closed = False
        self.on_growth: Callable[[], None] | None = None
        self.on_idle: Callable[[], None] | None = None
        self.on_trouble: Callable[[IsthmusError], None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is handed out any more."""
        return self._closed

    def close(self) -> None:
        """Hand out nothing more, and wake a waiting `receive`; what is out is stale."""
        self._closed = True
        self.wake()
        for task in self._work:
            task.cancel()
        for timer in self._timers.values():
            timer.cancel()
        self.drop(list(self.lots))

    def check_alive(self) -> None:
        """Raise what ended the member."""
        if self._error is not None:
            raise self._error

    def fail_all(self, error: IsthmusError) -> None:
        """Nothing will come any more."""
        self._error = error
        self.drop(list(self.lots))
        self.wake()

    # ---- partitions -------------------------------------------------------------------------------------------------

    def add(self, lot: Lot) -> None:
        """The member has this partition now."""
        self.lots[lot.place] = lot
        self._order.append(lot.place)

    def drop(self, places: Iterable[Place]) -> None:
        """These are somebody else's by now: what is out of them is stale."""
        for place in list(places):
            if self.lots.pop(place, None) is not None:
                self._order.remove(place)
        self._idle()

    def arrived(self, pieces: Iterable[Piece]) -> None:
        """Keep what was fetched."""
        for piece in pieces:
            lot = self.lots.get(piece.place)
            if lot is not None:
                lot.add(piece)
        self._hold()
        self.wake()

    def _hold(self) -> None:
        self._hold_back(sum(lot.waiting_records for lot in self.lots.values()) > AHEAD_RECORDS)

    def _idle(self) -> None:
        if self.on_idle is not None:
            self.on_idle()

    def wake(self) -> None:
        """There may be more to take."""
        _finish(self._grown)
        if self.on_growth is not None:
            self.on_growth()

    # ---- receiving --------------------------------------------------------------------------------------------------

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Deliveries of one partition."""
        if max_events < 1:
            raise InvalidArgument("max_events", f"{max_events} is less than one")
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._closed:
            self.check_alive()
            found = self.take(max_events, max_bytes)
            if found or self._clock.monotonic_ms() >= until_ms:
                return found
            await self.grown(until_ms)
        return []

    def take(self, max_events: int, max_bytes: int) -> list[Received]:
        """What is at hand of some partition."""
        now_ms = self._clock.now_ms()
        for place in tuple(self._order):
            lot = self.lots[place]
            while not lot.leaving and (records := lot.take(now_ms, max_events, max_bytes)):
                found = [self._hand_out(lot, record) for record in records if self._admits(lot, record, now_ms)]
                if found:
                    self._order.remove(place)
                    self._order.append(place)
                    self._hold()
                    return found
            if lot.stated < lot.changes and not self.commits.busy:
                # What was passed over is done too.
                self.spawn(self.commits.commit())
        self._hold()
        return []

    async def grown(self, until_ms: int) -> None:
        """Wait until there may be more to take."""
        self._grown = asyncio.get_running_loop().create_future()
        if not self._closed and self._error is None:
            await wait_own(self._clock, self._grown, self.next_due_ms(until_ms))

    def next_due_ms(self, until_ms: int) -> int:
        """The earlier of `until_ms` and when the next record that failed is due, on the monotonic clock."""
        dues = [due_ms for lot in self.lots.values() if (due_ms := lot.position.next_due_ms()) is not None]
        if not dues:
            return until_ms
        return min(until_ms, self._clock.monotonic_ms() + max(0, min(dues) - self._clock.now_ms()))

    def _admits(self, lot: Lot, record: StoredRecord, now_ms: int) -> bool:
        """Whether a record may go out now; one that is over, or for others, is done, and one that is early waits."""
        if not marks.is_for(record, self.terms.only) or marks.is_over(record, now_ms, self.terms.ttl_ms):
            lot.settle([record])
            return False
        due_ms = marks.due_of(record)
        if due_ms > now_ms:
            lot.release(record, due_ms)
            return False
        return True

    def _hand_out(self, lot: Lot, record: StoredRecord) -> Received:
        offset, terms = record.offset, self.terms
        origin = marks.origin_of(record, *lot.place)
        failed = origin.failed + lot.position.failures(offset)
        acquired = lot.acquired[offset] = lot.acquired.get(offset, max(origin.acquired, failed)) + 1
        until_ms = None if terms.lease_ms is None else self._clock.monotonic_ms() + terms.lease_ms
        held = lot.held[offset] = Held(lot, record, origin)
        self._watch(held, until_ms)
        attempt = failed + 1 if terms.lease_ms is None else acquired
        return Received(marks.bare(record), held, *lot.place, attempt, failed, until_ms)

    # ---- leases -----------------------------------------------------------------------------------------------------

    def _watch(self, held: Held, until_ms: int | None) -> None:
        if until_ms is not None:
            self._timers[held] = self._clock.timer(until_ms, partial(self._expire, held))

    def _expire(self, held: Held) -> None:
        self._timers.pop(held, None)
        if self._is_current(held):
            self.spawn(self._fail_one(held, 0, "the lease ended", in_place=True))

    def _unwatch(self, held: Held) -> None:
        timer = self._timers.pop(held, None)
        if timer is not None:
            timer.cancel()

    def _is_current(self, held: Held) -> bool:
        lot = held.lot
        return self.lots.get(lot.place) is lot and lot.held.get(held.record.offset) is held

    def held_of(self, one: Received) -> Held:
        """The delivery that a token stands for. Raises InvalidArgument, and LeaseLost and its like when it is stale."""
        held = one.token
        if not isinstance(held, Held):
            raise InvalidArgument("received", "comes from another source")
        if self._is_current(held):
            return held
        if self.terms.lease_ms is not None:
            raise LeaseLost(self.terms.name, one.partition, one.stored.offset)
        if self._closed:
            raise UnknownMember(self.terms.group, "")
        raise StaleGeneration(self.terms.group, -1, -1)

    # ---- what became of it ------------------------------------------------------------------------------------------

    def check_tokens(self, received: Sequence[Received]) -> None:
        """Whether this source gave them. Raises InvalidArgument."""
        for one in received:
            if not isinstance(one.token, Held) or one.token.lot.place[0] not in self.terms.starts:
                raise InvalidArgument("received", "comes from another source")

    def check(self, received: Sequence[Received]) -> None:
        """Raise what `finish` would raise."""
        for one in received:
            self.held_of(one)

    async def finish(self, received: Sequence[Received]) -> None:
        """These are done; returns when that is committed."""
        by_lot: dict[Place, list[Held]] = {}
        for one in received:
            held = self.held_of(one)
            by_lot.setdefault(held.lot.place, []).append(held)
        waiting = []
        for place, rows in by_lot.items():
            for held in rows:
                self._unwatch(held)
            lot = self.lots[place]
            lot.settle([held.record for held in rows])
            waiting.append((lot, lot.changes))
        await self._committed(waiting)

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each; what reaches its limit dies."""
        for held in [self.held_of(one) for one in received]:
            await self._fail_one(held, delay_ms, reason, in_place=not delay_ms)

    async def _fail_one(self, held: Held, delay_ms: int, reason: str, *, in_place: bool) -> None:
        lot, record, terms = held.lot, held.record, self.terms
        failed = held.origin.failed + lot.position.failures(record.offset) + 1
        self._unwatch(held)
        if terms.failed_max is not None and failed >= terms.failed_max:
            await self._bury([held], reason, "", failed)
        elif terms.retry is not None and not in_place:
            acquired = lot.acquired.get(record.offset, failed)
            origin = marks.Origin(held.origin.cause, failed, acquired)
            copy = marks.retried(record, origin, self._clock.now_ms() + delay_ms)
            await self._produce(terms.retry, [copy])
            await self._settle(held)
        else:
            lot.fail(record, self._clock.now_ms() + delay_ms)
            self._changed()
            await self._committed([(lot, lot.changes)])

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy each to the dead letters, then finish it."""
        held = [self.held_of(one) for one in received]
        for one, failed in zip(held, [each.failed + 1 for each in received], strict=True):
            self._unwatch(one)
            await self._bury([one], reason, traceback, failed)

    async def _bury(self, held: Sequence[Held], reason: str, traceback: str, failed: int) -> None:
        if self.terms.dead is not None:
            letters = [self._letter(one, reason, traceback, failed) for one in held]
            await self._produce(self.terms.dead, letters)
        for one in held:
            await self._settle(one)

    def _letter(self, held: Held, reason: str, traceback: str, failed: int) -> Record:
        return redrive.letter(
            marks.bare(held.record),
            cause=held.origin.cause,
            origin=self.terms.origin,
            reason=reason,
            traceback=traceback,
            failed=failed,
            now_ms=self._clock.now_ms(),
        )

    async def _settle(self, held: Held) -> None:
        """Done here, as far as it is still ours: a copy of it is on its way in any case."""
        if self._is_current(held):
            held.lot.settle([held.record])
            await self._committed([(held.lot, held.lot.changes)])

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back without counting a failure; what is no longer ours is passed over."""
        for one in received:
            held = one.token
            if isinstance(held, Held) and self._is_current(held):
                self._unwatch(held)
                held.lot.release(held.record, self._clock.now_ms() + delay_ms if delay_ms else 0)
        self._changed()

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Renew leases; a stream has none, so its deliveries come back as they are."""
        if self.terms.lease_ms is None:
            return list(received)
        found, lost = [], None
        for one in received:
            try:
                found.append(self._extend_one(one, lease_ms))
            except LeaseLost as error:
                lost = error
        if lost is not None:
            raise lost
        return found

    def _extend_one(self, one: Received, lease_ms: int) -> Received:
        held = self.held_of(one)
        until_ms = self._clock.monotonic_ms() + lease_ms
        self._unwatch(held)
        self._watch(held, until_ms)
        return Received(one.stored, held, one.topic, one.partition, one.attempt, one.failed, until_ms)

    # ---- committing -------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._idle()
        self.wake()

    async def _committed(self, waiting: Sequence[tuple[Lot, int]]) -> None:
        """Wait until these changes are committed. Raises StaleGeneration: the partition is somebody else's by now."""
        await self.commits.commit()
        self._changed()
        if any(lot.stated < changes for lot, changes in waiting):
            raise StaleGeneration(self.terms.group, -1, -1)

    def spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        """Do it beside; what goes wrong with it is for whoever receives next."""
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, IsthmusError):
            logger.warning("group %r: %s", self.terms.group, error)
            if self.on_trouble is not None:
                self.on_trouble(error)
        elif error is not None:
            raise error


def _finish(future: "asyncio.Future[object] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)
