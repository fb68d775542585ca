"""The demo's report: lines that were checked, timings that were only taken, notes that must be said.

Must not compute a figure: it compares what the demo found with what it is told to expect, and shows both.
"""

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Value = str | int | float | bool | None
"""What a line can hold; None is a figure that is missing on one side."""

Figures = Mapping[str, Value] | Mapping[str, Mapping[str, Value]]
"""Figures by name, or a grid of them by row and column."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One checked figure; `column` is empty outside a grid, and `expected` may say a rule such as "at most 50"."""

    name: str
    got: Value
    expected: Value
    ok: bool
    column: str = ""


class Section(msgspec.Struct):
    """Lines under one title; a section whose lines have columns is shown as a grid."""

    title: str
    lines: list[Line] = msgspec.field(default_factory=list)

    def check(self, name: str, got: Value, expected: Value, *, column: str = "") -> None:
        """Add a figure that must equal what is expected."""
        self.lines.append(Line(name, got, expected, got == expected, column))

    def check_rule(self, name: str, got: Value, rule: str, *, ok: bool) -> None:
        """Add a figure that must keep a rule, given in words; `ok` says whether it does."""
        self.lines.append(Line(name, got, rule, ok))

    def check_all(self, got: Figures, expected: Figures) -> None:
        """Add every figure that either side has; one that the other side lacks is a mismatch."""
        for name in union(got, expected):
            found, wanted = got.get(name), expected.get(name)
            if isinstance(found, Mapping) or isinstance(wanted, Mapping):
                self._check_row(name, found, wanted)
            else:
                self.check(name, found, wanted)

    def _check_row(self, name: str, got: object, expected: object) -> None:
        found: Mapping[str, Value] = got if isinstance(got, Mapping) else {}
        wanted: Mapping[str, Value] = expected if isinstance(expected, Mapping) else {}
        for column in union(found, wanted):
            self.check(name, found.get(column), wanted.get(column), column=column)

    def check_agreement(self, name: str, got: Mapping[str, Value], expected: Mapping[str, Value]) -> None:
        """Add one line for many figures: how many of them agree, which must be all; names the first that does not."""
        names = union(got, expected)
        wrong = [key for key in names if key not in got or key not in expected or got[key] != expected[key]]
        self.check(name, len(names) - len(wrong), len(names))
        if wrong:
            self.check(f"{name}: {wrong[0]}", got.get(wrong[0]), expected.get(wrong[0]))


class Timing(msgspec.Struct, frozen=True, gc=False):
    """How long something took, for information; `durability` is the level it was measured at, printed beside it."""

    name: str
    count: int
    seconds: float
    durability: str = ""

    @property
    def per_second(self) -> int | None:
        """How many a second, None when no time passed."""
        return round(self.count / self.seconds) if self.seconds > 0 else None


class Report(msgspec.Struct):
    """Everything that the demo has to say at its end."""

    title: str
    sections: list[Section] = msgspec.field(default_factory=list)
    timings: list[Timing] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    def section(self, title: str) -> Section:
        """Add a section and return it."""
        section = Section(title)
        self.sections.append(section)
        return section

    def time(self, name: str, count: int, seconds: float, *, durability: str = "") -> None:
        """Add a timing; it is not checked."""
        self.timings.append(Timing(name, count, seconds, durability))

    def note(self, text: str) -> None:
        """Add what the reader must know, such as that something was shortened."""
        self.notes.append(text)

    @property
    def lines(self) -> list[Line]:
        """All checked lines."""
        return [line for section in self.sections for line in section.lines]

    @property
    def ok(self) -> bool:
        """Whether something was checked and nothing failed; a report without a check proves nothing."""
        lines = self.lines
        return bool(lines) and all(line.ok for line in lines)

    @property
    def exit_code(self) -> int:
        """What the process should end with: 0 when all is well, else 1."""
        return 0 if self.ok else 1

    def to_json(self) -> bytes:
        """Return the report for machines: `ok`, the counts of checks and mismatches, and everything shown."""
        lines = self.lines
        whole = {
            "ok": self.ok,
            "checked": len(lines),
            "mismatches": sum(not line.ok for line in lines),
            **msgspec.to_builtins(self),
        }
        whole["timings"] = [msgspec.to_builtins(timing) | {"per_second": timing.per_second} for timing in self.timings]
        return msgspec.json.format(msgspec.json.encode(whole), indent=2)

    def print(self, console: Console) -> None:
        """Show the report as tables, mismatches in red, with the verdict at the end."""
        console.print(f"[bold]{escape(self.title)}[/bold]")
        for section in self.sections:
            console.print(_grid(section) if any(line.column for line in section.lines) else _list(section))
        if self.timings:
            console.print(_timings(self.timings))
        for note in self.notes:
            console.print(f"[yellow]note[/yellow] {escape(note)}")
        console.print(self._verdict())

    def _verdict(self) -> str:
        lines = self.lines
        wrong = sum(not line.ok for line in lines)
        if not lines:
            return "[bold red]nothing was checked[/bold red]"
        if wrong:
            return f"[bold red]{wrong:,} of {len(lines):,} figures are wrong[/bold red]"
        return f"[bold green]all {len(lines):,} figures agree with the raw files[/bold green]"


def union(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    """Return the names of both in the order of the second, then those that only the first has."""
    return list(dict.fromkeys([*second, *first]))


def show(value: Value) -> str:
    """Return a figure as text: whole numbers with separators, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(str(value))


def label(name: str) -> str:
    """Return a name as a reader expects it: words in place of underscores."""
    return escape(name.replace("_", " "))


def _cell(line: Line) -> str:
    return show(line.got) if line.ok else f"[red]{show(line.got)} not {show(line.expected)}[/red]"


def _list(section: Section) -> Table:
    table = Table(title=escape(section.title), title_justify="left")
    for heading in ("figure", "got", "expected", ""):
        table.add_column(heading, justify="right" if heading in {"got", "expected"} else "left", overflow="fold")
    for line in section.lines:
        verdict = "[green]ok[/green]" if line.ok else "[red]WRONG[/red]"
        table.add_row(label(line.name), show(line.got), show(line.expected), verdict)
    return table


def _grid(section: Section) -> Table:
    """Lay the lines out by name and column; one column more tells how many agree."""
    columns = list(dict.fromkeys(line.column for line in section.lines))
    rows: dict[str, dict[str, Line]] = {}
    for line in section.lines:
        rows.setdefault(line.name, {})[line.column] = line
    table = Table(title=escape(section.title), title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(label(column) or "all", justify="right", overflow="fold")
    table.add_column("agree", justify="right")
    for name, row in rows.items():
        cells = [_cell(row[column]) if column in row else "" for column in columns]
        table.add_row(label(name), *cells, f"{sum(line.ok for line in row.values())} of {len(row)}")
    return table


def _timings(timings: Sequence[Timing]) -> Table:
    table = Table(title="timings (not checked)", title_justify="left")
    for heading in ("what", "count", "seconds", "a second", "durability"):
        table.add_column(heading, justify="left" if heading in {"what", "durability"} else "right")
    for timing in timings:
        seconds = f"{timing.seconds:.2f}"
        table.add_row(label(timing.name), show(timing.count), seconds, show(timing.per_second), timing.durability)
    return table
