"""What a handler takes and gives, checked against its destination when it is declared."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from isthmus.client.bus import Bus
from isthmus.client.delivery import Message
from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.enrich import Enricher, Question, Questions
from isthmus.client.event import AnyEvent, Event, Notification
from isthmus.client.handler import Call, Handler, output_classes
from isthmus.client.metrics import EnrichCounts
from isthmus.client.provide import Provided, Providers
from isthmus.client.signature import Value
from isthmus.clock import ManualClock
from isthmus.errors import DeclarationError, InvalidArgument, WrongEventType


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


class Due(Notification):
    order_id: str


class Mailer: ...


class Order: ...


async def order_of(event: Placed) -> Order:
    return Order()


orders = Stream[Placed | Cancelled]("orders", key="order_id")
invoices = Queue[Due]("invoices")


def questions() -> Questions:
    found = Questions(Providers([Mailer, Bus]))
    found.add(Question(Placed, order_of))
    return found


async def ask(event: AnyEvent) -> Order:
    return Order()


def handler(
    function: Callable[..., Any],
    dest: Destination[Any] = orders,
    *,
    to: Destination[Any] | None = None,
    batch: int | None = None,
) -> Handler:
    return Handler(function, dest, to=to, batch=batch, providers=Providers([Mailer, Bus]), questions=questions())


def call(function: Callable[..., Any], *, batch: int | None = None) -> tuple[Call, Mailer]:
    """The handler in a run, and the mailer that it is given."""
    mailer = Mailer()
    provided = Provided(Providers([Mailer]), {Mailer: mailer})
    found = handler(function, batch=batch)
    asked = [question for slot in found.slots for question in slot.questions.values()]
    enrichers = {each: Enricher(each, ask, ManualClock(), EnrichCounts()) for each in asked}
    return Call(found, provided, enrichers), mailer


class TestTakes:
    def test_one_type_of_several(self) -> None:
        def one(event: Placed) -> None: ...

        assert handler(one).types == (Placed,)

    def test_several_types(self) -> None:
        def two(event: Placed | Cancelled) -> None: ...

        assert handler(two).types == (Cancelled, Placed)

    def test_all_types_under_a_base_class(self) -> None:
        def base(event: Event) -> None: ...

        assert handler(base).types == (Cancelled, Placed)

    def test_messages_of_all_types(self) -> None:
        def bare(msg: Message) -> None: ...  # type: ignore[type-arg]

        def anything(msg: Message[Any]) -> None: ...

        assert handler(bare).types == handler(anything).types == (Cancelled, Placed)

    def test_messages_of_one_type(self) -> None:
        def one(msg: Message[Cancelled]) -> None: ...

        assert handler(one).types == (Cancelled,)

    def test_an_event_beside_its_message(self) -> None:
        def both(event: Placed, msg: Message[Placed]) -> None: ...

        def wider(event: Placed, msg: Message[Placed | Cancelled]) -> None: ...

        assert handler(both).types == handler(wider).types == (Placed,)

    def test_lists(self) -> None:
        def events(events: list[Placed | Cancelled]) -> None: ...

        def messages(messages: Sequence[Message[Placed]]) -> None: ...

        assert handler(events, batch=10).types == (Cancelled, Placed)
        assert handler(messages, batch=10).types == (Placed,)

    def test_tombstones_when_it_asks_for_messages_only(self) -> None:
        def messages(msg: Message[Placed]) -> None: ...

        def both(event: Placed, msg: Message[Placed]) -> None: ...

        assert handler(messages).takes_tombstones
        assert not handler(both).takes_tombstones


def _unfitting() -> list[tuple[Callable[..., Any], int | None, str]]:
    def stranger(event: Due) -> None: ...

    def partly(event: Placed | Due) -> None: ...

    def no_event(mailer: Mailer) -> None: ...

    def twice(a: Placed, b: Cancelled) -> None: ...

    def listed(events: list[Placed]) -> None: ...

    def single(event: Placed) -> None: ...

    def differing(event: Placed | Cancelled, msg: Message[Placed]) -> None: ...

    def unknown(event: Placed, limit: int) -> None: ...

    def optional_event(event: Placed | None) -> None: ...

    def unanswered(event: Placed | Cancelled, order: Order) -> None: ...

    def one_answer(events: list[Placed], order: Order) -> None: ...

    def bus_in_a_thread(event: Placed, bus: Bus) -> None: ...

    def yields(event: Placed) -> Iterable[Due]:
        yield Due(order_id="o-1")

    return [
        (stranger, None, r"takes Due, but Stream\('orders'\) carries Cancelled \| Placed"),
        (partly, None, "takes Due, but"),
        (no_event, None, r"takes no event; annotate a parameter with Cancelled \| Placed"),
        (twice, None, "asks twice for the event"),
        (listed, None, "say how long it may get with batch="),
        (single, 10, r"so it gets lists: annotate list\[Cancelled \| Placed\]"),
        (differing, None, "its event and its Message name different types"),
        (unknown, None, "parameter 'limit': nobody provides int"),
        (optional_event, None, "takes no event"),
        (unanswered, None, "Order is an answer about Placed, but not about Cancelled"),
        (one_answer, 10, r"gets an answer for each: annotate list\[...\]"),
        (bus_in_a_thread, None, "a plain function, which cannot await a Bus"),
        (yields, None, "annotate what, as Iterator"),
    ]


@pytest.mark.parametrize(("function", "batch", "sentence"), _unfitting())
def test_an_unfitting_annotation_is_refused_with_what_to_write(
    function: Callable[..., Any], batch: int | None, sentence: str
) -> None:
    with pytest.raises(DeclarationError, match=sentence):
        handler(function, batch=batch)


@pytest.mark.parametrize("batch", [0, -1, 10_001])
def test_a_list_has_a_length_that_can_be(batch: int) -> None:
    def listed(events: list[Placed]) -> None: ...

    with pytest.raises(InvalidArgument, match="batch"):
        handler(listed, batch=batch)


class TestGives:
    def test_return_annotations_of_all_forms_are_understood(self) -> None:
        assert output_classes(Due) == (Due,)
        assert output_classes(Due | Placed | None) == (Due, Placed)
        assert output_classes(list[Due]) == (Due,)
        assert output_classes(tuple[Due, ...] | None) == (Due,)
        assert output_classes(Iterable[Due | Placed]) == (Due, Placed)
        assert output_classes(None) == output_classes(int) == output_classes(dict[str, Due]) == ()

    def test_what_fits_is_taken(self) -> None:
        def one(event: Placed) -> Due:
            return Due(order_id=event.order_id)

        def many(event: Placed) -> list[Due] | None: ...

        def dynamic(event: Placed) -> Value: ...

        for function in (one, many, dynamic):
            assert handler(function, to=invoices).to is invoices

    def test_what_does_not_fit_is_refused(self) -> None:
        def other(event: Placed) -> Cancelled: ...  # type: ignore[empty-body]

        def nothing(event: Placed) -> None: ...

        def silent(event: Placed):  # type: ignore[no-untyped-def]  # noqa: ANN202 - what is tested
            ...

        with pytest.raises(DeclarationError, match=r"returns Cancelled, but .* carries Due"):
            handler(other, to=invoices)
        for function in (nothing, silent):
            with pytest.raises(DeclarationError, match="annotate what it returns: Due, or a list of it"):
                handler(function, to=invoices)

    def test_an_event_needs_a_place_to_go(self) -> None:
        def one(event: Placed) -> Due: ...  # type: ignore[empty-body]

        with pytest.raises(DeclarationError, match="returns Due; say where it goes with to="):
            handler(one)

    def test_results_become_lists(self) -> None:
        def many(event: Placed) -> Iterable[Due]: ...  # type: ignore[empty-body]

        found = handler(many, to=invoices)
        due = Due(order_id="o-1")

        assert found.outputs(due) == [due]
        assert found.outputs((due, due)) == [due, due]
        assert found.outputs(due for _ in range(3)) == [due] * 3
        assert found.outputs([]) == []

    def test_an_event_that_comes_unannounced_is_not_dropped_in_silence(self) -> None:
        def silent(event: Placed) -> object:
            return Due(order_id="o-1")

        found = handler(silent)

        assert found.outputs(7) == []
        with pytest.raises(WrongEventType):
            found.outputs(Due(order_id="o-1"))

    def test_a_coroutine_from_a_plain_function_is_not_dropped_in_silence(self) -> None:
        def forgetful(event: Placed) -> object:
            return order_of(event)

        with pytest.raises(DeclarationError, match="make it `async def`"):
            handler(forgetful).outputs(order_of(Placed(order_id="o-1")))


class TestCall:
    def test_gives_the_event_alone_without_ado(self) -> None:
        def one(event: Placed) -> object:
            return event

        found, _ = call(one)

        assert found.plain
        assert found.run("event", None, ()) == "event"

    def test_fills_in_what_is_asked_for_by_type(self) -> None:
        def all_of(msg: Message[Placed], *, mailer: Mailer, event: Placed, order: Order, limit: int = 3) -> object:
            return event, msg, mailer, order, limit

        found, mailer = call(all_of)

        assert found.run("event", "message", ["order"]) == ("event", "message", mailer, "order", 3)
        assert found.wants_message
        assert [set(asks) for asks in found.asks] == [{Placed}]

    def test_fills_in_lists(self) -> None:
        def lists(events: list[Placed], orders: list[Order], mailer: Mailer) -> object:
            return events, orders, mailer

        found, mailer = call(lists, batch=10)

        assert found.run(["a", "b"], None, [["x", "y"]]) == (["a", "b"], ["x", "y"], mailer)
