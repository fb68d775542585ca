"""Time: the only file that reads a clock or sets a timer.

Log, lenses, broker and client wait through a `Clock`, so that a test can own time. `SystemClock` is the real one;
`ManualClock` stands still until a test advances it, and knows when nothing is left to do.
"""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Final, Protocol

from isthmus.errors import InvariantError
from isthmus.limits import DRAIN_BUSY_MS

MANUAL_START_MS: Final = 1_700_000_000_000
"""Where a manual clock starts unless told otherwise: 2023-11-14T22:13:20Z."""

QUIET_TURNS: Final = 12
"""Turns of the event loop without any activity after which a drained system counts as quiet."""


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
        while (left_ms := at_ms - self.monotonic_ms()) > 0:
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
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """A clock that a test moves: `advance` steps from one due timer to the next, letting all that follows finish.

    Wall time and monotonic time move together. It belongs to one event loop.
    """

    def __init__(self, start_ms: int = MANUAL_START_MS) -> None:
        self._now_ms = start_ms
        self._start_ms = start_ms
        self._timers: list[tuple[int, int, _ManualTimer]] = []
        self._order: Iterator[int] = itertools.count()
        self._busy: Counter[str] = Counter()
        self._stirred = 0

    def now_ms(self) -> int:
        """The time that the test has set, milliseconds since 1970 UTC."""
        return self._now_ms

    def monotonic_ms(self) -> int:
        """Milliseconds since the clock was made."""
        return self._now_ms - self._start_ms

    def timer(self, at_ms: int, callback: Callable[[], None]) -> Timer:
        """A timer that only `advance` fires; one that is due already fires on the next turn of the loop."""
        timer = _ManualTimer(callback)
        if at_ms <= self.monotonic_ms():
            asyncio.get_running_loop().call_soon(self._fire, timer)
        else:
            heapq.heappush(self._timers, (at_ms, next(self._order), timer))
        return timer

    async def sleep_until(self, at_ms: int) -> None:
        """Wait until the test has moved the clock there."""
        if at_ms <= self.monotonic_ms():
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.timer(at_ms, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    async def wait(self, future: "asyncio.Future[object]", until_ms: int | None) -> bool:
        """See `Clock.wait`."""
        return await _wait(self, future, until_ms)

    @contextlib.contextmanager
    def busy(self, what: str) -> Generator[None]:
        """Keep `drain` waiting, by name, until the block is left. Safe from any thread."""
        self._busy[what] += 1
        try:
            yield
        finally:
            self._busy[what] -= 1
            self._stirred += 1

    def stir(self) -> None:
        """Make a running `drain` look on for another few turns."""
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
            names = [what for what, count in self._busy.items() if count > 0]
            if names:
                # Work in a thread does not turn the loop: do not spin while it runs.
                await asyncio.sleep(0.0002)
            quiet = 0 if names or seen != self._stirred else quiet + 1
            if time.monotonic() > give_up:
                raise InvariantError(f"not quiet after {DRAIN_BUSY_MS / 1000:.0f} s: {', '.join(names) or 'the loop'}")

    async def advance(self, ms: int) -> None:
        """Move time on by `ms`, stopping at each due timer and draining before and after it."""
        end_ms = self.monotonic_ms() + ms
        await self.drain()
        while self._timers and self._timers[0][0] <= end_ms:
            at_ms = self._timers[0][0]
            self._now_ms = max(self._now_ms, self._start_ms + at_ms)
            while self._timers and self._timers[0][0] <= at_ms:
                self._fire(heapq.heappop(self._timers)[2])
            await self.drain()
        self._now_ms = self._start_ms + end_ms
        await self.drain()

    def _fire(self, timer: _ManualTimer) -> None:
        callback, timer.callback = timer.callback, None
        if callback is not None:
            self._stirred += 1
            callback()
