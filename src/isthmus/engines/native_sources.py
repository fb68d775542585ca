"""Readers and sources of a server, opened again when the connection was lost.

A reader goes on where it was. A source begins anew, and what it had given before is stale. Neither keeps a record.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from isthmus.clock import Clock
from isthmus.engines.base import Chunk, Extent, Received
from isthmus.engines.native_link import Link, LinkLost
from isthmus.errors import InvalidArgument, LeaseLost, RequestError, StaleGeneration
from isthmus.log import batch as batches
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.errors import NativeError, StaleDelivery
from isthmus.record import StoredRecord

T = TypeVar("T")


class Caller(Protocol):
    """What readers and sources ask of their engine."""

    @property
    def clock(self) -> Clock:
        """The clock of this end."""

    async def link(self) -> Link:
        """A live connection."""

    async def ask(self, message: wire.Request, kind: type[T]) -> T:
        """The answer to what may be asked twice."""


class NativeReader:
    """A reader; see `engines/base.py`."""

    def __init__(self, engine: Caller, asked: wire.OpenReader) -> None:
        self._engine = engine
        self._asked = asked
        self._link: Link | None = None
        self._handle = 0
        self._begun = False
        self._offsets: list[int] = []
        self._closed = False
        self.ended = False

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where it goes on."""
        return tuple(self._offsets)

    @property
    def ends(self) -> tuple[int, ...] | None:
        """Where it stops."""
        return self._asked.ends

    @classmethod
    async def open(cls, engine: Caller, asked: wire.OpenReader) -> "NativeReader":
        """Begin to read. Raises UnknownTopic, AccessDenied."""
        made = cls(engine, asked)
        while True:
            try:
                await made._open()
                return made
            except LinkLost:
                continue

    async def _open(self) -> Link:
        """The connection that it is open on."""
        link = await self._engine.link()
        if self._link is link:
            return link
        asked = self._asked
        if self._begun:
            asked = wire.OpenReader(asked.topic, asked.start, asked.stop, tuple(self._offsets), asked.ends)
        answer = await link.request(asked)
        if not isinstance(answer, wire.Opened):
            raise NativeError(f"{type(answer).__name__} is no answer to opening a reader")
        self._link, self._handle, self._offsets, self._begun = link, answer.handle, list(answer.offsets), True
        self._asked = wire.OpenReader(asked.topic, asked.start, asked.stop, None, answer.ends)
        return link

    async def read(self, max_bytes: int, wait_ms: int) -> Chunk | None:
        """The next records of some partition."""
        until_ms = self._engine.clock.monotonic_ms() + wait_ms
        while (extent := await self._next(max_bytes, until_ms)) is not None:
            chunk = extent.chunk()
            self._passed(extent)
            if chunk.records:
                return chunk
        return None

    async def read_batches(self, max_bytes: int, wait_ms: int) -> Extent | None:
        """The same as they are stored."""
        extent = await self._next(max_bytes, self._engine.clock.monotonic_ms() + wait_ms)
        if extent is not None:
            self._passed(extent)
        return extent

    async def _next(self, max_bytes: int, until_ms: int) -> Extent | None:
        while not self._closed and not self.ended:
            left_ms = max(0, until_ms - self._engine.clock.monotonic_ms())
            try:
                return await self._read(max_bytes, left_ms)
            except LinkLost:
                continue
        return None

    async def _read(self, max_bytes: int, wait_ms: int) -> Extent | None:
        link = await self._open()
        try:
            answer = await link.request(wire.Read(self._handle, max_bytes, wait_ms))
        except BaseException as error:
            if not isinstance(error, RequestError):
                self._abandon(link)
            raise
        if not isinstance(answer, wire.Batches):
            raise NativeError(f"{type(answer).__name__} is no answer to reading")
        self.ended = answer.ended
        if not answer.batches:
            return None
        if not 0 <= answer.partition < len(self._offsets):
            raise NativeError(f"batches of partition {answer.partition}, which nobody reads")
        return Extent(answer.topic, answer.partition, answer.start, answer.stop, batches.split(answer.batches))

    def _abandon(self, link: Link) -> None:
        """Whoever waited has gone, and the server may have moved on: the next read opens it again, where we are."""
        if not self._closed:
            link.tell(wire.Close(self._handle))
            self._link = None

    def _passed(self, extent: Extent) -> None:
        self._offsets[extent.partition] = batches.header(extent.batches[-1]).next_offset

    async def close(self) -> None:
        """Wake a waiting `read`."""
        if self._closed:
            return
        self._closed = self.ended = True
        if self._link is not None:
            self._link.tell(wire.Close(self._handle))


class Held(Struct, frozen=True, gc=False):
    """The token of a delivery: who gave it, over which connection, and what the server calls it."""

    source: "NativeSource"
    link: Link
    token: int


class NativeSource:
    """A source; see `engines/base.py`."""

    def __init__(self, engine: Caller, asked: wire.OpenStream | wire.OpenQueue) -> None:
        self.engine = engine
        self._asked = asked
        self._link: Link | None = None
        self._handle = 0
        self._closed = False

    @classmethod
    async def open(cls, engine: Caller, asked: wire.OpenStream | wire.OpenQueue) -> "NativeSource":
        """Join. Raises UnknownTopic, UnknownQueue, AccessDenied."""
        made = cls(engine, asked)
        while True:
            try:
                await made._open()
                return made
            except LinkLost:
                continue

    async def _open(self) -> Link:
        link = await self.engine.link()
        if self._link is link:
            return link
        answer = await link.request(self._asked)
        if not isinstance(answer, wire.Opened):
            raise NativeError(f"{type(answer).__name__} is no answer to opening a source")
        self._link, self._handle = link, answer.handle
        return link

    # ---- receiving ------------------------------------------------------------------------------------------------

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """The next deliveries, over a new connection if this one breaks."""
        until_ms = self.engine.clock.monotonic_ms() + wait_ms
        while not self._closed:
            left_ms = max(0, until_ms - self.engine.clock.monotonic_ms())
            try:
                link = await self._open()
                answer = await link.request(wire.Receive(self._handle, max_events, max_bytes, left_ms))
            except LinkLost:
                continue
            if not isinstance(answer, wire.Delivered):
                raise NativeError(f"{type(answer).__name__} is no answer to receiving")
            return self._received(link, answer)
        return []

    def _received(self, link: Link, answer: wire.Delivered) -> list[Received]:
        now_ms, sources = self.engine.clock.monotonic_ms(), answer.sources
        try:
            return [
                Received(
                    StoredRecord(row.offset, row.timestamp_ms, row.key, row.value, row.headers),
                    Held(self, link, row.token),
                    *sources[row.source],
                    row.attempt,
                    row.failed,
                    None if row.left_ms is None else now_ms + row.left_ms,
                )
                for row in codec.unpack_rows(answer.rows)
            ]
        except IndexError as error:
            raise NativeError("a delivery from a place that its answer does not name") from error

    # ---- settling -------------------------------------------------------------------------------------------------

    def settle(self, link: Link, received: Sequence[Received]) -> wire.Settle:
        """Deliveries that are done, as a message for this connection. Raises LeaseLost, StaleGeneration."""
        return wire.Settle(self._handle, self._tokens(link, received))

    def _tokens(self, link: Link, received: Sequence[Received]) -> bytes:
        keys = [key_of(self, one) for one in received]
        for key, one in zip(keys, received, strict=True):
            if key.link is not link or self._link is not link:
                raise self._stale(one)
        return codec.pack_tokens([key.token for key in keys])

    def _stale(self, one: Received) -> RequestError:
        if isinstance(self._asked, wire.OpenQueue):
            return LeaseLost(self._asked.queue, one.partition, one.stored.offset)
        return StaleGeneration(self._asked.group, -1, -1)

    def blame(self, error: StaleDelivery, received: Sequence[Received]) -> None:
        """Raise what the server means, if it means one of these."""
        for one in received:
            if error.token in (key_of(self, one).token, 0):
                raise self._stale(one) from error

    async def _finish(
        self, message: wire.Fail | wire.Dead | wire.Extend, link: Link, received: Sequence[Received]
    ) -> wire.Answer:
        try:
            return await link.request(message)
        except StaleDelivery as error:
            self.blame(error, received)
            raise

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each."""
        link = await self.engine.link()
        message = wire.Fail(self._handle, self._tokens(link, received), delay_ms, reason)
        await self._finish(message, link, received)

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Move each to the dead letters."""
        link = await self.engine.link()
        message = wire.Dead(self._handle, self._tokens(link, received), reason, traceback)
        await self._finish(message, link, received)

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back; what a connection had that is gone went back with it."""
        link = self._link
        tokens = [key.token for key in [key_of(self, one) for one in received] if key.link is link]
        if tokens and link is not None and link.alive:
            try:
                await link.request(wire.Release(self._handle, codec.pack_tokens(tokens), delay_ms))
            except LinkLost:
                return

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Renew leases. A stream has none."""
        if isinstance(self._asked, wire.OpenStream):
            return list(received)
        link = await self.engine.link()
        message = wire.Extend(self._handle, self._tokens(link, received), lease_ms)
        answer = await self._finish(message, link, received)
        if not isinstance(answer, wire.Renewed) or len(answer.left_ms) != len(received):
            raise NativeError(f"{type(answer).__name__} is no answer to renewing leases")
        now_ms = self.engine.clock.monotonic_ms()
        return [
            Received(
                one.stored,
                one.token,
                one.topic,
                one.partition,
                one.attempt,
                one.failed,
                None if left_ms is None else now_ms + left_ms,
            )
            for one, left_ms in zip(received, answer.left_ms, strict=True)
        ]

    async def close(self) -> None:
        """Leave. What is still held is settled no more."""
        if self._closed:
            return
        self._closed = True
        link = self._link
        if link is not None and link.alive:
            try:
                await link.request(wire.Close(self._handle))
            except LinkLost:
                return


def key_of(source: NativeSource, one: Received) -> Held:
    """What a delivery is called. Raises InvalidArgument when another source gave it."""
    if not isinstance(one.token, Held) or one.token.source is not source:
        raise InvalidArgument("received", "comes from another source")
    return one.token
