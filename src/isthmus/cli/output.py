"""How answers look: tables for people, JSON for machines, progress on the side.

Answers go to stdout, everything said about them (progress, notes, errors) to stderr. Tables and bars are drawn by rich
on a terminal only; anywhere else come plain lines, which need no import and which other programs can read.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

QUIET_MS: Final = 2_000
"""Work that ends sooner shows no progress; without a terminal this is also the time between two lines."""

_SIZES: Final = ("B", "KB", "MB", "GB", "TB")
_SPANS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


class Output:
    """Where one command's answer goes."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    # ---- for machines ---------------------------------------------------------------------------------------------

    def document(self, value: object) -> None:
        """The whole answer as one JSON document."""
        self.write(msgspec.json.format(encode(value), indent=2) + b"\n")

    def json_line(self, value: object) -> None:
        """One part of a streamed answer."""
        self.write(encode(value) + b"\n")

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        sys.stdout.buffer.write(data)

    def flush(self) -> None:
        """Hand over what was written, so that a reader in a pipe sees it now."""
        sys.stdout.flush()
        sys.stdout.buffer.flush()

    def error_document(self, fields: dict[str, Any]) -> None:
        """An error for machines, on stderr."""
        print(encode({"error": fields}).decode(), file=sys.stderr)

    # ---- for people -----------------------------------------------------------------------------------------------

    def text(self, line: str = "") -> None:
        """A line of the answer."""
        self.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def error(self, line: str) -> None:
        """A line about what went wrong."""
        print(f"isthmus: {printable(line)}", file=sys.stderr)

    def note(self, line: str) -> None:
        """A line that is no part of the answer; machines are spared it."""
        if not self.json:
            print(printable(line), file=sys.stderr)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
        """Rows under headings; a heading that begins with `>` is of a column of figures, set to the right.

        Without a terminal the columns are aligned by spaces and nothing is cut.
        """
        cells = [[shown(cell) for cell in row] for row in rows]
        if on_terminal():
            self._rich_table(columns, cells, title)
            return
        if title:
            self.text(title)
        for line in aligned(columns, cells):
            self.text(line)

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left", pad_edge=False)
        for heading in columns:
            table.add_column(
                Text(heading.removeprefix(">")), justify="right" if heading[0] == ">" else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*map(Text, row))  # as text: what users named must not be read as markup
        self.flush()
        Console(file=sys.stdout).print(table)

    def progress(self, what: str, total: int | None, unit: Literal["bytes", "events"]) -> "Progress":
        """Progress of long work on stderr; use it as a context manager."""
        return Progress(what, total, unit, bar=sys.stderr.isatty() and not self.json)


def on_terminal() -> bool:
    """Whether a person looks at stdout."""
    return sys.stdout.isatty()


# ---- cells ---------------------------------------------------------------------------------------------------------


def encode(value: object) -> bytes:
    """JSON of what commands answer with: structs, plain values, bytes as base64."""
    return msgspec.json.encode(value)


def shown(cell: object) -> str:
    """A cell as text: whole numbers with separators, None as a dash, no control characters."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return printable(str(cell))


def printable(text: str) -> str:
    """The text with what could command a terminal written out; line breaks and tabs stay.

    Keys, payloads and tracebacks come from anybody: none of them may move the cursor or set the title.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape", "backslashreplace").decode()
        for each in text
    )


def one_line(text: str) -> str:
    """Text for a cell or line: line breaks and tabs are written out, too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table without a terminal."""
    cells = [[heading.removeprefix(">").upper() for heading in columns], *([one_line(c) for c in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(columns))]
    right = [heading.startswith(">") for heading in columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def size_text(size_bytes: float | None) -> str:
    """A size for people, in powers of 1000."""
    if size_bytes is None:
        return "-"
    size, unit = float(size_bytes), 0
    while size >= (999.5 if unit == 0 else 999.95) and unit < len(_SIZES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} B" if unit == 0 else f"{size:.1f} {_SIZES[unit]}"


def span_text(ms: int | None) -> str:
    """A duration for people in the way it can be written as an option: the largest unit that it is a multiple of."""
    if ms is None:
        return "-"
    for length, unit in _SPANS:
        if ms and ms % length == 0:
            return f"{ms // length}{unit}"
    return f"{ms}ms"


def about(ms: float) -> str:
    """A duration for people, rounded: `3.2 s`, `4 min`, `2.5 h`, `3 d`."""
    for length, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms >= length:
            return f"{ms / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{ms:.0f} ms"


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things: `1 event`, `2,000 events`, `3 entries`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def time_text(ms: int | None) -> str:
    """An instant in ISO 8601, UTC, with milliseconds; a dash for none and for what no calendar has."""
    if ms is None or ms < 0:
        return "-"
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return "-"


# ---- progress ------------------------------------------------------------------------------------------------------


class Progress:
    """Progress of one piece of work: a bar with rate and time left on a terminal, else a line every two seconds.

    `now_ms` is the clock that it goes by. `advance` may be called often: it looks at the clock only.
    """

    def __init__(
        self,
        what: str,
        total: int | None,
        unit: Literal["bytes", "events"],
        *,
        bar: bool,
        now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
    ) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._unit = unit
        self._now_ms = now_ms
        self._started_ms = now_ms()
        self._due_ms = self._started_ms + QUIET_MS
        self._wants_bar = bar
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """So much more is done."""
        self.done += count
        if self._now_ms() >= self._due_ms:
            self._show()

    @property
    def elapsed_ms(self) -> int:
        """Time since the work began."""
        return max(1, self._now_ms() - self._started_ms)

    def line(self) -> str:
        """Where the work stands, as one line."""
        rate = self._rate()
        text = f"{self.what}: {self._count(self.done)}"
        if self.total:
            text += f" of {self._count(self.total)} ({min(100, self.done * 100 // self.total)} %)"
        text += f", {self._count(rate)}/s"
        if self.total and rate:
            text += f", {about(max(0, self.total - self.done) * 1000 / rate)} left"
        return text

    def _count(self, count: float) -> str:
        return size_text(count) if self._unit == "bytes" else f"{count:,.0f}"

    def _show(self) -> None:
        if not self._wants_bar:
            self._due_ms = self._now_ms() + QUIET_MS
            print(self.line(), file=sys.stderr)
            return
        self._due_ms = self._now_ms() + 100
        if self._bar is None:
            self._bar = self._start_bar()
        self._bar.update(self._bar.task_ids[0], completed=self.done, rate=f"{self._count(self._rate())}/s")

    def _rate(self) -> float:
        return self.done * 1000 / self.elapsed_ms

    def _start_bar(self) -> "Bar":
        from rich import progress as parts
        from rich.console import Console

        bar = parts.Progress(
            parts.TextColumn("{task.description}"),
            parts.BarColumn(),
            parts.DownloadColumn() if self._unit == "bytes" else parts.MofNCompleteColumn(),
            parts.TextColumn("{task.fields[rate]}"),
            parts.TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        bar.add_task(self.what, total=self.total, completed=self.done, rate="")
        bar.start()
        return bar
