"""The budget of received bytes: who may go on reading while the buffers of all connections together are full.

It counts what connections say that they hold and pauses and resumes them. It reads nothing itself.

Invariants:
    G1: the sum is what the connections that are counted hold.
    G2: from the bound on, until a quarter of it is free again, at most one connection is read, the finisher, so that
        its request becomes complete and its bytes can go: whatever the bound is, somebody gets on.
    G3: a finisher that sends nothing for INGRESS_STALL_MS is given up, so that it cannot keep the others waiting.
"""

from typing import Protocol

from isthmus.limits import INGRESS_BYTES_MAX


class Reading(Protocol):
    """A connection, as far as its reading goes."""

    held_bytes: int
    """What it was last counted with; the budget's to change."""

    @property
    def hungry(self) -> bool:
        """Whether it holds a part of a request and can do nothing before more bytes have come."""

    def let_read(self) -> None:
        """It may read again as far as the budget is concerned."""

    def watch_finisher(self) -> None:
        """It has become the finisher: look after INGRESS_STALL_MS whether it gets on."""


class Ingress:
    """See the module text."""

    def __init__(self, limit_bytes: int = INGRESS_BYTES_MAX) -> None:
        self.limit_bytes = limit_bytes
        self.total_bytes = 0
        self.over = False
        """Whether the bound was reached, and not a quarter of it is free again."""
        self.finisher: Reading | None = None
        self._waiting: dict[Reading, None] = {}

    def count(self, reading: Reading, held_bytes: int) -> None:
        """It now holds so much; others may read again when that is less than before."""
        grown = held_bytes - reading.held_bytes
        reading.held_bytes = held_bytes
        self.total_bytes += grown
        if self.total_bytes >= self.limit_bytes:
            self.over = True
        elif self.total_bytes < self.limit_bytes * 3 // 4:
            self.over = False
        if grown < 0:
            if reading is self.finisher:
                self.finisher = None
            self._let_go_on()

    def may_read(self, reading: Reading) -> bool:
        """Whether it may; if not, it is called when it may again."""
        if not self.over or reading is self.finisher:
            return True
        self._waiting[reading] = None
        self._let_go_on()
        return reading is self.finisher

    def leave(self, reading: Reading) -> None:
        """It is gone, with all that it held."""
        self._waiting.pop(reading, None)
        if reading is self.finisher:
            self.finisher = None
        self.count(reading, 0)
        self._let_go_on()

    def _let_go_on(self) -> None:
        if not self.over:
            waiting, self._waiting = self._waiting, {}
            for each in waiting:
                each.let_read()
        elif self.finisher is None:
            hungry = next((each for each in self._waiting if each.hungry), None)
            if hungry is not None:
                del self._waiting[hungry]
                self.finisher = hungry
                hungry.let_read()
                hungry.watch_finisher()
