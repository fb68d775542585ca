"""What the rows of a file of flights justify, against single rows known by hand and the whole month by reference."""

import gzip
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isthmus.demo import facts, reference, sources
from isthmus.demo.facts import Arrived, Cancelled, Departed, Fact, FlightFile
from isthmus.demo.zones import minute_of
from isthmus.errors import InvalidArgument

HEADER = ",".join(facts.FLIGHT_COLUMNS) + "\n"
ZONES = sources.destination_zones(sources.airports())

TO_HOUSTON = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
TO_ST_LOUIS = "2013,1,1,2016,1930,46,NA,2220,NA,EV,4204,N14168,EWR,STL,NA,872,19,30,2013-01-02T00:00:00Z"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,N18120,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z"


def at(instant: str) -> int:
    return minute_of(instant) * 60_000


def parse(row: str) -> tuple[Fact, ...]:
    return facts.facts_of(row.split(","), 7, ZONES)


@pytest.fixture(scope="module")
def january() -> list[Fact]:
    return list(FlightFile(zones=ZONES).facts())


def test_a_flown_row_is_a_departure_and_an_arrival_by_the_clock_of_the_destination() -> None:
    departed, arrived = parse(TO_HOUSTON)

    shared = (7, "N14228", "UA", 1545, "N14228", "EWR", "IAH", at("2013-01-01T10:15Z"))
    assert departed == Departed(at("2013-01-01T10:17Z"), *shared, 2)
    assert arrived == Arrived(at("2013-01-01T14:30Z"), *shared, delay_min=11, diverted=False)


def test_a_row_without_departure_is_cancelled_at_its_scheduled_time() -> None:
    (cancelled,) = parse(CANCELLED)

    due = at("2013-01-01T21:30Z")
    assert cancelled == Cancelled(due, 7, "N18120", "EV", 4308, "N18120", "EWR", "RDU", due)


def test_a_departure_without_arrival_time_has_no_arrival() -> None:
    assert [fact.kind for fact in parse(TO_ST_LOUIS)] == ["departed"]


def test_an_arrival_without_delay_was_diverted() -> None:
    arrived = parse(TO_HOUSTON.replace(",11,", ",NA,"))[1]

    assert isinstance(arrived, Arrived)
    assert (arrived.delay_min, arrived.diverted) == (None, True)


def test_a_row_without_tail_number_is_keyed_by_its_flight() -> None:
    departed = parse(TO_HOUSTON.replace("N14228", "NA"))[0]

    assert (departed.key, departed.tailnum) == ("UA-1545", None)


def test_2400_is_midnight() -> None:
    arrived = parse(TO_HOUSTON.replace(",830,", ",2400,"))[1]

    assert arrived.at_ms == at("2013-01-02T06:00Z")


@pytest.mark.parametrize(
    ("row", "arrived"),
    [
        (  # the night on which clocks go forward; Puerto Rico's do not
            "2013,3,9,2345,2315,30,406,357,9,B6,707,N292JB,JFK,SJU,183,1598,23,15,2013-03-10T04:00:00Z",
            "2013-03-10T08:06Z",
        ),
        (  # 2:03 in Palm Beach was left out that night, so by the rule the next is meant
            "2013,3,9,2306,2145,81,203,34,89,B6,35,N658JB,JFK,PBI,141,1028,21,45,2013-03-10T02:00:00Z",
            "2013-03-11T06:03Z",
        ),
        (  # the night on which clocks go back, shortly before
            "2013,11,2,2245,2250,-5,5,8,-3,B6,2002,N358JB,JFK,BUF,54,301,22,50,2013-11-03T02:00:00Z",
            "2013-11-03T04:05Z",
        ),
        (
            "2013,11,2,2358,2359,-1,350,340,10,B6,1503,N594JB,JFK,SJU,206,1598,23,59,2013-11-03T03:00:00Z",
            "2013-11-03T07:50Z",
        ),
        (  # made up: lands after the clocks of New York went back, at the second 1:30
            "2013,11,3,140,140,0,130,200,-30,B6,1,N1,JFK,BOS,30,187,1,40,2013-11-03T05:00:00Z",
            "2013-11-03T06:30Z",
        ),
    ],
)
def test_daylight_saving_of_the_destination_is_minded(row: str, arrived: str) -> None:
    assert parse(row)[1].at_ms == at(arrived)


def test_january_has_the_known_counts(january: list[Fact]) -> None:
    kinds = Counter(fact.kind for fact in january)
    flights = [fact for fact in january if not isinstance(fact, Arrived)]
    planes = {plane.tailnum for plane in sources.planes()}
    airports = {airport.faa for airport in sources.airports()}

    assert FlightFile(zones=ZONES).rows == len(flights) == 27_004
    assert (kinds["departed"], kinds["cancelled"]) == (26_483, 521)
    assert kinds["departed"] - kinds["arrived"] == 15
    assert sum(isinstance(fact, Arrived) and fact.diverted for fact in january) == 70
    assert sum(fact.tailnum is None for fact in flights) == 155
    assert sum(fact.tailnum not in planes for fact in flights) == 4_479
    assert sum(fact.dest not in airports for fact in flights) == 680


def test_january_is_in_order_of_time_and_row(january: list[Fact]) -> None:
    order = [(fact.at_ms, fact.row) for fact in january]

    assert order == sorted(set(order))


def test_january_is_event_for_event_what_the_reference_finds(january: list[Fact]) -> None:
    airports = {row["faa"]: row for row in reference.read(sources.AIRPORTS)}

    expected = reference.events_in_order(reference.read_flights(sources.FLIGHTS), airports)

    assert [as_reference(fact) for fact in january] == expected


def test_no_flight_of_january_takes_longer_than_half_a_day(january: list[Fact]) -> None:
    left = {fact.row: fact.at_ms for fact in january if isinstance(fact, Departed)}

    flown = [(fact.at_ms - left[fact.row]) // 60_000 for fact in january if isinstance(fact, Arrived)]

    assert min(flown) >= 30
    assert max(flown) <= 720


@pytest.mark.parametrize("packed", [False, True])
def test_the_order_of_days_in_the_file_does_not_matter(tmp_path: Path, *, packed: bool) -> None:
    ordered, mixed = tmp_path / "ordered.csv", tmp_path / "mixed.csv"
    days = [day_of_rows(day) for day in range(1, 6)]
    ordered.write_text(HEADER + "".join(days))
    text = (HEADER + days[3] + days[0] + days[4] + days[2] + days[1]).encode()
    mixed.write_bytes(gzip.compress(text) if packed else text)

    first = list(FlightFile(ordered, zones=ZONES).facts())
    second = list(FlightFile(mixed, zones=ZONES).facts())

    assert len(first) > 100
    assert [fact.at_ms for fact in second] == sorted(fact.at_ms for fact in second)
    assert Counter(without_row(fact) for fact in first) == Counter(without_row(fact) for fact in second)


def test_days_come_in_lists_of_which_none_is_empty() -> None:
    days = list(FlightFile(zones=ZONES).days())

    assert 30 <= len(days) <= 32
    assert all(days)


def test_the_last_row_needs_no_line_end(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(HEADER + TO_HOUSTON + "\n" + CANCELLED)

    file = FlightFile(path, zones=ZONES)

    assert file.rows == 2
    assert [(fact.kind, fact.row) for fact in file.facts()] == [("departed", 0), ("arrived", 0), ("cancelled", 1)]


def test_a_file_without_rows_has_no_facts(tmp_path: Path) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(HEADER)

    assert list(FlightFile(path, zones=ZONES).days()) == []


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([TO_HOUSTON, "2013,1,1,517"], "row 2: "),
        ([TO_HOUSTON, ""], "row 2: does not begin with year, month and day"),
        ([TO_HOUSTON, "x,1,1,517"], "row 2: invalid literal"),
        ([TO_HOUSTON.replace(",830,", ",2401,")], "row 1: '2401' is not a time of day"),
        ([TO_HOUSTON.replace(",830,", ",1260,")], "row 1: '1260' is not a time of day"),
        ([TO_HOUSTON.replace(",515,2,", ",515,NA,")], "row 1: invalid literal"),
        ([TO_HOUSTON.replace("IAH", "QQQ")], "QQQ: is a destination without a known time zone"),
        ([TO_HOUSTON.replace("2013-01-01T10", "2012-12-31T10")], "row 1: leaves before its day begins in New York"),
        ([TO_HOUSTON.replace("2013", "2016")], "outside the shipped table of America/Chicago"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(tmp_path: Path, rows: list[str], reason: str) -> None:
    path = tmp_path / "flights.csv"
    path.write_text(HEADER + "".join(row + "\n" for row in rows))

    with pytest.raises(InvalidArgument, match=reason):
        list(FlightFile(path, zones=ZONES).facts())


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="needs the columns year, month, day, dep_time"):
        FlightFile(sources.WEATHER, zones=ZONES)


def as_reference(fact: Fact) -> reference.Event:
    delay = None if isinstance(fact, Cancelled) else fact.delay_min
    place = (fact.key, fact.carrier, fact.flight, fact.origin, fact.dest)
    return reference.Event(fact.at_ms, fact.row, fact.kind, *place, fact.scheduled_ms, delay)


def without_row(fact: Fact) -> tuple[str, int, str, int]:
    return fact.kind, fact.at_ms, fact.carrier, fact.flight


def day_of_rows(day: int) -> str:
    """A day of thirty flights, late ones among them, one of them past midnight."""
    chance = random.Random(day)
    lines = []
    for flight in range(30):
        hour, delay = 6 + flight // 2, chance.choice([-9, 0, 3, 1200])
        scheduled = datetime(2013, 1, day, hour, tzinfo=UTC).replace(hour=hour + 3)
        times = f"{hour}00,{hour}00,{delay},{chance.randrange(24)}{chance.randrange(10, 60)},NA,5"
        lines.append(
            f"2013,1,{day},{times},UA,{flight},N{flight},EWR,IAH,1,1,{hour},0,{scheduled:%Y-%m-%dT%H:00:00Z}\n"
        )
    return "".join(lines)
