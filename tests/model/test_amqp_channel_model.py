"""One channel of AMQP against a dictionary: what is got, settled, given back, committed and rolled back, in any order.

Every answer is held against the model at once: which message comes, whether it came before, how many are left. Settling
has no answer; a synchronous method behind it shows what it has done.
"""

import asyncio
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.protocols.amqp import methods as m
from support.amqp import AmqpPeer, amqp_server, declared

LIMIT: Final = 1
"""Failures that a message survives."""

ARGUMENTS: Final = {"x-queue-type": "quorum", "x-delivery-limit": LIMIT}

Step = tuple[str, int]

STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["publish"] * 3
            + ["get"] * 6
            + [
                "ack",
                "ack_all",
                "ack_to",
                "nack",
                "nack_to",
                "reject",
                "reject",
                "reject",
                "drop",
                "recover",
                "purge",
                "reopen",
            ]
            + ["commit", "rollback"]
        ),
        st.integers(0, 7),
    ),
    max_size=40,
)


class Model:
    """What is in the queue and what the channel holds, in the order of publishing."""

    def __init__(self, *, transactional: bool) -> None:
        self.transactional = transactional
        self.ready: dict[int, None] = {}
        self.held: dict[int, int] = {}
        self.got: set[int] = set()
        self.failed: dict[int, int] = {}
        self.published = 0
        self.tag = 0
        self.waiting: list[tuple[str, int]] = []
        self.settled: list[tuple[int, int, str]] = []

    def publish(self) -> int:
        self.published += 1
        if self.transactional:
            self.waiting.append(("publish", self.published))
        else:
            self.ready[self.published] = None
        return self.published

    def get(self) -> tuple[int, bool] | None:
        number = min(self.ready, default=None)
        if number is None:
            return None
        del self.ready[number]
        self.tag += 1
        self.held[self.tag] = number
        again = number in self.got
        self.got.add(number)
        return number, again

    def settle(self, tag: int, how: str) -> None:
        number = self.held.pop(tag)
        if self.transactional:
            self.settled.append((tag, number, how))
        else:
            self._end(number, how)

    def _end(self, number: int, how: str) -> None:
        if how in {"ack", "drop"}:
            return
        if how == "fail":
            self.failed[number] = self.failed.get(number, 0) + 1
            if self.failed[number] > LIMIT:
                return
        self.ready[number] = None

    def commit(self) -> None:
        for _, number in self.waiting:
            self.ready[number] = None
        for _, number, how in self.settled:
            self._end(number, how)
        self.waiting, self.settled = [], []

    def rollback(self) -> None:
        self.held = dict(sorted([*self.held.items(), *[(tag, number) for tag, number, _ in self.settled]]))
        self.waiting, self.settled = [], []

    def end_channel(self) -> None:
        """What a channel holds when it ends counts as failed, also what was settled and not committed."""
        for number in [*self.held.values(), *[number for _, number, _ in self.settled]]:
            self._end(number, "fail")
        self.held, self.waiting, self.settled, self.tag = {}, [], [], 0


class Run:
    """A model and the real channel beside it."""

    def __init__(self, peer: AmqpPeer, model: Model) -> None:
        self.peer = peer
        self.model = model

    async def step(self, what: str, which: int) -> None:
        if what in {"publish", "get", "recover", "purge", "reopen", "commit", "rollback"}:
            await getattr(self, what)()
            return
        tags = list(self.model.held)
        if tags:
            self.settle(what, tags, tags[which % len(tags)])

    def settle(self, what: str, tags: list[int], tag: int) -> None:
        up_to = [each for each in tags if each <= tag]
        ways: dict[str, tuple[m.Method, list[int], str]] = {
            "ack": (m.BasicAck(tag), [tag], "ack"),
            "ack_all": (m.BasicAck(0, multiple=True), tags, "ack"),
            "ack_to": (m.BasicAck(tag, multiple=True), up_to, "ack"),
            "nack": (m.BasicNack(tag, requeue=True), [tag], "release"),
            "nack_to": (m.BasicNack(tag, multiple=True, requeue=True), up_to, "release"),
            "reject": (m.BasicReject(tag, requeue=True), [tag], "fail"),
            "drop": (m.BasicNack(tag), [tag], "drop"),
        }
        method, found, how = ways[what]
        self.peer.say(method)
        for each in found:
            self.model.settle(each, how)

    async def publish(self) -> None:
        self.peer.publish("q", b"%d" % self.model.publish())

    async def get(self) -> None:
        expected = self.model.get()
        self.peer.say(m.BasicGet(queue="q"))
        if expected is None:
            await self.peer.hear(m.BasicGetEmpty)
            return
        message = await self.peer.message()
        number, again = expected
        left = len(self.model.ready)
        assert message.body == b"%d" % number
        assert message.method == m.BasicGetOk(self.model.tag, again, "", "q", left)

    async def recover(self) -> None:
        await self.peer.ask(m.BasicRecover(requeue=True))
        for tag in list(self.model.held):
            number = self.model.held.pop(tag)
            self.model.ready[number] = None

    async def purge(self) -> None:
        answer = await self.peer.ask(m.QueuePurge(queue="q"))
        assert answer == m.QueuePurgeOk(len(self.model.ready))
        self.model.ready.clear()

    async def reopen(self) -> None:
        await self.peer.ask(m.ChannelClose(200, ""))
        self.model.end_channel()
        await self.peer.open()
        await self.select()

    async def commit(self) -> None:
        if self.model.transactional:
            assert isinstance(await self.peer.ask(m.TxCommit()), m.TxCommitOk)
            self.model.commit()

    async def rollback(self) -> None:
        if self.model.transactional:
            assert isinstance(await self.peer.ask(m.TxRollback()), m.TxRollbackOk)
            self.model.rollback()

    async def select(self) -> None:
        if self.model.transactional:
            await self.peer.ask(m.TxSelect())

    async def check(self) -> None:
        assert (await declared(self.peer, arguments=ARGUMENTS)).message_count == len(self.model.ready)


async def lived(steps: list[Step], *, transactional: bool) -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, arguments=ARGUMENTS)
        run = Run(peer, Model(transactional=transactional))
        await run.select()
        for what, which in steps:
            await run.step(what, which)
        await run.check()
        await run.reopen()
        await run.check()


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_channel_is_what_the_model_is(steps: list[Step]) -> None:
    asyncio.run(lived(steps, transactional=False))


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_a_channel_with_transactions_is_what_the_model_is(steps: list[Step]) -> None:
    asyncio.run(lived(steps, transactional=True))
