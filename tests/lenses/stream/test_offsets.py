"""Committed positions: what is refused, what is applied, what is reserved, and who is silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.clock import ManualClock
from isthmus.errors import InvalidArgument, OffsetOutOfRange, TooFarAhead
from isthmus.lenses.stream.membership import Join
from isthmus.lenses.stream.offsets import ConsumerGroup, committed, fact_bytes
from isthmus.lenses.stream.position import START, Position, Progress
from isthmus.limits import COMMIT_METADATA_BYTES_MAX, DONE_WINDOW_MAX
from isthmus.log import facts
from isthmus.log import format as form
from isthmus.log.journal import Journal
from isthmus.log.partition import Partition
from isthmus.log.storage import MemoryStorage
from isthmus.record import NO_HEADERS, StoredRecord

PARTITION = 1 << 16


def group() -> ConsumerGroup:
    return ConsumerGroup(facts.GroupSet(5, "default", "billing", 100), "1")


def partition(high_watermark: int = 100, log_start: int = 0) -> Partition:
    made = Journal(MemoryStorage(), ManualClock()).add_partition(PARTITION, "fsync")
    made.promote(high_watermark, 0)
    made.apply_trim(log_start)
    return made


def commit(floor: int = 0, generation: int = 1, **rest: object) -> facts.Committed:
    done: facts.Ranges = rest.get("done", ())  # type: ignore[assignment]
    attempts: tuple[tuple[int, int, int], ...] = rest.get("attempts", ())  # type: ignore[assignment]
    return facts.Committed(5, PARTITION, generation, floor, done, attempts, 0, "", 0)


class TestWhatACommitSays:
    def test_it_names_group_partition_epoch_and_time(self) -> None:
        place = partition()
        place.epochs = [(7, 0)]
        progress = Progress(3, ((5, 6),), ((4, 1, 99),))

        fact = committed(group(), place, progress, generation=2, metadata="mine", now_ms=50)

        assert fact == facts.Committed(5, PARTITION, 2, 3, ((5, 6),), ((4, 1, 99),), 7, "mine", 50)

    @pytest.mark.parametrize("floor", [-1, 101])
    def test_a_floor_beyond_what_exists_is_refused(self, floor: int) -> None:
        with pytest.raises(OffsetOutOfRange, match=f"offset {floor}"):
            committed(group(), partition(100), Progress(floor, (), ()), now_ms=0)

    def test_a_floor_below_the_log_start_is_taken(self) -> None:
        assert committed(group(), partition(100, 50), Progress(10, (), ()), now_ms=0).floor == 10

    def test_what_is_finished_too_far_above_the_floor_is_refused_by_name(self) -> None:
        at = DONE_WINDOW_MAX

        committed(group(), partition(10 * at), Progress(0, ((at - 1, at),), ()), now_ms=0)
        with pytest.raises(TooFarAhead, match="'billing'"):
            committed(group(), partition(10 * at), Progress(0, ((at, at + 1),), ()), now_ms=0)

    @pytest.mark.parametrize("metadata", ["x" * (COMMIT_METADATA_BYTES_MAX + 1), "é" * COMMIT_METADATA_BYTES_MAX])
    def test_metadata_has_a_bound_in_bytes(self, metadata: str) -> None:
        with pytest.raises(InvalidArgument, match="metadata"):
            committed(group(), partition(), START, metadata=metadata, now_ms=0)

    @given(
        floor=st.integers(0, 2**40),
        runs=st.lists(st.integers(1, 50), max_size=40),
        failed=st.integers(0, 40),
        more=st.integers(1, 40),
    )
    def test_its_size_is_foreseen(self, floor: int, runs: list[int], failed: int, more: int) -> None:
        done, at = [], floor
        for length in runs:
            done.append((at + 1, at + 1 + length))
            at += length + 1
        attempts = tuple((at + 1 + n, 2**31, 2**42) for n in range(failed))
        position = Position(Progress(floor, tuple(done), attempts), window=10**6)
        foreseen = fact_bytes(position, more)
        position.scan = at + 1_000
        taken = [StoredRecord(at + 500 + 2 * n, 0, b"k", b"", NO_HEADERS) for n in range(more)]
        position.take_new(taken, at + 1_000)
        for record in taken[::2]:
            position.fail(record, 2**42)
        position.settle(taken[1::2])

        fact = facts.Committed(2**30, PARTITION, 2**31, *position.progress(), 2**31, "", 2**42)

        assert len(form.encode_fact_entry(form.Checksums(bytes(16)), 0, facts.encode(fact))) <= foreseen


class TestAGroup:
    def test_without_a_commit_there_is_no_position(self) -> None:
        assert group().progress(partition()) is None
        assert group().latest(partition()) is None

    def test_the_last_commit_is_the_position(self) -> None:
        mine = group()

        mine.apply(commit(3))
        mine.apply(commit(7, done=((9, 10),)))

        assert mine.progress(partition()) == (7, ((9, 10),), ())

    def test_below_the_log_start_all_counts_as_done(self) -> None:
        mine = group()

        mine.apply(commit(3, done=((10, 12), (20, 30)), attempts=((4, 1, 0), (15, 2, 0))))

        assert mine.progress(partition(100, 10)) == (12, ((20, 30),), ((15, 2, 0),))
        assert mine.progress(partition(100, 25)) == (30, (), ())

    def test_what_was_submitted_is_seen_by_the_next_owner_and_by_nobody_else(self) -> None:
        mine, fact = group(), commit(8)
        mine.apply(commit(3))

        mine.reserve(fact)
        before = mine.progress(partition()), mine.latest(partition())
        mine.apply(fact)

        assert before == ((3, (), ()), (8, (), ()))
        assert mine.progress(partition()) == mine.latest(partition()) == (8, (), ())

    def test_of_two_commits_on_their_way_the_last_is_the_latest(self) -> None:
        mine, first, second = group(), commit(4), commit(8)
        mine.reserve(first)
        mine.reserve(second)

        mine.apply(first)

        assert (mine.progress(partition()), mine.latest(partition())) == ((4, (), ()), (8, (), ()))

    def test_a_position_can_be_forgotten(self) -> None:
        mine = group()
        mine.apply(commit(3))
        mine.reserve(commit(4))

        mine.forget(PARTITION)

        assert (mine.progress(partition()), mine.latest(partition())) == (None, None)

    def test_generations_go_on_from_the_newest_commit(self) -> None:
        mine = group()

        mine.apply(commit(generation=9))
        mine.apply(commit(generation=-1))

        assert mine.members.generation == 9

    def test_while_there_are_members_a_commit_does_not_set_the_generation(self) -> None:
        mine = group()
        mine.members.join(1, JOIN, 0)

        mine.apply(commit(generation=9))

        assert mine.members.generation == 1

    def test_its_facts_are_its_declaration_and_its_positions(self) -> None:
        mine, fact = group(), commit(3)
        mine.apply(fact)

        assert list(mine.facts()) == [facts.GroupSet(5, "default", "billing", 100), fact]

    def test_member_ids_differ_and_tell_one_opening_from_another(self) -> None:
        first, second = group(), ConsumerGroup(facts.GroupSet(5, "default", "billing", 100), "2")

        ids = [each.members.join(n, JOIN, 0)[0].member for each in (first, second) for n in (1,)]

        assert ids == ["member-1-1", "member-2-1"]


class TestSilence:
    DAY_MS = 86_400_000

    def test_a_group_is_silent_when_nothing_was_heard_of_it_for_so_long(self) -> None:
        mine = group()
        mine.active_ms = 1_000

        assert not mine.is_silent(1_000 + self.DAY_MS - 1, self.DAY_MS, self.DAY_MS)
        assert mine.is_silent(1_000 + self.DAY_MS, self.DAY_MS, self.DAY_MS)

    def test_time_in_which_the_broker_did_not_run_does_not_count(self) -> None:
        assert not group().is_silent(10 * self.DAY_MS, self.DAY_MS - 1, self.DAY_MS)

    def test_a_group_with_members_is_never_silent(self) -> None:
        mine = group()
        mine.members.join(1, JOIN, 0)

        assert not mine.is_silent(10 * self.DAY_MS, 10 * self.DAY_MS, self.DAY_MS)


JOIN = Join(protocol_type="consumer", protocols=(("range", b""),), session_ms=10_000, rebalance_ms=10_000)
