"""The page about Kinesis's protocol, held against the code."""

import re
from pathlib import Path

from isthmus.protocols.kinesis.shapes import ACTIONS

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "kinesis.md"


def test_the_page_lists_every_action() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if re.match(r"\| `[A-Z]", line)]

    assert {name for line in rows for name in re.findall(r"`([A-Z]\w+)`", line.split("|")[1])} == set(ACTIONS)
