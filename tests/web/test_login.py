"""Who asks, as the web port finds out."""

import asyncio
import base64
from typing import Any

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.access import ANYONE, LOCAL
from isthmus.definition import UserDefinition
from isthmus.limits import LOGIN_FAILED_MS
from isthmus.protocols.door import Peer
from isthmus.protocols.http.messages import Response
from isthmus.web.login import Login
from support.brokers import World, world

NEAR = Peer(host="127.0.0.1")
FAR = Peer(host="192.0.2.7")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def a_user(w: World, name: str = "ada", **fields: Any) -> None:
    asked = UserDefinition(name=name, scrams=scram.credentials("pencil", lambda: b"salt" * 4), **fields)
    await accounts.create(w.broker, w.session, asked)


async def status(login: Login, authorization: str | None) -> int:
    answer = await login.principal(authorization)
    assert isinstance(answer, Response)
    return answer.status


async def test_while_there_is_no_user_nobody_of_this_machine_is_asked() -> None:
    async with world() as w:
        assert await Login(w.broker, NEAR).principal(None) == ANYONE
        assert await Login(w.broker, Peer(trusted=True)).principal(None) == LOCAL


async def test_a_user_logs_in_with_a_password() -> None:
    async with world() as w:
        await a_user(w)
        login = Login(w.broker, NEAR)

        assert await status(login, None) == 401
        assert await login.principal(basic("ada", "pencil")) == "ada"
        assert await login.principal(basic("ada", "pencil")) == "ada"


@pytest.mark.parametrize(
    "authorization",
    [basic("ada", "crayon"), basic("bob", "pencil"), "Basic !!!", "Bearer x", "", "Basic " + "A" * 10_000],
)
async def test_what_proves_nothing_is_refused_late(authorization: str) -> None:
    async with world() as w:
        await a_user(w)

        asking = asyncio.ensure_future(status(Login(w.broker, NEAR), authorization))
        await w.clock.advance(LOGIN_FAILED_MS - 1)
        assert not asking.done()
        await w.clock.advance(1)

        assert await asking == 401


async def test_a_password_that_was_changed_is_not_remembered() -> None:
    async with world() as w:
        await a_user(w)
        login = Login(w.broker, NEAR)
        await login.principal(basic("ada", "pencil"))
        changed = scram.credentials("crayon", lambda: b"salt" * 4)
        await accounts.alter(w.broker, w.session, UserDefinition(name="ada", scrams=changed))

        asking = asyncio.ensure_future(status(login, basic("ada", "pencil")))
        await w.clock.advance(LOGIN_FAILED_MS)

        assert await asking == 401
        assert await login.principal(basic("ada", "crayon")) == "ada"


async def test_a_user_that_is_gone_is_not_remembered() -> None:
    async with world() as w:
        await a_user(w)
        await a_user(w, "eve")
        login = Login(w.broker, NEAR)
        await login.principal(basic("ada", "pencil"))
        await accounts.remove(w.broker, w.session, "ada")

        asking = asyncio.ensure_future(status(login, basic("ada", "pencil")))
        await w.clock.advance(LOGIN_FAILED_MS)

        assert await asking == 401


async def test_a_password_is_taken_from_other_machines_over_tls_only() -> None:
    async with world() as w:
        await a_user(w)

        assert await status(Login(w.broker, FAR), basic("ada", "pencil")) == 403
        assert await Login(w.broker, Peer(host="192.0.2.7", tls=True)).principal(basic("ada", "pencil")) == "ada"


async def test_a_certificate_needs_no_password() -> None:
    async with world() as w:
        await a_user(w)

        assert await Login(w.broker, Peer(host="192.0.2.7", tls=True, user="ada")).principal(None) == "ada"
