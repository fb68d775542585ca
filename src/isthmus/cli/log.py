"""`isthmus log`: the files of a data directory themselves: verify them, look into them, compact and repair them.

Verify and dump read only and work beside a running owner. Compact and repair take the directory.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from isthmus.cli.base import EXIT_FOUND, Settings, confirmed, group, pass_settings, run
from isthmus.cli.output import Output, counted, printable, size_text

if TYPE_CHECKING:
    from isthmus.cli.log_verify import Finding, Verified
    from isthmus.log.compaction import Compacted
    from isthmus.log.storage import RealStorage

REPORTS: Final = "quarantine"
OFFSETS_SHOWN: Final = 20


@group("log")
def log() -> None:
    """The files of a data directory: verify, dump, compact, repair.

    Example:
      isthmus --dir ./data log verify
    """


def open_storage(settings: Settings, what: str) -> "RealStorage":
    """The files of the data directory. Raises NotAStore when there is no such directory."""
    from isthmus.log.storage import RealStorage

    return RealStorage(settings.need_store(what), create=False)


# ---- verify --------------------------------------------------------------------------------------------------------


@log.command("verify")
@pass_settings
def verify_command(settings: Settings) -> None:
    """Read every file and say whether every byte is as it was written.

    Walks all segments, commit groups, entries, batches, index files and checkpoints. Ends with exit code 1 when
    something is damaged, and names it by file, position, LSN and offsets. Works beside a running broker.

    Example:
      isthmus --dir ./data log verify && echo all is well
    """
    found = verified(open_storage(settings, "log verify"), settings.out)
    show(found, settings.out)
    if not found.ok:
        raise click.exceptions.Exit(EXIT_FOUND)


def verified(storage: "RealStorage", out: Output) -> "Verified":
    """Verify with progress."""
    from isthmus.cli.log_verify import verify
    from isthmus.cli.log_walk import Store, Walk

    with out.progress("verifying", Walk(Store.open(storage)).total_bytes, "bytes") as progress:
        return verify(storage, advance=progress.advance)


def show(found: "Verified", out: Output) -> None:
    """The result of a verification."""
    if out.json:
        out.document(found)
        return
    out.text(
        f"{printable(found.directory)}: {counted(found.segments, 'segment')}, {counted(found.groups, 'group')},"
        f" {counted(found.entries, 'entry', 'entries')}, {counted(found.batches, 'batch', 'batches')},"
        f" {counted(found.records, 'record')}, {counted(found.facts, 'fact')}, {size_text(found.bytes)}"
    )
    good = [seen for seen in found.checkpoints if seen.ok]
    out.text(
        f"format {found.format}, epoch {found.epoch}, journal to LSN {found.end_lsn:,}, durable to"
        f" {found.durable_lsn:,}, {counted(len(good), 'valid checkpoint')}"
        + (f" (newest at LSN {good[0].applied_lsn:,})" if good and good[0].applied_lsn is not None else "")
        + (f"; in use by process {found.held_by}" if found.held_by is not None else "")
    )
    for finding in found.findings:
        for line in finding_lines(finding):
            out.text(line)
    out.text(verdict(found))


def verdict(found: "Verified") -> str:
    """The last line."""
    if found.damaged:
        return "DAMAGED: restore a backup, or accept the loss with `isthmus log repair --accept-loss`"
    if not found.ok:
        return "no event is lost; `isthmus log repair` makes the damaged files anew"
    return "every byte is as it was written"


def finding_lines(finding: "Finding") -> Iterable[str]:
    """A finding as lines: what and where, then the offsets."""
    place = [printable(finding.file)] if finding.file is not None else []
    place += [f"from byte {finding.position:,}"] if finding.position is not None else []
    place += [f"LSN {finding.lsn_start:,} to {finding.lsn_end:,}"] if finding.lsn_start is not None else []
    where = f" ({', '.join(place)})" if place else ""
    yield f"{finding.severity.upper()}: {printable(finding.what)}{where}"
    for offsets in finding.offsets[:OFFSETS_SHOWN]:
        yield f"  gone: {printable(str(offsets))}"
    if len(finding.offsets) > OFFSETS_SHOWN:
        yield f"  and {len(finding.offsets) - OFFSETS_SHOWN} more ranges; --json lists all"


# ---- dump ----------------------------------------------------------------------------------------------------------


@log.command("dump")
@click.option("--from-lsn", type=click.IntRange(0), default=0, metavar="LSN", help="Begin with the entry at this LSN.")
@click.option("--until-lsn", type=click.IntRange(0), metavar="LSN", help="End before this LSN.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["facts", "records", "all"]),
    default="all",
    help="Only changes of state (facts), only batches (records), or both.",
)
@click.option("--partition", metavar="TOPIC[/INDEX]", help="Only what is about this topic or partition.")
@click.option("-n", "--count", type=click.IntRange(1), metavar="N", help="At most so many entries.")
@pass_settings
def dump_command(
    settings: Settings,
    from_lsn: int,
    until_lsn: int | None,
    kind: Literal["facts", "records", "all"],
    partition: str | None,
    count: int | None,
) -> None:
    """Show the entries of the journal: batches of records, and facts.

    With --json one line for each entry. Ends with exit code 1 when acknowledged bytes are gone on the way.

    Example:
      isthmus --dir ./data log dump --type facts --partition orders/0 -n 20
    """
    from itertools import islice

    from isthmus.cli.log_dump import Dump, Filter, parse_partition, row_text
    from isthmus.cli.log_walk import Store

    wanted = Filter(from_lsn=from_lsn, until_lsn=until_lsn, kind=kind, partition=parse_partition(partition))
    dump = Dump(Store.open(open_storage(settings, "log dump")), wanted)
    out = settings.out
    for row in islice(dump.rows(), count):
        if out.json:
            out.json_line(row)
        else:
            out.text(row_text(row))
    if dump.gaps:
        raise click.exceptions.Exit(EXIT_FOUND)


# ---- compact -------------------------------------------------------------------------------------------------------


@log.command("compact")
@click.argument("topic", metavar="[TOPIC]", required=False)
@pass_settings
def compact_command(settings: Settings, topic: str | None) -> None:
    """Win back what dead events take of the files, now and completely.

    A running broker does this by itself where it is worth it. Of streams that keep the newest event of each key (all,
    or only TOPIC) older ones go; what retention, consumption or removal left in the files goes anyway. Events keep
    their offsets. It needs the directory for itself, and disk space for a segment. Ends with exit code 1 when a file
    could not be read, which stays as it is.

    Example:
      isthmus --dir ./data log compact customers
    """
    storage = open_storage(settings, "log compact")
    with settings.out.progress("compacting", None, "bytes") as progress:
        done, before, after = run(_compact(storage, topic, progress.advance))
    if settings.json:
        settings.out.document({"before_bytes": before, "after_bytes": after, "compacted": done})
    else:
        for line in compacted_lines(done, before, after):
            settings.out.text(line)
    if done.problems:
        raise click.exceptions.Exit(EXIT_FOUND)


async def _compact(
    storage: "RealStorage", topic: str | None, advance: Callable[[int], None]
) -> tuple["Compacted", int, int]:
    """What was done, and the bytes of the journal's segments before and after."""
    from isthmus.broker.broker import Broker
    from isthmus.clock import SystemClock
    from isthmus.definition import DEFAULT_NAMESPACE
    from isthmus.errors import InvalidArgument

    broker = Broker(storage, SystemClock())
    await broker.open()
    try:
        found = None if topic is None else broker.topic(DEFAULT_NAMESPACE, topic)
        if found is not None and not found.set.config.compact:
            raise InvalidArgument("TOPIC", f"{topic!r} does not keep the newest event of each key")
        before = sum(segment.size_bytes for segment in broker.journal.segments)
        done = await broker.housekeeping.compacting.everything(found, advance)
        return done, before, sum(segment.size_bytes for segment in broker.journal.segments)
    finally:
        await broker.close()


def compacted_lines(done: "Compacted", before: int, after: int) -> Iterable[str]:
    """What was done, as text."""
    yield f"journal: {size_text(before)} before, {size_text(after)} now"
    copies = counted(done.made, "file")
    yield f"{counted(done.files, 'file')} copied into {copies}; {counted(done.records, 'event')} replaced by newer ones"
    if done.kept_whole:
        yield f"{counted(done.kept_whole, 'batch', 'batches')} kept whole: they cannot be decoded here"
    if done.keys_left:
        yield "more is left: run it again"
    for problem in done.problems:
        yield f"left as it is: {printable(problem)}"


# ---- repair --------------------------------------------------------------------------------------------------------


@log.command("repair")
@click.option("--accept-loss", is_flag=True, help="Go on without what is damaged. What is gone is listed first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--report", metavar="FILE", help="Where to write the report. [default: in the data directory]")
@pass_settings
def repair_command(settings: Settings, *, accept_loss: bool, yes: bool, report: str | None) -> None:
    """Make a damaged store writable again.

    First verifies and writes a report of what is damaged. Index files and checkpoints that can be made anew are; for
    acknowledged events that are gone it needs --accept-loss, and asks. From then on readers pass over what is gone:
    the commit groups that are damaged, whole. The damaged files stay as they are. At the end it verifies again.

    Example:
      isthmus --dir ./data log repair --accept-loss
    """
    storage = open_storage(settings, "log repair")
    storage.lock()
    try:
        before = verified(storage, settings.out)
        if before.ok:
            show(before, settings.out)
            return
        _agree(before, settings, accept_loss=accept_loss, yes=yes)
        path = write_report(before, report)
        repair(storage, before)
    finally:
        storage.unlock()
    _tell(verified(storage, settings.out), before, path, settings.out)


def _agree(before: "Verified", settings: Settings, *, accept_loss: bool, yes: bool) -> None:
    if not before.damaged:
        return
    if not accept_loss:
        show(before, settings.out)
        raise click.exceptions.Exit(EXIT_FOUND)
    if not settings.json and not yes:
        show(before, settings.out)
    confirmed("Go on without what is gone?", yes=yes)


def write_report(before: "Verified", path: str | None) -> str:
    """What was found before anything is changed, as JSON; returns the file.

    Raises:
        FileExistsError: a file that is there is not overwritten.
    """
    import time

    from isthmus.cli.output import encode

    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = Path(path) if path else Path(before.directory, REPORTS, f"repair-{stamp}.json")
    with target.open("xb") as file:
        file.write(encode({"time_ms": time.time_ns() // 1_000_000, "found": before}))
        file.flush()
        os.fsync(file.fileno())
    return str(target)


def repair(storage: "RealStorage", before: "Verified") -> None:
    """Make anew what can be, and go on without what is gone. Needs the lock, and lets go of it."""
    from isthmus.log.segment import INDEX_SUFFIX, LOG_SUFFIX

    indexes = [each.file for each in before.findings if each.file is not None and each.file.endswith(INDEX_SUFFIX)]
    _drop(storage, indexes)
    run(_reopen(storage, before))
    # An index that still names what is gone would lead readers into the damage; the next opening makes it anew.
    damaged = [each.file for each in before.findings if each.severity == "damage" and each.file is not None]
    _drop(storage, [file.removesuffix(LOG_SUFFIX) + INDEX_SUFFIX for file in damaged if file.endswith(LOG_SUFFIX)])
    run(_reopen(storage, before))


def _drop(storage: "RealStorage", indexes: Iterable[str]) -> None:
    """Opening makes an index that is missing; of one that is there it looks at the beginning only."""
    storage.lock()
    for name in indexes:
        if storage.exists(name):
            storage.unlink(name)


async def _reopen(storage: "RealStorage", before: "Verified") -> None:
    """Open for writing, which sets aside and rebuilds; note what was given up; close, which takes a checkpoint.

    Through the broker: a checkpoint holds the state of all its parts, or it would forget them.
    """
    from isthmus.broker.broker import Broker
    from isthmus.clock import SystemClock
    from isthmus.log import facts
    from isthmus.log.journal import merge_ranges
    from isthmus.log.recovery import subtract

    broker = Broker(storage, SystemClock())
    await broker.open(accept_loss=before.damaged)
    try:
        # Opening sees what it has to read; damage below a checkpoint is for verification to find.
        accepted = merge_ranges(row for loss in broker.journal.accepted for row in loss.ranges)
        gone = [
            left
            for each in before.findings
            if each.severity == "damage" and each.lsn_start is not None and each.lsn_end is not None
            for left in subtract((each.lsn_start, each.lsn_end), accepted)
        ]
        if gone:
            unit = broker.journal.unit()
            report = f"{len(gone)} ranges that `isthmus log verify` found damaged"
            unit.fact(facts.LossAccepted(tuple(gone), broker.clock.now_ms(), report))
            await unit.submit()
    finally:
        await broker.close()


def _tell(after: "Verified", before: "Verified", path: str, out: Output) -> None:
    if out.json:
        answer: dict[str, Any] = {"repaired": after.ok, "report": path, "before": before, "after": after}
        out.document(answer)
    else:
        show(after, out)
        out.text(f"what was found is in {printable(path)}")
    if not after.ok:
        raise click.exceptions.Exit(EXIT_FOUND)
