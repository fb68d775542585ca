"""The life of one event, read back from the journal: who published, leased, failed, acknowledged or trimmed it.

It scans what segments still hold, from the event's own entry on, and interprets facts for people. It changes nothing.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from isthmus.broker.access import LOCAL
from isthmus.broker.catalog import Catalog
from isthmus.broker.publishing import CAUSE, DUE
from isthmus.broker.users import Users
from isthmus.errors import OffsetOutOfRange
from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.headers import header_value
from isthmus.log.journal import Journal
from isthmus.log.partition import Partition
from isthmus.log.scan import Group
from isthmus.log.segment import Segment
from isthmus.ranges import RangeSet
from isthmus.record import StoredRecord
from isthmus.views import LifeStep


class _Entry(NamedTuple):
    """An entry of the journal with where and when it was written."""

    lsn: int
    time_ms: int
    view: form.EntryView
    payload: bytes


def life_of(
    journal: Journal, catalog: Catalog, partition: Partition, offset: int, users: Users | None = None
) -> list[LifeStep]:
    """The steps in the order in which they became durable; `users` names those who published.

    Raises:
        OffsetOutOfRange: no event was ever given that offset, or the journal no longer knows of it.
    """
    if not 0 <= offset < partition.high_watermark:
        raise OffsetOutOfRange(offset, partition.log_start, partition.high_watermark)
    steps: list[LifeStep] = []
    name = catalog.place_of(partition.id, offset)
    for entry in _entries(journal, partition.id, offset):
        if entry.view.kind == form.RECORDS:
            steps += _record_steps(catalog, entry, partition.id, offset, name, _who(entry, users))
        else:
            steps += _fact_steps(catalog, entry, partition.id, offset)
    if offset < partition.log_start and not any(step.what == "trimmed" for step in steps):
        steps.append(
            LifeStep(lsn=-1, time_ms=0, what="trimmed", who="retention", detail=f"log start {partition.log_start}")
        )
    return steps


def _entries(journal: Journal, partition: int, offset: int) -> Iterator[_Entry]:
    for segment in _segments(journal, partition, offset):
        for group in _groups(segment):
            for lsn, view, payload in group.entries():
                yield _Entry(lsn, group.header.time_ms, view, payload)


def _segments(journal: Journal, partition: int, offset: int) -> Sequence[Segment]:
    """From the one with the record on: facts about an offset come after it. All, when the record is gone."""
    segments = tuple(journal.segments)
    for at, segment in enumerate(segments):
        bounds = segment.bounds(partition) if segment.may_hold(partition) else None
        if bounds is not None and bounds[1] > offset:
            return segments[at:] if bounds[0] <= offset else segments
    return segments


def _groups(segment: Segment) -> Iterator[Group]:
    # Retention may be faster than the reader of this answer.
    with contextlib.suppress(FileNotFoundError):
        yield from segment.groups()


def _who(entry: _Entry, users: Users | None) -> str:
    """Who published an entry; of a user that is gone only the number is left."""
    principal = entry.view.principal
    user = users.by_id.get(principal) if users is not None else None
    return LOCAL if not principal else f"principal {principal}" if user is None else user.name


def _record_steps(  # what an entry says, and to whom it matters
    catalog: Catalog, entry: _Entry, partition: int, offset: int, name: str, who: str
) -> Iterator[LifeStep]:
    header = batches.header(entry.payload)
    for place, base in entry.view.placements:
        if place == partition and base <= offset <= base + header.last_offset_delta:
            record = _find(batches.place(entry.payload, base, 0), offset)
            detail = _about(record) if record is not None else "a control record, or compacted away"
            yield LifeStep(lsn=entry.lsn, time_ms=entry.time_ms, what="published", who=who, detail=detail)
            return
    if entry.view.flags & form.ENTRY_ATTRIBUTES:
        yield from _copies(catalog, entry, name)


def _find(batch: bytes, offset: int) -> StoredRecord | None:
    return next((r for r in batches.decode(batch, from_offset=offset) if r.offset == offset), None)


def _about(record: StoredRecord) -> str:
    parts = [f"key {record.key!r}" if record.key is not None else "no key", f"{len(record.value or b'')} bytes"]
    kind = header_value(record.headers, "ce_type")
    due = header_value(record.headers, DUE)
    cause = header_value(record.headers, CAUSE)
    parts += [f"type {kind.decode(errors='replace')}"] if kind else []
    parts += [f"due at {due.decode(errors='replace')} ms"] if due else []
    parts += [f"caused by {cause.decode(errors='replace')}"] if cause else []
    return ", ".join(parts)


def _copies(catalog: Catalog, entry: _Entry, name: str) -> Iterator[LifeStep]:
    """Records elsewhere that name this one as their cause: dead letters and redriven copies."""
    if name.encode() not in entry.payload and batches.header(entry.payload).compression == "none":
        return
    for place, base in entry.view.placements:
        for record in batches.decode(batches.place(entry.payload, base, 0)):
            if header_value(record.headers, CAUSE) == name.encode():
                detail = f"to {catalog.place_of(place, record.offset)}"
                yield LifeStep(lsn=entry.lsn, time_ms=entry.time_ms, what="copied", who="broker", detail=detail)


def _fact_steps(catalog: Catalog, entry: _Entry, partition: int, offset: int) -> Iterator[LifeStep]:
    told = _tell(catalog, facts.decode(entry.payload), partition, offset)
    if told is not None:
        what, who, detail = told
        yield LifeStep(lsn=entry.lsn, time_ms=entry.time_ms, what=what, who=who, detail=detail)


def _inside(ranges: Iterable[tuple[int, int]], offset: int) -> bool:
    return any(start <= offset < end for start, end in ranges)


def _tell(catalog: Catalog, fact: facts.AnyFact, partition: int, offset: int) -> tuple[str, str, str] | None:
    """What a fact says about one offset: what, who, details. None when it is about something else."""
    if getattr(fact, "partition", None) != partition:
        return None
    match fact:
        case facts.Leased() if _inside(fact.ranges, offset):
            until = "while its session lasts" if fact.until_ms is None else "for a time"
            return "leased", fact.consumer, f"{_queue(catalog, fact.queue)}, hand-over {fact.acquired}, {until}"
        case facts.Released() if _inside(fact.ranges, offset):
            when = "ready at once" if fact.due_ms == 0 else f"ready at {fact.due_ms} ms" if fact.due_ms > 0 else "dying"
            detail = f"{_queue(catalog, fact.queue)}, {fact.failed} failures, {when}"
            return "released", "consumer", detail + (f": {fact.reason}" if fact.reason else "")
        case facts.Settled() if _inside(fact.ranges, offset):
            return fact.why, fact.consumer, _queue(catalog, fact.queue)
        case facts.Trimmed() if offset < fact.log_start:
            return "trimmed", "retention", f"log start {fact.log_start}: {fact.reason}"
        case facts.Committed():
            return _tell_commit(catalog, fact, offset)
        case _:
            return None


def _tell_commit(catalog: Catalog, fact: facts.Committed, offset: int) -> tuple[str, str, str] | None:
    group = catalog.groups.get(fact.group)
    name = f"group {group.name!r}" if group is not None else f"group {fact.group}"
    for failed_offset, failures, due_ms in fact.attempts:
        if failed_offset == offset:
            return "failed", name, f"{failures} failures, again at {due_ms} ms"
    if offset < fact.floor or offset in RangeSet(fact.done):
        by = f"generation {fact.generation}" if fact.generation >= 0 else "no member: a start, a seek or a lone reader"
        return "done", name, by
    return None


def _queue(catalog: Catalog, queue_id: int) -> str:
    declared = catalog.queue_sets.get(queue_id)
    return f"queue {declared.name!r}" if declared is not None else f"queue {queue_id}"


def first_of_each(steps: list[LifeStep]) -> list[LifeStep]:
    """A group states its whole position with each commit: keep what it said of this event for the first time."""
    last: dict[str, tuple[str, str]] = {}
    kept = []
    for step in steps:
        said = step.what, "" if step.what == "done" else step.detail
        if step.what not in {"done", "failed"} or last.get(step.who) != said:
            kept.append(step)
        last[step.who] = said
    return kept
