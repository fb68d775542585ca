"""One partition of a queue: its ledger, the pieces of the log at hand, and the choice of what goes out next.

It turns what the ledger shows into records, and what reading tells into admissions. It journals nothing and waits only
for the disk.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from isthmus.clock import Clock
from isthmus.definition import QueueConfig
from isthmus.errors import InvalidBatch, UnsupportedCompression
from isthmus.lenses.queue.admission import Look, Seen
from isthmus.lenses.queue.changes import Range
from isthmus.lenses.queue.ledger import Ledger
from isthmus.lenses.queue.pages import ATTRIBUTES, Pages, Piece, size_of
from isthmus.lenses.queue.sizes import Sizes
from isthmus.log.headers import header_value
from isthmus.log.partition import Partition
from isthmus.ranges import RangeSet
from isthmus.record import StoredRecord

DUE: Final = "isthmus-due"
EXPIRE: Final = "isthmus-expire"
"""Headers that say when a record may go out and when no more: milliseconds since 1970 UTC in decimal digits."""

_DIGITS_MAX: Final = 15
"""Digits of a time; what has more is no time."""

SURVEY_READS_MAX: Final = 16
"""Pieces that one survey looks at."""

MEASURE_PIECES_MAX: Final = 64
"""Pieces whose bytes are counted at once."""


class Source(NamedTuple):
    """A partition that a queue takes from, from offset `start` on.

    `own` is False for the shared topic of a view, whose records have no queue attributes. `topic` is its topic's name,
    for what is told to people.
    """

    partition: Partition
    start: int
    own: bool = True
    topic: str = ""


class Picked:
    """What was taken of one partition: groups to lease, records in order, and what is to be settled instead."""

    __slots__ = ("begun", "cold", "count", "expired", "gaps", "groups", "rows", "size")

    def __init__(self, *, begun: bool = False) -> None:
        self.begun = begun
        self.groups: dict[tuple[int, int], list[Range]] = {}
        self.rows: list[tuple[list[StoredRecord], int, int]] = []
        self.gaps: list[Range] = []
        self.expired: list[Range] = []
        self.count = 0
        self.size = 0
        self.cold: int | None = None

    def __bool__(self) -> bool:
        return bool(self.groups or self.gaps or self.expired)

    def add(self, records: list[StoredRecord], ranges: Sequence[Range], acquired: int, failed: int) -> None:
        """Records that go out."""
        self.groups.setdefault((acquired, failed), []).extend(ranges)
        self.rows.append((records, acquired, failed))
        self.count += len(records)
        self.begun = True


class Part:
    """See the module text."""

    __slots__ = ("_clock", "ledger", "pages", "sizes", "source", "surveyed")

    def __init__(self, source: Source, config: QueueConfig, clock: Clock) -> None:
        self.source = source
        self.ledger = Ledger(source.start, config)
        self.pages = Pages(source.partition)
        self.surveyed = True
        self.sizes: Sizes | None = None
        self._clock = clock

    @property
    def id(self) -> int:
        """The id of the partition."""
        return self.source.partition.id

    def grow(self) -> None:
        """The partition has more records, or fewer."""
        end = self.source.partition.high_watermark
        if end > self.ledger.end:
            self.surveyed = False
        self.ledger.grow(end, self._clock.now_ms())
        if self.ledger.config.max_bytes is not None:
            self._measure()

    def go_live(self) -> None:
        """Replay is over: decisions may be asked for."""
        if not self.ledger.live:
            self.ledger.recover(self.source.partition.high_watermark, self._clock.now_ms())
            self.surveyed = self.ledger.floor == self.ledger.end
            if self.ledger.config.max_bytes is not None:
                self._measure()

    # ---- choosing -------------------------------------------------------------------------------------------------

    def pick(
        self, count: int, size_bytes: int, *, fresh: bool, begun: bool = False, run_of_key: bool = False
    ) -> Picked:
        """Take up to `count` records and `size_bytes` in order of offsets, as far as they are at hand.

        `begun` says that there is something already; else one record goes out however large it is. `cold` of the
        result is the offset for which the disk must be asked before there is more.

        Raises:
            InvalidBatch, UnsupportedCompression: a batch cannot be decoded here; nothing was taken.
            OffsetOutOfRange: the next record was trimmed; nothing was taken.
        """
        picked = Picked(begun=begun)
        ledger = self.ledger
        try:
            while picked.count < count and (look := ledger.look(count - picked.count, fresh=fresh)) is not None:
                piece = self.pages.find(look.start)
                if piece is None:
                    picked.cold = look.start
                    break
                if look.unread:
                    picked.gaps += self._admit(look, piece)
                elif run_of_key:
                    self._take_run(look, count, size_bytes, picked)
                    break
                elif not self._take(look, piece, size_bytes, picked):
                    break
        except BaseException:
            self.put_back(picked)
            raise
        return picked

    def put_back(self, picked: Picked) -> None:
        """Nothing was journalled of it: it is as before."""
        ranges = [piece for ranges in picked.groups.values() for piece in ranges]
        for start, end in (*ranges, *picked.gaps, *picked.expired):
            self.ledger.admission.back(start, end)

    def survey(self, *, fresh: bool) -> list[Range]:
        """Admit what memory has without taking anything, so that delays and ends of life are known.

        Returns ranges without records. `surveyed` says that there is no more to be had before the partition grows.
        """
        gaps: list[Range] = []
        self.surveyed = True
        for _ in range(SURVEY_READS_MAX):
            look = self.ledger.unread(fresh=fresh)
            piece = self.pages.find(look.start) if look is not None else None
            if look is None or piece is None:
                return gaps
            gaps += self._admit(look, piece)
        self.surveyed = False
        return gaps

    def _admit(self, look: Look, piece: Piece) -> list[Range]:
        """Read what the ledger asks to read; returns the ranges in which no record is."""
        end = min(look.end, piece.end)
        plain = not piece.flags or (not self.source.own and piece.flags == ATTRIBUTES)
        if plain and piece.size and not self.ledger.config.ordered:
            return self.ledger.admit(look.start, end, None)
        attributes = self.source.own and bool(piece.flags & ATTRIBUTES)
        seen = [_seen(record, attributes=attributes) for record in piece.records(look.start, end)]
        return self.ledger.admit(look.start, end, seen)

    def _take(self, look: Look, piece: Piece, size_bytes: int, picked: Picked) -> bool:
        """Take what the ledger shows, as far as the piece goes; False when there is no room for the next record."""
        end = min(look.end, piece.end)
        records = piece.records(look.start, end)
        whole = look.start == piece.base and end == piece.end
        size = piece.size if whole else sum(map(size_of, records))
        fitting = records if size <= size_bytes - picked.size else _fitting(records, size_bytes - picked.size, picked)
        if len(fitting) < len(records):
            size = sum(map(size_of, fitting))
            end = records[len(fitting)].offset
            if look.start == end:
                return False
        picked.size += size
        self.ledger.admission.take(look.start, end)
        if len(fitting) == end - look.start and not piece.flags:
            picked.add(fitting, [(look.start, end)], look.acquired, look.failed)
        else:
            self._sort(look, end, fitting, picked)
        if end == piece.end and not self.ledger.config.ordered:
            self.pages.forget(end)
        return len(fitting) == len(records)

    def _sort(self, look: Look, end: int, records: list[StoredRecord], picked: Picked) -> None:
        """Of a range that was taken: what goes out, what has expired, what is not there."""
        now_ms = self._clock.now_ms()
        going = [record for record in records if not self.source.own or not _is_over(record, now_ms)]
        out = RangeSet((record.offset, record.offset + 1) for record in going)
        there = RangeSet((record.offset, record.offset + 1) for record in records)
        picked.gaps += there.gaps(look.start, end)
        expired = [piece for start, stop in there for piece in out.gaps(start, stop)]
        if self.ledger.buries:
            for piece in expired:
                self.ledger.overdue(*piece, now_ms)
        else:
            picked.expired += expired
        if going:
            picked.add(going, tuple(out), look.acquired, look.failed)

    def _take_run(self, look: Look, count: int, size_bytes: int, picked: Picked) -> None:
        """Take the first waiting records of one key, as far as they are at hand."""
        for held in self.ledger.run(look.start, count):
            piece = self.pages.find(held.start)
            if piece is None:
                picked.cold = held.start
                return
            records = piece.records(held.start, held.end)
            size = sum(map(size_of, records))
            if picked.begun and picked.size + size > size_bytes:
                return
            picked.size += size
            if held.start == look.start:
                self.ledger.admission.take(held.start, held.end)
            else:
                self.ledger.admission.take_behind(held.start)
            self._sort(Look(held.start, held.end, False, held.acquired, held.failed), held.end, records, picked)

    # ---- measuring ------------------------------------------------------------------------------------------------

    def _measure(self) -> bool:
        """Count the bytes of what came, as far as memory has it and time allows; whether that was all."""
        sizes = self.sizes
        if sizes is None:
            sizes = self.sizes = Sizes(self.ledger.floor)
        sizes.forget(self.ledger.floor)
        end = self.ledger.end
        for _ in range(MEASURE_PIECES_MAX):
            at = max(sizes.end, self.source.partition.log_start)
            if at >= end:
                return True
            piece = self.pages.find(at)
            if piece is None:
                return False
            sizes.add(min(piece.end, end), _value_bytes(piece, at, end))
        return sizes.end >= end

    async def measure(self) -> None:
        """Count the bytes of all that is there.

        Raises:
            OffsetOutOfRange, Damaged: it cannot be read.
        """
        while not self._measure():
            await self.pages.load(max(self.sizes.end if self.sizes else 0, self.source.partition.log_start))

    # ---- reading --------------------------------------------------------------------------------------------------

    async def record(self, offset: int) -> StoredRecord | None:
        """The record at an offset, None when there is none.

        Raises:
            OffsetOutOfRange, InvalidBatch, UnsupportedCompression, Damaged: it cannot be read.
        """
        piece = await self.pages.load(offset)
        found = piece.records(offset, offset + 1)
        return found[0] if found else None

    async def unsettled(self, count: int) -> AsyncIterator[StoredRecord]:
        """The first `count` records that are not settled, in order of offsets. Raises as `record`."""
        offset = self.ledger.floor
        while count > 0 and offset < self.ledger.end:
            pieces = self.ledger.unsettled(offset, self.ledger.end)
            if not pieces:
                return
            start, end, _ = pieces[0]
            start = max(start, self.source.partition.log_start)
            if start >= end:
                offset = end
                continue
            piece = await self.pages.load(start)
            offset = min(end, piece.end)
            for record in piece.records(start, offset)[:count]:
                count -= 1
                yield record

    def describe(self, record: StoredRecord) -> tuple[str, int, int, int | None]:
        """Of an unsettled record: its state, how often it was handed out and failed, and when it is due."""
        ledger, offset = self.ledger, record.offset
        held = ledger.row(offset)
        due_ms = ledger.due_ms(offset, held)
        if due_ms is None and held is None and self.source.own and offset >= ledger.admission.fresh:
            seen_ms = _seen(record, attributes=True).due_ms
            due_ms = seen_ms if seen_ms > self._clock.now_ms() else None
        return ledger.state(offset, due_ms), held.acquired if held else 0, held.failed if held else 0, due_ms


def _value_bytes(piece: Piece, start: int, end: int) -> int:
    """Bytes of the values in a part of a piece; of one that cannot be decoded here those that it has stored."""
    try:
        return sum([len(record.value or b"") for record in piece.records(start, end)])
    except (InvalidBatch, UnsupportedCompression):
        return piece.size


def _seen(record: StoredRecord, *, attributes: bool) -> Seen:
    """What the ledger wants to know of a record."""
    if attributes and b"isthmus-" in record.headers:
        return Seen(record.offset, _time(record.headers, DUE), _time(record.headers, EXPIRE), record.key)
    return Seen(record.offset, 0, 0, record.key)


def _is_over(record: StoredRecord, now_ms: int) -> bool:
    return 0 < _time(record.headers, EXPIRE) <= now_ms


def _time(block: bytes, name: str) -> int:
    """A time in a header, 0 when there is none. Headers come from outside: what is no time is not one."""
    try:
        value = header_value(block, name)
    except InvalidBatch:
        return 0
    return int(value) if value is not None and len(value) <= _DIGITS_MAX and value.isdigit() else 0


def _fitting(records: list[StoredRecord], room: int, picked: Picked) -> list[StoredRecord]:
    """The first records that together have room, at least one if nothing is picked yet."""
    for at, record in enumerate(records):
        room -= size_of(record)
        if room < 0:
            return records[: at if picked.begun else max(at, 1)]
    return records
