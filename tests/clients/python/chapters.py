"""What the AMQP tours of the Python clients share: chapters by name, what each of them found, and waiting."""

import asyncio
import datetime as dt
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")
SECONDS = 20


class Tour:
    """Chapters that are run one by one: what one returns is what it found, and so is an error."""

    def __init__(self) -> None:
        self.url, self.prefix = sys.argv[1], sys.argv[2]
        self.chosen = sys.argv[3:]
        self.chapters: dict[str, Callable[..., Any]] = {}

    def name(self, word: str) -> str:
        """A name that no other tour uses."""
        return f"{self.prefix}-{word}"

    def chapter(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorates a chapter, whose name is that of the function."""
        self.chapters[function.__name__] = function
        return function

    def wanted(self) -> dict[str, Callable[..., Any]]:
        """All chapters, or those that the command names."""
        return {name: each for name, each in self.chapters.items() if not self.chosen or name in self.chosen}

    def run(self, connect: Callable[[], Any]) -> None:
        """Each chapter with a connection of its own; one that fails is a finding, and the others go on."""
        found = {}
        for name, chapter in self.wanted().items():
            connection = connect()
            try:
                found[name] = chapter(connection)
            except Exception as error:  # noqa: BLE001 - the test shows it
                found[name] = failure(error)
            finally:
                close(connection)
        tell(found)

    async def run_async(self, connect: Callable[[], Awaitable[Any]]) -> None:
        """The same for chapters that are coroutines."""
        found = {}
        for name, chapter in self.wanted().items():
            connection = await connect()
            try:
                found[name] = await asyncio.wait_for(chapter(connection), SECONDS)
            except Exception as error:  # noqa: BLE001 - the test shows it
                found[name] = failure(error)
            finally:
                await connection.close()
        tell(found)


def failure(error: BaseException) -> str:
    """A failed chapter, in a word that is never expected."""
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith("_tour.py"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"line {line}: {type(error).__name__}: {error}"


def close(connection: Any) -> None:
    """Close it, if the server has not."""
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - a chapter may have provoked the end of its connection
        sys.stderr.write(f"{type(error).__name__}: {error}\n")


def until(what: Callable[[], T | None], pause: Callable[[float], object] = time.sleep) -> T:
    """Ask until there is an answer."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = what()
        if found is not None:
            return found
        pause(0.02)
    raise TimeoutError(f"nothing came in {SECONDS} s")


async def until_async(what: Callable[[], Awaitable[T | None]]) -> T:
    """The same for who waits in a loop."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await what()
            if found is not None:
                return found
            await asyncio.sleep(0.02)


def deaths(headers: dict[str, Any]) -> list[dict[str, Any]]:
    """What `x-death` says, without the time, which must be one."""
    rows = [dict(row) for row in headers["x-death"]]
    for row in rows:
        row["time"] = isinstance(row["time"], dt.datetime)
    return rows


def tell(found: dict[str, Any]) -> None:
    """The result, on one line."""
    sys.stdout.write(json.dumps(found) + "\n")
