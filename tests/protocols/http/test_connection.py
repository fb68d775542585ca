"""A connection: requests out of bytes however these are cut, and responses in the order of their requests."""

from collections.abc import AsyncGenerator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import InvariantError
from isthmus.limits import HTTP_PIPELINE_MAX
from isthmus.protocols.http.connection import CONTINUE, Connection, Exchange, Progress
from isthmus.protocols.http.messages import Request, Response, plain

NOW_MS = 784_111_777_000
GET = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
EXPECTS = b"PUT /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"


def begun(connection: Connection, count: int = 100) -> list[Exchange]:
    """The requests that can be begun now."""
    found: list[Exchange] = []
    while len(found) < count:
        step = connection.advance(NOW_MS)
        if isinstance(step, Exchange):
            found.append(step)
        elif step is not Progress.MORE:
            break
    return found


def after(*parts: bytes) -> tuple[Connection, list[Exchange]]:
    connection = Connection()
    found: list[Exchange] = []
    for part in parts:
        connection.receive(part)
        found += begun(connection)
    return connection, found


def paths(exchanges: Iterable[Exchange]) -> list[str]:
    return [exchange.request.path for exchange in exchanges if exchange.request is not None]


def sent(connection: Connection) -> bytes:
    return b"".join(connection.data_to_send())


def ok(connection: Connection, exchange: Exchange, text: str = "ok") -> None:
    connection.answer(exchange, plain(200, text), NOW_MS)


class TestRequests:
    def test_a_request_is_begun_when_it_is_there_whole(self) -> None:
        connection, found = after(POST[:-1])

        assert found == []
        assert (connection.buffered_bytes, connection.wanted_bytes) == (4, 5)
        connection.receive(POST[-1:])
        (exchange,) = begun(connection)
        assert exchange.request is not None
        assert exchange.request.body == b"hello"
        assert (connection.buffered_bytes, connection.wanted_bytes) == (0, 0)

    def test_several_in_one_piece(self) -> None:
        _, found = after(GET % 1 + CHUNKS + POST + GET % 2)

        assert paths(found) == ["/1", "/c", "/p", "/2"]

    def test_an_empty_line_between_requests_is_read_over_but_not_two(self) -> None:
        _, one = after(b"\r\n" + GET % 1 + b"\r\n" + GET % 2)
        connection, two = after(b"\r\n\r\n" + GET % 1)

        assert paths(one) == ["/1", "/2"]
        assert paths(two) == []
        assert sent(connection).startswith(b"HTTP/1.1 400 ")

    def test_too_many_at_once_wait(self) -> None:
        connection, found = after(GET % 1 * (HTTP_PIPELINE_MAX + 1))

        assert len(found) == HTTP_PIPELINE_MAX
        assert connection.advance(NOW_MS) is Progress.FULL
        ok(connection, found[0])
        assert len(begun(connection)) == 1

    def test_where_answers_are_large_each_request_waits_for_the_one_before(self) -> None:
        connection = Connection(pipeline_max=1)
        connection.receive(GET % 1 + GET % 2)

        (first,) = begun(connection)
        assert connection.advance(NOW_MS) is Progress.FULL
        ok(connection, first)

        assert paths(begun(connection)) == ["/2"]


class TestResponses:
    def test_they_leave_in_the_order_of_the_requests(self) -> None:
        connection, (first, second, third) = after(GET % 1 + GET % 2 + GET % 3)

        ok(connection, second, "two")
        assert sent(connection) == b""
        ok(connection, first, "one")
        both = sent(connection)
        ok(connection, third, "three")

        assert both.index(b"one") < both.index(b"two")
        assert b"three" in sent(connection)

    def test_the_last_one_says_that_the_connection_ends(self) -> None:
        connection, found = after(GET % 1 + b"GET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + GET % 3)

        assert paths(found) == ["/1", "/2"]
        ok(connection, found[0])
        assert b"Connection: close" not in sent(connection)
        ok(connection, found[1])
        assert not connection.finished
        assert b"Connection: close" in sent(connection)
        assert connection.finished

    def test_a_response_that_ends_the_connection_is_the_last(self) -> None:
        connection, (first, second) = after(GET % 1 + GET % 2)

        connection.answer(first, Response(close=True), NOW_MS)
        ok(connection, second)

        assert sent(connection).count(b"HTTP/1.1 200") == 1
        assert connection.finished
        assert begun(connection) == []

    def test_head_is_answered_without_a_body(self) -> None:
        connection, (exchange,) = after(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")

        ok(connection, exchange)

        assert sent(connection).endswith(b"Content-Length: 3\r\n\r\n")

    def test_a_request_that_cannot_be_read_is_answered_after_those_before_it(self) -> None:
        connection, (exchange,) = after(GET % 1 + b"nonsense\r\n" + GET % 2)

        assert sent(connection) == b""
        ok(connection, exchange)
        said = sent(connection)

        assert said.index(b"HTTP/1.1 200") < said.index(b"HTTP/1.1 400")
        assert b"Connection: close" in said
        assert connection.refused
        assert connection.finished

    def test_a_request_whose_rest_does_not_come_is_given_up_after_those_before_it(self) -> None:
        connection, (exchange,) = after(GET % 1 + POST[:-1])

        assert connection.arriving
        assert connection.in_body
        connection.give_up(NOW_MS)
        connection.give_up(NOW_MS)
        ok(connection, exchange)

        said = sent(connection)
        assert said.index(b"HTTP/1.1 200") < said.index(b"HTTP/1.1 408")
        assert said.count(b"HTTP/1.1 408") == 1
        assert not connection.arriving

    def test_ending_answers_what_was_begun_and_drops_the_rest(self) -> None:
        connection, (exchange,) = after(GET % 1 + POST[:-1])

        connection.end()
        connection.receive(b"o")
        assert begun(connection) == []
        ok(connection, exchange)

        assert b"Connection: close" in sent(connection)
        assert connection.finished


class TestTheWordToGoOn:
    def test_it_is_given_before_the_body(self) -> None:
        connection, _ = after(EXPECTS)

        assert sent(connection) == CONTINUE
        connection.receive(b"ab")
        assert paths(begun(connection)) == ["/e"]

    def test_it_does_not_overtake_an_answer(self) -> None:
        connection, (first,) = after(GET % 1 + EXPECTS)

        assert sent(connection) == b""
        ok(connection, first)

        assert sent(connection).endswith(CONTINUE)

    def test_it_is_not_given_for_a_body_that_is_too_large(self) -> None:
        connection, _ = after(EXPECTS.replace(b"Length: 2", b"Length: 99999999"))

        assert sent(connection).startswith(b"HTTP/1.1 413 ")


# ---- however it is cut ---------------------------------------------------------------------------------------------

GOOD = (GET % 1, POST, CHUNKS, EXPECTS + b"ab", b"\r\n" + GET % 2, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
BAD = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"\x16\x03\x01\x02\x00\x01",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    CHUNKS.replace(b"3\r\n", b"4\r\n"),
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n z\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"",
)


def outcome(parts: Iterable[bytes]) -> tuple[list[Request | None], bytes, bool]:
    """All requests, and all that was said, each being answered at once."""
    connection = Connection()
    requests: list[Request | None] = []
    said = b""
    for part in parts:
        connection.receive(part)
        while found := begun(connection, 1):
            (exchange,) = found
            requests.append(exchange.request)
            ok(connection, exchange, f"answer {len(requests)}")
        said += sent(connection)
    return requests, said, connection.finished


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(raw) + 1) for place in places}), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@given(
    st.lists(st.sampled_from(GOOD), max_size=5),
    st.sampled_from(BAD),
    st.lists(st.integers(0, 20_000), max_size=12),
)
def test_however_the_bytes_are_cut_the_same_is_read_and_said(good: list[bytes], bad: bytes, places: list[int]) -> None:
    raw = b"".join([*good, bad])

    assert outcome(cut(raw, places)) == outcome([raw])


def test_byte_by_byte_the_same_is_read_and_said() -> None:
    for bad in BAD:
        raw = b"".join([*GOOD, bad])

        assert outcome(raw[at : at + 1] for at in range(len(raw))) == outcome([raw])


def test_the_head_of_a_large_request_can_be_seen_before_its_turn() -> None:
    seen = {}
    for raw in (POST, CHUNKS, GET % 1, POST[:20], b"?"):
        connection = Connection()
        connection.receive(raw)
        seen[raw] = [head and head.path for head in (connection.heading(5), connection.heading(6))]

    assert list(seen.values()) == [["/p", None], ["/c", "/c"], [None, None], [None, None], [None, None]]
    assert after(POST)[0].heading(1) is None


async def _nothing() -> AsyncGenerator[bytes]:
    yield b""


def test_a_response_in_parts_is_chunked_and_the_next_waits_for_its_end() -> None:
    connection, (exchange,) = after(GET % 1)
    connection.answer(exchange, Response(parts=_nothing()), NOW_MS)
    connection.receive(GET % 2)
    (following,) = begun(connection)
    connection.answer(following, plain(200, "second"), NOW_MS)
    for part in (b"hello", b"x" * 17, b""):
        connection.part(exchange, part, NOW_MS)

    head, _, rest = b"".join(connection.data_to_send()).partition(b"\r\n\r\n")

    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert rest.startswith(b"5\r\nhello\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\nHTTP/1.1 200")
    assert rest.endswith(b"second\n")


def test_a_part_out_of_turn_is_a_bug() -> None:
    connection, (exchange,) = after(GET % 1)
    connection.answer(exchange, plain(200, "done"), NOW_MS)

    with pytest.raises(InvariantError, match="out of turn"):
        connection.part(exchange, b"x", NOW_MS)
