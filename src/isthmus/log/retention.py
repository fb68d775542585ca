"""What is dead and may go: where log starts move to, which segments nobody needs, and their removal.

It decides from offsets, sizes and the broker's append times, never from producers' timestamps; when to look, and who
counts as a reader, is the broker's to say. A segment goes in this order: its records are below the log starts; both
checkpoints cover it; a fact says so durably; its files are unlinked.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from isthmus.definition import TopicConfig
from isthmus.errors import InvariantError
from isthmus.limits import CLOCK_JUMP_MS, CLOCK_STEADY_MS, SEAL_DEAD_BYTES_MIN
from isthmus.log import commit, facts
from isthmus.log.journal import Journal
from isthmus.log.partition import Partition, StoredBatch
from isthmus.log.segment import Segment

# ---- where a log start moves to -----------------------------------------------------------------------------------


class Decision(NamedTuple):
    """The new log start, and the rule that asked for it: age, size, consumed or ceiling."""

    log_start: int
    reason: str


class Extent(NamedTuple):
    """What a partition holds: from its log start to its high watermark, in about so many bytes."""

    log_start: int
    high_watermark: int
    size_bytes: int


def decide(
    config: TopicConfig, extent: Extent, batches: Iterable[StoredBatch], consumed_to: int | None, now_ms: int
) -> Decision | None:
    """Where the log start of a partition belongs; None where it is. Pure.

    Age and size remove whole batches, consumption up to an exact offset. What is younger than the floor stays,
    whatever the other rules say; what is older than the ceiling goes, consumed or not.

    Args:
        config: of the topic.
        extent: of the partition.
        batches: from the log start on, in order; only as many are taken as are needed.
        consumed_to: below it every declared reader is done; None while nobody has declared to read.
        now_ms: by the clock of the append times; the caller does not ask while that clock jumps.
    """
    consumed = consumed_to if config.consumed and consumed_to is not None else extent.log_start
    best = Decision(extent.log_start, "")
    end, limit, left = extent.log_start, extent.high_watermark, extent.size_bytes
    for batch in batches:
        age_ms = now_ms - batch.append_ms
        if config.floor_ms is not None and age_ms < config.floor_ms:
            limit = end
            break
        reason = _reason(config, age_ms, left)
        if not reason and (config.floor_ms is None or end >= consumed):
            break
        end, left = batch.end_offset, left - batch.size_bytes
        if reason:
            best = Decision(end, reason)
    if consumed > best.log_start:
        best = Decision(consumed, "consumed")
    best = Decision(min(best.log_start, limit), best.reason)
    return best if best.log_start > extent.log_start else None


def _reason(config: TopicConfig, age_ms: int, left_bytes: int) -> str:
    """Why a batch goes that is older than the floor; "" when it stays unless it is consumed."""
    if config.age_ms is not None and age_ms >= config.age_ms:
        return "age"
    if config.size_bytes is not None and left_bytes > config.size_bytes:
        return "size"
    return "ceiling" if config.ceiling_ms is not None and age_ms >= config.ceiling_ms else ""


async def new_log_start(
    partition: Partition, config: TopicConfig, *, now_ms: int, consumed_to: int | None
) -> Decision | None:
    """`decide` for a partition as it is; the sidecars that it needs are read off the loop."""
    if not _has_rules(config):
        return None
    extent = Extent(partition.log_start, partition.high_watermark, partition.bytes)
    return await partition.over_stored(lambda batches: decide(config, extent, batches, consumed_to, now_ms))


def _has_rules(config: TopicConfig) -> bool:
    return config.consumed or any(rule is not None for rule in (config.age_ms, config.size_bytes, config.ceiling_ms))


class ClockWatch:
    """Whether the wall clock can be believed: ages are not while it has moved against the monotonic one lately.

    A clock that is set wrongly must not delete what it makes look old.
    """

    def __init__(self, now_ms: int, monotonic_ms: int) -> None:
        self._difference_ms = now_ms - monotonic_ms
        self._steady_from_ms: int | None = None

    def is_steady(self, now_ms: int, monotonic_ms: int) -> bool:
        """Look at both clocks; False for ten minutes after the wall clock jumped by more than an hour."""
        difference_ms = now_ms - monotonic_ms
        if abs(difference_ms - self._difference_ms) > CLOCK_JUMP_MS:
            self._steady_from_ms = monotonic_ms + CLOCK_STEADY_MS
        self._difference_ms = difference_ms
        if self._steady_from_ms is not None and monotonic_ms >= self._steady_from_ms:
            self._steady_from_ms = None
        return self._steady_from_ms is None


# ---- which segments go --------------------------------------------------------------------------------------------


def dead_segments(journal: Journal) -> list[Segment]:
    """Sealed segments of which no record can be read any more.

    It may read sidecars: run it by `Journal.run`. A segment costs one look as long as the same partition holds it.
    """
    return [segment for segment in journal.segments[:-1] if not _is_held(journal, segment)]


def removable(journal: Journal) -> list[Segment]:
    """Dead segments that both checkpoints cover, so that opening needs them no more, whichever of the two it uses."""
    covered = journal.covered_lsn
    return [segment for segment in dead_segments(journal) if segment.end_lsn <= covered and not segment.busy]


def active_is_dead(journal: Journal) -> bool:
    """Whether the active segment is wholly dead and holds enough to be worth the file that takes its place."""
    return journal.segments[-1].size_bytes >= SEAL_DEAD_BYTES_MIN and _is_dead(journal)


def _is_dead(journal: Journal) -> bool:
    """Whether the active segment holds records, and none that can be read any more."""
    active = journal.segments[-1]
    return bool(active.partitions()) and not _is_held(journal, active)


async def seal_dead_active(journal: Journal) -> bool:
    """Seal the active segment if it is wholly dead, however small; whether it was.

    Raises:
        StorageError, StorageFull, Overloaded: it was not sealed.
    """
    if not _is_dead(journal):
        return False
    await journal.seal_active()
    return True


def _is_held(journal: Journal, segment: Segment) -> bool:
    """Whether a partition holds the segment; the one that did the last time is asked first.

    What is dead stays dead: log starts only rise, and ids are never used again.
    """
    if segment.dead:
        return False
    if segment.blocker is not None and _holds(journal, segment, segment.blocker):
        return True
    segment.blocker = next((each for each in segment.partitions() if _holds(journal, segment, each)), None)
    segment.dead = segment.sealed and segment.blocker is None
    return segment.blocker is not None


def _holds(journal: Journal, segment: Segment, partition_id: int) -> bool:
    partition = journal.partitions.get(partition_id)
    bounds = segment.bounds(partition_id) if partition is not None else None
    return partition is not None and bounds is not None and bounds[1] > partition.log_start


async def remove(journal: Journal, segments: Sequence[Segment]) -> int:
    """Remove segments that are `removable`; done when their files are gone. What a crash interrupts, opening finishes.

    Returns:
        Bytes of journal that are gone.

    Raises:
        InvariantError: a segment that is needed.
        StorageError, Overloaded: the fact that they go could not be written; nothing was removed.
        OSError: a file could not be unlinked; it goes at the next opening.
    """
    if not segments:
        return 0
    may_go = await journal.run(lambda: removable(journal))
    needed = [segment.name for segment in segments if segment not in may_go]
    if needed:
        raise InvariantError(f"{', '.join(needed)} were to be removed and are needed")
    unit = journal.unit()
    unit.fact(facts.SegmentsRemoved(tuple((segment.first_lsn, segment.end_lsn) for segment in segments)))
    await unit.submit()
    gone = set(segments)
    journal.segments = [segment for segment in journal.segments if segment not in gone]
    journal.cache.drop_below(journal.segments[0].first_lsn)
    await journal.run(lambda: _unlink(journal, segments))
    return sum(segment.size_bytes for segment in segments)


def _unlink(journal: Journal, segments: Sequence[Segment]) -> None:
    for segment in segments:
        segment.unlink()
    journal.storage.sync_folder(commit.JOURNAL)
