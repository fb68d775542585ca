"""`isthmus explain`: who published, leased, retried, acknowledged or trimmed one event.

It asks the engine, which reads it back from the journal, and shows the steps.
"""

import click

from isthmus.cli.base import Settings, command, connected, pass_settings, run
from isthmus.cli.output import time_text
from isthmus.views import LifeStep


@command("explain")
@click.argument("dest")
@click.argument("offset", type=click.IntRange(0), required=False)
@click.option("-p", "--partition", type=click.IntRange(0), default=0, metavar="N", help="[default: 0]")
@pass_settings
def explain(settings: Settings, dest: str, offset: int | None, partition: int) -> None:
    """The life of one event: published, leased, failed, acknowledged, trimmed.

    DEST OFFSET, or the event's id as messages and dead letters show it: topic/partition/offset.

    Examples:
      isthmus --dir ./data explain orders 42 --partition 3
      isthmus --dir ./data explain orders/3/42
    """
    topic, partition, at = place(dest, offset, partition)
    steps = run(_steps(settings, topic, partition, at))
    out = settings.out
    if out.json:
        out.document({"id": f"{topic}/{partition}/{at}", "steps": steps})
        return
    rows = [(time_text(step.time_ms or None), step.what, step.who, step.detail, lsn_text(step)) for step in steps]
    out.table(("time", "what", "who", "details", ">LSN"), rows)


def lsn_text(step: LifeStep) -> str:
    """The place in the journal, a dash for what follows from other facts."""
    return str(step.lsn) if step.lsn >= 0 else "-"


def place(dest: str, offset: int | None, partition: int) -> tuple[str, int, int]:
    """Topic, partition and offset of what was written.

    Raises:
        UsageError: neither an offset nor an id.
    """
    if offset is not None:
        return dest, partition, offset
    topic, *rest = dest.rsplit("/", 2)  # from the right: a name may hold slashes
    if topic and len(rest) == 2 and all(each.isascii() and each.isdecimal() for each in rest):
        return topic, int(rest[0]), int(rest[1])
    raise click.UsageError(f"which event of {dest!r}? Give its offset, or an id as topic/partition/offset")


async def _steps(settings: Settings, topic: str, partition: int, offset: int) -> list[LifeStep]:
    async with connected(settings) as engine:
        return await engine.admin.explain(topic, partition, offset)
