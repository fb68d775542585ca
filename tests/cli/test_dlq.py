"""`isthmus dlq`: dead letters from their death to the way back."""

import asyncio
from pathlib import Path

import pytest

from isthmus.cli.dlq import dead_letter_queues, sources
from support.cli import Cli
from support.consumers import kill_all

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 3\nValueError: \x1b[31mno\n'


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    here("pub", "jobs", stdin='{"key": "k", "value": {"job": 1}}\n{"job": 2}\n{"job": 3}\n')
    asyncio.run(kill_all(here.directory, "jobs", 2, "cannot be done", TRACEBACK))
    return here


def test_queues_of_dead_letters_are_listed_with_who_sends_them(cli: Cli) -> None:
    assert cli.json("dlq", "ls") == {"queues": [{"name": "jobs.dead", "waiting": 2, "ever": 2, "from": ["jobs"]}]}


@pytest.mark.parametrize("name", ["jobs", "jobs.dead"])
def test_a_dead_letter_says_what_it_was_where_it_came_from_and_why_it_died(cli: Cli, name: str) -> None:
    first, second = cli.lines("dlq", "show", name)

    assert (first["value"], first["key"], first["cause"]) == ({"job": 1}, "k", "jobs/0/0")
    assert (first["reason"], first["traceback"], first["failed"]) == ("cannot be done", TRACEBACK, 1)
    assert first["died_ms"] > 0
    assert second["value"] == {"job": 2}


def test_people_see_the_traceback_and_no_terminal_obeys_it(cli: Cli) -> None:
    text = cli.text("dlq", "show", "jobs", "-n", "1")

    assert "came from jobs/0/0" in text
    assert "  reason  cannot be done" in text
    assert "  | ValueError: \\x1b[31mno" in text
    assert "\x1b" not in text
    assert "ValueError" not in cli.text("dlq", "show", "jobs", "--no-traceback")


def test_redriven_ones_are_back_in_their_queue(cli: Cli) -> None:
    assert cli.json("dlq", "redrive", "jobs", "-n", "1") == {"queue": "jobs.dead", "redriven": 1}
    assert cli.json("dlq", "redrive", "jobs") == {"queue": "jobs.dead", "redriven": 1}

    assert cli.lines("dlq", "show", "jobs") == []
    assert sorted(row["value"]["job"] for row in cli.lines("queue", "peek", "jobs")) == [1, 2, 3]


def test_removed_ones_are_gone_when_somebody_says_yes(cli: Cli) -> None:
    assert "Remove 2 dead letters of jobs.dead?" in cli.error("dlq", "rm", "jobs", code=2)["message"]

    assert cli.json("dlq", "rm", "jobs", "--yes") == {"queue": "jobs.dead", "removed": 2}

    assert cli.lines("dlq", "show", "jobs") == []
    assert cli.json("dlq", "ls")["queues"][0]["waiting"] == 0


def test_no_dead_letters_is_no_error(cli: Cli) -> None:
    cli("create", "other", "--queue")

    assert cli("dlq", "show", "other").stderr == "no dead letters\n"
    assert "sent 0 dead letters" in cli.text("dlq", "redrive", "other")


def test_what_is_no_queue_is_said(cli: Cli) -> None:
    cli("create", "orders")

    assert "is a stream" in cli.error("dlq", "show", "orders", code=3)["message"]
    assert cli.error("dlq", "show", "nothing", code=3)["type"] == "UnknownQueue"


def test_dead_letters_of_a_stream_group_are_known_by_their_name(cli: Cli) -> None:
    cli("create", "orders.billing.dead", "--queue", "--dead", "none")

    rows = {row["name"]: row["from"] for row in cli.json("dlq", "ls")["queues"]}

    assert rows["orders.billing.dead"] == ["orders.billing"]
    assert (dead_letter_queues([]), sources("x", [])) == ([], [])
