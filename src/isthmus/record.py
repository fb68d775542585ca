"""The nouns that travel: records as producers hand them in, as the log stores them, and as queues lease them.

One set of structs goes from the client to the disk without translation. This file holds data only: no behaviour,
no I/O, no wire term.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

NO_HEADERS: Final = b"\x00"
"""The encoded header block of a record without headers (a zigzag varint count of 0)."""


class Record(Struct, frozen=True, gc=False):
    """What a producer hands in.

    `headers` is an encoded header block in the layout of Kafka's record format v2 (`log/batch.py` encodes and decodes
    it), so that a constant block costs nothing per record. `timestamp_ms` is milliseconds since 1970 UTC; -1 asks the
    broker to stamp the time of append. `key` None means "no key"; `b""` is a key. `value` None is a tombstone.
    """

    value: bytes | None
    key: bytes | None = None
    headers: bytes = NO_HEADERS
    timestamp_ms: int = -1


class StoredRecord(Struct, frozen=True, gc=False):
    """One record as the log gives it back: the same bytes, with the offset that names it in its partition."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes


class Appended(Struct, frozen=True, gc=False):
    """Where a batch went: offsets `base_offset` to `base_offset + count`, exclusive, of one partition.

    `duplicate` says that the broker had the batch already (same producer sequence or de-duplication id) and that the
    offsets are those of the first time. `indexes` says which of the records that were handed in these are, in offset
    order; None is "all of them, in the order given".
    """

    topic: str
    partition: int
    base_offset: int
    count: int
    timestamp_ms: int
    duplicate: bool = False
    indexes: Sequence[int] | None = None


class Lease(Struct, frozen=True, gc=False):
    """The right to one record of a queue until it is settled, released or expired.

    `partition` is the partition id (not the index in the topic). `acquired` counts hand-overs including this one and
    names the lease: a later hand-over of the same offset has a higher count, so an old lease can be told apart.
    `failed` counts the failures before this hand-over. `until_ms` is on the broker's monotonic clock; None means that
    the lease lasts as long as its session.
    """

    queue: int
    partition: int
    offset: int
    acquired: int
    failed: int
    until_ms: int | None


class Leased(Struct, frozen=True, gc=False):
    """A lease together with the record that it is for."""

    lease: Lease
    record: StoredRecord
