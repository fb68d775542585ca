"""Part 7, knowing that messages are safe: the broker confirms what it has, which one may wait for in two ways."""

import time
from typing import Any

import pika
from where import PARAMETERS, connect

COUNT = 1_000
QUEUE = "deeds"
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def one_by_one() -> None:
    """Wait for each before the next: on a channel that confirms, this connection does so by itself. Simple and slow."""
    with connect() as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        channel.confirm_delivery()
        for number in range(COUNT):
            channel.basic_publish("", QUEUE, str(number).encode(), PERSISTENT)  # raises if the broker refuses it


class AsTheyCome:
    """Publish all, and hear meanwhile how far the broker is; `refused` is what it would not take."""

    def __init__(self) -> None:
        self.refused: list[int] = []
        self._waiting: set[int] = set()
        self._connection = pika.SelectConnection(PARAMETERS, self._on_connection)
        self._connection.ioloop.start()

    def _on_connection(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        channel.confirm_delivery(self._on_confirm, lambda _: self._publish(channel))

    def _publish(self, channel: Any) -> None:
        # Messages are numbered from 1 on, by both sides, since the channel began to confirm.
        for number in range(1, COUNT + 1):
            self._waiting.add(number)
            channel.basic_publish("", QUEUE, str(number).encode(), PERSISTENT)

    def _on_confirm(self, frame: Any) -> None:
        told = frame.method
        # `multiple`: this one and all before it.
        settled = (
            {each for each in self._waiting if each <= told.delivery_tag} if told.multiple else {told.delivery_tag}
        )
        self._waiting -= settled
        if isinstance(told, pika.spec.Basic.Nack):
            self.refused += settled
        if not self._waiting:
            self._connection.add_on_close_callback(lambda *_: self._connection.ioloop.stop())
            self._connection.close()


def per_second(began: float) -> str:
    """What that makes."""
    return f"{COUNT} confirmed, {COUNT / (time.monotonic() - began):,.0f} a second"


began = time.monotonic()
one_by_one()
print(f"one by one: {per_second(began)}")

began = time.monotonic()
assert not AsTheyCome().refused
print(f"as they come: {per_second(began)}")

with connect() as connection:
    channel = connection.channel()
    print(f"in the queue: {channel.queue_declare(QUEUE, passive=True).method.message_count}")
    channel.queue_delete(QUEUE)
