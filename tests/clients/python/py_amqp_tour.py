"""One tour of py-amqp, on which Celery stands, through an AMQP broker; test_amqp_tours.py says what must come out."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import amqp
import amqp.exceptions
from chapters import Tour, deaths, until

tour = Tour()
name = tour.name


def connect() -> amqp.Connection:
    address = urlsplit(tour.url)
    connection = amqp.Connection(
        f"{address.hostname}:{address.port}", address.username, address.password, confirm_publish=True
    )
    connection.connect()
    return connection


def queue(channel: Any, word: str, **arguments: Any) -> str:
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name(word), durable=True, auto_delete=False, arguments=table)
    return name(word)


def exchange(channel: Any, word: str, kind: str = "direct", **options: Any) -> str:
    channel.exchange_declare(name(word), kind, durable=True, auto_delete=False, **options)
    return name(word)


def put(channel: Any, where: str, *bodies: str, key: str | None = None, **properties: Any) -> None:
    target, key = ("", where) if key is None else (where, key)
    headers = {"application_headers": properties.pop("headers")} if "headers" in properties else {}
    for body in bodies:
        channel.basic_publish_confirm(amqp.Message(body, **properties, **headers), target, key)


def get(channel: Any, where: str, *, no_ack: bool = True) -> Any:
    return until(lambda: channel.basic_get(where, no_ack=no_ack))


def texts(channel: Any, where: str, count: int) -> list[str]:
    found = [get(channel, where).body for _ in range(count)]
    more = channel.basic_get(where, no_ack=True)
    return found if more is None else [*found, "and", more.body]


def ready(channel: Any, where: str) -> int:
    return int(channel.queue_declare(where, passive=True).message_count)


def drain(connection: Any, condition: Callable[[], object]) -> None:
    """Let callbacks come until a condition holds."""
    while not condition():
        connection.drain_events(timeout=20)


def refusal(connection: Any, act: Callable[[Any], object]) -> list[Any]:
    channel = connection.channel()
    try:
        act(channel)
    except amqp.exceptions.ChannelError as error:
        return [error.reply_code, error.reply_text]
    return ["not refused"]


@tour.chapter
def routed(connection: Any) -> dict[str, list[str]]:
    channel, found = connection.channel(), {}
    tables = {"a": 1, "b": "x"}, {"a": 1}, {"a": 1, "b": "x", "c": 9}
    for kind, key, arguments, sent, count in (
        ("direct", "red", None, ["red", "blue"], 1),
        ("fanout", "", None, ["red", "blue"], 2),
        ("topic", "*.red.#", None, ["a.red", "red", "a.red.b.c", "a.b.red"], 2),
        ("headers", "", {"x-match": "all", "a": 1, "b": "x"}, tables, 2),
        ("any", "", {"x-match": "any", "a": 1, "b": "x"}, tables, 3),
    ):
        through = exchange(channel, f"to-{kind}", "headers" if kind == "any" else kind)
        channel.queue_bind(queue(channel, kind), through, key, arguments=arguments)
        for at, one in enumerate(sent, 1):
            if isinstance(one, dict):
                put(channel, through, str(at), key="", headers=one)
            else:
                put(channel, through, str(at), key=one)
        found[kind] = texts(channel, name(kind), count)
    return found


@tour.chapter
def confirmed(connection: Any) -> int:
    channel = connection.channel()
    where = queue(channel, "confirmed")
    put(channel, where, *(str(at) for at in range(100)), delivery_mode=2)
    return ready(channel, where)


@tour.chapter
def returned(connection: Any) -> list[Any]:
    channel, got = connection.channel(), []
    where = exchange(channel, "nowhere", "fanout")
    channel.events["basic_return"].add(lambda error, _, __, message: got.append((error, message)))
    channel.basic_publish_confirm(amqp.Message("lost"), where, "k", mandatory=True)
    ((error, message),) = got
    return [error.reply_code, error.reply_text, message.body]


@tour.chapter
def prefetched(connection: Any) -> dict[str, Any]:
    channel, got = connection.channel(), []
    where = queue(channel, "prefetched")
    put(channel, where, *(str(at) for at in range(10)))
    channel.basic_qos(0, 3, False)
    channel.basic_consume(where, callback=got.append)
    drain(connection, lambda: len(got) >= 3)
    found = {"left": ready(channel, where), "first": len(got)}
    while len(got) < 10:
        seen = len(got)
        channel.basic_ack(got[-1].delivery_tag, multiple=True)
        drain(connection, lambda seen=seen: len(got) > seen)
    channel.basic_ack(0, multiple=True)
    return found | {"all": [message.body for message in got]}


@tour.chapter
def settled(connection: Any) -> list[Any]:
    channel, found = connection.channel(), []
    where = queue(channel, "settled")
    put(channel, where, "a", "b", "c")
    channel.basic_reject(get(channel, where, no_ack=False).delivery_tag, requeue=True)
    for settle in (
        lambda tag: channel.basic_reject(tag, requeue=True),
        lambda tag: channel.basic_reject(tag, requeue=False),
        lambda tag: channel.basic_reject(tag, requeue=False),
        channel.basic_ack,
    ):
        message = get(channel, where, no_ack=False)
        found.append([message.body, message.delivery_info["redelivered"]])
        settle(message.delivery_tag)
    return [*found, ready(channel, where)]


@tour.chapter
def recovered(connection: Any) -> list[Any]:
    channel = connection.channel()
    where = queue(channel, "recovered")
    put(channel, where, "a")
    get(channel, where, no_ack=False)
    channel.basic_recover(requeue=True)
    message = get(channel, where)
    return [message.body, message.delivery_info["redelivered"]]


@tour.chapter
def priorities(connection: Any) -> list[str]:
    channel = connection.channel()
    where = queue(channel, "priorities", x_max_priority=5)
    for body, more in (("1", {"priority": 1}), ("5", {"priority": 5}), ("0", {}), ("9", {"priority": 9})):
        put(channel, where, body, **more)
    put(channel, where, "5b", priority=5)
    return texts(channel, where, 5)


@tour.chapter
def expired(connection: Any) -> dict[str, Any]:
    channel = connection.channel()
    source, dead = exchange(channel, "source"), exchange(channel, "dead")
    where = queue(channel, "ttl", x_message_ttl=50, x_dead_letter_exchange=dead, x_dead_letter_routing_key="gone")
    channel.queue_bind(where, source, "k")
    channel.queue_bind(queue(channel, "expired"), dead, "gone")
    put(channel, source, "queue", key="k")
    found: dict[str, Any] = {"queue": deaths(get(channel, name("expired")).headers)}
    put(channel, source, "own", key="k", expiration="20", headers={"mine": 1})
    message = get(channel, name("expired"))
    rest = {key: value for key, value in message.headers.items() if key != "x-death"}
    found["own"] = deaths(message.headers)
    found["expiration"] = message.properties.get("expiration")
    return found | {"headers": rest, "key": message.delivery_info["routing_key"]}


@tour.chapter
def refusals(connection: Any) -> dict[str, list[Any]]:
    channel, other = connection.channel(), connect()
    queue(channel, "whole")
    channel.queue_declare(name("mine"), exclusive=True)
    found = {
        "queue": refusal(connection, lambda one: one.queue_declare(name("no"), passive=True)),
        "exchange": refusal(connection, lambda one: one.exchange_declare(name("no"), "direct", passive=True)),
        "bind": refusal(connection, lambda one: one.queue_bind(name("whole"), name("no"), "k")),
        "durable": refusal(connection, lambda one: one.queue_declare(name("whole"), auto_delete=False)),
        "reserved": refusal(connection, lambda one: one.queue_declare("amq.mine")),
        "locked": refusal(other, lambda one: one.queue_declare(name("mine"), exclusive=True)),
    }
    other.close()
    return found


@tour.chapter
def cancelled(connection: Any) -> bool:
    channel, told = connection.channel(), []
    where = queue(channel, "doomed")
    tag = channel.basic_consume(where, callback=lambda _: None, on_cancel=told.append)
    connection.channel().queue_delete(where)
    drain(connection, lambda: told)
    return told == [tag]


@tour.chapter
def transacted(connection: Any) -> list[int]:
    channel, other = connection.channel(), connection.channel()
    where = queue(other, "transacted")
    channel.tx_select()
    for body in "ab":
        channel._basic_publish(amqp.Message(body), "", where)
    found = [ready(other, where)]
    channel.tx_rollback()
    found.append(ready(other, where))
    channel._basic_publish(amqp.Message("c"), "", where)
    channel.tx_commit()
    return [*found, ready(other, where)]


@tour.chapter
def large(connection: Any) -> list[Any]:
    channel = connection.channel()
    where, body = queue(channel, "large"), "0123456789" * 30_000
    put(channel, where, body, "")
    return [get(channel, where).body == body, get(channel, where).body == ""]


@tour.chapter
def through(connection: Any) -> dict[str, list[str]]:
    channel = connection.channel()
    outer, inner = exchange(channel, "outer", "topic"), exchange(channel, "inner", "fanout")
    spare = exchange(channel, "spare", "fanout")
    narrow = exchange(channel, "narrow", arguments={"alternate-exchange": spare})
    channel.exchange_bind(inner, outer, "a.*")
    channel.queue_bind(queue(channel, "behind"), inner)
    channel.queue_bind(queue(channel, "behind"), outer, "a.#")
    channel.queue_bind(queue(channel, "other"), spare)
    put(channel, outer, "1", key="a.b")
    put(channel, outer, "2", key="b.b")
    put(channel, narrow, "3", key="unknown")
    found = {"bound": texts(channel, name("behind"), 1), "alternate": texts(channel, name("other"), 1)}
    channel.exchange_unbind(inner, outer, "a.*")
    channel.queue_unbind(name("behind"), outer, "a.#")
    put(channel, outer, "4", key="a.b")
    return found | {"unbound": texts(channel, name("behind"), 0)}


@tour.chapter
def single(connection: Any) -> list[str]:
    channel, got = connection.channel(), []
    where = queue(channel, "single", x_single_active_consumer=True)
    tags = [
        channel.basic_consume(where, no_ack=True, callback=lambda _, at=at: got.append(at))
        for at in ("first", "second")
    ]
    put(channel, where, "a", "b")
    drain(connection, lambda: len(got) == 2)
    channel.basic_cancel(tags[0])
    put(channel, where, "c")
    drain(connection, lambda: len(got) == 3)
    return got


@tour.chapter
def properties(connection: Any) -> dict[str, Any]:
    channel = connection.channel()
    where = queue(channel, "properties")
    now = dt.datetime.fromtimestamp(1_700_000_000, tz=dt.UTC).replace(tzinfo=None)
    headers = {
        "text": "é",
        "int": -5,
        "long": 1 << 40,
        "float": 1.5,
        "true": True,
        "null": None,
        "time": now,
        "table": {"in": {"deep": 1}},
        "list": [1, "two", None, {"x": [3]}],
    }
    given: dict[str, Any] = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "type": "t",
        "user_id": "guest",
        "app_id": "a",
        "cluster_id": "cl",
    }
    put(channel, where, "a", headers=headers, **given)
    got = get(channel, where)
    differ = [key for key, value in given.items() if got.properties.get(key) != value]
    return {"properties": differ, "headers": [key for key, value in headers.items() if got.headers.get(key) != value]}


if __name__ == "__main__":
    tour.run(connect)
