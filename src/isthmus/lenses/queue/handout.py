"""Handing out: callers that wait for records of a queue, standing consumers, and what each of them gets.

It picks, journals the hand-over, and gives the records out when that is written. What becomes of a lease afterwards is
the queue's business.

Theory of operation
    Callers and consumers with credit stand in one line (`line.py`). Whatever may bring something (growth, a release, a
    due time, an acknowledgement that frees a key, credit) serves the line from its head until nothing is left, at most
    once a turn of the loop. Several that want something share what there is; a standing consumer gets one bounded
    batch each time it is its turn. If the next record has to come from disk, a caller at the head leaves the line,
    fetches it, and comes back to its place; for a standing consumer it is fetched beside, and the line is served again.

    Choosing, reserving and submitting happen in one step of the loop. Who is cancelled, or gives up waiting for the
    write, has its leases released again; the journal keeps its order, so that is the next thing it says of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from isthmus.clock import Clock, Timer
from isthmus.definition import Level
from isthmus.errors import (
    Closed,
    IsthmusError,
    OffsetOutOfRange,
    Overloaded,
    StorageError,
    StorageFull,
)
from isthmus.lenses.queue.changes import Change, Range
from isthmus.lenses.queue.line import Line, Taker
from isthmus.lenses.queue.part import Part, Picked
from isthmus.lenses.queue.takers import Cold, Consumer, Deliver, OnEnd, Out, Waiter, Wish
from isthmus.lenses.queue.translate import fact_of
from isthmus.limits import CONSUMER_RETRY_MS, QUEUE_CONSUMERS_MAX, QUEUE_DELAYED_MAX
from isthmus.log.journal import Journal, Pending, Placed, Unit
from isthmus.record import Lease, Leased


class HandOut:
    """See the module text. `parts` is the queue's own list, which may grow; `on_hold` is told of each new session.

    With `strict` the parts are levels of priority, the highest first, and nothing goes out of a lower one before.
    """

    __slots__ = (
        "_called",
        "_clock",
        "_closed",
        "_fetching",
        "_flying",
        "_journal",
        "_on_hold",
        "_parts",
        "_queue",
        "_retry",
        "_timer",
        "_timer_ms",
        "_turn",
        "line",
        "on_consumers",
        "strict",
    )

    def __init__(
        self, queue: int, parts: list[Part], journal: Journal, clock: Clock, on_hold: Callable[[int], None]
    ) -> None:
        self._queue = queue
        self._parts = parts
        self._journal = journal
        self._clock = clock
        self._on_hold = on_hold
        self._flying = 0
        self._turn = 0
        self._timer: Timer | None = None
        self._timer_ms: int | None = None
        self._retry: Timer | None = None
        self._called = False
        self._closed = False
        self.strict = False
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self.line = Line(self._is_idle)
        self.on_consumers: Callable[[int], None] | None = None

    def __len__(self) -> int:
        """How many want records now."""
        return len(self.line)

    def _is_idle(self) -> bool:
        """Whether nothing of the queue is handed out."""
        return not self._flying and not any(part.ledger.leased for part in self._parts)

    # ---- standing consumers ---------------------------------------------------------------------------------------

    def consume(self, wish: Wish, priority: int, deliver: Deliver, on_end: OnEnd | None) -> Consumer:
        """A new standing consumer; `wish.limit` is its credit. Raises InvalidArgument, Overloaded."""
        wish._replace(limit=1).check()
        if len(self.line.standing) >= QUEUE_CONSUMERS_MAX:
            raise Overloaded("consumers of one queue", QUEUE_CONSUMERS_MAX)
        consumer = Consumer(self, wish, self.line.number(), priority, deliver, on_end)
        self.line.standing[consumer.number] = consumer
        self._on_hold(wish.session)
        self._tell()
        self.granted(consumer)
        return consumer

    def granted(self, consumer: Consumer) -> None:
        """A consumer's credit is another one."""
        if consumer.credit > 0:
            self.line.join(consumer)
            self.serve_soon()
        else:
            self.line.leave(consumer)

    def cancelled(self, consumer: Consumer) -> None:
        """A consumer takes nothing any more."""
        self.line.leave(consumer)
        self.line.standing.pop(consumer.number, None)
        self._tell()
        self.serve_soon()

    def is_active(self, consumer: Consumer) -> bool:
        """Whether a consumer is the one that is served, or one of them."""
        return self.line.is_active(consumer)

    def end_session(self, session: int) -> None:
        """Cancel the consumers of a session."""
        for consumer in [one for one in self.line.standing.values() if one.session == session]:
            consumer.cancel()

    def _tell(self) -> None:
        if self.on_consumers is not None and not self._closed:
            self.on_consumers(len(self.line.standing))

    # ---- callers --------------------------------------------------------------------------------------------------

    async def lease(self, wish: Wish, wait_ms: int) -> list[Leased]:
        """What the wish gets; waits up to `wait_ms` for the first record, [] when there was none.

        Raises:
            InvalidArgument: the wish cannot be fulfilled.
            Overloaded: too many wait.
            InvalidBatch, UnsupportedCompression, Damaged: the next record cannot be read.
            StorePoisoned, Closed, ReadOnly, Damaged: no hand-over can be journalled.
        """
        wish.check()
        if len(self.line) >= QUEUE_CONSUMERS_MAX:
            raise Overloaded("consumers that wait for one queue", QUEUE_CONSUMERS_MAX)
        until_ms = self._clock.monotonic_ms() + wait_ms
        waiter = Waiter(wish, self.line.number())
        self.line.join(waiter)
        try:
            self._serve()
            while True:
                found = await self._outcome(waiter, until_ms)
                if isinstance(found, Cold):
                    await found.part.pages.load(found.offset)
                    waiter.outcome = asyncio.get_running_loop().create_future()
                    self.line.join(waiter, first=True)
                    self._serve()
                else:
                    waiter.out = []
                    return found
        finally:
            self._leave(waiter)

    async def _outcome(self, waiter: Waiter, until_ms: int) -> list[Leased] | Cold:
        if not waiter.outcome.done() and not waiter.out and self._clock.monotonic_ms() < until_ms:
            await self._clock.wait(waiter.outcome, until_ms)
        if not waiter.outcome.done():
            if not waiter.out:
                return []
            # It is journalled for this consumer: now it takes what the write takes.
            await self._clock.wait(waiter.outcome, None)
        return waiter.outcome.result()  # type: ignore[return-value]  # what `go_on` has set

    def _leave(self, waiter: Waiter) -> None:
        self.line.leave(waiter)
        if waiter.outcome.done() and not waiter.outcome.cancelled():
            waiter.outcome.exception()  # nobody else will ask for it
        if waiter.out:
            self._abandon(waiter.out)
        self.serve_soon()

    def _abandon(self, leases: Sequence[Out]) -> None:
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
        """Let callers of that name, or all, return from waiting with nothing."""
        for waiter in [one for one in self.line.waiters() if consumer in {None, one.name}]:
            self.line.leave(waiter)
            waiter.go_on([])

    # ---- serving --------------------------------------------------------------------------------------------------

    def serve_soon(self) -> None:
        """Serve the line in the next turn of the loop; callers may be in the middle of a promotion.

        While the journal keeps what is submitted it is served before that is given to the commit: so an acknowledgement
        and the hand-over for which it has made room are written in one go.
        """
        if len(self.line) and not self._called:
            self._called = True
            if not self._journal.at_release(self._called_back):
                asyncio.get_running_loop().call_soon(self._called_back)

    def _called_back(self) -> None:
        self._called = False
        self._serve()

    def _serve(self) -> None:
        """Give to the head of the line until there is nothing or nobody, or all consumers had their turn."""
        self._clock.stir()
        now_ms = self._clock.now_ms()
        for part in self._parts:
            part.ledger.admission.wake(now_ms)
        turns = len(self.line)
        while (taker := self.line.next()) is not None:
            if turns <= 0:
                self.serve_soon()
                break
            try:
                served = self._give(taker, turns)
            except IsthmusError as error:
                if not self._refused(taker, error):
                    break
                continue
            if served is None:
                break
            if served:
                turns -= 1
                self._served(taker)
        self._arm(now_ms)

    def _served(self, taker: Taker) -> None:
        if isinstance(taker, Consumer) and taker.credit > 0 and not taker.ended:
            self.line.turn(taker)
        else:
            self.line.leave(taker)

    def _refused(self, taker: Taker, error: IsthmusError) -> bool:
        """Tell who cannot be served, and have it leave the line; False when it is to be tried again later."""
        if isinstance(taker, Consumer):
            if isinstance(error, Overloaded | StorageFull):
                self._try_later()
                return False
            taker.end(error)
            return True
        self.line.leave(taker)
        taker.go_on(error)
        return True

    def _try_later(self) -> None:
        """The journal has no room for a hand-over now."""

        def again() -> None:
            self._retry = None
            self.serve_soon()

        if self._retry is None:
            self._retry = self._clock.timer(self._clock.monotonic_ms() + CONSUMER_RETRY_MS, again)

    def _give(self, taker: Taker, turns: int) -> bool | None:
        """Journal a hand-over: True when it had its turn, None when there is nothing, False when only gaps were.

        `turns` is how many takers have not had theirs.
        """
        self._journal.check_open()
        beside = self.line.beside(taker)
        wish = taker.wish(alone=beside == 1)
        picks, cold = self._pick(wish, min(beside, turns))
        if not picks:
            return None if cold is None else self._cold(taker, cold)
        unit = self._journal.unit()
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
        out = [
            Out(part, tuple(ranges), acquired + 1)
            for part, picked in picks
            for (acquired, _), ranges in picked.groups.items()
        ]
        if until_ms is None:
            self._on_hold(wish.session)
        self._flying += 1
        taker.booked(found, out)
        pending.add_done_callback(partial(self._landed, taker, found, out))
        return True

    def _landed(self, taker: Taker, found: list[Leased], out: list[Out], done: Pending[list[Placed]]) -> None:
        """A hand-over is written, or cannot be."""
        self._flying -= 1
        received = taker.landed(found, done.error)
        if isinstance(done.error, IsthmusError) and isinstance(taker, Consumer):
            taker.end(done.error)
        elif not received:
            self._abandon(out)

    # ---- from disk ------------------------------------------------------------------------------------------------

    def _cold(self, taker: Taker, cold: Cold) -> bool | None:
        """The next record has to come from disk: a caller fetches it; for a consumer it is fetched beside."""
        if isinstance(taker, Waiter):
            taker.go_on(cold)
            return True
        if cold.part.id not in self._fetching:
            task = asyncio.get_running_loop().create_task(self._fetch(taker, cold), name="page of a queue")
            self._fetching[cold.part.id] = task
        return None

    async def _fetch(self, taker: Consumer, cold: Cold) -> None:
        try:
            await cold.part.pages.load(cold.offset)
        except OffsetOutOfRange:
            # Trimmed meanwhile: whoever is served next finds out.
            self.serve_soon()
        except IsthmusError as error:
            taker.end(error)
        finally:
            del self._fetching[cold.part.id]
            self.serve_soon()

    # ---- choosing -------------------------------------------------------------------------------------------------

    def _pick(self, wish: Wish, takers: int) -> tuple[list[tuple[Part, Picked]], Cold | None]:
        """Take what a wish gets, one partition after the other, beginning with the one whose turn it is."""
        count, size = self._share(wish.limit, takers), wish.max_bytes
        fresh = sum(part.ledger.admission.delayed for part in self._parts) < QUEUE_DELAYED_MAX
        picks: list[tuple[Part, Picked]] = []
        cold: Cold | None = None
        first, total = 0 if self.strict else self._turn, len(self._parts)
        for number in range(first, first + total):
            part = self._parts[number % total]
            if part.ledger.ready <= 0:
                continue
            picked = self._pick_of(part, count, size, picks, fresh=fresh, run_of_key=wish.run_of_key)
            if picked.cold is not None and cold is None:
                cold = Cold(part, picked.cold)
            if picked:
                picks.append((part, picked))
                count, size = count - picked.count, size - picked.size
                self._turn = (number + 1) % total
                if count <= 0 or size <= 0 or (wish.run_of_key and picked.count):
                    break
            if cold is not None and self.strict:
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

    def _share(self, count: int, takers: int) -> int:
        """What one of several that want something may take at once, so that all have something to do."""
        if takers > 1:
            ready = sum(part.ledger.ready for part in self._parts)
            count = min(count, max(1, -(-ready // takers)))
        return count

    def _reserve(self, unit: Unit, picks: Sequence[tuple[Part, Picked]], wish: Wish, until_ms: int | None) -> None:
        for part, picked in picks:
            self.settle(unit, part, gaps=picked.gaps, expired=picked.expired)
            for (acquired, failed), ranges in picked.groups.items():
                if wish.take:
                    change = part.ledger.settle(ranges, "acked")
                    self.write(unit, part, change, "written", who=wish.consumer, principal=wish.principal)
                    continue
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
        due = [part.ledger.admission.next_due_ms for part in self._parts] if len(self.line) else []
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

    def close(self, queue: str) -> None:
        """Let everybody return with nothing, and tell the standing consumers that the queue is gone."""
        self._closed = True
        self.wake()
        for consumer in list(self.line.standing.values()):
            consumer.end(Closed(f"queue {queue!r}"))
        for task in self._fetching.values():
            task.cancel()
        if self._retry is not None:
            self._retry.cancel()
        self._arm(0)
