"""What becomes of definitions, asked directly: the facts, and each rule. What follows is told in test_broker.py."""

from typing import Any

import pytest

from isthmus.broker import definitions
from isthmus.definition import (
    BackoffPolicy,
    Binding,
    ExchangeDefinition,
    QueueConfig,
    QueueDefinition,
    TopicConfig,
    TopicDefinition,
)
from isthmus.errors import AlreadyExists, InUse, InvalidArgument, UnknownTopic, Unsupported, UnsupportedCompression
from isthmus.limits import RECORD_BYTES_CEILING
from isthmus.log import facts
from support.brokers import World, world


class TestRules:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"age_ms": -1}, "age_ms: -1 is negative"),
            ({"tombstone_ms": -1}, "tombstone_ms: -1 is negative"),
            ({"floor_ms": 2, "ceiling_ms": 1}, "floor"),
            ({"record_bytes_max": 0}, "record_bytes_max"),
            ({"record_bytes_max": RECORD_BYTES_CEILING + 1}, "record_bytes_max"),
            ({"compact": True, "consumed": True}, "compact"),
            ({"compact_ratio": 1.5}, "compact_ratio"),
        ],
    )
    def test_a_configuration_that_cannot_be_kept_is_named(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidArgument, match=message):
            definitions.check_topic_config(TopicConfig(**fields))

    def test_a_codec_that_nobody_knows_is_named(self) -> None:
        with pytest.raises(UnsupportedCompression, match="brotli"):
            definitions.check_topic_config(TopicConfig(compression="brotli"))  # type: ignore[arg-type]

    @pytest.mark.parametrize("fields", [{"fair": True}])
    def test_what_later_versions_bring_is_refused_by_name(self, fields: dict[str, Any]) -> None:
        with pytest.raises(Unsupported, match=next(iter(fields))):
            definitions.check_queue(QueueDefinition(name="jobs", config=QueueConfig(**fields)))

    @pytest.mark.parametrize("levels", [0, 257])
    def test_levels_of_priority_have_bounds(self, levels: int) -> None:
        with pytest.raises(InvalidArgument, match=f"priorities: {levels} is not in 1 to 256"):
            definitions.check_queue(QueueDefinition(name="jobs", config=QueueConfig(priorities=levels)))

    @pytest.mark.parametrize("fields", [{"partitions": 2}, {"view_of": "orders"}])
    def test_levels_of_priority_are_the_partitions_of_the_queue_alone(self, fields: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument, match="each level is a partition"):
            definitions.check_queue(QueueDefinition(name="jobs", config=QueueConfig(priorities=3), **fields))

    def test_limits_that_cannot_be_are_named(self) -> None:
        with pytest.raises(InvalidArgument, match="failed_max"):
            definitions.check_queue(QueueDefinition(name="jobs", config=QueueConfig(failed_max=0)))
        rules: list[dict[str, Any]] = [{"ttl_ms": 5}, {"max_events": 5}, {"max_bytes": 5}]
        for fields in rules:
            with pytest.raises(InvalidArgument, match=next(iter(fields)).removesuffix("_ms")):
                definitions.check_queue(QueueDefinition(name="jobs", view_of="orders", config=QueueConfig(**fields)))

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"ttl_ms": -1}, "ttl_ms"),
            ({"max_events": -1}, "max_events"),
            ({"max_bytes": -1}, "max_bytes"),
            ({"dead": "a", "dead_exchange": "b"}, "one of the two"),
            ({"dead_key": "a"}, "dead_exchange"),
        ],
    )
    def test_ends_that_cannot_be_are_named(self, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(InvalidArgument, match=words):
            definitions.check_queue(QueueDefinition(name="jobs", config=QueueConfig(**fields)))


async def populate(w: World) -> None:
    await w.topic()
    await w.broker.create_queue(w.session, QueueDefinition(name="dead"))
    work = QueueDefinition(name="work", view_of="orders", config=QueueConfig(dead="dead"))
    await w.broker.create_queue(w.session, work)
    await w.broker.create_exchange(w.session, ExchangeDefinition(name="sales"))


class TestFacts:
    async def test_asking_changes_nothing(self) -> None:
        async with world() as w:
            await populate(w)
            catalog = w.broker.catalog
            before = list(catalog.export())[1:]

            definitions.topic_made(catalog, TopicDefinition(name="new"), 5)
            definitions.queue_made(catalog, QueueDefinition(name="jobs"), (), 5)
            definitions.exchange_made(catalog, ExchangeDefinition(name="new"), 0)
            definitions.bound(catalog, Binding(exchange="sales", topic="orders"))
            definitions.topic_gone(catalog, w.find("work"))

            assert list(catalog.export())[1:] == before
            assert catalog.making == {}

    async def test_a_topic_keeps_what_it_is_when_it_is_altered(self) -> None:
        async with world() as w:
            old = (await w.topic()).set

            new = definitions.topic_altered(old, TopicDefinition(name="orders", partitions=3))

            assert (new.id, new.uuid, new.created_ms, new.partitions) == (old.id, old.uuid, old.created_ms, 3)

    async def test_a_queue_adopts_a_topic_of_its_name_that_nobody_owns(self) -> None:
        async with world() as w:
            await populate(w)

            topic, queue = definitions.queue_made(w.broker.catalog, QueueDefinition(name="orders"), (), 5)

            assert (topic.id, topic.queue, queue.topic) == (w.find().id, queue.id, w.find().id)
            with pytest.raises(AlreadyExists, match="'dead'"):
                definitions.queue_made(w.broker.catalog, QueueDefinition(name="dead"), (), 5)

    async def test_a_view_needs_its_topic(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownTopic, match="'orders'"):
                definitions.queue_made(w.broker.catalog, QueueDefinition(name="work", view_of="orders"), (), 5)

    async def test_a_queue_goes_with_the_topic_it_owns_and_stays_while_others_need_it(self) -> None:
        async with world() as w:
            await populate(w)
            catalog = w.broker.catalog
            queue = w.broker.queue("default", "work")

            gone = definitions.topic_gone(catalog, w.find("work"))

            assert gone == [facts.QueueRemoved(queue.id), facts.TopicRemoved(w.find("work").id)]
            for name, by in (("orders", "queue 'work'"), ("dead", "whose dead letters it takes")):
                with pytest.raises(InUse, match=by):
                    definitions.topic_gone(catalog, w.find(name))

    async def test_altering_a_queue_states_its_topic_and_itself(self) -> None:
        async with world() as w:
            await populate(w)
            old = w.broker.catalog.queue_sets[w.broker.queue("default", "work").id]
            config = QueueConfig(dead="dead", backoff=BackoffPolicy(attempts=2))

            topic, queue = definitions.queue_altered(
                w.broker.catalog, old, QueueDefinition(name="work", view_of="orders", config=config, partitions=2)
            )

            assert isinstance(topic, facts.TopicSet)
            assert isinstance(queue, facts.QueueSet)
            assert (topic.id, topic.partitions) == (old.topic, 2)
            assert (queue.id, queue.view_of, queue.config) == (old.id, old.view_of, config)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"view_of": None}, "views 'orders'"),
            ({"config": QueueConfig(dead="dead", ordered=True)}, "ordered"),
            ({"lifetime": "session"}, "lifetime"),
        ],
    )
    async def test_what_is_fixed_when_a_queue_is_made_is_named(self, fields: dict[str, Any], message: str) -> None:
        async with world() as w:
            await populate(w)
            old = w.broker.catalog.queue_sets[w.broker.queue("default", "work").id]
            asked: dict[str, Any] = {"name": "work", "view_of": "orders", "config": QueueConfig(dead="dead")}

            with pytest.raises(InvalidArgument, match=message):
                definitions.queue_altered(w.broker.catalog, old, QueueDefinition(**asked | fields))

    async def test_a_binding_is_made_and_taken_back(self) -> None:
        async with world() as w:
            await populate(w)
            catalog, asked = w.broker.catalog, Binding(exchange="sales", topic="orders", key="eu")
            exchange = catalog.exchange("default", "sales").set.id

            made = definitions.bound(catalog, asked)
            gone = definitions.unbound(catalog, asked)

            assert made == facts.BindingSet(exchange, w.find().id, "eu")
            assert gone == [facts.BindingRemoved(exchange, w.find().id, "eu")]
