"""The same events through a server: one client in this process, `isthmus serve` in another, over TCP on loopback.

What is measured is the way there and back, encoding and decoding included; the server syncs before it acknowledges.
"""

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from bench.flights import flights, queue, stream
from bench.harness import ROOT, Row, Settings, Took, percentile, rates, row, run_rounds, store, timed
from bench.throughput import CALL, CALLERS, EVENTS, publish_all, read_chunks, take_all
from isthmus import connect
from isthmus.client.bus import Bus
from isthmus.engines.base import Engine
from isthmus.engines.connect import open_engine

SUBJECT: Final = "native"
PUBLISH_MIN: Final = 100_000
QUEUED: Final = 20_000
ASKED: Final = 500


@contextmanager
def server(settings: Settings) -> Generator[str]:
    """The address of a server on a new store; both are gone afterwards."""
    with store(settings) as path:
        command = [sys.executable, "-m", "isthmus.cli.main", "serve", path, "--native", "0", "--quiet"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            try:
                assert process.stdout is not None
                yield f"isthmus://{process.stdout.readline().split()[1]}"
            finally:
                process.terminate()


def rows(settings: Settings) -> Iterator[Row]:
    events = flights(range(EVENTS))

    def rate(
        work: Callable[[Bus, Any], Awaitable[object]], partitions: int = 1, *, before: bool = False, queued: int = 0
    ) -> list[Took]:
        async def once() -> Took:
            dest: Any = queue() if queued else stream(partitions)
            with server(settings) as url:
                async with connect(url) as bus:
                    await bus.declare(dest)
                    if before:
                        await publish_all(bus, dest, events[: queued or EVENTS])
                    return await timed(lambda: work(bus, dest))

        return run_rounds(settings, once)

    def publish(callers: int) -> Callable[[Bus, Any], Awaitable[object]]:
        return lambda bus, dest: publish_all(bus, dest, events, callers)

    lists = f"publish, lists of {CALL:,}"
    yield rates(SUBJECT, f"{lists}, {CALLERS} callers", "fsync", EVENTS, rate(publish(CALLERS)), bar=PUBLISH_MIN)
    yield rates(
        SUBJECT,
        f"{lists}, {CALLERS} callers, 6 partitions",
        "fsync",
        EVENTS,
        rate(publish(CALLERS), 6),
        bar=PUBLISH_MIN,
    )
    yield rates(SUBJECT, "read, chunks, newest", "fsync", EVENTS, rate(read_chunks, before=True))
    yield rates(
        SUBJECT,
        "queue, take 1,000 and acknowledge",
        "fsync",
        QUEUED,
        rate(lambda bus, dest: take_all(bus, dest, QUEUED, 1_000), before=True, queued=QUEUED),
    )
    yield row(
        SUBJECT, "asking for one stream, there and back", "fsync", run_rounds(settings, lambda: ask(settings)), "µs"
    )


async def ask(settings: Settings) -> float:
    """The median time of a request that needs no disk."""
    dest = stream()
    with server(settings) as url:
        async with connect(url) as bus:
            await bus.declare(dest)
        engine = await open_engine(url)
        await engine.start()
        took = [await seconds_of(engine) for _ in range(ASKED)]
        await engine.close()
    return percentile(took, 0.5) * 1e6


async def seconds_of(engine: Engine) -> float:
    """One of them."""
    began = time.perf_counter()
    await engine.partitions("flights")
    return time.perf_counter() - began
