"""Making, removing and growing topics, and deleting their oldest records, as Kafka's admin clients ask for it.

Each row of a request is judged by itself and answered when it is durable; what a topic may be the broker decides.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from isthmus.broker.catalog import Topic
from isthmus.definition import TopicDefinition
from isthmus.errors import InvalidArgument, RequestError
from isthmus.limits import PARTITIONS_MAX
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers import topic_configs
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.configs import definition_of, source_of

DEFAULT: Final = -1
"""As a number of partitions or replicas: what the broker thinks right. As an offset: the end."""

REPLICAS: Final = 1
_LEGAL: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_legal(name: str) -> bool:
    """Whether Kafka's rule lets a topic have that name."""
    return _LEGAL.fullmatch(name) is not None and name not in {".", ".."}


class Refusal(Exception):
    """A row of a request is refused."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _of(error: RequestError) -> Refusal:
    if isinstance(error, InvalidArgument):
        code = Code.INVALID_PARTITIONS if error.argument == "partitions" else Code.INVALID_CONFIG
        return Refusal(code, str(error))
    return Refusal(code_of(error, "topic"), str(error))


# ---- making ----------------------------------------------------------------------------------------------------------


async def create_topics(call: Call) -> m.CreateTopicsResponse:
    """Make topics, or say whether they could be made.

    Spec: CreateTopics (19). Deviation: a replication factor above 1 is taken for 1, unless an option forbids it.
    """
    asked: m.CreateTopicsRequest = call.request
    counts = Counter(row.name for row in asked.topics)
    rows = [await _create(call, row, twice=counts[row.name] > 1) for row in asked.topics]
    return m.CreateTopicsResponse(topics=tuple(rows))


async def _create(call: Call, row: m.CreateTopicsRequestTopic, *, twice: bool) -> m.CreateTopicsResponseTopic:
    try:
        if twice:
            raise Refusal(Code.INVALID_REQUEST, "the topic is named twice in this request")
        wanted = _wanted(call, row)
        await call.broker.quiet("topic", call.namespace, row.name)
        if call.request.validate_only:
            call.broker.check_new_topic(call.session, wanted)
            return _made(call, wanted, b"\0" * 16)
        topic = await call.broker.create_topic(call.session, wanted)
    except RequestError as error:
        return _not_made(row.name, _of(error))
    except Refusal as refusal:
        return _not_made(row.name, refusal)
    return _made(call, wanted, topic.set.uuid)


def _not_made(name: str, refusal: Refusal) -> m.CreateTopicsResponseTopic:
    return m.CreateTopicsResponseTopic(
        name=name,
        topic_id=b"\0" * 16,
        error_code=refusal.code,
        error_message=refusal.message,
        num_partitions=-1,
        replication_factor=-1,
        configs=(),
    )


def _made(call: Call, wanted: TopicDefinition, topic_id: bytes) -> m.CreateTopicsResponseTopic:
    values = topic_configs.values_of(wanted.config) if call.version >= 5 else {}
    return m.CreateTopicsResponseTopic(
        name=wanted.name,
        topic_id=topic_id,
        error_code=0,
        error_message=None,
        num_partitions=wanted.partitions,
        replication_factor=REPLICAS,
        configs=tuple(
            m.CreateTopicsResponseTopicConfig(
                name=name, value=value, read_only=False, config_source=source_of(name, value), is_sensitive=False
            )
            for name, value in values.items()
        ),
    )


def _wanted(call: Call, row: m.CreateTopicsRequestTopic) -> TopicDefinition:
    if not is_legal(row.name):
        raise Refusal(
            Code.INVALID_TOPIC_EXCEPTION, "a Kafka topic has 1 to 249 letters, digits, dots, underscores and dashes"
        )
    if row.assignments:
        if (row.num_partitions, row.replication_factor) != (DEFAULT, DEFAULT):
            raise Refusal(Code.INVALID_REQUEST, "give either assignments or numbers of partitions and replicas")
        indexes = sorted(each.partition_index for each in row.assignments)
        if indexes != list(range(len(indexes))):
            raise Refusal(Code.INVALID_REPLICA_ASSIGNMENT, "partitions must be numbered from 0 on without a gap")
        for each in row.assignments:
            _check_replicas(call, each.broker_ids)
        partitions = len(indexes)
    else:
        _check_factor(call, row.replication_factor)
        partitions = call.options.partitions if row.num_partitions == DEFAULT else row.num_partitions
    changes = {config.name: config.value for config in row.configs}
    return TopicDefinition(
        name=row.name,
        namespace=call.namespace,
        partitions=partitions,
        config=topic_configs.fresh(changes),
    )


def _check_factor(call: Call, factor: int) -> None:
    if factor in (DEFAULT, REPLICAS) or (factor > REPLICAS and call.options.clamp_replication):
        return
    raise Refusal(Code.INVALID_REPLICATION_FACTOR, f"{factor} replicas cannot be: there is one node")


def _check_replicas(call: Call, brokers: Sequence[int]) -> None:
    """A list of replicas must name this node; others may be named beside it where factors are clamped."""
    node = call.node().id
    if node not in brokers or len(set(brokers)) != len(brokers):
        raise Refusal(Code.INVALID_REPLICA_ASSIGNMENT, f"{list(brokers)} must name node {node}, once")
    _check_factor(call, len(brokers))


# ---- removing --------------------------------------------------------------------------------------------------------


async def delete_topics(call: Call) -> m.DeleteTopicsResponse:
    """Remove topics by name or id, with their records; a topic that a queue owns goes with its queue.

    Spec: DeleteTopics (20).
    """
    asked: m.DeleteTopicsRequest = call.request
    if call.version >= 6:
        named = [(row.name, row.topic_id) for row in asked.topics]
    else:
        named = [(name, b"\0" * 16) for name in asked.topic_names]
    return m.DeleteTopicsResponse(responses=tuple([await _delete(call, *row) for row in named]))


async def _delete(call: Call, name: str | None, topic_id: bytes) -> m.DeleteTopicsResponseResponse:
    def answer(code: Code, message: str | None = None) -> m.DeleteTopicsResponseResponse:
        return m.DeleteTopicsResponseResponse(name=name, topic_id=topic_id, error_code=code, error_message=message)

    if name is not None and any(topic_id):
        return answer(Code.INVALID_REQUEST, "give either the name of a topic or its id")
    if name is None:
        topic = call.topic_by_id(topic_id)
        if topic is None or not call.allows("describe", topic.name):
            return answer(Code.UNKNOWN_TOPIC_ID, "no topic of that id")
        name = topic.name
    try:
        call.broker.access.check(call.session, "remove", name)
        await call.broker.quiet("topic", call.namespace, name)
        topic_id = call.broker.topic(call.namespace, name).set.uuid
        await call.broker.remove_topic(call.session, call.namespace, name)
    except RequestError as error:
        return answer(code_of(error, "topic"), str(error))
    return answer(Code.NONE)


# ---- growing ---------------------------------------------------------------------------------------------------------


async def create_partitions(call: Call) -> m.CreatePartitionsResponse:
    """Give topics more partitions.

    Spec: CreatePartitions (37).
    """
    asked: m.CreatePartitionsRequest = call.request
    counts = Counter(row.name for row in asked.topics)
    rows = [await _grow(call, row, twice=counts[row.name] > 1) for row in asked.topics]
    return m.CreatePartitionsResponse(results=tuple(rows))


async def _grow(call: Call, row: m.CreatePartitionsRequestTopic, *, twice: bool) -> m.CreatePartitionsResponseResult:
    def answer(code: Code, message: str | None = None) -> m.CreatePartitionsResponseResult:
        return m.CreatePartitionsResponseResult(name=row.name, error_code=code, error_message=message)

    try:
        if twice:
            raise Refusal(Code.INVALID_REQUEST, "the topic is named twice in this request")
        call.broker.access.check(call.session, "alter", row.name)
        await call.broker.quiet("topic", call.namespace, row.name)
        topic = call.broker.topic(call.namespace, row.name)
        _check_growth(call, topic, row)
        if not call.request.validate_only:
            await call.broker.alter_topic(call.session, definition_of(topic, partitions=row.count))
    except RequestError as error:
        refusal = _of(error)
        return answer(refusal.code, refusal.message)
    except Refusal as refusal:
        return answer(refusal.code, refusal.message)
    return answer(Code.NONE)


def _check_growth(call: Call, topic: Topic, row: m.CreatePartitionsRequestTopic) -> None:
    now = len(topic.partitions)
    if not now < row.count <= PARTITIONS_MAX:
        raise Refusal(
            Code.INVALID_PARTITIONS, f"the topic has {now} partitions; ask for more, and at most {PARTITIONS_MAX}"
        )
    if row.assignments is None:
        return
    if len(row.assignments) != row.count - now:
        raise Refusal(Code.INVALID_REPLICA_ASSIGNMENT, f"assign {row.count - now} new partitions, or none of them")
    for each in row.assignments:
        _check_replicas(call, each.broker_ids)


# ---- deleting records ------------------------------------------------------------------------------------------------


async def delete_records(call: Call) -> m.DeleteRecordsResponse:
    """Delete what lies below an offset of each partition; answered when that is durable.

    Spec: DeleteRecords (21).
    """
    asked: m.DeleteRecordsRequest = call.request
    topics = []
    for named in asked.topics:
        rows = [await _trim(call, named.name, row.partition_index, row.offset) for row in named.partitions]
        topics.append(m.DeleteRecordsResponseTopic(name=named.name, partitions=tuple(rows)))
    return m.DeleteRecordsResponse(topics=tuple(topics))


async def _trim(call: Call, name: str, index: int, to: int) -> m.DeleteRecordsResponseTopicPartition:
    low, code = -1, Code.NONE
    try:
        call.broker.access.check(call.session, "remove", name)
        topic = call.broker.topic(call.namespace, name)
        if topic_configs.values_of(topic.set.config)["cleanup.policy"] == "compact":
            code = Code.POLICY_VIOLATION
        else:
            end = topic.partitions[index].high_watermark if 0 <= index < len(topic.partitions) else 0
            await call.broker.trim(call.session, topic, index, end if to == DEFAULT else to)
            low = topic.partitions[index].log_start
    except RequestError as error:
        code = code_of(error, "topic")
    return m.DeleteRecordsResponseTopicPartition(partition_index=index, low_watermark=low, error_code=code)
