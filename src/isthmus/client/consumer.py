"""Receiving without an app: read a topic by offset, or take events from a queue for the length of a block.

Reading disturbs nobody and settles nothing. A taken event is leased: leaving the block acknowledges, an exception or a
cancellation hands back. Both decode whole chunks at once and leave what cannot be decoded visible.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Generic, Literal, TypeVar

from isthmus.client.delivery import Message, message_of
from isthmus.client.destination import Destination, Queue
from isthmus.client.event import AnyEvent
from isthmus.clock import Timer
from isthmus.engines.base import Chunk, Engine, Reader, Received, Source, Start
from isthmus.errors import LeaseLost, RequestError
from isthmus.limits import FETCH_BYTES_MAX, READ_BYTES_TARGET, READ_WAIT_MS

E = TypeVar("E", bound=AnyEvent)


def messages_of(destination: Destination[E], chunk: Chunk) -> list[Message[E]]:
    """The messages of a chunk, decoded in one go; what cannot be decoded carries its error."""
    topic, partition = chunk.topic, chunk.partition
    outcomes = destination.reader().events(chunk.records)
    return [Message(outcome, stored, topic, partition) for outcome, stored in zip(outcomes, chunk.records, strict=True)]


class ReadLoop(Generic[E]):
    """Chunk by chunk through all partitions of a topic. Belongs to one event loop."""

    def __init__(self, engine: Engine, destination: Destination[E], start: Start, stop: Literal["end"] | None) -> None:
        self._engine = engine
        self._destination = destination
        self._start = start
        self._stop = stop
        self._reader: Reader | None = None
        self._closed = False

    async def chunk(self) -> list[Message[E]] | None:
        """The next messages, all of one partition, in order; waits for them. None when all has been read."""
        reader = self._reader
        if reader is None and not self._closed:
            reader = self._reader = await self._engine.reader(self._destination.name, self._start, self._stop)
        while reader is not None and not self._closed:
            found = await reader.read(READ_BYTES_TARGET, READ_WAIT_MS)
            if found is not None and found.records:
                return messages_of(self._destination, found)
            if reader.ended:
                break
        if reader is not None and self._closed:
            await reader.close()  # it may have been opened while this was being closed
        return None

    async def close(self) -> None:
        """Stop; a waiting `chunk` gives None. Idempotent."""
        self._closed = True
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


class Reading(Generic[E]):
    """What `bus.read` gives: iterate it with `async for`, message by message, or by `chunks()`.

    It frees what it holds at its end, when the iteration is given up, or on leaving it as an `async with` block.
    """

    def __init__(self, chunks: AsyncGenerator[list[Message[E]], None]) -> None:
        self._chunks = chunks
        self._messages = self._each()

    def __aiter__(self) -> AsyncIterator[Message[E]]:
        return self._messages

    async def __anext__(self) -> Message[E]:
        return await anext(self._messages)

    def chunks(self) -> AsyncGenerator[list[Message[E]], None]:
        """The messages in lists, as they come from one partition: the fast way through many."""
        return self._chunks

    async def aclose(self) -> None:
        """Stop reading."""
        await self._messages.aclose()
        await self._chunks.aclose()

    async def __aenter__(self) -> "Reading[E]":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _each(self) -> AsyncGenerator[Message[E], None]:
        try:
            async for chunk in self._chunks:
                for message in chunk:
                    yield message
        finally:
            await self._chunks.aclose()


class Taken(Generic[E]):
    """Deliveries of a queue, held for the length of a block: settles them, and renews their leases until then.

    Belongs to one event loop.
    """

    def __init__(self, engine: Engine, queue: Queue[E], source: Source) -> None:
        self.loop = asyncio.get_running_loop()
        self._engine = engine
        self._queue = queue
        self._source = source
        self._held: dict[tuple[str, int, int], Received] = {}
        self._timer: Timer | None = None
        self._lost: set[tuple[str, int, int]] = set()
        self._renewal: asyncio.Task[None] | None = None

    @property
    def queue_name(self) -> str:
        """The queue it is taken from."""
        return self._queue.name

    async def receive(self, count: int, wait_ms: int) -> list[Message[E]]:
        """Up to `count` messages; waits up to `wait_ms` for the first.

        What cannot be decoded goes to the dead letters with the reason, and is not among them.
        """
        clock = self._engine.clock
        until_ms = clock.monotonic_ms() + wait_ms
        while True:
            received = await self._source.receive(count, FETCH_BYTES_MAX, max(0, until_ms - clock.monotonic_ms()))
            messages = await self._decoded(received)
            if messages or not received:
                break
        self._renew_later()
        return messages

    async def _decoded(self, received: Sequence[Received]) -> list[Message[E]]:
        messages: list[Message[E]] = []
        for outcome, each in zip(self._queue.reader().events(r.stored for r in received), received, strict=True):
            if isinstance(outcome, RequestError):
                await self._source.dead([each], str(outcome), "")
            else:
                messages.append(message_of(outcome, each, self))
                self._held[_place(each)] = each
        return messages

    # ---- settling one, see `Settler` ------------------------------------------------------------------------------

    async def ack(self, received: Received) -> None:
        """Acknowledge one now. Raises LeaseLost."""
        await self._settle([self._let_go(received)])

    async def nack(self, received: Received, delay_ms: int | None) -> None:
        """Count a failure of one: again after `delay_ms` or by the policy, a dead letter after the last attempt."""
        current = self._let_go(received)
        failed, retry = received.failed + 1, self._queue.retry
        if retry.exhausted(failed):
            await self._source.dead([current], f"nack after {failed} failures", "")
        else:
            wait_ms = retry.delay_ms(failed, random.random()) if delay_ms is None else delay_ms
            await self._source.fail([current], wait_ms, "nack")

    async def reject(self, received: Received, why: str) -> None:
        """Move one to the dead letters."""
        await self._source.dead([self._let_go(received)], why, "")

    async def extend(self, received: Received, lease_ms: int) -> None:
        """Renew the lease of one. Raises LeaseLost."""
        self._renewed(await self._source.extend([self._current(received)], lease_ms))

    # ---- the end of the block ---------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Acknowledge what is still held.

        Raises:
            LeaseLost: one was no longer ours and will be worked on again; the others are acknowledged.
        """
        held = await self._stop()
        if not held:
            return
        try:
            await self._settle(held)
        except LeaseLost:
            await self._settle_apart(held)

    async def give_back(self) -> None:
        """Hand back what is still held, without counting a failure."""
        held = await self._stop()
        if held:
            await self._source.release(held)

    async def _settle(self, received: Sequence[Received]) -> None:
        unit = self._engine.unit()
        unit.settle(self._source, received)
        await unit.submit()

    async def _settle_apart(self, held: Sequence[Received]) -> None:
        lost: LeaseLost | None = None
        for each in held:
            try:
                await self._settle([each])
            except LeaseLost as error:
                lost = lost or error
        if lost is not None:
            raise lost

    def _current(self, received: Received) -> Received:
        """The delivery as last renewed; a settled or unknown one as it is, for the engine to refuse."""
        return self._held.get(_place(received), received)

    def _let_go(self, received: Received) -> Received:
        return self._held.pop(_place(received), received)

    async def _stop(self) -> list[Received]:
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            await self._renewal
            if self._timer is not None:
                self._timer.cancel()
        held, self._held = list(self._held.values()), {}
        return held

    # ---- renewal ----------------------------------------------------------------------------------------------

    def _renew_later(self) -> None:
        """Set the timer to half of the shortest lease that is left; there is one timer for all that is held."""
        ends = [each.until_ms for each in self._renewable() if each.until_ms is not None]
        if ends:
            clock = self._engine.clock
            now_ms = clock.monotonic_ms()
            self._timer = clock.timer(now_ms + max(1, (min(ends) - now_ms) // 2), self._renew)

    def _renewable(self) -> list[Received]:
        return [each for place, each in self._held.items() if place not in self._lost]

    def _renew(self) -> None:
        self._renewal = self.loop.create_task(self._extend_all())

    async def _extend_all(self) -> None:
        held = self._renewable()
        try:
            self._renewed(await self._source.extend(held, self._queue.lease_ms))
        except LeaseLost:
            # Which are lost is not said for all of them, and nobody can be told before the block ends: ask one by one.
            for each in held:
                await self._extend_one(each)
        self._renew_later()

    async def _extend_one(self, received: Received) -> None:
        try:
            self._renewed(await self._source.extend([received], self._queue.lease_ms))
        except LeaseLost:
            self._lost.add(_place(received))

    def _renewed(self, received: Sequence[Received]) -> None:
        for each in received:
            if _place(each) in self._held:
                self._held[_place(each)] = each


def _place(received: Received) -> tuple[str, int, int]:
    return received.topic, received.partition, received.stored.offset
