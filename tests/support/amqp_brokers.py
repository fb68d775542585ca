"""Brokers that speak AMQP, for programs that run unchanged on each: Isthmus as a process of its own, and a RabbitMQ."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from support import rabbitmq
from support.serve_process import serve_process


class AmqpBroker(NamedTuple):
    """Which broker it is, its address with user and virtual host, and that of its management API."""

    name: str
    url: str
    api_url: str

    @property
    def is_old(self) -> bool:
        """Whether it is the RabbitMQ that distributions have, 3.10, of which some things are otherwise."""
        return self.name == "rabbitmq"


@contextmanager
def amqp_broker(name: str, directory: Path) -> Generator[AmqpBroker]:
    """A broker for the time of the block, "isthmus" or "rabbitmq"; a skip where that is not installed."""
    if name == "isthmus":
        with serve_process(directory / "data", amqp=0, web=0) as addresses:
            api = f"http://guest:guest@{addresses['web']}/api/"
            yield AmqpBroker(name, f"amqp://guest:guest@{addresses['amqp']}/%2F", api)
        return
    why = rabbitmq.unusable()
    if why is not None:
        pytest.skip(f"{why}: `apt install rabbitmq-server`")
    with rabbitmq.rabbitmq(directory) as node:
        yield AmqpBroker(name, f"{node.url}%2F", f"http://guest:guest@127.0.0.1:{node.api_port}/api/")
