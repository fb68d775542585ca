"""Headers with which the engine marks records: when they are due, until when they count, and what a copy is a copy of.

The broker behind knows none of it, so it travels with the record, and whoever consumes acts on it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from isthmus.broker.publishing import DUE, EXPIRE, ONLY, PREFIX
from isthmus.log.headers import append_headers, decode_headers, header_value
from isthmus.record import NO_HEADERS, Record, StoredRecord

RETRY: Final = "isthmus-retry"
"""On the copy of a failed record: failures, hand-overs and topic/partition/offset of the first, parted by spaces."""


class Origin(Struct, frozen=True):
    """What a record that failed before is a copy of: its place, how often it failed and was handed out."""

    cause: str
    failed: int = 0
    acquired: int = 0


def origin_of(record: StoredRecord, topic: str, partition: int) -> Origin:
    """Where a record began."""
    value = header_value(record.headers, RETRY) if PREFIX in record.headers else None
    words = value.decode(errors="replace").split(" ", 2) if value is not None else []
    if len(words) == 3 and words[0].isdecimal() and words[1].isdecimal():
        return Origin(words[2], int(words[0]), int(words[1]))
    return Origin(f"{topic}/{partition}/{record.offset}")


def retried(record: StoredRecord, origin: Origin, due_ms: int) -> Record:
    """The copy of a record that waits for its next time."""
    rows = [
        (RETRY, f"{origin.failed} {origin.acquired} {origin.cause}".encode()),
        (DUE, str(due_ms).encode()),
    ]
    return Record(record.value, record.key, append_headers(bare(record).headers, rows), record.timestamp_ms)


def bare(record: StoredRecord) -> StoredRecord:
    """A record as its publisher made it, without the marks of a copy."""
    if RETRY.encode() not in record.headers:
        return record
    rows = list(decode_headers(record.headers))
    at = max(index for index, (name, _) in enumerate(rows) if name == RETRY)
    kept = [*rows[:at], *(row for row in rows[at + 1 :] if row[0] != DUE)]
    return StoredRecord(record.offset, record.timestamp_ms, record.key, record.value, append_headers(NO_HEADERS, kept))


def due_of(record: StoredRecord) -> int:
    """When a record may be handed out, ms since 1970 UTC; 0 is at once."""
    return _time(record, DUE)


def is_over(record: StoredRecord, now_ms: int, ttl_ms: int | None) -> bool:
    """Whether a record's time to live has ended."""
    expire_ms = _time(record, EXPIRE)
    if expire_ms and expire_ms <= now_ms:
        return True
    return ttl_ms is not None and 0 <= record.timestamp_ms <= now_ms - ttl_ms


def is_for(record: StoredRecord, group: str | None) -> bool:
    """Whether a record is for this group: one that came home from the dead letters may be for another alone."""
    if PREFIX not in record.headers:
        return True
    only = header_value(record.headers, ONLY)
    return only is None or group is None or only.decode(errors="replace") == group


def stamped(record: Record, now_ms: int) -> Record:
    """A record with the time of its publishing, when it has none of its own."""
    return record if record.timestamp_ms >= 0 else Record(record.value, record.key, record.headers, now_ms)


def marked(records: Sequence[Record], rows: Sequence[tuple[str, bytes | None]]) -> Sequence[Record]:
    """Records with more headers."""
    if not rows:
        return records
    return [Record(each.value, each.key, append_headers(each.headers, rows), each.timestamp_ms) for each in records]


def _time(record: StoredRecord, name: str) -> int:
    if PREFIX not in record.headers:
        return 0
    value = header_value(record.headers, name)
    return int(value) if value is not None and value.isdigit() and len(value) < 20 else 0
