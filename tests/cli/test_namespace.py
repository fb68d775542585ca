"""`isthmus namespace` on a real directory: add, ls, rm."""

from pathlib import Path

import pytest

from support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    return here


def test_a_namespace_is_made_listed_and_removed(cli: Cli) -> None:
    assert cli.json("namespace", "add", "staging") == {"added": "staging"}

    found = cli.json("namespace", "ls")["namespaces"]
    listed = cli.text("namespace", "ls")
    cli("namespace", "rm", "staging", "--yes")

    assert [(each["name"], each["topics"], each["queues"]) for each in found] == [("default", 2, 2), ("staging", 0, 0)]
    assert "staging" in listed
    assert [each["name"] for each in cli.json("namespace", "ls")["namespaces"]] == ["default"]


def test_what_is_not_there_or_always_there_is_not_removed(cli: Cli) -> None:
    assert cli.error("namespace", "rm", "staging", "--yes", code=3)["type"] == "UnknownNamespace"
    assert "always there" in cli.error("namespace", "rm", "default", "--yes", code=3)["message"]
