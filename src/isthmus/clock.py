"""Time: the only file that reads a clock or sets a timer.

Log, lenses, broker and client wait through a `Clock`, so that a test can own time. `SystemClock` is the real one;
`ManualClock` stands still until a test advances it, and knows when nothing is left to do.
"""

import asyncio
import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from typing import Final, Protocol

from isthmus.errors import InvalidArgument, InvariantError
from isthmus.limits import DRAIN_BUSY_MS

MANUAL_START_MS: Final = 1_700_000_000_000
"""Where a manual clock starts unless told otherwise: 2023-11-14T22:13:20Z."""

QUIET_TURNS: Final = 12
"""Turns of the event loop without any activity after which a drained system counts as quiet."""

BUSY_POLL_S: Final = 0.0002
"""Real seconds between two looks at work that runs in a thread: it does not turn the loop."""

CANCELLED_TIMERS_MIN: Final = 64
"""Cancelled timers are swept out when there are this many, and more of them than of others."""


class Timer(Protocol):
    """A callback that is due at some time, until cancelled."""

    def cancel(self) -> None:
        """Make sure that the callback does not run; harmless when it has."""


class Clock(Protocol):
    """What everything that waits or asks the time gets handed."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC by the wall clock; may jump."""

    def monotonic_ms(self) -> int:
        """Milliseconds of a clock that never goes back; for leases and time-outs within one process."""

    def timer(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running loop when `monotonic_ms()` reaches `at_ms`."""

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until `monotonic_ms()` reaches `at_ms`."""

    async def wait(self, future: "asyncio.Future[object]", until_ms: int | None) -> bool:
        """Wait for a future to be done, or until `until_ms` (None: for ever); says whether it is done.

        The future is not cancelled, whatever happens to the waiter, and its exception is not raised here.
        """

    def busy(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Mark work that a drain must wait for though no timer and no callback shows it, such as a running handler."""

    def stir(self) -> None:
        """Say that something happened, so that a drain looks on."""


async def _wait(clock: Clock, future: "asyncio.Future[object]", until_ms: int | None) -> bool:
    if future.done():
        return True
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake(_: object = None) -> None:
        if not woken.done():
            woken.set_result(None)

    future.add_done_callback(wake)
    timer = None if until_ms is None else clock.timer(until_ms, wake)
    try:
        await woken
    finally:
        future.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
    return future.done()


async def wait_own(clock: Clock, future: "asyncio.Future[object]", until_ms: int | None) -> bool:
    """Wait like `Clock.wait`, one turn of the loop shorter, for a future that this waiter has made for itself.

    Nobody else may wait for it, because it is done with None when time is up and cancelled with the waiter; so whoever
    finishes it looks first whether it is done. Its exception is raised here.
    """
    late = False

    def time_is_up() -> None:
        nonlocal late
        if not future.done():
            late = True
            future.set_result(None)

    timer = None if until_ms is None or future.done() else clock.timer(until_ms, time_is_up)
    try:
        await future
    finally:
        if timer is not None:
            timer.cancel()
    return not late


class SystemClock:
    """The machine's clocks and the running event loop's timers."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Milliseconds of the monotonic clock."""
        return time.monotonic_ns() // 1_000_000

    def timer(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """A timer of the running loop."""
        delay_ms = max(0, at_ms - self.monotonic_ms())
        return asyncio.get_running_loop().call_later(delay_ms / 1000, callback)

    async def sleep_until(self, at_ms: int) -> None:
        """Sleep on the running loop."""
        while (left_ms := at_ms - self.monotonic_ms()) > 0:  # noqa: ASYNC110 - there is no event but time itself
            await asyncio.sleep(left_ms / 1000)

    async def wait(self, future: "asyncio.Future[object]", until_ms: int | None) -> bool:
        """See `Clock.wait`."""
        return await _wait(self, future, until_ms)

    @contextlib.contextmanager
    def busy(self, what: str) -> Generator[None]:  # noqa: ARG002 - only the manual clock keeps count
        """Nothing to keep count of: nobody drains the real world."""
        yield

    def stir(self) -> None:
        """Nothing to tell."""


class _ManualTimer:
    __slots__ = ("_clock", "callback")

    def __init__(self, clock: "ManualClock", callback: Callable[[], None]) -> None:
        self._clock = clock
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._clock.count_cancelled()


class _Mark:
    """One block of busy work; `sleepers` of it wait for time to pass, so that it may pass."""

    __slots__ = ("sleepers", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.sleepers = 0


_marks: ContextVar[tuple[_Mark, ...]] = ContextVar("isthmus_busy", default=())
"""The busy blocks that the running code is in, those of the task that started it included."""


class ManualClock:
    """A clock that a test moves: `advance` steps from one due timer to the next, letting all that follows finish.

    Wall time and monotonic time move together. It belongs to one event loop.
    """

    def __init__(self, start_ms: int = MANUAL_START_MS) -> None:
        self._now_ms = start_ms
        self._start_ms = start_ms
        self._timers: list[tuple[int, int, _ManualTimer]] = []
        self._order: Iterator[int] = itertools.count()
        self._cancelled = 0
        self._lock = threading.Lock()
        self._busy: dict[_Mark, None] = {}
        self._stirred = 0

    def now_ms(self) -> int:
        """The time that the test has set, milliseconds since 1970 UTC."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Milliseconds since the clock was made."""
        return self._now_ms - self._start_ms

    def timer(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """A timer that only `advance` fires; one that is due already fires on the next turn of the loop."""
        timer = _ManualTimer(self, callback)
        if at_ms <= self.monotonic_ms():
            asyncio.get_running_loop().call_soon(self._fire, timer)
        else:
            heapq.heappush(self._timers, (at_ms, next(self._order), timer))
        return timer

    def count_cancelled(self) -> None:
        """A timer was cancelled: without a sweep now and then, time-outs that never come would pile up."""
        self._cancelled += 1
        if self._cancelled >= max(CANCELLED_TIMERS_MIN, len(self._timers) // 2):
            self._timers = [row for row in self._timers if row[2].callback is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until the test has moved the clock there. Busy work that sleeps does not keep `drain` waiting."""
        if at_ms <= self.monotonic_ms():
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.timer(at_ms, lambda: None if woken.done() else woken.set_result(None))
        marks = _marks.get()
        for mark in marks:
            mark.sleepers += 1
        try:
            await woken
        finally:
            timer.cancel()
            for mark in marks:
                mark.sleepers -= 1

    async def wait(self, future: "asyncio.Future[object]", until_ms: int | None) -> bool:
        """See `Clock.wait`."""
        return await _wait(self, future, until_ms)

    @contextlib.contextmanager
    def busy(self, what: str) -> Generator[None]:
        """Keep `drain` waiting, by name, until the block is left. Safe from any thread."""
        mark, outer = _Mark(what), _marks.get()
        _marks.set((*outer, mark))
        with self._lock:
            self._busy[mark] = None
        try:
            yield
        finally:
            _marks.set(outer)
            with self._lock:
                del self._busy[mark]
                self._stirred += 1

    def stir(self) -> None:
        """Make a running `drain` look on for another few turns. Safe from any thread."""
        with self._lock:
            self._stirred += 1

    async def drain(self) -> None:
        """Return when nothing is running and nothing more happens without time passing.

        Raises:
            InvariantError: after 10 s of real time something is still busy; the message names it.
        """
        give_up = time.monotonic() + DRAIN_BUSY_MS / 1000
        quiet = 0
        while quiet < QUIET_TURNS:
            seen = self._stirred
            await asyncio.sleep(0)
            names = self._busy_names()
            if names:
                await asyncio.sleep(BUSY_POLL_S)
            quiet = 0 if names or seen != self._stirred else quiet + 1
            if time.monotonic() > give_up:
                raise InvariantError(f"not quiet after {DRAIN_BUSY_MS / 1000:g} s: {', '.join(names) or 'the loop'}")

    def _busy_names(self) -> list[str]:
        if not self._busy:
            return []
        with self._lock:
            return sorted({mark.what for mark in self._busy if not mark.sleepers})

    async def advance(self, ms: int) -> None:
        """Move time on by `ms`, stopping at each due timer and draining before and after it.

        Raises:
            InvalidArgument: time does not go back.
        """
        if ms < 0:
            raise InvalidArgument("ms", f"{ms}: time does not go back")
        end_ms = self.monotonic_ms() + ms
        await self.drain()
        while (at_ms := self._next_ms()) is not None and at_ms <= end_ms:
            self._now_ms = max(self._now_ms, self._start_ms + at_ms)
            while self._next_ms() == at_ms:
                self._fire(heapq.heappop(self._timers)[2])
            await self.drain()
        self._now_ms = self._start_ms + end_ms
        await self.drain()

    def _next_ms(self) -> int | None:
        """When the next timer is due that was not cancelled."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _fire(self, timer: _ManualTimer) -> None:
        callback, timer.callback = timer.callback, None
        if callback is not None:
            self.stir()
            callback()
