"""Readers and sources of a server across connections."""

import asyncio

import pytest

from isthmus.engines.base import Reader
from isthmus.errors import InvalidArgument, LeaseLost, StaleGeneration
from support.brokers import MANY_BYTES, records
from support.engines import declare_all, publish, take, texts, texts_of
from support.served import served


async def chunks(reader: Reader, count: int) -> list[str]:
    """As many texts, from however many chunks."""
    found: list[str] = []
    while len(found) < count:
        chunk = await reader.read(MANY_BYTES, 60_000)
        assert chunk is not None
        found += texts_of(chunk)
    return found


async def test_a_reader_goes_on_where_it_was() -> None:
    async with served() as server:
        client, other = await server.connect(), await server.connect()
        await declare_all(client)
        reader = await client.reader("wide", "latest")
        await client.publish("wide", records(*(f"{key}:1" for key in "abcdef")))
        before = await chunks(reader, 6)

        (await client.link()).end("the test")
        await publish(other, "wide", "g:2", "h:2")

        assert sorted(before) == [f"{key}:1" for key in "abcdef"]
        assert sorted(await chunks(reader, 2)) == ["g:2", "h:2"]


async def test_one_that_stops_at_an_end_keeps_its_end() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        await publish(client, "orders", "a")
        reader = await client.reader("orders", "earliest", "end")
        await publish(client, "orders", "b")

        (await client.link()).end("the test")

        assert await chunks(reader, 1) == ["a"]
        assert await reader.read(MANY_BYTES, 60_000) is None
        assert reader.ended


async def test_who_gives_up_a_read_misses_nothing() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        reader = await client.reader("orders", "earliest")
        waiting = asyncio.ensure_future(reader.read(MANY_BYTES, 60_000))
        await client.ping()
        publishing = asyncio.ensure_future(publish(client, "orders", "a"))
        await asyncio.sleep(0)
        waiting.cancel()
        await publishing

        assert await chunks(reader, 1) == ["a"]


async def test_a_waiting_receiver_waits_on_over_another_connection() -> None:
    async with served() as server:
        client, other = await server.connect(), await server.connect()
        await declare_all(client)
        source = await client.queue_source("jobs", "c")
        waiting = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
        await client.ping()

        (await client.link()).end("the test")
        await publish(other, "jobs", "a")

        assert texts(await waiting) == ["a"]


async def test_what_another_connection_gave_is_stale() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        await publish(client, "orders", "a")
        await publish(client, "jobs", "a")
        stream = await client.stream_source("orders", "billing", "earliest", None)
        queue = await client.queue_source("jobs", "c")
        taken, leased = await take(stream), await take(queue)

        (await client.link()).end("the test")

        for work in (queue.fail(leased, 0, ""), queue.dead(leased, "", ""), queue.extend(leased, 1_000)):
            with pytest.raises(LeaseLost) as lost:
                await work
            assert (lost.value.queue, lost.value.offset) == ("jobs", 0)
        with pytest.raises(StaleGeneration):
            await stream.fail(taken, 0, "")
        await queue.release(leased)
        assert await stream.extend(taken, 1_000) == taken


async def test_what_another_source_gave_is_refused() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        await publish(client, "jobs", "a")
        one, other = await client.queue_source("jobs", "a"), await client.queue_source("jobs", "b")
        taken = await take(one)

        with pytest.raises(InvalidArgument):
            await other.release(taken)


async def test_closing_twice_and_after_the_end_is_nothing() -> None:
    async with served() as server:
        client = await server.connect()
        await declare_all(client)
        source, reader = await client.queue_source("jobs", "c"), await client.reader("orders", "earliest")
        (await client.link()).end("the test")

        for each in (source, reader, source, reader):
            await each.close()

        assert await take(source) == []
        assert await reader.read(1, 1) is None
