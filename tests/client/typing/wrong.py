"""What a type checker must refuse: each line that ends in `# error: code` and no other."""

from pydantic import BaseModel

from isthmus import Message, Notification, Queue, Stream
from isthmus.types import Bus, SyncBus


class Placed(Notification):
    order_id: str


class Cancelled(Notification):
    order_id: str


class Reading(BaseModel):
    sensor: str


class Plain:
    order_id: str


orders = Stream[Placed]("orders", key="order_id")
both = Stream[Placed | Cancelled]("both", key="order_id")
work = Queue[Placed]("work")

no_event = Stream[Plain]("plain", key=None)  # error: type-var
no_key = Stream[Placed]("unkeyed")  # error: call-arg
misspelt_option = Stream[Placed]("orders", key=None, partition=3)  # error: call-arg
wrong_level = Queue[Placed]("work", durability="memory")  # error: arg-type

event = Placed(order_id="o-1")
event.order_id = "o-2"  # error: misc
positional = Placed("o-1")  # error: call-arg
misspelt = Placed(order="o-1")  # error: call-arg
missing = Cancelled()  # error: call-arg
mistyped = Placed(order_id=7)  # error: arg-type


async def publishing(bus: Bus, blocking: SyncBus) -> None:
    await bus.publish(orders, Cancelled(order_id="o-1"))  # error: misc
    await bus.publish(work, Cancelled(order_id="o-1"))  # error: misc
    await bus.publish(orders, event, Cancelled(order_id="o-1"))  # error: misc
    await bus.publish(orders, Reading(sensor="s"))  # error: misc
    await bus.publish(orders, {"order_id": "o-1"})  # error: misc
    await bus.publish(orders, event, delays="1s")  # error: call-arg
    await bus.publish(orders, event, delay=1)  # error: arg-type
    bus.publish_nowait(orders, Cancelled(order_id="o-1"))  # error: misc
    async with bus.batch() as batch:
        batch.add(orders, Cancelled(order_id="o-1"))  # error: misc
    blocking.publish(orders, Cancelled(order_id="o-1"))  # error: misc
    with blocking.batch() as collected:
        collected.add(work, Cancelled(order_id="o-1"))  # error: misc
    await bus.delete(orders, "o-1")  # error: type-var
    async with bus.take(orders) as _:  # error: arg-type
        pass
    bus.read(orders, stop="tomorrow")  # error: arg-type


def reading(message: Message[Placed], either: Message[Placed | Cancelled]) -> Message[Placed]:
    message.partition = 3  # error: misc
    print(message.event.reason)  # error: attr-defined
    return either  # error: return-value
