"""Changes as facts and back."""

from functools import partial

import pytest

from isthmus.errors import InvariantError
from isthmus.lenses.queue.changes import DUE_NEVER, Change, Slice
from isthmus.lenses.queue.translate import change_of, fact_of, slice_of, state_of
from isthmus.log import facts

CHANGES = [
    Change("leased", ((0, 5), (7, 8)), 3, 1),
    Change("released", ((2, 4),), 3, 2, 1_000),
    Change("released", ((2, 4),), 3, 5, DUE_NEVER),
    Change("settled", ((0, 9),), why="acked"),
    Change("settled", ((4, 5),), why="gap"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_comes_back_from_the_journal_as_it_was(change: Change) -> None:
    fact = fact_of(change, queue=3, partition=9, time_ms=7, who="one", principal=2, reason="why", until_ms=8)

    stored = facts.decode(facts.encode(fact))

    assert stored == fact
    assert isinstance(stored, facts.Leased | facts.Released | facts.Settled)
    assert change_of(stored) == change


def test_the_journal_is_told_who_when_and_why() -> None:
    tell = partial(fact_of, queue=3, partition=9, time_ms=7)

    leased = tell(CHANGES[0], who="one", principal=2, until_ms=8)
    released = tell(CHANGES[1], reason="boom")
    settled = tell(CHANGES[3], who="two")

    assert leased == facts.Leased(3, 9, ((0, 5), (7, 8)), 3, 1, "one", 2, 7, 8)
    assert released == facts.Released(3, 9, ((2, 4),), 3, 2, 1_000, "boom", 7)
    assert settled == facts.Settled(3, 9, ((0, 9),), "acked", "two", 7)


def test_a_reason_that_is_none_is_a_bug() -> None:
    with pytest.raises(InvariantError, match="mislaid"):
        change_of(facts.Settled(1, 1, ((0, 1),), "mislaid", "", 0))


def test_a_slice_comes_back_from_a_checkpoint_as_it_was() -> None:
    part = Slice(5, ((7, 9),), b"rows", (1, 2, 3), ((10, 1_000),))

    stored = facts.decode(facts.encode(state_of(part, queue=3, partition=9)))

    assert isinstance(stored, facts.LedgerState)
    assert (stored.queue, stored.partition) == (3, 9)
    assert slice_of(stored) == part
