"""A real server, really killed: `kill -9` of `isthmus serve` under confirmed publishing and acknowledged consumption.

Clients live on: they connect again, publish what comes next, and settle what comes. All that they were told is held
against what comes later. ISTHMUS_KILL_CYCLES tenths say how often (default 3, as one takes as long as ten of the other
suite, and 50 with `make crash`), and ISTHMUS_KILL_SEED repeats the moments of a run.
"""

import os
import random
import time
from pathlib import Path
from typing import Final

import pytest

from support.amqp_bugs import BUGS
from support.amqp_history import DEAD, Delivery, History
from support.amqp_load import CLASSIC, QUEUES, QUORUM, Load, make_queues
from support.serve_process import PROGRAM
from support.server_life import Life

LIVES: Final = 10
"""Kills of one directory."""

CYCLES: Final = max(3, int(os.environ.get("ISTHMUS_KILL_CYCLES", "30")) // 10)
SEED: Final = os.environ.get("ISTHMUS_KILL_SEED") or str(random.SystemRandom().randrange(1 << 32))
CAUGHT_AFTER: Final = 2
"""Kills that a planted bug survives at most."""

DELAY_MS: Final = 600
OPENING_MS: Final = 700
PATIENCE_S: Final = 60.0


def until_told_more(history: History) -> None:
    """Wait until clients were told something that they did not know when this was called."""
    before, until_s = (history.counts["confirmed"], history.counts["settled"]), time.monotonic() + PATIENCE_S
    while history.counts["confirmed"] == before[0] or history.counts["settled"] == before[1]:
        history.judge()
        assert time.monotonic() < until_s, f"nothing is confirmed or settled any more: {dict(history.counts)}"
        time.sleep(0.005)


def live(directory: Path, kills: int, name: str, program: tuple[str, ...] = PROGRAM) -> History:
    """Kill a server again and again under load; raises AssertionError for what clients may not be told."""
    rng, history = random.Random(name), History(QUEUES, CLASSIC)
    life = Life(directory, "amqp", program)
    life.begin(ready=True)
    make_queues(life.port)
    load = Load(life.port, history, name)
    try:
        load.start()
        for _ in range(kills):
            until_told_more(history)
            time.sleep(rng.uniform(0, DELAY_MS) / 1000)
            life.kill()
            if rng.random() < 0.3:
                life.begin(ready=False)
                time.sleep(rng.uniform(0, OPENING_MS) / 1000)
                life.kill()
            life.begin(ready=True)
            history.judge()
        load.finish()
    finally:
        load.stop()
        code = life.end()
    history.judge_whole()
    assert code == 0
    return history


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("number", range(-(-CYCLES // LIVES)))
def test_what_clients_were_told_stays_true(number: int, tmp_path: Path) -> None:
    print(f"ISTHMUS_KILL_SEED={SEED}, history {number}")  # noqa: T201 - pytest shows it of what failed

    history = live(tmp_path / "data", min(LIVES, CYCLES), f"{SEED} {number}")

    assert history.counts["delivered again"]
    print(f"{min(LIVES, CYCLES)} kills, {dict(history.counts)}")  # noqa: T201 - the count of what happened, with -s


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=BUGS[bug][1]):
        live(tmp_path / "data", CAUGHT_AFTER, f"{SEED} {bug}", ("-m", "support.amqp_bugs", bug))


class TestTheJudge:
    """A judge that lets everything pass would prove nothing."""

    @pytest.fixture
    def history(self) -> History:
        history = History(QUEUES, CLASSIC)
        history.confirm(history.publish(3))
        for queue in QUEUES:
            for number in range(3):
                history.deliver(queue, Delivery(number, redelivered=False, acquired=0, failed=0))
        history.settle(QUORUM, [0])
        history.reject(CLASSIC, [1])
        history.deliver(DEAD, Delivery(1, redelivered=False))
        history.judge_whole()
        return history

    def test_misses_what_was_confirmed(self, history: History) -> None:
        history.confirm(history.publish(1))

        with pytest.raises(AssertionError, match="A1"):
            history.judge_whole()

    def test_sees_what_was_settled_come_again(self, history: History) -> None:
        history.deliver(QUORUM, Delivery(0, redelivered=True, acquired=1))

        with pytest.raises(AssertionError, match="A2"):
            history.judge()

    @pytest.mark.parametrize(
        "again",
        [
            Delivery(2, redelivered=False, acquired=2, failed=1),
            Delivery(2, redelivered=True, acquired=1, failed=1),
            Delivery(2, redelivered=True, acquired=2, failed=0),
        ],
    )
    def test_sees_counts_that_were_forgotten(self, history: History, again: Delivery) -> None:
        history.deliver(QUORUM, Delivery(2, redelivered=True, acquired=1, failed=1))
        history.judge()

        history.deliver(QUORUM, again)

        with pytest.raises(AssertionError, match="A3"):
            history.judge()

    def test_sees_what_nobody_published(self, history: History) -> None:
        history.deliver(QUORUM, Delivery(3, redelivered=False))

        with pytest.raises(AssertionError, match="A4"):
            history.judge()

    def test_sees_what_is_in_one_queue_only(self, history: History) -> None:
        history.publish(1)
        history.deliver(QUORUM, Delivery(3, redelivered=False))

        with pytest.raises(AssertionError, match="A5"):
            history.judge_whole()

    def test_sees_messages_that_overtook_others(self, history: History) -> None:
        history.publish(2)
        history.deliver(QUORUM, Delivery(4, redelivered=False))
        history.deliver(QUORUM, Delivery(3, redelivered=False))

        with pytest.raises(AssertionError, match="A6"):
            history.judge()

    def test_misses_the_rejected_among_the_dead(self, history: History) -> None:
        history.reject(CLASSIC, [2])

        with pytest.raises(AssertionError, match="A7"):
            history.judge_whole()

    def test_sees_the_dead_come_again(self, history: History) -> None:
        history.deliver(DEAD, Delivery(2, redelivered=False))
        history.deliver(CLASSIC, Delivery(2, redelivered=True))

        with pytest.raises(AssertionError, match="A7"):
            history.judge()
