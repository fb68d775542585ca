"""The actions on streams: make, remove, describe and list them.

Each turns its input into calls of the broker and answers when what it changed is durable.
"""

from collections.abc import Iterator
from typing import Final

from isthmus.definition import TopicConfig, TopicDefinition
from isthmus.limits import PARTITIONS_MAX
from isthmus.protocols.kinesis import shapes
from isthmus.protocols.kinesis.errors import in_use, invalid, limited, missing, violated
from isthmus.protocols.kinesis.handlers.caller import NAMESPACE, Caller, Found, check_name, found_of, is_name
from isthmus.protocols.kinesis.handlers.shards import page, shown, visible
from isthmus.protocols.kinesis.shards import DAY_HOURS, HOUR_MS, RECORD_KIB, Own, kept, made

ON_DEMAND_SHARDS: Final = 4
RECORD_KIB_MAX: Final = 10_240
RECORD_ROOM: Final = 1_024
"""Bytes that a record may have beside key and data."""

TAGS_MAX: Final = 50
LIMIT: Final = 100
LIMIT_MAX: Final = 10_000
MODES: Final = ("PROVISIONED", "ON_DEMAND")


async def create_stream(caller: Caller, asked: shapes.CreateStream) -> None:
    """Make a stream; it can be used when this is answered."""
    name = check_name(asked.stream_name)
    await caller.broker.quiet("topic", NAMESPACE, name)
    if (NAMESPACE, name) in caller.broker.catalog.topic_names:
        raise in_use(f"Stream {name} under account {caller.account} already exists.")
    on_demand = mode_of(asked.stream_mode_details)
    count = _count(caller, asked.shard_count, on_demand=on_demand)
    record_kib = checked_kib(asked.max_record_size)
    if len(asked.tags) > TAGS_MAX:
        raise invalid(f"Failed to add tags to stream {name}: there are more than {TAGS_MAX}.")
    own = Own(made(count, caller.now_ms), on_demand, record_kib, asked.tags)
    config = TopicConfig(age_ms=DAY_HOURS * HOUR_MS, timestamps="append", record_bytes_max=record_bytes(record_kib))
    definition = TopicDefinition(name=name, partitions=count, placement="md5-range", config=kept(config, own))
    await caller.broker.create_topic(caller.session, definition)


def mode_of(asked: shapes.Mode | None) -> bool:
    """Whether a stream is on demand. Raises AwsError."""
    mode = MODES[0] if asked is None else asked.stream_mode
    if mode not in MODES:
        constraint = "Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]"
        raise violated(mode, "streamModeDetails.streamMode", constraint)
    return mode == MODES[1]


def checked_kib(asked: int | None) -> int:
    """How large a record may be. Raises AwsError."""
    if asked is None:
        return RECORD_KIB
    if not RECORD_KIB <= asked <= RECORD_KIB_MAX:
        bound = "greater than or equal to 1024" if asked < RECORD_KIB else "less than or equal to 10240"
        raise violated(asked, "maxRecordSizeInKiB", f"Member must have value {bound}")
    return asked


def record_bytes(record_kib: int) -> int:
    """What the topic is told of how large a record may be."""
    return record_kib * 1_024 + RECORD_ROOM


def _count(caller: Caller, asked: int | None, *, on_demand: bool) -> int:
    if on_demand:
        if asked is not None:
            raise invalid("ShardCount must not be given for a stream in On-Demand mode.")
        return ON_DEMAND_SHARDS
    if asked is None:
        raise missing("shardCount")
    if asked < 1:
        raise violated(asked, "shardCount", "Member must have value greater than or equal to 1")
    if asked > PARTITIONS_MAX:
        raise limited(
            f"This request would exceed the shard limit for the account {caller.account} in {caller.region}. "
            f"Limit: {PARTITIONS_MAX}. Number of additional shards that would have resulted from this request: {asked}."
        )
    return asked


async def delete_stream(caller: Caller, asked: shapes.DeleteStream) -> None:
    """Remove a stream with its records."""
    found = await caller.find(asked)
    if found.own.consumers and not asked.enforce_consumer_deletion:
        raise in_use(f"Stream {found.name} has registered consumers; ask for EnforceConsumerDeletion.")
    await caller.broker.remove_topic(caller.session, NAMESPACE, found.name)


async def describe_stream(caller: Caller, asked: shapes.DescribeStream) -> shapes.StreamDescription:
    """A stream and its shards, a page at a time."""
    found = await caller.find(asked)
    caller.check("describe", found.name)
    limit = checked_limit(asked.limit, "limit")
    rows, more = page(visible(caller, found), caller, found, asked.exclusive_start_shard_id, limit)
    own = found.own
    return shapes.StreamDescription(
        stream_description=shapes.Described(
            stream_name=found.name,
            stream_arn=caller.arn_of(found.name),
            stream_status="ACTIVE",
            stream_mode_details=mode_shown(found),
            shards=[shown(found, index) for index in rows],
            has_more_shards=more,
            retention_period_hours=found.hours,
            stream_creation_timestamp=found.topic.set.created_ms / 1_000,
            enhanced_monitoring=[shapes.Metrics(shard_level_metrics=list(own.metrics))],
            encryption_type=found.encryption or "NONE",
            key_id=own.key_id,
        )
    )


async def describe_stream_summary(caller: Caller, asked: shapes.OnStream) -> shapes.StreamSummary:
    """A stream without its shards."""
    found = await caller.find(asked)
    caller.check("describe", found.name)
    own = found.own
    return shapes.StreamSummary(
        stream_description_summary=shapes.Summary(
            stream_name=found.name,
            stream_arn=caller.arn_of(found.name),
            stream_status="ACTIVE",
            stream_mode_details=mode_shown(found),
            retention_period_hours=found.hours,
            stream_creation_timestamp=found.topic.set.created_ms / 1_000,
            enhanced_monitoring=[shapes.Metrics(shard_level_metrics=list(own.metrics))],
            encryption_type=found.encryption or "NONE",
            key_id=own.key_id,
            open_shard_count=len(found.layout.open),
            consumer_count=len(own.consumers),
            max_record_size=own.record_kib,
        )
    )


async def list_streams(caller: Caller, asked: shapes.ListStreams) -> shapes.Streams:
    """The streams by their names, a page at a time; the token is the last name of a page."""
    limit = checked_limit(asked.limit, "limit")
    after = asked.next_token or asked.exclusive_start_stream_name or ""
    rows = [found for found in streams(caller) if found.name > after]
    names = [found.name for found in rows[:limit]]
    more = len(rows) > limit
    return shapes.Streams(
        stream_names=names,
        has_more_streams=more,
        next_token=names[-1] if more else None,
        stream_summaries=[_listed(caller, found) for found in rows[:limit]],
    )


def streams(caller: Caller) -> Iterator[Found]:
    """Everything that is a stream and may be seen, by name."""
    catalog, access = caller.broker.catalog, caller.broker.access
    for (namespace, name), topic_id in sorted(catalog.topic_names.items()):
        topic = catalog.topics[topic_id]
        ours = namespace == NAMESPACE and topic.set.queue is None and is_name(name)
        if ours and access.allows(caller.session, "describe", name):
            yield found_of(topic)


def _listed(caller: Caller, found: Found) -> shapes.Listed:
    return shapes.Listed(
        stream_name=found.name,
        stream_arn=caller.arn_of(found.name),
        stream_status="ACTIVE",
        stream_mode_details=mode_shown(found),
        stream_creation_timestamp=found.topic.set.created_ms / 1_000,
    )


def mode_shown(found: Found) -> shapes.Mode:
    """The mode of a stream."""
    return shapes.Mode(stream_mode=MODES[found.own.on_demand])


def checked_limit(asked: int | None, member: str) -> int:
    """How many of something. Raises AwsError."""
    if asked is None:
        return LIMIT
    if not 1 <= asked <= LIMIT_MAX:
        bound = "greater than or equal to 1" if asked < 1 else f"less than or equal to {LIMIT_MAX}"
        raise violated(asked, member, f"Member must have value {bound}")
    return asked
