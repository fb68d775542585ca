"""The actions on shards: which there are, as far as anybody can still read them.

It shows; what shards are is told by the stream's own state.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis import cursor, shapes
from isthmus.protocols.kinesis.errors import invalid, missing, violated
from isthmus.protocols.kinesis.handlers.caller import Caller, Found
from isthmus.protocols.kinesis.shards import HOUR_MS, Shard

TOKEN_MS: Final = 300_000
TOKEN_CHARACTERS_MAX: Final = 4_096
PAGE_MAX: Final = 10_000
PAGE: Final = 1_000
TYPES: Final = (
    "AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP",
)  # fmt: skip


class Token(Struct, frozen=True, array_like=True):
    """Where a list of shards goes on."""

    topic: int
    after: str
    made_ms: int
    wanted: shapes.ShardFilter | None


async def list_shards(caller: Caller, asked: shapes.ListShards) -> shapes.Shards:
    """The shards that a filter lets through, a page at a time."""
    size = PAGE if asked.max_results is None else asked.max_results
    if not 1 <= size <= PAGE_MAX:
        bound = "greater than or equal to 1" if size < 1 else f"less than or equal to {PAGE_MAX}"
        raise violated(size, "maxResults", f"Member must have value {bound}")
    found, after, wanted = await _asked(caller, asked)
    caller.check("describe", found.name)
    rows, more = page(_filtered(caller, found, wanted), caller, found, after, size)
    token = None
    if more:
        row = Token(found.topic.id, cursor.shard_id(rows[-1]), caller.now_ms, wanted)
        token = base64.b64encode(msgspec.json.encode(row)).decode()
    return shapes.Shards(shards=[shown(found, index) for index in rows], next_token=token)


async def _asked(caller: Caller, asked: shapes.ListShards) -> tuple[Found, str | None, shapes.ShardFilter | None]:
    """Stream, the shard to go on behind, and the filter: told, or in a token."""
    if asked.next_token is None:
        return await caller.find(asked), asked.exclusive_start_shard_id, asked.shard_filter
    if asked.stream_name is not None:
        raise invalid("NextToken and StreamName cannot be provided together.")
    token = _token(asked.next_token)
    if caller.now_ms - token.made_ms > TOKEN_MS:
        raise AwsError("ExpiredNextTokenException", "NextToken has expired; list the shards anew.")
    return caller.identified(token.topic), token.after, token.wanted


def _token(text: str) -> Token:
    try:
        data = base64.b64decode(text[: TOKEN_CHARACTERS_MAX + 1], validate=True)
        return msgspec.json.decode(data, type=Token)
    except (binascii.Error, ValueError) as error:
        raise invalid("NextToken was not given out here.") from error


def _filtered(caller: Caller, found: Found, wanted: shapes.ShardFilter | None) -> list[int]:
    rows = visible(caller, found)
    kind = "FROM_TRIM_HORIZON" if wanted is None else wanted.type
    if kind not in TYPES:
        raise violated(kind, "shardFilter.type", f"Member must satisfy enum value set: [{', '.join(TYPES)}]")
    if wanted is None or kind == "FROM_TRIM_HORIZON":
        return rows
    if kind == "AFTER_SHARD_ID":
        after = caller.shard_of(found, wanted.shard_id, "shardFilter.shardId")
        return [index for index in rows if index > after]
    if kind == "AT_LATEST":
        return [index for index in rows if found.shard(index).closed_ms is None]
    horizon_ms = max(caller.now_ms - found.hours * HOUR_MS, found.topic.set.created_ms)
    time_ms = horizon_ms
    if kind.endswith("TIMESTAMP"):
        if wanted.timestamp is None:
            raise missing("shardFilter.timestamp")
        time_ms = max(int(wanted.timestamp * 1_000), horizon_ms)
    if kind == "FROM_TIMESTAMP":
        return [index for index in rows if _ends_after(found.shard(index), time_ms)]
    return [index for index in rows if found.shard(index).open_at(time_ms)]


def _ends_after(shard: Shard, time_ms: int) -> bool:
    return shard.closed_ms is None or shard.closed_ms > time_ms


def visible(caller: Caller, found: Found) -> list[int]:
    """The shards that can still be read: one that was closed goes when its last record may have gone."""
    horizon_ms = caller.now_ms - found.hours * HOUR_MS
    return [index for index, shard in enumerate(found.own.shards) if _ends_after(shard, horizon_ms)]


def page(rows: Sequence[int], caller: Caller, found: Found, after: str | None, size: int) -> tuple[list[int], bool]:
    """So many of the shards behind one, and whether there are more."""
    if after is not None:
        behind = caller.shard_of(found, after, "exclusiveStartShardId")
        rows = [index for index in rows if index > behind]
    return list(rows[:size]), len(rows) > size


def shown(found: Found, index: int) -> shapes.Shard:
    """A shard as it is described."""
    shard = found.shard(index)
    ends = None
    if shard.closed_ms is not None:
        ends = found.sequence(index, found.partition(index).high_watermark)
    return shapes.Shard(
        shard_id=cursor.shard_id(index),
        parent_shard_id=None if shard.parent is None else cursor.shard_id(shard.parent),
        adjacent_parent_shard_id=None if shard.adjacent is None else cursor.shard_id(shard.adjacent),
        hash_key_range=keys_of(shard),
        sequence_number_range=shapes.SequenceNumberRange(
            starting_sequence_number=found.sequence(index, -1), ending_sequence_number=ends
        ),
    )


def keys_of(shard: Shard) -> shapes.HashKeyRange:
    """The hash keys of a shard."""
    low, high = shard.range
    return shapes.HashKeyRange(starting_hash_key=str(low), ending_hash_key=str(high))


def children_of(found: Found, index: int) -> list[shapes.ChildShard]:
    """The shards that go on where one has ended."""
    return [
        shapes.ChildShard(
            shard_id=cursor.shard_id(at),
            parent_shards=[cursor.shard_id(parent) for parent in shard.parents],
            hash_key_range=keys_of(shard),
        )
        for at, shard in enumerate(found.own.shards)
        if index in shard.parents
    ]
