"""What readers that go on will ask for next, read while they are busy with what they got. Bounded in bytes.

It guesses and keeps; what may be read, and from where, is for the reader that asks.

Invariants:
    A1: what is kept and what is being read ahead are together at most AHEAD_BYTES_MAX, as far as sizes are known.
    A2: what is given out was read for that place and is given out once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from isthmus.errors import IsthmusError
from isthmus.limits import AHEAD_BYTES_MAX, AHEAD_PLACES_MAX, AHEAD_READ_BYTES_MAX
from isthmus.log.partition import BatchAt

Place = tuple[int, int]
"""A partition's id and an offset in it."""

Read = Callable[[int], Awaitable[list[BatchAt]]]
"""Reads about so many bytes from a place."""


class _Kept:
    """A place that somebody is expected at: `found` is what was read there, `task` what reads it now."""

    __slots__ = ("found", "size_bytes", "task")

    def __init__(self) -> None:
        self.found: list[BatchAt] | None = None
        self.size_bytes = 0
        self.task: asyncio.Task[None] | None = None


class Ahead:
    """See the module text. All calls are made on the loop."""

    def __init__(self) -> None:
        self._places: OrderedDict[Place, _Kept] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes that are kept, and those that are asked for."""
        return self._bytes

    def take(self, place: Place, max_bytes: int) -> list[BatchAt] | None:
        """What was read there, up to `max_bytes` and one batch at least; None when there is nothing (yet)."""
        kept = self._places.get(place)
        if kept is None or kept.found is None:
            return None
        self._drop(place)
        return _within(kept.found, max_bytes)

    async def arrive(self, place: Place) -> bool:
        """Somebody is there: whether that was expected. What is being read there is waited for, and can be taken."""
        kept = self._places.get(place)
        if kept is None:
            return False
        if kept.task is not None:
            await asyncio.wait((kept.task,))
        if kept.found is None and self._places.get(place) is kept:
            self._drop(place)
        return True

    def expect(self, place: Place) -> None:
        """Somebody has read up to there."""
        if place not in self._places:
            self._places[place] = _Kept()
        while len(self._places) > AHEAD_PLACES_MAX:
            self._drop(next(iter(self._places)))

    def fetch(self, place: Place, max_bytes: int, read: Read) -> None:
        """Somebody goes on from there, as they did before: read it now, if there is room to keep it."""
        self.expect(place)
        kept = self._places[place]
        size = min(max_bytes, AHEAD_READ_BYTES_MAX)
        if kept.task is None and kept.found is None and self._bytes + size <= AHEAD_BYTES_MAX:
            self._resize(kept, size)
            kept.task = asyncio.get_running_loop().create_task(self._fill(place, kept, read(size)))
            self._tasks.add(kept.task)
            kept.task.add_done_callback(self._tasks.discard)

    async def _fill(self, place: Place, kept: _Kept, reading: Awaitable[list[BatchAt]]) -> None:
        found: list[BatchAt] = []
        try:
            found = await reading
        except (IsthmusError, OSError):
            # Whoever comes there meets it again, and is told.
            self._resize(kept, 0)
        kept.task = None
        size = sum(len(batch.data) for batch in found)
        if self._places.get(place) is not kept or not found or self._bytes - kept.size_bytes + size > AHEAD_BYTES_MAX:
            self._resize(kept, 0)
            return
        self._resize(kept, size)
        kept.found = found

    def forget(self) -> None:
        """What is stored has changed places: read it anew."""
        for place in list(self._places):
            self._drop(place)

    async def finish(self) -> None:
        """Forget all, and wait until nothing is being read."""
        self.forget()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def _drop(self, place: Place) -> None:
        kept = self._places.pop(place)
        if kept.task is None:
            self._resize(kept, 0)

    def _resize(self, kept: _Kept, size_bytes: int) -> None:
        self._bytes += size_bytes - kept.size_bytes
        kept.size_bytes = size_bytes


def _within(found: Sequence[BatchAt], max_bytes: int) -> list[BatchAt]:
    taken = [found[0]]
    left = max_bytes - len(found[0].data)
    for batch in found[1:]:
        left -= len(batch.data)
        if left < 0:
            break
        taken.append(batch)
    return taken
