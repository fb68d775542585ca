"""A lean client of AMQP for benchmarks: its messages are made once, and what comes is scanned and not decoded.

It costs about a microsecond a message, so that the broker is what is measured. It is a client for measuring only: what
it does not expect ends it.
"""

import selectors
import socket
import struct
import time
from collections.abc import Sequence
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from isthmus.protocols.amqp import codec
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import AROUND_BYTES, FRAME_HEAD
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.amqp.properties import PERSISTENT, Properties, encode_properties

M = TypeVar("M", bound=Method)
READ_BYTES: Final = 1 << 18
FRAME_BYTES: Final = 131_072
PROPERTIES: Final = encode_properties(Properties(delivery_mode=PERSISTENT))
SETTLED: Final = struct.Struct(">BHIIQBB")
TAG: Final = struct.Struct(">Q")
ACK: Final = m.BasicAck.METHOD
NACK: Final = m.BasicNack.METHOD
SECONDS_MAX: Final = 120
"""Who hears nothing for so long gives up."""


class Unexpected(AssertionError):
    """The broker said something that no broker should here."""


class Link:
    """A connection with one channel."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.socket = socket.create_connection((where.hostname or "127.0.0.1", where.port or 5672), SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        login = f"\0{where.username or 'guest'}\0{where.password or 'guest'}".encode()
        self.socket.sendall(codec.PROTOCOL_HEADERS[0])
        self.wait(m.ConnectionStart)
        can = {"publisher_confirms": True, "basic.nack": True, "consumer_cancel_notify": True}
        self._send(0, m.ConnectionStartOk({"product": "bench", "capabilities": can}, "PLAIN", login, "en_US"))
        self.wait(m.ConnectionTune)
        self._send(0, m.ConnectionTuneOk(100, FRAME_BYTES, 0))
        self._send(0, m.ConnectionOpen(unquote(where.path[1:]) or "/"))
        self.wait(m.ConnectionOpenOk)
        self.call(m.ChannelOpen(), m.ChannelOpenOk)

    def close(self) -> None:
        """End it properly, whatever is still on its way."""
        self._send(0, m.ConnectionClose(200, "done"))
        last, tail = codec.method_frame(0, m.ConnectionCloseOk()), b""
        while not tail.endswith(last):  # RabbitMQ leaves it to the client to hang up
            tail = tail[-len(last) :] + (self.socket.recv(READ_BYTES) or last)
        self.socket.close()

    def call(self, method: Method, answer: type[M]) -> M:
        """Ask and wait."""
        self._send(1, method)
        return self.wait(answer)

    def wait(self, wanted: type[M]) -> M:
        """The next method, which is to be of this kind."""
        while (size := self._frame_bytes()) is None:
            self.receive()
        kind, _, payload = FRAME_HEAD.unpack_from(self.buffer)
        if kind != codec.METHOD:
            raise Unexpected(f"a frame of type {kind} instead of {wanted.NAME}")
        found = codec.decode_method(self.buffer, FRAME_HEAD.size, FRAME_HEAD.size + payload)
        self.buffer = self.buffer[size:]
        if not isinstance(found, wanted):
            raise Unexpected(f"{found!r} instead of {wanted.NAME}")
        return found

    def receive(self) -> None:
        """Wait for more bytes."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise Unexpected("the broker hung up")
        self.buffer = self.buffer + data if self.buffer else data

    def _send(self, channel: int, method: Method) -> None:
        self.socket.sendall(codec.method_frame(channel, method))

    def _frame_bytes(self) -> int | None:
        """Length of the frame at the front; None when it is not whole."""
        if len(self.buffer) < FRAME_HEAD.size:
            return None
        size = int(FRAME_HEAD.unpack_from(self.buffer)[2]) + AROUND_BYTES
        return size if len(self.buffer) >= size else None

    def unexpected(self, at: int) -> Unexpected:
        """What came instead, in words."""
        kind, _, size = FRAME_HEAD.unpack_from(self.buffer, at)
        if kind != codec.METHOD:
            return Unexpected(f"a frame of type {kind}")
        return Unexpected(repr(codec.decode_method(self.buffer, at + FRAME_HEAD.size, at + FRAME_HEAD.size + size)))


def message(queue: str, body: bytes, exchange: str = "") -> bytes:
    """The frames of a persistent message."""
    return codec.content_frames(1, m.BasicPublish(0, exchange, queue), PROPERTIES, body, FRAME_BYTES)


class Publisher(Link):
    """Publishes with confirms."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.call(m.ConfirmSelect(), m.ConfirmSelectOk)
        self.sent = 0
        self._floor = 0
        self._above: set[int] = set()

    @property
    def unconfirmed(self) -> int:
        """How many are under way."""
        return self.sent - self._floor - len(self._above)

    def send(self, frames: bytes, count: int) -> None:
        """Publish so many messages, which are these bytes."""
        self.sent += count
        self.socket.sendall(frames)

    def scan(self) -> None:
        """Count the confirms that have come."""
        buffer, at, end = self.buffer, 0, len(self.buffer)
        while at + SETTLED.size <= end:
            _, _, _, number, tag, multiple, _ = SETTLED.unpack_from(buffer, at)
            if number != ACK:
                raise self.unexpected(at)
            at += SETTLED.size
            if multiple:
                self._floor = tag
                self._above = {each for each in self._above if each > tag}
            else:
                self._above.add(tag)
            while self._above and self._floor + 1 in self._above:
                self._floor += 1
                self._above.discard(self._floor)
        self.buffer = buffer[at:]

    def finish(self) -> None:
        """Wait until all is confirmed."""
        while self.unconfirmed:
            self.receive()
            self.scan()


class Consumer(Link):
    """Consumes with acknowledgements; all messages that it gets are of one length."""

    def __init__(self, url: str, queues: Sequence[str], prefetch: int, body_bytes: int) -> None:
        super().__init__(url)
        self._body_bytes = body_bytes
        self._length = self._tag_at = 0
        self.call(m.BasicQos(0, prefetch), m.BasicQosOk)
        tags = [f"c{at:04}" for at in range(len(queues))]
        for queue, tag in zip(queues, tags, strict=True):
            self._send(1, m.BasicConsume(0, queue, tag))
        self._tag_at = FRAME_HEAD.size + 4 + 1 + len(tags[0])
        self._owed = len(tags)

    def take(self) -> list[int]:
        """Tags of the deliveries that have come whole."""
        if self._owed:
            self._skip_answers()
        if not self._length and not self._measure():
            return []
        buffer, length, tag_at = self.buffer, self._length, self._tag_at
        count = len(buffer) // length
        end = count * length
        tags = [tag for at in range(tag_at, end, length) for (tag,) in (TAG.unpack_from(buffer, at),)]
        if buffer[length - 1 : end : length].strip(b"\xce") or buffer[:end:length].strip(b"\x01"):
            raise Unexpected("deliveries of several lengths")
        self.buffer = buffer[end:]
        return tags

    def bodies(self) -> list[bytes]:
        """Bodies of the deliveries that have come whole; they are still there for `take`."""
        if self._owed:
            self._skip_answers()
        if not self._length and not self._measure():
            return []
        end = len(self.buffer) // self._length * self._length
        last = self._length - 1
        return [self.buffer[at + last - self._body_bytes : at + last] for at in range(0, end, self._length)]

    def acknowledge(self, tags: Sequence[int]) -> None:
        """Each by itself, as clients do."""
        pack = SETTLED.pack
        self.socket.sendall(b"".join([pack(1, 1, 13, ACK, tag, 0, 0xCE) for tag in tags]))

    def _skip_answers(self) -> None:
        """basic.consume-ok may stand between the first deliveries, of one consumer after the other."""
        kept: list[bytes] = []
        while self._owed and (size := self._frame_bytes()) is not None:
            number = int.from_bytes(self.buffer[7:11], "big")
            if self.buffer[0] == codec.METHOD and number == m.BasicConsumeOk.METHOD:
                self._owed -= 1
            elif self.buffer[0] == codec.METHOD and number != m.BasicDeliver.METHOD:
                raise self.unexpected(0)
            else:
                kept.append(self.buffer[:size])
            self.buffer = self.buffer[size:]
        self.buffer = b"".join(kept) + self.buffer

    def _measure(self) -> bool:
        """Learn the length of a delivery from the first that is whole."""
        at, left = 0, -1
        while left:
            if len(self.buffer) < at + FRAME_HEAD.size:
                return False
            kind, _, size = FRAME_HEAD.unpack_from(self.buffer, at)
            if len(self.buffer) < at + size + AROUND_BYTES:
                return False
            if kind == codec.METHOD and int.from_bytes(self.buffer[at + 7 : at + 11], "big") != m.BasicDeliver.METHOD:
                raise self.unexpected(at)
            if kind == codec.HEADER:
                left = int(codec.CONTENT_HEAD.unpack_from(self.buffer, at + FRAME_HEAD.size)[2])
            elif kind == codec.BODY:
                left -= size
            at += size + AROUND_BYTES
        self._length = at
        return True


# ---- runs ---------------------------------------------------------------------------------------------------------


def publish(url: str, messages: Sequence[bytes], window: int, seconds: float, count_max: int) -> tuple[int, float]:
    """Publish to the queues in turn for a while with so many unconfirmed; how many in how many seconds."""
    link = Publisher(url)
    piece = b"".join(messages)
    each = len(messages)
    begun = time.perf_counter()
    until = begun + seconds
    while time.perf_counter() < until and link.sent < count_max:
        room = (window - link.unconfirmed) // each
        if room:
            link.send(piece * room, room * each)
        link.receive()
        link.scan()
    link.finish()
    took = time.perf_counter() - begun
    link.close()
    return link.sent, took


def consume(url: str, queues: Sequence[str], prefetch: int, body_bytes: int, count: int, seconds: float) -> float:
    """Consume what is there, at most for a while; messages a second from the first on."""
    link = Consumer(url, queues, prefetch, body_bytes)
    taken = first = 0
    begun = until = 0.0
    while taken < count:
        tags = link.take()
        if tags:
            link.acknowledge(tags)
            taken += len(tags)
            if not begun:
                begun, first = time.perf_counter(), taken
                until = begun + seconds
            if time.perf_counter() > until:
                break
        if taken < count:
            link.receive()
    took = time.perf_counter() - begun
    link.close()
    return (taken - first) / took


def both(url: str, queues: Sequence[str], body: bytes, prefetch: int, window: int, seconds: float) -> float:
    """Publish and consume at once, to the end; messages a second that went all the way."""
    consumer, publisher = Consumer(url, queues, prefetch, len(body)), Publisher(url)
    piece = b"".join(message(queue, body) for queue in queues)
    taken = 0
    begun = time.perf_counter()
    until = begun + seconds
    with selectors.DefaultSelector() as selector:
        for each in (consumer, publisher):
            selector.register(each.socket, selectors.EVENT_READ, each)
        while taken < publisher.sent or time.perf_counter() < until or publisher.unconfirmed:
            # Not more unconsumed than two windows: it is the way through that is measured.
            room = min(window - publisher.unconfirmed, 2 * window - (publisher.sent - taken)) // len(queues)
            if room > 0 and time.perf_counter() < until:
                publisher.send(piece * room, room * len(queues))
            for key, _ in selector.select(SECONDS_MAX):
                key.data.receive()
                if key.data is publisher:
                    publisher.scan()
                else:
                    tags = consumer.take()
                    consumer.acknowledge(tags)
                    taken += len(tags)
    took = time.perf_counter() - begun
    for each in (consumer, publisher):
        each.close()
    return taken / took


def latency(url: str, queue: str, body_bytes: int, rate: int, seconds: float) -> tuple[list[float], list[float]]:
    """Publish at a fixed rate; milliseconds to the delivery, and to the confirm, of each."""
    consumer, publisher = Consumer(url, [queue], 1_000, body_bytes), Publisher(url)
    total = int(rate * seconds)
    delivered: list[float] = []
    confirmed: list[float] = []
    sent_ns: list[int] = []
    filling = b"x" * (body_bytes - 20)
    with selectors.DefaultSelector() as selector:
        for each in (consumer, publisher):
            selector.register(each.socket, selectors.EVENT_READ, each)
        begun = time.perf_counter()
        heard = time.monotonic()
        while len(delivered) < total or publisher.unconfirmed:
            now = time.perf_counter()
            due = min(total, int((now - begun) * rate))
            while publisher.sent < due:
                now_ns = time.perf_counter_ns()
                sent_ns.append(now_ns)
                publisher.send(message(queue, b"%020d" % now_ns + filling), 1)
            next_due = begun + (publisher.sent + 1) / rate
            wait = max(0.0, next_due - time.perf_counter()) if publisher.sent < total else 1.0
            for key, _ in selector.select(wait):
                heard = time.monotonic()
                key.data.receive()
                now_ns = time.perf_counter_ns()
                if key.data is publisher:
                    before = publisher.sent - publisher.unconfirmed
                    publisher.scan()
                    after = publisher.sent - publisher.unconfirmed
                    confirmed += [(now_ns - sent_ns[at]) / 1e6 for at in range(before, after)]
                else:
                    delivered += [(now_ns - int(each[:20])) / 1e6 for each in consumer.bodies()]
                    consumer.acknowledge(consumer.take())
            if time.monotonic() - heard > SECONDS_MAX:
                raise Unexpected(f"{len(delivered)} of {total} messages came")
    for each in (consumer, publisher):
        each.close()
    warm = rate // 2
    return delivered[warm:], confirmed[warm:]
