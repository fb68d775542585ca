"""The services that the demo's handlers call: slow, or easily overrun, as services are.

They stand for what other teams run, so they know no event, no destination and no app.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from isthmus.clock import Clock
from isthmus.demo.sources import Observation

WEATHER_ANSWER_MS = 20
"""How long the weather service takes for an answer: deliberately slow."""

REBOOKING_MS = 2
"""How long the rebooking of one flight takes."""

UPSTREAM_CALLS_PER_SECOND = 50
"""What the upstream service of the burst stands."""


class WeatherService:
    """Knows the weather by airport and hour; `asked` counts the questions."""

    def __init__(self, observations: Iterable[Observation], *, answer_ms: int = WEATHER_ANSWER_MS) -> None:
        self._observations = {(each.airport, each.at_ms): each for each in observations}
        self._answer_ms = answer_ms
        self.asked = 0

    async def observation(self, airport: str, at_ms: int) -> Observation:
        """Answer what the weather was in that hour.

        Raises:
            KeyError: nothing was recorded.
        """
        self.asked += 1
        await asyncio.sleep(self._answer_ms / 1000)
        return self._observations[airport, at_ms]


class RebookingDesk:
    """Finds passengers another flight, which takes a moment; `rebooked` counts the flights."""

    def __init__(self, *, work_ms: int = REBOOKING_MS) -> None:
        self._work_ms = work_ms
        self.rebooked = 0

    async def rebook(self, flight: int) -> None:  # noqa: ARG002 - the desk only takes its time
        """Rebook the passengers of a flight."""
        await asyncio.sleep(self._work_ms / 1000)
        self.rebooked += 1


class Upstream:
    """A service that falls over when it is called too often."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def call(self) -> int:
        """Serve one call; returns when that was, in milliseconds since 1970 UTC."""
        return self._clock.now_ms()


def busiest_second(times_ms: Iterable[int]) -> int:
    """How many of these times lie in the busiest second; a second is any span of 1,000 ms."""
    recent: deque[int] = deque()
    most = 0
    for at_ms in sorted(times_ms):
        recent.append(at_ms)
        while recent[0] <= at_ms - 1000:
            recent.popleft()
        most = max(most, len(recent))
    return most


class Pace:
    """Lets callers pass no faster than so many in any second; shared by all who hold it.

    Those who come while too many have passed wait for the next second together, so that waiting costs one timer.
    """

    def __init__(self, clock: Clock, per_second: int = UPSTREAM_CALLS_PER_SECOND) -> None:
        self._clock = clock
        self._per_second = per_second
        self._left = per_second
        self._opens_ms = self._last_ms = clock.monotonic_ms()

    async def turn(self) -> None:
        """Wait for a turn."""
        now_ms = self._clock.monotonic_ms()
        if not self._left:
            self._opens_ms, self._left = max(self._last_ms + 1000, now_ms), self._per_second
        self._left -= 1
        self._last_ms = max(self._opens_ms, now_ms)
        await self._clock.sleep_until(self._opens_ms)
