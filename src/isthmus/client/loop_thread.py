"""An event loop in a thread of its own, for scripts and for callers that run on other loops.

It runs what it is handed and nothing else; it knows no bus.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from isthmus.errors import Closed, InvariantError

T = TypeVar("T")


class LoopThread:
    """A daemon thread with an event loop. `stop` ends both; the interpreter does not wait for it."""

    def __init__(self, name: str = "isthmus") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Whether the loop takes no more work."""
        return self._loop.is_closed()

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine on the loop, from any other thread.

        Raises:
            Closed: it has been stopped.
        """
        if self._loop.is_closed():
            work.close()
            raise Closed("the bus")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result here; an interrupted wait cancels it.

        Raises:
            Closed: it has been stopped.
            InvariantError: called on the loop itself, which would wait for ever.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise InvariantError("a blocking call on the bus's own event loop would never end")
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and its thread; idempotent. Work that still runs is cancelled."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
