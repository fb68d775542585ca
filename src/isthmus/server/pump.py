"""Fair slices of the loop: which connection begins its next requests, and for how long.

It deals out time to principals, and each principal's to its connections, one after the other. It knows no socket and no
protocol, and measures time only to divide it.

Theory of operation
-------------------
Whoever has work says `ready`. A turn takes the principals in order; each gets one slice, which goes to the first of its
connections that have work, and then stands at the end of the line, and so does the connection within it. A turn ends
when nobody has work or its own budget is used up; then the loop runs everything else once before the next turn. So what
a connection waits for is a slice of each other principal, however many connections and requests those have.

A slice is a bound for beginning requests: one that takes longer is not cut off, but its principal owes the excess and
is passed over until slices worth as much have gone by.

Invariants:
    P1: a runner that said `ready` and is not running stands in exactly one line, once.
    P2: a principal stands in the line of principals, once, exactly when it has a runner in its own; but for the one
        whose slice it is.
    P3: while anybody stands in line, the next turn is scheduled.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from isthmus.limits import DEBT_SLICES_MAX, SLICE_US, TURN_US

SLICE_NS: Final = SLICE_US * 1_000
TURN_NS: Final = TURN_US * 1_000


class Share:
    """One principal's share of the time, and its runners that have work."""

    __slots__ = ("credit_ns", "in_line", "line", "members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.line: deque[Runner] = deque()
        self.in_line = False
        self.members = 0
        self.credit_ns = 0
        """Below zero: what it owes."""


class Runner(Protocol):
    """What can be run in slices: a connection."""

    share: Share
    in_line: bool
    """Whether it stands in the line of its share; the pump's to change."""

    def run(self, until_ns: int) -> bool:
        """Begin requests until that time, one at least; says whether there may be more of them."""


class Pump:
    """See the module text.

    Args:
        call_soon: schedules the next turn behind everything else that the loop has to do.
        now_ns: what time is measured by.
        around: called before the slices of a turn and after them, whatever happens in them.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        now_ns: Callable[[], int],
        around: tuple[Callable[[], None], Callable[[], None]] | None = None,
    ) -> None:
        self._call_soon = call_soon
        self._now_ns = now_ns
        self._before, self._after = around or (_nothing, _nothing)
        self._shares: dict[str, Share] = {}
        self._line: deque[Share] = deque()
        self._scheduled = False
        self._asked: list[Callable[[], None]] = []
        self.turns = 0

    def join(self, name: str) -> Share:
        """The share of a principal, with one member more."""
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = Share(name)
        share.members += 1
        return share

    def move(self, runner: Runner, name: str) -> None:
        """Make it a runner of another principal."""
        waits = runner.in_line
        self.leave(runner)
        runner.share = self.join(name)
        if waits:
            self.ready(runner)

    def leave(self, runner: Runner) -> None:
        """A runner ends: it is taken out of line, and a principal without any is forgotten."""
        share = runner.share
        if runner.in_line:
            runner.in_line = False
            share.line.remove(runner)
            if share.in_line and not share.line:
                share.in_line = False
                self._line.remove(share)
        share.members -= 1
        if not share.members:
            del self._shares[share.name]

    def ready(self, runner: Runner) -> None:
        """It has work; cheap to call again."""
        if runner.in_line:
            return
        runner.in_line = True
        share = runner.share
        share.line.append(runner)
        self._enter(share)
        self.schedule()

    def _enter(self, share: Share) -> None:
        if not share.in_line:
            share.in_line = True
            self._line.append(share)

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back at the end of the next turn: for what is done once however often it was asked for."""
        self._asked.append(callback)
        self.schedule()

    def schedule(self) -> None:
        """Make sure that there is another turn."""
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        self.turns += 1
        self._call_back()
        end_ns = self._now_ns() + TURN_NS
        self._before()
        try:
            while self._line and self._slice() < end_ns:
                pass
        finally:
            self._after()
        self._call_back()
        self._scheduled = False
        if self._line or self._asked:
            self.schedule()

    def _call_back(self) -> None:
        callbacks, self._asked = self._asked, []
        for callback in callbacks:
            callback()

    def _slice(self) -> int:
        """One slice for the first principal in line; the time after it."""
        share = self._line.popleft()
        share.in_line = False
        start_ns = self._now_ns()
        share.credit_ns += SLICE_NS
        if share.credit_ns <= 0:
            self._enter(share)
            return start_ns
        runner = share.line.popleft()
        runner.in_line = False
        more = runner.run(start_ns + SLICE_NS)
        end_ns = self._now_ns()
        # What it did not use is not saved: a share is a bound, and no claim on later.
        owed_ns = min(0, share.credit_ns - (end_ns - start_ns))
        share.credit_ns = max(owed_ns, -DEBT_SLICES_MAX * SLICE_NS)
        if more and runner.share is not share:  # it was moved while it ran: it goes on at the expense of the other
            self.ready(runner)
        elif more and not runner.in_line:
            runner.in_line = True
            share.line.append(runner)
        if share.line:
            self._enter(share)
        return end_ns


def _nothing() -> None:
    """When nobody wants to know of turns."""
