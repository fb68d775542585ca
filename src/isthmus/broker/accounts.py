"""Users as doors make, change and remove them: by administrators only, each in one unit.

Sessions of a user whose password has changed, or that is gone, end. Passwords never come here: only what is kept of
them.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, get_args

from isthmus import scram
from isthmus.broker.access import ANYONE, LOCAL, Session
from isthmus.definition import Grant, Operation, ScramCredential, UserDefinition, check_name
from isthmus.errors import AlreadyExists, InvalidArgument, InvalidName, Overloaded, UnknownUser
from isthmus.limits import GRANTS_MAX, USERS_MAX
from isthmus.log import facts
from isthmus.log.pending import Pending
from isthmus.views import UserView

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)


def listed(broker: "Broker", session: Session) -> list[UserView]:
    """All users by name, without what is kept of their passwords.

    Raises:
        AccessDenied: not an administrator.
    """
    broker.access.check_admin(session)
    return [view(each) for _, each in sorted(broker.access.users.by_name.items())]


def view(user: facts.UserSet) -> UserView:
    """A user as it is shown."""
    return UserView(
        name=user.name,
        id=user.id,
        admin=user.admin,
        mechanisms=tuple("PLAIN" if each.before else each.mechanism for each in user.scrams),
        grants=user.grants,
        created_ms=user.created_ms,
    )


def create(broker: "Broker", session: Session, asked: UserDefinition) -> Pending[None]:
    """Make a user. With the first one, whoever came without proving who it is has to come again.

    Raises:
        AccessDenied: not an administrator.
        AlreadyExists, InvalidName, InvalidArgument, Overloaded: nothing was made.
    """
    broker.access.check_admin(session)
    check_user_name(asked.name)
    check_rights(asked)
    users = broker.access.users
    if asked.name in users.by_name:
        raise AlreadyExists("user", asked.name)
    if len(users.by_name) >= USERS_MAX:
        raise Overloaded("users", USERS_MAX)
    made = facts.UserSet(
        broker.catalog.new_id(), asked.name, asked.scrams or (), asked.admin, asked.grants, broker.clock.now_ms()
    )
    pending = broker.make([("user", "", asked.name)], [*users.secret_fact(), made], lambda: None)
    _end_when_done(broker, pending, ANYONE)
    return pending


def alter(broker: "Broker", session: Session, asked: UserDefinition) -> Pending[None]:
    """Give a user other rights, and another password if there is one; both hold from now on.

    Raises:
        AccessDenied: not an administrator.
        UnknownUser, InvalidArgument: nothing was changed.
    """
    broker.access.check_admin(session)
    old = user_of(broker, asked.name)
    check_rights(asked)
    scrams = old.scrams if asked.scrams is None else asked.scrams
    fact = facts.UserSet(old.id, old.name, scrams, asked.admin, asked.grants, old.created_ms)
    pending = broker.make([("user", "", old.name)], [fact], lambda: None)
    if scrams != old.scrams:
        _end_when_done(broker, pending, old.name)
    return pending


def remove(broker: "Broker", session: Session, name: str) -> Pending[None]:
    """Remove a user. What it has published still names its id.

    Raises:
        AccessDenied: not an administrator.
        UnknownUser: nobody of that name.
    """
    broker.access.check_admin(session)
    gone = user_of(broker, name)
    pending = broker.make([("user", "", name)], [facts.UserRemoved(gone.id)], lambda: None)
    _end_when_done(broker, pending, name)
    return pending


def user_of(broker: "Broker", name: str) -> facts.UserSet:
    """Raises UnknownUser."""
    found = broker.access.users.by_name.get(name)
    if found is None:
        raise UnknownUser(name)
    return found


def _end_when_done(broker: "Broker", pending: Pending[None], principal: str) -> None:
    """End a principal's sessions when the change is durable; their doors close the lines."""

    def end(done: Pending[None]) -> None:
        for session in broker.access.sessions_of(principal) if done.error is None else ():
            broker.end_session(session)

    pending.add_done_callback(end)


# ---- what can be ---------------------------------------------------------------------------------------------------


def check_user_name(name: str) -> None:
    """Hold a new user's name against the rules.

    Raises:
        InvalidName: it is reserved, or can be written in several ways.
        InvalidArgument: it cannot be typed.
    """
    check_name(name)
    if name in (LOCAL, ANYONE):
        raise InvalidName(name, "it is the name of those who are let in without a user; take another")
    if scram.prepared(name, "user") != name:
        raise InvalidName(name, f"it can be written in several ways; write {scram.prepared(name, 'user')!r}")


def check_rights(asked: UserDefinition) -> None:
    """Hold grants and credentials against the rules.

    Raises:
        InvalidArgument: what is wrong.
    """
    if len(asked.grants) > GRANTS_MAX:
        raise InvalidArgument("grants", f"{len(asked.grants)} are more than {GRANTS_MAX}; use patterns with *")
    for grant in asked.grants:
        _check_grant(grant)
    _check_credentials(asked.scrams or ())


def _check_grant(grant: Grant) -> None:
    check_name(grant.pattern)
    if grant.namespace is not None:
        check_name(grant.namespace)
    unknown = [each for each in grant.operations if each not in OPERATIONS]
    if unknown or not grant.operations:
        raise InvalidArgument(
            "grants", f"{', '.join(unknown) or 'nothing'} is no operation; there are {', '.join(OPERATIONS)}"
        )


def _check_credentials(scrams: Iterable[ScramCredential]) -> None:
    seen: set[str] = set()
    for each in scrams:
        scram.check_credential(each)
        if each.mechanism in seen:
            raise InvalidArgument("scrams", f"{each.mechanism} is there twice")
        seen.add(each.mechanism)
