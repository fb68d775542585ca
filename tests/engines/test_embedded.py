"""The port on a broker of this process: what is its own. What every engine does is asked in test_suite.py."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

import pytest

from isthmus.clock import ManualClock
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.base import Attributes, Engine
from isthmus.engines.connect import open_engine
from isthmus.engines.embedded import EmbeddedEngine, definition_of, options_of
from isthmus.errors import AlreadyExists, InvalidArgument
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.record import Record
from support.brokers import MANY_BYTES, records
from support.engines import STREAM, declare_all, publish, read, settle, take, texts

LARGE_BYTES = 900_000


def embedded(engine: Engine) -> EmbeddedEngine:
    assert isinstance(engine, EmbeddedEngine)
    return engine


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(clock: ManualClock) -> AsyncGenerator[EmbeddedEngine]:
    opened = embedded(await open_engine("memory://", clock=clock, segment_bytes=SEGMENT_BYTES_MIN))
    await declare_all(opened)
    yield opened
    await opened.close()


class TestPublishersThatWait:
    async def test_keep_their_order(self, tmp_path: Path) -> None:
        engine = embedded(await open_engine(str(tmp_path)))
        await engine.declare(STREAM)
        large = [Record(b"%03d" % number + bytes(LARGE_BYTES)) for number in range(40)]
        small = [Record(b"%03d" % number) for number in range(40, 60)]

        running = [asyncio.ensure_future(engine.publish("orders", [record])) for record in large + small]
        await asyncio.sleep(0)
        waiting = engine._queued
        placed = [appended.base_offset for (appended,) in await asyncio.gather(*running)]

        assert waiting > 20
        assert placed == list(range(60))
        await engine.close()

    async def test_and_give_up_let_the_next_ones_pass(self, tmp_path: Path) -> None:
        engine = embedded(await open_engine(str(tmp_path)))
        await engine.declare(STREAM)
        record = Record(bytes(LARGE_BYTES))
        running = [asyncio.ensure_future(engine.publish("orders", [record])) for _ in range(30)]
        await asyncio.sleep(0)
        assert engine._queued
        for each in running[-3:-1]:
            each.cancel()

        done = await asyncio.gather(*running, return_exceptions=True)

        assert [isinstance(each, asyncio.CancelledError) for each in done] == [False] * 27 + [True] * 2 + [False]
        assert engine._queued == 0
        await engine.close()


class TestSessions:
    async def test_leases_without_time_end_with_the_engine(self) -> None:
        first, second = [await open_engine("memory://test_sessions") for _ in range(2)]
        await first.declare(QueueDefinition(name="jobs", config=QueueConfig(lease_ms=None)))
        await publish(first, "jobs", "a")
        (held,) = await take(await first.queue_source("jobs", "c"))
        source = await second.queue_source("jobs", "c")
        before = await take(source)
        await first.close()

        (again,) = await source.receive(1, MANY_BYTES, 5_000)

        assert (held.until_ms, before) == (None, [])
        assert (texts([again]), again.attempt) == (["a"], 2)
        await second.close()

    async def test_consumers_of_one_name_are_told_apart(self, engine: EmbeddedEngine) -> None:
        await publish(engine, "jobs", "a", "b")
        first, second = [await engine.queue_source("jobs", "c") for _ in range(2)]
        await take(first, 1)
        await take(second, 1)

        leased = [(await engine.admin.explain("jobs", 0, offset))[-1] for offset in range(2)]

        assert [step.what for step in leased] == ["leased"] * 2
        assert leased[0].who != leased[1].who


class TestViews:
    @pytest.mark.parametrize(
        ("start", "seen"), [("earliest", ["a", "b", "c"]), ("latest", ["c"]), ("time", ["b", "c"])]
    )
    async def test_begin_where_they_are_declared_to(
        self, engine: EmbeddedEngine, clock: ManualClock, start: Literal["earliest", "latest", "time"], seen: list[str]
    ) -> None:
        await publish(engine, "orders", "a")
        await clock.advance(1_000)
        await publish(engine, "orders", "b")
        view_start = clock.now_ms() if start == "time" else start
        await engine.declare(QueueDefinition(name="view", view_of="orders", view_start=view_start))
        await publish(engine, "orders", "c")

        source = await engine.queue_source("view", "c")

        assert texts(await take(source)) == seen

    async def test_are_not_begun_again_by_who_declares_the_same(self, engine: EmbeddedEngine) -> None:
        await publish(engine, "orders", "a")
        view = QueueDefinition(name="view", view_of="orders")
        await engine.declare(view)
        source = await engine.queue_source("view", "c")
        await settle(engine, source, await take(source))

        await engine.declare(view)

        assert await take(source) == []


class TestReaders:
    async def test_go_through_partitions_in_turn(self, engine: EmbeddedEngine) -> None:
        await publish(engine, "wide", *(f"{key}:{number}" for number in range(3) for key in "abcdefgh"))
        reader = await engine.reader("wide", "earliest", stop="end")

        chunks = [await reader.read(1, 0) for _ in range(3)]

        assert sorted(chunk.partition for chunk in chunks if chunk is not None) == [0, 1, 2]

    async def test_of_an_offset_that_is_gone_begin_at_what_is_left(
        self, engine: EmbeddedEngine, clock: ManualClock
    ) -> None:
        await engine.declare(TopicDefinition(name="orders", config=TopicConfig(age_ms=1_000)))
        await publish(engine, "orders", "old")
        reader = await engine.reader("orders", 0)
        await clock.advance(60_000)
        await publish(engine, "orders", "new")
        await engine.admin.reclaim()

        chunk = await reader.read(MANY_BYTES, 0)

        assert chunk is not None
        assert [record.value for record in chunk.records] == [b"new"]
        await reader.close()

    async def test_who_stops_waiting_is_cancelled_and_may_ask_again(
        self, engine: EmbeddedEngine, clock: ManualClock
    ) -> None:
        reader = await engine.reader("orders", "earliest")
        waiting = asyncio.ensure_future(reader.read(MANY_BYTES, 60_000))
        await clock.drain()
        waiting.cancel()
        await asyncio.wait([waiting])
        await publish(engine, "orders", "a")

        assert waiting.cancelled()
        assert await reader.read(MANY_BYTES, 0) is not None
        await reader.close()


class TestShapes:
    async def test_a_topic_is_described_as_it_was_declared(self, engine: EmbeddedEngine) -> None:
        asked = TopicDefinition(name="new", partitions=1, placement="single", config=TopicConfig(age_ms=7))
        await engine.declare(asked)

        assert definition_of(engine.broker.topic("default", "new").set) == asked

    async def test_a_topic_is_not_declared_over_a_queue(self, engine: EmbeddedEngine) -> None:
        with pytest.raises(AlreadyExists, match="belongs to a queue"):
            await engine.declare(TopicDefinition(name="jobs"))

    def test_attributes_are_handed_on(self) -> None:
        asked = Attributes(due_ms=1, expire_ms=2, priority=3, dedup="4")

        found = options_of(asked, "gzip")

        assert (found.due_ms, found.expire_ms, found.priority, found.dedup) == (1, 2, 3, "4")
        assert found.compression == "gzip"
        assert options_of(None, "gzip").compression == "gzip"
        assert options_of(None, "none") is options_of(None, "none")

    async def test_deliveries_belong_to_the_source_that_gave_them(self, engine: EmbeddedEngine) -> None:
        await publish(engine, "jobs", "a")
        queue = await engine.queue_source("jobs", "c")
        stream = await engine.stream_source("jobs", "billing", "earliest", None)
        received = await take(queue)

        with pytest.raises(InvalidArgument, match="another source"):
            await stream.fail(received, 0, "")
        with pytest.raises(InvalidArgument, match="another source"):
            await queue.fail(await take(stream), 0, "")

        await stream.close()

    async def test_a_unit_takes_the_sources_of_its_own_kind_of_engine(self, engine: EmbeddedEngine) -> None:
        class Foreign:
            pass

        with pytest.raises(InvalidArgument, match="another engine"):
            engine.unit().settle(Foreign(), [])  # type: ignore[arg-type]

    async def test_a_closed_source_hands_back_what_came_too_late(
        self, engine: EmbeddedEngine, clock: ManualClock
    ) -> None:
        source = await engine.queue_source("jobs", "c")
        waiting = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
        await clock.drain()

        await asyncio.gather(engine.publish("jobs", records("a")), source.close())

        assert await waiting == []
        await clock.drain()
        assert (await engine.admin.queue("jobs")).ready == 1

    async def test_the_dead_of_a_group_go_to_a_stream_too(self, engine: EmbeddedEngine) -> None:
        await publish(engine, "orders", "a")
        source = await engine.stream_source("orders", "billing", "earliest", "wide")

        await source.dead(await take(source), "no money", "")

        assert await read(engine, "wide") == ["a"]
        await source.close()
