"""The table of protocols names what the settings know."""

from isthmus.server.config import PORTS
from isthmus.server.services import PROTOCOLS


def test_every_protocol_has_a_setting_and_a_port() -> None:
    assert PROTOCOLS.keys() <= PORTS.keys()
