"""The actions on what a stream is told to be: retention, tags, policy, encryption, metrics, mode and limits.

Retention, mode and the size of records are done; the rest is kept and shown, and means nothing here.
"""

from typing import Final

import msgspec

from isthmus.limits import PARTITIONS_MAX, TOPICS_MAX
from isthmus.protocols.kinesis import shapes
from isthmus.protocols.kinesis.errors import invalid, missing, not_found, violated
from isthmus.protocols.kinesis.handlers.caller import FOREVER_HOURS, Caller, Found
from isthmus.protocols.kinesis.handlers.streams import TAGS_MAX, checked_kib, mode_of, record_bytes, streams
from isthmus.protocols.kinesis.shards import DAY_HOURS, HOUR_MS

TAGS_PAGE_MAX: Final = 50
KEY_CHARACTERS_MAX: Final = 128
VALUE_CHARACTERS_MAX: Final = 256
POLICY_CHARACTERS_MAX: Final = 20_480
KEY_ID_CHARACTERS_MAX: Final = 2_048
METRICS: Final = (
    "IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords", "WriteProvisionedThroughputExceeded",
    "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
)  # fmt: skip


# ---- retention ----------------------------------------------------------------------------------------------------


async def increase_stream_retention_period(caller: Caller, asked: shapes.Retention) -> None:
    """Keep records longer."""
    found, hours = await _hours(caller, asked)
    if hours < found.hours:
        raise invalid(f"{_period(hours)} can not be shorter than existing retention period ({found.hours} hours).")
    await caller.keep(found, found.own, age_ms=hours * HOUR_MS)


async def decrease_stream_retention_period(caller: Caller, asked: shapes.Retention) -> None:
    """Keep records shorter; what is older goes."""
    found, hours = await _hours(caller, asked)
    if hours > found.hours:
        raise invalid(f"{_period(hours)} can not be longer than existing retention period ({found.hours} hours).")
    await caller.keep(found, found.own, age_ms=hours * HOUR_MS)


async def _hours(caller: Caller, asked: shapes.Retention) -> tuple[Found, int]:
    found, hours = await caller.find(asked), asked.retention_period_hours
    if hours is None:
        raise missing("retentionPeriodHours")
    if hours < DAY_HOURS:
        raise invalid(f"Minimum allowed retention period is {DAY_HOURS} hours. {_period(hours)} is too short.")
    if hours > FOREVER_HOURS:
        raise invalid(f"Maximum allowed retention period is {FOREVER_HOURS} hours. {_period(hours)} is too long.")
    return found, hours


def _period(hours: int) -> str:
    return f"Requested retention period ({hours} hours)"


# ---- tags ---------------------------------------------------------------------------------------------------------


async def add_tags_to_stream(caller: Caller, asked: shapes.AddTagsToStream) -> None:
    """Set tags."""
    await _tag(caller, await caller.find(asked), asked.tags)


async def remove_tags_from_stream(caller: Caller, asked: shapes.RemoveTagsFromStream) -> None:
    """Forget tags."""
    await _untag(caller, await caller.find(asked), asked.tag_keys)


async def list_tags_for_stream(caller: Caller, asked: shapes.ListTagsForStream) -> shapes.StreamTags:
    """The tags of a stream by their keys, a page at a time."""
    found = await caller.find(asked)
    caller.check("describe", found.name)
    limit = TAGS_PAGE_MAX if asked.limit is None else asked.limit
    if not 1 <= limit <= TAGS_PAGE_MAX:
        raise violated(limit, "limit", f"Member must have value between 1 and {TAGS_PAGE_MAX}")
    rows = [row for row in _tags(found) if row.key > (asked.exclusive_start_tag_key or "")]
    return shapes.StreamTags(tags=rows[:limit], has_more_tags=len(rows) > limit)


async def tag_resource(caller: Caller, asked: shapes.TagResource) -> None:
    """Set tags, of a stream by its ARN."""
    await _tag(caller, await _resource(caller, asked), asked.tags)


async def untag_resource(caller: Caller, asked: shapes.UntagResource) -> None:
    """Forget tags, of a stream by its ARN."""
    await _untag(caller, await _resource(caller, asked), asked.tag_keys)


async def list_tags_for_resource(caller: Caller, asked: shapes.OnResource) -> shapes.Tags:
    """The tags of a stream by its ARN."""
    found = await _resource(caller, asked)
    caller.check("describe", found.name)
    return shapes.Tags(tags=_tags(found))


def _tags(found: Found) -> list[shapes.Tag]:
    return [shapes.Tag(key=key, value=value) for key, value in sorted(found.own.tags.items())]


async def _tag(caller: Caller, found: Found, given: dict[str, str]) -> None:
    if not given:
        raise missing("tags")
    for key, value in given.items():
        if not 1 <= len(key) <= KEY_CHARACTERS_MAX or len(value) > VALUE_CHARACTERS_MAX:
            shown = key[: KEY_CHARACTERS_MAX + 1]
            raise violated(shown, "tags", "Member must have a key of 1 to 128 and a value of up to 256 characters")
    tags = {**found.own.tags, **given}
    if len(tags) > TAGS_MAX:
        raise invalid(f"Failed to add tags to stream {found.name}: it would have {len(tags)}, {TAGS_MAX} is the most.")
    await caller.keep(found, msgspec.structs.replace(found.own, tags=tags))


async def _untag(caller: Caller, found: Found, keys: list[str]) -> None:
    if not keys:
        raise missing("tagKeys")
    tags = {key: value for key, value in found.own.tags.items() if key not in keys}
    await caller.keep(found, msgspec.structs.replace(found.own, tags=tags))


async def _resource(caller: Caller, asked: shapes.OnResource) -> Found:
    """The stream of an ARN."""
    if asked.resource_arn is None:
        raise missing("resourceARN")
    return await caller.find(shapes.OnStream(stream_arn=asked.resource_arn))


# ---- policy, encryption and metrics -------------------------------------------------------------------------------


async def put_resource_policy(caller: Caller, asked: shapes.PutResourcePolicy) -> None:
    """Keep a policy; rights are Isthmus's own."""
    found = await _resource(caller, asked)
    if asked.policy is None:
        raise missing("policy")
    if len(asked.policy) > POLICY_CHARACTERS_MAX:
        raise invalid(f"The policy has {len(asked.policy)} characters; {POLICY_CHARACTERS_MAX} is the most.")
    await caller.keep(found, msgspec.structs.replace(found.own, policy=asked.policy))


async def get_resource_policy(caller: Caller, asked: shapes.OnResource) -> shapes.ResourcePolicy:
    """The policy that was kept."""
    found = await _resource(caller, asked)
    caller.check("describe", found.name)
    if found.own.policy is None:
        raise not_found(f"Stream {found.name} under account {caller.account} has no policy.")
    return shapes.ResourcePolicy(policy=found.own.policy)


async def delete_resource_policy(caller: Caller, asked: shapes.OnResource) -> None:
    """Forget the policy."""
    found = await _resource(caller, asked)
    await caller.keep(found, msgspec.structs.replace(found.own, policy=None))


async def start_stream_encryption(caller: Caller, asked: shapes.Encryption) -> None:
    """Say from now on that records are encrypted with a key."""
    found, key_id = await _key(caller, asked)
    await caller.keep(found, msgspec.structs.replace(found.own, key_id=key_id))


async def stop_stream_encryption(caller: Caller, asked: shapes.Encryption) -> None:
    """Say so no more."""
    found, _ = await _key(caller, asked)
    await caller.keep(found, msgspec.structs.replace(found.own, key_id=None))


async def _key(caller: Caller, asked: shapes.Encryption) -> tuple[Found, str]:
    found = await caller.find(asked)
    if asked.encryption_type != "KMS":
        raise violated(asked.encryption_type, "encryptionType", "Member must satisfy enum value set: [KMS]")
    if asked.key_id is None:
        raise missing("keyId")
    if not 1 <= len(asked.key_id) <= KEY_ID_CHARACTERS_MAX:
        raise violated(asked.key_id[:80], "keyId", "Member must have length between 1 and 2048, inclusive")
    return found, asked.key_id


async def enable_enhanced_monitoring(caller: Caller, asked: shapes.Monitoring) -> shapes.Monitored:
    """Keep more metrics as asked for."""
    found, chosen = await _metrics(caller, asked)
    return await _monitor(caller, found, {*found.own.metrics, *chosen})


async def disable_enhanced_monitoring(caller: Caller, asked: shapes.Monitoring) -> shapes.Monitored:
    """Keep fewer metrics as asked for."""
    found, chosen = await _metrics(caller, asked)
    return await _monitor(caller, found, {*found.own.metrics} - chosen)


async def _metrics(caller: Caller, asked: shapes.Monitoring) -> tuple[Found, set[str]]:
    found = await caller.find(asked)
    chosen = set(asked.shard_level_metrics)
    if not chosen or chosen - {*METRICS, "ALL"}:
        raise violated(sorted(chosen), "shardLevelMetrics", f"Member must be of [{', '.join(METRICS)}, ALL]")
    return found, set(METRICS) if "ALL" in chosen else chosen


async def _monitor(caller: Caller, found: Found, desired: set[str]) -> shapes.Monitored:
    rows = sorted(desired)
    await caller.keep(found, msgspec.structs.replace(found.own, metrics=tuple(rows)))
    return shapes.Monitored(
        stream_name=found.name,
        current_shard_level_metrics=list(found.own.metrics),
        desired_shard_level_metrics=rows,
        stream_arn=caller.arn_of(found.name),
    )


# ---- mode and limits ----------------------------------------------------------------------------------------------


async def update_stream_mode(caller: Caller, asked: shapes.UpdateStreamMode) -> None:
    """Have a stream be on demand, or provisioned; its shards stay."""
    found = await caller.find(shapes.OnStream(stream_arn=asked.stream_arn))
    if asked.stream_mode_details is None:
        raise missing("streamModeDetails")
    await caller.keep(found, msgspec.structs.replace(found.own, on_demand=mode_of(asked.stream_mode_details)))


async def update_max_record_size(caller: Caller, asked: shapes.UpdateMaxRecordSize) -> None:
    """Let records be larger, or smaller."""
    found = await caller.find(shapes.OnStream(stream_arn=asked.stream_arn))
    if asked.max_record_size is None:
        raise missing("maxRecordSizeInKiB")
    record_kib = checked_kib(asked.max_record_size)
    own = msgspec.structs.replace(found.own, record_kib=record_kib)
    await caller.keep(found, own, record_bytes_max=record_bytes(record_kib))


async def describe_limits(caller: Caller, asked: shapes.Nothing) -> shapes.Limits:  # noqa: ARG001 - it has no members
    """How many shards there are, and could be."""
    found = list(streams(caller))
    return shapes.Limits(
        shard_limit=PARTITIONS_MAX,
        open_shard_count=sum(len(each.layout.open) for each in found),
        on_demand_stream_count=sum(each.own.on_demand for each in found),
        on_demand_stream_count_limit=TOPICS_MAX,
    )
