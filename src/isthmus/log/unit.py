"""A unit: batches and facts that become durable together or not at all.

It gathers, checks and reserves in one step at `submit`; when its commit group is durable it tells the promotion what
to apply. It knows neither files nor threads.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from isthmus.definition import Level
from isthmus.errors import InvariantError, UnitTooLarge
from isthmus.limits import PLACEMENTS_MAX, STEP_BYTES_MAX, UNIT_BYTES_MAX, UNIT_ENTRIES_MAX
from isthmus.log import batch as batches
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.partition import Partition
from isthmus.log.pending import Pending
from isthmus.log.promotion import Placed, Promotion

_MARKS_TO_FLAGS: Final = 3
"""The batch attributes "transactional" and "control" are bits 4 and 5, the entry flags of these names 1 and 2."""
_MARKS: Final = form.ENTRY_TRANSACTIONAL | form.ENTRY_CONTROL


class Store(Protocol):
    """What a unit asks of the journal that it belongs to."""

    checksums: form.Checksums

    def admit(self, record_bytes: int, fact_bytes: int) -> None:
        """Raises what stands against a unit of that size."""

    def enqueue(self, unit: "Unit") -> None:
        """Hand a unit, in which everything is reserved, to the commit."""

    def fail(self, error: Exception) -> None:
        """Promise nothing more: what was reserved can neither be written nor given back."""


class _Records:
    """A batch of a unit on its way: where it goes, and where it went."""

    __slots__ = ("bases", "batch", "flags", "header", "partitions", "principal")

    def __init__(
        self,
        partitions: Sequence[Partition],
        batch: bytes,
        header: batches.BatchHeader,
        *,
        attributes: bool,
        principal: int,
    ) -> None:
        self.partitions = partitions
        self.batch = batch
        self.header = header
        self.flags = (self.header.attributes >> _MARKS_TO_FLAGS & _MARKS) | (form.ENTRY_ATTRIBUTES if attributes else 0)
        self.principal = principal
        self.bases: list[int] = []

    def place(self, checksums: form.Checksums) -> bytes:
        """Reserve the offsets and encode the entry."""
        # Offsets that it takes, which are more than its records when it was compacted.
        count = self.header.last_offset_delta + 1
        partitions = self.partitions
        self.bases = bases = [partition.reserve(count) for partition in partitions]
        self.batch = batch = batches.place(self.batch, bases[0], partitions[0].leader_epoch)
        placements = [(partition.id, base) for partition, base in zip(partitions, bases, strict=True)]
        return form.encode_entry(checksums, form.RECORDS, self.flags, self.principal, placements, batch)


class Unit:
    """Nothing has happened until `submit`.

    `entries` (from submit on), `size` (bytes of them so far), `sync` and `roll` (begin a new segment with it) are what
    the commit looks at.
    """

    __slots__ = (
        "_facts",
        "_journal",
        "_record_bytes",
        "_records",
        "_step_bytes",
        "_steps",
        "_submitted",
        "entries",
        "pending",
        "roll",
        "size",
        "sync",
    )

    def __init__(self, journal: Store) -> None:
        self._journal = journal
        self._records: list[_Records] = []
        self._facts: list[tuple[facts.Fact, bytes]] = []
        self._steps: list[tuple[Callable[[], None] | None, Callable[[], None]]] = []
        self._record_bytes = 0
        self._step_bytes = 0
        self._submitted = False
        self.entries: list[bytes] = []
        self.size = 0
        self.sync = False
        self.roll = False
        self.pending: Pending[list[Placed]] = Pending()

    @property
    def changes(self) -> bool:
        """Whether anything was added to it."""
        return bool(self._records or self._facts or self._steps)

    def records(
        self,
        partitions: Sequence[Partition],
        batch: bytes,
        *,
        attributes: bool = False,
        principal: int = 0,
        header: batches.BatchHeader | None = None,
    ) -> None:
        """Add one batch that stands in every one of the partitions (fan-out when there are several).

        Args:
            partitions: at least one.
            batch: a valid record batch v2.
            attributes: some record carries queue attributes.
            principal: who publishes.
            header: the batch's, where it is known.

        Raises:
            InvalidBatch: the bytes are not one record batch.
            UnitTooLarge: more than PLACEMENTS_MAX partitions.
        """
        if len(partitions) > PLACEMENTS_MAX:
            raise UnitTooLarge(len(partitions), PLACEMENTS_MAX, "partitions of one batch")
        head = batches.header(batch) if header is None else header
        self._records.append(_Records(partitions, batch, head, attributes=attributes, principal=principal))
        length = form.entry_length(len(partitions), len(batch))
        self.size += length
        self._record_bytes += length
        if not self.sync:
            self.sync = "fsync" in [partition.level for partition in partitions]

    def fact(self, fact: facts.Fact, level: Level = "fsync", principal: int = 0) -> None:
        """Add a fact; at `written` it does not ask for a sync of its own."""
        entry = form.encode_fact_entry(self._journal.checksums, principal, facts.encode(fact))
        self._facts.append((fact, entry))
        self.size += len(entry)
        self.sync = self.sync or level == "fsync"

    def step(
        self, check: Callable[[], None] | None, reserve: Callable[[], None], fact_bytes: int = STEP_BYTES_MAX
    ) -> None:
        """Add a decision: at submit all checks run first and may refuse; then all reserve, and may add facts.

        Args:
            check: raises what stands against it; changes nothing.
            reserve: must not fail.
            fact_bytes: the most that the entries of the facts take that `reserve` adds.
        """
        self._steps.append((check, reserve))
        self._step_bytes += fact_bytes

    def submit(self) -> Pending[list[Placed]]:
        """Check, reserve, and hand it to the commit; the result says where the batches went, in order.

        Raises:
            UnitTooLarge, StorageFull, Overloaded, ReadOnly, Damaged, StorePoisoned, Closed: nothing was reserved.
            RequestError: whatever a check of a step raised; nothing was reserved.
        """
        if self._submitted:
            raise InvariantError("a unit was submitted twice")
        size = self.size + self._step_bytes
        if size > UNIT_BYTES_MAX or len(self._records) + len(self._facts) + len(self._steps) > UNIT_ENTRIES_MAX:
            raise self._too_large(size)
        self._journal.admit(self._record_bytes, size - self._record_bytes)
        for check, _ in self._steps:
            if check is not None:
                check()
        self._submitted = True
        try:
            self._reserve()
        except Exception as error:
            self._journal.fail(error)
            raise
        if self.entries or self.roll:
            self._journal.enqueue(self)
        else:
            self.pending.settle([])
        return self.pending

    def _too_large(self, size: int) -> UnitTooLarge:
        if size > UNIT_BYTES_MAX:
            return UnitTooLarge(size, UNIT_BYTES_MAX, "bytes")
        count = len(self._records) + len(self._facts) + len(self._steps)
        return UnitTooLarge(count, UNIT_ENTRIES_MAX, "entries")

    def _reserve(self) -> None:
        for _, reserve in self._steps:
            reserve()
        checksums = self._journal.checksums
        self.entries = [records.place(checksums) for records in self._records]
        self.entries += [entry for _, entry in self._facts]
        if self.size > UNIT_BYTES_MAX or len(self.entries) > UNIT_ENTRIES_MAX:
            raise InvariantError(
                f"steps added facts until the unit had {self.size} bytes: more than they had announced"
            )

    def promote(self, lsn: int, promotion: Promotion) -> int:
        """Move applied state: index rows, high watermarks, facts. Returns the LSN behind the unit."""
        placed: list[Placed] = []
        for records, entry in zip(self._records, self.entries, strict=False):
            length, header = len(entry), records.header
            count = header.last_offset_delta + 1
            for partition, base in zip(records.partitions, records.bases, strict=True):
                promotion.records(partition, base, lsn, length, records.flags, header)
                placed.append((partition, base, count))
            promotion.remember(lsn, records.batch)
            if records.flags & form.ENTRY_ATTRIBUTES:
                promotion.attributes(records.partitions, records.bases, records.batch)
            lsn += length
        for fact, entry in self._facts:
            promotion.fact(fact, lsn)
            lsn += len(entry)
        promotion.settled.append((self.pending, placed))
        return lsn
