"""Part 5, keys of several words: `weather_tell.py COUNTRY.TOWN.WHAT TEXT` reports from somewhere."""

import sys

from where import connect

key, text = sys.argv[1:]
with connect() as connection:
    channel = connection.channel()
    channel.exchange_declare("weather", "topic", durable=True)
    channel.basic_publish("weather", key, text.encode())
    print(f"told {key}: {text}")
