"""One connection of the native protocol without a socket: bytes that arrive to frames, within a bound.

Pure. It knows no message; both ends use it, each with the bound of what the other may send.
"""

from typing import Final

from msgspec import Struct

from isthmus.protocols.native.codec import HEADER, ID_BYTES
from isthmus.protocols.native.errors import NativeError

_COMPACT_BYTES: Final = 64 * 1024
"""What has been read is dropped from the buffer's front when it is this much."""


class Frame(Struct, frozen=True, gc=False):
    """One message, not looked into yet."""

    request_id: int
    body: bytes


class Frames:
    """Takes bytes in and gives frames out.

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
        if self.buffered_bytes < HEADER.size:
            return 0
        length, _ = HEADER.unpack_from(self._buffer, self._at)
        return min(HEADER.size - ID_BYTES + int(length), self.frame_bytes_max)

    def receive(self, data: bytes) -> None:
        """Keep what has arrived."""
        self._buffer += data

    def next(self) -> Frame | None:
        """The next frame; None when it is not whole yet.

        Raises:
            NativeError: one that is too long or too short. Nothing behind it can be read.
        """
        if self.buffered_bytes < HEADER.size:
            return None
        length, request_id = HEADER.unpack_from(self._buffer, self._at)
        end = HEADER.size - ID_BYTES + length
        if end > self.frame_bytes_max:
            raise NativeError(f"a frame of {end} bytes; {self.frame_bytes_max} is the most")
        if length <= ID_BYTES:
            raise NativeError(f"a frame of {end} bytes, which has no room for a message")
        if self.buffered_bytes < end:
            return None
        start, self._at = self._at + HEADER.size, self._at + end
        body = bytes(memoryview(self._buffer)[start : self._at])
        self._compact()
        return Frame(request_id, body)

    def _compact(self) -> None:
        if self._at == len(self._buffer):
            self._buffer.clear()
            self._at = 0
        elif self._at >= _COMPACT_BYTES:
            del self._buffer[: self._at]
            self._at = 0
