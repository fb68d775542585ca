"""What `isthmus bench` measures: events a second and latencies of publishing, reading, queues, and from end to end.

It uses a broker through the engine port only. It prints nothing.

Times are of this process: from the call to its return, and from before an event is published until a reader here has
it in its hands.
"""

import asyncio
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from isthmus.definition import Level, QueueDefinition, TopicConfig, TopicDefinition
from isthmus.errors import UnknownTopic
from isthmus.record import NO_HEADERS, Record

if TYPE_CHECKING:
    from isthmus.cli.output import Progress
    from isthmus.engines.base import Engine, Received, Source

ProgressMaker = Callable[[str, int | None, Literal["bytes", "events"]], "Progress"]

LATENCY_EVENTS_MAX: Final = 2_000
"""Events whose way from end to end is measured, one a call."""

CALL_BYTES_MAX: Final = 1 << 20
"""Bytes of the events of one publishing call."""

READ_BYTES: Final = 1 << 20
WAIT_MS: Final = 1_000
STAMP: Final = struct.Struct(">q")
"""At the beginning of a value: when it was published, in nanoseconds of this process's clock."""

MEANING: Final[dict[Level, str]] = {
    "fsync": "fsync: synced to disk before it is acknowledged",
    "written": "written: in the operating system's hands, synced later",
}
IN_MEMORY: Final = "none: in memory only"


class Load(Struct, frozen=True, kw_only=True):
    """What is put on a broker; `size` in bytes of a value, `rate` in events a second for latencies."""

    events: int
    size: int
    batch: int
    producers: int
    consumers: int
    partitions: int
    rate: float
    level: Level


class Figure(Struct, frozen=True, kw_only=True):
    """One result. The latencies, in milliseconds, are those of single calls, or of events from end to end."""

    what: str
    durability: str
    events: int
    seconds: float
    events_per_s: float
    mb_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Tally:
    """Latencies and the time around them, in nanoseconds."""

    def __init__(self) -> None:
        self.spans: list[int] = []
        self.events = 0
        self._began = time.perf_counter_ns()

    def add(self, since_ns: int, events: int = 1) -> None:
        """Something that began then is done."""
        self.spans.append(time.perf_counter_ns() - since_ns)
        self.events += events

    def figure(self, what: str, load: Load, durability: str) -> Figure:
        """The result up to now."""
        seconds = (time.perf_counter_ns() - self._began) / 1e9
        spans = sorted(self.spans) or [0]
        rate = self.events / seconds
        return Figure(
            what=what,
            durability=durability,
            events=self.events,
            seconds=round(seconds, 3),
            events_per_s=round(rate, 1),
            mb_per_s=round(rate * load.size / 1e6, 3),
            p50_ms=_share(spans, 0.5),
            p99_ms=_share(spans, 0.99),
            max_ms=_share(spans, 1.0),
        )


def _share(ordered: list[int], share: float) -> float:
    """The value that so large a part does not exceed, in milliseconds."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 3)


async def measure(engine: "Engine", load: Load, progress: ProgressMaker) -> AsyncIterator[Figure]:
    """All figures, each when it is there; the stream and the queue that they need are gone afterwards."""
    mark = secrets.token_hex(4)
    stream, queue = f"isthmus-bench-{mark}", f"isthmus-bench-{mark}-queue"
    meaning = IN_MEMORY if engine.url.startswith("memory:") else MEANING[load.level]
    bench = _Bench(engine, load, progress, meaning)
    kept = TopicConfig(level=load.level)
    try:
        await engine.admin.create(TopicDefinition(name=stream, partitions=load.partitions, config=kept))
        yield await bench.publish("publish", stream)
        yield await bench.read("read", stream)
        yield await bench.from_end_to_end("publish to read", stream)
        await engine.admin.create(QueueDefinition(name=queue, topic=TopicConfig(level=load.level, consumed=True)))
        yield await bench.publish("queue publish", queue)
        yield await bench.take("queue take and acknowledge", queue)
        yield await bench.through_queue("queue publish to take", queue)
    finally:
        for name in (stream, queue):
            await _remove(engine, name)


async def _remove(engine: "Engine", name: str) -> None:
    try:
        await engine.admin.remove(name)
    except UnknownTopic:  # it came to nothing before this one was made
        return


class _Bench:
    """One broker under one load."""

    def __init__(self, engine: "Engine", load: Load, progress: ProgressMaker, meaning: str) -> None:
        self._engine = engine
        self._load = load
        self._progress = progress
        self._meaning = meaning
        self._filling = secrets.token_bytes(load.size)  # which nobody can compress
        self._call_events = max(1, min(load.batch, CALL_BYTES_MAX // load.size))
        self._few = min(load.events, LATENCY_EVENTS_MAX)

    def _record(self) -> Record:
        return Record(STAMP.pack(time.perf_counter_ns()) + self._filling[STAMP.size :], None, NO_HEADERS)

    def _figure(self, what: str, tally: Tally) -> Figure:
        return tally.figure(what, self._load, self._meaning)

    async def publish(self, what: str, name: str) -> Figure:
        """Many calls at a time; the latencies are those of calls."""
        record, left = self._record(), self._load.events
        with self._progress(what, left, "events") as shown:
            tally = Tally()

            async def produce() -> None:
                nonlocal left
                while left > 0:
                    count = min(self._call_events, left)
                    left -= count
                    began_ns = time.perf_counter_ns()
                    await self._engine.publish(name, [record] * count)
                    tally.add(began_ns, count)
                    shown.advance(count)

            await _together([produce() for _ in range(self._load.producers)])
            return self._figure(what, tally)

    async def read(self, what: str, name: str) -> Figure:
        """All of it from the beginning; the latencies are those of calls."""
        reader = await self._engine.reader(name, "earliest", "end")
        try:
            with self._progress(what, self._load.events, "events") as shown:
                tally = Tally()
                while not reader.ended:
                    began_ns = time.perf_counter_ns()
                    chunk = await reader.read(READ_BYTES, WAIT_MS)
                    if chunk is not None:
                        tally.add(began_ns, len(chunk.records))
                        shown.advance(len(chunk.records))
                return self._figure(what, tally)
        finally:
            await reader.close()

    async def from_end_to_end(self, what: str, name: str) -> Figure:
        """One event a call at the rate; the latencies are those of events, from before the call to the reader."""
        reader = await self._engine.reader(name, "latest")
        try:
            with self._progress(what, self._few, "events") as shown:
                tally = Tally()

                async def follow() -> None:
                    while tally.events < self._few:
                        chunk = await reader.read(READ_BYTES, WAIT_MS)
                        values = [] if chunk is None else [record.value for record in chunk.records]
                        _arrived(tally, values)
                        shown.advance(len(values))

                await _together([self._paced(name), follow()])
                return self._figure(what, tally)
        finally:
            await reader.close()

    async def take(self, what: str, name: str) -> Figure:
        """All of it by several consumers; the latencies are those of one receive and its acknowledgement."""
        with self._progress(what, self._load.events, "events") as shown:
            tally = Tally()

            async def consume(source: "Source") -> None:
                while tally.events < self._load.events:
                    began_ns = time.perf_counter_ns()
                    received = await source.receive(self._call_events, READ_BYTES, WAIT_MS)
                    if received:
                        await self._acknowledge(source, received)
                        tally.add(began_ns, len(received))
                        shown.advance(len(received))
                    # One that waits for more than there is must not keep the others' figures waiting.
                    if tally.events >= self._load.events:
                        await _close(sources)

            sources = [
                await self._engine.queue_source(name, f"bench-{number}") for number in range(self._load.consumers)
            ]
            try:
                await _together([consume(source) for source in sources])
            finally:
                await _close(sources)
            return self._figure(what, tally)

    async def through_queue(self, what: str, name: str) -> Figure:
        """As from end to end, to a consumer of the queue."""
        source = await self._engine.queue_source(name, "bench")
        try:
            with self._progress(what, self._few, "events") as shown:
                tally = Tally()

                async def follow() -> None:
                    while tally.events < self._few:
                        received = await source.receive(self._call_events, READ_BYTES, WAIT_MS)
                        _arrived(tally, [each.stored.value for each in received])
                        shown.advance(len(received))
                        if received:
                            await self._acknowledge(source, received)

                await _together([self._paced(name), follow()])
                return self._figure(what, tally)
        finally:
            await source.close()

    async def _acknowledge(self, source: "Source", received: "list[Received]") -> None:
        unit = self._engine.unit()
        unit.settle(source, received)
        await unit.submit()

    async def _paced(self, name: str) -> None:
        """One event a call, none before its time; what is late is not made up for all at once."""
        pause_ns = int(1e9 / self._load.rate)
        due_ns = time.perf_counter_ns()
        for _ in range(self._few):
            due_ns = max(due_ns + pause_ns, time.perf_counter_ns())
            await self._engine.publish(name, [self._record()])
            await asyncio.sleep(max(0, due_ns - time.perf_counter_ns()) / 1e9)


def _arrived(tally: Tally, values: "list[bytes | None]") -> None:
    for value in values:
        if value is not None:
            tally.add(STAMP.unpack_from(value)[0])


async def _close(sources: "Sequence[Source]") -> None:
    for source in sources:
        await source.close()


async def _together(work: "Sequence[Coroutine[Any, Any, None]]") -> None:
    """Side by side; when one fails, the others end, and it is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
