"""A real server, really killed: `kill -9` of `isthmus serve` while librdkafka produces, consumes and commits.

The clients live on: producers with idempotence send again what they do not know about, the group joins again. After
each kill the server is started on what is on the disk, at the same port, and all that clients were told is held against
it. ISTHMUS_KILL_CYCLES tenths say how often (default 3, as one takes as long as ten of the other suite), and
ISTHMUS_KILL_SEED repeats the moments of a run.
"""

import os
import random
import time
from pathlib import Path
from typing import Final

import pytest

from support.kafka_history import History, Name
from support.kafka_load import PATIENCE_S, Load, Reader, make_topics
from support.server_life import Life

LIVES: Final = 10
"""Kills of one directory."""

CYCLES: Final = max(3, int(os.environ.get("ISTHMUS_KILL_CYCLES", "30")) // 10)
SEED: Final = os.environ.get("ISTHMUS_KILL_SEED") or str(random.SystemRandom().randrange(1 << 32))
DELAY_MS: Final = 600
OPENING_MS: Final = 700

HERE: Final = ("fsync", 0)


def until_told_more(history: History) -> None:
    """Wait until clients were told something that they did not know when this was called."""
    before, until_s = history.counts["acknowledged"], time.monotonic() + PATIENCE_S
    while history.counts["acknowledged"] == before:
        assert time.monotonic() < until_s, f"nothing is acknowledged any more: {history.failures}"
        time.sleep(0.005)


def judge(history: History, reader: Reader) -> None:
    acknowledged, committed = history.acknowledged, history.committed
    positions = reader.positions()
    reader.read()
    history.judge(acknowledged, committed, positions)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("number", range(-(-CYCLES // LIVES)))
def test_what_clients_were_told_stays_true(number: int, tmp_path: Path) -> None:
    print(f"ISTHMUS_KILL_SEED={SEED}, history {number}")  # noqa: T201 - pytest shows it of what failed
    rng, history, life = random.Random(f"{SEED} {number}"), History(), Life(tmp_path / "data", "kafka")
    life.begin(ready=True)
    make_topics(life.address)
    load, reader = Load(life.address, history), Reader(life.address, history)
    try:
        load.start()
        for _ in range(min(LIVES, CYCLES)):
            until_told_more(history)
            time.sleep(rng.uniform(0, DELAY_MS) / 1000)
            life.kill()
            if rng.random() < 0.3:
                life.begin(ready=False)
                time.sleep(rng.uniform(0, OPENING_MS) / 1000)
                life.kill()
            life.begin(ready=True)
            if rng.random() < 0.4:
                load.new_member()
            judge(history, reader)
        load.finish_producing()
        load.await_group(reader.read())
        reader.again()
        judge(history, reader)
    finally:
        load.stop()
        reader.close()
        code = life.end()

    history.judge_whole(load.produced)
    assert code == 0
    print(f"{min(LIVES, CYCLES)} kills, {dict(history.counts)}")  # noqa: T201 - the count of what happened, with -s


class TestTheJudge:
    """A judge that lets everything pass would prove nothing."""

    @pytest.fixture
    def history(self) -> History:
        history = History()
        for offset in range(3):
            name = Name(b"k", offset)
            history.acknowledge(HERE, offset, name)
            history.deliver(HERE, offset, name)
        history.commit(HERE, 2)
        history.judge(history.acknowledged, history.committed, {HERE: 2})
        return history

    def test_misses_what_was_acknowledged(self, history: History) -> None:
        history.acknowledge(HERE, 3, Name(b"k", 3))

        with pytest.raises(AssertionError, match="K1"):
            history.judge(history.acknowledged, history.committed, {HERE: 2})

    def test_misses_what_was_acknowledged_without_a_place(self, history: History) -> None:
        history.acknowledge(HERE, None, Name(b"k", 3))

        with pytest.raises(AssertionError, match="K1"):
            history.judge_whole({"fsync": [Name(b"k", 3)]})

    def test_sees_what_is_there_twice(self, history: History) -> None:
        history.deliver(HERE, 3, Name(b"k", 2))

        with pytest.raises(AssertionError, match="K2"):
            history.judge(history.acknowledged, history.committed, {HERE: 2})

    def test_sees_a_gap_in_the_order_of_a_key(self, history: History) -> None:
        history.deliver(HERE, 3, Name(b"k", 4))

        with pytest.raises(AssertionError, match="K3"):
            history.judge(history.acknowledged, history.committed, {HERE: 2})

    @pytest.mark.parametrize("positions", [{HERE: 1}, {}])
    def test_sees_a_committed_offset_go_back(self, history: History, positions: dict[tuple[str, int], int]) -> None:
        with pytest.raises(AssertionError, match="K4"):
            history.judge(history.acknowledged, history.committed, positions)

    def test_sees_a_member_that_begins_before_what_was_committed(self, history: History) -> None:
        history.begin(HERE, 1)

        with pytest.raises(AssertionError, match="K4"):
            history.judge(history.acknowledged, history.committed, {HERE: 2})

    def test_sees_a_record_change(self, history: History) -> None:
        history.read(HERE, 1, Name(b"other", 0))

        with pytest.raises(AssertionError, match="K5"):
            history.judge(history.acknowledged, history.committed, {HERE: 2})

    def test_misses_what_the_group_never_got(self, history: History) -> None:
        history.read(HERE, 3, Name(b"k", 3))

        with pytest.raises(AssertionError, match="K6"):
            history.judge_whole({"fsync": [Name(b"k", 3)]})
