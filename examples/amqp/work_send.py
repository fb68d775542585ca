"""Part 2, work shared by several workers: each argument is a task, and each dot in it stands for a moment of work."""

import sys

import pika
from where import connect

with connect() as connection:
    channel = connection.channel()
    channel.queue_declare("tasks", durable=True)
    # The queue outlives a restart because it is durable, and these messages because they are persistent.
    persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
    for task in sys.argv[1:]:
        channel.basic_publish("", "tasks", task.encode(), persistent)
        print(f"handed out {task}")
