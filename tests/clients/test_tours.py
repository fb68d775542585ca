"""Unmodified clients of five languages on one tour each: administer, produce, consume, share, commit, clean up.

The programs stand beside this file; each prints what it found as one JSON object.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from support import apache_kafka
from support.client_programs import PROGRAMS, built, python_program, tour

COUNT: Final = 1_000

Made = Callable[[Path], list[str]]


def python(name: str, package: str) -> Made:
    return lambda _: python_program(f"{name}_tour", package)


def java(_: Path) -> list[str]:
    why = apache_kafka.unusable()
    if why is not None:
        pytest.skip(why)
    return ["java", "-cp", apache_kafka.classpath(), str(PROGRAMS / "java" / "Tour.java")]


def node(name: str) -> Made:
    return lambda cache: ["node", str(node_modules(cache) / f"{name}_tour.mjs")]


def go(name: str) -> Made:
    return lambda cache: [str(go_programs(cache) / name)]


@functools.cache
def node_modules(cache: Path) -> Path:
    """The Node programs with what they import, installed once a run."""
    return built(cache, "node", ["npm", "install", "--no-audit", "--no-fund", "--silent"], ("node", "npm"))


@functools.cache
def go_programs(cache: Path) -> Path:
    """The Go programs, built once a run."""
    made = built(cache, "go", ["go", "build", "-o", "bin/", "./franz", "./sarama"], ("go",))
    return made / "bin"


CLIENTS: Final[dict[str, Made]] = {
    "confluent-kafka": python("confluent", "confluent_kafka"),
    "aiokafka": python("aiokafka", "aiokafka"),
    "kafka-python": python("kafka_python", "kafka"),
    "kafkajs": node("kafkajs"),
    "platformatic": node("platformatic"),
    "franz-go": go("franz"),
    "sarama": go("sarama"),
    "java": java,
}


PYTHON: Final = ("confluent-kafka", "aiokafka", "kafka-python")


@pytest.mark.process
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_makes_its_tour(client: str, bootstrap: str, cache: Path, request: pytest.FixtureRequest) -> None:
    if client not in PYTHON:
        request.getfixturevalue("built_clients")
    command = CLIENTS[client](cache)

    found = tour([*command, bootstrap, f"topic-{client}", f"group-{client}", str(COUNT)])

    assert found["retention"] == "86400000"
    assert found["consumed"] == COUNT
    assert found["ordered"] is True
    assert found["shared"] == [1, 2]
    assert found["committed"] == COUNT
    assert found["listed"] is True
    assert found["state"].lower() == "empty"
    assert found["gone"] is True
