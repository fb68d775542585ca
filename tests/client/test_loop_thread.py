"""An event loop in a thread of its own."""

import asyncio
import threading

import pytest

from isthmus.client.loop_thread import LoopThread
from isthmus.errors import Closed, InvariantError


async def where() -> str:
    return threading.current_thread().name


def test_coroutines_run_in_the_thread() -> None:
    thread = LoopThread("a loop")
    try:
        assert thread.run(where()) == "a loop"
        assert thread.submit(where()).result() == "a loop"
    finally:
        thread.stop()


def test_errors_come_back() -> None:
    async def fail() -> None:
        raise KeyError("x")

    thread = LoopThread()
    try:
        with pytest.raises(KeyError):
            thread.run(fail())
    finally:
        thread.stop()


def test_it_cannot_wait_for_itself() -> None:
    thread = LoopThread()

    async def wait_for_itself() -> None:
        thread.run(where())

    try:
        with pytest.raises(InvariantError, match="would never end"):
            thread.run(wait_for_itself())
    finally:
        thread.stop()


def test_after_the_stop_nothing_runs() -> None:
    thread = LoopThread()

    thread.stop()
    thread.stop()

    assert thread.stopped
    with pytest.raises(Closed):
        thread.run(where())


def test_what_still_runs_at_the_stop_is_cancelled_and_cleans_up() -> None:
    thread = LoopThread()
    seen: list[str] = []
    started = threading.Event()

    async def forever() -> None:
        try:
            started.set()
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append("cleaned up")

    future = thread.submit(forever())
    started.wait()
    thread.stop()

    assert seen == ["cleaned up"]
    assert future.cancelled()
