"""One at a time per key: which admitted records of an ordered queue may be handed out. Pure.

It knows keys and offsets only; what is leased, failed or dying, and what is journalled, is the ledger's business.

Theory of operation. A record whose key was read is *waiting*, *out* (leased) or *held* (it failed and comes again
later, or is dying). While something of a key is out, nothing else of that key goes out; otherwise its lowest waiting
offset may, unless a lower one is held. A record that is only delayed by its producer is not here at all, and so blocks
nobody. A record without a key has a chain to itself.

Invariants:
    O1: an offset is at one place only.
    O2: a key is known as long as it has an offset, and no longer.
"""

import heapq
from collections.abc import Iterable, Mapping


class _Chain:
    """What is known of one key. The heaps may still hold offsets that are not there any more."""

    __slots__ = ("count", "held", "key", "out", "waiting")

    def __init__(self, key: bytes | int) -> None:
        self.key = key
        self.count = 0
        self.out = 0
        self.waiting: list[int] = []
        self.held: list[int] = []


class KeyOrder:
    """The chains of all keys; see the module text. Methods that may free a key return the offset that may go now."""

    __slots__ = ("_chains", "_held", "_out", "_waiting")

    def __init__(self) -> None:
        self._chains: dict[bytes | int, _Chain] = {}
        self._waiting: dict[int, _Chain] = {}
        self._out: dict[int, _Chain] = {}
        self._held: dict[int, _Chain] = {}

    def __len__(self) -> int:
        """How many keys are known."""
        return len(self._chains)

    def within(self, start: int, end: int) -> Iterable[int]:
        """The offsets of a range that can be known, at the price of the smaller of the two."""
        places = (self._waiting, self._out, self._held)
        if end - start <= sum(map(len, places)):
            return range(start, end)
        return [offset for place in places for offset in place if start <= offset < end]

    def admit(self, offset: int, key: bytes | None, *, held: bool = False) -> int | None:
        """A record was read."""
        name = offset if key is None else key
        chain = self._chains.get(name)
        if chain is None:
            chain = self._chains[name] = _Chain(name)
        chain.count += 1
        if held:
            self._put(offset, chain, self._held, chain.held)
        else:
            self._put(offset, chain, self._waiting, chain.waiting)
        return self._next(chain)

    def may_go(self, offset: int) -> bool:
        """Whether an offset may be handed out now."""
        chain = self._waiting.get(offset)
        return chain is not None and self._next(chain) == offset

    def run(self, offset: int, count: int) -> list[int]:
        """The first `count` offsets of the key of an offset that may go, in order, that may go with it."""
        chain = self._waiting.get(offset)
        run: list[int] = []
        while chain is not None and len(run) < count and (first := self._next(chain)) is not None:
            heapq.heappop(chain.waiting)
            if not run or first != run[-1]:
                run.append(first)
        for first in run:
            heapq.heappush(chain.waiting, first)  # type: ignore[union-attr]  # a run was found in it
        return run

    def go(self, offset: int) -> None:
        """It is handed out."""
        chain = self._waiting.pop(offset, None)
        if chain is not None:
            chain.out += 1
            self._out[offset] = chain

    def hold(self, offset: int) -> int | None:
        """It is not out any more, but will come again later, or is dying."""
        chain = self._take(offset)
        if chain is not None:
            self._put(offset, chain, self._held, chain.held)
        return self._next(chain)

    def wait(self, offset: int) -> int | None:
        """It may go out again in its turn."""
        chain = self._take(offset)
        if chain is not None:
            self._put(offset, chain, self._waiting, chain.waiting)
        return self._next(chain)

    def drop(self, offset: int) -> int | None:
        """It is settled."""
        chain = self._take(offset)
        if chain is not None:
            chain.count -= 1
            if not chain.count:
                del self._chains[chain.key]
                return None
        return self._next(chain)

    def _put(self, offset: int, chain: _Chain, place: dict[int, _Chain], heap: list[int]) -> None:
        place[offset] = chain
        heapq.heappush(heap, offset)

    def _take(self, offset: int) -> _Chain | None:
        chain = self._out.pop(offset, None)
        if chain is not None:
            chain.out -= 1
            return chain
        return self._held.pop(offset, None) or self._waiting.pop(offset, None)

    def _next(self, chain: _Chain | None) -> int | None:
        """The offset of a chain that may go; forgets what the heaps need not hold any more."""
        if chain is None or chain.out:
            return None
        first = _lowest(chain, chain.waiting, self._waiting)
        held = _lowest(chain, chain.held, self._held)
        return first if first is not None and (held is None or first < held) else None


def _lowest(chain: _Chain, heap: list[int], place: Mapping[int, _Chain]) -> int | None:
    while heap and place.get(heap[0]) is not chain:
        heapq.heappop(heap)
    return heap[0] if heap else None
