"""Input as records: JSON lines, CSV, lines and whole files, read in pieces and named by line where they are wrong.

It reads and parses and publishes nothing. What it holds is bounded, however long the input is.
"""

import asyncio
import csv
import os
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import UnsupportedOperation
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, Final, Literal

import msgspec

from isthmus.errors import InvalidArgument, RequestError
from isthmus.limits import BATCH_EVENTS_MAX, MIB, RECORD_BYTES_CEILING
from isthmus.record import NO_HEADERS, Record

Form = Literal["auto", "json", "csv", "lines", "raw"]

BATCH_BYTES: Final = 1 * MIB
LINE_BYTES_MAX: Final = 2 * RECORD_BYTES_CEILING
"""A line that is longer cannot be one event, however it is written."""

ENVELOPE: Final = frozenset("key key_base64 value value_text value_base64 tombstone headers type".split()) | frozenset(
    "topic partition offset time timestamp_ms".split()
)
"""What `tail --format json` writes; the second five are read and not used."""
PAYLOADS: Final = ("value", "value_text", "value_base64", "tombstone")
RESERVED: Final = "isthmus-"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)


class BadLine(InvalidArgument):
    """A line of the input that cannot be an event. `published` events before it were acknowledged."""

    def __init__(self, line: int, reason: str, published: int = 0) -> None:
        before = {0: "nothing was published", 1: "the event before it is published"}
        told = before.get(published, f"the {published:,} events before it are published")
        super().__init__(f"line {line}", f"{reason}; {told}")
        self.line, self.problem, self.published = line, reason, published


class Numbered(msgspec.Struct, frozen=True):
    """A record and the line of the input on which it began."""

    line: int
    record: Record


class Wanted(msgspec.Struct, kw_only=True):
    """How input becomes records; `types` and `codec` are those of the destination."""

    form: Form
    key: tuple[str, ...]
    kind: str | None = None
    numbers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    codec: str = "json"


def fields_of(text: str | None) -> tuple[str, ...]:
    """Field names of a key: `a` or `a,b`."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


# ---- reading -------------------------------------------------------------------------------------------------------


class Reader:
    """Asks an iterator for one item after the other on a thread of its own.

    The thread is a daemon: whoever interrupts the program must not have to wait for a line that nobody types.
    """

    def __init__(self, found: Iterator[list[Numbered]]) -> None:
        self._found = found
        self._asked: SimpleQueue[asyncio.Future[list[Numbered] | None]] = SimpleQueue()
        Thread(target=self._run, name="isthmus-input", daemon=True).start()

    async def next(self) -> list[Numbered] | None:
        """The next item, None at the end; raises what the iterator does."""
        future: asyncio.Future[list[Numbered] | None] = asyncio.get_running_loop().create_future()
        self._asked.put(future)
        return await future

    def _run(self) -> None:
        while True:
            future = self._asked.get()
            batch: list[Numbered] | None = None
            error: Exception | None = None
            try:
                batch = next(self._found, None)
            except Exception as found:  # noqa: BLE001 - whatever it is, the one who asked gets it
                error = found
            with suppress(RuntimeError):  # the loop was closed while the input was waited for
                future.get_loop().call_soon_threadsafe(_answer, future, batch, error)


def _answer(
    future: "asyncio.Future[list[Numbered] | None]", batch: list[Numbered] | None, error: Exception | None
) -> None:
    if future.done():  # cancelled
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(batch)


class Source:
    """Lines of a file or pipe as they come; `line` and `position` (bytes) say how far it is.

    `drained` says that the next line would have to be waited for: so what somebody types, or a slow program writes, is
    published when it is there and not when a batch is full.
    """

    def __init__(self, file: BinaryIO, read_bytes: int) -> None:
        self._file = file
        self._read_bytes = read_bytes
        self._lines: list[bytes] = []
        self._rest = b""
        self._ended = False
        self.line = 0
        self.position = 0

    @property
    def drained(self) -> bool:
        """Whether no whole line is at hand."""
        return not self._lines

    def __iter__(self) -> Iterator[bytes]:
        """Lines with their ends, but for a last one without."""
        while self._lines or self._fill():
            self.line += 1
            line = self._lines.pop()
            self.position += len(line)
            yield line

    def _fill(self) -> bool:
        while not self._lines and not self._ended:
            data = self._read()
            self._ended = not data
            whole = self._rest + data
            cut = len(whole) if self._ended else whole.rfind(b"\n") + 1
            self._rest = whole[cut:]
            if len(self._rest) > LINE_BYTES_MAX:
                raise BadLine(self.line + 1, f"it is longer than {LINE_BYTES_MAX} bytes")
            # Backwards, so that taking one from the end is taking the next.
            self._lines = _lines(whole[:cut])
        return bool(self._lines)

    def _read(self) -> bytes:
        """What is there, without waiting for more; past Python's buffer, whose lock would outlive an interrupt."""
        try:
            return os.read(self._file.fileno(), self._read_bytes)
        except UnsupportedOperation:  # bytes in memory
            return self._file.read(self._read_bytes)


def _lines(data: bytes) -> list[bytes]:
    """Split at line feeds only: a carriage return alone is content."""
    parts = data.split(b"\n")
    return [*([parts[-1]] if parts[-1] else []), *(part + b"\n" for part in reversed(parts[:-1]))]


def batches(source: Source, wanted: Wanted, events_max: int = BATCH_EVENTS_MAX) -> Iterator[list[Numbered]]:
    """Batches bounded in events and bytes; a batch ends early when the next line is not there yet.

    Raises:
        BadLine: after everything before that line was given.
    """
    batch: list[Numbered] = []
    size = 0
    try:
        for each in records(source, wanted):
            batch.append(each)
            size += len(each.record.value or b"")
            if len(batch) >= events_max or size >= BATCH_BYTES or source.drained:
                yield batch
                batch, size = [], 0
    except BadLine:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def records(source: Source, wanted: Wanted) -> Iterator[Numbered]:
    """The records of the input in order. Empty lines are passed over."""
    match wanted.form:
        case "csv":
            yield from _csv_records(source, wanted)
        case "raw":
            whole = _whole(source)
            if whole:
                yield Numbered(1, _line_record(whole, 1, wanted))
        case _:
            for line in source:
                text = line.rstrip(b"\r\n")
                if text:
                    yield Numbered(source.line, _line_record(text, source.line, wanted))


def _whole(source: Source) -> bytes:
    parts: list[bytes] = []
    size = 0
    for line in source:
        parts.append(line)
        size += len(line)
        if size > RECORD_BYTES_CEILING:
            raise BadLine(1, f"the input is longer than {RECORD_BYTES_CEILING} bytes, the most that one event can have")
    return b"".join(parts)


def _line_record(text: bytes, line: int, wanted: Wanted) -> Record:
    try:
        return json_record(text, wanted) if wanted.form == "json" else record_of(text, wanted)
    except RequestError as error:
        raise BadLine(line, str(error)) from error


# ---- from input to record ------------------------------------------------------------------------------------------


def json_record(text: bytes, wanted: Wanted) -> Record:
    """The record of a JSON line: an envelope, or a payload.

    Raises:
        InvalidArgument: no JSON, or an envelope or a key that cannot be.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument("payload", f"is not JSON ({error}); --format lines takes lines as they are") from error
    if isinstance(found, dict) and found.keys() <= ENVELOPE and any(name in found for name in PAYLOADS):
        return _from_envelope(text, found, wanted)
    _check_codec(wanted)
    return record_of(text, wanted, payload=found)


def _check_codec(wanted: Wanted) -> None:
    if wanted.codec != "json":
        raise InvalidArgument(
            "payload", f'is JSON, but the destination carries {wanted.codec}; give its bytes as "value_base64"'
        )


class _Envelope(msgspec.Struct, kw_only=True):
    """The typed part of an envelope; `value` is passed on as it is written."""

    key: str | int | msgspec.UnsetType | None = msgspec.UNSET
    key_base64: str | None = None
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    value_text: str | None = None
    value_base64: str | None = None
    tombstone: bool = False
    headers: dict[str, str | None] = {}
    type: str | None = None


_envelope = msgspec.json.Decoder(_Envelope)


def _from_envelope(text: bytes, found: dict[str, Any], wanted: Wanted) -> Record:
    try:
        given = _envelope.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidArgument("envelope", str(error)) from error
    present = [name for name in PAYLOADS[:3] if name in found]
    empty = [name for name in present if found[name] is None]
    if (empty != present) if given.tombstone else (len(present) != 1 or empty not in ([], ["value"])):
        raise InvalidArgument("envelope", "needs exactly one of value, value_text, value_base64 and tombstone")
    payload = found.get("value")
    value = _payload_of(given, wanted)
    key = _key_of_envelope(given, payload, wanted)
    return Record(value, key, _headers(given.headers, given.type, wanted))


def _payload_of(given: _Envelope, wanted: Wanted) -> bytes | None:
    if given.tombstone:
        return None
    if given.value_text is not None:
        return given.value_text.encode()
    if given.value_base64 is not None:
        return _base64(given.value_base64, "value_base64")
    _check_codec(wanted)
    return bytes(given.value) if isinstance(given.value, msgspec.Raw) else b""


def _base64(text: str, name: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise InvalidArgument(name, f"is not base64: {error}") from error


def _key_of_envelope(given: _Envelope, payload: object, wanted: Wanted) -> bytes | None:
    if given.key_base64 is not None:
        return _base64(given.key_base64, "key_base64")
    if given.key is None or isinstance(given.key, msgspec.UnsetType):
        # "key": null says that there is none; an envelope without it leaves it to the payload.
        return None if given.key is None else key_of(payload, wanted.key)
    return str(given.key).encode()


def record_of(value: bytes, wanted: Wanted, payload: object = None) -> Record:
    """The record of a payload; `payload` is what it is as JSON, for its key."""
    if wanted.key and payload is None:
        raise InvalidArgument("--key", f"needs JSON or CSV; --format {wanted.form} has no fields")
    return Record(value, key_of(payload, wanted.key), _headers({}, None, wanted))


def key_of(payload: object, fields: Sequence[str]) -> bytes | None:
    """The key that fields of a payload make, as the library makes it; None without fields.

    Raises:
        InvalidArgument: a field is missing or is neither text nor a whole number.
    """
    from isthmus.client.event import key_bytes

    if not fields:
        return None
    if not isinstance(payload, dict):
        raise InvalidArgument("key", f"the payload is no object, so it has no field {fields[0]!r}")
    missing = [field for field in fields if field not in payload]
    if missing:
        raise InvalidArgument("key", f"the payload has no field {missing[0]!r}")
    values = [payload[field] for field in fields]
    return key_bytes(values[0] if len(values) == 1 else tuple(values))


def _headers(given: dict[str, str | None], kind: str | None, wanted: Wanted) -> bytes:
    """The header block: the caller's, and the event's type.

    Raises:
        InvalidArgument: no type where the destination has several, or one that it does not carry.
    """
    from isthmus.log.headers import encode_headers

    name = kind or given.get("ce_type") or wanted.kind
    if wanted.types and name not in wanted.types:
        what = "no type" if name is None else f"type {name!r}"
        raise InvalidArgument("type", f"{what}, but the destination carries {' | '.join(wanted.types)}; see --type")
    # What Isthmus writes for one life of a record (`isthmus-due` and such) does not hold for a new one.
    pairs = {key: value for key, value in given.items() if not key.startswith(RESERVED)}
    if name is not None:
        content = {"content-type": "application/json"} if wanted.codec == "json" and wanted.form != "raw" else {}
        pairs = {"ce_specversion": "1.0", "ce_type": name, **content, **pairs}
    if not pairs:
        return NO_HEADERS
    return encode_headers((key, None if value is None else value.encode()) for key, value in pairs.items())


# ---- CSV -----------------------------------------------------------------------------------------------------------


def _csv_records(source: Source, wanted: Wanted) -> Iterator[Numbered]:
    csv.field_size_limit(RECORD_BYTES_CEILING)
    rows = csv.reader(_text(source), strict=True)
    columns = _csv_row(rows, source, [])
    if columns is None:
        return
    if len(set(columns)) < len(columns):
        raise BadLine(1, "two columns have the same name")
    numbers = frozenset(columns if "*" in wanted.numbers else wanted.numbers)
    if numbers - set(columns):
        raise BadLine(1, f"--number {min(numbers - set(columns))}: no such column")
    while True:
        line = source.line + 1
        row = _csv_row(rows, source, columns)
        if row is None:
            return
        yield Numbered(line, _csv_record(dict(zip(columns, row, strict=True)), numbers, line, wanted))


def _text(source: Source) -> Iterator[str]:
    for at, line in enumerate(source):
        try:
            yield line.decode("utf-8-sig" if at == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise BadLine(source.line, f"is not UTF-8: {error.reason}") from error


def _csv_row(rows: "Iterable[list[str]]", source: Source, columns: Sequence[str]) -> list[str] | None:
    """The next row that is not empty; None at the end."""
    try:
        row = next((row for row in rows if row), None)
    except csv.Error as error:
        raise BadLine(source.line, str(error)) from error
    if row is not None and columns and len(row) != len(columns):
        raise BadLine(source.line, f"has {len(row)} columns, the first row has {len(columns)}")
    return row


def _csv_record(cells: dict[str, str], numbers: frozenset[str], line: int, wanted: Wanted) -> Record:
    try:
        _check_codec(wanted)
        row = {name: _number(name, cell) if name in numbers else cell for name, cell in cells.items()}
        # The key is made of the cell as it is written.
        return Record(msgspec.json.encode(row), key_of(cells, wanted.key), _headers({}, None, wanted))
    except RequestError as error:
        raise BadLine(line, str(error)) from error


def _number(name: str, cell: str) -> msgspec.Raw | None:
    """A cell as the JSON number that it is written as; an empty one is null."""
    if not cell:
        return None
    if _NUMBER.fullmatch(cell) is None:
        raise InvalidArgument(name, f"{cell!r} is no number")
    return msgspec.Raw(cell.encode())
