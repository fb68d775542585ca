"""Who may do what over AMQP, method by method: a user with exactly the right grants, and without each of them."""

from typing import NamedTuple, cast

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.definition import Grant, Operation, UserDefinition
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.codec import content_frames
from isthmus.protocols.amqp.handlers.table import HANDLERS
from isthmus.protocols.amqp.properties import NONE, Properties, encode_properties
from isthmus.protocols.amqp.table import Table
from support.amqp import AmqpPeer, AmqpServer, amqp_server, declared

DLX: Table = {"x-dead-letter-exchange": "shop"}
STREAM: Table = {"x-queue-type": "stream"}
COPY = encode_properties(Properties(headers={"CC": ["copies"]}))


class Right(NamedTuple):
    """A method and what it needs, as `operation:name` rows; `raw` are the properties of what is published."""

    method: m.Method
    needs: tuple[str, ...]
    raw: bytes = NONE


RIGHTS = (
    Right(m.QueueDeclare(queue="new", durable=True), ("create:new",)),
    Right(m.QueueDeclare(queue="new", durable=True, arguments=DLX), ("create:new", "publish:shop")),
    Right(m.QueueDeclare(queue="orders", durable=True), ("create:orders",)),
    Right(m.QueueDeclare(queue="orders", passive=True), ("describe:orders",)),
    Right(m.QueueDelete(queue="orders"), ("remove:orders",)),
    Right(m.QueuePurge(queue="orders"), ("consume:orders",)),
    Right(m.QueueBind(queue="orders", exchange="shop"), ("alter:shop", "publish:orders")),
    Right(m.QueueUnbind(queue="orders", exchange="shop"), ("alter:shop", "publish:orders")),
    Right(m.ExchangeDeclare(exchange="new", kind="fanout"), ("create:new",)),
    Right(
        m.ExchangeDeclare(exchange="new", kind="fanout", arguments={"alternate-exchange": "shop"}),
        ("create:new", "publish:shop"),
    ),
    Right(m.ExchangeDeclare(exchange="shop", kind="fanout", durable=True), ("create:shop",)),
    Right(m.ExchangeDeclare(exchange="shop", passive=True), ("describe:shop",)),
    Right(m.ExchangeDelete(exchange="shop"), ("remove:shop",)),
    Right(m.ExchangeBind(destination="other", source="shop"), ("alter:shop", "publish:other")),
    Right(m.ExchangeUnbind(destination="other", source="shop"), ("alter:shop", "publish:other")),
    Right(m.BasicConsume(queue="orders"), ("consume:orders",)),
    Right(m.BasicConsume(queue="readings"), ("read:readings",)),
    Right(m.BasicGet(queue="orders"), ("consume:orders",)),
    Right(m.BasicPublish(0, "shop", "k"), ("publish:shop",)),
    Right(m.BasicPublish(0, "", "orders"), ("publish:orders",)),
    Right(m.BasicPublish(0, "", "orders"), ("publish:orders", "publish:copies"), COPY),
)

ELSEWHERE = "describe:elsewhere"
"""What lets a user into the virtual host, and nothing else."""

NEED_NONE = {
    m.ChannelFlow, m.AccessRequest, m.BasicQos, m.BasicCancel, m.BasicNack, m.BasicReject, m.BasicRecover,
    m.BasicRecoverAsync, m.ConfirmSelect, m.TxSelect, m.TxCommit, m.TxRollback,
}  # fmt: skip
"""They are about what the channel has already."""


async def prepared(server: AmqpServer) -> None:
    peer = await server.connect()
    await declared(peer, "orders")
    await declared(peer, "copies")
    await declared(peer, "readings", arguments=STREAM)
    for name in ("shop", "other"):
        await peer.ask(m.ExchangeDeclare(exchange=name, kind="fanout", durable=True))
    await peer.close()


async def user_with(server: AmqpServer, needs: tuple[str, ...]) -> AmqpPeer:
    rows = [need.split(":") for need in (*needs, ELSEWHERE)]
    grants = tuple(Grant(operations=(cast("Operation", operation),), pattern=name) for operation, name in rows)
    scrams = scram.credentials("secret", lambda: b"salt" * 4)
    asked = UserDefinition(name="ann", scrams=scrams, grants=grants)
    await accounts.create(server.broker, server.broker.session(), asked)
    peer = await server.connect(secret=b"\0ann\0secret")
    await peer.ask(m.BasicQos(0, 1))
    return peer


async def answer(peer: AmqpPeer, right: Right) -> m.Method:
    if isinstance(right.method, m.BasicPublish):
        await peer.ask(m.ConfirmSelect())
        peer.send(content_frames(1, right.method, right.raw, b"1", 8_192))
    else:
        peer.say(right.method)
    return (await peer.next()).method


def shown(right: Right) -> str:
    return f"{right.method.NAME} {'+'.join(right.needs)}"


@pytest.mark.parametrize("right", RIGHTS, ids=shown)
async def test_a_method_needs_these_grants_and_no_others(right: Right) -> None:
    async with amqp_server() as server:
        await prepared(server)
        peer = await user_with(server, right.needs)

        told = await answer(peer, right)

        assert not isinstance(told, m.ChannelClose | m.ConnectionClose), told


@pytest.mark.parametrize(
    ("right", "missing"), [(right, need) for right in RIGHTS for need in right.needs], ids=lambda each: str(each)[:60]
)
async def test_a_method_without_one_of_its_grants_is_refused(right: Right, missing: str) -> None:
    async with amqp_server() as server:
        await prepared(server)
        peer = await user_with(server, tuple(need for need in right.needs if need != missing))

        told = await answer(peer, right)

        assert isinstance(told, m.ChannelClose), told
        assert told.reply_code == 403


def test_every_method_has_its_row() -> None:
    assert {type(right.method) for right in RIGHTS} | NEED_NONE == {*HANDLERS, m.BasicPublish}
