"""A server: a broker with listeners, started and stopped in order.

It opens what the settings name, refuses what would be open to strangers, and stops without losing what was promised. It
speaks no protocol.
"""

import asyncio
import gc
import logging
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from isthmus.broker.access import is_near
from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.clock import Clock, SystemClock
from isthmus.errors import InvalidArgument, NoAccess
from isthmus.limits import SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import RealStorage, socket_path
from isthmus.server.admission import Admission
from isthmus.server.config import Address, Settings
from isthmus.server.lag import LoopLag
from isthmus.server.listener import Listener, bind_tcp, bind_unix
from isthmus.server.services import PROTOCOLS, Host
from isthmus.server.tcp import Driver
from isthmus.server.tls import server_context

logger = logging.getLogger("isthmus.server")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may keep the interpreter from the loop: a tenth of Python's default."""

UNIX_PROTOCOL: Final = "native"
"""What is spoken on the socket in the data directory, by which other processes of its user reach the owner."""


class Listening(Struct, frozen=True, kw_only=True):
    """An address that is served: TCP with a host and a port, or a Unix socket with a path."""

    protocol: str
    host: str | None = None
    port: int | None = None
    path: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        where = f"unix:{self.path}" if self.path else str(Address(self.host or "", self.port or 0))
        return f"{self.protocol} {where}" + (" (TLS)" if self.tls else "")


class Server:
    """The listeners of one broker, which somebody else opens before and closes afterwards.

    Raises:
        InvalidArgument: the files for TLS are not what they should be.
    """

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.broker = broker
        self.settings = settings
        broker.access.insecure = settings.insecure
        clock: Clock = broker.clock
        admission = Admission(settings.connections_max, settings.connections_per_host_max)
        # What the requests of one turn write is one commit, and not one each.
        together = (broker.journal.hold, broker.journal.release)
        self.driver = Driver(clock, admission=admission, idle_ms=settings.idle_ms, around=together)
        self.lag = LoopLag(clock)
        self.stopping = False
        self._tls = tls_of(settings)
        self._listeners: list[Listener] = []

    async def start(self, *, unix: bool = True, tcp: bool = True) -> list[Listening]:
        """Bind everything, then accept; what is returned is being served.

        Args:
            unix: listen on the socket in the data directory.
            tcp: listen on the addresses of the settings.

        Raises:
            InvalidArgument: an address cannot be used, or is open to strangers.
        """
        try:
            if tcp:
                self._bind_tcp()
            if unix and UNIX_PROTOCOL in PROTOCOLS:
                self._bind_unix()
        except BaseException:
            await self.stop()
            raise
        if tcp:
            self.lag.start()
        for listener in self._listeners:
            listener.start()
        return self._listening()

    def _listening(self) -> list[Listening]:
        return [told(listener) for listener in self._listeners]

    def _bind_tcp(self) -> None:
        for name, address in self.settings.listeners().items():
            if name in PROTOCOLS:
                self._listeners.append(self._listener(name, address, None))
        check_exposure([told(each) for each in self._listeners], self.settings, guarded=self.broker.access.guarded)

    def _bind_unix(self) -> None:
        """Not every file system has sockets, and a broker without one is still a broker."""
        try:
            path = socket_path(self.broker.storage)
            if path is not None:
                self._listeners.append(self._listener(UNIX_PROTOCOL, None, Path(path)))
        except (OSError, NoAccess, InvalidArgument) as error:
            logger.warning("other processes cannot be served beside this one: %s", error)

    def _listener(self, name: str, address: Address | None, path: Path | None) -> Listener:
        protocol = PROTOCOLS[name]
        host = Host(self.broker, self.settings, self.driver, self.lag, self._listening)
        service = protocol.make(host)
        if path is not None:
            return Listener(self.driver, service, bind_unix(path), name=name)
        if address is None:
            raise InvalidArgument(name, "needs an address or a path to listen on")
        bound = bind_tcp(address.host, address.port)
        return Listener(self.driver, service, bound, name=name, tls=self._tls, plain_binary=protocol.binary)

    async def stop(self) -> None:
        """Accept nobody any more, let every connection finish what runs within the bound, close them all."""
        self.stopping = True
        self.lag.stop()
        for listener in self._listeners:
            await listener.stop()
        self._listeners.clear()
        await self.driver.drain(self.settings.drain_ms)

    def abandon(self, *, forked: bool = False) -> None:
        """Close the sockets without a word: the event loop has ended, or this is a child whose parent has them."""
        for listener in self._listeners:
            listener.abandon(remove=not forked)
        self._listeners.clear()


def told(listener: Listener) -> Listening:
    """What is said of a listener."""
    if listener.path is not None:
        return Listening(protocol=listener.name, path=listener.path)
    return Listening(protocol=listener.name, host=listener.host, port=listener.port, tls=listener.tls is not None)


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """The context for all listeners of TCP; None without a certificate.

    Raises:
        InvalidArgument: settings that do not go together, or files that are not what they should be.
    """
    if settings.tls_cert is None:
        for name in ("tls_key", "tls_client_ca"):
            if getattr(settings, name) is not None:
                raise InvalidArgument(name, "means nothing without tls_cert, the server's own certificate")
        return None
    key = None if settings.tls_key is None else Path(settings.tls_key)
    client_ca = None if settings.tls_client_ca is None else Path(settings.tls_client_ca)
    return server_context(Path(settings.tls_cert), key, client_ca, settings.tls_client)


def check_exposure(listening: Sequence[Listening], settings: Settings, *, guarded: bool) -> None:
    """Refuse to be reached from other machines without TLS and authentication, unless that is asked for by name.

    Args:
        listening: what is bound.
        settings: whether it is asked for.
        guarded: whether there is a user, so that everybody has to prove who they are.

    Raises:
        InvalidArgument: which address it is, and what is missing.
    """
    for each in listening:
        if each.host is None or is_near(each.host):
            continue
        missing = ([] if each.tls else ["TLS (tls_cert)"]) + ([] if guarded else ["a user (`isthmus user add`)"])
        if not missing:
            continue
        if not settings.insecure:
            raise InvalidArgument(
                each.protocol,
                f"{each.host} can be reached from other machines, which needs {' and '.join(missing)}; listen on"
                " 127.0.0.1, or say --insecure if everybody who can connect may read and change everything",
            )
        logger.warning("INSECURE: %s can be reached from other machines without %s", each, " and ".join(missing))


async def serve(settings: Settings, ready: Callable[[Sequence[Listening]], None]) -> None:
    """Open the broker and serve it until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        settings: see there.
        ready: is told all addresses when each of them is served.

    Raises:
        DirectoryInUse, NotAStore, NoAccess, FormatTooNew: see `Broker.open`.
        InvalidArgument: see `Server`.
    """
    settings.listeners()
    settings.advertised()
    stop = asyncio.Event()
    _on_signal(stop)
    broker = broker_of(settings)
    server = Server(broker, settings)
    await broker.open()
    try:
        if broker.journal.damage:
            logger.error("this store is damaged and cannot be written; see `isthmus log verify`")
        listening = await server.start()
        ready(listening)
        logger.info("serving %s: %s", broker.storage.directory, ", ".join(map(str, listening)) or "nothing")
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()
        gc.freeze()  # what is there now stays, and is no work for later collections
        await stop.wait()
    finally:
        await server.stop()
        await broker.close()


def broker_of(settings: Settings) -> Broker:
    """A broker on the directory of the settings, with the sizes of a server; not opened yet.

    Raises:
        InvalidArgument: a size that cannot be.
    """
    if not SEGMENT_BYTES_MIN <= settings.segment_bytes <= SEGMENT_BYTES_MAX:
        raise InvalidArgument(
            "segment_bytes", f"{settings.segment_bytes} is outside {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
        )
    options = BrokerOptions(JournalOptions(segment_bytes=settings.segment_bytes))
    return Broker(RealStorage(settings.directory), SystemClock(), options)


def _on_signal(stop: asyncio.Event) -> None:
    """The first signal stops in order; after it, signals do what they do by default."""
    loop = asyncio.get_running_loop()

    def caught(number: int) -> None:
        for each in SIGNALS:
            loop.remove_signal_handler(each)
        logger.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    for each in SIGNALS:
        loop.add_signal_handler(each, caught, each)
