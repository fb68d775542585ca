"""AMQP clients that send nonsense, too much, or nothing, over real sockets: told in codes, and nobody else notices.

How much memory they may take is asked of what the server counts.
"""

import asyncio
import resource
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import scram
from isthmus.broker import accounts
from isthmus.clock import ManualClock
from isthmus.definition import Grant, UserDefinition
from isthmus.limits import (
    AMQP_ASSEMBLY_BYTES_MAX,
    AMQP_BACKLOG_BYTES_MAX,
    AMQP_BODY_BYTES_MAX,
    AMQP_WINDOW_BYTES,
    EGRESS_BYTES_HIGH,
    EGRESS_BYTES_MAX,
    FIRST_BYTE_MS,
    INGRESS_BYTES_MAX,
    KIB,
    MIB,
)
from isthmus.protocols.amqp import codec
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.properties import NONE
from support.amqp import GUEST, AmqpPeer, AmqpServer, amqp_server, declared
from support.amqp_corpus import SESSIONS, FuzzedDoor

PUBLISH = codec.method_frame(1, m.BasicPublish(0, "", "q"))
TURNS_S = 20
SECRET = "pencil"


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it does."""
    async with asyncio.timeout(TURNS_S):
        while not holds():  # noqa: ASYNC110 - what is counted tells nobody when it changes
            await asyncio.sleep(0.005)


@asynccontextmanager
async def beside(server: AmqpServer) -> AsyncGenerator[AmqpPeer]:
    """Somebody else, who is served before, afterwards, and whose connection and channel stay."""
    other = await server.connect()
    await declared(other, "beside")
    yield other
    assert (await declared(other, "beside")).queue == "beside"


def header(channel: int, size: int, class_id: int = 60) -> bytes:
    return codec.frame(codec.HEADER, channel, codec.CONTENT_HEAD.pack(class_id, 0, size) + NONE)


def body(channel: int, data: bytes) -> bytes:
    return codec.frame(codec.BODY, channel, data)


# ---- bytes that are no frames, and frames that may not be there ---------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x01\x00\x01\xff\xff\xff\xff", 501),
        (b"\x03\x00\x01\x00\x02\x00\x02", 501),
        (codec.method_frame(1, m.BasicAck(1))[:-1] + b"\x00", 501),
        (codec.frame(7, 1, b"x"), 501),
        (b"GET / HTTP/1.1\r\n\r\n", 501),
        (codec.frame(codec.METHOD, 1, b"\x00\x3c\x00\x28\x00\x00\xff"), 502),
        (codec.frame(codec.METHOD, 1, b"\x00\x32\x00\x0a\x00\x00\x01q\x00\xff\xff\xff\xff"), 502),
        (codec.frame(codec.METHOD, 1, b"\x00\x63\x00\x01"), 503),
        (codec.method_frame(1, m.BasicDeliver("t")), 503),
        (codec.method_frame(0, m.BasicAck(1)), 503),
        (codec.method_frame(0, m.ConnectionOpen("/")), 503),
        (codec.method_frame(2, m.BasicAck(1)), 504),
        (codec.method_frame(1, m.ChannelOpen()), 504),
        (codec.method_frame(2_048, m.ChannelOpen()), 504),
        (body(1, b"x"), 505),
        (PUBLISH + body(1, b"x"), 505),
        (PUBLISH + codec.HEARTBEAT_FRAME + codec.method_frame(1, m.BasicAck(1)), 505),
        (PUBLISH + header(1, 1, class_id=10), 505),
        (PUBLISH + header(1, 3) + body(1, b"four"), 501),
        (codec.frame(codec.HEARTBEAT, 1, b""), 505),
    ],
)
async def test_what_breaks_the_protocol_closes_the_connection_with_its_code(data: bytes, code: int) -> None:
    async with amqp_server() as server, beside(server):
        peer = await server.connect()

        peer.send(data)
        close = await peer.hear(m.ConnectionClose, 0)

        assert close.reply_code == code
        assert close.reply_text.startswith(f"{m.REPLY_NAMES[code]} - ")
        peer.say(m.ConnectionCloseOk(), 0)
        assert await peer.is_closed()
        await until(lambda: server.server.driver.ingress.total_bytes == 0)


async def test_a_session_that_is_cut_anywhere_leaves_nothing_behind() -> None:
    login = [
        codec.PROTOCOL_HEADERS[0],
        codec.method_frame(0, m.ConnectionStartOk({}, "PLAIN", GUEST, "en_US")),
        codec.method_frame(0, m.ConnectionTuneOk(10, 8_192, 0)),
        codec.method_frame(0, m.ConnectionOpen("/")),
    ]
    use = [
        codec.method_frame(1, m.ChannelOpen()),
        codec.method_frame(1, m.QueueDeclare(0, "q", exclusive=True)),
        codec.content_frames(1, m.BasicPublish(0, "", "q"), NONE, b"x" * 10, 8_192),
        codec.method_frame(1, m.BasicConsume(0, "q")),
    ]
    whole = b"".join(login + use)
    async with amqp_server() as server, beside(server):
        for size in range(0, len(whole), 3):
            peer = await server.socket()
            peer.send(whole[:size])
            peer.writer.write_eof()
            await drained(peer)
            await peer.close()

        await until(lambda: server.server.driver.ingress.total_bytes == 0)
        await until(lambda: len(server.server.driver.connections) == 1)


async def drained(peer: AmqpPeer) -> None:
    """Read until the server hangs up."""
    async with asyncio.timeout(TURNS_S):
        while await peer.reader.read(65_536):
            pass


@pytest.mark.parametrize("size", [AMQP_BODY_BYTES_MAX + 1, 2**63, 2**64 - 1])
async def test_a_body_that_is_too_large_costs_its_channel_before_any_of_it_is_kept(size: int) -> None:
    async with amqp_server() as server, beside(server):
        peer = await server.connect()
        await peer.open(2)

        peer.send(PUBLISH + header(1, size) + body(1, bytes(100_000)) + body(1, bytes(100_000)))
        close = await peer.hear(m.ChannelClose)

        assert (close.reply_code, close.class_id, close.method_id) == (406, 60, 40)
        assert f"message size {size} is larger than configured max size {AMQP_BODY_BYTES_MAX}" in close.reply_text
        assert isinstance(await peer.ask(m.QueueDeclare(0, "q"), 2), m.QueueDeclareOk)
        peer.say(m.ChannelCloseOk())
        await peer.open(1)
        await until(lambda: server.server.driver.ingress.total_bytes == 0)


async def test_bodies_that_never_end_on_many_channels_are_bounded_together() -> None:
    piece = bytes(100_000)
    async with amqp_server() as server, beside(server):
        peer = await server.connect()
        most = 0

        for channel in range(2, 500):
            peer.send(codec.method_frame(channel, m.ChannelOpen()))
            peer.send(codec.method_frame(channel, m.BasicPublish(0, "", "q")) + header(channel, MIB))
            peer.send(body(channel, piece))
            most = max(most, server.server.driver.ingress.total_bytes)
            answer = (await peer.next()).method
            if not isinstance(answer, m.ChannelOpenOk):
                break

        assert isinstance(answer, m.ConnectionClose)
        assert answer.reply_code == 506
        assert AMQP_ASSEMBLY_BYTES_MAX / 2 < most < AMQP_ASSEMBLY_BYTES_MAX + 4 * MIB
        await until(lambda: server.server.driver.ingress.total_bytes == 0)


async def test_methods_with_large_arguments_wait_within_the_bound_of_their_bytes() -> None:
    large = m.QueueDeclare(0, "q", durable=True, arguments={"x": ["y" * 1_000] * 100})
    async with amqp_server() as server, beside(server) as other:
        peer = await server.connect()

        for _ in range(300):
            peer.say(large)
        most = 0
        for _ in range(300):
            most = max(most, server.server.driver.ingress.total_bytes)
            assert isinstance((await peer.next()).method, m.QueueDeclareOk)

        assert MIB < most <= AMQP_BACKLOG_BYTES_MAX + 2 * MIB
        assert isinstance(await other.ask(m.QueueDelete(0, "q")), m.QueueDeleteOk)


@pytest.fixture(scope="module")
def door() -> Iterator[FuzzedDoor]:
    """One broker for all that is made up."""
    made = FuzzedDoor()
    yield made
    made.close()


@settings(max_examples=100, deadline=None)
@given(data=st.sampled_from(SESSIONS), at=st.integers(0, 400), cut=st.integers(0, 8), piece=st.binary(max_size=8))
def test_whatever_is_changed_in_what_clients_send_the_door_answers_or_closes(
    door: FuzzedDoor, data: bytes, at: int, cut: int, piece: bytes
) -> None:
    door.meet(data[:at] + piece + data[at + cut :])


@settings(max_examples=100, deadline=None)
@given(seed=st.binary(min_size=4, max_size=8))
def test_whatever_clients_ask_about_a_few_names_is_answered_and_never_by_an_internal_error(
    door: FuzzedDoor, seed: bytes
) -> None:
    door.meet_likely(seed)


# ---- peers that send nothing, too much, or do not read -----------------------------------------------------------


async def with_a_user(server: AmqpServer) -> None:
    kept = scram.credentials(SECRET, lambda: b"salt" * 4)
    await accounts.create(
        server.broker,
        server.broker.session(),
        UserDefinition(name="ada", scrams=kept, grants=(Grant(operations=("read",), pattern="*"),)),
    )


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2_500, reason="needs 2,500 open files")
@pytest.mark.parametrize("said", [b"", codec.PROTOCOL_HEADERS[0][:5], codec.PROTOCOL_HEADERS[0]])
async def test_a_thousand_peers_that_say_nothing_more_keep_nobody_out_and_are_closed(said: bytes) -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        await with_a_user(server)
        admission = server.server.driver.admission
        silent = [await server.socket() for _ in range(1_000 if not said else 200)]
        for peer in silent:
            peer.send(said)
        await until(lambda: admission.strangers == len(silent))

        other = await server.socket()
        await other.log_in(secret=b"\0ada\0" + SECRET.encode())
        for _ in range(3):
            await clock.advance(FIRST_BYTE_MS + 500)
        await asyncio.gather(*(drained(peer) for peer in silent))

        await until(lambda: admission.strangers == 0)
        await other.open()
        assert server.server.driver.ingress.total_bytes == 0


async def test_a_stranger_cannot_open_a_channel_or_send_much() -> None:
    async with amqp_server() as server:
        await with_a_user(server)
        early, large = await server.socket(), await server.socket()

        early.send(codec.PROTOCOL_HEADERS[0] + codec.method_frame(1, m.ChannelOpen()))
        large.send(codec.PROTOCOL_HEADERS[0] + b"\x01\x00\x00\x00\x00\x40\x00" + bytes(100))

        await early.hear(m.ConnectionStart, 0)
        await large.hear(m.ConnectionStart, 0)
        assert (await early.hear(m.ConnectionClose, 0)).reply_code == 503
        assert (await large.hear(m.ConnectionClose, 0)).reply_code == 501
        assert server.server.driver.ingress.total_bytes == 0


@pytest.mark.parametrize("no_ack", [False, True])
async def test_a_consumer_that_never_reads_holds_little_and_nobody_up(no_ack: bool) -> None:
    async with amqp_server() as server, beside(server) as other:
        publisher = await server.connect()
        await publisher.ask(m.ConfirmSelect())
        await declared(publisher)
        deaf = await server.connect()
        deaf.say(m.BasicConsume(0, "q", no_ack=no_ack))
        driver = server.server.driver

        for number in range(1, 81):
            publisher.publish("q", bytes(500 * KIB))
            confirm = await publisher.hear(m.BasicAck)
            assert confirm.delivery_tag == number
            if number % 10 == 0:
                assert isinstance(await other.ask(m.BasicGet(0, "beside")), m.BasicGetEmpty)

        unsent = sum(each.unsent() for each in driver.connections)
        assert unsent <= AMQP_WINDOW_BYTES + EGRESS_BYTES_HIGH + MIB < EGRESS_BYTES_MAX
        await deaf.close()
        await until(lambda: len(driver.connections) == 2)
        if not no_ack:
            assert (await declared(publisher)).message_count == 80


async def test_a_publisher_that_floods_and_never_reads_is_held_and_its_messages_are_all_there() -> None:
    count, data = 3_000, bytes(20 * KIB)
    async with amqp_server() as server, beside(server) as other:
        flood = await server.connect()
        await flood.ask(m.ConfirmSelect())
        await declared(flood)
        journal, ingress = server.broker.journal, server.server.driver.ingress
        most = [0, 0]

        for number in range(count):
            flood.publish("q", data)
            if number % 50 == 0:
                await flood.writer.drain()
                assert isinstance(await other.ask(m.BasicGet(0, "beside")), m.BasicGetEmpty)
            most = [max(most[0], journal.pending_bytes), max(most[1], ingress.total_bytes)]
        confirmed = 0
        while confirmed < count:
            confirmed = (await flood.hear(m.BasicAck)).delivery_tag

        assert most[0] <= journal.options.pending_bytes_max
        assert most[1] <= INGRESS_BYTES_MAX
        assert (await declared(flood)).message_count == count


async def test_a_client_that_comes_and_goes_in_the_middle_of_everything_leaves_nothing() -> None:
    async with amqp_server() as server, beside(server):
        peer = await server.connect()
        await declared(peer)
        driver = server.server.driver

        for number in range(60):
            gone = await server.connect()
            gone.publish("q", b"x" * 100)
            gone.say(m.BasicConsume(0, "q", no_ack=False))
            gone.say(m.QueueDeclare(0, f"own-{number}", exclusive=True))
            gone.send(PUBLISH + header(1, 1_000) + body(1, b"half"))
            if number % 3:
                await gone.writer.drain()
            if number % 2:
                await asyncio.sleep(0)
            gone.writer.transport.abort()
        await until(lambda: len(driver.connections) == 2)

        await until(lambda: not any("own-" in each.name for each in server.broker.catalog.queues.values()))
        assert driver.ingress.total_bytes == 0
        held = (await declared(peer)).message_count
        tags = [(await peer.ask(m.BasicGet(0, "q", no_ack=True))).delivery_tag for _ in range(held)]
        assert tags == list(range(1, held + 1))
