"""An engine as tests of the port use it: through nothing but what `engines/base.py` offers."""

import asyncio
import time
from collections.abc import Sequence

from isthmus.definition import BackoffPolicy, QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.base import Chunk, Engine, Received, Source, Start
from support.brokers import MANY_BYTES, records

AT_ONCE = BackoffPolicy(first_ms=0, jitter=0)
STREAM = TopicDefinition(name="orders")
WIDE = TopicDefinition(name="wide", partitions=3)
DEAD = QueueDefinition(name="jobs.dead")
QUEUE = QueueDefinition(name="jobs", config=QueueConfig(backoff=AT_ONCE, dead="jobs.dead", failed_max=2))
KEPT = QueueDefinition(name="kept", topic=TopicConfig())


async def declare_all(engine: Engine) -> None:
    """A stream of one partition, one of three, a queue with its dead letters, and one that keeps what is settled."""
    for definition in (STREAM, WIDE, DEAD, QUEUE, KEPT):
        await engine.declare(definition)


async def publish(engine: Engine, name: str, *values: str) -> None:
    """Publish texts; `a:1` has the key `a`."""
    await engine.publish(name, records(*values))


async def read(engine: Engine, topic: str, start: Start = "earliest") -> list[str]:
    """What a topic holds from a start to its end, partition by partition in the order of reading."""
    reader = await engine.reader(topic, start, stop="end")
    found: list[str] = []
    while not reader.ended:
        chunk = await reader.read(MANY_BYTES, 0)
        found += [] if chunk is None else texts_of(chunk)
    await reader.close()
    return found


def texts_of(chunk: Chunk) -> list[str]:
    return [(record.value or b"").decode() for record in chunk.records]


def texts(received: Sequence[Received]) -> list[str]:
    return [(one.stored.value or b"").decode() for one in received]


async def take(source: Source, max_events: int = 1_000) -> list[Received]:
    """What there is to receive at this moment."""
    until_s = time.monotonic() + patience_s(source)
    while not (found := await source.receive(max_events, MANY_BYTES, 0)) and time.monotonic() < until_s:  # noqa: ASYNC110 - it is asked, and tells nobody
        await asyncio.sleep(0.01)
    return found


def patience_s(source: Source) -> float:
    """How long what there is may take to arrive, in real seconds: threads and another process bring it."""
    return 0.7 if type(source).__module__.startswith(("isthmus.engines.kafka", "isthmus.engines.rabbitmq")) else 0.0


async def settle(engine: Engine, source: Source, received: Sequence[Received]) -> None:
    unit = engine.unit()
    unit.settle(source, received)
    await unit.submit()
