"""What `show`, `ls` and `lag` answer is what the broker has applied."""

from isthmus.broker import describe
from isthmus.broker.publishing import Options
from isthmus.definition import DEFAULT_NAMESPACE, QueueConfig, QueueDefinition
from isthmus.lenses.stream.membership import Join, Sync
from isthmus.limits import MIB
from isthmus.views import GroupView
from support.brokers import World, world


def group_view(at: World) -> GroupView:
    group = at.broker.catalog.group(DEFAULT_NAMESPACE, "billing")
    uptime_ms = at.clock.monotonic_ms() - at.broker.opened_ms
    return describe.group_view(at.broker.catalog, group, at.clock, uptime_ms)


class TestTopics:
    async def test_a_partition_shows_what_is_left_of_it(self) -> None:
        async with world() as at:
            topic = await at.topic()
            await at.publish("a", "b", "c")
            await at.trim(1)

            view = describe.partition_view(topic.partitions[0])

            assert (view.index, view.log_start, view.high_watermark) == (0, 1, 3)
            assert view.bytes == topic.partitions[0].bytes > 0

    async def test_a_topic_names_the_groups_and_queues_that_read_it(self) -> None:
        async with world() as at:
            topic = await at.topic(partitions=2)
            await at.join()
            await at.broker.create_queue(at.session, QueueDefinition(name="work", view_of="orders"))

            view = describe.topic_view(at.broker.catalog, topic)

            assert (view.name, view.queue, view.groups, view.views) == ("orders", None, ("billing",), ("work",))
            assert [each.index for each in view.partitions] == [0, 1]
            assert view.created_ms == at.clock.now_ms()

    async def test_the_topic_of_a_queue_names_the_queue(self) -> None:
        async with world() as at:
            await at.broker.create_queue(at.session, QueueDefinition(name="jobs"))

            view = describe.topic_view(at.broker.catalog, at.find("jobs"))

            assert (view.queue, view.views) == ("jobs", ())


class TestQueues:
    async def test_a_queue_shows_where_its_messages_are(self) -> None:
        async with world() as at:
            queue = await at.broker.create_queue(at.session, QueueDefinition(name="jobs"))
            born_ms = at.clock.now_ms()
            await at.publish("later", to="jobs", options=Options(due_ms=born_ms + 60_000))
            await at.publish("a", "b", "c", to="jobs")
            (held, _) = await queue.lease("me", at.session.id, 0, 2, MIB)
            unit = at.broker.journal.unit()
            queue.ack(unit, [held.lease])
            await unit.submit()

            view = await describe.queue_view(at.broker.catalog, queue)

            assert (view.enqueued, view.acked, view.leased, view.ready, view.delayed) == (4, 1, 1, 1, 1)
            assert (view.dying, view.rejected, view.dead, view.expired, view.purged, view.trimmed) == (0,) * 6
            assert (view.view_of, view.oldest_ready_ms) == (None, born_ms)

    async def test_a_view_names_the_topic_that_it_views(self) -> None:
        async with world() as at:
            await at.topic()
            config = QueueConfig(lease_ms=1_000)
            asked = QueueDefinition(name="work", view_of="orders", config=config)
            queue = await at.broker.create_queue(at.session, asked)

            view = await describe.queue_view(at.broker.catalog, queue)

            assert (view.view_of, view.config, view.oldest_ready_ms) == ("orders", config, None)


class TestGroups:
    async def test_a_group_shows_its_members_and_who_has_which_partition(self) -> None:
        async with world() as at:
            await at.topic(partitions=2)
            await at.join()

            view = group_view(at)

            (member,) = view.members
            assert (view.state, view.generation, view.silent) == ("Stable", 1, False)
            assert [(row.topic, row.partition, row.member) for row in view.partitions] == [
                ("orders", 0, member),
                ("orders", 1, member),
            ]

    async def test_what_is_done_above_the_floor_is_no_lag(self) -> None:
        async with world() as at:
            await at.topic()
            await at.publish("a", "b", "c", "d")
            member = await at.join()
            rows = await at.receive(member)
            await at.settle(member, [rows[0], rows[2]])

            view = group_view(at)

            (row,) = view.partitions
            assert (row.floor, row.done_above, row.high_watermark) == (1, 1, 4)
            assert view.lag == row.lag == 2

    async def test_a_group_that_has_not_been_heard_for_long_is_silent(self) -> None:
        async with world() as at:
            await at.topic(silent_ms=60_000)
            member = await at.join()
            member.close()
            at.members.clear()
            await at.clock.advance(60_001)

            view = group_view(at)

            assert (view.silent, view.state, view.members) == (True, "Empty", ())

    async def test_assignments_of_foreign_assignors_are_opaque(self) -> None:
        async with world() as at:
            await at.topic()
            member = await at.join()
            member.close()
            at.members.clear()
            group = at.broker.catalog.group(DEFAULT_NAMESPACE, "billing")
            protocols = (("range", b"wants orders"),)
            ask = Join(protocol_type="consumer", protocols=protocols, session_ms=10_000, rebalance_ms=10_000)
            joined = await at.broker.coordinator.join(group, ask)
            assigned = Sync(member_id=joined.member, generation=joined.generation, assignments={joined.member: b"\xff"})
            await at.broker.coordinator.sync(group, assigned)

            view = group_view(at)

            assert view.members == (joined.member,)
            assert [row.member for row in view.partitions] == [None]
