"""What the clock on the wall shows in a time zone, and when it next shows a given time.

Works from the shipped table of offsets, because a slim container has no time zone database and the demo must not need
one. Must not know of flights.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from isthmus.errors import InvalidArgument

DAY_MIN = 24 * 60
"""Minutes that a clock on the wall counts before it starts again."""


class Period(NamedTuple):
    """A time in which a zone keeps one offset: start included, end not, in minutes since 1970 in UTC."""

    zone: str
    start_min: int
    end_min: int
    offset_min: int


class Zone:
    """One time zone; all instants are whole minutes since 1970 in UTC.

    Args:
        periods: in order of time, each starting where the one before ends.
    """

    def __init__(self, periods: Sequence[Period]) -> None:
        self.name = periods[0].zone
        self._starts_min = [period.start_min for period in periods]
        self._ends_min = [period.end_min for period in periods]
        self._offsets_min = [period.offset_min for period in periods]

    def offset_min(self, at_min: int) -> int:
        """Return by how many minutes the clock is ahead of UTC at an instant.

        Raises:
            InvalidArgument: the table does not reach that instant.
        """
        return self._offsets_min[self._period(at_min)]

    def next_showing(self, after_min: int, clock_min: int) -> int:
        """Return the first instant after another at which the clock shows `clock_min` minutes past midnight.

        A time that a change of the clock leaves out is not shown on that day, so the answer is on the next.

        Raises:
            InvalidArgument: the table does not reach that instant.
        """
        period = self._period(after_min)
        at_min = self._showing(period, after_min + 1, clock_min)
        while at_min >= self._ends_min[period]:
            period = self._period(self._ends_min[period])
            at_min = self._showing(period, self._starts_min[period], clock_min)
        return at_min

    def _showing(self, period: int, from_min: int, clock_min: int) -> int:
        return from_min + (clock_min - from_min - self._offsets_min[period]) % DAY_MIN

    def _period(self, at_min: int) -> int:
        period = bisect_right(self._starts_min, at_min) - 1
        if period < 0 or at_min >= self._ends_min[period]:
            raise InvalidArgument("time", f"minute {at_min} since 1970 is outside the shipped table of {self.name}")
        return period


def zones_of(periods: Iterable[Period]) -> dict[str, Zone]:
    """Return the zones by name."""
    by_zone: dict[str, list[Period]] = {}
    for period in periods:
        by_zone.setdefault(period.zone, []).append(period)
    return {name: Zone(sorted(periods)) for name, periods in by_zone.items()}


def minute_of(instant: str) -> int:
    """Return the minute since 1970 of an instant in ISO 8601 that names its offset."""
    return int(datetime.fromisoformat(instant).timestamp()) // 60
