"""A queue with a bound, a time to live and a dead-letter exchange, against a naive model of what is where."""

import asyncio
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.broker import deaths
from isthmus.definition import DEFAULT_NAMESPACE, QueueConfig, QueueDefinition
from isthmus.lenses.queue.queue import Queue
from isthmus.limits import MIB
from isthmus.record import Leased
from support.brokers import World, world

KEPT = 4
TTL_MS = 1_000


class Step(NamedTuple):
    """What is done next, with how many."""

    what: str
    number: int


STEPS = st.lists(
    st.builds(
        Step, st.sampled_from(["publish", "lease", "ack", "reject", "release", "wait", "crash"]), st.integers(1, 6)
    ),
    max_size=25,
)


class Naive:
    """Values by where they are: waiting in order with their times, held, done, or dead with their reason."""

    def __init__(self) -> None:
        self.waiting: dict[int, int] = {}
        self.held: list[int] = []
        self.done: list[int] = []
        self.dead: dict[int, str] = {}

    def settle(self, now_ms: int) -> None:
        """Let what is too old go, then what is too many, each from the head."""
        for value in [value for value, since_ms in self.waiting.items() if since_ms + TTL_MS <= now_ms]:
            self._dies(value, "expired")
        while len(self.waiting) > KEPT:
            self._dies(min(self.waiting), "maxlen")

    def _dies(self, value: int, reason: str) -> None:
        del self.waiting[value]
        self.dead[value] = reason


class Pair:
    """The queue and its model, which do the same."""

    def __init__(self, at: World) -> None:
        self.at = at
        self.model = Naive()
        self.leases: list[Leased] = []
        self.born_ms: dict[int, int] = {}

    @property
    def queue(self) -> Queue:
        return self.at.broker.queue(DEFAULT_NAMESPACE, "jobs")

    async def begin(self) -> None:
        await self.at.broker.create_queue(self.at.session, QueueDefinition(name="dead"))
        config = QueueConfig(
            max_events=KEPT,
            overflow="drop",
            ttl_ms=TTL_MS,
            dead_exchange="",
            dead_key="dead",
            failed_max=None,
            lease_ms=None,
        )
        await self.at.broker.create_queue(self.at.session, QueueDefinition(name="jobs", config=config))

    async def do(self, step: Step) -> None:
        await getattr(self, step.what)(step.number)
        await self.at.clock.drain()
        self.model.settle(self.at.clock.now_ms())

    async def publish(self, count: int) -> None:
        first = len(self.born_ms)
        values = list(range(first, first + count))
        self.born_ms |= dict.fromkeys(values, self.at.clock.now_ms())
        await self.at.publish(*map(str, values), to="jobs")
        self.model.waiting |= {value: self.born_ms[value] for value in values}

    async def lease(self, count: int) -> None:
        found = await self.queue.lease("me", self.at.session.id, 0, count, MIB)
        self.leases += found
        for one in found:
            value = value_of(one)
            assert value == min(self.model.waiting), "not the oldest that waits"
            del self.model.waiting[value]
            self.model.held.append(value)

    async def ack(self, count: int) -> None:
        taken = self._take(count)
        unit = self.at.broker.journal.unit()
        if taken:
            self.queue.ack(unit, [one.lease for one in taken])
            await unit.submit()
        self.model.done += map(value_of, taken)

    async def reject(self, count: int) -> None:
        taken = self._take(count)
        unit = self.at.broker.journal.unit()
        if taken:
            died = await self.queue.reject(unit, [one.lease for one in taken], "no")
            self.at.broker.bury(unit, self.queue, died)
            await unit.submit()
        self.model.dead |= dict.fromkeys(map(value_of, taken), "rejected")

    async def release(self, count: int) -> None:
        taken = self._take(count)
        unit = self.at.broker.journal.unit()
        self.queue.release(unit, [one.lease for one in taken])
        if unit.changes:
            await unit.submit()
        self._back(map(value_of, taken))

    async def wait(self, count: int) -> None:
        await self.at.clock.advance(count * 100)

    async def crash(self, _: int) -> None:
        """What was held comes back. Without a checkpoint what waits is as old as the opening."""
        await self.at.crash()
        self._back(self.model.held)
        self.model.held.clear()
        self.leases.clear()
        now_ms = self.at.clock.now_ms()
        self.born_ms = dict.fromkeys(self.born_ms, now_ms)
        self.model.waiting = dict.fromkeys(self.model.waiting, now_ms)

    def _take(self, count: int) -> list[Leased]:
        taken, self.leases = self.leases[:count], self.leases[count:]
        for one in taken:
            self.model.held.remove(value_of(one))
        return taken

    def _back(self, values: object) -> None:
        for value in list(values):  # type: ignore[call-overload]  # any numbers
            self.model.waiting[value] = self.born_ms[value]

    async def check(self) -> None:
        counts, model = self.queue.counts(), self.model
        assert (counts.ready, counts.leased) == (len(model.waiting), len(model.held))
        assert counts.enqueued == len(self.born_ms)
        letters = await self.at.broker.queue(DEFAULT_NAMESPACE, "dead").peek(1_000)
        told = {
            int(row.record.value or b""): deaths.history_of(row.record.headers)[0].reason for row in letters
        }  # fmt: skip
        assert len(letters) == len(told), "a letter twice"
        assert told == model.dead


def value_of(one: Leased) -> int:
    return int(one.record.value or b"")


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_whatever_is_done_each_event_is_where_the_model_says(steps: list[Step]) -> None:
    async def live() -> None:
        async with world() as at:
            pair = Pair(at)
            await pair.begin()
            for step in steps:
                await pair.do(step)
                await pair.check()

    asyncio.run(live())
