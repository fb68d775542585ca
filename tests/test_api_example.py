"""The example of the public API, as users read it: it type-checks, its test passes, and its scripts run.

It stands here as in the documentation, but for the script's address, which is one that a test can open, and its wait.
"""

# ruff: noqa: T201 - the example prints

from decimal import Decimal

import pytest

from isthmus import App, Backoff, Message, Notification, Queue, Reject, Retry, State, Stream, connect, sync


class OrderPlaced(Notification):  # Event Notification: ids only, the reader asks the owner
    order_id: str


class OrderCancelled(Notification):
    order_id: str
    reason: str = ""  # a default makes the change compatible


class Customer(State):  # Event-Carried State Transfer: the whole fact
    customer_id: str
    name: str
    email: str


class InvoiceDue(Notification):
    order_id: str
    amount: Decimal


orders = Stream[OrderPlaced | OrderCancelled]("orders", key="order_id", partitions=6, retain="7d")
customers = Stream[Customer]("customers", key="customer_id", compact=True)
invoices = Queue[InvoiceDue]("invoices", lease="30s", retry=Backoff(5, "1s", "5m"), dead=True)

app = App("isthmus:///var/lib/shop", linger="5ms", batch="64KB")  # or kafka:// amqp:// sqs:// kinesis:// memory://
directory = app.table(customers)  # local copy of the state, kept fresh from the log


class Mailer:
    async def send(self, to: str, text: str) -> None: ...


@app.provide  # dependency by type, cached for the app's life
async def mailer() -> Mailer:
    return Mailer()


@app.on(orders, group="billing", to=invoices)  # what it returns is published, then the offset commits
async def bill(event: OrderPlaced) -> InvoiceDue:
    return InvoiceDue(order_id=event.order_id, amount=Decimal("12.50"))


@app.on(orders, group="audit", start="earliest", batch=500, wait="1s")
def audit(events: list[OrderPlaced | OrderCancelled]) -> None:  # plain def runs in a thread
    print(len(events))


@app.on(invoices, workers=8)  # returning acks; raising retries, then dead-letters
async def send(event: InvoiceDue, msg: Message[InvoiceDue], mail: Mailer) -> None:
    if event.amount <= 0:
        raise Reject("nothing to pay")  # straight to the dead-letter queue
    if msg.attempt > 1:
        await msg.extend("60s")  # a longer lease for a slow try
    who = directory.get("c-1")
    if who is None:
        raise Retry("customer not seen yet", after="10s")
    await mail.send(who.email, f"Please pay {event.amount}")


async def script() -> None:
    async with connect("memory://") as bus:
        receipt = await bus.publish(orders, OrderPlaced(order_id="o-1"))
        await bus.publish(orders, *(OrderPlaced(order_id=f"o-{i}") for i in range(1000)))
        await bus.publish(invoices, InvoiceDue(order_id="o-1", amount=Decimal(5)), delay="15m", dedup="o-1")
        async with bus.batch() as batch:  # many destinations, one flush
            batch.add(customers, Customer(customer_id="c-1", name="Ada", email="ada@example.org"))
            batch.add(orders, OrderCancelled(order_id="o-1", reason="test"))
        async for m in bus.read(orders, start="-1h", stop="end"):  # replay from a time, then stop
            print(receipt.offset, m.offset, m.event)
        async with bus.take(invoices, 10, wait="10ms") as messages:  # leaving the block acks
            print([m.event.amount for m in messages])


def blocking() -> None:
    with sync.connect() as bus:
        bus.publish(orders, OrderPlaced(order_id="o-2"))


async def test_bill() -> None:
    async with app.test() as t:  # the real engine in memory, with a clock you drive
        await t.publish(orders, OrderPlaced(order_id="o-1"))
        await t.drain()
        await t.advance("10m")  # retries, leases and delays pass at once
        assert [i.order_id for i in t.published(invoices)] == ["o-1"]
        assert [m.attempt for m in t.dead(invoices)] == [5]  # no customer ever came


# ---- and what else should hold of it -------------------------------------------------------------------------------


async def test_an_invoice_is_sent_once_the_customer_is_known() -> None:
    async with app.test() as t:
        await t.publish(orders, OrderPlaced(order_id="o-1"))
        await t.publish(customers, Customer(customer_id="c-1", name="Ada", email="ada@example.org"))
        await t.advance("10s")

        assert t.metrics.consumers["invoices"].handled == 1
        assert t.dead(invoices) == []


async def test_the_script_runs(capsys: pytest.CaptureFixture[str]) -> None:
    await script()

    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1003
    assert printed[-1] == "[]"


def test_the_blocking_script_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_URL", "memory://")

    blocking()
