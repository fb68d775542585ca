"""The catalogue looks up what is durable, knows who reads a topic, and comes back as it was."""

from collections.abc import Awaitable, Callable

import pytest

from isthmus.broker import namespaces
from isthmus.broker.catalog import PARTITION_BITS, Catalog
from isthmus.broker.publishing import Options
from isthmus.definition import DEFAULT_NAMESPACE, Binding, ExchangeDefinition, QueueDefinition, TopicDefinition
from isthmus.errors import UnknownExchange, UnknownGroup, UnknownQueue, UnknownTopic
from isthmus.lenses.stream.position import Progress
from support.brokers import World, records, world


def readers(at: World, topic: str = "orders") -> tuple[list[str], list[str]]:
    groups, queues = at.broker.catalog.readers(at.find(topic))
    return [group.name for group in groups], [queue.name for queue in queues]


async def populate(at: World) -> None:
    """One of each: a topic with two readers, a view on it, and an exchange bound to it."""
    await at.topic(partitions=2)
    await at.broker.create_queue(at.session, QueueDefinition(name="work", view_of="orders"))
    await at.broker.create_exchange(at.session, ExchangeDefinition(name="all", kind="fanout"))
    await at.broker.bind(at.session, Binding(exchange="all", topic="orders"))
    group = await at.broker.group(at.session, DEFAULT_NAMESPACE, "billing")
    await at.broker.commit(at.session, group, at.find().partitions[0], Progress(0, (), ()))


class TestLookingUp:
    @pytest.mark.parametrize(
        ("look", "error"),
        [
            (Catalog.topic, UnknownTopic),
            (Catalog.queue, UnknownQueue),
            (Catalog.exchange, UnknownExchange),
            (Catalog.group, UnknownGroup),
        ],
    )
    async def test_what_was_never_made_is_unknown_by_its_name(
        self, look: Callable[[Catalog, str, str], object], error: type[Exception]
    ) -> None:
        async with world() as at:
            with pytest.raises(error, match="nothing-here"):
                look(at.broker.catalog, DEFAULT_NAMESPACE, "nothing-here")

    async def test_a_name_is_one_thing_in_each_namespace(self) -> None:
        async with world() as at:
            here = await at.topic()
            await namespaces.create(at.broker, at.session, "other")
            there = await at.broker.create_topic(at.session, TopicDefinition(name="orders", namespace="other"))

            assert here.id != there.id
            assert at.broker.catalog.topic("other", "orders") is there
            with pytest.raises(UnknownTopic):
                at.broker.catalog.topic("third", "orders")

    async def test_a_place_is_named_by_topic_partition_and_offset(self) -> None:
        async with world() as at:
            topic = await at.topic(partitions=2)

            assert at.broker.catalog.place_of(topic.partitions[1].id, 7) == "orders/1/7"
            assert at.broker.catalog.topic_of(topic.partitions[1].id) is topic
            assert at.broker.catalog.name_of(topic.partitions[1].id) == (
                DEFAULT_NAMESPACE, "orders", 1, topic.set.uuid
            )  # fmt: skip

    async def test_a_place_in_a_topic_that_is_gone_is_named_by_its_id(self) -> None:
        async with world() as at:
            partition = 99 << PARTITION_BITS | 3

            assert at.broker.catalog.place_of(partition, 7) == "99/3/7"
            assert at.broker.catalog.name_of(partition) is None


async def test_a_topic_has_records_until_all_are_trimmed() -> None:
    async with world() as w:
        topic = await w.topic(partitions=2)
        assert not topic.has_records()

        await w.broker.publish(w.session, topic, records("a"), partition=1)
        assert topic.has_records()

        await w.broker.trim(w.session, topic, 1, 1)
        assert not topic.has_records()


class TestReaders:
    async def test_a_topic_is_read_by_groups_with_a_position_and_queues_that_take_from_it(self) -> None:
        async with world() as at:
            await populate(at)
            await at.broker.group(at.session, DEFAULT_NAMESPACE, "without-a-position")

            assert readers(at) == (["billing"], ["work"])
            assert readers(at, "work") == ([], ["work"])

    async def test_who_is_removed_reads_no_more(self) -> None:
        async with world() as at:
            await populate(at)

            await at.broker.remove_group(at.session, DEFAULT_NAMESPACE, "billing")
            await at.broker.remove_topic(at.session, DEFAULT_NAMESPACE, "work")

            assert readers(at) == ([], [])
            assert at.broker.catalog.views_of(at.find().id) == []

    async def test_a_topic_that_is_removed_takes_positions_and_bindings_along(self) -> None:
        async with world() as at:
            await populate(at)
            await at.broker.remove_topic(at.session, DEFAULT_NAMESPACE, "work")
            catalog = at.broker.catalog

            await at.broker.remove_topic(at.session, DEFAULT_NAMESPACE, "orders")

            assert catalog.exchange(DEFAULT_NAMESPACE, "all").bindings == {}
            assert catalog.group(DEFAULT_NAMESPACE, "billing").positions == {}

    async def test_queues_take_from_partitions_that_their_topic_gets_later(self) -> None:
        async with world() as at:
            await populate(at)
            await at.broker.alter_topic(at.session, TopicDefinition(name="orders", partitions=3))

            await at.publish("a", partition=2)

            assert at.broker.queue(DEFAULT_NAMESPACE, "work").counts().ready == 1


class TestReplay:
    @pytest.mark.parametrize("again", [World.reopen, World.crash])
    async def test_what_was_made_comes_back_from_a_checkpoint_and_from_the_journal(
        self, again: Callable[[World], Awaitable[None]]
    ) -> None:
        async with world() as at:
            await populate(at)
            await at.publish("a", options=Options(dedup="once"))
            before = list(at.broker.catalog.export())

            await again(at)

            assert list(at.broker.catalog.export()) == before
            assert readers(at) == (["billing"], ["work"])

    async def test_ids_of_what_was_removed_are_not_given_again(self) -> None:
        async with world() as at:
            old = await at.topic()
            await at.broker.remove_topic(at.session, DEFAULT_NAMESPACE, "orders")
            await at.reopen()

            new = await at.topic()

            assert new.id > old.id
