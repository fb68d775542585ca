"""Administration of a broker in this process: what is its own. What every engine does is asked in test_suite.py."""

from collections.abc import AsyncGenerator

import pytest

from isthmus.broker import namespaces
from isthmus.clock import ManualClock
from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    Grant,
    HeaderMatch,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.engines.base import Source
from isthmus.engines.connect import open_engine
from isthmus.engines.embedded import EmbeddedEngine
from isthmus.engines.embedded_admin import REDRIVE_BATCH, REDRIVE_LEASE_MS
from isthmus.errors import InUse, LeaseLost, OffsetOutOfRange, UnknownPartition, UnknownTopic
from isthmus.limits import SEGMENT_BYTES_MIN
from support.engines import declare_all, publish, read, settle, take, texts


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def engine(clock: ManualClock) -> AsyncGenerator[EmbeddedEngine]:
    opened = await open_engine("memory://", clock=clock, segment_bytes=SEGMENT_BYTES_MIN)
    assert isinstance(opened, EmbeddedEngine)
    await declare_all(opened)
    yield opened
    await opened.close()


async def die(engine: EmbeddedEngine, *values: str) -> Source:
    """Publish jobs that die at once."""
    await publish(engine, "jobs", *values)
    source = await engine.queue_source("jobs", "c")
    while received := await take(source):
        await source.dead(received, "no money", "")
    return source


class TestNamespaces:
    async def test_what_is_of_another_one_is_not_seen(self, engine: EmbeddedEngine) -> None:
        await namespaces.create(engine.broker, engine.session, "other")
        await engine.admin.create(TopicDefinition(name="theirs", namespace="other"))
        await engine.admin.create(QueueDefinition(name="their jobs", namespace="other"))
        await engine.broker.group(engine.session, "other", "their group")

        assert "theirs" not in [view.name for view in await engine.admin.topics()]
        assert "their jobs" not in [view.name for view in await engine.admin.queues()]
        assert await engine.admin.groups() == []
        with pytest.raises(UnknownTopic):
            await engine.admin.topic("theirs")

    async def test_are_made_shown_and_removed_with_what_is_in_them(self, engine: EmbeddedEngine) -> None:
        await engine.admin.create_namespace("other", (("tags", b"x"),))
        await engine.admin.create(TopicDefinition(name="theirs", namespace="other"))
        shown = await engine.admin.namespaces()

        await engine.admin.remove_namespace("other")

        assert [(view.name, view.topics, view.kept) for view in shown][1:] == [("other", 1, (("tags", b"x"),))]
        assert [view.name for view in await engine.admin.namespaces()] == ["default"]


class TestExchanges:
    async def test_are_made_bound_shown_and_removed(self, engine: EmbeddedEngine) -> None:
        admin, match = engine.admin, HeaderMatch(rows=(("size", 5),))
        await admin.create_exchange(ExchangeDefinition(name="shop", kind="headers", alternate="lost"))
        await admin.create_exchange(ExchangeDefinition(name="all", kind="fanout"))
        asked = Binding(exchange="shop", topic="orders", match=match)
        await admin.bind(asked)
        await admin.bind(asked)
        await admin.bind(Binding(exchange="all", to_exchange="shop"))

        views, ways = await admin.exchanges(), await admin.bindings()
        to_orders, of_all = await admin.bindings(target="orders"), await admin.bindings("all")
        await admin.unbind(asked)
        with pytest.raises(InUse):
            await admin.remove_exchange("all", if_unused=True)
        await admin.remove_exchange("shop")

        assert [(view.name, view.alternate, view.bindings, view.bound) for view in views] == [
            ("all", None, 1, 0), ("shop", "lost", 1, 1)
        ]  # fmt: skip
        assert [(way.exchange, way.topic, way.to_exchange, way.match) for way in ways] == [
            ("all", "", "shop", None), ("shop", "orders", "", match)
        ]  # fmt: skip
        assert (of_all, to_orders) == (ways[:1], ways[1:])
        assert await admin.bindings() == []


class TestUsers:
    async def test_are_made_changed_shown_and_removed(self, engine: EmbeddedEngine) -> None:
        grant = Grant(operations=("read",), pattern="orders")
        await engine.admin.create_user(UserDefinition(name="ada"))
        await engine.admin.alter_user(UserDefinition(name="ada", grants=(grant,)))
        shown = await engine.admin.users()

        await engine.admin.remove_user("ada")

        assert [(view.name, view.grants) for view in shown] == [("ada", (grant,))]
        assert await engine.admin.users() == []


class TestRedriving:
    async def test_goes_in_several_units_when_there_are_many(self, engine: EmbeddedEngine) -> None:
        count = REDRIVE_BATCH * 2 + 3
        source = await die(engine, *(str(number) for number in range(count)))

        assert await engine.admin.redrive("jobs.dead", REDRIVE_BATCH + 1) == REDRIVE_BATCH + 1
        assert await engine.admin.redrive("jobs.dead") == count - REDRIVE_BATCH - 1

        assert texts(await take(source)) == [str(number) for number in range(count)]
        assert await engine.admin.redrive("jobs.dead") == 0

    async def test_none_when_none_are_wanted(self, engine: EmbeddedEngine) -> None:
        await die(engine, "a")

        assert await engine.admin.redrive("jobs.dead", 0) == 0
        assert len(await engine.admin.dead_letters("jobs.dead", 10)) == 1

    async def test_what_cannot_go_home_is_free_again_at_once(self, engine: EmbeddedEngine) -> None:
        await publish(engine, "wide", "a:1")
        member = await engine.stream_source("wide", "billing", "earliest", "jobs.dead")
        await member.dead(await take(member), "no money", "")
        await member.close()
        await engine.admin.remove("wide")

        with pytest.raises(UnknownTopic):
            await engine.admin.redrive("jobs.dead")

        view = await engine.admin.queue("jobs.dead")
        assert (view.ready, view.leased) == (1, 0)

    async def test_leaves_alone_what_somebody_holds(self, engine: EmbeddedEngine, clock: ManualClock) -> None:
        await die(engine, "a", "b")
        undertaker = await engine.queue_source("jobs.dead", "c")
        held = await take(undertaker, 1)

        moved = await engine.admin.redrive("jobs.dead")

        assert (texts(held), moved) == (["a"], 1)
        await clock.advance(REDRIVE_LEASE_MS)
        with pytest.raises(LeaseLost):
            await settle(engine, undertaker, held)


class TestLooking:
    async def test_groups_are_listed_by_name_and_by_topic(self, engine: EmbeddedEngine) -> None:
        sources = [
            await engine.stream_source(topic, group, "earliest", None)
            for topic, group in (("orders", "b"), ("wide", "c"), ("orders", "a"))
        ]

        assert [view.name for view in await engine.admin.groups()] == ["a", "b", "c"]
        assert [view.name for view in await engine.admin.groups("orders")] == ["a", "b"]
        for source in sources:
            await source.close()

    @pytest.mark.parametrize("partition", [-1, 3])
    async def test_a_partition_that_is_not_there_has_no_lives(self, engine: EmbeddedEngine, partition: int) -> None:
        with pytest.raises(UnknownPartition):
            await engine.admin.explain("wide", partition, 0)

    async def test_an_offset_that_is_not_there_has_no_life(self, engine: EmbeddedEngine) -> None:
        with pytest.raises(OffsetOutOfRange):
            await engine.admin.explain("orders", 0, 0)

    async def test_the_life_of_a_dead_letter_goes_on_where_it_came_from(self, engine: EmbeddedEngine) -> None:
        await die(engine, "a")
        await engine.admin.redrive("jobs.dead")

        home = [step.what for step in await engine.admin.explain("jobs", 0, 0)]
        letter = [step.what for step in await engine.admin.explain("jobs.dead", 0, 0)]

        assert home == ["published", "leased", "copied", "rejected", "copied"]
        assert letter[0] == "published"
        assert letter[-1] == "acked"


class TestReclaiming:
    async def test_takes_nothing_that_is_still_wanted(self, engine: EmbeddedEngine) -> None:
        values = ["x" * 300_000, "y" * 300_000]
        await publish(engine, "orders", *values)

        assert await engine.admin.reclaim() < 300_000
        assert await read(engine, "orders") == values
