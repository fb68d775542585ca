"""The engine on a real RabbitMQ, where it differs from others: what the suite of all engines does not ask."""

import asyncio
from collections.abc import AsyncGenerator

import pika
import pytest

from isthmus.clock import ManualClock, SystemClock
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.base import Attributes
from isthmus.engines.connect import open_engine
from isthmus.engines.rabbitmq import delays, feed
from isthmus.engines.rabbitmq.engine import RabbitEngine
from isthmus.errors import AccessDenied, AlreadyExists, EngineError, Overloaded, UnknownTopic, Unsupported
from support.brokers import MANY_BYTES, records
from support.engines import QUEUE, declare_all, publish, read, settle, take, texts
from support.rabbitmq import RabbitMQ, free_ports
from support.rabbitmq_engine import on_rabbitmq, rabbitmq_engine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(rabbit: RabbitMQ, clock: ManualClock) -> AsyncGenerator[RabbitEngine]:
    async with on_rabbitmq(rabbit, "engine", clock) as engine:
        await declare_all(engine)
        yield engine


def channel_of(rabbit: RabbitMQ, vhost: str) -> pika.adapters.blocking_connection.BlockingChannel:
    channel = pika.BlockingConnection(pika.URLParameters(f"{rabbit.url}{vhost}")).channel()
    channel.confirm_delivery()
    return channel


async def test_who_may_not_log_in_is_told_so_and_nobody_answering_too(rabbit: RabbitMQ) -> None:
    (port,) = free_ports(1)
    for url, kind in (
        (f"amqp://guest:wrong@127.0.0.1:{rabbit.port}", AccessDenied),
        (f"amqp://127.0.0.1:{rabbit.port}/nowhere", AccessDenied),
        (f"amqp://127.0.0.1:{port}", EngineError),
    ):
        engine = await open_engine(url)

        with pytest.raises(kind):
            await engine.start()

        await engine.close()


async def test_other_clients_publish_to_a_stream_and_a_queue_of_ours(engine: RabbitEngine, rabbit: RabbitMQ) -> None:
    channel = channel_of(rabbit, "engine")
    channel.basic_publish("orders", "o-1", b"a", pika.BasicProperties(headers={"n": 1}))
    channel.basic_publish("", "jobs", b"b")
    channel.connection.close()
    stream = await engine.stream_source("orders", "billing", "earliest", None)
    queue = await engine.queue_source("jobs", "c")

    (event,), (job,) = await take(stream), await take(queue)

    assert (event.stored.offset, event.stored.key, event.stored.value) == (0, b"o-1", b"a")
    assert (job.stored.key, job.stored.value) == (None, b"b")


async def test_limits_of_a_queue_are_kept_by_the_broker(engine: RabbitEngine) -> None:
    bound = QueueDefinition(name="bound", config=QueueConfig(max_events=1))
    await engine.declare(bound)
    for _ in range(20):  # a quorum queue notices a little later that it is full
        try:
            await publish(engine, "bound", "a")
        except Overloaded:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("it takes everything")


async def test_priorities_go_first(engine: RabbitEngine) -> None:
    await engine.declare(QueueDefinition(name="urgent", config=QueueConfig(priorities=10)))
    for priority in (0, 9, 5):
        await engine.publish("urgent", records(f"p{priority}"), Attributes(priority=priority))
    source = await engine.queue_source("urgent", "c")
    received = [one for _ in range(3) for one in await take(source, 1)]

    assert texts(received) == ["p9", "p5", "p0"]


async def test_of_a_single_consumer_queue_the_next_takes_over(engine: RabbitEngine) -> None:
    await engine.declare(QueueDefinition(name="one", config=QueueConfig(single=True)))
    await publish(engine, "one", "a")
    first, second = await engine.queue_source("one", "1"), await engine.queue_source("one", "2")
    held = await take(first)
    nothing = await take(second)
    await first.close()

    assert (texts(held), nothing) == (["a"], [])
    assert texts(await take(second)) == ["a"]


async def test_members_of_a_group_follow_one_another(engine: RabbitEngine) -> None:
    await publish(engine, "orders", "a", "b")
    first = await engine.stream_source("orders", "billing", "earliest", None)
    second = await engine.stream_source("orders", "billing", "earliest", None)
    await settle(engine, first, await take(first, 1))
    nothing = await take(second)
    await first.close()

    (view,) = await engine.admin.groups()
    assert (nothing, len(view.members)) == ([], 1)
    assert texts(await take(second)) == ["b"]


async def test_a_long_delay_waits_in_a_queue_for_it(rabbit: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delays, "NEAR_MS", 0)
    async with on_rabbitmq(rabbit, "delay", SystemClock()) as engine:
        engine._delays = delays.Delays(engine._link, engine.clock, near_ms=300)
        await engine.declare(QueueDefinition(name="jobs"))
        now_ms = engine.clock.now_ms()
        await engine.publish("jobs", records("k:later"), Attributes(due_ms=now_ms + 1_200))
        ready = (await engine.admin.queue("jobs")).ready
        source = await engine.queue_source("jobs", "c")

        (late,) = await source.receive(10, MANY_BYTES, 10_000)

        assert ready == 0
        assert engine.clock.now_ms() >= now_ms + 1_200
        assert (late.stored.key, late.stored.value) == (b"k", b"k:later")


async def test_what_rabbitmq_lets_expire_is_a_dead_letter_that_goes_home(
    engine: RabbitEngine, rabbit: RabbitMQ
) -> None:
    brief = QueueDefinition(name="brief", config=QueueConfig(ttl_ms=1, dead="jobs.dead"))
    await engine.declare(brief)
    await publish(engine, "brief", "a")
    while not (letters := await engine.admin.dead_letters("jobs.dead", 10)):  # noqa: ASYNC110 - it is asked, and tells nobody
        await asyncio.sleep(0.02)

    assert [(each.reason, each.cause.split("/")[0], each.record.value) for each in letters] == [
        ("RabbitMQ: expired", "brief", b"a")
    ]
    await engine.declare(QueueDefinition(name="brief", config=QueueConfig(dead="jobs.dead")))
    assert await engine.admin.redrive("jobs.dead") == 1
    assert texts(await take(await engine.queue_source("brief", "c"))) == ["a"]


async def test_without_the_management_api_limits_stay_as_they_are(rabbit: RabbitMQ) -> None:
    with rabbit.vhost("bare") as url:
        async with rabbitmq_engine(url) as engine:
            await engine.declare(TopicDefinition(name="orders", config=TopicConfig(age_ms=60_000)))

            with pytest.raises(AlreadyExists, match="management API"):
                await engine.declare(TopicDefinition(name="orders"))
            with pytest.raises(Unsupported):
                await engine.declare(QueueDefinition(name="view", view_of="orders"))


async def test_a_queue_that_others_have_removed_is_not_there(engine: RabbitEngine, rabbit: RabbitMQ) -> None:
    channel = channel_of(rabbit, "engine")
    channel.exchange_delete("orders")
    channel.connection.close()

    with pytest.raises(UnknownTopic):
        await publish(engine, "orders", "a")
    await publish(engine, "wide", "k:a")  # on a new channel

    assert await read(engine, "wide") == ["k:a"]


async def test_after_the_connection_was_lost_all_goes_on(engine: RabbitEngine, rabbit: RabbitMQ) -> None:
    stream = await engine.stream_source("orders", "billing", "earliest", None)
    queue = await engine.queue_source("jobs", "c")
    await publish(engine, "jobs", "a")
    (held,) = await take(queue)
    connection = engine._link._connection
    assert connection is not None
    assert connection.transport is not None
    await connection.transport.connection.close(ConnectionResetError())

    await publish(engine, "orders", "o:1")
    again = await queue.receive(10, MANY_BYTES, 10_000)

    assert texts(again) == ["a"]
    assert again[0].token != held.token
    received = await stream.receive(10, MANY_BYTES, 10_000)
    assert texts(received) == ["o:1"]
    await settle(engine, stream, received)


async def test_a_consumer_that_has_fallen_silent_begins_again(engine: RabbitEngine, clock: ManualClock) -> None:
    source = await engine.queue_source("jobs", "c")
    assert await take(source) == []
    watched = source._feed  # type: ignore[attr-defined]
    await watched._channel.basic_cancel(watched._tag)  # as if the broker had forgotten it
    await publish(engine, "jobs", "a")
    assert await take(source) == []

    for _ in range(feed.STRIKES + 1):
        await clock.advance(feed.WATCH_MS)
        await asyncio.sleep(0.1)

    assert texts(await take(source)) == ["a"]
    assert watched.restarts == 1


async def test_the_failures_of_an_event_are_counted_whoever_takes_it_next(engine: RabbitEngine) -> None:
    await publish(engine, QUEUE.name, "a")
    first = await engine.queue_source("jobs", "1")
    (one,) = await take(first)
    await first.fail([one], 0, "no money")
    await first.close()
    second = await engine.queue_source("jobs", "2")

    (again,) = await take(second)

    assert (again.failed, again.stored.offset) == (1, one.stored.offset)
    assert again.attempt > one.attempt
