"""`isthmus tail`: show events of a stream or queue from any point on, and follow what comes.

It reads by offset and takes nothing: no group moves and no queue is disturbed.
"""

import asyncio
import os
import shutil
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import click

from isthmus.cli.base import Settings, command, connected, pass_settings, run
from isthmus.cli.output import Output, on_terminal
from isthmus.cli.records import COLUMNS, record_cells, record_row
from isthmus.errors import OffsetOutOfRange, UnknownPartition, Unsupported
from isthmus.record import StoredRecord

if TYPE_CHECKING:
    from isthmus.engines.base import Engine, Reader, ServedEngine
    from isthmus.views import TopicView

Form = Literal["json", "raw", "table"]

LAST: Final = 10
"""Events that are shown when no --from says where to begin."""

READ_BYTES: Final = 64 * 1024
"""Read of one partition at once: what is held in memory is this many bytes for each partition."""

LOOK_MS: Final = 250
"""How often a followed directory is looked at for changes; looking reads no data."""

REOPEN_MS: Final = 500
"""At most so often it is read anew, and reading may take a quarter of the time."""

REOPEN_TRIES: Final = 10
WIDTHS: Final = (24, 9, 6, 10, 10)
"""Of the columns before the value."""


class Place(NamedTuple):
    """A record and the partition it stands in."""

    partition: int
    record: StoredRecord


class Asked(NamedTuple):
    """What is to be shown: the `last` so many, or from `begin` on, of these at most `limit`."""

    dest: str
    begin: str | None
    until: str | None
    last: int | None
    limit: int | None
    partitions: tuple[int, ...]


# ---- the command ---------------------------------------------------------------------------------------------------


@command("tail")
@click.argument("dest")
@click.option("--from", "begin", metavar="WHERE", help="earliest, latest, an offset, a time, or an age as -1h.")
@click.option("--until", metavar="WHERE", help="end, an offset, a time, or an age. [default: end]")
@click.option(
    "-n", "--count", type=click.IntRange(1), metavar="N", help=f"At most so many. [default: {LAST}, or all with --from]"
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes; Ctrl-C ends it.")
@click.option(
    "-p", "--partition", "partitions", type=click.IntRange(0), multiple=True, help="Only this one; repeatable."
)
@click.option("--format", "form", type=click.Choice(["json", "raw", "table"]), help="[default: table; --json is json]")
@pass_settings
def tail(
    settings: Settings,
    dest: str,
    *,
    begin: str | None,
    until: str | None,
    count: int | None,
    follow: bool,
    partitions: tuple[int, ...],
    form: Form | None,
) -> None:
    """Show events: without --from the last ones, with it from there on, in the order of their time.

    Takes nothing from a queue and moves no group. raw writes the payloads alone, a line each.

    Examples:
      isthmus --dir ./data tail orders
      isthmus --dir ./data tail orders -f --json
      isthmus --dir ./data tail orders --from -1h -n 20
      isthmus --dir ./data tail orders --from 2026-01-31T12:00:00Z --until 2026-01-31T13:00:00Z --format raw
    """
    if follow and until is not None:
        raise click.UsageError("--follow has no end, so it does not go with --until")
    asked = Asked(
        dest,
        begin,
        until,
        last=None if begin is not None else count or LAST,
        limit=None if begin is None else count,
        partitions=partitions,
    )
    printer = Printer(settings.out, dest, form or ("json" if settings.json else "table"))
    run(_tail(settings, asked, printer, follow=follow))


class Printer:
    """Records in the form that was asked for."""

    def __init__(self, out: Output, topic: str, form: Form) -> None:
        self._out = out
        self._topic = topic
        self._headed = form != "table"
        self._show: Callable[[Place], None] = {"json": self._json, "raw": self._raw, "table": self._cells}[form]
        self._width = shutil.get_terminal_size().columns if on_terminal() else None

    def show(self, place: Place) -> None:
        """One record."""
        self._show(place)

    def flush(self) -> None:
        """Hand over what was shown."""
        self._out.flush()

    def _json(self, place: Place) -> None:
        self._out.json_line(record_row(self._topic, place.partition, place.record))

    def _raw(self, place: Place) -> None:
        if place.record.value is not None:
            self._out.write(place.record.value + b"\n")

    def _cells(self, place: Place) -> None:
        if not self._headed:
            self._headed = True
            self._line(tuple(heading.removeprefix(">").upper() for heading in COLUMNS))
        self._line(record_cells(place.partition, place.record))

    def _line(self, cells: tuple[str, ...]) -> None:
        *first, value = cells
        text = "  ".join([*(cell.ljust(width) for cell, width in zip(first, WIDTHS, strict=True)), value])
        if self._width is not None and len(text) > self._width:
            text = text[: self._width - 1] + "…"
        self._out.text(text)


async def _tail(settings: Settings, asked: Asked, printer: Printer, *, follow: bool) -> None:
    position = Position(asked)
    changes = Changes(settings.store())
    tries = REOPEN_TRIES
    while True:
        before = dict(position.offsets)
        try:
            async with connected(settings) as engine:
                async for place in position.read(by_offset(engine)):
                    printer.show(place)
        except OffsetOutOfRange:
            # Retention or compaction removed what was about to be read: look again at what is there now.
            tries = REOPEN_TRIES if position.offsets != before else tries - 1
            if not tries:
                raise
            continue
        printer.flush()
        if not follow or position.left == 0:
            return
        await changes.changed()


def by_offset(engine: "Engine") -> "ServedEngine":
    """The engine, when it can be read by offsets of single partitions, which not every engine's port offers.

    Raises:
        Unsupported: it cannot.
    """
    from isthmus.engines.embedded import EmbeddedEngine
    from isthmus.engines.native import NativeEngine

    if not isinstance(engine, EmbeddedEngine | NativeEngine):
        raise Unsupported(f"tail on {engine.url}", "it reads data directories and servers of Isthmus")
    return engine


# ---- reading -------------------------------------------------------------------------------------------------------


class Position:
    """Where the next reading begins in each partition; `offsets` moves with what was shown, `left` with how much."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._last = asked.last
        self.offsets: dict[int, int] = {}
        self.left = asked.limit

    async def read(self, engine: "ServedEngine") -> AsyncGenerator[Place]:
        """What there is from here on, up to the ends as of now, oldest first.

        Raises:
            UnknownTopic, UnknownPartition, OffsetOutOfRange: see `Reader.read`.
        """
        topic = await engine.admin.topic(self._asked.dest)
        wanted = self._wanted(len(topic.partitions))
        starts = await self._starts(engine, topic)
        ends = await self._ends(engine, topic)
        readers = {at: await open_reader(engine, topic, at, starts[at], ends[at]) for at in wanted}
        found = merged(readers)
        if self._last is not None:
            found, self._last = last(found, self._last), None
        async for place in found:
            yield place
            self.offsets[place.partition] = place.record.offset + 1
            if self.left is not None:
                self.left -= 1
                if self.left == 0:
                    return
        self.offsets |= {at: max(ends[at], self.offsets.get(at, 0)) for at in wanted}

    def _wanted(self, partitions: int) -> list[int]:
        for at in self._asked.partitions:
            if at >= partitions:
                raise UnknownPartition(self._asked.dest, at, partitions)
        return list(self._asked.partitions) or list(range(partitions))

    async def _starts(self, engine: "ServedEngine", topic: "TopicView") -> list[int]:
        if self._asked.begin is None:
            begin = [max(each.log_start, each.high_watermark - (self._last or 0)) for each in topic.partitions]
        else:
            begin = await offsets_at(engine, topic, self._asked.begin, "--from")
        return [self.offsets.get(at, start) for at, start in enumerate(begin)]

    async def _ends(self, engine: "ServedEngine", topic: "TopicView") -> list[int]:
        if self._asked.until in (None, "end"):
            return [each.high_watermark for each in topic.partitions]
        return await offsets_at(engine, topic, self._asked.until or "latest", "--until")


async def offsets_at(engine: "ServedEngine", topic: "TopicView", text: str, option: str) -> list[int]:
    """The offsets that a starting point stands for, one a partition that the view has."""
    from isthmus.client.duration import start_at

    reader = await engine.reader(topic.name, start_at(text, engine.clock.now_ms(), option))
    try:
        return list(reader.offsets[: len(topic.partitions)])
    finally:
        await reader.close()


async def open_reader(engine: "ServedEngine", topic: "TopicView", partition: int, start: int, end: int) -> "Reader":
    """A reader of one partition, from an offset to an offset: of the others it has nothing to read."""
    others = [each.high_watermark for each in topic.partitions]
    offsets, ends = [*others], [*others]
    offsets[partition], ends[partition] = start, end
    return await engine.reader_at(topic.name, offsets, ends)


async def merged(readers: "Mapping[int, Reader]") -> AsyncGenerator[Place]:
    """The records of several partitions by time, as far as the order in each of them allows."""
    waiting: dict[int, deque[StoredRecord]] = {at: deque() for at in readers}
    while waiting:
        for at in [at for at, records in waiting.items() if not records]:
            chunk = await readers[at].read(READ_BYTES, 0)
            if chunk is not None:
                waiting[at].extend(chunk.records)
            elif readers[at].ended:
                del waiting[at]
        ready = [at for at, records in waiting.items() if records]
        if ready:
            oldest = min(ready, key=lambda at: waiting[at][0].timestamp_ms)
            yield Place(oldest, waiting[oldest].popleft())


async def last(found: AsyncIterator[Place], count: int) -> AsyncGenerator[Place]:
    """The last so many of them."""
    kept: deque[Place] = deque(maxlen=count)
    async for place in found:
        kept.append(place)
    for place in kept:
        yield place


# ---- following -----------------------------------------------------------------------------------------------------


class Changes:
    """Waits for a data directory to change, by the names, sizes and times of its journal files; of a server nothing can
    be seen, so it is asked again.

    The broker writes at least once when it falls idle, so nothing that was written between two looks is missed.
    """

    def __init__(self, directory: str | None) -> None:
        self._journal = Path(directory, "journal") if directory is not None else None
        self._seen = self._look()
        self._read_ms = 0.0

    async def changed(self) -> None:
        """Return when something was written since the last call, not too soon after it."""
        loop = asyncio.get_running_loop()
        spent_ms = loop.time() * 1000 - self._read_ms if self._read_ms else 0
        await asyncio.sleep(max(REOPEN_MS, 3 * spent_ms) / 1000)
        while (now := self._look()) == self._seen and self._journal is not None:  # noqa: ASYNC110 - it is another process that changes it
            await asyncio.sleep(LOOK_MS / 1000)
        self._seen = now
        self._read_ms = loop.time() * 1000

    def _look(self) -> list[tuple[str, int, int]]:
        if self._journal is None:
            return []
        found = []
        try:
            with os.scandir(self._journal) as entries:
                for entry in entries:
                    status = entry.stat()
                    found.append((entry.name, status.st_mtime_ns, status.st_size))
        except FileNotFoundError:
            # Removed between listing and looking: a change. No store at all is for the next reading to say.
            return []
        return sorted(found)
