"""A local copy of state: filled from the log, kept fresh, honest about what it does not know."""

import asyncio
from uuid import UUID

import pytest

from isthmus import App, Notification, State, Stream, connect
from isthmus.client.delivery import Message
from isthmus.client.table import Table, Version
from isthmus.errors import Closed, DeclarationError, DecodeError
from isthmus.record import StoredRecord


class Customer(State):
    customer_id: str
    name: str


class NamedCustomer(State, type="Customer"):
    customer_id: str
    name: int


class Seat(State):
    flight: int
    row: UUID
    taken: bool = False


class Placed(Notification):
    order_id: str
    customer_id: str = "c-1"


customers = Stream[Customer]("customers", key="customer_id", partitions=3)
seats = Stream[Seat]("seats", key=["flight", "row"])
orders = Stream[Placed]("orders", key="order_id")

ROW = UUID(int=7)


def customer(number: int, name: str = "Ada") -> Customer:
    return Customer(customer_id=f"c-{number}", name=name)


@pytest.fixture
def app() -> App:
    return App("memory://")


class TestReading:
    async def test_like_a_dict(self, app: App) -> None:
        table = app.table(customers)
        async with app.test() as t:
            await t.publish(customers, customer(1), customer(2, "Bob"), customer(1, "Eve"))
            await t.drain()

            assert table["c-1"] == table.get("c-1") == customer(1, "Eve")
            assert "c-2" in table
            assert "c-3" not in table
            assert len(table) == 2
            assert sorted(table) == sorted(table.keys()) == ["c-1", "c-2"]
            assert dict(table.items()) == {"c-1": customer(1, "Eve"), "c-2": customer(2, "Bob")}
            assert sorted(each.name for each in table.values()) == ["Bob", "Eve"]

    async def test_of_an_unknown_key_gives_the_default(self, app: App) -> None:
        table = app.table(customers)
        async with app.test():
            assert table.get("c-9") is None
            assert table.get("c-9", 7) == 7
            assert table.at("c-9") is None
            with pytest.raises(KeyError, match="c-9"):
                table["c-9"]

    async def test_by_a_key_of_several_fields(self, app: App) -> None:
        table = app.table(seats)
        async with app.test() as t:
            await t.publish(seats, Seat(flight=12, row=ROW))
            await t.drain()

            assert table[12, ROW].flight == 12
            assert table.keys() == [(12, ROW)]

    async def test_tells_which_event_a_state_comes_from(self, app: App) -> None:
        table = app.table(seats)
        async with app.test() as t:
            await t.publish(seats, Seat(flight=12, row=ROW))
            await t.advance("1s")
            await t.publish(seats, Seat(flight=12, row=ROW, taken=True))
            await t.drain()

            assert table.at((12, ROW)) == Version(0, 1, t.clock.now_ms())
            assert table.offsets == {0: 2}

    async def test_takes_a_running_app(self, app: App) -> None:
        table = app.table(customers)
        with pytest.raises(Closed, match="whose app is not running"):
            table.get("c-1")
        async with app.test():
            pass
        with pytest.raises(Closed):
            len(table)


class TestFreshness:
    async def test_a_deleted_key_is_gone(self, app: App) -> None:
        table = app.table(customers)
        async with app.test() as t:
            await t.publish(customers, customer(1), customer(2))
            await t.bus.delete(customers, "c-1")
            await t.drain()

            assert table.keys() == ["c-2"]

    async def test_it_is_filled_before_handlers_start(self) -> None:
        app = App("memory://table-filled")
        table = app.table(customers)
        seen: list[int] = []
        done = asyncio.Event()

        @app.on_start
        async def look() -> None:
            await table.ready()
            seen.append(len(table))

        @app.on(orders, group="g")
        async def handle(event: Placed) -> None:
            seen.append(len(table))
            done.set()

        async with connect("memory://table-filled") as bus:
            await bus.publish(customers, *(customer(number) for number in range(2_000)))
            await bus.publish(orders, Placed(order_id="o-1"))
            async with app:
                await done.wait()

        assert seen == [2_000, 2_000]

    async def test_handlers_in_threads_may_read_it(self, app: App) -> None:
        table = app.table(customers)
        names: list[str] = []

        @app.on(orders, group="g")
        def handle(event: Placed) -> None:
            names.append(table[event.customer_id].name)

        async with app.test() as t:
            await t.publish(customers, customer(1))
            await t.publish(orders, Placed(order_id="o-1"))
            await t.advance("10s")

        assert names == ["Ada"]

    def test_what_was_taken_over_already_is_passed_over(self) -> None:
        table: Table[Customer] = Table(customers)
        loop = asyncio.new_event_loop()
        table.open(loop.create_future())
        loop.close()

        table.apply([_message(5, "new")])
        table.apply([_message(4, "old"), _message(5, "again")])

        assert table["c-1"].name == "new"


def _message(offset: int, name: str) -> Message[Customer]:
    return Message(customer(1, name), StoredRecord(offset, 0, b"c-1", b"{}", b""), "customers", 0)


class TestHonesty:
    async def test_a_state_that_cannot_be_decoded_is_not_replaced_by_an_old_one(self, app: App) -> None:
        table = app.table(customers)
        other = Stream[NamedCustomer]("customers", key="customer_id", partitions=3)
        async with app.test() as t:
            await t.publish(customers, customer(1), customer(2))
            await t.publish(other, NamedCustomer(customer_id="c-1", name=7))
            await t.drain()

            with pytest.raises(DecodeError):
                table.get("c-1")
            assert table.keys() == ["c-2"]
            assert list(table.broken) == [b"c-1"]

            await t.publish(customers, customer(1, "Eve"))
            await t.drain()
            assert table["c-1"].name == "Eve"
            assert table.broken == {}

    def test_a_stream_that_keeps_everything_has_none(self, app: App) -> None:
        with pytest.raises(DeclarationError, match="there is no table of it"):
            app.table(orders)  # type: ignore[type-var]

    def test_there_is_one_of_a_stream(self, app: App) -> None:
        assert app.table(customers) is app.table(customers)
