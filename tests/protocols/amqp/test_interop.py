"""AMQP's, Kafka's clients and the library on one log, cell by cell of the page about it: what one writes others see."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pika
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from isthmus import App, Event, Queue, State, Stream, connect
from isthmus.broker.broker import Broker, BrokerOptions
from isthmus.client.bus import Bus
from isthmus.client.delivery import Message
from isthmus.clock import SystemClock
from isthmus.limits import SEGMENT_BYTES_MIN
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage
from isthmus.protocols.amqp.properties import decode_properties
from isthmus.server.config import Settings
from isthmus.server.server import Server
from support.source import ROOT


class Order(Event):
    order_id: str


class Customer(State):
    customer_id: str


class Job(Event):
    job_id: str


orders = Stream[Order]("orders", key="order_id")
wide = Stream[Order]("wide", key="order_id", partitions=3)
customers = Stream[Customer]("customers", key="customer_id")
jobs = Queue[Job]("jobs")
BODY = b'{"order_id":"o-1"}'
JOB = b'{"job_id":"j-1"}'
PATIENCE_S = 10


class Seen(NamedTuple):
    """A message as pika gives it."""

    exchange: str
    key: str
    headers: dict[str, Any]
    body: bytes
    redelivered: bool


class World(NamedTuple):
    """A server, the library on it, and where the others find it."""

    bus: Bus
    url: str
    kafka: str
    amqp: str

    # ---- AMQP: pika -----------------------------------------------------------------------------------------------

    async def send(self, key: str, body: bytes, exchange: str = "", **properties: Any) -> None:
        """Publish, and wait for the confirm."""
        await asyncio.to_thread(_send, self.amqp, exchange, key, body, properties)

    async def bind(self, exchange: str, queue: str, key: str, kind: str = "topic") -> None:
        await asyncio.to_thread(_bind, self.amqp, exchange, kind, queue, key)

    async def consumed(self, queue: str, count: int = 1, arguments: dict[str, Any] | None = None) -> list[Seen]:
        """What a consumer gets, acknowledged."""
        return await asyncio.to_thread(_consumed, self.amqp, queue, count, arguments)

    async def streamed(self, topic: str, count: int = 1) -> list[Seen]:
        """What a consumer of a stream gets from its beginning on."""
        return await self.consumed(topic, count, {"x-stream-offset": "first"})

    # ---- Kafka: confluent-kafka -----------------------------------------------------------------------------------

    async def read(self, topic: str, count: int = 1) -> list[Any]:
        """What librdkafka reads of all partitions."""
        return await asyncio.to_thread(_read, self.kafka, topic, count)

    async def produce(self, topic: str, **row: Any) -> Any:  # noqa: ANN401 - a report of librdkafka's
        """Produce one record; its report."""
        return await asyncio.to_thread(_produce, self.kafka, topic, row)

    # ---- the library ----------------------------------------------------------------------------------------------

    async def seen(self, stream: Stream[Any], count: int = 1) -> list[Message[Any]]:
        """What the library reads."""
        found = [message async for message in self.bus.read(stream, stop="end")]
        assert len(found) == count
        return found


@contextmanager
def _channel(url: str) -> Any:  # noqa: ANN401 - pika has no types
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def _send(url: str, exchange: str, key: str, body: bytes, properties: dict[str, Any]) -> None:
    with _channel(url) as channel:
        channel.confirm_delivery()
        channel.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)


def _bind(url: str, exchange: str, kind: str, queue: str, key: str) -> None:
    with _channel(url) as channel:
        channel.exchange_declare(exchange, kind, durable=True)
        channel.queue_bind(queue, exchange, key)


def _consumed(url: str, queue: str, count: int, arguments: dict[str, Any] | None) -> list[Seen]:
    found: list[Seen] = []
    with _channel(url) as channel:
        channel.basic_qos(prefetch_count=100)
        for method, properties, body in channel.consume(queue, arguments=arguments, inactivity_timeout=PATIENCE_S):
            assert method is not None, f"only {found}"
            channel.basic_ack(method.delivery_tag)
            headers = dict(properties.headers or {})
            found.append(Seen(method.exchange, method.routing_key, headers, body, method.redelivered))
            if len(found) == count:
                break
    return found


def _read(bootstrap: str, topic: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    try:
        partitions = consumer.list_topics(topic, PATIENCE_S).topics[topic].partitions
        consumer.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in partitions])
        return consumer.consume(count, PATIENCE_S)
    finally:
        consumer.close()


def _produce(bootstrap: str, topic: str, row: dict[str, Any]) -> Any:  # noqa: ANN401 - a report of librdkafka's
    told: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    producer.produce(topic, on_delivery=lambda error, message: told.append(error or message), **row)
    producer.flush(PATIENCE_S)
    return told[0]


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    broker = Broker(MemoryStorage(), SystemClock(), BrokerOptions(JournalOptions(segment_bytes=SEGMENT_BYTES_MIN)))
    await broker.open()
    server = Server(broker, Settings(kafka="0", native="0", amqp="0"))
    where = {each.protocol: f"{each.host}:{each.port}" for each in await server.start(unix=False)}
    try:
        async with connect(f"isthmus://{where['native']}", name="shop") as bus:
            await bus.declare(orders, wide, customers, jobs)
            yield World(bus, f"isthmus://{where['native']}", where["kafka"], f"amqp://{where['amqp']}/%2F")
    finally:
        await server.stop()
        await broker.close()


Cell = Callable[[World], Awaitable[None]]
COLUMNS = ("AMQP to Kafka", "AMQP to the library", "Kafka to AMQP", "the library to AMQP")
CELLS: dict[tuple[str, str], Cell] = {}
"""By column and row of the page."""


def cell(column: str, row: str) -> Callable[[Cell], Cell]:
    assert column in COLUMNS

    def add(test: Cell) -> Cell:
        assert (column, row) not in CELLS
        CELLS[column, row] = test
        return test

    return add


# ---- from AMQP ----------------------------------------------------------------------------------------------------


@cell("AMQP to Kafka", "identity")
async def identity_to_kafka(w: World) -> None:
    for _ in range(2):
        await w.send("orders", BODY)

    found = await w.read("orders", 2)

    assert [(each.topic(), each.partition(), each.offset()) for each in found] == [("orders", 0, 0), ("orders", 0, 1)]


@cell("AMQP to the library", "identity")
async def identity_to_library(w: World) -> None:
    await w.send("orders", BODY, message_id="m-1")

    (found,) = await w.seen(orders)

    assert found.id == "orders/0/0"


@cell("AMQP to Kafka", "payload")
async def payload_to_kafka(w: World) -> None:
    await w.send("orders", b"\0\xff")

    assert [each.value() for each in await w.read("orders")] == [b"\0\xff"]


@cell("AMQP to the library", "payload")
async def payload_to_library(w: World) -> None:
    await w.send("orders", BODY)
    await w.send("orders", b"no JSON")

    good, bad = await w.seen(orders, 2)

    assert good.event == Order(order_id="o-1")
    assert "DecodeError" in repr(bad.error)


@cell("AMQP to Kafka", "key")
async def key_to_kafka(w: World) -> None:
    await w.bind("shop", "orders", "#")
    for exchange, key in (("shop", "straße.7"), ("shop", ""), ("", "orders")):
        await w.send(key, BODY, exchange)

    assert [each.key() for each in await w.read("orders", 3)] == ["straße.7".encode(), b"", b"orders"]


@cell("AMQP to the library", "key")
async def key_to_library(w: World) -> None:
    await w.bind("shop", "orders", "#")
    await w.send("o-1", BODY, "shop")

    (found,) = await w.seen(orders)

    assert found.key == b"o-1"


@cell("AMQP to Kafka", "partition of a key")
async def partition_to_kafka(w: World) -> None:
    await w.bind("shop", "wide", "#")
    for at in range(9):
        await w.send(f"o-{at}", BODY, "shop")
        await w.produce("wide", key=f"o-{at}", value=b"{}")

    found = await w.read("wide", 18)

    places = [
        {each.key(): each.partition() for each in found if (each.value() == BODY) is ours} for ours in (True, False)
    ]
    assert places[0] == places[1]
    assert len(set(places[0].values())) == 3


@cell("AMQP to the library", "partition of a key")
async def partition_to_library(w: World) -> None:
    await w.bind("shop", "wide", "#")
    for at in range(9):
        await w.send(f"o-{at}", BODY, "shop")
        await w.bus.publish(wide, Order(order_id=f"o-{at}"))

    found = await w.seen(wide, 18)

    assert len({(each.key, each.partition) for each in found}) == 9


@cell("AMQP to Kafka", "headers and properties")
async def properties_to_kafka(w: World) -> None:
    await w.bind("shop", "orders", "#")
    await w.send("k", BODY, "shop", headers={"n": 1}, content_type="text/plain", correlation_id="c")

    (found,) = await w.read("orders")

    headers = dict(found.headers())
    properties = decode_properties(headers["amqp-properties"])
    assert set(headers) == {"amqp-exchange", "amqp-properties"}
    assert headers["amqp-exchange"] == b"shop"
    assert (properties.headers, properties.content_type, properties.correlation_id) == ({"n": 1}, "text/plain", "c")


@cell("AMQP to the library", "headers and properties")
async def properties_to_library(w: World) -> None:
    await w.send("orders", BODY, type="Other", headers={"ce_type": "Other"})

    (found,) = await w.seen(orders)

    assert found.event == Order(order_id="o-1")
    assert decode_properties(found.headers["amqp-properties"] or b"").type == "Other"


@cell("AMQP to Kafka", "time")
async def time_to_kafka(w: World) -> None:
    before_ms = w.bus.engine.clock.now_ms()
    await w.send("orders", BODY, timestamp=1)

    (found,) = await w.read("orders")

    assert before_ms <= found.timestamp()[1] <= w.bus.engine.clock.now_ms()


@cell("AMQP to the library", "time")
async def time_to_library(w: World) -> None:
    before_ms = w.bus.engine.clock.now_ms()
    await w.send("orders", BODY, timestamp=1)

    (found,) = await w.seen(orders)

    assert before_ms <= found.timestamp_ms <= w.bus.engine.clock.now_ms()


@cell("AMQP to Kafka", "deletion")
async def deletion_to_kafka(w: World) -> None:
    await w.bind("crm", "customers", "#")
    await w.send("ada", b"", "crm")

    (found,) = await w.read("customers")

    assert (found.key(), found.value()) == (b"ada", b"")


@cell("AMQP to the library", "deletion")
async def deletion_to_library(w: World) -> None:
    await w.bind("crm", "customers", "#")
    await w.send("ada", b"", "crm")

    (found,) = await w.seen(customers)

    assert not found.deleted
    assert "DecodeError" in repr(found.error)


@cell("AMQP to Kafka", "expiry and priority")
async def expiry_to_kafka(w: World) -> None:
    before_ms = w.bus.engine.clock.now_ms()
    await w.send("orders", BODY, expiration="60000", priority=3)

    (found,) = await w.read("orders")

    headers = dict(found.headers())
    assert before_ms + 60_000 <= int(headers["isthmus-expire"]) <= w.bus.engine.clock.now_ms() + 60_000
    assert headers["isthmus-priority"] == b"3"


@cell("AMQP to the library", "expiry and priority")
async def expiry_to_library(w: World) -> None:
    await w.send("jobs", b'{"job_id":"late"}', expiration="0")
    await w.send("jobs", JOB, expiration="60000")

    async with w.bus.take(jobs, 2, wait="2s") as messages:
        found = [message.event.job_id for message in messages]

    assert found == ["j-1"]


@cell("AMQP to Kafka", "queue")
async def queue_to_kafka(w: World) -> None:
    await w.send("jobs", JOB)

    (found,) = await w.read("jobs")

    assert found.value() == JOB
    assert [each.body for each in await w.consumed("jobs")] == [JOB]


@cell("AMQP to the library", "queue")
async def queue_to_library(w: World) -> None:
    await w.send("jobs", JOB)

    async with w.bus.take(jobs, 2, wait="5s") as messages:
        found = [message.event for message in messages]

    assert found == [Job(job_id="j-1")]


@cell("AMQP to Kafka", "exchange")
async def exchange_to_kafka(w: World) -> None:
    await w.bind("shop", "orders", "eu.*")
    await w.send("eu.1", BODY, "shop")

    def group() -> Sequence[Any]:
        consumer = Consumer({"bootstrap.servers": w.kafka, "group.id": "billing", "auto.offset.reset": "earliest"})
        consumer.subscribe(["orders"])
        try:
            return consumer.consume(1, PATIENCE_S)
        finally:
            consumer.close()

    assert [each.value() for each in await asyncio.to_thread(group)] == [BODY]


@cell("AMQP to the library", "exchange")
async def exchange_to_library(w: World) -> None:
    app, seen = App(w.url), asyncio.get_running_loop().create_future()

    @app.on(orders, group="billing")
    async def bill(order: Order) -> None:
        seen.set_result(order)

    async with app:
        await w.bind("shop", "orders", "eu.*")
        await w.send("eu.1", BODY, "shop")

        assert await seen == Order(order_id="o-1")


# ---- to AMQP ------------------------------------------------------------------------------------------------------


@cell("Kafka to AMQP", "identity")
async def identity_of_kafka(w: World) -> None:
    await w.produce("orders", value=b"a")
    report = await w.produce("orders", value=b"b")

    found = await w.streamed("orders", 2)

    assert [each.headers["x-stream-offset"] for each in found] == [0, report.offset()]
    assert [each.body for each in await w.consumed("orders", 1, {"x-stream-offset": report.offset()})] == [b"b"]


@cell("the library to AMQP", "identity")
async def identity_of_library(w: World) -> None:
    receipt = await w.bus.publish(orders, Order(order_id="o-1"))

    (found,) = await w.streamed("orders")

    assert found.headers["x-stream-offset"] == receipt.appended[0].base_offset


@cell("Kafka to AMQP", "payload")
async def payload_of_kafka(w: World) -> None:
    await w.produce("orders", value=b"\0\xff")

    assert [each.body for each in await w.streamed("orders")] == [b"\0\xff"]


@cell("the library to AMQP", "payload")
async def payload_of_library(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1"))

    assert [each.body for each in await w.streamed("orders")] == [BODY]


@cell("Kafka to AMQP", "key")
async def key_of_kafka(w: World) -> None:
    for key in ("straße".encode(), None, b"\xff", b"k" * 256):
        await w.produce("orders", key=key, value=b"")

    assert [each.key for each in await w.streamed("orders", 4)] == ["straße", "", "", ""]


@cell("the library to AMQP", "key")
async def key_of_library(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="straße"))

    assert [each.key for each in await w.streamed("orders")] == ["straße"]


@cell("Kafka to AMQP", "partition of a key")
async def partition_of_kafka(w: World) -> None:
    reports = [await w.produce("wide", key=f"o-{at}", value=b"") for at in range(9)]

    found = await w.streamed("wide", 9)

    assert {each.key: each.headers["x-stream-partition"] for each in found} == {
        each.key().decode(): each.partition() for each in reports
    }
    first = sum(each.partition() == 0 for each in reports)
    alone = await w.consumed("wide", first, {"x-stream-offset": "first", "x-stream-partition": 0})
    assert {each.headers["x-stream-partition"] for each in alone} == {0}


@cell("the library to AMQP", "partition of a key")
async def partition_of_library(w: World) -> None:
    receipts = [await w.bus.publish(wide, Order(order_id=f"o-{at}")) for at in range(9)]

    found = {each.key: each.headers["x-stream-partition"] for each in await w.streamed("wide", 9)}

    assert found == {f"o-{at}": receipt.appended[0].partition for at, receipt in enumerate(receipts)}


@cell("Kafka to AMQP", "headers and properties")
async def properties_of_kafka(w: World) -> None:
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("raw", b"\xff"), ("word", "süß".encode())]
    await w.produce("orders", value=b"", headers=headers)

    (found,) = await w.streamed("orders")

    del found.headers["x-stream-offset"]
    assert found.headers == {"a": "2", "none": None, "raw": b"\xff", "word": "süß"}


@cell("the library to AMQP", "headers and properties")
async def properties_of_library(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1"), headers={"trace": "süß"})

    (found,) = await w.streamed("orders")

    assert (found.headers["ce_type"], found.headers["content-type"]) == ("Order", "application/json")
    assert found.headers["trace"] == "süß"


@cell("Kafka to AMQP", "time")
async def time_of_kafka(w: World) -> None:
    await w.produce("orders", value=b"old", timestamp=1_600_000_000_000)
    await w.produce("orders", value=b"new", timestamp=1_700_000_000_000)

    at = datetime.fromtimestamp(1_650_000_000, UTC)
    assert [each.body for each in await w.consumed("orders", 1, {"x-stream-offset": at})] == [b"new"]


@cell("the library to AMQP", "time")
async def time_of_library(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1"))

    assert [each.body for each in await w.consumed("orders", 1, {"x-stream-offset": "1h"})] == [BODY]


@cell("Kafka to AMQP", "deletion")
async def deletion_of_kafka(w: World) -> None:
    await w.produce("customers", key="ada", value=None)

    assert [(each.key, each.body) for each in await w.streamed("customers")] == [("ada", b"")]


@cell("the library to AMQP", "deletion")
async def deletion_of_library(w: World) -> None:
    await w.bus.delete(customers, "ada")

    assert [(each.key, each.body) for each in await w.streamed("customers")] == [("ada", b"")]


@cell("Kafka to AMQP", "expiry and priority")
async def expiry_of_kafka(w: World) -> None:
    await w.produce("jobs", value=b"late", headers={"isthmus-expire": b"1"})
    await w.produce("jobs", value=b"in time", headers={"isthmus-expire": b"32503680000000"})

    (found,) = await w.consumed("jobs")

    assert (found.body, found.headers) == (b"in time", {"isthmus-expire": "32503680000000"})


@cell("the library to AMQP", "expiry and priority")
async def expiry_of_library(w: World) -> None:
    await w.bus.publish(jobs, Job(job_id="much later"), delay="1h")
    await w.bus.publish(jobs, Job(job_id="j-1"), ttl="1h")

    (found,) = await w.consumed("jobs")

    assert found.body == JOB
    assert "isthmus-expire" in found.headers


@cell("Kafka to AMQP", "queue")
async def queue_of_kafka(w: World) -> None:
    await w.produce("jobs", key="k", value=b"a")

    assert await w.consumed("jobs") == [Seen("", "k", {}, b"a", redelivered=False)]


@cell("the library to AMQP", "queue")
async def queue_of_library(w: World) -> None:
    await w.bus.publish(jobs, Job(job_id="j-1"))

    assert [each.body for each in await w.consumed("jobs")] == [JOB]


@cell("Kafka to AMQP", "exchange")
async def exchange_of_kafka(w: World) -> None:
    await w.bind("shop", "jobs", "#")
    await w.produce("orders", key="k", value=b"a")

    assert [each.exchange for each in await w.streamed("orders")] == [""]


@cell("the library to AMQP", "exchange")
async def exchange_of_library(w: World) -> None:
    await w.bus.publish(orders, Order(order_id="o-1"))

    assert [each.exchange for each in await w.streamed("orders")] == [""]


# ---- the page -----------------------------------------------------------------------------------------------------


def test_every_cell_of_the_page_is_held() -> None:
    text = (ROOT / "docs/interop.md").read_text(encoding="utf-8")
    rows: dict[str, set[str]] = {}
    for mark, columns in (("from-amqp", COLUMNS[:2]), ("to-amqp", COLUMNS[2:])):
        table = text.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- end of {mark} -->")[0]
        found = re.findall(r"^\| ([a-z][^|]*?) \|", table, re.MULTILINE)
        rows |= {column: set(found) for column in columns}

    assert rows == {column: {row for each, row in CELLS if each == column} for column in COLUMNS}


@pytest.mark.parametrize(("column", "row"), CELLS)
async def test_what_one_writes_is_what_the_others_see(column: str, row: str) -> None:
    async with world() as w:
        await CELLS[column, row](w)
