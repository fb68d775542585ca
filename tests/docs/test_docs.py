"""The documentation is true: its programs run, its links lead somewhere, and nothing public goes unmentioned."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import isthmus
from isthmus.cli.main import COMMANDS
from support.source import ROOT, SRC

PAGES: Final = (ROOT / "README.md", ROOT / "DESIGN.md", *sorted((ROOT / "docs").rglob("*.md")))
PROGRAM: Final = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE: Final = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
NAMES: Final = [str(page.relative_to(ROOT)) for page in PAGES]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.process
@pytest.mark.parametrize("name", [name for name in NAMES if PROGRAM.search(text_of(name))])
def test_the_programs_of_a_page_run(name: str, tmp_path: Path) -> None:
    program = tmp_path / "page.py"
    program.write_text("\n".join(PROGRAM.findall(text_of(name))), encoding="utf-8")

    ran = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", NAMES)
def test_links_between_pages_lead_somewhere(name: str) -> None:
    page = ROOT / name

    missing = [target for target in LINK.findall(CODE.sub("", text_of(name))) if not (page.parent / target).exists()]

    assert not missing


def test_every_public_name_is_mentioned() -> None:
    everything = "\n".join(text_of(name) for name in NAMES)

    missing = [name for name in isthmus.__all__ if not re.search(rf"\b{name}\b", everything)]

    assert not missing


def test_every_command_is_mentioned() -> None:
    everything = "\n".join(text_of(name) for name in NAMES)

    missing = [name for name in COMMANDS if not re.search(rf"isthmus (--\S+ \S+ )*{name}\b", everything)]

    assert not missing
