"""The threads that run users' plain functions.

Daemon threads, unlike those of `concurrent.futures`: a handler that hangs must not keep a process from ending once the
time to stop is over. Nothing of Isthmus's own state is touched in them.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from isthmus.errors import Closed

P = ParamSpec("P")
T = TypeVar("T")


class HandlerThreads(Executor):
    """Up to `count` threads, each started when there is work that no idle one could take."""

    def __init__(self, count: int, name: str = "isthmus-handler") -> None:
        self._count = count
        self._name = name
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run a function in one of the threads.

        Raises:
            Closed: after `shutdown`.
        """
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise Closed("the pool of handler threads")
            self._jobs.append(lambda: _run(future, lambda: fn(*args, **kwargs)))
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif len(self._threads) < self._count:
                name = f"{self._name}-{len(self._threads)}"
                self._threads.append(threading.Thread(target=self._main, name=name, daemon=True))
                self._threads[-1].start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002
        """End the threads once what was submitted has run; `wait` waits for that. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if wait:
            for thread in self._threads:
                thread.join()

    def _main(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        """Wait for a job; None when none comes any more."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            return self._jobs.popleft()


def _run(future: "Future[T]", work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    else:
        future.set_result(result)
