"""Access control lists: Kafka's clients are told in words that there are none, and what there is instead."""

import asyncio
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from support.kafka import kafka_server


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_every_row_of_a_request_is_refused_with_the_reason(version: int) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        found = await peer.ask(29, version, m.DescribeAclsRequest(1))
        made = await peer.ask(30, version, m.CreateAclsRequest((m.CreateAclsRequestCreation(2, "orders"),) * 2))
        gone = await peer.ask(31, version, m.DeleteAclsRequest((m.DeleteAclsRequestFilter(2, "orders"),) * 2))

        rows = [found, *made.results, *gone.filter_results]
        assert [row.error_code for row in rows] == [Code.SECURITY_DISABLED] * 5
        assert all("`isthmus user`" in row.error_message for row in rows)


async def test_librdkafka_tells_its_user_so() -> None:
    async with kafka_server() as server:
        admin = AdminClient({"bootstrap.servers": server.bootstrap})
        row: Any = (
            ResourceType.TOPIC,
            "orders",
            ResourcePatternType.LITERAL,
            "User:ada",
            "*",
            AclOperation.READ,
            AclPermissionType.ALLOW,
        )
        asked: list[dict[Any, Any]] = [
            admin.create_acls([AclBinding(*row)]),
            admin.delete_acls([AclBindingFilter(*row)]),
        ]

        for (future,) in [each.values() for each in asked]:
            with pytest.raises(KafkaException) as caught:
                await asyncio.to_thread(future.result, 10)

            assert caught.value.args[0].code() == Code.SECURITY_DISABLED
            assert "grants" in caught.value.args[0].str()
