"""The app under test: a real engine, and time that stands still until the test moves it."""

import threading

import pytest

from isthmus import App, Backoff, Message, Notification, Queue, State, Stream
from isthmus.clock import MANUAL_START_MS
from isthmus.errors import Closed, InvalidArgument


class Placed(Notification):
    order_id: str


class Customer(State):
    customer_id: str


orders = Stream[Placed]("orders", key="order_id")
silent = Stream[Placed]("silent", key="order_id", dead=False)
jobs = Queue[Placed]("jobs", retry=Backoff(2, "10s", "10s", jitter=0))
elsewhere = Queue[Placed]("elsewhere")
customers = Stream[Customer]("customers", key="customer_id")


@pytest.fixture
def app() -> App:
    app = App("isthmus:///nowhere/that/a/test/could/write", name="shop", linger="1h")

    @app.on(orders, group="g", to=jobs)
    async def forward(event: Placed) -> Placed:
        return event

    @app.on(jobs)
    def work(event: Placed) -> None:
        if event.order_id == "poison":
            raise ValueError("no")

    return app


def order(order_id: str = "o-1") -> Placed:
    return Placed(order_id=order_id)


async def test_the_url_is_not_opened_and_nothing_lingers(app: App) -> None:
    async with app.test() as t:
        receipt = await t.publish(orders, order())

        assert receipt.offset == 0
        assert t.bus.engine.url == "memory://"


async def test_drain_lets_everything_happen_that_takes_no_time(app: App) -> None:
    async with app.test() as t:
        await t.publish(orders, order())
        await t.drain()

        assert t.clock.now_ms() == MANUAL_START_MS
        assert t.published(jobs) == [order()]
        assert t.metrics.consumers["jobs"].handled == 1


async def test_advance_lets_time_pass_at_once(app: App) -> None:
    async with app.test() as t:
        await t.publish(jobs, order("poison"))
        await t.advance("9s")
        assert t.dead(jobs) == []
        await t.advance("1s")

        assert [message.event for message in t.dead(jobs)] == [order("poison")]
        assert t.clock.now_ms() == MANUAL_START_MS + 10_000


async def test_delayed_events_come_when_they_are_due(app: App) -> None:
    async with app.test() as t:
        await t.publish(jobs, order(), delay="15m")
        await t.advance("14m")
        assert t.metrics.handled == 0
        await t.advance("1m")

        assert t.metrics.handled == 1


async def test_published_shows_what_is_settled_and_what_others_published(app: App) -> None:
    async with app.test() as t:
        await t.bus.publish(elsewhere, order())
        await t.drain()

        assert t.published(elsewhere) == [order()]
        assert t.published(orders) == []


async def test_published_leaves_deletions_out(app: App) -> None:
    async with app.test() as t:
        await t.publish(customers, Customer(customer_id="c-1"))
        await t.bus.delete(customers, "c-1")
        await t.drain()

        assert t.published(customers) == [Customer(customer_id="c-1")]


async def test_dead_letters_of_a_stream_are_those_of_a_group(app: App) -> None:
    async with app.test() as t:
        with pytest.raises(InvalidArgument, match="name one"):
            t.dead(orders)
        assert t.dead(orders, "g") == []
        with pytest.raises(InvalidArgument, match="keeps no dead letters"):
            t.dead(silent, "g")


async def test_redriven_dead_letters_are_no_longer_dead(app: App) -> None:
    async with app.test() as t:
        await t.publish(jobs, order("poison"))
        await t.advance("10s")
        assert await t.bus.admin.redrive("jobs.dead") == 1
        await t.drain()

        assert t.dead(jobs) == []
        assert len(t.published(jobs)) == 2


async def test_tables_can_be_looked_at(app: App) -> None:
    app.table(customers)
    async with app.test() as t:
        await t.publish(customers, Customer(customer_id="c-1"))
        await t.drain()

        assert t.table(customers).keys() == ["c-1"]
        with pytest.raises(InvalidArgument, match="no table"):
            t.table(Stream[Customer]("others", key="customer_id"))


async def test_what_breaks_in_the_machinery_is_raised_by_the_test(app: App) -> None:
    class Unheard(BaseException): ...

    @app.on(elsewhere)
    async def broken(event: Placed) -> None:
        raise Unheard

    t = await app.test().__aenter__()
    await t.publish(elsewhere, order())
    with pytest.raises(Unheard):
        await t.drain()
    with pytest.raises(Unheard):
        await t.__aexit__(None, None, None)


async def test_an_app_is_tested_again_and_again_from_nothing(app: App) -> None:
    for _ in range(3):
        async with app.test() as t:
            await t.publish(orders, order())
            await t.drain()
            assert len(t.published(orders)) == 1
            assert t.metrics.handled == 2


async def test_threads_end_with_the_test(app: App) -> None:
    async with app.test() as t:
        await t.publish(jobs, order())
        await t.drain()
        running = [thread for thread in threading.enumerate() if thread.name.startswith("isthmus-handler")]
        assert running

    for thread in running:
        thread.join()


async def test_outside_of_its_block_there_is_no_app(app: App) -> None:
    t = app.test()
    with pytest.raises(Closed):
        await t.publish(orders, order())
    with pytest.raises(Closed):
        t.published(orders)


async def test_an_app_is_not_tested_twice_at_a_time(app: App) -> None:
    async with app.test():
        with pytest.raises(InvalidArgument, match="it runs already"):
            await app.start()


async def test_messages_of_dead_letters_say_why(app: App) -> None:
    async with app.test() as t:
        await t.publish(jobs, order("poison"))
        await t.advance("10s")
        (message,) = t.dead(jobs)

        assert isinstance(message, Message)
        assert (message.attempt, message.failed) == (2, 2)
        assert message.headers["isthmus-reason"] == b"ValueError: no"
