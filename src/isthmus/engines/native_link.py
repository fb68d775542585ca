"""One connection of a client to a server that speaks the native protocol: requests by id, their answers, its end.

It sends what it is given in the order in which it is given it, and never sends anything twice: what is to be done
after it was lost is `native.py`'s to decide.
"""

import asyncio
import os
import ssl
from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct

from isthmus import scram
from isthmus.clock import Clock, Timer
from isthmus.errors import EngineError
from isthmus.limits import NATIVE_ANSWER_BYTES_MAX, NATIVE_CONNECT_MS, NATIVE_PING_MS
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.connection import Frames
from isthmus.protocols.native.errors import NativeError, error_of

NONCE_BYTES: Final = 18


class LinkLost(EngineError):
    """The connection ended before the answer came; whether the request was done is not known."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"the connection to {where} was lost{f' ({why})' if why else ''}; it is not known whether what was asked"
            " took place",
            retryable=True,
        )


class Target(Struct, frozen=True, kw_only=True):
    """Where a server is: a host and a port, with TLS or without, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Login(Struct, frozen=True, kw_only=True):
    """Who this is."""

    user: str
    password: str


class Link(asyncio.Protocol):
    """See the module text. Belongs to one event loop.

    Args:
        target: for messages to people.
        clock: of the pings.
    """

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._frames = Frames(NATIVE_ANSWER_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._ids = 0
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._unwanted: dict[int, wire.Request] = {}
        self._paused: asyncio.Future[None] | None = None
        self._gate = asyncio.Lock()
        self._queued = 0
        self._timer: Timer | None = None
        self._ticks = 0
        self._heard = True
        self._why = ""
        self.lost = asyncio.get_running_loop().create_future()
        """Done when the connection has gone."""

    @property
    def alive(self) -> bool:
        """Whether requests can be made."""
        return not self.lost.done() and self._transport is not None and not self._transport.is_closing()

    # ---- requests -------------------------------------------------------------------------------------------------

    async def request(self, message: wire.Request) -> wire.Answer:
        """The answer to a message. When nobody waits for it any more, the server is told, and what it gives is undone.

        Raises:
            LinkLost: the connection ended before.
            IsthmusError: what the server says.
        """
        if self._queued or self._paused is not None:
            await self._in_turn()
        request_id, asked = self._send(message)
        try:
            body = await asked
        except asyncio.CancelledError:
            self._let_go(request_id, message, asked)
            raise
        return self._read(body)

    async def _in_turn(self) -> None:
        """Wait until the server reads again, behind those who came before."""
        self._queued += 1
        try:
            async with self._gate:
                while self._paused is not None:
                    await asyncio.shield(self._paused)
        finally:
            self._queued -= 1

    def _send(self, message: wire.Request) -> tuple[int, "asyncio.Future[bytes]"]:
        if not self.alive or self._transport is None:
            raise LinkLost(str(self._target), self._why)
        self._ids = self._ids % codec.ID_MAX + 1
        while self._ids in self._asked or self._ids in self._unwanted:
            self._ids = self._ids % codec.ID_MAX + 1
        asked = self._asked[self._ids] = asyncio.get_running_loop().create_future()
        self._transport.write(codec.encode(self._ids, message))
        return self._ids, asked

    def _read(self, body: bytes) -> wire.Answer:
        try:
            answer = codec.decode_answer(body)
        except NativeError as error:
            self.end(str(error))
            raise
        if isinstance(answer, wire.Refused):
            raise error_of(answer)
        return answer

    def _let_go(self, request_id: int, message: wire.Request, asked: "asyncio.Future[bytes]") -> None:
        if self._asked.pop(request_id, None) is not None and self._transport is not None:
            self._unwanted[request_id] = message
            self._transport.write(codec.encode(request_id, wire.Cancel()))
        elif asked.done() and not asked.cancelled() and asked.exception() is None:
            self._undo(message, asked.result())

    def _undo(self, message: wire.Request, body: bytes) -> None:
        """What came for somebody who has stopped waiting goes back."""
        try:
            answer = codec.decode_answer(body)
            undo: wire.Request | None = None
            if isinstance(answer, wire.Opened):
                undo = wire.Close(answer.handle)
            elif isinstance(answer, wire.Delivered) and isinstance(message, wire.Receive):
                tokens = [row.token for row in codec.unpack_rows(answer.rows)]
                undo = wire.Release(message.handle, codec.pack_tokens(tokens)) if tokens else None
        except NativeError as error:
            self.end(str(error))
            return
        if undo is not None:
            self.tell(undo)

    def tell(self, message: wire.Request) -> None:
        """Send what nobody waits for; nothing when the connection has gone."""
        if self.alive:
            request_id, asked = self._send(message)
            del self._asked[request_id]
            asked.cancel()
            self._unwanted[request_id] = message

    # ---- the transport --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to ping."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no common class
        self._tick()

    def data_received(self, data: bytes) -> None:
        """Hand answers to who waits for them."""
        self._heard = True
        self._frames.receive(data)
        try:
            while (frame := self._frames.next()) is not None:
                self._arrived(frame.request_id, frame.body)
        except NativeError as error:
            self.end(str(error))

    def _arrived(self, request_id: int, body: bytes) -> None:
        asked = self._asked.pop(request_id, None)
        if asked is not None:
            if not asked.done():
                asked.set_result(body)
            return
        message = self._unwanted.pop(request_id, None)
        if message is None:
            raise NativeError(f"an answer to request {request_id}, which nobody has made")
        self._undo(message, body)

    def pause_writing(self) -> None:
        """The server does not read: requests wait."""
        self._paused = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It does again."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody will be answered any more."""
        if exc is not None and not self._why:
            self._why = str(exc)
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        asked, self._asked = self._asked, {}
        self._unwanted.clear()
        for each in asked.values():
            if not each.done():
                each.set_exception(LinkLost(str(self._target), self._why))
        if not self.lost.done():
            self.lost.set_result(None)

    # ---- life -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Say something now and then; a server that is silent for as long as that again has gone."""
        if self._ticks > 1 and not self._heard:
            self.end("it does not answer")
            return
        self._heard = False
        self._timer = self._clock.timer(self._clock.monotonic_ms() + NATIVE_PING_MS, self._tick)
        if self._ticks:
            self.tell(wire.Ping())
        self._ticks += 1

    def end(self, why: str) -> None:
        """Close at once."""
        self._why = self._why or why
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Say goodbye, so that what is held goes back, and wait for the end; but not for long."""
        self.tell(wire.Bye())
        if not await self._clock.wait(self.lost, self._clock.monotonic_ms() + NATIVE_CONNECT_MS):
            self.end("it does not say goodbye")
            await self.lost


async def connect(target: Target, clock: Clock) -> Link:
    """A connection to a server, before anything was said.

    Raises:
        OSError: nobody answers there.
    """
    loop = asyncio.get_running_loop()

    def make() -> Link:
        return Link(target, clock)

    if target.path is not None:
        _, link = await loop.create_unix_connection(make, target.path)
    else:
        _, link = await loop.create_connection(make, target.host, target.port, ssl=target.tls)
    return link


async def greet(link: Link, client: str, login: Login | None) -> wire.Welcome:
    """Say hello, and prove who this is if the server asks.

    Raises:
        LinkLost, EngineError: this is no server that speaks our version, or it does not let us in.
        ProtocolError: it does not know the password that it should know.
    """
    answer = await link.request(wire.Hello(client=client))
    if isinstance(answer, wire.Challenge):
        if login is None:
            raise EngineError("the server asks who this is; give isthmus://user:password@host", retryable=False)
        answer = await _log_in(link, login, answer.mechanisms)
    if isinstance(answer, wire.Welcome):
        return answer
    raise NativeError(f"{type(answer).__name__} is no answer to a greeting")


async def _log_in(link: Link, login: Login, mechanisms: Sequence[str]) -> wire.Answer:
    mechanism = next((each for each in scram.HASHES if each in mechanisms), None)
    if mechanism is None:
        raise EngineError(f"the server takes logins by {', '.join(mechanisms)} only", retryable=False)
    exchange = scram.Client(mechanism, login.user, login.password, os.urandom(NONCE_BYTES).hex())
    challenge = await link.request(wire.Login(mechanism, exchange.first()))
    if not isinstance(challenge, wire.Challenge):
        raise NativeError(f"{type(challenge).__name__} is no answer to a login")
    welcome = await link.request(wire.Proof(exchange.final(challenge.data)))
    if isinstance(welcome, wire.Welcome):
        exchange.check(welcome.data)
    return welcome
