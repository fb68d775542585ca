"""The process that tests/crash/test_kill.py kills: broker, publishers, a group, workers, redrive, compaction.

Run as `python -m support.kill_child DIRECTORY LIFE ORDERED`. With life 0 it publishes nothing, finishes what there is
and ends by itself; any other life goes on until it is killed.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from isthmus import Notification, Stream, connect
from isthmus.broker.broker import BrokerOptions
from isthmus.definition import QueueConfig, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.engines.base import Attributes, Engine, Received, Source
from isthmus.limits import MIB, SEGMENT_BYTES_MIN
from isthmus.log.headers import header_value
from isthmus.record import Appended, Record
from isthmus.types import Bus
from support.kill_lines import (
    DEAD,
    DONE,
    GROUP,
    IDS_PER_LIFE,
    JOBS,
    ORDERS,
    OUTPUT,
    PARTITIONS,
    SEEN,
    Begun,
    Died,
    Failed,
    Line,
    Opening,
    Output,
    Payload,
    Published,
    Redriven,
    Settled,
    Taken,
    pad_of,
    to_line,
)

CALLS_MAX: Final = 250
"""Publish calls of one kind in one life: what a slow checker can read again and again."""


class Order(Notification):
    id: int
    pad: str


STREAM: Final = Stream[Order](ORDERS, key="id", partitions=PARTITIONS[ORDERS], retain=None)


def tell(line: Line) -> None:
    sys.stdout.buffer.write(to_line(line))
    sys.stdout.buffer.flush()


async def main(directory: str, life: int, *, ordered: bool) -> None:
    options = BrokerOptions(housekeeping_ms=40)
    tell(Opening())
    async with connect(directory, options=options, segment_bytes=SEGMENT_BYTES_MIN) as bus:
        await declare(bus, ordered=ordered)
        tell(Begun())
        engine = bus.engine
        group = await engine.stream_source(ORDERS, GROUP, "earliest", DEAD[ORDERS])
        workers = [await engine.queue_source(JOBS, f"worker{number}") for number in range(3)]
        consuming = [consume(engine, ORDERS, group), *(consume(engine, JOBS, worker) for worker in workers)]
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in [*consuming, redrive(engine), reclaim(engine)]]
            if life:
                tasks.create_task(publish_orders(bus, life))
                tasks.create_task(publish_jobs(engine, life))
            else:
                await until_idle(engine)
                for each in running:
                    each.cancel()
        for source in (group, *workers):
            await source.close()


async def declare(bus: Bus, *, ordered: bool) -> None:
    letters = QueueConfig(failed_max=None)
    for name in DEAD.values():
        await bus.engine.declare(QueueDefinition(name=name, config=letters, topic=TopicConfig()))
    for name in (SEEN, DONE):
        await bus.engine.declare(TopicDefinition(name=name))
    config = QueueConfig(failed_max=4, dead=DEAD[JOBS], ordered=ordered)
    await bus.engine.declare(QueueDefinition(name=JOBS, config=config, partitions=PARTITIONS[JOBS]))
    await bus.declare(STREAM)


# ---- publishing ------------------------------------------------------------------------------------------------------


async def publish_orders(bus: Bus, life: int) -> None:
    """Through the client, some calls side by side."""
    numbers = itertools.count(life * IDS_PER_LIFE)

    async def some() -> None:
        for call in range(CALLS_MAX):
            ids = [next(numbers) for _ in range(1 + call % 3)]
            receipt = await bus.publish(STREAM, *(Order(id=number, pad=pad_of(number)) for number in ids))
            tell(Published(ORDERS, rows_of(receipt.appended, ids)))

    await asyncio.gather(some(), some())


async def publish_jobs(engine: Engine, life: int) -> None:
    """Through the port: with delays, and with an id of de-duplication that the life before may have used."""
    numbers = itertools.count(life * IDS_PER_LIFE + IDS_PER_LIFE // 2)
    for first in (next(numbers) - IDS_PER_LIFE, next(numbers) - 1):
        if first > IDS_PER_LIFE:
            await publish_job(engine, [first], Attributes(dedup=str(first)))
    for call in range(CALLS_MAX):
        ids = [next(numbers) for _ in range(1 + call % 4)]
        due_ms = engine.clock.now_ms() + 30 if call % 5 == 0 else None
        await publish_job(engine, ids, Attributes(due_ms=due_ms) if due_ms else None)


async def publish_job(engine: Engine, ids: Sequence[int], attributes: Attributes | None) -> None:
    records = [Record(encode(Payload(number, pad_of(number))), b"%d" % (number % 40)) for number in ids]
    tell(Published(JOBS, rows_of(await engine.publish(JOBS, records, attributes), ids)))


def rows_of(appended: Sequence[Appended], ids: Sequence[int]) -> list[tuple[int, int, int]]:
    return [
        (run.partition, run.base_offset + at, ids[index])
        for run in appended
        for at, index in enumerate(run.indexes if run.indexes is not None else range(len(ids)))
    ]


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Payload).decode


# ---- consuming -------------------------------------------------------------------------------------------------------


async def consume(engine: Engine, topic: str, source: Source) -> None:
    """Settle most with an output, fail some once or for ever, let some die at once."""
    while True:
        received = await source.receive(8, MIB, 10_000)
        tell(Taken(topic, [(one.partition, one.stored.offset, one.attempt, one.failed) for one in received]))
        fates: dict[str, list[Received]] = {"settle": [], "fail": [], "die": []}
        for one in received:
            fates[fate_of(topic, one)].append(one)
        if fates["settle"]:
            await settle(engine, topic, source, fates["settle"])
            tell(Settled(topic, places(fates["settle"])))
        if fates["fail"]:
            await source.fail(fates["fail"], 5, "not now")
            tell(Failed(topic, [(one.partition, one.stored.offset, one.failed + 1) for one in fates["fail"]]))
        if fates["die"]:
            await source.dead(fates["die"], "never", "")
            tell(Died(topic, places(fates["die"])))


def fate_of(topic: str, one: Received) -> str:
    """By the number of the event; what comes out of the dead letters is settled."""
    number = decode(one.stored.value or b"").id
    if header_value(one.stored.headers, "isthmus-cause") is not None:
        return "settle"
    if number % 9 == 0:
        return "die"
    if number % 10 == 0 and (topic == JOBS or one.failed < 2):
        return "fail"
    return "settle"


async def settle(engine: Engine, topic: str, source: Source, received: Sequence[Received]) -> None:
    unit = engine.unit()
    outputs = [Output(one.partition, one.stored.offset, decode(one.stored.value or b"").id) for one in received]
    unit.publish(OUTPUT[topic], [Record(encode(output)) for output in outputs])
    unit.settle(source, received)
    await unit.submit()


def places(received: Sequence[Received]) -> list[tuple[int, int]]:
    return [(one.partition, one.stored.offset) for one in received]


async def redrive(engine: Engine) -> None:
    while True:
        for topic, dead in DEAD.items():
            moved = await engine.admin.redrive(dead, 5)
            if moved:
                tell(Redriven(topic, moved))
        await asyncio.sleep(0.03)


async def reclaim(engine: Engine) -> None:
    """Win back space again and again: files change hands all the time."""
    while True:
        await asyncio.sleep(0.05)
        await engine.admin.reclaim()


async def until_idle(engine: Engine) -> None:
    """Return when every order and job is settled and no dead letter is left."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        views = [await engine.admin.queue(name) for name in (JOBS, *DEAD.values())]
        (group,) = await engine.admin.groups(ORDERS)
        left = [view.ready + view.leased + view.delayed + view.dying for view in views]
        if not any(left) and group.lag == 0:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"left after a minute: {left} of the queues, {group.lag} of the stream")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), ordered=sys.argv[3] == "ordered"))
