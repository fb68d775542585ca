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


async def crash_everywhere(sim: SimStorage, verify: Verify, states: int, *, seed: int = 1) -> Tally:
    """Judge at least `states` different disks that a power cut during this trace could leave.

    Each round goes through all points of the trace with one variant and one seed, so that no point is left out; a point
    that has given the same disks for a whole set of variants is not asked again.

    Raises:
        AssertionError: names the point, the variant and the seed.
    """
    tally = Tally(sites=sim.sites())
    points = {prefix: _Point() for prefix in sim.crash_points()}
    for luck in range(seed, seed + SEEDS_MAX):
        variants = list(Variant)
        random.Random(luck).shuffle(variants)
        for variant in variants:
            for prefix, point in points.items():
                disk = point.disk(sim, prefix, variant, luck)
                if disk is not None:
                    await _judge(sim, disk, prefix, f"{variant.name}, seed {luck}", verify, tally, luck)
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


async def _judge(
    sim: SimStorage, disk: SimStorage, prefix: int, what: str, verify: Verify, tally: Tally, luck: int
) -> None:
    rng = random.Random(f"{luck} {prefix} {what}")
    marks = sim.marks_before(prefix)
    with _named(sim, prefix, what):
        inner = await verify(disk, marks, rng)
        tally.states += 1
        tally.sites += disk.sites()
        if rng.random() < NESTED_SHARE:
            at, variant = rng.choice(disk.crash_points()), rng.choice(list(Variant))
            with _named(disk, at, f"then {variant.name}, seed {luck}"):
                await verify(disk.images(at, variant, luck), [*inner, *disk.marks_before(at)], rng)
                tally.nested += 1
                tally.states += 1


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
