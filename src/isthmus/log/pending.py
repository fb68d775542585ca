"""A result that is not there yet: what was asked for and is done when the journal says so.

Cheaper than a future, done from the loop only; it knows nothing of what it waits for.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from isthmus.errors import InvariantError

T = TypeVar("T")


class Pending(Generic[T]):
    """Await it for the result, from as many places as you like; cancelling a waiter withdraws nothing."""

    __slots__ = ("_callbacks", "_result", "done", "error")

    def __init__(self) -> None:
        self.done = False
        self.error: Exception | None = None
        self._result: T | None = None
        self._callbacks: list[Callable[[Pending[T]], None]] | None = None

    def result(self) -> T:
        """The result; raises what the commit failed with, or InvariantError before it is done."""
        if self.error is not None:
            raise self.error
        if not self.done:
            raise InvariantError("the result of a unit was asked for before it was durable")
        return self._result  # type: ignore[return-value]  # set whenever done without error

    def add_done_callback(self, callback: "Callable[[Pending[T]], None]") -> None:
        """Call back when it is done; at once when it is."""
        if self.done:
            callback(self)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def settle(self, result: T | None, error: Exception | None = None) -> None:
        """Finish it; for the journal, and for whoever builds on a unit with a result of another shape.

        Every callback is called; an error in one is reported to the loop and keeps none of the others from its result.
        """
        self.done, self._result, self.error = True, result, error
        if self._callbacks is None:
            return
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks:
            try:
                callback(self)
            except Exception as failed:  # noqa: BLE001 - whatever it is, it is not the journal's
                _report(failed)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            future = asyncio.get_running_loop().create_future()
            self.add_done_callback(lambda _: None if future.done() else future.set_result(None))
            yield from future
        return self.result()


def _report(error: Exception) -> None:
    context = {"message": "a callback on a result of the journal failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
