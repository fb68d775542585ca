"""`isthmus queue`: look into a queue without taking anything, and empty it.

What consumers hold stays theirs.
"""

from typing import Any

import click

from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.cli.output import counted, time_text
from isthmus.cli.records import record_cells, record_row, shortened
from isthmus.cli.topics import queue_named
from isthmus.views import PeekedRecord


@group("queue")
def queue() -> None:
    """Queues: peek, purge.

    Example:
      isthmus --dir ./data queue peek invoices
    """


@queue.command("peek")
@click.argument("name", metavar="QUEUE")
@click.option("-n", "--count", type=click.IntRange(1), default=10, metavar="N", help="[default: 10]")
@pass_settings
def peek(settings: Settings, name: str, count: int) -> None:
    """The next events of a queue in their order, without taking them.

    State is ready, leased, delayed, or waiting (behind the window that is looked at for handing out); in a queue with
    levels of priority the highest comes first. --json gives one line for each event: a record as `tail` gives it, and
    state, acquired, failed, due_ms, and priority (null in a queue without levels).

    Example:
      isthmus --dir ./data queue peek invoices -n 5
    """
    found = run(_peek(settings, name, count))
    out = settings.out
    if out.json:
        for each in found:
            out.json_line(peeked_row(each))
        return
    rows = []
    for each in found:
        _, partition, offset, key, kind, value = record_cells(each.partition, each.record)
        state = each.state if each.due_ms is None else f"{each.state} until {time_text(each.due_ms)}"
        place = f"{each.topic}/{partition}/{offset}"
        level = () if each.priority is None else (each.priority,)
        rows.append((place, *level, state, each.acquired, each.failed, key, kind, shortened(value)))
    levels = () if not found or found[0].priority is None else (">priority",)
    out.table(("event", *levels, "state", ">handed out", ">failed", "key", "type", "value"), rows)


def peeked_row(peeked: PeekedRecord) -> dict[str, Any]:
    """A peeked record for machines."""
    state = {"state": peeked.state, "acquired": peeked.acquired, "failed": peeked.failed, "due_ms": peeked.due_ms}
    state["priority"] = peeked.priority
    return record_row(peeked.topic, peeked.partition, peeked.record) | state


async def _peek(settings: Settings, name: str, count: int) -> list[PeekedRecord]:
    async with connected(settings) as engine:
        await queue_named(engine.admin, name)
        return await engine.admin.peek(name, count)


@queue.command("purge")
@click.argument("name", metavar="QUEUE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def purge(settings: Settings, name: str, *, yes: bool) -> None:
    """Empty a queue: everything that no consumer holds is settled as purged. This cannot be undone.

    On a view of a stream nothing is removed there.

    Example:
      isthmus --dir ./data queue purge invoices --yes
    """
    confirmed(f"Empty queue {name}?", yes=yes)
    count = run(purged(settings, name))
    if settings.json:
        settings.out.document({"queue": name, "purged": count})
    else:
        settings.out.text(f"purged {counted(count, 'event')} of {name}")


async def purged(settings: Settings, name: str) -> int:
    """Purge and count."""
    async with connected(settings, write=True) as engine:
        await queue_named(engine.admin, name)
        return await engine.admin.purge(name)
