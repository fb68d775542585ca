"""`isthmus dlq`: dead letters: which there are, why they died, sending them back, removing them.

Dead letters are ordinary queues that other queues and stream groups name; every command takes either's name.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from isthmus.cli.base import Settings, confirmed, connected, group, pass_settings, run
from isthmus.cli.output import Output, counted, one_line, printable, time_text
from isthmus.cli.records import record_row, shortened, text_of
from isthmus.cli.topics import queue_named
from isthmus.client.destination import DEAD_SUFFIX
from isthmus.views import DeadLetter, QueueView

if TYPE_CHECKING:
    from isthmus.engines.base import Admin


@group("dlq")
def dlq() -> None:
    """Dead letters: ls, show, redrive, rm.

    Example:
      isthmus --dir ./data dlq ls
    """


def waiting(queue: QueueView) -> int:
    """Dead letters that nobody has settled."""
    return queue.ready + queue.leased + queue.delayed


def dead_letter_queues(queues: Sequence[QueueView]) -> list[QueueView]:
    """Those that another queue names, and those of stream groups, which are known by their names only."""
    named = {queue.config.dead for queue in queues}
    return [queue for queue in queues if queue.name in named or queue.name.endswith(DEAD_SUFFIX)]


async def resolved(admin: "Admin", name: str) -> QueueView:
    """The dead-letter queue of that name, or that of the queue of that name.

    Raises:
        UnknownQueue, InvalidArgument: there is none.
    """
    queue = await queue_named(admin, name)
    if queue.config.dead is None or name.endswith(DEAD_SUFFIX):
        return queue
    return await queue_named(admin, queue.config.dead)


# ---- ls ------------------------------------------------------------------------------------------------------------


@dlq.command("ls")
@pass_settings
def ls(settings: Settings) -> None:
    """List the queues of dead letters, with how many wait there and who sends them.

    Example:
      isthmus --dir ./data dlq ls
    """
    queues = run(_queues(settings))
    found = dead_letter_queues(queues)
    rows = [(each.name, waiting(each), each.enqueued, sources(each.name, queues)) for each in found]
    if settings.json:
        keys = ("name", "waiting", "ever", "from")
        settings.out.document({"queues": [dict(zip(keys, row, strict=True)) for row in rows]})
        return
    lines = [(*row, ", ".join(senders) or "-") for *row, senders in rows]
    settings.out.table(("dead letters", ">waiting", ">ever", "from"), lines)


def sources(name: str, queues: Sequence[QueueView]) -> list[str]:
    """The queues whose dead letters go there; else what the name says, which is `stream.group`."""
    found = [queue.name for queue in queues if queue.config.dead == name]
    return found or ([name.removesuffix(DEAD_SUFFIX)] if name.endswith(DEAD_SUFFIX) else [])


async def _queues(settings: Settings) -> list[QueueView]:
    async with connected(settings) as engine:
        return await engine.admin.queues()


# ---- show ----------------------------------------------------------------------------------------------------------


@dlq.command("show")
@click.argument("name", metavar="QUEUE")
@click.option("-n", "--count", type=click.IntRange(1), default=10, metavar="N", help="[default: 10]")
@click.option("--traceback/--no-traceback", default=True, help="With where it failed. [default: yes]")
@pass_settings
def show(settings: Settings, name: str, count: int, *, traceback: bool) -> None:
    """Dead letters, oldest first: what it was, where it came from, why it died.

    QUEUE is the dead-letter queue or the one whose dead letters it holds. --json gives one line for each: a record as
    `tail` gives it, and cause (the id of the event that died), reason, traceback, failed, died_ms.

    Example:
      isthmus --dir ./data dlq show invoices -n 3
    """
    found = run(_letters(settings, name, count))
    out = settings.out
    for each in found:
        if out.json:
            out.json_line(letter_row(each))
        else:
            _show_letter(each, out, traceback=traceback)
    if not found:
        out.note("no dead letters")


def letter_row(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter for machines."""
    return record_row(letter.topic, letter.partition, letter.record) | {
        "cause": letter.cause,
        "reason": letter.reason,
        "traceback": letter.traceback,
        "failed": letter.failed,
        "died_ms": letter.died_ms,
    }


def _show_letter(letter: DeadLetter, out: Output, *, traceback: bool) -> None:
    place = f"{letter.topic}/{letter.partition}/{letter.record.offset}"
    how = f"died {time_text(letter.died_ms)}, failed {counted(letter.failed, 'time')}"
    out.text(f"{one_line(place)}  {how}, came from {one_line(letter.cause)}")
    out.text(f"  reason  {one_line(letter.reason)}")
    out.text(f"  key     {text_of(letter.record.key)}")
    out.text(f"  value   {shortened(text_of(letter.record.value))}")
    if traceback and letter.traceback:
        for line in printable(letter.traceback).rstrip().splitlines():
            out.text(f"  | {line}")
    out.text()


async def _letters(settings: Settings, name: str, count: int) -> list[DeadLetter]:
    async with connected(settings) as engine:
        queue = await resolved(engine.admin, name)
        return await engine.admin.dead_letters(queue.name, count)


# ---- redrive -------------------------------------------------------------------------------------------------------


@dlq.command("redrive")
@click.argument("name", metavar="QUEUE")
@click.option("-n", "--count", type=click.IntRange(1), metavar="N", help="At most so many. [default: all]")
@pass_settings
def redrive(settings: Settings, name: str, count: int | None) -> None:
    """Send dead letters back to the queue or group that they came from, oldest first.

    Those that are moved are moved whole: out of the dead letters and back in one step.

    Example:
      isthmus --dir ./data dlq redrive invoices
    """
    queue, moved = run(_redrive(settings, name, count))
    if settings.json:
        settings.out.document({"queue": queue, "redriven": moved})
    else:
        settings.out.text(f"sent {counted(moved, 'dead letter')} of {queue} back")


async def _redrive(settings: Settings, name: str, count: int | None) -> tuple[str, int]:
    async with connected(settings, write=True) as engine:
        queue = await resolved(engine.admin, name)
        return queue.name, await engine.admin.redrive(queue.name, count)


# ---- rm ------------------------------------------------------------------------------------------------------------


@dlq.command("rm")
@click.argument("name", metavar="QUEUE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, name: str, *, yes: bool) -> None:
    """Remove all dead letters of a queue; the dead-letter queue itself stays. This cannot be undone.

    Example:
      isthmus --dir ./data dlq rm invoices --yes
    """
    queue, count = run(_purge(settings, name, yes=yes))
    if settings.json:
        settings.out.document({"queue": queue, "removed": count})
    else:
        settings.out.text(f"removed {counted(count, 'dead letter')} of {queue}")


async def _purge(settings: Settings, name: str, *, yes: bool) -> tuple[str, int]:
    async with connected(settings, write=True) as engine:
        queue = await resolved(engine.admin, name)
        confirmed(f"Remove {counted(waiting(queue), 'dead letter')} of {queue.name}?", yes=yes)
        return queue.name, await engine.admin.purge(queue.name)
