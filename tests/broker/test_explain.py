"""The life of one event, told from the journal."""

import pytest

from isthmus.broker import accounts, redrive
from isthmus.broker.explain import first_of_each
from isthmus.broker.member import Member
from isthmus.broker.publishing import COPIES, Options
from isthmus.clock import MANUAL_START_MS
from isthmus.definition import Grant, QueueConfig, QueueDefinition, UserDefinition
from isthmus.errors import OffsetOutOfRange
from isthmus.lenses.queue.queue import Queue
from isthmus.log import checkpoint
from isthmus.log.headers import encode_headers
from isthmus.record import StoredRecord
from isthmus.views import LifeStep
from support.brokers import MANY_BYTES, Rows, World, records, world


def told(steps: list[LifeStep]) -> list[tuple[str, str]]:
    """What and who."""
    return [(step.what, step.who) for step in steps]


def rising(steps: list[LifeStep]) -> bool:
    lsns = [step.lsn for step in steps]
    return lsns == sorted(lsns)


async def bury(w: World, member: Member, rows: Rows, group: str = "billing") -> None:
    """As a stream source does: a copy to the dead letters and the end of the record, in one unit."""
    unit = w.broker.journal.unit()
    (_, record), *_ = rows
    letter = redrive.letter(
        record,
        cause=f"orders/0/{record.offset}",
        origin=f"group:{group}",
        reason="no money",
        traceback="",
        failed=2,
        now_ms=w.clock.now_ms(),
    )
    w.broker.add(w.session, unit, w.find("dead"), [letter], COPIES)
    member.settle(unit, rows)
    await unit.submit()


async def bring_home(w: World, group: str = "billing") -> None:
    dead = await w.broker.record_at(w.find("dead").partitions[0], 0)
    assert dead is not None
    unit = w.broker.journal.unit()
    w.broker.add(w.session, unit, w.find(), [redrive.revived(dead, group)], COPIES)
    await unit.submit()


class TestStreams:
    async def test_the_life_of_an_event_between_two_groups_with_failures_dead_letter_and_redrive(self) -> None:
        async with world() as w:
            await w.topic()
            await w.topic("dead")
            await w.publish("other")
            await w.publish("a:1", headers=encode_headers([("ce_type", b"Placed")]))
            billing, audit = await w.join("billing"), await w.join("audit")
            await w.drink(audit)
            rows = await w.receive(billing)
            await w.settle(billing, rows[:1])
            for _ in range(2):
                await billing.fail(rows[1:], 1_000)
                await w.clock.advance(1_000)
                rows[1:] = await w.receive(billing)
            await bury(w, billing, rows[1:])
            await bring_home(w)

            steps = w.explain(1)

            assert told(steps) == [
                ("published", "local"),
                ("done", "group 'audit'"),
                ("failed", "group 'billing'"),
                ("failed", "group 'billing'"),
                ("copied", "broker"),
                ("done", "group 'billing'"),
                ("copied", "broker"),
            ]
            assert rising(steps)
            assert steps[0].detail == "key b'a', 3 bytes, type Placed"
            assert steps[2].detail == f"1 failures, again at {MANUAL_START_MS + 1_000} ms"
            assert [steps[4].detail, steps[6].detail] == ["to dead/0/0", "to orders/0/2"]
            assert [step.time_ms for step in steps[:3]] == [MANUAL_START_MS] * 3

    async def test_what_came_home_knows_where_it_comes_from(self) -> None:
        async with world() as w:
            await w.topic()
            await w.topic("dead")
            await w.publish("a:1")
            member = await w.join()
            await bury(w, member, await w.receive(member))
            await bring_home(w)
            await w.drink(member)

            steps = w.explain(1)

            assert told(steps) == [("published", "local"), ("done", "group 'billing'")]
            assert steps[0].detail.endswith("caused by orders/0/0")
            assert told(w.explain(0, "dead")) == [("published", "local")]

    async def test_a_group_is_done_once_however_often_it_commits(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            for number in range(5):
                await w.publish(str(number))
                await w.drink(member)

            assert told(w.explain(0)) == [("published", "local"), ("done", "group 'billing'")]

    async def test_a_start_behind_the_event_is_told_apart_from_work(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            await w.join(start="latest")

            (_, step) = w.explain(0)

            assert (step.what, step.detail) == ("done", "no member: a start, a seek or a lone reader")

    async def test_it_is_the_same_after_a_restart_and_over_several_segments(self) -> None:
        async with world() as w:
            await w.topic()
            await w.topic("noise")
            await w.publish("before", to="noise")
            await w.publish("a")
            for _ in range(4):
                await w.publish("x" * 200_000, to="noise")
            member = await w.join()
            await w.drink(member)
            before = w.explain(0)

            await w.reopen()

            assert len(w.broker.journal.segments) > 2
            assert told(before) == [("published", "local"), ("done", "group 'billing'")]
            assert w.explain(0) == before

    async def test_a_batch_of_many_is_told_record_by_record(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "b:22")

            assert [w.explain(offset)[0].detail for offset in range(2)] == ["key b'a', 3 bytes", "key b'b', 4 bytes"]

    async def test_a_delayed_event_says_when_it_is_due(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", options=Options(due_ms=5_000, compression="gzip"))

            assert w.explain(0)[0].detail == "no key, 1 bytes, due at 5000 ms"

    async def test_compressed_copies_are_found_too(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            await w.publish("b", options=Options(cause="orders/0/0", compression="gzip"))

            assert told(w.explain(0)) == [("published", "local"), ("copied", "broker")]

    async def test_nothing_is_told_of_another_partition(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            await w.publish("here", partition=0)
            await w.publish("there", partition=1)
            await w.drink(await w.join())

            steps = w.explain(0, partition=1)

            assert told(steps) == [("published", "local"), ("done", "group 'billing'")]
            assert steps[0].detail == "no key, 5 bytes"

    async def test_a_name_that_only_begins_like_its_own_is_another_event(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b")
            await w.publish("copy of another", options=Options(cause="orders/0/11"))

            assert told(w.explain(1)) == [("published", "local")]


class TestTrims:
    async def test_a_trimmed_event_says_so_after_what_happened_before(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b")
            await w.drink(await w.join())

            await w.trim(1)
            steps = w.explain(0)

            assert told(steps) == [("published", "local"), ("done", "group 'billing'"), ("trimmed", "retention")]
            assert steps[-1].detail == "log start 1: test"
            assert "trimmed" not in [step.what for step in w.explain(1)]

    async def test_when_the_journal_no_longer_tells_it_says_that_it_was_trimmed(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            for _ in range(3):
                await w.publish("x" * 200_000)
            await w.trim(3)
            await w.broker.housekeeping.sweep(force=True)
            for _ in range(2):
                await checkpoint.take(w.broker.journal)
            await w.broker.housekeeping.sweep(force=True)

            steps = w.explain(0)

            assert w.broker.journal.segments[0].first_lsn > 0
            assert told(steps)[-1] == ("trimmed", "retention")
            assert ("published", "local") not in told(steps)

    @pytest.mark.parametrize("offset", [-1, 2, 100])
    async def test_an_offset_that_was_never_given_is_refused(self, offset: int) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b")

            with pytest.raises(OffsetOutOfRange, match="0 to 2"):
                w.explain(offset)


class TestQueues:
    async def queue(self, w: World) -> Queue:
        await w.topic("dead")
        config = QueueConfig(lease_ms=1_000, failed_max=2, dead="dead")
        return await w.broker.create_queue(w.session, QueueDefinition(name="jobs", config=config))

    async def lease(self, w: World, queue: Queue, consumer: str) -> list[StoredRecord]:
        found = await queue.lease(consumer, w.session.id, 0, 10, MANY_BYTES, wait_ms=0)
        self.leases = [one.lease for one in found]
        return [one.record for one in found]

    async def test_leases_failures_and_acknowledgements_are_told_with_their_consumers(self) -> None:
        async with world() as w:
            queue = await self.queue(w)
            await w.publish("a", to="jobs")
            await self.lease(w, queue, "first")
            unit = w.broker.journal.unit()
            await queue.fail(unit, self.leases, 0, "no luck")
            await unit.submit()
            await self.lease(w, queue, "second")
            unit = w.broker.journal.unit()
            queue.ack(unit, self.leases, consumer="second")
            await unit.submit()

            steps = w.explain(0, "jobs")

            assert [(step.what, step.who) for step in steps if step.what in {"leased", "acked"}] == [
                ("leased", "first"),
                ("leased", "second"),
                ("acked", "second"),
            ]
            released = next(step for step in steps if step.what == "released")
            assert released.detail.endswith("1 failures, ready at once: no luck")
            assert steps[1].detail.startswith("queue 'jobs', hand-over 1")
            assert rising(steps)

    async def test_an_event_that_dies_in_a_queue_names_its_letter(self) -> None:
        async with world() as w:
            queue = await self.queue(w)
            await w.publish("a", to="jobs")
            for _ in range(2):
                await self.lease(w, queue, "worker")
                await w.clock.advance(3_000)

            steps = w.explain(0, "jobs")

            assert ("copied", "broker") in told(steps)
            assert next(step for step in steps if step.what == "copied").detail == "to dead/0/0"
            assert steps[-1].what == "dead" or steps[-2].what == "dead"

    async def test_releases_are_all_told_with_their_reasons(self) -> None:
        async with world() as w:
            queue = await self.queue(w)
            await w.publish("a", to="jobs")
            for _ in range(2):
                await self.lease(w, queue, "worker")
                unit = w.broker.journal.unit()
                queue.release(unit, self.leases, reason="not mine")
                await unit.submit()

            released = [step.detail for step in w.explain(0, "jobs") if step.what == "released"]
            assert released == ["queue 'jobs', 0 failures, ready at once: not mine"] * 2


def test_of_what_a_group_repeats_the_first_is_kept() -> None:
    def step(what: str, who: str, detail: str = "") -> LifeStep:
        return LifeStep(lsn=0, time_ms=0, what=what, who=who, detail=detail)

    steps = [
        step("failed", "a", "1"),
        step("failed", "a", "1"),
        step("done", "b", "generation 1"),
        step("failed", "a", "2"),
        step("done", "a"),
        step("done", "b", "generation 2"),
        step("done", "a"),
    ]

    kept = [(one.what, one.who, one.detail) for one in first_of_each(steps)]

    assert kept == [("failed", "a", "1"), ("done", "b", "generation 1"), ("failed", "a", "2"), ("done", "a", "")]


async def test_a_user_that_published_is_named_and_after_its_end_only_numbered() -> None:
    async with world() as w:
        await w.topic()
        grant = Grant(operations=("publish",), pattern="orders")
        await accounts.create(w.broker, w.session, UserDefinition(name="ada", grants=(grant,)))
        session = w.broker.session("ada")
        await w.broker.publish(session, w.find(), records("a"))
        named = w.explain(0)

        await accounts.remove(w.broker, w.session, "ada")

        assert told(named) == [("published", "ada")]
        assert told(w.explain(0)) == [("published", f"principal {session.principal_id}")]
