"""The pages of engines say of promises what the engines say."""

from collections.abc import Mapping

import pytest

from isthmus.engines.base import Capability
from isthmus.engines.kafka import engine as kafka
from isthmus.engines.rabbitmq import engine as rabbitmq
from support.source import ROOT

PAGES = ROOT / "docs/engines"


@pytest.mark.parametrize(
    ("page", "mark", "promises"),
    [
        ("kafka.md", "capabilities", kafka.CAPABILITIES),
        ("kafka.md", "shared", kafka.SHARED),
        ("rabbitmq.md", "capabilities", rabbitmq.CAPABILITIES),
        ("rabbitmq.md", "api", rabbitmq.WITH_API),
    ],
)
def test_the_table_is_that_of_the_engine(page: str, mark: str, promises: Mapping[str, Capability]) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    text = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]

    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()[2:]]

    assert rows == [(f"`{name}`", each.support, each.how) for name, each in promises.items()]
