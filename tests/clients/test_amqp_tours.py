"""Unmodified AMQP clients of three languages on one tour each, through Isthmus and, beside it, a real RabbitMQ.

The programs stand beside this file. What each chapter must find is written down once, in support/amqp_tour.py.
"""

import functools
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from support.amqp_brokers import AmqpBroker
from support.amqp_tour import EXPECTED, wrong
from support.client_programs import PROGRAMS, built, python_program, tour

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


@functools.cache
def node_modules(cache: Path) -> Path:
    """The Node programs with what they import, installed once a run."""
    return built(cache, "node_amqp", ["npm", "install", "--no-audit", "--no-fund", "--silent"], ("node", "npm"))


@functools.cache
def java_classpath(cache: Path) -> str:
    """The jars of the Java client, fetched by Maven into its own repository when they are not there."""
    fetch = ["mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath"]
    return (built(cache, "java_amqp", fetch, ("java", "mvn")) / "classpath").read_text()


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
