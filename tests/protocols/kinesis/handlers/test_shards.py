"""The actions on shards, asked for as the door does, with a clock that the test moves."""

import pytest

from isthmus.protocols.aws.errors import AwsError
from support.kinesis import SHARD, kinesis


async def test_shards_are_told_with_their_ranges() -> None:
    async with kinesis() as here:
        await here.stream(shards=2)

        one, other = await here.shards()

        assert one["ShardId"] == SHARD
        assert one["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)}
        assert other["HashKeyRange"] == {"StartingHashKey": str(2**127), "EndingHashKey": str(2**128 - 1)}
        assert one["SequenceNumberRange"].keys() == {"StartingSequenceNumber"}


async def test_a_page_leads_to_the_next_for_five_minutes() -> None:
    async with kinesis() as here:
        await here.stream(shards=3)
        first = await here("ListShards", StreamName="orders", MaxResults=2)

        rest = await here("ListShards", NextToken=first["NextToken"])

        assert [each["ShardId"][-1] for each in (*first["Shards"], *rest["Shards"])] == ["0", "1", "2"]
        with pytest.raises(AwsError, match="cannot be provided together"):
            await here("ListShards", NextToken=first["NextToken"], StreamName="orders")
        for token in ("x", "AAAA"):
            with pytest.raises(AwsError, match="was not given out here"):
                await here("ListShards", NextToken=token)
        await here.world.clock.advance(300_001)
        with pytest.raises(AwsError, match="expired"):
            await here("ListShards", NextToken=first["NextToken"])


async def test_filters_choose_by_id_and_by_time() -> None:
    async with kinesis() as here:
        await here.stream(shards=2)
        now = here.world.clock.now_ms() / 1_000

        for wanted, count in (
            ({"Type": "AFTER_SHARD_ID", "ShardId": SHARD}, 1),
            ({"Type": "AT_LATEST"}, 2),
            ({"Type": "AT_TRIM_HORIZON"}, 2),
            ({"Type": "FROM_TRIM_HORIZON"}, 2),
            ({"Type": "AT_TIMESTAMP", "Timestamp": now}, 2),
            ({"Type": "FROM_TIMESTAMP", "Timestamp": now}, 2),
        ):
            assert len(await here.shards(ShardFilter=wanted)) == count, wanted
        for broken in ({"Type": "X"}, {"Type": "AT_TIMESTAMP"}, {"Type": "AFTER_SHARD_ID"}):
            with pytest.raises(AwsError, match="validation error"):
                await here.shards(ShardFilter=broken)
        with pytest.raises(AwsError, match="maxResults"):
            await here.shards(MaxResults=0)
