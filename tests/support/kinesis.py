"""Kinesis's actions on a broker in memory with a clock that the test moves, asked for as its handlers are."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from isthmus.protocols.kinesis.handlers.caller import Caller, Subscription
from isthmus.protocols.kinesis.handlers.service import HANDLERS
from isthmus.protocols.kinesis.shapes import ACTIONS
from support.brokers import World, world

SHARD = "shardId-000000000000"


class Kinesis:
    """See the module text. An action takes its input by AWS's names, and gives its output in the same way."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.subscribed: dict[Subscription, int] = {}

    async def __call__(self, action: str, **given: Any) -> Any:  # noqa: ANN401 - its output
        caller = Caller(self.world.broker, self.world.session, self.subscribed)
        output = await HANDLERS[action](caller, msgspec.convert(given, ACTIONS[action][0]))
        return None if output is None else msgspec.to_builtins(output, builtin_types=(bytes,))

    async def stream(self, name: str = "orders", shards: int = 1, **given: Any) -> str:
        """A stream; its name."""
        await self("CreateStream", StreamName=name, ShardCount=shards, **given)
        return name

    async def put(self, *texts: str, key: str = "a", **given: Any) -> list[str]:
        """Records, one after the other; their sequence numbers."""
        made = [
            await self("PutRecord", StreamName="orders", PartitionKey=key, Data=text.encode(), **given)
            for text in texts
        ]
        return [each["SequenceNumber"] for each in made]

    async def iterator(self, kind: str = "TRIM_HORIZON", shard: str = SHARD, **given: Any) -> str:
        """A place in a shard."""
        asked = {"StreamName": "orders", "ShardId": shard, "ShardIteratorType": kind, **given}
        return str((await self("GetShardIterator", **asked))["ShardIterator"])

    async def get(self, iterator: str, **given: Any) -> dict[str, Any]:
        """What is there."""
        found: dict[str, Any] = await self("GetRecords", ShardIterator=iterator, **given)
        return found

    async def texts(self, iterator: str, **given: Any) -> list[str]:
        """The data of what is there."""
        return [each["Data"].decode() for each in (await self.get(iterator, **given))["Records"]]

    async def shards(self, **given: Any) -> list[dict[str, Any]]:
        """The shards of the stream."""
        return list((await self("ListShards", StreamName="orders", **given))["Shards"])


@asynccontextmanager
async def kinesis() -> AsyncGenerator[Kinesis]:
    async with world() as made:
        yield Kinesis(made)
