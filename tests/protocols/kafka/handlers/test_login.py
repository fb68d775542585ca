"""Logins over Kafka's protocol, and what is told to those who may not see something; on real sockets."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.access import Access
from isthmus.clock import ManualClock
from isthmus.definition import Grant, TopicDefinition, UserDefinition
from isthmus.limits import LOGIN_FAILED_MS
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.login import AUTHENTICATE, HANDSHAKE, Login
from isthmus.protocols.kafka.schema import requests
from isthmus.server.config import Settings
from support.kafka import KafkaPeer, KafkaServer, kafka_server
from support.logins import ByTheBook

SHA256 = "SCRAM-SHA-256"
METADATA = 3


async def add_user(server: KafkaServer, *grants: Grant, password: str = "pencil", name: str = "ada") -> None:  # noqa: S107 - a test's
    kept = scram.credentials(password, lambda: b"salt" * 4)
    asked = UserDefinition(name=name, scrams=kept, grants=grants)
    await accounts.create(server.broker, server.broker.session(), asked)


async def prove(peer: KafkaPeer, client: ByTheBook, mechanism: str = SHA256) -> Any:  # noqa: ANN401 - an answer
    """The whole exchange; the last answer."""
    chosen = await peer.ask(HANDSHAKE, 1, m.SaslHandshakeRequest(mechanism))
    assert chosen.error_code == Code.NONE
    first = await peer.ask(AUTHENTICATE, 2, m.SaslAuthenticateRequest(client.first()))
    assert first.error_code == Code.NONE
    return await peer.ask(AUTHENTICATE, 2, m.SaslAuthenticateRequest(client.final(first.auth_bytes)))


async def logged_in(server: KafkaServer, name: str = "ada", password: str = "pencil") -> KafkaPeer:  # noqa: S107 - a test's
    peer = await server.connect()
    answer = await prove(peer, ByTheBook(SHA256, name, password))
    assert answer.error_code == Code.NONE
    return peer


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_proves_who_it_is_and_the_server_that_it_knows_the_user(mechanism: str) -> None:
    async with kafka_server() as server:
        await add_user(server)
        peer, client = await server.connect(), ByTheBook(mechanism, "ada", "pencil")

        answer = await prove(peer, client, mechanism)

        assert (answer.error_code, answer.auth_bytes.decode()) == (Code.NONE, client.expected)
        assert (await peer.ask(METADATA, 9, m.MetadataRequest(()))).controller_id == 1


async def test_very_old_clients_send_their_tokens_without_a_frame_of_kafkas() -> None:
    async with kafka_server() as server:
        await add_user(server)
        peer, client = await server.connect(), ByTheBook(SHA256, "ada", "pencil")
        await peer.ask(HANDSHAKE, 0, m.SaslHandshakeRequest(SHA256))

        peer.send(client.first())
        challenge = await peer.frame()
        peer.send(client.final(challenge))

        assert (await peer.frame()).decode() == client.expected
        assert (await peer.ask(METADATA, 9, m.MetadataRequest(()))).controller_id == 1


async def test_a_mechanism_that_is_not_offered_is_answered_with_those_that_are() -> None:
    async with kafka_server() as server:
        await add_user(server)
        peer = await server.connect()

        for mechanism in ("PLAIN", "GSSAPI", "SCRAM-SHA-256-PLUS"):
            answer = await peer.ask(HANDSHAKE, 1, m.SaslHandshakeRequest(mechanism))

            assert answer.error_code == Code.UNSUPPORTED_SASL_MECHANISM
            assert answer.mechanisms == ("SCRAM-SHA-512", "SCRAM-SHA-256")


def test_the_password_itself_is_taken_over_tls() -> None:
    login = Login(Access(), tls=True)

    chosen = login.handshake(m.SaslHandshakeRequest("PLAIN"), 1)
    answer = login.authenticate(m.SaslAuthenticateRequest(b"\0ada\0pencil"))

    assert (chosen.error_code, "PLAIN" in chosen.mechanisms) == (Code.NONE, True)
    assert answer.error_code == Code.SASL_AUTHENTICATION_FAILED  # there is no user


def test_a_message_of_an_exchange_comes_after_the_choice_of_one() -> None:
    login = Login(Access(), tls=False)

    answer = login.authenticate(m.SaslAuthenticateRequest(b"n,,n=ada,r=x"))

    assert answer.error_code == Code.ILLEGAL_SASL_STATE


@pytest.mark.parametrize(("name", "password"), [("ada", "pen"), ("eve", "pencil")])
async def test_who_proves_nothing_is_told_late_and_hung_up_on(name: str, password: str) -> None:
    clock = ManualClock()
    async with kafka_server(clock=clock) as server:
        await add_user(server)
        peer = await server.connect()
        asking = asyncio.ensure_future(prove(peer, ByTheBook(SHA256, name, password)))
        began_ms = clock.monotonic_ms()

        while not asking.done():
            await asyncio.sleep(0.001)
            await clock.advance(LOGIN_FAILED_MS // 10)
        answer = await asking

        assert (answer.error_code, answer.error_message) == (
            Code.SASL_AUTHENTICATION_FAILED, "the user name or the password is wrong",
        )  # fmt: skip
        assert clock.monotonic_ms() - began_ms >= LOGIN_FAILED_MS
        assert await peer.is_closed()


@pytest.mark.parametrize("key", sorted(set(requests()) - {HANDSHAKE, AUTHENTICATE, 18}))
async def test_nothing_else_is_answered_before(key: int) -> None:
    async with kafka_server() as server:
        await add_user(server)
        peer = await server.connect()
        _, version = requests()[key].versions

        peer.send(key.to_bytes(2) + version.to_bytes(2) + bytes(40))

        assert await peer.is_closed()


async def test_a_connection_ends_with_its_user_and_with_its_password() -> None:
    async with kafka_server() as server:
        await add_user(server)
        owner = server.broker.session()
        first = await logged_in(server)
        changed = scram.credentials("crayon", lambda: b"salt" * 4)

        await accounts.alter(server.broker, owner, UserDefinition(name="ada", scrams=changed))
        second = await logged_in(server, password="crayon")
        closed = await first.is_closed()
        await accounts.remove(server.broker, owner, "ada")

        assert closed
        assert await second.is_closed()


async def test_with_the_first_user_connections_that_nobody_logged_in_on_end() -> None:
    async with kafka_server() as server:
        peer = await server.connect()
        await peer.ask(METADATA, 9, m.MetadataRequest(()))

        await add_user(server)

        assert await peer.is_closed()


async def test_a_login_is_renewed_by_the_same_user_and_by_no_other() -> None:
    async with kafka_server() as server:
        await add_user(server)
        await add_user(server, name="eve")
        peer = await logged_in(server)

        again = await prove(peer, ByTheBook(SHA256, "ada", "pencil"))
        other = asyncio.ensure_future(prove(peer, ByTheBook(SHA256, "eve", "pencil")))

        assert again.error_code == Code.NONE
        with pytest.raises(asyncio.IncompleteReadError):
            await other


class Secured:
    """A server's files and how clients come to it, with a certificate of a name or without."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        made = self._authority.issue_cert("127.0.0.1")
        made.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        server, ca = str(folder / "server.pem"), str(folder / "ca.pem")
        self.settings = Settings(kafka="0", tls_cert=server, tls_client_ca=ca, tls_client="optional")

    async def connect(self, server: KafkaServer, name: str | None = None) -> KafkaPeer:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        if name is not None:
            self._authority.issue_cert(f"{name}@example.org", common_name=name).configure_cert(context)
        peer = KafkaPeer(*await asyncio.open_connection(server.host, server.port, ssl=context))
        server.peers.append(peer)
        return peer


async def test_a_certificate_of_a_users_name_is_a_login_and_one_of_another_name_is_none(tmp_path: Path) -> None:
    secured = Secured(tmp_path)
    async with kafka_server(settings=secured.settings) as server:
        await accounts.create(server.broker, server.broker.session(), UserDefinition(name="machine"))
        known = await secured.connect(server, "machine")
        others = [await secured.connect(server, name) for name in ("local", "anyone", "Machine", None)]

        answer = await known.ask(METADATA, 9, m.MetadataRequest(()))
        for each in others:
            each.say(METADATA, 9, m.MetadataRequest(()))

        assert answer.controller_id == 1
        assert [await each.is_closed() for each in others] == [True] * 4


async def test_over_tls_the_password_itself_is_taken(tmp_path: Path) -> None:
    secured = Secured(tmp_path)
    async with kafka_server(settings=secured.settings) as server:
        await add_user(server)
        peer = await secured.connect(server)

        chosen = await peer.ask(HANDSHAKE, 1, m.SaslHandshakeRequest("PLAIN"))
        answer = await peer.ask(AUTHENTICATE, 2, m.SaslAuthenticateRequest(b"\0ada\0pencil"))

        assert (chosen.error_code, answer.error_code) == (Code.NONE, Code.NONE)
        assert (await peer.ask(METADATA, 9, m.MetadataRequest(()))).controller_id == 1


HIDDEN: list[tuple[int, int, Any]] = [
    (
        0,
        9,
        lambda name: m.ProduceRequest(
            None,
            -1,
            1_000,
            (m.ProduceRequestTopicData(name, partition_data=(m.ProduceRequestTopicDataPartitionData(0, b""),)),),
        ),
    ),
    (
        1,
        12,
        lambda name: m.FetchRequest(
            max_wait_ms=0,
            min_bytes=0,
            topics=(m.FetchRequestTopic(name, partitions=(m.FetchRequestTopicPartition(),)),),
        ),
    ),
    (3, 9, lambda name: m.MetadataRequest((m.MetadataRequestTopic(name=name),), allow_auto_topic_creation=False)),
    (20, 5, lambda name: m.DeleteTopicsRequest(topic_names=(name,), timeout_ms=1_000)),
    (
        21,
        2,
        lambda name: m.DeleteRecordsRequest(
            (m.DeleteRecordsRequestTopic(name, (m.DeleteRecordsRequestTopicPartition(0, 0),)),), 1_000
        ),
    ),
    (61, 0, lambda name: m.DescribeProducersRequest((m.DescribeProducersRequestTopic(name, (0,)),))),
    (
        75,
        0,
        lambda name: m.DescribeTopicPartitionsRequest((m.DescribeTopicPartitionsRequestTopic(name),)),
    ),
]


@pytest.mark.parametrize(("key", "version", "asking"), HIDDEN, ids=[requests()[row[0]].name for row in HIDDEN])
async def test_what_one_may_not_see_looks_like_what_is_not_there(key: int, version: int, asking: Any) -> None:  # noqa: ANN401 - makes any request
    async with kafka_server() as server:
        await server.broker.create_topic(server.broker.session(), TopicDefinition(name="there"))
        await add_user(server, Grant(operations=("publish",), pattern="mine"))
        peer = await logged_in(server)

        there, gone = [await peer.ask(key, version, asking(name)) for name in ("there", "other")]

        told = repr(there).replace("there", "NAME").replace("other", "NAME")
        assert told == repr(gone).replace("there", "NAME").replace("other", "NAME")
        assert f"{Code.TOPIC_AUTHORIZATION_FAILED.value}" in told
