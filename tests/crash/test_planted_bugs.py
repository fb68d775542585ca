"""Bugs that brokers have had, planted one at a time: each must be caught by the suite, or the suite proves nothing.

They are planted here and nowhere else.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import pytest

from isthmus.broker.broker import Broker
from isthmus.broker.member import Member, Row
from isthmus.errors import InvariantError, StorageError
from isthmus.lenses.queue.queue import Dead, Queue
from isthmus.log import checkpoint, commit, compaction, facts, index, recovery, retention, storage
from isthmus.log import format as form
from isthmus.log.commit import Writer
from isthmus.log.journal import Journal
from isthmus.log.keys import KeyScan
from isthmus.log.recovery import Recovery
from isthmus.log.rewrite import Copy
from isthmus.log.scan import GroupReader
from isthmus.log.segment import Segment
from isthmus.log.storage import Storage, write_all
from isthmus.log.unit import Unit
from isthmus.record import StoredRecord
from support import broker_scenarios, broker_world
from support.broker_world import BrokerWorld
from support.crash import crash_everywhere
from support.log_rot import ClosedStore, closed_store, damage_every_byte
from support.log_scenarios import SCENARIOS
from support.log_world import JournalWorld, verify
from support.sim_storage import SimStorage

STATES: Final = 600
Plant = Callable[[pytest.MonkeyPatch], None]


async def crash(*scenarios: str) -> None:
    """What the suite does with a scenario; one that does not come to its end has shown something, too."""
    for name in scenarios:
        world = JournalWorld(SimStorage())
        try:
            await SCENARIOS[name](world)
        except (StorageError, InvariantError) as error:
            raise AssertionError(f"I9: the life itself ended: {error}") from error
        await crash_everywhere(world.sim, verify, STATES)


async def rot(choose: Callable[[ClosedStore], str]) -> None:
    """What the suite does with the bytes of a file."""
    store = await closed_store()
    await damage_every_byte(store, choose(store))


# ---- the bugs -----------------------------------------------------------------------------------------------------


def acknowledge_before_sync(planted: pytest.MonkeyPatch) -> None:
    def write(self: Writer, buffers: Sequence[bytes], *, sync: bool) -> None:
        write_all(self.file, buffers, self.position)
        self.position += sum(map(len, buffers))
        self.durable_lsn = self.end_lsn if sync else self.durable_lsn

    planted.setattr(Writer, "_write", write)


def sync_only_the_own_bytes_above_unsynced_groups(planted: pytest.MonkeyPatch) -> None:
    def write(self: Writer, buffers: Sequence[bytes], *, sync: bool) -> None:
        write_all(self.file, buffers, self.position, sync=sync)
        self.position += sum(map(len, buffers))
        self.durable_lsn = self.end_lsn if sync else self.durable_lsn

    planted.setattr(Writer, "_write", write)


def claim_durability_of_what_is_being_written(planted: pytest.MonkeyPatch) -> None:
    encode_group = form.encode_group

    def encode(checksums: form.Checksums, first_lsn: int, _durable: int, *rest: Any) -> tuple[list[bytes], int]:
        return encode_group(checksums, first_lsn, first_lsn, *rest)

    planted.setattr(form, "encode_group", encode)


def never_sync_a_directory(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(SimStorage, "sync_folder", lambda _self, _name: None)


def seal_without_sync(planted: pytest.MonkeyPatch) -> None:
    def seal(self: Writer) -> None:
        self.file.truncate(self.position)
        self.dirty = False
        self.durable_lsn = self.end_lsn

    planted.setattr(Writer, "seal", seal)


def show_before_it_is_durable(planted: pytest.MonkeyPatch) -> None:
    enqueue = Journal.enqueue

    def early(self: Journal, unit: Unit) -> None:
        for records in unit._records:
            for partition, base in zip(records.partitions, records.bases, strict=True):
                partition.promote(base + records.header.last_offset_delta + 1, 0)
                partition.wake()
        enqueue(self, unit)

    planted.setattr(Journal, "enqueue", early)


def go_on_after_a_failed_sync(planted: pytest.MonkeyPatch) -> None:
    sync = Writer._sync

    def again(self: Writer) -> None:
        try:
            sync(self)
        except OSError:
            sync(self)

    planted.setattr(Writer, "_sync", again)


def trust_a_repeated_sync_after_restart(planted: pytest.MonkeyPatch) -> None:
    def copy(self: Recovery, active: Segment, _length: int) -> None:
        file = self.storage.open(active.name, write=True)
        file.sync()
        file.close()

    planted.setattr(Recovery, "_copy_active", copy)


def cut_at_the_first_bad_group(planted: pytest.MonkeyPatch) -> None:
    def after_bad(self: Recovery, _reader: object, segment: Segment, _following: int | None) -> None:
        self.report.cut_bytes = 1
        self.known_durable = min(self.known_durable, segment.end_lsn)

    planted.setattr(Recovery, "_after_bad", after_bad)


def refuse_whatever_follows_a_bad_group(planted: pytest.MonkeyPatch) -> None:
    after_bad = Recovery._after_bad

    def damaged(self: Recovery, reader: GroupReader, segment: Segment, following: int | None) -> int | None:
        for header in reader.headers_behind(segment.end_lsn):
            self.known_durable = max(self.known_durable, header.first_lsn)
        return after_bad(self, reader, segment, following)

    planted.setattr(Recovery, "_after_bad", damaged)


def bind_offsets_anew_without_a_word(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(recovery, "_begin_leader_epochs", lambda _journal, _epoch, **_: None)


def use_a_segment_again_without_clearing_its_tail(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(Recovery, "_persist_tail", lambda _self, _active: None)


def rename_without_syncing_the_file(planted: pytest.MonkeyPatch) -> None:
    def replace(target: Storage, name: str, content: bytes) -> None:
        temporary = name + storage.TEMPORARY_SUFFIX
        file = target.open(temporary, write=True, create=True)
        write_all(file, [content], 0)
        file.close()
        target.rename(temporary, name)
        target.sync_folder(name.rpartition("/")[0])

    planted.setattr(checkpoint, "replace", replace)


def unlink_before_the_checkpoints_cover(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(retention, "removable", retention.dead_segments)


def unlink_before_the_fact_is_durable(planted: pytest.MonkeyPatch) -> None:
    async def remove(log: Journal, segments: Sequence[Segment]) -> int:
        log.segments = [segment for segment in log.segments if segment not in segments]
        retention._unlink(log, segments)
        return 0

    planted.setattr(retention, "remove", remove)


def let_a_copy_count_that_was_not_synced(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(Copy, "_sync", staticmethod(lambda _file: None))


def unlink_sources_before_the_copy_counts(planted: pytest.MonkeyPatch) -> None:
    change_hands = compaction._Pass._change_hands

    async def early(self: compaction._Pass, copy: Copy) -> None:
        self._unlink(copy.sources)
        await change_hands(self, copy)

    planted.setattr(compaction._Pass, "_change_hands", early)


def copy_what_no_checkpoint_covers(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(Journal, "covered_lsn", property(lambda self: self.segments[-1].first_lsn))


def keep_the_oldest_of_each_key(planted: pytest.MonkeyPatch) -> None:
    batch = KeyScan.batch

    def backwards(self: KeyScan, records: Sequence[StoredRecord], delete_horizon_ms: int | None) -> None:
        batch(self, records[::-1], delete_horizon_ms)

    planted.setattr(KeyScan, "batch", backwards)


def take_a_checkpoint_of_what_is_only_written(planted: pytest.MonkeyPatch) -> None:
    async def flush(_self: Journal) -> None:
        pass

    planted.setattr(Journal, "flush", flush)


def keep_one_checkpoint_and_remove_it_first(planted: pytest.MonkeyPatch) -> None:
    store = checkpoint._store

    def only_one(target: Storage, name: str, content: bytes) -> None:
        for old in checkpoint.listed(target):
            target.unlink(old)
        target.sync_folder(checkpoint.FOLDER)
        store(target, name, content)

    planted.setattr(checkpoint, "_store", only_one)


def split_a_unit_over_two_groups(planted: pytest.MonkeyPatch) -> None:
    submit = Unit.submit

    def halves(self: Unit) -> object:
        if self._records and self._facts:
            first = Unit(self._journal)
            first._records, first.size, first.sync = self._records, self._record_bytes, True
            first._record_bytes = self._record_bytes
            self.size, self._records, self._record_bytes = self.size - self._record_bytes, [], 0
            pending = submit(first)
            submit(self)
            return pending
        return submit(self)

    planted.setattr(Unit, "submit", halves)


def cut_damage_out_of_a_segment(planted: pytest.MonkeyPatch) -> None:
    scan = Recovery._scan_segment

    def forgetful(self: Recovery, segment: Segment, following: int | None) -> None:
        scan(self, segment, following)
        self.lost.clear()

    planted.setattr(Recovery, "_scan_segment", forgetful)


def trust_an_index_unchecked(planted: pytest.MonkeyPatch) -> None:
    planted.setattr(index, "_crc", lambda _data, _seed, _position: 0)
    planted.setattr(
        index.SealedIndex, "_unsealed", lambda self, size, position: self._exactly(size + 4, position)[:size]
    )


def serve_what_was_read_unchecked(planted: pytest.MonkeyPatch) -> None:
    def read(_checksums: object, entry: bytes, _partition: int, _base: int) -> bytes:
        view = form._view(entry, 0)
        return entry[view.payload_start : view.payload_start + view.payload_length] if view else b""

    planted.setattr(form, "read_records", read)


def promote_in_the_wrong_order(planted: pytest.MonkeyPatch) -> None:
    gather = commit.CommitThread._gather
    planted.setattr(commit.CommitThread, "_gather", lambda self, first: gather(self, first)[::-1])


def keep_leases_in_memory_only(planted: pytest.MonkeyPatch) -> None:
    reserve = Unit._reserve

    def forgetful(self: Unit) -> None:
        reserve(self)
        leased = [fact for fact, _ in self._facts if isinstance(fact, facts.Leased)]
        self._facts = [row for row in self._facts if row[0] not in leased]
        self.entries = [*self.entries[: len(self._records)], *(entry for _, entry in self._facts)]
        self.size = sum(map(len, self.entries))
        for fact in leased:
            cast("Journal", self._journal).appliers[facts.Leased](fact, 0)

    planted.setattr(Unit, "_reserve", forgetful)


def move_dead_letters_in_two_units(planted: pytest.MonkeyPatch) -> None:
    bury = Broker.bury

    def apart(self: Broker, _unit: Unit, queue: Queue, died: Sequence[Dead]) -> None:
        own = self.journal.unit()
        bury(self, own, queue, died)
        if own.changes:
            own.submit()

    planted.setattr(Broker, "bury", apart)


def commit_positions_apart_from_outputs(planted: pytest.MonkeyPatch) -> None:
    settle = Member.settle

    def apart(self: Member, _unit: Unit, rows: Sequence[Row]) -> None:
        own = self._broker.journal.unit()
        settle(self, own, rows)
        own.submit()

    planted.setattr(Member, "settle", apart)


CAUGHT_BY_CRASHES: Final[dict[Plant, tuple[str, ...]]] = {
    acknowledge_before_sync: ("one_record_at_a_time",),
    sync_only_the_own_bytes_above_unsynced_groups: ("written_below_synced",),
    claim_durability_of_what_is_being_written: ("written_below_synced",),
    never_sync_a_directory: ("rolling",),
    seal_without_sync: ("written_only_until_it_rolls",),
    show_before_it_is_durable: ("one_record_at_a_time",),
    go_on_after_a_failed_sync: ("a_sync_that_fails",),
    trust_a_repeated_sync_after_restart: ("a_sync_that_fails",),
    refuse_whatever_follows_a_bad_group: ("written_below_synced",),
    bind_offsets_anew_without_a_word: ("written_below_synced",),
    use_a_segment_again_without_clearing_its_tail: ("killed", "opened_after_a_power_cut"),
    rename_without_syncing_the_file: ("checkpoints",),
    unlink_before_the_checkpoints_cover: ("trimming_and_removal",),
    unlink_before_the_fact_is_durable: ("trimming_and_removal",),
    let_a_copy_count_that_was_not_synced: ("compacting_by_key",),
    unlink_sources_before_the_copy_counts: ("compacting", "compacting_by_key"),
    copy_what_no_checkpoint_covers: ("compacting",),
    keep_the_oldest_of_each_key: ("compacting_by_key",),
    take_a_checkpoint_of_what_is_only_written: ("checkpoints",),
    keep_one_checkpoint_and_remove_it_first: ("trimming_and_removal",),
    split_a_unit_over_two_groups: ("many_units_in_one_group", "fan_out", "checkpoints"),
    promote_in_the_wrong_order: ("many_units_in_one_group",),
}

CAUGHT_BY_CRASHES_OF_A_BROKER: Final[dict[Plant, str]] = {
    keep_leases_in_memory_only: "leases_and_acknowledgements",
    move_dead_letters_in_two_units: "dead_letters",
    commit_positions_apart_from_outputs: "a_group_with_outputs",
    never_sync_a_directory: "consumed_and_removed",
    acknowledge_before_sync: "leases_and_acknowledgements",
}

CAUGHT_BY_ROT: Final[dict[Plant, Callable[[ClosedStore], str]]] = {
    cut_at_the_first_bad_group: lambda store: store.segments()[-1],
    cut_damage_out_of_a_segment: lambda store: store.segments()[-2],
    trust_an_index_unchecked: lambda store: store.segments()[0].replace(".log", ".index"),
    serve_what_was_read_unchecked: lambda store: store.segments()[0],
}


@pytest.fixture
def planted() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("plant", CAUGHT_BY_CRASHES, ids=lambda plant: plant.__name__)
async def test_crash_states_catch(plant: Plant, planted: pytest.MonkeyPatch) -> None:
    plant(planted)

    with pytest.raises(AssertionError, match=r"I\d"):
        await crash(*CAUGHT_BY_CRASHES[plant])


@pytest.mark.parametrize("plant", CAUGHT_BY_CRASHES_OF_A_BROKER, ids=lambda plant: plant.__name__)
async def test_crash_states_of_a_broker_catch(plant: Plant, planted: pytest.MonkeyPatch) -> None:
    plant(planted)
    world = BrokerWorld(SimStorage())
    await broker_scenarios.SCENARIOS[CAUGHT_BY_CRASHES_OF_A_BROKER[plant]](world)
    await world.kill()

    with pytest.raises(AssertionError, match=r"I\d"):
        await crash_everywhere(world.sim, broker_world.verify, STATES, verify_killed=broker_world.verify_killed)


@pytest.mark.parametrize("plant", CAUGHT_BY_ROT, ids=lambda plant: plant.__name__)
async def test_bit_rot_catches(plant: Plant, planted: pytest.MonkeyPatch) -> None:
    plant(planted)

    with pytest.raises(AssertionError, match=r"I\d"):
        await rot(CAUGHT_BY_ROT[plant])


def test_enough_bugs_are_planted() -> None:
    assert len({*CAUGHT_BY_CRASHES, *CAUGHT_BY_CRASHES_OF_A_BROKER, *CAUGHT_BY_ROT}) >= 20
