"""`isthmus user`: who may log in to a broker, and what each of them may do: add, set, ls, rm.

Passwords are typed, read from stdin or made up here, and only what is kept of them goes to the broker. They are no
options, since other processes see those.
"""

import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, get_args

import click

from isthmus import scram
from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.cli.output import time_text
from isthmus.definition import Grant, Operation, ScramCredential, UserDefinition
from isthmus.errors import UnknownUser
from isthmus.limits import PASSWORD_BYTES_MAX, SCRAM_SALT_BYTES
from isthmus.views import UserView

F = TypeVar("F", bound=Callable[..., Any])

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
ALL: Final = "all"
MADE_UP_BYTES: Final = 18
"""Of chance in a password that is made up here."""


@group("user")
def user_commands() -> None:
    """Users: add, set, ls, rm. As long as there is none, whoever can reach the broker may do everything.

    Example:
      isthmus --dir ./data user add ada --allow publish,read:orders*
    """


def _password_options(function: F) -> F:
    options = (
        click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin."),
        click.option("--generate", is_flag=True, help="Make a password up, and show it this once."),
        click.option("--no-password", is_flag=True, help="None: the user has a client certificate of its name."),
    )
    for option in reversed(options):
        function = option(function)
    return function


ALLOW_HELP: Final = (
    "What the user may do, as publish,read:orders*; may be given several times. Operations: "
    f"{', '.join(OPERATIONS)}, or {ALL}. In the name, * stands for any text."
)

NAMESPACE_HELP: Final = "What --allow and --revoke are about is in this namespace only, and not in all."


# ---- add -----------------------------------------------------------------------------------------------------------


@user_commands.command("add")
@click.argument("name")
@_password_options
@click.option("--admin", is_flag=True, help="May do everything, also with users.")
@click.option("--allow", multiple=True, metavar="OPS:NAME", help=ALLOW_HELP)
@click.option("--namespace", metavar="NAME", help=NAMESPACE_HELP)
@pass_settings
def add(
    settings: Settings,
    name: str,
    *,
    password_stdin: bool,
    generate: bool,
    no_password: bool,
    admin: bool,
    allow: tuple[str, ...],
    namespace: str | None,
) -> None:
    """Make a user. Asks for the password, unless an option says where it comes from.

    Examples:
      isthmus --dir ./data user add root --admin
      isthmus --dir ./data user add billing --generate --allow read:orders --allow consume,commit:billing
    """
    grants = merged(granted(text, namespace) for text in allow)
    made_up = _made_up(generate=generate)
    scrams = _credentials(made_up, stdin=password_stdin, generate=generate, none=no_password)
    run(_create(settings, UserDefinition(name=name, scrams=scrams, admin=admin, grants=grants)))
    _tell(settings, "added", name, made_up)
    if not settings.json and not admin and not grants:
        settings.out.note(f"{name} may do nothing yet; say what with `isthmus user set {name} --allow`")


async def _create(settings: Settings, asked: UserDefinition) -> None:
    async with connected(settings, write=True, create=True) as engine:
        await engine.admin.create_user(asked)


# ---- set -----------------------------------------------------------------------------------------------------------


@user_commands.command("set")
@click.argument("name")
@_password_options
@click.option("--password", is_flag=True, help="Ask for a new password.")
@click.option("--admin/--no-admin", default=None, help="May do everything, also with users, or may no longer.")
@click.option("--allow", multiple=True, metavar="OPS:NAME", help=ALLOW_HELP)
@click.option("--namespace", metavar="NAME", help=NAMESPACE_HELP)
@click.option("--revoke", multiple=True, metavar="NAME", help="Take away all that was allowed with exactly this NAME.")
@pass_settings
def set_(
    settings: Settings,
    name: str,
    *,
    password_stdin: bool,
    generate: bool,
    no_password: bool,
    password: bool,
    admin: bool | None,
    allow: tuple[str, ...],
    namespace: str | None,
    revoke: tuple[str, ...],
) -> None:
    """Change what a user may do, or its password; what is not named stays as it is.

    Rights hold at once. With another password the user's connections end.

    Examples:
      isthmus --dir ./data user set ada --allow publish:invoices --revoke orders*
      isthmus --dir ./data user set ada --password
    """
    more = [granted(text, namespace) for text in allow]
    scrams, made_up = None, _made_up(generate=generate)
    if password or password_stdin or generate or no_password:
        scrams = _credentials(made_up, stdin=password_stdin, generate=generate, none=no_password)
    elif admin is None and not more and not revoke:
        raise click.UsageError("say what is to be another: --password, --admin, --allow or --revoke")
    run(_alter(settings, name, scrams, admin, more, [(pattern, namespace) for pattern in revoke]))
    _tell(settings, "changed", name, made_up)


async def _alter(
    settings: Settings,
    name: str,
    scrams: tuple[ScramCredential, ...] | None,
    admin: bool | None,  # noqa: FBT001 - handed on from the option
    more: Sequence[Grant],
    revoke: Sequence[tuple[str, str | None]],
) -> None:
    async with connected(settings, write=True) as engine:
        old = named(await engine.admin.users(), name)
        known = [(grant.pattern, grant.namespace) for grant in old.grants]
        missing = [pattern for pattern, place in revoke if (pattern, place) not in known]
        if missing:
            raise click.UsageError(f"nothing is allowed with {missing[0]!r}; `isthmus user ls` shows what is")
        kept = [grant for grant in old.grants if (grant.pattern, grant.namespace) not in revoke]
        definition = UserDefinition(
            name=name,
            scrams=scrams,
            admin=old.admin if admin is None else admin,
            grants=merged([*kept, *more]),
        )
        await engine.admin.alter_user(definition)


def named(users: Sequence[UserView], name: str) -> UserView:
    """The user of that name. Raises UnknownUser."""
    for each in users:
        if each.name == name:
            return each
    raise UnknownUser(name)


# ---- ls ------------------------------------------------------------------------------------------------------------


@user_commands.command("ls")
@pass_settings
def ls(settings: Settings) -> None:
    """List users with what they may do. Nothing that is kept of a password is shown.

    Example:
      isthmus --dir ./data user ls
    """
    users = run(_users(settings))
    if settings.json:
        settings.out.document({"users": users})
        return
    rows = [
        (each.name, "everything" if each.admin else told(each.grants), logins(each), time_text(each.created_ms))
        for each in users
    ]
    settings.out.table(("user", "may", "logs in by", "since"), rows)
    if not users:
        settings.out.note("no user: whoever can reach the broker from this machine may do everything")


async def _users(settings: Settings) -> list[UserView]:
    async with connected(settings) as engine:
        return await engine.admin.users()


def told(grants: Sequence[Grant]) -> str:
    """Grants as `--allow` takes them."""
    return " ".join(
        f"{ALL if set(grant.operations) == set(OPERATIONS) else ','.join(grant.operations)}:{grant.pattern}"
        + ("" if grant.namespace is None else f" (in {grant.namespace})")
        for grant in grants
    )


def logins(user: UserView) -> str:
    """How a user can prove who it is."""
    return "password" if user.mechanisms else "certificate"


# ---- rm ------------------------------------------------------------------------------------------------------------


@user_commands.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, name: str, *, yes: bool) -> None:
    """Remove a user. Its connections end. With the last one, everybody on this machine may do everything again.

    Example:
      isthmus --dir ./data user rm ada --yes
    """
    confirmed(f"Remove user {name}?", yes=yes)
    last = run(_remove(settings, name))
    _tell(settings, "removed", name, None)
    if last:
        settings.out.note("that was the last user: whoever can reach the broker from this machine may do everything")


async def _remove(settings: Settings, name: str) -> bool:
    async with connected(settings, write=True) as engine:
        await engine.admin.remove_user(name)
        return not await engine.admin.users()


# ---- what is said, and what is asked -------------------------------------------------------------------------------


def granted(text: str, namespace: str | None = None) -> Grant:
    """What `--allow` says, of one namespace or of all.

    Raises:
        UsageError: it cannot be read.
    """
    listed, colon, pattern = text.partition(":")
    found = OPERATIONS if listed == ALL else tuple(part.strip() for part in listed.split(","))
    unknown = [each for each in found if each not in OPERATIONS]
    if not colon or not pattern or unknown:
        what = f"{unknown[0]!r} is no operation" if colon and unknown else "there is no name"
        raise click.UsageError(f"--allow {text}: {what}; write it as publish,read:orders* ({', '.join(OPERATIONS)})")
    return Grant(operations=tuple(each for each in OPERATIONS if each in found), pattern=pattern, namespace=namespace)


def merged(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """One grant for each name in each namespace, in the order in which they came."""
    found: dict[tuple[str, str | None], set[Operation]] = {}
    for grant in grants:
        found.setdefault((grant.pattern, grant.namespace), set()).update(grant.operations)
    return tuple(
        Grant(operations=tuple(each for each in OPERATIONS if each in operations), pattern=pattern, namespace=place)
        for (pattern, place), operations in found.items()
    )


def _made_up(*, generate: bool) -> str | None:
    return secrets.token_urlsafe(MADE_UP_BYTES) if generate else None


def _credentials(made_up: str | None, *, stdin: bool, generate: bool, none: bool) -> tuple[ScramCredential, ...]:
    """What is kept of the password, wherever that comes from.

    Raises:
        UsageError: it comes from two places, or from nowhere.
        InvalidArgument: it cannot be one.
    """
    if stdin + generate + none > 1:
        raise click.UsageError("--password-stdin, --generate and --no-password exclude one another")
    if none:
        return ()
    password = made_up or (_from_stdin() if stdin else _typed())
    return scram.credentials(password, lambda: secrets.token_bytes(SCRAM_SALT_BYTES))


def _from_stdin() -> str:
    line = sys.stdin.readline(PASSWORD_BYTES_MAX + 2)
    return line.removesuffix("\n").removesuffix("\r")


def _typed() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked for a password here; give --password-stdin or --generate")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


def _tell(settings: Settings, done: str, name: str, password: str | None) -> None:
    if settings.json:
        settings.out.document({done: name} | ({"password": password} if password else {}))
    else:
        settings.out.text(f"{done} {name}" + (f"; the password is {password}" if password else ""))
