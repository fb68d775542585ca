"""One tour of pika through an AMQP broker; test_amqp_tours.py says what must come out."""

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pika
import pika.exceptions
from chapters import Tour, deaths, until

tour = Tour()
name = tour.name


def connect() -> pika.BlockingConnection:
    return pika.BlockingConnection(pika.URLParameters(tour.url))


def queue(channel: Any, word: str, **arguments: Any) -> str:
    """A durable queue; `arguments` have `_` where AMQP's have `-`."""
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    channel.queue_declare(name(word), durable=True, arguments=table)
    return name(word)


def exchange(channel: Any, word: str, kind: str = "direct", **options: Any) -> str:
    channel.exchange_declare(name(word), kind, durable=True, **options)
    return name(word)


def put(channel: Any, where: str, *bodies: str, key: str | None = None, **properties: Any) -> None:
    """Publish to a queue by its name, or to an exchange with a key."""
    target, key = ("", where) if key is None else (where, key)
    for body in bodies:
        channel.basic_publish(target, key, body.encode(), pika.BasicProperties(**properties))


def get(channel: Any, where: str, *, auto_ack: bool = True) -> Any:
    """The next message as (method, properties, body), waited for."""

    def one() -> Any:
        found = channel.basic_get(where, auto_ack=auto_ack)
        return None if found[0] is None else found

    return until(one)


def texts(channel: Any, where: str, count: int) -> list[str]:
    """The next bodies; what is behind them is said as well."""
    found = [get(channel, where)[2].decode() for _ in range(count)]
    method, _, body = channel.basic_get(where, auto_ack=True)
    return found if method is None else [*found, "and", body.decode()]


def ready(channel: Any, where: str) -> int:
    return int(channel.queue_declare(where, passive=True).method.message_count)


def refusal(connection: Any, act: Callable[[Any], object]) -> list[Any]:
    """Code and text with which the server closes the channel."""
    channel = connection.channel()
    try:
        act(channel)
        channel.queue_declare("", exclusive=True)  # what answers a publish or an ack, if it is refused
    except pika.exceptions.ChannelClosedByBroker as error:
        return [error.reply_code, error.reply_text]
    return ["not refused"]


@tour.chapter
def routed(connection: Any) -> dict[str, list[str]]:
    channel, found = connection.channel(), {}
    channel.confirm_delivery()
    tables = {"a": 1, "b": "x"}, {"a": 1}, {"a": 1, "b": "x", "c": 9}
    for kind, key, arguments, sent, count in (
        ("direct", "red", None, ["red", "blue"], 1),
        ("fanout", "", None, ["red", "blue"], 2),
        ("topic", "*.red.#", None, ["a.red", "red", "a.red.b.c", "a.b.red"], 2),
        ("headers", "", {"x-match": "all", "a": 1, "b": "x"}, tables, 2),
        ("any", "", {"x-match": "any", "a": 1, "b": "x"}, tables, 3),
    ):
        through = exchange(channel, f"to-{kind}", "headers" if kind == "any" else kind)
        channel.queue_bind(queue(channel, kind), through, key, arguments)
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
    channel.confirm_delivery()
    where = queue(channel, "confirmed")
    for at in range(100):
        put(channel, where, str(at), delivery_mode=2)
    return ready(channel, where)


@tour.chapter
def returned(connection: Any) -> list[Any]:
    channel = connection.channel()
    channel.confirm_delivery()
    where = exchange(channel, "nowhere", "fanout")
    try:
        channel.basic_publish(where, "k", b"lost", mandatory=True)
    except pika.exceptions.UnroutableError as error:
        (message,) = error.messages
        return [message.method.reply_code, message.method.reply_text, message.body.decode()]
    return ["not returned"]


@tour.chapter
def prefetched(connection: Any) -> dict[str, Any]:
    channel, got = connection.channel(), []
    where = queue(channel, "prefetched")
    put(channel, where, *(str(at) for at in range(10)))
    channel.basic_qos(prefetch_count=3)
    channel.basic_consume(where, lambda _, method, __, body: got.append((method.delivery_tag, body.decode())))
    until(lambda: len(got) >= 3 or None, connection.process_data_events)
    left = ready(channel, where)
    first = len(got)
    while len(got) < 10:
        channel.basic_ack(got[-1][0], multiple=True)
        seen = len(got)
        until(lambda seen=seen: len(got) > seen or None, connection.process_data_events)
    channel.basic_ack(0, multiple=True)
    return {"first": first, "left": left, "all": [body for _, body in got]}


@tour.chapter
def settled(connection: Any) -> list[Any]:
    channel, found = connection.channel(), []
    where = queue(channel, "settled")
    put(channel, where, "a", "b", "c")
    method, _, _ = get(channel, where, auto_ack=False)
    channel.basic_nack(method.delivery_tag, requeue=True)
    for settle in (
        lambda tag: channel.basic_reject(tag, requeue=True),
        lambda tag: channel.basic_reject(tag, requeue=False),
        lambda tag: channel.basic_nack(tag, requeue=False),
        channel.basic_ack,
    ):
        method, _, body = get(channel, where, auto_ack=False)
        found.append([body.decode(), method.redelivered])
        settle(method.delivery_tag)
    return [*found, ready(channel, where)]


@tour.chapter
def requeued(connection: Any) -> list[Any]:
    channel, other = connection.channel(), connection.channel()
    where = queue(channel, "requeued")
    put(channel, where, "a", "b", "c")
    for _ in range(2):
        get(channel, where, auto_ack=False)
    channel.close()
    until(lambda: ready(other, where) == 3 or None)
    found = [get(other, where) for _ in range(3)]
    return [[body.decode(), method.redelivered] for method, _, body in found]


@tour.chapter
def recovered(connection: Any) -> list[Any]:
    channel = connection.channel()
    where = queue(channel, "recovered")
    put(channel, where, "a")
    get(channel, where, auto_ack=False)
    channel.basic_recover(requeue=True)
    method, _, body = get(channel, where)
    return [body.decode(), method.redelivered]


@tour.chapter
def priorities(connection: Any) -> list[str]:
    channel = connection.channel()
    where = queue(channel, "priorities", x_max_priority=5)
    put(channel, where, "1", priority=1)
    put(channel, where, "5", priority=5)
    put(channel, where, "0")
    put(channel, where, "9", priority=9)
    put(channel, where, "5b", priority=5)
    until(lambda: ready(channel, where) == 5 or None)
    return texts(channel, where, 5)


@tour.chapter
def expired(connection: Any) -> dict[str, Any]:
    channel = connection.channel()
    source, dead = exchange(channel, "source"), exchange(channel, "dead")
    where = queue(channel, "ttl", x_message_ttl=50, x_dead_letter_exchange=dead, x_dead_letter_routing_key="gone")
    channel.queue_bind(where, source, "k")
    channel.queue_bind(queue(channel, "expired"), dead, "gone")
    put(channel, source, "queue", key="k")
    _, properties, _ = get(channel, name("expired"))
    found: dict[str, Any] = {"queue": deaths(properties.headers)}
    put(channel, source, "own", key="k", expiration="20", headers={"mine": 1})
    method, properties, _ = get(channel, name("expired"))
    rest = {key: value for key, value in properties.headers.items() if key != "x-death"}
    found["own"] = deaths(properties.headers)
    found["order"] = [list(row) for row in found["own"]]
    return found | {"headers": rest, "expiration": properties.expiration, "key": method.routing_key}


@tour.chapter
def rejected(connection: Any) -> list[Any]:
    channel, found = connection.channel(), []
    where = queue(channel, "ping", x_dead_letter_exchange="", x_dead_letter_routing_key=name("pong"))
    queue(channel, "pong", x_dead_letter_exchange="", x_dead_letter_routing_key=where)
    put(channel, where, "a")
    for at in ("ping", "pong", "ping", "pong"):
        method, properties, _ = get(channel, name(at), auto_ack=False)
        found.append(deaths(properties.headers) if properties.headers else [])
        channel.basic_reject(method.delivery_tag, requeue=False)
    return [[[row["queue"], row["reason"], row["count"]] for row in each] for each in found]


@tour.chapter
def refusals(connection: Any) -> dict[str, list[Any]]:
    channel, other = connection.channel(), connect()
    queue(channel, "whole")
    channel.queue_declare(name("mine"), exclusive=True)
    exchange(channel, "inside", internal=True)
    exchange(channel, "straight")
    found = {
        "queue": refusal(connection, lambda one: one.queue_declare(name("no"), passive=True)),
        "exchange": refusal(connection, lambda one: one.exchange_declare(name("no"), passive=True)),
        "publish": refusal(connection, lambda one: put(one, name("no"), "a", key="k")),
        "bind": refusal(connection, lambda one: one.queue_bind(name("whole"), name("no"), "k")),
        "durable": refusal(connection, lambda one: one.queue_declare(name("whole"), durable=False)),
        "argument": refusal(
            connection, lambda one: one.queue_declare(name("whole"), durable=True, arguments={"x-message-ttl": 5})
        ),
        "kind": refusal(connection, lambda one: one.exchange_declare(name("straight"), "fanout", durable=True)),
        "reserved": refusal(connection, lambda one: one.queue_declare("amq.mine")),
        "default": refusal(connection, lambda one: one.queue_bind(name("whole"), "", "k")),
        "internal": refusal(connection, lambda one: put(one, name("inside"), "a", key="k")),
        "tag": refusal(connection, lambda one: one.basic_ack(99)),
        "locked": refusal(other, lambda one: one.queue_declare(name("mine"), exclusive=True)),
        "expiration": refusal(connection, lambda one: put(one, name("whole"), "a", expiration="soon")),
        "user": refusal(connection, lambda one: put(one, name("whole"), "a", user_id="nobody")),
        "ttl": refusal(connection, lambda one: one.queue_declare(name("bad"), arguments={"x-message-ttl": -1})),
        "reply": refusal(connection, lambda one: put(one, name("whole"), "a", reply_to="amq.rabbitmq.reply-to")),
    }
    other.close()
    return found


@tour.chapter
def in_use(connection: Any) -> dict[str, list[Any]]:
    channel = connection.channel()
    where = queue(channel, "used")
    put(channel, where, "a")
    until(lambda: ready(channel, where) or None)
    found = {"empty": refusal(connection, lambda one: one.queue_delete(where, if_empty=True))}
    channel.basic_consume(where, lambda *_: None, exclusive=True)
    found["used"] = refusal(connection, lambda one: one.queue_delete(where, if_unused=True))
    found["exclusive"] = refusal(connection, lambda one: one.basic_consume(where, lambda *_: None))
    return found


@tour.chapter
def counted(connection: Any) -> list[int]:
    channel = connection.channel()
    where = queue(channel, "counted")
    put(channel, where, "a", "b", "c")
    until(lambda: ready(channel, where) == 3 or None)
    purged = channel.queue_purge(where).method.message_count
    put(channel, where, "d")
    until(lambda: ready(channel, where) == 1 or None)
    return [purged, channel.queue_delete(where).method.message_count, channel.queue_delete(where).method.message_count]


@tour.chapter
def named(connection: Any) -> list[Any]:
    channel = connection.channel()
    made = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind("", "amq.fanout")
    put(channel, "amq.fanout", "a", key="")
    return [made[:8], texts(channel, made, 1)]


@tour.chapter
def auto_deleted(connection: Any) -> list[Any]:
    channel = connection.channel()
    channel.queue_declare(name("brief"), auto_delete=True)
    channel.exchange_declare(name("short"), "fanout", auto_delete=True)
    channel.queue_bind(name("brief"), name("short"))
    channel.basic_cancel(channel.basic_consume(name("brief"), lambda *_: None))
    return [
        refusal(connection, lambda one: one.queue_declare(name("brief"), passive=True))[0],
        refusal(connection, lambda one: one.exchange_declare(name("short"), passive=True))[0],
    ]


@tour.chapter
def left_alone(connection: Any) -> list[Any]:
    channel = connection.channel()
    queue(channel, "lonely", x_expires=200)
    refused: list[Any] = []

    def gone() -> bool | None:
        time.sleep(0.4)
        refused[:] = refusal(connection, lambda one: one.queue_declare(name("lonely"), passive=True))
        return refused[0] == 404 or None

    until(gone)
    return refused


@tour.chapter
def cancelled(connection: Any) -> bool:
    channel, told = connection.channel(), []
    where = queue(channel, "doomed")
    channel.add_on_cancel_callback(lambda frame: told.append(frame.method.consumer_tag))
    tag = channel.basic_consume(where, lambda *_: None)
    connection.channel().queue_delete(where)
    until(lambda: told or None, connection.process_data_events)
    return told == [tag]


@tour.chapter
def transacted(connection: Any) -> list[int]:
    channel, other = connection.channel(), connection.channel()
    where = queue(channel, "transacted")
    channel.tx_select()
    put(channel, where, "a", "b")
    found = [ready(other, where)]
    channel.tx_rollback()
    found.append(ready(other, where))
    put(channel, where, "c")
    channel.tx_commit()
    return [*found, ready(other, where)]


@tour.chapter
def forgotten(connection: Any) -> list[Any]:
    """Acknowledgements that a transaction rolls back."""
    channel, other = connection.channel(), connection.channel()
    where = queue(channel, "forgotten")
    channel.tx_select()
    put(channel, where, "a")
    channel.tx_commit()
    method, _, _ = channel.basic_get(where)
    channel.basic_ack(method.delivery_tag)
    channel.tx_rollback()
    channel.close()
    method, _, body = get(other, where)
    return [body.decode(), method.redelivered]


@tour.chapter
def replied(connection: Any) -> list[Any]:
    channel, answers = connection.channel(), []
    where = queue(channel, "asked")
    direct = "amq.rabbitmq.reply-to"
    channel.basic_consume(direct, lambda _, __, properties, body: answers.append((properties, body)), auto_ack=True)
    put(channel, where, "ping", reply_to=direct, correlation_id="7")
    _, asked, _ = get(channel, where)
    put(connection.channel(), str(asked.reply_to), "pong", correlation_id=asked.correlation_id)
    properties, body = until(lambda: answers[0] if answers else None, connection.process_data_events)
    return [str(asked.reply_to).startswith(direct + "."), properties.correlation_id, body.decode()]


@tour.chapter
def large(connection: Any) -> list[Any]:
    channel = connection.channel()
    where, body = queue(channel, "large"), bytes(range(250)) * 1_200
    channel.basic_publish("", where, body)
    channel.basic_publish("", where, b"")
    return [get(channel, where)[2] == body, get(channel, where)[2] == b""]


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
    channel.confirm_delivery()
    put(channel, outer, "4", key="a.b")
    return found | {"unbound": texts(channel, name("behind"), 0)}


@tour.chapter
def copied(connection: Any) -> list[Any]:
    channel, found = connection.channel(), []
    for word in ("to", "cc", "bcc"):
        queue(channel, word)
    put(channel, name("to"), "a", headers={"CC": [name("cc")], "BCC": [name("bcc")], "k": 1})
    for word in ("to", "cc", "bcc"):
        method, properties, _ = get(channel, name(word))
        found.append([method.routing_key, properties.headers])
    return found


@tour.chapter
def single(connection: Any) -> list[str]:
    channel, got = connection.channel(), []
    where = queue(channel, "single", x_single_active_consumer=True)
    tags = [channel.basic_consume(where, lambda *_, at=at: got.append(at), auto_ack=True) for at in ("first", "second")]
    put(channel, where, "a", "b")
    until(lambda: len(got) == 2 or None, connection.process_data_events)
    channel.basic_cancel(tags[0])
    put(channel, where, "c")
    until(lambda: len(got) == 3 or None, connection.process_data_events)
    return got


@tour.chapter
def preferred(connection: Any) -> list[str]:
    channel, got = connection.channel(), []
    where = queue(channel, "preferred")
    for priority in (0, 5):
        channel.basic_consume(
            where, lambda *_, at=priority: got.append(at), auto_ack=True, arguments={"x-priority": priority}
        )
    put(channel, where, "a", "b", "c")
    until(lambda: len(got) == 3 or None, connection.process_data_events)
    return got


@tour.chapter
def shared(connection: Any) -> list[int]:
    channel, got = connection.channel(), []
    where = queue(channel, "shared")
    channel.basic_qos(prefetch_count=3, global_qos=True)
    for _ in range(2):
        channel.basic_consume(where, lambda *_: got.append(0))
    put(channel, where, *"abcde")
    until(lambda: len(got) >= 3 or None, connection.process_data_events)
    until(lambda: ready(channel, where) + len(got) == 5 or None, connection.process_data_events)
    return [len(got), ready(channel, where)]


def overflow(connection: Any, how: str, **more: Any) -> list[Any]:
    """Five into a queue that takes two: what was refused, and what is there."""
    channel, refused = connection.channel(), []
    channel.confirm_delivery()
    where = queue(channel, how, x_max_length=2, x_overflow=how, **more)
    for at in "12345":
        try:
            put(channel, where, at)
        except pika.exceptions.NackError:
            refused.append(at)
    return [refused, texts(channel, where, 2)]


@tour.chapter
def full(connection: Any) -> dict[str, Any]:
    channel = connection.channel()
    dead = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": queue(channel, "over")}
    found = {"drop": overflow(connection, "drop-head", **dead)}
    found["dropped"] = [get(channel, name("over")) for _ in range(3)]
    found["refuse"] = overflow(connection, "reject-publish", **dead)
    found["refuse_dead"] = overflow(connection, "reject-publish-dlx", **dead)
    found["refused"] = [get(channel, name("over")) for _ in range(3)]
    for key in ("dropped", "refused"):
        found[key] = [[body.decode(), deaths(each.headers)[0]["reason"]] for _, each, body in found[key]]
    return found | {"over": texts(channel, name("over"), 0)}


@tour.chapter
def limited(connection: Any) -> list[Any]:
    channel = connection.channel()
    queue(channel, "poison")
    where = queue(
        channel,
        "limited",
        x_queue_type="quorum",
        x_delivery_limit=2,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key=name("poison"),
    )
    put(channel, where, "bad", delivery_mode=2)
    counts = []
    for _ in range(3):
        method, properties, _ = get(channel, where, auto_ack=False)
        counts.append((properties.headers or {}).get("x-delivery-count"))
        channel.basic_reject(method.delivery_tag, requeue=True)
    return [counts, deaths(get(channel, name("poison"))[1].headers)[0]["reason"]]


@tour.chapter
def delayed(connection: Any) -> list[Any]:
    """An exchange that holds messages back; where there is none, the code of the refusal."""
    channel = connection.channel()
    try:
        through = exchange(channel, "later", "x-delayed-message", arguments={"x-delayed-type": "direct"})
    except pika.exceptions.ConnectionClosedByBroker as error:
        return [error.reply_code]
    where = queue(channel, "delayed")
    channel.queue_bind(where, through, "k")
    began = time.monotonic()
    for body, delay in (("late", 300), ("soon", 100)):
        put(channel, through, body, key="k", headers={"x-delay": delay})
    put(channel, through, "now", key="k")
    found = [get(channel, where) for _ in range(3)]
    waited = time.monotonic() - began >= 0.3
    return [waited, [[body.decode(), (each.headers or {}).get("x-delay")] for _, each, body in found]]


@tour.chapter
def known(connection: Any) -> list[str]:
    """A queue that takes one message of each id."""
    channel = connection.channel()
    channel.confirm_delivery()
    where = queue(channel, "known", x_message_deduplication=True)
    for body, of in (("a", "1"), ("again", "1"), ("b", "2")):
        put(channel, where, body, message_id=of)
    return [get(channel, where)[2].decode() for _ in range(ready(channel, where))]


@tour.chapter
def browsed(connection: Any) -> list[Any]:
    """A stream, which can be read again."""
    channel, got = connection.channel(), []
    where = queue(channel, "browsed", x_queue_type="stream")
    channel.confirm_delivery()
    put(channel, where, "a", "b", "c")
    channel.basic_qos(prefetch_count=10)
    for offset in ("first", 1):
        tag = channel.basic_consume(
            where,
            lambda _, __, each, body: got.append([body.decode(), each.headers["x-stream-offset"]]),
            arguments={"x-stream-offset": offset},
        )
        seen = len(got)
        until(
            lambda seen=seen, of=offset: len(got) - seen == (3 if of == "first" else 2) or None,
            connection.process_data_events,
        )
        channel.basic_cancel(tag)
    return got


@tour.chapter
def properties(connection: Any) -> dict[str, Any]:
    channel = connection.channel()
    where = queue(channel, "properties")
    now = dt.datetime.fromtimestamp(1_700_000_000, tz=dt.UTC)
    headers = {
        "text": "é",
        "bytes": b"\xff\x00",
        "int": -5,
        "long": 1 << 40,
        "true": True,
        "null": None,
        "time": now,
        "decimal": Decimal("1.25"),
        "table": {"in": {"deep": 1}},
        "list": [1, "two", None, {"x": [3]}],
    }
    given: dict[str, Any] = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "headers": headers,
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
    put(channel, where, "a", **given)
    _, got, _ = get(channel, where)
    back = dict(got.headers)
    back["time"] = back["time"].replace(tzinfo=dt.UTC)
    differ = [key for key, value in given.items() if key != "headers" and getattr(got, key) != value]
    return {"properties": differ, "headers": [key for key, value in headers.items() if back.get(key) != value]}


if __name__ == "__main__":
    tour.run(connect)
