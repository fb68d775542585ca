"""queue.declare, delete, purge, bind and unbind over a real socket: what is made, what is equal, what is refused."""

from typing import Any

import pytest

from isthmus.definition import QueueDefinition
from isthmus.protocols.amqp import methods as m
from support.amqp import AmqpPeer, amqp_server, declared


async def refused(peer: AmqpPeer, method: m.Method) -> tuple[int, str]:
    close = await peer.ask(method)
    assert isinstance(close, m.ChannelClose), close
    peer.say(m.ChannelCloseOk())
    await peer.open()
    return close.reply_code, close.reply_text.partition(" - ")[2]


async def test_a_queue_is_made_once_and_found_by_who_declares_the_same() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        first = await declared(peer)
        peer.publish("q", b"1")
        again = await declared(peer)
        passive = await declared(peer, passive=True, durable=False)

        assert first == m.QueueDeclareOk("q", 0, 0)
        assert again == passive == m.QueueDeclareOk("q", 1, 0)
        assert server.broker.queue("default", "q").config.lease_ms is None


async def test_a_queue_without_a_name_gets_one_which_stands_for_the_empty_name() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        name = (await declared(peer, "", exclusive=True)).queue
        peer.publish(name, b"1")
        got = await peer.ask(m.BasicGet(queue="", no_ack=True))

        assert name.startswith("amq.gen-")
        assert len(name) == len("amq.gen-") + 22
        assert got.routing_key == name


async def test_names_that_are_reserved_or_missing_are_refused() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        assert await refused(peer, m.QueueDeclare(queue="amq.x")) == (
            403,
            "queue name 'amq.x' contains reserved prefix 'amq.*'",
        )
        assert await refused(peer, m.BasicGet(queue="")) == (404, "no previously declared queue")
        assert await refused(peer, m.QueueBind(queue="none", exchange="amq.direct")) == (
            404,
            "no queue 'none' in vhost '/'",
        )


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            {"durable": False},
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
        ),
        (
            {"auto_delete": True},
            "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        ),
        (
            {"arguments": {"x-message-ttl": 5}},
            (
                "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received the value '5' of type"
                " 'signedint' but current is none"
            ),
        ),
    ],
)
async def test_another_declaration_of_a_queue_is_refused(asked: dict[str, Any], text: str) -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)

        found = await refused(peer, m.QueueDeclare(queue="q", **({"durable": True} | asked)))

        assert found == (406, text)


async def test_an_exclusive_queue_is_its_connection_s_and_goes_with_it() -> None:
    async with amqp_server() as server:
        owner, other = await server.connect(), await server.connect()
        await declared(owner, exclusive=True)

        code, text = await refused(other, m.QueueDeclare(queue="q", passive=True))
        owner.say(m.ConnectionClose(200, ""), 0)
        await owner.hear(m.ConnectionCloseOk, 0)
        gone = await refused(other, m.QueueDeclare(queue="q", passive=True))

        assert code == 405
        assert text.startswith(
            "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally"
        )
        assert gone[0] == 404


async def test_deleting_answers_how_much_was_there_and_is_idempotent() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        peer.publish("q", b"1")

        assert await refused(peer, m.QueueDelete(queue="q", if_empty=True)) == (406, "queue 'q' in vhost '/' not empty")
        await peer.ask(m.BasicConsume(queue="q"))
        await peer.message()
        assert await refused(peer, m.QueueDelete(queue="q", if_unused=True)) == (406, "queue 'q' in vhost '/' in use")
        assert await peer.ask(m.QueueDelete(queue="q")) == m.QueueDeleteOk(1)
        assert await peer.ask(m.QueueDelete(queue="q")) == m.QueueDeleteOk(0)


async def test_purging_leaves_what_is_delivered_and_open() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        for body in (b"1", b"2", b"3"):
            peer.publish("q", body)
        await peer.ask(m.BasicGet(queue="q"))

        purged = await peer.ask(m.QueuePurge(queue="q"))

        assert purged == m.QueuePurgeOk(2)
        assert server.broker.queue("default", "q").counts().leased == 1


async def test_a_binding_routes_until_it_is_taken_away() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)

        await peer.ask(m.QueueBind(queue="q", exchange="amq.topic", routing_key="a.*"))
        peer.publish("a.b", b"1", exchange="amq.topic")
        peer.publish("b.b", b"2", exchange="amq.topic")
        await peer.ask(m.QueueUnbind(queue="q", exchange="amq.topic", routing_key="a.*"))
        peer.publish("a.b", b"3", exchange="amq.topic")
        await peer.ask(m.QueueUnbind(queue="q", exchange="amq.topic", routing_key="a.*"))

        assert (await declared(peer)).message_count == 1


async def test_a_queue_that_is_not_durable_does_not_survive_a_restart_of_the_store() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, durable=False)

        found = server.broker.catalog.queue_sets[server.broker.queue("default", "q").id]

        assert found.lifetime == "process"


async def test_the_default_exchange_cannot_be_bound() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)

        found = await refused(peer, m.QueueBind(queue="q", exchange=""))

        assert found == (403, "operation not permitted on the default exchange")


async def test_an_exclusive_queue_goes_although_its_connection_was_lost_while_it_was_made() -> None:
    async with amqp_server() as server:
        session = server.broker.session()
        asked = QueueDefinition(name="q", lifetime="session")
        making = server.broker.create_queue(session, asked)
        session.end()

        await making
        await server.broker.quiet("topic", "default", "q")

        assert ("default", "q") not in server.broker.catalog.queue_names
        assert server.broker.catalog.owners == {}
