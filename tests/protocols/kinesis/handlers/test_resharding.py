"""Shards are cut and joined, with a clock that the test moves."""

from typing import Any

import pytest

from isthmus.protocols.aws.errors import AwsError
from support.kinesis import SHARD, Kinesis, kinesis

HALF = 2**127
HOUR_MS = 3_600_000


def name(index: int) -> str:
    return f"shardId-{index:012}"


async def split(here: Kinesis, index: int = 0, at: int = HALF) -> None:
    await here("SplitShard", StreamName="orders", ShardToSplit=name(index), NewStartingHashKey=str(at))


async def merge(here: Kinesis, one: int, other: int) -> None:
    await here("MergeShards", StreamName="orders", ShardToMerge=name(one), AdjacentShardToMerge=name(other))


def open_shards(shards: list[dict[str, Any]]) -> list[str]:
    return [each["ShardId"] for each in shards if "EndingSequenceNumber" not in each["SequenceNumberRange"]]


async def test_a_closed_shard_keeps_its_records_and_ends_with_its_children() -> None:
    async with kinesis() as here:
        await here.stream()
        await here.put("a")
        await split(here)
        await here.put("b")

        got = await here.get(await here.iterator())

        assert [each["Data"] for each in got["Records"]] == [b"a"]
        assert "NextShardIterator" not in got
        assert [(each["ShardId"], each["ParentShards"]) for each in got["ChildShards"]] == [
            (name(1), [SHARD]),
            (name(2), [SHARD]),
        ]
        assert [*await here.texts(await here.iterator(shard=name(1)))] == ["b"]


async def test_an_iterator_of_before_ends_when_the_shard_is_closed() -> None:
    async with kinesis() as here:
        await here.stream()
        latest = await here.iterator("LATEST")

        await split(here)

        got = await here.get(latest)
        assert (got["Records"], len(got["ChildShards"])) == ([], 2)
        assert "NextShardIterator" not in got


async def test_two_shards_become_one_with_both_as_parents() -> None:
    async with kinesis() as here:
        await here.stream(shards=2)
        await merge(here, 1, 0)

        shards = await here.shards()

        assert open_shards(shards) == [name(2)]
        assert (shards[2]["ParentShardId"], shards[2]["AdjacentParentShardId"]) == (name(1), name(0))
        assert shards[2]["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}


async def test_the_shards_are_there_after_a_crash() -> None:
    async with kinesis() as here:
        await here.stream()
        await here.put("a")
        await split(here)
        before = await here.shards()
        await here.world.crash()

        assert await here.shards() == before
        assert await here.texts(await here.iterator()) == ["a"]
        assert len(here.world.find("orders").partitions) == 3


async def test_filters_tell_parents_from_children() -> None:
    async with kinesis() as here:
        await here.stream()
        made = here.world.clock.now_ms() / 1_000
        await here.world.clock.advance(HOUR_MS)
        await split(here)
        now = here.world.clock.now_ms() / 1_000

        for wanted, expected in (
            ({"Type": "AT_LATEST"}, [1, 2]),
            ({"Type": "AT_TRIM_HORIZON"}, [0]),
            ({"Type": "FROM_TRIM_HORIZON"}, [0, 1, 2]),
            ({"Type": "AT_TIMESTAMP", "Timestamp": made}, [0]),
            ({"Type": "FROM_TIMESTAMP", "Timestamp": now}, [1, 2]),
        ):
            found = [each["ShardId"] for each in await here.shards(ShardFilter=wanted)]
            assert found == [name(index) for index in expected], wanted


async def test_a_closed_shard_disappears_when_its_records_have() -> None:
    async with kinesis() as here:
        await here.stream()
        await split(here)
        await here.world.clock.advance(25 * HOUR_MS)

        assert [each["ShardId"] for each in await here.shards()] == [name(1), name(2)]


async def test_the_number_of_shards_is_changed_in_equal_parts() -> None:
    async with kinesis() as here:
        await here.stream(shards=2)

        said = await here("UpdateShardCount", StreamName="orders", TargetShardCount=3, ScalingType="UNIFORM_SCALING")

        assert (said["CurrentShardCount"], said["TargetShardCount"]) == (2, 3)
        assert len(open_shards(await here.shards())) == 3
        for target in (0, 1, 7):
            with pytest.raises(AwsError, match="of 3 open shards 2 to 6"):
                await here(
                    "UpdateShardCount", StreamName="orders", TargetShardCount=target, ScalingType="UNIFORM_SCALING"
                )


async def test_what_cannot_be_cut_or_joined_is_told() -> None:
    async with kinesis() as here:
        await here.stream(shards=3)
        await here.world.topic("kafkas")
        await here("CreateStream", StreamName="free", StreamModeDetails={"StreamMode": "ON_DEMAND"})

        with pytest.raises(AwsError, match="not adjacent"):
            await merge(here, 0, 2)
        with pytest.raises(AwsError, match="NewStartingHashKey"):
            await split(here, 0, 0)
        await split(here, 0, 5)
        with pytest.raises(AwsError, match="is closed"):
            await split(here, 0, 5)
        for stream, said in (("kafkas", "another door"), ("free", "On-Demand mode")):
            with pytest.raises(AwsError, match=said):
                await here("SplitShard", StreamName=stream, ShardToSplit=SHARD, NewStartingHashKey="5")
