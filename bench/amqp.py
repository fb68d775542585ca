"""One lean client of AMQP against Isthmus, and against a real RabbitMQ in the same run.

RabbitMQ's durable quorum queues are the peer: like ours they confirm what is synced. Its durable classic queues stand
beside them. Alone it measures any brokers: `python -m bench.amqp --url amqp://HOST:PORT`.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import amqp_client as client
from bench.harness import MS, RATE, Level, Outcome, Settings, Skip, percentile, resident_bytes, row
from isthmus.protocols.amqp import methods as m

SUBJECT: Final = "amqp"
SIZES: Final = {"100 B": 100, "4 KB": 4_096}
SECONDS: Final = 3.0
ROUNDS_MAX: Final = 3
WINDOW: Final = 1_000
PREFETCHES: Final = (1, 10, 1_000)
LATENCY_RATES: Final = (1_000, 5_000)
PUBLISHED_MAX: Final = 500_000
FILLED: Final = 60_000
QUEUED: Final = 100_000
QUEUED_FULL: Final = 1_000_000
DECLARED: Final = 300
DECLARED_FULL: Final = 10_000
BYTES: Final = "B"
THROUGH_BAR: Final = 10_000
LEVEL: Final[Level] = "fsync"


class Broker(NamedTuple):
    """A broker as the client sees it, with the arguments of its queues; `ours` are held against `peer`.

    `pid` is the process whose memory is looked at, 0 when that is not known.
    """

    name: str
    url: str
    arguments: Mapping[str, Any]
    ours: bool = False
    peer: bool = False
    pid: int = 0


class Cell(NamedTuple):
    """Figures to take together, and how; `queues` are made before and removed afterwards."""

    name: str
    queues: int
    take: Callable[[Broker, Sequence[str], float], list[tuple[str, str, float]]]


@contextlib.contextmanager
def queues_of(broker: Broker, names: Sequence[str]) -> Iterator[None]:
    """Durable queues for the time of the block."""
    link = client.Link(broker.url)
    for name in names:
        link.call(m.QueueDeclare(0, name, durable=True, arguments=dict(broker.arguments)), m.QueueDeclareOk)
    try:
        yield
    finally:
        for name in names:
            link.call(m.QueueDelete(0, name), m.QueueDeleteOk)
        link.close()


# ---- cells --------------------------------------------------------------------------------------------------------


def publish_cell(label: str, size: int, queues: int) -> Cell:
    def take(broker: Broker, names: Sequence[str], seconds: float) -> list[tuple[str, str, float]]:
        messages = [client.message(name, b"x" * size) for name in names]
        sent, took = client.publish(broker.url, messages, WINDOW, seconds, PUBLISHED_MAX)
        return [(f"publish {label} with confirms, {of(queues)}", RATE, sent / took)]

    return Cell(f"publish {size} {queues}", queues, take)


def consume_cell(label: str, size: int, prefetch: int) -> Cell:
    def take(broker: Broker, names: Sequence[str], seconds: float) -> list[tuple[str, str, float]]:
        count = FILLED if prefetch > 1 else FILLED // 4
        client.publish(broker.url, [client.message(names[0], b"x" * size)], WINDOW, 600, count)
        rate = client.consume(broker.url, names, prefetch, size, count, seconds)
        return [(f"consume {label} with acks, prefetch {prefetch:,}", RATE, rate)]

    return Cell(f"consume {size} {prefetch}", 1, take)


def both_cell(label: str, size: int, queues: int) -> Cell:
    def take(broker: Broker, names: Sequence[str], seconds: float) -> list[tuple[str, str, float]]:
        rate = client.both(broker.url, names, b"x" * size, WINDOW, WINDOW, seconds)
        return [(f"publish, confirm, consume, ack {label}, {of(queues)}", RATE, rate)]

    return Cell(f"both {size} {queues}", queues, take)


def latency_cell(rate: int) -> Cell:
    def take(broker: Broker, names: Sequence[str], seconds: float) -> list[tuple[str, str, float]]:
        delivered, confirmed = client.latency(broker.url, names[0], 100, rate, seconds)
        label = f"at {rate:,} messages/s"
        return [
            (f"to the consumer {label}, p50", MS, statistics.median(delivered)),
            (f"to the consumer {label}, p99", MS, percentile(delivered, 0.99)),
            (f"to the confirm {label}, p50", MS, statistics.median(confirmed)),
            (f"to the confirm {label}, p99", MS, percentile(confirmed, 0.99)),
        ]

    return Cell(f"latency {rate}", 1, take)


def memory_cell(count: int) -> Cell:
    def take(broker: Broker, names: Sequence[str], seconds: float) -> list[tuple[str, str, float]]:
        if not broker.pid:
            return []
        before, _ = resident_bytes(broker.pid)
        client.publish(broker.url, [client.message(names[0], b"x" * 100)], WINDOW, 3_600, count)
        after, _ = resident_bytes(broker.pid)
        return [(f"memory of each of {count:,} queued", BYTES, (after - before) / count)]

    return Cell("memory", 1, take)


def declare_cell(count: int) -> Cell:
    def take(broker: Broker, names: Sequence[str], seconds: float) -> list[tuple[str, str, float]]:
        link = client.Link(broker.url)
        arguments = dict(broker.arguments)
        made = [f"{names[0]}-{at}" for at in range(count)]
        begun = time.perf_counter()
        for name in made:
            link.call(m.QueueDeclare(0, name, durable=True, arguments=arguments), m.QueueDeclareOk)
        took = time.perf_counter() - begun
        for name in made:
            link.call(m.QueueDelete(0, name), m.QueueDeleteOk)
        link.close()
        return [(f"declare {count:,} queues, each", MS, took / count * 1e3)]

    return Cell("declare", 1, take)


def of(queues: int) -> str:
    return "1 queue" if queues == 1 else f"{queues} queues"


def cells(*, full: bool) -> list[Cell]:
    # Memory first: what other cells have left free would hide it.
    made = [memory_cell(QUEUED_FULL if full else QUEUED)]
    made += [publish_cell(label, size, queues) for label, size in SIZES.items() for queues in (1, 10)]
    made += [consume_cell(label, size, prefetch) for label, size in SIZES.items() for prefetch in PREFETCHES]
    made += [both_cell(label, size, queues) for label, size in SIZES.items() for queues in (1, 10)]
    made += [latency_cell(rate) for rate in LATENCY_RATES]
    return [*made, declare_cell(DECLARED_FULL if full else DECLARED)]


Figures = dict[tuple[str, str, str], list[float]]
"""By figure, unit and broker: what each round gave."""


def measure(
    brokers: Sequence[Broker], rounds: int, seconds: float = SECONDS, only: Sequence[str] = (), *, full: bool = False
) -> Figures:
    """Every cell on every broker in turn, so that what else the machine does meets all of them."""
    found: Figures = {}
    run = uuid.uuid4().hex[:8]
    for number in range(rounds):
        for at, cell in enumerate(cells(full=full)):
            if (only and not any(part in cell.name for part in only)) or (
                number and cell.name in {"memory", "declare"}
            ):
                continue
            for broker in brokers:
                names = [f"bench-{run}-{number}-{at:02}-{queue}" for queue in range(cell.queues)]
                with queues_of(broker, names):
                    for label, unit, value in cell.take(broker, names, seconds):
                        found.setdefault((label, unit, broker.name), []).append(value)
    return found


def outcomes(brokers: Sequence[Broker], found: Figures) -> Iterator[Outcome]:
    """Rows cell by cell; ours are to be as good as the peer's in the same run."""
    peer = next((broker.name for broker in brokers if broker.peer), None)
    for (label, unit, name), values in found.items():
        ours = next(broker.ours for broker in brokers if broker.name == name)
        theirs = found.get((label, unit, peer)) if peer is not None and ours else None
        bar = statistics.median(theirs) if theirs else None
        if ours and bar is None and label.startswith("publish, confirm"):
            bar = THROUGH_BAR
        yield row(SUBJECT, f"{name}: {label}", LEVEL, values, unit, bar=bar, at_least=unit == RATE)


# ---- brokers ------------------------------------------------------------------------------------------------------


def rows(settings: Settings) -> Iterator[Outcome]:
    from support.rabbitmq import rabbitmq, unusable
    from support.serve_process import addresses, start_serving

    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="isthmus-bench-", dir=settings.directory)
        directory = Path(stack.enter_context(made))
        process = start_serving(directory / "isthmus", {"amqp": 0})
        stack.callback(process.communicate)
        stack.callback(process.terminate)
        served = dict(addresses(process.stdout, 1))
        brokers = [Broker("Isthmus", f"amqp://{served['amqp']}", {}, ours=True, pid=process.pid)]
        why = unusable()
        if why is None:
            node = stack.enter_context(rabbitmq(directory / "rabbitmq", api=False))
            pid = pid_of(str(node.directory))
            quorum = {"x-queue-type": "quorum"}
            brokers.append(Broker("RabbitMQ quorum", node.url, quorum, peer=True, pid=pid))
            brokers.append(Broker("RabbitMQ classic", node.url, {}, pid=pid))
        else:
            yield Skip(subject=SUBJECT, name="RabbitMQ", reason=why)
        yield from outcomes(brokers, measure(brokers, min(settings.rounds, ROUNDS_MAX), full=settings.full))


def pid_of(word: str) -> int:
    """The process that has this in its environment, of several the one that takes most memory; 0 for none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if word in path.read_text(errors="replace"):
                found.append((resident_bytes(path.parent.name)[0], int(path.parent.name)))
    return max(found, default=(0, 0))[1]


def main() -> None:
    from bench.__main__ import line

    parser = argparse.ArgumentParser(prog="python -m bench.amqp", description=__doc__)
    parser.add_argument("--url", required=True, action="append", help="brokers: amqp://user:password@host:port")
    parser.add_argument("--quorum", action="store_true", help="quorum queues instead of classic ones")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of each cell ({SECONDS})")
    parser.add_argument("--only", action="append", default=[], help="part of a cell's name, such as 'both 100'")
    parser.add_argument("--full", action="store_true", help="a million messages queued, ten thousand queues")
    asked = parser.parse_args()
    arguments = {"x-queue-type": "quorum"} if asked.quorum else {}
    brokers = [Broker(each, each, arguments, ours=not at) for at, each in enumerate(asked.url)]
    found = measure(brokers, asked.rounds, asked.seconds, asked.only, full=asked.full)
    for outcome in outcomes(brokers, found):
        print(line(outcome))


if __name__ == "__main__":
    main()
