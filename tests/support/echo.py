"""A protocol of lines for the tests of the driver: a real door, small enough to see through.

A line is a command and is answered with a line. `echo x` gives x; `who` says who the peer is; `login x` makes it x;
`hold` holds the door until somebody outside lets go; `later` is answered when somebody outside says so; `big n` is
answered with n bytes; `close` and `boom` end the connection, the second by a bug. A line that begins with `#n ` wants n
bytes behind it, as a frame with a length would.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from isthmus.clock import SystemClock
from isthmus.protocols.door import Line, Step
from isthmus.server.listener import Listener, bind_tcp
from isthmus.server.tcp import Driver


class EchoDoor:
    """One connection of the protocol."""

    def __init__(self, service: "EchoService", line: Line) -> None:
        self.service = service
        self.line = line
        self.buffer = b""
        self.out: list[bytes] = []
        self.steps = 0
        self.waiting = 0
        self.held = False
        self.draining = False
        self.resumes = 0
        self.losses = 0
        self.waited: deque[int] = deque(maxlen=1_000)
        """For the last requests: how many of all connections were begun from its latest bytes to it, it included."""
        self._received_at = 0
        service.doors.append(self)
        if service.open_to_all:
            line.known("local")

    @property
    def buffered_bytes(self) -> int:
        """See `Door`."""
        return len(self.buffer)

    @property
    def wanted_bytes(self) -> int:
        """See `Door`."""
        return self._wanted() if self.buffer.startswith(b"#") else 0

    def _wanted(self) -> int:
        head, *more = self.buffer.split(b" ", 1)
        return len(head) + 1 + int(head[1:]) if more else 0

    def receive(self, data: bytes) -> None:
        """See `Door`."""
        self._received_at = self.service.steps
        self.buffer += data

    def step(self) -> Step:
        """See `Door`."""
        if self._is_held():
            return Step.HELD
        command = None if self.draining else self._take()
        if command is None:
            return Step.IDLE
        self.steps += 1
        self.service.steps += 1
        self.waited.append(self.service.steps - self._received_at)
        self.service.on_step(self)
        self._do(command.decode())
        return Step.HELD if self._is_held() else Step.MORE

    def _is_held(self) -> bool:
        return self.held

    def _take(self) -> bytes | None:
        if self.buffer.startswith(b"#"):
            wanted = self._wanted()
            if not wanted or len(self.buffer) < wanted:
                return None
            self.buffer = self.buffer[wanted:]
            return b"echo framed"
        if b"\n" not in self.buffer:
            return None
        command, _, self.buffer = self.buffer.partition(b"\n")
        return command

    def _do(self, command: str) -> None:
        verb, _, rest = command.partition(" ")
        match verb:
            case "who":
                peer = self.line.peer
                self.answer(f"{peer.user} tls={peer.tls} trusted={peer.trusted} {peer.host} {peer.local_port}")
            case "login":
                self.line.known(rest)
                self.answer("welcome")
            case "hold":
                self.held = True
            case "later":
                self.waiting += 1
            case "big":
                self.answer("x" * int(rest))
            case "close":
                self.answer("bye")
                self.line.close(rest)
            case "boom":
                raise ZeroDivisionError(rest)
            case _:
                self.answer(rest)

    def answer(self, text: str) -> None:
        """Say a line."""
        self.out.append(text.encode() + b"\n")
        self.line.flush()

    def let_go(self) -> None:
        """What held it is over."""
        self.held = False
        self.line.wake()

    def answer_waiting(self) -> None:
        """Answer what was to be answered later."""
        self.waiting -= 1
        self.answer("at last")
        if self.draining:
            self.line.close()

    def data_to_send(self) -> list[bytes]:
        """See `Door`."""
        out, self.out = self.out, []
        return out

    def resumed(self) -> None:
        """See `Door`."""
        self.resumes += 1

    def drain(self) -> None:
        """See `Door`."""
        self.draining = True
        if not self.waiting:
            self.line.close()

    def lost(self) -> None:
        """See `Door`."""
        self.losses += 1


class EchoService:
    """Makes the doors and keeps them for the test to look at."""

    def __init__(self, *, open_to_all: bool = True, on_step: Callable[[EchoDoor], None] = lambda _: None) -> None:
        self.open_to_all = open_to_all
        self.on_step = on_step
        self.steps = 0
        self.doors: list[EchoDoor] = []

    def open(self, line: Line) -> EchoDoor:
        """See `Service`."""
        return EchoDoor(self, line)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something holds; the test's own time limit ends it otherwise."""
    while not condition():  # noqa: ASYNC110 - what is waited for may be anything
        await asyncio.sleep(0.001)


class Peer:
    """A client that reads and writes lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def __call__(self, *commands: str) -> list[str]:
        """Send commands and read an answer for each."""
        self.send("".join(f"{command}\n" for command in commands))
        return [await self.line() for _ in commands]

    def send(self, text: str) -> None:
        """Send characters."""
        self.writer.write(text.encode())

    async def line(self) -> str:
        """Read one line; empty at the end."""
        return (await self.reader.readline()).decode().rstrip("\n")

    async def ended(self) -> bool:
        """Wait for the other side to close; whether nothing came before."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Close it."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:  # it was closed for us
            return


class Echoing:
    """A driver with a listener of the protocol on loopback."""

    def __init__(self, driver: Driver, service: EchoService, listener: Listener) -> None:
        self.driver = driver
        self.service = service
        self.listener = listener
        self.peers: list[Peer] = []

    async def connect(self, **more: Any) -> Peer:
        """A client."""
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.listener.port, limit=1 << 24, **more))
        self.peers.append(peer)
        return peer

    def connect_raw(self) -> socket.socket:
        """A client that only a test moves, and that reads nothing by itself."""
        connected = socket.create_connection(("127.0.0.1", self.listener.port))
        connected.setblocking(False)
        return connected

    async def until(self, condition: Callable[[], object]) -> None:
        """See the function."""
        await until(condition)

    async def door(self, index: int = 0) -> EchoDoor:
        """The door of a connection, when it is there."""
        await self.until(lambda: len(self.service.doors) > index)
        return self.service.doors[index]


@asynccontextmanager
async def echoing(
    service: EchoService | None = None,
    driver: Driver | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    plain_binary: bool = False,
) -> AsyncGenerator[Echoing]:
    """The protocol on loopback; everything is gone afterwards."""
    service = service or EchoService()
    driver = driver or Driver(SystemClock())
    listener = Listener(driver, service.open, bind_tcp("127.0.0.1", 0), name="echo", tls=tls, plain_binary=plain_binary)
    listener.start()
    here = Echoing(driver, service, listener)
    try:
        yield here
    finally:
        for peer in here.peers:
            await peer.close()
        await listener.stop()
        await driver.drain(1_000)
        assert not driver.connections
        assert driver.ingress.total_bytes == 0
        assert driver.admission.connections == 0
        assert driver.admission.strangers == 0
        assert all(door.losses == 1 for door in service.doors)
