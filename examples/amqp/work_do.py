"""Part 2, work shared by several workers: one of them. Start as many as you like; what one drops, another gets."""

import time
from typing import Any

from where import connect


def on_task(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    """Do it, and only then say so."""
    task = body.decode()
    print(f"began {task}", flush=True)
    time.sleep(0.1 * task.count("."))
    print(f"did {task}", flush=True)
    channel.basic_ack(method.delivery_tag)


with connect() as connection:
    channel = connection.channel()
    channel.queue_declare("tasks", durable=True)
    # One task at a time: the next goes to whoever is idle, not to whoever's turn it is.
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("tasks", on_task)
    print("waiting", flush=True)
    channel.start_consuming()
