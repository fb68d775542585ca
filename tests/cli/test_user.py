"""`isthmus user` on a real directory: add, set, ls, rm, and where passwords come from."""

import asyncio
import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from isthmus import scram
from isthmus.broker.broker import Broker
from isthmus.cli.user import granted, merged
from isthmus.clock import SystemClock
from isthmus.definition import Grant, ScramCredential
from isthmus.log.storage import RealStorage
from support.cli import PATIENCE_S, PROGRAM, Cli, environment, finished, started


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A directory with one user, ada, whose password is `pencil`."""
    here = Cli(tmp_path / "data")
    here("user", "add", "ada", "--password-stdin", "--allow", "publish,read:orders*", stdin="pencil\n")
    return here


def kept(cli: Cli, name: str = "ada") -> list[ScramCredential]:
    """What is kept of a user's password."""
    return asyncio.run(_kept(cli, name))


async def _kept(cli: Cli, name: str) -> list[ScramCredential]:
    broker = Broker(RealStorage(str(cli.directory)), SystemClock())
    await broker.open(read_only=True)
    found = [each for mechanism in scram.HASHES if (each := broker.access.scram(name, mechanism)) is not None]
    await broker.close()
    return found


def asked(command: list[str], *questions: str) -> tuple[int, str]:
    """Run a process at a terminal of its own, where `pencil` is typed after each question; its exit code and text."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm"), start_new_session=True
    ) as process:
        os.close(theirs)
        drawn = b""
        for question in questions:
            while question.encode() not in drawn:  # what is typed earlier is thrown away
                drawn += os.read(ours, 4_096)
            os.write(ours, b"pencil\n")
        with suppress(OSError):  # EIO: the other side has closed it
            while data := os.read(ours, 4_096):
                drawn += data
        os.close(ours)
        return process.wait(PATIENCE_S), drawn.decode()


def test_a_user_is_listed_with_what_it_may_do(cli: Cli) -> None:
    (found,) = cli.json("user", "ls")["users"]

    assert (found["name"], found["admin"]) == ("ada", False)
    assert found["mechanisms"] == ["SCRAM-SHA-256", "SCRAM-SHA-512"]
    assert found["grants"] == [{"operations": ["publish", "read"], "pattern": "orders*"}]
    assert "publish,read:orders*" in cli.text("user", "ls")


def test_only_what_is_kept_of_a_password_is_written(cli: Cli) -> None:
    credentials = kept(cli)

    assert len(credentials) == 2
    assert all(scram.knows(each, "pencil") for each in credentials)
    assert len({each.salt for each in credentials}) == 2
    assert not any(b"pencil" in path.read_bytes() for path in cli.directory.rglob("*") if path.is_file())


def test_a_password_is_typed_twice_and_not_shown(tmp_path: Path) -> None:
    here = Cli(tmp_path / "data")

    code, drawn = asked(here.command("user", "add", "eve", "--admin"), "Password: ", "Repeat for confirmation: ")

    assert (code, "added eve" in drawn) == (0, True)
    assert "pencil" not in drawn
    assert all(scram.knows(each, "pencil") for each in kept(here, "eve"))


def test_a_password_that_is_made_up_is_shown_this_once_and_works(cli: Cli) -> None:
    shown = cli.json("user", "add", "eve", "--generate")["password"]

    assert len(shown) == 24
    assert all(scram.knows(each, shown) for each in kept(cli, "eve"))
    assert shown not in cli.text("user", "ls")


def test_a_user_may_have_a_certificate_only(cli: Cli) -> None:
    cli("user", "add", "machine", "--no-password", "--admin")

    users = {each["name"]: each for each in cli.json("user", "ls")["users"]}

    assert users["machine"]["mechanisms"] == []
    assert "certificate" in cli.text("user", "ls")
    assert kept(cli, "machine") == []


def test_rights_are_added_and_taken_away_by_name(cli: Cli) -> None:
    cli("user", "set", "ada", "--allow", "read:payments", "--allow", "commit:orders*")
    more = cli.json("user", "ls")["users"][0]["grants"]
    cli("user", "set", "ada", "--revoke", "orders*", "--admin")
    (less,) = cli.json("user", "ls")["users"]
    cli("user", "set", "ada", "--no-admin")

    assert more == [
        {"operations": ["publish", "read", "commit"], "pattern": "orders*"},
        {"operations": ["read"], "pattern": "payments"},
    ]
    assert (less["admin"], less["grants"]) == (True, [{"operations": ["read"], "pattern": "payments"}])
    assert not cli.json("user", "ls")["users"][0]["admin"]


def test_a_password_is_changed_and_rights_stay(cli: Cli) -> None:
    cli("user", "set", "ada", "--password-stdin", stdin="sticks\r\n")

    assert all(scram.knows(each, "sticks") for each in kept(cli))
    assert "publish,read:orders*" in cli.text("user", "ls")


def test_a_changed_right_leaves_the_password(cli: Cli) -> None:
    cli("user", "set", "ada", "--admin")

    assert all(scram.knows(each, "pencil") for each in kept(cli))


def test_the_last_user_that_is_removed_leaves_the_door_open_which_is_said(cli: Cli) -> None:
    cli("user", "add", "eve", "--generate")

    first, last = cli("user", "rm", "eve", "--yes"), cli("user", "rm", "ada", "--yes")

    assert (first.stdout, first.stderr) == ("removed eve\n", "")
    assert "that was the last user" in last.stderr
    assert cli.json("user", "ls") == {"users": []}
    assert "no user" in cli("user", "ls").stderr


def test_who_may_do_nothing_is_said(cli: Cli) -> None:
    assert "eve may do nothing yet" in cli("user", "add", "eve", "--generate").stderr


@pytest.mark.parametrize(
    ("args", "stdin", "code", "said"),
    [
        (("add", "ada", "--generate"), "", 3, "'ada' exists"),
        (("add", "local", "--generate"), "", 3, "let in without a user"),
        (("add", "eve"), "pencil\n", 2, "--password-stdin or --generate"),
        (("add", "eve", "--password-stdin"), "", 3, "password: is empty"),
        (("add", "eve", "--password-stdin"), "a\x07\n", 3, "control"),
        (("add", "eve", "--password-stdin", "--generate"), "x\n", 2, "exclude one another"),
        (("add", "eve", "--generate", "--allow", "orders"), "", 2, "there is no name"),
        (("add", "eve", "--generate", "--allow", "fly:orders"), "", 2, "'fly' is no operation"),
        (("add", "eve", "--generate", "--allow", "read:"), "", 2, "there is no name"),
        (("set", "ada"), "", 2, "say what is to be another"),
        (("set", "ada", "--revoke", "payments"), "", 2, "nothing is allowed with 'payments'"),
        (("set", "eve", "--admin"), "", 3, "no user 'eve'"),
        (("rm", "eve", "--yes"), "", 3, "no user 'eve'"),
        (("rm", "ada"), "", 2, "--yes"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_changed(
    cli: Cli, args: tuple[str, ...], stdin: str, code: int, said: str
) -> None:
    before = cli.json("user", "ls")

    message = cli.error("user", *args, stdin=stdin, code=code)["message"]

    assert said in message
    assert cli.json("user", "ls") == before


def test_a_reading_command_beside_nothing_makes_no_store(tmp_path: Path) -> None:
    here = Cli(tmp_path / "data")

    assert here.error("user", "ls", code=4)["type"] == "NotAStore"
    assert not here.directory.exists()


def test_all_stands_for_every_operation_and_grants_for_one_name_are_one() -> None:
    everything, one = granted("all:orders"), granted("read, publish:orders")

    assert len(everything.operations) == 9
    assert one == Grant(operations=("publish", "read"), pattern="orders")
    assert merged([one, everything]) == (everything,)
    assert granted("read:a:b").pattern == "a:b"


@pytest.mark.process
def test_users_are_made_beside_a_server_which_asks_everybody_else_who_they_are_from_then_on(tmp_path: Path) -> None:
    here = Cli(tmp_path / "data")
    with started([*PROGRAM, "serve", str(here.directory), "--native", "127.0.0.1:0"]) as process:
        assert process.stdout is not None
        address = next(line for line in process.stdout if "127.0.0.1" in line).split()[-1]
        before = finished([*PROGRAM, "--url", f"isthmus://{address}", "create", "orders"])

        made = finished(
            here.command("user", "add", "ada", "--password-stdin", "--allow", "describe:*"), stdin="pencil\n"
        )
        stranger = finished([*PROGRAM, "--url", f"isthmus://{address}", "ls"])
        known = finished([*PROGRAM, "--url", f"isthmus://ada:pencil@{address}", "ls"])
        refused = finished([*PROGRAM, "--url", f"isthmus://ada:pencil@{address}", "user", "ls"])
        owner = finished(here.command("user", "ls", "--json"))
        process.terminate()

        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        log = process.stderr.read()
    assert [each.returncode for each in (before, made, stranger, known, refused, owner)] == [0, 0, 5, 0, 3, 0]
    assert "who this is" in stranger.stderr
    assert "orders" in known.stdout
    assert "'ada' may not administer 'users'" in refused.stderr
    assert '"ada"' in owner.stdout
    assert "pencil" not in log + known.stderr + refused.stderr


def test_rights_may_be_of_one_namespace(cli: Cli) -> None:
    cli("user", "set", "ada", "--allow", "publish:jobs", "--namespace", "shop")
    both = cli.json("user", "ls")["users"][0]["grants"]
    told = cli.text("user", "ls")
    cli("user", "set", "ada", "--revoke", "jobs", code=2)
    cli("user", "set", "ada", "--revoke", "jobs", "--namespace", "shop")

    assert both[1] == {"operations": ["publish"], "pattern": "jobs", "namespace": "shop"}
    assert "publish:jobs (in shop)" in told
    assert len(cli.json("user", "ls")["users"][0]["grants"]) == 1
