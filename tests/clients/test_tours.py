"""Unmodified clients of five languages on one tour each: administer, produce, consume, share, commit, clean up.

The programs stand beside this file; each prints what it found as one JSON object.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from support import apache_kafka

HERE: Final = Path(__file__).parent
COUNT: Final = 1_000
SECONDS: Final = 120

Made = Callable[[Path], list[str]]


def python(name: str, package: str) -> Made:
    def command(_: Path) -> list[str]:
        pytest.importorskip(package)
        return [sys.executable, str(HERE / "python" / f"{name}_tour.py")]

    return command


def java(_: Path) -> list[str]:
    why = apache_kafka.unusable()
    if why is not None:
        pytest.skip(why)
    return ["java", "-cp", apache_kafka.classpath(), str(HERE / "java" / "Tour.java")]


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


def built(cache: Path, folder: str, command: Sequence[str], programs: Sequence[str]) -> Path:
    """A copy of a folder beside this file in which a command was run; a skip where something for it is missing."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no `{program}` here")
    target = cache / folder
    shutil.copytree(HERE / folder, target, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(command, cwd=target, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"`{' '.join(command)}` cannot fetch or build here: {(done.stdout + done.stderr).strip()[-300:]}")
    return target


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


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


def tour(command: Sequence[str]) -> dict[str, Any]:
    """Run a program to its end; the JSON object on the last line that it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=os.environ)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
