"""What a ledger decides, as data."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from isthmus.definition import QueueConfig
from isthmus.lenses.queue.changes import LEDGER_ROW, WHYS, Counts, Slice, merged
from support import format_text
from support.ledger import Desk

TEXT = format_text.TEXT.with_name("ledger.md")

ranges = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda row: (row[0], row[0] + row[1])))


@given(ranges)
def test_merged_ranges_rise_are_disjoint_and_hold_the_same(rows: list[tuple[int, int]]) -> None:
    found = merged(rows)

    assert {o for start, end in found for o in range(start, end)} == {o for s, e in rows for o in range(s, e)}
    assert all(first[1] < second[0] for first, second in pairwise(found))


def test_every_reason_but_a_gap_has_a_count() -> None:
    assert set(WHYS) - set(Counts.__struct_fields__) == {"gap"}


def test_the_text_of_the_format_tells_the_layout_of_a_row() -> None:
    assert format_text.layout("changes.LEDGER_ROW", TEXT) == format_text.expanded(LEDGER_ROW.format)
    assert LEDGER_ROW.size == 33


def test_the_text_of_the_format_has_every_reason_in_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ", TEXT.read_text(encoding="utf-8").split("| why | when |")[1], re.MULTILINE)

    assert tuple(rows) == WHYS


def test_the_worked_example_is_what_the_ledger_exports() -> None:
    desk = Desk(QueueConfig(failed_max=2))
    desk.fill(10)
    desk.take(10)
    desk.land()
    desk.release(desk.ledger.held(7, 8), failures=1)
    desk.land()
    desk.take(1)
    desk.land()
    desk.settle(0, 5)
    desk.settle(6, 7)
    desk.release(desk.ledger.held(5, 6), failures=1, due_ms=1_700_000_000_000)
    desk.release(desk.ledger.held(7, 8), failures=1)
    desk.land()

    (part,) = desk.ledger.export()

    assert part == Slice(5, ((6, 7),), format_text.example("ledger rows", TEXT), (6, 0, 0, 0, 0, 0, 0, 0))
