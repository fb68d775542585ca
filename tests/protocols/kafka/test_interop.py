"""The library and Kafka's clients on one topic, cell by cell of the page about it: what one writes the other sees."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from uuid import UUID

import google_crc32c
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from isthmus import App, Event, Queue, State, Stream, connect
from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.client.bus import Bus
from isthmus.client.delivery import Message
from isthmus.clock import SystemClock
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log import batch as batches
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.kafka.errors import Code
from isthmus.record import Record
from isthmus.server.config import Settings
from isthmus.server.server import Server
from support.kafka import KafkaPeer, kafka_server
from support.kafka_requests import PRODUCE, a_batch, produce, row_of, with_topic
from support.source import ROOT


class Order(Event):
    order_id: str
    total: int = 0


class Numbered(Event):
    number: int


class Named(Event):
    id: UUID


class Placed(Event):
    shop: str
    number: int


class Customer(State):
    customer_id: str


class Job(Event):
    job_id: str


orders = Stream[Order]("orders", key="order_id", partitions=3)
customers = Stream[Customer]("customers", key="customer_id")
jobs = Queue[Job]("jobs")
ADA = UUID("11111111-2222-3333-4444-555555555555")


class World(NamedTuple):
    """A server, the library on it, and where Kafka's clients find it."""

    bus: Bus
    url: str
    bootstrap: str

    async def read(self, topic: str, count: int = 1) -> list[Any]:
        """What librdkafka reads of all partitions."""
        return await asyncio.to_thread(_read, self.bootstrap, topic, count)

    async def produce(self, topic: str, *rows: dict[str, Any], **settings: Any) -> list[Any]:
        """What librdkafka publishes; its reports, in the order of the rows."""
        return await asyncio.to_thread(_produce, self.bootstrap, topic, rows, settings)

    async def seen(self, stream: Stream[Any], count: int = 1) -> list[Message[Any]]:
        """What the library reads."""
        found = [message async for message in self.bus.read(stream, stop="end")]
        assert len(found) == count
        return found


def _read(bootstrap: str, topic: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in partitions])
        return consumer.consume(count, 10)
    finally:
        consumer.close()


def _produce(bootstrap: str, topic: str, rows: tuple[dict[str, Any], ...], settings: dict[str, Any]) -> list[Any]:
    told: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 50, **settings})
    for row in rows:
        producer.produce(topic, on_delivery=lambda error, message: told.append(error or message), **row)
    producer.flush(10)
    return told


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    broker = Broker(MemoryStorage(), SystemClock(), BrokerOptions(JournalOptions(segment_bytes=SEGMENT_BYTES_MIN)))
    await broker.open()
    server = Server(broker, Settings(kafka="0", native="0"))
    where = {each.protocol: f"{each.host}:{each.port}" for each in await server.start(unix=False)}
    try:
        async with connect(f"isthmus://{where['native']}", name="shop") as bus:
            await bus.declare(orders, customers, jobs)
            yield World(bus, f"isthmus://{where['native']}", where["kafka"])
    finally:
        await server.stop()
        await broker.close()


Cell = Callable[[World], Awaitable[None]]
OUT: dict[str, Cell] = {}
IN: dict[str, Cell] = {}
"""From the library to Kafka, and back: by row of the page."""


def out(row: str) -> Callable[[Cell], Cell]:
    def add(cell: Cell) -> Cell:
        OUT[row] = cell
        return cell

    return add


def into(row: str) -> Callable[[Cell], Cell]:
    def add(cell: Cell) -> Cell:
        IN[row] = cell
        return cell

    return add


# ---- from the library to Kafka ------------------------------------------------------------------------------------


@out("identity")
async def identity_out(w: World) -> None:
    receipts = [await w.bus.publish(orders, Order(order_id=f"o-{at}")) for at in range(9)]

    found = await w.read("orders", 9)

    places = {(each.topic, each.partition, each.base_offset) for receipt in receipts for each in receipt.appended}
    assert {(each.topic(), each.partition(), each.offset()) for each in found} == places


@out("payload")
async def payload_out(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1", total=7))

    (found,) = await w.read("orders")

    assert found.value() == b'{"order_id":"o-1","total":7}'


@out("key")
async def key_out(w: World) -> None:
    numbered = Stream[Numbered]("numbered", key="number")
    named = Stream[Named]("named", key="id")
    placed = Stream[Placed]("placed", key=("shop", "number"))
    await w.bus.publish(orders, Order(order_id="straße"))
    await w.bus.publish(numbered, Numbered(number=-7))
    await w.bus.publish(named, Named(id=ADA))
    await w.bus.publish(placed, Placed(shop="s", number=1))
    await w.bus.publish(Stream[Job]("keyless", key=None), Job(job_id="j"))

    found = [(await w.read(name))[0].key() for name in ("orders", "numbered", "named", "placed", "keyless")]

    assert found == ["straße".encode(), b"-7", str(ADA).encode(), b"s\x1f1", None]


@out("partition of a key")
async def partition_out(w: World) -> None:
    for at in range(30):
        await w.bus.publish(orders, Order(order_id=f"o-{at}"))
    reports = await w.produce("orders", *({"key": f"o-{at}", "value": b"{}"} for at in range(30)))

    ours = {each.key(): each.partition() for each in await w.read("orders", 60) if each.value() != b"{}"}

    assert {each.key(): each.partition() for each in reports} == ours
    assert len(set(ours.values())) == 3


@out("deletion")
async def deletion_out(w: World) -> None:
    await w.bus.delete(customers, "ada")

    (found,) = await w.read("customers")

    assert (found.key(), found.value()) == (b"ada", None)


@out("type and attributes")
async def attributes_out(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1"), headers={"ce_id": "one"})

    (found,) = await w.read("orders")

    assert dict(found.headers()) == {
        "ce_specversion": b"1.0",
        "ce_type": b"Order",
        "ce_source": b"shop",
        "content-type": b"application/json",
        "ce_id": b"one",
    }


@out("headers")
async def headers_out(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1"), headers={"trace": "süß", "raw": b"\0\xff"})

    (found,) = await w.read("orders")

    assert found.headers()[-2:] == [("trace", "süß".encode()), ("raw", b"\0\xff")]


@out("time")
async def time_out(w: World) -> None:
    before_ms = w.bus.engine.clock.now_ms()
    await w.bus.publish(orders, Order(order_id="o-1"))
    after_ms = w.bus.engine.clock.now_ms()

    (found,) = await w.read("orders")
    (message,) = await w.seen(orders)

    assert before_ms <= found.timestamp()[1] <= after_ms
    assert message.timestamp_ms == found.timestamp()[1]


@out("position of a group")
async def group_out(w: World) -> None:
    app, seen = App(w.url), asyncio.Event()

    @app.on(orders, group="billing")
    async def bill(order: Order) -> None:
        if order.total == 3:
            seen.set()

    await w.bus.publish(orders, *(Order(order_id="same", total=at) for at in (1, 2, 3)))
    async with app:
        await seen.wait()

    places = [TopicPartition("orders", index) for index in range(3)]
    committed = await asyncio.to_thread(
        lambda: Consumer({"bootstrap.servers": w.bootstrap, "group.id": "billing"}).committed(places, 10)
    )
    assert max(each.offset for each in committed) == 3


@out("queue")
async def queue_out(w: World) -> None:
    await w.bus.publish(jobs, Job(job_id="j-1"), Job(job_id="j-2"))

    found = await w.read("jobs", 2)

    assert [each.value() for each in found] == [b'{"job_id":"j-1"}', b'{"job_id":"j-2"}']


@out("delay, expiry, de-duplication")
async def properties_out(w: World) -> None:
    await w.bus.publish(jobs, Job(job_id="j-1"), delay="1h", ttl="2h", dedup="once")

    (found,) = await w.read("jobs")

    names = [name for name, _ in found.headers() if name.startswith("isthmus-")]
    assert names == ["isthmus-due", "isthmus-expire", "isthmus-dedup"]
    assert dict(found.headers())["isthmus-dedup"] == b"once"


# ---- from Kafka to the library ------------------------------------------------------------------------------------


@into("identity")
async def identity_in(w: World) -> None:
    (report,) = await w.produce("orders", {"key": "o-1", "value": b'{"order_id":"o-1"}'})

    (found,) = await w.seen(orders)

    assert (found.topic, found.partition, found.offset) == (report.topic(), report.partition(), report.offset())
    assert found.id == f"orders/{report.partition()}/{report.offset()}"


@into("payload")
async def payload_in(w: World) -> None:
    await w.produce("orders", {"value": b'{"order_id": "o-1", "total": 7, "more": [1]}', "partition": 0})
    await w.produce("orders", {"value": b"no JSON", "partition": 0})

    good, bad = await w.seen(orders, 2)

    assert good.event == Order(order_id="o-1", total=7)
    assert "DecodeError" in repr(bad.error)


@into("key")
async def key_in(w: World) -> None:
    value = b'{"order_id":"o-1"}'
    await w.produce("orders", *({"key": key, "value": value, "partition": 0} for key in (b"\0\xff", b"", None)))

    assert [each.key for each in await w.seen(orders, 3)] == [b"\0\xff", b"", None]


@into("partition of a key")
async def partition_in(w: World) -> None:
    value = b'{"order_id":"o-1"}'
    reports = await w.produce("orders", *({"key": f"o-{at}", "value": value} for at in range(30)))

    found = {each.key: each.partition for each in await w.seen(orders, 30)}

    assert found == {each.key(): each.partition() for each in reports}


@into("deletion")
async def deletion_in(w: World) -> None:
    await w.produce("customers", {"key": "ada", "value": None})

    (found,) = await w.seen(customers)

    assert (found.deleted, found.event, found.key) == (True, None, b"ada")


@into("type and attributes")
async def attributes_in(w: World) -> None:
    value = b'{"order_id":"o-1"}'
    await w.produce("orders", {"value": value, "partition": 0, "headers": {"ce_type": "Order", "ce_id": "mine"}})
    await w.produce("orders", {"value": value, "partition": 0, "headers": {"ce_type": "Other"}})
    await w.produce("orders", {"value": value, "partition": 0})

    named, other, bare = await w.seen(orders, 3)

    assert (named.event.order_id, named.id, named.type) == ("o-1", "mine", "Order")
    assert "UnknownType" in repr(other.error)
    assert bare.event.order_id == "o-1"


@into("headers")
async def headers_in(w: World) -> None:
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("raw", b"\xff")]
    await w.produce("orders", {"value": b'{"order_id":"o-1"}', "partition": 0, "headers": headers})

    (found,) = await w.seen(orders)

    assert dict(found.headers) == {"a": b"2", "none": None, "raw": b"\xff"}


@into("time")
async def time_in(w: World) -> None:
    await w.produce("orders", {"value": b'{"order_id":"o-1"}', "timestamp": 1_600_000_000_123, "partition": 0})

    (found,) = await w.seen(orders)

    assert found.timestamp_ms == 1_600_000_000_123


@into("position of a group")
async def group_in(w: World) -> None:
    await w.bus.publish(orders, *(Order(order_id="same", total=at) for at in (1, 2, 3)))
    (first, *_) = await w.seen(orders, 3)

    def commit() -> None:
        consumer = Consumer({"bootstrap.servers": w.bootstrap, "group.id": "billing"})
        consumer.commit(offsets=[TopicPartition("orders", first.partition, 2)], asynchronous=False)
        consumer.close()

    await asyncio.to_thread(commit)
    app, seen, done = App(w.url), list[int](), asyncio.Event()

    @app.on(orders, group="billing")
    async def bill(order: Order) -> None:
        seen.append(order.total)
        done.set()

    async with app:
        await done.wait()

    assert seen == [3]


@into("queue")
async def queue_in(w: World) -> None:
    await w.produce("jobs", {"value": b'{"job_id":"j-1"}'}, {"value": b'{"job_id":"j-2"}'})

    async with w.bus.take(jobs, 2, wait="5s") as messages:
        found = [message.event.job_id for message in messages]
    async with w.bus.take(jobs, 2, wait="10ms") as messages:
        left = list(messages)

    assert (found, left) == (["j-1", "j-2"], [])


@into("delay, expiry, de-duplication")
async def properties_in(w: World) -> None:
    far, past = {"isthmus-due": b"32503680000000"}, {"isthmus-expire": b"1"}
    for codec in ("none", "gzip", "zstd"):
        rows = [{"value": b'{"job_id":"%s"}' % (b"late" * 99), "headers": each} for each in (far, past)]
        await w.produce("jobs", *rows, **{"compression.type": codec})
    same = {"value": b'{"job_id":"now"}', "headers": {"isthmus-dedup": b"one"}}
    await w.produce("jobs", same, same)
    again = await w.bus.publish(jobs, Job(job_id="now"), dedup="one")

    async with w.bus.take(jobs, 9, wait="5s") as messages:
        found = [message.event.job_id for message in messages]

    assert found == ["now", "now"]
    assert again.appended[0].duplicate


# ---- the page -----------------------------------------------------------------------------------------------------


def test_every_cell_of_the_page_is_held() -> None:
    text = (ROOT / "docs/interop.md").read_text(encoding="utf-8")
    table = text.partition("<!-- kafka -->\n")[2].partition("<!-- end of kafka -->")[0]
    rows = re.findall(r"^\| ([a-z][^|]*?) \|", table, re.MULTILINE)

    assert set(rows) == set(OUT) == set(IN)


@pytest.mark.parametrize("row", OUT)
async def test_what_the_library_writes_is_what_kafkas_clients_see(row: str) -> None:
    async with world() as w:
        await OUT[row](w)


@pytest.mark.parametrize("row", IN)
async def test_what_kafkas_clients_write_is_what_the_library_sees(row: str) -> None:
    async with world() as w:
        await IN[row](w)


# ---- what nobody can read -----------------------------------------------------------------------------------------


def unreadable(codec: int = 0) -> bytes:
    """A batch with a right checksum whose records are none, and which names a queue attribute."""
    whole = bytearray(batches.encode([Record(b"x")], now_ms=1_000))
    batch = whole[: batches.HEADER_BYTES] + b"\xff" * 20 + b"isthmus-dedup" + b"\xff" * 20
    batch[8:12] = (len(batch) - 12).to_bytes(4)
    batch[22] |= codec
    batch[17:21] = google_crc32c.value(bytes(batch[21:])).to_bytes(4)
    return bytes(batch)


@pytest.mark.parametrize("codec", [0, 1, 4])
async def test_a_batch_that_names_attributes_and_cannot_be_read_stops_neither_the_broker_nor_its_next_opening(
    codec: int,
) -> None:
    storage = MemoryStorage()
    async with kafka_server(storage) as server:
        peer = await with_topic(server)

        answers = [await peer.ask(PRODUCE, 9, produce(each)) for each in (unreadable(codec), a_batch(b"good"))]

        assert [row_of(answer).base_offset for answer in answers] == [0, 1]
    async with kafka_server(storage) as server:
        assert server.broker.topic("default", "t").partitions[0].high_watermark == 2


@pytest.mark.parametrize("topic", ["jobs", "viewed"])
@pytest.mark.parametrize("codec", [0, 1])
async def test_a_batch_that_cannot_be_read_is_refused_where_it_would_hold_up_a_queue(codec: int, topic: str) -> None:
    view = Queue[Job]("view", of=Stream[Job]("viewed", key=None))
    async with world() as w:
        await w.bus.declare(view)
        reader, writer = await asyncio.open_connection(*w.bootstrap.split(":"))
        peer = KafkaPeer(reader, writer)
        sent = [produce(each, name=topic) for each in (unreadable(codec), a_batch(b'{"job_id":"good"}'))]
        answers = [await peer.ask(PRODUCE, 9, each) for each in sent]

        async with w.bus.take(jobs if topic == "jobs" else view, 9, wait="5s") as messages:
            found = [message.event.job_id for message in messages]
        await peer.close()

        assert [row_of(answer).error_code for answer in answers] == [Code.CORRUPT_MESSAGE, Code.NONE]
        assert found == ["good"]
