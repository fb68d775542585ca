"""A body that comes in chunks: the chunks are taken out of a buffer and put together.

It is stricter than the standard asks, so that nobody on the way can have read the body otherwise. It knows no head.

Spec: RFC 9112 section 7.1.
"""

import re
from typing import Final

from isthmus.limits import HTTP_CHUNK_LINE_BYTES_MAX, HTTP_CHUNKS_STEP, HTTP_HEAD_BYTES_MAX
from isthmus.protocols.http.messages import Refused

SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
TRAILER: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class Chunked:
    """One body in chunks. `body` is what there is of it; what comes behind it as headers is read over."""

    __slots__ = ("_ending", "_left", "_limit", "_trailer_bytes", "_trailers", "body", "done")

    def __init__(self, body_bytes_max: int) -> None:
        self._limit = body_bytes_max
        self._left = 0
        self._ending = False
        self._trailers = False
        self._trailer_bytes = 0
        self.body = bytearray()
        self.done = False

    def take(self, buffer: bytearray) -> bool:
        """Take from the front of the buffer what belongs to the body; whether it may go on without more bytes.

        Raises:
            Refused: something that is no chunk, or a body that gets too large.
        """
        position = steps = 0
        while not self.done and steps < HTTP_CHUNKS_STEP:
            taken = self._piece(buffer, position) if self._left else self._line(buffer, position)
            if not taken:
                break
            position += taken
            steps += 1
        del buffer[:position]
        return steps == HTTP_CHUNKS_STEP and not self.done

    def _piece(self, buffer: bytearray, position: int) -> int:
        piece = buffer[position : position + self._left]
        self.body += piece
        self._left -= len(piece)
        self._ending = not self._left
        return len(piece)

    def _line(self, buffer: bytearray, position: int) -> int:
        """Bytes of the next line, 0 when its end is not there."""
        limit = 2 if self._ending else HTTP_CHUNK_LINE_BYTES_MAX
        if self._trailers:
            limit = HTTP_HEAD_BYTES_MAX - self._trailer_bytes
        at = buffer.find(b"\n", position, position + limit)
        if at < 0:
            if len(buffer) - position >= limit:
                raise _broken("a line of it is too long")
            return 0
        line = bytes(buffer[position : at + 1])
        if not line.endswith(b"\r\n"):
            raise _broken("its lines end with a carriage return and a line feed")
        self._read(line[:-2])
        return len(line)

    def _read(self, line: bytes) -> None:
        if self._ending:
            if line:
                raise _broken("a chunk is longer than it says")
            self._ending = False
        elif self._trailers:
            self._trailer(line)
        else:
            self._size(line)

    def _size(self, line: bytes) -> None:
        found = SIZE.fullmatch(line)
        if found is None:
            raise _broken("a chunk begins with its size in hexadecimal digits")
        self._left = int(found[1], 16)
        self._trailers = not self._left
        if len(self.body) + self._left > self._limit:
            raise Refused(413, f"a body may have {self._limit} bytes, and this one has more")

    def _trailer(self, line: bytes) -> None:
        if line and not TRAILER.fullmatch(line):
            raise _broken("what comes behind its last chunk is no header")
        self._trailer_bytes += len(line) + 2
        self.done = not line


def _broken(why: str) -> Refused:
    return Refused(400, f"the body in chunks cannot be read: {why}")
