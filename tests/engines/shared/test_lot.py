"""What a member has of one partition."""

from isthmus.engines.shared.lot import Lot
from isthmus.engines.shared.pieces import Piece
from isthmus.lenses.stream.position import Progress
from isthmus.record import NO_HEADERS, StoredRecord

PLACE = ("orders", 0)
MANY = 1 << 20


def record(offset: int, key: bytes | None = None) -> StoredRecord:
    return StoredRecord(offset, 1, key, b"v" * 10, NO_HEADERS)


def lot(*records: StoredRecord, end: int | None = None, floor: int = 0) -> Lot:
    made = Lot(PLACE, Progress(floor, (), ()))
    made.add(Piece(PLACE, records, records[-1].offset + 1 if end is None else end))
    return made


def offsets(records: list[StoredRecord]) -> list[int]:
    return [each.offset for each in records]


def test_records_of_several_pieces_are_handed_out_as_many_as_asked() -> None:
    some = lot(record(0), record(1))
    some.add(Piece(PLACE, [record(2), record(3)], 4))

    assert offsets(some.take(0, 3, MANY)) == [0, 1, 2]
    assert offsets(some.take(0, 3, MANY)) == [3]
    assert some.take(0, 3, MANY) == []


def test_bytes_are_a_limit_that_lets_one_through() -> None:
    some = lot(record(0), record(1), record(2))

    assert offsets(some.take(0, 9, 1)) == [0]
    assert offsets(some.take(0, 9, 25)) == [1, 2]


def test_a_failed_record_holds_its_key_back_and_comes_again_without_being_fetched() -> None:
    some = lot(record(0, b"a"), record(1, b"b"), record(2, b"a"))
    (first,) = some.take(0, 1, MANY)
    some.fail(first, 100)

    others = some.take(0, 9, MANY)
    some.settle(others)
    due = some.take(100, 9, MANY)
    some.settle(due)

    assert (offsets(others), offsets(due)) == ([1], [0])
    assert offsets(some.take(100, 9, MANY)) == [2]


def test_gaps_are_passed_over_and_the_floor_moves() -> None:
    some = lot(record(3), record(7), end=10)

    some.settle(some.take(0, 9, MANY))

    assert some.position.progress() == Progress(10, (), ())
    assert some.changes > some.stated
