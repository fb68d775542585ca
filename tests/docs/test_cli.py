"""docs/cli.md does what it says: its console blocks run from top to bottom in one empty directory."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from support.cli import PATIENCE_S, environment
from support.source import ROOT

PAGE: Final = ROOT / "docs" / "cli.md"


class Step(NamedTuple):
    """A command with what it is to answer and the exit code, which `[3]` in the last line names."""

    line: int
    command: str
    answer: str
    code: int


def steps(page: str) -> Iterator[Step]:
    """The commands of all console blocks in order."""
    for block in re.finditer(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        first = page.count("\n", 0, block.start(1)) + 1
        lines = block[1].splitlines()
        starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield step(first + start, lines[start:end])


def step(number: int, lines: list[str]) -> Step:
    """One command of a block: `$ ` and `> ` lines are typed, the others answered."""
    typed = [lines[0], *(line for line in lines[1:] if re.match(r"> |>$", line))]
    answered = lines[len(typed) :]
    code = re.fullmatch(r"\[(\d+)\]", answered[-1]) if answered else None
    answer = "\n".join(answered[:-1] if code else answered)
    return Step(number, "\n".join(line[2:] for line in typed), answer, int(code[1]) if code else 0)


def fits(answer: str, said: str) -> bool:
    """Whether what was said is the answer, with `...` standing for anything and spaces at the end for nothing."""
    anything = re.escape("...")
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(anything, ".*?") + r"\n"
        for line in answer.splitlines()
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in said.splitlines())) is not None


def test_every_example_answers_as_the_page_says(tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    program = bin_folder / "isthmus"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m isthmus.cli.main "$@"\n')
    program.chmod(0o755)
    place = tmp_path / "work"
    place.mkdir()
    variables = environment(PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}", ISTHMUS_URL="./data")
    wrong = []
    for each in steps(PAGE.read_text(encoding="utf-8")):
        done = subprocess.run(
            ["sh", "-c", each.command],  # noqa: S607 - as a reader's shell would
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env=variables,
            cwd=place,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = "\n".join(line.rstrip() for line in (done.stdout + done.stderr).splitlines())
        if done.returncode != each.code or not fits(each.answer, said):
            wrong.append(f"docs/cli.md:{each.line} $ {each.command}\nended with {done.returncode} and said:\n{said}\n")

    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("answer", "said", "fit"),
    [
        ("a ... c", "a b c", True),
        ("a ... c", "a b\nc", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("...\nd", "a\nd", True),
        ("a\n...", "a\nb", True),
        ("a\n...", "b", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_dots_stand_for_anything_and_only_they_do(answer: str, said: str, fit: bool) -> None:
    assert fits(answer, said) == fit
