"""Every scenario, crashed at every storage call: the disks that a power cut may leave open by themselves and hold what
was promised, no more and no less.

ISTHMUS_CRASH_STATES is how many different disks are judged in all (20,000 unless set); ISTHMUS_CRASH_SEED chooses
others than the last time.
"""

import os
from collections.abc import Callable
from typing import Final

import pytest

from support.call_site import call_site
from support.crash import Tally, crash_everywhere
from support.log_scenarios import SCENARIOS, Scenario, walk
from support.log_sites import storage_calls
from support.log_world import JournalWorld, verify, verify_killed
from support.sim_storage import SimStorage

STATES: Final = int(os.environ.get("ISTHMUS_CRASH_STATES", "20000"))
SEED: Final = int(os.environ.get("ISTHMUS_CRASH_SEED", "1"))

SCRIPTED: Final = 300
"""Disks of each scripted scenario at least; beyond, it may have no different ones."""

WALKED: Final = 1_000
"""Disks of each random walk."""

LIVES_MAX: Final = 4
"""Lives of one random walk at most, until it has that many."""

WALKS: Final = max(2, -(-(STATES - SCRIPTED * len(SCENARIOS)) // WALKED))


Record = Callable[[str, object], None]


async def crashed(record: Record, scenario: Scenario, states: int, seed: int = SEED) -> Tally:
    """Run a scenario, then crash it; what was done goes into the report of the whole run."""
    world = JournalWorld(SimStorage())
    await scenario(world)
    tally = await crash_everywhere(world.sim, verify, states, seed=seed, verify_killed=verify_killed)
    for what, count in (("disks", tally.states), ("disks within a recovery", tally.nested), ("seed", seed)):
        record(what, count)
    return tally


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_power_cut_at_any_call_of_a_script_loses_nothing_that_was_promised(
    name: str, record_property: Record
) -> None:
    tally = await crashed(record_property, SCENARIOS[name], SCRIPTED)

    assert tally.states >= SCRIPTED
    assert tally.nested >= SCRIPTED // 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEED, SEED + WALKS))
async def test_a_power_cut_at_any_call_of_a_random_life_loses_nothing_that_was_promised(
    seed: int, record_property: Record
) -> None:
    states = nested = 0

    # A short life leaves fewer different disks than are asked for: then another life follows.
    for life in range(seed, seed + LIVES_MAX * WALKS, WALKS):
        tally = await crashed(record_property, walk(life), WALKED, life)
        states, nested = states + tally.states, nested + tally.nested
        if states >= WALKED:
            break

    assert states >= WALKED
    assert nested >= WALKED // 20


def test_as_many_disks_are_judged_as_were_asked_for() -> None:
    assert SCRIPTED * len(SCENARIOS) + WALKED * WALKS >= STATES


async def test_the_scenarios_reach_every_place_in_the_log_that_changes_something_on_the_disk() -> None:
    reached: set[str] = set()
    for scenario in [*SCENARIOS.values(), walk(SEED)]:
        world = JournalWorld(SimStorage())
        await scenario(world)
        reached |= {site for _, site in world.sim.sites()}

    missing = storage_calls() - reached

    assert not missing, f"no scenario comes here: {sorted(missing)}"


def test_a_site_is_named_as_the_list_of_sites_names_it() -> None:
    assert call_site().startswith("crash/test_crash_states.py:")
