"""How a caller names a stream and a shard."""

import pytest

from isthmus.definition import QueueDefinition
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis.handlers.caller import Caller
from isthmus.protocols.kinesis.shapes import OnStream
from support.kinesis import SHARD, kinesis

ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"


async def test_a_stream_is_named_by_name_or_arn_or_both() -> None:
    async with kinesis() as here:
        await here.stream()
        caller = Caller(here.world.broker, here.world.session, {})

        for asked in (OnStream(stream_name="orders"), OnStream(stream_arn=ARN, stream_name="orders")):
            assert (await caller.find(asked)).name == "orders"
        assert caller.arn_of("orders") == ARN


async def test_what_names_no_stream_is_told() -> None:
    async with kinesis() as here:
        await here.stream()
        await here.world.broker.create_queue(here.world.session, QueueDefinition(name="jobs"))
        caller = Caller(here.world.broker, here.world.session, {})

        for asked, said in (
            (OnStream(), "must be provided"),
            (OnStream(stream_name="none"), "Stream none under account 000000000000 not found"),
            (OnStream(stream_name="jobs"), "not found"),
            (OnStream(stream_name="a b"), "regular expression"),
            (OnStream(stream_name="a" * 200), "length between 1 and 128"),
            (OnStream(stream_arn=ARN, stream_name="other"), "different streams"),
        ):
            with pytest.raises(AwsError, match=said):
                await caller.find(asked)
        with pytest.raises(AwsError, match="not there any more"):
            caller.identified(99)


async def test_a_shard_has_to_be_there() -> None:
    async with kinesis() as here:
        await here.stream()
        caller = Caller(here.world.broker, here.world.session, {})
        found = caller.named("orders")

        assert caller.shard_of(found, SHARD) == 0
        for name in ("shardId-000000000001", "x"):
            with pytest.raises(AwsError, match=f"Could not find shard {name} in stream orders"):
                caller.shard_of(found, name)
