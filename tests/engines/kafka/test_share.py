"""Queues that a share group keeps, on a real Apache Kafka."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from isthmus.clock import SystemClock
from isthmus.engines.base import Received, Source
from isthmus.engines.kafka.engine import KafkaEngine
from isthmus.engines.kafka.share import ShareSource
from support.brokers import MANY_BYTES
from support.engines import declare_all, publish, settle, texts
from support.kafka_engine import empty, kafka_engine

FIRST_MS = 20_000
"""A share group gives a new member its first record after a heartbeat or two."""

NOTHING_MS = 2_000


@pytest.fixture
async def engine(apache: str) -> AsyncGenerator[KafkaEngine]:
    await asyncio.to_thread(empty, apache)
    async with kafka_engine(apache, SystemClock(), queues="share") as on_kafka:
        await declare_all(on_kafka)
        yield on_kafka


async def take(source: Source, count: int, wait_ms: int = FIRST_MS) -> list[Received]:
    found: list[Received] = []
    while len(found) < count and (more := await source.receive(count - len(found), MANY_BYTES, wait_ms)):
        found += more
    return found


async def test_the_cluster_leases_and_what_is_settled_does_not_come_again(engine: KafkaEngine) -> None:
    await publish(engine, "jobs", "a", "b", "c")
    source = await engine.queue_source("jobs", "one")
    received = await take(source, 3)
    await settle(engine, source, received)

    assert isinstance(source, ShareSource)
    assert (texts(received), [one.attempt for one in received]) == (["a", "b", "c"], [1, 1, 1])
    assert await take(source, 1, NOTHING_MS) == []


async def test_what_fails_comes_again_later_and_dies_at_its_limit(engine: KafkaEngine) -> None:
    await publish(engine, "jobs", "a")
    source = await engine.queue_source("jobs", "one")
    (first,) = await take(source, 1)
    await source.fail([first], 500, "no money")
    (second,) = await take(source, 1)
    await source.fail([second], 0, "no money")

    (letter,) = await engine.admin.dead_letters("jobs.dead", 10)

    assert [(one.attempt, one.failed) for one in (first, second)] == [(1, 0), (2, 1)]
    assert (letter.cause, letter.reason, letter.failed) == ("jobs/0/0", "no money", 2)


async def test_what_is_released_comes_again_at_once(engine: KafkaEngine) -> None:
    await publish(engine, "jobs", "a")
    source = await engine.queue_source("jobs", "one")
    await source.release(await take(source, 1))

    (again,) = await take(source, 1)

    assert (texts([again]), again.failed) == (["a"], 0)


async def test_what_a_consumer_leaves_behind_goes_to_others(engine: KafkaEngine) -> None:
    await publish(engine, "jobs", "a")
    first = await engine.queue_source("jobs", "one")
    assert texts(await take(first, 1)) == ["a"]
    await first.close()

    second = await engine.queue_source("jobs", "two")

    assert texts(await take(second, 1)) == ["a"]
