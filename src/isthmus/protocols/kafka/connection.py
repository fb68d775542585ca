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
_COMPACT_BYTES: Final = 64 * 1024
"""What has been read is dropped from the buffer's front when it is this much."""


class FrameTooLong(ProtocolError):
    """A frame whose length cannot be, or is not allowed."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"a request of {size_bytes} bytes; {limit_bytes} is the most here")
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class Requests:
    """Takes bytes in and gives frames out, each with a request.

    Args:
        frame_bytes_max: the longest frame; may be changed when the peer is known.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()
        self._at = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes that are there and were not given out."""
        return len(self._buffer) - self._at

    @property
    def wanted_bytes(self) -> int:
        """Bytes that the frame at the front has in all; 0 while that is not known."""
        if self.buffered_bytes < _SIZE.size:
            return 0
        (size,) = _SIZE.unpack_from(self._buffer, self._at)
        return _SIZE.size + max(0, min(int(size), self.frame_bytes_max))

    @property
    def first(self) -> bytes:
        """The first bytes that were not given out, for telling what a stranger speaks."""
        return bytes(self._buffer[self._at : self._at + 8])

    def receive(self, data: bytes) -> None:
        """Keep what has arrived."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next frame without its length; None when it is not whole yet.

        Raises:
            FrameTooLong: nothing behind it can be read.
        """
        if self.buffered_bytes < _SIZE.size:
            return None
        (size,) = _SIZE.unpack_from(self._buffer, self._at)
        if not 0 <= size <= self.frame_bytes_max:
            raise FrameTooLong(size, self.frame_bytes_max)
        end = self._at + _SIZE.size + size
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as view:
            frame = bytes(view[self._at + _SIZE.size : end])
        self._at = end
        if self._at == len(self._buffer):
            self._buffer.clear()
            self._at = 0
        elif self._at >= _COMPACT_BYTES:
            del self._buffer[: self._at]
            self._at = 0
        return frame


class Slot:
    """The place of one answer among those of a connection.

    `size_bytes` is what its request had; `dropped` says that there will never be one, so that none behind it can leave.
    """

    __slots__ = ("done", "dropped", "header", "parts", "size_bytes")

    def __init__(self, header: RequestHeader, size_bytes: int) -> None:
        self.header = header
        self.size_bytes = size_bytes
        self.done = False
        self.dropped = False
        self.parts: list[bytes] = []

    def answer(self, parts: list[bytes]) -> None:
        """This is the answer, without its length and its header."""
        head = codec.response_header(self.header.api_key, self.header.api_version, self.header.correlation_id)
        self.raw([head, *parts])

    def raw(self, parts: list[bytes]) -> None:
        """This is the answer, with its header but without its length."""
        self.parts = [_SIZE.pack(sum(map(len, parts))), *parts]
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

    def take(self) -> list[bytes]:
        """What can be sent now."""
        parts: list[bytes] = []
        while self._slots and self._slots[0].done:
            slot = self._slots.popleft()
            self.owed_bytes -= slot.size_bytes
            parts += slot.parts
        return parts
