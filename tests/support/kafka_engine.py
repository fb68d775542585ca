"""Kafka clusters as tests of the engine find them: empty each time."""

import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from isthmus.clock import Clock
from isthmus.engines.connect import open_engine
from isthmus.engines.kafka.engine import KafkaEngine

ALL_CLIENTS: Final = bool(os.environ.get("ISTHMUS_ALL_CLIENTS"))
"""Set by `make clients`: what needs a real Apache Kafka runs too."""

WAIT_S: Final = 30.0


def empty(bootstrap: str) -> None:
    """Remove all topics and groups of a cluster."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    for group in admin.list_consumer_groups().result(WAIT_S).valid:
        with suppress(KafkaException):  # its last member is just leaving
            for future in admin.delete_consumer_groups([group.group_id]).values():
                future.result(WAIT_S)
    names = [name for name in admin.list_topics(timeout=WAIT_S).topics if not name.startswith("__")]
    if names:
        for future in admin.delete_topics(names).values():
            future.result(WAIT_S)
    while any(name in admin.list_topics(timeout=WAIT_S).topics for name in names):
        time.sleep(0.02)


@asynccontextmanager
async def kafka_engine(bootstrap: str, clock: Clock, queues: str = "group") -> AsyncGenerator[KafkaEngine]:
    """An engine on a cluster, connected."""
    engine = await open_engine(f"kafka://{bootstrap}/?queues={queues}", clock=clock)
    assert isinstance(engine, KafkaEngine)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()
