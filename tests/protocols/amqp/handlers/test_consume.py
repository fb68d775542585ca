"""basic.consume, cancel, get and qos over a real socket: prefetch, order, priorities, who is told when a queue goes."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from isthmus.log.commit import Writer
from isthmus.log.storage import RealStorage
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Brought
from support.amqp import AmqpPeer, amqp_server, declared


async def filled(peer: AmqpPeer, count: int, name: str = "q") -> None:
    await declared(peer, name)
    for number in range(count):
        peer.publish(name, b"%d" % number)


async def bodies(peer: AmqpPeer, count: int) -> list[bytes]:
    return [(await peer.message()).body for _ in range(count)]


def tag_of(message: Brought) -> int:
    assert isinstance(message.method, m.BasicDeliver | m.BasicGetOk)
    return message.method.delivery_tag


async def left(peer: AmqpPeer, name: str = "q") -> int:
    return (await declared(peer, name)).message_count


async def test_a_consumer_gets_what_there_is_and_what_comes() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 2)

        ok = await peer.ask(m.BasicConsume(queue="q", no_ack=True))
        first = await bodies(peer, 2)
        peer.publish("q", b"2")

        assert ok.consumer_tag.startswith("amq.ctag-")
        assert first == [b"0", b"1"]
        assert await bodies(peer, 1) == [b"2"]


async def test_prefetch_bounds_what_is_open() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 5)
        await peer.ask(m.BasicQos(0, 2))
        await peer.ask(m.BasicConsume(queue="q", consumer_tag="c"))

        first = [await peer.message() for _ in range(2)]
        assert await left(peer) == 3
        peer.say(m.BasicAck(tag_of(first[0])))

        assert await bodies(peer, 1) == [b"2"]
        assert await left(peer) == 2


async def test_a_prefetch_of_the_channel_is_shared_by_its_consumers() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 3, "a")
        await filled(peer, 3, "b")
        await peer.ask(m.BasicQos(0, 2, everywhere=True))
        peer.say(m.BasicConsume(queue="a", consumer_tag="a"))
        peer.say(m.BasicConsume(queue="b", consumer_tag="b"))

        seen = [await peer.next() for _ in range(4)]
        delivered = [each for each in seen if isinstance(each, Brought)]
        assert await left(peer, "a") + await left(peer, "b") == 4
        peer.say(m.BasicAck(0, multiple=True))

        assert len(delivered) == 2
        assert len(await bodies(peer, 2)) == 2
        assert await left(peer, "a") + await left(peer, "b") == 2


async def test_a_consumer_of_higher_priority_is_served_first() -> None:
    async with amqp_server() as server:
        low, high = await server.connect(), await server.connect()
        await declared(low)
        for peer, priority in ((low, 1), (high, 5)):
            await peer.ask(m.BasicQos(0, 1))
            await peer.ask(m.BasicConsume(queue="q", arguments={"x-priority": priority}))

        low.publish("q", b"1")
        low.publish("q", b"2")

        assert await bodies(high, 1) == [b"1"]
        assert await bodies(low, 1) == [b"2"]


async def test_a_cancelled_consumer_gets_nothing_more_and_may_settle_what_it_has() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 1)
        await peer.ask(m.BasicConsume(queue="q", consumer_tag="c"))
        message = await peer.message()

        ok = await peer.ask(m.BasicCancel("c"))
        again = await peer.ask(m.BasicCancel("c"))
        peer.publish("q", b"later")
        peer.say(m.BasicAck(tag_of(message)))

        assert ok == again == m.BasicCancelOk("c")
        assert await left(peer) == 1


async def test_what_a_consumer_without_acknowledgements_took_comes_before_its_cancellation_is_confirmed() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 2_000)
        peer.say(m.BasicConsume(queue="q", consumer_tag="c", no_ack=True))
        peer.say(m.BasicCancel("c"))
        kinds: list[type[m.Method]] = []

        while not kinds or kinds[-1] is not m.BasicCancelOk:
            kinds.append(type((await peer.next()).method))
        behind = await peer.ask(m.QueueDeclare(queue="q", durable=True))

        counts = server.broker.queue("default", "q").counts()
        assert kinds.count(m.BasicDeliver) == counts.acked == 2_000 - counts.ready
        assert isinstance(behind, m.QueueDeclareOk)


@pytest.mark.parametrize("no_ack", [False, True])
async def test_a_queue_that_ends_with_its_last_consumer_is_gone_when_the_cancellation_is_confirmed(
    no_ack: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Writer._write

    def slowly(self: Writer, buffers: Sequence[bytes], *, sync: bool) -> None:
        time.sleep(0.02)
        write(self, buffers, sync=sync)

    monkeypatch.setattr(Writer, "_write", slowly)
    async with amqp_server(RealStorage(str(tmp_path / "store"))) as server:
        peer = await server.connect()
        await declared(peer, durable=False, auto_delete=True)
        await peer.ask(m.BasicConsume(queue="q", consumer_tag="c", no_ack=no_ack))

        assert isinstance(await peer.ask(m.BasicCancel("c")), m.BasicCancelOk)

        assert "q" not in {name for _, name in server.broker.catalog.queue_names}


async def test_who_consumes_from_a_queue_that_goes_is_told() -> None:
    async with amqp_server() as server:
        peer, other = await server.connect(), await server.connect()
        await declared(peer)
        await peer.ask(m.BasicConsume(queue="q", consumer_tag="c"))

        await other.ask(m.QueueDelete(queue="q"))

        assert await peer.hear(m.BasicCancel) == m.BasicCancel("c", nowait=True)


async def test_an_exclusive_consumer_is_alone_until_it_goes() -> None:
    async with amqp_server() as server:
        peer, other = await server.connect(), await server.connect()
        await declared(peer)
        await peer.ask(m.BasicConsume(queue="q", consumer_tag="c", exclusive=True))

        close = await other.ask(m.BasicConsume(queue="q"))
        other.say(m.ChannelCloseOk())
        await other.open()
        await peer.ask(m.BasicCancel("c"))
        ok = await other.ask(m.BasicConsume(queue="q"))

        assert (close.reply_code, close.reply_text) == (
            403,
            "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
        )
        assert isinstance(ok, m.BasicConsumeOk)


@pytest.mark.parametrize(
    ("method", "code", "text"),
    [
        (m.BasicConsume(queue="q", consumer_tag="c"), 530, "NOT_ALLOWED - attempt to reuse consumer tag 'c'"),
        (m.BasicQos(5, 1), 540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)"),
    ],
)
async def test_what_ends_the_connection(method: m.Method, code: int, text: str) -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        await peer.ask(m.BasicConsume(queue="q", consumer_tag="c"))

        peer.say(method)
        close = await peer.hear(m.ConnectionClose, 0)

        assert (close.reply_code, close.reply_text) == (code, text)


async def test_getting_takes_one_and_says_how_many_are_left() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 2)

        peer.say(m.BasicGet(queue="q"))
        message = await peer.message()
        peer.say(m.BasicGet(queue="q", no_ack=True))
        taken = await peer.message()
        empty = await peer.ask(m.BasicGet(queue="q"))

        assert message.method == m.BasicGetOk(1, redelivered=False, exchange="", routing_key="q", message_count=1)
        assert taken.body == b"1"
        assert isinstance(empty, m.BasicGetEmpty)


async def test_a_consumer_without_acknowledgements_gets_more_than_its_window() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await filled(peer, 2_500)
        await peer.ask(m.BasicConsume(queue="q", no_ack=True))

        found = await bodies(peer, 2_500)

        assert found == [b"%d" % number for number in range(2_500)]


async def test_properties_come_back_as_they_were_sent() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer)
        raw = b"\xf8\x00\x01a\x02bc\x00\x00\x00\x05\x01kt\x01\x00\x02\x07"

        peer.publish("q", b"1", raw=raw[:2] + b"\x01a\x02bc\x00\x00\x00\x04\x01kt\x01\x02\x07")
        peer.say(m.BasicGet(queue="q", no_ack=True))
        message = await peer.message()

        assert message.properties == b"\xf8\x00\x01a\x02bc\x00\x00\x00\x04\x01kt\x01\x02\x07"
