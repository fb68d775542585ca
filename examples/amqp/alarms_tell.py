"""Part 4, only what one wants: `alarms_tell.py LEVEL TEXT` gives an alarm under its level."""

import sys

from where import connect

level, text = sys.argv[1:]
with connect() as connection:
    channel = connection.channel()
    channel.exchange_declare("alarms", "direct", durable=True)
    channel.basic_publish("alarms", level, text.encode())
    print(f"told {level}: {text}")
