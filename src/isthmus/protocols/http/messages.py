"""What travels in HTTP: requests as they are handed to handlers, and responses as they are handed back.

Data, and its way into bytes; it reads no request and knows no connection.
"""

from collections.abc import AsyncGenerator
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from isthmus.errors import InvariantError, ProtocolError

Headers = tuple[tuple[str, str], ...]
"""Names and values in the order in which they came; one-byte characters."""

PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

BODILESS: Final = frozenset({204, 304})
"""Statuses whose responses have neither a body nor a length."""

TEXT: Final = "text/plain; charset=utf-8"


class Refused(ProtocolError):
    """A request that cannot be answered as it came: `status` and the text are the answer, and the connection ends."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Request(Struct, frozen=True, kw_only=True):
    """One request, whole.

    `path` and `query` are as they were sent, with their percent signs; names of headers are in lower case. `host` is
    what the request says that it is for, empty when it does not say. `keep_alive`: the peer goes on afterwards.
    """

    method: str
    target: str
    path: str
    query: str
    host: str
    headers: Headers
    body: bytes
    minor: int
    keep_alive: bool

    def header(self, name: str) -> str | None:
        """The value of a header by its name in lower case; of one that came several times, all with commas between."""
        found = [value for each, value in self.headers if each == name]
        return ", ".join(found) if found else None


class Response(Struct, frozen=True, kw_only=True):
    """One response; its length, date and what becomes of the connection are filled in on the way out.

    `close`: the connection ends with it. `parts` is a body that comes bit by bit, in chunks, and stands instead
    of `body`; peers that speak HTTP/1.0 cannot read it.
    """

    status: int = 200
    headers: Headers = ()
    body: bytes = b""
    close: bool = False
    parts: AsyncGenerator[bytes] | None = None


def plain(status: int, text: str, headers: Headers = (), *, close: bool = False) -> Response:
    """A response that is a line of text for people."""
    body = f"{text}\n".encode()
    return Response(status=status, headers=(("Content-Type", TEXT), *headers), body=body, close=close)


def encode(response: Response, *, now_ms: int, keep_alive: bool, minor: int = 1, head_only: bool = False) -> bytes:
    """A response as bytes.

    Args:
        response: see there.
        now_ms: for its date.
        keep_alive: whether the connection goes on.
        minor: of the version that the peer speaks; 0 has to be told that the connection stays open.
        head_only: leave the body away, as the answer to HEAD does, and keep its length.

    Raises:
        InvariantError: a header that would not be one header: whoever made it, has let a line break into it.
    """
    status = response.status
    lines = [f"HTTP/1.1 {status} {PHRASES.get(status, '')}", f"Date: {http_date(now_ms // 1_000)}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    if response.parts is not None:
        lines.append("Transfer-Encoding: chunked")
    elif status not in BODILESS:
        lines.append(f"Content-Length: {len(response.body)}")
    if not keep_alive:
        lines.append("Connection: close")
    elif not minor:
        lines.append("Connection: keep-alive")
    head = "\r\n".join(lines)
    if head.count("\r") + head.count("\n") != 2 * (len(lines) - 1) or "\0" in head:
        raise InvariantError(f"a response's header has a line break in it: {response.headers!r}")
    body = b"" if head_only or status in BODILESS else response.body
    return head.encode("latin-1", "replace") + b"\r\n\r\n" + body


@lru_cache(1)
def http_date(now_s: int) -> str:
    """A time in seconds since 1970 as HTTP writes it."""
    return formatdate(now_s, usegmt=True)
