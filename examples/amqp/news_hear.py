"""Part 3, everybody gets everything: one listener, with a queue that is its own and goes with it."""

from typing import Any

from where import connect


def on_news(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
    """Called for each item."""
    print(f"heard {body.decode()}", flush=True)


with connect() as connection:
    channel = connection.channel()
    channel.exchange_declare("news", "fanout", durable=True)
    # Without a name given, the broker makes one up.
    own = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(own, "news")
    channel.basic_consume(own, on_news, auto_ack=True)
    print("waiting", flush=True)
    channel.start_consuming()
