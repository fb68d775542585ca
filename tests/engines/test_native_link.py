"""A connection to a server as the client sees it: what it does with answers, silence and an end."""

import asyncio

import pytest

from isthmus.clock import ManualClock
from isthmus.engines.native_link import Link, LinkLost, Login, Target, connect, greet
from isthmus.errors import EngineError, ProtocolError
from isthmus.limits import NATIVE_PING_MS
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from support.echo import EchoDoor, Echoing, echoing
from support.served import served


async def linked(echo: Echoing, clock: ManualClock) -> tuple[Link, EchoDoor]:
    """A link to somebody who says what the test wants."""
    link = await connect(Target(host="127.0.0.1", port=echo.listener.port), clock)
    door = await echo.door()
    door.held = True  # it keeps what it hears
    return link, door


def say(door: EchoDoor, request_id: int, message: wire.Answer) -> None:
    door.out.append(codec.encode(request_id, message))
    door.line.flush()


async def test_answers_find_who_asked_in_any_order() -> None:
    async with echoing() as echo:
        link, door = await linked(echo, ManualClock())
        asked = [asyncio.ensure_future(link.request(wire.Partitions(name))) for name in "ab"]
        await echo.until(lambda: len(door.buffer) >= 2 * (8 + 4))

        say(door, 2, wire.Count(2))
        say(door, 1, wire.Count(1))

        assert await asyncio.gather(*asked) == [wire.Count(1), wire.Count(2)]
        link.end("")


@pytest.mark.parametrize(
    "said",
    [
        codec.encode(7, wire.Done()),
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xff\xff\xff\xff\x00\x00\x00\x01",
        b"\x00\x00\x00\x06\x00\x00\x00\x01\xc1\xc1",
    ],
)
async def test_what_is_no_answer_ends_it(said: bytes) -> None:
    async with echoing() as echo:
        link, door = await linked(echo, ManualClock())
        asked = asyncio.ensure_future(link.request(wire.Ping()))
        await echo.until(lambda: door.buffer)

        door.out.append(said)
        door.line.flush()

        with pytest.raises((LinkLost, ProtocolError)):
            await asked
        await link.lost
        with pytest.raises(LinkLost):
            await link.request(wire.Ping())


async def test_what_comes_for_nobody_goes_back() -> None:
    async with echoing() as echo:
        link, door = await linked(echo, ManualClock())
        asked = asyncio.ensure_future(link.request(wire.Receive(5, 1, 1, 1)))
        opening = asyncio.ensure_future(link.request(wire.OpenQueue("q", "c")))
        await echo.until(lambda: b"q" in door.buffer)
        asked.cancel()
        opening.cancel()
        row = wire.Delivery(77, 0, 0, 0, None, b"", b"\x00", 1, 0, None)
        await asyncio.sleep(0)
        door.buffer = b""

        say(door, 1, wire.Delivered((("q", 0),), codec.pack_rows([row])))
        say(door, 2, wire.Opened(9))
        await echo.until(lambda: codec.pack_tokens([77]) in door.buffer and b"\x92\x1d\x09" in door.buffer)

        link.end("")


async def test_a_silent_server_is_given_up() -> None:
    clock = ManualClock()
    async with echoing() as echo:
        link, door = await linked(echo, clock)
        await clock.advance(NATIVE_PING_MS)
        await echo.until(lambda: door.buffer)
        assert link.alive

        await clock.advance(NATIVE_PING_MS)

        await link.lost
        with pytest.raises(LinkLost, match="it does not answer"):
            await link.request(wire.Ping())


async def test_a_server_that_answers_is_kept() -> None:
    clock = ManualClock()
    async with served(clock=clock) as server:
        client = await server.connect()
        for _ in range(5):
            await clock.advance(NATIVE_PING_MS)
            await client.ping()

        assert (await client.link()).alive


async def test_a_login_that_the_server_does_not_take_is_refused() -> None:
    async with echoing() as echo:
        link, door = await linked(echo, ManualClock())
        greeting = asyncio.ensure_future(greet(link, "", Login(user="ann", password="x")))
        await echo.until(lambda: door.buffer)

        say(door, 1, wire.Challenge(("GSSAPI",)))

        with pytest.raises(EngineError, match="takes logins by GSSAPI only"):
            await greeting
        link.end("")
