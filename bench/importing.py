"""What `import isthmus` costs beside the imports that every user of asyncio and msgspec has, in fresh processes.

Names are imported when they are used, so the first row is about those who import and do not use; the others are what
programs pay.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from bench.harness import MS, Row, Settings, row

SUBJECT: Final = "importing"
BASE: Final = "import asyncio, msgspec"
OURS: Final = {
    "import isthmus": "import isthmus",
    "App, Stream, Queue, Notification, connect": "from isthmus import App, Notification, Queue, Stream, connect",
    "the same, and an embedded engine": "from isthmus import App, connect; import isthmus.engines.local",
}
MORE_MS_MAX: Final = 60
STARTS_A_ROUND: Final = 5
ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Modules are compiled once and kept, as installed packages are; else this would be about the compiler."""


def start_ms(code: str) -> float:
    """Processor time of a process that runs this, from start to end; on an idle machine that is the time it takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT)  # noqa: S603
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return used * 1e3


def rows(settings: Settings) -> Iterator[Row]:
    start_ms(f"{BASE}; import isthmus.engines.local")  # what is compiled once is compiled now
    more: dict[str, list[float]] = {name: [] for name in OURS}
    for _ in range(settings.rounds):
        base = min(start_ms(BASE) for _ in range(STARTS_A_ROUND))
        for name, code in OURS.items():
            more[name].append(min(start_ms(f"{BASE}; {code}") for _ in range(STARTS_A_ROUND)) - base)
    for name, values in more.items():
        yield row(SUBJECT, name, "no disk", values, MS, bar=MORE_MS_MAX, note=f"more than `{BASE}`")
