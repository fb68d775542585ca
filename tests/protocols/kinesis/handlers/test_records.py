"""Records are put and read, with a clock that the test moves."""

import pytest

from isthmus.limits import MIB
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis import hashes
from support.brokers import records as built
from support.kinesis import SHARD, kinesis


class TestPut:
    async def test_the_md5_of_the_key_finds_the_shard(self) -> None:
        async with kinesis() as here:
            await here.stream(shards=4)
            keys = [f"key-{at}" for at in range(20)]
            entries = [{"Data": key.encode(), "PartitionKey": key} for key in keys]

            done = await here("PutRecords", StreamName="orders", Records=entries)

            expected = [f"shardId-{hashes.hash_of(key) >> 126:012}" for key in keys]
            assert [each["ShardId"] for each in done["Records"]] == expected
            assert done["FailedRecordCount"] == 0
            for at in range(4):
                shard = f"shardId-{at:012}"
                mine = [key for key, of in zip(keys, expected, strict=True) if of == shard]
                assert await here.texts(await here.iterator(shard=shard)) == mine

    async def test_an_explicit_hash_key_wins(self) -> None:
        async with kinesis() as here:
            await here.stream(shards=2)
            asked = {"StreamName": "orders", "PartitionKey": "a", "Data": b"x"}

            done = await here("PutRecord", **asked, ExplicitHashKey=str(2**128 - 1))

            assert done["ShardId"] == "shardId-000000000001"
            with pytest.raises(AwsError, match="Invalid ExplicitHashKey"):
                await here("PutRecord", **asked, ExplicitHashKey=str(2**128))

    async def test_limits_are_told(self) -> None:
        async with kinesis() as here:
            await here.stream()
            good = {"StreamName": "orders", "PartitionKey": "a", "Data": b"x"}
            for changed, said in (
                ({"PartitionKey": ""}, "partitionKey"),
                ({"PartitionKey": "k" * 257}, "partitionKey"),
                ({"Data": b"x" * MIB}, "'data'"),
                ({"Data": None}, "'data'"),
                ({"SequenceNumberForOrdering": "x"}, "SequenceNumberForOrdering"),
                ({"DryRun": True}, "DryRun"),
            ):
                with pytest.raises(AwsError, match=said):
                    await here("PutRecord", **{**good, **changed})
            entry = {"PartitionKey": "a", "Data": b"x" * (MIB - 1)}
            for entries, said in (([], "records"), ([entry] * 501, "records"), ([entry] * 11, "10 MB")):
                with pytest.raises(AwsError, match=said):
                    await here("PutRecords", StreamName="orders", Records=entries)

    async def test_sequence_numbers_rise_over_a_crash(self) -> None:
        async with kinesis() as here:
            await here.stream()
            before = await here.put("a", "b")
            await here.world.crash()

            after = await here.put("c")

            assert sorted(map(int, (*before, *after))) == list(map(int, (*before, *after)))


class TestIterators:
    async def test_each_type_stands_where_it_says(self) -> None:
        async with kinesis() as here:
            await here.stream()
            numbers = await here.put("a", "b")
            await here.world.clock.advance(10_000)
            now = here.world.clock.now_ms() / 1_000
            numbers += await here.put("c")

            for kind, given, expected in (
                ("TRIM_HORIZON", {}, "abc"),
                ("LATEST", {}, ""),
                ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": numbers[1]}, "bc"),
                ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": numbers[1]}, "c"),
                ("AT_TIMESTAMP", {"Timestamp": now}, "c"),
                ("AT_TIMESTAMP", {"Timestamp": 0}, "abc"),
            ):
                assert "".join(await here.texts(await here.iterator(kind, **given))) == expected, kind

    async def test_the_first_number_of_a_shard_stands_before_all(self) -> None:
        async with kinesis() as here:
            await here.stream()
            await here.put("a")
            first = (await here.shards())[0]["SequenceNumberRange"]["StartingSequenceNumber"]

            for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
                assert await here.texts(await here.iterator(kind, StartingSequenceNumber=first)) == ["a"]

    async def test_what_stands_nowhere_is_told(self) -> None:
        async with kinesis() as here:
            await here.stream()
            now = here.world.clock.now_ms() / 1_000
            for kind, given, said in (
                ("X", {}, "enum value set"),
                ("AT_TIMESTAMP", {}, "timestampInMillis"),
                ("AT_TIMESTAMP", {"Timestamp": now + 1}, "cannot be greater"),
                ("AT_SEQUENCE_NUMBER", {}, "StartingSequenceNumber"),
                ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": "7"}, "did not come from"),
            ):
                with pytest.raises(AwsError, match=said):
                    await here.iterator(kind, **given)
            with pytest.raises(AwsError, match="Could not find shard"):
                await here.iterator(shard="shardId-000000000009")

    async def test_the_latest_place_is_fixed_when_it_is_asked_for(self) -> None:
        async with kinesis() as here:
            await here.stream()
            await here.put("a")
            latest = await here.iterator("LATEST")

            await here.put("b")

            assert await here.texts(latest) == ["b"]

    async def test_an_iterator_can_be_used_again_until_it_expires(self) -> None:
        async with kinesis() as here:
            await here.stream()
            await here.put("a")
            iterator = await here.iterator()

            for _ in range(2):
                assert await here.texts(iterator) == ["a"]
            await here.world.clock.advance(300_001)
            with pytest.raises(AwsError) as told:
                await here.get(iterator)
            assert told.value.code == "ExpiredIteratorException"


class TestGet:
    async def test_a_reader_goes_on_where_it_was_and_hears_how_far_behind_it_is(self) -> None:
        async with kinesis() as here:
            await here.stream()
            await here.put("a", "b")
            await here.world.clock.advance(5_000)

            first = await here.get(await here.iterator(), Limit=1)
            second = await here.get(first["NextShardIterator"])
            third = await here.get(second["NextShardIterator"])

            assert [each["Data"] for each in first["Records"]] == [b"a"]
            assert first["MillisBehindLatest"] == 5_000
            assert ([each["Data"] for each in second["Records"]], second["MillisBehindLatest"]) == ([b"b"], 0)
            assert (third["Records"], third["MillisBehindLatest"]) == ([], 0)
            assert "ChildShards" not in third

    async def test_a_record_tells_key_number_and_time(self) -> None:
        async with kinesis() as here:
            await here.stream()
            (number,) = await here.put("a", key="shop-7")
            now = here.world.clock.now_ms() / 1_000

            (record,) = (await here.get(await here.iterator()))["Records"]

            assert record == {
                "SequenceNumber": number,
                "ApproximateArrivalTimestamp": now,
                "Data": b"a",
                "PartitionKey": "shop-7",
            }

    async def test_what_is_trimmed_is_passed_over(self) -> None:
        async with kinesis() as here:
            await here.stream()
            numbers = await here.put("a", "b")
            old = await here.iterator()
            await here.world.trim(1)

            assert await here.texts(old) == ["b"]
            assert await here.texts(await here.iterator("AT_SEQUENCE_NUMBER", StartingSequenceNumber=numbers[0])) == [
                "b"
            ]

    async def test_records_of_other_doors_are_read(self) -> None:
        async with kinesis() as here:
            topic = await here.world.topic("orders")
            await here.world.broker.publish(here.world.session, topic, built("hello"))

            (record,) = (await here.get(await here.iterator(shard=SHARD)))["Records"]

            assert (record["Data"], record["PartitionKey"]) == (b"hello", "")

    async def test_what_cannot_be_read_is_told(self) -> None:
        async with kinesis() as here:
            await here.stream()
            iterator = await here.iterator()
            for given, said in (
                ({"Limit": 0}, "'limit'"),
                ({"Limit": 10_001}, "'limit'"),
                ({"DryRun": True}, "DryRun"),
            ):
                with pytest.raises(AwsError, match=said):
                    await here.get(iterator, **given)
            with pytest.raises(AwsError, match="shardIterator"):
                await here("GetRecords")
            await here("DeleteStream", StreamName="orders")
            with pytest.raises(AwsError, match="not there any more"):
                await here.get(iterator)
