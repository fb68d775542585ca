"""Responses as bytes, and what a request says of itself."""

import pytest

from isthmus.errors import InvariantError
from isthmus.protocols.http.messages import Request, Response, encode, http_date, plain

NOW_MS = 784_111_777_000


def a_request(**fields: object) -> Request:
    known: dict[str, object] = {
        "method": "GET", "target": "/", "path": "/", "query": "", "host": "h", "headers": (), "body": b"",
        "minor": 1, "keep_alive": True,
    }  # fmt: skip
    return Request(**(known | fields))  # type: ignore[arg-type]  # as the caller says


def test_a_response_has_its_date_and_length() -> None:
    raw = encode(plain(200, "hello"), now_ms=NOW_MS, keep_alive=True)

    assert raw == (
        b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 6\r\n\r\nhello\n"
    )


def test_the_answer_to_head_keeps_the_length_and_leaves_the_body_away() -> None:
    raw = encode(Response(body=b"12345"), now_ms=NOW_MS, keep_alive=True, head_only=True)

    assert raw.endswith(b"Content-Length: 5\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    raw = encode(Response(status=status, body=b"x"), now_ms=NOW_MS, keep_alive=True)

    assert b"Content-Length" not in raw
    assert raw.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("keep_alive", "minor", "said"),
    [(True, 1, b""), (False, 1, b"Connection: close"), (True, 0, b"Connection: keep-alive")],
)
def test_the_peer_is_told_what_it_cannot_know_of_the_connection(keep_alive: bool, minor: int, said: bytes) -> None:
    raw = encode(Response(), now_ms=NOW_MS, keep_alive=keep_alive, minor=minor)

    assert (b"Connection" in raw) == bool(said)
    assert said in raw


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
def test_a_header_cannot_become_two(value: str) -> None:
    with pytest.raises(InvariantError):
        encode(Response(headers=(("X", value),)), now_ms=NOW_MS, keep_alive=True)


def test_a_header_that_came_twice_is_one_with_a_comma() -> None:
    request = a_request(headers=(("accept", "a"), ("x", "y"), ("accept", "b")))

    assert request.header("accept") == "a, b"
    assert request.header("missing") is None


def test_dates_are_written_as_the_standard_has_them() -> None:
    assert http_date(NOW_MS // 1_000) == "Sun, 06 Nov 1994 08:49:37 GMT"
