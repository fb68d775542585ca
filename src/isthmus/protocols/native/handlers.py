"""The native protocol's door to the broker: who the client is, and its requests side by side.

It begins requests in the order in which they come and answers each when it is done. What they mean is done by
`serving.py`; bytes are read by `connection.py` and `codec.py`.

Invariants:
    N1: every request is answered once, whatever becomes of it, unless the connection is lost.
    N2: nothing but Hello, Login and Proof is done for a peer that has not said who it is.
    N3: when the connection is gone, so is everything that it held: requests, deliveries, readers, sources, session.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from isthmus.broker import sasl
from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.clock import Timer
from isthmus.engines.base import ServedEngine
from isthmus.errors import EngineError, IsthmusError, Overloaded, RequestError
from isthmus.limits import (
    LOGIN_FAILED_MS,
    NATIVE_ANSWER_BYTES_MAX,
    NATIVE_FRAME_BYTES_MAX,
    NATIVE_RUNNING_BYTES_MAX,
    NATIVE_RUNNING_MAX,
    NATIVE_UNSENT_BYTES_MAX,
    NATIVE_WAITING_MAX,
    STRANGER_BYTES_MAX,
)
from isthmus.protocols.door import Line, Step
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.connection import Frame, Frames
from isthmus.protocols.native.eager import begin
from isthmus.protocols.native.errors import NativeError, refusal
from isthmus.protocols.native.serving import Serving

logger = logging.getLogger("isthmus.native")

WAITS: Final = (wire.Read, wire.Receive)
"""Requests that may wait for something that never comes."""


class NativeService:
    """Makes the door of each connection.

    Args:
        broker: open.
        engine_of: the engine of a session; it is not closed here.
    """

    def __init__(self, broker: Broker, engine_of: Callable[[Session], ServedEngine]) -> None:
        self.broker = broker
        self.engine_of = engine_of
        self._leaving: set[asyncio.Task[None]] = set()

    def open(self, line: Line) -> "NativeDoor":
        """See `Service`."""
        return NativeDoor(self, line)

    def leave(self, work: Coroutine[Any, Any, None]) -> None:
        """See to the end of a connection that has gone."""
        task = asyncio.get_running_loop().create_task(work, name="isthmus-native-end")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class NativeDoor:
    """One connection; see the module text and `protocols/door.py`."""

    def __init__(self, service: NativeService, line: Line) -> None:
        self._service = service
        self._line = line
        self._frames = Frames(STRANGER_BYTES_MAX)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._session: Session | None = None
        self._serving: Serving | None = None
        self._greeted = False
        self._failed = False
        self._exchange: sasl.Exchange | None = None
        self._timer: Timer | None = None
        self._running: dict[int, asyncio.Task[wire.Answer]] = {}
        self._running_bytes = 0
        self._waiting = 0
        self._said_bye = False
        self._ending = False
        self._gone = False

    @property
    def buffered_bytes(self) -> int:
        """See `Door`."""
        return self._frames.buffered_bytes

    @property
    def wanted_bytes(self) -> int:
        """See `Door`."""
        return self._frames.wanted_bytes

    def receive(self, data: bytes) -> None:
        """See `Door`."""
        self._frames.receive(data)

    def data_to_send(self) -> list[bytes]:
        """See `Door`."""
        out, self._out = self._out, []
        self._out_bytes = 0
        return out

    def resumed(self) -> None:
        """Nothing is pushed that was not asked for, so nothing was held back."""

    # ---- requests -------------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """See `Door`."""
        if self._ending:
            return Step.IDLE
        if self._is_held():
            return Step.HELD
        try:
            frame = self._frames.next()
            if frame is None:
                return Step.IDLE
            self._begin(frame)
        except NativeError as error:
            self._line.close(str(error))
            return Step.IDLE
        return Step.MORE

    def _is_held(self) -> bool:
        busy = len(self._running) - self._waiting
        return busy >= NATIVE_RUNNING_MAX or self._running_bytes >= NATIVE_RUNNING_BYTES_MAX

    def _begin(self, frame: Frame) -> None:
        request = codec.decode_request(frame.body)
        if self._serving is None:
            self._meet(frame.request_id, request)
            return
        if isinstance(request, wire.Cancel):
            self._cancel(frame.request_id)
            return
        if frame.request_id in self._running:
            raise NativeError(f"request {frame.request_id} is not answered yet, and there is another of that id")
        match request:
            case wire.Ping():
                self._answer(frame.request_id, wire.Done())
            case wire.Bye():
                self._answer(frame.request_id, wire.Done())
                self._said_bye = True
                self.drain()
            case _ if isinstance(request, WAITS) and self._waiting >= NATIVE_WAITING_MAX:
                self._answer(frame.request_id, refusal(Overloaded("requests that wait", NATIVE_WAITING_MAX)))
            case _:
                self._run(frame, request, self._serving)

    def _run(self, frame: Frame, request: wire.Request, serving: Serving) -> None:
        waits = isinstance(request, WAITS)
        size = len(frame.body)
        self._waiting += waits
        self._running_bytes += size
        task = begin(self._do(request, serving))
        if not isinstance(task, asyncio.Task):
            self._waiting -= waits
            self._running_bytes -= size
            self._answer(frame.request_id, task)
            return
        self._running[frame.request_id] = task

        def ended(_: "asyncio.Task[wire.Answer]") -> None:
            held = self._is_held()
            del self._running[frame.request_id]
            self._waiting -= waits
            self._running_bytes -= size
            self._answer(frame.request_id, wire.Done() if task.cancelled() else task.result())
            if self._ending and not self._running:
                self._leave()
            elif held and not self._gone:
                self._line.wake()

        task.add_done_callback(ended)

    async def _do(self, request: wire.Request, serving: Serving) -> wire.Answer:
        try:
            return await serving.answer(request)
        except IsthmusError as error:
            return refusal(error)
        except Exception as error:
            logger.exception("%s failed in an unforeseen way", type(request).__name__)
            return refusal(error)

    def _cancel(self, request_id: int) -> None:
        running = self._running.get(request_id)
        if running is not None:
            running.cancel()

    def _answer(self, request_id: int, answer: wire.Answer) -> None:
        if self._gone:
            return
        frame = codec.encode(request_id, answer)
        if len(frame) > NATIVE_ANSWER_BYTES_MAX:
            frame = codec.encode(request_id, refusal(Overloaded("bytes of one answer", NATIVE_ANSWER_BYTES_MAX)))
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes > NATIVE_UNSENT_BYTES_MAX:
            self._out.clear()
            self._line.close("it does not read what it has asked for")
        self._line.flush()

    # ---- who is there ---------------------------------------------------------------------------------------------

    def _meet(self, request_id: int, request: wire.Request) -> None:
        match request:
            case wire.Hello() if not self._greeted:
                self._hello(request_id, request)
            case wire.Login(mechanism, data) if self._greeted and not self._failed:
                self._login(request_id, mechanism, data)
            case wire.Proof(data) if self._exchange is not None and not self._failed:
                self._judge(request_id, self._exchange.answer(data))
            case _:
                raise NativeError(f"{type(request).__name__} before it has said who it is")

    def _hello(self, request_id: int, hello: wire.Hello) -> None:
        if hello.magic != wire.MAGIC:
            raise NativeError("it does not begin as the native protocol does")
        if not hello.least <= wire.VERSION <= hello.most:
            raise NativeError(f"it speaks versions {hello.least} to {hello.most}, this server {wire.VERSION}")
        self._greeted = True
        peer = self._line.peer
        principal = self._service.broker.access.principal_of(host=peer.host, user=peer.user, trusted=peer.trusted)
        if principal is None:
            self._answer(request_id, wire.Challenge(sasl.mechanisms(tls=peer.tls)))
        else:
            self._welcome(request_id, principal)

    def _login(self, request_id: int, mechanism: str, data: bytes) -> None:
        try:
            peer = self._line.peer
            self._exchange = sasl.begin(mechanism, self._service.broker.access, tls=peer.tls, host=peer.host)
        except RequestError as error:
            self._fail(request_id, str(error))
            return
        self._judge(request_id, self._exchange.answer(data))

    def _judge(self, request_id: int, verdict: sasl.Answer) -> None:
        match verdict:
            case sasl.Challenge(data):
                self._answer(request_id, wire.Challenge(data=data))
            case sasl.Success(principal, data):
                self._welcome(request_id, principal, data)
            case sasl.Failure(text):
                self._fail(request_id, text)

    def _fail(self, request_id: int, text: str) -> None:
        """Say so late, so that guessing is slow, and close."""
        self._failed = True
        clock = self._service.broker.clock

        def say() -> None:
            self._answer(request_id, refusal(EngineError(f"the login failed: {text}", retryable=False)))
            if not self._gone:
                self._line.close(f"the login failed: {text}")

        self._timer = clock.timer(clock.monotonic_ms() + LOGIN_FAILED_MS, say)

    def _welcome(self, request_id: int, principal: str, data: bytes = b"") -> None:
        broker = self._service.broker
        try:
            session = self._session = broker.session(principal)
        except RequestError as error:
            self._fail(request_id, str(error))
            return
        engine = self._service.engine_of(session)
        self._serving = Serving(engine, broker.access, session)
        self._frames.frame_bytes_max = NATIVE_FRAME_BYTES_MAX
        self._line.known(principal)
        promises = [wire.Promise(name, each.support, each.how) for name, each in engine.capabilities.items()]
        self._answer(request_id, wire.Welcome(wire.VERSION, principal, tuple(promises), data))
        session.on_end(self._ended)

    def _ended(self) -> None:
        """The session was ended by somebody else: the user is gone, or has another password."""
        if self._session is not None and not self._gone:
            self._line.close("its session was ended")

    # ---- the end --------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let what runs finish and nobody wait, take back what the client holds, and close.

        Whoever just stops sending was lost; with a goodbye, or when it is the server that stops, the end is orderly.
        """
        if self._ending or self._gone:
            return
        self._ending = True
        if self._serving is not None and self._waiting:
            self._service.leave(self._serving.wake_all())
        if not self._running:
            self._leave()

    def _leave(self) -> None:
        self._service.leave(self._end(orderly=self._said_bye or not self._line.ended))

    def lost(self) -> None:
        """See `Door`."""
        if self._gone:
            return
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._running.values():
            task.cancel()
        self._service.leave(self._end(orderly=False))

    async def _end(self, *, orderly: bool) -> None:
        serving, self._serving = self._serving, None
        session, self._session = self._session, None
        if self._running:
            await asyncio.wait(tuple(self._running.values()))
        try:
            if serving is not None:
                await (serving.release_all() if orderly else serving.fail_all())
            if session is not None:
                self._service.broker.end_session(session)
        except IsthmusError as error:
            # The store is closed or poisoned: nothing that was held there is held any more.
            logger.debug("the end of a connection: %s", error)
        if not self._gone:
            self._line.close()
