"""A broker on a disk that can crash, a history of what it was asked for and what it promised, and the judge of what is
left: queues, dead letters, groups, topics. It causes no crash itself.

Every record has a value of its own, which is its name in the history. Before something is asked for the trace says that
it may happen, afterwards that it has.

    I1: what was acknowledged as published is to be had, or settled.   I2: nothing is there that nobody sent.
    I4: what was acknowledged never comes back.                        I5: enqueued = ready + leased + ... + settled.
    I6: counts of hand-overs never go back while the machine lives.    I7: a dead letter moves, outputs come with the
    positions of what they were made from, and a fan-out to all of its topics, whole or not at all.
    I8: opening again changes nothing.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.broker.member import Member
from isthmus.broker.publishing import PLAIN
from isthmus.clock import ManualClock
from isthmus.definition import (
    DEFAULT_NAMESPACE,
    Binding,
    ExchangeDefinition,
    QueueConfig,
    QueueDefinition,
    TopicConfig,
    TopicDefinition,
)
from isthmus.errors import StorageError
from isthmus.log import batch as batches
from isthmus.log import checkpoint
from isthmus.log.partition import Partition
from isthmus.record import Leased, Record
from support.log_world import SMALL
from support.sim_storage import SimStorage

OPTIONS: Final = BrokerOptions(journal=SMALL)
ORDERS: Final = "orders"
RESULTS: Final = "results"
WORK: Final = "work"
DEAD: Final = "dead"
GROUP: Final = "billing"
EXCHANGE: Final = "everyone"
BRANCHES: Final = ("left", "right", "upper")
"""Topics that an exchange leads to, one of them compacted, which has an entry of its own."""
FAILED_MAX: Final = 2
MANY_BYTES: Final = 1 << 20


class Said(NamedTuple):
    """What may happen from here on, or has been promised, about which records or topics.

    First `sending`, `acking`, `handling`, `making`, `removing`; then `sent`, `fanned`, `acked`, `handled`, `made`,
    `removed`.
    """

    what: str
    which: tuple[str, ...]


class Took(NamedTuple):
    """A consumer was handed a record for the n-th time."""

    value: str
    acquired: int


class BrokerWorld:
    """A broker with a stream, a queue with dead letters, and a topic for results."""

    def __init__(self, sim: SimStorage) -> None:
        self.sim = sim
        self.clock = ManualClock()
        self.broker = Broker(sim, self.clock, OPTIONS)
        self._numbers = itertools.count(1)

    def say(self, what: str, which: Iterable[str]) -> None:
        """Note it in the trace."""
        self.sim.mark(Said(what, tuple(which)))

    # ---- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin a life."""
        self.clock = ManualClock(self.clock.now_ms() + 1)
        self.broker = Broker(self.sim, self.clock, OPTIONS)
        await self.broker.open()
        self.session = self.broker.session()

    async def begin(self) -> None:
        """A new store with all that the scenarios use."""
        await self.open()
        for name, partitions in ((ORDERS, 2), (RESULTS, 1), (DEAD, 1)):
            await self.broker.create_topic(self.session, TopicDefinition(name=name, partitions=partitions))
        config = QueueConfig(lease_ms=1_000, failed_max=FAILED_MAX, dead=DEAD)
        await self.broker.create_queue(self.session, QueueDefinition(name=WORK, config=config))
        self.say("made", (ORDERS, RESULTS, DEAD, WORK))

    async def close(self) -> None:
        """End a life as one should."""
        await self.broker.close()

    async def kill(self) -> None:
        """End a life as kill -9 does, but for the tasks of this test's own loop."""
        await self.broker.dues.stop()
        await self.broker.housekeeping.stop()
        for queue in self.broker.catalog.queues.values():
            queue.close()

    async def checkpoint(self) -> None:
        """Take one."""
        await checkpoint.take(self.broker.journal)

    async def housekeeping(self) -> None:
        """One round, and the removal of what is dead."""
        await self.broker.housekeeping.once()
        await self.broker.housekeeping.sweep(force=True)

    # ---- what scenarios do ------------------------------------------------------------------------------------------

    async def publish(self, to: str, count: int = 1, size: int = 60) -> None:
        """New records for a topic or a queue."""
        values = [f"{to}-{next(self._numbers)}" for _ in range(count)]
        self.say("sending", values)
        topic = self.broker.topic(DEFAULT_NAMESPACE, to)
        records = [Record(value.ljust(size).encode(), key=value.encode()) for value in values]
        await self.broker.publish(self.session, topic, records)
        self.say("sent", values)

    async def bind(self) -> None:
        """An exchange that leads to all branches."""
        await self.broker.create_exchange(self.session, ExchangeDefinition(name=EXCHANGE, kind="fanout"))
        for name in BRANCHES:
            config = TopicConfig(compact=name == BRANCHES[-1])
            await self.broker.create_topic(self.session, TopicDefinition(name=name, config=config))
            await self.broker.bind(self.session, Binding(exchange=EXCHANGE, topic=name))
        self.say("made", BRANCHES)

    async def fan_out(self, count: int = 1, size: int = 60) -> None:
        """New records for all that the exchange leads to."""
        values = [f"all-{next(self._numbers)}" for _ in range(count)]
        self.say("sending", values)
        records = [Record(value.ljust(size).encode(), key=value.encode()) for value in values]
        exchange = self.broker.catalog.exchange(DEFAULT_NAMESPACE, EXCHANGE)
        routed = self.broker.route(self.session, exchange, ["any"], records)
        await routed.pending
        assert not routed.refused
        self.say("fanned", values)

    async def lease(self, count: int = 10) -> list[Leased]:
        """Take records from the queue."""
        queue = self.broker.queue(DEFAULT_NAMESPACE, WORK)
        found = await queue.lease("worker", self.session.id, 0, count, MANY_BYTES, 1_000)
        for one in found:
            self.sim.mark(Took(value_of(one.record.value), one.lease.acquired))
        return found

    async def ack(self, found: Sequence[Leased]) -> None:
        """Settle them."""
        values = [value_of(one.record.value) for one in found]
        self.say("acking", values)
        unit = self.broker.journal.unit()
        self.broker.queue(DEFAULT_NAMESPACE, WORK).ack(unit, [one.lease for one in found])
        await unit.submit()
        self.say("acked", values)

    async def fail(self, found: Sequence[Leased]) -> None:
        """Give them back as failed; what dies of it is buried in the same unit."""
        unit = self.broker.journal.unit()
        queue = self.broker.queue(DEFAULT_NAMESPACE, WORK)
        died = await queue.fail(unit, [one.lease for one in found], 0, "boom")
        self.broker.bury(unit, queue, died)
        await unit.submit()

    async def handle(self, member: Member, count: int = 4) -> None:
        """Take events of the stream; their outputs and their positions are one unit."""
        rows = await member.receive(count, MANY_BYTES, 0)
        names = [value_of(record.value) for _, record in rows]
        if not names:
            return
        self.say("handling", names)
        unit = self.broker.journal.unit()
        outputs = [Record(b"of " + name.encode(), key=b"k") for name in names]
        results = self.broker.topic(DEFAULT_NAMESPACE, RESULTS)
        self.broker.add(self.session, unit, results, outputs, PLAIN)
        member.settle(unit, rows)
        await unit.submit()
        self.say("handled", names)

    async def join(self) -> Member:
        """A member of the group."""
        group = await self.broker.group(self.session, DEFAULT_NAMESPACE, GROUP)
        member = self.broker.member(group, DEFAULT_NAMESPACE, ORDERS, "earliest")
        await member.start()
        return member

    async def make_topic(self, name: str) -> None:
        """A topic that is to go again."""
        self.say("making", (name,))
        await self.broker.create_topic(self.session, TopicDefinition(name=name))
        self.say("made", (name,))

    async def remove_topic(self, name: str) -> None:
        """It goes."""
        self.say("removing", (name,))
        await self.broker.remove_topic(self.session, DEFAULT_NAMESPACE, name)
        self.say("removed", (name,))


def value_of(value: bytes | None) -> str:
    """The name of a record."""
    return (value or b"").decode().strip()


# ---- judging -----------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """All that a broker tells of its state, for comparison."""

    topics: dict[str, list[str]]
    counts: tuple[int, ...]
    handled: list[str]


async def values_in(partition: Partition) -> list[str]:
    """The names of all records of a partition."""
    found: list[str] = []
    offset = partition.log_start
    while offset < partition.high_watermark:
        for batch in await partition.read(offset, MANY_BYTES):
            found += [value_of(record.value) for record in batches.decode(batch.data, from_offset=offset)]
            offset = batch.end_offset
    return found


async def look(broker: Broker) -> Found:
    """What is there, without touching it."""
    topics = {
        name: [value for partition in broker.catalog.topics[topic].partitions for value in await values_in(partition)]
        for (_, name), topic in broker.catalog.topic_names.items()
    }
    counts: tuple[int, ...] = ()
    if (DEFAULT_NAMESPACE, WORK) in broker.catalog.queue_names:
        told = broker.queue(DEFAULT_NAMESPACE, WORK).counts()
        settled = (told.acked, told.rejected, told.dead, told.expired, told.purged, told.trimmed)
        assert told.enqueued == told.ready + told.leased + told.delayed + told.dying + sum(settled), f"I5: {told}"
        counts = (told.enqueued, told.ready + told.delayed + told.dying + told.leased, *settled)
    return Found(topics, counts, await _handled(broker))


async def _handled(broker: Broker) -> list[str]:
    """The names of the events that the group is done with."""
    found: list[str] = []
    if (DEFAULT_NAMESPACE, GROUP) not in broker.catalog.group_names:
        return found
    group = broker.catalog.group(DEFAULT_NAMESPACE, GROUP)
    for partition in broker.topic(DEFAULT_NAMESPACE, ORDERS).partitions:
        progress = group.progress(partition)
        values = await values_in(partition)
        assert partition.log_start == 0, "the scenarios keep the stream, so that offsets count from 0"
        for offset, value in enumerate(values):
            if progress is not None and (
                offset < progress.floor or any(start <= offset < end for start, end in progress.done)
            ):
                found.append(value)
    return found


async def verify(disk: SimStorage, marks: Sequence[object], _rng: random.Random) -> Sequence[object]:
    """Hold a disk after a power cut against the history."""
    await _verify(disk, marks, killed=False)
    return marks


async def verify_killed(disk: SimStorage, marks: Sequence[object], _rng: random.Random) -> Sequence[object]:
    """The same when only the process died: hand-overs that were only written count, too."""
    await _verify(disk, marks, killed=True)
    return marks


async def _verify(disk: SimStorage, marks: Sequence[object], *, killed: bool) -> None:
    said: dict[str, set[str]] = {}
    for mark in marks:
        if isinstance(mark, Said):
            said.setdefault(mark.what, set()).update(mark.which)
    world = BrokerWorld(disk)
    try:
        await world.open()
    except (StorageError, OSError) as error:
        raise AssertionError(f"I9: a legal disk does not open: {error!r}") from error
    assert not world.broker.report.damage, f"I9: {world.broker.report.damage}"
    first = await look(world.broker)
    await world.kill()
    await world.open()
    assert await look(world.broker) == first, "I8: opening again changed something"
    _check_topics(first, said)
    _check_branches(first, said)
    _check_group(first, said)
    if WORK in first.topics:
        await _check_queue(world, marks, said, killed=killed)
    await world.kill()


def _check_topics(found: Found, said: dict[str, set[str]]) -> None:
    made, removing = said.get("made", set()), said.get("removing", set())
    assert made - removing <= found.topics.keys(), "I1: a topic is gone"
    assert not said.get("removed", set()) & found.topics.keys(), "I4: a topic is back"
    sending = said.get("sending", set())
    for name, values in found.topics.items():
        if name in (RESULTS, DEAD):
            continue
        assert set(values) <= sending, f"I2: {set(values) - sending} in {name}"
        assert max(Counter(values).values(), default=1) == 1, f"I2: twice in {name}"
        if name != WORK:
            sent = {value for value in said.get("sent", set()) if value.startswith(f"{name}-")}
            assert sent <= set(values), f"I1: {sent - set(values)} gone from {name}"


def _check_branches(found: Found, said: dict[str, set[str]]) -> None:
    branches = [set(found.topics[name]) for name in BRANCHES if name in found.topics]
    for values in branches:
        assert said.get("fanned", set()) <= values, f"I1: {said['fanned'] - values} gone from a branch"
        assert values == branches[0], "I7: a fan-out came to some of its topics only"


def _check_group(found: Found, said: dict[str, set[str]]) -> None:
    handled = set(found.handled)
    assert said.get("handled", set()) <= handled, "I1: a position went back"
    results = found.topics.get(RESULTS, [])
    assert Counter(results) == Counter(f"of {name}" for name in handled), "I7: outputs and positions differ"


async def _check_queue(world: BrokerWorld, marks: Sequence[object], said: dict[str, set[str]], *, killed: bool) -> None:
    await world.broker.housekeeping.once()  # what is dying is buried
    queue = world.broker.queue(DEFAULT_NAMESPACE, WORK)
    available: dict[str, int] = {}
    while found := await queue.lease("judge", world.session.id, 0, 1_000, MANY_BYTES, None):
        for one in found:
            assert value_of(one.record.value) not in available, "I12: leased twice"
            available[value_of(one.record.value)] = one.lease.acquired
    dead = (await look(world.broker)).topics[DEAD]
    assert len(dead) == len(set(dead)), "I7: a letter twice"
    assert not set(dead) & available.keys(), "I7: dead and alive"
    acked = said.get("acked", set())
    assert not acked & available.keys(), "I4: an acknowledged record came back"
    assert not acked & set(dead), "I4: an acknowledged record is dead"
    sent = {value for value in said.get("sent", set()) if value.startswith(f"{WORK}-")}
    gone = sent - available.keys() - set(dead) - said.get("acking", set())
    assert not gone, f"I1, I7: nowhere: {gone}"
    for mark in marks if killed else ():
        if isinstance(mark, Took) and mark.value in available:
            assert available[mark.value] > mark.acquired, f"I6: {mark} was forgotten"
