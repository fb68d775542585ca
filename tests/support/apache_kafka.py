"""A real Apache Kafka on this machine: its jars by Maven, one broker in KRaft mode, and its own command-line tools.

For tests and benchmarks that hold Isthmus against it. Where Java or Maven is missing, or nothing can be fetched, it
says so with `Missing`, and whoever asked skips.
"""

import functools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

POM: Final = Path(__file__).with_name("apache_kafka.xml")
VERSION: Final = "4.3.1"
FETCH_SECONDS: Final = 600
START_SECONDS: Final = 60
HEAP: Final = "-Xmx1g"
TOOLS: Final = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
}
"""Names of the scripts that Kafka's distribution has, and the classes that they start."""


class Missing(Exception):
    """What this machine lacks to run Apache Kafka."""


@functools.cache
def classpath() -> str:
    """The class path of Kafka's server and tools, fetched by Maven into its own repository when it is not there.

    Raises:
        Missing: no Java, no Maven, or nothing to be fetched.
    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise Missing(f"there is no `{program}` here")
    kept = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), f"isthmus-apache-kafka-{VERSION}.classpath")
    if kept.exists() and all(Path(jar).exists() for jar in kept.read_text().split(os.pathsep)):
        return kept.read_text()
    kept.parent.mkdir(parents=True, exist_ok=True)
    fetch = ["mvn", "-q", "-B", "-f", str(POM), "dependency:build-classpath", f"-Dmdep.outputFile={kept}"]
    try:
        done = subprocess.run(fetch, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"Maven had no Apache Kafka after {FETCH_SECONDS} s") from error
    if done.returncode:
        raise Missing(f"Maven cannot fetch Apache Kafka: {(done.stdout + done.stderr).strip()[-500:]}")
    return kept.read_text()


def java(main: str, *arguments: str) -> list[str]:
    """The command that runs a class of Kafka's."""
    return ["java", HEAP, "-cp", classpath(), main, *arguments]


def tool(name: str, *arguments: str) -> list[str]:
    """The command that runs one of Kafka's own tools, by the name of its script."""
    return java(TOOLS[name], *arguments)


def run_tool(name: str, *arguments: str, stdin: str = "", seconds: float = 90) -> str:
    """Run one of Kafka's tools to its end; what it printed.

    Raises:
        AssertionError: it ended with an error; the text has what it said.
    """
    done = subprocess.run(
        tool(name, *arguments), input=stdin, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        raise AssertionError(f"{name} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def apache_kafka(directory: Path, settings: Mapping[str, str] | None = None) -> Generator[str]:
    """A broker for the time of the block; gives its `bootstrap.servers`.

    Args:
        directory: for its data, its settings and its log.
        settings: server properties over those that make one small broker.

    Raises:
        Missing: see `classpath`.
        AssertionError: it did not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port, controller = free_port(), free_port()
    properties = directory / "server.properties"
    rows = _settings(directory, port, controller) | dict(settings or {})
    properties.write_text("".join(f"{name}={value}\n" for name, value in rows.items()))
    storage = "kafka.tools.StorageTool"
    identity = subprocess.run(java(storage, "random-uuid"), capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(java(storage, "format", "-t", identity, "-c", str(properties)), capture_output=True, check=True)
    log = directory / "server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(java("kafka.Kafka", str(properties)), stdout=out, stderr=out)
    try:
        _wait_for(server, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _settings(directory: Path, port: int, controller: int) -> dict[str, str]:
    """One node that is broker and controller, with small internal topics and without delays made for clusters."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(directory / "data"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
    }


def _wait_for(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"Apache Kafka did not come up: {log.read_text(errors='replace')[-2000:]}")


def unusable(words: Sequence[str] = ()) -> str | None:
    """Why Apache Kafka cannot be run here, None when it can; fetches it. `words` go in front."""
    try:
        classpath()
    except Missing as error:
        return " ".join((*words, str(error)))
    return None
