"""Transactions, which are refused by name for now."""

from isthmus.protocols.amqp import methods as m
from support.amqp import amqp_server


async def test_committing_without_a_transaction_is_refused() -> None:
    async with amqp_server() as server:
        close = await (await server.connect()).ask(m.TxCommit())

        assert close.reply_text == "PRECONDITION_FAILED - channel is not transactional"
