"""Definitions out of one broker and into another one."""

from pathlib import Path
from typing import Any

import pytest

from support.management import PASSWORD, Desk, desk


async def fill(api: Desk) -> None:
    """Something of everything."""
    await api.make("vhosts/v1", {"description": "mine"})
    for vhost in ("%2F", "v1"):
        await api.make(f"exchanges/{vhost}/ex", {"type": "topic"})
        await api.make(f"exchanges/{vhost}/ey", {"type": "headers", "arguments": {"alternate-exchange": "lost"}})
        await api.make(f"queues/{vhost}/q", {"arguments": {"x-message-ttl": 5_000}})
        await api.make(f"queues/{vhost}/log", {"arguments": {"x-queue-type": "stream"}})
        await api.ask("POST", f"bindings/{vhost}/e/ex/q/q", {"routing_key": "a.#"})
        await api.ask("POST", f"bindings/{vhost}/e/ey/q/q", {"arguments": {"x-match": "any", "n": 1}})
        await api.ask("POST", f"bindings/{vhost}/e/ex/e/ey", {})
        await api.make(f"policies/{vhost}/p", {"pattern": "^q", "definition": {"max-length": 9}, "priority": 2})


async def test_what_goes_out_of_one_broker_comes_out_of_another_the_same(api: Desk, tmp_path: Path) -> None:
    await fill(api)
    out = await api.get("definitions")

    (tmp_path / "other").mkdir()
    async with desk(tmp_path / "other") as other:
        said = await other.ask("POST", "definitions", out)
        again = await other.ask("PUT", "definitions", out)

        assert (said.status, again.status) == (204, 204)
        assert await other.get("definitions") == out
    assert {name: len(out[name]) for name in ("vhosts", "queues", "exchanges", "bindings", "policies")} == {
        "vhosts": 2,
        "queues": 4,
        "exchanges": 4,
        "bindings": 6,
        "policies": 2,
    }


async def test_a_virtual_host_goes_into_another_one(api: Desk) -> None:
    await fill(api)
    await api.make("vhosts/v2")

    out = await api.get("definitions/v1")
    said = await api.ask("POST", "definitions/v2", out)
    copied = await api.get("definitions/v2")

    assert said.status == 204
    assert (copied["queues"], copied["exchanges"], copied["bindings"]) == (
        out["queues"],
        out["exchanges"],
        out["bindings"],
    )
    assert [row["vhost"] for row in await api.get("policies/v2")] == ["v2"]


async def test_users_are_told_without_passwords_and_made_with_them(api: Desk) -> None:
    users = [{"name": "root", "password": PASSWORD, "tags": ["administrator"]}]
    users += [{"name": "ada", "password": PASSWORD, "tags": ""}]
    permissions = [
        {"user": name, "vhost": "/", "configure": "", "write": "^a$", "read": ""} for name in ("ada", "root")
    ]
    await api.ask("POST", "definitions", {"users": users[:1]})
    said = await api.ask("POST", "definitions", {"users": users, "permissions": permissions}, user="root")

    out = await api.get("definitions", user="root")

    assert said.status == 204
    assert out["users"] == [
        {"name": "ada", "tags": ["management"], "limits": {}},
        {"name": "root", "tags": ["administrator"], "limits": {}},
    ]
    assert out["permissions"][0] == {"user": "ada", "vhost": "/", "configure": "", "write": "^a$", "read": ""}
    assert (await api.ask("POST", "definitions", out, user="root")).status == 204


async def test_a_download_is_named(api: Desk) -> None:
    said = await api.ask("GET", "definitions?download=my%20broker%22.json")

    assert said.status == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"parameters": [{"name": "x"}]}, "parameters mean nothing here"),
        ({"topic_permissions": [{}]}, "topic_permissions mean nothing here"),
        ({"global_parameters": [{"name": "x"}]}, "'x' means nothing here"),
        ({"queues": [3]}, "queues should be a list of objects"),
        ({"queues": 3}, "queues should be a list"),
        ({"queues": [{"name": 3, "vhost": "/"}]}, "name should be a text"),
        ({"queues": [{"name": "q"}]}, "vhost should be a text"),
        ({"queues": [{"name": "q", "vhost": "/", "arguments": {"x-expires": 0}}]}, "queues: 'q': invalid arg"),
        ({"bindings": [{"vhost": "/", "destination_type": "topic"}]}, "destination_type should be"),
        ({"users": [{"name": "a", "password_hash": "x", "tags": ""}]}, "password_hash"),
        ({"permissions": [{"user": "a", "vhost": "/"}]}, "key_missing"),
    ],
)
async def test_what_cannot_come_in_is_named(api: Desk, body: dict[str, Any], reason: str) -> None:
    said = await api.ask("POST", "definitions", body)

    assert (said.status, reason in said.value["reason"]) == (400, True), said


async def test_definitions_are_for_administrators(api: Desk) -> None:
    await api.user("ada")

    paths = [("GET", "definitions"), ("POST", "definitions"), ("GET", "definitions/%2F"), ("POST", "definitions/%2F")]
    said = [await api.ask(method, path, {} if method == "POST" else None, user="ada") for method, path in paths]

    assert [each.status for each in said] == [401] * 4
