"""How full a queue is, and what is too many: counted by events and by bytes, without what is handed out or delayed."""

import asyncio

import pytest

from isthmus.definition import QueueConfig
from isthmus.errors import QueueFull
from isthmus.lenses.queue.queue import Queue
from support.queues import QueueWorld, offsets, record

DROP = QueueConfig(max_events=3, overflow="drop")
DROP_BYTES = QueueConfig(max_bytes=300, overflow="drop")


def is_full(queue: Queue, count: int = 1, size_bytes: int = 0) -> bool:
    try:
        queue.check_room(count, size_bytes)
    except QueueFull:
        return True
    return False


class TestRefusing:
    async def test_a_queue_is_full_when_what_comes_makes_it_more_than_it_may_hold(self) -> None:
        async with QueueWorld(QueueConfig(max_events=3)) as world:
            await world.fill(2)

            assert (is_full(world.queue, 1), is_full(world.queue, 2)) == (False, True)
            with pytest.raises(QueueFull, match="3 events"):
                world.queue.check_room(2, 0)

    async def test_bytes_are_those_of_the_values(self) -> None:
        async with QueueWorld(QueueConfig(max_bytes=300)) as world:
            await world.publish(record(b"x" * 100, key=b"k" * 500), record(b"x" * 150))

            assert (is_full(world.queue, 1, 50), is_full(world.queue, 1, 51)) == (False, True)

    async def test_what_is_handed_out_does_not_count_until_it_comes_back(self) -> None:
        async with QueueWorld(QueueConfig(max_events=2, max_bytes=200)) as world:
            await world.publish("x" * 100, "y" * 100)
            found = await world.lease(1)

            free = not is_full(world.queue, 1, 100)
            await world.release(found)

            assert free
            assert is_full(world.queue, 1, 0)

    async def test_a_hand_over_counts_from_when_it_is_decided(self) -> None:
        async with QueueWorld(QueueConfig(max_events=1)) as world:
            await world.fill(1)
            taking = asyncio.create_task(world.lease(1))
            await taking

            assert not is_full(world.queue)

    async def test_what_is_delayed_does_not_count(self) -> None:
        async with QueueWorld(QueueConfig(max_events=1, max_bytes=10)) as world:
            await world.publish(record("x" * 99, due_ms=world.clock.now_ms() + 1_000))
            await world.expire()

            assert not is_full(world.queue, 1, 10)

    async def test_what_is_on_its_way_counts(self) -> None:
        async with QueueWorld(QueueConfig(max_bytes=10)) as world:
            unit = world.journal.unit()
            world.queue.lands(8, unit.pending)

            before = is_full(world.queue, 1, 3)
            unit.pending.settle([])

            assert (before, is_full(world.queue, 1, 3)) == (True, False)

    async def test_after_an_opening_the_bytes_of_what_is_there_are_counted_again(self) -> None:
        async with QueueWorld(QueueConfig(max_bytes=300)) as world:
            await world.publish("x" * 200)
            await world.crash()
            await world.expire()

            assert (is_full(world.queue, 1, 100), is_full(world.queue, 1, 101)) == (False, True)


class TestDropping:
    async def test_what_is_too_many_goes_from_the_head(self) -> None:
        async with QueueWorld(DROP) as world:
            await world.fill(5)

            await world.expire()

            assert (world.queue.counts().dropped, world.queue.counts().ready) == (2, 3)
            assert offsets(await world.lease()) == [2, 3, 4]

    async def test_before_it_is_gone_it_is_not_counted_as_ready(self) -> None:
        async with QueueWorld(DROP) as world:
            await world.fill(5)

            counts = world.queue.counts()

            assert (counts.enqueued, counts.ready, counts.dropped) == (5, 3, 2)

    async def test_what_is_handed_out_stays(self) -> None:
        async with QueueWorld(DROP) as world:
            await world.fill(2)
            held = await world.lease(2)
            await world.fill(4)

            await world.expire()
            await world.ack(held)

            assert offsets(await world.lease()) == [3, 4, 5]

    async def test_what_comes_back_counts_again_and_is_at_the_head(self) -> None:
        async with QueueWorld(DROP) as world:
            await world.fill(2)
            held = await world.lease(2)
            await world.fill(3)
            await world.release(held)

            await world.expire()

            assert offsets(await world.lease()) == [2, 3, 4]

    async def test_by_bytes_as_few_go_as_must(self) -> None:
        async with QueueWorld(DROP_BYTES) as world:
            await world.publish("a" * 90, "b" * 20, "c" * 200, "d" * 90)

            await world.expire()

            assert offsets(await world.lease()) == [2, 3]
            assert world.queue.counts().dropped == 2

    async def test_a_record_that_is_too_large_for_the_whole_queue_goes_too(self) -> None:
        async with QueueWorld(DROP_BYTES) as world:
            await world.publish("a" * 301)

            await world.expire()

            assert (world.queue.counts().ready, world.queue.counts().dropped) == (0, 1)

    async def test_very_many_are_dropped_in_several_rounds(self) -> None:
        async with QueueWorld(QueueConfig(max_bytes=0, overflow="drop")) as world:
            await world.publish(*["x"] * 2_500)

            rounds = 0
            while world.queue.counts().ready:
                await world.expire()
                rounds += 1

            assert (world.queue.counts().dropped, rounds) == (2_500, 3)

    async def test_where_letters_are_wanted_they_are_returned(self) -> None:
        async with QueueWorld(QueueConfig(max_events=1, overflow="drop", dead="dead")) as world:
            await world.fill(3)

            dead = await world.expire()

            assert [(one.record.offset, one.why) for one in dead] == [(0, "dropped"), (1, "dropped")]

    async def test_of_several_partitions_the_fullest_gives_first(self) -> None:
        async with QueueWorld(QueueConfig(max_events=4, overflow="drop"), partitions=2) as world:
            await world.fill(1, index=0)
            await world.fill(5, index=1)

            await world.expire()

            assert len(await world.lease()) == 4
            assert world.queue.counts().dropped == 2
