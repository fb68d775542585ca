"""When to try again: the back-off policy and the two exceptions with which a handler steers it.

Pure: no clock and no dice; whoever asks for a jittered delay brings the random number. The broker counts the attempts.
"""

from typing import Final

from isthmus.client.duration import Duration, duration_ms
from isthmus.definition import BackoffPolicy
from isthmus.errors import InvalidArgument

JITTER: Final = 0.2
"""Default share of a delay that is random."""


class Backoff:
    """How often and how soon a failed delivery comes again: `first`, doubling up to `max`, `attempts` in all.

    `jitter` (0 to 1) is the share of each delay that is random, so that many that failed together do not come back
    together. Immutable; two with the same figures are equal.

    Raises:
        InvalidArgument: no attempt at all, `max` below `first`, or a jitter outside 0 to 1.
    """

    __slots__ = ("policy",)

    policy: BackoffPolicy

    def __init__(
        self,
        attempts: int = 5,
        first: Duration = "1s",
        max: Duration = "5m",  # noqa: A002 - the word users look for
        jitter: float = JITTER,
    ) -> None:
        first_ms, max_ms = duration_ms(first, "first"), duration_ms(max, "max")
        if attempts < 1:
            raise InvalidArgument("attempts", f"{attempts} is less than one; the first try counts")
        if max_ms < first_ms:
            raise InvalidArgument("max", f"{max!r} is less than first={first!r}")
        if not 0 <= jitter <= 1:
            raise InvalidArgument("jitter", f"{jitter} is outside 0 to 1")
        policy = BackoffPolicy(attempts=attempts, first_ms=first_ms, max_ms=max_ms, jitter=float(jitter))
        object.__setattr__(self, "policy", policy)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a policy is shared by all who were declared with it."""
        raise AttributeError(f"Backoff is immutable; {name} cannot be set")

    @property
    def attempts(self) -> int:
        """Tries in all, the first one included; the next failure is a dead letter."""
        return self.policy.attempts

    def delay_ms(self, failed: int, random: float = 0.0) -> int:
        """How long to wait after the `failed`-th failure (1 is the first), in milliseconds.

        Args:
            random: 0 to below 1; how much of the jitter to take off. The delay is never above `max`.
        """
        policy = self.policy
        # The shift is capped: a count that ran away must not build a number of thousands of digits.
        whole = min(policy.max_ms, policy.first_ms << min(max(failed - 1, 0), 40))
        return whole - int(whole * policy.jitter * random)

    def exhausted(self, failed: int) -> bool:
        """Whether `failed` failures are all that it allows."""
        return failed >= self.policy.attempts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Backoff) and self.policy == other.policy

    def __hash__(self) -> int:
        return hash(self.policy)

    def __repr__(self) -> str:
        p = self.policy
        return f"Backoff({p.attempts}, '{p.first_ms}ms', '{p.max_ms}ms', jitter={p.jitter})"


class Retry(Exception):
    """Raised by a handler: not now. It counts as a failure; `after` overrides the back-off's delay for this once."""

    def __init__(self, reason: str | None = None, *, after: Duration | None = None) -> None:
        super().__init__(reason or "retry")
        self.reason = reason
        self.after_ms = None if after is None else duration_ms(after, "after")


class Reject(Exception):
    """Raised by a handler: never. The event goes straight to the dead letters with this reason."""

    def __init__(self, reason: str = "rejected") -> None:
        super().__init__(reason)
        self.reason = reason
