"""Admission: what is ready, unread, asleep."""

from isthmus.lenses.queue import admission as module
from isthmus.lenses.queue.admission import Admission, Look, Seen
from isthmus.lenses.queue.rows import DONE, DYING, LEASED, RETURNED, Rows


def made(*, ordered: bool = False, fresh: int = 0) -> tuple[Admission, Rows, Rows]:
    rows, claims = Rows(), Rows()
    return Admission(rows, claims, ordered=ordered, fresh=fresh), rows, claims


def test_what_was_never_looked_at_is_to_be_read_first() -> None:
    admission, _, _ = made(fresh=3)

    assert admission.look(0, 10, 5) == Look(3, 10, unread=True)
    admission.admit(3, 6)
    assert admission.look(0, 10, 5) == Look(3, 6, unread=False)


def test_the_lowest_goes_first_wherever_it_comes_from() -> None:
    admission, _, _ = made()
    admission.admit(0, 10)
    admission.take(0, 10)
    admission.back(4, 6)
    admission.reread(2, 3)
    admission.back(8, 9)

    assert admission.look(0, 20, 9) == Look(2, 3, unread=True)
    admission.admit(2, 3)
    looks = []
    while (look := admission.look(0, 0, 9)) is not None:
        looks.append((look.start, look.end))
        admission.take(look.start, look.end)
    assert looks == [(2, 3), (4, 6), (8, 9)]


def test_the_first_part_may_be_taken() -> None:
    admission, _, _ = made()
    admission.admit(0, 10)

    admission.take(0, 4)

    assert admission.look(0, 0, 3) == Look(4, 7, unread=False)


def test_what_is_settled_claimed_leased_or_dying_is_passed_over() -> None:
    admission, rows, claims = made()
    admission.admit(0, 10)
    rows.put(0, 1, DONE)
    rows.put(1, 2, LEASED, 1)
    rows.put(2, 3, DYING, 1)
    claims.put(3, 5, 1)
    rows.put(6, 8, RETURNED, 2, 1)

    look = admission.look(0, 0, 9)

    assert look == Look(5, 6, unread=False)
    admission.take(5, 6)
    assert admission.look(0, 0, 9) == Look(6, 8, False, 2, 1)


def test_nothing_below_the_base_goes_out_or_is_read() -> None:
    admission, _, _ = made()
    admission.admit(0, 4)
    admission.reread(0, 2)

    assert admission.look(3, 0, 9) == Look(3, 4, unread=False)
    assert admission.look(7, 9, 9) == Look(7, 9, unread=True)
    assert admission.look(9, 9, 9) is None


def test_settled_offsets_are_not_read() -> None:
    admission, rows, claims = made()
    rows.put(0, 4, DONE)
    admission.reread(0, 6)
    claims.put(4, 5, 1)

    assert admission.look(0, 0, 9) == Look(5, 6, unread=True)
    admission.admit(5, 6)
    rows.put(6, 9, DONE)
    admission.take(5, 6)
    admission.fresh = 6
    assert admission.look(0, 12, 9) == Look(9, 12, unread=True)


def test_what_its_producer_delayed_is_read_again_when_it_is_due() -> None:
    admission, _, _ = made()
    admission.admit_seen(3, [Seen(0), Seen(1, due_ms=50), Seen(2, due_ms=50)])
    assert (admission.delayed, admission.due_ms(1, None), admission.due_ms(0, None)) == (2, 50, None)
    assert admission.next_due_ms is not None

    assert not admission.wake(49)
    assert admission.wake(50)

    assert admission.delayed == 0
    assert admission.look(1, 0, 9) == Look(1, 2, unread=True)
    assert not admission.wake(20)


def test_what_failed_sleeps_by_its_row() -> None:
    admission, rows, _ = made()
    admission.admit(0, 2)
    admission.take(0, 2)
    rows.put(0, 2, RETURNED, 1, 1, 50)
    admission.back(0, 2, 50)

    assert (admission.delayed, admission.due_ms(0, rows.get(0))) == (2, 50)
    assert admission.look(0, 0, 9) is None
    admission.wake(60)
    assert admission.look(0, 0, 9) == Look(0, 2, False, 1, 1)
    assert admission.due_ms(0, rows.get(0)) is None


def test_what_goes_while_it_is_asleep_is_not_counted_any_more() -> None:
    admission, rows, _ = made()
    admission.admit_seen(4, [Seen(0, due_ms=50), Seen(1, due_ms=50), Seen(2), Seen(3)])
    admission.take(2, 4)
    rows.put(2, 4, RETURNED, 1, 1, 70)
    admission.back(2, 4, 70)
    assert admission.delayed == 4

    admission.gone(0, 1, None)
    admission.gone(2, 3, rows.get(2))

    assert admission.delayed == 2
    rows.put(2, 3, DONE)
    admission.wake(100)
    assert admission.delayed == 0
    assert admission.look(0, 0, 9) == Look(1, 2, unread=True)


def test_when_the_clock_is_put_back_delays_last_as_long_as_they_were_to_last() -> None:
    admission, rows, _ = made(ordered=True)
    admission.admit_seen(3, [Seen(0, key=b"a"), Seen(1, key=b"b"), Seen(2, key=b"a")])
    for offset, due_ms in ((0, 5_000), (1, 20_000)):
        admission.take(offset, offset + 1)
        rows.put(offset, offset + 1, RETURNED, 1, 1, due_ms)
        admission.back(offset, offset + 1, due_ms)
    admission.wake(90_000)
    assert admission.delayed == 0

    admission.wake(10_000)

    assert admission.delayed == 1
    assert admission.look(0, 0, 9) == Look(0, 1, False, 1, 1)
    assert admission.look(1, 0, 9) is None
    admission.wake(9_500)
    assert admission.woken_ms == 10_000
    admission.wake(20_000)
    assert admission.delayed == 0
    assert admission.look(1, 0, 9) == Look(1, 2, False, 1, 1)


def test_settled_records_are_not_admitted() -> None:
    admission, rows, _ = made()
    rows.put(1, 2, DONE)

    admission.admit_seen(3, [Seen(0), Seen(1), Seen(2)])

    assert admission.look(0, 0, 9) == Look(0, 1, unread=False)


def test_an_ordered_queue_shows_one_record_of_a_key() -> None:
    admission, _, _ = made(ordered=True)
    admission.admit_seen(3, [Seen(0, key=b"a"), Seen(1, key=b"a"), Seen(2, key=b"b")])

    admission.take(0, 1)

    assert admission.look(0, 0, 9) == Look(2, 3, unread=False)
    admission.take(2, 3)
    assert admission.look(0, 0, 9) is None
    admission.drop(0, 1)
    assert admission.look(0, 0, 9) == Look(1, 2, unread=False)


def test_a_wheel_full_of_outdated_entries_is_filled_anew(monkeypatch: object) -> None:
    admission, rows, _ = made()
    admission.admit(0, 1)
    admission.admit_seen(2, [Seen(1, due_ms=10**9)])
    for number in range(3 * module.WHEEL_SLACK):
        admission.take(0, 1)
        rows.put(0, 1, RETURNED, number + 1, 0, 10**8 + number)
        admission.back(0, 1, 10**8 + number)
        admission.gone(0, 1, rows.get(0))
        rows.clear(0, 1)
        admission.back(0, 1)
        admission.forget_outdated()

    assert len(admission._dues) <= module.WHEEL_SLACK + 4
    admission.wake(10**9)
    assert admission.delayed == 0
