"""Compacted topics as real clients read them: gaps, batches without records, delete horizons, every codec."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer
from confluent_kafka import TopicPartition as Place

from isthmus.definition import TopicConfig, TopicDefinition
from support.kafka import KafkaServer, kafka_server

NAME = "states"
KEYS = 5
Row = tuple[int, bytes | None, bytes | None, int]
"""Offset, key, value, timestamp."""


def produce(bootstrap: str, codec: str, rounds: int) -> list[Row]:
    """An idempotent producer that sets every key a few times, and deletes the last of them in the end."""
    told: list[Row] = []

    def delivered(error: KafkaError | None, message: Any) -> None:  # noqa: ANN401 - it has no type of its own
        assert error is None, error
        told.append((message.offset(), message.key(), message.value(), message.timestamp()[1]))

    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": codec, "linger.ms": 1}
    )
    for number in range(rounds):
        for key in range(KEYS):
            value = None if number == rounds - 1 and key == KEYS - 1 else b"%d " % number * 20
            stamp = 1_357_000_000_000 + 1_000 * number
            producer.produce(NAME, value, b"key %d" % key, partition=0, timestamp=stamp, on_delivery=delivered)
        producer.flush(10)
    return told


def consume(bootstrap: str) -> list[Row]:
    """What librdkafka reads, up to the end."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "g", "enable.partition.eof": True, "check.crcs": True}
    )
    consumer.assign([Place(NAME, 0, OFFSET_BEGINNING)])
    found: list[Row] = []
    while (message := consumer.poll(10)) is not None:
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            break
        found.append((message.offset() or 0, message.key(), message.value(), message.timestamp()[1]))
    consumer.close()
    return found


async def consume_in_python(bootstrap: str, end: int) -> list[Row]:
    """What aiokafka reads, up to an offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(NAME, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found: list[Row] = []
        while not found or found[-1][0] < end - 1:
            rows = (await consumer.getmany(timeout_ms=5_000)).get(place, [])
            found += [(row.offset, row.key, row.value, row.timestamp) for row in rows]
        return found
    finally:
        await consumer.stop()


async def compacted(server: KafkaServer) -> None:
    done = await server.broker.housekeeping.compacting.everything()
    assert done.records


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
async def test_clients_read_the_newest_of_each_key_with_its_offset_and_timestamp(codec: str) -> None:
    async with kafka_server() as server:
        asked = TopicDefinition(name=NAME, config=TopicConfig(compact=True))
        await server.broker.create_topic(server.broker.session(), asked)
        told = await asyncio.to_thread(produce, server.bootstrap, codec, 6)
        newest = sorted({row[1]: row for row in told}.values())

        await compacted(server)
        first = await asyncio.to_thread(consume, server.bootstrap)
        told = await asyncio.to_thread(produce, server.bootstrap, codec, 2)
        await compacted(server)

        assert first == newest
        newest = sorted({row[1]: row for row in told}.values())
        assert await asyncio.to_thread(consume, server.bootstrap) == newest
        assert await consume_in_python(server.bootstrap, newest[-1][0] + 1) == newest
