"""How full a queue is, and which of its records are too many.

It counts what is ready and what is on its way there; it settles nothing and refuses nobody.

What is counted: events exactly, of values also the bytes, exactly between ends of batches. A record that was handed
over counts no more from the moment on when that was decided, and one that is published from the moment on when its unit
was submitted.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from isthmus.definition import QueueConfig
from isthmus.lenses.queue.changes import Range
from isthmus.lenses.queue.part import Part

SURPLUS_READ_MAX: Final = 1_000
"""Records that are read at once to find out how many are too many."""


class Excess(NamedTuple):
    """By how much a queue is too full; nothing of either when it is not."""

    events: int = 0
    size_bytes: int = 0

    def __bool__(self) -> bool:
        return self.events > 0 or self.size_bytes > 0


class Bounds:
    """See the module text. `parts` is the queue's own list, which may grow.

    `landing` says how many offsets were given out and are not durable yet; `landing_bytes` are those of their values.
    """

    __slots__ = ("_landing", "_parts", "landing_bytes")

    def __init__(self, parts: list[Part], landing: Callable[[], int]) -> None:
        self._parts = parts
        self._landing = landing
        self.landing_bytes = 0

    def events(self) -> int:
        """How many events are ready and will still be when all that was decided is written."""
        return sum([part.ledger.ready - part.ledger.leaving for part in self._parts])

    def size_bytes(self, enough: int) -> int:
        """Bytes of what is ready; exact when that might be more than `enough`."""
        total = sum([part.sizes.between(part.ledger.floor, part.sizes.end) for part in self._parts if part.sizes])
        if total <= enough:
            return total
        return sum(
            part.sizes.between(start, end)
            for part in self._parts
            if part.sizes is not None
            for start, end in part.ledger.ready_ranges()
        )

    def full(self, config: QueueConfig, count: int, size_bytes: int) -> tuple[str, int] | None:
        """The bound that so much more would break, as what it counts and how many of it; None when it fits."""
        if config.max_events is not None and self.events() + self._landing() + count > config.max_events:
            return "events", config.max_events
        if config.max_bytes is not None:
            room = config.max_bytes - self.landing_bytes - size_bytes
            if room < 0 or self.size_bytes(room) > room:
                return "bytes", config.max_bytes
        return None

    def excess(self, config: QueueConfig) -> Excess:
        """What is durable and too much."""
        events = 0 if config.max_events is None else max(0, self.events() - config.max_events)
        size = 0 if config.max_bytes is None else max(0, self.size_bytes(config.max_bytes) - config.max_bytes)
        return Excess(events, size)

    async def surplus(self, config: QueueConfig) -> list[tuple[Part, Range]]:
        """The records at the head that are too many, in the order of handing out."""
        if config.max_bytes is not None:
            for part in self._parts:
                await part.measure()
        found: list[tuple[Part, Range]] = []
        left = self.excess(config)
        for part in self._in_order(config):
            if left:
                ranges, left = await _first_of(part, left)
                found += [(part, piece) for piece in ranges]
        return found

    def _in_order(self, config: QueueConfig) -> Iterable[Part]:
        """Levels of priority from high to low; of equal partitions the fullest."""
        if config.priorities > 1:
            return list(self._parts)
        return sorted(self._parts, key=lambda part: -part.ledger.ready)


async def _first_of(part: Part, excess: Excess) -> tuple[list[Range], Excess]:
    """The first ready offsets of a partition, as many as are too many, and what is still too much without them.

    Where bytes count, records are read, SURPLUS_READ_MAX of them: who asks again gets the next.
    """
    found: list[Range] = []
    events, size_bytes = excess
    read = 0
    for start, end in list(part.ledger.ready_ranges()):
        at = start
        if size_bytes <= 0:
            at = min(end, start + events)
        while at < end and read < SURPLUS_READ_MAX and (size_bytes > 0 or events > at - start):
            record = await part.record(at)
            size_bytes -= len(record.value or b"") if record is not None else 0
            at, read = at + 1, read + 1
        events -= at - start
        if at > start:
            found.append((start, at))
        if at < end or (events <= 0 and size_bytes <= 0):
            break
    return found, Excess(events, size_bytes) if read < SURPLUS_READ_MAX else Excess()
