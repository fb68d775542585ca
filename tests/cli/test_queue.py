"""`isthmus queue`: looking without taking, and emptying."""

import asyncio
from pathlib import Path

import pytest

from isthmus.engines.base import Attributes
from isthmus.engines.connect import open_engine
from isthmus.record import Record
from support.cli import Cli
from support.consumers import acknowledge


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    here("pub", "jobs", stdin='{"key": "k", "value": {"job": 1}}\n{"job": 2}\n{"job": 3}\n')
    return here


def test_peek_shows_the_next_in_order_and_takes_nothing(cli: Cli) -> None:
    asyncio.run(acknowledge(cli.directory, "jobs", 1))
    before = cli.json("show", "jobs")["queue"]

    rows = cli.lines("queue", "peek", "jobs", "-n", "2")

    assert [row["value"]["job"] for row in rows] == [2, 3]
    assert [(row["topic"], row["offset"], row["state"], row["acquired"]) for row in rows] == [
        ("jobs", 1, "ready", 0),
        ("jobs", 2, "ready", 0),
    ]
    assert cli.json("show", "jobs")["queue"] == before


def test_people_see_a_table(cli: Cli) -> None:
    heading, first, *_ = cli.text("queue", "peek", "jobs").splitlines()

    assert heading.startswith("EVENT")
    assert first.split() == ["jobs/0/0", "ready", "0", "0", "k", "-", '{"job":', "1}"]


async def published(directory: Path) -> None:
    """An event of each of two levels, and one that is due in an hour."""
    engine = await open_engine(str(directory))
    for value, attributes in (
        (b"low", Attributes()),
        (b"high", Attributes(priority=2)),
        (b"later", Attributes(priority=1, due_ms=engine.clock.now_ms() + 3_600_000)),
    ):
        await engine.publish("calls", [Record(value)], attributes)
    await engine.close()


def test_peek_shows_levels_of_priority_the_highest_first_and_what_is_not_due_yet(cli: Cli) -> None:
    cli("create", "calls", "--queue", "--priorities", "3")
    asyncio.run(published(cli.directory))

    rows = cli.lines("queue", "peek", "calls")
    heading, *_ = cli.text("queue", "peek", "calls").splitlines()

    assert [(row["priority"], row["state"]) for row in rows] == [(2, "ready"), (1, "delayed"), (0, "ready")]
    assert rows[1]["due_ms"] is not None
    assert "PRIORITY" in heading
    assert [row["priority"] for row in cli.lines("queue", "peek", "jobs", "-n", "1")] == [None]


def test_purge_empties_the_queue_when_somebody_says_yes(cli: Cli) -> None:
    assert "--yes" in cli.error("queue", "purge", "jobs", code=2)["message"]

    assert cli.json("queue", "purge", "jobs", "--yes") == {"queue": "jobs", "purged": 3}

    assert cli.lines("queue", "peek", "jobs") == []
    assert cli.json("show", "jobs")["queue"]["purged"] == 3


def test_a_stream_is_no_queue(cli: Cli) -> None:
    cli("create", "orders")

    for args in (("peek", "orders"), ("purge", "orders", "--yes")):
        assert "isthmus tail orders" in cli.error("queue", *args, code=3)["message"]
    assert cli.error("queue", "peek", "nothing", code=3)["type"] == "UnknownQueue"
