"""Consumers with a fan-out of their own, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from botocore.eventstream import EventStreamBuffer

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis.handlers.caller import Caller
from isthmus.protocols.kinesis.handlers.consumers import subscribe_to_shard
from isthmus.protocols.kinesis.shapes import SubscribeToShard
from support.kinesis import SHARD, Kinesis, kinesis

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"


async def register(here: Kinesis, name: str = "billing") -> str:
    made = await here("RegisterStreamConsumer", StreamARN=ARN, ConsumerName=name)
    return str(made["Consumer"]["ConsumerARN"])


async def subscribe(here: Kinesis, arn: str, kind: str = "TRIM_HORIZON", **given: str) -> AsyncGenerator[bytes]:
    asked = {"ConsumerARN": arn, "ShardId": SHARD, "StartingPosition": {"Type": kind, **given}}
    caller = Caller(here.world.broker, here.world.session, here.subscribed)
    return await subscribe_to_shard(caller, msgspec.convert(asked, SubscribeToShard))


async def after(messages: AsyncGenerator[bytes]) -> Any:  # noqa: ANN401 - a message
    buffer = EventStreamBuffer()
    buffer.add_data(await anext(messages))
    return next(iter(buffer))


async def said(messages: AsyncGenerator[bytes]) -> Any:  # noqa: ANN401 - an event
    return msgspec.json.decode((await after(messages)).payload)


async def test_consumers_are_registered_described_and_forgotten() -> None:
    async with kinesis() as here:
        await here.stream()
        arn = await register(here)
        await here.world.crash()

        (listed,) = (await here("ListStreamConsumers", StreamARN=ARN))["Consumers"]
        by_arn = await here("DescribeStreamConsumer", ConsumerARN=arn)
        by_name = await here("DescribeStreamConsumer", StreamARN=ARN, ConsumerName="billing")

        assert (listed["ConsumerARN"], listed["ConsumerStatus"]) == (arn, "ACTIVE")
        assert by_arn == by_name == {"ConsumerDescription": {**listed, "StreamARN": ARN}}
        with pytest.raises(AwsError, match="EnforceConsumerDeletion"):
            await here("DeleteStream", StreamName="orders")
        await here("DeregisterStreamConsumer", ConsumerARN=arn)
        assert await here("ListStreamConsumers", StreamARN=ARN) == {"Consumers": []}


async def test_what_is_no_consumer_is_told() -> None:
    async with kinesis() as here:
        await here.stream()
        arn = await register(here)
        with pytest.raises(AwsError, match="already exists"):
            await register(here)
        for given, text in (
            ({}, "must be provided"),
            ({"ConsumerARN": "x"}, "no ARN of a consumer"),
            ({"ConsumerARN": f"{arn}9"}, "not found"),
            ({"StreamARN": ARN, "ConsumerName": "none"}, "not found"),
        ):
            with pytest.raises(AwsError, match=text):
                await here("DescribeStreamConsumer", **given)
        for number in range(19):
            await register(here, f"c{number}")
        with pytest.raises(AwsError, match="no more can be registered"):
            await register(here, "more")


async def test_a_subscription_pushes_what_is_there_and_what_comes() -> None:
    async with kinesis() as here:
        await here.stream()
        await here.put("a")
        messages = await subscribe(here, await register(here))

        assert (await after(messages)).headers[":event-type"] == "initial-response"
        first = await said(messages)
        waiting = asyncio.ensure_future(said(messages))
        await here.put("b")
        second = await waiting

        assert [each["PartitionKey"] for each in first["Records"]] == ["a"]
        assert second["ContinuationSequenceNumber"] == second["Records"][0]["SequenceNumber"]


async def test_a_subscription_lasts_five_minutes_and_resumes() -> None:
    async with kinesis() as here:
        await here.stream()
        await here.put("a")
        arn = await register(here)
        messages = await subscribe(here, arn)
        await after(messages)
        number = (await said(messages))["ContinuationSequenceNumber"]
        with pytest.raises(AwsError, match="Another active subscription"):
            await subscribe(here, arn)

        await here.world.clock.advance(300_000)

        assert await anext(messages, None) is None
        await here.put("b")
        again = await subscribe(here, arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=number)
        await after(again)
        assert len((await said(again))["Records"]) == 1


async def test_a_later_subscription_ends_the_earlier() -> None:
    async with kinesis() as here:
        await here.stream()
        await here.put("a")
        arn = await register(here)
        one = await subscribe(here, arn)
        await after(one)
        await here.world.clock.advance(5_000)

        other = await subscribe(here, arn)

        assert await anext(one, None) is None
        await after(other)
        assert len((await said(other))["Records"]) == 1


async def test_a_shard_that_was_closed_ends_with_its_children_and_a_stream_that_is_gone_with_an_error() -> None:
    async with kinesis() as here:
        await here.stream()
        arn = await register(here)
        await here("SplitShard", StreamName="orders", ShardToSplit=SHARD, NewStartingHashKey="5")
        messages = await subscribe(here, arn)
        await after(messages)

        assert len((await said(messages))["ChildShards"]) == 2
        assert await anext(messages, None) is None
        gone = await subscribe(here, arn)
        await after(gone)
        await here("DeleteStream", StreamName="orders", EnforceConsumerDeletion=True)
        assert (await after(gone)).headers[":exception-type"] == "ResourceNotFoundException"
