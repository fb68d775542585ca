"""Dead letters: what is written when a record dies, how it is read back, and the way home.

A dead letter is an ordinary record in an ordinary queue: the dead record's key, value and headers, and headers that say
why, with the history of its deaths. Redriving takes them off again.
"""

from collections.abc import Sequence
from typing import Final

from isthmus.broker.deaths import DEATHS, FIRST_DEATH
from isthmus.broker.publishing import CAUSE, DEDUP, DUE, EXPIRE, ONLY
from isthmus.errors import RequestError
from isthmus.limits import REASON_BYTES_MAX
from isthmus.log.headers import append_headers, decode_headers, encode_headers, header_value
from isthmus.record import NO_HEADERS, Record, StoredRecord
from isthmus.views import DeadLetter

ORIGIN: Final = "isthmus-origin"
REASON: Final = "isthmus-reason"
TRACEBACK: Final = "isthmus-traceback"
FAILED: Final = "isthmus-failed"
DIED: Final = "isthmus-died"
OWN: Final = frozenset({CAUSE, ORIGIN, REASON, TRACEBACK, FAILED, DIED, DUE, EXPIRE, DEDUP, ONLY, DEATHS, FIRST_DEATH})
"""Headers that belong to one life of a record and do not follow it into the next."""

QUEUE: Final = "queue:"
GROUP: Final = "group:"


def letter(  # the fields of a dead letter
    record: StoredRecord,
    *,
    cause: str,
    origin: str,
    reason: str,
    traceback: str,
    failed: int,
    now_ms: int,
    more: Sequence[tuple[str, bytes | None]] = (),
) -> Record:
    """The record to append to the dead letters.

    Args:
        record: what died.
        cause: where it is, as topic/partition/offset.
        origin: whose it was, `queue:<name>` or `group:<name>`.
        reason: one line; cut to REASON_BYTES_MAX.
        traceback: the last part of it is kept.
        failed: how often it failed.
        now_ms: time of death.
        more: headers of it besides.
    """
    rows: list[tuple[str, bytes | None]] = [
        (CAUSE, cause.encode()),
        (ORIGIN, origin.encode()),
        (REASON, _tail(reason)),
        (TRACEBACK, _tail(traceback)),
        (FAILED, str(failed).encode()),
        (DIED, str(now_ms).encode()),
        *more,
    ]
    try:
        headers = append_headers(without_own(record.headers), rows)
    except RequestError:
        # The header block came from outside and cannot be read: the record must die all the same.
        headers = append_headers(NO_HEADERS, rows)
    return Record(record.value, record.key, headers, record.timestamp_ms)


def _tail(text: str) -> bytes:
    return text.encode(errors="replace")[-REASON_BYTES_MAX:]


def without_own(block: bytes) -> bytes:
    """A header block without what belongs to one life of a record."""
    if b"isthmus-" not in block:
        return block
    return encode_headers([(name, value) for name, value in decode_headers(block) if name not in OWN])


def text_of(block: bytes, name: str) -> str:
    """A header as text, empty when it is not there."""
    value = header_value(block, name)
    return value.decode(errors="replace") if value is not None else ""


def home_of(record: StoredRecord) -> tuple[str, str]:
    """Where a dead letter came from: its origin, and the topic of its cause (names may hold slashes)."""
    return text_of(record.headers, ORIGIN), text_of(record.headers, CAUSE).rsplit("/", 2)[0]


def revived(record: StoredRecord, group: str | None) -> Record:
    """The record to append at home; `group` is the one stream group that it is for."""
    rows: list[tuple[str, bytes | None]] = [(CAUSE, text_of(record.headers, CAUSE).encode())]
    if group is not None:
        rows.append((ONLY, group.encode()))
    return Record(record.value, record.key, append_headers(without_own(record.headers), rows), record.timestamp_ms)


def view(topic: str, partition: int, record: StoredRecord) -> DeadLetter:
    """For `dlq ls` and `dlq show`."""
    block = record.headers
    return DeadLetter(
        topic=topic,
        partition=partition,
        record=record,
        cause=text_of(block, CAUSE),
        reason=text_of(block, REASON),
        traceback=text_of(block, TRACEBACK),
        failed=_number_of(block, FAILED),
        died_ms=_number_of(block, DIED),
    )


def _number_of(block: bytes, name: str) -> int:
    """A header as a number; 0 for what somebody else put there."""
    text = text_of(block, name)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
