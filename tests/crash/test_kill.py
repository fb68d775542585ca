"""Real processes, really killed: `kill -9` under publishing, leasing, acknowledging, committing, dead letters, redrive.

The child tells of each thing over a pipe after it is so; the parent kills it at a random moment, opens a copy of what
is on the disk, and holds that against all that it was told. The next child opens the disk itself, as the kill left it.
ISTHMUS_KILL_CYCLES says how often (default 52), ISTHMUS_KILL_SEED repeats the moments of a run.
"""

import asyncio
import os
import random
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from support import kill_child
from support.kill_history import History, look
from support.kill_lines import (
    DEAD,
    JOBS,
    ORDERS,
    Begun,
    Died,
    Failed,
    Opening,
    Published,
    Redriven,
    Settled,
    Taken,
    from_line,
)

pytestmark = [pytest.mark.process, pytest.mark.slow]

LIVES: Final = 13
"""Kills of one directory: each look reads all that all lives have left."""

CYCLES: Final = int(os.environ.get("ISTHMUS_KILL_CYCLES", "52"))
SEED: Final = os.environ.get("ISTHMUS_KILL_SEED") or str(random.SystemRandom().randrange(1 << 32))
DELAY_MS: Final = 500
OPENING_MS: Final = 40
ENVIRONMENT: Final = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
"""The child finds what the parent finds."""

SAID: Final = frozenset(kind.__name__ for kind in (Opening, Begun, Published, Taken, Settled, Failed, Died, Redriven))


async def child(directory: Path, life: int, *, ordered: bool) -> asyncio.subprocess.Process:
    arguments = ("-m", kill_child.__name__, str(directory), str(life), "ordered" if ordered else "plain")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments), stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT, limit=1 << 20
    )


async def live_and_die(directory: Path, history: History, rng: random.Random, *, ordered: bool) -> None:
    """One life: killed at a random time after its start, after it began to open the store, or after it was open."""
    history.life += 1
    after: type | None = rng.choices([None, Opening, Begun], [1, 2, 7])[0]
    delay_ms = rng.uniform(0, OPENING_MS if after is Opening else DELAY_MS)
    started = await child(directory, history.life, ordered=ordered)
    reached = asyncio.Event()
    if after is None:
        reached.set()
    listening = asyncio.create_task(listen(started, history, after, reached))
    await reached.wait()
    await asyncio.sleep(delay_ms / 1000)
    if started.returncode is None:
        started.kill()
    assert await started.wait() == -9, f"life {history.life} ended by itself"
    await listening


async def listen(
    started: asyncio.subprocess.Process, history: History, after: type | None, reached: asyncio.Event
) -> None:
    """Hear the child to its end, also what it said before it was killed and was not read by then."""
    assert started.stdout is not None
    try:
        while data := await started.stdout.readline():
            line = from_line(data)
            if line is not None:
                history.hear(line)
            if after is not None and isinstance(line, after):
                reached.set()
    finally:
        reached.set()


async def judged_copy(directory: Path, history: History, *, twice: bool) -> None:
    """Open what the kill left, and judge it; the original stays as it is for the next child."""
    copy = directory.with_name("copy")
    if not os.path.exists(directory):  # noqa: ASYNC240, PTH110 - nobody else is on this loop
        return
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*.sock"))
    found = await look(copy)
    history.judge(found)
    if twice:
        changed = found.difference(await look(copy))
        assert not changed, f"I8: opening again changes {changed}"
    shutil.rmtree(copy)


@pytest.mark.parametrize("number", range(max(1, -(-CYCLES // LIVES))))
async def test_nothing_acknowledged_is_lost_and_nothing_settled_comes_back(number: int, tmp_path: Path) -> None:
    print(f"ISTHMUS_KILL_SEED={SEED}, history {number}")  # noqa: T201 - pytest shows it of what failed
    rng, history, directory = random.Random(f"{SEED} {number}"), History(), tmp_path / "data"
    ordered = bool(number % 2)

    for life in range(LIVES):
        await live_and_die(directory, history, rng, ordered=ordered)
        await judged_copy(directory, history, twice=life % 4 == 0)
    last = await child(directory, 0, ordered=ordered)
    await listen(last, history, None, asyncio.Event())

    assert await last.wait() == 0
    found = await look(directory)
    history.judge(found)
    assert not any(found.unsettled[name] for name in (JOBS, *DEAD.values())), "I5: idle, and something is left"
    assert history.heard.keys() == SAID, f"never happened: {SAID - history.heard.keys()}"
    print(f"{LIVES} kills, {dict(history.heard)}")  # noqa: T201 - the count of what happened, with -s


class TestTheJudge:
    """A judge that lets everything pass would prove nothing."""

    @pytest.fixture
    async def history(self, tmp_path: Path) -> History:
        history = History()
        rng = random.Random(SEED)
        while not {"Settled", "Died", "Failed"} <= history.heard.keys():
            await live_and_die(tmp_path / "data", history, rng, ordered=False)
            await judged_copy(tmp_path / "data", history, twice=False)
        return history

    async def test_misses_what_was_acknowledged(self, history: History, tmp_path: Path) -> None:
        history.acknowledged[ORDERS][0, 1 << 30] = 1

        with pytest.raises(AssertionError, match="I1"):
            await judged_copy(tmp_path / "data", history, twice=False)

    async def test_misses_what_was_settled(self, history: History, tmp_path: Path) -> None:
        history.settled[JOBS].add((0, 1 << 30))

        with pytest.raises(AssertionError, match="I4"):
            await judged_copy(tmp_path / "data", history, twice=False)
