"""The actions that cut shards and join them: closed shards keep their records, new ones are new partitions.

What becomes of the shards is decided by the stream's own state; here it is checked and made durable in one step.
"""

from isthmus.limits import PARTITIONS_MAX
from isthmus.protocols.kinesis import cursor, hashes, shapes
from isthmus.protocols.kinesis.errors import invalid, limited, missing, unfit, violated
from isthmus.protocols.kinesis.handlers.caller import Caller, Found
from isthmus.protocols.kinesis.shards import Own, merge, scaled, split


async def split_shard(caller: Caller, asked: shapes.SplitShard) -> None:
    """Close a shard and open two that share out its hash keys."""
    found = await _found(caller, asked)
    if asked.new_starting_hash_key is None:
        raise missing("newStartingHashKey")
    index = _open(caller, found, asked.shard_to_split, "shardToSplit")
    at = hashes.parse(asked.new_starting_hash_key, "NewStartingHashKey")
    await _keep(caller, found, split(found.own, index, at, caller.now_ms))


async def merge_shards(caller: Caller, asked: shapes.MergeShards) -> None:
    """Close two shards whose hash keys touch, and open one that has both."""
    found = await _found(caller, asked)
    one = _open(caller, found, asked.shard_to_merge, "shardToMerge")
    other = _open(caller, found, asked.adjacent_shard_to_merge, "adjacentShardToMerge")
    own = merge(found.own, one, other, caller.now_ms)
    if own is None:
        names = f"{cursor.shard_id(one)} and {cursor.shard_id(other)}"
        raise invalid(f"Shards {names} in stream {found.name} under account {caller.account} are not adjacent.")
    await _keep(caller, found, own)


async def update_shard_count(caller: Caller, asked: shapes.UpdateShardCount) -> shapes.ShardCount:
    """Cut and join until there are so many open shards of equal size; at most twice, at least half as many."""
    found = await _found(caller, asked)
    target, current = asked.target_shard_count, len(found.layout.open)
    if target is None:
        raise missing("targetShardCount")
    if asked.scaling_type != "UNIFORM_SCALING":
        raise violated(asked.scaling_type, "scalingType", "Member must satisfy enum value set: [UNIFORM_SCALING]")
    if target < 1 or target > 2 * current or 2 * target < current:
        raise invalid(
            f"UpdateShardCount can make of {current} open shards {-(-current // 2)} to {2 * current}, not {target}."
        )
    own = scaled(found.own, target, caller.now_ms)
    if own != found.own:
        await _keep(caller, found, own)
    return shapes.ShardCount(
        stream_name=found.name,
        current_shard_count=current,
        target_shard_count=target,
        stream_arn=caller.arn_of(found.name),
    )


async def _found(caller: Caller, asked: shapes.OnStream) -> Found:
    """A stream that can be resharded. Raises AwsError for another."""
    found = await caller.find(asked)
    if found.own.on_demand:
        text = f"Stream {found.name} under account {caller.account} is in On-Demand mode."
        raise unfit(f"Request is invalid. {text}")
    if found.topic.set.placement != "md5-range":
        raise unfit(f"Stream {found.name} is a topic of another door, which places records in all of its partitions.")
    return found


def _open(caller: Caller, found: Found, name: str | None, member: str) -> int:
    """The index of an open shard."""
    index = caller.shard_of(found, name, member)
    if found.shard(index).closed_ms is not None:
        raise invalid(f"Shard {name} in stream {found.name} was split or merged before, and is closed.")
    return index


async def _keep(caller: Caller, found: Found, own: Own) -> None:
    if len(own.shards) > PARTITIONS_MAX:
        raise limited(
            f"Stream {found.name} would have had {len(own.shards)} shards in all; {PARTITIONS_MAX} is the most."
        )
    await caller.keep(found, own)
