"""The README's section on clients does what it says: its programs and commands run against a real server.

They run in an empty directory from top to bottom; only the ports are others, so that they are free.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from support.cli import PATIENCE_S, SOURCE, environment
from support.serve_process import addresses, free_ports
from support.source import ROOT

SECTION: Final = "## Clients of Kafka, RabbitMQ and the library on one log"
PORTS: Final = ("9092", "8320", "5672")

pytestmark = pytest.mark.process


def section() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = text.partition(SECTION)[2].partition("\n## ")[0]
    assert found, f"the README has no section {SECTION!r}"
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        found = found.replace(port, str(free))
    return found


def programs(text: str) -> dict[str, str]:
    """The programs of a text by the file that their first line names."""
    blocks = re.findall(r"^```py\n# (\w+\.py): .*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return dict(blocks)


def steps(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a text, with what each answers."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = step.partition("\n")
            yield command, answer


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment in which `python` and `isthmus` are those of this test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in {"python": "", "isthmus": "-m isthmus.cli.main"}.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    return environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}", PYTHONPATH=SOURCE)


@contextmanager
def beside(command: str, place: Path, shell: dict[str, str]) -> Iterator[None]:
    """A server that the shell would have put in the background, for as long as the block lasts."""
    listeners = command.count(" --")
    program, *arguments = shlex.split(command)
    words = [shutil.which(program, path=shell["PATH"]) or program, *arguments, "--quiet"]
    with subprocess.Popen(words, cwd=place, env=shell, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert len(list(addresses(server.stdout, listeners))) == listeners
            yield
        finally:
            server.terminate()
            server.communicate(timeout=PATIENCE_S)


def test_clients_read_one_anothers_events(tmp_path: Path, shell: dict[str, str]) -> None:
    if shutil.which("kcat") is None:
        pytest.skip("there is no `kcat` here (Debian: apt-get install kcat)")
    text = section()
    for name, program in programs(text).items():
        (tmp_path / name).write_text(program, encoding="utf-8")
    (serve, _), *others = steps(text)
    assert serve.endswith(" &")

    wrong = []
    with beside(serve.removesuffix(" &"), tmp_path, shell):
        for command, answer in others:
            ran = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=tmp_path,
                env=shell,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            if ran.returncode or ran.stdout.split() != answer.split():
                wrong.append(f"$ {command}\n{ran.stdout}{ran.stderr}[{ran.returncode}]")

    assert not wrong, "\n".join(wrong)
    assert len(others) == 7
