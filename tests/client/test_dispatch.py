"""A consumer of an app: what runs when, what comes again, what is handed back."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import App, Backoff, Message, Notification, Queue, Reject, Retry, State, Stream, connect
from isthmus.client.bus import Bus
from isthmus.client.signature import Value
from isthmus.errors import LeaseLost, WrongEventType


class Placed(Notification):
    order_id: str
    number: int = 0


class Cancelled(Notification):
    order_id: str


class Foreign(Notification):
    order_id: str


class Customer(State):
    customer_id: str
    name: str = ""


orders = Stream[Placed | Cancelled]("orders", key="order_id", partitions=2)
placed_only = Stream[Placed]("placed", key="order_id")
customers = Stream[Customer]("customers", key="customer_id")
jobs = Queue[Placed]("jobs", retry=Backoff(3, "1s", "10s", jitter=0))
keyed_jobs = Queue[Placed]("keyed", key="order_id", retry=Backoff(3, "1s", "10s", jitter=0))
results = Stream[Placed]("results", key="order_id")

RETRY = Backoff(3, "1s", "10s", jitter=0)


def placed(order_ids: str) -> list[Placed]:
    """One event per letter, the letter being its order, numbered."""
    return [Placed(order_id=order_id, number=number) for number, order_id in enumerate(order_ids)]


class Notes:
    """What a handler noted."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.running = 0
        self.running_most = 0

    async def work(self, row: object) -> None:
        """Note something, after a few turns of the loop."""
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        for _ in range(3):
            await asyncio.sleep(0)
        self.running -= 1
        self.rows.append(row)

    def of(self, order_id: str) -> list[int]:
        return [event.number for event in self.rows if event.order_id == order_id]


@pytest.fixture
def app() -> App:
    return App("memory://", name="shop")


@pytest.fixture
def notes() -> Notes:
    return Notes()


class TestOrder:
    async def test_one_worker_handles_a_partition_in_order(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g")
        async def handle(event: Placed) -> None:
            await notes.work(event)

        async with app.test() as t:
            await t.publish(orders, *placed("abcabc" * 50))
            await t.drain()

        assert len(notes.rows) == 300
        assert notes.running_most == 1
        assert all(notes.of(key) == sorted(notes.of(key)) for key in "abc")

    async def test_many_workers_keep_the_order_of_each_key(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g", workers=8)
        async def handle(event: Placed) -> None:
            await notes.work(event)

        async with app.test() as t:
            await t.publish(orders, *placed("aabbccddeeff" * 25))
            await t.drain()

        assert notes.running_most > 3
        assert len(notes.rows) == 300
        assert all(notes.of(key) == sorted(notes.of(key)) for key in "abcdef")

    async def test_a_queue_without_a_key_has_no_order_to_keep(self, app: App, notes: Notes) -> None:
        @app.on(jobs, workers=8)
        async def handle(event: Placed) -> None:
            await notes.work(event)

        async with app.test() as t:
            await t.publish(jobs, *placed("a" * 40))
            await t.drain()

        assert notes.running_most == 8
        assert sorted(notes.of("a")) == list(range(40))

    async def test_a_failing_key_holds_back_only_itself(self, app: App, notes: Notes) -> None:
        failures = {1: 2}

        @app.on(placed_only, group="g", retry=RETRY)
        async def handle(event: Placed) -> None:
            if failures.get(event.number):
                failures[event.number] -= 1
                raise ValueError("not yet")
            await notes.work(event)

        async with app.test() as t:
            await t.publish(placed_only, *placed("aababb"))
            await t.drain()
            assert [event.number for event in notes.rows] == [0, 2, 4, 5]
            await t.advance("1m")

        assert notes.of("a") == [0, 1, 3]

    @pytest.mark.parametrize("workers", [1, 4])
    async def test_a_failing_key_holds_back_what_comes_later_too(self, app: App, notes: Notes, workers: int) -> None:
        failures = [ValueError("no"), ValueError("no")]

        @app.on(placed_only, group="g", retry=RETRY, workers=workers)
        async def handle(event: Placed) -> None:
            if event.number == 0 and failures:
                raise failures.pop()
            await notes.work(event)

        async with app.test() as t:
            await t.publish(placed_only, *placed("a"))
            await t.drain()
            await t.publish(placed_only, *placed("ab")[1:], Placed(order_id="a", number=5))
            await t.drain()
            assert [event.number for event in notes.rows] == [1]
            await t.advance("10s")

        assert notes.of("a") == [0, 5]

    @pytest.mark.parametrize("workers", [1, 4])
    @pytest.mark.parametrize("plain", [False, True])
    async def test_a_failing_key_is_held_back_while_its_failure_is_on_its_way_to_the_disk(
        self, tmp_path: Path, notes: Notes, workers: int, plain: bool
    ) -> None:
        app = App(str(tmp_path / "store"))
        failing = {0, 900, 1_500}
        last = asyncio.Event()
        loop = asyncio.get_running_loop()

        def handle(event: Placed) -> None:
            notes.rows.append(event)
            if event.number in failing:
                failing.remove(event.number)
                raise ValueError("no")
            if len(notes.rows) == 3_003:
                loop.call_soon_threadsafe(last.set)

        async def handle_on_the_loop(event: Placed) -> None:
            handle(event)

        retry = Backoff(9, "1ms", "1ms")
        app.on(placed_only, group="g", retry=retry, workers=workers)(handle if plain else handle_on_the_loop)
        async with app:
            await app.publish(placed_only, *placed("aab" * 1_000))
            await last.wait()

        assert all(notes.of(key) == sorted(notes.of(key)) for key in "ab")
        assert len(notes.rows) == 3_003

    async def test_behind_a_dead_letter_the_key_goes_on(self, app: App, notes: Notes) -> None:
        @app.on(placed_only, group="g")
        async def handle(event: Placed) -> None:
            if event.number == 1:
                raise Reject("never")
            await notes.work(event)

        async with app.test() as t:
            await t.publish(placed_only, *placed("aaaa"))
            await t.drain()
            dead = t.dead(placed_only, "g")

        assert notes.of("a") == [0, 2, 3]
        assert [message.event.number for message in dead] == [1]

    async def test_a_queue_with_a_key_hands_out_the_next_when_the_first_is_done(self, app: App, notes: Notes) -> None:
        failures = [ValueError("no")]

        @app.on(keyed_jobs, workers=4)
        async def handle(event: Placed) -> None:
            if failures:
                raise failures.pop()
            await notes.work(event)

        async with app.test() as t:
            await t.publish(keyed_jobs, *placed("aaab"))
            await t.advance("10s")

        assert notes.of("a") == [0, 1, 2]


class TestFailures:
    async def test_come_again_by_the_back_off_and_end_in_the_dead_letters(self, app: App) -> None:
        tried: list[tuple[int, int]] = []

        @app.on(jobs)
        async def handle(event: Placed, msg: Message[Placed]) -> None:
            tried.append((t.clock.monotonic_ms(), msg.attempt))
            raise ValueError("broken")

        async with app.test() as t:
            await t.publish(jobs, *placed("a"))
            await t.advance("1m")
            (dead,) = t.dead(jobs)
            counts = t.metrics.consumers["jobs"]

        assert tried == [(0, 1), (1_000, 2), (3_000, 3)]
        assert dead.attempt == 3
        assert dead.headers["isthmus-reason"] == b"ValueError: broken"
        assert b"in handle" in (dead.headers["isthmus-traceback"] or b"")
        assert (counts.failed, counts.dead, counts.handled) == (2, 1, 0)

    async def test_of_a_stream_are_counted_by_the_broker(self, app: App) -> None:
        attempts: list[int] = []

        @app.on(placed_only, group="g", retry=RETRY)
        def handle(msg: Message[Placed]) -> None:
            attempts.append(msg.attempt)
            raise ValueError("broken")

        async with app.test() as t:
            await t.publish(placed_only, *placed("a"))
            await t.advance("1m")
            (dead,) = t.dead(placed_only, "g")

        assert attempts == [1, 2, 3]
        assert dead.attempt == 3

    async def test_retry_says_when(self, app: App, notes: Notes) -> None:
        @app.on(jobs)
        async def handle(event: Placed) -> None:
            notes.rows.append(t.clock.monotonic_ms())
            if len(notes.rows) < 3:
                raise Retry("later", after="7s")

        async with app.test() as t:
            await t.publish(jobs, *placed("a"))
            await t.advance("1m")

        assert notes.rows == [0, 7_000, 14_000]

    async def test_a_handler_that_something_in_it_cancelled_has_failed(self, app: App, notes: Notes) -> None:
        @app.on(jobs)
        async def handle(event: Placed) -> None:
            notes.rows.append(event)
            if len(notes.rows) == 1:
                raise asyncio.CancelledError

        async with app.test() as t:
            await t.publish(jobs, *placed("a"))
            await t.advance("1m")
            assert t.metrics.failed == 1

        assert len(notes.rows) == 2

    async def test_a_result_that_cannot_be_published_is_one(self, app: App) -> None:
        @app.on(jobs, to=results)
        async def handle(event: Placed) -> Value:
            return "no event" if event.number == 0 else Cancelled(order_id="x")

        async with app.test() as t:
            await t.publish(jobs, *placed("ab"))
            await t.advance("1m")
            reasons = [message.headers["isthmus-reason"] or b"" for message in t.dead(jobs)]

        assert all(WrongEventType.__name__ in reason.decode() for reason in reasons)
        assert len(reasons) == 2

    async def test_an_output_that_the_engine_refuses_is_one_of_its_event_alone(self, app: App) -> None:
        @app.on(jobs, to=results)
        async def handle(event: Placed) -> Placed:
            return Placed(order_id="x" * (2_000_000 if event.number == 1 else 1), number=event.number)

        async with app.test() as t:
            await t.publish(jobs, *placed("abc"))
            await t.advance("1m")
            dead = t.dead(jobs)
            given = t.published(results)

        assert [message.event.number for message in dead] == [1]
        assert sorted(event.number for event in given) == [0, 2]

    async def test_leave_no_outputs_behind(self, app: App) -> None:
        @app.on(jobs, to=results)
        async def handle(event: Placed, msg: Message[Placed]) -> Placed:
            if msg.attempt < 2:
                raise ValueError("not yet")
            return event

        async with app.test() as t:
            await t.publish(jobs, *placed("abc"))
            await t.drain()
            assert t.published(results) == []
            await t.advance("1m")

            assert sorted(event.number for event in t.published(results)) == [0, 1, 2]


class TestWhatNoHandlerTakes:
    async def test_is_passed_over_and_counted_by_a_group(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g")
        async def handle(event: Placed) -> None:
            notes.rows.append(event)

        async with app.test() as t:
            await t.publish(orders, Cancelled(order_id="a"), *placed("a"), Cancelled(order_id="b"))
            await t.drain()
            assert t.metrics.skipped_types == 2
            (group,) = await t.bus.admin.groups("orders")

        assert len(notes.rows) == 1
        assert group.lag == 0

    async def test_and_cannot_be_decoded_goes_to_the_dead_letters(self, app: App, notes: Notes) -> None:
        wider = Stream[Foreign | Placed | Cancelled]("orders", key="order_id", partitions=2)

        @app.on(orders, group="g")
        async def handle(event: Placed) -> None:
            notes.rows.append(event)

        async with app.test() as t:
            await t.publish(wider, Foreign(order_id="a"))
            await t.publish(orders, *placed("a"))
            await t.drain()
            (dead,) = t.dead(orders, "g")

        assert len(notes.rows) == 1
        assert b"UnknownType" in (dead.headers["isthmus-reason"] or b"")

    async def test_tombstones_reach_handlers_of_messages(self, app: App, notes: Notes) -> None:
        @app.on(customers, group="messages")
        async def messages(msg: Message[Customer]) -> None:
            notes.rows.append((msg.key, msg.deleted))

        @app.on(customers, group="events")
        async def events(event: Customer) -> None:
            notes.rows.append(event.customer_id)

        async with app.test() as t:
            await t.publish(customers, Customer(customer_id="c-1"))
            await t.bus.delete(customers, "c-1")
            await t.drain()
            assert t.metrics.consumers["customers/events"].skipped_types == 1

        assert sorted(notes.rows, key=str) == [(b"c-1", False), (b"c-1", True), "c-1"]


class TestLists:
    async def test_run_when_they_are_full(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g", batch=10, wait="1m")
        async def handle(events: list[Placed]) -> None:
            notes.rows.append(len(events))

        async with app.test() as t:
            await t.publish(orders, *placed("a" * 25))
            await t.clock.drain()
            assert notes.rows == [10, 10]
            await t.clock.advance(60_000)

        assert notes.rows == [10, 10, 5]

    async def test_run_when_a_test_drains(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g", batch=10, wait="1m")
        def handle(events: list[Placed], messages: list[Message[Placed]]) -> None:
            notes.rows.append((len(events), [message.offset for message in messages]))

        async with app.test() as t:
            await t.publish(orders, *placed("aaa"))
            await t.drain()

        assert notes.rows == [(3, [0, 1, 2])]

    async def test_that_fail_are_taken_one_by_one_so_that_the_rest_is_not_condemned(
        self, app: App, notes: Notes
    ) -> None:
        @app.on(placed_only, group="g", batch=10, retry=RETRY, to=results)
        async def handle(events: list[Placed]) -> list[Placed]:
            if any(event.number == 2 for event in events):
                raise ValueError("poison")
            notes.rows += events
            return events

        async with app.test() as t:
            await t.publish(placed_only, *placed("abcda"), Placed(order_id="c", number=9))
            await t.drain()
            assert [event.number for event in notes.rows] == [0, 1, 3, 4]
            await t.advance("1m")
            dead = t.dead(placed_only, "g")
            given = t.published(results)

        assert [(message.event.number, message.attempt) for message in dead] == [(2, 3)]
        assert notes.of("c") == [9]
        assert sorted(event.number for event in given) == [0, 1, 3, 4, 9]

    async def test_that_fail_altogether_are_handed_back_uncounted(self, app: App, notes: Notes) -> None:
        down = True

        @app.on(jobs, batch=20)
        async def handle(events: list[Placed]) -> None:
            if down:
                raise OSError("no route")
            notes.rows += events

        async with app.test() as t:
            await t.publish(jobs, *placed("a" * 20))
            await t.drain()
            counts = t.metrics.consumers["jobs"]
            assert (counts.failed, counts.released) == (3, 17)
            down = False
            await t.advance("1m")
            assert t.dead(jobs) == []

        assert len(notes.rows) == 20

    async def test_may_refuse_single_messages(self, app: App) -> None:
        @app.on(jobs, batch=10)
        async def handle(messages: list[Message[Placed]]) -> None:
            for message in messages:
                if message.event.number == 1:
                    await message.reject("odd")
                if message.event.number == 2 and message.attempt == 1:
                    await message.nack(after="5s")

        async with app.test() as t:
            await t.publish(jobs, *placed("abcd"))
            await t.drain()
            assert t.metrics.handled == 2
            await t.advance("5s")
            assert t.metrics.handled == 3
            (dead,) = t.dead(jobs)

        assert dead.event.number == 1


class TestThreads:
    async def test_run_plain_functions(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g")
        def handle(event: Placed) -> None:
            notes.rows.append(threading.current_thread().name)

        async with app.test() as t:
            await t.publish(orders, *placed("ab" * 100))
            await t.drain()

        assert len(notes.rows) == 200
        assert all(name.startswith("isthmus-handler") for name in notes.rows)

    @pytest.mark.parametrize("workers", [1, 4])
    async def test_keep_the_order_of_a_failing_key_within_a_hop(self, app: App, notes: Notes, workers: int) -> None:
        failures = [ValueError("no")]

        @app.on(placed_only, group="g", retry=RETRY, workers=workers)
        def handle(event: Placed) -> None:
            if event.number == 2 and failures:
                raise failures.pop()
            notes.rows.append(event)

        async with app.test() as t:
            await t.publish(placed_only, *placed("abaabbab"))
            await t.drain()
            assert notes.of("a") == [0]
            assert notes.of("b") == [1, 4, 5, 7]
            await t.advance("10s")

        assert notes.of("a") == [0, 2, 3, 6]

    async def test_share_a_group_with_coroutines(self, app: App, notes: Notes) -> None:
        @app.on(orders, group="g")
        def plain(event: Placed) -> None:
            notes.rows.append(event.order_id)

        @app.on(orders, group="g")
        async def coroutine(event: Cancelled) -> None:
            notes.rows.append(event.order_id.upper())

        async with app.test() as t:
            for order_id in "aaaa":
                await t.publish(orders, Placed(order_id=order_id), Cancelled(order_id=order_id))
            await t.drain()

        assert notes.rows == ["a", "A"] * 4

    async def test_may_settle_by_themselves(self, app: App, notes: Notes) -> None:
        @app.on(jobs)
        def handle(msg: Message[Placed]) -> None:
            msg.extend("2m")
            if msg.event.number == 0:
                msg.ack()
            elif msg.attempt == 1:
                msg.nack(after="3s")
            notes.rows.append(t.clock.monotonic_ms())

        async with app.test() as t:
            await t.publish(jobs, *placed("ab"))
            await t.advance("1m")
            assert t.metrics.handled == 2

        assert notes.rows == [0, 0, 3_000]


class TestSettlingByHand:
    async def test_an_acknowledged_event_is_done_whatever_follows(self, app: App, notes: Notes) -> None:
        @app.on(jobs)
        async def handle(msg: Message[Placed]) -> None:
            notes.rows.append(msg.attempt)
            await msg.ack()
            with pytest.raises(LeaseLost):
                await msg.ack()
            raise ValueError("too late")

        async with app.test() as t:
            await t.publish(jobs, *placed("a"))
            await t.advance("1h")
            assert t.metrics.handled == 1
            assert t.dead(jobs) == []

        assert notes.rows == [1]

    async def test_what_an_acknowledged_run_returns_is_still_published(self, app: App) -> None:
        @app.on(jobs, to=results)
        async def handle(msg: Message[Placed]) -> Placed:
            await msg.ack()
            return msg.event

        async with app.test() as t:
            await t.publish(jobs, *placed("ab"))
            await t.drain()

            assert len(t.published(results)) == 2

    async def test_a_message_that_outlives_its_handler_is_no_longer_held(self, app: App, notes: Notes) -> None:
        @app.on(jobs)
        async def handle(msg: Message[Placed]) -> None:
            notes.rows.append(msg)

        async with app.test() as t:
            await t.publish(jobs, *placed("a"))
            await t.drain()
            with pytest.raises(LeaseLost):
                await notes.rows[0].ack()


@asynccontextmanager
async def shared(app: App) -> AsyncIterator[Bus]:
    """A bus that keeps the app's store in memory while the app comes and goes."""
    async with connect(app.url) as bus:
        yield bus


class TestStopping:
    async def test_lets_running_handlers_finish_and_hands_back_the_rest(self, notes: Notes) -> None:
        app = App("memory://stop-finish")
        begun, go = asyncio.Event(), asyncio.Event()

        @app.on(jobs)
        async def handle(event: Placed) -> None:
            begun.set()
            await go.wait()
            notes.rows.append(event.number)

        async with shared(app) as bus:
            await bus.publish(jobs, *placed("a" * 9))
            await app.start()
            await begun.wait()
            stopping = asyncio.create_task(app.stop())
            for _ in range(5):  # until the stopping has begun
                await asyncio.sleep(0)
            go.set()
            await stopping
            async with bus.take(jobs, 20, wait="0s") as left:
                assert [message.event.number for message in left] == list(range(1, 9))
                assert {message.failed for message in left} == {0}

        assert notes.rows == [0]

    async def test_hands_back_what_did_not_finish_in_time(self, notes: Notes) -> None:
        app = App("memory://stop-cancel")
        begun = asyncio.Event()

        @app.on(placed_only, group="g")
        async def handle(event: Placed) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                notes.rows.append("cancelled")

        async with shared(app) as bus:
            await bus.publish(placed_only, *placed("ab"))
            await app.start()
            await begun.wait()
            await app.stop(grace_ms=10)
            (group,) = await bus.admin.groups("placed")

        assert notes.rows == ["cancelled"]
        assert group.lag == 2
        assert group.members == ()

    async def test_an_app_goes_on_where_it_stopped(self, notes: Notes) -> None:
        app = App("memory://stop-go-on")
        seen = asyncio.Event()

        @app.on(placed_only, group="g")
        async def handle(event: Placed) -> None:
            notes.rows.append(event.number)
            seen.set()

        async with shared(app) as bus:
            for event in placed("abc"):
                await bus.publish(placed_only, event)
                seen.clear()
                async with app:
                    await seen.wait()

        assert notes.rows == [0, 1, 2]

    async def test_what_breaks_in_the_machinery_comes_out(self) -> None:
        class Unheard(BaseException): ...

        app = App("memory://")

        @app.on(jobs)
        async def handle(event: Placed) -> None:
            raise Unheard

        await app.start()
        await app.publish(jobs, *placed("a"))

        with pytest.raises(Unheard):
            await app.wait()
        with pytest.raises(Unheard):
            await app.stop()


class TestSharing:
    async def test_apps_of_one_group_share_its_partitions_and_every_key_keeps_its_order(self) -> None:
        spread = Stream[Placed]("spread", key="order_id", partitions=4)
        ran: dict[str, list[int]] = {}
        by: set[str] = set()

        def make(name: str) -> App:
            app = App("memory://sharing", name=name)

            @app.on(spread, group="g", workers=4, to=results)
            async def handle(event: Placed) -> Placed:
                for _ in range(20):
                    await asyncio.sleep(0)
                ran.setdefault(event.order_id, []).append(event.number)
                by.add(name)
                return event

            return app

        async with connect("memory://sharing") as bus:
            events = [Placed(order_id=f"o-{number % 31}", number=number) for number in range(1_500)]
            await bus.publish(spread, *events)
            async with make("stays"):
                async with make("comes and goes") as other:
                    while not other.metrics.handled:  # noqa: ASYNC110 - no event tells of a count
                        await asyncio.sleep(0)
                reading = bus.read(results)
                given = [(await anext(reading)).event.number for _ in events]
                await reading.aclose()

        assert sorted(given) == list(range(1_500))
        assert all(numbers == sorted(set(numbers)) for numbers in ran.values())
        assert by == {"stays", "comes and goes"}


KEYS = st.sampled_from("abc")
FATES = st.sampled_from([0, 0, 0, 1, 2, 9])
"""How often an event fails; three times is the end."""


class Fate(Notification):
    key: str
    number: int
    failures: int


fated = Stream[Fate]("fated", key="key")
fated_jobs = Queue[Fate]("fated-jobs", key="key", retry=RETRY)
outcomes = Stream[Fate]("outcomes", key="key")


@pytest.mark.parametrize("dest", [fated, fated_jobs])
@settings(max_examples=25, deadline=None)
@given(
    bursts=st.lists(st.lists(st.tuples(KEYS, FATES), max_size=12), min_size=1, max_size=4),
    workers=st.integers(1, 4),
    plain=st.booleans(),
)
def test_whatever_fails_keys_keep_their_order_and_every_event_ends_once(
    dest: Stream[Fate] | Queue[Fate], bursts: list[list[tuple[str, int]]], workers: int, plain: bool
) -> None:
    async def run() -> None:
        app = App("memory://")
        ran: dict[str, list[int]] = {}

        def handle(event: Fate, msg: Message[Fate]) -> Fate:
            ran.setdefault(event.key, []).append(event.number)
            if msg.failed < event.failures:
                raise ValueError("fate")
            return event

        async def handle_on_the_loop(event: Fate, msg: Message[Fate]) -> Fate:
            await asyncio.sleep(0)
            return handle(event, msg)

        in_group: dict[str, Any] = {"group": "g", "retry": RETRY} if isinstance(dest, Stream) else {}
        app.on(dest, to=outcomes, workers=workers, **in_group)(handle if plain else handle_on_the_loop)
        events: list[Fate] = []
        async with app.test() as t:
            for burst in bursts:
                fresh = [Fate(key=k, number=len(events) + at, failures=f) for at, (k, f) in enumerate(burst)]
                events += fresh
                await t.publish(dest, *fresh)
                await t.advance("1s")
            await t.advance("1m")
            done = t.published(outcomes)
            dead = [message.event for message in t.dead(dest, "g")]

        assert all(numbers == sorted(numbers) for numbers in ran.values())
        assert sorted(event.number for event in done) == [e.number for e in events if e.failures < RETRY.attempts]
        assert sorted(event.number for event in dead) == [e.number for e in events if e.failures >= RETRY.attempts]

    asyncio.run(run())
