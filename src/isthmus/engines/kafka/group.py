"""A member of a Kafka consumer group, as a source of the port: of streams, and of queues without a share group.

Kafka's own group decides who has which partition, a `Feed` fetches it, and a desk hands out what is in it. It decides
about no record.

Theory of operation
-------------------
A partition that is taken away is handed out no further, what runs on it gets REVOKE_MS to finish, and then it goes.
What is committed is one offset with metadata per partition (`progress.py`), by one call for all that has changed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition
from msgspec import Struct

from isthmus.clock import Clock
from isthmus.engines.base import Received
from isthmus.engines.kafka.commits import Commits
from isthmus.engines.kafka.feed import POLL_S, Feed
from isthmus.engines.kafka.link import ANSWER_S, Link
from isthmus.engines.kafka.reader import offsets_of
from isthmus.engines.shared import progress
from isthmus.engines.shared.desk import Desk, Terms
from isthmus.engines.shared.lot import Lot
from isthmus.engines.shared.pieces import Piece, Place
from isthmus.errors import EngineError, IsthmusError
from isthmus.lenses.stream.position import Progress
from isthmus.record import Record

REVOKE_MS: Final = 10_000
"""Time that what runs on a partition gets to finish when the group takes it away."""

JOIN_MS: Final = 60_000
"""Within this a group lets a member in."""


class Fresh(Struct, frozen=True):
    """A partition that the group hands over: where it stands there, and whether nobody has said so yet."""

    place: Place
    progress: Progress
    is_new: bool


class GroupSource:
    """See the module. One loop; `receive` by one task at a time."""

    def __init__(self, link: Link, clock: Clock, terms: Terms) -> None:
        self._link = link
        self._clock = clock
        self._group = terms.group
        settings = {"group.id": terms.group, "client.id": f"isthmus-{terms.name}"}
        self._feed = Feed(link, settings, self._arrived, self._fail)
        self.desk = Desk(clock, terms, self._commits, self._produce, lambda full: self._feed.hold(full=full))
        self.desk.on_idle = self._free_idle
        self.desk.on_trouble = self._trouble
        self._latest: dict[Place, int] = {}
        self._joined: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._leaving: list[tuple[list[Place], Future[None]]] = []
        self.on_close: Callable[[], None] | None = None

    def _commits(self, lots: Mapping[Place, Lot]) -> Commits:
        return Commits(self._link, self._feed, self._group, lots)

    async def _produce(self, topic: str, records: Sequence[Record]) -> None:
        await self._link.produce(topic, records, "none")

    # ---- life -------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Join the group; returns when it has said which partitions are ours, if any.

        Raises:
            EngineError: the group lets nobody in for JOIN_MS.
        """
        await self._feed.begin(self._subscribe)
        if not await self._clock.wait(self._joined, self._clock.monotonic_ms() + JOIN_MS):
            await self.close()
            group = self.desk.terms.group
            raise EngineError(f"group {group!r} let nobody in within {JOIN_MS // 1_000} s", retryable=True)
        self.desk.check_alive()

    def _subscribe(self, consumer: Consumer) -> None:
        """Runs in a thread: the ends of this moment, for who starts there, then the group."""
        starts = self.desk.terms.starts
        for topic, start in starts.items():
            if start == "latest":
                found = consumer.list_topics(topic, ANSWER_S).topics[topic].partitions
                places = [TopicPartition(topic, index) for index in found]
                self._latest |= {(topic, index): at for index, at in offsets_of(consumer, places, start).items()}
        consumer.subscribe(list(starts), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)

    async def close(self) -> None:
        """Leave, and wake a waiting `receive`."""
        if self.desk.closed:
            return
        self.desk.close()
        await self._feed.close()
        if self.on_close is not None:
            self.on_close()

    def _fail(self, error: IsthmusError) -> None:
        """Nothing will come any more."""
        self.desk.fail_all(error)
        _finish(self._joined)

    def _trouble(self, error: IsthmusError) -> None:
        """What goes wrong before the group has let us in ends it."""
        if not self._joined.done():
            self._fail(error)

    # ---- what the group hands over and takes away: in the feed's thread ---------------------------------------------

    def _assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        committed = consumer.committed(places, ANSWER_S) if places else []
        rows = [self._fresh(consumer, each) for each in committed]
        consumer.incremental_assign([TopicPartition(*row.place, row.progress.floor) for row in rows])
        self._feed.tell(self._assigned, rows)

    def _fresh(self, consumer: Consumer, committed: TopicPartition) -> Fresh:
        if committed.error is not None:
            raise KafkaException(committed.error)
        place = (committed.topic, committed.partition)
        if committed.offset != OFFSET_INVALID:
            return Fresh(place, progress.decode(committed.offset, committed.metadata), is_new=False)
        start = self.desk.terms.starts[committed.topic]
        if start == "latest":
            # Partitions that a topic gets later are read whole.
            return Fresh(place, Progress(self._latest.get(place, 0), (), ()), is_new=True)
        (offset,) = offsets_of(consumer, [committed], start).values()
        return Fresh(place, Progress(offset, (), ()), is_new=True)

    def _revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        free: Future[None] = Future()
        self._feed.tell(self._let_go, [(each.topic, each.partition) for each in places], free)
        # What runs may finish, and its commits go through this very thread.
        for _ in range(int(REVOKE_MS / 1_000 / POLL_S)):
            if free.done():
                break
            self._feed.serve(consumer, POLL_S)
        consumer.incremental_unassign(places)

    def _lose(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        self._feed.tell(self.desk.drop, [(each.topic, each.partition) for each in places])
        consumer.incremental_unassign(places)

    # ---- the same on the loop ---------------------------------------------------------------------------------------

    def _assigned(self, rows: list[Fresh]) -> None:
        for row in rows:
            lot = Lot(row.place, row.progress)
            lot.changes += row.is_new
            self.desk.add(lot)
        self.desk.spawn(self._declare())

    async def _declare(self) -> None:
        """The group reads from here on: positions that are committed count, for tools and for who comes later."""
        await self.desk.commits.commit()
        _finish(self._joined)
        self.desk.wake()

    def _let_go(self, places: list[Place], free: "Future[None]") -> None:
        lots = self.desk.lots
        for place in places:
            if place in lots:
                lots[place].leaving = True
        self._leaving.append((places, free))
        self._clock.timer(self._clock.monotonic_ms() + REVOKE_MS, partial(self.desk.drop, places))
        self._free_idle()

    def _free_idle(self) -> None:
        """Say of partitions that go that nothing runs on them any more."""
        lots = self.desk.lots
        for row in list(self._leaving):
            places, free = row
            if not any(lots[place].held for place in places if place in lots):
                self._leaving.remove(row)
                self.desk.drop(places)
                free.set_result(None)

    def _arrived(self, pieces: list[Piece]) -> None:
        self.desk.arrived(pieces)

    # ---- what the desk does -----------------------------------------------------------------------------------------

    def check_tokens(self, received: Sequence[Received]) -> None:
        """Whether this source gave them. Raises InvalidArgument."""
        self.desk.check_tokens(received)

    def check(self, received: Sequence[Received]) -> None:
        """Raise what `finish` would raise."""
        self.desk.check(received)

    async def finish(self, received: Sequence[Received]) -> None:
        """These are done; returns when that is committed."""
        await self.desk.finish(received)

    async def receive(self, max_events: int, max_bytes: int, wait_ms: int) -> list[Received]:
        """Deliveries of one partition."""
        return await self.desk.receive(max_events, max_bytes, wait_ms)

    async def fail(self, received: Sequence[Received], delay_ms: int, reason: str) -> None:
        """Count a failure of each; what reaches its limit dies."""
        await self.desk.fail(received, delay_ms, reason)

    async def dead(self, received: Sequence[Received], reason: str, traceback: str) -> None:
        """Copy each to the dead letters, then finish it."""
        await self.desk.dead(received, reason, traceback)

    async def release(self, received: Sequence[Received], delay_ms: int = 0) -> None:
        """Hand back without counting a failure; what is no longer ours is passed over."""
        await self.desk.release(received, delay_ms)

    async def extend(self, received: Sequence[Received], lease_ms: int) -> list[Received]:
        """Renew leases; a stream has none, so its deliveries come back as they are."""
        return await self.desk.extend(received, lease_ms)


def _finish(future: "asyncio.Future[object]") -> None:
    if not future.done():
        future.set_result(None)
