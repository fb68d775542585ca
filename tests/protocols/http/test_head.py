"""Heads of requests: what is read, and everything that is refused instead of guessed."""

import pytest

from isthmus.limits import HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX, HTTP_TARGET_BYTES_MAX
from isthmus.protocols.http.head import Head, Lines, parse
from isthmus.protocols.http.messages import Refused

BODY_MAX = 1_000


def head(*lines: str, first: str = "POST /a?b=c HTTP/1.1", host: str | None = "Host: here") -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *([] if host is None else [host]), *lines, "")).encode("latin-1")


def read(raw: bytes) -> Head:
    """As a connection does it: the lines first."""
    end = Lines().end(bytearray(raw))
    assert end == len(raw)
    return parse(raw, BODY_MAX)


def status(raw: bytes) -> int:
    with pytest.raises(Refused) as caught:
        read(raw)
    return caught.value.status


class TestWhatIsRead:
    def test_the_parts_of_a_request(self) -> None:
        found = read(head("X-Two: a", "x-two:  b\t", "Content-Length: 7"))

        assert (found.request.method, found.request.path, found.request.query) == ("POST", "/a", "b=c")
        assert found.request.headers == (("host", "here"), ("x-two", "a"), ("x-two", "b"), ("content-length", "7"))
        assert (found.request.host, found.length, found.chunked, found.expects) == ("here", 7, False, False)

    @pytest.mark.parametrize(
        ("target", "host", "path", "query"),
        [
            ("/", "here", "/", ""),
            ("/a%20b?x?y", "here", "/a%20b", "x?y"),
            ("http://there:81/p?q", "there:81", "/p", "q"),
            ("HTTP://there", "there", "/", ""),
            ("http://there?q/r", "there", "/", "q/r"),
            ("//evil/x", "here", "//evil/x", ""),
        ],
    )
    def test_an_address_may_have_a_host_in_it(self, target: str, host: str, path: str, query: str) -> None:
        request = read(head(first=f"GET {target} HTTP/1.1")).request

        assert (request.host, request.path, request.query) == (host, path, query)

    def test_a_star_is_an_address_for_options(self) -> None:
        assert read(head(first="OPTIONS * HTTP/1.1")).request.path == "*"
        assert status(head(first="GET * HTTP/1.1")) == 400

    @pytest.mark.parametrize(
        ("version", "connection", "kept"),
        [
            ("1.1", None, True),
            ("1.1", "close", False),
            ("1.1", "foo, Close", False),
            ("1.0", None, False),
            ("1.0", "Keep-Alive", True),
        ],
    )
    def test_who_keeps_the_connection(self, version: str, connection: str | None, kept: bool) -> None:
        lines = [] if connection is None else [f"Connection: {connection}"]

        assert read(head(*lines, first=f"GET / HTTP/{version}")).request.keep_alive is kept

    def test_an_offer_to_speak_something_else_is_passed_over(self) -> None:
        assert read(head("Connection: Upgrade", "Upgrade: h2c")).request.path == "/a"

    def test_a_body_in_chunks(self) -> None:
        assert read(head("Transfer-Encoding: Chunked")).chunked

    def test_the_older_version_needs_no_host_and_waits_for_no_word(self) -> None:
        found = read(head("Expect: 100-continue", "Content-Length: 1", first="POST / HTTP/1.0", host=None))

        assert (found.request.host, found.expects) == ("", False)


class TestWhereTheBodyEnds:
    """Whatever two parties could read in two ways is refused: that is how requests are smuggled."""

    @pytest.mark.parametrize(
        "lines",
        [
            ("Content-Length: 5", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", "Content-Length: 5"),
            ("Content-Length: 5", "Content-Length: 5"),
            ("Content-Length: 5", "Content-Length: 6"),
            ("Content-Length: 5, 5",),
            ("Content-Length: +5",),
            ("Content-Length: -5",),
            ("Content-Length: 0x5",),
            ("Content-Length: ",),
            ("Content-Length: 5 5",),
            ("Content-Length: " + "9" * 40,),
            ("Content-Length : 5",),
            ("Content-Length\t: 5",),
            ("Transfer-Encoding : chunked",),
            ("X: y\r\n Content-Length: 5",),
            ("X: y\nContent-Length: 5",),
            ("X: y\rContent-Length: 5",),
            ("X: y\0z",),
            (": x",),
            ("no colon",),
        ],
    )
    def test_what_could_be_read_in_two_ways_is_refused(self, lines: tuple[str, ...]) -> None:
        assert status(head(*lines)) == 400

    @pytest.mark.parametrize(
        "value", ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "chunked;a=b", "\x0bchunked", ""]
    )
    def test_no_other_coding_than_chunked(self, value: str) -> None:
        assert status(head(f"Transfer-Encoding: {value}")) in {400, 501}

    def test_two_codings_in_two_headers(self) -> None:
        assert status(head("Transfer-Encoding: chunked", "Transfer-Encoding: identity")) in {400, 501}

    def test_no_chunks_from_the_older_version(self) -> None:
        assert status(head("Transfer-Encoding: chunked", first="POST / HTTP/1.0")) == 400

    def test_a_body_that_is_too_large_is_refused_before_it_comes(self) -> None:
        assert read(head(f"Content-Length: {BODY_MAX}")).length == BODY_MAX
        assert status(head(f"Content-Length: {BODY_MAX + 1}")) == 413


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("first", "expected"),
        [
            ("GET / HTTP/2.0", 505),
            ("PRI * HTTP/2.0", 505),
            ("GET / HTTP/0.9", 505),
            ("GET / HTTP/3.7", 505),
            ("GET /", 400),
            ("GET  / HTTP/1.1", 400),
            ("GET / x HTTP/1.1", 400),
            ("get / HTTP/1.1", 400),
            ("BREW / HTTP/1.1", 501),
            ("CONNECT a:1 HTTP/1.1", 501),
            ("GET here HTTP/1.1", 400),
            ("GET /\xe4 HTTP/1.1", 400),
            ("GET /#there HTTP/1.1", 400),
            ("\x16\x03\x01", 400),
        ],
    )
    def test_first_lines_that_can_be_none(self, first: str, expected: int) -> None:
        assert status(head(first=first)) == expected

    def test_a_request_names_its_host_once(self) -> None:
        assert status(head(host=None)) == 400
        assert status(head("Host: there")) == 400

    @pytest.mark.parametrize("host", ["a b", "a/b", "a@b", "a:b", "[::1", "a\\b", "<x>", "a:123456"])
    def test_a_host_that_can_be_none(self, host: str) -> None:
        assert status(head(host=f"Host: {host}")) == 400

    @pytest.mark.parametrize("host", ["localhost:8321", "[::1]:8321", "127.0.0.1", "a-b.example", ""])
    def test_a_host_that_can_be_one(self, host: str) -> None:
        assert read(head(host=f"Host: {host}")).request.host == host

    def test_no_other_expectation_than_the_usual_one(self) -> None:
        assert read(head("Expect: 100-Continue")).expects
        assert status(head("Expect: 200-ok")) == 417

    def test_limits(self) -> None:
        longest = "/" + "a" * (HTTP_TARGET_BYTES_MAX - 1)

        assert read(head(first=f"GET {longest} HTTP/1.1")).request.path == longest
        assert status(head(first=f"GET {longest}{'a' * 64} HTTP/1.1")) == 414
        assert status(head("X: " + "y" * HTTP_HEAD_BYTES_MAX)) == 431
        assert status(head(*["X: y"] * HTTP_HEADERS_MAX)) == 431


def test_too_much_is_refused_before_its_end_has_come() -> None:
    first, rest = bytearray(b"GET /" + b"a" * 9_000), bytearray(b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000)

    with pytest.raises(Refused, match="address"):
        Lines().end(first)
    with pytest.raises(Refused, match="head"):
        Lines().end(rest)
