"""How many deliveries a consumer keeps at hand: few when its handlers are slow, many when they are fast. Pure.

A large stock costs others, who could work on what lies here, and holds up a group that wants to share anew; a small
one costs a call to the engine for every few events. So it is what the handlers get through in a fraction of a second.
"""

from typing import Final

FAST_MS: Final = 50
SLOW_MS: Final = 250
"""A stock that is used up in less doubles, one that takes longer halves."""


class Window:
    """The stock's size, between `low` and `high` deliveries."""

    __slots__ = ("_high", "_low", "size")

    def __init__(self, start: int, low: int, high: int) -> None:
        self._low = low
        self._high = max(low, high)
        self.size = min(max(start, low), self._high)

    def ask(self, held: int) -> int:
        """How many to ask for; none while more than half of the stock is there."""
        return 0 if held > self.size // 2 else self.size - held

    def used_up(self, took_ms: int) -> None:
        """The stock was filled, and half of it was used up in that time."""
        if took_ms <= FAST_MS:
            self.size = min(self._high, self.size * 2)
        elif took_ms >= SLOW_MS:
            self.size = max(self._low, self.size // 2)
