"""Topics by id: found as the catalogue changes, and not any more when they are gone."""

from isthmus.definition import TopicDefinition
from isthmus.protocols.kafka.handlers.topic_ids import TopicIds
from support.kafka import kafka_server
from support.kafka_requests import make_topic


async def test_a_topic_is_found_by_its_id_and_not_after_it_is_gone() -> None:
    async with kafka_server() as server:
        ids = TopicIds(server.broker.catalog)
        assert ids.find(b"x" * 16) is None
        first = await make_topic(server, "a")
        second = await make_topic(server, "b")

        found = [topic.name for each in (first, second) if (topic := ids.find(each)) is not None]
        await server.broker.remove_topic(server.broker.session(), "default", "a")

        assert found == ["a", "b"]
        assert ids.find(first) is None
        assert ids.find(second) is not None


async def test_a_topic_that_is_made_again_has_another_id() -> None:
    async with kafka_server() as server:
        session, ids = server.broker.session(), TopicIds(server.broker.catalog)
        old = await make_topic(server, "a")
        assert ids.find(old) is not None

        await server.broker.remove_topic(session, "default", "a")
        await server.broker.create_topic(session, TopicDefinition(name="a", partitions=3))
        new = server.broker.topic("default", "a").set.uuid

        assert ids.find(old) is None
        found = ids.find(new)
        assert found is not None
        assert len(found.partitions) == 3
        assert ids.find(bytes(16)) is None
