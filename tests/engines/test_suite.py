"""What the port promises, of every engine: one suite over each kind of store, through the port alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from isthmus.clock import ManualClock
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.base import Attributes, Engine
from isthmus.engines.connect import open_engine
from isthmus.engines.hop import HoppingEngine
from isthmus.errors import (
    AlreadyExists,
    Closed,
    GroupNotEmpty,
    InUse,
    InvalidArgument,
    KeyRequired,
    LeaseLost,
    RecordTooLarge,
    StaleGeneration,
    UnknownGroup,
    UnknownMember,
    UnknownPartition,
    UnknownQueue,
    UnknownTopic,
    UnsupportedCompression,
)
from isthmus.limits import SEGMENT_BYTES_MIN
from support.amqp import amqp_server
from support.brokers import MANY_BYTES, records
from support.engines import (
    DEAD,
    QUEUE,
    STREAM,
    WIDE,
    declare_all,
    publish,
    read,
    settle,
    take,
    texts,
    texts_of,
)
from support.kafka import kafka_server
from support.kafka_engine import ALL_CLIENTS, empty, kafka_engine
from support.rabbitmq_engine import on_rabbitmq, rabbitmq_engine
from support.served import SocketClock, served

KINDS = ["memory", "directory", "hop", "native", "kafka", "amqp", "rabbitmq", *(["apache"] if ALL_CLIENTS else [])]
"""`amqp` is the AMQP port of a server of ours, `rabbitmq` a real one, where it is installed. `apache` is a real Apache
Kafka; its queues by share groups are tested in kafka/test_share.py."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock(kind: str) -> ManualClock:
    return SocketClock() if kind == "native" else ManualClock()


@pytest.fixture
async def engine(
    kind: str, tmp_path: Path, clock: ManualClock, request: pytest.FixtureRequest
) -> AsyncGenerator[Engine]:
    """An engine of each kind, with the destinations of `declare_all`.

    A test that `needs` promises is skipped where they are not kept natively, one that `asks` for some where they are
    refused, with how they are kept as the reason.
    """
    async with opened(kind, tmp_path, clock, request) as engine:
        for promise in getattr(request.node.get_closest_marker("needs"), "args", ()):
            capability = engine.capabilities.get(promise)
            if capability is not None and capability.support != "native":
                pytest.skip(f"{promise} is {capability.support}: {capability.how}")
        for promise in getattr(request.node.get_closest_marker("asks"), "args", ()):
            capability = engine.capabilities.get(promise)
            if capability is not None and capability.support == "refused":
                pytest.skip(f"{promise} is refused: {capability.how}")
        await declare_all(engine)
        yield engine


@asynccontextmanager
async def opened(
    kind: str, tmp_path: Path, clock: ManualClock, request: pytest.FixtureRequest
) -> AsyncGenerator[Engine]:
    if kind == "native":
        async with served(tmp_path / "data", clock) as server:
            yield await server.connect()
        return
    if kind == "kafka":
        async with kafka_server() as kafka, kafka_engine(kafka.bootstrap, clock) as on_kafka:
            yield on_kafka
        return
    if kind == "amqp":
        async with amqp_server() as amqp, rabbitmq_engine(f"amqp://127.0.0.1:{amqp.port}", clock) as on_amqp:
            yield on_amqp
        return
    if kind == "rabbitmq":
        async with on_rabbitmq(request.getfixturevalue("rabbit"), "suite", clock) as on_rabbit:
            yield on_rabbit
        return
    if kind == "apache":
        bootstrap = request.getfixturevalue("apache")
        await asyncio.to_thread(empty, bootstrap)
        async with kafka_engine(bootstrap, clock) as on_kafka:
            yield on_kafka
        return
    url = str(tmp_path / "data") if kind == "directory" else "memory://"
    engine = await open_engine(url, clock=clock, segment_bytes=SEGMENT_BYTES_MIN)
    if kind == "hop":
        # It hops to the loop that it is on: the whole way, and a clock that the test still owns.
        engine = HoppingEngine(engine, asyncio.get_running_loop())
    await engine.start()
    yield engine
    await engine.close()


class TestPublishing:
    @pytest.mark.asks("receipt")
    async def test_offsets_follow_one_another(self, engine: Engine) -> None:
        (first,) = await engine.publish("orders", records("a", "b"))
        (second,) = await engine.publish("orders", records("c"))

        assert (first.topic, first.partition, first.base_offset, first.count) == ("orders", 0, 0, 2)
        assert (second.base_offset, second.count) == (2, 1)

    async def test_records_of_one_key_share_a_partition_and_say_which_they_are(self, engine: Engine) -> None:
        sent = records(*(f"{key}:{number}" for number in range(2) for key in "abcdef"))
        appended = await engine.publish("wide", sent)

        indexes = [set(one.indexes or ()) for one in appended]

        assert sorted(index for each in indexes for index in each) == list(range(12))
        assert all({index % 6 for index in each} <= {index for index in each if index < 6} for each in indexes)

    async def test_calls_take_effect_in_the_order_in_which_they_were_made(self, engine: Engine) -> None:
        await asyncio.gather(*(publish(engine, "orders", str(number)) for number in range(50)))

        assert await read(engine, "orders") == [str(number) for number in range(50)]

    @pytest.mark.needs("dedup")
    async def test_the_same_id_is_published_once(self, engine: Engine) -> None:
        (first,) = await engine.publish("jobs", records("a"), Attributes(dedup="1"))
        (second,) = await engine.publish("jobs", records("a"), Attributes(dedup="1"))

        assert (first.duplicate, second.duplicate) == (False, True)
        assert second.base_offset == first.base_offset
        assert await read(engine, "jobs") == ["a"]

    async def test_compressed_records_come_back_as_they_were(self, engine: Engine) -> None:
        await engine.publish("orders", records("a" * 1_000), compression="gzip")

        assert await read(engine, "orders") == ["a" * 1_000]

    async def test_what_cannot_be_published_leaves_nothing_behind(self, engine: Engine) -> None:
        await engine.declare(TopicDefinition(name="small", config=TopicConfig(record_bytes_max=10)))

        with pytest.raises(UnknownTopic):
            await publish(engine, "nowhere", "a")
        with pytest.raises(RecordTooLarge):
            await publish(engine, "small", "a", "b" * 100)
        with pytest.raises(UnsupportedCompression):
            await engine.publish("orders", records("a"), compression="brotli")

        assert await read(engine, "small") + await read(engine, "orders") == []

    @pytest.mark.asks("compact")
    async def test_what_keeps_the_newest_of_each_key_takes_nothing_without_a_key(self, engine: Engine) -> None:
        await engine.declare(TopicDefinition(name="table", config=TopicConfig(compact=True)))

        with pytest.raises(KeyRequired):
            await publish(engine, "table", "a")

        assert await read(engine, "table") == []

    async def test_a_closed_engine_takes_no_more_and_closes_twice(self, engine: Engine) -> None:
        await engine.close()
        await engine.close()

        with pytest.raises(Closed):
            await publish(engine, "orders", "a")


class TestReading:
    async def test_from_an_offset_a_time_or_an_end(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "orders", "a", "b")
        await clock.advance(1_000)
        await publish(engine, "orders", "c", "d")

        assert await read(engine, "orders", 1) == ["b", "c", "d"]
        assert await read(engine, "orders", ("time", clock.now_ms())) == ["c", "d"]
        assert await read(engine, "orders", "latest") == []

    async def test_it_stops_at_the_end_of_the_moment_when_asked(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        reader = await engine.reader("orders", "earliest", stop="end")
        await publish(engine, "orders", "b")

        chunk = await reader.read(MANY_BYTES, 0)

        assert chunk is not None
        assert texts_of(chunk) == ["a"]
        assert reader.ended
        assert await reader.read(MANY_BYTES, 1_000) is None

    async def test_it_waits_for_growth_and_no_longer_than_asked(self, engine: Engine, clock: ManualClock) -> None:
        reader = await engine.reader("wide", "latest")
        first = asyncio.ensure_future(reader.read(MANY_BYTES, 1_000))
        await clock.advance(999)
        assert not first.done()
        await publish(engine, "wide", "a:1")
        second = await first
        third = asyncio.ensure_future(reader.read(MANY_BYTES, 1_000))
        await clock.advance(1_000)

        assert second is not None
        assert texts_of(second) == ["a:1"]
        assert await third is None
        assert not reader.ended
        await reader.close()

    async def test_closing_wakes_who_waits(self, engine: Engine, clock: ManualClock) -> None:
        reader = await engine.reader("orders", "earliest")
        waiting = asyncio.ensure_future(reader.read(MANY_BYTES, 60_000))
        await clock.drain()

        await reader.close()

        assert await waiting is None
        assert reader.ended

    async def test_of_a_topic_that_is_not_there_nothing_is_read(self, engine: Engine) -> None:
        with pytest.raises(UnknownTopic):
            await engine.reader("nowhere", "earliest")
        with pytest.raises(UnknownTopic):
            await engine.partitions("nowhere")

        assert await engine.partitions("wide") == 3


class TestStreamSource:
    async def test_what_is_settled_does_not_come_again(self, engine: Engine) -> None:
        await publish(engine, "orders", "a", "b", "c")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        received = await take(source, 2)
        await settle(engine, source, received)
        await source.close()

        after = await engine.stream_source("orders", "billing", "earliest", None)
        again = await take(after)

        assert texts(received) == ["a", "b"]
        assert [(one.topic, one.partition, one.attempt, one.failed) for one in received] == [("orders", 0, 1, 0)] * 2
        assert texts(again) == ["c"]
        await after.close()

    async def test_what_was_taken_and_not_settled_comes_again(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        assert texts(await take(source)) == ["a"]
        await source.close()

        after = await engine.stream_source("orders", "billing", "earliest", None)

        assert texts(await take(after)) == ["a"]
        await after.close()

    async def test_a_failure_holds_back_its_key_until_it_is_due(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "orders", "a:1", "b:1", "a:2")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        await source.fail(await take(source, 1), 5_000, "no money")

        others = await take(source)
        await settle(engine, source, others)
        nothing = await take(source)
        await clock.advance(5_000)
        due = await take(source)

        assert (texts(others), nothing) == (["b:1"], [])
        assert [(texts([one]), one.attempt, one.failed) for one in due[:1]] == [(["a:1"], 2, 1)]
        await settle(engine, source, due)
        assert texts(due) + texts(await take(source)) == ["a:1", "a:2"]
        await source.close()

    async def test_the_dead_are_copied_and_settled(self, engine: Engine) -> None:
        await publish(engine, "orders", "a", "b")
        source = await engine.stream_source("orders", "billing", "earliest", "jobs.dead")
        await source.dead(await take(source, 1), "no money", "Traceback")

        (letter,) = await engine.admin.dead_letters("jobs.dead", 10)

        assert (letter.record.value, letter.reason, letter.traceback) == (b"a", "no money", "Traceback")
        assert (letter.cause, letter.failed) == ("orders/0/0", 1)
        assert texts(await take(source)) == ["b"]
        await source.close()

    async def test_without_a_place_for_the_dead_they_are_just_settled(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        await source.dead(await take(source), "no money", "")
        await source.close()

        (group,) = await engine.admin.groups("orders")

        assert group.lag == 0

    async def test_what_is_released_comes_again_without_a_failure(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        await source.release(await take(source))
        at_once = await take(source)
        await source.release(at_once, 1_000)
        too_early = await take(source)
        await clock.advance(1_000)

        assert (texts(at_once), too_early) == (["a"], [])
        assert [(one.attempt, one.failed) for one in await take(source)] == [(1, 0)]
        await source.close()

    async def test_there_is_no_lease_to_extend(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        received = await take(source)

        assert await source.extend(received, 60_000) == received
        assert received[0].until_ms is None
        await source.close()

    async def test_a_late_comer_starts_at_the_end_if_asked(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "latest", None)
        await publish(engine, "orders", "b")

        assert texts(await take(source)) == ["b"]
        await source.close()

    async def test_closing_wakes_who_waits(self, engine: Engine, clock: ManualClock) -> None:
        source = await engine.stream_source("orders", "billing", "earliest", None)
        waiting = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
        await clock.drain()

        await source.close()

        assert await waiting == []

    async def test_of_a_topic_that_is_not_there_nothing_is_received(self, engine: Engine) -> None:
        with pytest.raises(UnknownTopic):
            await engine.stream_source("nowhere", "billing", "earliest", None)

        assert await engine.admin.groups() == []


class TestQueueSource:
    @pytest.mark.needs("queue")
    async def test_what_is_leased_is_nobody_elses_until_the_lease_ends(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        await publish(engine, "jobs", "a", "b")
        first = await engine.queue_source("jobs", "first")
        second = await engine.queue_source("jobs", "second")
        (held,) = await take(first, 1)

        others = await take(second)
        await settle(engine, second, others)
        await clock.advance(30_000 + 1_000)
        late = await take(second)

        assert (texts([held]), held.attempt, held.failed) == (["a"], 1, 0)
        assert held.until_ms == 30_000
        assert texts(others) == ["b"]
        assert [(texts([one]), one.attempt, one.failed) for one in late] == [(["a"], 2, 1)]

    async def test_what_is_settled_does_not_come_again(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b")
        source = await engine.queue_source("jobs", "c")
        await settle(engine, source, await take(source, 1))

        assert texts(await take(source)) == ["b"]

    @pytest.mark.asks("counts")
    async def test_a_queue_counts_what_became_of_its_records(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b")
        source = await engine.queue_source("jobs", "c")
        await settle(engine, source, await take(source, 1))

        view = await engine.admin.queue("jobs")

        assert (view.enqueued, view.acked, view.ready) == (2, 1, 1)

    async def test_a_failure_comes_again_when_it_is_due(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        await source.fail(await take(source), 5_000, "no money")
        too_early = await take(source)
        await clock.advance(5_000)

        assert too_early == []
        assert [(one.attempt, one.failed) for one in await take(source)] == [(2, 1)]

    async def test_what_fails_too_often_dies(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        (first,) = await take(source)
        await source.fail([first], 0, "no money")
        await source.fail(await take(source), 0, "no money")

        (letter,) = await engine.admin.dead_letters("jobs.dead", 10)

        assert await take(source) == []
        assert (letter.cause, letter.reason, letter.failed) == (f"jobs/0/{first.stored.offset}", "no money", 2)

    async def test_the_dead_are_copied_and_settled(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        await source.dead(await take(source), "no money", "Traceback")

        (letter,) = await engine.admin.dead_letters("jobs.dead", 10)

        assert await take(source) == []
        assert (letter.record.value, letter.reason, letter.traceback) == (b"a", "no money", "Traceback")

    async def test_what_is_released_comes_again_without_a_failure(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        await source.release(await take(source), 1_000)
        too_early = await take(source)
        await clock.advance(1_000)

        assert too_early == []
        assert [(one.attempt, one.failed) for one in await take(source)] == [(2, 0)]

    async def test_a_renewed_lease_lasts_as_long_as_asked_from_now(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        held = await take(source)
        await clock.advance(20_000)
        renewed = await source.extend(held, 30_000)
        await clock.advance(29_000)

        assert [one.until_ms for one in renewed] == [50_000]
        assert await take(source) == []
        await settle(engine, source, renewed)

    async def test_of_several_leases_the_lost_one_is_named_and_the_others_are_renewed(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b")
        source = await engine.queue_source("jobs", "c")
        lost, held = await take(source)
        await source.release([lost])

        with pytest.raises(LeaseLost) as refused:
            await source.extend([lost, held], 60_000)

        assert refused.value.offset == lost.stored.offset
        await settle(engine, source, [held])

    async def test_a_delayed_record_comes_when_it_is_due_and_an_old_one_never(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        now_ms = clock.now_ms()
        await engine.publish("jobs", records("later"), Attributes(due_ms=now_ms + 10_000))
        await engine.publish("jobs", records("brief"), Attributes(expire_ms=now_ms + 5_000))
        source = await engine.queue_source("jobs", "c")
        await clock.advance(6_000)
        too_early = await take(source)
        await clock.advance(4_000)

        assert too_early == []
        assert texts(await take(source)) == ["later"]

    async def test_it_waits_for_a_record_and_closing_wakes_it(self, engine: Engine, clock: ManualClock) -> None:
        source = await engine.queue_source("jobs", "c")
        waiting = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
        await clock.drain()
        await publish(engine, "jobs", "a")
        received = await waiting
        again = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
        await clock.drain()

        await source.close()

        assert texts(received) == ["a"]
        assert await again == []
        assert await take(source) == []

    async def test_of_a_queue_that_is_not_there_nothing_is_received(self, engine: Engine) -> None:
        with pytest.raises(UnknownQueue):
            await engine.queue_source("orders", "c")

    @pytest.mark.asks("view")
    async def test_a_view_of_a_stream_begins_at_a_time(self, engine: Engine, clock: ManualClock) -> None:
        await publish(engine, "orders", "a")
        await clock.advance(1_000)
        await publish(engine, "orders", "b")
        await engine.declare(QueueDefinition(name="view", view_of="orders", view_start=clock.now_ms()))
        await publish(engine, "view", "own")
        source = await engine.queue_source("view", "c")

        received = [*await take(source), *await take(source)]

        assert sorted((one.topic, one.stored.value) for one in received) == [("orders", b"b"), ("view", b"own")]

    @pytest.mark.needs("priority")
    async def test_what_has_a_higher_priority_comes_first(self, engine: Engine) -> None:
        await engine.declare(QueueDefinition(name="levels", config=QueueConfig(priorities=3)))
        for text, priority in (("low", 0), ("high", 2), ("middle", 1), ("high too", 2)):
            await engine.publish("levels", records(text), Attributes(priority=priority))
        source = await engine.queue_source("levels", "one")

        received = [one for _ in range(4) for one in await take(source, 1)]

        assert texts(received) == ["high", "high too", "middle", "low"]

    @pytest.mark.needs("single")
    async def test_only_one_consumer_at_a_time_gets_what_is_for_a_single_one(self, engine: Engine) -> None:
        await engine.declare(QueueDefinition(name="alone", config=QueueConfig(single=True)))
        await publish(engine, "alone", "a", "b")
        one, two = [await engine.queue_source("alone", name) for name in ("one", "two")]
        mine = await take(one, 1)

        assert await take(two) == []
        await settle(engine, one, mine)
        await one.close()
        assert texts(await take(two)) == ["b"]


class TestUnits:
    async def test_outputs_and_settlements_become_durable_together(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        await publish(engine, "jobs", "b")
        stream = await engine.stream_source("orders", "billing", "earliest", None)
        queue = await engine.queue_source("jobs", "c")
        unit = engine.unit()
        unit.publish("wide", records("k:1"))
        unit.publish("kept", records("x", "y"), Attributes(dedup=None))
        unit.settle(stream, await take(stream))
        unit.settle(queue, await take(queue))
        assert await read(engine, "wide") == []

        appended = await unit.submit()

        assert [(one.topic, one.count) for one in appended] == [("wide", 1), ("kept", 2)]
        assert await read(engine, "wide") == ["k:1"]
        assert texts(await take(await engine.queue_source("kept", "c"))) == ["x", "y"]
        assert await take(queue) == []
        assert (await engine.admin.groups("orders"))[0].lag == 0
        await stream.close()

    async def test_without_submit_there_is_no_trace(self, engine: Engine) -> None:
        engine.unit().publish("orders", records("a"))

        assert await read(engine, "orders") == []

    async def test_an_empty_one_is_nothing_to_do(self, engine: Engine) -> None:
        assert await engine.unit().submit() == []

    async def test_a_lost_lease_refuses_all_of_it(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b")
        source = await engine.queue_source("jobs", "c")
        lost, held = await take(source)
        await source.release([lost])
        unit = engine.unit()
        unit.publish("orders", records("x"))
        unit.settle(source, [held, lost])

        with pytest.raises(LeaseLost):
            await unit.submit()

        assert await read(engine, "orders") == []
        assert (await engine.admin.queue("jobs")).acked == 0
        await settle(engine, source, [held])

    async def test_who_has_left_the_group_is_refused_whole(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        received = await take(source)
        await source.close()
        unit = engine.unit()
        unit.publish("wide", records("x"))
        unit.settle(source, received)

        with pytest.raises((StaleGeneration, UnknownMember)):
            await unit.submit()

        assert await read(engine, "wide") == []
        assert (await engine.admin.groups("orders"))[0].lag == 1

    @pytest.mark.needs("dedup")
    async def test_an_id_that_is_known_is_left_out_of_it(self, engine: Engine) -> None:
        await engine.publish("jobs", records("a"), Attributes(dedup="1"))
        unit = engine.unit()
        for dedup in ("1", "2", "2"):
            unit.publish("jobs", records(dedup), Attributes(dedup=dedup))

        await unit.submit()

        assert await read(engine, "jobs") == ["a", "2"]

    async def test_what_another_source_gave_is_refused(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        stream = await engine.stream_source("orders", "billing", "earliest", None)
        queue = await engine.queue_source("jobs", "c")
        received = await take(stream)

        with pytest.raises(InvalidArgument):
            await settle(engine, queue, received)

        await stream.close()


class TestDeclaring:
    @pytest.mark.parametrize("same", [STREAM, WIDE, QUEUE, DEAD], ids=lambda each: each.name)
    async def test_the_same_again_changes_nothing(self, engine: Engine, same: TopicDefinition) -> None:
        before = await engine.admin.topics(), await engine.admin.queues()

        await engine.declare(same)

        assert (await engine.admin.topics(), await engine.admin.queues()) == before

    @pytest.mark.asks("alter")
    async def test_what_can_change_is_taken_over(self, engine: Engine) -> None:
        await engine.declare(TopicDefinition(name="orders", partitions=2, config=TopicConfig(age_ms=1_000)))
        await engine.declare(QueueDefinition(name="jobs", config=QueueConfig(lease_ms=5_000)))

        assert await engine.partitions("orders") == 2
        assert (await engine.admin.topic("orders")).config.age_ms == 1_000
        assert (await engine.admin.queue("jobs")).config.lease_ms == 5_000

    @pytest.mark.parametrize(
        ("other", "named"),
        [
            (TopicDefinition(name="wide", partitions=2), "partitions"),
            (TopicDefinition(name="orders", placement="md5-range"), "placement"),
            (TopicDefinition(name="jobs"), "belongs to a queue"),
            (QueueDefinition(name="jobs", config=QueueConfig(ordered=True)), "ordered"),
            (QueueDefinition(name="jobs", view_of="orders"), "of"),
            (QueueDefinition(name="jobs", lifetime="process"), "lifetime"),
        ],
    )
    async def test_what_cannot_change_is_named(
        self, engine: Engine, other: TopicDefinition | QueueDefinition, named: str
    ) -> None:
        before = await engine.admin.topics(), await engine.admin.queues()

        with pytest.raises(AlreadyExists) as refused:
            await engine.declare(other)

        assert refused.value.name == other.name
        assert named in refused.value.difference
        assert (await engine.admin.topics(), await engine.admin.queues()) == before

    async def test_all_who_declare_the_same_at_once_are_content(self, engine: Engine) -> None:
        new = QueueDefinition(name="new")

        await asyncio.gather(*(engine.declare(new) for _ in range(5)))

        assert [view.name for view in await engine.admin.queues()] == ["jobs", "jobs.dead", "kept", "new"]


class TestAdmin:
    async def test_topics_and_queues_are_listed_by_name(self, engine: Engine) -> None:
        topics, queues = await engine.admin.topics(), await engine.admin.queues()

        assert [view.name for view in topics] == ["jobs", "jobs.dead", "kept", "orders", "wide"]
        assert [view.queue for view in topics] == ["jobs", "jobs.dead", "kept", None, None]
        assert [view.name for view in queues] == ["jobs", "jobs.dead", "kept"]
        assert await engine.admin.topic("wide") == topics[-1]
        assert await engine.admin.queue("jobs") == queues[0]

    @pytest.mark.parametrize("taken", [STREAM, QUEUE], ids=lambda each: each.name)
    async def test_creating_refuses_what_is_there(self, engine: Engine, taken: TopicDefinition) -> None:
        with pytest.raises(AlreadyExists):
            await engine.admin.create(taken)

    async def test_what_is_created_is_there_and_what_is_removed_is_gone(self, engine: Engine) -> None:
        await engine.admin.create(QueueDefinition(name="new"))
        assert (await engine.admin.queue("new")).enqueued == 0

        await engine.admin.remove("new")

        with pytest.raises(UnknownQueue):
            await engine.admin.queue("new")
        with pytest.raises(UnknownTopic):
            await engine.admin.topic("new")
        with pytest.raises(UnknownTopic):
            await engine.admin.remove("new")

    @pytest.mark.asks("view")
    async def test_a_topic_with_a_view_stays(self, engine: Engine) -> None:
        await engine.declare(QueueDefinition(name="view", view_of="orders"))

        with pytest.raises(InUse):
            await engine.admin.remove("orders")

        assert (await engine.admin.topic("orders")).views == ("view",)

    @pytest.mark.asks("alter")
    async def test_altering_changes_what_is_there_only(self, engine: Engine) -> None:
        await engine.admin.alter(TopicDefinition(name="orders", config=TopicConfig(age_ms=1_000)))
        with pytest.raises(UnknownTopic):
            await engine.admin.alter(TopicDefinition(name="new"))
        with pytest.raises(UnknownQueue):
            await engine.admin.alter(QueueDefinition(name="new"))
        with pytest.raises(InvalidArgument):
            await engine.admin.alter(TopicDefinition(name="wide", partitions=1))

        assert (await engine.admin.topic("orders")).config.age_ms == 1_000

    async def test_a_group_shows_its_members_and_its_lag(self, engine: Engine) -> None:
        await publish(engine, "orders", "a", "b", "c")
        source = await engine.stream_source("orders", "billing", "earliest", None)
        await settle(engine, source, await take(source, 1))

        (view,) = await engine.admin.groups()

        assert (view.name, len(view.members), view.lag) == ("billing", 1, 2)
        assert [(row.topic, row.floor, row.high_watermark) for row in view.partitions] == [("orders", 1, 3)]
        assert await engine.admin.groups("wide") == []
        with pytest.raises(UnknownTopic):
            await engine.admin.groups("nowhere")
        await source.close()

    async def test_a_group_without_members_can_be_moved_and_forgotten(self, engine: Engine) -> None:
        await publish(engine, "orders", "a", "b", "c")
        source = await engine.stream_source("orders", "billing", "latest", None)
        with pytest.raises(GroupNotEmpty):
            await engine.admin.seek("billing", "orders", "earliest")
        with pytest.raises(GroupNotEmpty):
            await engine.admin.remove_group("billing")
        await source.close()

        rows = await engine.admin.seek("billing", "orders", 1)
        (moved,) = await engine.admin.groups()
        await engine.admin.remove_group("billing")

        assert (rows, moved.lag) == ([(0, 1)], 2)
        assert await engine.admin.groups() == []

    async def test_a_group_that_is_not_there_is_neither_moved_nor_forgotten(self, engine: Engine) -> None:
        with pytest.raises(UnknownGroup):
            await engine.admin.seek("billing", "orders", "earliest")
        with pytest.raises(UnknownGroup):
            await engine.admin.remove_group("billing")

    @pytest.mark.needs("peek")
    async def test_peeking_takes_nothing(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b", "c")
        source = await engine.queue_source("jobs", "c")
        await take(source, 1)

        peeked = await engine.admin.peek("jobs", 2)

        assert [(one.record.value, one.state, one.acquired) for one in peeked] == [
            (b"a", "leased", 1),
            (b"b", "ready", 0),
        ]
        assert texts(await take(source)) == ["b", "c"]

    @pytest.mark.needs("purge")
    async def test_purging_leaves_what_is_leased(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b", "c")
        source = await engine.queue_source("jobs", "c")
        held = await take(source, 1)

        assert await engine.admin.purge("jobs") == 2
        assert await engine.admin.purge("jobs") == 0
        await settle(engine, source, held)
        assert await take(source) == []

    @pytest.mark.asks("counts")
    @pytest.mark.needs("purge")
    async def test_what_is_purged_is_counted(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b", "c")
        source = await engine.queue_source("jobs", "c")
        await take(source, 1)
        await engine.admin.purge("jobs")

        view = await engine.admin.queue("jobs")

        assert (view.enqueued, view.purged, view.leased) == (3, 2, 1)

    async def test_the_dead_of_a_queue_go_home_as_many_as_asked(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a", "b", "c")
        source = await engine.queue_source("jobs", "c")
        await source.dead(await take(source), "no money", "")

        assert await engine.admin.redrive("jobs.dead", 2) == 2
        assert [one.record.value for one in await engine.admin.dead_letters("jobs.dead", 10)] == [b"c"]
        assert await engine.admin.redrive("jobs.dead") == 1

        home = await take(source)
        assert texts(home) == ["a", "b", "c"]
        assert {one.failed for one in home} == {0}

    async def test_the_dead_of_a_group_go_home_for_that_group_alone(self, engine: Engine) -> None:
        await publish(engine, "orders", "a")
        billing = await engine.stream_source("orders", "billing", "earliest", "jobs.dead")
        await billing.dead(await take(billing), "no money", "")

        assert await engine.admin.redrive("jobs.dead") == 1

        assert texts(await take(billing)) == ["a"]
        await billing.close()

    async def test_what_is_no_dead_letter_stays_where_it_is(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a")

        with pytest.raises(InvalidArgument):
            await engine.admin.redrive("jobs")

        assert [one.state for one in await engine.admin.peek("jobs", 10)] == ["ready"]

    async def test_the_dead_of_a_queue_that_is_gone_stay(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        await source.dead(await take(source), "no money", "")
        await engine.admin.remove("jobs")

        with pytest.raises(UnknownQueue):
            await engine.admin.redrive("jobs.dead")

        assert len(await engine.admin.dead_letters("jobs.dead", 10)) == 1

    @pytest.mark.needs("explain")
    async def test_the_life_of_an_event_is_told_in_order(self, engine: Engine) -> None:
        await publish(engine, "jobs", "a")
        source = await engine.queue_source("jobs", "c")
        await source.fail(await take(source), 0, "no money")
        await settle(engine, source, await take(source))

        steps = await engine.admin.explain("jobs", 0, 0)

        assert [step.what for step in steps] == ["published", "leased", "released", "leased", "acked"]
        assert "no money" in steps[2].detail
        assert [step.lsn for step in steps] == sorted(step.lsn for step in steps)

    @pytest.mark.needs("explain")
    async def test_the_life_of_what_was_never_there_is_not_told(self, engine: Engine) -> None:
        with pytest.raises(UnknownTopic):
            await engine.admin.explain("nowhere", 0, 0)
        with pytest.raises(UnknownPartition):
            await engine.admin.explain("orders", 1, 0)

    @pytest.mark.needs("consumed")
    async def test_the_disk_of_what_is_consumed_comes_back(self, engine: Engine) -> None:
        source = await engine.queue_source("jobs", "c")
        for _ in range(5):
            await publish(engine, "jobs", "x" * 100_000)
            await settle(engine, source, await take(source))

        freed = await engine.admin.reclaim()

        (partition,) = (await engine.admin.topic("jobs")).partitions
        assert freed >= SEGMENT_BYTES_MIN
        assert partition.log_start == partition.high_watermark == 5

    @pytest.mark.parametrize("method", ["peek", "dead_letters", "redrive"])
    async def test_of_a_queue_that_is_not_there_nothing_is_known(self, engine: Engine, method: str) -> None:
        with pytest.raises(UnknownQueue):
            await getattr(engine.admin, method)("nowhere", 1)
        with pytest.raises(UnknownQueue):
            await engine.admin.purge("nowhere")


class TestItself:
    async def test_what_it_does_by_itself_is_said_and_what_it_refuses_has_a_reason(self, engine: Engine) -> None:
        capabilities = engine.capabilities

        assert {"unit", "delay", "ttl", "dedup", "ordered", "compact", "consumed", "extend"} <= capabilities.keys()
        assert all(each.how for each in capabilities.values() if each.support != "native")
