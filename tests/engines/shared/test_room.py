"""A bound on bytes that are on their way."""

import asyncio

from isthmus.engines.shared.room import Room


async def test_who_comes_when_it_is_full_waits_in_order() -> None:
    room, came = Room(10), list[str]()

    async def enter(name: str, size: int) -> None:
        await room.enter(size)
        came.append(name)

    await enter("a", 8)
    waiting = [asyncio.ensure_future(enter(name, size)) for name, size in (("b", 5), ("c", 1))]
    await asyncio.sleep(0)
    before = list(came)
    room.leave(8)
    await asyncio.gather(*waiting)

    assert (before, came) == (["a"], ["a", "b", "c"])


async def test_what_is_larger_than_the_bound_passes_alone() -> None:
    room = Room(10)

    await room.enter(100)
    second = asyncio.ensure_future(room.enter(1))
    await asyncio.sleep(0)
    waits = not second.done()
    room.leave(100)
    await second

    assert waits
