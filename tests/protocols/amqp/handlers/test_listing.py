"""Connections over AMQP in the broker's list: who they are, how their channels stand, and that they can be ended."""

from isthmus.protocols.amqp import methods as m
from support.amqp import amqp_server, declared


async def test_a_connection_is_listed_with_its_channels_while_it_lasts() -> None:
    async with amqp_server() as server:
        peer = await server.connect(heartbeat=30)
        await declared(peer)
        await peer.ask(m.ConfirmSelect())
        await peer.ask(m.BasicQos(0, 7))
        peer.publish("q", b"1")
        await peer.hear(m.BasicAck)
        peer.say(m.BasicGet(queue="q"))
        await peer.message()

        (shown,) = list(server.broker.connections)
        figures = shown.channels[1].figures()
        peer.say(m.ChannelClose(200, ""))
        await peer.hear(m.ChannelCloseOk)
        left = dict(shown.channels)
        peer.say(m.ConnectionClose(200, ""), 0)
        await peer.hear(m.ConnectionCloseOk, 0)
        await peer.is_closed()

        assert (shown.protocol, shown.principal, shown.namespace) == ("AMQP 0-9-1", "guest", "default")
        assert (shown.mechanism, shown.terms["heartbeat_s"], shown.terms["channels_max"]) == ("PLAIN", 30, 2_047)
        assert (figures.prefetch, figures.unsettled, figures.unconfirmed, figures.confirms) == (7, 1, 0, True)
        assert left == {}
        assert len(server.broker.connections) == 0


async def test_a_connection_can_be_ended_from_the_list() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        (shown,) = list(server.broker.connections)

        shown.close("Closed by an operator")
        close = await peer.hear(m.ConnectionClose, 0)

        assert (close.reply_code, close.reply_text) == (320, "CONNECTION_FORCED - Closed by an operator")
