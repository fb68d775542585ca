"""Who takes from a queue: callers that wait for one hand-over, and standing consumers that take while they have credit.

They keep what they asked for and what became of it. Who is served when, and with what, is decided elsewhere.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from isthmus.errors import InvalidArgument, IsthmusError
from isthmus.lenses.queue.changes import Range
from isthmus.lenses.queue.part import Part
from isthmus.limits import (
    CONSUMER_BATCH_BYTES,
    CONSUMER_BATCH_RECORDS,
    CONSUMER_TURN_RECORDS,
    LEASE_MS_MAX,
    LEASE_RECORDS_MAX,
)
from isthmus.record import Leased

Deliver = Callable[[list[Leased]], None]
"""Takes what was handed over, on the loop; must not wait and must not fail."""

OnEnd = Callable[[IsthmusError], None]
"""Told why a consumer gets nothing any more although nobody has cancelled it."""

Key = tuple[int, str, int]
"""Session, name and, of a standing consumer, its number: what makes a taker the same one as before."""


class Wish(NamedTuple):
    """What a taker asks for: up to `limit` records of `max_bytes`, for `lease_ms` or as long as its session.

    With `take` they are settled as they are handed over.
    """

    consumer: str
    session: int
    principal: int
    limit: int
    max_bytes: int
    lease_ms: int | None
    run_of_key: bool = False
    take: bool = False

    def check(self) -> None:
        """Raises InvalidArgument for what cannot be."""
        if not 1 <= self.limit <= LEASE_RECORDS_MAX:
            raise InvalidArgument("count", f"{self.limit} is not in 1 to {LEASE_RECORDS_MAX}")
        if self.max_bytes < 1:
            raise InvalidArgument("max_bytes", f"{self.max_bytes} leaves no room for a record")
        if self.lease_ms is not None:
            check_lease_ms(self.lease_ms)


class Cold(NamedTuple):
    """The next record has to come from disk."""

    part: Part
    offset: int


class Out(NamedTuple):
    """Leases that were journalled for a taker and not received yet."""

    part: Part
    ranges: tuple[Range, ...]
    acquired: int


class Waiter:
    """One caller. `outcome` is done when it has to go on; `out` is what it must receive or release."""

    __slots__ = ("_wish", "number", "out", "outcome")

    priority: Final = 0

    def __init__(self, wish: Wish, number: int) -> None:
        self._wish = wish
        self.number = number
        self.out: list[Out] = []
        self.outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    @property
    def name(self) -> str:
        """Of the consumer, for people."""
        return self._wish.consumer

    @property
    def key(self) -> Key:
        """The same for each call of one consumer."""
        return self._wish.session, self._wish.consumer, 0

    def wish(self, *, alone: bool) -> Wish:  # noqa: ARG002 - one call asks for no more than it can take at once
        """What it gets next."""
        return self._wish

    def booked(self, _found: list[Leased], out: list[Out]) -> None:
        """A hand-over is on its way to the journal."""
        self.out = out

    def landed(self, found: list[Leased], error: Exception | None) -> bool:
        """The hand-over is written, or cannot be. True: it sees to it itself that nothing is lost."""
        self.go_on(error or found)
        return True

    def go_on(self, outcome: list[Leased] | Cold | BaseException) -> None:
        """Let it go on with that, unless it has something already."""
        if self.outcome.done():
            return
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


class Counter(Protocol):
    """What a standing consumer asks of where it stands."""

    def granted(self, consumer: "Consumer") -> None:
        """Its credit is another one."""

    def cancelled(self, consumer: "Consumer") -> None:
        """It takes nothing any more."""

    def is_active(self, consumer: "Consumer") -> bool:
        """Whether it is the one that is served, or one of them."""


class Consumer:
    """A standing consumer of a queue: while it has credit it is handed what there is, in batches, without asking.

    `credit` is how many records it may still be handed; each takes one, `grant` gives more. `cancel` ends it: what it
    was given before stays leased by its session. What is on its way to it then goes back to the queue without having
    failed, except that a consumer that takes without leases still gets it, because it is settled.

    Invariants:
        C1: `deliver` is called in the order of the hand-overs, and never after `cancel` has told that it is over.
        C2: credit is what was granted less what was handed over; nothing is handed over without any.
    """

    __slots__ = (
        "_counter",
        "_deliver",
        "_flying",
        "_on_end",
        "_over",
        "_wish",
        "credit",
        "ended",
        "number",
        "priority",
    )

    def __init__(
        self, counter: Counter, wish: Wish, number: int, priority: int, deliver: Deliver, on_end: OnEnd | None
    ) -> None:
        self._counter = counter
        self._wish = wish
        self._deliver = deliver
        self._on_end = on_end
        self._over: list[Callable[[], None]] = []
        self._flying = 0
        self.number = number
        self.priority = priority
        self.credit = wish.limit
        self.ended = False

    @property
    def name(self) -> str:
        """As given, for people."""
        return self._wish.consumer

    @property
    def session(self) -> int:
        """The session that its leases belong to."""
        return self._wish.session

    @property
    def takes(self) -> bool:
        """Whether records are settled as they are handed to it."""
        return self._wish.take

    @property
    def active(self) -> bool:
        """Whether it is served: False for one that waits for its turn at a queue with a single active consumer."""
        return not self.ended and self._counter.is_active(self)

    @property
    def key(self) -> Key:
        """Of nobody else."""
        return self._wish.session, self._wish.consumer, self.number

    def grant(self, count: int) -> None:
        """Give credit for so many records more; a negative count takes it back."""
        self.credit += count
        if not self.ended:
            self._counter.granted(self)

    def cancel(self, over: Callable[[], None] | None = None) -> None:
        """Hand it nothing any more.

        Args:
            over: called when `deliver` will not be called again: at once, but for what is settled and on its way.
        """
        if not self.ended:
            self.ended = True
            self._counter.cancelled(self)
        if over is None:
            return
        if self._flying and self.takes:
            self._over.append(over)
        else:
            over()

    # ---- for whoever serves it ------------------------------------------------------------------------------------

    def wish(self, *, alone: bool) -> Wish:
        """What it gets next; less at once when others want something too."""
        most = CONSUMER_BATCH_RECORDS if alone else CONSUMER_TURN_RECORDS
        return self._wish._replace(
            limit=min(self.credit, most), max_bytes=min(self._wish.max_bytes, CONSUMER_BATCH_BYTES)
        )

    def booked(self, found: list[Leased], _out: list[Out]) -> None:
        """A hand-over is on its way to the journal."""
        self.credit -= len(found)
        self._flying += 1

    def landed(self, found: list[Leased], error: Exception | None) -> bool:
        """The hand-over is written, or cannot be; says whether it was received."""
        self._flying -= 1
        received = error is None and (not self.ended or self.takes)
        if received:
            self._deliver(found)
        if not self._flying:
            told, self._over = self._over, []
            for over in told:
                over()
        return received

    def end(self, error: IsthmusError) -> None:
        """The queue ends it; whoever made it is told in the next turn of the loop."""
        if self.ended:
            return
        self.cancel()
        if self._on_end is not None:
            asyncio.get_running_loop().call_soon(self._on_end, error)


def check_lease_ms(lease_ms: int) -> int:
    """Raises InvalidArgument for a time limit that a lease cannot have."""
    if not 1 <= lease_ms <= LEASE_MS_MAX:
        raise InvalidArgument("lease_ms", f"{lease_ms} is not in 1 to {LEASE_MS_MAX}")
    return lease_ms
