"""What one channel remembers: deliveries that are not settled by their tags, confirms by their numbers, prefetch.

Pure: it decides which deliveries a tag stands for, which confirms can be sent as one, and how much a consumer may be
given; it knows neither the broker nor the wire.

Invariants:
    C1: a delivery tag is given once, rising from 1, and settled at most once; a rollback opens it again.
    C2: confirms leave in the order of their numbers, so that one with `multiple` covers nothing that is open.
    C3: what a consumer holds and may still be given is never more than its prefetch, and those of a channel with a
        prefetch of its own never more than that together.

Spec: AMQP 0-9-1 sections 1.8.3 (basic), RabbitMQ's confirms and its meaning of `global`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Unsettled(Generic[T]):
    """Deliveries of a channel that wait to be settled, by tag, in order (C1)."""

    __slots__ = ("_held", "last")

    def __init__(self) -> None:
        self._held: dict[int, T] = {}
        self.last = 0
        """The tag that was given last."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held)

    def __iter__(self) -> Iterator[T]:
        """All of them, in the order of their tags."""
        return iter(self._held.values())

    def add(self, delivery: T) -> int:
        """Keep one that has to be settled; its tag."""
        self.last += 1
        self._held[self.last] = delivery
        return self.last

    def skip(self) -> int:
        """A tag for one that is settled already."""
        self.last += 1
        return self.last

    def take(self, tag: int, *, multiple: bool) -> list[T] | None:
        """What a tag stands for, which is not held any more then; None when there is no such delivery.

        With `multiple` these are all up to the tag, which itself has to be there; tag 0 stands for all that there are.
        """
        if not multiple:
            found = self._held.pop(tag, None)
            return None if found is None else [found]
        rows = self.take_rows(tag, multiple=True)
        return None if rows is None else [delivery for _, delivery in rows]

    def take_rows(self, tag: int, *, multiple: bool) -> list[tuple[int, T]] | None:
        """The same with their tags, for who may want to put them back."""
        held = self._held
        if not multiple or tag:
            if tag not in held:
                return None
            tags = [tag] if not multiple else [*takewhile(tag.__ne__, held), tag]
        else:
            tags = list(held)
        return [(each, held.pop(each)) for each in tags]

    def restore(self, rows: Iterable[tuple[int, T]]) -> None:
        """They are held again, under their old tags."""
        self._held = dict(sorted([*self._held.items(), *rows], key=lambda row: row[0]))

    def take_each(self, tags: Iterable[int], into: list[T]) -> int | None:
        """The same for many tags, each for itself; the first that stands for nothing, at which it stops."""
        pop = self._held.pop
        for tag in tags:
            found = pop(tag, None)
            if found is None:
                return tag
            into.append(found)
        return None

    def clear(self) -> list[T]:
        """All of them; none is held any more."""
        held, self._held = list(self._held.values()), {}
        return held


class Confirm(NamedTuple):
    """One answer to publishes: all up to `number`, or this one, were taken (`ok`) or refused."""

    number: int
    multiple: bool
    ok: bool


class Run:
    """Publishes with neighbouring numbers up to `end` that share one fate: None while it is open."""

    __slots__ = ("end", "ok")

    def __init__(self, end: int) -> None:
        self.end = end
        self.ok: bool | None = None


class Confirms:
    """The numbers of a channel's publishes, and what can be told of them (C2)."""

    __slots__ = ("_runs", "_told", "last")

    def __init__(self) -> None:
        self._runs: deque[Run] = deque()
        self._told = 0
        self.last = 0
        """The number of the newest publish."""

    @property
    def open(self) -> int:
        """How many publishes are not answered."""
        return self.last - self._told

    def begin(self, count: int) -> Run:
        """So many publishes go together: set `ok` of the run when their fate is known, and ask for `ready`."""
        self.last += count
        run = Run(self.last)
        self._runs.append(run)
        return run

    def ready(self) -> list[Confirm]:
        """What can be told now, each thing once."""
        told: list[Confirm] = []
        runs = self._runs
        while runs and runs[0].ok is not None:
            ok, end = runs[0].ok, runs[0].end
            runs.popleft()
            while runs and runs[0].ok is ok:
                end = runs.popleft().end
            told.append(Confirm(end, end - self._told > 1, ok))
            self._told = end
        return told


UNLIMITED: Final = 0


class Allowance:
    """How much one consumer may be given: `limit` deliveries that are not settled, or without a limit a window that
    moves on as they are sent.

    `free` is what it was promised, and `held` what it was given and has not settled. A consumer that settles nothing
    holds nothing.
    """

    __slots__ = ("free", "held", "limit", "window")

    def __init__(self, limit: int, window: int) -> None:
        self.limit = limit
        self.window = window
        self.free = 0
        self.held = 0

    def change(self, room: int) -> int:
        """How much more it is promised from now on, when its channel has room for so many; negative for less."""
        most = self.window if self.limit == UNLIMITED else min(self.window, self.limit - self.held)
        more = max(0, min(most, room)) - self.free
        self.free += more
        return more

    def given(self, count: int, *, settled: bool) -> None:
        """So many were delivered to it."""
        self.free -= count
        if not settled:
            self.held += count

    def settled(self, count: int = 1) -> None:
        """So many of what it holds are settled."""
        self.held -= count
