"""What a ledger decides, as data."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from isthmus.lenses.queue.changes import WHYS, Counts, merged

ranges = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda row: (row[0], row[0] + row[1])))


@given(ranges)
def test_merged_ranges_rise_are_disjoint_and_hold_the_same(rows: list[tuple[int, int]]) -> None:
    found = merged(rows)

    assert {o for start, end in found for o in range(start, end)} == {o for s, e in rows for o in range(s, e)}
    assert all(first[1] < second[0] for first, second in pairwise(found))


def test_every_reason_but_a_gap_has_a_count() -> None:
    assert set(WHYS) - set(Counts.__struct_fields__) == {"gap"}
