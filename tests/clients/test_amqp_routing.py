"""Routing through AMQP, by us and by a real RabbitMQ: topologies at random bring every message to the same queues."""

import os
import random
from collections.abc import Iterator
from typing import Any, Final

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from support.amqp_brokers import amqp_broker
from support.topologies import VALUES, Message, Topology, routed, some

TOPOLOGIES: Final = 200 if os.environ.get("ISTHMUS_ALL_CLIENTS") else 25
"""All of them with `make clients`."""

SEED: Final = 4


@pytest.fixture(scope="module", params=["isthmus", "rabbitmq"])
def channel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingChannel]:
    with amqp_broker(request.param, tmp_path_factory.mktemp("broker")) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        opened = connection.channel()
        opened.confirm_delivery()
        yield opened
        connection.close()


def declare(channel: BlockingChannel, topology: Topology, name: str) -> None:
    for number, exchange in enumerate(topology.exchanges):
        other = exchange.alternate
        arguments: dict[str, Any] = {} if other is None else {"alternate-exchange": f"{name}.x{other}"}
        channel.exchange_declare(f"{name}.x{number}", exchange.kind, arguments=arguments)
    for number in range(topology.queues):
        channel.queue_declare(f"{name}.q{number}", exclusive=True)
    for way in topology.ways:
        arguments = dict(way.rows) | (
            {"x-match": way.match} if topology.exchanges[way.exchange].kind == "headers" else {}
        )
        source = f"{name}.x{way.exchange}"
        if way.to == "queue":
            channel.queue_bind(f"{name}.q{way.target}", source, way.key, arguments)
        else:
            channel.exchange_bind(f"{name}.x{way.target}", source, way.key, arguments)


def publish(channel: BlockingChannel, message: Message, name: str, number: int) -> None:
    key, *copies = message.keys
    headers: dict[str, Any] = dict(message.headers) | ({"CC": copies} if copies else {})
    channel.basic_publish(
        f"{name}.x{message.exchange}", key, str(number).encode(), pika.BasicProperties(headers=headers)
    )


def arrived(channel: BlockingChannel, topology: Topology, name: str) -> list[set[int]]:
    """The queues that have each message."""
    found: list[set[int]] = [set() for _ in topology.messages]
    for number in range(topology.queues):
        while (got := channel.basic_get(f"{name}.q{number}", auto_ack=True))[0] is not None:
            found[int(got[2])].add(number)
        channel.queue_delete(f"{name}.q{number}")
    return found


def test_every_message_gets_where_rabbitmqs_rules_bring_it(channel: BlockingChannel) -> None:
    chance = random.Random(SEED)

    for at in range(TOPOLOGIES):
        topology = some(chance.choice, values=VALUES)
        declare(channel, topology, str(at))
        for number, message in enumerate(topology.messages):
            publish(channel, message, str(at), number)

        found = arrived(channel, topology, str(at))

        assert found == [routed(topology, message) for message in topology.messages], f"topology {at}: {topology}"
