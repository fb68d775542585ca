"""The table of metrics in docs/operations.md is the code's, row for row."""

import re

from isthmus.web.metrics import FAMILIES
from support.source import ROOT

ROW = re.compile(r"^\| `(isthmus_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)
ENDINGS = {"counter": "_total", "info": "_info"}


def test_the_table_names_every_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    told = [(name, kind, labels.strip(), meaning) for name, kind, labels, meaning in ROW.findall(page)]

    assert told == [
        (f"{each.name}{ENDINGS.get(each.kind, '')}", each.kind, ", ".join(each.labels), each.help) for each in FAMILIES
    ]
