"""Publishing 64 KiB events that nobody reads, through a broker with the default budget: resident memory of its process.

The publisher runs in a process of its own and is watched from outside; what it wrote is deleted afterwards.
"""

import shutil
from collections.abc import Iterator
from typing import Final

from bench.harness import Outcome, Settings, Skip, child, resident_bytes, row, store
from isthmus.limits import MIB

SUBJECT: Final = "memory"
TOTAL_BYTES: Final = 5_000_000_000
RESIDENT_MIB_MAX: Final = 256
SPARE_BYTES: Final = 2_000_000_000


def rows(settings: Settings) -> Iterator[Outcome]:
    name = f"{TOTAL_BYTES / 1e9:.0f} GB of 64 KiB events unread"
    free = shutil.disk_usage(settings.directory).free
    if free < TOTAL_BYTES + SPARE_BYTES:
        yield Skip(subject=SUBJECT, name=name, reason=f"{free / 1e9:.1f} GB free in {settings.directory}")
        return
    with store(settings) as path:
        samples, highest = publish(path, TOTAL_BYTES)
    note = f"highest {highest / MIB:.0f} MiB"
    yield row(SUBJECT, f"{name}, resident", "fsync", samples, "MiB", note=note)
    yield row(SUBJECT, f"{name}, highest resident", "fsync", [highest / MIB], "MiB", bar=RESIDENT_MIB_MAX)


def publish(path: str, total: int) -> tuple[list[float], int]:
    """Resident MiB as often as the child says something, and the most bytes that there ever were."""
    samples: list[float] = []
    highest = 0
    with child("unread", path, str(total)) as process:
        for _ in process.stdout or ():
            now, peak = resident_bytes(process.pid)
            samples.append(now / MIB)
            highest = max(highest, peak)
    if process.returncode or not samples:
        raise ChildProcessError(f"the publisher ended with exit code {process.returncode}")
    return samples, highest
