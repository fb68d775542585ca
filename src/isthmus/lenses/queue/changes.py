"""What a ledger decides and tells, as data: changes, held leases, counts, slices of a checkpoint. Pure.

No state and no decision is here; the queue turns changes into facts and back.
"""

from collections.abc import Iterable
from struct import Struct as Layout
from typing import Final, Literal, NamedTuple

from msgspec import Struct

Range = tuple[int, int]
"""Offsets `start` to `end`, exclusive."""

Kind = Literal["leased", "released", "settled"]
Why = Literal["acked", "rejected", "dead", "expired", "purged", "trimmed", "gap", "dropped"]
"""Why an offset is settled; a gap is an offset without a record, dropped is what was too much for the queue."""

WHYS: Final[tuple[Why, ...]] = ("acked", "rejected", "dead", "expired", "purged", "trimmed", "gap", "dropped")
"""In the order of the counts in a checkpoint; more may follow."""

DUE_NEVER: Final = -1
"""The due time of what is dying."""

UNTIL_NEVER: Final = 1 << 62
"""The end of a lease without time limit."""

LEDGER_ROW: Final = Layout("<qqqIIB")
"""A row in a checkpoint: start, end, at_ms, acquired, failed, state. See docs/formats/ledger.md."""


class Change(Struct, frozen=True, gc=False):
    """A step of some offsets, decided and to be journalled: the counts are those after it.

    `due_ms` of a release is on the wall clock, 0 for at once, `DUE_NEVER` for what is dying.
    """

    kind: Kind
    ranges: tuple[Range, ...]
    acquired: int = 0
    failed: int = 0
    due_ms: int = 0
    why: Why = "acked"


class Held(NamedTuple):
    """Offsets that are leased with equal counts."""

    start: int
    end: int
    acquired: int
    failed: int


class Counts(Struct, frozen=True):
    """Where the records of a queue are; `enqueued` is the sum of all others."""

    enqueued: int = 0
    ready: int = 0
    leased: int = 0
    delayed: int = 0
    dying: int = 0
    acked: int = 0
    rejected: int = 0
    dead: int = 0
    expired: int = 0
    purged: int = 0
    trimmed: int = 0
    dropped: int = 0


class Slice(Struct, frozen=True):
    """A part of a ledger's applied state for a checkpoint; the first has the counts, and none is without the floor."""

    floor: int
    done: tuple[Range, ...]
    rows: bytes
    counts: tuple[int, ...] = ()
    ages: tuple[Range, ...] = ()


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same offsets in rising, disjoint ranges."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)
