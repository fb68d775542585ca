"""Every storage call of a life fails once: the answer is an error or a success, never a false acknowledgement, and the
store opens afterwards, in the same machine as after a power cut, with all that was promised.
"""

import errno
import random
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from isthmus.errors import RequestError, StorageError
from support.faulty_storage import SYNCS, Effect, Fault
from support.log_scenarios import SCENARIOS, Scenario
from support.log_world import JournalWorld, verify
from support.sim_storage import SimStorage, Variant

RUNS_MIN: Final = 5_000

LIVES: Final[dict[str, Scenario]] = {
    name: SCENARIOS[name]
    for name in (
        "one_record_at_a_time",
        "many_units_in_one_group",
        "fan_out",
        "written_below_synced",
        "checkpoints",
        "trimming_and_removal",
        "stopping_and_opening",
        "killed",
        "topics_that_come_and_go",
    )
}
"""Lives that meet every kind of call, and none that fails calls itself."""

Record = Callable[[str, object], None]


async def calls_of(scenario: Scenario) -> tuple[int, int]:
    """How many storage calls a life makes, and how many of them promise that something is safe."""
    world = JournalWorld(SimStorage())
    await scenario(world)
    counts = world.storage.calls
    return counts.total(), sum(count for (op, _), count in counts.items() if op in SYNCS)


def faults(calls: int, syncs: int) -> Iterator[Fault]:
    """One fault for each call and kind."""
    for number in range(1, calls + 1):
        yield Fault(number, code=errno.EIO)
        yield Fault(number, code=errno.ENOSPC)
        yield Fault(number, effect=Effect.SHORT)
    for number in range(1, syncs + 1):
        yield Fault(number, ops=SYNCS, effect=Effect.CACHED)
        yield Fault(number, ops=SYNCS, effect=Effect.REVERTED)


async def live(scenario: Scenario, fault: Fault) -> JournalWorld:
    """A life with a fault, until it ends or somebody is told that it cannot go on."""
    world = JournalWorld(SimStorage())
    world.storage.arm(fault)
    try:
        await scenario(world)
    except (OSError, StorageError, RequestError):
        refuses_to_go_on(world)
        if not world.storage.failed:
            raise  # without a cause
    world.storage.arm(None)
    return world


def refuses_to_go_on(world: JournalWorld) -> None:
    """A poisoned store takes nothing more (I1)."""
    if world.journal.error is not None:
        with pytest.raises(StorageError):
            world.journal.unit().submit()


async def judge(world: JournalWorld, rng: random.Random) -> None:
    """What a power cut leaves, then what the next process finds when only this one ended."""
    at = len(world.sim.trace)
    marks = world.sim.marks_before(at)
    variant = rng.choice([Variant.NOTHING, Variant.NOTHING, *Variant])
    await verify(world.sim.images(at, variant, rng.randrange(1000)), marks, rng)
    world.kill()
    await world.open()
    await world.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", LIVES)
async def test_a_call_that_fails_never_makes_a_false_promise(name: str, record_property: Record) -> None:
    calls, syncs = await calls_of(LIVES[name])
    rng = random.Random(name)
    runs, failed = 0, set()

    for fault in faults(calls, syncs):
        try:
            world = await live(LIVES[name], fault)
            await judge(world, rng)
        except Exception as error:
            error.add_note(str(fault))
            raise
        runs += 1
        failed |= set(world.storage.failed)

    record_property("runs with a failing call", runs)
    assert runs == 3 * calls + 2 * syncs
    assert failed, "no call failed"


async def test_there_are_enough_runs_and_every_kind_of_call_is_among_them() -> None:
    counts = [await calls_of(scenario) for scenario in LIVES.values()]
    sites = set()
    for scenario in LIVES.values():
        world = JournalWorld(SimStorage())
        await scenario(world)
        sites |= {op for op, _ in world.storage.calls}

    assert sum(3 * calls + 2 * syncs for calls, syncs in counts) >= RUNS_MIN
    assert sites >= {
        *("open", "create", "exists", "list", "make_folder", "rename", "unlink", "sync_folder", "lock"),
        *("pread", "pwrite", "pwrite sync", "sync", "allocate", "truncate", "size"),
    }
