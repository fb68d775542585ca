"""Sending: events become records at the caller, records wait here for company and go to the engine in batches.

A batch leaves when it is full, when it has waited long enough, or when nothing is gained by waiting. Memory is bounded
by bytes not yet acknowledged. Nothing that was handed in is ever withdrawn: cancelling a waiter only stops its waiting.
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from isthmus.clock import Timer
from isthmus.engines.base import Attributes, Engine
from isthmus.errors import Closed, InvariantError, Overloaded, RecordTooLarge
from isthmus.limits import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, LINGER_MS, PRODUCER_BUFFER_BYTES_MAX, RECORD_BYTES_CEILING
from isthmus.record import Appended, Record

RECORD_OVERHEAD: Final = 16
"""Bytes that a record takes in a batch besides key, value and headers, roughly."""


class Receipt(Struct, frozen=True):
    """Where the events of one publish call are, once they are acknowledged.

    `partition` and `offset` are those of the first event, `count` is how many there are, `appended` says for each run
    of offsets where it is; its `indexes` count the events of the call. Publishing no events gives offset -1.
    """

    topic: str
    partition: int
    offset: int
    count: int
    appended: tuple[Appended, ...] = ()

    @property
    def duplicate(self) -> bool:
        """Whether the broker had it already (same de-duplication id); the offset is that of the first time."""
        return any(each.duplicate for each in self.appended)


class _Call:
    """One publish call that waits for its acknowledgement; a large one is spread over several batches."""

    __slots__ = ("appended", "count", "done", "left", "topic")

    def __init__(self, topic: str, count: int, parts: int, done: "asyncio.Future[Receipt]") -> None:
        self.topic = topic
        self.count = count
        self.left = parts
        self.done = done
        self.appended: list[list[Appended]] = [[] for _ in range(parts)]

    def part_done(self, part: int, appended: list[Appended]) -> None:
        self.appended[part] = appended
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(_receipt(self.topic, self.count, [each for run in self.appended for each in run]))

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class _Share(Struct, frozen=True):
    """The records `start` to `end` of a batch, exclusive, which are the part `part` of a call from `first` on."""

    call: _Call
    part: int
    first: int
    start: int
    end: int


class _Batch:
    __slots__ = ("attributes", "records", "shares", "size_bytes")

    def __init__(self, attributes: Attributes | None = None) -> None:
        self.attributes = attributes
        self.records: list[Record] = []
        self.shares: list[_Share] = []
        self.size_bytes = 0

    def add(self, call: _Call, part: int, first: int, records: Sequence[Record], size_bytes: int) -> None:
        start = len(self.records)
        self.records += records
        self.shares.append(_Share(call, part, first, start, len(self.records)))
        self.size_bytes += size_bytes


class _Lane:
    """What waits and flies for one destination."""

    __slots__ = ("flying", "name", "open", "timer", "turn")

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = _Batch()
        self.flying = 0
        self.timer: Timer | None = None
        self.turn: asyncio.Handle | None = None


class Producer:
    """Batches of one bus, per destination. Belongs to one event loop.

    `linger_ms` None lets batches form while the one before is being made durable, so that a lone event is not held up
    and a flood still shares batches; a number waits that long for company. Sizes are bytes of keys, values and headers.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        linger_ms: int | None = None,
        batch_events: int = BATCH_EVENTS_MAX,
        batch_bytes: int = BATCH_BYTES_MAX,
        buffer_bytes: int = PRODUCER_BUFFER_BYTES_MAX,
        compression: str = "none",
    ) -> None:
        self._engine = engine
        self._clock = engine.clock
        self._linger_ms = linger_ms
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._buffer_bytes = buffer_bytes
        self._compression = compression
        self._lanes: dict[str, _Lane] = {}
        self._buffered = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._sending: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._flushing = 0
        self._closed = False

    async def send(self, name: str, records: Sequence[Record], attributes: Attributes | None = None) -> Receipt:
        """Hand records in and wait until they are acknowledged; waits for room in the buffer first.

        More than one record goes out at once. Cancelling while it waits for room leaves out what was not handed in.

        Raises:
            RecordTooLarge, Closed: nothing was handed in.
            IsthmusError: whatever the engine says; it reaches every call that has a part in the batch.
        """
        if not records:
            return _receipt(name, 0, [])
        self._check_open()
        parts = self._parts(records)
        call = _Call(name, len(records), len(parts), asyncio.get_running_loop().create_future())
        first = 0
        try:
            for number, (part, size) in enumerate(parts):
                await self._room(size)
                self._add(call, number, first, part, size, attributes)
                first += len(part)
            return await call.done
        except asyncio.CancelledError:
            call.done.cancel()
            raise

    def send_nowait(
        self, name: str, records: Sequence[Record], attributes: Attributes | None = None
    ) -> "asyncio.Future[Receipt]":
        """Hand records in without waiting for anything; the future is the acknowledgement.

        Raises:
            Overloaded: the buffer is full; nothing was handed in.
            RecordTooLarge, Closed: nothing was handed in.
        """
        done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if not records:
            done.set_result(_receipt(name, 0, []))
            return done
        self._check_open()
        parts = self._parts(records)
        total = sum(size for _, size in parts)
        if not self._has_room(total):
            raise Overloaded("bytes that the producer holds unacknowledged", self._buffer_bytes)
        call = _Call(name, len(records), len(parts), done)
        first = 0
        for number, (part, size) in enumerate(parts):
            self._buffered += size
            self._add(call, number, first, part, size, attributes)
            first += len(part)
        return done

    async def flush(self) -> None:
        """Send all that waits for company and return when everything handed in has its answer."""
        if not self._buffered and not self._waiting:
            return
        self._flushing += 1
        try:
            self._send_all()
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
        finally:
            self._flushing -= 1

    async def close(self) -> None:
        """Flush, and refuse whatever comes after; idempotent."""
        self._closed = True
        await self.flush()

    # ---- room --------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the bus")

    def _has_room(self, size: int) -> bool:
        # What is larger than the whole buffer passes when the buffer is empty: it could never pass otherwise.
        return not self._waiting and (not self._buffered or self._buffered + size <= self._buffer_bytes)

    async def _room(self, size: int) -> None:
        """Wait, first come first served, until `size` bytes may be held, and hold them."""
        if self._has_room(size):
            self._buffered += size
            return
        self._send_all()
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                self._free(size)
            raise

    def _free(self, size: int) -> None:
        self._buffered -= size
        self._grant()
        if not self._buffered and not self._waiting:
            idle, self._idle = self._idle, []
            for waiter in idle:
                if not waiter.done():
                    waiter.set_result(None)

    def _grant(self) -> None:
        while self._waiting:
            size, granted = self._waiting[0]
            if not granted.done():
                if self._buffered and self._buffered + size > self._buffer_bytes:
                    return
                self._buffered += size
                granted.set_result(None)
            self._waiting.popleft()

    # ---- batches -----------------------------------------------------------------------------------------------

    def _parts(self, records: Sequence[Record]) -> list[tuple[Sequence[Record], int]]:
        """Cut a call into what fits batches, with sizes."""
        sizes = [RECORD_OVERHEAD + len(r.value or b"") + len(r.key or b"") + len(r.headers) for r in records]
        largest = max(sizes)
        if largest > RECORD_BYTES_CEILING:
            raise RecordTooLarge(largest, RECORD_BYTES_CEILING)
        total = sum(sizes)
        if total <= self._batch_bytes and len(records) <= self._batch_events:
            return [(records, total)]
        parts, start, held = [], 0, 0
        for at, size in enumerate(sizes):
            if at > start and (held + size > self._batch_bytes or at - start >= self._batch_events):
                parts.append((records[start:at], held))
                start, held = at, 0
            held += size
        parts.append((records[start:], held))
        return parts

    def _add(
        self, call: _Call, part: int, first: int, records: Sequence[Record], size: int, attributes: Attributes | None
    ) -> None:
        lane = self._lanes.get(call.topic)
        if lane is None:
            lane = self._lanes[call.topic] = _Lane(call.topic)
        batch = lane.open
        count = len(batch.records) + len(records)
        alone = attributes is not None
        if batch.records and (alone or count > self._batch_events or batch.size_bytes + size > self._batch_bytes):
            self._send(lane)
            batch = lane.open
        batch.attributes = attributes
        batch.add(call, part, first, records, size)
        full = len(batch.records) >= self._batch_events or batch.size_bytes >= self._batch_bytes
        if alone or full or call.count > 1 or self._flushing:
            self._send(lane)
        else:
            self._schedule(lane)

    def _schedule(self, lane: _Lane) -> None:
        """See to it that the open batch leaves in time."""
        if self._linger_ms is None and not lane.flying:
            if lane.turn is None:
                # At the end of this turn of the loop: whoever publishes in the same turn comes along.
                lane.turn = asyncio.get_running_loop().call_soon(self._send, lane)
        elif lane.timer is None:
            wait_ms = LINGER_MS if self._linger_ms is None else self._linger_ms
            lane.timer = self._clock.timer(self._clock.monotonic_ms() + wait_ms, lambda: self._send(lane))

    def _send_all(self) -> None:
        for lane in self._lanes.values():
            self._send(lane)

    def _send(self, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
        if lane.turn is not None:
            lane.turn.cancel()
        lane.timer = lane.turn = None
        batch = lane.open
        if not batch.records:
            return
        lane.open = _Batch()
        lane.flying += 1
        task = asyncio.get_running_loop().create_task(self._deliver(lane, batch))
        self._sending.add(task)
        task.add_done_callback(lambda done: self._landed(lane, batch, done))

    async def _deliver(self, lane: _Lane, batch: _Batch) -> None:
        with self._clock.busy(f"publish to {lane.name}"):
            appended = await self._engine.publish(lane.name, batch.records, batch.attributes, self._compression)
        for share, runs in zip(batch.shares, _split(appended, batch.shares), strict=True):
            share.call.part_done(share.part, runs)

    def _landed(self, lane: _Lane, batch: _Batch, task: "asyncio.Task[None]") -> None:
        self._sending.discard(task)
        lane.flying -= 1
        error = Closed("the producer's event loop") if task.cancelled() else task.exception()
        if error is not None:
            for share in batch.shares:
                share.call.fail(error)
        self._free(batch.size_bytes)
        if self._linger_ms is None and not lane.flying:
            self._send(lane)
        self._clock.stir()


# ---- who got what ------------------------------------------------------------------------------------------------


def _receipt(topic: str, count: int, appended: list[Appended]) -> Receipt:
    if not appended:
        return Receipt(topic, -1, -1, count)
    first = next((each for each in appended if not each.indexes or each.indexes[0] == 0), appended[0])
    return Receipt(first.topic, first.partition, first.base_offset, count, tuple(appended))


def _split(appended: list[Appended], shares: Sequence[_Share]) -> list[list[Appended]]:
    """For each share of a batch the runs of offsets that are its own, with indexes that count the events of its call.

    Raises:
        InvariantError: an engine that spread a batch did not say which records went where.
    """
    if len(appended) > 1 and any(each.indexes is None for each in appended):
        raise InvariantError("an engine spread a batch over partitions without saying which event went where")
    if len(shares) == 1 and shares[0].end == shares[0].call.count:
        return [appended]
    return [[run for each in appended if (run := _cut(each, share)) is not None] for share in shares]


def _cut(appended: Appended, share: _Share) -> Appended | None:
    shift = share.first - share.start
    own: Sequence[int]
    if appended.indexes is None:
        low, high = share.start, share.end
        own = range(share.first, share.end + shift)
    else:
        low, high = bisect_left(appended.indexes, share.start), bisect_left(appended.indexes, share.end)
        own = tuple(index + shift for index in appended.indexes[low:high])
    if not own:
        return None
    return replace(appended, base_offset=appended.base_offset + low, count=high - low, indexes=own)
