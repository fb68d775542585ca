"""The engine's way to a cluster: producers with their delivery reports, an administrator, and threads for what blocks.

librdkafka works in threads of its own and calls back from a poll; everything here hands results to the one loop that
the engine runs on. It knows no topic and no group.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from isthmus.engines.kafka.records import error_of, headers_of, raised
from isthmus.engines.shared.room import Room
from isthmus.errors import Closed, InvalidArgument, UnsupportedCompression
from isthmus.limits import PENDING_BYTES_MAX
from isthmus.record import Record

logger = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S: Final = 30.0
"""How long the cluster may take to answer what is not a publish."""

DELIVERY_MS: Final = 120_000
"""How long a publish may take with all its repetitions."""

POLL_S: Final = 0.2
"""How long a thread waits for librdkafka before it looks whether it is to end."""

PAUSE_S: Final = 0.05
THREADS: Final = 8
BATCH_BYTES: Final = 1_000_000
REQUEST_BYTES_MAX: Final = 32 * 1024 * 1024
COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")

BASE: Final[Mapping[str, Any]] = {"client.id": "isthmus", "log_level": 3}
PRODUCING: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable.idempotence": True,
    # Where Java's clients put a key, and our own broker too.
    "partitioner": "murmur2_random",
    "linger.ms": 1,
    "batch.size": BATCH_BYTES,
    "message.max.bytes": REQUEST_BYTES_MAX,
    "delivery.timeout.ms": DELIVERY_MS,
    # The bound is ours: a publish waits for room before it is handed over.
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2_097_151,
}

Placed = tuple[int, int, int]
"""Where a record went: partition, offset, and its time in ms since 1970 UTC."""


class Deliveries:
    """The delivery reports of one publish: counted in the producer's thread, told to the loop when all are there."""

    __slots__ = ("_left", "_loop", "_placed", "error", "future")

    def __init__(self, count: int) -> None:
        self._left = count
        self._loop = asyncio.get_running_loop()
        self._placed: list[Placed | None] = [None] * count
        self.error: KafkaError | None = None
        self.future: asyncio.Future[list[Placed | None]] = self._loop.create_future()

    def report(self, at: int, error: KafkaError | None, message: Message) -> None:
        """One of them: called in the thread of the producer."""
        if error is None:
            self._placed[at] = (message.partition() or 0, message.offset() or 0, message.timestamp()[1])
        else:
            self.error = error
        self.forget(1)

    def forget(self, count: int) -> None:
        """So many reports fewer are to come."""
        self._left -= count
        if not self._left:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self.future.done():
            self.future.set_result(self._placed)


class Link:
    """See the module. `start` first; `close` sends what is left."""

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self.url = url
        self._settings = {**BASE, **settings}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="isthmus-kafka")
        self._producers: dict[str, Producer] = {}
        self._poller: threading.Thread | None = None
        self._admin: AdminClient | None = None
        self._stopping = threading.Event()
        self._room = Room(PENDING_BYTES_MAX)
        self.closed = False

    async def start(self) -> None:
        """Reach the cluster.

        Raises:
            InvalidArgument: librdkafka does not take the settings.
            EngineError: nobody answers there. AccessDenied: not with these credentials.
        """
        self._admin = admin = await self.run(self._client, AdminClient, {})
        await self.ask(admin.list_topics, timeout=ANSWER_S)
        self._poller = threading.Thread(target=self._poll, name="isthmus-kafka-reports", daemon=True)
        self._poller.start()

    def _client(self, kind: Callable[[dict[str, Any]], T], more: Mapping[str, Any]) -> T:
        try:
            return kind({**self._settings, **more} if kind is not Producer else {**PRODUCING, **self._settings, **more})
        except KafkaException as error:
            raise InvalidArgument("url", f"librdkafka refuses a setting: {error.args[0].str()}") from error

    async def close(self) -> None:
        """Send what is left, then end all threads; idempotent."""
        if self.closed:
            return
        self.closed = True
        for producer in self._producers.values():
            await self.run(producer.flush, DELIVERY_MS / 1_000)
        self._stopping.set()
        if self._poller is not None:
            await self.run(self._poller.join)
        self._producers.clear()
        self._admin = None
        self._threads.shutdown(wait=False)

    # ---- asking -----------------------------------------------------------------------------------------------------

    @property
    def admin(self) -> AdminClient:
        """The administrator. Raises Closed."""
        if self._admin is None:
            raise Closed(self.url)
        return self._admin

    def consumer(self, more: Mapping[str, Any]) -> Consumer:
        """A consumer of one's own, to be used in a thread."""
        return self._client(Consumer, more)

    def client(self, kind: Callable[[dict[str, Any]], T], more: Mapping[str, Any]) -> T:
        """Some other client of librdkafka's."""
        return self._client(kind, more)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what blocks in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def ask(self, function: Callable[..., T], *arguments: Any, about: str = "", **named: Any) -> T:
        """Call what blocks in a thread, and translate what goes wrong."""
        try:
            return await self.run(partial(function, *arguments, **named))
        except KafkaException as error:
            raise raised(error, about or self.url) from error

    async def each(self, futures: "Mapping[Any, Future[Any]]", about: str = "") -> dict[Any, Any]:
        """What an administrator's call came to, by what it was asked for; the first failure is raised."""
        found = {}
        for key, future in futures.items():
            found[key] = await self.ask(future.result, ANSWER_S, about=about or str(key))
        return found

    async def pause(self) -> None:
        """A moment for the cluster; in a thread, because it is the cluster's time and not our clock's."""
        await self.run(self._stopping.wait, PAUSE_S)

    # ---- publishing -------------------------------------------------------------------------------------------------

    async def produce(self, topic: str, records: Sequence[Record], compression: str) -> list[Placed]:
        """Send records in order; where each of them went, once all are acknowledged.

        Raises:
            UnsupportedCompression: a codec that Kafka does not have. Closed: the link is.
            IsthmusError: some were not taken; the others may have been.
        """
        producer = self._producer(compression)
        size = sum(len(record.value or b"") + len(record.key or b"") + len(record.headers) + 64 for record in records)
        await self._room.enter(size)
        try:
            placed, error = await self._send(producer, topic, records)
        finally:
            self._room.leave(size)
        if error is not None:
            raise error_of(error, topic)
        return placed

    def _producer(self, compression: str) -> Producer:
        if compression not in COMPRESSIONS:
            raise UnsupportedCompression(compression)
        if self.closed:
            raise Closed(self.url)
        found = self._producers.get(compression)
        if found is None:
            more = {} if compression == "none" else {"compression.type": compression}
            found = self._producers[compression] = self._client(Producer, more)
        return found

    async def _send(
        self, producer: Producer, topic: str, records: Sequence[Record]
    ) -> tuple[list[Placed], KafkaError | None]:
        deliveries = Deliveries(len(records))
        for at, record in enumerate(records):
            try:
                producer.produce(
                    topic,
                    record.value,
                    record.key,
                    on_delivery=partial(deliveries.report, at),
                    timestamp=max(0, record.timestamp_ms),
                    headers=headers_of(record),
                )
            except KafkaException as error:
                deliveries.error = error.args[0]
                deliveries.forget(len(records) - at)
                break
        placed = await asyncio.shield(deliveries.future)
        return [each for each in placed if each is not None], deliveries.error

    def _poll(self) -> None:
        """Fetch delivery reports until told to stop. Runs in a thread of its own."""
        while not self._stopping.is_set():
            producers = list(self._producers.values())
            if not producers:
                self._stopping.wait(POLL_S / 20)
                continue
            # With several codecs in use none may keep the others waiting.
            wait_s = POLL_S if len(producers) == 1 else POLL_S / 20
            for producer in producers:
                producer.poll(wait_s)
