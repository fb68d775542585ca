"""Fetching by offset: budgets, waiting for growth, and what ends a wait."""

import asyncio

import pytest

from isthmus.errors import Closed, InvalidArgument, OffsetOutOfRange, Overloaded
from isthmus.lenses.stream import reader
from isthmus.lenses.stream.reader import Fetched
from isthmus.log import batch as batches
from support.brokers import MANY_BYTES, World, world


def texts(found: list[Fetched]) -> list[list[str]]:
    """What was fetched, one list a partition."""
    return [
        [(record.value or b"").decode() for batch in one.batches for record in batches.decode(batch.data)]
        for one in found
    ]


class TestFetch:
    async def test_batches_come_from_each_place_in_the_order_asked(self) -> None:
        async with world() as w:
            topic = await w.topic(partitions=3)
            await w.publish("a", partition=0)
            await w.publish("b", partition=1)
            await w.publish("c", partition=1)
            places = [(topic.partitions[index], 0) for index in (1, 0, 2)]

            found = await w.broker.polls.fetch(places, max_bytes=MANY_BYTES)

            assert [one.partition.index for one in found] == [1, 0, 2]
            assert texts(found) == [["b", "c"], ["a"], []]

    async def test_the_first_batch_may_begin_before_the_offset(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("a", "b", "c")

            found = await w.broker.polls.fetch([(topic.partitions[0], 2)], max_bytes=MANY_BYTES)

            assert [(batch.base_offset, batch.end_offset) for batch in found[0].batches] == [(0, 3)]

    async def test_one_batch_comes_whatever_the_budget_and_no_more_than_fit(self) -> None:
        async with world() as w:
            topic = await w.topic(partitions=2)
            for index in (0, 0, 1):
                await w.publish("x" * 1_000, partition=index)
            places = [(partition, 0) for partition in topic.partitions]

            one = await w.broker.polls.fetch(places, max_bytes=1)
            all_of_them = await w.broker.polls.fetch(places, max_bytes=10_000)

            assert [len(each.batches) for each in one] == [1, 0]
            assert [len(each.batches) for each in all_of_them] == [2, 1]

    async def test_an_offset_that_does_not_exist_is_refused_with_those_that_do(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("a", "b", "c")
            await w.trim(1)

            for offset in (0, 4):
                with pytest.raises(OffsetOutOfRange, match="1 to 3"):
                    await w.broker.polls.fetch([(topic.partitions[0], offset)], max_bytes=MANY_BYTES)

    async def test_a_budget_of_nothing_is_refused_instead_of_waiting_for_it(self) -> None:
        async with world() as w:
            topic = await w.topic()

            with pytest.raises(InvalidArgument, match="max_bytes"):
                await w.broker.polls.fetch([(topic.partitions[0], 0)], max_bytes=0, wait_ms=1_000)

    async def test_fetching_from_nowhere_gives_nothing(self) -> None:
        async with world() as w:
            assert await w.broker.polls.fetch([], max_bytes=1, wait_ms=1_000) == []


class TestLongPoll:
    async def test_it_waits_for_the_first_record_of_any_place(self) -> None:
        async with world() as w:
            topic = await w.topic(partitions=2)
            places = [(partition, 0) for partition in topic.partitions]
            waiting = asyncio.ensure_future(w.broker.polls.fetch(places, max_bytes=MANY_BYTES, wait_ms=1_000))
            await w.clock.drain()

            await w.publish("a", partition=1)

            assert texts(await waiting) == [[], ["a"]]
            assert w.broker.polls.waiting == 0

    async def test_it_ends_with_nothing_when_its_time_is_up(self) -> None:
        async with world() as w:
            topic = await w.topic()
            waiting = asyncio.ensure_future(
                w.broker.polls.fetch([(topic.partitions[0], 0)], max_bytes=MANY_BYTES, wait_ms=1_000)
            )

            await w.clock.advance(999)
            early = waiting.done()
            await w.clock.advance(1)

            assert (early, texts(await waiting)) == (False, [[]])

    async def test_it_waits_until_there_is_as_much_as_was_asked_for(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("x" * 100)
            waiting = asyncio.ensure_future(
                w.broker.polls.fetch([(topic.partitions[0], 0)], max_bytes=MANY_BYTES, wait_ms=1_000, min_bytes=300)
            )
            await w.clock.drain()
            early = waiting.done()

            await w.publish("y" * 200)

            assert (early, texts(await waiting)) == (False, [["x" * 100, "y" * 200]])

    async def test_it_does_not_wait_for_more_than_fits(self) -> None:
        async with world() as w:
            topic = await w.topic()
            for _ in range(3):
                await w.publish("x" * 1_000)

            found = await w.broker.polls.fetch(
                [(topic.partitions[0], 0)], max_bytes=2_500, wait_ms=1_000, min_bytes=1_000_000
            )

            assert len(found[0].batches) == 2

    async def test_a_trim_past_the_offset_ends_the_wait(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await w.publish("a", "b")
            waiting = asyncio.ensure_future(w.broker.polls.wait_any([(topic.partitions[0], 2)], 1_000))
            await w.clock.drain()

            await w.trim(1)
            still = not waiting.done()
            await w.publish("c")

            assert (still, await waiting) == (True, True)

    async def test_a_store_that_is_closed_ends_the_wait_with_its_error(self) -> None:
        w = await World().open()
        topic = await w.topic()
        waiting = asyncio.ensure_future(w.broker.polls.wait_any([(topic.partitions[0], 0)], 60_000))
        await w.clock.drain()

        await w.broker.close()

        with pytest.raises(Closed):
            await waiting

    async def test_the_number_of_those_who_wait_has_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "LONG_POLLS_MAX", 2)
        async with world() as w:
            topic = await w.topic()
            places = [(topic.partitions[0], 0)]
            waiting = [asyncio.ensure_future(w.broker.polls.wait_any(places, 1_000)) for _ in range(2)]
            await w.clock.drain()

            with pytest.raises(Overloaded, match="limit of 2"):
                await w.broker.polls.wait_any(places, 1_000)
            await w.publish("a")

            assert await asyncio.gather(*waiting) == [True, True]

    async def test_a_cancelled_wait_is_counted_out_and_watches_nothing(self) -> None:
        async with world() as w:
            topic = await w.topic()
            waiting = asyncio.ensure_future(w.broker.polls.wait_any([(topic.partitions[0], 0)], 1_000))
            await w.clock.drain()

            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

            assert w.broker.polls.waiting == 0
            assert not topic.partitions[0]._watchers
