"""Brokers for real clients: Isthmus as its own process, and a real Apache Kafka beside it where that is asked for."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from support import amqp_brokers, apache_kafka
from support.serve_process import serve_process

ALL: Final = bool(os.environ.get("ISTHMUS_ALL_CLIENTS"))
"""Set by `make clients`: clients that have to be fetched and built run too, and every tour also runs against a real
Apache Kafka, which proves that it asks for what Kafka does."""

BROKERS: Final = ("isthmus", "apache") if ALL else ("isthmus",)


AMQP_BROKERS: Final = ("isthmus", "rabbitmq") if ALL else ("isthmus",)


@pytest.fixture
def built_clients() -> None:
    """For tests whose clients have to be fetched and built first."""
    if not ALL:
        pytest.skip("`make clients` fetches and builds this client, and runs it")


@pytest.fixture(scope="module", params=BROKERS)
def bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a broker that speaks Kafka."""
    directory: Path = tmp_path_factory.mktemp("broker")
    if request.param == "isthmus":
        with serve_process(directory / "data", kafka=0) as addresses:
            yield addresses["kafka"]
        return
    why = apache_kafka.unusable()
    if why is not None:
        pytest.skip(why)
    with apache_kafka.apache_kafka(directory) as address:
        yield address


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module", params=AMQP_BROKERS)
def amqp_broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[amqp_brokers.AmqpBroker]:
    """A broker that speaks AMQP."""
    with amqp_brokers.amqp_broker(request.param, tmp_path_factory.mktemp("broker")) as broker:
        yield broker
