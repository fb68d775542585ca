"""Failed logins by address: who has failed too often lately, and has to wait before the next try.

It counts and judges; time is an argument. Logins that succeed are not counted.

For each address one number is kept: when all that it did would be forgiven, if every failure took its share of time
(`LOGINS_FAILED_PER_SECOND`). Who is further ahead of the clock than `LOGINS_FAILED_BURST` such shares is refused.
"""

from isthmus.limits import LOGIN_ADDRESSES_MAX, LOGINS_FAILED_BURST, LOGINS_FAILED_PER_SECOND

SHARE_MS = 1_000 // LOGINS_FAILED_PER_SECOND


class Attempts:
    """See the module text. Memory is bounded: when there are too many addresses, the one that failed first goes."""

    __slots__ = ("_forgiven_ms",)

    def __init__(self) -> None:
        self._forgiven_ms: dict[str, int] = {}

    def may_try(self, host: str, now_ms: int) -> bool:
        """Whether an address may try to log in now."""
        return self._forgiven_ms.get(host, 0) - now_ms < LOGINS_FAILED_BURST * SHARE_MS

    def failed(self, host: str, now_ms: int) -> None:
        """A login from there has failed."""
        known = self._forgiven_ms
        ahead_ms = max(known.pop(host, 0), now_ms) + SHARE_MS
        if len(known) >= LOGIN_ADDRESSES_MAX:
            self._make_room(now_ms)
        known[host] = ahead_ms

    def _make_room(self, now_ms: int) -> None:
        known = self._forgiven_ms
        for host in [host for host, ms in known.items() if ms <= now_ms]:
            del known[host]
        if len(known) >= LOGIN_ADDRESSES_MAX:
            del known[next(iter(known))]
