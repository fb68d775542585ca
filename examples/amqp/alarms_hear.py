"""Part 4, only what one wants: `alarms_hear.py LEVEL...` hears the alarms of the levels that it names."""

import sys
from typing import Any

from where import connect


def on_alarm(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    """Called for each alarm; its key is the level."""
    print(f"heard {method.routing_key}: {body.decode()}", flush=True)


with connect() as connection:
    channel = connection.channel()
    channel.exchange_declare("alarms", "direct", durable=True)
    own = channel.queue_declare("", exclusive=True).method.queue
    # A queue may be bound as often as one likes: here once for each level.
    for level in sys.argv[1:]:
        channel.queue_bind(own, "alarms", level)
    channel.basic_consume(own, on_alarm, auto_ack=True)
    print("waiting", flush=True)
    channel.start_consuming()
