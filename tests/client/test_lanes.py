"""The order of deliveries by key: what runs side by side, what waits, what is handed back."""

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from isthmus.client.lanes import Lanes
from isthmus.errors import InvariantError


class Item(NamedTuple):
    key: bytes | None
    number: int


def lanes_of(keys: str, *, parallel: bool) -> Lanes[Item]:
    """Lanes with one delivery per letter, the letter being its key and `-` no key."""
    lanes: Lanes[Item] = Lanes(lambda item: item.key, parallel=parallel)
    lanes.add(Item(None if key == "-" else key.encode(), number) for number, key in enumerate(keys))
    return lanes


def numbers(items: list[Item]) -> list[int]:
    return [item.number for item in items]


class TestOneWorker:
    def test_gets_them_in_the_order_of_arrival(self) -> None:
        lanes = lanes_of("abab", parallel=False)

        assert numbers(lanes.take(3)) == [0, 1, 2]
        assert numbers(lanes.take(3)) == [3]

    def test_gets_again_what_it_put_back(self) -> None:
        lanes = lanes_of("abab", parallel=False)
        taken = lanes.take(3)

        lanes.finish(taken, taken[1:])

        assert numbers(lanes.take(9)) == [1, 2, 3]

    def test_gets_nothing_of_a_blocked_key(self) -> None:
        lanes = lanes_of("aba-", parallel=False)
        lanes.finish(lanes.take(1))
        lanes.block(b"a")

        assert numbers(lanes.take(9)) == [1, 3]


class TestManyWorkers:
    def test_run_different_keys_side_by_side(self) -> None:
        lanes = lanes_of("ab", parallel=True)

        assert [numbers(lanes.take(1)), numbers(lanes.take(1))] == [[0], [1]]

    def test_leave_a_running_key_alone(self) -> None:
        lanes = lanes_of("aab", parallel=True)
        lanes.take(1)

        assert numbers(lanes.take(9)) == [2]

    def test_go_on_with_a_key_when_it_has_finished(self) -> None:
        lanes = lanes_of("aab", parallel=True)
        first = lanes.take(1)
        lanes.take(1)

        lanes.finish(first)

        assert numbers(lanes.take(9)) == [1]

    def test_share_deliveries_without_a_key_freely(self) -> None:
        lanes = lanes_of("---", parallel=True)

        assert [numbers(lanes.take(1)) for _ in range(3)] == [[0], [1], [2]]

    def test_may_take_a_run_of_one_key(self) -> None:
        lanes = lanes_of("aaab", parallel=True)

        assert numbers(lanes.take(3)) == [0, 1, 2]
        assert numbers(lanes.take(3)) == [3]

    def test_put_back_what_did_not_run_before_what_came_later(self) -> None:
        lanes = lanes_of("aaa", parallel=True)
        taken = lanes.take(2)
        lanes.take(1)

        lanes.finish(taken, taken[1:])

        assert numbers(lanes.take(9)) == [1, 2]


@pytest.mark.parametrize("parallel", [False, True])
class TestAFailedKey:
    def test_hands_over_what_waits_behind_it_in_order(self, *, parallel: bool) -> None:
        lanes = lanes_of("aabaa", parallel=parallel)
        taken = lanes.take(3)
        lanes.block(b"a", [taken[1]])
        lanes.finish(taken)
        lanes.add([Item(b"a", 9)])

        assert numbers(lanes.withheld(b"a")) == [1, 3, 4, 9]

    def test_is_as_new_when_it_is_unblocked(self, *, parallel: bool) -> None:
        lanes = lanes_of("ab", parallel=parallel)
        taken = lanes.take(1)
        lanes.block(b"a")
        lanes.finish(taken)

        lanes.unblock(b"a")
        lanes.add([Item(b"a", 2)])

        assert numbers(lanes.take(9)) == [1, 2]

    def test_goes_on_where_it_was_when_the_failed_one_is_out_of_the_way(self, *, parallel: bool) -> None:
        lanes = lanes_of("aaba", parallel=parallel)
        taken = lanes.take(2)
        lanes.block(b"a", taken[1:])
        lanes.finish(taken)

        lanes.resume(b"a")

        assert numbers(lanes.take(9)) == [1, 2, 3]

    def test_is_not_forgotten_while_something_waits(self, *, parallel: bool) -> None:
        lanes = lanes_of("aa", parallel=parallel)
        taken = lanes.take(1)
        lanes.block(b"a")
        lanes.finish(taken)
        lanes.take(9)

        with pytest.raises(InvariantError):
            lanes.unblock(b"a")

    def test_cannot_fail_twice(self, *, parallel: bool) -> None:
        lanes = lanes_of("a", parallel=parallel)
        lanes.take(1)
        lanes.block(b"a")

        with pytest.raises(InvariantError):
            lanes.block(b"a")

    def test_must_be_one(self, *, parallel: bool) -> None:
        with pytest.raises(InvariantError):
            lanes_of("a", parallel=parallel).resume(b"a")


def test_clearing_takes_out_all_that_does_not_run() -> None:
    lanes = lanes_of("aab-", parallel=True)
    lanes.take(1)
    lanes.take(1)

    assert sorted(numbers(lanes.clear())) == [1, 3]
    assert lanes.take(9) == []


def test_what_is_lost_is_taken_out_wherever_it_waits() -> None:
    lanes = lanes_of("aaabb", parallel=True)
    first = lanes.take(1)
    lanes.finish(lanes.take(1))

    gone = lanes.discard(lambda item: item.number in {1, 4})
    lanes.finish(first)

    assert sorted(numbers(gone)) == [1, 4]
    assert numbers(lanes.take(9)) == [2]


KEYS = st.sampled_from([None, b"a", b"b", b"c"])


class LanesModel(RuleBasedStateMachine):
    """Deliveries are numbered in the order of their arrival; of each key they must come out in that order."""

    @initialize(parallel=st.booleans())
    def begin(self, parallel: bool) -> None:
        self.lanes: Lanes[Item] = Lanes(lambda item: item.key, parallel=parallel)
        self.workers = 3 if parallel else 1
        self.out: list[list[Item]] = []
        self.blocked: dict[bytes, Item] = {}
        self.next = 0
        self.inside: set[Item] = set()
        self.ran: dict[bytes | None, int] = {}

    @rule(keys=st.lists(KEYS, max_size=6))
    def arrive(self, keys: list[bytes | None]) -> None:
        items = [Item(key, self.next + at) for at, key in enumerate(keys)]
        self.next += len(keys)
        self.inside.update(items)
        self.lanes.add(items)

    @precondition(lambda self: len(self.out) < self.workers)
    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        taken = self.lanes.take(count)
        assert len(taken) <= count
        elsewhere = {item.key for other in self.out for item in other} - {None}
        assert not elsewhere & {item.key for item in taken}  # L2
        assert not self.blocked.keys() & {item.key for item in taken}  # L3
        if taken:
            self.out.append(taken)

    @precondition(lambda self: self.out)
    @rule(ran=st.integers(0, 4), fails=st.booleans(), data=st.data())
    def end_of_a_slice(self, ran: int, fails: bool, data: st.DataObject) -> None:
        taken = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        done, rest = taken[:ran], taken[ran:]
        for item in done:
            self._run(item)
        last = done[-1] if done else None
        if fails and last is not None and last.key is not None:
            self.blocked[last.key] = last
            self.lanes.block(last.key, [item for item in rest if item.key == last.key])
            rest = [item for item in rest if item.key != last.key]
        self.lanes.finish(taken, rest)

    def _run(self, item: Item) -> None:
        if item.key is not None:
            assert item.number > self.ran.get(item.key, -1)  # L1
            self.ran[item.key] = item.number
        self.inside.discard(item)

    @precondition(lambda self: self.blocked)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.blocked)))
        failed = self.blocked.pop(key)
        behind = self.lanes.withheld(key)
        assert behind == sorted(behind, key=lambda item: item.number)
        assert all(item.key == key and item.number > failed.number for item in behind)
        assert set(behind) == {item for item in self.inside if item.key == key}  # L4: of a blocked key none is out
        self.inside.difference_update(behind)
        self.lanes.unblock(key)

    @precondition(lambda self: self.blocked)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.blocked)))
        del self.blocked[key]
        self.lanes.resume(key)

    @rule()
    def clear(self) -> None:
        found = self.lanes.clear()
        out = {item for taken in self.out for item in taken}
        assert len(found) == len(set(found))
        assert set(found) == self.inside - out  # L4
        self.inside = out

    @invariant()
    def counts_at_most_what_is_inside(self) -> None:
        if hasattr(self, "lanes"):
            assert len(self.lanes) <= len(self.inside)


LanesModel.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestLanesAgainstAModel = LanesModel.TestCase
