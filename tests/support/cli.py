"""The command line as tests use it: in this process through click's runner, and as a real process."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner, Result

import isthmus
from isthmus.cli.main import cli

SOURCE: Final = str(Path(isthmus.__file__).parents[1])
PROGRAM: Final = (sys.executable, "-m", "isthmus.cli.main")
PATIENCE_S: Final = 60
"""After this long a process that should have ended is a failure."""


class Cli:
    """Commands against one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *args: str, stdin: str | bytes | None = None, code: int = 0) -> Result:
        """Run a command here and expect its exit code."""
        result = CliRunner().invoke(cli, ["--dir", str(self.directory), *args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"{result.exit_code}: {result.output}"
        return result

    def text(self, *args: str, stdin: str | bytes | None = None, code: int = 0) -> str:
        """What a command writes to stdout."""
        return self(*args, stdin=stdin, code=code).stdout

    def json(self, *args: str, stdin: str | bytes | None = None, code: int = 0) -> Any:  # noqa: ANN401 - JSON is
        """The document that a command answers with."""
        return json.loads(self(*args, "--json", stdin=stdin, code=code).stdout)

    def lines(self, *args: str, code: int = 0) -> list[Any]:
        """The JSON lines that a command answers with."""
        return [json.loads(line) for line in self(*args, "--json", code=code).stdout.splitlines()]

    def error(self, *args: str, stdin: str | bytes | None = None, code: int) -> dict[str, Any]:
        """The error that a command reports with --json."""
        answer = json.loads(self(*args, "--json", stdin=stdin, code=code).stderr.splitlines()[-1])
        assert answer["error"]["exit_code"] == code
        return dict(answer["error"])

    def command(self, *args: str) -> list[str]:
        """The same as the command of a process."""
        return [*PROGRAM, "--dir", str(self.directory), *args]


def environment(**more: str) -> dict[str, str]:
    """The environment of a process that finds the package where this one did, and no broker by itself."""
    kept = {name: value for name, value in os.environ.items() if name != "ISTHMUS_URL"}
    paths = [SOURCE, *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)} | more


def finished(
    command: list[str], *, stdin: str = "", cwd: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a process to its end."""
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(**more),
        cwd=cwd,
        check=False,
    )


def started(command: list[str], *, cwd: Path | None = None, **more: str) -> subprocess.Popen[str]:
    """Start a process whose output can be read while it runs."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1", **more),
        cwd=cwd,
    )


def on_a_terminal(command: list[str], typed: str = "", **more: str) -> tuple[int, str]:
    """Run a process at a terminal of 100 columns where somebody types; its exit code and what it drew."""
    ours, theirs = os.openpty()
    size = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**size, **more)
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        drawn = b""
        with suppress(OSError):  # EIO: the other side has closed it
            while data := os.read(ours, 65_536):
                drawn += data
        os.close(ours)
        return process.wait(PATIENCE_S), drawn.decode()
