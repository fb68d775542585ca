"""What goes over the pipe comes out of it, and half a line does not."""

import pytest

from isthmus.demo.lines import (
    Acknowledged,
    Begun,
    Handled,
    Line,
    Run,
    Settled,
    Stage,
    from_line,
    is_flight,
    mark,
    runs_of,
    to_line,
)
from isthmus.errors import InvariantError
from isthmus.record import Appended


@pytest.mark.parametrize(
    "line",
    [
        Begun(rows=27_004, resumed=120),
        Acknowledged([Run(3, 40, [8, 9, 11])]),
        Settled([7, 5]),
        Handled(events=5, stored=7),
        Stage("weather", 196, 0.5, {"calls": 196}),
    ],
)
def test_a_line_comes_back_as_it_was(line: Line) -> None:
    assert from_line(to_line(line)) == line


def test_a_line_that_the_writer_could_not_finish_does_not_count() -> None:
    assert from_line(to_line(Settled([1]))[:-1]) is None


def test_something_else_on_the_pipe_is_refused_and_shown() -> None:
    for said in (b'{"type":"hello"}\n', b"hello\n"):
        with pytest.raises(InvariantError, match="hello"):
            from_line(said)


def test_every_event_of_a_row_has_a_mark_of_its_own_and_one_of_two_stands_for_the_flight() -> None:
    marks = {kind: mark(5, kind) for kind in ("departed", "arrived", "cancelled")}

    assert len({*marks.values(), mark(6, "departed")}) == 4
    assert [kind for kind, marked in marks.items() if is_flight(marked)] == ["departed", "cancelled"]


def test_marks_follow_their_events_to_where_they_are() -> None:
    spread = [Appended("flights", 1, 10, 2, 0, indexes=(0, 2)), Appended("flights", 4, 7, 1, 0, indexes=(1,))]

    assert runs_of(spread, [100, 101, 102]) == [Run(1, 10, [100, 102]), Run(4, 7, [101])]
    assert runs_of([Appended("flights", 1, 10, 2, 0)], [100, 101]) == [Run(1, 10, [100, 101])]
