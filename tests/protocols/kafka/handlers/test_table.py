"""The table of handlers: only what has layouts, and nothing that would be advertised and not work."""

from isthmus.protocols.kafka.handlers.service import KEYS
from isthmus.protocols.kafka.handlers.table import HANDLERS
from isthmus.protocols.kafka.schema import layouts, requests, response_to

LATER = {24, 25, 26, 27, 28, 68, 69, *range(76, 80), *range(90, 93)}
"""Transactions, the new group protocol, share groups."""


def test_every_row_is_an_api_that_can_be_read_and_answered() -> None:
    for key in HANDLERS:
        layout = requests()[key]

        assert response_to(layout).name in layouts()
        assert response_to(layout).versions[0] <= layout.versions[0] <= layout.versions[1]


def test_every_api_with_its_own_name_has_its_own_handler() -> None:
    assert len({handler.__name__ for handler in HANDLERS.values()}) == len(HANDLERS)


def test_what_comes_later_is_not_advertised() -> None:
    assert not LATER & set(KEYS)
    assert set(KEYS) - set(HANDLERS) == {17, 18, 36}
