"""A publisher that has to wait is told so, and that it is over; who only consumes waits for nobody."""

from isthmus.clock import ManualClock
from isthmus.limits import AMQP_BLOCKED_MS, PENDING_BYTES_MAX
from isthmus.protocols.amqp import methods as m
from support.amqp import AmqpServer, amqp_server, declared


def take_credit(server: AmqpServer) -> None:
    for session in server.broker.access.sessions_of("anyone"):
        session.credit.take(PENDING_BYTES_MAX)


def give_credit(server: AmqpServer) -> None:
    for session in server.broker.access.sessions_of("anyone"):
        session.credit.give(PENDING_BYTES_MAX)


async def test_a_publisher_that_waits_for_long_is_told_and_so_is_the_end_of_it() -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        peer, other = await server.connect(), await server.connect()
        await declared(peer)
        take_credit(server)

        peer.publish("q", b"1")
        await declared(other)
        await clock.advance(AMQP_BLOCKED_MS)
        blocked = await peer.hear(m.ConnectionBlocked, 0)
        give_credit(server)
        await peer.hear(m.ConnectionUnblocked, 0)

        assert blocked.reason == "the disk is behind"
        assert (await declared(peer)).message_count == 1


async def test_a_short_wait_is_not_worth_a_word() -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        peer, other = await server.connect(), await server.connect()
        await declared(peer)
        take_credit(server)

        peer.publish("q", b"1")
        await declared(other)
        give_credit(server)

        assert (await declared(peer)).message_count == 1


async def test_a_silent_peer_that_is_made_to_wait_is_not_taken_for_dead() -> None:
    clock = ManualClock()
    async with amqp_server(clock=clock) as server:
        peer, other = await server.connect(heartbeat=1), await server.connect()
        await declared(peer)
        take_credit(server)
        peer.publish("q", b"1")
        await declared(other)

        await clock.advance(10_000)
        give_credit(server)
        await peer.hear(m.ConnectionBlocked, 0)

        await peer.hear(m.ConnectionUnblocked, 0)
        assert (await declared(peer)).message_count == 1


async def test_a_connection_that_goes_while_it_waits_leaves_nothing_behind() -> None:
    async with amqp_server() as server:
        peer, other = await server.connect(), await server.connect()
        await declared(peer)
        take_credit(server)
        peer.publish("q", b"1")
        await declared(other)

        await peer.close()

        assert (await declared(other)).message_count == 0
