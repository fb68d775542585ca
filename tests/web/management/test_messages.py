"""Messages that are published and got through the management API."""

from typing import Any

import pytest

from isthmus.definition import Grant
from support.management import Desk


async def publish(api: Desk, payload: str = "hello", exchange: str = "amq.default", **more: Any) -> Any:  # noqa: ANN401
    message = {"properties": {}, "routing_key": "orders", "payload": payload, "payload_encoding": "string"}
    said = await api.ask("POST", f"exchanges/%2F/{exchange}/publish", message | more)
    assert said.status == 200, said
    return said.value


async def take(api: Desk, mode: str = "ack_requeue_false", count: int = 10, **more: Any) -> list[dict[str, Any]]:
    asked = {"count": count, "ackmode": mode, "encoding": "auto"} | more
    said = await api.ask("POST", "queues/%2F/orders/get", asked)
    assert said.status == 200, said
    rows: list[dict[str, Any]] = said.value
    return rows


@pytest.fixture
async def orders(api: Desk) -> Desk:
    """With the queue orders."""
    await api.make("queues/%2F/orders")
    return api


async def test_a_message_goes_in_and_comes_out_as_it_was(orders: Desk) -> None:
    properties = {"content_type": "text/plain", "delivery_mode": 2, "timestamp": 5, "headers": {"n": 1, "t": "x"}}
    routed = await publish(orders, properties=properties)

    (row,) = await take(orders)

    assert routed == {"routed": True}
    assert row == {
        "payload_bytes": 5,
        "redelivered": False,
        "exchange": "",
        "routing_key": "orders",
        "message_count": 0,
        "properties": properties,
        "payload": "hello",
        "payload_encoding": "string",
    }


async def test_bytes_that_are_no_text_travel_as_base64(orders: Desk) -> None:
    await publish(orders, payload="/w==", payload_encoding="base64")
    await publish(orders)

    first, second = await take(orders, "ack_requeue_true", encoding="auto")
    _, again = await take(orders, "ack_requeue_true", encoding="base64", truncate=2)

    assert [(row["payload"], row["payload_encoding"]) for row in (first, second)] == [
        ("/w==", "base64"),
        ("hello", "string"),
    ]
    assert (again["payload"], again["payload_bytes"], again["redelivered"]) == ("aGU=", 5, True)


@pytest.mark.parametrize(
    ("mode", "left"),
    [("ack_requeue_true", 1), ("reject_requeue_true", 1), ("ack_requeue_false", 0), ("reject_requeue_false", 0)],
)
async def test_what_is_got_goes_back_or_is_settled(orders: Desk, mode: str, left: int) -> None:
    await publish(orders)

    rows = await take(orders, mode)

    assert len(rows) == 1
    assert (await orders.get("queues/%2F/orders"))["messages"] == left


async def test_counts_say_how_many_are_behind(orders: Desk) -> None:
    for _ in range(3):
        await publish(orders)

    assert [row["message_count"] for row in await take(orders, count=2)] == [2, 1]


async def test_what_finds_no_queue_is_told(orders: Desk) -> None:
    assert await publish(orders, routing_key="nothing") == {"routed": False}
    assert await publish(orders, exchange="amq.fanout") == {"routed": False}


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("exchanges/%2F/none/publish", {}, 404, "no exchange 'none'"),
        ("exchanges/%2F/amq.fanout/publish", {"payload": "é", "payload_encoding": "base64"}, 400, "no base64"),
        ("exchanges/%2F/amq.fanout/publish", {"payload_encoding": "hex"}, 400, "is not string or base64"),
        ("exchanges/%2F/amq.fanout/publish", {"routing_key": "x" * 256}, 400, "more than 255 bytes"),
        ("exchanges/%2F/amq.fanout/publish", {"properties": {"colour": 1}}, 400, "no property 'colour'"),
        ("exchanges/%2F/amq.fanout/publish", {"properties": {"priority": 256}}, 400, "from 0 to 255"),
        ("exchanges/%2F/amq.fanout/publish", {"properties": {"headers": 1}}, 400, "headers should be an object"),
        ("exchanges/%2F/amq.fanout/publish", {"properties": {"app_id": 1}}, 400, "app_id should be a text"),
    ],
)
async def test_a_message_that_cannot_be_is_refused(
    orders: Desk, path: str, body: dict[str, Any], status: int, reason: str
) -> None:
    message = {"properties": {}, "routing_key": "k", "payload": "x", "payload_encoding": "string"}

    said = await orders.ask("POST", path, message | body)

    assert (said.status, reason in said.value["reason"]) == (status, True), said


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"count": 0}, 400, "count should be from 1"),
        ({"count": 1_001}, 400, "count should be from 1"),
        ({"ackmode": "keep"}, 400, "ackmode 'keep'"),
        ({"encoding": "hex"}, 400, "encoding 'hex'"),
        ({"count": True}, 400, "count should be a number"),
    ],
)
async def test_a_request_to_get_that_cannot_be_is_refused(
    orders: Desk, body: dict[str, Any], status: int, reason: str
) -> None:
    asked = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}

    said = await orders.ask("POST", "queues/%2F/orders/get", asked | body)

    assert (said.status, reason in said.value["reason"]) == (status, True), said


async def test_streams_are_not_got_from(api: Desk) -> None:
    await api.make("queues/%2F/log", {"arguments": {"x-queue-type": "stream"}})

    said = await api.ask("POST", "queues/%2F/log/get", {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"})

    assert (said.status, "consume it" in said.value["reason"]) == (400, True)


async def test_messages_are_for_who_may_publish_and_consume(orders: Desk) -> None:
    await publish(orders)
    await orders.user("ada", [Grant(operations=("describe",), pattern="*")])
    message = {"properties": {}, "routing_key": "orders", "payload": "x", "payload_encoding": "string"}
    asked = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}

    sent = await orders.ask("POST", "exchanges/%2F/amq.default/publish", message, user="ada")
    got = await orders.ask("POST", "queues/%2F/orders/get", asked, user="ada")

    assert (sent.status, got.status) == (401, 401)
