"""The page about SQS's protocol, held against the code."""

import re
from pathlib import Path

from isthmus.protocols.sqs.shapes import ACTIONS

PAGE = Path(__file__).parents[2] / "docs" / "protocols" / "sqs.md"


def test_the_page_lists_every_action_and_says_which_are_not_there() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    actions = [line for line in rows if re.match(r"\| `[A-Z]", line)]
    there = {name for line in actions if "not there yet" not in line for name in re.findall(r"`([A-Z]\w+)`", line)}

    assert there == set(ACTIONS)
