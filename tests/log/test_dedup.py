"""Whether something was appended already: by producer sequence, by de-duplication id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import OutOfOrderSequence, Overloaded, StaleProducer
from isthmus.limits import DEDUP_IDS_MAX, PRODUCER_BATCHES_KEPT, PRODUCERS_MAX
from isthmus.log.dedup import SEQUENCES, DedupHit, DedupWindow, ProducerTable, digest

# ---- producers ---------------------------------------------------------------------------------------------------


def table(*sequences: int, count: int = 2, epoch: int = 1) -> ProducerTable:
    """Of producer 5, with batches at the offsets 100, 200, ..."""
    made = ProducerTable()
    for number, sequence in enumerate(sequences, 1):
        made.add(5, epoch, sequence, count, 100 * number)
    return made


def test_an_unknown_producer_may_start_anywhere() -> None:
    assert ProducerTable().find(5, 1, 77, 2) is None


def test_the_next_sequence_is_new() -> None:
    assert table(0, 2).find(5, 1, 4, 1) is None


def test_each_of_the_last_batches_is_found_again() -> None:
    made = table(*range(0, 2 * PRODUCER_BATCHES_KEPT, 2))

    assert [made.find(5, 1, 2 * number, 2) for number in range(5)] == [100, 200, 300, 400, 500]


def test_a_batch_that_is_older_than_those_kept_is_out_of_order() -> None:
    with pytest.raises(OutOfOrderSequence):
        table(*range(0, 2 * PRODUCER_BATCHES_KEPT + 2, 2)).find(5, 1, 0, 2)


@pytest.mark.parametrize(("sequence", "count"), [(5, 1), (2, 1), (1, 2), (3, 1)])
def test_a_gap_or_an_overlap_is_out_of_order(sequence: int, count: int) -> None:
    with pytest.raises(OutOfOrderSequence):
        table(0, 2).find(5, 1, sequence, count)


def test_an_older_epoch_is_refused() -> None:
    with pytest.raises(StaleProducer):
        table(0).find(5, 0, 2, 1)


def test_a_newer_epoch_starts_at_zero_and_forgets_the_batches_before() -> None:
    made = table(0)
    assert made.find(5, 2, 0, 2) is None
    with pytest.raises(OutOfOrderSequence):
        made.find(5, 2, 2, 1)

    made.add(5, 2, 0, 1, 900)

    assert made.rows() == ((5, 2, ((0, 0, 900),)),)


def test_sequences_wrap() -> None:
    made = table(SEQUENCES - 1)

    assert made.find(5, 1, SEQUENCES - 1, 2) == 100
    assert made.find(5, 1, 1, 1) is None


def test_producers_know_nothing_of_each_other() -> None:
    made = table(0)
    made.add(6, 1, 0, 1, 500)

    assert (made.find(5, 1, 0, 2), made.find(6, 1, 0, 1)) == (100, 500)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(1, 4)), max_size=20), st.data())
def test_replaying_batches_from_any_earlier_one_changes_nothing(
    steps: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    made, added = ProducerTable(), list[tuple[int, int, int, int, int]]()
    for offset, (producer, epoch, count) in enumerate(steps):
        added.append((producer, epoch, 10 * offset, count, offset))
        made.add(*added[-1])
    before = made.rows()
    for row in added[data.draw(st.integers(0, len(added))) :]:
        made.add(*row)

    assert made.rows() == before
    assert ProducerTable.restore(before).rows() == before


# ---- ids ---------------------------------------------------------------------------------------------------------

A, B = digest("a"), digest("b")


def test_of_too_many_producers_the_one_that_was_quiet_for_longest_is_forgotten_also_over_a_checkpoint() -> None:
    table = ProducerTable()
    for producer in range(PRODUCERS_MAX):
        table.add(producer, 0, 0, 1, producer)
    table.add(0, 0, 1, 1, PRODUCERS_MAX)

    table = ProducerTable.restore(table.rows())
    table.add(PRODUCERS_MAX, 0, 0, 1, PRODUCERS_MAX + 1)

    assert len(table.rows()) == PRODUCERS_MAX
    assert (table.find(0, 0, 1, 1), table.find(2, 0, 0, 1)) == (PRODUCERS_MAX, 2)
    assert table.find(1, 0, 77, 1) is None  # it may begin anywhere


def test_digests_are_sixteen_bytes_and_differ() -> None:
    assert len(A) == len(B) == 16
    assert A != B


def test_an_id_is_found_within_the_window_and_forgotten_after_it() -> None:
    window = DedupWindow(100)
    window.add(A, 1_000, 7, 40)

    assert window.find(A, 1_099) == DedupHit(7, 40)
    assert window.find(A, 1_100) is None
    assert len(window) == 0


def test_an_id_is_known_without_regard_to_time() -> None:
    window = DedupWindow(100)
    window.add(A, 1_000, 7, 40)

    assert window.known(A) == DedupHit(7, 40)
    assert window.known(B) is None


def test_the_first_record_with_an_id_wins() -> None:
    window = DedupWindow(100)
    window.add(A, 1_000, 7, 40)
    window.add(A, 1_050, 8, 50)

    assert window.find(A, 1_060) == DedupHit(7, 40)


def test_an_id_that_comes_again_after_the_window_begins_a_new_one_behind_the_others() -> None:
    window = DedupWindow(100)
    window.add(A, 1_000, 7, 40)
    window.add(B, 1_090, 7, 41)
    window.add(A, 1_100, 7, 42)
    window.forget(1_195)

    assert window.known(B) is None
    assert window.find(A, 1_195) == DedupHit(7, 42)


def test_a_full_window_refuses_new_ids_and_forgets_none_early() -> None:
    window = DedupWindow(100)
    for number in range(DEDUP_IDS_MAX):
        window.add(number.to_bytes(16, "little"), 1_000, 1, number)

    with pytest.raises(Overloaded):
        window.find(A, 1_099)
    assert window.find(bytes(16), 1_099) == DedupHit(1, 0)
    assert window.find(A, 1_100) is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 60)), max_size=20), st.data())
def test_replaying_ids_from_a_checkpoint_and_any_earlier_record_changes_nothing(
    steps: list[tuple[str, int]], data: st.DataObject
) -> None:
    window, rows, now_ms = DedupWindow(100), list[tuple[bytes, int, int, int]](), 1_000
    for offset, (name, step_ms) in enumerate(steps):
        now_ms += step_ms
        if window.find(digest(name), now_ms) is None:
            rows.append((digest(name), now_ms, 1, offset))
            window.add(*rows[-1])
    again = DedupWindow(100)
    again.restore(window.pack())
    for row in rows[data.draw(st.integers(0, len(rows))) :]:
        again.add(*row)

    assert [again.find(digest(name), now_ms) for name in "abcd"] == [
        window.find(digest(name), now_ms) for name in "abcd"
    ]
