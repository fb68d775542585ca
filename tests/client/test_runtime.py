"""One run of an app: up in order, down in reverse, whatever fails on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from isthmus import App, Notification, Queue, State, Stream, connect
from isthmus.client.runtime import collect, emulations
from isthmus.engines.base import Capability
from isthmus.errors import AlreadyExists, DeclarationError
from isthmus.types import Bus


class Placed(Notification):
    order_id: str


class Customer(State):
    customer_id: str


class Database: ...


class Mailer:
    def __init__(self, database: Database) -> None:
        self.database = database


orders = Stream[Placed]("orders", key="order_id")
jobs = Queue[Placed]("jobs")
customers = Stream[Customer]("customers", key="customer_id")


class Life:
    """An app that notes what happens in its life."""

    def __init__(self, url: str = "memory://") -> None:
        self.app = App(url)
        self.rows: list[str] = []
        self.fail_at = ""
        self.handled = asyncio.Event()
        app, rows, handled = self.app, self.rows, self.handled

        @app.provide
        async def database() -> AsyncIterator[Database]:
            self.note("database up")
            yield Database()
            self.note("database down")

        @app.provide
        def mailer(database: Database) -> Iterator[Mailer]:
            self.note("mailer up")
            yield Mailer(database)
            self.note("mailer down")

        @app.on_start
        async def started(bus: Bus, mailer: Mailer) -> None:
            self.note("started")
            await bus.publish(jobs, Placed(order_id="from the start"))

        @app.on_stop
        def stopped(mailer: Mailer) -> None:
            self.note("stopped")

        @app.on(jobs)
        async def handle(event: Placed, mailer: Mailer, bus: Bus) -> None:
            rows.append("handled")
            handled.set()

    def note(self, row: str) -> None:
        self.rows.append(row)
        if row == self.fail_at:
            raise ValueError(row)


async def test_everything_comes_up_in_order_and_goes_down_in_reverse() -> None:
    life = Life()

    async with life.app:
        await life.handled.wait()

    assert life.rows == [
        "database up",
        "mailer up",
        "started",
        "handled",
        "stopped",
        "mailer down",
        "database down",
    ]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("database up", ["database up"]),
        ("mailer up", ["database up", "mailer up", "database down"]),
        ("started", ["database up", "mailer up", "started", "mailer down", "database down"]),
    ],
)
async def test_what_fails_at_the_start_takes_down_what_is_up(where: str, rows: list[str]) -> None:
    life = Life("memory://fails-at-the-start")
    life.fail_at = where

    with pytest.raises(ValueError, match=where):
        await life.app.start()

    assert life.rows == rows
    async with connect("memory://fails-at-the-start") as bus:
        assert await bus.admin.topics() == []  # the store went with its last user


@pytest.mark.parametrize("where", ["stopped", "mailer down", "database down"])
async def test_what_fails_at_the_end_does_not_keep_the_rest_up(where: str) -> None:
    life = Life()
    life.fail_at = where
    await life.app.start()
    await life.handled.wait()

    with pytest.raises(ValueError, match=where):
        await life.app.stop()

    assert life.rows[-3:] == ["stopped", "mailer down", "database down"]


async def test_several_failures_at_the_end_are_all_told() -> None:
    errors: list[BaseException] = []

    async def fails(number: int) -> None:
        raise ValueError(number)

    await collect(errors, fails(1), fails(2))

    assert [str(error) for error in errors] == ["1", "2"]


async def test_an_app_that_failed_to_start_may_start_again() -> None:
    life = Life()
    life.fail_at = "started"
    with pytest.raises(ValueError, match="started"):
        await life.app.start()
    life.fail_at = ""

    async with life.app:
        await life.handled.wait()


async def test_a_queue_with_a_type_that_nobody_takes_is_refused_at_the_start() -> None:
    class Refunded(Notification):
        order_id: str

    app = App("memory://")
    both = Queue[Placed | Refunded]("both")

    @app.on(both)
    async def handle(event: Placed) -> None: ...

    with pytest.raises(DeclarationError, match="carries Refunded, but no handler takes it"):
        await app.start()


async def test_all_that_is_declared_is_there_after_the_start() -> None:
    app = App("memory://")
    app.table(customers)

    @app.on(orders, group="billing", to=jobs)
    async def handle(event: Placed) -> Placed:
        return event

    async with app.test() as t:
        topics = {topic.name for topic in await t.bus.admin.topics()}

    assert topics == {"customers", "orders", "orders.billing.dead", "jobs", "jobs.dead"}


async def test_a_destination_that_is_there_with_another_definition_is_named() -> None:
    wider = Stream[Placed]("orders", key="order_id", partitions=4)
    app = App("memory://differs")

    @app.on(orders, group="g")
    async def handle(event: Placed) -> None: ...

    async with connect("memory://differs") as bus:
        await bus.declare(wider)
        with pytest.raises(AlreadyExists, match="partitions"):
            await app.start()


def test_promises_that_are_emulated_are_told_one_line_each() -> None:
    capabilities = {
        "unit": Capability(support="emulated", how="outputs first, then the acknowledgement"),
        "delay": Capability(support="emulated", how="not asked for"),
        "ordered": Capability(support="native"),
    }

    lines = emulations(capabilities, ["unit", "ordered", "unit", "unheard"])

    assert lines == ["unit is emulated: outputs first, then the acknowledgement"]
