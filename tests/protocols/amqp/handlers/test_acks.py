"""basic.ack, nack, reject and recover over a real socket: what is settled, what comes again, and what that counts."""

import asyncio
from typing import Any

from isthmus.clock import ManualClock
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import method_frame
from isthmus.protocols.amqp.connection import Brought
from isthmus.protocols.amqp.properties import decode_properties
from support.amqp import PATIENCE_S, AmqpPeer, amqp_server, declared

QUORUM = {"x-queue-type": "quorum"}


async def delivered(peer: AmqpPeer) -> tuple[m.BasicDeliver, bytes, dict[str, object]]:
    message = await peer.message()
    assert isinstance(message, Brought)
    assert isinstance(message.method, m.BasicDeliver)
    headers = decode_properties(message.properties).headers or {}
    return message.method, message.body, dict(headers)


async def consuming(peer: AmqpPeer, count: int = 1, **given: Any) -> None:
    await declared(peer, **given)
    for number in range(count):
        peer.publish("q", b"%d" % number)
    await peer.ask(m.BasicConsume(queue="q", consumer_tag="c"))


async def test_an_acknowledged_message_is_gone_and_its_tag_too() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer)
        method, _, _ = await delivered(peer)

        peer.say(m.BasicAck(method.delivery_tag))
        peer.say(m.BasicAck(method.delivery_tag))
        close = await peer.hear(m.ChannelClose)

        assert (close.reply_code, close.reply_text) == (406, "PRECONDITION_FAILED - unknown delivery tag 1")
        assert (close.class_id, close.method_id) == (60, 80)
        assert server.broker.queue("default", "q").counts().acked == 1


async def test_acknowledgements_are_synced_before_the_next_answer_and_not_before() -> None:
    async with amqp_server(clock=ManualClock()) as server:
        peer = await server.connect()
        await consuming(peer, 3)
        tags = [(await delivered(peer))[0].delivery_tag for _ in range(3)]
        journal, queue = server.broker.journal, server.broker.queue("default", "q")

        for tag in tags:
            peer.say(m.BasicAck(tag))
        async with asyncio.timeout(PATIENCE_S):
            while queue.counts().acked < 3:  # noqa: ASYNC110 - nothing is answered that could be waited for
                await asyncio.sleep(0.001)
        written = journal.written_lsn
        durable = journal.durable_lsn
        await declared(peer)

        assert durable < written <= journal.durable_lsn


async def test_multiple_settles_all_up_to_a_tag() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer, 4)
        tags = [(await delivered(peer))[0].delivery_tag for _ in range(4)]

        peer.say(m.BasicAck(tags[2], multiple=True))
        await declared(peer)

        counts = server.broker.queue("default", "q").counts()
        assert (counts.acked, counts.leased) == (3, 1)


async def test_what_is_given_back_comes_again_in_its_old_order_with_new_tags() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer, 3)
        first = [await delivered(peer) for _ in range(3)]

        peer.say(m.BasicNack(first[1][0].delivery_tag, multiple=True, requeue=True))
        again = [await delivered(peer) for _ in range(2)]

        assert [body for _, body, _ in again] == [b"0", b"1"]
        assert [method.delivery_tag for method, _, _ in again] == [4, 5]
        assert all(method.redelivered for method, _, _ in again)


async def test_a_nack_does_not_count_towards_the_delivery_limit_and_a_reject_does() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer, arguments=QUORUM | {"x-delivery-limit": 1})

        seen = []
        for requeue in (m.BasicNack, m.BasicNack, m.BasicReject, m.BasicReject):
            method, _, headers = await delivered(peer)
            seen.append((headers.get("x-acquired-count"), headers.get("x-delivery-count")))
            peer.say(requeue(method.delivery_tag, requeue=True))
        await declared(peer, arguments=QUORUM | {"x-delivery-limit": 1})

        assert seen == [(None, None), (1, None), (2, None), (3, 1)]
        assert server.broker.queue("default", "q").counts().dead == 1


async def test_a_classic_queue_has_no_limit_and_shows_no_counts() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer)

        for _ in range(30):
            method, _, headers = await delivered(peer)
            assert headers == {}
            peer.say(m.BasicReject(method.delivery_tag, requeue=True))

        assert (await delivered(peer))[0].redelivered


async def test_what_is_rejected_for_good_is_gone() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer, 2)
        first, second = [(await delivered(peer))[0].delivery_tag for _ in range(2)]

        peer.say(m.BasicReject(first))
        peer.say(m.BasicNack(second))
        await declared(peer)

        assert server.broker.queue("default", "q").counts().rejected == 2


async def test_recovering_gives_back_all_that_is_open() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        peer.publish("q", b"0")
        await peer.ask(m.BasicGet(queue="q"))

        ok = await peer.ask(m.BasicRecover(requeue=True))
        again = await peer.ask(m.BasicGet(queue="q"))

        assert isinstance(ok, m.BasicRecoverOk)
        assert again.redelivered


async def test_recovering_without_requeue_is_refused() -> None:
    async with amqp_server() as server:
        peer = await server.connect()

        peer.say(m.BasicRecover(requeue=False))

        assert (await peer.hear(m.ConnectionClose, 0)).reply_code == 540


async def test_what_a_lost_connection_held_comes_again_to_others() -> None:
    async with amqp_server() as server:
        peer, other = await server.connect(), await server.connect()
        await consuming(peer)
        await delivered(peer)

        await peer.close()
        await other.ask(m.BasicConsume(queue="q"))
        method, body, _ = await delivered(other)

        assert (body, method.redelivered) == (b"0", True)


async def test_acknowledgements_in_one_go_settle_each_and_stop_at_a_tag_that_is_not_open() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer, 5)
        tags = [(await delivered(peer))[0].delivery_tag for _ in range(5)]

        peer.send(b"".join(method_frame(1, m.BasicAck(tag)) for tag in [*tags[:3], 99, *tags[3:]]))
        close = await peer.hear(m.ChannelClose)

        assert close.reply_text == "PRECONDITION_FAILED - unknown delivery tag 99"
        assert server.broker.queue("default", "q").counts().acked == 3


async def test_acknowledgements_behind_a_method_wait_for_it() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await consuming(peer, 3)
        tags = [(await delivered(peer))[0].delivery_tag for _ in range(3)]

        peer.send(
            method_frame(1, m.QueueDeclare(queue="other", durable=True))
            + b"".join(method_frame(1, m.BasicAck(tag)) for tag in tags)
        )
        await peer.hear(m.QueueDeclareOk)
        await declared(peer)

        assert server.broker.queue("default", "q").counts().acked == 3
