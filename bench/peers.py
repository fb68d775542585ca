"""Others that pip can install, in the same run: a broker on SQLite, in-memory brokers for tests, and SQLite itself.

A durable peer is asked for the same as Isthmus is: one event a time, and lists where it has them. Peers are in the
extra `bench`; one that is not installed is skipped and says so.
"""

import asyncio
import importlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from bench.flights import Departed, flights, queue
from bench.harness import RATE, US, Level, Outcome, Settings, Skip, row, store
from isthmus import App, connect

SUBJECT: Final = "peers"
LONE: Final = 500
MANY: Final = 20_000
CALL: Final = 1_000
MEMORY: Final = 1_000
VALUE: Final = '{"tail":"N00001","carrier":"UA","flight":1,"origin":"EWR","delay_min":1}'


def rows(settings: Settings) -> Iterator[Outcome]:
    yield from isthmus_rows(settings)
    yield from sqlite_rows(settings)
    yield from simplebroker_rows(settings)
    yield from in_memory("FastStream's test broker (Kafka)", "faststream.kafka", "faststream", settings, faststream_us)
    yield from in_memory("taskiq's InMemoryBroker", "taskiq", "taskiq", settings, taskiq_us)


def rate(settings: Settings, count: int, work: Callable[[str], Callable[[], object]]) -> list[float]:
    """Rounds in a new directory each; `work` prepares there and gives what is timed."""
    found = []
    for _ in range(settings.rounds):
        with store(settings) as path:
            timed = work(path)
            start = time.perf_counter()
            timed()
            found.append(count / (time.perf_counter() - start))
    return found


# ---- ourselves, for comparison -----------------------------------------------------------------------------------


def isthmus_rows(settings: Settings) -> Iterator[Outcome]:
    async def once(count: int, size: int) -> float:
        events, jobs = flights(range(count)), queue()
        with store(settings) as path:
            async with connect(path) as bus:
                await bus.declare(jobs)
                start = time.perf_counter()
                for at in range(0, count, size):
                    await bus.publish(jobs, *events[at : at + size])
                taken = 0
                while taken < count:
                    async with bus.take(jobs, size) as messages:
                        taken += len(messages)
                return count / (time.perf_counter() - start)

    name = "Isthmus queue, send + take + acknowledge"
    lone = [asyncio.run(once(LONE, 1)) for _ in range(settings.rounds)]
    yield row(SUBJECT, f"{name}, one at a time", "fsync", lone, RATE)
    many = [asyncio.run(once(MANY, CALL)) for _ in range(settings.rounds)]
    yield row(SUBJECT, f"{name}, lists of 1,000", "fsync", many, RATE)

    async def in_one_app() -> float:
        app, seen = App("memory://"), asyncio.Event()
        jobs = queue()

        @app.on(jobs)
        async def handle(event: Departed) -> None:
            seen.set()

        async with app:
            start = time.perf_counter()
            for event in flights(range(MEMORY)):
                seen.clear()
                await app.publish(jobs, event)
                await seen.wait()
            return (time.perf_counter() - start) / MEMORY * 1e6

    took = [asyncio.run(in_one_app()) for _ in range(settings.rounds)]
    yield row(SUBJECT, "Isthmus memory://, publish and handle, one by one", "memory", took, US)


# ---- SQLite itself -----------------------------------------------------------------------------------------------


def sqlite_rows(settings: Settings) -> Iterator[Outcome]:
    def inserts(count: int, size: int) -> Callable[[str], Callable[[], object]]:
        def prepare(path: str) -> Callable[[], object]:
            file = sqlite3.connect(str(Path(path) / "events.db"), isolation_level=None)
            file.execute("PRAGMA journal_mode=WAL")
            file.execute("PRAGMA synchronous=FULL")
            file.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, value TEXT)")

            def work() -> None:
                for _ in range(0, count, size):
                    file.execute("BEGIN")
                    file.executemany("INSERT INTO events (value) VALUES (?)", [(VALUE,)] * size)
                    file.execute("COMMIT")
                file.close()

            return work

        return prepare

    name = f"sqlite3 {sqlite3.sqlite_version}, WAL, synchronous=FULL, insert"
    yield row(SUBJECT, f"{name}, 1", "fsync", rate(settings, LONE, inserts(LONE, 1)), RATE)
    yield row(SUBJECT, f"{name}, 1,000", "fsync", rate(settings, MANY, inserts(MANY, CALL)), RATE)


# ---- a broker on SQLite ------------------------------------------------------------------------------------------


def simplebroker_rows(settings: Settings) -> Iterator[Outcome]:
    name = "simplebroker, write + read"
    module = installed("simplebroker", "simplebroker")
    if module is None:
        yield missing(name, "simplebroker")
        return
    levels: dict[str, Level] = {"FULL": "fsync", "NORMAL": "written"}
    for mode, level in levels.items():
        config = module.resolve_config("BROKER", override={"BROKER_SYNC_MODE": mode})

        def prepare(path: str, config: Any = config) -> Callable[[], object]:
            work = module.Queue("work", db_path=str(Path(path) / "broker.db"), persistent=True, config=config)

            def run() -> None:
                for _ in range(LONE):
                    work.write(VALUE)
                for _ in range(LONE):
                    assert work.read() is not None
                work.close()

            return run

        note = f"{version('simplebroker')}, SQLite synchronous={mode}"
        yield row(SUBJECT, f"{name}, one at a time", level, rate(settings, LONE, prepare), RATE, note=note)


# ---- in memory ---------------------------------------------------------------------------------------------------


def in_memory(
    name: str, module: str, package: str, settings: Settings, measure: Callable[[Any], Any]
) -> Iterator[Outcome]:
    found = installed(module, package)
    name += ", one by one"
    if found is None:
        yield missing(name, package)
        return
    logging.disable()
    took = [asyncio.run(measure(found)) for _ in range(settings.rounds)]
    yield row(SUBJECT, name, "memory", took, US, note=version(package))


async def faststream_us(kafka: Any) -> float:
    broker, seen = kafka.KafkaBroker(), [0]

    async def handle(event: dict[str, Any]) -> None:
        seen[0] += 1

    broker.subscriber("work")(handle)
    body = {"tail": "N00001", "carrier": "UA", "flight": 1, "origin": "EWR", "delay_min": 1}
    async with kafka.TestKafkaBroker(broker):
        start = time.perf_counter()
        for _ in range(MEMORY):
            await broker.publish(body, "work")
        took = time.perf_counter() - start
    assert seen[0] == MEMORY
    return took / MEMORY * 1e6


async def taskiq_us(taskiq: Any) -> float:
    broker, seen = taskiq.InMemoryBroker(await_inplace=True), [0]

    async def handle(event: dict[str, Any]) -> None:
        seen[0] += 1

    task = broker.register_task(handle, task_name="work")
    body = {"tail": "N00001", "carrier": "UA", "flight": 1, "origin": "EWR", "delay_min": 1}
    await broker.startup()
    start = time.perf_counter()
    for _ in range(MEMORY):
        await task.kiq(body)
    took = time.perf_counter() - start
    await broker.shutdown()
    assert seen[0] == MEMORY
    return took / MEMORY * 1e6


def installed(module: str, package: str) -> Any | None:
    try:
        version(package)
        return importlib.import_module(module)
    except (PackageNotFoundError, ImportError):
        return None


def missing(name: str, package: str) -> Skip:
    return Skip(subject=SUBJECT, name=name, reason=f"{package} is not installed; pip install 'isthmus[bench]'")
