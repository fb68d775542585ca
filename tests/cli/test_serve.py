"""`isthmus serve` as a process: it says where it is, serves, and ends when it is told to."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from support.cli import PATIENCE_S, PROGRAM, Cli, finished, started
from support.serve_process import addresses, serve_process, start_serving


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with started([*PROGRAM, "serve", str(tmp_path / "data"), "--kafka", "0", "--web", "0"]) as process:
        assert process.stderr is not None
        while "serving" not in process.stderr.readline():
            assert process.poll() is None

        process.send_signal(number)

        assert process.wait(PATIENCE_S) == 0
        assert f"{number.name}: stopping" in process.stderr.read()
    assert json.loads(Cli(tmp_path / "data")("log", "verify", "--json").stdout)["findings"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kafka", "x"], "kafka: 'x' is no [HOST:]PORT"),
        (["--config", "none.toml"], "No such file"),
        (["--tls-key", "x.pem"], "tls_key: means nothing without tls_cert"),
        (["--advertise", "x"], "advertise"),
    ],
)
def test_what_it_cannot_do_is_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = Cli(tmp_path)("serve", *arguments, code=3)

    assert said in result.stderr


def test_an_address_of_a_server_is_no_directory() -> None:
    done = finished([*PROGRAM, "--url", "memory://", "serve"])

    assert done.returncode == 2
    assert "looks at the files of a data directory; memory:// is none" in done.stderr


BESIDE = (
    "ls",
    "show orders",
    "alter orders --retain 1d",
    "tail orders -n 1",
    "explain orders/0/0",
    "group ls",
    "group lag",
    "queue peek jobs",
    "queue purge jobs --yes",
    "dlq ls",
    "user ls",
    "doctor",
    "log verify",
    "log dump",
    "rm orders --yes",
)


@pytest.mark.process
def test_commands_work_beside_a_server_that_holds_the_directory(tmp_path: Path) -> None:
    data = Cli(tmp_path / "data")
    with serve_process(data.directory, ["--quiet"], native=0):
        finished(data.command("create", "orders")).check_returncode()
        finished(data.command("create", "jobs", "--queue")).check_returncode()
        for name in ("orders", "jobs"):
            finished(data.command("pub", name), stdin='{"a": 1}\n').check_returncode()

        ended = {line: finished(data.command(*line.split())) for line in BESIDE}
        alone = finished(data.command("log", "compact"))

    assert {line: done.stderr for line, done in ended.items() if done.returncode} == {}
    assert alone.returncode == 4
    assert "is held by process" in alone.stderr


@pytest.mark.process
def test_sigterm_does_not_wait_for_a_long_poll_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    data = Cli(tmp_path / "data")
    data("create", "orders")
    acknowledged: list[int] = []

    def delivered(error: object, found: Any) -> None:  # noqa: ANN401 - the client has no types
        if error is None:
            acknowledged.append(found.offset())

    with start_serving(data.directory, {"kafka": 0}, ["--quiet"]) as process:
        bootstrap = {"bootstrap.servers": dict(addresses(process.stdout, 1))["kafka"], "log_level": 0}
        waits = {"fetch.wait.max.ms": 55_000, "socket.timeout.ms": 60_000}
        consumer = kafka.Consumer(bootstrap | waits | {"group.id": "g", "auto.offset.reset": "earliest"})
        consumer.assign([kafka.TopicPartition("orders", 0, 0)])
        producer = kafka.Producer(bootstrap | {"message.timeout.ms": 1_000, "linger.ms": 0})
        for _ in range(100):
            producer.produce("orders", b"x", on_delivery=delivered)
        for _ in range(300):
            producer.poll(0.1)
            consumer.poll(0)
            if acknowledged:
                break

        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE_S) == 0
        producer.flush(5)
        consumer.close()
    assert len(data.lines("tail", "orders", "-n", "1000")) >= len(acknowledged) > 0
