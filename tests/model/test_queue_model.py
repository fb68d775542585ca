"""A whole queue against a dictionary: levels of priority, consumers with credit, callers, a single one, openings.

Every delivery is held against the model at the moment when it comes. In between nothing is waited for on purpose, so
that hand-overs cross with acknowledgements, grants and cancellations; `settle_down` then asks whether all that could go
out did.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from isthmus.definition import QueueConfig
from isthmus.lenses.queue.takers import Consumer
from isthmus.record import Leased
from support.queues import MANY_BYTES, QueueWorld, leases

T = TypeVar("T")
Place = tuple[int, int]
"""Level and offset."""

READY, HELD, DONE = "ready", "held", "done"
CALLER: Final = -1
"""Who holds what a call leased."""

CALLERS_SESSION: Final = 99


@dataclass
class Entry:
    """One record; `since` is when it became ready, in turns of the machine."""

    state: str = READY
    since: int = 0
    acquired: int = 0
    holder: int = 0
    leased: Leased | None = None


@dataclass
class Member:
    """One standing consumer; `granted` is all that it was ever given, `since` when it was last given some."""

    consumer: Consumer
    granted: int
    since: int
    got: int = 0
    over: bool = False


@dataclass
class Model:
    """What must be so."""

    entries: dict[Place, Entry] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    fresh: dict[int, int] = field(default_factory=dict)
    turn: int = 0

    def ready(self) -> list[Place]:
        return [place for place, entry in self.entries.items() if entry.state == READY]

    def held(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.state == HELD]

    def back(self, entry: Entry) -> None:
        entry.state, entry.leased, entry.since = READY, None, self.turn


class QueueMachine(RuleBasedStateMachine):
    """See the module text."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.wrong: list[BaseException] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.wrong.append(context["exception"]))

    @initialize(levels=st.integers(1, 3), single=st.booleans())
    def open_first(self, levels: int, single: bool) -> None:
        self.config = QueueConfig(priorities=levels, single=single, failed_max=None)
        self.world = QueueWorld(self.config, partitions=levels)
        self.model = Model()
        self.numbers = 0
        self.run(self.world.open())

    def run(self, work: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await work

        try:
            return self.runner.run(wrapped())
        finally:
            # What a delivery asserts is reported to the loop: it must not harm the other callbacks of the journal.
            for error in self.wrong:
                raise error

    def do(self, what: Callable[[], object]) -> None:
        """Something that wants a running loop and waits for nothing."""

        async def wrapped() -> None:
            what()

        self.run(wrapped())

    # ---- what a delivery must be ----------------------------------------------------------------------------------

    def delivered(self, number: int, found: list[Leased]) -> None:
        for leased in found:
            place = (leased.lease.partition & 0xFFFF, leased.lease.offset)
            entry = self.model.entries[place]
            assert entry.state == READY, f"{place} is {entry.state} and went out"
            assert leased.lease.acquired > entry.acquired, "an older lease"
            self.check_order(place)
            if leased.lease.acquired == 1:
                assert place[1] >= self.model.fresh.get(place[0], 0), "out of order"
                self.model.fresh[place[0]] = place[1]
            entry.acquired = leased.lease.acquired
            self.check_holder(number)
            takes = number != CALLER and self.model.members[number].consumer.takes
            entry.state, entry.holder, entry.leased = (DONE if takes else HELD), number, leased
        if number != CALLER:
            self.check_member(self.model.members[number], len(found))

    def check_order(self, place: Place) -> None:
        """What was ready before the last turn and stands before this record is out already."""
        before = [
            other
            for other in self.model.ready()
            if self.model.entries[other].since < self.model.turn and (-other[0], other[1]) < (-place[0], place[1])
        ]
        assert not before, f"{place} before {before}"

    def check_holder(self, number: int) -> None:
        """With a single active consumer, no two who are still there hold something at the same time."""
        if self.config.single:
            others = {entry.holder for entry in self.model.held()} - {number}
            assert not [other for other in others if other == CALLER or not self.model.members[other].consumer.ended]

    def check_member(self, member: Member, count: int) -> None:
        member.got += count
        assert member.got <= member.granted, "more than was granted"
        assert not member.over, "a delivery after the end"
        if member.consumer.ended:
            assert member.consumer.takes, "a delivery after the end"
        better = [
            other
            for other in self.model.members.values()
            if other.consumer.priority > member.consumer.priority
            and not other.consumer.ended
            and other.since < self.model.turn
            and other.consumer.credit > 0
        ]
        assert not better or self.config.single, "somebody with a higher priority had credit"

    # ---- what happens ---------------------------------------------------------------------------------------------

    @rule(level=st.integers(0, 2), count=st.integers(1, 5))
    def publish(self, level: int, count: int) -> None:
        level = min(level, self.config.priorities - 1)
        base = self.world.partition(level).next_offset
        for at in range(count):
            self.model.entries[level, base + at] = Entry(since=self.model.turn)
        self.run(self.world.publish(*["x"] * count, index=level))

    @rule(credit=st.integers(0, 4), priority=st.integers(0, 1), take=st.booleans(), session=st.integers(1, 3))
    def consume(self, credit: int, priority: int, take: bool, session: int) -> None:
        def begin() -> None:
            self.numbers += 1
            number = self.numbers
            consumer = self.world.queue.consume(
                f"c{number}",
                session,
                0,
                partial(self.delivered, number),
                priority=priority,
                credit=credit,
                take=take,
            )
            self.model.members[number] = Member(consumer, credit, self.model.turn)

        self.do(begin)

    def alive(self) -> list[Member]:
        return [member for member in self.model.members.values() if not member.consumer.ended]

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), count=st.integers(1, 6))
    def grant(self, data: st.DataObject, count: int) -> None:
        member = data.draw(st.sampled_from(self.alive()))
        member.granted += count
        member.since = self.model.turn
        self.do(partial(member.consumer.grant, count))

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.alive()))
        self.do(lambda: member.consumer.cancel(partial(setattr, member, "over", True)))

    @rule(count=st.integers(1, 4))
    def call(self, count: int) -> None:
        async def lease() -> None:
            found = await self.world.queue.lease("caller", CALLERS_SESSION, 0, count, MANY_BYTES, None)
            self.delivered(CALLER, found)

        self.run(lease())

    @precondition(lambda self: self.model.held())
    @rule(data=st.data(), end=st.sampled_from(["ack", "fail", "release"]))
    def finish(self, data: st.DataObject, end: str) -> None:
        some = data.draw(st.lists(st.sampled_from(self.model.held()), min_size=1, max_size=4, unique_by=id))
        found = [entry.leased for entry in some if entry.leased is not None]
        for entry in some:
            if end == "ack":
                entry.state = DONE
            else:
                self.model.back(entry)
        self.run(self.ended(end, found))

    async def ended(self, end: str, found: list[Leased]) -> None:
        if end == "ack":
            await self.world.ack(found)
        elif end == "fail":
            await self.world.fail(found)
        else:
            await self.world.release(found)

    @rule(session=st.integers(1, 9))
    def end_session(self, session: int) -> None:
        gone = {number for number, member in self.model.members.items() if member.consumer.session == session}
        for entry in self.model.held():
            if entry.holder in gone:
                self.model.back(entry)
        self.run(self.world.end_session(session))

    @rule()
    def settle_down(self) -> None:
        self.run(self.world.clock.drain())
        self.model.turn += 1
        hungry = [
            member
            for member in self.alive()
            if member.consumer.credit > 0 and (member.consumer.active or not self.config.single)
        ]
        if hungry and not (self.config.single and self.model.held()):
            assert not self.model.ready(), "something could go out and did not"
        counts = self.world.queue.counts()
        states = [entry.state for entry in self.model.entries.values()]
        assert (counts.ready, counts.leased, counts.acked) == tuple(map(states.count, (READY, HELD, DONE)))

    @rule(checkpoint=st.booleans(), really=st.sampled_from([False, False, False, True]))
    def crash(self, checkpoint: bool, really: bool) -> None:
        self.settle_down()
        if not really:
            return
        if checkpoint:
            self.run(self.world.checkpoint())
        for entry in self.model.held():
            self.model.back(entry)
        self.run(self.world.crash())
        assert all(member.consumer.ended for member in self.model.members.values())

    def teardown(self) -> None:
        """Nothing is lost: what is not done can be had, once and in order."""
        if hasattr(self, "world"):
            self.crash(checkpoint=False, really=True)
            ready = sorted(self.model.ready(), key=lambda place: (-place[0], place[1]))
            found = self.run(self.world.lease(1_000))
            assert [(one.partition & 0xFFFF, one.offset) for one in leases(found)] == ready
            self.run(self.world.__aexit__())
        self.runner.close()


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
