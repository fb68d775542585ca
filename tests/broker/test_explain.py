"""The life of one event, told from the journal."""

import pytest

from isthmus.broker.explain import first_of_each
from isthmus.broker.publishing import Options
from isthmus.definition import QueueConfig, QueueDefinition
from isthmus.errors import OffsetOutOfRange
from isthmus.lenses.queue.queue import Queue
from isthmus.limits import MIB
from isthmus.log.headers import encode_headers
from isthmus.record import Leased
from isthmus.views import LifeStep
from support.brokers import World, world


def told(steps: list[LifeStep]) -> list[tuple[str, str, str]]:
    return [(step.what, step.who, step.detail) for step in steps]


async def queue_with(at: World, *values: str, dead: str | None = None) -> tuple[Queue, list[Leased]]:
    """A queue `jobs` that gives up at the first failure, and its messages, leased by `worker`."""
    config = QueueConfig(failed_max=1, dead=dead)
    queue = await at.broker.create_queue(at.session, QueueDefinition(name="jobs", config=config))
    await at.publish(*values, to="jobs")
    return queue, await queue.lease("worker", at.session.id, 0, 100, MIB)


class TestPublished:
    async def test_an_event_is_published_with_its_key_size_type_and_due_time(self) -> None:
        async with world() as at:
            await at.topic()
            await at.publish("a", "b:22", options=Options(due_ms=5), headers=encode_headers([("ce_type", b"Placed")]))

            (step,) = at.explain(1)

            assert (step.what, step.time_ms) == ("published", at.clock.now_ms())
            assert step.detail == "key b'b', 4 bytes, type Placed, due at 5 ms"

    async def test_only_offsets_that_were_given_have_a_life(self) -> None:
        async with world() as at:
            await at.topic()
            await at.publish("a")

            for offset in (-1, 1):
                with pytest.raises(OffsetOutOfRange):
                    at.explain(offset)

    async def test_nothing_is_told_of_another_partition(self) -> None:
        async with world() as at:
            await at.topic(partitions=2)
            await at.publish("here", partition=0)
            await at.publish("there", partition=1)

            steps = at.explain(0, partition=1)

            assert told(steps) == [("published", steps[0].who, "no key, 5 bytes")]


class TestInGroups:
    async def test_a_failure_is_told_and_then_that_it_is_done_once(self) -> None:
        async with world() as at:
            await at.topic()
            await at.publish("a", "b")
            member = await at.join()
            first, second = await at.receive(member)
            await member.fail([first], 1_000)
            due_ms = at.clock.now_ms() + 1_000
            await at.clock.advance(1_000)
            await at.settle(member, await at.receive(member))
            await at.settle(member, [second])

            steps = told(at.explain(0))

            assert [what for what, _, _ in steps] == ["published", "failed", "done"]
            assert steps[1] == ("failed", "group 'billing'", f"1 failures, again at {due_ms} ms")
            assert steps[2] == ("done", "group 'billing'", "generation 1")

    async def test_what_a_group_repeats_in_later_commits_is_kept_once_for_each_group(self) -> None:
        def step(lsn: int, what: str, who: str, detail: str = "") -> LifeStep:
            return LifeStep(lsn=lsn, time_ms=0, what=what, who=who, detail=detail)

        failed, done, other = step(1, "failed", "a", "1"), step(3, "done", "a"), step(4, "done", "b")
        steps = [failed, step(2, "failed", "a", "1"), done, other, step(5, "done", "a", "later")]

        assert first_of_each(steps) == [failed, done, other]


class TestInQueues:
    async def test_a_message_is_leased_and_acknowledged_by_its_consumer(self) -> None:
        async with world() as at:
            queue, (_, second) = await queue_with(at, "a", "b")
            unit = at.broker.journal.unit()
            queue.ack(unit, [second.lease], consumer="worker")
            await unit.submit()

            steps = told(at.explain(1, "jobs"))

            assert steps[1:] == [
                ("leased", "worker", "queue 'jobs', hand-over 1, for a time"),
                ("acked", "worker", "queue 'jobs'"),
            ]
            assert [what for what, _, _ in told(at.explain(0, "jobs"))] == ["published", "leased"]

    async def test_a_message_that_is_handed_back_says_why_and_when_it_is_ready(self) -> None:
        async with world() as at:
            queue, (held,) = await queue_with(at, "a")
            unit = at.broker.journal.unit()
            queue.release(unit, [held.lease], reason="not mine")
            await unit.submit()

            assert told(at.explain(0, "jobs"))[-1] == (
                "released", "consumer", "queue 'jobs', 0 failures, ready at once: not mine"
            )  # fmt: skip

    async def test_a_message_that_dies_is_told_with_where_its_letter_went(self) -> None:
        async with world() as at:
            await at.topic("dead")
            queue, (held,) = await queue_with(at, "a", dead="dead")
            unit = at.broker.journal.unit()
            at.broker.bury(unit, queue, await queue.fail(unit, [held.lease], 0, "broken"))
            await unit.submit()

            steps = told(at.explain(0, "jobs"))

            assert sorted(steps[2:]) == [("copied", "broker", "to dead/0/0"), ("dead", "", "queue 'jobs'")]
            assert at.explain(0, "dead")[0].detail.endswith("caused by jobs/0/0")


class TestTrimmed:
    async def test_a_trim_ends_the_life_of_what_is_below_the_new_start_alone(self) -> None:
        async with world() as at:
            await at.topic()
            await at.publish("a", "b")
            await at.trim(1)

            assert told(at.explain(0))[-1] == ("trimmed", "retention", "log start 1: test")
            assert [step.what for step in at.explain(1)] == ["published"]

    async def test_of_what_went_with_its_segment_it_is_known_that_it_was_trimmed(self) -> None:
        async with world() as at:
            await at.topic()
            await at.publish("a")
            await at.trim(1)
            await at.broker.housekeeping.sweep(force=True)

            assert told(at.explain(0)) == [("trimmed", "retention", "log start 1")]
