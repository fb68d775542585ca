"""Requests of Kafka's protocol to mutate, and a door that is sent them: whatever comes, it answers or hangs up."""

import asyncio
import logging
import random
from typing import Any, Final

from msgspec import Struct

from isthmus.broker.broker import Broker
from isthmus.clock import ManualClock
from isthmus.errors import ProtocolError
from isthmus.log import batch
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.door import Step
from isthmus.protocols.kafka import codec, messages
from isthmus.protocols.kafka.codec import RequestHeader
from isthmus.protocols.kafka.connection import Requests
from isthmus.protocols.kafka.handlers import versions
from isthmus.protocols.kafka.handlers.login import AUTHENTICATE
from isthmus.protocols.kafka.handlers.service import KEYS, KafkaDoor, KafkaService
from isthmus.protocols.kafka.schema import requests
from isthmus.record import Record
from support.kafka_messages import Choice, build
from support.native_corpus import SilentLine

BATCH: Final = batch.encode([Record(b"value" * 5, b"k")] * 3, now_ms=1)
MET_MAX: Final = 300
"""Connections that one broker meets: what they make stays in it."""

LEAVING_TURNS_MAX: Final = 10_000
"""Turns of the loop within which a door that is told to end has to be done, however slow the machine is."""

FRAME_BYTES_MAX: Final = 1 << 20


def request(api_key: int, version: int, message: Struct, correlation: int = 1) -> bytes:
    """A request without its length."""
    header = RequestHeader(api_key, version, correlation, "fuzz", 0)
    return codec.encode_header(header) + codec.encode_request(api_key, version, message)


def framed(*frames: bytes) -> bytes:
    """Requests with their lengths, one behind the other."""
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


def _of_all() -> list[bytes]:
    rng = random.Random(1)
    return [
        request(key, version, build(layout, version, rng))
        for key, layout in requests().items()
        for version in range(layout.versions[0], layout.versions[1] + 1)
    ]


def _session() -> list[tuple[int, int, Any]]:
    m = messages
    topic = m.ProduceRequestTopicData("t", partition_data=(m.ProduceRequestTopicDataPartitionData(0, BATCH),))
    wanted = m.FetchRequestTopic("t", partitions=(m.FetchRequestTopicPartition(0, partition_max_bytes=1_000),))
    offsets = m.ListOffsetsRequestTopic("t", (m.ListOffsetsRequestTopicPartition(0, timestamp=-1),))
    member = m.JoinGroupRequest("g", 30_000, 30_000, protocol_type="consumer")
    return [
        (18, 3, m.ApiVersionsRequest("fuzz", "1")),
        (3, 9, m.MetadataRequest((m.MetadataRequestTopic(name="t"),), allow_auto_topic_creation=True)),
        (22, 4, m.InitProducerIdRequest(transaction_timeout_ms=1_000)),
        (0, 7, m.ProduceRequest(acks=-1, timeout_ms=1, topic_data=(topic,))),
        (0, 9, m.ProduceRequest(acks=1, timeout_ms=1, topic_data=(topic,))),
        (1, 11, m.FetchRequest(topics=(wanted,), max_bytes=1_000)),
        (1, 12, m.FetchRequest(topics=(wanted,), max_bytes=1_000, max_wait_ms=500, min_bytes=10_000)),
        (2, 7, m.ListOffsetsRequest(topics=(offsets,))),
        (11, 5, member),
        (17, 1, m.SaslHandshakeRequest("SCRAM-SHA-256")),
        (36, 1, m.SaslAuthenticateRequest(b"n,,n=u,r=1")),
    ]


FRAMES: Final = _of_all()
"""A request of every API in every version."""

SESSIONS: Final = [
    framed(*(request(*each) for each in _session())),
    *(framed(request(18, 3, messages.ApiVersionsRequest("fuzz", "1")), frame) for frame in FRAMES),
]


LIKELY: Final = Choice(
    texts=(
        *"t t t u g g m consumer range cluster retention.ms cleanup.policy compact 1000 -1 SCRAM-SHA-256 ..".split(),
        "",
        "a b",
        "x" * 250,
        "y" * 32_767,
    ),
    blobs=(b"", BATCH, BATCH, BATCH * 2, b"\x00\x00\x00\x01", bytes(70)),
    numbers=(0, 0, 0, 1, 1, 2, 3, -1, -2, 5, 16, 100),
)
"""What requests have that go on with what others before them made."""


def likely(rng: random.Random) -> bytes:
    """Requests that can all be read, of any APIs that are served, about a few topics and groups."""
    frames = []
    for number in range(rng.randint(1, 25)):
        key = rng.choice(KEYS)
        version = rng.randint(*versions.served(key))
        frames.append(request(key, version, build(requests()[key], version, rng, LIKELY), number))
    return framed(*frames)


def read(data: bytes) -> None:
    """Read the bytes as one request."""
    header = codec.decode_header(data)
    codec.decode_request(header.api_key, header.api_version, data, header.body_at)


def split(data: bytes) -> None:
    """Read the bytes as frames, each of which may be a request."""
    incoming = Requests(FRAME_BYTES_MAX)
    incoming.receive(data)
    while (frame := incoming.next()) is not None:
        try:
            read(frame)
        except ProtocolError:
            continue


class Unforeseen(logging.Handler):
    """Keeps what the door says of a handler that failed in a way that nobody had thought of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.exc_info is not None:
            self.found = record.exc_info[1]


async def _end(door: KafkaDoor, line: SilentLine) -> None:
    """Let the door finish what runs. A failed login is answered late, and the clock stands still here."""
    door.drain()
    owed: list[RequestHeader] = []
    for _ in range(LEAVING_TURNS_MAX):
        owed = [each.header for each in door._answers._slots if not each.done and each.header.api_key != AUTHENTICATE]
        if line.closed or not owed:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"answers are owed that nobody works at: {owed}")


class FuzzedDoor:
    """A broker in memory at the end of every connection; made when it is needed, and now and then a new one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._fail)
        self._service: KafkaService | None = None
        self._met = 0
        self._unforeseen = Unforeseen()

    def meet(self, data: bytes) -> None:
        """One connection on which this comes, from its beginning to its end."""
        log = logging.getLogger("isthmus.kafka")
        log.addHandler(self._unforeseen)
        try:
            self._loop.run_until_complete(self._meet(data))
        finally:
            log.removeHandler(self._unforeseen)

    def meet_likely(self, seed: bytes) -> None:
        """One connection with requests that can be read; the bytes choose which."""
        self.meet(likely(random.Random(seed)))

    async def _meet(self, data: bytes) -> None:
        self._met += 1
        if self._service is not None and self._met % MET_MAX == 0:
            await self._service.shared.broker.close()
            self._service = None
        if self._service is None:
            broker = Broker(MemoryStorage(), ManualClock())
            await broker.open()
            self._service = KafkaService(broker)
        line = SilentLine()
        door = self._service.open(line)
        door.receive(data)
        while not line.closed and door.step() is Step.MORE:  # noqa: ASYNC110 - turns for what has begun
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        if not line.closed:
            await _end(door, line)
        whole = Requests(1 << 26)
        whole.receive(b"".join(door.data_to_send()))
        while whole.next() is not None:
            pass
        assert not whole.buffered_bytes, "half an answer"
        door.lost()
        for _ in range(5):
            await asyncio.sleep(0)
        failed, self._unforeseen.found = self._unforeseen.found, None
        if failed is not None:
            raise failed

    def _fail(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raised, nobody else hears of."""
        self._unforeseen.found = context.get("exception") or RuntimeError(context["message"])

    def close(self) -> None:
        """End the broker and its loop."""
        if self._service is not None:
            self._loop.run_until_complete(self._service.shared.broker.close())
        self._loop.close()
