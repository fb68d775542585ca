"""The driver of all protocols: connections with their buffers, limits and turns, between asyncio and a `Door` each.

It receives, lets doors begin requests in fair slices, sends, and closes who breaks a limit. It opens no listener and
knows no protocol; see `protocols/door.py` for what both sides may expect.

Theory of operation
-------------------
What arrives is handed to the door at once, which only keeps it, and the connection says that it has work. In its slice
(`pump.py`) the door begins requests. Answers are collected and written once a turn. Reading pauses while the door holds
more than it needs, or while all doors together hold too much (`ingress.py`); requests pause while the peer does not
read or the door is held. Everything that has to do with time is looked at by `deadlines.py`.

Invariants:
    T1: a door is stepped only between being made and being lost, and never while its peer is congested, it is held
        and was not woken, or its line is being closed.
    T2: what a connection holds is at most what its request at hand needs, BUFFERED_BYTES_MAX, and one read.
    T3: `lost` is called exactly once for each door that was made.
    T4: a connection that is closed, by whoever it is, is gone after CLOSING_MS at most.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

from isthmus.clock import Clock
from isthmus.limits import (
    BUFFERED_BYTES_MAX,
    CLOSING_MS,
    EGRESS_BYTES_HIGH,
    EGRESS_STALL_MS,
    FIRST_BYTE_MS,
    HALF_CLOSED_MS,
    HANDSHAKE_MS,
    IDLE_MS,
    INGRESS_SIP_BYTES,
    INGRESS_STALL_MS,
    READ_BYTES,
    STRANGER_BYTES_MAX,
)
from isthmus.protocols.door import Door, Peer, Service, Step
from isthmus.protocols.sniff import SNIFF_BYTES, foreign
from isthmus.server.admission import Admission
from isthmus.server.deadlines import Deadlines
from isthmus.server.egress import Egress
from isthmus.server.ingress import Ingress
from isthmus.server.pump import Pump

logger = logging.getLogger("isthmus.server")


class Driver:
    """What all connections of a server share: turns, budgets, deadlines, and the list of them.

    Args:
        clock: what deadlines go by.
        now_ns: what slices are measured by.
        around: see `Pump`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        admission: Admission | None = None,
        ingress: Ingress | None = None,
        egress: Egress | None = None,
        idle_ms: int = IDLE_MS,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        around: tuple[Callable[[], None], Callable[[], None]] | None = None,
    ) -> None:
        self.clock = clock
        self.now_ns = now_ns
        self.idle_ms = idle_ms
        self.admission = admission or Admission()
        self.ingress = ingress or Ingress()
        self.egress = egress or Egress()
        self.deadlines = Deadlines(clock)
        self.pump = Pump(asyncio.get_running_loop().call_soon, now_ns, around)
        self.connections: dict[Connection, None] = {}
        # One buffer for all: what was read into it is copied out before anybody else is called.
        self.arena = memoryview(bytearray(READ_BYTES))
        self._empty: asyncio.Future[object] | None = None

    def left(self, connection: "Connection") -> None:
        """A connection has gone."""
        del self.connections[connection]
        self.admission.leave(connection.peer.host)
        if not self.connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    async def drain(self, wait_ms: int) -> None:
        """Let every connection finish what runs, then close it; those that take longer are cut off."""
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._empty = asyncio.get_running_loop().create_future()
            if not await self.clock.wait(self._empty, self.clock.monotonic_ms() + wait_ms):
                for connection in list(self.connections):
                    connection.abort("the server stops, and it is not done in time")
                await self.clock.wait(self._empty, self.clock.monotonic_ms() + CLOSING_MS)


class Connection(asyncio.BufferedProtocol):
    """One connection: the driver's side of a door, and its `Line`; see the module text.

    Made when `Admission.enter` has let it in; `give_back` or the loss of its transport takes it out again.

    Args:
        name: of the listener, for the log.
        plain_binary: the port speaks neither HTTP nor TLS, so who does has come to the wrong one.
        host, port: of the peer, as it was accepted; empty and 0 for a Unix socket.
        trusted: see `Peer`.
    """

    def __init__(
        self,
        driver: Driver,
        service: Service,
        *,
        name: str,
        plain_binary: bool = False,
        host: str = "",
        port: int = 0,
        trusted: bool = False,
    ) -> None:
        self._driver = driver
        self._service = service
        self._name = name
        self._sniffed: bytes | None = b"" if plain_binary else None
        self.peer = Peer(host=host, port=port, trusted=trusted)
        self.accepting: asyncio.Task[None] | None = None
        """What makes the transport; TLS says hello in it."""

        self._transport: asyncio.Transport | None = None
        self._door: Door | None = None
        self.share = driver.pump.join(f"?{host}")
        self.in_line = False
        self.bucket: int | None = None
        self.held_bytes = 0

        self.congested = False
        self._stranger = True
        self._spoke = False
        self._held = False
        self._woken = False
        self._idle = True
        self._flushing = False
        self._full = False
        self._waits_for_budget = False
        self._paused = False
        self._draining = False
        self._lost = False

        self._began_ms = self._active_ms = driver.clock.monotonic_ms()
        self._ended_ms: int | None = None
        self._closing_ms: int | None = None
        self._stalled_ms = 0
        self._unsent_bytes = 0

        driver.connections[self] = None
        driver.deadlines.watch(self, self._began_ms + FIRST_BYTE_MS)
        driver.admission.greet(self)

    # ---- the line, as the door sees it ----------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """See `Line`."""
        return self._ended_ms is not None

    def flush(self) -> None:
        """See `Line`."""
        if not self._flushing and not self._lost:
            self._flushing = True
            self._driver.pump.soon(self._send)

    def wake(self) -> None:
        """See `Line`."""
        self._woken = True
        self._held = False
        self._work()

    def known(self, principal: str) -> None:
        """See `Line`."""
        self._driver.admission.known(self)
        if not self._lost:
            self._stranger = False
            self._driver.pump.move(self, principal)

    def close(self, reason: str = "") -> None:
        """See `Line`."""
        if self._closing_ms is not None or self._lost:
            return
        if reason:
            self._log(logging.WARNING, reason)
        self._closing_ms = self._driver.clock.monotonic_ms()
        self._driver.deadlines.watch(self, self._closing_ms + CLOSING_MS)
        self.flush()

    # ---- what the server asks -------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what runs, then close."""
        if self._door is None:
            self.abort("")
        elif self._closing_ms is None and not self._draining:
            self._draining = True
            self._guarded(self._door.drain)

    def abort(self, reason: str) -> None:
        """Close at once, without sending anything more."""
        if reason and not self._lost:
            self._log(logging.WARNING, reason)
        if self._closing_ms is None:
            self._closing_ms = self._driver.clock.monotonic_ms()
        if self._transport is not None:
            self._transport.abort()
        elif self.accepting is not None:
            self.accepting.cancel()

    # ---- the transport --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell who is there, and open the door."""
        stream = self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no common class
        stream.set_write_buffer_limits(high=EGRESS_BYTES_HIGH)
        self.peer = self._met(stream)
        if self._closing_ms is not None:
            stream.abort()
            return
        try:
            self._door = self._service(self)
        except Exception:
            logger.exception("%s: the service failed", self._name)
            self.abort("")

    def _met(self, transport: asyncio.Transport) -> Peer:
        known = self.peer
        local = transport.get_extra_info("sockname")
        near = local if known.host and isinstance(local, tuple) else ("", 0)
        secured = transport.get_extra_info("ssl_object")
        return Peer(
            host=known.host,
            port=known.port,
            local_host=near[0],
            local_port=near[1],
            tls=secured is not None,
            user=None if secured is None else common_name(secured.getpeercert()),
            trusted=known.trusted,
        )

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as asyncio declares it
        """Where to put what arrives: as much as this peer may send at once."""
        if self._stranger:
            return self._driver.arena[: STRANGER_BYTES_MAX + 1]
        if self._driver.ingress.over and self is not self._driver.ingress.finisher:
            return self._driver.arena[:INGRESS_SIP_BYTES]
        return self._driver.arena

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what has arrived."""
        if self._closing_ms is not None or self._door is None:
            return
        data = bytes(self._driver.arena[:nbytes])
        self._spoke = True
        self._active_ms = self._driver.clock.monotonic_ms()
        if self._sniffed is not None and self._is_foreign(data):
            return
        door = self._door
        self._guarded(lambda: door.receive(data))
        if self._closing_ms is None:
            self._account()
            self._work()

    def _is_foreign(self, data: bytes) -> bool:
        self._sniffed = (self._sniffed or b"") + data[:SNIFF_BYTES]
        found = foreign(self._sniffed)
        if len(self._sniffed) >= SNIFF_BYTES:
            self._sniffed = None
        if found is not None:
            self.close(f"it speaks {found}, which this port does not")
        return found is not None

    def eof_received(self) -> bool:
        """The peer sends no more: begin what there is whole, answer it, and close. TLS cannot be half closed."""
        if self._transport is None or self.peer.tls:
            return False
        self._ended_ms = self._driver.clock.monotonic_ms()
        self._driver.deadlines.watch(self, self._ended_ms + HALF_CLOSED_MS)
        if not self.in_line and not self._held:
            self.drain()
        return True

    def pause_writing(self) -> None:
        """The peer does not read."""
        self.congested = True
        self._stalled_ms = now_ms = self._driver.clock.monotonic_ms()
        self._unsent_bytes = self.unsent()
        self._driver.deadlines.watch(self, now_ms + EGRESS_STALL_MS)
        self._driver.egress.enter(self, now_ms)

    def resume_writing(self) -> None:
        """It does again."""
        self.congested = False
        self._driver.egress.leave(self)
        if self._door is not None and self._closing_ms is None:
            self._guarded(self._door.resumed)
            self.flush()
            self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back everything. A peer that breaks off is usual, so the reason is only for who debugs."""
        if exc is not None:
            logger.debug("%s: %s: %s", self._name, self.peer.host or "a local peer", exc)
        self.give_back()

    def give_back(self) -> None:
        """The connection is gone, or never came to be."""
        if self._lost:
            return
        self._lost = True
        driver = self._driver
        driver.admission.known(self)
        driver.deadlines.forget(self)
        driver.ingress.leave(self)
        driver.egress.leave(self)
        driver.pump.leave(self)
        driver.left(self)
        door, self._door = self._door, None
        if door is not None:
            self._guarded(door.lost)

    # ---- turns ----------------------------------------------------------------------------------------------------

    @property
    def hungry(self) -> bool:
        """See `ingress.Reading`."""
        return self.held_bytes > 0 and self._idle and not self.in_line and self._closing_ms is None

    def _work(self) -> None:
        if self._door is not None and self._closing_ms is None and not self.congested and not self._held:
            self._driver.pump.ready(self)

    def _is_closing(self) -> bool:
        return self._closing_ms is not None

    def run(self, until_ns: int) -> bool:
        """See `pump.Runner`."""
        if self._door is None or self._is_closing() or self.congested:
            return False
        try:
            step = self._steps(self._door, until_ns)
        except Exception:
            logger.exception("%s: a request failed in an unforeseen way; its connection is closed", self._name)
            self.abort("")
            return False
        if self._is_closing():
            return False
        self._idle = step is Step.IDLE
        self._held = step is Step.HELD
        self._account()
        if self._idle and self._full:
            logger.error(
                "%s: the protocol neither takes what it has nor asks for more; its connection ends", self._name
            )
            self.abort("")
        elif self._idle and self._ended_ms is not None:
            self.drain()
        return step is Step.MORE

    def _steps(self, door: Door, until_ns: int) -> Step:
        while True:
            self._woken = False
            step = door.step()
            if step is Step.HELD and self._woken:  # what held it was over before it could say so
                step = Step.MORE
            if step is not Step.MORE or self._is_closing() or self._driver.now_ns() >= until_ns:
                return step

    def _send(self) -> None:
        self._flushing = False
        closing = self._is_closing()
        if self._transport is None or self._lost or (self.congested and not closing):
            return
        if self._door is not None:
            self._write(self._door, self._transport)
        if closing:
            self._transport.close()

    def _write(self, door: Door, transport: asyncio.Transport) -> None:
        parts: list[bytes] = []
        self._guarded(lambda: parts.extend(door.data_to_send()))
        if not parts or transport.is_closing():
            return
        self._active_ms = self._driver.clock.monotonic_ms()
        if len(parts) == 1:
            transport.write(parts[0])
        else:
            transport.writelines(parts)

    def _guarded(self, call: Callable[[], object]) -> None:
        """A door that fails loses its connection and nobody else's."""
        try:
            call()
        except Exception:
            logger.exception("%s: a connection failed in an unforeseen way and is closed", self._name)
            self.abort("")

    # ---- budgets --------------------------------------------------------------------------------------------------

    def _account(self) -> None:
        """Count what the door holds, and read on or not."""
        if self._door is None:
            return
        held, wanted = self._door.buffered_bytes, self._door.wanted_bytes
        self._driver.ingress.count(self, held)
        if self._stranger and max(held, wanted) > STRANGER_BYTES_MAX:
            self.close(f"it sends more than {STRANGER_BYTES_MAX} bytes before it says who it is")
            return
        self._full = held >= wanted + BUFFERED_BYTES_MAX
        if not self._full:
            self._waits_for_budget = not self._driver.ingress.may_read(self)
        self._set_reading()

    def let_read(self) -> None:
        """See `ingress.Reading`."""
        self._waits_for_budget = False
        self._set_reading()

    def watch_finisher(self) -> None:
        """See `ingress.Reading`."""
        self._active_ms = self._driver.clock.monotonic_ms()
        self._driver.deadlines.watch(self, self._active_ms + INGRESS_STALL_MS)

    def _set_reading(self) -> None:
        pause = self._full or self._waits_for_budget
        if self._transport is None or pause == self._paused or self._transport.is_closing():
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # ---- time -----------------------------------------------------------------------------------------------------

    def look(self, now_ms: int) -> int | None:
        """See `deadlines.Looked`: close what is late."""
        due_ms, reason = min(self._due(now_ms))
        if due_ms > now_ms:
            return due_ms
        if self._closing_ms is None and self._ended_ms is not None:
            self.close(reason)
            return now_ms + CLOSING_MS
        self.abort(reason)
        return None

    def _due(self, now_ms: int) -> list[tuple[int, str]]:
        if self._closing_ms is not None:
            return [(self._closing_ms + CLOSING_MS, "")]
        due = [(self._active_ms + self._driver.idle_ms, "")]
        if self._ended_ms is not None:
            due.append((self._ended_ms + HALF_CLOSED_MS, ""))
        if self._stranger:
            due.append((self._began_ms + HANDSHAKE_MS, "it does not say who it is"))
            if not self._spoke:
                due.append((self._began_ms + FIRST_BYTE_MS, "it says nothing"))
        if self.congested:
            due.append((self.stalled_since_ms(now_ms) + EGRESS_STALL_MS, "it does not read what it has asked for"))
        if self._driver.ingress.finisher is self and self._idle:
            due.append((self._active_ms + INGRESS_STALL_MS, "memory is short, and it does not complete its request"))
        return due

    def stalled_since_ms(self, now_ms: int) -> int:
        """See `egress.Congested`."""
        if (unsent := self.unsent()) < self._unsent_bytes:
            self._unsent_bytes, self._stalled_ms = unsent, now_ms
        return self._stalled_ms

    def unsent(self) -> int:
        """See `egress.Congested`."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _log(self, level: int, reason: str) -> None:
        peer = f"{self.peer.host}:{self.peer.port}" if self.peer.host else "a local peer"
        logger.log(level, "%s: %s is closed: %s", self._name, peer, reason)


def common_name(certificate: dict[str, object] | None) -> str | None:
    """The common name of a certificate that TLS has verified, as `SSLObject.getpeercert` gives it."""
    subject = (certificate or {}).get("subject", ())
    pairs = [pair for part in subject for pair in part] if isinstance(subject, tuple) else []
    return next((value for name, value in pairs if name == "commonName"), None)
