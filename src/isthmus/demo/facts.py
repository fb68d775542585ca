"""Flights as events: each row of a file of flights becomes what its facts justify, and nothing else.

Works day by day, so that a year needs no more memory than its text; must not publish, count or guess.

Rules of time, UTC throughout: *scheduled* is `time_hour` plus `minute`; *departed* is scheduled plus `dep_delay`;
*arrived* is the first instant after departure at which the destination's clock shows `arr_time` (2400 is midnight).
A row without `dep_time` is cancelled at its scheduled time; one that departed without `arr_time` has no arrival; one
with `arr_time` but without `arr_delay` arrived elsewhere first: it was diverted. A row without `tailnum` is keyed by
its flight.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeAlias

import msgspec

from isthmus.demo.sources import FLIGHTS, read_bytes, require_header, rows_of, unfit
from isthmus.demo.zones import Zone, minute_of
from isthmus.errors import InvalidArgument

FLIGHT_COLUMNS = (
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay"),
    *("carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "hour", "minute", "time_hour"),
)

LATE_MIN = 120
"""A departure delayed by more than this is work for rebooking, like a cancellation."""

ON_TIME_MIN = 15
"""An arrival delayed by at most this is on time."""


class Departed(msgspec.Struct, frozen=True, gc=False):
    """An aircraft left `origin`. `row` counts the file's rows from 0; a negative delay is early."""

    kind: ClassVar[str] = "departed"
    at_ms: int
    row: int
    key: str
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    scheduled_ms: int
    delay_min: int


class Arrived(msgspec.Struct, frozen=True, gc=False):
    """An aircraft reached `dest`; when it was diverted, it landed elsewhere first and its delay is not known."""

    kind: ClassVar[str] = "arrived"
    at_ms: int
    row: int
    key: str
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    scheduled_ms: int
    delay_min: int | None
    diverted: bool


class Cancelled(msgspec.Struct, frozen=True, gc=False):
    """A flight did not leave; known at the time at which it should have left."""

    kind: ClassVar[str] = "cancelled"
    at_ms: int
    row: int
    key: str
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    scheduled_ms: int


Fact: TypeAlias = Departed | Arrived | Cancelled

Date: TypeAlias = tuple[int, int, int]
"""Year, month and day at the origin."""


class Run(NamedTuple):
    """Neighbouring rows of one day: where their text starts and ends, and the number of the first."""

    start: int
    end: int
    first_row: int


class FlightFile:
    """A file of flights, in CSV or gzip of it, in whatever order of days.

    Holds the file's unpacked text (31 MB for the whole year of 2013) and yields facts in order of time.

    Args:
        path: the file.
        zones: the time zone of every destination that may occur.

    Raises:
        InvalidArgument: the file cannot be read, or is not one of flights.
    """

    def __init__(self, path: Path = FLIGHTS, *, zones: Mapping[str, Zone]) -> None:
        self.source = str(path)
        self._zones = zones
        self._text = read_bytes(path)
        self._days, self.rows = _index(self._text, self.source)

    def days(self) -> Iterator[list[Fact]]:
        """Yield the facts of the file in order of (time, row), in lists of about a day's length.

        A flight's events all come after midnight UTC of the day on which New York schedules it, so whatever lies
        before that instant is complete when the day's rows are turned into facts.

        Raises:
            InvalidArgument: a row that cannot be understood, or one that leaves before its day.
        """
        pending: list[tuple[int, int, Fact]] = []
        for date in sorted(self._days):
            midnight_ms = minute_of("{:04}-{:02}-{:02}T00:00Z".format(*date)) * 60_000
            end = bisect_left(pending, midnight_ms, key=itemgetter(0))
            if end:
                yield [fact for _, _, fact in pending[:end]]
                del pending[:end]
            for run in self._days[date]:
                pending += [(fact.at_ms, fact.row, fact) for fact in self._facts(run, midnight_ms)]
            pending.sort()
        if pending:
            yield [fact for _, _, fact in pending]

    def facts(self) -> Iterator[Fact]:
        """Yield the facts of the file in order of (time, row); raises as `days` does."""
        for day in self.days():
            yield from day

    def _facts(self, run: Run, earliest_ms: int) -> Iterator[Fact]:
        for number, row in rows_of(self._text[run.start : run.end], self.source, first_row=run.first_row):
            try:
                facts = facts_of(row, number, self._zones)
            except ValueError as error:
                raise unfit(self.source, number + 1, error) from error
            if facts[0].at_ms < earliest_ms:
                raise InvalidArgument(self.source, f"row {number + 1}: leaves before its day begins in New York")
            yield from facts


def facts_of(row: list[str], number: int, zones: Mapping[str, Zone]) -> tuple[Fact, ...]:
    """Return what one row justifies: a cancellation, a departure, or a departure and an arrival.

    Args:
        row: the fields of FLIGHT_COLUMNS.
        number: of the row in its file, from 0.
        zones: the time zone of the destination.

    Raises:
        ValueError: a field that is not what its column says.
        InvalidArgument: the destination's time zone, or its offset at that time, is not known.
    """
    _, _, _, dep_time, _, dep_delay, arr_time, _, arr_delay, carrier, number_text, tail, origin, dest, *rest = row
    _, _, _, minute, time_hour = rest
    flight = int(number_text)
    tailnum = None if tail == "NA" else tail
    key = tailnum or f"{carrier}-{flight}"
    scheduled_min = _hour(time_hour) + int(minute)
    scheduled_ms = scheduled_min * 60_000
    if dep_time == "NA":
        return (Cancelled(scheduled_ms, number, key, carrier, flight, tailnum, origin, dest, scheduled_ms),)
    delay_min = int(dep_delay)
    left_min = scheduled_min + delay_min
    shared = (number, key, carrier, flight, tailnum, origin, dest, scheduled_ms)
    departed = Departed(left_min * 60_000, *shared, delay_min)
    if arr_time == "NA":
        return (departed,)
    arrived_min = _zone(zones, dest).next_showing(left_min, _clock(arr_time))
    late_min = None if arr_delay == "NA" else int(arr_delay)
    return departed, Arrived(arrived_min * 60_000, *shared, late_min, late_min is None)


def _zone(zones: Mapping[str, Zone], dest: str) -> Zone:
    zone = zones.get(dest)
    if zone is None:
        raise InvalidArgument(dest, "is a destination without a known time zone; add its row to the file of airports")
    return zone


@lru_cache(maxsize=1024)
def _hour(time_hour: str) -> int:
    return minute_of(time_hour)


@lru_cache(maxsize=2048)
def _clock(shown: str) -> int:
    """Return the minutes past midnight of a time such as 517 or 2400."""
    hour, minute = divmod(int(shown), 100)
    if not (0 <= hour <= 24 and minute < 60) or (hour == 24 and minute):
        raise ValueError(f"{shown!r} is not a time of day")
    return (hour * 60 + minute) % (24 * 60)


def _index(text: bytes, source: str) -> tuple[dict[Date, list[Run]], int]:
    """Return where the rows of each day are, and how many rows there are in all."""
    position = text.find(b"\n") + 1
    require_header(text[:position].decode(errors="replace").strip().split(","), FLIGHT_COLUMNS, source)
    days: dict[Date, list[Run]] = {}
    row = 0
    while position < len(text):
        prefix = b",".join(text[position : position + 16].split(b",", 3)[:3]) + b","
        start, first_row = position, row
        while text.startswith(prefix, position):
            position = (text.find(b"\n", position) + 1) or len(text)
            row += 1
        if row == first_row:
            raise unfit(source, row + 1, ValueError("does not begin with year, month and day"))
        days.setdefault(_date(prefix, source, row), []).append(Run(start, position, first_row))
    return days, row


def _date(prefix: bytes, source: str, row: int) -> Date:
    try:
        year, month, day = (int(part) for part in prefix.rstrip(b",").split(b","))
    except ValueError as error:
        raise unfit(source, row, error) from error
    return year, month, day
