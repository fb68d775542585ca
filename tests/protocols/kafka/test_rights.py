"""Who may do what over Kafka's protocol, operation by operation: a user with exactly the right grants, and without."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trustme
from confluent_kafka import Consumer, KafkaError, Producer

from isthmus import scram
from isthmus.broker import accounts
from isthmus.definition import Grant, TopicDefinition, UserDefinition
from isthmus.log import batch as batches
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.configs import BROKER, CLUSTER, TOPIC
from isthmus.protocols.kafka.handlers.login import AUTHENTICATE, HANDSHAKE
from isthmus.protocols.kafka.handlers.table import HANDLERS
from isthmus.protocols.kafka.schema import api_name
from isthmus.record import Record
from isthmus.server.config import Settings
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.kafka_groups import commit
from support.logins import ByTheBook

MECHANISM = "SCRAM-SHA-256"
OF_TOPIC, OF_GROUP, OF_CLUSTER = (
    Code.TOPIC_AUTHORIZATION_FAILED,
    Code.GROUP_AUTHORIZATION_FAILED,
    Code.CLUSTER_AUTHORIZATION_FAILED,
)
HIDDEN = None
"""Instead of an error, what one may not see is left out."""


class Right(NamedTuple):
    """A request, what it needs, and what it says without the last of it.

    `needs` are `operation:name` rows; `usual` is what a request says that is granted and cannot succeed here.
    """

    key: int
    version: int
    request: Any
    needs: tuple[str, ...]
    without: Code | None
    usual: Code = Code.NONE


def _batch() -> bytes:
    return batches.encode([Record(b"v", b"k")], now_ms=0)


def _produce() -> Any:  # noqa: ANN401 - a request
    data = m.ProduceRequestTopicData("orders", partition_data=(m.ProduceRequestTopicDataPartitionData(0, _batch()),))
    return m.ProduceRequest(None, -1, 5_000, (data,))


def _fetch() -> Any:  # noqa: ANN401 - a request
    row = m.FetchRequestTopic("orders", partitions=(m.FetchRequestTopicPartition(partition_max_bytes=1_000),))
    return m.FetchRequest(max_wait_ms=0, min_bytes=0, topics=(row,))


def _positions(*names: str) -> Any:  # noqa: ANN401 - a request
    topics = tuple(m.OffsetFetchRequestGroupTopic(name, partition_indexes=(0,)) for name in names)
    return m.OffsetFetchRequest(groups=(m.OffsetFetchRequestGroup("readers", topics=topics),))


def _setting(kind: int, name: str) -> Any:  # noqa: ANN401 - a request
    return m.DescribeConfigsRequest((m.DescribeConfigsRequestResource(kind, name, None),))


def _alter(name: str) -> Any:  # noqa: ANN401 - a request
    row = m.AlterConfigsRequestResourceConfig("retention.ms", "1000")
    return m.AlterConfigsRequest((m.AlterConfigsRequestResource(TOPIC, name, (row,)),))


def _alter_step(name: str) -> Any:  # noqa: ANN401 - a request
    row = m.IncrementalAlterConfigsRequestResourceConfig("retention.ms", 0, "1000")
    return m.IncrementalAlterConfigsRequest((m.IncrementalAlterConfigsRequestResource(TOPIC, name, (row,)),))


_JOIN = m.JoinGroupRequest(
    "readers", 10_000, 10_000, protocol_type="consumer", protocols=(m.JoinGroupRequestProtocol("range"),)
)
_DROP = m.OffsetDeleteRequest(
    "readers", (m.OffsetDeleteRequestTopic("orders", (m.OffsetDeleteRequestTopicPartition(0),)),)
)
_EPOCH = m.OffsetForLeaderEpochRequest(
    topics=(m.OffsetForLeaderEpochRequestTopic("orders", (m.OffsetForLeaderEpochRequestTopicPartition(0),)),)
)
_TIMES = m.ListOffsetsRequest(topics=(m.ListOffsetsRequestTopic("orders", (m.ListOffsetsRequestTopicPartition(0),)),))
_TRIM = m.DeleteRecordsRequest((m.DeleteRecordsRequestTopic("orders", (m.DeleteRecordsRequestTopicPartition(0, 1),)),))
_SEEN = "describe:orders"
_CLUSTER_SEEN, _CLUSTER_CHANGED = f"describe:{CLUSTER}", f"alter:{CLUSTER}"

RIGHTS = (
    Right(0, 9, _produce(), ("publish:orders",), OF_TOPIC),
    Right(1, 12, _fetch(), ("read:orders",), OF_TOPIC),
    Right(2, 7, _TIMES, (_SEEN,), OF_TOPIC),
    Right(3, 9, m.MetadataRequest((m.MetadataRequestTopic(name="orders"),)), (_SEEN,), OF_TOPIC),
    Right(3, 9, m.MetadataRequest(None), (_SEEN,), HIDDEN),
    Right(3, 9, m.MetadataRequest((m.MetadataRequestTopic(name="new"),)), ("create:new",), OF_TOPIC),
    Right(8, 9, commit("readers", (0, 1)), ("consume:readers", "read:orders", "commit:readers"), OF_GROUP),
    Right(8, 9, commit("readers", (0, 1)), ("commit:readers", "read:orders", "consume:readers"), OF_GROUP),
    Right(8, 9, commit("readers", (0, 1)), ("consume:readers", "commit:readers", "read:orders"), OF_TOPIC),
    Right(9, 9, _positions(), ("describe:readers",), OF_GROUP),
    Right(9, 9, _positions("orders"), ("describe:readers", "read:orders"), OF_TOPIC),
    Right(9, 5, m.OffsetFetchRequest("readers", None), ("describe:readers", "read:orders"), HIDDEN),
    Right(10, 4, m.FindCoordinatorRequest(coordinator_keys=("readers",)), ("describe:readers",), OF_GROUP),
    Right(11, 3, _JOIN, ("consume:readers",), OF_GROUP),
    Right(12, 4, m.HeartbeatRequest("readers", 1, "m"), ("consume:readers",), OF_GROUP, Code.UNKNOWN_MEMBER_ID),
    Right(13, 1, m.LeaveGroupRequest("readers", "m"), ("consume:readers",), OF_GROUP, Code.UNKNOWN_MEMBER_ID),
    Right(14, 3, m.SyncGroupRequest("readers", 1, "m"), ("consume:readers",), OF_GROUP, Code.UNKNOWN_MEMBER_ID),
    Right(15, 5, m.DescribeGroupsRequest(("readers",)), ("describe:readers",), OF_GROUP),
    Right(16, 4, m.ListGroupsRequest(), ("describe:readers",), HIDDEN),
    Right(19, 7, m.CreateTopicsRequest((m.CreateTopicsRequestTopic("new", 1, 1),)), ("create:new",), OF_TOPIC),
    Right(19, 7, m.CreateTopicsRequest((m.CreateTopicsRequestTopic("new", 1, 1),), validate_only=True),
          ("create:new",), OF_TOPIC),
    Right(20, 5, m.DeleteTopicsRequest(topic_names=("orders",)), ("remove:orders",), OF_TOPIC),
    Right(21, 2, _TRIM, ("remove:orders",), OF_TOPIC),
    Right(22, 4, m.InitProducerIdRequest(), ("publish:anything",), OF_CLUSTER),
    Right(23, 4, _EPOCH, (_SEEN,), OF_TOPIC),
    Right(32, 4, _setting(TOPIC, "orders"), (_SEEN,), OF_TOPIC),
    Right(32, 4, _setting(BROKER, "1"), (_CLUSTER_SEEN,), OF_CLUSTER),
    Right(33, 2, _alter("orders"), ("alter:orders",), OF_TOPIC),
    Right(44, 1, _alter_step("orders"), ("alter:orders",), OF_TOPIC),
    Right(35, 4, m.DescribeLogDirsRequest(None), (_CLUSTER_SEEN,), OF_CLUSTER),
    Right(35, 4, m.DescribeLogDirsRequest(None), (_CLUSTER_SEEN, _SEEN), HIDDEN),
    Right(37, 3, m.CreatePartitionsRequest((m.CreatePartitionsRequestTopic("orders", 2, None),)),
          ("alter:orders",), OF_TOPIC),
    Right(42, 2, m.DeleteGroupsRequest(("readers",)), ("administer:readers",), OF_GROUP),
    Right(43, 2, m.ElectLeadersRequest(0, None), (_CLUSTER_CHANGED,), OF_CLUSTER),
    Right(45, 0, m.AlterPartitionReassignmentsRequest(), (_CLUSTER_CHANGED,), OF_CLUSTER),
    Right(46, 0, m.ListPartitionReassignmentsRequest(), (_CLUSTER_SEEN,), OF_CLUSTER),
    Right(47, 0, _DROP, ("administer:readers",), OF_GROUP, OF_TOPIC),
    Right(47, 0, _DROP, ("administer:readers", "read:orders"), OF_TOPIC),
    Right(55, 2, m.DescribeQuorumRequest(), (_CLUSTER_SEEN,), OF_CLUSTER),
    Right(61, 0, m.DescribeProducersRequest((m.DescribeProducersRequestTopic("orders", (0,)),)), (_SEEN,), OF_TOPIC),
    Right(74, 1, m.ListConfigResourcesRequest(), (_CLUSTER_SEEN,), OF_CLUSTER),
    Right(74, 1, m.ListConfigResourcesRequest(), (_CLUSTER_SEEN, _SEEN), HIDDEN),
    Right(75, 0, m.DescribeTopicPartitionsRequest((m.DescribeTopicPartitionsRequestTopic("orders"),)),
          (_SEEN,), OF_TOPIC),
    Right(75, 0, m.DescribeTopicPartitionsRequest(), (_SEEN,), HIDDEN),
)  # fmt: skip

FOR_ALL: dict[int, tuple[int, Any, Code]] = {
    29: (3, m.DescribeAclsRequest(1), Code.SECURITY_DISABLED),
    30: (3, m.CreateAclsRequest((m.CreateAclsRequestCreation(2, "orders"),)), Code.SECURITY_DISABLED),
    31: (3, m.DeleteAclsRequest((m.DeleteAclsRequestFilter(2, "orders"),)), Code.SECURITY_DISABLED),
    60: (2, m.DescribeClusterRequest(), Code.NONE),
}
"""What tells nothing of anybody's: version, request, and what it says to every user."""


def grants(*needs: str) -> tuple[Grant, ...]:
    """A grant for each, and one that gives nothing here."""
    rows: list[Any] = [need.split(":") for need in needs]
    return tuple(Grant(operations=(operation,), pattern=name) for operation, name in [*rows, ("describe", "nothing")])


async def user(server: KafkaServer, *needs: str) -> KafkaPeer:
    """Somebody who may do that and nothing else, logged in."""
    kept = scram.credentials("pencil", lambda: b"salt" * 4)
    asked = UserDefinition(name="ada", scrams=kept, grants=grants(*needs))
    await accounts.create(server.broker, server.broker.session(), asked)
    peer, client = await server.connect(), ByTheBook(MECHANISM, "ada", "pencil")
    await peer.ask(HANDSHAKE, 1, m.SaslHandshakeRequest(MECHANISM))
    first = await peer.ask(AUTHENTICATE, 2, m.SaslAuthenticateRequest(client.first()))
    last = await peer.ask(AUTHENTICATE, 2, m.SaslAuthenticateRequest(client.final(first.auth_bytes)))
    assert last.error_code == Code.NONE
    return peer


async def furnished(server: KafkaServer) -> None:
    """A topic with a record, and a group with a position in it."""
    owner = server.broker.session()
    topic = await server.broker.create_topic(owner, TopicDefinition(name="orders"))
    await server.broker.publish(owner, topic, [Record(b"v", b"k")])
    peer = await server.connect()
    await peer.ask(8, 9, commit("readers", (0, 1)))


def codes(answer: object) -> Iterator[Code]:
    """Every error in an answer."""
    if isinstance(answer, tuple):
        for each in answer:
            yield from codes(each)
    elif isinstance(answer, msgspec.Struct):
        for field in answer.__struct_fields__:
            value = getattr(answer, field)
            if field == "error_code" and value:
                yield Code(value)
            yield from codes(value)


def test_there_is_a_row_for_every_operation() -> None:
    assert {right.key for right in RIGHTS} | set(FOR_ALL) == set(HANDLERS)


def ids(right: Right) -> str:
    return f"{api_name(right.key)}-{right.needs[-1]}"


@pytest.mark.parametrize("right", RIGHTS, ids=ids)
async def test_what_is_granted_is_done_and_without_the_grant_it_is_refused_by_kafkas_code(right: Right) -> None:
    async with kafka_server() as with_it, kafka_server() as without_it:
        for server in (with_it, without_it):
            await furnished(server)
        may, may_not = await user(with_it, *right.needs), await user(without_it, *right.needs[:-1])

        done = await may.ask(right.key, right.version, right.request)
        refused = await may_not.ask(right.key, right.version, right.request)

        assert set(codes(done)) == {right.usual} - {Code.NONE}
        if right.without is HIDDEN:
            name = right.needs[-1].partition(":")[2]
            assert (set(codes(refused)), repr(name) in repr(done), repr(name) in repr(refused)) == (set(), True, False)
        else:
            assert set(codes(refused)) == {right.without}


@pytest.mark.parametrize("key", FOR_ALL)
async def test_what_tells_nothing_of_anybodys_is_the_same_for_all(key: int) -> None:
    async with kafka_server() as server:
        peer = await user(server)
        version, request, code = FOR_ALL[key]

        assert set(codes(await peer.ask(key, version, request))) == {code} - {Code.NONE}


@pytest.mark.parametrize("right", RIGHTS, ids=ids)
async def test_what_is_refused_changes_nothing(right: Right) -> None:
    async with kafka_server() as server:
        await furnished(server)
        peer = await user(server, *right.needs[:-1])
        before = state(server)

        await peer.ask(right.key, right.version, right.request)

        assert state(server) == before


def state(server: KafkaServer) -> object:
    """What a request could change."""
    catalog = server.broker.catalog
    topics = [
        (topic.set, [(each.log_start, each.high_watermark) for each in topic.partitions])
        for topic in catalog.topics.values()
    ]
    groups = [
        (
            group.name,
            sorted(group.positions),
            [fact.floor for fact in group.positions.values()],
            group.members.describe(),
        )
        for group in catalog.groups.values()
    ]
    return topics, groups


# ---- a real client ------------------------------------------------------------------------------------------------


def produced(settings: dict[str, Any], topic: str) -> KafkaError | None:
    """What librdkafka says to one event."""
    told: list[KafkaError | None] = []
    producer = Producer(settings)
    producer.produce(topic, b"v", on_delivery=lambda error, _: told.append(error))
    producer.flush(10)
    (error,) = told
    return error


def consumed(settings: dict[str, Any], topic: str, group: str) -> tuple[bytes | None, KafkaError | None]:
    """What librdkafka gets first: an event or an error."""
    consumer = Consumer({**settings, "group.id": group, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(20)
        assert message is not None
        return (None, message.error()) if message.error() else (message.value(), None)
    finally:
        consumer.close()


async def test_a_real_client_over_tls_is_told_what_it_may_not(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    settings = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ada",
        "sasl.password": "pencil",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
    }
    async with kafka_server(settings=Settings(kafka="0", tls_cert=str(tmp_path / "server.pem"))) as server:
        settings["bootstrap.servers"] = server.bootstrap
        owner = server.broker.session()
        for name in ("orders", "secrets"):
            await server.broker.create_topic(owner, TopicDefinition(name=name))
        kept = scram.credentials("pencil", lambda: b"salt" * 4)
        rights = grants("publish:orders", "read:orders", "consume:readers", "commit:readers")
        await accounts.create(server.broker, owner, UserDefinition(name="ada", scrams=kept, grants=rights))

        published = await asyncio.to_thread(produced, settings, "orders")
        not_published = await asyncio.to_thread(produced, settings, "secrets")
        read, nothing = await asyncio.to_thread(consumed, settings, "orders", "readers")
        _, not_read = await asyncio.to_thread(consumed, settings, "secrets", "readers")
        _, not_joined = await asyncio.to_thread(consumed, settings, "orders", "others")

        assert (published, read, nothing) == (None, b"v", None)
        assert [error and error.code() for error in (not_published, not_read, not_joined)] == [
            OF_TOPIC, OF_TOPIC, OF_GROUP,
        ]  # fmt: skip
