"""When compaction runs by itself and at once, and how it ends with its broker."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.broker.broker import BrokerOptions
from isthmus.broker.compacting import Compacting
from isthmus.clock import SystemClock
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.errors import Closed
from isthmus.limits import CLOCK_JUMP_MS, COMPACT_LOOK_MS, SEGMENT_BYTES_MIN
from isthmus.log import checkpoint, compaction
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import RealStorage
from support.brokers import World, world

BIG = "x" * 1_000
ALWAYS_COVERED = BrokerOptions(journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN, checkpoint_bytes=1))


def compacting(w: World) -> Compacting:
    return w.broker.housekeeping.compacting


async def states(w: World, rounds: int, keys: int = 4, **config: Any) -> None:
    await w.topic("states", compact=True, **config)
    for number in range(rounds):
        await w.publish(*(f"{key}:{number}{BIG}" for key in range(keys)), to="states")


async def newest(w: World) -> list[tuple[int, str]]:
    return [(offset, text.removesuffix(BIG)) for offset, text in await w.read("states")]


async def test_housekeeping_keeps_the_newest_of_each_key_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "COMPACT_DIRTY_BYTES_MIN", 10_000)
    async with world(options=ALWAYS_COVERED) as w:
        await w.topic("states", compact=True)
        for number in range(600):
            await w.publish(*(f"{key}:{number}{BIG}" for key in range(4)), to="states")
            if number % 200 == 199:
                await w.clock.advance(2_000)  # for a checkpoint
        before = await newest(w)

        await w.clock.advance(3 * COMPACT_LOOK_MS)

        after = await newest(w)
        assert len(after) < len(before) / 2
        assert after[-4:] == before[-4:]
        assert set(after) < set(before)


async def test_while_the_wall_clock_jumps_nothing_goes_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "COMPACT_DIRTY_BYTES_MIN", 10_000)
    async with world() as w:
        await states(w, 300)
        await w.broker.journal.seal_active()
        await checkpoint.take(w.broker.journal)
        await checkpoint.take(w.broker.journal)
        w.clock._start_ms -= 2 * CLOCK_JUMP_MS

        assert (await compacting(w).look()).records == 0
        assert len(await newest(w)) == 1_200


async def test_all_of_it_at_once_goes_through_every_topic_or_one() -> None:
    async with world() as w:
        await states(w, 5)
        await w.topic("others", compact=True)
        for number in range(5):
            await w.publish(f"k:{number}", to="others")

        one = await compacting(w).everything(w.find("others"))
        rest = await compacting(w).everything()

        assert (one.records, rest.records) == (4, 16)
        assert await newest(w) == [(16, "0:4"), (17, "1:4"), (18, "2:4"), (19, "3:4")]
        assert (await compacting(w).everything()).records == 0


async def test_groups_and_queues_pass_over_what_is_gone() -> None:
    async with world() as w:
        await states(w, 3)
        member = await w.join("readers", "states")
        first = await w.receive(member, count=2)
        await w.settle(member, first)
        await w.broker.create_queue(w.session, QueueDefinition(name="work", view_of="states"), (0,))

        await compacting(w).everything()
        await w.reopen()
        member = await w.join("readers", "states")

        assert [offset for offset, _ in await newest(w)] == [8, 9, 10, 11]
        assert [record.offset for _, record in await w.receive(member)] == [8, 9, 10, 11]
        progress = w.progress("readers", "states")
        assert progress is not None
        assert progress.floor >= 2


async def test_one_old_record_of_a_queue_does_not_keep_a_segment() -> None:
    async with world() as w:
        await w.broker.create_queue(w.session, QueueDefinition(name="jobs"), ())
        await w.publish("the one that stays", to="jobs")
        await w.topic("orders", age_ms=1_000)
        for _ in range(300):
            await w.publish(BIG, to="orders")
        await w.clock.advance(5_000)
        before = sum(segment.size_bytes for segment in w.broker.journal.segments)

        await compacting(w).everything()

        assert sum(segment.size_bytes for segment in w.broker.journal.segments) < before / 10
        assert await w.read("jobs") == [(0, "the one that stays")]


async def test_it_ends_with_its_broker_whatever_it_does(tmp_path: Path) -> None:
    async with world(RealStorage(tmp_path), SystemClock()) as w:
        await states(w, 40)

        pass_ = compacting(w).everything()
        stopped = compacting(w)
        await stopped.stop()

        with pytest.raises(Closed):
            await pass_
        await w.reopen()
        assert len(await newest(w)) == 160


async def test_a_topic_can_begin_to_keep_the_newest_of_each_key() -> None:
    async with world() as w:
        await w.topic("states")
        for number in range(3):
            await w.publish(f"a:{number}", "no key", to="states")

        await w.broker.alter_topic(w.session, TopicDefinition(name="states", config=TopicConfig(compact=True)))
        await compacting(w).everything()

        assert await newest(w) == [(1, "no key"), (3, "no key"), (4, "a:2"), (5, "no key")]


async def test_what_a_queue_is_done_with_goes_though_an_older_record_is_not() -> None:
    async with world() as w:
        queue = await w.broker.create_queue(
            w.session, QueueDefinition(name="jobs", config=QueueConfig(lease_ms=None)), ()
        )
        for number in range(100):
            await w.publish(f"{number}{BIG}", to="jobs")
        held = await queue.lease("me", w.session.id, 0, 100, 10_000_000, None)
        unit = w.broker.journal.unit()
        queue.ack(unit, [one.lease for one in held[1:50]])
        await unit.submit()

        await compacting(w).everything()

        assert [offset for offset, _ in await w.read("jobs")] == [0, *range(50, 100)]
        assert w.find("jobs").partitions[0].bytes < 60 * len(BIG) * 1.2
        await w.reopen()
        queue = w.broker.queue("default", "jobs")
        again = await queue.lease("me", w.session.id, 0, 100, 10_000_000, None)
        assert [one.record.offset for one in again] == [0, *range(50, 100)]


async def test_what_one_reader_still_wants_stays() -> None:
    async with world() as w:
        await w.topic("orders", consumed=True)
        for number in range(10):
            await w.publish(f"{number}", to="orders")
        fast, slow = await w.join("fast"), await w.join("slow")
        await w.drink(fast)
        await w.settle(slow, [row for row in await w.receive(slow) if row[1].offset not in (2, 5)])

        await compacting(w).everything()

        assert [offset for offset, _ in await w.read()] == [2, 5]
