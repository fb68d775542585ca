"""The core has the shape that later doors need, shown with its own calls: no wire, no client, no engine in between."""

import inspect
from collections.abc import AsyncIterator
from typing import Final

import pytest

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock, SystemClock
from isthmus.definition import QueueConfig, QueueDefinition, TopicDefinition
from isthmus.errors import AccessDenied, Closed, LeaseLost, Overloaded, UnknownQueue, UnknownTopic
from isthmus.lenses.queue.queue import Queue
from isthmus.limits import MIB
from isthmus.log import batch as batches
from isthmus.log.storage import MemoryStorage
from isthmus.record import Leased, Record

SPACE: Final = "default"

FOR_NOBODY: Final = {
    "open": "the owner's",
    "close": "the owner's",
    "abandon": "the owner's",
    "session": "makes what the others take",
    "resolve_view": "looks up, gives nothing of a record",
    "topic": "looks up, gives nothing of a record",
    "queue": "looks up, gives nothing of a record",
    "resolve": "looks up, gives nothing of a record",
    "record_at": "for the parts behind the door",
    "member": "acts in a group that was given for a session",
    "bury": "adds to a unit of the holder",
    "make": "for the parts behind the door, which have checked",
    "quiet": "waits, gives nothing",
    "forget_group": "for housekeeping, and for whoever has checked",
}
"""Public methods of the broker that act for no caller, with why."""


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    broker = Broker(MemoryStorage(), ManualClock())
    await broker.open()
    yield broker
    await broker.close()


async def queue_of(broker: Broker, session: Session, *records: Record, ordered: bool = False) -> Queue:
    config = QueueConfig(lease_ms=None, ordered=ordered)
    queue = await broker.create_queue(session, QueueDefinition(name="jobs", config=config))
    if records:
        await broker.publish(session, broker.topic(SPACE, "jobs"), records)
    return queue


async def lease(queue: Queue, session: Session, count: int = 100, *, run_of_key: bool = False) -> list[Leased]:
    return await queue.lease("me", session.id, session.principal_id, count, MIB, run_of_key=run_of_key)


def offsets(found: list[Leased]) -> list[int]:
    return [one.record.offset for one in found]


class TestPrincipalAndCredit:
    def test_every_method_that_acts_for_a_caller_takes_the_callers_session_first(self) -> None:
        methods = {name: each for name, each in inspect.getmembers(Broker, inspect.isfunction) if name[0] != "_"}
        without = [
            name
            for name, each in methods.items()
            if name not in FOR_NOBODY and list(inspect.signature(each).parameters.values())[1].annotation is not Session
        ]

        assert without == []
        assert FOR_NOBODY.keys() <= methods.keys()

    @pytest.mark.parametrize(
        "method", [Queue.ack, Queue.ack_ranges, Queue.reject, Queue.fail, Queue.release, Queue.purge]
    )
    def test_every_settlement_names_its_principal(self, method: object) -> None:
        assert callable(method)
        assert "principal" in inspect.signature(method).parameters

    async def test_a_session_has_a_principal_and_credit_and_nobody_else_gets_one(self, broker: Broker) -> None:
        session = broker.session()

        assert (session.principal, session.credit.used_bytes) == ("local", 0)
        with pytest.raises(AccessDenied):
            broker.session("stranger")

    async def test_what_is_in_flight_takes_credit_and_what_is_durable_gives_it_back(self, broker: Broker) -> None:
        session = broker.access.open(credit_bytes=64)
        topic = await broker.create_topic(session, TopicDefinition(name="orders"))

        first = broker.publish(session, topic, [Record(bytes(100))])
        used = session.credit.used_bytes
        refused = None
        if not first.done:
            with pytest.raises(Overloaded) as refused:
                broker.publish(session, topic, [Record(b"x")])
        await first

        assert (used > 0) is (refused is not None)
        assert session.credit.used_bytes == 0

    async def test_a_session_that_has_ended_may_do_nothing(self, broker: Broker) -> None:
        session = broker.session()
        topic = await broker.create_topic(session, TopicDefinition(name="orders"))

        broker.end_session(session)

        with pytest.raises(Closed):
            broker.publish(session, topic, [Record(b"x")])


class TestSessions:
    async def test_a_lease_without_time_limit_lasts_as_long_as_its_session(self, broker: Broker) -> None:
        clock = broker.clock
        assert isinstance(clock, ManualClock)
        first, second = broker.session(), broker.session()
        queue = await queue_of(broker, first, Record(b"a"))
        (held,) = await lease(queue, first)
        await clock.advance(30 * 60_000)
        meanwhile = await lease(queue, second)

        broker.end_session(first)
        await broker.journal.unit().submit()
        (again,) = await lease(queue, second)

        assert (held.lease.until_ms, meanwhile) == (None, [])
        assert (again.lease.acquired, again.lease.failed) == (2, 1)

    async def test_a_queue_of_a_session_ends_with_it(self, broker: Broker) -> None:
        mine, other = broker.session(), broker.session()
        await broker.create_queue(mine, QueueDefinition(name="replies", lifetime="session"))
        await broker.create_topic(mine, TopicDefinition(name="events", lifetime="session"))
        await broker.create_topic(other, TopicDefinition(name="stays", lifetime="session"))

        broker.end_session(mine)
        await broker.create_topic(other, TopicDefinition(name="later"))

        with pytest.raises(UnknownQueue):
            broker.queue(SPACE, "replies")
        with pytest.raises(UnknownTopic):
            broker.topic(SPACE, "events")
        assert broker.topic(SPACE, "stays").name == "stays"

    async def test_objects_of_a_process_are_not_there_in_the_next_one(self) -> None:
        storage = MemoryStorage()
        first = Broker(storage, ManualClock())
        await first.open()
        session = first.session()
        await first.create_topic(session, TopicDefinition(name="process", lifetime="process"))
        await first.create_queue(session, QueueDefinition(name="session", lifetime="session"))
        await first.create_topic(session, TopicDefinition(name="durable"))
        await first.close()

        second = Broker(storage, ManualClock())
        await second.open()
        names = sorted(topic.name for topic in second.catalog.topics.values())
        await second.close()

        assert names == ["durable"]


class TestQueues:
    async def test_a_run_of_one_key_is_leased_in_one_call(self, broker: Broker) -> None:
        session = broker.session()
        records = [Record(b"%d" % at, b"ab"[at % 2 : at % 2 + 1]) for at in range(6)]
        queue = await queue_of(broker, session, *records, ordered=True)

        run = await lease(queue, session, run_of_key=True)
        other = await lease(queue, session, run_of_key=True)

        assert (offsets(run), offsets(other)) == ([0, 2, 4], [1, 3, 5])

    async def test_ranges_are_acknowledged_in_one_call_by_the_session_that_holds_them(self, broker: Broker) -> None:
        mine, other = broker.session(), broker.session()
        queue = await queue_of(broker, mine, *(Record(b"%d" % at) for at in range(10)))
        (partition,) = broker.topic(SPACE, "jobs").partitions
        await lease(queue, mine)

        theirs = broker.journal.unit()
        queue.ack_ranges(theirs, partition, [(0, 4)], session_id=other.id)
        with pytest.raises(LeaseLost):
            await theirs.submit()
        unit = broker.journal.unit()
        queue.ack_ranges(unit, partition, [(0, 4), (6, 10)], session_id=mine.id, principal=mine.principal_id)
        await unit.submit()

        assert (queue.counts().acked, queue.counts().leased) == (8, 2)

    async def test_peek_shows_states_and_takes_nothing(self, broker: Broker) -> None:
        session = broker.session()
        queue = await queue_of(broker, session, Record(b"a"), Record(b"b"))
        await lease(queue, session, 1)

        seen = await queue.peek(10)

        assert [(one.record.value, one.state, one.acquired) for one in seen] == [
            (b"a", "leased", 1),
            (b"b", "ready", 0),
        ]
        assert queue.counts().ready == 1

    async def test_stream_readers_and_a_queue_share_one_topic(self) -> None:
        broker = Broker(MemoryStorage(), SystemClock())
        await broker.open()
        session = broker.session()
        topic = await broker.create_topic(session, TopicDefinition(name="orders"))
        view = await broker.create_queue(session, QueueDefinition(name="work", view_of="orders"))
        await broker.publish(session, topic, [Record(b"a"), Record(b"b")])

        taken = await lease(view, session)
        unit = broker.journal.unit()
        view.ack(unit, [one.lease for one in taken])
        await unit.submit()
        group = await broker.group(session, SPACE, "audit")
        member = broker.member(group, SPACE, "orders", "earliest")
        await member.start()
        received = await member.receive(10, MIB, 10_000)
        member.close()
        (fetched,) = await broker.fetch(session, [(topic.partitions[0], 0)], MIB)
        await broker.close()

        assert [one.record.value for one in taken] == [b"a", b"b"]
        assert [record.value for _, record in received] == [b"a", b"b"]
        assert [record.value for each in fetched.batches for record in batches.decode(each.data)] == [b"a", b"b"]
        assert topic.partitions[0].log_start == 0

    async def test_what_died_in_a_view_is_redriven_to_the_topic_of_its_queue_and_not_to_the_shared_one(self) -> None:
        from isthmus.engines.connect import open_engine

        engine = await open_engine("memory://", clock=ManualClock())
        await engine.admin.create(TopicDefinition(name="orders"))
        await engine.admin.create(QueueDefinition(name="dead"))
        await engine.admin.create(QueueDefinition(name="work", view_of="orders", config=QueueConfig(dead="dead")))
        await engine.publish("orders", [Record(b"poison")])
        source = await engine.queue_source("work", "me")
        await source.dead(await source.receive(1, MIB, 0), "why", "")

        assert await engine.admin.redrive("dead") == 1
        (again,) = await source.receive(1, MIB, 0)
        ends = {view.name: view.partitions[0].high_watermark for view in await engine.admin.topics()}
        await engine.close()

        assert (again.topic, again.stored.value) == ("work", b"poison")
        assert ends == {"orders": 1, "dead": 1, "work": 1}
