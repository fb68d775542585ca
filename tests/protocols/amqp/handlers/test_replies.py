"""Direct reply-to over a real socket: a request finds its way, and so does the answer, without a queue."""

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.properties import decode_properties
from support.amqp import amqp_server, declared

REPLY_TO = "amq.rabbitmq.reply-to"


async def test_a_reply_comes_to_the_channel_that_asked() -> None:
    async with amqp_server() as server:
        asker, worker = await server.connect(), await server.connect()
        await declared(worker)
        await worker.ask(m.BasicConsume(queue="q", no_ack=True))
        await asker.ask(m.BasicConsume(queue=REPLY_TO, consumer_tag="r", no_ack=True))

        asker.publish("q", b"ask", reply_to=REPLY_TO, correlation_id="7")
        request = await worker.message()
        address = decode_properties(request.properties).reply_to or ""
        known = await worker.ask(m.QueueDeclare(queue=address, passive=True))
        worker.publish(address, b"answer", correlation_id="7")
        reply = await asker.message()

        assert address.startswith(f"{REPLY_TO}.")
        assert known == m.QueueDeclareOk(address, 0, 1)
        assert reply.method == m.BasicDeliver("r", 1, redelivered=False, exchange="", routing_key=address)
        assert reply.body == b"answer"


async def test_an_address_ends_with_its_channel() -> None:
    async with amqp_server() as server:
        asker, worker = await server.connect(), await server.connect()
        await declared(worker)
        await asker.ask(m.BasicConsume(queue=REPLY_TO, no_ack=True))
        asker.publish("q", b"ask", reply_to=REPLY_TO)
        await asker.ask(m.ChannelClose(200, ""))
        worker.say(m.BasicGet(queue="q", no_ack=True))
        address = decode_properties((await worker.message()).properties).reply_to or ""

        worker.publish(address, b"late", mandatory=True)
        back = await worker.message()
        close = await worker.ask(m.QueueDeclare(queue=address, passive=True))

        assert isinstance(back.method, m.BasicReturn)
        assert close.reply_code == 404


async def test_a_reply_consumer_cannot_acknowledge_and_is_alone_on_its_channel() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        first = await peer.ask(m.BasicConsume(queue=REPLY_TO))
        peer.say(m.ChannelCloseOk())
        await peer.open()
        await peer.ask(m.BasicConsume(queue=REPLY_TO, no_ack=True))
        second = await peer.ask(m.BasicConsume(queue=REPLY_TO, no_ack=True))

        assert first.reply_text == "PRECONDITION_FAILED - reply consumer cannot acknowledge"
        assert second.reply_text == "PRECONDITION_FAILED - reply consumer already set"
