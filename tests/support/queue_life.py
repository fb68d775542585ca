"""A queue's random life on a disk that can lose its power, and what must be true of every disk that is left.

The marks in the trace say what was promised: published, acknowledged, moved to the dead letters; and, before it is
asked for, what may have happened.
"""

import random
from collections.abc import Sequence
from typing import Final, cast

from isthmus.definition import QueueConfig
from isthmus.lenses.queue.queue import Dead
from isthmus.log import batch as batches
from isthmus.log.journal import Unit
from isthmus.record import Leased, Record
from support.queues import QueueWorld, leases
from support.sim_storage import SimStorage

DEAD: Final = 9 << 16
STEPS: Final = 40
LEVELS: Final = 3
"""Of priority; each gets its ledger from its first record on."""

LEVEL_SIZE: Final = 1_000_000
"""Which record something is about is its offset plus its level times this."""

Mark = tuple[str, tuple[int, ...]]


class QueueLife(QueueWorld):
    """A queue world whose dead letters go to a partition of their own, and which says in the trace what it did."""

    def __init__(self, storage: SimStorage, *, ordered: bool) -> None:
        config = QueueConfig(failed_max=2, dead="dead", ordered=ordered, priorities=LEVELS)
        super().__init__(config, partitions=LEVELS, storage=storage)
        self.sim = storage

    async def open(self) -> None:
        """With the partition of dead letters."""
        self.also = DEAD
        await super().open()

    def mark(self, what: str, which: Sequence[int]) -> None:
        """Say in the trace what was promised, or asked for."""
        self.sim.mark((what, tuple(which)))

    async def publish_some(self, count: int, keys: Sequence[bytes | None], level: int) -> None:
        """Append records, each of which holds which one it is."""
        first = self.partition(level).next_offset + level * LEVEL_SIZE
        made = [Record(b"%d" % (first + at), keys[at % len(keys)]) for at in range(count)]
        await self.publish(*made, index=level)
        self.mark("published", range(first, first + count))

    async def settle(self, found: Sequence[Leased]) -> None:
        """Acknowledge."""
        self.mark("settling", numbers(found))
        unit = self.journal.unit()
        self.queue.ack(unit, leases(found))
        await unit.submit()
        self.mark("acked", numbers(found))

    async def fail_some(self, found: Sequence[Leased], delay_ms: int) -> None:
        """Fail, and bury what dies of it."""
        unit = self.journal.unit()
        dead = await self.queue.fail(unit, leases(found), delay_ms, "boom")
        self._bury(unit, dead)
        await unit.submit()
        self.mark("buried", [number_of(one.partition.id, one.record.offset) for one in dead])

    async def look_after(self) -> None:
        """One round of housekeeping, and bury what died."""
        unit = self.journal.unit()
        dead = await self.queue.expire(unit)
        self._bury(unit, dead)
        if unit.changes:
            await unit.submit()
        self.mark("buried", [number_of(one.partition.id, one.record.offset) for one in dead])

    def _bury(self, unit: Unit, dead: Sequence[Dead]) -> None:
        if dead:
            letters = [Record(b"%d" % number_of(one.partition.id, one.record.offset)) for one in dead]
            self.journal.partitions[DEAD].append(unit, batches.encode(letters, now_ms=1))


def number_of(partition: int, offset: int) -> int:
    """Which record that is."""
    return (partition & 0xFFFF) * LEVEL_SIZE + offset


def numbers(found: Sequence[Leased]) -> list[int]:
    """Which records were leased."""
    return [number_of(lease.partition, lease.offset) for lease in leases(found)]


async def live(life: QueueLife, seed: int) -> None:
    """A random life: publish, lease, acknowledge, fail, expire, lose a consumer, take a checkpoint."""
    chance = random.Random(seed)
    held: list[Leased] = []
    await life.open()
    for _ in range(STEPS):
        match chance.randrange(10):
            case 0 | 1:
                await life.publish_some(chance.randrange(1, 6), [b"a", b"b", None], chance.choice([0, 0, 1, 2]))
            case 2 | 3:
                lease_ms = chance.choice([None, 500])
                held += await life.lease(chance.randrange(1, 5), lease_ms=lease_ms)
            case 4 | 5 if held:
                still = _still(life, held)
                await life.settle(still[: chance.randrange(1, 4)])
            case 6 if held:
                await life.fail_some(_still(life, held)[: chance.randrange(1, 3)], chance.choice([0, 300]))
            case 7:
                await life.clock.advance(chance.choice([200, 600]))
                await life.look_after()
            case 8 if chance.random() < 0.5:
                await life.end_session()
            case 9 if chance.random() < 0.4:
                await life.checkpoint()
            case _:
                continue
        held = _still(life, held)


def _still(life: QueueLife, held: Sequence[Leased]) -> list[Leased]:
    """What of it is leased to us."""
    ledgers = {part.id: part.ledger for part in life.queue._parts}
    return [
        one
        for one in held
        if ledgers[one.lease.partition].lost(one.lease.offset, one.lease.offset + 1, one.lease.acquired) is None
    ]


async def verify(disk: SimStorage, marks: Sequence[object], chance: random.Random) -> Sequence[object]:
    """What was acknowledged never comes back; all else that was published is to be had, or among the dead, once."""
    life = QueueLife(disk, ordered=chance.random() < 0.3)
    await life.open()
    counts = life.queue.counts()
    assert counts.leased == 0
    settled = counts.acked + counts.dead + counts.rejected + counts.expired + counts.purged + counts.trimmed
    assert counts.enqueued == counts.ready + counts.delayed + counts.dying + settled
    assert counts.enqueued == sum(life.partition(level).high_watermark for level in range(LEVELS))

    available = await drained(life)
    buried = await letters(life)

    told: dict[str, set[int]] = {}
    for mark in marks:
        what, which = cast("Mark", mark)
        told.setdefault(what, set()).update(which)
    published, acked = told.get("published", set()), told.get("acked", set())
    assert len(buried) == len(set(buried)), "a letter twice"
    assert not available & set(buried), "dead and alive"
    assert not available & acked, "an acknowledged record came back"
    assert told.get("buried", set()) <= set(buried), "a letter that was promised is gone"
    assert not acked & set(buried), "acknowledged and dead"
    gone = published - available - set(buried) - told.get("settling", set())
    assert not gone, f"nowhere: {sorted(gone)}"
    return marks


async def drained(life: QueueLife) -> set[int]:
    """All that is left for consumers, when every delay is over and the dying are buried. Leases are left standing."""
    await life.clock.advance(10_000)
    await life.look_after()
    found: set[int] = set()
    while got := await life.lease(1_000):
        which = numbers(got)
        assert not found & set(which), "leased twice"
        assert [one.record.value for one in got] == [b"%d" % number for number in which]
        found |= set(which)
        if life.config.ordered:
            await life.settle(got)
    return found


async def letters(life: QueueLife) -> list[int]:
    """Which records the dead letters are about."""
    partition = life.journal.partitions[DEAD]
    found: list[int] = []
    at = 0
    while at < partition.high_watermark:
        for stored in await partition.read(at, 1 << 20):
            found += [int(record.value or b"") for record in batches.decode(stored.data)]
            at = stored.end_offset
    return found
