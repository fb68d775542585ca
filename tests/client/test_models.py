"""Models of pydantic as events: on their way to bytes and back, through streams, queues and handlers."""

import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from isthmus import App, Message, Notification, Queue, Stream, connect
from isthmus.client.event import AnyEvent, event_type, field_names, is_event, is_model
from isthmus.client.handler import output_classes
from isthmus.errors import DeclarationError, DecodeError, InvalidArgument, WrongEventType
from isthmus.record import StoredRecord


class Placed(BaseModel):
    model_config = ConfigDict(frozen=True)

    order_id: str
    amount: Decimal = Field(default=Decimal(0), ge=0)


class Cancelled(BaseModel):
    __event_type__: ClassVar[str] = "shop.order.cancelled"

    order_id: str
    why: str | None = Field(default=None, alias="reason")


class Shipped(Notification):
    order_id: str


class Invoice(BaseModel):
    order_id: str


class Rates(BaseModel):
    """No event: a setting that an app provides."""

    vat: float = 0.2


class Everything(BaseModel):
    ident: UUID
    at: datetime
    tags: set[str]
    lines: list[Placed]
    raw: bytes

    @computed_field  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def size(self) -> int:
        return len(self.lines)


orders = Stream[Placed | Cancelled | Shipped]("orders", key="order_id")


def there_and_back(stream: Stream[Any], event: AnyEvent) -> object:
    record = stream.writer().record(event)
    stored = StoredRecord(0, 0, record.key, record.value, record.headers)
    (found,) = stream.reader().events([stored])
    return found


def decoded(value: bytes, like: Placed) -> object:
    block = orders.writer().record(like).headers
    (found,) = orders.reader().events([StoredRecord(0, 0, None, value, block)])
    return found


class TestBytes:
    @pytest.mark.parametrize(
        "event",
        [
            Placed(order_id="o-1", amount=Decimal("1.50")),
            Cancelled(order_id="o-1", reason="late"),
            Shipped(order_id="o-1"),
        ],
    )
    def test_what_goes_in_comes_back_beside_events_of_ours(self, event: Placed | Cancelled | Shipped) -> None:
        assert there_and_back(orders, event) == event

    def test_whatever_pydantic_can_write_as_json(self) -> None:
        event = Everything(
            ident=UUID(int=7),
            at=datetime(2026, 2, 28, tzinfo=UTC),
            tags={"a", "b"},
            lines=[Placed(order_id="o-1")],
            raw=b"raw",
        )

        assert there_and_back(Stream[Everything]("all", key="ident"), event) == event

    def test_the_key_is_a_field_and_the_payload_goes_by_aliases(self) -> None:
        record = orders.writer().record(Cancelled(order_id="o-1", reason="late"))

        assert record.key == b"o-1"
        assert record.value == b'{"order_id":"o-1","reason":"late"}'

    def test_what_does_not_fit_is_an_error_of_that_record(self) -> None:
        found = decoded(b'{"order_id":"o-1","amount":-1}', Placed(order_id="o-1"))

        assert isinstance(found, DecodeError)
        assert "greater than or equal to 0" in str(found)

    def test_a_field_that_was_spoilt_is_refused_before_it_is_published(self) -> None:
        spoilt = Cancelled(order_id="o-1")
        spoilt.order_id = 7  # type: ignore[assignment]  # on purpose

        with pytest.raises(InvalidArgument, match="cannot be encoded"):
            orders.writer().record(spoilt)

    def test_a_model_that_is_not_carried_is_refused(self) -> None:
        with pytest.raises(WrongEventType, match="Invoice"):
            orders.writer().record(Invoice(order_id="o-1"))  # type: ignore[arg-type]  # on purpose


class TestDeclarations:
    def test_names(self) -> None:
        class Later(Cancelled):
            """Has a name of its own."""

        assert [event_type(each) for each in (Placed, Cancelled, Later)] == ["Placed", "shop.order.cancelled", "Later"]
        assert orders.type_names == ("Placed", "Shipped", "shop.order.cancelled")
        assert field_names(Cancelled) == ("order_id", "why")

    def test_a_key_that_is_no_field(self) -> None:
        with pytest.raises(DeclarationError, match="'sku' is no field of Placed"):
            _ = Stream[Placed]("x", key="sku").types

    def test_the_root_of_all_models_is_none(self) -> None:
        with pytest.raises(DeclarationError, match="BaseModel is no event class"):
            _ = Stream[BaseModel]("x", key=None).types

    def test_models_travel_as_json_only(self) -> None:
        with pytest.raises(DeclarationError, match="as JSON only"):
            _ = Stream[Placed]("x", key=None, codec="protobuf").types

    def test_a_model_that_names_what_does_not_exist(self) -> None:
        class Broken(BaseModel):
            other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821 - on purpose

        with pytest.raises(DeclarationError, match="Broken is not complete"):
            _ = Stream[Broken]("x", key=None).types

    def test_what_is_a_model_and_what_is_an_event(self) -> None:
        assert [is_model(each) for each in (Placed, BaseModel, Shipped, int, Placed(order_id="o"))] == [
            True, False, False, False, False
        ]  # fmt: skip
        assert [is_event(each) for each in (Placed(order_id="o"), Shipped(order_id="o"), Placed, 7)] == [
            True, True, False, False
        ]  # fmt: skip

    def test_outputs(self) -> None:
        assert output_classes(Iterable[Invoice | Shipped] | None, None) == (Invoice, Shipped)
        assert output_classes(Invoice) == ()


class TestRunning:
    async def test_publish_read_and_take(self) -> None:
        jobs = Queue[Placed]("jobs")
        async with connect("memory://") as bus:
            await bus.publish(orders, Placed(order_id="o-1"), Shipped(order_id="o-2"))
            await bus.publish(jobs, Placed(order_id="o-3"))
            read = [message async for message in bus.read(orders, start="earliest", stop="end")]
            async with bus.take(jobs, wait="1s") as taken:
                found = [message.event for message in taken]

        assert [(message.type, message.event) for message in read] == [
            ("Placed", Placed(order_id="o-1")),
            ("Shipped", Shipped(order_id="o-2")),
        ]
        assert found == [Placed(order_id="o-3")]

    async def test_handlers_take_and_return_them(self) -> None:
        invoices = Stream[Invoice]("invoices", key="order_id")
        app = App("memory://models")
        seen: list[tuple[str | None, float]] = []

        @app.provide
        def rates() -> Rates:
            return Rates(vat=0.25)

        @app.on(orders, group="billing", to=invoices)
        async def bill(event: Placed, rates: Rates) -> Invoice:
            seen.append((event.order_id, rates.vat))
            return Invoice(order_id=event.order_id)

        @app.on(orders, group="audit", to=invoices)
        def audit(event: Cancelled, message: Message[Cancelled]) -> list[Invoice]:
            return [Invoice(order_id=f"{event.order_id} {message.type}")]

        async with app.test() as test:
            await test.publish(orders, Placed(order_id="o-1"), Cancelled(order_id="o-2"))
            await test.drain()

            assert seen == [("o-1", 0.25)]
            assert sorted(each.order_id for each in test.published(invoices)) == ["o-1", "o-2 shop.order.cancelled"]

    async def test_the_owner_of_a_model_is_asked(self) -> None:
        app = App("memory://asked")
        seen: list[Invoice] = []

        @app.enrich(Placed)
        async def invoice_of(event: Placed) -> Invoice:
            return Invoice(order_id=f"for {event.order_id}")

        @app.on(orders, group="billing")
        async def bill(event: Placed, invoice: Invoice) -> None:
            seen.append(invoice)

        async with app.test() as test:
            await test.publish(orders, Placed(order_id="o-1"))
            await test.drain()

        assert seen == [Invoice(order_id="for o-1")]

    def test_a_handler_that_asks_for_another_model_is_refused(self) -> None:
        app = App("memory://refused")

        with pytest.raises(DeclarationError, match="takes Invoice, but"):

            @app.on(orders, group="billing")
            async def bill(message: Message[Invoice]) -> None:
                raise AssertionError(message)


@pytest.mark.process
def test_who_has_no_models_does_not_import_pydantic() -> None:
    program = (
        "import sys\nfrom isthmus import Notification, Stream\n"
        "class Placed(Notification):\n    order_id: str\n"
        "Stream[Placed]('orders', key='order_id').writer().record(Placed(order_id='o-1'))\n"
        "assert 'pydantic' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
