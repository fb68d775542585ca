"""`isthmus pub`: events from JSON lines, CSV or raw input into a stream or queue.

It reads in pieces of bounded size and publishes in the order of the input, one batch at a time, so that what is wrong
with a line can be said with its number and everything before it is published.
"""

import asyncio
import csv
import os
import re
import stat
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import UnsupportedOperation
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

import click
import msgspec

from isthmus.cli.base import Settings, command, connected, pass_settings, run
from isthmus.cli.output import Output, Progress, about, counted
from isthmus.errors import InvalidArgument, RequestError, UnknownQueue, Unsupported
from isthmus.limits import BATCH_EVENTS_MAX, MIB, RECORD_BYTES_CEILING
from isthmus.record import NO_HEADERS, Record

if TYPE_CHECKING:
    from isthmus.engines.base import Attributes, Engine
    from isthmus.views import TopicView

Form = Literal["auto", "json", "csv", "lines", "raw"]

READ_BYTES: Final = 256 * 1024
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
_RATE: Final = re.compile(r"(\d{1,9})(?:/(s|m|h))?", re.ASCII)
_SPAN_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000}


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


# ---- the command ---------------------------------------------------------------------------------------------------


@command("pub")
@click.argument("dest")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "json", "csv", "lines", "raw"]),
    default="auto",
    help="auto: csv for a file of that name, else json.",
)
@click.option("--key", metavar="FIELD[,FIELD]", help="Field of the payload that is the key. [default: as declared]")
@click.option("--type", "kind", metavar="NAME", help="Event type of what names none.")
@click.option("--number", "numbers", multiple=True, metavar="COLUMN", help="CSV: a column of numbers; * is every one.")
@click.option("--rate", metavar="N/s", help="At most so many events a second (or /m, /h).")
@click.option("--delay", metavar="TIME", help="Queue: hand out only after this time.")
@click.option("--ttl", metavar="TIME", help="Queue: expires when nobody took it by then.")
@pass_settings
def pub(
    settings: Settings,
    dest: str,
    file: BinaryIO,
    *,
    form: Form,
    key: str | None,
    kind: str | None,
    numbers: tuple[str, ...],
    rate: str | None,
    delay: str | None,
    ttl: str | None,
) -> None:
    """Publish events from FILE, or from stdin.

    Formats:
      json    a line is {"key": ..., "value": ..., "headers": {...}, "type": ...}, of which only the
              value must be there, or any other JSON, which is the payload; what `tail --json` writes
      csv     the first row names the columns; a row becomes an object of texts (see --number)
      lines   a line is a payload as it is
      raw     the whole input is one payload

    Returns when everything is acknowledged. A line that cannot be published is named by its number; what stood
    before it is published, and nothing behind it.

    Examples:
      isthmus --dir ./data pub orders orders.jsonl --key order_id
      isthmus --dir ./data pub readings readings.csv --key sensor --number value
      echo '{"order_id": "o-1"}' | isthmus --dir ./data pub jobs --delay 5m
    """
    if form == "auto":
        form = "csv" if str(getattr(file, "name", "")).lower().endswith(".csv") else "json"
    if file.isatty():
        settings.out.note(f"one event a line for {dest}, as {form}; Ctrl-D ends it")
    wanted = Wanted(form=form, key=fields_of(key), kind=kind, numbers=numbers)
    run(_publish(settings, dest, file, wanted, parse_rate(rate), delay, ttl))


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


def parse_rate(text: str | None) -> float | None:
    """Events a second of `100/s`, `100` or `6000/m`.

    Raises:
        InvalidArgument: another form, or 0.
    """
    if text is None:
        return None
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise InvalidArgument("--rate", f'{text!r} is no rate; write a number of events and /s, /m or /h, as "100/s"')
    return int(found[1]) * 1000 / _SPAN_MS[found[2] or "s"]


async def _publish(
    settings: Settings,
    dest: str,
    file: BinaryIO,
    wanted: Wanted,
    rate: float | None,
    delay: str | None,
    ttl: str | None,
) -> None:
    out = settings.out
    async with connected(settings, write=True) as engine:
        topic = await engine.admin.topic(dest)
        wanted = adopted(wanted, topic)
        timed = await _timed(engine, topic, delay, ttl)
        size = size_of(file)
        with out.progress(f"publishing to {dest}", size, "events" if size is None else "bytes") as progress:
            sender = Sender(engine, dest, progress, rate, timed)
            try:
                await sender.send_all(Source(file, READ_BYTES), wanted)
            except BaseException as error:
                if not isinstance(error, BadLine):  # which says so itself
                    out.note(f"{counted(sender.published, 'event')} published before this")
                raise
            _tell(out, topic, sender, progress.elapsed_ms)


def size_of(file: BinaryIO) -> int | None:
    """Bytes of a file, None for what has no end that is known."""
    try:
        status = os.fstat(file.fileno())
    except UnsupportedOperation:  # bytes in memory
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def adopted(wanted: Wanted, topic: "TopicView") -> Wanted:
    """With what the destination declares where the command line says nothing.

    Raises:
        InvalidArgument: a type that the destination does not carry.
    """
    config = topic.config
    kind = wanted.kind or (config.event_types[0] if len(config.event_types) == 1 else None)
    if kind is not None and config.event_types and kind not in config.event_types:
        raise InvalidArgument("--type", f"{topic.name!r} carries {' | '.join(config.event_types)}, not {kind}")
    key = wanted.key or (fields_of(config.key_field) if wanted.form in ("json", "csv") else ())
    return msgspec.structs.replace(wanted, kind=kind, key=key, types=config.event_types, codec=config.codec)


async def _timed(engine: "Engine", topic: "TopicView", delay: str | None, ttl: str | None) -> "tuple[int, int] | None":
    """Milliseconds of --delay and --ttl, 0 for what is not given; None without either."""
    from isthmus.client.duration import duration_ms

    if delay is None and ttl is None:
        return None
    option = "--delay" if delay is not None else "--ttl"
    try:
        queue = await engine.admin.queue(topic.name)
    except UnknownQueue:
        raise Unsupported(f"{topic.name!r} is a stream: {option} is for queues", f"leave {option} out") from None
    if queue.view_of is not None:
        raise Unsupported(f"{topic.name!r} is a view of {queue.view_of!r}, where {option} cannot be")
    return duration_ms(delay or "0s", "--delay"), duration_ms(ttl or "0s", "--ttl")


def _tell(out: Output, topic: "TopicView", sender: "Sender", elapsed_ms: int) -> None:
    if out.json:
        out.document(
            {
                "destination": topic.name,
                "published": sender.published,
                "partitions": {str(at): count for at, count in sorted(sender.partitions.items())},
                "durability": topic.config.level,
                "elapsed_ms": elapsed_ms,
            }
        )
        return
    count = sender.published
    out.text(
        f"{counted(count, 'event')} published to {topic.name} and acknowledged ({topic.config.level}) in"
        f" {about(elapsed_ms)}, {count * 1000 / elapsed_ms:,.0f} a second"
    )


# ---- sending -------------------------------------------------------------------------------------------------------


class Sender:
    """Publishes batches in order and counts what was acknowledged."""

    def __init__(
        self, engine: "Engine", dest: str, progress: Progress, rate: float | None, timed: tuple[int, int] | None
    ) -> None:
        self._engine = engine
        self._dest = dest
        self._progress = progress
        self._rate = rate
        self._timed = timed
        self._began_ms = engine.clock.monotonic_ms()
        self.published = 0
        self.partitions: dict[int, int] = {}

    async def send_all(self, source: "Source", wanted: Wanted) -> None:
        """Everything that a source gives, which is read and parsed on a thread.

        Raises:
            BadLine: a line cannot be an event, or is refused; `published` says how many stood before it.
        """
        reader = Reader(batches(source, wanted, self._batch_events()))
        try:
            while (batch := await reader.next()) is not None:
                await self._send(batch)
                at = self.published if self._progress.total is None else source.position
                self._progress.advance(at - self._progress.done)
        except BadLine as error:
            raise BadLine(error.line, error.problem, self.published) from error.__cause__

    def _batch_events(self) -> int:
        """With a rate, as many as fall into a twentieth of a second, so that they come evenly."""
        return BATCH_EVENTS_MAX if self._rate is None else max(1, min(BATCH_EVENTS_MAX, int(self._rate / 20)))

    async def _send(self, batch: Sequence[Numbered]) -> None:
        if self._rate is not None:
            due_ms = self._began_ms + int(self.published * 1000 / self._rate)
            await self._engine.clock.sleep_until(due_ms)
        try:
            await self._publish([each.record for each in batch])
        except RequestError as error:
            if len(batch) == 1:
                raise BadLine(batch[0].line, str(error)) from error
            # Nothing of the batch was published: one by one tells which line it is.
            for each in batch:
                await self._send([each])

    async def _publish(self, records: Sequence[Record]) -> None:
        for appended in await self._engine.publish(self._dest, records, self._attributes()):
            self.partitions[appended.partition] = self.partitions.get(appended.partition, 0) + appended.count
        self.published += len(records)

    def _attributes(self) -> "Attributes | None":
        from isthmus.engines.base import Attributes

        if self._timed is None:
            return None
        now_ms = self._engine.clock.now_ms()
        delay_ms, ttl_ms = self._timed
        return Attributes(due_ms=now_ms + delay_ms if delay_ms else None, expire_ms=now_ms + ttl_ms if ttl_ms else None)


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
