"""Crashes at every storage call of a run: builds the disks, has them judged, crashes again within the recovery.

It knows neither journals nor brokers: a world hands it a trace and a function that judges a disk.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from support.sim_storage import SimStorage, Variant

Verify = Callable[[SimStorage, Sequence[object], random.Random], Awaitable[Sequence[object]]]
"""Judges a disk against the marks; returns the marks for a crash within its own opening of that disk."""

NESTED_SHARE: Final = 0.1
"""Disks on which the recovery crashes, too."""

FRUITLESS_MAX: Final = 2 * len(Variant)
SEEDS_MAX: Final = 200
"""After so many known disks in a row a point has no more to give, after so many seeds a trace."""


@dataclass
class Tally:
    """What was tried: different disks, those of them within a recovery, and where the program called its storage."""

    states: int = 0
    nested: int = 0
    sites: Counter[tuple[str, str]] = field(default_factory=Counter)


async def crash_everywhere(
    sim: SimStorage, verify: Verify, states: int, *, seed: int = 1, verify_killed: Verify | None = None
) -> Tally:
    """Judge at least `states` different disks that a power cut during this trace could leave.

    Each round goes through all points of the trace with one variant and one seed, so that no point is left out; a point
    that has given the same disks for a whole set of variants is not asked again.

    Args:
        sim: what the scenario ran on.
        verify: judges a disk after a power cut.
        states: how many different disks at least, if there are so many.
        seed: of the luck.
        verify_killed: judges what the next process finds when only this one died, at every point.

    Raises:
        AssertionError: names the point, the variant and the seed.
    """
    tally = Tally(sites=sim.sites())
    points = {prefix: _Point() for prefix in sim.crash_points()}
    judge = _Judge(sim, verify, tally)
    for prefix in points if verify_killed is not None else ():
        await judge.look(sim.killed(prefix), prefix, "killed", seed, verify_killed)
    for luck in range(seed, seed + SEEDS_MAX):
        variants = list(Variant)
        random.Random(luck).shuffle(variants)
        for variant in variants:
            for prefix, point in points.items():
                disk = point.disk(sim, prefix, variant, luck)
                if disk is not None:
                    await judge.look(disk, prefix, variant.name, luck)
            if tally.states >= states:
                return tally
    return tally


class _Point:
    """The different disks of one point so far."""

    def __init__(self) -> None:
        self._seen: set[object] = set()
        self._fruitless = 0
        self._in_doubt = True

    def disk(self, sim: SimStorage, prefix: int, variant: Variant, luck: int) -> SimStorage | None:
        """A disk that was not tried yet at this point, None if luck gave a known one."""
        if not self._in_doubt or self._fruitless > FRUITLESS_MAX:
            return None
        self._in_doubt = bool(sim.pending(prefix))
        disk = sim.images(prefix, variant, luck)
        looks = frozenset((name, held, size) for name, (held, size) in disk.contents().items())
        if looks in self._seen:
            self._fruitless += 1
            return None
        self._seen.add(looks)
        self._fruitless = 0
        return disk


class _Judge:
    """Has disks judged, and now and then those that a power cut within that leaves."""

    def __init__(self, sim: SimStorage, verify: Verify, tally: Tally) -> None:
        self._sim, self._verify, self._tally = sim, verify, tally

    async def look(self, disk: SimStorage, prefix: int, what: str, luck: int, verify: Verify | None = None) -> None:
        """Judge a disk, with another function than usual where one is given."""
        rng = random.Random(f"{luck} {prefix} {what}")
        marks = self._sim.marks_before(prefix)
        with _named(self._sim, prefix, f"{what}, seed {luck}"):
            inner = await (verify or self._verify)(disk, marks, rng)
            self._tally.states += 1
            self._tally.sites += disk.sites()
            if rng.random() < NESTED_SHARE:
                await self._look_within(disk, inner, rng, luck)

    async def _look_within(self, disk: SimStorage, inner: Sequence[object], rng: random.Random, luck: int) -> None:
        at, variant = rng.choice(disk.crash_points()), rng.choice(list(Variant))
        with _named(disk, at, f"then {variant.name}, seed {luck}"):
            await self._verify(disk.images(at, variant, luck), [*inner, *disk.marks_before(at)], rng)
        self._tally.nested += 1
        self._tally.states += 1


class _named:  # noqa: N801 - reads as a statement
    """Says in a failure where the crash was."""

    def __init__(self, sim: SimStorage, prefix: int, what: str) -> None:
        self._sim, self._prefix, self._what = sim, prefix, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            events = self._sim.trace
            begun = events[self._prefix] if self._prefix < len(events) else None
            call = f"{begun.op} {begun.name} by {begun.site}" if begun else "the end"
            error.add_note(f"crash before event {self._prefix} ({call}), {self._what}")
