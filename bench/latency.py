"""From `publish` to the handler, one event at a time, beside the syncs of the same commits on the same thread.

The next event is published when nothing of the one before is on its way any more. The sync is timed where it is made,
on the commit thread, so the bar holds for everything else: the loop, both threads' wake-ups, codec and dispatch.
"""

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, Final

from bench.flights import Departed, flights, queue, stream
from bench.harness import MS, Row, Settings, percentile, row
from bench.harness import store as fresh_store
from isthmus import App
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.log import commit, storage

SUBJECT: Final = "latency"
EVENTS: Final = 400
WARM_UP: Final = 50
P50_OVER_SYNC_MS: Final = 0.4
P99_OVER_SYNC_MS: Final = 2.0
BUSY_S: Final = 0.001
SETTLED_POLL_S: Final = 0.0005


class Timed:
    """What a write took on the commit thread, with its sync where it has one, in ms."""

    def __init__(self) -> None:
        self.synced: list[float] = []
        self.written: list[float] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Time the commits of all journals of this process."""
        plain = storage.write_all

        def write_all(file: storage.File, buffers: Sequence[bytes], position: int, *, sync: bool = False) -> None:
            start = time.perf_counter()
            plain(file, buffers, position, sync=sync)
            (self.synced if sync else self.written).append((time.perf_counter() - start) * 1e3)

        vars(commit)["write_all"] = write_all
        try:
            yield
        finally:
            vars(commit)["write_all"] = plain


@contextlib.asynccontextmanager
async def half_busy() -> AsyncGenerator[None]:
    """Keep the loop busy for half of the time, a millisecond at a time."""

    async def burn() -> None:
        while True:
            until = time.perf_counter() + BUSY_S
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(BUSY_S)

    task = asyncio.create_task(burn())
    try:
        yield
    finally:
        task.cancel()


@contextlib.asynccontextmanager
async def idle() -> AsyncGenerator[None]:
    """Leave the loop alone."""
    yield


async def one_by_one(settings: Settings, timed: Timed, *, queued: bool, plain: bool, busy: bool) -> list[float]:
    """Milliseconds from before `publish` to the first line of the handler, for each event."""
    with fresh_store(settings) as path:
        app, took = App(path), []
        arrived: asyncio.Queue[float] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        dest: Any = queue() if queued else stream()
        group = None if queued else "g"
        if plain:

            @app.on(dest, group=group)
            def in_thread(event: Departed) -> None:
                loop.call_soon_threadsafe(arrived.put_nowait, time.perf_counter())

        else:

            @app.on(dest, group=group)
            async def on_loop(event: Departed) -> None:
                arrived.put_nowait(time.perf_counter())

        async with app:
            engine = app.bus.engine
            assert isinstance(engine, EmbeddedEngine)
            journal = engine.broker.journal
            async with half_busy() if busy else idle():
                gc.collect()
                for at, event in enumerate(flights(range(EVENTS + WARM_UP))):
                    if at == WARM_UP:
                        timed.synced.clear()
                        timed.written.clear()
                    start = time.perf_counter()
                    await app.publish(dest, event)
                    handled = await arrived.get()
                    while journal.pending_bytes:  # noqa: ASYNC110 - what follows the handler tells nobody
                        await asyncio.sleep(SETTLED_POLL_S)
                    took.append((handled - start) * 1e3)
        return took[WARM_UP:]


async def there_and_back() -> list[float]:
    """Milliseconds from the loop to a thread that waits and back, with nothing to do there: what this machine takes."""
    loop, jobs = asyncio.get_running_loop(), SimpleQueue[asyncio.Future[None] | None]()

    def answer() -> None:
        while (job := jobs.get()) is not None:
            loop.call_soon_threadsafe(job.set_result, None)

    thread = threading.Thread(target=answer)
    thread.start()
    took = []
    for _ in range(EVENTS):
        start = time.perf_counter()
        job = loop.create_future()
        jobs.put(job)
        await job
        took.append((time.perf_counter() - start) * 1e3)
        await asyncio.sleep(SETTLED_POLL_S)
    jobs.put(None)
    thread.join()
    return took


def rows(settings: Settings) -> Iterator[Row]:
    trips = [asyncio.run(there_and_back()) for _ in range(settings.rounds)]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        values = [percentile(trip, share) for trip in trips]
        yield row(SUBJECT, f"loop to a waiting thread and back, {name}", "no disk", values, MS, note="for comparison")
    for busy in (False, True):
        load = ", loop half busy" if busy else ""
        for queued, plain in ((False, False), (False, True), (True, False)):
            what = f"{'queue' if queued else 'stream'} handler ({'def' if plain else 'async def'}){load}"
            yield from latency_rows(settings, what, queued=queued, plain=plain, busy=busy)


def latency_rows(settings: Settings, what: str, *, queued: bool, plain: bool, busy: bool) -> Iterator[Row]:
    """p50 and p99 with the syncs' own; the bars are medians of what they are in each round."""
    figures: dict[str, list[float]] = {name: [] for name in ("p50", "p99", "sync p50", "sync p99", "write")}
    for number in range(settings.rounds + 1):
        timed = Timed()
        with timed.watching():
            took = asyncio.run(one_by_one(settings, timed, queued=queued, plain=plain, busy=busy))
        if number:
            for name, values in (("", took), ("sync ", timed.synced)):
                figures[f"{name}p50"].append(percentile(values, 0.5))
                figures[f"{name}p99"].append(percentile(values, 0.99))
            figures["write"].append(percentile(timed.written, 0.5) if queued else 0.0)
    middle = settings.rounds // 2
    syncs = {name: sorted(figures[f"sync {name}"])[middle] for name in ("p50", "p99")}
    write = sorted(figures["write"])[middle]
    for name, over in (("p50", P50_OVER_SYNC_MS), ("p99", P99_OVER_SYNC_MS)):
        # A handler in a thread has the wake-up of that thread on top, and a busy loop has no bar.
        bar = None if busy or plain else syncs[name] + write + over
        note = f"sync {syncs[name]:.2f}" + (f", write {write:.2f}" if queued else "")
        yield row(SUBJECT, f"publish to {what}, {name}", "fsync", figures[name], MS, bar=bar, note=note)
