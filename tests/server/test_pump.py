"""Slices of the loop, counted: time is a number that every request moves on."""

from collections.abc import Callable

import pytest

from isthmus.limits import DEBT_SLICES_MAX
from isthmus.server.pump import SLICE_NS, TURN_NS, Pump


class Bench:
    """A pump whose turns the test makes, and what ran in them."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.scheduled: list[Callable[[], None]] = []
        self.pump = Pump(self.scheduled.append, lambda: self.now_ns)
        self.ran: list[str] = []

    def runner(self, name: str, principal: str, requests: int, cost_ns: int) -> "Work":
        """A runner with so many requests, in line."""
        work = Work(self, name, principal, requests, cost_ns)
        self.pump.ready(work)
        return work

    def turn(self) -> None:
        """One turn of the loop."""
        (callback,) = self.scheduled
        self.scheduled.clear()
        callback()


class Work:
    """A connection with requests."""

    def __init__(self, bench: Bench, name: str, principal: str, requests: int, cost_ns: int) -> None:
        self.bench = bench
        self.name = name
        self.share = bench.pump.join(principal)
        self.in_line = False
        self.requests = requests
        self.cost_ns = cost_ns
        self.done_ns = 0

    def run(self, until_ns: int) -> bool:
        """See `Runner`."""
        while self.requests:
            self.requests -= 1
            self.bench.now_ns += self.cost_ns
            self.bench.ran.append(self.name)
            if self.bench.now_ns >= until_ns:
                break
        self.done_ns = self.bench.now_ns
        return self.requests > 0


def test_a_turn_ends_with_its_budget_and_the_next_is_scheduled() -> None:
    bench = Bench()
    bench.runner("flood", "a", 1_000_000, 2_000)

    bench.turn()

    assert TURN_NS <= bench.now_ns < TURN_NS + SLICE_NS
    assert len(bench.scheduled) == 1


def test_who_asked_is_called_around_the_slices_of_a_turn_whatever_happens_in_them() -> None:
    bench = Bench()
    bench.pump = Pump(
        bench.scheduled.append, lambda: bench.now_ns, (lambda: bench.ran.append("("), lambda: bench.ran.append(")"))
    )
    bench.runner("one", "a", 2, 2_000)
    bench.turn()
    broken = bench.runner("broken", "a", 1, 2_000)
    broken.bench = None  # type: ignore[assignment]  # so that running it raises

    with pytest.raises(AttributeError):
        bench.turn()

    assert bench.ran == ["(", "one", "one", ")", "(", ")"]


def test_nothing_is_scheduled_when_nobody_has_work() -> None:
    bench = Bench()
    bench.runner("one", "a", 3, 2_000)

    bench.turn()

    assert bench.ran == ["one"] * 3
    assert bench.scheduled == []


def test_a_victim_waits_for_one_slice_of_each_flooder_and_no_more() -> None:
    bench = Bench()
    floods = [bench.runner(f"flood{n}", f"p{n}", 1_000_000, 2_000) for n in range(4)]
    for _ in range(3):
        bench.turn()
    asked_ns = bench.now_ns
    victim = bench.runner("victim", "v", 1, 2_000)

    bench.turn()

    assert victim.requests == 0
    assert victim.done_ns - asked_ns <= len(floods) * (SLICE_NS + 2_000) + 2_000


def test_a_principal_with_many_connections_gets_no_more_than_one_with_one() -> None:
    bench = Bench()
    for _ in range(100):
        bench.runner("many", "a", 1_000_000, 2_000)
    bench.runner("one", "b", 1_000_000, 2_000)

    for _ in range(10):
        bench.turn()

    assert abs(bench.ran.count("many") - bench.ran.count("one")) <= SLICE_NS // 2_000


def test_connections_of_one_principal_take_turns() -> None:
    bench = Bench()
    runners = [bench.runner(f"c{n}", "a", 1_000_000, 2_000) for n in range(5)]

    bench.turn()

    counts = [bench.ran.count(runner.name) for runner in runners]
    assert max(counts) - min(counts) <= SLICE_NS // 2_000


def test_who_takes_longer_than_a_slice_pays_it_back() -> None:
    bench = Bench()
    bench.runner("slow", "a", 1_000_000, 10 * SLICE_NS)
    bench.runner("quick", "b", 1_000_000, SLICE_NS)

    for _ in range(20):
        bench.turn()

    spent = {name: bench.ran.count(name) for name in ("slow", "quick")}
    assert 8 * spent["slow"] <= spent["quick"] <= 12 * spent["slow"] + 12


def test_debt_has_a_bound() -> None:
    bench = Bench()
    slow = bench.runner("slow", "a", 2, 1_000 * DEBT_SLICES_MAX * SLICE_NS)

    bench.turn()

    assert slow.share.credit_ns == -DEBT_SLICES_MAX * SLICE_NS


def test_who_leaves_stands_in_no_line() -> None:
    bench = Bench()
    gone = bench.runner("gone", "a", 5, 2_000)
    bench.runner("stays", "a", 5, 2_000)
    bench.runner("alone", "b", 5, 2_000)

    bench.pump.leave(gone)
    bench.turn()

    assert "gone" not in bench.ran
    assert set(bench.ran) == {"stays", "alone"}


def test_who_becomes_known_stands_in_another_line() -> None:
    bench = Bench()
    runner = bench.runner("one", "?", 1, 2_000)

    bench.pump.move(runner, "ada")

    assert runner.share.name == "ada"
    bench.turn()
    assert bench.ran == ["one"]
    assert bench.scheduled == []


def test_what_was_asked_for_soon_is_done_in_the_same_turn() -> None:
    bench = Bench()
    done: list[int] = []

    def first() -> None:
        done.append(1)
        bench.pump.soon(lambda: done.append(2))

    bench.pump.soon(first)
    bench.turn()

    assert done == [1, 2]
    assert bench.scheduled == []


def test_who_is_moved_by_what_it_does_goes_on_with_the_rest() -> None:
    bench = Bench()

    class Login(Work):
        def run(self, until_ns: int) -> bool:
            bench.pump.move(self, "ada")
            return super().run(until_ns)

    work = Login(bench, "one", "?", 3, SLICE_NS)
    bench.pump.ready(work)

    bench.turn()

    assert bench.ran == ["one"] * 3
    assert bench.scheduled == []
