"""Positions of groups as doors set and drop them: several partitions in one unit, all of it or nothing.

Who may commit is decided by the group; which offsets a commit says is the caller's. Nothing is decided about records.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from isthmus.broker.access import Session
from isthmus.lenses.stream.offsets import ConsumerGroup, committed
from isthmus.lenses.stream.position import Progress
from isthmus.log import facts
from isthmus.log.journal import Pending, Placed
from isthmus.log.partition import Partition

if TYPE_CHECKING:
    from isthmus.broker.broker import Broker


class Mark(Struct, frozen=True, gc=False):
    """Where a group is to stand in one partition: all below `floor` is done, and nothing above it."""

    partition: Partition
    floor: int
    metadata: str = ""
    leader_epoch: int | None = None


class Author(Struct, frozen=True, gc=False):
    """Who commits: a member in its generation, or nobody, which an empty group lets pass."""

    member: str = ""
    generation: int = -1
    instance: str | None = None


NOBODY = Author()


def fact_of(group: ConsumerGroup, mark: Mark, author: Author, now_ms: int) -> facts.Committed:
    """The fact for one mark, checked.

    Raises:
        OffsetOutOfRange, InvalidArgument: see `committed`.
    """
    return committed(
        group,
        mark.partition,
        Progress(mark.floor, (), ()),
        generation=author.generation,
        leader_epoch=mark.leader_epoch,
        metadata=mark.metadata,
        now_ms=now_ms,
    )


def commit(
    broker: "Broker", session: Session, group: ConsumerGroup, rows: Sequence[facts.Committed], author: Author = NOBODY
) -> Pending[list[Placed]]:
    """Set a group's positions in partitions by what `fact_of` gave, in one unit; done when it is durable.

    Raises:
        StaleGeneration, UnknownMember, FencedInstance, RebalanceInProgress: nothing was set.
        AccessDenied: the session's principal may not commit for the group, or not read one of the topics.
    """
    broker.access.check(session, "commit", group.name)
    names = dict.fromkeys(broker.catalog.name_of_topic(fact.partition) for fact in rows)
    broker.access.check_all(session, "read", names)
    unit = broker.journal.unit()
    for fact in rows:
        unit.fact(fact)

    def reserve() -> None:
        for fact in rows:
            group.reserve(fact)
        group.active_ms = broker.clock.now_ms()

    unit.step(lambda: group.members.check(author.member, author.generation, author.instance), reserve, 0)
    return unit.submit()


def forget(
    broker: "Broker", session: Session, group: ConsumerGroup, partitions: Iterable[Partition]
) -> Pending[list[Placed]]:
    """Drop a group's positions in partitions, in one unit; whoever reads there next begins as the first time.

    Raises:
        AccessDenied: the session's principal may not administer the group.
    """
    broker.access.check(session, "administer", group.name)
    unit = broker.journal.unit()
    for partition in partitions:
        if partition.id in group.positions:
            unit.fact(facts.PositionRemoved(group.id, partition.id))
    return unit.submit()
