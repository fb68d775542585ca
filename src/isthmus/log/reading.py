"""Reading a partition: from an offset or a time to the batches that hold it, over all segments of a journal.

It finds and verifies; it changes nothing but a partition's hint of where it was. What needs the disk runs off the loop.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from isthmus.errors import Damaged, OffsetOutOfRange
from isthmus.limits import KIB, READ_AHEAD_ENTRIES
from isthmus.log import batch as batches
from isthmus.log import format as form
from isthmus.log.ahead import Ahead
from isthmus.log.index import Row
from isthmus.log.partition import BatchAt, Partition, StoredBatch
from isthmus.log.segment import Segment, row_flags, row_length
from isthmus.log.storage import Storage

T = TypeVar("T")

Stretch = tuple[Segment, list[Row]]
"""Neighbouring batches of a partition in one segment."""

_PAGE_BYTES: Final = 4 * KIB
"""Entries that are asked for ahead: one for each of these that a reader has room for, up to READ_AHEAD_ENTRIES."""

_NEAR: Final = 4
"""Segments from the hint on that are looked at before searching all."""

_GOING_ON_BYTES: Final = 64 * KIB
"""Who asks for less looks at places, and is not read for beforehand."""

_ROWS: Final = 1_024
"""Index rows that are looked at in one step."""


class Store(Protocol):
    """What a reader asks of the journal that it reads."""

    storage: Storage
    segments: list[Segment]
    damage: tuple[str, ...]
    read_only: str | None

    async def run(self, work: Callable[[], T]) -> T:
        """Run something that waits for the disk."""


class Reader:
    """Reads a journal; see the module text."""

    def __init__(self, journal: Store) -> None:
        self._journal = journal
        self._ahead = Ahead()

    def read_now(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt] | None:
        """`Partition.read_now` without the checks."""
        active = self._journal.segments[-1]
        bounds = active.bounds(partition.id)
        if bounds is not None and bounds[0] <= offset < bounds[1]:
            rows = active.rows(partition.id, offset, rows_for(max_bytes))
            if rows[0].base_offset <= offset:
                return self._collect(partition, active, rows, max_bytes, wait=self._journal.storage.inline)
        if self._journal.storage.inline:
            return self._read_from(partition, offset, max_bytes)
        found = self._ahead.take((partition.id, offset), max_bytes)
        if found is not None:
            self._go_on(partition, found[-1].end_offset, max_bytes)
        return found

    async def read(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt]:
        """`Partition.read` for what memory does not have: on a work thread, and beforehand for who goes on."""
        place = (partition.id, offset)
        expected = await self._ahead.arrive(place)
        found = self._ahead.take(place, max_bytes)
        if found is None:
            found = await self._journal.run(lambda: self._read_from(partition, offset, max_bytes))
        if found and expected:
            self._go_on(partition, found[-1].end_offset, max_bytes)
        elif found:
            self._ahead.expect((partition.id, found[-1].end_offset))
        return found

    def _go_on(self, partition: Partition, offset: int, max_bytes: int) -> None:
        """Read from where somebody will be next, unless that is at hand: it is in the newest segment, or not there."""
        bounds = self._journal.segments[-1].bounds(partition.id)
        at_hand = bounds is not None and bounds[0] <= offset
        if offset < partition.high_watermark and not at_hand and max_bytes >= _GOING_ON_BYTES:
            self._ahead.fetch(
                (partition.id, offset),
                max_bytes,
                lambda size: self._journal.run(lambda: self._read_from(partition, offset, size)),
            )

    def forget(self) -> None:
        """What was read beforehand is not what is stored any more."""
        self._ahead.forget()

    async def finish(self) -> None:
        """Wait until nothing is being read beforehand."""
        await self._ahead.finish()

    def _read_from(self, partition: Partition, offset: int, max_bytes: int) -> list[BatchAt]:
        # Taken first: what is below it is in the indexes by now, whatever happens on the loop meanwhile.
        high_watermark = partition.high_watermark
        try:
            plan = self._plan(partition, offset, max_bytes, high_watermark)
            if not plan:
                located = self._locate(partition, offset, 1)
                return self._over_gap(partition, offset, located[1][0].base_offset if located else high_watermark)
            if not self._journal.storage.inline:
                for segment, rows in plan:
                    segment.read_ahead(rows)
            return self._follow(partition, plan, max_bytes)
        except FileNotFoundError:
            # Segments go when all that they hold is below the log start.
            if offset < partition.log_start or self._journal.read_only is not None:
                raise OffsetOutOfRange(offset, partition.log_start, partition.high_watermark) from None
            raise

    def _plan(self, partition: Partition, offset: int, max_bytes: int, high_watermark: int) -> list[Stretch]:
        """What to read for that many bytes, over as many segments as it takes, and what to ask for ahead of it.

        A partition among many has few batches in a segment, so looking ahead in one segment would be too little.
        """
        plan: list[Stretch] = []
        # Who asks for little wants one place, and not what comes after it.
        ahead = min(READ_AHEAD_ENTRIES, max_bytes // _PAGE_BYTES)
        while (max_bytes > 0 or ahead > 0) and offset < high_watermark:
            located = self._locate(partition, offset, rows_for(max_bytes) + ahead)
            if located is None or located[1][0].base_offset > offset:
                break
            plan.append(located)
            rows = located[1]
            for row in rows:
                if max_bytes > 0:
                    max_bytes -= row_length(row)
                else:
                    ahead -= 1
            offset = rows[-1].end_offset
        return plan

    def _follow(self, partition: Partition, plan: Sequence[Stretch], max_bytes: int) -> list[BatchAt]:
        """The batches of a plan up to `max_bytes`, at least one."""
        found: list[BatchAt] = []
        for segment, rows in plan:
            if found and row_length(rows[0]) > max_bytes:
                break
            try:
                read = self._collect(partition, segment, rows, max_bytes, wait=True)
            except (Damaged, FileNotFoundError):
                if found:
                    break  # whoever goes on from here meets it again
                raise
            if not read:
                break
            found += read
            partition.hint_lsn = segment.first_lsn
            max_bytes -= sum(len(batch.data) for batch in read)
            if read[-1].end_offset < rows[-1].end_offset:
                break
        return found

    def _over_gap(self, partition: Partition, offset: int, end_offset: int) -> list[BatchAt]:
        """No record has these offsets: an empty batch that owns them, so that readers get over them.

        Raises:
            Damaged: they were lost, and nobody has accepted that.
            OffsetOutOfRange: they were trimmed while the reader was on its way.
        """
        if offset < partition.log_start:
            raise OffsetOutOfRange(offset, partition.log_start, partition.high_watermark)
        if self._journal.damage:
            lost = f"offsets {offset} to {end_offset - 1} of partition {partition.id}"
            raise Damaged(self._journal.storage.directory, [*self._journal.damage, lost])
        end_offset = min(end_offset, partition.high_watermark, offset + batches.GAP_OFFSETS_MAX)
        if offset >= end_offset:
            return []
        return [BatchAt(offset, end_offset, form.ENTRY_COMPACTED, batches.gap(offset, end_offset))]

    def _locate(self, partition: Partition, offset: int, limit: int) -> Stretch | None:
        """The segment that holds or follows an offset, with its rows from there; None at the end.

        Offsets rise from segment to segment, so halving finds it; a reader that goes on is mostly where it was.
        """
        segments = self._journal.segments
        hint = _segment_at(segments, partition.hint_lsn)
        for at in range(hint, min(hint + _NEAR, len(segments))):
            bounds = segments[at].bounds(partition.id) if segments[at].may_hold(partition.id) else None
            if bounds is not None and bounds[0] <= offset < bounds[1]:
                break
        else:
            at = self._search(segments, partition, offset)
            if at == len(segments):
                return None
        partition.hint_lsn = segments[at].first_lsn
        return segments[at], segments[at].rows(partition.id, offset, limit)

    @staticmethod
    def _search(segments: Sequence[Segment], partition: Partition, offset: int) -> int:
        """Number of the first segment that holds the partition beyond an offset; their count when none does."""
        low, high, found = 0, len(segments), len(segments)
        while low < high:
            middle = (low + high) // 2
            for at in range(middle, high):
                bounds = segments[at].bounds(partition.id) if segments[at].may_hold(partition.id) else None
                if bounds is not None:
                    break
            else:
                high = middle
                continue
            if bounds[1] > offset:
                found, high = at, middle
            else:
                low = at + 1
        return found

    def _collect(
        self, partition: Partition, segment: Segment, rows: Sequence[Row], max_bytes: int, *, wait: bool
    ) -> list[BatchAt] | None:
        """The batches of rows up to `max_bytes`, at least one; what is not at hand ends it, or is waited for."""
        found: list[BatchAt] = []
        high_watermark = partition.high_watermark
        for row in rows:
            if row.base_offset >= high_watermark:
                break
            if found and (row.length > max_bytes or row.base_offset > found[-1].end_offset):
                break
            data = segment.batch_at(partition, row, wait=wait)
            if data is None:
                return found or None
            found.append(BatchAt(row.base_offset, row.end_offset, row_flags(row), data))
            max_bytes -= row.length
        return found

    async def first_after_time(self, partition: Partition, time_ms: int) -> int | None:
        """The base offset of the first batch that can hold a record at or after a time."""
        return await self._journal.run(lambda: self._first_after_time(partition, time_ms))

    def _first_after_time(self, partition: Partition, time_ms: int) -> int | None:
        for segment in tuple(self._journal.segments):
            if segment.may_hold(partition.id):
                row = segment.first_after_time(partition.id, time_ms)
                bounds = segment.bounds(partition.id)
                if row is not None and bounds is not None and bounds[1] > partition.log_start:
                    # The row's time is a running maximum: it may come from what lies below the log start.
                    return max(row.base_offset, partition.log_start)
        return None

    def stored_batches(self, partition: Partition) -> Iterator[StoredBatch]:
        """All batches of a partition from its log start on. It reads sidecars: use it within `run`."""
        offset = partition.log_start
        for segment in tuple(self._journal.segments):
            while segment.may_hold(partition.id) and (rows := segment.rows(partition.id, offset, _ROWS)):
                for row in rows:
                    append_ms = segment.appended_by(segment.first_lsn + row.position)
                    yield StoredBatch(row.end_offset, append_ms, row_length(row))
                offset = rows[-1].end_offset


def _segment_at(segments: Sequence[Segment], lsn: int) -> int:
    """Number of the segment that holds an LSN, or of the first."""
    return max(0, bisect_right(segments, lsn, key=lambda segment: segment.first_lsn) - 1)


def rows_for(max_bytes: int) -> int:
    """How many index rows to look at for that many bytes: a batch is rarely below 256 bytes."""
    return max(1, min(4_096, max_bytes // 256))
