"""Hopping: an engine on another event loop than its caller's. What the calls do is asked in test_suite.py."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from isthmus.client.loop_thread import LoopThread
from isthmus.clock import SystemClock
from isthmus.engines.base import Engine
from isthmus.engines.connect import open_engine
from isthmus.engines.hop import Hop, HoppingEngine
from isthmus.errors import Closed, UnknownTopic
from isthmus.record import Record
from support.brokers import MANY_BYTES
from support.engines import declare_all, publish, read, settle, take, texts


@pytest.fixture
def home() -> Generator[LoopThread]:
    """The loop that the broker lives on."""
    thread = LoopThread("home")
    yield thread
    thread.stop()


@pytest.fixture
def inner(home: LoopThread) -> Engine:
    """An engine at home."""
    engine = home.run(open_engine("memory://"))
    home.run(declare_all(engine))
    return engine


@pytest.fixture
def loop(home: LoopThread) -> asyncio.AbstractEventLoop:
    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    return home.run(running())


@pytest.fixture
def engine(inner: Engine, loop: asyncio.AbstractEventLoop) -> HoppingEngine:
    return HoppingEngine(inner, loop)


class TestHops:
    async def test_work_runs_over_there_and_its_answer_comes_here(self, loop: asyncio.AbstractEventLoop) -> None:
        async def where() -> str:
            return threading.current_thread().name

        assert await Hop(loop, "x").to(where()) == "home"
        assert threading.current_thread().name != "home"

    async def test_errors_come_back_as_they_are(self, engine: HoppingEngine) -> None:
        with pytest.raises(UnknownTopic, match="nowhere"):
            await engine.partitions("nowhere")
        with pytest.raises(UnknownTopic, match="nowhere"):
            await engine.admin.topic("nowhere")

    async def test_who_stops_waiting_stops_the_work(self, loop: asyncio.AbstractEventLoop) -> None:
        begun, ended = threading.Event(), threading.Event()

        async def work() -> None:
            begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.set()

        waiting = asyncio.ensure_future(Hop(loop, "x").to(work()))
        assert await asyncio.to_thread(begun.wait, 60)
        waiting.cancel()

        assert await asyncio.to_thread(ended.wait, 60)
        assert waiting.cancelled()

    async def test_the_clock_is_one_of_the_callers_loop(self, engine: HoppingEngine, inner: Engine) -> None:
        assert isinstance(engine.clock, SystemClock)
        assert engine.clock is not inner.clock

        await engine.clock.sleep_until(engine.clock.monotonic_ms())

    async def test_what_it_says_of_itself_is_what_the_inner_one_says(
        self, engine: HoppingEngine, inner: Engine
    ) -> None:
        assert (engine.url, engine.capabilities) == (inner.url, inner.capabilities)


class TestWork:
    async def test_a_unit_with_deliveries_of_both_lenses(self, engine: HoppingEngine) -> None:
        await publish(engine, "orders", "a")
        await publish(engine, "jobs", "b")
        stream = await engine.stream_source("orders", "billing", "earliest", None)
        queue = await engine.queue_source("jobs", "c")
        received = await take(stream), await take(queue)

        for source, each in zip((stream, queue), received, strict=True):
            await settle(engine, source, each)

        assert [texts(each) for each in received] == [["a"], ["b"]]
        assert (await engine.admin.queue("jobs")).acked == 1
        assert (await engine.admin.groups("orders"))[0].lag == 0
        await stream.close()
        await queue.close()

    async def test_a_reader_here_is_woken_by_a_publisher_there(
        self, engine: HoppingEngine, inner: Engine, home: LoopThread
    ) -> None:
        reader = await engine.reader("orders", "earliest")
        waiting = asyncio.ensure_future(reader.read(MANY_BYTES, 60_000))

        await asyncio.wrap_future(home.submit(publish(inner, "orders", "a")))

        chunk = await waiting
        assert chunk is not None
        assert [record.value for record in chunk.records] == [b"a"]
        await reader.close()

    async def test_calls_from_here_keep_their_order(self, engine: HoppingEngine) -> None:
        await asyncio.gather(*(publish(engine, "orders", str(number)) for number in range(100)))

        assert await read(engine, "orders") == [str(number) for number in range(100)]


class TestGivingUp:
    """A waiter that is cancelled while its result is on the way between the loops."""

    @pytest.mark.parametrize("kind", ["stream", "queue"])
    async def test_what_was_received_for_it_is_handed_back(
        self, engine: HoppingEngine, inner: Engine, home: LoopThread, kind: str
    ) -> None:
        source = (
            await engine.stream_source("orders", "billing", "earliest", None)
            if kind == "stream"
            else await engine.queue_source("jobs", "me")
        )
        receiving = asyncio.ensure_future(source.receive(10, MANY_BYTES, 60_000))
        await turns(5)
        home.run(turns(5))

        home.run(inner.publish("orders" if kind == "stream" else "jobs", [Record(b"late", b"k")]))
        home.run(turns(50))
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)

        again = await source.receive(10, MANY_BYTES, 10_000)
        assert [one.stored.value for one in again] == [b"late"]
        await source.close()

    async def test_a_source_that_nobody_got_is_closed(
        self, engine: HoppingEngine, inner: Engine, home: LoopThread
    ) -> None:
        joining = asyncio.ensure_future(engine.stream_source("orders", "billing", "earliest", None))
        await turns(2)
        home.run(turns(50))

        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        home.run(turns(50))

        (group,) = home.run(inner.admin.groups())
        assert group.members == ()

    async def test_work_that_has_not_ended_is_cancelled_there(
        self, home: LoopThread, loop: asyncio.AbstractEventLoop
    ) -> None:
        undone: list[int] = []
        ended = threading.Event()

        async def work() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return 1

        async def undo(result: int) -> None:
            undone.append(result)

        waiting = asyncio.ensure_future(Hop(loop, "memory://").handed_over(work(), undo))
        await turns(5)
        home.run(turns(5))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

        assert await asyncio.to_thread(ended.wait, 10)
        assert undone == []


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class TestAfterTheEnd:
    async def test_an_engine_whose_loop_has_ended_is_closed(self, engine: HoppingEngine, home: LoopThread) -> None:
        source = await engine.queue_source("jobs", "c")
        await engine.close()
        home.stop()

        with pytest.raises(Closed):
            await publish(engine, "orders", "a")

        await source.close()
        await engine.close()
