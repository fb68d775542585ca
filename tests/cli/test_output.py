"""How answers look: cells, tables without a terminal, durations, sizes, progress lines."""

import sys

import pytest

from isthmus.cli.output import (
    Output,
    Progress,
    about,
    aligned,
    counted,
    one_line,
    printable,
    shown,
    size_text,
    span_text,
    time_text,
)
from support.cli import on_a_terminal


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KB"), (999_949, "999.9 KB"), (1_000_000, "1.0 MB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_told_in_powers_of_a_thousand(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0ms"), (1_500, "1500ms"), (30_000, "30s"), (300_000, "5m"), (604_800_000, "7d"), (None, "-")]
)
def test_durations_are_told_as_they_can_be_written(ms: int | None, text: str) -> None:
    assert span_text(ms) == text


@pytest.mark.parametrize(("ms", "text"), [(12, "12 ms"), (3_240, "3.2 s"), (240_000, "4 min"), (9_000_000, "2.5 h")])
def test_measured_times_are_rounded(ms: int, text: str) -> None:
    assert about(ms) == text


def test_instants_are_iso_8601_in_utc() -> None:
    assert time_text(1_357_016_400_123) == "2013-01-01T05:00:00.123Z"
    assert time_text(None) == "-"
    assert time_text(-1) == "-"
    assert time_text(2**62) == "-"


def test_things_are_counted_in_words() -> None:
    assert [counted(0, "event"), counted(1, "event"), counted(2_000, "event")] == [
        "0 events",
        "1 event",
        "2,000 events",
    ]
    assert counted(3, "entry", "entries") == "3 entries"


def test_what_could_command_a_terminal_is_written_out() -> None:
    assert printable("red \x1b[31m\x07 bell\nline") == "red \\x1b[31m\\x07 bell\nline"
    assert printable("\u202e right to left") == "\\u202e right to left"
    assert one_line("a\tb\n") == "a\\tb\\n"
    assert printable("Zürich 東京") == "Zürich 東京"


def test_cells_are_shown_for_people() -> None:
    assert [shown(cell) for cell in (None, 1234567, True, False, "x", 1.5)] == [
        "-",
        "1,234,567",
        "yes",
        "no",
        "x",
        "1.5",
    ]


def test_a_table_without_a_terminal_is_aligned_and_cuts_nothing() -> None:
    lines = aligned(("name", ">count"), [("orders", "5"), ("a" * 100, "1,234"), ("two\nlines", "7")])

    names = ["NAME", "orders", "a" * 100, "two\\nlines"]
    counts = ["COUNT", "    5", "1,234", "    7"]
    assert lines == [f"{name:<100}  {count}" for name, count in zip(names, counts, strict=True)]


def test_documents_are_one_json_value(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    out = Output(json=True)
    out.document({"a": [1, None], "b": b"\x00"})
    out.json_line({"a": 1})
    out.note("not for machines")
    out.flush()

    written = capfdbinary.readouterr()
    assert written.out == b'{\n  "a": [\n    1,\n    null\n  ],\n  "b": "AA=="\n}\n{"a":1}\n'
    assert written.err == b""


class TestProgress:
    def progress(self, total: int | None = 1_000_000) -> tuple[Progress, list[int]]:
        now = [0]
        return Progress("reading", total, "bytes", bar=False, now_ms=lambda: now[0]), now

    def test_short_work_shows_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        progress, now = self.progress()
        with progress:
            now[0] = 1_999
            progress.advance(500_000)

        assert capsys.readouterr().err == ""

    def test_long_work_shows_a_line_every_two_seconds_with_rate_and_time_left(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        progress, now = self.progress()
        for now[0] in (1_000, 2_000, 3_000, 4_000):
            progress.advance(100_000)

        assert capsys.readouterr().err.splitlines() == [
            "reading: 200.0 KB of 1.0 MB (20 %), 100.0 KB/s, 8 s left",
            "reading: 400.0 KB of 1.0 MB (40 %), 100.0 KB/s, 6 s left",
        ]

    def test_without_a_total_there_is_no_time_left(self) -> None:
        progress, now = self.progress(None)
        now[0] = 2_000
        progress.done = 4_000

        assert progress.line() == "reading: 4.0 KB, 2.0 KB/s"

    def test_on_a_terminal_it_is_a_bar_with_rate_and_time_left(self) -> None:
        code = (
            "from isthmus.cli.output import Progress\n"
            "now = [0]\n"
            "with Progress('reading', 1_000_000, 'bytes', bar=True, now_ms=lambda: now[0]) as progress:\n"
            "    now[0] = 3_000\n"
            "    progress.advance(500_000)\n"
        )

        _, drawn = on_a_terminal([sys.executable, "-c", code])

        assert "reading" in drawn
        assert "0.5/1.0 MB" in drawn
        assert "166.7 KB/s" in drawn


def test_on_a_terminal_tables_are_drawn_and_names_are_no_markup() -> None:
    code = (
        "from isthmus.cli.output import Output\n"
        "Output(json=False).table(('name', '>count'), [('[red]orders[/red]', 5), ('\\x1b[2J', None)])\n"
    )

    _, drawn = on_a_terminal([sys.executable, "-c", code])

    assert "[red]orders[/red]" in drawn
    assert "─" in drawn
    assert "\\x1b[2J" in drawn
    assert "\x1b[2J" not in drawn
