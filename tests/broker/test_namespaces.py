"""Making, removing and listing namespaces, who may, and that everything in one goes with it."""

from pathlib import Path

import pytest

from isthmus.broker import accounts, governing, namespaces
from isthmus.clock import SystemClock
from isthmus.definition import (
    Binding,
    ExchangeDefinition,
    PolicyDefinition,
    QueueDefinition,
    TopicDefinition,
    UserDefinition,
)
from isthmus.errors import (
    AccessDenied,
    AlreadyExists,
    BeingChanged,
    InvalidArgument,
    InvalidName,
    Overloaded,
    UnknownNamespace,
)
from isthmus.log.storage import RealStorage
from support.brokers import World, world

EU = "eu"


async def populate(w: World, namespace: str = EU) -> None:
    """One of everything that is in a namespace."""
    await namespaces.create(w.broker, w.session, namespace)
    broker, session = w.broker, w.session
    await broker.create_topic(session, TopicDefinition(name="orders", namespace=namespace))
    await broker.create_queue(session, QueueDefinition(name="jobs", namespace=namespace, view_of="orders"))
    await broker.create_exchange(session, ExchangeDefinition(name="amq.fanout", namespace=namespace, kind="fanout"))
    await broker.bind(session, Binding(exchange="amq.fanout", topic="orders", namespace=namespace))
    await broker.group(session, namespace, "billing")
    policy = PolicyDefinition(name="p", namespace=namespace, pattern="x", settings=(("ttl_ms", b"1"),))
    await governing.put(broker, session, policy)


def names(w: World) -> list[tuple[str, int, int, int]]:
    return [(each.name, each.topics, each.queues, each.exchanges) for each in namespaces.listed(w.broker, w.session)]


def left(w: World) -> list[object]:
    catalog = w.broker.catalog
    return [*catalog.topics, *catalog.queue_sets, *catalog.exchanges, *catalog.groups, *catalog.policies]


class TestNamespaces:
    async def test_are_listed_by_name_with_what_is_in_them_the_default_one_always(self) -> None:
        async with world() as w:
            await w.topic()
            await populate(w)
            await namespaces.create(w.broker, w.session, "empty", (("tags", b"x"),))

            await w.reopen()

            assert names(w) == [("default", 1, 0, 0), ("empty", 0, 0, 0), ("eu", 2, 1, 1)]
            assert namespaces.listed(w.broker, w.session)[1].kept == (("tags", b"x"),)

    async def test_go_with_everything_in_them_and_nothing_else(self) -> None:
        async with world() as w:
            topic = await w.topic()
            await populate(w)
            await populate(w, "other")

            await namespaces.remove(w.broker, w.session, EU)
            between = names(w)
            await namespaces.remove(w.broker, w.session, "other")
            await w.reopen()

            assert between == [("default", 1, 0, 0), ("other", 2, 1, 1)]
            assert names(w) == [("default", 1, 0, 0)]
            assert left(w) == [topic.id]

    async def test_go_in_units_of_bounded_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(namespaces, "REMOVALS_MAX", 2)
        async with world() as w:
            await populate(w)

            await namespaces.remove(w.broker, w.session, EU)

            assert left(w) == []

    async def test_that_are_going_take_nothing_new(self, tmp_path: Path) -> None:
        async with world(RealStorage(tmp_path / "store"), SystemClock()) as w:
            await populate(w)
            making = w.broker.create_topic(w.session, TopicDefinition(name="late", namespace=EU))

            going = namespaces.remove(w.broker, w.session, EU)
            going.send(None)
            for make in (
                lambda: w.broker.create_topic(w.session, TopicDefinition(name="new", namespace=EU)),
                lambda: w.broker.create_exchange(w.session, ExchangeDefinition(name="new", namespace=EU)),
            ):
                with pytest.raises(BeingChanged):
                    make()
            with pytest.raises(BeingChanged):
                await namespaces.remove(w.broker, w.session, EU)
            going.close()
            await making
            await namespaces.remove(w.broker, w.session, EU)

            assert left(w) == []

    async def test_have_to_be_there_to_make_something_in_them(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownNamespace):
                w.broker.create_topic(w.session, TopicDefinition(name="a", namespace=EU))
            with pytest.raises(UnknownNamespace):
                w.broker.create_queue(w.session, QueueDefinition(name="a", namespace=EU))
            with pytest.raises(UnknownNamespace):
                w.broker.create_exchange(w.session, ExchangeDefinition(name="a", namespace=EU))
            with pytest.raises(UnknownNamespace):
                await namespaces.remove(w.broker, w.session, EU)

    async def test_are_made_once_and_the_default_one_stays(self) -> None:
        async with world() as w:
            await namespaces.create(w.broker, w.session, EU)

            for name, error in ((EU, AlreadyExists), ("default", AlreadyExists), ("", InvalidName)):
                with pytest.raises(error):
                    namespaces.create(w.broker, w.session, name)
            with pytest.raises(InvalidArgument, match="always there"):
                await namespaces.remove(w.broker, w.session, "default")

    async def test_have_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(namespaces, "NAMESPACES_MAX", 2)
        async with world() as w:
            with pytest.raises(InvalidArgument, match="kept"):
                namespaces.create(w.broker, w.session, EU, (("tags", b"x" * 20_000),))
            await namespaces.create(w.broker, w.session, EU)

            with pytest.raises(Overloaded):
                namespaces.create(w.broker, w.session, "us")

    async def test_are_for_administrators(self) -> None:
        async with world() as w:
            await accounts.create(w.broker, w.session, UserDefinition(name="ada"))
            ada = w.broker.session("ada")

            with pytest.raises(AccessDenied, match="namespaces"):
                namespaces.create(w.broker, ada, EU)
