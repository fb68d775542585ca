"""The line at a queue: who wants records now, and who of them is next.

By priority, and in turn within one. At a queue with a single active consumer only one is served at all: the first by
priority, then by age. It hands out nothing.

Invariants:
    Q1: in line is who wants something now: callers that wait, consumers with credit.
    Q2: with a single active consumer, another one is served only when the one before was cancelled, or when nothing
        that was handed out is unsettled.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import chain

from isthmus.lenses.queue.takers import Consumer, Key, Waiter

Taker = Waiter | Consumer


class Line:
    """See the module text. `is_idle` tells whether nothing of the queue is handed out."""

    __slots__ = ("_active", "_is_idle", "_levels", "_number", "_order", "_size", "single", "standing")

    def __init__(self, is_idle: Callable[[], bool], *, single: bool = False) -> None:
        self._is_idle = is_idle
        self._levels: dict[int, OrderedDict[Taker, None]] = {}
        self._order: list[int] = []
        self._size = 0
        self._number = 0
        self._active: tuple[Key, int] | None = None
        self.single = single
        self.standing: dict[int, Consumer] = {}

    def __len__(self) -> int:
        """How many want something now."""
        return self._size

    def number(self) -> int:
        """The next number of a taker: who has a lower one is older."""
        self._number += 1
        return self._number

    # ---- who wants something --------------------------------------------------------------------------------------

    def join(self, taker: Taker, *, first: bool = False) -> None:
        """Stand at the end of its level, or at the head again."""
        level = self._levels.get(taker.priority)
        if level is None:
            level = self._levels[taker.priority] = OrderedDict()
            self._order = sorted(self._levels, reverse=True)
        if taker not in level:
            level[taker] = None
            self._size += 1
        if first:
            level.move_to_end(taker, last=False)

    def leave(self, taker: Taker) -> None:
        """Want nothing more for now."""
        level = self._levels.get(taker.priority)
        if level is not None and taker in level:
            del level[taker]
            self._size -= 1
            if not level:
                del self._levels[taker.priority]
                self._order.remove(taker.priority)

    def turn(self, taker: Taker) -> None:
        """It was served: the others of its level come first."""
        self._levels[taker.priority].move_to_end(taker)

    def waiters(self) -> list[Waiter]:
        """The callers that wait."""
        found = chain.from_iterable(self._levels.values())
        return [taker for taker in found if isinstance(taker, Waiter)]

    def beside(self, taker: Taker) -> int:
        """How many of its level want something, itself included."""
        return len(self._levels[taker.priority]) if not self.single else 1

    # ---- who is next ----------------------------------------------------------------------------------------------

    def next(self) -> Taker | None:
        """Who is to be served."""
        if not self._size:
            return None
        if self.single:
            return self._only()
        return next(iter(self._levels[self._order[0]]))

    def is_active(self, consumer: Consumer) -> bool:
        """Whether a standing consumer is served when it wants something."""
        if not self.single:
            return True
        self._appoint()
        return self._active is not None and self._active[0] == consumer.key

    def _only(self) -> Taker | None:
        """The single active one, if it wants something."""
        taker = self._appoint()
        return taker if taker is not None and taker in self._levels.get(taker.priority, ()) else None

    def _appoint(self) -> Taker | None:
        """The single active one, after it was found out who that is."""
        candidates: Iterable[Taker] = chain(self.standing.values(), self.waiters())
        first, active = None, None
        for taker in candidates:
            rank = self._rank(taker)
            if first is None or rank < self._rank(first):
                first = taker
            if self._active is not None and taker.key == self._active[0]:
                active = taker
        if first is None or first is active:
            return active
        if self._active is None or self._is_over(self._active[0]) or self._is_idle():
            self._active = first.key, first.number
            return first
        return active

    def _is_over(self, key: Key) -> bool:
        """Whether that was a standing consumer which was cancelled."""
        return key[2] != 0 and key[2] not in self.standing

    def _rank(self, taker: Taker) -> tuple[int, int]:
        """What goes first is lower. A caller that comes back to the queue stays as old as it is."""
        known = self._active
        number = known[1] if known is not None and taker.key == known[0] else taker.number
        return -taker.priority, number
