"""A service of HTTP on loopback with a real driver, and clients that ask it."""

import asyncio
import http.client
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from isthmus.clock import Clock, SystemClock
from isthmus.protocols.door import Door, Line, Service
from isthmus.protocols.http.connection import Connection
from isthmus.protocols.http.door import Handler, HttpDoor
from isthmus.server.listener import Listener, bind_tcp
from isthmus.server.tcp import Driver


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request of Python's own client, on a connection of its own."""
    return await asyncio.to_thread(_ask, port, path, method, headers)


def _ask(port: int, path: str, method: str, headers: dict[str, str]) -> Answer:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request(method, path, headers=headers)
        response = client.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        client.close()


class Port:
    """A service that listens."""

    def __init__(self, driver: Driver, listener: Listener) -> None:
        self.driver = driver
        self.listener = listener

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """See the function."""
        return await ask(self.listener.port, path, method, **headers)

    async def say(self, *parts: bytes, half_close: bool = True) -> bytes:
        """Send bytes, and give all that comes until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            if half_close:
                writer.write_eof()
            return await reader.read()
        finally:
            writer.close()

    def connect(self) -> socket.socket:
        """A client that only a test moves."""
        return socket.create_connection(("127.0.0.1", self.listener.port), 30)


@asynccontextmanager
async def listening(service: Service) -> AsyncGenerator[Port]:
    """A service on loopback; everything is gone afterwards."""
    driver = Driver(SystemClock())
    listener = Listener(driver, service, bind_tcp("127.0.0.1", 0), name="web")
    listener.start()
    try:
        yield Port(driver, listener)
    finally:
        await listener.stop()
        await driver.drain(1_000)
        assert not driver.connections
        assert driver.ingress.total_bytes == 0


class Answering:
    """A service of one handler; `gone` counts the connections that ended."""

    def __init__(self, handler: Handler, clock: Clock | None = None) -> None:
        self.handler = handler
        self.clock = clock or SystemClock()
        self.gone = 0

    def open(self, line: Line) -> Door:
        """See `Service`."""
        line.known("local")
        return HttpDoor(line, self.clock, self.handler, Connection(), self._ended)

    def _ended(self) -> None:
        self.gone += 1
