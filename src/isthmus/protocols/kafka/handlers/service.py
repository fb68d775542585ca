"""Kafka's door to the broker: requests begun in the order in which they come, answered in that order.

It finds the handler of each request and sees to who the client is; what a request means is in the other files here.

Invariants:
    D1: every request that has an answer gets one, or the connection is closed.
    D2: nothing but ApiVersions and the login is done for a peer that has not proven who it is.
    D3: a request that has to wait keeps no other from being begun, until too many are owed.
"""

import asyncio
import base64
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgspec import Struct

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.clock import Timer
from isthmus.errors import IsthmusError, ProtocolError, RequestError
from isthmus.limits import (
    EGRESS_BYTES_HIGH,
    FETCH_BYTES_MAX,
    KAFKA_FRAME_BYTES_MAX,
    KAFKA_OWED_BYTES_MAX,
    KAFKA_OWED_MAX,
    KAFKA_SMALL_FRAME_BYTES_MAX,
    LOGIN_FAILED_MS,
    STRANGER_BYTES_MAX,
)
from isthmus.log.pending import Pending
from isthmus.protocols.door import Line, Step
from isthmus.protocols.kafka import codec
from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.protocols.kafka.connection import Answers, FrameTooLong, Requests, Slot
from isthmus.protocols.kafka.handlers import versions
from isthmus.protocols.kafka.handlers.call import Call, KafkaOptions, Shared
from isthmus.protocols.kafka.handlers.login import AUTHENTICATE, HANDSHAKE, Login
from isthmus.protocols.kafka.handlers.table import HANDLERS
from isthmus.protocols.kafka.handlers.topic_ids import TopicIds
from isthmus.protocols.kafka.schema import api_name
from isthmus.protocols.sniff import foreign

logger = logging.getLogger("isthmus.kafka")

PRODUCE: Final = 0
FETCH: Final = 1
API_VERSIONS: Final = 18
KEYS: Final = tuple(sorted({*HANDLERS, HANDSHAKE, AUTHENTICATE, API_VERSIONS}))
"""The APIs that are served."""


class KafkaService:
    """Makes the door of each connection.

    Args:
        broker: open.
        options: see `KafkaOptions`.
    """

    def __init__(self, broker: Broker, options: KafkaOptions | None = None) -> None:
        store = broker.journal.checksums.store_uuid
        self.shared = Shared(
            broker=broker,
            options=options or KafkaOptions(),
            topic_ids=TopicIds(broker.catalog),
            cluster_id=base64.urlsafe_b64encode(store).decode().rstrip("="),
        )

    def open(self, line: Line) -> "KafkaDoor":
        """See `Service`."""
        return KafkaDoor(self.shared, line)


class KafkaDoor:
    """One connection; see the module text and `protocols/door.py`."""

    def __init__(self, shared: Shared, line: Line) -> None:
        self._shared = shared
        self._line = line
        self._requests = Requests(STRANGER_BYTES_MAX)
        self._answers = Answers()
        self._tasks: set[asyncio.Task[Struct | None]] = set()
        self._session: Session | None = None
        self._timer: Timer | None = None
        self._room: asyncio.Task[None] | None = None
        self._raw: list[bytes] = []
        self._failed = False
        self._ending = False
        self._gone = False
        peer = line.peer
        self._login = Login(shared.broker.access, tls=peer.tls, host=peer.host)
        principal = shared.broker.access.principal_of(host=peer.host, user=peer.user, trusted=peer.trusted)
        if principal is not None:
            self._welcome(principal)

    @property
    def buffered_bytes(self) -> int:
        """See `Door`."""
        return self._requests.buffered_bytes

    @property
    def wanted_bytes(self) -> int:
        """See `Door`."""
        return self._requests.wanted_bytes

    def receive(self, data: bytes) -> None:
        """See `Door`."""
        self._requests.receive(data)

    def data_to_send(self) -> list[bytes]:
        """See `Door`."""
        raw, self._raw = self._raw, []
        was_held = self._is_owed_too_much()
        # A peer that does not read gets no more at once than makes it congested; the rest waits here, and is owed.
        answers = self._answers.take(None if self._ending or self._failed else EGRESS_BYTES_HIGH)
        if self._answers.has_more:
            self._line.flush()
        if was_held and not self._is_owed_too_much():
            self._line.wake()
        return raw + answers

    def resumed(self) -> None:
        """Nothing is pushed that was not asked for, so nothing was held back."""

    # ---- requests ---------------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """See `Door`."""
        if self._ending or self._failed:
            return Step.IDLE
        if self._is_held():
            return Step.HELD
        try:
            frame = self._requests.next()
            if frame is None:
                return Step.IDLE
            if self._login.is_raw:
                self._token(frame)
            else:
                self._begin(frame)
        except FrameTooLong as error:
            self._close(self._not_kafka() or str(error))
            return Step.IDLE
        except ProtocolError as error:
            self._close(str(error))
            return Step.IDLE
        return Step.MORE

    def _not_kafka(self) -> str | None:
        spoken = foreign(self._requests.first)
        return None if spoken is None else f"it speaks {spoken}, and this port speaks Kafka"

    def _is_held(self) -> bool:
        if self._is_owed_too_much():
            return True
        # Who publishes has to wait for the disk; nobody else has to wait for those who publish.
        if self._session is None or self._requests.api_key != PRODUCE or not self._is_full(self._session):
            return False
        if self._room is None:
            self._room = asyncio.get_running_loop().create_task(self._wait_for_room(self._session))
        return True

    def _is_full(self, session: Session) -> bool:
        """Whether the disk has to catch up first: half of what may be in flight is."""
        journal, credit = self._shared.broker.journal, session.credit
        return (
            journal.pending_bytes * 2 > journal.options.pending_bytes_max or credit.used_bytes * 2 > credit.limit_bytes
        )

    async def _wait_for_room(self, session: Session) -> None:
        try:
            await self._shared.broker.journal.room()
            await session.credit.wait()
        finally:
            self._room = None
        if not self._gone:
            self._line.wake()

    def _begin(self, frame: bytes) -> None:
        header = codec.decode_header(frame)
        key, version = header.api_key, header.api_version
        if key not in KEYS:
            raise ProtocolError(f"{api_name(key)}, which is not served here")
        if key != PRODUCE and len(frame) > KAFKA_SMALL_FRAME_BYTES_MAX:
            raise FrameTooLong(len(frame), KAFKA_SMALL_FRAME_BYTES_MAX)
        first, last = versions.served(key)
        if not first <= version <= last:
            self._other_version(header, len(frame))
            return
        request = codec.decode_request(key, version, frame, header.body_at)
        size = len(frame)
        if key == FETCH:
            # What it reads is kept until the answers before it have left.
            size += min(max(request.max_bytes, 0), FETCH_BYTES_MAX)
        slot = self._answers.expect(header, size)
        match key:
            case 17:
                self._finish(slot, self._login.handshake(request, version))
            case 36:
                self._judge(slot, self._login.authenticate(request))
            case 18:
                call = self._call(header, request)
                self._finish(slot, versions.api_versions(call, KEYS))
            case _:
                self._handle(slot, header, request)

    def _other_version(self, header: RequestHeader, size: int) -> None:
        if header.api_key != API_VERSIONS:
            first, last = versions.served(header.api_key)
            name = api_name(header.api_key)
            raise ProtocolError(f"version {header.api_version} of {name}; {first} to {last} are served")
        slot = self._answers.expect(header, size)
        head = codec.response_header(API_VERSIONS, 0, header.correlation_id)
        slot.raw([head, *codec.encode_response_parts(API_VERSIONS, 0, versions.fallback(KEYS))])
        self._line.flush()

    def _call(self, header: RequestHeader, request: Any) -> Call:  # noqa: ANN401 - the struct of any message
        # ApiVersions, the only request without a session, asks for nothing that needs one.
        return Call(self._shared, self._session, self._line.peer, header.client_id, header.api_version, request)  # type: ignore[arg-type]

    def _handle(self, slot: Slot, header: RequestHeader, request: Any) -> None:  # noqa: ANN401 - as above
        if self._session is None:
            raise ProtocolError(f"{api_name(header.api_key)} before the client has proven who it is")
        answer = HANDLERS[header.api_key](self._call(header, request))
        if isinstance(answer, Pending):
            answer.add_done_callback(lambda done: self._later(slot, done))
        elif isinstance(answer, Coroutine):
            task = asyncio.get_running_loop().create_task(answer)
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(slot, done))
        else:
            self._finish(slot, answer)

    def _later(self, slot: Slot, done: Pending[Any]) -> None:
        if self._gone:
            return
        if done.error is not None:
            self._close(str(done.error))
            return
        self._finish(slot, done.result())

    def _done(self, slot: Slot, task: "asyncio.Task[Struct | None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._gone:
            return
        if task.cancelled():
            slot.dropped = True
            if self._ending:
                self._leave_when_done()
        elif error is None:
            self._finish(slot, task.result())
        else:
            if not isinstance(error, IsthmusError):
                logger.error("%s failed in an unforeseen way", api_name(slot.header.api_key), exc_info=error)
            self._close(f"a request failed: {error}")

    def _finish(self, slot: Slot, answer: Struct | None) -> None:
        """This is what a request came to."""
        if self._gone:
            return
        if answer is None:
            slot.nothing()
        else:
            key, version = slot.header.api_key, slot.header.api_version
            try:
                parts = codec.encode_response_parts(key, version, answer)
            except Exception:
                # Nobody may wait for an answer that cannot be written (D1).
                logger.exception("an answer of %s cannot be written in version %d", api_name(key), version)
                self._close("its answer could not be written")
                return
            slot.answer(parts)
        self._line.flush()
        if self._ending:
            self._leave_when_done()

    def _is_owed_too_much(self) -> bool:
        return self._answers.owed >= KAFKA_OWED_MAX or self._answers.owed_bytes >= KAFKA_OWED_BYTES_MAX

    # ---- who is there -----------------------------------------------------------------------------------------------

    def _judge(self, slot: Slot, answer: Struct) -> None:
        login = self._login
        if login.failed is not None:
            self._fail(login.failed, lambda: self._finish(slot, answer))
            return
        if login.principal is not None and not self._welcome(login.principal):
            return
        self._finish(slot, answer)

    def _token(self, frame: bytes) -> None:
        data = self._login.token(frame)
        if self._login.failed is not None:
            self._fail(self._login.failed, lambda: None)
            return
        if self._login.principal is not None and not self._welcome(self._login.principal):
            return
        self._raw.append(len(data).to_bytes(4, "big") + data)
        self._line.flush()

    def _fail(self, why: str, say: Callable[[], None]) -> None:
        """Say so late, so that guessing is slow, and close."""
        self._failed = True
        clock = self._shared.broker.clock

        def late() -> None:
            if not self._gone:
                say()
                self._close(f"the login failed: {why}")

        self._timer = clock.timer(clock.monotonic_ms() + LOGIN_FAILED_MS, late)

    def _welcome(self, principal: str) -> bool:
        """The peer is known; False when it may not stay."""
        old = self._session
        if old is not None:
            if old.principal == principal:
                return True
            self._close(f"it was {old.principal!r}, and a connection stays with whom it was opened for")
            return False
        try:
            session = self._session = self._shared.broker.session(principal)
        except RequestError as error:
            self._close(str(error))
            return False
        self._requests.frame_bytes_max = KAFKA_FRAME_BYTES_MAX
        self._line.known(principal)
        session.on_end(self._ended)
        return True

    def _ended(self) -> None:
        """The session was ended by somebody else: the user is gone, or has another password."""
        if not self._gone:
            self._close("its session was ended")

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _close(self, reason: str) -> None:
        self._failed = True
        self._line.close(reason)

    def drain(self) -> None:
        """Answer what runs, let nobody wait for what may never come, and close."""
        if self._ending or self._gone:
            return
        self._ending = True
        for task in self._tasks:
            task.cancel()
        if not self._tasks:
            self._leave_when_done()

    def _leave_when_done(self) -> None:
        if self._answers.is_over:
            self._line.close()

    def lost(self) -> None:
        """See `Door`."""
        if self._gone:
            return
        self._gone = True
        if self._timer is not None:
            self._timer.cancel()
        if self._room is not None:
            self._room.cancel()
        for task in self._tasks:
            task.cancel()
        session, self._session = self._session, None
        if session is None:
            return
        try:
            self._shared.broker.end_session(session)
        except IsthmusError as error:
            # The store is closed or poisoned: nothing that was held there is held any more.
            logger.debug("the end of a connection: %s", error)
