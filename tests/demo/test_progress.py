"""What is shown while the demo runs, on a terminal and elsewhere."""

import io
import time

import pytest
from rich.console import Console

from isthmus.demo.progress import Bars, Lines, Pace, show


def test_without_a_terminal_come_lines_at_once_or_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    now_s = time.monotonic()

    with lines:
        lines.say("hello")
        for done, after_s in ((0, 0.0), (10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0)):
            monkeypatch.setattr(time, "monotonic", lambda passed_s=after_s: now_s + passed_s)
            lines.advance("flights", done, 100)

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "hello\nflights: 20 of 100 (10/s), 8 s left\nflights: 40 of 100 (10/s), 6 s left\n"


def test_on_a_terminal_come_bars() -> None:
    text = io.StringIO()
    bars = Bars(Console(file=text, force_terminal=True, width=120))

    with bars:
        bars.say("killed [now]")
        bars.advance("flights", 1, 27_004)
        bars.advance("flights", 13_500, 27_004)

    assert "killed [now]" in text.getvalue()
    assert "13500/27004" in text.getvalue()


def test_a_rate_counts_what_was_done_since_the_work_was_first_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(100)
    assert (pace.text(200), pace.left(200, 1000)) == ("", "")

    began_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began_s + 10)

    assert pace.text(2100).startswith("(200/s)")
    assert pace.left(2100, 4100) == ", 10 s left"
    assert pace.left(4100, 4100) == ""


def test_lines_are_chosen_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(show(), Lines)
