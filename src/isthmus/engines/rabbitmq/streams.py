"""What a stream queue holds: its first and last offset, its last message, a range of it, the offset of a time.

AMQP has no question for any of that, so a consumer is attached for a moment: RabbitMQ sends what a stream has before it
answers the next question on that channel.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from aiormq import Channel
from aiormq.abc import DeliveredMessage

from isthmus.engines.base import Start
from isthmus.engines.rabbitmq.link import Link
from isthmus.engines.rabbitmq.messages import offset_of, stored
from isthmus.errors import EngineError

AT_ONCE: Final = 5_000
"""Messages that are asked for at once: more than the 4,096 of the largest chunk."""

ANSWER_MS: Final = 30_000
CLOCKS_APART_MS: Final = 60_000
"""RabbitMQ finds a time by when it wrote, a record says when it was published: so far apart may the clocks be."""

Offset = str | int | datetime


def offset_argument(start: Start) -> Offset:
    """Where a consumer is to begin, in the words of `x-stream-offset`; a time is met or passed before it."""
    match start:
        case "earliest":
            return "first"
        case "latest":
            return "next"
        case int():
            return start
        case (_, time_ms):
            return datetime.fromtimestamp(max(0, time_ms - CLOCKS_APART_MS) // 1_000, UTC)


class _Glimpse:
    """A consumer for a moment: what it got, and when it has got enough."""

    def __init__(self, channel: Channel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._until: Callable[[DeliveredMessage], bool] | None = None
        self._enough: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self.got: list[DeliveredMessage] = []

    async def begin(self, offset: Offset) -> None:
        await self._channel.basic_consume(self._queue, self._take, arguments={"x-stream-offset": offset})
        await self._channel.queue_declare(self._queue, passive=True)
        await asyncio.sleep(0)

    async def _take(self, message: DeliveredMessage) -> None:
        self.got.append(message)
        tag = message.delivery_tag
        if len(self.got) % (AT_ONCE // 2) == 0 and tag is not None:
            await self._channel.basic_ack(tag, multiple=True, wait=False)
        if self._until is not None and self._until(message) and not self._enough.done():
            self._enough.set_result(None)

    async def wait(self, link: Link, until: Callable[[DeliveredMessage], bool]) -> None:
        """Go on until a message is the last that is wanted."""
        self._until = until
        if any(until(message) for message in self.got):
            return
        if not await link.time.wait(self._enough, link.time.monotonic_ms() + ANSWER_MS):
            raise EngineError(f"stream {self._queue!r} did not bring what it holds", retryable=True)


async def glimpse(link: Link, queue: str, offset: Offset) -> list[DeliveredMessage]:
    """What a consumer gets at once from an offset on. Raises UnknownTopic."""

    async def look(channel: Channel) -> list[DeliveredMessage]:
        found = _Glimpse(channel, queue)
        await found.begin(offset)
        return found.got

    return await link.alone(look, queue, prefetch=AT_ONCE)


async def last_of(link: Link, queue: str) -> DeliveredMessage | None:
    """The newest message. Raises UnknownTopic."""
    found = await glimpse(link, queue, "last")
    return found[-1] if found else None


async def end_of(link: Link, queue: str) -> int:
    """The offset that comes next. Raises UnknownTopic."""
    last = await last_of(link, queue)
    return 0 if last is None else offset_of(last) + 1


async def bounds_of(link: Link, queue: str) -> tuple[int, int]:
    """The offset of the oldest message, and the one that comes next. Raises UnknownTopic."""
    end = await end_of(link, queue)
    if not end:
        return 0, 0

    async def look(channel: Channel) -> int:
        found = _Glimpse(channel, queue)
        await found.begin("first")
        await found.wait(link, lambda _: True)
        return offset_of(found.got[0])

    return await link.alone(look, queue, prefetch=1), end


async def range_of(link: Link, queue: str, start: int, end: int) -> list[DeliveredMessage]:
    """The messages from `start` to `end`, exclusive, which must be there. Raises UnknownTopic."""
    if start >= end:
        return []

    async def read(channel: Channel) -> list[DeliveredMessage]:
        found = _Glimpse(channel, queue)
        await found.begin(start)
        await found.wait(link, lambda message: offset_of(message) >= end - 1)
        return [message for message in found.got if start <= offset_of(message) < end]

    return await link.alone(read, queue, prefetch=AT_ONCE)


async def offset_at(link: Link, queue: str, start: Start) -> int:
    """The offset at which a start lies, within what there is. Raises UnknownTopic."""
    low, end = await bounds_of(link, queue)
    match start:
        case "earliest":
            return low
        case "latest":
            return end
        case int():
            return max(low, min(start, end))
        case (_, time_ms):
            return await _offset_of_time(link, queue, time_ms, end)


async def _offset_of_time(link: Link, queue: str, time_ms: int, end: int) -> int:
    def is_late(message: DeliveredMessage) -> bool:
        return offset_of(message) >= end - 1 or stored(message, 0).timestamp_ms >= time_ms

    async def look(channel: Channel) -> int:
        found = _Glimpse(channel, queue)
        await found.begin(offset_argument(("time", time_ms)))
        await found.wait(link, is_late)
        late = (offset_of(each) for each in found.got if stored(each, 0).timestamp_ms >= time_ms)
        return min(next(late, end), end)

    return await link.alone(look, queue, prefetch=AT_ONCE) if end else 0
