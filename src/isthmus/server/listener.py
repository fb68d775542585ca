"""Accepting: sockets of TCP and of Unix, and what becomes of each connection before its protocol begins.

It binds, accepts at the rate that `admission.py` allows, lets TLS say hello, and hands connections to the driver.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
import stat
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from isthmus.errors import InvalidArgument
from isthmus.limits import ACCEPT_BACKLOG, ACCEPT_RETRY_MS, CLOSING_MS, HANDSHAKE_MS
from isthmus.log.storage import SOCKET_PATH_BYTES_MAX
from isthmus.protocols.door import Service
from isthmus.server.tcp import Connection, Driver

logger = logging.getLogger("isthmus.server")

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def bind_tcp(host: str, port: int) -> socket.socket:
    """A socket bound to an address of this machine; port 0 picks a free one.

    Raises:
        InvalidArgument: there is no such host, or the address is taken or forbidden.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InvalidArgument("listen", f"{host!r} is no address of this machine: {error.strerror}") from error
    # A name that has both is bound where most clients look first or fall back to.
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise InvalidArgument("listen", f"{host}:{port} cannot be used: {error.strerror}") from error
    listening.setblocking(False)
    return listening


def bind_unix(path: Path) -> socket.socket:
    """A socket at a path that only this user may connect to. One that a process left there when it died is replaced.

    The caller holds the lock of the directory, so nobody else listens there.

    Raises:
        InvalidArgument: the path is too long, or something else than a socket is there.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise InvalidArgument(
            "directory", f"{path} is longer than the {SOCKET_PATH_BYTES_MAX} bytes that a socket's path may have"
        )
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise InvalidArgument("directory", f"{path} is there and is no socket; move it away")
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a name, not a file


def peer_uid(connected: socket.socket) -> int | None:
    """The user whose process is at the other end of a Unix socket; None where the system does not tell."""
    if sys.platform == "linux":
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    elif sys.platform == "darwin":
        # struct xucred of LOCAL_PEERCRED: version, user, groups.
        return int(struct.unpack("2I", connected.getsockopt(0, 1, 76)[:8])[1])
    else:
        return None


class Listener:
    """One address that a protocol is spoken on.

    Args:
        listening: bound and not blocking; closed with the listener.
        plain_binary: see `Connection`.
    """

    def __init__(
        self,
        driver: Driver,
        service: Service,
        listening: socket.socket,
        *,
        name: str,
        tls: ssl.SSLContext | None = None,
        plain_binary: bool = False,
    ) -> None:
        self.name = name
        self.tls = tls
        self._driver = driver
        self._service = service
        self._listening = listening
        self._plain_binary = plain_binary and tls is None
        self._is_unix = listening.family == socket.AF_UNIX
        self._task: asyncio.Task[None] | None = None
        self._refused_ms = -ACCEPT_RETRY_MS

    @property
    def host(self) -> str:
        """The address that it is bound to; of a Unix socket, nothing."""
        return "" if self._is_unix else str(self._listening.getsockname()[0])

    @property
    def port(self) -> int:
        """The port that it is bound to; of a Unix socket, 0."""
        return 0 if self._is_unix else int(self._listening.getsockname()[1])

    @property
    def path(self) -> str | None:
        """Where a Unix socket is."""
        return str(self._listening.getsockname()) if self._is_unix else None

    def start(self) -> None:
        """Begin to accept: from now on, who connects is served."""
        self._listening.listen(ACCEPT_BACKLOG)
        self._task = asyncio.get_running_loop().create_task(self._accept_all(), name=f"isthmus-accept-{self.name}")

    async def stop(self) -> None:
        """Accept nobody any more; connections that there are stay."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        path = self.path
        self._listening.close()
        if path is not None:
            _remove(path)

    def abandon(self, *, remove: bool) -> None:
        """Close the socket of a loop that has ended; `remove` its name, unless another process has it too."""
        path = self.path
        self._listening.close()
        if remove and path is not None:
            _remove(path)

    async def _accept_all(self) -> None:
        loop, clock = asyncio.get_running_loop(), self._driver.clock
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listening)
            except OSError as error:
                # The peer may have gone again, which is nothing; without descriptors trying at once would spin.
                if error.errno in _EXHAUSTED:
                    logger.error("%s: nobody can be accepted: %s", self.name, error.strerror)  # noqa: TRY400 - no bug
                    await clock.sleep_until(clock.monotonic_ms() + ACCEPT_RETRY_MS)
                continue
            host, port = ("", 0) if self._is_unix else address[:2]
            try:
                while early_ms := self._driver.admission.too_early_ms(host, clock.monotonic_ms()):
                    await clock.sleep_until(clock.monotonic_ms() + early_ms)
            except asyncio.CancelledError:
                accepted.close()
                raise
            self._let_in(accepted, host, port)

    def _let_in(self, accepted: socket.socket, host: str, port: int) -> None:
        refusal = self._driver.admission.enter(host)
        if refusal is not None:
            accepted.close()
            self._log_refusal(refusal)
            return
        accepted.setblocking(False)
        connection = Connection(
            self._driver,
            self._service,
            name=self.name,
            plain_binary=self._plain_binary,
            host=host,
            port=port,
            trusted=self._is_unix and peer_uid(accepted) == os.getuid(),
        )
        if not self._is_unix:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opening = asyncio.get_running_loop().create_task(self._open(connection, accepted), name=f"isthmus-{self.name}")
        connection.accepting = opening
        opening.add_done_callback(lambda task: self._opened(connection, accepted, task))

    async def _open(self, connection: Connection, accepted: socket.socket) -> None:
        times = {"ssl_handshake_timeout": HANDSHAKE_MS / 1000, "ssl_shutdown_timeout": CLOSING_MS / 1000}
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection, accepted, ssl=self.tls, **(times if self.tls is not None else {})
        )

    def _opened(self, connection: Connection, accepted: socket.socket, opening: "asyncio.Task[None]") -> None:
        connection.accepting = None
        error = None if opening.cancelled() else opening.exception()
        if opening.cancelled() or error is not None:
            accepted.close()
            connection.give_back()
        if isinstance(error, OSError):
            logger.info("%s: %s is closed: no TLS: %s", self.name, connection.peer.host, error)
        elif error is not None:
            logger.error("%s: a connection cannot be opened", self.name, exc_info=error)

    def _log_refusal(self, refusal: str) -> None:
        """Once in a while: whoever knocks often must not fill the log."""
        now_ms = self._driver.clock.monotonic_ms()
        if now_ms - self._refused_ms >= ACCEPT_RETRY_MS:
            self._refused_ms = now_ms
            logger.warning("%s: a connection is refused: %s", self.name, refusal)
