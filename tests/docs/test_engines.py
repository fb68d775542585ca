"""The pages of engines say of promises what the engines say."""

from collections.abc import Mapping

import pytest

from isthmus.engines.base import Capability
from isthmus.engines.kafka.engine import CAPABILITIES, SHARED
from support.source import ROOT

PAGE = ROOT / "docs/engines/kafka.md"


@pytest.mark.parametrize(("mark", "promises"), [("capabilities", CAPABILITIES), ("shared", SHARED)])
def test_the_table_is_that_of_the_engine(mark: str, promises: Mapping[str, Capability]) -> None:
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]

    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()[2:]]

    assert rows == [(f"`{name}`", each.support, each.how) for name, each in promises.items()]
