"""`isthmus pub`: events from JSON lines, CSV or raw input into a stream or queue.

It reads in pieces of bounded size and publishes in the order of the input, one batch at a time, so that what is wrong
with a line can be said with its number and everything before it is published.
"""

import os
import re
import stat
from collections.abc import Sequence
from io import UnsupportedOperation
from typing import TYPE_CHECKING, BinaryIO, Final

import click
import msgspec

from isthmus.cli.base import Settings, command, connected, pass_settings, run
from isthmus.cli.inputs import BadLine, Form, Numbered, Reader, Source, Wanted, batches, fields_of
from isthmus.cli.output import Output, Progress, about, counted
from isthmus.errors import InvalidArgument, RequestError, UnknownQueue, Unsupported
from isthmus.limits import BATCH_EVENTS_MAX
from isthmus.record import Record

if TYPE_CHECKING:
    from isthmus.engines.base import Attributes, Engine
    from isthmus.views import TopicView

READ_BYTES: Final = 256 * 1024
_RATE: Final = re.compile(r"(\d{1,9})(?:/(s|m|h))?", re.ASCII)
_SPAN_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000}


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
