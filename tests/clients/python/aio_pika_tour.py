"""One tour of aio-pika through an AMQP broker; test_amqp_tours.py says what must come out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import aiormq
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue
from aio_pika.exceptions import DeliveryError
from chapters import Tour, deaths, until_async

tour = Tour()
name = tour.name

CODES = {
    aiormq.ChannelAccessRefused: 403,
    aiormq.ChannelNotFoundEntity: 404,
    aiormq.ChannelLockedResource: 405,
    aiormq.ChannelPreconditionFailed: 406,
}


async def connect() -> AbstractConnection:
    return await aio_pika.connect(tour.url)


async def queue(channel: AbstractChannel, word: str, **arguments: Any) -> AbstractQueue:
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    return await channel.declare_queue(name(word), durable=True, arguments=table)


async def put(channel: AbstractChannel, where: str, *bodies: str, **properties: Any) -> None:
    for body in bodies:
        await channel.default_exchange.publish(Message(body.encode(), **properties), where)


async def get(where: AbstractQueue, *, no_ack: bool = True) -> Any:
    return await until_async(lambda: where.get(no_ack=no_ack, fail=False))


async def texts(where: AbstractQueue, count: int) -> list[str]:
    found = [(await get(where)).body.decode() for _ in range(count)]
    more = await where.get(no_ack=True, fail=False)
    return found if more is None else [*found, "and", more.body.decode()]


async def ready(channel: AbstractChannel, where: str) -> int:
    declared = await channel.declare_queue(where, passive=True)
    return int(declared.declaration_result.message_count or 0)


async def refusal(connection: AbstractConnection, act: Callable[[AbstractChannel], Awaitable[object]]) -> list[Any]:
    channel = await connection.channel()
    try:
        await act(channel)
    except aiormq.AMQPChannelError as error:
        return [CODES[type(error)], str(error)]
    return ["not refused"]


@tour.chapter
async def routed(connection: AbstractConnection) -> dict[str, list[str]]:
    channel, found = await connection.channel(), {}
    tables = {"a": 1, "b": "x"}, {"a": 1}, {"a": 1, "b": "x", "c": 9}
    for kind, key, arguments, sent, count in (
        ("direct", "red", None, ["red", "blue"], 1),
        ("fanout", "", None, ["red", "blue"], 2),
        ("topic", "*.red.#", None, ["a.red", "red", "a.red.b.c", "a.b.red"], 2),
        ("headers", "", {"x-match": "all", "a": 1, "b": "x"}, tables, 2),
        ("any", "", {"x-match": "any", "a": 1, "b": "x"}, tables, 3),
    ):
        shape = ExchangeType.HEADERS if kind == "any" else ExchangeType(kind)
        through = await channel.declare_exchange(name(f"to-{kind}"), shape, durable=True)
        where = await queue(channel, kind)
        await where.bind(through, key, arguments=arguments)
        for at, one in enumerate(sent, 1):
            headers, routing = (one, "") if isinstance(one, dict) else ({}, one)
            await through.publish(Message(str(at).encode(), headers=headers), routing, mandatory=False)
        found[kind] = await texts(where, count)
    return found


@tour.chapter
async def confirmed(connection: AbstractConnection) -> int:
    channel = await connection.channel()
    where = await queue(channel, "confirmed")
    message = Message(b"a", delivery_mode=DeliveryMode.PERSISTENT)
    await asyncio.gather(*(channel.default_exchange.publish(message, where.name) for _ in range(100)))
    return await ready(channel, where.name)


@tour.chapter
async def returned(connection: AbstractConnection) -> list[Any]:
    channel = await connection.channel(on_return_raises=True)
    where = await channel.declare_exchange(name("nowhere"), ExchangeType.FANOUT, durable=True)
    try:
        await where.publish(Message(b"lost"), "k")
    except DeliveryError as error:
        frame: Any = error.frame
        return [frame.reply_code, frame.reply_text, error.message.body.decode()]
    return ["not returned"]


@tour.chapter
async def prefetched(connection: AbstractConnection) -> dict[str, Any]:
    channel, got = await connection.channel(), []
    where = await queue(channel, "prefetched")
    await put(channel, where.name, *(str(at) for at in range(10)))
    await channel.set_qos(prefetch_count=3)

    async def more(than: int) -> bool | None:
        return len(got) > than or None

    async def take(message: Any) -> None:
        got.append(message)

    await where.consume(take)
    await until_async(lambda: more(2))
    found = {"first": len(got), "left": await ready(channel, where.name)}
    while len(got) < 10:
        seen = len(got)
        await got[-1].ack(multiple=True)
        await until_async(lambda seen=seen: more(seen))
    await got[-1].ack(multiple=True)
    return found | {"all": [message.body.decode() for message in got]}


@tour.chapter
async def settled(connection: AbstractConnection) -> list[Any]:
    channel, found = await connection.channel(), []
    where = await queue(channel, "settled")
    await put(channel, where.name, "a", "b", "c")
    await (await get(where, no_ack=False)).nack(requeue=True)
    for settle in (
        lambda message: message.reject(requeue=True),
        lambda message: message.reject(requeue=False),
        lambda message: message.nack(requeue=False),
        lambda message: message.ack(),
    ):
        message = await get(where, no_ack=False)
        found.append([message.body.decode(), message.redelivered])
        await settle(message)
    return [*found, await ready(channel, where.name)]


@tour.chapter
async def priorities(connection: AbstractConnection) -> list[str]:
    channel = await connection.channel()
    where = await queue(channel, "priorities", x_max_priority=5)
    for body, priority in (("1", 1), ("5", 5), ("0", None), ("9", 9), ("5b", 5)):
        await put(channel, where.name, body, priority=priority)
    return await texts(where, 5)


@tour.chapter
async def expired(connection: AbstractConnection) -> dict[str, Any]:
    channel = await connection.channel()
    source = await channel.declare_exchange(name("source"), durable=True)
    dead = await channel.declare_exchange(name("dead"), durable=True)
    where = await queue(
        channel, "ttl", x_message_ttl=50, x_dead_letter_exchange=dead.name, x_dead_letter_routing_key="gone"
    )
    await where.bind(source, "k")
    gone = await queue(channel, "expired")
    await gone.bind(dead, "gone")
    await source.publish(Message(b"queue"), "k")
    found: dict[str, Any] = {"queue": deaths((await get(gone)).headers)}
    await source.publish(Message(b"own", expiration=0.02, headers={"mine": 1}), "k")
    message = await get(gone)
    rest = {key: value for key, value in message.headers.items() if key != "x-death"}
    found["own"] = deaths(message.headers)
    return found | {"headers": rest, "expiration": message.expiration, "key": message.routing_key}


@tour.chapter
async def refusals(connection: AbstractConnection) -> dict[str, list[Any]]:
    channel, other = await connection.channel(), await connect()
    await queue(channel, "whole")
    await channel.declare_queue(name("mine"), exclusive=True)
    found = {
        "queue": await refusal(connection, lambda one: one.declare_queue(name("no"), passive=True)),
        "exchange": await refusal(connection, lambda one: one.declare_exchange(name("no"), passive=True)),
        "durable": await refusal(connection, lambda one: one.declare_queue(name("whole"), durable=False)),
        "reserved": await refusal(connection, lambda one: one.declare_queue("amq.mine")),
        "locked": await refusal(other, lambda one: one.declare_queue(name("mine"), exclusive=True)),
    }
    await other.close()
    return found


@tour.chapter
async def transacted(connection: AbstractConnection) -> list[int]:
    channel, other = await connection.channel(publisher_confirms=False), await connection.channel()
    where = await queue(other, "transacted")
    transaction = channel.transaction()
    await transaction.select()
    await put(channel, where.name, "a", "b")
    found = [await ready(other, where.name)]
    await transaction.rollback()
    found.append(await ready(other, where.name))
    await put(channel, where.name, "c")
    await transaction.commit()
    return [*found, await ready(other, where.name)]


@tour.chapter
async def replied(connection: AbstractConnection) -> list[Any]:
    channel, answers = await connection.channel(), asyncio.Queue()
    where = await queue(channel, "asked")
    direct = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await direct.consume(answers.put, no_ack=True)
    await put(channel, where.name, "ping", reply_to=direct.name, correlation_id="7")
    asked = await get(where)
    await put(await connection.channel(), asked.reply_to, "pong", correlation_id=asked.correlation_id)
    answer = await answers.get()
    return [asked.reply_to.startswith(direct.name + "."), answer.correlation_id, answer.body.decode()]


@tour.chapter
async def large(connection: AbstractConnection) -> list[Any]:
    channel = await connection.channel()
    where, body = await queue(channel, "large"), bytes(range(250)) * 1_200
    await channel.default_exchange.publish(Message(body), where.name)
    await channel.default_exchange.publish(Message(b""), where.name)
    return [(await get(where)).body == body, (await get(where)).body == b""]


@tour.chapter
async def through(connection: AbstractConnection) -> dict[str, list[str]]:
    channel = await connection.channel()
    outer = await channel.declare_exchange(name("outer"), ExchangeType.TOPIC, durable=True)
    inner = await channel.declare_exchange(name("inner"), ExchangeType.FANOUT, durable=True)
    spare = await channel.declare_exchange(name("spare"), ExchangeType.FANOUT, durable=True)
    narrow = await channel.declare_exchange(name("narrow"), durable=True, arguments={"alternate-exchange": spare.name})
    behind, other = await queue(channel, "behind"), await queue(channel, "other")
    await inner.bind(outer, "a.*")
    await behind.bind(inner)
    await behind.bind(outer, "a.#")
    await other.bind(spare)
    await outer.publish(Message(b"1"), "a.b")
    await outer.publish(Message(b"2"), "b.b", mandatory=False)
    await narrow.publish(Message(b"3"), "unknown")
    found = {"bound": await texts(behind, 1), "alternate": await texts(other, 1)}
    await inner.unbind(outer, "a.*")
    await behind.unbind(outer, "a.#")
    await outer.publish(Message(b"4"), "a.b", mandatory=False)
    return found | {"unbound": await texts(behind, 0)}


@tour.chapter
async def single(connection: AbstractConnection) -> list[str]:
    channel, got = await connection.channel(), asyncio.Queue()
    where = await queue(channel, "single", x_single_active_consumer=True)
    tags = [await where.consume(lambda _, at=at: got.put(at), no_ack=True) for at in ("first", "second")]
    await put(channel, where.name, "a", "b")
    found = [await got.get(), await got.get()]
    await where.cancel(tags[0])
    await put(channel, where.name, "c")
    return [*found, await got.get()]


@tour.chapter
async def full(connection: AbstractConnection) -> dict[str, Any]:
    channel, found = await connection.channel(), {}
    over = await queue(channel, "over")
    for key, how in (("drop", "drop-head"), ("refuse", "reject-publish"), ("refuse_dead", "reject-publish-dlx")):
        dead = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": over.name}
        where = await queue(channel, how, x_max_length=2, x_overflow=how, **dead)
        refused = []
        for at in "12345":
            try:
                await put(channel, where.name, at)
            except DeliveryError:
                refused.append(at)
        found[key] = [refused, await texts(where, 2)]
        if key != "refuse":
            dead = [await get(over) for _ in range(3)]
            what = "dropped" if key == "drop" else "refused"
            found[what] = [[each.body.decode(), deaths(each.headers)[0]["reason"]] for each in dead]
    return found | {"over": await texts(over, 0)}


if __name__ == "__main__":
    asyncio.run(tour.run_async(connect))
