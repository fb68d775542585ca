"""Load from AMQP clients on a server that comes and goes: one that publishes with confirms, and one for each queue.

All of it lives on while the server is killed, and tells a `History` what it is told. Messages carry their number, and a
filling that follows from it.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Brought
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.amqp.properties import decode_properties
from support.amqp_history import DEAD, Delivery, History
from support.amqp_wire import PATIENCE_S, AmqpWire, Gone

CLASSIC: Final = "classic"
QUORUM: Final = "quorum"
QUEUES: Final = (CLASSIC, QUORUM)
EXCHANGE: Final = "to-both"
PAD_MAX: Final = 1_500
BURST: Final = 20
WINDOW: Final = 200
"""Messages that are published and not confirmed."""

PREFETCH: Final = 40
PAUSE_S: Final = 0.01
STILL_S: Final = 5.0
"""Who has heard nothing for so long hears nothing more."""


def make_queues(port: int) -> None:
    """Two queues that get everything, and one for what dies in the first."""
    wire = AmqpWire(port)
    wire.ask(m.ExchangeDeclare(0, EXCHANGE, "fanout", durable=True), m.ExchangeDeclareOk)
    wire.declare(DEAD)
    wire.declare(CLASSIC, x_dead_letter_exchange="", x_dead_letter_routing_key=DEAD)
    wire.declare(QUORUM, x_queue_type="quorum", x_delivery_limit=1_000)
    for queue in QUEUES:
        wire.ask(m.QueueBind(0, queue, EXCHANGE), m.QueueBindOk)
    wire.close()


def body_of(number: int) -> bytes:
    """What the message with this number holds."""
    return b"%d:" % number + bytes([97 + number % 26]) * (number * 7919 % PAD_MAX)


class Load:
    """The clients, each in a thread of its own from `start` on."""

    def __init__(self, port: int, history: History, seed: str) -> None:
        self._port = port
        self._history = history
        self._seed = seed
        self._stop_publishing = threading.Event()
        self._stop = threading.Event()
        self._calm = threading.Event()
        """From now on everything is acknowledged."""
        self._publishing = self._thread(self._publish, "publisher")
        self._consuming = [self._thread(self._consume, queue) for queue in (*QUEUES, DEAD)]

    def _thread(self, work: Callable[[AmqpWire, random.Random, str], None], name: str) -> threading.Thread:
        return threading.Thread(target=self._live, args=(work, name), name=name)

    def start(self) -> None:
        """Begin."""
        for each in (self._publishing, *self._consuming):
            each.start()

    def finish(self) -> None:
        """Publish no more, and wait until every queue is empty or nothing comes any more."""
        self._stop_publishing.set()
        self._publishing.join()
        self._calm.set()
        known, until_s = 0, time.monotonic() + STILL_S
        while not self._is_empty() and time.monotonic() < until_s and not self._history.failures:
            if known != (known := self._history.delivered):
                until_s = time.monotonic() + STILL_S
            time.sleep(0.05)
        self.stop()

    def _is_empty(self) -> bool:
        """Whether all that was confirmed has come, and nothing waits; what is unsettled will not come any more."""
        if self._history.missing:
            return False
        wire = AmqpWire(self._port)
        try:
            asked = [m.QueueDeclare(0, queue, passive=True) for queue in (*QUEUES, DEAD)]
            return not any(wire.ask(each, m.QueueDeclareOk).message_count for each in asked)
        finally:
            wire.close()

    def stop(self) -> None:
        """End, whatever is left to do."""
        self._stop_publishing.set()
        self._stop.set()
        for each in (self._publishing, *self._consuming):
            if each.ident is not None:
                each.join()

    def _live(self, work: Callable[[AmqpWire, random.Random, str], None], name: str) -> None:
        """Work with one connection after the other."""
        rng, stop = random.Random(f"{self._seed} {name}"), self._stop_publishing if name == "publisher" else self._stop
        while not stop.is_set():
            try:
                wire = AmqpWire(self._port)
            except Gone:
                time.sleep(PAUSE_S)
                continue
            try:
                work(wire, rng, name)
            except Gone as gone:
                if gone.args:
                    self._history.fail(f"{name}: the server closes: {gone}")
            except Exception as error:  # noqa: BLE001 - the judge raises it, in the thread of the test
                self._history.fail(f"{name}: {error!r}")
                return
            finally:
                wire.close()

    # ---- publishing -------------------------------------------------------------------------------------------------

    def _publish(self, wire: AmqpWire, rng: random.Random, _: str) -> None:
        wire.ask(m.ConfirmSelect(), m.ConfirmSelectOk)
        sent: dict[int, int] = {}
        tag = 0
        while not self._stop_publishing.is_set() or sent:
            if len(sent) < WINDOW and not self._stop_publishing.is_set():
                numbers = self._history.publish(rng.randrange(1, BURST))
                wire.publish(EXCHANGE, *map(body_of, numbers))
                sent |= zip(range(tag + 1, tag + 1 + len(numbers)), numbers, strict=True)
                tag += len(numbers)
            self._hear_confirms(wire, sent, PAUSE_S if len(sent) < WINDOW else PATIENCE_S)

    def _hear_confirms(self, wire: AmqpWire, sent: dict[int, int], seconds: float) -> None:
        while (event := wire.next(seconds)) is not None:
            match event.method:
                case m.BasicAck(tag, multiple):
                    done = [each for each in sent if each <= tag] if multiple else [tag]
                    self._history.confirm([sent.pop(each) for each in done])
                case other:
                    self._history.fail(f"the publisher hears {other}")
            seconds = 0.001

    # ---- consuming --------------------------------------------------------------------------------------------------

    def _consume(self, wire: AmqpWire, rng: random.Random, queue: str) -> None:
        wire.ask(m.BasicQos(0, PREFETCH), m.BasicQosOk)
        wire.ask(m.BasicConsume(0, queue), m.BasicConsumeOk)
        held: dict[int, int] = {}
        while not self._stop.is_set():
            self._take(wire, queue, held)
            if held:
                self._settle(wire, rng, queue, held)

    def _take(self, wire: AmqpWire, queue: str, held: dict[int, int]) -> None:
        """Note what comes."""
        seconds = PAUSE_S
        while (event := wire.next(seconds)) is not None:
            if not isinstance(event, Brought) or not isinstance(event.method, m.BasicDeliver):
                self._history.fail(f"the consumer of {queue} hears {event.method}")
                return
            number = int(event.body.partition(b":")[0])
            if event.body != body_of(number):
                self._history.fail(f"A4: {number} of {queue} has another body")
            held[event.method.delivery_tag] = number
            self._history.deliver(queue, self._delivery(queue, number, event, event.method))
            seconds = 0.0005

    def _delivery(self, queue: str, number: int, event: Brought, method: m.BasicDeliver) -> Delivery:
        if queue != QUORUM:
            return Delivery(number, method.redelivered)
        headers: dict[str, Any] = dict(decode_properties(event.properties).headers or {})
        return Delivery(
            number, method.redelivered, headers.get("x-acquired-count", 0), headers.get("x-delivery-count", 0)
        )

    def _settle(self, wire: AmqpWire, rng: random.Random, queue: str, held: dict[int, int]) -> None:
        """Acknowledge some, give some back, reject some; then ask something, whose answer makes it final."""
        acked: list[int] = []
        rejected: list[int] = []
        said: list[Method] = []
        tags = list(held)
        if rng.random() < 0.3:
            last = tags[rng.randrange(len(tags))]
            said.append(m.BasicAck(last, multiple=True))
            acked = [held.pop(tag) for tag in tags if tag <= last]
        for tag in list(held):
            chance = 0.0 if self._calm.is_set() else rng.random()
            if chance < 0.7:
                said.append(m.BasicAck(tag))
                acked.append(held.pop(tag))
            elif chance < 0.75:
                said.append(m.BasicNack(tag, requeue=True))
                del held[tag]
            elif chance < 0.8:
                said.append(m.BasicReject(tag, requeue=True))
                del held[tag]
            elif chance < 0.85 and queue == CLASSIC:
                said.append(m.BasicReject(tag, requeue=False))
                rejected.append(held.pop(tag))
        wire.say(*said)
        wire.ask(m.BasicQos(0, PREFETCH), m.BasicQosOk)
        self._history.settle(queue, acked)
        self._history.reject(queue, rejected)
