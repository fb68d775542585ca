"""The page about RabbitMQ's protocol tells every difference to RabbitMQ 3.10 that the tours of clients allow for."""

from support.amqp_tour import OLD
from support.source import ROOT

PAGE = ROOT / "docs/protocols/amqp.md"


def test_every_difference_is_told() -> None:
    part = (
        PAGE.read_text(encoding="utf-8").partition("## Beside RabbitMQ 3.10")[2].partition("<!-- end of beside -->")[0]
    )
    rows = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in part.splitlines() if "|" in line][
        2:
    ]

    assert rows == [(f"{each.chapter}, {each.row}" if each.row else each.chapter, each.why) for each in OLD]
