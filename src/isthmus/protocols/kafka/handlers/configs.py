"""Settings of topics and of the node, as Kafka's tools read and change them.

Those of a topic act by the table of `topic_configs.py`; those of the node are read-only, as it was started.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from isthmus.broker.catalog import Topic
from isthmus.definition import TopicConfig, TopicDefinition
from isthmus.errors import InvalidArgument, RequestError
from isthmus.limits import SESSION_MS_MAX, SESSION_MS_MIN
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers import topic_configs
from isthmus.protocols.kafka.handlers.call import Call

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
"""Types of resources that have settings."""

OF_TOPIC, OF_NODE, DEFAULT = 1, 4, 5
"""Where a value comes from."""

SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
"""What IncrementalAlterConfigs does with a value."""

CLUSTER: Final = "kafka-cluster"
"""The resource that all which is nobody's own belongs to."""


def source_of(name: str, value: str) -> int:
    """Whether a setting of a topic is its own or the default."""
    return DEFAULT if value == topic_configs.BY_NAME[name].default else OF_TOPIC


def definition_of(topic: Topic, *, partitions: int | None = None, config: TopicConfig | None = None) -> TopicDefinition:
    """A topic as it would be asked for, with something changed."""
    declared = topic.set
    return TopicDefinition(
        name=declared.name,
        namespace=declared.namespace,
        partitions=partitions or declared.partitions,
        placement=declared.placement,
        config=config or declared.config,
        lifetime=declared.lifetime,
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def describe_configs(call: Call) -> m.DescribeConfigsResponse:
    """The settings of topics and of this node.

    Spec: DescribeConfigs (32). Deviation: a value that is the default counts as the default, also if it was set.
    """
    asked: m.DescribeConfigsRequest = call.request
    return m.DescribeConfigsResponse(results=tuple(_describe(call, row) for row in asked.resources))


def _describe(call: Call, row: m.DescribeConfigsRequestResource) -> m.DescribeConfigsResponseResult:
    try:
        configs = _configs(call, row.resource_type, row.resource_name, row.configuration_keys)
    except RequestError as error:
        return m.DescribeConfigsResponseResult(
            error_code=_code(error, row.resource_type),
            error_message=str(error),
            resource_type=row.resource_type,
            resource_name=row.resource_name,
            configs=(),
        )
    return m.DescribeConfigsResponseResult(
        error_code=0,
        error_message=None,
        resource_type=row.resource_type,
        resource_name=row.resource_name,
        configs=configs,
    )


def _code(error: RequestError, resource_type: int) -> Code:
    if isinstance(error, InvalidArgument):
        return Code.INVALID_REQUEST if error.argument == "resource" else Code.INVALID_CONFIG
    return code_of(error, "topic" if resource_type == TOPIC else "cluster")


def _configs(
    call: Call, resource_type: int, name: str, keys: Iterable[str] | None
) -> tuple[m.DescribeConfigsResponseResultConfig, ...]:
    if resource_type == TOPIC:
        call.broker.access.check(call.session, "describe", name)
        values = topic_configs.values_of(call.broker.topic(call.namespace, name).set.config)
        rows = [(key, value, source_of(key, value), *_told(key)) for key, value in values.items()]
    elif resource_type == BROKER:
        call.broker.access.check(call.session, "describe", CLUSTER)
        _check_node(call, name)
        rows = [(key, value, OF_NODE, kind, why) for key, (kind, value, why) in node_settings(call).items()]
    else:
        raise InvalidArgument("resource", f"type {resource_type} has no settings here; topics (2) and nodes (4) have")
    wanted = None if keys is None else set(keys)
    return tuple(_config(call, *row) for row in rows if wanted is None or row[0] in wanted)


def _told(key: str) -> tuple[int, str]:
    setting = topic_configs.BY_NAME[key]
    return setting.kind, setting.why


def _config(
    call: Call, name: str, value: str, source: int, kind: int, why: str
) -> m.DescribeConfigsResponseResultConfig:
    synonyms = [(name, value, source)]
    if source == OF_TOPIC:
        synonyms.append((name, topic_configs.BY_NAME[name].default, DEFAULT))
    return m.DescribeConfigsResponseResultConfig(
        name=name,
        value=value,
        read_only=source == OF_NODE,
        config_source=source,
        is_sensitive=False,
        synonyms=tuple(
            m.DescribeConfigsResponseResultConfigSynonym(name=name, value=value, source=source)
            for name, value, source in synonyms
        )
        if call.request.include_synonyms
        else (),
        config_type=kind,
        documentation=why if getattr(call.request, "include_documentation", False) else None,
    )


def _check_node(call: Call, name: str) -> None:
    node = str(call.node().id)
    if name not in ("", node):
        raise InvalidArgument("resource", f"no node {name!r}; this one is {node}")


def node_settings(call: Call) -> Mapping[str, tuple[int, str, str]]:
    """The settings of this node: type, value, and what it means; all are read-only."""
    options, broker = call.options, call.broker
    kept_minutes = broker.options.groups_kept_ms // 60_000
    return {
        "node.id": (topic_configs.INT, str(call.node().id), "the only node"),
        "broker.id": (topic_configs.INT, str(call.node().id), "the only node"),
        "log.dirs": (topic_configs.LIST, broker.storage.directory, "the data directory"),
        "num.partitions": (topic_configs.INT, str(options.partitions), "of topics that do not say"),
        "default.replication.factor": (topic_configs.INT, "1", "there is one node"),
        "min.insync.replicas": (topic_configs.INT, "1", "there is one node"),
        "auto.create.topics.enable": (
            topic_configs.BOOLEAN,
            str(options.create_topics).lower(),
            "whether asking for a topic makes it",
        ),
        "delete.topic.enable": (topic_configs.BOOLEAN, "true", "topics can be removed"),
        "log.cleanup.policy": (topic_configs.LIST, "delete", "of topics that do not say"),
        "log.retention.ms": (topic_configs.LONG, str(topic_configs.RETENTION_MS), "of topics that do not say"),
        "message.max.bytes": (
            topic_configs.INT,
            topic_configs.BY_NAME["max.message.bytes"].default,
            "of topics that do not say",
        ),
        "compression.type": (topic_configs.STRING, "producer", "batches are kept as they come"),
        "offsets.retention.minutes": (
            topic_configs.INT,
            str(kept_minutes),
            "how long a group of Kafka's clients is remembered that nobody uses",
        ),
        "group.initial.rebalance.delay.ms": (
            topic_configs.INT,
            str(options.group_initial_delay_ms),
            "how long an empty group waits for more members",
        ),
        "group.min.session.timeout.ms": (topic_configs.INT, str(SESSION_MS_MIN), "the shortest session"),
        "group.max.session.timeout.ms": (topic_configs.INT, str(SESSION_MS_MAX), "the longest session"),
    }


def list_config_resources(call: Call) -> m.ListConfigResourcesResponse:
    """What has settings: this node, and the topics that the caller may see.

    Spec: ListConfigResources (74).
    """
    asked: m.ListConfigResourcesRequest = call.request
    if not call.allows("describe", CLUSTER):
        return m.ListConfigResourcesResponse(error_code=Code.CLUSTER_AUTHORIZATION_FAILED, config_resources=())
    wanted = set(asked.resource_types) if call.version >= 1 else {CLIENT_METRICS}
    found = []
    if TOPIC in wanted or not wanted:
        names = [name for namespace, name in call.broker.catalog.topic_names if namespace == call.namespace]
        found += [(name, TOPIC) for name in names if call.allows("describe", name)]
    if BROKER in wanted or not wanted:
        found.append((str(call.node().id), BROKER))
    rows = [m.ListConfigResourcesResponseConfigResource(resource_name=name, resource_type=kind) for name, kind in found]
    return m.ListConfigResourcesResponse(error_code=0, config_resources=tuple(rows))


# ---- changing --------------------------------------------------------------------------------------------------------

Change = Callable[[TopicConfig], TopicConfig]
Asked = m.AlterConfigsRequestResource | m.IncrementalAlterConfigsRequestResource


async def alter_configs(call: Call) -> m.AlterConfigsResponse:
    """Replace all settings of topics: what is not named goes back to its default.

    Spec: AlterConfigs (33).
    """
    asked: m.AlterConfigsRequest = call.request
    results = await _alter_all(call, asked.resources, [_replaced(row) for row in asked.resources])
    rows = [
        m.AlterConfigsResponseResponse(
            error_code=code, error_message=text, resource_type=row.resource_type, resource_name=row.resource_name
        )
        for row, (code, text) in zip(asked.resources, results, strict=True)
    ]
    return m.AlterConfigsResponse(responses=tuple(rows))


def _replaced(row: m.AlterConfigsRequestResource) -> Change:
    return lambda config: topic_configs.fresh({each.name: each.value for each in row.configs}, config)


async def incremental_alter_configs(call: Call) -> m.IncrementalAlterConfigsResponse:
    """Change single settings of topics.

    Spec: IncrementalAlterConfigs (44).
    """
    asked: m.IncrementalAlterConfigsRequest = call.request
    results = await _alter_all(call, asked.resources, [_stepwise(row) for row in asked.resources])
    rows = [
        m.IncrementalAlterConfigsResponseResponse(
            error_code=code, error_message=text, resource_type=row.resource_type, resource_name=row.resource_name
        )
        for row, (code, text) in zip(asked.resources, results, strict=True)
    ]
    return m.IncrementalAlterConfigsResponse(responses=tuple(rows))


def _stepwise(row: m.IncrementalAlterConfigsRequestResource) -> Change:
    def change(config: TopicConfig) -> TopicConfig:
        names = [each.name for each in row.configs]
        if len(set(names)) < len(names):
            raise InvalidArgument("resource", "a setting is named twice for one resource")
        values = topic_configs.values_of(config)
        return topic_configs.changed(config, {each.name: _step(each, values) for each in row.configs})

    return change


def _step(asked: m.IncrementalAlterConfigsRequestResourceConfig, values: Mapping[str, str]) -> str | None:
    """The value that a setting is to have; None for its default."""
    if asked.config_operation == DELETE:
        return None
    if asked.value is None:
        raise InvalidArgument(asked.name, "a value is missing")
    if asked.config_operation == SET:
        return asked.value
    setting = topic_configs.BY_NAME.get(asked.name)
    if asked.config_operation not in (APPEND, SUBTRACT) or setting is None or setting.kind != topic_configs.LIST:
        raise InvalidArgument(asked.name, f"operation {asked.config_operation} is for lists only")
    words = [word for word in values[asked.name].split(",") if word]
    given = [word.strip() for word in asked.value.split(",")]
    if asked.config_operation == SUBTRACT:
        return ",".join(word for word in words if word not in given)
    return ",".join(words + [word for word in given if word not in words])


async def _alter_all(call: Call, rows: Sequence[Asked], changes: Sequence[Change]) -> list[tuple[Code, str | None]]:
    counts = Counter((row.resource_type, row.resource_name) for row in rows)
    return [
        (Code.INVALID_REQUEST, "the resource is named twice in this request")
        if counts[row.resource_type, row.resource_name] > 1
        else await _alter(call, row, change)
        for row, change in zip(rows, changes, strict=True)
    ]


async def _alter(call: Call, row: Asked, change: Change) -> tuple[Code, str | None]:
    try:
        if row.resource_type == BROKER:
            _check_node(call, row.resource_name)
            raise InvalidArgument("resource", "the settings of a node are read-only; it takes them when it is started")
        if row.resource_type != TOPIC:
            raise InvalidArgument("resource", f"type {row.resource_type} has no settings here; topics (2) have")
        call.broker.access.check(call.session, "alter", row.resource_name)
        await call.broker.quiet("topic", call.namespace, row.resource_name)
        topic = call.broker.topic(call.namespace, row.resource_name)
        wanted = definition_of(topic, config=change(topic.set.config))
        if call.request.validate_only:
            call.broker.check_topic(call.session, wanted)
        else:
            await call.broker.alter_topic(call.session, wanted)
    except RequestError as error:
        return _code(error, row.resource_type), str(error)
    return Code.NONE, None
