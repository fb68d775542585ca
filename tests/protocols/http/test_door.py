"""HTTP through a real driver and real sockets, from clients that keep to it and clients that do not."""

import asyncio
import http.client
import logging
from collections.abc import Awaitable

import pytest

from isthmus.clock import ManualClock
from isthmus.limits import HTTP_LATE_BYTES, HTTP_LATE_MS, HTTP_LINGER_MS
from isthmus.protocols.door import Peer, Step
from isthmus.protocols.http.connection import Connection
from isthmus.protocols.http.door import HttpDoor
from isthmus.protocols.http.messages import Request, Response, plain
from support.echo import until
from support.web import Answering, listening

HOST = b"Host: h\r\n"


def echo(request: Request) -> Response:
    return plain(200, f"{request.method} {request.path} {len(request.body)}")


async def test_pythons_own_client_is_answered_on_one_connection() -> None:
    async with listening(Answering(echo).open) as port:

        def several() -> list[bytes]:
            client = http.client.HTTPConnection("127.0.0.1", port.listener.port, timeout=30)
            bodies = []
            for number in range(3):
                client.request("POST", f"/{number}", b"x" * number)
                bodies.append(client.getresponse().read())
            client.request("PUT", "/chunks", iter([b"ab", b"c"]), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
            bodies.append(client.getresponse().read())
            client.close()
            return bodies

        bodies = await asyncio.to_thread(several)

    assert bodies == [b"POST /0 0\n", b"POST /1 1\n", b"POST /2 2\n", b"PUT /chunks 3\n"]


async def test_pipelined_requests_are_answered_in_order_though_the_first_takes_longer() -> None:
    second_came = asyncio.Event()

    async def slow() -> Response:
        await second_came.wait()
        return plain(200, "slow")

    def handler(request: Request) -> Response | Awaitable[Response]:
        if request.path == "/slow":
            return slow()
        second_came.set()
        return plain(200, "fast")

    async with listening(Answering(handler).open) as port:
        said = await port.say(b"GET /slow HTTP/1.1\r\n%b\r\nGET /fast HTTP/1.1\r\n%b\r\n" % (HOST, HOST))

    assert said.index(b"slow\n") < said.index(b"fast\n")


async def test_more_requests_than_may_wait_are_all_answered() -> None:
    async def later() -> Response:
        await asyncio.sleep(0)
        return plain(200, "later")

    async with listening(Answering(lambda _: later()).open) as port:
        said = await port.say(b"GET / HTTP/1.1\r\n%b\r\n" % HOST * 100)

    assert said.count(b"later\n") == 100


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01", 400),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000, 413),
        (b"GET /%b HTTP/1.1\r\n" % (b"a" * 20_000), 414),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 60_000, 431),
    ],
)
async def test_what_cannot_be_read_is_answered_and_the_connection_ends(raw: bytes, status: int) -> None:
    async with listening(Answering(echo).open) as port:
        said = await port.say(raw, half_close=False)

    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert said.count(b"HTTP/1.1 ") == 1


async def test_a_client_that_waits_for_the_word_to_go_on_gets_it() -> None:
    async with listening(Answering(echo).open) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.listener.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        word = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"abc")
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert word == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert head.startswith(b"HTTP/1.1 200 ")


async def test_a_bug_in_a_handler_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def late() -> Response:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    def handler(request: Request) -> Response | Awaitable[Response]:
        if request.path == "/late":
            return late()
        raise ZeroDivisionError

    async with listening(Answering(handler).open) as port:
        with caplog.at_level(logging.CRITICAL, logger="isthmus.http"):
            answers = [await port.ask("/at-once"), await port.ask("/late")]

    assert [answer.status for answer in answers] == [500, 500]


async def test_what_runs_ends_with_its_connection() -> None:
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def forever() -> Response:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response()

    service = Answering(lambda _: forever())
    async with listening(service.open) as port:
        client = port.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await running.wait()
        client.close()
        await cancelled.wait()
        await until(lambda: service.gone)

    assert service.gone == 1


async def test_a_stopping_server_answers_what_it_has_begun() -> None:
    running, let_go = asyncio.Event(), asyncio.Event()

    async def slow() -> Response:
        running.set()
        await let_go.wait()
        return plain(200, "done")

    async with listening(Answering(lambda _: slow()).open) as port:
        asking = asyncio.ensure_future(port.ask("/"))
        await running.wait()
        stopping = asyncio.ensure_future(port.driver.drain(10_000))
        await asyncio.sleep(0)
        let_go.set()
        answer = await asking
        await stopping

    assert (answer.body, answer.headers["Connection"]) == (b"done\n", "close")


class Still:
    """A line that nobody drives: what a test looks at instead of a socket."""

    peer = Peer()
    congested = False
    ended = False

    def __init__(self) -> None:
        self.closed: list[str] = []

    def flush(self) -> None:
        """See `Line`."""

    def wake(self) -> None:
        """See `Line`."""

    def known(self, principal: str) -> None:
        """See `Line`."""

    def close(self, reason: str = "") -> None:
        """See `Line`."""
        self.closed.append(reason)


class TestSlowPeers:
    """The clock is the test's."""

    def door(self) -> tuple[ManualClock, Still, HttpDoor]:
        clock, line = ManualClock(), Still()
        return clock, line, HttpDoor(line, clock, echo, Connection(), lambda: None)

    def feed(self, door: HttpDoor, data: bytes) -> bytes:
        door.receive(data)
        while door.step() is Step.MORE:
            continue
        return b"".join(door.data_to_send())

    async def test_a_head_that_comes_a_byte_at_a_time_is_given_up(self) -> None:
        clock, line, door = self.door()

        said = b""
        for _ in range(20):
            said += self.feed(door, b"G")
            await clock.advance(HTTP_LATE_MS // 10)
        said += b"".join(door.data_to_send())

        assert said.startswith(b"HTTP/1.1 408 ")
        await clock.advance(HTTP_LINGER_MS)
        assert line.closed

    async def test_a_body_that_gets_on_is_waited_for_and_one_that_does_not_is_given_up(self) -> None:
        clock, _, door = self.door()
        self.feed(door, b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")

        for _ in range(3):
            assert self.feed(door, b"x" * HTTP_LATE_BYTES) == b""
            await clock.advance(HTTP_LATE_MS)
        self.feed(door, b"x" * 10)
        await clock.advance(HTTP_LATE_MS)

        assert b"".join(door.data_to_send()).startswith(b"HTTP/1.1 408 ")

    async def test_between_requests_nobody_is_hurried(self) -> None:
        clock, line, door = self.door()

        first = self.feed(door, b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        await clock.advance(10 * HTTP_LATE_MS)
        second = self.feed(door, b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")

        assert first.startswith(b"HTTP/1.1 200 ")
        assert second.startswith(b"HTTP/1.1 200 ")
        assert not line.closed

    async def test_nothing_is_due_when_the_peer_has_gone(self) -> None:
        clock, line, door = self.door()

        self.feed(door, b"GET ")
        door.lost()
        await clock.advance(10 * HTTP_LATE_MS)

        assert door.data_to_send() == []
        assert not line.closed


class TestGreeting:
    def door(self) -> tuple[list[str], HttpDoor]:
        seen: list[str] = []
        clock = ManualClock()
        greet = lambda head: seen.append(head.path)  # noqa: E731 - of one line
        return seen, HttpDoor(Still(), clock, echo, Connection(), lambda: None, greet)

    async def test_a_large_request_is_greeted_once_by_its_head(self) -> None:
        seen, door = self.door()
        head = b"PUT /large HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n"

        door.receive(head[:10])
        before = list(seen)
        door.receive(head[10:] + b"x")
        door.receive(b"x" * 100)

        assert (before, seen) == ([], ["/large"])

    async def test_a_small_one_is_not_and_nothing_behind_it_is(self) -> None:
        seen, door = self.door()

        door.receive(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
        door.step()
        door.receive(b"PUT /large HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n")

        assert seen == []
