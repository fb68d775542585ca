"""One connection of AMQP without a socket: bytes to methods and whole messages, with the state of its channels.

Pure. It answers nothing and knows no broker: what was wrong becomes a `Violation`, which the door answers. It never
raises on what a peer sent.

Theory of operation
-------------------
`receive_data` keeps bytes, `next_event` gives what comes next out of them, None when that is not whole. A frame is read
where it lies; bytes are joined once a frame that came in pieces is there. A message that lies in one piece, method,
header and one body, is read in one go; any other goes through the state of its channel: idle, collecting a content,
closing. The door says which of these it changes by itself: `close_channel`, `close`, `open`.

Invariants:
    A1: nothing of a frame that is longer than agreed is kept, and its size is looked at before its payload has come.
    A2: a body is refused by its announced size before a byte of it is kept; all bodies that are being collected are
        together at most AMQP_ASSEMBLY_BYTES_MAX.
    A3: on a closing channel only channel.close and close-ok are seen, on a closing connection only its two.
    A4: properties that are given out can be read: see `properties.check`.
"""

import struct
from typing import Final, cast

from msgspec import Struct

from isthmus.limits import (
    AMQP_ACKS_MAX,
    AMQP_ASSEMBLY_BYTES_MAX,
    AMQP_BODY_BYTES_MAX,
    AMQP_CACHED_BYTES,
    AMQP_CACHED_MAX,
    AMQP_CHANNELS_MAX,
    AMQP_FRAME_BYTES_FIRST,
    AMQP_FRAME_BYTES_GRACE,
)
from isthmus.protocols.amqp import codec, methods, properties
from isthmus.protocols.amqp.codec import AROUND_BYTES, BASIC, BODY, FRAME_END, HEADER, HEARTBEAT, METHOD
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.amqp.table import Malformed

# ---- events ------------------------------------------------------------------------------------------------------


class Hello(Struct, frozen=True, gc=False):
    """The peer has said what it speaks. When that is nothing of ours: say what we speak, and hang up."""

    accepted: bool


class Called(Struct, frozen=True, gc=False):
    """A method without content. A channel.close is to be answered also where the door knows no such channel."""

    channel: int
    method: Method


class Acked(Struct, frozen=True, gc=False):
    """Several basic.ack of one channel that lie one behind the other, each for one delivery."""

    channel: int
    tags: list[int]


class Published(Struct, frozen=True, gc=False):
    """basic.publish with its message; `properties` as they travel."""

    channel: int
    exchange: str
    routing_key: str
    mandatory: bool
    immediate: bool
    properties: bytes
    body: bytes


class Brought(Struct, frozen=True, gc=False):
    """Any other method with its content; only servers send them."""

    channel: int
    method: Method
    properties: bytes
    body: bytes


class Violation(Struct, frozen=True, gc=False):
    """The peer broke a rule, and is to be told with these: on the channel when it is not 0, else on the connection.

    The state is that of a close that was sent: what follows on it is not seen. `text` begins with the name of the code.
    """

    code: int
    text: str
    channel: int = 0
    class_id: int = 0
    method_id: int = 0

    @property
    def name(self) -> str:
        """Of the code."""
        return methods.REPLY_NAMES[self.code]


Event = Hello | Called | Acked | Published | Brought | Violation


def _violation(code: int, text: str, channel: int = 0, number: int = 0) -> Violation:
    return Violation(code, f"{methods.REPLY_NAMES[code]} - {text}", channel, number >> 16, number & 0xFFFF)


# ---- a channel ---------------------------------------------------------------------------------------------------

_PIECE_BYTES_MIN: Final = 4 * 1024
"""What is collected is joined with a piece before it that is smaller, since each costs memory of its own."""


class _Content:
    """A message that is being collected."""

    __slots__ = ("left", "method", "pieces", "properties")

    def __init__(self, method: Method) -> None:
        self.method = method
        self.properties = b""
        self.left = -1
        """Bytes of the body that have not come; -1 before the header."""
        self.pieces: list[bytes] = []

    def add(self, data: bytes) -> None:
        self.left -= len(data)
        if self.pieces and len(self.pieces[-1]) < _PIECE_BYTES_MIN:
            data = self.pieces.pop() + data
        if data:
            self.pieces.append(data)

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self.pieces))


class _Closing:
    """A channel whose close was sent and not answered."""


_CLOSING: Final = _Closing()


# ---- the connection ----------------------------------------------------------------------------------------------

_PUBLISH: Final = methods.BasicPublish.METHOD
_SETTLE_BYTES: Final = 13
_SETTLES: Final = frozenset({methods.BasicAck.METHOD, methods.BasicNack.METHOD, methods.BasicReject.METHOD})
_SETTLE: Final = struct.Struct(">IQB")
_ACK: Final = methods.BasicAck.METHOD
_ACK_FRAME: Final = struct.Struct(">11sQBB")
"""One basic.ack with its frame: head and number of the method, the tag, `multiple`, the end."""
_HEADER: Final = struct.Struct(">BHIHHQ")
"""The head of a header's frame, up to the properties."""
_CONTENT_HEAD_BYTES: Final = codec.CONTENT_HEAD.size
_CONNECTION: Final = 10
_CLOSES: Final = frozenset({methods.ConnectionClose.METHOD, methods.ConnectionCloseOk.METHOD})
_CHANNEL_CLOSES: Final = frozenset({methods.ChannelClose.METHOD, methods.ChannelCloseOk.METHOD})
_OPEN: Final = methods.ChannelOpen.METHOD
_CLOSE_OK: Final = codec.method_frame(0, methods.ConnectionCloseOk())

_UNPACK_FRAME: Final = codec.FRAME_HEAD.unpack_from
_UNPACK_HEADER: Final = _HEADER.unpack_from


class _Skip:
    """A frame was dealt with and nothing came of it."""


_SKIP: Final = _Skip()


class Connection:
    """See the module text.

    Args:
        from_client: the peer is a client; False for its other side, which greets nobody and begins with frames.
    """

    def __init__(self, *, from_client: bool = True, body_bytes_max: int = AMQP_BODY_BYTES_MAX) -> None:
        self.body_bytes_max = body_bytes_max
        self.frame_bytes_max = AMQP_FRAME_BYTES_FIRST
        """The longest frame; to be changed when another one is agreed upon."""
        self.channels_max = AMQP_CHANNELS_MAX
        """The highest number of a channel; the same."""
        self.is_lost = False
        """The frames that follow cannot be told apart: only the answer to a close is looked for."""
        self._tail = b""
        """The last bytes of what followed then, if they can be the beginning of that answer."""
        self._from_client = from_client
        self._allowed = methods.FROM_CLIENT if from_client else frozenset(methods.ALL) - methods.FROM_CLIENT
        if not from_client:
            self._allowed |= methods.FROM_BOTH
        self._greeted = not from_client
        self._opened = not from_client
        self._closing = False
        self._channels: dict[int, _Content | _Closing | None] = {}
        self._buffer = b""
        self._at = 0
        self._pending = bytearray()
        self._collected_bytes = 0
        self._addresses: dict[bytes, tuple[str, str, bool, bool]] = {}
        self._known: set[bytes] = set()

    # ---- what the door sees and says -----------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are here and were not given out, those of unfinished messages with them."""
        return self._unread_bytes + self._collected_bytes

    @property
    def wanted_bytes(self) -> int:
        """How many there are when the frame at the front is whole; 0 while that is not known.

        Between two frames of a message that is being collected, one more than there are: whoever counts what is held
        must not take it for bytes that nobody wants.
        """
        if len(self._buffer) - self._at < codec.FRAME_HEAD.size or not self._greeted:
            return self.buffered_bytes + 1 if self._collected_bytes else 0
        _, _, size = _UNPACK_FRAME(self._buffer, self._at)
        return self._collected_bytes + min(int(size), self.frame_bytes_max) + AROUND_BYTES

    @property
    def channels(self) -> list[int]:
        """Numbers of the channels that are open or closing."""
        return list(self._channels)

    def open(self) -> None:
        """The virtual host was entered: channels may be opened from now on."""
        self._opened = True

    def close_channel(self, channel: int) -> None:
        """A channel.close is being sent: see A3. Does nothing where no such channel is open."""
        if channel in self._channels:
            self._drop(channel)
            self._channels[channel] = _CLOSING

    def close(self) -> None:
        """A connection.close is being sent: see A3."""
        self._closing = True
        for channel in list(self._channels):
            self._drop(channel)
        self._channels.clear()

    def receive_data(self, data: bytes) -> None:
        """Keep what has arrived."""
        if self.is_lost:
            self._search(data)
        elif self._at == len(self._buffer) and not self._pending:
            self._buffer, self._at = data, 0
        else:
            self._pending += data

    # ---- frames --------------------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """What comes next; None when it is not whole yet."""
        while not self.is_lost:
            found = self._frame() if self._greeted else self._greeting()
            if found is not _SKIP:
                return found  # type: ignore[return-value] # it is no _Skip
        if self._tail == _CLOSE_OK:
            self._tail = b""
            return Called(0, methods.ConnectionCloseOk())
        return None

    @property
    def _unread_bytes(self) -> int:
        return len(self._buffer) - self._at + len(self._pending)

    def _gather(self, size: int) -> bool:
        """Have so many bytes side by side; False when they have not come."""
        if self._unread_bytes < size:
            return False
        if self._pending:
            self._buffer, self._at = self._buffer[self._at :] + self._pending, 0
            self._pending = bytearray()
        return True

    def _greeting(self) -> Event | None:
        size = len(codec.PROTOCOL_HEADERS[0])
        self._gather(min(size, self._unread_bytes))
        said = self._buffer[self._at : self._at + size]
        if said in codec.PROTOCOL_HEADERS:
            self._at += size
            self._greeted = True
            return Hello(accepted=True)
        if any(each.startswith(said) for each in codec.PROTOCOL_HEADERS):
            return None
        self._lose()
        return Hello(accepted=False)

    def _frame(self) -> Event | _Skip | None:
        """Deal with the frame at the front."""
        head = codec.FRAME_HEAD.size
        if len(self._buffer) - self._at < head and not self._gather(head):
            return None
        kind, channel, size = _UNPACK_FRAME(self._buffer, self._at)
        if size + AROUND_BYTES > self.frame_bytes_max + AMQP_FRAME_BYTES_GRACE:
            return self._lost(f"a frame of {size + AROUND_BYTES} bytes; {self.frame_bytes_max} is what was agreed")
        end = self._at + AROUND_BYTES + size
        if end > len(self._buffer):
            if not self._gather(AROUND_BYTES + size):
                return None
            end = self._at + AROUND_BYTES + size
        if self._buffer[end - 1] != FRAME_END:
            return self._lost(f"a frame that ends with the octet {self._buffer[end - 1]} instead of {FRAME_END}")
        start, self._at = self._at + codec.FRAME_HEAD.size, end
        if kind == METHOD:
            return self._method(channel, start, end - 1)
        if kind == HEADER:
            return self._header(channel, start, end - 1)
        if kind == BODY:
            return self._body(channel, start, end - 1)
        return self._rest(kind, channel, size)

    def _rest(self, kind: int, channel: int, size: int) -> Violation | _Skip:
        if kind != HEARTBEAT:
            return self._lost(f"a frame of the unknown type {kind}")
        if channel:
            return self._hard(505, f"a heartbeat on channel {channel}", channel)
        if size:
            return self._hard(501, f"a heartbeat with {size} bytes in it")
        return _SKIP

    def _lose(self) -> None:
        self.is_lost = True
        self.close()
        self._buffer, self._at = b"", 0
        self._pending = bytearray()

    def _search(self, data: bytes) -> None:
        """Look for the answer to a close among bytes that mean nothing else any more."""
        if self._tail != _CLOSE_OK:
            whole = self._tail + data
            self._tail = _CLOSE_OK if _CLOSE_OK in whole else whole[1 - len(_CLOSE_OK) :]

    def _lost(self, text: str) -> Violation:
        """The frames cannot be told apart from here on."""
        self._lose()
        return _violation(501, text)

    def _hard(self, code: int, text: str, channel: int = 0, number: int = 0) -> Violation | _Skip:
        """The connection has to end; nothing more is said of one that ends already."""
        if self._closing:
            return _SKIP
        self.close()
        return _violation(code, f"{text} (channel {channel})" if channel else text, 0, number)

    # ---- methods -------------------------------------------------------------------------------------------------

    def _method(self, channel: int, start: int, end: int) -> Event | _Skip:
        buffer = self._buffer
        number = int.from_bytes(buffer[start : start + 4], "big") if end - start >= 4 else 0
        if channel and self._channels.get(channel, _CLOSING) is None:
            if number == _PUBLISH and self._from_client:
                return self._publish(channel, start, end)
            if end - start == _SETTLE_BYTES and number in _SETTLES:
                if (
                    number == _ACK
                    and self._from_client
                    and buffer[self._at : self._at + 11] == buffer[start - 7 : start + 4]
                ):
                    return self._acked(channel, start - 7)
                _, tag, bits = _SETTLE.unpack_from(buffer, start)
                return Called(channel, _settle(number, tag, bits))
        refused = self._refusal(channel, number)
        if refused is not None:
            return refused
        return self._decoded(channel, number, start, end)

    def _acked(self, channel: int, start: int) -> Event:
        """All that follow one behind the other, read at once: clients acknowledge one by one."""
        size = _ACK_FRAME.size
        piece = self._buffer[start : start + AMQP_ACKS_MAX * size]
        prefix, tags = piece[:11], list[int]()
        for head, tag, multiple, last in _ACK_FRAME.iter_unpack(piece[: len(piece) // size * size]):
            if head != prefix or multiple or last != FRAME_END:
                break
            tags.append(tag)
        if len(tags) > 1:
            self._at = start + len(tags) * size
            return Acked(channel, tags)
        _, tag, multiple, _ = _ACK_FRAME.unpack_from(piece)
        return Called(channel, _settle(_ACK, tag, multiple))

    def _refusal(self, channel: int, number: int) -> Violation | _Skip | None:
        """What is wrong with a method at this moment, or that it is not to be seen; None when it may be."""
        if self._closing:
            return None if not channel and number in _CLOSES else _SKIP
        on_connection = number >> 16 == _CONNECTION
        if on_connection != (channel == 0):
            return self._hard(503, f"the method {_named(number)} on channel {channel}", 0, number)
        if not channel:
            return None
        if not self._opened:
            return self._hard(503, f"the method {_named(number)} before a virtual host was entered", channel, number)
        if channel not in self._channels:
            return self._unopened(channel, number)
        state = self._channels[channel]
        if state is _CLOSING:
            return None if number in _CHANNEL_CLOSES else _SKIP
        if number == _OPEN:
            return self._hard(504, "second 'channel.open' seen", channel, number)
        if state is not None:
            return self._hard(505, f"expected content, got the method {_named(number)}", channel, number)
        return None

    def _unopened(self, channel: int, number: int) -> Violation | _Skip | None:
        """A method on a channel that is not open. Closes can cross, so one more of them is no fault."""
        if number == methods.ChannelClose.METHOD:
            return None
        if number == methods.ChannelCloseOk.METHOD:
            return _SKIP
        if number != _OPEN and self._from_client:
            return self._hard(504, "expected 'channel.open'", channel, number)
        if channel > self.channels_max:
            return self._hard(504, f"channel {channel}; {self.channels_max} is the highest that was agreed", 0, number)
        self._channels[channel] = None
        return None

    def _decoded(self, channel: int, number: int, start: int, end: int) -> Event | _Skip:
        try:
            method = codec.decode_method(self._buffer, start, end)
        except Malformed as error:
            return self._hard(error.code, str(error), channel, number)
        kind = type(method)
        if kind not in self._allowed:
            side = "client" if self._from_client else "server"
            return self._hard(503, f"the method {method.NAME}, which no {side} sends", channel, number)
        if number in _CHANNEL_CLOSES:
            self._drop(channel)
            if number == methods.ChannelCloseOk.METHOD or self._channels.get(channel) is not _CLOSING:
                self._channels.pop(channel, None)
        if kind in methods.WITH_CONTENT:
            self._channels[channel] = _Content(method)
            return _SKIP
        return Called(channel, method)

    # ---- content -------------------------------------------------------------------------------------------------

    def _publish(self, channel: int, start: int, end: int) -> Event | _Skip:
        """basic.publish on an idle channel, with its message when that lies behind it whole."""
        arguments = self._buffer[start + 6 : end]
        address = self._addresses.get(arguments)
        if address is None:
            try:
                method = cast("methods.BasicPublish", codec.decode_method(self._buffer, start, end))
            except Malformed as error:
                return self._hard(error.code, str(error), channel, _PUBLISH)
            address = method.exchange, method.routing_key, method.mandatory, method.immediate
            self._remember(arguments, address)
        whole = self._whole(channel)
        if whole is not None:
            exchange, key, mandatory, immediate = address
            return Published(channel, exchange, key, mandatory, immediate, whole[0], whole[1])
        self._channels[channel] = _Content(methods.BasicPublish(0, *address))
        return _SKIP

    def _remember(self, arguments: bytes, address: tuple[str, str, bool, bool]) -> None:
        if len(self._addresses) >= AMQP_CACHED_MAX:
            self._addresses.clear()
        self._addresses[arguments] = address

    def _whole(self, channel: int) -> tuple[bytes, bytes] | None:
        """Properties and body that lie ahead in one header and at most one body; else None, and nothing is taken.

        What is not exactly as it should be is left to the long way, which says what is wrong.
        """
        buffer, at = self._buffer, self._at
        if len(buffer) - at < _HEADER.size + 3:
            return None
        kind, on, size, class_id, weight, body_bytes = _UNPACK_HEADER(buffer, at)
        end = at + AROUND_BYTES + size
        if (
            (kind, on, class_id, weight) != (HEADER, channel, BASIC, 0)
            or end > len(buffer)
            or buffer[end - 1] != FRAME_END
            or size + AROUND_BYTES > self.frame_bytes_max
            or body_bytes > self.body_bytes_max
        ):
            return None
        raw = buffer[at + _HEADER.size : end - 1]
        if raw not in self._known and not self._check(raw):
            return None
        if not body_bytes:
            self._at = end
            return raw, b""
        start = end + codec.FRAME_HEAD.size
        end = start + body_bytes + 1
        if end > len(buffer) or body_bytes + AROUND_BYTES > self.frame_bytes_max or buffer[end - 1] != FRAME_END:
            return None
        if _UNPACK_FRAME(buffer, start - codec.FRAME_HEAD.size) != (BODY, channel, body_bytes):
            return None
        self._at = end
        return raw, buffer[start : end - 1]

    def _check(self, raw: bytes) -> bool:
        """Whether properties are well-formed (A4)."""
        try:
            properties.check(raw)
        except Malformed:
            return False
        if len(raw) <= AMQP_CACHED_BYTES:
            if len(self._known) >= AMQP_CACHED_MAX:
                self._known.clear()
            self._known.add(raw)
        return True

    def _collecting(self, channel: int, what: str) -> _Content | Violation | _Skip:
        """The message that a frame of content belongs to, or what is wrong with that."""
        state = self._channels.get(channel)
        if self._closing or state is _CLOSING:
            return _SKIP
        if isinstance(state, _Content):
            return state
        if channel not in self._channels:
            return (
                self._hard(504, "expected 'channel.open'", channel)
                if channel
                else self._hard(505, f"{what} on channel 0")
            )
        return self._hard(505, f"expected a method, got {what}", channel)

    def _header(self, channel: int, start: int, end: int) -> Event | _Skip:
        content = self._collecting(channel, "a content header")
        if not isinstance(content, _Content):
            return content
        number = content.method.METHOD
        if content.left >= 0:
            return self._hard(505, "expected a content body, got another content header", channel, number)
        if end - start < _CONTENT_HEAD_BYTES:
            return self._hard(501, f"a content header of {end - start} bytes", channel, number)
        class_id, _, size = codec.CONTENT_HEAD.unpack_from(self._buffer, start)
        if class_id != BASIC:
            return self._hard(
                505, f"expected a content header of class {BASIC}, got one of {class_id}", channel, number
            )
        try:
            raw = self._buffer[start + _CONTENT_HEAD_BYTES : end]
            properties.check(raw)
        except Malformed as error:
            return self._hard(error.code, str(error), channel, number)
        if size > self.body_bytes_max:
            return self._too_large(channel, size, number)
        content.properties, content.left = raw, size
        return self._finished(channel, content)

    def _too_large(self, channel: int, size: int, number: int) -> Violation:
        self.close_channel(channel)
        text = f"message size {size} is larger than configured max size {self.body_bytes_max}"
        return _violation(406, text, channel, number)

    def _body(self, channel: int, start: int, end: int) -> Event | _Skip:
        content = self._collecting(channel, "a content body")
        if not isinstance(content, _Content):
            return content
        number = content.method.METHOD
        if content.left < 0:
            return self._hard(505, "expected a content header, got a content body", channel, number)
        size = end - start
        if size > content.left:
            return self._hard(501, f"a content body that has {size - content.left} bytes too many", channel, number)
        if self._collected_bytes + size > AMQP_ASSEMBLY_BYTES_MAX:
            text = f"more than {AMQP_ASSEMBLY_BYTES_MAX} bytes of unfinished messages on the channels of one connection"
            return self._hard(506, text, channel, number)
        self._collected_bytes += size
        content.add(self._buffer[start:end])
        return self._finished(channel, content)

    def _finished(self, channel: int, content: _Content) -> Event | _Skip:
        """Give a message out when all of it is there."""
        if content.left:
            return _SKIP
        body = content.pieces[0] if len(content.pieces) == 1 else b"".join(content.pieces)
        self._collected_bytes -= len(body)
        self._channels[channel] = None
        method = content.method
        if isinstance(method, methods.BasicPublish):
            address = method.exchange, method.routing_key, method.mandatory, method.immediate
            return Published(channel, *address, content.properties, body)
        return Brought(channel, method, content.properties, body)

    def _drop(self, channel: int) -> None:
        """Forget a message that is being collected."""
        state = self._channels.get(channel)
        if isinstance(state, _Content):
            self._collected_bytes -= state.held_bytes
            self._channels[channel] = None


def _settle(number: int, tag: int, bits: int) -> Method:
    """basic.ack, basic.nack or basic.reject."""
    if number == methods.BasicAck.METHOD:
        return methods.BasicAck(tag, bool(bits & 1))
    if number == methods.BasicReject.METHOD:
        return methods.BasicReject(tag, bool(bits & 1))
    return methods.BasicNack(tag, bool(bits & 1), bool(bits & 2))


def _named(number: int) -> str:
    found = methods.BY_ID.get(number)
    return found.NAME if found is not None else f"{number >> 16}.{number & 0xFFFF}"
