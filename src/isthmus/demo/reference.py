"""Every number of the demo's report, computed once more from the raw CSV files.

Imports nothing of isthmus, not even its other readers, and takes the plainest way at every turn, so that it can be
believed where it agrees with the demo. Run it: `python -m isthmus.demo.reference [FILE...] [--json]`.

Decided here and in the demo alike: work for rebooking is every cancellation and every departure delayed by more than
120 minutes; on time is an arrival delayed by at most 15 minutes, of those whose delay is known (a diverted flight has
none); a change of weather is an hour whose conditions (class of visibility, wet or dry) differ from those of the hour
recorded before at that airport, the first hour included.
"""

import argparse
import csv
import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from sys import intern
from typing import IO, Any, NamedTuple, TypeAlias

Row: TypeAlias = dict[str, str]
Figures: TypeAlias = dict[str, Any]


class Flight(NamedTuple):
    """The columns of a flight that matter, as they stand in the file."""

    time_hour: str
    minute: str
    dep_time: str
    dep_delay: str
    arr_time: str
    arr_delay: str
    carrier: str
    flight: str
    tailnum: str
    origin: str
    dest: str


class Event(NamedTuple):
    """What happened to a flight; `row` is its number in the file, from 0."""

    at_ms: int
    row: int
    kind: str
    key: str
    carrier: str
    flight: int
    origin: str
    dest: str
    scheduled_ms: int
    delay: int | None


DATA = Path(__file__).with_name("data")
SHIPPED = ("flights-2013-01", "weather-2013-01", "airports", "planes", "airlines")
TELLING = {"flights": "dep_time", "weather": "visib", "airports": "faa", "planes": "seats", "airlines": "name"}
"""A column by which a kind of file is known; airports have `name` as well, so they are asked for before airlines."""

ZONES = {
    "America/Anchorage": (-9, True),
    "America/Chicago": (-6, True),
    "America/Denver": (-7, True),
    "America/Los_Angeles": (-8, True),
    "America/New_York": (-5, True),
    "America/Phoenix": (-7, False),
    "America/Puerto_Rico": (-4, False),
    "America/Vancouver": (-8, True),
    "Asia/Chongqing": (8, False),
    "Pacific/Honolulu": (-10, False),
}
"""Hours from UTC in winter, and whether clocks follow daylight saving of the United States (since 2007)."""

CARIBBEAN = {"BQN", "PSE", "SJU", "STT"}


# ---- reading -----------------------------------------------------------------------------------------------------


def open_text(path: Path) -> IO[str]:
    """Open a text file or a gzip of one."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", newline="", encoding="utf-8") if packed else path.open(newline="", encoding="utf-8")


def read(path: Path) -> list[Row]:
    """Return the rows of a file."""
    with open_text(path) as text:
        return list(csv.DictReader(text))


def read_flights(path: Path) -> list[Flight]:
    """Return the rows of a file of flights; equal texts are kept once, so that a year fits."""
    with open_text(path) as text:
        return [Flight(*(intern(row[name]) for name in Flight._fields)) for row in csv.DictReader(text)]


def kind_of(path: Path) -> str:
    """Return what a file holds, told by its columns; raises ValueError when it is none of the five kinds."""
    with open_text(path) as text:
        columns = next(csv.reader(text), [])
    for kind, column in TELLING.items():
        if column in columns:
            return kind
    raise ValueError(f"{path}: must have one of the columns {', '.join(TELLING.values())}")


def choose(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the file of each kind: one of the paths, or else the shipped one."""
    return {kind_of(path): path for path in [*(DATA / f"{name}.csv.gz" for name in SHIPPED), *paths]}


# ---- time --------------------------------------------------------------------------------------------------------


def nth_sunday(year: int, month: int, n: int) -> date:
    """Return the n-th Sunday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (n - 1))


@cache
def summer(zone: str, year: int) -> tuple[datetime, datetime]:
    """Return when a zone's clocks go forward and back, if they follow the daylight saving of the United States.

    Forward at two o'clock of winter time on the second Sunday in March, back at two o'clock of summer time on the
    first Sunday in November.
    """
    winter = timedelta(hours=ZONES[zone][0])
    two = time(2, tzinfo=UTC)
    forward = datetime.combine(nth_sunday(year, 3, 2), two) - winter
    back = datetime.combine(nth_sunday(year, 11, 1), two) - winter - timedelta(hours=1)
    return forward, back


def offset_hours(zone: str, at: datetime) -> int:
    """Return how many hours a zone's clocks are ahead of UTC at an instant."""
    winter, saves = ZONES[zone]
    if not saves:
        return winter
    forward, back = summer(zone, at.year)
    return winter + 1 if forward <= at < back else winter


def first_showing(zone: str, after: datetime, clock: int) -> datetime:
    """Return the first instant after another at which a zone's clock shows a time such as 517 or 2400.

    Tries that time on the days around, with the offset of winter and that of summer, and keeps those that are so.
    """
    midnight = after.replace(hour=0, minute=0)
    winter = ZONES[zone][0]
    found = []
    for day in range(-1, 4):
        for ahead in (winter, winter + 1):
            at = midnight + timedelta(days=day, hours=clock // 100 % 24 - ahead, minutes=clock % 100)
            if at > after and offset_hours(zone, at) == ahead:
                found.append(at)
    return min(found)


def milliseconds(at: datetime) -> int:
    """Return the milliseconds since 1970."""
    return round(at.timestamp()) * 1000


# ---- events ------------------------------------------------------------------------------------------------------


def zone_of(dest: str, airports: Mapping[str, Row]) -> str:
    """Return the time zone of a destination; raises KeyError for one that has none."""
    return "America/Puerto_Rico" if dest in CARIBBEAN else airports[dest]["tzone"]


def events_of_row(number: int, row: Flight, airports: Mapping[str, Row]) -> list[Event]:
    """Return the events that a row justifies, by the rules of time."""
    scheduled = datetime.fromisoformat(row.time_hour) + timedelta(minutes=int(row.minute))
    key = row.tailnum if row.tailnum != "NA" else f"{row.carrier}-{row.flight}"

    def event(kind: str, at: datetime, delay: str) -> Event:
        late = None if delay == "NA" else int(delay)
        place = (row.carrier, int(row.flight), row.origin, row.dest)
        return Event(milliseconds(at), number, kind, key, *place, milliseconds(scheduled), late)

    if row.dep_time == "NA":
        return [event("cancelled", scheduled, "NA")]
    left = scheduled + timedelta(minutes=int(row.dep_delay))
    departed = event("departed", left, row.dep_delay)
    if row.arr_time == "NA":
        return [departed]
    came = first_showing(zone_of(row.dest, airports), left, int(row.arr_time))
    return [departed, event("arrived", came, row.arr_delay)]


def events_in_order(flights: Sequence[Flight], airports: Mapping[str, Row]) -> list[Event]:
    """Return the events of all flights by time, and by row where the time is the same."""
    events = [event for number, row in enumerate(flights) for event in events_of_row(number, row, airports)]
    return sorted(events, key=lambda event: (event.at_ms, event.row))


# ---- figures -----------------------------------------------------------------------------------------------------


def flight_figures(flights: Sequence[Flight], planes: Mapping[str, Row], airports: Mapping[str, Row]) -> Figures:
    """Return the counts over all flights."""
    departed = [row for row in flights if row.dep_time != "NA"]
    arrived = [row for row in departed if row.arr_time != "NA"]
    return {
        "flights": len(flights),
        "departures": len(departed),
        "cancellations": len(flights) - len(departed),
        "arrivals": len(arrived),
        "diverted": sum(row.arr_delay == "NA" for row in arrived),
        "departures_without_arrival": len(departed) - len(arrived),
        "without_tailnum": sum(row.tailnum == "NA" for row in flights),
        "without_plane_row": sum(row.tailnum not in planes for row in flights),
        "without_airport_row": sum(row.dest not in airports for row in flights),
        "events": len(flights) + len(arrived),
    }


def average(values: Sequence[int], digits: int = 2) -> float | None:
    """Return the rounded mean, None of nothing."""
    return round(sum(values) / len(values), digits) if values else None


def carrier_figures(flights: Sequence[Flight], airlines: Mapping[str, Row]) -> Figures:
    """Return the on-time figures of each carrier, by its name."""
    figures = {}
    for carrier in sorted({row.carrier for row in flights}):
        rows = [row for row in flights if row.carrier == carrier]
        departed = [row for row in rows if row.dep_time != "NA"]
        late = [int(row.arr_delay) for row in departed if row.arr_delay != "NA"]
        figures[airlines[carrier]["name"]] = {
            "flights": len(rows),
            "departed": len(departed),
            "cancelled": len(rows) - len(departed),
            "diverted": sum(row.arr_time != "NA" and row.arr_delay == "NA" for row in departed),
            "mean_departure_delay_min": average([int(row.dep_delay) for row in departed]),
            "mean_arrival_delay_min": average(late),
            "on_time_share": average([minutes <= 15 for minutes in late], 4),
        }
    return figures


def board_figures(flights: Sequence[Flight], planes: Mapping[str, Row], airports: Mapping[str, Row]) -> Figures:
    """Return what each airport of origin counts; seats are those of departures whose aircraft is known."""
    figures = {}
    for origin in sorted({row.origin for row in flights}):
        rows = [row for row in flights if row.origin == origin]
        counts = flight_figures(rows, planes, airports)
        names = ("flights", "without_tailnum", "without_plane_row", "without_airport_row")
        flown = [row.tailnum for row in rows if row.dep_time != "NA" and row.tailnum in planes]
        figures[origin] = {name: counts[name] for name in names}
        figures[origin]["seats"] = sum(int(planes[tailnum]["seats"]) for tailnum in flown)
    return figures


def zone_figures(flights: Sequence[Flight], airports: Mapping[str, Row]) -> dict[str, int]:
    """Return the departures by the time zone that the destination's row names."""
    departed = [row for row in flights if row.dep_time != "NA"]
    zones = Counter(airports[row.dest]["tzone"] if row.dest in airports else "unknown" for row in departed)
    return dict(sorted(zones.items()))


def departure_line(event: Event) -> str:
    """Return a departure as a board shows it."""
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC).strftime("%m-%d %H:%MZ")
    sign = "" if str(event.delay).startswith("-") else "+"
    return f"{at} {event.carrier} {event.flight} {event.dest} {sign}{event.delay}"


def last_departures(events: Sequence[Event]) -> dict[str, dict[str, str]]:
    """Return the five last departures of each origin: by rank, 1 the newest, then by origin."""
    boards: dict[str, dict[str, str]] = {str(rank): {} for rank in range(1, 6)}
    departures = [event for event in events if event.kind == "departed"]
    for origin in sorted({event.origin for event in departures}):
        lines = [event for event in departures if event.origin == origin]
        lines.sort(key=lambda event: (event.at_ms, event.carrier, event.flight, event.dest), reverse=True)
        for rank, event in enumerate(lines[:5], 1):
            boards[str(rank)][origin] = departure_line(event)
    return boards


def audit_figures(events: Sequence[Event]) -> Figures:
    """Return keys, events, and a digest (16 digits of SHA-256) of the order and content of each key's events."""
    crcs: dict[str, int] = {}
    for event in events:
        delay = "-" if event.delay is None else event.delay
        flight = (event.carrier, event.flight, event.origin, event.dest, event.scheduled_ms)
        line = " ".join(map(str, (event.row, event.kind, event.at_ms, *flight, delay))) + "\n"
        crcs[event.key] = zlib.crc32(line.encode(), crcs.get(event.key, 0))
    listed = "".join(f"{key} {crcs[key]}\n" for key in sorted(crcs))
    return {
        "keys": len(crcs),
        "events": len(events),
        "out_of_order": 0,
        "digest": hashlib.sha256(listed.encode()).hexdigest()[:16],
    }


def rebooking_figures(flights: Sequence[Flight], airports: Mapping[str, Row]) -> dict[str, int]:
    """Return the jobs: those to an airport without a row cannot be done at first, and some others fail once."""
    cancelled = [row for row in flights if row.dep_time == "NA"]
    late = [row for row in flights if row.dep_delay != "NA" and int(row.dep_delay) > 120]
    jobs = cancelled + late
    return {
        "jobs": len(jobs),
        "cancelled": len(cancelled),
        "late": len(late),
        "poison": sum(row.dest not in airports for row in jobs),
        "failed_once": sum(row.dest in airports and int(row.flight) % 10 == 0 for row in jobs),
    }


def conditions(row: Row) -> str:
    """Return the class of visibility and whether it is wet."""
    miles = float(row["visib"])
    sight = "LIFR"
    for least, name in ((1, "IFR"), (3, "MVFR"), (5.0001, "VFR")):
        if miles >= least:
            sight = name
    return sight + (" wet" if float(row["precip"]) > 0 else " dry")


def weather_figures(weather: Sequence[Row]) -> Figures:
    """Return, for each airport, how often its weather changed to each kind of conditions."""
    figures = {}
    for airport in sorted({row["origin"] for row in weather}):
        rows = sorted((row for row in weather if row["origin"] == airport), key=lambda row: row["time_hour"])
        kinds = [conditions(row) for row in rows]
        changes = [kind for before, kind in zip(["", *kinds], kinds, strict=False) if before != kind]
        figures[airport] = dict(sorted(Counter(changes).items()))
    return figures


def compute(paths: Iterable[Path] = ()) -> Figures:
    """Return all figures, by section, as the report compares them.

    Args:
        paths: raw files that take the place of the shipped ones; what each holds is told by its columns.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file is of no known kind, or a field is not what its column says.
        KeyError: a destination or carrier that the other files do not have.
    """
    files = choose(paths)
    flights, weather = read_flights(files["flights"]), read(files["weather"])
    airports = {row["faa"]: row for row in read(files["airports"])}
    planes = {row["tailnum"]: row for row in read(files["planes"])}
    airlines = {row["carrier"]: row for row in read(files["airlines"])}
    events = events_in_order(flights, airports)
    changes = weather_figures(weather)
    return {
        "flights": flight_figures(flights, planes, airports),
        "carriers": carrier_figures(flights, airlines),
        "boards": board_figures(flights, planes, airports),
        "last_departures": last_departures(events),
        "departures_by_zone": zone_figures(flights, airports),
        "audit": audit_figures(events),
        "events_by_key": dict(sorted(Counter(event.key for event in events).items())),
        "rebooking": rebooking_figures(flights, airports),
        "weather": {"observations": len(weather), "changes": sum(sum(kinds.values()) for kinds in changes.values())},
        "weather_changes": changes,
        "states": {"planes": len(planes), "airports": len(airports)},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures, one to a line or, with --json, as one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m isthmus.demo.reference", description="The demo's figures.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="raw CSV files instead of the shipped ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    figures = compute(chosen.files)
    if chosen.json:
        print(json.dumps(figures, indent=1))
        return
    for section, values in figures.items():
        for name, value in values.items():
            print(f"{section}\t{name}\t{json.dumps(value)}")


if __name__ == "__main__":
    main()
