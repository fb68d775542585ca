"""The actions on streams, asked for as the door does, with a clock that the test moves."""

import pytest

from isthmus.protocols.aws.errors import AwsError
from support.kinesis import kinesis


class TestCreate:
    async def test_a_stream_is_a_topic_and_its_shards_are_partitions(self) -> None:
        async with kinesis() as here:
            await here.stream(shards=3)

            topic = here.world.find("orders")

            assert (len(topic.partitions), topic.set.placement) == (3, "md5-range")
            assert topic.set.config.age_ms == 86_400_000

    async def test_the_same_name_again_and_what_cannot_be_is_told(self) -> None:
        async with kinesis() as here:
            await here.stream()
            for given, code in (
                ({"StreamName": "orders", "ShardCount": 1}, "ResourceInUseException"),
                ({"StreamName": "other"}, "ValidationException"),
                ({"StreamName": "a b", "ShardCount": 1}, "ValidationException"),
                ({"StreamName": "other", "ShardCount": 0}, "ValidationException"),
                ({"StreamName": "other", "ShardCount": 5_000}, "LimitExceededException"),
                ({"StreamName": "other", "ShardCount": 1, "MaxRecordSizeInKiB": 5}, "ValidationException"),
                ({"StreamName": "o", "StreamModeDetails": {"StreamMode": "X"}}, "ValidationException"),
            ):
                with pytest.raises(AwsError) as told:
                    await here("CreateStream", **given)
                assert told.value.code == code

    async def test_on_demand_has_four_shards(self) -> None:
        async with kinesis() as here:
            await here("CreateStream", StreamName="orders", StreamModeDetails={"StreamMode": "ON_DEMAND"})

            assert len(await here.shards()) == 4

    async def test_it_is_there_after_a_crash_and_gone_after_removal(self) -> None:
        async with kinesis() as here:
            await here.stream(shards=2)
            before = await here("DescribeStream", StreamName="orders")
            await here.world.crash()

            assert await here("DescribeStream", StreamName="orders") == before
            await here("DeleteStream", StreamName="orders")
            with pytest.raises(AwsError, match="not found"):
                await here("DescribeStream", StreamName="orders")


class TestDescribe:
    async def test_shards_come_in_pages(self) -> None:
        async with kinesis() as here:
            await here.stream(shards=3)

            first = (await here("DescribeStream", StreamName="orders", Limit=2))["StreamDescription"]
            last = first["Shards"][-1]["ShardId"]
            rest = await here("DescribeStream", StreamName="orders", ExclusiveStartShardId=last)

            assert (len(first["Shards"]), first["HasMoreShards"], first["StreamStatus"]) == (2, True, "ACTIVE")
            assert [each["ShardId"] for each in rest["StreamDescription"]["Shards"]] == ["shardId-000000000002"]
            with pytest.raises(AwsError, match="'limit'"):
                await here("DescribeStream", StreamName="orders", Limit=0)

    async def test_a_summary_counts_the_shards(self) -> None:
        async with kinesis() as here:
            await here.stream(shards=3)

            said = (await here("DescribeStreamSummary", StreamName="orders"))["StreamDescriptionSummary"]

            assert (said["OpenShardCount"], said["RetentionPeriodHours"], said["ConsumerCount"]) == (3, 24, 0)
            assert said["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}


class TestList:
    async def test_streams_and_topics_of_other_doors_come_in_pages(self) -> None:
        async with kinesis() as here:
            for name in ("a", "c"):
                await here.stream(name)
            await here.world.topic("b", partitions=2)

            first = await here("ListStreams", Limit=2)
            rest = await here("ListStreams", NextToken=first["NextToken"])

            assert (first["StreamNames"], first["HasMoreStreams"]) == (["a", "b"], True)
            assert (rest["StreamNames"], rest["HasMoreStreams"]) == (["c"], False)
            assert first["StreamSummaries"][0]["StreamARN"].endswith(":stream/a")
