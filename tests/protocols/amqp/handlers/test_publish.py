"""basic.publish over a real socket: routing, returns, confirms, refusals, and how batches are gathered."""

import pytest

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Brought
from isthmus.protocols.amqp.properties import decode_properties
from isthmus.protocols.amqp.table import Table
from support.amqp import AmqpPeer, amqp_server, declared


async def confirming(peer: AmqpPeer) -> None:
    assert isinstance(await peer.ask(m.ConfirmSelect()), m.ConfirmSelectOk)


async def confirmed(peer: AmqpPeer, up_to: int) -> list[m.BasicAck | m.BasicNack]:
    found: list[m.BasicAck | m.BasicNack] = []
    while not found or found[-1].delivery_tag < up_to:
        method = (await peer.next()).method
        assert isinstance(method, m.BasicAck | m.BasicNack)
        found.append(method)
    return found


async def test_pipelined_messages_are_one_batch_and_their_confirms_are_few() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        await confirming(peer)
        for number in range(100):
            peer.publish("q", b"%d" % number, delivery_mode=2, message_id=str(number))
        acks = await confirmed(peer, 100)

        assert all(isinstance(each, m.BasicAck) for each in acks)
        assert len(acks) <= 5
        assert server.broker.topic("default", "q").partitions[0].high_watermark == 100


async def test_a_message_that_nobody_takes_comes_back_before_it_is_confirmed() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await confirming(peer)

        peer.publish("none", b"1", mandatory=True, app_id="a")
        back = await peer.message()
        (ack,) = await confirmed(peer, 1)

        assert back.method == m.BasicReturn(312, "NO_ROUTE", "", "none")
        assert back.body == b"1"
        assert ack == m.BasicAck(1)


async def test_one_that_is_not_mandatory_is_only_confirmed() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await confirming(peer)

        peer.publish("none", b"1")

        assert await confirmed(peer, 1) == [m.BasicAck(1)]


async def test_copies_go_to_the_keys_of_cc_and_bcc_and_nobody_sees_the_latter() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        for name in "abc":
            await declared(peer, name)

        peer.publish("a", b"1", headers={"CC": ["b"], "BCC": ["c"], "x": 1})
        peer.say(m.BasicGet(queue="a", no_ack=True))
        first = await peer.message()
        counts = [(await declared(peer, name)).message_count for name in "bc"]

        assert counts == [1, 1]
        assert b"BCC" not in first.properties
        assert b"\x02CC" in first.properties


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"exchange": "none"}, (404, "no exchange 'none' in vhost '/'")),
        ({"exchange": "amq.rabbitmq.trace"}, (403, "cannot publish to internal exchange 'amq.rabbitmq.trace'")),
        ({"expiration": "abc"}, (406, "invalid expiration 'abc'")),
        ({"expiration": "315360000001"}, (406, "invalid expiration")),
        ({"user_id": "eve"}, (406, "user_id property set to 'eve' but authenticated user was 'guest'")),
        ({"headers": {"CC": "b"}}, (406, "CC header must be an array of strings")),
        ({"reply_to": "amq.rabbitmq.reply-to"}, (406, "fast reply consumer does not exist")),
    ],
)
async def test_what_cannot_be_published_closes_the_channel(given: dict[str, object], text: tuple[int, str]) -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        peer.publish("q", b"1", **given)  # type: ignore[arg-type]
        close = await peer.hear(m.ChannelClose)

        assert close.reply_code == text[0]
        assert text[1] in close.reply_text
        assert (close.class_id, close.method_id) == (60, 40)


async def test_messages_before_a_refused_one_are_published() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)

        peer.publish("q", b"1")
        peer.publish("q", b"2", expiration="x")
        await peer.hear(m.ChannelClose)
        peer.say(m.ChannelCloseOk())
        await peer.open()

        assert (await declared(peer)).message_count == 1


async def test_immediate_is_refused() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        from isthmus.protocols.amqp.codec import content_frames
        from isthmus.protocols.amqp.properties import NONE

        peer.send(content_frames(1, m.BasicPublish(0, "", "q", immediate=True), NONE, b"", 8_192))
        close = await peer.hear(m.ConnectionClose, 0)

        assert (close.reply_code, close.reply_text) == (540, "NOT_IMPLEMENTED - immediate=true")


async def test_a_large_message_comes_back_in_frames_of_the_agreed_size() -> None:
    async with amqp_server() as server:
        peer = await server.connect(frame_max=8_192)
        await declared(peer)
        body = bytes(range(256)) * 1_200
        from isthmus.protocols.amqp.codec import content_frames
        from isthmus.protocols.amqp.properties import NONE

        peer.wire.frame_bytes_max = 8_192
        peer.send(content_frames(1, m.BasicPublish(0, "", "q"), NONE, body, 8_192))
        peer.say(m.BasicGet(queue="q", no_ack=True))

        assert (await peer.message()).body == body


async def test_headers_decide_message_by_message() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        binding = m.QueueBind(queue="q", exchange="amq.headers", arguments={"x-match": "all", "kind": "a", "n": 1})
        await peer.ask(binding)

        for headers in ({"kind": "a", "n": 1}, {"kind": "b", "n": 1}, {"kind": "a", "n": 1, "more": True}):
            peer.publish("", b"1", exchange="amq.headers", headers=headers)

        assert (await declared(peer)).message_count == 2


async def test_messages_for_several_queues_in_turn_are_one_batch_a_queue_and_keep_their_order() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        for name in "abc":
            await declared(peer, name)
        await confirming(peer)
        before = server.broker.journal.batches_appended

        for number in range(90):
            peer.publish("abc"[number % 3], b"%d" % number)
        acks = await confirmed(peer, 90)

        assert all(isinstance(each, m.BasicAck) for each in acks)
        assert len(acks) <= 30
        assert server.broker.journal.batches_appended - before <= 60
        assert [await bodies(peer, name) for name in "abc"] == [list(range(at, 90, 3)) for at in range(3)]


async def test_a_queue_that_refuses_gets_only_its_own_messages_refused() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "a")
        await declared(peer, "full", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        peer.publish("full", b"0")
        await declared(peer, "b")
        await confirming(peer)

        for name in ("a", "full", "a", "full", "full", "a"):
            peer.publish(name, b"x")
        answers = await confirmed(peer, 6)

        taken: dict[int, bool] = {}
        for answer in answers:
            first = answer.delivery_tag if not answer.multiple else len(taken) + 1
            for number in range(first, answer.delivery_tag + 1):
                taken[number] = isinstance(answer, m.BasicAck)
        assert list(taken.values()) == [True, False, True, False, False, True]


async def test_by_an_exchange_nothing_overtakes() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "q")
        for key in ("a", "b"):
            await peer.ask(m.QueueBind(queue="q", exchange="amq.direct", routing_key=key))

        for number in range(20):
            if number % 4 == 3:
                peer.publish("q", b"%d" % number)
            else:
                peer.publish("ab"[number % 2], b"%d" % number, exchange="amq.direct")

        assert await bodies(peer, "q", 20) == list(range(20))


async def bodies(peer: AmqpPeer, name: str, count: int | None = None) -> list[int]:
    found: list[int] = []
    for _ in range(count if count is not None else (await declared(peer, name)).message_count):
        peer.say(m.BasicGet(queue=name, no_ack=True))
        found.append(int((await peer.message()).body))
    return found


async def test_a_full_queue_takes_as_much_of_a_burst_as_fits_and_refuses_the_rest() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, arguments={"x-max-length": 3, "x-overflow": "reject-publish"})
        await confirming(peer)

        for number in range(6):
            peer.publish("q", b"%d" % number)
        answers = await confirmed(peer, 6)

        told = {number for each in answers if isinstance(each, m.BasicNack) for number in [each.delivery_tag]}
        assert isinstance(answers[0], m.BasicAck)
        assert max(told) == 6
        assert server.broker.queue("default", "q").counts().ready == 3


async def test_a_delayed_exchange_keeps_a_message_until_it_is_due() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        arguments: Table = {"x-delayed-type": "direct"}
        await peer.ask(m.ExchangeDeclare(exchange="later", kind="x-delayed-message", arguments=arguments))
        await peer.ask(m.QueueBind(queue="q", exchange="later", routing_key="k"))
        await peer.ask(m.BasicConsume(queue="q", no_ack=True))
        await peer.ask(m.ConfirmSelect())

        peer.publish("k", b"late", exchange="later", mandatory=True, headers={"x-delay": 150, "a": "b"})
        await peer.hear(m.BasicAck)  # it is kept, whoever will take it, so it does not return
        peer.publish("k", b"now", exchange="later")
        heard = [await peer.next() for _ in range(3)]

        assert [each.body for each in heard if isinstance(each, Brought)] == [b"now", b"late"]
        last = heard[-1]
        assert isinstance(last, Brought)
        assert decode_properties(last.properties).headers == {"x-delay": -150, "a": "b"}


async def test_a_queue_that_knows_messages_by_their_ids_takes_each_once() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "once", arguments={"x-message-deduplication": True})
        await declared(peer)
        await peer.ask(m.ExchangeDeclare(exchange="both", kind="fanout"))
        for queue in ("once", "q"):
            await peer.ask(m.QueueBind(queue=queue, exchange="both"))
        await confirming(peer)

        for body, message_id in ((b"1", "a"), (b"2", "b"), (b"3", "a"), (b"4", None)):
            peer.publish("", body, exchange="both", message_id=message_id)
        await confirmed(peer, 4)

        assert await bodies(peer, "once", 3) == [1, 2, 4]
        assert await bodies(peer, "q", 4) == [1, 2, 3, 4]
