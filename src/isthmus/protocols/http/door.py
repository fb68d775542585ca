"""A door that speaks HTTP: between the driver of sockets and whoever answers requests.

It decides when requests begin and when the connection ends. What is asked and answered is the handler's business, and
how it is read the connection's.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from isthmus.clock import Clock, Timer
from isthmus.limits import HTTP_GREETED_BYTES, HTTP_LATE_BYTES, HTTP_LATE_MS, HTTP_LINGER_MS
from isthmus.protocols.door import Line, Step
from isthmus.protocols.http.connection import Connection, Exchange, Progress
from isthmus.protocols.http.messages import Request, Response, plain

logger = logging.getLogger("isthmus.http")

Handler = Callable[[Request], Response | Awaitable[Response]]
"""Answers a request, at once or later; what is awaited is cancelled when the peer has gone."""

STEPS: Final = {Progress.IDLE: Step.IDLE, Progress.MORE: Step.MORE, Progress.FULL: Step.HELD}


class HttpDoor:
    """See `Door`.

    Args:
        line: the connection as the driver gives it.
        clock: for dates and for the time in which a refused peer is read on.
        handler: answers requests.
        connection: its bytes; made for this door alone.
        ended: is called when the connection is gone.
        greet: is called once with the head of a first request whose body is larger than a stranger may send, before
            that is read; its body is empty.
    """

    def __init__(
        self,
        line: Line,
        clock: Clock,
        handler: Handler,
        connection: Connection,
        ended: Callable[[], None],
        greet: Callable[[Request], None] | None = None,
    ) -> None:
        self._line = line
        self._clock = clock
        self._handler = handler
        self._connection = connection
        self._ended = ended
        self._greet = greet
        self._running: set[asyncio.Future[None]] = set()
        self._held = False
        self._draining = False
        self._room = asyncio.Event()
        self._linger: Timer | None = None
        self._late: Timer | None = None
        self._received_bytes = 0

    @property
    def buffered_bytes(self) -> int:
        """See `Door`."""
        return self._connection.buffered_bytes

    @property
    def wanted_bytes(self) -> int:
        """See `Door`."""
        return self._connection.wanted_bytes

    def receive(self, data: bytes) -> None:
        """See `Door`."""
        self._received_bytes += len(data)
        self._connection.receive(data)
        greet = self._greet
        if greet is not None and (head := self._connection.heading(HTTP_GREETED_BYTES)) is not None:
            self._greet = None
            greet(head)

    def step(self) -> Step:
        """See `Door`."""
        begun = self._connection.advance(self._clock.now_ms())
        if self._connection.in_body or not isinstance(begun, Progress):
            self._greet = None
        self._line.flush()
        if isinstance(begun, Progress):
            self._held = begun is Progress.FULL
            self._watch(arriving=begun is not Progress.FULL and self._connection.arriving)
            return STEPS[begun]
        self._watch(arriving=False)
        if begun.request is not None:
            self._begin(begun, begun.request)
        return Step.MORE

    def _watch(self, *, arriving: bool) -> None:
        """Have a request that arrives too slowly given up; one timer a request, and none between requests."""
        if not arriving and self._late is not None:
            self._late.cancel()
            self._late = None
        elif arriving and self._late is None:
            self._late = self._look_later()

    def _look_later(self) -> Timer:
        self._received_bytes = 0
        return self._clock.timer(self._clock.monotonic_ms() + HTTP_LATE_MS, self._look)

    def _look(self) -> None:
        """The time is up: a head has to be there by now, and a body has to get on."""
        if self._connection.in_body and self._received_bytes >= HTTP_LATE_BYTES:
            self._late = self._look_later()
            return
        self._late = None
        self._connection.give_up(self._clock.now_ms())
        self._line.flush()

    def _begin(self, exchange: Exchange, request: Request) -> None:
        try:
            answer = self._handler(request)
        except Exception:
            logger.exception("%s %s failed in an unforeseen way", request.method, request.path)
            answer = failed()
        if isinstance(answer, Response):
            self._answer(exchange, answer)
            return
        task = asyncio.ensure_future(self._later(exchange, request, answer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _later(self, exchange: Exchange, request: Request, answer: Awaitable[Response]) -> None:
        try:
            response = await answer
        except Exception:
            logger.exception("%s %s failed in an unforeseen way", request.method, request.path)
            response = failed()
        self._answer(exchange, response)
        if response.parts is not None:
            await self._send_parts(exchange, request, response.parts)

    async def _send_parts(self, exchange: Exchange, request: Request, parts: AsyncGenerator[bytes]) -> None:
        """Send a body bit by bit, as fast as the peer reads; one that fails midway ends the connection unfinished."""
        try:
            async with aclosing(parts):
                async for part in parts:
                    self._connection.part(exchange, part, self._clock.now_ms())
                    self._line.flush()
                    while self._line.congested:
                        self._room.clear()
                        await self._room.wait()
                    if self._draining:
                        break
        except Exception:
            logger.exception("%s %s failed in an unforeseen way", request.method, request.path)
            self._line.close("a response failed midway")
            return
        self._connection.part(exchange, b"", self._clock.now_ms())
        self._line.flush()
        if self._held:
            self._line.wake()

    def _answer(self, exchange: Exchange, response: Response) -> None:
        self._connection.answer(exchange, response, self._clock.now_ms())
        self._line.flush()
        if self._held:
            self._line.wake()

    def data_to_send(self) -> list[bytes]:
        """See `Door`."""
        parts = self._connection.data_to_send()
        if self._connection.finished:
            self._finish()
        return parts

    def _finish(self) -> None:
        """Everything is said. Who was refused may still be sending: closing on unread bytes would undo the answer."""
        if not self._connection.refused:
            self._line.close()
        elif self._linger is None:
            self._linger = self._clock.timer(self._clock.monotonic_ms() + HTTP_LINGER_MS, self._line.close)

    def resumed(self) -> None:
        """See `Door`."""
        self._room.set()

    def drain(self) -> None:
        """See `Door`."""
        self._draining = True
        self._connection.end()
        self._line.flush()
        if self._connection.finished:
            self._line.close()

    def lost(self) -> None:
        """See `Door`."""
        for timer in (self._linger, self._late):
            if timer is not None:
                timer.cancel()
        for task in list(self._running):
            task.cancel()
        self._ended()


def failed() -> Response:
    """What is said of a bug of ours; the log says more."""
    return plain(500, "the request failed in a way that was not foreseen; the server's log says how", close=True)
