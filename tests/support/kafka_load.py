"""Load from librdkafka on a server that comes and goes: idempotent producers, a consumer group, and one who reads all.

All of it lives on while the server is killed, and tells a `History` what it is told.
"""

import random
import threading
import time
from typing import Any, Final

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from support.kafka_history import History, Name, Partition

GROUP: Final = "kills"
PARTITIONS: Final = 3
TOPICS: Final = {"fsync": {"flush.messages": "1"}, "written": {"flush.messages": "1000000"}}
"""One topic for each level of durability; both survive the death of the process."""

COMPRESSION: Final = {"fsync": "none", "written": "lz4"}
KEYS: Final = 12
PAD_MAX: Final = 1_200
BURST: Final = 12
PAUSE_S: Final = 0.004
PATIENCE_S: Final = 60.0

IMPATIENT: Final[dict[str, Any]] = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 50,
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 50,
    "socket.timeout.ms": 5_000,
    "log_level": 0,  # that the server is gone is what this is about
}


def make_topics(bootstrap: str) -> None:
    """Create them."""
    admin = AdminClient({"bootstrap.servers": bootstrap} | IMPATIENT)
    made = admin.create_topics([NewTopic(name, PARTITIONS, 1, config=config) for name, config in TOPICS.items()])
    for future in made.values():
        future.result(PATIENCE_S)


def name_of(message: Message) -> Name:
    """Which record it is, by its key and the number in front of its value."""
    return Name(message.key() or b"", int((message.value() or b"").partition(b":")[0]))


def place_of(message: Message) -> tuple[Partition, int]:
    """Where it is."""
    return (message.topic() or "", message.partition() or 0), message.offset() or 0


class Load:
    """Producers and a consumer, each in a thread of its own from `start` on."""

    def __init__(self, bootstrap: str, history: History) -> None:
        self._bootstrap = bootstrap
        self._history = history
        self._stop_producing = threading.Event()
        self._stop_consuming = threading.Event()
        self._leave = threading.Event()
        self._produced: dict[str, dict[bytes, int]] = {name: {} for name in TOPICS}
        self._threads = [threading.Thread(target=self._guarded, args=(self._produce, name)) for name in TOPICS]
        self._consuming = threading.Thread(target=self._guarded, args=(self._consume,))

    def start(self) -> None:
        """Begin."""
        for each in (*self._threads, self._consuming):
            each.start()

    def new_member(self) -> None:
        """Let the consumer leave and another one join, which begins where the group's offsets are."""
        self._leave.set()

    @property
    def produced(self) -> dict[str, set[Name]]:
        """What was handed to producers, by topic."""
        return {
            topic: {Name(key, number) for key, count in counts.items() for number in range(count)}
            for topic, counts in self._produced.items()
        }

    def finish_producing(self) -> None:
        """Produce no more, and wait until everything is acknowledged."""
        self._stop_producing.set()
        for each in self._threads:
            each.join()

    def stop(self) -> None:
        """End, whatever is left to do."""
        self._stop_producing.set()
        self._stop_consuming.set()
        for each in (*self._threads, self._consuming):
            if each.ident is not None:
                each.join()

    def _guarded(self, work: Any, *arguments: str) -> None:  # noqa: ANN401 - any of the methods below
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - the judge raises it, in the thread of the test
            self._history.fail(f"{work.__name__}: {error!r}")

    # ---- producing --------------------------------------------------------------------------------------------------

    def _produce(self, topic: str) -> None:
        settings = {
            "bootstrap.servers": self._bootstrap,
            "enable.idempotence": True,
            "compression.type": COMPRESSION[topic],
            "linger.ms": 2,
            "message.timeout.ms": int(PATIENCE_S * 1000),
            "error_cb": self._error,
        }
        producer, rng, counts = Producer(settings | IMPATIENT), random.Random(topic), self._produced[topic]
        while not self._stop_producing.is_set():
            for _ in range(rng.randrange(BURST)):
                key = b"%d" % rng.randrange(KEYS)
                number = counts.get(key, 0)
                value = b"%d:" % number + bytes([97 + number % 26]) * rng.randrange(PAD_MAX)
                try:
                    producer.produce(topic, value, key, on_delivery=self._delivered)
                except BufferError:
                    break
                counts[key] = number + 1
            producer.poll(PAUSE_S)
        left = producer.flush(PATIENCE_S)
        if left:
            self._history.fail(f"{left} records of {topic} were never acknowledged")

    def _error(self, error: KafkaError) -> None:
        if error.fatal():
            self._history.fail(f"a producer failed for good: {error}")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._history.fail(f"a record was refused: {error}")
            return
        where, offset = place_of(message)
        self._history.acknowledge(where, offset if offset >= 0 else None, name_of(message))

    # ---- consuming --------------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        while not self._stop_consuming.is_set():
            self._leave.clear()
            settings = {
                "bootstrap.servers": self._bootstrap,
                "group.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 200,
                "fetch.wait.max.ms": 50,
            }
            member = Member(Consumer(settings | IMPATIENT), self._history)
            try:
                while not (self._stop_consuming.is_set() or self._leave.is_set()):
                    member.turn()
            finally:
                member.close()

    def await_group(self, ends: dict[Partition, int]) -> None:
        """Wait until the group has committed all that there is, and stop it."""
        until_s = time.monotonic() + PATIENCE_S
        while any(self._history.committed.get(where, 0) < end for where, end in ends.items()):
            if time.monotonic() > until_s or not self._consuming.is_alive():
                self._history.fail(f"K6: the group is at {self._history.committed}, and the log ends at {ends}")
                break
            time.sleep(0.02)
        self._stop_consuming.set()
        self._consuming.join()


class Member:
    """One member of the group: takes records, commits behind them, notes where it was told to begin."""

    def __init__(self, consumer: Consumer, history: History) -> None:
        self._consumer = consumer
        self._history = history
        self._fresh: set[Partition] = set()
        consumer.subscribe(list(TOPICS), on_assign=self._assigned)

    def _assigned(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._fresh = {(each.topic, each.partition) for each in partitions}

    def turn(self) -> None:
        """Take some, and commit them."""
        taken = [message for message in self._consumer.consume(100, 0.05) if message.error() is None]
        for message in taken:
            where, offset = place_of(message)
            if where in self._fresh:
                self._fresh.discard(where)
                self._history.begin(where, offset)
            self._history.deliver(where, offset, name_of(message))
        if taken:
            self._commit()

    def _commit(self) -> None:
        try:
            done = self._consumer.commit(asynchronous=False)
        except KafkaException:
            return  # the server is gone, or has given the partitions to another member: nothing was promised
        for each in done or ():
            if each.error is None and each.offset >= 0:
                self._history.commit((each.topic, each.partition), each.offset)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


class Reader:
    """Reads every partition to its end, each time on from where it was, and asks for the group's positions."""

    def __init__(self, bootstrap: str, history: History) -> None:
        settings = {"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False}
        self._consumer = Consumer(settings | IMPATIENT)
        self._history = history
        self._next: dict[Partition, int] = {(name, at): 0 for name in TOPICS for at in range(PARTITIONS)}

    def again(self) -> None:
        """Begin at the start once more."""
        self._next = dict.fromkeys(self._next, 0)

    def read(self) -> dict[Partition, int]:
        """Read to the ends as they are now; returns them. Raises TimeoutError: they cannot be reached."""
        ends = {where: self._end(where) for where in self._next}
        self._consumer.assign([TopicPartition(*where, offset) for where, offset in self._next.items()])
        until_s = time.monotonic() + PATIENCE_S
        while any(self._next[where] < end for where, end in ends.items()):
            if time.monotonic() > until_s:
                raise TimeoutError(f"read up to {self._next}, and the log ends at {ends}")
            for message in self._consumer.consume(500, 0.05):
                if message.error() is None:
                    where, offset = place_of(message)
                    self._history.read(where, offset, name_of(message))
                    self._next[where] = offset + 1
        self._consumer.unassign()
        return ends

    def _end(self, where: Partition) -> int:
        marks = self._consumer.get_watermark_offsets(TopicPartition(*where), timeout=PATIENCE_S)
        return marks[1]

    def positions(self) -> dict[Partition, int]:
        """What the server says that the group has committed."""
        asked = [TopicPartition(*where) for where in self._next]
        answered = self._consumer.committed(asked, timeout=PATIENCE_S)
        return {(each.topic, each.partition): each.offset for each in answered if each.offset != OFFSET_INVALID}

    def close(self) -> None:
        """Go away."""
        self._consumer.close()
