"""The engine of a server beyond what the suite asks of every engine: connections that break, and who is at the end."""

import asyncio
import subprocess
from pathlib import Path

import pytest
import trustme

from isthmus.clock import ManualClock
from isthmus.definition import TopicDefinition
from isthmus.engines.connect import open_engine
from isthmus.engines.native import NativeEngine
from isthmus.engines.native_link import LinkLost, Target
from isthmus.errors import Closed, EngineError, InvalidArgument, LeaseLost, UnitTooLarge
from isthmus.limits import UNIT_BYTES_MAX
from isthmus.record import Record
from isthmus.server.config import Settings
from support.brokers import MANY_BYTES
from support.cli import PROGRAM, started
from support.echo import echoing
from support.engines import declare_all, publish, read, settle, take, texts, texts_of
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
        assert client.capabilities["fair"].how == "comes later"
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


@pytest.mark.process
async def test_a_server_that_was_killed_and_is_back_is_gone_on_with(tmp_path: Path) -> None:
    store = str(tmp_path / "data")

    def serve(port: int) -> tuple[subprocess.Popen[str], int]:
        process = started([*PROGRAM, "serve", store, "--native", str(port), "--quiet"])
        assert process.stdout is not None
        return process, int(process.stdout.readline().rpartition(":")[2])

    first, port = await asyncio.to_thread(serve, 0)
    client = await open_engine(f"isthmus://127.0.0.1:{port}")
    await client.start()
    await declare_all(client)
    await publish(client, "jobs", "a", "b")
    source = await client.queue_source("jobs", "c")
    held = await take(source, 1)
    reader = await client.reader("orders", "earliest")
    waiting = asyncio.ensure_future(reader.read(MANY_BYTES, 60_000))
    first.kill()
    await asyncio.to_thread(first.communicate)

    second, _ = await asyncio.to_thread(serve, port)
    await publish(client, "orders", "x")

    chunk = await waiting
    assert chunk is not None
    assert texts_of(chunk) == ["x"]
    with pytest.raises(LeaseLost):
        await settle(client, source, held)
    assert sorted(texts(await take(source))) == ["a", "b"]
    await client.close()
    second.terminate()
    await asyncio.to_thread(second.communicate)
    assert second.returncode == 0


async def test_over_tls_with_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    async with served(settings=Settings(native="0", tls_cert=str(tmp_path / "server.pem"))) as server:
        secure = server.url.replace("isthmus:", "isthmuss:")
        client = await server.connect(f"{secure}?ca={tmp_path / 'ca.pem'}")
        await declare_all(client)
        await publish(client, "orders", "a" * 300_000)

        assert await read(client, "orders") == ["a" * 300_000]
        with pytest.raises(EngineError, match="certificate verify failed"):
            await server.connect(secure)
