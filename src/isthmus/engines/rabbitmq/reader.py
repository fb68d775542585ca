"""Reads partitions of a topic by offset, without a group: a consumer for each stream queue."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from aiormq.abc import DeliveredMessage

from isthmus.clock import Clock, wait_own
from isthmus.engines.base import Chunk, Start
from isthmus.engines.rabbitmq import streams
from isthmus.engines.rabbitmq.feed import Feed
from isthmus.engines.rabbitmq.link import FAILURES, Link
from isthmus.engines.rabbitmq.messages import offset_of, stored
from isthmus.engines.shared.pieces import fitting, size_of
from isthmus.errors import IsthmusError
from isthmus.record import StoredRecord

PREFETCH: Final = 1_000
AHEAD_BYTES: Final = 16 * 1024 * 1024
"""What may wait here; above it RabbitMQ is asked for no more."""


class StreamFeed:
    """A stream from an offset on: records in order, asked for as fast as they are taken.

    Args:
        link: where the broker is.
        clock: of the watchdog.
        queue: the stream.
        arrived: takes each record.
        ended: is told that nothing more will come, and why.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        queue: str,
        arrived: Callable[[StoredRecord], None],
        ended: Callable[[IsthmusError], None],
    ) -> None:
        self._link = link
        self.queue = queue
        self._arrived = arrived
        self._at: int | datetime = 0
        self._unanswered: DeliveredMessage | None = None
        self._full = False
        self._feed = Feed(
            link,
            clock,
            queue,
            deliver=self._deliver,
            broken=self._forget,
            ended=ended,
            arguments=lambda: {"x-stream-offset": self._at},
            starved=self._is_starved,
            gives_back=False,
        )

    async def begin(self, at: int | datetime) -> None:
        """Read from an offset on, or from about a time."""
        self._at = at
        await self._feed.begin(PREFETCH)

    async def close(self) -> None:
        """Stop."""
        await self._feed.close()

    def hold(self, *, full: bool) -> None:
        """Let RabbitMQ send no more for now, or go on."""
        self._full = full
        if not full and self._unanswered is not None:
            self._answer(self._unanswered)

    def _deliver(self, message: DeliveredMessage) -> None:
        offset = offset_of(message)
        if not isinstance(self._at, int) or offset >= self._at:
            self._at = offset + 1
            self._arrived(stored(message, offset))
        if self._unanswered is None and not self._full:
            asyncio.get_running_loop().call_soon(self._answer_last)
        self._unanswered = message

    def _answer_last(self) -> None:
        if self._unanswered is not None and not self._full:
            self._answer(self._unanswered)

    def _answer(self, message: DeliveredMessage) -> None:
        """Acknowledge all up to a message, which only makes room for more of them."""
        self._unanswered = None
        if message.delivery_tag is not None and not message.channel.is_closed:
            self._feed.spawn(self._acknowledge(message, message.delivery_tag))

    async def _acknowledge(self, message: DeliveredMessage, tag: int) -> None:
        try:
            await message.channel.basic_ack(tag, multiple=True, wait=False)
        except FAILURES:  # the channel is gone, and a new one begins behind this message
            self._forget()

    def _forget(self) -> None:
        self._unanswered = None

    async def _is_starved(self) -> bool:
        if self._full or not isinstance(self._at, int):
            return False
        return await streams.end_of(self._link, self.queue) > self._at


class RabbitReader:
    """See `Reader` in `engines/base.py`."""

    def __init__(self, link: Link, clock: Clock, topic: str, queues: Sequence[str]) -> None:
        self._link = link
        self._clock = clock
        self._topic = topic
        self._queues = queues
        self._feeds = [
            StreamFeed(link, clock, queue, partial(self._take, index), self._fail) for index, queue in enumerate(queues)
        ]
        self._ready: list[deque[StoredRecord]] = [deque() for _ in queues]
        self._seen: list[int] = [0] * len(queues)
        self._turn = 0
        self._bytes = 0
        self._full = False
        self._from_ms: list[int] = [-1] * len(queues)
        self._ends: Mapping[int, int] | None = None
        self._error: IsthmusError | None = None
        self._grown: asyncio.Future[object] | None = None
        self._closed = False
        self.on_close: Callable[[], None] | None = None

    async def begin(self, start: Start, *, to_end: bool) -> None:
        """Find the start, and the end when it is to stop there, then read."""
        places: list[int | datetime] = []
        ends: dict[int, int] = {}
        for index, queue in enumerate(self._queues):
            if to_end:
                ends[index] = await streams.end_of(self._link, queue)
            places.append(await self._place(queue, start, ends.get(index)))
        if isinstance(start, tuple):
            self._from_ms = [start[1]] * len(self._queues)
        self._ends = ends if to_end else None
        for index, (feed, place) in enumerate(zip(self._feeds, places, strict=True)):
            self._seen[index] = place if isinstance(place, int) else 0
            if not self._is_done(index):
                await feed.begin(place)

    async def _place(self, queue: str, start: Start, end: int | None) -> int | datetime:
        match start:
            case "earliest":
                return 0
            case "latest":
                return await streams.end_of(self._link, queue) if end is None else end
            case int():
                return max(0, min(start, await streams.end_of(self._link, queue) if end is None else end))
            case _:
                found = streams.offset_argument(start)
                return found if isinstance(found, datetime) else 0

    def _is_done(self, index: int) -> bool:
        return self._ends is not None and self._seen[index] >= self._ends[index]

    @property
    def ended(self) -> bool:
        """Whether every partition has reached where reading was to stop."""
        if self._closed:
            return True
        return self._ends is not None and all(self._is_done(i) and not each for i, each in enumerate(self._ready))

    async def read(self, max_bytes: int, wait_ms: int) -> Chunk | None:
        """The next records of some partition."""
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._closed:
            chunk = self._next(max_bytes)
            if chunk is not None:
                return chunk
            if self._error is not None:
                raise self._error
            if self.ended:
                return None
            self._grown = asyncio.get_running_loop().create_future()
            # Whoever reads to the end waits for it: what is there is only on its way.
            if not await wait_own(self._clock, self._grown, None if self._ends is not None else until_ms):
                return None
        return None

    def _next(self, max_bytes: int) -> Chunk | None:
        for _ in self._ready:
            index, self._turn = self._turn, (self._turn + 1) % len(self._ready)
            waiting = self._ready[index]
            if waiting:
                taken = list(fitting(list(waiting), max_bytes))
                for _ in taken:
                    waiting.popleft()
                self._bytes -= size_of(taken)
                self._hold()
                return Chunk(self._topic, index, taken)
        return None

    def _take(self, index: int, record: StoredRecord) -> None:
        if self._is_done(index):
            return
        self._seen[index] = record.offset + 1
        if self._ends is not None and record.offset >= self._ends[index]:
            pass
        elif record.timestamp_ms >= self._from_ms[index]:
            self._from_ms[index] = -1  # what follows counts, whatever its time
            self._ready[index].append(record)
            self._bytes += size_of((record,))
        self._hold()
        self._wake()

    def _hold(self) -> None:
        full = self._bytes > AHEAD_BYTES
        if full is not self._full:
            self._full = full
            for feed in self._feeds:
                feed.hold(full=full)

    async def close(self) -> None:
        """Wake a waiting `read`, and stop."""
        self._closed = True
        self._wake()
        for feed in self._feeds:
            await feed.close()
        if self.on_close is not None:
            self.on_close()

    def _fail(self, error: IsthmusError) -> None:
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._grown is not None and not self._grown.done():
            self._grown.set_result(None)
