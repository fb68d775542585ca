"""The journal with its threads, on a real directory: what only shows when the disk takes time."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Self

import pytest

from isthmus.clock import SystemClock
from isthmus.errors import Closed, Damaged, OffsetOutOfRange, Overloaded, StorageError, StorageFull, StorePoisoned
from isthmus.limits import KIB, MIB
from isthmus.log import batch as batches
from isthmus.log import checkpoint, facts, retention
from isthmus.log.journal import Journal, JournalOptions, Pending, Placed
from isthmus.log.partition import Partition
from isthmus.log.recovery import open_journal
from isthmus.log.storage import RealStorage, Storage
from isthmus.record import Record
from support.faulty_storage import Fault, FaultyStorage

OPTIONS: Final = JournalOptions(segment_bytes=64 * KIB, tail_cache_bytes=16 * KIB)
PARTITIONS: Final = 3


class Disk:
    """One life of a journal with a few partitions on a directory."""

    def __init__(self, storage: Storage, options: JournalOptions = OPTIONS) -> None:
        self.journal = Journal(storage, SystemClock(), options)
        self.partitions = [self.journal.add_partition(1 << 16 | index, "fsync") for index in range(PARTITIONS)]

    async def __aenter__(self) -> Self:
        self.report = await open_journal(self.journal)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.journal.stop()

    def put(self, index: int, *values: bytes) -> Pending[list[Placed]]:
        unit = self.journal.unit()
        self.partitions[index].append(unit, batches.encode([Record(value) for value in values], now_ms=1))
        return unit.submit()

    async def publish(self, index: int, *values: bytes) -> None:
        """As a publisher does that waits when it is told to."""
        while True:
            try:
                await self.put(index, *values)
            except Overloaded:
                await self.journal.room()
            else:
                return


async def values_of(
    partition: Partition, offset: int, end: int | None = None
) -> AsyncIterator[tuple[int, bytes | None]]:
    """Offset and value of each record, waiting for those that are not there yet."""
    while end is None or offset < end:
        if not await partition.wait_for(offset, None):
            return
        for found in await partition.read(offset, 8 * KIB):
            for record in batches.decode(found.data, from_offset=offset):
                yield record.offset, record.value
            offset = found.end_offset


async def test_publishers_readers_trims_checkpoints_and_removal_do_not_get_into_each_others_way(
    tmp_path: Path,
) -> None:
    count = 600
    async with Disk(RealStorage(tmp_path)) as disk:
        seen: list[list[bytes | None]] = [[] for _ in range(PARTITIONS)]

        async def publish(index: int) -> None:
            for number in range(count):
                await disk.publish(index, b"%d:" % number + bytes(300))

        async def read(index: int) -> None:
            async for _, value in values_of(disk.partitions[index], 0, count):
                seen[index].append(value)

        async def clean() -> None:
            while any(len(values) < count for values in seen):
                for index, partition in enumerate(disk.partitions):
                    if len(seen[index]) > partition.log_start:
                        unit = disk.journal.unit()
                        unit.fact(facts.Trimmed(partition.id, len(seen[index]), "consumed", 1))
                        await unit.submit()
                await checkpoint.take(disk.journal)
                await retention.remove(disk.journal, await disk.journal.run(lambda: retention.removable(disk.journal)))

        await asyncio.gather(*(publish(i) for i in range(PARTITIONS)), *(read(i) for i in range(PARTITIONS)), clean())

        assert [[int(value.split(b":")[0]) for value in values if value] for values in seen] == [
            list(range(count)) for _ in range(PARTITIONS)
        ]
        assert disk.journal.segments[0].first_lsn > 0, "nothing was ever removed"
    async with Disk(RealStorage(tmp_path)) as again:
        assert not again.report.damage
        assert [each.high_watermark for each in again.partitions] == [count] * PARTITIONS


async def test_units_that_wait_for_the_disk_share_a_group(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        for pending in [disk.put(at % PARTITIONS, b"v%d" % at) for at in range(300)]:
            await pending
        groups = sum(1 for segment in disk.journal.segments for _ in segment.groups())

        assert groups < 150


async def test_what_is_held_becomes_one_group_in_order(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        await disk.put(0, b"first")
        before = disk.journal.groups_committed

        disk.journal.hold()
        pendings = [disk.put(1, b"%d" % number) for number in range(20)]
        await asyncio.sleep(0.02)
        held = [pending.done for pending in pendings]
        disk.journal.release()
        placed = [await pending for pending in pendings]

        assert not any(held)
        assert disk.journal.groups_committed == before + 1
        assert [base for ((_, base, _),) in placed] == list(range(20))


async def test_what_follows_from_what_is_held_goes_along_with_it(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        await disk.put(0, b"first")
        before = disk.journal.groups_committed
        followed: list[Pending[list[Placed]]] = []

        assert not disk.journal.at_release(lambda: None)
        disk.journal.hold()
        asked = disk.journal.at_release(lambda: followed.append(disk.put(1, b"behind")))
        pending = disk.put(1, b"before")
        disk.journal.release()
        bases = [base for each in (pending, *followed) for ((_, base, _),) in [await each]]

        assert asked
        assert bases == [0, 1]
        assert disk.journal.groups_committed == before + 1


LARGE: Final = 100 * KIB


async def large_batches(disk: Disk, count: int) -> None:
    """Fill a partition with batches that are read from the disk."""
    for number in range(count):
        await disk.publish(0, b"%d" % number * LARGE)
    await disk.journal.seal_active()


async def test_who_goes_on_finds_what_was_read_beforehand(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        await large_batches(disk, 9)
        partition, offset, at_hand = disk.partitions[0], 0, []

        while offset < partition.high_watermark:
            found = partition.read_now(offset, LARGE)
            at_hand.append(found is not None)
            found = found or await partition.read(offset, LARGE)
            assert [(each.base_offset, len(batches.decode(each.data))) for each in found] == [(offset, 1)]
            offset = found[-1].end_offset
            for _ in range(5):
                await asyncio.sleep(0)
                await disk.journal.quiesce()

        assert at_hand == [False, False, *[True] * 7]


async def test_what_was_trimmed_is_not_given_out_of_what_was_read_beforehand(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        await large_batches(disk, 4)
        partition = disk.partitions[0]
        for offset in (0, 1):
            await partition.read(offset, LARGE)

        unit = disk.journal.unit()
        unit.fact(facts.Trimmed(partition.id, 3, "a test", 1))
        await unit.submit()

        with pytest.raises(OffsetOutOfRange):
            await partition.read(2, LARGE)


async def test_damage_in_a_large_batch_is_found_when_it_is_read(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        await large_batches(disk, 1)
        (name,) = [path for path in (tmp_path / "journal").glob("*.log") if LARGE <= path.stat().st_size <= 2 * LARGE][
            :1
        ]
        content = bytearray(name.read_bytes())
        content[content.index(b"0" * 1_000) + 500] ^= 1
        name.write_bytes(content)

        with pytest.raises(Damaged):
            await disk.partitions[0].read(0, LARGE)


async def test_cancelling_a_waiter_withdraws_nothing(tmp_path: Path) -> None:
    async with Disk(RealStorage(tmp_path)) as disk:
        pending = disk.put(0, b"kept")

        async def wait() -> None:
            await pending

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

        assert await pending == [(disk.partitions[0], 0, 1)]
        assert [value async for _, value in values_of(disk.partitions[0], 0, 1)] == [b"kept"]


async def test_what_was_accepted_before_a_stop_is_there_afterwards(tmp_path: Path) -> None:
    disk = Disk(RealStorage(tmp_path))
    async with disk:
        accepted = [disk.put(0, b"%d" % number) for number in range(500)]
        stopping = asyncio.create_task(disk.journal.stop())
        with contextlib.suppress(Closed):
            while True:
                accepted.append(disk.put(0, b"late"))
                await asyncio.sleep(0)
        await stopping
        await disk.journal.stop()  # a second time waits for the same end

    assert all(pending.done and pending.error is None for pending in accepted)
    async with Disk(RealStorage(tmp_path)) as again:
        assert again.partitions[0].high_watermark == len(accepted)
        assert not again.report.copied_tail, "a stop in order leaves nothing in doubt"


async def test_a_stop_whose_caller_is_cancelled_goes_on_to_its_end(tmp_path: Path) -> None:
    disk = Disk(RealStorage(tmp_path))
    async with disk:
        disk.put(0, b"one")
        stopping = asyncio.create_task(disk.journal.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    async with Disk(RealStorage(tmp_path)) as again:
        assert again.partitions[0].high_watermark == 1


async def test_the_largest_unit_goes_into_small_segments(tmp_path: Path) -> None:
    large = bytes(5 * MIB)
    async with Disk(RealStorage(tmp_path)) as disk:
        unit = disk.journal.unit()
        for partition in disk.partitions:
            partition.append(unit, batches.encode([Record(large)], now_ms=1))
        small = disk.put(0, b"before")
        big = unit.submit()
        after = disk.put(0, b"after")
        for pending in (small, big, after):
            await pending
    async with Disk(RealStorage(tmp_path)) as again:
        found = [value async for _, value in values_of(again.partitions[0], 0, 3)]

        assert found == [b"before", large, b"after"]


async def test_a_write_that_fails_on_the_thread_fails_all_that_waits_and_the_store_can_be_opened_again(
    tmp_path: Path,
) -> None:
    storage = FaultyStorage(RealStorage(tmp_path))
    told: list[bytes] = []
    disk = Disk(storage)
    async with disk:
        await disk.put(0, b"first")
        told.append(b"first")
        storage.arm(Fault(3, code=errno.EIO, ops=frozenset({"pwrite sync"}), forever=True))
        waiting = [(value, disk.put(0, value)) for value in (b"%d" % number for number in range(50))]
        for value, pending in waiting:
            try:
                await pending
            except StorePoisoned:
                continue
            told.append(value)
        with contextlib.suppress(StorageError):
            for number in range(50):
                await disk.put(0, b"later %d" % number)
                told.append(b"later %d" % number)
        assert isinstance(disk.journal.error, StorePoisoned)
        with pytest.raises(StorePoisoned):
            await disk.partitions[0].wait_for(1_000, None)

    storage.arm(None)
    async with Disk(storage) as again:
        end = again.partitions[0].high_watermark
        found = [value async for _, value in values_of(again.partitions[0], 0, end)]
        assert found[: len(told)] == told


async def test_a_disk_that_gets_full_refuses_publishers_and_takes_them_again_when_there_is_room(tmp_path: Path) -> None:
    storage = FaultyStorage(RealStorage(tmp_path))
    async with Disk(storage) as disk:
        storage.arm(Fault(1, code=errno.ENOSPC, ops=frozenset({"allocate"}), forever=True))
        published = 0
        with contextlib.suppress(StorageFull):
            while True:
                await disk.publish(0, bytes(2 * KIB))
                published += 1
        for _ in range(40):
            unit = disk.journal.unit()
            unit.fact(facts.Trimmed(disk.partitions[0].id, published, "test", 1))
            await unit.submit()

        storage.arm(None)
        writer = disk.journal._writer
        assert writer is not None
        writer._next_try_ms = 0  # a second later
        while True:
            try:
                await disk.publish(0, b"again")
            except StorageFull:
                await disk.journal.flush()
            else:
                break
        assert disk.partitions[0].high_watermark == published + 1


class TestBesideARunningOwner:
    """Opening for reading while another process writes; another storage object is as foreign as another process."""

    async def test_a_reader_sees_a_prefix_that_grows_and_never_damage(self, tmp_path: Path) -> None:
        async with Disk(RealStorage(tmp_path)) as owner:
            running = True

            async def publish() -> None:
                number = 0
                while running:
                    await owner.publish(number % PARTITIONS, b"%d:" % number + bytes(900))
                    number += 1
                    if number % 60 == 0:
                        for partition in owner.partitions:
                            unit = owner.journal.unit()
                            unit.fact(facts.Trimmed(partition.id, partition.high_watermark - 5, "test", 1))
                            await unit.submit()
                        await checkpoint.take(owner.journal)
                        await checkpoint.take(owner.journal)
                        await retention.remove(owner.journal, retention.removable(owner.journal))

            publishing = asyncio.create_task(publish())
            marks = [0] * PARTITIONS
            looks = 0
            while sum(marks) < 400:
                marks = await self._look(tmp_path, owner, marks)
                looks += 1
            running = False
            await publishing
        assert looks > 5

    async def _look(self, path: Path, owner: Disk, before: list[int]) -> list[int]:
        reader = Disk(RealStorage(path, create=False))
        report = await open_journal(reader.journal, read_only=True)
        assert not report.damage
        for partition in reader.partitions:
            if partition.log_start < partition.high_watermark:
                last = [
                    record
                    async for record in values_of(partition, partition.high_watermark - 1, partition.high_watermark)
                ]
                assert [offset for offset, _ in last] == [partition.high_watermark - 1]
        marks = [partition.high_watermark for partition in reader.partitions]
        assert all(now >= was for now, was in zip(marks, before, strict=True))
        assert all(now <= own.high_watermark for now, own in zip(marks, owner.partitions, strict=True))
        await reader.journal.stop()
        return marks

    async def test_an_idle_owner_shows_all_that_is_durable(self, tmp_path: Path) -> None:
        async with Disk(RealStorage(tmp_path)) as owner:
            await owner.put(0, b"one", b"two")
            clock = owner.journal.clock
            await clock.sleep_until(clock.monotonic_ms() + 150)  # until the idle marker has said so

            reader = Disk(RealStorage(tmp_path, create=False))
            await open_journal(reader.journal, read_only=True)

            assert [value async for _, value in values_of(reader.partitions[0], 0, 2)] == [b"one", b"two"]
            await reader.journal.stop()
