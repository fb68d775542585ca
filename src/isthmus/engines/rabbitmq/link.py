"""The engine's way to a broker: a connection that is made again when it breaks, its channels, and confirmed publishing.

It knows neither queues nor streams. A publish that was not confirmed when the connection broke is sent again, so it may
come twice.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPChannelError, AMQPError, ChannelInvalidStateError, DeliveryError
from aiormq import Channel

from isthmus.clock import SystemClock
from isthmus.engines.rabbitmq.address import Address
from isthmus.engines.rabbitmq.messages import Sent, raised
from isthmus.engines.shared.room import Room
from isthmus.errors import AccessDenied, Closed, EngineError, IsthmusError
from isthmus.limits import PENDING_BYTES_MAX

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_S: Final = 15.0
"""How long the broker may take to let us in."""

AGAIN_MS: Final = (100, 500, 1_000, 2_000, 5_000, 5_000, 5_000, 5_000)
"""Pauses between attempts to reach a broker that is gone."""

FAILURES: Final = (AMQPError, OSError, ChannelInvalidStateError, TimeoutError)
"""What the client raises when the broker, or the way to it, is the reason."""


class Link:
    """See the module. One loop. `start` first; `close` ends all channels."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.closed = False
        # The broker's time is not what a test moves.
        self.time = SystemClock()
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()
        self._control: Channel | None = None
        self._asking = asyncio.Lock()
        self._publishing: Channel | None = None
        self._opening = asyncio.Lock()
        self._room = Room(PENDING_BYTES_MAX)

    # ---- the connection ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Reach the broker.

        Raises:
            EngineError: nobody answers there. AccessDenied: not with these credentials, or not in this virtual host.
        """
        try:
            self._connection = await self._connect()
        except FAILURES as error:
            raise raised(error, self.address.url) from error

    async def _connect(self) -> AbstractConnection:
        address = self.address
        context = ssl.create_default_context(cafile=address.ca) if address.tls else None
        return await aio_pika.connect(
            host=address.host,
            port=address.port,
            login=address.user,
            password=address.password,
            virtualhost=address.vhost,
            ssl=address.tls,
            ssl_context=context,
            timeout=CONNECT_S,
            client_properties={"connection_name": "isthmus"},
            heartbeat=address.heartbeat_s,
        )

    async def _connected(self) -> AbstractConnection:
        async with self._connecting:
            if self.closed:
                raise Closed(self.address.url)
            connection = self._connection
            if connection is None or not connection.connected.is_set():
                connection = self._connection = await self._reconnect(connection)
            return connection

    async def _reconnect(self, old: AbstractConnection | None) -> AbstractConnection:
        if old is not None:
            await _quietly(old.close())
        last: IsthmusError = Closed(self.address.url)
        for pause_ms in AGAIN_MS:
            try:
                return await self._connect()
            except FAILURES as error:
                last = raised(error, self.address.url)
                if isinstance(last, AccessDenied):
                    break
                logger.warning("%s; trying again", last)
            await self.pause(pause_ms)
            if self.closed:
                break
        raise last

    async def pause(self, ms: int) -> None:
        """A moment for the broker."""
        await self.time.sleep_until(self.time.monotonic_ms() + ms)

    async def close(self) -> None:
        """End the connection with all its channels; idempotent."""
        self.closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            await _quietly(connection.close())

    @property
    def version(self) -> tuple[int, int]:
        """The first two numbers of what the broker says it is."""
        transport = None if self._connection is None else self._connection.transport
        given = {} if transport is None else transport.connection.server_properties
        words = str(given.get("version", "")).split(".")
        numbers = [int(word) for word in words[:2] if word.isdecimal()]
        return (numbers[0], numbers[1]) if len(numbers) == 2 else (0, 0)

    # ---- channels ---------------------------------------------------------------------------------------------------

    async def channel(self, *, confirms: bool = False, prefetch: int = 0) -> Channel:
        """A channel of one's own; `prefetch` 0 is no limit."""
        connection = await self._connected()
        transport = connection.transport
        if transport is None:
            raise EngineError(f"{self.address.url}: the connection is gone", retryable=True)
        try:
            channel = await transport.connection.channel(publisher_confirms=confirms)
            if prefetch:
                await channel.basic_qos(prefetch_count=prefetch)
        except FAILURES as error:
            raise raised(error, self.address.url) from error
        return channel  # type: ignore[return-value] # what the client's own annotation calls its interface

    async def ask(self, call: Callable[[Channel], Awaitable[T]], about: str = "") -> T:
        """Ask the broker something on the channel for questions; what goes wrong is translated.

        A question whose connection breaks is asked again: questions are such that this does no harm.
        """
        async with self._asking:
            for last in (False, True):
                if self._control is None or self._control.is_closed:
                    self._control = await self.channel()
                try:
                    return await call(self._control)
                except FAILURES as error:
                    self._control = None
                    if last or isinstance(error, AMQPChannelError) or self.closed:
                        raise raised(error, about or self.address.url) from error
        raise Closed(self.address.url)

    async def alone(self, call: Callable[[Channel], Awaitable[T]], about: str, *, prefetch: int = 0) -> T:
        """Do something on a channel of its own, which ends with it: what is unacknowledged goes back."""
        channel = await self.channel(prefetch=prefetch)
        try:
            return await call(channel)
        except FAILURES as error:
            raise raised(error, about) from error
        finally:
            await _quietly(channel.close())

    # ---- publishing -------------------------------------------------------------------------------------------------

    async def publish(self, messages: Sequence[Sent], about: str) -> None:
        """Send messages in order; returns when the broker has confirmed all.

        Raises:
            UnknownTopic: nobody takes them: there is no such exchange, or no queue behind it.
            Overloaded: a queue that is full has refused one of them; the others may be there.
            EngineError: the broker cannot be reached.
        """
        size = sum(message.size_bytes for message in messages)
        await self._room.enter(size)
        try:
            left = list(messages)
            for last in (False, False, True):
                left = await self._send(left, about, last=last)
                if not left:
                    return
        finally:
            self._room.leave(size)

    async def _send(self, messages: Sequence[Sent], about: str, *, last: bool) -> list[Sent]:
        """Send; what the broken connection left in doubt is returned."""
        async with self._opening:
            if self.closed:
                raise Closed(self.address.url)
            if self._publishing is None or self._publishing.is_closed:
                self._publishing = await self.channel(confirms=True)
            channel = self._publishing
            sending = [asyncio.ensure_future(_send_one(channel, message)) for message in messages]
        results = await asyncio.gather(*sending, return_exceptions=True)
        doubtful = []
        for message, result in zip(messages, results, strict=True):
            if not isinstance(result, BaseException):
                continue
            broken = not isinstance(result, DeliveryError | AMQPChannelError) and isinstance(result, FAILURES)
            if last or not broken or self.closed:
                raise raised(result, about) from result
            doubtful.append(message)
        return doubtful


async def _send_one(channel: Channel, message: Sent) -> None:
    await channel.basic_publish(
        message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        properties=message.properties,
        mandatory=True,
        wait=False,
    )


async def _quietly(closing: Awaitable[object]) -> None:
    """Close what may be broken already."""
    try:
        await closing
    except FAILURES as error:
        logger.debug("closing: %s", error)
