"""The offsets that the demo ships, and the first instant at which a clock shows a time."""

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.demo import reference, sources
from isthmus.demo.zones import DAY_MIN, Period, Zone, minute_of, zones_of
from isthmus.errors import InvalidArgument

ZONES = zones_of(
    Period(row["zone"], minute_of(row["start"]), minute_of(row["end"]), int(row["offset_min"]))
    for row in reference.read(sources.ZONES)
)
NAMES = sorted(ZONES)
START = minute_of("2012-01-01T00:00Z")
END = minute_of("2015-01-01T00:00Z")


def stepped(zone: Zone, after_min: int, clock_min: int) -> int:
    """The rule, word by word: look at the clock minute by minute."""
    at_min = after_min + 1
    while (at_min + zone.offset_min(at_min)) % DAY_MIN != clock_min:
        at_min += 1
    return at_min


@pytest.mark.parametrize("name", NAMES)
def test_the_table_agrees_with_the_time_zone_database_at_every_half_hour(name: str) -> None:
    try:
        zone = zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip(f"this machine's time zone database lacks {name}")

    for at_min in range(START, END, 30):
        there = datetime.fromtimestamp(at_min * 60, zone).utcoffset()
        assert there == timedelta(minutes=ZONES[name].offset_min(at_min)), at_min


def test_the_reference_knows_the_same_zones_and_offsets_by_rule() -> None:
    assert sorted(reference.ZONES) == NAMES
    for name in NAMES:
        for at_min in range(START, END, 60):
            hours = reference.offset_hours(name, datetime.fromtimestamp(at_min * 60, UTC))
            assert hours * 60 == ZONES[name].offset_min(at_min), (name, at_min)


@given(
    name=st.sampled_from(NAMES),
    after=st.one_of(
        st.integers(START, END - 4 * DAY_MIN),
        st.integers(minute_of("2013-03-09T00:00Z"), minute_of("2013-03-11T12:00Z")),
        st.integers(minute_of("2013-11-02T00:00Z"), minute_of("2013-11-04T12:00Z")),
    ),
    clock=st.integers(0, DAY_MIN - 1),
)
def test_the_next_showing_is_what_looking_at_the_clock_each_minute_finds(name: str, after: int, clock: int) -> None:
    expected = stepped(ZONES[name], after, clock)

    assert ZONES[name].next_showing(after, clock) == expected

    shown = clock // 60 * 100 + clock % 60
    assert reference.first_showing(name, datetime.fromtimestamp(after * 60, UTC), shown).timestamp() == expected * 60


@pytest.mark.parametrize(
    ("after", "clock", "expected"),
    [
        ("2013-01-15T15:00Z", "10:00", "2013-01-16T15:00Z"),  # shown at that very instant: not after it
        ("2013-01-15T15:00Z", "10:01", "2013-01-15T15:01Z"),
        ("2013-01-15T15:00Z", "00:00", "2013-01-16T05:00Z"),
        ("2013-03-10T06:30Z", "03:05", "2013-03-10T07:05Z"),  # clocks went from 2:00 to 3:00
        ("2013-03-10T06:30Z", "02:30", "2013-03-11T06:30Z"),  # left out that night, shown in the next
        ("2013-11-03T05:10Z", "01:30", "2013-11-03T05:30Z"),  # shown twice: the first time
        ("2013-11-03T05:40Z", "01:30", "2013-11-03T06:30Z"),  # shown twice: the second time
        ("2013-11-03T05:40Z", "02:15", "2013-11-03T07:15Z"),
    ],
)
def test_a_change_of_the_clock_in_new_york_is_minded(after: str, clock: str, expected: str) -> None:
    hour, minute = clock.split(":")

    found = ZONES["America/New_York"].next_showing(minute_of(after), int(hour) * 60 + int(minute))

    assert found == minute_of(expected)


@pytest.mark.parametrize("at", ["2011-12-31T23:59Z", "2015-01-01T00:00Z"])
def test_an_instant_outside_the_table_is_refused(at: str) -> None:
    with pytest.raises(InvalidArgument, match="outside the shipped table of America/Denver"):
        ZONES["America/Denver"].offset_min(minute_of(at))


def test_a_showing_that_the_table_does_not_reach_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="outside the shipped table"):
        ZONES["America/New_York"].next_showing(END - 1, 0)
