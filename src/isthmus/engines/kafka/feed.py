"""A consumer of librdkafka's on a thread of its own: what it fetches comes to the loop, piece by piece and in order.

All that is asked of the consumer is asked in its thread: librdkafka's binding lets one thread in at a time, and one
that polls keeps the others out for as long as it likes. It polls all the time, so that the consumer stays in its group
however long its events take; when the loop has enough it stops fetching. What the group hands over and takes away is
told by callbacks in the thread, in order with the records.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from isthmus.engines.kafka.link import Link
from isthmus.engines.kafka.records import error_of, stored
from isthmus.engines.shared.pieces import Piece, Place
from isthmus.errors import Closed, IsthmusError
from isthmus.record import StoredRecord

T = TypeVar("T")

POLL_S: Final = 0.02
"""How long a poll may take: so long waits what the loop asks for meanwhile."""

PIECE_RECORDS: Final = 1_000
AHEAD_RECORDS: Final = 10_000
AHEAD_BYTES: Final = 16 * 1024 * 1024
"""What may wait at the loop, besides what librdkafka holds itself."""

FETCHING: Final[Mapping[str, Any]] = {
    "allow.auto.create.topics": False,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 200,
    "queued.max.messages.kbytes": AHEAD_BYTES // 1024,
    "fetch.error.backoff.ms": 100,
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 30_000,
    "heartbeat.interval.ms": 1_000,
}


class Feed:
    """See the module.

    Args:
        link: where the cluster is.
        settings: of the consumer, over `FETCHING`.
        deliver: takes pieces, on the loop.
        failed: takes what nothing more will come after, on the loop.
    """

    def __init__(
        self,
        link: Link,
        settings: Mapping[str, Any],
        deliver: Callable[[list[Piece]], None],
        failed: Callable[[IsthmusError], None],
    ) -> None:
        self._link = link
        self._settings = {**FETCHING, **settings}
        self._deliver = deliver
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._full = threading.Event()
        self._calls: queue.SimpleQueue[Callable[[Consumer], None]] = queue.SimpleQueue()
        self._asked: set[Future[Any]] = set()
        self._paused: list[TopicPartition] = []
        self._ended: asyncio.Future[None] = self._loop.create_future()

    async def begin(self, start: Callable[[Consumer], None]) -> None:
        """Make the consumer, let `start` subscribe or assign, and fetch from then on."""
        consumer = await self._link.run(self._link.consumer, self._settings)
        await self._link.ask(start, consumer)
        self._thread = threading.Thread(target=self._run, args=(consumer,), name="isthmus-kafka-feed", daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[Consumer], T]) -> T:
        """Ask something of the consumer, in its thread.

        Raises:
            KafkaException: what librdkafka says. Closed: the feed has ended.
        """
        done: Future[T] = Future()

        def work(consumer: Consumer) -> None:
            try:
                done.set_result(function(consumer))
            except BaseException as error:  # noqa: BLE001 - whoever asked is told
                done.set_exception(error)

        if self._ended.done():
            raise Closed("the consumer")
        self._calls.put(work)
        self._asked.add(done)
        try:
            return await asyncio.wrap_future(done)
        finally:
            self._asked.discard(done)

    def hold(self, *, full: bool) -> None:
        """Fetch no more until there is room again, or go on."""
        if full:
            self._full.set()
        else:
            self._full.clear()

    async def close(self) -> None:
        """Leave; idempotent."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.shield(self._ended)

    def tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call back on the loop, behind the pieces that were told before. From the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(callback, *arguments)

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def serve(self, consumer: Consumer, wait_s: float = 0) -> None:
        """Do what the loop asks for; wait a moment for the first of it."""
        try:
            self._calls.get(timeout=wait_s)(consumer) if wait_s else self._calls.get_nowait()(consumer)
            while True:
                self._calls.get_nowait()(consumer)
        except queue.Empty:
            return

    def _run(self, consumer: Consumer) -> None:
        try:
            while not self._stopping.is_set():
                self.serve(consumer)
                self._pause_or_resume(consumer)
                self._poll(consumer)
        except KafkaException as error:
            self.tell(self._failed, error_of(error.args[0], self._link.url))
        finally:
            consumer.close()
            self.tell(self._end)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        for done in self._asked:
            if not done.done():
                done.set_exception(Closed("the consumer"))

    def _pause_or_resume(self, consumer: Consumer) -> None:
        if self._full.is_set():
            self._paused = consumer.assignment()
            if self._paused:
                consumer.pause(self._paused)
        elif self._paused:
            held = {(each.topic, each.partition) for each in consumer.assignment()}
            consumer.resume([each for each in self._paused if (each.topic, each.partition) in held])
            self._paused = []

    def _poll(self, consumer: Consumer) -> None:
        first = consumer.poll(POLL_S if self._calls.empty() else 0)
        if first is None:
            return
        pieces = pieces_of([first, *consumer.consume(PIECE_RECORDS, 0)])
        if pieces:
            self.tell(self._deliver, pieces)


def pieces_of(messages: Sequence[Message]) -> list[Piece]:
    """What has arrived, by partition. Raises KafkaException for an error that does not pass by itself."""
    found: dict[Place, list[StoredRecord]] = {}
    ends: dict[Place, int] = {}
    for message in messages:
        place = (message.topic() or "", message.partition() or 0)
        error = message.error()
        if error is None:
            found.setdefault(place, []).append(stored(message))
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes have an underscore
            ends[place] = message.offset() or 0
        elif not passes(error):
            raise KafkaException(error)
    rows = [
        Piece(place, records, max(records[-1].offset + 1, ends.get(place, 0)), place in ends)
        for place, records in found.items()
    ]
    return rows + [Piece(place, [], end, at_end=True) for place, end in ends.items() if place not in found]


def passes(error: KafkaError) -> bool:
    """Whether librdkafka goes on by itself after an error that it tells."""
    if error.fatal():
        return False
    lasting = (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._AUTHENTICATION,  # noqa: SLF001
    )
    return error.code() not in lasting
