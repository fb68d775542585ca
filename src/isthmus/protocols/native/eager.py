"""Begin a coroutine now instead of in the next turn of the loop, so that what it costs is paid by who asked for it.

The driver gives each connection slices of time and counts what its requests take while they are begun. A task would do
its work later, on nobody's account, and all the tasks that one connection has begun in one go. It knows no request.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class _Begun(Coroutine[Any, Any, T]):
    """A coroutine that waits for something already, for a task to go on with: also if it is cancelled at once."""

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: object) -> None:
        self._work = work
        self._waits_for = waits_for
        self._taken_over = False

    def send(self, value: Any) -> object:  # noqa: ANN401 - as coroutines are
        """Say what it waits for, then go on."""
        if not self._taken_over:
            self._taken_over = True
            return self._waits_for
        return self._work.send(value)

    def throw(self, *error: Any) -> object:
        """Go on with an error."""
        self._taken_over = True
        return self._work.throw(*error)

    def close(self) -> None:
        """Give it up."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._work.__await__()


def begin(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T] | T":
    """Run the work up to where it waits, and the rest as a task; its result, when it does not wait at all.

    The work must not ask for the current task before it has waited for the first time.

    Raises:
        Exception: what the work raises before it waits.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    return asyncio.get_running_loop().create_task(_Begun(work, waits_for))
