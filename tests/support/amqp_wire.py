"""An AMQP client that blocks, for threads: it says what one tells it to, and notices when the server is gone."""

import socket
from collections import deque
from collections.abc import Mapping
from typing import Final, TypeVar

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import PROTOCOL_HEADERS, content_frames, method_frame
from isthmus.protocols.amqp.connection import Brought, Called, Connection
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.amqp.properties import Properties, encode_properties
from isthmus.protocols.amqp.table import Value

M = TypeVar("M", bound=Method)

PATIENCE_S: Final = 30.0
FRAME_BYTES: Final = 131_072
PERSISTENT: Final = encode_properties(Properties(delivery_mode=2))


class Gone(Exception):
    """The server does not answer any more, or says that it will not."""


class AmqpWire:
    """A connection with one open channel. Every call may raise Gone."""

    def __init__(self, port: int) -> None:
        self.kept: deque[Called | Brought] = deque()
        """What came while something else was waited for."""
        self._wire = Connection(from_client=False)
        self._wire.frame_bytes_max = FRAME_BYTES
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        except OSError as error:
            raise Gone from error
        try:
            self._log_in()
        except Gone:
            self.close()
            raise

    def _log_in(self) -> None:
        self._send(PROTOCOL_HEADERS[0])
        self.hear(m.ConnectionStart)
        self._send(method_frame(0, m.ConnectionStartOk({}, "PLAIN", b"\0guest\0guest", "en_US")))
        tune = self.hear(m.ConnectionTune)
        self._send(method_frame(0, m.ConnectionTuneOk(tune.channel_max, FRAME_BYTES, 0)))
        self._send(method_frame(0, m.ConnectionOpen("/")))
        self.hear(m.ConnectionOpenOk)
        self.ask(m.ChannelOpen(), m.ChannelOpenOk)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Gone from error

    def say(self, *methods: Method) -> None:
        """Send methods on the channel, in one piece."""
        self._send(b"".join([method_frame(1, each) for each in methods]))

    def publish(self, exchange: str, *bodies: bytes, key: str = "") -> None:
        """Send persistent messages."""
        method = m.BasicPublish(0, exchange, key)
        self._send(b"".join([content_frames(1, method, PERSISTENT, body, FRAME_BYTES) for body in bodies]))

    def next(self, seconds: float = PATIENCE_S) -> Called | Brought | None:
        """What the server says next; None when that takes longer."""
        if self.kept:
            return self.kept.popleft()
        self._socket.settimeout(seconds)
        while True:
            event = self._wire.next_event()
            if isinstance(event, Called | Brought):
                return event
            assert event is None, event
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            except OSError as error:
                raise Gone from error
            if not data:
                raise Gone
            self._wire.receive_data(data)

    def hear(self, kind: type[M]) -> M:
        """The next method of a kind; what comes before it is kept."""
        kept: list[Called | Brought] = []
        while True:
            event = self.next()
            if event is None:
                raise Gone
            if isinstance(event.method, kind):
                self.kept.extendleft(reversed(kept))
                return event.method
            if isinstance(event.method, m.ConnectionClose | m.ChannelClose):
                raise Gone(event.method.reply_text)
            kept.append(event)

    def ask(self, method: Method, kind: type[M]) -> M:
        """Send a method and wait for its answer."""
        self.say(method)
        return self.hear(kind)

    def declare(self, queue: str, **arguments: Value) -> int:
        """A durable queue, whose arguments have `_` where AMQP's have `-`; how many messages are ready in it."""
        table: Mapping[str, Value] = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self.ask(m.QueueDeclare(0, queue, durable=True, arguments=dict(table)), m.QueueDeclareOk).message_count

    def close(self) -> None:
        """Go away without a word."""
        self._socket.close()
