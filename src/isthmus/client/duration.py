"""Durations, sizes and starting points as people write them, turned into milliseconds, bytes and port terms.

Pure: the present is an argument. It guesses nothing: a bare number where a unit is needed is refused.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from isthmus.engines.base import Start
from isthmus.errors import InvalidArgument

Duration = str | timedelta
"""An integer with one of the units ms, s, m, h, d ("15m"), or a timedelta."""

Size = str | int
"""An integer with one of the units B, KB, MB, GB (1000) or KiB, MiB, GiB (1024), or a plain number of bytes."""

StartAt = int | str | datetime
"""An offset, "earliest", "latest", an age such as "-1h", a time in ISO 8601, or a datetime with a time zone."""

_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES: Final = {
    "B": 1,
    "KB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
_DURATION: Final = re.compile(r"(\d{1,15})(ms|s|m|h|d)", re.ASCII)
_SIZE: Final = re.compile(r"(\d{1,15})(B|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DURATION_FORM: Final = 'write an integer and a unit of ms, s, m, h or d, such as "30s"'
_SIZE_FORM: Final = 'write an integer and a unit of B, KB, MB, GB, KiB, MiB or GiB, such as "64KB"'


def duration_ms(value: Duration, argument: str) -> int:
    """Milliseconds of a duration; `argument` names it in the error.

    Raises:
        InvalidArgument: it is not a duration, or a negative one.
    """
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise InvalidArgument(argument, f"{value} is negative")
        return value // _MILLISECOND
    found = _DURATION.fullmatch(str(value))
    if found is None:
        raise InvalidArgument(argument, f"{value!r} is not a duration; {_DURATION_FORM}")
    return int(found[1]) * _MS[found[2]]


def size_bytes(value: Size, argument: str) -> int:
    """Bytes of a size; `argument` names it in the error.

    Raises:
        InvalidArgument: it is not a size, or a negative one.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise InvalidArgument(argument, f"{value} is negative")
        return value
    found = _SIZE.fullmatch(str(value))
    if found is None:
        raise InvalidArgument(argument, f"{value!r} is not a size; {_SIZE_FORM}")
    return int(found[1]) * _BYTES[found[2]]


def time_ms(value: datetime, argument: str) -> int:
    """Milliseconds since 1970 UTC of a datetime.

    Raises:
        InvalidArgument: it has no time zone, so it names no instant.
    """
    if value.tzinfo is None:
        raise InvalidArgument(argument, f"{value} has no time zone; use datetime(..., tzinfo=UTC)")
    return (value - datetime(1970, 1, 1, tzinfo=UTC)) // _MILLISECOND


def start_at(value: StartAt, now_ms: int, argument: str = "start") -> Start:
    """Where reading starts, in the terms of the port.

    Args:
        value: see `StartAt`; a time in text without an offset is UTC.
        now_ms: milliseconds since 1970 UTC, from which an age is counted back.

    Raises:
        InvalidArgument: it is none of the forms.
    """
    if isinstance(value, datetime):
        return ("time", time_ms(value, argument))
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise InvalidArgument(argument, f"offset {value} is negative")
        return value
    if isinstance(value, str):
        return _start_of_text(value, now_ms, argument)
    raise InvalidArgument(argument, f"{value!r} is no place to start; {_START_FORM}")


_START_FORM: Final = (
    'use "earliest", "latest", an offset, a time such as "2026-01-31T12:00:00Z", or an age such as "-1h"'
)
_ENDS: Final[dict[str, Literal["earliest", "latest"]]] = {"earliest": "earliest", "latest": "latest"}


def _start_of_text(text: str, now_ms: int, argument: str) -> Start:
    if text in _ENDS:
        return _ENDS[text]
    if text.startswith("-"):
        return ("time", max(0, now_ms - duration_ms(text[1:], argument)))
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidArgument(argument, f"{text!r} is no place to start; {_START_FORM}") from error
    return ("time", time_ms(when if when.tzinfo else when.replace(tzinfo=UTC), argument))
