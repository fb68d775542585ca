"""Part 1, one message through one queue: this end takes it out, until it is stopped."""

from typing import Any

from where import connect


def on_message(_channel: Any, _method: Any, _properties: Any, body: bytes) -> None:
    """Called for each message."""
    print(f"received {body.decode()}", flush=True)


with connect() as connection:
    channel = connection.channel()
    channel.queue_declare("greetings", durable=True)
    # With `auto_ack` a message counts as done as soon as it is sent here: simple, and lost if this program dies.
    channel.basic_consume("greetings", on_message, auto_ack=True)
    print("waiting", flush=True)
    channel.start_consuming()
