"""Setting, listing and removing policies, who may, and that queues and exchanges go by them from then on."""

from typing import Any

import msgspec
import pytest

from isthmus.broker import accounts, governing
from isthmus.broker.describe import queue_view
from isthmus.definition import (
    DEFAULT_NAMESPACE,
    ExchangeDefinition,
    Grant,
    PolicyDefinition,
    QueueConfig,
    QueueDefinition,
    UserDefinition,
)
from isthmus.errors import AccessDenied, InvalidArgument, UnknownPolicy
from isthmus.log import checkpoint
from support.brokers import World, world


async def put(w: World, name: str = "short", pattern: str = "^jobs", priority: int = 0, **said: Any) -> None:
    settings = tuple((key, msgspec.json.encode(value)) for key, value in said.items())
    asked = PolicyDefinition(name=name, pattern=pattern, priority=priority, settings=settings)
    await governing.put(w.broker, w.session, asked)


async def queue(w: World, name: str = "jobs", **config: Any) -> None:
    await w.broker.create_queue(w.session, QueueDefinition(name=name, config=QueueConfig(**config)))


def holds(w: World, name: str = "jobs") -> QueueConfig:
    return w.broker.queue(DEFAULT_NAMESPACE, name).config


class TestPolicies:
    async def test_hold_for_what_is_there_and_for_what_comes(self) -> None:
        async with world() as w:
            await queue(w)
            await queue(w, "orders")
            await put(w, failed_max=2)
            await queue(w, "jobs.more", failed_max=3)

            limits = [holds(w, name).failed_max for name in ("jobs", "orders", "jobs.more")]

            assert limits == [2, 5, 2]

    async def test_leave_what_was_declared_as_it_was_and_tell_both(self) -> None:
        async with world() as w:
            await queue(w)
            await put(w, ttl_ms=50)

            view = await queue_view(w.broker.catalog, w.broker.queue(DEFAULT_NAMESPACE, "jobs"))

            assert (view.config, view.policy, view.effective) == (QueueConfig(), "short", QueueConfig(ttl_ms=50))

    async def test_that_go_give_way_to_the_next(self) -> None:
        async with world() as w:
            await queue(w)
            await put(w, "first", priority=1, failed_max=1)
            await put(w, "second", failed_max=2)
            found = [holds(w).failed_max]

            await governing.remove(w.broker, w.session, DEFAULT_NAMESPACE, "first")
            found.append(holds(w).failed_max)
            await governing.remove(w.broker, w.session, DEFAULT_NAMESPACE, "second")

            assert [*found, holds(w).failed_max] == [1, 2, 5]

    async def test_tell_an_exchange_its_alternate(self) -> None:
        async with world() as w:
            made = await w.broker.create_exchange(w.session, ExchangeDefinition(name="jobs", kind="direct"))
            await put(w, alternate="lost")
            later = await w.broker.create_exchange(w.session, ExchangeDefinition(name="jobs.later"))

            found = [made.alternate, later.alternate]
            await governing.remove(w.broker, w.session, DEFAULT_NAMESPACE, "short")

            assert [*found, made.alternate] == ["lost", "lost", None]

    @pytest.mark.parametrize("compacted", [False, True], ids=["from the journal", "from a checkpoint"])
    async def test_are_there_after_a_crash(self, *, compacted: bool) -> None:
        async with world() as w:
            await queue(w)
            await put(w, failed_max=1)
            await put(w, failed_max=2)
            if compacted:
                await checkpoint.take(w.broker.journal)

            await w.crash()

            assert [view.name for view in governing.listed(w.broker, w.session)] == ["short"]
            assert holds(w).failed_max == 2

    async def test_change_with_a_queue_that_is_altered(self) -> None:
        async with world() as w:
            await queue(w)
            await put(w, failed_max=4)

            await w.broker.alter_queue(w.session, QueueDefinition(name="jobs", config=QueueConfig(failed_max=3)))

            assert holds(w).failed_max == 3

    async def test_that_cannot_be_are_refused_and_change_nothing(self) -> None:
        async with world() as w:
            await put(w, failed_max=4)

            with pytest.raises(InvalidArgument):
                await put(w, failed_max=0)

            assert [view.settings for view in governing.listed(w.broker, w.session)] == [(("failed_max", b"4"),)]

    async def test_that_are_not_there_cannot_be_removed(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownPolicy, match="'short'"):
                await governing.remove(w.broker, w.session, DEFAULT_NAMESPACE, "short")

    async def test_are_for_administrators_only(self) -> None:
        async with world() as w:
            grant = Grant(operations=("administer", "alter"), pattern="*")
            await accounts.create(w.broker, w.session, UserDefinition(name="ada", grants=(grant,)))
            ada = w.broker.session("ada")

            with pytest.raises(AccessDenied, match="policies"):
                governing.listed(w.broker, ada)
            with pytest.raises(AccessDenied):
                governing.put(w.broker, ada, PolicyDefinition(name="p", pattern="", settings=(("ttl_ms", b"1"),)))
            with pytest.raises(AccessDenied):
                governing.remove(w.broker, ada, DEFAULT_NAMESPACE, "p")
