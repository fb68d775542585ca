"""DESIGN.md tells the truth about the tree."""

import runpy
from typing import Final

from support.source import ROOT

DESIGN: Final = ROOT / "DESIGN.md"


def test_the_file_map_is_that_of_the_tree() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "file_map.py"))

    written = DESIGN.read_text(encoding="utf-8").partition(tool["START"])[2].partition(tool["END"])[0]

    assert written == tool["file_map"](), "run `python tools/file_map.py --write`"


def test_every_folder_of_the_source_is_in_the_map() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "file_map.py"))

    folders = {path.parent.relative_to(tool["SOURCE"]).as_posix() for path in tool["SOURCE"].rglob("*.py")}

    assert folders - {"lenses"} == {folder or "." for folder in tool["FOLDERS"]}
