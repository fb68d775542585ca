"""Consumer groups' committed positions: one durable fact per group and partition says all of it.

Applied state only: it changes when a fact is durable, live and in replay. Who may commit is decided by `group.py`; what
a commit says is built by `position.py` or by a door.
"""

from collections.abc import Iterator

from isthmus.errors import InvalidArgument, OffsetOutOfRange, TooFarAhead
from isthmus.lenses.stream.assignor import subscription_of
from isthmus.lenses.stream.group import Group
from isthmus.lenses.stream.position import Progress
from isthmus.limits import COMMIT_METADATA_BYTES_MAX, DONE_WINDOW_MAX
from isthmus.log import facts
from isthmus.log.partition import Partition
from isthmus.ranges import RangeSet


class ConsumerGroup:
    """One group: its durable positions, and the members of this moment."""

    __slots__ = ("_made", "active_ms", "created_ms", "id", "incarnation", "members", "name", "namespace", "positions")

    def __init__(self, declared: facts.GroupSet, incarnation: str) -> None:
        """`incarnation` makes member ids differ between openings of the store."""
        self.incarnation = incarnation
        self.id = declared.id
        self.namespace = declared.namespace
        self.name = declared.name
        self.created_ms = declared.created_ms
        self._made = 0
        self.members = Group(declared.name, self._make_member_id, subscription_of=subscription_of)
        self.positions: dict[int, facts.Committed] = {}
        self.active_ms = 0

    def _make_member_id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix or 'member'}-{self.incarnation}-{self._made}"

    def progress(self, partition: Partition) -> Progress | None:
        """The committed position in a partition, no lower than its log start; None when there is none."""
        committed = self.positions.get(partition.id)
        if committed is None:
            return None
        if committed.floor >= partition.log_start:
            return Progress(committed.floor, committed.done, committed.attempts)
        done = RangeSet(committed.done)
        done.add(committed.floor, partition.log_start)
        floor = done.absorb(committed.floor)
        attempts = tuple(row for row in committed.attempts if row[0] >= floor)
        return Progress(floor, tuple(done), attempts)

    def apply(self, fact: facts.Committed) -> None:
        """A commit is durable."""
        self.positions[fact.partition] = fact

    def declared(self) -> facts.GroupSet:
        """The fact that declares it."""
        return facts.GroupSet(self.id, self.namespace, self.name, self.created_ms)

    def facts(self) -> Iterator[facts.Fact]:
        """For a checkpoint."""
        yield self.declared()
        yield from list(self.positions.values())

    def is_silent(self, now_ms: int, uptime_ms: int, silent_ms: int) -> bool:
        """No member and no commit for `silent_ms` of broker uptime: it no longer holds trims."""
        if self.members.describe().members:
            return False
        return uptime_ms >= silent_ms and now_ms - self.active_ms >= silent_ms


def committed(
    group: int,
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
        OffsetOutOfRange: the floor is above the high watermark.
        TooFarAhead: too many offsets between the floor and the furthest finished one.
        InvalidArgument: the metadata is too long.
    """
    if progress.floor > partition.high_watermark:
        raise OffsetOutOfRange(progress.floor, partition.log_start, partition.high_watermark)
    if progress.done and progress.done[-1][1] - progress.floor > DONE_WINDOW_MAX * 2:
        raise TooFarAhead(str(group), DONE_WINDOW_MAX)
    if len(metadata.encode()) > COMMIT_METADATA_BYTES_MAX:
        raise InvalidArgument("metadata", f"longer than {COMMIT_METADATA_BYTES_MAX} bytes")
    epoch = partition.leader_epoch if leader_epoch is None else leader_epoch
    return facts.Committed(group, partition.id, generation, *progress, epoch, metadata, now_ms)
