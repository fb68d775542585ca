"""One connection of HTTP/1.1, the server's side: bytes in, whole requests out; responses in, bytes out in order.

Pure: it opens no socket, knows no clock and answers nothing itself but what cannot be read. HTTP/2 will stand beside
it, with the same requests and responses.

Spec: RFC 9112; the head is `head.py`'s, chunks are `chunked.py`'s.

Invariants:
    P1: responses leave in the order of their requests, whenever they are given.
    P2: at most `pipeline_max` requests are unanswered, and at most one is being put together.
    P3: after a request that cannot be read, and after one or a response that ends the connection, nothing more is
        read and nothing more is begun.
"""

import enum
from collections import deque
from typing import Final

import msgspec

from isthmus.errors import InvariantError
from isthmus.limits import HTTP_BODY_BYTES_MAX, HTTP_CHUNK_LINE_BYTES_MAX, HTTP_PIPELINE_MAX
from isthmus.protocols.http.chunked import Chunked
from isthmus.protocols.http.head import Head, Lines, parse
from isthmus.protocols.http.messages import Refused, Request, Response, encode, plain

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
EMPTY_LINE: Final = b"\r\n"


class Progress(enum.Enum):
    """What else `Connection.advance` can say than a request."""

    IDLE = enum.auto()
    """More bytes are needed; or none will be looked at any more."""
    MORE = enum.auto()
    """There is more to do."""
    FULL = enum.auto()
    """Too many requests are unanswered; go on when one was answered."""


class Exchange:
    """A request that was begun, and its response when it is there. `request` is None where it could not be read."""

    __slots__ = ("request", "response")

    def __init__(self, request: Request | None) -> None:
        self.request = request
        self.response: Response | None = None


class Connection:
    """See the module text.

    Args:
        body_bytes_max: of one request.
        pipeline_max: how many requests may be unanswered; 1 where answers are large.
    """

    def __init__(self, body_bytes_max: int = HTTP_BODY_BYTES_MAX, pipeline_max: int = HTTP_PIPELINE_MAX) -> None:
        self._body_bytes_max = body_bytes_max
        self._pipeline_max = pipeline_max
        self._buffer = bytearray()
        self._lines = Lines()
        self._between = True
        self._head: Head | None = None
        self._chunks: Chunked | None = None
        self._open: deque[Exchange] = deque()
        self._in_parts: Exchange | None = None
        self._out: list[bytes] = []
        self._continue_due = False
        self._ended = False
        self.refused = False
        """Whether it ended because of what the peer sent, which may still be sending."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that were received and are in no request yet."""
        return len(self._buffer) + (0 if self._chunks is None else len(self._chunks.body))

    @property
    def wanted_bytes(self) -> int:
        """How many buffered bytes the request at hand needs, as far as that is known; 0 when it is not."""
        if self._chunks is not None:
            return len(self._chunks.body) + HTTP_CHUNK_LINE_BYTES_MAX
        return 0 if self._head is None else self._head.length

    @property
    def arriving(self) -> bool:
        """Whether a request has begun to arrive and is not there whole."""
        return self._head is not None or bool(self._buffer)

    @property
    def in_body(self) -> bool:
        """Whether what arrives is the body of a request: its head is there."""
        return self._head is not None

    @property
    def finished(self) -> bool:
        """Whether nothing will be read any more, and everything that was begun is answered and taken."""
        return self._ended and not self._open and not self._out

    def receive(self, data: bytes) -> None:
        """Keep what has arrived."""
        if not self._ended:
            self._buffer += data

    def heading(self, least: int) -> Request | None:
        """The head of the next request when that has a body of `least` bytes or more, or in chunks; nothing is taken.

        For whoever has to know who sends so much before it is read.
        """
        if self._ended or self._head is not None:
            return None
        try:
            end = Lines().end(self._buffer)
            head = None if end is None else parse(bytes(self._buffer[:end]), self._body_bytes_max)
        except Refused:
            return None  # it will be refused when its turn comes
        return head.request if head is not None and (head.chunked or head.length >= least) else None

    def advance(self, now_ms: int) -> Exchange | Progress:
        """Begin the next request, if it is there whole; `now_ms` dates the refusal of one that cannot be read."""
        if self._ended:
            return Progress.IDLE
        if len(self._open) >= self._pipeline_max:
            return Progress.FULL
        try:
            return self._advance()
        except Refused as refused:
            self._refuse(refused, now_ms)
            return Progress.IDLE

    def _advance(self) -> Exchange | Progress:
        if self._head is None and not self._begin():
            return Progress.IDLE
        head = self._head
        body = b"" if head is None else self._body(head)
        if head is None or body is None:
            return Progress.IDLE
        if isinstance(body, Progress):
            return body
        return self._opened(msgspec.structs.replace(head.request, body=body) if body else head.request)

    def _begin(self) -> bool:
        """Whether the head of a request is there."""
        if self._between and self._buffer.startswith(EMPTY_LINE):
            del self._buffer[: len(EMPTY_LINE)]  # one such line is read over, as the standard asks for
            self._between = False
        if self._between and self._buffer == EMPTY_LINE[:1]:
            return False
        end = self._lines.end(self._buffer)
        if end is None:
            return False
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._head = head = parse(raw, self._body_bytes_max)
        self._chunks = Chunked(self._body_bytes_max) if head.chunked else None
        if head.expects and (head.length or head.chunked):
            self._continue_due = True
            self._emit_continue()
        return True

    def _body(self, head: Head) -> bytes | Progress | None:
        """The body, or why it is not there."""
        if self._chunks is not None:
            if self._chunks.take(self._buffer):
                return Progress.MORE
            return bytes(self._chunks.body) if self._chunks.done else None
        if len(self._buffer) < head.length:
            return None
        body = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        return body

    def _opened(self, request: Request) -> Exchange:
        self._head = self._chunks = None
        self._continue_due = False
        self._lines = Lines()
        self._between = True
        if not request.keep_alive:
            self.end()
        exchange = Exchange(request)
        self._open.append(exchange)
        return exchange

    def give_up(self, now_ms: int) -> None:
        """The rest of a request does not come: say so, and end."""
        if not self._ended:
            self._refuse(Refused(408, "the rest of the request did not come in time"), now_ms)

    def _refuse(self, refused: Refused, now_ms: int) -> None:
        self.refused = True
        self.end()
        exchange = Exchange(None)
        self._open.append(exchange)
        self.answer(exchange, plain(refused.status, str(refused), close=True), now_ms)

    def end(self) -> None:
        """Read nothing more; what was begun is still answered, and the last answer says that the connection ends."""
        self._ended = True
        self._buffer.clear()
        self._head = self._chunks = None
        self._continue_due = False

    def answer(self, exchange: Exchange, response: Response, now_ms: int) -> None:
        """Give the response to a request; it leaves when those to all earlier ones have."""
        exchange.response = response
        self._answer_ready(now_ms)

    def _answer_ready(self, now_ms: int) -> None:
        while self._open and (ready := self._open[0].response) is not None:
            if self._in_parts is self._open[0]:
                return
            if ready.parts is not None:
                self._in_parts = self._open[0]
                self._emit(self._open[0].request, ready, now_ms)
                return
            self._emit(self._open.popleft().request, ready, now_ms)
        self._emit_continue()

    def part(self, exchange: Exchange, data: bytes, now_ms: int) -> None:
        """The next bit of a response that comes in parts; without data, its end, after which later ones leave.

        Raises:
            InvariantError: it is not this response's turn.
        """
        if self._in_parts is not exchange:
            raise InvariantError("a part of a response came out of turn")
        self._out.append(b"%x\r\n%b\r\n" % (len(data), data))
        if not data:
            self._in_parts = None
            self._open.popleft()
            self._answer_ready(now_ms)

    def _emit(self, request: Request | None, response: Response, now_ms: int) -> None:
        if response.close:
            self.end()
            self._open.clear()
        goes_on = not self._ended or bool(self._open)
        minor = 1 if request is None else request.minor
        head_only = request is not None and request.method == "HEAD"
        self._out.append(encode(response, now_ms=now_ms, keep_alive=goes_on, minor=minor, head_only=head_only))

    def _emit_continue(self) -> None:
        """The word to go on is an answer too: it may not overtake those to earlier requests."""
        if self._continue_due and not self._open:
            self._continue_due = False
            self._out.append(CONTINUE)

    def data_to_send(self) -> list[bytes]:
        """Take what is to be sent now, in order."""
        out, self._out = self._out, []
        return out
