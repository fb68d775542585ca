"""One partition that a member of a group on a foreign broker has: what was fetched, what is handed out, what waits.

`Position` decides what goes out; this file keeps the records for it, because to fetch one again would disturb all that
follows. It commits nothing.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from isthmus.engines.shared.pieces import Piece, Place, fitting, size_of
from isthmus.lenses.stream.position import Position, Progress
from isthmus.record import StoredRecord

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Records that are handed out or held back, per partition; above it nothing new is looked at."""


class Lot:
    """See the module.

    `held` names the delivery of each record that is out; `acquired` counts hand-overs. `changes` counts what happened
    to the position, and `stated` what of that is committed. `leaving` says that somebody else gets it.
    """

    def __init__(self, place: Place, progress: Progress) -> None:
        self.place = place
        self.position = Position(progress)
        self.held: dict[int, object] = {}
        self.acquired: dict[int, int] = {}
        self.changes = 0
        self.stated = 0
        self.leaving = False
        self.pieces: deque[Piece] = deque()
        self._kept: dict[int, StoredRecord] = {}
        self._kept_bytes = 0

    @property
    def waiting_records(self) -> int:
        """Fetched and not looked at yet."""
        return sum(len(piece.records) for piece in self.pieces)

    def add(self, piece: Piece) -> None:
        """Keep what was fetched."""
        if piece.records or piece.end_offset > self.position.scan:
            self.pieces.append(piece)

    def take(self, now_ms: int, count: int, max_bytes: int) -> list[StoredRecord]:
        """Up to `count` records: first what was handed back or failed and is due, then new ones."""
        found = []
        for claim in self.position.claim(now_ms, count):
            record = self._kept.get(claim.offset)
            if record is None:
                self.position.skip(claim.offset)
            else:
                found.append(record)
        left_bytes = max_bytes - size_of(found)
        while len(found) < count and (left_bytes > 0 or not found) and self._may_look():
            fresh = self._take_new(count - len(found), left_bytes)
            left_bytes -= size_of(fresh)
            found += fresh
        return found

    def _may_look(self) -> bool:
        """Whether there are records that nobody has looked at, and room to keep them."""
        return bool(self.pieces) and not self.position.paused and self._kept_bytes < KEPT_BYTES_MAX

    def _take_new(self, count: int, max_bytes: int) -> list[StoredRecord]:
        piece = self.pieces.popleft()
        cut = self.position.cut(
            piece.records, piece.end_offset, min(count, len(fitting(piece.records, max_bytes)) or 1)
        )
        fresh = self.position.take_new(cut.records, cut.end_offset)
        for record in cut.records:
            if record.offset >= self.position.floor and record.offset not in self.position.done:
                self._kept[record.offset] = record
                self._kept_bytes += size_of((record,))
        if cut.rest:
            self.pieces.appendleft(Piece(piece.place, cut.rest, piece.end_offset, piece.at_end))
        return fresh

    def settle(self, records: Sequence[StoredRecord]) -> None:
        """These are done."""
        self.position.settle(records)
        for record in records:
            self._forget(record.offset)
        self.changes += 1

    def fail(self, record: StoredRecord, due_ms: int) -> None:
        """This one comes again at `due_ms`, with a failure counted."""
        self.held.pop(record.offset, None)
        self.position.fail(self._kept[record.offset], due_ms)
        self.changes += 1

    def release(self, record: StoredRecord, due_ms: int = 0) -> None:
        """This one comes again, without a failure."""
        self.held.pop(record.offset, None)
        self.position.release(self._kept[record.offset], due_ms)
        self.changes += 1

    def _forget(self, offset: int) -> None:
        self.held.pop(offset, None)
        self.acquired.pop(offset, None)
        record = self._kept.pop(offset, None)
        if record is not None:
            self._kept_bytes -= size_of((record,))
