"""What the process that is killed tells its parent: one JSON object to a line, after what it tells of is so."""

from typing import Final, TypeAlias

import msgspec

ORDERS: Final = "orders"
GROUP: Final = "audit"
JOBS: Final = "jobs"
SEEN: Final = "seen"
DONE: Final = "done"
"""A stream with a group, a queue, and the topics to which each publishes what it has settled, in the same unit."""

DEAD: Final = {JOBS: "jobs.dead", ORDERS: "orders.audit.dead"}
OUTPUT: Final = {JOBS: DONE, ORDERS: SEEN}
PARTITIONS: Final = {ORDERS: 2, JOBS: 2, SEEN: 1, DONE: 1, DEAD[JOBS]: 1, DEAD[ORDERS]: 1}

IDS_PER_LIFE: Final = 1_000_000
PAD_MAX: Final = 1_500

Place: TypeAlias = tuple[int, int]
"""Partition and offset."""


def pad_of(number: int) -> str:
    """The content of the event of that number."""
    return chr(97 + number % 26) * (number * 37 % PAD_MAX)


class Payload(msgspec.Struct, frozen=True):
    """What orders and jobs hold."""

    id: int
    pad: str


class Output(msgspec.Struct, frozen=True):
    """What is published in the unit that settles an event: where that stood, and which one it was."""

    partition: int
    offset: int
    id: int


class Opening(msgspec.Struct, frozen=True, tag="opening"):
    """The process is about to open the store."""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The store is open and everything declared."""


class Published(msgspec.Struct, frozen=True, tag="published"):
    """Acknowledged: partition, offset, id."""

    topic: str
    rows: list[tuple[int, int, int]]


class Taken(msgspec.Struct, frozen=True, tag="taken"):
    """Handed out: partition, offset, attempt, failures before."""

    topic: str
    rows: list[tuple[int, int, int, int]]


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """Settled, with its output."""

    topic: str
    rows: list[Place]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """A failure was counted: partition, offset, failures now."""

    topic: str
    rows: list[tuple[int, int, int]]


class Died(msgspec.Struct, frozen=True, tag="died"):
    """Moved to the dead letters."""

    topic: str
    rows: list[Place]


class Redriven(msgspec.Struct, frozen=True, tag="redriven"):
    """Dead letters were moved home."""

    topic: str
    count: int


Line: TypeAlias = Opening | Begun | Published | Taken | Settled | Failed | Died | Redriven

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Line)


def to_line(line: Line) -> bytes:
    """The bytes of a line."""
    return _encoder.encode(line) + b"\n"


def from_line(data: bytes) -> Line | None:
    """What a line says; None for one whose writer was killed within it."""
    return _decoder.decode(data) if data.endswith(b"\n") else None
