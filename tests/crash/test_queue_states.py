"""Queues, crashed at every storage call of a random life: I1-I7 for leases, acknowledgements and dead letters."""

import os
from collections.abc import Callable
from typing import Final

import pytest

from support.crash import crash_everywhere
from support.queue_life import QueueLife, live, verify
from support.sim_storage import SimStorage

SEED: Final = int(os.environ.get("ISTHMUS_CRASH_SEED", "1"))
LIVES: Final = 4
DISKS: Final = 250
"""Of each life at least."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED, SEED + LIVES))
async def test_a_power_cut_at_any_call_brings_back_nothing_that_was_acknowledged_and_loses_nothing(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    life = QueueLife(SimStorage(), ordered=seed % 2 == 0)
    await live(life, seed)

    tally = await crash_everywhere(life.sim, verify, DISKS, seed=seed)

    for what, count in (("disks", tally.states), ("disks within a recovery", tally.nested), ("seed", seed)):
        record_property(what, count)
    assert tally.states >= DISKS
