"""What every benchmark shares: settings, rows with their bars, rounds, a store in a directory that goes away.

It measures nothing itself and knows no subject.
"""

import asyncio
import contextlib
import gc
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar

from msgspec import Struct

T = TypeVar("T")
Level = Literal["fsync", "written", "memory", "none", "no disk"]
"""How durable a figure is: on disk, with the operating system, in this process, in its own terms; or no disk in it."""

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = Path(__file__).resolve().parent / "results"
MS: Final = "ms"
RATE: Final = "/s"
US: Final = "µs"


class Settings(Struct, frozen=True):
    """What was asked for on the command line."""

    directory: str
    rounds: int = 5
    full: bool = False


class Row(Struct, frozen=True, kw_only=True):
    """One figure: the median of its rounds, and the bar that it is to hold, if it has one."""

    subject: str
    name: str
    level: Level
    value: float
    unit: str
    low: float
    high: float
    rounds: int
    bar: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def held(self) -> bool | None:
        """Whether the bar is held; None without one."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar


class Skip(Struct, frozen=True, kw_only=True):
    """A row that could not be measured here, and why."""

    subject: str
    name: str
    reason: str


Outcome = Row | Skip


def row(
    subject: str,
    name: str,
    level: Level,
    values: Sequence[float],
    unit: str,
    *,
    bar: float | None = None,
    note: str = "",
    at_least: bool | None = None,
) -> Row:
    """A row of what the rounds gave; rates are to be at least their bar, everything else at most."""
    return Row(
        subject=subject,
        name=name,
        level=level,
        value=statistics.median(values),
        unit=unit,
        low=min(values),
        high=max(values),
        rounds=len(values),
        bar=bar,
        at_least=unit == RATE if at_least is None else at_least,
        note=note,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies (nearest rank)."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


@contextlib.contextmanager
def store(settings: Settings) -> Generator[str]:
    """A directory for one store, removed afterwards."""
    path = tempfile.mkdtemp(prefix="isthmus-bench-", dir=settings.directory)
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Took(NamedTuple):
    """Seconds by the clock, and of processor time in all threads of this process."""

    wall: float
    cpu: float


async def timed(work: Callable[[], Awaitable[object]]) -> Took:
    """How long it took. Garbage is collected before, so that nobody pays for what others left."""
    gc.collect()
    cpu, start = time.process_time(), time.perf_counter()
    await work()
    return Took(time.perf_counter() - start, time.process_time() - cpu)


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long it took by the clock."""
    return (await timed(work)).wall


def rates(subject: str, name: str, level: Level, count: int, rounds: Sequence[Took], **options: Any) -> Row:
    """A row of events a second, with the processor time of one: what a busy machine takes away shows between them."""
    cpu_us = statistics.median(took.cpu for took in rounds) / count * 1e6
    note = ", ".join(filter(None, (f"{cpu_us:.2f} µs CPU each", options.pop("note", ""))))
    return row(subject, name, level, [count / took.wall for took in rounds], RATE, note=note, **options)


def run_rounds(settings: Settings, work: Callable[[], Coroutine[Any, Any, T]]) -> list[T]:
    """Run a round on a loop of its own as often as asked; the first is a warm-up and does not count."""
    return [asyncio.run(work()) for _ in range(settings.rounds + 1)][1:]


# ---- the machine -------------------------------------------------------------------------------------------------


def machine() -> str:
    """One line about what it ran on."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), platform.machine()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def revision() -> str:
    """The commit that is measured, with `+` when files differ from it."""
    return _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain", "--", "src") else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.strip() or ("unknown" if done.returncode else "")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def resident_bytes(pid: int | str = "self") -> tuple[int, int]:
    """Resident memory of a process now and at its highest; (0, 0) where /proc does not tell."""
    found = dict(line.split(":", 1) for line in _lines(f"/proc/{pid}/status") if line.startswith("Vm"))
    return tuple(int(found.get(name, "0 kB").split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def child(module: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """A Python process of its own that runs a module of this folder; its output can be read line by line.

    It finds the helpers of the tests, which start servers and peers, as `support`.
    """
    command = [sys.executable, "-m", f"bench.{module}", *arguments]
    path = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, **options)  # noqa: S603


def drop_pages(directory: str) -> None:
    """Write all files of a directory out and drop them from the page cache; the disk's own cache is beyond reach."""
    for path in Path(directory).rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


def pieces(total: int, size: int) -> Iterator[range]:
    """0 to `total` in ranges of at most `size`."""
    for start in range(0, total, size):
        yield range(start, min(start + size, total))
