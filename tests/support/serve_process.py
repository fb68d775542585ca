"""`isthmus serve` as a process of its own, for tests and benchmarks that come from outside."""

import itertools
import os
import random
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

STOP_SECONDS: Final = 30
PROGRAM: Final = ("-m", "isthmus.cli.main")

FIXED_PORTS: Final = range(20_000, 32_000)
"""Below those that systems give to clients: one that asks for a closed port there could be connected to itself."""


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
    process = start_serving(directory, ports, arguments)
    try:
        yield dict(addresses(process.stdout, len(ports)))
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def start_serving(
    directory: Path,
    ports: Mapping[str, int],
    arguments: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    *,
    program: Sequence[str] = PROGRAM,
) -> "subprocess.Popen[str]":
    """Start the process; `addresses` of its output waits until it serves.

    Args:
        directory, ports, arguments: see `serve_process`.
        settings: variables for it.
        program: what Python runs.
    """
    listeners = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    command = [sys.executable, *program, "serve", str(directory), *listeners, *arguments]
    # A server with a fault in it is a module of the tests, and finds what they find.
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | path | dict(settings or {}))


def addresses(lines: "IO[str] | None", count: int) -> Iterator[tuple[str, str]]:
    """What the first lines say, one for each listener; fewer when the process ended before it served."""
    for line in lines or ():
        name, _, address = line.strip().partition(" ")
        if address.startswith("unix:"):
            continue
        yield name, address
        count -= 1
        if not count:
            return


def free_ports(count: int) -> list[int]:
    """Ports that servers can have again and again, while clients try to reach them and they are not there."""
    first = random.SystemRandom().randrange(len(FIXED_PORTS) // 2)
    found = list(itertools.islice(filter(_is_free, FIXED_PORTS[first:]), count))
    if len(found) < count:
        raise OSError("no port is free")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
