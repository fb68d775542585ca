"""`isthmus doctor`: is all well with the machine, the disk, the files and the readers?

Each check says ok, warn or fail, what it saw, and what to do. It changes nothing but a file of its own for measuring
the disk, which it removes.
"""

import platform
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

import click
import msgspec

from isthmus import __version__
from isthmus.cli.base import EXIT_FOUND, Settings, command, connected, pass_settings, run, sentence
from isthmus.cli.dlq import dead_letter_queues, waiting
from isthmus.cli.output import counted, printable
from isthmus.errors import IsthmusError

if TYPE_CHECKING:
    from isthmus.engines.base import Capability
    from isthmus.views import GroupView, QueueView

Status = Literal["ok", "warn", "fail"]

NAMES_SHOWN: Final = 5
_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


class Check(msgspec.Struct, frozen=True):
    """One line: what was looked at, how it is, what was seen, and what to do about it."""

    name: str
    status: Status
    text: str
    advice: str = ""


class Examined(msgspec.Struct, frozen=True):
    """What the engine answered."""

    groups: "list[GroupView]"
    queues: "list[QueueView]"
    capabilities: "dict[str, Capability]"


@command("doctor")
@pass_settings
def doctor(settings: Settings) -> None:
    """Look at the machine, the disk, the store and its readers, and say what is wrong and what to do.

    Measures how long the disk takes to make a write durable. Works beside a running broker. Exit code 1 when a check
    fails; warnings are no failures.

    Example:
      isthmus --dir ./data doctor
    """
    checks, capabilities = examine(settings)
    ok = all(check.status != "fail" for check in checks)
    if settings.json:
        settings.out.document({"ok": ok, "checks": checks, "capabilities": capabilities})
    else:
        show(checks)
    if not ok:
        raise click.exceptions.Exit(EXIT_FOUND)


def examine(settings: Settings) -> "tuple[list[Check], dict[str, Capability]]":
    """All checks that apply to the address."""
    checks = list(program_checks())
    directory = settings.store()
    if directory is not None:
        from isthmus.cli.log_doctor import store_checks

        checks += store_checks(directory)
    try:
        found = run(_ask(settings))
    except (IsthmusError, OSError) as error:
        if not any(check.status == "fail" for check in checks):
            checks.append(Check("engine", "fail", sentence(error)))
        return checks, {}
    return [*checks, *reader_checks(found), *promise_checks(found.capabilities)], found.capabilities


async def _ask(settings: Settings) -> Examined:
    async with connected(settings) as engine:
        return Examined(await engine.admin.groups(), await engine.admin.queues(), engine.capabilities)


def show(checks: Sequence[Check]) -> None:
    """A line for each check, and its advice below it."""
    width = max(len(check.name) for check in checks)
    coloured = sys.stdout.isatty()
    for check in checks:
        mark = click.style(f"{check.status:<4}", fg=_STYLES[check.status]) if coloured else f"{check.status:<4}"
        click.echo(f"{mark}  {check.name:<{width}}  {printable(check.text)}")
        if check.advice:
            click.echo(f"      {'':<{width}}  {printable(check.advice)}")


# ---- the program -------------------------------------------------------------------------------------------------


def program_checks() -> Iterator[Check]:
    """Versions."""
    yield Check("isthmus", "ok", __version__)
    version = platform.python_version()
    yield Check("python", "ok", f"{version} ({platform.python_implementation()}) on {platform.platform(terse=True)}")


# ---- readers -----------------------------------------------------------------------------------------------------


def reader_checks(found: Examined) -> Iterator[Check]:
    """Silent groups, and dead letters that wait."""
    silent = [group.name for group in found.groups if group.silent]
    yield Check(
        "readers",
        "warn" if silent else "ok",
        f"silent: {few(silent)}" if silent else f"{counted(len(found.groups), 'group')}, none silent",
        "a silent group no longer holds events; start its service, or `isthmus group rm` it" if silent else "",
    )
    dead = [(queue.name, waiting(queue)) for queue in dead_letter_queues(found.queues) if waiting(queue)]
    yield Check(
        "dead letters",
        "warn" if dead else "ok",
        few([f"{name} {count:,}" for name, count in dead]) if dead else "none wait",
        "`isthmus dlq show` says why, `isthmus dlq redrive` sends them back" if dead else "",
    )


def few(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


# ---- promises ----------------------------------------------------------------------------------------------------


def promise_checks(capabilities: "dict[str, Capability]") -> Iterator[Check]:
    """What the engine can promise, and how keys find their partitions."""
    by: dict[str, list[str]] = {}
    for name, capability in sorted(capabilities.items()):
        how = f" ({capability.how})" if capability.how else ""
        by.setdefault(capability.support, []).append(f"{name}{how}")
    for support in ("native", "emulated", "refused"):
        if support in by:
            yield Check(f"promises {support}", "ok", ", ".join(by[support]))
    yield Check(
        "keys",
        "ok",
        "placed by murmur2, as Apache Kafka's own clients do",
        "users of librdkafka: set partitioner=murmur2_random, its default agrees on a quarter of the keys only",
    )
