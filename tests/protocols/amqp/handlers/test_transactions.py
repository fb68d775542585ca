"""Transactions over a real socket: all of a commit happens, and nothing of a rollback."""

from isthmus.limits import UNIT_BYTES_MAX
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.connection import Brought
from support.amqp import AmqpPeer, AmqpServer, amqp_server, declared


def counts(server: AmqpServer) -> tuple[int, int]:
    """How many are ready and how many are handed out."""
    found = server.broker.queue("default", "q").counts()
    return found.ready, found.leased


async def transacted(server: AmqpServer) -> AmqpPeer:
    """A queue, and a channel that is in a transaction."""
    peer = await server.connect()
    await declared(peer)
    assert isinstance(await peer.ask(m.TxSelect()), m.TxSelectOk)
    return peer


async def got(peer: AmqpPeer) -> int:
    """The tag of the next message."""
    peer.say(m.BasicGet(queue="q"))
    message = await peer.message()
    assert isinstance(message.method, m.BasicGetOk)
    return message.method.delivery_tag


async def test_what_is_published_is_there_with_the_commit() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        peer.publish("q", b"a")
        peer.publish("q", b"b")
        await declared(peer)
        assert counts(server) == (0, 0)

        assert isinstance(await peer.ask(m.TxCommit()), m.TxCommitOk)

        assert counts(server) == (2, 0)


async def test_a_rollback_forgets_what_was_published_and_opens_what_was_settled() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        peer.publish("q", b"a")
        await peer.ask(m.TxCommit())
        tag = await got(peer)
        peer.say(m.BasicAck(tag))
        peer.publish("q", b"never")

        assert isinstance(await peer.ask(m.TxRollback()), m.TxRollbackOk)

        assert counts(server) == (0, 1)
        peer.say(m.BasicAck(tag))
        await peer.ask(m.TxCommit())
        assert counts(server) == (0, 0)


async def test_every_way_to_settle_waits_for_the_commit() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        for _ in range(4):
            peer.publish("q", b"x")
        await peer.ask(m.TxCommit())
        tags = [await got(peer) for _ in range(4)]
        peer.say(m.BasicAck(tags[0]))
        peer.say(m.BasicNack(tags[1], requeue=True))
        peer.say(m.BasicReject(tags[2], requeue=True))
        peer.say(m.BasicReject(tags[3], requeue=False))
        await declared(peer)
        assert counts(server) == (0, 4)

        await peer.ask(m.TxCommit())

        assert counts(server) == (2, 0)


async def test_what_nobody_takes_comes_back_after_the_commit() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        peer.publish("nowhere", b"a", mandatory=True)

        peer.say(m.TxCommit())

        message = await peer.message()
        assert isinstance(message, Brought)
        assert isinstance(message.method, m.BasicReturn)
        await peer.hear(m.TxCommitOk)


async def test_nothing_is_left_of_a_transaction_when_its_channel_ends() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        peer.publish("q", b"a")

        await peer.ask(m.ChannelClose(200, "bye", 0, 0))

        assert counts(server) == (0, 0)


async def test_committing_without_a_transaction_is_refused() -> None:
    async with amqp_server() as server:
        for method in (m.TxCommit(), m.TxRollback()):
            close = await (await server.connect()).ask(method)

            assert close.reply_text == "PRECONDITION_FAILED - channel is not transactional"


async def test_confirms_and_transactions_do_not_go_together() -> None:
    async with amqp_server() as server:
        first, second = await server.connect(), await server.connect()
        await first.ask(m.ConfirmSelect())
        await second.ask(m.TxSelect())

        assert (await first.ask(m.TxSelect())).reply_code == 406
        assert (await second.ask(m.ConfirmSelect())).reply_code == 406


async def test_a_transaction_that_no_unit_can_hold_is_refused() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        for _ in range(5):
            peer.publish("q", b"x" * (UNIT_BYTES_MAX // 8))

        close = await peer.hear(m.ChannelClose)

        assert "commit earlier" in close.reply_text
        assert counts(server) == (0, 0)


async def test_a_tag_is_settled_once_in_a_transaction_too() -> None:
    async with amqp_server() as server:
        peer = await transacted(server)
        peer.publish("q", b"a")
        await peer.ask(m.TxCommit())
        tag = await got(peer)
        peer.say(m.BasicAck(tag))
        peer.say(m.BasicAck(tag))

        close = await peer.hear(m.ChannelClose)

        assert close.reply_text == f"PRECONDITION_FAILED - unknown delivery tag {tag}"
