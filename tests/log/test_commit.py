"""The commit: groups and their two marks, the next segment, a full disk, and nothing after a failure."""

import errno
from dataclasses import dataclass, field

import pytest

from isthmus.clock import ManualClock
from isthmus.limits import DISK_RETRY_MS, KIB
from isthmus.log import commit, facts
from isthmus.log import format as form
from isthmus.log.commit import Committed, CommitThread, Order, SyncTimes, Writer
from isthmus.log.scan import Group, GroupReader
from isthmus.log.storage import MemoryStorage, Storage
from support.faulty_storage import Fault, FaultyStorage
from support.sim_storage import SimStorage

CHECKSUMS = form.Checksums(b"s" * 16)
SEGMENT_BYTES = 8 * KIB
NO_ROOM = Fault(1, errno.ENOSPC, frozenset({"allocate"}), forever=True)


@dataclass
class Work:
    """What the commit is given: one entry of about so many bytes."""

    bytes_: int = 40
    sync: bool = True
    roll: bool = False
    entries: list[bytes] = field(default_factory=list)
    size: int = 0

    def __post_init__(self) -> None:
        self.entries = [form.encode_fact_entry(CHECKSUMS, 0, bytes(self.bytes_))]
        self.size = len(self.entries[0])


def writer(storage: Storage) -> Writer:
    """At the start of an empty journal."""
    storage.make_folder(commit.JOURNAL)
    return Writer(
        storage=storage,
        clock=ManualClock(),
        checksums=CHECKSUMS,
        store=b"s" * 16,
        segment_bytes=SEGMENT_BYTES,
        epoch=1,
        file=commit.allocate(storage, commit.segment_name(0), SEGMENT_BYTES),
        first_lsn=0,
        position=0,
        capacity=SEGMENT_BYTES,
        prev_crc=0,
        durable_lsn=0,
        fresh=True,
    )


def groups(storage: Storage, first_lsn: int = 0) -> list[Group]:
    file = storage.open(commit.segment_name(first_lsn))
    return list(GroupReader(file, first_lsn, CHECKSUMS).chain(first_lsn))


# ---- groups and marks ----------------------------------------------------------------------------------------------


def test_units_that_wait_together_become_one_group() -> None:
    storage = MemoryStorage()
    end = writer(storage)
    end.commit([Work()])
    end.commit([Work(), Work()])

    assert [len(group.views) for group in groups(storage)] == [2, 2]


def test_the_first_entry_of_a_segment_says_whose_it_is() -> None:
    storage = MemoryStorage()
    done = writer(storage).commit([Work()])
    ((_, _, payload), (lsn, _, _)) = groups(storage)[0].entries()

    assert facts.decode(payload) == facts.SegmentOpened(b"s" * 16, 0, SEGMENT_BYTES, done.time_ms)
    assert done.units_lsn == lsn


def test_what_must_be_durable_is_when_the_commit_returns() -> None:
    storage = SimStorage()
    end = writer(storage)
    done = end.commit([Work()])

    assert done.durable_lsn == done.written_lsn == end.end_lsn


def test_what_need_not_be_durable_is_not_synced() -> None:
    storage = FaultyStorage(MemoryStorage())
    end = writer(storage)
    storage.arm(None)
    storage.calls.clear()
    done = end.commit([Work(sync=False)])

    assert (done.written_lsn, done.durable_lsn) == (end.end_lsn, 0)
    assert {op for op, _ in storage.calls} == {"pwrite"}


def test_a_synced_unit_makes_all_below_it_durable() -> None:
    storage = FaultyStorage(MemoryStorage())
    end = writer(storage)
    end.commit([Work(sync=False)])
    storage.calls.clear()
    done = end.commit([Work(sync=True)])

    assert done.durable_lsn == end.end_lsn
    assert [op for op, _ in storage.calls] == ["pwrite", "sync"]


def test_one_call_writes_and_syncs_where_nothing_unsynced_lies_below() -> None:
    storage = FaultyStorage(MemoryStorage())
    end = writer(storage)
    storage.calls.clear()
    end.commit([Work()])

    assert [op for op, _ in storage.calls] == ["pwrite sync"]


def test_an_empty_commit_records_that_all_is_durable() -> None:
    storage = MemoryStorage()
    end = writer(storage)
    end.commit([Work(sync=False)])
    done = end.commit([])
    (_, marker) = groups(storage)

    assert marker.header.durable_lsn == marker.header.first_lsn
    assert (marker.header.entry_count, done.durable_lsn, end.marked) == (0, end.end_lsn, True)


def test_append_times_never_go_back() -> None:
    end = writer(MemoryStorage())
    end.time_ms = end.clock.now_ms() + 500

    assert end.commit([Work()]).time_ms == end.clock.now_ms() + 500


# ---- the next segment ----------------------------------------------------------------------------------------------


def test_a_group_that_does_not_fit_goes_to_the_next_segment_and_the_last_is_cut_to_what_is_used() -> None:
    storage = MemoryStorage()
    end = writer(storage)
    end.top_up()
    end.commit([Work(5 * KIB)])
    sealed_at = end.end_lsn
    done = end.commit([Work(5 * KIB)])

    assert done.rolled is not None
    assert done.rolled.end_lsn == sealed_at == storage.open(commit.segment_name(0)).size()
    assert [group.header.first_lsn for group in groups(storage, sealed_at)] == [sealed_at]
    assert not storage.exists(commit.SPARE)


def test_a_unit_larger_than_a_segment_gets_one_of_its_size() -> None:
    storage = MemoryStorage()
    end = writer(storage)
    end.commit([Work()])
    start = end.end_lsn
    end.commit([Work(3 * SEGMENT_BYTES)])

    assert [len(group.views) for group in groups(storage, start)] == [2]


def test_an_empty_segment_is_made_larger_and_not_sealed() -> None:
    storage = MemoryStorage()
    end = writer(storage)
    done = end.commit([Work(3 * SEGMENT_BYTES)])

    assert done.rolled is None
    assert len(groups(storage)) == 1


def test_a_unit_can_ask_for_a_new_segment() -> None:
    end = writer(MemoryStorage())
    end.commit([Work()])
    start = end.end_lsn

    assert end.commit([Work(roll=True)]).rolled is not None
    assert end.first_lsn == start


# ---- a full disk ---------------------------------------------------------------------------------------------------


def test_room_is_made_ahead_a_spare_and_a_reserve() -> None:
    storage = MemoryStorage()
    end = writer(storage)

    assert (end.top_up(), end.top_up()) == (True, False)
    assert storage.open(commit.SPARE).size() == storage.open(commit.RESERVE).size() == SEGMENT_BYTES
    assert end.space == commit.Space(SEGMENT_BYTES, SEGMENT_BYTES, SEGMENT_BYTES, SEGMENT_BYTES)


def test_a_full_disk_is_met_ahead_and_asked_again_after_a_while() -> None:
    storage = FaultyStorage(MemoryStorage(), NO_ROOM)
    storage.arm(None)
    end = writer(storage)
    storage.arm(NO_ROOM)
    end.top_up()
    storage.arm(None)
    too_early = end.top_up()
    full = end.space.full
    end.clock._now_ms += DISK_RETRY_MS  # type: ignore[attr-defined]  # a manual clock

    assert (full, too_early) == (True, False)
    assert end.top_up()
    assert not end.space.full


def test_the_reserve_becomes_the_next_segment_and_publishers_are_shut_out() -> None:
    storage = FaultyStorage(MemoryStorage())
    end = writer(storage)
    end.top_up()
    end.commit([Work(5 * KIB)])
    end.commit([Work(5 * KIB)])
    storage.arm(NO_ROOM)
    end.commit([Work(5 * KIB)])

    assert not storage.exists(commit.RESERVE)
    assert end.space.full
    assert (end.space.active > 0, end.space.publish) == (True, 0)


def test_without_a_reserve_there_is_no_room_left() -> None:
    storage = FaultyStorage(MemoryStorage())
    end = writer(storage)
    end.commit([Work(5 * KIB)])
    storage.arm(NO_ROOM)

    with pytest.raises(OSError, match="reserve is used up"):
        end.commit([Work(5 * KIB)])


def test_an_allocation_that_fails_leaves_no_new_file() -> None:
    storage = FaultyStorage(MemoryStorage(), NO_ROOM)

    with pytest.raises(OSError, match="No space"):
        commit.allocate(storage, "new", KIB)

    assert not storage.exists("new")


# ---- the thread ----------------------------------------------------------------------------------------------------


def steps(storage: Storage, *jobs: Work | Order) -> list[Committed]:
    """What the thread reports when all of that waits for it; ends with a stop."""
    reports: list[Committed] = []
    end = writer(storage)
    thread = CommitThread(end, reports.append)
    for job in (*jobs, Order.STOP):
        thread.submit(job)
    while thread.step():
        pass
    end.close()
    return reports


def units(reports: list[Committed]) -> list[int]:
    return [len(done.units) for done in reports if done.units]


def test_all_that_waits_is_taken_at_once() -> None:
    assert units(steps(MemoryStorage(), Work(), Work(), Work())) == [3]


def test_whole_units_are_taken_up_to_half_a_segment() -> None:
    assert units(steps(MemoryStorage(), *[Work(KIB)] * 7)) == [3, 3, 1]


def test_a_larger_unit_goes_alone() -> None:
    assert units(steps(MemoryStorage(), Work(), Work(6 * KIB), Work())) == [1, 1, 1]


def test_orders_and_new_segments_keep_their_place() -> None:
    assert units(steps(MemoryStorage(), Work(), Order.MARK, Work(), Work(roll=True), Work())) == [1, 1, 1, 1]


def test_stopping_records_the_durable_lsn_once() -> None:
    storage = MemoryStorage()
    steps(storage, Work(sync=False), Order.MARK, Order.TOP_UP)

    assert [group.header.entry_count for group in groups(storage)] == [2, 0]


def test_after_a_failure_everything_fails_and_nothing_is_written() -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.arm(Fault(2, errno.EIO, frozenset({"pwrite sync"})))
    reports = steps(storage, Work(6 * KIB), Work(roll=True), Order.MARK, Work())
    failed = [done.error is not None for done in reports if done.units or done.error]

    assert failed[0] is False
    assert all(failed[1:])
    assert len(failed) > 2
    assert len(groups(storage)) == 1


def test_a_failed_sync_is_reported_to_those_who_wait_for_it() -> None:
    storage = FaultyStorage(MemoryStorage(), None)
    end = writer(storage)
    storage.arm(Fault(1, errno.EIO, frozenset({"pwrite sync"})))
    waiting = [Work()]
    (done,) = commit.perform(end, waiting[0], waiting)

    assert isinstance(done.error, OSError)
    assert done.units == waiting


def test_what_is_durable_is_reported_before_room_is_made() -> None:
    end = writer(MemoryStorage())
    reports = commit.perform(end, Order.MARK)
    spares = [(next(reports), end.spare_bytes)[1] for _ in range(2)]

    assert spares == [0, SEGMENT_BYTES]


def test_the_entry_that_opens_a_segment_has_the_room_that_is_left_for_it() -> None:
    opened = facts.SegmentOpened(b"s" * 16, 2**62, 2**40, 2**50)

    assert len(form.encode_fact_entry(CHECKSUMS, 0, facts.encode(opened))) <= commit.SEGMENT_OPENED_BYTES_MAX


def test_times_of_syncs_are_counted_in_classes() -> None:
    times = SyncTimes()

    for took_ms in (0, 1, 2, 3, 1_000, 1_001, 60_000):
        times.add(took_ms)

    assert times.counts == [2, 1, 1, 0, 0, 0, 0, 0, 0, 1, 2]
    assert times.sum_ms == 62_007
