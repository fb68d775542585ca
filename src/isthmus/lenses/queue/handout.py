"""Handing out: the consumers that wait for records of a queue, and what each of them gets.

It picks, journals the hand-over, and gives the records out when that is written. What becomes of a lease afterwards is
the queue's business.

Theory of operation
    Consumers wait in one line. Whatever may bring something (growth, a release, a due time, an acknowledgement that
    frees a key) serves the line from its head until nothing is left. Several that wait share what there is. If the
    next record has to come from disk, the consumer at the head leaves the line, fetches it, and comes back to its
    place; the others go on meanwhile.

    Choosing, reserving and submitting happen in one step of the loop. A consumer that is cancelled, or gives up
    waiting for the write, has its leases released again; the journal keeps its order, so that is the next thing it
    says of them.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from isthmus.clock import Clock, Timer
from isthmus.definition import Level
from isthmus.errors import InvalidArgument, IsthmusError, OffsetOutOfRange, Overloaded, StorageError
from isthmus.lenses.queue.changes import Change, Range
from isthmus.lenses.queue.part import Part, Picked
from isthmus.lenses.queue.translate import fact_of
from isthmus.limits import LEASE_MS_MAX, LEASE_RECORDS_MAX, QUEUE_CONSUMERS_MAX, QUEUE_DELAYED_MAX
from isthmus.log.journal import Journal, Unit
from isthmus.record import Lease, Leased


class Wish(NamedTuple):
    """What a consumer asks for: up to `limit` records of `max_bytes`, for `lease_ms` or as long as its session."""

    consumer: str
    session: int
    principal: int
    limit: int
    max_bytes: int
    lease_ms: int | None
    run_of_key: bool = False

    def check(self) -> None:
        """Raises InvalidArgument for what cannot be."""
        if not 1 <= self.limit <= LEASE_RECORDS_MAX:
            raise InvalidArgument("count", f"{self.limit} is not in 1 to {LEASE_RECORDS_MAX}")
        if self.max_bytes < 1:
            raise InvalidArgument("max_bytes", f"{self.max_bytes} leaves no room for a record")
        if self.lease_ms is not None:
            check_lease_ms(self.lease_ms)


class _Cold(NamedTuple):
    """The next record has to come from disk."""

    part: Part
    offset: int


class _Out(NamedTuple):
    """Leases that were journalled for a consumer and not received yet."""

    part: Part
    ranges: tuple[Range, ...]
    acquired: int


class _Waiter:
    """One consumer. `outcome` is done when it has to go on; `out` is what it must receive or release."""

    __slots__ = ("out", "outcome", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.out: list[_Out] = []
        self.outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def go_on(self, outcome: "list[Leased] | _Cold | BaseException") -> None:
        if self.outcome.done():
            return
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class HandOut:
    """See the module text. `parts` is the queue's own list, which may grow."""

    def __init__(self, queue: int, parts: list[Part], journal: Journal, clock: Clock) -> None:
        self._queue = queue
        self._parts = parts
        self._journal = journal
        self._clock = clock
        self._waiters: deque[_Waiter] = deque()
        self._turn = 0
        self._timer: Timer | None = None
        self._timer_ms: int | None = None
        self._called = False

    def __len__(self) -> int:
        """How many consumers wait."""
        return len(self._waiters)

    # ---- the consumer's side --------------------------------------------------------------------------------------

    async def lease(self, wish: Wish, wait_ms: int) -> list[Leased]:
        """What the wish gets; waits up to `wait_ms` for the first record, [] when there was none.

        Raises:
            InvalidArgument: the wish cannot be fulfilled.
            Overloaded: too many wait.
            InvalidBatch, UnsupportedCompression, Damaged: the next record cannot be read.
            StorePoisoned, Closed, ReadOnly, Damaged: no hand-over can be journalled.
        """
        wish.check()
        if len(self._waiters) >= QUEUE_CONSUMERS_MAX:
            raise Overloaded("consumers that wait for one queue", QUEUE_CONSUMERS_MAX)
        until_ms = self._clock.monotonic_ms() + wait_ms
        waiter = _Waiter(wish)
        self._waiters.append(waiter)
        try:
            self._serve()
            while True:
                found = await self._outcome(waiter, until_ms)
                if isinstance(found, _Cold):
                    await found.part.pages.load(found.offset)
                    waiter.outcome = asyncio.get_running_loop().create_future()
                    self._waiters.appendleft(waiter)
                    self._serve()
                else:
                    waiter.out = []
                    return found
        finally:
            self._leave(waiter)

    async def _outcome(self, waiter: _Waiter, until_ms: int) -> list[Leased] | _Cold:
        if not waiter.outcome.done() and not waiter.out and self._clock.monotonic_ms() < until_ms:
            await self._clock.wait(waiter.outcome, until_ms)
        if not waiter.outcome.done():
            if not waiter.out:
                return []
            # It is journalled for this consumer: now it takes what the write takes.
            await self._clock.wait(waiter.outcome, None)
        return waiter.outcome.result()  # type: ignore[return-value]  # what `go_on` has set

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if waiter.outcome.done() and not waiter.outcome.cancelled():
            waiter.outcome.exception()  # nobody else will ask for it
        if waiter.out:
            self._abandon(waiter.out)
        self.serve_soon()

    def _abandon(self, leases: Sequence[_Out]) -> None:
        """Nobody will receive these: they may go out again at once, and nothing has failed."""
        unit = self._journal.unit()

        def reserve() -> None:
            for out in leases:
                held = out.part.ledger.still(out.ranges, out.acquired)
                for change in out.part.ledger.release(held, failures=0, due_ms=0):
                    self.write(unit, out.part, change, level="written", reason="not received")

        unit.step(None, reserve)
        try:
            unit.submit()
        except StorageError:
            # Nothing can be journalled any more: then the lease ends with this process.
            return

    def wake(self, consumer: str | None = None) -> None:
        """Let consumers of that name, or all, return from waiting with nothing."""
        for waiter in [one for one in self._waiters if consumer in {None, one.wish.consumer}]:
            self._waiters.remove(waiter)
            waiter.go_on([])

    # ---- serving --------------------------------------------------------------------------------------------------

    def serve_soon(self) -> None:
        """Serve the line in the next turn of the loop; callers may be in the middle of a promotion."""
        if self._waiters and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._called_back)

    def _called_back(self) -> None:
        self._called = False
        self._serve()

    def _serve(self) -> None:
        """Give to the head of the line until there is nothing or nobody."""
        self._clock.stir()
        now_ms = self._clock.now_ms()
        for part in self._parts:
            part.ledger.admission.wake(now_ms)
        while self._waiters:
            waiter = self._waiters[0]
            try:
                served = self._give(waiter)
            except IsthmusError as error:
                waiter.go_on(error)
                served = True
            if served is None:
                break
            if served:
                self._waiters.popleft()
        self._arm(now_ms)

    def _give(self, waiter: _Waiter) -> bool | None:
        """Journal a hand-over for a consumer: True when it need not wait any more, None when there is nothing."""
        self._journal.check_open()
        picks, cold = self._pick(waiter.wish)
        if not picks:
            if cold is not None:
                waiter.go_on(cold)
                return True
            return None
        unit = self._journal.unit()
        wish = waiter.wish
        until_ms = None if wish.lease_ms is None else self._clock.monotonic_ms() + wish.lease_ms
        unit.step(None, lambda: self._reserve(unit, picks, wish, until_ms))
        try:
            pending = unit.submit()
        except BaseException:
            for part, picked in picks:
                part.put_back(picked)
            raise
        found = [leased for part, picked in picks for leased in self._leased(part, picked, until_ms)]
        if not found:
            return False
        waiter.out = [
            _Out(part, tuple(ranges), acquired + 1)
            for part, picked in picks
            for (acquired, _), ranges in picked.groups.items()
        ]
        pending.add_done_callback(lambda done: waiter.go_on(done.error or found))
        return True

    def _pick(self, wish: Wish) -> tuple[list[tuple[Part, Picked]], _Cold | None]:
        """Take what a wish gets, one partition after the other, beginning with the one whose turn it is."""
        count, size = self._share(wish.limit), wish.max_bytes
        fresh = sum(part.ledger.admission.delayed for part in self._parts) < QUEUE_DELAYED_MAX
        picks: list[tuple[Part, Picked]] = []
        cold: _Cold | None = None
        first, total = self._turn, len(self._parts)
        for number in range(first, first + total):
            part = self._parts[number % total]
            if part.ledger.ready <= 0:
                continue
            picked = self._pick_of(part, count, size, picks, fresh=fresh, run_of_key=wish.run_of_key)
            if picked.cold is not None and cold is None:
                cold = _Cold(part, picked.cold)
            if picked:
                picks.append((part, picked))
                count, size = count - picked.count, size - picked.size
                self._turn = (number + 1) % total
                if count <= 0 or size <= 0 or (wish.run_of_key and picked.count):
                    break
        return picks, cold

    def _pick_of(
        self,
        part: Part,
        count: int,
        size: int,
        before: Sequence[tuple[Part, Picked]],
        *,
        fresh: bool,
        run_of_key: bool,
    ) -> Picked:
        """What one partition gives; if something fails, what others gave is as before."""
        begun = any(picked.count for _, picked in before)
        try:
            try:
                return part.pick(count, size, begun=begun, fresh=fresh, run_of_key=run_of_key)
            except OffsetOutOfRange:
                # Trimmed without this queue having been asked, as by a repair.
                self.settle_trimmed(part)
                return part.pick(count, size, begun=begun, fresh=fresh, run_of_key=run_of_key)
        except IsthmusError:
            for other, picked in before:
                other.put_back(picked)
            raise

    def _share(self, count: int) -> int:
        """What one of several that wait may take at once, so that all have something to do."""
        if len(self._waiters) > 1:
            ready = sum(part.ledger.ready for part in self._parts)
            count = min(count, max(1, -(-ready // len(self._waiters))))
        return count

    def _reserve(self, unit: Unit, picks: Sequence[tuple[Part, Picked]], wish: Wish, until_ms: int | None) -> None:
        for part, picked in picks:
            self.settle(unit, part, gaps=picked.gaps, expired=picked.expired)
            for (acquired, failed), ranges in picked.groups.items():
                change = part.ledger.lease(ranges, acquired, failed, until_ms, wish.session)
                self.write(
                    unit, part, change, "written", who=wish.consumer, principal=wish.principal, lease=wish.lease_ms
                )

    def _leased(self, part: Part, picked: Picked, until_ms: int | None) -> list[Leased]:
        queue, partition = self._queue, part.id
        return [
            Leased(Lease(queue, partition, record.offset, acquired + 1, failed, until_ms), record)
            for records, acquired, failed in picked.rows
            for record in records
        ]

    def _arm(self, now_ms: int) -> None:
        """If somebody waits, look again when the next delay is over."""
        due = [part.ledger.admission.next_due_ms for part in self._parts] if self._waiters else []
        next_ms = min((at_ms for at_ms in due if at_ms is not None), default=None)
        if next_ms == self._timer_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_ms = None, next_ms
        if next_ms is not None:
            at_ms = self._clock.monotonic_ms() + max(1, next_ms - now_ms)
            self._timer = self._clock.timer(at_ms, self._due)

    def _due(self) -> None:
        self._timer = self._timer_ms = None
        self._serve()

    # ---- writing --------------------------------------------------------------------------------------------------

    def settle_trimmed(self, part: Part) -> None:
        """Settle what lies below the log start, in a unit of its own."""
        unit = self._journal.unit()

        def reserve() -> None:
            change = part.ledger.trim(part.source.partition.log_start)
            if change is not None:
                self.write(unit, part, change, "written")

        unit.step(None, reserve)
        unit.submit()

    def settle(self, unit: Unit, part: Part, *, gaps: Sequence[Range] = (), expired: Sequence[Range] = ()) -> None:
        """Reserve and write what goes without having been handed out."""
        if gaps:
            self.write(unit, part, part.ledger.settle(gaps, "gap"), "written")
        if expired:
            self.write(unit, part, part.ledger.settle(expired, "expired"), "written")

    def write(
        self,
        unit: Unit,
        part: Part,
        change: Change,
        level: Level,
        *,
        who: str = "",
        principal: int = 0,
        reason: str = "",
        lease: int | None = None,
    ) -> None:
        """Add a reserved change to a unit."""
        now_ms = self._clock.now_ms()
        fact = fact_of(
            change,
            queue=self._queue,
            partition=part.id,
            time_ms=now_ms,
            who=who,
            principal=principal,
            reason=reason,
            until_ms=None if lease is None else now_ms + lease,
        )
        unit.fact(fact, level, principal)

    def close(self) -> None:
        """Let everybody return with nothing."""
        self.wake()
        self._arm(0)


def check_lease_ms(lease_ms: int) -> int:
    """Raises InvalidArgument for a time limit that a lease cannot have."""
    if not 1 <= lease_ms <= LEASE_MS_MAX:
        raise InvalidArgument("lease_ms", f"{lease_ms} is not in 1 to {LEASE_MS_MAX}")
    return lease_ms
