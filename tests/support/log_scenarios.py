"""What a journal does in its life, as small scripts: each is run once and then crashed at every storage call.

They assert nothing themselves; the world keeps the history, and what opens the disk afterwards judges.
"""

import contextlib
import errno
import random
from collections.abc import Awaitable, Callable
from typing import Final

from isthmus.errors import StorageFull
from isthmus.log import retention
from support.faulty_storage import Effect, Fault
from support.log_world import KEPT_BY_KEY, Commit, Drop, JournalWorld, Make, Op, Trim, pid
from support.sim_storage import Variant

Scenario = Callable[[JournalWorld], Awaitable[None]]

A: Final = pid(1)
B: Final = pid(1, 1)
W: Final = pid(2)
"""Two partitions that sync, and one of level `written`."""

K: Final = pid(KEPT_BY_KEY)
"""One that is kept by key."""


async def begin(world: JournalWorld) -> None:
    """A new store with two topics."""
    await world.open()
    await world.put(Make(1, 2, "fsync"), Make(2, 1, "written"))


async def fill(world: JournalWorld, *partitions: int, units: int = 8, size: int = 900) -> None:
    """Records in turn, one a unit: eight of them roll a small segment."""
    for at in range(units):
        await world.put(world.append(partitions[at % len(partitions)], size=size))


async def clean(world: JournalWorld) -> None:
    """Remove what may go."""
    await retention.remove(world.journal, retention.removable(world.journal))


async def one_record_at_a_time(world: JournalWorld) -> None:
    await begin(world)
    for size in (40, 600, 1500, 3000, 40, 2200):
        await world.put(world.append(A, size=size))
        await world.put(world.append(B, count=3, size=size // 4))
    await world.reopen()
    await world.put(world.append(A), world.append(B), Commit(1, 1))
    await world.close()


async def many_units_in_one_group(world: JournalWorld) -> None:
    await begin(world)
    for round_ in range(4):
        world.hold_commits()
        for at in range(5):
            world.put(world.append(A, size=500), world.append(B, count=2, size=300), Commit(at, round_))
        world.put(world.append(W, size=700))
        world.commit()
    await world.put(Commit(7, 7))


async def fan_out(world: JournalWorld) -> None:
    await begin(world)
    for at in range(6):
        await world.put(world.append(A, B, W, count=2, size=600), Commit(1, at))
        await world.put(world.append(B, W, size=900))
    await world.close()


async def written_below_synced(world: JournalWorld) -> None:
    await begin(world)
    for _ in range(3):
        for size in (40, 700, 900):
            await world.put(world.append(W, size=size))
        await world.put(world.append(A, size=300))
    await world.idle()
    await world.put(world.append(W, size=600))
    await world.put(world.append(W, size=600))


async def written_only_until_it_rolls(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, W, units=12)
    await world.idle()
    await fill(world, W, units=3)
    await world.close()
    await world.open()
    await fill(world, W, units=2)


async def rolling(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, A, B, W, units=26)
    await world.reopen()
    await fill(world, A, B, units=10)


async def checkpoints(world: JournalWorld) -> None:
    await begin(world)
    for round_ in range(4):
        await world.put(world.append(A, size=900), Commit(1, round_))
        await world.put(world.append(W, size=500))
        await world.checkpoint()
        await world.put(world.append(B, size=700), Commit(2, round_))
    await world.reopen()
    await world.put(Commit(1, 9))


async def checkpoints_between_rolls(world: JournalWorld) -> None:
    await begin(world)
    for _ in range(4):
        await fill(world, A, W, units=9)
        await world.checkpoint()
    await world.close()
    await world.open()
    await world.put(world.append(A))


async def trimming_and_removal(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, A, B, units=20)
    await world.put(Trim(A, 9))
    await world.put(Trim(B, 8), Commit(1, 1))
    await clean(world)
    await world.checkpoint()
    await clean(world)
    await world.checkpoint()
    await clean(world)
    await fill(world, A, B, units=10)
    await world.reopen()
    await world.put(Trim(A, 14), Trim(B, 15))
    await world.checkpoint()
    await world.checkpoint()
    await clean(world)
    await fill(world, A, units=2)
    await world.close()


async def compacting(world: JournalWorld) -> None:
    """Old records of one partition hold segments of which the rest is dead; copies are copied again."""
    await begin(world)
    for round_ in range(3):
        await world.put(world.append(A, size=300))
        await fill(world, B, W, units=18)
        for key in (B, W):
            await world.put(Trim(key, world.journal.partitions[key].high_watermark))
        await world.checkpoint()
        await world.checkpoint()
        await world.put(world.append(A, B), Commit(1, round_))
        await fill(world, B, W, units=9)
        for key in (B, W):
            await world.put(Trim(key, world.journal.partitions[key].high_watermark))
        await world.compact()
    await world.reopen()
    await world.put(Trim(A, 4))
    await world.checkpoint()
    await world.checkpoint()
    await clean(world)
    await world.compact()
    await fill(world, A, units=2)
    await world.close()


async def compacting_by_key(world: JournalWorld) -> None:
    await begin(world)
    await world.put(Make(KEPT_BY_KEY, 1, "fsync"))
    for round_ in range(3):
        for at in range(12):
            await world.put(world.set(K, f"a{at % 3}", f"b{at}", f"a{at % 3}", size=200), world.append(A, size=80))
            await world.put(world.append(B, size=400))
        await world.put(Trim(B, world.journal.partitions[B].high_watermark))
        await world.checkpoint()
        await world.checkpoint()
        await world.compact()
        if round_:
            world.kill()
            await world.open()
    await world.put(world.set(K, "a0", "c"), Commit(1, 1))
    await world.close()


async def compacting_between_lives(world: JournalWorld) -> None:
    """A power cut and kills with copies on the disk, and a disk that is full while one is written."""
    await begin(world)
    await world.put(Make(KEPT_BY_KEY, 1, "fsync"))
    for round_ in range(3):
        for at in range(8):
            await world.put(world.set(K, f"a{at % 2}", size=900), world.append(A, size=40))
        await world.put(world.append(W, size=300))
        await world.checkpoint()
        await world.checkpoint()
        world.storage.arm(Fault(1, code=errno.ENOSPC, ops=frozenset({"pwrite"})))
        with contextlib.suppress(OSError):
            await world.compact()
        world.storage.arm(None)
        await world.compact()
        if round_:
            world.kill()
        else:
            world.power_cut(Variant.SUBSET, seed=4)
        await world.open()
    await fill(world, A, W, units=2)
    await world.reopen()


async def sealing_what_is_dead(world: JournalWorld) -> None:
    await begin(world)
    for _ in range(3):
        await fill(world, A, B, units=4)
        for key in (A, B):
            await world.put(Trim(key, world.journal.partitions[key].high_watermark))
        await retention.seal_dead_active(world.journal)
        await world.checkpoint()
        await world.checkpoint()
        await clean(world)
    await world.put(world.append(A))


async def units_larger_than_a_segment(world: JournalWorld) -> None:
    await begin(world)
    await world.put(world.append(A, count=3, size=4000), Commit(1, 1))
    await world.put(world.append(B, size=40))
    await world.put(world.append(A, B, count=2, size=5500))
    await world.put(world.append(W, size=9000))
    await world.reopen()
    await world.put(world.append(A, size=20000))
    # A disk without room for so large a segment, until the ballast is given up.
    world.storage.arm(Fault(1, code=errno.ENOSPC, ops=frozenset({"allocate"})))
    await world.put(world.append(A, size=20000))
    await world.put(world.append(A))


async def stopping_and_opening(world: JournalWorld) -> None:
    await begin(world)
    for round_ in range(5):
        await world.put(world.append(A, size=300), Commit(1, round_))
        await world.reopen()
    await world.idle()
    await world.reopen()


async def killed(world: JournalWorld) -> None:
    await begin(world)
    await world.put(world.append(A, size=700))
    await world.put(world.append(W, size=700))
    world.kill()
    await world.open()
    await world.put(world.append(W, size=400), Commit(1, 1))
    world.hold_commits()
    world.put(world.append(A, size=300))
    world.kill()
    await world.open()
    await fill(world, A, W, units=9)
    world.kill()
    await world.open()
    await world.put(world.append(B))


async def killed_while_it_rolls_and_checkpoints(world: JournalWorld) -> None:
    await begin(world)
    for _ in range(2):
        await fill(world, A, B, W, units=9)
        await world.checkpoint()
        world.kill()
        await world.open()
        await world.put(Trim(A, world.journal.partitions[A].high_watermark - 1))


async def opened_after_a_power_cut(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, A, W, units=6)
    for size in (900, 500, 700):
        await world.put(world.append(W, size=size))
    world.power_cut(Variant.TORN_SECTORS, seed=3)
    await world.open()
    await fill(world, W, A, B, units=14, size=1900)
    await world.checkpoint()
    await fill(world, W, A, units=6, size=1500)


async def opened_after_two_power_cuts(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, A, B, W, units=14)
    await world.checkpoint()
    await fill(world, W, units=3, size=500)
    world.power_cut(Variant.SUBSET, seed=2)
    await world.open()
    await fill(world, W, units=4, size=500)
    world.power_cut(Variant.ONE_MISSING, seed=5)
    await world.open()
    await fill(world, W, A, units=12, size=1700)
    await world.checkpoint()
    await world.put(world.append(W, A, size=2800))
    await world.reopen()
    await fill(world, W, B, units=6, size=1200)


async def a_sync_that_fails(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, A, W, units=4)
    for effect in (Effect.CACHED, Effect.REVERTED):
        await world.put(world.append(W, size=600))
        world.storage.arm(Fault(1, ops=frozenset({"sync"}), effect=effect))
        world.put(world.append(A, size=800), Commit(1, 1))
        world.storage.arm(None)
        world.kill()
        await world.open()
        await fill(world, A, W, units=2)


async def a_write_that_fails(world: JournalWorld) -> None:
    await begin(world)
    await fill(world, A, W, units=3)
    for effect in (Effect.SHORT, Effect.CACHED, Effect.REVERTED):
        world.storage.arm(Fault(1, ops=frozenset({"pwrite sync"}), effect=effect))
        world.put(world.append(A, size=1800), Commit(1, 1))
        world.storage.arm(None)
        world.kill()
        await world.open()
        await world.put(world.append(A, B, size=300))


async def a_full_disk(world: JournalWorld) -> None:
    """Publishers are refused; what frees space goes on, in the reserve."""
    await begin(world)
    await fill(world, A, units=4)
    world.storage.arm(Fault(1, code=errno.ENOSPC, ops=frozenset({"allocate"}), forever=True))
    with contextlib.suppress(StorageFull):
        await fill(world, A, B, units=30)
    for number in range(30):
        await world.put(Commit(number % 3, number))
    await world.put(Trim(A, world.journal.partitions[A].high_watermark))
    world.kill()
    await world.open()
    await world.put(Commit(5, 5))
    world.storage.arm(None)
    await world.clock.advance(2_000)
    await world.put(Commit(5, 6))
    await fill(world, A, units=12)


async def topics_that_come_and_go(world: JournalWorld) -> None:
    await begin(world)
    for topic in (3, 4, 5):
        await world.put(Make(topic, 2, "fsync"))
        await fill(world, pid(topic), pid(topic, 1), A, units=7)
        await world.put(Drop(topic), Commit(1, topic))
        await world.checkpoint()
    await world.put(Trim(A, 6))
    await clean(world)
    await world.reopen()
    await world.put(Make(6, 1, "written"))
    await fill(world, pid(6), units=3)


def walk(seed: int) -> Scenario:
    """A random life."""

    async def walking(world: JournalWorld) -> None:
        await begin(world)
        rng = random.Random(seed)
        for step in range(32):
            await _STEPS[rng.choices(range(len(_STEPS)), _WEIGHTS)[0]](world, rng, step)

    return walking


async def _append(world: JournalWorld, rng: random.Random, step: int) -> None:
    partitions = rng.sample((A, B, W), rng.randint(1, 3))
    ops: list[Op] = [world.append(*partitions, count=rng.randint(1, 4), size=rng.choice((40, 300, 900)))]
    if rng.random() < 0.3:
        ops.append(Commit(rng.randint(1, 3), step))
    await world.put(*ops)


async def _append_written(world: JournalWorld, rng: random.Random, _step: int) -> None:
    for _ in range(rng.randint(1, 4)):
        await world.put(world.append(W, size=rng.choice((60, 700))))


async def _group(world: JournalWorld, rng: random.Random, step: int) -> None:
    world.hold_commits()
    for at in range(rng.randint(1, 4)):
        world.put(world.append(rng.choice((A, B, W)), size=500), Commit(at, step))
    world.commit()


async def _trim(world: JournalWorld, rng: random.Random, _step: int) -> None:
    partition = world.journal.partitions[rng.choice((A, B, W))]
    await world.put(Trim(partition.id, rng.randint(partition.log_start, partition.high_watermark)))


async def _checkpoint(world: JournalWorld, _rng: random.Random, _step: int) -> None:
    await world.checkpoint()


async def _clean(world: JournalWorld, rng: random.Random, _step: int) -> None:
    if rng.random() < 0.5:
        await world.compact()
    if rng.random() < 0.5:
        await retention.seal_dead_active(world.journal)
    await clean(world)


async def _idle(world: JournalWorld, _rng: random.Random, _step: int) -> None:
    await world.idle()


async def _reopen(world: JournalWorld, rng: random.Random, _step: int) -> None:
    if rng.random() < 0.5:
        world.kill()
        await world.open()
    else:
        await world.reopen()


_STEPS: Final = (_append, _append_written, _group, _trim, _checkpoint, _clean, _idle, _reopen)
_WEIGHTS: Final = (10, 4, 4, 4, 2, 2, 1, 1)

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.__name__: scenario
    for scenario in (
        one_record_at_a_time,
        many_units_in_one_group,
        fan_out,
        written_below_synced,
        written_only_until_it_rolls,
        rolling,
        checkpoints,
        checkpoints_between_rolls,
        trimming_and_removal,
        compacting,
        compacting_by_key,
        compacting_between_lives,
        sealing_what_is_dead,
        units_larger_than_a_segment,
        stopping_and_opening,
        killed,
        killed_while_it_rolls_and_checkpoints,
        opened_after_a_power_cut,
        opened_after_two_power_cuts,
        a_sync_that_fails,
        a_write_that_fails,
        a_full_disk,
        topics_that_come_and_go,
    )
}
"""By name, for test ids."""
