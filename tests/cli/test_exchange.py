"""`isthmus exchange` on a real directory: add, ls, rm, bind, unbind, bindings."""

from pathlib import Path

import pytest

from support.cli import Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A directory with the queue jobs and two exchanges."""
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    here("exchange", "add", "shop", "--kind", "headers", "--alternate", "rest", "--auto-remove")
    here("exchange", "add", "rest", "--kind", "fanout", "--internal")
    return here


def test_exchanges_are_listed_with_what_they_are(cli: Cli) -> None:
    cli("exchange", "bind", "shop", "rest", "--to-exchange")

    rest, shop = cli.json("exchange", "ls")["exchanges"]
    listed = cli.text("exchange", "ls")

    assert (rest["kind"], rest["internal"], rest["bound"]) == ("fanout", True, 1)
    assert (shop["kind"], shop["alternate"], shop["auto_remove"], shop["bindings"]) == ("headers", "rest", True, 1)
    assert all(text in listed for text in ("gone with its last binding, else to rest", "internal"))


def test_bindings_are_listed_by_exchange_and_by_target(cli: Cli) -> None:
    headers = [part for text in ("a=5", "b=x", "c", "d=true") for part in ("--header", text)]
    cli("exchange", "bind", "shop", "jobs", *headers, "--any", "--with-x")
    cli("exchange", "bind", "shop", "rest", "--to-exchange", "--key", "k")

    of_shop, to_rest = (cli.json("exchange", "bindings", *args)["bindings"] for args in (["shop"], ["--to", "rest"]))

    match = {"mode": "any", "with_x": True, "headers": {"a": 5, "b": "x", "c": None, "d": True}}
    way = {"exchange": "shop", "topic": None, "to_exchange": "rest", "key": "k", "match": None}
    assert of_shop == [{"exchange": "shop", "topic": "jobs", "to_exchange": None, "key": "", "match": match}, way]
    assert to_rest == [way]
    assert "any with x-: a=5, b=x, c, d=True" in cli.text("exchange", "bindings")


def test_what_was_bound_with_the_same_options_is_taken_back(cli: Cli) -> None:
    cli("exchange", "bind", "rest", "jobs", "--header", "a=5")

    cli("exchange", "unbind", "rest", "jobs", "--header", "a=6")
    before = cli.json("exchange", "bindings")["bindings"]
    cli("exchange", "unbind", "rest", "jobs", "--header", "a=5")

    assert len(before) == 1
    assert cli.json("exchange", "bindings") == {"bindings": []}


def test_an_exchange_that_is_in_use_stays_when_that_is_asked(cli: Cli) -> None:
    cli("exchange", "bind", "rest", "jobs")

    assert cli.error("exchange", "rm", "rest", "--if-unused", "--yes", code=3)["type"] == "InUse"
    assert cli.json("exchange", "rm", "rest", "--yes") == {"removed": "rest"}


def test_what_is_not_about_headers_is_refused(cli: Cli) -> None:
    cli("exchange", "bind", "shop", "jobs", "--any", code=2)
    assert cli.error("exchange", "bind", "shop", "nothing", code=3)["type"] == "UnknownTopic"
