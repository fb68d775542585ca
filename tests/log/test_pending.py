"""Results that are not there yet: told once, to everybody who waits."""

import asyncio

import pytest

from isthmus.errors import Closed, InvariantError
from isthmus.log.pending import Pending


def settled(result: int = 1, error: Exception | None = None) -> Pending[int]:
    pending: Pending[int] = Pending()
    pending.settle(result, error)
    return pending


async def test_a_result_that_is_there_is_given_at_once() -> None:
    assert await settled(3) == 3


async def test_everybody_who_waits_gets_the_result() -> None:
    pending: Pending[int] = Pending()

    async def wait() -> int:
        return await pending

    waiting = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    pending.settle(7)

    assert await asyncio.gather(*waiting) == [7, 7, 7]


async def test_everybody_who_waits_gets_the_error() -> None:
    with pytest.raises(Closed):
        await settled(error=Closed("the store"))


def test_a_result_is_not_there_before_it_is_done() -> None:
    with pytest.raises(InvariantError, match="before it was durable"):
        Pending[int]().result()


async def test_cancelling_a_waiter_withdraws_nothing() -> None:
    pending: Pending[int] = Pending()

    async def wait() -> int:
        return await pending

    given_up, waiting = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    given_up.cancel()
    pending.settle(7)

    assert await waiting == 7
    assert given_up.cancelled() or await asyncio.wait([given_up])


def test_callbacks_are_called_in_order_once_and_late_ones_at_once() -> None:
    pending: Pending[int] = Pending()
    called: list[str] = []
    pending.add_done_callback(lambda _: called.append("first"))
    pending.add_done_callback(lambda _: called.append("second"))
    before = list(called)
    pending.settle(1)
    pending.add_done_callback(lambda done: called.append(f"late, with {done.result()}"))

    assert before == []
    assert called == ["first", "second", "late, with 1"]


async def test_an_error_in_a_callback_keeps_none_of_the_others_from_the_result() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    pending: Pending[int] = Pending()
    called: list[int] = []
    failure = ValueError("the callback's own")

    def fail(_: Pending[int]) -> None:
        raise failure

    pending.add_done_callback(fail)
    pending.add_done_callback(lambda done: called.append(done.result()))
    pending.settle(2)

    assert called == [2]
    assert reported == [failure]
