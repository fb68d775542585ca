"""Kafka's door without a socket: a line that keeps what is asked of it, and a door on it."""

from isthmus.broker.broker import Broker
from isthmus.protocols.door import Peer, Step
from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.protocols.kafka.handlers.call import KafkaOptions
from isthmus.protocols.kafka.handlers.service import KafkaDoor, KafkaService


class KeptLine:
    """A connection that counts what a door asks for."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.peer = Peer(host=host, port=4_711, local_host=host, local_port=9_092)
        self.congested = False
        self.ended = False
        self.flushed = self.woken = 0
        self.principal: str | None = None
        self.closed: str | None = None

    def flush(self) -> None:
        """Counted."""
        self.flushed += 1

    def wake(self) -> None:
        """Counted."""
        self.woken += 1

    def known(self, principal: str) -> None:
        """Kept."""
        self.principal = principal

    def close(self, reason: str = "") -> None:
        """The first reason is kept."""
        if self.closed is None:
            self.closed = reason


def opened(broker: Broker, options: KafkaOptions | None = None, host: str = "127.0.0.1") -> tuple[KafkaDoor, KeptLine]:
    """A door and its line."""
    line = KeptLine(host)
    return KafkaService(broker, options).open(line), line


def framed(api_key: int, version: int, request: object, correlation: int = 1) -> bytes:
    """A request with its length and its header."""
    head = codec.encode_header(RequestHeader(api_key, version, correlation, "test", 0))
    data = head + codec.encode_request(api_key, version, request)  # type: ignore[arg-type] # some message
    return len(data).to_bytes(4, "big") + data


def stepped(door: KafkaDoor, data: bytes = b"") -> Step:
    """Receive, and step until there is nothing more to begin."""
    door.receive(data)
    while (step := door.step()) is Step.MORE:
        pass
    return step


def numbers(parts: list[bytes]) -> list[int]:
    """The correlation ids of the answers in what was sent."""
    data, found, at = b"".join(parts), [], 0
    while at < len(data):
        found.append(int.from_bytes(data[at + 4 : at + 8], "big"))
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return found
