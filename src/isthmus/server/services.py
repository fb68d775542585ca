"""Which protocols a server speaks: a name, and what makes its service, imported when it is asked for.

One row a protocol; it opens no socket.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from isthmus.broker.broker import Broker
from isthmus.protocols.door import Service

if TYPE_CHECKING:
    from isthmus.server.config import Settings
    from isthmus.server.lag import LoopLag
    from isthmus.server.tcp import Driver


class Host(NamedTuple):
    """What a service can be made of."""

    broker: Broker
    settings: "Settings"
    driver: "Driver"
    lag: "LoopLag"


class Protocol(NamedTuple):
    """How a protocol's service is made, and whether it speaks in a way that no HTTP or TLS can begin with."""

    make: Callable[[Host], Service]
    binary: bool


PROTOCOLS: Final[dict[str, Protocol]] = {}
"""By the name of the listener."""
