"""Part 6, questions and answers: `squares_ask.py NUMBER...` asks for squares and waits for each."""

import sys
import uuid
from typing import Any

import pika
from where import connect


class Squares:
    """Asks over one connection; answers come to a queue of its own."""

    def __init__(self, connection: pika.BlockingConnection) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._answers: dict[str, bytes] = {}
        self._own = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.basic_consume(self._own, self._on_answer, auto_ack=True)

    def _on_answer(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        self._answers[properties.correlation_id] = body

    def __call__(self, number: int) -> int:
        """Ask, and wait for the answer to this very question."""
        name = str(uuid.uuid4())
        asks = pika.BasicProperties(reply_to=self._own, correlation_id=name)
        self._channel.basic_publish("", "squares", str(number).encode(), asks)
        while name not in self._answers:
            self._connection.process_data_events(time_limit=None)
        return int(self._answers.pop(name))


with connect() as connection:
    square = Squares(connection)
    for word in sys.argv[1:]:
        print(f"the square of {word} is {square(int(word))}")
