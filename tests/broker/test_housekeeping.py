"""Rounds of housekeeping on a broker in memory: what goes, what stays and for whom, and what is tried again."""

import logging

import pytest

from isthmus.broker.broker import BrokerOptions
from isthmus.clock import ManualClock
from isthmus.definition import QueueConfig, QueueDefinition
from isthmus.errors import UnknownTopic
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.stream.position import Progress
from isthmus.limits import CLOCK_JUMP_MS, CLOCK_STEADY_MS, MIB, SEGMENT_BYTES_MIN
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.journal import JournalOptions
from isthmus.record import Leased
from support.brokers import World, world

MINUTE_MS = 60_000
TICK_MS = 1_000
BIG = "x" * 100_000
RARELY = BrokerOptions(journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN), housekeeping_ms=10 * MINUTE_MS)
"""The test decides when housekeeping looks."""


async def queue_of(at: World, *values: str, dead: str | None = None, ttl_ms: int | None = None) -> Queue:
    """A queue `jobs` with these messages, that gives up at the first failure."""
    made = QueueConfig(failed_max=1, lease_ms=MINUTE_MS, dead=dead, ttl_ms=ttl_ms)
    queue = await at.broker.create_queue(at.session, QueueDefinition(name="jobs", config=made))
    await at.publish(*values, to="jobs")
    return queue


async def lease(at: World, queue: Queue) -> list[Leased]:
    return await queue.lease("me", at.session.id, 0, 100, MIB)


def kinds(at: World) -> list[list[str]]:
    """What each commit group of the journal holds: why something was settled, and letters."""
    found = []
    dead = at.find("dead").partitions[0].id
    for segment in at.broker.journal.segments:
        for group in segment.groups():
            row: list[str] = []
            for _, view, payload in group.entries():
                if view.kind == form.RECORDS:
                    row += ["letter" for place, _ in view.placements if place == dead]
                elif isinstance(fact := facts.decode(payload), facts.Settled):
                    row.append(fact.why)
            found.append(sorted(row))
    return found


def log_start(at: World, topic: str = "orders") -> int:
    return at.find(topic).partitions[0].log_start


class TestRetention:
    async def test_what_is_older_than_the_age_goes_and_what_is_younger_stays(self) -> None:
        async with world() as at:
            await at.topic(age_ms=MINUTE_MS)
            await at.publish("a", "b")
            await at.clock.advance(MINUTE_MS - TICK_MS)
            await at.publish("c")

            await at.clock.advance(2 * TICK_MS)

            assert (log_start(at), await at.read(start=2)) == (2, [(2, "c")])

    async def test_what_is_more_than_the_size_goes_from_the_front(self) -> None:
        async with world() as at:
            await at.topic(size_bytes=150_000)
            for _ in range(3):
                await at.publish(BIG)

            await at.clock.advance(TICK_MS)

            assert log_start(at) == 2

    async def test_without_a_rule_nothing_goes(self) -> None:
        async with world() as at:
            topic = await at.topic()
            await at.publish("a")
            await at.clock.advance(MINUTE_MS)

            gone = await at.broker.housekeeping.trim(topic)

            assert (gone, log_start(at)) == (0, 0)

    async def test_what_every_reader_has_consumed_goes(self) -> None:
        async with world() as at:
            topic = await at.topic(consumed=True)
            await at.publish("a", "b", "c")
            billing, audit = await at.join("billing"), await at.join("audit")
            await at.drink(billing)
            (first, *_) = await at.receive(audit)
            await at.settle(audit, [first])

            gone = await at.broker.housekeeping.trim(topic)

            assert (gone, log_start(at)) == (1, 1)

    async def test_while_nobody_has_declared_to_read_nothing_counts_as_consumed(self) -> None:
        async with world() as at:
            topic = await at.topic(consumed=True)
            await at.publish("a")

            assert await at.broker.housekeeping.trim(topic) == 0

    async def test_a_view_holds_what_it_has_not_settled(self) -> None:
        async with world() as at:
            topic = await at.topic(consumed=True)
            view = await at.broker.create_queue(at.session, QueueDefinition(name="work", view_of="orders"))
            await at.publish("a", "b")
            (first, _) = await lease(at, view)
            unit = at.broker.journal.unit()
            view.ack(unit, [first.lease])
            await unit.submit()

            assert (await at.broker.housekeeping.trim(topic), log_start(at)) == (1, 1)

    async def test_what_is_younger_than_the_floor_stays_though_it_is_consumed(self) -> None:
        async with world() as at:
            await at.topic(consumed=True, floor_ms=MINUTE_MS)
            await at.publish("a")
            await at.drink(await at.join())
            await at.clock.advance(MINUTE_MS - TICK_MS)
            young = log_start(at)

            await at.clock.advance(2 * TICK_MS)

            assert (young, log_start(at)) == (0, 1)

    async def test_what_is_older_than_the_ceiling_goes_though_a_reader_has_not_come_to_it(self) -> None:
        async with world() as at:
            await at.topic(consumed=True, ceiling_ms=MINUTE_MS)
            await at.publish("a")
            await at.join()
            await at.clock.advance(MINUTE_MS - TICK_MS)
            young = log_start(at)

            await at.clock.advance(2 * TICK_MS)

            assert (young, log_start(at)) == (0, 1)

    async def test_a_group_that_has_gone_silent_holds_nothing_any_more(self) -> None:
        async with world() as at:
            await at.topic(consumed=True, silent_ms=MINUTE_MS)
            await at.publish("a")
            gone = await at.join("audit")
            await at.drink(await at.join("billing"))
            gone.close()
            await at.clock.advance(MINUTE_MS - TICK_MS)
            held = log_start(at)

            await at.clock.advance(2 * TICK_MS)

            assert (held, log_start(at)) == (0, 1)

    async def test_what_is_trimmed_is_settled_in_a_queue_that_views_it(self) -> None:
        async with world() as at:
            await at.topic(age_ms=MINUTE_MS)
            view = await at.broker.create_queue(at.session, QueueDefinition(name="work", view_of="orders"))
            await at.publish("a", "b")

            await at.clock.advance(MINUTE_MS + TICK_MS)

            assert (view.counts().trimmed, view.counts().ready) == (2, 0)


class TestExpiry:
    async def test_a_dead_message_is_settled_in_the_unit_that_writes_its_letter(self) -> None:
        async with world() as at:
            await at.topic("dead")
            queue = await queue_of(at, "a", dead="dead")
            await lease(at, queue)

            await at.clock.advance(MINUTE_MS + TICK_MS)

            (unit,) = [group for group in kinds(at) if "letter" in group]
            assert (queue.counts().dead, await at.read("dead")) == (1, [(0, "a")])
            assert unit == ["dead", "letter"]

    async def test_dead_letters_without_a_place_to_go_are_logged_and_tried_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with world() as at:
            queue = await queue_of(at, "a", dead="dead")
            await lease(at, queue)
            with caplog.at_level(logging.WARNING, "isthmus.broker"):
                await at.clock.advance(MINUTE_MS + TICK_MS)
            waiting = queue.counts().dying

            await at.topic("dead")
            await at.clock.advance(TICK_MS)

            assert (waiting, queue.counts().dead, await at.read("dead")) == (1, 1, [(0, "a")])
            assert {record.getMessage() for record in caplog.records} == {f"queue 'jobs': {UnknownTopic('dead')}"}

    async def test_a_message_that_has_outlived_its_time_expires(self) -> None:
        async with world() as at:
            queue = await queue_of(at, "a", ttl_ms=MINUTE_MS)

            await at.clock.advance(MINUTE_MS + TICK_MS)

            assert (queue.counts().ready, queue.counts().expired) == (0, 1)

    async def test_after_a_stall_a_lease_that_has_just_ended_is_left_to_the_next_round(self) -> None:
        async with world(options=RARELY) as at:
            queue = await queue_of(at, "a")
            await lease(at, queue)
            await at.clock.advance(MINUTE_MS + 10)

            await at.broker.housekeeping.once(grace_ms=20)
            left = queue.counts().leased
            await at.broker.housekeeping.once()

            assert (left, queue.counts().leased) == (1, 0)


class JumpingClock(ManualClock):
    """A manual clock whose wall time somebody sets."""

    jumped_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.jumped_ms


class TestJumps:
    async def test_nothing_goes_for_its_age_until_the_wall_clock_has_been_steady_for_a_while(self) -> None:
        clock = JumpingClock()
        async with world(clock=clock) as at:
            await at.topic(age_ms=CLOCK_JUMP_MS)
            queue = await queue_of(at, "a", ttl_ms=CLOCK_JUMP_MS)
            await at.publish("a")
            assert queue.counts().ready == 1
            await clock.advance(TICK_MS)

            clock.jumped_ms = 2 * CLOCK_JUMP_MS
            await clock.advance(CLOCK_STEADY_MS - TICK_MS)
            doubtful = log_start(at), queue.counts().expired
            await clock.advance(3 * TICK_MS)

            assert doubtful == (0, 0)
            assert (log_start(at), queue.counts().expired) == (1, 1)


class TestSweep:
    async def test_a_dead_segment_goes_once_both_checkpoints_cover_it(self) -> None:
        async with world(options=RARELY) as at:
            await at.topic()
            for _ in range(4):
                await at.publish(BIG)
            first, journal = at.broker.journal.segments[0], at.broker.journal
            await at.trim(4)

            early = await at.broker.housekeeping.sweep()
            for _ in range(2):
                await checkpoint.take(journal)
            late = await at.broker.housekeeping.sweep()

            assert early == 0
            assert late >= first.size_bytes
            assert first not in journal.segments
            assert first.name not in at.storage.list("journal")

    async def test_a_segment_with_a_record_that_can_be_read_stays(self) -> None:
        async with world(options=RARELY) as at:
            await at.topic()
            for _ in range(4):
                await at.publish(BIG)
            await at.trim(1)

            assert await at.broker.housekeeping.sweep(force=True) == 0
            assert [offset for offset, _ in await at.read(start=1)] == [1, 2, 3]

    async def test_an_order_to_sweep_does_not_wait_for_checkpoints_nor_for_a_full_segment(self) -> None:
        async with world(options=RARELY) as at:
            await at.topic()
            await at.publish("a")
            await at.trim(1)

            gone = await at.broker.housekeeping.sweep(force=True)
            await at.publish("b")
            await at.crash()

            assert gone > 0
            assert (log_start(at), await at.read(start=1)) == (1, [(1, "b")])


DAY_MS = 24 * 60 * MINUTE_MS


class TestForgettingGroups:
    async def test_a_group_made_to_expire_is_forgotten_when_nobody_used_it_for_the_time(self) -> None:
        async with world(options=RARELY) as at:
            await at.topic()
            await at.broker.group(at.session, "default", "theirs", expires=True)
            await at.broker.group(at.session, "default", "ours")
            await at.clock.advance(7 * DAY_MS - 10 * MINUTE_MS)
            before = set(at.broker.catalog.group_names)

            await at.clock.advance(20 * MINUTE_MS)

            assert len(before) == 2
            assert set(at.broker.catalog.group_names) == {("default", "ours")}

    async def test_a_commit_counts_from_its_own_time_also_after_a_restart(self) -> None:
        async with world(options=RARELY) as at:
            topic = await at.topic()
            group = await at.broker.group(at.session, "default", "theirs", expires=True)
            await at.broker.commit(at.session, group, topic.partitions[0], Progress(0, (), ()))
            await at.clock.advance(6 * DAY_MS)
            await at.reopen()

            early = await at.broker.housekeeping.forget_groups()
            await at.clock.advance(DAY_MS + 10 * MINUTE_MS)

            assert (early, at.broker.catalog.groups) == (0, {})

    async def test_members_get_a_day_to_return_after_an_opening(self) -> None:
        async with world(options=RARELY) as at:
            await at.broker.group(at.session, "default", "theirs", expires=True)
            await at.close()
            await at.clock.advance(30 * DAY_MS)
            await at.open()
            await at.clock.advance(DAY_MS - 20 * MINUTE_MS)
            before = len(at.broker.catalog.groups)

            await at.clock.advance(30 * MINUTE_MS)

            assert (before, at.broker.catalog.groups) == (1, {})

    async def test_whoever_wants_it_kept_has_it_kept(self) -> None:
        async with world(options=RARELY) as at:
            await at.broker.group(at.session, "default", "shared", expires=True)
            await at.broker.group(at.session, "default", "shared")
            await at.reopen()
            await at.broker.group(at.session, "default", "shared", expires=True)

            await at.clock.advance(8 * DAY_MS)

            assert [group.expires for group in at.broker.catalog.groups.values()] == [False]

    async def test_a_group_with_a_member_stays(self) -> None:
        async with world(options=RARELY) as at:
            await at.topic()
            group = await at.broker.group(at.session, "default", "theirs", expires=True)
            member = at.broker.member(group, "default", "orders", "earliest")
            at.members.append(member)
            await member.start()

            assert not group.has_expired(at.clock.now_ms() + 8 * DAY_MS, 7 * DAY_MS)
