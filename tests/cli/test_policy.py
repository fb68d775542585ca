"""`isthmus policy` on a real directory: set, ls, rm."""

from pathlib import Path

import pytest

from support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A directory with the queue jobs."""
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    return here


def test_a_policy_is_listed_with_what_it_sets(cli: Cli) -> None:
    options = ("--attempts", "none", "--ttl", "1h", "--max-size", "1KB", "--overflow", "refuse-dead", "--dead-key", "k")
    cli("policy", "set", "short", "^jobs", "--for", "queues", "--priority", "3", *options)

    (found,) = cli.json("policy", "ls")["policies"]

    said = {"failed_max": None, "ttl_ms": 3_600_000, "max_bytes": 1_000, "overflow": "refuse_dead", "dead_key": "k"}
    assert found == {
        "name": "short",
        "namespace": "default",
        "pattern": "^jobs",
        "applies_to": "queues",
        "priority": 3,
        "settings": said,
    }
    listed = cli.text("policy", "ls")
    assert all(word in listed for word in ("attempts none", "ttl 1h", "max-size 1.0 KB", "overflow refuse-dead"))


def test_a_queue_shows_the_policy_that_counts_for_it(cli: Cli) -> None:
    cli("policy", "set", "short", "^jobs$", "--attempts", "2")

    shown = cli.text("show", "jobs")
    queue = cli.json("show", "jobs")["queue"]

    assert "short: failed_max 2" in shown
    assert (queue["policy"], queue["config"]["failed_max"], queue["effective"]["failed_max"]) == ("short", 5, 2)


def test_a_policy_that_is_removed_is_gone(cli: Cli) -> None:
    cli("policy", "set", "short", "^jobs$", "--attempts", "2")

    assert cli.json("policy", "rm", "short", "--yes") == {"removed": "short"}

    assert cli.json("policy", "ls") == {"policies": []}
    assert cli.error("policy", "rm", "short", "--yes", code=3)["type"] == "UnknownPolicy"
    assert "policy" not in cli.text("show", "jobs")


def test_what_cannot_be_a_policy_is_refused(cli: Cli) -> None:
    cli("policy", "set", "short", "^jobs$", code=2)
    cli("policy", "set", "short", "^jobs$", "--attempts", "often", code=2)

    assert "regular expression" in cli.error("policy", "set", "short", "(", "--ttl", "1s", code=3)["message"]
