"""What cannot wait for a round of housekeeping happens on time, whatever the rounds are."""

import logging

import pytest

from isthmus.broker.broker import BrokerOptions
from isthmus.broker.publishing import Options
from isthmus.definition import DEFAULT_NAMESPACE, QueueConfig, QueueDefinition
from isthmus.lenses.queue.changes import Counts
from isthmus.limits import MIB, SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from support.brokers import World, world

NEVER = BrokerOptions(journal=JournalOptions(segment_bytes=SEGMENT_BYTES_MIN), housekeeping_ms=10**9)
"""No housekeeping: what happens on time happens without it."""


async def queue(at: World, **config: object) -> None:
    await at.broker.create_queue(at.session, QueueDefinition(name="jobs", config=QueueConfig(**config)))  # type: ignore[arg-type]  # as the test says


def counts(at: World) -> Counts:
    return at.broker.queue(DEFAULT_NAMESPACE, "jobs").counts()


async def test_what_outlives_its_queues_time_goes_within_a_tenth_of_a_second_without_a_consumer() -> None:
    async with world(options=NEVER) as at:
        await queue(at, ttl_ms=60_000)
        await at.publish("a", to="jobs")
        await at.clock.advance(500)
        await at.publish("b", to="jobs")

        await at.clock.advance(59_500)
        first = counts(at).expired
        await at.clock.advance(499)
        second = counts(at).expired
        await at.clock.advance(100)

        assert (first, second, counts(at).expired) == (1, 1, 2)


async def test_what_outlives_its_own_time_goes_also_behind_others() -> None:
    async with world(options=NEVER) as at:
        await queue(at)
        await at.publish("stays", to="jobs")
        await at.publish("goes", to="jobs", options=Options(expire_ms=at.clock.now_ms() + 5_000))

        await at.clock.advance(4_999)
        before = counts(at).expired
        await at.clock.advance(1)

        assert (before, counts(at).expired, counts(at).ready) == (0, 1, 1)


async def test_the_shorter_of_the_two_times_counts() -> None:
    async with world(options=NEVER) as at:
        await queue(at, ttl_ms=1_000)
        await at.publish("a", to="jobs", options=Options(expire_ms=at.clock.now_ms() + 5_000))
        await at.publish("b", to="jobs", options=Options(expire_ms=at.clock.now_ms() + 500))

        await at.clock.advance(500)
        first = counts(at).expired
        await at.clock.advance(500)

        assert (first, counts(at).expired) == (1, 2)


async def test_a_time_of_nothing_lets_only_those_have_it_who_wait() -> None:
    async with world(options=NEVER) as at:
        await queue(at, ttl_ms=0)
        got: list[bytes | None] = []
        jobs = at.broker.queue(DEFAULT_NAMESPACE, "jobs")
        consumer = jobs.consume(
            "me", at.session.id, 0, lambda found: got.extend(one.record.value for one in found), credit=1
        )

        await at.publish("a", to="jobs")
        await at.publish("b", to="jobs")
        await at.clock.drain()

        assert got == [b"a"]
        assert (counts(at).leased, counts(at).expired) == (1, 1)
        consumer.cancel()


async def test_what_is_too_many_goes_at_once() -> None:
    async with world(options=NEVER) as at:
        await queue(at, max_events=2, overflow="drop")

        await at.publish("a", "b", "c", to="jobs")
        await at.publish("d", to="jobs")
        await at.clock.drain()

        found = await at.broker.queue(DEFAULT_NAMESPACE, "jobs").lease("me", at.session.id, 0, 9, MIB)
        assert [one.record.value for one in found] == [b"c", b"d"]


async def test_after_an_opening_what_has_become_too_old_goes() -> None:
    async with world(options=NEVER) as at:
        await queue(at, ttl_ms=1_000)
        await at.publish("a", to="jobs")
        await at.publish("b", to="jobs", options=Options(expire_ms=at.clock.now_ms() + 500))
        await at.reopen()

        await at.clock.advance(500)
        first = counts(at).expired
        await at.clock.advance(500)

        assert (first, counts(at).expired) == (1, 2)


async def test_very_many_ends_of_life_are_all_known() -> None:
    async with world(options=NEVER) as at:
        await queue(at)
        for number in range(100):
            expire_ms = at.clock.now_ms() + 1_000 + number
            await at.publish("x", to="jobs", options=Options(expire_ms=expire_ms))

        await at.clock.advance(1_049)

        assert counts(at).expired == 50


async def test_what_cannot_be_done_is_tried_again_later_and_not_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    async with world(options=NEVER) as at:
        await queue(at, ttl_ms=1_000, dead="nowhere")
        await at.publish("a", to="jobs")

        with caplog.at_level(logging.WARNING, "isthmus.broker"):
            await at.clock.advance(3_500)
        tried = len(caplog.records)
        await at.broker.create_queue(at.session, QueueDefinition(name="nowhere"))
        await at.clock.advance(1_000)

        assert 3 <= tried <= 6
        assert counts(at).expired == 1


async def test_what_a_change_of_the_configuration_makes_too_many_goes() -> None:
    async with world(options=NEVER) as at:
        await queue(at)
        await at.publish("a", "b", "c", to="jobs")

        config = QueueConfig(max_events=1, overflow="drop")
        await at.broker.alter_queue(at.session, QueueDefinition(name="jobs", config=config))
        await at.clock.drain()

        assert (counts(at).ready, counts(at).dropped) == (1, 2)


async def test_who_opens_a_store_to_look_at_it_finds_it_as_it_was_left() -> None:
    looking = BrokerOptions(journal=NEVER.journal, housekeeping_ms=10**9, punctual=False)
    async with world(options=looking) as at:
        await queue(at, ttl_ms=1_000)
        await at.publish("a", to="jobs")

        await at.clock.advance(5_000)

        assert counts(at).expired == 0
