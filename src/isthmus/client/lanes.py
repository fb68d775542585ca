"""The order in which deliveries may run: one after the other within a key, side by side across keys. Pure.

It holds what has been received and not yet handled, and says what may run now; it runs nothing and settles nothing.

Theory of operation
-------------------
New deliveries queue up in *ready*, in the order of their arrival. `take` hands a worker a *slice* of them. With several
workers a key in a slice is *running*: what arrives for it meanwhile waits in the key's lane, and `finish` lets it go
on. With one worker the order of ready is enough and running keys are not kept track of. A key that failed is *blocked*
(with one worker too): its deliveries gather in its lane until the failure is on record; then the source holds the key,
and what gathered is handed back (`withheld`, `unblock`); or, after a dead letter, it goes on here (`resume`).

Invariants
----------
L1  Deliveries of a key are handed out in the order in which they arrived, also when some are put back.
L2  No two slices that are out at the same time hold the same key.
L3  While a key is blocked, none of its deliveries is handed out.
L4  What was added is in exactly one place: ready, a lane, a slice that is out, or with the caller for good.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from isthmus.errors import InvariantError

T = TypeVar("T")


class _Lane(Generic[T]):
    """What waits behind a running or blocked key."""

    __slots__ = ("blocked", "waiting")

    def __init__(self) -> None:
        self.blocked = False
        self.waiting: deque[T] = deque()


class Lanes(Generic[T]):
    """See the module text. `key_of` gives a delivery's key, None for one that has no order with others."""

    def __init__(self, key_of: Callable[[T], bytes | None], *, parallel: bool) -> None:
        self._key_of = key_of
        self._parallel = parallel
        self._ready: deque[T] = deque()
        self._lanes: dict[bytes, _Lane[T]] = {}

    def __len__(self) -> int:
        """How many are ready: an upper bound of what `take` can give, since some may wait for their key."""
        return len(self._ready)

    def add(self, items: Iterable[T]) -> None:
        """Queue up what arrived, in order."""
        self._ready.extend(items)

    # ---- handing out --------------------------------------------------------------------------------------------

    def take(self, count: int) -> list[T]:
        """A slice of up to `count` that may run now, one after the other; give it back with `finish`."""
        ready, lanes = self._ready, self._lanes
        if not lanes and not self._parallel:
            if len(ready) <= count:
                taken = list(ready)
                ready.clear()
                return taken
            return [ready.popleft() for _ in range(count)]
        return self._take_by_key(count)

    def _take_by_key(self, count: int) -> list[T]:
        taken: list[T] = []
        mine: set[bytes] = set()
        ready = self._ready
        while ready and len(taken) < count:
            item = ready.popleft()
            key = self._key_of(item)
            if key is not None and key not in mine:
                lane = self._lanes.get(key)
                if lane is not None:
                    lane.waiting.append(item)
                    continue
                if self._parallel:
                    mine.add(key)
                    self._lanes[key] = _Lane()
            taken.append(item)
        return taken

    def finish(self, taken: Sequence[T], rest: Sequence[T] = ()) -> None:
        """A slice is done with. `rest` is what of it did not run and is to be handed out again, in order."""
        if self._parallel:
            self._free(taken, rest)
        else:
            self._ready.extendleft(reversed(rest))

    def _free(self, taken: Sequence[T], rest: Sequence[T]) -> None:
        again = list(rest)
        for key in dict.fromkeys(map(self._key_of, taken)):
            lane = None if key is None else self._lanes.get(key)
            if key is None or lane is None or lane.blocked:
                continue
            del self._lanes[key]
            again += lane.waiting
        self._ready.extendleft(reversed(again))

    # ---- failures -----------------------------------------------------------------------------------------------

    def block(self, key: bytes, behind: Iterable[T] = ()) -> None:
        """A delivery of that key failed; `behind` are those of its slice that come after it with the same key.

        Raises:
            InvariantError: the key is blocked already, so something of it ran that should not have.
        """
        lane = self._lanes.setdefault(key, _Lane())
        if lane.blocked:
            raise InvariantError(f"key {key!r} failed while it was blocked")
        lane.blocked = True
        lane.waiting.extendleft(reversed(list(behind)))

    def is_blocked(self, key: bytes | None) -> bool:
        """Whether nothing of that key may run."""
        lane = None if key is None else self._lanes.get(key)
        return lane is not None and lane.blocked

    def withheld(self, key: bytes) -> list[T]:
        """Take out what waits behind a blocked key, also of what is still ready; it is the caller's then."""
        lane = self._blocked(key)
        if any(self._key_of(item) == key for item in self._ready):
            lane.waiting.extend(item for item in self._ready if self._key_of(item) == key)
            self._ready = deque(item for item in self._ready if self._key_of(item) != key)
        found = list(lane.waiting)
        lane.waiting.clear()
        return found

    def unblock(self, key: bytes) -> None:
        """The failure is on record and what waited has been handed back: the key is as new.

        Raises:
            InvariantError: it is not blocked, or something waits behind it.
        """
        if self._blocked(key).waiting:
            raise InvariantError(f"key {key!r} is unblocked with deliveries waiting behind it")
        del self._lanes[key]

    def resume(self, key: bytes) -> None:
        """The failed delivery is out of the way: what waited behind it goes on."""
        waiting = self._blocked(key).waiting
        del self._lanes[key]
        self._ready.extendleft(reversed(waiting))

    def _blocked(self, key: bytes) -> _Lane[T]:
        lane = self._lanes.get(key)
        if lane is None or not lane.blocked:
            raise InvariantError(f"key {key!r} is not blocked")
        return lane

    # ---- the end ------------------------------------------------------------------------------------------------

    def clear(self) -> list[T]:
        """Take out all that does not run, in the order of each key."""
        found = [item for lane in self._lanes.values() for item in lane.waiting]
        for lane in self._lanes.values():
            lane.waiting.clear()
        found += self._ready
        self._ready.clear()
        return found

    def discard(self, gone: Callable[[T], bool]) -> list[T]:
        """Take out what waits and is no longer ours to run."""
        found = [item for item in self._ready if gone(item)]
        self._ready = deque(item for item in self._ready if not gone(item))
        for lane in self._lanes.values():
            found += [item for item in lane.waiting if gone(item)]
            lane.waiting = deque(item for item in lane.waiting if not gone(item))
        return found
