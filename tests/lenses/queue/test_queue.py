"""The queue on a real journal: leases, their ends, the dying, order, openings, trims."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from isthmus.clock import SystemClock
from isthmus.definition import BackoffPolicy, QueueConfig
from isthmus.errors import Closed, InvalidArgument, LeaseLost
from isthmus.lenses.queue.part import Source
from isthmus.lenses.queue.queue import DYING_RECORDS_MAX
from isthmus.limits import LEASE_MS_MAX, LEASE_RECORDS_MAX
from isthmus.log import facts
from isthmus.log.storage import RealStorage
from isthmus.record import Lease, Leased
from support.queues import QUEUE, QueueWorld, leases, offsets, record

ONE_TRY: Final = QueueConfig(failed_max=1, dead="dead")
ORDERED: Final = QueueConfig(ordered=True, dead="dead")
NO_LIMIT: Final = QueueConfig(failed_max=None)


@pytest.fixture
async def world() -> AsyncIterator[QueueWorld]:
    async with QueueWorld() as made:
        yield made


def values(found: Sequence[Leased]) -> list[bytes | None]:
    return [leased.record.value for leased in found]


# ---- leasing ------------------------------------------------------------------------------------------------------


async def test_what_is_published_is_leased_in_order(world: QueueWorld) -> None:
    await world.publish("a", "b")
    await world.publish("c")

    found = await world.lease()

    assert values(found) == [b"a", b"b", b"c"]
    assert [leased.lease for leased in found] == [Lease(QUEUE, 1 << 16, at, 1, 0, 30_000) for at in range(3)]


async def test_a_lease_is_in_the_journal_before_the_record_is_out(world: QueueWorld) -> None:
    await world.publish("a")
    found = await world.lease()
    assert len(found) == 1

    await world.crash()

    again = await world.lease()
    assert [(leased.lease.acquired, leased.lease.failed) for leased in again] == [(2, 1)]


async def test_a_lease_lasts_as_long_as_it_was_asked_for(world: QueueWorld) -> None:
    await world.fill(3)

    default = await world.lease(1)
    short = await world.lease(1, lease_ms=1_000)
    endless = await world.lease(1, lease_ms=None)

    assert [found[0].lease.until_ms for found in (default, short, endless)] == [30_000, 1_000, None]


async def test_no_more_bytes_than_asked_for_but_always_one_record(world: QueueWorld) -> None:
    await world.publish(*["x" * 100] * 10)

    assert len(await world.lease(max_bytes=250)) == 2
    assert len(await world.lease(max_bytes=1)) == 1
    assert len(await world.lease(max_bytes=10_000)) == 7


async def test_bytes_count_over_batches_and_partitions() -> None:
    async with QueueWorld(partitions=2) as world:
        for at in range(8):
            await world.publish("x" * 100, index=at % 2)

        assert len(await world.lease(max_bytes=250)) == 2
        assert len(await world.lease(max_bytes=550)) == 5


async def test_bytes_of_compressed_records_are_those_that_come_out() -> None:
    async with QueueWorld() as world:
        await world.publish(*["x" * 1_000] * 20, compression="gzip")

        assert len(await world.lease(max_bytes=5_500)) == 5


async def test_a_queue_over_several_partitions_leases_them_in_turn() -> None:
    async with QueueWorld(partitions=3) as world:
        for index in range(3):
            await world.fill(2, index=index)

        turns = [(await world.lease(1))[0].lease.partition & 0xFFFF for _ in range(6)]
        assert turns == [0, 1, 2, 0, 1, 2]


async def test_one_call_takes_from_as_many_partitions_as_it_needs() -> None:
    async with QueueWorld(partitions=3) as world:
        for index in range(3):
            await world.fill(4, index=index)

        found = await world.lease(10)

        assert [leased.lease.partition & 0xFFFF for leased in found] == [0] * 4 + [1] * 4 + [2] * 2


@pytest.mark.parametrize(
    ("argument", "value"),
    [("count", 0), ("count", LEASE_RECORDS_MAX + 1), ("max_bytes", 0), ("lease_ms", 0), ("lease_ms", LEASE_MS_MAX + 1)],
)
async def test_what_cannot_be_leased_is_refused_by_name(world: QueueWorld, argument: str, value: int) -> None:
    asked = {"count": 1, "max_bytes": 100, "lease_ms": 1_000, argument: value}

    with pytest.raises(InvalidArgument, match=argument):
        await world.queue.lease("one", 1, 0, asked["count"], asked["max_bytes"], asked["lease_ms"])


async def test_a_run_of_a_key_needs_an_ordered_queue(world: QueueWorld) -> None:
    with pytest.raises(InvalidArgument, match="not ordered"):
        await world.lease(run_of_key=True)


# ---- settling -----------------------------------------------------------------------------------------------------


async def test_what_is_acknowledged_never_comes_back(world: QueueWorld) -> None:
    await world.fill(4)
    found = await world.lease(3)
    await world.ack(found)

    await world.crash()

    assert offsets(await world.lease()) == [3]
    assert world.queue.counts().acked == 3
    assert world.queue.floor(world.partition()) == 3


async def test_acknowledgement_and_outputs_share_their_fate(world: QueueWorld) -> None:
    await world.publish("in")
    found = await world.lease(lease_ms=1_000)
    await world.clock.advance(1_000)
    await world.expire()

    unit = world.journal.unit()
    world.append(unit, "out")
    world.queue.ack(unit, leases(found))
    with pytest.raises(LeaseLost):
        unit.submit()

    assert world.partition().high_watermark == 1


async def test_a_lease_is_acknowledged_once(world: QueueWorld) -> None:
    await world.fill(2)
    found = await world.lease()
    await world.ack(found)

    with pytest.raises(LeaseLost) as lost:
        await world.ack(found[1:])

    assert (lost.value.queue, lost.value.partition, lost.value.offset) == ("jobs", 0, 1)


async def test_a_second_acknowledgement_while_the_first_is_in_flight_is_refused(tmp_path: Path) -> None:
    async with QueueWorld(storage=RealStorage(str(tmp_path / "store")), clock=SystemClock()) as world:
        await world.fill(1)
        found = await world.lease()
        first, second = world.journal.unit(), world.journal.unit()
        world.queue.ack(first, leases(found))
        world.queue.ack(second, leases(found))
        pending = first.submit()
        assert not pending.done

        with pytest.raises(LeaseLost):
            second.submit()

        await pending
        assert world.queue.counts().acked == 1


async def test_the_lease_of_another_consumer_is_no_longer_mine(world: QueueWorld) -> None:
    await world.fill(1)
    mine = await world.lease()
    await world.release(mine)
    theirs = await world.lease(consumer="two", session=2)

    with pytest.raises(LeaseLost):
        await world.ack(mine)
    await world.ack(theirs)


async def test_a_lease_of_another_queue_is_not_held_here(world: QueueWorld) -> None:
    unit = world.journal.unit()

    with pytest.raises(LeaseLost):
        world.queue.ack(unit, [Lease(QUEUE, 99 << 16, 0, 1, 0, None)])


async def test_ranges_of_one_session_are_acknowledged_at_once(world: QueueWorld) -> None:
    await world.fill(10)
    await world.lease(6, session=3, lease_ms=None)
    await world.lease(4, session=4, lease_ms=None)

    unit = world.journal.unit()
    world.queue.ack_ranges(unit, world.partition(), [(0, 2), (3, 6)], session_id=3)
    await unit.submit()
    stale = world.journal.unit()
    world.queue.ack_ranges(stale, world.partition(), [(2, 3), (6, 7)], session_id=3)
    with pytest.raises(LeaseLost):
        stale.submit()

    assert world.queue.counts().acked == 5


async def test_settle_facts_say_who_and_why(world: QueueWorld) -> None:
    told: list[facts.Settled] = []

    def apply(fact: facts.Settled, lsn: int) -> None:
        told.append(fact)
        world.queue.apply(fact, lsn)

    world.journal.register(facts.Settled, apply)
    await world.fill(2)
    found = await world.lease()

    unit = world.journal.unit()
    world.queue.ack(unit, leases(found[:1]), consumer="one")
    await world.queue.reject(unit, leases(found[1:]), "no", consumer="two")
    await unit.submit()

    assert [(fact.why, fact.consumer, fact.ranges) for fact in told] == [
        ("acked", "one", ((0, 1),)),
        ("rejected", "two", ((1, 2),)),
    ]


# ---- failing, releasing, rejecting --------------------------------------------------------------------------------


async def test_a_failed_record_comes_again_after_its_delay(world: QueueWorld) -> None:
    await world.fill(2)
    await world.fail((await world.lease(1)), delay_ms=1_000)

    assert offsets(await world.lease(9)) == [1]
    await world.clock.advance(999)
    assert await world.lease() == []
    await world.clock.advance(1)
    again = await world.lease()

    assert [(one.lease.offset, one.lease.acquired, one.lease.failed) for one in again] == [(0, 2, 1)]


async def test_what_fails_at_its_limit_dies_in_the_unit_of_its_holder() -> None:
    async with QueueWorld(QueueConfig(failed_max=2, dead="dead")) as world:
        await world.publish("good", "poison")
        assert await world.fail(await world.lease(), reason="first") == []
        found = await world.lease()
        await world.ack(found[:1])

        unit = world.journal.unit()
        dead = await world.queue.fail(unit, leases(found[1:]), 0, "second", "Traceback")
        assert world.queue.counts().dead == 0
        await unit.submit()

        assert [(one.record.value, one.failed, one.reason, one.traceback) for one in dead] == [
            (b"poison", 2, "second", "Traceback")
        ]
        assert dead[0].partition is world.partition()
        assert world.queue.counts().dead == 1
        assert await world.lease() == []


async def test_without_a_place_for_dead_letters_nothing_is_read() -> None:
    async with QueueWorld(QueueConfig(failed_max=1, dead=None)) as world:
        await world.publish("a", "b")

        assert await world.fail(await world.lease(1)) == []
        await world.lease(1, lease_ms=None)
        await world.end_session()

        assert await world.expire() == []
        assert world.queue.counts().dead == 2


async def test_a_rejected_record_dies_at_once_and_is_returned(world: QueueWorld) -> None:
    await world.publish("a")
    unit = world.journal.unit()

    dead = await world.queue.reject(unit, leases(await world.lease()), "nothing to do", "trace")
    await unit.submit()

    assert [(one.record.value, one.reason, one.failed) for one in dead] == [(b"a", "nothing to do", 1)]
    assert world.queue.counts().rejected == 1


async def test_a_refused_rejection_changes_nothing(world: QueueWorld) -> None:
    await world.publish("a")
    found = await world.lease(lease_ms=10)
    unit = world.journal.unit()
    await world.queue.reject(unit, leases(found), "late")
    await world.clock.advance(10)
    await world.expire()

    with pytest.raises(LeaseLost):
        unit.submit()

    assert world.queue.counts().rejected == 0
    with pytest.raises(LeaseLost):
        await world.queue.reject(world.journal.unit(), leases(found), "later")


async def test_a_released_record_is_not_failed_and_keeps_its_place(world: QueueWorld) -> None:
    await world.fill(3)
    found = await world.lease(2)
    await world.release(found[:1])

    again = await world.lease(2)

    assert [(one.lease.offset, one.lease.acquired, one.lease.failed) for one in again] == [(0, 2, 0), (2, 1, 0)]


async def test_releasing_passes_over_what_is_not_held_any_more(world: QueueWorld) -> None:
    await world.fill(2)
    found = await world.lease()
    await world.ack(found[:1])

    await world.release(found, delay_ms=500)

    assert (world.queue.counts().acked, world.queue.counts().delayed) == (1, 1)
    unit = world.journal.unit()
    world.queue.release(unit, [*leases(found), Lease(QUEUE, 99 << 16, 0, 1, 0, None)])
    assert not unit.changes


@pytest.mark.parametrize("delay_ms", [-1])
async def test_a_negative_delay_is_refused(world: QueueWorld, delay_ms: int) -> None:
    await world.fill(1)
    found = await world.lease()

    with pytest.raises(InvalidArgument, match="delay_ms"):
        await world.fail(found, delay_ms)
    with pytest.raises(InvalidArgument, match="delay_ms"):
        await world.release(found, delay_ms)


# ---- time ---------------------------------------------------------------------------------------------------------


async def test_an_expired_lease_counts_as_failed_and_the_record_comes_again(world: QueueWorld) -> None:
    await world.fill(1)
    await world.lease(lease_ms=1_000)
    await world.clock.advance(999)
    await world.expire()
    assert await world.lease() == []

    await world.clock.advance(1)
    await world.expire()

    again = await world.lease()
    assert [(one.lease.acquired, one.lease.failed) for one in again] == [(2, 1)]


async def test_after_a_stall_leases_have_a_grace(world: QueueWorld) -> None:
    await world.fill(1)
    found = await world.lease(lease_ms=1_000)
    await world.clock.advance(1_500)

    await world.expire(grace_ms=600)
    world.queue.extend(leases(found), 1_000)
    await world.expire()

    await world.ack(found)


async def test_an_extended_lease_ends_later(world: QueueWorld) -> None:
    await world.fill(3)
    found = await world.lease(lease_ms=1_000)
    endless = await world.lease(lease_ms=None)
    await world.clock.advance(900)

    renewed = world.queue.extend(leases(found), 1_000)

    assert [lease.until_ms for lease in renewed] == [1_900] * 3
    assert world.queue.extend(leases(endless), 5_000) == leases(endless)
    await world.clock.advance(500)
    await world.expire()
    await world.ack(found)


async def test_extending_names_a_lost_lease_and_renews_the_others(world: QueueWorld) -> None:
    await world.fill(3)
    found = await world.lease(lease_ms=1_000)
    await world.ack(found[1:2])

    with pytest.raises(LeaseLost) as lost:
        world.queue.extend(leases(found), 9_000)

    assert lost.value.offset == 1
    await world.clock.advance(5_000)
    await world.expire()
    await world.ack([found[0], found[2]])
    with pytest.raises(InvalidArgument, match="lease_ms"):
        world.queue.extend([], 0)


async def test_next_due_ms_says_when_there_is_something_to_do(world: QueueWorld) -> None:
    assert world.queue.next_due_ms() is None
    await world.publish("a", record("b", expire_ms=world.clock.now_ms() + 5_000))

    await world.lease(1, lease_ms=200)

    assert world.queue.next_due_ms() == 0
    await world.expire()
    assert world.queue.next_due_ms() == 200
    await world.clock.advance(300)
    await world.expire()
    await world.expire()
    bound = world.queue.next_due_ms()
    assert bound is not None
    assert 300 < bound <= 5_000


async def test_what_is_dying_is_due_now() -> None:
    async with QueueWorld(ONE_TRY) as world:
        await world.publish("a")
        await world.lease(lease_ms=None)
        await world.expire()
        assert world.queue.next_due_ms() is None

        await world.end_session()

        assert world.queue.next_due_ms() == world.clock.monotonic_ms()
        await world.expire()
        assert world.queue.next_due_ms() is None


async def test_a_record_that_has_outlived_its_time_is_not_delivered() -> None:
    async with QueueWorld(QueueConfig()) as world:
        await _outlive(world)

        assert world.queue.counts().expired == 2


async def test_one_that_leaves_a_dead_letter_is_not_delivered_either_and_waits_to_be_buried(world: QueueWorld) -> None:
    assert world.queue.buries

    await _outlive(world)
    before = world.queue.counts().expired
    dead = await world.expire()

    assert (before, world.queue.counts().expired) == (0, 2)
    assert [(one.record.value, one.why) for one in dead] == [(b"b", "expired"), (b"d", "expired")]


async def _outlive(world: QueueWorld) -> None:
    """Two of four records come to their end, one of them while it is leased."""
    now_ms = world.clock.now_ms()
    await world.publish("a", record("b", expire_ms=now_ms + 100), "c", record("d", expire_ms=now_ms + 900))
    await world.clock.advance(100)

    found = await world.lease()

    assert values(found) == [b"a", b"c", b"d"]
    await world.release(found)
    await world.clock.advance(800)
    assert values(await world.lease()) == [b"a", b"c"]


async def test_housekeeping_expires_without_a_consumer(world: QueueWorld) -> None:
    now_ms = world.clock.now_ms()
    await world.publish(record("a", expire_ms=now_ms + 100), record("b", due_ms=now_ms + 50))
    await world.expire()
    assert world.queue.counts().delayed == 1
    await world.clock.advance(100)

    await world.expire()

    assert (world.queue.counts().expired, world.queue.counts().ready) == (1, 1)


async def test_the_time_to_live_of_a_queue_counts_from_the_append() -> None:
    async with QueueWorld(QueueConfig(ttl_ms=6_400)) as world:
        await world.fill(10)
        await world.clock.advance(3_200)
        await world.fill(5)
        await world.clock.advance(3_200)

        await world.expire()

        assert world.queue.counts().expired == 10
        assert offsets(await world.lease()) == [10, 11, 12, 13, 14]


async def test_while_the_clock_is_not_to_be_trusted_no_record_is_too_old(world: QueueWorld) -> None:
    await world.publish(record("a", expire_ms=world.clock.now_ms() + 100))
    await world.clock.advance(100)
    unit = world.journal.unit()

    await world.queue.expire(unit, steady=False)
    assert world.queue.counts().expired == 0
    await world.expire()

    assert world.queue.counts().expired == 1


async def test_a_header_that_is_no_time_is_none(world: QueueWorld) -> None:
    strange = record("x")
    for text in (b"soon", b"-5", b"9" * 40, b""):
        headers = b"\x02\x16isthmus-due" + bytes([len(text) * 2]) + text
        await world.publish(type(strange)(b"x", None, headers))

    assert len(await world.lease()) == 4


async def test_a_delayed_record_wakes_who_waits(world: QueueWorld) -> None:
    await world.publish(record("later", due_ms=world.clock.now_ms() + 60_000))
    waiting = asyncio.create_task(world.lease(wait_ms=100_000))

    await world.clock.advance(59_999)
    assert not waiting.done()
    await world.clock.advance(1)

    assert values(await waiting) == [b"later"]


# ---- sessions -----------------------------------------------------------------------------------------------------


async def test_leases_without_time_limit_end_with_their_session(world: QueueWorld) -> None:
    await world.fill(4)
    await world.lease(2, session=3, lease_ms=None)
    await world.lease(1, session=3, lease_ms=1_000)
    await world.lease(1, session=4, lease_ms=None)

    await world.end_session(3)

    again = await world.lease()
    assert [(one.lease.offset, one.lease.failed) for one in again] == [(0, 1), (1, 1)]


async def test_an_orderly_end_of_a_session_counts_no_failure(world: QueueWorld) -> None:
    await world.fill(1)
    await world.lease(session=3, lease_ms=None)
    unit = world.journal.unit()

    world.queue.end_session(unit, 3, failed=False)
    await unit.submit()

    assert [one.lease.failed for one in await world.lease()] == [0]


async def test_a_session_without_leases_adds_nothing_to_the_unit(world: QueueWorld) -> None:
    unit = world.journal.unit()

    world.queue.end_session(unit, 3)

    assert not unit.changes


# ---- the dying ----------------------------------------------------------------------------------------------------


async def test_what_loses_its_consumer_too_often_is_dying_until_it_is_buried() -> None:
    async with QueueWorld(ONE_TRY) as world:
        await world.publish("a", "b")
        await world.lease(1, lease_ms=None)

        await world.end_session()
        assert (world.queue.counts().dying, world.queue.counts().dead) == (1, 0)
        assert values(await world.lease()) == [b"b"]
        dead = await world.expire()

        assert [(one.record.value, one.failed, one.acquired) for one in dead] == [(b"a", 1, 1)]
        assert (world.queue.counts().dying, world.queue.counts().dead) == (0, 1)


async def test_what_is_dying_is_still_dying_after_a_crash() -> None:
    async with QueueWorld(ONE_TRY) as world:
        await world.publish("a")
        await world.lease(lease_ms=None)
        await world.end_session()

        await world.crash()

        assert world.queue.counts().dying == 1
        assert [one.record.value for one in await world.expire()] == [b"a"]


async def test_a_unit_that_is_dropped_buries_nobody() -> None:
    async with QueueWorld(ONE_TRY) as world:
        await world.publish("a")
        await world.lease(lease_ms=None)
        await world.end_session()

        dropped = await world.queue.expire(world.journal.unit())

        assert len(dropped) == 1
        assert world.queue.counts().dying == 1
        assert len(await world.expire()) == 1


async def test_what_kills_the_process_each_time_reaches_its_limit() -> None:
    async with QueueWorld(QueueConfig(failed_max=3, dead="dead")) as world:
        await world.publish("poison")
        for _ in range(3):
            assert len(await world.lease()) == 1
            await world.crash()

        assert await world.lease() == []
        assert [one.failed for one in await world.expire()] == [3]


async def test_hand_overs_have_a_limit_of_their_own() -> None:
    async with QueueWorld(QueueConfig(failed_max=None, acquired_max=2, dead="dead")) as world:
        await world.publish("a")
        for _ in range(2):
            await world.release(await world.lease())

        assert await world.lease() == []
        assert [(one.acquired, one.failed) for one in await world.expire()] == [(2, 0)]


async def test_many_dying_are_buried_in_several_rounds() -> None:
    async with QueueWorld(ONE_TRY) as world:
        count = DYING_RECORDS_MAX + 10
        await world.fill(count)
        await world.lease(count, lease_ms=None)
        await world.end_session()

        assert [len(await world.expire()) for _ in range(3)] == [DYING_RECORDS_MAX, 10, 0]


async def test_what_is_trimmed_while_it_is_dying_leaves_no_letter() -> None:
    async with QueueWorld(ONE_TRY) as world:
        await world.publish("a", "b")
        await world.lease(lease_ms=None)
        await world.end_session()
        unit = world.journal.unit()
        dead = await world.queue.expire(unit)
        await world.trim(1)

        assert len(dead) == 2
        with pytest.raises(LeaseLost):
            unit.submit()

        assert [one.record.value for one in await world.expire()] == [b"b"]
        assert (world.queue.counts().trimmed, world.queue.counts().dead) == (1, 1)


# ---- order by key -------------------------------------------------------------------------------------------------


async def test_a_failing_key_holds_back_only_itself() -> None:
    async with QueueWorld(ORDERED) as world:
        await world.publish(*[record(f"{key}{number}", key=key.encode()) for number in range(3) for key in "ab"])
        first = await world.lease()
        assert values(first) == [b"a0", b"b0"]

        await world.fail(first[:1], delay_ms=1_000)
        await world.ack(first[1:])

        second = await world.lease()
        assert values(second) == [b"b1"]
        await world.clock.advance(1_000)
        assert values(await world.lease()) == [b"a0"]


async def test_an_acknowledgement_wakes_who_waits_for_the_next_of_the_key() -> None:
    async with QueueWorld(ORDERED) as world:
        await world.publish(record("1", key=b"k"), record("2", key=b"k"))
        first = await world.lease()
        waiting = asyncio.create_task(world.lease(wait_ms=1_000))
        await world.clock.drain()
        assert not waiting.done()

        await world.ack(first)

        assert values(await waiting) == [b"2"]


async def test_a_run_of_a_key_is_leased_to_one_consumer_at_once() -> None:
    async with QueueWorld(ORDERED) as world:
        keys = ["a", "b", "a", "a", "b", "a"]
        await world.publish(*[record(f"{key}{at}", key=key.encode()) for at, key in enumerate(keys)])

        run = await world.lease(3, run_of_key=True)
        other = await world.lease(9, run_of_key=True)

        assert values(run) == [b"a0", b"a2", b"a3"]
        assert values(other) == [b"b1", b"b4"]
        assert await world.lease() == []


async def test_a_run_has_no_more_bytes_than_asked_for() -> None:
    async with QueueWorld(ORDERED) as world:
        await world.publish(*[record("x" * 100, key=b"k")] * 5)

        assert len(await world.lease(5, run_of_key=True, max_bytes=250)) == 2


async def test_order_holds_across_an_opening() -> None:
    async with QueueWorld(ORDERED) as world:
        await world.publish(*[record(f"{at}", key=b"k") for at in range(3)])
        await world.fail(await world.lease(), delay_ms=1_000)

        await world.crash()

        assert await world.lease() == []
        await world.clock.advance(1_000)
        assert values(await world.lease()) == [b"0"]


# ---- views --------------------------------------------------------------------------------------------------------


async def test_a_view_takes_from_the_shared_topic_from_its_start_on() -> None:
    async with QueueWorld(shared=1, view_start=2) as world:
        await world.publish("s0", "s1", "s2", kind="shared")
        await world.publish("own")

        found = await world.lease()

        assert set(values(found)) == {b"own", b"s2"}
        assert world.queue.counts().enqueued == 2


async def test_attributes_of_records_in_a_shared_topic_mean_nothing_to_a_view() -> None:
    async with QueueWorld(shared=1) as world:
        late = world.clock.now_ms() + 60_000
        await world.publish(record("s", due_ms=late), record("t", expire_ms=1), kind="shared")

        assert values(await world.lease()) == [b"s", b"t"]


# ---- trims, purge, peek, counts -----------------------------------------------------------------------------------


async def test_a_trim_settles_what_it_takes_away(world: QueueWorld) -> None:
    await world.fill(10)
    held = await world.lease(3)

    await world.trim(5)

    assert world.queue.counts().trimmed == 5
    assert offsets(await world.lease(1)) == [5]
    await world.ack(held)
    with pytest.raises(LeaseLost):
        await world.ack(held)
    assert world.queue.counts().acked == 0


async def test_records_that_were_trimmed_unasked_are_passed_over(world: QueueWorld) -> None:
    await world.fill(10)
    unit = world.journal.unit()
    unit.fact(facts.Trimmed(world.partition().id, 4, "repair", 0))
    await unit.submit()

    assert offsets(await world.lease(1)) == [4]
    assert world.queue.counts().trimmed == 4


async def test_a_purge_settles_all_but_what_is_leased(world: QueueWorld) -> None:
    await world.fill(10)
    held = await world.lease(2)
    unit = world.journal.unit()

    assert world.queue.purge(unit) == 8
    await unit.submit()

    assert await world.lease() == []
    await world.ack(held)
    assert world.queue.floor(world.partition()) == 10
    assert (world.queue.counts().purged, world.queue.counts().acked) == (8, 2)


async def test_peek_shows_what_is_there_and_takes_nothing() -> None:
    async with QueueWorld(ONE_TRY) as world:
        later = world.clock.now_ms() + 60_000
        await world.publish("0", "1", "2", record("3", due_ms=later), "4")
        found = await world.lease(3, lease_ms=None)
        await world.release(found[2:], delay_ms=500)
        await world.ack(found[:1])
        await world.end_session()

        seen = await world.queue.peek(10)

        assert [(one.record.value, one.state, one.acquired, one.failed) for one in seen] == [
            (b"1", "dying", 1, 1),
            (b"2", "delayed", 1, 0),
            (b"3", "delayed", 0, 0),
            (b"4", "ready", 0, 0),
        ]
        assert [one.due_ms for one in seen] == [None, later - 59_500, later, None]
        assert [one.topic for one in await world.queue.peek(1)] == ["jobs"]
        assert world.queue.counts().ready + world.queue.counts().delayed == 3


async def test_peek_at_an_empty_queue_is_empty(world: QueueWorld) -> None:
    assert await world.queue.peek(5) == []
    assert await world.queue.oldest_ready_ms() is None


async def test_the_oldest_ready_record_is_not_a_leased_one(world: QueueWorld) -> None:
    for _ in range(3):
        await world.publish("x")
        await world.clock.advance(1_000)
    await world.lease(1)

    assert await world.queue.oldest_ready_ms() == world.clock.now_ms() - 2_000


async def test_every_record_is_somewhere(world: QueueWorld) -> None:
    await world.publish(*["x"] * 20, record("late", due_ms=world.clock.now_ms() + 9_000))
    found = await world.lease(12)
    await world.ack(found[:3])
    await world.fail(found[3:5], delay_ms=500)
    await world.release(found[5:6])

    counts = world.queue.counts()

    assert counts.enqueued == 21
    assert counts.ready + counts.leased + counts.delayed + counts.dying + counts.acked == 21
    assert (counts.leased, counts.delayed, counts.acked) == (6, 3, 3)


async def test_a_partition_that_is_not_the_queues_holds_all_back(world: QueueWorld) -> None:
    stranger = world.journal.add_partition(77 << 16, "fsync")

    assert world.queue.floor(stranger) == stranger.log_start
    world.queue.trimmed(world.journal.unit(), stranger, 0)


# ---- life ---------------------------------------------------------------------------------------------------------


async def test_a_checkpoint_carries_everything() -> None:
    async with QueueWorld() as world:
        await world.fill(20)
        found = await world.lease(8)
        await world.ack(found[1:4])
        await world.fail(found[4:5], delay_ms=60_000)
        before = world.queue.counts()
        await world.checkpoint()
        await world.checkpoint()

        await world.crash()

        assert world.queue.counts().acked == before.acked
        assert world.queue.counts().delayed == 1
        assert offsets(await world.lease()) == [0, 5, 6, 7, *range(8, 20)]


async def test_another_configuration_is_used_from_now_on(world: QueueWorld) -> None:
    await world.fill(1)
    await world.fail(await world.lease())

    world.queue.reconfigure(QueueConfig(failed_max=2, lease_ms=5_000, backoff=BackoffPolicy(attempts=2)))

    found = await world.lease()
    assert found[0].lease.until_ms == 5_000
    await world.fail(found)
    assert world.queue.counts().dead == 1
    with pytest.raises(InvalidArgument, match="ordered"):
        world.queue.reconfigure(ORDERED)


async def test_a_topic_may_get_more_partitions(world: QueueWorld) -> None:
    more = world.journal.add_partition(1 << 16 | 1, "fsync")
    source = Source(more, 0, topic="jobs")

    world.queue.add_source(source)
    world.queue.add_source(source)

    await world.publish("a", index=1)
    assert values(await world.lease()) == [b"a"]


async def test_a_closed_queue_gives_nothing_and_says_so(world: QueueWorld) -> None:
    waiting = asyncio.create_task(world.lease(wait_ms=1_000))
    await world.clock.drain()

    world.queue.close()

    assert await waiting == []
    with pytest.raises(Closed):
        await world.lease()


async def test_a_fact_of_a_partition_that_is_gone_is_passed_over(world: QueueWorld) -> None:
    world.queue.apply(facts.Settled(QUEUE, 99 << 16, ((0, 1),), "acked", "", 0))

    assert world.queue.counts().acked == 0


async def test_on_a_disk_all_of_it_holds_too(tmp_path: Path) -> None:
    async with QueueWorld(storage=RealStorage(str(tmp_path / "store")), clock=SystemClock()) as world:
        for _ in range(20):
            await world.fill(50)
        done = 0
        while done < 1_000:
            found = await world.lease(64, wait_ms=1_000)
            done += len(found)
            await world.ack(found)

        assert world.queue.counts().acked == 1_000
        assert world.queue.floor(world.partition()) == 1_000


class TestLevelsOfPriority:
    async def test_the_highest_level_goes_first_and_each_in_order(self) -> None:
        async with QueueWorld(QueueConfig(priorities=3), partitions=3) as world:
            for level in (1, 0, 2, 1):
                await world.publish(f"{level}a", f"{level}b", index=level)

            found = await world.lease(5)

            assert [leased.record.value for leased in found] == [b"2a", b"2b", b"1a", b"1b", b"1a"]

    async def test_what_comes_on_a_higher_level_overtakes(self) -> None:
        async with QueueWorld(QueueConfig(priorities=3), partitions=3) as world:
            await world.fill(3)
            one = world.consume(1)
            await world.clock.drain()

            await world.publish("urgent", index=2)
            one.consumer.grant(2)
            await world.clock.drain()

            assert [leased.record.value for leased in one.leased] == [b"0", b"urgent", b"1"]

    async def test_what_failed_goes_before_lower_levels_again(self) -> None:
        async with QueueWorld(QueueConfig(priorities=2), partitions=2) as world:
            await world.fill(1)
            await world.publish("high", index=1)

            await world.fail(await world.lease(1))

            assert [leased.record.value for leased in await world.lease(2)] == [b"high", b"0"]

    async def test_a_level_has_a_ledger_from_its_first_record_on(self) -> None:
        async with QueueWorld(QueueConfig(priorities=200), partitions=200) as world:
            assert world.queue._parts == []

            await world.publish("x", index=7)
            await world.publish("y", index=150)

            assert [part.source.partition.index for part in world.queue._parts] == [150, 7]
            assert world.queue.floor(world.partition(3)) == 0
            assert not world.queue.settled(world.partition(3))

    @pytest.mark.parametrize("checkpoint", [False, True])
    async def test_levels_survive_an_opening(self, checkpoint: bool) -> None:
        async with QueueWorld(QueueConfig(priorities=5), partitions=5) as world:
            for level in (0, 4, 2):
                await world.publish(f"{level}a", f"{level}b", index=level)
            await world.ack(await world.lease(3))
            if checkpoint:
                await world.checkpoint()

            await world.crash()

            assert [leased.record.value for leased in await world.lease(9)] == [b"2b", b"0a", b"0b"]
            assert world.queue.counts().acked == 3

    async def test_a_level_on_disk_holds_back_lower_ones_in_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        storage = RealStorage(str(tmp_path / "store"))
        config = QueueConfig(priorities=2)
        async with QueueWorld(config, partitions=2, storage=storage, clock=SystemClock()) as world:
            high, read_now = world.partition(1), world.journal.read_now
            monkeypatch.setattr(
                world.journal,
                "read_now",
                lambda partition, *rest: None if partition is high else read_now(partition, *rest),
            )
            await world.publish("low")
            await world.publish("high", index=1)

            found = await world.lease(1, wait_ms=5_000)

            assert [leased.record.value for leased in found] == [b"high"]

    async def test_the_number_of_levels_is_fixed(self) -> None:
        async with QueueWorld(QueueConfig(priorities=2), partitions=2) as world:
            with pytest.raises(InvalidArgument, match="was made with 2"):
                world.queue.reconfigure(QueueConfig(priorities=3))


async def test_a_queue_has_something_to_do_when_a_time_has_come(world: QueueWorld) -> None:
    assert not world.queue.is_due(world.clock.monotonic_ms())
    await world.fill(1)
    await world.lease(lease_ms=5_000)
    await world.expire()

    assert not world.queue.is_due(world.clock.monotonic_ms())
    assert world.queue.is_due(world.clock.monotonic_ms() + 5_000)
