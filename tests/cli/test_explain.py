"""`isthmus explain`: the life of one event, found by its place or its id."""

import asyncio
from pathlib import Path

import click
import pytest

from isthmus.cli.explain import lsn_text, place
from isthmus.views import LifeStep
from support.cli import Cli
from support.consumers import acknowledge, kill_all


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    here("pub", "jobs", stdin='{"job": 1}\n{"job": 2}\n')
    return here


def test_an_acknowledged_event_was_published_leased_and_acked(cli: Cli) -> None:
    asyncio.run(acknowledge(cli.directory, "jobs", 1))

    answer = cli.json("explain", "jobs", "0")

    assert answer["id"] == "jobs/0/0"
    assert [step["what"] for step in answer["steps"]] == ["published", "leased", "acked"]
    assert [step["lsn"] for step in answer["steps"]] == sorted(step["lsn"] for step in answer["steps"])


def test_a_dead_event_tells_who_gave_up(cli: Cli) -> None:
    asyncio.run(kill_all(cli.directory, "jobs", 1, "cannot be done"))

    steps = cli.json("explain", "jobs/0/0")["steps"]

    assert [step["what"] for step in steps][:2] == ["published", "leased"]
    assert any("tests" in step["who"] for step in steps)


def test_people_see_a_table(cli: Cli) -> None:
    heading, first = cli.text("explain", "jobs", "1").splitlines()

    assert heading.split() == ["TIME", "WHAT", "WHO", "DETAILS", "LSN"]
    assert "published" in first


def test_places_are_written_in_two_ways() -> None:
    assert place("orders", 42, 3) == ("orders", 3, 42)
    assert place("orders/3/42", None, 0) == ("orders", 3, 42)
    assert place("a/b/3/42", None, 0) == ("a/b", 3, 42)


@pytest.mark.parametrize("dest", ["orders", "orders/3", "orders/x/42", "/3/42"])
def test_what_is_no_place_is_wrong_usage(dest: str) -> None:
    with pytest.raises(click.UsageError, match="topic/partition/offset"):
        place(dest, None, 0)


@pytest.mark.parametrize(
    ("args", "error"), [(("jobs", "2"), "OffsetOutOfRange"), (("jobs", "0", "-p", "1"), "UnknownPartition")]
)
def test_events_that_never_were_are_refused(cli: Cli, args: tuple[str, ...], error: str) -> None:
    assert cli.error("explain", *args, code=3)["type"] == error


def test_what_follows_from_other_facts_has_no_place_in_the_journal() -> None:
    assert lsn_text(LifeStep(lsn=-1, time_ms=0, what="trimmed", who="retention", detail="")) == "-"
