"""One connection of Kafka's protocol without a socket: bytes to requests, and answers in the order of the requests.

Pure. It reads headers and no more of a message; what a request means is for the handlers.

Invariants:
    K1: answers leave in the order in which their requests came, whenever they are done.
    K2: nothing of a frame that is longer than allowed is kept.
"""

import struct
from collections import deque
from typing import Final

from isthmus.errors import ProtocolError
from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka.codec import RequestHeader

_SIZE: Final = struct.Struct(">i")
_KEY_END: Final = _SIZE.size + 2
"""Where the key of an API ends, which is the first of a request."""

_FIRST_BYTES: Final = 8
_PIECE_BYTES_MIN: Final = 4 * 1024
"""What arrives is joined with a piece before it that is smaller."""


class FrameTooLong(ProtocolError):
    """A frame whose length cannot be, or is not allowed."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"a request of {size_bytes} bytes; {limit_bytes} is the most here")
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class Requests:
    """Takes bytes in and gives frames out, each with a request.

    What arrives stays in the pieces in which it came until a frame is whole, and is copied once then.

    Args:
        frame_bytes_max: the longest frame; may be changed when the peer is known.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._pieces: deque[bytes] = deque()
        self._at = 0
        """What was given out of the first piece."""
        self._left = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are there and were not given out."""
        return self._left

    @property
    def wanted_bytes(self) -> int:
        """Bytes that the frame at the front has in all; 0 while that is not known."""
        if self._left < _SIZE.size:
            return 0
        return _SIZE.size + max(0, min(self._length(), self.frame_bytes_max))

    @property
    def api_key(self) -> int | None:
        """What the frame at the front asks for; None while that is not known."""
        if self._left < _KEY_END:
            return None
        self._gather(_KEY_END)
        at = self._at + _SIZE.size
        return int.from_bytes(self._pieces[0][at : at + 2], "big", signed=True)

    @property
    def first(self) -> bytes:
        """The first bytes that were not given out, for telling what a stranger speaks."""
        self._gather(min(_FIRST_BYTES, self._left))
        return self._pieces[0][self._at : self._at + _FIRST_BYTES] if self._left else b""

    def receive(self, data: bytes) -> None:
        """Keep what has arrived. Small pieces are joined, since each costs memory of its own."""
        if not data:
            return
        self._left += len(data)
        if self._pieces and len(self._pieces[-1]) < _PIECE_BYTES_MIN:
            data = self._pieces.pop() + data
        self._pieces.append(data)

    def next(self) -> bytes | None:
        """The next frame without its length; None when it is not whole yet.

        Raises:
            FrameTooLong: nothing behind it can be read.
        """
        if self._left < _SIZE.size:
            return None
        size = self._length()
        if not 0 <= size <= self.frame_bytes_max:
            raise FrameTooLong(size, self.frame_bytes_max)
        if self._left < _SIZE.size + size:
            return None
        self._at += _SIZE.size
        self._left -= _SIZE.size
        return self._take(size)

    def _length(self) -> int:
        """What the frame at the front says."""
        if len(self._pieces[0]) - self._at < _SIZE.size:
            self._gather(_SIZE.size)
        (size,) = _SIZE.unpack_from(self._pieces[0], self._at)
        return int(size)

    def _gather(self, count: int) -> None:
        """Join pieces until the first one has so many bytes that were not given out."""
        while self._left and len(self._pieces[0]) - self._at < count:
            first = self._pieces.popleft()[self._at :]
            self._at = 0
            self._pieces[0] = first + self._pieces[0]

    def _take(self, count: int) -> bytes:
        """Give out so many bytes, which are there."""
        pieces = self._pieces
        self._left -= count
        end = self._at + count
        if end < len(pieces[0]):
            data = pieces[0][self._at : end]
            self._at = end
            return data
        parts = [memoryview(pieces.popleft())[self._at :]]
        count -= len(parts[0])
        while count and count >= len(pieces[0]):
            parts.append(memoryview(pieces.popleft()))
            count -= len(parts[-1])
        if count:
            parts.append(memoryview(pieces[0])[:count])
        self._at = count
        return b"".join(parts)


class Slot:
    """The place of one answer among those of a connection.

    `size_bytes` is what its request had, and what its answer may have where that is much; `dropped` says that there
    will never be one, so that none behind it can leave.
    """

    __slots__ = ("answer_bytes", "done", "dropped", "header", "parts", "size_bytes")

    def __init__(self, header: RequestHeader, size_bytes: int) -> None:
        self.header = header
        self.size_bytes = size_bytes
        self.done = False
        self.dropped = False
        self.parts: list[bytes] = []
        self.answer_bytes = 0

    def answer(self, parts: list[bytes]) -> None:
        """This is the answer, without its length and its header."""
        head = codec.response_header(self.header.api_key, self.header.api_version, self.header.correlation_id)
        self.raw([head, *parts])

    def raw(self, parts: list[bytes]) -> None:
        """This is the answer, with its header but without its length."""
        size = sum(map(len, parts))
        self.parts = [_SIZE.pack(size), *parts]
        self.answer_bytes = size
        self.done = True

    def nothing(self) -> None:
        """The request has no answer (produce with acks 0)."""
        self.done = True


class Answers:
    """The answers that are owed, in order (K1)."""

    def __init__(self) -> None:
        self._slots: deque[Slot] = deque()
        self.owed_bytes = 0

    @property
    def owed(self) -> int:
        """How many requests are not answered yet."""
        return len(self._slots)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can leave."""
        for slot in self._slots:
            if slot.dropped:
                return True
            if not slot.done:
                return False
        return True

    def expect(self, header: RequestHeader, size_bytes: int) -> Slot:
        """A request has begun: its answer comes here."""
        slot = Slot(header, size_bytes)
        self._slots.append(slot)
        self.owed_bytes += size_bytes
        return slot

    @property
    def has_more(self) -> bool:
        """Whether there is something to send."""
        return bool(self._slots) and self._slots[0].done

    def take(self, limit_bytes: int | None = None) -> list[bytes]:
        """What can be sent now: answers until they reach the limit, so that at least one leaves whole."""
        parts: list[bytes] = []
        taken_bytes = 0
        while self._slots and self._slots[0].done and (limit_bytes is None or taken_bytes < limit_bytes):
            slot = self._slots.popleft()
            self.owed_bytes -= slot.size_bytes
            taken_bytes += slot.answer_bytes
            parts += slot.parts
        return parts
