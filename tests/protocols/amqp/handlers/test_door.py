"""The life of a connection and of its channels over a real socket: greetings, limits, closes, heartbeats, the end."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from isthmus import scram
from isthmus.broker import accounts, namespaces
from isthmus.clock import ManualClock
from isthmus.definition import Grant, UserDefinition
from isthmus.limits import AMQP_CLOSE_MS, LOGIN_FAILED_MS
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import PROTOCOL_HEADERS
from isthmus.protocols.amqp.table import encode_entries
from isthmus.server.config import Settings
from support.amqp import CAPABILITIES, AmqpPeer, amqp_server, declared


async def greeted(peer: AmqpPeer) -> m.ConnectionStart:
    peer.send(PROTOCOL_HEADERS[0])
    return await peer.hear(m.ConnectionStart, 0)


async def tuned(peer: AmqpPeer, said: m.ConnectionTuneOk) -> m.ConnectionClose:
    await greeted(peer)
    peer.say(m.ConnectionStartOk(CAPABILITIES, "PLAIN", b"\0guest\0guest", "en_US"), 0)
    await peer.hear(m.ConnectionTune, 0)
    peer.say(said, 0)
    return await peer.hear(m.ConnectionClose, 0)


async def test_a_connection_lives_from_its_greeting_to_its_close() -> None:
    async with amqp_server() as server:
        peer = await server.socket()

        start = await greeted(peer)
        peer.say(m.ConnectionStartOk(CAPABILITIES, "PLAIN", b"\0guest\0guest", "en_US"), 0)
        tune = await peer.hear(m.ConnectionTune, 0)
        peer.say(m.ConnectionTuneOk(100, 8_192, 0), 0)
        peer.say(m.ConnectionOpen("/"), 0)
        await peer.hear(m.ConnectionOpenOk, 0)
        await peer.open(7)
        peer.say(m.ChannelClose(200, "done"), 7)
        await peer.hear(m.ChannelCloseOk, 7)
        await peer.open(7)
        peer.say(m.ConnectionClose(200, "bye"), 0)
        await peer.hear(m.ConnectionCloseOk, 0)

        assert (start.version_major, start.version_minor) == (0, 9)
        assert start.mechanisms.split() == [b"PLAIN", b"AMQPLAIN"]
        assert start.server_properties["product"] == "RabbitMQ"
        assert start.server_properties["capabilities"]["basic.nack"] is True  # type: ignore[index, call-overload]
        assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2_047, 131_072, 60)
        assert await peer.is_closed()


async def test_what_the_server_says_that_it_is_can_be_chosen() -> None:
    settings = Settings(amqp="0", amqp_product="Isthmus", amqp_version="1.0")

    async with amqp_server(settings=settings) as server:
        start = await greeted(await server.socket())

    assert (start.server_properties["product"], start.server_properties["version"]) == ("Isthmus", "1.0")


async def test_whoever_speaks_something_else_is_told_what_is_spoken_here() -> None:
    async with amqp_server() as server:
        peer = await server.socket()

        peer.send(b"AMQP\x00\x01\x00\x00")

        assert await peer.reader.read() == PROTOCOL_HEADERS[0]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (m.ConnectionTuneOk(2_048, 131_072, 0), "negotiated channel_max = 2048 is higher than the maximum"),
        (m.ConnectionTuneOk(0, 131_072, 0), r"negotiated channel_max = 0 \(no limit\) is higher"),
        (m.ConnectionTuneOk(1, 131_073, 0), "negotiated frame_max = 131073 is higher than the maximum"),
        (m.ConnectionTuneOk(1, 4_096, 0), "negotiated frame_max = 4096 is lower than the minimum"),
    ],
)
async def test_limits_that_were_not_offered_are_refused(said: m.ConnectionTuneOk, why: str) -> None:
    async with amqp_server() as server:
        close = await tuned(await server.socket(), said)

    assert close.reply_code == 530

    assert why.replace("\\", "") in close.reply_text


async def test_a_virtual_host_that_is_not_there_is_refused() -> None:
    async with amqp_server() as server:
        peer = await server.socket()
        await greeted(peer)
        peer.say(m.ConnectionStartOk(CAPABILITIES, "PLAIN", b"\0guest\0guest", "en_US"), 0)
        await peer.hear(m.ConnectionTune, 0)
        peer.say(m.ConnectionTuneOk(1, 8_192, 0), 0)

        peer.say(m.ConnectionOpen("none"), 0)
        close = await peer.hear(m.ConnectionClose, 0)

        assert (close.reply_code, close.reply_text) == (530, "NOT_ALLOWED - vhost none not found")
        assert (close.class_id, close.method_id) == (10, 40)


async def test_a_channel_closes_for_what_it_asked_and_its_number_can_be_used_again() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        close = await peer.ask(m.QueueDeclare(queue="none", passive=True))
        peer.say(m.QueueDeclare(queue="ignored"))
        peer.say(m.ChannelCloseOk())
        await peer.open()

        assert (close.reply_code, close.reply_text) == (404, "NOT_FOUND - no queue 'none' in vhost '/'")
        assert (close.class_id, close.method_id) == (50, 10)
        assert "ignored" not in {name for _, name in server.broker.catalog.queue_names}


async def test_a_fault_of_the_connection_closes_all_of_it() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        peer.say(m.BasicQos(1, 0))
        close = await peer.hear(m.ConnectionClose, 0)
        peer.say(m.QueueDeclare(queue="ignored"))
        peer.say(m.ConnectionCloseOk(), 0)

        assert (close.reply_code, close.class_id, close.method_id) == (540, 60, 10)
        assert await peer.is_closed()


async def test_a_method_before_its_time_closes_the_connection() -> None:
    async with amqp_server() as server:
        peer = await server.socket()
        await greeted(peer)

        peer.say(m.ConnectionOpen("/"), 0)
        close = await peer.hear(m.ConnectionClose, 0)

        assert close.reply_code == 503


async def test_a_stopping_server_says_so() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        stopping = server.server.stop()
        task = asyncio.get_running_loop().create_task(stopping)
        close = await peer.hear(m.ConnectionClose, 0)
        peer.say(m.ConnectionCloseOk(), 0)
        await task

        assert close.reply_code == 320
        assert close.reply_text == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"


async def test_heartbeats_are_sent_and_their_absence_ends_the_connection() -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        peer = await server.socket()
        await peer.log_in(heartbeat=10)

        await clock.advance(6_000)
        heard = await peer.reader.readexactly(8)
        await clock.advance(20_000)

        assert heard == b"\x08\x00\x00\x00\x00\x00\x00\xce"
        rest = await peer.reader.read()
        assert rest.replace(heard, b"") == b""


async def test_a_peer_that_does_not_answer_a_close_is_hung_up_on() -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        peer = await server.socket()
        await peer.log_in()
        await peer.open()
        peer.say(m.BasicQos(1, 0))
        await peer.hear(m.ConnectionClose, 0)

        await clock.advance(AMQP_CLOSE_MS + 1)

        assert await peer.is_closed()


async def test_answers_of_a_channel_come_in_the_order_of_its_methods() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        peer.say(m.QueueDeclare(queue="a", durable=True))
        peer.publish("a", b"1")
        peer.say(m.QueueDeclare(queue="a", durable=True))
        peer.say(m.BasicGet(queue="a"))
        peer.say(m.ChannelClose(200, ""))

        assert (await peer.hear(m.QueueDeclareOk)).message_count == 0
        assert (await peer.hear(m.QueueDeclareOk)).message_count == 1
        assert (await peer.message()).body == b"1"
        await peer.hear(m.ChannelCloseOk)


async def test_whoever_is_nobody_any_more_is_told_to_go() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "mine")
        asked = UserDefinition(name="ann", scrams=scram.credentials("secret", lambda: b"salt" * 4))
        await accounts.create(server.broker, server.broker.session(), asked)

        assert (await peer.hear(m.ConnectionClose, 0)).reply_code == 320


async def test_large_messages_behind_a_method_that_takes_its_time_are_kept_for_it() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        for number in range(20):
            peer.say(m.QueueDeclare(queue=f"q{number}", durable=True))
            for _ in range(3):
                peer.publish(f"q{number}", b"x" * 60_000)

        assert [(await peer.hear(m.QueueDeclareOk)).message_count for _ in range(20)] == [0] * 20
        assert (await declared(peer, "q19")).message_count == 3


async def test_who_has_no_grant_is_refused_in_words() -> None:
    async with amqp_server() as server:
        scrams = scram.credentials("secret", lambda: b"salt" * 4)
        asked = UserDefinition(name="ann", scrams=scrams, grants=(Grant(operations=("read",), pattern="*"),))
        await accounts.create(server.broker, server.broker.session(), asked)
        peer = await server.socket()
        await peer.log_in(secret=b"\0ann\0secret")
        await peer.open()

        close = await peer.ask(m.QueueDeclare(queue="other"))

        assert close.reply_code == 403
        assert close.reply_text.startswith("ACCESS_REFUSED - create access to queue 'other' in vhost '/' refused")


async def test_a_wrong_password_is_refused_late_and_in_rabbitmq_s_words() -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        peer = await server.socket()
        await greeted(peer)

        peer.say(m.ConnectionStartOk(CAPABILITIES, "PLAIN", b"\0guest\0wrong", "en_US"), 0)
        await asyncio.sleep(0.05)
        await clock.advance(LOGIN_FAILED_MS)
        close = await peer.hear(m.ConnectionClose, 0)

        assert close.reply_code == 403
        assert close.reply_text == (
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
            " For details see the broker logfile."
        )


async def test_a_client_may_log_in_by_amqplain() -> None:
    async with amqp_server() as server:
        peer = await server.socket()
        await greeted(peer)

        said = encode_entries({"LOGIN": "guest", "PASSWORD": "guest"})
        peer.say(m.ConnectionStartOk(CAPABILITIES, "AMQPLAIN", said, "en_US"), 0)

        await peer.hear(m.ConnectionTune, 0)


async def test_a_new_secret_is_taken_when_it_is_the_user_s() -> None:
    async with amqp_server() as server:
        scrams = scram.credentials("secret", lambda: b"salt" * 4)
        asked = UserDefinition(name="ann", scrams=scrams, grants=(Grant(operations=("read",), pattern="*"),))
        await accounts.create(server.broker, server.broker.session(), asked)
        peer = await server.socket()
        await peer.log_in(secret=b"\0ann\0secret")

        peer.say(m.ConnectionUpdateSecret(b"secret", "it was old"), 0)
        await peer.hear(m.ConnectionUpdateSecretOk, 0)
        peer.say(m.ConnectionUpdateSecret(b"guess", "it was old"), 0)
        close = await peer.hear(m.ConnectionClose, 0)

        assert (close.reply_code, close.class_id, close.method_id) == (530, 10, 70)


async def test_who_may_do_nothing_in_a_virtual_host_finds_none() -> None:
    async with amqp_server() as server:
        await namespaces.create(server.broker, server.broker.session(), "shop")
        grant = Grant(operations=("read", "create"), pattern="*", namespace="shop")
        scrams = scram.credentials("secret", lambda: b"salt" * 4)
        asked = UserDefinition(name="ann", scrams=scrams, grants=(grant,))
        await accounts.create(server.broker, server.broker.session(), asked)

        peer = await server.connect(secret=b"\0ann\0secret", vhost="shop")
        made = await declared(peer)
        with pytest.raises(AssertionError, match="vhost / not found"):
            await server.connect(secret=b"\0ann\0secret", vhost="/")

        assert made.queue == "q"


async def test_a_virtual_host_is_a_namespace_with_names_and_exchanges_of_its_own() -> None:
    async with amqp_server() as server:
        await namespaces.create(server.broker, server.broker.session(), "shop")
        peer, other = await server.connect(vhost="shop"), await server.connect()
        await declared(peer)

        peer.publish("k", b"1", exchange="amq.topic", mandatory=True)
        back = await peer.message()
        missing = await other.ask(m.QueueDeclare(queue="q", passive=True))

        assert isinstance(back.method, m.BasicReturn)
        assert missing.reply_code == 404
        assert server.broker.queue("shop", "q").name == "q"


async def test_a_certificate_is_login_enough(tmp_path: Path) -> None:
    authority = trustme.CA()
    own, anns = authority.issue_cert("127.0.0.1"), authority.issue_cert("ann@example.org", common_name="ann")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    settings = Settings(
        amqp="0",
        tls_cert=str(tmp_path / "cert.pem"),
        tls_key=str(tmp_path / "key.pem"),
        tls_client_ca=str(tmp_path / "ca.pem"),
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    anns.configure_cert(context)
    async with amqp_server(settings=settings) as server:
        asked = UserDefinition(name="ann", scrams=(), grants=())
        await accounts.create(server.broker, server.broker.session(), asked)
        peer = AmqpPeer(*await asyncio.open_connection(server.host, server.port, ssl=context))
        server.peers.append(peer)

        start = await greeted(peer)
        peer.say(m.ConnectionStartOk(CAPABILITIES, "EXTERNAL", b"", "en_US"), 0)
        await peer.hear(m.ConnectionTune, 0)

        assert start.mechanisms.split() == [b"PLAIN", b"AMQPLAIN", b"EXTERNAL"]
        assert len(server.broker.access.sessions_of("ann")) == 1
