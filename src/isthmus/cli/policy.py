"""`isthmus policy`: settings for all queues or exchanges whose name fits a pattern: set, ls, rm.

It turns what was written into a policy and shows policies in the same words; what one does is the broker's.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

import click
import msgspec

from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.cli.declare import NONE, options
from isthmus.cli.output import size_text, span_text
from isthmus.client.duration import duration_ms, size_bytes
from isthmus.definition import Overflow, PolicyDefinition, PolicyTarget
from isthmus.views import PolicyView

OVERFLOWS: Final = tuple(each.replace("_", "-") for each in get_args(Overflow))

SETTING_OPTIONS: Final = (
    click.option("--max-events", type=click.IntRange(0), metavar="N", help="Queues: the most events that are ready."),
    click.option("--max-size", "max_bytes", metavar="SIZE", help="Queues: the most bytes that are ready."),
    click.option(
        "--overflow",
        type=click.Choice(OVERFLOWS),
        help="Queues: at such a limit refuse the publisher, or drop from the head.",
    ),
    click.option("--ttl", "ttl_ms", metavar="AGE", help="Queues: age at which an event that nobody took expires."),
    click.option("--expires", "expires_ms", metavar="TIME", help="Queues: remove one that nobody used for so long."),
    click.option("--attempts", "failed_max", metavar="N", help="Queues: failures until an event is dead, or none."),
    click.option("--dead-exchange", metavar="NAME", help="Queues: the exchange that dead events go to."),
    click.option("--dead-key", metavar="KEY", help="Queues: the routing key that they go there with."),
    click.option("--alternate", metavar="NAME", help="Exchanges: where what finds no way goes."),
)
"""By the names that a policy has for them."""


@group("policy")
def policy_commands() -> None:
    """Policies: settings of all queues or exchanges whose name fits a pattern: set, ls, rm.

    Example:
      isthmus --dir ./data policy set short '^jobs[.]' --max-events 10000 --overflow drop
    """


# ---- set -----------------------------------------------------------------------------------------------------------


@policy_commands.command("set")
@click.argument("name")
@click.argument("pattern")
@click.option("--for", "applies_to", type=click.Choice(get_args(PolicyTarget)), help="What it is about. [all]")
@click.option("--priority", type=int, default=0, metavar="N", help="Of several that fit the highest counts. [0]")
@options(SETTING_OPTIONS)
@pass_settings
def set_(
    settings: Settings, /, name: str, pattern: str, *, applies_to: PolicyTarget | None, priority: int, **given: Any
) -> None:
    """Make a policy, or put it in the place of that of its name. It holds at once, also for what is there already.

    PATTERN is a regular expression that may match anywhere in a name; ^ and $ tie it to the ends. One policy counts for
    a name: the highest priority, then the first by name.

    Examples:
      isthmus --dir ./data policy set short '^jobs[.]' --max-events 10000 --overflow drop
      isthmus --dir ./data policy set lost '^orders$' --for exchanges --alternate unrouted
    """
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        raise click.UsageError("say what the policy sets, such as --max-events or --ttl")
    definition = PolicyDefinition(
        name=name, pattern=pattern, applies_to=applies_to or "all", priority=priority, settings=_settings(said)
    )
    run(_set(settings, definition))
    settings.out.document({"set": name}) if settings.json else settings.out.text(f"set {name}")


async def _set(settings: Settings, definition: PolicyDefinition) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.set_policy(definition)


def _settings(said: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, msgspec.json.encode(_value(name, said[name]))) for name in WORDS if name in said)


def _value(name: str, value: Any) -> int | str | None:  # noqa: ANN401 - as click gives it
    """What was written, as the policy has it.

    Raises:
        InvalidArgument, UsageError: it cannot be read.
    """
    match name:
        case "ttl_ms" | "expires_ms":
            return duration_ms(value, f"--{name.removesuffix('_ms')}")
        case "max_bytes":
            return size_bytes(int(value) if value.isdigit() else value, "--max-size")
        case "failed_max":
            return None if value == NONE else _attempts(value)
        case "overflow":
            return str(value).replace("-", "_")
        case _:
            return value  # type: ignore[no-any-return]


def _attempts(text: str) -> int:
    if not text.isdecimal():
        raise click.UsageError(f"--attempts {text}: give a number, or none for no limit")
    return int(text)


# ---- ls ------------------------------------------------------------------------------------------------------------


@policy_commands.command("ls")
@pass_settings
def ls(settings: Settings) -> None:
    """List policies in the order in which they are asked whether they fit.

    Example:
      isthmus --dir ./data policy ls
    """
    found = run(_policies(settings))
    if settings.json:
        settings.out.document({"policies": [as_document(each) for each in found]})
        return
    rows = [(each.name, each.pattern, each.applies_to, each.priority, told(each)) for each in found]
    settings.out.table(("policy", "pattern", "for", ">priority", "sets"), rows)


async def _policies(settings: Settings) -> list[PolicyView]:
    async with connected(settings) as engine:
        return await engine.admin.policies()


def as_document(policy: PolicyView) -> dict[str, Any]:
    """A policy for JSON: its settings by name, as values."""
    fields: dict[str, Any] = msgspec.structs.asdict(policy)
    return fields | {"settings": {name: msgspec.json.decode(value) for name, value in policy.settings}}


def told(policy: PolicyView) -> str:
    """What a policy sets, in the words of the options."""
    return ", ".join(f"{WORDS[name]} {_text(name, msgspec.json.decode(value))}" for name, value in policy.settings)


WORDS: Final = {
    "max_events": "max-events",
    "max_bytes": "max-size",
    "overflow": "overflow",
    "ttl_ms": "ttl",
    "expires_ms": "expires",
    "failed_max": "attempts",
    "dead_exchange": "dead-exchange",
    "dead_key": "dead-key",
    "alternate": "alternate",
}


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - as JSON has it
    match name:
        case "ttl_ms" | "expires_ms":
            return span_text(value)
        case "max_bytes":
            return size_text(value)
        case "overflow":
            return str(value).replace("_", "-")
        case _:
            return NONE if value is None else str(value)


# ---- rm ------------------------------------------------------------------------------------------------------------


@policy_commands.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, name: str, *, yes: bool) -> None:
    """Remove a policy. What it was about goes by the next that fits, or by what was declared.

    Example:
      isthmus --dir ./data policy rm short --yes
    """
    confirmed(f"Remove policy {name}?", yes=yes)
    run(_remove(settings, name))
    settings.out.document({"removed": name}) if settings.json else settings.out.text(f"removed {name}")


async def _remove(settings: Settings, name: str) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.remove_policy(name)
