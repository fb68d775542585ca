"""What topics there are and where: Metadata.

There is one node, which leads everything. A topic that is asked for and is not there is made, where that is allowed.
"""

from collections.abc import Coroutine
from typing import Final

from isthmus.broker.catalog import Topic
from isthmus.definition import TopicDefinition
from isthmus.errors import AlreadyExists, RequestError
from isthmus.log.partition import Partition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers import topic_configs
from isthmus.protocols.kafka.handlers.allowed import NOT_ASKED, TOPIC_OPERATIONS, operations
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.cluster import CLUSTER_OPERATIONS
from isthmus.protocols.kafka.handlers.configs import CLUSTER
from isthmus.protocols.kafka.handlers.topics import is_legal

NO_ID: Final = bytes(16)


def metadata(call: Call) -> m.MetadataResponse | Coroutine[None, None, m.MetadataResponse]:
    """The node, and the topics that are asked for or all.

    Spec: Metadata (3).
    """
    asked: m.MetadataRequest = call.request
    everything = asked.topics is None or (call.version == 0 and not asked.topics)
    if everything:
        return _answer(call, [_known(call, topic) for topic in _all(call)])
    missing = [row.name for row in asked.topics or () if row.name is not None and call.topic(row.name) is None]
    if missing and call.options.create_topics and (call.version < 4 or asked.allow_auto_topic_creation):
        return _after_making(call, missing)
    return _answer(call, [_named(call, row) for row in asked.topics or ()])


async def _after_making(call: Call, missing: list[str]) -> m.MetadataResponse:
    asked: m.MetadataRequest = call.request
    refused = {name: code for name in missing if (code := await _make(call, name)) is not None}
    rows = []
    for row in asked.topics or ():
        code = None if row.name is None else refused.get(row.name)
        rows.append(_named(call, row) if code is None else _missing(row.name, code))
    return _answer(call, rows)


async def _make(call: Call, name: str) -> Code | None:
    """Make a topic that somebody wants to use; the code when it cannot be."""
    if not call.allows("create", name):
        # Who may not make it is not told more than that it is not there.
        return Code.UNKNOWN_TOPIC_OR_PARTITION if call.allows("describe", name) else Code.TOPIC_AUTHORIZATION_FAILED
    if not is_legal(name):
        return Code.INVALID_TOPIC_EXCEPTION
    asked = TopicDefinition(
        name=name, namespace=call.namespace, partitions=call.options.partitions, config=topic_configs.fresh({})
    )
    try:
        await call.broker.quiet("topic", call.namespace, name)
        await call.broker.create_topic(call.session, asked)
    except AlreadyExists:
        return None
    except RequestError as error:
        return code_of(error, "topic")
    return None


def _all(call: Call) -> list[Topic]:
    catalog = call.broker.catalog
    names = sorted(name for namespace, name in catalog.topic_names if namespace == call.namespace)
    return [call.broker.topic(call.namespace, name) for name in names if call.allows("describe", name)]


def _named(call: Call, row: m.MetadataRequestTopic) -> m.MetadataResponseTopic:
    if row.name is None or (call.version >= 10 and row.topic_id != NO_ID):
        topic = call.topic_by_id(row.topic_id)
        if topic is None or not call.allows("describe", topic.name):
            return _missing(None if call.version >= 12 else "", Code.UNKNOWN_TOPIC_ID, row.topic_id)
        return _known(call, topic)
    if not call.allows("describe", row.name):
        return _missing(row.name, Code.TOPIC_AUTHORIZATION_FAILED)
    topic = call.topic(row.name)
    return _missing(row.name, Code.UNKNOWN_TOPIC_OR_PARTITION) if topic is None else _known(call, topic)


def _missing(name: str | None, code: Code, topic_id: bytes = NO_ID) -> m.MetadataResponseTopic:
    return m.MetadataResponseTopic(error_code=code, name=name, topic_id=topic_id)


def _known(call: Call, topic: Topic) -> m.MetadataResponseTopic:
    asked: m.MetadataRequest = call.request
    node = (call.node().id,)
    return m.MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.set.uuid,
        partitions=tuple([_partition(each, node) for each in topic.partitions]),
        topic_authorized_operations=operations(call, TOPIC_OPERATIONS, topic.name)
        if asked.include_topic_authorized_operations
        else NOT_ASKED,
    )


def _partition(partition: Partition, node: tuple[int, ...]) -> m.MetadataResponseTopicPartition:
    return m.MetadataResponseTopicPartition(
        partition_index=partition.index,
        leader_id=node[0],
        leader_epoch=partition.leader_epoch,
        replica_nodes=node,
        isr_nodes=node,
    )


def _answer(call: Call, topics: list[m.MetadataResponseTopic]) -> m.MetadataResponse:
    asked: m.MetadataRequest = call.request
    node = call.node()
    return m.MetadataResponse(
        brokers=(m.MetadataResponseBroker(node.id, node.host, node.port),),
        cluster_id=call.cluster_id,
        controller_id=node.id,
        topics=tuple(topics),
        cluster_authorized_operations=operations(call, CLUSTER_OPERATIONS, CLUSTER)
        if asked.include_cluster_authorized_operations
        else NOT_ASKED,
    )
