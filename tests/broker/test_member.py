"""Members of a consumer group through the broker: what they are handed, what a commit keeps, who owns what."""

import asyncio
from pathlib import Path

import pytest

from isthmus.broker.member import REVOKE_MS, SESSION_MS, Member
from isthmus.broker.publishing import ONLY
from isthmus.clock import MANUAL_START_MS, SystemClock
from isthmus.definition import DEFAULT_NAMESPACE, TopicDefinition
from isthmus.errors import Closed, InvalidArgument, StaleGeneration, UnknownMember, UnknownTopic
from isthmus.lenses.stream import position
from isthmus.log import batch as batches
from isthmus.log.headers import encode_headers
from isthmus.log.journal import Unit
from isthmus.log.storage import RealStorage
from isthmus.record import Record
from support.brokers import MANY_BYTES, Rows, World, offsets, values, world

SOME = [f"{key}:{number}" for number in range(6) for key in "abcdefgh"]


def output(w: World, unit: Unit, text: str, to: str = "out") -> None:
    """What a handler publishes together with what it settles."""
    w.broker.add(w.session, unit, w.find(to), [Record(text.encode())])


async def only(w: World, member: Member) -> Rows:
    rows = await w.receive(member)
    assert rows, "nothing came"
    return rows


class TestReceiving:
    async def test_a_member_alone_gets_everything_in_the_order_of_each_partition(self) -> None:
        async with world() as w:
            await w.topic(partitions=3)
            await w.publish(*SOME)
            member = await w.join()

            found = await w.drink(member)

            assert sorted(found) == sorted(SOME)
            for key in "abcdefgh":
                assert [text for text in found if text[0] == key] == [text for text in SOME if text[0] == key]

    async def test_what_is_handed_out_at_once_is_of_one_partition_and_partitions_take_turns(self) -> None:
        async with world() as w:
            await w.topic(partitions=3)
            for partition in range(3):
                await w.publish("1", "2", "3", "4", partition=partition)
            member = await w.join()

            rounds = [await w.receive(member, 2) for _ in range(6)]

            assert [[owned.partition.index for owned, _ in rows] for rows in rounds] == [
                [index, index] for index in (0, 1, 2, 0, 1, 2)
            ]

    async def test_small_batches_are_handed_out_together(self) -> None:
        async with world() as w:
            await w.topic()
            for number in range(10):
                await w.publish(str(number))
            member = await w.join()

            assert values(await w.receive(member, 7)) == ["0", "1", "2", "3", "4", "5", "6"]
            assert values(await w.receive(member, 7)) == ["7", "8", "9"]

    async def test_what_is_taken_is_not_handed_out_again(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b")
            member = await w.join()

            await w.receive(member)

            assert await w.receive(member) == []

    async def test_a_waiting_receive_wakes_when_something_is_published(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            waiting = asyncio.ensure_future(w.receive(member, wait_ms=60_000))
            await w.clock.drain()

            await w.publish("a")

            assert values(await waiting) == ["a"]

    async def test_a_waiting_receive_ends_when_its_time_is_up(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            waiting = asyncio.ensure_future(w.receive(member, wait_ms=500))

            await w.clock.advance(499)
            early = waiting.done()
            await w.clock.advance(1)

            assert (early, await waiting) == (False, [])

    async def test_a_waiting_receive_ends_with_nothing_when_the_member_is_closed(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            waiting = asyncio.ensure_future(w.receive(member, wait_ms=60_000))
            await w.clock.drain()

            member.close()
            member.close()

            assert await waiting == []
            assert await w.receive(member) == []

    async def test_a_cancelled_receive_has_taken_nothing(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            waiting = asyncio.ensure_future(w.receive(member, wait_ms=60_000))
            await w.clock.drain()

            waiting.cancel()
            await w.publish("a")

            assert values(await w.receive(member)) == ["a"]

    async def test_less_than_one_record_cannot_be_asked_for(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()

            with pytest.raises(InvalidArgument, match="max_events"):
                await member.receive(0, MANY_BYTES, 0)

    async def test_a_topic_that_is_removed_is_an_error_and_not_a_wait_for_ever(self) -> None:
        async with world() as w:
            await w.topic()
            member = await w.join()
            waiting = asyncio.ensure_future(w.receive(member, wait_ms=60_000))
            await w.clock.drain()

            await w.broker.remove_topic(w.session, DEFAULT_NAMESPACE, "orders")

            with pytest.raises(UnknownTopic):
                await waiting

    async def test_a_broker_that_is_closed_is_an_error(self) -> None:
        w = await World().open()
        await w.topic()
        member = await w.join()
        waiting = asyncio.ensure_future(w.receive(member, wait_ms=60_000))
        await w.clock.drain()

        await w.broker.close()

        with pytest.raises(Closed):
            await waiting
        with pytest.raises(Closed):
            await w.receive(member)


class TestStart:
    @pytest.mark.parametrize(
        ("start", "expected"),
        [
            ("earliest", ["0", "1", "2", "3"]),
            ("latest", []),
            (2, ["2", "3"]),
            (100, []),
            (-5, ["0", "1", "2", "3"]),
            (("time", MANUAL_START_MS + 1_500), ["2", "3"]),
            (("time", MANUAL_START_MS + 3_000), ["3"]),
            (("time", MANUAL_START_MS + 3_001), []),
        ],
    )
    async def test_a_new_group_starts_where_it_is_told_to(self, start: object, expected: list[str]) -> None:
        async with world() as w:
            await w.topic()
            for number in range(4):
                await w.publish(str(number))
                await w.clock.advance(1_000)

            member = await w.join(start=start)  # type: ignore[arg-type]

            assert await w.drink(member) == expected

    async def test_latest_is_the_moment_of_joining_and_not_that_of_the_first_receive(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("before")
            member = await w.join(start="latest")

            await w.publish("after")

            assert await w.drink(member) == ["after"]

    async def test_a_group_that_is_known_goes_on_where_it_was(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b")
            first = await w.join(start="earliest")
            await w.drink(first)
            first.close()
            await w.publish("c")

            second = await w.join(start="earliest")

            assert await w.drink(second) == ["c"]

    async def test_the_start_is_durable_before_anything_is_read(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("before")
            await w.join(start="latest")
            await w.crash()
            await w.publish("after")

            member = await w.join(start="earliest")

            assert await w.drink(member) == ["after"]

    async def test_partitions_that_a_topic_gets_later_are_read_whole(self) -> None:
        async with world() as w:
            await w.topic(partitions=1)
            member = await w.join(start="latest")
            grown = TopicDefinition(name="orders", partitions=3)
            await w.broker.alter_topic(w.session, grown)
            await w.publish("new", partition=2)

            await w.clock.advance(SESSION_MS)

            assert member.partitions == [0, 1, 2]
            assert await w.drink(member) == ["new"]

    async def test_a_member_of_a_topic_that_is_not_there_is_refused(self) -> None:
        async with world() as w:
            with pytest.raises(UnknownTopic):
                await w.join()


class TestCommits:
    async def test_what_is_settled_moves_the_floor_and_is_done_after_a_restart(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b", "c")
            member = await w.join()
            rows = await w.receive(member, 2)
            await w.settle(member, rows)
            durable = w.progress()

            await w.crash()

            assert durable == w.progress() == (2, (), ())
            assert await w.drink(await w.join()) == ["c"]

    async def test_what_is_not_settled_is_handed_out_again_after_a_restart(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b")
            await w.receive(await w.join())

            await w.reopen()

            assert await w.drink(await w.join()) == ["a", "b"]

    @pytest.mark.parametrize("how", ["reopen", "crash"])
    async def test_finished_work_above_the_floor_is_not_done_again(self, how: str) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b", "c", "d")
            member = await w.join()
            rows = await w.receive(member)
            await w.settle(member, [rows[1], rows[3]])

            await getattr(w, how)()

            assert w.progress() == (0, ((1, 2), (3, 4)), ())
            assert await w.drink(await w.join()) == ["a", "c"]
            assert w.progress() == (4, (), ())

    async def test_what_was_done_is_not_handed_out_again_when_the_gap_below_it_closes(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a", "b", "c", "d", "e")
            member = await w.join()
            rows = await w.receive(member)
            await w.settle(member, rows[2:4])
            await w.reopen()
            member = await w.join()

            below = await w.receive(member, 2)
            await w.settle(member, below)

            assert values(below) == ["a", "b"]
            assert await w.drink(member) == ["e"]

    @pytest.mark.parametrize("how", ["reopen", "crash"])
    async def test_failures_are_counted_by_the_broker_and_survive_a_restart(self, how: str) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1")
            member = await w.join()
            for _ in range(3):
                rows = await only(w, member)
                await member.fail(rows, 1_000)
                await w.clock.advance(1_000)

            await getattr(w, how)()
            member = await w.join()
            rows = await only(w, member)

            assert [member.failures(owned, record.offset) for owned, record in rows] == [3]
            assert w.progress() == (0, (), ((0, 3, MANUAL_START_MS + 3_000),))

    async def test_a_unit_that_is_dropped_changes_nothing(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            member = await w.join()
            rows = await only(w, member)

            member.settle(w.broker.journal.unit(), rows)

            assert w.progress() == (0, (), ())
            assert rows[0][0].position.holds(0)

    async def test_settling_twice_is_refused_the_second_time(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            member = await w.join()
            rows = await only(w, member)
            await w.settle(member, rows)

            with pytest.raises(StaleGeneration):
                await w.settle(member, rows)

    async def test_one_unit_settles_several_partitions(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            await w.publish("a", partition=0)
            await w.publish("b", partition=1)
            member = await w.join()
            rows = [*await only(w, member), *await only(w, member)]

            await w.settle(member, rows)

            assert [w.progress(partition=index) for index in range(2)] == [(1, (), ()), (1, (), ())]

    async def test_offsets_without_a_record_are_settled_by_passing_over_them(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            whole = batches.encode([Record(b"x")] * 100, now_ms=0)
            sparse = batches.rebuild(whole, batches.decode(whole)[7:8])
            await w.store(sparse)
            await w.publish("z")
            member = await w.join()

            rows = await w.receive(member)
            await w.settle(member, rows)

            assert offsets(rows) == [0, 8, 101]
            assert w.progress() == (102, (), ())

    async def test_records_that_were_trimmed_are_passed_over(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish(*"abcdef")
            member = await w.join()
            rows = await w.receive(member, 2)
            await member.fail(rows[:1], 5_000)

            await w.trim(4)
            await w.settle(member, rows[1:])

            assert await w.drink(member) == ["e", "f"]
            assert w.progress() == (6, (), ())

    async def test_what_failed_and_was_trimmed_meanwhile_is_forgotten(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish(*"abc")
            member = await w.join()
            rows = await w.receive(member)
            await w.trim(2)
            await w.receive(member)

            await member.fail(rows[:1], 0)
            await w.settle(member, rows[1:])

            assert w.progress() == (3, (), ())

    async def test_a_position_below_the_log_start_counts_from_there(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish(*"abcd")
            (await w.join()).close()

            await w.trim(3)

            assert w.progress() == (3, (), ())
            assert await w.drink(await w.join()) == ["d"]


class TestFailures:
    async def test_a_failed_record_comes_again_when_it_is_due(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1")
            member = await w.join()
            await member.fail(await only(w, member), 1_000)

            await w.clock.advance(999)
            early = await w.receive(member)
            await w.clock.advance(1)
            rows = await w.receive(member)

            assert (values(early), values(rows)) == ([], ["a:1"])

    async def test_a_waiting_receive_wakes_when_a_failed_record_is_due(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1")
            member = await w.join()
            await member.fail(await only(w, member), 1_000)
            waiting = asyncio.ensure_future(w.receive(member, wait_ms=60_000))

            await w.clock.advance(1_000)

            assert values(await waiting) == ["a:1"]

    async def test_it_holds_back_its_own_key_only(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "b:1", "nokey")
            member = await w.join()
            rows = await w.receive(member)
            await member.fail(rows[:1], 1_000)
            await w.settle(member, rows[1:])
            await w.publish("a:2", "b:2", "a:3")

            meanwhile = await w.drink(member)
            await w.clock.advance(1_000)
            after = await w.drink(member)

            assert (meanwhile, after) == (["b:2"], ["a:1", "a:2", "a:3"])

    async def test_the_order_of_a_key_is_kept_over_a_restart(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "b:1", "a:2")
            member = await w.join()
            rows = await w.receive(member)
            await member.fail(rows[:1], 60_000)
            member.release(rows[2:])
            await w.settle(member, rows[1:2])
            await w.publish("a:3", "b:2")

            await w.crash()
            member = await w.join()
            meanwhile = await w.drink(member)
            await w.clock.advance(60_000)

            assert (meanwhile, await w.drink(member)) == (["b:2"], ["a:1", "a:2", "a:3"])

    async def test_two_failed_records_of_a_key_come_again_in_their_order(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "a:2")
            member = await w.join()
            rows = await w.receive(member)
            await member.fail(rows[:1], 5_000)
            await member.fail(rows[1:], 0)

            early = await w.receive(member)
            await w.clock.advance(5_000)

            assert values(early) == []
            assert await w.drink(member) == ["a:1", "a:2"]

    async def test_a_released_record_comes_again_at_once_and_is_not_counted(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "a:2")
            member = await w.join()
            rows = await w.receive(member)

            member.release(rows)
            again = await w.receive(member)

            assert values(again) == ["a:1", "a:2"]
            assert [member.failures(owned, record.offset) for owned, record in again] == [0, 0]

    async def test_a_record_released_for_a_while_comes_when_that_is_over(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "a:2")
            member = await w.join()
            rows = await w.receive(member, 1)

            member.release(rows, 1_000)
            early = await w.receive(member)
            await w.clock.advance(1_000)

            assert (values(early), await w.drink(member)) == ([], ["a:1", "a:2"])

    async def test_releasing_what_is_not_held_is_passed_over(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1")
            member = await w.join()
            rows = await only(w, member)
            await w.settle(member, rows)

            member.release(rows)

            assert await w.receive(member) == []

    async def test_a_failure_of_what_is_no_longer_held_is_refused_and_counts_nothing(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "b:1")
            member = await w.join()
            rows = await w.receive(member)
            await w.settle(member, rows[:1])

            with pytest.raises(StaleGeneration):
                await member.fail(rows, 0)

            assert w.progress() == (1, (), ())
            assert rows[1][0].position.holds(1)

    async def test_many_held_records_come_again_with_few_reads(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish(*[f"a:{number}" for number in range(2_000)])
            member = await w.join()
            rows = await w.receive(member, 2_000)
            await member.fail(rows[:1], 1)
            member.release(rows[1:])

            await w.clock.advance(1)

            assert await w.drink(member) == [f"a:{number}" for number in range(2_000)]


class TestWindow:
    async def test_the_partition_pauses_when_the_window_is_full_and_goes_on_when_the_floor_moves(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(position.Position.__init__, "__defaults__", (10,))
        async with world() as w:
            await w.topic()
            await w.publish("bad:1", *[f"k{number}:x" for number in range(30)])
            member = await w.join()
            rows = await w.receive(member)
            await member.fail(rows[:1], 1_000)
            await w.settle(member, rows[1:])

            paused = await w.receive(member)
            assert (len(rows), paused, w.progress()) == (10, [], (0, ((1, 10),), ((0, 1, MANUAL_START_MS + 1_000),)))
            await w.clock.advance(1_000)

            assert len(await w.drink(member)) == 22

    async def test_a_gap_wider_than_the_window_is_crossed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(position.Position.__init__, "__defaults__", (10,))
        async with world() as w:
            await w.topic()
            await w.publish("a:1", "b:1")
            whole = batches.encode([Record(b"x")] * 1_000, now_ms=0)
            await w.store(batches.rebuild(whole, []))
            await w.publish("z")
            member = await w.join()
            rows = await w.receive(member)
            await member.fail(rows[:1], 1_000)
            await w.settle(member, rows[1:])

            before = await w.receive(member)
            await w.clock.advance(1_000)

            assert (before, await w.drink(member)) == ([], ["a:1", "z"])


class TestRedriven:
    async def test_a_redriven_record_is_for_the_one_group_that_it_names(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("for all")
            await w.publish("redriven", headers=encode_headers([(ONLY, b"billing")]))
            await w.publish("for all too")

            billing, audit = await w.join("billing"), await w.join("audit")

            assert await w.drink(billing) == ["for all", "redriven", "for all too"]
            assert await w.drink(audit) == ["for all", "for all too"]
            assert w.progress("audit") == (3, (), ())

    async def test_a_record_whose_headers_cannot_be_read_is_for_all_and_holds_nobody_up(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("odd", headers=b"\x04" + ONLY.encode() * 3)
            await w.publish("next")

            assert await w.drink(await w.join("audit")) == ["odd", "next"]


class TestMembership:
    async def test_two_members_share_the_partitions(self) -> None:
        async with world() as w:
            await w.topic(partitions=4)
            members = [await w.join(), await w.join()]
            await w.clock.drain()

            owned = [member.partitions for member in members]

            assert sorted(owned[0] + owned[1]) == [0, 1, 2, 3]
            assert [len(each) for each in owned] == [2, 2]

    async def test_every_record_is_handled_once_by_whoever_owns_its_partition(self) -> None:
        async with world() as w:
            await w.topic(partitions=4)
            await w.publish(*SOME)
            first = await w.join()
            early = await w.receive(first, 3)
            await w.settle(first, early)
            second = await w.join()
            await w.clock.drain()

            found = [await w.drink(first), await w.drink(second)]

            assert all(found)
            assert sorted([*values(early), *found[0], *found[1]]) == sorted(SOME)

    async def test_a_partition_moves_only_when_what_runs_on_it_is_finished(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            for index in range(2):
                await w.publish("running", "next", partition=index)
            first = await w.join()
            running = [await w.receive(first, 1), await w.receive(first, 1)]

            second = await w.join()
            await w.clock.drain()
            moves = ({0, 1} - set(kept(first))).pop()
            assert (second.partitions, await w.receive(second)) == ([], [])
            await w.settle(first, running[moves])
            await w.clock.drain()

            assert (first.partitions, second.partitions) == ([1 - moves], [moves])
            assert await w.drink(second) == ["next"]
            await w.settle(first, running[1 - moves])
            assert await w.drink(first) == ["next"]

    async def test_a_revoked_partition_gives_out_nothing_new(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            first = await w.join()
            await w.publish("x", partition=0)
            await w.publish("x", partition=1)
            running = [await w.receive(first, 1), await w.receive(first, 1)]
            await w.join()
            await w.clock.drain()
            moves = ({0, 1} - set(kept(first))).pop()
            await w.publish("new", partition=moves)

            assert await w.receive(first) == []
            assert running[moves][0][0].revoked_until_ms is not None

    async def test_a_handler_that_does_not_end_keeps_a_partition_for_a_while_and_then_loses_it(self) -> None:
        async with world() as w:
            await w.topic("out")
            await w.topic(partitions=2)
            for index in range(2):
                await w.publish(f"slow {index}", partition=index)
            first = await w.join()
            running = [await w.receive(first, 1), await w.receive(first, 1)]
            second = await w.join()
            await w.clock.advance(REVOKE_MS)
            moved = second.partitions
            assert len(moved) == 1

            unit = w.broker.journal.unit()
            output(w, unit, "too late")
            first.settle(unit, running[moved[0]])
            with pytest.raises(StaleGeneration):
                await unit.submit()

            assert await w.read("out") == []
            assert await w.drink(second) == [f"slow {moved[0]}"]

    async def test_when_a_member_leaves_the_others_get_its_partitions_and_what_it_had_taken(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            await w.publish("a", partition=0)
            await w.publish("b", partition=1)
            first, second = await w.join(), await w.join()
            await w.clock.drain()
            lost = await w.receive(first)

            first.close()
            await w.clock.drain()

            assert second.partitions == [0, 1]
            assert sorted(await w.drink(second)) == ["a", "b"]
            with pytest.raises(UnknownMember):
                await w.settle(first, lost)

    async def test_a_member_that_dies_is_dropped_after_its_session_and_what_it_does_later_is_refused_whole(
        self,
    ) -> None:
        async with world() as w:
            await w.topic("out")
            await w.topic(partitions=2)
            await w.publish("a", partition=0)
            await w.publish("b", partition=1)
            first, second = await w.join(), await w.join()
            await w.clock.drain()
            lost = await w.receive(first)
            die(first)

            await w.clock.advance(SESSION_MS + 1)
            unit = w.broker.journal.unit()
            output(w, unit, "of the dead")
            first.settle(unit, lost)
            with pytest.raises(UnknownMember):
                await unit.submit()

            assert second.partitions == [0, 1]
            assert sorted(await w.drink(second)) == ["a", "b"]
            assert await w.read("out") == []

    async def test_a_member_lives_however_long_its_consumer_asks_for_nothing(self) -> None:
        async with world() as w:
            await w.topic(partitions=3)
            await w.publish("x", partition=0)
            first = await w.join()
            held = await w.receive(first)

            await w.clock.advance(3_600_000)
            second = await w.join()
            await w.clock.advance(3_600_000)

            assert first.partitions
            assert second.partitions
            mine = [row for row in held if row[0].partition.index in first.partitions]
            await w.settle(first, mine)

    async def test_a_member_that_was_dropped_joins_again_and_goes_on(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            member = await w.join()
            group = w.broker.catalog.group(DEFAULT_NAMESPACE, "billing")

            w.broker.coordinator.leave(group, group.members.describe().members[0].member)
            await w.clock.advance(SESSION_MS)

            assert await w.drink(member) == ["a"]

    async def test_members_of_different_topics_share_a_group_and_get_their_own(self) -> None:
        async with world() as w:
            await w.topic("orders", 2)
            await w.topic("payments", 2)
            orders, payments = await w.join(topic="orders"), await w.join(topic="payments")
            await w.clock.drain()
            await w.publish("o", to="orders", partition=1)
            await w.publish("p", to="payments", partition=1)

            assert (orders.partitions, payments.partitions) == ([0, 1], [0, 1])
            assert (await w.drink(orders), await w.drink(payments)) == (["o"], ["p"])

    async def test_more_members_than_partitions_leave_some_without(self) -> None:
        async with world() as w:
            await w.topic(partitions=1)
            members = [await w.join() for _ in range(3)]
            await w.clock.drain()

            assert sorted(len(member.partitions) for member in members) == [0, 0, 1]

    async def test_the_generation_rises_also_over_a_restart(self) -> None:
        async with world() as w:
            await w.topic()
            await w.publish("a")
            await w.join()
            member = await w.join()
            await w.clock.drain()
            for each in w.members:
                await w.drink(each)
            before = member.generation

            await w.reopen()

            assert (await w.join()).generation > before

    async def test_a_join_that_is_given_up_leaves_no_ghost_in_the_group(self) -> None:
        async with world() as w:
            await w.topic(partitions=2)
            first = await w.join()
            first._unwatch()  # type: ignore[misc]  # it does not hear that the group rebalances
            declared = await w.broker.group(w.session, DEFAULT_NAMESPACE, "billing")
            second = w.broker.member(declared, DEFAULT_NAMESPACE, "orders", "earliest")
            joining = asyncio.ensure_future(second.start())
            await w.clock.drain()

            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
            await w.clock.advance(SESSION_MS)

            assert len(declared.members.describe().members) == 1
            assert first.partitions == [0, 1]

    async def test_members_that_come_and_go_at_once_end_in_a_stable_group(self) -> None:
        async with world() as w:
            await w.topic(partitions=6)
            await w.publish(*SOME)
            members = await asyncio.gather(*[w.join() for _ in range(4)])
            members[0].close()
            found: list[str] = []
            for _ in range(4):
                await w.clock.drain()
                for member in members[1:]:
                    found += await w.drink(member)

            assert sorted(index for member in members[1:] for index in member.partitions) == [*range(6)]
            assert sorted(found) == sorted(SOME)


class TestOnDisk:
    async def test_whoever_gets_a_partition_goes_on_behind_a_commit_that_is_still_on_its_way(
        self, tmp_path: Path
    ) -> None:
        async with world(RealStorage(tmp_path / "store"), SystemClock()) as w:
            await w.topic(partitions=2)
            for index in range(2):
                await w.publish("done", "next", partition=index)
            first = await w.join()
            running = [await w.receive(first, 1), await w.receive(first, 1)]
            joining = asyncio.ensure_future(w.join())
            while not any(rows[0][0].revoked_until_ms for rows in running):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)

            unit = w.broker.journal.unit()
            first.settle(unit, [*running[0], *running[1]])
            pending = unit.submit()
            assert not pending.done
            second = await joining
            found = await w.receive(second, wait_ms=10_000)
            await pending

            assert values(found) == ["next"]


def kept(member: Member) -> list[int]:
    """The partitions that a member will keep."""
    return [index for index, owned in member._owned.items() if owned.revoked_until_ms is None]


def die(member: Member) -> None:
    """As if its process had stopped: it neither leaves nor is heard of again."""
    assert member._task is not None
    assert member._unwatch is not None
    member._task.cancel()
    member._unwatch()
    member._closed = True
