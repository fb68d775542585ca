"""The budget of unsent bytes: what peers that do not read may keep in memory together.

It counts when somebody becomes congested and names who has to go. It sends and closes nothing itself.
"""

from typing import Protocol

from isthmus.limits import EGRESS_BYTES_MAX


class Congested(Protocol):
    """A connection whose peer does not read."""

    def unsent(self) -> int:
        """Bytes that wait to be sent."""

    def stalled_since_ms(self, now_ms: int) -> int:
        """When its peer has last read something, as far as it is known."""

    def abort(self, reason: str) -> None:
        """Close it at once."""


class Egress:
    """See the module text."""

    def __init__(self, limit_bytes: int = EGRESS_BYTES_MAX) -> None:
        self.limit_bytes = limit_bytes
        self._congested: dict[Congested, None] = {}

    @property
    def congested(self) -> int:
        """How many connections are."""
        return len(self._congested)

    def unsent_bytes(self) -> int:
        """What all of them have waiting."""
        return sum(each.unsent() for each in self._congested)

    def enter(self, connection: Congested, now_ms: int) -> None:
        """It has become congested; while all are too much, who has read nothing for longest has to go."""
        self._congested[connection] = None
        total_bytes = self.unsent_bytes()
        while total_bytes > self.limit_bytes and len(self._congested) > 1:
            worst = min(self._congested, key=lambda each: each.stalled_since_ms(now_ms))
            total_bytes -= worst.unsent()
            self.leave(worst)
            worst.abort("memory is short, and it has read nothing for longer than others")

    def leave(self, connection: Congested) -> None:
        """It is not congested any more, or gone; harmless when it never was."""
        self._congested.pop(connection, None)
