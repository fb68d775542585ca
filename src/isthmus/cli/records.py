"""Records as JSON and as text: one form for `tail`, `peek` and `dlq`, which `pub` reads back.

Payloads are bytes of anybody: JSON is passed on as it is written, other text and bytes are marked as such.
"""

from base64 import b64encode
from typing import Any, Final

import msgspec

from isthmus.cli.output import one_line, time_text
from isthmus.errors import InvalidBatch
from isthmus.log.headers import decode_headers
from isthmus.record import StoredRecord

TYPE_HEADER: Final = "ce_type"
VALUE_SHOWN: Final = 200
"""Characters of a payload in a table; --format json and raw show all of it."""

COLUMNS: Final = ("time", "partition", ">offset", "key", "type", "value")


def record_row(topic: str, partition: int, record: StoredRecord) -> dict[str, Any]:
    """A record for machines.

    Always there: `topic`, `partition`, `offset`, `time` (ISO 8601, UTC), `timestamp_ms`, `key`, `type`, `headers` (the
    last one of each name) and one of `value` (JSON), `value_text`, `value_base64`. A key that is no text stands in
    `key_base64`. A tombstone has `value` null and `tombstone` true.
    """
    headers = headers_of(record)
    row: dict[str, Any] = {
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "time": time_text(record.timestamp_ms),
        "timestamp_ms": record.timestamp_ms,
        "key": None,
        "type": _plain(headers.get(TYPE_HEADER)),
        "headers": {name: _plain(value) for name, value in headers.items()},
    }
    if record.key is not None:
        row |= _text_or_base64("key", record.key)
    return row | value_fields(record.value)


def headers_of(record: StoredRecord) -> dict[str, bytes | None]:
    """The headers by name; none when the block, which comes from outside, cannot be read."""
    try:
        return dict(decode_headers(record.headers))
    except InvalidBatch:
        return {}


def _plain(value: bytes | None) -> str | None:
    """A header's value as text; bytes that are none are written out, as Python does."""
    return None if value is None else value.decode(errors="backslashreplace")


def _text_or_base64(name: str, data: bytes) -> dict[str, Any]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(data).decode()}


def value_fields(value: bytes | None) -> dict[str, Any]:
    """The payload as fields of a row."""
    if value is None:
        return {"value": None, "tombstone": True}
    found = as_json(value)
    if found is not None:
        return {"value": msgspec.Raw(found)}
    fields = _text_or_base64("value", value)
    return {"value_text": fields["value"]} if "value" in fields else fields


def as_json(value: bytes) -> bytes | None:
    """The same JSON on one line, numbers as they were written; None when it is none."""
    try:
        msgspec.json.decode(value)
        value.decode()
        return msgspec.json.format(value, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def text_of(data: bytes | None) -> str:
    """Bytes for people, on one line: text where it is text."""
    return "-" if data is None else one_line(data.decode(errors="backslashreplace"))


def record_cells(partition: int, record: StoredRecord) -> tuple[str, ...]:
    """A record as cells under `COLUMNS`, in full length."""
    kind = headers_of(record).get(TYPE_HEADER)
    value = "(deleted)" if record.value is None else text_of(record.value)
    return (
        time_text(record.timestamp_ms),
        str(partition),
        str(record.offset),
        text_of(record.key),
        text_of(kind),
        value,
    )


def shortened(text: str, length: int = VALUE_SHOWN) -> str:
    """The beginning of a text, with a mark when there is more."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
