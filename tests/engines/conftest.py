"""What tests of engines need that is not ours."""

from collections.abc import Generator

import pytest

from support.apache_kafka import apache_kafka, unusable
from support.kafka_engine import ALL_CLIENTS


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A real Apache Kafka."""
    why = unusable() if ALL_CLIENTS else "`make clients` runs this against a real Apache Kafka"
    if why is not None:
        pytest.skip(why)
    with apache_kafka(tmp_path_factory.mktemp("apache")) as address:
        yield address
