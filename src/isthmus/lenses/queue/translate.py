"""Changes of a ledger as facts of the journal, and back. Pure.

It adds what only the journal is told (who, when, why in words) and drops it again; it decides nothing.
"""

from isthmus.errors import InvariantError
from isthmus.lenses.queue.changes import WHYS, Change, Slice, Why
from isthmus.log import facts

QueueFact = facts.Leased | facts.Released | facts.Settled


def fact_of(
    change: Change,
    *,
    queue: int,
    partition: int,
    time_ms: int,
    who: str = "",
    principal: int = 0,
    reason: str = "",
    until_ms: int | None = None,
) -> QueueFact:
    """The fact to journal.

    Args:
        change: what was decided.
        queue: id.
        partition: id.
        time_ms: wall clock.
        who: the consumer that leased or settled.
        principal: whose session it is.
        reason: of a release, for people.
        until_ms: end of a lease on the wall clock, for people; None without time limit.
    """
    match change.kind:
        case "leased":
            return facts.Leased(
                queue, partition, change.ranges, change.acquired, change.failed, who, principal, time_ms, until_ms
            )
        case "released":
            return facts.Released(
                queue, partition, change.ranges, change.acquired, change.failed, change.due_ms, reason, time_ms
            )
        case "settled":
            return facts.Settled(queue, partition, change.ranges, change.why, who, time_ms)


def change_of(fact: QueueFact) -> Change:
    """The change that a fact is about.

    Raises:
        InvariantError: it settles for a reason that is none.
    """
    if isinstance(fact, facts.Leased):
        return Change("leased", fact.ranges, fact.acquired, fact.failed)
    if isinstance(fact, facts.Released):
        return Change("released", fact.ranges, fact.acquired, fact.failed, fact.due_ms)
    return Change("settled", fact.ranges, why=_why_of(fact.why))


def _why_of(text: str) -> Why:
    for why in WHYS:
        if why == text:
            return why
    raise InvariantError(f"offsets were settled as {text!r}, which is no reason")


def state_of(part: Slice, *, queue: int, partition: int) -> facts.LedgerState:
    """A slice of a ledger for a checkpoint."""
    return facts.LedgerState(queue, partition, part.floor, part.done, part.rows, part.counts, part.ages)


def slice_of(state: facts.LedgerState) -> Slice:
    """The slice that a checkpoint holds."""
    return Slice(state.floor, state.done, state.rows, state.counts, state.ages)
