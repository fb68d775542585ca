"""Pieces of partitions as they arrive from a foreign broker, and their sizes.

Data and arithmetic only; it waits for nothing.
"""

from collections.abc import Sequence

from msgspec import Struct

from isthmus.record import StoredRecord

Place = tuple[str, int]
"""Topic and index of a partition."""


class Piece(Struct, frozen=True):
    """Records of one partition in offset order, up to `end_offset`; `at_end` when there are no more at the moment."""

    place: Place
    records: Sequence[StoredRecord]
    end_offset: int
    at_end: bool = False


def size_of(records: Sequence[StoredRecord]) -> int:
    """Bytes that records take, about."""
    return sum([len(each.value or b"") + len(each.key or b"") + len(each.headers) for each in records])


def fitting(records: Sequence[StoredRecord], max_bytes: int) -> Sequence[StoredRecord]:
    """The first of these that fit into some bytes, at least one."""
    total = 0
    for at, record in enumerate(records):
        total += size_of((record,))
        if total > max_bytes and at:
            return records[:at]
    return records
