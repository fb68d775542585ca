"""The bits by which describing requests say what somebody may do."""

import pytest

from isthmus.broker import accounts
from isthmus.definition import Grant, Operation, UserDefinition
from isthmus.protocols.door import Peer
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.handlers import allowed
from isthmus.protocols.kafka.handlers.allowed import GROUP_OPERATIONS, TOPIC_OPERATIONS, operations
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.service import KafkaService
from support.kafka import KafkaServer, kafka_server

DESCRIBE = {allowed.DESCRIBE, allowed.DESCRIBE_CONFIGS}
"""Whoever may do anything else with a topic may see it."""

OF_TOPICS: list[tuple[Operation, set[int]]] = [
    ("describe", set()),
    ("read", {allowed.READ}),
    ("publish", {allowed.WRITE}),
    ("create", {allowed.CREATE}),
    ("remove", {allowed.DELETE}),
    ("alter", {allowed.ALTER, allowed.ALTER_CONFIGS}),
]


async def call_of(server: KafkaServer, *grants: Grant) -> Call:
    """A request of a user with these grants."""
    await accounts.create(server.broker, server.broker.session(), UserDefinition(name="ada", grants=grants))
    peer = Peer(host="127.0.0.1", port=1, local_host="127.0.0.1", local_port=2)
    return Call(KafkaService(server.broker).shared, server.broker.session("ada"), peer, None, 0, m.MetadataRequest())


@pytest.mark.parametrize(("operation", "bits"), OF_TOPICS)
async def test_a_grant_shows_as_the_bits_that_kafka_has_for_it(operation: Operation, bits: set[int]) -> None:
    async with kafka_server() as server:
        call = await call_of(server, Grant(operations=(operation,), pattern="mine"))

        assert operations(call, TOPIC_OPERATIONS, "mine") == sum(1 << each for each in bits | DESCRIBE)
        assert operations(call, TOPIC_OPERATIONS, "other") == 0


async def test_grants_of_groups_show_too() -> None:
    async with kafka_server() as server:
        call = await call_of(server, Grant(operations=("consume",), pattern="g*"))

        assert operations(call, GROUP_OPERATIONS, "g1") == 1 << allowed.READ | 1 << allowed.DESCRIBE
        assert operations(call, GROUP_OPERATIONS, "other") == 0


def test_what_nobody_asked_for_is_no_set_of_bits() -> None:
    assert allowed.NOT_ASKED == -(2**31)
