"""What is measured, on a real broker in memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from msgspec.structs import replace

from isthmus.cli.bench_measure import Load, Tally, measure
from isthmus.cli.output import Progress
from isthmus.engines.base import Engine
from isthmus.engines.connect import open_engine
from isthmus.errors import ProtocolError

LOAD = Load(events=50, size=32, batch=7, producers=3, consumers=2, partitions=2, rate=100_000, level="fsync")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = await open_engine("memory://")
    await made.start()
    yield made
    await made.close()


class Shown:
    """Where progress goes in tests; all of it counts events."""

    def __init__(self) -> None:
        self.made: list[Progress] = []

    def __call__(self, what: str, total: int | None, unit: Literal["bytes", "events"]) -> Progress:
        self.made.append(Progress(what, total, unit, bar=False))
        return self.made[-1]


async def test_every_event_is_counted_once_and_shown(engine: Engine) -> None:
    shown = Shown()

    figures = [figure async for figure in measure(engine, LOAD, shown)]

    assert [figure.events for figure in figures] == [50] * 6
    assert [(each.what, each.done) for each in shown.made] == [(figure.what, 50) for figure in figures]


async def test_a_rate_is_kept_to(engine: Engine) -> None:
    figures = [figure async for figure in measure(engine, replace(LOAD, events=20, rate=200), Shown())]

    assert all(figure.events_per_s <= 240 for figure in figures if " to " in figure.what)


async def test_large_events_go_in_smaller_calls(engine: Engine) -> None:
    large = replace(LOAD, events=12, size=300_000, batch=10_000, rate=1_000_000)

    figures = [figure async for figure in measure(engine, large, Shown())]

    assert [figure.events for figure in figures] == [12] * 6


async def test_nothing_stays_also_when_it_fails(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        await asyncio.sleep(0)
        raise ProtocolError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "publish", fail)
        with pytest.raises(ProtocolError, match="planted"):
            [figure async for figure in measure(engine, LOAD, Shown())]

    assert await engine.admin.topics() == []


def test_shares_of_latencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 1_000_000_000)
    tally = Tally()
    for ms in range(1, 101):
        tally.add(1_000_000_000 - ms * 1_000_000)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 3_000_000_000)

    figure = tally.figure("x", replace(LOAD, size=1_000_000), "y")

    assert (figure.p50_ms, figure.p99_ms, figure.max_ms) == (51.0, 100.0, 100.0)
    assert (figure.seconds, figure.events_per_s, figure.mb_per_s) == (2.0, 50.0, 50.0)
