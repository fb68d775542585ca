"""The program: its list of commands, its exit codes, and how fast it starts."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from isthmus import __version__
from isthmus.cli.main import COMMANDS, cli
from support.cli import PATIENCE_S, PROGRAM, Cli, environment, finished, started


def leaves(command: click.Command, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """All commands, those of groups included."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    found = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, child in found if child is not None for leaf in leaves(child, *path, name)]


ALL = leaves(cli)


def test_there_is_every_command_of_this_version() -> None:
    assert {" ".join(path) for path, _ in ALL} == {
        *("bench", "demo", "run", "serve", "doctor", "ls", "show", "create", "alter", "rm", "pub", "tail", "explain"),
        *("group ls", "group lag", "group seek", "group rm", "queue peek", "queue purge"),
        *("dlq ls", "dlq show", "dlq redrive", "dlq rm", "log verify", "log dump", "log compact", "log repair"),
        *("user add", "user set", "user ls", "user rm", "policy set", "policy ls", "policy rm"),
        *("exchange add", "exchange ls", "exchange rm", "exchange bind", "exchange unbind", "exchange bindings"),
        *("namespace add", "namespace ls", "namespace rm"),
    }


@pytest.mark.parametrize(("path", "command"), ALL, ids=lambda each: " ".join(each) if isinstance(each, tuple) else "")
def test_every_command_teaches_with_an_example_and_answers_machines(
    path: tuple[str, ...], command: click.Command
) -> None:
    result = CliRunner().invoke(cli, [*path, "--help"])

    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"isthmus {path[0]}" in result.output or "isthmus --dir" in result.output
    assert {"--json", "--dir", "--url"} <= {option for each in command.params for option in each.opts}


def test_the_list_is_made_without_importing_a_command() -> None:
    done = finished([*PROGRAM, "--help"])

    assert done.returncode == 0
    for name, entry in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert entry.line in done.stdout


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["nonsense"], ["tail", "--help"]])
def test_what_looks_at_no_data_imports_neither_broker_nor_terminal(args: list[str]) -> None:
    code = (
        "import sys; from isthmus.cli.main import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('rich', 'httptools')"
        " or name.startswith(('isthmus.broker', 'isthmus.lenses', 'isthmus.demo'))], file=sys.stderr)"
    )
    done = finished([sys.executable, "-c", code, *args])

    assert done.stderr.splitlines()[-1] == "[]"


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"isthmus {__version__}\n"


class TestUsage:
    @pytest.mark.parametrize("args", [[], ["log"]])
    def test_a_name_alone_is_answered_with_its_help(self, args: list[str]) -> None:
        result = CliRunner().invoke(cli, args)

        assert result.exit_code == 2
        assert result.stderr.startswith("Usage: isthmus" if not args else "Usage: isthmus log")

    @pytest.mark.parametrize(
        "args",
        [["nonsense"], ["--nonsense"], ["log", "nonsense"], ["tail"], ["ls", "--nonsense"], ["ls", "too", "many"]],
    )
    def test_what_cannot_be_parsed_ends_with_2_and_one_sentence(self, args: list[str]) -> None:
        result = CliRunner().invoke(cli, args)

        assert result.exit_code == 2
        assert result.stderr.startswith("isthmus: ")
        assert len(result.stderr.splitlines()) == 1
        assert "--help`)" in result.stderr

    @pytest.mark.parametrize("args", [["nonsense"], ["--nonsense"], ["log", "nonsense"], ["tail"]])
    def test_machines_are_told_in_json(self, args: list[str]) -> None:
        result = CliRunner().invoke(cli, [*args, "--json"])

        assert json.loads(result.stderr)["error"]["exit_code"] == 2

    def test_options_may_stand_before_or_behind_the_command(self, tmp_path: Path) -> None:
        cli_here = Cli(tmp_path / "data")
        cli_here("create", "orders")
        place = str(tmp_path / "data")

        for args in (
            ["--dir", place, "--json", "ls"],
            ["ls", "--dir", place, "--json"],
            ["--json", "ls", "--dir", place],
        ):
            assert json.loads(CliRunner().invoke(cli, args).stdout)["streams"][0]["name"] == "orders"

    def test_the_address_may_come_from_the_environment(self, tmp_path: Path) -> None:
        Cli(tmp_path / "data")("create", "orders")

        result = CliRunner().invoke(cli, ["ls"], env={"ISTHMUS_URL": str(tmp_path / "data")})

        assert "orders" in result.stdout


class TestProcess:
    """What only a real process shows."""

    @pytest.fixture
    def orders(self, tmp_path: Path) -> Cli:
        here = Cli(tmp_path / "data")
        here("create", "orders")
        here("pub", "orders", stdin="".join(f'{{"n": {number}, "text": "{"x" * 200}"}}\n' for number in range(2_000)))
        return here

    def test_refusals_storage_and_usage_have_codes_of_their_own(self, orders: Cli, tmp_path: Path) -> None:
        assert finished(orders.command("show", "nothing")).returncode == 3
        assert finished(Cli(tmp_path / "nowhere").command("ls")).returncode == 4
        assert finished(orders.command("show")).returncode == 2

    def test_a_reader_that_leaves_ends_it_quietly(self, orders: Cli) -> None:
        with started(orders.command("tail", "orders", "--from", "earliest")) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            err = process.stderr.read()

            assert (process.wait(PATIENCE_S), err) == (141, "")

    def test_ctrl_c_ends_with_130_and_says_nothing(self, orders: Cli) -> None:
        with started(orders.command("tail", "orders", "-f")) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            for _ in range(11):
                process.stdout.readline()
            process.send_signal(signal.SIGINT)
            err = process.stderr.read()

            assert (process.wait(PATIENCE_S), err) == (130, "")

    def test_ctrl_c_while_input_is_waited_for_ends_at_once_and_keeps_what_was_published(self, orders: Cli) -> None:
        with started(orders.command("pub", "orders")) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write('{"n": "last"}\n')
            process.stdin.flush()
            # The line is published when it is there, not when more follows: another process sees it.
            reader = started(orders.command("tail", "orders", "-f", "-n", "1", "--from", "2000", "--json"))
            with reader:
                assert reader.stdout is not None
                assert json.loads(reader.stdout.readline())["value"] == {"n": "last"}
            process.send_signal(signal.SIGINT)
            err = process.stderr.read()

            assert process.wait(PATIENCE_S) == 130
            assert "1 event published before this" in err

    def test_the_last_line_reaches_a_pipe(self, orders: Cli) -> None:
        done = subprocess.run(
            orders.command("tail", "orders", "--from", "earliest", "--format", "raw"),
            stdout=subprocess.PIPE,
            env=environment(),
            timeout=PATIENCE_S,
            check=True,
        )

        assert done.stdout.count(b"\n") == 2_000
