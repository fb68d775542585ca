"""What a request is told with: its names, its node, and what it may ask of."""

import base64

from isthmus.broker import namespaces
from isthmus.definition import TopicDefinition
from isthmus.protocols.door import Peer
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.handlers.call import NODE_ID, Call, KafkaOptions, Node
from isthmus.protocols.kafka.handlers.service import KafkaService
from support.kafka import KafkaServer, kafka_server
from support.kafka_requests import make_topic

PEER = Peer(host="192.0.2.7", port=4_711, local_host="198.51.100.9", local_port=9_092)


def a_call(server: KafkaServer, options: KafkaOptions | None = None) -> Call:
    service = KafkaService(server.broker, options)
    return Call(service.shared, server.broker.session(), PEER, "c", 9, m.MetadataRequest())


async def test_the_node_is_where_the_client_came_to_unless_it_is_told_otherwise() -> None:
    async with kafka_server() as server:
        assert a_call(server).node() == Node(NODE_ID, "198.51.100.9", 9_092)
        told = KafkaOptions(advertised=("broker.example.org", 19_092))

        assert a_call(server, told).node() == Node(NODE_ID, "broker.example.org", 19_092)


async def test_topics_are_those_of_the_default_namespace_by_name_and_by_id() -> None:
    async with kafka_server() as server:
        uuid = await make_topic(server, "a")
        await namespaces.create(server.broker, server.broker.session(), "other")
        await server.broker.create_topic(server.broker.session(), TopicDefinition(name="b", namespace="other"))
        call = a_call(server)

        found = call.topic("a")

        assert found is not None
        assert call.topic_by_id(uuid) is found
        assert call.topic("b") is None
        assert call.topic_by_id(b"x" * 16) is None


async def test_the_cluster_is_named_after_the_store() -> None:
    async with kafka_server() as server:
        name = a_call(server).cluster_id

        assert base64.urlsafe_b64decode(name + "==") == server.broker.journal.checksums.store_uuid
        assert a_call(server).cluster_id == name


async def test_while_nobody_is_a_user_the_owner_may_do_everything() -> None:
    async with kafka_server() as server:
        call = a_call(server)

        assert call.allows("publish", "anything")
        assert call.broker is server.broker
