"""The head of a request: its lines, judged as they come, and what they say once the last of them is there.

It decides where a request's body ends, and refuses every head that somebody else on the way could read otherwise. It
holds no connection.

Spec: RFC 9112 (HTTP/1.1), RFC 9110 sections 5 and 7.

Invariants:
    H1: how the bytes were cut on their way changes neither what is accepted nor what is said: lines are judged in
        order, each as soon as its end or its limit is there.
    H2: there is one way to read where the body ends, or the request is refused.
"""

import re
from typing import Final

import httptools
from msgspec import Struct

from isthmus.limits import HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_TARGET_BYTES_MAX
from isthmus.protocols.http.messages import Headers, Refused, Request

FIRST_LINE_BYTES_MAX: Final = HTTP_TARGET_BYTES_MAX + 32
"""The target with a method before it and a version behind it."""

DIGITS_MAX: Final = 19
"""Of a Content-Length: more are no 63-bit number."""

HOST: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\])(?::[0-9]{0,5})?")
CHUNKED: Final = "chunked"
FIRST_LINE: Final = re.compile(rb"[A-Z-]+ [^ \r]+ HTTP/([0-9]\.[0-9])\r")
VERSIONS: Final = {b"1.0": 0, b"1.1": 1}


class Head(Struct, frozen=True, kw_only=True):
    """A head, and how the body behind it is framed: `length` bytes, or in chunks. `expects`: the peer waits with the
    body until it is told to go on.
    """

    request: Request
    length: int
    chunked: bool
    expects: bool


class Lines:
    """Looks for the end of a head in a buffer that grows, and judges its lines on the way."""

    __slots__ = ("_first_end", "_line", "_seen")

    def __init__(self) -> None:
        self._line = 0
        self._seen = 0
        self._first_end = 0

    def end(self, buffer: bytearray) -> int | None:
        """Where the head ends, behind its empty line; None until that is there.

        Raises:
            Refused: a line that can be none, or too much of them.
        """
        if buffer and not 0x41 <= buffer[0] <= 0x5A:
            raise Refused(400, "this is no HTTP request: it does not begin with a method such as GET")
        while True:
            at = buffer.find(b"\n", self._seen)
            self._check_size(len(buffer) if at < 0 else at + 1)
            if at < 0:
                self._seen = len(buffer)
                return None
            self._seen = at + 1
            if not at or buffer[at - 1] != 0x0D or buffer.find(b"\r", self._line, at - 1) >= 0:
                raise Refused(400, "lines of a request end with a carriage return and a line feed")
            if at - 1 == self._line and self._first_end:
                return at + 1
            if self._first_end and buffer[self._line] in b" \t":
                raise Refused(400, "a header may not go on in a second line")
            self._first_end = self._first_end or at + 1
            self._line = at + 1

    def _check_size(self, seen: int) -> None:
        if not self._first_end and seen > FIRST_LINE_BYTES_MAX:
            raise Refused(414, f"the address of a request may have {HTTP_TARGET_BYTES_MAX} bytes")
        if seen > HTTP_HEAD_BYTES_MAX:
            raise Refused(431, f"the head of a request may have {HTTP_HEAD_BYTES_MAX} bytes")


class _Found:
    """What httptools calls back with."""

    __slots__ = ("complete", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[str, str]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


def parse(raw: bytes, body_bytes_max: int) -> Head:
    """What a head says whose lines `Lines` has let through.

    Raises:
        Refused: it cannot be, is not done here, or says two things at once.
    """
    first = FIRST_LINE.match(raw)
    if first is None:
        raise Refused(400, "a request begins with a method, an address and a version, with one space between each")
    minor = VERSIONS.get(first[1])
    if minor is None:
        raise Refused(505, f"HTTP/{first[1].decode()} is not spoken here; use HTTP/1.1")
    found, method = _parsed(raw)
    if method == "CONNECT":
        raise Refused(501, "this is no proxy: there is no CONNECT")
    if len(found.headers) > HTTP_HEADERS_MAX:
        raise Refused(431, f"a request may have {HTTP_HEADERS_MAX} headers")
    headers = tuple(found.headers)
    host, path, query = _addressed(found.target, headers, method, minor)
    length, chunked = _framing(headers, minor, body_bytes_max)
    request = Request(
        method=method,
        target=found.target.decode("ascii"),
        path=path,
        query=query,
        host=host,
        headers=headers,
        body=b"",
        minor=minor,
        keep_alive=_keeps_alive(headers, minor),
    )
    return Head(request=request, length=length, chunked=chunked, expects=_expects(headers, minor))


def _parsed(raw: bytes) -> tuple[_Found, str]:
    found = _Found()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # to speak something else is an offer that need not be taken
    except httptools.HttpParserInvalidMethodError as error:
        raise Refused(501, "there is no such method") from error
    except httptools.HttpParserError as error:
        raise Refused(400, f"the request cannot be read: {error}") from error
    if not found.complete:
        raise Refused(400, "the request cannot be read: its head does not end where its lines do")
    return found, parser.get_method().decode("ascii")


def _addressed(target: bytes, headers: Headers, method: str, minor: int) -> tuple[str, str, str]:
    """Host, path and query; an address with a host in it wins over the header, as the standard has it."""
    text = target.decode("latin-1")
    if not text.isascii() or not text.isprintable() or "#" in text:
        raise Refused(400, "the address of a request has characters that have to be written with percent signs")
    hosts = [value for name, value in headers if name == "host"]
    if len(hosts) > 1 or (minor and not hosts):
        raise Refused(400, "a request names its host once")
    host = hosts[0] if hosts else ""
    if text.lower().startswith(("http://", "https://")):
        host, slash, rest = text.partition("://")[2].partition("/")
        host, mark, asked = host.partition("?")
        text = f"/{mark}{asked}{slash}{rest}" if mark else f"/{rest}"
    elif not text.startswith("/") and (text, method) != ("*", "OPTIONS"):
        raise Refused(400, "the address of a request begins with a slash")
    if not HOST.fullmatch(host):
        raise Refused(400, "the host that the request names can be none")
    path, _, query = text.partition("?")
    return host, path, query


def _framing(headers: Headers, minor: int, body_bytes_max: int) -> tuple[int, bool]:
    """How long the body is, and whether it comes in chunks (H2)."""
    codings = [value for name, value in headers if name == "transfer-encoding"]
    lengths = [value for name, value in headers if name == "content-length"]
    if codings and (lengths or not minor):
        raise Refused(400, "a body comes in chunks or with its length, and in chunks since HTTP/1.1 only")
    if codings:
        if len(codings) > 1 or codings[0].lower() != CHUNKED:
            raise Refused(501, "the only Transfer-Encoding here is chunked")
        return 0, True
    if not lengths:
        return 0, False
    text = lengths[0]
    if len(lengths) > 1 or not (text.isascii() and text.isdigit()) or len(text) > DIGITS_MAX:
        raise Refused(400, "Content-Length is one number")
    if int(text) > body_bytes_max:
        raise Refused(413, f"a body may have {body_bytes_max} bytes, and this one has {text}")
    return int(text), False


def _keeps_alive(headers: Headers, minor: int) -> bool:
    options = {option.strip().lower() for name, value in headers if name == "connection" for option in value.split(",")}
    return "close" not in options and (minor > 0 or "keep-alive" in options)


def _expects(headers: Headers, minor: int) -> bool:
    """Whether the peer waits for a word before it sends the body; from HTTP/1.0 that means nothing."""
    asked = [value.lower() for name, value in headers if name == "expect"]
    if asked and any(each != "100-continue" for each in asked):
        raise Refused(417, "the only expectation that is met here is 100-continue")
    return bool(asked) and minor > 0
