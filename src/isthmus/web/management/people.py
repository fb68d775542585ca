"""Users and their permissions, as the management API lists and changes them.

What is kept of a password is never told. Who may ask is decided by the broker: administrators, and everybody for
itself.

Spec: RabbitMQ 4.3 HTTP API reference, `/api/users`, `/api/permissions`, `/api/whoami`.
"""

import binascii
import secrets
from typing import Any, Final

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.access import ANYONE, LOCAL
from isthmus.definition import ScramCredential, UserDefinition
from isthmus.limits import SCRAM_SALT_BYTES
from isthmus.log import facts
from isthmus.protocols.http.messages import Response
from isthmus.web.management.answers import bad_request, document, done, not_found
from isthmus.web.management.call import Call, namespace_of, vhost_of
from isthmus.web.management.paging import listed
from isthmus.web.management.patterns import Permission, grants_of, permission_of

ADMINISTRATOR: Final = "administrator"
MANAGEMENT: Final = "management"
TAGS: Final = frozenset({ADMINISTRATOR, MANAGEMENT, ""})
"""The tags that mean something here; every user may ask for what its rights let it see."""

SHA_256: Final = "rabbit_password_hashing_sha256"
RABBIT_SALT_BYTES: Final = 4

OWNERS: Final = frozenset({LOCAL, ANYONE})
EVERYTHING: Final = Permission(".*", ".*", ".*")


async def whoami(call: Call) -> Response:
    """Who asks."""
    name = call.session.principal
    user = call.broker.access.users.by_name.get(name)
    if user is None:
        return document({"name": "guest" if name in OWNERS else name, "tags": [ADMINISTRATOR]})
    return document({"name": name, "tags": _tags(user)})


# ---- users ---------------------------------------------------------------------------------------------------------


async def users(call: Call) -> Response:
    """All users by name."""
    call.broker.access.check_admin(call.session)
    return document(listed([shown(each) for each in _sorted(call)], call.query))


async def users_without(call: Call) -> Response:
    """The users that may do nothing."""
    call.broker.access.check_admin(call.session)
    idle = [each for each in _sorted(call) if not each.admin and not each.grants]
    return document([shown(each) for each in idle])


def _sorted(call: Call) -> list[facts.UserSet]:
    return [each for _, each in sorted(call.broker.access.users.by_name.items())]


def shown(user: facts.UserSet) -> dict[str, Any]:
    """A user for JSON. RabbitMQ tells what it keeps of the password too."""
    return {"name": user.name, "tags": _tags(user), "limits": {}}


def _tags(user: facts.UserSet) -> list[str]:
    return [ADMINISTRATOR if user.admin else MANAGEMENT]


async def user(call: Call) -> Response:
    """One user."""
    return document(shown(_found(call)))


def _found(call: Call) -> facts.UserSet:
    name = call.given["user"]
    if name != call.session.principal:
        call.broker.access.check_admin(call.session)
    found = call.broker.access.users.by_name.get(name)
    if found is None:
        raise not_found()
    return found


async def put_user(call: Call) -> Response:
    """Make a user, or give it another password and other tags."""
    made = await put(call, call.given["user"], call.body)
    return done(made=made)


async def put(call: Call, name: str, body: dict[str, Any] | Any) -> bool:  # noqa: ANN401 - JSON
    """The same, of any object; whether the user is new.

    Raises:
        Failure: what the object asks for cannot be.
    """
    broker = call.broker
    broker.access.check_admin(call.session)
    await broker.quiet("user", "", name)
    old = broker.access.users.by_name.get(name)
    admin = ADMINISTRATOR in tags_of(body)
    scrams = _credentials(name, body, old)
    if old is None:
        await accounts.create(broker, call.session, UserDefinition(name=name, scrams=scrams, admin=admin))
    else:
        asked = UserDefinition(name=name, scrams=scrams, admin=admin, grants=old.grants)
        await accounts.alter(broker, call.session, asked)
    return old is None


def tags_of(body: Any) -> list[str]:  # noqa: ANN401 - JSON
    """The tags that a user is to have. Raises Failure for one that means nothing here."""
    said = body.get("tags")
    if said is None:
        raise bad_request("tags_not_present")
    found = [each.strip() for each in said.split(",")] if isinstance(said, str) else said
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise bad_request("tags should be a text with commas, or a list of texts")
    unknown = [each for each in found if each not in TAGS]
    if unknown:
        raise bad_request(f"the tag {unknown[0]!r} means nothing here; there are {ADMINISTRATOR} and {MANAGEMENT}")
    return found


def _credentials(name: str, body: Any, old: facts.UserSet | None) -> tuple[ScramCredential, ...] | None:  # noqa: ANN401
    """What is kept of the password; nothing for a certificate's user, None to keep what there is."""
    password, hashed = body.get("password"), body.get("password_hash")
    if isinstance(password, str):
        return scram.credentials(password, lambda: secrets.token_bytes(SCRAM_SALT_BYTES))
    if password is not None:
        raise bad_request("password should be a text")
    if hashed:
        return (_imported(name, body, hashed),)
    if hashed == "":
        return ()
    return () if old is None else None


def _imported(name: str, body: Any, hashed: object) -> ScramCredential:  # noqa: ANN401 - JSON
    """What is kept of a password of which RabbitMQ's hash is given: four bytes of salt and SHA-256, in base64."""
    kind = body.get("hashing_algorithm", SHA_256)
    if kind != SHA_256 or not isinstance(hashed, str):
        raise bad_request(f"the password_hash of user {name!r} is none of {SHA_256}; give `password` instead")
    try:
        raw = binascii.a2b_base64(hashed.encode(), strict_mode=True)
    except ValueError as error:
        raise bad_request(f"the password_hash of user {name!r} is no base64") from error
    return scram.imported(raw[RABBIT_SALT_BYTES:], raw[:RABBIT_SALT_BYTES], secrets.token_bytes(SCRAM_SALT_BYTES))


async def remove_user(call: Call) -> Response:
    """Remove a user; its connections end."""
    call.broker.access.check_admin(call.session)
    await call.broker.quiet("user", "", call.given["user"])
    await accounts.remove(call.broker, call.session, _found(call).name)
    return done()


async def remove_users(call: Call) -> Response:
    """Remove several users, or none when one of them is not there."""
    broker = call.broker
    broker.access.check_admin(call.session)
    (names,) = call.wanted(list, "users")
    for name in names:
        if name not in broker.access.users.by_name:
            raise bad_request(f"there is no user {name!r}")
    for name in names:
        await broker.quiet("user", "", name)
        await accounts.remove(broker, call.session, name)
    return done()


# ---- permissions ---------------------------------------------------------------------------------------------------


async def permissions(call: Call) -> Response:
    """What each user may do, in every virtual host in which it may do something."""
    call.broker.access.check_admin(call.session)
    rows = [row for each in _sorted(call) for row in rows_of(call, each)]
    return document(listed(rows, call.query))


def rows_of(call: Call, user: facts.UserSet) -> list[dict[str, str]]:
    """The permissions of a user, in each virtual host in which it has some."""
    rows = []
    for namespace in sorted(call.broker.catalog.namespaces):
        found = EVERYTHING if user.admin else permission_of(user.grants, namespace)
        if any(found):
            rows.append(_row(user.name, vhost_of(namespace), found))
    return rows


def _row(user: str, vhost: str, found: Permission) -> dict[str, str]:
    return {"user": user, "vhost": vhost, **found._asdict()}


async def vhost_permissions(call: Call) -> Response:
    """What each user may do in a virtual host."""
    vhost = call.vhost
    call.broker.access.check_admin(call.session)
    return document([row for each in _sorted(call) for row in rows_of(call, each) if row["vhost"] == vhost])


async def user_permissions(call: Call) -> Response:
    """What a user may do, by virtual host."""
    return document(rows_of(call, _found(call)))


async def permission(call: Call) -> Response:
    """What a user may do in a virtual host."""
    vhost, user = call.vhost, _found(call)
    for row in rows_of(call, user):
        if row["vhost"] == vhost:
            return document(row)
    raise not_found()


async def put_permission(call: Call) -> Response:
    """Let a user configure, write and read what three expressions match."""
    asked = Permission(*call.wanted(str, *Permission._fields))
    made = await allow(call, call.given["user"], call.vhost, asked)
    return done(made=made)


async def allow(call: Call, name: str, vhost: str, asked: Permission) -> bool:
    """The same, of any user; whether it had none.

    Raises:
        Failure: there is no such user, or it cannot be told apart from what others get.
        InvalidArgument: an expression that has no equal here.
    """
    broker = call.broker
    broker.access.check_admin(call.session)
    await broker.quiet("user", "", name)
    user = broker.access.users.by_name.get(name)
    if user is None:
        raise bad_request("vhost_or_user_not_found")
    had = [row for row in rows_of(call, user) if row["vhost"] == vhost]
    await _grant(call, user, vhost, asked)
    return not had


async def _grant(call: Call, user: facts.UserSet, vhost: str, asked: Permission) -> None:
    namespace = namespace_of(vhost)
    others = [each for each in sorted(call.broker.catalog.namespaces) if each != namespace]
    grants = grants_of(asked, user.grants, namespace, others)
    await accounts.alter(call.broker, call.session, UserDefinition(name=user.name, admin=user.admin, grants=grants))


async def remove_permission(call: Call) -> Response:
    """Let a user do nothing of that any more."""
    vhost, user = call.vhost, _found(call)
    call.broker.access.check_admin(call.session)
    if not [row for row in rows_of(call, user) if row["vhost"] == vhost]:
        raise not_found()
    await _grant(call, user, vhost, Permission("", "", ""))
    return done()
