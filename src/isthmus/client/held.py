"""What a consumer holds: deliveries that were received and are not settled yet, and their leases, renewed in time.

It decides nothing about deliveries and settles none.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from isthmus.client.handler import Call
from isthmus.client.verdict import Verdict
from isthmus.clock import Clock, Timer
from isthmus.engines.base import Received, Source
from isthmus.errors import FencedInstance, InvariantError, LeaseLost, StaleGeneration, UnknownMember

STALE = (LeaseLost, StaleGeneration, UnknownMember, FencedInstance)
"""What an engine says when a delivery is no longer ours."""


class Raised(NamedTuple):
    """What was raised, where a result is expected."""

    error: BaseException


class Held(Struct, eq=False):
    """One delivery on its way through a consumer.

    `received` is what the source wants back, as last renewed; `origin` is how it came, which is what messages know it
    by. `call` is the handler that takes it. `key` is None where order does not matter. `answers` are those to its
    handler's questions, or why there are none. `verdict` is what the handler said about it (`nack`, `reject`),
    `settled` that it was acknowledged already, `lost` that somebody else has it.
    """

    received: Received
    origin: Received
    outcome: Any
    call: Call | None
    key: bytes | None
    answers: "Sequence[Any] | Raised" = ()
    verdict: Verdict | None = None
    settled: bool = False
    lost: bool = False


class Holding:
    """All that one consumer holds. Belongs to one event loop; one timer renews all leases.

    `lost` is called when some turned out to be somebody else's; `failed` when renewing ended in an unexpected error.
    """

    def __init__(
        self,
        source: Source,
        clock: Clock,
        lease_ms: int | None,
        lost: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._source = source
        self._clock = clock
        self._lease_ms = lease_ms
        self._lost = lost
        self._failed = failed
        self._held: dict[int, Held] = {}
        self._timer: Timer | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, arrived: Iterable[Held]) -> None:
        """Hold what arrived."""
        for held in arrived:
            self._held[id(held.origin)] = held
            self.size_bytes += size_of(held.origin)
        if self._lease_ms is not None and self._timer is None and self._renewal is None:
            self._schedule()

    def forget(self, settled: Iterable[Held]) -> None:
        """Let go of what is settled, or no longer ours."""
        for held in settled:
            if self._held.pop(id(held.origin), None) is not None:
                self.size_bytes -= size_of(held.origin)

    def find(self, received: Received) -> Held | None:
        """The delivery that came as `received`; None when it is held no more."""
        return self._held.get(id(received))

    def all(self) -> list[Held]:
        """What is held, oldest first."""
        return list(self._held.values())

    async def close(self) -> None:
        """Renew no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})

    # ---- leases -------------------------------------------------------------------------------------------------

    async def extend(self, held: Held, lease_ms: int) -> None:
        """Renew one lease to end `lease_ms` from now. Raises LeaseLost."""
        try:
            (held.received,) = await self._source.extend([held.received], lease_ms)
        except STALE:
            held.lost = True
            raise

    def _schedule(self) -> None:
        """Set the timer to when half of the shortest lease is left."""
        self._timer = None
        ends = [h.received.until_ms for h in self._held.values() if not h.lost and h.received.until_ms is not None]
        if ends and self._lease_ms is not None:
            at_ms = max(min(ends) - self._lease_ms // 2, self._clock.monotonic_ms() + 1)
            self._timer = self._clock.timer(at_ms, self._renew)

    def _renew(self) -> None:
        self._timer = None
        self._renewal = asyncio.get_running_loop().create_task(self._renew_all())
        self._renewal.add_done_callback(self._renewed)

    def _renewed(self, task: "asyncio.Task[None]") -> None:
        self._renewal = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._failed(error)
        else:
            self._schedule()

    async def _renew_all(self) -> None:
        """Renew what has little more than half of its lease left, so that one call serves many."""
        if self._lease_ms is None:
            raise InvariantError("a lease without end is to be renewed")
        before_ms = self._clock.monotonic_ms() + self._lease_ms * 3 // 4
        due = [
            held
            for held in self._held.values()
            if not held.lost and held.received.until_ms is not None and held.received.until_ms <= before_ms
        ]
        try:
            await self._extend(due)
        except STALE:
            await self._extend_apart(due)

    async def _extend(self, due: Sequence[Held]) -> None:
        sent = [held.received for held in due]
        for held, old, new in zip(due, sent, await self._source.extend(sent, self._lease_ms or 0), strict=True):
            if held.received is old:  # else a handler asked for more meanwhile
                held.received = new

    async def _extend_apart(self, due: Sequence[Held]) -> None:
        """Find out which are lost: the engine has said that some are."""
        for held in due:
            try:
                await self._extend([held])
            except STALE:
                held.lost = True
        self._lost()


def size_of(received: Received) -> int:
    """Bytes of key and value."""
    stored = received.stored
    return len(stored.value or b"") + len(stored.key or b"")
