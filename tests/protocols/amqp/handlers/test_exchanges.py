"""exchange.declare, delete, bind and unbind over a real socket: kinds, properties, what there is from the beginning."""

import asyncio
from pathlib import Path

import pytest

from isthmus.clock import SystemClock
from isthmus.log.storage import RealStorage
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.handlers.exchanges import PREDECLARED
from isthmus.protocols.amqp.table import Table
from support.amqp import AmqpPeer, amqp_server, declared


async def refused(peer: AmqpPeer, method: m.Method) -> tuple[int, str]:
    close = await peer.ask(method)
    assert isinstance(close, m.ChannelClose), close
    return close.reply_code, close.reply_text.partition(" - ")[2]


async def test_every_virtual_host_has_its_exchanges_from_the_beginning() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        for name in ("", *PREDECLARED):
            assert isinstance(await peer.ask(m.ExchangeDeclare(exchange=name, passive=True)), m.ExchangeDeclareOk)
        again = await peer.ask(m.ExchangeDeclare(exchange="amq.topic", kind="topic", durable=True))

        assert isinstance(again, m.ExchangeDeclareOk)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (m.ExchangeDeclare(exchange="none", passive=True), (404, "no exchange 'none' in vhost '/'")),
        (m.ExchangeDeclare(exchange="x", kind="odd"), (406, "unknown exchange type 'odd'")),
        (
            m.ExchangeDeclare(exchange="amq.x", kind="fanout"),
            (403, "exchange name 'amq.x' contains reserved prefix 'amq.*'"),
        ),
        (m.ExchangeDeclare(exchange="", kind="direct"), (403, "operation not permitted on the default exchange")),
        (
            m.ExchangeDeclare(exchange="amq.topic", kind="fanout", durable=True),
            (406, "inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': received 'fanout' but current is"),
        ),
        (
            m.ExchangeDeclare(exchange="amq.topic", kind="topic"),
            (406, "inequivalent arg 'durable' for exchange 'amq.topic' in vhost '/': received 'false' but current is"),
        ),
        (m.ExchangeDeclare(exchange="x", kind="x-delayed-message"), (406, "invalid arg 'x-delayed-type'")),
        (m.ExchangeDelete(exchange=""), (403, "operation not permitted on the default exchange")),
        (
            m.ExchangeDelete(exchange="amq.topic"),
            (403, "exchange name 'amq.topic' contains reserved prefix 'amq.*'"),
        ),
        (m.ExchangeBind(destination="none", source="amq.topic"), (404, "no exchange 'none' in vhost '/'")),
        (m.ExchangeBind(destination="", source="amq.topic"), (403, "operation not permitted on the default exchange")),
    ],
)
async def test_what_cannot_be_is_refused_in_words(method: m.Method, answer: tuple[int, str]) -> None:
    async with amqp_server() as server:
        code, text = await refused(await server.connect(), method)

        assert code == answer[0]
        assert text.startswith(answer[1])


async def test_an_exchange_that_is_bound_is_in_use() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        await peer.ask(m.ExchangeDeclare(exchange="x", kind="fanout", durable=True))
        await peer.ask(m.QueueBind(queue="q", exchange="x"))

        refusal = await refused(peer, m.ExchangeDelete(exchange="x", if_unused=True))
        peer.say(m.ChannelCloseOk())
        await peer.open()
        gone = [await peer.ask(m.ExchangeDelete(exchange="x")) for _ in range(2)]

        assert refusal == (406, "exchange 'x' in vhost '/' in use")
        assert gone == [m.ExchangeDeleteOk()] * 2


async def test_what_reaches_one_exchange_reaches_those_that_are_bound_to_it() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        await peer.ask(m.ExchangeDeclare(exchange="x", kind="fanout", internal=True))
        await peer.ask(m.ExchangeBind(destination="x", source="amq.topic", routing_key="#.a"))
        await peer.ask(m.QueueBind(queue="q", exchange="x"))

        peer.publish("b.a", b"1", exchange="amq.topic")
        await peer.ask(m.ExchangeUnbind(destination="x", source="amq.topic", routing_key="#.a"))
        peer.publish("b.a", b"2", exchange="amq.topic")

        assert (await declared(peer)).message_count == 1


async def test_what_finds_no_way_goes_to_the_alternate_exchange() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        await peer.ask(m.QueueBind(queue="q", exchange="amq.fanout"))
        arguments: Table = {"alternate-exchange": "amq.fanout"}
        await peer.ask(m.ExchangeDeclare(exchange="x", kind="direct", arguments=arguments))

        peer.publish("none", b"1", exchange="x")

        assert (await declared(peer)).message_count == 1


async def test_an_auto_delete_exchange_goes_with_its_last_binding() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        await peer.ask(m.ExchangeDeclare(exchange="x", kind="fanout", auto_delete=True))
        await peer.ask(m.QueueBind(queue="q", exchange="x"))
        await peer.ask(m.QueueUnbind(queue="q", exchange="x"))

        assert (await refused(peer, m.ExchangeDeclare(exchange="x", passive=True)))[0] == 404


async def test_clients_that_bind_and_remove_the_same_at_once_are_told_what_is_missing_and_stay_connected(
    tmp_path: Path,
) -> None:
    bound = m.QueueBind(queue="q", exchange="x", routing_key="k")
    async with amqp_server(RealStorage(tmp_path / "store"), SystemClock()) as server:
        peers = [await server.connect() for _ in range(3)]
        await declared(peers[0])

        for number in range(2, 22):
            for peer in peers:
                await peer.ask(m.ChannelOpen(), channel=number)
            await peers[0].ask(m.ExchangeDeclare(exchange="x", kind="direct", auto_delete=True), channel=number)
            for peer in peers[:2]:
                peer.say(bound, channel=number)
                await asyncio.sleep(0)
            peers[2].say(m.ExchangeDelete(exchange="x"), channel=number)
            answers = [(await peer.next()).method for peer in peers]

            closed = [each for each in answers if isinstance(each, m.ChannelClose)]
            assert all(isinstance(each, (m.QueueBindOk, m.ExchangeDeleteOk, m.ChannelClose)) for each in answers)
            assert {each.reply_code for each in closed} <= {404}
