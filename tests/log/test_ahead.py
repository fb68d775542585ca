"""What is read before it is asked for: kept within its bounds, given out once, and never instead of what is stored."""

import asyncio
from collections.abc import Awaitable, Callable

from isthmus.errors import Damaged
from isthmus.limits import AHEAD_BYTES_MAX, AHEAD_PLACES_MAX, AHEAD_READ_BYTES_MAX
from isthmus.log.ahead import Ahead
from isthmus.log.partition import BatchAt

MUCH = 1 << 30


def batch(offset: int, size: int = 10) -> BatchAt:
    return BatchAt(offset, offset + 1, 0, bytes(size))


def giving(*found: BatchAt) -> Callable[[int], Awaitable[list[BatchAt]]]:
    async def read(_: int) -> list[BatchAt]:
        await asyncio.sleep(0)
        return list(found)

    return read


async def test_what_was_read_for_a_place_is_given_out_there_and_once() -> None:
    ahead = Ahead()
    ahead.fetch((1, 5), MUCH, giving(batch(5), batch(6)))

    early = ahead.take((1, 5), MUCH)
    was_expected = await ahead.arrive((1, 5))
    elsewhere = [ahead.take((1, 6), MUCH), ahead.take((2, 5), MUCH)]
    found = ahead.take((1, 5), MUCH)

    assert (early, was_expected, elsewhere) == (None, True, [None, None])
    assert found == [batch(5), batch(6)]
    assert (ahead.take((1, 5), MUCH), ahead.size_bytes) == (None, 0)


async def test_no_more_is_given_than_was_asked_for_but_one_batch_is() -> None:
    ahead, given = Ahead(), []

    for limit in (1, 10, 19, 20, 30):
        ahead.fetch((1, 0), MUCH, giving(batch(0), batch(1), batch(2)))
        await ahead.arrive((1, 0))
        given.append(len(ahead.take((1, 0), limit) or ()))

    assert given == [1, 1, 1, 2, 3]


async def test_who_was_seen_before_is_expected_and_a_stranger_is_not() -> None:
    ahead = Ahead()
    ahead.expect((1, 7))

    assert [await ahead.arrive((1, 7)), await ahead.arrive((1, 7)), await ahead.arrive((1, 8))] == [True, False, False]


async def test_a_read_that_fails_leaves_it_to_who_comes() -> None:
    async def failing(_: int) -> list[BatchAt]:
        raise Damaged("data", ["a byte"])

    ahead = Ahead()
    ahead.fetch((1, 0), MUCH, failing)

    assert await ahead.arrive((1, 0))
    assert (ahead.take((1, 0), MUCH), ahead.size_bytes) == (None, 0)


async def test_what_is_kept_and_on_its_way_is_bounded_in_bytes() -> None:
    ahead, asked = Ahead(), []

    async def read(size: int) -> list[BatchAt]:
        asked.append(size)
        return [batch(0, size)]

    for number in range(100):
        ahead.fetch((number, 0), MUCH, read)
        assert ahead.size_bytes <= AHEAD_BYTES_MAX
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert asked == [AHEAD_READ_BYTES_MAX] * (AHEAD_BYTES_MAX // AHEAD_READ_BYTES_MAX)
    await ahead.finish()
    assert ahead.size_bytes == 0


async def test_a_batch_that_is_larger_than_all_room_is_not_kept() -> None:
    ahead = Ahead()
    ahead.fetch((1, 0), MUCH, giving(batch(0, AHEAD_BYTES_MAX + 1)))

    assert await ahead.arrive((1, 0))
    assert (ahead.take((1, 0), MUCH), ahead.size_bytes) == (None, 0)


async def test_places_that_nobody_came_to_make_room() -> None:
    ahead = Ahead()
    for number in range(8 * AHEAD_PLACES_MAX):
        ahead.fetch((number, 0), MUCH, giving(batch(0, AHEAD_READ_BYTES_MAX)))
        await asyncio.sleep(0)

    last = 8 * AHEAD_PLACES_MAX - 1
    assert [await ahead.arrive((0, 0)), await ahead.arrive((last, 0))] == [False, True]


async def test_what_was_forgotten_while_it_was_read_is_not_given_out() -> None:
    ahead = Ahead()
    ahead.fetch((1, 0), MUCH, giving(batch(0)))

    ahead.forget()
    await ahead.finish()

    assert (ahead.take((1, 0), MUCH), await ahead.arrive((1, 0)), ahead.size_bytes) == (None, False, 0)
