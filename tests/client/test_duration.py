"""Durations, sizes and starting points."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from isthmus.client.duration import duration_ms, size_bytes, start_at, time_ms
from isthmus.errors import InvalidArgument

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0ms", 0), ("5ms", 5), ("30s", 30_000), ("15m", 900_000), ("2h", 7_200_000), ("7d", 604_800_000)],
)
def test_a_duration_is_an_integer_with_a_unit(text: str, ms: int) -> None:
    assert duration_ms(text, "lease") == ms


def test_a_timedelta_is_a_duration() -> None:
    assert duration_ms(timedelta(seconds=1.5), "lease") == 1500


@pytest.mark.parametrize(
    "value", ["", "5", "s", "1.5s", "-1s", "5 s", "5S", "5w", "5s ", "\u0665s", "9" * 16 + "d", 30, None, timedelta(-1)]
)
def test_what_is_no_duration_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^lease: ") as caught:
        duration_ms(value, "lease")

    assert caught.value.argument == "lease"


@pytest.mark.parametrize(
    ("text", "size"),
    [("1B", 1), ("64KB", 64_000), ("64KiB", 65_536), ("2MB", 2_000_000), ("2MiB", 2_097_152), ("1GB", 10**9), (7, 7)],
)
def test_a_size_is_an_integer_with_a_unit_or_a_number_of_bytes(text: str | int, size: int) -> None:
    assert size_bytes(text, "batch") == size


@pytest.mark.parametrize("value", ["", "64", "64kb", "1.5MB", "-1B", "KB", -1, True, None, 1.0])
def test_what_is_no_size_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^batch: "):
        size_bytes(value, "batch")


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        (17, 17),
        ("17", 17),
        ("-1h", ("time", NOW_MS - 3_600_000)),
        ("1970-01-01T00:00:01Z", ("time", 1000)),
        ("1970-01-01T00:00:01", ("time", 1000)),
        ("1970-01-01T01:00:01+01:00", ("time", 1000)),
        ("1970-01-02", ("time", 86_400_000)),
        (datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC), ("time", 2000)),
    ],
)
def test_reading_starts_at_an_end_an_offset_a_time_or_an_age(value: str, start: object) -> None:
    assert start_at(value, NOW_MS) == start


def test_an_age_before_1970_is_1970() -> None:
    assert start_at("-40000d", NOW_MS) == ("time", 0)


@pytest.mark.parametrize("value", ["", "yesterday", "-1", "-", -1, 1.5, None, True, "1h"])
def test_what_is_no_start_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^start: "):
        start_at(value, NOW_MS)


def test_a_datetime_without_a_zone_names_no_instant() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point

    with pytest.raises(InvalidArgument, match="no time zone"):
        start_at(naive, NOW_MS)
    with pytest.raises(InvalidArgument, match="no time zone"):
        time_ms(naive, "at")


def test_a_datetime_is_counted_from_1970_utc() -> None:
    there = timezone(timedelta(hours=2))

    assert time_ms(datetime(1970, 1, 1, 2, 0, 1, 500_000, tzinfo=there), "at") == 1500
