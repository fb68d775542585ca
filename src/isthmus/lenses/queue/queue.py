"""A queue: the lens by lease on one or more partitions, its own and those of a topic that it views.

It turns what callers ask into decisions of the ledgers and these into facts of a unit; applied state changes only when
the journal gives the facts back. It appends no record: what died is returned, and whoever asked puts the dead letters
into the same unit.

How leases end
    `ack`, `fail`, `reject` are for whoever holds the lease: the unit is refused whole (`LeaseLost`) unless every lease
    is held at submit, so that outputs in it appear only with the acknowledgement. A lease is acknowledged once: while
    its acknowledgement is in flight, and after it, it is no longer held. Only a record that was trimmed away under a
    lease can still be acknowledged, which changes nothing.
    `release`, `end_session`, `expire` pass over what is not held any more.
    What reaches a limit while its holder is there (`fail`, `reject`) dies in the holder's unit. Where nobody is there
    to read it (`expire`, `end_session`, `release`, an opening) the end of the lease says that it is dying; `expire`
    returns it to be buried. Likewise what has outlived its time, where the queue has a place for its dead.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol

from isthmus.clock import Clock
from isthmus.definition import Level, QueueConfig
from isthmus.errors import Closed, InvalidArgument, LeaseLost, OffsetOutOfRange, QueueFull
from isthmus.lenses.queue.bounds import Bounds
from isthmus.lenses.queue.changes import DUE_NEVER, Counts, Held, Range, Why
from isthmus.lenses.queue.handout import HandOut
from isthmus.lenses.queue.part import Part, Source
from isthmus.lenses.queue.takers import Consumer, Deliver, OnEnd, Wish, check_lease_ms
from isthmus.lenses.queue.translate import change_of, slice_of, state_of
from isthmus.limits import CONSUMER_BATCH_BYTES, QUEUE_DELAYED_MAX
from isthmus.log import facts
from isthmus.log.journal import Journal, Pending, Placed, Unit
from isthmus.log.partition import Partition
from isthmus.ranges import RangeSet
from isthmus.record import Lease, Leased, StoredRecord
from isthmus.views import PeekedRecord

DYING_RECORDS_MAX: Final = 1_000
DYING_BYTES_MAX: Final = 4 * 1024 * 1024
"""What one call of `expire` returns to be buried, so that it fits a unit; the rest comes with the next one."""

QueueFact = facts.Leased | facts.Released | facts.Settled | facts.LedgerState


class Dead(NamedTuple):
    """A record that is settled as dead or rejected in the unit that the call was given, with why."""

    partition: Partition
    record: StoredRecord
    acquired: int
    failed: int
    reason: str
    traceback: str = ""
    why: Why = "rejected"


class Holders(Protocol):
    """Who is told which sessions have to do with which queues, so that the end of one touches no other queue."""

    def hold(self, queue: int, session: int) -> None:
        """A session has a consumer or leases without time limit at a queue."""

    def forget(self, queue: int) -> None:
        """The queue is gone."""


class _Run(NamedTuple):
    """Leases on neighbouring offsets with the same count of hand-overs (None: any, of `session`)."""

    part: Part
    start: int
    end: int
    acquired: int | None
    session: int | None = None


class _Doomed(NamedTuple):
    """Offsets that are to end without a holder: dying ones with their counts, or others that nobody has leased."""

    part: Part
    start: int
    end: int
    why: Why
    reason: str
    acquired: int = 0
    failed: int = 0

    def is_there(self) -> bool:
        """Whether all of it can still end so."""
        ledger = self.part.ledger
        settles = ledger.is_dying if self.why == "dead" else ledger.is_loose
        return settles(self.start, self.end)

    def cut(self, count: int) -> "tuple[_Doomed, _Doomed | None]":
        """The first `count` offsets, and the rest if there is any."""
        middle = self.start + count
        if middle >= self.end:
            return self, None
        return self._replace(end=middle), self._replace(start=middle)


class Queue:
    """See the module text.

    Args of the constructor: `sources` are the partitions of the queue's own topic, then those that it views. Until
    replay is over only `apply` and `facts` may be called; the first other call, or `recovered`, ends it. `holders` is
    told of the sessions that have something here.
    """

    __slots__ = (
        "_bounds",
        "_by_id",
        "_clock",
        "_closed",
        "_hand_out",
        "_holders",
        "_journal",
        "_live",
        "_parts",
        "_sessions",
        "_sources",
        "config",
        "id",
        "name",
        "on_due",
        "used_ms",
    )

    def __init__(  # what a queue is made of
        self,
        queue_id: int,
        name: str,
        config: QueueConfig,
        sources: Sequence[Source],
        journal: Journal,
        clock: Clock,
        holders: Holders | None = None,
    ) -> None:
        self.id = queue_id
        self.name = name
        self.config = config
        self._journal = journal
        self._clock = clock
        self._sources: dict[int, tuple[Source, Callable[[], None]]] = {}
        self._parts: list[Part] = []
        self._by_id: dict[int, Part] = {}
        self._live = False
        self._closed = False
        self._holders = holders
        self._sessions: dict[int, None] = {}  # an empty set takes three times as much
        self._hand_out = HandOut(queue_id, self._parts, journal, clock, self._hold)
        self._hand_out.line.single = config.single
        self._hand_out.strict = config.priorities > 1
        self._bounds: Bounds | None = None
        self.on_due: Callable[[int, int], None] | None = None
        self.used_ms = clock.monotonic_ms()
        """When somebody asked for records of it, or said that it should be there."""
        for source in sources:
            self.add_source(source)

    # ---- life -----------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it is closed for good."""
        return self._closed

    def touch(self) -> None:
        """It is used now."""
        self.used_ms = self._clock.monotonic_ms()

    def add_source(self, source: Source) -> None:
        """Take from one more partition, as when a topic got more of them. Known ones are passed over."""
        partition = source.partition
        if partition.id in self._sources:
            return
        moved = partial(self._moved, source)
        self._sources[partition.id] = source, moved
        partition.watch(moved)
        if self._live:
            self._begin(source)

    def _begin(self, source: Source) -> None:
        """A partition costs next to nothing until there is something in it for this queue: then it gets its ledger."""
        part = self._by_id.get(source.partition.id)
        if part is None and source.partition.high_watermark > source.start:
            part = self._make(source)
        if part is not None:
            part.go_live()

    def _make(self, source: Source) -> Part:
        part = self._by_id[source.partition.id] = Part(source, self.config, self._clock)
        self._parts.append(part)
        # Strict priorities: the highest level first. Else in the order in which the partitions became known.
        order = {number: place for place, number in enumerate(self._sources)}
        self._parts.sort(key=lambda one: order[one.id], reverse=self.config.priorities > 1)
        return part

    def recovered(self) -> None:
        """Replay is over: what was leased may go out again, its failure counted, because whoever held it is gone."""
        if not self._live:
            self._live = True
            for source, _ in self._sources.values():
                self._begin(source)

    def reconfigure(self, config: QueueConfig) -> None:
        """Hand out by another configuration from now on.

        Raises:
            InvalidArgument: order by key and the levels of priority cannot be changed while the queue is open.
        """
        if config.priorities != self.config.priorities:
            had = self.config.priorities
            raise InvalidArgument("priorities", f"queue {self.name!r} was made with {had}; make a new one")
        if config.ordered != self.config.ordered:
            raise InvalidArgument("ordered", f"queue {self.name!r} was made with {self.config.ordered}; make a new one")
        self.config = config
        self._hand_out.line.single = config.single
        for part in self._parts:
            part.ledger.config = config
        if self._live:
            self._tell_due()

    def close(self) -> None:
        """Let waiting consumers return with nothing, end the standing ones, and watch no partition any more."""
        self._closed = True
        self._hand_out.close(self.name)
        if self._holders is not None:
            self._holders.forget(self.id)
        for source, moved in self._sources.values():
            source.partition.unwatch(moved)

    def wake(self, consumer: str | None = None) -> None:
        """Let waiting consumers of that name, or all, return with nothing."""
        self._hand_out.wake(consumer)

    def _moved(self, source: Source) -> None:
        """A partition's high watermark or log start has moved."""
        if self._live:
            part = self._by_id.get(source.partition.id)
            if part is None:
                self._begin(source)
            else:
                part.grow()
            self._hand_out.serve_soon()
            if self.bounded or self.config.ttl_ms is not None:
                self._tell_due()

    def _tell_due(self) -> None:
        """Let somebody know by when there is something to `expire`."""
        at_ms = self.next_end_ms() if self.on_due is not None else None
        if self.on_due is not None and at_ms is not None:
            self.on_due(self.id, at_ms)

    # ---- the journal's side ---------------------------------------------------------------------------------------

    def apply(self, fact: QueueFact, _lsn: int = 0) -> None:
        """A fact of this queue is in the journal, live or in replay."""
        part = self._by_id.get(fact.partition)
        if part is None:
            known = self._sources.get(fact.partition)
            if known is None:
                return
            part = self._make(known[0])
        if isinstance(fact, facts.LedgerState):
            part.ledger.restore(slice_of(fact))
        else:
            part.ledger.apply(change_of(fact))
            self._hand_out.serve_soon()
            if self._live and isinstance(fact, facts.Released) and (self.bounded or fact.due_ms == DUE_NEVER):
                self._tell_due()

    def facts(self) -> Iterator[facts.LedgerState]:
        """The applied state for a checkpoint, one ledger after the other, each as of the moment when it is begun."""
        for part in self._parts:
            for piece in part.ledger.export():
                yield state_of(piece, queue=self.id, partition=part.id)

    # ---- taking ---------------------------------------------------------------------------------------------------

    async def lease(
        self,
        consumer: str,
        session_id: int,
        principal: int,
        count: int,
        max_bytes: int,
        lease_ms: int | Literal["default"] | None = "default",
        wait_ms: int = 0,
        *,
        run_of_key: bool = False,
    ) -> list[Leased]:
        """Lease records in order, waiting for the first; [] when none came, or the queue was closed or woken.

        Args:
            consumer: name, for people.
            session_id: what leases without time limit end with.
            principal: who, for the journal.
            count: records at most, 1 to LEASE_RECORDS_MAX. Several that wait share what there is.
            max_bytes: of keys, values and headers at most, but always one record.
            lease_ms: time limit of the leases from now, None for none, "default" for the queue's own.
            wait_ms: how long to wait for the first record.
            run_of_key: take the next waiting records of one key together; for ordered queues.

        Raises:
            InvalidArgument: an argument is outside its range.
            Closed: the queue is.
            Overloaded: too many consumers wait.
            InvalidBatch, UnsupportedCompression, Damaged: the next record cannot be read.
            StorePoisoned, ReadOnly, Damaged: no hand-over can be journalled.
        """
        self._check_open()
        if run_of_key and not self.config.ordered:
            raise InvalidArgument("run_of_key", f"queue {self.name!r} is not ordered by key")
        self.touch()
        limit_ms = self.config.lease_ms if lease_ms == "default" else lease_ms
        wish = Wish(consumer, session_id, principal, count, max_bytes, limit_ms, run_of_key)
        return await self._hand_out.lease(wish, wait_ms)

    def consume(
        self,
        name: str,
        session_id: int,
        principal: int,
        deliver: Deliver,
        *,
        priority: int = 0,
        credit: int,
        max_bytes: int = CONSUMER_BATCH_BYTES,
        lease_ms: int | None = None,
        take: bool = False,
        on_end: OnEnd | None = None,
    ) -> Consumer:
        """A standing consumer, which is handed records while it has credit; see `Consumer`.

        Args:
            name: for people.
            session_id: what it ends with, and its leases without time limit.
            principal: who, for the journal.
            deliver: called on the loop with what was handed over, when that is written.
            priority: who has a higher one is served first, as long as it has credit.
            credit: how many records it may be handed to begin with, 0 for none yet.
            max_bytes: of keys, values and headers in one delivery at most, but always one record.
            lease_ms: time limit of its leases, None for none.
            take: settle records as they are handed over; then there is nothing to acknowledge.
            on_end: told when it gets nothing any more because the queue is gone or its next record cannot be read.

        Raises:
            InvalidArgument: an argument is outside its range.
            Closed: the queue is.
            Overloaded: the queue has too many consumers.
        """
        self._check_open()
        wish = Wish(name, session_id, principal, credit, max_bytes, lease_ms, take=take)
        return self._hand_out.consume(wish, priority, deliver, on_end)

    @property
    def consumers(self) -> list[Consumer]:
        """The standing consumers, the oldest first."""
        return list(self._hand_out.line.standing.values())

    @property
    def on_consumers(self) -> Callable[[int], None] | None:
        """Called with how many standing consumers there are when that has changed."""
        return self._hand_out.on_consumers

    @on_consumers.setter
    def on_consumers(self, callback: Callable[[int], None] | None) -> None:
        """Set who is told, None for nobody."""
        self._hand_out.on_consumers = callback

    def _hold(self, session_id: int) -> None:
        if session_id not in self._sessions:
            self._sessions[session_id] = None
            if self._holders is not None:
                self._holders.hold(self.id, session_id)

    async def peek(self, count: int) -> list[PeekedRecord]:
        """The first `count` unsettled records of each partition in turn, in order, without taking them; those of the
        highest level of priority first.
        """
        self.recovered()
        found: list[PeekedRecord] = []
        for part in self._parts:
            index = part.source.partition.index
            async for record in part.unsettled(count - len(found)):
                state, acquired, failed, due_ms = part.describe(record)
                found.append(
                    PeekedRecord(
                        topic=part.source.topic,
                        partition=index,
                        record=record,
                        state=state,
                        acquired=acquired,
                        failed=failed,
                        due_ms=due_ms,
                        priority=index if self.config.priorities > 1 else None,
                    )
                )
        return found

    # ---- settling, for whoever holds the lease --------------------------------------------------------------------

    def ack(
        self,
        unit: Unit,
        leases: Sequence[Lease],
        *,
        consumer: str = "",
        principal: int = 0,
        level: Level | None = None,
    ) -> None:
        """Settle the records of these leases with the unit.

        Args:
            level: how durable, that of the topic by default. Whoever says `written` and then that it is settled has
                to have the journal flushed in between.

        Raises:
            LeaseLost: at submit; see the module text.
        """
        self._settle(unit, self._runs(leases), "acked", consumer, principal, level)

    def ack_ranges(
        self,
        unit: Unit,
        partition: Partition,
        ranges: Sequence[Range],
        *,
        session_id: int,
        consumer: str = "",
        principal: int = 0,
    ) -> None:
        """Settle ranges of offsets that are all leased by one session.

        Raises:
            LeaseLost: now or at submit; see the module text.
        """
        part = self._part(partition.id, ranges[0][0] if ranges else 0)
        runs = [_Run(part, start, end, None, session_id) for start, end in ranges]
        self._settle(unit, runs, "acked", consumer, principal)

    async def reject(
        self,
        unit: Unit,
        leases: Sequence[Lease],
        reason: str,
        traceback: str = "",
        *,
        consumer: str = "",
        principal: int = 0,
    ) -> list[Dead]:
        """Settle the records of these leases as rejected; returns them to be buried in the same unit.

        Raises:
            LeaseLost: now or at submit; see the module text.
        """
        runs = self._runs(leases)
        held = [(run.part, held) for run in runs for held in self._held(run)]
        dead = await self._dead(held, 1, "rejected", reason, traceback)
        self._settle(unit, runs, "rejected", consumer, principal)
        return dead

    async def fail(
        self,
        unit: Unit,
        leases: Sequence[Lease],
        delay_ms: int,
        reason: str,
        traceback: str = "",
        *,
        principal: int = 0,
    ) -> list[Dead]:
        """Count a failure and hand out again after `delay_ms`; what reaches a limit is returned to be buried instead.

        Raises:
            LeaseLost: now or at submit; see the module text.
            InvalidArgument: the delay is negative.
        """
        check_delay_ms(delay_ms)
        back: list[tuple[Part, Held]] = []
        dying: list[tuple[Part, Held]] = []
        runs = self._runs(leases)
        for run in runs:
            for held in self._held(run):
                dies = run.part.ledger.dies(held.acquired, held.failed + 1)
                (dying if dies else back).append((run.part, held))
        dead = await self._dead(dying, 1, "dead", reason, traceback)
        if dying:
            gone = [_Run(part, held.start, held.end, held.acquired) for part, held in dying]
            self._settle(unit, gone, "dead", "", principal)
        if back:
            check = partial(self._check, [_Run(part, held.start, held.end, held.acquired) for part, held in back])
            unit.step(check, lambda: self._end(unit, back, 1, delay_ms, reason, principal))
        return dead

    def release(
        self, unit: Unit, leases: Sequence[Lease], delay_ms: int = 0, *, reason: str = "released", principal: int = 0
    ) -> None:
        """Hand back without counting a failure; what is not held any more is passed over.

        Raises:
            InvalidArgument: the delay is negative.
        """
        check_delay_ms(delay_ms)
        runs = [run for run in self._runs(leases, known_only=True) if self._still(run)]
        if runs:

            def reserve() -> None:
                held = [(run.part, held) for run in runs for held in self._still(run)]
                self._end(unit, held, 0, delay_ms, reason, principal)

            unit.step(None, reserve)

    def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[Lease]:
        """Let leases with a time limit end `lease_ms` from now; returns them with their new end, in order.

        Raises:
            LeaseLost: one is not held any more; the others were renewed.
            InvalidArgument: `lease_ms` is outside its range.
        """
        until_ms = self._clock.monotonic_ms() + check_lease_ms(lease_ms)
        error: LeaseLost | None = None
        for run in self._runs(leases):
            try:
                self._check([run])
            except LeaseLost as lost:
                error = error or lost
                for offset in range(run.start, run.end):
                    if run.part.ledger.lost(offset, offset + 1, run.acquired) is None:
                        run.part.ledger.extend(offset, offset + 1, until_ms)
            else:
                run.part.ledger.extend(run.start, run.end, until_ms)
        if error is not None:
            raise error
        return [
            Lease(lease.queue, lease.partition, lease.offset, lease.acquired, lease.failed, until_ms)
            if lease.until_ms is not None
            else lease
            for lease in leases
        ]

    # ---- what happens without a holder ----------------------------------------------------------------------------

    def end_session(self, unit: Unit, session_id: int, *, failed: bool = True, reason: str = "consumer lost") -> None:
        """End the consumers and the leases without time limit of a session; a failure counts unless it was orderly.

        What reaches a limit by that is dying, and comes with the next `expire`.
        """
        self.recovered()
        self._sessions.pop(session_id, None)
        self._hand_out.end_session(session_id)
        if any(part.ledger.held_by(session_id) for part in self._parts):

            def reserve() -> None:
                held = [(part, held) for part in self._parts for held in part.ledger.held_by(session_id)]
                self._end(unit, held, int(failed), 0, reason, 0)

            unit.step(None, reserve)

    async def expire(self, unit: Unit, *, grace_ms: int = 0, steady: bool = True) -> list[Dead]:
        """Do what time asks for: end leases whose time is over, settle records that are too old or too many.

        That goes into a unit of its own. What has reached a limit, what is too many, and what is too old and leaves a
        dead letter, is settled in `unit` and returned to be buried in it; the caller submits without waiting for
        anything else before.

        Args:
            unit: for what is dead.
            grace_ms: leave leases that ended at most this long ago; after a stall of the event loop, so that renewals
                that came in meanwhile are heard first.
            steady: False while the wall clock is not to be trusted: then no record is too old.

        Raises:
            OffsetOutOfRange, Damaged, InvalidBatch, UnsupportedCompression: a dying record cannot be read.
        """
        self._check_open()
        for part in self._parts if self.config.max_bytes is not None else ():
            await part.measure()
        own = self._journal.unit()
        overdue: list[_Doomed] = []
        now_ms = self._clock.monotonic_ms() - grace_ms
        delayed = sum(part.ledger.admission.delayed for part in self._parts)
        for part in self._parts:
            part.grow()
            part.ledger.admission.wake(self._clock.now_ms())
            gaps = part.survey(fresh=delayed < QUEUE_DELAYED_MAX)
            expired = part.ledger.lapsed(self._clock.now_ms()) if steady else []
            if part.ledger.buries:
                overdue += [_Doomed(part, start, end, "expired", "too old") for start, end in expired]
                expired = []
            if gaps or expired:
                own.step(None, partial(self._hand_out.settle, own, part, gaps=gaps, expired=expired))
            leases = part.ledger.expired(now_ms)
            if leases:
                over = [(part, held) for held in leases]
                own.step(None, partial(self._end, own, over, 1, 0, "lease expired", 0))
        if own.changes:
            await own.submit()
        dying = [
            _Doomed(part, held.start, held.end, "dead", "too many deliveries", held.acquired, held.failed)
            for part in self._parts
            for held in part.ledger.dying(DYING_RECORDS_MAX)
        ]
        # What is too old may be too many as well and must not end twice: how many are left is seen when it is gone.
        surplus = await self._surplus() if not overdue else []
        return await self._bury(unit, [*dying, *overdue, *surplus])

    async def _surplus(self) -> list[_Doomed]:
        """What is at the head and too many."""
        if not self._overflows():
            return []
        found = await self._bound().surplus(self.config)
        return [_Doomed(part, start, end, "dropped", "the queue is full") for part, (start, end) in found]

    async def _bury(self, unit: Unit, doomed: Sequence[_Doomed]) -> list[Dead]:
        """Settle in the unit what is to end, as much as fits; what is too old and does not fit is named again."""
        found: list[tuple[_Doomed, list[Dead]]] = []
        records = size = 0
        for each in doomed:
            if records >= DYING_RECORDS_MAX or size >= DYING_BYTES_MAX:
                self._later(each)
                continue
            piece, rest = each.cut(DYING_RECORDS_MAX - records) if self.buries else (each, None)
            self._later(rest)
            held = Held(piece.start, piece.end, piece.acquired, piece.failed)
            dead = await self._dead([(piece.part, held)], 0, piece.why, piece.reason, "")
            found.append((piece, dead))
            records += piece.end - piece.start
            size += sum(len(one.record.value or b"") for one in dead)
        # Reading may have waited, and something may have been trimmed or handed out since.
        going = [(piece, dead) for piece, dead in found if piece.is_there()]
        for why in dict.fromkeys(piece.why for piece, _ in going):
            pieces = [piece for piece, _ in going if piece.why == why]
            runs = [_Run(piece.part, piece.start, piece.end, None) for piece in pieces]
            # Without a letter there is nothing to lose: what was dropped and is there again is dropped again.
            level: Level | None = None if self.buries or why == "dead" else "written"
            settle = partial(self._write_settled, unit, runs, why, "", 0, level)
            unit.step(partial(self._check_there, pieces), settle)
        return [one for _, dead in going for one in dead]

    def _later(self, doomed: _Doomed | None) -> None:
        """There was no room for this one. What is dying is remembered as such anyway."""
        if doomed is not None and doomed.why == "expired":
            doomed.part.ledger.overdue(doomed.start, doomed.end, self._clock.now_ms())

    def _check_there(self, doomed: Sequence[_Doomed]) -> None:
        for piece in doomed:
            if not piece.is_there():
                raise LeaseLost(self.name, piece.part.source.partition.index, piece.start)

    def discard(
        self, unit: Unit, offsets: Sequence[tuple[int, int]], *, consumer: str = "", principal: int = 0
    ) -> None:
        """Settle (partition id, offset) rows as acknowledged whoever holds them; what is settled is passed over."""
        self.recovered()
        rows = [(self._by_id[partition], offset) for partition, offset in offsets if partition in self._by_id]

        def reserve() -> None:
            going: dict[Part, list[Range]] = {}
            for part, offset in rows:
                if found := part.ledger.open(offset, offset + 1):
                    going.setdefault(part, []).extend(found)
            for part, ranges in going.items():
                change = part.ledger.settle(ranges, "acked")
                level = part.source.partition.level
                self._hand_out.write(unit, part, change, level, who=consumer, principal=principal)

        unit.step(None, reserve)

    def purge(self, unit: Unit, *, principal: int = 0, held: bool = False) -> int:
        """Settle all that is neither leased nor dying with the unit; returns how many offsets that is now.

        With `held` also what is leased, whose holders find that it is gone.
        """
        self.recovered()

        def ranges_of(part: Part) -> list[Range]:
            return part.ledger.open(part.ledger.floor, part.ledger.end) if held else part.ledger.loose()

        loose = {part.id: ranges_of(part) for part in self._parts}

        def reserve() -> None:
            for part in self._parts:
                ranges = ranges_of(part)
                if ranges:
                    change = part.ledger.settle(ranges, "purged")
                    self._hand_out.write(unit, part, change, part.source.partition.level, principal=principal)

        unit.step(None, reserve)
        return sum(end - start for ranges in loose.values() for start, end in ranges)

    def trimmed(self, unit: Unit, partition: Partition, log_start: int) -> None:
        """Settle what a trim in the same unit takes away."""
        self.recovered()
        part = self._by_id.get(partition.id)
        if part is None:
            return

        def reserve() -> None:
            change = part.ledger.trim(log_start)
            if change is not None:
                self._hand_out.write(unit, part, change, partition.level)

        unit.step(None, reserve)

    # ---- what there is --------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Where the records are, in numbers."""
        self.recovered()
        each = [part.ledger.counts() for part in self._parts]
        sums = {name: sum(getattr(counts, name) for counts in each) for name in Counts.__struct_fields__}
        if self.config.max_events is not None and self.config.overflow == "drop":
            # What is too many is about to go and is never handed out any more.
            excess = max(0, sums["ready"] - self.config.max_events)
            sums["ready"], sums["dropped"] = sums["ready"] - excess, sums["dropped"] + excess
        return Counts(**sums)

    @property
    def buries(self) -> bool:
        """Whether what dies leaves a dead letter."""
        return self.config.dead is not None or self.config.dead_exchange is not None

    @property
    def bounded(self) -> bool:
        """Whether only so much may be ready."""
        return self.config.max_events is not None or self.config.max_bytes is not None

    def _bound(self) -> Bounds:
        if self._bounds is None:
            self._bounds = Bounds(self._parts, self._landing)
        return self._bounds

    def _landing(self) -> int:
        """How many offsets were given out in all partitions and are not durable yet."""
        found = 0
        for source, _ in self._sources.values():
            part = self._by_id.get(source.partition.id)
            end = source.partition.high_watermark if part is None else part.ledger.end
            found += source.partition.next_offset - end
        return found

    def _overflows(self) -> bool:
        """Whether something at the head is too many."""
        return self.bounded and self.config.overflow == "drop" and bool(self._bound().excess(self.config))

    def check_room(self, count: int, size_bytes: int) -> None:
        """Refuse what is to be published, where the queue does that.

        Args:
            count: events.
            size_bytes: of their values.

        Raises:
            QueueFull: there is no room for all of it.
        """
        if self.bounded and self.config.overflow != "drop":
            self.recovered()
            broken = self._bound().full(self.config, count, size_bytes)
            if broken is not None:
                raise QueueFull(self.name, *broken)

    def lands(self, size_bytes: int, landing: Pending[list[Placed]]) -> None:
        """So many bytes of values were submitted and count from now on."""
        bounds = self._bound()
        bounds.landing_bytes += size_bytes

        def landed(_: object) -> None:
            bounds.landing_bytes -= size_bytes

        landing.add_done_callback(landed)

    def floor(self, partition: Partition) -> int:
        """Below it all records of a partition are settled, durably; its log start if the queue takes none from it."""
        part = self._by_id.get(partition.id)
        if part is not None:
            return part.ledger.floor
        known = self._sources.get(partition.id)
        return known[0].start if known is not None else partition.log_start

    def settled(self, partition: Partition) -> RangeSet:
        """All offsets of a partition that are settled, durably, also above the floor."""
        settled, part = RangeSet(), self._by_id.get(partition.id)
        settled.add(partition.log_start, self.floor(partition))
        if part is not None:
            for start, end in part.ledger.settled():
                settled.add(start, end)
        return settled

    async def oldest_ready_ms(self) -> int | None:
        """The timestamp of the oldest record that is ready, None when there is none."""
        self.recovered()
        oldest: int | None = None
        for part in self._parts:
            offset = part.ledger.first_ready()
            record = await part.record(offset) if offset is not None else None
            if record is not None:
                oldest = record.timestamp_ms if oldest is None else min(oldest, record.timestamp_ms)
        return oldest

    def is_due(self, now_ms: int) -> bool:
        """Whether `expire` has something to do at `now_ms` (monotonic)."""
        if not self._parts:
            return False
        due_ms = self.next_due_ms()
        return due_ms is not None and due_ms <= now_ms

    def next_due_ms(self) -> int | None:
        """A monotonic time before which `expire` has nothing to do; None while there is nothing to wait for."""
        now_ms = self._clock.monotonic_ms()
        lead_ms = now_ms - self._clock.now_ms()
        end_ms = self.next_end_ms()
        times: list[int] = [] if end_ms is None else [end_ms]
        for part in self._parts:
            if part.ledger.has_dying or not part.surveyed:
                return now_ms
            wall_ms, lease_ms = part.ledger.next_wall_ms(), part.ledger.next_lease_end_ms()
            times += [] if wall_ms is None else [wall_ms + lead_ms]
            times += [] if lease_ms is None else [lease_ms]
        return min(times, default=None)

    def next_end_ms(self) -> int | None:
        """A monotonic time before which nothing is too old, too many or dying; None while nothing will be."""
        now_ms = self._clock.monotonic_ms()
        if any(part.ledger.has_dying for part in self._parts):
            return now_ms
        if self._overflows():
            return now_ms
        times = [part.ledger.next_end_ms() for part in self._parts]
        lead_ms = now_ms - self._clock.now_ms()
        return min((at_ms + lead_ms for at_ms in times if at_ms is not None), default=None)

    @property
    def surveyed(self) -> bool:
        """Whether all ends of life are known that memory can tell."""
        return all(part.surveyed for part in self._parts)

    @property
    def open_count(self) -> int:
        """How many offsets wait, ready or delayed, those on their way to the disk included."""
        there = sum([part.ledger.ready + part.ledger.admission.delayed for part in self._parts])
        return there + self._landing()

    @property
    def settled_count(self) -> int:
        """How many offsets were ever settled, durably."""
        return sum([part.ledger.settled_count for part in self._parts])

    @property
    def waiting(self) -> int:
        """How many consumers wait for records."""
        return len(self._hand_out)

    # ---- how it is done -------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"queue {self.name!r}")
        self.recovered()

    def _part(self, partition: int, offset: int) -> Part:
        self.recovered()
        part = self._by_id.get(partition)
        if part is None:
            raise LeaseLost(self.name, partition & 0xFFFF, offset)
        return part

    def _runs(self, leases: Sequence[Lease], *, known_only: bool = False) -> list[_Run]:
        """Leases as runs. What is not of this queue cannot be held; it is passed over with `known_only`."""
        runs: list[_Run] = []
        partition = start = end = acquired = -1
        for lease in leases:
            if lease.offset == end and lease.acquired == acquired and lease.partition == partition:
                end += 1
                continue
            if end > start:
                runs.append(_Run(self._by_id[partition], start, end, acquired))
            start = end = -1
            if known_only and lease.partition not in self._by_id:
                continue
            self._part(lease.partition, lease.offset)
            partition, start, end, acquired = lease.partition, lease.offset, lease.offset + 1, lease.acquired
        if end > start:
            runs.append(_Run(self._by_id[partition], start, end, acquired))
        return runs

    def _check(self, runs: Sequence[_Run]) -> None:
        """Raises LeaseLost unless all leases are held."""
        for run in runs:
            lost = run.part.ledger.lost(run.start, run.end, run.acquired, run.session)
            if lost is not None:
                raise LeaseLost(self.name, run.part.source.partition.index, lost)

    def _held(self, run: _Run) -> list[Held]:
        self._check([run])
        return run.part.ledger.held(run.start, run.end)

    def _still(self, run: _Run) -> list[Held]:
        """What of a run is held, as far as it is."""
        return [held for held in run.part.ledger.held(run.start, run.end) if held.acquired == run.acquired]

    def _settle(
        self,
        unit: Unit,
        runs: Sequence[_Run],
        why: Why,
        consumer: str,
        principal: int,
        level: Level | None = None,
    ) -> None:
        settle = partial(self._write_settled, unit, runs, why, consumer, principal, level)
        unit.step(partial(self._check, runs), settle)

    def _write_settled(
        self, unit: Unit, runs: Sequence[_Run], why: Why, consumer: str, principal: int, level: Level | None = None
    ) -> None:
        for part, ranges in _by_part(runs).items():
            change = part.ledger.settle(ranges, why)
            self._hand_out.write(
                unit, part, change, level or part.source.partition.level, who=consumer, principal=principal
            )

    def _end(
        self,
        unit: Unit,
        leases: Sequence[tuple[Part, Held]],
        failures: int,
        delay_ms: int,
        reason: str,
        principal: int,
    ) -> None:
        """Reserve and write that leases end without being settled."""
        due_ms = self._clock.now_ms() + delay_ms if delay_ms else 0
        held: dict[Part, list[Held]] = {}
        for part, lease in leases:
            held.setdefault(part, []).append(lease)
        for part, pieces in held.items():
            for change in part.ledger.release(pieces, failures=failures, due_ms=due_ms):
                self._hand_out.write(unit, part, change, "written", principal=principal, reason=reason)

    async def _dead(
        self, dying: Sequence[tuple[Part, Held]], failures: int, why: Why, reason: str, traceback: str
    ) -> list[Dead]:
        """The records of what dies, if somebody wants them; one that was trimmed leaves none."""
        found: list[Dead] = []
        for part, held in [row for row in dying if row[0].ledger.buries]:
            for offset in range(held.start, held.end):
                try:
                    record = await part.record(offset)
                except OffsetOutOfRange:
                    continue
                if record is not None:
                    failed = held.failed + failures
                    found.append(Dead(part.source.partition, record, held.acquired, failed, reason, traceback, why))
        return found


def check_delay_ms(delay_ms: int) -> None:
    """Raises InvalidArgument for a delay that cannot be."""
    if delay_ms < 0:
        raise InvalidArgument("delay_ms", f"{delay_ms} is negative")


def _by_part(runs: Sequence[_Run]) -> dict[Part, list[Range]]:
    ranges: dict[Part, list[Range]] = {}
    for run in runs:
        ranges.setdefault(run.part, []).append((run.start, run.end))
    return ranges
