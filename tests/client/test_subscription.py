"""What handlers of one queue or group share."""

from collections.abc import Callable
from typing import Any

import pytest

from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.enrich import Questions
from isthmus.client.event import Notification
from isthmus.client.handler import Handler
from isthmus.client.provide import Providers
from isthmus.client.retry import Backoff
from isthmus.client.subscription import Subscription
from isthmus.errors import DeclarationError, InvalidArgument, InvalidName


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


orders = Stream[Placed | Cancelled]("orders", key="order_id")
jobs = Queue[Placed | Cancelled]("jobs", retry=Backoff(7))
keyed = Queue[Placed | Cancelled]("keyed", key="order_id")


def placed(event: Placed) -> None: ...


def cancelled(event: Cancelled) -> None: ...


def both(event: Placed | Cancelled) -> None: ...


def placed_list(events: list[Placed]) -> None: ...


def cancelled_list(events: list[Cancelled]) -> None: ...


def add(
    subscription: Subscription, function: Callable[..., Any], *, batch: int | None = None, **options: Any
) -> Subscription:
    providers = Providers()
    handler = Handler(
        function, subscription.destination, to=None, batch=batch, providers=providers, questions=Questions(providers)
    )
    given: dict[str, Any] = {"start": None, "wait": "1s", "workers": None, "retry": None}
    subscription.add(handler, **{**given, **options})
    return subscription


def group(dest: Destination[Any] = orders, name: str | None = "g") -> Subscription:
    return Subscription(dest, name)


def queue(dest: Destination[Any] = jobs) -> Subscription:
    return Subscription(dest, None)


class TestGroups:
    def test_a_stream_needs_one(self) -> None:
        with pytest.raises(DeclarationError, match="name one with group="):
            group(name=None)

    def test_a_queue_has_none(self) -> None:
        with pytest.raises(DeclarationError, match="has no groups"):
            group(jobs)

    @pytest.mark.parametrize("name", ["", "a\nb", "x" * 256, "x" * 250])
    def test_a_name_can_be_one_also_for_its_dead_letters(self, name: str) -> None:
        with pytest.raises(InvalidName):
            group(name=name)

    def test_names_tell_where_events_come_from(self) -> None:
        assert [group().name, queue().name] == ["orders/g", "jobs"]


class TestTypes:
    def test_are_shared_out_among_handlers(self) -> None:
        subscription = add(add(group(), placed), cancelled)

        assert {each: handler.name for each, handler in subscription.handlers.items()} == {
            Placed: "placed",
            Cancelled: "cancelled",
        }

    def test_go_to_one_handler_of_a_group(self) -> None:
        with pytest.raises(
            DeclarationError, match=r"Placed is taken by .*placed already in 'orders/g'.* a group of its"
        ):
            add(add(group(), placed), both)

    def test_go_to_one_handler_of_a_queue(self) -> None:
        with pytest.raises(DeclarationError, match=r"Placed is taken by .*placed already; an event of a queue"):
            add(add(queue(), placed), both)

    def test_may_be_left_out_by_a_group(self) -> None:
        add(group(), placed).check()

    def test_may_not_be_left_out_by_a_queue(self) -> None:
        with pytest.raises(DeclarationError, match="carries Cancelled, but no handler takes it"):
            add(queue(), placed).check()

        add(add(queue(), placed), cancelled).check()

    @pytest.mark.parametrize(("first", "batch"), [(placed, None), (placed_list, 9)])
    def test_come_one_by_one_or_in_lists_to_one_handler(self, first: Callable[..., None], batch: int | None) -> None:
        subscription = add(group(), first, batch=batch)

        with pytest.raises(DeclarationError, match="either one by one or in lists by one handler"):
            add(subscription, cancelled_list, batch=9)


class TestOptions:
    def test_have_defaults(self) -> None:
        subscription = add(group(), both)

        assert (subscription.start, subscription.workers, subscription.retry) == ("earliest", 1, Backoff())
        assert subscription.batch is None

    def test_hold_for_all_whoever_gives_them(self) -> None:
        subscription = add(add(group(), placed, workers=4), cancelled, start="-1h", retry=Backoff(2))

        assert (subscription.start, subscription.workers, subscription.retry) == ("-1h", 4, Backoff(2))

    def test_that_differ_are_refused(self) -> None:
        with pytest.raises(DeclarationError, match="workers=8, but another handler of 'orders/g' says 4"):
            add(add(group(), placed, workers=4), cancelled, workers=8)

    def test_of_streams_are_refused_on_queues(self) -> None:
        with pytest.raises(DeclarationError, match="start= is for streams"):
            add(queue(), both, start="latest")
        with pytest.raises(DeclarationError, match="the retry policy of a queue is its own"):
            add(queue(), both, retry=Backoff(2))

    def test_a_queue_brings_its_own_policy(self) -> None:
        assert add(queue(), both).retry == Backoff(7)

    @pytest.mark.parametrize("workers", [0, -1, 1_001])
    def test_workers_are_within_bounds(self, workers: int) -> None:
        with pytest.raises(InvalidArgument, match="workers"):
            add(group(), both, workers=workers)

    def test_a_start_is_one(self) -> None:
        with pytest.raises(InvalidArgument, match="no place to start"):
            add(group(), both, start="yesterday")

    def test_lists_in_order_have_one_worker(self) -> None:
        for subscription in (group(), queue(keyed)):
            with pytest.raises(DeclarationError, match="leave workers= out"):
                add(subscription, placed_list, batch=9, workers=2)

        assert add(queue(), placed_list, batch=9, workers=2).workers == 2


def test_streams_and_queues_with_a_key_keep_the_order_of_each_key() -> None:
    assert [group().ordered, queue().ordered, queue(keyed).ordered] == [True, False, True]
