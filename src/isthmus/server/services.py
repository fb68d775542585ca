"""Which protocols a server speaks: a name, and what makes its service, imported when it is asked for.

One row a protocol; it opens no socket.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from isthmus.broker.broker import Broker
from isthmus.protocols.door import Service

if TYPE_CHECKING:
    from isthmus.protocols.amqp.handlers.link import AmqpOptions
    from isthmus.server.config import Settings
    from isthmus.server.lag import LoopLag
    from isthmus.server.server import Listening
    from isthmus.server.tcp import Driver


class Host(NamedTuple):
    """What a service can be made of."""

    broker: Broker
    settings: "Settings"
    driver: "Driver"
    lag: "LoopLag"
    listening: Callable[[], "list[Listening]"]
    """All that the server listens on, once it does."""


class Protocol(NamedTuple):
    """How a protocol's service is made, and whether it speaks in a way that no HTTP or TLS can begin with."""

    make: Callable[[Host], Service]
    binary: bool


class Kept:
    """The share of a broker that is the server's own, whatever engines are made on it."""

    async def give_back(self) -> None:
        """It stays."""


def _native(host: Host) -> Service:
    from isthmus.engines.embedded import EmbeddedEngine
    from isthmus.protocols.native.handlers import NativeService

    kept = Kept()
    url = f"isthmus://{host.broker.storage.directory}"
    return NativeService(host.broker, lambda session: EmbeddedEngine(url, host.broker, kept, session)).open


def _kafka(host: Host) -> Service:
    from isthmus.protocols.kafka.handlers.call import KafkaOptions
    from isthmus.protocols.kafka.handlers.service import KafkaService

    advertised = host.settings.advertised()
    where = None if advertised is None else (advertised.host, advertised.port)
    return KafkaService(host.broker, KafkaOptions(advertised=where)).open


def _amqp(host: Host) -> Service:
    from isthmus.protocols.amqp.handlers.service import AmqpService

    return AmqpService(host.broker, _amqp_options(host)).open


def _amqp_options(host: Host) -> "AmqpOptions":
    from isthmus import __version__
    from isthmus.protocols.amqp.handlers.link import AmqpOptions

    settings = host.settings
    return AmqpOptions(
        product=settings.amqp_product, version=settings.amqp_version, name_version=__version__, plain=settings.insecure
    )


def _web(host: Host) -> Service:
    from isthmus import __version__
    from isthmus.server.figures import figures
    from isthmus.web.management.service import Management
    from isthmus.web.service import WebService

    def listeners() -> list[tuple[str, str, int]]:
        return [(each.protocol, each.host or "", each.port or 0) for each in host.listening() if each.path is None]

    management = Management(host.broker, __version__, _amqp_options(host), listeners)
    return WebService(host.broker, __version__, lambda: figures(host.driver, host.lag), management).open


def _sqs(host: Host) -> Service:
    from isthmus.protocols.sqs.handlers.service import service

    return service(host.broker).open


def _kinesis(host: Host) -> Service:
    from isthmus.protocols.kinesis.handlers.service import service

    return service(host.broker).open


PROTOCOLS: Final[dict[str, Protocol]] = {
    "native": Protocol(_native, binary=True),
    "kafka": Protocol(_kafka, binary=True),
    "amqp": Protocol(_amqp, binary=True),
    "sqs": Protocol(_sqs, binary=False),
    "kinesis": Protocol(_kinesis, binary=False),
    "web": Protocol(_web, binary=False),
}
"""By the name of the listener."""
