"""What Kinesis's actions take and give, as data: one struct for each input and output, with AWS's names of its members.

A test holds it against the service model of AWS's own client library; it checks no value and does nothing. Times are
seconds since 1970 UTC.

Spec: Amazon Kinesis API, version 2013-12-02.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

Strings = dict[str, str]


class Shape(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The common root; a member that is None is left out, and so is one with a default that it still has."""


class OnStream(Shape, frozen=True):
    """An input that names a stream, by its name or its ARN; ids are reserved by AWS and mean nothing."""

    stream_name: str | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    stream_id: str | None = None


class Nothing(Shape, frozen=True):
    """An input without members."""


class Mode(Shape, frozen=True):
    """PROVISIONED or ON_DEMAND."""

    stream_mode: str


# ---- streams ------------------------------------------------------------------------------------------------------


class CreateStream(Shape, frozen=True):
    """See the model."""

    stream_name: str | None = None
    shard_count: int | None = None
    stream_mode_details: Mode | None = None
    tags: Strings = {}
    warm_throughput_mibps: int | None = msgspec.field(name="WarmThroughputMiBps", default=None)
    max_record_size: int | None = msgspec.field(name="MaxRecordSizeInKiB", default=None)
    record_distribution_strategy: str | None = None


class DeleteStream(OnStream, frozen=True):
    """See the model."""

    enforce_consumer_deletion: bool | None = None


class DescribeStream(OnStream, frozen=True):
    """See the model."""

    limit: int | None = None
    exclusive_start_shard_id: str | None = None


class HashKeyRange(Shape, frozen=True):
    """Both ends are in it."""

    starting_hash_key: str
    ending_hash_key: str


class SequenceNumberRange(Shape, frozen=True):
    """The end is there once the shard is closed."""

    starting_sequence_number: str
    ending_sequence_number: str | None = None


class Shard(Shape, frozen=True, kw_only=True):
    """See the model."""

    shard_id: str
    parent_shard_id: str | None = None
    adjacent_parent_shard_id: str | None = None
    hash_key_range: HashKeyRange
    sequence_number_range: SequenceNumberRange


class Metrics(Shape, frozen=True):
    """The metrics of shards that are asked for."""

    shard_level_metrics: list[str]


class Described(Shape, frozen=True, kw_only=True):
    """See the model: `StreamDescription`."""

    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_status: str
    stream_mode_details: Mode
    shards: list[Shard]
    has_more_shards: bool
    retention_period_hours: int
    stream_creation_timestamp: float
    enhanced_monitoring: list[Metrics]
    encryption_type: str | None = None
    key_id: str | None = None


class StreamDescription(Shape, frozen=True):
    """See the model: the output of `DescribeStream`."""

    stream_description: Described


class WarmThroughput(Shape, frozen=True):
    """See the model."""

    target_mibps: int = msgspec.field(name="TargetMiBps")
    current_mibps: int = msgspec.field(name="CurrentMiBps")


class Summary(Shape, frozen=True, kw_only=True):
    """See the model: `StreamDescriptionSummary`."""

    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_status: str
    stream_mode_details: Mode
    retention_period_hours: int
    stream_creation_timestamp: float
    enhanced_monitoring: list[Metrics]
    encryption_type: str | None = None
    key_id: str | None = None
    open_shard_count: int
    consumer_count: int
    warm_throughput: WarmThroughput | None = None
    max_record_size: int = msgspec.field(name="MaxRecordSizeInKiB")
    channel_count: int | None = None
    record_distribution_strategy: str | None = None
    queue_count: int | None = None
    stream_id: str | None = None


class StreamSummary(Shape, frozen=True):
    """See the model: the output of `DescribeStreamSummary`."""

    stream_description_summary: Summary


class ListStreams(Shape, frozen=True):
    """See the model."""

    limit: int | None = None
    exclusive_start_stream_name: str | None = None
    next_token: str | None = None


class Listed(Shape, frozen=True):
    """One stream of a list."""

    stream_name: str
    stream_arn: str = msgspec.field(name="StreamARN")
    stream_status: str
    stream_mode_details: Mode
    stream_creation_timestamp: float


class Streams(Shape, frozen=True, kw_only=True):
    """See the model."""

    stream_names: list[str]
    has_more_streams: bool
    next_token: str | None = None
    stream_summaries: list[Listed]


# ---- shards -------------------------------------------------------------------------------------------------------


class ShardFilter(Shape, frozen=True):
    """Which shards are asked for."""

    type: str
    shard_id: str | None = None
    timestamp: float | None = None


class ListShards(OnStream, frozen=True):
    """See the model."""

    next_token: str | None = None
    exclusive_start_shard_id: str | None = None
    max_results: int | None = None
    stream_creation_timestamp: float | None = None
    shard_filter: ShardFilter | None = None


class Shards(Shape, frozen=True):
    """See the model."""

    shards: list[Shard]
    next_token: str | None = None


# ---- records ------------------------------------------------------------------------------------------------------


class PutRecord(OnStream, frozen=True):
    """See the model."""

    data: bytes | None = None
    partition_key: str | None = None
    explicit_hash_key: str | None = None
    sequence_number_for_ordering: str | None = None
    dry_run: bool | None = None


class Put(Shape, frozen=True):
    """See the model: the output of `PutRecord`."""

    shard_id: str
    sequence_number: str
    encryption_type: str | None = None


class PutEntry(Shape, frozen=True):
    """One record of many."""

    data: bytes | None = None
    explicit_hash_key: str | None = None
    partition_key: str | None = None


class PutRecords(OnStream, frozen=True):
    """See the model."""

    records: list[PutEntry] = []
    dry_run: bool | None = None


class PutResult(Shape, frozen=True):
    """Where one of many went, or why it did not."""

    sequence_number: str | None = None
    shard_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class PutMany(Shape, frozen=True):
    """See the model: the output of `PutRecords`."""

    failed_record_count: int
    records: list[PutResult]
    encryption_type: str | None = None


class GetShardIterator(OnStream, frozen=True):
    """See the model."""

    shard_id: str | None = None
    shard_iterator_type: str | None = None
    starting_sequence_number: str | None = None
    timestamp: float | None = None
    dry_run: bool | None = None


class ShardIterator(Shape, frozen=True):
    """See the model."""

    shard_iterator: str


class GetRecords(Shape, frozen=True):
    """See the model."""

    shard_iterator: str | None = None
    limit: int | None = None
    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    stream_id: str | None = None
    dry_run: bool | None = None


class Record(Shape, frozen=True):
    """See the model."""

    sequence_number: str
    approximate_arrival_timestamp: float
    data: bytes
    partition_key: str
    encryption_type: str | None = None


class ChildShard(Shape, frozen=True):
    """A shard that goes on where one has ended."""

    shard_id: str
    parent_shards: list[str]
    hash_key_range: HashKeyRange


class Records(Shape, frozen=True, kw_only=True):
    """See the model: without an iterator the shard has ended, and its children are told."""

    records: list[Record]
    next_shard_iterator: str | None = None
    millis_behind_latest: int
    child_shards: list[ChildShard] | None = None


# ---- resharding ---------------------------------------------------------------------------------------------------


class SplitShard(OnStream, frozen=True):
    """See the model."""

    shard_to_split: str | None = None
    new_starting_hash_key: str | None = None


class MergeShards(OnStream, frozen=True):
    """See the model."""

    shard_to_merge: str | None = None
    adjacent_shard_to_merge: str | None = None


class UpdateShardCount(OnStream, frozen=True):
    """See the model."""

    target_shard_count: int | None = None
    scaling_type: str | None = None


class ShardCount(Shape, frozen=True):
    """See the model: the output of `UpdateShardCount`."""

    stream_name: str
    current_shard_count: int
    target_shard_count: int
    stream_arn: str = msgspec.field(name="StreamARN")


# ---- settings -----------------------------------------------------------------------------------------------------


class Retention(OnStream, frozen=True):
    """See the model: both directions."""

    retention_period_hours: int | None = None


class AddTagsToStream(OnStream, frozen=True):
    """See the model."""

    tags: Strings = {}


class RemoveTagsFromStream(OnStream, frozen=True):
    """See the model."""

    tag_keys: list[str] = []


class ListTagsForStream(OnStream, frozen=True):
    """See the model."""

    exclusive_start_tag_key: str | None = None
    limit: int | None = None


class Tag(Shape, frozen=True):
    """One of them."""

    key: str
    value: str | None = None


class StreamTags(Shape, frozen=True):
    """See the model."""

    tags: list[Tag]
    has_more_tags: bool


class OnResource(Shape, frozen=True):
    """An input that names a stream by its ARN."""

    resource_arn: str | None = msgspec.field(name="ResourceARN", default=None)
    stream_id: str | None = None


class TagResource(OnResource, frozen=True):
    """See the model."""

    tags: Strings = {}


class UntagResource(OnResource, frozen=True):
    """See the model."""

    tag_keys: list[str] = []


class Tags(Shape, frozen=True):
    """See the model."""

    tags: list[Tag]


class PutResourcePolicy(OnResource, frozen=True):
    """See the model."""

    policy: str | None = None


class ResourcePolicy(Shape, frozen=True):
    """See the model."""

    policy: str


class Encryption(OnStream, frozen=True):
    """See the model: start and stop."""

    encryption_type: str | None = None
    key_id: str | None = None


class Monitoring(OnStream, frozen=True):
    """See the model: more and less."""

    shard_level_metrics: list[str] = []


class Monitored(Shape, frozen=True):
    """See the model."""

    stream_name: str
    current_shard_level_metrics: list[str]
    desired_shard_level_metrics: list[str]
    stream_arn: str = msgspec.field(name="StreamARN")


class UpdateStreamMode(Shape, frozen=True):
    """See the model."""

    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    stream_id: str | None = None
    stream_mode_details: Mode | None = None
    warm_throughput_mibps: int | None = msgspec.field(name="WarmThroughputMiBps", default=None)


class UpdateMaxRecordSize(Shape, frozen=True):
    """See the model."""

    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    stream_id: str | None = None
    max_record_size: int | None = msgspec.field(name="MaxRecordSizeInKiB", default=None)


class Limits(Shape, frozen=True):
    """See the model: the output of `DescribeLimits`."""

    shard_limit: int
    open_shard_count: int
    on_demand_stream_count: int
    on_demand_stream_count_limit: int
    channel_count: int | None = None
    channel_count_limit: int | None = None


# ---- consumers ----------------------------------------------------------------------------------------------------


class RegisterStreamConsumer(Shape, frozen=True):
    """See the model."""

    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    consumer_name: str | None = None
    stream_id: str | None = None
    tags: Strings = {}


class Consumer(Shape, frozen=True):
    """One that was registered."""

    consumer_name: str
    consumer_arn: str = msgspec.field(name="ConsumerARN")
    consumer_status: str
    consumer_creation_timestamp: float


class RegisteredConsumer(Shape, frozen=True):
    """See the model."""

    consumer: Consumer


class OnConsumer(Shape, frozen=True):
    """An input that names a consumer, by its ARN, or by its stream and its name."""

    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    consumer_name: str | None = None
    consumer_arn: str | None = msgspec.field(name="ConsumerARN", default=None)
    stream_id: str | None = None


class ConsumerDescription(Shape, frozen=True):
    """See the model."""

    consumer_name: str
    consumer_arn: str = msgspec.field(name="ConsumerARN")
    consumer_status: str
    consumer_creation_timestamp: float
    stream_arn: str = msgspec.field(name="StreamARN")


class DescribedConsumer(Shape, frozen=True):
    """See the model."""

    consumer_description: ConsumerDescription


class ListStreamConsumers(Shape, frozen=True):
    """See the model."""

    stream_arn: str | None = msgspec.field(name="StreamARN", default=None)
    next_token: str | None = None
    max_results: int | None = None
    stream_creation_timestamp: float | None = None
    stream_id: str | None = None


class Consumers(Shape, frozen=True):
    """See the model."""

    consumers: list[Consumer]
    next_token: str | None = None


class StartingPosition(Shape, frozen=True):
    """Where a subscription begins."""

    type: str | None = None
    sequence_number: str | None = None
    timestamp: float | None = None


class SubscribeToShard(Shape, frozen=True):
    """See the model."""

    consumer_arn: str | None = msgspec.field(name="ConsumerARN", default=None)
    stream_id: str | None = None
    shard_id: str | None = None
    starting_position: StartingPosition | None = None
    dry_run: bool | None = None


class SubscribeToShardEvent(Shape, frozen=True):
    """See the model: what a subscription gives, again and again."""

    records: list[Record]
    continuation_sequence_number: str
    millis_behind_latest: int
    child_shards: list[ChildShard] | None = None


# ---- the actions --------------------------------------------------------------------------------------------------

ACTIONS: Final[dict[str, tuple[type[Any], type[Any] | None]]] = {
    "AddTagsToStream": (AddTagsToStream, None),
    "CreateStream": (CreateStream, None),
    "DecreaseStreamRetentionPeriod": (Retention, None),
    "DeleteResourcePolicy": (OnResource, None),
    "DeleteStream": (DeleteStream, None),
    "DeregisterStreamConsumer": (OnConsumer, None),
    "DescribeLimits": (Nothing, Limits),
    "DescribeStream": (DescribeStream, StreamDescription),
    "DescribeStreamConsumer": (OnConsumer, DescribedConsumer),
    "DescribeStreamSummary": (OnStream, StreamSummary),
    "DisableEnhancedMonitoring": (Monitoring, Monitored),
    "EnableEnhancedMonitoring": (Monitoring, Monitored),
    "GetRecords": (GetRecords, Records),
    "GetResourcePolicy": (OnResource, ResourcePolicy),
    "GetShardIterator": (GetShardIterator, ShardIterator),
    "IncreaseStreamRetentionPeriod": (Retention, None),
    "ListShards": (ListShards, Shards),
    "ListStreamConsumers": (ListStreamConsumers, Consumers),
    "ListStreams": (ListStreams, Streams),
    "ListTagsForResource": (OnResource, Tags),
    "ListTagsForStream": (ListTagsForStream, StreamTags),
    "MergeShards": (MergeShards, None),
    "PutRecord": (PutRecord, Put),
    "PutRecords": (PutRecords, PutMany),
    "PutResourcePolicy": (PutResourcePolicy, None),
    "RegisterStreamConsumer": (RegisterStreamConsumer, RegisteredConsumer),
    "RemoveTagsFromStream": (RemoveTagsFromStream, None),
    "SplitShard": (SplitShard, None),
    "StartStreamEncryption": (Encryption, None),
    "StopStreamEncryption": (Encryption, None),
    "SubscribeToShard": (SubscribeToShard, SubscribeToShardEvent),
    "TagResource": (TagResource, None),
    "UntagResource": (UntagResource, None),
    "UpdateMaxRecordSize": (UpdateMaxRecordSize, None),
    "UpdateShardCount": (UpdateShardCount, ShardCount),
    "UpdateStreamMode": (UpdateStreamMode, None),
}
"""Input and output of each action; of a subscription, one of its events."""
