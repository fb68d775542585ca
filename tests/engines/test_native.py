"""The engine of a server beyond what the suite asks of every engine: connections that break, and who is at the end."""

import asyncio
from pathlib import Path

import pytest

from isthmus.clock import ManualClock
from isthmus.definition import TopicDefinition
from isthmus.engines.connect import open_engine
from isthmus.engines.native import NativeEngine
from isthmus.engines.native_link import LinkLost, Target
from isthmus.errors import Closed, EngineError, InvalidArgument, UnitTooLarge
from isthmus.limits import UNIT_BYTES_MAX
from isthmus.record import Record
from support.echo import echoing
from support.engines import declare_all, publish, read, take
from support.served import served


async def test_it_connects_again_when_something_is_asked() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        before = await client.link()

        before.end("the test")
        await before.lost
        await publish(client, "orders", "a")

        assert await client.link() is not before
        assert await read(client, "orders") == ["a"]


async def test_what_was_on_its_way_is_in_doubt_or_asked_again() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        looking = asyncio.ensure_future(client.partitions("wide"))
        publishing = asyncio.ensure_future(publish(client, "orders", "a"))
        await asyncio.sleep(0)

        (await client.link()).end("the test")

        assert await looking == 3
        with pytest.raises(LinkLost) as lost:
            await publishing
        assert lost.value.retryable


async def test_a_server_that_is_away_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    clock = ManualClock()
    async with served(tmp_path / "data", clock) as server:
        client = await server.connect()
        await declare_all(client)
        await server.server.stop()
        asked = asyncio.ensure_future(client.partitions("wide"))

        while not asked.done():
            await asyncio.sleep(0.001)
            await clock.advance(1_000)

        with pytest.raises(EngineError, match="no server can be reached"):
            await asked


@pytest.mark.parametrize("target", [Target(path="/nowhere/isthmus.sock"), Target(host="127.0.0.1", port=1)])
async def test_where_nobody_listens_the_start_fails(target: Target) -> None:
    engine = NativeEngine("isthmus://x", target, ManualClock())

    with pytest.raises(EngineError, match="no server can be reached at") as failed:
        await engine.start()

    assert failed.value.retryable
    await engine.close()


async def test_a_server_of_another_protocol_is_no_server() -> None:
    async with echoing() as echo:
        engine = NativeEngine("isthmus://x", Target(host="127.0.0.1", port=echo.listener.port), ManualClock())
        starting = asyncio.ensure_future(engine.start())
        door = await echo.door()
        await echo.until(lambda: door.buffer)
        door.answer("x" * 20)

        with pytest.raises(EngineError, match="hung up on a greeting"):
            await starting

        await engine.close()


async def test_what_is_closed_stays_closed() -> None:
    async with served() as server:
        client = await server.connect()
        await client.close()

        with pytest.raises(Closed):
            await client.start()
        with pytest.raises(Closed):
            await client.link()


async def test_more_than_a_unit_holds_is_refused_here() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        much = [Record(b"x" * 1_000_000)] * 17
        unit = client.unit()
        for record in much:
            unit.publish("orders", [record])

        with pytest.raises(UnitTooLarge) as refused:
            await client.publish("orders", much)
        with pytest.raises(UnitTooLarge):
            await unit.submit()

        assert refused.value.limit == UNIT_BYTES_MAX


async def test_sources_of_another_engine_are_refused() -> None:
    async with served() as server:
        one, other = await server.connect(), await server.connect()
        await declare_all(one)
        source = await one.queue_source("jobs", "c")

        with pytest.raises(InvalidArgument):
            other.unit().settle(source, await take(source))


async def test_it_says_what_the_server_keeps() -> None:
    async with served() as server:
        client = await server.connect()

        assert client.capabilities["unit"].support == "native"
        assert client.capabilities["priority"].how == "comes later"
        assert client.url == server.url


async def test_a_large_publish_waits_until_the_server_reads() -> None:
    async with served() as server:
        client = await server.connect()
        await client.declare(TopicDefinition(name="large"))
        large = [Record(b"x" * 500_000)] * 10

        await asyncio.gather(*(client.publish("large", large) for _ in range(10)), publish(client, "large", "last"))

        assert (await client.admin.topic("large")).partitions[0].high_watermark == 101


async def test_an_address_without_a_server_is_refused_where_it_is_read() -> None:
    with pytest.raises(InvalidArgument):
        await open_engine("isthmus://host:1/path")

    engine = await open_engine("isthmus://ann:secret@localhost")

    assert engine.url == "isthmus://ann@localhost"
