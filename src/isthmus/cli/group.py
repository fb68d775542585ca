"""`isthmus group`: consumer groups of streams: list, lag, seek, remove.

It shows positions and moves them; members come and go by themselves.
"""

from collections.abc import Sequence

import click

from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.cli.output import Output
from isthmus.errors import UnknownGroup
from isthmus.views import GroupView


@group("group")
def group_commands() -> None:
    """Consumer groups of streams: ls, lag, seek, rm.

    Example:
      isthmus --dir ./data group lag
    """


# ---- ls ------------------------------------------------------------------------------------------------------------


@group_commands.command("ls")
@click.argument("topic", required=False)
@pass_settings
def ls(settings: Settings, topic: str | None) -> None:
    """List consumer groups, all or those of a stream.

    Example:
      isthmus --dir ./data group ls orders
    """
    groups = run(_groups(settings, topic, None))
    if settings.json:
        settings.out.document({"groups": groups})
        return
    rows = [
        (
            each.name,
            each.state,
            len(each.members),
            ", ".join(dict.fromkeys(row.topic for row in each.partitions)) or "-",
            each.lag,
            "silent" if each.silent else "",
        )
        for each in groups
    ]
    settings.out.table(("group", "state", ">members", "streams", ">lag", ""), rows)


async def _groups(settings: Settings, topic: str | None, name: str | None) -> list[GroupView]:
    async with connected(settings) as engine:
        found = await engine.admin.groups(topic)
    if name is None:
        return found
    named = [each for each in found if each.name == name]
    if not named:
        raise UnknownGroup(name)
    return named


# ---- lag -----------------------------------------------------------------------------------------------------------


@group_commands.command("lag")
@click.argument("name", required=False, metavar="[GROUP]")
@click.option("--topic", metavar="STREAM", help="Only what is about this stream.")
@pass_settings
def lag(settings: Settings, name: str | None, topic: str | None) -> None:
    """How far groups are behind, partition by partition.

    Lag counts offsets, of which some may never have held an event. Silent groups, which had no member and no commit
    for as long as the stream allows, are named: they no longer hold events that are kept until consumed.

    Example:
      isthmus --dir ./data group lag billing
    """
    groups = run(_groups(settings, topic, name))
    if settings.json:
        settings.out.document({"groups": groups})
        return
    show_lag(groups, topic, settings.out)


def show_lag(groups: Sequence[GroupView], topic: str | None, out: Output) -> None:
    """A row for each partition, and a line for each silent group."""
    rows = [
        (
            each.name,
            row.topic,
            row.partition,
            row.floor,
            row.done_above,
            row.retrying,
            row.high_watermark,
            row.lag,
            row.member,
        )
        for each in groups
        for row in each.partitions
        if topic is None or row.topic == topic
    ]
    columns = (
        "group",
        "stream",
        ">partition",
        ">floor",
        ">done above",
        ">retrying",
        ">high watermark",
        ">lag",
        "member",
    )
    out.table(columns, rows)
    for each in groups:
        if each.silent:
            out.text(f"{each.name} is silent: it no longer holds events; `isthmus group rm {each.name}` forgets it")


# ---- seek ----------------------------------------------------------------------------------------------------------


@group_commands.command("seek")
@click.argument("name", metavar="GROUP")
@click.argument("topic", metavar="STREAM")
@click.option("--to", required=True, metavar="WHERE", help="earliest, latest, an offset, a time, or an age as -1h.")
@pass_settings
def seek(settings: Settings, name: str, topic: str, to: str) -> None:
    """Move a group to another place of a stream, to read again or to pass over.

    The group must have no running members.

    Examples:
      isthmus --dir ./data group seek billing orders --to -1h
      isthmus --dir ./data group seek billing orders --to 2026-01-31T12:00:00Z
    """
    rows = run(_seek(settings, name, topic, to))
    if settings.json:
        places = [{"partition": partition, "floor": floor} for partition, floor in rows]
        settings.out.document({"group": name, "topic": topic, "partitions": places})
    else:
        settings.out.table((">partition", ">floor"), rows)


async def _seek(settings: Settings, name: str, topic: str, to: str) -> list[tuple[int, int]]:
    from isthmus.client.duration import start_at

    async with connected(settings, write=True) as engine:
        return await engine.admin.seek(name, topic, start_at(to, engine.clock.now_ms(), "--to"))


# ---- rm ------------------------------------------------------------------------------------------------------------


@group_commands.command("rm")
@click.argument("name", metavar="GROUP")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, name: str, *, yes: bool) -> None:
    """Forget a group with its positions. No event is removed by that.

    The group must have no running members.

    Example:
      isthmus --dir ./data group rm old-report --yes
    """
    confirmed(f"Forget group {name} and its positions?", yes=yes)
    run(_remove(settings, name))
    if settings.json:
        settings.out.document({"removed": name})
    else:
        settings.out.text(f"forgot {name}")


async def _remove(settings: Settings, name: str) -> None:
    async with connected(settings, write=True) as engine:
        await engine.admin.remove_group(name)
