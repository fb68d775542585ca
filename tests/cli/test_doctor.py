"""`isthmus doctor`: one line for each check, an exit code, and advice."""

import asyncio
from pathlib import Path

import pytest

from isthmus.cli.doctor import Examined, few, promise_checks, reader_checks
from isthmus.engines.base import Capability
from isthmus.views import GroupView
from support.cli import Cli
from support.consumers import kill_all
from support.stores import flip


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    here = Cli(tmp_path / "data")
    here("create", "jobs", "--queue")
    here("pub", "jobs", stdin="1\n2\n")
    return here


def test_a_sound_store_ends_with_0(cli: Cli) -> None:
    answer = cli.json("doctor")

    assert answer["ok"]
    assert {check["status"] for check in answer["checks"]} <= {"ok", "warn"}
    assert {"isthmus", "python", "directory", "in use", "durability", "journal", "clock", "readers", "keys"} <= {
        check["name"] for check in answer["checks"]
    }
    assert answer["capabilities"]["unit"]["support"] == "native"


def test_people_see_a_line_each_with_advice_below(cli: Cli) -> None:
    lines = cli.text("doctor").splitlines()

    assert all(line[:4] in ("ok  ", "warn", "fail", "    ") for line in lines)
    assert any("partitioner=murmur2_random" in line for line in lines)


def test_dead_letters_that_wait_are_a_warning(cli: Cli) -> None:
    asyncio.run(kill_all(cli.directory, "jobs", 1, "no"))

    (check,) = (check for check in cli.json("doctor")["checks"] if check["name"] == "dead letters")

    assert (check["status"], check["text"]) == ("warn", "jobs.dead 1")


def test_what_fails_ends_with_1_and_the_rest_is_told_too(cli: Cli, tmp_path: Path) -> None:
    from isthmus.log.storage import RealStorage

    flip(RealStorage(cli.directory), "journal/00000000000000000000.log", 300)

    answer = cli.json("doctor", code=1)

    assert not answer["ok"]
    assert [check["name"] for check in answer["checks"] if check["status"] == "fail"] == ["journal"]
    assert cli.json("doctor", "--dir", str(tmp_path / "nowhere"), code=1)["checks"][-1]["name"] == "directory"


def test_an_address_that_is_no_directory_is_asked_for_what_it_promises(cli: Cli) -> None:
    from click.testing import CliRunner

    from isthmus.cli.main import cli as root

    result = CliRunner().invoke(root, ["--url", "memory://", "doctor"])

    assert result.exit_code == 0
    assert "promises native" in result.stdout
    assert "durability" not in result.stdout


def test_silent_groups_are_named() -> None:
    group = GroupView(
        name="old",
        namespace="default",
        id=1,
        state="empty",
        generation=0,
        members=(),
        silent=True,
        partitions=(),
        lag=0,
    )

    check, _ = reader_checks(Examined([group], [], {}))

    assert (check.status, check.text) == ("warn", "silent: old")


def test_promises_are_told_by_how_they_are_kept() -> None:
    found = list(
        promise_checks(
            {
                "unit": Capability(support="refused", how="the broker has no transactions"),
                "delay": Capability(support="emulated", how="by a queue of its own"),
                "dedup": Capability(support="native"),
            }
        )
    )

    assert [(check.name, check.text) for check in found][:3] == [
        ("promises native", "dedup"),
        ("promises emulated", "delay (by a queue of its own)"),
        ("promises refused", "unit (the broker has no transactions)"),
    ]


def test_long_lists_end_in_a_number() -> None:
    assert few([f"g{number}" for number in range(8)]) == "g0, g1, g2, g3, g4 and 3 more"
    assert few(["a"]) == "a"
