"""Sending in batches, on the real engine in memory with a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from isthmus.client.producer import Producer, Receipt
from isthmus.clock import ManualClock
from isthmus.definition import QueueDefinition, TopicDefinition
from isthmus.engines.base import Attributes, Engine
from isthmus.engines.connect import open_engine
from isthmus.errors import Closed, Overloaded, RecordTooLarge, UnknownTopic
from isthmus.limits import RECORD_BYTES_CEILING
from isthmus.record import Record

Made = Callable[..., Producer]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(clock: ManualClock) -> AsyncIterator[Engine]:
    engine = await open_engine("memory://", clock=clock)
    await engine.start()
    await engine.declare(TopicDefinition(name="one"))
    await engine.declare(TopicDefinition(name="three", partitions=3))
    await engine.declare(QueueDefinition(name="work"))
    yield engine
    await engine.close()


@pytest.fixture
async def made(engine: Engine) -> AsyncIterator[Made]:
    producers: list[Producer] = []

    def make(**options: Any) -> Producer:
        producers.append(Producer(engine, **options))
        return producers[-1]

    yield make
    for producer in producers:
        await producer.close()


def record(number: int, size: int = 1) -> Record:
    return Record(b"x" * size, str(number).encode())


async def content(engine: Engine, topic: str) -> dict[tuple[int, int], bytes | None]:
    """The keys in a topic by partition and offset."""
    reader = await engine.reader(topic, "earliest", "end")
    found: dict[tuple[int, int], bytes | None] = {}
    while not reader.ended:
        chunk = await reader.read(1 << 20, 0)
        if chunk is not None:
            found |= {(chunk.partition, each.offset): each.key for each in chunk.records}
    await reader.close()
    return found


def places(receipt: Receipt) -> dict[int, tuple[int, int]]:
    """Where each event of a call is, by what its receipt says."""
    found: dict[int, tuple[int, int]] = {}
    for run in receipt.appended:
        indexes = range(receipt.count) if run.indexes is None else run.indexes
        assert len(indexes) == run.count
        found |= {index: (run.partition, run.base_offset + at) for at, index in enumerate(indexes)}
    return found


class TestWhenBatchesLeave:
    async def test_a_lone_event_does_not_wait_for_company(self, made: Made) -> None:
        receipt = await made().send("one", [record(1)])

        assert (receipt.topic, receipt.partition, receipt.offset, receipt.count) == ("one", 0, 0, 1)
        assert not receipt.duplicate

    async def test_with_linger_it_waits_that_long(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50)
        sent = asyncio.ensure_future(producer.send("one", [record(1)]))

        await clock.advance(49)
        assert not sent.done()
        await clock.advance(1)
        assert sent.done()

    async def test_events_of_several_calls_share_a_batch(self, made: Made, clock: ManualClock, engine: Engine) -> None:
        producer = made(linger_ms=50)
        sent = [asyncio.ensure_future(producer.send("one", [record(number)])) for number in range(5)]
        await clock.drain()
        before = await content(engine, "one")

        await clock.advance(50)

        assert before == {}
        assert [(await each).offset for each in sent] == [0, 1, 2, 3, 4]

    async def test_a_batch_full_of_events_leaves_at_once(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50, batch_events=3)
        sent = [asyncio.ensure_future(producer.send("one", [record(number)])) for number in range(4)]

        await clock.drain()

        assert [each.done() for each in sent] == [True, True, True, False]

    async def test_a_batch_full_of_bytes_leaves_at_once(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50, batch_bytes=1000)
        sent = [asyncio.ensure_future(producer.send("one", [record(number, 450)])) for number in range(3)]

        await clock.drain()

        assert [each.done() for each in sent] == [True, True, False]

    async def test_many_events_of_one_call_leave_at_once_and_take_others_along(
        self, made: Made, clock: ManualClock
    ) -> None:
        producer = made(linger_ms=50)
        lone = asyncio.ensure_future(producer.send("one", [record(1)]))
        await clock.drain()

        receipt = await producer.send("one", [record(2), record(3)])

        assert (await lone).offset == 0
        assert (receipt.offset, receipt.count) == (1, 2)

    async def test_events_with_attributes_leave_at_once_and_behind_what_waits(
        self, made: Made, clock: ManualClock
    ) -> None:
        producer = made(linger_ms=50)
        lone = asyncio.ensure_future(producer.send("work", [record(1)]))
        await clock.drain()

        receipt = await producer.send("work", [record(2)], Attributes(dedup="2"))

        assert (await lone).offset == 0
        assert receipt.offset == 1

    async def test_each_destination_waits_by_itself(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50, batch_events=2)
        first = asyncio.ensure_future(producer.send("one", [record(1)]))
        second = asyncio.ensure_future(producer.send("three", [record(2)]))
        await clock.drain()

        await producer.send("one", [record(3)])

        assert first.done()
        assert not second.done()
        await clock.advance(50)
        assert second.done()

    async def test_flush_sends_what_waits(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50)
        sent = [asyncio.ensure_future(producer.send(name, [record(1)])) for name in ("one", "three")]
        await clock.drain()

        await producer.flush()

        assert [(await each).count for each in sent] == [1, 1]

    async def test_flush_with_nothing_waiting_returns(self, made: Made) -> None:
        await made().flush()

    async def test_compressed_batches_are_smaller_and_hold_the_same(self, made: Made, engine: Engine) -> None:
        records = [record(number, 200) for number in range(100)]

        await made(compression="gzip", batch_bytes=1 << 20).send("one", records)

        view = await engine.admin.topic("one")
        assert list((await content(engine, "one")).values()) == [each.key for each in records]
        assert view.partitions[0].bytes < 5_000


class TestReceipts:
    async def test_no_events_are_nowhere(self, made: Made) -> None:
        assert await made().send("one", []) == Receipt("one", -1, -1, 0)
        assert (await made().send_nowait("one", [])).count == 0

    @pytest.mark.parametrize("topic", ["one", "three"])
    @pytest.mark.parametrize("batch_events", [1, 3, 1000])
    async def test_each_call_learns_where_its_own_events_are(
        self, made: Made, engine: Engine, topic: str, batch_events: int
    ) -> None:
        producer = made(batch_events=batch_events)
        calls = [[record(100 * call + at) for at in range(1 + call % 4)] for call in range(20)]

        receipts = await asyncio.gather(*(producer.send(topic, each) for each in calls))

        stored = await content(engine, topic)
        for call, receipt in zip(calls, receipts, strict=True):
            found = places(receipt)
            assert receipt.count == len(call) == len(found)
            assert [stored[found[at]] for at in range(len(call))] == [each.key for each in call]
            assert (receipt.partition, receipt.offset) == found[0]
        assert len(stored) == sum(map(len, calls))

    async def test_a_large_call_is_cut_and_its_receipt_whole(self, made: Made, engine: Engine) -> None:
        records = [record(number) for number in range(2500)]

        receipt = await made().send("three", records)

        stored = await content(engine, "three")
        assert [stored[place] for _, place in sorted(places(receipt).items())] == [each.key for each in records]

    async def test_the_second_of_one_id_is_told_where_the_first_is(self, made: Made) -> None:
        producer = made()
        first = await producer.send("work", [record(1)], Attributes(dedup="x"))

        second = await producer.send("work", [record(2)], Attributes(dedup="x"))

        assert second.duplicate
        assert (second.partition, second.offset) == (first.partition, first.offset)


class TestRoom:
    async def test_handing_in_without_waiting_is_refused_when_the_buffer_is_full(
        self, made: Made, clock: ManualClock, engine: Engine
    ) -> None:
        producer = made(linger_ms=50, buffer_bytes=100)
        first = producer.send_nowait("one", [record(1, 60)])

        with pytest.raises(Overloaded, match="the limit of 100 is reached"):
            producer.send_nowait("one", [record(2, 60)])

        await clock.advance(50)
        assert (await first).offset == 0
        assert len(await content(engine, "one")) == 1

    async def test_a_call_waits_for_room_and_sends_what_lingers_to_make_it(self, made: Made, engine: Engine) -> None:
        producer = made(linger_ms=50, buffer_bytes=100)

        receipts = await asyncio.gather(
            *(producer.send("one", [record(number, 60)]) for number in range(6)), _flushed_later(producer)
        )

        assert [each.offset for each in receipts if each is not None] == [0, 1, 2, 3, 4, 5]
        assert list((await content(engine, "one")).values()) == [b"0", b"1", b"2", b"3", b"4", b"5"]

    async def test_what_is_larger_than_the_buffer_passes_alone(self, made: Made) -> None:
        assert (await made(buffer_bytes=10).send("one", [record(1, 500)])).offset == 0

    async def test_a_call_cut_in_parts_passes_a_small_buffer(self, made: Made) -> None:
        producer = made(buffer_bytes=2000, batch_bytes=500)

        receipt = await producer.send("one", [record(number, 100) for number in range(100)])

        assert (receipt.count, receipt.offset) == (100, 0)

    async def test_a_record_that_can_never_fit_is_refused(self, made: Made) -> None:
        with pytest.raises(RecordTooLarge):
            await made().send("one", [record(1, RECORD_BYTES_CEILING)])


class TestCancelling:
    async def test_a_cancelled_waiter_withdraws_nothing(self, made: Made, clock: ManualClock, engine: Engine) -> None:
        producer = made(linger_ms=50)
        first, second = (asyncio.ensure_future(producer.send("one", [record(number)])) for number in (1, 2))
        await clock.drain()

        first.cancel()
        await clock.advance(50)

        assert first.cancelled()
        assert (await second).offset == 1
        assert list((await content(engine, "one")).values()) == [b"1", b"2"]

    async def test_who_is_cancelled_while_waiting_for_room_handed_nothing_in(self, made: Made, engine: Engine) -> None:
        producer = made(buffer_bytes=100)
        sent = [asyncio.ensure_future(producer.send("one", [record(number, 60)])) for number in range(3)]
        await asyncio.sleep(0)

        sent[1].cancel()
        receipts = await asyncio.gather(*sent, return_exceptions=True)

        assert isinstance(receipts[1], asyncio.CancelledError)
        assert list((await content(engine, "one")).values()) == [b"0", b"2"]
        await producer.flush()


class TestErrors:
    async def test_an_error_reaches_every_call_of_the_batch(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50)
        sent = [asyncio.ensure_future(producer.send("nowhere", [record(number)])) for number in range(3)]

        await clock.advance(50)

        for each in sent:
            with pytest.raises(UnknownTopic):
                await each

    async def test_after_an_error_the_next_batch_goes_on(self, made: Made) -> None:
        producer = made(buffer_bytes=100)
        with pytest.raises(UnknownTopic):
            await producer.send("nowhere", [record(1, 60)])

        assert (await producer.send("one", [record(2, 60)])).offset == 0

    async def test_closing_flushes_and_then_nothing_is_taken(self, made: Made, clock: ManualClock) -> None:
        producer = made(linger_ms=50)
        sent = asyncio.ensure_future(producer.send("one", [record(1)]))
        await clock.drain()

        await producer.close()
        await producer.close()

        assert (await sent).offset == 0
        with pytest.raises(Closed):
            await producer.send("one", [record(2)])
        with pytest.raises(Closed):
            producer.send_nowait("one", [record(2)])


async def _flushed_later(producer: Producer) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    await producer.flush()
