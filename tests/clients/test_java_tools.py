"""Apache Kafka's own command-line tools, unmodified, against the broker."""

import json
import subprocess
from typing import Final

import pytest

from support import apache_kafka
from support.apache_kafka import run_tool, tool

COUNT: Final = 500
VERIFIED_SECONDS: Final = 60


@pytest.fixture(autouse=True)
def _needs_java(built_clients: None) -> None:
    why = apache_kafka.unusable()
    if why is not None:
        pytest.skip(why)


@pytest.mark.process
class TestKafkaTopics:
    def test_it_makes_describes_grows_and_removes_a_topic(self, bootstrap: str) -> None:
        at = ("--bootstrap-server", bootstrap)
        run_tool(
            "kafka-topics", *at, "--create", "--topic", "made", "--partitions", "2", "--config", "retention.ms=60000"
        )
        run_tool("kafka-topics", *at, "--alter", "--topic", "made", "--partitions", "4")

        described = run_tool("kafka-topics", *at, "--describe", "--topic", "made")

        assert "PartitionCount: 4" in described
        assert "retention.ms=60000" in described
        run_tool("kafka-topics", *at, "--delete", "--topic", "made")
        assert "made" not in run_tool("kafka-topics", *at, "--list").split()

    def test_kafka_configs_sets_and_shows_a_config(self, bootstrap: str) -> None:
        at = ("--bootstrap-server", bootstrap)
        run_tool("kafka-topics", *at, "--create", "--topic", "set")
        change = ("--entity-type", "topics", "--entity-name", "set")
        run_tool("kafka-configs", *at, *change, "--alter", "--add-config", "max.message.bytes=2000")

        described = run_tool("kafka-configs", *at, *change, "--describe")

        assert "max.message.bytes=2000" in described


@pytest.mark.process
class TestConsoleAndGroups:
    def test_lines_go_in_come_out_and_leave_a_group_behind(self, bootstrap: str) -> None:
        lines = [f"line {at}" for at in range(20)]
        at = ("--bootstrap-server", bootstrap)
        run_tool("kafka-topics", *at, "--create", "--topic", "console", "--partitions", "1")
        run_tool("kafka-console-producer", *at, "--topic", "console", stdin="\n".join(lines) + "\n")

        wanted = (
            "--topic",
            "console",
            "--from-beginning",
            "--group",
            "shell",
            "--max-messages",
            "20",
            "--timeout-ms",
            "30000",
        )
        seen = run_tool("kafka-console-consumer", *at, *wanted)
        described = run_tool("kafka-consumer-groups", *at, "--describe", "--group", "shell")
        moved = ("--reset-offsets", "--to-earliest", "--topic", "console", "--execute")
        reset = run_tool("kafka-consumer-groups", *at, "--group", "shell", *moved)

        assert seen.splitlines()[:20] == lines
        assert "console" in described
        assert reset.split()[-1] == "0"
        run_tool("kafka-consumer-groups", *at, "--delete", "--group", "shell")
        assert "shell" not in run_tool("kafka-consumer-groups", *at, "--list").split()


@pytest.mark.process
class TestLoadAndVerification:
    def test_the_performance_test_runs_through(self, bootstrap: str) -> None:
        shape = ("--num-records", "5000", "--record-size", "500", "--throughput", "-1", "--topic", "load")

        told = run_tool("kafka-producer-perf-test", *shape, "--bootstrap-server", bootstrap)

        assert "5000 records sent" in told

    def test_what_the_verifiable_producer_was_acknowledged_the_verifiable_consumer_reads(self, bootstrap: str) -> None:
        at = ("--bootstrap-server", bootstrap)
        run_tool("kafka-topics", *at, "--create", "--topic", "verified", "--partitions", "2")
        produced = run_tool(
            "kafka-verifiable-producer", *at, "--topic", "verified", "--max-messages", str(COUNT), "--acks", "-1"
        )
        acknowledged = sum(json.loads(line)["name"] == "producer_send_success" for line in produced.splitlines())

        command = tool(
            "kafka-verifiable-consumer", *at, "--topic", "verified", "--group-id", "v", "--max-messages", str(COUNT),
            "--reset-policy", "earliest",
        )  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=VERIFIED_SECONDS, check=True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]

        assert acknowledged == COUNT
        assert sum(row["count"] for row in rows if row["name"] == "records_consumed") == COUNT
