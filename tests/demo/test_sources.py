"""The raw files of the demo, and what is said of files that are not what they should be."""

import gzip
from pathlib import Path

import msgspec
import pytest

from isthmus.demo import sources
from isthmus.demo.sources import Airport, Observation, Plane
from isthmus.errors import InvalidArgument


def test_the_shipped_files_are_under_one_megabyte() -> None:
    assert sum(file.stat().st_size for file in sources.DATA.iterdir()) < 1_000_000


def test_airports_planes_and_airlines_are_read_whole() -> None:
    airports, planes, airlines = sources.airports(), sources.planes(), sources.airlines()

    assert (len(airports), len(planes), len(airlines)) == (1458, 3322, 16)
    assert airports[0] == Airport("04G", "Lansdowne Airport", 41.1304722, -80.6195833, 1044, "America/New_York")
    assert [airport.faa for airport in airports if airport.zone is None] == ["EEN", "LRO", "YAK"]
    assert planes[0].tailnum == "N10156"
    assert sum(plane.year is None for plane in planes) == 70
    assert airlines["B6"] == "JetBlue Airways"


def test_states_survive_json() -> None:
    for plane in sources.planes()[:50]:
        assert msgspec.json.decode(msgspec.json.encode(plane), type=Plane) == plane


def test_weather_comes_in_order_of_time_with_what_was_not_measured_left_out() -> None:
    weather = sources.observations()

    assert len(weather) == 2226
    assert [(w.at_ms, w.airport) for w in weather] == sorted((w.at_ms, w.airport) for w in weather)
    assert weather[0].airport == "EWR"
    assert weather[0].temperature_f == 39.02
    assert weather[0].gust_mph is None


@pytest.mark.parametrize(
    ("miles", "rain", "expected"),
    [
        (0.75, 0.0, "LIFR dry"),
        (1.0, 0.0, "IFR dry"),
        (2.5, 0.01, "IFR wet"),
        (3.0, 0.0, "MVFR dry"),
        (5.0, 0.0, "MVFR dry"),
        (6.0, 0.2, "VFR wet"),
    ],
)
def test_conditions_are_a_class_of_visibility_and_wet_or_dry(miles: float, rain: float, expected: str) -> None:
    assert observation("JFK", 0, miles, rain).conditions == expected


def test_a_change_is_an_hour_unlike_the_one_before_at_the_same_airport() -> None:
    hours = [
        observation("EWR", 0, 10, 0),
        observation("JFK", 0, 2, 0),
        observation("EWR", 1, 9, 0),
        observation("JFK", 1, 10, 0),
        observation("EWR", 3, 9, 0.1),
        observation("JFK", 3, 2, 0),
    ]

    changes = sources.weather_changes(hours)

    assert changes == [hours[0], hours[1], hours[3], hours[4], hours[5]]


def test_the_four_caribbean_airports_keep_the_time_of_puerto_rico() -> None:
    zones = sources.destination_zones(sources.airports())

    assert {zones[dest].name for dest in sources.CARIBBEAN} == {"America/Puerto_Rico"}
    assert zones["PHX"].name == "America/Phoenix"
    assert "EEN" not in zones


HEADER = b"carrier,name\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "needs the columns carrier, name"),
        (b"code,name\nAA,American\n", "needs the columns carrier, name; it has code, name"),
        (HEADER + b"AA\n", "row 1: "),
        (HEADER + b"AA,American\n\n", "row 2: "),
        (HEADER + b"AA,\xff\n", "is not CSV in UTF-8"),
        (HEADER + b'AA,"' + b"x" * 200_000 + b'"\n', "is not CSV in UTF-8"),
        (gzip.compress(HEADER)[:-6], "cannot be read"),
        (gzip.compress(HEADER)[:12] + b"rubbish and more", "cannot be read"),
    ],
    ids=["empty", "header", "field missing", "empty row", "not UTF-8", "endless field", "cut gzip", "damaged gzip"],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "airlines.csv"
    path.write_bytes(content)

    with pytest.raises(InvalidArgument, match=reason) as caught:
        sources.airlines(path)

    assert caught.value.argument == str(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        sources.planes(tmp_path / "planes.csv.gz")


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 100_000))

    assert len(sources.read_bytes(path, limit_bytes=100_000)) == 100_000
    with pytest.raises(InvalidArgument, match="more than 99999 bytes"):
        sources.read_bytes(path, limit_bytes=99_999)


def observation(airport: str, hour: int, miles: float, rain: float) -> Observation:
    """An hour of weather of which only sight and rain matter."""
    return Observation(
        airport=airport,
        at_ms=hour * 3_600_000,
        temperature_f=None,
        humidity_percent=None,
        wind_degrees=None,
        wind_mph=None,
        gust_mph=None,
        rain_in=rain,
        pressure_mb=None,
        visibility_miles=miles,
    )
