"""The ledger: hand-over, ends of leases, time to live, trims, openings, checkpoints. The model test has the rest."""

import random
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.definition import QueueConfig
from isthmus.errors import InvariantError, StorageError
from isthmus.lenses.queue import ledger as module
from isthmus.lenses.queue.admission import Seen
from isthmus.lenses.queue.changes import DUE_NEVER, LEDGER_ROW, WHYS, Change, Held, Slice
from isthmus.lenses.queue.ledger import Ledger
from support.ledger import Desk

NO_LIMIT: Final = QueueConfig(failed_max=None)
ORDERED: Final = QueueConfig(ordered=True)


def seen(key: bytes | None = None, *, due_ms: int = 0, expire_ms: int = 0) -> Seen:
    return Seen(0, due_ms, expire_ms, key)


def leased_desk(count: int, config: QueueConfig | None = None) -> Desk:
    """A desk with so many records, all leased by session 1 without time limit."""
    desk = Desk(config)
    desk.fill(count)
    desk.take(count)
    desk.land()
    return desk


def taken(desk: Desk, count: int = 100) -> list[int]:
    return [offset for offset, _, _ in desk.take(count)]


# ---- handing out --------------------------------------------------------------------------------------------------


def test_records_go_out_in_order_and_once() -> None:
    desk = Desk()
    desk.fill(10)

    assert taken(desk, 4) == [0, 1, 2, 3]
    assert taken(desk, 100) == [4, 5, 6, 7, 8, 9]
    assert taken(desk, 1) == []


def test_records_that_were_never_looked_at_take_no_entry() -> None:
    desk = Desk()

    desk.fill(50_000)

    assert desk.ledger.entries == 0
    assert desk.ledger.counts().ready == 50_000


def test_a_run_of_leases_is_one_entry() -> None:
    desk = leased_desk(10_000)

    assert desk.ledger.entries == 1
    assert desk.ledger.counts().leased == 10_000


def test_what_is_acknowledged_in_order_leaves_nothing_behind() -> None:
    desk = leased_desk(1_000)

    for start in range(0, 1_000, 10):
        desk.settle(start, start + 10)
    desk.land()

    assert (desk.ledger.floor, desk.ledger.entries) == (1_000, 0)
    assert desk.ledger.counts().acked == 1_000


def test_the_floor_waits_for_the_lowest_and_then_jumps() -> None:
    desk = leased_desk(10)
    desk.settle(1, 10)
    desk.land()
    assert desk.ledger.floor == 0

    desk.settle(0, 1)
    desk.land()

    assert desk.ledger.floor == 10


def test_a_released_record_keeps_its_place() -> None:
    desk = Desk()
    desk.fill(10)
    desk.take(5)
    desk.land()

    desk.release(desk.ledger.held(1, 3))
    desk.land()

    assert desk.take(4) == [(1, 2, 0), (2, 2, 0), (5, 1, 0), (6, 1, 0)]


def test_a_claimed_record_is_not_handed_out() -> None:
    desk = Desk()
    desk.fill(3)
    desk.send(desk.ledger.settle([(0, 1)], "purged"))

    assert taken(desk) == [1, 2]


def test_a_full_window_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_WINDOW_MAX", 8)
    desk = Desk()
    desk.fill(20)

    assert taken(desk) == list(range(8))
    desk.land()
    assert taken(desk) == []
    desk.settle(0, 3)
    desk.land()
    assert taken(desk) == [8, 9, 10]


def test_what_is_delayed_leaves_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_WINDOW_MAX", 4)
    desk = Desk()
    desk.publish(*[seen(due_ms=500)] * 10, *[seen()] * 5)

    assert taken(desk) == [10, 11, 12, 13]
    assert desk.ledger.counts().delayed == 10


def test_nothing_fresh_is_read_when_told_so() -> None:
    desk = Desk()
    desk.fill(20)
    desk.take(2)
    desk.land()
    desk.release(desk.ledger.held(0, 2))
    desk.land()

    # The desk reads seven at a time.
    assert [offset for offset, _, _ in desk.take(20, fresh=False)] == [0, 1, 2, 3, 4, 5, 6]


# ---- delays and keys ----------------------------------------------------------------------------------------------


def test_a_delayed_record_comes_at_its_time_and_in_its_place() -> None:
    desk = Desk()
    desk.publish(seen(), seen(due_ms=1_000), seen(), seen())

    assert taken(desk, 2) == [0, 2]
    desk.now_ms = 999
    assert taken(desk, 1) == [3]
    desk.now_ms = 1_000
    assert taken(desk) == [1]


def test_next_wall_ms_names_the_time_to_look_again() -> None:
    desk = Desk()
    desk.publish(seen(due_ms=100_000, expire_ms=70_000))
    desk.take(1)
    assert desk.ledger.next_lease_end_ms() is None

    looked = [desk.now_ms]
    while (next_ms := desk.ledger.next_wall_ms()) is not None and not desk.ledger.lapsed(next_ms):
        desk.ledger.admission.wake(next_ms)
        looked.append(next_ms)

    assert next_ms == 70_000
    assert len(looked) < 6


def test_a_failing_key_holds_back_only_itself() -> None:
    desk = Desk(ORDERED)
    desk.publish(seen(b"a"), seen(b"b"), seen(b"a"), seen(b"b"))
    assert taken(desk) == [0, 1]
    desk.land()

    desk.release(desk.ledger.held(0, 1), failures=1, due_ms=5_000)
    desk.settle(1, 2)
    desk.land()

    assert taken(desk) == [3]
    desk.now_ms = 5_000
    assert desk.take(1) == [(0, 2, 1)]


def test_a_record_that_was_only_delayed_does_not_block_its_key() -> None:
    desk = Desk(ORDERED)
    desk.publish(seen(b"a", due_ms=1_000), seen(b"a"))

    assert taken(desk) == [1]
    desk.now_ms = 1_000
    assert taken(desk) == []
    desk.land()
    desk.settle(1, 2)
    desk.land()
    assert taken(desk) == [0]


def test_a_dying_record_blocks_its_key_until_it_is_buried() -> None:
    desk = Desk(QueueConfig(ordered=True, failed_max=1))
    desk.publish(seen(b"a"), seen(b"a"))
    desk.take(1)
    desk.land()
    desk.release(desk.ledger.held(0, 1), failures=1)
    desk.land()

    assert taken(desk) == []
    desk.settle(0, 1, "dead")
    desk.land()
    assert taken(desk) == [1]


def test_a_dying_record_does_not_block_what_is_before_it() -> None:
    desk = Desk(QueueConfig(ordered=True, failed_max=1))
    desk.publish(seen(b"a", due_ms=1_000), seen(b"a"), seen(b"a"))
    desk.take(1)
    desk.land()
    desk.release(desk.ledger.held(1, 2), failures=1)
    desk.land()
    desk.now_ms = 1_000

    assert taken(desk) == [0]


def test_a_run_of_one_key_goes_out_at_once() -> None:
    desk = Desk(ORDERED)
    desk.publish(seen(b"a"), seen(b"b"), seen(b"a"), seen(b"a"), seen(b"b"))

    run = desk.take(2, run_of_key=True)

    assert [offset for offset, _, _ in run] == [0, 2]
    assert taken(desk) == [1]
    desk.land()
    desk.settle(2, 3)
    desk.land()
    assert taken(desk) == []
    desk.settle(0, 1)
    desk.land()
    assert taken(desk) == [3]


def test_a_run_does_not_take_what_is_being_settled() -> None:
    desk = Desk(ORDERED)
    desk.publish(seen(b"a"), seen(b"a"), seen(b"a"))
    desk.take(1)
    desk.land()
    desk.release(desk.ledger.held(0, 1))
    desk.land()
    desk.send(desk.ledger.settle([(1, 2)], "purged"))

    assert [held.start for held in desk.ledger.run(0, 9)] == [0]
    assert Desk().ledger.run(0, 9) == []


def test_after_an_opening_keys_are_read_again_before_anything_goes_out() -> None:
    desk = Desk(ORDERED)
    desk.publish(seen(b"a"), seen(b"b"), seen(b"a"), seen(b"b"))
    desk.take(4)
    desk.land()
    desk.release(desk.ledger.held(0, 1), failures=1, due_ms=5_000)
    desk.land()

    desk.ledger = desk.opened([], desk.journal)

    assert taken(desk) == [1]


# ---- leases -------------------------------------------------------------------------------------------------------


def test_a_lease_is_named_by_its_hand_over() -> None:
    desk = leased_desk(1)
    desk.release(desk.ledger.held(0, 1))
    desk.land()
    desk.take(1)
    desk.land()

    assert desk.ledger.lost(0, 1, 1) == 0
    assert desk.ledger.lost(0, 1, 2) is None
    assert desk.ledger.lost(0, 1, None, session=1) is None
    assert desk.ledger.lost(0, 1, None, session=2) == 0


def test_a_lease_that_is_ending_is_lost() -> None:
    desk = leased_desk(4)
    desk.settle(2, 3)

    assert desk.ledger.lost(0, 4) == 2
    desk.land()
    assert desk.ledger.lost(0, 4) == 2
    assert desk.ledger.lost(0, 2) is None
    assert desk.ledger.lost(4, 5) == 4


def test_a_trimmed_record_can_still_be_acknowledged_once() -> None:
    desk = leased_desk(4)
    desk.send(desk.ledger.trim(2))
    assert desk.ledger.lost(0, 4, 1) is None
    desk.land()

    assert desk.ledger.lost(0, 2, 1) is None
    assert desk.ledger.lost(0, 2, 2) == 0
    desk.settle(0, 2)
    desk.land()

    assert desk.ledger.lost(0, 2, 1) == 0
    assert (desk.ledger.counts().trimmed, desk.ledger.counts().acked) == (2, 0)


def test_the_lease_on_a_trimmed_record_ends_with_its_time_or_session() -> None:
    desk = Desk()
    desk.fill(2)
    desk.take(1, until_ms=50)
    desk.take(1, session=9)
    desk.land()
    desk.send(desk.ledger.trim(2))
    desk.land()

    desk.ledger.expired(50)
    assert desk.ledger.lost(0, 1) == 0
    assert desk.ledger.lost(1, 2) is None
    desk.ledger.held_by(9)
    assert desk.ledger.lost(1, 2) == 1


def test_expired_leases_are_named_until_they_have_ended() -> None:
    desk = Desk()
    desk.fill(4)
    desk.take(2, until_ms=100)
    desk.take(2, until_ms=200)
    desk.land()

    assert desk.ledger.expired(99) == []
    assert desk.ledger.expired(100) == [Held(0, 2, 1, 0)]
    assert desk.ledger.expired(100) == [Held(0, 2, 1, 0)]
    desk.release(desk.ledger.expired(150), failures=1)
    assert desk.ledger.expired(150) == []
    desk.land()
    assert desk.take(9) == [(0, 2, 1), (1, 2, 1)]
    assert desk.ledger.expired(199) == []
    assert desk.ledger.next_lease_end_ms() == 200


def test_a_renewed_lease_ends_later() -> None:
    desk = Desk()
    desk.fill(3)
    desk.take(3, until_ms=100)
    desk.land()

    desk.ledger.extend(1, 2, 300)

    assert desk.ledger.expired(100) == [Held(0, 1, 1, 0), Held(2, 3, 1, 0)]
    assert desk.ledger.expired(300)[-1] == Held(1, 2, 1, 0)


def test_a_lease_without_time_limit_is_not_given_one() -> None:
    desk = leased_desk(1)

    desk.ledger.extend(0, 1, 100)

    assert desk.ledger.expired(1 << 40) == []


def test_a_session_holds_what_is_handed_to_it_also_in_flight() -> None:
    desk = Desk()
    desk.fill(6)
    desk.take(2, session=4)
    desk.land()
    desk.take(2, session=4)
    desk.take(1, session=4, until_ms=10)
    desk.take(1, session=5)

    assert desk.ledger.held_by(4) == [Held(0, 2, 1, 0), Held(2, 4, 1, 0)]
    desk.release(desk.ledger.held_by(4), failures=1)
    assert desk.ledger.held_by(4) == []
    desk.land()
    assert desk.take(9) == [(offset, 2, 1) for offset in range(4)]


def test_a_hand_over_that_nobody_receives_can_be_taken_back_in_flight() -> None:
    desk = Desk()
    desk.fill(4)
    desk.take(3)

    desk.release(desk.ledger.still([(0, 3)], 1))

    assert desk.ledger.still([(0, 3)], 1) == []
    desk.land()
    assert desk.take(9) == [(0, 2, 0), (1, 2, 0), (2, 2, 0), (3, 1, 0)]


def test_a_hand_over_that_lands_does_not_free_what_claimed_it_afterwards() -> None:
    desk = Desk()
    desk.fill(3)
    desk.take(3)
    desk.release(desk.ledger.still([(0, 3)], 1))

    desk.land(1)

    assert desk.ledger.counts().leased == 3
    assert desk.ledger.held(0, 3) == []
    assert desk.ledger.lost(0, 3, 1) == 0


def test_the_wheel_of_leases_does_not_grow_for_ever() -> None:
    desk = Desk(NO_LIMIT)
    desk.fill(1)
    for round_ms in range(3_000):
        desk.take(1, until_ms=1_000_000 + round_ms)
        desk.land()
        desk.release(desk.ledger.held(0, 1), due_ms=2_000_000 + round_ms)
        desk.land()
        desk.ledger.admission.wake(2_000_000 + round_ms)
        desk.now_ms = 2_000_000 + round_ms

    assert desk.ledger.size_bytes < 40_000


# ---- limits -------------------------------------------------------------------------------------------------------


def test_what_failed_too_often_is_dying() -> None:
    desk = Desk(QueueConfig(failed_max=2))
    desk.fill(1)
    for _ in range(2):
        desk.take(1)
        desk.land()
        desk.release(desk.ledger.held(0, 1), failures=1)
        desk.land()

    assert taken(desk) == []
    assert desk.ledger.dying(10) == [Held(0, 1, 2, 2)]
    assert desk.ledger.is_dying(0, 1)
    assert desk.ledger.counts().dying == 1


def test_a_plain_release_counts_hand_overs_only() -> None:
    desk = Desk(QueueConfig(failed_max=1, acquired_max=3))
    desk.fill(1)
    for _ in range(3):
        assert desk.ledger.counts().dying == 0
        desk.take(1)
        desk.land()
        desk.release(desk.ledger.held(0, 1))
        desk.land()

    assert desk.ledger.dying(10) == [Held(0, 1, 3, 0)]


def test_the_dying_are_named_up_to_a_count_and_not_while_they_are_buried() -> None:
    desk = leased_desk(10, QueueConfig(failed_max=1))
    desk.release(desk.ledger.held(0, 10), failures=1)
    desk.land()

    assert desk.ledger.dying(4) == [Held(0, 4, 1, 1)]
    desk.settle(2, 5, "dead")
    assert desk.ledger.dying(4) == [Held(0, 2, 1, 1), Held(5, 7, 1, 1)]
    assert not desk.ledger.is_dying(0, 3)


# ---- time to live, trim, purge --------------------------------------------------------------------------------------


def test_a_record_outlives_its_own_time() -> None:
    desk = Desk()
    desk.publish(seen(), seen(expire_ms=500), seen(expire_ms=500))
    desk.take(2)
    desk.land()

    assert desk.ledger.lapsed(499) == []
    assert desk.ledger.lapsed(500) == [(2, 3)]
    desk.settle(2, 3, "expired")
    desk.land()
    desk.release(desk.ledger.held(1, 2))
    desk.land()
    assert desk.ledger.lapsed(1_500) == [(1, 2)]
    desk.settle(1, 2, "expired")
    desk.land()
    assert desk.ledger.counts().expired == 2


def test_the_time_to_live_of_a_queue_needs_no_reading() -> None:
    desk = Desk(QueueConfig(ttl_ms=6_400))
    desk.fill(1_000)
    desk.now_ms = 3_200
    desk.fill(1_000)

    assert desk.ledger.lapsed(6_399) == []
    assert desk.ledger.lapsed(6_400) == [(0, 1_000)]
    assert taken(desk, 1) == [1_000]
    assert desk.ledger.lapsed(9_600) == [(0, 1_000), (1_001, 2_000)]


def test_what_is_leased_when_its_time_is_over_goes_when_it_comes_back() -> None:
    desk = Desk(QueueConfig(ttl_ms=640))
    desk.fill(2)
    desk.take(1)
    desk.land()
    assert desk.ledger.lapsed(640) == [(1, 2)]
    desk.settle(1, 2, "expired")
    desk.land()

    desk.release(desk.ledger.held(0, 1))
    desk.land()

    assert taken(desk) == []
    assert desk.ledger.next_wall_ms() is not None
    assert desk.ledger.lapsed(641) == [(0, 1)]


def test_ages_survive_a_checkpoint() -> None:
    desk = Desk(QueueConfig(ttl_ms=6_400))
    desk.fill(10)
    slices = list(desk.ledger.export())
    desk.now_ms = 5_000

    desk.ledger = desk.opened(slices, [])

    assert desk.ledger.lapsed(6_400) == [(0, 10)]


def test_a_trim_settles_what_it_covers_whatever_its_state() -> None:
    desk = Desk()
    desk.publish(seen(), seen(due_ms=9_000), *[seen()] * 6)
    desk.take(3)
    desk.land()
    desk.settle(0, 1)
    desk.land()

    desk.send(desk.ledger.trim(6))
    assert taken(desk, 1) == [6]
    desk.land()

    counts = desk.ledger.counts()
    assert (desk.ledger.floor, counts.trimmed, counts.acked, counts.delayed) == (6, 5, 1, 0)
    assert desk.ledger.trim(6) is None


def test_a_purge_takes_all_but_leases_and_the_dying() -> None:
    desk = Desk(QueueConfig(failed_max=1))
    desk.publish(*[seen()] * 4, seen(due_ms=9_000), *[seen()] * 5)
    desk.take(3)
    desk.land()
    desk.release(desk.ledger.held(0, 1), failures=1)
    desk.land()

    assert desk.ledger.loose() == [(3, 10)]


def test_offsets_without_a_record_are_settled_and_not_counted() -> None:
    desk = Desk()
    desk.publish(seen(), None, None, seen(), None)

    assert taken(desk) == [0, 3]
    desk.land()
    desk.settle(0, 1)
    desk.settle(3, 4)
    desk.land()

    assert desk.ledger.floor == 5
    assert desk.ledger.counts().enqueued == 2


# ---- openings -----------------------------------------------------------------------------------------------------


def test_what_was_leased_has_failed_once_more_after_an_opening() -> None:
    desk = leased_desk(3)

    desk.ledger = desk.opened([], desk.journal)

    assert desk.take(9) == [(0, 2, 1), (1, 2, 1), (2, 2, 1)]


def test_what_kills_its_process_each_time_dies_in_the_end() -> None:
    desk = Desk(QueueConfig(failed_max=3))
    desk.fill(1)
    for crash in range(1, 4):
        assert desk.take(1) == [(0, crash, crash - 1)]
        desk.land()
        desk.ledger = desk.opened([], desk.journal)

    assert taken(desk) == []
    assert desk.ledger.dying(1) == [Held(0, 1, 3, 3)]


def test_a_delay_survives_an_opening() -> None:
    desk = leased_desk(2)
    desk.release(desk.ledger.held(0, 1), failures=1, due_ms=1_000)
    desk.land()

    desk.ledger = desk.opened(list(desk.ledger.export()), [])

    assert desk.ledger.counts().delayed == 1
    assert taken(desk) == [1]
    desk.now_ms = 1_000
    assert taken(desk) == [0]


def test_a_ledger_that_was_not_recovered_decides_nothing() -> None:
    ledger = Ledger(0, QueueConfig())

    with pytest.raises(InvariantError, match="before it was recovered"):
        ledger.settle([(0, 1)], "acked")
    assert not ledger.live


def test_a_change_that_was_not_reserved_is_a_bug() -> None:
    desk = leased_desk(2)
    desk.settle(0, 1)

    with pytest.raises(InvariantError, match="not the next one"):
        desk.ledger.apply(Change("settled", ((1, 2),)))


# ---- replay -------------------------------------------------------------------------------------------------------


def life(seed: int) -> Desk:
    """A desk after a few hundred random steps, all of them landed."""
    chance = random.Random(seed)
    desk = Desk(QueueConfig(failed_max=3))
    for _ in range(120):
        desk.now_ms += chance.randrange(300)
        desk.fill(chance.randrange(4))
        desk.take(chance.randrange(1, 6))
        desk.land()
        held = desk.ledger.held(0, desk.end)
        some = [piece for piece in held if chance.random() < 0.6]
        for piece in some:
            match chance.randrange(4):
                case 0:
                    desk.release([piece], failures=1, due_ms=desk.now_ms + chance.choice([1, 400]))
                case 1:
                    desk.release([piece])
                case _:
                    desk.settle(piece.start, piece.end, chance.choice(["acked", "rejected"]))
        desk.land()
        if chance.random() < 0.1:
            for piece in desk.ledger.dying(3):
                desk.settle(piece.start, piece.end, "dead")
        if chance.random() < 0.03:
            desk.send(desk.ledger.trim(desk.ledger.floor + 2))
        desk.land()
    return desk


def state(ledger: Ledger) -> tuple[object, ...]:
    """What a checkpoint would hold, offset by offset: how it is cut into rows and slices does not matter."""
    parts = list(ledger.export())
    done = {offset for part in parts for start, end in part.done for offset in range(start, end)}
    rows = {
        offset: row
        for part in parts
        for start, end, *row in LEDGER_ROW.iter_unpack(part.rows)
        for offset in range(start, end)
    }
    return parts[0].floor, parts[0].counts, done, rows


@pytest.mark.parametrize("kind", ["leased", "released", "settled"])
@given(seed=st.integers(0, 1_000), data=st.data())
@settings(max_examples=40)
def test_any_old_change_over_a_newer_state_changes_nothing(kind: str, seed: int, data: st.DataObject) -> None:
    desk = life(seed)
    old = [change for change in desk.journal if change.kind == kind]
    replayed = Ledger(0, desk.config)
    for part in desk.ledger.export():
        replayed.restore(part)
    before = state(replayed)

    for change in data.draw(st.permutations(old)):
        replayed.apply(change)

    assert state(replayed) == before


@given(seed=st.integers(0, 1_000), at=st.floats(0, 1))
@settings(max_examples=60)
def test_a_checkpoint_and_the_journal_from_before_it_give_the_same_state(seed: int, at: float) -> None:
    desk = life(seed)
    cut = int(len(desk.journal) * at)
    early = Ledger(0, desk.config)
    for change in desk.journal[:cut]:
        early.apply(change)
    slices = list(early.export())

    replayed = Ledger(0, desk.config)
    for part in slices:
        replayed.restore(part)
    for change in desk.journal[cut // 2 :]:
        replayed.apply(change)

    assert state(replayed) == state(desk.ledger)


@given(seed=st.integers(0, 1_000))
@settings(max_examples=30)
def test_an_old_slice_over_a_newer_state_changes_nothing(seed: int) -> None:
    desk = life(seed)
    early = Ledger(0, desk.config)
    for change in desk.journal[: len(desk.journal) // 2]:
        early.apply(change)
    replayed = Ledger(0, desk.config)
    for change in desk.journal:
        replayed.apply(change)
    before = state(replayed)

    for part in early.export():
        replayed.restore(part)

    assert state(replayed) == before


def test_a_large_state_comes_in_slices_of_one_moment() -> None:
    desk = leased_desk(6_000, NO_LIMIT)
    for start in range(0, 6_000, 2):
        desk.release(desk.ledger.held(start, start + 1), due_ms=start + 1)
    desk.land()
    expected = state(desk.ledger)

    export = desk.ledger.export()
    first = next(export)
    desk.settle(1, 2)
    desk.land()
    rest = list(export)

    assert len(rest) > 3
    assert all(part.counts == () for part in rest)
    restored = Ledger(0, desk.config)
    for part in (first, *rest):
        restored.restore(part)
    assert state(restored) == expected
    assert all(len(part.rows) < 64_000 for part in rest)


def test_a_packed_row_has_at_most_64_bytes() -> None:
    assert LEDGER_ROW.size <= 64


def test_rows_that_this_version_does_not_know_are_refused() -> None:
    ledger = Ledger(0, QueueConfig())

    with pytest.raises(StorageError, match="upgrade"):
        ledger.restore(Slice(0, (), b"\x00" * 5))
    with pytest.raises(StorageError, match="state 77"):
        ledger.restore(Slice(0, (), LEDGER_ROW.pack(0, 1, 0, 1, 0, 77)))


def test_counts_of_reasons_that_follow_later_are_passed_over() -> None:
    ledger = Ledger(0, QueueConfig())

    ledger.restore(Slice(0, (), b"", (1,) * (len(WHYS) + 2)))

    assert ledger.counts().acked == 1


# ---- memory -------------------------------------------------------------------------------------------------------


def test_an_entry_takes_at_most_64_bytes_of_memory() -> None:
    desk = leased_desk(20_000, NO_LIMIT)
    for offset in range(20_000):
        desk.release(desk.ledger.held(offset, offset + 1), failures=1, due_ms=1_000_000 + offset)
        desk.land()

    assert desk.ledger.entries == 20_000
    assert desk.ledger.size_bytes / desk.ledger.entries <= 64


def test_changes_of_one_ledger_come_back_in_the_order_in_which_they_were_reserved() -> None:
    desk = Desk()
    desk.fill(4)
    for count in (1, 2, 1):
        desk.take(count)

    ranges = [change.ranges for change in desk.flying]

    assert all(first[-1][1] <= second[0][0] for first, second in pairwise(ranges))


def test_due_never_marks_the_dying_in_the_journal() -> None:
    desk = leased_desk(1, QueueConfig(failed_max=1))

    desk.release(desk.ledger.held(0, 1), failures=1, due_ms=5)

    assert desk.flying[0].due_ms == DUE_NEVER
