"""`isthmus bench`: how fast a broker is, from here: publishing, reading, queues, and the time from end to end.

It makes a stream and a queue of its own, measures with the same port that apps use, and removes both. What the figures
mean is `bench_measure.py`'s.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from isthmus.cli.base import URL_VARIABLE, Settings, command, connected, pass_settings, run_fast
from isthmus.cli.output import Output
from isthmus.cli.publish import parse_rate

if TYPE_CHECKING:
    from isthmus.cli.bench_measure import Figure, Load
    from isthmus.definition import Level

HEADINGS: Final = ("what", ">events/s", ">MB/s", ">p50 ms", ">p99 ms", ">max ms", "durability")


@command("bench")
@click.argument("broker", metavar="[URL]", required=False)
@click.option("--events", type=click.IntRange(1, 100_000_000), default=100_000, show_default=True, help="For each.")
@click.option("--size", type=click.IntRange(16, 1_000_000), default=100, show_default=True, help="Bytes of an event.")
@click.option(
    "--batch", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Events of one call, at most."
)
@click.option("--producers", type=click.IntRange(1, 1_000), default=8, show_default=True, help="Calls at a time.")
@click.option("--consumers", type=click.IntRange(1, 1_000), default=4, show_default=True, help="Of the queue.")
@click.option("--partitions", type=click.IntRange(1, 1_000), default=1, show_default=True, help="Of the stream.")
@click.option("--rate", metavar="N/s", default="1000/s", show_default=True, help="Events whose latency is measured.")
@click.option(
    "--durability",
    "level",
    type=click.Choice(["fsync", "written"]),
    default="fsync",
    show_default=True,
    help="What an acknowledgement means.",
)
@pass_settings
def bench(
    settings: Settings,
    broker: str | None,
    *,
    events: int,
    size: int,
    batch: int,
    producers: int,
    consumers: int,
    partitions: int,
    rate: str,
    level: "Level",
) -> None:
    """Measure the broker at URL: a server, a data directory, or memory.

    Without any, a temporary data directory in the working directory is measured, so that the figures are those of its
    disk. Beside each figure stands what an acknowledgement meant for it.

    Examples:
      isthmus bench
      isthmus bench isthmus://127.0.0.1:8320 --size 1000
      isthmus bench ./data --durability written --events 1000000 --json
    """
    from isthmus.cli.bench_measure import Load

    if broker is not None:
        settings.url, settings.directory = broker, None
    load = Load(
        events=events,
        size=size,
        batch=batch,
        producers=producers,
        consumers=consumers,
        partitions=partitions,
        rate=parse_rate(rate) or 1.0,
        level=level,
    )
    run_fast(_bench(settings, load))


async def _bench(settings: Settings, load: "Load") -> None:
    from isthmus.cli.bench_measure import measure

    out = settings.out
    async with _place(settings) as there, connected(there, write=True, create=True) as engine:
        found = [figure async for figure in measure(engine, load, out.progress)]
        where = engine.url
    _show(out, where, load, found)


@asynccontextmanager
async def _place(settings: Settings) -> AsyncIterator[Settings]:
    """The broker that is named, or a temporary directory."""
    if settings.url is not None or settings.directory is not None or os.environ.get(URL_VARIABLE):
        yield settings
        return
    with TemporaryDirectory(prefix="isthmus-bench-", dir=Path.cwd()) as directory:
        settings.out.note(
            f"no broker is named: measuring a data directory in {Path.cwd()}, which is removed afterwards"
        )
        yield Settings(directory=directory, json=settings.json, debug=settings.debug)


def _show(out: Output, where: str, load: "Load", found: "list[Figure]") -> None:
    if out.json:
        out.document({"url": where, "load": load, "figures": found})
        return
    out.text(f"{where}: events of {load.size} bytes, {load.batch} a call at most, {load.producers} calls at a time")
    out.table(HEADINGS, [_row(figure) for figure in found])


def _row(figure: "Figure") -> list[object]:
    spans = (figure.p50_ms, figure.p99_ms, figure.max_ms)
    rate = round(figure.events_per_s)
    return [figure.what, rate, f"{figure.mb_per_s:.1f}", *(f"{span:.2f}" for span in spans), figure.durability]
