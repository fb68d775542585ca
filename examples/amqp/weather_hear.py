"""Part 5, keys of several words: `weather_hear.py PATTERN...`, where `*` is one word and `#` any number of them."""

import sys
from typing import Any

from where import connect


def on_report(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
    """Called once for each report, however many of the patterns fit."""
    print(f"heard {method.routing_key}: {body.decode()}", flush=True)


with connect() as connection:
    channel = connection.channel()
    channel.exchange_declare("weather", "topic", durable=True)
    own = channel.queue_declare("", exclusive=True).method.queue
    for pattern in sys.argv[1:]:
        channel.queue_bind(own, "weather", pattern)
    channel.basic_consume(own, on_report, auto_ack=True)
    print("waiting", flush=True)
    channel.start_consuming()
