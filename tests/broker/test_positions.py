"""Commits of several partitions in one unit, and positions that are dropped."""

import pytest

from isthmus.broker import positions
from isthmus.broker.positions import Author, Mark
from isthmus.errors import InvalidArgument, OffsetOutOfRange, UnknownMember
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.limits import COMMIT_METADATA_BYTES_MAX
from support.brokers import World, world


async def group_of(w: World) -> ConsumerGroup:
    """A group on a topic of two partitions with three records in each."""
    topic = await w.topic(partitions=2)
    for partition in topic.partitions:
        await w.publish(*"abc", partition=partition.index)
    return await w.broker.group(w.session, "default", "billing")


async def commit(w: World, group: ConsumerGroup, floors: dict[int, int], author: Author = positions.NOBODY) -> None:
    marks = [Mark(w.find().partitions[index], floor, "note", 7) for index, floor in floors.items()]
    rows = [positions.fact_of(group, mark, author, w.clock.now_ms()) for mark in marks]
    await positions.commit(w.broker, w.session, group, rows, author)


async def test_all_partitions_are_set_at_once_with_what_was_said() -> None:
    async with world() as w:
        group = await group_of(w)

        await commit(w, group, {0: 1, 1: 3})
        await w.reopen()

        known = w.broker.catalog.group("default", "billing").positions.values()
        assert [(row.floor, row.done, row.metadata, row.leader_epoch) for row in known] == [
            (1, (), "note", 7),
            (3, (), "note", 7),
        ]


async def test_nobody_commits_beside_members_and_nothing_is_set() -> None:
    async with world() as w:
        group = await group_of(w)
        await w.join()

        with pytest.raises(UnknownMember):
            await commit(w, group, {0: 1, 1: 3})

        assert [row.floor for row in group.positions.values()] == [0, 0]


async def test_a_member_commits_in_its_generation() -> None:
    async with world() as w:
        group = await group_of(w)
        member = await w.join()
        name = group.members.describe().members[0].member

        await commit(w, group, {0: 2}, Author(name, member.generation))

        assert w.progress() == (2, (), ())


async def test_what_cannot_be_a_position_is_refused() -> None:
    async with world() as w:
        group = await group_of(w)
        place, now_ms = w.find().partitions[0], w.clock.now_ms()

        with pytest.raises(OffsetOutOfRange):
            positions.fact_of(group, Mark(place, 4), positions.NOBODY, now_ms)
        with pytest.raises(InvalidArgument):
            positions.fact_of(group, Mark(place, 1, "x" * (COMMIT_METADATA_BYTES_MAX + 1)), positions.NOBODY, now_ms)


async def test_a_dropped_position_is_gone_after_a_restart_too() -> None:
    async with world() as w:
        group = await group_of(w)
        await commit(w, group, {0: 1, 1: 3})

        await positions.forget(w.broker, w.session, group, [w.find().partitions[0]])
        await w.reopen()

        assert w.progress() is None
        assert w.progress(partition=1) == (3, (), ())
