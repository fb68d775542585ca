"""The demo from end to end: replay, kill, start again, look at everything, compare, report.

`run` is what the command calls. It puts the parts in order and leaves the work to them.
"""

import asyncio
import math
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from pathlib import Path

import msgspec
from rich.console import Console

from isthmus.demo import cast, events, late, sources, store
from isthmus.demo.checks import Burst, Disk, Evidence, Expected, judge
from isthmus.demo.child import handled, until
from isthmus.demo.facts import FlightFile
from isthmus.demo.figures import KeyAudit
from isthmus.demo.findings import find
from isthmus.demo.lives import Lives
from isthmus.demo.processes import answer
from isthmus.demo.progress import Show, show
from isthmus.demo.report import Report
from isthmus.errors import InvalidArgument
from isthmus.types import Bus

REFERENCE = "isthmus.demo.reference"
BURST = "isthmus.demo.burst"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user chose.

    `speed` is how many times faster than real time the flights are replayed, None is as fast as the machine allows.
    `flights` is a file of flights instead of the shipped month. `dir` is where the data go and stay; without it they go
    to a temporary directory, which is removed unless `keep`. `json` prints the report for machines. `server` puts a
    server between the processes that do the work.
    """

    speed: float | None = None
    flights: Path | None = None
    dir: Path | None = None
    json: bool = False
    keep: bool = False
    server: bool = False


def run(options: Options) -> int:
    """Run the demo, print its report on stdout, and return what to exit with: 0 when every figure is right, else 1.

    Raises:
        InvalidArgument: a speed, a file or a directory that cannot be.
        InvariantError: a process of the demo ended in a way that it should not.
    """
    if options.speed is not None and not (math.isfinite(options.speed) and options.speed > 0):
        raise InvalidArgument("speed", f"{options.speed} is not above zero; 1 is real time, 86400 a day in a second")
    flights = (options.flights or sources.FLIGHTS).resolve()
    rows = FlightFile(flights, zones=sources.destination_zones(sources.airports())).rows
    with directory(options) as place, show() as shown:
        report = asyncio.run(perform(place, flights, rows, options, shown))
        if options.keep or options.dir is not None:
            report.note(f"The data are in {place}; look at them with: isthmus --dir {place} ls")
    if options.json:
        sys.stdout.buffer.write(report.to_json() + b"\n")
    else:
        report.print(Console())
    return report.exit_code


@contextmanager
def directory(options: Options) -> Iterator[Path]:
    """The directory for the data, new or empty.

    Raises:
        InvalidArgument: it holds something.
    """
    if options.dir is not None:
        place = options.dir.resolve()
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise InvalidArgument("dir", f"{place} is not an empty directory; name one that is, or a new one")
        yield place
        return
    place = Path(tempfile.mkdtemp(prefix="isthmus-demo-"))
    try:
        yield place
    finally:
        if not options.keep:
            shutil.rmtree(place)


async def perform(place: Path, flights: Path, rows: int, options: Options, shown: Show) -> Report:
    """Everything between the options and the report; the independent computation runs beside it."""
    # As Ctrl-C does: whoever ends the demo ends its processes, of which a server would stay for ever.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    arguments = ["--flights", str(flights)]
    if options.speed is not None:
        arguments += ["--speed", str(options.speed)]
    staged = cast.around_a_server if options.server else cast.alone
    lives = Lives(staged(place, arguments), rows, shown)
    try:
        async with asyncio.TaskGroup() as group:
            computing = group.create_task(beside(flights))
            await lives.live()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # whatever else failed, failed for this
    expected, burst = computing.result()
    shown.say("looking at what is there")
    async with contents(place, server=options.server) as url:
        report = judge(await look(url, place, lives, burst), expected)
    if options.server:
        report.note("A server held the data; four processes on isthmus:// did the work, and were killed with it.")
    return report


def contents(place: Path, *, server: bool) -> AbstractAsyncContextManager[str]:
    """The URL to look at the data by, for the length of a block."""
    return cast.served(place) if server else nullcontext(str(place))


async def beside(flights: Path) -> tuple[Expected, Burst]:
    """What needs no child: the figures by code that imports nothing of Isthmus, then the burst."""
    figures = msgspec.json.decode(await answer(REFERENCE, str(flights), "--json"))
    return figures, msgspec.json.decode(await answer(BURST), type=Burst)


async def look(url: str, place: Path, lives: Lives, burst: Burst) -> Evidence:
    """Open what the child left, add a fourth group, let go of what is consumed; returns all that there is to see."""
    async with store.open_store(url) as bus:
        findings = await find(bus)
        late, late_s = await add_group(bus)
        before_bytes = store.size_bytes(place)
        await store.reclaim(bus, lives.again_ms)
        removed = await store.removed(bus)
    return Evidence(
        findings=findings,
        verdict=lives.witness.judge(findings.places, [job.row for job in findings.rebooking.done]),
        stages=lives.stages,
        late=late,
        late_s=late_s,
        burst=burst,
        disk=Disk(before_bytes, store.size_bytes(place), removed),
    )


async def add_group(bus: Bus) -> tuple[dict[str, KeyAudit], float]:
    """What a group that is new sees of the flights, and how long it takes, in seconds."""
    since_s = time.monotonic()
    audits: dict[str, KeyAudit] = {}
    async with late.late_app(bus.engine.url, audits):
        await until(lambda: handled(bus, events.flights.name, "late"))
    return audits, time.monotonic() - since_s
