"""What is shown while the demo runs, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from isthmus.demo.progress import Bars, Lines, left_s, show


def test_without_a_terminal_come_lines_at_once_and_the_last_of_a_work(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()

    with lines:
        lines.say("hello")
        lines.advance("flights", 1, 1000)
        lines.advance("flights", 2, 1000)
        lines.advance("flights", 1000, 1000)

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("hello\nflights: 1,000 of 1,000 (")
    assert said.err.count("\n") == 2


def test_on_a_terminal_come_bars_with_rate_and_time_left() -> None:
    text = io.StringIO()
    bars = Bars(Console(file=text, force_terminal=True, width=120))

    with bars:
        bars.say("killed [now]")
        bars.advance("flights", 1, 27_004)
        bars.advance("flights", 13_500, 27_004)

    assert "killed [now]" in text.getvalue()
    assert "13500/27004" in text.getvalue()
    assert "/s)" in text.getvalue()


def test_the_rest_takes_as_long_as_the_part_that_is_done() -> None:
    assert left_s(250, 1000, 2.0) == 6.0


def test_lines_are_chosen_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(show(), Lines)
