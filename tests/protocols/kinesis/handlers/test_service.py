"""The Kinesis door on a real socket, with AWS's own client library."""

import asyncio
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from isthmus.protocols.kinesis.handlers.service import HANDLERS
from isthmus.protocols.kinesis.shapes import ACTIONS
from isthmus.server.config import Settings
from support.kinesis import SHARD
from support.served import served


async def call(function: Callable[..., Any], **given: object) -> Any:  # noqa: ANN401 - what the function gives
    return await asyncio.to_thread(function, **given)


def test_every_action_has_a_handler() -> None:
    assert HANDLERS.keys() == ACTIONS.keys()


async def test_records_go_round() -> None:
    async with served(settings=Settings(kinesis="0")) as here:
        client = boto3.client(
            "kinesis",
            endpoint_url=f"http://127.0.0.1:{here.listening.port}",
            region_name="us-east-1",
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
            config=Config(retries={"total_max_attempts": 1}),
        )
        await call(client.create_stream, StreamName="orders", ShardCount=1)
        await call(client.get_waiter("stream_exists").wait, StreamName="orders")
        put = await call(client.put_record, StreamName="orders", PartitionKey="a", Data=b"\x00hello")
        place = await call(
            client.get_shard_iterator, StreamName="orders", ShardId=SHARD, ShardIteratorType="TRIM_HORIZON"
        )
        got = await call(client.get_records, ShardIterator=place["ShardIterator"])

        assert got["Records"][0]["Data"] == b"\x00hello"
        assert got["Records"][0]["SequenceNumber"] == put["SequenceNumber"]
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="Stream none under account"):
            await call(client.describe_stream, StreamName="none")
        client.close()


async def test_a_subscription_comes_in_chunks() -> None:
    async with served(settings=Settings(kinesis="0")) as here:
        client = boto3.client(
            "kinesis",
            endpoint_url=f"http://127.0.0.1:{here.listening.port}",
            region_name="us-east-1",
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
        )

        def subscribed() -> bytes:
            client.create_stream(StreamName="orders", ShardCount=1)
            arn = client.describe_stream(StreamName="orders")["StreamDescription"]["StreamARN"]
            consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="billing")["Consumer"]["ConsumerARN"]
            client.put_record(StreamName="orders", PartitionKey="a", Data=b"hello")
            answer = client.subscribe_to_shard(
                ConsumerARN=consumer, ShardId=SHARD, StartingPosition={"Type": "TRIM_HORIZON"}
            )
            event = next(iter(answer["EventStream"]))
            answer["EventStream"].close()
            client.close()
            return bytes(event["SubscribeToShardEvent"]["Records"][0]["Data"])

        assert await asyncio.to_thread(subscribed) == b"hello"
