"""The demo's other processes: the child that is killed, and those that compute beside it.

It starts, reads, kills and waits for them; what they say is for others to judge.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

from isthmus.demo.lines import Line, from_line
from isthmus.errors import InvariantError

LINE_BYTES_MAX = 1 << 20
"""The longest line that a child may write."""


@asynccontextmanager
async def process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A module in a process of its own, which does not outlive the block. Its stderr is ours, its environment too."""
    # In a session of its own, so that Ctrl-C reaches the demo alone, which then ends its processes in good order.
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
        start_new_session=True,
        env=environment,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def ended(started: asyncio.subprocess.Process, name: str) -> None:
    """Ask a process to stop in order, and wait until it has.

    Raises:
        InvariantError: it ended with an error.
    """
    started.terminate()
    code = await started.wait()
    if code:
        raise InvariantError(f"{name} ended with {code}; what it printed says why")


async def answer(module: str, *arguments: str) -> bytes:
    """What a module prints.

    Raises:
        InvariantError: it ended with an error.
    """
    async with process(module, *arguments) as started:
        printed, _ = await started.communicate()
    if started.returncode:
        raise InvariantError(f"{module} ended with {started.returncode}; what it printed says why")
    return printed


async def lines(started: asyncio.subprocess.Process) -> AsyncIterator[Line]:
    """What a child says, until it ends; a line that it could not finish does not count."""
    if started.stdout is None:
        raise InvariantError("the child has no pipe")
    while data := await started.stdout.readline():
        line = from_line(data)
        if line is not None:
            yield line
