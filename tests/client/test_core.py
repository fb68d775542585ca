"""A bus on its own loop: what is declared, and how it starts and ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from isthmus.client.bus import Bus, connect
from isthmus.client.core import check_promises
from isthmus.client.destination import Queue, Stream
from isthmus.client.event import Notification
from isthmus.errors import AlreadyExists, Closed, DeclarationError, InvalidArgument, UnknownTopic, Unsupported
from isthmus.views import QueueView


class Placed(Notification):
    order_id: str


ORDERS = Stream[Placed]("orders", key="order_id")
WORK = Queue[Placed]("work")
VIEW = Queue[Placed]("view", of=ORDERS, dead="buried")


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    async with connect("memory://") as bus:
        yield bus


async def queues(bus: Bus) -> dict[str, QueueView]:
    return {view.name: view for view in await bus.admin.queues()}


class TestDeclaring:
    async def test_a_destination_is_made_when_it_is_first_used(self, bus: Bus) -> None:
        with pytest.raises(UnknownTopic):
            await bus.admin.topic("orders")

        await bus.publish(ORDERS, Placed(order_id="1"))

        assert (await bus.admin.topic("orders")).config.event_types == ("Placed",)

    async def test_a_queue_brings_its_dead_letters(self, bus: Bus) -> None:
        await bus.declare(WORK)

        found = await queues(bus)
        assert set(found) == {"work", "work.dead"}
        assert found["work"].config.dead == "work.dead"
        assert found["work.dead"].config.failed_max is None

    async def test_a_view_brings_its_stream(self, bus: Bus) -> None:
        await bus.declare(VIEW)

        assert (await bus.admin.topic("orders")).views == ("view",)
        assert set(await queues(bus)) == {"view", "buried"}

    async def test_many_at_once_share_one_declaration(self, bus: Bus) -> None:
        await asyncio.gather(*(bus.publish(WORK, Placed(order_id=str(number))) for number in range(10)))

        assert (await queues(bus))["work"].enqueued == 10

    async def test_who_gives_up_does_not_undo_it_for_others(self, bus: Bus) -> None:
        first, second = (asyncio.ensure_future(bus.core.ensure(WORK)) for _ in range(2))
        await asyncio.sleep(0)

        first.cancel()
        await second

        assert "work" in await queues(bus)

    async def test_a_declaration_that_cannot_work_is_refused_before_anything_happens(self, bus: Bus) -> None:
        wrong = Stream[Placed]("wrong", key="customer")

        with pytest.raises(DeclarationError):
            await bus.declare(wrong)

        assert await bus.admin.topics() == []

    async def test_another_definition_of_the_same_name_names_the_difference(self, bus: Bus) -> None:
        await bus.declare(Stream[Placed]("orders", key="order_id", partitions=3))

        with pytest.raises(AlreadyExists, match="partitions"):
            await bus.declare(Stream[Placed]("orders", key="order_id", partitions=2))

    async def test_a_failed_declaration_can_be_tried_again(self, bus: Bus) -> None:
        await bus.declare(Queue[Placed]("orders"))
        with pytest.raises(AlreadyExists):
            await bus.declare(ORDERS)

        await bus.admin.remove("orders")

        await bus.declare(ORDERS)

    async def test_definitions_can_be_declared_too(self, bus: Bus) -> None:
        letters = ORDERS.dead_definition("billing")
        assert letters is not None

        await bus.declare(letters)

        assert set(await queues(bus)) == {"orders.billing.dead"}

    async def test_what_the_engine_keeps_is_not_refused(self, bus: Bus) -> None:
        check_promises(bus.engine, VIEW)
        check_promises(bus.engine, Queue[Placed]("all", key="order_id", ttl="1h"))

    async def test_what_the_engine_refuses_is_refused_when_it_is_declared(self, bus: Bus) -> None:
        class Urgent(Stream[Placed]):
            def promises(self) -> tuple[str, ...]:
                return ("fair",)

        with pytest.raises(Unsupported, match="needs 'fair', which memory:// does not offer"):
            check_promises(bus.engine, Urgent("orders", key=None))


class TestLife:
    async def test_before_the_start_and_after_the_end_it_is_closed(self) -> None:
        bus = connect("memory://")
        for _ in range(2):
            with pytest.raises(Closed):
                await bus.publish(ORDERS, Placed(order_id="1"))
            with pytest.raises(Closed):
                bus.engine  # noqa: B018 - asking is what raises
            await bus.start()
            await bus.close()

    async def test_closing_twice_is_harmless(self) -> None:
        bus = connect("memory://")
        await bus.start()

        await bus.close()
        await bus.close()

    async def test_starting_twice_is_refused(self, bus: Bus) -> None:
        with pytest.raises(InvalidArgument, match="started already"):
            await bus.start()

    async def test_leaving_the_block_flushes(self) -> None:
        async with connect("memory://kept") as keeper:
            async with connect("memory://kept", linger="1h") as bus:
                await bus.declare(ORDERS)
                sent = bus.publish_nowait(ORDERS, Placed(order_id="1"))

            assert (await sent).offset == 0
            assert [m.event.order_id async for m in keeper.read(ORDERS, stop="end")] == ["1"]
