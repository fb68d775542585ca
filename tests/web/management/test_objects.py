"""Queues, exchanges and bindings through the management API: made by AMQP's rules, shown as RabbitMQ shows them."""

import pytest

from isthmus.definition import Grant, QueueDefinition, TopicDefinition
from support.management import Desk


class TestQueues:
    async def test_one_is_made_once_and_found_again(self, api: Desk) -> None:
        asked = {"durable": True, "auto_delete": False, "arguments": {"x-message-ttl": 1_000}}

        first = await api.ask("PUT", "queues/%2F/orders", asked)
        second = await api.ask("PUT", "queues/%2F/orders", asked)
        found = await api.get("queues/%2F/orders")

        assert (first.status, second.status) == (201, 204)
        told = {"name": "orders", "vhost": "/", "type": "classic", "durable": True, "auto_delete": False}
        told |= {"arguments": {"x-message-ttl": 1_000}, "messages": 0, "consumers": 0, "policy": None}
        assert told.items() <= found.items()

    async def test_one_that_is_there_and_differs_is_refused_in_rabbitmqs_words(self, api: Desk) -> None:
        await api.make("queues/%2F/orders")

        said = await api.ask("PUT", "queues/%2F/orders", {"durable": False})

        assert said.status == 400
        assert said.value["reason"].startswith("inequivalent arg 'durable' for queue 'orders' in vhost '/'")

    @pytest.mark.parametrize(
        ("name", "body", "status", "reason"),
        [
            ("amq.mine", {}, 401, "reserved prefix"),
            ("a", {"arguments": {"x-message-ttl": -1}}, 400, "value_negative"),
            ("a", {"arguments": []}, 400, "arguments should be an object"),
            ("a", {"durable": "maybe"}, 400, "durable should be true or false"),
            ("a", {"exclusive": True}, 400, "would end with this request"),
        ],
    )
    async def test_one_that_cannot_be_is_refused(
        self, api: Desk, name: str, body: object, status: int, reason: str
    ) -> None:
        said = await api.ask("PUT", f"queues/%2F/{name}", body)

        assert (said.status, reason in said.value["reason"]) == (status, True)

    async def test_those_of_the_library_and_topics_are_among_them(self, api: Desk) -> None:
        session = api.broker.session()
        await api.broker.create_queue(session, QueueDefinition(name="jobs"))
        await api.broker.create_topic(session, TopicDefinition(name="flights"))

        rows = await api.get("queues/%2F?columns=name,type")

        assert rows == [{"name": "flights", "type": "stream"}, {"name": "jobs", "type": "classic"}]

    async def test_who_asks_sees_what_it_may(self, api: Desk) -> None:
        for name in ("orders", "secrets"):
            await api.make(f"queues/%2F/{name}")
        await api.user("ada", [Grant(operations=("describe",), pattern="ord*")])

        rows = await api.get("queues", user="ada")
        hidden = await api.ask("GET", "queues/%2F/secrets", user="ada")
        refused = await api.ask("DELETE", "queues/%2F/orders", user="ada")

        assert [row["name"] for row in rows] == ["orders"]
        assert (hidden.status, refused.status) == (404, 401)

    async def test_one_is_removed_unless_it_is_not_empty(self, api: Desk) -> None:
        await api.make("queues/%2F/orders")
        message = {"properties": {}, "routing_key": "orders", "payload": "x", "payload_encoding": "string"}
        await api.ask("POST", "exchanges/%2F/amq.default/publish", message)

        kept = await api.ask("DELETE", "queues/%2F/orders?if-empty=true")
        purged = await api.ask("DELETE", "queues/%2F/orders/contents")
        gone = await api.ask("DELETE", "queues/%2F/orders?if-empty=true&if-unused=true")
        again = await api.ask("DELETE", "queues/%2F/orders")

        assert [each.status for each in (kept, purged, gone, again)] == [400, 204, 204, 404]


class TestExchanges:
    async def test_every_virtual_host_has_some(self, api: Desk) -> None:
        rows = await api.get("exchanges/%2F?columns=name")

        names = ["", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.rabbitmq.trace", "amq.topic"]
        assert [row["name"] for row in rows] == names
        assert (await api.get("exchanges/%2F/amq.match"))["type"] == "headers"
        assert (await api.get("exchanges/%2F/amq.default"))["name"] == ""

    async def test_one_is_made_found_and_removed(self, api: Desk) -> None:
        asked = {"type": "topic", "arguments": {"alternate-exchange": "lost"}}
        first = await api.ask("PUT", "exchanges/%2F/ex", asked)
        second = await api.ask("PUT", "exchanges/%2F/ex", asked)
        other = await api.ask("PUT", "exchanges/%2F/ex", {"type": "fanout"})

        found = await api.get("exchanges/%2F/ex")
        gone = await api.ask("DELETE", "exchanges/%2F/ex?if-unused=true")

        assert [each.status for each in (first, second, other, gone)] == [201, 204, 400, 204]
        assert (found["type"], found["arguments"]) == ("topic", {"alternate-exchange": "lost"})
        assert (await api.ask("GET", "exchanges/%2F/ex")).status == 404

    @pytest.mark.parametrize(
        ("method", "name", "status"),
        [("PUT", "amq.mine", 401), ("DELETE", "amq.direct", 401), ("DELETE", "amq.default", 401), ("DELETE", "x", 404)],
    )
    async def test_what_is_reserved_is_not_touched(self, api: Desk, method: str, name: str, status: int) -> None:
        assert (await api.ask(method, f"exchanges/%2F/{name}", {})).status == status


class TestBindings:
    @pytest.fixture
    async def bound(self, api: Desk) -> Desk:
        """From the exchange ex to the queue q by two bindings, and to the exchange ey by one."""
        await api.make("queues/%2F/q")
        await api.make("exchanges/%2F/ex", {"type": "topic"})
        await api.make("exchanges/%2F/ey", {"type": "headers"})
        await api.ask("POST", "bindings/%2F/e/ex/q/q", {"routing_key": "a.*"})
        await api.ask("POST", "bindings/%2F/e/ex/q/q", {"routing_key": "a.*", "arguments": {"n": 1}})
        await api.ask("POST", "bindings/%2F/e/ex/e/ey", {})
        return api

    async def test_one_says_where_it_can_be_found(self, bound: Desk) -> None:
        said = await bound.ask("POST", "bindings/%2F/e/ey/q/q", {"arguments": {"x-match": "any", "n": 1}})

        assert said.status == 201
        assert said.location is not None
        assert said.location.startswith("q/~")
        found = await bound.get(f"bindings/%2F/e/ey/q/{said.location}")
        assert found["arguments"] == {"x-match": "any", "n": 1}

    async def test_all_are_listed_from_every_side(self, bound: Desk) -> None:
        paths = {
            "bindings": 4,
            "bindings/%2F": 4,
            "bindings/%2F/e/ex/q/q": 2,
            "bindings/%2F/e/ex/e/ey": 1,
            "bindings/%2F/e/amq.default/q/q": 1,
            "exchanges/%2F/ex/bindings/source": 3,
            "exchanges/%2F/amq.default/bindings/source": 1,
            "exchanges/%2F/ey/bindings/destination": 1,
            "exchanges/%2F/amq.default/bindings/destination": 0,
            "queues/%2F/q/bindings": 3,
        }

        assert {path: len(await bound.get(path)) for path in paths} == paths

    async def test_one_is_found_by_its_key_however_that_is_written(self, bound: Desk) -> None:
        quoted, plain = [await bound.get(f"bindings/%2F/e/ex/q/q/{key}") for key in ("a.%252A", "a.*")]

        assert quoted == plain
        assert quoted["properties_key"] == "a.%2A"

    async def test_removing_one_leaves_the_others(self, bound: Desk) -> None:
        gone = await bound.ask("DELETE", "bindings/%2F/e/ex/q/q/a.*")
        again = await bound.ask("DELETE", "bindings/%2F/e/ex/q/q/a.*")
        exchange = await bound.ask("DELETE", "bindings/%2F/e/ex/e/ey/~")

        assert [each.status for each in (gone, again, exchange)] == [204, 404, 204]
        assert [row["arguments"] for row in await bound.get("bindings/%2F/e/ex/q/q")] == [{"n": 1}]

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "bindings/%2F/e/none/q/q", 404),
            ("POST", "bindings/%2F/e/ex/q/none", 404),
            ("POST", "bindings/%2F/e/amq.default/q/q", 404),
            ("GET", "bindings/%2F/e/ex/x/q", 404),
            ("DELETE", "bindings/%2F/e/amq.default/q/q/q", 401),
        ],
    )
    async def test_what_cannot_be_bound_is_refused(self, bound: Desk, method: str, path: str, status: int) -> None:
        assert (await bound.ask(method, path, {} if method == "POST" else None)).status == status
