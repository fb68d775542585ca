"""Dead letters by an exchange, what is too many, what is too old, and what is delayed, crashed at every storage call.

At every disk each event that was confirmed is in one place: where it waits, or where it went when it died or was due.
And when time has passed, each is where it belongs, once.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import pytest

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.broker.publishing import Options
from isthmus.clock import ManualClock
from isthmus.definition import DEFAULT_NAMESPACE, Binding, ExchangeDefinition, QueueConfig, QueueDefinition
from isthmus.errors import StorageError
from isthmus.lenses.queue.queue import Dead, Queue
from isthmus.limits import MIB, SEGMENT_BYTES_MIN
from isthmus.log import checkpoint
from isthmus.log.journal import JournalOptions
from isthmus.log.unit import Unit
from isthmus.record import Record
from support.crash import Tally, crash_everywhere
from support.sim_storage import SimStorage

SEED: Final = int(os.environ.get("ISTHMUS_CRASH_SEED", "1"))
DISKS: Final = 200
OPTIONS: Final = BrokerOptions(journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN), housekeeping_ms=10**9)
FULL, TIMED, DELAYED, DEAD, OUT = "full", "timed", "later.delayed", "dead", "out"
KEPT: Final = 3
TTL_MS: Final = 1_000
LATER_MS: Final = 2_000


class Said(NamedTuple):
    """That an event is being published, or that it is confirmed."""

    confirmed: bool
    value: str


class Letters:
    """A broker with two queues whose dead go by an exchange, and an exchange that delays."""

    def __init__(self, sim: SimStorage) -> None:
        self.sim = sim
        self.clock = ManualClock()

    async def open(self) -> None:
        """Begin a life."""
        self.clock = ManualClock(self.clock.now_ms() + 1)
        self.broker = Broker(self.sim, self.clock, OPTIONS)
        await self.broker.open()
        self.session = self.broker.session()

    async def begin(self) -> None:
        """A new store with all that there is."""
        await self.open()
        await self.broker.create_exchange(self.session, ExchangeDefinition(name="dlx", kind="topic"))
        await self.broker.create_exchange(self.session, ExchangeDefinition(name="later", delayed=True))
        for name, config in (
            (DEAD, QueueConfig()),
            (OUT, QueueConfig()),
            (FULL, QueueConfig(dead_exchange="dlx", max_events=KEPT, overflow="drop")),
            (TIMED, QueueConfig(dead_exchange="dlx", dead_key="timed.out", ttl_ms=TTL_MS)),
        ):
            await self.broker.create_queue(self.session, QueueDefinition(name=name, config=config))
        await self.broker.bind(self.session, Binding(exchange="dlx", topic=DEAD, key="#"))
        await self.broker.bind(self.session, Binding(exchange="later", topic=OUT, key="k"))

    def queue(self, name: str) -> Queue:
        """One of them."""
        return self.broker.queue(DEFAULT_NAMESPACE, name)

    async def publish(self, to: str, *values: str) -> None:
        """One after the other, each confirmed."""
        for value in values:
            self.sim.mark(Said(confirmed=False, value=value))
            record = [Record(value.encode(), b"k")]
            if to == DELAYED:
                exchange = self.broker.catalog.exchange(DEFAULT_NAMESPACE, "later")
                options = Options(due_ms=self.clock.now_ms() + LATER_MS)
                await self.broker.route(self.session, exchange, ["k"], record, options).pending
            else:
                await self.broker.publish(self.session, self.broker.topic(DEFAULT_NAMESPACE, to), record)
            self.sim.mark(Said(confirmed=True, value=value))

    async def reject(self, name: str) -> None:
        """The first of a queue."""
        found = await self.queue(name).lease("worker", self.session.id, 0, 1, MIB, None)
        unit = self.broker.journal.unit()
        died = await self.queue(name).reject(unit, [one.lease for one in found], "no")
        self.broker.bury(unit, self.queue(name), died)
        await unit.submit()

    async def kill(self) -> None:
        """End a life without a word."""
        await self.broker.dues.stop()
        await self.broker.housekeeping.stop()
        for queue in self.broker.catalog.queues.values():
            queue.close()

    async def places(self) -> dict[str, list[str]]:
        """Where each event is: what waits in a queue, leased or not."""
        found: dict[str, list[str]] = {}
        for (_, name), queue in self.broker.catalog.queue_names.items():
            rows = await self.broker.catalog.queues[queue].peek(1_000)
            found[name] = [(row.record.value or b"").decode() for row in rows]
        return found


async def live(world: Letters) -> None:
    await world.begin()
    await world.publish(FULL, "f1", "f2", "f3", "f4", "f5")
    await world.clock.drain()
    await world.reject(FULL)
    await world.publish(TIMED, "t1", "t2")
    await world.publish(DELAYED, "d1", "d2")
    await world.clock.advance(TTL_MS)
    await checkpoint.take(world.broker.journal)
    await world.publish(DELAYED, "d3")
    await world.clock.advance(LATER_MS)
    await world.kill()
    await world.open()
    await world.publish(FULL, "f6")
    await world.publish(TIMED, "t3")
    await world.clock.advance(TTL_MS)
    await world.broker.close()


async def verify(disk: SimStorage, marks: Sequence[object], _rng: random.Random) -> Sequence[object]:
    """Hold a disk against what was said."""
    told = [mark for mark in marks if isinstance(mark, Said)]
    world = Letters(disk)
    try:
        await world.open()
    except (StorageError, OSError) as error:
        raise AssertionError(f"I9: a legal disk does not open: {error!r}") from error
    await _hold(world, told)
    # All that is to happen happens within this time, by whichever clock.
    await world.clock.advance(100 * LATER_MS)
    places = await _hold(world, told)
    assert not places.get(TIMED), "what is too old is still there"
    assert not places.get(DELAYED), "what is due is still held"
    assert len(places.get(FULL, ())) <= KEPT, "what is too many is still there"
    await world.kill()
    return marks


async def _hold(world: Letters, told: Sequence[Said]) -> dict[str, list[str]]:
    await world.clock.drain()
    places = await world.places()
    counted = Counter(value for values in places.values() for value in values)
    confirmed = {each.value for each in told if each.confirmed}
    assert confirmed <= counted.keys(), f"I1: lost {confirmed - counted.keys()}"
    assert counted.keys() <= {each.value for each in told}, "I2: never published"
    twice = {value for value, count in counted.items() if count > 1}
    assert not twice, f"I7: in two places: {twice}: {places}"
    return places


async def crashed(disks: int = DISKS) -> Tally:
    world = Letters(SimStorage())
    await live(world)
    return await crash_everywhere(world.sim, verify, disks, seed=SEED)


async def test_the_life_itself_ends_with_everything_where_it_belongs() -> None:
    world = Letters(SimStorage())
    await live(world)
    await world.open()

    places = await world.places()

    assert sorted(places[DEAD]) == ["f1", "f2", "f3", "t1", "t2", "t3"]
    assert (sorted(places[FULL]), sorted(places[OUT])) == (["f4", "f5", "f6"], ["d1", "d2", "d3"])
    await world.kill()


@pytest.mark.slow
async def test_a_crash_at_any_call_neither_loses_nor_doubles_a_letter_or_what_is_delayed(
    record_property: Callable[[str, object], None],
) -> None:
    tally = await crashed()

    record_property("disks", tally.states)
    assert tally.states >= DISKS


def submit(unit: Unit) -> None:
    """Without waiting for it."""
    unit.submit()


def settle_before_the_letters_are_durable(planted: pytest.MonkeyPatch) -> None:
    bury = Broker.bury

    def apart(self: Broker, _unit: Unit, queue: Queue, died: Sequence[Dead]) -> None:
        letters = self.journal.unit()
        bury(self, letters, queue, died)
        # The settling is submitted by the caller, in this turn of the loop; the letters follow.
        if letters.changes:
            self.clock.timer(self.clock.monotonic_ms() + 1, lambda: submit(letters))

    planted.setattr(Broker, "bury", apart)


@pytest.mark.slow
async def test_crash_states_catch_letters_that_come_after_the_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    settle_before_the_letters_are_durable(monkeypatch)

    with pytest.raises(AssertionError, match="I1"):
        await crashed(600)
