"""Asking the owner: once per change, bounded, retried, left alone when it fails."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from isthmus.client.enrich import Breaker, Enricher, Question, Questions
from isthmus.client.event import AnyEvent, Notification
from isthmus.client.metrics import EnrichCounts
from isthmus.client.provide import Provided, Providers
from isthmus.client.retry import Backoff, Reject, Retry
from isthmus.clock import ManualClock
from isthmus.engines.base import Received
from isthmus.errors import CircuitOpen, DeclarationError
from isthmus.limits import ENRICH_CACHE_MAX, ENRICH_FAILURES_OPEN, ENRICH_OPEN_MS
from isthmus.record import StoredRecord


class Placed(Notification):
    order_id: str
    note: str = ""


class Order:
    def __init__(self, number: int) -> None:
        self.number = number


class Client: ...


async def order_of(event: Placed) -> Order:
    return Order(0)


def placed(order_id: str = "o-1", note: str = "") -> Placed:
    return Placed(order_id=order_id, note=note)


def delivery(event: Placed, offset: int, partition: int = 0, topic: str = "orders") -> Received:
    record = StoredRecord(offset, 0, event.order_id.encode(), repr(event).encode(), b"")
    return Received(record, None, topic, partition, 1, 0)


class Owner:
    """An upstream service that says how often it was asked; `down` is how often it fails first."""

    def __init__(self, down: int = 0, error: Exception | None = None) -> None:
        self.asked: list[AnyEvent] = []
        self.down = down
        self.error = error or OSError("no route")
        self.running = 0
        self.running_most = 0
        self.gate: asyncio.Event | None = None

    async def ask(self, event: AnyEvent) -> Order:
        self.asked.append(event)
        number = len(self.asked)
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.running -= 1
        if number <= self.down:
            raise self.error
        return Order(number)


class Bench:
    """One enricher with its owner, clock and counts."""

    def __init__(self, owner: Owner | None = None, **options: Any) -> None:
        self.owner = owner or Owner()
        self.clock = ManualClock()
        self.counts = EnrichCounts()
        self.enricher = Enricher(Question(Placed, order_of, **options), self.owner.ask, self.clock, self.counts)

    async def ask(self, event: Placed, offset: int, partition: int = 0, topic: str = "orders") -> int:
        answer: Order = await self.enricher.answer(event, delivery(event, offset, partition, topic))
        return answer.number

    async def turns(self) -> None:
        """Let everybody get to where they wait for the gate."""
        for _ in range(5):
            await asyncio.sleep(0)

    def asks(self, event: Placed, offset: int) -> "asyncio.Task[int]":
        return asyncio.get_running_loop().create_task(self.ask(event, offset))


class TestOncePerChange:
    async def test_two_who_read_the_same_event_share_one_call(self) -> None:
        bench = Bench()

        assert [await bench.ask(placed(), 5), await bench.ask(placed(), 5)] == [1, 1]
        assert bench.counts == EnrichCounts(wanted=2, calls=1, saved=1)

    async def test_those_who_ask_while_the_call_runs_join_it(self) -> None:
        bench = Bench()
        bench.owner.gate = asyncio.Event()
        asking = [bench.asks(placed(), 5) for _ in range(10)]
        await bench.turns()

        bench.owner.gate.set()

        assert [await each for each in asking] == [1] * 10
        assert bench.counts == EnrichCounts(wanted=10, calls=1, saved=9)

    async def test_a_later_event_of_the_subject_asks_anew(self) -> None:
        bench = Bench()

        assert [await bench.ask(placed(), 5), await bench.ask(placed(), 6)] == [1, 2]

    async def test_a_later_event_does_not_join_the_call_of_an_earlier_one(self) -> None:
        bench = Bench()
        bench.owner.gate = asyncio.Event()
        earlier, later = bench.asks(placed(), 5), bench.asks(placed(), 6)
        await bench.turns()

        bench.owner.gate.set()

        assert [await earlier, await later] == [1, 2]
        assert await bench.ask(placed(), 6) == 2

    async def test_who_lags_behind_is_served_by_the_newer_answer(self) -> None:
        bench = Bench()
        await bench.ask(placed(), 6)

        assert await bench.ask(placed(), 5) == 1
        assert bench.counts.saved == 1

    async def test_other_content_partitions_and_topics_are_other_subjects(self) -> None:
        bench = Bench()

        numbers = [
            await bench.ask(placed("o-1"), 5),
            await bench.ask(placed("o-2"), 4),
            await bench.ask(placed("o-1", "changed"), 4),
            await bench.ask(placed("o-1"), 4, partition=1),
            await bench.ask(placed("o-1"), 4, topic="others"),
        ]

        assert numbers == [1, 2, 3, 4, 5]

    async def test_the_subject_may_be_some_of_the_fields(self) -> None:
        bench = Bench(subject="order_id")
        await bench.ask(placed("o-1", "new"), 6)

        assert await bench.ask(placed("o-1", "old"), 5) == 1
        assert await bench.ask(placed("o-2", "old"), 5) == 2

    async def test_an_answer_is_kept_for_its_time(self) -> None:
        bench = Bench(ttl="10s")
        await bench.ask(placed(), 5)

        await bench.clock.advance(9_999)
        assert await bench.ask(placed(), 5) == 1
        await bench.clock.advance(1)
        assert await bench.ask(placed(), 5) == 2

    async def test_no_more_answers_are_kept_than_there_is_room_for(self) -> None:
        bench = Bench()

        for number in range(ENRICH_CACHE_MAX + 1):
            await bench.ask(placed(f"o-{number}"), number)

        assert await bench.ask(placed("o-1"), 1) == 2
        assert await bench.ask(placed("o-0"), 0) == ENRICH_CACHE_MAX + 2


class TestCalls:
    async def test_are_bounded(self) -> None:
        bench = Bench(concurrency=3)
        bench.owner.gate = asyncio.Event()
        asking = [bench.asks(placed(f"o-{number}"), number) for number in range(10)]
        await bench.turns()

        assert bench.owner.running == 3
        bench.owner.gate.set()
        await asyncio.gather(*asking)

        assert bench.owner.running_most == 3

    async def test_are_tried_again_with_jitter(self) -> None:
        bench = Bench(Owner(down=2), retry=Backoff(3, "1s", "10s", jitter=0.5))
        asking = bench.asks(placed(), 5)

        await bench.clock.advance(3_000)

        assert await asking == 3
        assert bench.counts == EnrichCounts(wanted=1, calls=3, failures=2)

    async def test_that_fail_too_often_fail_all_who_wait(self) -> None:
        bench = Bench(Owner(down=9), retry=Backoff(2, "1s", "1s"))
        asking = [bench.asks(placed(), 5) for _ in range(2)]

        await bench.clock.advance(1_000)

        for each in asking:
            with pytest.raises(OSError, match="no route"):
                await each
        assert bench.counts.calls == 2

    @pytest.mark.parametrize("error", [Reject("no such order"), Retry("not yet", after="1s")])
    async def test_whose_answer_steers_are_not_tried_again(self, error: Exception) -> None:
        bench = Bench(Owner(down=9, error=error))

        with pytest.raises(type(error)):
            await bench.ask(placed(), 5)
        assert bench.counts == EnrichCounts(wanted=1, calls=1)

    async def test_go_on_for_the_others_when_one_who_waits_gives_up(self) -> None:
        bench = Bench()
        bench.owner.gate = asyncio.Event()
        first, second = bench.asks(placed(), 5), bench.asks(placed(), 5)
        await bench.turns()

        first.cancel()
        bench.owner.gate.set()

        assert await second == 1

    async def test_end_with_the_run(self) -> None:
        bench = Bench()
        bench.owner.gate = asyncio.Event()
        asking = bench.asks(placed(), 5)
        await bench.turns()

        bench.enricher.close()

        with pytest.raises(asyncio.CancelledError):
            await asking
        assert bench.owner.running == 0


class TestBreaker:
    def open(self) -> Breaker:
        breaker = Breaker("prices")
        for _ in range(ENRICH_FAILURES_OPEN):
            breaker.admit(0)
            breaker.failed(0)
        return breaker

    def test_leaves_a_failing_service_alone(self) -> None:
        with pytest.raises(CircuitOpen) as caught:
            self.open().admit(1_000)

        assert caught.value.after_ms == ENRICH_OPEN_MS - 1_000

    def test_lets_one_call_try_after_the_pause(self) -> None:
        breaker = self.open()

        breaker.admit(ENRICH_OPEN_MS)

        with pytest.raises(CircuitOpen):
            breaker.admit(ENRICH_OPEN_MS)

    def test_closes_when_the_try_succeeds(self) -> None:
        breaker = self.open()
        breaker.admit(ENRICH_OPEN_MS)

        breaker.succeeded()

        breaker.admit(ENRICH_OPEN_MS)
        breaker.admit(ENRICH_OPEN_MS)

    def test_opens_again_when_the_try_fails(self) -> None:
        breaker = self.open()
        breaker.admit(ENRICH_OPEN_MS)

        breaker.failed(ENRICH_OPEN_MS)

        with pytest.raises(CircuitOpen) as caught:
            breaker.admit(ENRICH_OPEN_MS)
        assert caught.value.after_ms == ENRICH_OPEN_MS

    def test_lets_another_try_when_the_first_came_to_no_end(self) -> None:
        breaker = self.open()
        breaker.admit(ENRICH_OPEN_MS)

        breaker.unknown()

        breaker.admit(ENRICH_OPEN_MS)

    def test_counts_failures_in_a_row_only(self) -> None:
        breaker = Breaker("prices")

        for _ in range(3 * ENRICH_FAILURES_OPEN):
            breaker.failed(0)
            breaker.succeeded()

        breaker.admit(0)

    async def test_keeps_calls_from_being_made(self) -> None:
        bench = Bench(Owner(down=99), retry=Backoff(1))
        for number in range(ENRICH_FAILURES_OPEN):
            with pytest.raises(OSError, match="no route"):
                await bench.ask(placed(f"o-{number}"), number)

        with pytest.raises(CircuitOpen):
            await bench.ask(placed(), 99)
        assert bench.counts.calls == ENRICH_FAILURES_OPEN


class TestDeclaring:
    def questions(self) -> Questions:
        return Questions(Providers([Client]))

    def test_the_function_takes_the_event(self) -> None:
        async def other(event: str) -> Order:
            return Order(0)

        with pytest.raises(DeclarationError, match="exactly one parameter of type Placed"):
            Question(Placed, other)

    def test_the_function_says_what_it_answers(self) -> None:
        async def nothing(event: Placed) -> None: ...

        with pytest.raises(DeclarationError, match="annotate what it returns"):
            Question(Placed, nothing)

    def test_the_subject_is_made_of_fields(self) -> None:
        with pytest.raises(DeclarationError, match="'customer' is no field of Placed"):
            Question(Placed, order_of, subject=["order_id", "customer"])

    def test_an_answer_about_a_type_is_given_once(self) -> None:
        questions = self.questions()
        questions.add(Question(Placed, order_of))

        with pytest.raises(DeclarationError, match="answers Placed with Order already"):
            questions.add(Question(Placed, order_of))

    def test_an_answer_is_told_from_what_is_provided(self) -> None:
        async def client_of(event: Placed) -> Client:
            return Client()

        with pytest.raises(DeclarationError, match="Client is provided already"):
            self.questions().add(Question(Placed, client_of))

    def test_what_it_needs_is_provided(self) -> None:
        async def needy(event: Placed, limit: int) -> Order:
            return Order(limit)

        questions = self.questions()
        with pytest.raises(DeclarationError, match="nobody provides int"):
            questions.add(Question(Placed, needy))

        assert Order not in questions

    def test_who_asks_about_a_type_without_an_answer_is_refused(self) -> None:
        class Cancelled(Notification):
            order_id: str

        questions = self.questions()
        questions.add(Question(Placed, order_of))

        with pytest.raises(DeclarationError, match="an answer about Placed, but not about Cancelled"):
            questions.find(Order, [Placed, Cancelled], "handler x")

    async def test_a_function_gets_the_event_and_what_it_needs(self) -> None:
        async def needy(event: Placed, client: Client) -> tuple[Placed, Client]:
            return event, client

        client = Client()
        question = Question(Placed, needy)

        ask = question.bind(Provided(Providers([Client]), {Client: client}), run=_never)

        assert await ask(placed()) == (placed(), client)

    async def test_a_plain_function_runs_where_it_may_block(self) -> None:
        def plain(event: Placed) -> Order:
            return Order(7)

        async def run(function: Callable[..., object], arguments: dict[str, Any]) -> object:
            return function(**arguments)

        ask = Question(Placed, plain).bind(Provided(Providers(), {}), run)

        assert (await ask(placed())).number == 7


async def _never(function: object, arguments: object) -> None:
    raise AssertionError("an async function needs no thread")
