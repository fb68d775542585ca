"""A small store that was closed in order, and what becomes of it when its bytes change on the disk.

The rule that it judges by: a change is detected, or it is harmless; what is read is what was written, or an error that
names the place (I2, I9). Nothing is ever missing in silence.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest

from isthmus.errors import Damaged, StorageError
from isthmus.log import compaction
from isthmus.log.journal import JournalOptions
from isthmus.log.storage import MemoryStorage
from support.log_world import KIB, Commit, JournalWorld, Make, Model, Store, pid
from support.sim_storage import SimStorage

TINY: Final = JournalOptions(segment_bytes=2 * KIB, tail_cache_bytes=1)
Files = dict[str, tuple[bytes, int]]
"""Content and size by name."""


@dataclass(frozen=True)
class ClosedStore:
    """Files, and the model of what they hold."""

    files: Files
    model: Model

    def with_file(self, name: str, content: tuple[bytes, int] | None) -> MemoryStorage:
        """The store on a disk of its own, with another file in place of one, or without it."""
        files = {**self.files, name: content} if content is not None else {**self.files}
        if content is None:
            del files[name]
        return storage_of(files)

    def flipped(self, name: str, position: int, mask: int) -> MemoryStorage:
        """With some bits of one byte turned over."""
        held, size = self.files[name]
        changed = bytearray(held.ljust(position + 1, b"\0"))
        changed[position] ^= mask
        return self.with_file(name, (bytes(changed), size))

    def segments(self) -> list[str]:
        """Names of the journal's files, in order."""
        return sorted(name for name in self.files if name.endswith(".log"))

    def checkpoints(self) -> list[str]:
        """Names of the checkpoints, the older first."""
        return sorted(name for name in self.files if name.endswith(".facts"))


def storage_of(files: Files) -> MemoryStorage:
    """A disk with these files."""
    storage = MemoryStorage()
    for folder in ("journal", "checkpoint", "quarantine"):
        storage.make_folder(folder)
    for name, (held, size) in files.items():
        file = storage.open(name, create=True)
        file.pwrite([held], 0)
        file.truncate(size)
    return storage


async def closed_store(*, checkpoint_last: bool = False, compact: bool = False) -> ClosedStore:
    """Four segments, two checkpoints in the middle, and what came then; closed in order.

    Args:
        checkpoint_last: take another checkpoint before closing, as a broker does.
        compact: have all segments but the last copied into one file before closing.
    """
    sim = SimStorage()
    world = JournalWorld(sim, TINY)
    await world.open()
    await world.put(Make(1, 2, "fsync"))
    for at in range(7):
        await world.put(world.append(pid(1, at % 2), size=300), Commit(1, at))
        await world.put(world.append(pid(1), pid(1, 1), count=2, size=60))
        if at in (3, 4):
            await world.checkpoint()
    if checkpoint_last:
        await world.checkpoint()
    if compact:
        await world.checkpoint()
        await world.checkpoint()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compaction, "GAIN_BYTES_MIN", 1)
            patch.setattr(world.journal, "options", JournalOptions(segment_bytes=64 * KIB))
            assert (await world.compact()).made == 1
    await world.close()
    files = {name: content for name, content in sim.contents().items() if name not in ("reserve", "journal/spare")}
    return ClosedStore(files, world.history.model())


async def judge(storage: MemoryStorage, model: Model, options: JournalOptions = TINY) -> str:
    """Open and read it: "harmless", "set aside", "refused", "reported" or "read error".

    Raises:
        AssertionError: wrong content, or something is missing in silence.
    """
    store = Store(storage, options=options)
    try:
        report = await store.open()
    except StorageError:
        return "refused"
    try:
        if report.damage:
            await _read_all(store, model, whole=False)
            return "reported"
        assert store.state() == model.state(), f"I9: {store.state()} in silence where {model.state()} was"
        if not await _read_all(store, model, whole=True):
            return "read error"
        return "set aside" if report.quarantined else "harmless"
    finally:
        await store.journal.stop()


async def _read_all(store: Store, model: Model, *, whole: bool) -> bool:
    """Whether everything could be read; whatever was read must be right."""
    complete = True
    for key in store.journal.partitions:
        values = model.values[key]
        try:
            got = await store.values(key)
        except Damaged:
            complete = False
            got = await _read_what_can_be(store, key)
        for offset, value in got:
            assert values[offset : offset + 1] == [value], f"I2: {value!r} at {offset} of {key}"
        if whole and complete:
            assert [offset for offset, _ in got] == list(range(len(values))), f"I9: a hole in {key} without a word"
    return complete


async def _read_what_can_be(store: Store, key: int) -> list[tuple[int, bytes | None]]:
    """Records that can be read, each asked for alone."""
    partition = store.journal.partitions[key]
    found = []
    for offset in range(partition.log_start, partition.high_watermark):
        try:
            batches = await partition.read(offset, 1)
        except Damaged:
            continue
        found += [row for batch in batches for row in store.records(batch, offset) if row[0] == offset]
    return found


async def damage_every_byte(store: ClosedStore, name: str, step: int = 1) -> Counter[str]:
    """Turn over bits of each byte of a file, all of them or one; what came of it, by kind."""
    outcomes: Counter[str] = Counter()
    for position in range(0, store.files[name][1], step):
        mask = 0xFF if position % 3 else 1 << position % 8
        try:
            outcomes[await judge(store.flipped(name, position, mask), store.model)] += 1
        except AssertionError as error:
            error.add_note(f"byte {position} of {name}, bits {mask:#x}")
            raise
    return outcomes
