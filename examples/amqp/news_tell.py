"""Part 3, everybody gets everything: this end tells the news to whoever listens now."""

import sys

from where import connect

with connect() as connection:
    channel = connection.channel()
    channel.exchange_declare("news", "fanout", durable=True)
    for item in sys.argv[1:]:
        channel.basic_publish("news", "", item.encode())
        print(f"told {item}")
