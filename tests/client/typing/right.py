"""What a type checker must accept: the client's half of the API example, and what else users write."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from pydantic import BaseModel

from isthmus import Backoff, Message, Notification, Queue, Reject, Retry, State, Stream, connect, sync
from isthmus.types import Bus, Receipt, SyncBus


class OrderPlaced(Notification):
    order_id: str


class OrderCancelled(Notification, type="shop.order.cancelled"):
    order_id: str
    reason: str = ""
    codes: list[int] = msgspec.field(default_factory=list)
    by: str


class Customer(State):
    customer_id: str
    name: str
    email: str


class InvoiceDue(Notification):
    order_id: str
    amount: Decimal


class Reading(BaseModel):
    sensor: str


readings = Stream[Reading | InvoiceDue]("readings", key=None)


async def models(bus: Bus) -> str:
    await bus.publish(readings, Reading(sensor="s-1"), InvoiceDue(order_id="o-1", amount=Decimal(1)))
    async with bus.take(Queue[Reading]("work")) as messages:
        return messages[0].event.sensor


orders = Stream[OrderPlaced | OrderCancelled]("orders", key="order_id", partitions=6, retain="7d")
customers = Stream[Customer]("customers", key="customer_id", compact=True)
invoices = Queue[InvoiceDue]("invoices", lease="30s", retry=Backoff(5, "1s", "5m"), dead=True)


async def send(event: InvoiceDue, msg: Message[InvoiceDue]) -> None:
    if event.amount <= 0:
        raise Reject("nothing to pay")
    if msg.attempt > 1:
        await msg.extend("60s")
    raise Retry("customer not seen yet", after="10s")


async def script() -> None:
    async with connect("memory://") as bus:
        receipt = await bus.publish(orders, OrderPlaced(order_id="o-1"))
        await bus.publish(orders, *(OrderPlaced(order_id=f"o-{i}") for i in range(1000)))
        await bus.publish(invoices, InvoiceDue(order_id="o-1", amount=Decimal(5)), delay="15m", dedup="o-1")
        await bus.publish(invoices, InvoiceDue(order_id="o-1", amount=Decimal(5)), at=datetime(2026, 1, 1, tzinfo=UTC))
        async with bus.batch() as batch:
            batch.add(customers, Customer(customer_id="c-1", name="Ada", email="ada@example.org"))
            batch.add(orders, OrderCancelled(order_id="o-1", reason="test", by="me"))
        async for m in bus.read(orders, start="-1h", stop="end"):
            print(receipt.offset, m.offset, m.event)
            match m.event:
                case OrderPlaced(order_id=order_id):
                    print(order_id)
                case OrderCancelled(reason=reason):
                    print(reason)
        async with bus.take(invoices, 10, wait="5s") as messages:
            print([m.event.amount for m in messages])
            await messages[0].ack()
        await bus.delete(customers, "c-1")
        await bus.declare(orders, invoices)
        later = bus.publish_nowait(orders, OrderPlaced(order_id="o-3"))
        print((await later).count, {OrderPlaced(order_id="a"): 1})


def blocking() -> None:
    with sync.connect() as bus:
        receipt: Receipt = bus.publish(orders, OrderPlaced(order_id="o-2"))
        with bus.take(invoices, 10) as messages:
            messages[0].ack()
            print(messages[0].event.amount, receipt.offset)
        with bus.batch() as batch:
            batch.add(customers, Customer(customer_id="c-1", name="Ada", email="ada@example.org"))
        found: Iterator[Message[Customer]] = bus.read(customers, start=0, stop="end")
        print([m.event.name for m in found])


async def helper(bus: Bus, other: SyncBus) -> list[Message[OrderPlaced | OrderCancelled]]:
    other.flush()
    return [m async for m in bus.read(orders, stop="end")]
