"""Unmodified AMQP clients of three languages on one tour each, through Isthmus and, beside it, a real RabbitMQ.

The programs stand beside this file. What each chapter must find is written down once, in support/amqp_tour.py.
"""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from support.amqp_brokers import AmqpBroker
from support.amqp_tour import EXPECTED, wrong
from support.client_programs import PROGRAMS, java_classpath, node_modules, python_program, tour

CORE: Final = frozenset(
    "routed confirmed returned prefetched settled priorities expired refusals large through".split()
)
"""Chapters that no client leaves out."""

Made = Callable[[Path], list[str]]


def python(name: str, package: str) -> Made:
    return lambda _: python_program(f"{name}_tour", package)


def node(name: str) -> Made:
    return lambda cache: ["node", str(node_modules(cache) / f"{name}_tour.mjs")]


def java(cache: Path) -> list[str]:
    return ["java", "-cp", java_classpath(cache), str(PROGRAMS / "java_amqp" / "Tour.java")]


CLIENTS: Final[dict[str, Made]] = {
    "pika": python("pika", "pika"),
    "aio-pika": python("aio_pika", "aio_pika"),
    "py-amqp": python("py_amqp", "amqp"),
    "amqplib": node("amqplib"),
    "rabbitmq-client": node("rabbitmq_client"),
    "java": java,
}

PYTHON: Final = ("pika", "aio-pika", "py-amqp")


@pytest.mark.process
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_makes_its_tour(
    client: str, amqp_broker: AmqpBroker, cache: Path, request: pytest.FixtureRequest
) -> None:
    if client not in PYTHON:
        request.getfixturevalue("built_clients")
    prefix = f"{client}-{uuid.uuid4().hex[:6]}"

    found = json.loads(json.dumps(tour([*CLIENTS[client](cache), amqp_broker.url, prefix])).replace(f"{prefix}-", ""))

    assert wrong(found, old=amqp_broker.is_old) == {}
    assert found.keys() >= (EXPECTED.keys() if client == "pika" else CORE)
