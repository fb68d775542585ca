"""The interval map against a dictionary with one entry per offset."""

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.lenses.queue import rows as module
from isthmus.lenses.queue.rows import DONE, LEASED, RETURNED, ROW_BYTES, Row, Rows

SPAN: Final = 60
Step = tuple[str, int, int, int]

steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "clear"]), st.integers(0, SPAN), st.integers(1, 20), st.integers(1, 3)),
    max_size=40,
)


def built(changes: list[Step]) -> tuple[Rows, dict[int, int]]:
    rows, naive = Rows(), dict[int, int]()
    for what, start, count, acquired in changes:
        for offset in range(start, start + count):
            naive.pop(offset, None)
            if what == "put":
                naive[offset] = acquired
        if what == "put":
            rows.put(start, start + count, LEASED, acquired, 7, -5, 1 << 40)
        else:
            rows.clear(start, start + count)
    return rows, naive


def flat(rows: Rows) -> dict[int, int]:
    return {offset: row.acquired for row in rows for offset in range(row.start, row.end)}


@given(steps)
@settings(max_examples=300)
def test_the_map_holds_what_a_dictionary_holds(changes: list[Step]) -> None:
    rows, naive = built(changes)

    assert flat(rows) == naive
    for offset in range(SPAN + 25):
        row = rows.get(offset)
        assert (row.acquired if row is not None else None) == naive.get(offset)


@given(steps, st.integers(0, SPAN), st.integers(1, 30))
@settings(max_examples=300)
def test_overlap_and_segments_cut_rows_to_the_range(changes: list[Step], start: int, count: int) -> None:
    rows, naive = built(changes)
    end = start + count

    segments = rows.segments(start, end)

    assert [piece[0] for piece in segments[1:]] == [piece[1] for piece in segments[:-1]]
    assert (segments[0][0], segments[-1][1]) == (start, end)
    told = {o: row.acquired for first, last, row in segments if row is not None for o in range(first, last)}
    assert told == {offset: acquired for offset, acquired in naive.items() if start <= offset < end}
    assert rows.overlap(start, end) == [row for _, _, row in segments if row is not None]
    assert rows.free(start, end) == (not told)


def test_over_many_chunks_it_is_the_same_map(monkeypatch: "object") -> None:
    rows = Rows()
    for offset in range(5_000):
        rows.put(offset * 2, offset * 2 + 1, RETURNED, 1, 0, offset)

    rows.clear(1_001, 8_001)
    rows.put(500, 700, DONE)
    rows.put(3_000, 9_000, LEASED, 2)

    expected = [offset * 2 for offset in range(5_000) if not 500 <= offset * 2 < 700]
    expected = [start for start in expected if not 1_001 <= start < 8_001 and not 3_000 <= start < 9_000]
    assert sorted(row.start for row in rows if row.state == RETURNED) == expected
    assert [(row.start, row.end) for row in rows if row.state != RETURNED] == [(500, 700), (3_000, 9_000)]
    assert len(rows) == len(expected) + 2
    assert rows.end == 9_999


@given(steps)
@settings(max_examples=100)
def test_small_chunks_change_nothing(changes: list[Step]) -> None:
    normal = module._CHUNK_ROWS_MAX
    module._CHUNK_ROWS_MAX = 4  # type: ignore[misc]  # so that a few rows are many chunks
    try:
        rows, naive = built(changes)
    finally:
        module._CHUNK_ROWS_MAX = normal  # type: ignore[misc]

    assert flat(rows) == naive
    for start in range(0, SPAN, 3):
        known = {offset for offset in naive if start <= offset < start + 9}
        assert {o for row in rows.overlap(start, start + 9) for o in range(row.start, row.end)} == known
        assert rows.free(start, start + 9) == (not known)


def test_equal_neighbours_are_one_row() -> None:
    rows = Rows()
    rows.put(0, 5, LEASED, 1)
    rows.put(10, 15, LEASED, 1)

    rows.put(5, 10, LEASED, 1)

    assert list(rows) == [Row(0, 15, 0, 0, 1, 0, LEASED)]


def test_a_snapshot_does_not_see_what_comes_later() -> None:
    rows = Rows()
    for offset in range(2_000):
        rows.put(offset, offset + 1, LEASED, offset + 1)
    before = list(rows)

    snapshot = rows.snapshot()
    rows.put(3, 1_500, DONE)
    rows.put(2_000, 2_001, LEASED, 1)

    assert list(snapshot) == before
    assert flat(rows) == {**{row.start: row.acquired for row in before}, **dict.fromkeys(range(3, 1_500), 0), 2_000: 1}


def test_clearing_everything_leaves_an_empty_map() -> None:
    rows, _ = built([("put", at, 1, 1) for at in range(0, 50, 2)])

    rows.clear_all()

    assert not rows
    assert rows.end is None
    assert rows.free(0, SPAN)


def test_a_row_of_its_own_takes_at_most_64_bytes_of_memory() -> None:
    rows = Rows()
    for offset in range(100_000):
        rows.put(offset, offset + 1, RETURNED, 1, 1, 1_700_000_000_000 + offset)

    assert len(rows) == 100_000
    assert ROW_BYTES <= rows.size_bytes / len(rows) <= 64
