"""A position by example; `tests/model/test_position_model.py` holds it against a naive model."""

import pytest

from isthmus.errors import InvariantError
from isthmus.lenses.stream.position import START, Claim, Position, Progress
from isthmus.limits import DONE_WINDOW_MAX
from isthmus.record import NO_HEADERS, StoredRecord

LATER_MS = 10_000


def record(offset: int, key: str | None = None) -> StoredRecord:
    return StoredRecord(offset, 0, None if key is None else key.encode(), b"", NO_HEADERS)


def log(*keys: str | None) -> list[StoredRecord]:
    return [record(offset, key) for offset, key in enumerate(keys)]


def offsets(records: list[StoredRecord]) -> list[int]:
    return [each.offset for each in records]


def again(position: Position, now_ms: int = 0, count: int = 1_000) -> list[int]:
    return [claim.offset for claim in position.claim(now_ms, count)]


class TestProgress:
    def test_a_new_position_says_that_nothing_is_done(self) -> None:
        assert Position(START).progress() == START

    def test_settling_in_order_moves_the_floor(self) -> None:
        position, records = Position(START), log(None, None, None)
        position.take_new(records, 3)

        position.settle(records[:2])

        assert position.progress() == (2, (), ())

    def test_settling_out_of_order_leaves_ranges_above_the_floor(self) -> None:
        position, records = Position(START), log(*"abcdef")
        position.take_new(records, 6)

        position.settle([records[5], records[2], records[1]])

        assert position.progress() == (0, ((1, 3), (5, 6)), ())

    def test_a_position_rebuilt_from_what_it_said_says_the_same(self) -> None:
        said = Progress(3, ((5, 6), (8, 9)), ((4, 2, 70), (7, 1, 50)))

        assert Position(said).progress() == said

    def test_attempts_at_what_is_done_already_are_dropped(self) -> None:
        said = Progress(3, ((5, 6),), ((1, 1, 0), (5, 1, 0), (7, 1, 0)))

        assert Position(said).progress() == (3, ((5, 6),), ((7, 1, 0),))

    def test_ranges_that_touch_the_floor_belong_below_it(self) -> None:
        position = Position(Progress(3, ((3, 5),), ()))

        assert (position.floor, position.scan) == (5, 5)


class TestHandingOut:
    def test_what_is_done_above_the_floor_is_not_handed_out_again(self) -> None:
        position = Position(Progress(0, ((1, 2),), ()))

        assert offsets(position.take_new(log(*"abc"), 3)) == [0, 2]

    def test_when_the_floor_jumps_over_what_was_done_reading_goes_on_behind_it(self) -> None:
        position = Position(Progress(0, ((2, 10),), ()))
        taken = position.take_new(log("a", "b"), 2)

        position.settle(taken)

        assert (position.floor, position.scan) == (10, 10)

    def test_a_piece_that_was_read_before_the_floor_jumped_is_cut_to_what_is_left(self) -> None:
        position, records = Position(Progress(0, ((2, 10),), ())), [record(n) for n in range(12)]
        position.settle(position.take_new(records[:2], 2))

        cut = position.cut(records[2:], 12, 100)

        assert offsets(list(cut.records)) == [10, 11]
        assert cut.end_offset == 12

    def test_a_piece_is_cut_to_the_count(self) -> None:
        position, records = Position(START), [record(n) for n in (0, 1, 5, 9)]

        cut = position.cut(records, 20, 2)

        assert (offsets(list(cut.records)), cut.end_offset, offsets(list(cut.rest))) == ([0, 1], 5, [5, 9])

    def test_a_piece_is_cut_to_the_window(self) -> None:
        position, records = Position(START, window=4), [record(n) for n in (0, 1, 5, 9)]

        cut = position.cut(records, 20, 100)

        assert (offsets(list(cut.records)), cut.end_offset, offsets(list(cut.rest))) == ([0, 1], 4, [5, 9])

    def test_a_full_window_pauses_until_the_floor_moves(self) -> None:
        position, records = Position(START, window=3), [record(n) for n in range(9)]
        taken = position.take_new(records[:3], 3)

        position.settle(taken[1:])
        paused = position.paused
        position.settle(taken[:1])

        assert (paused, position.paused) == (True, False)

    def test_offsets_without_records_are_done_by_being_passed_over(self) -> None:
        position = Position(START)

        position.settle(position.take_new([record(2), record(5)], 8))

        assert position.progress() == (8, (), ())

    def test_a_failed_record_that_is_gone_from_the_log_is_forgotten(self) -> None:
        position = Position(Progress(0, (), ((1, 3, 0),)))

        position.settle(position.take_new([record(0), record(2)], 3))

        assert position.progress() == (3, (), ())


class TestFailures:
    def test_a_failed_record_is_claimed_when_it_is_due(self) -> None:
        position, records = Position(START), log("a")
        position.take_new(records, 1)
        position.fail(records[0], LATER_MS)

        assert again(position, LATER_MS - 1) == []
        assert position.next_due_ms() == LATER_MS
        assert again(position, LATER_MS) == [0]
        assert position.next_due_ms() is None

    def test_failures_add_up(self) -> None:
        position, records = Position(START), log("a")
        position.take_new(records, 1)

        for _ in range(3):
            position.fail(records[0], 0)
            position.claim(0, 1)

        assert position.failures(0) == 3
        assert position.failures(1) == 0

    def test_later_records_of_its_key_are_held_and_go_out_when_it_is_settled(self) -> None:
        position, records = Position(START), log("a", "b", "a", "a")
        position.take_new(records[:2], 2)
        position.fail(records[0], 0)

        fresh = position.take_new(records[2:], 4)
        claimed = again(position)
        position.settle(records[:1])

        assert (fresh, claimed, again(position)) == ([], [0], [2, 3])

    def test_a_record_without_key_holds_nobody_back(self) -> None:
        position, records = Position(START), log(None, None)
        position.take_new(records[:1], 1)

        position.fail(records[0], LATER_MS)

        assert offsets(position.take_new(records[1:], 2)) == [1]

    def test_after_a_restart_a_key_waits_for_what_failed_before_it(self) -> None:
        position = Position(Progress(0, (), ((0, 1, LATER_MS),)))

        fresh = position.take_new(log("a", "b", "a"), 3)

        assert offsets(fresh) == [1]
        assert again(position, LATER_MS) == [0]

    def test_after_a_restart_what_failed_is_claimed_only_once_it_was_read_past(self) -> None:
        position = Position(Progress(0, (), ((1, 1, 0),)))

        early = again(position)
        position.take_new(log("a", "a"), 2)

        assert (early, again(position)) == ([], [1])

    def test_when_an_earlier_one_fails_what_was_ready_waits_again(self) -> None:
        position, records = Position(START), log(*"aaa")
        position.take_new(records, 3)
        position.release(records[2])
        position.release(records[1])
        assert again(position, count=1) == [1]

        position.fail(records[1], LATER_MS)

        assert (again(position), position.has_ready) == ([], False)

    def test_a_claim_no_longer_stands_when_an_earlier_one_of_its_key_fails_meanwhile(self) -> None:
        position, records = Position(START), log("a", "a")
        position.take_new(records, 2)
        position.release(records[1])
        claims = position.claim(0, 1)
        standing = position.stands(claims[0])

        position.fail(records[0], LATER_MS)

        assert (standing, position.stands(claims[0])) == (True, False)
        position.unclaim(claims)
        assert again(position) == []

    def test_giving_back_what_one_does_not_hold_is_a_bug(self) -> None:
        position = Position(START)

        with pytest.raises(InvariantError, match="offset 0"):
            position.fail(record(0), 0)
        with pytest.raises(InvariantError, match="offset 0"):
            position.release(record(0))


class TestReleases:
    def test_what_is_released_goes_out_again_before_anything_new_and_in_order(self) -> None:
        position, records = Position(START), log("a", "b", "a", None)
        position.take_new(records, 4)

        for each in reversed(records):
            position.release(each)

        assert position.has_ready
        assert position.claim(0, 10) == [Claim(0, b"a"), Claim(1, b"b"), Claim(2, b"a"), Claim(3, None)]

    def test_a_failed_record_that_is_released_stays_a_failed_one(self) -> None:
        position, records = Position(START), log("a")
        position.take_new(records, 1)
        position.fail(records[0], 0)
        position.claim(0, 1)

        position.release(records[0])

        assert (again(position), position.failures(0)) == ([0], 1)

    def test_a_new_record_does_not_overtake_a_released_one_of_its_key(self) -> None:
        position, records = Position(START), log("a", "a")
        position.take_new(records[:1], 1)
        position.release(records[0])

        fresh = position.take_new(records[1:], 2)

        assert (fresh, again(position)) == ([], [0, 1])


class TestTrims:
    def test_what_lies_below_the_log_start_is_done(self) -> None:
        position, records = Position(START), log(*"aabc")
        position.take_new(records, 4)
        position.fail(records[0], 0)
        position.release(records[1])
        position.release(records[2])

        position.trimmed(3)

        assert position.progress() == (3, (), ())
        assert again(position) == []
        position.settle(records[3:])
        assert position.floor == 4

    def test_a_trim_frees_the_key_of_what_it_takes(self) -> None:
        position, records = Position(START), log("a", "a")
        position.take_new(records, 2)
        position.fail(records[0], LATER_MS)
        position.release(records[1])

        position.trimmed(1)

        assert again(position) == [1]

    def test_reading_goes_on_at_the_log_start(self) -> None:
        position = Position(START)

        position.trimmed(50)

        assert (position.floor, position.scan) == (50, 50)

    def test_what_was_taken_may_still_be_settled_failed_or_released(self) -> None:
        position, records = Position(START), log(*"abc")
        position.take_new(records, 3)
        position.trimmed(3)

        position.settle(records[:1])
        position.fail(records[1], 0)
        position.release(records[2])

        assert position.progress() == (3, (), ())
        assert again(position) == []

    def test_a_trim_below_the_floor_changes_nothing(self) -> None:
        position = Position(Progress(9, (), ()))

        position.trimmed(4)

        assert position.progress() == (9, (), ())


def test_a_full_window_of_failures_and_held_records_is_worked_off() -> None:
    """One poison key with a window full of held records, half of which fail once themselves."""
    records = [record(n, "a") for n in range(DONE_WINDOW_MAX)]
    position = Position(START)
    position.take_new(records[:1], 1)
    position.fail(records[0], 0)
    position.take_new(records[1:], DONE_WINDOW_MAX)

    handled = []
    while position.floor < DONE_WINDOW_MAX:
        for claim in position.claim(0, 1):
            if claim.offset % 2 and not position.failures(claim.offset):
                position.fail(records[claim.offset], 0)
            else:
                handled.append(claim.offset)
                position.settle([records[claim.offset]])

    assert handled == [*range(DONE_WINDOW_MAX)]
