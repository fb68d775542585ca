"""Queues end by themselves when their last consumer goes, or when nobody has used them for long enough."""

from isthmus.broker import governing
from isthmus.definition import (
    DEFAULT_NAMESPACE,
    Binding,
    ExchangeDefinition,
    PolicyDefinition,
    QueueConfig,
    QueueDefinition,
)
from isthmus.lenses.queue.queue import Queue
from isthmus.lenses.queue.takers import Consumer
from isthmus.limits import MIB
from support.brokers import World, world


async def queue(at: World, name: str = "jobs", **config: object) -> Queue:
    asked = QueueDefinition(name=name, config=QueueConfig(**config))  # type: ignore[arg-type] # as the test says
    return await at.broker.create_queue(at.session, asked)


def consumer(at: World, of: Queue) -> Consumer:
    return of.consume("me", at.session.id, 0, lambda _: None, credit=1, max_bytes=MIB, lease_ms=None)


def is_there(at: World, name: str = "jobs") -> bool:
    catalog, key = at.broker.catalog, (DEFAULT_NAMESPACE, name)
    assert (key in catalog.queue_names) is (key in catalog.topic_names)
    return key in catalog.queue_names


class TestTheLastConsumer:
    async def test_takes_the_queue_along(self) -> None:
        async with world() as at:
            jobs = await queue(at, auto_remove=True)
            one, other = consumer(at, jobs), consumer(at, jobs)

            one.cancel()
            await at.broker.endings.quiet(jobs.id)
            with_one = is_there(at)
            other.cancel()
            await at.broker.endings.quiet(jobs.id)

            assert (with_one, is_there(at)) == (True, False)

    async def test_is_only_missed_after_a_first_one(self) -> None:
        async with world() as at:
            await queue(at, auto_remove=True)

            await at.clock.advance(10**7)

            assert is_there(at)

    async def test_may_go_with_its_session_and_with_what_it_holds(self) -> None:
        async with world() as at:
            jobs = await queue(at, auto_remove=True)
            session = at.broker.session()
            jobs.consume("me", session.id, 0, lambda _: None, credit=1, max_bytes=MIB, lease_ms=None)
            await at.publish("a", to="jobs")

            at.broker.end_session(session)
            await at.broker.endings.quiet(jobs.id)

            assert not is_there(at)

    async def test_takes_nothing_along_when_another_has_come_meanwhile(self) -> None:
        async with world() as at:
            jobs = await queue(at, auto_remove=True)

            consumer(at, jobs).cancel()
            consumer(at, jobs)
            await at.broker.endings.quiet(jobs.id)

            assert is_there(at)

    async def test_takes_along_exchanges_that_end_with_their_last_binding(self) -> None:
        async with world() as at:
            jobs = await queue(at, auto_remove=True)
            await at.broker.create_exchange(at.session, ExchangeDefinition(name="x", kind="fanout", auto_remove=True))
            await at.broker.bind(at.session, Binding(exchange="x", topic="jobs"))

            consumer(at, jobs).cancel()
            await at.broker.endings.quiet(jobs.id)

            assert (DEFAULT_NAMESPACE, "x") not in at.broker.catalog.exchange_names


class TestUnused:
    async def test_a_queue_goes_when_nobody_has_used_it_for_long_enough(self) -> None:
        async with world() as at:
            await queue(at, expires_ms=5_000)

            await at.clock.advance(4_999)
            before = is_there(at)
            await at.clock.advance(1)

            assert (before, is_there(at)) == (True, False)

    async def test_asking_for_records_and_declaring_anew_are_uses(self) -> None:
        async with world() as at:
            jobs = await queue(at, expires_ms=5_000)

            await at.clock.advance(4_000)
            await jobs.lease("me", at.session.id, 0, 1, MIB)
            await at.clock.advance(4_000)
            jobs.touch()
            await at.clock.advance(4_999)
            before = is_there(at)
            await at.clock.advance(1)

            assert (before, is_there(at)) == (True, False)

    async def test_a_queue_stays_while_it_has_a_consumer_and_for_the_time_after(self) -> None:
        async with world() as at:
            jobs = await queue(at, expires_ms=5_000)

            there = consumer(at, jobs)
            await at.clock.advance(60_000)
            there.cancel()
            await at.clock.advance(4_999)
            before = is_there(at)
            await at.clock.advance(1)

            assert (before, is_there(at)) == (True, False)

    async def test_a_queue_that_cannot_go_yet_goes_when_it_can(self) -> None:
        async with world() as at:
            await queue(at, expires_ms=5_000)
            await queue(at, "other", dead="jobs")

            await at.clock.advance(5_000)
            before = is_there(at)
            await at.broker.remove_topic(at.session, DEFAULT_NAMESPACE, "other")
            await at.clock.advance(5_000)

            assert (before, is_there(at)) == (True, False)

    async def test_a_policy_may_say_so(self) -> None:
        async with world() as at:
            await queue(at)
            asked = PolicyDefinition(name="p", pattern=".*", settings=(("expires_ms", b"1000"),))
            await governing.put(at.broker, at.session, asked)

            await at.clock.advance(1_000)

            assert not is_there(at)


async def test_times_begin_anew_with_an_opening() -> None:
    async with world() as at:
        await queue(at, expires_ms=5_000)
        await queue(at, "had", auto_remove=True)
        consumer(at, at.broker.queue(DEFAULT_NAMESPACE, "had"))
        await at.clock.advance(4_000)

        await at.reopen()
        await at.clock.advance(4_999)
        before = is_there(at)
        await at.clock.advance(1)

        assert (before, is_there(at), is_there(at, "had")) == (True, False, True)
