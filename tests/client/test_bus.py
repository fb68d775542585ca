"""The bus: what its arguments mean, on the real engine in memory."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from isthmus.client.bus import Bus, connect
from isthmus.client.destination import Queue, Stream
from isthmus.client.event import Notification, State
from isthmus.clock import ManualClock
from isthmus.errors import (
    Closed,
    InvalidArgument,
    Overloaded,
    UnitTooLarge,
    Unsupported,
    UnsupportedCompression,
    WrongEventType,
)


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


class Customer(State):
    customer_id: str
    name: str


ORDERS = Stream[Placed | Cancelled]("orders", key="order_id", partitions=3)
CUSTOMERS = Stream[Customer]("customers", key="customer_id")
WORK = Queue[Placed]("work")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def bus(clock: ManualClock) -> AsyncIterator[Bus]:
    async with connect("memory://", name="shop", clock=clock) as bus:
        yield bus


async def taken(bus: Bus) -> list[str]:
    async with bus.take(WORK, 10, wait="0ms") as messages:
        return [message.event.order_id for message in messages]


class TestConnecting:
    def test_an_address_is_needed(self) -> None:
        with pytest.raises(InvalidArgument, match="ISTHMUS_URL"):
            connect()

    async def test_the_address_may_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ISTHMUS_URL", "memory://")

        async with connect() as bus:
            assert bus.engine.url == "memory://"

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"linger": "soon"}, InvalidArgument),
            ({"batch": "64"}, InvalidArgument),
            ({"batch": 0}, InvalidArgument),
            ({"batch": "1GB"}, InvalidArgument),
            ({"batch": "0B"}, InvalidArgument),
            ({"compression": "zip"}, UnsupportedCompression),
        ],
    )
    def test_figures_that_cannot_be_are_refused_at_once(self, options: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            connect("memory://", **options)

    @pytest.mark.parametrize("batch", [3, "600B"])
    async def test_a_batch_is_full_by_events_or_by_size(self, batch: int | str, clock: ManualClock) -> None:
        async with connect("memory://", linger="1h", batch=batch, clock=clock) as bus:
            await bus.declare(WORK)

            sent = [bus.publish_nowait(WORK, Placed(order_id="x" * 90)) for _ in range(4)]
            await clock.drain()

            assert [each.done() for each in sent] == [True, True, True, False]

    async def test_engines_of_later_versions_are_refused_at_the_start(self) -> None:
        with pytest.raises(Unsupported, match="sqs"):
            await connect("sqs://127.0.0.1:9324").start()

    async def test_a_directory_keeps_what_was_published(self, tmp_path: Path) -> None:
        for number in (1, 2):
            async with connect(str(tmp_path / "data")) as bus:
                await bus.publish(ORDERS, Placed(order_id=str(number)))

        async with connect(f"isthmus://{tmp_path}/data") as bus:
            assert sorted([m.event.order_id async for m in bus.read(ORDERS, stop="end")]) == ["1", "2"]


class TestPublishing:
    async def test_a_receipt_says_where_the_event_is(self, bus: Bus) -> None:
        receipt = await bus.publish(ORDERS, Placed(order_id="1"))

        (message,) = [m async for m in bus.read(ORDERS, stop="end")]
        assert (receipt.topic, receipt.partition, receipt.offset) == ("orders", message.partition, message.offset)
        assert message.id == f"orders/{message.partition}/0"
        assert message.headers["ce_source"] == b"shop"
        assert message.timestamp_ms == bus.engine.clock.now_ms()

    async def test_events_of_one_key_go_to_one_partition(self, bus: Bus) -> None:
        await bus.publish(ORDERS, *(Placed(order_id=str(number % 5)) for number in range(50)))

        found = [(m.key, m.partition) async for m in bus.read(ORDERS, stop="end")]
        assert len(found) == 50
        assert len(set(found)) == 5

    async def test_no_events_are_no_harm(self, bus: Bus) -> None:
        assert (await bus.publish(ORDERS)).count == 0

    async def test_an_event_of_another_type_is_refused(self, bus: Bus) -> None:
        with pytest.raises(WrongEventType, match="'work' carries Placed, not Cancelled"):
            await bus.publish(WORK, Cancelled(order_id="1"))  # type: ignore[misc]

    async def test_key_and_headers_of_the_call(self, bus: Bus) -> None:
        await bus.publish(ORDERS, Placed(order_id="1"), key=("a", 1), headers={"ce_id": "7", "trace": b"\x00"})

        (message,) = [m async for m in bus.read(ORDERS, stop="end")]
        assert (message.key, message.id, message.headers["trace"]) == (b"a\x1f1", "7", b"\x00")

    async def test_delay_and_time_hold_an_event_back(self, bus: Bus, clock: ManualClock) -> None:
        due = datetime.fromtimestamp(clock.now_ms() / 1000 + 60, UTC)
        await bus.publish(WORK, Placed(order_id="1"), delay="15m")
        await bus.publish(WORK, Placed(order_id="2"), at=due)

        found = []
        for minutes in (0, 1, 14):
            await clock.advance(minutes * 60_000)
            found.append(await taken(bus))

        assert found == [[], ["2"], ["1"]]

    async def test_an_event_expires_when_its_time_has_passed(self, bus: Bus, clock: ManualClock) -> None:
        await bus.publish(WORK, Placed(order_id="1"), ttl="1m")

        await clock.advance(61_000)

        assert await taken(bus) == []

    async def test_the_second_of_one_id_is_not_stored(self, bus: Bus) -> None:
        first = await bus.publish(WORK, Placed(order_id="1"), dedup="o-1")
        second = await bus.publish(WORK, Placed(order_id="2"), dedup="o-1")

        assert second.duplicate
        assert second.offset == first.offset
        assert await taken(bus) == ["1"]

    async def test_a_misspelt_option_is_refused(self, bus: Bus) -> None:
        with pytest.raises(TypeError, match="delays"):
            await bus.publish(WORK, Placed(order_id="1"), delays="1s")  # type: ignore[call-arg]

    async def test_handing_in_does_not_wait(self, bus: Bus) -> None:
        await bus.declare(ORDERS)

        sent = [bus.publish_nowait(ORDERS, Placed(order_id=str(number))) for number in range(10)]

        assert not any(each.done() for each in sent)
        assert sum([(await each).count for each in sent]) == 10

    async def test_handing_in_needs_a_declared_destination(self, bus: Bus) -> None:
        with pytest.raises(InvalidArgument, match="declare"):
            bus.publish_nowait(ORDERS, Placed(order_id="1"))

    async def test_handing_in_too_much_is_refused(self, bus: Bus) -> None:
        await bus.declare(ORDERS)
        large = Placed(order_id="x" * 450_000)

        with pytest.raises(Overloaded):
            for _ in range(100):
                bus.publish_nowait(ORDERS, large)

        await bus.flush()

    async def test_a_tombstone_deletes_a_key(self, bus: Bus) -> None:
        await bus.publish(CUSTOMERS, Customer(customer_id="c-1", name="Ada"))

        await bus.delete(CUSTOMERS, "c-1")

        found = [(m.key, m.deleted) async for m in bus.read(CUSTOMERS, stop="end")]
        assert found == [(b"c-1", False), (b"c-1", True)]

    async def test_only_streams_that_keep_the_newest_can_delete(self, bus: Bus) -> None:
        with pytest.raises(InvalidArgument, match="keeps all events of a key"):
            await bus.delete(ORDERS, "1")  # type: ignore[type-var]


class TestBatches:
    async def test_leaving_the_block_publishes_to_all(self, bus: Bus) -> None:
        async with bus.batch() as batch:
            batch.add(CUSTOMERS, Customer(customer_id="c-1", name="Ada"))
            batch.add(ORDERS, Placed(order_id="1"), Cancelled(order_id="1"))
            batch.add(WORK, Placed(order_id="1"), dedup="1")
            batch.delete(CUSTOMERS, "c-2")

        assert [m.key async for m in bus.read(CUSTOMERS, stop="end")] == [b"c-1", b"c-2"]
        assert [type(m.event) async for m in bus.read(ORDERS, stop="end")] == [Placed, Cancelled]
        assert await taken(bus) == ["1"]
        assert sum(run.count for run in batch.appended) == 5

    async def test_an_exception_drops_it(self, bus: Bus) -> None:
        with pytest.raises(KeyError):
            async with bus.batch() as batch:
                batch.add(ORDERS, Placed(order_id="1"))
                raise KeyError

        assert [m async for m in bus.read(ORDERS, stop="end")] == []

    async def test_a_wrong_event_is_refused_where_it_is_added(self, bus: Bus) -> None:
        async with bus.batch() as batch:
            with pytest.raises(WrongEventType):
                batch.add(WORK, Cancelled(order_id="1"))  # type: ignore[misc]

    async def test_it_is_all_or_nothing(self, bus: Bus) -> None:
        with pytest.raises(UnitTooLarge):
            async with bus.batch() as batch:
                batch.add(WORK, Placed(order_id="1"))
                for _ in range(40):
                    batch.add(ORDERS, Placed(order_id="x" * 400_000))

        assert [m async for m in bus.read(ORDERS, stop="end")] == []
        assert await taken(bus) == []

    async def test_it_comes_behind_what_was_handed_in_before(self, clock: ManualClock) -> None:
        async with connect("memory://", linger="1h", clock=clock) as bus:
            await bus.declare(WORK)
            bus.publish_nowait(WORK, Placed(order_id="1"))

            async with bus.batch() as batch:
                batch.add(WORK, Placed(order_id="2"))

            assert await taken(bus) == ["1", "2"]

    async def test_an_empty_one_is_no_harm(self, bus: Bus) -> None:
        async with bus.batch() as batch:
            pass

        assert batch.appended == ()


class TestOwnThread:
    async def test_everything_works_from_another_loop(self) -> None:
        async with connect("memory://", thread=True) as bus:
            await bus.publish(WORK, *(Placed(order_id=str(number)) for number in range(3)))
            sent = await bus.publish_nowait(WORK, Placed(order_id="3"))
            async with bus.batch() as batch:
                batch.add(ORDERS, Placed(order_id="1"))
            read = [m.event async for m in bus.read(ORDERS, stop="end")]
            async with bus.take(WORK, 10) as messages:
                await messages[0].ack()
            await bus.flush()

            assert sent.count == 1
            assert read == [Placed(order_id="1")]
            assert [m.event.order_id for m in messages] == ["0", "1", "2", "3"]
            assert [view.name for view in await bus.admin.topics()] == ["orders", "work", "work.dead"]

    async def test_two_loops_share_it(self) -> None:
        async with connect("memory://", thread=True) as bus:

            async def publish() -> int:
                return (await bus.publish(WORK, Placed(order_id="1"))).count

            assert await asyncio.to_thread(asyncio.run, publish()) == 1
            assert await taken(bus) == ["1"]

    async def test_errors_come_through(self) -> None:
        async with connect("memory://", thread=True) as bus:
            with pytest.raises(WrongEventType):
                await bus.publish(WORK, Cancelled(order_id="1"))  # type: ignore[misc]
            with pytest.raises(InvalidArgument):
                await bus.publish_nowait(ORDERS, Placed(order_id="1"))

    async def test_its_thread_ends_with_it(self) -> None:
        before = threading.active_count()
        bus = connect("memory://", thread=True)
        await bus.start()
        assert threading.active_count() > before

        await bus.close()
        await bus.close()

        with pytest.raises(Closed):
            await bus.publish(WORK, Placed(order_id="1"))
        assert "isthmus" not in {thread.name for thread in threading.enumerate()}

    async def test_a_failed_start_leaves_no_thread(self) -> None:
        with pytest.raises(Unsupported):
            await connect("sqs://127.0.0.1:9324", thread=True).start()

        assert "isthmus" not in {thread.name for thread in threading.enumerate()}
