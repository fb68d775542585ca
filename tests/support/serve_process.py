"""`isthmus serve` as a process of its own, for tests and benchmarks that come from outside."""

import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

STOP_SECONDS: Final = 30


@contextmanager
def serve_process(directory: Path, arguments: Sequence[str] = (), **ports: int) -> Generator[dict[str, str]]:
    """Serve a directory for as long as the block lasts.

    Args:
        directory: its data.
        arguments: more of the command.
        ports: of the protocols to open, by name; 0 picks a free one.

    Yields:
        The address of each listener, by protocol.
    """
    listeners = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    command = [sys.executable, "-m", "isthmus.cli.main", "serve", str(directory), *listeners, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield dict(_addresses(process.stdout, len(ports)))
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def _addresses(lines: "IO[str] | None", count: int) -> Iterator[tuple[str, str]]:
    """What the first lines say, one for each listener."""
    for line in lines or ():
        name, _, address = line.strip().partition(" ")
        if address.startswith("unix:"):
            continue
        yield name, address
        count -= 1
        if not count:
            return
