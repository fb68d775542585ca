"""`isthmus demo`: what the command itself decides; the demo has tests of its own."""

from pathlib import Path

from click.testing import CliRunner

from isthmus.cli.main import cli
from support.cli import Cli


def test_the_demo_makes_a_store_of_its_own() -> None:
    result = CliRunner().invoke(cli, ["demo", "--url", "memory://"])

    assert result.exit_code == 2
    assert "--dir says where" in result.stderr


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--flights", str(tmp_path / "nothing.csv")])

    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    error = Cli(tmp_path).error("demo", code=3)

    assert "not an empty directory" in error["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_speed_that_cannot_be_is_refused() -> None:
    result = CliRunner().invoke(cli, ["demo", "--speed", "0"])

    assert result.exit_code == 3
    assert "above zero" in result.stderr
