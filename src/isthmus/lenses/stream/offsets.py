"""Consumer groups' committed positions: one durable fact per group and partition says all of it.

Applied state changes when a fact is durable, live and in replay; reserved state is what was submitted and is not yet.
Who may commit is decided by `group.py`; what a commit says is built by `position.py` or by a door.
"""

from collections.abc import Iterator
from typing import Final

from isthmus.errors import InvalidArgument, OffsetOutOfRange, TooFarAhead
from isthmus.lenses.stream.assignor import owes_join, subscription_of
from isthmus.lenses.stream.group import Group
from isthmus.lenses.stream.membership import State
from isthmus.lenses.stream.position import Position, Progress
from isthmus.limits import COMMIT_METADATA_BYTES_MAX, DONE_WINDOW_MAX
from isthmus.log import facts
from isthmus.log.partition import Partition
from isthmus.ranges import RangeSet

_FACT_BYTES: Final = 192
_RUN_BYTES: Final = 19
_ATTEMPT_BYTES: Final = 29
"""The most that a commit without metadata takes in the journal, a range of it, and an attempt (MessagePack)."""


class ConsumerGroup:
    """One group: its durable positions, and the members of this moment."""

    __slots__ = (
        "_made",
        "_reserved",
        "active_ms",
        "created_ms",
        "expires",
        "id",
        "incarnation",
        "members",
        "name",
        "namespace",
        "positions",
    )

    def __init__(self, declared: facts.GroupSet, incarnation: str) -> None:
        """`incarnation` makes member ids differ between openings of the store."""
        self.incarnation = incarnation
        self.id = declared.id
        self.namespace = declared.namespace
        self.name = declared.name
        self.created_ms = declared.created_ms
        self.expires = declared.expires
        self._made = 0
        self.members = Group(declared.name, self._make_member_id, subscription_of=subscription_of, owes_join=owes_join)
        self.positions: dict[int, facts.Committed] = {}
        self._reserved: dict[int, facts.Committed] = {}
        self.active_ms = 0  # since the store was opened

    def _make_member_id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix or 'member'}-{self.incarnation}-{self._made}"

    def progress(self, partition: Partition) -> Progress | None:
        """The committed position in a partition, no lower than its log start; None when there is none."""
        return _above(self.positions.get(partition.id), partition.log_start)

    def latest(self, partition: Partition) -> Progress | None:
        """The same with what was submitted: where whoever gets the partition next goes on."""
        found = self._reserved.get(partition.id) or self.positions.get(partition.id)
        return _above(found, partition.log_start)

    def reserve(self, fact: facts.Committed) -> None:
        """A commit was submitted."""
        self._reserved[fact.partition] = fact

    def apply(self, fact: facts.Committed) -> None:
        """A commit is durable. Generations only rise, also over a restart."""
        self.positions[fact.partition] = fact
        if self._reserved.get(fact.partition) is fact:
            del self._reserved[fact.partition]
        if self.members.state is State.EMPTY:
            self.members.generation = max(self.members.generation, fact.generation)

    def forget(self, partition_id: int) -> None:
        """The position in a partition is gone, or the partition is."""
        self.positions.pop(partition_id, None)
        self._reserved.pop(partition_id, None)

    def declared(self) -> facts.GroupSet:
        """The fact that declares it."""
        return facts.GroupSet(self.id, self.namespace, self.name, self.created_ms, self.expires)

    def facts(self) -> Iterator[facts.Fact]:
        """For a checkpoint."""
        yield self.declared()
        yield from list(self.positions.values())

    def has_expired(self, now_ms: int, expires_ms: int) -> bool:
        """Neither member nor commit for `expires_ms`, and made so that it is forgotten then.

        Commits are known with their times over a restart, members are not; the caller gives them time to return.
        """
        if not self.expires or self.members.state is not State.EMPTY:
            return False
        heard_ms = max((fact.time_ms for fact in self.positions.values()), default=self.created_ms)
        return now_ms - max(heard_ms, self.active_ms) >= expires_ms

    def is_silent(self, now_ms: int, uptime_ms: int, silent_ms: int) -> bool:
        """No member and no commit for `silent_ms` of broker uptime: it no longer holds trims."""
        if self.members.state is not State.EMPTY:
            return False
        return uptime_ms >= silent_ms and now_ms - self.active_ms >= silent_ms


def _above(fact: facts.Committed | None, log_start: int) -> Progress | None:
    """What a commit says once all below the log start is done."""
    if fact is None or fact.floor >= log_start:
        return None if fact is None else Progress(fact.floor, fact.done, fact.attempts)
    done = RangeSet(fact.done)
    done.add(fact.floor, log_start)
    floor = done.absorb(fact.floor)
    return Progress(floor, tuple(done), tuple(row for row in fact.attempts if row[0] >= floor))


def fact_bytes(position: Position, more: int) -> int:
    """The most that a commit of this position can take in the journal after `more` offsets have changed."""
    return _FACT_BYTES + _RUN_BYTES * (position.done.runs + more) + _ATTEMPT_BYTES * (len(position.attempts) + more)


def committed(
    group: ConsumerGroup,
    partition: Partition,
    progress: Progress,
    *,
    generation: int = -1,
    leader_epoch: int | None = None,
    metadata: str = "",
    now_ms: int,
) -> facts.Committed:
    """The fact for a commit, checked.

    Raises:
        OffsetOutOfRange: the floor is negative or above the high watermark.
        TooFarAhead: too many offsets between the floor and the furthest finished one.
        InvalidArgument: the metadata is too long.
    """
    if not 0 <= progress.floor <= partition.high_watermark:
        raise OffsetOutOfRange(progress.floor, partition.log_start, partition.high_watermark)
    if progress.done and progress.done[-1][1] - progress.floor > DONE_WINDOW_MAX:
        raise TooFarAhead(group.name, DONE_WINDOW_MAX)
    if len(metadata) > COMMIT_METADATA_BYTES_MAX or len(metadata.encode()) > COMMIT_METADATA_BYTES_MAX:
        raise InvalidArgument("metadata", f"longer than {COMMIT_METADATA_BYTES_MAX} bytes")
    epoch = partition.leader_epoch if leader_epoch is None else leader_epoch
    return facts.Committed(group.id, partition.id, generation, *progress, epoch, metadata, now_ms)
