"""Policies through the management API, in RabbitMQ's names."""

import pytest

from isthmus.definition import DEFAULT_NAMESPACE
from support.management import Desk

SHORT = {"pattern": "^q", "definition": {"max-length": 5, "overflow": "reject-publish"}, "apply-to": "queues"}


async def test_a_policy_is_set_listed_replaced_and_removed(api: Desk) -> None:
    first = await api.ask("PUT", "policies/%2F/short", SHORT | {"priority": 3})
    second = await api.ask("PUT", "policies/%2F/short", SHORT)

    found = await api.get("policies/%2F/short")
    listed = [await api.get(path) for path in ("policies", "policies/%2F")]
    gone = await api.ask("DELETE", "policies/%2F/short")
    again = await api.ask("DELETE", "policies/%2F/short")

    assert [each.status for each in (first, second, gone, again)] == [201, 204, 204, 404]
    assert found == {"vhost": "/", "name": "short", "priority": 0, **SHORT}
    assert listed == [[found], [found]]
    assert (await api.ask("GET", "policies/%2F/short")).status == 404


async def test_a_queue_shows_the_policy_that_counts_for_it(api: Desk) -> None:
    await api.make("queues/%2F/q1")
    await api.make("policies/%2F/short", SHORT)

    row = await api.get("queues/%2F/q1")

    assert (row["policy"], row["effective_policy_definition"]) == ("short", SHORT["definition"])
    assert api.broker.queue(DEFAULT_NAMESPACE, "q1").config.max_events == 5


@pytest.mark.parametrize(
    ("limit", "failures"), [(3, 4), (0, 1), (-1, None)], ids=["a limit may be reached", "the first kills", "no limit"]
)
async def test_a_delivery_limit_is_said_in_deliveries_that_may_fail(
    api: Desk, limit: int, failures: int | None
) -> None:
    await api.make("queues/%2F/q1", {"arguments": {"x-queue-type": "quorum"}})
    await api.make("policies/%2F/p", {"pattern": "", "definition": {"delivery-limit": limit}})

    assert (await api.get("policies/%2F/p"))["definition"] == {"delivery-limit": limit}
    assert api.broker.queue(DEFAULT_NAMESPACE, "q1").config.failed_max == failures


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"definition": {"max-length": 1}}, "{key_missing,pattern}"),
        ({"pattern": "a"}, "{key_missing,definition}"),
        ({"pattern": "(", "definition": {"max-length": 1}}, "no regular expression"),
        ({"pattern": "a", "definition": {"ha-mode": "all"}}, "'ha-mode' is no setting here"),
        ({"pattern": "a", "definition": {"overflow": "drop"}}, "'drop' is not drop-head"),
        ({"pattern": "a", "definition": {"max-length": "5"}}, "is not a number"),
        (
            {"pattern": "a", "definition": {"max-length": 5}, "apply-to": "quorum_queues"},
            "'quorum_queues' means nothing",
        ),
        ({"pattern": "a", "definition": {"max-length": 5}, "priority": "high"}, "priority should be a number"),
    ],
)
async def test_a_policy_that_cannot_be_is_refused(api: Desk, body: object, reason: str) -> None:
    said = await api.ask("PUT", "policies/%2F/p", body)

    assert (said.status, reason in said.value["reason"]) == (400, True), said


async def test_policies_are_for_administrators(api: Desk) -> None:
    await api.user("ada")

    asked = [
        await api.ask("GET", "policies", user="ada"),
        await api.ask("GET", "policies/%2F/p", user="ada"),
        await api.ask("PUT", "policies/%2F/p", SHORT, user="ada"),
        await api.ask("DELETE", "policies/%2F/p", user="ada"),
    ]

    assert [each.status for each in asked] == [401] * 4


@pytest.mark.parametrize(
    ("arguments", "limit", "overflow"),
    [
        ({}, 5, "refuse"),
        ({"x-max-length": 3}, 3, "refuse"),
        ({"x-max-length": 9}, 5, "refuse"),
        ({"x-overflow": "drop-head"}, 5, "drop"),
    ],
)
async def test_arguments_and_policy_meet_as_in_rabbitmq(
    api: Desk, arguments: dict[str, object], limit: int, overflow: str
) -> None:
    await api.make("policies/%2F/short", SHORT)
    await api.make("queues/%2F/q1", {"arguments": arguments})

    config = api.broker.queue(DEFAULT_NAMESPACE, "q1").config

    assert (config.max_events, config.overflow) == (limit, overflow)


async def test_a_policy_alone_drops_from_the_head(api: Desk) -> None:
    await api.make("queues/%2F/q1")
    await api.make("policies/%2F/p", {"pattern": "^q", "definition": {"max-length": 2}})
    for payload in "abc":
        message = {"properties": {}, "routing_key": "q1", "payload": payload, "payload_encoding": "string"}
        await api.ask("POST", "exchanges/%2F/amq.default/publish", message)

    asked = {"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"}
    got = (await api.ask("POST", "queues/%2F/q1/get", asked)).value

    assert [row["payload"] for row in got] == ["b", "c"]
