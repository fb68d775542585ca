"""The raw files of the demo: found, unpacked within a bound, and turned into typed rows.

Must not turn flights into events (that is `facts`), and must not be named by `reference`, which reads for itself.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from isthmus.demo.zones import Period, Zone, minute_of, zones_of
from isthmus.errors import InvalidArgument
from isthmus.limits import DEMO_FILE_BYTES_MAX

Parsed = TypeVar("Parsed")

DATA = Path(__file__).with_name("data")
"""Folder of the shipped files."""

FLIGHTS = DATA / "flights-2013-01.csv.gz"
WEATHER = DATA / "weather-2013-01.csv.gz"
AIRPORTS = DATA / "airports.csv.gz"
PLANES = DATA / "planes.csv.gz"
AIRLINES = DATA / "airlines.csv.gz"
ZONES = DATA / "zones.csv"

CARIBBEAN = ("BQN", "PSE", "SJU", "STT")
"""Destinations that have no airport row; their clocks are Puerto Rico's."""

CARIBBEAN_ZONE = "America/Puerto_Rico"

AIRPORT_COLUMNS = ("faa", "name", "lat", "lon", "alt", "tz", "dst", "tzone")
PLANE_COLUMNS = ("tailnum", "year", "type", "manufacturer", "model", "engines", "seats", "speed", "engine")
AIRLINE_COLUMNS = ("carrier", "name")
ZONE_COLUMNS = ("zone", "start", "end", "offset_min")
WEATHER_COLUMNS = (
    *("origin", "year", "month", "day", "hour", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust"),
    *("precip", "pressure", "visib", "time_hour"),
)


class Airport(msgspec.Struct, frozen=True, gc=False):
    """The state of an airport; `zone` is the name of its time zone, None where the file has none."""

    faa: str
    name: str
    lat: float
    lon: float
    alt_ft: int
    zone: str | None


class Plane(msgspec.Struct, frozen=True, gc=False):
    """The state of an aircraft; `year` is None where the file has none."""

    tailnum: str
    year: int | None
    type: str
    manufacturer: str
    model: str
    engines: int
    seats: int
    engine: str


class Observation(msgspec.Struct, frozen=True, gc=False):
    """The weather at an airport in the hour that starts at `at_ms`; None for what was not measured."""

    airport: str
    at_ms: int
    temperature_f: float | None
    humidity_percent: float | None
    wind_degrees: int | None
    wind_mph: float | None
    gust_mph: float | None
    rain_in: float
    pressure_mb: float | None
    visibility_miles: float

    @property
    def conditions(self) -> str:
        """The visibility class that pilots use (VFR, MVFR, IFR, LIFR; cloud is not in the data), and wet or dry."""
        miles = self.visibility_miles
        sight = "LIFR" if miles < 1 else "IFR" if miles < 3 else "MVFR" if miles <= 5 else "VFR"
        return f"{sight} {'wet' if self.rain_in > 0 else 'dry'}"


def read_bytes(path: Path, *, limit_bytes: int = DEMO_FILE_BYTES_MAX) -> bytes:
    """Return the content of a file, unpacked when it is gzip.

    Raises:
        InvalidArgument: it cannot be read, is damaged, or holds more than `limit_bytes`.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as content:
            text = content.read(limit_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidArgument(str(path), f"cannot be read: {error}") from error
    if len(text) > limit_bytes:
        raise InvalidArgument(str(path), f"holds more than {limit_bytes} bytes; split it")
    return text


def rows_of(text: bytes, source: str, *, first_row: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of CSV text without its header, numbered from `first_row`.

    Raises:
        InvalidArgument: the text is not UTF-8 or not CSV.
    """
    try:
        yield from enumerate(csv.reader(io.StringIO(text.decode(), newline="")), first_row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidArgument(source, f"is not CSV in UTF-8: {error}") from error


def require_header(header: list[str], columns: tuple[str, ...], source: str) -> None:
    """Raise InvalidArgument unless a header names just these columns in this order."""
    if tuple(header) != columns:
        raise InvalidArgument(source, f"needs the columns {', '.join(columns)}; it has {', '.join(header)[:400]}")


def table(path: Path, columns: tuple[str, ...], parse: Callable[[list[str]], Parsed]) -> list[Parsed]:
    """Return what `parse` makes of each row of a file.

    Raises:
        InvalidArgument: the file cannot be read, has another header, or a row that does not parse.
    """
    rows = rows_of(read_bytes(path), str(path))
    require_header(next(rows, (0, []))[1], columns, str(path))
    parsed = []
    for number, row in rows:
        try:
            parsed.append(parse(row))
        except ValueError as error:
            raise unfit(str(path), number, error) from error
    return parsed


def unfit(source: str, row: int, error: Exception) -> InvalidArgument:
    """Return the error for a row that cannot be understood; rows count from 1, the header not counted."""
    return InvalidArgument(source, f"row {row}: {error}")


def _float(text: str) -> float | None:
    return None if text == "NA" else float(text)


def _int(text: str) -> int | None:
    return None if text == "NA" else int(text)


def _text(text: str) -> str | None:
    return None if text == "NA" else text


def _airport(row: list[str]) -> Airport:
    faa, name, lat, lon, alt, _, _, zone = row
    return Airport(faa, name, float(lat), float(lon), int(alt), _text(zone))


def _plane(row: list[str]) -> Plane:
    tailnum, year, kind, manufacturer, model, engines, seats, _, engine = row
    return Plane(tailnum, _int(year), kind, manufacturer, model, int(engines), int(seats), engine)


def _observation(row: list[str]) -> Observation:
    airport, _, _, _, _, temperature, _, humidity, degrees, wind, gust, rain, pressure, miles, time_hour = row
    return Observation(
        airport=airport,
        at_ms=minute_of(time_hour) * 60_000,
        temperature_f=_float(temperature),
        humidity_percent=_float(humidity),
        wind_degrees=_int(degrees),
        wind_mph=_float(wind),
        gust_mph=_float(gust),
        rain_in=float(rain),
        pressure_mb=_float(pressure),
        visibility_miles=float(miles),
    )


def _airline(row: list[str]) -> tuple[str, str]:
    carrier, name = row
    return carrier, name


def _period(row: list[str]) -> Period:
    zone, start, end, offset_min = row
    return Period(zone, minute_of(start), minute_of(end), int(offset_min))


def airports(path: Path = AIRPORTS) -> list[Airport]:
    """Return the airports in the order of the file."""
    return table(path, AIRPORT_COLUMNS, _airport)


def planes(path: Path = PLANES) -> list[Plane]:
    """Return the aircraft in the order of the file."""
    return table(path, PLANE_COLUMNS, _plane)


def airlines(path: Path = AIRLINES) -> dict[str, str]:
    """Return the names of the carriers by code."""
    return dict(table(path, AIRLINE_COLUMNS, _airline))


def observations(path: Path = WEATHER) -> list[Observation]:
    """Return the weather in order of time, airports in order of name."""
    found = table(path, WEATHER_COLUMNS, _observation)
    return sorted(found, key=lambda observation: (observation.at_ms, observation.airport))


def weather_changes(ordered: Iterable[Observation]) -> list[Observation]:
    """Return those observations whose conditions differ from the one before at that airport; the first differs."""
    last: dict[str, str] = {}
    changes = []
    for observation in ordered:
        if last.get(observation.airport) != observation.conditions:
            last[observation.airport] = observation.conditions
            changes.append(observation)
    return changes


def destination_zones(known: Iterable[Airport], path: Path = ZONES) -> dict[str, Zone]:
    """Return the time zone of each airport that has one, and of the four in the Caribbean that have no row."""
    zones = zones_of(table(path, ZONE_COLUMNS, _period))
    found = {airport.faa: zones[airport.zone] for airport in known if airport.zone in zones}
    return dict.fromkeys(CARIBBEAN, zones[CARIBBEAN_ZONE]) | found
