"""A whole broker, crashed at every storage call: queues, dead letters, groups with outputs, topics that go.

ISTHMUS_CRASH_STATES and ISTHMUS_CRASH_SEED are those of test_crash_states.py; these disks come on top.
"""

import os
from collections.abc import Callable
from typing import Final

import pytest

from support.broker_scenarios import SCENARIOS, Scenario, walk
from support.broker_world import BrokerWorld, verify, verify_killed
from support.crash import Tally, crash_everywhere
from support.sim_storage import SimStorage

SEED: Final = int(os.environ.get("ISTHMUS_CRASH_SEED", "1"))
SCALE: Final = max(1, int(os.environ.get("ISTHMUS_CRASH_STATES", "20000")) // 20_000)
DISKS: Final = 200
"""Of each life at least."""

WALKS: Final = 8 * SCALE

Record = Callable[[str, object], None]


async def crashed(record: Record, scenario: Scenario, seed: int = SEED) -> Tally:
    """Live, then crash."""
    world = BrokerWorld(SimStorage())
    await scenario(world)
    await world.kill()
    tally = await crash_everywhere(world.sim, verify, DISKS, seed=seed, verify_killed=verify_killed)
    for what, count in (("disks", tally.states), ("disks within a recovery", tally.nested), ("seed", seed)):
        record(what, count)
    return tally


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_crash_at_any_call_of_a_script_breaks_no_promise_of_a_broker(
    name: str, record_property: Record
) -> None:
    tally = await crashed(record_property, SCENARIOS[name])

    assert tally.states >= DISKS
    assert tally.nested > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED, SEED + WALKS))
async def test_a_crash_at_any_call_of_a_random_life_breaks_no_promise_of_a_broker(
    seed: int, record_property: Record
) -> None:
    tally = await crashed(record_property, walk(seed), seed)

    assert tally.states >= DISKS // 2
    assert tally.nested > 0
