"""A ledger with the log it stands on reduced to what reading would tell, and changes that land when a test says so."""

from collections import deque

from isthmus.definition import QueueConfig
from isthmus.lenses.queue.admission import Seen
from isthmus.lenses.queue.changes import Change, Held, Slice, Why
from isthmus.lenses.queue.ledger import Ledger

Taken = tuple[int, int, int]
"""(offset, acquired, failed) of a hand-over, the counts those after it."""


class Desk:
    """One ledger and what a queue would do around it. `log` maps offsets to records; a missing one is a gap."""

    def __init__(self, config: QueueConfig | None = None, *, start: int = 0, now_ms: int = 0) -> None:
        self.config = config or QueueConfig()
        self.start = start
        self.log: dict[int, Seen] = {}
        self.end = start
        self.now_ms = now_ms
        self.flying: deque[Change] = deque()
        self.journal: list[Change] = []
        self.ledger = self.opened([], [])

    def opened(self, slices: list[Slice], changes: list[Change]) -> Ledger:
        """A ledger as an opening makes it: a checkpoint, then the journal behind it."""
        ledger = Ledger(self.start, self.config)
        for part in slices:
            ledger.restore(part)
        for change in changes:
            ledger.apply(change)
        ledger.recover(self.end, self.now_ms)
        return ledger

    def publish(self, *records: Seen | None) -> None:
        """Append records; their offsets are given here. None is an offset without a record."""
        for record in records:
            if record is not None:
                self.log[self.end] = record._replace(offset=self.end)
            self.end += 1
        self.ledger.grow(self.end, self.now_ms)

    def fill(self, count: int) -> None:
        """Append plain records."""
        self.publish(*[Seen(0)] * count)

    def send(self, *changes: Change | None) -> None:
        """Reserved changes are on their way."""
        self.flying.extend(change for change in changes if change is not None)

    def land(self, count: int | None = None) -> None:
        """The first of them, or all, are in the journal."""
        for _ in range(len(self.flying) if count is None else min(count, len(self.flying))):
            change = self.flying.popleft()
            self.journal.append(change)
            self.ledger.apply(change)

    def take(
        self,
        count: int,
        *,
        until_ms: int | None = None,
        session: int = 1,
        run_of_key: bool = False,
        fresh: bool = True,
    ) -> list[Taken]:
        """Lease up to `count` offsets; the hand-over is on its way."""
        ledger, taken = self.ledger, list[Taken]()
        ledger.admission.wake(self.now_ms)
        groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        while len(taken) < count and (look := ledger.look(count - len(taken), fresh=fresh)) is not None:
            if look.unread:
                self._read(look.start, look.end)
                continue
            pieces = [Held(look.start, look.end, look.acquired, look.failed)]
            if run_of_key:
                pieces = ledger.run(look.start, count)
            ledger.admission.take(look.start, look.end)
            for piece in pieces:
                ledger.admission.take_behind(piece.start)
                groups.setdefault((piece.acquired, piece.failed), []).append((piece.start, piece.end))
                taken += [(offset, piece.acquired + 1, piece.failed) for offset in range(piece.start, piece.end)]
            if run_of_key:
                break
        for (acquired, failed), ranges in groups.items():
            self.send(ledger.lease(ranges, acquired, failed, until_ms, session))
        return taken

    def _read(self, start: int, end: int) -> None:
        # A batch ends where it ends: not everything that may be read is.
        end = min(end, start + 7)
        seen = [self.log[offset] for offset in range(start, end) if offset in self.log]
        plain = not self.config.ordered and len(seen) == end - start
        if plain and not any(record.due_ms or record.expire_ms for record in seen):
            self.ledger.admit(start, end, None)
        else:
            gaps = self.ledger.admit(start, end, seen)
            if gaps:
                self.send(self.ledger.settle(gaps, "gap"))

    def settle(self, start: int, end: int, why: Why = "acked") -> None:
        """Settle a range; on its way."""
        self.send(self.ledger.settle([(start, end)], why))

    def release(self, leases: list[Held], *, failures: int = 0, due_ms: int = 0) -> None:
        """End leases; on its way."""
        self.send(*self.ledger.release(leases, failures=failures, due_ms=due_ms))
