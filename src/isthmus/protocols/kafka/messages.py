"""The structs of Kafka's messages: one class for all versions, with defaults for what one lacks.

Written by `tools/kafka_messages.py` from `layouts.py`; do not edit.
"""

from msgspec import Struct

Records = bytes | tuple[bytes, ...]
"""Record batches; what is sent may be in pieces, which are never joined."""


class ProduceRequestTopicDataPartitionData(Struct, frozen=True):
    """In `ProduceRequestTopicData`."""

    index: int = 0
    records: Records | None = b""


class ProduceRequestTopicData(Struct, frozen=True):
    """In `ProduceRequest`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    partition_data: tuple[ProduceRequestTopicDataPartitionData, ...] = ()


class ProduceRequest(Struct, frozen=True):
    """API 0, versions 3 to 13."""

    transactional_id: str | None = None
    acks: int = 0
    timeout_ms: int = 0
    topic_data: tuple[ProduceRequestTopicData, ...] = ()


class ProduceResponseResponsePartitionResponseRecordError(Struct, frozen=True):
    """In `ProduceResponseResponsePartitionResponse`."""

    batch_index: int = 0
    batch_index_error_message: str | None = None


class ProduceResponseResponsePartitionResponseCurrentLeader(Struct, frozen=True):
    """In `ProduceResponseResponsePartitionResponse`."""

    leader_id: int = -1
    leader_epoch: int = -1


class ProduceResponseResponsePartitionResponse(Struct, frozen=True):
    """In `ProduceResponseResponse`."""

    index: int = 0
    error_code: int = 0
    base_offset: int = 0
    log_append_time_ms: int = -1
    log_start_offset: int = -1
    record_errors: tuple[ProduceResponseResponsePartitionResponseRecordError, ...] = ()
    error_message: str | None = None
    current_leader: ProduceResponseResponsePartitionResponseCurrentLeader | None = None


class ProduceResponseResponse(Struct, frozen=True):
    """In `ProduceResponse`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    partition_responses: tuple[ProduceResponseResponsePartitionResponse, ...] = ()


class ProduceResponseNodeEndpoint(Struct, frozen=True):
    """In `ProduceResponse`."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class ProduceResponse(Struct, frozen=True):
    """API 0, versions 3 to 13."""

    responses: tuple[ProduceResponseResponse, ...] = ()
    throttle_time_ms: int = 0
    node_endpoints: tuple[ProduceResponseNodeEndpoint, ...] = ()


class FetchRequestReplicaState(Struct, frozen=True):
    """In `FetchRequest`."""

    replica_id: int = -1
    replica_epoch: int = -1


class FetchRequestTopicPartition(Struct, frozen=True):
    """In `FetchRequestTopic`."""

    partition: int = 0
    current_leader_epoch: int = -1
    fetch_offset: int = 0
    last_fetched_epoch: int = -1
    log_start_offset: int = -1
    partition_max_bytes: int = 0
    replica_directory_id: bytes = bytes(16)
    high_watermark: int = 9223372036854775807


class FetchRequestTopic(Struct, frozen=True):
    """In `FetchRequest`."""

    topic: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[FetchRequestTopicPartition, ...] = ()


class FetchRequestForgottenTopicsData(Struct, frozen=True):
    """In `FetchRequest`."""

    topic: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[int, ...] = ()


class FetchRequest(Struct, frozen=True):
    """API 1, versions 4 to 18."""

    cluster_id: str | None = None
    replica_id: int = -1
    replica_state: FetchRequestReplicaState | None = None
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 2147483647
    isolation_level: int = 0
    session_id: int = 0
    session_epoch: int = -1
    topics: tuple[FetchRequestTopic, ...] = ()
    forgotten_topics_data: tuple[FetchRequestForgottenTopicsData, ...] = ()
    rack_id: str = ""


class FetchResponseResponsePartitionDivergingEpoch(Struct, frozen=True):
    """In `FetchResponseResponsePartition`."""

    epoch: int = -1
    end_offset: int = -1


class FetchResponseResponsePartitionCurrentLeader(Struct, frozen=True):
    """In `FetchResponseResponsePartition`."""

    leader_id: int = -1
    leader_epoch: int = -1


class FetchResponseResponsePartitionSnapshotId(Struct, frozen=True):
    """In `FetchResponseResponsePartition`."""

    end_offset: int = -1
    epoch: int = -1


class FetchResponseResponsePartitionAbortedTransaction(Struct, frozen=True):
    """In `FetchResponseResponsePartition`."""

    producer_id: int = 0
    first_offset: int = 0


class FetchResponseResponsePartition(Struct, frozen=True):
    """In `FetchResponseResponse`."""

    partition_index: int = 0
    error_code: int = 0
    high_watermark: int = 0
    last_stable_offset: int = -1
    log_start_offset: int = -1
    diverging_epoch: FetchResponseResponsePartitionDivergingEpoch | None = None
    current_leader: FetchResponseResponsePartitionCurrentLeader | None = None
    snapshot_id: FetchResponseResponsePartitionSnapshotId | None = None
    aborted_transactions: tuple[FetchResponseResponsePartitionAbortedTransaction, ...] | None = ()
    preferred_read_replica: int = -1
    records: Records | None = b""


class FetchResponseResponse(Struct, frozen=True):
    """In `FetchResponse`."""

    topic: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[FetchResponseResponsePartition, ...] = ()


class FetchResponseNodeEndpoint(Struct, frozen=True):
    """In `FetchResponse`."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class FetchResponse(Struct, frozen=True):
    """API 1, versions 4 to 18."""

    throttle_time_ms: int = 0
    error_code: int = 0
    session_id: int = 0
    responses: tuple[FetchResponseResponse, ...] = ()
    node_endpoints: tuple[FetchResponseNodeEndpoint, ...] = ()


class ListOffsetsRequestTopicPartition(Struct, frozen=True):
    """In `ListOffsetsRequestTopic`."""

    partition_index: int = 0
    current_leader_epoch: int = -1
    timestamp: int = 0


class ListOffsetsRequestTopic(Struct, frozen=True):
    """In `ListOffsetsRequest`."""

    name: str = ""
    partitions: tuple[ListOffsetsRequestTopicPartition, ...] = ()


class ListOffsetsRequest(Struct, frozen=True):
    """API 2, versions 1 to 11."""

    replica_id: int = 0
    isolation_level: int = 0
    topics: tuple[ListOffsetsRequestTopic, ...] = ()
    timeout_ms: int = 0


class ListOffsetsResponseTopicPartition(Struct, frozen=True):
    """In `ListOffsetsResponseTopic`."""

    partition_index: int = 0
    error_code: int = 0
    timestamp: int = -1
    offset: int = -1
    leader_epoch: int = -1


class ListOffsetsResponseTopic(Struct, frozen=True):
    """In `ListOffsetsResponse`."""

    name: str = ""
    partitions: tuple[ListOffsetsResponseTopicPartition, ...] = ()


class ListOffsetsResponse(Struct, frozen=True):
    """API 2, versions 1 to 11."""

    throttle_time_ms: int = 0
    topics: tuple[ListOffsetsResponseTopic, ...] = ()


class MetadataRequestTopic(Struct, frozen=True):
    """In `MetadataRequest`."""

    topic_id: bytes = bytes(16)
    name: str | None = ""


class MetadataRequest(Struct, frozen=True):
    """API 3, versions 0 to 13."""

    topics: tuple[MetadataRequestTopic, ...] | None = ()
    allow_auto_topic_creation: bool = True
    include_cluster_authorized_operations: bool = False
    include_topic_authorized_operations: bool = False


class MetadataResponseBroker(Struct, frozen=True):
    """In `MetadataResponse`."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class MetadataResponseTopicPartition(Struct, frozen=True):
    """In `MetadataResponseTopic`."""

    error_code: int = 0
    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = -1
    replica_nodes: tuple[int, ...] = ()
    isr_nodes: tuple[int, ...] = ()
    offline_replicas: tuple[int, ...] = ()


class MetadataResponseTopic(Struct, frozen=True):
    """In `MetadataResponse`."""

    error_code: int = 0
    name: str | None = ""
    topic_id: bytes = bytes(16)
    is_internal: bool = False
    partitions: tuple[MetadataResponseTopicPartition, ...] = ()
    topic_authorized_operations: int = -2147483648


class MetadataResponse(Struct, frozen=True):
    """API 3, versions 0 to 13."""

    throttle_time_ms: int = 0
    brokers: tuple[MetadataResponseBroker, ...] = ()
    cluster_id: str | None = None
    controller_id: int = -1
    topics: tuple[MetadataResponseTopic, ...] = ()
    cluster_authorized_operations: int = -2147483648
    error_code: int = 0


class OffsetCommitRequestTopicPartition(Struct, frozen=True):
    """In `OffsetCommitRequestTopic`."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1
    committed_metadata: str | None = None


class OffsetCommitRequestTopic(Struct, frozen=True):
    """In `OffsetCommitRequest`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[OffsetCommitRequestTopicPartition, ...] = ()


class OffsetCommitRequest(Struct, frozen=True):
    """API 8, versions 2 to 10."""

    group_id: str = ""
    generation_id_or_member_epoch: int = -1
    member_id: str = ""
    group_instance_id: str | None = None
    retention_time_ms: int = -1
    topics: tuple[OffsetCommitRequestTopic, ...] = ()


class OffsetCommitResponseTopicPartition(Struct, frozen=True):
    """In `OffsetCommitResponseTopic`."""

    partition_index: int = 0
    error_code: int = 0


class OffsetCommitResponseTopic(Struct, frozen=True):
    """In `OffsetCommitResponse`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[OffsetCommitResponseTopicPartition, ...] = ()


class OffsetCommitResponse(Struct, frozen=True):
    """API 8, versions 2 to 10."""

    throttle_time_ms: int = 0
    topics: tuple[OffsetCommitResponseTopic, ...] = ()


class OffsetFetchRequestTopic(Struct, frozen=True):
    """In `OffsetFetchRequest`."""

    name: str = ""
    partition_indexes: tuple[int, ...] = ()


class OffsetFetchRequestGroupTopic(Struct, frozen=True):
    """In `OffsetFetchRequestGroup`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    partition_indexes: tuple[int, ...] = ()


class OffsetFetchRequestGroup(Struct, frozen=True):
    """In `OffsetFetchRequest`."""

    group_id: str = ""
    member_id: str | None = None
    member_epoch: int = -1
    topics: tuple[OffsetFetchRequestGroupTopic, ...] | None = ()


class OffsetFetchRequest(Struct, frozen=True):
    """API 9, versions 1 to 10."""

    group_id: str = ""
    topics: tuple[OffsetFetchRequestTopic, ...] | None = ()
    groups: tuple[OffsetFetchRequestGroup, ...] = ()
    require_stable: bool = False


class OffsetFetchResponseTopicPartition(Struct, frozen=True):
    """In `OffsetFetchResponseTopic`."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1
    metadata: str | None = None
    error_code: int = 0


class OffsetFetchResponseTopic(Struct, frozen=True):
    """In `OffsetFetchResponse`."""

    name: str = ""
    partitions: tuple[OffsetFetchResponseTopicPartition, ...] = ()


class OffsetFetchResponseGroupTopicPartition(Struct, frozen=True):
    """In `OffsetFetchResponseGroupTopic`."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1
    metadata: str | None = None
    error_code: int = 0


class OffsetFetchResponseGroupTopic(Struct, frozen=True):
    """In `OffsetFetchResponseGroup`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[OffsetFetchResponseGroupTopicPartition, ...] = ()


class OffsetFetchResponseGroup(Struct, frozen=True):
    """In `OffsetFetchResponse`."""

    group_id: str = ""
    topics: tuple[OffsetFetchResponseGroupTopic, ...] = ()
    error_code: int = 0


class OffsetFetchResponse(Struct, frozen=True):
    """API 9, versions 1 to 10."""

    throttle_time_ms: int = 0
    topics: tuple[OffsetFetchResponseTopic, ...] = ()
    error_code: int = 0
    groups: tuple[OffsetFetchResponseGroup, ...] = ()


class FindCoordinatorRequest(Struct, frozen=True):
    """API 10, versions 0 to 6."""

    key: str = ""
    key_type: int = 0
    coordinator_keys: tuple[str, ...] = ()


class FindCoordinatorResponseCoordinator(Struct, frozen=True):
    """In `FindCoordinatorResponse`."""

    key: str = ""
    node_id: int = 0
    host: str = ""
    port: int = 0
    error_code: int = 0
    error_message: str | None = None


class FindCoordinatorResponse(Struct, frozen=True):
    """API 10, versions 0 to 6."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    node_id: int = 0
    host: str = ""
    port: int = 0
    coordinators: tuple[FindCoordinatorResponseCoordinator, ...] = ()


class JoinGroupRequestProtocol(Struct, frozen=True):
    """In `JoinGroupRequest`."""

    name: str = ""
    metadata: bytes = b""


class JoinGroupRequest(Struct, frozen=True):
    """API 11, versions 0 to 9."""

    group_id: str = ""
    session_timeout_ms: int = 0
    rebalance_timeout_ms: int = -1
    member_id: str = ""
    group_instance_id: str | None = None
    protocol_type: str = ""
    protocols: tuple[JoinGroupRequestProtocol, ...] = ()
    reason: str | None = None


class JoinGroupResponseMember(Struct, frozen=True):
    """In `JoinGroupResponse`."""

    member_id: str = ""
    group_instance_id: str | None = None
    metadata: bytes = b""


class JoinGroupResponse(Struct, frozen=True):
    """API 11, versions 0 to 9."""

    throttle_time_ms: int = 0
    error_code: int = 0
    generation_id: int = -1
    protocol_type: str | None = None
    protocol_name: str | None = ""
    leader: str = ""
    skip_assignment: bool = False
    member_id: str = ""
    members: tuple[JoinGroupResponseMember, ...] = ()


class HeartbeatRequest(Struct, frozen=True):
    """API 12, versions 0 to 4."""

    group_id: str = ""
    generation_id: int = 0
    member_id: str = ""
    group_instance_id: str | None = None


class HeartbeatResponse(Struct, frozen=True):
    """API 12, versions 0 to 4."""

    throttle_time_ms: int = 0
    error_code: int = 0


class LeaveGroupRequestMember(Struct, frozen=True):
    """In `LeaveGroupRequest`."""

    member_id: str = ""
    group_instance_id: str | None = None
    reason: str | None = None


class LeaveGroupRequest(Struct, frozen=True):
    """API 13, versions 0 to 5."""

    group_id: str = ""
    member_id: str = ""
    members: tuple[LeaveGroupRequestMember, ...] = ()


class LeaveGroupResponseMember(Struct, frozen=True):
    """In `LeaveGroupResponse`."""

    member_id: str = ""
    group_instance_id: str | None = None
    error_code: int = 0


class LeaveGroupResponse(Struct, frozen=True):
    """API 13, versions 0 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    members: tuple[LeaveGroupResponseMember, ...] = ()


class SyncGroupRequestAssignment(Struct, frozen=True):
    """In `SyncGroupRequest`."""

    member_id: str = ""
    assignment: bytes = b""


class SyncGroupRequest(Struct, frozen=True):
    """API 14, versions 0 to 5."""

    group_id: str = ""
    generation_id: int = 0
    member_id: str = ""
    group_instance_id: str | None = None
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignments: tuple[SyncGroupRequestAssignment, ...] = ()


class SyncGroupResponse(Struct, frozen=True):
    """API 14, versions 0 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


class DescribeGroupsRequest(Struct, frozen=True):
    """API 15, versions 0 to 6."""

    groups: tuple[str, ...] = ()
    include_authorized_operations: bool = False


class DescribeGroupsResponseGroupMember(Struct, frozen=True):
    """In `DescribeGroupsResponseGroup`."""

    member_id: str = ""
    group_instance_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    member_metadata: bytes = b""
    member_assignment: bytes = b""


class DescribeGroupsResponseGroup(Struct, frozen=True):
    """In `DescribeGroupsResponse`."""

    error_code: int = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    protocol_type: str = ""
    protocol_data: str = ""
    members: tuple[DescribeGroupsResponseGroupMember, ...] = ()
    authorized_operations: int = -2147483648


class DescribeGroupsResponse(Struct, frozen=True):
    """API 15, versions 0 to 6."""

    throttle_time_ms: int = 0
    groups: tuple[DescribeGroupsResponseGroup, ...] = ()


class ListGroupsRequest(Struct, frozen=True):
    """API 16, versions 0 to 5."""

    states_filter: tuple[str, ...] = ()
    types_filter: tuple[str, ...] = ()


class ListGroupsResponseGroup(Struct, frozen=True):
    """In `ListGroupsResponse`."""

    group_id: str = ""
    protocol_type: str = ""
    group_state: str = ""
    group_type: str = ""


class ListGroupsResponse(Struct, frozen=True):
    """API 16, versions 0 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    groups: tuple[ListGroupsResponseGroup, ...] = ()


class SaslHandshakeRequest(Struct, frozen=True):
    """API 17, versions 0 to 1."""

    mechanism: str = ""


class SaslHandshakeResponse(Struct, frozen=True):
    """API 17, versions 0 to 1."""

    error_code: int = 0
    mechanisms: tuple[str, ...] = ()


class ApiVersionsRequest(Struct, frozen=True):
    """API 18, versions 0 to 4."""

    client_software_name: str = ""
    client_software_version: str = ""


class ApiVersionsResponseApiKey(Struct, frozen=True):
    """In `ApiVersionsResponse`."""

    api_key: int = 0
    min_version: int = 0
    max_version: int = 0


class ApiVersionsResponseSupportedFeature(Struct, frozen=True):
    """In `ApiVersionsResponse`."""

    name: str = ""
    min_version: int = 0
    max_version: int = 0


class ApiVersionsResponseFinalizedFeature(Struct, frozen=True):
    """In `ApiVersionsResponse`."""

    name: str = ""
    max_version_level: int = 0
    min_version_level: int = 0


class ApiVersionsResponse(Struct, frozen=True):
    """API 18, versions 0 to 4."""

    error_code: int = 0
    api_keys: tuple[ApiVersionsResponseApiKey, ...] = ()
    throttle_time_ms: int = 0
    supported_features: tuple[ApiVersionsResponseSupportedFeature, ...] = ()
    finalized_features_epoch: int = -1
    finalized_features: tuple[ApiVersionsResponseFinalizedFeature, ...] = ()
    zk_migration_ready: bool = False


class CreateTopicsRequestTopicAssignment(Struct, frozen=True):
    """In `CreateTopicsRequestTopic`."""

    partition_index: int = 0
    broker_ids: tuple[int, ...] = ()


class CreateTopicsRequestTopicConfig(Struct, frozen=True):
    """In `CreateTopicsRequestTopic`."""

    name: str = ""
    value: str | None = None


class CreateTopicsRequestTopic(Struct, frozen=True):
    """In `CreateTopicsRequest`."""

    name: str = ""
    num_partitions: int = 0
    replication_factor: int = 0
    assignments: tuple[CreateTopicsRequestTopicAssignment, ...] = ()
    configs: tuple[CreateTopicsRequestTopicConfig, ...] = ()


class CreateTopicsRequest(Struct, frozen=True):
    """API 19, versions 2 to 7."""

    topics: tuple[CreateTopicsRequestTopic, ...] = ()
    timeout_ms: int = 60000
    validate_only: bool = False


class CreateTopicsResponseTopicConfig(Struct, frozen=True):
    """In `CreateTopicsResponseTopic`."""

    name: str = ""
    value: str | None = None
    read_only: bool = False
    config_source: int = -1
    is_sensitive: bool = False


class CreateTopicsResponseTopic(Struct, frozen=True):
    """In `CreateTopicsResponse`."""

    name: str = ""
    topic_id: bytes = bytes(16)
    error_code: int = 0
    error_message: str | None = None
    topic_config_error_code: int = 0
    num_partitions: int = -1
    replication_factor: int = -1
    configs: tuple[CreateTopicsResponseTopicConfig, ...] | None = ()


class CreateTopicsResponse(Struct, frozen=True):
    """API 19, versions 2 to 7."""

    throttle_time_ms: int = 0
    topics: tuple[CreateTopicsResponseTopic, ...] = ()


class DeleteTopicsRequestTopic(Struct, frozen=True):
    """In `DeleteTopicsRequest`."""

    name: str | None = None
    topic_id: bytes = bytes(16)


class DeleteTopicsRequest(Struct, frozen=True):
    """API 20, versions 1 to 6."""

    topics: tuple[DeleteTopicsRequestTopic, ...] = ()
    topic_names: tuple[str, ...] = ()
    timeout_ms: int = 0


class DeleteTopicsResponseResponse(Struct, frozen=True):
    """In `DeleteTopicsResponse`."""

    name: str | None = ""
    topic_id: bytes = bytes(16)
    error_code: int = 0
    error_message: str | None = None


class DeleteTopicsResponse(Struct, frozen=True):
    """API 20, versions 1 to 6."""

    throttle_time_ms: int = 0
    responses: tuple[DeleteTopicsResponseResponse, ...] = ()


class DeleteRecordsRequestTopicPartition(Struct, frozen=True):
    """In `DeleteRecordsRequestTopic`."""

    partition_index: int = 0
    offset: int = 0


class DeleteRecordsRequestTopic(Struct, frozen=True):
    """In `DeleteRecordsRequest`."""

    name: str = ""
    partitions: tuple[DeleteRecordsRequestTopicPartition, ...] = ()


class DeleteRecordsRequest(Struct, frozen=True):
    """API 21, versions 0 to 2."""

    topics: tuple[DeleteRecordsRequestTopic, ...] = ()
    timeout_ms: int = 0


class DeleteRecordsResponseTopicPartition(Struct, frozen=True):
    """In `DeleteRecordsResponseTopic`."""

    partition_index: int = 0
    low_watermark: int = 0
    error_code: int = 0


class DeleteRecordsResponseTopic(Struct, frozen=True):
    """In `DeleteRecordsResponse`."""

    name: str = ""
    partitions: tuple[DeleteRecordsResponseTopicPartition, ...] = ()


class DeleteRecordsResponse(Struct, frozen=True):
    """API 21, versions 0 to 2."""

    throttle_time_ms: int = 0
    topics: tuple[DeleteRecordsResponseTopic, ...] = ()


class InitProducerIdRequest(Struct, frozen=True):
    """API 22, versions 0 to 6."""

    transactional_id: str | None = None
    transaction_timeout_ms: int = 0
    producer_id: int = -1
    producer_epoch: int = -1
    enable2_pc: bool = False
    keep_prepared_txn: bool = False


class InitProducerIdResponse(Struct, frozen=True):
    """API 22, versions 0 to 6."""

    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id: int = -1
    producer_epoch: int = 0
    ongoing_txn_producer_id: int = -1
    ongoing_txn_producer_epoch: int = -1


class OffsetForLeaderEpochRequestTopicPartition(Struct, frozen=True):
    """In `OffsetForLeaderEpochRequestTopic`."""

    partition: int = 0
    current_leader_epoch: int = -1
    leader_epoch: int = 0


class OffsetForLeaderEpochRequestTopic(Struct, frozen=True):
    """In `OffsetForLeaderEpochRequest`."""

    topic: str = ""
    partitions: tuple[OffsetForLeaderEpochRequestTopicPartition, ...] = ()


class OffsetForLeaderEpochRequest(Struct, frozen=True):
    """API 23, versions 2 to 4."""

    replica_id: int = -2
    topics: tuple[OffsetForLeaderEpochRequestTopic, ...] = ()


class OffsetForLeaderEpochResponseTopicPartition(Struct, frozen=True):
    """In `OffsetForLeaderEpochResponseTopic`."""

    error_code: int = 0
    partition: int = 0
    leader_epoch: int = -1
    end_offset: int = -1


class OffsetForLeaderEpochResponseTopic(Struct, frozen=True):
    """In `OffsetForLeaderEpochResponse`."""

    topic: str = ""
    partitions: tuple[OffsetForLeaderEpochResponseTopicPartition, ...] = ()


class OffsetForLeaderEpochResponse(Struct, frozen=True):
    """API 23, versions 2 to 4."""

    throttle_time_ms: int = 0
    topics: tuple[OffsetForLeaderEpochResponseTopic, ...] = ()


class AddPartitionsToTxnRequestTransactionTopic(Struct, frozen=True):
    """In `AddPartitionsToTxnRequestTransaction`."""

    name: str = ""
    partitions: tuple[int, ...] = ()


class AddPartitionsToTxnRequestTransaction(Struct, frozen=True):
    """In `AddPartitionsToTxnRequest`."""

    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    verify_only: bool = False
    topics: tuple[AddPartitionsToTxnRequestTransactionTopic, ...] = ()


class AddPartitionsToTxnRequestV3AndBelowTopic(Struct, frozen=True):
    """In `AddPartitionsToTxnRequest`."""

    name: str = ""
    partitions: tuple[int, ...] = ()


class AddPartitionsToTxnRequest(Struct, frozen=True):
    """API 24, versions 0 to 5."""

    transactions: tuple[AddPartitionsToTxnRequestTransaction, ...] = ()
    v3_and_below_transactional_id: str = ""
    v3_and_below_producer_id: int = 0
    v3_and_below_producer_epoch: int = 0
    v3_and_below_topics: tuple[AddPartitionsToTxnRequestV3AndBelowTopic, ...] = ()


class AddPartitionsToTxnResponseResultsByTransactionTopicResultResultsByPartition(Struct, frozen=True):
    """In `AddPartitionsToTxnResponseResultsByTransactionTopicResult`."""

    partition_index: int = 0
    partition_error_code: int = 0


class AddPartitionsToTxnResponseResultsByTransactionTopicResult(Struct, frozen=True):
    """In `AddPartitionsToTxnResponseResultsByTransaction`."""

    name: str = ""
    results_by_partition: tuple[AddPartitionsToTxnResponseResultsByTransactionTopicResultResultsByPartition, ...] = ()


class AddPartitionsToTxnResponseResultsByTransaction(Struct, frozen=True):
    """In `AddPartitionsToTxnResponse`."""

    transactional_id: str = ""
    topic_results: tuple[AddPartitionsToTxnResponseResultsByTransactionTopicResult, ...] = ()


class AddPartitionsToTxnResponseResultsByTopicV3AndBelowResultsByPartition(Struct, frozen=True):
    """In `AddPartitionsToTxnResponseResultsByTopicV3AndBelow`."""

    partition_index: int = 0
    partition_error_code: int = 0


class AddPartitionsToTxnResponseResultsByTopicV3AndBelow(Struct, frozen=True):
    """In `AddPartitionsToTxnResponse`."""

    name: str = ""
    results_by_partition: tuple[AddPartitionsToTxnResponseResultsByTopicV3AndBelowResultsByPartition, ...] = ()


class AddPartitionsToTxnResponse(Struct, frozen=True):
    """API 24, versions 0 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    results_by_transaction: tuple[AddPartitionsToTxnResponseResultsByTransaction, ...] = ()
    results_by_topic_v3_and_below: tuple[AddPartitionsToTxnResponseResultsByTopicV3AndBelow, ...] = ()


class AddOffsetsToTxnRequest(Struct, frozen=True):
    """API 25, versions 0 to 4."""

    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    group_id: str = ""


class AddOffsetsToTxnResponse(Struct, frozen=True):
    """API 25, versions 0 to 4."""

    throttle_time_ms: int = 0
    error_code: int = 0


class EndTxnRequest(Struct, frozen=True):
    """API 26, versions 0 to 5."""

    transactional_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    committed: bool = False


class EndTxnResponse(Struct, frozen=True):
    """API 26, versions 0 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    producer_id: int = -1
    producer_epoch: int = -1


class WriteTxnMarkersRequestMarkerTopic(Struct, frozen=True):
    """In `WriteTxnMarkersRequestMarker`."""

    name: str = ""
    partition_indexes: tuple[int, ...] = ()


class WriteTxnMarkersRequestMarker(Struct, frozen=True):
    """In `WriteTxnMarkersRequest`."""

    producer_id: int = 0
    producer_epoch: int = 0
    transaction_result: bool = False
    topics: tuple[WriteTxnMarkersRequestMarkerTopic, ...] = ()
    coordinator_epoch: int = 0
    transaction_version: int = 0


class WriteTxnMarkersRequest(Struct, frozen=True):
    """API 27, versions 1 to 2."""

    markers: tuple[WriteTxnMarkersRequestMarker, ...] = ()


class WriteTxnMarkersResponseMarkerTopicPartition(Struct, frozen=True):
    """In `WriteTxnMarkersResponseMarkerTopic`."""

    partition_index: int = 0
    error_code: int = 0


class WriteTxnMarkersResponseMarkerTopic(Struct, frozen=True):
    """In `WriteTxnMarkersResponseMarker`."""

    name: str = ""
    partitions: tuple[WriteTxnMarkersResponseMarkerTopicPartition, ...] = ()


class WriteTxnMarkersResponseMarker(Struct, frozen=True):
    """In `WriteTxnMarkersResponse`."""

    producer_id: int = 0
    topics: tuple[WriteTxnMarkersResponseMarkerTopic, ...] = ()


class WriteTxnMarkersResponse(Struct, frozen=True):
    """API 27, versions 1 to 2."""

    markers: tuple[WriteTxnMarkersResponseMarker, ...] = ()


class TxnOffsetCommitRequestTopicPartition(Struct, frozen=True):
    """In `TxnOffsetCommitRequestTopic`."""

    partition_index: int = 0
    committed_offset: int = 0
    committed_leader_epoch: int = -1
    committed_metadata: str | None = None


class TxnOffsetCommitRequestTopic(Struct, frozen=True):
    """In `TxnOffsetCommitRequest`."""

    name: str = ""
    partitions: tuple[TxnOffsetCommitRequestTopicPartition, ...] = ()


class TxnOffsetCommitRequest(Struct, frozen=True):
    """API 28, versions 0 to 5."""

    transactional_id: str = ""
    group_id: str = ""
    producer_id: int = 0
    producer_epoch: int = 0
    generation_id: int = -1
    member_id: str = ""
    group_instance_id: str | None = None
    topics: tuple[TxnOffsetCommitRequestTopic, ...] = ()


class TxnOffsetCommitResponseTopicPartition(Struct, frozen=True):
    """In `TxnOffsetCommitResponseTopic`."""

    partition_index: int = 0
    error_code: int = 0


class TxnOffsetCommitResponseTopic(Struct, frozen=True):
    """In `TxnOffsetCommitResponse`."""

    name: str = ""
    partitions: tuple[TxnOffsetCommitResponseTopicPartition, ...] = ()


class TxnOffsetCommitResponse(Struct, frozen=True):
    """API 28, versions 0 to 5."""

    throttle_time_ms: int = 0
    topics: tuple[TxnOffsetCommitResponseTopic, ...] = ()


class DescribeAclsRequest(Struct, frozen=True):
    """API 29, versions 1 to 3."""

    resource_type_filter: int = 0
    resource_name_filter: str | None = None
    pattern_type_filter: int = 3
    principal_filter: str | None = None
    host_filter: str | None = None
    operation: int = 0
    permission_type: int = 0


class DescribeAclsResponseResourceAcl(Struct, frozen=True):
    """In `DescribeAclsResponseResource`."""

    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


class DescribeAclsResponseResource(Struct, frozen=True):
    """In `DescribeAclsResponse`."""

    resource_type: int = 0
    resource_name: str = ""
    pattern_type: int = 3
    acls: tuple[DescribeAclsResponseResourceAcl, ...] = ()


class DescribeAclsResponse(Struct, frozen=True):
    """API 29, versions 1 to 3."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    resources: tuple[DescribeAclsResponseResource, ...] = ()


class CreateAclsRequestCreation(Struct, frozen=True):
    """In `CreateAclsRequest`."""

    resource_type: int = 0
    resource_name: str = ""
    resource_pattern_type: int = 3
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


class CreateAclsRequest(Struct, frozen=True):
    """API 30, versions 1 to 3."""

    creations: tuple[CreateAclsRequestCreation, ...] = ()


class CreateAclsResponseResult(Struct, frozen=True):
    """In `CreateAclsResponse`."""

    error_code: int = 0
    error_message: str | None = None


class CreateAclsResponse(Struct, frozen=True):
    """API 30, versions 1 to 3."""

    throttle_time_ms: int = 0
    results: tuple[CreateAclsResponseResult, ...] = ()


class DeleteAclsRequestFilter(Struct, frozen=True):
    """In `DeleteAclsRequest`."""

    resource_type_filter: int = 0
    resource_name_filter: str | None = None
    pattern_type_filter: int = 3
    principal_filter: str | None = None
    host_filter: str | None = None
    operation: int = 0
    permission_type: int = 0


class DeleteAclsRequest(Struct, frozen=True):
    """API 31, versions 1 to 3."""

    filters: tuple[DeleteAclsRequestFilter, ...] = ()


class DeleteAclsResponseFilterResultMatchingAcl(Struct, frozen=True):
    """In `DeleteAclsResponseFilterResult`."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""
    pattern_type: int = 3
    principal: str = ""
    host: str = ""
    operation: int = 0
    permission_type: int = 0


class DeleteAclsResponseFilterResult(Struct, frozen=True):
    """In `DeleteAclsResponse`."""

    error_code: int = 0
    error_message: str | None = None
    matching_acls: tuple[DeleteAclsResponseFilterResultMatchingAcl, ...] = ()


class DeleteAclsResponse(Struct, frozen=True):
    """API 31, versions 1 to 3."""

    throttle_time_ms: int = 0
    filter_results: tuple[DeleteAclsResponseFilterResult, ...] = ()


class DescribeConfigsRequestResource(Struct, frozen=True):
    """In `DescribeConfigsRequest`."""

    resource_type: int = 0
    resource_name: str = ""
    configuration_keys: tuple[str, ...] | None = ()


class DescribeConfigsRequest(Struct, frozen=True):
    """API 32, versions 1 to 4."""

    resources: tuple[DescribeConfigsRequestResource, ...] = ()
    include_synonyms: bool = False
    include_documentation: bool = False


class DescribeConfigsResponseResultConfigSynonym(Struct, frozen=True):
    """In `DescribeConfigsResponseResultConfig`."""

    name: str = ""
    value: str | None = None
    source: int = 0


class DescribeConfigsResponseResultConfig(Struct, frozen=True):
    """In `DescribeConfigsResponseResult`."""

    name: str = ""
    value: str | None = None
    read_only: bool = False
    config_source: int = -1
    is_sensitive: bool = False
    synonyms: tuple[DescribeConfigsResponseResultConfigSynonym, ...] = ()
    config_type: int = 0
    documentation: str | None = None


class DescribeConfigsResponseResult(Struct, frozen=True):
    """In `DescribeConfigsResponse`."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""
    configs: tuple[DescribeConfigsResponseResultConfig, ...] = ()


class DescribeConfigsResponse(Struct, frozen=True):
    """API 32, versions 1 to 4."""

    throttle_time_ms: int = 0
    results: tuple[DescribeConfigsResponseResult, ...] = ()


class AlterConfigsRequestResourceConfig(Struct, frozen=True):
    """In `AlterConfigsRequestResource`."""

    name: str = ""
    value: str | None = None


class AlterConfigsRequestResource(Struct, frozen=True):
    """In `AlterConfigsRequest`."""

    resource_type: int = 0
    resource_name: str = ""
    configs: tuple[AlterConfigsRequestResourceConfig, ...] = ()


class AlterConfigsRequest(Struct, frozen=True):
    """API 33, versions 0 to 2."""

    resources: tuple[AlterConfigsRequestResource, ...] = ()
    validate_only: bool = False


class AlterConfigsResponseResponse(Struct, frozen=True):
    """In `AlterConfigsResponse`."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""


class AlterConfigsResponse(Struct, frozen=True):
    """API 33, versions 0 to 2."""

    throttle_time_ms: int = 0
    responses: tuple[AlterConfigsResponseResponse, ...] = ()


class AlterReplicaLogDirsRequestDirTopic(Struct, frozen=True):
    """In `AlterReplicaLogDirsRequestDir`."""

    name: str = ""
    partitions: tuple[int, ...] = ()


class AlterReplicaLogDirsRequestDir(Struct, frozen=True):
    """In `AlterReplicaLogDirsRequest`."""

    path: str = ""
    topics: tuple[AlterReplicaLogDirsRequestDirTopic, ...] = ()


class AlterReplicaLogDirsRequest(Struct, frozen=True):
    """API 34, versions 1 to 2."""

    dirs: tuple[AlterReplicaLogDirsRequestDir, ...] = ()


class AlterReplicaLogDirsResponseResultPartition(Struct, frozen=True):
    """In `AlterReplicaLogDirsResponseResult`."""

    partition_index: int = 0
    error_code: int = 0


class AlterReplicaLogDirsResponseResult(Struct, frozen=True):
    """In `AlterReplicaLogDirsResponse`."""

    topic_name: str = ""
    partitions: tuple[AlterReplicaLogDirsResponseResultPartition, ...] = ()


class AlterReplicaLogDirsResponse(Struct, frozen=True):
    """API 34, versions 1 to 2."""

    throttle_time_ms: int = 0
    results: tuple[AlterReplicaLogDirsResponseResult, ...] = ()


class DescribeLogDirsRequestTopic(Struct, frozen=True):
    """In `DescribeLogDirsRequest`."""

    topic: str = ""
    partitions: tuple[int, ...] = ()


class DescribeLogDirsRequest(Struct, frozen=True):
    """API 35, versions 1 to 5."""

    topics: tuple[DescribeLogDirsRequestTopic, ...] | None = ()


class DescribeLogDirsResponseResultTopicPartition(Struct, frozen=True):
    """In `DescribeLogDirsResponseResultTopic`."""

    partition_index: int = 0
    partition_size: int = 0
    offset_lag: int = 0
    is_future_key: bool = False


class DescribeLogDirsResponseResultTopic(Struct, frozen=True):
    """In `DescribeLogDirsResponseResult`."""

    name: str = ""
    partitions: tuple[DescribeLogDirsResponseResultTopicPartition, ...] = ()


class DescribeLogDirsResponseResult(Struct, frozen=True):
    """In `DescribeLogDirsResponse`."""

    error_code: int = 0
    log_dir: str = ""
    topics: tuple[DescribeLogDirsResponseResultTopic, ...] = ()
    total_bytes: int = -1
    usable_bytes: int = -1
    is_cordoned: bool = False


class DescribeLogDirsResponse(Struct, frozen=True):
    """API 35, versions 1 to 5."""

    throttle_time_ms: int = 0
    error_code: int = 0
    results: tuple[DescribeLogDirsResponseResult, ...] = ()


class SaslAuthenticateRequest(Struct, frozen=True):
    """API 36, versions 0 to 2."""

    auth_bytes: bytes = b""


class SaslAuthenticateResponse(Struct, frozen=True):
    """API 36, versions 0 to 2."""

    error_code: int = 0
    error_message: str | None = None
    auth_bytes: bytes = b""
    session_lifetime_ms: int = 0


class CreatePartitionsRequestTopicAssignment(Struct, frozen=True):
    """In `CreatePartitionsRequestTopic`."""

    broker_ids: tuple[int, ...] = ()


class CreatePartitionsRequestTopic(Struct, frozen=True):
    """In `CreatePartitionsRequest`."""

    name: str = ""
    count: int = 0
    assignments: tuple[CreatePartitionsRequestTopicAssignment, ...] | None = ()


class CreatePartitionsRequest(Struct, frozen=True):
    """API 37, versions 0 to 3."""

    topics: tuple[CreatePartitionsRequestTopic, ...] = ()
    timeout_ms: int = 0
    validate_only: bool = False


class CreatePartitionsResponseResult(Struct, frozen=True):
    """In `CreatePartitionsResponse`."""

    name: str = ""
    error_code: int = 0
    error_message: str | None = None


class CreatePartitionsResponse(Struct, frozen=True):
    """API 37, versions 0 to 3."""

    throttle_time_ms: int = 0
    results: tuple[CreatePartitionsResponseResult, ...] = ()


class CreateDelegationTokenRequestRenewer(Struct, frozen=True):
    """In `CreateDelegationTokenRequest`."""

    principal_type: str = ""
    principal_name: str = ""


class CreateDelegationTokenRequest(Struct, frozen=True):
    """API 38, versions 0 to 3."""

    owner_principal_type: str | None = None
    owner_principal_name: str | None = None
    renewers: tuple[CreateDelegationTokenRequestRenewer, ...] = ()
    max_lifetime_ms: int = 0


class CreateDelegationTokenResponse(Struct, frozen=True):
    """API 38, versions 0 to 3."""

    error_code: int = 0
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = ""
    token_requester_principal_name: str = ""
    issue_timestamp_ms: int = 0
    expiry_timestamp_ms: int = 0
    max_timestamp_ms: int = 0
    token_id: str = ""
    hmac: bytes = b""
    throttle_time_ms: int = 0


class RenewDelegationTokenRequest(Struct, frozen=True):
    """API 39, versions 0 to 2."""

    hmac: bytes = b""
    renew_period_ms: int = 0


class RenewDelegationTokenResponse(Struct, frozen=True):
    """API 39, versions 0 to 2."""

    error_code: int = 0
    expiry_timestamp_ms: int = 0
    throttle_time_ms: int = 0


class ExpireDelegationTokenRequest(Struct, frozen=True):
    """API 40, versions 0 to 2."""

    hmac: bytes = b""
    expiry_time_period_ms: int = 0


class ExpireDelegationTokenResponse(Struct, frozen=True):
    """API 40, versions 0 to 2."""

    error_code: int = 0
    expiry_timestamp_ms: int = 0
    throttle_time_ms: int = 0


class DescribeDelegationTokenRequestOwner(Struct, frozen=True):
    """In `DescribeDelegationTokenRequest`."""

    principal_type: str = ""
    principal_name: str = ""


class DescribeDelegationTokenRequest(Struct, frozen=True):
    """API 41, versions 0 to 3."""

    owners: tuple[DescribeDelegationTokenRequestOwner, ...] | None = ()


class DescribeDelegationTokenResponseTokenRenewer(Struct, frozen=True):
    """In `DescribeDelegationTokenResponseToken`."""

    principal_type: str = ""
    principal_name: str = ""


class DescribeDelegationTokenResponseToken(Struct, frozen=True):
    """In `DescribeDelegationTokenResponse`."""

    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = ""
    token_requester_principal_name: str = ""
    issue_timestamp: int = 0
    expiry_timestamp: int = 0
    max_timestamp: int = 0
    token_id: str = ""
    hmac: bytes = b""
    renewers: tuple[DescribeDelegationTokenResponseTokenRenewer, ...] = ()


class DescribeDelegationTokenResponse(Struct, frozen=True):
    """API 41, versions 0 to 3."""

    error_code: int = 0
    tokens: tuple[DescribeDelegationTokenResponseToken, ...] = ()
    throttle_time_ms: int = 0


class DeleteGroupsRequest(Struct, frozen=True):
    """API 42, versions 0 to 2."""

    groups_names: tuple[str, ...] = ()


class DeleteGroupsResponseResult(Struct, frozen=True):
    """In `DeleteGroupsResponse`."""

    group_id: str = ""
    error_code: int = 0


class DeleteGroupsResponse(Struct, frozen=True):
    """API 42, versions 0 to 2."""

    throttle_time_ms: int = 0
    results: tuple[DeleteGroupsResponseResult, ...] = ()


class ElectLeadersRequestTopicPartition(Struct, frozen=True):
    """In `ElectLeadersRequest`."""

    topic: str = ""
    partitions: tuple[int, ...] = ()


class ElectLeadersRequest(Struct, frozen=True):
    """API 43, versions 0 to 2."""

    election_type: int = 0
    topic_partitions: tuple[ElectLeadersRequestTopicPartition, ...] | None = ()
    timeout_ms: int = 60000


class ElectLeadersResponseReplicaElectionResultPartitionResult(Struct, frozen=True):
    """In `ElectLeadersResponseReplicaElectionResult`."""

    partition_id: int = 0
    error_code: int = 0
    error_message: str | None = None


class ElectLeadersResponseReplicaElectionResult(Struct, frozen=True):
    """In `ElectLeadersResponse`."""

    topic: str = ""
    partition_result: tuple[ElectLeadersResponseReplicaElectionResultPartitionResult, ...] = ()


class ElectLeadersResponse(Struct, frozen=True):
    """API 43, versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    replica_election_results: tuple[ElectLeadersResponseReplicaElectionResult, ...] = ()


class IncrementalAlterConfigsRequestResourceConfig(Struct, frozen=True):
    """In `IncrementalAlterConfigsRequestResource`."""

    name: str = ""
    config_operation: int = 0
    value: str | None = None


class IncrementalAlterConfigsRequestResource(Struct, frozen=True):
    """In `IncrementalAlterConfigsRequest`."""

    resource_type: int = 0
    resource_name: str = ""
    configs: tuple[IncrementalAlterConfigsRequestResourceConfig, ...] = ()


class IncrementalAlterConfigsRequest(Struct, frozen=True):
    """API 44, versions 0 to 1."""

    resources: tuple[IncrementalAlterConfigsRequestResource, ...] = ()
    validate_only: bool = False


class IncrementalAlterConfigsResponseResponse(Struct, frozen=True):
    """In `IncrementalAlterConfigsResponse`."""

    error_code: int = 0
    error_message: str | None = None
    resource_type: int = 0
    resource_name: str = ""


class IncrementalAlterConfigsResponse(Struct, frozen=True):
    """API 44, versions 0 to 1."""

    throttle_time_ms: int = 0
    responses: tuple[IncrementalAlterConfigsResponseResponse, ...] = ()


class AlterPartitionReassignmentsRequestTopicPartition(Struct, frozen=True):
    """In `AlterPartitionReassignmentsRequestTopic`."""

    partition_index: int = 0
    replicas: tuple[int, ...] | None = None


class AlterPartitionReassignmentsRequestTopic(Struct, frozen=True):
    """In `AlterPartitionReassignmentsRequest`."""

    name: str = ""
    partitions: tuple[AlterPartitionReassignmentsRequestTopicPartition, ...] = ()


class AlterPartitionReassignmentsRequest(Struct, frozen=True):
    """API 45, versions 0 to 1."""

    timeout_ms: int = 60000
    allow_replication_factor_change: bool = True
    topics: tuple[AlterPartitionReassignmentsRequestTopic, ...] = ()


class AlterPartitionReassignmentsResponseResponsePartition(Struct, frozen=True):
    """In `AlterPartitionReassignmentsResponseResponse`."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None


class AlterPartitionReassignmentsResponseResponse(Struct, frozen=True):
    """In `AlterPartitionReassignmentsResponse`."""

    name: str = ""
    partitions: tuple[AlterPartitionReassignmentsResponseResponsePartition, ...] = ()


class AlterPartitionReassignmentsResponse(Struct, frozen=True):
    """API 45, versions 0 to 1."""

    throttle_time_ms: int = 0
    allow_replication_factor_change: bool = True
    error_code: int = 0
    error_message: str | None = None
    responses: tuple[AlterPartitionReassignmentsResponseResponse, ...] = ()


class ListPartitionReassignmentsRequestTopic(Struct, frozen=True):
    """In `ListPartitionReassignmentsRequest`."""

    name: str = ""
    partition_indexes: tuple[int, ...] = ()


class ListPartitionReassignmentsRequest(Struct, frozen=True):
    """API 46, version 0."""

    timeout_ms: int = 60000
    topics: tuple[ListPartitionReassignmentsRequestTopic, ...] | None = None


class ListPartitionReassignmentsResponseTopicPartition(Struct, frozen=True):
    """In `ListPartitionReassignmentsResponseTopic`."""

    partition_index: int = 0
    replicas: tuple[int, ...] = ()
    adding_replicas: tuple[int, ...] = ()
    removing_replicas: tuple[int, ...] = ()


class ListPartitionReassignmentsResponseTopic(Struct, frozen=True):
    """In `ListPartitionReassignmentsResponse`."""

    name: str = ""
    partitions: tuple[ListPartitionReassignmentsResponseTopicPartition, ...] = ()


class ListPartitionReassignmentsResponse(Struct, frozen=True):
    """API 46, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    topics: tuple[ListPartitionReassignmentsResponseTopic, ...] = ()


class OffsetDeleteRequestTopicPartition(Struct, frozen=True):
    """In `OffsetDeleteRequestTopic`."""

    partition_index: int = 0


class OffsetDeleteRequestTopic(Struct, frozen=True):
    """In `OffsetDeleteRequest`."""

    name: str = ""
    partitions: tuple[OffsetDeleteRequestTopicPartition, ...] = ()


class OffsetDeleteRequest(Struct, frozen=True):
    """API 47, version 0."""

    group_id: str = ""
    topics: tuple[OffsetDeleteRequestTopic, ...] = ()


class OffsetDeleteResponseTopicPartition(Struct, frozen=True):
    """In `OffsetDeleteResponseTopic`."""

    partition_index: int = 0
    error_code: int = 0


class OffsetDeleteResponseTopic(Struct, frozen=True):
    """In `OffsetDeleteResponse`."""

    name: str = ""
    partitions: tuple[OffsetDeleteResponseTopicPartition, ...] = ()


class OffsetDeleteResponse(Struct, frozen=True):
    """API 47, version 0."""

    error_code: int = 0
    throttle_time_ms: int = 0
    topics: tuple[OffsetDeleteResponseTopic, ...] = ()


class DescribeClientQuotasRequestComponent(Struct, frozen=True):
    """In `DescribeClientQuotasRequest`."""

    entity_type: str = ""
    match_type: int = 0
    match: str | None = None


class DescribeClientQuotasRequest(Struct, frozen=True):
    """API 48, versions 0 to 1."""

    components: tuple[DescribeClientQuotasRequestComponent, ...] = ()
    strict: bool = False


class DescribeClientQuotasResponseEntryEntity(Struct, frozen=True):
    """In `DescribeClientQuotasResponseEntry`."""

    entity_type: str = ""
    entity_name: str | None = None


class DescribeClientQuotasResponseEntryValue(Struct, frozen=True):
    """In `DescribeClientQuotasResponseEntry`."""

    key: str = ""
    value: float = 0.0


class DescribeClientQuotasResponseEntry(Struct, frozen=True):
    """In `DescribeClientQuotasResponse`."""

    entity: tuple[DescribeClientQuotasResponseEntryEntity, ...] = ()
    values: tuple[DescribeClientQuotasResponseEntryValue, ...] = ()


class DescribeClientQuotasResponse(Struct, frozen=True):
    """API 48, versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    entries: tuple[DescribeClientQuotasResponseEntry, ...] | None = ()


class AlterClientQuotasRequestEntryEntity(Struct, frozen=True):
    """In `AlterClientQuotasRequestEntry`."""

    entity_type: str = ""
    entity_name: str | None = None


class AlterClientQuotasRequestEntryOp(Struct, frozen=True):
    """In `AlterClientQuotasRequestEntry`."""

    key: str = ""
    value: float = 0.0
    remove: bool = False


class AlterClientQuotasRequestEntry(Struct, frozen=True):
    """In `AlterClientQuotasRequest`."""

    entity: tuple[AlterClientQuotasRequestEntryEntity, ...] = ()
    ops: tuple[AlterClientQuotasRequestEntryOp, ...] = ()


class AlterClientQuotasRequest(Struct, frozen=True):
    """API 49, versions 0 to 1."""

    entries: tuple[AlterClientQuotasRequestEntry, ...] = ()
    validate_only: bool = False


class AlterClientQuotasResponseEntryEntity(Struct, frozen=True):
    """In `AlterClientQuotasResponseEntry`."""

    entity_type: str = ""
    entity_name: str | None = None


class AlterClientQuotasResponseEntry(Struct, frozen=True):
    """In `AlterClientQuotasResponse`."""

    error_code: int = 0
    error_message: str | None = None
    entity: tuple[AlterClientQuotasResponseEntryEntity, ...] = ()


class AlterClientQuotasResponse(Struct, frozen=True):
    """API 49, versions 0 to 1."""

    throttle_time_ms: int = 0
    entries: tuple[AlterClientQuotasResponseEntry, ...] = ()


class DescribeUserScramCredentialsRequestUser(Struct, frozen=True):
    """In `DescribeUserScramCredentialsRequest`."""

    name: str = ""


class DescribeUserScramCredentialsRequest(Struct, frozen=True):
    """API 50, version 0."""

    users: tuple[DescribeUserScramCredentialsRequestUser, ...] | None = ()


class DescribeUserScramCredentialsResponseResultCredentialInfo(Struct, frozen=True):
    """In `DescribeUserScramCredentialsResponseResult`."""

    mechanism: int = 0
    iterations: int = 0


class DescribeUserScramCredentialsResponseResult(Struct, frozen=True):
    """In `DescribeUserScramCredentialsResponse`."""

    user: str = ""
    error_code: int = 0
    error_message: str | None = None
    credential_infos: tuple[DescribeUserScramCredentialsResponseResultCredentialInfo, ...] = ()


class DescribeUserScramCredentialsResponse(Struct, frozen=True):
    """API 50, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    results: tuple[DescribeUserScramCredentialsResponseResult, ...] = ()


class AlterUserScramCredentialsRequestDeletion(Struct, frozen=True):
    """In `AlterUserScramCredentialsRequest`."""

    name: str = ""
    mechanism: int = 0


class AlterUserScramCredentialsRequestUpsertion(Struct, frozen=True):
    """In `AlterUserScramCredentialsRequest`."""

    name: str = ""
    mechanism: int = 0
    iterations: int = 0
    salt: bytes = b""
    salted_password: bytes = b""


class AlterUserScramCredentialsRequest(Struct, frozen=True):
    """API 51, version 0."""

    deletions: tuple[AlterUserScramCredentialsRequestDeletion, ...] = ()
    upsertions: tuple[AlterUserScramCredentialsRequestUpsertion, ...] = ()


class AlterUserScramCredentialsResponseResult(Struct, frozen=True):
    """In `AlterUserScramCredentialsResponse`."""

    user: str = ""
    error_code: int = 0
    error_message: str | None = None


class AlterUserScramCredentialsResponse(Struct, frozen=True):
    """API 51, version 0."""

    throttle_time_ms: int = 0
    results: tuple[AlterUserScramCredentialsResponseResult, ...] = ()


class DescribeQuorumRequestTopicPartition(Struct, frozen=True):
    """In `DescribeQuorumRequestTopic`."""

    partition_index: int = 0


class DescribeQuorumRequestTopic(Struct, frozen=True):
    """In `DescribeQuorumRequest`."""

    topic_name: str = ""
    partitions: tuple[DescribeQuorumRequestTopicPartition, ...] = ()


class DescribeQuorumRequest(Struct, frozen=True):
    """API 55, versions 0 to 2."""

    topics: tuple[DescribeQuorumRequestTopic, ...] = ()


class DescribeQuorumResponseTopicPartitionCurrentVoter(Struct, frozen=True):
    """In `DescribeQuorumResponseTopicPartition`."""

    replica_id: int = 0
    replica_directory_id: bytes = bytes(16)
    log_end_offset: int = 0
    last_fetch_timestamp: int = -1
    last_caught_up_timestamp: int = -1


class DescribeQuorumResponseTopicPartitionObserver(Struct, frozen=True):
    """In `DescribeQuorumResponseTopicPartition`."""

    replica_id: int = 0
    replica_directory_id: bytes = bytes(16)
    log_end_offset: int = 0
    last_fetch_timestamp: int = -1
    last_caught_up_timestamp: int = -1


class DescribeQuorumResponseTopicPartition(Struct, frozen=True):
    """In `DescribeQuorumResponseTopic`."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    leader_id: int = 0
    leader_epoch: int = 0
    high_watermark: int = 0
    current_voters: tuple[DescribeQuorumResponseTopicPartitionCurrentVoter, ...] = ()
    observers: tuple[DescribeQuorumResponseTopicPartitionObserver, ...] = ()


class DescribeQuorumResponseTopic(Struct, frozen=True):
    """In `DescribeQuorumResponse`."""

    topic_name: str = ""
    partitions: tuple[DescribeQuorumResponseTopicPartition, ...] = ()


class DescribeQuorumResponseNodeListener(Struct, frozen=True):
    """In `DescribeQuorumResponseNode`."""

    name: str = ""
    host: str = ""
    port: int = 0


class DescribeQuorumResponseNode(Struct, frozen=True):
    """In `DescribeQuorumResponse`."""

    node_id: int = 0
    listeners: tuple[DescribeQuorumResponseNodeListener, ...] = ()


class DescribeQuorumResponse(Struct, frozen=True):
    """API 55, versions 0 to 2."""

    error_code: int = 0
    error_message: str | None = None
    topics: tuple[DescribeQuorumResponseTopic, ...] = ()
    nodes: tuple[DescribeQuorumResponseNode, ...] = ()


class UpdateFeaturesRequestFeatureUpdate(Struct, frozen=True):
    """In `UpdateFeaturesRequest`."""

    feature: str = ""
    max_version_level: int = 0
    allow_downgrade: bool = False
    upgrade_type: int = 1


class UpdateFeaturesRequest(Struct, frozen=True):
    """API 57, versions 0 to 2."""

    timeout_ms: int = 60000
    feature_updates: tuple[UpdateFeaturesRequestFeatureUpdate, ...] = ()
    validate_only: bool = False


class UpdateFeaturesResponseResult(Struct, frozen=True):
    """In `UpdateFeaturesResponse`."""

    feature: str = ""
    error_code: int = 0
    error_message: str | None = None


class UpdateFeaturesResponse(Struct, frozen=True):
    """API 57, versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    results: tuple[UpdateFeaturesResponseResult, ...] = ()


class DescribeClusterRequest(Struct, frozen=True):
    """API 60, versions 0 to 2."""

    include_cluster_authorized_operations: bool = False
    endpoint_type: int = 1
    include_fenced_brokers: bool = False


class DescribeClusterResponseBroker(Struct, frozen=True):
    """In `DescribeClusterResponse`."""

    broker_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None
    is_fenced: bool = False


class DescribeClusterResponse(Struct, frozen=True):
    """API 60, versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    endpoint_type: int = 1
    cluster_id: str = ""
    controller_id: int = -1
    brokers: tuple[DescribeClusterResponseBroker, ...] = ()
    cluster_authorized_operations: int = -2147483648


class DescribeProducersRequestTopic(Struct, frozen=True):
    """In `DescribeProducersRequest`."""

    name: str = ""
    partition_indexes: tuple[int, ...] = ()


class DescribeProducersRequest(Struct, frozen=True):
    """API 61, version 0."""

    topics: tuple[DescribeProducersRequestTopic, ...] = ()


class DescribeProducersResponseTopicPartitionActiveProducer(Struct, frozen=True):
    """In `DescribeProducersResponseTopicPartition`."""

    producer_id: int = 0
    producer_epoch: int = 0
    last_sequence: int = -1
    last_timestamp: int = -1
    coordinator_epoch: int = 0
    current_txn_start_offset: int = -1


class DescribeProducersResponseTopicPartition(Struct, frozen=True):
    """In `DescribeProducersResponseTopic`."""

    partition_index: int = 0
    error_code: int = 0
    error_message: str | None = None
    active_producers: tuple[DescribeProducersResponseTopicPartitionActiveProducer, ...] = ()


class DescribeProducersResponseTopic(Struct, frozen=True):
    """In `DescribeProducersResponse`."""

    name: str = ""
    partitions: tuple[DescribeProducersResponseTopicPartition, ...] = ()


class DescribeProducersResponse(Struct, frozen=True):
    """API 61, version 0."""

    throttle_time_ms: int = 0
    topics: tuple[DescribeProducersResponseTopic, ...] = ()


class UnregisterBrokerRequest(Struct, frozen=True):
    """API 64, version 0."""

    broker_id: int = 0


class UnregisterBrokerResponse(Struct, frozen=True):
    """API 64, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None


class DescribeTransactionsRequest(Struct, frozen=True):
    """API 65, version 0."""

    transactional_ids: tuple[str, ...] = ()


class DescribeTransactionsResponseTransactionStateTopic(Struct, frozen=True):
    """In `DescribeTransactionsResponseTransactionState`."""

    topic: str = ""
    partitions: tuple[int, ...] = ()


class DescribeTransactionsResponseTransactionState(Struct, frozen=True):
    """In `DescribeTransactionsResponse`."""

    error_code: int = 0
    transactional_id: str = ""
    transaction_state: str = ""
    transaction_timeout_ms: int = 0
    transaction_start_time_ms: int = 0
    producer_id: int = 0
    producer_epoch: int = 0
    topics: tuple[DescribeTransactionsResponseTransactionStateTopic, ...] = ()


class DescribeTransactionsResponse(Struct, frozen=True):
    """API 65, version 0."""

    throttle_time_ms: int = 0
    transaction_states: tuple[DescribeTransactionsResponseTransactionState, ...] = ()


class ListTransactionsRequest(Struct, frozen=True):
    """API 66, versions 0 to 2."""

    state_filters: tuple[str, ...] = ()
    producer_id_filters: tuple[int, ...] = ()
    duration_filter: int = -1
    transactional_id_pattern: str | None = None


class ListTransactionsResponseTransactionState(Struct, frozen=True):
    """In `ListTransactionsResponse`."""

    transactional_id: str = ""
    producer_id: int = 0
    transaction_state: str = ""


class ListTransactionsResponse(Struct, frozen=True):
    """API 66, versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    unknown_state_filters: tuple[str, ...] = ()
    transaction_states: tuple[ListTransactionsResponseTransactionState, ...] = ()


class ConsumerGroupHeartbeatRequestTopic(Struct, frozen=True):
    """In `ConsumerGroupHeartbeatRequest`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[int, ...] = ()


class ConsumerGroupHeartbeatRequest(Struct, frozen=True):
    """API 68, versions 0 to 1."""

    group: str = ""
    member_id: str = ""
    member_epoch: int = 0
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    subscribed_topic_names: tuple[str, ...] | None = ()
    subscribed_topic_regex: str | None = None
    server_assignor: str | None = None
    topics: tuple[ConsumerGroupHeartbeatRequestTopic, ...] | None = ()


class ConsumerGroupHeartbeatResponseAssignmentTopic(Struct, frozen=True):
    """In `ConsumerGroupHeartbeatResponseAssignment`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[int, ...] = ()


class ConsumerGroupHeartbeatResponseAssignment(Struct, frozen=True):
    """In `ConsumerGroupHeartbeatResponse`."""

    topics: tuple[ConsumerGroupHeartbeatResponseAssignmentTopic, ...] = ()


class ConsumerGroupHeartbeatResponse(Struct, frozen=True):
    """API 68, versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: ConsumerGroupHeartbeatResponseAssignment | None = None


class ConsumerGroupDescribeRequest(Struct, frozen=True):
    """API 69, versions 0 to 1."""

    groups: tuple[str, ...] = ()
    include_authorized_operations: bool = False


class ConsumerGroupDescribeResponseGroupMemberAssignmentTopicPartition(Struct, frozen=True):
    """In `ConsumerGroupDescribeResponseGroupMemberAssignment`."""

    topic_id: bytes = bytes(16)
    topic: str = ""
    partitions: tuple[int, ...] = ()


class ConsumerGroupDescribeResponseGroupMemberAssignment(Struct, frozen=True):
    """In `ConsumerGroupDescribeResponseGroupMember`."""

    topic_partitions: tuple[ConsumerGroupDescribeResponseGroupMemberAssignmentTopicPartition, ...] = ()


class ConsumerGroupDescribeResponseGroupMemberTargetAssignmentTopicPartition(Struct, frozen=True):
    """In `ConsumerGroupDescribeResponseGroupMemberTargetAssignment`."""

    topic_id: bytes = bytes(16)
    topic: str = ""
    partitions: tuple[int, ...] = ()


class ConsumerGroupDescribeResponseGroupMemberTargetAssignment(Struct, frozen=True):
    """In `ConsumerGroupDescribeResponseGroupMember`."""

    topic_partitions: tuple[ConsumerGroupDescribeResponseGroupMemberTargetAssignmentTopicPartition, ...] = ()


class ConsumerGroupDescribeResponseGroupMember(Struct, frozen=True):
    """In `ConsumerGroupDescribeResponseGroup`."""

    member_id: str = ""
    instance_id: str | None = None
    rack_id: str | None = None
    member_epoch: int = 0
    client_id: str = ""
    client_host: str = ""
    subscribed_topics: tuple[str, ...] = ()
    subscribed_topic_regex: str | None = None
    assignment: ConsumerGroupDescribeResponseGroupMemberAssignment | None = None
    target_assignment: ConsumerGroupDescribeResponseGroupMemberTargetAssignment | None = None
    member_type: int = -1


class ConsumerGroupDescribeResponseGroup(Struct, frozen=True):
    """In `ConsumerGroupDescribeResponse`."""

    error_code: int = 0
    error_message: str | None = None
    group: str = ""
    state: str = ""
    epoch: int = 0
    assignment_epoch: int = 0
    assignor_name: str = ""
    members: tuple[ConsumerGroupDescribeResponseGroupMember, ...] = ()
    authorized_operations: int = -2147483648


class ConsumerGroupDescribeResponse(Struct, frozen=True):
    """API 69, versions 0 to 1."""

    throttle_time_ms: int = 0
    groups: tuple[ConsumerGroupDescribeResponseGroup, ...] = ()


class GetTelemetrySubscriptionsRequest(Struct, frozen=True):
    """API 71, version 0."""

    client_instance_id: bytes = bytes(16)


class GetTelemetrySubscriptionsResponse(Struct, frozen=True):
    """API 71, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    client_instance_id: bytes = bytes(16)
    subscription_id: int = 0
    accepted_compression_types: tuple[int, ...] = ()
    push_interval_ms: int = 0
    telemetry_max_bytes: int = 0
    delta_temporality: bool = False
    requested_metrics: tuple[str, ...] = ()


class PushTelemetryRequest(Struct, frozen=True):
    """API 72, version 0."""

    client_instance_id: bytes = bytes(16)
    subscription_id: int = 0
    terminating: bool = False
    compression_type: int = 0
    metrics: bytes = b""


class PushTelemetryResponse(Struct, frozen=True):
    """API 72, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0


class ListConfigResourcesRequest(Struct, frozen=True):
    """API 74, versions 0 to 1."""

    resource_types: tuple[int, ...] = ()


class ListConfigResourcesResponseConfigResource(Struct, frozen=True):
    """In `ListConfigResourcesResponse`."""

    resource_name: str = ""
    resource_type: int = 16


class ListConfigResourcesResponse(Struct, frozen=True):
    """API 74, versions 0 to 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    config_resources: tuple[ListConfigResourcesResponseConfigResource, ...] = ()


class DescribeTopicPartitionsRequestTopic(Struct, frozen=True):
    """In `DescribeTopicPartitionsRequest`."""

    name: str = ""


class DescribeTopicPartitionsRequestCursor(Struct, frozen=True):
    """In `DescribeTopicPartitionsRequest`."""

    topic_name: str = ""
    partition_index: int = 0


class DescribeTopicPartitionsRequest(Struct, frozen=True):
    """API 75, version 0."""

    topics: tuple[DescribeTopicPartitionsRequestTopic, ...] = ()
    response_partition_limit: int = 2000
    cursor: DescribeTopicPartitionsRequestCursor | None = None


class DescribeTopicPartitionsResponseTopicPartition(Struct, frozen=True):
    """In `DescribeTopicPartitionsResponseTopic`."""

    error_code: int = 0
    partition_index: int = 0
    leader_id: int = 0
    leader_epoch: int = -1
    replica_nodes: tuple[int, ...] = ()
    isr_nodes: tuple[int, ...] = ()
    eligible_leader_replicas: tuple[int, ...] | None = None
    last_known_elr: tuple[int, ...] | None = None
    offline_replicas: tuple[int, ...] = ()


class DescribeTopicPartitionsResponseTopic(Struct, frozen=True):
    """In `DescribeTopicPartitionsResponse`."""

    error_code: int = 0
    name: str | None = None
    topic_id: bytes = bytes(16)
    is_internal: bool = False
    partitions: tuple[DescribeTopicPartitionsResponseTopicPartition, ...] = ()
    topic_authorized_operations: int = -2147483648


class DescribeTopicPartitionsResponseNextCursor(Struct, frozen=True):
    """In `DescribeTopicPartitionsResponse`."""

    topic_name: str = ""
    partition_index: int = 0


class DescribeTopicPartitionsResponse(Struct, frozen=True):
    """API 75, version 0."""

    throttle_time_ms: int = 0
    topics: tuple[DescribeTopicPartitionsResponseTopic, ...] = ()
    next_cursor: DescribeTopicPartitionsResponseNextCursor | None = None


class ShareGroupHeartbeatRequest(Struct, frozen=True):
    """API 76, version 1."""

    group_id: str = ""
    member_id: str = ""
    member_epoch: int = 0
    rack_id: str | None = None
    subscribed_topic_names: tuple[str, ...] | None = ()


class ShareGroupHeartbeatResponseAssignmentTopicPartition(Struct, frozen=True):
    """In `ShareGroupHeartbeatResponseAssignment`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[int, ...] = ()


class ShareGroupHeartbeatResponseAssignment(Struct, frozen=True):
    """In `ShareGroupHeartbeatResponse`."""

    topic_partitions: tuple[ShareGroupHeartbeatResponseAssignmentTopicPartition, ...] = ()


class ShareGroupHeartbeatResponse(Struct, frozen=True):
    """API 76, version 1."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: int = 0
    heartbeat_interval_ms: int = 0
    assignment: ShareGroupHeartbeatResponseAssignment | None = None


class ShareGroupDescribeRequest(Struct, frozen=True):
    """API 77, version 1."""

    group_ids: tuple[str, ...] = ()
    include_authorized_operations: bool = False


class ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition(Struct, frozen=True):
    """In `ShareGroupDescribeResponseGroupMemberAssignment`."""

    topic_id: bytes = bytes(16)
    topic: str = ""
    partitions: tuple[int, ...] = ()


class ShareGroupDescribeResponseGroupMemberAssignment(Struct, frozen=True):
    """In `ShareGroupDescribeResponseGroupMember`."""

    topic_partitions: tuple[ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition, ...] = ()


class ShareGroupDescribeResponseGroupMember(Struct, frozen=True):
    """In `ShareGroupDescribeResponseGroup`."""

    member_id: str = ""
    rack_id: str | None = None
    member_epoch: int = 0
    client_id: str = ""
    client_host: str = ""
    subscribed_topic_names: tuple[str, ...] = ()
    assignment: ShareGroupDescribeResponseGroupMemberAssignment | None = None


class ShareGroupDescribeResponseGroup(Struct, frozen=True):
    """In `ShareGroupDescribeResponse`."""

    error_code: int = 0
    error_message: str | None = None
    group_id: str = ""
    group_state: str = ""
    group_epoch: int = 0
    assignment_epoch: int = 0
    assignor: str = ""
    members: tuple[ShareGroupDescribeResponseGroupMember, ...] = ()
    authorized_operations: int = -2147483648


class ShareGroupDescribeResponse(Struct, frozen=True):
    """API 77, version 1."""

    throttle_time_ms: int = 0
    groups: tuple[ShareGroupDescribeResponseGroup, ...] = ()


class ShareFetchRequestTopicPartitionAcknowledgementBatche(Struct, frozen=True):
    """In `ShareFetchRequestTopicPartition`."""

    first_offset: int = 0
    last_offset: int = 0
    acknowledge_types: tuple[int, ...] = ()


class ShareFetchRequestTopicPartition(Struct, frozen=True):
    """In `ShareFetchRequestTopic`."""

    partition: int = 0
    acknowledgement_batches: tuple[ShareFetchRequestTopicPartitionAcknowledgementBatche, ...] = ()


class ShareFetchRequestTopic(Struct, frozen=True):
    """In `ShareFetchRequest`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[ShareFetchRequestTopicPartition, ...] = ()


class ShareFetchRequestForgottenTopicsData(Struct, frozen=True):
    """In `ShareFetchRequest`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[int, ...] = ()


class ShareFetchRequest(Struct, frozen=True):
    """API 78, versions 1 to 2."""

    group_id: str | None = None
    member_id: str | None = None
    share_session_epoch: int = 0
    max_wait_ms: int = 0
    min_bytes: int = 0
    max_bytes: int = 2147483647
    max_records: int = 0
    batch_size: int = 0
    share_acquire_mode: int = 0
    is_renew_ack: bool = False
    topics: tuple[ShareFetchRequestTopic, ...] = ()
    forgotten_topics_data: tuple[ShareFetchRequestForgottenTopicsData, ...] = ()


class ShareFetchResponseTopicPartitionCurrentLeader(Struct, frozen=True):
    """In `ShareFetchResponseTopicPartition`."""

    leader_id: int = 0
    leader_epoch: int = 0


class ShareFetchResponseTopicPartitionAcquiredRecord(Struct, frozen=True):
    """In `ShareFetchResponseTopicPartition`."""

    first_offset: int = 0
    last_offset: int = 0
    delivery_count: int = 0


class ShareFetchResponseTopicPartition(Struct, frozen=True):
    """In `ShareFetchResponseTopic`."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None
    acknowledge_error_code: int = 0
    acknowledge_error_message: str | None = None
    current_leader: ShareFetchResponseTopicPartitionCurrentLeader | None = None
    records: Records | None = b""
    acquired_records: tuple[ShareFetchResponseTopicPartitionAcquiredRecord, ...] = ()


class ShareFetchResponseTopic(Struct, frozen=True):
    """In `ShareFetchResponse`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[ShareFetchResponseTopicPartition, ...] = ()


class ShareFetchResponseNodeEndpoint(Struct, frozen=True):
    """In `ShareFetchResponse`."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class ShareFetchResponse(Struct, frozen=True):
    """API 78, versions 1 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    acquisition_lock_timeout_ms: int = 0
    topics: tuple[ShareFetchResponseTopic, ...] = ()
    node_endpoints: tuple[ShareFetchResponseNodeEndpoint, ...] = ()


class ShareAcknowledgeRequestTopicPartitionAcknowledgementBatche(Struct, frozen=True):
    """In `ShareAcknowledgeRequestTopicPartition`."""

    first_offset: int = 0
    last_offset: int = 0
    acknowledge_types: tuple[int, ...] = ()


class ShareAcknowledgeRequestTopicPartition(Struct, frozen=True):
    """In `ShareAcknowledgeRequestTopic`."""

    partition: int = 0
    acknowledgement_batches: tuple[ShareAcknowledgeRequestTopicPartitionAcknowledgementBatche, ...] = ()


class ShareAcknowledgeRequestTopic(Struct, frozen=True):
    """In `ShareAcknowledgeRequest`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[ShareAcknowledgeRequestTopicPartition, ...] = ()


class ShareAcknowledgeRequest(Struct, frozen=True):
    """API 79, versions 1 to 2."""

    group_id: str | None = None
    member_id: str | None = None
    share_session_epoch: int = 0
    is_renew_ack: bool = False
    topics: tuple[ShareAcknowledgeRequestTopic, ...] = ()


class ShareAcknowledgeResponseTopicPartitionCurrentLeader(Struct, frozen=True):
    """In `ShareAcknowledgeResponseTopicPartition`."""

    leader_id: int = 0
    leader_epoch: int = 0


class ShareAcknowledgeResponseTopicPartition(Struct, frozen=True):
    """In `ShareAcknowledgeResponseTopic`."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None
    current_leader: ShareAcknowledgeResponseTopicPartitionCurrentLeader | None = None


class ShareAcknowledgeResponseTopic(Struct, frozen=True):
    """In `ShareAcknowledgeResponse`."""

    topic_id: bytes = bytes(16)
    partitions: tuple[ShareAcknowledgeResponseTopicPartition, ...] = ()


class ShareAcknowledgeResponseNodeEndpoint(Struct, frozen=True):
    """In `ShareAcknowledgeResponse`."""

    node_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None


class ShareAcknowledgeResponse(Struct, frozen=True):
    """API 79, versions 1 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    acquisition_lock_timeout_ms: int = 0
    topics: tuple[ShareAcknowledgeResponseTopic, ...] = ()
    node_endpoints: tuple[ShareAcknowledgeResponseNodeEndpoint, ...] = ()


class DescribeShareGroupOffsetsRequestGroupTopic(Struct, frozen=True):
    """In `DescribeShareGroupOffsetsRequestGroup`."""

    topic: str = ""
    partitions: tuple[int, ...] = ()


class DescribeShareGroupOffsetsRequestGroup(Struct, frozen=True):
    """In `DescribeShareGroupOffsetsRequest`."""

    group_id: str = ""
    topics: tuple[DescribeShareGroupOffsetsRequestGroupTopic, ...] | None = ()


class DescribeShareGroupOffsetsRequest(Struct, frozen=True):
    """API 90, versions 0 to 1."""

    groups: tuple[DescribeShareGroupOffsetsRequestGroup, ...] = ()


class DescribeShareGroupOffsetsResponseGroupTopicPartition(Struct, frozen=True):
    """In `DescribeShareGroupOffsetsResponseGroupTopic`."""

    partition: int = 0
    start_offset: int = 0
    leader_epoch: int = 0
    lag: int = -1
    error_code: int = 0
    error_message: str | None = None


class DescribeShareGroupOffsetsResponseGroupTopic(Struct, frozen=True):
    """In `DescribeShareGroupOffsetsResponseGroup`."""

    topic: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[DescribeShareGroupOffsetsResponseGroupTopicPartition, ...] = ()


class DescribeShareGroupOffsetsResponseGroup(Struct, frozen=True):
    """In `DescribeShareGroupOffsetsResponse`."""

    group_id: str = ""
    topics: tuple[DescribeShareGroupOffsetsResponseGroupTopic, ...] = ()
    error_code: int = 0
    error_message: str | None = None


class DescribeShareGroupOffsetsResponse(Struct, frozen=True):
    """API 90, versions 0 to 1."""

    throttle_time_ms: int = 0
    groups: tuple[DescribeShareGroupOffsetsResponseGroup, ...] = ()


class AlterShareGroupOffsetsRequestTopicPartition(Struct, frozen=True):
    """In `AlterShareGroupOffsetsRequestTopic`."""

    partition: int = 0
    start_offset: int = 0


class AlterShareGroupOffsetsRequestTopic(Struct, frozen=True):
    """In `AlterShareGroupOffsetsRequest`."""

    topic: str = ""
    partitions: tuple[AlterShareGroupOffsetsRequestTopicPartition, ...] = ()


class AlterShareGroupOffsetsRequest(Struct, frozen=True):
    """API 91, version 0."""

    group_id: str = ""
    topics: tuple[AlterShareGroupOffsetsRequestTopic, ...] = ()


class AlterShareGroupOffsetsResponseTopicPartition(Struct, frozen=True):
    """In `AlterShareGroupOffsetsResponseTopic`."""

    partition: int = 0
    error_code: int = 0
    error_message: str | None = None


class AlterShareGroupOffsetsResponseTopic(Struct, frozen=True):
    """In `AlterShareGroupOffsetsResponse`."""

    topic: str = ""
    topic_id: bytes = bytes(16)
    partitions: tuple[AlterShareGroupOffsetsResponseTopicPartition, ...] = ()


class AlterShareGroupOffsetsResponse(Struct, frozen=True):
    """API 91, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    topics: tuple[AlterShareGroupOffsetsResponseTopic, ...] = ()


class DeleteShareGroupOffsetsRequestTopic(Struct, frozen=True):
    """In `DeleteShareGroupOffsetsRequest`."""

    topic: str = ""


class DeleteShareGroupOffsetsRequest(Struct, frozen=True):
    """API 92, version 0."""

    group_id: str = ""
    topics: tuple[DeleteShareGroupOffsetsRequestTopic, ...] = ()


class DeleteShareGroupOffsetsResponseTopic(Struct, frozen=True):
    """In `DeleteShareGroupOffsetsResponse`."""

    topic: str = ""
    topic_id: bytes = bytes(16)
    error_code: int = 0
    error_message: str | None = None


class DeleteShareGroupOffsetsResponse(Struct, frozen=True):
    """API 92, version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    topics: tuple[DeleteShareGroupOffsetsResponseTopic, ...] = ()


class RequestHeader(Struct, frozen=True):
    """versions 1 to 2."""

    request_api_key: int = 0
    request_api_version: int = 0
    correlation_id: int = 0
    client_id: str | None = None


class ResponseHeader(Struct, frozen=True):
    """versions 0 to 1."""

    correlation_id: int = 0


class ConsumerProtocolSubscriptionOwnedPartition(Struct, frozen=True):
    """In `ConsumerProtocolSubscription`."""

    topic: str = ""
    partitions: tuple[int, ...] = ()


class ConsumerProtocolSubscription(Struct, frozen=True):
    """versions 0 to 3."""

    topics: tuple[str, ...] = ()
    user_data: bytes | None = None
    owned_partitions: tuple[ConsumerProtocolSubscriptionOwnedPartition, ...] = ()
    generation_id: int = -1
    rack_id: str | None = None


class ConsumerProtocolAssignmentAssignedPartition(Struct, frozen=True):
    """In `ConsumerProtocolAssignment`."""

    topic: str = ""
    partitions: tuple[int, ...] = ()


class ConsumerProtocolAssignment(Struct, frozen=True):
    """versions 0 to 3."""

    assigned_partitions: tuple[ConsumerProtocolAssignmentAssignedPartition, ...] = ()
    user_data: bytes | None = None
