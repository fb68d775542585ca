"""Users and permissions through the management API."""

import hashlib
import json
from base64 import b64encode

import pytest

from isthmus import scram
from isthmus.broker import sasl
from isthmus.definition import Grant
from support.management import PASSWORD, Desk


async def rights(api: Desk, name: str) -> tuple[Grant, ...]:
    return api.broker.access.users.by_name[name].grants


async def test_without_users_everybody_of_this_machine_is_the_administrator_guest(api: Desk) -> None:
    assert await api.get("whoami") == {"name": "guest", "tags": ["administrator"]}
    assert await api.get("users") == []


async def test_a_user_is_made_with_a_password_and_can_log_in(api: Desk) -> None:
    await api.make("users/root", {"password": PASSWORD, "tags": "administrator"})
    await api.make("users/ada", {"password": PASSWORD, "tags": ["management"]}, user="root")

    who = await api.get("whoami", user="ada")
    users = await api.get("users", user="root")

    assert who == {"name": "ada", "tags": ["management"]}
    assert users == [
        {"name": "ada", "tags": ["management"], "limits": {}},
        {"name": "root", "tags": ["administrator"], "limits": {}},
    ]
    assert PASSWORD not in json.dumps(users)


async def test_strangers_and_wrong_passwords_are_sent_away(api: Desk) -> None:
    await api.user("root", admin=True)

    assert (await api.ask("GET", "whoami")).status == 401
    assert (await api.ask("GET", "whoami", user="nobody")).value["error"] == "not_authorized"


async def test_a_user_sees_itself_and_nobody_else(api: Desk) -> None:
    await api.user("root", admin=True)
    await api.user("ada")

    found = [(await api.ask("GET", path, user="ada")).status for path in ("users/ada", "users/root", "users")]

    assert found == [200, 401, 401]


async def test_a_user_that_is_put_again_keeps_its_rights_and_has_the_new_password(api: Desk) -> None:
    await api.user("root", admin=True)
    await api.user("ada", [Grant(operations=("read",), pattern="a")])

    said = await api.ask("PUT", "users/ada", {"password": "other", "tags": ""}, user="root")

    assert said.status == 204
    assert await rights(api, "ada") == (Grant(operations=("read",), pattern="a"),)
    assert (await api.ask("GET", "whoami", user="ada")).status == 401


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"password": "x"}, "tags_not_present"),
        ({"password": "x", "tags": "policymaker"}, "'policymaker' means nothing here"),
        ({"password": "x", "tags": 3}, "tags should be"),
        ({"password": 3, "tags": ""}, "password should be a text"),
        ({"password_hash": "abc", "tags": ""}, "no base64"),
        ({"password_hash": "abcd", "tags": ""}, "no SHA-256"),
        ({"password_hash": "abcd", "tags": "", "hashing_algorithm": "rabbit_password_hashing_md5"}, "none of rabbit_"),
    ],
)
async def test_a_user_that_cannot_be_is_refused(api: Desk, body: object, reason: str) -> None:
    said = await api.ask("PUT", "users/ada", body)

    assert (said.status, said.value["error"]) == (400, "bad_request")
    assert reason in said.value["reason"]


async def test_users_are_removed_one_by_one_or_together(api: Desk) -> None:
    await api.user("root", admin=True)
    for name in ("a", "b", "c"):
        await api.user(name)

    one = await api.ask("DELETE", "users/a", user="root")
    none = await api.ask("POST", "users/bulk-delete", {"users": ["b", "nobody"]}, user="root")
    two = await api.ask("POST", "users/bulk-delete", {"users": ["b", "c"]}, user="root")
    gone = await api.ask("DELETE", "users/a", user="root")

    assert (one.status, none.status, two.status, gone.status) == (204, 400, 204, 404)
    assert list(api.broker.access.users.by_name) == ["root"]


async def test_permissions_are_grants_in_other_words(api: Desk) -> None:
    await api.user("root", admin=True)
    await api.user("ada", [Grant(operations=("commit",), pattern="a*")])
    asked = {"configure": "^a.*", "write": "^(a.*|b)$", "read": ".*"}

    made = await api.ask("PUT", "permissions/%2F/ada", asked, user="root")
    found = await api.get("permissions/%2F/ada", user="root")

    assert made.status == 201
    assert found == {"user": "ada", "vhost": "/", "configure": "^a.*$", "write": "^(a.*|b)$", "read": ".*"}
    wanted = Grant(operations=("create", "alter", "remove", "publish"), pattern="a*", namespace="default")
    assert {wanted, Grant(operations=("commit",), pattern="a*")} < set(await rights(api, "ada"))
    assert await api.get("users/ada/permissions", user="ada") == [found]
    assert found in await api.get("vhosts/%2F/permissions", user="root")
    assert [row["user"] for row in await api.get("permissions", user="root")] == ["ada", "root"]


async def test_an_administrator_has_all_permissions(api: Desk) -> None:
    await api.user("root", admin=True)

    assert await api.get("permissions", user="root") == [
        {"user": "root", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    ]


async def test_permissions_that_are_removed_are_gone(api: Desk) -> None:
    await api.user("root", admin=True)
    await api.user("ada", [Grant(operations=("publish", "commit"), pattern="a*")])

    said = await api.ask("DELETE", "permissions/%2F/ada", user="root")
    again = await api.ask("DELETE", "permissions/%2F/ada", user="root")

    assert (said.status, again.status) == (204, 404)
    assert await rights(api, "ada") == (Grant(operations=("commit",), pattern="a*"),)
    assert [row["name"] for row in await api.get("users/without-permissions", user="root")] == []


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("permissions/%2F/ada", {"configure": "a"}, "[{key_missing,write},{key_missing,read}]"),
        ("permissions/%2F/nobody", {"configure": "", "write": "", "read": ""}, "vhost_or_user_not_found"),
        ("permissions/%2F/ada", {"configure": "", "write": "[ab]", "read": ""}, "'[ab]' has no equal here"),
        ("permissions/%2F/ada", {"configure": "", "write": 3, "read": ""}, "write should be a text"),
    ],
)
async def test_permissions_that_cannot_be_are_refused(api: Desk, path: str, body: object, reason: str) -> None:
    await api.user("root", admin=True)
    await api.user("ada")

    said = await api.ask("PUT", path, body, user="root")

    assert (said.status, reason in said.value["reason"]) == (400, True)


async def test_only_administrators_change_what_others_may_do(api: Desk) -> None:
    await api.user("root", admin=True)
    await api.user("ada", [Grant(operations=("administer", "alter"), pattern="*")])

    asked = {"configure": ".*", "write": ".*", "read": ".*"}
    said = [
        await api.ask("PUT", "permissions/%2F/ada", asked, user="ada"),
        await api.ask("PUT", "users/eve", {"password": "x", "tags": ""}, user="ada"),
        await api.ask("DELETE", "users/root", user="ada"),
        await api.ask("DELETE", "permissions/%2F/root", user="ada"),
    ]

    assert [each.status for each in said] == [401] * 4
    assert {each.value["error"] for each in said} == {"not_authorised"}


async def test_a_password_that_was_set_is_taken_by_plain(api: Desk) -> None:
    await api.make("users/ada", {"password": PASSWORD, "tags": "administrator"})

    exchange = sasl.begin(sasl.PLAIN, api.broker.access, tls=True, host="127.0.0.1")

    assert isinstance(exchange.answer(f"\0ada\0{PASSWORD}".encode()), sasl.Success)


async def test_permissions_hold_in_their_virtual_host_only(api: Desk) -> None:
    await api.user("root", admin=True)
    await api.user("ada")
    await api.make("vhosts/v1", user="root")
    asked = {"configure": "^a.*", "write": "^a.*", "read": "^a.*"}
    await api.make("permissions/v1/ada", asked, user="root")

    inside = await api.ask("PUT", "queues/v1/a1", {}, user="ada")
    outside = await api.ask("PUT", "queues/%2F/a1", {}, user="ada")
    message = {"properties": {}, "routing_key": "a1", "payload": "x", "payload_encoding": "string"}
    await api.make("queues/%2F/a1", user="root")
    sent = [
        await api.ask("POST", f"exchanges/{vhost}/amq.default/publish", message, user="ada") for vhost in ("v1", "%2F")
    ]

    assert (inside.status, outside.status) == (201, 401)
    assert [each.status for each in sent] == [200, 401]
    assert [row["vhost"] for row in await api.get("queues", user="ada")] == ["v1"]
    assert [row["name"] for row in await api.get("vhosts", user="ada")] == ["v1"]
    assert [row["vhost"] for row in await api.get("users/ada/permissions", user="ada")] == ["v1"]


async def test_a_password_that_came_as_rabbitmqs_hash_is_taken_and_the_hash_is_not(api: Desk) -> None:
    salt = b"\x01\x02\x03\x04"
    digest = hashlib.sha256(salt + PASSWORD.encode()).digest()
    hashed = b64encode(salt + digest).decode()
    await api.make("users/root", {"password_hash": hashed, "tags": "administrator"})

    who = await api.get("whoami", user="root")

    assert who["name"] == "root"
    for guess in (hashed, b64encode(digest).decode(), "wrong"):
        exchange = sasl.begin(sasl.PLAIN, api.broker.access, tls=True, host="10.0.0.1")
        assert isinstance(exchange.answer(f"\0root\0{guess}".encode()), sasl.Failure)
    assert not lets_in(api, "root", PASSWORD)
    assert not lets_in(api, "root", b64encode(digest).decode())


def lets_in(api: Desk, user: str, password: str) -> bool:
    """Whether a login by SCRAM is let in."""
    client = scram.Client("SCRAM-SHA-256", user, password, "nonce")
    exchange = sasl.begin("SCRAM-SHA-256", api.broker.access, tls=True, host="10.0.0.1")
    challenge = exchange.answer(client.first())
    assert isinstance(challenge, sasl.Challenge)
    return isinstance(exchange.answer(client.final(challenge.data)), sasl.Success)
