"""The driver: what it asks of doors, what it grants peers, and what it closes; on real sockets."""

import asyncio
import inspect
import socket
import struct

import pytest

from isthmus.clock import ManualClock, SystemClock
from isthmus.limits import (
    BUFFERED_BYTES_MAX,
    EGRESS_BYTES_HIGH,
    EGRESS_STALL_MS,
    FIRST_BYTE_MS,
    HALF_CLOSED_MS,
    HANDSHAKE_MS,
    IDLE_MS,
    READ_BYTES,
    STRANGER_BYTES_MAX,
)
from isthmus.server.ingress import Ingress
from isthmus.server.tcp import Driver, common_name
from support.echo import EchoService, echoing


class TestRequests:
    async def test_requests_are_answered_in_order(self) -> None:
        async with echoing() as here:
            peer = await here.connect()

            assert await peer("echo a", "echo b", "echo c") == ["a", "b", "c"]

    async def test_it_does_not_matter_how_bytes_are_cut(self) -> None:
        async with echoing() as here:
            peer = await here.connect()
            for each in "echo one\necho two\n#5 12345":
                peer.send(each)
                await peer.writer.drain()
                await asyncio.sleep(0)

            assert [await peer.line() for _ in range(3)] == ["one", "two", "framed"]

    async def test_a_held_door_is_left_alone_until_it_wakes(self) -> None:
        async with echoing() as here:
            peer = await here.connect()
            peer.send("hold\necho after\n")
            door = await here.door()
            await here.until(lambda: door.held)
            peer.send("echo more\n")
            await here.until(lambda: len(door.buffer) == len("echo after\necho more\n"))

            assert door.steps == 1
            door.let_go()
            assert [await peer.line(), await peer.line()] == ["after", "more"]

    async def test_an_answer_may_come_later(self) -> None:
        async with echoing() as here:
            peer = await here.connect()
            peer.send("later\n")
            door = await here.door()
            await here.until(lambda: door.waiting)

            door.answer_waiting()

            assert await peer.line() == "at last"

    async def test_a_door_that_closes_says_first_what_it_has_to_say(self) -> None:
        async with echoing() as here:
            peer = await here.connect()
            peer.send("big 1000000\nclose\n")

            assert len(await peer.line()) == 1_000_000
            assert await peer.line() == "bye"
            assert await peer.ended()

    async def test_a_bug_in_a_door_ends_its_connection_and_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        async with echoing() as here:
            bad, good = await here.connect(), await here.connect()
            bad.send("boom\n")

            assert await bad.ended()
            assert await good("echo alive") == ["alive"]
            assert "ZeroDivisionError" in caplog.text


class TestEnds:
    async def test_a_peer_that_sends_no_more_gets_its_answers(self) -> None:
        async with echoing() as here:
            peer = await here.connect()
            peer.send("echo a\nlater\n")
            peer.writer.write_eof()
            door = await here.door()
            await here.until(lambda: door.draining)

            door.answer_waiting()

            assert [await peer.line(), await peer.line()] == ["a", "at last"]
            assert await peer.ended()

    async def test_a_peer_that_has_gone_is_not_waited_for_long(self) -> None:
        clock = ManualClock()
        async with echoing(driver=Driver(clock)) as here:
            peer = await here.connect()
            peer.send("later\n")
            peer.writer.write_eof()
            door = await here.door()
            await here.until(lambda: door.draining)

            await clock.advance(HALF_CLOSED_MS + 500)

            assert await peer.ended()
            await here.until(lambda: door.losses)

    async def test_draining_finishes_what_runs_and_cuts_off_what_takes_too_long(self) -> None:
        clock = ManualClock()
        async with echoing(driver=Driver(clock)) as here:
            idle, busy = await here.connect(), await here.connect()
            await idle("echo a")
            busy.send("later\n")
            await here.until(lambda: any(door.waiting for door in here.service.doors))

            stopping = asyncio.ensure_future(here.driver.drain(1_000))
            assert await idle.ended()
            assert not stopping.done()
            await clock.advance(1_000)

            await stopping
            assert await busy.ended()


class TestBackpressure:
    async def test_a_held_peer_is_read_no_further_than_its_bound(self) -> None:
        async with echoing() as here:
            raw = here.connect_raw()
            raw.send(b"hold\n")
            door = await here.door()
            await here.until(lambda: door.held)

            sent = await fill(raw)

            assert sent > BUFFERED_BYTES_MAX
            assert BUFFERED_BYTES_MAX <= door.buffered_bytes < BUFFERED_BYTES_MAX + READ_BYTES
            raw.close()
            door.let_go()
            await here.until(lambda: door.losses)

    async def test_a_frame_that_is_known_to_be_larger_is_read_whole(self) -> None:
        async with echoing() as here:
            peer = await here.connect()
            size = 8 * BUFFERED_BYTES_MAX

            peer.send(f"#{size} " + "x" * size)

            assert await peer.line() == "framed"

    async def test_a_peer_that_does_not_read_is_not_served_until_it_does(self) -> None:
        async with echoing() as here:
            raw = here.connect_raw()
            raw.send(b"big 4000000\n" * 3)
            door = await here.door()
            await here.until(lambda: door.line.congested)
            raw.send(b"echo x\n")
            await here.until(lambda: door.buffer)
            steps = door.steps

            await turns()

            assert door.steps == steps
            received = 0
            loop = asyncio.get_running_loop()
            while received < 3 * 4_000_001 + 2:
                received += len(await loop.sock_recv(raw, 1 << 20))
            assert door.resumes
            assert not door.buffer
            raw.close()
            await here.until(lambda: door.losses)

    async def test_a_peer_that_never_reads_is_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = ManualClock()
        async with echoing(driver=Driver(clock)) as here:
            raw = here.connect_raw()
            raw.send(f"big {64 * EGRESS_BYTES_HIGH}\n".encode())
            door = await here.door()
            await here.until(lambda: door.line.congested)

            await clock.advance(EGRESS_STALL_MS + 500)

            await here.until(lambda: door.losses)
            assert "does not read" in caplog.text
            raw.close()

    async def test_when_memory_is_short_one_request_after_the_other_gets_complete(self) -> None:
        size, peers = 200_000, 8
        async with echoing(driver=Driver(SystemClock(), ingress=Ingress(300_000))) as here:
            clients = [await here.connect() for _ in range(peers)]
            for client in clients:
                client.send(f"#{size} " + "x" * size)

            assert [await client.line() for client in clients] == ["framed"] * peers

    async def test_when_memory_is_short_who_does_not_complete_its_request_is_closed(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = ManualClock()
        async with echoing(driver=Driver(clock, ingress=Ingress(100_000))) as here:
            stuck, waiting = await here.connect(), await here.connect()
            stuck.send("#200000 " + "x" * 150_000)
            door = await here.door()
            await here.until(lambda: door.buffered_bytes > 150_000)
            waiting.send("#2000 " + "x" * 1_999)
            await turns()

            await clock.advance(2_000)

            assert await stuck.ended()
            assert "memory is short" in caplog.text
            waiting.send("x")
            assert await waiting.line() == "framed"


class TestStrangers:
    async def test_who_says_nothing_is_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = ManualClock()
        async with echoing(EchoService(open_to_all=False), Driver(clock)) as here:
            peer = await here.connect()
            await here.door()

            await clock.advance(FIRST_BYTE_MS + 500)

            assert await peer.ended()
            assert "it says nothing" in caplog.text

    async def test_who_says_too_little_is_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        clock = ManualClock()
        async with echoing(EchoService(open_to_all=False), Driver(clock)) as here:
            peer = await here.connect()
            await here.door()
            for each in "login":
                peer.send(each)
                await turns()
                await clock.advance(HANDSHAKE_MS // 5 - 100)

            await clock.advance(1_000)

            assert await peer.ended()
            assert "it does not say who it is" in caplog.text

    async def test_who_says_too_much_is_closed(self, caplog: pytest.LogCaptureFixture) -> None:
        async with echoing(EchoService(open_to_all=False)) as here:
            peer, other = await here.connect(), await here.connect()

            peer.send("x" * (STRANGER_BYTES_MAX + 1))
            other.send(f"#{STRANGER_BYTES_MAX} ")

            assert await peer.ended()
            assert await other.ended()
            assert caplog.text.count("before it says who it is") == 2

    async def test_who_is_known_has_time_and_room(self) -> None:
        clock = ManualClock()
        async with echoing(EchoService(open_to_all=False), Driver(clock)) as here:
            peer = await here.connect()

            assert await peer("login ada") == ["welcome"]
            await clock.advance(HANDSHAKE_MS * 2)
            assert await peer("echo " + "x" * STRANGER_BYTES_MAX) == ["x" * STRANGER_BYTES_MAX]

    async def test_who_is_idle_for_long_is_closed(self) -> None:
        clock = ManualClock()
        async with echoing(driver=Driver(clock)) as here:
            peer = await here.connect()
            await peer("echo a")
            await clock.advance(IDLE_MS - 1_000)
            await peer("echo b")
            await clock.advance(IDLE_MS - 1_000)
            await turns()
            assert not (await here.door()).losses

            await clock.advance(2_000)

            assert await peer.ended()

    async def test_too_many_of_them_push_out_the_oldest_and_nobody_who_is_known(self) -> None:
        async with echoing(EchoService(open_to_all=False)) as here:
            known = await here.connect()
            await known("login ada")
            raws: list[socket.socket] = []
            while len(raws) < 1_100:
                raws.append(here.connect_raw())
                await asyncio.sleep(0)
            await here.until(lambda: len(here.service.doors) >= 1_101)

            await here.until(lambda: here.driver.admission.strangers == 1_024 and len(here.driver.connections) == 1_025)

            assert await known("echo a") == ["a"]
            for raw in raws:
                raw.close()

    @pytest.mark.parametrize(
        ("sent", "spoken"), [("GET / HTTP/1.1\r\n\r\n", "HTTP"), ("\x16\x03\x01\x02\x00\x01", "TLS")]
    )
    async def test_who_has_come_to_the_wrong_port_is_told_apart(
        self, sent: str, spoken: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with echoing(plain_binary=True) as here:
            peer, right = await here.connect(), await here.connect()
            peer.send(sent)

            assert await peer.ended()
            assert f"it speaks {spoken}, which this port does not" in caplog.text
            assert await right("echo GET ") == ["GET "]


class TestAbuse:
    async def test_a_thousand_that_say_nothing_cost_nobody_else_anything_and_go(self) -> None:
        clock = ManualClock()
        async with echoing(EchoService(open_to_all=False), Driver(clock)) as here:
            peer = await here.connect()
            await peer("login ada")
            raws: list[socket.socket] = []
            while len(raws) < 1_000:
                raws.append(here.connect_raw())
                await asyncio.sleep(0)
            await here.until(lambda: len(here.service.doors) == 1_001)

            assert await peer("echo a") == ["a"]
            await clock.advance(FIRST_BYTE_MS + 500)

            await here.until(lambda: len(here.driver.connections) == 1)
            assert await peer("echo b") == ["b"]
            for raw in raws:
                raw.close()

    async def test_who_breaks_off_in_the_middle_leaves_nothing_behind(self) -> None:
        async with echoing() as here:
            for cut in range(12):
                raw = here.connect_raw()
                raw.send(b"later\n#10 12345678"[:cut])
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 0))  # a reset, no goodbye
                door = await here.door(cut)
                raw.close()
                await here.until(lambda door=door: door.losses)  # type: ignore[misc]

            assert here.driver.ingress.total_bytes == 0

    async def test_who_floods_and_never_reads_holds_no_more_than_its_bounds(self) -> None:
        async with echoing() as here:
            raw = here.connect_raw()

            await fill(raw, b"big 100000\n" * 5_000)

            (connection,) = here.driver.connections
            door = await here.door()
            assert door.line.congested
            assert door.buffered_bytes < BUFFERED_BYTES_MAX + READ_BYTES
            # What one slice of time has begun is still taken; then it is over.
            assert connection.unsent() < door.steps * 100_001
            steps = door.steps
            await turns()
            assert door.steps == steps
            raw.close()
            await here.until(lambda: door.losses)


CASES = [
    pytest.param(case, name, id=name)
    for case in (TestRequests, TestEnds, TestBackpressure, TestStrangers, TestAbuse)
    for name, function in vars(case).items()
    if name.startswith("test_") and not getattr(function, "pytestmark", ())
]


@pytest.mark.parametrize(("case", "name"), CASES)
def test_it_is_the_same_on_uvloop(case: type, name: str, caplog: pytest.LogCaptureFixture) -> None:
    uvloop = pytest.importorskip("uvloop")
    test = getattr(case(), name)
    more = {"caplog": caplog} if "caplog" in inspect.signature(test).parameters else {}

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test(**more))


def test_a_certificate_says_who_somebody_is() -> None:
    subject = ((("countryName", "NO"),), (("commonName", "ada"),))

    assert common_name({"subject": subject}) == "ada"
    assert common_name({"subject": ()}) is None
    assert common_name({}) is None
    assert common_name(None) is None


async def turns(count: int = 50) -> None:
    """Let everything run that can run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def fill(raw: socket.socket, data: bytes = b"x" * 65_536) -> int:
    """Send until nothing more is taken; how much was."""
    sent, quiet = 0, 0
    while quiet < 200:
        try:
            sent += raw.send(data)
            quiet = 0
        except BlockingIOError:
            quiet += 1
        await asyncio.sleep(0)
    return sent
