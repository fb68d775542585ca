"""What every benchmark shares: settings, rows with their bars, rounds, a store in a directory that goes away.

It measures nothing itself and knows no subject.
"""

import asyncio
import contextlib
import gc
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

Level = Literal["fsync", "written", "memory", "none", "no disk"]
"""How durable a figure is: on disk, with the operating system, in this process, in its own terms; or no disk in it."""

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = Path(__file__).resolve().parent / "results"
MS: Final = "ms"
RATE: Final = "/s"
US: Final = "µs"
BUSY_TURN_S: Final = 0.001


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


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long it took. Garbage is collected before, so that nobody pays for what others left."""
    gc.collect()
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def run_rounds(settings: Settings, work: Callable[[], Coroutine[Any, Any, float]]) -> list[float]:
    """Run a round on a loop of its own as often as asked; the first is a warm-up and does not count."""
    return [asyncio.run(work()) for _ in range(settings.rounds + 1)][1:]


# ---- the machine -------------------------------------------------------------------------------------------------


def machine() -> str:
    """One line about what it ran on."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {cpu}, {memory:.0f} GiB, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}"
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


def peak_bytes() -> int:
    """The most that this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def child(module: str, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """A Python process of its own that runs a module of this folder; its output can be read line by line."""
    command = [sys.executable, "-m", f"bench.{module}", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)  # noqa: S603


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
