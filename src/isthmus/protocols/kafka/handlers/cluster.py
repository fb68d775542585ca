"""The cluster as Kafka's tools see it: one node that leads everything and keeps the only replica.

What changes a cluster of several nodes is answered as done, not needed, or impossible; nothing is changed here.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from isthmus.broker.catalog import Topic
from isthmus.definition import Operation
from isthmus.log.partition import Partition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.allowed import (
    ALTER,
    ALTER_CONFIGS,
    CLUSTER_ACTION,
    CREATE,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    IDEMPOTENT_WRITE,
    NOT_ASKED,
    TOPIC_OPERATIONS,
    operations,
)
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.configs import CLUSTER

BROKERS: Final = 1
"""The type of endpoints that DescribeCluster can ask for; controllers are 2 and are none of their own here."""

CLUSTER_OPERATIONS: Final[dict[int, Operation]] = {
    CREATE: "create",
    ALTER: "alter",
    DESCRIBE: "describe",
    CLUSTER_ACTION: "administer",
    DESCRIBE_CONFIGS: "describe",
    ALTER_CONFIGS: "alter",
    IDEMPOTENT_WRITE: "publish",
}
QUORUM_TOPIC: Final = "__cluster_metadata"


def _topics(call: Call, operation: Operation = "describe") -> list[Topic]:
    """The topics of the namespace that the caller may see, by name."""
    names = sorted(name for namespace, name in call.broker.catalog.topic_names if namespace == call.namespace)
    return [call.broker.topic(call.namespace, name) for name in names if call.allows(operation, name)]


def _partition(call: Call, name: str, index: int) -> Partition | Code:
    """A partition that the caller may see, or why it cannot be had."""
    if not call.allows("describe", name):
        return Code.TOPIC_AUTHORIZATION_FAILED
    topic = call.topic(name)
    if topic is None:
        return Code.UNKNOWN_TOPIC_OR_PARTITION
    return topic.partitions[index] if 0 <= index < len(topic.partitions) else Code.UNKNOWN_TOPIC_OR_PARTITION


# ---- the cluster -----------------------------------------------------------------------------------------------------


def describe_cluster(call: Call) -> m.DescribeClusterResponse:
    """This node, at the address at which this client can reach it.

    Spec: DescribeCluster (60).
    """
    asked: m.DescribeClusterRequest = call.request
    node = call.node()
    known = call.version < 1 or asked.endpoint_type == BROKERS
    return m.DescribeClusterResponse(
        error_code=Code.NONE if known else Code.UNSUPPORTED_ENDPOINT_TYPE,
        error_message=None
        if known
        else f"endpoints of type {asked.endpoint_type} are not told here; ask for brokers (1)",
        endpoint_type=asked.endpoint_type if call.version >= 1 else BROKERS,
        cluster_id=call.cluster_id,
        controller_id=node.id if known else -1,
        brokers=(m.DescribeClusterResponseBroker(broker_id=node.id, host=node.host, port=node.port, rack=None),)
        if known
        else (),
        cluster_authorized_operations=operations(call, CLUSTER_OPERATIONS, CLUSTER)
        if asked.include_cluster_authorized_operations
        else NOT_ASKED,
    )


def describe_quorum(call: Call) -> m.DescribeQuorumResponse:
    """A quorum of one: this node, which has seen all of its journal.

    Spec: DescribeQuorum (55). Deviation: offsets are positions in the journal.
    """
    asked: m.DescribeQuorumRequest = call.request
    if not call.allows("describe", CLUSTER):
        return m.DescribeQuorumResponse(
            error_code=Code.CLUSTER_AUTHORIZATION_FAILED, error_message="not authorised", topics=(), nodes=()
        )
    topics = [
        m.DescribeQuorumResponseTopic(
            topic_name=named.topic_name,
            partitions=tuple(_quorum(call, named.topic_name, row.partition_index) for row in named.partitions),
        )
        for named in asked.topics
    ]
    node = call.node()
    nodes = (
        m.DescribeQuorumResponseNode(
            node_id=node.id,
            listeners=(m.DescribeQuorumResponseNodeListener(name="CONTROLLER", host=node.host, port=node.port),),
        ),
    )
    return m.DescribeQuorumResponse(error_code=0, error_message=None, topics=tuple(topics), nodes=nodes)


def _quorum(call: Call, name: str, index: int) -> m.DescribeQuorumResponseTopicPartition:
    journal, now_ms = call.broker.journal, call.broker.clock.now_ms()
    known = (name, index) == (QUORUM_TOPIC, 0)
    me = m.DescribeQuorumResponseTopicPartitionCurrentVoter(
        replica_id=call.node().id,
        replica_directory_id=b"\0" * 16,
        log_end_offset=journal.applied_lsn,
        last_fetch_timestamp=now_ms,
        last_caught_up_timestamp=now_ms,
    )
    return m.DescribeQuorumResponseTopicPartition(
        partition_index=index,
        error_code=Code.NONE if known else Code.UNKNOWN_TOPIC_OR_PARTITION,
        error_message=None if known else f"only {QUORUM_TOPIC}, partition 0, has a quorum",
        leader_id=call.node().id if known else -1,
        leader_epoch=journal.epoch if known else -1,
        high_watermark=journal.applied_lsn if known else -1,
        current_voters=(me,) if known else (),
        observers=(),
    )


# ---- topics and partitions -------------------------------------------------------------------------------------------


def describe_topic_partitions(call: Call) -> m.DescribeTopicPartitionsResponse:
    """Partitions of topics in order of their names, a page at a time.

    Spec: DescribeTopicPartitions (75).
    """
    asked: m.DescribeTopicPartitionsRequest = call.request
    names = sorted({row.name for row in asked.topics}) or [topic.name for topic in _topics(call)]
    start = 0
    if asked.cursor is not None:
        names = [name for name in names if name >= asked.cursor.topic_name]
        # Below 0 would count from the end, and a client would walk in circles.
        start = max(0, asked.cursor.partition_index) if names and names[0] == asked.cursor.topic_name else 0
    left = max(1, min(asked.response_partition_limit, PAGE_PARTITIONS))
    found, cursor = [], None
    for name in names:
        if left == 0:
            cursor = m.DescribeTopicPartitionsResponseNextCursor(topic_name=name, partition_index=0)
            break
        row, ended = _topic_page(call, name, start, left)
        found.append(row)
        left -= len(row.partitions)
        if ended is not None:
            cursor = m.DescribeTopicPartitionsResponseNextCursor(topic_name=name, partition_index=ended)
            break
        start = 0
    return m.DescribeTopicPartitionsResponse(topics=tuple(found), next_cursor=cursor)


PAGE_PARTITIONS: Final = 2_000
"""Partitions in one answer, whatever was asked for."""


def _topic_page(
    call: Call, name: str, start: int, limit: int
) -> tuple[m.DescribeTopicPartitionsResponseTopic, int | None]:
    """One topic's partitions from `start` on, and where the next page begins if not all fit."""
    topic, allowed = call.topic(name), call.allows("describe", name)
    if topic is None or not allowed:
        code = Code.UNKNOWN_TOPIC_OR_PARTITION if allowed else Code.TOPIC_AUTHORIZATION_FAILED
        empty = m.DescribeTopicPartitionsResponseTopic(
            error_code=code, name=name, topic_id=b"\0" * 16, is_internal=False, partitions=()
        )
        return empty, None
    page = topic.partitions[start : start + limit]
    row = m.DescribeTopicPartitionsResponseTopic(
        error_code=0,
        name=name,
        topic_id=topic.set.uuid,
        is_internal=False,
        partitions=tuple(_partition_row(call, partition) for partition in page),
        topic_authorized_operations=operations(call, TOPIC_OPERATIONS, name),
    )
    end = start + len(page)
    return row, end if end < len(topic.partitions) else None


def _partition_row(call: Call, partition: Partition) -> m.DescribeTopicPartitionsResponseTopicPartition:
    node = (call.node().id,)
    return m.DescribeTopicPartitionsResponseTopicPartition(
        error_code=0,
        partition_index=partition.index,
        leader_id=node[0],
        leader_epoch=partition.leader_epoch,
        replica_nodes=node,
        isr_nodes=node,
        eligible_leader_replicas=(),
        last_known_elr=(),
        offline_replicas=(),
    )


def describe_log_dirs(call: Call) -> m.DescribeLogDirsResponse:
    """The one data directory, with the bytes that each partition's records take in it.

    Spec: DescribeLogDirs (35).
    """
    asked: m.DescribeLogDirsRequest = call.request
    if not call.allows("describe", CLUSTER):
        return m.DescribeLogDirsResponse(error_code=Code.CLUSTER_AUTHORIZATION_FAILED, results=())
    if asked.topics is None:
        chosen = [(topic, topic.partitions) for topic in _topics(call)]
    else:
        named = [(call.topic(row.topic), row.partitions) for row in asked.topics if call.allows("describe", row.topic)]
        chosen = [(topic, _known(topic, indexes)) for topic, indexes in named if topic is not None]
    topics = [
        m.DescribeLogDirsResponseResultTopic(
            name=topic.name,
            partitions=tuple(
                m.DescribeLogDirsResponseResultTopicPartition(
                    partition_index=each.index, partition_size=each.bytes, offset_lag=0, is_future_key=False
                )
                for each in partitions
            ),
        )
        for topic, partitions in chosen
    ]
    result = m.DescribeLogDirsResponseResult(
        error_code=0, log_dir=call.broker.storage.directory, topics=tuple(topics), total_bytes=-1, usable_bytes=-1
    )
    return m.DescribeLogDirsResponse(error_code=0, results=(result,))


def _known(topic: Topic, indexes: Iterable[int]) -> list[Partition]:
    return [topic.partitions[index] for index in indexes if 0 <= index < len(topic.partitions)]


def describe_producers(call: Call) -> m.DescribeProducersResponse:
    """The idempotent producers that partitions remember.

    Spec: DescribeProducers (61). Deviation: the time of the last batch is not kept, it is told as -1.
    """
    asked: m.DescribeProducersRequest = call.request
    topics = [
        m.DescribeProducersResponseTopic(
            name=named.name,
            partitions=tuple(_producers(call, named.name, index) for index in named.partition_indexes),
        )
        for named in asked.topics
    ]
    return m.DescribeProducersResponse(topics=tuple(topics))


def _producers(call: Call, name: str, index: int) -> m.DescribeProducersResponseTopicPartition:
    found = _partition(call, name, index)
    if isinstance(found, Code):
        return m.DescribeProducersResponseTopicPartition(
            partition_index=index, error_code=found, error_message=None, active_producers=()
        )
    rows = [
        m.DescribeProducersResponseTopicPartitionActiveProducer(
            producer_id=producer,
            producer_epoch=epoch,
            last_sequence=batches[-1][1] if batches else -1,
            last_timestamp=-1,
            coordinator_epoch=-1,
            current_txn_start_offset=-1,
        )
        for producer, epoch, batches in (found.producers.rows() if found.producers is not None else ())
    ]
    return m.DescribeProducersResponseTopicPartition(
        partition_index=index, error_code=0, error_message=None, active_producers=tuple(rows)
    )


# ---- what several nodes would need -----------------------------------------------------------------------------------


def elect_leaders(call: Call) -> m.ElectLeadersResponse:
    """The only node leads already.

    Spec: ElectLeaders (43).
    """
    asked: m.ElectLeadersRequest = call.request
    if not call.allows("alter", CLUSTER):
        return m.ElectLeadersResponse(error_code=Code.CLUSTER_AUTHORIZATION_FAILED, replica_election_results=())
    results = [
        m.ElectLeadersResponseReplicaElectionResult(
            topic=row.topic,
            partition_result=tuple(_not_elected(call, row.topic, index) for index in row.partitions),
        )
        for row in asked.topic_partitions or ()
    ]
    return m.ElectLeadersResponse(error_code=0, replica_election_results=tuple(results))


def _not_elected(call: Call, name: str, index: int) -> m.ElectLeadersResponseReplicaElectionResultPartitionResult:
    found = _partition(call, name, index)
    code = found if isinstance(found, Code) else Code.ELECTION_NOT_NEEDED
    message = None if isinstance(found, Code) else "there is one node, and it leads"
    return m.ElectLeadersResponseReplicaElectionResultPartitionResult(
        partition_id=index, error_code=code, error_message=message
    )


def alter_partition_reassignments(call: Call) -> m.AlterPartitionReassignmentsResponse:
    """Every partition is on the only node, where it stays.

    Spec: AlterPartitionReassignments (45).
    """
    asked: m.AlterPartitionReassignmentsRequest = call.request
    if not call.allows("alter", CLUSTER):
        return m.AlterPartitionReassignmentsResponse(
            error_code=Code.CLUSTER_AUTHORIZATION_FAILED, error_message="not authorised", responses=()
        )
    rows = [
        m.AlterPartitionReassignmentsResponseResponse(
            name=named.name,
            partitions=tuple(
                _not_moved(call, named.name, row.partition_index, row.replicas) for row in named.partitions
            ),
        )
        for named in asked.topics
    ]
    return m.AlterPartitionReassignmentsResponse(error_code=0, error_message=None, responses=tuple(rows))


def _not_moved(
    call: Call, name: str, index: int, replicas: Sequence[int] | None
) -> m.AlterPartitionReassignmentsResponseResponsePartition:
    found, node = _partition(call, name, index), call.node().id
    code, message = Code.NONE, None
    if isinstance(found, Code):
        code = found
    elif replicas is None:
        code, message = Code.NO_REASSIGNMENT_IN_PROGRESS, "nothing is being moved"
    elif list(replicas) != [node]:
        code, message = Code.INVALID_REPLICA_ASSIGNMENT, f"there is one node, {node}"
    return m.AlterPartitionReassignmentsResponseResponsePartition(
        partition_index=index, error_code=code, error_message=message
    )


def list_partition_reassignments(call: Call) -> m.ListPartitionReassignmentsResponse:
    """Nothing is ever being moved.

    Spec: ListPartitionReassignments (46).
    """
    if not call.allows("describe", CLUSTER):
        return m.ListPartitionReassignmentsResponse(
            error_code=Code.CLUSTER_AUTHORIZATION_FAILED, error_message="not authorised", topics=()
        )
    return m.ListPartitionReassignmentsResponse(error_code=0, error_message=None, topics=())
