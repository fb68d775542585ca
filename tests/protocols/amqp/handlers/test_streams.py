"""Streams, which are made and bound, and whose reading is refused by name for now."""

from isthmus.protocols.amqp import methods as m
from support.amqp import amqp_server, declared


async def test_a_stream_is_a_topic() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "s", arguments={"x-queue-type": "stream"})
        peer.publish("s", b"1")
        await declared(peer, "s", arguments={"x-queue-type": "stream"})

        assert server.broker.topic("default", "s").partitions[0].high_watermark == 1
        peer.say(m.BasicConsume(queue="s"))
        assert (await peer.hear(m.ConnectionClose, 0)).reply_code == 540
