"""`isthmus bench`: what it says, of which broker, and that nothing of it stays."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from isthmus.cli.main import cli as program
from support.cli import Cli

FEW = ("--events", "300", "--rate", "10000/s", "--batch", "10")
WHAT = [
    "publish",
    "read",
    "publish to read",
    "queue publish",
    "queue take and acknowledge",
    "queue publish to take",
]


def test_machines_get_every_figure_with_its_durability(tmp_path: Path) -> None:
    found = Cli(tmp_path / "data").json("bench", *FEW, "--size", "50", "--durability", "written")

    assert found["load"]["size"] == 50
    assert [figure["what"] for figure in found["figures"]] == WHAT
    assert {figure["durability"].partition(":")[0] for figure in found["figures"]} == {"written"}
    assert {figure["events"] for figure in found["figures"]} == {300}
    assert all(0 < figure["p50_ms"] <= figure["p99_ms"] <= figure["max_ms"] for figure in found["figures"])


def test_people_see_a_table_and_nothing_stays(tmp_path: Path) -> None:
    here = Cli(tmp_path / "data")

    first, heading, *rows = here.text("bench", *FEW).splitlines()

    assert first.startswith(str(tmp_path / "data"))
    assert heading.split()[:2] == ["WHAT", "EVENTS/S"]
    assert [row[: len(what)] for row, what in zip(rows, WHAT, strict=True)] == WHAT
    assert all("fsync: synced to disk before" in row for row in rows)
    assert here.json("ls") == {"streams": [], "queues": []}


def test_an_address_can_be_named(tmp_path: Path) -> None:
    found = Cli(tmp_path / "never").json("bench", "memory://", *FEW)

    assert found["url"] == "memory://"
    assert {figure["durability"] for figure in found["figures"]} == {"none: in memory only"}
    assert not (tmp_path / "never").exists()


def test_without_a_broker_the_disk_of_this_directory_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ISTHMUS_URL", raising=False)

    result = CliRunner().invoke(program, ["bench", "--json", *FEW])

    assert result.exit_code == 0, result.output
    assert Path(json.loads(result.stdout)["url"].removeprefix("isthmus://")).parent == tmp_path
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a list to compare with


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    here = Cli(tmp_path / "data")

    assert "--rate" in here.error("bench", "--rate", "fast", code=3)["message"]
    assert "15" in here.error("bench", "--size", "15", code=2)["message"]
