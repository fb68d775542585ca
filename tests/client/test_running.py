"""Running handlers: with answers of owners, in hops of bounded length."""

import threading

import pytest

from isthmus import App, Backoff, Message, Notification, Queue, Reject, Stream
from isthmus.limits import ENRICH_FAILURES_OPEN, HANDLER_BATCH_MS


class Placed(Notification):
    order_id: str
    number: int = 0


class Cancelled(Notification):
    order_id: str


class Order:
    def __init__(self, order_id: str, asked: int) -> None:
        self.order_id = order_id
        self.asked = asked


orders = Stream[Placed | Cancelled]("orders", key="order_id", partitions=2)
jobs = Queue[Placed]("jobs", retry=Backoff(2, "1s", "1s", jitter=0))


class Owner:
    """A service that the tests ask about orders; it fails while it is down."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False

    def order(self, order_id: str) -> Order:
        self.asked.append(order_id)
        if self.down:
            raise OSError("no route")
        if order_id == "unknown":
            raise Reject("no such order")
        return Order(order_id, len(self.asked))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def app(owner: Owner) -> App:
    app = App("memory://")

    @app.provide
    def the_owner() -> Owner:
        return owner

    @app.enrich(Placed, retry=Backoff(2, "100ms", "100ms", jitter=0))
    async def placed_order(event: Placed, owner: Owner) -> Order:
        return owner.order(event.order_id)

    @app.enrich(Cancelled)
    def cancelled_order(event: Cancelled, owner: Owner) -> Order:
        return owner.order(f"-{event.order_id}")

    return app


class TestAnswers:
    async def test_are_asked_for_once_however_many_handlers_and_groups_want_them(self, app: App, owner: Owner) -> None:
        seen: list[tuple[str, str, int]] = []

        @app.on(orders, group="one")
        async def one(event: Placed, order: Order) -> None:
            seen.append(("one", order.order_id, order.asked))

        @app.on(orders, group="two")
        def two(order: Order, msg: Message[Placed]) -> None:
            seen.append(("two", order.order_id, order.asked))

        @app.on(orders, group="three", batch=10)
        async def three(events: list[Placed], orders: list[Order]) -> None:
            seen.extend(("three", order.order_id, order.asked) for order in orders)

        async with app.test() as t:
            await t.publish(orders, Placed(order_id="a"), Placed(order_id="b"))
            await t.drain()
            counts = t.metrics.enrich["app.<locals>.placed_order"]

        assert sorted(owner.asked) == ["a", "b"]
        assert len(seen) == 6
        assert (counts.wanted, counts.calls, counts.saved) == (6, 2, 4)

    async def test_come_from_the_question_about_the_events_type(self, app: App) -> None:
        seen: list[str] = []

        @app.on(orders, group="g")
        async def handle(event: Placed | Cancelled, order: Order) -> None:
            seen.append(order.order_id)

        async with app.test() as t:
            await t.publish(orders, Placed(order_id="a"), Cancelled(order_id="a"))
            await t.drain()

        assert seen == ["a", "-a"]

    async def test_may_be_that_there_is_none(self, app: App) -> None:
        @app.on(jobs)
        async def handle(event: Placed, order: Order) -> None: ...

        async with app.test() as t:
            await t.publish(jobs, Placed(order_id="unknown"), Placed(order_id="a"))
            await t.drain()

            assert [message.event.order_id for message in t.dead(jobs)] == ["unknown"]
            assert t.metrics.handled == 1

    async def test_that_fail_are_failures_of_the_event(self, app: App, owner: Owner) -> None:
        owner.down = True

        @app.on(jobs)
        async def handle(event: Placed, order: Order) -> None: ...

        async with app.test() as t:
            await t.publish(jobs, Placed(order_id="a"))
            await t.advance("100ms")
            assert t.metrics.failed == 1
            owner.down = False
            await t.advance("1s")
            assert t.metrics.handled == 1

        assert owner.asked == ["a"] * 3

    async def test_of_a_service_that_is_left_alone_are_waited_for_uncounted(self, app: App, owner: Owner) -> None:
        owner.down = True

        @app.on(jobs)
        async def handle(event: Placed, order: Order) -> None: ...

        async with app.test() as t:
            await t.publish(jobs, *(Placed(order_id=f"o-{number}") for number in range(40)))
            await t.advance("5s")
            asked = len(owner.asked)
            assert asked < 40
            assert t.metrics.consumers["jobs"].released > 0
            owner.down = False
            await t.advance("10m")

            assert t.metrics.handled + t.metrics.dead == 40
            assert t.metrics.dead <= ENRICH_FAILURES_OPEN * 2

    async def test_that_fail_in_a_list_condemn_only_their_event(self, app: App) -> None:
        handled: list[str] = []

        @app.on(jobs, batch=10)
        def handle(events: list[Placed], found: list[Order]) -> None:
            handled.extend(order.order_id for order in found)

        async with app.test() as t:
            await t.publish(jobs, *(Placed(order_id=order_id) for order_id in ("a", "unknown", "b")))
            await t.drain()

            assert [message.event.order_id for message in t.dead(jobs)] == ["unknown"]

        assert handled == ["a", "b"]


class TestHops:
    async def test_end_when_they_have_taken_long_enough(self) -> None:
        app = App("memory://")
        hops: list[int] = []
        go = threading.Event()

        @app.on(jobs, workers=2)
        def handle(event: Placed) -> None:
            go.wait()
            t.clock._now_ms += HANDLER_BATCH_MS
            hops.append(event.number)

        async with app.test() as t:
            await t.publish(jobs, *(Placed(order_id="a", number=number) for number in range(6)))
            go.set()
            await t.drain()

            assert t.metrics.handled == 6

        assert sorted(hops) == list(range(6))
