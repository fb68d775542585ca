"""The page of the server says what the settings and the limits are."""

import re

from isthmus import limits
from isthmus.server.config import Settings
from support.source import ROOT

PAGE = (ROOT / "docs/server.md").read_text(encoding="utf-8")


def cells(mark: str, column: int) -> list[str]:
    lines = PAGE.partition(f"<!-- {mark} -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    return [line.strip("|").split("|")[column].strip() for line in lines]


def test_every_setting_is_explained() -> None:
    named = {name for cell in cells("settings", 0) for name in re.findall(r"`(\w+)`", cell)}

    assert named == set(Settings.__struct_fields__)


def test_the_limits_are_those_of_the_code() -> None:
    rows = dict(zip(cells("limits", 0), cells("limits", 1), strict=True))

    assert rows == {name: f"{getattr(limits, name.strip('`')):,}" for name in rows}
