"""The processes that do the demo's work on a store: one that has all in it, or a server and several around it.

They are started and stopped together, or killed together; what they say and when they are killed is for others.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from isthmus.demo.parts import HELPERS, LEAD
from isthmus.demo.processes import ended, process
from isthmus.demo.store import SEGMENT_BYTES
from isthmus.errors import InvariantError

CHILD: Final = "isthmus.demo.child"
HELPER: Final = "isthmus.demo.helper"
PROGRAM: Final = "isthmus.cli.main"


class Cast:
    """The processes of one life. `lead` tells of the work, and ends when it is done; the others by name."""

    def __init__(self, lead: asyncio.subprocess.Process, others: Mapping[str, asyncio.subprocess.Process]) -> None:
        self.lead = lead
        self.others = others
        self._killed = False
        self._lost: list[str] = []

    def kill(self) -> None:
        """End all of them by SIGKILL, the server first."""
        self._killed = True
        for each in (*self.others.values(), self.lead):
            if each.returncode is None:
                each.kill()

    async def guard(self, name: str) -> None:
        """Without one of the others the lead would wait for ever: end it as well, and remember whose fault it is."""
        code = await self.others[name].wait()
        if not self._killed:
            self._lost.append(f"{name} ended with {code}")
            self.kill()

    def check(self) -> None:
        """Raise InvariantError: one of the others ended before its time."""
        if self._lost:
            raise InvariantError(f"{self._lost[0]}, before the work was done; what it printed says why")

    async def end(self) -> None:
        """Stop the others in order, the server last. Raises InvariantError: one ended with an error."""
        for name, each in reversed(list(self.others.items())):
            await ended(each, name)


Staging = Callable[[], AbstractAsyncContextManager[Cast]]
"""Starts the processes of one life; at the end of the block none is left."""


def alone(place: Path, arguments: Sequence[str]) -> Staging:
    """One process on the directory, with these arguments beside it."""

    @asynccontextmanager
    async def start() -> AsyncGenerator[Cast]:
        async with process(CHILD, "--store", str(place), *arguments) as child:
            yield Cast(child, {})

    return start


def around_a_server(place: Path, arguments: Sequence[str]) -> Staging:
    """A server on the directory, and processes that reach it over loopback."""

    @asynccontextmanager
    async def start() -> AsyncGenerator[Cast]:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(serve(place))
            url = await address(server)
            others = {"the server": server}
            for name, part in HELPERS.items():
                others[name] = await stack.enter_async_context(process(HELPER, "--store", url, "--part", part))
            lead = process(CHILD, "--store", url, "--part", LEAD, *arguments)
            cast = Cast(await stack.enter_async_context(lead), others)
            guards = [asyncio.create_task(cast.guard(name)) for name in others]
            try:
                yield cast
            finally:
                for each in guards:
                    each.cancel()
            if cast.lead.returncode == 0:
                await cast.end()

    return start


@asynccontextmanager
async def served(place: Path) -> AsyncGenerator[str]:
    """A server on the directory for the length of the block; its URL."""
    async with serve(place) as server:
        yield await address(server)
        await ended(server, "the server")


def serve(place: Path) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """`isthmus serve` at a free port of loopback, whatever the user's own settings say."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ISTHMUS_")}
    environment["ISTHMUS_SEGMENT_BYTES"] = str(SEGMENT_BYTES)
    return process(PROGRAM, "serve", str(place), "--native", "0", "--quiet", environment=environment)


async def address(server: asyncio.subprocess.Process) -> str:
    """Where a server is, when it is ready: `isthmus://host:port`.

    Raises:
        InvariantError: it ended before.
    """
    if server.stdout is None:
        raise InvariantError("the server has no pipe")
    while line := (await server.stdout.readline()).decode():
        name, _, where = line.strip().partition(" ")
        if name == "native" and not where.startswith("unix:"):
            return f"isthmus://{where}"
    raise InvariantError(f"the server ended with {await server.wait()}; what it printed says why")
