"""librdkafka's own client against Isthmus, and against a real Apache Kafka in the same run.

The same program drives each broker over `bootstrap.servers`: it produces as fast as it can in cells of message size and
linger, reads all of it back, and sends at a fixed rate for latency from end to end. A topic's durability is set by
Kafka's own `flush.messages`: 1 is a sync before each acknowledgement, more is the page cache. Alone, it measures any
brokers: `python -m bench.kafka --bootstrap HOST:PORT`; of several, the first is held against the second.
"""

import argparse
import contextlib
import gc
import os
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.harness import MS, RATE, Level, Outcome, Settings, Skip, percentile, row

SUBJECT: Final = "kafka"
SIZES: Final = {"100 B": 100, "1 KB": 1_000, "10 KB": 10_000}
LINGERS_MS: Final = (0, 5)
SECONDS: Final = 3.0
PRODUCE_BYTES_MAX: Final = 600_000_000
CONSUME_AT_ONCE: Final = 500
LATENCY_RATES: Final = (1_000, 20_000)
LATE_SECONDS: Final = 30.0
"""How long the last message may take."""
ROUNDS_MAX: Final = 3
PAGE_CACHE: Final = str(2**63 - 1)
FLUSH: Final[dict[Level, str]] = {"fsync": "1", "written": PAGE_CACHE}
MB_RATE: Final = "MB/s"


class Broker(NamedTuple):
    """A broker as the client sees it; `ours` are held against the others."""

    name: str
    bootstrap: str
    ours: bool


class Cell(NamedTuple):
    """Figures to take together: their name, level, and how."""

    name: str
    level: Level
    take: Callable[[Broker, str, float], list[tuple[str, str, float]]]


# ---- the client ---------------------------------------------------------------------------------------------------


def client(broker: Broker, **settings: Any) -> dict[str, Any]:
    return {
        "bootstrap.servers": broker.bootstrap,
        "log_level": 4,
        **{name.replace("_", "."): value for name, value in settings.items()},
    }


def make_topic(broker: Broker, topic: str, level: Level) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient(client(broker))
    wanted = NewTopic(topic, 1, 1, config={"flush.messages": FLUSH[level]})
    admin.create_topics([wanted])[topic].result(30)


def remove_topic(broker: Broker, topic: str) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(client(broker))  # with a name: its thread ends with it
    admin.delete_topics([topic])[topic].result(30)


def produce(broker: Broker, topic: str, size: int, linger_ms: int, seconds: float) -> tuple[int, float]:
    """Send for a while as fast as it goes; how many were acknowledged in how many seconds."""
    from confluent_kafka import Producer

    failed: list[Any] = []

    def told(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    settings = client(broker, linger_ms=linger_ms, acks="all", queue_buffering_max_messages=200_000)
    producer = Producer(settings | {"queue.buffering.max.kbytes": 262_144, "on_delivery": told})
    value, sent = os.urandom(size), 0
    producer.list_topics(topic, timeout=30)
    start = time.perf_counter()
    end, most = start + seconds, PRODUCE_BYTES_MAX // size
    while sent < most and time.perf_counter() < end:
        try:
            for _ in range(200):
                producer.produce(topic, value)
                sent += 1
        except BufferError:
            producer.poll(0.01)
        producer.poll(0)
    if producer.flush(120) or failed:
        raise AssertionError(f"{broker.name}: not all was acknowledged: {failed[:2]}")
    return sent, time.perf_counter() - start


def consume(broker: Broker, topic: str, count: int) -> float:
    """Read so many messages from the beginning; how many a second once the first have come."""
    from confluent_kafka import Consumer, TopicPartition

    # When its queue is full the client asks for nothing for a second by default, which a fast broker meets more often.
    eager = {"queued_min_messages": 1_000_000, "fetch_queue_backoff_ms": 1}
    consumer = Consumer(client(broker, group_id="bench", enable_auto_commit=False, **eager))
    consumer.assign([TopicPartition(topic, 0, 0)])
    seen = begun = 0
    start = 0.0
    while seen < count:
        messages = consumer.consume(min(CONSUME_AT_ONCE, count - seen), 30)
        if not messages:
            raise AssertionError(f"{broker.name}: {seen} of {count} messages came back")
        seen += len(messages)
        if not begun:
            begun, start = seen, time.perf_counter()
    rate = (count - begun) / (time.perf_counter() - start)
    consumer.close()
    return rate


def latency(broker: Broker, topic: str, rate: int, seconds: float) -> list[float]:
    """Send at a fixed rate with linger 0; milliseconds from `produce` to the consumer, for each message."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    total, found = int(rate * seconds), []
    consumer = Consumer(client(broker, group_id="bench", enable_auto_commit=False, fetch_wait_max_ms=500))
    consumer.assign([TopicPartition(topic, 0, 0)])
    producer = Producer(client(broker, linger_ms=0, acks="all"))
    producer.list_topics(topic, timeout=30)

    def read() -> None:
        until = time.monotonic() + seconds + LATE_SECONDS
        while len(found) < total and time.monotonic() < until:
            message = consumer.poll(0.1)  # not `consume`, which waits for as many as were asked for
            if message is not None and not message.error():
                found.append((time.perf_counter_ns() - int(message.value()[:20])) / 1e6)

    reader = threading.Thread(target=read)
    reader.start()
    filling, start = b"x" * 80, time.perf_counter()
    for at in range(total):
        due = start + at / rate
        while (now := time.perf_counter()) < due:
            time.sleep(min(0.001, due - now))
        producer.produce(topic, b"%020d" % time.perf_counter_ns() + filling)
        if not at % 32:
            producer.poll(0)
    producer.flush(60)
    reader.join()
    consumer.close()
    late = total - len(found)
    if late and broker.ours:
        raise AssertionError(f"{broker.name}: {len(found)} of {total} messages came")
    # A peer that is not through by then took at least so long for the rest.
    return [*found, *[LATE_SECONDS * 1e3] * late][rate // 2 :]  # the first half second is a warm-up


# ---- cells --------------------------------------------------------------------------------------------------------


def throughput_cell(name: str, size: int, linger_ms: int, level: Level) -> Cell:
    def take(broker: Broker, topic: str, seconds: float) -> list[tuple[str, str, float]]:
        sent, took = produce(broker, topic, size, linger_ms, seconds)
        label = f"produce {name}, linger {linger_ms} ms"
        rows = [(label, MB_RATE, sent * size / took / 1e6), (label, RATE, sent / took)]
        if linger_ms:
            read = consume(broker, topic, sent)
            rows += [(f"consume {name}", MB_RATE, read * size / 1e6), (f"consume {name}", RATE, read)]
        return rows

    return Cell(f"{size} {linger_ms}", level, take)


def latency_cell(rate: int, level: Level) -> Cell:
    def take(broker: Broker, topic: str, seconds: float) -> list[tuple[str, str, float]]:
        found = latency(broker, topic, rate, seconds)
        label = f"end to end at {rate:,} messages/s"
        return [(f"{label}, p50", MS, statistics.median(found)), (f"{label}, p99", MS, percentile(found, 0.99))]

    return Cell(f"latency {rate}", level, take)


def cells(level: Level) -> list[Cell]:
    made = [throughput_cell(name, size, linger, level) for name, size in SIZES.items() for linger in LINGERS_MS]
    return made + [latency_cell(rate, level) for rate in LATENCY_RATES]


Figures = dict[tuple[str, str, Level, str], list[float]]
"""By figure, unit, level and broker: what each round gave."""


def measure(brokers: Sequence[Broker], rounds: int, seconds: float = SECONDS, only: Sequence[str] = ()) -> Figures:
    """Every cell on every broker in turn, so that what else the machine does meets all of them."""
    found: Figures = {}
    run = uuid.uuid4().hex[:8]
    for number in range(rounds):
        for cell in [cell for level in FLUSH for cell in cells(level)]:
            for broker in brokers:
                topic = f"bench-{run}-{number}-{cell.level}-{cell.name.replace(' ', '-')}"
                if only and not any(part in topic for part in only):
                    continue
                make_topic(broker, topic, cell.level)
                gc.collect()
                for label, unit, value in cell.take(broker, topic, seconds):
                    found.setdefault((label, unit, cell.level, broker.name), []).append(value)
                remove_topic(broker, topic)
    return found


def outcomes(brokers: Sequence[Broker], found: Figures) -> Iterator[Outcome]:
    """Rows cell by cell; ours are to be as good as the peer's in the same run."""
    peer = next((broker.name for broker in brokers if not broker.ours), None)
    for (label, unit, level, name), values in found.items():
        ours = next(broker.ours for broker in brokers if broker.name == name)
        theirs = found.get((label, unit, level, peer)) if peer is not None and ours else None
        bar = statistics.median(theirs) if theirs and is_barred(label, level) else None
        yield row(SUBJECT, f"{name}: {label}", level, values, unit, bar=bar, at_least=unit != MS)


def is_barred(label: str, level: Level) -> bool:
    """Where design's bar holds: all cells where both sync; against the page cache those with large enough batches."""
    if "p50" in label:
        return False
    return level == "fsync" or "p99" in label or ("linger 0" not in label and "100 B" not in label)


# ---- brokers ------------------------------------------------------------------------------------------------------


def rows(settings: Settings) -> Iterator[Outcome]:
    try:
        import confluent_kafka  # noqa: F401 - whether it is there
    except ImportError:
        yield Skip(subject=SUBJECT, name="librdkafka's client", reason="confluent-kafka is not installed")
        return
    from support.apache_kafka import apache_kafka, unusable
    from support.serve_process import serve_process

    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="isthmus-bench-", dir=settings.directory)
        directory = Path(stack.enter_context(made))
        served = stack.enter_context(serve_process(directory / "isthmus", kafka=0))
        brokers = [Broker("Isthmus", served["kafka"], ours=True)]
        why = unusable()
        if why is None:
            peer = stack.enter_context(apache_kafka(directory / "apache"))
            brokers.append(Broker("Apache Kafka", peer, ours=False))
        else:
            yield Skip(subject=SUBJECT, name="Apache Kafka", reason=why)
        yield from outcomes(brokers, measure(brokers, min(settings.rounds, ROUNDS_MAX)))


def main() -> None:
    from bench.__main__ import line

    parser = argparse.ArgumentParser(prog="python -m bench.kafka", description=__doc__)
    parser.add_argument("--bootstrap", required=True, action="append", metavar="HOST:PORT", help="brokers of Kafka's")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each cell ({SECONDS})")
    parser.add_argument("--only", action="append", default=[], help="part of a cell's name, such as fsync-1000-5")
    asked = parser.parse_args()
    brokers = [Broker(each, each, ours=not at) for at, each in enumerate(asked.bootstrap)]
    for outcome in outcomes(brokers, measure(brokers, asked.rounds, asked.seconds, asked.only)):
        print(line(outcome))


if __name__ == "__main__":
    main()
