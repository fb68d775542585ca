"""AMQP's door to the broker: one connection, from its first bytes to its last.

It carries the life of the connection and of its channels, and finds the handler of each method; what a method means is
in the other files here.

Theory of operation
-------------------
Publishes and acknowledgements are gathered in their channels and begun at the end of the slice. Every other method
of a channel waits until those before it are done and what they began is durable; it runs as a task, and what comes
behind it on its channel is kept meanwhile, up to a bound. Channels do not wait for each other, and reading waits for
none of them.

Invariants:
    D1: answers of a channel leave in the order of its methods, and none before what came before it is durable.
    D2: nothing is done for a peer that has not proven who it is but the login.
    D3: a channel that has ended sends nothing more, and holds nothing.
    D4: after a close was sent, nothing but its answer is waited for, and that not for ever.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from isthmus.clock import Timer
from isthmus.errors import IsthmusError
from isthmus.limits import (
    AMQP_BACKLOG_BYTES_MAX,
    AMQP_BACKLOG_MAX,
    AMQP_CHANNELS_MAX,
    AMQP_CLOSE_MS,
    AMQP_FRAME_BYTES_MAX,
    AMQP_FRAME_BYTES_MIN,
    AMQP_HEARTBEAT_S,
    AMQP_QUIET_MS,
    LOGIN_FAILED_MS,
)
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import HEARTBEAT_FRAME, PROTOCOL_HEADERS
from isthmus.protocols.amqp.connection import Acked, Brought, Called, Connection, Event, Hello, Published, Violation
from isthmus.protocols.amqp.errors import Code, Refused, refused
from isthmus.protocols.amqp.handlers import consume, exchanges, login
from isthmus.protocols.amqp.handlers.acks import Settler
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.link import Link, Shared
from isthmus.protocols.amqp.handlers.listing import Listed
from isthmus.protocols.amqp.handlers.publish import Publisher
from isthmus.protocols.amqp.handlers.room import Room
from isthmus.protocols.amqp.handlers.table import HANDLERS
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.amqp.table import encode_table
from isthmus.protocols.door import Line, Step

logger = logging.getLogger("isthmus.amqp")

SHUTDOWN: Final = "broker forced connection closure with reason 'shutdown'"
LOCALES: Final = b"en_US"


class AmqpDoor:
    """One connection; see the module text and `protocols/door.py`."""

    def __init__(self, shared: Shared, line: Line) -> None:
        self._link = Link(shared, line)
        self._line = line
        self._clock = shared.broker.clock
        self._wire = Connection()
        self._channels: dict[int, Channel] = {}
        self._phase = "hello"
        self._stash: Published | None = None
        self._task: asyncio.Task[None] | None = None
        self._room = Room(self._link)
        self._timers: dict[str, Timer] = {}
        self._heartbeat_ms = 0
        self._heard_ms = self._clock.monotonic_ms()
        self._mechanism = ""
        self._listed: Listed | None = None
        self._kept = 0
        self._kept_bytes = 0

    # ---- the driver's side ----------------------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """See `Door`."""
        return self._wire.buffered_bytes + self._kept_bytes

    @property
    def wanted_bytes(self) -> int:
        """See `Door`."""
        return self._wire.wanted_bytes + self._kept_bytes

    def receive(self, data: bytes) -> None:
        """See `Door`."""
        self._heard_ms = self._clock.monotonic_ms()
        self._wire.receive_data(data)

    def data_to_send(self) -> list[bytes]:
        """See `Door`."""
        return self._link.take()

    def resumed(self) -> None:
        """See `Door`."""
        self._link.freed()

    def step(self) -> Step:
        """See `Door`."""
        if self._link.gone or self._phase == "over":
            return Step.IDLE
        if self._is_held():
            return Step.HELD
        event: Event | None = self._stash
        if event is None:
            event = self._wire.next_event()
            if event is None:
                return Step.IDLE
        self._stash = None
        if isinstance(event, Published):
            return self._publish(event)
        if isinstance(event, Acked):
            self._acked(event)
            return Step.MORE
        self._begin(event)
        return Step.MORE

    def _is_held(self) -> bool:
        """Whether the next event has to wait."""
        if self._kept >= AMQP_BACKLOG_MAX or self._kept_bytes >= AMQP_BACKLOG_BYTES_MAX:
            return True
        return self._phase in {"busy", "failed"} or (self._stash is not None and self._room.waits)

    # ---- publishing -----------------------------------------------------------------------------------------------

    def _publish(self, message: Published) -> Step:
        channel = self._channels.get(message.channel)
        if channel is None or channel.closing:
            return Step.MORE
        if self._room.is_full(channel):
            self._stash = message
            self._room.wait(channel)
            return Step.HELD
        if channel.task is not None or channel.backlog:
            self._keep(channel, message)
        else:
            self._add(channel, message)
        return Step.MORE

    def _add(self, channel: Channel, message: Published) -> None:
        try:
            channel.publisher.add(message)
        except IsthmusError as error:
            self._fail(channel, refused(error), m.BasicPublish())

    # ---- methods --------------------------------------------------------------------------------------------------

    def _begin(self, event: Event) -> None:
        match event:
            case Called(0, method):
                self._on_connection(method)
            case Called(number, method):
                self._on_channel(number, method)
            case Violation():
                self._violated(event)
            case Hello(accepted):
                self._greet(accepted=accepted)
            case Brought(number, method):
                self._refuse(Refused(Code.COMMAND_INVALID, f"{method.NAME} from a client (channel {number})"), method)

    def _violated(self, event: Violation) -> None:
        channel = self._channels.get(event.channel)
        if event.channel and channel is not None:
            self._link.tell(event.channel, m.ChannelClose(event.code, event.text, event.class_id, event.method_id))
            self._end(channel)
            return
        self._link.tell(0, m.ConnectionClose(event.code, event.text, event.class_id, event.method_id))
        self._closing(event.text)

    def _on_channel(self, number: int, method: Method) -> None:
        if isinstance(method, m.ChannelOpen):
            self._open_channel(number)
            return
        channel = self._channels.get(number)
        if channel is None or channel.closing:
            if isinstance(method, m.ChannelClose):
                self._link.tell(number, m.ChannelCloseOk())
            return
        if channel.task is not None or channel.backlog:
            self._keep(channel, method)
        else:
            self._handle(channel, method)

    def _acked(self, acks: Acked) -> None:
        """Acknowledgements one behind the other."""
        channel = self._channels.get(acks.channel)
        if channel is None or channel.closing:
            return
        if channel.task is not None or channel.backlog:
            for tag in acks.tags:
                self._keep(channel, m.BasicAck(tag))
            return
        try:
            channel.settler.ack_each(acks.tags)
        except Refused as error:
            self._fail(channel, error, m.BasicAck())

    def _handle(self, channel: Channel, method: Method) -> None:
        """Begin a method whose turn it is."""
        if isinstance(method, m.BasicAck):
            try:
                channel.settler.ack(method.delivery_tag, multiple=method.multiple)
            except Refused as error:
                self._fail(channel, error, method)
            return
        channel.task = asyncio.get_running_loop().create_task(self._run(channel, method))

    async def _run(self, channel: Channel, method: Method) -> None:
        """Do what a method asks for, and answer; then what has come behind it."""
        try:
            channel.flush()
            await channel.quiet()
            if isinstance(method, m.ChannelClose):
                self._end(channel)
                self._link.tell(channel.number, m.ChannelCloseOk())
                return
            handler = HANDLERS.get(type(method))
            if handler is None:
                raise Refused(Code.COMMAND_INVALID, f"{method.NAME} at this point")
            answer = await handler(channel, method)
            if answer is not None and not channel.closing and not getattr(method, "nowait", False):
                channel.tell(answer)
        except IsthmusError as error:
            self._fail(channel, refused(error), method)
        except Exception:
            logger.exception("%s failed in an unforeseen way", method.NAME)
            self._fail(channel, Refused(Code.INTERNAL_ERROR, f"{method.NAME} failed"), method)
        finally:
            channel.task = None
            if not self._link.gone:
                self._go_on(channel)

    def _keep(self, channel: Channel, event: Published | Method) -> None:
        """It waits for what its channel does."""
        size = _size_bytes(event)
        channel.backlog.append((event, size))
        channel.backlog_bytes += size
        self._kept += 1
        self._kept_bytes += size

    def _go_on(self, channel: Channel) -> None:
        """What waits on a channel, until something has to be waited for again."""
        while channel.backlog and channel.task is None and not channel.closing:
            event, size = channel.backlog[0]
            if isinstance(event, Published) and channel.publisher.stuck:
                channel.task = asyncio.get_running_loop().create_task(self._unstick(channel))
                break
            channel.backlog.popleft()
            self._kept -= 1
            self._kept_bytes -= size
            channel.backlog_bytes -= size
            if isinstance(event, Published):
                self._add(channel, event)
            else:
                self._handle(channel, event)
        self._line.wake()

    async def _unstick(self, channel: Channel) -> None:
        try:
            await channel.quiet()
        except IsthmusError as error:
            self._fail(channel, refused(error), m.BasicPublish())
        finally:
            channel.task = None
            if not self._link.gone:
                self._go_on(channel)

    # ---- channels -------------------------------------------------------------------------------------------------

    def _open_channel(self, number: int) -> None:
        try:
            channel = Channel(self._link, number, self._fail)
        except IsthmusError as error:
            self._refuse(refused(error), m.ChannelOpen())
            return
        channel.publisher = Publisher(channel)
        channel.settler = Settler(channel)
        self._channels[number] = channel
        if self._listed is not None:
            self._listed.opened(channel)
        channel.tell(m.ChannelOpenOk())

    def _fail(self, channel: Channel, error: Refused, method: Method | None) -> None:
        """Something that was asked on a channel cannot be: the channel closes, or the connection."""
        if channel.closing or self._link.gone:
            return
        if error.hard:
            self._refuse(error, method)
            return
        number = 0 if method is None else method.METHOD
        self._wire.close_channel(channel.number)
        self._link.tell(channel.number, m.ChannelClose(error.code, error.text, number >> 16, number & 0xFFFF))
        self._end(channel)

    def _end(self, channel: Channel) -> None:
        """A channel ends: what it was given and has not settled goes back (D3)."""
        channel.flush()
        channel.publisher.drop()
        channel.closing = True
        if self._channels.get(channel.number) is channel:
            del self._channels[channel.number]
            if self._listed is not None:
                self._listed.closed(channel)
        self._kept -= len(channel.backlog)
        self._kept_bytes -= channel.backlog_bytes
        channel.backlog_bytes = 0
        channel.backlog.clear()
        consume.stop_all(channel)
        self._link.shared.replies.remove(channel)
        try:
            self._link.broker.end_session(channel.session)
        except IsthmusError as error:
            # The store is closed or poisoned: nothing that was held there is held any more.
            logger.debug("the end of a channel: %s", error)

    # ---- the connection's methods ---------------------------------------------------------------------------------

    def _greet(self, *, accepted: bool) -> None:
        if not accepted:
            self._link.send(PROTOCOL_HEADERS[0])
            self._over("it does not speak AMQP 0-9-1")
            return
        options = self._link.shared.options
        self._phase = "start"
        offered = " ".join(login.mechanisms(self._line.peer)).encode()
        self._link.tell(0, m.ConnectionStart(0, 9, options.properties(), offered, LOCALES))

    def _on_connection(self, method: Method) -> None:
        try:
            match method:
                case m.ConnectionClose():
                    self._leave()
                case m.ConnectionCloseOk():
                    self._over("")
                case m.ConnectionStartOk() if self._phase == "start":
                    self._log_in(method)
                case m.ConnectionTuneOk() if self._phase == "tune":
                    self._tune(method)
                case m.ConnectionOpen() if self._phase == "enter":
                    self._enter(method)
                case m.ConnectionUpdateSecret() if self._phase == "open":
                    self._renew(method)
                case _:
                    raise Refused(Code.COMMAND_INVALID, f"{method.NAME} at this point")
        except IsthmusError as error:
            self._refuse(refused(error), method)

    def _log_in(self, said: m.ConnectionStartOk) -> None:
        link, broker = self._link, self._link.broker
        link.properties = said.client_properties
        plain = link.shared.options.plain or broker.access.insecure
        found = login.prove(broker.access, self._line.peer, said.mechanism, said.response, plain=plain)
        if isinstance(found, str):
            self._phase = "failed"
            self._after("login", LOGIN_FAILED_MS, lambda: self._refuse_login(said.mechanism, found))
            return
        link.session = broker.session(found.principal)
        link.user = found.user
        self._mechanism = said.mechanism
        link.session.on_end(self._ended)
        self._line.known(found.principal)
        self._phase = "tune"
        link.tell(0, m.ConnectionTune(AMQP_CHANNELS_MAX, AMQP_FRAME_BYTES_MAX, AMQP_HEARTBEAT_S))

    def _refuse_login(self, mechanism: str, why: str) -> None:
        """Say so late, so that guessing is slow, to clients that listen; hang up on the others."""
        if self._link.can("authentication_failure_close"):
            self._wire.close()
            text = f"Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
            self._link.tell(0, m.ConnectionClose(Code.ACCESS_REFUSED, f"ACCESS_REFUSED - {text}"))
            self._closing(f"the login failed: {why}")
        else:
            self._over(f"the login failed: {why}")

    def _tune(self, said: m.ConnectionTuneOk) -> None:
        _check_tuned("channel_max", said.channel_max, AMQP_CHANNELS_MAX, 0)
        _check_tuned("frame_max", said.frame_max, AMQP_FRAME_BYTES_MAX, AMQP_FRAME_BYTES_MIN)
        self._wire.frame_bytes_max = self._link.frame_bytes_max = said.frame_max
        self._wire.channels_max = said.channel_max
        self._heartbeat_ms = said.heartbeat * 1_000
        self._phase = "enter"
        self._beat()

    def _enter(self, said: m.ConnectionOpen) -> None:
        link = self._link
        link.enter(said.virtual_host)
        known = link.namespace in link.broker.catalog.namespaces
        if not known or not link.broker.access.allows_some(link.session, "describe", link.namespace):
            raise Refused(Code.NOT_ALLOWED, f"vhost {said.virtual_host} not found")
        self._phase = "busy"
        self._task = asyncio.get_running_loop().create_task(self._prepare())

    async def _prepare(self) -> None:
        """Make what the virtual host needs, and let the client in."""
        try:
            await exchanges.predeclare(self._link)
        except IsthmusError as error:
            self._refuse(refused(error), m.ConnectionOpen())
            return
        if self._link.gone or self._phase != "busy":
            return
        self._phase = "open"
        self._listed = Listed(
            self._link,
            self._mechanism,
            heartbeat_s=self._heartbeat_ms // 1_000,
            channels_max=self._wire.channels_max,
            close=self._told_to_close,
        )
        self._wire.open()
        self._link.tell(0, m.ConnectionOpenOk())
        self._line.wake()

    def _renew(self, said: m.ConnectionUpdateSecret) -> None:
        link = self._link
        plain = link.shared.options.plain or link.broker.access.insecure
        if not login.renewed(link.broker.access, self._line.peer, link.user, said.new_secret, plain=plain):
            raise Refused(Code.NOT_ALLOWED, f"the new secret of user '{link.user}' was refused")
        link.tell(0, m.ConnectionUpdateSecretOk())

    # ---- heartbeats -----------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Say something when nothing was said for half an interval, and give up on who is silent for two.

        Who wants no heartbeats gets some all the same, rarely: the server would take a quiet connection for a dead one.
        """
        now_ms, wanted_ms = self._clock.monotonic_ms(), self._heartbeat_ms
        if self._is_held():
            self._heard_ms = now_ms  # what it says is not read, so that nobody knows
        if wanted_ms and now_ms - self._heard_ms >= 2 * wanted_ms:
            self._over(f"it has sent no heartbeat for {now_ms - self._heard_ms} ms")
            return
        every_ms = wanted_ms // 2 or AMQP_QUIET_MS
        if now_ms - self._link.sent_ms >= every_ms:
            self._link.send(HEARTBEAT_FRAME)
        self._after("heartbeat", every_ms, self._beat)

    # ---- the end --------------------------------------------------------------------------------------------------

    def _refuse(self, error: Refused, method: Method | None) -> None:
        """The connection closes because of what was asked."""
        if self._phase in {"closing", "over"} or self._link.gone:
            return
        number = 0 if method is None else method.METHOD
        self._wire.close()
        self._link.tell(0, m.ConnectionClose(error.code, error.text, number >> 16, number & 0xFFFF))
        self._closing(error.text)

    def _closing(self, why: str) -> None:
        """A close was sent: end everything, and wait for its answer (D4).

        Whoever hung up at once would have the system throw the close away when more has come that nobody read.
        """
        self._phase = "closing"
        self._end_all()
        logger.info("%s: a connection is closed: %s", self._line.peer.host, why)
        self._after("close", AMQP_CLOSE_MS, lambda: self._over("it does not answer a close"))
        self._line.wake()

    def _leave(self) -> None:
        """The client closes: answer when all that it was promised holds."""
        if self._phase == "closing":
            self._link.tell(0, m.ConnectionCloseOk())
            return
        self._phase = "busy"
        self._task = asyncio.get_running_loop().create_task(self._finish(self._answer_close))

    def _answer_close(self) -> None:
        self._end_all()
        self._link.tell(0, m.ConnectionCloseOk())
        self._over("")

    async def _finish(self, then: Callable[[], None]) -> None:
        """Wait for what runs in the channels."""
        for channel in list(self._channels.values()):
            channel.flush()
            if channel.task is not None:
                await asyncio.wait([channel.task])
            try:
                await channel.quiet()
            except IsthmusError as error:
                logger.debug("the end of a connection: %s", error)
        if not self._link.gone:
            then()

    def _end_all(self) -> None:
        for channel in list(self._channels.values()):
            self._end(channel)
            if channel.task is not None and channel.task is not asyncio.current_task():
                channel.task.cancel()

    def _over(self, reason: str) -> None:
        """Nothing more is said after what was said."""
        self._phase = "over"
        self._line.close(reason)

    def _ended(self) -> None:
        """The session was ended by somebody else: the user is gone, or has another password."""
        if not self._link.gone and self._phase not in {"closing", "over"}:
            self._refuse(Refused(Code.CONNECTION_FORCED, "the session was ended"), None)

    def _told_to_close(self, reason: str) -> None:
        """Somebody who looks after the server wants it gone."""
        self._refuse(Refused(Code.CONNECTION_FORCED, reason), None)

    def drain(self) -> None:
        """See `Door`: say that the server stops, when what runs is done; who has gone is told nothing."""
        if self._line.ended or self._phase not in {"open", "closing"}:
            self._over("")
        elif self._phase == "open":
            self._phase = "busy"
            self._task = asyncio.get_running_loop().create_task(self._finish(self._force))

    def _force(self) -> None:
        self._phase = "open"
        self._refuse(Refused(Code.CONNECTION_FORCED, SHUTDOWN), None)

    def lost(self) -> None:
        """See `Door`."""
        link = self._link
        if link.gone:
            return
        self._phase = "over"
        for channel in list(self._channels.values()):
            channel.flush()
        for name in list(self._timers):
            self._cancel(name)
        self._end_all()
        if self._listed is not None:
            self._listed.leave()
        link.gone = True
        self._room.close()
        if self._task is not None:
            self._task.cancel()
        if link.known:
            try:
                link.broker.end_session(link.session)
            except IsthmusError as error:
                logger.debug("the end of a connection: %s", error)

    # ---- timers ---------------------------------------------------------------------------------------------------

    def _after(self, name: str, wait_ms: int, callback: Callable[[], None]) -> None:
        self._cancel(name)

        def due() -> None:
            self._timers.pop(name, None)
            if not self._link.gone:
                callback()

        self._timers[name] = self._clock.timer(self._clock.monotonic_ms() + wait_ms, due)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()


def _size_bytes(event: Published | Method) -> int:
    """What can be large of what is kept: a message, or the arguments of a method."""
    if isinstance(event, Published):
        return len(event.body) + len(event.properties)
    arguments = getattr(event, "arguments", None)
    return len(encode_table(arguments)) if arguments else 0


def _check_tuned(name: str, value: int, most: int, least: int) -> None:
    """Raises Refused for what is more than was proposed; 0 stands for no limit."""
    if value == 0 or value > most:
        shown = "0 (no limit)" if value == 0 else str(value)
        raise Refused(
            Code.NOT_ALLOWED, f"negotiated {name} = {shown} is higher than the maximum allowed value ({most})"
        )
    if value < least:
        raise Refused(
            Code.NOT_ALLOWED, f"negotiated {name} = {value} is lower than the minimum allowed value ({least})"
        )
