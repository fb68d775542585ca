"""The demo's events and destinations, declared once and shared by its producer, its handlers and whoever comes later.

It declares and runs nothing. Times are milliseconds since 1970 UTC.
"""

from typing import ClassVar, TypeAlias

from isthmus import Backoff, Event, Notification, Queue, State, Stream
from isthmus.demo.figures import Board, CarrierFigures, KeyAudit

# ---- events: what happened, immutable ------------------------------------------------------------------------------


class Flight(Event):
    """What every event of a flight tells: `row` is its row in the file, `key` the aircraft, or else the flight."""

    at_ms: int
    row: int
    key: str
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    scheduled_ms: int


class FlightDeparted(Flight):
    """An aircraft left; a negative delay is early."""

    kind: ClassVar[str] = "departed"
    delay_min: int


class FlightArrived(Flight):
    """An aircraft landed; of a diverted one the delay is not known."""

    kind: ClassVar[str] = "arrived"
    delay_min: int | None
    diverted: bool


class FlightCancelled(Flight):
    """A flight did not leave."""

    kind: ClassVar[str] = "cancelled"


FlightEvent: TypeAlias = FlightDeparted | FlightArrived | FlightCancelled


def delay_of(event: FlightEvent) -> int | None:
    """The delay in minutes, None where there is none or it is not known."""
    return None if isinstance(event, FlightCancelled) else event.delay_min


class PlaneState(State):
    """Everything that is known of an aircraft."""

    tailnum: str
    year: int | None
    type: str
    manufacturer: str
    model: str
    engines: int
    seats: int
    engine: str


class AirportState(State):
    """Everything that is known of an airport."""

    faa: str
    name: str
    lat: float
    lon: float
    alt_ft: int
    zone: str | None


class WeatherChanged(Notification):
    """The weather at an airport is another; ask the weather service which."""

    airport: str
    at_ms: int


class RebookingDue(Event):
    """The passengers of a flight need another one."""

    row: int
    carrier: str
    flight: int
    dest: str
    reason: str


class Rebooked(Event):
    """The passengers of a flight have another one, found at that attempt."""

    row: int
    carrier: str
    flight: int
    dest: str
    reason: str
    attempt: int


class Briefing(Event):
    """A desk was told of the weather."""

    desk: str
    airport: str
    at_ms: int
    conditions: str


class UpstreamCall(Event):
    """One of very many calls to a service that cannot take many at once."""

    number: int


class UpstreamAnswered(Event):
    """The service answered that call, at that time."""

    number: int
    at_ms: int


class CarrierState(State):
    """What was counted of a carrier in one partition."""

    carrier: str
    partition: int
    figures: CarrierFigures


class BoardState(State):
    """The board of an airport of origin, as far as one partition knows."""

    origin: str
    partition: int
    board: Board


class KeyState(State):
    """What was seen of a key, all of whose events are in one partition."""

    key: str
    audit: KeyAudit


# ---- destinations: where events go ---------------------------------------------------------------------------------

flights = Stream[FlightEvent]("flights", key="key", partitions=6, retain=None, consumed=True, floor="7d")
planes = Stream[PlaneState]("planes", key="tailnum")
airports = Stream[AirportState]("airports", key="faa")
weather = Stream[WeatherChanged]("weather", key="airport")
briefings = Stream[Briefing]("briefings", key="airport")
carriers = Stream[CarrierState]("carriers", key=("carrier", "partition"))
boards = Stream[BoardState]("boards", key=("origin", "partition"))
keys = Stream[KeyState]("keys", key="key")
rebooking = Queue[RebookingDue]("rebooking", retry=Backoff(3, "20ms", "200ms"))
rebooked = Stream[Rebooked]("rebooked", key="carrier")
burst = Queue[UpstreamCall]("burst")
answers = Stream[UpstreamAnswered]("answers", key=None)
