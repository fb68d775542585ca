"""The door of the native protocol, over real sockets: who is let in, what is refused, and how it ends."""

import asyncio
from pathlib import Path

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.clock import ManualClock
from isthmus.definition import Grant, UserDefinition
from isthmus.engines.base import Engine
from isthmus.errors import AccessDenied, EngineError, LeaseLost, Overloaded, UnknownTopic
from isthmus.limits import LOGIN_FAILED_MS, NATIVE_FRAME_BYTES_MAX
from isthmus.protocols.native import codec
from isthmus.protocols.native import schema as wire
from isthmus.protocols.native.connection import Frames
from support.brokers import MANY_BYTES
from support.engines import declare_all, publish, read, settle, take, texts
from support.served import Served, served


class Raw:
    """A peer that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames = Frames(1 << 26)

    def say(self, request_id: int, message: wire.Request) -> None:
        self.writer.write(codec.encode(request_id, message))

    async def hear(self) -> tuple[int, wire.Answer] | None:
        """The next answer; None at the end."""
        while (frame := self.frames.next()) is None:
            data = await self.reader.read(65_536)
            if not data:
                return None
            self.frames.receive(data)
        return frame.request_id, codec.decode_answer(frame.body)

    async def close(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def raw(server: Served) -> Raw:
    return Raw(*await asyncio.open_connection(server.listening.host, server.listening.port))


async def add_user(server: Served, name: str, password: str, *grants: Grant, admin: bool = False) -> None:
    scrams = scram.credentials(password, lambda: b"salt" * 4)
    user = UserDefinition(name=name, scrams=scrams, admin=admin, grants=grants)
    await accounts.create(server.broker, server.broker.session(), user)


def with_user(server: Served, user: str) -> str:
    return server.url.replace("://", f"://{user}@")


class TestWhoIsThere:
    async def test_while_there_is_no_user_everybody_near_is_let_in(self) -> None:
        async with served() as server:
            peer = await raw(server)
            peer.say(9, wire.Hello())

            answer = await peer.hear()

            assert answer is not None
            assert isinstance(answer[1], wire.Welcome)
            assert (answer[0], answer[1].principal) == (9, "anyone")
            await peer.close()

    @pytest.mark.parametrize(
        "first",
        [
            codec.encode(1, wire.Hello(magic="other")),
            codec.encode(1, wire.Hello(least=7, most=9)),
            codec.encode(1, wire.Topics()),
            codec.encode(1, wire.Proof(b"")),
            codec.encode(1, wire.Login("PLAIN", b"")),
            b"\xff\xff\xff\xff\x00\x00\x00\x01",
            b"\x00\x00\x00\x09\x00\x00\x00\x01\xdd\xff\xff\xff\xff",
        ],
    )
    async def test_who_does_not_begin_as_one_should_is_hung_up_on(self, first: bytes) -> None:
        async with served() as server:
            peer = await raw(server)
            peer.writer.write(first)

            assert await peer.hear() is None

            await peer.close()

    async def test_a_user_proves_who_it_is_and_may_do_what_was_granted(self) -> None:
        async with served() as server:
            await declare_all(await server.connect())
            await add_user(server, "ann", "pass,word", Grant(operations=("publish", "describe"), pattern="orders"))
            ann = await server.connect(with_user(server, "ann:pass%2Cword"))

            await publish(ann, "orders", "a")

            assert [view.name for view in await ann.admin.topics()] == ["orders"]
            for work in (
                publish(ann, "jobs", "a"),
                ann.reader("orders", "earliest"),
                ann.queue_source("jobs", "c"),
                ann.stream_source("orders", "g", "earliest", None),
                ann.admin.queue("jobs"),
                ann.admin.purge("jobs"),
                ann.admin.peek("jobs", 1),
                ann.admin.remove("orders"),
                ann.admin.reclaim(),
            ):
                with pytest.raises(AccessDenied):
                    await work

    async def test_who_does_not_know_the_password_is_told_late(self) -> None:
        clock = ManualClock()
        async with served(clock=clock) as server:
            await add_user(server, "ann", "right")
            login = asyncio.ensure_future(server.connect(with_user(server, "ann:wrong")))
            door_timers = clock.monotonic_ms() + LOGIN_FAILED_MS

            while not login.done():
                await asyncio.sleep(0.001)
                await clock.advance(LOGIN_FAILED_MS // 10)

            with pytest.raises(EngineError, match="the user name or the password is wrong"):
                await login
            assert clock.monotonic_ms() >= door_timers

    async def test_who_gives_no_name_is_asked_for_one(self) -> None:
        async with served() as server:
            await add_user(server, "ann", "right")

            with pytest.raises(EngineError, match="who this is"):
                await server.connect()

    async def test_a_user_that_is_removed_is_hung_up_on(self) -> None:
        async with served() as server:
            await add_user(server, "root", "right", admin=True)
            await add_user(server, "ann", "right", Grant(operations=("describe",), pattern="*"))
            ann = await server.connect(with_user(server, "ann:right"))
            link = await ann.link()

            await accounts.remove(server.broker, server.broker.session(), "ann")

            await link.lost


class TestRequests:
    async def test_answers_come_when_they_are_there(self) -> None:
        async with served() as server:
            await declare_all(await server.connect())
            peer = await raw(server)
            peer.say(1, wire.Hello())
            peer.say(2, wire.OpenQueue("jobs", "c"))
            peer.say(3, wire.Receive(1, 10, MANY_BYTES, 60_000))
            peer.say(4, wire.Partitions("wide"))
            peer.say(5, wire.Cancel())
            peer.say(3, wire.Cancel())

            heard = [await peer.hear() for _ in range(4)]

            assert sorted(answer[0] for answer in heard if answer is not None) == [1, 2, 3, 4]
            await peer.close()

    async def test_an_id_that_is_in_use_ends_the_connection(self) -> None:
        async with served() as server:
            await declare_all(await server.connect())
            peer = await raw(server)
            peer.say(1, wire.Hello())
            peer.say(2, wire.OpenQueue("jobs", "c"))
            peer.say(3, wire.Receive(1, 10, MANY_BYTES, 60_000))
            peer.say(3, wire.Partitions("wide"))

            while await peer.hear() is not None:
                pass

            await peer.close()

    async def test_a_frame_that_is_too_long_ends_the_connection(self) -> None:
        async with served() as server:
            peer = await raw(server)
            peer.say(1, wire.Hello())
            peer.writer.write(codec.HEADER.pack(NATIVE_FRAME_BYTES_MAX + 1, 2))

            assert await peer.hear() is not None
            assert await peer.hear() is None

            await peer.close()

    async def test_more_waits_than_are_kept_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("isthmus.protocols.native.handlers.NATIVE_WAITING_MAX", 2)
        async with served() as server:
            client = await server.connect()
            await declare_all(client)
            source = await client.queue_source("jobs", "c")
            waiting = [asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000)) for _ in range(2)]
            await client.ping()

            with pytest.raises(Overloaded):
                await source.receive(1, MANY_BYTES, 60_000)

            await source.close()
            assert await asyncio.gather(*waiting) == [[], []]

    async def test_a_flood_waits_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("isthmus.protocols.native.handlers.NATIVE_RUNNING_MAX", 3)
        async with served() as server:
            client = await server.connect()
            await declare_all(client)

            await asyncio.gather(*(publish(client, "orders", str(number)) for number in range(200)))

            assert await read(client, "orders") == [str(number) for number in range(200)]

    async def test_who_asks_and_does_not_read_is_hung_up_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("isthmus.protocols.native.handlers.NATIVE_UNSENT_BYTES_MAX", 100_000)
        async with served() as server:
            client = await server.connect()
            await declare_all(client)
            peer = await raw(server)
            peer.say(1, wire.Hello())
            peer.say(2, wire.OpenReader("orders", "latest"))
            peer.say(3, wire.OpenReader("orders", "latest"))
            while (heard := await peer.hear()) is not None and heard[0] != 3:
                pass
            peer.say(4, wire.Read(1, MANY_BYTES, 60_000))
            peer.say(5, wire.Read(2, MANY_BYTES, 60_000))

            await publish(client, "orders", "x" * 80_000)

            while await peer.hear() is not None:
                pass
            await peer.close()

    async def test_a_bug_is_an_answer_and_the_connection_goes_on(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(*_: object) -> object:
            raise ZeroDivisionError

        async with served() as server:
            client = await server.connect()
            monkeypatch.setattr("isthmus.engines.embedded.EmbeddedEngine.partitions", broken)

            with pytest.raises(EngineError, match="nobody foresaw"):
                await client.partitions("orders")

            assert await client.admin.topics() == []
            assert "Partitions failed in an unforeseen way" in caplog.text

    async def test_what_is_given_to_nobody_goes_back(self) -> None:
        async with served() as server:
            client = await server.connect()
            await declare_all(client)
            source = await client.queue_source("jobs", "c")
            waiting = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
            await client.ping()
            waiting.cancel()
            await publish(client, "jobs", "a")

            received = await source.receive(1, MANY_BYTES, 60_000)

            assert [(texts([one]), one.failed) for one in received] == [(["a"], 0)]


class TestTheEnd:
    async def test_what_a_lost_client_held_goes_to_others_at_once(self) -> None:
        async with served() as server:
            lost, other = await server.connect(), await server.connect()
            await declare_all(lost)
            await publish(lost, "jobs", "a", "b")
            source = await lost.queue_source("jobs", "lost")
            held = await take(source)
            waiting = await other.queue_source("jobs", "other")
            coming = asyncio.ensure_future(waiting.receive(10, MANY_BYTES, 60_000))
            await other.ping()

            (await lost.link()).end("the test")
            found = await coming

            assert (texts(held), texts(found)) == (["a", "b"], ["a", "b"])
            assert [(one.attempt, one.failed) for one in found] == [(2, 1), (2, 1)]
            with pytest.raises(LeaseLost):
                await settle(lost, source, held)
            await settle(other, waiting, found)

    async def test_what_a_lost_member_had_goes_to_the_group(self) -> None:
        async with served() as server:
            lost, other = await server.connect(), await server.connect()
            await declare_all(lost)
            await publish(lost, "orders", "a")
            source = await lost.stream_source("orders", "billing", "earliest", None)
            assert texts(await take(source)) == ["a"]

            (await lost.link()).end("the test")
            after = await other.stream_source("orders", "billing", "earliest", None)

            assert texts(await after.receive(10, MANY_BYTES, 60_000)) == ["a"]

    async def test_who_says_goodbye_hands_back_uncounted(self) -> None:
        async with served() as server:
            leaving, other = await server.connect(), await server.connect()
            await declare_all(leaving)
            await publish(leaving, "jobs", "a")
            assert await take(await leaving.queue_source("jobs", "leaving"))

            await leaving.close()
            found = await take(await other.queue_source("jobs", "other"))

            assert [(one.attempt, one.failed) for one in found] == [(2, 0)]

    async def test_a_server_that_stops_lets_nobody_wait_and_finishes_what_runs(self, tmp_path: Path) -> None:
        async with served(tmp_path / "data") as server:
            client = await server.connect()
            await declare_all(client)
            source = await client.queue_source("jobs", "c")
            waiting = asyncio.ensure_future(source.receive(1, MANY_BYTES, 60_000))
            publishing = asyncio.ensure_future(publish(client, "orders", "a"))
            await client.ping()

            await server.server.stop()

            await publishing
            waiting.cancel()
            assert server.broker.topic("default", "orders").partitions[0].high_watermark == 1

    async def test_nothing_is_left_of_a_connection_that_broke_in_the_middle(self) -> None:
        async with served() as server:
            client = await server.connect()
            await declare_all(client)
            await publish(client, "jobs", "a")
            peer = await raw(server)
            peer.say(1, wire.Hello())
            peer.say(2, wire.OpenQueue("jobs", "c"))
            peer.say(3, wire.OpenStream("orders", "billing", "earliest"))
            peer.say(4, wire.Receive(1, 10, MANY_BYTES, 60_000))
            peer.writer.write(codec.encode(5, wire.Receive(2, 10, MANY_BYTES, 60_000))[:-1])
            while (heard := await peer.hear()) is not None and heard[0] != 4:
                pass
            await peer.close()

            async def left() -> bool:
                (group,) = await client.admin.groups()
                return group.members == () and (await client.admin.queue("jobs")).leased == 0

            while not await left():  # noqa: ASYNC110 - the other end has no event to wait for here
                await asyncio.sleep(0.001)


async def test_an_unknown_topic_is_told_as_at_home() -> None:
    async with served() as server:
        client: Engine = await server.connect()

        with pytest.raises(UnknownTopic) as refused:
            await client.partitions("nowhere")

        assert refused.value.name == "nowhere"
