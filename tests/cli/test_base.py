"""Which broker, which exit code, which sentence."""

import json
import sys
from pathlib import Path

import click
import pytest

from isthmus.cli import base
from isthmus.cli.base import Settings, error_fields, exit_code, laid_out, report, sentence
from isthmus.errors import (
    Closed,
    DirectoryInUse,
    EngineError,
    InvalidArgument,
    InvariantError,
    ProtocolError,
    UnknownTopic,
)
from support.cli import on_a_terminal


class TestAddress:
    def test_the_options_come_before_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("ISTHMUS_URL", "memory://env")

        assert Settings().address() == "memory://env"
        assert Settings(url="memory://url").address() == "memory://url"
        assert Settings(directory=str(tmp_path)).address() == str(tmp_path)

    def test_none_at_all_is_wrong_usage_that_says_what_to_do(self) -> None:
        with pytest.raises(click.UsageError, match="--dir"):
            Settings().address()

    def test_two_of_them_are_wrong_usage(self) -> None:
        with pytest.raises(click.UsageError, match="give one of them"):
            Settings(url="a", directory="b").address()

    @pytest.mark.parametrize(
        ("address", "store"),
        [
            ("isthmus:///var/lib/shop", "/var/lib/shop"),
            ("/var/lib/shop", "/var/lib/shop"),
            ("data", str(Path.cwd() / "data")),
            ("isthmus://host:8320", None),
            ("memory://", None),
        ],
    )
    def test_paths_and_urls_with_three_slashes_are_directories(self, address: str, store: str | None) -> None:
        assert Settings(url=address).store() == store

    def test_a_directory_may_have_any_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

        assert Settings(directory="a%20b").store() == str(tmp_path / "a%20b")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("x"), 2),
        (click.FileError("x"), 2),
        (UnknownTopic("x"), 3),
        (DirectoryInUse("x", 1, None), 4),
        (Closed("x"), 4),
        (PermissionError(13, "Permission denied", "x"), 4),
        (EngineError("x", retryable=True), 5),
        (ProtocolError("x"), 5),
        (InvariantError("x"), 70),
        (KeyError("x"), 70),
        (base.ProgramFailed("x"), 70),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_every_error_has_an_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_is_one_sentence() -> None:
    assert sentence(UnknownTopic("x")).startswith("no topic 'x'")
    assert sentence(PermissionError(13, "Permission denied", "/data")) == "/data: Permission denied"
    assert "bug in Isthmus" in sentence(KeyError("x"))
    assert "bug in Isthmus" in sentence(InvariantError("x"))


def test_machines_get_the_class_and_the_fields() -> None:
    fields = error_fields(InvalidArgument("--rate", "is no rate"), 3)

    assert fields == {
        "type": "InvalidArgument",
        "message": "--rate: is no rate",
        "exit_code": 3,
        "argument": "--rate",
        "reason": "is no rate",
    }


def test_our_own_errors_show_no_traceback_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    report(UnknownTopic("x"), Settings())
    quiet = capsys.readouterr().err
    report(UnknownTopic("x"), Settings(debug=True))
    loud = capsys.readouterr().err

    assert quiet.startswith("isthmus: no topic 'x'")
    assert len(quiet.splitlines()) == 1
    assert "isthmus.errors.UnknownTopic" in loud


def test_an_error_nobody_foresaw_always_shows_where_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    report(KeyError("x"), Settings(json=True))

    err = capsys.readouterr().err.splitlines()
    assert err[0] == "KeyError: 'x'"
    assert json.loads(err[-1])["error"]["type"] == "KeyError"


def test_an_interrupt_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(KeyboardInterrupt(), Settings()) == 130
    assert capsys.readouterr().err == ""


def test_paragraphs_with_indented_lines_are_kept_as_they_are() -> None:
    text = laid_out("""First line.

    Text that
    flows.

    Example:
      isthmus ls
    """)

    assert text == "First line.\n\nText that\nflows.\n\n\b\nExample:\n  isthmus ls"
    assert laid_out(None) is None


def test_without_a_terminal_only_yes_means_yes() -> None:
    base.confirmed("Remove it?", yes=True)
    with pytest.raises(click.UsageError, match="--yes"):
        base.confirmed("Remove it?", yes=False)


@pytest.mark.parametrize(("typed", "code", "said"), [("y\n", 0, "done"), ("n\n", 3, "nothing was changed")])
def test_at_a_terminal_somebody_is_asked(typed: str, code: int, said: str) -> None:
    program = (
        "from isthmus.cli.base import command, confirmed\n"
        "from isthmus.cli.main import cli\n"
        "@command('ask')\n"
        "def ask(): confirmed('Remove it?', yes=False); print('done')\n"
        "cli.get_command = lambda *_: ask\n"
        "cli.main(['ask'])\n"
    )

    ended, drawn = on_a_terminal([sys.executable, "-c", program], typed)

    assert ended == code
    assert "Remove it? [y/N]" in drawn
    assert said in drawn
    assert "Traceback" not in drawn
