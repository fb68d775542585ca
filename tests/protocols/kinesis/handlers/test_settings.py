"""What a stream is told to be, with a clock that the test moves."""

from typing import Any

import pytest

from isthmus.limits import MIB, PARTITIONS_MAX, TOPICS_MAX
from isthmus.protocols.aws.errors import AwsError
from support.kinesis import Kinesis, kinesis

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"


async def summary(here: Kinesis) -> dict[str, Any]:
    said = await here("DescribeStreamSummary", StreamName="orders")
    return dict(said["StreamDescriptionSummary"])


async def test_retention_grows_and_shrinks_within_bounds() -> None:
    async with kinesis() as here:
        await here.stream()
        longer, shorter = "IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod"

        await here(longer, StreamName="orders", RetentionPeriodHours=48)

        assert (await summary(here))["RetentionPeriodHours"] == 48
        assert here.world.find("orders").set.config.age_ms == 48 * 3_600_000
        for action, hours, said in (
            (longer, 47, "can not be shorter than existing"),
            (longer, 9_000, "Maximum allowed"),
            (shorter, 49, "can not be longer than existing"),
            (shorter, 23, "Minimum allowed retention period is 24 hours"),
        ):
            with pytest.raises(AwsError, match=said):
                await here(action, StreamName="orders", RetentionPeriodHours=hours)
        await here(shorter, StreamName="orders", RetentionPeriodHours=24)
        assert (await summary(here))["RetentionPeriodHours"] == 24


async def test_tags_are_set_by_name_and_by_arn() -> None:
    async with kinesis() as here:
        await here.stream(Tags={"a": "1"})
        await here("AddTagsToStream", StreamName="orders", Tags={"b": "2"})
        await here("TagResource", ResourceARN=ARN, Tags={"c": "3"})

        page = await here("ListTagsForStream", StreamName="orders", Limit=2)
        rest = await here("ListTagsForStream", StreamName="orders", ExclusiveStartTagKey="b")

        assert ([tag["Key"] for tag in page["Tags"]], page["HasMoreTags"]) == (["a", "b"], True)
        assert rest == {"Tags": [{"Key": "c", "Value": "3"}], "HasMoreTags": False}
        await here("RemoveTagsFromStream", StreamName="orders", TagKeys=["a"])
        await here("UntagResource", ResourceARN=ARN, TagKeys=["b"])
        assert await here("ListTagsForResource", ResourceARN=ARN) == {"Tags": [{"Key": "c", "Value": "3"}]}


async def test_tags_have_bounds() -> None:
    async with kinesis() as here:
        await here.stream()
        for tags, said in (
            ({}, "'tags'"),
            ({"k" * 129: ""}, "'tags'"),
            ({"k": "v" * 257}, "'tags'"),
            ({str(at): "" for at in range(51)}, "50 is the most"),
        ):
            with pytest.raises(AwsError, match=said):
                await here("AddTagsToStream", StreamName="orders", Tags=tags)
        with pytest.raises(AwsError, match="tagKeys"):
            await here("RemoveTagsFromStream", StreamName="orders")
        with pytest.raises(AwsError, match="limit"):
            await here("ListTagsForStream", StreamName="orders", Limit=51)
        with pytest.raises(AwsError, match="resourceARN"):
            await here("ListTagsForResource")


async def test_a_policy_is_kept_and_shown() -> None:
    async with kinesis() as here:
        await here.stream()
        await here("PutResourcePolicy", ResourceARN=ARN, Policy="{}")
        await here.world.crash()

        assert await here("GetResourcePolicy", ResourceARN=ARN) == {"Policy": "{}"}
        await here("DeleteResourcePolicy", ResourceARN=ARN)
        with pytest.raises(AwsError, match="no policy"):
            await here("GetResourcePolicy", ResourceARN=ARN)
        with pytest.raises(AwsError, match="'policy'"):
            await here("PutResourcePolicy", ResourceARN=ARN)
        with pytest.raises(AwsError, match="is the most"):
            await here("PutResourcePolicy", ResourceARN=ARN, Policy="x" * 20_481)


async def test_encryption_is_said_of_stream_and_records() -> None:
    async with kinesis() as here:
        await here.stream()
        given = {"StreamName": "orders", "EncryptionType": "KMS", "KeyId": "alias/mine"}
        await here("StartStreamEncryption", **given)

        put = await here("PutRecord", StreamName="orders", PartitionKey="a", Data=b"x")
        (record,) = (await here.get(await here.iterator()))["Records"]

        assert (put["EncryptionType"], record["EncryptionType"]) == ("KMS", "KMS")
        assert (await summary(here))["KeyId"] == "alias/mine"
        await here("StopStreamEncryption", **given)
        assert (await summary(here))["EncryptionType"] == "NONE"
        for changed in ({"EncryptionType": "X"}, {"KeyId": None}, {"KeyId": ""}):
            with pytest.raises(AwsError, match="validation error"):
                await here("StartStreamEncryption", **{**given, **changed})


async def test_metrics_are_kept_and_shown() -> None:
    async with kinesis() as here:
        await here.stream()
        more = await here("EnableEnhancedMonitoring", StreamName="orders", ShardLevelMetrics=["ALL"])
        less = await here("DisableEnhancedMonitoring", StreamName="orders", ShardLevelMetrics=["IncomingBytes"])

        assert (more["CurrentShardLevelMetrics"], len(more["DesiredShardLevelMetrics"])) == ([], 7)
        assert (len(less["CurrentShardLevelMetrics"]), len(less["DesiredShardLevelMetrics"])) == (7, 6)
        with pytest.raises(AwsError, match="shardLevelMetrics"):
            await here("EnableEnhancedMonitoring", StreamName="orders", ShardLevelMetrics=["X"])


async def test_the_mode_changes_and_the_shards_stay() -> None:
    async with kinesis() as here:
        await here.stream(shards=2)
        await here("UpdateStreamMode", StreamARN=ARN, StreamModeDetails={"StreamMode": "ON_DEMAND"})

        assert (await summary(here))["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
        assert await here("DescribeLimits") == {
            "ShardLimit": PARTITIONS_MAX,
            "OpenShardCount": 2,
            "OnDemandStreamCount": 1,
            "OnDemandStreamCountLimit": TOPICS_MAX,
        }
        with pytest.raises(AwsError, match="streamModeDetails"):
            await here("UpdateStreamMode", StreamARN=ARN)


async def test_records_may_be_larger_when_that_is_asked_for() -> None:
    async with kinesis() as here:
        await here.stream()
        asked = {"StreamName": "orders", "PartitionKey": "a", "Data": b"x" * (2 * MIB - 1)}
        with pytest.raises(AwsError, match="'data'"):
            await here("PutRecord", **asked)

        await here("UpdateMaxRecordSize", StreamARN=ARN, MaxRecordSizeInKiB=2_048)

        await here("PutRecord", **asked)
        assert (await summary(here))["MaxRecordSizeInKiB"] == 2_048
        for size in (None, 1_023, 10_241):
            with pytest.raises(AwsError, match="maxRecordSizeInKiB"):
                await here("UpdateMaxRecordSize", StreamARN=ARN, MaxRecordSizeInKiB=size)
