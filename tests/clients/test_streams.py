"""Streams by unmodified clients of AMQP, pika and aio-pika: the same on Isthmus and on a real RabbitMQ."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aio_pika
import pika
import pika.exceptions
import pytest
from pamqp.common import FieldTable

from support.amqp import amqp_server
from support.rabbitmq import RabbitMQ

STREAM: FieldTable = {"x-queue-type": "stream"}
QUIET_S = 0.3


class Broker(NamedTuple):
    """Which it is, and where."""

    kind: str
    url: str


@pytest.fixture(params=["isthmus", "rabbitmq"])
async def broker(request: pytest.FixtureRequest) -> AsyncGenerator[Broker]:
    if request.param == "isthmus":
        async with amqp_server() as server:
            yield Broker("isthmus", f"amqp://guest:guest@127.0.0.1:{server.port}/%2F")
        return
    rabbit: RabbitMQ = request.getfixturevalue("rabbit")
    with rabbit.vhost("streams") as url:
        yield Broker("rabbitmq", url)


async def with_channel(broker: Broker, work: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - pika has no types
    """Do something with a channel of pika's, beside the server's loop."""

    def run() -> Any:  # noqa: ANN401
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            return work(channel)
        finally:
            if connection.is_open:
                connection.close()

    return await asyncio.to_thread(run)


def filled(channel: Any, *bodies: str) -> None:  # noqa: ANN401
    """A stream of these, each confirmed before the next, so that each is a chunk of its own."""
    channel.queue_declare("s", durable=True, arguments=STREAM)
    for body in bodies:
        channel.basic_publish("", "s", body.encode(), pika.BasicProperties(headers={"n": 1}))


def consumed(
    channel: Any,  # noqa: ANN401
    offset: object,
    prefetch: int = 100,
    more: dict[str, object] | None = None,
) -> list[tuple[int, str]]:
    """What comes until nothing more comes: offsets and bodies."""
    channel.basic_qos(prefetch_count=prefetch)
    arguments = {"x-stream-offset": offset, **(more or {})}
    found = []
    for method, properties, body in channel.consume("s", arguments=arguments, inactivity_timeout=QUIET_S):
        if method is None:
            break
        found.append((properties.headers["x-stream-offset"], body.decode()))
        channel.basic_ack(method.delivery_tag)
    channel.cancel()
    return found


@pytest.mark.parametrize(
    ("offset", "wanted"),
    [
        ("first", "abc"),
        ("last", "c"),
        ("next", ""),
        (1, "bc"),
        (3, ""),
        (datetime.now(UTC) - timedelta(days=1), "abc"),
        ("1h", "abc"),
    ],
    ids=["first", "last", "next", "an offset", "the offset to come", "a time", "an age"],
)
async def test_pika_reads_from_where_it_says(broker: Broker, offset: object, wanted: str) -> None:
    def work(channel: Any) -> list[tuple[int, str]]:  # noqa: ANN401
        filled(channel, "a", "b", "c")
        return consumed(channel, offset)

    found = await with_channel(broker, work)

    assert found == [("abc".index(body), body) for body in wanted]


async def test_what_was_read_is_there_for_the_next(broker: Broker) -> None:
    def work(channel: Any) -> list[list[tuple[int, str]]]:  # noqa: ANN401
        filled(channel, "a", "b")
        return [consumed(channel, "first", prefetch=1) for _ in range(2)]

    first, again = await with_channel(broker, work)

    assert first == again == [(0, "a"), (1, "b")]


async def test_aio_pika_follows_a_stream_and_goes_on_at_an_offset(broker: Broker) -> None:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(10)
        queue = await channel.declare_queue("s", durable=True, arguments=STREAM)
        got: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        tag = await queue.consume(got.put, arguments={"x-stream-offset": "next"})
        for number in range(25):
            await channel.default_exchange.publish(aio_pika.Message(b"%d" % number, headers={"n": number}), "s")
        messages = []
        for _ in range(25):
            messages.append(await asyncio.wait_for(got.get(), 10))
            await messages[-1].ack()
        await queue.cancel(tag)
        await queue.consume(got.put, arguments={"x-stream-offset": 20})
        later = [await asyncio.wait_for(got.get(), 10) for _ in range(5)]

    assert [message.body for message in messages] == [b"%d" % number for number in range(25)]
    assert [message.headers["n"] for message in messages] == list(range(25))
    assert [message.headers["x-stream-offset"] for message in later] == list(range(20, 25))


async def test_prefetch_bounds_what_is_unacknowledged(broker: Broker) -> None:
    def work(channel: Any) -> list[int]:  # noqa: ANN401
        filled(channel, *"abcdef")
        counts: list[int] = []
        got: list[int] = []
        channel.basic_qos(prefetch_count=2)
        arguments = {"x-stream-offset": "first"}
        channel.basic_consume("s", lambda _, method, *__: got.append(method.delivery_tag), arguments=arguments)
        for acknowledged in (0, 1, 3):
            if acknowledged:
                channel.basic_ack(acknowledged, multiple=True)
            channel.connection.process_data_events(QUIET_S)
            counts.append(len(got))
        return counts

    assert await with_channel(broker, work) == [2, 3, 5]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda channel: channel.basic_consume("s", print), 406),
        (lambda channel: (channel.basic_qos(prefetch_count=1), channel.basic_consume("s", print, auto_ack=True)), 540),
        (lambda channel: channel.basic_get("s"), 540),
        (lambda channel: channel.queue_purge("s"), 540),
        (lambda channel: channel.queue_declare("t", arguments=STREAM), 406),
        (lambda channel: channel.queue_declare("t", durable=True, exclusive=True, arguments=STREAM), 406),
        (lambda channel: channel.queue_declare("s", durable=True), 406),
    ],
    ids=["no prefetch", "no ack", "get", "purge", "not durable", "exclusive", "no stream"],
)
async def test_what_a_stream_cannot_be_asked_for_is_refused(
    broker: Broker, wrong: Callable[[Any], object], code: int
) -> None:
    def work(channel: Any) -> int:  # noqa: ANN401
        filled(channel)
        with pytest.raises((pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker)) as told:
            wrong(channel)
        return int(told.value.reply_code)

    assert await with_channel(broker, work) == code


async def test_filters_leave_out_what_was_not_asked_for(broker: Broker) -> None:
    if broker.kind == "rabbitmq":
        pytest.skip("RabbitMQ has filters since 3.13, and Debian has 3.10")

    def work(channel: Any) -> list[list[str]]:  # noqa: ANN401
        channel.queue_declare("s", durable=True, arguments=STREAM)
        for body, value in (("a", "eu"), ("b", "us"), ("c", None)):
            headers = {} if value is None else {"x-stream-filter-value": value}
            channel.basic_publish("", "s", body.encode(), pika.BasicProperties(headers=headers))
        wanted: tuple[dict[str, object], ...] = (
            {"x-stream-filter": "eu"},
            {"x-stream-filter": ["eu", "us"]},
            {"x-stream-filter": "eu", "x-stream-match-unfiltered": True},
        )
        return [[body for _, body in consumed(channel, "first", more=each)] for each in wanted]

    assert await with_channel(broker, work) == [["a"], ["a", "b"], ["a", "c"]]


async def test_a_stream_is_bound_to_an_exchange_and_bounded_by_age_and_size(broker: Broker) -> None:
    def work(channel: Any) -> list[tuple[int, str]]:  # noqa: ANN401
        limits: FieldTable = {
            "x-max-age": "7D",
            "x-max-length-bytes": 1_000_000_000,
            "x-stream-max-segment-size-bytes": 1_000_000,
        }
        channel.queue_declare("s", durable=True, arguments=STREAM | limits)
        channel.queue_declare("s", durable=True, arguments=STREAM | limits)
        channel.exchange_declare("events", "topic", durable=True)
        channel.queue_bind("s", "events", "eu.#")
        for key in ("eu.a", "us.b", "eu.c.d"):
            channel.basic_publish("events", key, key.encode())
        return consumed(channel, "first")

    assert await with_channel(broker, work) == [(0, "eu.a"), (1, "eu.c.d")]
