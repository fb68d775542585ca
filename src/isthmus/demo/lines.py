"""What the demo's child tells its parent over the pipe, one JSON object to a line.

A line is written after the thing it tells of is durable, never before. The file knows no broker and no process.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec

from isthmus.demo.facts import Arrived, Cancelled, Departed
from isthmus.errors import InvariantError
from isthmus.record import Appended

KINDS: Final = (Departed.kind, Arrived.kind, Cancelled.kind)


class Run(msgspec.Struct, frozen=True, gc=False):
    """Events that lie side by side in a partition; `marks` says which they are, see `mark`."""

    partition: int
    base_offset: int
    marks: list[int]


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The broker is open and the handlers run; `resumed` events were found durable, of a file of `rows` rows."""

    rows: int
    resumed: int


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """A publish of flight events was acknowledged."""

    runs: list[Run]


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """Rebooking jobs, by row, whose settlement is durable."""

    rows: list[int]


class Handled(msgspec.Struct, frozen=True, tag="handled"):
    """Every group has handled so many events of flights, of so many that are in the log."""

    events: int
    stored: int


class Stage(msgspec.Struct, frozen=True, tag="stage"):
    """A part of the work is done: how many of what, in how many seconds, and what it counted (names to figures)."""

    name: str
    count: int
    seconds: float
    figures: dict[str, int] = {}


Line: TypeAlias = Begun | Acknowledged | Settled | Handled | Stage

_encode: Final = msgspec.json.Encoder().encode
_decode: Final[Callable[[bytes], Line]] = msgspec.json.Decoder(Line).decode


def to_line(line: Line) -> bytes:
    """The line's bytes, its end included."""
    return _encode(line) + b"\n"


def from_line(data: bytes) -> Line | None:
    """What a line says; None of one without an end, whose writer was killed in the middle of it.

    Raises:
        InvariantError: it is no line of ours.
    """
    if not data.endswith(b"\n"):
        return None
    try:
        return _decode(data)
    except msgspec.DecodeError as error:
        raise InvariantError(f"the demo's child wrote {data[:200]!r}: {error}") from error


def mark(row: int, kind: str) -> int:
    """One number for one event of the file: each row has at most one event of a kind."""
    return row * len(KINDS) + KINDS.index(kind)


def is_flight(marked: int) -> bool:
    """Whether the event stands for its row: a departure or a cancellation, of which each row has exactly one."""
    return KINDS[marked % len(KINDS)] != Arrived.kind


def runs_of(appended: Iterable[Appended], marks: list[int]) -> list[Run]:
    """Where the events of a publish are; `marks` in the order in which they were published."""
    return [
        Run(each.partition, each.base_offset, [marks[index] for index in each.indexes] if each.indexes else list(marks))
        for each in appended
    ]
