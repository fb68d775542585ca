"""`isthmus group` on real groups: ls, lag, seek, rm."""

import asyncio
from pathlib import Path

import pytest

from isthmus.cli.group import show_lag
from isthmus.cli.output import Output
from isthmus.views import GroupPartitionView, GroupView
from support.cli import Cli
from support.consumers import read_stream


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Ten events, of which the group billing has done four."""
    here = Cli(tmp_path / "data")
    here("create", "orders")
    here("pub", "orders", stdin="".join(f"{number}\n" for number in range(10)))
    asyncio.run(read_stream(here.directory, "orders", "billing", 4))
    return here


def test_groups_are_listed_with_what_they_read(cli: Cli) -> None:
    (found,) = cli.json("group", "ls")["groups"]

    assert (found["name"], found["lag"], found["silent"]) == ("billing", 6, False)
    assert "billing" in cli.text("group", "ls", "orders")
    assert cli.error("group", "ls", "nothing", code=3)["type"] == "UnknownTopic"


def test_lag_is_told_by_partition(cli: Cli) -> None:
    (found,) = cli.json("group", "lag", "billing")["groups"]

    (row,) = found["partitions"]
    assert (row["topic"], row["floor"], row["high_watermark"], row["lag"]) == ("orders", 4, 10, 6)
    assert "HIGH WATERMARK" in cli.text("group", "lag")
    assert cli.error("group", "lag", "nobody", code=3)["type"] == "UnknownGroup"


@pytest.mark.parametrize(("to", "floor"), [("earliest", 0), ("latest", 10), ("7", 7), ("-1h", 0), ("2001-01-01", 0)])
def test_a_group_is_moved(cli: Cli, to: str, floor: int) -> None:
    answer = cli.json("group", "seek", "billing", "orders", "--to", to)

    assert answer == {"group": "billing", "topic": "orders", "partitions": [{"partition": 0, "floor": floor}]}
    assert cli.json("group", "lag")["groups"][0]["lag"] == 10 - floor


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("billing", "orders"), 2, "--to"),
        (("billing", "orders", "--to", "soon"), 3, "--to"),
        (("nobody", "orders", "--to", "earliest"), 3, "nobody"),
        (("billing", "nothing", "--to", "earliest"), 3, "nothing"),
    ],
)
def test_what_cannot_be_moved_is_said(cli: Cli, args: tuple[str, ...], code: int, said: str) -> None:
    assert said in cli.error("group", "seek", *args, code=code)["message"]


def test_a_group_is_forgotten_when_somebody_says_yes(cli: Cli) -> None:
    assert "--yes" in cli.error("group", "rm", "billing", code=2)["message"]

    assert cli.json("group", "rm", "billing", "--yes") == {"removed": "billing"}

    assert cli.json("group", "ls") == {"groups": []}
    assert cli.error("group", "rm", "billing", "--yes", code=3)["type"] == "UnknownGroup"


def test_a_silent_group_is_named(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    row = GroupPartitionView(
        topic="orders", partition=0, floor=4, done_above=0, retrying=0, high_watermark=10, lag=6, member=None
    )
    quiet = GroupView(
        name="old", namespace="default", id=1, state="empty", generation=1, members=(), silent=True, partitions=(row,),
        lag=6,
    )  # fmt: skip

    out = Output(json=False)
    show_lag([quiet], None, out)
    out.flush()

    assert b"old is silent" in capfdbinary.readouterr().out
