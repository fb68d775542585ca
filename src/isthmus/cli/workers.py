"""`isthmus run --workers`: the processes of one app, started again when they die and stopped together.

Each worker is an `isthmus run` of its own, which reaches the broker as everybody does. It knows no app and no event.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from isthmus.clock import Clock
from isthmus.limits import SHUTDOWN_MS, WORKER_PAUSE_FIRST_MS, WORKER_PAUSE_MAX_MS, WORKER_STEADY_MS

logger: Final = logging.getLogger("isthmus.workers")

STOP_MS: Final = SHUTDOWN_MS + 5_000
"""How long workers get to stop: what their handlers get, and some more."""

MODULE: Final = "isthmus.cli.main"


class Workers:
    """As many processes as asked, for as long as they are wanted.

    Args:
        command: arguments of the program; whoever looks at the list of processes can read them.
        environment: variables besides this process's own, which only its user can.
        count: how many.
        clock: what pauses go by.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], count: int, clock: Clock) -> None:
        self._command = command
        self._environment = {**os.environ, **environment}
        self._count = count
        self._clock = clock
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask all to finish; `run` returns when they have."""
        self._stopping.set()
        for process in self._running.values():
            _signal(process, signal.SIGTERM)

    async def run(self) -> None:
        """Keep them running until `stop`, and return when all have ended; who takes too long is killed."""
        keeping = [asyncio.create_task(self._keep(number), name=f"worker {number}") for number in range(self._count)]
        try:
            await self._stopping.wait()
            until_ms = self._clock.monotonic_ms() + STOP_MS
            ended: asyncio.Future[object] = asyncio.ensure_future(asyncio.wait(keeping))
            if not await self._clock.wait(asyncio.shield(ended), until_ms):
                self._kill("it does not stop")
            await asyncio.gather(*keeping)
        finally:
            self._kill("its parent fails")

    def _kill(self, why: str) -> None:
        for number, process in self._running.items():
            logger.error("worker %d (process %d) is killed: %s", number, process.pid, why)
            _signal(process, signal.SIGKILL)

    async def _keep(self, number: int) -> None:
        """One after the other under this number; after one that died soon, the next waits longer."""
        pause_ms = WORKER_PAUSE_FIRST_MS
        while not self._stopping.is_set():
            began_ms = self._clock.monotonic_ms()
            code = await self._live(number)
            if self._stopping.is_set():
                return
            if self._clock.monotonic_ms() - began_ms >= WORKER_STEADY_MS:
                pause_ms = WORKER_PAUSE_FIRST_MS
            logger.error("worker %d %s; another one starts in %d ms", number, ending(code), pause_ms)
            stopped = asyncio.ensure_future(self._stopping.wait())
            await self._clock.wait(asyncio.shield(stopped), self._clock.monotonic_ms() + pause_ms)
            stopped.cancel()
            pause_ms = min(WORKER_PAUSE_MAX_MS, pause_ms * 2)

    async def _live(self, number: int) -> int:
        """From its start to its end. The pipe to it tells it when its parent has gone."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            MODULE,
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            env=self._environment,
            # What a terminal sends to all of its processes is this process's to pass on.
            start_new_session=True,
        )
        self._running[number] = process
        logger.info("worker %d is process %d", number, process.pid)
        if self._stopping.is_set():
            _signal(process, signal.SIGTERM)
        try:
            return await process.wait()
        finally:
            self._running.pop(number, None)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)


def ending(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"


def follow_parent() -> None:
    """In a worker: stop in order when the parent has gone, of which the end of the standard input tells."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1_024):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="isthmus-parent", daemon=True).start()
