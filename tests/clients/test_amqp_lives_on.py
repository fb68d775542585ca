"""Clients that come back by themselves do so when the server was killed: they declare all anew and go on."""

import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import IO, Final

import pytest

from isthmus.protocols.amqp import methods as m
from support.amqp_wire import AmqpWire, Gone
from support.client_programs import PROGRAMS, java_classpath, node_modules, python_program
from support.server_life import Life

SECONDS: Final = 60

pytestmark = pytest.mark.process

CLIENTS: Final[dict[str, Callable[[Path], list[str]]]] = {
    "aio-pika": lambda _: python_program("aio_pika_lives_on", "aio_pika"),
    "rabbitmq-client": lambda cache: ["node", str(node_modules(cache) / "rabbitmq_client_lives_on.mjs")],
    "java": lambda cache: ["java", "-cp", java_classpath(cache), str(PROGRAMS / "java_amqp" / "LivesOn.java")],
}


def keep(lines: "IO[str] | None", said: "Queue[str]") -> None:
    """Put each line there."""
    for line in lines or ():
        said.put(line.strip())


@contextmanager
def listening(command: list[str]) -> Generator["Queue[str]"]:
    """What a program prints, line by line, until the end of the block."""
    said: Queue[str] = Queue()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=keep, args=(process.stdout, said))
        reader.start()
        try:
            yield said
        finally:
            process.kill()
            reader.join()
            process.communicate()


def publish(port: int, exchange: str, key: str, body: bytes) -> None:
    """Have it confirmed, by whatever time the server is there."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            wire = AmqpWire(port)
        except Gone:
            assert time.monotonic() < until
            time.sleep(0.05)
            continue
        wire.ask(m.ConfirmSelect(), m.ConfirmSelectOk)
        wire.publish(exchange, body, key=key)
        wire.hear(m.BasicAck)
        wire.close()
        return


def until_heard(said: "Queue[str]", line: str) -> None:
    """What was acknowledged in the last moment of a server may come before it once more."""
    while (heard := said.get(timeout=SECONDS)) != line:
        assert heard == "got before"


def publish_until_heard(port: int, said: "Queue[str]") -> None:
    """Nobody hears what is fanned out until the client's own queue is there and bound again."""
    while said.empty():
        publish(port, "amq.fanout", "", b"fanned out")
        time.sleep(0.1)
    assert said.get() == "got fanned out"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_goes_on_when_the_server_was_killed(
    client: str, tmp_path: Path, cache: Path, request: pytest.FixtureRequest
) -> None:
    if client != "aio-pika":
        request.getfixturevalue("built_clients")
    life = Life(tmp_path / "data", "amqp")
    life.begin(ready=True)
    command = [*CLIENTS[client](cache), f"amqp://guest:guest@{life.address}/%2F", "kept"]
    try:
        with listening(command) as said:
            assert said.get(timeout=SECONDS) == "ready"
            publish(life.port, "", "kept", b"before")
            assert said.get(timeout=SECONDS) == "got before"

            life.kill()
            life.begin(ready=True)
            publish(life.port, "", "kept", b"after")
            until_heard(said, "got after")
            publish_until_heard(life.port, said)
    finally:
        assert life.end() == 0
