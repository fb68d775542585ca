"""Streams over AMQP: where a consumer begins, what it gets, and what makes room for more."""

import pytest

from isthmus.definition import TopicDefinition
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Brought
from isthmus.protocols.amqp.properties import Properties, decode_properties
from isthmus.protocols.amqp.table import Table, Timestamp
from isthmus.record import Record
from support.amqp import AmqpPeer, AmqpServer, amqp_server, declared

STREAM: Table = {"x-queue-type": "stream"}


async def stream(peer: AmqpPeer, count: int, name: str = "s") -> None:
    await declared(peer, name, arguments=STREAM)
    for number in range(count):
        peer.publish(name, b"%d" % number)
        await declared(peer, name, passive=True)  # each in a batch of its own


async def consumed(peer: AmqpPeer, offset: object = None, prefetch: int = 100, **more: object) -> None:
    await peer.ask(m.BasicQos(0, prefetch))
    arguments: Table = {} if offset is None else {"x-stream-offset": offset}  # type: ignore[dict-item]
    arguments.update(more)  # type: ignore[arg-type]
    answer = await peer.ask(m.BasicConsume(queue="s", consumer_tag="c", arguments=arguments))
    assert isinstance(answer, m.BasicConsumeOk), answer


async def silent(peer: AmqpPeer) -> bool:
    """Whether nothing more comes."""
    await peer.open(99)
    found = await peer.silent()
    peer.say(m.ChannelCloseOk(), 99)
    return found


async def bodies(peer: AmqpPeer, count: int) -> list[bytes]:
    return [(await peer.message()).body for _ in range(count)]


def properties_of(message: Brought) -> Properties:
    return decode_properties(message.properties)


@pytest.mark.parametrize(
    ("offset", "wanted"),
    [
        ("first", ["0", "1", "2", "new"]),
        ("last", ["2", "new"]),
        ("next", ["new"]),
        (None, ["new"]),
        (1, ["1", "2", "new"]),
        (99, ["new"]),
        (Timestamp(0), ["0", "1", "2", "new"]),
        (Timestamp(4_000_000_000), ["new"]),
        ("1h", ["0", "1", "2", "new"]),
    ],
)
async def test_a_consumer_begins_where_it_says(offset: object, wanted: list[str]) -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await stream(peer, 3)

        await consumed(peer, offset)
        peer.publish("s", b"new")

        assert await bodies(peer, len(wanted)) == [each.encode() for each in wanted]
        assert await silent(peer)


async def test_each_delivery_says_its_offset_and_an_acknowledgement_only_makes_room() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await stream(peer, 3)
        await consumed(peer, "first", prefetch=2)
        two = [await peer.message() for _ in range(2)]
        assert await silent(peer)
        peer.say(m.BasicAck(1))
        three = [*two, await peer.message()]
        peer.say(m.BasicNack(2, requeue=True))
        assert await silent(peer)

        assert [properties_of(each).headers for each in three] == [{"x-stream-offset": number} for number in range(3)]
        assert server.broker.topic("default", "s").partitions[0].log_start == 0


@pytest.mark.parametrize(
    ("wanted", "unfiltered", "found"),
    [("a", False, [0, 3]), (["a", "b"], False, [0, 1, 3]), ("b", True, [1, 2]), ("none", False, [])],
)
async def test_filters_leave_out_what_was_not_asked_for(wanted: object, unfiltered: bool, found: list[int]) -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "s", arguments=STREAM)
        for number, value in enumerate(("a", "b", None, "a")):
            headers: Table = {} if value is None else {"x-stream-filter-value": value}
            peer.publish("s", b"%d" % number, headers=headers)

        await consumed(
            peer,
            "first",
            **{"x-stream-filter": wanted, "x-stream-match-unfiltered": unfiltered},  # type: ignore[arg-type]
        )

        assert await bodies(peer, len(found)) == [b"%d" % number for number in found]
        assert await silent(peer)


async def test_what_others_write_into_a_topic_of_several_partitions_is_read_whole_or_one_by_one() -> None:
    async with amqp_server() as server:
        await topic(server, "s", 2)
        peer, other = await server.connect(), await server.connect()

        await consumed(peer, "first")
        await consumed(other, "first", **{"x-stream-partition": 1})

        all_of_them = [await peer.message() for _ in range(8)]
        of_one = [each.body for each in all_of_them if (properties_of(each).headers or {})["x-stream-partition"] == 1]
        assert 0 < len(of_one) < 8
        assert await bodies(other, len(of_one)) == of_one
        assert await silent(other)


async def topic(server: AmqpServer, name: str, partitions: int) -> None:
    broker = server.broker
    session = broker.session()
    await broker.create_topic(session, TopicDefinition(name=name, partitions=partitions))
    await broker.publish(session, broker.topic("default", name), [Record(b"%d" % n, b"k%d" % n) for n in range(8)])


async def test_the_consumer_of_a_stream_that_is_removed_is_told() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await stream(peer, 0)
        await consumed(peer)

        deleted = await peer.ask(m.QueueDelete(queue="s"))

        assert {type(deleted), type((await peer.next()).method)} == {m.BasicCancel, m.QueueDeleteOk}


@pytest.mark.parametrize(
    ("prefetch", "asked", "code"),
    [
        (0, m.BasicConsume(queue="s"), 406),
        (1, m.BasicConsume(queue="s", arguments={"x-stream-offset": "soon"}), 406),
        (1, m.BasicConsume(queue="s", arguments={"x-stream-offset": -1}), 406),
        (1, m.BasicConsume(queue="s", arguments={"x-stream-offset": True}), 406),
        (1, m.BasicConsume(queue="s", arguments={"x-stream-partition": 1}), 406),
        (1, m.BasicConsume(queue="s", arguments={"x-stream-filter": 1}), 406),
        (1, m.BasicConsume(queue="s", arguments={"x-stream-match-unfiltered": 1}), 406),
        (1, m.BasicConsume(queue="s", no_ack=True), 540),
        (1, m.BasicGet(queue="s"), 540),
        (1, m.QueuePurge(queue="s"), 540),
    ],
)
async def test_what_a_stream_cannot_do_is_refused(prefetch: int, asked: m.Method, code: int) -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await stream(peer, 0)
        await peer.ask(m.BasicQos(0, prefetch))

        peer.say(asked)
        closed = (await peer.next()).method

        assert isinstance(closed, m.ChannelClose | m.ConnectionClose)
        assert closed.reply_code == code
