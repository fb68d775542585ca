"""Work that begins at once and goes on as a task."""

import asyncio

import pytest

from isthmus.protocols.native.eager import begin


async def test_work_that_never_waits_is_done_at_once() -> None:
    async def work() -> int:
        return 7

    assert begin(work()) == 7


async def test_what_it_raises_before_it_waits_is_raised_at_once() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin(work())


async def test_it_has_begun_when_the_call_returns_and_goes_on_when_what_it_waits_for_is_there() -> None:
    said: list[str] = []
    gate = asyncio.get_running_loop().create_future()
    lock = asyncio.Lock()

    async def work() -> str:
        said.append("begun")
        said.append(await gate)
        async with lock:
            await asyncio.sleep(0)
        return "done"

    task = begin(work())
    assert said == ["begun"]
    gate.set_result("woken")

    assert isinstance(task, asyncio.Task)
    assert await task == "done"
    assert said == ["begun", "woken"]


async def test_an_error_of_what_it_waits_for_is_its_to_deal_with() -> None:
    gate = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await gate
        except ZeroDivisionError:
            return "dealt with"
        return ""

    task = begin(work())
    gate.set_exception(ZeroDivisionError())

    assert isinstance(task, asyncio.Task)
    assert await task == "dealt with"


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_it_can_be_cancelled_where_it_waits_and_at_once(turns: int) -> None:
    cleaned: list[bool] = []
    gate = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await gate
        except asyncio.CancelledError:
            cleaned.append(True)
            raise

    task = begin(work())
    assert isinstance(task, asyncio.Task)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]
