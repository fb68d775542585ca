"""A member of a group on a RabbitMQ broker, as the source of a stream.

RabbitMQ's streams know no groups: so for each partition a queue with a single active consumer holds one message, and
whoever has that message reads the partition; how far the group has come stands in a small stream beside it, of which
the last message counts. A desk hands out what was read.

Theory of operation
-------------------
Every member puts a message into the queue when it joins; the queue holds one that is not taken, and the active consumer
lets all but one go. When a member leaves or is lost, its message goes back and to the member that is active next, which
reads where the group stands, and goes on there. Members that are not active stand by.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from aiormq.abc import DeliveredMessage
from msgspec import Struct

from isthmus.clock import Clock
from isthmus.engines.base import Received
from isthmus.engines.rabbitmq import names, streams
from isthmus.engines.rabbitmq.feed import Feed
from isthmus.engines.rabbitmq.link import FAILURES, Link
from isthmus.engines.rabbitmq.messages import sent
from isthmus.engines.rabbitmq.reader import StreamFeed
from isthmus.engines.shared import progress
from isthmus.engines.shared.desk import Desk, Terms
from isthmus.engines.shared.lot import Lot
from isthmus.engines.shared.pieces import Piece, Place
from isthmus.errors import EngineError
from isthmus.lenses.stream.position import Progress
from isthmus.record import Record, StoredRecord

JOIN_MS: Final = 5_000
"""So long the first member waits to be told that it is the active one; then it stands by like others."""

TOKEN: Final[Mapping[str, object]] = {"x-single-active-consumer": True, "x-max-length": 1}


class Stated(Struct, frozen=True):
    """How far a group has come in a partition: its floor, and what is done and failed above it (`progress.py`)."""

    floor: int
    more: str = ""


_decoder: Final = msgspec.json.Decoder(Stated)


async def stated(link: Link, group: str, queue: str) -> Progress | None:
    """Where a group stands in a partition; None when nobody has said so. Raises UnknownTopic: no such group."""
    message = await streams.last_of(link, names.position(group, queue))
    if message is None:
        return None
    try:
        found = _decoder.decode(message.body)
    except msgspec.MsgspecError as error:
        raise EngineError(f"group {group!r}: its position in {queue!r} cannot be read", retryable=False) from error
    return progress.decode(found.floor, found.more)


async def state(link: Link, clock: Clock, group: str, rows: Sequence[tuple[str, Progress]]) -> None:
    """Say where a group stands in partitions."""
    messages = []
    for queue, each in rows:
        body = msgspec.json.encode(Stated(each.floor, progress.encode(each)))
        messages.append(sent(Record(body, timestamp_ms=clock.now_ms()), "", names.position(group, queue)))
    await link.publish(messages, f"group {group}")


class Commits:
    """Commits of a member: what has changed in its partitions, stated by one call for all who wait."""

    def __init__(self, link: Link, clock: Clock, group: str, lots: Mapping[Place, Lot]) -> None:
        self._link = link
        self._clock = clock
        self._group = group
        self._lots = lots
        self._lock = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a commit is on its way."""
        return self._lock.locked()

    async def commit(self) -> None:
        """State all that has changed."""
        async with self._lock:
            while lots := [lot for lot in self._lots.values() if lot.stated < lot.changes]:
                changes = [lot.changes for lot in lots]
                rows = [(names.partition(*lot.place), lot.position.progress()) for lot in lots]
                await state(self._link, self._clock, self._group, rows)
                for lot, reached in zip(lots, changes, strict=True):
                    lot.stated = reached


class Share:
    """What a member has of one partition: its wish for the token, and the stream while it holds it.

    Args:
        link: where the broker is.
        clock: of watchdogs.
        desk: where records go.
        place: the partition.
        first: the offset at which a group begins that has stated nothing yet.
    """

    def __init__(self, link: Link, clock: Clock, desk: Desk, place: Place, first: int) -> None:
        self._link = link
        self._clock = clock
        self._desk = desk
        self._place = place
        self._first = first
        self._queue = names.partition(*place)
        self._token_queue = names.token(desk.terms.group, self._queue)
        self._wish = Feed(link, clock, self._token_queue, deliver=self._granted, broken=self._lost, ended=desk.fail_all)
        self._token: DeliveredMessage | None = None
        self._stream: StreamFeed | None = None
        self._full = False
        self._batch: list[StoredRecord] = []
        self._ready: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def join(self) -> None:
        """Wish for the partition; returns when the member has it, or when another one does."""
        name, arguments = self._token_queue, dict(TOKEN)
        declared = await self._link.ask(
            lambda channel: channel.queue_declare(name, durable=True, arguments=arguments),  # type: ignore[arg-type]
            name,
        )
        await self._link.publish([sent(Record(b"", timestamp_ms=self._clock.now_ms()), "", name)], name)
        await self._wish.begin(0)
        if not declared.consumer_count:
            await self._link.time.wait(self._ready, self._link.time.monotonic_ms() + JOIN_MS)
        self._desk.check_alive()

    async def close(self) -> None:
        """Let it go."""
        await self._stop()
        await self._wish.close()

    def hold(self, *, full: bool) -> None:
        """Let no more records come for now, or go on."""
        self._full = full
        if self._stream is not None:
            self._stream.hold(full=full)

    def _granted(self, message: DeliveredMessage) -> None:
        if self._token is None:
            self._token = message
            self._desk.spawn(self._take_over(message))
        else:
            self._desk.spawn(self._discard(message))

    async def _discard(self, message: DeliveredMessage) -> None:
        """One token is enough."""
        with contextlib.suppress(*FAILURES):
            await message.channel.basic_ack(message.delivery_tag or 0, wait=False)

    async def _take_over(self, token: DeliveredMessage) -> None:
        found = await stated(self._link, self._desk.terms.group, self._queue)
        lot = Lot(self._place, found or Progress(self._first, (), ()))
        # The group reads from here on: positions that are stated count, for tools and for who comes later.
        lot.changes += found is None
        if self._token is not token:
            return
        self._desk.add(lot)
        await self._desk.commits.commit()
        stream = self._stream = StreamFeed(self._link, self._clock, self._queue, self._arrived, self._desk.fail_all)
        stream.hold(full=self._full)
        await stream.begin(lot.position.floor)
        if not self._ready.done():
            self._ready.set_result(None)

    def _lost(self) -> None:
        """The way to the broker broke: another member may have the partition by now."""
        self._token = None
        self._desk.drop([self._place])
        self._desk.spawn(self._stop())

    async def _stop(self) -> None:
        stream, self._stream = self._stream, None
        self._batch.clear()
        if stream is not None:
            await stream.close()

    def _arrived(self, record: StoredRecord) -> None:
        if not self._batch:
            asyncio.get_running_loop().call_soon(self._hand_on)
        self._batch.append(record)

    def _hand_on(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self._desk.arrived([Piece(self._place, batch, batch[-1].offset + 1)])


class StreamSource:
    """See the module. One loop; `receive` by one task at a time."""

    def __init__(
        self,
        link: Link,
        clock: Clock,
        terms: Terms,
        produce: Callable[[str, Sequence[Record]], Awaitable[object]],
    ) -> None:
        self._link = link
        self._clock = clock
        self.desk = Desk(clock, terms, partial(Commits, link, clock, terms.group), produce, self._hold)
        self._shares: list[Share] = []
        self.on_close: Callable[[], None] | None = None

    async def begin(self, partitions: int) -> None:
        """Join the group for all partitions of its topic."""
        terms = self.desk.terms
        for index in range(partitions):
            queue = names.partition(terms.name, index)
            first = await streams.offset_at(self._link, queue, terms.starts[terms.name])
            share = Share(self._link, self._clock, self.desk, (terms.name, index), first)
            self._shares.append(share)
            await share.join()

    def _hold(self, full: bool) -> None:  # noqa: FBT001 - as the desk says it
        for share in self._shares:
            share.hold(full=full)

    async def close(self) -> None:
        """Leave, and wake a waiting `receive`."""
        if self.desk.closed:
            return
        self.desk.close()
        for share in self._shares:
            await share.close()
        if self.on_close is not None:
            self.on_close()

    # ---- what the desk does -----------------------------------------------------------------------------------------

    def check_tokens(self, received: Sequence[Received]) -> None:
        """Whether this source gave them. Raises InvalidArgument."""
        self.desk.check_tokens(received)

    def check(self, received: Sequence[Received]) -> None:
        """Raise what `finish` would raise."""
        self.desk.check(received)

    async def finish(self, received: Sequence[Received]) -> None:
        """These are done; returns when that is stated."""
        await self.desk.finish(received)

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Deliveries of one partition."""
        return await self.desk.receive(max_events, max_bytes, wait_ms)

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each; it waits in its place."""
        await self.desk.fail(received, delay_ms, reason)

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy each to the dead letters, then finish it."""
        await self.desk.dead(received, reason, traceback)

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back without counting a failure; what is no longer ours is passed over."""
        await self.desk.release(received, delay_ms)

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """A stream has no leases, so its deliveries come back as they are."""
        return await self.desk.extend(received, lease_ms)
