"""What stands in the journal, entry by entry, for people and for machines.

It reads the files and changes nothing. It shows facts and the frames of batches; the events themselves are what `tail`
is for.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Literal

from msgspec import Struct

from isthmus.cli.log_walk import Entry, Gap, Names, Piece, Store, Walk, entries, index_of
from isthmus.cli.output import one_line, size_text, time_text
from isthmus.errors import InvalidArgument, InvalidBatch, StorageError
from isthmus.log import batch as batches
from isthmus.log import checkpoint, facts
from isthmus.log import format as form
from isthmus.log.journal import merge_ranges
from isthmus.log.recovery import subtract

FLAGS: Final = (
    (form.ENTRY_ATTRIBUTES, "attributes"),
    (form.ENTRY_TRANSACTIONAL, "transactional"),
    (form.ENTRY_CONTROL, "control"),
    (form.ENTRY_COMPACTED, "compacted"),
)

HIDDEN: Final = {facts.UserSet: "scrams", facts.AccessSecret: "secret"}
"""Fields that are not shown: dumps are sent around, and with these somebody could begin to guess passwords."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which entries are wanted; `partition` is a topic's name, `topic/index`, or a partition's id."""

    from_lsn: int = 0
    until_lsn: int | None = None
    kind: Literal["facts", "records", "all"] = "all"
    partition: str | None = None


Row = dict[str, Any]
"""One line of the dump: `lsn`, `time_ms`, `kind` and what is of that kind."""


class Dump:
    """One dump; see `rows`. `gaps` are the places where acknowledged bytes are gone."""

    def __init__(self, store: Store, wanted: Filter) -> None:
        self._store = store
        self._wanted = wanted
        self._known: tuple[list[tuple[int, int]], list[tuple[int, int]]] | None = None
        self.gaps: list[Gap] = []

    def rows(self) -> Iterator[Row]:
        """The entries in LSN order."""
        self._learn_names()
        walk = Walk(self._store, from_lsn=self._wanted.from_lsn)
        until = self._wanted.until_lsn
        for found in walk:
            if isinstance(found, Gap):
                yield from self._gap(found, walk)
                continue
            if until is not None and found.lsn >= until:
                return
            yield from self._group(found)

    def _gap(self, gap: Gap, walk: Walk) -> Iterator[Row]:
        """What is not there: removed on purpose, given up, or damage; the facts that say so may come much later."""
        end = min(gap.end, walk.durable_lsn) if gap.tail else gap.end
        if end <= gap.start:
            return
        if self._known is None:
            self._known = self._accounted()
        removed, accepted = self._known
        kept = subtract((gap.start, end), removed)
        lost = [part for whole in kept for part in subtract(whole, accepted)]
        self.gaps += [gap._replace(start=start, end=stop) for start, stop in lost]
        kinds = dict.fromkeys(subtract((gap.start, end), kept), "removed")
        kinds |= {part: "lost" for whole in kept for part in subtract(whole, lost)}
        kinds |= dict.fromkeys(lost, "gap")
        for (start, stop), kind in sorted(kinds.items()):
            yield {"lsn": start, "time_ms": None, "kind": kind, "file": gap.file, "lsn_end": stop}

    def _accounted(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """LSN ranges that were removed on purpose, and those that an operator gave up."""
        removed: list[tuple[int, int]] = []
        accepted: list[tuple[int, int]] = []
        for fact in self._all_facts():
            if isinstance(fact, facts.SegmentsRemoved):
                removed += fact.ranges
            elif isinstance(fact, facts.LossAccepted):
                accepted += fact.ranges
        return merge_ranges(removed), merge_ranges(accepted)

    def _all_facts(self) -> Iterator[facts.AnyFact]:
        yield from self._checkpointed()
        for found in Walk(self._store):
            for entry in entries(found.group) if isinstance(found, Piece) else ():
                with suppress(StorageError):  # told where it stands
                    if entry.view.kind == form.FACT:
                        yield facts.decode(entry.payload)

    def _learn_names(self) -> None:
        """Names come first in the life of a store, which the dump may not begin with."""
        for fact in self._checkpointed():
            self._store.names.learn(fact)

    def _checkpointed(self) -> Iterator[facts.AnyFact]:
        for name in checkpoint.listed(self._store.storage):
            try:
                found = checkpoint.load(self._store.storage, self._store.checksums, name)
            except OSError:
                # Only what it knows of names and gaps is wanted; `verify` is what judges checkpoints.
                continue
            yield from found.facts() if found is not None else ()

    def _group(self, piece: Piece) -> Iterator[Row]:
        wanted = self._wanted
        for entry in entries(piece.group):
            row = self._row(entry, piece.group.header.time_ms)
            inside = entry.lsn >= wanted.from_lsn and (wanted.until_lsn is None or entry.lsn < wanted.until_lsn)
            if row is not None and inside:
                yield row

    def _row(self, entry: Entry, time_ms: int) -> Row | None:
        head: Row = {"lsn": entry.lsn, "time_ms": time_ms}
        if entry.view.kind == form.RECORDS:
            return head | self._records(entry) if self._wants_records(entry) else None
        try:
            fact = facts.decode(entry.payload)
        except StorageError as error:
            return head | {"kind": "unknown", "what": str(error)}
        self._store.names.learn(fact)
        return head | fact_row(fact, self._store.names) if self._wants_fact(fact) else None

    def _wants_records(self, entry: Entry) -> bool:
        if self._wanted.kind == "facts":
            return False
        return self._wanted.partition is None or any(self._is_wanted(p) for p, _ in entry.view.placements)

    def _wants_fact(self, fact: facts.AnyFact) -> bool:
        if self._wanted.kind == "records":
            return False
        if self._wanted.partition is None:
            return True
        partition = getattr(fact, "partition", None)
        return partition is not None and self._is_wanted(partition)

    def _is_wanted(self, partition: int) -> bool:
        names = self._store.names
        return self._wanted.partition in (names.partition(partition), names.topic(partition), str(partition))

    def _records(self, entry: Entry) -> Row:
        names = self._store.names
        try:
            header = batches.header(entry.payload)
        except InvalidBatch as error:
            return {"kind": "unknown", "what": str(error)}
        row: Row = {
            "kind": "records",
            "principal": entry.view.principal,
            "placements": [
                {
                    "topic": names.topic(partition),
                    "partition": index_of(partition),
                    "start": base,
                    "end": base + header.last_offset_delta + 1,
                }
                for partition, base in entry.view.placements
            ],
            "records": header.count,
            "bytes": header.size_bytes,
            "compression": header.compression,
            "max_timestamp_ms": header.max_timestamp_ms,
            "flags": [name for bit, name in FLAGS if entry.view.flags & bit],
        }
        if header.producer_id >= 0:
            row["producer"] = [header.producer_id, header.producer_epoch, header.base_sequence]
        return row


def fact_row(fact: facts.AnyFact, names: Names) -> Row:
    """A fact with its fields; ids are joined by the names that they stand for."""
    hidden = HIDDEN.get(type(fact))
    fields: Row = {name: "hidden" if name == hidden else getattr(fact, name) for name in fact.__struct_fields__}
    tables = {"topic": names.topics, "queue": names.queues, "group": names.groups}
    named = {key: table.get(fields[key]) for key, table in tables.items() if isinstance(fields.get(key), int)}
    if isinstance(fields.get("partition"), int):
        named["partition"] = names.partition(fields["partition"])
    return {"kind": "fact", "fact": type(fact).__name__, "names": named, "fields": fields}


def row_text(row: Row) -> str:
    """A row as one line."""
    return f"{row['lsn']:>12}  {time_text(row['time_ms']):<24}  {_rest(row)}"


def _rest(row: Row) -> str:
    match row["kind"]:
        case "records":
            places = ", ".join(f"{p['topic']}/{p['partition']} {p['start']}-{p['end'] - 1}" for p in row["placements"])
            text = f"records {places}: {row['records']} of {size_text(row['bytes'])}"
            more = [row["compression"]] if row["compression"] != "none" else []
            more += [*row["flags"], *([f"producer {row['producer'][0]}"] if "producer" in row else [])]
            return one_line(f"{text}, {', '.join(more)}" if more else text)
        case "fact":
            fields = {name: row["names"].get(name) or value for name, value in row["fields"].items()}
            return one_line(f"{row['fact']} " + " ".join(f"{name}={_value(value)}" for name, value in fields.items()))
        case "gap":
            return f"DAMAGE: bytes {row['lsn']} to {row['lsn_end']} are gone ({row['file'] or 'file missing'})"
        case "removed":
            return f"removed up to LSN {row['lsn_end']}: nothing in it was needed any more"
        case "lost":
            return f"lost up to LSN {row['lsn_end']}, and the loss was accepted"
        case _:
            return one_line(f"unreadable: {row['what']}")


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 16 else f"<{len(value)} bytes>"
    if isinstance(value, tuple) and all(isinstance(each, tuple) and len(each) == 2 for each in value):
        return ",".join(f"{start}-{end - 1}" for start, end in value) or "-"
    return "-" if value is None else str(value)


def parse_partition(text: str | None) -> str | None:
    """The partition filter, checked. Raises InvalidArgument for an empty one."""
    if text is not None and not text.strip():
        raise InvalidArgument("--partition", "is empty; give a topic, topic/index, or the id of a partition")
    return text
