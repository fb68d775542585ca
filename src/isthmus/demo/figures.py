"""What the demo's handlers count: on-time figures per carrier, departure boards, the audit of each key.

Plain values that a State event can carry, so that a handler goes on counting after a crash. Must not publish, read
files or know the classes of events; `reference` computes the same numbers without this file.
"""

import hashlib
import zlib
from bisect import insort
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import ClassVar, Protocol

import msgspec

from isthmus.demo.facts import ON_TIME_MIN

BOARD_LINES = 5
"""Departures that a board shows."""

COUNTS = ("flights", "without_tailnum", "without_plane_row", "without_airport_row", "seats")
"""What a board counts, as the report names it."""

FAIL_ONCE_EVERY = 10
"""Rebooking jobs whose flight number is a multiple of this fail at their first attempt."""


class FlightEvent(Protocol):
    """What the audit reads of an event."""

    kind: ClassVar[str]

    @property
    def row(self) -> int:
        """Number of the row that the event comes from."""

    @property
    def at_ms(self) -> int:
        """When it happened."""

    @property
    def carrier(self) -> str:
        """Code of the airline."""

    @property
    def flight(self) -> int:
        """Number of the flight."""

    @property
    def origin(self) -> str:
        """Where the flight starts."""

    @property
    def dest(self) -> str:
        """Where the flight ends."""

    @property
    def scheduled_ms(self) -> int:
        """When it should have left."""


class HasSeats(Protocol):
    """What a board reads of the state of an aircraft."""

    @property
    def seats(self) -> int:
        """Seats on board."""


class HasZone(Protocol):
    """What a board reads of the state of an airport."""

    @property
    def zone(self) -> str | None:
        """Name of its time zone."""


def mean(total: int, count: int) -> float | None:
    """Return the mean with two digits, None of nothing."""
    return round(total / count, 2) if count else None


class CarrierFigures(msgspec.Struct):
    """On-time figures of one carrier; sums are kept whole, so that means come out the same in any order."""

    departed: int = 0
    cancelled: int = 0
    arrived: int = 0
    diverted: int = 0
    departure_delay_min: int = 0
    arrival_delay_min: int = 0
    on_time: int = 0

    def depart(self, delay_min: int) -> None:
        """Count a departure."""
        self.departed += 1
        self.departure_delay_min += delay_min

    def cancel(self) -> None:
        """Count a cancellation."""
        self.cancelled += 1

    def arrive(self, delay_min: int | None) -> None:
        """Count an arrival; None is the delay of a diverted one, which is in no mean and no share."""
        self.arrived += 1
        if delay_min is None:
            self.diverted += 1
            return
        self.arrival_delay_min += delay_min
        self.on_time += delay_min <= ON_TIME_MIN

    def add(self, other: "CarrierFigures") -> None:
        """Take in what was counted elsewhere of the same carrier."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def summary(self) -> dict[str, int | float | None]:
        """Return the figures as the report shows them; the share is of the arrivals whose delay is known."""
        known = self.arrived - self.diverted
        return {
            "flights": self.departed + self.cancelled,
            "departed": self.departed,
            "cancelled": self.cancelled,
            "diverted": self.diverted,
            "mean_departure_delay_min": mean(self.departure_delay_min, self.departed),
            "mean_arrival_delay_min": mean(self.arrival_delay_min, known),
            "on_time_share": round(self.on_time / known, 4) if known else None,
        }


class BoardLine(msgspec.Struct, frozen=True, order=True, gc=False):
    """One departure on a board; lines sort by time, then carrier and flight."""

    at_ms: int
    carrier: str
    flight: int
    dest: str
    delay_min: int

    def text(self) -> str:
        """Return the line as the report shows it."""
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC)
        return f"{at:%m-%d %H:%MZ} {self.carrier} {self.flight} {self.dest} {self.delay_min:+d}"


class Board(msgspec.Struct):
    """What one airport of origin shows and counts; `last` holds the newest departures, oldest first."""

    flights: int = 0
    without_tailnum: int = 0
    without_plane_row: int = 0
    without_airport_row: int = 0
    seats: int = 0
    departures_by_zone: dict[str, int] = msgspec.field(default_factory=dict)
    last: list[BoardLine] = msgspec.field(default_factory=list)

    def count(self, tailnum: str | None, plane: HasSeats | None, airport: HasZone | None) -> None:
        """Count a flight, departed or cancelled, and what is not known of its aircraft and destination."""
        self.flights += 1
        self.without_tailnum += tailnum is None
        self.without_plane_row += plane is None
        self.without_airport_row += airport is None

    def depart(self, line: BoardLine, plane: HasSeats | None, airport: HasZone | None) -> None:
        """Show a departure, which may come in any order; count its seats and its destination's time zone."""
        insort(self.last, line)
        del self.last[:-BOARD_LINES]
        self.seats += plane.seats if plane else 0
        zone = (airport.zone if airport else None) or "unknown"
        self.departures_by_zone[zone] = self.departures_by_zone.get(zone, 0) + 1

    def add(self, other: "Board") -> None:
        """Take in what was counted elsewhere of the same airport."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for zone, departures in other.departures_by_zone.items():
            self.departures_by_zone[zone] = self.departures_by_zone.get(zone, 0) + departures
        self.last = sorted([*self.last, *other.last])[-BOARD_LINES:]

    def __copy__(self) -> "Board":
        return msgspec.structs.replace(self, departures_by_zone=dict(self.departures_by_zone), last=list(self.last))

    def summary(self) -> dict[str, int]:
        """Return the counts as the report shows them."""
        return {name: getattr(self, name) for name in COUNTS}


def last_departures(boards: Mapping[str, Board]) -> dict[str, dict[str, str]]:
    """Return the boards as the report shows them: by rank, 1 the newest, then by origin."""
    ranks: dict[str, dict[str, str]] = {str(rank): {} for rank in range(1, BOARD_LINES + 1)}
    for origin in sorted(boards):
        for rank, line in enumerate(reversed(boards[origin].last), 1):
            ranks[str(rank)][origin] = line.text()
    return ranks


def departures_by_zone(boards: Iterable[Board]) -> dict[str, int]:
    """Return the departures of all boards by the destination's time zone."""
    zones: dict[str, int] = {}
    for board in boards:
        for zone, departures in board.departures_by_zone.items():
            zones[zone] = zones.get(zone, 0) + departures
    return dict(sorted(zones.items()))


class KeyAudit(msgspec.Struct):
    """What was seen of one key: how many events, in what order, and with what content.

    `crc` runs over the lines of all its events, so that it changes when one is lost, doubled, moved or altered.
    """

    events: int = 0
    crc: int = 0
    last_ms: int = 0
    out_of_order: int = 0

    def follow(self, event: FlightEvent, delay_min: int | None) -> None:
        """Take the key's next event; `delay_min` is None where it has none."""
        line = (
            f"{event.row} {event.kind} {event.at_ms} {event.carrier} {event.flight} {event.origin} {event.dest}"
            f" {event.scheduled_ms} {'-' if delay_min is None else delay_min}\n"
        )
        self.crc = zlib.crc32(line.encode(), self.crc)
        self.events += 1
        self.out_of_order += event.at_ms < self.last_ms
        self.last_ms = event.at_ms


def audit_summary(keys: Mapping[str, KeyAudit]) -> dict[str, int | str]:
    """Return the audit of all keys as the report shows it; the digest is over each key with its CRC, sorted."""
    digest = hashlib.sha256()
    for key in sorted(keys):
        digest.update(f"{key} {keys[key].crc}\n".encode())
    return {
        "keys": len(keys),
        "events": sum(audit.events for audit in keys.values()),
        "out_of_order": sum(audit.out_of_order for audit in keys.values()),
        "digest": digest.hexdigest()[:16],
    }
