"""Dead letters by an exchange: which way they go, what they say, and that they come with the end of what they were."""

from typing import Any

import pytest

from isthmus.broker import deaths
from isthmus.broker.burial import RoutingView
from isthmus.broker.deaths import Death, FirstDeath
from isthmus.broker.publishing import Options
from isthmus.definition import (
    DEFAULT_NAMESPACE,
    Binding,
    ExchangeDefinition,
    ExchangeKind,
    QueueConfig,
    QueueDefinition,
)
from isthmus.errors import QueueFull
from isthmus.lenses.queue.queue import Queue
from isthmus.limits import MIB
from isthmus.log.headers import append_headers, header_value
from isthmus.record import Leased, Record, StoredRecord
from support.brokers import World, world


async def queue(at: World, name: str, **config: Any) -> Queue:
    return await at.broker.create_queue(at.session, QueueDefinition(name=name, config=QueueConfig(**config)))


async def exchange(at: World, name: str, *bound: tuple[str, str], kind: ExchangeKind = "direct") -> None:
    await at.broker.create_exchange(at.session, ExchangeDefinition(name=name, kind=kind))
    for topic, key in bound:
        await at.broker.bind(at.session, Binding(exchange=name, topic=topic, key=key))


async def take(at: World, name: str) -> list[Leased]:
    found = at.broker.queue(DEFAULT_NAMESPACE, name)
    return await found.lease("me", at.session.id, 0, 100, MIB, None)


async def reject(at: World, name: str) -> None:
    """Reject all that is in a queue."""
    taken, unit = await take(at, name), at.broker.journal.unit()
    found = at.broker.queue(DEFAULT_NAMESPACE, name)
    died = await found.reject(unit, [one.lease for one in taken], "no", "")
    at.broker.bury(unit, found, died)
    await unit.submit()


def told(record: StoredRecord) -> list[tuple[str, str, int]]:
    return [(death.queue, death.reason, death.count) for death in deaths.history_of(record.headers)]


class TestWays:
    async def test_what_dies_goes_by_the_exchange_with_its_own_key(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="dlx")
            await queue(at, "a.dead")
            await queue(at, "b.dead")
            await exchange(at, "dlx", ("a.dead", "a"), ("b.dead", "b"))
            await at.publish("a:1", "b:1", "c:1", to="jobs")

            await reject(at, "jobs")

            assert [one.record.value for one in await take(at, "a.dead")] == [b"a:1"]
            assert [one.record.value for one in await take(at, "b.dead")] == [b"b:1"]
            counts = at.broker.queue(DEFAULT_NAMESPACE, "jobs").counts()
            assert (counts.rejected, counts.ready) == (3, 0)

    async def test_with_a_key_of_the_queues_own_that_one_decides(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="dlx", dead_key="dead")
            await queue(at, "jobs.dead")
            await exchange(at, "dlx", ("jobs.dead", "dead"))
            await at.publish("a:1", to="jobs")

            await reject(at, "jobs")

            assert len(await take(at, "jobs.dead")) == 1

    async def test_the_default_exchange_leads_to_the_queue_of_the_keys_name(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="", dead_key="jobs.dead")
            await queue(at, "jobs.dead")
            await at.publish("a:1", to="jobs")

            await reject(at, "jobs")

            assert len(await take(at, "jobs.dead")) == 1

    async def test_one_letter_goes_to_all_queues_that_are_bound(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="dlx")
            for name in ("one", "two"):
                await queue(at, name)
            await exchange(at, "dlx", ("one", ""), ("two", ""), kind="fanout")
            await at.publish("a:1", to="jobs")

            await reject(at, "jobs")

            assert [len(await take(at, name)) for name in ("one", "two")] == [1, 1]

    @pytest.mark.parametrize("name", ["nowhere", "empty", ""])
    async def test_what_leads_nowhere_is_settled_without_a_letter(self, name: str) -> None:
        async with world() as at:
            await exchange(at, "empty")
            await queue(at, "jobs", dead_exchange=name)
            await at.publish("a:1", to="jobs")

            await reject(at, "jobs")

            assert at.broker.queue(DEFAULT_NAMESPACE, "jobs").counts().rejected == 1

    async def test_a_letter_is_let_in_where_the_queue_is_full(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead="dead")
            await queue(at, "dead", max_events=0)
            await at.publish("a:1", to="jobs")

            await reject(at, "jobs")

            with pytest.raises(QueueFull):
                await at.publish("b:1", to="dead")
            assert len(await take(at, "dead")) == 1


class TestHistory:
    async def test_a_letter_tells_its_deaths_the_newest_first_and_the_first_of_all(self) -> None:
        async with world() as at:
            await queue(at, "one", dead_exchange="", dead_key="two")
            await queue(at, "two", dead_exchange="", dead_key="three", ttl_ms=1_000)
            await queue(at, "three")
            await at.publish("a:1", to="one")
            now_s = at.clock.now_ms() // 1_000

            await reject(at, "one")
            await at.clock.advance(1_000)
            record = (await take(at, "three"))[0].record

            assert deaths.history_of(record.headers) == (
                Death("two", "expired", 1, now_s + 1, "", ("a",)),
                Death("one", "rejected", 1, now_s, "", ("a",)),
            )
            assert deaths.first_of(record.headers) == FirstDeath("one", "rejected", "")

    async def test_a_record_that_goes_round_by_itself_is_stopped(self) -> None:
        async with world() as at:
            await queue(at, "one", dead_exchange="", dead_key="two", ttl_ms=100)
            await queue(at, "two", dead_exchange="", dead_key="one", ttl_ms=100)
            await at.publish("a:1", to="one")

            await at.clock.advance(10_000)

            counts = [at.broker.queue(DEFAULT_NAMESPACE, name).counts() for name in ("one", "two")]
            assert [(each.enqueued, each.expired) for each in counts] == [(1, 1), (1, 1)]

    async def test_with_a_rejection_on_the_way_it_goes_on_and_is_counted(self) -> None:
        async with world() as at:
            await queue(at, "one", dead_exchange="", dead_key="two")
            await queue(at, "two", dead_exchange="", dead_key="one", ttl_ms=100)
            await at.publish("a:1", to="one")

            for _ in range(2):
                await reject(at, "one")
                await at.clock.advance(100)

            record = (await take(at, "one"))[0].record
            assert told(record) == [("two", "expired", 2), ("one", "rejected", 2)]

    async def test_what_failed_too_often_says_so(self) -> None:
        async with world() as at:
            jobs = await queue(at, "jobs", dead_exchange="", dead_key="dead", failed_max=1)
            await queue(at, "dead")
            await at.publish("a:1", to="jobs")
            session = at.broker.session()
            await jobs.lease("me", session.id, 0, 1, MIB, None)

            at.broker.end_session(session)
            await at.clock.drain()

            assert told((await take(at, "dead"))[0].record) == [("jobs", "delivery_limit", 1)]

    async def test_its_own_end_and_due_time_do_not_follow_it(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="", dead_key="dead")
            await queue(at, "dead")
            now_ms = at.clock.now_ms()
            await at.publish("a:1", to="jobs", options=Options(due_ms=now_ms + 1, expire_ms=now_ms + 50))

            await at.clock.advance(5_000)

            record = (await take(at, "dead"))[0].record
            assert [header_value(record.headers, name) for name in ("isthmus-expire", "isthmus-due")] == [None, None]


class TestViews:
    async def test_a_protocol_says_how_its_records_came_and_how_they_look_elsewhere(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="", dead_key="dead")
            await queue(at, "dead")

            def moved(record: StoredRecord, exchange: str, key: str | None) -> tuple[bytes | None, bytes]:
                return (key or "").encode(), append_headers(record.headers, [("by", f"[{exchange}]".encode())])

            at.broker.burial.views.append(
                lambda record: RoutingView("shop", ("k1", "k2"), dict, 500, lambda *to: moved(record, *to))
            )
            await at.publish("a:1", to="jobs")

            await reject(at, "jobs")

            record = (await take(at, "dead"))[0].record
            (death,) = deaths.history_of(record.headers)
            assert (death.exchange, death.keys, death.expiration_ms) == ("shop", ("k1", "k2"), 500)
            assert (record.key, header_value(record.headers, "by")) == (b"dead", b"[]")

    async def test_a_plain_record_with_unreadable_headers_dies_all_the_same(self) -> None:
        async with world() as at:
            await queue(at, "jobs", dead_exchange="dlx")
            await queue(at, "dead")
            await exchange(at, "dlx", ("dead", ""), kind="headers")
            unit = at.broker.journal.unit()
            at.broker.add(at.session, unit, at.find("jobs"), [Record(b"x", None, b"\x7fgarbage")])
            await unit.submit()

            await reject(at, "jobs")

            assert [one.record.value for one in await take(at, "dead")] == [b"x"]


class TestRefused:
    async def test_what_a_full_queue_refuses_leaves_a_dead_letter_where_that_is_wanted(self) -> None:
        async with world() as at:
            await queue(at, "jobs", max_events=1, overflow="refuse_dead", dead_exchange="", dead_key="dead")
            await queue(at, "dead")
            records = [Record(body, b"jobs") for body in (b"in", b"out")]

            routed = [at.broker.route(at.session, None, ["jobs"], [each]) for each in records]
            for each in routed:
                await each.pending

            assert [len(each.refused) for each in routed] == [0, 1]
            assert [each.record.value for each in await take(at, "jobs")] == [b"in"]
            (dead,) = await take(at, "dead")
            assert dead.record.value == b"out"
            assert told(dead.record) == [("jobs", "maxlen", 1)]

    async def test_who_publishes_to_the_queue_itself_is_refused_and_leaves_a_letter_too(self) -> None:
        async with world() as at:
            await queue(at, "jobs", max_events=0, overflow="refuse_dead", dead_exchange="", dead_key="dead")
            await queue(at, "dead")

            with pytest.raises(QueueFull):
                await at.publish("out", to="jobs")

            (dead,) = await take(at, "dead")
            assert dead.record.value == b"out"

    @pytest.mark.parametrize("config", [{"overflow": "refuse"}, {"overflow": "refuse_dead"}])
    async def test_nothing_is_buried_where_it_is_not_wanted_or_there_is_no_place(self, config: dict[str, Any]) -> None:
        async with world() as at:
            await queue(at, "jobs", max_events=0, **config)

            routed = at.broker.route(at.session, None, ["jobs"], [Record(b"out", b"jobs")])

            assert await routed.pending == []
            assert isinstance(routed.refused[0].error, QueueFull)


async def test_what_is_too_old_and_too_many_at_one_moment_leaves_one_letter() -> None:
    async with world() as at:
        jobs = await queue(
            at, "jobs", dead_exchange="", dead_key="dead", ttl_ms=1_000, max_events=1, overflow="drop", failed_max=None
        )
        await queue(at, "dead")
        await at.publish("a", to="jobs")
        held = await take(at, "jobs")
        await at.clock.advance(1_000)
        await at.publish("b", to="jobs")
        unit = at.broker.journal.unit()

        jobs.release(unit, [one.lease for one in held])
        await unit.submit()
        await at.clock.drain()

        assert [one.record.value for one in await take(at, "dead")] == [b"a"]
        assert (jobs.counts().expired, jobs.counts().dropped, jobs.counts().ready) == (1, 0, 1)
