"""Settings over real sockets: described, replaced, changed one by one; those of a node are told and stay."""

from typing import Any

import pytest

from isthmus.definition import TopicConfig, TopicDefinition
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.configs import (
    APPEND,
    BROKER,
    CLIENT_METRICS,
    DEFAULT,
    DELETE,
    GROUP,
    LOGGER,
    OF_NODE,
    OF_TOPIC,
    SET,
    SUBTRACT,
    TOPIC,
)
from isthmus.protocols.kafka.handlers.topic_configs import BY_NAME, fresh
from support.kafka import KafkaPeer, KafkaServer, kafka_server

UIS_EXPECT = (
    "cleanup.policy compression.type delete.retention.ms max.message.bytes message.timestamp.type min.insync.replicas"
    " retention.bytes retention.ms segment.bytes segment.ms"
).split()
"""What programs with pictures fall over without."""

Change = tuple[str, int, str | None]


async def topic(server: KafkaServer, name: str = "t", **settings: str) -> KafkaPeer:
    given = {key.replace("_", "."): value for key, value in settings.items()}
    asked = TopicDefinition(name=name, config=fresh(given))
    await server.broker.create_topic(server.broker.session(), asked)
    return await server.connect()


async def described(
    peer: KafkaPeer, kind: int, name: str, *keys: str, version: int = 4, told: bool = True
) -> tuple[Code, dict[str, Any]]:
    asked = m.DescribeConfigsRequestResource(kind, name, keys or None)
    answer = await peer.ask(32, version, m.DescribeConfigsRequest((asked,), told, told and version >= 3))
    (row,) = answer.results
    assert (row.resource_type, row.resource_name) == (kind, name)
    return Code(row.error_code), {each.name: each for each in row.configs}


async def changed(peer: KafkaPeer, kind: int, name: str, *changes: Change, only_check: bool = False) -> Any:  # noqa: ANN401 - a row of an answer
    rows = tuple(m.IncrementalAlterConfigsRequestResourceConfig(*each) for each in changes)
    resource = m.IncrementalAlterConfigsRequestResource(kind, name, rows)
    answer = await peer.ask(44, 1, m.IncrementalAlterConfigsRequest((resource,), only_check))
    return answer.responses[0]


async def replaced(peer: KafkaPeer, kind: int, name: str, **settings: str) -> Any:  # noqa: ANN401 - as above
    rows = tuple(m.AlterConfigsRequestResourceConfig(key.replace("_", "."), each) for key, each in settings.items())
    answer = await peer.ask(33, 2, m.AlterConfigsRequest((m.AlterConfigsRequestResource(kind, name, rows),)))
    return answer.responses[0]


def config_of(server: KafkaServer) -> TopicConfig:
    return server.broker.topic("default", "t").set.config


# ---- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2, 3, 4])
async def test_all_settings_of_a_topic_are_told_with_where_they_come_from(version: int) -> None:
    async with kafka_server() as server:
        peer = await topic(server, retention_ms="1000", segment_ms="5")

        code, rows = await described(peer, TOPIC, "t", version=version)

        assert (code, set(rows)) == (Code.NONE, set(BY_NAME))
        assert set(UIS_EXPECT) <= set(rows)
        assert {name for name, row in rows.items() if row.config_source == OF_TOPIC} == {"retention.ms", "segment.ms"}
        assert {row.config_source for row in rows.values()} == {OF_TOPIC, DEFAULT}
        assert (rows["retention.ms"].value, rows["segment.ms"].value) == ("1000", "5")
        assert not any(row.read_only or row.is_sensitive for row in rows.values())
        assert [(each.value, each.source) for each in rows["retention.ms"].synonyms] == [
            ("1000", OF_TOPIC), ("604800000", DEFAULT),
        ]  # fmt: skip
        if version >= 3:
            assert all(rows[name].documentation == setting.why for name, setting in BY_NAME.items())
            assert all(rows[name].config_type == setting.kind for name, setting in BY_NAME.items())


async def test_only_what_is_asked_for_is_told() -> None:
    async with kafka_server() as server:
        peer = await topic(server)

        _, rows = await described(peer, TOPIC, "t", "retention.ms", "nothing", told=False)

        assert list(rows) == ["retention.ms"]
        assert (rows["retention.ms"].synonyms, rows["retention.ms"].documentation) == ((), None)


@pytest.mark.parametrize("name", ["1", ""])
async def test_the_node_tells_its_settings_which_are_read_only(name: str) -> None:
    async with kafka_server() as server:
        peer = await topic(server)

        code, rows = await described(peer, BROKER, name)

        assert code == Code.NONE
        assert rows["group.min.session.timeout.ms"].value == "1000"
        assert rows["offsets.retention.minutes"].value == "10080"
        assert all(row.read_only and row.config_source == OF_NODE and row.documentation for row in rows.values())


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "gone", Code.UNKNOWN_TOPIC_OR_PARTITION),
        (BROKER, "2", Code.INVALID_REQUEST),
        (LOGGER, "1", Code.INVALID_REQUEST),
        (CLIENT_METRICS, "all", Code.INVALID_REQUEST),
        (GROUP, "readers", Code.INVALID_REQUEST),
        (77, "t", Code.INVALID_REQUEST),
    ],
)
async def test_what_has_no_settings_is_refused_when_they_are_read_and_when_they_are_changed(
    kind: int, name: str, code: Code
) -> None:
    async with kafka_server() as server:
        peer = await topic(server)

        read, rows = await described(peer, kind, name)
        step = await changed(peer, kind, name, ("retention.ms", SET, "1"))
        whole = await replaced(peer, kind, name, retention_ms="1")

        assert (read, rows, step.error_code, whole.error_code) == (code, {}, code, code)
        assert (step.error_message, whole.error_message) == (step.error_message,) * 2
        assert step.error_message


async def test_what_has_settings_is_listed() -> None:
    async with kafka_server() as server:
        peer = await topic(server)

        async def listed(*kinds: int, version: int = 1) -> list[tuple[str, int]]:
            answer = await peer.ask(74, version, m.ListConfigResourcesRequest(kinds))
            assert answer.error_code == Code.NONE
            return [(row.resource_name, row.resource_type) for row in answer.config_resources]

        assert await listed() == [("t", TOPIC), ("1", BROKER)]
        assert await listed(TOPIC) == [("t", TOPIC)]
        assert await listed(BROKER) == [("1", BROKER)]
        assert await listed(CLIENT_METRICS, GROUP) == []
        assert await listed(version=0) == []


# ---- changing -------------------------------------------------------------------------------------------------------


async def test_settings_are_changed_one_by_one_and_the_others_stay() -> None:
    async with kafka_server() as server:
        peer = await topic(server, retention_ms="1000", segment_ms="5")

        done = await changed(peer, TOPIC, "t", ("retention.bytes", SET, "7"), ("segment.ms", DELETE, None))

        assert (done.error_code, done.error_message) == (Code.NONE, None)
        assert (config_of(server).age_ms, config_of(server).size_bytes, config_of(server).kept) == (1_000, 7, ())


async def test_words_are_added_to_lists_and_taken_out() -> None:
    async with kafka_server() as server:
        peer = await topic(server)

        more = await changed(peer, TOPIC, "t", ("cleanup.policy", APPEND, "compact"))
        both = config_of(server)
        less = await changed(peer, TOPIC, "t", ("cleanup.policy", SUBTRACT, "delete"))
        again = await changed(peer, TOPIC, "t", ("cleanup.policy", APPEND, "compact"))

        assert [row.error_code for row in (more, less, again)] == [Code.NONE] * 3
        assert (both.compact, both.age_ms) == (True, 604_800_000)
        assert (config_of(server).compact, config_of(server).age_ms) == (True, None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([("retention.msec", SET, "1")], Code.INVALID_CONFIG),
        ([("retention.msec", DELETE, None)], Code.INVALID_CONFIG),
        ([("retention.ms", SET, "soon")], Code.INVALID_CONFIG),
        ([("retention.ms", SET, None)], Code.INVALID_CONFIG),
        ([("retention.ms", APPEND, "1")], Code.INVALID_CONFIG),
        ([("retention.ms", 9, "1")], Code.INVALID_CONFIG),
        ([("cleanup.policy", APPEND, "shred")], Code.INVALID_CONFIG),
        ([("cleanup.policy", SUBTRACT, "delete")], Code.INVALID_CONFIG),
        ([("retention.ms", SET, "1"), ("retention.ms", DELETE, None)], Code.INVALID_REQUEST),
        ([("segment.ms", SET, "9"), ("remote.storage.enable", SET, "true")], Code.INVALID_CONFIG),
    ],
)
async def test_a_change_that_cannot_be_is_refused_with_the_reason_and_nothing_of_it_is_done(
    changes: list[Change], code: Code
) -> None:
    async with kafka_server() as server:
        peer = await topic(server)
        before = config_of(server)

        row = await changed(peer, TOPIC, "t", *changes)

        assert (row.error_code, bool(row.error_message)) == (code, True)
        assert config_of(server) == before


async def test_a_change_can_be_tried_without_doing_it() -> None:
    async with kafka_server() as server:
        peer = await topic(server)
        before = config_of(server)

        good = await changed(peer, TOPIC, "t", ("retention.ms", SET, "1"), only_check=True)
        bad = await changed(peer, TOPIC, "t", ("retention.ms", SET, "?"), only_check=True)

        assert (good.error_code, bad.error_code) == (Code.NONE, Code.INVALID_CONFIG)
        assert config_of(server) == before


async def test_replacing_puts_back_what_is_not_named() -> None:
    async with kafka_server() as server:
        peer = await topic(server, retention_ms="1000", segment_ms="5")

        row = await replaced(peer, TOPIC, "t", retention_bytes="7")
        wrong = await replaced(peer, TOPIC, "t", retention_bytes="?")

        assert (row.error_code, wrong.error_code) == (Code.NONE, Code.INVALID_CONFIG)
        assert config_of(server) == fresh({"retention.bytes": "7"})


async def test_a_resource_is_named_once_in_a_request() -> None:
    async with kafka_server() as server:
        peer = await topic(server)
        twice = (m.AlterConfigsRequestResource(TOPIC, "t"),) * 2

        answer = await peer.ask(33, 2, m.AlterConfigsRequest(twice))

        assert [row.error_code for row in answer.responses] == [Code.INVALID_REQUEST] * 2
