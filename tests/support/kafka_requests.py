"""Requests of the data path as tests want them: one topic, one partition, the rest as clients mostly say it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from isthmus.definition import TopicConfig, TopicDefinition
from isthmus.log import batch as batches
from isthmus.protocols.kafka import messages as m
from isthmus.record import Record
from support.kafka import KafkaPeer, KafkaServer

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, INIT_PRODUCER, EPOCHS = 0, 1, 2, 3, 18, 22, 23

NO_ID = bytes(16)


def a_batch(*values: bytes, time_ms: int = 1_000, key: bytes | None = None, **given: Any) -> bytes:
    """A producer's batch; `given` as for `batches.encode`."""
    return batches.encode([Record(value, key) for value in values], now_ms=time_ms, **given)


def produce(*data: bytes | None, name: str = "t", partition: int = 0, acks: int = -1, uuid: bytes = NO_ID) -> Any:  # noqa: ANN401 - a request
    """Produce, with one entry for each of `data`, all for one partition."""
    entries = tuple(m.ProduceRequestTopicDataPartitionData(partition, each) for each in data)
    return m.ProduceRequest(None, acks, 1_000, (m.ProduceRequestTopicData(name, uuid, entries),))


def wanted(partition: int = 0, offset: int = 0, max_bytes: int = 1 << 20, **given: Any) -> Any:  # noqa: ANN401 - a part
    """What is wanted of one partition."""
    return m.FetchRequestTopicPartition(partition, fetch_offset=offset, partition_max_bytes=max_bytes, **given)


def fetch(  # as Fetch is
    *rows: Any,
    name: str = "t",
    uuid: bytes = NO_ID,
    wait_ms: int = 0,
    min_bytes: int = 1,
    max_bytes: int = 1 << 23,
    **given: Any,
) -> Any:  # noqa: ANN401 - a request
    """Fetch from one topic; without rows, from its first partition from the start."""
    topic = m.FetchRequestTopic(name, uuid, rows or (wanted(),))
    return m.FetchRequest(max_wait_ms=wait_ms, min_bytes=min_bytes, max_bytes=max_bytes, topics=(topic,), **given)


def row_of(answer: Any) -> Any:  # noqa: ANN401 - any answer by topics and partitions
    """The one row of an answer of Produce or Fetch."""
    (topic,) = answer.responses
    (row,) = topic.partition_responses if isinstance(answer, m.ProduceResponse) else topic.partitions
    return row


def values(row: Any) -> list[bytes | None]:  # noqa: ANN401 - of `row_of`
    """The values in the batches of a row of Fetch."""
    return [] if not row.records else [each.value for one in batches.split(row.records) for each in batches.decode(one)]


async def with_topic(server: KafkaServer, name: str = "t", partitions: int = 1, **config: Any) -> KafkaPeer:
    """A client of a server that has a topic."""
    await make_topic(server, name, partitions, **config)
    return await server.connect()


async def make_topic(server: KafkaServer, name: str = "t", partitions: int = 1, **config: Any) -> bytes:
    """A topic; its id."""
    asked = TopicDefinition(name=name, partitions=partitions, config=TopicConfig(**config))
    await server.broker.create_topic(server.broker.session(), asked)
    return server.broker.topic("default", name).set.uuid


async def fill(peer: KafkaPeer, *data: bytes, name: str = "t", partition: int = 0) -> Sequence[int]:
    """Produce batches one after the other; their base offsets."""
    found = []
    for each in data:
        row = row_of(await peer.ask(PRODUCE, 9, produce(each, name=name, partition=partition)))
        assert row.error_code == 0
        found.append(row.base_offset)
    return found


async def until(is_so: Callable[[], bool]) -> None:
    """Let the others run until something is so."""
    while not is_so():  # noqa: ASYNC110 - what others do is looked at
        await asyncio.sleep(0.001)


async def until_waiting(server: KafkaServer, count: int = 1) -> None:
    """Let the server come to where so many readers wait for records."""
    await until(lambda: server.broker.polls.waiting >= count)
