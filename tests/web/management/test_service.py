"""The management API as a whole: what is served, bodies that are none, and who else may not ask."""

import http.client
from typing import Any

import pytest

from isthmus.limits import MANAGEMENT_RUNNING_MAX
from isthmus.protocols.http.messages import Request
from isthmus.web.management.service import TABLE, Management
from support.brokers import world
from support.management import Desk


@pytest.mark.parametrize(
    ("body", "reason"), [(b"{", "not_json"), (b"[]", "an object is wanted"), (b"\xff", "not_json")]
)
async def test_a_body_that_is_no_object_is_refused(api: Desk, body: bytes, reason: str) -> None:
    said = await api.ask("PUT", "queues/%2F/q", body)

    assert (said.status, said.value) == (400, {"error": "bad_request", "reason": reason})


async def test_a_method_that_is_not_there_is_told_which_are(api: Desk) -> None:
    said = await api.ask("PATCH", "queues/%2F/q", {})

    assert (said.status, said.value["reason"]) == (405, "there is only DELETE, GET, HEAD, PUT here")


async def test_lists_come_in_pages(api: Desk) -> None:
    for name in ("a", "b", "c"):
        await api.make(f"queues/%2F/{name}")

    page = await api.get("queues?page=2&page_size=2&sort=name&sort_reverse=true&columns=name")

    assert (page["items"], page["total_count"], page["page_count"]) == ([{"name": "a"}], 3, 2)


async def test_pages_of_other_servers_may_not_ask(api: Desk) -> None:
    said = await api.ask("DELETE", "queues/%2F/q", Origin="http://elsewhere.example")

    assert said.status == 403


async def test_no_more_are_answered_at_a_time_than_there_is_room_for() -> None:
    async with world() as w:
        management = Management(w.broker, "1.2")
        management.running = MANAGEMENT_RUNNING_MAX

        response = await management.answer(asked("GET", "/api/whoami"), w.session)

        assert (response.status, ("Retry-After", "1") in response.headers) == (503, True)


async def test_every_list_is_served_to_an_administrator(api: Desk) -> None:
    lists = [path for method, path in TABLE if method == "GET" and "{" not in path]

    assert {path: (await api.ask("GET", path)).status for path in lists} == dict.fromkeys(lists, 200)


def asked(method: str, path: str, **more: Any) -> Request:
    fields: dict[str, Any] = {"query": "", "host": "localhost", "headers": (), "body": b"", "minor": 1}
    return Request(method=method, target=path, path=path, keep_alive=True, **(fields | more))


@pytest.mark.parametrize("size", [5_000, 9_000, 200_000])
async def test_who_proves_who_it_is_may_send_much_at_once(api: Desk, size: int) -> None:
    await api.user("root", admin=True)
    await api.make("queues/%2F/q", user="root")
    message = {"properties": {}, "routing_key": "q", "payload": "x" * size, "payload_encoding": "string"}

    said = await api.ask("POST", "exchanges/%2F/amq.default/publish", message, user="root")

    assert (said.status, said.value) == (200, {"routed": True})


async def test_strangers_may_not_send_much(api: Desk) -> None:
    await api.user("root", admin=True)

    for user in (None, "nobody"):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            await api.ask("PUT", "queues/%2F/q", {"arguments": {"x": "y" * 200_000}}, user=user)
