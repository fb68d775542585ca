"""What the channels of one connection share: who it is, where it is, what it may be sent, and the way out.

Data and small questions; no method is handled here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.definition import DEFAULT_NAMESPACE, Operation
from isthmus.limits import AMQP_FRAME_BYTES_MAX, EGRESS_BYTES_HIGH
from isthmus.protocols.amqp.codec import content_frames, method_frame
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.door import Line

if TYPE_CHECKING:
    from isthmus.protocols.amqp.handlers.replies import Replies

ROOT: Final = "/"
"""The virtual host that every client asks for unless it is told otherwise."""

OUT_PIECES_MAX: Final = 64
"""Pieces of output that are joined before the driver gets them."""

CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)
"""What clients look for before they use it."""


class AmqpOptions(Struct, frozen=True, kw_only=True):
    """How the door behaves.

    `product` and `version` are what it says that it is: clients choose by them how they ask for prefetch, so by default
    it is what it behaves like. `name` and `name_version` are its own, and are told beside. `plain` takes passwords from
    other machines without TLS.
    """

    product: str = "RabbitMQ"
    version: str = "4.3.0"
    name: str = "Isthmus"
    name_version: str = ""
    plain: bool = False

    def properties(self) -> dict[str, Any]:
        """What the server says of itself."""
        return {
            "capabilities": dict.fromkeys(CAPABILITIES, True),
            "product": self.product,
            "version": self.version,
            "cluster_name": self.name.lower(),
            "platform": f"{self.name} {self.name_version}".strip(),
            "information": f"{self.name}, which speaks AMQP 0-9-1 as {self.product} {self.version} does",
            "copyright": f"The authors of {self.name}",
        }


class Shared(Struct, frozen=True, kw_only=True):
    """What all connections of a listener share.

    `exclusive` names the one consumer that a queue has been promised to, by the queue's id.
    """

    broker: Broker
    options: AmqpOptions
    replies: "Replies"
    exclusive: dict[int, object]

    def forget(self, consumer: object) -> None:
        """A consumer has ended: if a queue was its alone, others may have it."""
        for queue in [queue for queue, holder in self.exclusive.items() if holder is consumer]:
            del self.exclusive[queue]


class Link:
    """See the module text."""

    def __init__(self, shared: Shared, line: Line) -> None:
        self.shared = shared
        self.line = line
        self.broker = shared.broker
        self.frame_bytes_max = AMQP_FRAME_BYTES_MAX
        self.properties: dict[str, Any] = {}
        self.user = ""
        """As whom the client has logged in."""
        self.vhost = ROOT
        self.namespace = DEFAULT_NAMESPACE
        self.sent_ms = 0
        self.gone = False
        self._session: Session | None = None
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._waiting: dict[Callable[[], None], None] = {}

    # ---- who and where --------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """Whose connection it is; exclusive queues live as long as it."""
        if self._session is None:
            raise Refused(Code.NOT_ALLOWED, "the login comes first")
        return self._session

    @session.setter
    def session(self, session: Session) -> None:
        """The peer has proven who it is."""
        self._session = session

    @property
    def known(self) -> bool:
        """Whether the peer has proven who it is."""
        return self._session is not None

    def enter(self, vhost: str) -> None:
        """Use the names of a virtual host: `/` is the default namespace, every other the namespace of its name."""
        self.vhost = vhost
        self.namespace = self.session.namespace = DEFAULT_NAMESPACE if vhost == ROOT else vhost

    def can(self, capability: str) -> bool:
        """Whether the client has said that it knows that."""
        capabilities = self.properties.get("capabilities")
        return isinstance(capabilities, dict) and capabilities.get(capability) is True

    def check(self, operation: Operation, kind: str, name: str) -> None:
        """Raises Refused, in RabbitMQ's words, when the client may not do that."""
        if not self.broker.access.allows(self.session, operation, name):
            raise Refused(
                Code.ACCESS_REFUSED,
                f"{operation} access to {kind} '{name}' in vhost '{self.vhost}' refused for user"
                f" '{self.session.principal}'",
            )

    # ---- the way out ----------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send frames."""
        if self.gone:
            return
        self._out.append(data)
        self._out_bytes += len(data)
        self.line.flush()

    def tell(self, channel: int, method: Method) -> None:
        """Send a method without content."""
        self.send(method_frame(channel, method))

    def give(self, channel: int, method: Method, properties: bytes, body: bytes) -> None:
        """Send a method with its content."""
        self.send(content_frames(channel, method, properties, body, self.frame_bytes_max))

    @property
    def is_full(self) -> bool:
        """Whether what can wait should: the peer reads too slowly, or much is to be sent already."""
        return self.line.congested or self._out_bytes >= EGRESS_BYTES_HIGH

    def when_free(self, callback: Callable[[], None]) -> None:
        """Call back when it is full no longer."""
        self._waiting[callback] = None

    def take(self) -> list[bytes]:
        """What is to be sent, in order."""
        out, self._out, self._out_bytes = self._out, [], 0
        if out:
            self.sent_ms = self.broker.clock.monotonic_ms()
        if self._waiting and not self.line.congested:
            self.freed()
        return [b"".join(out)] if len(out) > OUT_PIECES_MAX else out

    def freed(self) -> None:
        """The peer reads again."""
        waiting, self._waiting = self._waiting, {}
        for callback in waiting:
            callback()
