"""Part 6, questions and answers: this end squares the numbers that it is asked for."""

from typing import Any

import pika
from where import connect


def on_question(channel: Any, method: Any, properties: Any, body: bytes) -> None:
    """The question says where its answer goes, and which one it answers."""
    number = int(body)
    print(f"asked for {number}", flush=True)
    told = pika.BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish("", properties.reply_to, str(number * number).encode(), told)
    channel.basic_ack(method.delivery_tag)


with connect() as connection:
    channel = connection.channel()
    channel.queue_declare("squares", durable=True)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("squares", on_question)
    print("waiting", flush=True)
    channel.start_consuming()
