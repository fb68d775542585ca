"""A member of a Kafka share group, as the source of a queue: the cluster leases records one by one.

librdkafka's share consumer belongs to one thread and gives nothing new until everything that it gave is answered for;
so this file hands out one lot of records after the other. What fails leaves for the retry topic as a copy, because a
share group knows neither delays nor reasons and gives a record up, without a trace, after a few hand-overs.

Spec: KIP-932.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import AcknowledgeType, KafkaException, ShareConsumer, TopicPartition
from msgspec import Struct

from isthmus.broker import redrive
from isthmus.clock import Clock, wait_own
from isthmus.engines.base import Received
from isthmus.engines.kafka.group import GroupSource
from isthmus.engines.kafka.link import ANSWER_S, Link
from isthmus.engines.kafka.records import number, raised, stored
from isthmus.engines.shared import marks
from isthmus.engines.shared.pieces import size_of
from isthmus.errors import EngineError, InvalidArgument, IsthmusError, LeaseLost
from isthmus.record import StoredRecord

POLL_S: Final = 0.1
LOT_RECORDS: Final = 64
"""Records that one poll leases: few, since the time of their locks runs for all of them at once."""

CONSUMING: Final = {
    "share.acknowledgement.mode": "explicit",
    "max.poll.records": LOT_RECORDS,
    "max.poll.interval.ms": 86_400_000,
}


class ShareTerms(Struct, frozen=True, kw_only=True):
    """What a member is to do: see `group.Terms`. `lock_ms` is how long the cluster leases, `hand_overs` how often."""

    group: str
    queue: str
    lock_ms: int
    hand_overs: int
    ttl_ms: int | None
    failed_max: int | None
    retry: str
    dead: str | None


class Locked(Struct, frozen=True, eq=False):
    """A record that the cluster has leased to us: the token of a `Received`."""

    topic: str
    partition: int
    record: StoredRecord
    origin: marks.Origin
    acquired: int
    until_ms: int


Verdict = tuple[Locked, AcknowledgeType]


class ShareSource:
    """See the module. `retries` is the source of what failed before, out of the retry topic."""

    def __init__(self, link: Link, clock: Clock, terms: ShareTerms, retries: GroupSource) -> None:
        self._link = link
        self._clock = clock
        self.terms = terms
        self._retries = retries
        self._loop = asyncio.get_running_loop()
        self._consumer: ShareConsumer | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._verdicts: queue.SimpleQueue[tuple[list[Verdict], Future[dict[TopicPartition, Any]]]] = queue.SimpleQueue()
        self._ready: deque[Locked] = deque()
        self._out: set[Locked] = set()
        self._grown: asyncio.Future[object] | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._error: IsthmusError | None = None
        self._closed = False
        self.on_close: Callable[[], None] | None = None
        retries.desk.on_growth = self._wake

    async def begin(self) -> None:
        """Join the group."""
        await self._retries.begin()
        more = {**CONSUMING, "group.id": self.terms.group}
        self._consumer = consumer = await self._link.run(self._link.client, ShareConsumer, more)
        await self._link.ask(consumer.subscribe, [self.terms.queue], about=self.terms.queue)
        self._thread = threading.Thread(target=self._run, name="isthmus-kafka-share", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Leave: the cluster leases what is still ours to others at once."""
        if self._closed:
            return
        self._closed = True
        self._wake()
        self._ready.clear()
        self._out.clear()
        self._stopping.set()
        await self._retries.close()
        if self._thread is not None:
            await asyncio.shield(self._ended)
        if self.on_close is not None:
            self.on_close()

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 - `begin` has made it
        outstanding: set[tuple[str, int, int]] = set()
        try:
            while not self._stopping.is_set():
                if not outstanding:
                    outstanding = self._poll(consumer)
                self._answer(consumer, outstanding)
        except KafkaException as error:
            self._tell(self._fail, raised(error, self.terms.group))
        finally:
            with contextlib.suppress(KafkaException):  # what is not answered for is leased to others in a while
                consumer.close()
            self._refuse_the_rest()
            self._tell(self._end)

    def _poll(self, consumer: ShareConsumer) -> set[tuple[str, int, int]]:
        found = []
        for message in consumer.poll(POLL_S):
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            found.append(
                (message.topic() or "", message.partition() or 0, stored(message), number(message.delivery_count()))
            )
        if found:
            self._tell(self._arrived, found)
        return {(topic, partition, record.offset) for topic, partition, record, _ in found}

    def _answer(self, consumer: ShareConsumer, outstanding: set[tuple[str, int, int]]) -> None:
        """Carry out one round of verdicts, if there is one soon."""
        try:
            verdicts, done = self._verdicts.get(timeout=POLL_S) if outstanding else self._verdicts.get_nowait()
        except queue.Empty:
            return
        for locked, kind in verdicts:
            consumer.acknowledge_offset(locked.topic, locked.partition, locked.record.offset, kind)
            outstanding.discard((locked.topic, locked.partition, locked.record.offset))
        try:
            done.set_result(consumer.commit_sync(ANSWER_S))
        except KafkaException as error:
            done.set_exception(error)

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                _, done = self._verdicts.get_nowait()
            except queue.Empty:
                return
            done.set_exception(EngineError(f"group {self.terms.group!r} was left", retryable=False))

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(callback, *arguments)

    # ---- on the loop ------------------------------------------------------------------------------------------------

    def _arrived(self, rows: list[tuple[str, int, StoredRecord, int]]) -> None:
        until_ms = self._clock.monotonic_ms() + self.terms.lock_ms
        for topic, partition, record, acquired in rows:
            origin = marks.origin_of(record, topic, partition)
            self._ready.append(Locked(topic, partition, record, origin, acquired, until_ms))
        self._wake()

    def _fail(self, error: IsthmusError) -> None:
        self._error = error
        self._wake()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _wake(self) -> None:
        if self._grown is not None and not self._grown.done():
            self._grown.set_result(None)

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Leased records, and those that failed before and are due."""
        if max_events < 1:
            raise InvalidArgument("max_events", f"{max_events} is less than one")
        until_ms = self._clock.monotonic_ms() + wait_ms
        while not self._closed:
            if self._error is not None:
                raise self._error
            found = self._retries.desk.take(max_events, max_bytes) or await self._take(max_events, max_bytes)
            if found or self._clock.monotonic_ms() >= until_ms:
                return found
            self._grown = asyncio.get_running_loop().create_future()
            if not self._ready:
                await wait_own(self._clock, self._grown, self._retries.desk.next_due_ms(until_ms))
        return []

    async def _take(self, max_events: int, max_bytes: int) -> list[Received]:
        found: list[Received] = []
        aside: list[Verdict] = []
        size = 0
        while self._ready and len(found) < max_events and (size < max_bytes or not found):
            locked = self._ready.popleft()
            kind = await self._sort_out(locked)
            if kind is not None:
                aside.append((locked, kind))
                continue
            size += size_of((locked.record,))
            self._out.add(locked)
            failed = locked.origin.failed
            found.append(
                Received(
                    locked.record, locked, locked.topic, locked.partition, locked.acquired, failed, locked.until_ms
                )
            )
        with contextlib.suppress(LeaseLost):  # others have it by now, and decide for themselves
            await self._state(aside)
        return found

    async def _sort_out(self, locked: Locked) -> AcknowledgeType | None:
        """What becomes of a record that is not handed out; None when it is."""
        now_ms, record = self._clock.now_ms(), locked.record
        if locked.until_ms <= self._clock.monotonic_ms():
            return AcknowledgeType.RELEASE
        if marks.is_over(record, now_ms, self.terms.ttl_ms):
            return AcknowledgeType.ACCEPT
        due_ms = marks.due_of(record)
        if due_ms > now_ms or locked.acquired >= self.terms.hand_overs:
            # Too early, or the last time that the cluster would hand it over: from now on the retry topic has it.
            await self._copy(locked, locked.origin.failed, max(due_ms, now_ms))
            return AcknowledgeType.ACCEPT
        return None

    # ---- what became of it ------------------------------------------------------------------------------------------

    def _locked_of(self, one: Received) -> Locked:
        locked = one.token
        if not isinstance(locked, Locked) or locked.topic != self.terms.queue:
            raise InvalidArgument("received", "comes from another source")
        if locked not in self._out:
            raise LeaseLost(self.terms.queue, one.partition, one.stored.offset)
        return locked

    def _sorted(self, received: Sequence[Received]) -> tuple[list[Received], list[Received]]:
        """Those out of the retry topic, and those that the cluster leases."""
        locked = [one for one in received if isinstance(one.token, Locked)]
        return [one for one in received if not isinstance(one.token, Locked)], locked

    def check_tokens(self, received: Sequence[Received]) -> None:
        """Whether this source gave them. Raises InvalidArgument."""
        again, leased = self._sorted(received)
        self._retries.check_tokens(again)
        if any(one.topic != self.terms.queue for one in leased):
            raise InvalidArgument("received", "comes from another source")

    def check(self, received: Sequence[Received]) -> None:
        """Raise what `finish` would raise, as far as it can be known here."""
        again, leased = self._sorted(received)
        self._retries.check(again)
        for one in leased:
            self._locked_of(one)

    async def finish(self, received: Sequence[Received]) -> None:
        """These are done; returns when the cluster has said so."""
        again, leased = self._sorted(received)
        await self._retries.finish(again)
        await self._state([(self._locked_of(one), AcknowledgeType.ACCEPT) for one in leased])

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each; what reaches its limit dies."""
        again, leased = self._sorted(received)
        await self._retries.fail(again, delay_ms, reason)
        for locked in [self._locked_of(one) for one in leased]:
            failed = locked.origin.failed + 1
            if self.terms.failed_max is not None and failed >= self.terms.failed_max:
                await self._bury(locked, reason, "", failed)
            else:
                await self._copy(locked, failed, self._clock.now_ms() + delay_ms)
            await self._state([(locked, AcknowledgeType.ACCEPT)])

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy each to the dead letters, then finish it."""
        again, leased = self._sorted(received)
        await self._retries.dead(again, reason, traceback)
        for locked in [self._locked_of(one) for one in leased]:
            await self._bury(locked, reason, traceback, locked.origin.failed + 1)
            await self._state([(locked, AcknowledgeType.ACCEPT)])

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back; what is no longer ours is passed over."""
        again, leased = self._sorted(received)
        await self._retries.release(again, delay_ms)
        held = [one.token for one in leased if isinstance(one.token, Locked) and one.token in self._out]
        if delay_ms:
            for locked in held:
                await self._copy(locked, locked.origin.failed, self._clock.now_ms() + delay_ms)
        kind = AcknowledgeType.ACCEPT if delay_ms else AcknowledgeType.RELEASE
        await self._state([(locked, kind) for locked in held])

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Those of the retry topic are renewed; the cluster's locks last as long as the cluster says."""
        again, leased = self._sorted(received)
        for one in leased:
            self._locked_of(one)
        return [*await self._retries.extend(again, lease_ms), *leased]

    async def _copy(self, locked: Locked, failed: int, due_ms: int) -> None:
        origin = marks.Origin(locked.origin.cause, failed, locked.acquired)
        await self._link.produce(self.terms.retry, [marks.retried(locked.record, origin, due_ms)], "none")

    async def _bury(self, locked: Locked, reason: str, traceback: str, failed: int) -> None:
        if self.terms.dead is None:
            return
        letter = redrive.letter(
            locked.record,
            cause=locked.origin.cause,
            origin=f"{redrive.QUEUE}{self.terms.queue}",
            reason=reason,
            traceback=traceback,
            failed=failed,
            now_ms=self._clock.now_ms(),
        )
        await self._link.produce(self.terms.dead, [letter], "none")

    async def _state(self, verdicts: Sequence[Verdict]) -> None:
        """Tell the cluster, and wait for its answer.

        Raises:
            LeaseLost: the lock of one of them has ended meanwhile; the others were settled.
        """
        if not verdicts:
            return
        for locked, _ in verdicts:
            self._out.discard(locked)
        done: Future[dict[TopicPartition, Any]] = Future()
        self._verdicts.put((list(verdicts), done))
        try:
            answers = await asyncio.wrap_future(done)
        except KafkaException as error:
            raise raised(error, self.terms.group) from error
        for place, refused in answers.items():
            if refused is not None:
                raise LeaseLost(self.terms.queue, place.partition, place.offset)
