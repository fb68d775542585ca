"""`isthmus namespace`: namespaces, which AMQP clients call virtual hosts: add, ls, rm.

Commands and the library work in the default one; the others are for doors.
"""

import click

from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.cli.output import time_text
from isthmus.views import NamespaceView


@group("namespace")
def namespace_commands() -> None:
    """Namespaces, which are AMQP's virtual hosts: add, ls, rm.

    Example:
      isthmus --dir ./data namespace add staging
    """


@namespace_commands.command("add")
@click.argument("name")
@pass_settings
def add(settings: Settings, name: str) -> None:
    """Make a namespace.

    Example:
      isthmus --dir ./data namespace add staging
    """
    run(_create(settings, name))
    settings.out.document({"added": name}) if settings.json else settings.out.text(f"added {name}")


async def _create(settings: Settings, name: str) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.create_namespace(name)


@namespace_commands.command("ls")
@pass_settings
def ls(settings: Settings) -> None:
    """List namespaces with the number of what is in them.

    Example:
      isthmus --dir ./data namespace ls
    """
    found = run(_namespaces(settings))
    if settings.json:
        fields = ("name", "topics", "queues", "exchanges", "created_ms")
        settings.out.document({"namespaces": [{name: getattr(each, name) for name in fields} for each in found]})
        return
    rows = [(each.name, each.topics, each.queues, each.exchanges, time_text(each.created_ms or None)) for each in found]
    settings.out.table(("namespace", ">topics", ">queues", ">exchanges", "since"), rows)


async def _namespaces(settings: Settings) -> list[NamespaceView]:
    async with connected(settings) as engine:
        return await engine.admin.namespaces()


@namespace_commands.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, name: str, *, yes: bool) -> None:
    """Remove a namespace with all streams, queues, exchanges, groups and policies in it.

    Example:
      isthmus --dir ./data namespace rm staging --yes
    """
    confirmed(f"Remove namespace {name} with everything in it?", yes=yes)
    run(_remove(settings, name))
    settings.out.document({"removed": name}) if settings.json else settings.out.text(f"removed {name}")


async def _remove(settings: Settings, name: str) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.remove_namespace(name)
