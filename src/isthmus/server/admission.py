"""Who may connect: how many at once, from one address, in one second, and how many may stay unknown.

It counts and decides; the driver closes. Time is an argument.
"""

from typing import Final, Protocol

from isthmus.broker.access import is_near
from isthmus.limits import (
    ACCEPTS_BURST,
    ACCEPTS_PER_SECOND,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_HOST_MAX,
    STRANGER_COST_BYTES,
    STRANGERS_BYTES_MAX,
)


class Stranger(Protocol):
    """A connection whose peer has not proven who it is."""

    def abort(self, reason: str) -> None:
        """Close it at once."""


class Bucket:
    """So many a second, and some at once after a quiet time."""

    def __init__(self, per_second: int, burst: int) -> None:
        self._per_second = per_second
        self._burst_thousandths: Final = burst * 1_000
        self._left_thousandths = self._burst_thousandths
        self._filled_ms: int | None = None

    def take(self, now_ms: int) -> int:
        """Take one; how many milliseconds too early that is, 0 when it is not. Then nothing was taken."""
        if self._filled_ms is not None:
            gained = (now_ms - self._filled_ms) * self._per_second
            self._left_thousandths = min(self._burst_thousandths, self._left_thousandths + gained)
        self._filled_ms = now_ms
        if self._left_thousandths < 1_000:
            return -(-(1_000 - self._left_thousandths) // self._per_second)
        self._left_thousandths -= 1_000
        return 0


class Admission:
    """See the module text."""

    def __init__(
        self, connections_max: int = CONNECTIONS_MAX, connections_per_host_max: int = CONNECTIONS_PER_HOST_MAX
    ) -> None:
        self.connections_max = connections_max
        self.connections_per_host_max = connections_per_host_max
        self.connections = 0
        self.refused = 0
        self._by_host: dict[str, int] = {}
        self._bucket = Bucket(ACCEPTS_PER_SECOND, ACCEPTS_BURST)
        self._strangers: dict[Stranger, None] = {}

    @property
    def strangers(self) -> int:
        """How many peers have not proven who they are."""
        return len(self._strangers)

    def too_early_ms(self, host: str, now_ms: int) -> int:
        """How long a new connection has to wait for its turn; counts it when that is 0."""
        return 0 if is_near(host) else self._bucket.take(now_ms)

    def enter(self, host: str) -> str | None:
        """Count a new connection, or say why it is refused."""
        if self.connections >= self.connections_max:
            self.refused += 1
            return f"the server has {self.connections} connections, which is its limit"
        if not is_near(host):
            known = self._by_host.get(host, 0)
            if known >= self.connections_per_host_max:
                self.refused += 1
                return f"{host} has {known} connections, which is the limit for one address"
            self._by_host[host] = known + 1
        self.connections += 1
        return None

    def leave(self, host: str) -> None:
        """A connection that was let in has gone."""
        self.connections -= 1
        if not is_near(host):
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]

    def greet(self, stranger: Stranger) -> None:
        """A connection has begun; it stays a stranger until `known`. The oldest has to go when there are too many."""
        self._strangers[stranger] = None
        while len(self._strangers) * STRANGER_COST_BYTES > STRANGERS_BYTES_MAX:
            oldest = next(iter(self._strangers))
            self.known(oldest)
            oldest.abort("too many peers have not said who they are, and this one has been there for longest")

    def known(self, stranger: Stranger) -> None:
        """It is none any more; harmless when it never was one."""
        self._strangers.pop(stranger, None)
