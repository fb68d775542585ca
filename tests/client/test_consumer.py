"""Reading and taking, on the real engine in memory with a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from isthmus.client.bus import Bus, connect
from isthmus.client.destination import Queue, Stream
from isthmus.client.event import Notification
from isthmus.client.retry import Backoff
from isthmus.clock import ManualClock
from isthmus.errors import DecodeError, InvalidArgument, LeaseLost, UnknownType
from isthmus.record import Record


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


ORDERS = Stream[Placed | Cancelled]("orders", key="order_id", partitions=3)
LOG = Stream[Placed]("log", key=None)
WORK = Queue[Placed]("work", lease="30s", retry=Backoff(3, "10s", "1m", jitter=0))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def bus(clock: ManualClock) -> AsyncIterator[Bus]:
    async with connect("memory://", clock=clock) as bus:
        yield bus


def placed(*numbers: int) -> list[Placed]:
    return [Placed(order_id=str(number)) for number in numbers]


async def taken(bus: Bus, n: int = 10) -> list[str]:
    """The events that can be taken now, by taking and acknowledging them."""
    async with bus.take(WORK, n, wait="0ms") as messages:
        return [message.event.order_id for message in messages]


class TestReading:
    async def test_reads_what_is_there_and_stops_at_the_end(self, bus: Bus) -> None:
        await bus.publish(ORDERS, *placed(*range(100)), Cancelled(order_id="7"))

        found = [message async for message in bus.read(ORDERS, stop="end")]

        assert {message.event.order_id for message in found} == {str(number) for number in range(100)}
        assert [type(m.event) for m in found if m.key == b"7"] == [Placed, Cancelled]
        assert len({(message.partition, message.offset) for message in found}) == 101

    async def test_an_empty_stream_ends_at_once(self, bus: Bus) -> None:
        assert [message async for message in bus.read(LOG, stop="end")] == []

    async def test_starts_at_an_offset_or_a_time(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(LOG, *placed(1, 2))
        await clock.advance(7_200_000)
        await bus.publish(LOG, *placed(3))

        assert [m.event.order_id async for m in bus.read(LOG, start=1, stop="end")] == ["2", "3"]
        assert [m.event.order_id async for m in bus.read(LOG, start="-1h", stop="end")] == ["3"]
        assert [m.event.order_id async for m in bus.read(LOG, start="-3h", stop="end")] == ["1", "2", "3"]

    async def test_without_a_stop_it_follows(self, bus: Bus) -> None:
        await bus.publish(LOG, *placed(1))
        reading = bus.read(LOG)
        first = await anext(reading)
        later = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(0)

        await bus.publish(LOG, *placed(2))

        assert (first.event, (await later).event) == (Placed(order_id="1"), Placed(order_id="2"))
        await reading.aclose()

    async def test_latest_reads_what_comes_later(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(LOG, *placed(1))
        async with bus.read(LOG, start="latest") as reading:
            following = asyncio.ensure_future(anext(reading))
            await clock.drain()

            await bus.publish(LOG, *placed(2))

            assert (await following).event == Placed(order_id="2")

    async def test_chunks_are_lists_of_one_partition(self, bus: Bus) -> None:
        await bus.publish(ORDERS, *placed(*range(100)))

        chunks = [chunk async for chunk in bus.read(ORDERS, stop="end").chunks()]

        assert sum(map(len, chunks)) == 100
        assert all(len({message.partition for message in chunk}) == 1 for chunk in chunks)

    async def test_giving_up_early_frees_the_reader(self, bus: Bus) -> None:
        await bus.publish(LOG, *placed(1, 2, 3))

        async with bus.read(LOG) as reading:
            async for _ in reading:
                break

        assert not bus.core._reading

    async def test_what_cannot_be_decoded_is_a_message_with_an_error(self, bus: Bus) -> None:
        await bus.declare(ORDERS)
        good = ORDERS.writer().record(Placed(order_id="1"))
        await bus.engine.publish("orders", [Record(b"{", b"k", good.headers), Record(b"{}", b"k"), good])

        found = [m async for m in bus.read(ORDERS, stop="end")]

        assert {type(m.error) for m in found} == {DecodeError, UnknownType, type(None)}
        assert [m.event for m in found if m.error is None] == [Placed(order_id="1")]

    async def test_a_queue_can_be_read_without_disturbing_it(self, bus: Bus) -> None:
        await bus.publish(WORK, *placed(1, 2))

        found = [message.event async for message in bus.read(WORK, stop="end")]

        assert found == placed(1, 2)
        assert await taken(bus) == ["1", "2"]

    async def test_closing_the_bus_ends_what_reads(self, clock: ManualClock) -> None:
        async with connect("memory://", clock=clock) as bus:
            reading = bus.read(LOG)
            following = asyncio.ensure_future(anext(reading, None))
            await clock.drain()

        assert await following is None

    async def test_a_stop_that_is_none_is_refused(self, bus: Bus) -> None:
        with pytest.raises(InvalidArgument, match="stop: 'tomorrow'"):
            bus.read(LOG, stop="tomorrow")  # type: ignore[arg-type]


class TestTaking:
    async def test_leaving_the_block_acknowledges(self, bus: Bus) -> None:
        await bus.publish(WORK, *placed(1, 2, 3))

        async with bus.take(WORK, 2) as messages:
            found = [message.event for message in messages]

        assert found == placed(1, 2)
        assert await taken(bus) == ["3"]
        assert await taken(bus) == []

    async def test_an_exception_hands_back_without_counting_a_failure(self, bus: Bus) -> None:
        await bus.publish(WORK, *placed(1))

        with pytest.raises(KeyError):
            async with bus.take(WORK) as messages:
                raise KeyError(messages[0].attempt)

        async with bus.take(WORK) as messages:
            assert [(m.event.order_id, m.attempt, m.failed) for m in messages] == [("1", 2, 0)]

    async def test_a_cancellation_hands_back(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(WORK, *placed(1))
        entered = asyncio.Event()

        async def hold() -> None:
            async with bus.take(WORK):
                entered.set()
                await asyncio.get_running_loop().create_future()

        holding = asyncio.ensure_future(hold())
        await entered.wait()
        holding.cancel()
        await clock.drain()

        assert holding.cancelled()
        assert await taken(bus) == ["1"]

    async def test_waits_for_the_first_and_not_longer(self, bus: Bus, clock: ManualClock) -> None:
        async def take() -> list[Placed]:
            async with bus.take(WORK, 10, wait="5s") as messages:
                return [message.event for message in messages]

        waiting = asyncio.ensure_future(take())
        await clock.advance(4_000)
        assert not waiting.done()
        await bus.publish(WORK, *placed(1))
        assert await waiting == placed(1)

        waiting = asyncio.ensure_future(take())
        await clock.advance(5_000)
        assert await waiting == []

    async def test_cancelled_while_waiting_it_holds_nothing(self, bus: Bus, clock: ManualClock) -> None:
        waiting = asyncio.ensure_future(_take_one(bus))
        await clock.drain()

        waiting.cancel()
        await clock.drain()
        await bus.publish(WORK, *placed(1))

        assert waiting.cancelled()
        assert await taken(bus) == ["1"]

    async def test_leases_are_renewed_while_the_block_lasts(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(WORK, *placed(1))

        async with bus.take(WORK) as messages:
            await clock.advance(300_000)
            assert await taken(bus) == []
            assert [message.event for message in messages] == placed(1)

        await clock.advance(300_000)
        assert await taken(bus) == []

    async def test_single_messages_can_be_settled_inside(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(WORK, *placed(1, 2, 3, 4))

        with pytest.raises(KeyError):
            async with bus.take(WORK, 4) as (first, second, third, _):
                await first.ack()
                await second.nack(after="20s")
                await third.reject("no good")
                raise KeyError

        assert await taken(bus) == ["4"]
        await clock.advance(20_000)
        async with bus.take(WORK) as messages:
            assert [(m.event.order_id, m.attempt, m.failed) for m in messages] == [("2", 2, 1)]
        (letter,) = await bus.admin.dead_letters("work.dead", 10)
        assert (letter.reason, letter.record.value) == ("no good", b'{"order_id":"3"}')

    async def test_failures_follow_the_retry_policy_to_the_dead_letters(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(WORK, *placed(1))
        seen = []

        for wait_ms in (10_000, 20_000, 0):
            async with bus.take(WORK) as messages:
                seen += [(m.attempt, m.failed) for m in messages]
                await messages[0].nack()
            await clock.advance(wait_ms - 1 if wait_ms else 0)
            if wait_ms:
                assert await taken(bus) == []
                await clock.advance(1)

        assert seen == [(1, 0), (2, 1), (3, 2)]
        assert [letter.failed for letter in await bus.admin.dead_letters("work.dead", 10)] == [3]
        assert await taken(bus) == []

    async def test_what_cannot_be_decoded_goes_to_the_dead_letters(self, bus: Bus) -> None:
        await bus.publish(WORK, *placed(1))
        block = WORK.writer().record(Placed(order_id="")).headers
        await bus.engine.publish("work", [Record(b"{", None, block)])
        await bus.publish(WORK, *placed(2))

        assert await taken(bus) == ["1", "2"]
        (letter,) = await bus.admin.dead_letters("work.dead", 10)
        assert "cannot be decoded" in letter.reason

    async def test_a_lease_that_was_lost_is_told_at_the_end(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(WORK, *placed(1, 2))

        with pytest.raises(LeaseLost):
            async with bus.take(WORK, 2) as messages:
                await messages[0].nack(after="0ms")
                await clock.drain()
                stolen = await taken(bus)
                await messages[0].ack()

        assert stolen == ["1"]
        await clock.advance(60_000)
        assert await taken(bus) == ["2"]

    async def test_two_blocks_side_by_side_hold_different_events(self, bus: Bus) -> None:
        await bus.publish(WORK, *placed(1, 2))

        async with bus.take(WORK) as one, bus.take(WORK) as other:
            assert [one[0].event, other[0].event] == placed(1, 2)

        assert await taken(bus) == []

    async def test_closing_the_bus_hands_back_what_is_held(self, clock: ManualClock) -> None:
        async with connect("memory://shared-work", clock=clock) as keeper:
            bus = connect("memory://shared-work", clock=clock)
            await bus.start()
            await bus.publish(WORK, *placed(1))
            await bus.take(WORK).__aenter__()

            await bus.close()

            assert await taken(keeper) == ["1"]

    @pytest.mark.parametrize("n", [0, -1, 10_001])
    async def test_how_many_has_bounds(self, bus: Bus, n: int) -> None:
        with pytest.raises(InvalidArgument, match="n: "):
            async with bus.take(WORK, n):
                pass


async def _take_one(bus: Bus) -> None:
    async with bus.take(WORK, wait="5s"):
        pass
