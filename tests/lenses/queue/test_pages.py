"""What a queue has at hand of a partition."""

from collections.abc import AsyncIterator

import pytest

from isthmus.errors import InvalidBatch, OffsetOutOfRange
from isthmus.lenses.queue.pages import Pages, Piece
from isthmus.limits import QUEUE_PAGE_BYTES, QUEUE_PAGES_MAX
from isthmus.log import batch as batches
from isthmus.record import Record
from support.queues import QueueWorld


@pytest.fixture
async def world() -> AsyncIterator[QueueWorld]:
    async with QueueWorld() as made:
        yield made


def values(piece: Piece, start: int, end: int) -> list[bytes | None]:
    return [record.value for record in piece.records(start, end)]


async def test_an_offset_leads_to_the_batch_that_holds_it(world: QueueWorld) -> None:
    await world.publish("0", "1", "2")
    await world.publish("3")
    await world.publish("4", "5")
    pages = Pages(world.partition())

    found = [pages.find(offset) for offset in range(6)]

    assert [(piece.base, piece.end) for piece in found if piece is not None] == [(0, 3)] * 3 + [(3, 4)] + [(4, 6)] * 2
    middle = found[1]
    assert middle is not None
    assert values(middle, 1, 3) == [b"1", b"2"]


async def test_a_batch_is_decoded_once(world: QueueWorld) -> None:
    await world.publish("0", "1")
    pages = Pages(world.partition())

    first, again = pages.find(0), pages.find(1)

    assert first is again
    assert first is not None
    assert first.records(0, 1)[0] is first.records(0, 2)[0]


async def test_offsets_without_records_are_a_piece_of_their_own() -> None:
    sparse = batches.decode(batches.encode([Record(b"a"), Record(b"b"), Record(b"c")], now_ms=1))
    data = batches.rebuild(batches.encode([Record(b"x")] * 3, now_ms=1), [sparse[0], sparse[2]])

    piece = Piece(0, 3, 0, data)

    assert values(piece, 0, 3) == [b"a", b"c"]
    assert values(piece, 1, 2) == []
    assert values(piece, 1, 3) == [b"c"]
    assert Piece(3, 9).records(3, 9) == []


async def test_bytes_that_are_no_batch_are_an_error() -> None:
    with pytest.raises(InvalidBatch):
        Piece(0, 1, 0, b"x" * 100).records(0, 1)


async def test_what_is_kept_is_bounded(world: QueueWorld) -> None:
    for _ in range(QUEUE_PAGES_MAX + 8):
        await world.publish("x" * QUEUE_PAGE_BYTES)
    pages = Pages(world.partition())

    for offset in range(QUEUE_PAGES_MAX + 8):
        pages.find(offset)

    assert len(pages._pages) == QUEUE_PAGES_MAX


async def test_what_was_handed_out_is_forgotten(world: QueueWorld) -> None:
    await world.publish("0", "1")
    pages = Pages(world.partition())
    pages.find(0)

    pages.forget(1)
    assert len(pages._pages) == 1
    pages.forget(2)

    assert pages._pages == []


async def test_what_was_trimmed_is_out_of_range(world: QueueWorld) -> None:
    await world.fill(4)
    await world.trim(2)

    with pytest.raises(OffsetOutOfRange):
        Pages(world.partition()).find(1)
    with pytest.raises(OffsetOutOfRange):
        await Pages(world.partition()).load(1)


async def test_loading_finds_what_memory_has(world: QueueWorld) -> None:
    await world.publish("0", "1")

    piece = await Pages(world.partition()).load(1)

    assert (piece.base, piece.end) == (0, 2)
