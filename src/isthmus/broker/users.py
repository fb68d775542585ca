"""The users of a broker as durable state: who exists, with which credentials, and what each may do.

It applies facts and answers from them. Who is asking, and whether a caller has proven who it is, is decided elsewhere.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Final

from isthmus.definition import DEFAULT_NAMESPACE, Grant, Operation
from isthmus.limits import DECISIONS_KEPT_MAX
from isthmus.log import facts
from isthmus.log.journal import Journal

SECRET_BYTES: Final = 32


class Rights:
    """What one user may do. Decisions are kept, since the same few are asked for with every request."""

    __slots__ = ("_grants", "_kept", "admin", "id")

    def __init__(self, user: facts.UserSet) -> None:
        self.id = user.id
        self.admin = user.admin
        self._grants = user.grants
        self._kept: dict[tuple[Operation, str, str], bool] = {}

    def allow(self, operation: Operation, resource: str, namespace: str = DEFAULT_NAMESPACE) -> bool:
        """Whether the user may do that. Whoever may do anything with something may see that it is there."""
        if self.admin:
            return True
        key = (operation, resource, namespace)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= DECISIONS_KEPT_MAX:
                self._kept.clear()
            kept = self._kept[key] = any(covers(grant, operation, resource, namespace) for grant in self._grants)
        return kept

    def allow_some(self, operation: Operation, namespace: str | None = None) -> bool:
        """Whether there is anything with which the user may do that, in a namespace or anywhere."""
        return self.admin or any(
            (operation == "describe" or operation in grant.operations)
            and (namespace is None or grant.namespace in (None, namespace))
            for grant in self._grants
        )


def covers(grant: Grant, operation: Operation, resource: str, namespace: str = DEFAULT_NAMESPACE) -> bool:
    """Whether a grant is about this operation on a resource of this name."""
    asked = operation in grant.operations or (operation == "describe" and bool(grant.operations))
    return asked and grant.namespace in (None, namespace) and fits(grant.pattern, resource)


def fits(pattern: str, name: str) -> bool:
    """Whether a name is what a pattern describes; each piece is looked for once, so the time is bounded.

    `*` stands for any text, also for none; every other character stands for itself.
    """
    first, *others = pattern.split("*")
    if not others:
        return pattern == name
    last = others.pop()
    if not name.startswith(first) or not name.endswith(last) or len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in others:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


class Users:
    """See the module text."""

    def __init__(self) -> None:
        self.by_name: dict[str, facts.UserSet] = {}
        self.by_id: dict[int, facts.UserSet] = {}
        self.rights: dict[str, Rights] = {}
        # Of a broker without users, to which it makes no difference.
        self._own_secret = secrets.token_bytes(SECRET_BYTES)
        self._stored: facts.AccessSecret | None = None
        self._used: Callable[[int], None] = lambda _: None

    def attach(self, journal: Journal, used: Callable[[int], None]) -> None:
        """Take part in a journal's replays and checkpoints; `used` is told each id that was given away."""
        self._used = used
        journal.register(facts.UserSet, self._user_set)
        journal.register(facts.UserRemoved, self._user_removed)
        journal.register(facts.AccessSecret, self._secret_set)
        journal.exporters.append(self.export)

    @property
    def secret(self) -> bytes:
        """What only this broker knows; the same after every opening as long as it has users."""
        return self._own_secret if self._stored is None else self._stored.secret

    def secret_fact(self) -> list[facts.Fact]:
        """What has to be written with a new user: the secret, if that has not been."""
        return [] if self._stored is not None else [facts.AccessSecret(self._own_secret)]

    def _user_set(self, fact: facts.UserSet, _lsn: int) -> None:
        self._used(fact.id)
        self.by_name[fact.name] = self.by_id[fact.id] = fact
        self.rights[fact.name] = Rights(fact)

    def _user_removed(self, fact: facts.UserRemoved, _lsn: int) -> None:
        gone = self.by_id.pop(fact.id, None)
        if gone is not None:
            self.by_name.pop(gone.name, None)
            self.rights.pop(gone.name, None)

    def _secret_set(self, fact: facts.AccessSecret, _lsn: int) -> None:
        self._stored = fact

    def export(self) -> Iterator[facts.Fact]:
        """The facts that rebuild all of this."""
        if self._stored is not None:
            yield self._stored
        yield from list(self.by_id.values())
